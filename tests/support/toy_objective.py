"""A small honest regression for the trainer: clips of noise, and the mean of each channel over time as the target.

Run as a program (also under ``torchrun``) it trains with the options given as JSON and writes what came out.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from behavior_prism.encoder import VideoEncoderConfig
from behavior_prism.encoder.model import VideoEncoder
from behavior_prism.encoder.pretraining.objective import Batch, Objective

SMALL = VideoEncoderConfig(
    patch_size=4,
    pos_emb_shape=(2, 2, 2),
    model_dim=24,
    num_spatial_layers=1,
    num_temporal_layers=1,
    num_heads=3,
    mlp_dim=49,  # odd: what is split over two processes is not split evenly
)


class ToyObjective(Objective):
    """Distil a random, frozen teacher into a student of the same sizes, and say how bright the clip is."""

    frozen = ("teacher.",)

    def __init__(self, seed: int = 0, teacher_seed: int = 7, ballast: int = 0) -> None:
        super().__init__()
        self.student = VideoEncoder(SMALL)
        self.student.init_weights(seed)
        self.teacher = VideoEncoder(SMALL)
        self.teacher.init_weights(teacher_seed)
        self.teacher.requires_grad_(False)
        self.brightness = nn.Linear(24, 1)
        nn.init.zeros_(self.brightness.weight)
        nn.init.zeros_(self.brightness.bias)
        self.offset = nn.Parameter(torch.zeros(1))
        if ballast:  # so that writing takes a while
            self.register_buffer("ballast", torch.zeros(ballast))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        video = batch["video"].to(self.student.patch_projection.weight.dtype) / 255
        tokens = self.student(video)
        with torch.no_grad():
            targets = self.teacher(video)
        bright = self.brightness(tokens.mean((1, 2))).squeeze(1) + self.offset
        distil = (tokens.float() - targets.float()).square().mean()
        guess = (bright.float() - batch["level"]).square().mean()
        return distil + guess, {"distil": distil.detach(), "guess": guess.detach()}

    def learned_model(self) -> VideoEncoder:
        return self.student

    def no_weight_decay(self) -> set[str]:
        return {f"student.{name}" for name in self.student.no_weight_decay()} | {"brightness.bias", "offset"}

    def visualise(self, batch: Batch) -> dict[str, Tensor]:
        self(batch)  # as real objectives do
        return {"frame": batch["video"][0, 0]}


class ToySource:
    """Endless: batch number i is drawn from seed i, and a process takes its rows of it."""

    def __init__(self, size: int = 4, rank: int = 0, world: int = 1, poison: tuple[int, ...] = ()) -> None:
        self.size, self.rank, self.world = size, rank, world
        self.poison = poison  # numbers of batches whose targets are not finite
        self.given = 0

    def __iter__(self):
        while True:
            generator = torch.Generator().manual_seed(self.given)
            level = torch.rand(self.size, generator=generator)
            noise = torch.rand(self.size, 2, 8, 8, 3, generator=generator)
            video = (noise * level[:, None, None, None, None] * 255).to(torch.uint8)
            if self.given in self.poison and self.rank == self.world - 1:
                level = level * float("nan")
            self.given += 1
            yield {"video": video[self.rank :: self.world], "level": level[self.rank :: self.world]}

    def state_dict(self) -> dict:
        return {"given": self.given}

    def load_state_dict(self, state: dict) -> None:
        self.given = state["given"]


def outcome(trainer) -> dict[str, Tensor]:
    """Everything that a run has learned, whole, on the first process."""
    from torch.distributed.tensor import DTensor

    def whole(value: Tensor) -> Tensor:
        return (value.full_tensor() if isinstance(value, DTensor) else value).detach().clone()

    return {name: whole(value) for name, value in trainer._tensors().items()}


def make_trainer(folder, *, rank: int = 0, world: int = 1, size: int = 4, optimizer="adamw", **options):
    """A trainer of six steps; options are those of its configuration."""
    from behavior_prism.encoder.pretraining.trainer import Trainer
    from behavior_prism.encoder.pretraining.trainer_config import OptimizerConfig, ScheduleConfig, TrainerConfig

    objective = ToyObjective(teacher_seed=options.pop("teacher_seed", 7), ballast=options.pop("ballast", 0))
    evaluators = options.pop("evaluators", [lambda objective, step: {"seen": float(step)}])
    poison = options.pop("poison", ())
    extra = {name: options.pop(name) for name in ("description", "lr_scales") if name in options}
    defaults = {
        "steps": 6,
        # keys' biases have no gradient but rounding errors, which a small epsilon would make steps of
        "optimizer": OptimizerConfig(name=optimizer, weight_decay=0.1, eps=1e-4),
        "schedule": ScheduleConfig(peak=1e-2, warmup=2),
        "log_every": 1,
        "clip_norm": 3.0,
    }
    config = TrainerConfig(**{**defaults, **options})
    source = ToySource(size, rank, world, poison=poison)
    return Trainer(config, objective, source, evaluators, folder, device="cpu", **extra)


def main(jobs: list[dict]) -> int:
    from safetensors.torch import save_file

    from behavior_prism.encoder.pretraining.trainer import EXIT_INTERRUPTED

    torch.set_num_threads(1)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    result = None
    for job in jobs:
        stop_at, kill_at, out = (job.pop(name, None) for name in ("stop_at", "kill_at", "out"))
        if kill_at is not None:
            _kill_while_writing(Path(job["folder"]) / "checkpoints" / f"step_{kill_at:08d}.partial")
        trainer = make_trainer(rank=rank, world=world, **job)

        def progress(step: int, steps: int, numbers: dict, stop_at=stop_at) -> None:
            if step == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

        result = trainer.run(progress)
        tensors = outcome(trainer)
        if rank == 0 and out:
            save_file({name: value.contiguous() for name, value in tensors.items()}, Path(out))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return EXIT_INTERRUPTED if result is not None and result.interrupted else 0


def _kill_while_writing(folder: Path) -> None:
    """End this process the hard way as soon as the tensors in a folder have begun to be written."""

    def watch() -> None:
        while not list(folder.glob("*.safetensors")):
            time.sleep(1e-4)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
