"""Beside a peer: the port of VideoPrism in ``transformers``, with weights moved both ways."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from behavior_prism.encoder import (
    PRESETS,
    VideoEncoder,
    VideoTextModel,
    export,
    find_release,
    load_encoder,
    load_model,
    load_weights,
    preset,
)
from behavior_prism.encoder.checkpoints import build, find_preset

pytestmark = pytest.mark.torch
transformers = pytest.importorskip("transformers", minversion="5.15", reason="transformers has VideoPrism from 5.15 on")


def vision_config(config, frames, size):
    return transformers.VideoPrismVisionConfig(
        image_size=size,
        num_frames=frames,
        tubelet_size=[1, config.patch_size, config.patch_size],
        hidden_size=config.model_dim,
        num_spatial_layers=config.num_spatial_layers,
        num_temporal_layers=config.num_temporal_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=config.mlp_dim,
        attn_implementation="eager",
    )


def shaken(model):
    """Random weights in which biases, scales and embeddings do something too."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2 or "position" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval().requires_grad_(False)


def write(folder, model):
    state = {name: value.contiguous().clone() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder / "model.safetensors"


@pytest.mark.slow
def test_base_agrees_at_full_size(tmp_path):
    """16 x 288 x 288, all 4,096 tokens of 768 channels; the port's own random weights, moved into ours and back."""
    size = PRESETS["base"]
    theirs = shaken(transformers.VideoPrismVisionModel(vision_config(size.config, 16, 288)))
    path = write(tmp_path, theirs)
    assert find_preset(path) == "base"
    ours = load_model(path).requires_grad_(False)
    video = torch.rand(1, 16, 288, 288, 3, generator=torch.Generator().manual_seed(1))
    out = ours(video).flatten(1, 2).double()
    expected = theirs(video.permute(0, 1, 4, 2, 3).contiguous()).last_hidden_state.double()
    assert out.shape == expected.shape == (1, 4096, 768)
    assert (out - expected).abs().max() <= 1e-4  # full outputs have outliers; see the bounds others use
    assert (out - expected).abs().mean() <= 2e-6
    assert torch.cosine_similarity(out, expected, dim=-1).min() >= 0.999999
    back = export(ours, "transformers")
    state = theirs.state_dict()
    assert back.keys() == state.keys()
    assert all(torch.equal(torch.from_numpy(back[name]), state[name]) for name in back)


@pytest.fixture(scope="module")
def small_clip():
    """A small video-text model of the port, and our configuration of the same sizes."""
    config = dataclasses.replace(
        preset("lvt-tiny").config,
        vocabulary_size=120,
        num_spatial_layers=2,
        num_temporal_layers=1,
        num_unimodal_layers=2,
        num_auxiliary_layers=2,
    )
    vision = vision_config(config, 8, 96)
    vision.num_auxiliary_layers = 2
    text = transformers.VideoPrismTextConfig(
        vocab_size=120,
        hidden_size=config.model_dim,
        num_hidden_layers=2,
        num_attention_heads=config.num_heads,
        intermediate_size=4 * config.model_dim,
        attn_implementation="eager",
    )
    both = transformers.VideoPrismConfig(vision_config=vision.to_dict(), text_config=text.to_dict())
    both._attn_implementation = "eager"
    return shaken(transformers.VideoPrismClipModel(both)), config


def test_video_text_model_agrees_where_the_port_follows_flax(tmp_path, small_clip):
    theirs, config = small_clip
    ours = build(config)
    assert isinstance(ours, VideoTextModel)
    load_weights(write(tmp_path, theirs), ours)
    ours.eval().requires_grad_(False)
    video = torch.rand(2, 8, 96, 96, 3, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[5, 9, 110, 3, 0, 0], [7, 7, 1, 90, 44, 2]])
    paddings = torch.tensor([[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]])
    out = ours(video, ids, paddings)
    expected = theirs(
        pixel_values_videos=video.permute(0, 1, 4, 2, 3).contiguous(), input_ids=ids, attention_mask=1 - paddings
    )
    assert torch.allclose(out.video_embeddings, expected.video_embeds.view(2, -1), atol=2e-6)
    # the port's sinusoids differ from Flax, so that texts agree only nearly
    cosine = torch.cosine_similarity(out.text_embeddings, expected.text_embeds.view(2, -1), dim=-1)
    assert cosine.min() > 0.999
    back = export(ours, "transformers")
    state = {n: v for n, v in theirs.state_dict().items() if "position_embedding" not in n or "text" not in n}
    state = {n: v for n, v in state.items() if n != "text_model.embeddings.position_ids"}
    assert back.keys() == state.keys()
    assert all(torch.equal(torch.from_numpy(back[name]), state[name]) for name in back)


def test_video_text_file_is_refused_as_a_video_encoder(tmp_path, small_clip):
    path = write(tmp_path, small_clip[0])
    encoder = VideoEncoder(small_clip[1].video)
    with pytest.raises(ValueError, match=r"looks like a video-text \(LvT\) checkpoint, not a VideoEncoder's"):
        load_weights(path, encoder)


def test_port_of_a_named_size_comes_through_the_door(tmp_path):
    config = PRESETS["tiny"].config
    theirs = shaken(transformers.VideoPrismVisionModel(vision_config(config, 8, 96)))
    path = write(tmp_path, theirs)
    loaded = load_encoder(path, device="cpu")
    assert (loaded.name, loaded.trained) == ("tiny", True)
    video = torch.rand(1, 8, 96, 96, 3)
    expected = theirs(video.permute(0, 1, 4, 2, 3).contiguous()).last_hidden_state
    assert torch.allclose(loaded.model(video).flatten(1, 2), expected, atol=1e-5)


def test_pinned_revisions_are_for_this_layout():
    release = find_release("google/videoprism-base-f16r288")
    assert release is not None
    assert release.file == "model.safetensors" and len(release.revision) == 40
