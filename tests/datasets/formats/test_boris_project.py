from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from boris_cases import BOUTS, annotations_of_a_lab, told, told_scored
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import Annotations, empty_table, load_annotations, save_annotations
from behavior_prism.datasets.ethogram import Behavior, Ethogram

KEYS = {
    "time_format", "project_date", "project_name", "project_description", "project_format_version", "subjects_conf",
    "behaviors_conf", "observations", "behavioral_categories", "behavioral_categories_config",
    "independent_variables", "coding_map", "behaviors_coding_map", "converters",
}  # fmt: skip


def project(events, *, behaviors=(("w", "State event", ""), ("r", "State event", "")), **fields) -> dict:
    """A project with one observation of ``films/m1.mp4``, 60 s long."""
    observation = {
        "type": "MEDIA",
        "file": {"1": ["films/m1.mp4"], "2": []},
        "media_info": {"length": {"films/m1.mp4": 60.0}, "fps": {"films/m1.mp4": 25.0}},
        "time offset": 0.0,
        "events": events,
        **fields,
    }
    conf = {
        str(k): {"code": code, "type": kind, "key": "", "excluded": excluded, "modifiers": {}}
        for k, (code, kind, excluded) in enumerate(behaviors)
    }
    return {
        "time_format": "hh:mm:ss",
        "project_format_version": "7.0",
        "subjects_conf": {},
        "behaviors_conf": conf,
        "observations": {"obs": observation},
    }


@pytest.fixture
def read(tmp_path):
    def go(content, **options):
        path = tmp_path / "p.boris"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return load_annotations(path, **options)

    return go


def times(annotations):
    return annotations.bouts[["behavior", "start", "stop"]].values.tolist()


# -- reading -----------------------------------------------------------------------------------------------------------


def test_presses_become_bouts(read):
    a = read(
        project([[1, "", "w", "", "a"], [2.5, "m", "w", "", ""], [3, "", "w", "", "z"], [4, "m", "w", "", "", 100]])
    )
    assert a.recordings == ("m1",)
    assert a.bouts[["individual", "start", "stop"]].values.tolist() == [["view", 1.0, 3.0], ["m", 2.5, 4.0]]
    assert a.bouts[["comment", "comment_stop", "observation"]].iloc[0].tolist() == ["a", "z", "obs"]
    assert told_scored(a) == [("m1", "m", "", "", "", 0.0, 60.0), ("m1", "view", "", "", "", 0.0, 60.0)]


def test_modifiers_tell_bouts_apart(read):
    a = read(project([[1, "", "w", "a", ""], [2, "", "w", "b", ""], [3, "", "w", "a", ""], [4, "", "w", "b", ""]]))
    assert times(a) == [["w", 1.0, 3.0], ["w", 2.0, 4.0]]


def test_a_stop_1_ms_before_what_excludes_it_is_that_start(read):
    events = [
        [1, "", "w", "", "", 25],
        [2.999, "", "w", "", "", "NA"],
        [3, "", "r", "", "", 75],
        [4, "", "r", "", "", 100],
    ]
    both = (("w", "State event", "r"), ("r", "State event", "w"))
    assert times(read(project(events, behaviors=both))) == [["w", 1.0, 3.0], ["r", 3.0, 4.0]]
    assert times(read(project(events))) == [["w", 1.0, 2.999], ["r", 3.0, 4.0]]  # these two do not exclude each other
    edges = {"m1": np.arange(1501) / 25}
    bound = read(project(events, behaviors=both), recording=edges).bouts
    assert bound[["start_frame", "stop_frame"]].values.tolist() == [[25, 75], [75, 100]]


