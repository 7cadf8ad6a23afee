from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score, precision_score, recall_score

from behavior_prism.analysis import agreement_report, agreement_table
from behavior_prism.datasets import (
    Annotations,
    Behavior,
    Ethogram,
    annotations_from_intervals,
    concat_annotations,
    empty_table,
    from_dense,
)
from behavior_prism.datasets.annotations import runs


def dense(values: dict[str, np.ndarray], behaviors=("walk",), *, fps=10.0, recording="", ethogram=None) -> Annotations:
    """Annotations of (frames, behaviors) labels by scorer, one individual."""
    import xarray as xr

    label = np.stack([np.asarray(v, dtype=np.int8).reshape(len(v), 1, len(behaviors)) for v in values.values()])
    coords = {
        "scorer": np.array(list(values), dtype=object),
        "time": np.arange(label.shape[1]) / fps,
        "individual": np.array(["m"], dtype=object),
        "behavior": np.array(list(behaviors), dtype=object),
    }
    array = xr.DataArray(label, dims=("scorer", "time", "individual", "behavior"), coords=coords)
    return from_dense(array, recording=recording, ethogram=ethogram)


def runs_of_random(rng: np.random.Generator, shape, stay=0.95) -> np.ndarray:
    """Bouts: values that change now and then."""
    change = rng.random(shape) > stay
    fresh = rng.integers(0, 2, shape)
    last = np.maximum.accumulate(np.where(change, np.arange(shape[0])[:, None], 0), axis=0)
    return np.take_along_axis(fresh, last, axis=0)


@given(seed=st.integers(0, 10**6))
def test_frames_agree_with_scikit_learn_on_what_both_scored(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-1, 2, (2, 300, 2))
    table = agreement_table(dense({"ann": a, "bob": b}, ("walk", "rear")), fps=10, num_bootstrap=20)
    for k, row in table.iterrows():
        used = (a[:, k] >= 0) & (b[:, k] >= 0)
        x, y = a[used, k], b[used, k]
        assert row["frames"] == used.sum()
        assert row["kappa"] == pytest.approx(cohen_kappa_score(x, y))
        assert row["precision"] == pytest.approx(precision_score(x, y))
        assert row["recall"] == pytest.approx(recall_score(x, y))
        assert row["f1"] == pytest.approx(f1_score(x, y))
        assert row["agreement"] == pytest.approx((x == y).mean())


@pytest.mark.parametrize("rule", ["majority", "any", "instant"])
def test_time_units_agree_with_scikit_learn(rule):
    rng = np.random.default_rng(0)
    a, b = runs_of_random(rng, (600, 1)), runs_of_random(rng, (600, 1))
    table = agreement_table(dense({"ann": a, "bob": b}), fps=10, time_unit=0.5, unit_rule=rule)
    of = {"majority": lambda u: u.mean(1) >= 0.5, "any": lambda u: u.any(1), "instant": lambda u: u[:, 0] == 1}[rule]
    x, y = (of(v[:, 0].reshape(-1, 5)) for v in (a, b))
    assert table["units"].item() == 120
    assert table["unit_kappa"].item() == pytest.approx(cohen_kappa_score(x, y))


