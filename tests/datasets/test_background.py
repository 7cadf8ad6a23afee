"""Background subtraction against the simulator's truth, and against squares whose place is known."""

from __future__ import annotations

import numpy as np
import pytest
from numbered_videos import write_video

from behavior_prism.datasets import (
    CropSpec,
    Recording,
    Video,
    background_of,
    load_recording,
    plan_crops,
    simulate_recording,
    track_by_background,
    write_recording,
)


def squares(count: int = 40, *, wells: int = 1, missing=(), value: int = 220) -> np.ndarray:
    """A 9 x 9 square per well of 80 x 80 that walks round, at a place that :func:`place` tells."""
    frames = np.full((count, 80, 80 * wells, 3), 60, dtype=np.uint8)
    for t in range(count):
        for w in range(wells):
            if t not in missing:
                x, y = place(t, w)
                frames[t, y - 4 : y + 5, x - 4 : x + 5] = value
    return frames


def place(t: int, well: int) -> tuple[int, int]:
    return 80 * well + 10 + (7 * t + 13 * well) % 60, 10 + (11 * t) % 60


@pytest.mark.parametrize("arena, centre", [("mouse", ["body_center"]), ("fly", ["thorax", "abdomen"])])
@pytest.mark.parametrize("seed", [0, 4])
def test_against_the_truth_of_the_simulator(arena, centre, seed, tmp_path):
    simulated = simulate_recording(arena, seconds=20, num_animals=1, seed=seed)
    files = write_recording(simulated, tmp_path)
    tracks = track_by_background(load_recording(files["video"]))
    truth = simulated.tracks["position"].sel(keypoint=centre).mean("keypoint").values[..., 0]
    off = np.linalg.norm(tracks["position"].values[:, :, 0, 0] - truth, axis=1)
    assert np.isfinite(off).all()
    assert np.median(off) < 5 and np.quantile(off, 0.95) < 9  # the animals are some 65 pixels long
    plan = plan_crops(tracks, CropSpec(size=80, unit="pixels"), frame_size=simulated.size)
    assert plan["valid"].all() and plan["individual"].values.tolist() == ["animal"]


@pytest.mark.parametrize("value, animal", [(220, "any"), (220, "lighter"), (5, "darker")])
def test_exact_places_and_frames_without_an_animal(value, animal, tmp_path):
    missing = (3, 4, 20)
    video = write_video(tmp_path / "a.mp4", squares(missing=missing, value=value), options={"crf": "5"})
    tracks = track_by_background(load_recording(video), animal=animal)
    found = tracks["position"].values[:, :, 0, 0]
    for t in range(40):
        if t in missing:
            assert np.isnan(found[t]).all() and tracks["confidence"].values[t, 0, 0] == 0
        else:
            np.testing.assert_allclose(found[t], place(t, 0), atol=0.5)
            assert tracks["confidence"].values[t, 0, 0] == 1


def test_the_wrong_kind_of_animal_is_not_seen(tmp_path):
    video = write_video(tmp_path / "a.mp4", squares(value=220), options={"crf": "5"})
    assert np.isnan(track_by_background(load_recording(video), animal="darker", threshold=40)["position"]).all()


def test_one_animal_in_each_well(tmp_path):
    video = write_video(tmp_path / "a.mp4", squares(wells=2), options={"crf": "5"})
    wells = {"w1": (0, 0, 80, 80), "w2": (80, 0, 80, 80)}
    tracks = track_by_background(load_recording(video, regions=wells, frames=(5, 30)))
    assert tracks["individual"].values.tolist() == ["w1", "w2"] and tracks.sizes["time"] == 40
    for w in range(2):
        found = tracks["position"].values[:, :, 0, w]
        np.testing.assert_allclose(found[5:30], [place(t, w) for t in range(5, 30)], atol=0.5)
        assert np.isnan(found[:5]).all() and np.isnan(found[30:]).all()


def test_the_background_is_the_empty_arena(tmp_path):
    video = load_recording(write_video(tmp_path / "a.mp4", squares(), options={"crf": "5"})).video
    assert np.abs(background_of(video) - 60).max() < 4
    with pytest.raises(ValueError, match="one frame or more"):
        background_of(video, num_frames=0)


def test_grey_frames(tmp_path):
    video = write_video(tmp_path / "a.mp4", squares(), options={"crf": "5"})
    colour = load_recording(video)
    grey = Recording(video=Video(video, grey=True), name="a")
    assert grey.video.shape[-1] == 1
    np.testing.assert_allclose(track_by_background(grey)["position"], track_by_background(colour)["position"], atol=0.5)


def test_small_blobs_do_not_count(tmp_path):
    video = write_video(tmp_path / "a.mp4", squares(), options={"crf": "5"})
    tracks = track_by_background(load_recording(video), min_area=500)
    assert np.isnan(tracks["position"]).all() and (tracks["confidence"] == 0).all()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"animal": "pink"}, "animal: expected one of"),
        ({"threshold": 0}, "threshold: expected a number above 0"),
        ({"min_area": -1}, "min_area: expected a number above 0"),
        ({"background": np.zeros((3, 4))}, "background of 80x80"),
    ],
)
def test_wrong_arguments(wrong, message, tmp_path):
    recording = load_recording(write_video(tmp_path / "a.mp4", squares(4)))
    with pytest.raises(ValueError, match=message):
        track_by_background(recording, **wrong)
