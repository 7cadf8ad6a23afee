"""Judging an objective while it learns: what a trainer calls every so many steps.

An evaluator is called with the objective and the step and gives numbers by name. It holds fixed batches, computes
without gradients in evaluation mode, and leaves no trace: modes and random generators are afterwards what they were,
so that a run learns the same with and without it.

Batches are any collection that can be gone through again and again: a list, or a loader. Their clips are uint8
(B, T, H, W, 3) as in training, all tokens are seen. Over several processes all of them call an evaluator, with the
same batches, and get the same numbers.

Here are the evaluators that compare clips with texts; :mod:`.frozen_evaluation` has those that take any objective.

Papers: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217); Radford et al., CLIP, 2021 (arXiv 2103.00020) for
ensembles of prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from .contrastive import ContrastiveObjective
from .frozen_evaluation import CollapseEvaluator, ProbeEvaluator
from .judging import check_repeatable, judging, named, over_batches, over_labelled
from .objective import Batch, Objective
from .scores import class_scores, prompt_embeddings, retrieval_scores

__all__ = ["CollapseEvaluator", "ProbeEvaluator", "RetrievalEvaluator", "ZeroShotEvaluator", "retrieval_scores"]

Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]


class RetrievalEvaluator:
    """Zero-shot retrieval: texts by clip and clips by text.

    Parameters
    ----------
    clips : iterable of batch
        With ``video``.
    texts : iterable of batch
        With ``token_ids`` and ``text_paddings``; may be the same batches.
    video_of_text : torch.Tensor, optional
        The clip of each text, counted through all batches; in order by default. A clip may have several.
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
    >>> video = torch.randint(0, 255, (2, 1, 96, 96, 3), dtype=torch.uint8)
    >>> pairs = [{"video": video, "token_ids": torch.tensor([[5], [9]]), "text_paddings": torch.zeros(2, 1)}]
    >>> evaluator = RetrievalEvaluator(pairs, pairs)
    >>> scores = evaluator(ContrastiveObjective(VideoTextModel(preset("lvt-tiny").config)), 0)
    >>> scores["retrieval/text_to_video_r5"]
    1.0
    """

    def __init__(
        self,
        clips: Iterable[Batch],
        texts: Iterable[Batch],
        video_of_text: Tensor | None = None,
        name: str = "retrieval",
    ) -> None:
        self.clips = check_repeatable("clips", clips)
        self.texts = check_repeatable("texts", texts)
        self.video_of_text = video_of_text
        self.name = name

    def __call__(self, objective: Objective, step: int) -> dict[str, float]:
        """Judge.

        Parameters
        ----------
        objective : ContrastiveObjective
            Of stage 1 or of text tuning.
        step : int
            Not looked at.

        Returns
        -------
        dict of str to float
            As :func:`.scores.retrieval_scores`.

        Raises
        ------
        ValueError
            If the objective has no texts, or batches do not fit.
        """
        stage = _with_texts(objective)
        with judging(stage):
            video = over_batches(stage, self.clips, ("video",), stage.embed_video)
            text = over_batches(stage, self.texts, ("token_ids", "text_paddings"), stage.embed_text)
        return named(self.name, retrieval_scores(video, text, self.video_of_text))


class ZeroShotEvaluator:
    """Zero-shot classification: a clip belongs to the class whose prompts are closest.

    Parameters
    ----------
    clips : iterable of batch
        With ``video`` and ``label``, int (B,).
    tokenizer : callable
        Texts to token ids and paddings, as :class:`behavior_prism.encoder.Tokenizer`.
    prompts : sequence of (sequence of str)
        Sentences of class 0, 1, ...; the embedding of a class is the mean over its own (see
        :func:`behavior_prism.encoder.fill_templates` for names in sentences that are the same for all classes).
    name : str
        In front of the numbers' names.

    Raises
    ------
    ValueError
        If batches can be gone through only once, or a class has no sentence.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoTextModel, preset
    >>> import torch
    >>> def tokenizer(texts):
    ...     return torch.tensor([[len(text)] for text in texts]), torch.zeros(len(texts), 1)
    >>> clips = [{"video": torch.zeros(1, 1, 96, 96, 3, dtype=torch.uint8), "label": torch.tensor([0])}]
    >>> evaluator = ZeroShotEvaluator(clips, tokenizer, [["a mouse grooms", "a mouse washes"]])
    >>> evaluator(ContrastiveObjective(VideoTextModel(preset("lvt-tiny").config)), 0)
    {'zero_shot/accuracy': 1.0, 'zero_shot/balanced_accuracy': 1.0}
    """

    def __init__(
        self,
        clips: Iterable[Batch],
        tokenizer: Tokenize,
        prompts: Sequence[Sequence[str]],
        name: str = "zero_shot",
    ) -> None:
        self.clips = check_repeatable("clips", clips)
        if empty := [number for number, own in enumerate(prompts) if isinstance(own, str) or not own]:
            raise ValueError(f"prompts: expected a list of sentences for every class, got {prompts[empty[0]]!r}")
        tokens = [tokenizer(own) for own in prompts]
        self.prompts = [{"token_ids": ids, "text_paddings": paddings} for ids, paddings in tokens]
        self.name = name

    def __call__(self, objective: Objective, step: int) -> dict[str, float]:
        """Judge.

        Parameters
        ----------
        objective : ContrastiveObjective
            Of stage 1 or of text tuning.
        step : int
            Not looked at.

        Returns
        -------
        dict of str to float
            As :func:`.scores.class_scores`.

        Raises
        ------
        ValueError
            If the objective has no texts, or batches do not fit.
        """
        stage = _with_texts(objective)
        with judging(stage):
            classes = over_batches(
                stage,
                self.prompts,  # one class a batch
                ("token_ids", "text_paddings"),
                lambda own: prompt_embeddings(stage.embed_text(own).float(), 1),
            )
            clips, labels = over_labelled(stage, self.clips, stage.embed_video)
        return named(self.name, class_scores(clips @ classes.T, labels))


def _with_texts(objective: Objective) -> ContrastiveObjective:
    if not isinstance(objective, ContrastiveObjective):
        raise ValueError(
            f"objective: expected one that compares clips with texts (stage 1, text tuning), "
            f"got {type(objective).__name__}"
        )
    return objective
