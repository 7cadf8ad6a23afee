"""Golden losses: real stages with the smoke recipes give the losses that are stored beside this file.

Two processes give them too, parameters split, gradients of stage 1 by chunks. Where a change is meant to change them:
``python tests/encoder/pretraining/test_losses.py`` writes them anew.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from behavior_prism.encoder import VideoEncoder, VideoTextModel
from behavior_prism.encoder.pretraining.contrastive import ContrastiveObjective
from behavior_prism.encoder.pretraining.masked import MaskedObjective
from behavior_prism.encoder.pretraining.masks import MaskConfig, draw_masks
from behavior_prism.encoder.pretraining.recipes import Recipe, find_recipe, objective_config
from behavior_prism.encoder.pretraining.run_log import read_metrics
from behavior_prism.encoder.pretraining.text_tuning import TextTuningObjective
from behavior_prism.encoder.pretraining.trainer import Trainer

pytestmark = pytest.mark.torch
LOSSES = Path(__file__).parent / "losses"
NAMES = ("smoke", "smoke_masked", "smoke_text")
SPLIT_STEPS = 6  # of two processes


class Bars:
    """Bars that move to one side, and words that say how; batch i is drawn from seed i, a process has some rows."""

    def __init__(self, recipe: Recipe, rank: int = 0, world: int = 1) -> None:
        self.recipe, self.given = recipe, 0
        self.rows = slice(rank * recipe.data.batch // world, (rank + 1) * recipe.data.batch // world)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            batch = self._draw(np.random.default_rng([5, self.given]))
            self.given += 1
            whole = {name: torch.from_numpy(np.asarray(value)) for name, value in batch.items()}
            yield {name: value[self.rows] if value.ndim else value for name, value in whole.items()}

    def _draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        data, grid = self.recipe.data, (4, 4)
        (height, width), b = data.image_size, data.batch
        kind = rng.integers(0, [3, 2, 4], (b, 3))  # colour, direction, place
        video = rng.integers(0, 60, (b, data.frames, height, width, 3)).astype(np.uint8)
        for i, (colour, direction, place) in enumerate(kind):
            for t in range(data.frames):
                at = 10 * place + (t * 6 if direction else -t * 6 + 6)
                video[i, t, :, at : at + 8, colour] = 220
        batch = {"video": video}
        if self.recipe.stage == "masked":
            return batch | draw_masks(rng, b, data.frames, grid, MaskConfig(**data.mask))
        batch |= {
            "token_ids": (kind + np.array([10, 20, 30])).astype(np.int64),
            "text_paddings": np.zeros((b, 3), np.float32),
        }
        if data.keep_places < 1:
            batch["kept"] = np.sort(np.stack([rng.permutation(16)[: int(16 * data.keep_places)] for _ in range(b)]))
        return batch

    def state_dict(self) -> dict:
        return {"given": self.given}

    def load_state_dict(self, state: dict) -> None:
        self.given = state["given"]


def losses_of(name: str, folder: Path, *, chunk: int | None = None, world: int = 1, rank: int = 0) -> list[float]:
    recipe = find_recipe(name)
    if chunk is not None:
        recipe = replace(recipe, objective={"chunk_size": chunk})
    model = (VideoTextModel if recipe.stage != "masked" else VideoEncoder)(recipe.sizes().config)
    make = {"contrastive": ContrastiveObjective, "masked": MaskedObjective, "text": TextTuningObjective}[recipe.stage]
    config = replace(recipe.trainer, asynchronous=False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    source = Bars(recipe, rank, world)
    trainer = Trainer(config, make(model, objective_config(recipe)), source, folder=folder, device="cpu")
    if world > 1:  # half of them shows it
        trainer.run(lambda step, *_: os.kill(os.getpid(), signal.SIGTERM) if step == SPLIT_STEPS - 1 else None)
        return []
    trainer.run()
    for key, value in trainer.objective.state_dict().items():  # what is frozen has not moved
        if key.startswith(trainer.objective.frozen or "\0"):
            theirs = key.removeprefix("model.").removeprefix("teacher.encoder.")
            assert torch.equal(value, before[theirs])
    return [line["loss"] for line in read_metrics(folder) if "loss" in line]


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_those_that_are_stored(name, tmp_path):
    stored = [float(line) for line in (LOSSES / f"{name}.txt").read_text().split()]
    found = losses_of(name, tmp_path)
    assert len(found) == 12
    assert found == pytest.approx(stored, rel=1e-3)
    assert stored[-1] < stored[0]
    pictures = [path.name for path in (tmp_path / "pictures").iterdir()]
    assert any(picture.startswith("step_00000012") for picture in pictures)


@pytest.mark.slow
def test_two_processes_give_them_too(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-P", __file__, "--split", str(tmp_path)],
            env={**os.environ, **meet, "OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(outputs)[-3000:]
    for name in NAMES:
        found = [line["loss"] for line in read_metrics(tmp_path / name) if "loss" in line]
        stored = [float(line) for line in (LOSSES / f"{name}.txt").read_text().split()]
        assert found == pytest.approx(stored[:SPLIT_STEPS], rel=1e-3)


def _split(folder: Path) -> None:
    torch.set_num_threads(1)
    for name in NAMES:
        chunk = None if name == "smoke_masked" else 3  # 4 pairs of a process: chunks of 3 and 1
        losses_of(name, folder / name, chunk=chunk, world=2, rank=int(os.environ["RANK"]))
    torch.distributed.destroy_process_group()


if __name__ == "__main__" and sys.argv[1:2] == ["--split"]:
    _split(Path(sys.argv[2]))
elif __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        with tempfile.TemporaryDirectory() as place:
            lines = [f"{loss:.6f}\n" for loss in losses_of(each, Path(place))]
        LOSSES.joinpath(f"{each}.txt").write_text("".join(lines))
