"""Which files belong together: a prediction store, its video, the labels beside that video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from behavior_prism.analysis import read_attrs
from behavior_prism.workflow import BOUTS_ENDING, PREDICTIONS_ENDING

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm")


def is_video(path: Path) -> bool:
    """Tell a video by its ending.

    Parameters
    ----------
    path : pathlib.Path
        Any path.

    Returns
    -------
    bool
    """
    return path.suffix.lower() in VIDEO_ENDINGS


def is_predictions(path: str | Path) -> bool:
    """Tell a prediction store of ours by the mark in its attributes.

    Parameters
    ----------
    path : str or pathlib.Path
        Any path.

    Returns
    -------
    bool
    """
    if not str(path).rstrip("/\\").endswith(PREDICTIONS_ENDING):
        return False
    try:
        read_attrs(path, "predictions")
    except (ValueError, OSError):
        return False
    return True


def find_video(store: Path, attrs: Mapping[str, Any]) -> Path:
    """Find the video that predictions speak of.

    Parameters
    ----------
    store : pathlib.Path
        The prediction store.
    attrs : mapping
        Its attributes: ``video`` is the path at the time of extraction, ``recording`` the name.

    Returns
    -------
    pathlib.Path
        That path if it is still there; else a file of that name beside the store, or in ``recordings`` beside the
        store's folder, so that a folder can be moved as a whole.

    Raises
    ------
    FileNotFoundError
        If it is in none of these places.
    """
    told = Path(str(attrs.get("video", "")))
    recording = str(attrs.get("recording", store.name.removesuffix(PREDICTIONS_ENDING)))
    names = dict.fromkeys([told.name, *(recording + ending for ending in VIDEO_ENDINGS)])
    folders = (store.resolve().parent, _recordings_beside(store))
    candidates = [told, *(folder / name for folder in folders for name in names if name)]
    for candidate in candidates:
        if candidate.name and candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"{store}: its video is gone: expected {told}, or {told.name or recording} in {folders[0]} or {folders[1]}"
    )


def find_labels(video: Path, recording: str, store: Path | None = None) -> Path | None:
    """Find the human labels of a recording.

    Parameters
    ----------
    video : pathlib.Path
        Its video.
    recording : str
        Its name.
    store : pathlib.Path, optional
        Its predictions.

    Returns
    -------
    pathlib.Path or None
        ``<video stem>.bouts.csv`` beside the video, or ``<recording>.bouts.csv`` in ``recordings`` beside the folder
        of predictions (a video may be a link to elsewhere), if there. Bouts beside predictions are never taken: they
        are the probe's.
    """
    candidates = [video.with_name(video.stem + BOUTS_ENDING)]
    if store is not None:
        candidates.append(_recordings_beside(store) / (recording + BOUTS_ENDING))
    return next((path for path in candidates if path.is_file()), None)


def _recordings_beside(store: Path) -> Path:
    return store.resolve().parent.parent / "recordings"


def find_recordings(path: str | Path) -> list[Path]:
    """List what there is to view at a path.

    Parameters
    ----------
    path : str or pathlib.Path
        A folder made by ``behavior-prism demo``, a folder of predictions or of videos, one prediction store, or one
        video.

    Returns
    -------
    list of pathlib.Path
        Prediction stores, or videos where there are none; sorted, at least one.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such path, or nothing in it that can be viewed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_file():
        if not is_video(path):
            raise ValueError(
                f"{path}: expected a video ({', '.join(VIDEO_ENDINGS)}), a .predictions.zarr or a folder of them, "
                f"got a file ending in {path.suffix or 'nothing'!r}"
            )
        return [path]
    if path.name.endswith(PREDICTIONS_ENDING):
        read_attrs(path, "predictions")
        return [path]
    for folder in (path, path / "predictions"):
        if stores := _sorted(p for p in _entries(folder) if is_predictions(p)):
            return stores
    for folder in (path, path / "recordings"):
        if videos := _sorted(p for p in _entries(folder) if p.is_file() and is_video(p)):
            return videos
    raise ValueError(
        f"{path}: expected a folder with .predictions.zarr or videos (in it, or in its predictions or recordings), "
        "got neither"
    )


def _entries(folder: Path) -> Iterable[Path]:
    # names that begin with a dot are half-written
    return (p for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else ()


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda p: p.name)
