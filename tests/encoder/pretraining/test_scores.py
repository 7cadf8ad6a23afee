"""Scores against scikit-learn, plain loops and cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler

from behavior_prism.encoder.pretraining.scores import (
    class_scores,
    collapse_indicators,
    linear_probe,
    nearest_centroid,
    prompt_embeddings,
    retrieval_scores,
)

pytestmark = pytest.mark.torch


def unit(n, d, seed=0):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


# ------------------------------------------------------------------------------------------------- retrieval


def by_sorting(video, text, video_of_text, k):
    """The definition, by sorting lists (no ties)."""
    similar = (video @ text.T).numpy()
    by_text = [int(video_of_text[s]) in np.argsort(-similar[:, s])[:k] for s in range(len(text))]
    by_clip = [v in [int(video_of_text[s]) for s in np.argsort(-similar[v])[:k]] for v in range(len(video))]
    return np.mean(by_text), np.mean(by_clip)


@pytest.mark.parametrize("captions", [1, 3])
def test_retrieval_equals_its_definition(captions):
    video = unit(30, 4)
    video_of_text = torch.arange(30).repeat_interleave(captions)[torch.randperm(30 * captions)]
    text = F.normalize(video[video_of_text] + 0.7 * unit(30 * captions, 4, 1), dim=1)
    scores = retrieval_scores(video, text, video_of_text)
    for k in (1, 5, 10):
        expected = by_sorting(video, text, video_of_text, k)
        assert (scores[f"text_to_video_r{k}"], scores[f"video_to_text_r{k}"]) == pytest.approx(expected)
    assert 0 < scores["text_to_video_r1"] < scores["text_to_video_r10"] <= 1


def test_retrieval_by_hand():
    video = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    text = F.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.2], [1.0, 0.3]]), dim=1)
    # clip 0 is closest to all texts; of its three texts the first is closest to clip 0, the last to clip 1
    scores = retrieval_scores(video, text, torch.tensor([0, 1, 1]), (1, 2))
    assert scores == pytest.approx(
        {"text_to_video_r1": 1 / 3, "text_to_video_r2": 1.0, "video_to_text_r1": 1.0, "video_to_text_r2": 1.0}
    )


def test_collapsed_embeddings_score_at_chance():
    same = unit(1, 8).expand(40, 8)
    scores = retrieval_scores(same, same)
    for k in (1, 5, 10):
        assert scores[f"text_to_video_r{k}"] == scores[f"video_to_text_r{k}"] == pytest.approx(k / 40)
    several = retrieval_scores(same, same.repeat(2, 1), torch.arange(40).repeat(2))
    # of 80 texts in random order two are right: 1 - C(78, k) / C(80, k)
    for k in (1, 5, 10):
        assert several[f"video_to_text_r{k}"] == pytest.approx(1 - math.comb(78, k) / math.comb(80, k))


def test_ties_equal_the_mean_over_random_orders():
    """A small shift at random breaks ties; the mean over many shifts is what is computed at once."""
    generator = torch.Generator().manual_seed(4)
    video, text = torch.eye(3)[torch.randint(0, 3, (2, 12), generator=generator)]
    video_of_text = torch.cat([torch.arange(6), torch.randint(0, 6, (6,), generator=generator)])
    video = video[:6]
    exact = retrieval_scores(video, text, video_of_text, (1, 3))
    similar, own = video @ text.T, torch.arange(6)[:, None] == video_of_text
    hits = dict.fromkeys(exact, 0.0)
    for _ in range(3000):
        broken = similar + 1e-3 * torch.rand(similar.shape, generator=generator)
        for k in (1, 3):
            best = torch.zeros_like(own).scatter(0, broken.topk(k, dim=0).indices, True)
            hits[f"text_to_video_r{k}"] += float((best & own).any(0).float().mean()) / 3000
            best = torch.zeros_like(own).scatter(1, broken.topk(k, dim=1).indices, True)
            hits[f"video_to_text_r{k}"] += float((best & own).any(1).float().mean()) / 3000
    assert hits == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_embeddings_that_are_not_finite_are_worth_nothing(broken):
    """A model that has diverged must not look like one that knows everything."""
    text = unit(12, 4)
    video, labels = text.clone(), torch.arange(12) % 2
    video[3, 1] = broken
    for scores in (
        retrieval_scores(video, text),
        retrieval_scores(text, video),
        retrieval_scores(torch.full((12, 4), broken), text),
        class_scores(linear_probe(video, labels, text), labels),
        class_scores(nearest_centroid(text, labels, video), labels),
        collapse_indicators(video),
    ):
        assert all(math.isnan(value) for value in scores.values()), scores


def test_few_clips_have_no_tenth_rank_and_that_is_fine():
    assert set(retrieval_scores(unit(2, 4), unit(2, 4)).values()) == {1.0}


@pytest.mark.parametrize(
    ("video", "text", "of", "message"),
    [
        (unit(2, 4), unit(3, 4), None, "clip of each text where their numbers differ .2 clips, 3 texts., got none"),
        (unit(2, 4), unit(2, 5), None, r"shapes \(V, D\) and \(S, D\), got \(2, 4\) and \(2, 5\)"),
        (unit(2, 4), unit(0, 4), None, r"got \(2, 4\) and \(0, 4\)"),
        (unit(2, 4), unit(2, 4), torch.tensor([0, 2]), "numbers from 0 to 1, got others"),
        (unit(2, 4), unit(2, 4), torch.tensor([0, 0]), "at least one text for each clip, got none for 1"),
        (unit(2, 4), unit(2, 4), torch.tensor([0.0, 1.0]), "2 whole numbers, got torch.float32"),
        (unit(2, 4), unit(2, 4), torch.tensor([0]), r"2 whole numbers, got torch.int64 of shape \(1,\)"),
    ],
)
def test_bad_retrieval_is_one_clear_line(video, text, of, message):
    with pytest.raises(ValueError, match=message):
        retrieval_scores(video, text, of)


# ------------------------------------------------------------------------------------------------- classes


@pytest.fixture(scope="module")
def labelled():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 120)
    features = generator.normal(size=(120, 6)) * [1, 2, 0.1, 30, 1, 1] + 5
    features[:, 0] += labels
    features[:, 3] -= 20 * (labels == 2)
    return torch.tensor(features).float(), torch.tensor(labels)


@pytest.mark.parametrize("c", [1.0, 0.01])
def test_linear_probe_is_scikit_learns(labelled, c):
    x, y = labelled
    scaler = StandardScaler().fit(x[:80])
    peer = LogisticRegression(C=c, tol=1e-8, max_iter=1000).fit(scaler.transform(x[:80]), y[:80])
    got = linear_probe(x[:80], y[:80], x[80:], c).softmax(1)
    assert np.abs(got.numpy() - peer.predict_proba(scaler.transform(x[80:]))).max() < 1e-4
    assert (got.argmax(1) == y[80:]).float().mean() > 0.5


def test_linear_probe_learns_where_nothing_else_does(labelled):
    x, y = labelled
    with torch.no_grad():
        first = linear_probe(x[:80], y[:80], x[80:])
    assert torch.equal(first, linear_probe(x[:80], y[:80], x[80:]))


def test_nearest_centroid_is_scikit_learns(labelled):
    x, y = labelled
    mean, deviation = x[:80].mean(0), x[:80].std(0, correction=0)
    train, test = ((part - mean) / deviation for part in (x[:80], x[80:]))
    centroids = F.normalize(torch.tensor(NearestCentroid().fit(train.numpy(), y[:80]).centroids_), dim=1)
    got = nearest_centroid(x[:80], y[:80], x[80:])
    assert torch.allclose(got, F.normalize(test, dim=1) @ centroids.float().T, atol=1e-4)


def test_a_class_without_samples_is_never_chosen(labelled):
    x, y = labelled
    some = y != 1
    for method in (linear_probe, nearest_centroid):
        scores = method(x[some], y[some], x)
        assert scores.shape == (120, 3) and not (scores.argmax(1) == 1).any()


def test_constant_channels_do_no_harm(labelled):
    x, y = labelled
    more = torch.cat([x, torch.full((120, 1), 3.0)], dim=1)
    assert torch.allclose(linear_probe(more, y, more), linear_probe(x, y, x), atol=1e-5)


def test_class_scores_are_scikit_learns(labelled):
    x, y = labelled
    scores = class_scores(x[:, :3], y)
    chosen = x[:, :3].argmax(1)
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, chosen))
    assert scores["accuracy"] == pytest.approx(float((chosen == y).double().mean()))


def test_classes_that_tie_share_the_point():
    scores = class_scores(torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0], [3.0, 3.0, 3.0]]), torch.tensor([1, 1, 2]))
    assert scores == pytest.approx({"accuracy": (1 / 2 + 1 + 1 / 3) / 3, "balanced_accuracy": (3 / 4 + 1 / 3) / 2})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 3]), "classes from 0 to 2, got 0 to 3"),
        (torch.tensor([-1, 0]), "classes from 0 to 2, got -1 to 0"),
        (torch.tensor([0]), r"2 classes, got torch.int64 of shape \(1,\)"),
        (torch.tensor([0.0, 1.0]), "2 classes, got torch.float32"),
        (torch.zeros(2, 3, dtype=torch.int64), r"of shape \(2, 3\)"),
    ],
)
def test_bad_labels_are_one_clear_line(labels, message):
    with pytest.raises(ValueError, match=message):
        class_scores(torch.zeros(2, 3), labels)


def test_one_class_cannot_be_learned():
    with pytest.raises(ValueError, match="at least two classes, got only class 1"):
        linear_probe(torch.rand(3, 2), torch.tensor([1, 1, 1]), torch.rand(1, 2))


def test_prompts_are_averaged_by_class():
    text = unit(6, 5)
    classes = prompt_embeddings(text, 2)
    assert torch.allclose(classes[1], F.normalize(text[3:].mean(0), dim=0))
    with pytest.raises(ValueError, match=r"same number of prompts for 4 classes, got \(6, 5\)"):
        prompt_embeddings(text, 4)


# ------------------------------------------------------------------------------------------------- collapse


def test_indicators_of_embeddings_that_fill_the_space():
    values = collapse_indicators(7 * unit(4000, 16))
    assert values["std"] == pytest.approx(1, abs=0.01)
    assert values["effective_rank"] == pytest.approx(16, abs=0.1)
    assert values["cosine"] == pytest.approx(0, abs=0.01)


def test_indicators_of_a_plane():
    plane = unit(500, 2) @ unit(2, 16, 1)
    values = collapse_indicators(plane)
    assert values["effective_rank"] <= 2.0 + 1e-9
    assert values["std"] < 1


def test_indicators_by_hand():
    values = collapse_indicators(torch.tensor([[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]]))
    roots = [math.sqrt(2), 1.0]  # the singular values of (1 0 / 0 1 / 1 0)
    shares = [r / sum(roots) for r in roots]
    assert values["effective_rank"] == pytest.approx(math.exp(-sum(s * math.log(s) for s in shares)))
    assert values["cosine"] == pytest.approx(1 / 3)
    assert values["std"] == pytest.approx(math.sqrt(2) / 3 * math.sqrt(2))


def test_one_embedding_says_nothing():
    with pytest.raises(ValueError, match=r"at least two of shape \(N, D\), got \(1, 4\)"):
        collapse_indicators(torch.ones(1, 4))
