"""How good predictions are, frame by frame, on scored frames only.

Precision, recall and F1 at the probe's own threshold, average precision over all thresholds. Frames that nobody
scored count nowhere. Intervals are bootstrapped over recordings, never over frames: neighbouring frames are
copies of one another, and an interval over frames would be far too narrow.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from behavior_prism.schemas import NOT_SCORED

METRICS = ("precision", "recall", "f1", "average_precision")
MEAN = "mean"
BACKGROUND = ("background", "other", "none")


def evaluate_predictions(
    truth: np.ndarray,
    score: np.ndarray,
    behaviors: Sequence[str],
    *,
    recording: np.ndarray | None = None,
    threshold: float = 0.5,
    background: Sequence[str] = BACKGROUND,
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score predictions against three-state labels, per behaviour and on average.

    Parameters
    ----------
    truth : numpy.ndarray
        -1, 0 or 1, shape (n, behaviors).
    score : numpy.ndarray
        Probabilities, shape (n, behaviors); rows with NaN are left out.
    behaviors : sequence of str
        Names of the columns.
    recording : numpy.ndarray, optional
        Recording of every row, shape (n,). With at least five recordings 95 % bootstrap intervals over recordings
        are added as ``f1_low``, ``f1_high``, ``average_precision_low``, ``average_precision_high``; those of the
        mean over draws that hold every behaviour of the mean.
    threshold : float
        Present from this score on.
    background : sequence of str
        Behaviours that are left out of the mean (names are compared in lower case).
    num_bootstrap, seed : int
        Draws of the bootstrap and their seed.

    Returns
    -------
    pandas.DataFrame
        One row per behaviour and a last one ``"mean"`` over the behaviours that are not background and were present
        at least once; columns ``precision, recall, f1, average_precision, prevalence, frames, present``. The average
        precision of guessing equals the prevalence. A measure that has no value (behaviour never present) is NaN.

    Examples
    --------
    >>> truth = np.array([[1], [0], [1], [-1]]); score = np.array([[0.9], [0.2], [0.4], [0.8]])
    >>> evaluate_predictions(truth, score, ["walk"]).loc["walk", ["precision", "recall"]].tolist()
    [1.0, 0.5]
    """
    truth, score = np.asarray(truth), np.asarray(score, dtype=np.float64)
    if truth.shape != score.shape or truth.ndim != 2 or truth.shape[1] != len(behaviors):
        raise ValueError(
            f"expected truth and score of shape (n, {len(behaviors)}), got {truth.shape} and {score.shape}"
        )
    table = _table(truth, score, behaviors, threshold, background)
    if recording is not None and len(np.unique(np.asarray(recording).astype(str))) >= 5:
        draws = _bootstrap(truth, score, np.asarray(recording).astype(str), threshold, num_bootstrap, seed)
        # over the behaviours of the mean itself: a draw that lacks one of them says nothing about it
        counted = _is_counted(table.drop(index=MEAN), background).to_numpy()
        draws = np.concatenate([draws, draws[:, counted].mean(axis=1, keepdims=True)], axis=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a behaviour that no draw holds stays NaN
            low, high = np.nanpercentile(draws, [2.5, 97.5], axis=0)
        for m, name in enumerate(("f1", "average_precision")):
            table[f"{name}_low"], table[f"{name}_high"] = low[:, m], high[:, m]
    return table


def _bootstrap(
    truth: np.ndarray, score: np.ndarray, recording: np.ndarray, threshold: float, num_draws: int, seed: int
) -> np.ndarray:
    """F1 and average precision of every draw of recordings, (draws, behaviours, 2); NaN where nothing is present.

    A recording that is drawn twice counts twice: every frame is given its recording's multiplicity as a weight, so
    that frames are sorted by score once and not in every draw.
    """
    names, which = np.unique(recording, return_inverse=True)
    picks = np.random.default_rng(seed).integers(len(names), size=(num_draws, len(names)))
    weights = np.stack([np.bincount(pick, minlength=len(names)) for pick in picks])  # (draws, recordings)
    draws = np.full((num_draws, truth.shape[1], 2), np.nan)
    for column in range(truth.shape[1]):
        used = (truth[:, column] != NOT_SCORED) & np.isfinite(score[:, column])
        present, p, of = truth[used, column] == 1, score[used, column], which[used]
        if present.any():
            draws[:, column, 0] = _weighted_f1(present, p >= threshold, of, weights)
            draws[:, column, 1] = _weighted_average_precision(present, p, of, weights)
    return draws


def _weighted_f1(present: np.ndarray, predicted: np.ndarray, of: np.ndarray, weights: np.ndarray) -> np.ndarray:
    def count(mask: np.ndarray) -> np.ndarray:
        return weights @ np.bincount(of[mask], minlength=weights.shape[1])  # (draws,)

    all_present = count(present)
    f1 = 2 * count(present & predicted) / np.maximum(all_present + count(predicted), 1)
    return np.where(all_present > 0, f1, np.nan)


def _weighted_average_precision(present: np.ndarray, p: np.ndarray, of: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of (gain in recall) * precision over falling thresholds, equal scores together, (draws,)."""
    order = np.argsort(-p, kind="stable")
    present, p, of = present[order], p[order], of[order]
    last = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)  # the last of several equal scores
    found = np.cumsum(present)[last]
    gains = np.diff(found, prepend=0) > 0  # elsewhere recall stays as it is
    last, found, of_present = last[gains], found[gains], of[present]
    out = np.full(len(weights), np.nan)
    for k, weight in enumerate(weights.astype(np.float64)):
        hits = np.cumsum(weight[of_present])[found - 1]
        if hits[-1] > 0:
            named = np.cumsum(weight[of])[last]
            gain = np.diff(hits, prepend=0.0)
            out[k] = (gain * hits / np.maximum(named, 1.0)).sum() / hits[-1]
    return out


def _is_counted(table: pd.DataFrame, background: Sequence[str]) -> pd.Series:
    """Which behaviours enter the mean: present at least once, and no background."""
    return (table["present"] > 0) & ~table.index.str.lower().isin([b.lower() for b in background])


def _table(
    truth: np.ndarray, score: np.ndarray, behaviors: Sequence[str], threshold: float, background: Sequence[str]
) -> pd.DataFrame:
    rows = {}
    for column, behavior in enumerate(behaviors):
        used = (truth[:, column] != NOT_SCORED) & np.isfinite(score[:, column])
        y, p = truth[used, column], score[used, column]
        present = int((y == 1).sum())
        values = dict.fromkeys(METRICS, np.nan)
        if present:
            precision, recall, f1, _ = precision_recall_fscore_support(
                y,
                p >= threshold,
                average="binary",
                pos_label=1,
                zero_division=0.0,  # pyright: ignore[reportArgumentType]
            )
            values = dict(zip(METRICS, (precision, recall, f1, float(average_precision_score(y, p))), strict=True))
        rows[behavior] = {
            **values,
            "prevalence": present / len(y) if len(y) else np.nan,
            "frames": len(y),
            "present": present,
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    counted = table[_is_counted(table, background)]
    mean = counted[[*METRICS, "prevalence"]].mean()
    table.loc[MEAN] = {**mean.to_dict(), "frames": int(table["frames"].max()), "present": int(counted["present"].sum())}
    table[["frames", "present"]] = table[["frames", "present"]].astype(int)
    return table
