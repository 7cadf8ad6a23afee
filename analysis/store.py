"""The feature store: one zarr v3 group per recording and setting, readable with plain ``xarray.open_zarr``.

It is named by the hash of every setting that changes the numbers, so that a changed setting makes a new store and an
unchanged one finds its own. :mod:`.feature_writer` makes it.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from behavior_prism.schemas import validate_features

MARKER = "behavior_prism"
LAYOUT = 2
_BOOKKEEPING = ("done", "checksum", "shard_batch", "decodable")


def settings_key(settings: Mapping[str, Any]) -> str:
    """Hash of every setting that changes the numbers.

    Parameters
    ----------
    settings : mapping
        JSON-compatible.

    Returns
    -------
    str
        SHA-256, hex.

    Examples
    --------
    >>> settings_key({"a": 1, "b": 2}) == settings_key({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def store_path(study: str | Path, recording: str, settings: Mapping[str, Any]) -> Path:
    """Where a study keeps the features of a recording made with some settings.

    Parameters
    ----------
    study : str or pathlib.Path
        Folder of the study.
    recording : str
        Name of the recording.
    settings : mapping
        ``settings()`` of what :func:`behavior_prism.analysis.plan_features` gives.

    Returns
    -------
    pathlib.Path
        ``features/<recording>/<first 12 digits of the key>.zarr``.

    Raises
    ------
    ValueError
        If the name is not one of a folder.

    Examples
    --------
    >>> store_path("study", "mouse-1", {"a": 1}).as_posix()
    'study/features/mouse-1/f9d86028c6e0.zarr'
    """
    if not recording or recording in (".", "..") or any(c in recording for c in "/\\\0"):
        raise ValueError(f"recording: expected a name that a folder can have, got {recording!r}")
    return Path(study) / "features" / recording / f"{settings_key(settings)[:12]}.zarr"


def partial_path(path: Path) -> Path:
    """Where a store lies until it is whole.

    Parameters
    ----------
    path : pathlib.Path
        Its final place.

    Returns
    -------
    pathlib.Path
    """
    return path.with_name(path.name + ".partial")


def attrs_of(path: Path) -> dict[str, Any]:
    """Attributes of a zarr group.

    Parameters
    ----------
    path : pathlib.Path
        Where it would be.

    Returns
    -------
    dict
        Empty if there is none that can be read.
    """
    try:
        return dict(zarr.open_group(path, mode="r").attrs)
    except (FileNotFoundError, ValueError, KeyError, NotADirectoryError):
        return {}


def read_attrs(path: str | Path, kind: str) -> dict[str, Any]:
    """Attributes of one of our zarr groups.

    Parameters
    ----------
    path : str or pathlib.Path
        A zarr group.
    kind : str
        ``"features"`` or ``"predictions"``.

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no group, or it is something else.
    """
    path = Path(path)
    if not path.exists():
        hint = (
            f" ({partial_path(path).name} is there: extract again to finish it)" if partial_path(path).exists() else ""
        )
        raise FileNotFoundError(f"{path}: no such {kind} store{hint}")
    try:
        attrs = dict(zarr.open_group(path, mode="r").attrs)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        raise ValueError(f"{path}: expected a {kind} store (a zarr folder), got something else") from None
    if attrs.get(MARKER) != kind:
        raise ValueError(f"{path}: expected a {kind} store, got {attrs.get(MARKER) or 'a foreign zarr group'}")
    return attrs


def open_features(path: str | Path) -> xr.Dataset:
    """Open a feature store, lazily.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.features.zarr`` folder.

    Returns
    -------
    xarray.Dataset
        ``feature(individual, time, token, channel)`` float16 (0 where not valid), ``valid``, ``window_position``;
        ``clip_embedding(individual, clip, channel)``, ``clip_valid``, of a video-text encoder ``text_aligned``; the
        settings lie in ``attrs``.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no store, it is not one of ours, or it is unfinished.

    Examples
    --------
    >>> features = open_features("out/arena.features.zarr")  # doctest: +SKIP
    >>> features.feature.sizes                               # doctest: +SKIP
    """
    path = Path(path)
    read_attrs(path, "features")
    dataset = _open(path)
    if not bool(dataset["done"].all()):
        missing = int((~dataset["done"]).sum())
        raise ValueError(f"{path}: unfinished: {missing} of {dataset.sizes['shard']} shards are missing; extract again")
    return validate_features(dataset.drop_vars([name for name in _BOOKKEEPING if name in dataset]))


def open_unfinished(path: str | Path) -> xr.Dataset:
    """Open what there is of a feature store that is being written.

    Parameters
    ----------
    path : str or pathlib.Path
        Its final place.

    Returns
    -------
    xarray.Dataset
        As from :func:`open_features`, with ``done(shard)`` and the shards' other records; features of shards that are
        not done are 0.

    Raises
    ------
    FileNotFoundError
        If nothing was begun.
    """
    partial = partial_path(Path(path))
    if not partial.exists():
        raise FileNotFoundError(f"{partial}: no such unfinished feature store")
    read_attrs(partial, "features")
    return _open(partial, consolidated=False)


def _open(path: Path, consolidated: bool | None = None) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return xr.open_zarr(path, chunks=None, consolidated=consolidated)
