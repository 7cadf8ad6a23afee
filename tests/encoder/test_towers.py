from __future__ import annotations

import dataclasses

import pytest
import torch

from behavior_prism.encoder import PRESETS, VideoEncoder, compile_layers, transformer
from behavior_prism.encoder.model import resize_matrix

pytestmark = pytest.mark.torch


def close(a, b, tolerance=2e-6):
    return torch.allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", [(1, 1, 6, 6), (2, 4, 24, 24), (1, 3, 12, 30), (1, 7, 36, 6)])
def test_any_number_of_frames_and_any_rectangle(small, rand, shape):
    b, t, h, w = shape
    rows, cols = small.grid_size(h, w)
    assert (rows, cols) == (h // 6, w // 6)
    tokens = small(rand(b, t, h, w, 3))
    assert tokens.shape == (b, t, rows * cols, 24)
    assert tokens.isfinite().all()


def test_tokens_lie_row_by_row(small, rand):
    """Changing one patch changes its own token of the embedding most: here, before any layer mixes tokens."""
    small.spatial_encoder.layers = torch.nn.ModuleList()
    video = rand(1, 1, 12, 30, 3)
    changed = video.clone()
    changed[0, 0, 6:12, 18:24] = 1 - changed[0, 0, 6:12, 18:24]  # row 1, column 3 of 2 x 5
    moved = (small.forward_spatial(video) - small.forward_spatial(changed)).abs().sum(-1).flatten()
    assert moved.nonzero().flatten().tolist() == [1 * 5 + 3]


def test_forward_is_the_two_towers(small, rand):
    video, paddings = rand(2, 5, 18, 24, 3), torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    spatial = small.forward_spatial(video, paddings)
    tokens = small.forward_temporal(spatial, paddings)
    features = small.forward_features(video, paddings)
    assert torch.equal(small(video, paddings), tokens)
    assert torch.equal(features.tokens, tokens)
    assert torch.equal(features.spatial, spatial)


def test_spatial_tokens_of_a_frame_do_not_depend_on_its_neighbours(small, rand):
    video = rand(2, 6, 24, 24, 3)
    whole = small.forward_spatial(video)
    assert close(whole[1, 2:5], small.forward_spatial(video[1:, 2:5])[0])
    assert close(whole[0], small.forward_spatial(video[0]))  # single frames (B, H, W, 3)
    assert not close(small(video)[1, 2:5], small(video[1:, 2:5])[0], 1e-3)  # the temporal tower does see the window


def test_overlapping_windows_share_the_spatial_tower(small, rand):
    frames = rand(1, 7, 24, 24, 3)
    spatial = small.forward_spatial(frames)
    for start in range(4):
        window = slice(start, start + 4)
        assert close(small.forward_temporal(spatial[:, window]), small(frames[:, window]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_content_of_padded_frames_does_not_matter(small, rand, dtype):
    video = rand(2, 5, 24, 24, 3)
    paddings = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 1, 0, 0]]).to(dtype)
    other = video.clone()
    other[paddings.bool()] = 1 - other[paddings.bool()]
    kept = ~paddings.bool()
    assert close(small(video, paddings)[kept], small(other, paddings)[kept])
    assert not close(small(video)[kept], small(other)[kept], 1e-3)
    assert small(video, torch.ones(2, 5)).isfinite().all()  # all padded: an average, never NaN


def test_no_padding_is_as_none(small, rand):
    video = rand(2, 3, 24, 24, 3)
    assert close(small(video, torch.zeros(2, 3)), small(video))


def test_pool_is_the_mean_over_frames_and_places(small, rand):
    tokens = rand(2, 3, 16, 24)
    assert close(small.pool(tokens), tokens.flatten(1, 2).mean(1))


def test_large_batches_in_parts_give_the_same(small, rand, monkeypatch):
    video, paddings = rand(3, 5, 24, 24, 3), torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]])
    calls = []
    run = transformer.Transformer._run
    monkeypatch.setattr(
        transformer.Transformer, "_run", lambda self, x, *rest: (calls.append(len(x)), run(self, x, *rest))[1]
    )
    with torch.no_grad():
        whole = small(video, paddings)
        assert calls == [15, 48]
        calls.clear()
        monkeypatch.setattr(transformer, "MAX_ELEMENTS_CPU", 4 * 16 * 4 * 16)
        assert close(small(video, paddings), whole)
    assert len(calls) > 4 and sum(calls) == 15 + 48


