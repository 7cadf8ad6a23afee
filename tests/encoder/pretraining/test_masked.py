"""Stage 2: losses against hand and naive computation, teacher, shuffle, learning, refusals."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from behavior_prism.encoder import VideoEncoder, VideoEncoderConfig, VideoTextConfig, VideoTextModel
from behavior_prism.encoder.int8 import quantize_layers
from behavior_prism.encoder.pretraining.decoders import DecoderConfig
from behavior_prism.encoder.pretraining.masked import MaskedConfig, MaskedObjective
from behavior_prism.encoder.pretraining.masks import MaskConfig, draw_masks

pytestmark = pytest.mark.torch

DECODER = DecoderConfig(dim=16, num_layers=1, num_heads=2, mlp_dim=32)


def make_batch(b=2, t=4, size=24, seed=0, kind: Literal["block", "tube"] = "block"):
    rng = np.random.default_rng(seed)
    masks = draw_masks(rng, b, t, (size // 6, size // 6), MaskConfig(kind=kind))
    batch = {name: torch.from_numpy(value) for name, value in masks.items()}
    return batch | {"video": torch.from_numpy(rng.integers(0, 256, (b, t, size, size, 3), np.uint8))}


def video_text(small):
    values: dict[str, Any] = {f.name: getattr(small.config, f.name) for f in dataclasses.fields(VideoEncoderConfig)}
    more: dict[str, Any] = {"num_auxiliary_layers": 1, "vocabulary_size": 20, "num_unimodal_layers": 1}
    model = VideoTextModel(VideoTextConfig(**values, **more))
    model.vision_encoder.load_state_dict(small.state_dict())
    return model


def naive_loss(objective, batch):
    """The same in loops over clips and slots, from the paper's words; the student by attention paddings."""
    video, config = batch["video"].float() / 255, objective.config
    b, t = video.shape[:2]
    student, n = objective.student, (video.shape[2] // 6) * (video.shape[3] // 6)
    visible = torch.ones(b, t, n, dtype=torch.bool)
    for i in range(b):
        for k in range(int(batch["run_length"])):
            visible[i, (int(batch["run_start"][i]) + k) % t, batch["masked_places"][i]] = False
    x = student._spatial_input(video)
    x = student.spatial_ln(student.spatial_encoder(x, (~visible).float().view(b * t, n))).view(b, t, n, -1)
    x, _ = student._temporal_input(x, None)
    x = student.temporal_encoder(x, (~visible).float().transpose(1, 2).reshape(b * n, t))
    tokens = student.temporal_ln(x).view(b, n, t, -1).transpose(1, 2).flatten(1, 2)
    teacher = objective.teacher.encoder(video).flatten(1, 2)
    distances, compared, pooled = [], [], []
    decoder = objective.token_decoder
    for i in range(b):
        seen = visible[i].flatten()
        sequence = [decoder.input_projection(tokens[i, s]) if seen[s] else decoder.mask_emb[0] for s in range(t * n)]
        if config.shuffle:
            sequence = [sequence[int(s)] for s in batch["permutation"][i]]
        slots = [c + decoder.temporal_pos_emb[s // n] + decoder.spatial_pos_emb[s % n] for s, c in enumerate(sequence)]
        out = decoder.output_projection(decoder.ln(decoder.transformer(torch.stack(slots)[None])))[0]
        for s in range(t * n):
            distances.append(1 - out[s] @ teacher[i, s] / out[s].norm() / teacher[i, s].norm())
            compared.append(not config.masked_only or not bool(seen[s]))
        if config.global_branch:
            made, target = objective.clip_decoder(tokens[i : i + 1, seen])[0], objective.teacher(video[i : i + 1])[1][0]
            pooled.append(1 - made @ target / made.norm() / target.norm())
    local = torch.stack([d for d, c in zip(distances, compared, strict=True) if c]).mean()
    return local + torch.stack(pooled).mean() if pooled else local


def test_losses_by_hand(small):
    """A teacher whose every token is (3, 4, 0 ...) and decoders that say (1, 0, 0 ...) and (0, 1, 0 ...)."""
    small.temporal_ln.scale.fill_(-1.0)  # stored as the difference from one
    small.temporal_ln.bias.copy_(torch.eye(24)[0] * 3 + torch.eye(24)[1] * 4)
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER))
    assert objective.clip_decoder is not None
    for decoder, axis in ((objective.token_decoder, 0), (objective.clip_decoder, 1)):
        torch.nn.init.zeros_(decoder.output_projection.weight)
        decoder.output_projection.bias.data.copy_(torch.eye(24)[axis] * 7)
    batch = make_batch()
    loss, metrics = objective(batch)
    assert metrics["local"].item() == pytest.approx(1 - 3 / 5, abs=1e-6)
    assert metrics["global"].item() == pytest.approx(1 - 4 / 5, abs=1e-6)
    assert loss.item() == pytest.approx(0.4 + 0.2, abs=1e-6)  # both count the same
    assert metrics["masked"].item() == pytest.approx(int(batch["run_length"]) * 10 / 64)
    assert metrics["student_std"].item() == pytest.approx(0, abs=1e-6)  # a collapsed student is seen


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize(
    "switches", [{}, {"shuffle": False}, {"global_branch": False}, {"masked_only": True, "global_branch": False}]
)
def test_losses_and_gradients_equal_the_naive_ones(small, text, switches):
    teacher = video_text(small) if text else small
    objective = MaskedObjective(teacher, MaskedConfig(decoder=DECODER, **switches))
    batch = make_batch(seed=3)
    found = []
    for loss in (objective(batch)[0], naive_loss(objective, batch)):
        objective.zero_grad()
        loss.backward()
        found.append((loss.item(), {n: p.grad for n, p in objective.named_parameters() if p.grad is not None}))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert found[0][1].keys() == found[1][1].keys()
    assert found[0][1].keys() == {n for n, p in objective.named_parameters() if p.requires_grad}
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], rtol=1e-3, atol=1e-5, msg=name)


