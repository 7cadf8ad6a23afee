"""Which frames a video file shows, and when: demuxed once, nothing decoded.

Frame ``i`` is the i-th picture a viewer shows. Packets are read without decoding, those that the container
marks as not shown (edit lists, pre-roll) are left out, the rest is sorted by presentation time. Header fields
such as the frame count and the duration are never trusted for access; they serve to notice a file that was cut short.

Containers such as AVI store no presentation times. FFmpeg can make them up, rightly for MPEG-1, 2 and 4, wrongly
for h264 and h265 with B-frames; for these the order is what the decoder puts out, found by decoding once.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import av
import av.container
import av.error
import av.logging
import numpy as np

from .annotations import frame_edges
from .orientation import Orientation, orientation_of

_HEADER_KNOWS_THE_END = ("matroska,webm", "flv")
_FARTHEST_REORDER = 32  # frames by which a picture may be stored early or late; twice what h264 and h265 allow
_PICTURES = {b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"II+\0": "a TIFF", b"MM\0+": "a TIFF", b"\x93NUMPY": "an array"}
_MPEG4_PICTURE = b"\0\0\1\xb6"


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameIndex:
    """Presentation times and key frames of one video stream.

    Parameters
    ----------
    pts : numpy.ndarray
        Presentation time of every shown frame in units of ``time_base``, int64, increasing, shape (n,).
    stamps : numpy.ndarray
        What tells the packet of every shown frame from the others, int64, shape (n,): its presentation time, or its
        decoding time if the container stores no other.
    stamped_by : {"pts", "dts"}
        Which of the two ``stamps`` are.
    genpts : bool
        Whether FFmpeg has to fill in presentation times.
    is_keyframe : numpy.ndarray
        Where decoding can start, bool, shape (n,).
    time_base : fractions.Fraction
        Seconds per unit of ``pts``.
    width, height : int
        Size of the stored picture in pixels, before it is turned.
    orientation : Orientation
        How a viewer turns it.
    codec : str
        Name of the codec.
    cut_short : str
        What shows that the file has lost its end; empty if nothing does.
    """

    pts: np.ndarray
    stamps: np.ndarray
    stamped_by: str
    genpts: bool
    is_keyframe: np.ndarray
    time_base: Fraction
    width: int
    height: int
    orientation: Orientation
    codec: str
    cut_short: str

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def _rank(self) -> np.ndarray:
        return np.argsort(self.stamps)

    def find(self, stamp: int) -> int | None:
        """Which frame a stamp belongs to.

        Parameters
        ----------
        stamp : int
            One of ``stamps``.

        Returns
        -------
        int or None
            None if no shown frame has it.
        """
        place = int(np.searchsorted(self.pts, stamp))  # the stamps, sorted, are the times
        return int(self._rank[place]) if place < len(self) and self.pts[place] == stamp else None

    @cached_property
    def keyframes(self) -> np.ndarray:
        """Indices of the key frames, increasing."""
        return np.flatnonzero(self.is_keyframe)

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


def open_container(path: Path, *, genpts: bool = False) -> av.container.InputContainer:
    """Open a video file, with one clear error for everything that can be wrong with it.

    Parameters
    ----------
    path : pathlib.Path
        A video file.
    genpts : bool
        Let FFmpeg fill in presentation times that the container does not store.

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
        raise IsADirectoryError(f"{path}: expected a video file, got a folder; images in it are opened with open_video")
    if not path.is_file():  # reading from a pipe would wait for ever
        raise ValueError(f"{path}: expected a video file, got a pipe or a device")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: expected a video file, got an empty file")
    with path.open("rb") as file:
        begin = file.read(6)
    what = next((name for first, name in _PICTURES.items() if begin.startswith(first)), "")
    if what:  # FFmpeg would show the first page of a stack
        raise ValueError(
            f"{path}: expected a video file, got {what}; open it with open_video (behavior_prism.datasets), "
            "and say how fast its frames came (fps)"
        )
    try:
        # absolute: FFmpeg takes what stands before the colon of "12:30.mp4" for a protocol
        # flag said either way: PyAV sets it by default
        container = av.open(str(path.absolute()), options={"fflags": "+genpts" if genpts else "-genpts"})
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: not a video, or cut short before its index ({reason_of(error)})") from None
    if not container.streams.video:
        container.close()
        raise ValueError(f"{path}: expected a video, found no video stream in it")
    if container.streams.video[0].codec_context is None:
        container.close()
        raise ValueError(f"{path}: expected a video that FFmpeg can decode, its header names no codec that it knows")
    return container


class _Packet(NamedTuple):
    pts: int | None
    dts: int | None
    duration: int
    is_keyframe: bool
    is_discard: bool
    is_corrupt: bool


