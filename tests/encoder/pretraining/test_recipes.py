"""Every number that the paper states, as written down in the design notes; and that recipes can be used."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from behavior_prism.encoder.pretraining.recipes import RECIPES, Recipe, find_recipe, objective_config
from behavior_prism.encoder.pretraining.trainer_config import TrainerConfig

pytestmark = pytest.mark.torch

# Zhao et al., ICML 2024, as collected in videoprism.md, parts 1.2, 2 and 3
STAGE_1 = {
    "optimizer": "adafactor",
    "weight_decay": 1e-4,
    "steps": 200_000,
    "warmup": 20_000,
    "shape": "linear",
    "floor": 0.0,
    "batch": 4096,
    "frames": 8,
    "image_size": (288, 288),
}
STAGE_2 = {
    "optimizer": "adafactor",
    "weight_decay": 0.05,
    "steps": 300_000,
    "warmup": 25_000,
    "shape": "cosine",
    "peak": 5e-4,
    "floor": 1e-5,
    "batch": 4096,
    "frames": 8,
    "image_size": (288, 288),
}
DECODER = {"dim": 512, "num_layers": 4, "mlp_dim": 2048}
SIZES = {  # model dim, spatial layers, temporal layers, heads, MLP, positions
    "base": (768, 12, 4, 12, 3072, (8, 16, 16)),
    "giant": (1408, 40, 4, 16, 6144, (8, 16, 16)),
}


def stated(recipe: Recipe) -> dict:
    trainer, data = recipe.trainer, recipe.data
    return {
        "optimizer": trainer.optimizer.name,
        "weight_decay": trainer.optimizer.weight_decay,
        "steps": trainer.steps,
        **{name: getattr(trainer.schedule, name) for name in ("warmup", "shape", "peak", "floor")},
        "batch": data.batch,
        "frames": data.frames,
        "image_size": data.image_size,
    }


@pytest.mark.parametrize(("size", "peak"), [("base", 1e-4), ("giant", 5e-5)])
def test_stage_1(size, peak):
    recipe = find_recipe(size, stage="contrastive")
    assert stated(recipe) == {**STAGE_1, "peak": peak}
    assert recipe.data.keep_places == 0.5
    assert any("WebLI" in corpus for corpus in recipe.data.corpora)
    assert recipe.sizes().config.num_auxiliary_layers == 0
    assert "5e-4" in recipe.about, "the paper contradicts itself on the learning rate: say so"


@pytest.mark.parametrize("size", ["base", "giant"])
def test_stage_2(size):
    recipe = find_recipe(size, stage="masked")
    assert stated(recipe) == STAGE_2
    assert recipe.data.mask == {"kind": "block", "ratio": 0.65}
    assert {name: recipe.objective["decoder"][name] for name in DECODER} == DECODER
    assert not any("WebLI" in corpus for corpus in recipe.data.corpora)
    config = objective_config(recipe)
    assert (config.shuffle, config.global_branch, config.masked_only) == (True, True, False)


@pytest.mark.parametrize(("size", "peak", "layers"), [("base", 1e-4, 12), ("giant", 5e-5, 16)])
def test_text_tuning_has_the_settings_of_stage_1(size, peak, layers):
    recipe = find_recipe(size, stage="text")
    assert stated(recipe) == {**STAGE_1, "peak": peak}
    config = recipe.sizes().config
    assert (config.num_unimodal_layers, config.num_auxiliary_layers, config.vocabulary_size) == (layers, 2, 32_000)


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith(("base", "giant"))])
def test_sizes(name):
    c = find_recipe(name).sizes().config
    found = (c.model_dim, c.num_spatial_layers, c.num_temporal_layers, c.num_heads, c.mlp_dim, c.pos_emb_shape)
    assert found == SIZES[name.split("_")[0]]


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_can_be_used(name):
    recipe = find_recipe(name)
    assert recipe.name == name and RECIPES[name].__doc__ == recipe.about
    assert f"pretrain {recipe.stage} --recipe {name} " in recipe.about
    assert "Cost: " in recipe.about or name.startswith("smoke")
    values = json.loads(json.dumps(recipe.to_dict(), allow_nan=False))
    assert values["trainer"]["steps"] == recipe.trainer.steps
    objective_config(recipe)
    if recipe.model:
        size = recipe.sizes()
        assert not any(side % size.config.patch_size for side in recipe.data.image_size)
    if recipe.stage in ("masked", "adapt"):
        from behavior_prism.encoder.pretraining.masks import MaskConfig

        MaskConfig(**recipe.data.mask)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.name = "other"


def test_names():
    assert find_recipe("smoke").stage == "contrastive"
    assert find_recipe("smoke", stage="text").name == "smoke_text"
    with pytest.raises(ValueError, match="expected one of base_contrastive, base_masked, .*, got 'huge'"):
        find_recipe("huge")
    with pytest.raises(ValueError, match="expected one of the stage adapt of lab_adapt, got 'tiny'"):
        find_recipe("tiny", stage="adapt")


def test_bad_recipe():
    data = find_recipe("smoke").data
    with pytest.raises(ValueError, match="odd: expected fields of VideoEncoderConfig, got 'depth'"):
        Recipe(
            name="odd",
            stage="masked",
            model="tiny",
            model_changes={"depth": 3},
            trainer=TrainerConfig(steps=9),
            data=data,
        )
    with pytest.raises(ValueError, match="stage: expected one of contrastive, masked"):
        Recipe(name="odd", stage="tuning", model="tiny", trainer=TrainerConfig(steps=9), data=data)
    with pytest.raises(ValueError, match="lab_adapt: expected a recipe with sizes of its own"):
        find_recipe("lab_adapt").sizes()
    with pytest.raises(ValueError, match="keep_places: expected a share above 0 and up to 1, got 0"):
        dataclasses.replace(data, keep_places=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: expected a whole number of at least 1, got 0"),
        ({"accumulate": 1.5}, "accumulate: expected a whole number of at least 1, got 1.5"),
        ({"precision": "float16"}, "precision: expected 'float32' or 'bfloat16', got 'float16'"),
        ({"clip_norm": float("inf")}, "clip_norm: expected a finite number"),
        ({"eval_every": -1}, "eval_every: expected a whole number of at least 0, got -1"),
        ({"sharding": "split"}, "sharding: expected 'shard' or 'replicate', got 'split'"),
    ],
)
def test_bad_trainer_config(change, message):
    with pytest.raises(ValueError, match=message):
        TrainerConfig(**{"steps": 10, **change})


def test_recipes_do_not_need_torch():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from behavior_prism.encoder.pretraining.recipes import RECIPES, find_recipe\n"
        "assert all(find_recipe(name).to_dict() for name in RECIPES)"
    )
    subprocess.run([sys.executable, "-P", "-c", script], check=True, capture_output=True, timeout=60)
