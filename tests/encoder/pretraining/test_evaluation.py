"""Evaluators: the numbers of the model itself, on every kind of objective, and no trace left behind."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contrastive_pairs import SIZES, objective, pairs  # tests/support/

from behavior_prism.encoder import VideoClassifier, VideoClassifierConfig, VideoEncoder
from behavior_prism.encoder.pretraining.evaluation import (
    CollapseEvaluator,
    ProbeEvaluator,
    RetrievalEvaluator,
    ZeroShotEvaluator,
)
from behavior_prism.encoder.pretraining.frozen_evaluation import mean_and_change
from behavior_prism.encoder.pretraining.judging import judging
from behavior_prism.encoder.pretraining.objective import Objective
from behavior_prism.encoder.pretraining.scores import class_scores, collapse_indicators, linear_probe, retrieval_scores
from behavior_prism.encoder.pretraining.text_tuning import TextTuningObjective

pytestmark = pytest.mark.torch


class Learns(Objective):
    """An objective of another stage, as far as evaluators look at it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def learned_model(self):
        return self.model


def split(batch, size):
    return [{name: value[i : i + size] for name, value in batch.items()} for i in range(0, len(batch["video"]), size)]


def tokenizer(texts):
    """Letters as tokens: what an evaluator needs of a tokenizer, without a file."""
    ids, paddings = torch.zeros(len(texts), 40, dtype=torch.int64), torch.ones(len(texts), 40)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor([ord(letter) % 49 + 1 for letter in text])
        paddings[row, : len(text)] = 0
    return ids, paddings


def test_retrieval_is_that_of_the_model():
    stage, batch = objective(), pairs(12)
    got = RetrievalEvaluator(split(batch, 5), split(batch, 7))(stage, 3)
    out = stage.model(batch["video"].float() / 255, batch["token_ids"], batch["text_paddings"])
    expected = retrieval_scores(out.video_embeddings.detach(), out.text_embeddings.detach())
    assert got == pytest.approx({f"retrieval/{name}": value for name, value in expected.items()})


def test_several_captions_and_a_name():
    stage, clips, texts = objective(), pairs(4), pairs(8, seed=6)
    of = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    got = RetrievalEvaluator(split(clips, 4), split(texts, 8), of, name="birds")(stage, 0)
    with torch.no_grad():
        expected = retrieval_scores(stage.embed_video(clips), stage.embed_text(texts), of)
    assert got["birds/video_to_text_r1"] == expected["video_to_text_r1"]


def test_evaluation_sees_all_tokens():
    stage, batch = objective(), pairs(10, keep=1)
    whole = {name: value for name, value in batch.items() if name != "kept"}
    for kind in (CollapseEvaluator, lambda b: RetrievalEvaluator(b, b)):
        assert kind([batch])(stage, 0) == kind([whole])(stage, 0)


def test_zero_shot_is_that_of_the_model():
    stage, batch = objective(), pairs(9)
    labels = torch.arange(9) % 3
    prompts = [["a video of grooming", "a mouse washes itself"], ["rearing"], ["at rest", "a mouse sits", "still"]]
    got = ZeroShotEvaluator(split({**batch, "label": labels}, 4), tokenizer, prompts)(stage, 0)
    by_class = []
    for own in prompts:
        out = stage.model(text_token_ids=(p := tokenizer(own))[0], text_paddings=p[1])
        by_class.append(F.normalize(out.text_embeddings.mean(0), dim=0))
    scores = stage.model(batch["video"].float() / 255).video_embeddings @ torch.stack(by_class).T
    expected = class_scores(scores.detach(), labels)
    assert got == pytest.approx({f"zero_shot/{name}": value for name, value in expected.items()})


