"""Pose tracks in movement's layout, read through sleap-io or from movement's own netCDF."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from behavior_prism.schemas import log_operation, validate_tracks

from .annotations import frame_edges

_LEGACY_DIMS = {"keypoints": "keypoint", "individuals": "individual"}


def load_tracks(path: str | Path, *, times: np.ndarray | None = None, fps: float | None = None) -> xr.Dataset:
    """Read pose tracks.

    Parameters
    ----------
    path : str or pathlib.Path
        ``.nc`` (movement's netCDF) or a format that sleap-io reads and that holds several frames
        (``.slp``, SLEAP analysis ``.h5``, ...).
    times : numpy.ndarray, optional
        Time of every frame of the video [s]. The tracks are laid on this axis, each pose on the frame nearest to its
        own time or frame number; frames without a pose are NaN.
    fps : float, optional
        Frames per second, if there are no times and the file counts frames; without either, time is what the file
        says.

    Returns
    -------
    xarray.Dataset
        ``position(time, space, keypoint, individual)`` in pixels and
        ``confidence(time, keypoint, individual)``.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, cannot be read, or has poses that fall on no frame or two that fall on one.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".nc":
        tracks = _from_netcdf(path)
    else:
        analysis = _from_sleap_analysis(path) if path.suffix == ".h5" else None
        tracks = _from_sleap_io(path) if analysis is None else analysis
    if times is not None:
        tracks = _on_frames(tracks, np.asarray(times, dtype=np.float64), path)
        tracks.attrs["time_unit"] = "seconds"
    elif fps is not None and tracks.attrs.get("time_unit") == "frames":
        tracks = tracks.assign_coords(time=tracks["time"] / fps)
        tracks.attrs |= {"fps": float(fps), "time_unit": "seconds"}
    return validate_tracks(tracks)


def _on_frames(tracks: xr.Dataset, times: np.ndarray, path: Path) -> xr.Dataset:
    """Lay the poses on the frames of the video by the file's own time, which may begin and end anywhere in it."""
    own = tracks["time"].values.astype(np.float64)
    lasts = np.diff(frame_edges(times))
    if tracks.attrs.get("time_unit") == "frames":
        frame = np.rint(own).astype(np.int64)
        off = np.abs(own - frame)
    elif len(own) == len(times) and abs(own[0] - times[0]) <= lasts[0] / 2:
        frame, off = np.arange(len(own)), np.zeros(len(own))  # a pose for every frame, whatever rate they were given
    else:
        frame = np.searchsorted(times[:-1] + lasts[:-1] / 2, own)
        off = np.abs(own - times[frame]) / lasts[frame]
    if len(own) and frame[-1] >= len(times):
        raise ValueError(f"{path}: poses for {frame[-1] + 1} frames, but the video has {len(times)}")
    wrong = np.flatnonzero((off > 0.5) | (frame < 0))
    if len(wrong):
        raise ValueError(
            f"{path}: expected poses at the times of frames ({times[0]:g} s to {times[-1]:g} s), "
            f"got one at {own[wrong[0]]:g}, {off[wrong[0]]:.3g} frames off the nearest"
        )
    twice = np.flatnonzero(np.diff(frame) == 0)
    if len(twice):
        raise ValueError(
            f"{path}: expected one pose per frame, those at {own[twice[0]]:g} and {own[twice[0] + 1]:g} s both fall on "
            f"frame {frame[twice[0]]}; is their frame rate that of the video?"
        )
    return tracks.assign_coords(time=frame).reindex(time=np.arange(len(times))).assign_coords(time=times)


def _from_netcdf(path: Path) -> xr.Dataset:
    try:
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as dataset:
            dataset = dataset.load()
    except OSError as error:
        raise ValueError(f"{path}: not a netCDF file ({error})") from None
    dataset = dataset.rename({old: new for old, new in _LEGACY_DIMS.items() if old in dataset.dims})
    try:
        return validate_tracks(dataset)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _from_sleap_analysis(path: Path) -> xr.Dataset | None:
    """SLEAP's analysis file, through h5py: files of older versions lack tables that sleap-io insists on."""
    try:
        file: Any = h5py.File(path)
    except OSError as error:
        raise ValueError(f"{path}: not an HDF5 file ({error})") from None
    with file:
        if not {"tracks", "node_names"} <= set(file):
            return None
        position = file["tracks"][:].transpose(3, 1, 2, 0)  # (track, space, node, frame) on disk
        keypoints = [name.decode() for name in file["node_names"][:]]
        names = [name.decode() for name in file["track_names"][:]] if "track_names" in file else []
        if "point_scores" in file:
            confidence = file["point_scores"][:].transpose(2, 1, 0)
        else:
            confidence = np.full((len(position), position.shape[2], position.shape[3]), np.nan)
    return _layout(position, confidence, keypoints, names, path, source="SLEAP")


def _from_sleap_io(path: Path) -> xr.Dataset:
    sleap_io: Any = importlib.import_module("sleap_io")  # heavy, and lazy itself
    try:
        if path.suffix == ".slp":
            labels = sleap_io.load_slp(str(path), open_videos=False)
        else:
            labels = sleap_io.load_file(str(path))
    except Exception as error:  # sleap-io raises whatever the format's reader meets
        raise ValueError(f"{path}: sleap-io cannot read it ({type(error).__name__}: {error})") from error
    if len(labels.videos) != 1:
        raise ValueError(f"{path}: expected poses of one video, got {len(labels.videos)}")
    poses = labels.numpy(return_confidence=True)  # (frame, track, node, [x, y, score])
    return _layout(
        poses[..., :2].transpose(0, 3, 2, 1),
        poses[..., 2].transpose(0, 2, 1),
        [node.name for node in labels.skeletons[0].nodes],
        [track.name for track in labels.tracks],
        path,
        source="SLEAP" if path.suffix == ".slp" else "sleap-io",
    )


def _layout(
    position: np.ndarray,
    confidence: np.ndarray,
    keypoints: list[str],
    individuals: list[str],
    path: Path,
    *,
    source: str,
) -> xr.Dataset:
    names = individuals or [f"id_{i}" for i in range(position.shape[3])]
    if len(set(names)) != len(names):  # fragments of tracks often share a name
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    dataset = xr.Dataset(
        {
            "position": (("time", "space", "keypoint", "individual"), position),
            "confidence": (("time", "keypoint", "individual"), confidence),
        },
        coords={
            "time": np.arange(len(position), dtype=np.float64),
            "space": np.asarray(["x", "y"], dtype=object),
            "keypoint": np.asarray(keypoints, dtype=object),
            "individual": np.asarray(names, dtype=object),
        },
        attrs={
            "source_software": source,
            "source_file": path.name,
            "ds_type": "poses",
            "time_unit": "frames",
        },
    )
    dataset.attrs = log_operation(dataset.attrs, "load_tracks", file=path.name)
    return dataset