def test_a_missing_stop_names_observation_and_time(read):
    broken = project([[1, "", "w", "", ""], [2, "", "w", "", ""], [7.25, "m", "w", "", ""]])
    with pytest.raises(ValueError, match=r"p.boris, observation 'obs': 'w' of m at 7.25 has no stop; mend it in BORIS"):
        read(broken)
    broken["observations"]["fine"] = project([[1, "", "w", "", ""], [2, "", "w", "", ""]])["observations"]["obs"]
    broken["observations"]["fine"]["file"] = {"1": ["C:\\films\\m 2.avi"]}
    a = read(broken)
    assert a.recordings == ("m 2",)
    assert any("'obs': 'w' of m at 7.25 has no stop: the observation is left out" in line for line in a.report.lost)
    with pytest.raises(ValueError, match="has no stop"):
        read(broken, recording={"m1": np.arange(1501) / 25})


def test_time_offset_and_interval(read):
    a = read(project([[101, "", "w", "", ""], [102, "", "w", "", ""]], **{
        "time offset": 100.0, "observation time interval": [0.5, 30]}))  # fmt: skip
    assert times(a) == [["w", 1.0, 2.0]]
    assert told_scored(a) == [("m1", "view", "", "", "", 0.5, 30.0)]


def test_several_files_count_on(read):
    fields = {
        "file": {"1": ["a/one.mp4", "a/two.mp4"], "2": ["side.mp4"]},
        "media_info": {"length": {"a/one.mp4": 10.0, "a/two.mp4": 20.0}, "fps": {}},
    }
    events = [[8, "", "w", "", ""], [13, "", "w", "", ""], [20, "", "w", "", ""], [21, "", "w", "", ""]]
    a = read(project(events, **fields))
    assert a.recordings == ("one",)
    assert times(a) == [["w", 8.0, 13.0], ["w", 20.0, 21.0]]
    edges = {"one": np.arange(251) / 25, "two": np.arange(501) / 25}
    a = read(project(events, **fields), recording=edges)
    assert a.bouts[["recording", "start", "stop"]].values.tolist() == [
        ["one", 8.0, 10.0], ["two", 0.0, 3.0], ["two", 10.0, 11.0]
    ]  # fmt: skip
    assert [row[0] for row in told_scored(a)] == ["one", "two"]


def test_live_and_images(read):
    live = read(project([[1, "", "w", "", ""], [2, "", "w", "", ""]], type="LIVE", file=[], media_info={}))
    assert live.recordings == ("obs",)
    assert told_scored(live) == [("obs", "view", "", "", "", 0.0, 2.0)]
    content = project([["T", "", "w", "", "", 3, "a.jpg"], ["T", "", "w", "", "", 7, "b.jpg"]],
                      type="IMAGES", file={}, media_info={}, directories_list=["pics"])  # fmt: skip
    images = read(json.dumps(content).replace('"T"', "NaN"))
    assert images.bouts[["start_frame", "stop_frame"]].values.tolist() == [[2, 6]]
    assert images.bouts["start"].isna().all()


def test_two_observations_of_one_video_are_two_scorers(read):
    content = project([[1, "", "w", "", ""], [2, "", "w", "", ""]])
    other = json.loads(json.dumps(content["observations"]["obs"]))
    content["observations"]["again"] = other
    assert read(content).scorers == ("again", "obs")
    other["independent_variables"] = {"Observer": "Ann"}
    assert read(content).scorers == ("Ann", "obs")
    other["file"] = {"1": ["other films/m1.mp4"]}
    assert any("have one name, m1, and count as one recording" in note for note in read(content).report.notes)


def test_unscored_behaviours_cut_holes(read):
    a = read(
        project([[1, "", "w", "", ""], [2, "", "w", "", ""], [5, "", "r", "", ""], [6, "", "r", "", ""]]),
        unscored=["r"],
    )
    assert a.behaviors == ("w",)
    assert [row[-2:] for row in told_scored(a)] == [(0.0, 5.0), (6.0, 60.0)]


