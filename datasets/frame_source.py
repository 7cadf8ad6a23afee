"""What all sources of frames have in common: frames by number, each with its time."""

from __future__ import annotations

import operator
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from .annotations import frame_edges
from .prefetch import prefetch

ROUNDING = 1e-6  # seconds by which a time that was meant to be an edge may lie before it


class FrameSource(ABC):
    """A read-only sequence of frames, numpy-like.

    Parameters
    ----------
    path : pathlib.Path
        Where the frames come from.
    shape : (int, int, int, int)
        (frames, height, width, channels).
    times : numpy.ndarray
        Presentation time of every frame [s], shape (n,); the first is 0.
    start_time : float
        The source's own time of the first frame [s].

    Attributes
    ----------
    path : pathlib.Path
        As above.
    shape : (int, int, int, int)
        As above.
    start_time : float
        As above.
    """

    def __init__(
        self, path: Path, *, shape: tuple[int, int, int, int], times: np.ndarray, start_time: float = 0.0
    ) -> None:
        self.path = path
        self.shape = shape
        self.start_time = start_time
        self._times = times
        self._lock = threading.RLock()
        _SOURCES.add(self)

    @abstractmethod
    def _picture(self, i: int) -> np.ndarray:
        """Read frame i, which exists: a fresh uint8 array, shape (height, width, channels)."""

    def take_times(self, times: np.ndarray, start_time: float) -> None:
        """Put another clock's times in the place of the source's own.

        Parameters
        ----------
        times : numpy.ndarray
            Time of every frame [s], increasing, the first is 0, shape (n,).
        start_time : float
            What that clock showed at the first frame [s].
        """
        self._times, self.start_time = times, start_time

    def close(self) -> None:  # noqa: B027 (not every source holds something open)
        """Let go of what is open; the next read opens it again."""

    # -- what it is

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        n, h, w, _ = self.shape
        return f"{type(self).__name__}({self.path.name!r}: {n} frames of {w}x{h}, {self.fps:.4g} fps)"

    @property
    def times(self) -> np.ndarray:
        """Presentation time of every frame [s], shape (n,); the first is 0."""
        return self._times

    @property
    def edges(self) -> np.ndarray:
        """Times of the frame edges [s], shape (n + 1,)."""
        return frame_edges(self._times)

    @property
    def fps(self) -> float:
        """Frames per second, from the median frame interval (1 for a single frame)."""
        return 1.0 / float(np.median(np.diff(self.edges)))

    def time_to_frame(self, seconds: float) -> int:
        """Which frame is shown at a time.

        Parameters
        ----------
        seconds : float
            Time since the first frame [s]. Up to a microsecond before an edge counts as on it: that is rounding.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If nothing is shown then.
        """
        edges = self.edges
        if not -ROUNDING <= seconds < edges[-1]:
            raise ValueError(f"{self.path}: expected a time within [0, {edges[-1]:.6g}) s, got {seconds:.6g} s")
        return min(int(np.searchsorted(edges, seconds + ROUNDING, side="right")) - 1, len(self) - 1)

    # -- reading

    def __getitem__(self, key: int | slice | np.ndarray | Sequence[int]) -> np.ndarray:
        if isinstance(key, slice):
            return self._read(range(*key.indices(len(self))))
        if not isinstance(key, (np.ndarray, Sequence)) or np.ndim(key) == 0:
            return self._one(operator.index(key))  # type: ignore[arg-type]
        wanted = np.asarray(key)
        if wanted.dtype == bool:
            if wanted.shape != (len(self),):
                raise IndexError(f"{self.path}: expected a mask over {len(self)} frames, got shape {wanted.shape}")
            wanted = np.flatnonzero(wanted)
        if wanted.size and not np.issubdtype(wanted.dtype, np.integer):
            raise TypeError(f"{self.path}: expected frame numbers, got {wanted.dtype}")
        return self._read(wanted.ravel().tolist()).reshape(*wanted.shape, *self.shape[1:])

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.iter_frames()

    def iter_frames(self, indices: Iterable[int] | None = None, *, ahead: int = 0) -> Iterator[np.ndarray]:
        """Yield frames one at a time.

        Parameters
        ----------
        indices : iterable of int, optional
            Which frames; all by default. Quick when they increase, right in any order.
        ahead : int
            Decode up to so many frames ahead in a thread while the present one is used. By default none are: it only
            pays where the caller is busy between frames and there is a core to spare.

        Returns
        -------
        iterator of numpy.ndarray
            uint8, shape (height, width, channels): RGB, unless grey was asked for. What is wrong with a frame is raised
            when its turn comes.
        """
        if ahead < 0:
            raise ValueError(f"ahead: expected a number of frames from 0 on, got {ahead}")
        frames = (self._one(operator.index(i)) for i in (range(len(self)) if indices is None else indices))
        return prefetch(frames, ahead) if ahead else frames

    def _one(self, i: int) -> np.ndarray:
        i = self._normalise(i)
        with self._lock:
            return self._picture(i)

    def _normalise(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.path}: expected a frame below {len(self)}, got {i}")
        return i % len(self)

    def _read(self, indices: Sequence[int]) -> np.ndarray:
        wanted = [self._normalise(i) for i in indices]
        out = np.empty((len(wanted), *self.shape[1:]), dtype=np.uint8)
        with self._lock:
            # in file order, so that frames behind one key frame are decoded once
            for place in np.argsort(np.asarray(wanted, dtype=np.int64), kind="stable"):
                out[place] = self._picture(wanted[place])
        return out

    # -- life

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()
        _SOURCES.add(self)

    def _leave_to_parent(self) -> None:
        """In a forked child: what the parent has open is not to be read, and its lock may have been held."""
        self._lock = threading.RLock()


_SOURCES: weakref.WeakSet[FrameSource] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for source in list(_SOURCES):
        source._leave_to_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_leave_all_to_parent)
