"""Exact access to the frames of a video file.

Frames are found by presentation time through :mod:`.frame_index`, never by ``CAP_PROP_POS_FRAMES`` or
``frame / fps``. A frame that cannot be decoded is an error that names it, never a neighbour in its place; and so is
all that follows it up to the next key frame, since it was made from it. Damage that the decoder takes for a picture
stays unseen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import av.error
import numpy as np

from .frame_index import FrameIndex, build_frame_index, open_container, reason_of, thread_type


class Video:
    """A video file as a read-only sequence of RGB frames.

    Parameters
    ----------
    path : str or os.PathLike
        A video file that FFmpeg can read.
    allow_cut_short : bool
        Take a file whose header promises more frames than it holds. Off by default: half a recording that
        looks like a whole one falsifies every time budget.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    index : FrameIndex
        Presentation times and key frames.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If the file is missing, not a video, empty or cut short.

    Examples
    --------
    >>> video = Video("arena.mp4")                 # doctest: +SKIP
    >>> video[10].shape, len(video), video.times[1]  # doctest: +SKIP
    ((480, 640, 3), 900, 0.0333)
    """

    def __init__(self, path: str | os.PathLike[str], *, allow_cut_short: bool = False) -> None:
        self.path = Path(path)
        self.index: FrameIndex = build_frame_index(self.path)
        if self.index.cut_short and not allow_cut_short:
            raise ValueError(
                f"{self.path}: cut short: {self.index.cut_short}; allow it explicitly to use the part that is there"
            )
        self._container: Any = None
        self._stream_of_frames: Iterator[tuple[int, Any]] | None = None
        self._next = 0  # no frame before this index can come from the running decoder
        self._threads = ""  # of the running decoder
        self._landed = False  # whether a seek has led to a good frame before the one looked for
        self._damaged: set[int] = set()

    # -- what it is

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        n, h, w, _ = self.shape
        return f"Video({self.path.name!r}: {n} frames of {w}x{h}, {self.fps:.4g} fps, {self.index.codec})"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, 3)."""
        return len(self.index), self.index.height, self.index.width, 3

    @property
    def times(self) -> np.ndarray:
        """Presentation time of every frame [s], shape (n,); the first is 0."""
        return self.index.times

    @property
    def edges(self) -> np.ndarray:
        """Times of the frame edges [s], shape (n + 1,)."""
        return self.index.edges

    @property
    def fps(self) -> float:
        """Frames per second, from the median frame interval."""
        return self.index.fps

    # -- reading

    def __getitem__(self, key: int | slice | np.ndarray | list[int]) -> np.ndarray:
        if isinstance(key, (int, np.integer)):
            return self._read([self._normalise(int(key))])[0]
        if isinstance(key, slice):
            return self._read(list(range(*key.indices(len(self)))))
        return self._read([self._normalise(int(i)) for i in np.asarray(key, dtype=np.int64).ravel()])

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.iter_frames()

    def iter_frames(self, indices: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Yield frames one at a time; nothing is kept.

        Parameters
        ----------
        indices : iterable of int, optional
            Which frames; all by default. Quick when they increase, right in any order.

        Yields
        ------
        numpy.ndarray
            uint8, shape (height, width, 3), RGB.
        """
        for i in range(len(self)) if indices is None else indices:
            yield self._to_rgb(self._frame(self._normalise(int(i))))

    def _normalise(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.path}: expected a frame below {len(self)}, got {i}")
        return i % len(self)

    def _read(self, indices: list[int]) -> np.ndarray:
        out = np.empty((len(indices), *self.shape[1:]), dtype=np.uint8)
        # in file order, so that frames behind one key frame are decoded once
        for place in np.argsort(np.asarray(indices), kind="stable"):
            out[place] = self._to_rgb(self._frame(indices[place]))
        return out

    def _to_rgb(self, frame: Any) -> np.ndarray:
        if (frame.width, frame.height) != (self.index.width, self.index.height):
            raise ValueError(
                f"{self.path}: expected frames of {self.index.width}x{self.index.height}, "
                f"got one of {frame.width}x{frame.height}"
            )
        try:
            return frame.to_ndarray(format="rgb24")
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{self.path}: expected frames that turn into RGB, got {frame.format.name} ({reason_of(error)})"
            ) from None

    def _frame(self, i: int) -> Any:
        if self._threads == "AUTO" and thread_type() != "AUTO":
            self.close()  # somebody has asked for FFmpeg's messages since the file was opened
        reason, self._landed = "", False
        for prepare in self._ways_to(i):
            try:
                prepare()
                frame = self._decode_up_to(i)
            except av.error.FFmpegError as error:
                reason = f" ({reason_of(error)})"
                continue
            if frame is not None:
                return frame
        self.close()  # the next read starts afresh
        if not reason:  # else the disk may answer the next time
            self._damaged.update(range(i, self._key_after(i)))
        raise ValueError(f"{self.path}: frame {i} (at {self.times[i]:.3f} s) cannot be decoded{reason}")

    def _ways_to(self, i: int) -> list[Callable[[], None]]:
        """How to come to frame i, the quickest first."""
        if i in self._damaged:
            return []
        key = self._key_before(i)
        at_hand = self._stream_of_frames is not None and key <= self._next <= i
        before = max(key - 1, 0)  # an open group of pictures can need the one before it
        seeks = [partial(self._seek, origin) for origin in dict.fromkeys((i, before))]
        return [*([lambda: None] if at_hand else []), *seeks, partial(self._slowly_from, before)]

    def _key_before(self, i: int) -> int:
        """The last key frame up to frame i; 0 if there is none."""
        place = int(np.searchsorted(self.index.keyframes, i, side="right"))
        return int(self.index.keyframes[place - 1]) if place else 0

    def _key_after(self, i: int) -> int:
        """The first key frame behind frame i; the number of frames if there is none."""
        place = int(np.searchsorted(self.index.keyframes, i, side="right"))
        return int(self.index.keyframes[place]) if place < len(self.index.keyframes) else len(self)

    def _decode_up_to(self, i: int) -> Any:
        """Decode on to frame i; None if it is damaged or the decoder passes it by."""
        assert self._stream_of_frames is not None
        for position, frame in self._stream_of_frames:
            self._next = position + 1
            self._landed |= frame is not None and position < i
            if position == i:
                return frame
            if position > i:
                break
        return None

    def _seek(self, i: int, threads: Literal["AUTO", "NONE"] | None = None) -> None:
        if threads is not None:
            self.close()
        container = self._container
        if container is None:
            container = self._open(threads or thread_type())
            # Old x264 files in 4:4:4 name their encoder's version in the first packet only; without it the decoder
            # gets every frame behind another key frame wrong, and says nothing: show it that packet first.
            next(iter(self._stream_of_frames or ()), None)
        stream = container.streams.video[0]
        container.seek(int(self.index.stamps[i]), stream=stream, backward=True)
        self._stream_of_frames = self._decode(container, stream)
        self._next = 0

    def _slowly_from(self, i: int) -> None:
        """Read in one thread, in which an error belongs to the packet at hand, and without a seek if none got there."""
        if self._landed:
            return self._seek(i, "NONE")
        self.close()
        self._open("NONE")

    def _open(self, threads: Literal["AUTO", "NONE"]) -> Any:
        container = self._container = open_container(self.path, genpts=self.index.genpts)
        stream = container.streams.video[0]
        stream.thread_type = self._threads = threads
        stream.codec_context.options = {"err_detect": "explode"}
        self._stream_of_frames = self._decode(container, stream)
        return container

    def _decode(self, container: Any, stream: Any) -> Iterator[tuple[int, Any]]:
        """Frames that are shown, with their index, and None in place of those that damage has reached.

        What refers to a damaged picture is decoded without complaint and wrong; only a key frame that the decoder
        was given after the damage ends it.
        """
        sick, damaged_at, expected = False, -1, None
        given: dict[int, int] = {}  # when each key frame was given to the decoder, by its index
        for count, packet in enumerate(container.demux(stream)):
            if self.index.stamped_by == "dts" and packet.size:
                packet.pts = packet.dts  # a decoder hands it through to the picture
            position = None if packet.pts is None else self.index.find(packet.pts)
            if packet.is_keyframe and position is not None:
                given[position] = count
            if count == 0:
                sick, expected = not (packet.is_keyframe or packet.is_discard), position
            try:
                if packet.is_corrupt:
                    sick, damaged_at = True, count
                frames = packet.decode()
            except av.error.FFmpegError:
                sick, damaged_at = True, count
                continue
            for frame in frames:
                position = None if frame.pts is None else self.index.find(frame.pts)
                if position is None:
                    continue
                heals = given.pop(position, -1) > damaged_at
                sick = frame.is_corrupt or (not heals and (sick or expected not in (None, position)))
                expected = position + 1
                yield position, None if sick else frame

    # -- life

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._stream_of_frames = None
        if self._container is not None:
            self._container.close()
            self._container = None
        self._next = 0

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # an open decoder cannot travel to a worker process; it is opened again there
        return {**self.__dict__, "_container": None, "_stream_of_frames": None, "_next": 0}
