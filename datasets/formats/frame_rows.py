"""Rows in frames: tables of them, spans joined and cut, and numbers for individuals of tools that only count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..annotations import Annotations, runs
from ..bout_rows import WHOLE_VIEW, empty_table

Span = tuple[int, int]
LAST_FRAME = 10**9  # a year at 30 frames per second; a number above is no frame


def frame_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A bout table of rows that are given as dictionaries.

    Parameters
    ----------
    rows : sequence of dict
        Columns by name; a text that is missing is empty, a missing individual is the whole view.

    Returns
    -------
    pandas.DataFrame
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    missing = {"individual": WHOLE_VIEW, "score": np.nan, "important": True}
    return empty_table(**{name: [row.get(name, missing.get(name, "")) for row in rows] for name in names})


def mask_rows(mask: np.ndarray, **names: Any) -> list[dict[str, Any]]:
    """One row for every run of true frames.

    Parameters
    ----------
    mask : numpy.ndarray
        Boolean, shape (frames,).
    **names
        Further columns, the same in every row.

    Returns
    -------
    list of dict
    """
    return [{**names, "start_frame": a, "stop_frame": b} for a, b in runs(mask)]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Half-open spans in order, those that overlap or touch made one.

    Parameters
    ----------
    spans : iterable of (int, int)
        In any order.

    Returns
    -------
    list of (int, int)

    Examples
    --------
    >>> merged([(4, 6), (0, 2), (2, 3)])
    [(0, 3), (4, 6)]
    """
    out: list[Span] = []
    for start, stop in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return out


def minus(spans: Iterable[Span], cuts: Iterable[Span]) -> list[Span]:
    """What is left of spans outside of others.

    Parameters
    ----------
    spans, cuts : iterable of (int, int)
        Half-open, in any order.

    Returns
    -------
    list of (int, int)

    Examples
    --------
    >>> minus([(0, 9)], [(2, 3), (8, 12)])
    [(0, 2), (3, 8)]
    """
    out: list[Span] = []
    holes = merged(cuts)
    first = 0
    for start, stop in merged(spans):
        while first < len(holes) and holes[first][1] <= start:
            first += 1
        k = first
        while k < len(holes) and holes[k][0] < stop:
            if holes[k][0] > start:
                out.append((start, holes[k][0]))
            start = max(start, holes[k][1])
            k += 1
        if start < stop:
            out.append((start, stop))
    return out


def spans_of(table: pd.DataFrame) -> list[Span]:
    """Frames of rows; a point event is given the one frame at which it happens.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows that know their frames.

    Returns
    -------
    list of (int, int)
    """
    pairs = zip(table["start_frame"].tolist(), table["stop_frame"].tolist(), strict=True)
    return [(int(a), max(int(b), int(a) + 1)) for a, b in pairs]


def with_holes(
    bouts: list[dict[str, Any]], scored: list[dict[str, Any]], unscored: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Take behaviours that mean "not looked at" out of the bouts, and their frames out of the scored intervals.

    Parameters
    ----------
    bouts, scored : list of dict
        Rows in frames.
    unscored : sequence of str
        Such behaviours.

    Returns
    -------
    (list of dict, list of dict)
        What is left of both.
    """
    if not unscored:
        return bouts, scored
    whose = ("recording", "individual", "target", "scorer")
    holes: dict[tuple[Any, ...], list[Span]] = {}
    for row in bouts:
        if row["behavior"] in unscored:
            key = tuple(row.get(c, "") for c in whose)
            holes.setdefault(key, []).append((row["start_frame"], row["stop_frame"]))
    left = []
    for row in scored:
        cuts = holes.get(tuple(row.get(c, "") for c in whose), [])
        if row.get("behavior", "") not in unscored:
            spans = minus([(row["start_frame"], row["stop_frame"])], cuts)
            left += [{**row, "start_frame": a, "stop_frame": b} for a, b in spans]
    return [row for row in bouts if row["behavior"] not in unscored], left


def numbered(annotations: Annotations, first: int) -> dict[str, int]:
    """A number for every individual: its name where that is one, else the next that is free.

    Parameters
    ----------
    annotations : Annotations
        Any.
    first : int
        The smallest number.

    Returns
    -------
    dict of str to int

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals as make
    >>> numbered(make([], behaviors=["walk"], num_frames=9, fps=3), 1)
    {'view': 1}
    """
    names = annotations.individuals
    own = {n: int(n) for n in names if n.isascii() and n.isdigit() and str(int(n)) == n and first <= int(n) < 10**6}
    free = (k for k in range(first, first + 2 * len(names) + 1) if k not in set(own.values()))
    return {n: own[n] if n in own else next(free) for n in names}


def frame_number(value: Any, what: str) -> int:
    """A whole number that can be one of a frame.

    Parameters
    ----------
    value : object
        A number of a file.
    what : str
        Where it stands, for the message.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is none.
    """
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))
    if not number or not 0 <= value <= LAST_FRAME or value != int(value):  # not so for NaN
        raise ValueError(f"{what}: expected the number of a frame, got {str(value)[:40]!r}")
    return int(value)