def test_switches_change_what_is_learned(small):
    batch, losses = make_batch(), set()
    for switches in ({}, {"shuffle": False}, {"global_branch": False}, {"masked_only": True}):
        objective = MaskedObjective(small, MaskedConfig(decoder=DECODER, **switches))
        loss, metrics = objective(batch)
        losses.add(round(loss.item(), 6))
        assert ("global" in metrics) == switches.get("global_branch", True)
    assert len(losses) == 4


def test_teacher_is_untouched_and_gets_no_gradient(small):
    teacher = video_text(small)
    before = copy.deepcopy(teacher.state_dict())
    objective = MaskedObjective(teacher, MaskedConfig(decoder=DECODER))
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    objective.train()
    assert not objective.teacher.training and objective.student.training
    for step in range(3):
        optimizer.zero_grad()
        objective.backward(make_batch(seed=step))
        optimizer.step()
    after = teacher.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    named = dict(objective.named_parameters())
    frozen = {n for n in named if n.startswith(objective.frozen)}
    assert frozen == {n for n, p in named.items() if not p.requires_grad}
    assert all(named[n].grad is None for n in frozen)
    assert any(not torch.equal(p, before[f"vision_encoder.{n}"]) for n, p in objective.student.named_parameters())


def test_no_gradient_through_targets(small):
    """Even of a teacher whose parameters somebody made learnable."""
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER))
    objective.teacher.requires_grad_(True)
    video = torch.rand(1, 2, 24, 24, 3, requires_grad=True)
    assert not any(x.requires_grad for x in objective.teacher(video))
    objective.backward(make_batch())
    assert all(p.grad is None for p in objective.teacher.parameters())


def test_the_student_starts_as_the_teacher(small):
    objective = MaskedObjective(video_text(small), MaskedConfig(decoder=DECODER))
    own = objective.student.state_dict()
    assert all(torch.equal(v, own[n]) for n, v in objective.teacher.encoder.state_dict().items())
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(own.values(), small.state_dict().values(), strict=True))
    assert objective.learned_model() is objective.student


def decoder_input_and_target(objective, batch):
    """What the token decoder's layers are given, and what its output is compared with."""
    given: list[torch.Tensor] = []
    hook = objective.token_decoder.transformer.register_forward_pre_hook(lambda m, x: given.append(x[0]))
    objective._seen = {}
    with torch.no_grad():
        objective(batch)
    hook.remove()
    seen, objective._seen = objective._seen, None
    return given[0], seen["teacher"], seen


