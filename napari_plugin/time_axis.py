"""From seconds to pixels and back, for the part of the recording that is in view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_FRAMES_IN_VIEW = 8


@dataclass(kw_only=True)
class TimeAxis:
    """The visible stretch of time and where it lies on the screen.

    Parameters
    ----------
    edges : numpy.ndarray
        Times of the frame edges [s], shape (frames + 1,).
    left, width : float
        Where the stretch begins and how wide it is [pixels].
    """

    edges: np.ndarray
    left: float = 0.0
    width: float = 1.0

    def __post_init__(self) -> None:
        self.reset()

    @property
    def num_frames(self) -> int:
        """Frames of the recording."""
        return len(self.edges) - 1

    @property
    def is_zoomed(self) -> bool:
        """Whether less than the whole recording is in view."""
        return self.start > self.edges[0] or self.stop < self.edges[-1]

    def reset(self) -> None:
        """Show the whole recording."""
        self.start, self.stop = float(self.edges[0]), float(self.edges[-1])

    def x(self, seconds: np.ndarray | float) -> np.ndarray:
        """Where times are [pixels].

        Parameters
        ----------
        seconds : array_like
            Times [s].

        Returns
        -------
        numpy.ndarray
        """
        return self.left + (np.asarray(seconds) - self.start) / (self.stop - self.start) * self.width

    def seconds(self, x: float) -> float:
        """Time at a place.

        Parameters
        ----------
        x : float
            Pixels.

        Returns
        -------
        float
        """
        return self.start + (x - self.left) / self.width * (self.stop - self.start)

    def frame(self, x: float) -> int:
        """Frame at a place; the nearest one outside the recording.

        Parameters
        ----------
        x : float
            Pixels.

        Returns
        -------
        int
        """
        found = int(np.searchsorted(self.edges, self.seconds(x), side="right")) - 1
        return min(max(found, 0), self.num_frames - 1)

    def zoom(self, factor: float, x: float) -> None:
        """Magnify around a place.

        Parameters
        ----------
        factor : float
            Above 1 to see less time.
        x : float
            The place that stays where it is [pixels].
        """
        whole = float(self.edges[-1] - self.edges[0])
        least = whole * min(1.0, MIN_FRAMES_IN_VIEW / self.num_frames)
        span = min(max((self.stop - self.start) / factor, least), whole)
        here, part = self.seconds(x), (x - self.left) / self.width
        self._show(here - part * span, span)

    def pan(self, seconds: float) -> None:
        """Move along the recording.

        Parameters
        ----------
        seconds : float
            How far [s].
        """
        self._show(self.start + seconds, self.stop - self.start)

    def keep_in_view(self, frame: int) -> bool:
        """Turn the page if a frame is out of view.

        Parameters
        ----------
        frame : int
            The frame to see.

        Returns
        -------
        bool
            Whether the page was turned.
        """
        middle = float(self.edges[frame] + self.edges[frame + 1]) / 2
        if self.start <= middle <= self.stop:
            return False
        span = self.stop - self.start
        self._show(middle - (0.1 if middle > self.stop else 0.9) * span, span)
        return True

    def _show(self, start: float, span: float) -> None:
        first, last = float(self.edges[0]), float(self.edges[-1])
        self.start = min(max(start, first), last - span)
        self.stop = min(self.start + span, last)

    def ticks(self, spacing: float = 90.0) -> tuple[np.ndarray, int]:
        """Round times to write below the axis.

        Parameters
        ----------
        spacing : float
            Least distance between two of them [pixels].

        Returns
        -------
        seconds : numpy.ndarray
            Times in view [s].
        decimals : int
            How many to write.
        """
        least = (self.stop - self.start) * spacing / max(self.width, 1.0)
        power = 10.0 ** np.floor(np.log10(least))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= least * 0.999)
        first = np.ceil(self.start / step - 1e-9)
        count = int(np.floor(self.stop / step + 1e-9) - first) + 1
        return (first + np.arange(count)) * step, max(0, -int(np.floor(np.log10(step) + 1e-9)))


def pixel_runs(x: np.ndarray) -> np.ndarray:
    """Bars on whole pixels, at least one wide, with those that touch put together.

    Parameters
    ----------
    x : numpy.ndarray
        Increasing intervals [pixels], shape (n, 2).

    Returns
    -------
    numpy.ndarray
        int64, shape (m, 2): never more bars than pixels, however many bouts there are.

    Examples
    --------
    >>> pixel_runs(np.array([[0.2, 0.3], [0.5, 0.6], [5.0, 7.9]])).tolist()
    [[0, 1], [5, 8]]
    """
    if not len(x):
        return np.zeros((0, 2), dtype=np.int64)
    first = np.round(x[:, 0]).astype(np.int64)
    last = np.maximum(np.round(x[:, 1]).astype(np.int64), first + 1)
    begins = np.flatnonzero(np.append(True, first[1:] > np.maximum.accumulate(last)[:-1]))
    return np.stack([first[begins], np.maximum.reduceat(last, begins)], axis=1)
