"""How a run of pretraining goes: steps, precision, optimizer, learning rate, what is kept. No torch is needed for this.

Everything here ends up in ``config.json`` of the run's folder and in every checkpoint. What decides the numbers is
compared when a run is resumed; what only decides how it is watched may change (:data:`FREE`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

Precision = Literal["float32", "bfloat16"]
Sharding = Literal["shard", "replicate"]
Shape = Literal["constant", "linear", "cosine"]

# A run may be resumed with other values of these: they do not change what is learned. Memory and speed of a step are
# among them, and where its parameters lie; `accumulate` is compared by itself, see the trainer.
FREE = (
    "accumulate",
    "activation_checkpointing",
    "asynchronous",
    "checkpoint_every",
    "eval_every",
    "keep",
    "log_every",
    "picture_every",
    "sharding",
    "tensorboard",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """Which optimizer, and its numbers other than the learning rate.

    Parameters
    ----------
    name : {"adamw", "adafactor"}
        ``adafactor`` is the one of :mod:`~behavior_prism.encoder.pretraining.optim`.
    weight_decay : float
        Decoupled: a step takes ``learning rate * weight_decay`` of a parameter away. Parameters that the objective
        names in ``no_weight_decay`` are left alone.
    beta1, beta2 : float
        Memory of the mean and of the mean square. Adafactor's ``beta2`` is a ceiling: it starts with no memory.
    eps : float
        AdamW's; Adafactor does not use it.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    name: Literal["adamw", "adafactor"] = "adamw"
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _one_of("optimizer.name", self.name, ("adamw", "adafactor"))
        _at_least("optimizer.weight_decay", self.weight_decay, 0)
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"optimizer.{name}: expected a number from 0 to below 1, got {value}")
        if not 0 < self.eps < 1:
            raise ValueError(f"optimizer.eps: expected a number between 0 and 1, got {self.eps}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """Learning rate as a function of the step, see :mod:`~behavior_prism.encoder.pretraining.schedules`.

    Parameters
    ----------
    shape : {"constant", "linear", "cosine"}
        What comes after the warm-up.
    peak : float
        Learning rate at the end of the warm-up.
    warmup : int
        Steps over which it rises from 0.
    floor : float
        Where ``cosine`` ends.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    shape: Shape = "cosine"
    peak: float = 5e-4
    warmup: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        _one_of("schedule.shape", self.shape, get_args(Shape))
        if not 0 < self.peak < math.inf:
            raise ValueError(f"schedule.peak: expected a learning rate above 0, got {self.peak}")
        _whole("schedule.warmup", self.warmup, 0)
        if not 0 <= self.floor <= self.peak:
            raise ValueError(f"schedule.floor: expected from 0 to the peak ({self.peak}), got {self.floor}")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepRule:
    """Which checkpoints stay.

    Parameters
    ----------
    last : int
        This many of the latest.
    every : int
        And those whose step is a multiple of this; 0 for none.
    best : str
        And the best by this metric of an evaluator; empty for none. A checkpoint has the numbers of the evaluation
        before it: of several that share them, the earliest stays, which is nearest to what was judged.
    best_is : {"highest", "lowest"}
        What is best.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    last: int = 2
    every: int = 0
    best: str = ""
    best_is: Literal["highest", "lowest"] = "highest"

    def __post_init__(self) -> None:
        _whole("keep.last", self.last, 1)
        _whole("keep.every", self.every, 0)
        _one_of("keep.best_is", self.best_is, ("highest", "lowest"))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerConfig:
    """How a run goes.

    Parameters
    ----------
    steps : int
        Updates of the parameters.
    accumulate : int
        Batches of a source that make one step: the global batch is the source's batch times this times the number of
        processes. The gradient is the mean over batches. Contrastive stages compare pairs within each batch only:
        for them a larger batch is one of the source's, computed by chunks.
    clip_norm : float
        Gradients longer than this are shortened to it; 0 for no limit.
    precision : {"float32", "bfloat16"}
        Of products and attention; parameters and the optimizer's state stay float32.
    compile : bool
        Compile every transformer layer.
    activation_checkpointing : bool
        Keep only the inputs of layers for the way back: less memory, a third more time.
    sharding : {"shard", "replicate"}
        With several processes: split parameters, gradients and optimizer over them (FSDP2), or keep them whole on each.
    seed : int
        Of what is drawn while training (nothing, in our objectives: what is random about a batch comes with it).
    eval_every, checkpoint_every, log_every, picture_every : int
        Every so many steps, and at the end; 0 for never, but at the end evaluators always judge and a checkpoint is
        always written.
    keep : KeepRule
        Which checkpoints stay.
    asynchronous : bool
        Write checkpoints while training goes on.
    tensorboard : bool
        Also write TensorBoard's files (``pip install tensorboard``).
    optimizer : OptimizerConfig
        Which.
    schedule : ScheduleConfig
        Learning rate by step.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> TrainerConfig(steps=100, schedule=ScheduleConfig(peak=1e-3, warmup=10)).precision
    'float32'
    """

    steps: int
    accumulate: int = 1
    clip_norm: float = 1.0
    precision: Precision = "float32"
    compile: bool = False
    activation_checkpointing: bool = False
    sharding: Sharding = "shard"
    seed: int = 0
    eval_every: int = 0
    checkpoint_every: int = 1000
    log_every: int = 10
    picture_every: int = 0
    keep: KeepRule = field(default_factory=KeepRule)
    asynchronous: bool = True
    tensorboard: bool = False
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        _whole("steps", self.steps, 1)
        _whole("accumulate", self.accumulate, 1)
        _at_least("clip_norm", self.clip_norm, 0)
        _one_of("precision", self.precision, get_args(Precision))
        _one_of("sharding", self.sharding, get_args(Sharding))
        for name in ("seed", "eval_every", "checkpoint_every", "log_every", "picture_every"):
            _whole(name, getattr(self, name), 0)
        if self.keep.best and not self.eval_every:
            raise ValueError(f"keep.best: expected eval_every above 0, to know {self.keep.best!r}, got 0")
        if self.schedule.shape != "constant" and self.schedule.warmup >= self.steps:
            raise ValueError(
                f"schedule.warmup: expected fewer than the steps ({self.steps}), got {self.schedule.warmup}"
            )


def _one_of(name: str, value: object, expected: tuple[str, ...]) -> None:
    if value not in expected:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, expected))}, got {value!r}")


def _whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < math.inf:
        raise ValueError(f"{name}: expected a finite number of at least {least}, got {value!r}")
