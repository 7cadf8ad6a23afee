from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from label_files import check_damaged, check_refused, damages, edges_of, labels_of, states, states_of

from behavior_prism.datasets import load_annotations, save_annotations
from behavior_prism.datasets.formats.hub import recognise_format

FEATURES = ",Nose_1_x,Nose_1_y,Nose_1_p,Mouse_1_area,on_left,Low_prob_detections_0.5"
ROWS = ["0,1.5,2.5,0.9,3.25,1,0", "1,1.5,2.5,0.9,3.25,0,0", "2,1.5,2.5,0.9,3.25,0,0", "3,1.5,2.5,0.9,3.25,1,1"]
LABELS = ["0,0", "1,0", "1,1", "0,0"]
CONFIG = (
    "[General settings]\nproject_path = C:\\x\n[SML settings]\nno_targets = 2\ntarget_name_1 = Sniff\ntarget_name_2 = "
)


def table(features=FEATURES, names="Attack,Sniff", rows=ROWS, labels=LABELS):
    return "\n".join([f"{features},{names}", *(f"{a},{b}" for a, b in zip(rows, labels, strict=True))]) + "\n"


def written(folder, text, name="m1.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_labels_behind_the_features(tmp_path):
    path = written(tmp_path, table())
    assert recognise_format(path).name == "simba"
    a = load_annotations(path)
    assert (a.behaviors, a.recordings) == (("Attack", "Sniff"), ("m1",))
    assert states_of(a, 4, behaviors=a.behaviors).tolist() == [[0, 0], [1, 0], [1, 1], [0, 0]]
    assert any("behind SimBA's features: Attack, Sniff" in note for note in a.report.notes)


def test_a_feature_of_0_and_1_may_be_taken_for_a_label_and_that_is_told(tmp_path):
    text = table(FEATURES.rpartition(",")[0], rows=[r.rpartition(",")[0] for r in ROWS])
    a = load_annotations(written(tmp_path, text))
    assert a.behaviors == ("on_left", "Attack", "Sniff")
    assert any("the last columns that hold only 0 and 1: on_left, Attack, Sniff" in note for note in a.report.notes)


def test_the_project_says_which_columns_are_labels(tmp_path):
    folder = tmp_path / "project_folder/csv/targets_inserted"
    folder.mkdir(parents=True)
    (tmp_path / "project_folder/project_config.ini").write_text(CONFIG + "Attack\n")
    path = written(folder, table(FEATURES.rpartition(",")[0], rows=[r.rpartition(",")[0] for r in ROWS]))
    assert load_annotations(path).behaviors == ("Sniff", "Attack")
    (tmp_path / "project_folder/project_config.ini").write_text(CONFIG + "Rear\n")
    with pytest.raises(ValueError, match="names the classifier 'Rear', the table has no such column"):
        load_annotations(path)
    (tmp_path / "project_folder/project_config.ini").write_text("no settings")
    with pytest.raises(ValueError, match="expected SimBA's settings"):
        load_annotations(path)


def test_machine_results(tmp_path):
    names = "Probability_Attack,Attack,Probability_Sniff,Sniff"
    a = load_annotations(
        written(tmp_path, table(names=names, labels=["0.1,0,0,0", "0.7,1,0,0", "0.9,1,1,1", "0,0,0,0"]))
    )
    assert a.behaviors == ("Attack", "Sniff")
    assert a.bouts["score"].round(6).tolist() == [0.8, 1.0]
    assert any("probabilities per frame" in lost for lost in a.report.lost)


def test_rows_left_out_are_not_scored(tmp_path):
    rows = [ROWS[0], ROWS[1], "5" + ROWS[2][1:], "6" + ROWS[3][1:]]
    a = load_annotations(written(tmp_path, table(rows=rows)))
    assert a.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 2], [5, 7]]
    assert a.bouts[["behavior", "start_frame", "stop_frame"]].values.tolist()[0] == ["Attack", 1, 2]


