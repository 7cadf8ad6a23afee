"""What judges a run: the right clips, the same every time, and scikit-learn's numbers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from contrastive_pairs import SIZES, objective, pairs  # tests/support/
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from behavior_prism.datasets.captions import prompts_of
from behavior_prism.datasets.corpora import SimulatedCorpus
from behavior_prism.datasets.simulate import VARIED_BEHAVIORS, simulate_varied_clip
from behavior_prism.encoder.pretraining.evaluation import RetrievalEvaluator, ZeroShotEvaluator
from behavior_prism.encoder.pretraining.finetune import FinetuneObjective, classifier_from
from behavior_prism.encoder.pretraining.frozen_evaluation import ProbeEvaluator, mean_and_change
from behavior_prism.encoder.pretraining.masks import MaskConfig
from behavior_prism.encoder.pretraining.recipes import find_recipe
from behavior_prism.pretrain_batches import MaskedTokens, PairTexts
from behavior_prism.pretrain_evaluation import PrecisionEvaluator, PrecisionProbe, simulator_evaluators

pytestmark = pytest.mark.torch

DATA = dataclasses.replace(find_recipe("smoke").data, frames=1, image_size=(36, 36))
CORPUS = SimulatedCorpus(size=36, species="fly", seed=3)
FLIES = VARIED_BEHAVIORS["fly"]


class Spy:
    """A tokenizer that remembers what it was given."""

    def __init__(self):
        self.texts = []

    def __call__(self, texts):
        self.texts.append(list(texts))
        ids = torch.tensor([[1 + sum(map(ord, text)) % 49] for text in texts])
        return ids, torch.zeros(len(texts), 1)


def test_simulated_clips_are_the_right_ones():
    spy = Spy()
    made = simulator_evaluators(CORPUS, DATA, PairTexts(spy, 36, 18), 0)
    (zero_shot,) = [e for e in made if isinstance(e, ZeroShotEvaluator)]
    assert spy.texts == [prompts_of("fly", behavior) for behavior in FLIES]  # nothing was drawn yet
    labels = torch.cat([batch["label"] for batch in zero_shot.clips])
    assert labels.tolist() == [k for k in range(20) for _ in range(2)]
    video = torch.cat([batch["video"] for batch in zero_shot.clips])
    clip = simulate_varied_clip("fly", FLIES[3], seed=3, index=1, num_frames=1, size=36, split="test")
    assert torch.equal(video[7], torch.from_numpy(clip.frames))

    (probe,) = [e for e in made if isinstance(e, ProbeEvaluator)]
    taught, asked = (torch.cat([b["video"] for b in batches]).flatten(1) for batches in (probe.train, probe.test))
    assert len(taught) == 60 and torch.equal(asked, video.flatten(1))
    assert not (taught[:, None] == asked).all(-1).any()

    retrieval = {e.name: e for e in made if isinstance(e, RetrievalEvaluator)}
    assert list(retrieval) == [f"retrieval/{s}" for s in ("test", "unseen_sentences", "unseen_combinations",
                                                          "unseen_synonyms")]  # fmt: skip
    batches = list(retrieval["retrieval/unseen_synonyms"].clips)
    groups = torch.cat([batch["text_group"] for batch in batches])
    assert len(groups) == len(groups.unique()) == 32 and "kept" not in batches[0]
    again = simulator_evaluators(CORPUS, DATA, PairTexts(Spy(), 36, 18), 0)[3]
    assert all(torch.equal(a[n], b[n]) for a, b in zip(batches, again.clips, strict=True) for n in a)


def test_without_texts_there_is_the_loss_of_the_stage():
    made = simulator_evaluators(CORPUS, DATA, MaskedTokens((6, 6), MaskConfig(kind="tube")), 0)
    assert [e.name for e in made] == ["simulator", "probe", "collapse"]
    (batch, *_) = made[0].batches
    assert "masked_places" in batch and batch["video"].shape[1:] == (1, 36, 36, 3)


def test_the_probe_of_labels_is_scikit_learns():
    rng = np.random.default_rng(0)
    label = torch.from_numpy(rng.integers(-1, 2, (40, 3)).astype(np.int8))
    label[:, 2] = 1  # always there: says nothing
    video = pairs(40)["video"]
    video[label[:, 0] == 1] //= 2
    sides = [[{"video": video[a:b], "label": label[a:b]} for a, b in edges] for edges in
             (((0, 12), (12, 24)), ((24, 40),))]  # fmt: skip
    stage = objective()
    got = PrecisionProbe(*sides, ["walk", "groom", "breathe"])(stage, 0)

    with torch.no_grad():
        features = mean_and_change(stage.model.vision_encoder(video.float() / 255)).double().numpy()
    known, asked = np.arange(40) < 24, np.arange(40) >= 24
    expected, chance = {}, []
    for column, behavior in enumerate(["walk", "groom"]):
        values = label[:, column].numpy()
        one, other = known & (values >= 0), asked & (values >= 0)
        local = (features - features[one].mean(0)) / features[one].std(0)
        model = LogisticRegression(C=1.0, max_iter=5000, tol=1e-8).fit(local[one], values[one])
        expected[behavior] = average_precision_score(values[other], model.decision_function(local[other]))
        chance.append((values[other] == 1).mean())
    for behavior, value in expected.items():
        assert got[f"labels/average_precision/{behavior}"] == pytest.approx(value, abs=1e-6)
    assert got["labels/mean_average_precision"] == pytest.approx(np.mean(list(expected.values())), abs=1e-6)
    assert got["labels/chance"] == pytest.approx(np.mean(chance))
    assert "labels/average_precision/breathe" not in got
    assert SIZES.model_dim * 2 == features.shape[1]
    with pytest.raises(ValueError, match="labels: expected one of breathe to be both present and absent"):
        PrecisionProbe(*([{**b, "label": b["label"][:, 2:]} for b in side] for side in sides), ["breathe"])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_features_that_are_not_finite_score_nothing_and_end_no_run(broken):
    batch = {"video": pairs(8)["video"], "label": torch.arange(8, dtype=torch.int8)[:, None] % 2}
    stage = objective()
    tuned = FinetuneObjective(classifier_from(stage.model, 1, seed=0))
    for encoder in (stage.model.vision_encoder, tuned.learned_model().encoder):
        with torch.no_grad():
            next(encoder.parameters()).fill_(broken)
    probed = PrecisionProbe([batch], [batch], ["walk"])(stage, 0)
    assert math.isnan(probed["labels/mean_average_precision"]) and probed["labels/chance"] == 0.5
    judged = PrecisionEvaluator([batch], ["walk"])(tuned, 0)
    assert math.isnan(judged["held_out/average_precision/walk"])
