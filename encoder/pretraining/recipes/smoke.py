"""To see that everything works, in seconds on a CPU; nothing of use is learned."""

from __future__ import annotations

from ..trainer_config import KeepRule, OptimizerConfig, ScheduleConfig, TrainerConfig
from .recipe import DataNeeds, Recipe

VIDEO = {
    "patch_size": 12,
    "pos_emb_shape": (2, 4, 4),
    "model_dim": 24,
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_heads": 2,
    "mlp_dim": 48,
}
TEXT = {**VIDEO, "num_auxiliary_layers": 0, "num_unimodal_layers": 1, "vocabulary_size": 2000}


def _trainer() -> TrainerConfig:
    return TrainerConfig(
        steps=12,
        eval_every=6,
        checkpoint_every=6,
        log_every=1,
        picture_every=6,
        keep=KeepRule(last=2),
        optimizer=OptimizerConfig(weight_decay=0.05),
        schedule=ScheduleConfig(shape="cosine", peak=3e-3, warmup=2),
    )


def _data(**options: object) -> DataNeeds:
    return DataNeeds(frames=2, image_size=(48, 48), batch=8, corpora=("the simulator",), **options)  # type: ignore[arg-type]


def smoke() -> Recipe:
    """Stage 1, twelve steps.

    ``behavior-prism pretrain contrastive --recipe smoke --corpus simulator --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="smoke",
        stage="contrastive",
        model="lvt-tiny",
        model_changes=TEXT,
        trainer=_trainer(),
        data=_data(keep_places=0.5),
        about=smoke.__doc__ or "",
    )


def smoke_masked() -> Recipe:
    """Stage 2, twelve steps.

    ``behavior-prism pretrain masked --recipe smoke_masked --corpus simulator --teacher WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="smoke_masked",
        stage="masked",
        model="tiny",
        model_changes=VIDEO,
        trainer=_trainer(),
        objective={"decoder": {"dim": 24, "num_layers": 1, "num_heads": 2, "mlp_dim": 48}},
        data=_data(mask={"kind": "block", "ratio": 0.65}),
        about=smoke_masked.__doc__ or "",
    )


def smoke_text() -> Recipe:
    """Text tuning, twelve steps.

    ``behavior-prism pretrain text --recipe smoke_text --corpus simulator --stage-1 WEIGHTS --out run``

    Returns
    -------
    Recipe
    """
    return Recipe(
        name="smoke_text",
        stage="text",
        model="lvt-tiny",
        model_changes=TEXT,
        trainer=_trainer(),
        data=_data(),
        about=smoke_text.__doc__ or "",
    )