def test_the_shuffle_moves_content_and_neither_positions_nor_targets(small):
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER))
    batch = make_batch()
    in_order = torch.arange(64).expand(2, 64)
    plain, target, seen = decoder_input_and_target(objective, batch | {"permutation": in_order})
    shuffled, target_too, _ = decoder_input_and_target(objective, batch)
    assert torch.equal(target, target_too)
    assert not torch.allclose(plain, shuffled, atol=1e-2)
    positions = objective.token_decoder.positions((4, 4, 4))
    content = plain - positions
    for i in range(2):
        expected = content[i][batch["permutation"][i]] + positions  # slot s: content of permutation[s], position of s
        torch.testing.assert_close(shuffled[i], expected, rtol=0, atol=1e-5)
    hidden = torch.ones(2, 64, dtype=torch.bool).scatter(1, seen["positions"], False)
    mask = objective.token_decoder.mask_emb[0]
    torch.testing.assert_close(content[hidden], mask.expand(int(hidden.sum()), -1), rtol=0, atol=1e-5)
    assert ((content[~hidden] - mask).abs().amax(-1) > 1e-3).all()
    unshuffled = MaskedObjective(small, MaskedConfig(decoder=DECODER, shuffle=False))
    assert torch.equal(decoder_input_and_target(unshuffled, batch)[0], plain)


def test_swapping_two_visible_tokens_changes_two_slots_of_the_input_and_no_target(small):
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER))
    batch = make_batch(b=1)
    before, target, seen = decoder_input_and_target(objective, batch)
    one, two = seen["positions"][0, :2].tolist()
    swapped = batch["permutation"].clone()
    slots = [int((swapped[0] == p).nonzero()) for p in (one, two)]
    swapped[0, slots] = swapped[0, slots[::-1]]
    after, target_too, _ = decoder_input_and_target(objective, batch | {"permutation": swapped})
    changed = ((before - after).abs().amax(-1)[0] > 1e-4).nonzero().flatten().tolist()
    assert changed == sorted(slots)
    assert torch.equal(target, target_too)


@pytest.mark.parametrize(("kind", "t", "size"), [("tube", 4, 24), ("block", 6, 24), ("block", 4, 30), ("tube", 1, 24)])
def test_other_masks_lengths_and_grids(small, kind, t, size):
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER))
    batch = make_batch(t=t, size=size, kind=kind)
    metrics = objective.backward(batch)
    assert all(value.isfinite() for value in metrics.values())
    share = batch["masked_places"].shape[1] * int(batch["run_length"]) / (t * (size // 6) ** 2)
    assert metrics["masked"].item() == pytest.approx(share, abs=1e-6)


def test_a_larger_student_learns_from_the_teacher(small):
    wide = VideoEncoder(dataclasses.replace(small.config, model_dim=32, num_spatial_layers=3))
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER), student=wide)
    objective.backward(make_batch())
    assert objective.learned_model().config.model_dim == 32
    assert objective.visualise(make_batch())["tokens"].dtype == torch.uint8


def test_loss_goes_down_on_one_batch(small):
    objective = MaskedObjective(
        small, MaskedConfig(decoder=DecoderConfig(dim=32, num_layers=2, num_heads=4, mlp_dim=64))
    )
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-2, weight_decay=0)
    batch, history = make_batch(), []
    for _ in range(40):
        optimizer.zero_grad()
        history.append({name: value.item() for name, value in objective.backward(batch).items()})
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
    first, last = history[0], history[-1]
    tokens = torch.nn.functional.normalize(objective.teacher(batch["video"].float() / 255)[0].flatten(0, 1), dim=-1)
    one_answer_for_all = 1 - torch.cosine_similarity(tokens, tokens.mean(0, keepdim=True)).mean().item()
    assert last["local"] < 0.6 * one_answer_for_all < first["local"]  # it does tell tokens apart
    assert last["global"] < 0.1 * first["global"] and last["student_std"] > 0.03


def test_scaled_gradients_add_up(small):
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER))
    batch = make_batch()
    objective.backward(batch)
    once = [p.grad.clone() for p in objective.student.parameters() if p.grad is not None]
    objective.zero_grad()
    for _ in range(4):
        objective.backward(batch, scale=0.25)
    for a, b in zip(once, objective.student.parameters(), strict=True):
        torch.testing.assert_close(a, b.grad, rtol=1e-4, atol=1e-6)