def test_gradients_reach_every_parameter(small, rand):
    small.requires_grad_(True)
    small(rand(1, 2, 24, 24, 3), torch.tensor([[0, 1]])).square().sum().backward()
    without = [n for n, p in small.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    # a shift of all keys leaves the softmax unchanged up to the cap, so their gradient is small but there
    assert without == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_video_of_another_float_type_is_converted(small, rand, dtype):
    video = rand(1, 2, 24, 24, 3)
    assert small(video.to(dtype)).dtype == torch.float32
    assert close(small(video.to(dtype)), small(video), 5e-2)


def test_half_precision_stays_near(small, rand):
    video = rand(1, 4, 24, 24, 3)
    expected = small(video)
    half = small.to(torch.bfloat16)(video)
    assert half.dtype == torch.bfloat16
    assert torch.cosine_similarity(half.float(), expected, dim=-1).min() > 0.99


# what is refused


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((24, 24, 3), r"expected video of shape \(B, T, H, W, 3\).*got \(24, 24, 3\)"),
        ((1, 3, 24, 24), r"got \(1, 3, 24, 24\)"),
        ((1, 0, 24, 24, 3), "at least one clip of one frame"),
        ((0, 1, 24, 24, 3), "at least one clip of one frame"),
        ((1, 1, 25, 24, 3), r"multiples of the patch \(6\), got 25x24"),
        ((1, 1, 24, 25, 3), r"multiples of the patch \(6\), got 24x25"),
        ((1, 1, 0, 24, 3), "got 0x24"),
    ],
)
def test_wrong_shapes_are_refused(small, shape, message):
    with pytest.raises(ValueError, match=message):
        small.forward_spatial(torch.zeros(shape))


def test_a_single_clip_without_a_batch_is_not_taken_for_frames_by_forward(small):
    with pytest.raises(ValueError, match=r"expected video of shape \(B, T, H, W, 3\), got \(4, 24, 24, 3\)"):
        small(torch.zeros(4, 24, 24, 3))


@pytest.mark.parametrize("value", [1.5, 255.0, -0.1, float("nan"), float("inf")])
def test_values_out_of_range_are_refused(small, value):
    video = torch.full((1, 2, 24, 24, 3), 0.5)
    video[0, 1, 3, 3, 1] = value
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\], got"):
        small(video)


def test_integers_are_refused(small):
    with pytest.raises(ValueError, match=r"floats in \[0, 1\], got torch.uint8: use encoder.preprocess"):
        small(torch.zeros(1, 1, 24, 24, 3, dtype=torch.uint8))


def test_wrong_paddings_are_refused(small, rand):
    video = rand(2, 3, 24, 24, 3)
    with pytest.raises(ValueError, match=r"frame_paddings of shape \(2, 3\), got \(3, 2\)"):
        small(video, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="0 .frame. and 1 .padding. only"):
        small(video, torch.full((2, 3), 0.5))


def test_wrong_spatial_tokens_are_refused(small):
    with pytest.raises(ValueError, match=r"\(B, T, N, 24\), got \(1, 2, 16, 23\)"):
        small.forward_temporal(torch.zeros(1, 2, 16, 23))
    with pytest.raises(ValueError, match="as floats, got torch.int64"):
        small.forward_temporal(torch.zeros(1, 2, 16, 24, dtype=torch.int64))


# parts


def test_resize_weights():
    assert resize_matrix(4, 4).equal(torch.eye(4))
    assert resize_matrix(1, 5).equal(torch.ones(5, 1))
    # halving is smoothed: a triangle twice as wide, cut off and made to sum to one at the border
    assert close(resize_matrix(4, 2), torch.tensor([[3 / 7, 3 / 7, 1 / 7, 0], [0, 1 / 7, 3 / 7, 3 / 7]]))


@pytest.mark.parametrize(("size", "new"), [(16, 8), (16, 24), (8, 3), (4, 11)])
def test_resize_weights_agree_with_torch(size, new):
    line = torch.eye(size).view(1, size, size, 1).expand(1, size, size, 2)  # two wide, see resize_matrix
    options = {"mode": "bilinear", "align_corners": False, "antialias": True}
    theirs = torch.nn.functional.interpolate(line, size=(new, 2), **options)[0, :, :, 0].T
    assert close(resize_matrix(size, new), theirs, 1e-6)


