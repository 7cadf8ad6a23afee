"""Encoding visible tokens only, against the whole encoder with the others masked out of its attentions."""

from __future__ import annotations

import pytest
import torch

from behavior_prism.encoder.pretraining.visible_tokens import encode_kept_places, encode_visible

pytestmark = pytest.mark.torch


def brute_force(encoder, video, visible_BTN):
    """Tokens of the whole encoder that pays no attention to those that are not visible: (B, T, N, D)."""
    b, t, n = visible_BTN.shape
    paddings = (~visible_BTN).float()
    x = encoder.spatial_ln(encoder.spatial_encoder(encoder._spatial_input(video), paddings.view(b * t, n)))
    x, _ = encoder._temporal_input(x.view(b, t, n, -1), None)
    by_place = paddings.transpose(1, 2).reshape(b * n, t)
    return encoder.temporal_ln(encoder.temporal_encoder(x, by_place)).view(b, n, t, -1).transpose(1, 2)


def draw(b, t, n, run, masked, seed=0):
    """Starts, masked places and what is visible, drawn in a way of its own."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(0, t, (b,), generator=generator)
    places = torch.stack([torch.randperm(n, generator=generator)[:masked].sort().values for _ in range(b)])
    visible = torch.ones(b, t, n, dtype=torch.bool)
    for i in range(b):
        for k in range(run):
            visible[i, (int(start[i]) + k) % t, places[i]] = False
    return start, places, visible


@pytest.mark.parametrize(("t", "run", "size", "masked"), [(4, 2, 24, 10), (5, 3, 18, 1), (3, 3, 24, 10), (4, 3, 12, 3)])
def test_equals_attention_with_masked_tokens_left_out(small, rand, t, run, size, masked):
    video, n = rand(3, t, size, size, 3), (size // 6) ** 2
    start, places, visible = draw(3, t, n, run, masked)
    whole = brute_force(small, video, visible).flatten(1, 2)
    tokens, positions = encode_visible(small, video, start, run, places)
    assert tokens.shape == (3, t * n - run * masked, 24)
    for i in range(3):
        assert sorted(positions[i].tolist()) == visible[i].flatten().nonzero().flatten().tolist()
        torch.testing.assert_close(tokens[i], whole[i, positions[i]], rtol=0, atol=1e-5)
    assert not torch.allclose(tokens[0], small(video).flatten(1, 2)[0, positions[0]], atol=1e-3)  # masks matter


def test_masked_pixels_are_never_seen(small, rand):
    video = rand(2, 4, 24, 24, 3)
    start, places, visible = draw(2, 4, 16, 2, 9)
    pixels = visible.view(2, 4, 4, 4, 1).repeat_interleave(6, 2).repeat_interleave(6, 3)
    other = torch.where(pixels, video, 1 - video)
    assert torch.equal(
        encode_visible(small, video, start, 2, places)[0], encode_visible(small, other, start, 2, places)[0]
    )


def test_kept_places_equal_attention_with_the_others_left_out(small, rand):
    video, kept = rand(2, 3, 24, 30, 3), torch.tensor([[0, 3, 7, 19], [1, 2, 8, 10]])
    visible = torch.zeros(2, 20, dtype=torch.bool).scatter(1, kept, True)[:, None].expand(2, 3, 20)
    whole = brute_force(small, video, visible)
    tokens = encode_kept_places(small, video, kept)
    for i in range(2):
        torch.testing.assert_close(tokens[i], whole[i][:, kept[i]], rtol=0, atol=1e-5)
    everything = torch.arange(20).expand(2, 20)
    torch.testing.assert_close(encode_kept_places(small, video, everything), small(video), rtol=0, atol=1e-5)


def test_tube_masks_equal_kept_places(small, rand):
    video = rand(2, 3, 24, 24, 3)
    start, places, visible = draw(2, 3, 16, 3, 10)
    kept = torch.stack([v[0].nonzero().flatten() for v in visible])
    tokens, positions = encode_visible(small, video, start, 3, places)
    by_position = torch.zeros(2, 48, 24).scatter(1, positions[..., None].expand(-1, -1, 24), tokens).view(2, 3, 16, 24)
    expected = encode_kept_places(small, video, kept)
    for i in range(2):
        torch.testing.assert_close(by_position[i][:, kept[i]], expected[i], rtol=0, atol=1e-5)


def test_gradients_equal_those_of_the_brute_force(small, rand):
    video = rand(2, 4, 24, 24, 3)
    start, places, visible = draw(2, 4, 16, 2, 9)
    weights = rand(2, 64, 24)

    def gradients(tokens, weight):
        small.zero_grad()
        (tokens * weight).sum().backward()
        return [p.grad.clone() for p in small.parameters()]

    small.requires_grad_(True)
    tokens, positions = encode_visible(small, video, start, 2, places)
    ours = gradients(tokens, weights.gather(1, positions[..., None].expand(-1, -1, 24)))
    theirs = gradients(brute_force(small, video, visible).flatten(1, 2), weights * visible.flatten(1)[..., None])
    for (name, _), a, b in zip(small.named_parameters(), ours, theirs, strict=True):
        assert b.abs().sum() > 0, name
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5, msg=name)


def test_what_is_not_visible_is_not_computed(small, rand):
    """Rows that reach the feed-forward layers, counted."""
    counts = {"spatial": 0, "temporal": 0}
    for tower in counts:
        layer = getattr(small, f"{tower}_encoder").layers[0].ff_layer.ffn_layer1
        layer.register_forward_hook(
            lambda m, x, y, tower=tower: counts.__setitem__(tower, counts[tower] + y[..., 0].numel())
        )
    start, places, visible = draw(2, 4, 16, 3, 9)
    encode_visible(small, rand(2, 4, 24, 24, 3), start, 3, places)
    assert counts == {"spatial": int(visible.sum()), "temporal": int(visible.sum())}


def test_gradient_checkpointing_gives_the_same_gradients(small, rand):
    video = rand(1, 4, 24, 24, 3)
    start, places, _ = draw(1, 4, 16, 2, 9)
    small.requires_grad_(True)
    found = []
    for enable in (False, True):
        small.set_grad_checkpointing(enable)
        small.zero_grad()
        encode_visible(small, video, start, 2, places).tokens.square().sum().backward()
        found.append([p.grad.clone() for p in small.parameters()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": torch.zeros(2, 24, 24, 3)}, r"video: expected shape \(B, T, H, W, 3\), got \(2, 24, 24, 3\)"),
        ({"video": torch.zeros(2, 4, 24, 24, 3, dtype=torch.uint8)}, "expected floats in .0, 1., got torch.uint8"),
        ({"video": torch.zeros(2, 4, 25, 24, 3)}, "multiples of the patch"),
        ({"video": torch.zeros(2, 2, 24, 24, 3)}, "run_length: expected 1 to 2 frames, got 3"),
        ({"video": torch.zeros(2, 4, 12, 12, 3)}, r"masked_places: expected shape \(2, 1 to N - 1 of N = 4 places\)"),
        ({"run_start": torch.tensor([0, 4])}, "run_start: expected frames from 0 to 3"),
        ({"run_start": torch.tensor([0])}, "run_start: expected int64 of shape"),
        ({"masked": torch.tensor([[0, 16], [0, 1]])}, "places from 0 to 15, got 0 to 16"),
        ({"masked": torch.tensor([[3, 3], [0, 1]])}, "each place once"),
        ({"masked": torch.tensor([[0.0], [1.0]])}, "expected int64, got torch.float32"),
        ({"masked": torch.arange(16).expand(2, 16)}, "1 to N - 1 of N = 16"),
    ],
)
def test_what_does_not_fit_is_refused(small, change, message):
    given = {"video": torch.zeros(2, 4, 24, 24, 3), "run_start": torch.tensor([0, 1])}
    given |= {"masked": torch.arange(9).expand(2, 9)} | change
    with pytest.raises(ValueError, match=message):
        encode_visible(small, given["video"], given["run_start"], 3, given["masked"])
