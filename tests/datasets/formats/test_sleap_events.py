"""Events of SLEAP's files: written and read by sleap-io, and by us."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import sleap_io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import (
    Annotations,
    Behavior,
    Ethogram,
    empty_table,
    load_annotations,
    load_tracks,
    recognise_format,
    save_annotations,
)

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHARED = Path(__file__).parents[4] / "shared/data"
FLIES = "sleap-flies/20190128_113421.120s.predictions.slp"


def theirs(path: Path, *, second: str | list[str] = "box2.avi") -> None:
    """A file that sleap-io alone has made, with everything that an event can have."""
    video = sleap_io.Video(filename=r"D:\videos\mouse.1.mp4", open_backend=False)
    pictures = sleap_io.Video(filename=second, open_backend=False)
    track, identity = sleap_io.Track("a"), sleap_io.Identity("b")
    labels = sleap_io.Labels(
        videos=[video, pictures],
        tracks=[track, sleap_io.Track("")],
        event_types=[sleap_io.EventType("never", description="not once", metadata={"color": "red"})],
        events=[
            sleap_io.UserEvent("chase", video, 1, 4, track, identity, source="ann", metadata={"comment": "x"}),
            sleap_io.PredictedEvent("rear", pictures, 6, 7, score=0.5, scores=[0.4, 0.6]),
            sleap_io.UserEvent("rear", video, 9, name="best", metadata={"start": "taken", "phase": "dark"}),
        ],
    )  # fmt: skip
    labels.save(str(path), verbose=False)


def test_a_file_that_sleap_io_made(tmp_path):
    path = tmp_path / "labels.slp"
    theirs(path, second=["imgs/box2/0.png", "imgs/box2/1.png"])
    assert recognise_format(path).name == "sleap-events"
    a = load_annotations(path)
    rows = a.bouts[["recording", "individual", "target", "behavior", "scorer", "start_frame", "stop_frame"]]
    assert rows.values.tolist() == [
        ["mouse.1", "a", "b", "chase", "ann", 1, 5],
        ["box2", "view", "", "rear", "", 6, 8],
        ["mouse.1", "view", "", "rear", "", 9, 10],
    ]
    assert a.behaviors == ("never", "chase", "rear")
    assert a.ethogram["never"].definition == "not once" and a.ethogram["never"].color == ""
    assert a.bouts["predicted"].tolist() == [False, True, False]
    assert a.bouts["score"].tolist()[1] == 0.5 and a.bouts["name"].tolist() == ["", "", "best"]
    assert a.bouts["comment"].tolist() == ["x", "", ""] and a.bouts["phase"].tolist() == ["", "", "dark"]
    assert a.scored.empty
    assert a.report.lost == [
        "scores of predicted events frame by frame",
        "metadata 'start' of events, a name that is taken",
    ]
    assert any("nothing counts as scored" in note for note in a.report.notes)
    assert load_annotations(path, unscored=["rear"]).behaviors == ("never", "chase")


ETHOGRAM = Ethogram(
    (Behavior(name="walk", color="#0072b2", key="w", definition="on all fours", category="move", code=3),
     Behavior(name="jump", kind="point"), Behavior(name="chase", id="hunt"), "unseen"),
    exclusive=[("walk", "jump"), ("walk", "chase")],
)  # fmt: skip
plain = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=5)
text = plain.map(str.strip)
some = text.filter(lambda t: t not in ("", "view"))


@st.composite
def annotations(draw):
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        behavior = draw(st.sampled_from(["walk", "jump", "chase"]))
        start = draw(st.integers(0, 10**8))
        stop = start if behavior == "jump" else start + draw(st.integers(1, 50))
        predicted = draw(st.booleans())
        score = draw(st.floats(0, 1)) if predicted else np.nan
        rows.append(("r1", draw(st.sampled_from(["view", "a", "b"]) | some), draw(st.sampled_from(["", "b"]) | text),
                     behavior, draw(text), start, stop, draw(plain), draw(plain), predicted, score))  # fmt: skip
    columns = ("recording", "individual", "target", "behavior", "scorer", "start_frame", "stop_frame", "comment",
               "modifiers", "predicted", "score")  # fmt: skip
    return Annotations(
        bouts=empty_table(**dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))),
        scored=empty_table(), ethogram=ETHOGRAM,
    )  # fmt: skip


@few
@given(annotations())
def test_there_and_back(tmp_path, a):
    path = tmp_path / "r.slp"
    report = save_annotations(a, path, overwrite=True)
    assert not report.lost
    b = load_annotations(path)
    assert b.ethogram == a.ethogram
    nothing = {"comment": "", "modifiers": "", "predicted": False, "score": np.nan}  # such a column is not there
    again = b.bouts.assign(**{c: v for c, v in nothing.items() if c not in b.bouts})[list(a.bouts.columns)]
    pd.testing.assert_frame_equal(again, a.bouts)
    labels = sleap_io.load_slp(str(path), open_videos=False)  # what others see
    assert [e.end_frame for e in labels.events] == [
        max(s, t - 1) for s, t in a.bouts[["start_frame", "stop_frame"]].to_numpy().tolist()
    ]
    assert [e.is_predicted for e in labels.events] == a.bouts["predicted"].tolist()
    labels.save(str(tmp_path / "again.slp"), verbose=False)  # and keep when they save it
    pd.testing.assert_frame_equal(load_annotations(tmp_path / "again.slp").bouts, b.bouts)


def test_what_is_lost_is_told(tmp_path):
    rows = empty_table(behavior=["walk"], start_frame=[0], stop_frame=[3], start=[0.0], stop=[0.1], certainty=[2])
    a = Annotations(bouts=rows, scored=empty_table(start_frame=[0], stop_frame=[9], start=[0], stop=[0.3]))
    report = save_annotations(a, tmp_path / "r.slp")
    assert report.lost == [
        "1 scored intervals: a .slp cannot tell absent from not scored",
        "times in seconds; they come back with the recording",
        "columns that are no text: certainty",
    ]
    assert load_annotations(tmp_path / "r.slp").recordings == ("r",)
    with pytest.raises(ValueError, match="some rows know only seconds; give the recording or fps"):
        timed = a.with_rows(rows.assign(start_frame=pd.NA, stop_frame=pd.NA), a.scored)
        save_annotations(timed, tmp_path / "s.slp")


def test_onto_a_file_with_events_twice(tmp_path):
    path, more = tmp_path / "labels.slp", tmp_path / "more.slp"
    theirs(path)
    rows = empty_table(
        recording=["mouse.1", "mouse.1"], individual=["a", "c"], target=["", "b"], behavior=["chase", "jump"],
        start_frame=[20, 25], stop_frame=[22, 25],
    )  # fmt: skip
    a = Annotations(bouts=rows, scored=empty_table(), ethogram=Ethogram(("chase", Behavior(name="jump", kind="point"))))
    save_annotations(a, more, onto=path)
    both = load_annotations(more)
    assert both.behaviors == ("never", "chase", "rear", "jump") and both.ethogram["jump"].kind == "point"
    names = ["recording", "individual", "target", "behavior", "start_frame", "stop_frame"]
    assert both.bouts[names].values.tolist()[3:] == rows[names].values.tolist()
    assert both.bouts["comment"].tolist() == ["x", "", "", "", ""]
    labels = sleap_io.load_slp(str(more), open_videos=False)
    assert labels.events[1].scores.tolist() == pytest.approx([0.4, 0.6])  # of the file that was there
    assert [type(e.subject).__name__ for e in labels.events[3:]] == ["Track", "Identity"]
    assert [i.name for i in labels.identities] == ["b", "c"]
    with pytest.raises(ValueError, match=r"expected a video of 'other', got \['box2', 'mouse.1'\]"):
        save_annotations(a.with_rows(rows.assign(recording="other"), a.scored), tmp_path / "x.slp", onto=path)
    with pytest.raises(ValueError, match="has 'rear', which is no point there"):
        kinds = Ethogram((Behavior(name="rear", kind="point"),))
        jumps = rows[:1].assign(behavior="rear", stop_frame=20)
        save_annotations(Annotations(bouts=jumps, scored=a.scored, ethogram=kinds), tmp_path / "x.slp", onto=path)
    wrong = tmp_path / "wrong.slp"
    wrong.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"wrong\.slp: damaged HDF5 file"):
        save_annotations(a, tmp_path / "x.slp", onto=wrong)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.slp", "more.slp", "wrong.slp"]


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / FLIES).exists(), reason="no recordings beside the checkout")
def test_onto_real_poses_of_an_old_format(tmp_path):
    """Poses of a file of format 1.1 stay byte for byte; sleap-io sees both."""
    rows = empty_table(
        recording=["20190128_113421.120s"] * 2, individual=["track_0", "track_1"], target=["track_1", ""],
        behavior=["chase", "still"], start_frame=[0, 2990], stop_frame=[50, 3000],
    )  # fmt: skip
    a = Annotations(bouts=rows, scored=empty_table())
    assert not recognises(SHARED / FLIES)
    path = tmp_path / "flies.slp"
    save_annotations(a, path, onto=SHARED / FLIES)
    pd.testing.assert_frame_equal(load_annotations(path).bouts, a.bouts)
    with h5py.File(path) as ours, h5py.File(SHARED / FLIES) as first:
        assert {n for n in ours if n not in first} == {"events", "event_types"}
        for name in ("frames", "instances", "pred_points", "points", "tracks_json", "videos_json"):
            assert ours[name][()].tobytes() == first[name][()].tobytes() or ours[name].dtype.kind == "O"
        assert dict(ours["metadata"].attrs) == dict(first["metadata"].attrs)
    labels = sleap_io.load_slp(str(path), open_videos=False)
    assert len(labels) == 3000 and labels.events[0].target is labels.tracks[1]
    np.testing.assert_array_equal(load_tracks(path).position, load_tracks(SHARED / FLIES).position)


def recognises(path: Path) -> bool:
    try:
        return recognise_format(path).name == "sleap-events"
    except ValueError:
        return False


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("end_frame", [4, 5, 9], "events, row 1: expected 0 <= start_frame <= end_frame, got 6 and 5"),
        ("start_frame", [-1, 6, 9], "row 0: expected 0 <= start_frame <= end_frame, got -1 and 4"),
        ("end_frame", [4, 7, 2**62], "row 2: expected 0 <= start_frame <= end_frame"),
        ("type", [0, 9, 1], "row 1: type: expected one of 3 event types, got 9"),
        ("video", [0, 1], "expected columns of one length"),
        ("start_frame", [0.0, 6.0, 9.0], "start_frame: expected a column of numbers"),
        ("start_frame", None, "events: expected the column 'start_frame'"),
    ],
)
def test_wrong_events_are_named(tmp_path, column, values, message):
    path = tmp_path / "bad.slp"
    theirs(path)
    with h5py.File(path, "r+") as file:
        del file[f"events/{column}"]
        if values is not None:
            file[f"events/{column}"] = np.array(values)
    with pytest.raises(ValueError, match=r"bad\.slp") as caught:
        load_annotations(path)
    assert message in str(caught.value)


def test_nothing_outside_of_the_file_is_opened(tmp_path):
    path, other = tmp_path / "bad.slp", tmp_path / "other.slp"
    theirs(path)
    shutil.copy(path, other)
    with h5py.File(path, "r+") as file:
        del file["events/start_frame"]
        file["events/start_frame"] = h5py.ExternalLink(str(other), "/events/start_frame")
    with pytest.raises(ValueError, match="expected the column 'start_frame'"):
        load_annotations(path)


@pytest.mark.parametrize("name", ["videos_json", "tracks_json"])
@pytest.mark.parametrize("text", [b"{", b"7", b"[" * 10_000, b"\xff", b"[]"])
def test_wrong_json_is_named(tmp_path, name, text):
    path = tmp_path / "bad.slp"
    theirs(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = np.array([text])
    with pytest.raises(ValueError, match=r"bad\.slp") as caught:
        load_annotations(path)
    assert "\n" not in str(caught.value)


@few
@given(length=st.integers(1, 60_000))
def test_truncated_files_are_one_clear_line(tmp_path, length):
    whole, path = tmp_path / "whole.slp", tmp_path / "bad.slp"
    if not whole.exists():
        theirs(whole)
    data = whole.read_bytes()
    path.write_bytes(data[: min(length, len(data) - 1)])
    with pytest.raises(ValueError, match=r"bad\.slp") as caught:
        load_annotations(path, "sleap-events")
    assert "\n" not in str(caught.value)
