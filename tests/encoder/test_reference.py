"""Parity with the official Flax implementation."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from behavior_prism.encoder import VideoEncoder, VideoEncoderConfig, load_weights

pytestmark = [pytest.mark.torch, pytest.mark.shared]

CASES = [("encoder_scan", i) for i in range(4)] + [("encoder_unrolled", 0), ("encoder_tight_cap", 0)]


def load(folder, name, **changes):
    config = json.loads((folder / f"{name}.json").read_text())["config"]
    config.pop("scan")
    model = VideoEncoder(dataclasses.replace(VideoEncoderConfig(**config), **changes)).eval().requires_grad_(False)
    load_weights(folder / f"{name}_weights.npz", model)
    return model


def read_case(folder, name, case):
    with np.load(folder / f"{name}_io.npz", allow_pickle=False) as file:
        prefix = f"case{case}/"
        return {key.removeprefix(prefix): torch.from_numpy(file[key]) for key in file.files if key.startswith(prefix)}


def errors(ours_BTND, official_BND):
    """Maximal and mean error and the smallest cosine of a token; the official order of tokens is (T N)."""
    ours, official = ours_BTND.flatten(1, 2).double(), official_BND.double()
    assert ours.shape == official.shape
    difference = (ours - official).abs()
    return difference.max(), difference.mean(), torch.cosine_similarity(ours, official, dim=-1).min()


@pytest.mark.parametrize(("name", "case"), CASES)
def test_agrees_with_flax(reference_dir, name, case):
    io = read_case(reference_dir, name, case)
    out = load(reference_dir, name).forward_features(io["video"], io.get("frame_paddings"))
    for ours, official in ((out.tokens, io["embeddings"]), (out.spatial, io["spatial_features"])):
        worst, mean, cosine = errors(ours, official)
        assert worst <= 2e-5
        assert mean <= 2e-6
        assert cosine >= 0.999999


def test_every_stored_case_is_tested(reference_dir):
    stored = [
        (path.stem, case)
        for path in reference_dir.glob("encoder_*.json")
        for case in range(len(json.loads(path.read_text())["cases"]))
    ]
    assert sorted(stored) == sorted(CASES)


def test_the_bounds_see_a_missing_cap(reference_dir):
    io = read_case(reference_dir, "encoder_tight_cap", 0)
    without = load(reference_dir, "encoder_tight_cap", atten_logit_cap=0.0)
    worst, mean, _ = errors(without(io["video"]), io["embeddings"])
    assert worst > 1e-3 and mean > 1e-4


def test_the_bounds_see_missing_paddings(reference_dir):
    io = read_case(reference_dir, "encoder_scan", 0)
    assert io["frame_paddings"].any()
    worst, mean, _ = errors(load(reference_dir, "encoder_scan")(io["video"]), io["embeddings"])
    assert worst > 1e-3 and mean > 1e-4


def test_video_text_checkpoint_is_refused_by_name(reference_dir):
    model = load(reference_dir, "encoder_scan")
    with pytest.raises(ValueError, match=r"clip_weights\.npz.*video-text \(LvT\)"):
        load_weights(reference_dir / "clip_weights.npz", model)
