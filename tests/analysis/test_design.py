from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from behavior_prism.analysis import consensus, design_matrix, labels_for, stack_recordings
from behavior_prism.datasets import Annotations, annotations_from_intervals


def features_of(
    values: np.ndarray, *, valid=None, slots: int = 4, name: str = "r", individuals=("view",)
) -> xr.Dataset:
    """A features dataset from values (individual, time, token, channel)."""
    i, t = values.shape[:2]
    return xr.Dataset(
        {
            "feature": (("individual", "time", "token", "channel"), values.astype(np.float16)),
            "valid": (("individual", "time"), np.ones((i, t), bool) if valid is None else valid),
            "window_position": ("time", (np.arange(t) % slots).astype(np.int16)),
            "edge_time": ("edge", np.arange(t + 1) / 25),
        },
        coords={
            "individual": np.asarray(individuals, dtype=object),
            "time": np.arange(t) / 25,
            "frame": ("time", np.arange(t)),
        },
        attrs={"recording": name},
    )


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(1, 400, 6, 5))


def test_floor_and_light_do_not_matter(values):
    """What is the same in every frame, however different between places, leaves the rows unchanged."""
    background = np.random.default_rng(1).normal(size=(1, 1, 6, 5)) * 3
    a, _ = design_matrix(features_of(values))
    b, _ = design_matrix(features_of(values + background))
    assert a.shape == (400, 9 * 5)
    np.testing.assert_allclose(a, b, atol=0.15)
    assert np.abs(a - b).mean() < 0.01


def test_the_slot_of_the_window_does_not_matter(values):
    pattern = np.random.default_rng(2).normal(size=(4, 1, 5))[np.arange(400) % 4][None] * 3
    a, _ = design_matrix(features_of(values))
    b, _ = design_matrix(features_of(values + pattern))
    assert np.abs(a - b).mean() < 0.02


def test_movement_is_seen():
    still = np.zeros((1, 400, 6, 5))
    moving = still.copy()
    rng = np.random.default_rng(0)
    for t in range(200, 400):
        moving[0, t, rng.integers(6)] = rng.uniform(2, 10)
    rows, _ = design_matrix(features_of(moving + rng.normal(size=moving.shape) * 0.1))
    change = rows[:, 30:45].mean(axis=1)
    assert change[210:390].mean() > change[10:190].mean() + 1


def test_rows_of_an_animal_that_is_absent_do_not_enter(values):
    valid = np.ones((1, 400), bool)
    valid[0, 100:150] = False
    other = values.copy()
    other[0, 100:150] = np.nan
    a, valid_rows = design_matrix(features_of(values, valid=valid), context=0)
    b, _ = design_matrix(features_of(other, valid=valid), context=0)
    assert valid_rows.sum() == 350
    keep = valid_rows.copy()
    keep[150] = False  # its change is measured against the frame before
    np.testing.assert_allclose(a[keep], b[keep], atol=1e-5)


