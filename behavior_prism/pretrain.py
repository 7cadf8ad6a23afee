"""A stage of pretraining from its recipe to its weights, in one run folder.

A run is resumed by calling it again with the same arguments. Over several processes (``torchrun``) the same call is
made in each. When it is finished the folder holds ``weights.safetensors``, for a video-text model ``tokenizer.model``
beside it, and ``weights.json``, which says what they were made from.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .encoder.checkpoints import build, save_encoder
from .encoder.pretraining.adapters import merge_adapter_state
from .encoder.pretraining.parallel import find_layout
from .encoder.pretraining.recipes import Recipe, Stage
from .encoder.pretraining.run_log import code_version
from .encoder.pretraining.trainer import Trainer, TrainResult
from .files import atomic_write
from .pretrain_batches import ClipBatches
from .pretrain_options import RATE, PretrainOptions, resolve_recipe
from .pretrain_plan import plan_rows
from .pretrain_prepare import PretrainRun, finish_of, prepare
from .pretrain_tokenizer import TOKENIZER

__all__ = [
    "CARD",
    "FAILURES",
    "RATE",
    "TOKENIZER",
    "WEIGHTS",
    "PretrainOptions",
    "PretrainRun",
    "finish_of",
    "plan_rows",
    "prepare",
    "pretrain",
    "resolve_recipe",
]

WEIGHTS, CARD, FAILURES = "weights.safetensors", "weights.json", "failures.jsonl"


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
    folder = Path(folder)
    layout = find_layout(options.device)
    run = prepare(stage, recipe, folder, options, layout)
    if layout.rank == 0 and tell is not None:
        for note in run.notes:
            tell(note)
    _refuse_another_tokenizer(folder, run)
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
    if layout.rank == 0 and run.tokenizer is not None and not (folder / TOKENIZER).is_file():
        with atomic_write(folder / TOKENIZER) as fresh:
            shutil.copyfile(run.tokenizer.path, fresh)
    result = trainer.run(progress)
    if not result.interrupted:
        state = trainer.learned_state()
        if layout.rank == 0:
            _write_weights(folder, run, state, result)
        layout.barrier()
    return result


def _refuse_another_tokenizer(folder: Path, run: PretrainRun) -> None:
    """The same ids would be other words."""
    kept = folder / TOKENIZER
    if run.tokenizer is not None and kept.is_file() and kept.read_bytes() != run.tokenizer.path.read_bytes():
        raise ValueError(
            f"{kept}: expected the tokenizer that the run was begun with, got another ({run.tokenizer.path}); choose "
            "another folder, or give this one"
        )


def _workers(wanted: int | None, world: int) -> int:
    if wanted is not None:
        return wanted
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    # of a job on a shared machine, not all of its cores
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(0, min(8, cores // local - 1))


def _write_weights(folder: Path, run: PretrainRun, state: dict[str, Any], result: TrainResult) -> None:
    model = build(run.objective.learned_model().config, empty=False)  # type: ignore[arg-type]
    model.load_state_dict(merge_adapter_state(state))
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
