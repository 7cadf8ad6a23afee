"""What a run of pretraining would read and cost."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .encoder.pretraining.parallel import find_layout
from .encoder.pretraining.recipes import Recipe, Stage
from .pretrain_options import PretrainOptions
from .pretrain_prepare import prepare
from .pretrain_tokenizer import TOKENIZER


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
