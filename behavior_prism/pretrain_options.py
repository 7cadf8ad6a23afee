"""What a run of pretraining is told besides its recipe, and the recipe with that in it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from .encoder.pretraining.recipes import Recipe, Stage, find_recipe
from .pretrain_sources import CorpusPlace

RATE = 30.0  # frames a second of what has no captions


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """What a run needs besides its recipe.

    Parameters
    ----------
    corpora : tuple of CorpusPlace
        Where clips are from.
    steps, batch, seed, eval_every : int, optional
        In place of the recipe's. The warm-up keeps its share of the steps; with 0 for ``eval_every`` it is judged at
        the end only.
    chunk : int, optional
        Clips computed at once by a process; the whole batch by default. In the contrastive stages gradients stay those
        of the whole batch (gradient caching), in the others batches are accumulated.
    init : pathlib.Path, optional
        Weights to start stage 1 from: a video-text model or a video encoder of the same sizes; or, for the spatial
        tower alone, an image model in timm's or transformers' layout.
    image_mean, image_std : tuple of float, optional
        How that image model's pixels, from 0 to 1, were normalised, by colour; they say that it is one.
    teacher : pathlib.Path, optional
        Of stage 2; weights of stage 1.
    stage_1, encoder : pathlib.Path, optional
        Of text tuning: weights of stage 1, and of the encoder of stage 2.
    weights : pathlib.Path, optional
        What is adapted or fine-tuned.
    tokenizer : pathlib.Path, optional
        A SentencePiece model; looked for beside the weights by default. For the simulator alone one is trained.
    labels : tuple of pathlib.Path
        Label files. Fine-tuning learns from them; in other stages a small head on frozen features does, now and then,
        to judge the features.
    held_out : tuple of str
        Labelled recordings that the head does not learn from; a quarter by default.
    evaluate : str, optional
        A corpus to judge by, and what ``labels`` speak of (the corpora by default). The simulator is judged by its own
        splits where it is among the corpora.
    workers : int, optional
        Processes that make batches; by default one less than there are cores for each process, at most 8.
    device : str, optional
        Where to compute; a GPU by default where there is one.
    """

    corpora: tuple[CorpusPlace, ...]
    steps: int | None = None
    batch: int | None = None
    seed: int | None = None
    eval_every: int | None = None
    chunk: int | None = None
    init: Path | None = None
    image_mean: tuple[float, ...] | None = None
    image_std: tuple[float, ...] | None = None
    teacher: Path | None = None
    stage_1: Path | None = None
    encoder: Path | None = None
    weights: Path | None = None
    tokenizer: Path | None = None
    labels: tuple[Path, ...] = ()
    held_out: tuple[str, ...] = ()
    evaluate: str | None = None
    workers: int | None = None
    device: str | None = None


def resolve_recipe(stage: Stage, recipe: str | Recipe, options: PretrainOptions) -> Recipe:
    """Put the overrides into a recipe.

    Parameters
    ----------
    stage : str
        What it must be for.
    recipe : str or Recipe
        By name, or itself.
    options : PretrainOptions
        ``steps``, ``batch``, ``seed`` and ``eval_every``.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If there is no such recipe, or a number makes no sense.

    Examples
    --------
    >>> resolve_recipe("contrastive", "tiny", PretrainOptions(corpora=(), steps=60)).trainer.schedule.warmup
    4
    """
    found = find_recipe(recipe, stage) if isinstance(recipe, str) else recipe
    if found.stage != stage:
        raise ValueError(f"recipe: expected one of the stage {stage}, got {found.name!r} of the stage {found.stage}")
    trainer, data = found.trainer, found.data
    if options.steps is not None:
        warmup = trainer.schedule.warmup * options.steps // trainer.steps
        schedule = dataclasses.replace(trainer.schedule, warmup=warmup)
        trainer = dataclasses.replace(trainer, steps=options.steps, schedule=schedule)
    if options.seed is not None:
        trainer = dataclasses.replace(trainer, seed=options.seed)
    if options.eval_every is not None:
        trainer = dataclasses.replace(trainer, eval_every=options.eval_every)
    if options.batch is not None:
        data = dataclasses.replace(data, batch=options.batch)
    return dataclasses.replace(found, trainer=trainer, data=data)
