"""Bouts in NWB files: what pynwb reads of ours, what we read of files that pynwb alone has made."""

from __future__ import annotations

import datetime
import json

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ndx_ethogram import Ethogram as Catalogue
from ndx_ethogram import EthogramBouts
from nwbinspector import Importance, inspect_nwbfile
from pynwb.epoch import TimeIntervals
from pynwb.event import EventsTable
from pynwb.image import ImageSeries

from behavior_prism.datasets import (
    Annotations,
    Behavior,
    Ethogram,
    annotations_from_intervals,
    empty_table,
    load_annotations,
    recognise_format,
    save_annotations,
    to_dense,
)

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ETHOGRAM = Ethogram(
    (Behavior(name="walk", color="#0072b2", key="w", definition="on all fours", category="move", code=3),
     Behavior(name="jump", kind="point"), Behavior(name="chase", id="hunt"), "unseen"),
    exclusive=[("walk", "jump"), ("walk", "chase")],
)  # fmt: skip
EDGES = np.sort(np.random.default_rng(0).uniform(0, 10, 41))
START = datetime.datetime(2024, 5, 31, 9, 30, tzinfo=datetime.UTC)


@st.composite
def rows(draw, *, scored=False):
    out = []
    for _ in range(draw(st.integers(0, 5))):
        behavior = draw(st.sampled_from(["walk", "jump", "chase", *([""] if scored else [])]))
        start = draw(st.integers(0, 39))
        stop = start if behavior == "jump" and not scored else draw(st.integers(start + 1, 40))
        names = draw(st.sampled_from(["view", "a", "b|c", "ä"])), draw(st.sampled_from(["", "b"]))
        out.append((*names, behavior, draw(st.sampled_from(["", "ann", "bob/x"])), start, stop, draw(st.integers(0, 9)),
                    draw(st.sampled_from(["", "dark", "{1}"]))))  # fmt: skip
    individual, target, behavior, scorer, start, stop, number, comment = zip(*out, strict=True) if out else ((),) * 8
    further = {} if scored else {"certainty": np.array(number, dtype=np.int64), "comment": comment}
    return empty_table(
        recording=["r/1"] * len(out), individual=individual, target=target, behavior=behavior, scorer=scorer,
        start_frame=start, stop_frame=stop, start=EDGES[list(start)], stop=EDGES[list(stop)], **further,
    )  # fmt: skip


@few
@given(rows(), rows(scored=True), st.booleans())
@pytest.mark.slow
def test_there_and_back_in_pynwb_and_inspector(tmp_path, bouts, scored, in_frames):
    """Everything comes back, what was scored row by row; nothing that the inspector calls worse than a suggestion."""
    if not in_frames:
        bouts, scored = (t.assign(start_frame=pd.NA, stop_frame=pd.NA) for t in (bouts, scored))
    if not len(bouts) and not len(scored):
        return
    a = Annotations(bouts=bouts, scored=scored, ethogram=ETHOGRAM)
    path = tmp_path / "r.nwb"
    report = save_annotations(a, path, overwrite=True, options={"session_start_time": START})
    assert not report.lost
    b = load_annotations(path)
    assert b.ethogram == ETHOGRAM
    again = b.bouts.assign(**{c: v for c, v in (("certainty", 0), ("comment", "")) if c not in b.bouts})
    columns = list(a.bouts.columns)
    pd.testing.assert_frame_equal(again[columns].astype({"certainty": "int64"}), a.bouts)
    pd.testing.assert_frame_equal(b.scored, a.scored)
    with pynwb.NWBHDF5IO(path, "r") as io:
        module = io.read().processing["behavior"]
        for table in (t for t in module.data_interfaces.values() if isinstance(t, EthogramBouts)):
            assert table.ethogram is module["Ethogram"] and len(table.observation_intervals) > 0
            assert table.labeling_method == "manual"
    bad = [
        m for m in inspect_nwbfile(nwbfile_path=path) if m.importance.value > Importance.BEST_PRACTICE_SUGGESTION.value
    ]
    alike = {m.check_function_name for m in bad if bouts["start"].duplicated().any()}  # bouts that begin at once
    assert {m.check_function_name for m in bad} <= alike & {"check_time_intervals_start_time_not_constant"}, bad


