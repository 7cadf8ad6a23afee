from __future__ import annotations

import gc

import numpy as np
import pytest
import sleap_io
import xarray as xr

from behavior_prism.datasets import Video, alignment_of, load_tracks, save_tracks


@pytest.fixture
def slp_file(tmp_path):
    skeleton = sleap_io.Skeleton(["nose", "tail"])
    tracks = [sleap_io.Track("a"), sleap_io.Track("b")]
    video = sleap_io.Video.from_filename("nowhere.mp4")
    frames = []
    for k in range(4):
        instances = [
            sleap_io.PredictedInstance.from_numpy(
                np.array([[k + 10.0 * t, 1.0], [k + 10.0 * t, 2.0]]),
                skeleton=skeleton,
                point_scores=np.array([0.5, 0.75]),
                track=tracks[t],
            )
            for t in range(2)
        ]
        frames.append(sleap_io.LabeledFrame(video=video, frame_idx=k, instances=instances))
    labels = sleap_io.Labels(frames, tracks=tracks, skeletons=[skeleton])
    path = tmp_path / "poses.slp"
    sleap_io.save_file(labels, str(path))
    return path


def test_slp_becomes_movement_layout(slp_file):
    tracks = load_tracks(slp_file, fps=20)
    assert tracks.position.dims == ("time", "space", "keypoint", "individual")
    assert tracks.individual.values.tolist() == ["a", "b"]
    assert tracks.keypoint.values.tolist() == ["nose", "tail"]
    assert tracks.position.sel(individual="b", keypoint="tail").isel(time=3).values.tolist() == [13.0, 2.0]
    assert tracks.confidence.sel(keypoint="tail").values.ravel().tolist() == [0.75] * 8
    np.testing.assert_allclose(tracks.time, np.arange(4) / 20)


def test_laid_on_the_video(slp_file):
    tracks = load_tracks(slp_file, times=np.arange(6) / 25, tolerance=2)
    assert tracks.sizes["time"] == 6
    assert bool(tracks.position.isel(time=slice(4, 6)).isnull().all())
    assert alignment_of(tracks).describe() == "4 rows on 6 frames: no row for 2 frames at the end"
    with pytest.raises(ValueError, match=r"a row for each of 6 frames, got 4, 2 too few at the end; .*tolerance=2"):
        load_tracks(slp_file, times=np.arange(6) / 25)


def test_more_poses_than_frames(slp_file):
    tracks = load_tracks(slp_file, times=np.arange(3) / 25)
    assert alignment_of(tracks).describe() == "4 rows on 3 frames: 1 row beyond the video left out"
    with pytest.raises(ValueError, match=r"rows for 2 frames, got 4 that reach 2 beyond them; .*tolerance=2"):
        load_tracks(slp_file, times=np.arange(2) / 25)


def test_netcdf_with_the_old_plural_dims(slp_file, tmp_path):
    tracks = load_tracks(slp_file, fps=20)
    old = tracks.rename({"keypoint": "keypoints", "individual": "individuals"})
    old.to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    xr.testing.assert_allclose(load_tracks(tmp_path / "old.nc"), tracks)


def test_a_part_lies_where_its_own_time_says(slp_file, tmp_path):
    times = np.arange(10) / 20
    whole = load_tracks(slp_file, times=times, tolerance=6)
    part = whole.isel(time=slice(2, 4))
    part.to_netcdf(tmp_path / "seconds.nc", engine="h5netcdf")
    counted = part.assign_coords(time=[2, 3]).assign_attrs(time_unit="frames")
    counted.to_netcdf(tmp_path / "frames.nc", engine="h5netcdf")
    for name in ("seconds.nc", "frames.nc"):
        laid = load_tracks(tmp_path / name, times=times)
        np.testing.assert_array_equal(laid.time, times)
        np.testing.assert_array_equal(laid.position[2:4], whole.position[2:4])
        assert bool(laid.position[[0, 1, 4, 5, 6, 7, 8, 9]].isnull().all())
    np.testing.assert_allclose(load_tracks(tmp_path / "frames.nc", fps=20).time, times[2:4])
    np.testing.assert_allclose(load_tracks(tmp_path / "seconds.nc", fps=20).time, times[2:4])


