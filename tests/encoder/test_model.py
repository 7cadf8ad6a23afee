from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from behavior_prism.encoder import PRESETS, VideoEncoder, VideoEncoderConfig, load_weights, preset
from behavior_prism.encoder.model import resize_matrix

pytestmark = pytest.mark.torch

SMALL = VideoEncoderConfig(
    patch_size=6,
    pos_emb_shape=(4, 4, 4),
    model_dim=24,
    num_spatial_layers=3,
    num_temporal_layers=2,
    num_heads=4,
    mlp_dim=48,
)
CASES = {
    "encoder_scan": ("case0", "case1", "case2", "case3"),
    "encoder_unrolled": ("case0",),
    "encoder_tight_cap": ("case0",),
}


@pytest.fixture(scope="module")
def small() -> VideoEncoder:
    return VideoEncoder(SMALL).eval()


@pytest.fixture(scope="session")
def reference(shared_data) -> Path:
    return shared_data.parent / "reference" / "videoprism"


@pytest.mark.shared
@pytest.mark.parametrize(("name", "case"), [(n, c) for n, cases in CASES.items() for c in cases])
@torch.no_grad()
def test_agrees_with_the_official_outputs(reference, name, case):
    settings = json.loads((reference / f"{name}.json").read_text())["config"]
    settings.pop("scan")
    model = VideoEncoder(VideoEncoderConfig(**settings)).eval()
    load_weights(reference / f"{name}_weights.npz", model)
    with np.load(reference / f"{name}_io.npz") as io:
        video = torch.from_numpy(io[f"{case}/video"])
        paddings = torch.from_numpy(io[f"{case}/frame_paddings"]) if f"{case}/frame_paddings" in io else None
        expected = {"tokens": io[f"{case}/embeddings"], "spatial": io.get(f"{case}/spatial_features")}
    got = model.forward_features(video, paddings)._asdict()
    assert paddings is not None or case != "case0" or name != "encoder_scan"
    for which, official in expected.items():
        if official is None:
            continue
        ours = got[which].reshape(official.shape).numpy()
        error = np.abs(ours - official)
        cosine = (ours * official).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(official, axis=-1)
        assert error.max() <= 2e-5, which
        assert error.mean() <= 2e-6, which
        assert cosine.min() >= 0.999999, which


@pytest.mark.parametrize(("name", "count"), [("base", 114_365_184), ("large", 353_965_056)])
def test_sizes_of_the_released_models(name, count):
    with torch.device("meta"):
        model = VideoEncoder(preset(f"videoprism-{name}").config)
    assert sum(p.numel() for p in model.parameters()) == count


def test_tiny_is_tiny():
    tiny = VideoEncoder(PRESETS["tiny"].config)
    assert 3.5e6 < sum(p.numel() for p in tiny.parameters()) < 4.5e6
    assert tiny(torch.rand(1, 8, 96, 96, 3)).shape == (1, 8, 64, 192)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 1, 24, 24), (2, 7, 24, 48), (1, 4, 6, 30), (1, 12, 12, 6)])
