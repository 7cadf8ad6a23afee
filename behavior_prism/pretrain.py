"""Pretraining put together: recipe, weights to start from, corpora, evaluators and the trainer, in one run folder.

A run is resumed by calling it again with the same arguments. Over several processes (``torchrun``) the same call is
made in each. When it is finished the folder holds ``weights.safetensors``, for a video-text model ``tokenizer.model``
beside it, and ``weights.json``, which says what they were made from.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .encoder.pretraining.recipes import DataNeeds, Recipe, Stage, find_recipe
from .files import atomic_write
from .pretrain_sources import SIMULATOR, CorpusPlace, is_recordings, open_corpus, open_labelled

if TYPE_CHECKING:
    from .datasets.corpora import Corpus, LabelledCorpus
    from .encoder.pretraining.objective import Evaluator, Objective
    from .encoder.pretraining.parallel import Layout
    from .encoder.pretraining.trainer import TrainResult
    from .encoder.tokenizer import Tokenizer
    from .pretrain_batches import BatchMaker, Finish

WEIGHTS, CARD, TOKENIZER, FAILURES = "weights.safetensors", "weights.json", "tokenizer.model", "failures.jsonl"
RATE = 30.0  # frames a second of what has no captions
_SIMULATED_SENTENCES = 20_000  # what a tokenizer is trained on where none is given


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
    5
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
    from .pretrain_batches import Augmentation, BatchMaker
    from .pretrain_models import build_objective

    resolved = resolve_recipe(stage, recipe, options)
    if not options.corpora:
        raise ValueError("corpus: expected at least one (a study, videos, shards or simulator), got none")
    start = _starting_weights(stage, options)
    resolved = _sizes_of_weights(resolved, start)
    micro, accumulate, chunk = _divide(resolved, options.chunk, layout.world)
    data, seed = resolved.data, resolved.trainer.seed
    notes: list[str] = []
    corpora: list[Corpus] = []
    held_out: LabelledCorpus | None = None
    classes: tuple[str, ...] = ()
    if stage == "finetune":
        if not options.labels:
            raise ValueError("labels: expected label files to learn from, got none")
        train, held_out, notes = _labelled(options, data, seed)
        corpora, classes = [train], train.behaviors
    else:
        for each in options.corpora:
            corpus, told = open_corpus(
                each.place, num_frames=data.frames, image_size=data.image_size, rate=RATE, seed=seed
            )
            corpora.append(corpus)
            notes += told
    tokenizer = _tokenizer(resolved, options, start, Path(folder), layout)
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
    evaluators, told = _evaluators(resolved, options, corpora, held_out, finish)
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


def pretrain(
    stage: Stage,
    recipe: str | Recipe,
    folder: str | Path,
    options: PretrainOptions,
    *,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> TrainResult:
    """Run a stage of pretraining, or go on with it.

    Parameters
    ----------
    stage : {"contrastive", "masked", "text", "adapt", "finetune"}
        Which.
    recipe : str or Recipe
        By name, or itself.
    folder : str or pathlib.Path
        For everything that the run leaves.
    options : PretrainOptions
        Corpora, weights to start from, and what differs from the recipe.
    progress : callable, optional
        ``progress(step, steps, numbers)`` after every step, on the first process.
    tell : callable, optional
        Takes what the user should know, on the first process.

    Returns
    -------
    TrainResult

    Raises
    ------
    FileNotFoundError, ValueError
        If something is missing or does not fit, or the folder holds another run.

    Examples
    --------
    >>> options = PretrainOptions(corpora=(CorpusPlace(place="simulator"),))      # doctest: +SKIP
    >>> pretrain("contrastive", "smoke", "run", options).step                     # doctest: +SKIP
    12
    """
    from .encoder.pretraining.parallel import find_layout
    from .encoder.pretraining.trainer import Trainer
    from .pretrain_batches import ClipBatches

    folder = Path(folder)
    layout = find_layout(options.device)
    run = prepare(stage, recipe, folder, options, layout)
    if layout.rank == 0 and tell is not None:
        for note in run.notes:
            tell(note)
    failures = folder / (FAILURES if layout.world == 1 else f"failures-{layout.rank}.jsonl")
    source = ClipBatches(run.train, workers=_workers(options.workers, layout.world), failures=failures)
    trainer = Trainer(
        dataclasses.replace(run.recipe.trainer, accumulate=run.accumulate),
        run.objective,
        source,
        run.evaluators,
        folder,
        lr_scales=run.lr_scales or None,
        description=run.description,
        device=options.device,
    )
    result = trainer.run(progress)
    if not result.interrupted:
        state = trainer.learned_state()
        if layout.rank == 0:
            _write_weights(folder, run, state, result)
        layout.barrier()
    return result


def plan_rows(
    stage: Stage, recipe: str | Recipe, folder: str | Path, options: PretrainOptions
) -> tuple[list[tuple[str, str]], list[str]]:
    """Say what a run would read and cost; nothing is written.

    Parameters
    ----------
    stage, recipe, folder, options
        As in :func:`pretrain`.

    Returns
    -------
    rows : list of (str, str)
        What, and how much.
    notes : list of str
        What the user should know.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`pretrain` would.
    """
    import tempfile

    from .encoder.pretraining.parallel import find_layout

    with tempfile.TemporaryDirectory() as scratch:  # a tokenizer that is trained on the way is thrown away
        known = Path(folder) / TOKENIZER
        if known.is_file():
            shutil.copyfile(known, Path(scratch) / TOKENIZER)
        layout = find_layout(options.device)
        run = prepare(stage, recipe, scratch, options, layout)
    data, trainer = run.recipe.data, run.recipe.trainer
    learned = sum(p.numel() for p in run.objective.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in run.objective.parameters() if not p.requires_grad)
    clip_bytes = data.frames * data.image_size[0] * data.image_size[1] * 3
    # weights, gradients and two moments of what is learned, as float32; activations come on top
    memory = 16 * learned + 4 * frozen
    rows = [("recipe", run.recipe.name)]
    rows += [(f"corpus {c.name}", f"{len(c):,} clips") for c in run.corpora]
    rows += [
        ("clips", f"{data.frames} frames of {data.image_size[1]}x{data.image_size[0]}"),
        ("steps x batch", f"{trainer.steps:,} x {data.batch} = {trainer.steps * data.batch:,} clips"),
        ("passes through the corpora", f"{trainer.steps * data.batch / sum(map(len, run.corpora)):.2f}"),
        ("processes x batches x clips", f"{layout.world} x {run.accumulate} x {run.train.batch}"),
        ("learned parameters", f"{learned:,}"),
        ("frozen parameters", f"{frozen:,}"),
        ("memory for parameters", f"{memory / 1e6:,.0f} MB, and activations"),
        ("memory for a batch of clips", f"{run.train.batch * clip_bytes / 1e6:,.1f} MB"),
        ("judged by", ", ".join(getattr(e, "name", type(e).__name__) for e in run.evaluators) or "nothing"),
    ]
    return rows, run.notes


def _starting_weights(stage: Stage, options: PretrainOptions) -> dict[str, Any]:
    """Models that a stage starts from, by their role; their sizes and kind are looked at where they are used."""
    from .encoder.checkpoints import read_model
    from .pretrain_models import ImageWeights

    mean, std = options.image_mean, options.image_std
    if (mean is None) != (std is None):
        raise ValueError(f"image_mean: expected both of image_mean and image_std, or none, got {mean} and {std}")
    if mean is not None and options.init is None:
        raise ValueError("image_mean: expected an image model to start from (--init), got none")
    roles = {
        "contrastive": {"init": False},
        "masked": {"teacher": True},
        "text": {"stage_1": True, "encoder": False},
        "adapt": {"weights": True},
        "finetune": {"weights": True},
    }[stage]
    found: dict[str, Any] = {}
    for role, needed in roles.items():
        path: Path | None = getattr(options, role)
        if path is None:
            if needed:
                raise ValueError(f"{role}: expected a weights file to start from, got none")
            continue
        if role == "init" and mean is not None and std is not None:
            found[role] = ImageWeights(path=path, mean=mean, std=std)
            continue
        try:
            model, trained = read_model(path)
        except ValueError as error:
            hint = "; an image model needs --image-mean and --image-std" if role == "init" else ""
            raise ValueError(f"{role}: {error}{hint}") from None
        if not trained:
            raise ValueError(f"{role}: {path}: expected weights that were learned, got random ones")
        found[role] = model
    return found


def _sizes_of_weights(recipe: Recipe, start: dict[str, Any]) -> Recipe:
    """Where a recipe takes the model that is given, its frames and its picture are that model's."""
    if recipe.model:
        return recipe
    from .pretrain_models import encoder_in

    config = encoder_in(start["weights"], "weights").config
    frames, rows, cols = config.pos_emb_shape
    image_size = (rows * config.patch_size, cols * config.patch_size)
    data: DataNeeds = dataclasses.replace(recipe.data, frames=frames, image_size=image_size)
    return dataclasses.replace(recipe, data=data)


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


