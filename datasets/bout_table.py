"""The bout table as a csv file: one row per bout or scored interval.

Columns are those of ``Annotations.bouts`` and a column ``kind``: ``bout``, or ``scored`` for an interval in
which a behaviour was looked for. A behaviour that was looked for and never seen thus has its row too. A file
needs only ``behavior, start_frame, stop_frame`` (or ``start, stop`` in seconds, with ``edges`` to place
them); ``;`` or tabs as separators and a byte-order mark are read as well, since people edit such files in
spreadsheets. Frames are 0-based and half-open. Cells are text: the recording ``001`` stays ``001`` and an animal may
be called ``NA``; spaces around a cell do not count and an empty cell is a missing value.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .annotations import BOUT_COLUMNS, SCORED_COLUMNS, WHOLE_VIEW, Annotations
from .recording import recording_name

KIND = "kind"
_ENDS = (("start", "start_frame"), ("stop", "stop_frame"))


def save_annotations(annotations: Annotations, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write bouts and scored intervals to a csv file.

    Parameters
    ----------
    annotations : Annotations
        What to write.
    path : str or pathlib.Path
        File to make, through a temporary name.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is not set.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; choose another name or overwrite it explicitly")
    scored = annotations.scored.assign(target="", **{KIND: "scored"})
    # an interval scored for everything becomes one row per behaviour, so that the file names them all
    every = scored["behavior"] == ""
    spelled = [scored[every].assign(behavior=name) for name in annotations.behaviors]
    table = pd.concat([*spelled, scored[~every], annotations.bouts.assign(**{KIND: "bout"})], ignore_index=True)
    table = table[[KIND, *BOUT_COLUMNS, *(c for c in table.columns if c not in (KIND, *BOUT_COLUMNS))]]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        table.to_csv(temporary, index=False, float_format="%.9g")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_annotations(
    path: str | Path,
    *,
    recording: str | None = None,
    behaviors: Sequence[str] | None = None,
    edges: np.ndarray | Mapping[str, np.ndarray] | None = None,
) -> Annotations:
    """Read a bout table.

    Parameters
    ----------
    path : str or pathlib.Path
        A csv file as described on top of this module.
    recording : str, optional
        Recording of rows that name none; by default the file's, as :func:`recording_name` reads it.
    behaviors : sequence of str, optional
        The behaviours under study; a row of any other is an error. By default those of the file, in order of
        appearance.
    edges : numpy.ndarray or mapping of str to numpy.ndarray, optional
        Times of the recording's frame edges [s], shape (num_frames + 1,), to place bouts that are given in
        seconds only: each end goes to the nearest edge. For a file that speaks of several recordings the edges of
        each, by name; rows in seconds of a recording that is not among them are left out.

    Returns
    -------
    Annotations

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or its content is wrong; the message names the line.
    """
    path = Path(path)
    table = _read(path)
    if "behavior" not in table and "behaviour" in table:
        table = table.rename(columns={"behaviour": "behavior"})
    if "behavior" not in table:
        raise ValueError(f"{path}: expected a column 'behavior', got {list(table.columns)}")
    for column, value in (
        ("recording", recording or recording_name(path)),
        ("individual", WHOLE_VIEW),
        ("target", ""),
        ("scorer", ""),
        (KIND, "bout"),
    ):
        if column not in table:
            table[column] = value
        if column != KIND:
            table[column] = table[column].where(table[column] != "", value)
    wrong = ~table[KIND].isin(["bout", "scored"])
    if wrong.any():
        raise ValueError(
            f"{path}, line {_line(wrong)}: expected kind 'bout' or 'scored', got {table[KIND][wrong].iloc[0]!r}"
        )
    known = tuple(behaviors) if behaviors is not None else tuple(b for b in table["behavior"].unique() if b)
    if not len(table) or not known:
        raise ValueError(f"{path}: expected bouts or scored intervals of some behaviour, got none")
    unknown = ~table["behavior"].isin(known) & ~((table[KIND] == "scored") & (table["behavior"] == ""))
    if unknown.any():
        raise ValueError(
            f"{path}, line {_line(unknown)}: unknown behaviour {table['behavior'][unknown].iloc[0]!r}, "
            f"expected one of {list(known)}"
        )
    table = _place(table, path, edges)
    kind = table.pop(KIND)
    try:
        return Annotations(
            bouts=table[kind == "bout"], scored=table[kind == "scored"][list(SCORED_COLUMNS)], behaviors=known
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def score_whole(annotations: Annotations, *, recording: str, edges: np.ndarray) -> Annotations:
    """Declare a recording scored from end to end for every behaviour.

    Parameters
    ----------
    annotations : Annotations
        Bouts without scored intervals, as most tools write them.
    recording : str
        Which recording.
    edges : numpy.ndarray
        Times of its frame edges [s], shape (num_frames + 1,).

    Returns
    -------
    Annotations
        With one scored interval per individual and scorer.
    """
    pairs = sorted(set(zip(annotations.bouts["individual"], annotations.bouts["scorer"], strict=True))) or [
        (WHOLE_VIEW, "")
    ]
    scored = pd.DataFrame(
        [
            {
                "recording": recording,
                "individual": individual,
                "behavior": "",
                "scorer": scorer,
                "start_frame": 0,
                "stop_frame": len(edges) - 1,
                "start": float(edges[0]),
                "stop": float(edges[-1]),
            }
            for individual, scorer in pairs
        ]
    )
    return Annotations(bouts=annotations.bouts, scored=scored, behaviors=annotations.behaviors)


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a csv file, got a folder")
    try:
        rows = _rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a csv table ({error})") from None
    if not rows:
        raise ValueError(f"{path}: not a csv table (it is empty)")
    header = next(iter(rows.values()))
    columns = [c for c in header if c]  # a column without a name is a spreadsheet's row number or a trailing comma
    twice = [c for c in columns if columns.count(c) > 1]
    if twice:
        raise ValueError(f"{path}: expected every column once, got {twice[0]!r} {columns.count(twice[0])} times")
    body = dict(list(rows.items())[1:])
    for line, cells in body.items():
        if any(cells[len(header) :]):
            raise ValueError(f"{path}, line {line}: expected {len(header)} cells, got {len(cells)}")
    table = {c: [cells[k] if k < len(cells) else "" for cells in body.values()] for k, c in enumerate(header) if c}
    return pd.DataFrame(table, index=pd.Index(list(body), dtype="int64"), columns=columns, dtype=object)


def _rows(path: Path) -> dict[int, list[str]]:
    """Cells of every line that has any, by the number of the line (from 1)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next((line for line in file if line.strip()), "")
        separator = max(",;\t", key=header.count)
        file.seek(0)
        reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
        numbered = ((reader.line_num, [c.strip() for c in cells]) for cells in reader)
        return {line: cells for line, cells in numbered if any(cells)}