@pytest.mark.parametrize("keep", [slice(0, 2), slice(2, 4), slice(1, 5), slice(4, 5)])
def test_last_layer_computes_only_the_frames_that_are_kept(small, rand, keep):
    spatial, paddings = rand(2, 5, 16, 24), torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    whole = small.forward_temporal(spatial, paddings)
    lengths = []
    small.temporal_encoder.layers[-1].ff_layer.register_forward_hook(lambda m, x, y: lengths.append(y.shape[1]))
    part = small.forward_temporal(spatial, paddings, keep=keep)
    assert close(part, whole[:, keep])
    assert lengths == [keep.stop - keep.start]
    with pytest.raises(ValueError, match="leaves some of the 5 frames"):
        small.forward_temporal(spatial, keep=slice(5, 9))


def test_intermediates_are_what_the_layers_make(small, rand):
    video = rand(2, 3, 12, 24, 3)
    tokens, layers = small.forward_intermediates(video)
    assert close(tokens, small(video)) and len(layers) == 4
    assert all(layer.shape == (2, 3, 8, 24) for layer in layers)
    _, (second, last) = small.forward_intermediates(video, [1, -1], norm=True)
    assert close(second, small.forward_spatial(video)) and close(last, tokens)
    with pytest.raises(ValueError, match="layers from -4 to 3, got 4"):
        small.forward_intermediates(video, [4])
    with pytest.raises(ValueError, match=r"\(B, T, H, W, 3\)"):
        small.forward_intermediates(video[0])


def test_gradient_checkpointing_changes_no_gradient(small, rand):
    video, gradients = rand(1, 3, 24, 24, 3), []
    for enable in (False, True):
        small.set_grad_checkpointing(enable)
        small.requires_grad_(True).zero_grad()
        runs = []
        hook = small.spatial_encoder.layers[0].register_forward_pre_hook(lambda m, x, runs=runs: runs.append(1))
        small(video).square().sum().backward()
        hook.remove()
        assert len(runs) == (2 if enable else 1)
        gradients.append([p.grad.clone() for p in small.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_weight_decay_is_for_matrices(small):
    without = small.no_weight_decay()
    assert {"spatial_pos_emb", "temporal_pos_emb", "spatial_ln.scale", "patch_projection.bias"} <= without
    decayed = {n: p for n, p in small.named_parameters() if n not in without}
    assert all(n.endswith("weight") and p.ndim == 2 for n, p in decayed.items()) and len(decayed) == 1 + 4 * 4


@pytest.mark.slow
def test_compiled_layers_give_the_same(small, rand):
    video = rand(2, 4, 24, 24, 3)
    with torch.no_grad():
        expected = small(video)
        compile_layers(small)
        assert close(small(video), expected, 1e-5)
    small.requires_grad_(True)
    small(video).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in small.parameters())


# initialisation


def test_initialisation_is_lecun_normal_as_counted_by_jax():
    model = VideoEncoder(PRESETS["tiny"].config)
    expected = {
        "patch_projection.weight": 12 * 12 * 3,
        "spatial_pos_emb": 64,
        "temporal_pos_emb": 8,
        "spatial_encoder.layers.0.self_attention.qkv.weight": 192 * 3,
        "spatial_encoder.layers.4.self_attention.post.weight": 192 * 3,
        "temporal_encoder.layers.3.ff_layer.ffn_layer1.weight": 192,
        "temporal_encoder.layers.3.ff_layer.ffn_layer2.weight": 768,
    }
    parameters = dict(model.named_parameters())
    for name, fan_in in expected.items():
        assert parameters[name].std().item() == pytest.approx(fan_in**-0.5, rel=0.05), name
        assert parameters[name].abs().max().item() <= 2 / 0.8796 * fan_in**-0.5, name
    assert all(not p.any() for n, p in parameters.items() if n.endswith((".bias", ".scale")))


def test_initialisation_depends_on_the_seed_only():
    config = dataclasses.replace(PRESETS["tiny"].config, num_spatial_layers=1, num_temporal_layers=1)
    one, two = VideoEncoder(config), VideoEncoder(config)
    torch.manual_seed(5)
    two.init_weights(0)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    two.init_weights(1)
    assert not torch.equal(one.patch_projection.weight, two.patch_projection.weight)


def test_built_without_memory_then_filled_is_the_same():
    config = dataclasses.replace(PRESETS["tiny"].config, num_spatial_layers=1, num_temporal_layers=1)
    with torch.device("meta"):
        empty = VideoEncoder(config)
    filled = empty.to_empty(device="cpu")
    filled.init_weights()
    assert all(torch.equal(a, b) for a, b in zip(VideoEncoder(config).parameters(), filled.parameters(), strict=True))
