"""Judging the features of what is learned, whatever the objective: a small head on labelled clips, signs of collapse.

Both give the numbers of :mod:`.scores`; how evaluators are called is said in :mod:`.evaluation`.

Shapes: B clips, T frames, N places of a frame, D channels, F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model import VideoEncoder
from .contrastive import ContrastiveObjective
from .images import to_floats
from .judging import check_repeatable, judging, named, over_batches, over_labelled, video_encoder_of
from .objective import Batch, Objective
from .scores import class_scores, collapse_indicators, linear_probe, nearest_centroid


class ProbeEvaluator:
    """Frozen features of labelled clips, judged by logistic regression and by the nearest class mean.

    Works on every objective: features come from the video encoder of what is learned.

    Parameters
    ----------
    train, test : iterable of batch
        With ``video`` and ``label``, int (B,). They should not share recordings. Clips of a class that ``train`` does
        not show count as wrong.
    features : callable, optional
        Tokens (B, T, N, D) to features (B, F); :func:`mean_and_change` by default.
    name : str
        In front of the numbers' names.

    Raises
    ------
    ValueError
        If batches can be gone through only once.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoTextModel, preset
    >>> import torch
    >>> dark, light = (torch.full((3, 1, 96, 96, 3), v, dtype=torch.uint8) for v in (0, 255))
    >>> batches = [{"video": torch.cat([dark, light]), "label": torch.tensor([0, 0, 0, 1, 1, 1])}]
    >>> objective = ContrastiveObjective(VideoTextModel(preset("lvt-tiny").config))
    >>> ProbeEvaluator(batches, batches)(objective, 0)["probe/linear_accuracy"]
    1.0
    """

    def __init__(
        self,
        train: Iterable[Batch],
        test: Iterable[Batch],
        features: Callable[[Tensor], Tensor] | None = None,
        name: str = "probe",
    ) -> None:
        self.train = check_repeatable("train", train)
        self.test = check_repeatable("test", test)
        self.features = features or mean_and_change
        self.name = name

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
            ``linear_accuracy``, ``linear_balanced_accuracy``, ``centroid_accuracy`` and
            ``centroid_balanced_accuracy``.

        Raises
        ------
        ValueError
            If batches do not fit.
        """
        encoder = video_encoder_of(objective)
        with judging(objective):
            (train, train_labels), (test, labels) = (
                over_labelled(objective, batches, lambda b: self.features(_tokens(encoder, b)))
                for batches in (self.train, self.test)
            )
        classes = 1 + int(max(train_labels.max(), labels.max()))
        scores: dict[str, float] = {}
        for kind, method in (("linear", linear_probe), ("centroid", nearest_centroid)):
            known = method(train, train_labels, test)
            # what was never shown is never said
            known = F.pad(known, (0, classes - known.shape[1]), value=-math.inf)
            found = class_scores(known, labels)
            scores |= {f"{kind}_{name}": value for name, value in found.items()}
        return named(self.name, scores)


class CollapseEvaluator:
    """Signs that embeddings become all alike or fill few dimensions.

    Works on every objective: of the encoder's tokens, the mean of each clip; where there are texts, also of the
    embeddings that are compared with them.

    Parameters
    ----------
    clips : iterable of batch
        With ``video``; different clips, at least two.
    name : str
        In front of the numbers' names.

    Raises
    ------
    ValueError
        If batches can be gone through only once.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoTextModel, preset
    >>> import torch
    >>> same = [{"video": torch.zeros(2, 1, 96, 96, 3, dtype=torch.uint8)}]
    >>> scores = CollapseEvaluator(same)(ContrastiveObjective(VideoTextModel(preset("lvt-tiny").config)), 0)
    >>> round(scores["collapse/tokens_cosine"], 6)
    1.0
    """

    def __init__(self, clips: Iterable[Batch], name: str = "collapse") -> None:
        self.clips = check_repeatable("clips", clips)
        self.name = name

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
            ``tokens_std``, ``tokens_effective_rank``, ``tokens_cosine``, and ``embeddings_...``; see
            :func:`.scores.collapse_indicators`.

        Raises
        ------
        ValueError
            If batches do not fit.
        """
        encoder = video_encoder_of(objective)
        with judging(objective):
            means = over_batches(objective, self.clips, ("video",), lambda b: encoder.pool(_tokens(encoder, b)))
            scores = {f"tokens_{name}": value for name, value in collapse_indicators(means).items()}
            if isinstance(objective, ContrastiveObjective):
                found = collapse_indicators(over_batches(objective, self.clips, ("video",), objective.embed_video))
                scores |= {f"embeddings_{name}": value for name, value in found.items()}
        return named(self.name, scores)


def mean_and_change(tokens_BTND: Tensor) -> Tensor:
    """Features of a clip: the mean of its tokens, and how much they differ from frame to frame.

    A mean over frames does not know their order nor whether anything moves; the second half does.

    Parameters
    ----------
    tokens_BTND : torch.Tensor
        Tokens.

    Returns
    -------
    torch.Tensor
        Shape (B, 2 * D); the second half is 0 for one frame.

    Examples
    --------
    >>> import torch
    >>> mean_and_change(torch.tensor([0.0, 2.0]).view(1, 2, 1, 1))
    tensor([[1., 2.]])
    """
    mean = tokens_BTND.mean(dim=(1, 2))
    if tokens_BTND.shape[1] == 1:
        return torch.cat([mean, torch.zeros_like(mean)], dim=1)
    return torch.cat([mean, tokens_BTND.diff(dim=1).abs().mean(dim=(1, 2))], dim=1)


def _tokens(encoder: VideoEncoder, batch: Batch) -> Tensor:
    return encoder(to_floats(batch["video"], encoder))
