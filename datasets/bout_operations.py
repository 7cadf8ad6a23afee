"""Operations on bouts, each of them explicit: nothing is merged, cut or dropped elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .annotations import Annotations
from .bout_rows import FRAME_COLUMNS, NOTE_COLUMNS, SECOND_COLUMNS, TEXT_COLUMNS, WHOLE_VIEW, empty_table
from .interval_sets import NEARLY, Clock, Unit, covered, ends_of, joined, keys_of, reach_before, shared_unit

WHO = ("recording", "individual", "target", "scorer")


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
        With one scored interval per individual, target and scorer.
    """
    triples = sorted(set(annotations.bouts[["individual", "target", "scorer"]].itertuples(index=False, name=None))) or [
        (WHOLE_VIEW, "", "")
    ]
    individuals, targets, scorers = (list(names) for names in zip(*triples, strict=True))
    count = len(triples)
    scored = empty_table(
        recording=[recording] * count,
        individual=individuals,
        target=targets,
        scorer=scorers,
        start_frame=[0] * count,
        stop_frame=[len(edges) - 1] * count,
        start=[float(edges[0])] * count,
        stop=[float(edges[-1])] * count,
    )
    return annotations.with_rows(annotations.bouts, scored)


def merge_bouts(annotations: Annotations, max_gap: float = 0, *, unit: Unit = "frames") -> Annotations:
    """Join bouts of the same individual, target, behaviour and scorer that lie close together.

    Parameters
    ----------
    annotations : Annotations
        Any.
    max_gap : float
        Longest gap that is closed; 0 joins bouts that touch or overlap. The frames of a gap become present.
    unit : {"frames", "seconds"}
        What ``max_gap`` counts.

    Returns
    -------
    Annotations
        A joined bout takes the place of the first of its parts, and what is noted of any of them (``comment``,
        ``modifiers``, ``source``), joined by semicolons. Point events and scored intervals stay as they are.

    Raises
    ------
    ValueError
        If the gap is negative or rows do not know the unit.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk"), (5, 8, "walk")], behaviors=["walk"], num_frames=9, fps=1)
    >>> merge_bouts(a, max_gap=2).bouts[["start_frame", "stop_frame"]].values.tolist()
    [[0, 8]]
    """
    if not max_gap >= 0:
        raise ValueError(f"max_gap: expected 0 or more {unit}, got {max_gap}")
    states, events = _by_kind(annotations)
    start, stop = ends_of(states, frozenset(), unit)
    (key,), _ = keys_of([states], TEXT_COLUMNS)
    order, farthest, reach = reach_before(key, start, stop)
    slack = NEARLY if unit == "seconds" else 0
    new = (farthest < 0) | (start[order] - reach > max_gap + slack)
    bouts = pd.concat([merged_rows(states, order, new, stop), events])
    return annotations.with_rows(bouts.sort_index(), annotations.scored)


def merged_rows(bouts: pd.DataFrame, order: np.ndarray, new: np.ndarray, stop: np.ndarray) -> pd.DataFrame:
    """Every cluster of rows as one, under the row number of its first.

    Parameters
    ----------
    bouts : pandas.DataFrame
        Rows.
    order : numpy.ndarray
        Their positions, cluster by cluster, each by its start.
    new : numpy.ndarray
        In that order, whether a cluster begins.
    stop : numpy.ndarray
        Stop of every row, by which the latest of a cluster is found.

    Returns
    -------
    pandas.DataFrame
    """
    first = order[new]
    out = bouts.iloc[first].copy()
    if len(out) == len(bouts):
        return out
    cluster = np.empty(len(bouts), dtype=np.int64)
    cluster[order] = np.cumsum(new) - 1
    latest = pd.Series(stop).groupby(cluster).idxmax().to_numpy()
    for begin, end in (FRAME_COLUMNS, SECOND_COLUMNS):
        last = bouts[end].array[latest]
        unknown = out[begin].isna().to_numpy() | pd.isna(last)
        out[end] = last
        out[begin], out[end] = out[begin].mask(unknown), out[end].mask(unknown)
    for column in (c for c in NOTE_COLUMNS if c in bouts):
        texts = bouts[column].to_numpy()[order]
        if (texts != "").any():
            parts = np.split(texts, np.flatnonzero(new)[1:])
            out[column] = ["; ".join(dict.fromkeys(t for t in part if t)) for part in parts]
    return out


def drop_short(annotations: Annotations, min_duration: float, *, unit: Unit = "frames") -> Annotations:
    """Drop bouts that are shorter than a duration; their frames become absent where they were scored.

    Parameters
    ----------
    annotations : Annotations
        Any.
    min_duration : float
        Shortest duration that is kept.
    unit : {"frames", "seconds"}
        What it counts.

    Returns
    -------
    Annotations
        Point events and scored intervals stay as they are.

    Raises
    ------
    ValueError
        If the duration is negative or rows do not know the unit.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk"), (5, 8, "walk")], behaviors=["walk"], num_frames=9, fps=10)
    >>> len(drop_short(a, 0.3, unit="seconds").bouts), len(drop_short(a, 4).bouts)
    (2, 0)
    """
    if not min_duration >= 0:
        raise ValueError(f"min_duration: expected 0 or more {unit}, got {min_duration}")
    states, events = _by_kind(annotations)
    start, stop = ends_of(states, frozenset(), unit)
    long = stop - start >= min_duration - (NEARLY if unit == "seconds" else 0)
    kept = annotations.bouts.index.isin(states.index[long]) | annotations.bouts.index.isin(events.index)
    return annotations.with_rows(annotations.bouts[kept], annotations.scored)


