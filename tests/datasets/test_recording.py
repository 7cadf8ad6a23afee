from __future__ import annotations

import numpy as np
import pytest

from behavior_prism.datasets import Video, fingerprint, load_recording, recording_name


def test_whole_view_by_default(video_file):
    recording = load_recording(video_file(20, "mouse 1.mp4"))
    assert recording.name == "mouse 1"
    assert recording.individuals == ("view",)
    assert recording.num_frames == 20
    frame = recording.video[0]
    assert recording.crop(frame, "view").shape == frame.shape


def test_name_of_a_file():
    videos = ("mouse 1.mp4", "my.bouts.mp4", "a.b.avi")
    assert [recording_name(v) for v in videos] == ["mouse 1", "my.bouts", "a.b"]
    for ending in ("bouts.csv", "BOUTS.CSV", "tracks.nc", "captions.csv", "features.zarr", "predictions.zarr"):
        assert recording_name(f"folder/my.bouts.{ending}") == "my.bouts"
    assert recording_name("table.csv") == "table"


def test_regions_and_part(video_file):
    recording = load_recording(
        video_file(20), regions={"left": (0, 0, 48, 64), "right": (48, 0, 48, 64)}, frames=(5, 9)
    )
    frame = recording.video[7]
    np.testing.assert_array_equal(recording.crop(frame, "right"), frame[:, 48:])
    assert recording.num_frames == 4


@pytest.mark.parametrize("box", [(0, 0, 97, 64), (-1, 0, 10, 10), (90, 0, 10, 10), (0, 0, 0, 10)])
def test_region_outside_the_picture(video_file, box):
    with pytest.raises(ValueError, match=r"region 'well' = .* leaves the picture of 96x64"):
        load_recording(video_file(5), regions={"well": box})


@pytest.mark.parametrize("frames", [(0, 6), (3, 3), (-2, 4)])
def test_part_outside_the_video(video_file, frames):
    with pytest.raises(ValueError, match=r"expected frames within \[0, 5\), got"):
        load_recording(video_file(5), frames=frames)


def test_fingerprint_tells_files_apart_and_survives_a_move(video_file, tmp_path):
    a, b = video_file(5, "a.mp4"), video_file(6, "b.mp4")
    assert fingerprint(a) != fingerprint(b)
    moved = tmp_path / "elsewhere.mp4"
    before = fingerprint(a)
    a.rename(moved)
    assert fingerprint(moved) == before
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(5_000_000))
    one = fingerprint(big)
    with big.open("r+b") as file:
        file.seek(10)
        file.write(b"x")
    assert fingerprint(big) != one


@pytest.mark.shared
def test_real_files_open(shared_data):
    video = Video(shared_data / "sleap-flies" / "20190128_113421.120s.mp4")
    assert video.shape == (3000, 1024, 1024, 3)
    assert video.fps == pytest.approx(25)
    fish = Video(shared_data / "larval-fish-strikes" / "fish_head-0001.avi")
    assert fish.shape == (21, 121, 121, 3)
    gif = Video(shared_data / "scivid-gifs" / "calms21_example.gif")
    assert len(gif) == 16


def test_tracks_that_were_laid_on_frames_with_care_are_taken_as_they_are(tmp_path):
    from behavior_prism.datasets import load_tracks, simulate_recording, write_recording

    paths = write_recording(simulate_recording("fly", seconds=1, size=(64, 64), num_animals=1), tmp_path)
    tracks = load_tracks(paths["tracks"], paths["video"])
    recording = load_recording(paths["video"], tracks=tracks)
    assert recording.tracks is tracks
    assert load_recording(paths["video"], tracks=paths["tracks"]).tracks.sizes == tracks.sizes
