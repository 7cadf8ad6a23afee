"""Compare kinds of features on the same folds: predictions, scores, and intervals of differences.

Every kind of features gives rows of the same frames, goes through the same classifier in the same folds, and is scored
on the same draws of the bootstrap, so that differences are paired. The bootstrap draws units (clips, or stretches of
ten seconds) and never frames. It takes the predictions as they are: how much other training clips would have changed
them it does not know.

Legend: n rows, d numbers, k classes or behaviours, u units, B draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from behavior_prism import LinearProbe
from behavior_prism.schemas import NOT_SCORED

NUM_DRAWS = 2000
SEED = 0
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of C, from which the inner folds choose


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What is to be predicted, who is held out, and what is drawn.

    Parameters
    ----------
    title : str
        Heading.
    names : tuple of str
        Classes, or behaviours.
    label : numpy.ndarray
        -1 (not scored), 0 or 1, shape (n, k). With ``one_of`` one class per row.
    unit : numpy.ndarray
        Number of the clip or of the stretch that each row belongs to, from 0, shape (n,).
    group : numpy.ndarray
        Rows of one group are held out together, shape (n,).
    one_of : bool
        Whether rows of a unit share one of the classes, so that the unit gets one prediction.
    caveat : str
        What the split does not rule out.
    """

    title: str
    names: tuple[str, ...]
    label: np.ndarray
    unit: np.ndarray
    group: np.ndarray
    one_of: bool
    caveat: str = ""

    def folds(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Hold one group out at a time.

        Yields
        ------
        train, test : numpy.ndarray
            Indices of rows.
        """
        for group in np.unique(self.group):
            yield np.flatnonzero(self.group != group), np.flatnonzero(self.group == group)


# -- classifiers


class TunedLogistic(ClassifierMixin, BaseEstimator):
    """Logistic regression whose strength inner folds choose, by group; otherwise as ``LinearProbe``.

    Rows are turned onto their principal axes after standardising, all of them: that changes no prediction of an L2
    penalty and saves the solver most of its work.
    """

    def __init__(self, one_of: bool = True) -> None:
        self.one_of = one_of

    def fit(self, rows: np.ndarray, label: np.ndarray, groups: np.ndarray) -> TunedLogistic:
        """Fit on rows (n, d) with three-state labels (n, k) and groups (n,)."""
        self.axes_ = make_pipeline(StandardScaler(), PCA(svd_solver="full")).fit(rows)
        turned = self.axes_.transform(rows)
        self.models_ = []
        if self.one_of:
            self.models_.append(_tuned(turned, label.argmax(axis=1), groups))
            return self
        for k in range(label.shape[1]):
            scored = label[:, k] != NOT_SCORED
            self.models_.append(_tuned(turned[scored], label[scored, k].astype(int), groups[scored]))
        return self

    def predict_proba(self, rows: np.ndarray, num_classes: int) -> np.ndarray:
        """Probabilities, shape (n, k)."""
        turned = self.axes_.transform(rows)
        if self.one_of:
            return _spread(self.models_[0], turned, num_classes)
        return np.stack([_spread(model, turned, 2)[:, 1] for model in self.models_], axis=1)


def _tuned(rows: np.ndarray, classes: np.ndarray, groups: np.ndarray) -> LogisticRegression:
    num_groups = len(np.unique(groups))
    best = 1e-3
    if num_groups > 1:
        goodness = np.zeros(len(STRENGTHS))
        for train, test in GroupKFold(min(3, num_groups)).split(rows, groups=groups):
            if len(np.unique(classes[train])) < 2:
                continue
            for i, strength in enumerate(STRENGTHS):
                said = _spread(_logistic(strength).fit(rows[train], classes[train]), rows[test], classes.max() + 1)
                right = said[np.arange(len(test)), classes[test]]
                goodness[i] += np.log(np.maximum(right, 1e-6)).sum()
        best = STRENGTHS[int(goodness.argmax())]
    return _logistic(best).fit(rows, classes)


def _logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)


def _spread(model: LogisticRegression, rows: np.ndarray, num_classes: int) -> np.ndarray:
    out = np.zeros((len(rows), num_classes))
    out[:, model.classes_.astype(int)] = model.predict_proba(rows)
    return out


def probe_as_shipped(task: Task, rows: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Probabilities of the test rows by ``LinearProbe`` as the library sets it, shape (test, k)."""
    label = task.label[train]
    if not task.one_of:
        return LinearProbe().fit(rows[train], label).predict_proba(rows[test])
    probe = LinearProbe().fit(rows[train], label.argmax(axis=1))
    out = np.zeros((len(test), len(task.names)))
    out[:, probe.classes_.astype(int)] = probe.predict_proba(rows[test])
    return out


def tuned_by_inner_folds(task: Task, rows: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Probabilities of the test rows by :class:`TunedLogistic`, shape (test, k)."""
    inner = task.group if len(np.unique(task.group[train])) > 1 else task.unit
    model = TunedLogistic(task.one_of).fit(rows[train], task.label[train], inner[train])
    return model.predict_proba(rows[test], len(task.names))


CLASSIFIERS: dict[str, Callable[[Task, np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "probe": probe_as_shipped,
    "tuned": tuned_by_inner_folds,
}


# -- scores, for every draw of the units


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What one kind of features says of everything that was held out.

    Parameters
    ----------
    truth : numpy.ndarray
        -1, 0 or 1, shape (m, k): rows, or units if each has one class.
    score : numpy.ndarray
        Probabilities, shape (m, k).
    unit : numpy.ndarray
        Unit of each, shape (m,).
    one_of : bool
        As in :class:`Task`.
    """

    truth: np.ndarray
    score: np.ndarray
    unit: np.ndarray
    one_of: bool


def predict(task: Task, rows: np.ndarray, classifier: str) -> Prediction:
    """Predict what is held out, by a classifier that saw nothing of its group.

    Parameters
    ----------
    task : Task
        What is predicted.
    rows : numpy.ndarray
        Shape (n, d).
    classifier : {"probe", "tuned"}
        Which one.

    Returns
    -------
    Prediction
    """
    score = np.full(task.label.shape, np.nan)
    for train, test in task.folds():
        score[test] = CLASSIFIERS[classifier](task, rows, train, test)
    if not task.one_of:
        return Prediction(truth=task.label, score=score, unit=task.unit, one_of=False)
    units, first = np.unique(task.unit, return_index=True)
    mean = np.stack([score[task.unit == u].mean(axis=0) for u in units])
    return Prediction(truth=task.label[first], score=mean, unit=units, one_of=True)


def draw_weights(num_units: int, num_draws: int = NUM_DRAWS) -> np.ndarray:
    """How often each unit is drawn, shape (1 + B, u); first comes the sample itself, each unit once."""
    picks = np.random.default_rng(SEED).integers(num_units, size=(num_draws, num_units))
    drawn = [np.bincount(pick, minlength=num_units) for pick in picks]
    return np.stack([np.ones(num_units), *drawn])


def balanced_accuracy(prediction: Prediction, weights: np.ndarray) -> np.ndarray:
    """Mean recall of the classes; of behaviours, of present and absent at a probability of 0.5, shape (1 + B,)."""
    truth, score, w = prediction.truth, prediction.score, weights[:, prediction.unit]
    if prediction.one_of:
        hit = score.argmax(axis=1) == truth.argmax(axis=1)
        return _mean_of_known(_ratio(w @ (truth * hit[:, None]), w @ truth))
    said = score >= 0.5
    recalls = [_ratio(w @ ((truth == v) & (said == v)), w @ (truth == v).astype(float)) for v in (0, 1)]
    return _mean_of_known(np.mean(recalls, axis=0))


def auroc(prediction: Prediction, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, each class against the others, mean over classes or behaviours, shape (1 + B,)."""
    out = []
    for truth, score in zip(prediction.truth.T, prediction.score.T, strict=True):
        yes, no = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
        wins = (score[yes, None] > score[no]) + 0.5 * (score[yes, None] == score[no])
        between = np.zeros((weights.shape[1],) * 2)  # of the pairs of two units, how many are right
        np.add.at(between, (prediction.unit[yes][:, None], prediction.unit[no]), wins)
        right = np.einsum("du,uv,dv->d", weights, between, weights, optimize=True)
        pairs = weights[:, prediction.unit[yes]].sum(axis=1) * weights[:, prediction.unit[no]].sum(axis=1)
        out.append(_ratio(right, pairs))
    return _mean_of_known(np.stack(out, axis=1))


def average_precision(prediction: Prediction, weights: np.ndarray) -> np.ndarray:
    """Average precision, mean over classes or behaviours, shape (1 + B,)."""
    return _mean_of_known(average_precisions(prediction, weights))


def average_precisions(prediction: Prediction, weights: np.ndarray) -> np.ndarray:
    """Average precision of every class or behaviour, shape (1 + B, k); equal scores come together."""
    out = []
    for truth, score in zip(prediction.truth.T, prediction.score.T, strict=True):
        scored = np.flatnonzero(truth != NOT_SCORED)
        order = scored[np.argsort(-score[scored], kind="stable")]
        last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
        w = weights[:, prediction.unit[order]]
        named, found = np.cumsum(w, axis=1)[:, last], np.cumsum(w * (truth[order] == 1), axis=1)[:, last]
        gain = np.diff(found, axis=1, prepend=0.0)
        out.append(_ratio((gain * found / np.maximum(named, 1.0)).sum(axis=1), found[:, -1]))
    return np.stack(out, axis=1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, of the classes that a draw holds."""
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1))


MEASURES = {"balanced accuracy": balanced_accuracy, "AUROC": auroc, "average precision": average_precision}


def all_measures(prediction: Prediction) -> dict[str, np.ndarray]:
    """Every measure of a prediction on the sample and on every draw, each of shape (1 + B,)."""
    weights = draw_weights(int(prediction.unit.max()) + 1)
    return {name: measure(prediction, weights) for name, measure in MEASURES.items()}


# -- differences


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A score less another score.

    Parameters
    ----------
    value, low, high : float
        On the sample, and its 95 % interval.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """In a word or two."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "not told apart"

    def __str__(self) -> str:
        return f"{self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def difference(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> Difference:
    """Compare two kinds of features on the same draws.

    Parameters
    ----------
    ones, others : sequence of numpy.ndarray
        One measure of :func:`all_measures`, (1 + B,), of each member: several where there are several seeds of random
        weights. The mean over members counts. In every draw the members are drawn as well, so that the interval knows
        how much seeds differ.

    Returns
    -------
    Difference
    """
    rng = np.random.default_rng(SEED + 1)
    left, right = _over_members(ones, rng), _over_members(others, rng)
    apart = left - right
    low, high = np.nanpercentile(apart[1:], [2.5, 97.5])
    return Difference(value=float(apart[0]), low=float(low), high=float(high))


def interval(members: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """A score with its 95 % interval; of several members their mean."""
    values = _over_members(members, np.random.default_rng(SEED + 1))
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return float(values[0]), float(low), float(high)


def _over_members(members: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    values = np.stack(members)  # (members, 1 + B)
    if len(values) == 1:
        return values[0]
    picks = rng.integers(len(values), size=values.shape)
    picks[:, 0] = np.arange(len(values))
    return np.take_along_axis(values, picks, axis=0).mean(axis=0)


@dataclass(kw_only=True)
class Verdicts:
    """Scores of all kinds of features on one task.

    Parameters
    ----------
    task : Task
        Which one.
    scores : dict
        Of (classifier, name of the features), each measure on the sample and on every draw.
    predictions : dict
        Of (classifier, name of the features).
    """

    task: Task
    scores: dict[tuple[str, str], dict[str, np.ndarray]] = field(default_factory=dict)
    predictions: dict[tuple[str, str], Prediction] = field(default_factory=dict)

    def add(self, name: str, rows: np.ndarray, classifiers: Sequence[str] = tuple(CLASSIFIERS)) -> None:
        """Score one kind of features, rows of shape (n, d)."""
        for classifier in classifiers:
            prediction = predict(self.task, rows, classifier)
            self.predictions[classifier, name] = prediction
            self.scores[classifier, name] = all_measures(prediction)

    def members(self, classifier: str, names: Sequence[str], measure: str) -> list[np.ndarray]:
        """Draws of a measure for some kinds of features."""
        return [self.scores[classifier, name][measure] for name in names]
