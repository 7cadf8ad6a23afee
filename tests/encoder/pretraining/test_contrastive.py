"""Stage 1 against torch, by hand, masked attention, and a set it can learn by heart."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from contrastive_pairs import SIZES, objective, pairs  # tests/support/

from behavior_prism.encoder import VideoTextModel
from behavior_prism.encoder.pretraining.contrastive import ContrastiveConfig, ContrastiveObjective
from behavior_prism.encoder.pretraining.images import encode_images
from behavior_prism.encoder.pretraining.scores import retrieval_scores

pytestmark = pytest.mark.torch

# ------------------------------------------------------------------------------------------------- loss


def test_loss_is_the_symmetric_cross_entropy():
    stage, batch = objective(), pairs(5)
    loss, metrics = stage(batch)
    out = stage.model(batch["video"].float() / 255, batch["token_ids"], batch["text_paddings"])
    logits = out.video_embeddings @ out.text_embeddings.T / 0.07
    own = torch.arange(5)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    assert abs(float((loss - expected).detach())) < 1e-5
    assert float(metrics["video_to_text_accuracy"]) == pytest.approx(float((logits.argmax(1) == own).float().mean()))
    assert float(metrics["text_to_video_accuracy"]) == pytest.approx(float((logits.argmax(0) == own).float().mean()))
    assert float(metrics["temperature"]) == pytest.approx(0.07)
    assert all(value.ndim == 0 and not value.requires_grad for value in metrics.values())


def test_loss_by_hand():
    """Three pairs in the plane at temperature 1/2, worked out with a pocket calculator."""
    stage = objective(ContrastiveConfig(temperature=0.5))
    video = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # similarities times 2: rows are clips            2 0 0 / 0 2 2 / 2 0 0
    e2 = math.exp(2)
    by_clip = [math.log(e2 + 2) - 2, math.log(1 + 2 * e2) - 2, math.log(e2 + 2) - 0]
    by_text = [math.log(2 * e2 + 1) - 2, math.log(e2 + 2) - 2, math.log(e2 + 2) - 0]
    loss, metrics = stage.contrast(video, text)
    assert float(loss) == pytest.approx((sum(by_clip) + sum(by_text)) / 6, abs=1e-6)
    assert float(metrics["temperature"]) == pytest.approx(0.5)
    deviation = math.sqrt(2) / 3  # of two ones and a zero, and of a one and two zeros
    assert float(metrics["video_std"]) == pytest.approx(deviation * math.sqrt(2))


def test_texts_that_say_the_same_are_no_negatives():
    """The same three pairs, of which texts 1 and 2 are one: clip 1 knows no text 2, and clip 2 no text 1."""
    stage = objective(ContrastiveConfig(temperature=0.5))
    video = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    e2 = math.exp(2)
    by_clip = [math.log(e2 + 2) - 2, math.log(1 + e2) - 2, math.log(e2 + 1) - 0]
    by_text = [math.log(2 * e2 + 1) - 2, math.log(e2 + 1) - 2, math.log(1 + 1) - 0]
    loss, metrics = stage.contrast(video, text, torch.tensor([4, 9, 9]))
    assert float(loss) == pytest.approx((sum(by_clip) + sum(by_text)) / 6, abs=1e-6)
    assert float(metrics["video_to_text_accuracy"]) == pytest.approx(2 / 3)
    assert torch.equal(stage.contrast(video, text, torch.tensor([4, 9, 8]))[0], stage.contrast(video, text)[0])
    # and where all say the same there is nothing to tell apart
    assert float(stage.contrast(video, text, torch.zeros(3, dtype=torch.int64))[0]) == 0


def test_collapse_is_seen_in_the_deviations():
    same = F.normalize(torch.ones(4, 24), dim=1)
    _, metrics = objective().contrast(same, F.normalize(torch.eye(24)[:4], dim=1))
    assert float(metrics["video_std"]) == pytest.approx(0, abs=1e-6)
    assert float(metrics["text_std"]) > 0.1


@pytest.mark.parametrize("auxiliary", [0, 1])
def test_gradients_reach_every_parameter(auxiliary):
    stage = objective(sizes=dataclasses.replace(SIZES, num_auxiliary_layers=auxiliary))
    stage.backward(pairs(4, keep=2))
    assert [n for n, p in stage.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    assert float(stage.log_scale.grad) != 0


# ------------------------------------------------------------------------------------------------- temperature


def test_temperature_stops_at_its_bound_and_comes_back():
    """Pairs that fit want a temperature of 0, pairs that do not a high one."""
    stage = objective(ContrastiveConfig(temperature=0.02, min_temperature=0.01))
    fit, misfit = torch.eye(4, 24), torch.eye(4, 24).flip(0)
    optimiser = torch.optim.AdamW([stage.log_scale], lr=0.1, weight_decay=0.0)
    temperatures = []
    for text in [fit + 0.9] * 100 + [misfit] * 40:
        optimiser.zero_grad()
        loss, metrics = stage.contrast(fit, F.normalize(text, dim=1))
        loss.backward()
        optimiser.step()
        temperatures.append(float(metrics["temperature"]))
    assert min(temperatures) == pytest.approx(0.01) and temperatures[99] == pytest.approx(0.01)
    assert temperatures[-1] > 0.015  # not lost beyond the bound in the hundred steps before


def test_temperature_that_is_not_learned():
    stage = objective(ContrastiveConfig(learn_temperature=False, temperature=0.1))
    metrics = stage.backward(pairs(3))
    assert float(metrics["temperature"]) == pytest.approx(0.1)
    assert "log_scale" not in dict(stage.named_parameters()) and "log_scale" in stage.state_dict()
    assert "log_scale" not in stage.no_weight_decay()


def test_names_without_decay_are_parameters():
    stage = objective()
    names = stage.no_weight_decay()
    assert names <= {name for name, _ in stage.named_parameters()}
    assert {"log_scale", "model.text_encoder.cls_emb", "model.vision_encoder.spatial_pos_emb"} <= names
    assert "model.text_encoder.token_emb" not in names
    assert stage.learned_model() is stage.model and stage.frozen == ()


# ------------------------------------------------------------------------------------------------- chunks


def gradients(stage, batch, scale=1.0):
    metrics = stage.backward(batch, scale)
    return metrics, {name: p.grad for name, p in stage.named_parameters()}


@pytest.mark.parametrize("keep", [None, 2])
@pytest.mark.parametrize("chunk_size", [1, 3])
def test_chunks_give_the_gradients_of_the_whole_batch(chunk_size, keep):
    batch = pairs(7, keep=keep, groups=None if keep is None else (0, 1, 2, 1, 3, 1, 4))
    (whole, expected), (cached, got) = (
        gradients(objective(ContrastiveConfig(chunk_size=size)), batch, 0.5) for size in (None, chunk_size)
    )
    assert whole.keys() == cached.keys()
    for name, value in whole.items():
        assert float(value) == pytest.approx(float(cached[name]), abs=1e-5), name
    assert "log_scale" in expected
    for name, value in expected.items():
        assert (value - got[name]).abs().max() < 1e-6 * max(1, float(value.abs().max())), name


def test_chunks_in_double_precision():
    batch = pairs(6, keep=3)
    (_, expected), (_, got) = (
        gradients(objective(ContrastiveConfig(chunk_size=size)).double(), batch) for size in (None, 2)
    )
    for name, value in expected.items():
        assert value.dtype == torch.float64
        # the pooler makes its scales in single precision, whatever the model's
        tolerance = 1e-9 if name.endswith("per_dim_scale") else 1e-12
        assert (value - got[name]).abs().max() < tolerance * max(1, float(value.abs().max())), name


# ------------------------------------------------------------------------------------------------- tokens


def test_dropped_tokens_are_as_if_masked_out():
    """The whole towers with padding at the dropped places give the same tokens at the kept ones."""
    stage, batch = objective(), pairs(3, frames=4, side=24, keep=7)
    encoder, video, kept = stage.model.vision_encoder, batch["video"].float() / 255, batch["kept"]
    tokens = stage._tokens(batch)
    assert tokens.shape == (3, 4, 7, 24)

    dropped = torch.ones(3, 16).scatter(1, kept, 0.0)  # 1 is padding
    x = encoder._spatial_input(video)
    spatial = encoder.spatial_ln(encoder.spatial_encoder(x, dropped.repeat_interleave(4, dim=0)))
    whole = encoder.forward_temporal(spatial.view(3, 4, 16, 24))
    expected = whole.gather(2, kept[:, None, :, None].expand(-1, 4, -1, 24))
    assert (tokens - expected).abs().max() < 1e-5
    assert (tokens - encoder(video).gather(2, kept[:, None, :, None].expand(-1, 4, -1, 24))).abs().max() > 1e-2

    masked = stage.model.contrastive_vision_pooler(whole.flatten(1, 2), dropped.repeat(1, 4))
    assert (stage.embed_video(batch) - F.normalize(masked, dim=1)).abs().max() < 1e-5


def test_order_of_kept_places_does_not_matter_and_all_kept_is_no_dropping():
    stage, batch = objective(), pairs(3, keep=3)
    shuffled = {**batch, "kept": batch["kept"].flip(1)}
    assert torch.allclose(stage(batch)[0], stage(shuffled)[0], atol=1e-5)
    every = {**batch, "kept": torch.arange(4).expand(3, 4)}
    none = {name: value for name, value in batch.items() if name != "kept"}
    assert torch.allclose(stage(every)[0], stage(none)[0], atol=1e-5)


def test_images_take_the_first_temporal_position():
    """An image is a clip whose other frames are padding: the position of the first frame, and nothing of the rest."""
    stage = objective()
    encoder, batch = stage.model.vision_encoder, pairs(3, frames=1, side=24)
    images = batch["video"].float() / 255
    clips = torch.cat([images, torch.rand(3, 3, 24, 24, 3)], dim=1)
    padded = encoder(clips, torch.tensor([[0, 1, 1, 1]]).expand(3, 4))[:, :1]
    assert (encode_images(encoder, images) - padded).abs().max() < 1e-5
    assert (stage._tokens(batch) - padded).abs().max() < 1e-5
    assert (encoder(images) - padded).abs().max() > 1e-2  # by itself the encoder interpolates

    some = pairs(3, frames=1, side=24, keep=5)
    dropped = torch.ones(3, 16).scatter(1, some["kept"], 0.0)
    x = encoder.spatial_ln(encoder.spatial_encoder(encoder._spatial_input(images), dropped)).unsqueeze(1)
    x = torch.cat([x, torch.zeros(3, 3, 16, 24)], dim=1)
    expected = encoder.forward_temporal(x, torch.tensor([[0, 1, 1, 1]]).expand(3, 4))[:, :1]
    expected = expected.gather(2, some["kept"][:, None, :, None].expand(-1, -1, -1, 24))
    assert (stage._tokens(some) - expected).abs().max() < 1e-5


def test_other_lengths_and_grids():
    stage = objective()
    for frames, side in ((3, 24), (6, 12), (1, 30)):
        loss, _ = stage(pairs(2, frames=frames, side=side, keep=2))
        assert loss.isfinite()


# ------------------------------------------------------------------------------------------------- learning


def test_learns_64_pairs_by_heart():
    torch.manual_seed(0)
    batch = pairs(64, side=6)
    stage = ContrastiveObjective(VideoTextModel(SIZES))
    optimiser = torch.optim.AdamW(stage.parameters(), lr=3e-3, weight_decay=0.0)
    scores = {}
    for step in range(200):
        optimiser.zero_grad()
        stage.backward(batch)
        optimiser.step()
        if step % 10 == 9:
            with torch.no_grad():
                scores = retrieval_scores(*stage.embed(batch))
            if scores["text_to_video_r1"] == scores["video_to_text_r1"] == 1.0:
                break
    assert scores["text_to_video_r1"] == scores["video_to_text_r1"] == 1.0


# ------------------------------------------------------------------------------------------------- the rest


def test_picture_shows_what_is_dropped():
    stage, batch = objective(), pairs(2, frames=3, keep=2)
    picture = stage.visualise(batch)["clip"]
    assert picture.shape == (12, 36, 3) and picture.dtype == torch.uint8
    for place in range(4):
        rows, cols = slice(place // 2 * 6, place // 2 * 6 + 6), slice(12 + place % 2 * 6, 12 + place % 2 * 6 + 6)
        patch = batch["video"][0, 1, rows, place % 2 * 6 : place % 2 * 6 + 6]
        assert torch.equal(picture[rows, cols], patch if place in batch["kept"][0] else patch // 4)
    del batch["kept"]
    assert torch.equal(stage.visualise(batch)["clip"][:, 12:24], batch["video"][0, 1])


def test_one_side_alone():
    stage, batch = objective(), pairs(2)
    video, text = stage.embed(batch)
    assert torch.equal(video, stage.embed_video({"video": batch["video"]}))
    assert torch.equal(text, stage.embed_text({name: batch[name] for name in ("token_ids", "text_paddings")}))
    assert torch.allclose(text.norm(dim=1), torch.ones(2)) and video.shape == (2, 24)


def test_half_precision_compares_in_single():
    stage, batch = objective(), pairs(4)
    loss = stage(batch)[0]
    stage.model.to(torch.bfloat16)
    assert [x.dtype for x in stage.embed(batch)] == [torch.float32] * 2
    assert abs(float((stage(batch)[0] - loss).detach())) < 0.05 * float(loss.detach())


def test_logits_are_exact_under_autocast():
    stage = objective(ContrastiveConfig(temperature=0.01))
    video, text = (F.normalize(torch.randn(5, 24), dim=1) for _ in range(2))
    expected = stage.contrast(video, text)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(stage.contrast(video, text)[0], expected)
        stage.backward(pairs(4))
    assert all(p.grad.isfinite().all() for p in stage.parameters())


def test_what_a_batch_holds_besides_is_left_alone():
    stage, batch = objective(ContrastiveConfig(chunk_size=2)), pairs(4)
    stage.backward({**batch, "corpus": torch.tensor(3)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": None}, "batch: expected video, token_ids, text_paddings, got .* .no video."),
        ({"text_paddings": None}, "got .'kept', 'token_ids', 'video'. .no text_paddings."),
        ({"video": torch.zeros(4, 2, 12, 12, 3)}, "video: expected uint8 from 0 to 255, got torch.float32"),
        ({"video": torch.zeros(3, 2, 12, 12, 3, dtype=torch.uint8)}, "the same number of samples .*'video': 3"),
        ({"video": torch.zeros(4, 12, 12, 3, dtype=torch.uint8)}, r"\(B, T, H, W, 3\), got \(4, 12, 12, 3\)"),
        ({"video": torch.zeros(4, 2, 13, 12, 3, dtype=torch.uint8)}, "multiples of the patch .6., got 13x12"),
        ({"kept": torch.full((4, 2), 4)}, "kept: expected places"),
        ({"text_group": torch.zeros(4)}, r"text_group: expected int64 of shape \(B,\), got torch.float32"),
        ({"text_group": torch.zeros(3, dtype=torch.int64)}, "the same number of samples .*'text_group': 3"),
        ({"token_ids": torch.full((4, 6), 50)}, "text_token_ids from 0 to 49, got 50"),
    ],
)
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_bad_batches_are_one_clear_line(change, message, chunk_size):
    batch = {name: value for name, value in {**pairs(4, keep=2), **change}.items() if value is not None}
    stage = objective(ContrastiveConfig(chunk_size=chunk_size))
    with pytest.raises(ValueError, match=message) as error:
        stage.backward(batch)
    assert "\n" not in str(error.value)
    assert all(p.grad is None for p in stage.parameters())


def test_images_must_be_single_frames():
    with pytest.raises(ValueError, match=r"images: expected shape \(B, 1, H, W, 3\), got \(2, 3, 12, 12, 3\)"):
        encode_images(objective().model.vision_encoder, torch.zeros(2, 3, 12, 12, 3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.001}, "at least min_temperature, which is above 0, got 0.001 and 0.01"),
        ({"temperature": math.nan}, "got nan and 0.01"),
        ({"min_temperature": 0.0}, "got 0.07 and 0"),
        ({"temperature": math.inf}, "got inf"),
        ({"chunk_size": 0}, "chunk_size: expected at least 1 sample, got 0"),
    ],
)
def test_bad_choices_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveConfig(**values)
