"""DeepLabCut tables (csv and h5), and what others write in the same layout (lightning-pose, DLC converters).

Columns are named by scorer, (individuals,) bodyparts, coords; coords are ``x``, ``y`` and mostly ``likelihood``, found
by their names and never by their place. Rows are frame numbers from 0, or image names
(``labeled-data/<video>/img0042.png`` is frame 42) in tables of human labels. Without likelihood the confidence is NaN.

A csv that went through pandas once more carries one column more in front and a plain header on top; both are seen past.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .track_layout import check_room, tracks_from_arrays
from .track_pytables import Columns, is_pandas_table, read_pandas_table

_HEADERS = ("scorer", "individuals", "bodyparts", "coords")
_DEEPEST_HEADER = 5  # four rows, and the one of who saved it once more
_LAST_FRAME = 2**53  # larger numbers are no frames
_NO_ANIMAL = "single"  # multi-animal tables call what belongs to no animal so


def read_dlc_csv(path: Path) -> xr.Dataset:
    """Read a csv in DeepLabCut's layout.

    Parameters
    ----------
    path : pathlib.Path
        The file; 3 or 4 rows of header.

    Returns
    -------
    xarray.Dataset
        Tracks; time counts frames.

    Raises
    ------
    ValueError
        If it is another kind of table, or one that breaks off.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return _from_lines((line for line in csv.reader(file) if line), path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a csv of poses, got something else ({error})") from None


def _from_lines(lines: Iterator[list[str]], path: Path) -> xr.Dataset:
    top = list(itertools.islice(lines, _DEEPEST_HEADER))
    named: dict[str, list[str]] = {}
    at = 0  # column that holds the words scorer, bodyparts, coords
    for line in top:
        for column, word in enumerate(line[:2]):
            if word in _HEADERS:
                named[word], at = line, column
    if not {"bodyparts", "coords"} <= set(named):
        got = ",".join(top[0])[:60] if top else "an empty file"
        raise ValueError(f"{path}: expected DeepLabCut's header (rows scorer, bodyparts, coords), got {got!r}")
    coords = named["coords"]
    first = next((i for i in range(at + 1, len(coords)) if coords[i]), len(coords))
    body = top[max(top.index(line) for line in named.values()) + 1 :]
    width = len(coords)
    rows: list[str] = []
    values = array("d")  # text is many times as large, and a day of it would not fit into memory
    for line in itertools.chain(body, lines):
        if len(line) != width:
            raise ValueError(
                f"{path}: expected {width} cells in every row, got {len(line)} in row {len(rows)} of poses"
            )
        try:
            values.extend(float(cell) if cell else math.nan for cell in line[first:])
        except ValueError as error:
            raise ValueError(f"{path}: expected numbers below the header ({error})") from None
        rows.append("/".join(line[at:first]))
    levels = [named[word][first:] for word in ("individuals", "bodyparts", "coords") if word in named]
    numbers = np.frombuffer(values, dtype=np.float64) if values else np.empty(0)
    return _tracks(list(zip(*levels, strict=True)), rows, numbers.reshape(len(rows), width - first), path)


def read_dlc_h5(path: Path, file: Any) -> xr.Dataset:
    """Read a DeepLabCut .h5 without PyTables: nothing in it is unpickled.

    Parameters
    ----------
    path : pathlib.Path
        The file's name, for messages.
    file : h5py.File
        The open file.

    Returns
    -------
    xarray.Dataset
        Tracks; time counts frames.

    Raises
    ------
    ValueError
        If the table is of another kind.
    """
    names = [name for name, group in file.items() if is_pandas_table(group)]
    if len(names) != 1:
        raise ValueError(f"{path}: expected one table of poses, got {names}")
    try:
        columns, rows, values = read_pandas_table(file[names[0]])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if any(len(column) not in (3, 4) for column in columns):
        raise ValueError(f"{path}: expected columns of 3 or 4 levels (scorer ... coords), got {len(columns[0])}")
    return _tracks([column[1:] for column in columns], rows, values, path)


def _tracks(columns: Columns, rows: list[str], values: np.ndarray, path: Path) -> xr.Dataset:
    """Columns are ([individual,] bodypart, coordinate)."""
    columns = [column if len(column) == 3 else ("", *column) for column in columns]
    place = {column: i for i, column in enumerate(columns)}
    if len(place) != len(columns):
        raise ValueError(f"{path}: expected every keypoint once, got the same column twice")
    unknown = sorted({column[2] for column in columns} - {"x", "y", "likelihood"})
    if unknown:
        raise ValueError(f"{path}: expected the coordinates x, y and likelihood, got also {unknown}")
    individuals = list(dict.fromkeys(column[0] for column in columns))
    keypoints = list(dict.fromkeys(column[1] for column in columns))
    for individual, keypoint in {column[:2] for column in columns}:
        if not {(individual, keypoint, "x"), (individual, keypoint, "y")} <= set(place):
            raise ValueError(f"{path}: expected x and y of every keypoint, got one of them for {keypoint!r}")
    check_room(path, len(rows), len(keypoints), len(individuals))
    position = np.full((len(rows), 2, len(keypoints), len(individuals)), np.nan)
    confidence = np.full((len(rows), len(keypoints), len(individuals)), np.nan)
    for (individual, keypoint, coordinate), i in place.items():
        k, n = keypoints.index(keypoint), individuals.index(individual)
        if coordinate == "likelihood":
            confidence[:, k, n] = values[:, i]
        else:
            position[:, "xy".index(coordinate), k, n] = values[:, i]
    if not columns:
        raise ValueError(f"{path}: expected x and y of every keypoint, got no columns")
    frames, from_images = _frame_numbers(rows, path)
    return tracks_from_arrays(
        position,
        confidence,
        keypoints,
        [name or _NO_ANIMAL for name in individuals] if individuals != [""] else [],
        source="DeepLabCut",
        path=path,
        times=frames,
        **({"rows": "image names"} if from_images else {}),
    )


def _frame_numbers(rows: list[str], path: Path) -> tuple[np.ndarray, bool]:
    """Frame of every row, from its number or from the digits at the end of the image's name."""
    if all(re.fullmatch(r"\d+(\.0)?", row) for row in rows):
        return _whole((row.removesuffix(".0") for row in rows), path), False
    folders = {row.replace("\\", "/").rpartition("/")[0] for row in rows}
    if len(folders) > 1:
        raise ValueError(f"{path}: expected labels of one video, got those of {len(folders)}: {sorted(folders)[:3]}")
    found = [re.search(r"(\d+)\.\w+$", row) for row in rows]
    odd = next((r for r, match in zip(rows, found, strict=True) if match is None and not r.isdigit()), None)
    if odd is not None:
        raise ValueError(f"{path}: expected a frame number or the name of a numbered image, got the row {odd!r}")
    return _whole((match.group(1) for match in found if match), path), True


def _whole(digits: Iterable[str], path: Path) -> np.ndarray:
    frames = []
    for text in digits:
        if len(text.lstrip("0")) > len(str(_LAST_FRAME)) or int(text) > _LAST_FRAME:
            raise ValueError(f"{path}: expected numbers of frames, got {text[:40]}")
        frames.append(int(text))
    return np.array(frames, dtype=np.int64)
