"""What a probe says about a recording: scores, labels and bouts, kept with where they come from."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from behavior_prism.datasets import Annotations, from_dense
from behavior_prism.files import atomic_write, refuse_existing
from behavior_prism.schemas import NOT_SCORED, log_operation, validate_predictions

from .design import design_matrix, sampled_part, video_fingerprint
from .probe import LinearProbe
from .store import MARKER, read_attrs

SPEC_FIELDS = ("encoder", "weights", "image_size", "resize", "length", "step", "stride", "grid")
UNTRAINED = "random, untrained weights"


def predict(probe: LinearProbe, card: dict[str, Any], features: xr.Dataset) -> xr.Dataset:
    """Score every sampled frame of a recording.

    Parameters
    ----------
    probe : LinearProbe
        Fitted on three-state labels.
    card : dict
        Its card; the feature settings in it must be those of ``features``.
    features : xarray.Dataset
        The features layout.

    Returns
    -------
    xarray.Dataset
        ``score(time, individual, behavior)`` float32 and ``label(...)`` int8 on the sampled frames; -1 and NaN where
        the features are not valid.

    Raises
    ------
    ValueError
        If the features were made with other settings than those the probe was trained on.
    """
    settings = json.loads(features.attrs.get("settings", "{}"))
    trained_on = card["features"]
    changed = [f for f in SPEC_FIELDS if settings.get(f) != trained_on.get(f)]
    if changed:
        got = ", ".join(f"{f} {settings.get(f)} instead of {trained_on.get(f)}" for f in changed)
        raise ValueError(f"features of {features.attrs.get('recording')!r} do not fit the probe: {got}")
    rows, valid = design_matrix(features, context=int(card["context"]))
    individuals, frames = features.sizes["individual"], features.sizes["time"]
    score = np.full((len(rows), len(card["behaviors"])), np.nan, dtype=np.float32)
    if valid.any():
        score[valid] = probe.predict_proba(rows[valid])
    label = np.where(np.isnan(score), NOT_SCORED, score >= 0.5).astype(np.int8)
    shape = (individuals, frames, len(card["behaviors"]))
    dims = ("time", "individual", "behavior")
    attrs = {
        MARKER: "predictions",
        **{k: features.attrs[k] for k in ("recording", "video", "fps", "encoder_notice")},
        "encoder_trained": features.attrs["encoder_trained"],
        "features_key": features.attrs["key"],
        "fingerprint": video_fingerprint(features),
        **sampled_part(features),  # what each sampled frame speaks for
        "probe": json.dumps(_about(card)),
    }
    out = xr.Dataset(
        {
            "score": (dims, score.reshape(shape).transpose(1, 0, 2)),
            "label": (dims, label.reshape(shape).transpose(1, 0, 2)),
            "edge_time": ("edge", features["edge_time"].values),
        },
        coords={
            "time": features["time"].values,
            "frame": ("time", features["frame"].values),
            "individual": features["individual"].values.astype(object),
            "behavior": np.asarray(card["behaviors"], dtype=object),
        },
        attrs=log_operation(attrs, "predict"),
    )
    return validate_predictions(out)


def _about(card: dict[str, Any]) -> dict[str, Any]:
    """What predictions must know of their probe: what it was trained on, and which one it was."""
    kept = ("kind", "behaviors", "recordings", "fingerprints", "version")
    return {**{k: card[k] for k in kept if k in card}, "id": probe_id(card)}


def probe_id(card: Mapping[str, Any]) -> str:
    """Tell one probe from another, also of the same name.

    Parameters
    ----------
    card : mapping
        Its card.

    Returns
    -------
    str
        Twelve digits of a hash; predictions hold it in the attribute ``probe``, as ``id``.
    """
    return hashlib.sha256(json.dumps(dict(card), sort_keys=True, default=str).encode()).hexdigest()[:12]


def trained_on(predictions: xr.Dataset) -> str:
    """Tell whether a probe was trained on the very recording that it predicted.

    Parameters
    ----------
    predictions : xarray.Dataset
        The predictions layout.

    Returns
    -------
    str
        Empty if it was not; else the recording's name, with the name it was trained under if that is another one: a
        copy of a video is known by its fingerprint.
    """
    probe = json.loads(predictions.attrs.get("probe", "{}"))
    recording = str(predictions.attrs.get("recording", ""))
    if recording in probe.get("recordings", ()):
        return recording
    copy_of = {fingerprint: name for name, fingerprint in probe.get("fingerprints", {}).items() if fingerprint}
    copy = copy_of.get(video_fingerprint(predictions))
    return f"{recording} (the same video as {copy})" if copy else ""


def on_all_frames(
    values: xr.DataArray, edges: np.ndarray, *, step: int | None = None, stop_frame: int | None = None
) -> xr.DataArray:
    """Lay values of sampled frames on every video frame between the first and the last sampled one.

    Parameters
    ----------
    values : xarray.DataArray
        With a ``time`` dimension and the coordinate ``frame``.
    edges : numpy.ndarray
        Times of the video's frame edges [s], shape (num_frames + 1,).
    step, stop_frame : int, optional
        How the frames were sampled, see :func:`sampled_part`. By default the step from the first two sampled frames
        and all frames of the video.

    Returns
    -------
    xarray.DataArray
        One row per video frame, from the nearest sampled frame (less than a step away); -1 (labels) or NaN
        (scores) outside the part that was sampled.
    """
    sampled = values["frame"].values
    num_frames = len(edges) - 1
    if step is None:
        step = int(sampled[1] - sampled[0]) if len(sampled) > 1 else 1
    stop = num_frames if stop_frame is None else min(stop_frame, num_frames)
    frames = np.arange(num_frames)
    right = np.clip(np.searchsorted(sampled, frames), 0, len(sampled) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(np.abs(frames - sampled[left]) <= np.abs(sampled[right] - frames), left, right)
    out = values.isel(time=nearest).assign_coords(time=edges[:-1], frame=("time", frames))
    inside = (frames >= sampled[0]) & (frames < min(int(sampled[-1]) + step, stop))
    empty = NOT_SCORED if np.issubdtype(values.dtype, np.integer) else np.nan
    keep = xr.DataArray(inside, dims="time", coords={"time": out["time"]})
    return out.where(keep, empty).astype(values.dtype)


def predictions_to_annotations(predictions: xr.Dataset) -> Annotations:
    """Bouts of predictions, on the frames of the video.

    Parameters
    ----------
    predictions : xarray.Dataset
        From :func:`predict`.

    Returns
    -------
    Annotations
        Scorer ``"probe"``; a column ``score`` holds the mean probability over each bout. Where the encoder has
        random weights a column ``encoder`` says so in every row, so that a table cannot be parted from it.
    """
    validate_predictions(predictions)
    edges = predictions["edge_time"].values
    part = sampled_part(predictions)
    label = on_all_frames(predictions["label"], edges, **part).expand_dims(scorer=np.asarray(["probe"], dtype=object))
    annotations = from_dense(label, recording=str(predictions.attrs["recording"]), edges=edges)
    score = on_all_frames(predictions["score"], edges, **part)
    score = score.transpose("time", "individual", "behavior")
    means = [
        float(score.sel(individual=individual, behavior=behavior).values[start:stop].mean())
        for individual, behavior, start, stop in annotations.bouts[
            ["individual", "behavior", "start_frame", "stop_frame"]
        ].itertuples(index=False)
    ]
    bouts, scored = annotations.bouts.assign(score=np.round(means, 4)), annotations.scored
    if not int(predictions.attrs.get("encoder_trained", 1)):
        bouts, scored = bouts.assign(encoder=UNTRAINED), scored.assign(encoder=UNTRAINED)
    return Annotations(bouts=bouts, scored=scored, behaviors=annotations.behaviors)


def save_predictions(predictions: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write predictions to a zarr group.

    Parameters
    ----------
    predictions : xarray.Dataset
        The predictions layout.
    path : str or pathlib.Path
        ``<name>.predictions.zarr``, made under a temporary name.
    overwrite : bool
        Replace existing predictions.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileExistsError
        If the group is there and ``overwrite`` is not set, or it is something else.
    """
    validate_predictions(predictions)
    check_predictions_place(path, overwrite=overwrite)
    with atomic_write(path, overwrite=overwrite) as fresh, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zarr: text arrays and consolidated metadata in v3
        predictions.to_zarr(fresh, mode="w", zarr_format=3, consolidated=True)
    return Path(path)


def check_predictions_place(path: str | Path, *, overwrite: bool) -> None:
    """Raise if no predictions can be written to a path.

    Parameters
    ----------
    path : str or pathlib.Path
        The store to make.
    overwrite : bool
        Whether predictions that are there may be replaced.

    Raises
    ------
    FileExistsError, ValueError
        If something is there and ``overwrite`` is not set, or it is something else than predictions.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    if path.exists():
        read_attrs(path, "predictions")


def open_predictions(path: str | Path) -> xr.Dataset:
    """Open saved predictions.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.predictions.zarr`` folder.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    FileNotFoundError, ValueError
        If it is missing or not predictions of ours.
    """
    read_attrs(path, "predictions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset = xr.open_zarr(path, chunks=None).load()
    return validate_predictions(dataset)
