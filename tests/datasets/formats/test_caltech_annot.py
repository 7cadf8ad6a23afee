from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from label_files import check_damaged, check_refused, damages, edges_of, labels_of, states, states_of

from behavior_prism.datasets import load_annotations, save_annotations
from behavior_prism.datasets.formats.hub import recognise_format

TEXT = """Caltech Behavior Annotator - Annotation File

Configuration file:
other\to
walk\tw
wall rear\tr
sniff\tr

S1:\tstart\tend\ttype
-----------------------------
   \t1\t10\tother
   \t11\t11\twalk
   \t12\t20\twall rear

S2: start    end     type
-----------------------------
       1     15     other
      16     20     sniff

"""


def test_read(tmp_path):
    path = tmp_path / "7_annot.txt"
    path.write_text(TEXT.replace("\n", "\r\n"), newline="")
    assert recognise_format(path).name == "caltech"
    a = load_annotations(path)
    assert a.behaviors == ("walk", "wall rear", "sniff")
    assert [b.key for b in a.ethogram] == ["w", "r", ""]
    rows = a.bouts[["individual", "behavior", "start_frame", "stop_frame", "source"]].values.tolist()
    assert rows == [["view", "walk", 10, 11, "S1"], ["view", "wall rear", 11, 20, "S1"], ["S2", "sniff", 15, 20, "S2"]]
    assert states_of(a, 20, behaviors=["walk", "sniff"])[9:12].tolist() == [[0, -1], [1, -1], [0, -1]]
    assert states_of(a, 20, "S2", behaviors=["walk", "sniff"])[14:16].tolist() == [[-1, 0], [-1, 1]]


def test_a_behaviour_that_means_not_looked_at(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text(TEXT)
    assert load_annotations(path, unscored=["other"]).scored["start_frame"].tolist() == [10, 10, 15]
    only = load_annotations(path, unscored=["S1:other"])
    assert only.scored.groupby("individual")["start_frame"].min().to_dict() == {"S2": 0, "view": 10}


@given(states(individuals=2))
def test_states_there_and_back(tmp_path_factory, values):
    names = ("view", "S2")
    a = labels_of(values, names)
    if not len(a.scored):
        return
    path = tmp_path_factory.mktemp("caltech") / "r.1_annot.txt"
    report = save_annotations(a, path, recording={"r.1": edges_of(values)})
    assert recognise_format(path).name == "caltech"
    b = load_annotations(path, fps=25)
    for name in names:
        if report.lost or name not in a.individuals:
            continue
        np.testing.assert_array_equal(states_of(b, len(values), name), states_of(a, len(values), name))
    assert len(b.bouts) == len(a.bouts)  # where behaviours overlap they stand in a further stream, none is lost


def test_what_is_lost_is_told(tmp_path):
    values = np.array([[[1, 1]], [[1, 0]], [[-1, 0]], [[-1, -1]]], dtype=np.int8)
    a = labels_of(values, behaviors=("wall rear", "walk"))
    report = save_annotations(a, tmp_path / "x_annot.txt", recording={"r.1": edges_of(values)})
    told = " ".join(report.lost)
    assert "spaces in the name 'wall rear'" in told
    assert "overlap: some stand in stream S2" in told
    assert "frames in which only some behaviours were scored" in told
    assert "   \t4\t4\tnot_scored" in (tmp_path / "x_annot.txt").read_text()


@pytest.mark.parametrize(
    "old, new, match",
    [
        ("12\t20\twall", "0\t20\twall", r"line 13: expected 1 <= start <= end, got 0 and 20"),
        ("12\t20\twall", "20\t12\twall", "line 13: expected 1 <= start <= end, got 20 and 12"),
        ("12\t20\twall", "12\t99999999999\twall", "line 13: expected 'start end type'"),
        ("12\t20\twall", "12\tnan\twall", "line 13: expected 'start end type'"),
        ("S2: start", "S1: start", "line 15: stream S1 stands twice"),
        ("sniff\tr", "walk\tr", "line 7: expected each behaviour once, got 'walk' again"),
        ("S1:\tstart", "S1\tstart", "line 9: expected a stream"),
        ("Caltech", "Other", "line 1: expected 'Caltech Behavior"),
    ],
)
def test_refused(tmp_path, old, new, match):
    check_refused(tmp_path / "m.txt", TEXT.replace(old, new), "caltech", match)


@given(damages())
def test_damaged_files(tmp_path_factory, damage):
    check_damaged(tmp_path_factory.mktemp("caltech") / "m.txt", TEXT.encode(), "caltech", damage)


FRAMES = {
    ("S1", "social"): (1085, 248489), ("S1", "nonsocial"): (957, 220962), ("S1", "aggression"): (197, 46549),
    ("S1", "base"): (84, 99297), ("S2", "keepdown"): (173, 16441), ("S2", "lateralthreat"): (385, 14101),
    ("S2", "clinch"): (332, 11496), ("S2", "uprightposture"): (88, 2662), ("S2", "freezing"): (20, 952),
    ("S2", "bite"): (29, 473), ("S2", "chase"): (37, 422), ("S2", "base"): (233, 470234),
}  # fmt: skip


@pytest.mark.shared
def test_real_files(shared_data, tmp_path):
    files = sorted((shared_data / "rat-social/annotations").glob("*_annot.txt"))
    assert len(files) == 43
    bouts, frames = Counter(), Counter()
    for file in files:
        a = load_annotations(file)
        for row in a.bouts.itertuples():
            bouts[row.source, row.behavior] += 1
            frames[row.source, row.behavior] += row.stop_frame - row.start_frame
        cut = load_annotations(file, unscored=["S1:base"])
        window = cut.scored[cut.scored["individual"] == "view"].drop_duplicates("start_frame")
        assert (window["stop_frame"] - window["start_frame"]).sum() == 12000
        saved = save_annotations(a, tmp_path / file.name)
        again = load_annotations(tmp_path / file.name)
        assert again.bouts.equals(
            a.bouts.sort_values(["individual", "start_frame"], key=_view_first).reset_index(drop=True)
        )
        assert not [lost for lost in saved.lost if "was looked for" not in lost]
    assert {key: (bouts[key], frames[key]) for key in bouts} == FRAMES


def _view_first(column):
    return column.replace({"view": "A"})
