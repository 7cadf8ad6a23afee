"""A session that was recorded into several files, as one video with one time.

Cameras that run for days begin a new file every hour or every few gigabytes. The pieces follow one another without a
gap unless the caller knows better: nothing is read out of file names or container headers, whose clocks are often
wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .frame_source import ROUNDING, FrameSource
from .torchcodec_video import open_video_file
from .video import Video

MOST_OPEN = 2  # files; one to read from and the one before or after it
HALF_A_FRAME = 0.5


class VideoSequence(FrameSource):
    """Video files of one session as one read-only sequence of frames, with the interface of :class:`Video`.

    Parameters
    ----------
    paths : sequence of str or os.PathLike
        The files. In natural order of their paths (``2`` before ``10``), unless ``gaps`` or ``start_times`` are given,
        which go with the files in the order given.
    gaps : sequence of float, optional
        Seconds between the end of each file and the begin of the next, one fewer than there are files.
    start_times : sequence of float, optional
        In place of ``gaps``: when each file begins [s], by one clock of any origin.
    **options
        For every :class:`Video`: ``allow_cut_short``, ``size``, ``grey``, ``cache_mb``; and ``decoder`` and
        ``device``, as in :func:`open_video`.

    Attributes
    ----------
    path : pathlib.Path
        The first file.
    paths : tuple of pathlib.Path
        All files, in order.
    starts : numpy.ndarray
        Number of the first frame of each file, and at last the number of frames, shape (files + 1,).
    gaps : list of (int, float)
        Where time is missing: the first frame after it, and how long it is [s].

    Raises
    ------
    FileNotFoundError, ValueError
        As :class:`Video`; if the pictures differ in size, a file begins before the one before it has ended, the
        numbers do not go with the files, or a file but the last was cut short and neither is given.

    Notes
    -----
    ``edges`` has one entry more than there are frames, so the last frame before a gap seems to last through it;
    :meth:`time_to_frame` refuses times in a gap. At most two files are open at a time. The frame indices of all files
    are kept, about 50 bytes a frame.

    Examples
    --------
    >>> session = VideoSequence(["cage1_1.mp4", "cage1_2.mp4"], gaps=[0.5])  # doctest: +SKIP
    >>> len(session), session.gaps  # doctest: +SKIP
    (216000, [(108000, 0.5)])
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        gaps: Sequence[float] | None = None,
        start_times: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        if isinstance(paths, str | os.PathLike) or not len(paths):
            raise ValueError(f"expected the files of one session, at least one, got {paths!r}")
        files = [Path(p) for p in paths]
        if gaps is not None and start_times is not None:
            raise ValueError(f"{files[0]}: expected gaps or start times, got both")
        if gaps is None and start_times is None:
            files = in_natural_order(files)
        twice = next((p for k, p in enumerate(files) if p in files[:k]), None)
        if twice is not None:
            raise ValueError(f"{twice}: expected every file of a session once, got it twice")
        self._videos = [open_video_file(p, **options) for p in files]
        for video in self._videos:
            if video.shape[1:] != self._videos[0].shape[1:]:
                (h, w), (h0, w0) = video.shape[1:3], self._videos[0].shape[1:3]
                raise ValueError(f"{video.path}: expected frames of {w0}x{h0} as in {files[0]}, got {w}x{h}")
        if gaps is None and start_times is None:
            _refuse_unknown_gaps(self._videos)
        pauses = _pauses(self._videos, gaps, start_times)
        self.paths = tuple(files)
        self.starts = np.cumsum([0, *map(len, self._videos)])
        begins = np.cumsum([0.0, *(v.edges[-1] + pause for v, pause in zip(self._videos, pauses, strict=False))])
        super().__init__(
            files[0],
            shape=(int(self.starts[-1]), *self._videos[0].shape[1:]),
            times=np.concatenate([v.times + begin for v, begin in zip(self._videos, begins, strict=False)]),
            start_time=self._videos[0].start_time if start_times is None else float(start_times[0]),
        )
        ends = begins[:-1] + [v.edges[-1] for v in self._videos[: len(begins) - 1]]
        self.gaps = [
            (int(first), float(pause))
            for first, pause in zip(self.starts[1:-1], pauses, strict=True)
            if pause > ROUNDING
        ]
        self._silent = [(end, end + pause) for end, pause in zip(ends, pauses, strict=True) if pause > ROUNDING]
        self._open: list[int] = []  # numbers of the files that may be open, the one read last at the end

    def __repr__(self) -> str:
        n, h, w, _ = self.shape
        return f"VideoSequence({len(self.paths)} files: {n} frames of {w}x{h}, {self.fps:.4g} fps)"

    def where(self, frame: int) -> tuple[Path, int]:
        """Which file a frame is in.

        Parameters
        ----------
        frame : int
            Number in the whole session.

        Returns
        -------
        (pathlib.Path, int)
            The file, and the number of the frame in it.
        """
        piece, local = self._find(self._normalise(frame))
        return self.paths[piece], local

    def time_to_frame(self, seconds: float) -> int:
        """Which frame is shown at a time.

        Parameters
        ----------
        seconds : float
            Time since the first frame of the session [s].

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If nothing is shown then; in a gap between files nothing is.
        """
        for begin, end in self._silent:
            if begin <= seconds < end - ROUNDING:
                raise ValueError(
                    f"{self.path}: expected a time at which there is a frame, got {seconds:.6g} s, in the gap "
                    f"from {begin:.6g} to {end:.6g} s"
                )
        return super().time_to_frame(seconds)

    def take_times(self, times: np.ndarray, start_time: float) -> None:
        """Put another clock's times in the place of the files' own; what it leaves out is no gap between files.

        Parameters
        ----------
        times : numpy.ndarray
            Time of every frame [s], increasing, the first is 0, shape (n,).
        start_time : float
            What that clock showed at the first frame [s].
        """
        super().take_times(times, start_time)
        self.gaps, self._silent = [], []

    def close(self) -> None:
        """Close all files; the next read opens what it needs."""
        with self._lock:
            for piece in self._open:
                self._videos[piece].close()
            self._open = []

    def _find(self, i: int) -> tuple[int, int]:
        piece = int(np.searchsorted(self.starts, i, side="right")) - 1
        return piece, i - int(self.starts[piece])

    def _picture(self, i: int) -> np.ndarray:
        piece, local = self._find(i)
        if piece in self._open:
            self._open.remove(piece)
        self._open.append(piece)
        while len(self._open) > MOST_OPEN:
            self._videos[self._open.pop(0)].close()
        return self._videos[piece][local]


