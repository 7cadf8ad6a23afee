"""From features and labels to the matrices that classifiers take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from scipy.ndimage import uniform_filter1d

from behavior_prism.datasets import Annotations, any_individual, to_dense
from behavior_prism.datasets.bout_rows import WHOLE_VIEW
from behavior_prism.datasets.dense_labels import DIRECTED
from behavior_prism.schemas import NOT_SCORED, validate_features, validate_labels

DEFAULT_CONTEXT = 4
BLOCK = 2048  # frames worked on at once
MIN_SLOT_FRAMES = 50  # fewer say nothing about a slot's mean


def design_matrix(features: xr.Dataset, *, context: int = DEFAULT_CONTEXT) -> tuple[np.ndarray, np.ndarray]:
    """One row of numbers per individual and sampled frame.

    Tokens are first centred on their mean over the recording, place by place and slot of the window by slot: what
    never changes (floor, walls, light) tells recordings apart and not behaviours, and the slot tells only how the
    recording was cut. Then come the mean, the maximum and the spread over places, where the
    animal may be anywhere; of each of these the mean, the spread and the change over the frames around, since
    behaviour is movement; last, every number is standardised over the recording. No label is looked at.

    Parameters
    ----------
    features : xarray.Dataset
        The features layout.
    context : int
        Sampled frames to each side that a row looks at.

    Returns
    -------
    rows : numpy.ndarray
        float32, shape (individuals * frames, 9 * channels), individual-major.
    valid : numpy.ndarray
        bool, shape (individuals * frames,).

    Examples
    --------
    >>> X, valid = design_matrix(features)  # doctest: +SKIP
    """
    if context < 0:
        raise ValueError(f"context: expected 0 or more, got {context}")
    validate_features(features)
    valid = features["valid"].transpose("individual", "time").values
    tokens = features["feature"].transpose("individual", "time", "token", "channel")
    slot = features["window_position"].values
    rows = []
    for k in range(tokens.sizes["individual"]):
        used = valid[k] if valid[k].any() else np.ones_like(valid[k])
        rows.append(_over_time(_over_places(tokens[k].values, used, slot), used, context))
    return np.concatenate(rows), valid.reshape(-1)


def _over_places(tokens_TND: np.ndarray, used: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """Mean, maximum and spread over places of the centred tokens, (T, 3 * D), in blocks to bound memory."""
    blocks = [slice(i, i + BLOCK) for i in range(0, len(tokens_TND), BLOCK)]
    centre_of = _slot_means(tokens_TND, used, slot, blocks)
    out = np.empty((len(tokens_TND), 3 * tokens_TND.shape[2]), dtype=np.float32)
    for b in blocks:
        centred = tokens_TND[b].astype(np.float32) - centre_of[slot[b]]
        out[b] = np.concatenate([centred.mean(axis=1), centred.max(axis=1), centred.std(axis=1)], axis=1)
    return out


def _slot_means(tokens_TND: np.ndarray, used: np.ndarray, slot: np.ndarray, blocks: list[slice]) -> np.ndarray:
    """Mean token of every slot of the window, (slots, N, D); where a slot is rare, of all frames."""
    total = np.zeros((int(slot.max()) + 1, *tokens_TND.shape[1:]))
    for b in blocks:
        for s in np.unique(slot[b]):
            total[s] += tokens_TND[b][used[b] & (slot[b] == s)].astype(np.float64).sum(axis=0)
    count = np.bincount(slot[used], minlength=len(total))
    means = total / np.maximum(count, 1)[:, None, None]
    means[count < MIN_SLOT_FRAMES] = total.sum(axis=0) / count.sum()
    return means.astype(np.float32)


def _over_time(values_TD: np.ndarray, used: np.ndarray, context: int) -> np.ndarray:
    """Mean, spread and change over the frames around, each standardised over the recording, (T, 3 * D)."""
    span = 2 * context + 1

    def around(x: np.ndarray) -> np.ndarray:
        return uniform_filter1d(x, span, axis=0, mode="nearest")

    values_TD = np.where(used[:, None], values_TD, 0.0).astype(np.float32)
    mean = around(values_TD)
    spread = np.sqrt(np.maximum(around(values_TD * values_TD) - mean * mean, 0.0))
    change = around(np.abs(np.diff(values_TD, axis=0, prepend=values_TD[:1])))
    rows = np.concatenate([mean, spread, change], axis=1)
    return (rows - rows[used].mean(axis=0)) / (rows[used].std(axis=0) + 1e-6)


def labels_for(features: xr.Dataset, annotations: Annotations, *, what: str = "labels") -> xr.DataArray:
    """Three-state labels on the sampled frames and individuals of a feature store.

    A bout between two sampled frames leaves no trace in them: :func:`missed_bouts` counts these.

    Parameters
    ----------
    features : xarray.Dataset
        The features layout (or predictions: whatever has ``frame``, ``individual`` and ``edge_time``).
    annotations : Annotations
        Of this recording only. For features of the whole view all individuals are pooled (present if any shows it);
        features of a single region take labels of the whole view where none name the region.
    what : str
        Where the labels come from, for error messages.

    Returns
    -------
    xarray.DataArray
        ``label(time, individual, behavior)``; of several scorers, present or absent only where all who scored agree.

    Raises
    ------
    ValueError
        If a label ends past the video, or labels and features share no individual.
    """
    wanted = [str(i) for i in features["individual"].values]
    # what a does to b is learned from the picture of a, unless there are features of the pair
    directed: Literal["pair", "actor"] = "pair" if any(DIRECTED in i for i in wanted) else "actor"
    dense = consensus(to_dense(annotations, features["edge_time"].values[:-1], directed=directed, what=what))
    have = [str(i) for i in dense["individual"].values]
    if wanted == [WHOLE_VIEW]:
        dense = _pool_in_view(dense)
    elif have == [WHOLE_VIEW] and len(wanted) == 1:
        dense = dense.assign_coords(individual=np.asarray(wanted, dtype=object))
    elif not set(wanted) & set(have):
        raise ValueError(f"{what}: labels of {have} do not fit features of {wanted}")
    dense = dense.reindex(individual=np.asarray(wanted, dtype=object), fill_value=NOT_SCORED)  # pyright: ignore[reportArgumentType]
    return dense.isel(time=features["frame"].values).assign_coords(time=features["time"].values)


def _pool_in_view(label: xr.DataArray) -> xr.DataArray:
    """One row for the whole view: present if any row says so, absent if the view's row or all the others do.

    A table may hold rows with an individual's name and rows without one, which stand for the whole view. Somebody who
    scored the whole view has looked at every animal in it.
    """
    named = [i for i in label["individual"].values if str(i) != WHOLE_VIEW]
    if not named:
        return label
    pooled = any_individual(label.sel(individual=named))
    if len(named) == label.sizes["individual"]:
        return pooled
    view = label.sel(individual=[WHOLE_VIEW])
    # of -1, 0 and 1 the larger one is what is known: present before absent before not scored
    return xr.DataArray(np.maximum(view, pooled)).transpose(*label.dims).astype(np.int8).rename("label")


def missed_bouts(features: xr.Dataset, annotations: Annotations) -> int:
    """How many bouts lie between two sampled frames, where nothing can be learned from them or judged by them.

    Parameters
    ----------
    features : xarray.Dataset
        As in :func:`labels_for`.
    annotations : Annotations
        Of this recording only.

    Returns
    -------
    int
        Bouts before and behind the sampled part are not counted.
    """
    sampled = features["frame"].values
    part = sampled_part(features)
    end = min(int(sampled[-1]) + part.get("step", 1), part.get("stop_frame", features.sizes["edge"] - 1))
    start, stop = (annotations.bouts[name].to_numpy() for name in ("start_frame", "stop_frame"))
    stop = np.maximum(stop, start + 1)  # a point event has the frame at which it happens
    between = np.searchsorted(sampled, start) == np.searchsorted(sampled, stop)
    return int((between & (start > sampled[0]) & (start < end)).sum())


def sampled_part(store: xr.Dataset) -> dict[str, int]:
    """How the frames of features or predictions were sampled.

    Parameters
    ----------
    store : xarray.Dataset
        The features or the predictions layout.

    Returns
    -------
    dict of str to int
        ``step`` and ``stop_frame``, as far as the store says.
    """
    settings = json.loads(store.attrs.get("settings", "{}"))
    told = {**store.attrs, **settings}
    if "frames" in settings:
        told["stop_frame"] = settings["frames"][1]
    return {name: int(told[name]) for name in ("step", "stop_frame") if name in told}


def video_fingerprint(store: xr.Dataset) -> str:
    """Fingerprint of the video that features or predictions were made of.

    Parameters
    ----------
    store : xarray.Dataset
        The features or the predictions layout.

    Returns
    -------
    str
        Empty where the store does not say.
    """
    settings = json.loads(store.attrs.get("settings", "{}"))
    return str(settings.get("fingerprint", store.attrs.get("fingerprint", "")))


def consensus(label: xr.DataArray) -> xr.DataArray:
    """Merge scorers: a state counts where everyone who scored the frame says the same.

    Parameters
    ----------
    label : xarray.DataArray
        ``label(scorer, time, individual, behavior)``.

    Returns
    -------
    xarray.DataArray
        The same without ``scorer``; -1 where nobody scored or scorers disagree.
    """
    validate_labels(label)
    scored = label != NOT_SCORED
    high = label.where(scored, NOT_SCORED).max("scorer")
    low = label.where(scored, 2).min("scorer")
    agreed = (high == low) & scored.any("scorer")
    return high.where(agreed, NOT_SCORED).astype(np.int8).rename("label")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSet:
    """Rows of several recordings, ready for a probe.

    Parameters
    ----------
    rows : numpy.ndarray
        float32, shape (n, d).
    label : numpy.ndarray
        int8 in {-1, 0, 1}, shape (n, behaviors).
    recording : numpy.ndarray
        Name of the recording of every row: the groups of any split, shape (n,).
    behaviors : tuple of str
        Columns of ``label``.
    """

    rows: np.ndarray
    label: np.ndarray
    recording: np.ndarray
    behaviors: tuple[str, ...]


def stack_recordings(
    features: Sequence[xr.Dataset], labels: Sequence[xr.DataArray], *, context: int = DEFAULT_CONTEXT
) -> TrainingSet:
    """Put the valid frames of several recordings below one another.

    Parameters
    ----------
    features : sequence of xarray.Dataset
        One per recording, with ``attrs["recording"]``.
    labels : sequence of xarray.DataArray
        From :func:`labels_for`, in the same order, all with the same behaviours.
    context : int
        As in :func:`design_matrix`.

    Returns
    -------
    TrainingSet

    Raises
    ------
    ValueError
        If two of them are the same video under two names: one could be held out and the other one trained on.
    """
    _refuse_copies(features)
    rows, label, names = [], [], []
    behaviors = tuple(str(b) for b in labels[0]["behavior"].values)
    for dataset, truth in zip(features, labels, strict=True):
        matrix, valid = design_matrix(dataset, context=context)
        y = truth.transpose("individual", "time", "behavior").values.reshape(len(matrix), -1)
        rows.append(matrix[valid])
        label.append(y[valid])
        names.append(np.full(int(valid.sum()), dataset.attrs["recording"], dtype=object))
    return TrainingSet(
        rows=np.concatenate(rows), label=np.concatenate(label), recording=np.concatenate(names), behaviors=behaviors
    )


def _refuse_copies(features: Sequence[xr.Dataset]) -> None:
    names: dict[str, str] = {}
    for store in features:
        name, fingerprint = str(store.attrs["recording"]), video_fingerprint(store)
        other = names.setdefault(fingerprint, name) if fingerprint else name
        if other != name:
            raise ValueError(
                f"expected every video once, got the same one as {other!r} and {name!r}: "
                "a score on one would be a score on frames that the probe was trained on"
            )