def test_half_precision_stays_near(small):
    objective, batch = MaskedObjective(small, MaskedConfig(decoder=DECODER)), make_batch()
    expected = objective(batch)[0].item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(batch)[0]
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected, abs=0.03)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.student.parameters())
    cast = objective.to(torch.bfloat16)(batch)[0]
    assert cast.item() == pytest.approx(expected, abs=0.03)


def test_weight_decay_is_for_what_is_learned_and_for_matrices(small):
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER))
    without, named = objective.no_weight_decay(), dict(objective.named_parameters())
    assert without <= named.keys() and not any(n.startswith("teacher.") for n in without)
    assert {
        "student.spatial_pos_emb",
        "token_decoder.mask_emb",
        "clip_decoder.pooler.pooling_attention_query",
    } <= without
    decayed = {n for n, p in named.items() if p.requires_grad} - without
    assert all(n.endswith("weight") and named[n].ndim == 2 for n in decayed)


def test_the_same_seed_gives_the_same_decoders(small):
    one, two, other = (MaskedObjective(small, MaskedConfig(decoder=DECODER), seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.token_decoder.mask_emb, other.token_decoder.mask_emb)


def test_picture(small):
    objective, batch = MaskedObjective(small, MaskedConfig(decoder=DECODER)), make_batch(seed=1)
    state = torch.get_rng_state()
    picture = objective.visualise(batch)["tokens"]
    assert picture.dtype == torch.uint8 and picture.shape == (5 * 96, 4 * 96, 3)
    assert torch.equal(torch.get_rng_state(), state)  # looking changes nothing
    assert torch.equal(picture, objective.visualise(batch)["tokens"]) and objective._seen is None
    rows = picture.view(5, 4, 24, 4, 4, 24, 3).permute(0, 3, 1, 4, 2, 5, 6).flatten(4)  # (row, frame, y, x, pixels)
    for k in range(4):
        in_run = (k - int(batch["run_start"][0])) % 4 < int(batch["run_length"])
        masked = set(batch["masked_places"][0].tolist()) if in_run else set()
        for row in (1, 4):  # frames and tokens of the student are grey exactly where it sees nothing
            grey = (rows[row, k] == 128).all(-1).flatten()
            assert set(grey.nonzero().flatten().tolist()) == masked
    shown = torch.nn.functional.interpolate(batch["video"][0].permute(0, 3, 1, 2).float(), size=(96, 96), mode="area")
    assert torch.equal(picture[:96, :96].float(), shown[0].permute(1, 2, 0).round())
    assert len(rows[2].flatten(0, 2).unique(dim=0)) > 20  # the teacher's tokens differ in colour


def test_what_does_not_fit_is_refused(small):
    objective = MaskedObjective(small, MaskedConfig(decoder=DECODER))
    batch = make_batch()
    for change, message in [
        ({"video": batch["video"][:, :1]}, r"permutation: expected shape \(2, 16\) for clips of 1 frames of 4x4"),
        ({"video": batch["video"][:, :, :12, :12]}, r"permutation: expected shape \(2, 16\) .* got \(2, 64\)"),
        ({"video": batch["video"][:, :, :20]}, "multiples of the patch"),
        ({"run_length": torch.tensor(5)}, "run_length: expected 1 to 4 frames, got 5"),
        ({"video": batch["video"] / 255}, "video: expected uint8 from 0 to 255, got torch.float32"),
        ({"masked_places": batch["masked_places"] + 8}, "places from 0 to 15"),
    ]:
        with pytest.raises(ValueError, match=message):
            objective(batch | change)


def test_wrong_teachers_are_refused(small):
    other = VideoEncoder(dataclasses.replace(small.config, patch_size=8))
    with pytest.raises(ValueError, match="teacher: expected patches of 8 pixels as the student's, got 6"):
        MaskedObjective(small, student=other)
    with pytest.raises(ValueError, match="teacher: expected a VideoEncoder or a VideoTextModel, got SimpleNamespace"):
        MaskedObjective(SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="student: expected parameters that require gradients, got none"):
        MaskedObjective(small, student=small)
    quantize_layers(other.requires_grad_(False))
    with pytest.raises(ValueError, match="rounded to int8"):
        MaskedObjective(other)
    for wrong in ({"dim": 0}, {"dim": 30, "num_heads": 4}):
        with pytest.raises(ValueError, match="dim: expected"):
            DecoderConfig(**wrong)
