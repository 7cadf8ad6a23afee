from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from behavior_prism.datasets import (
    Annotations,
    annotations_from_intervals,
    any_individual,
    concat_annotations,
    empty_table,
    from_dense,
    load_annotations,
    save_annotations,
    score_whole,
    to_dense,
)
from behavior_prism.datasets.bout_rows import BOUT_COLUMNS, SCORED_COLUMNS


def dense_of(values: np.ndarray, scorers=None, individuals=None, behaviors=None):
    """A label array from int8 values (scorer, time, individual, behavior)."""
    import xarray as xr

    s, t, i, b = values.shape

    def names(count: int, given: Sequence[str] | None, letter: str) -> np.ndarray:
        return np.asarray(given[:count] if given else [f"{letter}{k}" for k in range(count)], dtype=object)

    return xr.DataArray(
        values,
        dims=("scorer", "time", "individual", "behavior"),
        coords={
            "scorer": names(s, scorers, "s"),
            "time": np.arange(t) / 25,
            "frame": ("time", np.arange(t)),
            "individual": names(i, individuals, "m"),
            "behavior": names(b, behaviors, "b"),
        },
    )


shapes = st.tuples(st.integers(1, 2), st.integers(1, 30), st.integers(1, 2), st.integers(1, 3))


@given(shapes.flatmap(lambda s: arrays(np.int8, s, elements=st.sampled_from([-1, 0, 1]))))
def test_dense_to_bouts_and_back_loses_nothing(values):
    label = dense_of(values)
    annotations = from_dense(label)
    again = to_dense(
        annotations, label["time"].values, individuals=list(label.individual.values), scorers=list(label.scorer.values)
    )
    assert again.dtype == np.int8
    np.testing.assert_array_equal(again.values, values)


# what a table reader that guesses takes for numbers, dates or nothing
odd = st.sampled_from(
    ["NA", "None", "nan", "null", "001", "1e5", "-0", "1.50", "True", "a, b", 'say "hi"', "2020-01-01"]
)
plain = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
some_names = st.lists(odd | plain, min_size=3, max_size=3, unique=True)


@given(
    shapes.flatmap(lambda s: arrays(np.int8, s, elements=st.sampled_from([-1, 0, 1]))),
    some_names,
    some_names,
    some_names,
    odd | plain,
)
def test_csv_and_back_loses_nothing(tmp_path_factory, values, scorers, individuals, behaviors, recording):
    label = dense_of(values, scorers, individuals, behaviors)
    annotations = from_dense(label, recording=recording)
    path = tmp_path_factory.mktemp("csv") / "r.bouts.csv"
    save_annotations(annotations, path)
    if len(annotations.scored) == 0:  # nothing was scored: nothing to tell
        return
    loaded = load_annotations(path, behaviors=annotations.behaviors)
    assert loaded.recordings == (recording,)
    again = to_dense(
        loaded, label["time"].values, individuals=list(label.individual.values), scorers=list(label.scorer.values)
    )
    np.testing.assert_array_equal(again.values, values)


def test_three_states():
    a = annotations_from_intervals([(2, 4, "walk")], behaviors=["walk", "groom"], num_frames=6, fps=10)
    scored = a.scored.assign(stop_frame=5, stop=0.5)
    dense = to_dense(Annotations(bouts=a.bouts, scored=scored, behaviors=a.behaviors), np.arange(6) / 10)
    assert dense.sel(behavior="walk").squeeze().values.tolist() == [0, 0, 1, 1, 0, -1]
    assert dense.sel(behavior="groom").squeeze().values.tolist() == [0, 0, 0, 0, 0, -1]


def test_a_behaviour_never_seen_survives_the_csv(tmp_path):
    a = annotations_from_intervals([(2, 4, "walk")], behaviors=["groom", "walk"], num_frames=6, fps=10, recording="r")
    save_annotations(a, tmp_path / "r.bouts.csv")
    assert load_annotations(tmp_path / "r.bouts.csv").behaviors == ("groom", "walk")


