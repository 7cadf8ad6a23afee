"""JAABA's labels and scores, as MATLAB would write them (here: scipy), there and back."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import loadmat, savemat

from behavior_prism.datasets import from_dense, load_annotations, save_annotations, to_dense
from behavior_prism.datasets.formats.hub import recognise_format


def cell(*values):
    out = np.empty((1, len(values)), dtype=object)
    for k, value in enumerate(values):
        out[0, k] = value
    return out


def row(*values):
    return np.asarray(values, dtype=np.float64).reshape(1, -1)


def fly_labels(**what):
    return {
        "t0s": cell(row(3, 10), row()), "t1s": cell(row(6, 15), row()), "names": cell(cell("Chase", "None"), cell()),
        "flies": np.array([[2.0], [5.0]]), "off": row(0, 0), "timestamp": cell(row(1, 1), row()),
        "imp_t0s": cell(row(3), row()), "imp_t1s": cell(row(6), row()), **what,
    }  # fmt: skip


def allscores(**what):
    nan = np.nan
    inner = {
        "scores": cell(row(nan, nan, 2, 4, -1, -1, nan, 3), row(1, -1)), "tStart": row(3, 1), "tEnd": row(8, 2),
        "postprocessed": cell(row(nan, nan, 1, 1, 0, 0, 0, 1), row(1, 0)),
        "t0s": cell(row(3, 8), row(1)), "t1s": cell(row(5, 9), row(2)), "scoreNorm": 2.0, **what,
    }  # fmt: skip
    return {"allScores": inner, "timestamp": 1.0, "version": "0.6", "jabFileNameAbs": "a.jab", "behaviorName": "Chase"}


def spans(table):
    return table[["individual", "behavior", "start_frame", "stop_frame"]].values.tolist()


def test_labels_of_one_experiment(tmp_path):
    path = tmp_path / "labels.mat"
    savemat(path, fly_labels())
    a = load_annotations(path)
    assert a.report.format == "jaaba-labels"
    assert spans(a.bouts) == [["2", "Chase", 2, 5]]
    assert spans(a.scored) == [["2", "Chase", 2, 5], ["2", "Chase", 9, 14]]
    assert a.scored["important"].tolist() == [True, False]


def test_labels_of_several_experiments_and_behaviours(tmp_path):
    one = fly_labels(names=cell(cell("Lift", "No_Grab"), cell()))
    labels = np.empty((1, 2), dtype=[(k, object) for k in one])
    for e in range(2):
        for key, value in one.items():
            labels[0, e][key] = value
    savemat(tmp_path / "a.mat", {"labels": labels, "expDirNames": cell("C:\\data\\exp1.x", "/data/exp2")})
    a = load_annotations(tmp_path / "a.mat")
    assert a.recordings == ("exp1.x", "exp2")
    assert set(a.behaviors) == {"Lift", "Grab"}
    assert spans(a.select(recording="exp2").scored) == [["2", "Lift", 2, 5], ["2", "Grab", 9, 14]]
    savemat(tmp_path / "b.mat", {"labels": labels})
    assert load_annotations(tmp_path / "b.mat").recordings == ("experiment 1", "experiment 2")


def test_scores(tmp_path):
    path = tmp_path / "scores_x.mat"
    savemat(path, allscores())
    a = load_annotations(path)
    assert a.report.format == "jaaba-scores"
    assert spans(a.bouts) == [["1", "Chase", 2, 4], ["1", "Chase", 7, 8], ["2", "Chase", 0, 1]]
    assert a.bouts["score"].tolist() == [3, 3, 1]
    assert spans(a.scored) == [["1", "Chase", 2, 6], ["1", "Chase", 7, 8], ["2", "Chase", 0, 2]]
    savemat(path, {"allScores": allscores(t0s=cell(row(3), row()), t1s=cell(row(5), row()))["allScores"]})
    a = load_annotations(path)
    assert a.behaviors == ("x",)
    assert len(a.report.notes) == 2


states = st.tuples(st.integers(1, 30), st.integers(1, 3), st.integers(1, 2)).flatmap(
    lambda s: arrays(np.int8, (1, *s), elements=st.sampled_from([-1, 0, 1]))
)


@settings(max_examples=25)
@given(states)
def test_three_states_there_and_back(tmp_path_factory, values):
    import xarray as xr

    _, t, i, b = values.shape
    names = [f"b {k}" for k in range(b)]
    label = xr.DataArray(
        values, dims=("scorer", "time", "individual", "behavior"),
        coords={"scorer": [""], "time": np.arange(t) / 25, "individual": [str(k + 1) for k in range(i)],
                "behavior": names},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("jaaba")
    if not (values >= 0).any():
        return
    a = from_dense(label, recording="r.1")
    save_annotations(a, folder / "r.labels.mat")
    loaded = load_annotations(folder / "r.labels.mat")
    assert loaded.report.format == "jaaba-labels"
    assert loaded.recordings == ("r.1",)
    check(loaded, label)
    one = a.select(behavior=names[0])
    if len(one.scored):
        save_annotations(one, folder / "r.scores.mat")
        loaded = load_annotations(folder / "r.scores.mat")
        assert loaded.report.format == "jaaba-scores"
        check(loaded, label.isel(behavior=[0]))


def check(loaded, label):
    again = to_dense(
        loaded, label.time.values, individuals=list(label.individual.values), scorers=loaded.scorers
    ).reindex(behavior=label.behavior.values, fill_value=-1)  # fmt: skip
    known = label.values
    if set(loaded.behaviors) - set(label.behavior.values):  # only absence was labelled, the file's name stands in
        assert not (known == 1).any()
        return
    np.testing.assert_array_equal(again.values, known)


def test_scipy_reads_what_we_write_as_jaaba_would(tmp_path):
    savemat(tmp_path / "labels.mat", fly_labels())
    report = save_annotations(load_annotations(tmp_path / "labels.mat"), tmp_path / "o.labels.mat")
    assert not report.lost
    one = loadmat(tmp_path / "o.labels.mat")["labels"][0, 0]  # as MATLAB sees it: cells of 1 x flies
    assert one["t0s"].shape == one["names"].shape == (1, 1)
    assert (one["t0s"][0, 0].tolist(), one["t1s"][0, 0].tolist()) == ([[3, 10]], [[6, 15]])
    assert [str(n[0]) for n in one["names"][0, 0].ravel()] == ["Chase", "None"]
    assert one["flies"].tolist() == [[2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (fly_labels(t1s=cell(row(3, 15), row())), "t0 < t1"),
        (fly_labels(t0s=cell(row(0, 10), row())), "t0 < t1"),
        (fly_labels(t0s=cell(row(np.nan, 10), row())), "number of a frame"),
        (fly_labels(t0s=cell(row(3.5, 10), row())), "number of a frame"),
        (fly_labels(t1s=cell(row(1e18, 15), row())), "number of a frame"),
        (fly_labels(t0s=cell(row(3), row())), "as many t0s"),
        (fly_labels(names=cell(cell("Chase"), cell())), "a name for each"),
        (fly_labels(flies=np.array([[2.0], [2.0]])), "every fly once"),
        (fly_labels(t0s=cell(row(3, 4), row())), "its absence"),
        ({"labels": 3.0}, "expected JAABA's labels"),
    ],
)
def test_bad_labels(tmp_path, content, message):
    path = tmp_path / "labels.mat"
    savemat(path, content)
    with pytest.raises(ValueError, match=message) as caught:
        load_annotations(path, "jaaba-labels")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (allscores(tEnd=row(2, 2)), "tStart <= tEnd"),
        (allscores(tEnd=row(9, 2)), "up to frame 9"),
        (allscores(tEnd=row(1)), "of 2 flies"),
        (allscores(t1s=cell(row(3, 9), row(2))), "t0 < t1"),
        (allscores(scores="x"), "of 2 flies|expected"),
        ({"allScores": 1.0}, "expected the struct"),
    ],
)
def test_bad_scores(tmp_path, content, message):
    path = tmp_path / "scores_x.mat"
    savemat(path, content)
    with pytest.raises(ValueError, match=message) as caught:
        load_annotations(path, "jaaba-scores")
    assert "\n" not in str(caught.value)


def test_a_project_is_refused_with_the_way_out(tmp_path):
    def element(kind, body):
        return struct.pack("<2I", kind, len(body)) + body + b"\0" * (-len(body) % 8)

    words = b"".join(element(1, w) for w in (b"x", b"MCOS", b"Macguffin"))
    path = tmp_path / "chase.jab"
    opaque = element(14, element(6, struct.pack("<2I", 17, 0)) + words)
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + opaque)
    assert recognise_format(path).name == "jaaba-labels"
    with pytest.raises(ValueError, match=r"labels = J\.x\.labels"):
        load_annotations(path)


@pytest.mark.parametrize("make", [fly_labels, allscores])
def test_damaged_files_are_value_errors(tmp_path, make):
    path, bad = tmp_path / "a.mat", tmp_path / "scores_b.mat"
    savemat(path, make(), do_compression=False)
    whole = path.read_bytes()
    name = recognise_format(path).name

    @settings(max_examples=80)
    @given(st.integers(128, len(whole) - 1), st.binary(min_size=0, max_size=3))
    def check(place, junk):
        for data in (whole[:place], whole[:place] + junk + whole[place + len(junk) :]):
            bad.write_bytes(data)
            try:
                load_annotations(bad, name)
            except ValueError as error:
                assert "\n" not in str(error)

    check()


def test_one_behaviour_per_file_of_scores(tmp_path):
    savemat(tmp_path / "labels.mat", fly_labels(names=cell(cell("Lift", "No_Grab"), cell())))
    a = load_annotations(tmp_path / "labels.mat")
    with pytest.raises(ValueError, match="one behaviour"):
        save_annotations(a, tmp_path / "x.scores.mat")
