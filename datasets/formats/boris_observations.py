"""Observations of BORIS placed on recordings: what each is of, who scored it, and what was looked at.

Times of an observation count on through the media files of its first player. Its recording is the first of them; if a
later one is a recording at hand, rows are cut at the ends of the files instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..annotations import Annotations
from ..bout_rows import empty_table
from ..ethogram import Ethogram
from ..recording import recording_name
from .boris_events import STEP
from .frame_rows import minus
from .label_format import Reading

_TEXTS = ("recording", "individual", "target", "behavior", "scorer")


@dataclass
class Observation:
    """One observation: rows in the time of its media, and what was looked at.

    Parameters
    ----------
    id : str
        Its name.
    media : list of (str, float or None)
        Files of the first player in their order, and how long each is [s].
    rows : list of dict
        Bouts and point events.
    looked_at : (float, float), optional
        The interval that was observed, in the unit of the rows.
    scorer : str
        Who observed, if the file says it.
    in_frames : bool
        Whether numbers are those of images, not seconds.
    scored : list of dict, optional
        Scored rows that the file spells out; then ``looked_at`` does not count.
    recording : str
        Its recording, where that is not the name of the media.
    """

    id: str
    media: list[tuple[str, float | None]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    looked_at: tuple[float, float] | None = None
    scorer: str = ""
    in_frames: bool = False
    scored: list[dict[str, Any]] | None = None
    recording: str = ""


def media_name(path: str) -> str:
    r"""The recording that a media file is, whatever system its path was written on.

    Parameters
    ----------
    path : str
        Path of a media file.

    Returns
    -------
    str

    Examples
    --------
    >>> media_name("C:\\films\\mouse 1.avi"), media_name("films/mouse.1.mp4")
    ('mouse 1', 'mouse.1')
    """
    return recording_name(path.strip().replace("\\", "/"))


def annotations_of(observations: Sequence[Observation], ethogram: Ethogram, reading: Reading) -> Annotations:
    """Observations placed on their recordings.

    Parameters
    ----------
    observations : sequence of Observation
        In the order of the file.
    ethogram : Ethogram
        Behaviours of the file.
    reading : Reading
        Recordings at hand, behaviours that mean "not looked at", and the report.

    Returns
    -------
    Annotations
    """
    report, points = reading.report, ethogram.points
    chosen = [_recordings_of(o, reading) for o in observations]
    shared = Counter(names[0] for names in chosen)
    for name in shared:
        paths = {o.media[0][0] for o, names in zip(observations, chosen, strict=True) if names[0] == name and o.media}
        if len(paths) > 1:
            report.note(f"{', '.join(sorted(paths)[:4])} have one name, {name}, and count as one recording")
    if any(shared[names[0]] > 1 and not o.scorer for o, names in zip(observations, chosen, strict=True)):
        report.note("several observations of one recording: the scorer of each is named as the observation")
    bouts: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    brief = 0
    for observation, names in zip(observations, chosen, strict=True):
        scorer = observation.scorer or (observation.id if shared[names[0]] > 1 else "")
        common = {"scorer": scorer, "observation": observation.id}
        for row in observation.rows:
            if row["behavior"] not in points and row["stop"] <= row["start"]:
                row["stop"] = row["start"] + (1 if observation.in_frames else STEP)
                brief += 1
        holes: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for row in observation.rows:
            if row["behavior"] in reading.unscored:
                holes.setdefault((row["individual"], row["target"]), []).append((row["start"], row["stop"]))
        rows = [row for row in observation.rows if row["behavior"] not in reading.unscored]
        looked = [
            {**row, "start": a, "stop": b}
            for row in _scored_rows(observation)
            for a, b in _without((row["start"], row["stop"]), holes.get((row["individual"], row["target"]), []))
            if row["behavior"] not in reading.unscored
        ]
        bouts += [{**row, **common} for part in rows for row in _on_files(part, observation, names)]
        scored += [{**row, **common} for part in looked for row in _on_files(part, observation, names)]
    if brief:
        report.note(f"{brief} bouts whose stop is their start last 1 ms (one image), the least that BORIS knows")
    if scored:
        report.note(
            "the observed interval (media length, or the interval of the observation) counts as scored for every "
            "behaviour, for the subjects that occur in the observation"
        )
    kept = ethogram.only(b for b in ethogram.names if b not in reading.unscored)
    return Annotations(bouts=_table(bouts, notes=True), scored=_table(scored), ethogram=kept)


def _without(span: tuple[float, float], holes: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """``minus`` is written for frames and does the same with seconds."""
    return minus([span], holes)  # type: ignore[list-item, arg-type, return-value]


def _scored_rows(observation: Observation) -> list[dict[str, Any]]:
    if observation.scored is not None:
        return observation.scored
    if observation.looked_at is None:
        return []
    start, stop = observation.looked_at
    whose = dict.fromkeys((row["individual"], row["target"]) for row in observation.rows)
    common = {"behavior": "", "start": start, "stop": stop}
    return [{"individual": i, "target": t, **common} for i, t in whose if stop > start]


def _recordings_of(observation: Observation, reading: Reading) -> list[str]:
    """One name; or one per media file, if a later file is a recording at hand."""
    names = [observation.recording] if observation.recording else [media_name(path) for path, _ in observation.media]
    if not names:
        reading.report.note(f"observation {observation.id!r} names no media file: its recording has its name")
        return [observation.id]
    if names[0] not in reading.recordings and observation.id in reading.recordings:
        reading.report.note(f"observation {observation.id!r} is taken for the recording of that name")
        return [observation.id]
    if len(names) == 1:
        return names
    known = all(length is not None for _, length in observation.media)
    if known and len(set(names)) == len(names) and set(names[1:]) & set(reading.recordings):
        reading.report.note(
            f"observation {observation.id!r}: bouts are cut at the ends of its {len(names)} media files"
        )
        return names
    reading.report.note(
        f"observation {observation.id!r}: the times of its {len(names)} media files count on from one to the next, "
        f"all of them are the recording {names[0]!r}"
    )
    return names[:1]


def _on_files(row: dict[str, Any], observation: Observation, names: list[str]) -> list[dict[str, Any]]:
    if len(names) == 1:
        return [{**row, "recording": names[0], "in_frames": observation.in_frames}]
    out, begin = [], 0.0
    for k, (name, (_, length)) in enumerate(zip(names, observation.media, strict=True)):
        end = math.inf if k == len(names) - 1 else begin + (length or 0.0)
        low = -math.inf if k == 0 else begin
        start, stop = max(row["start"], low), min(row["stop"], end)
        if start < stop or (row["start"] == row["stop"] and low <= row["start"] < end):
            out.append({**row, "recording": name, "start": start - begin, "stop": stop - begin, "in_frames": False})
        begin = end
    return out


def _table(rows: list[dict[str, Any]], *, notes: bool = False) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {name: [row.get(name, "") for row in rows] for name in _TEXTS}
    for name, frames in (("start", "start_frame"), ("stop", "stop_frame")):
        columns[name] = [math.nan if row["in_frames"] else row[name] for row in rows]
        columns[frames] = [int(row[name]) if row["in_frames"] else None for row in rows]
    wanted = ["observation"]
    if notes:
        extra = ("modifiers", "comment", "comment_stop")
        wanted += [name for name in extra if any(row.get(name) for row in rows)]
    columns.update({name: [row.get(name, "") for row in rows] for name in wanted})
    return empty_table(**columns)
