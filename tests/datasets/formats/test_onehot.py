from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from label_files import check_damaged, check_refused, damages, edges_of, labels_of, states, states_of

from behavior_prism.datasets import load_annotations, save_annotations
from behavior_prism.datasets.formats.hub import recognise_format

TEXT = ",background,walk,rear\n0,1,0,0\n1,0,1,1\n2,0,1,0\n3,-1,-1,-1\n4,0,-1,1\n"


def test_read(tmp_path):
    path = tmp_path / "mouse.1_labels.csv"
    path.write_text(TEXT)
    assert recognise_format(path).name == "onehot"
    a = load_annotations(path)
    assert (a.recordings, a.behaviors) == (("mouse.1",), ("walk", "rear"))
    assert states_of(a, 5, behaviors=a.behaviors).tolist() == [[0, 0], [1, 1], [1, 0], [-1, -1], [-1, 1]]
    assert load_annotations(path, recording="mouse.1_labels").recordings == ("mouse.1_labels",)
    cut = load_annotations(path, unscored=["background"])
    assert states_of(cut, 5, behaviors=a.behaviors)[0].tolist() == [-1, -1]
    assert any("say unscored=['background']" in note for note in a.report.notes)


@pytest.mark.parametrize(
    "text, first",
    [
        ("walk;rear\n0;1\n1;0\n", [0, 1]),
        ("frame\twalk\trear\n1\t0\t1\n2\t1\t0\n", [0, 1]),
        ("index,walk,rear\r\n0,0.0,1.0\r\n1,-1.0,0.0\r\n", [0, 1]),
    ],
)
def test_other_tables_of_that_kind(tmp_path, text, first):
    path = tmp_path / "m.csv"
    path.write_text(text)
    assert recognise_format(path).name == "onehot"
    assert states_of(load_annotations(path), 2, behaviors=("walk", "rear"))[0].tolist() == first


@given(states())
def test_states_there_and_back(tmp_path_factory, values):
    a = labels_of(values)
    path = tmp_path_factory.mktemp("onehot") / "r.1_labels.csv"
    if not len(a.scored):
        return
    report = save_annotations(a, path, "onehot", recording={"r.1": edges_of(values)})
    assert report.lost == []
    assert recognise_format(path).name == "onehot"
    b = load_annotations(path)
    assert (b.recordings, b.behaviors) == (a.recordings, a.behaviors)
    np.testing.assert_array_equal(states_of(b, len(values)), states_of(a, len(values)))


def test_background_is_none_of_the_others(tmp_path):
    values = np.array([[[0, 0]], [[1, -1]], [[0, -1]], [[-1, -1]]], dtype=np.int8)
    save_annotations(labels_of(values), tmp_path / "r_labels.csv", "onehot", recording={"r.1": edges_of(values)})
    assert (tmp_path / "r_labels.csv").read_text().splitlines() == [
        ",background,walk,rear", "0,1,0,0", "1,0,1,-1", "2,-1,0,-1", "3,-1,-1,-1",
    ]  # fmt: skip


def test_one_individual(tmp_path):
    values = np.ones((3, 2, 1), dtype=np.int8)
    with pytest.raises(ValueError, match=r"holds one individual and scorer, got \['a', 'b'\]; select one"):
        save_annotations(labels_of(values, ("a", "b")), tmp_path / "r_labels.csv", "onehot")
    one = labels_of(values, ("a", "b")).select(individual="a")
    report = save_annotations(one, tmp_path / "r_labels.csv", "onehot")
    assert report.lost == ["the name of the individual 'a'"]


@pytest.mark.parametrize(
    "old, new, match",
    [
        ("1,0,1,1", "1,0,2,1", "line 3: expected 0, 1 or -1, got '2'"),
        ("1,0,1,1", "1,0,nan,1", "line 3: expected 0, 1 or -1, got 'nan'"),
        ("1,0,1,1", "1,0,1", "line 3: expected 4 cells, got 3"),
        ("1,0,1,1", "7,0,1,1", "without gaps, got 7"),
        ("1,0,1,1", "-1,0,1,1", "line 3: expected the number of a frame"),
        ("walk,rear", "walk,walk", "line 1: expected a name for every column, each once"),
        (TEXT[22:], "", "expected a row per frame, got none"),
    ],
)
def test_refused(tmp_path, old, new, match):
    check_refused(tmp_path / "m.csv", TEXT.replace(old, new), "onehot", match)


@given(damages())
def test_damaged_files(tmp_path_factory, damage):
    check_damaged(tmp_path_factory.mktemp("onehot") / "m.csv", TEXT.encode(), "onehot", damage)


@pytest.mark.shared
def test_real_file(shared_data, tmp_path):
    path = shared_data / "fly-lightning-action/labels/2019_06_26_fly2.csv"
    assert recognise_format(path).name == "onehot"
    a = load_annotations(path, unscored=["background"])
    frames = (a.bouts["stop_frame"] - a.bouts["start_frame"]).groupby(a.bouts["behavior"]).sum().to_dict()
    assert frames == {"still": 300, "walk": 300, "front_groom": 350, "back_groom": 300, "abdomen-move": 706}
    assert (a.scored["stop_frame"] - a.scored["start_frame"]).sum() == 45001 - 43045
    whole = load_annotations(path)
    assert whole.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 45001]]
    save_annotations(whole, tmp_path / "f_labels.csv", "onehot")
    assert (tmp_path / "f_labels.csv").read_text() == path.read_text().replace("\r\n", "\n")
