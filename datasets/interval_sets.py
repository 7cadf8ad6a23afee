"""Half-open intervals as arrays: joined, cut and combined for a million rows at once.

Intervals come as three arrays ``key, start, stop``; those of different keys never touch each other. Numbers are frames
or seconds alike. A point event is given one frame, so that time is a set of frames throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from .bout_rows import FRAME_COLUMNS, SECOND_COLUMNS

Unit = Literal["frames", "seconds"]
Intervals = tuple[np.ndarray, np.ndarray, np.ndarray]
NEARLY = 1e-9  # [s]: 0.8 - 0.6 is not more than 0.2


def columns_of(unit: Unit) -> tuple[str, str]:
    """The two columns of a unit.

    Parameters
    ----------
    unit : {"frames", "seconds"}
        What is counted.

    Returns
    -------
    (str, str)

    Raises
    ------
    ValueError
        If it is another word.
    """
    if unit not in ("frames", "seconds"):
        raise ValueError(f"unit: expected 'frames' or 'seconds', got {unit!r}")
    return FRAME_COLUMNS if unit == "frames" else SECOND_COLUMNS


def shared_unit(*tables: pd.DataFrame) -> Unit:
    """Frames if every row knows them, else seconds if every row knows those.

    Parameters
    ----------
    *tables : pandas.DataFrame
        Rows that are to be compared.

    Returns
    -------
    {"frames", "seconds"}

    Raises
    ------
    ValueError
        If neither.
    """
    if not any(table["start_frame"].isna().any() for table in tables):
        return "frames"
    if not any(table["start"].isna().any() for table in tables):
        return "seconds"
    raise ValueError("some rows know only frames and some only seconds; place them with annotations.bind(recording)")


def ends_of(table: pd.DataFrame, points: frozenset[str], unit: Unit) -> tuple[np.ndarray, np.ndarray]:
    """Start and stop of every row; a point event lasts one frame, or the shortest time that a number can hold.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of a bout table.
    points : frozenset of str
        Behaviours that are point events.
    unit : {"frames", "seconds"}
        Which ends.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        int64 frames or float64 seconds.

    Raises
    ------
    ValueError
        If a row does not know this unit.
    """
    first, last = columns_of(unit)
    if table[first].isna().any():
        raise ValueError(f"some rows do not know their {unit}; place them with annotations.bind(recording) first")
    kind = np.int64 if unit == "frames" else np.float64
    start, stop = table[first].to_numpy(kind), table[last].to_numpy(kind)
    point = table["behavior"].isin(points).to_numpy()
    after = start + 1 if unit == "frames" else np.nextafter(start, np.inf)
    return start, np.where(point, after, stop)


def keys_of(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> tuple[list[np.ndarray], pd.DataFrame]:
    """A number for every row that tells rows with other names in some columns apart.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        Rows that are to share numbers.
    columns : sequence of str
        Columns of text.

    Returns
    -------
    list of numpy.ndarray
        For every table the numbers of its rows.
    pandas.DataFrame
        ``columns`` by number.
    """
    names = pd.concat([table[list(columns)] for table in tables], ignore_index=True)
    number = np.zeros(len(names), dtype=np.int64)
    for column in columns:
        codes, known = pd.factorize(names[column])
        number, _ = pd.factorize(number * max(len(known), 1) + codes)
    first = np.unique(number, return_index=True)[1]
    parts = np.split(number, np.cumsum([len(table) for table in tables])[:-1])
    return parts, names.iloc[first].reset_index(drop=True)


def covered(layers: Sequence[Intervals]) -> tuple[Intervals, list[np.ndarray]]:
    """Cut time at every end of every interval, and say of each piece which layers cover it.

    Parameters
    ----------
    layers : sequence of (key, start, stop)
        Intervals in any order; those of one layer may overlap.

    Returns
    -------
    (key, start, stop)
        Pieces, in order of key and start.
    list of numpy.ndarray
        For every layer and piece, whether it is covered.
    """
    sizes = [len(layer[0]) for layer in layers]
    layer = np.tile(np.repeat(np.arange(len(layers)), sizes), 2)
    key = np.tile(np.concatenate([one[0] for one in layers]), 2)
    place = np.concatenate([one[end] for end in (1, 2) for one in layers])
    step = np.repeat([1, -1], sum(sizes))
    order = np.lexsort((place, key))
    key, place, layer, step = key[order], place[order], layer[order], step[order]
    last = np.ones(len(key), dtype=bool)
    last[:-1] = (key[1:] != key[:-1]) | (place[1:] != place[:-1])
    at = np.flatnonzero(last)
    key, place = key[at], place[at]
    piece = key[1:] == key[:-1]
    inside = [np.cumsum(np.where(layer == n, step, 0))[at][:-1][piece] > 0 for n in range(len(layers))]
    return (key[:-1][piece], place[:-1][piece], place[1:][piece]), inside


def joined(pieces: Intervals, chosen: np.ndarray) -> Intervals:
    """The pieces that are chosen, those that touch made one.

    Parameters
    ----------
    pieces : (key, start, stop)
        In order, without overlaps.
    chosen : numpy.ndarray
        Which of them.

    Returns
    -------
    (key, start, stop)
    """
    key, start, stop = (part[chosen] for part in pieces)
    new = np.ones(len(key), dtype=bool)
    new[1:] = (key[1:] != key[:-1]) | (start[1:] != stop[:-1])
    return key[new], start[new], stop[np.append(new[1:], True)] if len(key) else stop


def reach_before(key: np.ndarray, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every interval, which one before it reaches farthest.

    Parameters
    ----------
    key, start, stop : numpy.ndarray
        Intervals in any order; "before" means an earlier start, or an earlier row.

    Returns
    -------
    order : numpy.ndarray
        Rows in order of key and start.
    farthest : numpy.ndarray
        In that order: the row before it whose stop is the latest, -1 for the first of a key.
    reach : numpy.ndarray
        In that order: its stop; of the first of a key, its own start.
    """
    order = np.lexsort((start, key))
    stops, same = stop[order], np.zeros(len(key), dtype=bool)
    same[1:] = key[order][1:] == key[order][:-1]
    running = pd.Series(stops).groupby(key[order]).cummax().to_numpy()
    record = ~same
    record[1:] |= running[1:] != running[:-1]
    holder = np.maximum.accumulate(np.where(record, np.arange(len(key)), 0)) if len(key) else np.zeros(0, np.int64)
    farthest = np.full(len(key), -1)
    farthest[1:] = np.where(same[1:], order[holder[:-1]], -1)
    reach = start[order]
    reach[1:] = np.where(same[1:], running[:-1], reach[1:])
    return order, farthest, reach


