"""One validator per xarray layout, called at every door (read, write, fit, plugin).

The layouts are those of ``docs/architecture.md``: dims are singular as in movement >= 0.17, time is a
coordinate in seconds, intervals are half-open. Each validator returns what it was given, so that it can
stand in front of an expression, and raises ``ValueError`` saying what was expected and what came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

FEATURES_DIMS = ("individual", "time", "token", "channel")
LABEL_DIMS = ("scorer", "time", "individual", "behavior")
SCORE_DIMS = ("time", "individual", "behavior")
POSITION_DIMS = ("time", "space", "keypoint", "individual")
NOT_SCORED, ABSENT, PRESENT = -1, 0, 1


def _check_dims(array: xr.DataArray, expected: tuple[str, ...], what: str) -> None:
    if set(array.dims) != set(expected):
        raise ValueError(f"{what}: expected the dimensions {expected}, got {tuple(array.dims)}")


def _check_variables(dataset: xr.Dataset, names: Mapping[str, tuple[str, ...]], what: str) -> None:
    if not hasattr(dataset, "data_vars"):
        raise ValueError(f"{what}: expected an xarray.Dataset, got {type(dataset).__name__}")
    missing = [name for name in names if name not in dataset.variables]
    if missing:
        raise ValueError(
            f"{what}: expected the variables {tuple(names)}, missing {tuple(missing)}, "
            f"got {tuple(map(str, dataset.variables))}"
        )
    for name, dims in names.items():
        _check_dims(dataset[name], dims, f"{what}: {name}")


def _check_time(obj: xr.Dataset | xr.DataArray, what: str) -> None:
    if "time" not in obj.coords:
        raise ValueError(f"{what}: expected a 'time' coordinate in seconds, got none")
    times = np.asarray(obj["time"].values)
    if not np.issubdtype(times.dtype, np.number):
        raise ValueError(f"{what}: expected 'time' as numbers (seconds), got dtype {times.dtype}")
    if times.size and not np.all(np.isfinite(times)):
        raise ValueError(f"{what}: expected finite times, got {int((~np.isfinite(times)).sum())} that are not")
    if times.size > 1 and not np.all(np.diff(times) > 0):
        bad = int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1
        raise ValueError(f"{what}: expected strictly increasing times, got {times[bad]:g} at position {bad}")


def validate_features(features: xr.Dataset) -> xr.Dataset:
    """Check the features layout.

    Parameters
    ----------
    features : xarray.Dataset
        ``feature(individual, time, token, channel)``, ``valid(individual, time)``, ``window_position(time)`` and
        ``edge_time(edge)`` (the frame edges of the whole video, one more than it has frames) with the
        coordinates ``time`` [s] and ``frame``.

    Returns
    -------
    xarray.Dataset
        The same object.

    Raises
    ------
    ValueError
        If a variable, dimension or coordinate is missing or wrong.
    """
    _check_variables(
        features,
        {
            "feature": FEATURES_DIMS,
            "valid": ("individual", "time"),
            "window_position": ("time",),
            "edge_time": ("edge",),
        },
        "features",
    )
    _check_time(features, "features")
    for name in ("frame", "individual"):
        if name not in features.coords:
            raise ValueError(f"features: expected the coordinate {name!r}, got {tuple(map(str, features.coords))}")
    if features["valid"].dtype != bool:
        raise ValueError(f"features: expected 'valid' as bool, got {features['valid'].dtype}")
    return features


def validate_labels(label: xr.DataArray) -> xr.DataArray:
    """Check dense three-state labels.

    Parameters
    ----------
    label : xarray.DataArray
        ``label(scorer, time, individual, behavior)`` or the same without ``scorer``; -1 not scored,
        0 absent, 1 present.

    Returns
    -------
    xarray.DataArray
        The same object.

    Raises
    ------
    ValueError
        If dimensions or values are not these.
    """
    if "scorer" in label.dims:
        _check_dims(label, LABEL_DIMS, "labels")
    else:
        _check_dims(label, SCORE_DIMS, "labels")
    _check_time(label, "labels")
    values = np.unique(label.values)
    if not np.isin(values, (NOT_SCORED, ABSENT, PRESENT)).all():
        raise ValueError(f"labels: expected -1 (not scored), 0 (absent) or 1 (present), got {values[:6].tolist()}")
    return label


def validate_predictions(predictions: xr.Dataset) -> xr.Dataset:
    """Check the predictions layout.

    Parameters
    ----------
    predictions : xarray.Dataset
        ``score(time, individual, behavior)`` in [0, 1] (NaN where nothing could be predicted) and
        ``label(time, individual, behavior)`` in {-1, 0, 1}.

    Returns
    -------
    xarray.Dataset
        The same object.

    Raises
    ------
    ValueError
        If a variable, dimension or value is wrong.
    """
    _check_variables(predictions, {"score": SCORE_DIMS, "label": SCORE_DIMS, "edge_time": ("edge",)}, "predictions")
    validate_labels(predictions["label"])
    scores = predictions["score"].values
    finite = scores[np.isfinite(scores)]
    if finite.size and (finite.min() < 0 or finite.max() > 1):
        raise ValueError(f"predictions: expected scores in [0, 1], got {finite.min():g} to {finite.max():g}")
    return predictions


def validate_tracks(tracks: xr.Dataset) -> xr.Dataset:
    """Check the tracks layout (movement's poses, singular dims).

    Parameters
    ----------
    tracks : xarray.Dataset
        ``position(time, space, keypoint, individual)`` in pixels (x to the right, y down) and
        ``confidence(time, keypoint, individual)``.

    Returns
    -------
    xarray.Dataset
        The same object.

    Raises
    ------
    ValueError
        If a variable, dimension or coordinate is missing or wrong.
    """
    _check_variables(tracks, {"position": POSITION_DIMS, "confidence": ("time", "keypoint", "individual")}, "tracks")
    _check_time(tracks, "tracks")
    if [str(s) for s in tracks["space"].values] != ["x", "y"]:
        raise ValueError(f"tracks: expected space = ['x', 'y'], got {tracks['space'].values.tolist()}")
    return tracks


def log_operation(attrs: Mapping[Any, Any], operation: str, **details: Any) -> dict[Any, Any]:
    """Append one operation to the ``log`` of a dataset's attributes.

    Parameters
    ----------
    attrs : mapping
        The attributes so far; left unchanged.
    operation : str
        Name of the function that made the new data.
    **details
        JSON-compatible arguments worth keeping.

    Returns
    -------
    dict
        A copy of ``attrs`` whose ``log`` (a JSON list) has one entry more.

    Examples
    --------
    >>> log_operation({}, "extract", encoder="tiny")["log"]
    '[{"operation": "extract", "encoder": "tiny"}]'
    """
    entries = json.loads(attrs.get("log", "[]"))
    entries.append({"operation": operation, **details})
    return {**attrs, "log": json.dumps(entries)}
