"""Sets of half-open intervals whose edges are known in frames, in seconds, or in both.

An interval is ``(low, high, low_seconds, high_seconds)``. Where frames are known, they decide, and the seconds of an
edge go along; else ``low`` and ``high`` are seconds and the other two None. Lists are sorted and do not touch.
"""

from __future__ import annotations

from collections.abc import Iterable

Interval = tuple[float, float, float | None, float | None]


def with_interval(intervals: list[Interval], new: Interval) -> list[Interval]:
    """The union of a set and one interval.

    Parameters
    ----------
    intervals : list of Interval
        A set.
    new : Interval
        What comes to it.

    Returns
    -------
    list of Interval

    Examples
    --------
    >>> with_interval([(0, 2, None, None), (8, 9, None, None)], (2, 5, None, None))
    [(0, 5, None, None), (8, 9, None, None)]
    """
    low, high, low_seconds, high_seconds = new
    out = []
    for old in intervals:
        if old[1] < low or high < old[0]:
            out.append(old)
            continue
        # an edge that both have keeps the seconds that are known
        if old[0] < low or (old[0] == low and low_seconds is None):
            low, low_seconds = old[0], old[2]
        if old[1] > high or (old[1] == high and high_seconds is None):
            high, high_seconds = old[1], old[3]
    return sorted([*out, (low, high, low_seconds, high_seconds)], key=lambda i: i[0])


def without_interval(intervals: list[Interval], gone: Interval) -> list[Interval]:
    """A set without what lies in one interval.

    Parameters
    ----------
    intervals : list of Interval
        A set.
    gone : Interval
        What is cut out.

    Returns
    -------
    list of Interval

    Examples
    --------
    >>> without_interval([(0, 9, 0.0, 0.9)], (2, 4, 0.2, 0.4))
    [(0, 2, 0.0, 0.2), (4, 9, 0.4, 0.9)]
    """
    out: list[Interval] = []
    low, high, low_seconds, high_seconds = gone
    for old in intervals:
        if old[1] <= low or high <= old[0]:
            out.append(old)
            continue
        if old[0] < low:
            out.append((old[0], low, old[2], low_seconds))
        if high < old[1]:
            out.append((high, old[1], high_seconds, old[3]))
    return out


def common(first: list[Interval], second: Iterable[Interval]) -> list[Interval]:
    """What lies in both sets.

    Parameters
    ----------
    first, second : list of Interval
        Sets.

    Returns
    -------
    list of Interval

    Examples
    --------
    >>> common([(0, 9, None, None)], [(2, 4, None, None), (8, 12, None, None)])
    [(2, 4, None, None), (8, 9, None, None)]
    """
    only_first = first
    for interval in second:
        only_first = without_interval(only_first, interval)
    for interval in only_first:
        first = without_interval(first, interval)
    return first
