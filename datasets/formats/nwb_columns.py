"""Columns of NWB tables: made of rows of a bout table, or of what was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..bout_rows import BOUT_COLUMNS, WHOLE_VIEW

ABOUT = {
    "start_time": "Begin [s].",
    "stop_time": "End [s].",
    "timestamp": "Time [s].",
    "label": "Behaviour.",
    "event_type": "Behaviour.",
    "behavior": "Behaviour that was looked for; empty: every one.",
    "annotator": "Who scored.",
    "subject": "Who does it; empty: anyone in view.",
    "target": "To whom it is done; empty: to nobody.",
    "start_frame": "First frame, from 0.",
    "stop_frame": "Frame after the last.",
    "frame": "Frame, from 0.",
    "interval": "Number of the scored interval of which this is a piece.",
    "modifiers": "Modifiers.",
    "comment": "Comment.",
    "from_bout": "Whether this is a bout and no statement.",
}


def table_columns(
    rows: pd.DataFrame, names: Mapping[str, str], frames: tuple[str, ...], report: Any, *, who: bool = True
) -> dict[str, Any]:
    """What pynwb builds a table of.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of a bout table.
    names : mapping of str to str
        Columns of the schema, by the column of the rows that they are.
    frames : tuple of str
        Columns of frames that are kept beside the times.
    report : MatchReport or None
        Is told which further columns cannot be kept; without it none are.
    who : bool
        Whether to keep individual, target and row number.

    Returns
    -------
    dict
        ``columns``, ``colnames`` and ``id``.
    """
    from hdmf.common import VectorData

    data: dict[str, Any] = {ours: rows[theirs] for ours, theirs in names.items()}
    if who:
        data["subject"] = rows["individual"].where(rows["individual"] != WHOLE_VIEW, "")
        data["target"] = rows["target"]
    numbers = rows[list(frames)].fillna(-1).astype("int64")
    if (numbers >= 0).any(axis=None):
        data |= {"frame" if len(frames) == 1 else column: numbers[column] for column in frames}
    for column in (str(c) for c in rows if c not in (*BOUT_COLUMNS, "labeling_method") and report is not None):
        values = rows[column]
        if pd.api.types.is_string_dtype(values) and not isinstance(values.dtype, pd.CategoricalDtype):
            if (values.fillna("") != "").any():
                data[column] = values.fillna("")
        elif isinstance(values.dtype, np.dtype) and values.dtype.kind in "fiub" and column not in data:
            if values.notna().any():
                data[column] = values
        else:
            report.lose(f"column {column!r}, neither text nor numbers without gaps")  # pyright: ignore[reportOptionalMemberAccess]
    made = []
    for name, values in data.items():
        array = values.to_numpy()
        text = pd.api.types.is_string_dtype(values) or array.dtype.kind in "OU"
        about = ABOUT.get(name, f"Column {name} of the bout table.")
        made.append(_typed(VectorData, name, about, array.tolist() if text else array))
    out: dict[str, Any] = {"columns": made, "colnames": list(data)}
    return {**out, "id": rows.index.to_numpy(np.int64)} if who else out


def _typed(plain: Any, name: str, description: str, data: Any) -> Any:
    if name != "timestamp":
        return plain(name=name, description=description, data=data)
    from pynwb.event import TimestampVectorData

    return TimestampVectorData(name=name, description=description, data=data)


def observation_intervals(scored: pd.DataFrame, bouts: pd.DataFrame, name: str) -> Any:
    """What one scorer looked at: each time once, with a list of what it is true of.

    Parameters
    ----------
    scored, bouts : pandas.DataFrame
        Rows of that scorer. Without scored intervals it is no more than the bouts themselves, marked as such: by the
        schema, no intervals would mean that everything was looked at.
    name : str
        Name of the table.

    Returns
    -------
    pynwb.epoch.TimeIntervals
    """
    from hdmf.common import VectorData, VectorIndex
    from pynwb.epoch import TimeIntervals

    rows = scored if len(scored) else bouts
    ends = ["start", "stop", "start_frame", "stop_frame"]
    frames = dict.fromkeys(ends[2:], "Int64")
    known = rows[ends].astype(frames).fillna(dict.fromkeys(frames, -1))
    pieces = known.drop_duplicates().sort_values(ends, ignore_index=True)
    place = {key: k for k, key in enumerate(pieces.itertuples(index=False, name=None))}
    holds = [[place[key]] for key in known.itertuples(index=False, name=None)]
    if len(pieces) > 1 and len(pieces[["start", "start_frame"]].drop_duplicates()) == 1:
        # all begin at once, which validators take for an error: cut from one end to the next
        pieces.loc[1:, "start"], pieces.loc[1:, "start_frame"] = pieces["stop"].shift(), pieces["stop_frame"].shift()
        holds = [list(range(one[0] + 1)) for one in holds]
    entries: list[list[int]] = [[] for _ in pieces.index]
    for row, places in enumerate(holds):
        for k in places:
            entries[k].append(row)
    flat = np.array([row for cell in entries for row in cell], dtype=np.int64)
    pieces = pieces.assign(scorer=rows["scorer"].iloc[0], from_bout=True)
    names = {"start_time": "start", "stop_time": "stop", "annotator": "scorer"}
    if not len(scored):
        names["from_bout"] = "from_bout"
    made = table_columns(pieces, names, ("start_frame", "stop_frame"), None, who=False)
    lists = {
        "subject": rows["individual"].where(rows["individual"] != WHOLE_VIEW, ""), "target": rows["target"],
        "behavior": rows["behavior"], "interval": pd.Series(rows.index).astype(str),
    }  # fmt: skip
    for column, values in lists.items():
        data = VectorData(name=column, description=ABOUT[column], data=values.to_numpy()[flat].tolist())
        index = VectorIndex(name=f"{column}_index", target=data, data=np.cumsum([len(cell) for cell in entries]))
        made["columns"] += [index, data]
        made["colnames"].append(column)
    about = "What was looked at." if len(scored) else "Nothing is known of what was looked at beside the bouts."
    return TimeIntervals(name=name, description=about, **made)