def test_any_length_and_any_rectangle(small, shape):
    b, t, h, w = shape
    out = small(torch.rand(b, t, h, w, 3))
    assert out.shape == (b, t, (h // 6) * (w // 6), 24)
    assert bool(out.isfinite().all())


@torch.no_grad()
def test_the_two_towers_make_the_whole(small):
    video = torch.rand(2, 4, 24, 24, 3)
    apart = small.forward_temporal(small.forward_spatial(video))
    assert torch.equal(apart, small(video))


@torch.no_grad()
def test_a_frame_passes_the_spatial_tower_alone(small):
    video = torch.rand(1, 4, 24, 24, 3)
    alone = torch.cat([small.forward_spatial(video[:, i : i + 1]) for i in range(4)], dim=1)
    torch.testing.assert_close(alone, small.forward_spatial(video), atol=1e-5, rtol=0)


@torch.no_grad()
def test_time_matters(small):
    video = torch.rand(1, 4, 24, 24, 3)
    assert not torch.allclose(small(video).flip(1), small(video.flip(1)), atol=1e-3)


@torch.no_grad()
def test_what_is_in_padded_frames_does_not_matter(small):
    video = torch.rand(2, 4, 24, 24, 3)
    paddings = torch.tensor([[0.0, 0, 1, 1], [0, 0, 0, 0]])
    other = video.clone()
    other[0, 2:] = torch.rand(2, 24, 24, 3)
    torch.testing.assert_close(small(video, paddings)[0, :2], small(other, paddings)[0, :2], atol=1e-5, rtol=0)
    assert not torch.allclose(small(video)[0, :2], small(other)[0, :2], atol=1e-3)


def test_gradients_reach_every_parameter():
    model = VideoEncoder(SMALL)
    model(torch.rand(1, 4, 24, 24, 3)).square().mean().backward()
    assert all(
        p.grad is not None and bool(p.grad.abs().sum() > 0) for n, p in model.named_parameters() if "key.bias" not in n
    )


def test_the_cap_is_felt():
    torch.manual_seed(0)
    model = VideoEncoder(SMALL)
    capped = VideoEncoder(replace(SMALL, atten_logit_cap=0.1))
    capped.load_state_dict(model.state_dict())
    video = torch.rand(1, 4, 24, 24, 3)
    with torch.no_grad():
        assert not torch.allclose(model(video), capped(video), atol=1e-4)


def test_initialisation_depends_on_the_seed_alone():
    a, b = VideoEncoder(SMALL), VideoEncoder(SMALL)
    torch.manual_seed(3)
    b.init_weights(0)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    b.init_weights(1)
    assert not torch.equal(a.patch_projection.weight, b.patch_projection.weight)
    assert a.patch_projection.weight.std().item() == pytest.approx(108**-0.5, rel=0.1)


@pytest.mark.parametrize(("size", "new"), [(4, 8), (8, 4), (4, 3), (16, 1), (1, 5), (16, 11)])
def test_resizing_is_that_of_torch_where_torch_is_right(size, new):
    line = torch.randn(1, 2, 1, size).contiguous()
    expected = torch.nn.functional.interpolate(
        line, size=(1, new), mode="bilinear", align_corners=False, antialias=True
    )
    torch.testing.assert_close(line @ resize_matrix(size, new).T, expected, atol=1e-5, rtol=0)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (torch.rand(4, 24, 24, 3), r"expected video of shape \(B, T, H, W, 3\), got \(4, 24, 24, 3\)"),
        (torch.rand(1, 3, 4, 24, 24), r"expected video of shape"),
        (torch.rand(1, 0, 24, 24, 3), "at least one clip of one frame"),
        (torch.rand(1, 4, 25, 24, 3), r"multiples of the patch \(6\), got 25x24"),
        (torch.rand(1, 4, 24, 24, 3) * 255, r"expected values in \[0, 1\], got"),
        (torch.full((1, 4, 24, 24, 3), float("nan")), r"expected values in \[0, 1\], got nan"),
        (torch.zeros(1, 4, 24, 24, 3, dtype=torch.uint8), "use encoder.preprocess"),
    ],
)
def test_bad_video(small, video, message):
    with pytest.raises(ValueError, match=message):
        small(video)


def test_bad_paddings(small):
    with pytest.raises(ValueError, match=r"expected frame_paddings of shape \(1, 4\), got \(1, 3\)"):
        small(torch.rand(1, 4, 24, 24, 3), torch.zeros(1, 3))


def test_bad_spatial_tokens(small):
    with pytest.raises(ValueError, match=r"expected spatial tokens of shape"):
        small.forward_temporal(torch.rand(1, 4, 16, 25))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_dim": 25}, r"model_dim \(25\) must be divisible by num_heads \(4\)"),
        ({"patch_size": 0}, "patch_size: expected a positive number, got 0"),
        ({"pos_emb_shape": (4, 4)}, "pos_emb_shape: expected three positive numbers"),
        ({"norm_policy": "post"}, "norm_policy: expected 'pre'"),
        ({"atten_logit_cap": -1.0}, "atten_logit_cap"),
    ],
)
def test_bad_config(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_unknown_preset():
    with pytest.raises(ValueError, match="expected one of .*'tiny'.* got 'huge'"):
        preset("huge")
