"""Poses in NWB files (ndx-pose ``PoseEstimation``), read with h5py from wherever in the file they lie.

There is one ``PoseEstimation`` per animal and one ``PoseEstimationSeries`` per keypoint, each with ``data`` (frames, 2)
in pixels, ``confidence`` and either ``timestamps`` or a rate. Neither pynwb nor the extension is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from .track_layout import check_claim, check_room, read_whole, tracks_from_arrays

_LENGTHS = ("m", "cm", "mm", "um", "meter", "metre", "centimeter", "centimetre", "millimeter", "millimetre")


def has_pose_estimation(file: Any) -> bool:
    """Whether a file holds poses of ndx-pose.

    Parameters
    ----------
    file : h5py.File
        An open NWB file.

    Returns
    -------
    bool
    """
    return bool(_of_type(file, "PoseEstimation"))


def read_nwb(path: Path, file: Any) -> xr.Dataset:
    """Read the poses of every animal in an NWB file.

    Parameters
    ----------
    path : pathlib.Path
        The file's name, for messages.
    file : h5py.File
        The open file.

    Returns
    -------
    xarray.Dataset
        Tracks; time in seconds of the session's clock.

    Raises
    ------
    ValueError
        If series lack their times, are not flat or not in pixels.
    """
    animals = _of_type(file, "PoseEstimation")
    series = [(animal, group) for animal in animals for group in _of_type(animal, "PoseEstimationSeries")]
    clocks = [_times(group, path) for _, group in series]
    if not clocks:
        raise ValueError(f"{path}: expected PoseEstimationSeries, got none")
    times = np.unique(np.concatenate(clocks))
    keypoints = list(dict.fromkeys(_short(group) for _, group in series))
    names = [_short(animal) for animal in animals]
    check_room(path, len(times), len(keypoints), len(animals))
    position = np.full((len(times), 2, len(keypoints), len(animals)), np.nan)
    confidence = np.full((len(times), len(keypoints), len(animals)), np.nan)
    for (animal, group), clock in zip(series, clocks, strict=True):
        data = group["data"]
        if data.shape != (len(clock), 2):
            raise ValueError(f"{path}: expected {group.name} as ({len(clock)}, 2), got {data.shape}")
        unit = str(data.attrs.get("unit", "pixels"))
        if unit.strip().lower().rstrip("s") in _LENGTHS:
            raise ValueError(f"{path}: expected {group.name} in pixels, got {unit}")
        row, k, n = np.searchsorted(times, clock), keypoints.index(_short(group)), animals.index(animal)
        position[row, :, k, n] = read_whole(data) * float(data.attrs.get("conversion", 1.0))
        if "confidence" in group:
            confidence[row, k, n] = read_whole(group["confidence"])
    return tracks_from_arrays(
        position, confidence, keypoints, names, source="NWB", path=path, times=times, time_unit="seconds"
    )


def _of_type(parent: Any, neurodata_type: str) -> list[Any]:
    found: list[Any] = []

    def visit(_: str, node: Any) -> None:
        if isinstance(node, h5py.Group) and node.attrs.get("neurodata_type") == neurodata_type:
            found.append(node)

    parent.visititems(visit)
    return found


def _times(group: Any, path: Path) -> np.ndarray:
    if "timestamps" in group:
        return read_whole(group["timestamps"]).astype(np.float64)
    if "starting_time" in group:
        start = group["starting_time"]
        check_claim(group["data"])
        return float(start[()]) + np.arange(len(group["data"])) / float(start.attrs["rate"])
    raise ValueError(f"{path}: expected timestamps or a rate in {group.name}, got neither")


def _short(group: Any) -> str:
    return str(group.name).rpartition("/")[2]
