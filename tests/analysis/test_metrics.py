from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from behavior_prism.analysis import evaluate_predictions


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 2, (500, 3))
    score = np.clip(truth * 0.3 + rng.random((500, 3)) * 0.7, 0, 1)
    return truth, score


def test_agrees_with_scikit_learn_on_scored_frames(sample):
    truth, score = sample
    table = evaluate_predictions(truth, score, ["a", "b", "background"])
    for k, name in enumerate(["a", "b", "background"]):
        used = truth[:, k] >= 0
        y, p = truth[used, k], score[used, k]
        assert table.loc[name, "precision"] == pytest.approx(precision_score(y, p >= 0.5))
        assert table.loc[name, "recall"] == pytest.approx(recall_score(y, p >= 0.5))
        assert table.loc[name, "f1"] == pytest.approx(f1_score(y, p >= 0.5))
        assert table.loc[name, "average_precision"] == pytest.approx(average_precision_score(y, p))
        assert table.loc[name, "frames"] == used.sum()
    for name in ("precision", "recall", "f1", "average_precision", "prevalence"):
        assert table.loc["mean", name] == pytest.approx(table.loc[["a", "b"], name].mean())
        assert table.loc["mean", name] != pytest.approx(table.loc[["a", "b", "background"], name].mean())
    assert table.loc["mean", "present"] == table.loc[["a", "b"], "present"].sum()


def test_prevalence_is_the_share_of_scored_frames():
    truth = np.array([[1, 1], [0, -1], [0, -1], [-1, 1]])
    table = evaluate_predictions(truth, np.full((4, 2), 0.5), ["a", "b"])
    assert table["prevalence"].tolist() == pytest.approx([1 / 3, 1.0, 2 / 3])
    assert table["frames"].tolist() == [3, 2, 3] and table["present"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["background", "Background", "OTHER", "None"])
def test_background_is_known_in_any_case(name):
    truth, score = np.array([[1, 1], [0, 0]]), np.array([[0.9, 0.1], [0.1, 0.9]])
    assert evaluate_predictions(truth, score, ["walk", name]).loc["mean", "f1"] == 1.0
    assert evaluate_predictions(truth, score, ["walk", name], background=()).loc["mean", "f1"] == 0.5


def test_unscored_frames_change_nothing(sample):
    truth, score = sample
    before = evaluate_predictions(truth, score, ["a", "b", "c"])
    changed = np.where(truth == -1, 1 - score, score)
    assert evaluate_predictions(truth, changed, ["a", "b", "c"]).equals(before)


def test_a_behaviour_never_present_has_no_value_and_does_not_enter_the_mean():
    truth = np.array([[1, 0], [0, 0], [1, 0]])
    table = evaluate_predictions(truth, np.array([[0.9, 0.9], [0.1, 0.1], [0.8, 0.3]]), ["a", "b"])
    assert np.isnan(table.loc["b", "f1"]) and table.loc["b", "present"] == 0
    assert table.loc["mean", "f1"] == 1.0


def test_frames_without_prediction_are_left_out():
    table = evaluate_predictions(np.array([[1], [0], [1]]), np.array([[0.9], [0.1], [np.nan]]), ["a"])
    assert table.loc["a", "frames"] == 2 and table.loc["a", "recall"] == 1.0


def test_intervals_go_over_recordings(sample):
    truth, score = sample
    few = evaluate_predictions(truth, score, ["a", "b", "c"], recording=np.repeat(list("abcd"), 125))
    assert "f1_low" not in few
    recording = np.repeat([f"r{k}" for k in range(10)], 50)
    many = evaluate_predictions(truth, score, ["a", "b", "c"], recording=recording, num_bootstrap=200)
    assert (many["f1_low"] <= many["f1"]).all() and (many["f1"] <= many["f1_high"]).all()
    # ten copies of one recording: a bootstrap over frames would still find an interval, one over recordings none
    copies = evaluate_predictions(
        np.tile(truth[:50], (10, 1)),
        np.tile(score[:50], (10, 1)),
        ["a", "b", "c"],
        recording=recording,
        num_bootstrap=50,
    )
    np.testing.assert_allclose(copies["f1_low"], copies["f1_high"])


def test_the_bootstrap_is_the_plain_one(sample):
    """Weights by multiplicity give what drawn rows put below one another give, with ties and NaN in the scores."""
    truth, score = sample
    score = np.round(score, 1)
    score[::7, 0] = np.nan
    truth[100:, 1] = np.minimum(truth[100:, 1], 0)  # present in the first recording only
    recording = np.repeat(list("abcde"), 100)
    names = ["a", "b", "other"]
    table = evaluate_predictions(truth, score, names, recording=recording, num_bootstrap=60, seed=3)
    draws = []
    for pick in np.random.default_rng(3).integers(5, size=(60, 5)):
        rows = np.concatenate([np.arange(i * 100, i * 100 + 100) for i in pick])
        one = evaluate_predictions(truth[rows], score[rows], names)
        if one.loc["b", "present"] == 0:
            one.loc["mean"] = np.nan  # this draw says nothing about a mean over both
        draws.append(one[["f1", "average_precision"]].to_numpy())
    low, high = np.nanpercentile(np.stack(draws), [2.5, 97.5], axis=0)
    assert 0 < sum(np.isnan(d[1, 0]) for d in draws) < 60
    np.testing.assert_allclose(table[["f1_low", "average_precision_low"]], low)
    np.testing.assert_allclose(table[["f1_high", "average_precision_high"]], high)


def test_shapes_must_fit():
    with pytest.raises(ValueError, match=r"expected truth and score of shape \(n, 2\)"):
        evaluate_predictions(np.zeros((3, 1)), np.zeros((3, 1)), ["a", "b"])
