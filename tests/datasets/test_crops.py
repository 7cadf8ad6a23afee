"""Crops against the simulator's truth and against squares worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray as xr
from numbered_videos import numbered_frames, write_video

from behavior_prism.datasets import (
    Arena,
    CropSpec,
    Recording,
    Video,
    crop_frame,
    cut_square,
    iter_crops,
    load_recording,
    plan_crops,
    plan_key,
    simulate_recording,
    to_millimetres,
    write_recording,
)
from behavior_prism.datasets.draw import draw_tracks

SIZE = (240, 320)


def tracks_of(position: np.ndarray, times: np.ndarray | None = None, individuals=("a",), keypoints=None) -> xr.Dataset:
    """Tracks from an array (time, keypoint, individual, space)."""
    names = keypoints or [f"k{k}" for k in range(position.shape[1])]
    return xr.Dataset(
        {
            "position": (("time", "space", "keypoint", "individual"), position.transpose(0, 3, 1, 2).astype(float)),
            "confidence": (("time", "keypoint", "individual"), np.ones(position.shape[:3])),
        },
        coords={
            "time": np.arange(len(position)) / 10 if times is None else times,
            "space": ["x", "y"],
            "keypoint": names,
            "individual": list(individuals),
        },
        attrs={"time_unit": "seconds"},
    )


def path_of(xs, **options) -> xr.Dataset:
    """One key point that moves along x."""
    xs = np.asarray(xs, dtype=float)
    return tracks_of(np.stack([xs, np.where(np.isnan(xs), np.nan, 50.0)], axis=-1)[:, None, None], **options)


def centres(tracks: xr.Dataset, **spec) -> tuple[np.ndarray, np.ndarray]:
    spec = {"size": 20, "unit": "pixels", **spec}
    plan = plan_crops(tracks, CropSpec(**spec), frame_size=(100, 200))
    return plan["centre"].values[:, 0, 0], plan["valid"].values[:, 0]


# -- geometry


def test_the_centroid_is_in_the_middle():
    simulated = simulate_recording("mouse", seconds=3, size=SIZE, seed=5)
    plan = plan_crops(simulated.tracks, CropSpec(size=60, unit="pixels", out_size=60), frame_size=SIZE)
    truth = simulated.tracks["position"].mean("keypoint").transpose("time", "individual", "space")
    np.testing.assert_allclose(plan["centre"], truth)
    assert plan["valid"].all() and (plan["side"] == 60).all() and (plan["angle"] == 0).all()
    assert plan["kind"].values.tolist() == ["individual", "individual"]


@pytest.mark.parametrize("side, out_size", [(40, 40), (40, 97), (80, 40), (75, 32)])
def test_a_mark_is_where_the_geometry_says(side, out_size):
    """A dot painted at an exact place, off the middle by a known shift, comes out there within half a pixel."""
    frame = np.zeros((200, 200, 3), dtype=np.uint8)
    frame[90:93, 119:122] = 255  # centre at x 120, y 91
    x, y, angle = 107.3, 96.6, 0.7
    crop = cut_square(frame, (x, y), side, angle, out_size=out_size)
    assert crop.shape == (out_size, out_size, 3)
    weight = crop[..., 0].astype(float)
    rows, cols = np.mgrid[:out_size, :out_size]
    found = np.array([(weight * cols).sum(), (weight * rows).sum()]) / weight.sum()
    dx, dy = 120 - x, 91 - y
    turned = np.array([dx * math.cos(angle) + dy * math.sin(angle), -dx * math.sin(angle) + dy * math.cos(angle)])
    np.testing.assert_allclose(found, turned * out_size / side + (out_size - 1) / 2, atol=0.5)


def test_a_crop_of_the_same_size_is_a_cutout():
    frame = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    crop = cut_square(frame, (49.5, 39.5), 40, 0.0, out_size=40)
    np.testing.assert_array_equal(crop, frame[20:60, 30:70])
    half = cut_square(frame, (49.5, 39.5), 40, 0.0, out_size=20)
    means = frame[20:60, 30:70].reshape(20, 2, 20, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(half - means).max() <= 0.5  # every pixel is the mean of its area


@pytest.mark.parametrize("out_size", [20, 40, 60])
def test_grey_frames_keep_their_channel(out_size):
    frame = np.random.default_rng(0).integers(0, 256, (100, 120, 1), dtype=np.uint8)
    crop = cut_square(frame, (49.5, 39.5), 40, 0.2, out_size=out_size)
    assert crop.shape == (out_size, out_size, 1)
    colour = cut_square(np.repeat(frame, 3, axis=2), (49.5, 39.5), 40, 0.2, out_size=out_size)
    np.testing.assert_array_equal(crop, colour[..., :1])


def test_shrinking_does_not_alias():
    """A board of single pixels becomes grey, not a pattern."""
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    frame = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    crop = cut_square(frame, (127.0, 127.0), 200, 0.3, out_size=40)
    assert np.abs(crop.astype(float) - 127.5).max() < 12


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("arena, up", [("mouse", ("tail_base", "nose")), ("fly", ("abdomen", "head"))])
def test_a_turned_crop_has_the_head_up(arena, up, seed):
    """The head is marked in the pictures; it must come out above the middle, on the middle column."""
    simulated = simulate_recording(arena, seconds=2, size=SIZE, num_animals=1, seed=seed)
    spec = CropSpec(centre=up, size=2.5, body=up, up=up, out_size=120)
    plan = plan_crops(simulated.tracks, spec, frame_size=SIZE)
    position = simulated.tracks["position"].sel(individual=f"{arena}1")
    for i in range(0, simulated.num_frames, 7):
        frame = np.zeros((*SIZE, 3), dtype=np.uint8)
        ends = [position.sel(keypoint=name).values[i] for name in up]
        x, y = np.rint(ends[1]).astype(int)
        frame[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 255
        crop = crop_frame(frame, plan.isel(time=i))[f"{arena}1"]
        row, col = np.argwhere(crop[..., 0] > 100).mean(axis=0)
        scale = 120 / float(plan["side"].values[i, 0])
        length = np.linalg.norm(ends[1] - ends[0]) * scale
        assert abs(col - 59.5) < 1 + scale and abs(row - (59.5 - length / 2)) < 1 + scale


def test_in_body_lengths_the_zoom_does_not_matter():
    """The same animal filmed at twice the size: the crops are the same picture."""
    near = simulate_recording("mouse", seconds=1, size=(480, 640), num_animals=1, seed=4)
    far = simulate_recording("mouse", seconds=1, size=(240, 320), num_animals=1, seed=4)
    spec = CropSpec(size=1.4, body=("tail_base", "nose"), out_size=64)
    plans = [plan_crops(s.tracks, spec, frame_size=s.size) for s in (near, far)]
    sides = [float(plan["side"].values[0, 0]) for plan in plans]
    assert sides[0] / sides[1] == pytest.approx(2, rel=0.02)
    assert all((plan["side"] == side).all() for plan, side in zip(plans, sides, strict=True))
    shapes = []
    for simulated, plan in zip((near, far), plans, strict=True):
        points = simulated.tracks["position"].values[:, :, :, 0] - plan["centre"].values[:, 0, :, None]
        shapes.append(points / float(plan["side"].values[0, 0]))
    assert np.abs(shapes[0] - shapes[1]).max() < 0.02


def test_box_and_named_centres_and_body_length():
    points = np.array([[[[10, 20]], [[40, 60]], [[13, 20]]]] * 3, dtype=float)  # 3 frames, 3 key points, one animal
    tracks = tracks_of(points)
    for centre, expected in (
        ("box", (25, 40)),
        ("centroid", (21, 100 / 3)),
        ("k1", (40, 60)),
        (("k0", "k2"), (11.5, 20)),
    ):
        plan = plan_crops(tracks, CropSpec(centre=centre, size=2), frame_size=(100, 100))
        np.testing.assert_allclose(plan["centre"].values[0, 0], expected)
        np.testing.assert_allclose(plan["side"], 100)  # two diagonals of 30 x 40
    points[1, 0] = np.nan
    plan = plan_crops(tracks_of(points), CropSpec(size=1, body=("k0", "k2")), frame_size=(100, 100))
    np.testing.assert_allclose(plan["side"], 3)
    np.testing.assert_allclose(plan["centre"].values[1, 0], (26.5, 40))  # of the key points that are known


def test_a_key_point_that_is_never_seen_does_not_spoil_the_body_length():
    points = np.array([[[[10, 20]], [[40, 60]], [[np.nan, np.nan]]]] * 3)
    plan = plan_crops(tracks_of(points), CropSpec(size=1), frame_size=(100, 100))
    np.testing.assert_allclose(plan["side"], 50)
    nobody = plan_crops(tracks_of(np.full((3, 2, 1, 2), np.nan)), CropSpec(), frame_size=(100, 100))
    assert not nobody["valid"].any()


def test_pairs_hold_both():
    simulated = simulate_recording("fly", seconds=2, size=SIZE, seed=3)
    spec = CropSpec(size=1.2, up=("abdomen", "head"))
    plan = plan_crops(simulated.tracks, spec, frame_size=SIZE, individuals=("fly2", "fly1|fly2"))
    assert plan["kind"].values.tolist() == ["individual", "pair"]
    alone = plan_crops(simulated.tracks, spec, frame_size=SIZE)
    pair = plan.sel(individual="fly1|fly2")
    np.testing.assert_allclose(pair["centre"], alone["centre"].mean("individual"))
    assert (pair["angle"] == 0).all()
    reach = np.abs(alone["centre"] - pair["centre"]).max("space") + alone["side"] / 2
    assert (reach <= pair["side"] / 2 + (alone["side"].max("individual") - alone["side"]) / 2 + 1e-9).all()
    assert (reach.max("individual") - pair["side"] / 2).max() == pytest.approx(0, abs=1e-9)


# -- gaps and smoothing


def test_gap_policies():
    nan = np.nan
    xs = [nan, 10, 20, nan, nan, 50, nan, nan, nan, 90, nan]
    for policy, expected in {
        "invalid": [nan, 10, 20, nan, nan, 50, nan, nan, nan, 90, nan],
        "hold": [nan, 10, 20, 20, 20, 50, nan, nan, nan, 90, 90],
        "interpolate": [nan, 10, 20, 30, 40, 50, nan, nan, nan, 90, nan],
    }.items():
        found, valid = centres(path_of(xs), gaps=policy, max_gap=0.2)
        np.testing.assert_allclose(found, expected)
        np.testing.assert_array_equal(valid, np.isfinite(expected))


def test_gaps_are_bridged_in_time_not_in_frames():
    times = np.array([0.0, 0.1, 0.4, 0.5])
    found, _ = centres(path_of([0, np.nan, 40, 50], times=times), max_gap=1)
    np.testing.assert_allclose(found, [0, 10, 40, 50])


def test_direction_over_a_gap_turns_the_short_way():
    turn = np.radians([170, 0, 190])
    ends = np.stack([np.sin(turn), -np.cos(turn)], axis=-1) * 10 + 50
    points = np.stack([np.full((3, 2), 50.0), ends], axis=1)[:, :, None]
    points[1, 1] = np.nan
    plan = plan_crops(
        tracks_of(points), CropSpec(centre="k0", size=9, unit="pixels", up=("k0", "k1")), frame_size=(100, 100)
    )
    np.testing.assert_allclose(np.degrees(plan["angle"].values[:, 0]) % 360, [170, 180, 190])


@pytest.mark.parametrize("method", ["gaussian", "savgol"])
def test_smoothing_keeps_a_straight_path_and_calms_a_noisy_one(method):
    ramp = np.arange(60.0)
    found, _ = centres(path_of(ramp), smooth=0.5, smoothing=method)
    np.testing.assert_allclose(found[20:-20], ramp[20:-20])
    noisy = ramp + np.random.default_rng(1).normal(0, 2, 60)
    found, _ = centres(path_of(noisy), smooth=0.5, smoothing=method)
    assert np.std(np.diff(found)) < 0.6 * np.std(np.diff(noisy))


def test_the_gaussian_is_the_one_of_scipy():
    from scipy.ndimage import gaussian_filter1d

    noisy = 50 + np.random.default_rng(1).normal(0, 2, 80)
    found, _ = centres(path_of(noisy), smooth=0.3)
    np.testing.assert_allclose(found[12:-12], gaussian_filter1d(noisy, 3, truncate=4)[12:-12])


@pytest.mark.parametrize("method", ["gaussian", "savgol"])
def test_smoothing_does_not_reach_over_what_is_not_known(method):
    xs = np.r_[np.full(20, 10.0), np.nan, np.full(20, 150.0)]
    found, valid = centres(path_of(xs), smooth=0.5, smoothing=method, gaps="invalid")
    np.testing.assert_allclose(found[:20], 10)
    np.testing.assert_allclose(found[21:], 150)
    assert not valid[20]


def test_low_confidence_is_not_known():
    tracks = path_of([10.0, 90, 30])
    tracks["confidence"][1] = 0.2
    found, _ = centres(tracks, min_confidence=0.5)
    np.testing.assert_allclose(found, [10, 20, 30])
    tracks["confidence"][1] = np.nan
    assert centres(tracks, min_confidence=0.5)[0][1] == 90


# -- reading


@pytest.mark.parametrize("border, outside", [("black", 0), ("grey", 128), ("edge", 200)])
def test_beyond_the_border(border, outside):
    frame = np.full((100, 100, 3), 200, dtype=np.uint8)
    spec = CropSpec(size=40, unit="pixels", out_size=40, border=border)
    plan = plan_crops(path_of([5.0, 500]), spec, frame_size=(100, 100))
    crop = crop_frame(frame, plan.isel(time=0), "a")["a"]  # x from -14.5 to 25.5
    assert (crop[:, :14] == outside).all() and (crop[:, 16:] == 200).all()
    assert not plan["valid"][1] and crop_frame(frame, plan.isel(time=1)) == {}


def test_a_crop_is_a_function_of_the_frame_alone(tmp_path):
    simulated = simulate_recording("mouse", seconds=2, size=(96, 128), seed=8)
    files = write_recording(simulated, tmp_path)
    recording = load_recording(files["video"], tracks=files["tracks"])
    spec = CropSpec(size=1.2, up=("tail_base", "nose"), smooth=0.2, out_size=32)
    plan = plan_crops(recording.tracks, spec, frame_size=(96, 128), individuals=("mouse1", "mouse2", "mouse1|mouse2"))
    in_order = dict(iter_crops(recording, plan))
    assert list(in_order) == list(range(50))
    order = np.random.default_rng(0).permutation(50)
    shuffled = list(iter_crops(recording, plan, order))
    assert [i for i, _ in shuffled] == order.tolist()
    for i, crops in shuffled:
        assert list(crops) == ["mouse1", "mouse2", "mouse1|mouse2"]
        for name, crop in crops.items():
            np.testing.assert_array_equal(crop, in_order[i][name])
            assert crop.shape == (32, 32, 3) and crop.dtype == np.uint8
    one = crop_frame(recording.video[7], plan.isel(time=7), ["mouse2"])
    np.testing.assert_array_equal(one["mouse2"], in_order[7]["mouse2"])
    assert next(iter_crops(recording, plan, [3], out_size=16))[1]["mouse1"].shape == (16, 16, 3)


def test_a_recording_that_means_a_part_is_read_in_part(tmp_path):
    video = Video(write_video(tmp_path / "a.mp4", numbered_frames(20)))
    recording = Recording(video=video, name="a", start_frame=5, stop_frame=8)
    plan = plan_crops(path_of(np.full(20, 30.0)), CropSpec(size=8, unit="pixels"), frame_size=(64, 96))
    assert [i for i, _ in iter_crops(recording, plan)] == [5, 6, 7]


def test_the_plan_can_be_kept_and_named(tmp_path):
    tracks = path_of(np.arange(5.0))
    plan = plan_crops(tracks, CropSpec(size=8, unit="pixels"), frame_size=(64, 96))
    plan.to_netcdf(tmp_path / "plan.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "plan.nc", engine="h5netcdf", decode_times=False) as again:
        assert plan_key(again) == plan_key(plan)
        assert "a" in crop_frame(np.zeros((64, 96, 3), np.uint8), again.isel(time=2))
    other = plan_crops(tracks, CropSpec(size=8, unit="pixels", smooth=0.1), frame_size=(64, 96))
    assert plan_key(other)["geometry"] != plan_key(plan)["geometry"]
    json.dumps(plan_key(plan))


def test_numbers_of_numpy_are_numbers():
    spec = CropSpec(size=np.float32(8), unit="pixels", smooth=np.float64(0), out_size=np.int64(16))
    assert spec == CropSpec(size=8, unit="pixels", out_size=16)
    plan = plan_crops(path_of(np.arange(5.0)), spec, frame_size=(64, 96))
    assert json.loads(plan.attrs["spec"])["size"] == 8.0


# -- what does not fit is one line


@pytest.mark.parametrize("out_size", [0, -3, 2.5, 100_000])
def test_a_side_that_no_crop_has(out_size):
    plan = plan_crops(path_of(np.arange(5.0)), CropSpec(size=8, unit="pixels"), frame_size=(64, 96))
    with pytest.raises(ValueError, match="out_size: expected a whole number from 1 to 4096"):
        crop_frame(np.zeros((64, 96, 3), np.uint8), plan.isel(time=0), out_size=out_size)


def test_millimetres_are_no_pixels():
    tracks = to_millimetres(path_of(np.arange(5.0)), Arena(frame_size=(64, 96), mm_per_pixel=0.5))
    with pytest.raises(ValueError, match="crops: expected tracks in pixels, got mm"):
        plan_crops(tracks, CropSpec(size=8, unit="pixels"), frame_size=(64, 96))
    with pytest.raises(ValueError, match="draw: expected tracks in pixels, got mm"):
        draw_tracks(np.zeros((64, 96, 3), np.uint8), tracks.isel(time=0))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"size": 0}, "size: expected more than 0"),
        ({"size": math.nan}, "size: expected a number"),
        ({"unit": "mm"}, "unit: expected one of"),
        ({"gaps": "guess"}, "gaps: expected one of"),
        ({"border": "pink"}, "border: expected one of"),
        ({"smoothing": "box"}, "smoothing: expected one of"),
        ({"max_gap": -1}, "max_gap: expected a number from 0"),
        ({"out_size": 0}, "out_size: expected a whole number"),
        ({"up": ("a",)}, "up: expected the names of two"),
        ({"body": "ab"}, "body: expected the names of two"),
        ({"centre": ()}, "centre: expected"),
    ],
)
def test_a_wrong_spec(wrong, message):
    with pytest.raises(ValueError, match=message) as error:
        CropSpec(**wrong)
    assert "\n" not in str(error.value)


def test_what_does_not_fit(tmp_path):
    tracks = path_of(np.arange(5.0))
    pixels = CropSpec(size=8, unit="pixels")
    with pytest.raises(ValueError, match="two key points for a body length"):
        plan_crops(tracks, CropSpec(), frame_size=(64, 96))
    with pytest.raises(ValueError, match="key points among .*'nose'"):
        plan_crops(tracks, CropSpec(centre="nose", size=8, unit="pixels"), frame_size=(64, 96))
    with pytest.raises(ValueError, match="individuals among .*'a|b'"):
        plan_crops(tracks, pixels, frame_size=(64, 96), individuals=["a|b"])
    with pytest.raises(ValueError, match="tracks in seconds"):
        plan_crops(tracks.assign_attrs(time_unit="frames"), pixels, frame_size=(64, 96))
    plan = plan_crops(tracks, pixels, frame_size=(64, 96))
    with pytest.raises(ValueError, match="frames of 96x64 .*got 20x10"):
        crop_frame(np.zeros((10, 20, 3), np.uint8), plan.isel(time=0))
    with pytest.raises(ValueError, match="one frame"):
        crop_frame(np.zeros((64, 96, 3), np.uint8), plan)
    recording = load_recording(write_video(tmp_path / "a.mp4", numbered_frames(6)))
    with pytest.raises(ValueError, match="planned for 6 frames, got 5"):
        iter_crops(recording, plan)
