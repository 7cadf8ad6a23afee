"""When frames were taken, by the word of the camera: a table beside the video.

Cameras and acquisition programs write one row per frame as csv, text or npy. The unit is what the caller says it is;
nothing is guessed from the size of the numbers. A table with more or fewer rows than the video has frames is refused
unless the caller states a tolerance, and then what was done about it is said.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, eq=False)
class Timestamps:
    """External times of the frames of a video.

    Parameters
    ----------
    path : pathlib.Path
        The table.
    times : numpy.ndarray
        Time of every frame [s], ``times[0] == 0``, not decreasing, shape (n,).
    start_time : float
        The table's own time of the first frame [s].
    rows : int
        Rows of the table.
    tolerance : int
        By how many rows the table may differ from the frames.
    note : str
        What was done about rows that did not match; empty if all did.
    """

    path: Path
    times: np.ndarray
    start_time: float
    rows: int
    tolerance: int = 0
    note: str = ""

    def fitted(self, num_frames: int) -> Timestamps:
        """One time per frame.

        Parameters
        ----------
        num_frames : int
            Frames of the video.

        Returns
        -------
        Timestamps
            Rows too many are left out at the end, rows too few are made up at the end by the median interval, within
            the tolerance; ``note`` says so.

        Raises
        ------
        ValueError
            If the difference is beyond the tolerance.
        """
        surplus = len(self.times) - num_frames
        if surplus == 0:
            return self
        if abs(surplus) > self.tolerance or len(self.times) < 2:
            raise ValueError(
                f"{self.path}: expected {num_frames} time stamps, one per frame, got {len(self.times)}; "
                f"if the table is the right one, state a tolerance of {abs(surplus)}"
            )
        said = f"{self.path}: {self.rows} time stamps for {num_frames} frames: "
        if surplus > 0:
            note = f"{said}the last {surplus} left out"
            return replace(self, times=self.times[:num_frames], note=note)
        step = float(np.median(np.diff(self.times)))
        more = self.times[-1] + step * np.arange(1, 1 - surplus)
        note = f"{said}{-surplus} added at the end, {step:.6g} s apart"
        return replace(self, times=np.append(self.times, more), note=note)


def read_timestamps(
    path: str | Path,
    *,
    column: str | int | None = None,
    unit: str = "s",
    num_frames: int | None = None,
    tolerance: int = 0,
) -> Timestamps:
    """Read a table of time stamps, one row per frame.

    Parameters
    ----------
    path : str or pathlib.Path
        ``.npy`` (a vector, a table with named fields, or one column), else text: one number a line, or columns
        separated by commas, semicolons, tabs or spaces, with a header or without. Empty lines and lines that begin
        with ``#`` do not count. Where semicolons separate, a comma is a decimal point.
    column : str or int, optional
        Name of the column, or its number from 0; needed if there are several.
    unit : {"s", "ms", "us", "ns"}
        What the table counts in.
    num_frames : int, optional
        Frames of the video; checked by :meth:`Timestamps.fitted`.
    tolerance : int
        By how many rows the table may differ from the frames.

    Returns
    -------
    Timestamps

    Raises
    ------
    FileNotFoundError, ValueError
        If the table is missing, is not numbers, goes back in time or has another number of rows.

    Examples
    --------
    >>> table = read_timestamps("camera.csv", column="exposure", unit="us")  # doctest: +SKIP
    >>> recording = load_recording("mouse.mp4", timestamps=table)  # doctest: +SKIP
    """
    path = Path(path)
    if unit not in UNITS:
        raise ValueError(f"{path}: expected a unit among {', '.join(UNITS)}, got {unit!r}")
    if tolerance < 0:
        raise ValueError(f"{path}: expected a tolerance of 0 rows or more, got {tolerance}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a table of time stamps, got a folder")
    if not path.is_file():  # reading from a pipe would wait for ever
        raise ValueError(f"{path}: expected a table of time stamps, got a pipe or a device")
    raw, lines = _from_npy(path, column) if path.suffix.lower() == ".npy" else _from_text(path, column)
    if not len(raw):
        raise ValueError(f"{path}: expected time stamps, got none")
    wrong = np.flatnonzero(~np.isfinite(raw.astype(np.float64)))
    if wrong.size:
        raise ValueError(f"{path}, {lines(wrong[0])}: expected a time, got {raw[wrong[0]]}")
    back = np.flatnonzero(raw[1:] < raw[:-1])
    if back.size:
        before, after = raw[back[0]], raw[back[0] + 1]
        raise ValueError(f"{path}, {lines(back[0] + 1)}: expected times that do not go back, got {before} then {after}")
    # the first is taken off before scaling: nanoseconds since 1970 have more digits than a float
    times = (raw - raw[0]).astype(np.float64) * UNITS[unit]
    table = Timestamps(path, times, float(raw[0]) * UNITS[unit], len(raw), tolerance)
    return table if num_frames is None else table.fitted(num_frames)


def _from_npy(path: Path, column: str | int | None) -> tuple[np.ndarray, Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not a npy table ({' '.join(str(error).split())})") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: expected a npy table, got a {type(array).__name__}")
    if array.dtype.names:
        array = array[array.dtype.names[_choose(path, list(array.dtype.names), len(array.dtype.names), column)]]
    elif array.ndim == 2:
        array = array[:, _choose(path, None, array.shape[1], column)]
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        raise ValueError(f"{path}: expected one number per frame, got {array.dtype} of shape {array.shape}")
    whole = np.int64 if array.dtype.kind in "iu" else np.float64
    return array.astype(whole), lambda row: f"row {row}"


def _from_text(path: Path, column: str | int | None) -> tuple[np.ndarray, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected text, got bytes that are none") from None
    numbered = [(k, line.strip()) for k, line in enumerate(text.splitlines(), 1)]
    numbered = [(k, line) for k, line in numbered if line and not line.startswith("#")]
    if not numbered:
        return np.zeros(0), None
    first = numbered[0][1]
    separator = next((s for s in ";\t," if s in first), None)

    def cells(line: str) -> list[str]:
        if separator is None:
            return line.split() if len(first.split()) == len(numbered[-1][1].split()) else [line]
        try:
            found = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
        except csv.Error as error:
            raise ValueError(f"{path}: not a table of time stamps ({error})") from None
        return [c.strip().replace(",", ".") if separator == ";" else c.strip() for c in found]

    names = None if all(_number(c) is not None for c in cells(first) if c) else cells(first)
    columns = len(cells(first))
    at = _choose(path, names, columns, column)
    values: list[int | float] = []
    for k, line in numbered[names is not None :]:
        row = cells(line)
        if len(row) > columns and any(row[columns:]):  # a comma within a number, a quote that does not end
            raise ValueError(f"{path}, line {k}: expected {columns} columns, got {len(row)}")
        value = _number(row[at]) if at < len(row) else None
        if value is None:
            got = repr(row[at]) if at < len(row) else "no such column"
            raise ValueError(f"{path}, line {k}: expected a time as a number, got {got}")
        values.append(value)
    lines = [k for k, _ in numbered[names is not None :]]
    whole = all(isinstance(v, int) and abs(v) < 2**63 for v in values)
    return np.asarray(values, dtype=np.int64 if whole else np.float64), lambda row: f"line {lines[row]}"


def _number(cell: str) -> int | float | None:
    for kind in (int, float):
        try:
            value = kind(cell)
            float(value)  # what has more digits than a float has room for is none
        except (ValueError, OverflowError):
            continue
        return value
    return None


def _choose(path: Path, names: list[str] | None, count: int, column: str | int | None) -> int:
    """Which column is meant."""
    there = f"the columns {names}" if names else f"{count} columns without names"
    if column is None:
        if count > 1:
            raise ValueError(f"{path}: expected the name or the number of a column, got {there}")
        return 0
    if isinstance(column, int):
        if not 0 <= column < count:
            raise ValueError(f"{path}: expected a column from 0 to {count - 1}, got {column}")
        return column
    if not names or names.count(column) != 1:
        raise ValueError(f"{path}: expected a column {column!r} once, got {there}")
    return names.index(column)
