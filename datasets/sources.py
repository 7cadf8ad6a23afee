"""Frames that do not come as a video file: folders of images, TIFF stacks, arrays. Same interface as ``Video``.

None of these says when its frames were taken, so the caller has to. Pictures are 8 bit: what counts as black
and white in 16 bits differs from camera to camera, and a guess would change from recording to recording.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .frame_source import FrameSource
from .timestamps import Timestamps
from .torchcodec_video import open_video_file
from .video import Video
from .video_sequence import VideoSequence, in_natural_order

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
TIFF_ENDINGS = (".tif", ".tiff")
STACK_CHUNK_BYTES = 32_000_000  # pages of a TIFF that OpenCV reads at once


def open_video(
    source: str | os.PathLike[str] | np.ndarray | Sequence[str | os.PathLike[str]],
    *,
    times: Sequence[float] | np.ndarray | Timestamps | None = None,
    fps: float | None = None,
    gaps: Sequence[float] | None = None,
    start_times: Sequence[float] | None = None,
    allow_cut_short: bool = False,
    decoder: str = "pyav",
    device: str = "cpu",
) -> FrameSource:
    """Open whatever frames are in: a video file, a folder of images, a TIFF stack, a ``.npy`` file or an array.

    Parameters
    ----------
    source : str, os.PathLike, numpy.ndarray, or sequence of paths
        A file, the video files of one session as for :class:`VideoSequence`, a folder of ``.png``, ``.jpg``, ``.bmp``
        or ``.tif`` files of one size (in natural order of their names: ``2`` before ``10``), or an array
        ``(frames, height, width)`` or ``(frames, height, width, 3)`` of uint8.
    times : sequence of float or Timestamps, optional
        When each frame was taken [s], increasing, or what :func:`read_timestamps` gives; warns if that leaves out rows
        or makes them up. A video file carries times of its own; these take their place.
    fps : float, optional
        Frames per second, where they are evenly spaced; one of the two is needed unless it is a video file.
    gaps, start_times : sequence of float, optional
        Of the files of one session, as in :class:`VideoSequence`; the files are then taken in the order given.
    allow_cut_short : bool
        As in :class:`Video`.
    decoder : {"pyav", "torchcodec"}
        What decodes video files; torchcodec is optional and has to be installed, see :class:`TorchcodecVideo`.
    device : str
        Where torchcodec decodes: ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    FrameSource
        A :class:`Video` for a video file, a :class:`VideoSequence` for several.

    Raises
    ------
    FileNotFoundError, ValueError
        If it cannot be used or the times do not fit it; later, if a picture cannot be read or is of another size.
    ImportError
        If torchcodec is asked for and not there.

    Examples
    --------
    >>> frames = open_video(np.zeros((4, 8, 6), np.uint8), fps=2)
    >>> frames.shape, frames.times.tolist(), frames[2].shape
    ((4, 8, 6, 3), [0.0, 0.5, 1.0, 1.5], (8, 6, 3))
    """
    own_times = times is None and fps is None
    begins_known = gaps is not None or start_times is not None
    if begins_known and not own_times:
        raise ValueError("expected gaps or start times of files, or times or fps of all frames, got both")
    if begins_known and not isinstance(source, (list, tuple)):
        what = "an array" if isinstance(source, np.ndarray) else str(source)
        raise ValueError(f"gaps, start_times: expected a list of files of one session to go with, got {what}")
    options: dict[str, Any] = {"allow_cut_short": allow_cut_short, "decoder": decoder, "device": device}
    video: Video | VideoSequence
    if isinstance(source, (list, tuple)):
        if own_times:
            return VideoSequence(source, gaps=gaps, start_times=start_times, **options)
        # where times are given, a file that lost its end is no gap of unknown length
        none = [0.0] * (len(source) - 1)
        video = VideoSequence(in_natural_order(source), gaps=none, **options)
        video.take_times(*_clock(video.path, len(video), times, fps))
        return video
    pictures = _open_pictures(source, times, fps)  # type: ignore[arg-type]
    if pictures is not None:
        if decoder != "pyav":
            raise ValueError(f"{pictures.path}: expected a video file for the decoder {decoder!r}, got pictures")
        return pictures
    path = Path(source)  # type: ignore[arg-type]
    video = open_video_file(path, **options)
    if not own_times:
        video.take_times(*_clock(path, len(video), times, fps))
    return video


def _open_pictures(source: np.ndarray | str | os.PathLike[str], times: Any, fps: float | None) -> FrameSource | None:
    """What is no video file; None if it has to be one."""
    if isinstance(source, np.ndarray):
        return ArrayFrames(source, times=times, fps=fps)
    path = Path(source)
    if path.is_dir():
        return ImageFolder(path, times=times, fps=fps)
    if path.suffix.lower() in TIFF_ENDINGS:
        return TiffStack(path, times=times, fps=fps)
    if path.suffix.lower() == ".npy":
        return ArrayFrames(path, times=times, fps=fps)
    return None


class ImageFolder(FrameSource):
    """A folder of images, one per frame.

    Parameters
    ----------
    path : str or os.PathLike
        The folder; hidden files and files of other kinds in it are passed over.
    times, fps
        As in :func:`open_video`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such folder, it holds no images, two kinds of them or TIFF stacks, or ``fps`` is given and
        numbers are missing among the names.
    """

    def __init__(self, path: str | os.PathLike[str], *, times: Any = None, fps: float | None = None) -> None:
        path = Path(path)
        self.names: tuple[str, ...] = tuple(image_names(path))
        if fps is not None:
            _refuse_gaps(path, self.names)
        _refuse_stacks(path / self.names[0])
        height, width = _load_image(path / self.names[0]).shape[:2]
        when, start = _clock(path, len(self.names), times, fps)
        super().__init__(path, shape=(len(self.names), height, width, 3), times=when, start_time=start)

    def _picture(self, i: int) -> np.ndarray:
        return _of_one_size(self, i, _load_image(self.path / self.names[i]))


class TiffStack(FrameSource):
    """A TIFF file with one page per frame.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    times, fps
        As in :func:`open_video`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it is no TIFF, or its pages are not 8-bit grey or RGB.

    Notes
    -----
    Pages are read one by one with tifffile if it is installed and knows the compression, else in runs of at most
    32 MB with OpenCV, which has to pass over all pages before them.
    """

    def __init__(self, path: str | os.PathLike[str], *, times: Any = None, fps: float | None = None) -> None:
        path = Path(path)
        _expect_file(path)
        self._run: tuple[int, list[np.ndarray]] = (0, [])
        self._tiff: Any = None
        self._run_length = 1
        self.path = path  # the readers below name it
        self._with_tifffile = _tifffile_reads(path)
        count = self._count_pages()
        first = self._page(0)
        self._run_length = max(1, STACK_CHUNK_BYTES // max(1, first.nbytes))
        when, start = _clock(path, count, times, fps)
        super().__init__(path, shape=(count, *first.shape[:2], 3), times=when, start_time=start)

    def _picture(self, i: int) -> np.ndarray:
        return _of_one_size(self, i, self._page(i))

    def _count_pages(self) -> int:
        if self._with_tifffile:
            tiff = self._open()
            try:
                count = len(tiff.pages)
                whole = tiff.series[0].shape if count == 1 and tiff.series else ()
            except Exception as error:
                raise ValueError(f"{self.path}: not a TIFF file, or damaged ({_first_line(error)})") from None
            _refuse_channels(self.path, tiff)
            if whole and np.prod(whole) != np.prod(tiff.pages[0].shape):
                raise ValueError(
                    f"{self.path}: expected one page per frame, got one page for a stack of shape {whole}; "
                    "save it as a plain TIFF stack or as .npy"
                )
            return count
        import cv2

        try:
            count = int(cv2.imcount(str(self.path)))
        except cv2.error:
            count = 0
        if count < 1:
            raise ValueError(f"{self.path}: not a TIFF file, or damaged")
        return count

    def _open(self) -> Any:
        if self._tiff is None:
            import tifffile

            try:
                self._tiff = tifffile.TiffFile(self.path)
            except Exception as error:  # numbers in a damaged header may add up to anything
                raise ValueError(f"{self.path}: not a TIFF file, or damaged ({_first_line(error)})") from None
        return self._tiff

    def _page(self, i: int) -> np.ndarray:
        """Page i, RGB."""
        if not self._with_tifffile:
            return self._page_by_opencv(i)
        tiff, where = self._open(), f"{self.path}: page {i}"
        try:
            page = tiff.pages[i]
            photometric = str(getattr(page.photometric, "name", page.photometric))
            picture = page.asarray()
        except Exception as error:  # a decompressor may raise anything
            raise ValueError(f"{where} cannot be read ({_first_line(error)})") from None
        _expect_8_bit(where, picture)
        if photometric == "MINISWHITE":
            picture = 255 - picture
        elif photometric not in ("MINISBLACK", "RGB", "YCBCR"):
            raise ValueError(f"{where}: expected grey or RGB, got {photometric.lower()}")
        if picture.ndim == 3 and page.planarconfig == 2:
            picture = np.moveaxis(picture, 0, -1)
        return _to_rgb(where, picture)

    def _page_by_opencv(self, i: int) -> np.ndarray:
        import cv2

        start, pages = self._run
        if not start <= i < start + len(pages):
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
            try:
                good, found = cv2.imreadmulti(str(self.path), i, self._run_length, flags=flags)
            except cv2.error:
                good, found = False, ()
            start, pages = self._run = i, list(found) if good else []
        if not pages:
            raise ValueError(f"{self.path}: page {i} cannot be read")
        picture = pages[i - start]
        _expect_8_bit(f"{self.path}: page {i}", picture)
        return np.ascontiguousarray(picture[..., ::-1])

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        with self._lock:
            self._run = (0, [])
            if self._tiff is not None:
                self._tiff.close()
                self._tiff = None

    def _leave_to_parent(self) -> None:
        super()._leave_to_parent()
        self._tiff = None  # parent and child would move one another's place in the file

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_tiff": None, "_run": (0, [])}


class ArrayFrames(FrameSource):
    """An array in memory, or a ``.npy`` file of which only the frames that are read come into memory.

    Parameters
    ----------
    source : numpy.ndarray, str or os.PathLike
        uint8, shape (frames, height, width) or (frames, height, width, 3); or a file that holds such an array.
    times, fps
        As in :func:`open_video`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or the array is of another type or shape.
    """

    def __init__(
        self, source: np.ndarray | str | os.PathLike[str], *, times: Any = None, fps: float | None = None
    ) -> None:
        self._from_file = not isinstance(source, np.ndarray)
        path = Path("array") if isinstance(source, np.ndarray) else Path(source)
        self._array: np.ndarray | None = source if isinstance(source, np.ndarray) else _map(path)
        if self._array.dtype != np.uint8:
            raise ValueError(f"{path}: expected uint8, got {self._array.dtype}; {_HOW_TO_8_BIT}")
        shape = self._array.shape
        if not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)) or min(shape) < 1:
            raise ValueError(f"{path}: expected shape (frames, height, width) or (..., 3), got {shape}")
        when, start = _clock(path, shape[0], times, fps)
        super().__init__(path, shape=(shape[0], shape[1], shape[2], 3), times=when, start_time=start)

    def _picture(self, i: int) -> np.ndarray:
        if self._array is None:
            self._array = _map(self.path)
            if self._array.dtype != np.uint8 or self._array.shape[:3] != self.shape[:3]:
                raise ValueError(f"{self.path}: has changed since it was opened")
        return _to_rgb(f"{self.path}: frame {i}", np.array(self._array[i]))

    def close(self) -> None:
        """Let go of the file, if there is one; the next read opens it again."""
        with self._lock:
            if self._from_file:
                self._array = None

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {**state, "_array": None} if self._from_file else state


# -- time


def _clock(path: Path, count: int, times: Any, fps: float | None) -> tuple[np.ndarray, float]:
    """Times that start at 0, and the first as it was given."""
    if (times is None) == (fps is None):
        what = "got neither" if times is None else "got both"
        raise ValueError(f"{path}: expected the frame rate (fps) or the times of its {count} frames, {what}")
    if times is None:
        assert fps is not None
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f"{path}: expected a frame rate above 0, got {fps}")
        return np.arange(count) / float(fps), 0.0
    if isinstance(times, Timestamps):
        table = times.fitted(count)
        if table.note:
            warnings.warn(table.note, stacklevel=3)
        return _expect_times(f"{times.path}: does not fit: {path}", count, table.times)[0], table.start_time
    return _expect_times(f"{path}", count, times)


def _expect_times(path: str, count: int, times: Any) -> tuple[np.ndarray, float]:
    when = np.asarray(times, dtype=np.float64)
    if when.shape != (count,):
        raise ValueError(f"{path}: expected {count} times, one per frame, got shape {when.shape}")
    wrong = np.flatnonzero(~np.isfinite(when))
    if wrong.size:
        raise ValueError(f"{path}: expected times in seconds, got {when[wrong[0]]} for frame {wrong[0]}")
    back = np.flatnonzero(np.diff(when) <= 0)
    if back.size:
        a, b = when[back[0]], when[back[0] + 1]
        raise ValueError(f"{path}: expected increasing times, got {a:g} s then {b:g} s at frame {back[0] + 1}")
    return when - when[0], float(when[0])


# -- images


def image_names(folder: Path) -> list[str]:
    """Names of the images in a folder in natural order.

    Parameters
    ----------
    folder : pathlib.Path
        Where to look; not below it.

    Returns
    -------
    list of str

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such folder, or no images or images of two kinds are in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    names = [
        entry.name
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(IMAGE_ENDINGS) and not entry.name.startswith(".") and entry.is_file()
    ]
    if not names:
        raise ValueError(f"{folder}: expected a video file or a folder of images, got a folder without images")
    kinds = Counter(Path(name).suffix.lower() for name in names)
    if len(kinds) > 1:
        found = ", ".join(f"{count} {ending}" for ending, count in kinds.most_common())
        raise ValueError(f"{folder}: expected images of one kind, got {found}; leave one kind in the folder")
    return sorted(names, key=natural_key)


