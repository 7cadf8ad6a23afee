"""SLEAP's analysis file through h5py, and whatever else sleap-io reads into its ``Labels``.

The analysis file is read here because older ones lack tables that sleap-io insists on. Its axes stand in one of three
orders, told by ``dims`` on the table, by the attribute ``transpose``, or else are (track, xy, node, frame).
"""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from .track_layout import check_claim, check_room, read_whole, tracks_from_arrays

_MATLAB = ("track", "xy", "node", "frame")
_NUMPY = ("frame", "node", "xy", "track")  # what `transpose=False` once meant


def read_sleap_analysis(path: Path, file: Any) -> xr.Dataset:
    """Read a SLEAP analysis file, old or new.

    Parameters
    ----------
    path : pathlib.Path
        The file's name, for messages.
    file : h5py.File
        The open file, with ``tracks`` and ``node_names``.

    Returns
    -------
    xarray.Dataset
        Tracks; time counts frames. Without ``point_scores`` the confidence is NaN.

    Raises
    ------
    ValueError
        If the axes are not those of an analysis file.
    """
    stored = file["tracks"]
    if "dims" in stored.attrs:
        order = tuple(json.loads(stored.attrs["dims"]))
    else:
        order = _MATLAB if bool(file.attrs.get("transpose", True)) else _NUMPY
    if sorted(order) != sorted(_MATLAB) or stored.ndim != 4 or stored.shape[order.index("xy")] != 2:
        raise ValueError(f"{path}: expected tracks with the axes {_MATLAB}, got {order} of shape {stored.shape}")
    check_room(path, *(stored.shape[order.index(name)] for name in ("frame", "node", "track")))
    position = read_whole(stored).transpose([order.index(name) for name in ("frame", "xy", "node", "track")])
    confidence = None
    if "point_scores" in file:
        flat = [name for name in order if name != "xy"]
        confidence = read_whole(file["point_scores"]).transpose(
            [flat.index(name) for name in ("frame", "node", "track")]
        )
    keypoints = [_text(name) for name in read_whole(file["node_names"])]
    names = [_text(name) for name in read_whole(file["track_names"])] if "track_names" in file else []
    return tracks_from_arrays(position, confidence, keypoints, names, source="SLEAP", path=path)


def read_with_sleap_io(path: Path, *, slp: bool = False, video_name: str | None = None) -> xr.Dataset:
    """Read any file of labels that sleap-io reads.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    slp : bool
        Whether it is SLEAP's own format whatever its name says.
    video_name : str, optional
        File name of the video, to choose among several in one file.

    Returns
    -------
    xarray.Dataset
        Tracks; time counts frames. ``instances_without_track`` counts poses that belong to no track and are left out.

    Raises
    ------
    ValueError
        If it cannot be read, has several videos, or animals that cannot be told apart.
    """
    sleap_io: Any = importlib.import_module("sleap_io")  # heavy, and lazy itself
    try:
        labels = _load_slp(sleap_io, path) if slp else sleap_io.load_file(str(path))
    except ImportError as error:
        raise ValueError(f"{path}: reading it needs {error.name}: pip install 'behavior-prism[nwb]'") from error
    except Exception as error:  # sleap-io raises whatever the format's reader meets
        raise ValueError(f"{path}: sleap-io cannot read it ({type(error).__name__}: {error})") from error
    if not hasattr(labels, "labeled_frames") or not len(labels.labeled_frames) or not labels.skeletons:
        hint = "; it looks for the images beside the file" if path.suffix == ".json" else ""
        raise ValueError(f"{path}: expected poses, sleap-io finds none in it{hint}")
    return _from_labels(labels, _one_video(labels, video_name, path), path, source="SLEAP" if slp else "sleap-io")


def _load_slp(sleap_io: Any, path: Path) -> Any:
    """Load SLEAP's own format; the first version of it carries no number, which sleap-io asks for."""
    with h5py.File(path) as file:
        for table in file.values():
            if isinstance(table, h5py.Dataset) and not str(table.name).startswith("/video"):
                check_claim(table)
        numbered = "format_id" in file["metadata"].attrs
    if numbered:
        return sleap_io.load_slp(str(path), open_videos=False)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "numbered.slp")
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            file["metadata"].attrs["format_id"] = 1.0
        return sleap_io.load_slp(str(copy), open_videos=False)


def _one_video(labels: Any, name: str | None, path: Path) -> Any:
    shown = {id(frame.video): frame.video for frame in labels.labeled_frames}
    videos = list(shown.values())
    files = [Path(str(v.filename[0] if isinstance(v.filename, list) else v.filename)).name for v in videos]
    if len(videos) > 1 and name is not None:
        videos = [video for video, file in zip(videos, files, strict=True) if file == name]
    if len(videos) != 1:
        wanted = "one video" if name is None else f"one video called {name}"
        hint = "; say whose are meant, load_tracks(path, video)" if name is None else ""
        raise ValueError(f"{path}: expected poses of {wanted}, got {len(files)} ({', '.join(files[:3])}){hint}")
    return videos[0]


def _from_labels(labels: Any, video: Any, path: Path, *, source: str) -> xr.Dataset:
    """Lay instances out by track; a human's label goes before the prediction of the same track."""
    frames = sorted((f for f in labels.labeled_frames if f.video is video), key=lambda frame: frame.frame_idx)
    crowd = max(len(frame.instances) for frame in frames)
    track_of = {id(track): i for i, track in enumerate(labels.tracks)}
    alone = crowd <= 1 and len(track_of) <= 1
    if not track_of and not alone:
        raise ValueError(f"{path}: expected tracks, got up to {crowd} animals in a frame that belong to none")
    # a file can have several skeletons, with their key points in another order
    skeletons = {id(i.skeleton): i.skeleton for f in frames for i in f.instances} or {0: labels.skeletons[-1]}
    keypoints = list(dict.fromkeys(node.name for skeleton in skeletons.values() for node in skeleton.nodes))
    places = {key: [keypoints.index(node.name) for node in skeleton.nodes] for key, skeleton in skeletons.items()}
    first, last = min(0, frames[0].frame_idx), frames[-1].frame_idx
    check_room(path, last - first + 1, len(keypoints), max(len(track_of), 1))
    position = np.full((last - first + 1, 2, len(keypoints), max(len(track_of), 1)), np.nan)
    confidence = np.full((last - first + 1, len(keypoints), position.shape[3]), np.nan)
    lost = 0
    for frame in frames:
        for instance in sorted(frame.instances, key=_is_human):
            n = 0 if alone else track_of.get(id(instance.track), -1)
            if n < 0:
                lost += 1
                continue
            row, place = frame.frame_idx - first, places[id(instance.skeleton)]
            position[row, :, :, n] = confidence[row, :, n] = np.nan  # whoever was there before
            position[row, :, place, n] = instance.numpy()
            confidence[row, place, n] = 1.0 if _is_human(instance) else instance.numpy(scores=True)[:, 2]
    indices = {frame.frame_idx for frame in frames}
    return tracks_from_arrays(
        position,
        confidence,
        keypoints,
        [track.name for track in labels.tracks],
        source=source,
        path=path,
        times=np.arange(first, last + 1),
        instances_without_track=lost,
        **({"rows": "labelled frames"} if len(indices) < last - first + 1 else {}),
    )


def _is_human(instance: Any) -> bool:
    return type(instance).__name__ == "Instance"


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