def test_a_time_unit_is_judged_by_the_frames_that_both_scored():
    a = np.array([1, 1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1])
    b = np.array([1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    row = agreement_table(dense({"ann": a, "bob": b}), fps=4).iloc[0]
    assert row["units"] == 2  # the third has no common frame
    assert row["unit_kappa"] == 1.0  # first: present for both (half of two frames), second: absent


def test_states_over_all_behaviours_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, (2, 400, 3))
    a[:20], b[380:] = -1, -1
    report = agreement_report(dense({"ann": a, "bob": b}, ("x", "y", "z")), fps=10)
    used = slice(20, 380)
    x, y = (v[used] @ [1, 2, 4] for v in (a, b))
    row = report.groups.iloc[0]
    assert row["frames"] == 360 and row["states"] == 8
    assert row["kappa"] == pytest.approx(cohen_kappa_score(x, y))
    matrix = report.confusion_matrix("ann", "bob")
    assert list(matrix.index) == ["x", "y", "z", "x+y", "x+z", "y+z", "x+y+z", "(none)"]
    np.testing.assert_array_equal(matrix.to_numpy(), confusion_matrix(x, y, labels=[1, 2, 4, 3, 5, 6, 7, 0]))


def test_groups_that_exclude_each_other_have_a_matrix_each():
    ethogram = Ethogram(("walk", "rest", "wag"), exclusive=[("walk", "rest")])
    a = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]])
    b = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]])
    report = agreement_report(dense({"ann": a, "bob": b}, ethogram.names, ethogram=ethogram), fps=10)
    assert report.groups["group"].tolist() == ["walk, rest"]
    assert report.confusion_matrix("ann", "bob").to_numpy().tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_bouts_of_one_scorer_within_the_tolerance():
    known = {"behaviors": ["walk"], "num_frames": 1000, "fps": 10}
    a = annotations_from_intervals([(0, 20, "walk"), (100, 120, "walk"), (300, 310, "walk")], **known)
    b = annotations_from_intervals(
        [(5, 20, "walk"), (111, 120, "walk"), (300, 400, "walk"), (500, 501, "walk")], **known
    )
    row = agreement_table({"ann": a, "bob": b}, fps=10, tolerance=1.0).iloc[0]
    assert (row["bouts_first"], row["bouts_second"], row["bouts_matched"]) == (3, 4, 2)
    assert (row["bout_precision"], row["bout_recall"]) == (0.5, pytest.approx(2 / 3))
    windows = int(100 / 2.1)
    table = np.array([[2, 1], [2, windows - 5]])
    expected = (table.sum(0) * table.sum(1)).sum() / windows**2
    assert row["event_kappa"] == pytest.approx((np.trace(table) / windows - expected) / (1 - expected))
    assert agreement_table({"ann": a, "bob": b}, fps=10, tolerance=1.1)["bouts_matched"].item() == 3
    assert agreement_table({"ann": a, "bob": b}, fps=10, tolerance=0)["bouts_matched"].item() == 1


def test_kappa_of_bouts_tends_to_f1_where_windows_are_many():
    a = annotations_from_intervals([(k, k + 5, "walk") for k in range(0, 10000, 1000)], behaviors=["walk"],
                                   num_frames=10**6, fps=10)  # fmt: skip
    b = annotations_from_intervals([(k, k + 5, "walk") for k in range(0, 20000, 1000)], behaviors=["walk"],
                                   num_frames=10**6, fps=10)  # fmt: skip
    row = agreement_table({"ann": a, "bob": b}, fps=10, tolerance=0.1, num_bootstrap=2).iloc[0]
    assert row["bout_f1"] == pytest.approx(2 / 3)
    assert row["event_kappa"] == pytest.approx(2 / 3, abs=1e-3)


def test_events_of_different_behaviours_are_confusions_and_the_rest_was_missed():
    known = {"behaviors": ["walk", "rear"], "num_frames": 1000, "fps": 10}
    a = annotations_from_intervals(
        [(0, 9, "walk"), (100, 109, "rear"), (500, 501, "walk"), (600, 610, "rear")], **known
    )
    b = annotations_from_intervals(
        [(2, 9, "walk"), (103, 109, "walk"), (605, 610, "rear"), (900, 910, "rear")], **known
    )
    report = agreement_report({"ann": a, "bob": b}, fps=10)
    seen = report.events.set_index(["first_says", "second_says"])["bouts"]
    assert seen[seen > 0].to_dict() == {
        ("walk", "walk"): 1, ("walk", "(no event)"): 1, ("rear", "walk"): 1, ("rear", "rear"): 1,
        ("(no event)", "rear"): 1,
    }  # fmt: skip
    assert -1 < report.groups["event_kappa"].item() < 1


def test_point_events_are_matched_one_by_one():
    ethogram = Ethogram((Behavior(name="peck", kind="point"),))
    rows = [empty_table(behavior=["peck"] * len(at), start_frame=at, stop_frame=at) for at in ([3, 4, 50], [3, 5, 80])]
    whole = empty_table(start_frame=[0], stop_frame=[100])
    a, b = (Annotations(bouts=r, scored=whole, ethogram=ethogram) for r in rows)
    row = agreement_table({"ann": a, "bob": b}, fps=10, tolerance=0.1).iloc[0]
    assert (row["kind"], row["bouts_first"], row["bouts_matched"]) == ("point", 3, 2)
    assert np.isnan(row["banos_f1"])


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ([0, 0, 0, 0], [0, 0, 0, 0], "neither saw it"),
        ([1, 1, 1, 1], [1, 1, 1, 1], "present in every frame"),
        ([1, 0, -1, -1], [-1, -1, 0, 1], "no frame"),
    ],
)
def test_kappa_that_is_undefined_is_no_number_and_says_why(a, b, reason):
    report = agreement_report(dense({"ann": np.array(a), "bob": np.array(b)}), fps=10)
    row = report.behaviors.iloc[0]
    assert np.isnan(row[["kappa", "unit_kappa", "event_kappa", "kappa_low"]].astype(float)).all()
    assert reason in row["reason"] and "undefined" in row["reason"] + "undefined"
    assert any(reason in line for line in report.lines())
    assert report.groups["reason"].item()


