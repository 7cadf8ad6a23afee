from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from behavior_prism.datasets import load_annotations
from behavior_prism.datasets.formats.hub import recognise_format


def content(**what):
    one = {"Vector": np.uint8([[0, 1, 1, 0, 1]]), "Bouts": np.uint16([[2, 3], [5, 5]]), **what}
    return {"hBehavior": {"VideoName": "C:\\v\\m1.avi", "FrameRate": 50.0, "TotalFrames": 5.0, "Freezing": one}}


def test_read(tmp_path):
    path = tmp_path / "hB_ann.mat"
    savemat(path, content())
    a = load_annotations(path)
    assert (a.report.format, a.recordings, a.scorers) == ("behaviordepot", ("m1",), ("ann",))
    assert a.bouts[["start_frame", "stop_frame"]].values.tolist() == [[1, 3], [4, 5]]
    assert a.scored[["behavior", "start_frame", "stop_frame"]].values.tolist() == [["Freezing", 0, 5]]
    one = content()
    del one["hBehavior"]["Freezing"]["Vector"]
    savemat(path, one)
    b = load_annotations(path)
    assert b.bouts[["start_frame", "stop_frame"]].values.tolist() == [[1, 3], [4, 5]]
    assert len(load_annotations(path, unscored=["Freezing"]).scored) == 0


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"Vector": np.array([[0.0, 2.0]])}, "0 and 1"),
        ({"Vector": np.array([[0.0, np.nan]])}, "0 and 1"),
        ({"Vector": "x"}, "numbers"),
        ({"Bouts": np.array([[3, 2]])}, "first <= last"),
        ({"Bouts": np.array([[0, 2]])}, "first <= last"),
        ({"Bouts": np.array([[1, 2, 3]])}, "first and a last"),
        ({"Bouts": np.array([[1, 1e30]])}, "number of a frame"),
        ({"Vector": np.zeros((0, 0)), "Bouts": np.zeros((0, 0))}, "within 0 frames"),
    ],
)
def test_bad(tmp_path, what, message):
    path = tmp_path / "hB_ann.mat"
    savemat(path, content(**what))
    with pytest.raises(ValueError, match=message) as caught:
        load_annotations(path)
    assert "\n" not in str(caught.value)


@pytest.mark.shared
def test_real_files(shared_data):
    folder = shared_data / "behaviordepot-freezing"
    one = load_annotations(folder / "hB_demo1_manual_annotations.mat.mat")
    assert one.behaviors == ("Freezing",)
    assert (len(one.bouts), int((one.bouts["stop_frame"] - one.bouts["start_frame"]).sum())) == (20, 1368)
    assert one.scored["stop_frame"].tolist() == [6000]
    assert not any("differ" in note for note in one.report.notes)
    frames = {}
    for path in sorted((folder / "demo7").glob("*.mat")):
        a = load_annotations(path)
        assert a.recordings == ("F1_CFC_2020-04-16-095928",)
        assert a.scored["stop_frame"].tolist() == [19541]
        assert not any("differ" in note for note in a.report.notes)
        frames[a.scorers[0]] = int((a.bouts["stop_frame"] - a.bouts["start_frame"]).sum())
    assert frames == {"expert1": 4390, "expert2": 4862, "expert3": 4468, "novice": 6215}
    table = folder / "demo1_manual_annotations.mat"
    assert recognise_format(table).name == "behaviordepot"
    with pytest.raises(ValueError, match=r"'demo1_annotations' is a MATLAB table.*writetable"):
        load_annotations(table)


@pytest.mark.shared
def test_no_other_matlab_file_is_claimed(shared_data):
    for path in (shared_data / "larval-fish-strikes").glob("*.mat"):
        with pytest.raises(ValueError, match="not a label file"):
            recognise_format(path)