def _refuse_packed(path: Path, packet: bytes) -> None:
    """Old DivX and XviD files store two pictures in one packet, and then an empty one: nothing tells their times."""
    if packet.count(_MPEG4_PICTURE) > 1:
        raise ValueError(
            f"{path}: expected one picture per packet, got packed B-frames (old DivX, XviD); unpack it without loss: "
            f"ffmpeg -i {path.name} -c copy -bsf:v mpeg4_unpack_bframes {path.stem}-unpacked.avi"
        )


def _refuse_jumping_clock(path: Path, stamps: np.ndarray, time_base: Fraction) -> None:
    """Sorted by time, the pictures of recordings that were joined byte by byte would lie between one another."""
    off = np.abs(np.argsort(stamps, kind="stable") - np.arange(len(stamps)))
    if len(off) and off.max() > _FARTHEST_REORDER:
        back = int(np.argmin(np.diff(stamps)))
        jump = float((stamps[back] - stamps[back + 1]) * time_base)
        raise ValueError(
            f"{path}: expected one clock, it jumps back by {jump:.3f} s after {back + 1} frames; "
            "were recordings joined byte by byte? Give the single files"
        )


def _packets(path: Path, container: av.container.InputContainer) -> list[_Packet]:
    """What the packets of the first video stream say of themselves, in the order of the file."""
    packets: list[_Packet] = []
    stream = container.streams.video[0]
    try:
        for p in container.demux(stream):
            if p.size:  # not the flush packet at the end
                if stream.codec_context.name == "mpeg4" and len(packets) < _FARTHEST_REORDER:
                    _refuse_packed(path, bytes(p))
                packets.append(_Packet(p.pts, p.dts, p.duration or 0, p.is_keyframe, p.is_discard, p.is_corrupt))
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: unreadable after {len(packets)} frames ({reason_of(error)})") from None
    return packets


def _promised_seconds(container: av.container.InputContainer) -> float:
    """When the first video stream ends by the header's word; 0 where the header does not know."""
    if container.format.name not in _HEADER_KNOWS_THE_END:
        return 0.0
    tags = container.streams.video[0].metadata
    tag = re.fullmatch(r"(\d+):(\d+):([\d.]+)", next((v for k, v in tags.items() if k.startswith("DURATION")), ""))
    if tag:
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
    alone = len(container.streams) == 1  # else the end may be that of the sound
    return (container.duration or 0) / av.time_base if alone else 0.0


def _what_is_missing(
    path: Path,
    container_format: str,
    promised: tuple[int, float],
    packets: list[_Packet],
    pts: np.ndarray,
    time_base: Fraction,
) -> str:
    frames, seconds = promised
    held = len(packets)
    if container_format == "avi":  # its header counts dropped frames too: places in time with nothing stored
        held = max([held, *(p.dts + 1 for p in packets[-1:] if p.dts is not None)])
    if held < frames:
        return f"its header promises {frames} frames, the file holds {len(packets)}"
    intervals = np.diff(pts) if len(pts) > 1 else np.ones(1)
    shown_for = max(float(np.median(intervals)), packets[-1].duration)
    end = float((pts[-1] + shown_for) * time_base)
    tolerance = float(max(3 * np.median(intervals), intervals.max()) * time_base)
    if end < seconds - tolerance:
        return f"its header promises {seconds:.3f} s, the file ends at {end:.3f} s"
    if packets[-1].is_corrupt:
        return "its last frame is incomplete"
    if container_format == "gif" and not path.read_bytes().rstrip(b"\0").endswith(b";"):
        return "it lacks the byte that ends a gif"
    return ""


