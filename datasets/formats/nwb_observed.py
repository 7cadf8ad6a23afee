"""What was looked at, as NWB files say it; and who and which frames a row speaks of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..bout_rows import WHOLE_VIEW, empty_table
from .nwb_tables import NwbTable

LISTS = ("subject", "target", "behavior", "interval")
SUBJECTS = ("subject", "individual", "animal", "subject_id")


def observed(table: NwbTable, rows: pd.DataFrame, scorer: str) -> pd.DataFrame:
    """Scored intervals of a table of what was looked at.

    Parameters
    ----------
    table : NwbTable
        A ``TimeIntervals``.
    rows : pandas.DataFrame
        Bouts that go with it: of whom it speaks where it does not say so.
    scorer : str
        Who scored, where it does not say so.

    Returns
    -------
    pandas.DataFrame
        A bout table, with the column ``row`` where the file says how rows were ordered.
    """
    start, stop = table.times("start_time"), table.times("stop_time")
    count = len(start)
    if len(stop) != count:
        raise ValueError(f"{table.what}: expected columns of one length")
    frames = frames_of(table, count, "start_frame", "stop_frame")
    check_order(table, start, stop, frames)
    if not set(LISTS) <= set(table.items):
        return everyone(rows, scorer, start, stop)
    if "from_bout" in table and table.numbers("from_bout").any():
        return empty_table()
    lists = {name: table.lists(name) for name in LISTS}
    if any([len(cell) for cell in one] != [len(cell) for cell in lists["interval"]] for one in lists.values()):
        raise ValueError(f"{table.what}: expected as many subjects, targets, behaviours and intervals in each row")
    if len(lists["interval"]) != count:
        raise ValueError(f"{table.what}: expected columns of one length")
    piece = np.repeat(np.arange(count), [len(cell) for cell in lists["interval"]])
    flat = {name: [word for cell in one for word in cell] for name, one in lists.items()}
    if not all(word.isascii() and word.isdigit() and len(word) < 16 for word in flat["interval"]):
        raise ValueError(f"{table.what}/interval: expected whole numbers")
    ends = pd.DataFrame({"start": start, "stop": stop, **frames})
    pieces = ends.iloc[piece].reset_index(drop=True).assign(
        behavior=flat["behavior"], individual=[name or WHOLE_VIEW for name in flat["subject"]],
        target=flat["target"], scorer=table.texts("annotator", count)[0] if count else "", row=flat["interval"],
    )  # fmt: skip
    pieces = pieces.astype({"row": "int64"})
    first = pieces.drop_duplicates("row")
    last = pieces.drop_duplicates("row", keep="last").set_index("row").loc[first["row"]].reset_index()
    out = {name: first[name].array for name in ("individual", "target", "behavior", "scorer", "start")}
    out |= {"stop": last["stop"].array}
    if "start_frame" in pieces:
        known = first["start_frame"].notna().to_numpy() & last["stop_frame"].notna().to_numpy()
        out["start_frame"] = first["start_frame"].reset_index(drop=True).where(known)
        out["stop_frame"] = last["stop_frame"].where(known)
    return empty_table(**out, row=first["row"].array)


def everyone(rows: pd.DataFrame, scorer: str, start: np.ndarray, stop: np.ndarray) -> pd.DataFrame:
    """Intervals that do not say of whom they speak: of everyone who has a bout in the table.

    Parameters
    ----------
    rows : pandas.DataFrame
        These bouts.
    scorer : str
        Who scored.
    start, stop : numpy.ndarray
        Times [s].

    Returns
    -------
    pandas.DataFrame
        A bout table.
    """
    count = len(start)
    pairs = list(dict.fromkeys(zip(rows["individual"], rows["target"], strict=True))) or [(WHOLE_VIEW, "")]
    parts = [
        empty_table(start=start, stop=stop, individual=[i] * count, target=[t] * count, scorer=[scorer] * count)
        for i, t in pairs
    ]
    return pd.concat(parts, ignore_index=True)


def check_order(table: NwbTable, start: np.ndarray, stop: np.ndarray, frames: dict[str, Any]) -> None:
    """Refuse bouts without duration, but for a frame that is shown for no time at all.

    Parameters
    ----------
    table : NwbTable
        For messages.
    start, stop : numpy.ndarray
        Times [s].
    frames : dict
        As of :func:`frames_of`.

    Raises
    ------
    ValueError
        If a row ends before it starts.
    """
    timeless = frames["start_frame"].isna() if frames else True
    wrong = np.asarray((stop < start) | ((stop == start) & timeless), dtype=bool)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{table.what}, row {row}: expected start_time < stop_time, got {start[row]:g} and {stop[row]:g}"
        )


def whose(table: NwbTable, count: int) -> dict[str, list[str]]:
    """Individual and target of every row.

    Parameters
    ----------
    table : NwbTable
        Any.
    count : int
        Its rows.

    Returns
    -------
    dict
        ``individual`` and ``target``.
    """
    subject = next((name for name in SUBJECTS if name in table.columns), "subject")
    names = [name.strip() or WHOLE_VIEW for name in table.texts(subject, count)]
    return {"individual": names, "target": table.texts("target", count)}


def frames_of(table: NwbTable, count: int, first: str, last: str) -> dict[str, Any]:
    """Frames that we wrote beside the times; -1 where they are not known.

    Parameters
    ----------
    table : NwbTable
        Any.
    count : int
        Its rows.
    first, last : str
        Names of the columns.

    Returns
    -------
    dict
        ``start_frame`` and ``stop_frame``, or nothing.
    """
    if first not in table.columns or last not in table.columns:
        return {}
    ends = [table.numbers(name) for name in (first, last)]
    if any(len(e) != count or e.dtype.kind not in "iu" for e in ends):
        return {}
    unknown = (ends[0] < 0) | (ends[1] < 0)
    values = [pd.Series(e, dtype="Int64").mask(unknown) for e in ends]
    return {"start_frame": values[0], "stop_frame": values[1]}