def _workers(wanted: int | None, world: int) -> int:
    if wanted is not None:
        return wanted
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    return max(0, min(8, (os.cpu_count() or 1) // local - 1))


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
    from .encoder.pretraining.judging import video_encoder_of
    from .encoder.pretraining.masks import MaskConfig
    from .pretrain_batches import Labels, MaskedTokens, PairTexts

    grid = video_encoder_of(objective).grid_size(*recipe.data.image_size)
    if recipe.stage == "finetune":
        return Labels()
    if recipe.stage in ("masked", "adapt"):
        return MaskedTokens(grid, MaskConfig(**recipe.data.mask))
    assert tokenizer is not None
    places = grid[0] * grid[1]
    return PairTexts(tokenizer, places, max(1, round(recipe.data.keep_places * places)))


def _tokenizer(
    recipe: Recipe, options: PretrainOptions, start: dict[str, Any], folder: Path, layout: Layout
) -> Tokenizer | None:
    if recipe.stage not in ("contrastive", "text"):
        return None
    from .encoder.tokenizer import Tokenizer, find_tokenizer

    size = start["stage_1"].config.vocabulary_size if "stage_1" in start else recipe.sizes().config.vocabulary_size  # type: ignore[attr-defined]
    beside = [find_tokenizer(path) for path in (options.stage_1, options.init) if path is not None]
    path = options.tokenizer or next((p for p in beside if p is not None), None)
    if path is None:
        if recipe.stage == "text" or any(c.place.partition(":")[0] != SIMULATOR for c in options.corpora):
            raise ValueError(
                "tokenizer: expected a SentencePiece model (--tokenizer), got none, nor one beside weights"
            )
        path = folder / TOKENIZER
        if layout.rank == 0 and not path.is_file():
            _train_tokenizer(path, size)
        layout.barrier()
    return Tokenizer(path, size)


def _train_tokenizer(path: Path, size: int) -> None:
    """A SentencePiece model for the simulator's sentences, the same ones every time."""
    from io import BytesIO

    from sentencepiece import SentencePieceTrainer

    from .datasets.simulate import simulate_captions
    from .encoder.tokenizer import canonicalize

    model = BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=(canonicalize(text) for text in simulate_captions(_SIMULATED_SENTENCES // 2)),
        model_writer=model,
        vocab_size=min(size, 2000),
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    with atomic_write(path) as fresh:
        fresh.write_bytes(model.getvalue())


def _evaluators(
    recipe: Recipe,
    options: PretrainOptions,
    corpora: Sequence[Corpus],
    held_out: LabelledCorpus | None,
    finish: Finish,
) -> tuple[list[Evaluator], list[str]]:
    """What judges, and what the user should know."""
    from .datasets.corpora import SimulatedCorpus
    from .pretrain_batches import PairTexts
    from .pretrain_evaluation import (
        PrecisionEvaluator,
        corpus_evaluators,
        label_probe,
        labelled_batches,
        simulator_evaluators,
    )

    data, seed = recipe.data, recipe.trainer.seed
    if recipe.stage == "finetune":
        if held_out is None:
            return [], []
        return [PrecisionEvaluator(labelled_batches(held_out, data), held_out.behaviors)], []
    evaluators: list[Evaluator] = []
    notes: list[str] = []
    judged = list(corpora)
    if options.evaluate is not None:
        other, notes = open_corpus(
            options.evaluate, num_frames=data.frames, image_size=data.image_size, rate=RATE, seed=seed
        )
        judged.append(other)
        # recordings that are there for their labels need no captions
        if not isinstance(other, SimulatedCorpus) and not (
            options.labels and isinstance(finish, PairTexts) and not other.captioned
        ):
            evaluators += corpus_evaluators(other, data, finish, seed)
    if simulated := next((c for c in judged if isinstance(c, SimulatedCorpus)), None):
        evaluators += simulator_evaluators(simulated, data, finish, seed)
    if options.labels:
        train, test, told = _labelled(options, data, seed)
        evaluators.append(label_probe(train, test, data))
        notes += told
    if not evaluators:
        notes.append("no held-out clips to judge by: give some with --evaluate")
    return evaluators, notes


def _labelled(
    options: PretrainOptions, data: DataNeeds, seed: int
) -> tuple[LabelledCorpus, LabelledCorpus | None, list[str]]:
    """Labelled recordings, of what is judged by or else of the corpora."""
    wanted = [options.evaluate] if options.evaluate is not None else [c.place for c in options.corpora]
    places = [place for place in wanted if is_recordings(place)]
    if not places:
        raise ValueError(f"labels: expected recordings that they are of (--evaluate), got only {', '.join(wanted)}")
    return open_labelled(
        places, options.labels, num_frames=data.frames, rate=RATE, held_out=options.held_out, seed=seed
    )


def _write_weights(folder: Path, run: PretrainRun, state: dict[str, Any], result: TrainResult) -> None:
    from .encoder.checkpoints import build, save_encoder
    from .encoder.pretraining.adapters import merge_adapter_state
    from .encoder.pretraining.run_log import code_version

    model = build(run.objective.learned_model().config, empty=False)  # type: ignore[arg-type]
    model.load_state_dict(merge_adapter_state(state))
    if run.tokenizer is not None and run.tokenizer.path.resolve() != (folder / TOKENIZER).resolve():
        with atomic_write(folder / TOKENIZER, overwrite=True) as fresh:
            shutil.copyfile(run.tokenizer.path, fresh)
    save_encoder(folder / WEIGHTS, model, trained=True, overwrite=True)
    card = {
        "stage": run.recipe.stage,
        "steps": result.step,
        "clips": result.step * run.recipe.data.batch,
        "seed": run.recipe.trainer.seed,
        "skipped_steps": result.skipped,
        "metrics": result.metrics,
        "trainer": dataclasses.asdict(run.recipe.trainer),
        **run.description,
        "code": code_version(),
    }
    with atomic_write(folder / CARD, overwrite=True) as fresh:
        fresh.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
