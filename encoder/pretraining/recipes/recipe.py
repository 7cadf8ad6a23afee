"""What a recipe is: everything that decides a run but the files it reads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from ...config import EncoderPreset, preset
from ..trainer_config import TrainerConfig

if TYPE_CHECKING:
    from ..contrastive import ContrastiveConfig
    from ..finetune import FinetuneConfig
    from ..masked import MaskedConfig

Stage = Literal["contrastive", "masked", "text", "adapt", "finetune"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataNeeds:
    """What batches hold.

    Parameters
    ----------
    frames : int
        Of a clip.
    image_size : (int, int)
        Height and width in pixels.
    batch : int
        Clips of a step, over all processes and accumulated batches.
    corpora : tuple of str
        What is expected, for people.
    keep_places : float
        Share of a frame's places that the model sees, the same ones in all frames of a clip; 1 for all.
    mask : dict, optional
        Fields of ``MaskConfig`` in stage 2.
    augmentation : dict, optional
        ``flip`` and ``crop`` (smallest share of the picture's area).

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    frames: int
    image_size: tuple[int, int]
    batch: int
    corpora: tuple[str, ...]
    keep_places: float = 1.0
    mask: dict[str, Any] = field(default_factory=dict)
    augmentation: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames < 1 or self.batch < 1:
            raise ValueError(f"frames, batch: expected at least 1, got {self.frames} and {self.batch}")
        if not 0 < self.keep_places <= 1:
            raise ValueError(f"keep_places: expected a share above 0 and up to 1, got {self.keep_places}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides a run but the files it reads.

    Parameters
    ----------
    name : str
        As :func:`find_recipe` knows it.
    stage : {"contrastive", "masked", "text", "adapt", "finetune"}
        Which objective.
    model : str
        Name of a preset; empty where the model is the one that is given (adaptation, fine-tuning).
    model_changes : dict
        Fields of the preset's configuration that differ.
    trainer : TrainerConfig
        The loop. ``accumulate`` is 1 here: how a batch is cut is up to the machine.
    objective : dict
        Fields of the stage's configuration, JSON: see :func:`objective_config`.
    data : DataNeeds
        Batches.
    layer_decay : float
        Factor of the learning rate from layer to layer downwards; 1 for none.
    adapter_rank : int
        Learn low-rank adapters of this rank instead of the encoder; 0 for none.
    about : str
        What it reproduces, what it costs, how it is run.

    Raises
    ------
    ValueError
        If the stage is unknown, or the preset has no such fields.

    Examples
    --------
    >>> from behavior_prism.encoder.pretraining.recipes import find_recipe
    >>> find_recipe("base_masked").data.batch
    4096
    """

    name: str
    stage: Stage
    model: str
    trainer: TrainerConfig
    data: DataNeeds
    model_changes: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)
    layer_decay: float = 1.0
    adapter_rank: int = 0
    about: str = ""

    def __post_init__(self) -> None:
        if self.stage not in get_args(Stage):
            raise ValueError(f"stage: expected one of {', '.join(get_args(Stage))}, got {self.stage!r}")
        if self.model:
            self.sizes()

    def sizes(self) -> EncoderPreset:
        """Sizes of the model, changes made, with the frames and the picture of this recipe.

        Returns
        -------
        EncoderPreset

        Raises
        ------
        ValueError
            If the recipe takes the model that is given, or names fields that there are not.
        """
        if not self.model:
            raise ValueError(f"{self.name}: expected a recipe with sizes of its own, got one that takes a given model")
        found = preset(self.model)
        known = {f.name for f in dataclasses.fields(found.config)}
        if unknown := sorted(self.model_changes.keys() - known):
            raise ValueError(f"{self.name}: expected fields of {type(found.config).__name__}, got {unknown[0]!r}")
        config = dataclasses.replace(found.config, **self.model_changes)
        return dataclasses.replace(found, config=config, num_frames=self.data.frames, image_size=self.data.image_size)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it: for the run's folder, and to compare when a run is resumed.

        Returns
        -------
        dict
        """
        values = dataclasses.asdict(self)
        if self.model:
            values["sizes"] = dataclasses.asdict(self.sizes().config)
        return values


def objective_config(recipe: Recipe) -> ContrastiveConfig | MaskedConfig | FinetuneConfig:
    """Make the configuration of a recipe's objective. This loads torch.

    Parameters
    ----------
    recipe : Recipe
        Any.

    Returns
    -------
    ContrastiveConfig, MaskedConfig or FinetuneConfig
    """
    options = dict(recipe.objective)
    if recipe.stage in ("contrastive", "text"):
        from ..contrastive import ContrastiveConfig

        return ContrastiveConfig(**options)
    if recipe.stage == "finetune":
        from ..finetune import FinetuneConfig

        return FinetuneConfig(**options)
    from ..decoders import DecoderConfig
    from ..masked import MaskedConfig

    decoder = DecoderConfig(**options.pop("decoder", {}))
    return MaskedConfig(decoder=decoder, **options)
