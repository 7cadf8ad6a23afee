"""The csv files of a study, which people edit in a spreadsheet.

Read: commas, semicolons or tabs, a byte-order mark, quoted cells, empty rows, lines that begin with ``#``. Written:
lines that did not change stay as they are, byte by byte; columns and comments that somebody added stay too. A file that
changed since it was read is never replaced.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .files import atomic_write

RECORDING_COLUMNS = (
    "recording",
    "video",
    "camera",
    "session",
    "group",
    "start",
    "tracks",
    "timestamps",
    "fps",
    "notes",
    "fingerprint",
)
ANIMAL_COLUMNS = ("animal", "group", "sex", "cohort", "notes")
SUBJECT_COLUMNS = ("recording", "individual", "animal", "role")
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """One row of a table: its cells by column, and the line on which it stands."""

    cells: Mapping[str, str]
    line: int

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass
class _Piece:
    """Some lines of the file as they stand there; ``cells`` is None for comments and empty rows."""

    raw: str
    line: int
    cells: list[str] | None = None


class Table:
    """One csv file of a study, in memory.

    Parameters
    ----------
    path : pathlib.Path
        The file; one that is not there is a table without rows.
    columns : sequence of str
        Columns that a new file gets.
    required : sequence of str
        Columns that must be there.

    Raises
    ------
    ValueError
        If it is no such table; file and line are named.
    """

    def __init__(self, path: Path, columns: Iterable[str], required: Iterable[str] = ()) -> None:
        self.path = path
        self._bytes = path.read_bytes() if path.exists() else None
        self._mark, self._delimiter, self._newline = "", ",", "\n"
        self._pieces: list[_Piece] = []
        self._header: _Piece | None = None
        self.columns = list(columns)
        if self._bytes is not None:
            self._parse(self._decoded(self._bytes), tuple(required))

    def where(self, line: int) -> str:
        """File and line, for an error.

        Parameters
        ----------
        line : int
            From 1.
        """
        return f"{self.path}, line {line}"

    @property
    def rows(self) -> list[Row]:
        """Rows in their order."""
        return [
            Row(dict(zip(self.columns, piece.cells, strict=True)), piece.line)
            for piece in self._pieces
            if piece.cells is not None
        ]

    def _decoded(self, content: bytes) -> str:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise ValueError(
                f"{self.where(line)}: expected UTF-8 text, got other bytes; save it from the spreadsheet as 'CSV UTF-8'"
            ) from None
        if "\0" in text:
            line = text[: text.index("\0")].count("\n") + 1
            raise ValueError(f"{self.where(line)}: expected text, got a zero byte")
        if text.startswith("\ufeff"):
            self._mark, text = "\ufeff", text[1:]
        self._newline = "\r\n" if "\r\n" in text else "\n"
        return text

    def _parse(self, text: str, required: tuple[str, ...]) -> None:
        lines = enumerate(io.StringIO(text, newline=""), 1)
        for number, first in lines:
            if first.lower().startswith("sep=") and self._header is None and len(first.strip()) == 5:
                self._delimiter = first.strip()[4]  # how Excel is told, and no part of the table
                self._pieces.append(_Piece(first, number))
                continue
            if (
                self._header is None
                and _speaks(first)
                and not any(p.raw.lower().startswith("sep=") for p in self._pieces)
            ):
                self._delimiter = max(_DELIMITERS, key=first.count)
            piece = self._piece(number, first, lines)
            self._pieces.append(piece)
            if piece.cells is None:
                continue
            if self._header is None:
                self._take_header(piece, required)
            else:
                self._fit(piece)
        if self._header is None and any(p.raw.strip() for p in self._pieces if not p.raw.lstrip().startswith("#")):
            raise ValueError(f"{self.path}: expected a header with {', '.join(required)}, got none")

    def _piece(self, number: int, first: str, rest: Iterator[tuple[int, str]]) -> _Piece:
        """A row may go over several lines, within quotes."""
        if not _speaks(first):
            return _Piece(first, number)
        raw = [first]

        def more() -> Iterator[str]:
            yield first
            for _, line in rest:
                raw.append(line)
                yield line

        try:
            cells = next(csv.reader(more(), delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise ValueError(f"{self.where(number)}: expected a row of a table, got a broken one ({error})") from None
        cells = [_unquoted(c) for c in cells]
        is_note = not any(cells) or cells[0].startswith("#")
        return _Piece("".join(raw), number, None if is_note else cells)

    def _take_header(self, piece: _Piece, required: tuple[str, ...]) -> None:
        assert piece.cells is not None
        names = ["_".join(c.lower().split()) for c in piece.cells]
        for name in names:
            if name and names.count(name) > 1:
                raise ValueError(f"{self.where(piece.line)}: expected every column once, got {name!r} twice")
        if missing := [name for name in required if name not in names]:
            raise ValueError(
                f"{self.where(piece.line)}: expected a column {missing[0]!r}, got {', '.join(filter(None, names))}"
            )
        # columns without a name are kept, too
        self.columns = [name or f"\0{k}" for k, name in enumerate(names)]
        piece.cells, self._header = None, piece

    def _fit(self, piece: _Piece) -> None:
        assert piece.cells is not None
        wide = len(self.columns)
        if any(piece.cells[wide:]):
            raise ValueError(
                f"{self.where(piece.line)}: expected {wide} cells, got {len(piece.cells)}; a cell that holds "
                f"{self._delimiter!r} must stand in quotes"
            )
        piece.cells = [*piece.cells, *[""] * wide][:wide]

    def append(self, cells: Mapping[str, str]) -> None:
        """Add a row at the end; columns that are missing are made.

        Parameters
        ----------
        cells : mapping of str to str
            By column; what is empty or not named stays empty.
        """
        self._make_columns(cells)
        row = [cells.get(column, "") for column in self.columns]
        last = self._pieces[-1] if self._pieces else None
        if last is not None and not last.raw.endswith(("\n", "\r")):
            last.raw += self._newline
        self._pieces.append(_Piece(self._written(row), 0, row))

    def change(self, line: int, cells: Mapping[str, str]) -> None:
        """Change cells of a row.

        Parameters
        ----------
        line : int
            Line on which it stands.
        cells : mapping of str to str
            New values by column.
        """
        self._make_columns(cells)
        piece = next(p for p in self._pieces if p.line == line and p.cells is not None)
        assert piece.cells is not None
        new = [cells.get(column, old) for column, old in zip(self.columns, piece.cells, strict=True)]
        if new != piece.cells:
            piece.cells, piece.raw = new, self._written(new)

    def _make_columns(self, cells: Mapping[str, str]) -> None:
        if self._header is None:
            self._header = _Piece(self._written(self.columns), 0)
            self._pieces.append(self._header)
        more = [name for name, value in cells.items() if value and name not in self.columns]
        if more:
            names = next(csv.reader(io.StringIO(self._header.raw, newline=""), delimiter=self._delimiter))
            self._header.raw = self._written([*names[: len(self.columns)], *more])
            self.columns += more
            for piece in self._pieces:
                if piece.cells is not None:
                    piece.cells = [*piece.cells, *[""] * len(more)]
                    piece.raw = self._written(piece.cells)

    def _written(self, cells: Iterable[str]) -> str:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=self._delimiter, lineterminator=self._newline).writerow(cells)
        return out.getvalue()

    def save(self) -> None:
        """Write the file, whole or not at all; nothing if nothing changed.

        Raises
        ------
        BlockingIOError
            If somebody else changed the file since it was read.
        PermissionError
            If it cannot be written, because it is open in a spreadsheet, say.
        """
        if self._header is None:
            self._make_columns({})
        content = (self._mark + "".join(p.raw for p in self._pieces)).encode()
        if content == self._bytes:
            return
        place = self.path.resolve()  # of a link, what it leads to is replaced
        try:
            with atomic_write(place, overwrite=True) as fresh:
                fresh.write_bytes(content)
                if (place.read_bytes() if place.exists() else None) != self._bytes:
                    raise BlockingIOError(f"{self.path}: somebody else changed it meanwhile; do it again")
        except PermissionError as error:
            raise PermissionError(
                f"{self.path}: cannot be written ({error.strerror}); close it where it is open, nothing was changed"
            ) from None
        self._bytes = content


def _speaks(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _unquoted(cell: str) -> str:
    """Windows copies a path with quotes around it, and a csv file quotes those again."""
    cell = cell.strip()
    return cell[1:-1].strip() if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
