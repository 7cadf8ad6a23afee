"""A linear probe on frozen features: standardise, then one logistic regression per behaviour.

With three-state labels each behaviour is fitted on the frames that were scored for it and on no others. Rare
behaviours are weighted up by default. Saved with skops, which runs no code on loading.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from behavior_prism.files import atomic_write, refuse_existing
from behavior_prism.schemas import ABSENT, NOT_SCORED, PRESENT

CARD_FIELDS = ("kind", "behaviors", "features", "context", "recordings", "version")  # what predicting needs
_TRUSTED = ("behavior_prism.analysis.probe.LinearProbe",)


class LinearProbe(ClassifierMixin, BaseEstimator):
    """Logistic regression on standardised features, scikit-learn API.

    Parameters
    ----------
    C : float
        Inverse strength of the L2 penalty.
    class_weight : {"balanced"} or None
        ``"balanced"`` weighs frames by the inverse of their class's frequency.
    max_iter : int
        Limit of the solver's iterations.

    Attributes
    ----------
    classes_ : numpy.ndarray
        For labels of shape (n,): the classes. For three-state labels of shape (n, k): the k column numbers.
    constant_ : list of int
        Columns (three-state labels only) that were present everywhere or nowhere among the scored frames, so that
        the probe can only answer with that.
    n_iter_ : int
        Most iterations that any of the regressions took.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : what is fitted.

    Notes
    -----
    ``y`` of shape (n,) is an ordinary class per row. ``y`` of shape (n, k) holds -1 (not scored), 0 (absent) and 1
    (present) for k behaviours that may overlap; ``predict_proba`` then gives one probability per behaviour and
    ``predict`` says 1 from a probability of 0.5 on.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3)); y = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)
    >>> y[:20, 1] = -1  # nobody scored the second behaviour there
    >>> LinearProbe().fit(X, y).predict_proba(X).shape
    (60, 2)
    """

    def __init__(self, C: float = 0.001, class_weight: str | None = "balanced", max_iter: int = 1000) -> None:
        self.C = C
        self.class_weight = class_weight
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> LinearProbe:
        """Fit the probe.

        Parameters
        ----------
        X : array-like
            Features, shape (n, d).
        y : array-like
            Classes, shape (n,), or three-state labels, shape (n, k).

        Returns
        -------
        LinearProbe
            Itself.

        Raises
        ------
        ValueError
            If shapes do not fit, or a behaviour was scored nowhere.
        """
        X, y = validate_data(self, X, y, multi_output=True)
        y = np.asarray(y)
        if (y.ndim == 2 and y.shape[1] > 1) or (y.ndim == 2 and np.isin(y, (NOT_SCORED, ABSENT, PRESENT)).all()):
            return self._fit_three_state(X, y)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"LinearProbe needs at least two classes, got 1 class: {self.classes_[0]!r}")
        self.three_state_ = False
        self.models_ = [self._model().fit(X, y)]
        self.n_iter_ = int(self.models_[0][-1].n_iter_.max())
        self.constant_: list[int] = []
        return self

    def _fit_three_state(self, X: np.ndarray, y: np.ndarray) -> LinearProbe:
        if not np.isin(y, (NOT_SCORED, ABSENT, PRESENT)).all():
            raise ValueError(f"y: expected -1, 0 or 1 in labels of shape (n, k), got {np.unique(y)[:5].tolist()}")
        self.three_state_ = True
        self.classes_ = np.arange(y.shape[1])
        self.models_, self.constant_, self.n_iter_ = [], [], 1
        for column in range(y.shape[1]):
            scored = y[:, column] != NOT_SCORED
            if not scored.any():
                raise ValueError(f"y: expected some scored frames for every behaviour, column {column} has none")
            states = y[scored, column]
            if len(np.unique(states)) < 2:
                self.constant_.append(column)
                self.models_.append(DummyClassifier(strategy="constant", constant=states[0]).fit(X[scored], states))
            else:
                model = self._model().fit(X[scored], states)
                self.models_.append(model)
                self.n_iter_ = max(self.n_iter_, int(model[-1].n_iter_.max()))
        return self

    def _model(self) -> Any:
        logistic = LogisticRegression(C=self.C, class_weight=self.class_weight, max_iter=self.max_iter)
        return make_pipeline(StandardScaler(), logistic)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of every class, or of every behaviour.

        Parameters
        ----------
        X : array-like
            Features, shape (n, d).

        Returns
        -------
        numpy.ndarray
            Shape (n, classes): rows sum to one for ordinary classes, not for three-state labels.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        if not self.three_state_:
            return self.models_[0].predict_proba(X)
        out = np.empty((len(X), len(self.models_)))
        for column, model in enumerate(self.models_):
            where = np.flatnonzero(model.classes_ == PRESENT)
            out[:, column] = model.predict_proba(X)[:, where[0]] if len(where) else 0.0
        return out

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class, or presence of every behaviour.

        Parameters
        ----------
        X : array-like
            Features, shape (n, d).

        Returns
        -------
        numpy.ndarray
            Shape (n,), or (n, k) of 0 and 1.
        """
        probability = self.predict_proba(X)
        if not self.three_state_:
            return self.classes_[probability.argmax(axis=1)]
        return (probability >= 0.5).astype(np.int8)


