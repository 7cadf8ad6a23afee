"""Two views of one scene: which frame of one camera was taken when a frame of the other was.

Cameras begin at different moments and their clocks run at slightly different speeds, so the time of one is a straight
line of the time of the other. The line is given, or fitted to events that both have seen: flashes of a light, TTL
edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .frame_source import FrameSource
from .recording import Recording


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewClock:
    """How time of view b follows from time of view a: ``b = offset + drift * a``.

    Parameters
    ----------
    offset : float
        Time of b when a is at 0 [s].
    drift : float
        Seconds of b in a second of a.
    residuals : numpy.ndarray, optional
        By how much the events that it was fitted to lie off the line, in seconds of b.
    a_to_b : numpy.ndarray
        For every frame of a the frame of b nearest in time, -1 where b shows nothing (before it begins, after it has
        ended, in a gap between its files), int64, shape (frames of a,).
        Empty unless :func:`synchronise` made it; so are the next three.
    a_residual : numpy.ndarray
        Time of that frame less that of the frame of a, in seconds of b; NaN where there is none.
    b_to_a, b_residual : numpy.ndarray
        The same from b, in seconds of a, shape (frames of b,).

    Raises
    ------
    ValueError
        If the offset is not finite or the drift is not above 0.

    Examples
    --------
    >>> clock = ViewClock.from_events([1.0, 2.0, 3.0], [11.5, 12.5, 13.5])
    >>> round(clock.offset, 6), round(clock.drift, 6), clock.largest_residual < 1e-9
    (10.5, 1.0, True)
    """

    offset: float = 0.0
    drift: float = 1.0
    residuals: np.ndarray | None = None
    a_to_b: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    a_residual: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    b_to_a: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64), repr=False)
    b_residual: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)

    def __post_init__(self) -> None:
        if not np.isfinite(self.offset) or not (np.isfinite(self.drift) and self.drift > 0):
            raise ValueError(
                f"view clock: expected a finite offset and a drift above 0, got {self.offset} and {self.drift}"
            )

    @classmethod
    def from_events(cls, a_seconds: Sequence[float] | np.ndarray, b_seconds: Sequence[float] | np.ndarray) -> ViewClock:
        """Fit the line to events that both views have seen.

        Parameters
        ----------
        a_seconds, b_seconds : sequence of float
            When each event happened by each clock [s], in the same order. One event gives the offset only.

        Returns
        -------
        ViewClock
            By least squares, with ``residuals``.

        Raises
        ------
        ValueError
            If the events do not match in number or order, or there are none.
        """
        a, b = np.asarray(a_seconds, dtype=np.float64), np.asarray(b_seconds, dtype=np.float64)
        if a.ndim != 1 or a.shape != b.shape or not len(a):
            raise ValueError(
                f"view clock: expected as many events of one view as of the other, got {a.shape}, {b.shape}"
            )
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise ValueError("view clock: expected the times of events in seconds, got some that are not finite")
        order = np.argsort(a)
        if len(a) > 1 and not (np.all(np.diff(a[order]) > 0) and np.all(np.diff(b[order]) > 0)):
            raise ValueError("view clock: expected events in the same order in both views, each at a time of its own")
        # around the mean, since clocks that count from 1970 would cancel out all digits
        x, y = a - a.mean(), b - b.mean()
        drift = float(x @ y / (x @ x)) if len(a) > 1 else 1.0
        return cls(offset=float(b.mean() - drift * a.mean()), drift=drift, residuals=y - drift * x)

    @property
    def largest_residual(self) -> float:
        """Farthest that an event lies off the line [s]; 0 if none was used."""
        return 0.0 if self.residuals is None else float(np.abs(self.residuals).max())

    def to_b(self, a_seconds: np.ndarray | float) -> np.ndarray:
        """Time of b at a time of a.

        Parameters
        ----------
        a_seconds : numpy.ndarray or float
            Times [s].

        Returns
        -------
        numpy.ndarray
        """
        return self.offset + self.drift * np.asarray(a_seconds, dtype=np.float64)

    def to_a(self, b_seconds: np.ndarray | float) -> np.ndarray:
        """Time of a at a time of b.

        Parameters
        ----------
        b_seconds : numpy.ndarray or float
            Times [s].

        Returns
        -------
        numpy.ndarray
        """
        return (np.asarray(b_seconds, dtype=np.float64) - self.offset) / self.drift


def synchronise(
    recording_a: Recording | FrameSource,
    recording_b: Recording | FrameSource,
    *,
    offset: float = 0.0,
    drift: float = 1.0,
) -> ViewClock:
    """Match the frames of two views by time.

    Parameters
    ----------
    recording_a, recording_b : Recording or Video
        The views; of each the times count that begin with 0 at its first frame.
    offset, drift : float
        Time of b is ``offset + drift * time of a`` [s]; :meth:`ViewClock.from_events` finds them.

    Returns
    -------
    ViewClock
        With the frames that belong together.

    Raises
    ------
    ValueError
        If the views have no moment in common.

    Examples
    --------
    >>> fit = ViewClock.from_events(flashes_top, flashes_side)  # doctest: +SKIP
    >>> views = synchronise(top, side, offset=fit.offset, drift=fit.drift)  # doctest: +SKIP
    >>> side.video[views.a_to_b[100]]  # doctest: +SKIP
    """
    clock = ViewClock(offset=offset, drift=drift)
    a_to_b, a_residual = _nearest(clock.to_b(recording_a.times), recording_b)
    b_to_a, b_residual = _nearest(clock.to_a(recording_b.times), recording_a)
    if not (a_to_b >= 0).any() and not (b_to_a >= 0).any():
        begin, end = clock.to_b(recording_a.edges[[0, -1]])
        raise ValueError(
            f"view clock: expected views that overlap, got the first from {begin:.6g} to {end:.6g} s and the second "
            f"from 0 to {recording_b.edges[-1]:.6g} s, by the time of the second"
        )
    return replace(clock, a_to_b=a_to_b, a_residual=a_residual, b_to_a=b_to_a, b_residual=b_residual)


def _nearest(seconds: np.ndarray, view: Recording | FrameSource) -> tuple[np.ndarray, np.ndarray]:
    """Frame of a view nearest to each time, and how much later it is; none half a frame and more outside of it.

    What is shown before a gap between files does not last through the gap.
    """
    times = view.times
    lasts = np.diff(view.edges)
    at = np.searchsorted(times[:-1] + np.diff(times) / 2, seconds)
    residual = times[at] - seconds
    outside = (seconds < times[0] - lasts[0] / 2) | (seconds >= times[-1] + lasts[-1] / 2)
    video = view.video if isinstance(view, Recording) else view
    for first, pause in getattr(video, "gaps", ()):
        half = (times[first] - pause - times[first - 1]) / 2
        outside |= (seconds >= times[first - 1] + half) & (seconds < times[first] - half)
    return np.where(outside, -1, at).astype(np.int64), np.where(outside, np.nan, residual)
