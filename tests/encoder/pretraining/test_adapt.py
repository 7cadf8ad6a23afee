"""Adaptation: adapters start as nothing and merge exactly; lower layers learn more slowly."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from behavior_prism.encoder import VideoEncoder, load_model, save_encoder
from behavior_prism.encoder.int8 import quantize_layers
from behavior_prism.encoder.pretraining.adapt import adaptation_objective, layerwise_scales
from behavior_prism.encoder.pretraining.adapters import (
    LowRankLinear,
    add_low_rank_adapters,
    merge_adapter_state,
    merge_adapters,
)
from behavior_prism.encoder.pretraining.decoders import DecoderConfig
from behavior_prism.encoder.pretraining.masked import MaskedConfig
from behavior_prism.encoder.pretraining.masks import draw_masks

pytestmark = pytest.mark.torch

DECODER = DecoderConfig(dim=16, num_layers=1, num_heads=2, mlp_dim=32)
BOTH = ("attention", "feed-forward")


def make_batch(seed=0):
    rng = np.random.default_rng(seed)
    batch = {name: torch.from_numpy(value) for name, value in draw_masks(rng, 2, 4, (4, 4)).items()}
    return batch | {"video": torch.from_numpy(rng.integers(0, 256, (2, 4, 24, 24, 3), np.uint8))}


def with_numbers(model):
    """Adapters as after some training."""
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if "adapter" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


@pytest.mark.parametrize("targets", [("attention",), ("feed-forward",), BOTH])
def test_adapters_start_as_nothing_and_merge_exactly(small, rand, targets):
    video, expected = rand(1, 4, 24, 24, 3), None
    expected = small(video)
    names = add_low_rank_adapters(small, rank=3, targets=targets)
    assert len(names) == 4 * 2 * len(targets)
    assert torch.equal(small(video), expected)
    adapted = with_numbers(small)(video)
    assert (adapted - expected).abs().max() > 0.1
    before = copy.deepcopy(small.state_dict())
    merged = merge_adapters(small)
    assert not any(isinstance(m, LowRankLinear) for m in merged.modules()) and type(merged) is VideoEncoder
    torch.testing.assert_close(merged(video), adapted, rtol=0, atol=1e-5)
    assert all(torch.equal(v, before[n]) for n, v in small.state_dict().items())  # the model itself stays
    assert all(p.requires_grad for p in merged.parameters())
    plain = VideoEncoder(small.config)
    plain.load_state_dict(merge_adapter_state(small.state_dict()))
    assert all(torch.equal(v, merged.state_dict()[n]) for n, v in plain.state_dict().items())


def test_an_adapter_is_the_product_of_its_matrices(small, rand):
    """Queries, keys and values each have their own, checked against numpy."""
    layer = small.spatial_encoder.layers[0].self_attention
    base = copy.deepcopy(layer.qkv)
    add_low_rank_adapters(small, rank=2, alpha=6.0)
    with_numbers(small)
    x = rand(5, 24)
    down, up = (p.detach().double().numpy() for p in (layer.qkv.adapter_down, layer.qkv.adapter_up))
    change = np.concatenate([up[24 * i : 24 * i + 24] @ down[2 * i : 2 * i + 2] for i in range(3)])
    expected = base(x).double().numpy() + 6.0 / 2 * x.double().numpy() @ change.T
    np.testing.assert_allclose(layer.qkv(x).detach().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(layer.qkv.rows(x, slice(0, 24)).detach().numpy(), expected[:, :24], atol=1e-5)


def test_merged_weights_are_saved_in_the_usual_layout(small, rand, tmp_path):
    add_low_rank_adapters(small, rank=2, targets=BOTH)
    with_numbers(small)
    path = save_encoder(tmp_path / "adapted.safetensors", merge_adapters(small), trained=True)
    loaded = load_model(path)
    assert isinstance(loaded, VideoEncoder)
    video = rand(1, 4, 24, 24, 3)
    torch.testing.assert_close(loaded(video), small(video), rtol=0, atol=1e-5)


def test_only_adapters_learn(small):
    teacher = copy.deepcopy(small.state_dict())
    objective = adaptation_objective(small, MaskedConfig(decoder=DECODER), rank=2, targets=BOTH)
    learned = {n for n, p in objective.student.named_parameters() if p.requires_grad}
    assert learned == {n for n, _ in objective.student.named_parameters() if ".adapter_" in n} and len(learned) == 32
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):  # the second matrix is 0 at first, so the first one gets no gradient in the first step
        optimizer.zero_grad()
        objective.backward(make_batch(step))
        optimizer.step()
    own = dict(objective.student.named_parameters())
    gradients = {n: own[n].grad for n in learned}
    assert all(g is not None and g.any() for g in gradients.values())
    plain = {n: v for n, v in objective.student.state_dict().items() if ".adapter_" not in n}
    assert plain.keys() == teacher.keys() and all(torch.equal(v, teacher[n]) for n, v in plain.items())
    changed = merge_adapters(objective.learned_model()).state_dict()
    name = "spatial_encoder.layers.0.self_attention.qkv.weight"
    assert not torch.equal(changed[name], teacher[name])


def test_adaptation_starts_from_the_weights_and_learns_all_by_default(small):
    objective = adaptation_objective(small, MaskedConfig(decoder=DECODER))
    assert all(p.requires_grad for p in objective.student.parameters())
    own = objective.student.state_dict()
    assert all(torch.equal(v, own[n]) for n, v in small.state_dict().items())


def test_without_a_pooler_the_clip_is_the_mean_of_unit_tokens(small, rand):
    objective = adaptation_objective(small, MaskedConfig(decoder=DECODER))
    video = rand(2, 4, 24, 24, 3)
    tokens = small(video).double().numpy().reshape(2, -1, 24)
    expected = (tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)).mean(1)
    np.testing.assert_allclose(objective.teacher(video)[1].numpy(), expected, atol=1e-6)


def test_adapters_without_gradients_use_the_same_numbers(small, rand):
    """The fast product of inference and that of training, with ``keep`` in the last temporal layer."""
    add_low_rank_adapters(small, rank=2)
    with_numbers(small)
    spatial = rand(1, 4, 16, 24)
    with_gradients = small.forward_temporal(spatial)
    with torch.no_grad():
        torch.testing.assert_close(small.forward_temporal(spatial), with_gradients, rtol=0, atol=1e-5)
        kept = small.forward_temporal(spatial, keep=slice(1, 3))
    torch.testing.assert_close(kept, with_gradients[:, 1:3], rtol=0, atol=1e-5)


def test_the_same_seed_gives_the_same_adapters(small):
    found = []
    for seed in (1, 1, 2):
        model = copy.deepcopy(small)
        add_low_rank_adapters(model, seed=seed)
        found.append(model.temporal_encoder.layers[1].self_attention.post.adapter_down)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_rates_fall_from_layer_to_layer(small):
    small.requires_grad_(True)
    scales = layerwise_scales(small, 0.5)
    assert scales.keys() == dict(small.named_parameters()).keys()
    expected = {
        "temporal_ln.bias": 1,
        "temporal_encoder.layers.1.ff_layer.ffn_layer1.weight": 1,
        "temporal_encoder.layers.0.self_attention.qkv.bias": 2,
        "temporal_pos_emb": 3,
        "spatial_ln.scale": 3,
        "spatial_encoder.layers.1.layer_norm.scale": 3,
        "spatial_encoder.layers.0.self_attention.post.weight": 4,
        "spatial_pos_emb": 5,
        "patch_projection.bias": 5,
    }
    assert {name: scales[name] for name in expected} == {name: 0.5**k for name, k in expected.items()}
    assert set(layerwise_scales(small, 1.0).values()) == {1.0}


def test_rates_of_an_objective_are_those_of_its_student(small):
    objective = adaptation_objective(small, MaskedConfig(decoder=DECODER))
    scales = layerwise_scales(objective, 0.9)
    assert scales.keys() == {n for n, _ in objective.named_parameters() if n.startswith("student.")}
    assert scales["student.patch_projection.weight"] == pytest.approx(0.9**5)
    adapted = layerwise_scales(adaptation_objective(small, MaskedConfig(decoder=DECODER), rank=2), 0.9)
    assert adapted["student.spatial_encoder.layers.0.self_attention.qkv.adapter_up"] == pytest.approx(0.9**4)
    assert all(".adapter_" in name for name in adapted)


def test_what_cannot_be_adapted_is_refused(small):
    small.requires_grad_(True)
    for decay in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="decay: expected a number above 0"):
            layerwise_scales(small, decay)
    with pytest.raises(ValueError, match="expected a VideoEncoder that is learned, got a Linear"):
        layerwise_scales(torch.nn.Linear(2, 2), 0.5)
    with pytest.raises(ValueError, match="rank, alpha: expected numbers above 0, got 0"):
        add_low_rank_adapters(small, rank=0)
    for targets in (("pooler",), ()):
        with pytest.raises(ValueError, match="targets: expected 'attention'"):
            add_low_rank_adapters(small, targets=targets)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected transformer layers, got a Linear"):
        add_low_rank_adapters(torch.nn.Linear(2, 2))
    rounded = VideoEncoder(dataclasses.replace(small.config)).requires_grad_(False)
    quantize_layers(rounded)
    with pytest.raises(ValueError, match="layers with their own weights, got Int8Linear"):
        add_low_rank_adapters(rounded)
    add_low_rank_adapters(small)
    with pytest.raises(ValueError, match="expected one without adapters"):
        add_low_rank_adapters(small)
