"""Which frames a video file shows, and when: demuxed once, nothing decoded.

Frame ``i`` is the i-th picture a viewer shows. Packets are read without decoding, those that the container
marks as not shown (edit lists, pre-roll) are left out, the rest is sorted by presentation time. Header fields
such as the frame count are never trusted for access; they serve to notice a file that was cut short.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import numpy as np

from .annotations import frame_edges


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameIndex:
    """Presentation times and key frames of one video stream.

    Parameters
    ----------
    pts : numpy.ndarray
        Presentation time of every shown frame in units of ``time_base``, int64, increasing, shape (n,).
    is_keyframe : numpy.ndarray
        Where decoding can start, bool, shape (n,).
    time_base : fractions.Fraction
        Seconds per unit of ``pts``.
    width, height : int
        Size of the picture in pixels.
    codec : str
        Name of the codec.
    header_frames : int
        Frames that the container's header promises; 0 if it says nothing.
    num_packets : int
        Packets in the file, those not shown included.
    """

    pts: np.ndarray
    is_keyframe: np.ndarray
    time_base: Fraction
    width: int
    height: int
    codec: str
    header_frames: int
    num_packets: int

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def times(self) -> np.ndarray:
        """Time of every frame [s], ``times[0] == 0``, shape (n,)."""
        return (self.pts - self.pts[0]) * float(self.time_base)

    @property
    def start_time(self) -> float:
        """The container's own time of the first frame [s]."""
        return float(self.pts[0] * self.time_base)

    @property
    def edges(self) -> np.ndarray:
        """Times of the frame edges [s], shape (n + 1,)."""
        return frame_edges(self.times)

    @property
    def fps(self) -> float:
        """Frames per second: one over the median frame interval (1 for a single frame)."""
        return 1.0 / float(np.median(np.diff(self.edges)))

    @property
    def is_cut_short(self) -> bool:
        """Whether the header promises more frames than the file holds."""
        return self.num_packets < self.header_frames


def open_container(path: Path) -> av.container.InputContainer:
    """Open a video file, with one clear error for everything that can be wrong with it.

    Parameters
    ----------
    path : pathlib.Path
        A video file.

    Returns
    -------
    av.container.InputContainer
        Holding at least one video stream.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If there is no such file, it is a folder, or no video can be found in it.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a video file, got a folder")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: expected a video file, got an empty file")
    try:
        # genpts: AVI files with B-frames carry decoding times only
        container = av.open(str(path), options={"fflags": "+genpts"})
    except av.error.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(f"{path}: not a video, or cut short before its index ({reason})") from None
    if not container.streams.video:
        container.close()
        raise ValueError(f"{path}: expected a video, found no video stream in it")
    return container


def build_frame_index(path: str | Path) -> FrameIndex:
    """Demux a video once and return its frame index.

    Parameters
    ----------
    path : str or pathlib.Path
        A video file.

    Returns
    -------
    FrameIndex

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If the file cannot be opened as a video, or shows no frame.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = container.streams.video[0]
        pts: list[int] = []
        keyframes: list[bool] = []
        num_packets = 0
        try:
            for packet in container.demux(stream):
                if packet.size == 0:  # the flush packet at the end
                    continue
                num_packets += 1
                if packet.pts is None or packet.is_discard:
                    continue
                pts.append(packet.pts)
                keyframes.append(bool(packet.is_keyframe))
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{path}: unreadable after {num_packets} frames ({error.strerror or type(error).__name__})"
            ) from None
        if not pts:
            raise ValueError(f"{path}: expected a video, got zero frames")
        order = np.argsort(np.asarray(pts), kind="stable")
        sorted_pts = np.asarray(pts, dtype=np.int64)[order]
        if len(sorted_pts) > 1 and not np.all(np.diff(sorted_pts) > 0):
            twice = int(np.flatnonzero(np.diff(sorted_pts) == 0)[0])
            raise ValueError(f"{path}: expected one frame per time, frames {twice} and {twice + 1} share theirs")
        if stream.time_base is None or not stream.width or not stream.height:
            raise ValueError(f"{path}: expected a picture size and a time base, the stream states none")
        return FrameIndex(
            pts=sorted_pts,
            is_keyframe=np.asarray(keyframes, dtype=bool)[order],
            time_base=Fraction(stream.time_base),
            width=stream.width,
            height=stream.height,
            codec=stream.codec_context.name,
            header_frames=stream.frames,
            num_packets=num_packets,
        )
