"""Pose tracks of every tool in movement's layout: which reader a file needs, and how its rows lie on the video.

What a file is, is told by its content where the ending does not say it (``.h5`` is written by four tools). Nothing in
any of them is unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import xarray as xr

from behavior_prism.files import atomic_write
from behavior_prism.schemas import validate_tracks

from .track_alignment import lay_on_frames
from .track_dlc import read_dlc_csv, read_dlc_h5
from .track_jabs import read_jabs
from .track_layout import check_claim
from .track_nwb import has_pose_estimation, read_nwb
from .track_pytables import is_pandas_table
from .track_sleap import read_sleap_analysis, read_with_sleap_io

_LEGACY_DIMS = {"keypoints": "keypoint", "individuals": "individual"}
_REFUSED = {
    ".npy": "bare numbers without names, confidence or order of axes; export an analysis .h5 or a csv instead",
    ".npz": "bare numbers without names, confidence or order of axes; export an analysis .h5 or a csv instead",
    ".pkl": "a pickle, and reading one runs whatever code it holds; export a csv or .h5 instead",
    ".pickle": "a pickle, and reading one runs whatever code it holds; export a csv or .h5 instead",
}


class _Timed(Protocol):
    @property
    def times(self) -> np.ndarray: ...


def load_tracks(
    path: str | Path,
    video: str | Path | _Timed | None = None,
    *,
    times: np.ndarray | None = None,
    fps: float | None = None,
    tolerance: int = 1,
    offset: int = 0,
) -> xr.Dataset:
    """Read pose tracks, of one animal or several.

    Parameters
    ----------
    path : str or pathlib.Path
        SLEAP ``.slp`` or analysis ``.h5``; DeepLabCut ``.csv`` or ``.h5`` (also lightning-pose); JABS pose ``.h5``;
        ``.nwb`` with ndx-pose; COCO ``.json``; movement's ``.nc``; or another format that sleap-io reads.
    video : str, pathlib.Path or Video, optional
        The video. The tracks are laid on its frames by :func:`align_tracks`; frames without a pose are NaN.
    times : numpy.ndarray, optional
        Time of every frame of the video [s], in place of ``video``.
    fps : float, optional
        Frames per second, if there is no video and the file counts frames; without either, time is what the file
        says.
    tolerance, offset : int
        As in :func:`align_tracks`.

    Returns
    -------
    xarray.Dataset
        ``position(time, space, keypoint, individual)`` in pixels, x before y, and
        ``confidence(time, keypoint, individual)``, NaN where the file has none. With a video the attribute
        ``alignment`` keeps what :func:`alignment_of` returns.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, cannot be read, or does not fit the video.

    Examples
    --------
    >>> import tempfile
    >>> from behavior_prism.datasets import alignment_of, simulate_recording
    >>> truth = simulate_recording("fly", seconds=1, size=(64, 64)).tracks
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save_tracks(truth.isel(time=slice(0, -1)), f"{folder}/fly.tracks.nc")
    ...     tracks = load_tracks(file, times=truth.time.values)
    >>> alignment_of(tracks).describe()
    '24 rows on 25 frames: no row for 1 frame at the end'
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if video is not None and times is not None:
        raise ValueError(f"{path}: expected a video or the times of its frames, got both")
    name = None
    if video is not None:
        times, name = _times_and_name(video)
    tracks = _read(path, name)
    if times is not None:
        tracks, _ = lay_on_frames(tracks, times, tolerance, offset, name=str(path))
    elif fps is not None and tracks.attrs.get("time_unit") == "frames":
        tracks = tracks.assign_coords(time=tracks["time"] / fps)
        tracks.attrs |= {"fps": float(fps), "time_unit": "seconds"}
    return validate_tracks(tracks)


def save_tracks(tracks: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write tracks as movement's netCDF.

    Parameters
    ----------
    tracks : xarray.Dataset
        Poses in movement's layout.
    path : str or pathlib.Path
        A name ending in ``.nc``.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    pathlib.Path
        The file, whole or not there.

    Raises
    ------
    FileExistsError, ValueError
        If the file is there, or the tracks or its name are not what they should be.
    """
    path = Path(path)
    if path.suffix != ".nc":
        raise ValueError(f"{path}: expected a name ending in .nc")
    validate_tracks(tracks)
    with atomic_write(path, overwrite=overwrite) as fresh:
        tracks.to_netcdf(fresh, engine="h5netcdf")
    return path


def _times_and_name(video: str | Path | _Timed) -> tuple[np.ndarray, str | None]:
    if isinstance(video, str | Path):
        from .video import Video

        video = Video(video)
    shown = getattr(video, "path", None)
    several = len(getattr(video, "paths", ())) > 1  # a session of several files has no one name
    return np.asarray(video.times), None if shown is None or several else Path(shown).name


def _read(path: Path, video_name: str | None) -> xr.Dataset:
    """Choose the reader by content before ending."""
    ending = path.suffix.lower()
    if ending in _REFUSED:
        raise ValueError(f"{path}: expected named poses, got {_REFUSED[ending]}")
    if ending == ".nc":
        return _read_netcdf(path)
    if ending == ".csv":
        return read_dlc_csv(path)
    if ending in (".h5", ".hdf5", ".slp", ".nwb"):
        try:
            file: Any = h5py.File(path)
        except OSError as error:
            raise ValueError(f"{path}: not an HDF5 file ({error})") from None
        with file:
            tracks = _read_hdf5(path, file)
        if tracks is not None:
            return tracks
    return read_with_sleap_io(path, slp=ending in (".h5", ".hdf5", ".slp"), video_name=video_name)


def _read_hdf5(path: Path, file: Any) -> xr.Dataset | None:
    """Poses of an HDF5 file, or None if they are for sleap-io; whatever is broken in it is one kind of error."""
    try:
        return _by_content(path, file)
    except ValueError as error:
        raise (error if str(path) in str(error) else ValueError(f"{path}: broken HDF5 file ({error})")) from None
    except (OSError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, MemoryError) as error:
        raise ValueError(f"{path}: broken HDF5 file ({type(error).__name__}: {error})") from None


def _by_content(path: Path, file: Any) -> xr.Dataset | None:
    if {"tracks", "node_names"} <= set(file):
        return read_sleap_analysis(path, file)
    if "poseest" in file:
        return read_jabs(path, file)
    if any(is_pandas_table(group) for group in file.values()):
        return read_dlc_h5(path, file)
    if "nwb_version" in file.attrs:
        return read_nwb(path, file) if has_pose_estimation(file) else None
    if {"metadata", "instances", "frames"} <= set(file):
        return None  # SLEAP's own format, whatever its ending
    found = sorted(map(str, file))[:8]
    raise ValueError(f"{path}: expected poses of SLEAP, DeepLabCut, JABS or NWB, got a file with {found}")


def _read_netcdf(path: Path) -> xr.Dataset:
    try:
        with h5py.File(path) as file:  # before h5netcdf, which leaves noise behind when it fails
            file.visititems(lambda _, node: check_claim(node) if isinstance(node, h5py.Dataset) else None)
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as dataset:
            dataset = dataset.load()
    except Exception as error:  # what is broken in a file is met anywhere in HDF5, h5netcdf and xarray
        raise ValueError(f"{path}: not a netCDF file, or a broken one ({type(error).__name__}: {error})") from None
    dataset = dataset.rename({old: new for old, new in _LEGACY_DIMS.items() if old in dataset.dims})
    try:
        return validate_tracks(dataset)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