@given(states())
def test_states_there_and_back(tmp_path_factory, values):
    a = labels_of(values)
    if not len(a.scored):
        return
    folder = tmp_path_factory.mktemp("simba")
    text = "\n".join([FEATURES, *(f"{k}{ROWS[0][1:]}" for k in range(len(values)))]) + "\n"
    onto = written(folder, text, "features.csv")
    path = folder / "r.1.csv"
    report = save_annotations(a, path, "simba", onto=onto, recording={"r.1": edges_of(values)})
    assert recognise_format(path).name == "simba"
    assert [line.rsplit(",", len(a.behaviors))[0] for line in path.read_text().splitlines()] == text.splitlines()
    b = load_annotations(path)
    was, now = (states_of(x, len(values), behaviors=a.behaviors) for x in (a, b))
    assert b.behaviors == a.behaviors
    np.testing.assert_array_equal(now, np.maximum(was, 0))
    assert bool(report.lost) == bool((was == -1).any())


def test_writing_needs_a_table_that_fits(tmp_path):
    values = np.ones((4, 1, 1), dtype=np.int8)
    a = labels_of(values, behaviors=("Sniff",))
    with pytest.raises(ValueError, match="give its table as onto"):
        save_annotations(a, tmp_path / "r.csv", "simba")
    with pytest.raises(ValueError, match="has a column 'Sniff' already"):
        save_annotations(a, tmp_path / "r.csv", "simba", onto=written(tmp_path, table()))
    bare = written(tmp_path, "\n".join([FEATURES, *ROWS]), "f.csv")
    with pytest.raises(ValueError, match="expected a row for each of the 9 frames of 'r.1', got 4"):
        save_annotations(a, tmp_path / "r.csv", "simba", onto=bare, recording={"r.1": np.arange(10) / 25})
    with pytest.raises(ValueError, match="past the end"):
        longer = labels_of(np.ones((5, 1, 1), dtype=np.int8), behaviors=("Sniff",))
        save_annotations(longer, tmp_path / "r.csv", "simba", onto=bare)
    assert not (tmp_path / "r.csv").exists()


@pytest.mark.parametrize(
    "old, new, match",
    [
        ("\n1,", "\n0,", "line 3: expected the number of a frame behind the last one, got '0'"),
        ("\n1,", "\nnan,", "line 3: expected the number of a frame"),
        ("\n3,", "\n3999999999,", "expected the number of a frame, got 3999999999 in 4 rows"),
        ("3.25,1,0,0,0\n", "3.25,1,0,0\n", "line 2: expected 9 cells, got 8"),
        ("Attack,Sniff", "Sniff,Sniff", "line 1: expected a name for every column, each once"),
        ("1,1,0,0\n", "1,1,0,2\n", "expected columns of 0 and 1 behind the features, got none"),
    ],
)
def test_refused(tmp_path, old, new, match):
    check_refused(tmp_path / "m.csv", table().replace(old, new), "simba", match)


@given(damages())
def test_damaged_files(tmp_path_factory, damage):
    check_damaged(tmp_path_factory.mktemp("simba") / "m.csv", table().encode(), "simba", damage)


@pytest.mark.shared
@pytest.mark.parametrize("name, sniff, approach", [("Tvideo_8_trim", 94, 7), ("Tvideo_25_trim", 101, 0)])
def test_real_files(shared_data, tmp_path, name, sniff, approach):
    path = shared_data / f"dlc2action/crim_sample/{name}.csv"
    assert recognise_format(path).name == "simba"
    a = load_annotations(path)
    assert len(a.behaviors) == 11
    assert all(b.endswith("_prediction") for b in a.behaviors)
    frames = (a.bouts["stop_frame"] - a.bouts["start_frame"]).groupby(a.bouts["behavior"]).sum().to_dict()
    assert frames == {"sniff_prediction": sniff} | ({"approach_prediction": approach} if approach else {})
    assert a.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 101]]
    # the same table without its labels, and with them again
    lines = [line.rsplit(",", 11)[0] for line in path.read_text().splitlines()]
    bare = written(tmp_path, "\n".join(lines) + "\n", "bare.csv")
    save_annotations(a, tmp_path / "again.csv", "simba", onto=bare)
    assert (tmp_path / "again.csv").read_text().split() == path.read_text().split()
