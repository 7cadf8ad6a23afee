"""Frames of a video file decoded by torchcodec, on the processor or on an NVIDIA GPU; optional.

Times, key frames and the number of frames are those of our own :mod:`.frame_index`; torchcodec only decodes. It counts
the frames of a file for itself, so its picture is taken for frame i only if it carries the time stamp of our frame i.
That alone is not enough: without presentation times, or behind a key frame that refreshes the picture bit by bit, a
wrong picture carries the right stamp. Such files are refused for what they are; and when a file is opened, its first
frame and two key frames have to look as the default decoder shows them.

Neither torch nor torchcodec is loaded before a file is opened.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from av.video.frame import PictureType

from .frame_index import open_container
from .video import _INHERITED, Video

RUN = 16  # frames that are decoded in one call when they are read one after another: a call costs as much as a frame
BATCH_BYTES = 64_000_000  # pictures that torchcodec holds at once, before they go into the caller's array
SAME_PICTURE = 3.0  # mean difference of a colour in grey levels; 0 on processors, GPUs round otherwise
BY_POSITION = (
    "mpegts",
    "mpeg",
)  # containers in which a seek goes by position in the file and can land behind the frame
ADVICE = "read this file with the default decoder, 'pyav'"
INSTALL = (
    "pip install --no-deps torchcodec==0.13.0 (the version that goes with your torch), and the FFmpeg libraries "
    "(Debian and Ubuntu: apt-get install ffmpeg)"
)


class _NotThisFrame(Exception):
    """torchcodec gave the picture of another time."""


class TorchcodecVideo(Video):
    """A video file as a read-only sequence of RGB frames, decoded by torchcodec.

    Parameters
    ----------
    path : str or os.PathLike
        A video file.
    device : str
        ``"cpu"``, or ``"cuda"`` (``"cuda:1"``) for the decoder of an NVIDIA GPU. Frames are NumPy arrays all the same.
    **options
        As in :class:`Video`. Of decoded frames only the last run is kept, at most 16 and ``cache_mb``.

    Raises
    ------
    ImportError
        If torchcodec or the FFmpeg libraries that it loads are not there.
    FileNotFoundError, IsADirectoryError, ValueError
        As :class:`Video`; if torchcodec cannot read the file or would show other frames, or there is no such device.

    Notes
    -----
    On a processor, frames were those of :class:`Video` to the bit in every file we tried. Those made small or grey are
    made from the RGB picture and differ by some grey levels, since the default decoder scales before it makes RGB.
    A damaged picture may come as FFmpeg patched it up, where :class:`Video` says that it is damaged:
    ``behavior-prism check`` finds those.

    Examples
    --------
    >>> video = TorchcodecVideo("arena.mp4", device="cuda")  # doctest: +SKIP
    >>> video[[5, 700, 31]].shape                            # doctest: +SKIP
    (3, 480, 640, 3)
    """

    def __init__(self, path: str | os.PathLike[str], *, device: str = "cpu", **options: Any) -> None:
        _decoder_class()
        self._reader: Any
        self._run: dict[int, np.ndarray]  # finished pictures of the last run
        self._last: int  # the frame that was asked for last
        self._alone: range  # frames among which one cannot be read: they are decoded one by one
        self._device = _expect_device(device)
        super().__init__(path, **options)
        self._resized = options.get("size") is not None
        self._stream = self._refuse_what_comes_out_wrong()
        self._compare_with_default()

    def __repr__(self) -> str:
        return f"Torchcodec{super().__repr__()[:-1]}, {self._device})"

    # -- reading

    def _picture(self, i: int) -> np.ndarray:
        before, self._last = self._last, i
        if i not in self._run:
            frames = self._run_to(i, before)
            try:
                pictures = self._fetch(frames)
            except ValueError:
                if len(frames) == 1:
                    raise
                self._alone, frames = frames, range(i, i + 1)  # it may be another one that cannot be read
                pictures = self._fetch(frames)
            if not self._run_length:
                return self._finish(pictures[0])
            self._run = {k: self._finish(picture) for k, picture in zip(frames, pictures, strict=True)}
        return self._run[i].copy()

    def _run_to(self, i: int, before: int) -> range:
        """Frames to decode for frame i: ahead of it or behind it if they are read one after another."""
        length = 1 if i in self._alone else self._run_length
        if length > 1 and i == before + 1:
            return range(i, min(i + length, len(self)))
        if length > 1 and i == before - 1:
            return range(max(0, i + 1 - length), i + 1)
        return range(i, i + 1)

    @property
    def _run_length(self) -> int:
        """How many pictures may be kept."""
        return min(RUN, self._cache_bytes // int(np.prod(self.shape[1:])))

    def _read(self, indices: Sequence[int]) -> np.ndarray:
        places: dict[int, list[int]] = {}
        for place, i in enumerate(indices):
            places.setdefault(self._normalise(i), []).append(place)
        out = np.empty((len(indices), *self.shape[1:]), dtype=np.uint8)
        frames, at_once = sorted(places), max(1, BATCH_BYTES // (3 * self.index.height * self.index.width))
        with self._lock:
            for start in range(0, len(frames), at_once):
                part = frames[start : start + at_once]
                for i, picture in zip(part, self._fetch(part), strict=True):
                    out[places[i]] = self._finish(picture)
        return out

    def _fetch(self, frames: Sequence[int]) -> list[np.ndarray]:
        """Pictures of increasing frames, RGB, in the file's own size; the error names the one that cannot be read."""
        fresh = self._reader is None
        try:
            return list(self._decode_at(frames))
        except _NotThisFrame as error:
            reason = str(error)
        except (RuntimeError, IndexError) as error:
            reason = f"cannot be decoded by torchcodec ({_first_line(error)})"
        self._reader = None  # after an error torchcodec gives pictures of other times
        if not fresh or len(frames) > 1:
            return [self._fetch([i])[0] for i in frames]
        (i,) = frames
        raise ValueError(f"{self.path}: frame {i} (at {self.times[i]:.3f} s) {reason}; {ADVICE}")

    def _decode_at(self, frames: Sequence[int]) -> np.ndarray:
        if self._reader is None:
            self._reader = self._open_reader()
        batch = self._reader.get_frames_at(list(frames))
        tick = float(self.index.time_base)
        times, got = self.index.pts[list(frames)] * tick, batch.pts_seconds.cpu().numpy()
        wrong = np.flatnonzero(~(np.abs(got - times) <= tick / 2))
        if wrong.size:
            shown = got[wrong[0]] - self.index.start_time
            raise _NotThisFrame(f"is not what torchcodec gives, which is the picture at {shown:.3f} s")
        pictures = batch.data.cpu().numpy()
        height, width = self.index.orientation.size(self.index.height, self.index.width)
        if pictures.shape[1:3] != (height, width):
            h, w = pictures.shape[1:3]
            raise ValueError(f"{self.path}: expected frames of {width}x{height}, got one of {w}x{h}")
        return pictures

    def _finish(self, picture: np.ndarray) -> np.ndarray:
        if not (self._resized or self._grey):
            return picture
        import cv2

        height, width, channels = self.shape[1:]
        if self._resized:
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        if self._grey:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return picture.reshape(height, width, channels)

    def _open_reader(self) -> Any:
        """Open a decoder and show it the first picture.

        Old x264 files in 4:4:4 name their encoder's version in the first packet only; a decoder that never saw it gets
        every frame behind another key frame wrong.
        """
        self._refuse_if_changed()
        try:
            reader = _decoder_class()(
                str(self.path.absolute()),  # FFmpeg takes what stands before the colon of "12:30.mp4" for a protocol
                stream_index=self._stream,
                dimension_order="NHWC",
                num_ffmpeg_threads=0,
                device=self._device,
                seek_mode="exact",
            )
            reader.get_frame_at(0)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ValueError(f"{self.path}: torchcodec cannot open it ({_first_line(error)}); {ADVICE}") from None
        return reader

    # -- what torchcodec gets wrong

    def _refuse_what_comes_out_wrong(self) -> int:
        """Number of our stream in the file; an error for files that torchcodec would show otherwise than we do."""
        index = self.index
        with open_container(self.path) as container:
            stream, kind = container.streams.video[0].index, container.format.name
        if kind in BY_POSITION:
            self._refuse("a transport or program stream, in which its seeks miss frames")
        if index.genpts or not np.array_equal(index.stamps, index.pts):
            self._refuse("one without presentation times, whose frames it puts in another order")
        if sum(index.orientation) % 2:  # each of the three is a mirror image
            self._refuse("a mirrored picture, which it does not mirror")
        return int(stream)

    def _compare_with_default(self) -> None:
        """Look at the first frame and at two key frames, to which a decoder comes by a seek."""
        keys, shown = self.index.keyframes, {}
        for i in sorted({0, *(int(k) for k in [*keys[len(keys) // 2 :][:1], *keys[-1:]])}):
            try:
                frame = self._frame(i)
            except ValueError:
                continue  # damaged, which is said to those who read it
            if i and frame.pict_type in (PictureType.P, PictureType.B):
                self._refuse("a picture that is refreshed bit by bit, which it shows before it is complete")
            shown[i] = self.index.orientation.apply(frame.to_ndarray(format="rgb24"))
        self.close()  # the default decoder
        for i, expected in shown.items():
            (got,) = self._fetch([i])
            if np.abs(got.astype(np.int16) - expected).mean() > SAME_PICTURE:
                self._refuse(f"one whose frame {i} it shows otherwise than the default decoder")

    def _refuse(self, what: str) -> None:
        raise ValueError(f"{self.path}: expected a video that torchcodec reads right, got {what}; {ADVICE}")

    # -- life

    def _start_afresh(self) -> None:
        super()._start_afresh()
        self._reader, self._run, self._last, self._alone = None, {}, -2, range(0)

    def _leave_to_parent(self) -> None:
        _INHERITED.append(self._reader)
        super()._leave_to_parent()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name not in ("_reader", "_run")}


def open_video_file(
    path: str | os.PathLike[str], *, decoder: str = "pyav", device: str = "cpu", **options: Any
) -> Video:
    """Open one video file with the decoder that is asked for.

    Parameters
    ----------
    path : str or os.PathLike
        A video file.
    decoder : {"pyav", "torchcodec"}
        Who decodes it: :class:`Video` or :class:`TorchcodecVideo`.
    device : str
        Where; other than ``"cpu"`` only with torchcodec.
    **options
        As in :class:`Video`.

    Returns
    -------
    Video

    Raises
    ------
    ImportError, FileNotFoundError, IsADirectoryError, ValueError
        As these two; if there is no such decoder, or it does not decode there.
    """
    if decoder == "torchcodec":
        return TorchcodecVideo(path, device=device, **options)
    if decoder != "pyav":
        raise ValueError(f"decoder: expected 'pyav' or 'torchcodec', got {decoder!r}")
    if device != "cpu":
        raise ValueError(f"device: expected 'cpu' with the decoder 'pyav', got {device!r}")
    return Video(path, **options)


def _decoder_class() -> Any:
    """``torchcodec.decoders.VideoDecoder``, loaded when it is first needed."""
    try:
        return importlib.import_module("torchcodec.decoders").VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:  # a build for CUDA, or no FFmpeg, is no ImportError
        raise ImportError(f"torchcodec cannot be loaded ({_first_line(error)}): {INSTALL}") from None


def _expect_device(device: str) -> str:
    import torch

    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError):
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device: expected 'cpu' or 'cuda', got {device!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device: expected an NVIDIA GPU for {device!r}, torch finds none here")
    return str(device)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    # torch puts the place in its own source before what it says
    return re.sub(r"^\w+, \S+:\d+, ", "", lines[0]) if lines else type(error).__name__
