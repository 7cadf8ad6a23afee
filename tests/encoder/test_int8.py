"""Linear layers in whole numbers: near float32, token by token."""

from __future__ import annotations

import pytest
import torch

from behavior_prism.encoder import export, load_encoder, save_encoder
from behavior_prism.encoder.int8 import Int8Linear, quantize_layers

pytestmark = pytest.mark.torch


def test_one_layer_is_within_its_rounding():
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(64, 48).requires_grad_(False)
    x = torch.randn(2, 33, 64, generator=generator)
    ours, exact = Int8Linear(linear)(x), linear(x)
    # each of the 64 products is off by at most half a step of both factors
    step_x, step_w = x.abs().amax(-1, keepdim=True) / 127, linear.weight.abs().amax(1) / 127
    bound = (
        step_x * linear.weight.abs().sum(1) + step_w * x.abs().sum(-1, keepdim=True)
    ) / 2 + 64 * step_x * step_w / 4
    assert ((ours - exact).abs() <= bound + 1e-6).all()
    assert torch.cosine_similarity(ours, exact, dim=-1).min() > 0.999


def test_a_token_does_not_depend_on_its_batch():
    layer = Int8Linear(torch.nn.Linear(64, 48).requires_grad_(False))
    x = torch.randn(40, 64) * torch.logspace(-3, 3, 40)[:, None]
    assert torch.equal(layer(x)[7:20], layer(x[7:20]))
    assert torch.equal(layer.rows(x, slice(5, 9)), layer(x)[:, 5:9])
    assert layer(torch.zeros(20, 64)).isfinite().all()


def test_the_whole_encoder_stays_near_and_says_what_it_is():
    exact, rounded = load_encoder("tiny", device="cpu"), load_encoder("tiny", device="cpu", int8=True)
    video = torch.rand(1, 8, 96, 96, 3)
    tokens = rounded.model(video)
    assert torch.cosine_similarity(tokens, exact.model(video), dim=-1).min() > 0.99
    assert not torch.equal(tokens, exact.model(video))
    assert "cpu int8" in rounded.describe() and "4.1 M" in rounded.describe()
    assert rounded.weights_id != exact.weights_id
    spatial = rounded.model.forward_spatial(video)
    whole = rounded.model.forward_temporal(spatial)
    part = rounded.model.forward_temporal(spatial, keep=slice(2, 5))
    # a last bit of float32 may tip a value to the next whole number
    assert torch.cosine_similarity(part, whole[:, 2:5], dim=-1).min() > 0.999


def test_only_frozen_models(small):
    small.requires_grad_(True)
    with pytest.raises(ValueError, match="expected a frozen model"):
        quantize_layers(small)
    with pytest.raises(ValueError, match="expected a model on the cpu"):
        quantize_layers(small.requires_grad_(False).to("meta"))


def test_rounded_models_are_not_written(tmp_path):
    model = load_encoder("tiny", device="cpu", int8=True).model
    with pytest.raises(ValueError, match="got one in int8"):
        save_encoder(tmp_path / "a.safetensors", model, trained=True)
    with pytest.raises(ValueError, match="got one in int8"):
        export(model, "flax")
    assert not list(tmp_path.iterdir())