def test_one_class_for_one_scorer_alone_is_chance():
    row = agreement_table(dense({"ann": np.array([0, 0, 1, 1]), "bob": np.array([0, 0, 0, 0])}), fps=10).iloc[0]
    assert row["kappa"] == 0.0 and row["recall"] == 0.0 and np.isnan(row["precision"])


def test_bouts_without_scored_intervals_say_nothing_of_absence():
    bouts = annotations_from_intervals([(0, 5, "walk")], behaviors=["walk"], num_frames=9, fps=3)
    bare = bouts.with_rows(bouts.bouts, empty_table())
    report = agreement_report({"ann": bouts, "bob": bare}, fps=3)
    assert report.behaviors["frames"].item() == 5 and np.isnan(report.behaviors["kappa"].item())
    assert any("bob has no scored intervals" in note for note in report.notes)


def test_a_behaviour_that_one_file_does_not_know_was_not_scored_there():
    a = annotations_from_intervals([(0, 5, "walk")], behaviors=["walk", "rear"], num_frames=9, fps=3)
    b = annotations_from_intervals([(0, 5, "walk")], behaviors=["walk"], num_frames=9, fps=3)
    table = agreement_table({"ann": a, "bob": b}, fps=3).set_index("behavior")
    assert table.loc["rear", "frames"] == 0 and table.loc["walk", "kappa"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 10, "reference": "carl"}, "reference: expected one of"),
        ({}, "expected a recording, frame edges or fps"),
        ({"fps": 10, "tolerance": -1}, "tolerance"),
        ({"fps": 10, "tolerance": np.nan}, "tolerance"),
        ({"fps": 10, "time_unit": 0}, "time unit"),
        ({"fps": 10, "block": 5}, "10 s or more"),
    ],
)
def test_what_cannot_be_computed_is_refused(options, message):
    both = dense({"ann": np.array([0, 1]), "bob": np.array([0, 1])})
    with pytest.raises(ValueError, match=message):
        agreement_report(both, **options)


def test_one_scorer_is_refused():
    alone = dense({"ann": np.array([0, 1])})
    with pytest.raises(ValueError, match="two scorers or more, got only 'ann'"):
        agreement_report(alone, fps=10)


def test_a_reference_is_the_truth_for_all_others():
    rng = np.random.default_rng(2)
    rows = dense({s: rng.integers(0, 2, 100) for s in ("ann", "bob", "carl")})
    table = agreement_table(rows, fps=10, reference="carl")
    assert table[["first", "second"]].values.tolist() == [["carl", "ann"], ["carl", "bob"]]
    assert len(agreement_table(rows, fps=10)) == 3


def test_fleiss_counts_frames_that_all_scored():
    rng = np.random.default_rng(3)
    a = rng.integers(0, 2, (3, 200))
    a[0, :50] = -1
    row = agreement_report(dense(dict(zip("abc", a, strict=True))), fps=10).scorers.iloc[0]
    yes = a[:, 50:].sum(0)
    p = yes.mean() / 3
    observed = ((yes * (yes - 1) + (3 - yes) * (2 - yes)) / 6).mean()
    assert row["frames"] == 150
    assert row["fleiss_kappa"] == pytest.approx((observed - p**2 - (1 - p) ** 2) / (1 - p**2 - (1 - p) ** 2))


def test_intervals_over_recordings_from_five_on_else_over_blocks():
    rng = np.random.default_rng(4)

    def made(number):
        parts = []
        for k in range(number):
            a = runs_of_random(rng, (1200, 1))
            parts.append(dense({"ann": a, "bob": np.where(rng.random(a.shape) < 0.1, 1 - a, a)}, recording=f"r{k}"))
        return agreement_report(concat_annotations(parts), fps=10)

    few, many = made(2), made(6)
    assert any("over blocks of 12 s (recordings: 2)" in n for n in few.notes), few.notes
    assert any("over 6 recordings" in n for n in many.notes)
    for report in (few, many):
        row = report.behaviors.iloc[0]
        assert row["kappa_low"] < row["kappa"] < row["kappa_high"]
    assert few.behaviors["frames"].item() == 2400


