"""Videos and prediction stores as napari layers.

Both become one image layer whose ``metadata["behavior_prism"]`` says where everything is; the ethogram is read from
there by the dock, so that a layer costs nothing but the video's frame index.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from behavior_prism.analysis import read_attrs
from behavior_prism.datasets import Video
from behavior_prism.workflow import PREDICTIONS_ENDING

from .lazy_frames import LazyFrames
from .sources import find_labels, find_video, is_predictions, is_video

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | list[str]], list[LayerData]]
METADATA_KEY = "behavior_prism"


def image_layer(frames: LazyFrames, metadata: dict[str, Any]) -> LayerData:
    """Make the layer of a recording.

    Parameters
    ----------
    frames : LazyFrames
        Its pictures.
    metadata : dict
        What the dock needs to know: ``recording``, ``edges`` [s], ``fps``, ``source`` (what was opened), ``video``,
        ``predictions`` and ``labels`` (paths, or None).

    Returns
    -------
    (LazyFrames, dict, "image")
        Layer data, the keywords of ``add_image``, and the kind of layer.
    """
    kwargs = {
        "name": metadata["recording"],
        "rgb": True,
        "multiscale": False,
        "axis_labels": ("frame", "y", "x"),
        "cache": False,  # ours knows which frames to keep
        "metadata": {METADATA_KEY: metadata},
    }
    return frames, kwargs, "image"


def read_video(path: str | Path) -> list[LayerData]:
    """Read a video, with the human labels beside it if there are any.

    Parameters
    ----------
    path : str or pathlib.Path
        A video file.

    Returns
    -------
    list of (LazyFrames, dict, "image")
        One layer.

    Raises
    ------
    FileNotFoundError, ValueError
        If the video cannot be used.

    Examples
    --------
    >>> from napari.layers import Layer                       # doctest: +SKIP
    >>> layer = Layer.create(*read_video("arena.mp4")[0])     # doctest: +SKIP
    """
    video = Video(path)
    return [_layer(video, recording=video.path.stem, source=Path(path), predictions=None)]


def read_predictions(path: str | Path) -> list[LayerData]:
    """Read predictions: their video, with the path of the store for the ethogram.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.predictions.zarr`` folder.

    Returns
    -------
    list of (LazyFrames, dict, "image")
        One layer.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not a prediction store of ours, or its video cannot be found or used.
    """
    path = Path(path)
    attrs = read_attrs(path, "predictions")
    video = Video(find_video(path, attrs), allow_cut_short=True)  # that was decided when features were extracted
    recording = str(attrs.get("recording", path.name.removesuffix(PREDICTIONS_ENDING)))
    return [_layer(video, recording=recording, source=path, predictions=path)]


def _layer(video: Video, *, recording: str, source: Path, predictions: Path | None) -> LayerData:
    labels = find_labels(video.path, recording, predictions)
    metadata = {
        "recording": recording,
        "source": str(source.resolve()),
        "video": str(video.path.resolve()),
        "predictions": None if predictions is None else str(predictions.resolve()),
        "labels": None if labels is None else str(labels.resolve()),
        "times": video.times,
        "edges": video.edges,
        "fps": video.fps,
    }
    return image_layer(LazyFrames.from_video(video), metadata)


def get_video_reader(path: str | list[str]) -> Reader | None:
    """Say whether videos can be read (for napari).

    Parameters
    ----------
    path : str or list of str
        What was opened.

    Returns
    -------
    callable or None
        The reader, if all are files with the ending of a video.
    """
    paths = [path] if isinstance(path, (str, Path)) else path
    if not paths or not all(is_video(Path(p)) and Path(p).is_file() for p in paths):
        return None
    return _reader(read_video)


def get_predictions_reader(path: str | list[str]) -> Reader | None:
    """Say whether folders are prediction stores of ours (for napari).

    Parameters
    ----------
    path : str or list of str
        What was opened.

    Returns
    -------
    callable or None
        The reader, if all carry our mark; every other zarr folder is left to other readers.
    """
    paths = [path] if isinstance(path, (str, Path)) else path
    if not paths or not all(is_predictions(p) for p in paths):
        return None
    return _reader(read_predictions)


def _reader(read_one: Callable[[str | Path], list[LayerData]]) -> Reader:
    def read(path: str | list[str]) -> list[LayerData]:
        paths = [path] if isinstance(path, (str, Path)) else path
        return [layer for p in paths for layer in read_one(p)]

    return read
