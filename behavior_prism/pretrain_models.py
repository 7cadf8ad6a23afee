"""Objectives of the stages, from recipes and the weights to start from; and these weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .encoder import VideoEncoder, VideoTextConfig, VideoTextModel
from .encoder.checkpoints import read_model
from .encoder.pretraining.adapt import adaptation_objective, layerwise_scales
from .encoder.pretraining.contrastive import ContrastiveObjective
from .encoder.pretraining.finetune import FinetuneObjective, classifier_from
from .encoder.pretraining.image_tower import load_image_tower
from .encoder.pretraining.masked import MaskedObjective
from .encoder.pretraining.objective import Objective
from .encoder.pretraining.recipes import DataNeeds, Recipe, Stage, objective_config
from .encoder.pretraining.text_tuning import TextTuningObjective, assemble_text_tuning

if TYPE_CHECKING:
    from .pretrain_options import PretrainOptions


@dataclass(frozen=True, kw_only=True)
class ImageWeights:
    """A checkpoint of an image model, for the spatial tower.

    Parameters
    ----------
    path : pathlib.Path
        As :func:`~behavior_prism.encoder.pretraining.image_tower.load_image_tower` takes it.
    mean, std : tuple of float
        How its pixels, from 0 to 1, were normalised, by colour.
    """

    path: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]


def encoder_in(model: Any, role: str) -> VideoEncoder:
    """The video encoder of a model.

    Parameters
    ----------
    model : VideoEncoder, VideoTextModel or VideoClassifier
        As a weights file gives it.
    role : str
        Names it in errors.

    Returns
    -------
    VideoEncoder

    Raises
    ------
    ValueError
        If it is something else.
    """
    if isinstance(model, VideoTextModel):
        return model.vision_encoder
    if isinstance(model, VideoEncoder):
        return model
    raise ValueError(f"{role}: expected a video encoder or a video-text model, got a {type(model).__name__}")


def starting_weights(stage: Stage, options: PretrainOptions) -> dict[str, Any]:
    """Read the models that a stage starts from; their sizes and kind are looked at where they are used.

    Parameters
    ----------
    stage : str
        Which.
    options : PretrainOptions
        Their files.

    Returns
    -------
    dict of str to model
        By role, as :func:`build_objective` takes them.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, is no weights file, or holds random weights.
    """
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


def sizes_of_weights(recipe: Recipe, start: dict[str, Any]) -> Recipe:
    """Give a recipe that takes whatever model there is that model's frames and picture.

    Parameters
    ----------
    recipe : Recipe
        One with a model of its own stays as it is.
    start : dict of str to model
        From :func:`starting_weights`.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If the weights are of the wrong kind.
    """
    if recipe.model:
        return recipe
    config = encoder_in(start["weights"], "weights").config
    frames, rows, cols = config.pos_emb_shape
    image_size = (rows * config.patch_size, cols * config.patch_size)
    data: DataNeeds = dataclasses.replace(recipe.data, frames=frames, image_size=image_size)
    return dataclasses.replace(recipe, data=data)


def build_objective(
    recipe: Recipe, start: dict[str, Any], *, num_classes: int = 0, chunk: int | None = None
) -> tuple[Objective, dict[str, float]]:
    """Make the objective of a recipe.

    Parameters
    ----------
    recipe : Recipe
        Stage, sizes and choices.
    start : dict of str to model
        ``init`` (perhaps :class:`ImageWeights`), ``teacher``, ``stage_1``, ``encoder`` or ``weights``.
    num_classes : int
        For fine-tuning.
    chunk : int, optional
        Pairs embedded at once in the contrastive stages.

    Returns
    -------
    objective : Objective
        On the CPU.
    lr_scales : dict of str to float
        Empty if all parameters learn alike.

    Raises
    ------
    ValueError
        If the weights are of the wrong kind or sizes.
    """
    config: Any = objective_config(recipe)
    seed = recipe.trainer.seed
    if chunk is not None:
        config = dataclasses.replace(config, chunk_size=chunk)
    objective: Objective
    if recipe.stage == "contrastive":
        objective = ContrastiveObjective(_stage_1_model(recipe, start.get("init"), seed), config)
    elif recipe.stage == "text":
        objective = TextTuningObjective(_text_model(recipe, start, seed), config)
    elif recipe.stage == "masked":
        objective = _masked(recipe, start["teacher"], config, seed)
    elif recipe.stage == "adapt":
        encoder_in(start["weights"], "weights")
        objective = adaptation_objective(start["weights"], config, rank=recipe.adapter_rank or None, seed=seed)
    else:
        encoder_in(start["weights"], "weights")
        objective = FinetuneObjective(classifier_from(start["weights"], num_classes, seed=seed), config)
    scales = layerwise_scales(objective, recipe.layer_decay) if recipe.layer_decay < 1 else {}
    return objective, scales


def _stage_1_model(recipe: Recipe, init: Any, seed: int) -> VideoTextModel:
    config = recipe.sizes().config
    assert isinstance(config, VideoTextConfig)
    model = VideoTextModel(config)
    model.init_weights(seed)
    if isinstance(init, VideoTextModel):
        if init.config != config:
            raise ValueError(f"init: expected a video-text model of the recipe's sizes ({config}), got {init.config}")
        model.load_state_dict(init.state_dict())
    elif isinstance(init, ImageWeights):
        load_image_tower(model.vision_encoder, init.path, mean=init.mean, std=init.std)
    elif init is not None:
        encoder = encoder_in(init, "init")
        if encoder.config != config.video:
            raise ValueError(f"init: expected an encoder of the recipe's sizes ({config.video}), got {encoder.config}")
        model.vision_encoder.load_state_dict(encoder.state_dict())
    return model


def _text_model(recipe: Recipe, start: dict[str, Any], seed: int) -> VideoTextModel:
    config, stage_1 = recipe.sizes().config, start["stage_1"]
    assert isinstance(config, VideoTextConfig)
    if not isinstance(stage_1, VideoTextModel):
        raise ValueError(f"stage_1: expected a video-text model, got a {type(stage_1).__name__}")
    encoder = encoder_in(start["encoder"], "encoder") if "encoder" in start else None
    model = assemble_text_tuning(stage_1, encoder, config.num_auxiliary_layers, seed)
    if model.config != config:
        raise ValueError(f"stage_1: expected a model of the recipe's sizes ({config}), got {stage_1.config}")
    return model


def _masked(recipe: Recipe, teacher: Any, config: Any, seed: int) -> MaskedObjective:
    theirs, ours = encoder_in(teacher, "teacher").config, recipe.sizes().config
    student = None
    if theirs != ours:  # a larger student of a smaller teacher, as the paper tries too
        student = VideoEncoder(ours)
        student.init_weights(seed)
    return MaskedObjective(teacher, config, student=student, seed=seed)