def save_probe(probe: LinearProbe, card: Mapping[str, Any], path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a fitted probe and its card to a folder.

    Parameters
    ----------
    probe : LinearProbe
        Fitted.
    card : mapping
        JSON-compatible: behaviours, feature settings, training recordings, held-out scores ...
    path : str or pathlib.Path
        Folder to make: ``probe.skops`` and ``card.json``.
    overwrite : bool
        Replace an existing probe.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    FileExistsError
        If the folder is there and ``overwrite`` is not set, or holds something else than a probe.
    """
    import skops.io

    check_probe_place(path, overwrite=overwrite)
    with atomic_write(path, overwrite=overwrite) as fresh:
        fresh.mkdir()
        skops.io.dump(probe, fresh / "probe.skops")
        (fresh / "card.json").write_text(json.dumps(dict(card), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Path(path)


def check_probe_place(path: str | Path, *, overwrite: bool) -> None:
    """Raise if no probe can be written to a path; to be asked before the work and not after it.

    Parameters
    ----------
    path : str or pathlib.Path
        Folder of the probe to make.
    overwrite : bool
        Whether a probe that is there may be replaced.

    Raises
    ------
    FileExistsError
        If something is there and ``overwrite`` is not set, or it is something else than a probe.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    if path.exists() and not (path / "card.json").exists():
        raise FileExistsError(f"{path}: exists already and is not a probe; choose another name")


def load_probe(path: str | Path) -> tuple[LinearProbe, dict[str, Any]]:
    """Load a probe and its card; nothing in the files is run.

    Parameters
    ----------
    path : str or pathlib.Path
        Folder that :func:`save_probe` made.

    Returns
    -------
    probe : LinearProbe
        Ready to predict.
    card : dict
        What it was trained on and how well it did.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder is missing, not a probe, or holds types that are not ours.
    """
    import skops.io

    path = Path(path)
    card_file, model_file = path / "card.json", path / "probe.skops"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such probe")
    if not card_file.exists() or not model_file.exists():
        raise ValueError(f"{path}: expected a probe folder with card.json and probe.skops")
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
        foreign = sorted(set(skops.io.get_untrusted_types(file=model_file)) - set(_TRUSTED))
        if foreign:
            raise ValueError(f"holds types that no probe of ours has: {foreign}")
        probe = skops.io.load(model_file, trusted=list(_TRUSTED))
    except (ValueError, KeyError, OSError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a usable probe ({error})") from None
    if not isinstance(probe, LinearProbe):
        raise ValueError(f"{path}: expected a LinearProbe, got {type(probe).__name__}")
    missing = [name for name in CARD_FIELDS if not isinstance(card, dict) or name not in card]
    if missing:
        raise ValueError(f"{card_file}: expected {', '.join(CARD_FIELDS)}; missing {', '.join(missing)}")
    return probe, card
