"""For a lab's own recordings: adapting an encoder to them without labels, and fine-tuning it with labels.

Numbers are ours: short, gentle runs that start from weights which already know much. Neither is in the paper in this
form; it adapts with low-rank adapters and end to end, without saying how.
"""

from __future__ import annotations

from ..trainer_config import KeepRule, OptimizerConfig, ScheduleConfig, TrainerConfig
from .recipe import DataNeeds, Recipe

FRAMES, SIZE = 16, (288, 288)  # of the base model; those of the given weights are taken where they differ


def lab_adapt() -> Recipe:
    """Adapt an encoder to a lab's own recordings: stage 2 on them, the given weights as teacher and as start.

    Low learning rates for low layers (0.75 from layer to layer) keep what the encoder knows. Labels are not needed.
    Look at ``student_std`` (near 0 it has collapsed) and at a frozen probe on a labelled set before and after.

    Cost: 64,000 clips; for the base model 3.5 TFLOP each, about half an hour on an H100 (arithmetic).

    ``behavior-prism pretrain adapt --recipe lab_adapt --corpus STUDY --weights WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="lab_adapt",
        stage="adapt",
        model="",
        trainer=TrainerConfig(
            steps=2000,
            precision="bfloat16",
            activation_checkpointing=True,
            eval_every=500,
            checkpoint_every=250,
            log_every=10,
            picture_every=500,
            keep=KeepRule(last=2),
            optimizer=OptimizerConfig(name="adamw", weight_decay=0.05),
            schedule=ScheduleConfig(shape="cosine", peak=1e-4, warmup=200, floor=1e-6),
        ),
        objective={"decoder": {"dim": 512, "num_layers": 4, "num_heads": 8, "mlp_dim": 2048}},
        data=DataNeeds(
            frames=FRAMES,
            image_size=SIZE,
            batch=32,
            corpora=("the lab's own recordings: a study, videos, or shards",),
            mask={"kind": "block", "ratio": 0.65},
            augmentation={"flip": True, "crop": 0.8},
        ),
        layer_decay=0.75,
        about=lab_adapt.__doc__ or "",
    )


def lab_finetune() -> Recipe:
    """Fine-tune an encoder with a probe head on a lab's labels; try a probe on the frozen encoder first.

    Cost: 32,000 clips; for the base model 2.9 TFLOP each, about ten minutes on an H100 (arithmetic).

    ``behavior-prism pretrain finetune --recipe lab_finetune --corpus STUDY --labels LABELS
    --weights WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="lab_finetune",
        stage="finetune",
        model="",
        trainer=TrainerConfig(
            steps=1000,
            precision="bfloat16",
            activation_checkpointing=True,
            eval_every=200,
            checkpoint_every=200,
            log_every=10,
            keep=KeepRule(last=2),
            optimizer=OptimizerConfig(name="adamw", weight_decay=0.05),
            schedule=ScheduleConfig(shape="cosine", peak=1e-4, warmup=100, floor=1e-6),
        ),
        data=DataNeeds(
            frames=FRAMES,
            image_size=SIZE,
            batch=32,
            corpora=("a study with labels",),
            augmentation={"flip": True, "crop": 0.8},
        ),
        layer_decay=0.75,
        about=lab_finetune.__doc__ or "",
    )
