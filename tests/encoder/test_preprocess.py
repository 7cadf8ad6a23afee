from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from behavior_prism.encoder import preprocess_frames
from behavior_prism.encoder.model import resize_matrix

pytestmark = pytest.mark.torch


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)


def test_own_size_is_only_scaled(frames):
    out = preprocess_frames(frames, (40, 60))
    assert out.dtype == torch.float32 and out.is_contiguous()
    assert np.array_equal(out.numpy(), frames.astype(np.float32) / 255)


@pytest.mark.parametrize("size", [(10, 10), (96, 96), (40, 30), (7, 90), (1, 1)])
def test_resized_as_the_position_embeddings_are_to_a_grey_level(frames, size):
    rows, cols = resize_matrix(40, size[0]), resize_matrix(60, size[1])
    exact = torch.einsum("rR,cC,tRCk->trck", rows, cols, torch.from_numpy(frames).float())
    out = preprocess_frames(frames, size)
    assert out.shape == (3, *size, 3) and out.is_contiguous()
    assert (out * 255 - exact).abs().max() <= 1.01


def test_the_whole_picture_is_squashed_and_nothing_cut_off():
    frame = np.zeros((1, 60, 120, 3), np.uint8)
    frame[0, :, :10] = 255  # at the left border, which a centre crop would lose
    out = preprocess_frames(frame, 12)
    assert out.shape == (1, 12, 12, 3)
    # smoothing takes in some of the next column's pixels: 0.86, not 1
    assert out[0, :, 0].min() > 0.8 and out[0, :, 2:].max() == 0


def test_frames_are_resized_one_by_one(frames):
    assert torch.equal(preprocess_frames(frames, 24)[1:2], preprocess_frames(frames[1:2], 24))


def test_views_read_only_arrays_and_tensors(frames):
    expected = preprocess_frames(np.ascontiguousarray(frames[..., ::-1]), 24)
    read_only = np.ascontiguousarray(frames[..., ::-1])
    read_only.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(preprocess_frames(frames[..., ::-1], 24), expected)
        assert torch.equal(preprocess_frames(read_only, 24), expected)
    assert torch.equal(preprocess_frames(torch.from_numpy(frames[..., ::-1].copy()), 24), expected)


def test_input_is_not_changed(frames):
    before = frames.copy()
    preprocess_frames(frames, (40, 60)).zero_()
    assert np.array_equal(frames, before)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 8, 8, 3)),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((2, 3, 8, 8), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((2, 0, 8, 3), np.uint8),
        torch.zeros(2, 8, 8, 3),
    ],
)
def test_other_frames_are_refused(bad):
    with pytest.raises(ValueError, match=r"expected uint8 frames of shape \(T, H, W, 3\), got"):
        preprocess_frames(bad, 8)


@pytest.mark.parametrize("size", [0, (8, 0), (-1, 8)])
def test_sizes_that_are_not_positive_are_refused(frames, size):
    with pytest.raises(ValueError, match="image_size: expected positive numbers"):
        preprocess_frames(frames, size)
