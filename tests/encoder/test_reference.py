"""Parity with the official Flax implementation."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from behavior_prism.encoder import (
    VideoClassifierConfig,
    VideoEncoder,
    VideoEncoderConfig,
    VideoTextConfig,
    export,
    load_weights,
)
from behavior_prism.encoder.checkpoints import build

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


def load_any(folder, name):
    stored = json.loads((folder / f"{name}.json").read_text())
    config = {key: value for key, value in stored["config"].items() if key != "scan"}
    if "num_classes" in stored:
        sizes = VideoClassifierConfig(**config, num_classes=stored["num_classes"])
    else:
        sizes = VideoTextConfig(**config)
    model = build(sizes)
    load_weights(folder / f"{name}_weights.npz", model)
    with np.load(folder / f"{name}_io.npz", allow_pickle=False) as file:
        io = {key: torch.from_numpy(file[key]) for key in file.files}
    return model.eval().requires_grad_(False), io


def assert_same(ours, official):
    ours, official = ours.double(), official.double().view(ours.shape)
    assert (ours - official).abs().max() <= 2e-5
    assert (ours - official).abs().mean() <= 2e-6
    assert torch.cosine_similarity(ours, official, dim=-1).min() >= 0.999999


@pytest.mark.parametrize("kind", ["normalized", "raw"])
@pytest.mark.parametrize("name", ["clip", "clip_primer_hybrid"])
def test_video_text_model_agrees_with_flax(reference_dir, name, kind):
    model, io = load_any(reference_dir, name)
    ids, paddings = io["text_token_ids"], io["text_paddings"]
    out = model(io["video"], ids, paddings, normalize=kind == "normalized", frame_embeddings=True)
    for field in ("video_embeddings", "text_embeddings", "frame_embeddings"):
        assert_same(getattr(out, field), io[f"{kind}/{field}"])
    assert_same(out.tokens.flatten(1, 2), io["spatiotemporal_features"])
    assert_same(out.spatial.flatten(1, 2), io["spatial_features"])


def test_classifier_agrees_with_flax(reference_dir):
    model, io = load_any(reference_dir, "classifier")
    out = model(io["video"])
    assert_same(out.logits, io["logits"])
    assert_same(out.embeddings, io["global_embeddings"])
    assert_same(out.tokens.flatten(1, 2), io["spatiotemporal_features"])
    assert_same(out.spatial.flatten(1, 2), io["spatial_features"])


@pytest.mark.parametrize("name", ["clip", "clip_primer_hybrid", "classifier"])
def test_layout_is_both_ways_on_official_files(reference_dir, name):
    model, _ = load_any(reference_dir, name)
    with np.load(reference_dir / f"{name}_weights.npz", allow_pickle=False) as file:
        official = dict(file)
    ours = export(model, "flax")
    assert ours.keys() == official.keys()
    assert all(np.array_equal(ours[key], official[key]) for key in official)


def test_the_bounds_see_other_sinusoids_and_a_text_that_is_not_causal(reference_dir, monkeypatch):
    model, io = load_any(reference_dir, "clip")
    ids, paddings = io["text_token_ids"], io["text_paddings"]
    official = io["normalized/text_embeddings"]

    def worst():
        return (model(text_token_ids=ids, text_paddings=paddings).text_embeddings - official).abs().max()

    assert worst() <= 2e-5
    half = torch.exp(torch.arange(12) * (-np.log(10_000.0) / 12))  # as transformers has it
    angles = torch.arange(ids.shape[1])[:, None] * half
    with monkeypatch.context() as other:
        other.setattr("behavior_prism.encoder.text.sinusoids", lambda *_: torch.cat([angles.sin(), angles.cos()], 1))
        assert worst() > 1e-4
    for layer in model.text_encoder.unimodal_transformer.layers:
        layer.self_attention.causal = False
    assert worst() > 1e-3


def test_every_stored_case_is_tested(reference_dir):
    stored = [
        (path.stem, case)
        for path in reference_dir.glob("encoder_*.json")
        for case in range(len(json.loads(path.read_text())["cases"]))
    ]
    assert sorted(stored) == sorted(CASES)
    others = {path.stem for path in reference_dir.glob("*.json")} - {name for name, _ in CASES}
    assert others == {"clip", "clip_primer_hybrid", "classifier"}


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
