"""Scores on recordings the probe has not seen. Splits go by recording and never by frame."""

from __future__ import annotations

from typing import cast

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

from behavior_prism.schemas import NOT_SCORED

from .design import TrainingSet
from .probe import LinearProbe


def cross_validate_by_recording(probe: LinearProbe, data: TrainingSet, *, max_folds: int = 5) -> np.ndarray:
    """Predict every row with a probe that was trained on other recordings.

    Parameters
    ----------
    probe : LinearProbe
        Cloned for every fold.
    data : TrainingSet
        Its recordings are the groups.
    max_folds : int
        As many folds as recordings, but no more than this.

    Returns
    -------
    numpy.ndarray
        Probabilities, shape (n, behaviors). NaN where the training part of a fold had no scored frame of a behaviour.

    Raises
    ------
    ValueError
        If there are fewer than two recordings.
    """
    recordings = np.unique(data.recording.astype(str))
    if len(recordings) < 2:
        raise ValueError(f"expected at least two recordings to hold one out, got {len(recordings)}")
    score = np.full(data.label.shape, np.nan)
    folds = GroupKFold(n_splits=min(max_folds, len(recordings)))
    for train, test in folds.split(data.rows, groups=data.recording.astype(str)):
        scored = np.flatnonzero((data.label[train] != NOT_SCORED).any(axis=0))
        if len(scored):
            fitted = cast(LinearProbe, clone(probe)).fit(data.rows[train], data.label[train][:, scored])
            score[np.ix_(test, scored)] = fitted.predict_proba(data.rows[test])
    return score
