"""The one way from arrays to movement's layout, shared by every reader of tracks.

Names follow movement 0.17 (dims ``time, space, keypoint, individual``). What a file cannot say is said here once: a row
is numbered by the frame it belongs to, names are made unique, and a point that the tracker wrote at the origin because
it saw nothing is missing, not in the corner of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from behavior_prism.schemas import log_operation

_MOST_POINTS = 2**28  # 6 GiB with their scores: a day of four mice with 12 key points at 50 frames per second
_SMALL = 2**28  # bytes that nobody minds
_DENSEST = 2000  # bytes per byte in the file; HDF5's own compression ends at about half of that


def tracks_from_arrays(
    position: np.ndarray,
    confidence: np.ndarray | None,
    keypoints: Sequence[str],
    individuals: Sequence[str],
    *,
    source: str,
    path: Path,
    times: np.ndarray | None = None,
    time_unit: str = "frames",
    **attrs: int | float | str,
) -> xr.Dataset:
    """Put poses into movement's layout.

    Parameters
    ----------
    position : numpy.ndarray
        x and y in pixels, shape (rows, 2, keypoints, individuals).
    confidence : numpy.ndarray, optional
        Shape (rows, keypoints, individuals); NaN throughout if the file has none.
    keypoints, individuals : sequence of str
        Names; individuals without names are called ``id_0``, ``id_1``, and those that share a name are numbered.
    source : str
        The program that wrote the file.
    path : pathlib.Path
        The file.
    times : numpy.ndarray, optional
        Frame number or time [s] of every row; by default rows are frames 0, 1, 2...
    time_unit : str
        ``frames`` or ``seconds``.
    **attrs
        Further attributes.

    Returns
    -------
    xarray.Dataset
        ``position(time, space, keypoint, individual)`` and ``confidence(time, keypoint, individual)``. The attribute
        ``fragments`` is the number of tracks if there are more of them than animals ever seen at once, otherwise 0.

    Raises
    ------
    ValueError
        If a row is there twice or a name does not go with the arrays.
    """
    rows, _, num_keypoints, num_individuals = position.shape
    check_room(path, rows, num_keypoints, num_individuals)
    names = [str(name) for name in individuals] or [f"id_{i}" for i in range(num_individuals)]
    if len(set(names)) != len(names):  # fragments of tracks often share a name
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    if len(keypoints) != num_keypoints or len(names) != num_individuals:
        raise ValueError(
            f"{path}: expected names for {num_keypoints} keypoints and {num_individuals} individuals, "
            f"got {len(keypoints)} and {len(names)}"
        )
    position = np.array(position, dtype=position.dtype if position.dtype.kind == "f" else np.float64)  # a copy
    if confidence is None:
        confidence = np.full((rows, num_keypoints, num_individuals), np.nan)
    at_origin = never_seen(position, confidence)
    position[np.broadcast_to(at_origin[:, None], position.shape)] = np.nan
    seen = np.any(np.isfinite(position).all(axis=1), axis=1)  # (row, individual)
    at_once = int(seen.sum(axis=1).max()) if rows else 0
    own = np.arange(rows) if times is None else np.asarray(times)
    confidence = np.asarray(confidence)
    if not np.all(np.diff(own) > 0):
        order = np.argsort(own, kind="stable")
        own, position, confidence = own[order], position[order], confidence[order]
    twice = np.flatnonzero(np.diff(own) == 0)
    if len(twice):
        raise ValueError(f"{path}: expected one row per frame, got two for {own[twice[0]]:g}")
    dataset = xr.Dataset(
        {
            "position": (("time", "space", "keypoint", "individual"), position),
            "confidence": (("time", "keypoint", "individual"), confidence),
        },
        coords={
            "time": own.astype(np.float64),
            "space": np.asarray(["x", "y"], dtype=object),
            "keypoint": np.asarray([str(name) for name in keypoints], dtype=object),
            "individual": np.asarray(names, dtype=object),
        },
        attrs={
            "source_software": source,
            "source_file": path.name,
            "ds_type": "poses",
            "time_unit": time_unit,
            "fragments": num_individuals if num_individuals > at_once > 0 else 0,
            "most_at_once": at_once,
            "points_at_origin": int(at_origin.sum()),
            **attrs,
        },
    )
    dataset.attrs = log_operation(dataset.attrs, "load_tracks", file=path.name)
    return dataset


def never_seen(position: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Points that a tracker wrote as (0, 0) because it saw none.

    Parameters
    ----------
    position : numpy.ndarray
        Shape (rows, 2, keypoints, individuals).
    confidence : numpy.ndarray
        Shape (rows, keypoints, individuals).

    Returns
    -------
    numpy.ndarray
        bool, shape (rows, keypoints, individuals): exactly at the origin with confidence 0, or, where there is no
        confidence at all, every keypoint of that animal exactly at the origin.
    """
    zero = (position == 0).all(axis=1)
    whole_animal = zero.all(axis=1, keepdims=True) & np.isnan(confidence).all(axis=1, keepdims=True)
    return zero & ((confidence == 0) | whole_animal)


def check_room(path: Path, rows: int, keypoints: int, individuals: int) -> None:
    """Refuse what would not fit into memory, before it is made.

    Parameters
    ----------
    path : pathlib.Path
        The file's name, for messages.
    rows, keypoints, individuals : int
        How many there would be.

    Raises
    ------
    ValueError
        If these are more points than a recording of a day has.
    """
    if rows * keypoints * individuals > _MOST_POINTS:
        raise ValueError(
            f"{path}: expected at most {_MOST_POINTS} points, got {rows} frames x {keypoints} key points x "
            f"{individuals} individuals; read it in parts, or join fragments of tracks before"
        )


def read_whole(table: Any) -> np.ndarray:
    """Everything in a table of an HDF5 file, unless it claims far more than the file holds.

    Parameters
    ----------
    table : h5py.Dataset
        Any table.

    Returns
    -------
    numpy.ndarray
        What it holds.

    Raises
    ------
    ValueError
        If the file cannot hold what the table is said to have.
    """
    check_claim(table)
    return table[()]


def check_claim(table: Any) -> None:
    """Refuse a table that claims far more than the file holds, before it is read.

    Parameters
    ----------
    table : h5py.Dataset
        Any table.

    Raises
    ------
    ValueError
        If so: a few hundred bytes can claim terabytes.
    """
    claimed, held = table.size * table.dtype.itemsize if table.size else 0, table.id.get_storage_size()
    if claimed > _SMALL and claimed > _DENSEST * held:
        raise ValueError(f"{table.name} is said to hold {claimed} bytes, the file holds {held} of it")
