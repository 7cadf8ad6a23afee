"""Rows of a bout table: their columns, their types, and what makes an interval valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

BOUT_COLUMNS = (
    "recording",
    "individual",
    "target",
    "behavior",
    "scorer",
    "start_frame",
    "stop_frame",
    "start",
    "stop",
)
SCORED_COLUMNS = BOUT_COLUMNS
TEXT_COLUMNS = ("recording", "individual", "target", "behavior", "scorer")
NOTE_COLUMNS = ("source", "comment", "modifiers")  # text that a table may hold besides
FRAME_COLUMNS, SECOND_COLUMNS = ("start_frame", "stop_frame"), ("start", "stop")
WHOLE_VIEW = "view"


def empty_table(**columns: Sequence[Any] | np.ndarray) -> pd.DataFrame:
    """A table with every column of a bout and no rows, or with rows where values are given.

    Parameters
    ----------
    **columns : sequence
        Values of some columns, all of one length. Text that is not given is empty (``individual`` is the whole view),
        numbers that are not given are NA.

    Returns
    -------
    pandas.DataFrame

    Examples
    --------
    >>> empty_table(behavior=["walk"], start=[0.0], stop=[1.5])[["individual", "start_frame", "stop"]].values.tolist()
    [['view', <NA>, 1.5]]
    """
    count = max((len(values) for values in columns.values()), default=0)
    out: dict[str, Any] = {}
    for name in BOUT_COLUMNS:
        if name in FRAME_COLUMNS:
            out[name] = pd.array(columns.get(name, [pd.NA] * count), dtype="Int64")
        elif name in SECOND_COLUMNS:
            out[name] = np.asarray(columns.get(name, np.full(count, np.nan)), dtype=np.float64)
        else:
            out[name] = np.asarray(
                columns.get(name, [WHOLE_VIEW if name == "individual" else ""] * count), dtype=object
            )
    out.update({name: values for name, values in columns.items() if name not in BOUT_COLUMNS})
    return pd.DataFrame(out)


def tidy_table(table: pd.DataFrame, points: frozenset[str], what: str) -> pd.DataFrame:
    """Columns in their order and of their types, and every row a valid interval.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows; a missing ``target`` is empty, everything else of :data:`BOUT_COLUMNS` must be there.
    points : frozenset of str
        Behaviours that are point events.
    what : str
        What the table is, for error messages.

    Returns
    -------
    pandas.DataFrame
        Frames are int64, or Int64 where some are NA.

    Raises
    ------
    ValueError
        If a column is missing, or an interval is empty, reversed, negative, or has neither frames nor seconds.
    """
    missing = [c for c in BOUT_COLUMNS if c not in table.columns and c != "target"]
    if missing:
        raise ValueError(f"{what}: expected the columns {list(BOUT_COLUMNS)}, missing {missing}")
    if "target" not in table.columns:
        table = table.assign(target="")
    extra = [c for c in table.columns if c not in BOUT_COLUMNS]
    table = table[[*BOUT_COLUMNS, *extra]].reset_index(drop=True)
    for column in (*TEXT_COLUMNS, *(c for c in NOTE_COLUMNS if c in extra)):
        table[column] = table[column].fillna("").astype(str)
    for column in FRAME_COLUMNS:
        frames = table[column].astype("Int64")
        table[column] = frames if frames.isna().any() else frames.astype("int64")
    for column in SECOND_COLUMNS:
        table[column] = table[column].astype("float64")
    _check_ends(table, points, what)
    return table


def _check_ends(table: pd.DataFrame, points: frozenset[str], what: str) -> None:
    """Half-open and not empty (a point event: its stop is its start), in frames, in seconds, or in both."""
    point = table["behavior"].isin(points).to_numpy()
    in_frames = np.zeros(len(table), dtype=bool)
    for start, stop in (FRAME_COLUMNS, SECOND_COLUMNS):
        first = table[start].to_numpy(dtype=np.float64, na_value=np.nan)
        last = table[stop].to_numpy(dtype=np.float64, na_value=np.nan)
        known = ~np.isnan(first) & ~np.isnan(last)
        # where the frames are known, seconds may be equal: of a frame that is shown for no time at all
        wrong_order = np.where(in_frames, last < first, last <= first)
        wrong = known & (np.where(point, last != first, wrong_order) | np.isinf(first) | np.isinf(last))
        wrong |= np.isnan(first) != np.isnan(last)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            wanted = f"{start} = {stop} of a point event" if point[row] else f"{start} < {stop}"
            raise ValueError(
                f"{what}: expected {wanted}, got {first[row]:g} and {last[row]:g} "
                f"({table['behavior'][row] or 'scored interval'}, row {row})"
            )
        if start == "start_frame":
            in_frames = known
            if known.any() and first[known].min() < 0:
                raise ValueError(f"{what}: expected frames from 0 on, got {first[known].min():g}")
        elif not (in_frames | known).all():
            row = int(np.flatnonzero(~(in_frames | known))[0])
            raise ValueError(f"{what}: expected frames or seconds, got neither ({table['behavior'][row]!r}, row {row})")
