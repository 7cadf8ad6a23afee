"""Tracks of the other tools, in files that the tests write with those tools' own libraries where there are any."""

from __future__ import annotations

import datetime
import json

import cv2
import h5py
import numpy as np
import pytest
import sleap_io
import xarray as xr
from ndx_pose import PoseEstimation, PoseEstimationSeries, Skeleton, Skeletons
from pynwb import NWBHDF5IO, NWBFile

from behavior_prism.datasets import check_recording, load_recording, load_tracks, save_tracks, simulate_recording
from behavior_prism.datasets.track_jabs import KEYPOINTS

NODES = ("nose", "ear", "tail")


def made_up(frames: int = 6, animals: int = 2, nodes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """x and y (frame, animal, node, 2) in whole pixels, and scores; animal 1 is away in frame 2."""
    rng = np.random.default_rng(1)
    position, score = (
        rng.integers(5, 90, (frames, animals, nodes, 2)).astype(float),
        rng.uniform(0.1, 1, (frames, animals, nodes)),
    )
    position[2, animals - 1] = np.nan
    return position, score


def labels_of(position, score, *, nodes=NODES, name=None, first=0, tracked=True, video="mouse.mp4") -> sleap_io.Labels:
    skeleton = sleap_io.Skeleton(list(nodes), name=name)
    tracks = [sleap_io.Track(f"t{i}") for i in range(position.shape[1])]
    shown = sleap_io.Video.from_filename(video)
    frames = []
    for k in range(len(position)):
        instances = [
            sleap_io.PredictedInstance.from_numpy(
                position[k, n], skeleton=skeleton, point_scores=score[k, n], track=tracks[n] if tracked else None
            )
            for n in range(position.shape[1])
            if np.isfinite(position[k, n]).any()
        ]
        frames.append(sleap_io.LabeledFrame(video=shown, frame_idx=first + k, instances=instances))
    return sleap_io.Labels(frames, videos=[shown], tracks=tracks if tracked else [], skeletons=[skeleton])


def same(tracks: xr.Dataset, position: np.ndarray, score: np.ndarray | None = None) -> None:
    ours = tracks.position.transpose("time", "individual", "keypoint", "space").values
    np.testing.assert_allclose(ours, position, rtol=1e-6)
    if score is not None:
        ours = tracks.confidence.transpose("time", "individual", "keypoint").values
        seen = np.isfinite(position[..., 0])
        np.testing.assert_allclose(ours[seen], score[seen], rtol=1e-6)


@pytest.mark.parametrize("preset", ["matlab", "standard"])
def test_new_analysis_file_in_both_orders_of_axes(tmp_path, preset):
    position, score = made_up()
    path = tmp_path / "new.analysis.h5"
    sleap_io.save_analysis_h5(labels_of(position, score), str(path), preset=preset)
    tracks = load_tracks(path)
    same(tracks, position, score)
    same(tracks, sleap_io.load_analysis_h5(str(path)).numpy())


@pytest.mark.parametrize("transposed", [None, True, False])
def test_old_analysis_file_has_no_scores(tmp_path, transposed):
    position, _ = made_up()
    with h5py.File(tmp_path / "old.h5", "w") as file:
        if transposed is not None:
            file.attrs["transpose"] = transposed
        order = (0, 2, 3, 1) if transposed is False else (1, 3, 2, 0)
        file["tracks"] = position.transpose(order)
        file["node_names"] = np.array(NODES, dtype="S")
        file["track_names"] = np.array(["a", "b"], dtype="S")
    tracks = load_tracks(tmp_path / "old.h5")
    same(tracks, position)
    assert tracks.individual.values.tolist() == ["a", "b"] and bool(tracks.confidence.isnull().all())


def test_slp_under_another_name_and_of_the_first_version(tmp_path):
    position, score = made_up()
    sleap_io.save_slp(labels_of(position, score, first=2), str(tmp_path / "a.slp"))
    tracks = load_tracks(tmp_path / "a.slp")
    assert tracks.attrs["rows"] == "labelled frames" and bool(tracks.position[:2].isnull().all())
    same(tracks.isel(time=slice(2, None)), position, score)
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.slp").read_bytes())
    xr.testing.assert_equal(load_tracks(tmp_path / "a.h5"), tracks)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["metadata"].attrs["format_id"]
        instances = file["instances"][:]
        del file["instances"]
        file["instances"] = instances[[n for n in instances.dtype.names if n != "tracking_score"]]
    moved = load_tracks(tmp_path / "a.h5")  # the origin was the corner of the first pixel, not its middle
    np.testing.assert_allclose(moved.position, tracks.position - 0.5)


def test_slp_without_tracks(tmp_path):
    position, score = made_up(animals=1)
    sleap_io.save_slp(labels_of(position, score, tracked=False), str(tmp_path / "one.slp"))
    one = load_tracks(tmp_path / "one.slp")
    same(one, position, score)
    assert one.individual.values.tolist() == ["id_0"]
    position, score = made_up(animals=2)
    sleap_io.save_slp(labels_of(position, score, tracked=False), str(tmp_path / "two.slp"))
    with pytest.raises(ValueError, match=r"two\.slp: expected tracks, got up to 2 animals in a frame"):
        load_tracks(tmp_path / "two.slp")
    some = labels_of(position, score)
    some.labeled_frames[4].instances[0].track = None
    sleap_io.save_slp(some, str(tmp_path / "some.slp"))
    assert load_tracks(tmp_path / "some.slp").attrs["instances_without_track"] == 1


def test_slp_of_two_skeletons_goes_by_the_names_of_key_points(tmp_path):
    position, score = made_up(animals=1)
    a = labels_of(position, score, name="a")
    b = labels_of(position[..., ::-1, :], score[..., ::-1], nodes=NODES[::-1], name="b", first=6)
    for frame in b.labeled_frames:
        frame.video = a.videos[0]
    both = sleap_io.Labels(
        [*a.labeled_frames, *b.labeled_frames], videos=a.videos, tracks=[*a.tracks, *b.tracks],
        skeletons=[*a.skeletons, *b.skeletons],
    )  # fmt: skip
    sleap_io.save_slp(both, str(tmp_path / "both.slp"))
    tracks = load_tracks(tmp_path / "both.slp").sel(keypoint=list(NODES))
    same(tracks.isel(time=slice(0, 6), individual=[0]), position, score)
    same(tracks.isel(time=slice(6, 12), individual=[1]), position, score)


def test_a_frame_far_away_is_an_error_not_a_large_array(tmp_path):
    labels = labels_of(*made_up(animals=1))
    labels.labeled_frames[-1].frame_idx = 10**15
    sleap_io.save_slp(labels, str(tmp_path / "far.slp"))
    with pytest.raises(ValueError, match=r"far\.slp: expected at most \d+ points, got 1000000000000001 frames x 3 key"):
        load_tracks(tmp_path / "far.slp")


@pytest.mark.parametrize("frames", [10**7, 10**12])
def test_a_small_file_cannot_claim_the_memory(tmp_path, frames):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("tracks", (2, 2, 13, frames), "f8", chunks=(1, 1, 13, 10_000), compression="gzip")
        file["node_names"] = [f"n{i}".encode() for i in range(13)]
        file["track_names"] = [b"a", b"b"]
    with pytest.raises(ValueError, match=r"a\.h5: (broken HDF5 file \(/tracks is said to hold|expected at most)"):
        load_tracks(path)


def test_a_small_netcdf_cannot_either(tmp_path):
    path = save_tracks(simulate_recording("mouse", seconds=1, size=(64, 64)).tracks, tmp_path / "a.nc")
    with h5py.File(path, "r+") as file:
        del file["position"]
        file.create_dataset("position", (10**9, 2, 13, 2), "f8", chunks=(10_000, 2, 13, 2), compression="gzip")
    with pytest.raises(ValueError, match=r"a\.nc: .*/position is said to hold 416000000000 bytes"):
        load_tracks(path)


def test_slp_of_two_videos_needs_one_named(tmp_path, video_file):
    position, score = made_up()
    path = video_file(count=6, name="b.mp4")
    a, b = labels_of(position, score), labels_of(position + 1, score, video=str(path))
    both = sleap_io.Labels(
        [*a.labeled_frames, *b.labeled_frames],
        videos=[*a.videos, *b.videos],
        tracks=[*a.tracks, *b.tracks],
        skeletons=[*a.skeletons, *b.skeletons],
    )
    sleap_io.save_slp(both, str(tmp_path / "both.slp"))
    with pytest.raises(ValueError, match=r"both\.slp: expected poses of one video, got 2 \(mouse\.mp4, b\.mp4\)"):
        load_tracks(tmp_path / "both.slp")
    tracks = load_tracks(tmp_path / "both.slp", path)
    same(tracks.isel(individual=slice(2, 4)), position + 1, score)
    same(load_recording(path, tracks=tmp_path / "both.slp").tracks.isel(individual=slice(2, 4)), position + 1, score)
    report = check_recording(path, tracks=tmp_path / "both.slp", decode=False)
    assert [f.severity for f in report.findings if f.what == "tracks"] == ["info"]
    other = video_file(count=6, name="c.mp4")
    with pytest.raises(ValueError, match=r"one video called c\.mp4, got 2 \(mouse\.mp4, b\.mp4\)$"):
        load_recording(other, tracks=tmp_path / "both.slp")
    with pytest.raises(ValueError, match=r"got 2 \(mouse\.mp4, b\.mp4\); say whose are meant"):
        load_recording([path, other], tracks=tmp_path / "both.slp")  # a session is called as none of its files


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_jabs(tmp_path, version):
    position, score = made_up(animals=1 if version == 2 else 2, nodes=12)
    if version == 2:
        position[2] = 30  # sleap-io trips over a frame without an animal there
    labels = labels_of(position, score, nodes=KEYPOINTS, name="Mouse", video=str(tmp_path / "box.avi"))
    sleap_io.save_jabs(labels, min(version, 5))
    path = tmp_path / f"box_pose_est_v{version}.h5"
    if version == 6:  # the same poses; segmentation comes beside them
        (tmp_path / "box_pose_est_v5.h5").rename(path)
        with h5py.File(path, "r+") as file:
            file["poseest"].attrs["version"] = [6, 0]
    tracks = load_tracks(path)
    assert tracks.keypoint.values.tolist() == list(KEYPOINTS)
    theirs = sleap_io.load_jabs(str(path))
    # JABS counts animals from 0 in its window and its labels, sleap-io hands on the number in the file
    own = [n if version == 3 else str(int(n) + 1) for n in tracks.individual.values]
    order = [theirs.tracks.index(next(t for t in theirs.tracks if t.name == n)) for n in own]
    assert version == 3 or own == [str(n + 1) for n in range(len(own))]
    same(tracks, theirs.numpy()[:, order] if version > 2 else theirs.numpy())
    if version != 3:  # its tracklets end where an animal is away
        same(tracks, position, score)


def test_jabs_leaves_out_who_has_no_identity(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("poseest")
        group.attrs["version"] = [4, 0]
        group["points"] = np.full((3, 2, 12, 2), 7, dtype=np.uint16)
        group["confidence"] = np.ones((3, 2, 12), dtype=np.float32)
        group["instance_embed_id"] = np.array([[1, 2], [2, 1], [1, 2]], dtype=np.uint32)
        group["id_mask"] = np.array([[0, 0], [0, 0], [0, 1]], dtype=bool)
    tracks = load_tracks(tmp_path / "a.h5")
    assert tracks.attrs["instances_without_identity"] == 1
    assert bool(tracks.position.sel(individual="1", time=2).isnull().all())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["poseest/instance_embed_id"][1] = 1
    with pytest.raises(ValueError, match=r"a\.h5: expected animal 0 once per frame, got it twice in frame 1"):
        load_tracks(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["poseest/instance_embed_id"]
    with pytest.raises(
        ValueError, match=r"a\.h5: expected a JABS pose file of version 4, it lacks .*instance_embed_id"
    ):
        load_tracks(tmp_path / "a.h5")


@pytest.mark.parametrize("clock", ["timestamps", "rate"])
def test_nwb_with_ndx_pose(tmp_path, clock):
    position, score = made_up()
    times = 0.5 + np.arange(6) / 25
    nwb = NWBFile("poses", "made-up", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    behavior = nwb.create_processing_module("behavior", "poses")
    skeleton = Skeleton(name="mouse", nodes=list(NODES))
    behavior.add(Skeletons(skeletons=[skeleton]))
    when = {"timestamps": times} if clock == "timestamps" else {"rate": 25.0, "starting_time": 0.5}
    for n, animal in enumerate(("dam", "pup")):
        series = [
            PoseEstimationSeries(
                name=node, data=position[:, n, k], unit="pixels", reference_frame="top left",
                confidence=score[:, n, k], **when,
            )
            for k, node in enumerate(NODES)
        ]  # fmt: skip
        behavior.add(PoseEstimation(name=animal, pose_estimation_series=series, skeleton=skeleton))
    with NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(nwb)
    tracks = load_tracks(tmp_path / "a.nwb").sel(keypoint=list(NODES))
    assert tracks.individual.values.tolist() == ["dam", "pup"]
    np.testing.assert_allclose(tracks.time, times)
    same(tracks, position, score)


def test_nwb_in_other_units(tmp_path):
    position, score = made_up(animals=1)
    nwb = NWBFile("poses", "made-up", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    behavior = nwb.create_processing_module("behavior", "poses")
    skeleton = Skeleton(name="mouse", nodes=list(NODES))
    behavior.add(Skeletons(skeletons=[skeleton]))
    series = [
        PoseEstimationSeries(
            name=node, data=position[:, 0, k], unit="pixels", reference_frame="top left", confidence=score[:, 0, k],
            rate=25.0, conversion=0.5,
        )
        for k, node in enumerate(NODES)
    ]  # fmt: skip
    behavior.add(PoseEstimation(name="dam", pose_estimation_series=series, skeleton=skeleton))
    path = tmp_path / "a.nwb"
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    same(load_tracks(path).sel(keypoint=list(NODES)), position / 2, score)
    with h5py.File(path, "r+") as file:
        file["processing/behavior/dam/ear/data"].attrs["unit"] = "millimeters"
    with pytest.raises(ValueError, match=r"a\.nwb: expected /processing/behavior/dam/ear in pixels, got millimeters"):
        load_tracks(path)


def test_coco(tmp_path):
    position, _ = made_up(frames=4, animals=1)
    position[2] = 30
    images = [{"id": i, "file_name": f"img{i}.png", "width": 100, "height": 100} for i in range(4)]
    points = [np.column_stack([p[0], np.full(3, 2)]).ravel().tolist() for p in position]
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "keypoints": p, "num_keypoints": 3} for i, p in enumerate(points)
    ]
    for image in images:
        assert cv2.imwrite(str(tmp_path / image["file_name"]), np.zeros((100, 100), dtype=np.uint8))
    category = {"id": 1, "name": "mouse", "keypoints": list(NODES), "skeleton": []}
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": [category]}))
    same(load_tracks(tmp_path / "a.json"), position)


def test_saved_tracks_come_back(tmp_path):
    tracks = simulate_recording("mouse", seconds=1, num_animals=2, size=(64, 64)).tracks
    saved = save_tracks(tracks, tmp_path / "a.tracks.nc")
    xr.testing.assert_identical(load_tracks(saved), tracks)
    aligned = load_tracks(saved, times=tracks.time.values)
    again = load_tracks(save_tracks(aligned, saved, overwrite=True))
    xr.testing.assert_identical(again, aligned)
    with h5py.File(saved) as file:  # movement's names
        assert {"position", "confidence", "time", "space", "keypoint", "individual"} <= set(file)
        assert {"ds_type", "time_unit", "fps", "source_software"} <= set(file.attrs)
    with pytest.raises(FileExistsError, match=r"a\.tracks\.nc: exists already"):
        save_tracks(tracks, saved)
    with pytest.raises(ValueError, match=r"a\.h5: expected a name ending in \.nc"):
        save_tracks(tracks, tmp_path / "a.h5")


def test_what_is_not_read(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 1, 3, 2)))
    (tmp_path / "a.pickle").write_bytes(b"")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["temperature"] = [1, 2]
    for name, message in (
        ("a.npy", "expected named poses, got bare numbers without names"),
        ("a.pickle", "expected named poses, got a pickle"),
        ("a.h5", r"expected poses of SLEAP, DeepLabCut, JABS or NWB, got a file with \['temperature'\]"),
    ):
        with pytest.raises(ValueError, match=rf"{name}: {message}"):
            load_tracks(tmp_path / name)
    with pytest.raises(ValueError, match="a video or the times of its frames, got both"):
        load_tracks(tmp_path / "a.h5", "a.mp4", times=np.arange(3))
