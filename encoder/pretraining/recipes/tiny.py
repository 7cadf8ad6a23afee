"""The small model that comes with the package, in three stages: for laptops, or minutes on one GPU.

Numbers are ours. Optimizer, schedules and shares of tokens are the paper's kind, scaled to a model of a few million
parameters and to simulated clips.
"""

from __future__ import annotations

from ..trainer_config import KeepRule, OptimizerConfig, ScheduleConfig, TrainerConfig
from .recipe import DataNeeds, Recipe

FRAMES, SIZE = 8, (96, 96)
VOCABULARY = 2000  # pieces of the tokenizer that comes with it
SIMULATED = ("the simulator, captioned",)


def _trainer(steps: int, peak: float, warmup: int, weight_decay: float) -> TrainerConfig:
    return TrainerConfig(
        steps=steps,
        eval_every=500,
        checkpoint_every=250,
        log_every=10,
        picture_every=500,
        keep=KeepRule(last=2),
        optimizer=OptimizerConfig(name="adamw", weight_decay=weight_decay, beta2=0.98),
        schedule=ScheduleConfig(shape="cosine", peak=peak, warmup=warmup, floor=peak / 50),
    )


def tiny_contrastive() -> Recipe:
    """Stage 1 of the tiny model on simulated clips with their captions.

    Cost: 1.5M clips of about 6 GFLOP: some 40 hours on two CPU cores, minutes on a GPU (arithmetic).

    ``behavior-prism pretrain contrastive --recipe tiny_contrastive --corpus simulator --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="tiny_contrastive",
        stage="contrastive",
        model="lvt-tiny",
        model_changes={"num_auxiliary_layers": 0, "vocabulary_size": VOCABULARY},
        trainer=_trainer(6000, 1e-3, 500, 0.05),
        data=DataNeeds(
            frames=FRAMES,
            image_size=SIZE,
            batch=256,
            corpora=SIMULATED,
            keep_places=0.5,
            augmentation={"flip": True, "crop": 0.6},
        ),
        about=tiny_contrastive.__doc__ or "",
    )


def tiny_masked() -> Recipe:
    """Stage 2 of the tiny model on simulated clips; texts are not looked at.

    Cost: 1.5M clips of about 20 GFLOP (arithmetic).

    ``behavior-prism pretrain masked --recipe tiny_masked --corpus simulator --teacher STAGE_1_WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="tiny_masked",
        stage="masked",
        model="tiny",
        trainer=_trainer(6000, 5e-4, 500, 0.05),
        objective={"decoder": {"dim": 96, "num_layers": 2, "num_heads": 3, "mlp_dim": 384}},
        data=DataNeeds(
            frames=FRAMES,
            image_size=SIZE,
            batch=256,
            corpora=SIMULATED,
            mask={"kind": "block", "ratio": 0.65},
            augmentation={"flip": True, "crop": 0.6},
        ),
        about=tiny_masked.__doc__ or "",
    )


def tiny_text() -> Recipe:
    """Text tuning of the tiny model behind stage 2: the video tower is frozen.

    Cost: 0.5M clips of about 6 GFLOP (arithmetic).

    ``behavior-prism pretrain text --recipe tiny_text --corpus simulator --stage-1 STAGE_1_WEIGHTS
    --encoder STAGE_2_WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="tiny_text",
        stage="text",
        model="lvt-tiny",
        model_changes={"vocabulary_size": VOCABULARY},
        trainer=_trainer(2000, 1e-3, 200, 0.05),
        data=DataNeeds(
            frames=FRAMES,
            image_size=SIZE,
            batch=256,
            corpora=SIMULATED,
            augmentation={"flip": True, "crop": 0.6},
        ),
        about=tiny_text.__doc__ or "",
    )
