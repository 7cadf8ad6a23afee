"""Aggregated events of BORIS (csv, tsv, xlsx): one row per bout or point event, of one or several observations.

Columns of newer versions: ``Observation id``, date, description, ``Observation type``, ``Source`` (the media files),
``Time offset (s)``, ``Coding duration``, ``Media duration (s)``, ``FPS (frame/s)``, independent variables,
``Subject``, ``Behavior``, category, ``Modifier #1`` ..., ``Behavior type`` (``STATE`` or ``POINT``), ``Start (s)``,
``Stop (s)``, duration, ``Media file name`` (where the start lies), image indices and paths, comments. Older versions
have ``Media file``, ``Total length``, ``FPS`` and ``Modifiers`` instead. Seconds with three digits; the stop is
exclusive; times count on through the media files of an observation. Images count from 1. A file speaks of the
behaviours that occur in it. The length of the media counts as scored, unless the coding duration says that less was
exported. Columns are those of BORIS' source (``export_observation.py``) and of its test exports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..annotations import Annotations
from .boris_events import seconds_of, subject_of, touching
from .boris_observations import Observation, annotations_of
from .boris_table import (
    NA,
    Header,
    behavior_name,
    columns_of,
    ethogram_of,
    head_rows,
    media_of,
    number_or_none,
    shift,
    table_rows,
    write_table,
)
from .boris_write import observations_to_write, told_lost
from .frame_rows import frame_number
from .label_format import LabelFormat, Reading, Sample, Writing

FORMAT = LabelFormat(
    name="boris-aggregated",
    title="BORIS aggregated events",
    suffixes=(".aggregated.tsv", ".aggregated.csv", ".aggregated.xlsx"),
    base=None,
    end="exclusive",
    unit="seconds",
    unlabelled="absent within the media length, not scored elsewhere",
    evidence="real files",
    several=True,
    writes=True,
)
NEEDED = ("Observation id", "Subject", "Behavior", "Behavior type", "Start (s)", "Stop (s)")


def recognise(sample: Sample) -> bool:
    """A header with BORIS' names for both ends."""
    rows = head_rows(sample)
    return bool(rows) and set(NEEDED) <= set(Header(sample.path, rows[0]).names)


@dataclass
class _Group:
    """Rows of one observation, before it is known which file came first."""

    observation: Observation
    where: str
    offset: float = 0.0
    coding: float | None = None
    total: float | None = None
    files: list[tuple[float, str]] = field(default_factory=list)


def read(reading: Reading) -> Annotations:
    """Rows as they are, the time offset taken off."""
    path = reading.path
    rows = table_rows(path)
    if not rows:
        raise ValueError(f"{path}: expected a table of aggregated events, it is empty")
    first = next(iter(rows))
    header = Header(path, rows.pop(first))
    header.need(NEEDED)
    groups: dict[str, _Group] = {}
    kinds: dict[str, str] = {}
    categories: dict[str, str] = {}
    for line, cells in columns_of(rows, header):
        where = f"{path}, line {line}"
        name = header.cell(cells, "Observation id")
        if name not in groups:
            groups[name] = _group(name, header, cells, where)
        row = _row(header, cells, kinds, where)
        categories.setdefault(row["behavior"], header.cell(cells, "Behavioral category"))
        group = groups[name]
        in_frames = row.pop("in_frames")
        if group.observation.rows and group.observation.in_frames != in_frames:
            raise ValueError(f"{where}: expected times (or images) throughout the observation {name!r}")
        group.observation.in_frames = in_frames
        group.observation.rows.append(row)
        group.files.append((row["start"], header.cell(cells, "Media file name", "Media file")))
    if not groups:
        raise ValueError(f"{path}: expected at least one event below the header, got none")
    for group in groups.values():
        _settle(group, reading)
    reading.report.note("a file of exported events knows only the behaviours that occur in it")
    return annotations_of([g.observation for g in groups.values()], ethogram_of(kinds, categories), reading)


def _group(name: str, header: Header, cells: list[str], where: str) -> _Group:
    offset = number_or_none(header.cell(cells, "Time offset (s)"), where) or 0.0
    lengths = header.cell(cells, "Media duration (s)")
    observation = Observation(name, media_of(header.cell(cells, "Source"), lengths, where), scorer=header.scorer(cells))
    if header.cell(cells, "Observation type") not in ("", "Media file", "Media file(s)"):
        observation.media = []  # the source of images is a folder
    coding = number_or_none(header.cell(cells, "Coding duration", "Observation duration"), where)
    return _Group(observation, where, offset, coding, number_or_none(header.cell(cells, "Total length"), where))


