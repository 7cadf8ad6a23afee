"""Files of strangers, opened with care: bounded size, one clear error with its line, and nothing in them is run."""

from __future__ import annotations

import codecs
import csv
import io
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

MAX_BYTES = 512 << 20
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def check_file(path: Path, *, max_bytes: int = MAX_BYTES) -> Path:
    """Refuse what is not a file of sensible size.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    max_bytes : int
        Largest size.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If it is missing, a folder, not a plain file, empty or too large.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a file with labels, got a folder")
    if not path.is_file():
        raise ValueError(f"{path}: expected a plain file")
    size = path.stat().st_size
    if not size:
        raise ValueError(f"{path}: expected labels, the file is empty")
    if size > max_bytes:
        raise ValueError(f"{path}: expected a file of at most {max_bytes >> 20} MiB, got {size >> 20} MiB")
    return path


def read_bytes(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a file, unpacked if it is gzip; a packed file that grows past ``max_bytes`` is refused.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    max_bytes : int
        Largest size, packed and unpacked.

    Returns
    -------
    bytes
    """
    data = check_file(path, max_bytes=max_bytes).read_bytes()
    if not data.startswith(b"\x1f\x8b"):
        return data
    unpack = zlib.decompressobj(wbits=31)
    try:
        out = unpack.decompress(data, max_bytes)
        if unpack.unconsumed_tail:
            raise ValueError(f"{path}: unpacks to more than {max_bytes >> 20} MiB")
        if not unpack.eof:
            raise ValueError(f"{path}: the packed file ends too early")
        if unpack.unused_data:
            raise ValueError(f"{path}: expected one packed file, something follows its end")
    except zlib.error as error:
        raise ValueError(f"{path}: damaged gzip file ({error})") from None
    return out


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Text of a file in UTF-8 or UTF-16, without its byte-order mark.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    max_bytes : int
        Largest size.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is not text; the message names the line.
    """
    data = read_bytes(path, max_bytes=max_bytes)
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        byte = data[error.start : error.start + 1].hex()
        raise ValueError(f"{path}, line {line}: not UTF-8 text (byte 0x{byte}); save it as UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: not a text file")
    return text


def read_json(path: Path, *, max_bytes: int = MAX_BYTES, nan: bool = False) -> Any:
    """Content of a JSON file; NaN, Infinity and a key that stands twice are refused.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    max_bytes : int
        Largest size.
    nan : bool
        Take NaN for a missing value (None), for tools that write it.

    Returns
    -------
    object
    """

    def refuse(word: str) -> Any:
        if nan and word == "NaN":
            return None
        raise ValueError(f"{path}: expected numbers, got {word}")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in found if names.count(name) > 1)
            raise ValueError(f"{path}: expected every key once, got {twice[:80]!r} {names.count(twice)} times")
        return found

    try:
        return json.loads(read_text(path, max_bytes=max_bytes), parse_constant=refuse, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise ValueError(f"{path}: JSON nested too deeply") from None
    except ValueError as error:
        if str(error).startswith(f"{path}"):
            raise
        raise ValueError(f"{path}: not JSON ({error})") from None  # a number of thousands of digits


def csv_rows(path: Path, *, separators: str = ",;\t", max_bytes: int = MAX_BYTES) -> dict[int, list[str]]:
    """Cells of every line that has any, by the number of the line (from 1).

    Parameters
    ----------
    path : pathlib.Path
        A table as text.
    separators : str
        Those that may be meant; the one that the first line holds most of is taken.
    max_bytes : int
        Largest size.

    Returns
    -------
    dict of int to list of str
        Spaces around a cell do not count.

    Raises
    ------
    ValueError
        If the file is no such table.
    """
    text = read_text(path, max_bytes=max_bytes)
    first = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(separators, key=first.count), skipinitialspace=True
    )
    try:
        numbered = ((reader.line_num, [cell.strip() for cell in cells]) for cells in reader)
        return {line: cells for line, cells in numbered if any(cells)}
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a csv table ({error})") from None


def csv_cells(path: Path, *, separators: str = ",;\t", max_bytes: int = MAX_BYTES) -> pd.DataFrame:
    """The same as a table of text, for tables of a million lines.

    Parameters
    ----------
    path, separators, max_bytes
        As in :func:`csv_rows`.

    Returns
    -------
    pandas.DataFrame
        A row per line that has any cell, by the number of the line; cells that a line does not have are empty.

    Raises
    ------
    ValueError
        If the file is no such table.
    """
    text = read_text(path, max_bytes=max_bytes)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if '"' not in text and text.count("\r") == text.count("\r\n"):
        try:
            cells = pd.read_csv(
                io.StringIO(text), sep=max(separators, key=first.count), header=None, dtype=str, na_filter=False,
                skip_blank_lines=False, quoting=csv.QUOTE_NONE,
            )  # fmt: skip
        except (pd.errors.ParserError, pd.errors.EmptyDataError):
            pass  # lines of different length: read them one by one, with the line in every error
        else:
            cells = cells.fillna("").apply(lambda column: column.str.strip())
            cells.index = pd.RangeIndex(1, len(cells) + 1)
            return cells[(cells != "").any(axis=1)]
    rows = csv_rows(path, separators=separators, max_bytes=max_bytes)
    width = max(map(len, rows.values()), default=0)
    padded = [cells + [""] * (width - len(cells)) for cells in rows.values()]
    return pd.DataFrame(padded, index=pd.Index(list(rows), dtype="int64"), columns=range(width), dtype=str)


def formula_safe(cells: Iterable[Any]) -> list[Any]:
    """Cells that a spreadsheet will not take for formulas: such text gets a ``'`` in front.

    Parameters
    ----------
    cells : iterable of object
        Text is looked at, anything else stays.

    Returns
    -------
    list of object

    Examples
    --------
    >>> formula_safe(["=1+1", "walk", -3])
    ["'=1+1", 'walk', -3]
    """
    # text with such a quote of its own gets another one, so that it can be told apart
    return [f"'{c}" if isinstance(c, str) and c.lstrip("'").startswith(_FORMULA) else c for c in cells]


def formula_plain(cells: Iterable[str]) -> list[str]:
    """Undo :func:`formula_safe`.

    Parameters
    ----------
    cells : iterable of str
        Text of a table.

    Returns
    -------
    list of str

    Examples
    --------
    >>> formula_plain(["'=1+1", "walk", "'90s"])
    ['=1+1', 'walk', "'90s"]
    """
    return [c[1:] if c[:1] == "'" and c.lstrip("'").startswith(_FORMULA) else c for c in cells]
