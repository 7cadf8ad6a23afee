"""BANOS: bout precision, recall and F1, segment overlap, temporal precision and intra-bout continuity.

The definitions are those of the package ``banos`` 1.0 (BelloneLab/BANOS, MIT), whose numbers these are:

- a predicted bout is right if it overlaps a true one by a frame, each matched at most once. The package offers a greedy
  and an optimal matching; bouts of one row do not overlap each other, and then both find the same number of pairs;
- SO is the mean of intersection / union, and TP that of ``1 / (1 + |start difference| + |end difference|)``, over all
  pairs that overlap, also those beyond one to one. TP counts **frames** and so depends on the frame rate;
- IC is the mean of ``1 - changes / (frames - 1)`` over the true bouts of two frames or more, the changes being those of
  the prediction within the bout. A bout that was missed in full has no changes: its IC is 1;
- a behaviour that is in neither has 1 everywhere; one that was predicted and is not in the truth has 0 everywhere; one
  that was never predicted has recall 0, IC 1 and NaN elsewhere; F1 is NaN where precision and recall are both 0.

Ours differ where asked for: ``absent="nan"`` leaves what was not in the truth without a value in place of 1 or 0 (only
precision stays 0 if it was predicted), so that rare behaviours do not lift a mean. Frames that are not scored in both
are no part of any bout, while the package takes them as absent. Several recordings are pooled bout by bout; the package
takes the mean of files.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from behavior_prism.schemas import NOT_SCORED, PRESENT

from .bout_agreement import bout_runs

BANOS = ("precision", "recall", "f1", "so", "tp", "ic")


def banos_scores(
    truth: np.ndarray, predicted: np.ndarray, *, absent: Literal["banos", "nan"] = "banos"
) -> dict[str, float]:
    """BANOS of one behaviour.

    Parameters
    ----------
    truth, predicted : array_like
        -1, 0 or 1 per frame, shape (frames,) or (rows, frames): rows are individuals.
    absent : {"banos", "nan"}
        What a behaviour that is not in the truth gets: as in the package, or no value.

    Returns
    -------
    dict of str to float
        ``precision, recall, f1, so, tp, ic``.

    Examples
    --------
    >>> scores = banos_scores([0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 0, 1])
    >>> {name: round(value, 3) for name, value in scores.items()}
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.667, 'so': 0.667, 'tp': 0.5, 'ic': 0.5}
    """
    return banos_of_sums(banos_sums(truth, predicted), absent=absent)


def banos_sums(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """What BANOS is made of; these sums may be added over recordings.

    Parameters
    ----------
    truth, predicted : array_like
        As in :func:`banos_scores`.

    Returns
    -------
    numpy.ndarray
        True bouts, predicted bouts, matched ones, pairs that overlap, their sum of intersection / union and of temporal
        precision, true bouts with a continuity, and its sum, shape (8,).
    """
    truth, predicted = (np.atleast_2d(np.asarray(x)) for x in (truth, predicted))
    if truth.shape != predicted.shape or truth.ndim != 2:
        raise ValueError(f"expected truth and prediction of one shape, got {truth.shape} and {predicted.shape}")
    scored = (truth != NOT_SCORED) & (predicted != NOT_SCORED)
    is_true, is_predicted = scored & (truth == PRESENT), scored & (predicted == PRESENT)
    frames = truth.shape[1] + 1  # one more, so that rows put one after the other do not touch
    a, b = (
        np.stack([start + row * frames, stop + row * frames])
        for row, start, stop in (bout_runs(is_true), bout_runs(is_predicted))
    )
    low = np.searchsorted(b[1], a[0], side="right")  # the first that ends after the true one starts
    high = np.searchsorted(b[0], a[1], side="left")
    many = np.maximum(high - low, 0)
    i = np.repeat(np.arange(a.shape[1]), many)
    j = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many) + np.repeat(low, many)
    shared = np.minimum(a[1, i], b[1, j]) - np.maximum(a[0, i], b[0, j])
    union = (a[1] - a[0])[i] + (b[1] - b[0])[j] - shared
    precise = 1 / (1 + np.abs(a[:, i] - b[:, j]).sum(0))
    length = a[1] - a[0] - 1
    switch = np.pad(is_predicted[:, 1:] != is_predicted[:, :-1], ((0, 0), (0, 2))).ravel()  # between k and k + 1
    switches = np.concatenate([[0], np.cumsum(switch)])
    changes = switches[a[1] - 1] - switches[a[0]]
    long = length > 0
    continuity = 1 - changes[long] / length[long]
    return np.array(
        [a.shape[1], b.shape[1], _matched(low, high), many.sum(), (shared / union).sum(), precise.sum(),
         long.sum(), continuity.sum()], dtype=np.float64
    )  # fmt: skip


def _matched(low: np.ndarray, high: np.ndarray) -> int:
    """Most pairs one to one; every true bout overlaps the predicted ones from ``low`` to ``high``, both in order."""
    free = count = 0
    for first, last in zip(low.tolist(), high.tolist(), strict=True):
        free = max(free, first)
        if free < last:
            free, count = free + 1, count + 1
    return count


def banos_of_sums(sums: np.ndarray, *, absent: Literal["banos", "nan"] = "banos") -> dict[str, float]:
    """BANOS from :func:`banos_sums`.

    Parameters
    ----------
    sums : numpy.ndarray
        Shape (8,), of one recording or added over several.
    absent : {"banos", "nan"}
        As in :func:`banos_scores`.

    Returns
    -------
    dict of str to float
    """
    true, predicted, matched, pairs, overlap, precise, long, continuity = (float(v) for v in sums)
    if not true and absent == "banos":
        return dict.fromkeys(BANOS, 0.0 if predicted else 1.0)
    precision, recall = _ratio(matched, predicted), _ratio(matched, true)
    f1 = _ratio(2 * precision * recall, precision + recall)
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "so": _ratio(overlap, pairs),
        "tp": _ratio(precise, pairs),
        "ic": _ratio(continuity, long),
    }


def _ratio(value: float, of: float) -> float:
    return value / of if of > 0 else float("nan")
