from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from behavior_prism.datasets import WindowSpec, central_windows, sample_frames, window_starts

specs = st.integers(1, 16).flatmap(
    lambda length: st.builds(WindowSpec, length=st.just(length), stride=st.integers(1, length))
)


@given(st.integers(1, 200), specs)
def test_every_frame_is_in_its_window_and_nowhere_more_central(num_sampled, spec):
    starts = window_starts(num_sampled, spec)
    window, position = central_windows(num_sampled, spec)
    frames = np.arange(num_sampled)
    assert starts[0] == 0 and np.all(np.diff(starts) > 0)
    assert starts[-1] == max(0, num_sampled - spec.length)
    assert np.all(np.diff(window) >= 0)
    np.testing.assert_array_equal(starts[window] + position, frames)
    assert position.min() >= 0 and position.max() < spec.length
    distance = np.abs(frames[:, None] - (starts + (spec.length - 1) / 2))
    np.testing.assert_allclose(distance[frames, window], distance.min(axis=1))


def test_half_overlap_gives_context_on_both_sides():
    _, position = central_windows(400, WindowSpec(length=16, stride=8))
    inner = position[8:-8]
    assert inner.min() >= 3 and inner.max() <= 12


def test_defaults():
    assert WindowSpec(length=16).stride == 8
    assert WindowSpec.for_rate(30, length=16).step == 1
    assert WindowSpec.for_rate(100, length=16).step == 3
    assert WindowSpec.for_rate(5, length=16).step == 1
    assert WindowSpec.for_rate(250, length=16, rate=50).step == 5
    with pytest.raises(ValueError, match="rate: expected a positive number .* got 0"):
        WindowSpec.for_rate(30, length=16, rate=0)
    assert sample_frames(10, 20, 4).tolist() == [10, 14, 18]


@pytest.mark.parametrize(
    "bad", [{"length": 0}, {"length": 4, "step": 0}, {"length": 4, "stride": 5}, {"length": 4, "stride": -1}]
)
def test_bad_windows(bad):
    with pytest.raises(ValueError, match="expected .*, got"):
        WindowSpec(**bad)


def test_no_frames():
    with pytest.raises(ValueError, match="at least one sampled frame, got 0"):
        window_starts(0, WindowSpec(length=4))