def test_rows_are_standardised_over_valid_frames_only(values):
    valid = np.ones((1, 400), bool)
    valid[0, 100:250] = False
    rows, used = design_matrix(features_of(values + 7 * np.arange(400)[None, :, None, None] / 400, valid=valid))
    np.testing.assert_allclose(rows[used].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(rows[used].std(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize(("rare", "stays"), [(10, True), (49, True), (50, False)])
def test_a_rare_slot_is_centred_on_all_frames(values, rare, stays):
    """A few frames' own mean would take away what they show, and the mean of many is the window's doing."""
    shown = values.copy()
    shown[0, 400 - rare :] += 3
    features = features_of(shown)
    features["window_position"][:] = (np.arange(400) >= 400 - rare).astype(np.int16)
    rows, _ = design_matrix(features, context=0)
    means = rows[:, :5].mean(axis=1)  # over places
    assert (means[400 - rare :].mean() > means[: 400 - rare].mean() + 1) == stays


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_very_short_recordings(frames):
    rows, valid = design_matrix(
        features_of(np.random.default_rng(0).normal(size=(2, frames, 4, 3)), individuals=("a", "b"))
    )
    assert rows.shape == (2 * frames, 27) and np.isfinite(rows).all() and valid.all()


def test_labels_meet_features_by_name_or_by_view(values):
    intervals = [(0, 100, "walk"), (50, 60, "rear")]
    a = annotations_from_intervals(intervals, behaviors=["walk", "rear"], num_frames=400, fps=25, individual="m1")
    view = labels_for(features_of(values), a)
    assert view.sel(behavior="walk").values[:, 0].sum() == 100
    two = features_of(np.concatenate([values, values]), individuals=("m1", "m2"))
    named = labels_for(two, a)
    assert named.sel(individual="m1", behavior="rear").sum() == 10
    assert (named.sel(individual="m2") == -1).all()
    with pytest.raises(ValueError, match=r"labels of \['m1'\] do not fit features of \['x', 'y'\]"):
        labels_for(features_of(np.concatenate([values, values]), individuals=("x", "y")), a)


def both(*parts: Annotations) -> Annotations:
    """Rows of several annotations in one table."""
    return Annotations(
        bouts=pd.concat([p.bouts for p in parts]),
        scored=pd.concat([p.scored for p in parts]),
        behaviors=parts[0].behaviors,
    )


def test_rows_with_and_without_an_individual_are_pooled_for_the_view(values):
    common = {"behaviors": ["walk"], "num_frames": 400, "fps": 25}
    mouse = annotations_from_intervals([(50, 60, "walk")], individual="m1", **common)
    view = annotations_from_intervals([(100, 105, "walk")], **common)
    label = labels_for(features_of(values), both(mouse, view)).values.ravel()
    assert np.flatnonzero(label == 1).tolist() == [*range(50, 60), *range(100, 105)]
    assert (np.delete(label, np.flatnonzero(label == 1)) == 0).all()
    # who scored the whole view has scored every animal in it, and the other way round
    unscored = pd.DataFrame(columns=view.scored.columns)
    bare_mouse = Annotations(bouts=mouse.bouts, scored=unscored, behaviors=("walk",))
    bare_view = Annotations(bouts=view.bouts, scored=unscored, behaviors=("walk",))
    for mixed in (both(bare_mouse, view), both(mouse, bare_view)):
        np.testing.assert_array_equal(labels_for(features_of(values), mixed).values.ravel(), label)
    nobody = labels_for(features_of(values), both(bare_mouse, bare_view)).values.ravel()
    assert set(np.delete(nobody, np.flatnonzero(label == 1))) == {-1}


def test_a_single_region_takes_labels_of_the_view(values):
    view = annotations_from_intervals([(100, 105, "walk")], behaviors=["walk"], num_frames=400, fps=25)
    label = labels_for(features_of(values, individuals=("well",)), view)
    assert label["individual"].values.tolist() == ["well"] and label.sum() == 5
    two = features_of(np.concatenate([values, values]), individuals=("well1", "well2"))
    with pytest.raises(ValueError, match=r"labels of \['view'\] do not fit features of \['well1', 'well2'\]"):
        labels_for(two, view)


def test_scorers_who_disagree_are_not_scored():
    dense = xr.DataArray(
        np.array([[1, 1, 0, -1, -1], [1, 0, 0, 0, -1]], dtype=np.int8)[:, :, None, None],
        dims=("scorer", "time", "individual", "behavior"),
        coords={"time": np.arange(5.0), "scorer": ["a", "b"], "individual": ["m"], "behavior": ["walk"]},
    )
    assert consensus(dense).values.ravel().tolist() == [1, -1, 0, 0, -1]


def test_stacked_rows_know_their_recording(values):
    stores = [features_of(values, name="a"), features_of(values[:, :100], name="b")]
    truth = [
        labels_for(
            s, annotations_from_intervals([(0, 9, "walk")], behaviors=["walk"], num_frames=s.sizes["time"], fps=25)
        )
        for s in stores
    ]
    data = stack_recordings(stores, truth)
    assert data.rows.shape[0] == 500 and (data.recording == "a").sum() == 400
    assert data.label.sum() == 18


def test_rows_without_scored_interval_stay_unscored(values):
    a = annotations_from_intervals([(0, 9, "walk")], behaviors=["walk"], num_frames=400, fps=25)
    bare = Annotations(bouts=a.bouts, scored=pd.DataFrame(columns=a.scored.columns), behaviors=("walk",))
    label = labels_for(features_of(values), bare).values.ravel()
    assert label[:9].tolist() == [1] * 9 and set(label[9:]) == {-1}
