from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_files import check_damaged, check_refused, damages, labels_of, states, states_of

from behavior_prism.datasets import concat_annotations, load_annotations, save_annotations
from behavior_prism.datasets.formats.hub import recognise_format

FILE = {
    "is_multilabel": False,
    "class_names": {"0": "other", "1": "walk", "2": "rear"},
    "splits": {"train": ["a.mp4"], "val": [], "test": ["sub/b.1.mp4"]},
    "labels": {"a.mp4": [0, 1, 1, 0], "sub/b.1.mp4": [2, 2, 0]},
}


def written(folder, content):
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def test_read(tmp_path):
    path = written(tmp_path, FILE)
    assert recognise_format(path).name == "feral"
    a = load_annotations(path)
    assert (a.recordings, a.behaviors) == (("a", "b.1"), ("walk", "rear"))
    assert states_of(a.of_recording("a"), 4, behaviors=a.behaviors).tolist() == [[0, 0], [1, 0], [1, 0], [0, 0]]
    assert a.report.lost == ["which videos are for training, validation and test"]
    cut = load_annotations(path, unscored=["other"])
    assert cut.of_recording("a").scored[["start_frame", "stop_frame"]].values.tolist() == [[1, 3]]


def test_several_labels_and_a_mask(tmp_path):
    content = {
        **FILE, "is_multilabel": True, "labels": {"a.mp4": [[0, 1, 1], [0, 0, 0], [1, 0, 0]]},
        "frame_mask": {"a.mp4": [True, True, False]}, "splits": {},
    }  # fmt: skip
    a = load_annotations(written(tmp_path, content))
    assert states_of(a, 3, behaviors=a.behaviors).tolist() == [[1, 1], [0, 0], [-1, -1]]


def test_class_0_that_is_a_behaviour(tmp_path):
    a = load_annotations(written(tmp_path, {**FILE, "class_names": {"0": "groom", "1": "walk", "2": "rear"}}))
    assert a.behaviors == ("groom", "walk", "rear")
    assert any("class 0, 'groom', is taken for a behaviour" in note for note in a.report.notes)


@given(states(), states(), st.booleans())
def test_states_there_and_back(tmp_path_factory, one, other, whole):
    if whole:  # frames that were scored for everything or for nothing
        one, other = (np.where((v == -1).any(axis=2, keepdims=True), np.int8(-1), v) for v in (one, other))
    three = ("walk", "rear", "groom")
    parts = [labels_of(v, behaviors=three, recording=r) for v, r in ((one, "r.1"), (other, "r 2"))]
    if not all(len(p.scored) for p in parts):
        return
    a = concat_annotations(parts)
    path = tmp_path_factory.mktemp("feral") / "all.feral.json"
    edges = {"r.1": np.arange(len(one) + 1) / 25, "r 2": np.arange(len(other) + 1) / 25}
    report = save_annotations(a, path, recording=edges)
    b = load_annotations(path)
    assert (b.recordings, b.behaviors) == (a.recordings, a.behaviors)
    for name, values in (("r.1", one), ("r 2", other)):
        was, now = (states_of(x.of_recording(name), len(values)) for x in (a, b))
        np.testing.assert_array_equal(now == 1, was == 1)
        if not report.lost:
            np.testing.assert_array_equal(now, was)
    assert bool(report.lost) == any(_partly(states_of(a.of_recording(r), len(v)), a.behaviors)
                                    for r, v in (("r.1", one), ("r 2", other)))  # fmt: skip


def _partly(values, behaviors):
    known = values[:, : len(behaviors)] != -1
    return bool((known.any(axis=1) & ~known.all(axis=1)).any())


@pytest.mark.parametrize(
    "change, match",
    [
        ({"labels": {"a.mp4": [0, 3]}}, r"labels\['a.mp4'\]\[1\]: expected one of the classes \[0, 1, 2\], got '3'"),
        ({"labels": {"a.mp4": [0, True]}}, r"\[1\]: expected one of the classes"),
        ({"labels": {"a.mp4": []}}, "expected a list with a class per frame"),
        ({"labels": {"a.mp4": [[0, 1]]}, "is_multilabel": True}, "expected 0 or 1 for each of 3 classes"),
        ({"labels": {"a.mp4": [0], "x/a.avi": [0]}}, "a second video of the name 'a'"),
        ({"class_names": {"0": "a", "00": "b"}}, "expected each class once"),
        ({"class_names": {"0": "a", "1": "a"}}, "expected each class once, got 'a' again"),
        ({"class_names": {}}, "class_names: expected names by number"),
        ({"is_multilabel": 1}, "is_multilabel: expected true or false"),
        ({"frame_mask": {"a.mp4": [1]}}, "expected true or false for each of 4 frames"),
        ({"labels": {"a.mp4": [0, float("nan")]}}, "expected numbers, got NaN"),
        ({"splits": [1]}, "splits"),
    ],
)
def test_refused(tmp_path, change, match):
    check_refused(tmp_path / "m.json", json.dumps({**FILE, **change}), "feral", match)


@given(damages())
def test_damaged_files(tmp_path_factory, damage):
    check_damaged(tmp_path_factory.mktemp("feral") / "m.json", json.dumps(FILE).encode(), "feral", damage)
