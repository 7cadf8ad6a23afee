"""The video-text model beyond its parity: sides alone, bad input, training."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from behavior_prism.encoder import PRESETS, VideoClassifier, VideoClassifierConfig, VideoTextConfig, VideoTextModel
from behavior_prism.encoder.checkpoints import build

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def config():
    return VideoTextConfig(
        patch_size=6,
        pos_emb_shape=(4, 4, 4),
        model_dim=24,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_heads=4,
        mlp_dim=48,
        num_auxiliary_layers=1,
        vocabulary_size=50,
        num_unimodal_layers=2,
    )


@pytest.fixture
def model(config):
    return VideoTextModel(config).eval().requires_grad_(False)


IDS = torch.tensor([[4, 8, 2, 0], [9, 0, 0, 0]])
PADDINGS = torch.tensor([[0, 0, 0, 1], [0, 1, 1, 1]])


def test_each_side_alone_is_the_same_as_both(model, rand):
    video = rand(3, 4, 24, 24, 3)  # three clips, two texts: their numbers need not agree
    both = model(video, IDS, PADDINGS)
    alone_video, alone_text = model(video), model(text_token_ids=IDS, text_paddings=PADDINGS)
    assert torch.equal(both.video_embeddings, alone_video.video_embeddings)
    assert torch.equal(both.text_embeddings, alone_text.text_embeddings)
    assert both.video_embeddings.shape == (3, 24) and both.text_embeddings.shape == (2, 24)
    assert alone_video.text_embeddings is None and alone_text.video_embeddings is None
    assert both.frame_embeddings is None
    assert torch.allclose(both.video_embeddings.norm(dim=-1), torch.ones(3))
    assert torch.equal(model.embed_tokens(both.tokens), both.video_embeddings)


def test_padding_of_texts_does_not_matter(model):
    longer = torch.cat([IDS, torch.full((2, 3), 17)], dim=1)
    paddings = torch.cat([PADDINGS, torch.ones(2, 3, dtype=torch.int64)], dim=1)
    short, long = (
        model(text_token_ids=i, text_paddings=p).text_embeddings for i, p in ((IDS, PADDINGS), (longer, paddings))
    )
    assert torch.allclose(short, long, atol=1e-6)


def test_gradients_reach_every_parameter(config, rand):
    model = VideoTextModel(config)
    model.set_grad_checkpointing()
    out = model(rand(2, 4, 24, 24, 3), IDS, PADDINGS)
    (out.video_embeddings @ out.text_embeddings.T).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    without = model.no_weight_decay()
    assert {"text_encoder.cls_emb", "contrastive_vision_pooler.pooling_attention.per_dim_scale"} <= without
    assert "text_encoder.token_emb" not in without


def test_without_auxiliary_layers(config, rand):
    model = VideoTextModel(dataclasses.replace(config, num_auxiliary_layers=0)).eval()
    assert model.auxiliary_encoder is None
    assert model(rand(1, 2, 24, 24, 3)).video_embeddings.shape == (1, 24)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "a video, a text or both, got neither"),
        ({"text_token_ids": IDS}, "text_token_ids and text_paddings together, got one"),
        ({"text_token_ids": IDS[0], "text_paddings": PADDINGS[0]}, r"of shape \(B, L\), got \(4,\)"),
        ({"text_token_ids": IDS[:, :0], "text_paddings": PADDINGS[:, :0]}, r"of shape \(B, L\), got \(2, 0\)"),
        ({"text_token_ids": IDS.float(), "text_paddings": PADDINGS}, "as whole numbers, got torch.float32"),
        ({"text_token_ids": IDS, "text_paddings": PADDINGS[:1]}, r"shape \(2, 4\), got \(1, 4\)"),
        ({"text_token_ids": IDS + 50, "text_paddings": PADDINGS}, "from 0 to 49, got 50 to 59: is the tokenizer"),
        ({"text_token_ids": IDS, "text_paddings": PADDINGS * 0.5}, r"0 \(token\) and 1 \(padding\) only"),
        ({"text_token_ids": IDS.to("meta"), "text_paddings": PADDINGS}, "text_token_ids on cpu as the model, got meta"),
        ({"video": torch.zeros(1, 2, 24, 24, 3, device="meta")}, "video on cpu as the model, got meta"),
    ],
)
def test_bad_input_is_one_clear_line(model, inputs, message):
    with pytest.raises(ValueError, match=message) as error:
        model(**inputs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("base", 114_365_184), ("large", 353_965_056), ("lvt-base", 247_623_424), ("lvt-large", 579_877_120)],
)
def test_sizes_of_released_models(name, parameters):
    assert sum(p.numel() for p in build(PRESETS[name].config).parameters()) == parameters


def test_the_giant_is_normalised_twice():
    text = build(PRESETS["lvt-giant"].config).text_encoder.unimodal_transformer
    assert len(text.layers) == 16 and hasattr(text.layers[0], "post_layer_norm")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary_size": 0}, "vocabulary_size: expected a whole number of at least 1, got 0"),
        ({"num_auxiliary_layers": -1}, "num_auxiliary_layers: expected a whole number of at least 0, got -1"),
        ({"enable_causal_atten": False}, "enable_causal_atten: expected True, got False"),
        ({"norm_policy": "post"}, "norm_policy: expected 'pre' or 'primer_hybrid', got 'post'"),
        ({"num_heads": 5}, "divisible by num_heads"),
    ],
)
def test_bad_sizes_are_refused(config, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change)


def test_classifier_learns_from_its_pooler(config, rand):
    sizes = VideoClassifierConfig(**dataclasses.asdict(config.video), num_classes=3)
    model = VideoClassifier(sizes)
    out = model(rand(2, 4, 24, 24, 3), torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]]))
    assert out.logits.shape == (2, 3) and out.embeddings.shape == (2, 24)
    out.logits.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(ValueError, match="num_classes: expected a whole number of at least 1, got 0"):
        dataclasses.replace(sizes, num_classes=0)


def test_length_one_in_half_precision_too(model):
    from behavior_prism.encoder.video_text import _normalized

    x = torch.full((2, 768), 30.0, dtype=torch.float16)
    x[1] = 0
    out = _normalized(x, True).float()
    assert out[0].norm() == pytest.approx(1, abs=1e-2) and not out[1].any()


def test_a_frozen_model_runs_in_parts_without_being_told(model, rand, monkeypatch):
    from behavior_prism.encoder import transformer

    monkeypatch.setattr(transformer, "MAX_ELEMENTS_CPU", 1)
    calls, run = [], transformer.Transformer._run
    monkeypatch.setattr(
        transformer.Transformer, "_run", lambda self, x, *r: (calls.append(len(x)), run(self, x, *r))[1]
    )
    model.vision_encoder(rand(1, 4, 24, 24, 3))  # gradients are on, but nobody asks for any
    assert set(calls) == {1}