def _row(header: Header, cells: list[str], kinds: dict[str, str], where: str) -> dict[str, Any]:
    kind = header.cell(cells, "Behavior type")
    if kind not in ("STATE", "POINT"):
        raise ValueError(f"{where}: expected the behaviour type STATE or POINT, got {kind!r}")
    start = number_or_none(header.cell(cells, "Start (s)"), where)
    stop = number_or_none(header.cell(cells, "Stop (s)"), where)
    in_frames = start is None and stop is None
    if in_frames:
        first, last = (header.cell(cells, f"Image index {end}") for end in ("start", "stop"))
        start = _image(first, where)
        stop = start if kind == "POINT" else _image(last, where)
    if start is None or stop is None:
        raise ValueError(f"{where}: expected a start and a stop, got only one of them")
    if stop < start or (kind == "POINT" and stop != start):
        relation = "=" if kind == "POINT" else "before"
        raise ValueError(f"{where}: expected the start {relation} the stop, got {start:g} and {stop:g}")
    return {
        "subject": header.cell(cells, "Subject"),
        "individual": subject_of(header.cell(cells, "Subject")),
        "target": "",
        "behavior": behavior_name(header.cell(cells, "Behavior"), kind.lower(), kinds, where),
        "start": start,
        "stop": stop,
        "modifiers": header.modifiers(cells),
        "comment": header.cell(cells, "Comment start", "Comment"),
        "comment_stop": header.cell(cells, "Comment stop"),
        "in_frames": in_frames,
    }


def _image(text: str, where: str) -> int:
    number = seconds_of(text, f"{where}, image index")
    if number < 1:
        raise ValueError(f"{where}: expected the number of an image from 1 on, got {text!r}")
    return frame_number(number, f"{where}, image index") - 1


def _settle(group: _Group, reading: Reading) -> None:
    """Which files the observation is of, and how much of it was looked at."""
    observation = group.observation
    touching(observation.rows)
    shift(observation, group.offset)
    if not observation.media:
        files = [name for _, name in sorted(group.files) if name not in ("", NA, "LIVE", "Not found")]
        observation.media = [(name, None) for name in dict.fromkeys(files)]
        if observation.in_frames:
            observation.media = []
    if observation.in_frames:
        return
    lengths = [length for _, length in observation.media]
    if lengths and all(length is not None for length in lengths):
        total = sum(length or 0.0 for length in lengths)
        if group.coding is not None and abs(group.coding - total) <= 0.01:
            observation.looked_at = (0.0, total)
        else:
            reading.report.note(
                f"observation {observation.id!r}: which part of the {total:g} s was exported is not said, nothing "
                "counts as scored"
            )
    elif group.total is not None:
        # of a live observation this is its last event, up to which somebody watched
        observation.looked_at = (0.0, group.total)
        reading.report.note("an export that was limited to a part of the observation does not say so")


def write(annotations: Annotations, writing: Writing) -> None:
    """The columns of newer versions."""
    observations = observations_to_write(annotations, writing)
    sets = max((r["modifiers"].count("|") + 1 for o in observations for r in o.rows if r["modifiers"]), default=0)
    rows: list[list[Any]] = [
        [
            "Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)",
            "Coding duration", "Media duration (s)", "FPS (frame/s)", "scorer", "Subject",
            "Observation duration by subject by observation", "Behavior", "Behavioral category",
            *(f"Modifier #{k + 1}" for k in range(sets)),
            "Behavior type", "Start (s)", "Stop (s)", "Duration (s)", "Media file name", "Image index start",
            "Image index stop", "Image file path start", "Image file path stop", "Comment start", "Comment stop",
        ]
    ]  # fmt: skip
    for o in observations:
        length = f"{o.length:.6f}"
        coding = length if o.native == o.scored and o.whole else NA
        head = [o.id, o.date, "", "Media file", f"player #1:{o.media}", 0.0, coding, length, f"{o.fps:.3f}", o.scorer]
        spent: dict[str, float] = {}
        for row in o.rows:
            spent[row["subject"]] = spent.get(row["subject"], 0.0) + row["stop"] - row["start"]
        for row in o.rows:
            point = row["point"]
            rows.append(
                [
                    *head, row["subject"], round(spent[row["subject"]], 3), row["behavior"],
                    annotations.ethogram[row["behavior"]].category or "Not defined",
                    *(row["modifiers"].split("|") + [""] * sets)[:sets],
                    "POINT" if point else "STATE", f"{row['start']:.6f}", f"{row['stop']:.6f}",
                    NA if point else f"{row['stop'] - row['start']:.6f}", o.media, NA, NA, NA, NA,
                    row["comment"], row["comment_stop"],
                ]
            )  # fmt: skip
    told_lost(annotations, observations, writing)
    write_table(writing, rows, title="aggregated events")
