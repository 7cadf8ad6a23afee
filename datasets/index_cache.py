"""Frame indices kept on disk, so that a long recording is demuxed only once.

One file per video in ``$BEHAVIOR_PRISM_CACHE/index``, else ``~/.cache/behavior_prism/index``, named by the video's
fingerprint: a video that is moved keeps its index, one that is replaced does not. What cannot be read, does not fit
together or comes from another FFmpeg is made anew; where nothing can be written, nothing is kept. The folder can
be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .frame_index import FrameIndex, build_frame_index
from .orientation import Orientation
from .recording import fingerprint

LAYOUT = 2  # counts up when the meaning of an index changes
WORTH_KEEPING = 1 << 20  # bytes of video; a smaller one is demuxed as fast as it is recognised
_ARRAYS = ("pts", "stamps", "is_keyframe")
_PLAIN = ("stamped_by", "genpts", "width", "height", "codec", "cut_short")


def cache_folder() -> Path:
    """Folder of kept frame indices.

    Returns
    -------
    pathlib.Path
        It need not be there.

    Raises
    ------
    RuntimeError
        If no folder is named and the user has no home.
    """
    chosen = os.environ.get("BEHAVIOR_PRISM_CACHE")
    return (Path(chosen) if chosen else Path.home() / ".cache" / "behavior_prism") / "index"


def frame_index(path: Path) -> FrameIndex:
    """Frame index of a video, from the cache if it is there.

    Parameters
    ----------
    path : pathlib.Path
        A video file.

    Returns
    -------
    FrameIndex

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        As :func:`build_frame_index`.
    """
    kept = _place_of(path)
    index = None if kept is None else _load(kept)
    if index is None:
        index = build_frame_index(path)
        if kept is not None and kept == _place_of(path):  # else the file changed while it was demuxed
            _save(index, kept)
    return index


def _place_of(path: Path) -> Path | None:
    """Where the index of a video belongs; None if it is not to be kept."""
    with contextlib.suppress(OSError, RuntimeError):  # what is wrong with the video is said when it is opened
        if path.is_file() and path.stat().st_size >= WORTH_KEEPING:
            return cache_folder() / f"{fingerprint(path)}.npz"
    return None


def _writer() -> list[Any]:
    return [LAYOUT, av.__version__, *av.library_versions["libavformat"], *av.library_versions["libavcodec"]]


def _load(kept: Path) -> FrameIndex | None:
    """None if it is missing, damaged or another version's."""
    try:
        with np.load(kept, allow_pickle=False) as stored:
            pts, stamps, is_keyframe = (stored[name] for name in _ARRAYS)
            facts = json.loads(str(stored["facts"]))
        if facts["writer"] != _writer() or not _fits(pts, stamps, is_keyframe):
            return None
        return FrameIndex(
            pts=pts,
            stamps=stamps,
            is_keyframe=is_keyframe,
            time_base=Fraction(*facts["time_base"]),
            orientation=Orientation(*facts["orientation"]),
            **{name: facts[name] for name in _PLAIN},
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError):
        return None
    except (zipfile.BadZipFile, zlib.error, MemoryError, SyntaxError):  # what numpy makes of overwritten bytes
        return None


def _fits(pts: np.ndarray, stamps: np.ndarray, is_keyframe: np.ndarray) -> bool:
    return (
        pts.dtype == stamps.dtype == np.int64
        and is_keyframe.dtype == bool
        and pts.ndim == 1
        and len(pts) > 0
        and pts.shape == stamps.shape == is_keyframe.shape
        and bool(np.all(np.diff(pts) > 0))
        and np.array_equal(np.sort(stamps), pts)
    )


def _save(index: FrameIndex, kept: Path) -> None:
    facts = {name: getattr(index, name) for name in _PLAIN}
    facts |= {"time_base": index.time_base.as_integer_ratio(), "orientation": index.orientation, "writer": _writer()}
    arrays = {name: getattr(index, name) for name in _ARRAYS}
    with contextlib.suppress(OSError):  # a full or read-only disk costs time, not the recording
        kept.parent.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=kept.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, facts=json.dumps(facts), **arrays)
            os.replace(fresh, kept)
        finally:
            Path(fresh).unlink(missing_ok=True)