@few
@given(arrays(np.int8, st.tuples(st.just(1), st.integers(2, 12), st.just(2), st.just(2)), elements=st.integers(-1, 1)))
def test_three_states_survive(tmp_path, values):
    import xarray as xr

    from behavior_prism.datasets import from_dense

    names = {"scorer": ["ann"], "individual": ["a", "b"], "behavior": ["walk", "rest"]}
    dims = ("scorer", "time", "individual", "behavior")
    time = np.arange(values.shape[1]) / 25
    label = xr.DataArray(values, dims=dims, coords={**{k: np.array(v, object) for k, v in names.items()}, "time": time})
    a = from_dense(label, recording="r")
    save_annotations(a, tmp_path / "r.nwb", overwrite=True)
    again = to_dense(load_annotations(tmp_path / "r.nwb"), time, individuals=["a", "b"], scorers=["ann"])
    np.testing.assert_array_equal(again.values, values)


def test_several_animals_scored_from_end_to_end(tmp_path):
    """The commonest case; intervals that all begin at 0 are cut where one of them ends."""
    scored = empty_table(
        recording=["r"] * 3, individual=["a", "b", "c"], start_frame=[0] * 3, stop_frame=[10, 20, 20], start=[0.0] * 3,
        stop=[1.0, 2.0, 2.0],
    )  # fmt: skip
    common = {"recording": ["r"], "individual": ["a"], "behavior": ["walk"]}
    bouts = empty_table(**common, start_frame=[1], stop_frame=[5], start=[0.1], stop=[0.5])
    a = Annotations(bouts=bouts, scored=scored)
    save_annotations(a, tmp_path / "r.nwb", options={"session_start_time": START})
    pd.testing.assert_frame_equal(load_annotations(tmp_path / "r.nwb").scored, a.scored)
    with pynwb.NWBHDF5IO(tmp_path / "r.nwb", "r") as io:
        observed = io.read().processing["behavior"]["observation_intervals"]
        assert observed["start_time"][:].tolist() == [0.0, 1.0] and observed["stop_time"][:].tolist() == [1.0, 2.0]
        assert [list(s) for s in observed["subject"][:]] == [["a", "b", "c"], ["b", "c"]]
    worst = max(m.importance.value for m in inspect_nwbfile(nwbfile_path=tmp_path / "r.nwb"))
    assert worst == Importance.BEST_PRACTICE_SUGGESTION.value