def test_an_interval_holds_the_true_value_about_as_often_as_it_says():
    """Blocks of noise whose F1 is known: 200 samples, the 95 % interval misses it rarely."""
    from behavior_prism.analysis.kappa import bootstrap_weights, cohen_kappa, interval

    rng = np.random.default_rng(5)
    p = np.array([0.3, 0.1, 0.1, 0.5])
    truth = float(cohen_kappa(p.reshape(2, 2)))
    weights = bootstrap_weights(60, 400, 0)
    hits = 0
    for _ in range(200):
        low, high = interval(lambda c: cohen_kappa(c.reshape(-1, 2, 2)), rng.multinomial(50, p, size=60), weights)
        hits += low <= truth <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_tables_and_figure_are_saved(tmp_path):
    rng = np.random.default_rng(6)
    rows = dense({s: runs_of_random(rng, (500, 2)) for s in ("a/b", "=c", "$d")}, ("walk", "a$b"))
    report = agreement_report(rows, fps=10)
    report.save(tmp_path / "out")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"behaviors.csv", "groups.csv", "scorers.csv", "confusion.csv", "events.csv", "notes.txt",
                     "agreement.png"}  # fmt: skip
    again = pd.read_csv(tmp_path / "out" / "behaviors.csv", keep_default_na=False, na_values=[""])
    assert again["kappa"].to_numpy() == pytest.approx(report.behaviors["kappa"].to_numpy())
    with pytest.raises(FileExistsError):
        report.save(tmp_path / "out")
    with pytest.raises(ValueError, match="individual: expected one of"):
        report.figure(individual="nobody")


@pytest.mark.slow
def test_an_hour_of_twenty_behaviours_takes_seconds():
    rng = np.random.default_rng(7)
    names = [f"b{k}" for k in range(20)]
    one = runs_of_random(rng, (108_000, 20), stay=0.999)
    rows = dense({s: np.roll(one, 3 * k, axis=0) for k, s in enumerate("abc")}, names, fps=30)
    started = time.perf_counter()
    report = agreement_report(rows, fps=30)
    assert time.perf_counter() - started < 60  # 5 to 10 s on two cores; loose for busy machines
    assert len(report.behaviors) == 60 and (report.behaviors["kappa"] > 0.9).all()


@pytest.mark.shared
def test_four_raters_of_freezing(shared_data):
    vectors = {}
    for file in sorted((shared_data / "behaviordepot-freezing" / "demo7").glob("hB_*.mat")):
        mat = scipy.io.loadmat(file, squeeze_me=True, struct_as_record=False)
        vectors[file.stem[3:]] = mat["hBehavior"].Freezing.Vector.astype(int)
    rows = {s: dense({s: v}, ("freezing",), fps=50) for s, v in vectors.items()}
    report = agreement_report(rows, fps=50)
    table = report.behaviors
    assert len(table) == 6 and (table["frames"] == 19541).all()
    for _, row in table.iterrows():
        x, y = vectors[row["first"]], vectors[row["second"]]
        assert row["kappa"] == pytest.approx(cohen_kappa_score(x, y))
        assert row["bouts_first"] == len(runs(x == 1)) and row["bouts_second"] == len(runs(y == 1))
    with_novice = table["second"] == "novice"
    assert table.loc[~with_novice, "kappa"].min() > 0.9 and table.loc[with_novice, "kappa"].max() < 0.65
    assert report.scorers["fleiss_kappa"].item() == pytest.approx(0.756, abs=5e-4)


@pytest.mark.shared
def test_three_raters_of_rearing_in_seconds(shared_data):
    table = pd.read_csv(shared_data / "dlc2action" / "oft_sample" / "8_01_A_190507134142.csv", index_col=0)
    table = table[table["type"].isin(["Supported", "Unsupported", "Grooming"])]
    rows = {
        who: Annotations(
            bouts=empty_table(behavior=list(b["type"]), start=list(b["from"]), stop=list(b["to"])),
            scored=empty_table(start=[0.0], stop=[600.0]),
            behaviors=("Supported", "Unsupported", "Grooming"),
        )
        for who, b in table.groupby("Experimenter")
    }
    report = agreement_report(rows, np.arange(15041) / 25)
    values = report.behaviors.set_index(["first", "second", "behavior"])
    assert values["kappa"]["Furkan", "Jin", "Supported"] == pytest.approx(0.866, abs=1e-3)
    assert values["bouts_matched"]["Jin", "Oliver", "Unsupported"] == 58
    assert (values["frames"] == 15000).all()
    assert report.groups["states"].max() == 6  # supported and unsupported rears overlap in the file
