"""Time in extraction: no window reaches over a gap, and a variable rate is sampled by time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_extraction import SHARD_BYTES, small_encoder, write_movie

from behavior_prism.analysis import extract_features, feature_shards, plan_features
from behavior_prism.datasets import WindowSpec, load_recording
from behavior_prism.datasets.windows import after_gaps, is_variable, sample_by_time
from behavior_prism.encoder import load_encoder

pytestmark = pytest.mark.torch
SPEC = WindowSpec(length=4, stride=2)


@pytest.fixture
def encoder(tmp_path):
    return load_encoder(small_encoder(tmp_path), device="cpu")


def test_what_lies_beyond_a_gap_does_not_enter(tmp_path, encoder):
    """A session of three files: each gives the features that it gives alone."""
    paths = [write_movie(tmp_path / f"part{k}.mkv", count) for k, count in enumerate((30, 3, 41))]
    session = load_recording(paths, gaps=[5.0, 0.5])
    features = extract_features(session, encoder, tmp_path / "session.zarr", window=SPEC)
    bounds = [0, 30, 33, 74]
    for path, a, b in zip(paths, bounds, bounds[1:], strict=False):
        alone = extract_features(load_recording(path), encoder, tmp_path / f"{path.stem}.zarr", window=SPEC)
        np.testing.assert_allclose(features.feature[0, a:b].values, alone.feature[0].values, atol=2e-3)
        assert (features.window_position[a:b].values == alone.window_position.values).all()
        own = ((features.clip_start_frame >= a) & (features.clip_start_frame < b)).values
        assert (features.clip_stop_frame[own] <= b).all()
        starts = (features.clip_start_frame[own] - a).values
        same = np.isin(alone.clip_start_frame.values, starts)
        theirs = alone.clip_embedding[0, same].values
        ours = features.clip_embedding[0, own].values[np.isin(starts, alone.clip_start_frame.values[same])]
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
        assert a > 0 or (len(theirs) == alone.sizes["clip"])
    assert features.clip_valid.all() and features.valid.all()


def test_a_gap_makes_another_store_and_none_leaves_the_key_alone(tmp_path, encoder):
    paths = [write_movie(tmp_path / f"part{k}.mkv", 12) for k in range(2)]
    joined, parted = load_recording(paths), load_recording(paths, gaps=[3.0])
    assert "gaps" not in plan_features(joined, encoder, SPEC).settings()
    assert plan_features(parted, encoder, SPEC).settings()["gaps"] == [12]


def test_clips_lie_in_the_frames_of_their_shard_wherever_gaps_are(tmp_path, encoder, monkeypatch):
    """Else a shard would wait in memory for clips far behind its frames."""
    monkeypatch.setattr(feature_shards, "SHARD_BYTES", SHARD_BYTES // 4)  # 16 frames
    movie = write_movie(tmp_path / "movie.mkv", 150)
    late = np.maximum(0, np.arange(150) - 90) // 3  # pieces of three frames in the last third
    recording = load_recording(movie, times=np.arange(150) / 30 + 10.0 * late)
    plan = plan_features(recording, encoder, SPEC)
    starts = plan.starts[plan.clips]
    assert (np.abs(starts - np.arange(len(starts)) * plan.clip_stride) <= SPEC.length).all()
    whole = extract_features(recording, encoder, tmp_path / "whole.zarr", window=SPEC)
    assert (whole.clip_valid[0].values == plan.is_clip).all() and plan.is_clip.sum() > 30
    assert (np.abs(whole.clip_embedding.values).max(axis=2) > 0).tolist() == [plan.is_clip.tolist()]
    lengths = (whole.clip_stop_frame - whole.clip_start_frame).values
    assert (lengths[~plan.is_clip] == 0).all() and set(lengths[plan.is_clip]) <= {3, 4}


@pytest.mark.parametrize("count", [1, 3, 4, 5, 7, 8, 9, 40, 41, 44, 45, 46])
@pytest.mark.parametrize("stride", [None, 2, 4])
def test_without_gaps_clips_are_what_they_were(tmp_path, encoder, count, stride):
    """Every so many windows, and the last one."""
    recording = load_recording(np.zeros((count, 24, 24, 3), np.uint8), fps=30)
    plan = plan_features(recording, encoder, SPEC, clip_stride=stride)
    expected = np.arange(0, len(plan.starts), plan.clip_stride // SPEC.stride)
    if expected[-1] != len(plan.starts) - 1:
        expected = np.append(expected, len(plan.starts) - 1)
    assert plan.clips.tolist() == expected.tolist() and plan.is_clip.all()


def test_a_clip_ends_before_a_gap_also_with_a_step(tmp_path, encoder):
    movie = write_movie(tmp_path / "movie.mkv", 60)
    times = np.arange(60) / 30 + 10.0 * (np.arange(60) >= 31)
    plan = plan_features(load_recording(movie, times=times), encoder, WindowSpec(length=4, step=3, stride=2))
    template = plan.template()
    assert plan.gaps.tolist() == [11]  # frame 33; the gap is before frame 31
    before = template.clip_start_frame.values < 31
    assert template.clip_stop_frame.values[before].max() == 31
    assert template.clip_time.values[before].max() < 1.1


def test_a_variable_rate_is_sampled_by_time(tmp_path, encoder):
    movie = write_movie(tmp_path / "movie.mkv", 200)
    slow = np.linspace(1 / 60, 1 / 15, 199)
    recording = load_recording(movie, times=np.concatenate([[0], np.cumsum(slow)]))
    plan = plan_features(recording, encoder, SPEC, rate=10.0)
    sampled = recording.times[plan.frames]
    nearest = np.abs(recording.times[None] - np.arange(len(sampled))[:, None] / 10).argmin(axis=1)
    assert plan.frames.tolist() == nearest.tolist() and plan.settings()["rate"] == 10.0
    by_step = plan_features(recording, encoder, SPEC)
    assert by_step.frames.tolist() == list(range(200)) and "rate" not in by_step.settings()


def test_a_constant_rate_is_sampled_by_step(tmp_path, encoder):
    recording = load_recording(write_movie(tmp_path / "movie.mkv", 100))  # 25 fps in ticks of 1 ms
    plan = plan_features(recording, encoder, WindowSpec(length=4, step=3), rate=10.0)
    assert plan.frames.tolist() == list(range(0, 100, 3)) and plan.rate is None


def test_rounding_and_drops_make_no_variable_rate():
    ticks = np.round(np.arange(2000) / 240, 3)
    assert not is_variable(ticks)
    assert not is_variable(np.delete(np.arange(2000) / 30, [50, 51, 700, 1200]))
    assert is_variable(np.concatenate([np.arange(300) / 30, 10 + np.arange(300) / 24]))
    assert not is_variable(np.arange(5) ** 2.0)  # too few to tell


def test_sampling_by_time_keeps_to_the_interval():
    times = np.arange(100) / 25
    frames = sample_by_time(times, 10, 60, 5.0)
    assert frames.tolist() == list(range(10, 60, 5))
    assert sample_by_time(times, 3, 4, 5.0).tolist() == [3]
    assert len(np.unique(sample_by_time(times, 0, 100, 1000.0))) == 100


def test_a_camera_that_is_slower_at_night_has_no_gaps_for_that(tmp_path, encoder):
    times = np.concatenate([np.arange(600) / 30, 20 + np.arange(400) / 10])
    assert after_gaps(times).size == 0 and is_variable(times)
    times[700:] += 60
    assert after_gaps(times).tolist() == [700]
    recording = load_recording(np.zeros((1000, 24, 24, 3), np.uint8), times=times)
    plan = plan_features(recording, encoder, SPEC, rate=10.0)
    seconds = recording.times[plan.frames]
    assert np.abs(np.diff(seconds) - 0.1)[np.diff(seconds) < 50].max() < 0.04 and len(plan.gaps) == 1


def test_gaps_are_told_by_usual_intervals():
    assert after_gaps(np.array([0.0, 1.0, 2.0, 4.0, 5.0])).size == 0
    assert after_gaps(np.array([0.0])).size == 0
    with pytest.raises(ValueError, match="max_gap"):
        after_gaps(np.arange(3.0), 0.5)


def test_a_frame_of_noise_before_a_gap_changes_nothing_after_it(tmp_path, encoder):
    """The same second piece behind two different first ones: the same bits."""
    from numbered_videos import write_video
    from small_extraction import moving_square

    second = write_movie(tmp_path / "b.mkv", 20)
    noise = np.random.default_rng(1).integers(0, 255, (21, 48, 64, 3), dtype=np.uint8)
    out = []
    for k, frames in enumerate((moving_square(21), noise)):
        first = write_video(tmp_path / f"a{k}.mkv", frames, options={"crf": "12"})
        session = load_recording([first, second], gaps=[4.0])
        out.append(extract_features(session, encoder, tmp_path / f"{k}.zarr", window=SPEC).feature[0, 21:].values)
    assert torch.equal(torch.from_numpy(out[0]), torch.from_numpy(out[1]))
