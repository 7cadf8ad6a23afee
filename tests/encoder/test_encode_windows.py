"""Sliding windows against the naive loop: the same numbers, each frame through the spatial tower once."""

from __future__ import annotations

import pytest
import torch

from behavior_prism.datasets import WindowSpec
from behavior_prism.datasets.windows import central_windows, window_starts
from behavior_prism.encoder import encode_windows

pytestmark = pytest.mark.torch


def naive(model, frames, spec):
    """Every window by itself through the whole encoder; short recordings padded."""
    sampled = frames[:: spec.step]
    windows = {}
    for start in window_starts(len(sampled), spec).tolist():
        clip = sampled[start : start + spec.length]
        paddings = torch.zeros(1, spec.length)
        paddings[:, len(clip) :] = 1
        padded = torch.nn.functional.pad(clip, (0, 0, 0, 0, 0, 0, 0, spec.length - len(clip)))
        windows[start] = model(padded[None], paddings)[0, : len(clip)]
    return windows


CASES = [
    (1, WindowSpec(length=4)),
    (3, WindowSpec(length=4, stride=2)),
    (4, WindowSpec(length=4, stride=2)),
    (5, WindowSpec(length=4, stride=2)),
    (11, WindowSpec(length=4, stride=1)),
    (11, WindowSpec(length=4, stride=3)),
    (12, WindowSpec(length=4, stride=4)),
    (13, WindowSpec(length=4, stride=4)),
    (29, WindowSpec(length=4, stride=2, step=3)),
    (7, WindowSpec(length=1, stride=1)),
    (9, WindowSpec(length=5, stride=3)),
]


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize(("num_frames", "spec"), CASES)
def test_equals_the_naive_loop(small, rand, num_frames, spec, batch_size):
    frames = rand(num_frames, 24, 24, 3)
    windows = naive(small, frames, spec)
    parts = list(encode_windows(small, frames, spec, output="windows", batch_size=batch_size))
    assert [part.start for part in parts] == list(windows)
    for part in parts:
        assert torch.allclose(part.tokens, windows[part.start], atol=1e-5)

    num_sampled = len(frames[:: spec.step])
    window, position = central_windows(num_sampled, spec)
    starts = window_starts(num_sampled, spec)
    expected = torch.stack([windows[starts[w]][p] for w, p in zip(window, position, strict=True)])
    parts = list(encode_windows(small, frames, spec, batch_size=batch_size))
    assert torch.allclose(torch.cat([part.tokens for part in parts]), expected, atol=1e-5)
    where = [(part.start + i, part.position + i) for part in parts for i in range(len(part.tokens))]
    assert where == list(enumerate(position.tolist()))


def test_every_frame_goes_through_the_spatial_tower_once(small, rand):
    seen = []
    small.spatial_ln.register_forward_hook(lambda module, x, y: seen.append(len(y)))
    list(encode_windows(small, rand(23, 24, 24, 3), WindowSpec(length=4, stride=1)))
    assert sum(seen) == 23


def test_memory_is_bounded_and_frames_are_taken_as_they_are_needed(small, rand):
    """What comes out lags behind what goes in by a window and a stride, however long the stream."""
    taken = []

    def stream():
        for i in range(200):
            taken.append(i)
            yield rand(24, 24, 3)

    done = 0
    for part in encode_windows(small, stream(), WindowSpec(length=4, stride=2), batch_size=2):
        done += len(part.tokens)
        assert len(taken) - done <= 4 * 2 + 4 * (2 + 2)
    assert done == 200


def test_runs_of_frames_and_single_frames_are_the_same(small, rand):
    frames, spec = rand(10, 24, 24, 3), WindowSpec(length=4, stride=2)
    one = list(encode_windows(small, frames, spec))
    runs = list(encode_windows(small, [frames[:3], frames[3], frames[4:]], spec))
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(one, runs, strict=True))


def test_bad_input(small, rand):
    with pytest.raises(ValueError, match="at least one frame, got none"):
        list(encode_windows(small, [], WindowSpec(length=4)))
    with pytest.raises(ValueError, match="expected 'frames' or 'windows', got 'clips'"):
        list(encode_windows(small, rand(4, 24, 24, 3), WindowSpec(length=4), output="clips"))
    with pytest.raises(ValueError, match="batch_size: expected a whole number from 1 on, got 0"):
        list(encode_windows(small, rand(4, 24, 24, 3), WindowSpec(length=4), batch_size=0))
    with pytest.raises(ValueError, match=r"runs \(k, H, W, 3\) of one video, got \(2, 4, 24, 24, 3\)"):
        list(encode_windows(small, [rand(2, 4, 24, 24, 3)], WindowSpec(length=4)))
    with pytest.raises(ValueError, match="expected a VideoEncoder such as encoder.model, got str"):
        list(encode_windows("tiny", rand(4, 24, 24, 3), WindowSpec(length=4)))
