"""Rows that know only seconds or only frames, placed on the frames of their recording.

Another tool writes times that were rounded (BORIS to a millisecond, a spreadsheet to two digits). Rounding down to the
frame that holds such a time is wrong for about a third of all frames; the nearest frame edge is right as long as the
rounding is finer than half a frame. How far times were moved is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from .annotations import Annotations
from .interval_sets import NEARLY
from .match_report import MatchReport


def edges_of(recording: Any) -> np.ndarray:
    """Frame edges of a recording.

    Parameters
    ----------
    recording : object with ``edges``, object with ``video.edges``, or array_like
        A :class:`Recording`, a video, or the edges themselves [s], one more than there are frames.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If there are less than two edges or they go backwards.

    Examples
    --------
    >>> edges_of([0, 0.5, 1]).tolist()
    [0.0, 0.5, 1.0]
    """
    video = getattr(recording, "video", recording)
    edges = np.asarray(getattr(video, "edges", video), dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) < 0).any():
        raise ValueError(f"edges: expected at least two times in order [s], got an array of shape {edges.shape}")
    return edges


def timelines(recording: Any) -> dict[str, np.ndarray]:
    """Frame edges by the name of their recording.

    Parameters
    ----------
    recording : Recording, or mapping of str to anything that :func:`edges_of` takes
        One or several.

    Returns
    -------
    dict of str to numpy.ndarray
    """
    if isinstance(recording, Mapping):
        return {str(name): edges_of(one) for name, one in recording.items()}
    name = getattr(recording, "name", None)
    if not isinstance(name, str):
        raise TypeError(
            f"expected a Recording or a mapping of names to frame edges, got {type(recording).__name__} without a name"
        )
    return {name: edges_of(recording)}


def bind_annotations(
    annotations: Annotations, recording: Any, *, outside: Literal["error", "clip"] = "error"
) -> Annotations:
    """Place rows on the frames of one or several recordings.

    Parameters
    ----------
    annotations : Annotations
        Rows in seconds, in frames, or both.
    recording : Recording, or mapping of str to Recording, video or frame edges [s]
        Whose frames. Rows that name no recording are those of the only one that is given. Rows of other recordings
        stay as they are.
    outside : {"error", "clip"}
        What to do with rows that reach past the ends of their recording: refuse them, or cut them off and say so.

    Returns
    -------
    Annotations
        Seconds went to the nearest edge and are then the time of that edge. ``report`` counts and names what was moved.

    Raises
    ------
    ValueError
        If rows name no recording while several are given, or reach past the ends and ``outside`` is "error".

    Examples
    --------
    >>> from behavior_prism.datasets import empty_table
    >>> rows = empty_table(behavior=["walk"], start=[0.033], stop=[0.1])
    >>> bound = Annotations(bouts=rows, scored=empty_table()).bind({"m1": [k / 30 for k in range(9)]})
    >>> bound.bouts[["start_frame", "stop_frame"]].values.tolist(), bound.report.matched
    ([[1, 3]], {'m1': 1})
    """
    edges = timelines(recording)
    report = replace(annotations.report) if annotations.report else MatchReport(behaviors=annotations.behaviors)
    report.lost, report.notes, report.matched = list(report.lost), list(report.notes), dict(report.matched)
    tables = [_name_recording(table, edges) for table in (annotations.bouts, annotations.scored)]
    for name in edges:
        rows = sum(int((table["recording"] == name).sum()) for table in tables)
        if rows:
            report.matched[name] = rows
    spoken = {r for table in tables for r in table["recording"]}
    report.unmatched = tuple(sorted(spoken - set(edges) - set(report.matched)))
    points = annotations.ethogram.points
    # scored intervals of a point event last
    bouts, scored = (_place(t, edges, p, report, outside) for t, p in zip(tables, (points, frozenset()), strict=True))
    placed = annotations.with_rows(bouts, scored)
    return Annotations(bouts=placed.bouts, scored=placed.scored, ethogram=annotations.ethogram, report=report)


def _name_recording(table: pd.DataFrame, edges: Mapping[str, np.ndarray]) -> pd.DataFrame:
    unnamed = table["recording"] == ""
    if not unnamed.any():
        return table
    if len(edges) != 1:
        raise ValueError(f"rows that name no recording cannot be placed, {len(edges)} recordings are given")
    return table.assign(recording=table["recording"].where(~unnamed, next(iter(edges))))


def _place(
    table: pd.DataFrame,
    edges: Mapping[str, np.ndarray],
    points: frozenset[str],
    report: MatchReport,
    policy: Literal["error", "clip"],
) -> pd.DataFrame:
    start, stop = (table[c].to_numpy(np.float64, na_value=np.nan).copy() for c in ("start", "stop"))
    first, last = (table[c].to_numpy(np.float64, na_value=np.nan).copy() for c in ("start_frame", "stop_frame"))
    recording, point = table["recording"].to_numpy(), table["behavior"].isin(points).to_numpy()
    keep = np.ones(len(table), dtype=bool)
    for name, own in edges.items():
        rows = recording == name
        count = len(own) - 1
        from_seconds = rows & np.isnan(first)
        if from_seconds.any():
            first[from_seconds], moved = _nearest(start[from_seconds], own)
            last[from_seconds], moved_too = _nearest(stop[from_seconds], own)
            report.snapped = max(report.snapped, moved, moved_too)
            # a bout shorter than half a frame was seen at one frame: the one that was shown in its middle
            short = from_seconds & ~point & (first == last) & (first >= 0) & (last <= count)
            if short.any():
                middle = np.searchsorted(own, (start[short] + stop[short]) / 2, side="right") - 1
                first[short] = np.clip(middle, 0, count - 1)
                last[short] = first[short] + 1
                report.note(f"{name}: {int(short.sum())} bouts shorter than half a frame were given one frame")
        event = rows & point
        first[event] = np.where(first[event] == count, count - 1, first[event])  # at the very end: its last frame
        last[event] = first[event]
        outside = rows & ((last < 0) | (first >= count) | (~point & (last <= 0)))
        beyond = rows & ~outside & ((first < 0) | (last > count))
        cut = outside | beyond
        if cut.any() and policy == "error":
            raise ValueError(_past_the_end(table.iloc[int(np.flatnonzero(cut)[0])], own, int(cut.sum())))
        if cut.any():
            kept = np.clip(last, 0, count) - np.clip(first, 0, count)
            report.clipped += int((last - first - kept)[cut].sum())
            report.note(f"{name}: {int(outside.sum())} rows wholly and {int(beyond.sum())} in part outside of it")
            keep &= ~outside
            first[beyond], last[beyond] = np.clip(first[beyond], 0, count), np.clip(last[beyond], 0, count)
        settled = rows & ~outside
        both = settled & ~beyond & ~from_seconds & ~np.isnan(start)
        ends = np.concatenate(
            [own[frame[both].astype(np.int64)] - t[both] for frame, t in ((first, start), (last, stop))]
        )
        far = np.abs(ends).reshape(2, -1).max(axis=0) > 1.01 * _step(own)
        if far.any():
            report.note(
                f"{name}: the seconds of {int(far.sum())} rows are not the times of their frames, by up to "
                f"{np.abs(ends).max():.3g} s; the frames count"
            )
        moved_rows = settled & (np.isnan(start) | from_seconds | beyond)
        start[moved_rows] = own[first[moved_rows].astype(np.int64)]
        stop[moved_rows] = own[last[moved_rows].astype(np.int64)]
    frames = {"start_frame": pd.Series(first).astype("Int64"), "stop_frame": pd.Series(last).astype("Int64")}
    return table.assign(**frames, start=start, stop=stop)[keep]


def _past_the_end(row: pd.Series, edges: np.ndarray, count: int) -> str:
    in_seconds = row["start_frame"] is pd.NA
    span = (
        f"{row['start']:g} s to {row['stop']:g} s"
        if in_seconds
        else f"frame {row['start_frame']} to {row['stop_frame']}"
    )
    more = f" (and {count - 1} rows more)" if count > 1 else ""
    return (
        f"{row['behavior'] or 'a scored interval'} of {row['individual'] or 'the view'}, {span}{more}, reaches outside "
        f"of the recording {row['recording']!r} ({len(edges) - 1} frames, {edges[0]:g} s to {edges[-1]:g} s)"
    )


def at_rate(annotations: Annotations, fps: float) -> Annotations:
    """Fill in frames from seconds, or seconds from frames, at a constant rate.

    Parameters
    ----------
    annotations : Annotations
        Rows; those that know both units stay as they are.
    fps : float
        Frames per second, with frame 0 shown at 0 s.

    Returns
    -------
    Annotations

    Examples
    --------
    >>> from behavior_prism.datasets import empty_table
    >>> rows = empty_table(behavior=["walk"], start_frame=[3], stop_frame=[6])
    >>> at_rate(Annotations(bouts=rows, scored=empty_table()), fps=30).bouts[["start", "stop"]].values.tolist()
    [[0.1, 0.2]]
    """
    if not np.isfinite(fps) or fps <= 0:
        raise ValueError(f"fps: expected a positive number, got {fps:g}")
    report = annotations.report
    tables = []
    for table in (annotations.bouts, annotations.scored):
        point = table["behavior"].isin(annotations.ethogram.points) & (table is annotations.bouts)
        bare = table["start_frame"].isna()
        if bare.any():
            # half-way goes up, as in `_nearest`: to even, every other bout would be two frames longer
            first, last = (np.floor(table[c] * fps + 0.5 + 1e-6) for c in ("start", "stop"))
            short = (last == first) & ~point
            first = first.where(~short, np.floor((table["start"] + table["stop"]) / 2 * fps + 1e-6))
            last = last.where(~short, first + 1)
            if (first[bare] < 0).any():
                raise ValueError(f"expected times from 0 s on, got {table['start'][bare].min():g} s")
            moved = max(float((f / fps - table[c])[bare].abs().max()) for f, c in ((first, "start"), (last, "stop")))
            if report is not None:
                report.snapped = max(report.snapped, moved)
            table = table.assign(
                start_frame=table["start_frame"].astype("Int64").where(~bare, first.fillna(0).astype("Int64")),
                stop_frame=table["stop_frame"].astype("Int64").where(~bare, last.fillna(0).astype("Int64")),
            )
        timeless = table["start"].isna()
        if timeless.any():
            seconds = {
                s: table[f].astype("float64") / fps for s, f in (("start", "start_frame"), ("stop", "stop_frame"))
            }
            table = table.assign(**{c: table[c].where(~timeless, value) for c, value in seconds.items()})
        tables.append(table)
    return Annotations(bouts=tables[0], scored=tables[1], ethogram=annotations.ethogram, report=report)


def _step(edges: np.ndarray) -> float:
    return float(np.median(np.diff(edges))) or 1.0


def _nearest(seconds: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, float]:
    """Edge nearest to each time, counted on beyond both ends at the median frame interval, and the farthest move."""
    step = _step(edges)
    right = np.clip(np.searchsorted(edges, seconds), 1, len(edges) - 1)
    nearer_left = seconds - edges[right - 1] < edges[right] - seconds - NEARLY  # half-way goes to the right
    index = np.where(nearer_left, right - 1, right).astype(np.float64)
    before, after = seconds < edges[0] - step / 2, seconds > edges[-1] + step / 2
    index[before] = np.round((seconds[before] - edges[0]) / step)
    index[after] = len(edges) - 1 + np.round((seconds[after] - edges[-1]) / step)
    inside = ~(before | after)
    moved = np.abs(seconds[inside] - edges[index[inside].astype(np.int64)])
    return index, float(moved.max(initial=0.0))