def clip_to(annotations: Annotations, start: float, stop: float, *, unit: Unit = "frames") -> Annotations:
    """Keep what lies within ``[start, stop)``, and cut what reaches out of it.

    Parameters
    ----------
    annotations : Annotations
        Rows of one or several recordings; all are cut at the same place.
    start, stop : float
        First and last edge.
    unit : {"frames", "seconds"}
        What they count.

    Returns
    -------
    Annotations
        What lies outside is not scored. A row that was cut at an edge which no row names knows only ``unit``:
        ``bind`` places it.

    Raises
    ------
    ValueError
        If the interval is empty or rows do not know the unit.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "walk"), (5, 8, "walk")], behaviors=["walk"], num_frames=9, fps=1)
    >>> clip_to(a, 2, 5).bouts[["start_frame", "stop_frame"]].values.tolist()
    [[2, 3]]
    """
    if not start < stop or (unit == "frames" and (start % 1 or stop % 1)):
        raise ValueError(f"expected start < stop in {unit}, got {start} and {stop}")
    points = annotations.ethogram.points
    clock = Clock([annotations.bouts, annotations.scored], unit)
    parts = []
    for table, events in ((annotations.bouts, points), (annotations.scored, frozenset())):
        first, last = ends_of(table, events, unit)
        touched, cut = (last > start) & (first < stop), (first < start) | (last > stop)
        if events and unit == "seconds":  # an event at a time, not in a frame
            touched &= ~table["behavior"].isin(events).to_numpy() | (first >= start)
        within, ends = table[touched & ~cut], (touched & cut)
        halves = clock.rows(table[ends], np.maximum(first, start)[ends], np.minimum(last, stop)[ends], events)
        parts.append(pd.concat([within, halves]).sort_index() if ends.any() else within)
    return annotations.with_rows(*parts)


def as_unscored(annotations: Annotations, behaviors: Sequence[str]) -> Annotations:
    """Take some behaviours to mean "not looked at", as ``background`` does in some files.

    Parameters
    ----------
    annotations : Annotations
        Any.
    behaviors : sequence of str
        Such behaviours; those that are unknown do nothing.

    Returns
    -------
    Annotations
        Without these behaviours; their time is cut out of the scored intervals of the same individual, target and
        scorer.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 3, "none")], behaviors=["walk", "none"], num_frames=9, fps=1)
    >>> as_unscored(a, ["none"]).scored[["start_frame", "stop_frame"]].values.tolist()
    [[3, 9]]
    """
    dropped = [b for b in behaviors if b in annotations.ethogram]
    if not dropped:
        return annotations
    bouts, scored = annotations.bouts, annotations.scored[~annotations.scored["behavior"].isin(dropped)]
    holes = bouts[bouts["behavior"].isin(dropped)]
    left = annotations.ethogram.only(b for b in annotations.behaviors if b not in dropped)
    if len(holes) and len(scored):
        unit = shared_unit(bouts, scored)
        (of_hole, of_scored), _ = keys_of([holes, scored], WHO)
        met = np.isin(of_scored, of_hole)
        table = scored[met]
        (claim,), _ = keys_of([table], (*WHO, "behavior"))
        first, last = ends_of(table, frozenset(), unit)
        begin, end = ends_of(holes, annotations.ethogram.points, unit)
        # a hole goes through every claim of its individual, be it of one behaviour or of all
        claims = pd.DataFrame({"who": of_scored[met], "claim": claim}).drop_duplicates()
        pairs = pd.DataFrame({"who": of_hole, "hole": np.arange(len(holes))}).merge(claims, on="who")
        hole = pairs["hole"].to_numpy()
        pieces, (inside, cut) = covered([(claim, first, last), (pairs["claim"].to_numpy(), begin[hole], end[hole])])
        key, first, last = joined(pieces, inside & ~cut)
        sample = np.unique(claim, return_index=True)[1]
        rest = Clock([bouts, scored], unit).rows(table.iloc[sample[key]], first, last, frozenset())
        scored = pd.concat([rest, scored[~met]]).sort_index(kind="stable")
    return annotations.with_rows(bouts[~bouts["behavior"].isin(dropped)], scored, ethogram=left)


def _by_kind(annotations: Annotations) -> tuple[pd.DataFrame, pd.DataFrame]:
    """States and point events, each under the row numbers of the whole."""
    point = annotations.bouts["behavior"].isin(annotations.ethogram.points)
    return annotations.bouts[~point], annotations.bouts[point]
