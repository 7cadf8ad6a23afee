"""Rows of other tools' tables in seconds: numbers, names of columns, and rows that mean "not looked at"."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import Annotations
from ..ethogram import Ethogram
from ..match_report import MatchReport

LATEST = 1e9  # seconds, 30 years


def named_rows(text: str, path: Path, needed: Sequence[str], *, first: int = 1) -> Iterator[tuple[str, dict[str, str]]]:
    """Cells of a table by the name of their column, lower case, and where they stand.

    Parameters
    ----------
    text : str
        The table; its first line names the columns.
    path : pathlib.Path
        For messages.
    needed : sequence of str
        Columns that must be there, in any case.
    first : int
        Number of that line in the file.

    Yields
    ------
    (str, dict of str to str)
    """
    lines = io.StringIO(text, newline="")
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    header: list[str] = []
    try:
        for cells in reader:
            where = f"{path}, line {reader.line_num + first - 1}"
            cells = [c.strip() for c in cells]
            if not any(cells):
                continue
            if not header:
                header = [c.lower() for c in cells]
                if twice := next((c for c in header if c and header.count(c) > 1), ""):
                    raise ValueError(f"{where}: expected every column once, got {twice!r} again")
                if missing := [c for c in needed if c.lower() not in header]:
                    raise ValueError(f"{where}: expected the columns {list(needed)}, missing {missing}")
            elif len(cells) > len(header):
                raise ValueError(f"{where}: expected {len(header)} cells, got {len(cells)}")
            else:
                yield where, dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num + first - 1}: not a csv table ({error})") from None
    if not header:
        raise ValueError(f"{path}: expected the columns {list(needed)}, got nothing")


def span(start: str, stop: str, where: str) -> tuple[float, float]:
    """Two times in seconds, the second behind the first.

    Parameters
    ----------
    start, stop : str
        Cells.
    where : str
        For messages.

    Returns
    -------
    (float, float)

    Raises
    ------
    ValueError
        If they are no such times.
    """
    first, last = seconds(start, where), seconds(stop, where)
    if not first < last:
        raise ValueError(f"{where}: expected start < stop, got {first:g} and {last:g}")
    return first, last


def seconds(cell: str, where: str) -> float:
    """A time.

    Parameters
    ----------
    cell : str
        Its text.
    where : str
        For messages.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is none from 0 on.
    """
    try:
        value = float(cell) if cell.isascii() and "_" not in cell else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value <= LATEST:
        raise ValueError(f"{where}: expected seconds from 0 on, got {cell[:40]!r}")
    return value


def without(
    bouts: list[dict[str, Any]], scored: list[dict[str, Any]], unscored: Sequence[str], report: MatchReport
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Take behaviours that mean "not looked at" out of the bouts, and their times out of the scored intervals.

    Parameters
    ----------
    bouts, scored : list of dict
        Rows in seconds.
    unscored : sequence of str
        Such behaviours.
    report : MatchReport
        Is told how many.

    Returns
    -------
    (list of dict, list of dict)
    """
    holes = [row for row in bouts if row["behavior"] in unscored]
    if not holes:
        return bouts, scored
    report.note(f"{len(holes)} rows of {', '.join(unscored)} left out, as not scored")
    left = []
    for row in scored:
        cuts = sorted(
            (h["start"], h["stop"]) for h in holes
            if all(h.get(c, "") == row.get(c, "") for c in ("recording", "individual", "scorer"))
        )  # fmt: skip
        start = row["start"]
        for a, b in cuts:
            if start < min(a, row["stop"]):
                left.append({**row, "start": start, "stop": min(a, row["stop"])})
            start = max(start, b)
        if start < row["stop"]:
            left.append({**row, "start": start})
    return [row for row in bouts if row["behavior"] not in unscored], left


def tell_bouts_alone(annotations: Annotations, report: MatchReport, *, whom: bool = True) -> None:
    """Report what a table of bouts in seconds cannot hold.

    Parameters
    ----------
    annotations : Annotations
        What is written.
    report : MatchReport
        Where it is told.
    whom : bool
        Whether individuals and scorers are lost too.
    """
    if len(annotations.scored):
        report.lose("which intervals were scored")
    columns = ["target", *(["individual", "scorer"] if whom else [])]
    for column in columns:
        names = sorted(set(annotations.bouts[column]) - {"", "view"})
        if names:
            report.lose(f"the {column} of the bouts ({', '.join(names[:8])})")
    for column in ("comment", "modifiers", "score", "source"):
        if column in annotations.bouts and not annotations.bouts[column].isin(["", np.nan]).all():
            report.lose(f"the column {column!r} of the bouts")
    ethogram: Ethogram = annotations.ethogram
    if any(b.color or b.definition or b.category for b in ethogram):
        report.lose("colours, definitions and categories of the ethogram")
