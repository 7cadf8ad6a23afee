from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from label_files import check_damaged, check_refused, damages, edges_of, labels_of, states, states_of

from behavior_prism.datasets import Annotations, Ethogram, empty_table, load_annotations, save_annotations
from behavior_prism.datasets.ethogram import Behavior
from behavior_prism.datasets.formats.hub import recognise_format

TEXT = (
    "# trace-meta: behaviors=groom:g,rear:r,dig\nlabelId,timestamp,endTimestamp,score\n"
    "groom,0.033,4.233,0.9\n\nrear,40.0,42.0,\n"
)


def test_read(tmp_path):
    path = tmp_path / "m1.csv"
    path.write_text(TEXT)
    assert recognise_format(path).name == "trace"
    a = load_annotations(path)
    assert a.bouts[["recording", "behavior", "start", "stop"]].values.tolist() == [
        ["m1", "groom", 0.033, 4.233], ["m1", "rear", 40.0, 42.0],
    ]  # fmt: skip
    assert a.bouts["score"].fillna(-1).tolist() == [0.9, -1]
    assert [(b.name, b.key) for b in a.ethogram] == [("groom", "g"), ("rear", "r"), ("dig", "")]
    assert len(a.scored) == 0
    assert load_annotations(path, unscored=["rear"]).behaviors == ("groom", "dig")


def test_the_class_map_beside(tmp_path):
    (tmp_path / "m1.csv").write_text("labelId,timestamp,endTimestamp\nrear,1,2\n")
    (tmp_path / "classmap.txt").write_text("attack\nrear\n\n")
    assert load_annotations(tmp_path / "m1.csv").behaviors == ("attack", "rear")
    (tmp_path / "classmap.txt").write_text("attack\nattack\n")
    with pytest.raises(ValueError, match="classmap.txt: expected each class once"):
        load_annotations(tmp_path / "m1.csv")


@given(states())
def test_bouts_there_and_back(tmp_path_factory, values):
    a = labels_of(values)
    if not len(a.scored):
        return
    path = tmp_path_factory.mktemp("trace") / "r.1.csv"
    edges = {"r.1": edges_of(values)}
    report = save_annotations(a, path, "trace", recording=edges)
    assert report.lost == ["which intervals were scored"]
    assert recognise_format(path).name == "trace"
    b = load_annotations(path, recording=edges)
    assert b.behaviors == a.behaviors
    was, now = (states_of(x, len(values)) if len(x.bouts) else np.zeros(0) for x in (a, b))
    np.testing.assert_array_equal(now == 1, was == 1)


def test_points_become_frames(tmp_path):
    bouts = empty_table(behavior=["jump"], start_frame=[3], stop_frame=[3], start=[0.3], stop=[0.3])
    a = Annotations(
        bouts=bouts, scored=empty_table(), ethogram=Ethogram([Behavior(name="jump", kind="point", key="j")])
    )
    report = save_annotations(a, tmp_path / "m.csv", "trace", fps=10)
    assert "1 rows are point events" in report.lost[0]
    assert (tmp_path / "m.csv").read_text().splitlines()[::2] == ["# trace-meta: behaviors=jump:j", "jump,0.300,0.400"]


@pytest.mark.parametrize(
    "old, new, match",
    [
        ("40.0,42.0", "42.0,40.0", "line 5: expected start < stop, got 42 and 40"),
        ("40.0,42.0", "nan,40.0", "line 5: expected seconds from 0 on, got 'nan'"),
        ("40.0,42.0", "1e300,1e301", "line 5: expected seconds from 0 on"),
        ("40.0,42.0", "-1,40.0", "line 5: expected seconds from 0 on, got '-1'"),
        ("rear,40", ",40", "line 5: expected the name of a behaviour"),
        ("42.0,", "42.0,,,", "line 5: expected 4 cells, got 6"),
        ("labelId,", "label,", "line 2: expected the columns .* missing"),
        ("groom:g,rear:r", "groom:g,groom:r", "line 1: expected behaviours as name:key, each once"),
        (",score", ",timestamp", "line 2: expected every column once, got 'timestamp' again"),
    ],
)
def test_refused(tmp_path, old, new, match):
    check_refused(tmp_path / "m.csv", TEXT.replace(old, new), "trace", match)


@given(damages())
def test_damaged_files(tmp_path_factory, damage):
    check_damaged(tmp_path_factory.mktemp("trace") / "m.csv", TEXT.encode(), "trace", damage)


@pytest.mark.shared
def test_real_files(shared_data, tmp_path):
    files = sorted((shared_data / "calms21-bouts/train").glob("*.csv"))
    assert len(files) == 70
    bouts, frames = {}, {}
    for file in files:
        assert recognise_format(file).name == "trace"
        a = load_annotations(file, fps=30)
        assert a.behaviors == ("attack", "investigation", "mount")
        assert a.report.snapped < 0.0005
        for behavior, rows in a.bouts.groupby("behavior"):
            bouts[behavior] = bouts.get(behavior, 0) + len(rows)
            frames[behavior] = frames.get(behavior, 0) + int((rows["stop_frame"] - rows["start_frame"]).sum())
    assert bouts == {"investigation": 1811, "mount": 282, "attack": 194}
    assert frames == {"investigation": 146615, "mount": 28615, "attack": 14039}
    file = files[0]
    save_annotations(load_annotations(file), tmp_path / "m.csv", "trace")
    written = (tmp_path / "m.csv").read_text().splitlines()
    assert sorted(written[-len(file.read_text().split()) + 1 :]) == sorted(file.read_text().split()[1:])
