"""Which frames make a window, and which window speaks for which frame.

Overlapping windows cut a recording's sampled frames (every ``step``-th) into clips of ``length``. A sampled
frame takes its features from the window in which it is most central, so that it is seen with what came before
and what came after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_GAP = 2.5  # usual intervals: one frame may be missed, and a camera's rate may vary
UNEVEN = 0.2  # of the median interval: by how much the mean of a block may change at a constant rate
_BLOCK = 10  # intervals, over which late frames and the rounding of time stamps even out
_AROUND = 31  # intervals that say what is usual at a place


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """How a recording is cut into windows.

    Parameters
    ----------
    length : int
        Sampled frames in a window; what the encoder was trained with.
    step : int
        Video frames from one sampled frame to the next.
    stride : int, optional
        Sampled frames from one window to the next; half the length by default.

    Raises
    ------
    ValueError
        If one of them is not positive, or the stride leaves frames out.

    Examples
    --------
    >>> WindowSpec(length=16).stride
    8
    """

    length: int
    step: int = 1
    stride: int = 0

    def __post_init__(self) -> None:
        if self.stride == 0:
            object.__setattr__(self, "stride", max(1, self.length // 2))
        for name in ("length", "step", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1 on, got {getattr(self, name)}")
        if self.stride > self.length:
            raise ValueError(f"stride: expected at most the length ({self.length}), got {self.stride}")

    @classmethod
    def for_rate(cls, fps: float, *, length: int, stride: int = 0, rate: float = 30.0) -> WindowSpec:
        """Windows that sample about so many frames a second, whatever the camera's rate.

        Parameters
        ----------
        fps : float
            Frames per second of the recording.
        length, stride : int
            As in :class:`WindowSpec`.
        rate : float
            Sampled frames per second wanted; every ``round(fps / rate)``-th frame is taken, at least every one.

        Returns
        -------
        WindowSpec

        Examples
        --------
        >>> WindowSpec.for_rate(250.0, length=16).step
        8
        """
        if not 0 < rate < float("inf"):
            raise ValueError(f"rate: expected a positive number of frames per second, got {rate}")
        return cls(length=length, step=max(1, round(fps / rate)), stride=stride)


def sample_frames(start_frame: int, stop_frame: int, step: int) -> np.ndarray:
    """Indices of the sampled frames in ``[start_frame, stop_frame)``.

    Parameters
    ----------
    start_frame, stop_frame : int
        Half-open interval of video frames.
    step : int
        Every which frame.

    Returns
    -------
    numpy.ndarray
        int64, shape (n,).
    """
    return np.arange(start_frame, stop_frame, step, dtype=np.int64)


def sample_by_time(times: np.ndarray, start_frame: int, stop_frame: int, rate: float) -> np.ndarray:
    """Indices of the frames nearest to evenly spaced times, for video of a variable rate.

    Parameters
    ----------
    times : numpy.ndarray
        When each frame was taken [s], increasing, shape (frames,).
    start_frame, stop_frame : int
        Half-open interval of video frames.
    rate : float
        Frames per second wanted.

    Returns
    -------
    numpy.ndarray
        int64, increasing, shape (n,). A frame that is nearest to several of the times, where the camera was slower,
        is there once.

    Examples
    --------
    >>> sample_by_time(np.array([0.0, 0.1, 0.2, 0.3, 1.0, 1.5]), 0, 6, rate=5).tolist()
    [0, 2, 3, 4, 5]
    """
    own = times[start_frame:stop_frame]
    wanted = own[0] + np.arange(int(np.floor((own[-1] - own[0]) * rate + 1e-6)) + 1) / rate
    after = np.searchsorted(own, wanted).clip(1, max(1, len(own) - 1))
    before = after - 1
    after = np.minimum(after, len(own) - 1)
    nearest = np.where(wanted - own[before] <= own[after] - wanted, before, after)
    return (start_frame + np.unique(nearest)).astype(np.int64)


def is_variable(times: np.ndarray) -> bool:
    """Whether frames came at a variable rate.

    Parameters
    ----------
    times : numpy.ndarray
        When each frame was taken [s], increasing, shape (frames,).

    Returns
    -------
    bool
        Whether the mean interval of ten frames changes by more than a fifth; gaps, single frames that were late or
        dropped, and the rounding of time stamps do not count.

    Examples
    --------
    >>> is_variable(np.arange(500) / 30), is_variable(np.cumsum(np.linspace(0.02, 0.05, 500)))
    (False, True)
    """
    intervals = np.diff(times)
    if len(intervals) < 2 * _BLOCK:
        return False
    usual = np.median(intervals)
    intervals = intervals[intervals <= MAX_GAP * _usual(intervals)]
    means = intervals[: len(intervals) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).mean(axis=1)
    low, high = np.percentile(means, [1, 99], method="nearest")
    return bool(high - low > UNEVEN * usual)


def window_starts(num_sampled: int, spec: WindowSpec) -> np.ndarray:
    """First sampled frame of every window.

    Parameters
    ----------
    num_sampled : int
        Number of sampled frames.
    spec : WindowSpec
        How to cut.

    Returns
    -------
    numpy.ndarray
        int64, shape (windows,). The last window is moved back to end with the last frame. A recording shorter
        than one window has one window, which the reader pads.

    Examples
    --------
    >>> window_starts(11, WindowSpec(length=4, stride=2)).tolist()
    [0, 2, 4, 6, 7]
    """
    if num_sampled < 1:
        raise ValueError(f"expected at least one sampled frame, got {num_sampled}")
    last = max(0, num_sampled - spec.length)
    starts = np.arange(0, last + 1, spec.stride, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def across_gaps(times: np.ndarray, spec: WindowSpec, max_gap: float) -> np.ndarray:
    """Which windows hold frames from both sides of a gap in time.

    Parameters
    ----------
    times : numpy.ndarray
        When the sampled frames were taken [s], increasing, shape (n,).
    spec : WindowSpec
        How to cut.
    max_gap : float
        Longest time from one sampled frame to the next that is no gap, in usual ones (the median around it).

    Returns
    -------
    numpy.ndarray
        bool, one for each of :func:`window_starts`.

    Raises
    ------
    ValueError
        If ``max_gap`` is below 1: every window would be across a gap.

    Examples
    --------
    >>> across_gaps(np.array([0.0, 1, 2, 8, 9, 10]), WindowSpec(length=3, stride=1), 2.5).tolist()
    [False, True, True, False]
    """
    starts = window_starts(len(times), spec)
    before = np.cumsum(np.isin(np.arange(len(times)), after_gaps(times, max_gap)))  # gaps before each frame
    return before[np.minimum(starts + spec.length, len(times)) - 1] > before[starts]


def after_gaps(times: np.ndarray, max_gap: float = MAX_GAP) -> np.ndarray:
    """Frames before which time is missing.

    Parameters
    ----------
    times : numpy.ndarray
        When the sampled frames were taken [s], increasing, shape (n,).
    max_gap : float
        As in :func:`across_gaps`.

    Returns
    -------
    numpy.ndarray
        int64, shape (gaps,).

    Examples
    --------
    >>> after_gaps(np.array([0.0, 1, 2, 8, 9, 10])).tolist()
    [3]
    """
    if not max_gap >= 1:
        raise ValueError(f"max_gap: expected a number of usual intervals from 1 on, got {max_gap}")
    if len(times) < 2:
        return np.zeros(0, dtype=np.int64)
    intervals = np.diff(times)
    return np.flatnonzero(intervals > max_gap * _usual(intervals)) + 1


def _usual(intervals: np.ndarray) -> np.ndarray:
    """The median interval around each one: a camera that is slower at night has no gaps for that."""
    padded = np.pad(intervals, _AROUND // 2, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, _AROUND)
    parts = range(0, len(intervals), 1 << 16)  # days of video take a bounded amount of memory
    return np.concatenate([np.median(around[i : i + (1 << 16)], axis=1) for i in parts])


def central_windows(num_sampled: int, spec: WindowSpec) -> tuple[np.ndarray, np.ndarray]:
    """For every sampled frame, the window in which it is most central and its slot there.

    Parameters
    ----------
    num_sampled : int
        Number of sampled frames.
    spec : WindowSpec
        How to cut.

    Returns
    -------
    window : numpy.ndarray
        Index into :func:`window_starts`, int64, shape (num_sampled,), never decreasing.
    position : numpy.ndarray
        Slot in that window, int64, shape (num_sampled,).

    Examples
    --------
    >>> central_windows(6, WindowSpec(length=4, stride=2))[1].tolist()
    [0, 1, 2, 1, 2, 3]
    """
    starts = window_starts(num_sampled, spec)
    frames = np.arange(num_sampled)
    centres = starts + (spec.length - 1) / 2
    # between two neighbouring centres the border lies half way; a tie goes to the earlier window
    borders = (centres[:-1] + centres[1:]) / 2
    window = np.searchsorted(borders, frames, side="left")
    return window, frames - starts[window]