def natural_key(name: str) -> tuple[Any, ...]:
    """Sort key by which ``frame2`` comes before ``frame10``.

    Parameters
    ----------
    name : str
        A file name.

    Returns
    -------
    tuple

    Examples
    --------
    >>> sorted(["frame10.png", "frame2.png", "Frame1.png"], key=natural_key)
    ['Frame1.png', 'frame2.png', 'frame10.png']
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(p) if k % 2 else p for k, p in enumerate(parts)), name


def _refuse_gaps(folder: Path, names: Sequence[str]) -> None:
    """A frame rate makes false times of pictures among which some are missing."""
    keys = [natural_key(name)[0] for name in names]
    if len({len(key) for key in keys}) > 1:
        return
    varying = [k for k in range(len(keys[0])) if len({key[k] for key in keys}) > 1]
    if len(varying) != 1 or varying[0] % 2 == 0:
        return  # not one running number
    steps = np.diff(np.asarray([key[varying[0]] for key in keys], dtype=np.float64))
    odd = np.flatnonzero(steps != np.median(steps))
    if odd.size:
        a, b = names[odd[0]], names[odd[0] + 1]
        raise ValueError(
            f"{folder}: expected evenly numbered images with a frame rate, got {a} then {b}; give the times instead"
        )


def _load_image(path: Path) -> np.ndarray:
    """One image as a viewer shows it: RGB, turned as its EXIF entry says."""
    import cv2

    _expect_file(path)
    try:
        # through memory, since OpenCV cannot open every name on every system
        picture = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        picture = None
    if picture is None:
        raise ValueError(f"{path}: not an image that OpenCV can read, or damaged")
    _expect_8_bit(f"{path}", picture)
    return np.ascontiguousarray(picture[..., ::-1])


def _refuse_stacks(image: Path) -> None:
    """Of a TIFF stack among images only the first page would ever be seen."""
    if image.suffix.lower() not in TIFF_ENDINGS:
        return
    import cv2

    try:
        pages = cv2.imcount(str(image))
    except cv2.error:
        return  # reading it says what is wrong
    if pages > 1:
        raise ValueError(
            f"{image.parent}: expected one picture in each file, got {pages} in {image.name}; open the stack itself"
        )


def _tifffile_reads(path: Path) -> bool:
    """Whether tifffile is there and can decompress this file; what else may be wrong with it is found on reading."""
    try:
        import tifffile
    except ImportError:
        return False
    try:
        with tifffile.TiffFile(path) as tiff:
            tiff.pages[0].asarray()
    except Exception as error:
        return "imagecodecs" not in str(error)
    return True


def _refuse_channels(path: Path, tiff: Any) -> None:
    """Pages of several channels or depths lie between one another: they are not one frame each."""
    if not (tiff.is_imagej or tiff.is_ome) or not tiff.series:
        return
    stack = tiff.series[0]
    outer = [f"{n} {a}" for a, n in zip(stack.axes, stack.shape, strict=True) if a not in "YXS" and n > 1]
    if len(outer) > 1:
        raise ValueError(
            f"{path}: expected one page per frame, got pages of {' x '.join(outer)}; save one channel alone"
        )


def _to_rgb(where: str, picture: np.ndarray) -> np.ndarray:
    if picture.ndim == 2:
        return np.repeat(picture[..., np.newaxis], 3, axis=2)
    if picture.ndim == 3 and picture.shape[2] in (3, 4):
        return np.ascontiguousarray(picture[..., :3])
    raise ValueError(f"{where}: expected (height, width) or (height, width, 3), got shape {picture.shape}")


_HOW_TO_8_BIT = "scale it to 8 bits with one range for all recordings"


def _expect_8_bit(where: str, picture: np.ndarray) -> None:
    if picture.dtype != np.uint8:
        raise ValueError(f"{where}: expected 8 bits per channel, got {picture.dtype}; {_HOW_TO_8_BIT}")


def _of_one_size(source: FrameSource, i: int, picture: np.ndarray) -> np.ndarray:
    if picture.shape != source.shape[1:]:
        (_, height, width, _), (h, w) = source.shape, picture.shape[:2]
        raise ValueError(f"{source.path}: expected frames of {width}x{height}, got frame {i} of {w}x{h}")
    return picture


def _expect_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: expected a file, got a folder, a pipe or a device")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: expected a picture, got an empty file")


def _map(path: Path) -> np.ndarray:
    """The array in a ``.npy`` file, read page by page as it is used."""
    _expect_file(path)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not an array of numbers, or cut short ({_first_line(error)})") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
