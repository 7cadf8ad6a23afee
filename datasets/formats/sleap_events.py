"""Events in SLEAP's label files (``.slp``, format 2.6 and later): ``/events`` and their catalogue ``/event_types``.

Frames are 0-based and **both ends inclusive**; an event of one frame has its start as its end, so that a point event
and a bout of one frame look alike: they are told apart by ``kind`` in the metadata of the event type, which this
module writes. ``subject`` and ``target`` are tracks or identities; no subject means the whole view. ``source`` is who
scored. The file says nothing of what was looked at. A predicted event has ``score``; its scores frame by frame are
left out.

After sleap-io 0.9.5 (``model/event.py``, ``io/slp.py``). Reading needs h5py alone; writing goes through sleap-io.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..annotations import Annotations
from ..bout_operations import as_unscored
from ..bout_rows import WHOLE_VIEW, empty_table
from .ethogram_text import ethogram_of
from .frame_rows import LAST_FRAME
from .h5_guard import open_h5, own_items
from .label_format import LabelFormat, Reading, Sample, Writing
from .sleap_file import Columns, json_lines, recording_of
from .sleap_write import OWN, write_sleap_events

FORMAT = LabelFormat(
    name="sleap-events",
    title="SLEAP events (.slp)",
    suffixes=(".slp",),
    base=0,
    end="inclusive",
    unit="frames",
    unlabelled="not known: the file holds events alone",
    evidence="documentation only",
    several=True,
    writes=True,
)
_NUMBERS = (
    *("video", "start_frame", "end_frame", "type", "is_predicted"),
    *("subject_kind", "subject_idx", "target_kind", "target_idx"),
)


def recognise(sample: Sample) -> bool:
    """HDF5 with SLEAP's metadata and at least a catalogue of events."""
    if not sample.head.startswith(b"\x89HDF"):
        return False
    try:
        with open_h5(sample.path) as file:
            return "metadata" in file and "videos_json" in file and bool({"events", "event_types"} & set(file))
    except ValueError:
        return False


def read(reading: Reading) -> Annotations:
    """Events as bouts; the ends move by one."""
    path = reading.path
    with open_h5(path) as file:
        top = own_items(file)
        kinds = Columns(top.get("event_types"), f"{path}, event_types")
        names = kinds.texts("name")
        definitions = dict(zip(names, kinds.texts("description") or [""] * len(names), strict=False))
        events = Columns(top.get("events"), f"{path}, events")
        recordings = [recording_of(file, k, one) for k, one in enumerate(json_lines(top, "videos_json", path))]
        tracks = [str(one[1]) for one in json_lines(top, "tracks_json", path)]
        identities = Columns(top.get("identity"), f"{path}, identity").texts("name")
        columns = {name: events.numbers(name) for name in _NUMBERS}
        count = len(columns["video"])
        if any(len(values) != count for values in columns.values()):
            raise ValueError(f"{path}, events: expected columns of one length")
        further = {name: events.texts(name) or [""] * count for name in ("source", "name")}
        scores = events.numbers("score", np.float64) if "score" in events.items else np.full(count, np.nan)
        if "scores" in events.items:
            reading.report.lose("scores of predicted events frame by frame")
        metadata, about = events.metadata(count), kinds.metadata(len(names))
    if not count and not names:
        raise ValueError(f"{path}: expected events, got none")
    ethogram = ethogram_of(names, dict(zip(names, about, strict=True)), definitions)
    shared = set(tracks) & set(identities)
    if len(set(tracks)) < len(tracks) or len(set(identities)) < len(identities) or shared:
        reading.report.note("tracks or identities that share a name are one individual")
    first, last = columns["start_frame"], columns["end_frame"]
    wrong = (first < 0) | (last < first) | (last >= LAST_FRAME)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{path}, events, row {row}: expected 0 <= start_frame <= end_frame, got {first[row]} and {last[row]}"
        )
    behavior = [_named(names, k, f"{path}, events, row {row}: type") for row, k in enumerate(columns["type"])]
    whose = {
        role: [
            _who(*pair, tracks, identities)
            for pair in zip(columns[f"{role}_kind"], columns[f"{role}_idx"], strict=True)
        ]
        for role in ("subject", "target")
    }
    point = np.isin(behavior, list(ethogram.points))
    if (point & (first != last)).any():
        row = int(np.flatnonzero(point & (first != last))[0])
        raise ValueError(f"{path}, events, row {row}: expected one frame of the point event {behavior[row]!r}")
    rows = empty_table(
        recording=[recordings[k] if 0 <= k < len(recordings) else "" for k in columns["video"]],
        individual=[name or WHOLE_VIEW for name in whose["subject"]],
        target=whose["target"],
        behavior=behavior,
        scorer=further["source"],
        start_frame=first,
        stop_frame=last + ~point,
    )
    rows = _with_further(rows, further["name"], columns["is_predicted"] != 0, scores, metadata, reading)
    reading.report.note("the file does not say what was looked at: nothing counts as scored")
    annotations = Annotations(bouts=rows, scored=empty_table(), ethogram=ethogram)
    return as_unscored(annotations, reading.unscored)


def _named(names: list[str], number: int, what: str) -> str:
    if not 0 <= number < len(names) or not names[number]:
        raise ValueError(f"{what}: expected one of {len(names)} event types, got {number}")
    return names[number]


def _who(kind: int, number: int, tracks: list[str], identities: list[str]) -> str:
    names = {1: tracks, 2: identities}.get(int(kind), [])
    return names[number] if 0 <= number < len(names) else ""


def _with_further(
    rows: pd.DataFrame, names: list[str], predicted: np.ndarray, scores: np.ndarray, metadata: list[dict[str, str]],
    reading: Reading,
) -> pd.DataFrame:  # fmt: skip
    if any(names):
        rows["name"] = names
    if predicted.any():
        rows["predicted"] = predicted
    if not np.isnan(scores).all():
        rows["score"] = scores
    keys = list(dict.fromkeys(key for one in metadata for key in one))
    for key in keys[:50]:
        if key in rows or key in OWN:
            reading.report.lose(f"metadata {key!r} of events, a name that is taken")
        else:
            rows[key] = [one.get(key, "") for one in metadata]
    if len(keys) > 50:
        reading.report.lose(f"{len(keys) - 50} further kinds of metadata of events")
    return rows


def write(annotations: Annotations, writing: Writing) -> None:
    """Events into a new file, or into a copy of ``onto`` in which nothing else changes."""
    write_sleap_events(annotations, writing)
