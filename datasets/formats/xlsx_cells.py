"""Tables in xlsx workbooks, read with care: what would unpack to too much, or names entities, is refused unread."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .guarded import check_file, formula_safe

MAX_UNPACKED = 256 << 20
MAX_PARTS = 2000
MAX_ROWS = 1 << 20  # of any sheet
MAX_CELLS = 20_000_000
_BLOCK = 1 << 20
_DOCTYPE = re.compile(rb"<\0?!\0?D\0?O\0?C\0?T\0?Y\0?P\0?E|<\0?!\0?E\0?N\0?T\0?I\0?T\0?Y", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def is_xlsx(head: bytes) -> bool:
    """Whether a file may be a workbook.

    Parameters
    ----------
    head : bytes
        Its beginning.

    Returns
    -------
    bool
    """
    return head.startswith(b"PK\x03\x04")


def xlsx_rows(path: Path, *, most: int | None = None) -> dict[int, list[str]]:
    """Cells of the first sheet as text, by the number of the row (from 1); rows without any are left out.

    Parameters
    ----------
    path : pathlib.Path
        The workbook. Of formulas the stored values are taken.
    most : int, optional
        Rows to read.

    Returns
    -------
    dict of int to list of str

    Raises
    ------
    ValueError
        If it is damaged, claims too much, or holds a document type.
    """
    import openpyxl

    check_file(path)
    rows: dict[int, list[str]] = {}
    try:
        _check_parts(path)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            if not book.worksheets:
                raise ValueError("it has no sheet")
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # the stated size may be a lie
            cells = 0
            # the first row of a sheet is row 1, whatever is empty above it
            for number, row in enumerate(sheet.iter_rows(max_row=most or MAX_ROWS, values_only=True), start=1):
                cells += len(row)
                if cells > MAX_CELLS:
                    raise ValueError(f"more than {MAX_CELLS:,} cells")
                texts = [_text(value) for value in row]
                while texts and not texts[-1]:
                    texts.pop()
                if texts:
                    rows[number] = texts
        finally:
            book.close()
    except (MemoryError, RecursionError):
        raise ValueError(f"{path}: damaged xlsx file (it claims more than the memory holds)") from None
    except Exception as error:  # openpyxl lets through whatever the content of a damaged file stumbles over
        raise ValueError(f"{path}: damaged xlsx file ({' '.join(str(error).split())[:200]})") from None
    return rows


def _check_parts(path: Path) -> None:
    with zipfile.ZipFile(path) as pack:
        parts = pack.infolist()
        if len(parts) > MAX_PARTS:
            raise ValueError(f"{len(parts)} parts, expected at most {MAX_PARTS}")
        # what a part unpacks to is cut at its stated size
        size = sum(part.file_size for part in parts)
        if size > MAX_UNPACKED:
            raise ValueError(f"it unpacks to {size >> 20} MiB, expected at most {MAX_UNPACKED >> 20} MiB")
        if len({part.filename for part in parts}) < len(parts):
            raise ValueError("it holds a part twice")
        for part in parts:
            if not part.filename.lower().endswith((".xml", ".rels", ".vml")):
                continue
            with pack.open(part) as file:
                tail = b""
                while block := file.read(_BLOCK):
                    if _DOCTYPE.search(tail + block):
                        raise ValueError("its XML holds a document type, which no workbook needs")
                    tail = block[-32:]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip()


def write_xlsx(path: Path, rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """Write a workbook of one sheet.

    Parameters
    ----------
    path : pathlib.Path
        File to write.
    rows : iterable of sequence
        Cells; text that a spreadsheet would take for a formula gets a ``'`` in front.
    title : str
        Name of the sheet.

    Raises
    ------
    ValueError
        If a text holds control characters, which xlsx cannot.
    """
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(re.sub(r"[\\/*?:\[\]'\x00-\x1f]", " ", title)[:31].strip() or "Sheet1")
    for row in rows:
        for cell in row:
            if isinstance(cell, str) and _CONTROL.search(cell):
                raise ValueError(f"xlsx cannot hold the control characters of {cell[:40]!r}; write csv or tsv")
        sheet.append(formula_safe(row))
    book.save(path)