def in_natural_order(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Sort files so that digits in their names count as numbers.

    Parameters
    ----------
    paths : sequence of str or os.PathLike
        Files.

    Returns
    -------
    list of pathlib.Path

    Examples
    --------
    >>> [p.name for p in in_natural_order(["cage10.mp4", "cage2.mp4", "cage.mp4"])]
    ['cage.mp4', 'cage2.mp4', 'cage10.mp4']
    """
    return sorted(map(Path, paths), key=_natural)


def _natural(path: Path) -> list[Any]:
    parts = re.split(r"(\d+)", str(path.with_suffix("")))  # the ending would part a name without a number from the rest
    return [(int(t), "") if t.isdecimal() else (-1, t.lower()) for t in parts if t]


def _refuse_unknown_gaps(videos: list[Video]) -> None:
    for video in videos[:-1]:
        if video.index.cut_short:
            raise ValueError(
                f"{video.path}: cut short: {video.index.cut_short}; when the next file begins is not known, "
                "give gaps or start times"
            )


def _pauses(videos: list[Video], gaps: Sequence[float] | None, start_times: Sequence[float] | None) -> list[float]:
    """Seconds between each file's end and the begin of the next."""
    first = videos[0].path
    if gaps is not None:
        wanted, given, pauses = len(videos) - 1, gaps, [float(g) for g in gaps]
    elif start_times is not None:
        wanted, given = len(videos), start_times
        pauses = [
            float(after - before - video.edges[-1])
            for video, before, after in zip(videos, start_times, start_times[1:], strict=False)
        ]
    else:
        return [0.0] * (len(videos) - 1)
    what = "gaps" if gaps is not None else "start times"
    if len(given) != wanted:
        raise ValueError(f"{first}: expected {wanted} {what} for {len(videos)} files, got {len(given)}")
    if not np.isfinite(given).all():
        raise ValueError(f"{first}: expected {what} in seconds, got {list(given)}")
    for k, (video, pause) in enumerate(zip(videos, pauses, strict=False)):
        if pause < -HALF_A_FRAME / video.fps:
            raise ValueError(
                f"{videos[k + 1].path}: expected it to begin after {video.path.name} has ended, "
                f"got {-pause:.6g} s before"
            )
    return pauses
