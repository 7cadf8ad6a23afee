"""What ``behavior-prism show`` draws, where, and what it refuses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import xarray as xr
from numbered_videos import write_video
from typer.testing import CliRunner

from behavior_prism.cli import app
from behavior_prism.datasets import (
    Arena,
    CropSpec,
    Video,
    Zone,
    crop_frame,
    load_tracks,
    plan_crops,
    save_arena,
    simulate_recording,
    write_recording,
)
from behavior_prism.datasets.draw import color_of, describe_labels, draw_text, draw_tracks, enlarge
from behavior_prism.show import show_recording


def run(*args: object):
    return CliRunner().invoke(app, [str(a) for a in args])


def refused(*args: object) -> str:
    """The one line that was said."""
    result = run(*args)
    assert result.exit_code == 2, (result.output, result.exception)
    lines = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in result.output
    return lines[0]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    files = write_recording(simulate_recording("mouse", seconds=2, size=(96, 130), seed=3), folder)
    zones = (
        Zone(name="left", rectangle=(0, 0, 65, 96), well=True),
        Zone(name="né", polygon=((9, 9), (60, 9), (9, 60))),
    )
    files["arena"] = save_arena(Arena(frame_size=(96, 130), zones=zones), folder / "arena.json")
    return files


def test_a_video_with_everything(lab, tmp_path):
    out = tmp_path / "new" / "look.mp4"
    result = run(
        "show",
        lab["video"],
        "--tracks",
        lab["tracks"],
        "--labels",
        lab["bouts"],
        "--arena",
        lab["arena"],
        "--crop",
        0.9,
        "--up",
        "tail_base,nose",
        "--smooth",
        0.1,
        "--frames",
        "10:30",
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    assert str(out) in result.output
    shown, source = Video(out), Video(lab["video"])
    assert len(shown) == 20 and shown.index.codec == "h264"
    np.testing.assert_allclose(shown.times, source.times[10:30] - source.times[10], atol=1e-4)
    assert shown.shape[1] % 2 == 0 and shown.shape[2] % 2 == 0
    assert [p.name for p in out.parent.iterdir()] == ["look.mp4"]
    assert "exists already" in refused("show", lab["video"], "--out", out)
    assert run("show", lab["video"], "--out", out, "--overwrite").exit_code == 0
    assert len(Video(out)) == 50


def test_uneven_frames_keep_their_times(tmp_path):
    ticks = np.array([0, 40, 80, 200, 210, 300])
    frames = np.zeros((6, 64, 64, 3), np.uint8)
    video = write_video(tmp_path / "v.mkv", frames, times=ticks)
    out = show_recording(video, tmp_path / "v.mp4")
    np.testing.assert_allclose(Video(out).times, ticks / 1000, atol=2e-4)


def test_a_sheet(lab, tmp_path):
    out = tmp_path / "sheet.png"
    assert run("show", lab["video"], "--arena", lab["arena"], "--tiles", 4, "--out", out).exit_code == 0
    sheet = cv2.imread(str(out))
    one = tmp_path / "one.png"
    assert run("show", lab["video"], "--frames", "7:8", "--out", one).exit_code == 0
    tile = cv2.imread(str(one))
    assert tile.shape[1] == 360 and tile.shape[0] == 266 + 24
    assert sheet.shape[0] == 2 * tile.shape[0] + 6 and sheet.shape[1] == 2 * tile.shape[1] + 6
    frame = enlarge(Video(lab["video"])[7], 360 / 130)
    np.testing.assert_array_equal(tile[:266, :, ::-1], frame)  # nothing is drawn that was not asked for


def test_crops_stand_beside_the_frame(lab, tmp_path):
    spec = CropSpec(size=0.9, up=("tail_base", "nose"))
    video = Video(lab["video"])
    show_recording(lab["video"], tmp_path / "a.png", tracks=lab["tracks"], crop=spec, frames=(12, 13))
    sheet = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    tracks = load_tracks(lab["tracks"], times=video.times)
    crops = crop_frame(
        video[12], plan_crops(tracks, spec, frame_size=(96, 130)).isel(time=12), out_size=133
    )  # 266 rows for two
    panel = sheet[:266, 360:]
    for n, name in enumerate(("mouse1", "mouse2")):
        np.testing.assert_array_equal(panel[133 * n + 25 : 133 * (n + 1), 2:133], crops[name][25:, 2:])


def test_who_is_never_seen_takes_no_room(lab, tmp_path):
    tracks = xr.load_dataset(lab["tracks"], engine="h5netcdf", decode_times=False)
    tracks["position"][:, :, :, 0] = np.nan
    tracks.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    spec = CropSpec(size=40, unit="pixels")
    show_recording(lab["video"], tmp_path / "a.png", tracks=tmp_path / "t.nc", crop=spec, frames=(12, 13))
    assert cv2.imread(str(tmp_path / "a.png")).shape[:2] == (266 + 24, 360 + 256)
    tracks["position"][:] = np.nan
    tracks.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    show_recording(lab["video"], tmp_path / "b.png", tracks=tmp_path / "t.nc", crop=spec, frames=(12, 13))
    assert cv2.imread(str(tmp_path / "b.png")).shape[:2] == (266 + 24, 360)


def test_who_has_no_crop_in_the_frames_shown_takes_no_room(lab, tmp_path):
    tracks = xr.load_dataset(lab["tracks"], engine="h5netcdf", decode_times=False)
    tracks["position"][12:, :, :, 0] = np.nan  # known before, but a sheet of two shows 5 and 19 only
    tracks["position"][:10, :, :, 0] = np.nan
    tracks.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    spec = CropSpec(size=40, unit="pixels", gaps="invalid")
    show_recording(lab["video"], tmp_path / "a.png", tracks=tmp_path / "t.nc", crop=spec, frames=(5, 20), tiles=2)
    height, width = cv2.imread(str(tmp_path / "a.png")).shape[:2]
    assert (height, width) in ((266 + 24, 2 * (360 + 256) + 6), (2 * (266 + 24) + 6, 360 + 256))


def test_images_and_a_body_length_of_choice(lab, tmp_path):
    video, folder = Video(lab["video"]), tmp_path / "images"
    folder.mkdir()
    for i in range(50):
        cv2.imwrite(str(folder / f"{i}.png"), video[i][..., ::-1])
    assert "fps" in refused("show", folder, "--out", tmp_path / "a.png")
    args = ("--frames", "12:13", "--tracks", lab["tracks"], "--crop", 2, "--body", "tail_base,nose")
    assert run("show", folder, "--fps", 25, *args, "--out", tmp_path / "a.png").exit_code == 0
    spec = CropSpec(size=2, body=("tail_base", "nose"))
    show_recording(lab["video"], tmp_path / "b.png", tracks=lab["tracks"], crop=spec, frames=(12, 13))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png")), cv2.imread(str(tmp_path / "b.png")))
    both = ("--tracks", lab["tracks"], "--crop-pixels", 40, "--body", "tail_base,nose")
    assert "--body" in refused("show", lab["video"], *both, "--out", tmp_path / "c.png")


def test_labels_without_scored_rows_are_taken_as_scored_from_end_to_end(lab, tmp_path, monkeypatch):
    said: list[str] = []

    def remember(label):
        said.extend(describe_labels(label))
        return describe_labels(label)

    monkeypatch.setattr("behavior_prism.datasets.draw.describe_labels", remember)
    (tmp_path / "a.csv").write_text("behavior,individual,start_frame,stop_frame\nwalk,mouse1,3,5\n")
    show_recording(lab["video"], tmp_path / "a.png", labels=tmp_path / "a.csv", frames=(4, 6))
    assert said == ["mouse1: walk", "mouse1: -"]
    said.clear()
    (tmp_path / "b.csv").write_text(
        "kind,behavior,individual,start_frame,stop_frame\nbout,walk,mouse1,3,5\nscored,walk,mouse1,0,5\n"
    )
    show_recording(lab["video"], tmp_path / "b.png", labels=tmp_path / "b.csv", frames=(4, 6))
    assert said == ["mouse1: walk", "mouse1: not scored"]


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.7])
def test_points_are_drawn_where_they_are(scale):
    pose = simulate_recording("fly", seconds=1, size=(100, 100), num_animals=1).tracks.isel(time=3)
    pose = pose.where((pose["keypoint"] == "head") & (pose["space"] != ""))
    picture = np.zeros((round(100 * scale), round(100 * scale), 3), np.uint8)
    draw_tracks(picture, pose, scale=scale, names=False)
    weight = (picture == color_of(0)).all(axis=-1) | (picture.sum(axis=-1) > 0)
    found = np.argwhere(weight).mean(axis=0)[::-1]
    head = pose["position"].sel(keypoint="head").values[:, 0]
    np.testing.assert_allclose((found + 0.5) / scale - 0.5, head, atol=1.2 / min(scale, 1))


def test_labels_in_words():
    label = xr.DataArray(
        np.array([[1, 0, 1], [0, 0, -1], [-1, -1, -1]], dtype=np.int8),
        dims=("individual", "behavior"),
        coords={"individual": ["a", "b", "c"], "behavior": ["walk", "rear", "groom"]},
    )
    assert describe_labels(label) == ["a: walk, groom", "b: -", "c: not scored"]


@pytest.mark.parametrize("place", [(0, 0), (500, 500), (-50, 10)])
def test_text_stays_in_the_picture(place):
    picture = np.full((40, 200, 3), 90, np.uint8)
    draw_text(picture, "Prüfung [x]", place)
    assert (picture == 255).any() and (picture == 0).any()
    tiny = np.zeros((5, 5, 3), np.uint8)
    draw_text(tiny, "longer than the picture", place)


def test_what_does_not_fit_is_one_line(lab, tmp_path):
    out = tmp_path / "x.mp4"
    video = lab["video"]
    assert "ends in .mp4 or .png" in refused("show", video, "--out", tmp_path / "x.avi")
    assert "--frames" in refused("show", video, "--frames", "9", "--out", out)
    assert "[40, 99)" in refused("show", video, "--frames", "40:99", "--out", out)
    assert "--crop" in refused("show", video, "--crop", 2, "--out", out)
    assert "--up" in refused("show", video, "--tracks", lab["tracks"], "--up", "a,b", "--out", out)
    assert "--up" in refused("show", video, "--tracks", lab["tracks"], "--crop", 1, "--up", "a", "--out", out)
    assert "'snout'" in refused(
        "show", video, "--tracks", lab["tracks"], "--crop", 1, "--up", "snout,nose", "--out", out
    )
    assert "no such file" in refused("show", tmp_path / "none.mp4", "--out", out)
    assert "no such file" in refused("show", video, "--arena", tmp_path / "none.json", "--out", out)
    other = save_arena(Arena(frame_size=(10, 20)), tmp_path / "other.json")
    line = refused("show", video, "--arena", other, "--out", out)
    assert "130x96" in line and "20x10" in line and "other.json" in line
    foreign = tmp_path / "foreign.bouts.csv"
    foreign.write_text("recording,behavior,start_frame,stop_frame\nelse,walk,1,5\n")
    assert "sim-mouse-0003" in refused("show", video, "--labels", foreign, "--out", out)
    assert not out.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["foreign.bouts.csv", "other.json"]
