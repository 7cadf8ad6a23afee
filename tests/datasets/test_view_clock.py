"""Frames of two cameras matched by time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered_videos import numbered_frames, read_number, write_video
from scipy import stats

from behavior_prism.datasets import Recording, Video, VideoSequence, ViewClock, load_recording, open_video, synchronise


def view(count, fps):
    return open_video(np.zeros((count, 4, 4), np.uint8), fps=fps)


@given(
    st.floats(-1e4, 1e4),
    st.floats(0.9, 1.1),
    st.lists(st.integers(0, 100_000), min_size=2, max_size=20, unique=True),
)
def test_a_line_is_found_again(offset, drift, events):
    a = np.sort(np.asarray(events, dtype=float))
    clock = ViewClock.from_events(a, offset + drift * a)
    assert clock.drift == pytest.approx(drift, rel=1e-6) and clock.largest_residual < 1e-6
    np.testing.assert_allclose(clock.to_a(clock.to_b(a)), a, atol=1e-6)


def test_it_is_the_least_squares_line_of_others_with_its_residuals():
    rng = np.random.default_rng(0)
    a = np.sort(rng.uniform(0, 3600, 30))
    b = 1_714_550_400 + 1.00003 * a + rng.normal(0, 0.002, 30)
    clock, other = ViewClock.from_events(a, b), stats.linregress(a, b - 1_714_550_400)
    assert clock.drift == pytest.approx(other.slope, rel=1e-9)
    assert clock.offset - 1_714_550_400 == pytest.approx(other.intercept, abs=1e-5)
    np.testing.assert_allclose(clock.residuals, b - clock.to_b(a), atol=1e-6)
    assert 0.002 < clock.largest_residual < 0.01


def test_one_event_gives_the_offset():
    clock = ViewClock.from_events([2.0], [7.5])
    assert (clock.offset, clock.drift, clock.largest_residual) == (5.5, 1.0, 0.0)


def test_frames_are_matched_to_the_nearest_in_time():
    clock = synchronise(view(100, 25), view(300, 60), offset=0.5, drift=1.001)
    b_times = np.arange(300) / 60
    for i in range(100):
        t = 0.5 + 1.001 * i / 25
        nearest = int(np.argmin(np.abs(b_times - t)))
        assert clock.a_to_b[i] == nearest
        assert clock.a_residual[i] == pytest.approx(b_times[nearest] - t, abs=1e-12)
    assert np.nanmax(np.abs(clock.a_residual)) <= 0.5 / 60 + 1e-9
    assert (clock.b_to_a[:29] == -1).all() and np.isnan(clock.b_residual[:29]).all()
    assert clock.b_to_a[30] == 0 and clock.b_to_a[-1] == -1


def test_the_pictures_are_those_of_the_same_moment(tmp_path):
    frames = numbered_frames(60)
    top = Video(write_video(tmp_path / "top.mkv", frames[:40]))
    side = load_recording(write_video(tmp_path / "side.mkv", frames[10:]))
    clock = synchronise(load_recording(top.path), side, offset=-0.4)
    for i in (10, 25, 39):
        assert read_number(side.video[int(clock.a_to_b[i])]) == read_number(top[i]) == i
    assert (clock.a_to_b[:10] == -1).all() and len(clock.b_to_a) == 50


def test_a_single_frame_and_views_apart():
    assert synchronise(view(1, 25), view(50, 25)).a_to_b.tolist() == [0]
    with pytest.raises(ValueError, match="expected views that overlap, got the first from 100 to 104 s"):
        synchronise(view(100, 25), view(100, 25), offset=100)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1, 2], [1], "as many events of one view as of the other"),
        ([], [], "as many events"),
        ([1, 2], [2, 1], "in the same order"),
        ([1, 1], [2, 3], "in the same order"),
        ([1, np.nan], [2, 3], "not finite"),
    ],
)
def test_events_that_do_not_match(a, b, message):
    with pytest.raises(ValueError, match=message):
        ViewClock.from_events(a, b)


def test_a_clock_runs_forward():
    with pytest.raises(ValueError, match="a drift above 0"):
        ViewClock(drift=-1)


def test_nothing_is_seen_in_a_gap_between_files(tmp_path):
    """The last frame before a gap does not stand for all of it."""
    top = Video(write_video(tmp_path / "top.mkv", numbered_frames(60), fps=2))  # 30 s
    files = [write_video(tmp_path / f"side{k}.mkv", numbered_frames(20), fps=10) for k in (1, 2)]  # 2 s each
    side = VideoSequence(files, gaps=[10.0])
    views = synchronise(top, Recording(video=side, name="side"))
    seen = np.flatnonzero(views.a_to_b >= 0) / 2
    assert seen.tolist() == [0, 0.5, 1, 1.5, 12, 12.5, 13, 13.5]
    assert views.a_to_b[24] == 20 and views.a_to_b[4] == -1 and np.isnan(views.a_residual[4:24]).all()
    assert np.nanmax(np.abs(views.a_residual)) < 0.051
    assert (views.b_to_a >= 0).all()
