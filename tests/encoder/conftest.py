"""Fixtures of the encoder's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from behavior_prism.encoder import VideoEncoder, VideoEncoderConfig

SMALL = VideoEncoderConfig(
    patch_size=6,
    pos_emb_shape=(4, 4, 4),
    model_dim=24,
    num_spatial_layers=2,
    num_temporal_layers=2,
    num_heads=4,
    mlp_dim=48,
)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Outputs of the official implementation, where they are there."""
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    folder = Path(os.environ.get("BEHAVIOR_PRISM_SHARED", beside)) / "reference" / "videoprism"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs at {folder}; set BEHAVIOR_PRISM_SHARED")
    return folder


@pytest.fixture
def small() -> VideoEncoder:
    """A model of a few thousand parameters in which every parameter, biases and scales too, does something."""
    model = VideoEncoder(SMALL).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith((".bias", ".scale")):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


@pytest.fixture
def rand():
    """``rand(2, 4, 24, 24, 3)``: the same numbers in [0, 1] every time."""
    generator = torch.Generator().manual_seed(2)
    return lambda *shape: torch.rand(shape, generator=generator)
