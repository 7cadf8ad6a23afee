"""Text tuning: what is frozen stays, what is learned learns, and where it starts from."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from contrastive_pairs import SIZES, objective, pairs  # tests/support/

from behavior_prism.encoder import VideoEncoder, VideoTextModel
from behavior_prism.encoder.pretraining.contrastive import ContrastiveConfig
from behavior_prism.encoder.pretraining.text_tuning import TextTuningObjective, assemble_text_tuning

pytestmark = pytest.mark.torch

JOINT = dataclasses.replace(SIZES, num_auxiliary_layers=1)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_the_video_tower_stays_and_all_else_learns(chunk_size):
    stage = objective(ContrastiveConfig(chunk_size=chunk_size), JOINT, TextTuningObjective)
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    learned = [p for p in stage.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=1e-3)
    stage.backward(pairs(8))
    optimiser.step()
    assert all(p.grad is None for p in stage.model.vision_encoder.parameters())
    for name, value in stage.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(stage.frozen), name


def test_gradients_are_those_of_stage_1():
    batch = pairs(6)
    tuning, stage_1 = (objective(sizes=JOINT, kind=k) for k in (TextTuningObjective, type(objective())))
    tuned, whole = tuning.backward(batch), stage_1.backward(batch)
    assert float(tuned["loss"]) == pytest.approx(float(whole["loss"]), abs=1e-6)
    gradients = dict(stage_1.named_parameters())
    for name, p in tuning.named_parameters():
        if p.requires_grad:
            assert torch.allclose(p.grad, gradients[name].grad, atol=1e-6), name


def test_learns_from_frozen_tokens():
    torch.manual_seed(0)
    batch = pairs(16)
    stage = TextTuningObjective(VideoTextModel(SIZES))
    optimiser = torch.optim.AdamW([p for p in stage.parameters() if p.requires_grad], lr=3e-3, weight_decay=0.0)
    first = None
    for _ in range(40):
        optimiser.zero_grad()
        loss = float(stage.backward(batch)["loss"])
        first = first or loss
        optimiser.step()
    assert loss < 0.5 * first


def test_names_without_decay_are_learned():
    stage = objective(sizes=JOINT, kind=TextTuningObjective)
    learned = {name for name, p in stage.named_parameters() if p.requires_grad}
    assert stage.no_weight_decay() <= learned and "log_scale" in learned
    assert "model.auxiliary_encoder.layers.0.layer_norm.scale" in stage.no_weight_decay()


def test_starts_from_stage_1_and_stage_2():
    stage_1, batch = objective().model, pairs(3)
    stage_2 = VideoEncoder(SIZES.video)
    stage_2.init_weights(seed=9)
    model = assemble_text_tuning(stage_1, stage_2, num_auxiliary_layers=2)
    assert model.config.num_auxiliary_layers == 2
    video = batch["video"].float() / 255
    got = model(video, batch["token_ids"], batch["text_paddings"])
    assert torch.equal(got.tokens, stage_2(video))
    texts = stage_1(text_token_ids=batch["token_ids"], text_paddings=batch["text_paddings"]).text_embeddings
    assert torch.equal(got.text_embeddings, texts)
    # the new layers do nothing yet
    assert torch.allclose(got.video_embeddings, stage_1.embed_tokens(stage_2(video)), atol=1e-6)
    # apart from what it was made from
    with torch.no_grad():
        model.text_encoder.cls_emb.add_(1)
    assert not torch.equal(model.text_encoder.cls_emb, stage_1.text_encoder.cls_emb)


def test_new_layers_learn_although_they_start_as_the_identity():
    model = assemble_text_tuning(objective().model, num_auxiliary_layers=1)
    stage, batch = TextTuningObjective(model), pairs(8)
    optimiser = torch.optim.SGD([p for p in stage.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        stage.backward(batch)
        optimiser.step()
    layer = model.auxiliary_encoder.layers[0]
    for p in (layer.self_attention.qkv.weight, layer.self_attention.post.weight, layer.ff_layer.ffn_layer1.weight):
        assert p.grad.any()


def test_layers_of_stage_1_are_kept():
    stage_1, video = objective(sizes=JOINT).model, pairs(2)["video"].float() / 255
    model = assemble_text_tuning(stage_1)
    assert torch.equal(model(video).video_embeddings, stage_1(video).video_embeddings)
    half = assemble_text_tuning(stage_1.to(torch.bfloat16))
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_what_does_not_fit_is_refused():
    other = VideoEncoder(dataclasses.replace(SIZES.video, mlp_dim=24))
    with pytest.raises(ValueError, match=r"encoder: expected the sizes of stage 1 .*mlp_dim=48.* got .*mlp_dim=24"):
        assemble_text_tuning(VideoTextModel(SIZES), other)
    with pytest.raises(ValueError, match="num_auxiliary_layers: expected 1 as stage 1 has, got 2"):
        assemble_text_tuning(VideoTextModel(JOINT), num_auxiliary_layers=2)
    with pytest.raises(ValueError, match="kept: expected no token dropping"):
        objective(kind=TextTuningObjective).backward(pairs(2, keep=2))