def test_a_pose_for_every_frame_needs_no_times(slp_file, tmp_path):
    load_tracks(slp_file, fps=20).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    uneven = np.array([0, 0.04, 0.05, 0.3])
    np.testing.assert_array_equal(load_tracks(tmp_path / "a.nc", times=uneven).time, uneven)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([0.1, 0.15, 0.2, 0.6], r"got 4 that reach 3 beyond them"),
        ([-0.2, 0.15, 0.2, 0.25], r"got 4 that reach 4 beyond them"),
        ([0.1, 0.11, 0.2, 0.25], r"those at 0\.1 and 0\.11 s both fall on frame 2; is their frame rate"),
    ],
)
def test_poses_between_frames(slp_file, tmp_path, own, message):
    load_tracks(slp_file).assign_coords(time=own).assign_attrs(time_unit="seconds").to_netcdf(
        tmp_path / "odd.nc", engine="h5netcdf"
    )
    with pytest.raises(ValueError, match=rf"odd\.nc: expected .*{message}"):
        load_tracks(tmp_path / "odd.nc", times=np.arange(10) / 20)


def test_netcdf_that_lacks_something(slp_file, tmp_path):
    tracks = load_tracks(slp_file)
    tracks.drop_vars("time").to_netcdf(tmp_path / "timeless.nc", engine="h5netcdf")
    tracks.isel(time=0, drop=True).to_netcdf(tmp_path / "still.nc", engine="h5netcdf")
    for name, message in (("timeless", "expected a 'time' coordinate"), ("still", "expected the dimensions")):
        with pytest.raises(ValueError, match=rf"{name}\.nc: tracks: .*{message}"):
            load_tracks(tmp_path / f"{name}.nc", times=np.arange(10) / 20)


def test_a_netcdf_with_spoilt_bytes_is_one_line(slp_file, tmp_path, capfd):
    whole = save_tracks(load_tracks(slp_file), tmp_path / "whole.nc").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(30):
        spoilt = bytearray(whole)
        for at in rng.integers(0, len(whole), 20):
            spoilt[at] = rng.integers(256)
        (tmp_path / "spoilt.nc").write_bytes(spoilt)
        try:
            load_tracks(tmp_path / "spoilt.nc")
        except ValueError as error:
            assert "spoilt.nc: " in str(error)
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_tracks(tmp_path / "no.slp")
    for name in ("bad.slp", "bad.nc", "bad.h5"):
        (tmp_path / name).write_text("nothing")
        with pytest.raises(ValueError, match=name):
            load_tracks(tmp_path / name)


@pytest.mark.shared
def test_sleap_flies(shared_data):
    folder = shared_data / "sleap-flies"
    video = Video(folder / "20190128_113421.120s.mp4")
    tracks = load_tracks(folder / "20190128_113421.120s.predictions.slp", times=video.times)
    assert dict(tracks.sizes) == {"time": 3000, "space": 2, "keypoint": 13, "individual": 2}
    analysis = load_tracks(folder / "20190128_113421.120s.predictions.analysis.h5", times=video.times)
    np.testing.assert_array_equal(tracks.position.values, analysis.position.values)
    # the thorax lies on a fly: much brighter than the dark floor
    frame = video[1500].mean(axis=2)
    for individual in tracks.individual.values:
        x, y = tracks.position.sel(individual=individual, keypoint="thorax").isel(time=1500).values.round().astype(int)
        assert frame[y - 3 : y + 4, x - 3 : x + 4].mean() > frame.mean() + 60
    fragments = load_tracks(folder / "centered_pair_predictions.slp")
    assert fragments.sizes["individual"] == 27