def test_view_labels_pool_individuals():
    values = np.array([[1, 0], [0, 0], [0, -1], [-1, -1], [1, -1]], dtype=np.int8)[None, :, :, None]
    assert any_individual(dense_of(values)).squeeze().values.tolist() == [1, 0, -1, -1, 1]


def test_label_past_the_end_names_it():
    a = annotations_from_intervals([(2, 9, "walk")], behaviors=["walk"], num_frames=9, fps=10, recording="r")
    with pytest.raises(ValueError, match=r"walk of view ends at frame 9, past the end .* 'r' \(8 frames\)"):
        to_dense(a, np.arange(8) / 10)


def test_unknown_behaviour_is_refused():
    a = annotations_from_intervals([(2, 4, "walk")], behaviors=["walk"], num_frames=9, fps=10)
    with pytest.raises(ValueError, match=r"unknown behaviour 'walk': expected one of \['groom'\]"):
        Annotations(bouts=a.bouts, scored=a.scored, behaviors=("groom",))


@pytest.mark.parametrize("start, stop", [(4, 4), (5, 4)])
def test_empty_interval_is_refused(start, stop):
    with pytest.raises(ValueError, match=f"expected start_frame < stop_frame, got {start} and {stop}"):
        annotations_from_intervals([(start, stop, "walk")], behaviors=["walk"], num_frames=9, fps=10)


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match=r"missing \['scorer'\]"):
        Annotations(
            bouts=pd.DataFrame(columns=[c for c in BOUT_COLUMNS if c != "scorer"]),
            scored=pd.DataFrame(columns=list(SCORED_COLUMNS)),
            behaviors=("walk",),
        )


# -- csv files as people have them -------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheet_habits(tmp_path, separator):
    text = "behavior,start_frame,stop_frame\nwalk,3,7\ngroom,9,12\n".replace(",", separator)
    path = tmp_path / "mouse 1.bouts.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    a = load_annotations(path)
    assert a.behaviors == ("walk", "groom")
    assert a.recordings == ("mouse 1",)
    assert a.bouts[["start_frame", "stop_frame"]].values.tolist() == [[3, 7], [9, 12]]
    assert len(a.scored) == 0
    whole = score_whole(a, recording="mouse 1", edges=np.arange(21) / 10)
    assert to_dense(whole, np.arange(20) / 10).sel(behavior="groom").sum().item() == 3


def test_seconds_go_to_the_nearest_edge(tmp_path):
    edges = np.arange(301) / 30
    path = tmp_path / "a.csv"
    rows = [f"walk,{edges[i]:.3f},{edges[i + 1]:.3f}" for i in range(300)]  # rounded to ms, as tools write them
    path.write_text("behavior,start,stop\n" + "\n".join(rows))
    a = load_annotations(path, recording={"a": edges})
    assert a.report.snapped == pytest.approx(1 / 3000, rel=0.01)
    assert a.bouts["start_frame"].tolist() == list(range(300))
    assert a.bouts["stop_frame"].tolist() == list(range(1, 301))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "behavior,start_frame,stop_frame\nwalk,1,x\n",
            "line 2: expected stop_frame as a whole number from 0 on, got 'x'",
        ),
        ("behavior,start_frame,stop_frame\nwalk,1,5\nwalk,1.5,5\n", "line 3: expected start_frame as a whole number"),
        ("behavior,start_frame,stop_frame\nwalk,5,5\n", "expected start_frame < stop_frame, got 5 and 5"),
        (
            "name,start_frame,stop_frame\nwalk,1,5\n",
            "the columns ['name', 'start_frame', 'stop_frame']; a bout table needs",
        ),
        ("behavior,from,to\nwalk,1,5\n", "a bout table needs 'behavior' and start_frame, stop_frame"),
        (
            "kind,behavior,start_frame,stop_frame\nmaybe,walk,1,5\n",
            "line 2: expected kind 'bout', 'point' or 'scored', got 'maybe'",
        ),
        ("", "the file is empty"),
        (
            "behavior,start_frame,stop_frame\n\n\nwalk,1,5\n\nwalk,5,x\n",
            "line 6: expected stop_frame as a whole",
        ),
        ("behavior,start_frame,stop_frame\nwalk,1,5\nwalk,5,5\n", "line 3: expected start_frame < stop_frame"),
        ("behavior,start_frame,stop_frame,start\nwalk,1,5,x\n", "line 2: expected start as seconds, got 'x'"),
        ("behavior,start_frame,stop_frame\nwalk, slow,1,5\n", "line 2: expected 3 cells, got 4"),
        ("behavior,start_frame,stop_frame,behavior\nwalk,1,5,run\n", "every column once, got 'behavior' 2 times"),
        ("behavior,start_frame,stop_frame\n", "expected bouts or scored intervals of some behaviour, got none"),
        ("behavior,start_frame,stop_frame\n,1,5\nwalk,1,5\n", "line 2: expected the name of a behaviour"),
    ],
)
def test_bad_csv_is_one_clear_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="bad.csv") as caught:
        load_annotations(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cells_are_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "kind, recording ,individual,behavior,start_frame,stop_frame,,\n"
        "scored,001,NA,None,0,9,,\n"
        "bout,001,NA, walk ,1,5\n"
        "\n"
        "bout,,,walk,5,6,,\n"
    )
    a = load_annotations(path)
    assert a.behaviors == ("None", "walk")
    assert a.bouts[["recording", "individual", "behavior"]].to_numpy().tolist() == [
        ["001", "NA", "walk"],
        ["a", "view", "walk"],
    ]
    assert a.scored["behavior"].tolist() == ["None"]