@pytest.fixture(scope="module")
def labelled():
    """Clips of which class 1 is brighter."""
    batch = {"video": pairs(40)["video"] // 2, "label": torch.arange(40) % 2}
    batch["video"][1::2] += 40
    return split({name: value[:24] for name, value in batch.items()}, 10), split(
        {name: value[24:] for name, value in batch.items()}, 10
    )


def every_objective():
    classes = VideoClassifierConfig(**dataclasses.asdict(SIZES.video), num_classes=2)
    encoder = VideoEncoder(SIZES.video)
    classifier = VideoClassifier(classes)
    classifier.encoder.load_state_dict(encoder.state_dict())
    stage = objective()
    stage.model.vision_encoder.load_state_dict(encoder.state_dict())
    tuning = objective(kind=TextTuningObjective)
    tuning.model.vision_encoder.load_state_dict(encoder.state_dict())
    return encoder, [Learns(encoder), Learns(classifier), stage, tuning]


def test_probe_and_collapse_work_on_every_objective(labelled):
    train, test = labelled
    encoder, stages = every_objective()
    evaluators = [ProbeEvaluator(train, test), CollapseEvaluator(train)]
    probe, collapse = ([evaluator(stage, 0) for stage in stages] for evaluator in evaluators)
    assert probe[0] == probe[1] == probe[2] == probe[3]
    assert probe[0]["probe/linear_balanced_accuracy"] == probe[0]["probe/centroid_accuracy"] == 1.0
    with torch.no_grad():
        tokens = [torch.cat([encoder(b["video"].float() / 255) for b in part]) for part in labelled]
    labels = [torch.cat([b["label"] for b in part]) for part in labelled]
    chosen = linear_probe(mean_and_change(tokens[0]), labels[0], mean_and_change(tokens[1]))
    assert probe[0]["probe/linear_accuracy"] == class_scores(chosen, labels[1])["accuracy"]
    means = collapse_indicators(encoder.pool(tokens[0]))
    for scores in collapse:
        assert {f"tokens_{name}": value for name, value in means.items()} == pytest.approx(
            {name.removeprefix("collapse/"): value for name, value in scores.items() if "tokens" in name}
        )
    assert "collapse/embeddings_std" in collapse[2] and "collapse/embeddings_std" not in collapse[0]


def test_a_class_that_the_probe_was_not_shown_counts_as_wrong(labelled):
    train, test = labelled
    strange = [
        {**batch, "label": torch.where(torch.arange(len(batch["label"])) < 2, 2, batch["label"])} for batch in test
    ]
    got = ProbeEvaluator(train, strange)(objective(), 0)
    assert got["probe/linear_accuracy"] == got["probe/centroid_accuracy"] == pytest.approx(12 / 16)
    assert got["probe/linear_balanced_accuracy"] == pytest.approx(2 / 3)


def test_features_of_the_probe_can_be_chosen(labelled):
    seen = []

    def features(tokens):
        seen.append(tuple(tokens.shape[1:]))
        return tokens.mean((1, 2))[:, :3]

    ProbeEvaluator(*labelled, features)(objective(), 0)
    assert set(seen) == {(2, 4, 24)}


def test_change_tells_what_the_mean_does_not():
    still = torch.tensor([1.0, 1.0]).view(1, 2, 1, 1)
    moving = torch.tensor([0.0, 2.0]).view(1, 2, 1, 1)
    assert mean_and_change(still).tolist() == [[1.0, 0.0]] and mean_and_change(moving).tolist() == [[1.0, 2.0]]
    assert mean_and_change(torch.ones(1, 1, 2, 1)).tolist() == [[1.0, 0.0]]


def test_no_trace_is_left():
    """A step after an evaluation is bit for bit the step without it; modes and generators are as before."""
    batch = pairs(6)
    stage, twin = objective(), objective()
    stage.model.text_encoder.eval()  # a part that is frozen, say

    class Restless(list):
        def __iter__(self):
            torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002 (a loader may draw)
            return super().__iter__()

    batches = Restless([{**batch, "label": torch.arange(6) % 2}])
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    for evaluator in (
        RetrievalEvaluator(batches, batches),
        ZeroShotEvaluator(batches, tokenizer, [["a"], ["b"]]),
        ProbeEvaluator(batches, batches),
        CollapseEvaluator(batches),
    ):
        evaluator(stage, 0)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002
    assert stage.training and stage.model.training and not stage.model.text_encoder.training
    assert all(p.grad is None and p.requires_grad for p in stage.parameters())
    stage.backward(batch), twin.backward(batch)
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(stage.parameters(), twin.parameters(), strict=True))


def test_modes_come_back_after_an_error():
    stage = objective()
    with pytest.raises(RuntimeError, match="stop"), judging(stage):
        assert not stage.training and not torch.is_grad_enabled()
        raise RuntimeError("stop")
    assert stage.training and torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda b: RetrievalEvaluator(iter([b]), [b]), "clips: expected batches .* again .a list., got an iterator"),
        (lambda b: RetrievalEvaluator([b], [])(objective(), 0), "batches: expected at least one, got none"),
        (lambda b: RetrievalEvaluator([b], [{"video": b["video"]}])(objective(), 0), "got .'video'. .no token_ids."),
        (lambda b: RetrievalEvaluator([b], [b])(Learns(None), 0), "compares clips with texts .* got Learns"),
        (
            lambda b: ZeroShotEvaluator([b], tokenizer, [["a"]])(objective(), 0),
            "video, label, got .* .no label.",
        ),
        (
            lambda b: ZeroShotEvaluator([b], tokenizer, [["a"], []]),
            r"prompts: expected a list of sentences .* got \[\]",
        ),
        (
            lambda b: ZeroShotEvaluator([b], tokenizer, ["still"]),
            "prompts: expected a list of sentences .* got 'still'",
        ),
        (
            lambda b: ProbeEvaluator([{**b, "label": torch.zeros(3, 2)}], [b])(objective(), 0),
            r"label: expected one class per clip, shape .B,., got \(3, 2\)",
        ),
        (lambda b: CollapseEvaluator([b])(Learns(torch.nn.Linear(1, 1)), 0), "a video encoder, got Linear"),
        (lambda b: CollapseEvaluator([{"video": b["video"].float()}])(objective(), 0), "uint8 from 0 to 255, got"),
    ],
)
def test_bad_input_is_one_clear_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make(pairs(3))
    assert "\n" not in str(error.value)
