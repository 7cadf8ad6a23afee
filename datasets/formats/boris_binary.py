"""Behaviour binary tables of BORIS (csv, tsv, xlsx): one row per moment, ``time`` and one column per behaviour.

A cell says whether the state is on at that time (0 or 1), or how many point events lie between it and the next. Times
are in seconds at a fixed step, up to and with the end of the observation, so the last row only closes the table: a
bout reaches from its first row with 1 to the next row with 0. Everything between the first and the last row was
scored. One file per observation and subject, which only its name tells (``<observation>_<subject>``). Modifiers may
stand in the name of a column, ``code (modifiers)``; they are left there, since codes have brackets too. BORIS writes
a column per modifier even without naming them: columns of one name are one behaviour. The description is that of
BORIS' source (``behavior_binary_table.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..annotations import Annotations, runs
from ..bout_rows import WHOLE_VIEW, empty_table
from ..ethogram import Behavior, Ethogram
from ..recording import recording_name
from .boris_events import NO_SUBJECT, seconds_of
from .boris_table import Header, columns_of, head_rows, table_rows, write_table
from .label_format import LabelFormat, Reading, Sample, Writing

FORMAT = LabelFormat(
    name="boris-binary",
    title="BORIS binary table",
    suffixes=(".binary.tsv", ".binary.csv", ".binary.xlsx"),
    base=None,
    end=None,
    unit="seconds",
    unlabelled="absent (every row is scored)",
    evidence="documentation only",
    writes=True,
)
_MOST_ROWS = 5_000_000


def recognise(sample: Sample) -> bool:
    """A column ``time`` at a fixed step, and counts beside it."""
    rows = head_rows(sample)
    if len(rows) < 3 or rows[0][0] != "time" or len(rows[0]) < 2:
        return False
    body = rows[1:]
    if any(len(cells) < 2 or not all(c.isascii() and c.isdigit() and len(c) < 7 for c in cells[1:]) for cells in body):
        return False
    try:
        return _is_regular(np.array([seconds_of(cells[0], "") for cells in body]))
    except ValueError:
        return False


def _is_regular(times: np.ndarray) -> bool:
    steps = np.diff(times)
    # times may be rounded to a millisecond
    return bool(steps.size and (steps > 0).all() and np.ptp(steps) <= 0.0021)


def read(reading: Reading) -> Annotations:
    """Runs of 1, closed by the next row."""
    path = reading.path
    rows = table_rows(path)
    if len(rows) < 3:
        raise ValueError(f"{path}: expected a header and at least two rows")
    first = next(iter(rows))
    header = Header(path, rows.pop(first))
    if header.names[0] != "time" or len(header.names) < 2 or not all(header.names[1:]):
        raise ValueError(f"{path}: expected the column 'time' and one per behaviour, got {header.names[:12]}")
    times = np.empty(len(rows))
    cells_of = np.zeros((len(rows), len(header.names) - 1), dtype=np.int32)
    for k, (line, cells) in enumerate(columns_of(rows, header)):
        where = f"{path}, line {line}"
        times[k] = seconds_of(cells[0], where)
        for j in range(1, len(header.names)):
            cell = cells[j] if j < len(cells) else ""
            if not (cell.isascii() and cell.isdigit() and len(cell) < 7):
                raise ValueError(f"{where}: expected 0, 1 or a count, got {cell[:40]!r}")
            cells_of[k, j - 1] = int(cell)
    if not _is_regular(times):
        raise ValueError(f"{path}: expected times at a fixed step")
    names = [n.strip() for n in header.names[1:]]
    columns = {
        name: cells_of[:, [k for k, n in enumerate(names) if n == name]].sum(axis=1) for name in dict.fromkeys(names)
    }
    if len(columns) < len(names):
        reading.report.note("columns of one name (BORIS writes one per modifier) were joined")
    recording, individual = _whose(reading)
    known = {name: column for name, column in columns.items() if name not in reading.unscored}
    looked = np.ones(len(times) - 1, dtype=bool)
    for name in set(columns) - set(known):
        looked &= columns[name][:-1] == 0
    points = {name for name, column in columns.items() if (column > 1).any() and names.count(name) == 1}
    bouts: list[tuple[str, float, float]] = []
    for name, column in known.items():
        if name in points:
            bouts += [(name, times[k], times[k]) for k in np.flatnonzero(column) for _ in range(int(column[k]))]
        else:
            bouts += [(name, times[a], times[b]) for a, b in runs(column[:-1] > 0)]
            if column[-1] and not column[-2]:
                reading.report.lose(f"{name} begins at the last moment of the table, {times[-1]:g} s")
    reading.report.note(
        "a binary table tells no point event from a state, unless two are in one row: "
        f"{', '.join(sorted(points)) or 'all'} {'are point events' if points else 'count as states'}"
    )
    common = {"recording": recording, "individual": individual}
    spans = [(times[a], times[b]) for a, b in runs(looked)]
    return Annotations(
        bouts=empty_table(
            behavior=[b[0] for b in bouts],
            start=[b[1] for b in bouts],
            stop=[b[2] for b in bouts],
            **{c: [value] * len(bouts) for c, value in common.items()},
        ),
        scored=empty_table(
            start=[a for a, _ in spans],
            stop=[b for _, b in spans],
            **{c: [value] * len(spans) for c, value in common.items()},
        ),
        ethogram=Ethogram(Behavior(name=n, kind="point" if n in points else "state") for n in known),
    )


def _whose(reading: Reading) -> tuple[str, str]:
    """Recording and individual, as far as the name of the file tells them."""
    stem = recording_name(reading.path)
    ending = f"_{NO_SUBJECT}"
    if stem.endswith(ending) and stem != ending:
        return stem.removesuffix(ending), WHOLE_VIEW
    fitting = [name for name in reading.recordings if stem.startswith(f"{name}_")]
    if fitting:
        name = max(fitting, key=len)
        return name, stem[len(name) + 1 :] or WHOLE_VIEW
    reading.report.note("whose labels they are is only told by the name of the file: they are given to the whole view")
    return "", WHOLE_VIEW


def write(annotations: Annotations, writing: Writing) -> None:
    """One row per frame time at a constant rate, and one that closes the table."""
    tables = (annotations.bouts, annotations.scored)
    whose = sorted({key for t in tables for key in zip(t["individual"], t["target"], t["scorer"], strict=True)})
    if len({(who, scorer) for who, _, scorer in whose}) > 1:
        raise ValueError(
            f"{writing.name}: a binary table is of one subject and one scorer, got {[w for w, _, _ in whose]}; "
            "select one individual and scorer"
        )
    if any(target for _, target, _ in whose):
        writing.report.lose("targets")
    step = 1 / writing.rate(annotations)
    ends = annotations.scored if len(annotations.scored) else annotations.bouts
    begin, end = (float(ends["start"].min()), float(ends["stop"].max())) if len(ends) else (0.0, step)
    count = max(1, round((end - begin) / step))
    if count > _MOST_ROWS:
        raise ValueError(f"{writing.name}: expected at most {_MOST_ROWS:,} rows, {count:,} would be needed")
    column = {name: k for k, name in enumerate(annotations.behaviors)}
    cells = np.zeros((count + 1, len(column)), dtype=np.int32)
    points, beyond = annotations.ethogram.points, 0
    bouts = annotations.bouts
    for behavior, start, stop in zip(bouts["behavior"].tolist(), bouts["start"], bouts["stop"], strict=True):
        if behavior in points:
            k = math.floor((start - begin) / step + 1e-6)
            if 0 <= k <= count:
                cells[k, column[behavior]] += 1
            beyond += not 0 <= k <= count
            continue
        a, b = (round((t - begin) / step) for t in (start, stop))
        cells[max(0, a) : max(0, min(max(b, a + 1), count)), column[behavior]] = 1
        beyond += a < 0 or b > count
    if beyond:
        writing.report.lose(f"{beyond} bouts beyond what was scored, in whole or in part")
    if _has_holes(annotations, begin, end):
        writing.report.lose("frames that were not scored, written as 0")
    if points:
        writing.report.lose("which behaviours are point events")
    writing.report.lose(
        "the names of the recording, the individual and the scorer, modifiers, comments and the ethogram"
    )
    rows: list[list[Any]] = [["time", *annotations.behaviors]]
    rows += [[round(begin + k * step, 6), *values] for k, values in enumerate(cells.tolist())]
    write_table(writing, rows, title="binary table")


def _has_holes(annotations: Annotations, begin: float, end: float) -> bool:
    """Whether some behaviour was not scored somewhere between the first and the last row."""
    for name in annotations.behaviors:
        own = annotations.scored[annotations.scored["behavior"].isin(["", name])].sort_values("start")
        reached = begin
        for start, stop in zip(own["start"], own["stop"], strict=True):
            if start > reached + 1e-6:
                return True
            reached = max(reached, stop)
        if reached < end - 1e-6:
            return True
    return False
