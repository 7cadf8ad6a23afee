"""The small model that comes with the package: single pictures first, then the three stages; an afternoon of two cores.

As the paper begins with an image model, pictures come before clips: a picture costs an eighth of a clip, so that the
spatial tower learns from more pairs in a batch. A rate of 1e-3 is too high at these batches: within 50 steps all clips
fall on one point (the standard deviation of embeddings falls to 0.002) and stay there.

Numbers are ours. Optimizer, schedules and shares of tokens are the paper's kind, scaled to a model of a few million
parameters and to simulated clips. Steps are what two cores do in about three hours, all stages together; where there is
more to compute with, give more (``--steps 6000 --batch 256``): the warm-up keeps its share.
"""

from __future__ import annotations

from ..trainer_config import KeepRule, OptimizerConfig, ScheduleConfig, TrainerConfig
from .recipe import DataNeeds, Recipe

FRAMES, SIZE = 8, (96, 96)
SIMULATED = ("the simulator, captioned",)


def _trainer(steps: int, peak: float, warmup: int, weight_decay: float) -> TrainerConfig:
    return TrainerConfig(
        steps=steps,
        eval_every=200,
        checkpoint_every=50,
        log_every=10,
        picture_every=200,
        keep=KeepRule(last=2),
        optimizer=OptimizerConfig(name="adamw", weight_decay=weight_decay, beta2=0.98),
        schedule=ScheduleConfig(shape="cosine", peak=peak, warmup=warmup, floor=peak / 50),
    )


def tiny_images() -> Recipe:
    """Before stage 1: single simulated pictures and their captions.

    Cost: 64,000 pictures, 500 steps of 128; 0.06 core seconds a picture, so half an hour on two CPU cores.

    ``behavior-prism pretrain contrastive --recipe tiny_images --corpus simulator --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="tiny_images",
        stage="contrastive",
        model="lvt-tiny",
        trainer=_trainer(500, 4e-4, 40, 0.05),
        data=DataNeeds(
            frames=1,
            image_size=SIZE,
            batch=128,
            corpora=SIMULATED,
            keep_places=0.5,
            augmentation={"flip": True, "crop": 0.6},
        ),
        about=tiny_images.__doc__ or "",
    )


def tiny_contrastive() -> Recipe:
    """Stage 1 of the tiny model on simulated clips with their captions.

    Cost: 38,000 clips, 600 steps of 64; 0.19 core seconds a clip, so an hour on two CPU cores.

    ``behavior-prism pretrain contrastive --recipe tiny_contrastive --corpus simulator --init WEIGHTS
    --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="tiny_contrastive",
        stage="contrastive",
        model="lvt-tiny",
        trainer=_trainer(600, 3e-4, 40, 0.05),
        data=DataNeeds(
            frames=FRAMES,
            image_size=SIZE,
            batch=64,
            corpora=SIMULATED,
            keep_places=0.5,
            augmentation={"flip": True, "crop": 0.6},
        ),
        about=tiny_contrastive.__doc__ or "",
    )


def tiny_masked() -> Recipe:
    """Stage 2 of the tiny model on simulated clips; texts are not looked at.

    Cost: 16,000 clips, 500 steps of 32; 0.32 core seconds a clip, so 40 minutes on two CPU cores.

    ``behavior-prism pretrain masked --recipe tiny_masked --corpus simulator --teacher STAGE_1_WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="tiny_masked",
        stage="masked",
        model="tiny",
        trainer=_trainer(500, 5e-4, 50, 0.05),
        objective={"decoder": {"dim": 96, "num_layers": 2, "num_heads": 3, "mlp_dim": 384}},
        data=DataNeeds(
            frames=FRAMES,
            image_size=SIZE,
            batch=32,
            corpora=SIMULATED,
            mask={"kind": "block", "ratio": 0.65},
            augmentation={"flip": True, "crop": 0.6},
        ),
        about=tiny_masked.__doc__ or "",
    )


def tiny_text() -> Recipe:
    """Text tuning of the tiny model behind stage 2: the video tower is frozen.

    Cost: 13,000 clips, 200 steps of 64; 0.29 core seconds a clip, so half an hour on two CPU cores.

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
        trainer=_trainer(200, 1e-3, 20, 0.05),
        data=DataNeeds(
            frames=FRAMES,
            image_size=SIZE,
            batch=64,
            corpora=SIMULATED,
            augmentation={"flip": True, "crop": 0.6},
        ),
        about=tiny_text.__doc__ or "",
    )
