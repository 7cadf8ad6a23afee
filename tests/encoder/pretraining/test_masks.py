"""Masks: their ratio and shape, beside BEiT's generator as ``transformers`` has it (for FLAVA)."""

from __future__ import annotations

import random

import numpy as np
import pytest

from behavior_prism.encoder.pretraining.masks import MaskConfig, draw_masks

pytestmark = pytest.mark.torch


def visible(masks, frames, places):
    """What the fields say, frame by frame: bool (B, T, N)."""
    out = np.ones((len(masks["run_start"]), frames, places), bool)
    for b, start in enumerate(masks["run_start"]):
        for k in range(int(masks["run_length"])):
            out[b, (start + k) % frames, masks["masked_places"][b]] = False
    return out


def borders(mask):
    """Pairs of neighbours of which one is masked."""
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())


@pytest.mark.parametrize(("frames", "grid"), [(16, (16, 16)), (8, (8, 8)), (8, (6, 11)), (5, (4, 4)), (2, (2, 2))])
def test_block_masks_have_the_stated_ratio(frames, grid):
    rng, n = np.random.default_rng(3), grid[0] * grid[1]
    lengths = set()
    for _ in range(25):
        masks = draw_masks(rng, 3, frames, grid)
        run = int(masks["run_length"])
        lengths.add(run)
        assert masks["masked_places"].shape == (3, round(0.65 * n))
        assert (np.diff(masks["masked_places"], axis=1) > 0).all() and masks["masked_places"].max() < n
        hidden = ~visible(masks, frames, n)
        assert (hidden.sum((1, 2)) == run * round(0.65 * n)).all()
        assert (hidden.any(2).sum(1) == run).all()  # so many frames, the others wholly visible
    assert lengths == set(range(-(-frames // 2), max(1, frames * 3 // 4) + 1))
    if frames == 16:
        shares = [run / frames * round(0.65 * n) / n for run in lengths]
        assert min(shares) == pytest.approx(0.325, abs=0.005) and max(shares) == pytest.approx(0.4875, abs=0.005)


def test_runs_start_anywhere_and_wrap_round():
    rng, starts, wrapped = np.random.default_rng(0), set(), 0
    for _ in range(40):
        masks = draw_masks(rng, 4, 8, (4, 4))
        starts |= set(masks["run_start"].tolist())
        hidden = (~visible(masks, 8, 16)).max(2)
        assert ((hidden != np.roll(hidden, 1, axis=1)).sum(1) == 2).all()  # one run on the circle
        wrapped += int((hidden[:, 0] & hidden[:, -1]).sum())
    assert starts == set(range(8)) and wrapped > 20


def test_tube_masks_are_the_same_in_all_frames():
    masks = draw_masks(np.random.default_rng(0), 4, 8, (16, 16), MaskConfig(kind="tube"))
    seen = visible(masks, 8, 256)
    assert int(masks["run_length"]) == 8 and (seen == seen[:, :1]).all()
    assert (~seen).mean() == pytest.approx(0.65, abs=0.002)
    assert len({tuple(p) for p in masks["masked_places"].tolist()}) == 4  # each clip its own
    one = draw_masks(np.random.default_rng(0), 1, 1, (4, 4), MaskConfig(kind="tube"))
    assert int(one["run_length"]) == 1


def test_every_place_is_masked_now_and_then_and_clips_differ():
    masks = draw_masks(np.random.default_rng(0), 200, 8, (8, 8))
    counts = np.bincount(masks["masked_places"].ravel(), minlength=64)
    assert counts.min() > 40 and counts.max() < 195
    assert len({tuple(p) for p in masks["masked_places"].tolist()}) > 190


@pytest.mark.parametrize(("side", "masked"), [(16, 166), (14, 75), (8, 42)])
def test_blocks_look_like_those_of_beit(side, masked):
    """Length of the border and where it is masked, over many masks; BEiT's may be a few places short of the number."""
    flava = pytest.importorskip("transformers.models.flava.image_processing_pil_flava")
    random.seed(0)
    theirs_maker = flava.FlavaMaskingGenerator(side, masked, mask_group_min_patches=4)
    theirs = np.stack([theirs_maker() for _ in range(300)]) > 0
    places = draw_masks(np.random.default_rng(0), 300, 4, (side, side), MaskConfig(ratio=masked / side**2))
    ours = np.zeros((300, side**2), bool)
    np.put_along_axis(ours, places["masked_places"], True, 1)
    ours = ours.reshape(300, side, side)
    assert abs(theirs.mean() - ours.mean()) < 0.02
    border, scattered = (np.mean([borders(m) for m in x]) for x in (ours, _scattered(masked, side)))
    assert border == pytest.approx(np.mean([borders(m) for m in theirs]), rel=0.1)
    assert border < 0.65 * scattered
    for part in (slice(0, side // 4), slice(side // 4, -side // 4)):  # the border of the frame, and its middle
        assert ours[:, part, part].mean() == pytest.approx(theirs[:, part, part].mean(), abs=0.05)


def _scattered(masked, side):
    rng = np.random.default_rng(0)
    masks = np.zeros((100, side**2), bool)
    for m in masks:
        m[rng.permutation(side**2)[:masked]] = True
    return masks.reshape(100, side, side)


def test_no_masked_place_stands_alone():
    masks = draw_masks(np.random.default_rng(1), 100, 8, (8, 8))
    for places in masks["masked_places"]:
        mask = np.zeros((10, 10), bool)
        mask[1:-1, 1:-1].flat[places] = False
        mask[places // 8 + 1, places % 8 + 1] = True
        beside = mask[:-2, 1:-1] | mask[2:, 1:-1] | mask[1:-1, :-2] | mask[1:-1, 2:]
        assert beside[mask[1:-1, 1:-1]].all()


def test_permutations_are_permutations_and_differ():
    permutation = draw_masks(np.random.default_rng(0), 3, 4, (4, 4))["permutation"]
    assert permutation.shape == (3, 64) and (np.sort(permutation, 1) == np.arange(64)).all()
    assert not (permutation[0] == permutation[1]).all() and not (permutation[0] == np.arange(64)).all()


def test_the_same_state_gives_the_same_masks():
    one, two = (draw_masks(np.random.default_rng(5), 4, 8, (8, 8)) for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) and one[name].dtype == np.int64 for name in one)
    assert not np.array_equal(one["masked_places"], draw_masks(np.random.default_rng(6), 4, 8, (8, 8))["masked_places"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskConfig(kind="random"), "kind: expected 'block' or 'tube', got 'random'"),  # type: ignore[arg-type]
        (lambda: MaskConfig(ratio=1.0), "ratio: expected a number between 0 and 1, got 1.0"),
        (lambda: MaskConfig(run=(0.8, 0.5)), "run: expected two shares"),
        (lambda: draw_masks(np.random.default_rng(), 2, 1, (4, 4)), "frames: expected clips of 2 or more"),
        (lambda: draw_masks(np.random.default_rng(), 2, 8, (1, 1)), "grid: expected one .* got 1x1"),
        (lambda: draw_masks(np.random.default_rng(), 0, 8, (4, 4)), "batch: expected at least one clip, got 0"),
    ],
)
def test_what_cannot_be_masked_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
