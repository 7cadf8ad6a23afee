"""The bout table as a csv file: one row per bout or scored interval.

Columns are those of ``Annotations.bouts`` and a column ``kind``: ``bout``, or ``scored`` for an interval in
which a behaviour was looked for. A behaviour that was looked for and never seen thus has its row too. A file
needs only ``behavior, start_frame, stop_frame`` (or ``start, stop`` in seconds, with ``edges`` to place
them); ``;`` or tabs as separators and a byte-order mark are read as well, since people edit such files in
spreadsheets. Frames are 0-based and half-open.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .annotations import BOUT_COLUMNS, SCORED_COLUMNS, WHOLE_VIEW, Annotations

KIND = "kind"


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
    edges: np.ndarray | None = None,
) -> Annotations:
    """Read a bout table.

    Parameters
    ----------
    path : str or pathlib.Path
        A csv file as described on top of this module.
    recording : str, optional
        Recording of rows that name none; by default the file name up to its first ``.bouts`` or ending.
    behaviors : sequence of str, optional
        The behaviours under study; a row of any other is an error. By default those of the file, in order of
        appearance.
    edges : numpy.ndarray, optional
        Times of the recording's frame edges [s], shape (num_frames + 1,), to place bouts that are given in
        seconds only: each end goes to the nearest edge.

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
    table = _place(table, path, edges)
    stem = path.name.split(".bouts")[0] if ".bouts" in path.name else path.stem
    for column, value in (
        ("recording", recording or stem),
        ("individual", WHOLE_VIEW),
        ("target", ""),
        ("scorer", ""),
    ):
        if column not in table:
            table[column] = value
        table[column] = table[column].astype(object).where(table[column].notna(), value)
    kind = table.pop(KIND) if KIND in table else pd.Series("bout", index=table.index)
    wrong = ~kind.isin(["bout", "scored"])
    if wrong.any():
        raise ValueError(
            f"{path}, line {_line(table, wrong)}: expected kind 'bout' or 'scored', got {kind[wrong].iloc[0]!r}"
        )
    seen = tuple(dict.fromkeys(b for b in table["behavior"].fillna("") if b))
    known = tuple(behaviors) if behaviors is not None else seen
    unknown = ~table["behavior"].isin(known) & ~((kind == "scored") & table["behavior"].isna())
    if unknown.any():
        got = table["behavior"][unknown].iloc[0]
        raise ValueError(
            f"{path}, line {_line(table, unknown)}: unknown behaviour {got!r}, expected one of {list(known)}"
        )
    bouts = table[kind == "bout"]
    scored = table[kind == "scored"]
    try:
        return Annotations(bouts=bouts, scored=scored[list(SCORED_COLUMNS)], behaviors=known)
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
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)
        table = pd.read_csv(path, sep=separator, encoding="utf-8-sig", skipinitialspace=True)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: not a csv table ({str(error).strip()})") from None
    return table.rename(columns=lambda c: str(c).strip())


def _place(table: pd.DataFrame, path: Path, edges: np.ndarray | None) -> pd.DataFrame:
    """Fill in frames from seconds, or seconds from frames."""
    has_frames = {"start_frame", "stop_frame"} <= set(table.columns)
    has_seconds = {"start", "stop"} <= set(table.columns)
    if not has_frames and not has_seconds:
        raise ValueError(
            f"{path}: expected the columns start_frame and stop_frame (or start and stop), got {list(table.columns)}"
        )
    names = ("start_frame", "stop_frame") if has_frames else ("start", "stop")
    for name in names:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = numbers.isna() | (has_frames & (numbers % 1 != 0))
        if wrong.any():
            kind = "a whole number" if has_frames else "seconds"
            raise ValueError(
                f"{path}, line {_line(table, wrong)}: expected {name} as {kind}, got {table[name][wrong].iloc[0]!r}"
            )
        table[name] = numbers.astype("int64" if has_frames else "float64")
    if not has_frames:
        if edges is None:
            raise ValueError(f"{path}: bouts in seconds need the recording's frame times to be placed")
        for seconds, frame in (("start", "start_frame"), ("stop", "stop_frame")):
            past = table[seconds] > edges[-1] + 0.5 * (edges[-1] - edges[-2])
            if past.any():
                raise ValueError(
                    f"{path}, line {_line(table, past)}: {table[seconds][past].iloc[0]:g} s is past the end of the "
                    f"recording ({edges[-1]:g} s)"
                )
            right = np.clip(np.searchsorted(edges, table[seconds]), 1, len(edges) - 1)
            nearer_left = table[seconds].to_numpy() - edges[right - 1] < edges[right] - table[seconds].to_numpy()
            table[frame] = np.where(nearer_left, right - 1, right)
    for seconds, frame in (("start", "start_frame"), ("stop", "stop_frame")):
        if seconds not in table:
            inside = edges is not None and (table[frame] < len(edges)).all() and (table[frame] >= 0).all()
            table[seconds] = edges[table[frame]] if edges is not None and inside else np.nan
    return table


def _line(table: pd.DataFrame, wrong: pd.Series) -> int:
    """Line of the file (from 1, the header is 1) of the first wrong row."""
    return int(table.index[wrong][0]) + 2
