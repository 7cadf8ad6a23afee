"""Cohen's and Fleiss' kappa from counts, and their intervals by drawing blocks of time or recordings.

Everything is computed from counts that add up (frames per cell, bouts per cell), so that a bootstrap draw is a weighted
sum of the blocks' counts. Where chance alone would agree in full, kappa is 0/0: it is NaN and never 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STRUCTURAL_STEPS = 60


def cohen_kappa(counts: np.ndarray) -> np.ndarray:
    """Cohen's kappa (1960) of tables of counts.

    Parameters
    ----------
    counts : array_like
        Rows are what the first scorer said, columns what the second said, shape (..., k, k).

    Returns
    -------
    numpy.ndarray
        Shape (...). NaN where a table is empty, or both scorers used one and the same category throughout.

    Examples
    --------
    >>> cohen_kappa([[20, 5], [10, 15]]).round(3).item(), cohen_kappa([[0, 0], [0, 50]]).item()
    (0.4, nan)
    """
    table = np.asarray(counts, dtype=np.float64)
    total = table.sum((-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(table, axis1=-2, axis2=-1) / total
        expected = (table.sum(-1) * table.sum(-2)).sum(-1) / total**2
        kappa = (observed - expected) / (1 - expected)
    # whole numbers decide, 1 - expected may miss 0 by rounding
    return np.where(_one_category(table), np.nan, kappa)


def _one_category(table: np.ndarray) -> np.ndarray:
    total = table.sum((-2, -1))
    return (np.diagonal(table, axis1=-2, axis2=-1) == total[..., None]).any(-1)


def cohen_kappa_without(counts: np.ndarray) -> np.ndarray:
    """Kappa of a table whose last cell cannot be counted: neither scorer saw an event.

    Parameters
    ----------
    counts : array_like
        Rows and columns are the behaviours and, last, "no event", shape (..., k + 1, k + 1). The last cell is taken as
        a structural zero.

    Returns
    -------
    numpy.ndarray
        Shape (...). NaN for a single behaviour, where the margins fix every cell.

    Notes
    -----
    Chance agreement comes from the quasi-independent table of the same margins: iterative proportional fitting, which
    leaves the last cell empty.

    Examples
    --------
    >>> round(float(cohen_kappa_without([[9, 1, 0], [1, 9, 0], [0, 0, 0]])), 3)
    0.8
    """
    table = np.array(counts, dtype=np.float64)
    table[..., -1, -1] = 0
    used = ((table.sum(-1) + table.sum(-2))[..., :-1] > 0).sum(-1)
    fitted = np.ones_like(table)
    fitted[..., -1, -1] = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(STRUCTURAL_STEPS):
            for axis in (-1, -2):
                factor = table.sum(axis, keepdims=True) / fitted.sum(axis, keepdims=True)
                fitted = fitted * np.where(np.isfinite(factor), factor, 0.0)
        total = table.sum((-2, -1))
        observed = np.trace(table, axis1=-2, axis2=-1) / total
        expected = np.trace(fitted, axis1=-2, axis2=-1) / total
        kappa = (observed - expected) / (1 - expected)
    return np.where(used < 2, np.nan, kappa)


def fleiss_kappa(ratings: np.ndarray) -> float:
    """Fleiss' kappa (1971) for any number of scorers.

    Parameters
    ----------
    ratings : array_like
        How many scorers put a frame into a category, shape (frames, categories); the same number for every frame.

    Returns
    -------
    float
        NaN where there are no frames, fewer than two scorers, or one category alone.

    Examples
    --------
    >>> round(fleiss_kappa([[3, 0], [2, 1], [0, 3], [0, 3]]), 4)
    0.6571
    """
    table = np.asarray(ratings, dtype=np.float64)
    if not len(table):
        return float("nan")
    if (table.sum(1) != table[0].sum()).any():
        raise ValueError("expected as many scorers for every frame")
    agreeing = (table * (table - 1)).sum()
    return float(fleiss_of_sums(np.concatenate([[agreeing], table.sum(0)]), int(table[0].sum())))


def fleiss_of_sums(sums: np.ndarray, scorers: int) -> np.ndarray:
    """Fleiss' kappa from sums over frames.

    Parameters
    ----------
    sums : numpy.ndarray
        Ordered pairs of scorers that agree, then how often each category was used, shape (..., 1 + categories).
    scorers : int
        Scorers of every frame.

    Returns
    -------
    numpy.ndarray
        Shape (...).
    """
    sums = np.asarray(sums, dtype=np.float64)
    used = sums[..., 1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = used.sum(-1)
        observed = sums[..., 0] / (total * (scorers - 1))
        expected = ((used / total[..., None]) ** 2).sum(-1)
        kappa = (observed - expected) / (1 - expected)
    return np.where(((used > 0).sum(-1) < 2) | (scorers < 2), np.nan, kappa)


def bootstrap_weights(units: int, num_draws: int, seed: int) -> np.ndarray:
    """How often every block (or recording) is in a draw.

    Parameters
    ----------
    units : int
        Blocks or recordings.
    num_draws, seed : int
        Number of draws, and their seed.

    Returns
    -------
    numpy.ndarray
        Shape (num_draws, units); every row sums to ``units``.
    """
    picks = np.random.default_rng(seed).integers(units, size=(num_draws, units))
    flat = picks + units * np.arange(num_draws)[:, None]
    return np.bincount(flat.ravel(), minlength=num_draws * units).reshape(num_draws, units).astype(np.float64)


def interval(
    measure: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, weights: np.ndarray
) -> tuple[float, float]:
    """Bootstrap interval, 2.5 to 97.5 %.

    Parameters
    ----------
    measure : callable
        From counts of shape (draws, ...) to values of shape (draws,).
    counts : numpy.ndarray
        Of every unit, shape (units, ...).
    weights : numpy.ndarray
        From :func:`bootstrap_weights`.

    Returns
    -------
    low, high : float
        NaN if fewer than half of the draws have a value.
    """
    flat = np.asarray(counts, dtype=np.float64).reshape(len(counts), -1)
    held = flat.any(0)  # most cells of a large table are empty in every unit
    drawn = np.zeros((len(weights), flat.shape[1]))
    drawn[:, held] = weights @ flat[:, held]
    values = measure(drawn.reshape(len(weights), *counts.shape[1:]))
    values = values[np.isfinite(values)]
    if len(values) * 2 < len(weights) or not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