def test_scored_without_bouts(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("kind,behavior,start_frame,stop_frame\nscored,walk,0,4\n")
    a = load_annotations(path)
    assert to_dense(a, np.arange(5) / 10).squeeze().values.tolist() == [0, 0, 0, 0, -1]


def test_seconds_of_several_recordings(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("recording,behavior,start,stop\nslow,walk,1,2\nfast,walk,1,2\nslow,walk,3,4\nother,walk,1,99\n")
    edges = {"slow": np.arange(51) / 10, "fast": np.arange(101) / 50}
    a = load_annotations(path, recording=edges)
    assert a.report.matched == {"slow": 2, "fast": 1}
    assert a.report.unmatched == ("other",)
    assert not a.in_frames
    known = a.select(recording=["slow", "fast"])
    frames = known.bouts[["recording", "start_frame", "stop_frame"]].to_numpy().tolist()
    assert frames == [["slow", 10, 20], ["fast", 50, 100], ["slow", 30, 40]]
    with pytest.raises(ValueError, match="some rows know only seconds; place them with"):
        to_dense(a.select(recording="other"), np.arange(100))
    path.write_text("recording,behavior,start_frame,stop_frame\nslow,walk,1,2\nfast,walk,1,2\n")
    assert load_annotations(path, recording=edges).bouts["stop"].tolist() == [0.2, 0.04]


def test_seconds_in_wrong_order_name_the_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("behavior,start,stop\nwalk,0,1\nwalk,0.5,0.2\n")
    with pytest.raises(ValueError, match=r"a.csv, line 3: expected start < stop, got 0.5 and 0.2"):
        load_annotations(path)


def test_a_bout_shorter_than_half_a_frame_is_one_frame_and_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("behavior,start,stop\nwalk,0.31,0.34\nwalk,1.98,2.0\n")
    a = load_annotations(path, recording={"a": np.arange(21) / 10})
    assert a.bouts[["start_frame", "stop_frame"]].values.tolist() == [[3, 4], [19, 20]]
    assert "2 bouts shorter than half a frame" in a.report.notes[0]


@pytest.mark.parametrize(("start", "stop"), [(-3, 0.2), (1, 2.2), (7, 9)])
def test_rows_outside_are_refused_or_cut_and_told(tmp_path, start, stop):
    path = tmp_path / "a.csv"
    path.write_text(f"behavior,start,stop\nwalk,0,1\nrear,{start},{stop}\n")
    edges = {"a": np.arange(21) / 10}
    with pytest.raises(
        ValueError, match=rf"a.csv: rear of view, {start:g} s to {stop:g} s, reaches outside .*20 frames"
    ):
        load_annotations(path, recording=edges)
    a = load_annotations(path, recording=edges, outside="clip")
    assert a.report.clipped == round(10 * (stop - start)) - max(0, min(20, 10 * stop) - max(0, 10 * start))
    assert (a.bouts["stop_frame"] <= 20).all()


def test_point_events(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("kind,behavior,start,stop\npoint,jump,0.31,0.31\npoint,jump,2.0,2.0\nbout,walk,0,1\n")
    a = load_annotations(path, recording={"a": np.arange(21) / 10})
    assert a.ethogram["jump"].kind == "point"
    assert a.bouts["start_frame"].tolist() == [3, 19, 0]  # the very end is the last frame
    dense = to_dense(a, np.arange(20) / 10)
    assert dense.sel(behavior="jump").squeeze().values.nonzero()[0].tolist()[0] == 0  # not scored elsewhere
    assert (dense.sel(behavior="jump").squeeze().values == 1).nonzero()[0].tolist() == [3, 19]
    again = from_dense(dense, recording="a", ethogram=a.ethogram)
    assert again.bouts[["behavior", "start_frame", "stop_frame"]].values.tolist() == [
        ["jump", 3, 3], ["jump", 19, 19], ["walk", 0, 10]
    ]  # fmt: skip
    save_annotations(a, tmp_path / "b.bouts.csv")
    b = load_annotations(tmp_path / "b.bouts.csv")
    pd.testing.assert_frame_equal(a.bouts, b.bouts)


def test_directed_behaviours_stand_in_the_row_of_the_pair():
    rows = empty_table(individual=["a"], target=["b"], behavior=["chase"], start_frame=[2], stop_frame=[4])
    a = score_whole(Annotations(bouts=rows, scored=empty_table()), recording="", edges=np.arange(7) / 10)
    dense = to_dense(a, np.arange(6) / 10)
    assert dense.individual.values.tolist() == ["a>b"]
    assert dense.squeeze().values.tolist() == [0, 0, 1, 1, 0, 0]
    assert from_dense(dense).bouts[["individual", "target"]].values.tolist() == [["a", "b"]]
    assert to_dense(a, np.arange(6) / 10, directed="actor").individual.values.tolist() == ["a"]


def test_binary_file_is_not_a_table(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(ValueError, match="not a label file of a known format"):
        load_annotations(path)


def test_unknown_behaviour_names_the_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("behavior,start_frame,stop_frame\nwalk,1,5\nfly,6,8\n")
    with pytest.raises(ValueError, match=r"unknown behaviour 'fly', expected one of \['walk'\]"):
        load_annotations(path, behaviors=["walk"])


def test_existing_file_is_kept(tmp_path):
    a = annotations_from_intervals([(2, 4, "walk")], behaviors=["walk"], num_frames=9, fps=10)
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        save_annotations(a, path)
    assert path.read_text() == "mine"
    save_annotations(a, path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_notes_that_only_some_tables_have_are_empty_text():
    a = annotations_from_intervals([(0, 2, "walk")], behaviors=["walk"], num_frames=9, fps=3, scorer="ann")
    b = a.with_rows(a.bouts.assign(scorer="bob", observation="o1", score=0.5), a.scored.assign(scorer="bob"))
    joined = concat_annotations([a, b]).bouts
    assert joined["observation"].tolist() == ["", "o1"]
    assert np.isnan(joined["score"][0]) and joined["score"][1] == 0.5


def test_everything_scored_does_not_grow_when_others_join():
    a = annotations_from_intervals([(0, 2, "walk")], behaviors=["walk"], num_frames=4, fps=1, scorer="ann")
    b = annotations_from_intervals([(0, 2, "rear")], behaviors=["rear"], num_frames=4, fps=1, scorer="bob")
    dense = to_dense(concat_annotations([a, b]), np.arange(4))
    assert dense.sel(scorer="ann", behavior="rear").squeeze().values.tolist() == [-1] * 4
    assert dense.sel(scorer="ann", behavior="walk").squeeze().values.tolist() == [1, 1, 0, 0]
