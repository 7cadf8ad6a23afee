"""Tabular events of BORIS (csv, tsv, xlsx): one row per press, ``START``, ``STOP`` or ``POINT``.

Newer versions have one header, with ``Observation id``, ``Source``, ``Time offset (s)``, ``Media duration (s)``,
``Subject``, ``Behavior``, ``Modifier #1`` ..., ``Behavior type``, ``Time``, ``Comment`` and others. Older ones begin
with a preamble (``Observation id``, media files by player, date, ``Time offset (s)``, independent variables); their
header begins with ``Time`` and ends with ``Status``. Seconds with three digits; the stop is exclusive; no subject is
"No focal subject". A file speaks of the behaviours that occur in it; the length of the media counts as scored.
Columns are those of BORIS' source (``export_observation.py``) and of its test exports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..annotations import Annotations
from .boris_events import NO_SUBJECT, SCORER_VARIABLES, Press, rows_of, seconds_of
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
    name="boris-tabular",
    title="BORIS tabular events",
    suffixes=(".tabular.tsv", ".tabular.csv", ".tabular.xlsx"),
    base=None,
    end="exclusive",
    unit="seconds",
    unlabelled="absent within the media length, not scored elsewhere",
    evidence="real files",
    several=True,
    writes=True,
)
NEEDED = ("Observation id", "Subject", "Behavior", "Behavior type", "Time")
OLD = ("Time", "Subject", "Behavior", "Status")


def recognise(sample: Sample) -> bool:
    """A header with BORIS' names, or a preamble and the old header below it."""
    rows = head_rows(sample)
    if not rows:
        return False
    if set(NEEDED) <= set(Header(sample.path, rows[0]).names):
        return True
    return rows[0][0] == "Observation id" and any(_is_old_header(row) for row in rows[1:])


def _is_old_header(cells: list[str]) -> bool:
    return cells[0] == "Time" and set(OLD) <= {c.replace("Behaviour", "Behavior") for c in cells}


@dataclass
class _Group:
    """Presses of one observation."""

    observation: Observation
    offset: float = 0.0
    coding: float | None = None
    total: float | None = None
    presses: list[Press] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def read(reading: Reading) -> Annotations:
    """Presses made bouts, the time offset taken off."""
    path = reading.path
    rows = table_rows(path)
    old = next((line for line, cells in rows.items() if _is_old_header(cells)), None)
    groups: dict[str, _Group] = {}
    if old is not None:
        before = {line: cells for line, cells in rows.items() if line < old}
        groups[""] = _preamble(before, str(path))
    first = old if old is not None else next(iter(rows), None)
    if first is None:
        raise ValueError(f"{path}: expected a table of events, it is empty")
    header = Header(path, rows[first])
    header.need(OLD if old is not None else NEEDED)
    kinds: dict[str, str] = {}
    categories: dict[str, str] = {}
    for line, cells in columns_of({k: c for k, c in rows.items() if k > first}, header):
        where = f"{path}, line {line}"
        name = "" if old is not None else header.cell(cells, "Observation id")
        if name not in groups:
            groups[name] = _group(name, header, cells, where)
        _add(groups[name], header, cells, kinds, where)
        categories.setdefault(groups[name].presses[-1].code, header.cell(cells, "Behavioral category"))
    if not any(g.presses for g in groups.values()):
        raise ValueError(f"{path}: expected at least one event below the header, got none")
    ethogram = ethogram_of(kinds, categories)
    for group in groups.values():
        group.presses.sort(key=lambda press: press.time)
        group.observation.rows = rows_of(group.presses, ethogram.points)
        _settle(group, reading)
    reading.report.note("a file of exported events knows only the behaviours that occur in it")
    return annotations_of([g.observation for g in groups.values()], ethogram, reading)


def _preamble(rows: dict[int, list[str]], path: str) -> _Group:
    group = _Group(Observation(""))
    for line, cells in rows.items():
        label, value = cells[0], cells[1] if len(cells) > 1 else ""
        if label == "Observation id":
            group.observation.id = value
        elif label.startswith("Player #1") and value:
            group.observation.media.append((value, None))
        elif label == "Time offset (s)":
            group.offset = number_or_none(value, f"{path}, line {line}") or 0.0
        elif label.lower() in SCORER_VARIABLES:
            group.observation.scorer = value
    if not group.observation.id:
        raise ValueError(f"{path}: expected the name of the observation in the first line")
    return group


