"""Tables that BORIS exports, as csv, tsv or xlsx: their cells by column, what they say of media, and writing them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ethogram import Behavior, Ethogram
from .boris_events import SCORER_VARIABLES, seconds_of, tidy_modifiers
from .boris_observations import Observation
from .guarded import csv_rows, formula_plain, formula_safe
from .label_format import Sample, Writing
from .xlsx_cells import is_xlsx, write_xlsx, xlsx_rows

NA = "NA"
_HEAD_ROWS = 200


def table_rows(path: Path) -> dict[int, list[str]]:
    """Cells of every line that has any, by its number.

    Parameters
    ----------
    path : pathlib.Path
        csv, tsv or xlsx.

    Returns
    -------
    dict of int to list of str
    """
    with path.open("rb") as file:
        packed = is_xlsx(file.read(4))
    rows = xlsx_rows(path) if packed else csv_rows(path)
    return {line: formula_plain(cells) for line, cells in rows.items()}


def head_rows(sample: Sample) -> list[list[str]]:
    """The first rows of a file that may be such a table, to tell which.

    Parameters
    ----------
    sample : Sample
        The beginning of the file.

    Returns
    -------
    list of list of str
        Empty if it is no table.
    """
    if is_xlsx(sample.head):
        try:
            return list(xlsx_rows(sample.path, most=_HEAD_ROWS).values())
        except (ValueError, OSError):
            return []
    lines = sample.lines[:_HEAD_ROWS]
    if not lines:
        return []
    separator = max(",;\t", key=lines[0].count)
    if separator not in lines[0]:
        return []
    try:
        rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator, skipinitialspace=True)
        return [[cell.strip() for cell in row] for row in rows]
    except csv.Error:
        return []


@dataclass
class Header:
    """Columns of a table, by name.

    Parameters
    ----------
    path : pathlib.Path
        The file, for messages.
    names : list of str
        As in the file; ``Behaviour`` is read as ``Behavior``.
    """

    path: Path
    names: list[str]

    def __post_init__(self) -> None:
        self.names = [name.replace("Behaviour", "Behavior") for name in self.names]
        self._place = {name: k for k, name in reversed(list(enumerate(self.names)))}

    def __contains__(self, name: str) -> bool:
        return name in self._place

    def need(self, wanted: Iterable[str]) -> None:
        """Refuse a table in which one of these columns is missing or stands twice."""
        for name in wanted:
            if self.names.count(name) != 1:
                raise ValueError(
                    f"{self.path}: expected the column {name!r} once, got {self.names.count(name)} of it "
                    f"among {self.names[:30]}"
                )

    def cell(self, cells: Sequence[str], *names: str) -> str:
        """The cell under the first of these names that there is, empty if there is none."""
        for name in names:
            place = self._place.get(name)
            if place is not None:
                return cells[place] if place < len(cells) else ""
        return ""

    def modifiers(self, cells: Sequence[str]) -> str:
        """Modifiers in one column (joined by ``|``) or in one column per set."""
        own = self.cell(cells, "Modifiers").split("|")
        numbered = [n for n in self.names if n.startswith(("Modifier #", "Modifier ")) and n[-1:].isdigit()]
        return tidy_modifiers([self.cell(cells, name) for name in numbered] or own)

    def scorer(self, cells: Sequence[str]) -> str:
        """Value of an independent variable that is named for who observes."""
        for name in self.names:
            if name.strip().lower() in SCORER_VARIABLES:
                return self.cell(cells, name)
        return ""


def columns_of(rows: dict[int, list[str]], header: Header) -> Iterator[tuple[int, list[str]]]:
    """Rows below a header; one with more cells than it has columns is refused.

    Parameters
    ----------
    rows : dict of int to list of str
        Cells by line.
    header : Header
        Their columns.

    Yields
    ------
    (int, list of str)
    """
    for line, cells in rows.items():
        if any(cells[len(header.names) :]):
            raise ValueError(f"{header.path}, line {line}: expected {len(header.names)} cells, got {len(cells)}")
        yield line, cells


def number_or_none(text: str, where: str) -> float | None:
    """A number of seconds, or None where BORIS has none (``NA``).

    Parameters
    ----------
    text : str
        A cell.
    where : str
        Its place, for messages.

    Returns
    -------
    float or None
    """
    return None if text.strip() in ("", NA, "None") else seconds_of(text, where)


def media_of(source: str, lengths: str, where: str) -> list[tuple[str, float | None]]:
    """Files of the first player and their lengths, as newer versions export them.

    Parameters
    ----------
    source : str
        ``player #1:a.mp4;b.mp4|player #2:c.mp4``, or one path.
    lengths : str
        ``60.000;30.000|90.000``.
    where : str
        Place, for messages.

    Returns
    -------
    list of (str, float or None)

    Examples
    --------
    >>> media_of("player #1:a.mp4;b.mp4|player #2:c.mp4", "60.000;30.000|90.000", "line 2")
    [('a.mp4', 60.0), ('b.mp4', 30.0)]
    """
    first = source.partition("|player #")[0]
    if first.startswith("player #"):
        first = first.partition(":")[2]
    paths = [p.strip() for p in first.split(";") if p.strip() not in ("", NA)]
    known = [number_or_none(t, where) for t in lengths.partition("|")[0].split(";")]
    if len(known) != len(paths):
        known = [None] * len(paths)
    return list(zip(paths, known, strict=True))


def ethogram_of(kinds: dict[str, str], categories: dict[str, str]) -> Ethogram:
    """Behaviours in order of appearance.

    Parameters
    ----------
    kinds : dict of str to str
        ``"state"`` or ``"point"`` by name.
    categories : dict of str to str
        Behavioural categories by name.

    Returns
    -------
    Ethogram
    """
    named = {b: "" if c == "Not defined" else c for b, c in categories.items()}
    return Ethogram(Behavior(name=b, kind=k, category=named.get(b, "")) for b, k in kinds.items())  # type: ignore[arg-type]


def behavior_name(text: str, kind: str, kinds: dict[str, str], where: str) -> str:
    """Name of the behaviour of a row, which is of one kind throughout.

    Parameters
    ----------
    text : str
        A cell.
    kind : {"state", "point"}
        As the row has it.
    kinds : dict of str to str
        Kinds so far; the behaviour is added.
    where : str
        Place, for messages.

    Returns
    -------
    str
    """
    name = text.strip()
    if not name:
        raise ValueError(f"{where}: expected the name of a behaviour, got an empty cell")
    if kinds.setdefault(name, kind) != kind:
        raise ValueError(f"{where}: {name!r} stands as state and as point event, expected one of the two")
    return name


def shift(observation: Observation, offset: float) -> None:
    """Take the time offset of an observation off its rows.

    Parameters
    ----------
    observation : Observation
        Changed in place.
    offset : float
        In seconds.
    """
    if offset and not observation.in_frames:
        for row in observation.rows:
            row["start"], row["stop"] = row["start"] - offset, row["stop"] - offset


def write_table(writing: Writing, rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """Write rows as the ending of the file says: tsv, xlsx, else csv.

    Parameters
    ----------
    writing : Writing
        Where to.
    rows : sequence of sequence
        The header first.
    title : str
        Name of the sheet.
    """
    name = writing.name.lower()
    if name.endswith(".xlsx"):
        write_xlsx(writing.path, rows, title=title)
        return
    with writing.path.open("w", encoding="utf-8", newline="") as file:
        separator = "\t" if name.endswith((".tsv", ".txt")) else ","
        csv.writer(file, delimiter=separator, lineterminator="\r\n").writerows(formula_safe(row) for row in rows)
