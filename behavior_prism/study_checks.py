"""What must hold between the tables of a study; the first thing that does not is told with its file and line."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite

from .study_files import SEPARATOR, slug_problem
from .study_tables import Row, Table

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_PAIRS = "|>"  # between the names of a pair of individuals, see the layout of features


def files_in(cell: str) -> list[str]:
    """Paths in a cell.

    Parameters
    ----------
    cell : str
        One path, or several with ``|`` between them.

    Returns
    -------
    list of str
    """
    return [part.strip().strip('"') for part in cell.split(SEPARATOR)] if cell else []


def check_tables(recordings: Table, animals: Table, subjects: Table) -> None:
    """Raise if the tables of a study are wrong, or do not go together.

    Parameters
    ----------
    recordings, animals, subjects : Table
        As they were read.

    Raises
    ------
    ValueError
        With file and line.
    """
    _check_recordings(recordings)
    _once(animals, lambda row: row["animal"], "animal")
    for row in animals.rows:
        _check_name(animals, row, "animal")
    _check_subjects(subjects, {r["recording"] for r in recordings.rows}, {r["animal"] for r in animals.rows})


def _check_recordings(table: Table) -> None:
    videos: dict[str, int] = {}
    for row in table.rows:
        at = table.where(row.line)
        if problem := slug_problem(row["recording"]):
            raise ValueError(f"{at}: recording: {problem}")
        files = files_in(row["video"])
        if not files or not all(files):
            raise ValueError(f"{at}: video: expected a path, or several with {SEPARATOR} between, got {row['video']!r}")
        for file in files:
            if file in videos:
                raise ValueError(f"{at}: video: expected every file once, {file} stands in line {videos[file]} too")
            videos[file] = row.line
        prints = files_in(row["fingerprint"])
        if prints and (len(prints) != len(files) or not all(_FINGERPRINT.fullmatch(p) for p in prints)):
            raise ValueError(
                f"{at}: fingerprint: expected {len(files)} of 64 digits, got {row['fingerprint'][:40]!r}; "
                "leave it empty and it is made anew"
            )
        if row["fps"] and not _positive(row["fps"]):
            raise ValueError(f"{at}: fps: expected a positive number such as 29.97, got {row['fps']!r}")
        if row["fps"] and row["timestamps"]:
            raise ValueError(f"{at}: expected fps or timestamps, got both")
    _once(table, lambda row: row["recording"], "recording")


def _check_subjects(table: Table, recordings: set[str], animals: set[str]) -> None:
    for row in table.rows:
        at = table.where(row.line)
        if row["recording"] not in recordings:
            raise ValueError(f"{at}: recording: expected one of recordings.csv, got {row['recording']!r}")
        if row["animal"] not in animals:
            raise ValueError(f"{at}: animal: expected one of animals.csv, got {row['animal']!r}")
        if row["individual"]:
            _check_name(table, row, "individual")
    _once(table, lambda row: (row["recording"], individual_of(row)), "individual of a recording")
    _once(table, lambda row: (row["recording"], row["animal"]), "animal in a recording")


def individual_of(row: Row) -> str:
    """Name of an animal in one recording: by default, its own.

    Parameters
    ----------
    row : Row
        Of ``subjects.csv``.

    Returns
    -------
    str
    """
    return row["individual"] or row["animal"]


def _check_name(table: Table, row: Row, column: str) -> None:
    name = row[column]
    if not name or any(c in _PAIRS or ord(c) < 32 for c in name):
        raise ValueError(f"{table.where(row.line)}: {column}: expected a name without | and >, got {name!r}")


def _once(table: Table, key: Callable[[Row], object], what: str) -> None:
    seen: dict[object, int] = {}
    for row in table.rows:
        if (found := key(row)) in seen:
            said = found if isinstance(found, str) else ", ".join(map(str, found))  # type: ignore[call-overload]
            raise ValueError(
                f"{table.where(row.line)}: expected every {what} once, {said} stands in line {seen[found]} too"
            )
        seen[found] = row.line


def _positive(text: str) -> bool:
    try:
        return float(text) > 0 and isfinite(float(text))
    except ValueError:
        return False
