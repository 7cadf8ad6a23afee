"""Bouts that overlap: of one kind, or of behaviours that exclude each other.

What is found is told, what is resolved is asked for. Resolving moves ends of bouts and drops what is left empty;
whether anything at all is present at a frame does not change by it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from .annotations import Annotations
from .bout_operations import merged_rows
from .bout_rows import TEXT_COLUMNS
from .interval_sets import Clock, columns_of, covered, ends_of, keys_of, reach_before, shared_unit

Keep = Literal["first", "last", "error"]
ALONE = ("recording", "individual", "scorer")


def find_overlaps(annotations: Annotations) -> pd.DataFrame:
    """Bouts that overlap an earlier one of the same individual, target, behaviour and scorer.

    Parameters
    ----------
    annotations : Annotations
        Any.

    Returns
    -------
    pandas.DataFrame
        Under the row number of the bout: its names, ``overlaps`` (row number of the bout before it that lasts
        longest), and the shared time in ``start_frame, stop_frame`` or ``start, stop``. A point event overlaps
        another at the same frame.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk"), (2, 8, "walk")], behaviors=["walk"], num_frames=9, fps=1)
    >>> find_overlaps(a)[["overlaps", "start_frame", "stop_frame"]].to_dict("index")
    {1: {'overlaps': 0, 'start_frame': 2, 'stop_frame': 3}}
    """
    bouts, unit = annotations.bouts, shared_unit(annotations.bouts)
    start, stop = ends_of(bouts, annotations.ethogram.points, unit)
    (key,), _ = keys_of([bouts], TEXT_COLUMNS)
    order, farthest, reach = reach_before(key, start, stop)
    found = (farthest >= 0) & (reach > start[order])
    row = order[found]
    first, last = columns_of(unit)
    out = bouts.loc[row, list(TEXT_COLUMNS)].assign(
        overlaps=farthest[found], **{first: start[row], last: np.minimum(reach[found], stop[row])}
    )
    return out.sort_index()


def resolve_overlaps(annotations: Annotations, policy: Literal["union"] | Keep) -> Annotations:
    """Let no two bouts of the same individual, target, behaviour and scorer overlap.

    Parameters
    ----------
    annotations : Annotations
        Any.
    policy : {"union", "first", "last", "error"}
        Join them; leave a frame to the bout that began first; to the one that ends last; or refuse.

    Returns
    -------
    Annotations
        The frames present stay the same. Bouts that touch stay two. Of point events at one frame, one is kept.

    Raises
    ------
    ValueError
        If the policy is "error" and bouts overlap.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk"), (2, 8, "walk")], behaviors=["walk"], num_frames=9, fps=1)
    >>> resolve_overlaps(a, "first").bouts[["start_frame", "stop_frame"]].values.tolist()
    [[0, 3], [3, 8]]
    """
    if policy not in ("union", "first", "last", "error"):
        raise ValueError(f"policy: expected 'union', 'first', 'last' or 'error', got {policy!r}")
    overlaps = find_overlaps(annotations)
    if not len(overlaps):
        return annotations
    if policy == "error":
        raise ValueError(_told(annotations, overlaps.index[0], overlaps["overlaps"].iloc[0], len(overlaps)))
    if policy != "union":
        return _give_way(annotations, TEXT_COLUMNS, np.ones(len(annotations.bouts), dtype=bool), policy)
    bouts = annotations.bouts
    (key,), _ = keys_of([bouts], TEXT_COLUMNS)
    start, stop = ends_of(bouts, annotations.ethogram.points, shared_unit(bouts))
    order, farthest, reach = reach_before(key, start, stop)
    one = merged_rows(bouts, order, (farthest < 0) | (reach <= start[order]), stop)
    return annotations.with_rows(one.sort_index(), annotations.scored)


def find_exclusive_conflicts(annotations: Annotations) -> pd.DataFrame:
    """Times at which an individual shows several behaviours of a group that exclude each other.

    Parameters
    ----------
    annotations : Annotations
        Any; the groups are those of ``ethogram.exclusive``.

    Returns
    -------
    pandas.DataFrame
        A row per time and group: ``recording, individual, scorer``, ``behaviors`` (a tuple of names), and
        ``start_frame, stop_frame`` or ``start, stop``. Whom a behaviour is directed at does not matter.

    Examples
    --------
    >>> from behavior_prism.datasets import Ethogram, annotations_from_intervals
    >>> names = ["walk", "rest"]
    >>> a = annotations_from_intervals([(0, 3, "walk"), (2, 8, "rest")], behaviors=names, num_frames=9, fps=1)
    >>> a = a.with_rows(a.bouts, a.scored, ethogram=Ethogram(names, exclusive=[names]))
    >>> find_exclusive_conflicts(a)[["behaviors", "start_frame", "stop_frame"]].values.tolist()
    [[('walk', 'rest'), 2, 3]]
    """
    unit = shared_unit(annotations.bouts)
    first, last = columns_of(unit)
    found = [pd.DataFrame(columns=[*ALONE, "behaviors", first, last])]
    for group in annotations.ethogram.exclusive:
        bouts = annotations.bouts[annotations.bouts["behavior"].isin(group)]
        (key,), names = keys_of([bouts], ALONE)
        start, stop = ends_of(bouts, annotations.ethogram.points, unit)
        whose = [bouts["behavior"].to_numpy() == name for name in group]
        pieces, inside = covered([(key[w], start[w], stop[w]) for w in whose])
        both = np.flatnonzero(np.sum(inside, axis=0) > 1)
        shown = np.stack(inside, axis=1)[both]
        together: Any = [tuple(n for n, here in zip(group, row, strict=True) if here) for row in shown]
        told = names.iloc[pieces[0][both]].assign(
            behaviors=together,
            **{first: pieces[1][both], last: pieces[2][both]},
        )
        found.append(told)
    return pd.concat([f for f in found if len(f)] or found[:1], ignore_index=True)


def enforce_exclusive(annotations: Annotations, policy: Keep) -> Annotations:
    """Let no individual show two behaviours at once that exclude each other.

    Parameters
    ----------
    annotations : Annotations
        Any; the groups are those of ``ethogram.exclusive``.
    policy : {"first", "last", "error"}
        Leave a frame to the bout that began first, to the one that ends last, or refuse.

    Returns
    -------
    Annotations
        Only individuals with a conflict in a group are touched. A point event that has to give way is dropped.

    Raises
    ------
    ValueError
        If the policy is "error" and there is a conflict.
    """
    if policy not in ("first", "last", "error"):
        raise ValueError(f"policy: expected 'first', 'last' or 'error', got {policy!r}")
    for group in annotations.ethogram.exclusive:
        conflicts = find_exclusive_conflicts(annotations)
        conflicts = conflicts[[set(names) <= set(group) for names in conflicts["behaviors"]]]
        if not len(conflicts):
            continue
        if policy == "error":
            row = conflicts.iloc[0]
            raise ValueError(
                f"{' and '.join(row['behaviors'])} of {row['individual'] or 'the view'} at once, {row.iloc[-2]:g} to "
                f"{row.iloc[-1]:g} of the recording {row['recording']!r} (and {len(conflicts) - 1} times more)"
            )
        (key, of_conflict), _ = keys_of([annotations.bouts, conflicts], ALONE)
        here = annotations.bouts["behavior"].isin(group).to_numpy() & np.isin(key, of_conflict)
        annotations = _give_way(annotations, ALONE, here, policy)
    return annotations


def _give_way(annotations: Annotations, columns: tuple[str, ...], where: np.ndarray, policy: Keep) -> Annotations:
    """Cut rows so that each frame belongs to one row of its key; backwards in time, the last is the first."""
    points, unit = annotations.ethogram.points, shared_unit(annotations.bouts)
    bouts = annotations.bouts[where]
    (key,), _ = keys_of([bouts], columns)
    start, stop = ends_of(bouts, points, unit)
    begin, end = (start, stop) if policy == "first" else (-stop, -start)
    order, _, reach = reach_before(key, begin, end)
    free = begin.copy()
    free[order] = np.maximum(begin[order], reach)
    moved = free > begin
    kept = (free < end) & ~(moved & bouts["behavior"].isin(points).to_numpy())
    start, stop = (free, stop) if policy == "first" else (start, -free)
    clock = Clock([annotations.bouts, annotations.scored], unit)
    cut = clock.rows(bouts[kept & moved], start[kept & moved], stop[kept & moved], points)
    rows = pd.concat([annotations.bouts[~where], bouts[kept & ~moved], cut]).sort_index()
    return annotations.with_rows(rows, annotations.scored)


def _told(annotations: Annotations, row: int, other: int, count: int) -> str:
    bouts = annotations.bouts
    first, last = columns_of(shared_unit(bouts))
    spans = " and ".join(f"{bouts[first][k]:g} to {bouts[last][k]:g}" for k in (other, row))
    unit = "frame" if first == "start_frame" else "second"
    return (
        f"{bouts['behavior'][row]} of {bouts['individual'][row] or 'the view'} overlaps itself, {unit} {spans} of the "
        f"recording {bouts['recording'][row]!r} ({count} bouts overlap)"
    )
