"""Fine-tuning: losses beside scikit-learn's and by hand, what is not scored, freezing, learning."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from behavior_prism.encoder import VideoClassifier, VideoEncoder
from behavior_prism.encoder.pretraining.adapt import layerwise_scales
from behavior_prism.encoder.pretraining.adapters import add_low_rank_adapters, merge_adapters
from behavior_prism.encoder.pretraining.finetune import (
    FinetuneConfig,
    FinetuneObjective,
    class_loss,
    classifier_from,
    three_state_loss,
)

pytestmark = pytest.mark.torch


def make_video(b=4, t=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (b, t, 24, 24, 3), np.uint8))


def test_class_loss_is_that_of_sklearn_over_scored_clips(rand):
    logits, label = rand(6, 3) * 4, torch.tensor([0, 2, -1, 1, 2, -1], dtype=torch.int8)
    scored = (label >= 0).numpy()
    chances = logits.double().softmax(-1).numpy()
    for weights in (None, [1.0, 0.5, 3.0]):
        given = None if weights is None else torch.tensor(weights)
        per_clip = None if weights is None else np.array(weights)[label.numpy()[scored]]
        expected = log_loss(label.numpy()[scored], chances[scored], labels=[0, 1, 2], sample_weight=per_clip)
        assert class_loss(logits, label, given).item() == pytest.approx(expected, abs=1e-6)


def test_three_state_loss_is_that_of_sklearn_over_scored_entries(rand):
    logits, label = rand(6, 3) * 4 - 2, torch.tensor([[0, 1, -1]] * 3 + [[1, -1, -1]] * 2 + [[-1, -1, -1]])
    flat = label.numpy().ravel()
    chances = logits.double().sigmoid().numpy().ravel()[flat >= 0]
    expected = log_loss(flat[flat >= 0], chances, labels=[0, 1])
    assert three_state_loss(logits, label).item() == pytest.approx(expected, abs=1e-6)
    # weight 2 of the first class: its two clips with presence count twice; the divisor stays
    terms = -np.log(np.where(flat[flat >= 0] == 1, chances, 1 - chances))
    first = (np.tile([True, False, False], 6) & (flat == 1))[flat >= 0]
    weighted = three_state_loss(logits, label, torch.tensor([2.0, 1.0, 1.0])).item()
    assert weighted == pytest.approx((terms.sum() + terms[first].sum()) / len(terms), abs=1e-6)


@pytest.mark.parametrize("label", [torch.full((4,), -1), torch.full((4, 3), -1, dtype=torch.int8)])
def test_nothing_scored_is_no_loss_and_no_gradient(small, label):
    objective = FinetuneObjective(classifier_from(small, 3), FinetuneConfig(class_weights=[1, 2, 3]))
    metrics = objective.backward({"video": make_video(), "label": label})
    assert metrics["loss"].item() == 0 and metrics["scored"].item() == 0 and metrics["accuracy"].item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in objective.parameters())


def test_rows_that_are_not_scored_change_nothing(small):
    objective = FinetuneObjective(classifier_from(small, 3))
    video = make_video()
    for label in (torch.tensor([0, -1, 2, -1]), torch.tensor([[0, 1, 1], [-1] * 3, [1, 0, 0], [-1] * 3])):
        losses = []
        for rows in (slice(None), slice(0, None, 2)):
            loss, _ = objective({"video": video[rows], "label": label[rows]})
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize(
    "label", [torch.tensor([0, 1, 2, -1]), torch.tensor([[0, 1, 1], [1, -1, 0], [-1, -1, -1], [0, 0, 1]])]
)
def test_overfits(small, label):
    objective = FinetuneObjective(classifier_from(small, 3))
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3, weight_decay=0)
    batch = {"video": make_video(), "label": label}
    first = objective(batch)[0].item()
    for _ in range(50):
        optimizer.zero_grad()
        objective.backward(batch)
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
    loss, metrics = objective(batch)
    assert loss.item() < 0.1 < first and metrics["accuracy"].item() == 1


@pytest.mark.parametrize(
    ("frozen", "learned"),
    [
        (0, {"patch_projection", "spatial_pos_emb", "spatial.0", "spatial.1", "spatial_ln"}),
        (1, {"spatial.1", "spatial_ln"}),
        ("spatial", set()),
        (2, set()),
    ],
)
def test_first_layers_stay_as_they_are(small, frozen, learned):
    objective = FinetuneObjective(classifier_from(small, 2), FinetuneConfig(frozen_layers=frozen))
    before = copy.deepcopy(objective.model.state_dict())
    objective.backward({"video": make_video(), "label": torch.tensor([0, 1, 1, 0])})
    torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=1.0).step()
    after = objective.model.state_dict()
    changed = set()
    for name in before:
        if not torch.equal(before[name], after[name]):
            first, *rest = name.removeprefix("encoder.").replace("_encoder.layers", "").split(".")
            changed.add(f"{first}.{rest[0]}" if first in ("spatial", "temporal") else first)
    above = {"temporal_pos_emb", "temporal.0", "temporal.1", "temporal_ln", "atten_pooler", "projection"}
    assert changed == learned | above


def test_the_classifier_is_what_is_learned_and_starts_from_the_encoder(small, rand):
    model = classifier_from(small, 4, seed=3)
    objective = FinetuneObjective(model)
    assert objective.learned_model() is model and isinstance(model, VideoClassifier)
    video = rand(1, 3, 24, 24, 3)
    assert torch.equal(model(video).tokens, small(video))
    assert not {p.data_ptr() for p in model.encoder.parameters()} & {p.data_ptr() for p in small.parameters()}
    assert torch.equal(model.projection.weight, classifier_from(small, 4, seed=3).projection.weight)
    assert not torch.equal(model.projection.weight, classifier_from(small, 4, seed=4).projection.weight)
    without = objective.no_weight_decay()
    assert {"model.atten_pooler.pooling_attention_query", "model.projection.bias"} <= without
    assert "model.projection.weight" not in without


def test_adapters_and_rates_that_fall_work_here_too(small):
    objective = FinetuneObjective(classifier_from(small, 2))
    assert layerwise_scales(objective, 0.5)["model.encoder.patch_projection.weight"] == 0.5**5
    add_low_rank_adapters(objective.model.encoder, rank=2)
    objective.backward({"video": make_video(), "label": torch.tensor([0, 1, 1, 0])})
    torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=1.0).step()
    video = make_video(2).float() / 255
    merged = merge_adapters(objective.learned_model())
    assert isinstance(merged, VideoClassifier) and isinstance(merged.encoder, VideoEncoder)
    torch.testing.assert_close(merged(video).logits, objective.model(video).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (torch.zeros(3, dtype=torch.int64), r"integers of shape \(4,\) or \(4, 3\), got torch.int64 of shape \(3,\)"),
        (torch.zeros(4, 2, dtype=torch.int8), r"shape \(4, 2\)"),
        (torch.zeros(4), "got torch.float32"),
        (torch.tensor([0, 1, 3, 0]), r"label: expected -1 \(not scored\) to 2, got 0 to 3"),
        (torch.full((4, 3), 2), "to 1, got 2 to 2"),
        (torch.full((4,), -2), "got -2 to -2"),
    ],
)
def test_labels_that_do_not_fit_are_refused(small, label, message):
    with pytest.raises(ValueError, match=message):
        FinetuneObjective(classifier_from(small, 3))({"video": make_video(), "label": label})


def test_pixels_that_are_floats_already_are_refused(small):
    with pytest.raises(ValueError, match="video: expected uint8 from 0 to 255, got torch.float32"):
        FinetuneObjective(classifier_from(small, 3))({"video": make_video() / 255, "label": torch.tensor([0, 1, 2, 0])})


def test_what_cannot_be_fine_tuned_is_refused(small):
    model = classifier_from(small, 3)
    with pytest.raises(ValueError, match="at most the 4 layers of the encoder, got 5"):
        FinetuneObjective(model, FinetuneConfig(frozen_layers=5))
    with pytest.raises(ValueError, match="one for each of 3 classes, got 2"):
        FinetuneObjective(model, FinetuneConfig(class_weights=[1.0, 2.0]))
    with pytest.raises(ValueError, match="model: expected a VideoClassifier, got VideoEncoder"):
        FinetuneObjective(small)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="require gradients, got none"):
        FinetuneObjective(classifier_from(small, 3).requires_grad_(False))
    with pytest.raises(ValueError, match="expected a VideoEncoder or a VideoTextModel, got SimpleNamespace"):
        classifier_from(SimpleNamespace(), 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_classes: expected"):
        classifier_from(small, 0)
    for wrong in ({"frozen_layers": -1}, {"frozen_layers": "all"}, {"class_weights": [-1.0]}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FinetuneConfig(**wrong)  # type: ignore[arg-type]
    add_low_rank_adapters(small)
    with pytest.raises(ValueError, match="got int8 layers or adapters"):
        classifier_from(small, 3)
