"""A run of pretraining put together and not begun: recipe, weights to start from, corpora, batches and evaluators."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .datasets.corpora import Corpus, LabelledCorpus
from .encoder.pretraining.judging import video_encoder_of
from .encoder.pretraining.masks import MaskConfig
from .encoder.pretraining.objective import Evaluator, Objective
from .encoder.pretraining.parallel import Layout
from .encoder.pretraining.recipes import Recipe, Stage
from .encoder.tokenizer import Tokenizer
from .pretrain_batches import Augmentation, BatchMaker, Finish, Labels, MaskedTokens, PairTexts
from .pretrain_evaluation import evaluators_of, labelled_of
from .pretrain_models import build_objective, sizes_of_weights, starting_weights
from .pretrain_options import RATE, PretrainOptions, resolve_recipe
from .pretrain_sources import open_corpus
from .pretrain_tokenizer import tokenizer_of


@dataclass(kw_only=True)
class PretrainRun:
    """A run that is put together and not begun.

    Parameters
    ----------
    recipe : Recipe
        With the overrides in it.
    objective : Objective
        On the CPU.
    train : BatchMaker
        Batches of this process.
    corpora : list of Corpus
        What they are from.
    evaluators : list of callable
        What judges.
    lr_scales : dict of str to float
        By parameter.
    accumulate : int
        Batches of a step.
    notes : list of str
        What the user should know.
    tokenizer : Tokenizer or None
        Of a video-text model.
    description : dict
        What else decides the numbers.
    """

    recipe: Recipe
    objective: Objective
    train: BatchMaker
    corpora: list[Corpus]
    evaluators: list[Evaluator]
    lr_scales: dict[str, float]
    accumulate: int
    notes: list[str] = field(default_factory=list)
    tokenizer: Tokenizer | None = None
    description: dict[str, Any] = field(default_factory=dict)


def prepare(
    stage: Stage, recipe: str | Recipe, folder: str | Path, options: PretrainOptions, layout: Layout
) -> PretrainRun:
    """Put a run together; nothing but, perhaps, a tokenizer is written.

    Parameters
    ----------
    stage, recipe
        As in :func:`resolve_recipe`.
    folder : str or pathlib.Path
        Of the run.
    options : PretrainOptions
        Everything else.
    layout : Layout
        Which of the processes this is.

    Returns
    -------
    PretrainRun

    Raises
    ------
    FileNotFoundError, ValueError
        If corpora or weights are missing, of the wrong kind, or do not fit together.
    """
    resolved = resolve_recipe(stage, recipe, options)
    if not options.corpora:
        raise ValueError("corpus: expected at least one (a study, videos, shards or simulator), got none")
    start = starting_weights(stage, options)
    resolved = sizes_of_weights(resolved, start)
    micro, accumulate, chunk = _divide(resolved, options.chunk, layout.world)
    data, seed = resolved.data, resolved.trainer.seed
    notes: list[str] = []
    corpora: list[Corpus] = []
    held_out: LabelledCorpus | None = None
    classes: tuple[str, ...] = ()
    if stage == "finetune":
        if not options.labels:
            raise ValueError("labels: expected label files to learn from, got none")
        train, held_out, notes = labelled_of(options, data, seed)
        corpora, classes = [train], train.behaviors
    else:
        for each in options.corpora:
            corpus, told = open_corpus(
                each.place, num_frames=data.frames, image_size=data.image_size, rate=RATE, seed=seed
            )
            corpora.append(corpus)
            notes += told
    tokenizer = tokenizer_of(resolved, options, start, Path(folder), layout)
    objective, lr_scales = build_objective(resolved, start, num_classes=len(classes), chunk=chunk)
    finish = finish_of(resolved, objective, tokenizer)
    weights = [1.0] if stage == "finetune" else [c.weight for c in options.corpora]
    maker = BatchMaker(
        corpora,
        weights,
        batch=micro,
        num_frames=data.frames,
        image_size=data.image_size,
        finish=finish,
        augmentation=Augmentation(**data.augmentation),
        seed=seed,
        rank=layout.rank,
        world=layout.world,
    )
    evaluators, told = evaluators_of(resolved, options, corpora, held_out, finish)
    notes += told
    description = {
        # the trainer writes down, and compares, its own settings
        "recipe": {name: value for name, value in resolved.to_dict().items() if name != "trainer"},
        "corpora": [[Path(c.place).name, c.weight] for c in options.corpora],
        "corpus_sizes": [len(corpus) for corpus in corpora],
        "classes": list(classes),
    }
    return PretrainRun(
        recipe=resolved,
        objective=objective,
        train=maker,
        corpora=corpora,
        evaluators=evaluators,
        lr_scales=lr_scales,
        accumulate=accumulate,
        notes=notes,
        tokenizer=tokenizer,
        description=description,
    )


def _divide(recipe: Recipe, chunk: int | None, world: int) -> tuple[int, int, int | None]:
    """Clips of a process's batch, batches of a step, and clips of a chunk of it."""
    batch = recipe.data.batch
    if batch % world:
        raise ValueError(f"batch: expected a multiple of the {world} processes, got {batch}")
    own = batch // world
    if chunk is None or chunk >= own:
        return own, 1, None
    if chunk < 1:
        raise ValueError(f"chunk: expected at least 1 clip, got {chunk}")
    if recipe.stage in ("contrastive", "text"):
        return own, 1, chunk
    if own % chunk:
        raise ValueError(f"chunk: expected a divisor of the {own} clips of a process, got {chunk}")
    return chunk, own // chunk, None


def finish_of(recipe: Recipe, objective: Objective, tokenizer: Tokenizer | None) -> Finish:
    """What a stage adds to the video of a batch.

    Parameters
    ----------
    recipe : Recipe
        Shares of tokens that are kept or masked.
    objective : Objective
        Whose encoder says how many places a frame has.
    tokenizer : Tokenizer or None
        For texts.

    Returns
    -------
    Finish
    """
    grid = video_encoder_of(objective).grid_size(*recipe.data.image_size)
    if recipe.stage == "finetune":
        return Labels()
    if recipe.stage in ("masked", "adapt"):
        return MaskedTokens(grid, MaskConfig(**recipe.data.mask))
    assert tokenizer is not None
    places = grid[0] * grid[1]
    return PairTexts(tokenizer, places, max(1, round(recipe.data.keep_places * places)))