def _group(name: str, header: Header, cells: list[str], where: str) -> _Group:
    lengths = header.cell(cells, "Media duration (s)")
    observation = Observation(name, media_of(header.cell(cells, "Source"), lengths, where), scorer=header.scorer(cells))
    if header.cell(cells, "Observation type") not in ("", "Media file", "Media file(s)"):
        observation.media = []  # the source of images is a folder
    offset = number_or_none(header.cell(cells, "Time offset (s)"), where) or 0.0
    coding = number_or_none(header.cell(cells, "Observation duration", "Coding duration"), where)
    return _Group(observation, offset, coding)


def _add(group: _Group, header: Header, cells: list[str], kinds: dict[str, str], where: str) -> None:
    status = header.cell(cells, "Behavior type", "Status")
    if status not in ("START", "STOP", "POINT"):
        raise ValueError(f"{where}: expected START, STOP or POINT, got {status!r}")
    name = behavior_name(header.cell(cells, "Behavior"), "point" if status == "POINT" else "state", kinds, where)
    time = number_or_none(header.cell(cells, "Time"), where)
    in_frames = time is None
    if time is None:
        time = frame_number(seconds_of(header.cell(cells, "Image index"), f"{where}, image index"), where) - 1
        if time < 0:
            raise ValueError(f"{where}: expected the number of an image from 1 on, got 0")
    if group.presses and group.observation.in_frames != in_frames:
        raise ValueError(f"{where}: expected times (or images) throughout the observation")
    group.observation.in_frames = in_frames
    subject = header.cell(cells, "Subject")
    group.presses.append(
        Press(
            time=time,
            subject="" if subject == NO_SUBJECT else subject,
            code=name,
            modifiers=header.modifiers(cells),
            comment=header.cell(cells, "Comment"),
            where=where,
            status=status,
        )
    )
    file = header.cell(cells, "Media file name", "Media file path")
    if file not in ("", NA, "LIVE", "Not found"):
        group.files.append(file)
    group.total = number_or_none(header.cell(cells, "Total length"), where) if "Total length" in header else None


def _settle(group: _Group, reading: Reading) -> None:
    """Which files the observation is of, and how much of it was looked at."""
    observation = group.observation
    shift(observation, group.offset)
    if observation.in_frames:
        observation.media = []
        return
    if not observation.media:
        observation.media = [(name, None) for name in dict.fromkeys(group.files)]
    if group.total is not None:
        observation.looked_at = (0.0, group.total)
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


def write(annotations: Annotations, writing: Writing) -> None:
    """The columns of newer versions."""
    observations = observations_to_write(annotations, writing)
    sets = max((r["modifiers"].count("|") + 1 for o in observations for r in o.rows if r["modifiers"]), default=0)
    rows: list[list[Any]] = [
        [
            "Observation id", "Observation date", "Description", "Observation duration", "Observation type", "Source",
            "Time offset (s)", "Media duration (s)", "FPS", "scorer", "Subject", "Behavior", "Behavioral category",
            *(f"Modifier #{k + 1}" for k in range(sets)),
            "Behavior type", "Time", "Media file name", "Image index", "Image file path", "Comment",
        ]
    ]  # fmt: skip
    for o in observations:
        length = f"{o.length:.6f}"
        coding = length if o.native == o.scored and o.whole else NA
        source = f"player #1:{o.media}"
        head = [o.id, o.date, "", coding, "Media file(s)", source, 0.0, length, f"{o.fps:.3f}", o.scorer]
        presses = []
        for row in o.rows:
            subject = "" if row["subject"] == NO_SUBJECT else row["subject"]
            what = [subject, row["behavior"], annotations.ethogram[row["behavior"]].category,
                    *(row["modifiers"].split("|") + [""] * sets)[:sets]]  # fmt: skip
            ends = [("POINT", row["start"], row["comment"])]
            if not row["point"]:
                ends = [("START", row["start"], row["comment"]), ("STOP", row["stop"], row["comment_stop"])]
            for status, time, comment in ends:
                presses.append((time, [*head, *what, status, f"{time:.6f}", o.media, NA, NA, comment]))
        rows += [cells for _, cells in sorted(presses, key=lambda press: press[0])]
    told_lost(annotations, observations, writing)
    write_table(writing, rows, title="events")