def _place(table: pd.DataFrame, path: Path, edges: np.ndarray | Mapping[str, np.ndarray] | None) -> pd.DataFrame:
    """Fill in frames from seconds, or seconds from frames."""
    filled = {c for ends in _ENDS for c in ends if c in table and (table[c] != "").any()}
    in_frames = {"start_frame", "stop_frame"} <= filled
    if not in_frames and not {"start", "stop"} <= filled:
        raise ValueError(
            f"{path}: expected the columns start_frame and stop_frame (or start and stop) with numbers in them, "
            f"got {[c for c in table.columns if c != KIND]}"
        )
    for seconds, frame in _ENDS:
        if in_frames:
            table[frame] = _numbers(table, frame, path, whole=True).astype("int64")
        table[seconds] = _numbers(table, seconds, path, optional=in_frames) if seconds in table else np.nan
    recordings = tuple(table["recording"].unique())
    if edges is None:
        edges = {}
        if not in_frames:
            raise ValueError(f"{path}: bouts in seconds need the recording's frame times to be placed")
    elif not isinstance(edges, Mapping):
        if not in_frames and len(recordings) > 1:
            raise ValueError(
                f"{path}: bouts in seconds of several recordings need the frame times of each, got those of one "
                f"for {list(recordings)}"
            )
        edges = dict.fromkeys(recordings, edges) if len(recordings) == 1 else {}
    if not in_frames:
        table = table[table["recording"].isin(list(edges))].assign(start_frame=0, stop_frame=0)
        if not len(table):
            raise ValueError(
                f"{path}: bouts in seconds of {list(recordings)} cannot be placed, "
                f"there are frame times for {list(edges)}"
            )
    for recording in recordings:
        if recording in edges:
            own = table["recording"] == recording
            (_fill_seconds if in_frames else _fill_frames)(table, own, edges[recording], path)
    _check_order(table, path, in_frames)
    return table


def _numbers(table: pd.DataFrame, name: str, path: Path, *, whole: bool = False, optional: bool = False) -> pd.Series:
    numbers = pd.to_numeric(table[name], errors="coerce").astype("float64")
    wrong = ~(numbers.abs() < np.inf)
    if whole:
        wrong |= numbers % 1 != 0
    if optional:
        wrong &= table[name] != ""
    if wrong.any():
        kind = "a whole number" if whole else "seconds"
        raise ValueError(f"{path}, line {_line(wrong)}: expected {name} as {kind}, got {table[name][wrong].iloc[0]!r}")
    return numbers


def _fill_seconds(table: pd.DataFrame, own: pd.Series, edges: np.ndarray, path: Path) -> None:
    for seconds, frame in _ENDS:
        unsaid = own & table[seconds].isna() & table[frame].between(0, len(edges) - 1)
        table.loc[unsaid, seconds] = np.asarray(edges)[table.loc[unsaid, frame]]


def _fill_frames(table: pd.DataFrame, own: pd.Series, edges: np.ndarray, path: Path) -> None:
    for seconds, frame in _ENDS:
        values = table.loc[own, seconds]
        first, last = np.diff(edges)[[0, -1]] / 2  # half a frame
        outside = (values < edges[0] - first) | (values > edges[-1] + last)
        if outside.any():
            raise ValueError(
                f"{path}, line {_line(outside)}: {values[outside].iloc[0]:g} s is outside of the recording "
                f"({edges[0]:g} s to {edges[-1]:g} s)"
            )
        right = np.clip(np.searchsorted(edges, values), 1, len(edges) - 1)
        nearer_left = values.to_numpy() - edges[right - 1] < edges[right] - values.to_numpy()
        table.loc[own, frame] = np.where(nearer_left, right - 1, right)


def _check_order(table: pd.DataFrame, path: Path, in_frames: bool) -> None:
    names = ("start_frame", "stop_frame") if in_frames else ("start", "stop")
    empty = table["stop_frame"] <= table["start_frame"]
    if not empty.any():
        return
    start, stop = (table[name][empty].iloc[0] for name in names)
    if start >= stop:
        raise ValueError(f"{path}, line {_line(empty)}: expected {names[0]} < {names[1]}, got {start:g} and {stop:g}")
    raise ValueError(
        f"{path}, line {_line(empty)}: expected a bout of at least one frame, got {start:g} s to {stop:g} s, "
        "which is nearest to one and the same frame edge"
    )


def _line(wrong: pd.Series) -> int:
    """Line of the file of the first wrong row."""
    return int(wrong.index[wrong][0])
