from __future__ import annotations

import dataclasses

import pytest
import torch

from behavior_prism.encoder import PRESETS, VideoEncoder, preset

pytestmark = pytest.mark.torch


def count(name):
    with torch.device("meta"):  # costs nothing
        model = VideoEncoder(PRESETS[name].config)
    assert all(p.is_meta for p in model.parameters())
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("name", "expected"), [("tiny", 4_101_504), ("base", 114_365_184), ("large", 353_965_056)])
def test_parameter_counts(name, expected):
    assert count(name) == expected


def test_giant_has_about_a_billion_parameters():
    assert 0.95e9 < count("giant") < 1.15e9  # no exact number was published


@pytest.mark.parametrize(("name", "frames", "side"), [("tiny", 8, 96), ("base", 16, 288), ("large", 8, 288)])
def test_clip_shapes(name, frames, side):
    size = preset(f"videoprism-{name}")
    assert (size.num_frames, size.image_size) == (frames, (side, side))
    assert size.config.pos_emb_shape == (frames, side // size.config.patch_size, side // size.config.patch_size)


def test_unknown_preset_is_told():
    with pytest.raises(ValueError, match=r"expected one of .*'tiny'.*got 'huge'"):
        preset("huge")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 5}, r"model_dim \(192\) must be divisible by num_heads \(5\)"),
        ({"model_dim": 192.0}, "model_dim: expected a whole number, got 192.0"),
        ({"patch_size": 0}, "patch_size: expected a positive number, got 0"),
        ({"pos_emb_shape": (8, 8)}, r"expected three positive numbers, got \(8, 8\)"),
        ({"pos_emb_shape": 8}, "expected three positive numbers, got 8"),
        ({"atten_logit_cap": -1.0}, "atten_logit_cap: .*got -1"),
        ({"atten_logit_cap": float("nan")}, "atten_logit_cap: .*got nan"),
        ({"norm_policy": "primer_hybrid"}, "norm_policy: expected 'pre', got 'primer_hybrid'"),
    ],
)
def test_bad_sizes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PRESETS["tiny"].config, **change)


def test_config_is_frozen_and_takes_names_only():
    config = PRESETS["tiny"].config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.model_dim = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        type(config)(12)  # type: ignore[call-arg]
