"""A video as the array that napari asks for: a frame is decoded when it is shown, and the last ones are kept."""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from behavior_prism.datasets import Video

CACHE_MB = 256.0
REQUEST_MB = 1024.0  # napari asks for a whole axis when time is put on screen: an error is better than hours
BACKWARD_RUN = 24


class LazyFrames:
    """Frames behind the array protocol of napari's image layers.

    Parameters
    ----------
    shape : (int, int, int, int)
        (frames, height, width, 3).
    read : callable
        Given increasing frame numbers, yields those frames: uint8, shape (height, width, 3).
    cache_mb : float
        Most memory for decoded frames [MB]; at least one frame is kept.
    close : callable, optional
        Called by :meth:`release`, to let go of an open file.

    Notes
    -----
    Going backward, a decoder has to start at a key frame and pass all frames up to the one that is wanted. The last
    ones it passes are kept, so that the next steps backward cost nothing.

    Examples
    --------
    >>> frames = LazyFrames((9, 2, 2, 3), lambda wanted: (np.full((2, 2, 3), i, np.uint8) for i in wanted))
    >>> frames[4, 0, 0].tolist(), frames[2:4].shape
    ([4, 4, 4], (2, 2, 2, 3))
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        read: Callable[[Iterable[int]], Iterable[np.ndarray]],
        *,
        cache_mb: float = CACHE_MB,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.shape = shape
        self._read = read
        self._close = close
        self._frame_bytes = int(np.prod(shape[1:]))
        self.capacity = max(1, int(cache_mb * 1e6 // self._frame_bytes))
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._last = -1
        self._lock = threading.Lock()  # napari may slice in a thread of its own, and a decoder is one file handle

    @classmethod
    def from_video(cls, video: Video, *, cache_mb: float = CACHE_MB) -> LazyFrames:
        """Show a video.

        Parameters
        ----------
        video : Video
            The frames.
        cache_mb : float
            As above.

        Returns
        -------
        LazyFrames
        """
        return cls(video.shape, video.iter_frames, cache_mb=cache_mb, close=video.close)

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self._frame_bytes

    @property
    def cached_bytes(self) -> int:
        """Memory that decoded frames take now."""
        return len(self._kept) * self._frame_bytes

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        n, h, w, _ = self.shape
        return f"LazyFrames({n} frames of {w}x{h}, {self.cached_bytes / 1e6:.0f} MB decoded)"

    def frame(self, index: int) -> np.ndarray:
        """Decode one frame, or take it from the cache.

        Parameters
        ----------
        index : int
            0 to frames - 1, or counted from the end.

        Returns
        -------
        numpy.ndarray
            uint8, shape (height, width, 3), read-only.

        Raises
        ------
        IndexError, ValueError
            If there is no such frame, or it cannot be decoded.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected a frame below {len(self)}, got {index}")
        index %= len(self)
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
            else:
                self._decode(index)
            self._last = index
            return self._kept[index]

    def _decode(self, index: int) -> None:
        run = min(BACKWARD_RUN, self.capacity)
        first = max(0, index - run + 1) if index < self._last <= index + run else index
        try:
            self._keep(range(first, index + 1))
        except ValueError:
            if first == index:
                raise
            self._keep(range(index, index + 1))  # one of the frames before it is damaged, not this one

    def _keep(self, wanted: range) -> None:
        for index, picture in zip(wanted, self._read(wanted), strict=True):
            picture.flags.writeable = False
            self._kept[index] = picture
            self._kept.move_to_end(index)
            if len(self._kept) > self.capacity:
                self._kept.popitem(last=False)

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in [k for k in keys if not isinstance(k, np.ndarray)]:
            at = keys.index(Ellipsis)
            keys = (*keys[:at], *[slice(None)] * (self.ndim - len(keys) + 1), *keys[at + 1 :])
        when, where = (keys[0], keys[1:]) if keys else (slice(None), ())
        if not isinstance(when, slice) and np.ndim(when) == 0:
            return self.frame(operator.index(when))[where]
        indices = range(*when.indices(len(self))) if isinstance(when, slice) else [operator.index(i) for i in when]
        megabytes = len(indices) * self._frame_bytes / 1e6
        if megabytes > REQUEST_MB:
            raise ValueError(
                f"expected to show a video frame by frame, got a request for {len(indices)} frames at once "
                f"({megabytes:.0f} MB); put time back on the slider"
            )
        part = np.broadcast_to(np.uint8(0), self.shape[1:])[where]  # its shape, without a frame
        out = np.empty((len(indices), *part.shape), dtype=self.dtype)
        for row, index in enumerate(indices):
            out[row] = self.frame(index)[where]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def release(self) -> None:
        """Forget decoded frames and close the file; the next request opens it again."""
        with self._lock:
            self._kept.clear()
            self._last = -1
            if self._close is not None:
                self._close()