def test_the_ethogram(read):
    excluded = {"a": "b,c", "b": "a,c", "c": "a,b", "d": "a"}
    behaviors = [(code, "State event", others) for code, others in excluded.items()]
    content = project([], behaviors=[*behaviors, ("e", "Point event with coding map", "")])
    content["behaviors_conf"]["0"] |= {"color": "#FF00aa", "category": "x", "key": "k", "description": "what it is"}
    content["behaviors_conf"]["1"] |= {"color": "red", "key": "k"}
    a = read(content)
    assert a.ethogram["a"] == Behavior(name="a", color="#FF00aa", category="x", key="k", definition="what it is")
    assert a.ethogram.points == {"e"}
    assert a.ethogram.exclusive == (("a", "b", "c"),)
    assert "1 exclusions that hold in one direction only" in a.report.lost
    assert any("colour red" in line for line in a.report.lost)


@pytest.mark.parametrize(
    ("events", "fields", "message"),
    [
        ([[1, "", "x", "", ""]], {}, r"'obs', event 1 \(1\): 'x' is not in the ethogram"),
        ([["soon", "", "w", "", ""]], {}, "event 1: expected a time in seconds, got 'soon'"),
        ([[1e300, "", "w", "", ""]], {}, "expected a time in seconds"),
        ([[True, "", "w", "", ""]], {}, "expected a time in seconds"),
        ([[1, 2, "w", "", ""]], {}, "expected a text, got '2'"),
        ([[1, "w"]], {}, "event 1: expected .time, subject, code"),
        ({}, {"events": 7}, "events: expected a list, got '7'"),
        ([], {"file": {"1": "a.mp4"}}, "file 1: expected a list of paths"),
        ([], {"observation time interval": [5, 2]}, "expected a start before its stop"),
        ([], {"media_info": 3}, "media_info: expected an object"),
        ([], {"media_creation_date_as_offset": True}, "its times are dates"),
    ],
)
def test_what_is_wrong_is_named(read, events, fields, message):
    content = project(events, **fields) if "events" not in fields else project([]) | {}
    content["observations"]["obs"].update(fields)
    with pytest.raises(ValueError, match=message) as caught:
        read(content)
    assert "p.boris" in str(caught.value) and "\n" not in str(caught.value)


# -- writing -----------------------------------------------------------------------------------------------------------


@given(annotations_of_a_lab())
@settings(max_examples=40)
def test_written_and_read_again(tmp_path_factory, annotations):
    path = tmp_path_factory.mktemp("b") / "p.boris.gz"
    save_annotations(annotations, path)
    again = load_annotations(path)
    assert told(again, *BOUTS) == told(annotations, *BOUTS)
    assert told_scored(again) == told_scored(annotations)
    assert again.ethogram == annotations.ethogram


@given(annotations_of_a_lab())
@settings(max_examples=25)
def test_what_boris_needs(tmp_path_factory, annotations):
    path = tmp_path_factory.mktemp("b") / "p.boris"
    save_annotations(annotations, path)
    pj = json.loads(path.read_text("ascii"))
    assert set(pj) - {"behavior_prism"} == KEYS
    codes = {b["code"]: b for b in pj["behaviors_conf"].values()}
    subjects = {s["name"] for s in pj["subjects_conf"].values()}
    for observation in pj["observations"].values():
        assert set(observation["file"]) == {str(k) for k in range(1, 9)}
        assert set(observation["media_info"]["length"]) == set(observation["file"]["1"])
        assert observation["events"] == sorted(observation["events"], key=lambda e: e[0])
        sorted(observation["events"])  # BORIS sorts them so
        open_now: set[tuple] = set()
        for _, subject, code, modifiers, _, _ in observation["events"]:
            assert subject in (subjects | {""}) and code in codes
            if codes[code]["type"] == "State event":
                open_now ^= {(subject, code, modifiers)}
        assert not open_now
        assert set(observation["independent_variables"]) <= {v["label"] for v in pj["independent_variables"].values()}
    assert {b["category"] for b in codes.values()} - {""} <= set(pj["behavioral_categories"])


