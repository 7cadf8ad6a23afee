"""Exact access to the frames of a video file.

Frames are found by presentation time through :mod:`.frame_index`, never by ``CAP_PROP_POS_FRAMES`` or
``frame / fps``. A frame that cannot be decoded is an error that names it, never a neighbour in its place; and so is
all that follows it up to the next key frame, since it was made from it. Damage that the decoder takes for a picture
stays unseen.

No thread reads ahead: FFmpeg's own threads do, and one more around them changed the rate by -5 to 19 % on two busy
cores; who has other work to overlap with (feature extraction) has a thread for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from .frame_index import FrameIndex, open_container, reason_of, thread_type
from .frame_source import FrameSource
from .index_cache import frame_index

CACHE_MB = 32.0
CACHE_FRAMES = 64  # more of small pictures would only take memory


class Video(FrameSource):
    """A video file as a read-only sequence of RGB frames.

    Parameters
    ----------
    path : str or os.PathLike
        A video file that FFmpeg can read.
    allow_cut_short : bool
        Take a file whose header promises more frames than it holds. Off by default: half a recording that
        looks like a whole one falsifies every time budget.
    size : (int, int), optional
        Height and width to scale every frame to while it is decoded, by area (FFmpeg's swscale). The file's own by
        default.
    grey : bool
        One channel (luma, 0 to 255) in place of RGB.
    cache_mb : float
        Most memory for the last decoded frames [MB], at most 64 of them, kept as the decoder gave them, so that a
        step back or a second reader at the same place costs no decoding. The decoder's own buffers come on top.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    index : FrameIndex
        Presentation times and key frames; kept on disk between runs (:mod:`.index_cache`).

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If the file is missing, not a video, empty or cut short, or an argument makes no sense; later, if a frame
        cannot be decoded or the file has changed since.

    Notes
    -----
    Several threads may read one ``Video``, one at a time; a copy each is faster. It can be sent to other processes,
    which open the file for themselves. A display matrix (a phone's rotation) is obeyed, as viewers and OpenCV do.

    Examples
    --------
    >>> video = Video("arena.mp4")                 # doctest: +SKIP
    >>> video[10].shape, len(video), video.times[1]  # doctest: +SKIP
    ((480, 640, 3), 900, 0.0333)
    >>> Video("arena.mp4", size=(120, 160), grey=True)[10:12].shape  # doctest: +SKIP
    (2, 120, 160, 1)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        allow_cut_short: bool = False,
        size: tuple[int, int] | None = None,
        grey: bool = False,
        cache_mb: float = CACHE_MB,
    ) -> None:
        path = Path(path)
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"{path}: expected a size of (height, width) of at least one pixel, got {size}")
        if cache_mb < 0:
            raise ValueError(f"{path}: expected a cache of at least 0 MB, got {cache_mb}")
        stamp = _stamp_of(path)
        self.index: FrameIndex = frame_index(path)
        if self.index.cut_short and not allow_cut_short:
            raise ValueError(
                f"{path}: cut short: {self.index.cut_short}; allow_cut_short=True takes the part that is there"
            )
        self._stamp = stamp
        self._grey = grey
        self._interpolation = "AREA" if size is not None else None
        height, width = size or self.index.orientation.size(self.index.height, self.index.width)
        super().__init__(
            path,
            shape=(len(self.index), int(height), int(width), 1 if grey else 3),
            times=self.index.times,
            start_time=self.index.start_time,
        )
        self._refuse_if_changed()
        self._cache_bytes = int(cache_mb * 1e6)
        self._damaged: set[int] = set()
        self._container: Any
        self._stream_of_frames: Iterator[tuple[int, Any]] | None
        self._next: int  # no frame before this index can come from the running decoder
        self._threads: str  # of the running decoder
        self._landed: bool  # whether a seek has led to a good frame before the one looked for
        self._kept: dict[int, Any]  # the last decoded frames, the oldest first
        self._start_afresh()

    def __repr__(self) -> str:
        n, h, w, _ = self.shape
        return f"Video({self.path.name!r}: {n} frames of {w}x{h}, {self.fps:.4g} fps, {self.index.codec})"

    # -- reading

    def _picture(self, i: int) -> np.ndarray:
        frame = self._kept.get(i)
        return self._to_array(self._frame(i) if frame is None else frame)

    def _to_array(self, frame: Any) -> np.ndarray:
        if (frame.width, frame.height) != (self.index.width, self.index.height):
            raise ValueError(
                f"{self.path}: expected frames of {self.index.width}x{self.index.height}, "
                f"got one of {frame.width}x{frame.height}"
            )
        height, width = self.index.orientation.size(*self.shape[1:3])
        try:
            picture = self._converter.reformat(
                frame, width, height, "gray" if self._grey else "rgb24", interpolation=self._interpolation
            ).to_ndarray()
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{self.path}: expected frames that turn into RGB, got {frame.format.name} ({reason_of(error)})"
            ) from None
        return self.index.orientation.apply(picture.reshape(height, width, self.shape[3]))

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
            if frame is not None:
                self._keep(position, frame)
            if position == i:
                return frame
            if position > i:
                break
        return None

    def _keep(self, position: int, frame: Any) -> None:
        """Put a good frame into the ring; the oldest ones leave it."""
        size = sum(plane.buffer_size for plane in frame.planes)
        room = min(CACHE_FRAMES, self._cache_bytes // max(1, size))  # all frames are of one size, or cannot be read
        self._kept.pop(position, None)
        while self._kept and len(self._kept) >= room:
            del self._kept[next(iter(self._kept))]
        if room:
            self._kept[position] = frame

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
        self._refuse_if_changed()
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
        """Close the file and forget decoded frames; the next read opens it again."""
        with self._lock:
            container = self._container
            self._start_afresh()
            if container is not None:
                container.close()

    def _start_afresh(self) -> None:
        self._container = None
        self._stream_of_frames = None
        self._next, self._threads, self._landed = 0, "", False
        self._kept = {}
        self._converter = VideoReformatter()

    def _leave_to_parent(self) -> None:
        """In a forked child: the decoder's threads did not come along, and to read or even close it would wait."""
        super()._leave_to_parent()
        _INHERITED.append((self._container, self._stream_of_frames, self._converter, self._kept))
        self._start_afresh()

    def _refuse_if_changed(self) -> None:
        """The index tells where frames are in the file that it was made from, and in no other."""
        if self._stamp != _stamp_of(self.path):
            raise ValueError(f"{self.path}: has changed since it was opened; open it again when it is complete")

    def __getstate__(self) -> dict[str, Any]:
        # an open decoder cannot travel to a worker process; it is opened again there
        decoder = ("_container", "_stream_of_frames", "_kept", "_converter")
        return {name: value for name, value in super().__getstate__().items() if name not in decoder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._start_afresh()


_INHERITED: list[Any] = []  # decoders of the parent process, kept so that nobody closes them here


def _stamp_of(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change; None if the file is not there, which is said when it is opened."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_size, facts.st_mtime_ns
