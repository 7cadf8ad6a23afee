"""Weights of image models: tokens against a ViT written here and against transformers' own."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from contrastive_pairs import SIZES  # tests/support/
from image_weights import vit
from safetensors.torch import load_file, save_file

from behavior_prism.encoder import VideoEncoder
from behavior_prism.encoder.pretraining.image_tower import load_image_tower

pytestmark = pytest.mark.torch

NO_CAP = dataclasses.replace(SIZES.video, num_spatial_layers=2, atten_logit_cap=0.0)
MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def vit_tokens(w, images_BHWC, heads=4):
    """timm's forward pass without class token, written with torch's functions: (B, N, D)."""
    pixels = (images_BHWC - torch.tensor(MEAN)) / torch.tensor(STD)
    x = F.conv2d(pixels.permute(0, 3, 1, 2), w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=6)
    x = x.flatten(2).transpose(1, 2) + w["pos_embed"][:, -x.shape[2] * x.shape[3] :]
    width = x.shape[-1]
    for i in range(2):
        b = {name.removeprefix(f"blocks.{i}."): value for name, value in w.items() if name.startswith(f"blocks.{i}.")}
        y = F.layer_norm(x, (width,), b["norm1.weight"], b["norm1.bias"], 1e-6)
        qkv = F.linear(y, b["attn.qkv.weight"], b["attn.qkv.bias"])
        q, k, v = qkv.view(*y.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + F.linear(y, b["attn.proj.weight"], b["attn.proj.bias"]) * b.get("ls1.gamma", 1.0)
        y = F.layer_norm(x, (width,), b["norm2.weight"], b["norm2.bias"], 1e-6)
        y = F.gelu(F.linear(y, b["mlp.fc1.weight"], b["mlp.fc1.bias"]))
        x = x + F.linear(y, b["mlp.fc2.weight"], b["mlp.fc2.bias"]) * b.get("ls2.gamma", 1.0)
    return F.layer_norm(x, (width,), w["norm.weight"], w["norm.bias"], 1e-6)


def write(tmp_path, weights, name="vit.safetensors"):
    save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("options", [{}, {"class_token": True}, {"layer_scale": True}])
def test_tokens_are_those_of_the_vit(tmp_path, rand, options):
    weights, images = vit(**options), rand(3, 24, 24, 3)
    encoder = VideoEncoder(NO_CAP)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    report = load_image_tower(encoder, write(tmp_path, weights), mean=MEAN, std=STD)
    expected = vit_tokens(weights, images)
    with torch.no_grad():
        assert (encoder.forward_spatial(images) - expected).abs().max() < 1e-4
        capped = VideoEncoder(dataclasses.replace(NO_CAP, atten_logit_cap=50.0))
        load_image_tower(capped, write(tmp_path, weights), mean=MEAN, std=STD)
        difference = (capped.forward_spatial(images) - expected).abs()
    assert 1e-6 < difference.max() < 0.05  # the cap: small, and there
    names = dict(encoder.named_parameters())
    assert set(report.loaded) | set(report.untouched) == set(names) and len(report.loaded) == 4 + 2 * 12 + 1
    assert all(name.startswith("temporal_") for name in report.untouched)
    assert all(torch.equal(names[name], before[name]) for name in report.untouched)
    assert not any(torch.equal(names[name], before[name]) for name in report.loaded)
    assert report.unused == (("cls_token", "head.weight") if "class_token" in options else ("head.weight",))


@pytest.mark.parametrize("prefix", ["", "vision_model."])
def test_tokens_are_those_of_transformers(tmp_path, rand, prefix):
    """SigLIP's vision tower is a plain ViT in CLIP's layout: with the exact GELU it is ours without the cap."""
    transformers = pytest.importorskip("transformers")
    config = transformers.SiglipVisionConfig(
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=24,
        patch_size=6,
        hidden_act="gelu",
    )
    torch.manual_seed(0)
    peer = transformers.SiglipVisionModel(config).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter += 0.2 * torch.randn(parameter.shape)
    peer.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("vision_model."): value for name, value in stored.items()}
    more = {"logit_scale": torch.ones(1), "text_model.embeddings.token_embedding.weight": torch.ones(3, 2)}
    path = write(tmp_path, {**{prefix + name: value for name, value in bare.items()}, **more}, "prefixed.safetensors")

    encoder, images = VideoEncoder(NO_CAP), rand(2, 24, 24, 3)
    report = load_image_tower(encoder, path, mean=(0.5,) * 3, std=(0.5,) * 3)
    with torch.no_grad():
        expected = peer(pixel_values=(images.permute(0, 3, 1, 2) - 0.5) / 0.5).last_hidden_state
        assert (encoder.forward_spatial(images) - expected).abs().max() < 1e-4
    assert {"logit_scale", "text_model.embeddings"} < set(report.unused)


def test_clip_of_transformers_has_parts_without_a_place(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(
        hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=24, patch_size=6
    )
    transformers.CLIPVisionModel(config).save_pretrained(tmp_path)
    encoder = VideoEncoder(NO_CAP)
    report = load_image_tower(encoder, tmp_path / "model.safetensors", mean=MEAN, std=STD)
    assert report.unused == ("embeddings.class_embedding", "pre_layrnorm.bias", "pre_layrnorm.weight")
    # no bias there: only what normalising the pixels takes away
    weight = encoder.patch_projection.weight.detach().view(24, 36, 3)
    assert torch.allclose(encoder.patch_projection.bias, -(weight * torch.tensor(MEAN)).sum((1, 2)), atol=1e-5)


def test_positions_of_another_grid_are_resized_as_the_encoder_resizes_its_own(tmp_path):
    own, other = VideoEncoder(NO_CAP), VideoEncoder(dataclasses.replace(NO_CAP, pos_emb_shape=(4, 6, 5)))
    path = write(tmp_path, vit(class_token=True))
    for encoder in (own, other):
        load_image_tower(encoder, path, mean=MEAN, std=STD)
    assert torch.allclose(other.spatial_pos_emb, own._spatial_positions(6, 5), atol=1e-6)


def without(name):
    return {key: value for key, value in vit().items() if key != name}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (vit(patch=8), r"patches of 6 pixels, three colours and 24 channels, .* got \(24, 3, 8, 8\)"),
        (vit(width=32), r"got \(32, 3, 6, 6\)"),
        (vit(depth=3), "expected 2 layers, got 3"),
        (vit(depth=1), "expected 2 layers, got 1"),
        (vit(hidden=96), r"ff_layer.ffn_layer1.weight: expected shape \(48, 24\), got \(96, 24\)"),
        ({"weight": torch.zeros(2)}, "in timm's or transformers' layout, got a file without patch_embed.proj.weight"),
        (without("blocks.1.attn.proj.bias"), "expected blocks.1.attn.proj.bias .*, got none"),
        ({**vit(), "blocks.0.attn.q_norm.weight": torch.ones(6)}, "plain ViT, got blocks.0.attn.q_norm.weight"),
        ({**vit(), "pos_embed": torch.zeros(1, 18, 24)}, "a square grid and at most one for a class token, got 18"),
        ({**vit(), "norm.bias": torch.full((24,), torch.nan)}, "spatial_ln.bias: expected finite numbers"),
        ({**vit(), "norm.bias": torch.zeros(24, dtype=torch.int32)}, "norm.bias: expected floats, got I32"),
    ],
)
def test_what_does_not_fit_is_one_clear_line_and_changes_nothing(tmp_path, weights, message):
    encoder = VideoEncoder(NO_CAP)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    path = write(tmp_path, weights)
    with pytest.raises(ValueError, match=message) as error:
        load_image_tower(encoder, path, mean=MEAN, std=STD)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_other_files_are_refused(tmp_path):
    encoder = VideoEncoder(NO_CAP)
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_image_tower(encoder, tmp_path / "none.safetensors", mean=MEAN, std=STD)
    torch.save(vit(), tmp_path / "vit.pt")
    with pytest.raises(ValueError, match="expected an .npz"):
        load_image_tower(encoder, tmp_path / "vit.pt", mean=MEAN, std=STD)
    cut = write(tmp_path, vit())
    cut.write_bytes(cut.read_bytes()[:5000])
    with pytest.raises(ValueError, match="expected a .safetensors file"):
        load_image_tower(encoder, cut, mean=MEAN, std=STD)
    for mean, std in (((0.5,), STD), (MEAN, (0.0, 1.0, 1.0)), ((float("nan"),) * 3, STD)):
        with pytest.raises(ValueError, match="expected three finite numbers"):
            load_image_tower(encoder, cut, mean=mean, std=std)
