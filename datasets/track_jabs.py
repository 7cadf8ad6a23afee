"""JABS pose files (``*_pose_est_v2.h5`` to ``v6``), read with h5py.

``poseest/points`` holds (y, x), 16 bit; a point with confidence 0 was not found and its coordinates say nothing.
Version 2 has one animal. Version 3 names tracklets (``instance_track_id``, ``instance_count`` of them in a frame), from
version 4 animals keep one number over the file (``instance_embed_id`` from 1, 0 for an empty slot; ``id_mask`` marks
those that got none). JABS itself, its window and its files of labels count these animals from 0, and so their names
here: ``"0"`` is the animal with number 1 in the file. Like JABS we leave out what has no number;
``instances_without_identity`` counts these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .track_layout import check_room, read_whole, tracks_from_arrays

KEYPOINTS = (
    *("NOSE", "LEFT_EAR", "RIGHT_EAR", "BASE_NECK", "LEFT_FRONT_PAW", "RIGHT_FRONT_PAW", "CENTER_SPINE"),
    *("LEFT_REAR_PAW", "RIGHT_REAR_PAW", "BASE_TAIL", "MID_TAIL", "TIP_TAIL"),
)


def read_jabs(path: Path, file: Any) -> xr.Dataset:
    """Read a JABS pose file.

    Parameters
    ----------
    path : pathlib.Path
        The file's name, for messages.
    file : h5py.File
        The open file.

    Returns
    -------
    xarray.Dataset
        Tracks; time counts frames.

    Raises
    ------
    ValueError
        If a table is missing or has another shape.
    """
    group = file["poseest"]
    version = int(np.ravel(group.attrs.get("version", 2))[0])
    try:
        points, confidence = read_whole(group["points"]), read_whole(group["confidence"])
        if version < 3:
            points, confidence = points[:, None], confidence[:, None]
            identity = np.zeros(points.shape[:2], dtype=np.int64)
        else:
            identity = _identities(group, version, points.shape[:2])
    except (KeyError, IndexError) as error:
        raise ValueError(f"{path}: expected a JABS pose file of version {version}, it lacks {error}") from None
    if points.shape[2:] != (len(KEYPOINTS), 2) or confidence.shape != points.shape[:3]:
        raise ValueError(
            f"{path}: expected {len(KEYPOINTS)} keypoints with y and x, got points of shape {points.shape}"
        )
    found = confidence > 0
    lost = int(((identity < 0) & found.any(axis=2)).sum())
    names = sorted(set(identity[(identity >= 0) & found.any(axis=2)].tolist()))
    check_room(path, len(points), len(KEYPOINTS), len(names))
    position = np.full((len(points), 2, len(KEYPOINTS), len(names)), np.nan)
    score = np.zeros((len(points), len(KEYPOINTS), len(names)))
    for n, name in enumerate(names):
        row, slot = np.nonzero((identity == name) & found.any(axis=2))
        twice = row[1:][np.diff(row) == 0]
        if len(twice):
            raise ValueError(f"{path}: expected animal {name} once per frame, got it twice in frame {twice[0]}")
        position[row, :, :, n] = np.where(
            found[row, slot][:, None], points[row, slot][..., ::-1].swapaxes(1, 2), np.nan
        )
        score[row, :, n] = confidence[row, slot]
    return tracks_from_arrays(
        position,
        score,
        KEYPOINTS,
        [str(name) for name in names],
        source="JABS",
        path=path,
        instances_without_identity=lost,
    )


def _identities(group: Any, version: int, shape: tuple[int, int]) -> np.ndarray:
    """Number of the animal in every slot, from 0 on, -1 where there is none, shape (frames, slots)."""
    if version == 3:
        used = np.arange(shape[1]) < read_whole(group["instance_count"]).reshape(-1, 1)
        return np.where(used, read_whole(group["instance_track_id"]).astype(np.int64), -1)
    number = read_whole(group["instance_embed_id"]).astype(np.int64)
    valid = number > 0
    if "id_mask" in group:
        valid &= ~read_whole(group["id_mask"]).astype(bool)
    return np.where(valid, number - 1, -1)
