from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from label_files import check_damaged, check_refused, damages, edges_of, labels_of, states, states_of

from behavior_prism.datasets import load_annotations, save_annotations
from behavior_prism.datasets.formats.hub import recognise_format

HEAD = """Bento annotation file
Movie file(s):  D:\\my data\\Mouse06 Top.seq D:\\my data\\Mouse06_Front.seq

Stimulus name:
Annotation start frame: 1
Annotation stop frame: 100
Annotation framerate: 10.000000

List of channels:
Ch1
Ch2
Ch3

List of annotations:
attack
sniff
rest

"""
BODY = """Ch1----------
>attack
Start\t Stop\t Duration
0.1\t0.5\t0.5
2\t3\t1.1

>sniff
Start\t Stop\t Duration
5.1\t5.1\t0.1


Ch2----------
>attack
Start\t Stop\t Duration
9\t10\t1.1

"""


def read(tmp_path, text, **options):
    path = tmp_path / "m.annot"
    path.write_text(text)
    assert recognise_format(path).name == "bento"
    return load_annotations(path, **options)


def rows(a):
    return a.bouts[["individual", "behavior", "start_frame", "stop_frame"]].values.tolist()


FRAMES = [["view", "attack", 0, 5], ["view", "attack", 19, 30], ["view", "sniff", 50, 51], ["Ch2", "attack", 89, 100]]


def test_seconds_of_matlab(tmp_path):
    a = read(tmp_path, HEAD + BODY)
    assert rows(a) == FRAMES
    assert a.behaviors == ("attack", "sniff", "rest")
    assert a.recordings == ("Mouse06 Top",)
    assert a.bouts["source"].tolist() == ["Ch1", "Ch1", "Ch1", "Ch2"]
    scored = a.scored[["individual", "behavior", "start_frame", "stop_frame"]].values.tolist()
    assert scored == [["view", "", 0, 100], ["Ch2", "", 0, 100]]
    assert any("Ch3" in note for note in a.report.notes)
    assert read(tmp_path, HEAD + BODY, recording="Mouse06_Front").recordings == ("Mouse06_Front",)
    assert read(tmp_path, HEAD + BODY, recording={"m": np.arange(101) / 10}).recordings == ("m",)


def test_frames(tmp_path):
    def ten_times(line):
        return "\t".join(f"{10 * float(c):g}" for c in line.split()) if line[:1].isdigit() else line

    in_frames = "\n".join(ten_times(line) for line in BODY.splitlines()) + "\n"
    assert rows(read(tmp_path, HEAD + in_frames)) == FRAMES


def test_times_that_end_where_the_next_frame_begins(tmp_path):
    body = "Ch1----------\n>attack\nStart\tStop\tDuration\n0.0\t0.5\t0.5\n1.9\t3.0\t1.1\n"
    assert rows(read(tmp_path, HEAD + body)) == [["view", "attack", 0, 5], ["view", "attack", 19, 30]]


def test_whole_numbers_may_be_either(tmp_path):
    body = "Ch1----------\n>attack\nStart\tStop\tDuration\n2\t5\t3\n"
    check_refused(
        tmp_path / "m.annot", HEAD + body, "bento", "could be frames or seconds; if they are frames, give fps"
    )
    a = read(tmp_path, HEAD + body, fps=10)
    assert rows(a) == [["view", "attack", 1, 5]]
    assert any("taken for frames, as fps was given" in note for note in a.report.notes)
    # past the last annotated second: frames
    assert rows(read(tmp_path, HEAD + body.replace("2\t5\t3", "2\t50"))) == [["view", "attack", 1, 50]]


def test_seconds_need_a_rate(tmp_path):
    bare = HEAD.replace("Annotation framerate: 10.000000\n", "")
    check_refused(tmp_path / "m.annot", bare + BODY, "bento", "without 'Annotation framerate'; give fps")
    assert rows(read(tmp_path, bare + BODY, fps=10)) == FRAMES


def test_stop_time_in_seconds_or_frames(tmp_path):
    for first, last in ((0.1, 10.0), (1, 100), (0, 10)):
        head = HEAD.replace("start frame: 1", f"start time: {first}").replace("stop frame: 100", f"stop time: {last}")
        a = read(tmp_path, head + BODY)
        assert a.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 100]] * 2


@given(states(individuals=2))
def test_states_there_and_back(tmp_path_factory, values):
    names = ("view", "m2")
    a = labels_of(values, names)
    if not len(a.scored):
        return
    path = tmp_path_factory.mktemp("bento") / "r.1.annot"
    report = save_annotations(a, path, recording={"r.1": edges_of(values)})
    assert recognise_format(path).name == "bento"
    b = load_annotations(path)
    assert b.behaviors == a.behaviors
    assert b.recordings == ("r.1",)
    assert len(a.bouts) == len(b.bouts)
    if not report.lost:
        for name in a.individuals:
            np.testing.assert_array_equal(states_of(b, len(values), name), states_of(a, len(values), name))


@pytest.mark.parametrize(
    "old, new, match",
    [
        ("2\t3\t1.1", "3\t2\t1.1", "line 23: expected start <= stop, got 3 and 2"),
        ("2\t3\t1.1", "2\tnan\t1.1", "line 23: expected a number from 0 on, got 'nan'"),
        ("2\t3\t1.1", "2\t1e300\t1.1", "line 23: expected a number from 0 on"),
        ("2\t3\t1.1", "2", "line 23: expected start, stop and duration"),
        ("2\t3\t1.1", "2.04\t3\t1.06", "line 23: expected multiples of 1/10 s"),
        ("2\t3\t1.1", "2\t3\t9", "expected durations of stop - start or one frame more"),
        ("0.1\t0.5\t0.5", "0\t0.4\t0.5", "line 22: expected frames from 1 on, got 0"),
        ("Ch2---", "Ch1---", "line 30: channel 'Ch1' stands twice"),
        ("framerate: 10", "framerate: 0", "line 7: expected a frame rate"),
        (">attack", "attack", "line 20: expected a behaviour"),
        ("stop frame: 100", "stop frame: 0", "starts before it stops"),
    ],
)
def test_refused(tmp_path, old, new, match):
    check_refused(tmp_path / "m.annot", (HEAD + BODY).replace(old, new, 1 if "Ch" not in old else -1), "bento", match)


@given(damages())
def test_damaged_files(tmp_path_factory, damage):
    check_damaged(tmp_path_factory.mktemp("bento") / "m.annot", (HEAD + BODY).encode(), "bento", damage)


@pytest.mark.shared
def test_real_file(shared_data, tmp_path):
    a = load_annotations(shared_data / "simba-bento/Together_1.annot")
    counted = a.bouts.assign(n=a.bouts["stop_frame"] - a.bouts["start_frame"]).groupby("behavior")["n"]
    assert counted.agg(["count", "sum"]).to_dict("index") == {
        "Attack": {"count": 131, "sum": 4518}, "Sniffing": {"count": 98, "sum": 1062}
    }  # fmt: skip
    assert a.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 19955]]
    assert save_annotations(a, tmp_path / "t.annot", fps=30).lost == []
    again = load_annotations(tmp_path / "t.annot")
    assert again.bouts.equals(a.bouts)
    assert again.scored.equals(a.scored)
