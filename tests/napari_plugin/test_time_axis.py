import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from behavior_prism.napari_plugin.time_axis import MIN_FRAMES_IN_VIEW, TimeAxis, pixel_runs


def axis(frames=100, fps=10.0):
    return TimeAxis(edges=np.arange(frames + 1) / fps, left=50, width=800)


@given(st.integers(0, 99), st.floats(0.1, 20), st.floats(50, 850))
def test_a_frame_is_found_at_its_own_place_whatever_the_zoom(frame, factor, x):
    one = axis()
    one.zoom(factor, x)
    one.keep_in_view(frame)
    assert one.frame(float(one.x((one.edges[frame] + one.edges[frame + 1]) / 2))) == frame


def test_uneven_frame_times_count_as_they_are():
    one = TimeAxis(edges=np.array([0.0, 1.0, 9.0, 10.0]), left=0, width=100)
    assert [one.frame(x) for x in (-5, 5, 15, 85, 95, 300)] == [0, 0, 1, 1, 2, 2]


@given(st.lists(st.tuples(st.floats(0.2, 5), st.floats(50, 850)), max_size=12))
def test_zoom_never_leaves_the_recording(steps):
    one = axis()
    for factor, x in steps:
        one.zoom(factor, x)
        assert one.edges[0] <= one.start < one.stop <= one.edges[-1]
        assert one.stop - one.start >= MIN_FRAMES_IN_VIEW / 10 - 1e-9


def test_zoom_keeps_what_is_under_the_cursor():
    one = axis()
    before = one.seconds(300)
    one.zoom(3, 300)
    assert one.seconds(300) == pytest.approx(before)
    one.reset()
    assert not one.is_zoomed


def test_the_page_turns_to_a_frame_out_of_view():
    one = axis()
    one.zoom(5, 50)
    assert not one.keep_in_view(3)
    assert one.keep_in_view(90)
    assert one.start <= 9.0 <= one.stop


@pytest.mark.parametrize("length", [0.4, 3.0, 40.0, 3600.0, 86400.0])
def test_ticks_are_round_and_not_crowded(length):
    one = TimeAxis(edges=np.linspace(0, length, 1001), left=0, width=900)
    ticks, decimals = one.ticks()
    assert 3 <= len(ticks) <= 11
    assert np.diff(one.x(ticks)).min() >= 85
    np.testing.assert_allclose(ticks, np.round(ticks, decimals), atol=1e-9)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=40), st.floats(0.001, 2))
def test_bars_cover_every_bout_and_never_overlap(gaps_and_lengths, scale):
    ends = np.cumsum(np.asarray(gaps_and_lengths, dtype=float).ravel()).reshape(-1, 2) * scale
    bars = pixel_runs(ends)
    assert (bars[:, 1] > bars[:, 0]).all()
    assert (bars[1:, 0] > bars[:-1, 1]).all()
    for start, stop in ends:
        inside = (bars[:, 0] <= np.round(start)) & (bars[:, 1] >= np.round(stop))
        assert inside.any()