def test_nothing_scored_stays_so(tmp_path):
    rows = empty_table(recording=["m"], behavior=["w"], start=[1.0], stop=[2.0])
    save_annotations(Annotations(bouts=rows, scored=empty_table()), tmp_path / "p.boris")
    assert len(load_annotations(tmp_path / "p.boris").scored) == 0


def test_scorers_and_odd_names(tmp_path):
    rows = empty_table(
        recording=["a/b", "a/b"], behavior=["w", "w"], start=[1.0, 1.0], stop=[2.0, 3.0], scorer=["A", "B"]
    )
    save_annotations(Annotations(bouts=rows, scored=empty_table()), tmp_path / "p.boris")
    again = load_annotations(tmp_path / "p.boris").bouts
    assert again[["recording", "scorer", "stop"]].values.tolist() == [["a/b", "A", 2.0], ["a/b", "B", 3.0]]


def test_overlapping_bouts_of_one_kind_are_joined_and_told(tmp_path):
    rows = empty_table(recording=["m"] * 3, behavior=["w"] * 3, start=[1.0, 2.0, 4.0], stop=[3.0, 4.0, 5.0])
    report = save_annotations(Annotations(bouts=rows, scored=empty_table()), tmp_path / "p.boris")
    assert report.lost == ["1 bouts that overlap one of the same kind, joined with it"]
    assert times(load_annotations(tmp_path / "p.boris")) == [["w", 1.0, 4.0], ["w", 4.0, 5.0]]


def test_added_to_a_project(tmp_path):
    old = project([[1, "", "w", "", ""], [2, "", "w", "", ""]])
    old["behaviors_conf"]["0"]["key"] = "x"
    (tmp_path / "old.boris").write_text(json.dumps(old))
    rows = empty_table(recording=["m1"], behavior=["q"], start=[1.0], stop=[2.0], scorer=["machine"])
    ethogram = Ethogram([Behavior(name="q", key="x")])
    given_one = Annotations(bouts=rows, scored=empty_table(), ethogram=ethogram)
    save_annotations(given_one, tmp_path / "new.boris", onto=tmp_path / "old.boris")
    pj = json.loads((tmp_path / "new.boris").read_text())
    assert list(pj["observations"]) == ["obs", "m1 machine"]
    assert pj["observations"]["m1 machine"]["file"]["1"] == ["films/m1.mp4"]
    assert [b["key"] for b in pj["behaviors_conf"].values()] == ["x", "", ""]
    a = load_annotations(tmp_path / "new.boris")
    assert a.scorers == ("machine", "obs")
    assert {row[4] for row in told_scored(a)} == {"obs"}


# -- damaged files -----------------------------------------------------------------------------------------------------

GOOD = json.dumps(project([[1, "m", "w", "a|b", "hm"], [2, "m", "w", "a|b", ""]]))
VALUES = st.sampled_from([None, True, 0, -1, 1e400, "", "x", [], {}, [[]], [1, 2], {"1": 3}, "NA", 10**400])


@given(st.data())
@settings(max_examples=100)
def test_any_damage_is_one_clear_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("b") / "p.boris"
    content = GOOD.encode()
    kind = data.draw(st.sampled_from(["cut", "byte", "value", "packed"]))
    if kind == "cut":
        content = content[: data.draw(st.integers(0, len(content)))]
    elif kind == "byte":
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    elif kind == "packed":
        content = gzip.compress(content)
        content = content[: data.draw(st.integers(0, len(content)))]
    else:
        tree = json.loads(GOOD)
        node = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(node[key], (dict, list)) or not node[key] or data.draw(st.booleans()):
                node[key] = data.draw(VALUES)
                break
            node = node[key]
        content = json.dumps(tree).encode()
    path.write_bytes(content)
    try:
        load_annotations(path, "boris")
    except ValueError as error:
        assert "p.boris" in str(error) and "\n" not in str(error)
