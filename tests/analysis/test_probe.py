from __future__ import annotations

import json

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from behavior_prism.analysis import LinearProbe, TrainingSet, cross_validate_by_recording, load_probe, save_probe

CHECKS = [
    # the array API check skips itself unless SciPy was switched to it before its import
    pytest.param(estimator, check, id=getattr(check, "func", check).__name__ + f"-{k}")
    for k, (estimator, check) in enumerate(estimator_checks_generator(LinearProbe()))
    if "array_api" not in getattr(check, "func", check).__name__
]
CARD = {"kind": "linear", "behaviors": ["a", "b"], "features": {}, "context": 4, "recordings": ["r"], "version": "0"}


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_is_a_scikit_learn_classifier(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5)).astype(np.float32)
    y = np.stack([X[:, 0] > 0.5, X[:, 1] + X[:, 2] > 1.5], axis=1).astype(np.int8)
    return X, y


def test_unscored_frames_do_not_count(data):
    X, y = data
    masked = y.copy()
    masked[100:, 1] = -1
    fitted = LinearProbe().fit(X, masked)
    scored = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, class_weight="balanced", max_iter=1000))
    expected = scored.fit(X[:100], y[:100, 1]).predict_proba(X)[:, 1]
    np.testing.assert_allclose(fitted.predict_proba(X)[:, 1], expected, atol=1e-6)
    # whatever stands in unscored rows, the fit is the same
    other = X.copy()
    other[100:] = 0
    np.testing.assert_allclose(
        LinearProbe().fit(other, np.column_stack([y[:, 0], masked[:, 1]])).predict_proba(X)[:, 1], expected, atol=1e-6
    )


def test_rare_behaviour_is_found_with_balanced_weights(data):
    X, y = data
    rare = y[:, 1:]
    assert LinearProbe().fit(X, rare).predict(X).sum() > LinearProbe(class_weight=None).fit(X, rare).predict(X).sum()


def test_a_behaviour_always_present_or_never(data):
    X, y = data
    y = np.column_stack([y[:, 0], np.zeros(300, int), np.ones(300, int)])
    probe = LinearProbe().fit(X, y)
    assert probe.constant_ == [1, 2]
    probability = probe.predict_proba(X)
    assert np.all(probability[:, 1] == 0) and np.all(probability[:, 2] == 1)


def test_a_behaviour_that_nobody_scored(data):
    X, y = data
    y[:, 1] = -1
    with pytest.raises(ValueError, match="some scored frames for every behaviour, column 1 has none"):
        LinearProbe().fit(X, y)


def test_no_recording_is_on_both_sides():
    """A probe that remembers its rows cannot be right about a recording it has not seen."""
    rng = np.random.default_rng(0)
    recording = np.repeat(["a", "b", "c", "d"], 200).astype(object)
    own = rng.normal(size=(4, 40))[np.repeat(np.arange(4), 200)]  # tells the recording, nothing else
    drift = np.cumsum(rng.normal(size=(800, 40)), axis=0)
    label = (rng.random((800 // 40, 1)) > 0.5).repeat(40, axis=0).astype(np.int8)  # bouts, unrelated to the features
    data = TrainingSet(rows=np.hstack([own, drift]), label=label, recording=recording, behaviors=("noise",))
    score = cross_validate_by_recording(LinearProbe(C=1.0), data)
    from sklearn.metrics import roc_auc_score

    assert abs(roc_auc_score(label, score) - 0.5) < 0.2
    # the same probe with frames on both sides "knows" it: the split matters
    shuffled = TrainingSet(
        rows=data.rows, label=label, recording=np.tile(["a", "b"], 400).astype(object), behaviors=("noise",)
    )
    assert roc_auc_score(label, cross_validate_by_recording(LinearProbe(C=1.0), shuffled)) > 0.9


def test_one_recording_cannot_be_held_out(data):
    X, y = data
    one = TrainingSet(rows=X, label=y, recording=np.full(300, "a", dtype=object), behaviors=("a", "b"))
    with pytest.raises(ValueError, match="at least two recordings to hold one out, got 1"):
        cross_validate_by_recording(LinearProbe(), one)


# -- on disk -----------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path, data):
    X, y = data
    probe = LinearProbe().fit(X, y)
    save_probe(probe, {**CARD, "note": "test"}, tmp_path / "probe")
    again, card = load_probe(tmp_path / "probe")
    np.testing.assert_array_equal(again.predict_proba(X), probe.predict_proba(X))
    assert card["note"] == "test"
    with pytest.raises(FileExistsError, match="exists already"):
        save_probe(probe, card, tmp_path / "probe")
    assert [p.name for p in tmp_path.iterdir()] == ["probe"]


def test_replaced_only_by_a_probe(tmp_path, data):
    probe = LinearProbe().fit(*data)
    save_probe(probe, CARD, tmp_path / "probe")
    (tmp_path / ".probe.old").mkdir()  # left by a process that was killed
    save_probe(probe, {**CARD, "note": "second"}, tmp_path / "probe", overwrite=True)
    assert load_probe(tmp_path / "probe")[1]["note"] == "second"
    with pytest.raises(ValueError):
        save_probe(probe, {**CARD, "note": float("nan")}, tmp_path / "probe", overwrite=True)
    assert load_probe(tmp_path / "probe")[1]["note"] == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["probe"]
    (tmp_path / "thesis").mkdir()
    with pytest.raises(FileExistsError, match="thesis: exists already and is not a probe"):
        save_probe(probe, CARD, tmp_path / "thesis", overwrite=True)


class Foreign:
    """Not one of ours."""


def test_foreign_types_are_refused(tmp_path):
    folder = tmp_path / "probe"
    folder.mkdir()
    (folder / "card.json").write_text(json.dumps({"behaviors": []}))
    skops.io.dump(Foreign(), folder / "probe.skops")
    with pytest.raises(ValueError, match="holds types that no probe of ours has: .*Foreign"):
        load_probe(folder)


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such probe"):
        load_probe(tmp_path / "none")
    with pytest.raises(ValueError, match=r"expected a probe folder with card\.json"):
        load_probe(tmp_path)
    (tmp_path / "card.json").write_text("{")
    (tmp_path / "probe.skops").write_bytes(b"junk")
    with pytest.raises(ValueError, match="not a usable probe"):
        load_probe(tmp_path)
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    with pytest.raises(ValueError, match="not a usable probe"):
        load_probe(tmp_path)  # the card is fine, the model is junk


@pytest.mark.parametrize("card", [{k: v for k, v in CARD.items() if k != "features"}, {}, [], 3])
def test_a_card_that_lacks_something(tmp_path, data, card):
    save_probe(LinearProbe().fit(*data), CARD, tmp_path / "probe")
    (tmp_path / "probe" / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"card\.json: expected .* missing .*features"):
        load_probe(tmp_path / "probe")
