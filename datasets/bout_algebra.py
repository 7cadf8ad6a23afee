"""Two sets of labels as one, by the rules of three states: present, absent, and not known.

A result is present, absent or not scored exactly as logic has it: whoever saw it makes "either" true, and "both" is
false as soon as one of them looked and saw nothing. What was not looked at stays unknown unless the other side settles
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from .annotations import Annotations, spelled_out
from .binding import timelines
from .bout_rows import TEXT_COLUMNS, empty_table
from .interval_sets import Clock, Intervals, columns_of, covered, ends_of, joined, keys_of, shared_unit

Rule = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def union(one: Annotations, other: Annotations, *, scorer: str | None = None) -> Annotations:
    """What is present in either.

    Parameters
    ----------
    one, other : Annotations
        Rows are matched by recording, individual, target, behaviour and scorer.
    scorer : str, optional
        Match whoever scored, and call the result by this name.

    Returns
    -------
    Annotations
        Present where one of them is, absent where both are, else not scored. Bouts are as long as can be: those that
        touch are one, and notes on them are gone.

    Raises
    ------
    ValueError
        If rows know only frames and others only seconds, or point events only seconds.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk")], behaviors=["walk"], num_frames=9, fps=1, scorer="ann")
    >>> b = annotations_from_intervals([(2, 5, "walk")], behaviors=["walk"], num_frames=9, fps=1, scorer="bob")
    >>> union(a, b, scorer="either").bouts[["start_frame", "stop_frame"]].values.tolist()
    [[0, 5]]
    """
    return _combined(one, other, lambda p, a, q, b: (p | q, a & b), scorer)


def intersection(one: Annotations, other: Annotations, *, scorer: str | None = None) -> Annotations:
    """What is present in both.

    Parameters
    ----------
    one, other, scorer
        As in :func:`union`.

    Returns
    -------
    Annotations
        Present where both are, absent where one of them is, else not scored.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk")], behaviors=["walk"], num_frames=9, fps=1, scorer="ann")
    >>> b = annotations_from_intervals([(2, 5, "walk")], behaviors=["walk"], num_frames=9, fps=1, scorer="bob")
    >>> intersection(a, b, scorer="both").bouts[["start_frame", "stop_frame"]].values.tolist()
    [[2, 3]]
    """
    return _combined(one, other, lambda p, a, q, b: (p & q, a | b), scorer)


def difference(one: Annotations, other: Annotations, *, scorer: str | None = None) -> Annotations:
    """What is present in one and absent in the other.

    Parameters
    ----------
    one, other, scorer
        As in :func:`union`.

    Returns
    -------
    Annotations
        Present where ``one`` is and ``other`` is known to be absent; absent where ``one`` is absent or ``other``
        present; else not scored.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk")], behaviors=["walk"], num_frames=9, fps=1, scorer="ann")
    >>> b = annotations_from_intervals([(2, 5, "walk")], behaviors=["walk"], num_frames=9, fps=1, scorer="bob")
    >>> difference(a, b, scorer="ann only").bouts[["start_frame", "stop_frame"]].values.tolist()
    [[0, 2]]
    """
    return _combined(one, other, lambda p, a, q, b: (p & b, a | q), scorer)


def find_gaps(annotations: Annotations) -> pd.DataFrame:
    """Time between one bout and the next of the same individual, target, behaviour and scorer.

    Parameters
    ----------
    annotations : Annotations
        Any; point events do not count.

    Returns
    -------
    pandas.DataFrame
        A bout table; where a gap is short, ``merge_bouts`` may be meant.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk"), (5, 8, "walk")], behaviors=["walk"], num_frames=9, fps=1)
    >>> find_gaps(a)[["behavior", "start_frame", "stop_frame"]].values.tolist()
    [['walk', 3, 5]]
    """
    bouts = annotations.bouts[~annotations.bouts["behavior"].isin(annotations.ethogram.points)]
    unit = shared_unit(bouts)
    (key,), names = keys_of([bouts], TEXT_COLUMNS)
    start, stop = ends_of(bouts, frozenset(), unit)
    pieces, (inside,) = covered([(key, start, stop)])
    return _rows(names, joined(pieces, ~inside), Clock([bouts], unit), frozenset())


def find_unscored(annotations: Annotations, recording: Any) -> pd.DataFrame:
    """Where a recording was not scored.

    Parameters
    ----------
    annotations : Annotations
        Rows in frames.
    recording : Recording, or mapping of str to Recording, video or frame edges [s]
        How long the recordings are. Rows of others are left out.

    Returns
    -------
    pandas.DataFrame
        A bout table: what was not scored of every individual, target and scorer that occur, behaviour by behaviour.
        A bout outside of the scored intervals counts as scored.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([], behaviors=["walk"], num_frames=9, fps=1, recording="m1")
    >>> find_unscored(a, {"m1": range(13)})[["behavior", "start_frame", "stop_frame", "stop"]].values.tolist()
    [['walk', 9, 12, 12.0]]
    """
    edges = timelines(recording)
    full = spelled_out(annotations.select(recording=list(edges)))
    if not full.in_frames:
        raise ValueError("some rows know only seconds; place them with annotations.bind(recording) first")
    who = pd.concat([full.bouts, full.scored])[["recording", "individual", "target", "scorer"]].drop_duplicates()
    whole = who.merge(pd.DataFrame({"behavior": list(full.behaviors)}), how="cross")
    (seen, scored, key), names = keys_of([full.bouts, full.scored, whole], TEXT_COLUMNS)
    ends = whole["recording"].map({name: len(one) - 1 for name, one in edges.items()}).to_numpy(np.int64)
    layers = [
        (key, np.zeros(len(whole), dtype=np.int64), ends),
        (seen, *ends_of(full.bouts, full.ethogram.points, "frames")),
        (scored, *ends_of(full.scored, frozenset(), "frames")),
    ]
    pieces, (inside, *known) = covered(layers)
    out = _rows(
        names, joined(pieces, inside & ~known[0] & ~known[1]), Clock([full.bouts, full.scored], "frames"), frozenset()
    )
    for name, own in edges.items():
        rows = out["recording"] == name
        for frame, second in (("start_frame", "start"), ("stop_frame", "stop")):
            out.loc[rows, second] = own[out.loc[rows, frame].to_numpy(np.int64)]
    return out


def _combined(one: Annotations, other: Annotations, rule: Rule, scorer: str | None) -> Annotations:
    ethogram = one.ethogram.merged_with(other.ethogram)
    if mixed := sorted(n for n in one.behaviors if n in other.ethogram and other.ethogram[n].kind != ethogram[n].kind):
        raise ValueError(f"{mixed[0]!r} is a state on one side and a point event on the other")
    sides = [spelled_out(side) for side in (one, other)]
    tables = [table for side in sides for table in (side.bouts, side.scored)]
    if scorer is not None:
        tables = [table.assign(scorer=scorer) for table in tables]
    unit = shared_unit(*tables)
    if unit == "seconds" and ethogram.points & (set(tables[0]["behavior"]) | set(tables[2]["behavior"])):
        raise ValueError("point events that know only seconds cannot be compared; place them with bind")
    keys, names = keys_of(tables, TEXT_COLUMNS)
    layers: list[Intervals] = [
        (key, *ends_of(table, ethogram.points if n % 2 == 0 else frozenset(), unit))
        for n, (key, table) in enumerate(zip(keys, tables, strict=True))
    ]
    pieces, (here, looked, there, looked_too) = covered(layers)
    present, absent = rule(here, looked & ~here, there, looked_too & ~there)
    clock = Clock(tables, unit)
    point = names["behavior"].isin(ethogram.points).to_numpy()
    of_point = point[pieces[0]]
    states = joined(pieces, present & ~of_point)
    events = _frame_by_frame(joined(pieces, present & of_point))
    found: Intervals = tuple(np.concatenate(both) for both in zip(states, events, strict=True))  # type: ignore[assignment]
    scored = _rows(names, joined(pieces, present | absent), clock, frozenset())
    return Annotations(
        bouts=_rows(names, found, clock, ethogram.points), scored=_every(scored, len(ethogram)), ethogram=ethogram
    )


def _frame_by_frame(runs: Intervals) -> Intervals:
    """Point events at successive frames are several."""
    key, start, stop = runs
    length = (stop - start).astype(np.int64)
    into = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    frame = np.repeat(start, length) + into.astype(start.dtype)
    return np.repeat(key, length), frame, frame + 1


def _rows(names: pd.DataFrame, found: Intervals, clock: Clock, points: frozenset[str]) -> pd.DataFrame:
    key, start, stop = found
    table = names.iloc[key].reset_index(drop=True)
    if not len(table):
        return empty_table()
    rows = clock.rows(table, start, stop, points)
    first = columns_of("frames" if clock.own[0] == "start_frame" else "seconds")[0]
    return rows.sort_values(["recording", first], kind="stable", ignore_index=True)[list(empty_table().columns)]


def _every(scored: pd.DataFrame, behaviors: int) -> pd.DataFrame:
    """Intervals that all behaviours share, as one row that names none."""
    ends = ["recording", "individual", "target", "scorer", "start_frame", "stop_frame", "start", "stop"]
    if behaviors < 2 or not len(scored):
        return scored
    shared = scored.groupby(ends, dropna=False)["behavior"].transform("size") == behaviors
    one = scored[shared].drop_duplicates(ends).assign(behavior="")
    return pd.concat([one, scored[~shared]]).sort_index(ignore_index=True)
