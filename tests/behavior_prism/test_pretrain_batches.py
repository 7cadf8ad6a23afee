"""Batches of the stages: a function of seed and step, whoever makes them; failures are counted and listed."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess

import numpy as np
import pytest
import torch

from behavior_prism.datasets.corpora import Clip, Corpus, SimulatedCorpus
from behavior_prism.datasets.simulate import simulate_captions
from behavior_prism.encoder.pretraining.masks import MaskConfig
from behavior_prism.encoder.tokenizer import Tokenizer, canonicalize
from behavior_prism.pretrain_batches import Augmentation, BatchMaker, ClipBatches, Labels, MaskedTokens, PairTexts

pytestmark = pytest.mark.torch

MASKS = MaskedTokens((4, 4), MaskConfig())


class Numbered(Corpus):
    """Clips whose pixels are their number; some cannot be read."""

    def __init__(self, clips=50, broken=(), captions=("a mouse runs", "a mouse turns left"), pictures=False):
        self.name, self.clips, self.broken, self.captions = "numbered", clips, set(broken), captions
        self.captioned, self.pictures = bool(captions), pictures

    def __len__(self):
        return self.clips

    def _read(self, index, num_frames, rng):
        if index in self.broken:
            raise ValueError(f"clip {index}: cannot be decoded")
        frames = np.full((num_frames, 8, 8, 3), index, np.uint8)
        frames[:, :, :4] += 100  # the left half is brighter
        return Clip(frames, self.captions, np.array([index % 2, -1], np.int8))

    def _describe(self, index):
        return f"clip {index}"


def make(corpora=None, **options):
    defaults = {"batch": 4, "num_frames": 4, "image_size": (8, 8), "finish": MASKS}
    return BatchMaker(corpora or [Numbered()], **{**defaults, **options})


def seen(batch):
    return batch["video"][:, 0, 0, 7, 0].tolist()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    import sentencepiece

    folder = tmp_path_factory.mktemp("pieces")
    sentences = [canonicalize(text) for text in simulate_captions(150)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=300,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    return Tokenizer(folder / "tokenizer.model")


def test_masks_are_those_of_the_contract():
    batch = make()(3).batch
    length = int(batch["run_length"])
    assert batch["video"].dtype == torch.uint8 and batch["video"].shape == (4, 4, 8, 8, 3)
    assert 2 <= length <= 3 and batch["run_length"].shape == () and batch["run_length"].dtype == torch.int64
    assert batch["masked_places"].shape == (4, 10) and (batch["masked_places"].diff(dim=1) > 0).all()
    assert torch.equal(batch["permutation"].sort(1).values, torch.arange(64).expand(4, 64))
    assert batch["run_start"].shape == (4,)
    tubes = make(finish=MaskedTokens((4, 4), MaskConfig(kind="tube")))(0).batch
    assert int(tubes["run_length"]) == 4
    # every length that the configuration allows comes up, all of them lie within it
    many = make(num_frames=16, finish=MASKS, batch=1)
    assert {int(many(step).batch["run_length"]) for step in range(60)} == {8, 9, 10, 11, 12}


def test_processes_share_a_batch_without_overlap():
    whole = make(batch=8)
    parts = [make(batch=4, rank=rank, world=2) for rank in range(2)]
    for step in (0, 1, 17):
        expected, (first, second) = whole(step).batch, [part(step).batch for part in parts]
        assert set(seen(first)).isdisjoint(seen(second))
        for name, value in expected.items():
            joined = value if value.ndim == 0 else torch.cat([first[name], second[name]])
            assert torch.equal(joined, value), name
        assert torch.equal(first["run_length"], second["run_length"])
    assert len({clip for step in range(6) for clip in seen(whole(step).batch)}) == 48  # of 50, each once


def test_a_batch_is_of_one_corpus_and_they_take_turns():
    tubes = MaskedTokens((4, 4), MaskConfig(kind="tube"))
    maker = make([Numbered(20), Numbered(100, pictures=True)], weights=[1, 2], finish=tubes)
    lengths = [maker(step).batch["video"].shape[1] for step in range(6)]
    assert lengths == [1, 4, 1, 1, 4, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_is_exact(workers):
    maker = make([Numbered(), SimulatedCorpus(size=48, clips=40)], seed=5)
    source = ClipBatches(maker, workers=workers)
    stream = iter(source)
    given = [next(stream) for _ in range(5)]
    state = json.loads(json.dumps(source.state_dict()))
    assert state["step"] == 5
    expected = [next(stream) for _ in range(3)]
    again = ClipBatches(make([Numbered(), SimulatedCorpus(size=48, clips=40)], seed=5))
    again.load_state_dict(state)
    resumed = iter(again)
    assert all(equal(next(resumed), batch) for batch in expected)
    assert all(equal(maker(step).batch, batch) for step, batch in enumerate(given))
    assert not equal(given[0], make(seed=6)(0).batch)


def test_workers_end_with_their_parent_and_not_by_signals_to_all():
    """A scheduler, or Ctrl-C, signals every process of a job; the parent stops after the step in progress."""
    source = ClipBatches(make(), workers=2)
    stream = iter(source)
    next(stream)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    # from another process, as a scheduler's are
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        subprocess.run(["kill", f"-{number}", *(str(worker.pid) for worker in workers)], check=True)
    workers[0].join(0.5)
    assert all(worker.is_alive() for worker in workers)
    assert equal(next(stream), make()(1).batch)
    workers[0].terminate()  # as at the exit of a parent that holds on to them
    workers[0].join(20)
    assert workers[0].exitcode == 0
    stream.close()
    assert not any(worker.is_alive() for worker in workers)


def test_the_random_state_of_training_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    next(iter(ClipBatches(make())))
    assert torch.equal(torch.get_rng_state(), before)


def test_resuming_with_another_order_is_refused():
    state = ClipBatches(make()).state_dict()
    ClipBatches(make(batch=2, world=2)).load_state_dict(state)
    for other, what in (
        (make(batch=5), "global batch"),
        (make(seed=1), "seed"),
        (make([Numbered(49)]), "corpora"),
        (make([Numbered(), Numbered()]), "corpora"),
    ):
        with pytest.raises(ValueError, match=f"corpora: expected the same {what} as when the run was begun"):
            ClipBatches(other).load_state_dict(state)


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_clips_are_counted_and_listed(tmp_path, workers):
    source = ClipBatches(
        make([Numbered(200, broken=[3, 77])]), workers=workers, failures=tmp_path / "run" / "failures.jsonl"
    )
    stream = iter(source)
    for _ in range(50):  # an epoch
        assert not {3, 77} & set(seen(next(stream)))
    listed = [json.loads(line) for line in (tmp_path / "run" / "failures.jsonl").read_text().splitlines()]
    assert {f["clip"] for f in listed} == {"clip 3", "clip 77"} and source.failed == len(listed) >= 2
    assert all(f["reason"] == f"{f['clip']}: cannot be decoded" and f["corpus"] == "numbered" for f in listed)
    assert source.state_dict()["failed"] == source.failed and source.state_dict()["seen"] == 200


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_of_them_stop_it(tmp_path, workers):
    source = ClipBatches(
        make([Numbered(50, broken=range(0, 50, 4))]), workers=workers, failures=tmp_path / "failures.jsonl"
    )
    with pytest.raises(ValueError, match=r"numbered: expected at most 0.01 of the clips .* 9 of \d+; the last: clip"):
        for _ in source:
            pass
    with pytest.raises(ValueError, match=r"clip \d+: cannot be decoded; so were 16 clips in its place"):
        next(iter(ClipBatches(make([Numbered(broken=range(50))]), workers=workers)))


def test_texts_and_kept_places(tokenizer):
    maker = make(finish=PairTexts(tokenizer, 16, 8))
    batch = maker(0).batch
    assert batch["token_ids"].dtype == torch.int64 and batch["text_paddings"].dtype == torch.float32
    assert batch["kept"].shape == (4, 8) and (batch["kept"].diff(dim=1) > 0).all() and int(batch["kept"].max()) < 16
    ids, paddings = tokenizer(list(Numbered().captions))
    length = batch["token_ids"].shape[1]
    assert length % 16 == 0 and (paddings[:, length:] == 1).all()
    rows = {tuple(row.tolist()) for step in range(5) for row in maker(step).batch["token_ids"]}
    assert rows == {tuple(row[:length].tolist()) for row in ids}  # either caption comes up
    groups = {(tuple(row.tolist()), int(g)) for row, g in zip(batch["token_ids"], batch["text_group"], strict=True)}
    assert len(groups) == len({row for row, _ in groups}) == len({g for _, g in groups}) == 2  # one number a caption
    assert "kept" not in make(finish=PairTexts(tokenizer, 16, 16))(0).batch
    long = make([Numbered(captions=("mouse " * 80,))], finish=PairTexts(tokenizer, 16, 16))
    with pytest.raises(ValueError, match="numbered: text: expected at most 64 tokens"):
        next(iter(ClipBatches(long)))


def test_captions_of_one_meaning_are_one_group(tokenizer):
    corpus = SimulatedCorpus(size=32, species="fly", clips=400)
    batch = make([corpus], batch=40, num_frames=1, finish=PairTexts(tokenizer, 16, 16))(0).batch
    same = batch["text_group"][:, None] == batch["text_group"]
    assert 40 < int(same.sum()) < 100  # some say the same as others, most do not
    texts = batch["token_ids"]
    other_words = (texts[:, None] != texts).any(-1)
    assert bool((same & other_words).any())
    assert bool((same | other_words).all())  # the same words never say different things


def test_labels():
    batch = make(finish=Labels())(0).batch
    assert batch["label"].dtype == torch.int8
    assert batch["label"].tolist() == [[clip % 2, -1] for clip in seen(batch)]


def test_flips_spare_left_and_right(tokenizer):
    texts = PairTexts(tokenizer, 16, 16)
    flipped = {}
    for caption in ("a mouse runs", "a mouse runs to the left"):
        maker = make([Numbered(captions=(caption,))], finish=texts, augmentation=Augmentation(flip=True))
        videos = torch.cat([maker(step).batch["video"] for step in range(10)])
        sides = videos[:, :, :, 0].float().mean((1, 2, 3)) < videos[:, :, :, 7].float().mean((1, 2, 3))
        flipped[caption] = int(sides.sum())
    assert 8 < flipped["a mouse runs"] < 32 and flipped["a mouse runs to the left"] == 0


def test_crops_are_of_the_stated_area():
    frames = np.arange(2 * 40 * 60 * 3, dtype=np.int64).reshape(2, 40, 60, 3)
    areas = []
    for seed in range(200):
        crop = Augmentation(crop=0.25)(frames, "", np.random.default_rng(seed))
        assert np.array_equal(crop[1] - crop[0], np.full(crop.shape[1:], 40 * 60 * 3))  # both frames alike
        areas.append(crop.shape[1] * crop.shape[2] / 2400)
    assert 0.24 <= min(areas) < 0.3 and 0.9 < max(areas) <= 1
    assert Augmentation()(frames, "", np.random.default_rng(0)) is frames
    with pytest.raises(ValueError, match="crop: expected a share"):
        Augmentation(crop=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"corpora": [Numbered(3)]}, "numbered: expected at least as many clips as a global batch has .4., got 3"),
        ({"batch": 0}, "batch: expected at least one clip"),
        ({"weights": [1, 2]}, "weights: expected one for each of 1 corpora"),
        ({"weights": [0]}, "weights: expected a positive number"),
    ],
)
def test_what_is_refused(change, reason, tokenizer):
    with pytest.raises(ValueError, match=reason):
        make(**change)
    with pytest.raises(ValueError, match="corpora: expected at least one"):
        BatchMaker([], batch=4, num_frames=4, image_size=(8, 8), finish=MASKS)
    with pytest.raises(ValueError, match="numbered: expected a caption for every clip"):
        make([Numbered(captions=())], finish=PairTexts(tokenizer, 16, 8))
