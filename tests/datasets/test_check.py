"""What `check_recording` finds in videos that were broken on purpose, and does not find in good ones."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from numbered_videos import numbered_frames, write_video

from behavior_prism.datasets import check_recording, load_tracks, simulate_recording, write_recording


def moving(count, *, noise=0, height=64, width=96):
    """A dark square on grey that moves on by one pixel a frame."""
    rng = np.random.default_rng(0)
    frames = np.full((count, height, width, 3), 120, dtype=np.int64)
    frames += rng.normal(0, noise, frames.shape).astype(np.int64) if noise else 0
    for k in range(count):
        frames[k, 20:40, k % (width - 20) : k % (width - 20) + 20] = 30
    return frames.clip(0, 255).astype(np.uint8)


def found(report):
    return {f.what: f for f in report.findings if f.severity != "info"}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    recording = simulate_recording("mouse", seconds=4, size=(96, 96))
    return write_recording(recording, tmp_path_factory.mktemp("simulated"))


@pytest.mark.parametrize(
    ("ending", "codec", "options"),
    [
        (".mp4", "libx264", {}),
        (".mkv", "libx264", {"bf": "3", "crf": "35"}),
        (".avi", "mjpeg", {}),
        (".mkv", "ffv1", {}),
        (".mp4", "mpeg4", {}),
    ],
)
@pytest.mark.parametrize("fps", [25, 30, 240])
def test_a_good_video_passes(tmp_path, ending, codec, options, fps):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / f"good{ending}", moving(75), codec=codec, fps=fps, pix_fmt=pix_fmt, options=options)
    report = check_recording(path)
    assert report.severity == "info", report.findings
    assert report.facts["frames"] == report.facts["decoded_frames"] == 75
    assert report.facts["fps"] == pytest.approx(fps, rel=0.05)
    assert (report.facts["width"], report.facts["height"], report.facts["codec"]) == (
        96,
        64,
        codec.removeprefix("lib").replace("x264", "h264"),
    )


def test_a_simulated_recording_passes_with_its_tracks_and_labels(simulated):
    report = check_recording(simulated["video"])
    assert report.severity == "info", report.findings
    texts = " ".join(f.text for f in report.findings)
    assert "90.0% of the frames scored" in texts and "0 frames without any pose" in texts
    assert json.loads(json.dumps(report.to_dict()))["facts"]["frames"] == report.facts["frames"]


def test_gaps_are_listed_and_dropped_frames_counted(tmp_path):
    kept = np.concatenate([np.arange(0, 40), np.arange(50, 70), np.arange(72, 110)])
    path = write_video(tmp_path / "gap.mkv", moving(110)[kept], times=kept * 40)
    report = check_recording(path, decode=False)
    assert set(found(report)) == {"gaps", "dropped"}
    assert found(report)["gaps"].where == ((39, 40), (59, 60))
    assert report.facts["gaps"] == [
        {"frame": 39, "time": 1.56, "seconds": 0.44},
        {"frame": 59, "time": 2.76, "seconds": 0.12},
    ]
    assert "about 12 frames" in found(report)["dropped"].text
    assert "0.440 s after frame 39 (at 1.560 s)" in found(report)["gaps"].text


def test_a_variable_rate_is_told_from_dropped_frames(tmp_path):
    times = np.cumsum(np.random.default_rng(1).integers(15, 60, size=80))
    report = check_recording(write_video(tmp_path / "phone.mkv", moving(80), times=times - times[0]))
    text = found(report)["rate"].text
    assert "variable" in text and "dropped" not in found(report)
    told = [float(t) for t in re.findall(r"[\d.]+(?= to| ms)", text)]
    assert len(told) == 2 and set(told) <= set(np.diff(times).astype(float))  # intervals that occur


def test_the_longest_interval_told_is_one_that_occurs(tmp_path):
    times = np.r_[0, np.cumsum(np.r_[np.tile([33, 50], 40), 1000, 2000])]
    report = check_recording(write_video(tmp_path / "web.mkv", moving(83), times=times), decode=False)
    assert "98 % of the intervals from 33 to 2000 ms" in found(report)["rate"].text  # not 1191 or the like


@pytest.mark.parametrize("noise", [0, 3])
@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_a_camera_that_stutters(tmp_path, codec, noise):
    order = np.arange(90)
    order[30:35] = 30  # one picture, four times more
    order[60:62] = 60
    path = write_video(tmp_path / "stutter.mkv", moving(90, noise=noise)[order], codec=codec)
    report = check_recording(path)
    assert set(found(report)) == {"repeated"}
    assert found(report)["repeated"].where == ((31, 35), (61, 62))
    assert "longest run [31, 35)" in found(report)["repeated"].text


def test_a_still_scene_is_no_stutter(tmp_path):
    steps = np.r_[np.arange(40), np.full(60, 39), np.arange(40, 80)]  # moves, rests, moves
    frames = moving(80)[steps].astype(np.int64)
    frames += np.random.default_rng(2).normal(0, 3, frames.shape).astype(np.int64)
    path = write_video(tmp_path / "rests.mkv", frames.clip(0, 255).astype(np.uint8), options={"crf": "12"})
    assert check_recording(path).severity == "info"


def test_a_single_repeated_picture_in_many_is_no_warning(tmp_path):
    order = np.arange(200)
    order[100] = 99
    report = check_recording(write_video(tmp_path / "once.mkv", moving(200)[order], codec="ffv1"))
    assert report.severity == "info" and [f.where for f in report.findings if f.what == "repeated"] == [((100, 101),)]


def test_a_picture_that_never_changes(tmp_path):
    still = np.full((20, 64, 96, 3), 90, np.uint8)
    assert found(check_recording(write_video(tmp_path / "still.mkv", still)))["repeated"].where == ((1, 20),)


def test_cut_short_is_an_error_and_the_rest_is_still_checked(tmp_path):
    path = write_video(tmp_path / "cut.mp4", numbered_frames(100), container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    report = check_recording(path)
    assert report.severity == "error" and "promises 100 frames" in found(report)["cut short"].text
    assert 0 < report.facts["frames"] < 100 == report.facts["header_frames"]


def test_damage_is_listed_by_frame(tmp_path):
    path = write_video(tmp_path / "damaged.mkv", moving(100, noise=20), options={"g": "10", "keyint_min": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = b"\xff" * 600
    path.write_bytes(data)
    report = check_recording(path)
    intervals = found(report)["undecodable"].where
    bad = sum(b - a for a, b in intervals)
    assert 0 < bad < 60 and all(30 < a < b < 71 for a, b in intervals)
    assert report.facts["decoded_frames"] == report.facts["frames"] - bad
    assert "undecodable" not in found(check_recording(path, decode=False))


def test_what_is_no_video_is_a_finding(tmp_path):
    (tmp_path / "notes.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").touch()
    for name in ("notes.mp4", "empty.mp4"):
        report = check_recording(tmp_path / name)
        assert [f.what for f in report.findings] == ["unreadable"] and report.severity == "error"
        assert "\n" not in report.findings[0].text and report.facts == {}


def test_what_is_not_there_is_an_error(tmp_path, simulated):
    with pytest.raises(FileNotFoundError, match="none.mp4"):
        check_recording(tmp_path / "none.mp4")
    with pytest.raises(FileNotFoundError, match="none.nc"):
        check_recording(simulated["video"], tracks=tmp_path / "none.nc")
    with pytest.raises(IsADirectoryError):
        check_recording(simulated["video"], labels=tmp_path)


def test_tracks_that_do_not_fit(tmp_path, simulated):
    tracks = load_tracks(simulated["tracks"])

    def check(changed):
        changed.to_netcdf(tmp_path / "changed.nc", engine="h5netcdf")
        return found(check_recording(simulated["video"], tracks=tmp_path / "changed.nc", decode=False))

    assert not check(tracks)
    fewer = check(tracks.isel(time=slice(0, -1)))
    assert fewer["tracks"].where == ((tracks.sizes["time"] - 1, tracks.sizes["time"]),)
    far = tracks.copy(deep=True)
    far["position"][5:8, 0] += 500
    assert check(far)["poses"].where == ((5, 8),) and check(far)["poses"].severity == "warning"
    swapped = tracks.copy(deep=True)
    swapped["position"] = swapped["position"] * np.nan
    assert "holds no pose" in check(swapped)["poses"].text
    slower = tracks.assign_coords(time=tracks["time"] * 30 / 25)
    assert "another frame rate" in check(slower)["track times"].text
    more = tracks.isel(time=np.arange(tracks.sizes["time"] + 2) % tracks.sizes["time"])
    more = more.assign_coords(time=np.arange(more.sizes["time"]) / 25)
    assert check(more)["tracks"].severity == "error"


def test_swapped_coordinates_are_named(tmp_path):
    path = write_video(tmp_path / "wide.mkv", moving(20))  # 96 wide, 64 high
    recording = simulate_recording("mouse", seconds=1, size=(64, 64), num_animals=1)
    tracks = load_tracks(write_recording(recording, tmp_path)["tracks"]).isel(time=slice(0, 20))
    tracks = tracks.assign_coords(time=np.arange(20) / 25)
    tracks["position"][:] = 10.0
    tracks["position"].loc[{"space": "y"}] = 80.0
    tracks.to_netcdf(tmp_path / "wide.tracks.nc", engine="h5netcdf")
    finding = found(check_recording(path))["poses"]
    assert finding.severity == "error" and "swapped" in finding.text


def test_labels_that_do_not_fit(tmp_path, simulated):
    num_frames = check_recording(simulated["video"], decode=False).facts["frames"]

    def check(rows):
        pd.DataFrame(rows).to_csv(tmp_path / "changed.csv", index=False)
        return check_recording(
            simulated["video"], labels=tmp_path / "changed.csv", tracks=simulated["tracks"], decode=False
        )

    name = simulated["video"].stem
    rows = [
        {"recording": name, "behavior": "groom", "start_frame": 5, "stop_frame": 20},
        {"recording": name, "behavior": "groom", "start_frame": 15, "stop_frame": 30},
        {"recording": name, "behavior": "rear", "start_frame": 15, "stop_frame": num_frames + 9},
    ]
    findings = found(check(rows))
    assert set(findings) == {"labels past end", "overlapping bouts"}
    assert findings["overlapping bouts"].where == ((15, 20),)
    assert findings["labels past end"].where == ((15, num_frames + 9),)
    other = [row | {"recording": "another"} for row in rows]
    assert "speaks of another" in found(check(other))["labels"].text
    late = [{"behavior": "groom", "start": 1.0, "stop": 99.0}]
    assert "outside of the recording" in found(check(late))["labels"].text
    off = [{"behavior": "groom", "start_frame": 30, "stop_frame": 60, "start": 1.0, "stop": 2.0}]
    assert "by up to 0.400 s" in found(check(off))["label times"].text
    part = [
        {"kind": "scored", "behavior": "groom", "start_frame": 0, "stop_frame": num_frames // 4},
        {"kind": "bout", "behavior": "groom", "start_frame": 5, "stop_frame": 9},
    ]
    report = check(part)
    assert report.severity == "info" and any("25.0% of the frames scored" in f.text for f in report.findings)


def test_rotation_and_start_are_told(tmp_path):
    times = 5000 + 40 * np.arange(20)
    report = check_recording(write_video(tmp_path / "late.mkv", moving(20), times=times), decode=False)
    assert report.severity == "info"
    assert report.facts["start_time"] == 5 and report.facts["rotation"] == "none"
    assert any(f.what == "start time" and "5 s" in f.text for f in report.findings)


def test_progress_counts_every_frame(tmp_path):
    seen = []
    check_recording(write_video(tmp_path / "a.mkv", moving(12)), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(k + 1, 12) for k in range(12)]


@pytest.fixture(params=["images", "stack", "array"])
def pictures(request, tmp_path):
    """30 moving pictures, the 11th twice, as what is no video file."""
    frames = moving(30)
    frames[11] = frames[10]
    path = tmp_path / {"images": "mouse", "stack": "mouse.tif", "array": "mouse.npy"}[request.param]
    if request.param == "images":
        path.mkdir()
        for k, frame in enumerate(frames):
            cv2.imwrite(str(path / f"{k}.png"), frame)
    elif request.param == "stack":
        assert cv2.imwritemulti(str(path), list(frames))
    else:
        np.save(path, frames)
    return path


def test_pictures_that_are_no_video_file(pictures):
    report = check_recording(pictures, fps=10)
    assert found(report)["repeated"].where == ((11, 12),) and set(found(report)) == {"repeated"}
    facts = report.facts
    assert facts["frames"] == facts["decoded_frames"] == 30 and (facts["fps"], facts["seconds"]) == (10, 3)
    assert (facts["width"], facts["height"], facts["header_frames"]) == (96, 64, None) and facts["bytes"] > 1000
    of_video = check_recording(write_video(pictures.parent / "a.mkv", moving(5)), decode=False).facts
    assert set(facts) == set(of_video)
    assert json.loads(json.dumps(report.to_dict()))["facts"] == facts
    (text,) = [f.text for f in report.findings if f.what == "video"]
    assert text.startswith("30 frames in 3.000 s at 10 fps, 96x64, ")
    without = check_recording(pictures)
    assert [f.what for f in without.findings] == ["times"] and "expected the frame rate" in without.findings[0].text


def test_labels_beside_pictures(pictures):
    rows = [{"recording": "mouse", "behavior": "groom", "start_frame": 5, "stop_frame": 20}]
    pd.DataFrame(rows).to_csv(pictures.with_name("mouse.bouts.csv"), index=False)
    assert any(f.what == "labels" and "1 bout" in f.text for f in check_recording(pictures, fps=10).findings)


def test_a_damaged_image_and_a_missing_one(tmp_path):
    for k, frame in enumerate(moving(12)):
        cv2.imwrite(str(tmp_path / f"{k}.png"), frame)
    (tmp_path / "7.png").write_bytes(b"nothing")
    report = check_recording(tmp_path, fps=10)
    assert found(report)["undecodable"].where == ((7, 8),) and report.facts["decoded_frames"] == 11
    (tmp_path / "7.png").unlink()
    report = check_recording(tmp_path, fps=10)
    assert [f.what for f in report.findings] == ["times"] and "got 6.png then 8.png" in report.findings[0].text


def test_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "folder without images" in found(check_recording("."))["unreadable"].text
    assert found(check_recording("/"))


def test_a_second_stream_is_told(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for frame in [*moving(20), None]:
            for stream in streams:
                picture = None if frame is None else av.VideoFrame.from_ndarray(frame, format="rgb24")
                container.mux(stream.encode(picture))
    report = check_recording(path)
    assert set(found(report)) == {"streams"} and report.facts["video_streams"] == 2
    assert "2 video streams; the first" in found(report)["streams"].text


def test_a_file_is_not_judged_by_its_name(tmp_path):
    (tmp_path / "time stamps of the clock.mp4").write_text("not a video")
    assert set(found(check_recording(tmp_path / "time stamps of the clock.mp4"))) == {"unreadable"}


def test_frames_that_a_grabber_dropped(tmp_path):
    """An AVI holds an empty chunk for each; neither is its end missing nor its time wrong."""
    path = tmp_path / "dropped.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuvj420p"
        for k, picture in enumerate(moving(60)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k if k < 20 else k + 3, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    report = check_recording(path)
    assert set(found(report)) == {"header", "gaps", "dropped"} and "about 3 frames" in found(report)["dropped"].text
    assert "counts 63 frames, 60 are shown" in found(report)["header"].text