class Clock:
    """The time of frames, and the frame of times, as far as some rows know both.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        Rows whose ends are known; an end that is cut at the end of another row is thereby known in both units.
    unit : {"frames", "seconds"}
        What will be asked for.
    """

    def __init__(self, tables: Sequence[pd.DataFrame], unit: Unit) -> None:
        self.own, self.other = columns_of(unit), columns_of("seconds" if unit == "frames" else "frames")
        ends = [
            table[["recording", own, other]].set_axis(["recording", "own", "other"], axis=1)
            for table in tables
            for own, other in zip(self.own, self.other, strict=True)
        ]
        known = pd.concat(ends, ignore_index=True).dropna().astype({"other": "float64"})
        self.known = known.drop_duplicates(["recording", "own"])

    def rows(self, table: pd.DataFrame, start: np.ndarray, stop: np.ndarray, points: frozenset[str]) -> pd.DataFrame:
        """Rows with these ends; the other unit is NA where nothing tells it.

        Parameters
        ----------
        table : pandas.DataFrame
            Names of the rows.
        start, stop : numpy.ndarray
            Their ends.
        points : frozenset of str
            Behaviours whose stop is their start.

        Returns
        -------
        pandas.DataFrame
        """
        stop = np.where(table["behavior"].isin(points), start, stop)
        other = [self._ask(table["recording"], end) for end in (start, stop)]
        unknown = np.isnan(other[0]) | np.isnan(other[1])
        out = table.assign(**dict(zip(self.own, (start, stop), strict=True)))
        out = out.assign(**{c: np.where(unknown, np.nan, v) for c, v in zip(self.other, other, strict=True)})
        return out.astype(dict.fromkeys(FRAME_COLUMNS, "Int64") | dict.fromkeys(SECOND_COLUMNS, "float64"))

    def _ask(self, recording: pd.Series, place: np.ndarray) -> np.ndarray:
        asked = pd.DataFrame({"recording": recording.to_numpy(), "own": place})
        asked["own"] = asked["own"].astype(self.known["own"].dtype)
        return asked.merge(self.known, on=["recording", "own"], how="left")["other"].to_numpy(np.float64)
