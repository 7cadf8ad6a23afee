"""One recording: its video, its time, where its animals are, and which part of the picture is meant."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .bout_rows import WHOLE_VIEW

if TYPE_CHECKING:
    import xarray as xr

    from .frame_source import FrameSource
    from .timestamps import Timestamps

Region = tuple[int, int, int, int]  # x, y, width, height in pixels
_SIDE_FILE = re.compile(r"\.(bouts\.(csv|tsv|txt)|tracks\.nc|captions\.csv|features\.zarr|predictions\.zarr)$", re.I)


@dataclass(frozen=True, kw_only=True)
class RecordingInfo:
    """What a lab knows about a recording and the video does not.

    Parameters
    ----------
    session, group, camera : str
        Names.
    animals : tuple of str
        Who is in it.
    notes : str
        Anything else.

    Examples
    --------
    >>> RecordingInfo(session="2024-05-01", animals=("m1", "m2")).camera
    ''
    """

    session: str = ""
    group: str = ""
    camera: str = ""
    animals: tuple[str, ...] = ()
    notes: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """A video with a name, the frames meant, and named regions of the picture.

    Parameters
    ----------
    video : FrameSource
        The frames; a :class:`Video`, or what else :func:`open_video` gives.
    name : str
        Short name, unique among the recordings of an analysis.
    regions : mapping of str to (int, int, int, int)
        Rectangles ``(x, y, width, height)`` in pixels that count as individuals (wells, arenas, panels).
        By default the whole picture, called ``"view"``.
    start_frame, stop_frame : int
        Half-open interval of the frames meant; all by default.
    tracks : xarray.Dataset, optional
        Where the animals are, movement's layout.
    clocks : mapping of str to numpy.ndarray
        What other clocks (TTL, neural data) showed when each frame was taken [s], shape (frames of the video,), not
        decreasing; a frame that a clock does not know is NaN.
    info : RecordingInfo
        Session, group, camera, animals, notes.

    Raises
    ------
    ValueError
        If a region leaves the picture, the interval leaves the video, or a clock does not fit it.

    Examples
    --------
    >>> recording = load_recording("arena.mp4")      # doctest: +SKIP
    >>> recording.num_frames, recording.individuals  # doctest: +SKIP
    (900, ('view',))
    """

    video: FrameSource
    name: str
    regions: Mapping[str, Region] = field(default_factory=dict)
    start_frame: int = 0
    stop_frame: int = -1
    tracks: xr.Dataset | None = None
    clocks: Mapping[str, np.ndarray] = field(default_factory=dict)
    info: RecordingInfo = field(default_factory=RecordingInfo)

    def __post_init__(self) -> None:
        num_frames, height, width, _ = self.video.shape
        if self.stop_frame == -1:
            object.__setattr__(self, "stop_frame", num_frames)
        if not 0 <= self.start_frame < self.stop_frame <= num_frames:
            raise ValueError(
                f"{self.video.path}: expected frames within [0, {num_frames}), "
                f"got [{self.start_frame}, {self.stop_frame})"
            )
        if not self.regions:
            object.__setattr__(self, "regions", {WHOLE_VIEW: (0, 0, width, height)})
        for name, (x, y, w, h) in self.regions.items():
            if w < 1 or h < 1 or x < 0 or y < 0 or x + w > width or y + h > height:
                raise ValueError(
                    f"{self.video.path}: region {name!r} = (x {x}, y {y}, width {w}, height {h}) "
                    f"leaves the picture of {width}x{height}"
                )
        object.__setattr__(self, "clocks", {name: self._checked(name, clock) for name, clock in self.clocks.items()})

    def _checked(self, name: str, clock: np.ndarray) -> np.ndarray:
        seconds = np.asarray(clock, dtype=np.float64)
        what = f"{self.video.path}: clock {name!r}: expected"
        if seconds.shape != (self.video.shape[0],):
            raise ValueError(f"{what} one time for each of {self.video.shape[0]} frames, got shape {seconds.shape}")
        known = seconds[~np.isnan(seconds)]
        if np.isinf(known).any() or (np.diff(known) < 0).any():
            raise ValueError(f"{what} finite times that do not go back")
        return seconds

    @property
    def individuals(self) -> tuple[str, ...]:
        """Names of the regions, in order."""
        return tuple(self.regions)

    @property
    def num_frames(self) -> int:
        """Number of frames meant."""
        return self.stop_frame - self.start_frame

    @property
    def times(self) -> np.ndarray:
        """Time of every frame of the whole video [s]."""
        return self.video.times

    @property
    def edges(self) -> np.ndarray:
        """Times of the frame edges of the whole video [s], one more than it has frames."""
        return self.video.edges

    @property
    def start_time(self) -> float:
        """What the clock behind ``times`` showed at the first frame [s]: the container's, or the camera's."""
        return self.video.start_time

    def crop(self, frame: np.ndarray, individual: str) -> np.ndarray:
        """Cut one individual's region out of a frame.

        Parameters
        ----------
        frame : numpy.ndarray
            uint8, shape (height, width, 3).
        individual : str
            Name of a region.

        Returns
        -------
        numpy.ndarray
            A view into ``frame``, shape (region height, region width, 3).
        """
        x, y, w, h = self.regions[individual]
        return frame[y : y + h, x : x + w]


def load_recording(
    path: str | Path | Sequence[str | Path],
    *,
    name: str | None = None,
    regions: Mapping[str, Region] | None = None,
    frames: tuple[int, int] | None = None,
    tracks: str | Path | xr.Dataset | None = None,
    allow_cut_short: bool = False,
    times: Sequence[float] | np.ndarray | Timestamps | None = None,
    fps: float | None = None,
    timestamps: str | Path | Timestamps | None = None,
    gaps: Sequence[float] | None = None,
    start_times: Sequence[float] | None = None,
    clocks: Mapping[str, np.ndarray] | None = None,
    info: RecordingInfo | None = None,
) -> Recording:
    """Open a video as a recording.

    Parameters
    ----------
    path : str, pathlib.Path or sequence of them
        A video file, a folder of images, a TIFF stack or a ``.npy`` file, as in :func:`open_video`; or the video files
        of one session, which follow one another in natural order of their paths, unless ``gaps``, ``start_times`` or
        ``timestamps`` say more.
    name : str, optional
        Its name; by default the (first) file's name without its ending.
    regions : mapping of str to (int, int, int, int), optional
        As in :class:`Recording`.
    frames : (int, int), optional
        Half-open interval of the frames meant.
    tracks : str, pathlib.Path or xarray.Dataset, optional
        A pose file for :func:`load_tracks`, or what it gives, for a file that needs a tolerance or an offset.
    allow_cut_short : bool
        Take a file that holds fewer frames than its header promises.
    times, fps
        When the frames were taken, as in :func:`open_video`; one is needed for what is not a video file.
    timestamps : str, pathlib.Path or Timestamps, optional
        The camera's table of times in seconds, one row per frame; for other units, several columns or a tolerance
        what :func:`read_timestamps` gives. Warns if rows were left out or made up within that tolerance.
    gaps, start_times : sequence of float, optional
        Seconds between the files of one session, or when each begins, as in :class:`VideoSequence`; the files are then
        taken in the order given.
    clocks, info
        As in :class:`Recording`.

    Returns
    -------
    Recording

    Raises
    ------
    FileNotFoundError, ValueError
        If the video cannot be used or an argument does not fit it.
    """
    from .sources import open_video
    from .timestamps import Timestamps, read_timestamps
    from .tracks import load_tracks

    if timestamps is not None:
        if times is not None or fps is not None:
            raise ValueError(f"{path}: expected timestamps, times or fps, got two of them")
        times = timestamps if isinstance(timestamps, Timestamps) else read_timestamps(timestamps)
    video = open_video(path, times=times, fps=fps, gaps=gaps, start_times=start_times, allow_cut_short=allow_cut_short)
    start, stop = frames if frames is not None else (0, -1)
    return Recording(
        video=video,
        name=name or recording_name(video.path),
        regions=dict(regions or {}),
        start_frame=start,
        stop_frame=stop,
        tracks=load_tracks(tracks, video) if isinstance(tracks, (str, Path)) else tracks,
        clocks=dict(clocks or {}),
        info=info or RecordingInfo(),
    )


def recording_name(path: str | Path) -> str:
    """Name of the recording that a file belongs to: the file's name without its ending.

    Parameters
    ----------
    path : str or pathlib.Path
        A video, or a file that goes with one (``.bouts.csv``, ``.tracks.nc``, ``.captions.csv``, ``.features.zarr``,
        ``.predictions.zarr``).

    Returns
    -------
    str

    Examples
    --------
    >>> recording_name("mouse.1.mp4"), recording_name("mouse.1.bouts.csv"), recording_name("my.bouts.mp4")
    ('mouse.1', 'mouse.1', 'my.bouts')
    """
    name = Path(path).name
    short = _SIDE_FILE.sub("", name)
    return short if short != name else Path(name).stem


def fingerprint(path: str | Path) -> str:
    """Tell one file from another without reading all of it.

    Parameters
    ----------
    path : str or pathlib.Path
        A file of any size, or a folder of images.

    Returns
    -------
    str
        SHA-256 (hex) over the size, the first and the last MiB and 64 evenly spaced blocks of 64 KiB. Of a folder of
        images: over all names and sizes and the fingerprints of 64 evenly spaced images.
    """
    path = Path(path)
    if path.is_dir():
        return _fingerprint_of_images(path)
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    mebi, block = 1 << 20, 1 << 16
    with path.open("rb") as file:
        digest.update(file.read(mebi))
        for place in np.linspace(0, max(0, size - block), 64).astype(np.int64):
            file.seek(int(place))
            digest.update(file.read(block))
        file.seek(max(0, size - mebi))
        digest.update(file.read(mebi))
    return digest.hexdigest()


def _fingerprint_of_images(folder: Path) -> str:
    from .sources import image_names

    names = image_names(folder)
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0{(folder / name).stat().st_size}\0".encode())
    for place in np.unique(np.linspace(0, len(names) - 1, 64).astype(np.int64)):
        digest.update(fingerprint(folder / names[int(place)]).encode())
    return digest.hexdigest()