def _output_order(path: Path) -> np.ndarray:
    """Decoding times of all packets in the order in which the decoder puts their pictures out."""
    stamps: list[int] = []
    with open_container(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = thread_type()
        stream.codec_context.options = {"skip_loop_filter": "all"}  # the order matters here, not the picture
        for packet in container.demux(stream):
            if packet.size:
                packet.pts = packet.dts  # a decoder hands it through to the picture
            with contextlib.suppress(av.error.FFmpegError):  # damage is found where pictures are read
                stamps += [f.pts for f in packet.decode() if f.pts is not None]
    return np.asarray(stamps, dtype=np.int64)


def _orientation(path: Path, genpts: bool) -> Orientation:
    """Look at the first frame that can be decoded: the container's word and the codec's are both told there."""
    with open_container(path, genpts=genpts) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # one frame is wanted, not as many as there are threads
        for packet in container.demux(stream):
            with contextlib.suppress(av.error.FFmpegError):  # damage is found where pictures are read
                for frame in packet.decode():
                    try:
                        return orientation_of(frame)
                    except ValueError as error:
                        raise ValueError(
                            f"{path}: {error}; encode it as it is shown: ffmpeg -i {path.name} {path.stem}-upright.mp4"
                        ) from None
    return Orientation()


def _certain_in_spite_of_the_cut(stamps: np.ndarray, is_keyframe: np.ndarray) -> int:
    """How many frames of a cut file are certainly the first ones, if only their decoding times are stored.

    A picture is stored before those that are shown before it and refer to it. If the cut took these, it moves up into
    their place, and nothing tells. So it ends at the last key frame but one (behind which pictures can still be
    stored that are shown before it), and where all pictures that are stored up to there are shown up to there.
    """
    keyframes = np.flatnonzero(is_keyframe)
    if len(keyframes) < 3:
        return 0
    complete = np.maximum.accumulate(stamps) == np.sort(stamps)
    ends = np.flatnonzero(complete[: keyframes[-2]])
    return int(ends[-1]) + 1 if len(ends) else 0


def thread_type() -> Literal["AUTO", "NONE"]:
    """How a decoder may use threads.

    Returns
    -------
    {"AUTO", "NONE"}

    Notes
    -----
    Frame threads that log through Python's lock while the decoder is freed under it wait for each other for ever;
    by default PyAV does not log through Python, but a program around us may have asked it to. Slice threads are no way
    out: with them h264 keeps some damage to itself.
    """
    return "AUTO" if av.logging.get_level() is None else "NONE"


def reason_of(error: av.error.FFmpegError) -> str:
    """What FFmpeg says is wrong.

    Parameters
    ----------
    error : av.error.FFmpegError
        Its error.

    Returns
    -------
    str
        A few words.
    """
    return error.strerror or type(error).__name__


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
    genpts, stamped_by = False, "pts"
    with open_container(path) as container:
        stream = container.streams.video[0]
        if stream.time_base is None or not stream.width or not stream.height:
            raise ValueError(f"{path}: expected a picture size and a time base, the stream states none")
        time_base, container_format = Fraction(stream.time_base), container.format.name
        promised = stream.frames, _promised_seconds(container)
        width, height, codec = stream.width, stream.height, stream.codec_context.name
        packets = _packets(path, container)
        if any(p.pts is None for p in packets):
            # The parsers of h264 and h265 leave all times to the container; those of the older codecs know better.
            genpts = codec not in ("h264", "hevc", "vvc")
            stamped_by = "pts" if genpts else "dts"
        reorders = bool(stream.codec_context.has_b_frames)
    if genpts:
        with open_container(path, genpts=True) as container:
            packets = _packets(path, container)
    shown = [p for p in packets if not p.is_discard and getattr(p, stamped_by) is not None]
    if any(not p.is_discard for p in packets) and not shown:
        raise ValueError(
            f"{path}: expected time stamps, the file carries none; re-wrap it with its frame rate: "
            f"ffmpeg -framerate 30 -i {path.name} -c copy {path.stem}.mp4"
        )
    if not shown:
        raise ValueError(f"{path}: expected a video, got zero frames")
    keyframe_of = {getattr(p, stamped_by): p.is_keyframe for p in shown}
    stored = np.asarray([getattr(p, stamped_by) for p in shown], dtype=np.int64)
    _refuse_jumping_clock(path, stored, time_base)
    pts = np.sort(stored)
    if not np.all(np.diff(pts) > 0):
        twice = int(np.flatnonzero(np.diff(pts) == 0)[0])
        raise ValueError(f"{path}: expected one frame per time, frames {twice} and {twice + 1} share theirs")
    stamps = pts
    if stamped_by == "dts" and reorders:
        stamps = _output_order(path)
        if not np.array_equal(np.sort(stamps), pts):
            raise ValueError(
                f"{path}: damaged, and without presentation times: {len(stamps)} of {len(pts)} frames can be put in "
                f"order; encode it anew: ffmpeg -i {path.name} {path.stem}.mp4"
            )
    is_keyframe = np.asarray([keyframe_of[int(s)] for s in stamps], dtype=bool)
    cut_short = _what_is_missing(path, container_format, promised, packets, pts, time_base)
    if cut_short and reorders and (genpts or stamped_by == "dts"):
        count = _certain_in_spite_of_the_cut(stamps, is_keyframe)
        if not count:
            raise ValueError(f"{path}: cut short: {cut_short}; too little is left to tell the order of its frames")
        pts, stamps, is_keyframe = pts[:count], stamps[:count], is_keyframe[:count]
    return FrameIndex(
        pts=pts,
        stamps=stamps,
        stamped_by=stamped_by,
        genpts=genpts,
        is_keyframe=is_keyframe,
        time_base=time_base,
        width=width,
        height=height,
        orientation=_orientation(path, genpts),
        codec=codec,
        cut_short=cut_short,
    )
