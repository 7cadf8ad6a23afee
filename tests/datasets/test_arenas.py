"""Zones against cases worked out by hand, the file against everything that can be wrong in it."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numbered_videos import numbered_frames, write_video

from behavior_prism.datasets import (
    Arena,
    Zone,
    load_arena,
    load_recording,
    occupancy,
    save_arena,
    simulate_recording,
    to_millimetres,
)

L_SHAPE = Zone(name="L", polygon=((0, 0), (10, 0), (10, 4), (4, 4), (4, 10), (0, 10)))


def tracks_of(points, keypoints=("a", "b")) -> xr.Dataset:
    """Tracks of one individual from (time, keypoint, 2)."""
    points = np.asarray(points, dtype=float)
    return xr.Dataset(
        {
            "position": (("time", "space", "keypoint", "individual"), points.transpose(0, 2, 1)[..., None]),
            "confidence": (("time", "keypoint", "individual"), np.ones((*points.shape[:2], 1))),
        },
        coords={"time": np.arange(len(points)) / 25, "space": ["x", "y"], "keypoint": list(keypoints)}
        | {"individual": ["m"]},
        attrs={"time_unit": "seconds"},
    )


def test_a_rectangle_holds_its_pixels_and_no_others():
    zone = Zone(name="r", rectangle=(3, 2, 4, 5))
    rows, cols = np.mgrid[:10, :12]
    inside = zone.contains(np.stack([cols, rows], axis=-1))
    expected = np.zeros((10, 12), dtype=bool)
    expected[2:7, 3:7] = True
    np.testing.assert_array_equal(inside, expected)


@pytest.mark.parametrize(
    "point, inside",
    [
        ((2, 2), True),
        ((2, 9), True),
        ((9, 2), True),
        ((9, 9), False),
        ((5, 5), False),
        ((-1, 2), False),
        ((11, 2), False),
        ((0, 5), True),  # left edge
        ((10, 2), False),  # right edge
        ((5, 0), True),  # upper edge
        ((2, 10), False),  # lower edge
        ((math.nan, 2), False),
    ],
)
def test_a_polygon_that_is_not_convex(point, inside):
    assert L_SHAPE.contains(point) == inside
    turned_round = Zone(name="L", polygon=L_SHAPE.polygon[::-1])
    assert turned_round.contains(point) == inside


def test_a_shape_drawn_by_hand_has_many_corners():
    turn = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    circle = np.stack([50 + 40 * np.cos(turn), 50 + 40 * np.sin(turn)], axis=1)
    begin = time.process_time()
    zone = Zone(name="round", polygon=tuple(map(tuple, circle.tolist())))
    assert time.process_time() - begin < 3
    assert zone.contains([(50, 50), (50, 91)]).tolist() == [True, False]
    circle[[700, 2000]] = circle[[2000, 700]]
    with pytest.raises(ValueError, match="edges do not cross"):
        Zone(name="round", polygon=tuple(map(tuple, circle.tolist())))


@given(st.tuples(st.floats(0, 20), st.floats(0, 20)).map(lambda p: (p[0] - 2, p[1] - 2)), st.integers(1, 15))
def test_of_zones_that_share_an_edge_one_holds_a_point(point, corner):
    """A square cut in two along any line from its lower left corner."""
    one = Zone(name="1", polygon=((0, 0), (corner, 0), (0, 16)))
    two = Zone(name="2", polygon=((corner, 0), (16, 0), (16, 16), (0, 16)))
    whole = Zone(name="both", polygon=((0, 0), (16, 0), (16, 16), (0, 16)))
    assert one.contains(point) ^ two.contains(point) == whole.contains(point)
    assert not (one.contains(point) and two.contains(point))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=3, max_size=3, unique=True))
def test_triangles_hold_what_lies_on_the_right_side_of_all_edges(corners):
    (ax, ay), (bx, by), (cx, cy) = corners
    turn = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if turn == 0:
        with pytest.raises(ValueError, match="area"):
            Zone(name="t", polygon=tuple(corners))
        return
    zone = Zone(name="t", polygon=tuple(corners))
    grid = np.stack(np.meshgrid(np.arange(-0.3, 41), np.arange(-0.7, 41)), axis=-1)
    sides = [
        ((qx - px) * (grid[..., 1] - py) - (qy - py) * (grid[..., 0] - px)) * np.sign(turn)
        for (px, py), (qx, qy) in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    clear = np.abs(np.stack(sides)).min(axis=0) > 1e-9
    np.testing.assert_array_equal(zone.contains(grid)[clear], (np.stack(sides) > 0).all(axis=0)[clear])


def test_wells_are_the_regions_of_a_recording(tmp_path):
    zones = [Zone(name=f"w{k}", rectangle=(32 * k, 0, 32, 64), well=True) for k in range(3)]
    nest = Zone(name="nest", polygon=((5, 5), (20.2, 5), (5, 20)))
    arena = Arena(frame_size=(64, 96), zones=(*zones, nest))
    video = write_video(tmp_path / "a.mp4", numbered_frames(5))
    recording = load_recording(video, regions=arena.regions())
    assert recording.individuals == ("w0", "w1", "w2")
    assert arena.regions()["w2"] == (64, 0, 32, 64)
    assert Arena(frame_size=(64, 96), zones=(nest,)).regions() == {}
    round_well = Zone(name="n", polygon=nest.polygon, well=True)
    x, y, width, height = Arena(frame_size=(64, 96), zones=(round_well,)).regions()["n"]
    assert (x, y, width, height) == (5, 5, 16, 16)  # pixels 5 to 20
    assert arena["nest"] is nest


def test_occupancy_says_what_is_not_known():
    nan = math.nan
    tracks = tracks_of([[(2, 2), (2, 4)], [(8, 8), (2, 2)], [(nan, 2), (9, 2)], [(nan, nan)] * 2])
    by_mean = occupancy(tracks, L_SHAPE)
    assert by_mean.dims == ("time", "individual") and by_mean.dtype == np.int8
    assert by_mean.values[:, 0].tolist() == [1, 0, 1, -1]
    assert occupancy(tracks, L_SHAPE, keypoint="a").values[:, 0].tolist() == [1, 0, -1, -1]
    with pytest.raises(ValueError, match="key point among .*'nose'"):
        occupancy(tracks, L_SHAPE, keypoint="nose")


def test_occupancy_of_halves_covers_the_recording():
    simulated = simulate_recording("mouse", seconds=4, size=(96, 96), seed=2)
    left, right = (Zone(name=n, rectangle=(x, -500, 548, 2000)) for n, x in (("left", -500), ("right", 48)))
    both = occupancy(simulated.tracks, left) + occupancy(simulated.tracks, right)
    assert (both == 1).all()
    x = simulated.tracks["position"].sel(space="x", keypoint="nose").values
    np.testing.assert_array_equal(occupancy(simulated.tracks, left, keypoint="nose").values, x < 47.5)


def test_calibration():
    arena = Arena(frame_size=(100, 100)).calibrated((10, 10), (40, 50), 25.0)
    assert arena.mm_per_pixel == 0.5
    tracks = tracks_of([[(2, 2), (2, 4)]])
    scaled = to_millimetres(tracks, arena)
    np.testing.assert_allclose(scaled["position"], tracks["position"] / 2)
    assert scaled.attrs["space_unit"] == "mm" and "space_unit" not in tracks.attrs
    with pytest.raises(ValueError, match="tracks in pixels, got mm"):
        to_millimetres(scaled, arena)
    with pytest.raises(ValueError, match="tracks in pixels, got mm"):
        occupancy(scaled, L_SHAPE)
    with pytest.raises(ValueError, match="expected a scale"):
        to_millimetres(tracks, Arena(frame_size=(100, 100)))
    for a, b, mm, message in (
        ((1, 1), (1, 1), 5, "two different points"),
        ((1, 1), (1, 2), 0, "above 0 mm"),
        ((1, math.nan), (1, 2), 5, "finite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            arena.calibrated(a, b, mm)


def test_there_and_back(tmp_path):
    arena = Arena(
        frame_size=(64, 96),
        zones=(Zone(name="wéll 1", rectangle=(0, 0, 32, 64), well=True), L_SHAPE),
        mm_per_pixel=0.31,
        camera="top",
    )
    path = save_arena(arena, tmp_path / "a" / "arena.json")
    assert load_arena(path) == arena
    with pytest.raises(FileExistsError, match="exists already"):
        save_arena(arena, path)
    save_arena(Arena(frame_size=(64, 96)), path, overwrite=True)
    assert load_arena(path).zones == ()
    assert [p.name for p in path.parent.iterdir()] == ["arena.json"]


GOOD = {"format": "behavior_prism.arena", "version": 1, "frame_size": [64, 96], "zones": []}


@pytest.mark.parametrize(
    "content, message",
    [
        ("no json", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        (b"\xff\xfe\x00", "expected JSON"),
        ([], "expected an arena"),
        ({"zones": []}, "expected an arena"),
        (GOOD | {"version": 2}, "expected version 1"),
        (GOOD | {"zone": []}, "got 'zone'"),
        ({k: GOOD[k] for k in ("format", "version")}, "expected 'frame_size'"),
        (GOOD | {"frame_size": [64]}, "frame_size height, width as 2"),
        (GOOD | {"frame_size": "ab"}, "expected a list"),
        (GOOD | {"frame_size": [64, 1.5]}, "frame_size as"),
        (GOOD | {"mm_per_pixel": -1}, "mm_per_pixel above 0"),
        (GOOD | {"mm_per_pixel": math.nan}, "mm_per_pixel above 0"),
        (GOOD | {"camera": 3}, "name of a camera"),
        (GOOD | {"zones": {}}, "list of zones"),
        (GOOD | {"zones": ["a"]}, "names with values"),
        (GOOD | {"zones": [{"name": "a"}]}, "zone 'a': expected a rectangle or a polygon, got neither"),
        (GOOD | {"zones": [{"rectangle": [0, 0, 1, 1]}]}, "expected a name"),
        (GOOD | {"zones": [{"name": "a", "colour": 1}]}, "got 'colour'"),
        (GOOD | {"zones": [{"name": "a", "rectangle": [0, 0, 0, 1]}]}, "width and a height above 0"),
        (GOOD | {"zones": [{"name": "a", "rectangle": [0, 0, 10**400, 1]}]}, "4 finite numbers"),
        (GOOD | {"zones": [{"name": "a", "rectangle": [0, 0, 9, 9], "well": 1}]}, "well as true or false"),
        (GOOD | {"zones": [{"name": "a", "rectangle": [0, 0, 99, 9], "well": True}]}, "within the picture of 96x64"),
        (GOOD | {"zones": [{"name": "a", "rectangle": [0, 0, 9, 9]}] * 2}, "'a' twice"),
        (GOOD | {"zones": [{"name": "a", "polygon": [[0, 0], [1, 1]]}]}, "3 to 10000 corners, got 2"),
        (GOOD | {"zones": [{"name": "a", "polygon": [[k, k * k] for k in range(20_000)]}]}, "3 to 10000 corners"),
        (GOOD | {"zones": [{"name": "a", "polygon": [[0, 0], [1, 1], [2, 2]]}]}, "with an area"),
        (GOOD | {"zones": [{"name": "a", "polygon": [[0, 0], [4, 4], [4, 0], [0, 3]]}]}, "do not cross"),
        (GOOD | {"zones": [{"name": "a", "polygon": [[0, 0], [1, None], [2, 2]]}]}, "2 finite numbers"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(content, message, tmp_path):
    path = tmp_path / "arena.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        load_arena(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_arena(tmp_path / "nowhere.json")
