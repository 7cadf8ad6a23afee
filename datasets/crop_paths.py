"""Paths over time: which gaps are bridged and how a path is smoothed.

A path is an array (T, C) with NaN where it is not known; a frame counts as known if all its C numbers are. What comes
out at a frame follows from the whole path alone, so that it is the same however windows are cut.
"""

from __future__ import annotations

import math

import numpy as np

from .annotations import frame_edges, runs

_REACH = 4.0  # standard deviations at which the Gaussian is cut off
_ORDER = 2  # of the Savitzky-Golay polynomial


def fill_gaps(path_TC: np.ndarray, times: np.ndarray, *, policy: str, max_gap: float) -> np.ndarray:
    """Bridge gaps that are short enough.

    Parameters
    ----------
    path_TC : numpy.ndarray
        Shape (T, C), NaN where not known.
    times : numpy.ndarray
        Time of every frame [s], shape (T,).
    policy : {"hold", "interpolate", "invalid"}
        ``"hold"`` keeps the last known place, ``"interpolate"`` draws a straight line in time between the known
        places to both sides, ``"invalid"`` bridges nothing.
    max_gap : float
        The longest gap bridged [s], from the beginning of its first to the end of its last frame. A longer one stays
        open as a whole.

    Returns
    -------
    numpy.ndarray
        A copy. What comes before the first known frame stays open; what comes after the last one is bridged by
        ``"hold"`` only.
    """
    filled = path_TC.copy()
    known = np.all(np.isfinite(path_TC), axis=1)
    if policy == "invalid" or not known.any():
        filled[~known] = np.nan
        return filled
    edges = frame_edges(times)
    for start, stop in runs(~known):
        filled[start:stop] = np.nan
        too_long = edges[stop] - edges[start] > max_gap * (1 + 1e-9)  # times are rounded
        if start == 0 or too_long or (policy == "interpolate" and stop == len(times)):
            continue
        before = path_TC[start - 1]
        if policy == "hold":
            filled[start:stop] = before
        else:
            share = (times[start:stop] - times[start - 1]) / (times[stop] - times[start - 1])
            filled[start:stop] = before + share[:, None] * (path_TC[stop] - before)
    return filled


def smooth_path(path_TC: np.ndarray, times: np.ndarray, *, seconds: float, method: str) -> np.ndarray:
    """Smooth each unbroken stretch of a path.

    Parameters
    ----------
    path_TC : numpy.ndarray
        Shape (T, C), NaN where not known.
    times : numpy.ndarray
        Time of every frame [s], shape (T,).
    seconds : float
        Standard deviation of the Gaussian, or length of the Savitzky-Golay window [s]; 0 changes nothing.
    method : {"gaussian", "savgol"}
        The Gaussian weighs by time, whatever the frame rate does. Savitzky-Golay (quadratic) counts frames, at the
        median frame rate; a stretch shorter than its window gets a shorter window.

    Returns
    -------
    numpy.ndarray
        A copy, NaN where ``path_TC`` is.
    """
    if seconds == 0 or len(times) < 2:
        return path_TC.copy()
    known = np.all(np.isfinite(path_TC), axis=1)
    if method == "gaussian":
        return _gaussian(path_TC, times, known, seconds)
    from scipy.signal import savgol_filter

    smooth = path_TC.copy()
    wanted = 2 * round(seconds / float(np.median(np.diff(times))) / 2 - 0.5) + 1
    for start, stop in runs(known):
        window = min(wanted, stop - start - (stop - start + 1) % 2)  # odd
        if window > _ORDER + 1:
            smooth[start:stop] = savgol_filter(path_TC[start:stop], window, _ORDER, axis=0)
    return smooth


def _gaussian(path_TC: np.ndarray, times: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Weighted means of the neighbours in the same stretch, one offset after the other."""
    stretch = np.cumsum(np.diff(known.astype(np.int8), prepend=0) != 0)
    values = np.where(known[:, None], path_TC, 0.0)
    total, weight = values * known[:, None], known.astype(np.float64)
    reach = _REACH * sigma * (1 + 1e-6)  # times are rounded
    last = np.searchsorted(times, times + reach, side="right")
    for offset in range(1, int((last - np.arange(len(times))).max(initial=1))):
        apart = times[offset:] - times[:-offset]
        near = known[offset:] & (stretch[offset:] == stretch[:-offset]) & (apart <= reach)
        w = np.where(near, np.exp(-0.5 * (apart / sigma) ** 2), 0.0)
        total[:-offset] += w[:, None] * values[offset:]
        total[offset:] += w[:, None] * values[:-offset]
        weight[:-offset] += w
        weight[offset:] += w
    return np.where(known[:, None], total / np.maximum(weight, 1e-300)[:, None], math.nan)
