"""Evaluators by a corpus or labels: the loss of a stage, and average precision of behaviours.

Shapes: B clips, C behaviours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from .encoder import VideoClassifier
from .encoder.pretraining.frozen_evaluation import mean_and_change
from .encoder.pretraining.images import to_floats
from .encoder.pretraining.judging import judging, over_batches, video_encoder_of
from .encoder.pretraining.objective import Batch, Objective, to_device
from .encoder.pretraining.scores import linear_probe


class HeldOutLoss:
    """Loss and other numbers of an objective on clips that are not learned from.

    Parameters
    ----------
    batches : iterable of batch
        To be gone through again and again; as the stage's collator makes them.
    name : str
        In front of the numbers' names.
    """

    def __init__(self, batches: Iterable[Batch], name: str = "held_out") -> None:
        self.batches, self.name = batches, name

    def __call__(self, objective: Objective, step: int) -> dict[str, float]:
        """Judge.

        Parameters
        ----------
        objective : Objective
            Any.
        step : int
            Not looked at.

        Returns
        -------
        dict of str to float
            Means over batches.
        """
        device = next(objective.parameters()).device
        numbers: list[dict[str, float]] = []
        with judging(objective):
            for batch in self.batches:
                loss, metrics = objective(to_device(batch, device))
                numbers.append({key: float(value) for key, value in {"loss": loss, **metrics}.items()})
        return {f"{self.name}/{key}": float(np.mean([each[key] for each in numbers])) for key in numbers[0]}


class PrecisionEvaluator:
    """Average precision of a classifier on recordings that are not learned from.

    Parameters
    ----------
    batches : sequence of batch
        With ``video`` and three-state ``label`` (B, C).
    behaviors : sequence of str
        What the columns mean.
    """

    def __init__(self, batches: Sequence[Batch], behaviors: Sequence[str]) -> None:
        self.batches, self.behaviors = list(batches), tuple(behaviors)
        self.labels = _labels(self.batches)

    def __call__(self, objective: Objective, step: int) -> dict[str, float]:
        """Judge.

        Parameters
        ----------
        objective : FinetuneObjective
            Of fine-tuning.
        step : int
            Not looked at.

        Returns
        -------
        dict of str to float
            By behaviour, of those that are both present and absent somewhere, and their mean.
        """
        model = objective.learned_model()
        assert isinstance(model, VideoClassifier)
        with judging(objective):
            logits = over_batches(
                objective, self.batches, ("video",), lambda batch: model(batch["video"].float() / 255).logits
            ).numpy()
        found = {}
        for column, behavior in enumerate(self.behaviors):
            scored = self.labels[:, column] >= 0
            if _both(self.labels[scored, column]):
                found[behavior] = _average_precision(self.labels[scored, column], logits[scored, column])
        return _by_behavior("held_out", found)


class PrecisionProbe:
    """Frozen features of labelled recordings: a logistic regression per behaviour, judged on recordings held out.

    Works on every objective. A window may show several behaviours, and what nobody scored counts neither way.

    Parameters
    ----------
    train, test : sequence of batch
        With ``video`` and three-state ``label`` (B, C); they share no recording.
    behaviors : sequence of str
        What the columns mean.
    name : str
        In front of the numbers' names.

    Raises
    ------
    ValueError
        If no behaviour is both present and absent on either side.
    """

    def __init__(
        self, train: Sequence[Batch], test: Sequence[Batch], behaviors: Sequence[str], name: str = "labels"
    ) -> None:
        self.train, self.test, self.name = list(train), list(test), name
        known, asked = _labels(self.train), _labels(self.test)
        self.columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # where a side is scored it has both
        for column, behavior in enumerate(behaviors):
            one, other = known[:, column], asked[:, column]
            if _both(one[one >= 0]) and _both(other[other >= 0]):
                self.columns[behavior] = one, other
        if not self.columns:
            raise ValueError(
                f"labels: expected one of {', '.join(behaviors)} to be both present and absent in recordings to learn "
                "from and in recordings held out, got none"
            )

    def __call__(self, objective: Objective, step: int) -> dict[str, float]:
        """Judge.

        Parameters
        ----------
        objective : Objective
            Any.
        step : int
            Not looked at.

        Returns
        -------
        dict of str to float
            ``average_precision/BEHAVIOUR``, ``mean_average_precision``, and ``chance``: what the latter is where
            features say nothing.
        """
        encoder = video_encoder_of(objective)
        with judging(objective):
            known, asked = (
                over_batches(
                    objective, b, ("video",), lambda c: mean_and_change(encoder(to_floats(c["video"], encoder)))
                )
                for b in (self.train, self.test)
            )
        found, chance = {}, []
        for behavior, (one, other) in self.columns.items():
            taught, judged = torch.from_numpy(one >= 0), torch.from_numpy(other >= 0)
            logits = linear_probe(known[taught], torch.from_numpy(one[one >= 0]).long(), asked[judged])
            found[behavior] = _average_precision(other[other >= 0], (logits[:, 1] - logits[:, 0]).numpy())
            chance.append(float((other[other >= 0] == 1).mean()))
        return {**_by_behavior(self.name, found), f"{self.name}/chance": float(np.mean(chance))}


def _labels(batches: Sequence[Batch]) -> np.ndarray:
    values: np.ndarray = torch.cat([batch["label"] for batch in batches]).numpy()
    return values


def _both(scored: np.ndarray) -> bool:
    return bool(0 < (scored == 1).sum() < len(scored))


def _average_precision(present: np.ndarray, scores: np.ndarray) -> float:
    """NaN for scores that are not finite, as in :mod:`.encoder.pretraining.scores`: no reason to end a run."""
    from sklearn.metrics import average_precision_score

    if not np.isfinite(scores).all():
        return math.nan
    return float(average_precision_score(present, scores))


def _by_behavior(name: str, found: dict[str, float]) -> dict[str, float]:
    mean = {f"{name}/mean_average_precision": float(np.mean(list(found.values())))} if found else {}
    return {**mean, **{f"{name}/average_precision/{behavior}": value for behavior, value in found.items()}}