def test_the_session_is_as_the_user_says(tmp_path):
    a = annotations_from_intervals([(1, 5, "walk")], behaviors=["walk"], num_frames=9, fps=10, recording="r")
    options = {
        "session_start_time": "2024-05-31T09:30:00+02:00", "lab": "Burrow", "experimenter": ["Doe, Jane"],
        "labeling_method": "automated", "source_software": "behavior_prism 1",
        "subject": {"subject_id": "m7", "species": "Mus musculus", "sex": "F", "age": "P90D"},
    }  # fmt: skip
    report = save_annotations(a, tmp_path / "r.nwb", options=options)
    assert report.notes == []
    with pynwb.NWBHDF5IO(tmp_path / "r.nwb", "r") as io:
        file = io.read()
        assert (file.lab, file.experimenter, file.subject.subject_id) == ("Burrow", ("Doe, Jane",), "m7")
        bouts = file.processing["behavior"]["behavior_bouts_automated"]
        assert (bouts.labeling_method, bouts.source_software) == ("automated", "behavior_prism 1")
    b = load_annotations(tmp_path / "r.nwb")
    assert b.bouts["labeling_method"].tolist() == ["automated"] and b.scorers == ("",)
    save_annotations(b, tmp_path / "again.nwb")
    assert load_annotations(tmp_path / "again.nwb").bouts["labeling_method"].tolist() == ["automated"]
    notes = save_annotations(a, tmp_path / "bare.nwb").notes
    assert [n.split(",")[0] for n in notes] == [
        "when the session began is not known", "of the subject", "how the labels were made is not known"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"session": 1}, "unknown option 'session', NWB ethogram takes"),
        ({"session_start_time": "yesterday"}, "session_start_time: expected a time like"),
        ({"session_start_time": datetime.datetime(2024, 1, 1)}, "expected a time with its time zone"),
        ({"labeling_method": "guessed"}, "labeling_method: expected one of"),
        ({"subject": "m7"}, "subject: expected a dictionary"),
        ({"subject": {"id": "m7"}}, "subject: expected some of"),
        ({"lab": 7}, "pynwb refuses it"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, message):
    a = annotations_from_intervals([(1, 5, "walk")], behaviors=["walk"], num_frames=9, fps=10, recording="r")
    with pytest.raises(ValueError, match=message) as caught:
        save_annotations(a, tmp_path / "r.nwb", options=options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


# -- files that we did not write ---------------------------------------------------------------------------------------


def like_neuroconv(path) -> None:
    """A session as neuroconv's BORIS interface lays it out: events of every kind, the closed bouts again as bouts."""
    file = pynwb.NWBFile("session", "id", START, session_id="not a recording")
    module = file.create_processing_module(name="behavior", description="Behavioral annotations.")
    catalogue = Catalogue(name="Ethogram", description="The scheme.", exclusive=False)
    catalogue.add_column(name="excludes", description="Behaviours that it ends.", index=True)
    for name, kind, excluded in (("walk", "state", ["rest"]), ("rest", "state", ["walk"]), ("jump", "point", [])):
        catalogue.add_row(behavior=name, definition=f"to {name}", behavior_type=kind, category="", excludes=excluded)
    module.add(catalogue)
    bouts = EthogramBouts(
        name="Obs1Bouts", description="Bouts.", labeling_method="manual", source_software="BORIS", ethogram=catalogue
    )
    for column in ("subject", "comment"):
        bouts.add_column(name=column, description=column)
    bouts.add_column(name="modifier_speed", description="Speed.", index=True)
    bouts.add_row(start_time=1.0, stop_time=2.5, label="walk", subject="m1", comment="", modifier_speed=["fast", "far"])
    bouts.add_row(start_time=2.5, stop_time=4.0, label="rest", subject="", comment="?", modifier_speed=[])
    module.add(bouts)
    events = EventsTable(name="Obs1", description="All events.")
    events.add_column(name="event_type", description="The event type of each event.")
    events.add_column(name="subject", description="Subject.")
    for time, duration, kind, who in ((1.0, 1.5, "walk", "m1"), (2.5, 1.5, "rest", ""), (3.0, np.nan, "jump", "m1"),
                                      (9.0, np.nan, "walk", "m1")):  # fmt: skip
        events.add_row(timestamp=time, duration=duration, event_type=kind, subject=who)
    file.add_events_table(events)
    lamp = EventsTable(name="lamp", description="No behaviour.")
    lamp.add_row(timestamp=0.5)
    file.add_events_table(lamp)
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


def test_a_file_like_those_of_neuroconv(tmp_path):
    path = tmp_path / "session.nwb"
    like_neuroconv(path)
    assert recognise_format(path).name == "nwb-ethogram"
    a = load_annotations(path)
    assert a.bouts[["recording", "individual", "behavior", "scorer", "start", "stop", "comment"]].values.tolist() == [
        ["session", "m1", "walk", "BORIS", 1.0, 2.5, ""],
        ["session", "view", "rest", "BORIS", 2.5, 4.0, "?"],
        ["session", "m1", "jump", "", 3.0, 3.0, ""],
    ]
    assert a.bouts["modifier_speed"].tolist() == ["fast|far", "", ""]
    assert a.ethogram.points == {"jump"} and a.ethogram.exclusive == (("walk", "rest"),)
    assert a.ethogram["walk"].definition == "to walk"
    assert a.scored.empty and a.report.lost == ["1 bouts whose stop was never scored"]
    assert any("assessed throughout" in note for note in a.report.notes)


def test_tables_of_several_tools_with_plain_observation_intervals(tmp_path):
    path = tmp_path / "session.nwb"
    file = pynwb.NWBFile("session", "id", START)
    module = file.create_processing_module(name="behavior", description="Behaviour.")
    seen = TimeIntervals(name="seen", description="Scored.")
    for start, stop in ((0.0, 5.0), (7.0, 9.0)):
        seen.add_row(start_time=start, stop_time=stop)
    module.add(seen)
    video = ImageSeries(name="video", description="v", unit="n.a.", format="external", rate=30.0, num_samples=300,
                        external_file=["videos/mouse 1.mp4"], starting_frame=[0])  # fmt: skip
    file.add_acquisition(video)
    manual = EthogramBouts(name="drawn", description="d", labeling_method="manual", annotator="ann",
                           observation_intervals=seen, source_video=video)  # fmt: skip
    manual.add_row(start_time=1.0, stop_time=2.0, label="walk")
    motifs = EthogramBouts(name="motifs", description="d", labeling_method="automated", source_software="VAME",
                           source_video=video)  # fmt: skip
    motifs.add_row(start_time=0.0, stop_time=2.0, label="7")
    module.add(manual)
    module.add(motifs)
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    a = load_annotations(path)
    assert a.recordings == ("mouse 1",) and a.behaviors == ("walk", "7") and a.scorers == ("VAME", "ann")
    assert a.bouts[["behavior", "scorer", "labeling_method"]].values.tolist() == [
        ["walk", "ann", "manual"], ["7", "VAME", "automated"]
    ]  # fmt: skip
    assert a.scored[["individual", "behavior", "scorer", "start", "stop"]].values.tolist() == [
        ["view", "", "ann", 0.0, 5.0], ["view", "", "ann", 7.0, 9.0], ["view", "", "VAME", 0.0, 10.0]
    ]  # fmt: skip
    assert load_annotations(path, unscored=["walk"]).scored["start"].tolist()[:3] == [0.0, 2.0, 7.0]


def test_onto_a_session_that_is_there(tmp_path):
    path, more = tmp_path / "session.nwb", tmp_path / "more.nwb"
    like_neuroconv(path)
    a = annotations_from_intervals(
        [(1, 5, "walk")], behaviors=["walk"], num_frames=90, fps=10, recording="r", scorer="ann"
    )
    before = path.read_bytes()
    report = save_annotations(a, more, onto=path)
    assert path.read_bytes() == before
    assert report.notes[0] == "added to a copy of session.nwb; times must be those of its clock"
    with pynwb.NWBHDF5IO(more, "r") as io:
        file = io.read()
        assert set(file.processing["behavior"].data_interfaces) == {
            "Ethogram", "Obs1Bouts", "Ethogram_2", "behavior_bouts", "observation_intervals"
        }  # fmt: skip
        assert file.session_id == "not a recording" and set(file.events) == {"Obs1", "lamp"}
    both = load_annotations(more)
    assert both.scorers == ("", "BORIS", "ann") and both.recordings == ("r",)
    assert both.scored[["scorer", "stop_frame", "stop"]].values.tolist() == [["ann", 90, 9.0]]
    with pytest.raises(ValueError, match=r"lab: the session of session\.nwb is described already"):
        save_annotations(a, tmp_path / "x.nwb", onto=path, options={"lab": "Burrow"})
    wrong = tmp_path / "wrong.nwb"
    with h5py.File(wrong, "w") as made:
        made["x"] = 1
    with pytest.raises(ValueError, match=r"wrong\.nwb: expected an NWB file"):
        save_annotations(a, tmp_path / "x.nwb", onto=wrong)
    assert not (tmp_path / "x.nwb").exists()


# -- what is refused ---------------------------------------------------------------------------------------------------


def ours(path) -> None:
    a = annotations_from_intervals([(1, 5, "walk"), (6, 8, "rest")], behaviors=["walk", "rest"], num_frames=9, fps=10)
    save_annotations(a, path)


BOUTS, SEEN = "processing/behavior/behavior_bouts", "processing/behavior/observation_intervals"


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (f"{BOUTS}/stop_time", [0.5, 0.1], "row 1: expected start_time < stop_time, got 0.6 and 0.1"),
        (f"{BOUTS}/start_time", [0.1, np.nan], "start_time, row 1: expected a time, got nan"),
        (f"{BOUTS}/start_time", [0.1, np.inf], "row 1: expected a time, got inf"),
        (f"{BOUTS}/stop_time", [0.5], "expected columns of one length"),
        (f"{BOUTS}/label", [b"walk", b" "], "row 1: expected a label, got nothing"),
        (f"{BOUTS}/label", [b"walk", b"\xff"], "label: not UTF-8 text"),
        (f"{BOUTS}/label", [1, 2], "label: expected text"),
        (f"{BOUTS}/stop_time", None, "expected the column 'stop_time'"),
        (f"{BOUTS}/stop_frame", [1, 8], "expected start_frame < stop_frame, got 1 and 1"),
        (f"{SEEN}/behavior", [b"fly"], "observation intervals speak of 'fly'"),
        (f"{SEEN}/subject_index", [7], "expected places within 'subject' in order"),
        (f"{SEEN}/interval", [b"x"], "interval: expected whole numbers"),
        ("processing/behavior/Ethogram/behavior", [b"walk", b"walk"], "expected each name once, got 'walk'"),
        ("processing/behavior/Ethogram/behavior", [b"walk", b""], "expected a name without spaces"),
    ],
)
def test_wrong_tables_are_named(tmp_path, column, values, message):
    path = tmp_path / "bad.nwb"
    ours(path)
    with h5py.File(path, "r+") as file:
        del file[column]
        if values is not None:
            file[column] = np.array(values)
    with pytest.raises(ValueError, match=r"bad\.nwb") as caught:
        load_annotations(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_outside_of_the_file_is_opened(tmp_path):
    path, other = tmp_path / "bad.nwb", tmp_path / "other.nwb"
    ours(path)
    ours(other)
    with h5py.File(path, "r+") as file:
        del file[f"{BOUTS}/observation_intervals"], file[f"{BOUTS}/stop_time"]
        file[f"{BOUTS}/observation_intervals"] = h5py.ExternalLink(str(other), f"/{SEEN}")
        file[f"{BOUTS}/stop_time"] = h5py.ExternalLink(str(other), f"/{BOUTS}/stop_time")
    with pytest.raises(ValueError, match="expected the column 'stop_time'"):
        load_annotations(path)


def test_metadata_that_is_no_json_is_no_matter(tmp_path):
    path = tmp_path / "r.nwb"
    ours(path)
    for text in ("{", "[" * 100_000, json.dumps([1]), json.dumps({"recording": 7})):
        with h5py.File(path, "r+") as file:
            file[BOUTS].attrs["parameters"] = text[:60_000]
        assert load_annotations(path).recordings == ("r",)


@settings(few, max_examples=40)
@given(length=st.integers(1, 250_000))
def test_truncated_files_are_one_clear_line(tmp_path, length):
    whole, path = tmp_path / "whole.nwb", tmp_path / "bad.nwb"
    if not whole.exists():
        ours(whole)
    data = whole.read_bytes()
    path.write_bytes(data[: min(length, len(data) - 1)])
    with pytest.raises(ValueError, match=r"bad\.nwb") as caught:
        load_annotations(path, "nwb-ethogram")
    assert "\n" not in str(caught.value)


def test_nwb_without_bouts_is_not_claimed(tmp_path):
    path = tmp_path / "plain.nwb"
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(pynwb.NWBFile("session", "id", START))
    with pytest.raises(ValueError, match="not a label file of a known format"):
        recognise_format(path)
