"""Golden losses: real stages with the smoke recipes give the losses that are stored beside this file.

Where a change is meant to change them: ``python tests/encoder/pretraining/test_losses.py`` writes them anew.
"""

from __future__ import annotations

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


class Bars:
    """Bars that move to one side, and three words that say how: batch i is drawn from seed i."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.given = recipe, 0

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            batch = self._draw(np.random.default_rng([5, self.given]))
            self.given += 1
            yield {name: torch.from_numpy(np.asarray(value)) for name, value in batch.items()}

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


def losses_of(name: str, folder: Path) -> list[float]:
    recipe = find_recipe(name)
    model = (VideoTextModel if recipe.stage != "masked" else VideoEncoder)(recipe.sizes().config)
    make = {"contrastive": ContrastiveObjective, "masked": MaskedObjective, "text": TextTuningObjective}[recipe.stage]
    config = replace(recipe.trainer, asynchronous=False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trainer = Trainer(config, make(model, objective_config(recipe)), Bars(recipe), folder=folder, device="cpu")
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


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        with tempfile.TemporaryDirectory() as place:
            lines = [f"{loss:.6f}\n" for loss in losses_of(each, Path(place))]
        LOSSES.joinpath(f"{each}.txt").write_text("".join(lines))
