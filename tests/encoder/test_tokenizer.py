"""Texts: the official form, the limits, and a SentencePiece model trained here."""

from __future__ import annotations

import pytest
import torch

from behavior_prism.encoder import Tokenizer, canonicalize, fill_templates, load_encoder, preset, save_encoder
from behavior_prism.encoder.checkpoints import build

pytestmark = pytest.mark.torch
sentencepiece = pytest.importorskip("sentencepiece")

CORPUS = "a video of a mouse grooming. a fly walks and turns. two animals fight in the arena. an animal sleeps."


def train(path, **options):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([CORPUS] * 20),
        model_prefix=str(path.with_suffix("")),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        **({"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": 2} | options),
    )
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return train(tmp_path_factory.mktemp("tokenizer") / "tokenizer.model")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world."),
        ("Hello,World..", "hello world."),
        ("  Hello   WORLD", "hello world."),
        ("nose-to-nose\n(sniff)", "nose to nose sniff."),
    ],
)
def test_official_form(text, expected):
    assert canonicalize(text) == expected
    assert canonicalize(expected) == expected


@pytest.mark.parametrize("text", ["", "   ", "?!"])
def test_empty_text_is_refused(text, file):
    with pytest.raises(ValueError, match="expected at least one word, got"):
        canonicalize(text)
    with pytest.raises(ValueError, match="expected at least one word, got"):
        Tokenizer(file)(["a mouse", text])


def test_tokens_are_those_of_sentencepiece(file):
    ids, paddings = Tokenizer(file)(["A mouse, grooming!", "fly"])
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(file))
    for row, text in enumerate(["a mouse grooming.", "fly."]):
        expected = pieces.encode(text)
        assert ids[row, : len(expected)].tolist() == expected
        assert not ids[row, len(expected) :].any()
        assert paddings[row].tolist() == [0.0] * len(expected) + [1.0] * (64 - len(expected))
    assert ids.shape == paddings.shape == (2, 64) and ids.dtype == torch.int64


def test_a_start_token_only_if_the_model_has_one(tmp_path, file):
    other = train(tmp_path / "with_start.model", bos_id=3)
    assert Tokenizer(other)(["fly"])[0][0, 0] == 3
    assert Tokenizer(file)(["fly"])[0][0, 0] != 3


def test_what_does_not_fit_is_told(tmp_path, file):
    tokenizer = Tokenizer(file)
    with pytest.raises(ValueError, match=r"at most 64 tokens, got \d+ from 'mouse mouse"):
        tokenizer(["mouse " * 80])
    with pytest.raises(ValueError, match="a list of texts, got one text 'a mouse'"):
        tokenizer("a mouse")
    with pytest.raises(ValueError, match="at least one text, got none"):
        tokenizer([])
    with pytest.raises(ValueError, match="expected at most 5 pieces as the model has, got"):
        Tokenizer(file, vocabulary_size=5)
    with pytest.raises(FileNotFoundError, match="no such file; expected a SentencePiece model"):
        Tokenizer(tmp_path / "none.model")
    (tmp_path / "junk.model").write_bytes(b"not a model")
    with pytest.raises(ValueError, match="expected a SentencePiece model"):
        Tokenizer(tmp_path / "junk.model")


def test_templates():
    assert fill_templates(["walking"]) == ["a video of walking."]
    with pytest.raises(ValueError, match="exactly once, got 'no place'"):
        fill_templates(["walking"], ["no place"])


def test_texts_and_clips_through_the_door(tmp_path, file):
    path = save_encoder(tmp_path / "lvt.safetensors", build(preset("lvt-tiny").config, empty=False), trained=False)
    without = load_encoder(path, device="cpu")
    with pytest.raises(ValueError, match="no tokenizer was found beside the weights"):
        without.encode_text(["a mouse"])
    (tmp_path / "tokenizer.model").write_bytes(file.read_bytes())
    loaded = load_encoder(path, device="cpu")
    assert loaded.name == "lvt-tiny" and not loaded.trained and "untrained" in loaded.notice
    texts = loaded.encode_text(fill_templates(["grooming", "walking"]))
    clips = loaded.encode_video(torch.rand(3, 8, 96, 96, 3))
    assert texts.shape == (2, 192) and clips.shape == (3, 192)
    assert torch.allclose(texts.norm(dim=-1), torch.ones(2)) and not torch.allclose(texts[0], texts[1])
    given = load_encoder(path, tokenizer=file, device="cpu")
    assert torch.equal(given.encode_text(["a video of grooming."]), texts[:1])
    with pytest.raises(ValueError, match="'tiny' knows no texts"):
        load_encoder("tiny", device="cpu").encode_text(["a mouse"])
    with pytest.raises(ValueError, match="expected a video-text model"):
        load_encoder("tiny", tokenizer=file, device="cpu")
