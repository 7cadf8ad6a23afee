"""`behavior-prism check` as a user calls it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numbered_videos import numbered_frames, write_video
from typer.testing import CliRunner

from behavior_prism.cli import app


def run(*args):
    return CliRunner().invoke(app, ["check", *map(str, args)])


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    (folder / "notes.mp4").write_text("not a video")
    shown = np.r_[0:20, 26:56]
    return {
        "good": write_video(folder / "good.mkv", numbered_frames(50)),
        "gap": write_video(folder / "gap.mkv", numbered_frames(50), times=40 * shown),
        "notes": folder / "notes.mp4",
        "[odd] name": write_video(folder / "[odd] name.mkv", numbered_frames(10)),
    }


def test_exit_code_says_how_bad_it_is(videos, tmp_path):
    assert run(videos["good"], videos["[odd] name"]).exit_code == 0
    assert run(videos["good"], videos["gap"]).exit_code == 1
    assert run(videos["notes"]).exit_code == 1
    assert run(tmp_path / "none.mp4").exit_code == 2
    assert run(videos["good"], videos["gap"], "--tracks", "a.nc").exit_code == 2
    assert run(videos["good"], "--labels", tmp_path / "none.csv").exit_code == 2


def test_one_bad_file_does_not_stop_the_others(videos, tmp_path):
    done = run(tmp_path / "none.mp4", videos["notes"], tmp_path, videos["gap"], "--quick")
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert "about 6 frames (10.7%)" in done.stdout and "not a video" in done.stdout
    assert "none.mp4: no such file" in done.stderr and "a folder without images" in done.stdout
    assert "0 of 4 without warnings" in done.stdout


def test_json_alone_stands_on_stdout(videos):
    done = run(videos["good"], videos["notes"], videos["gap"], "--json")
    assert done.exit_code == 1
    good, notes, gap = json.loads(done.stdout)
    assert [good["severity"], notes["severity"], gap["severity"]] == ["info", "error", "warning"]
    assert good["facts"]["decoded_frames"] == good["facts"]["frames"] == 50
    assert next(f for f in gap["findings"] if f["what"] == "gaps")["where"] == [[19, 20]]
    assert json.loads(run(videos["gap"], "--json", "--quick").stdout)[0]["facts"]["decoded_frames"] is None


def test_names_are_shown_as_they_are(videos):
    assert "[odd] name.mkv" in run(videos["[odd] name"], "--quick").stdout


def test_json_has_an_entry_for_every_file_that_was_named(videos, tmp_path):
    """Else a script that walks along its own list would lay reports on the wrong files."""
    done = run(videos["good"], tmp_path / "none.mp4", videos["gap"], "--json", "--quick")
    assert done.exit_code == 2
    entries = json.loads(done.stdout)
    assert [entry["path"] for entry in entries] == [
        str(p) for p in (videos["good"], tmp_path / "none.mp4", videos["gap"])
    ]
    assert [f["what"] for f in entries[1]["findings"]] == ["missing"] and entries[1]["severity"] == "error"


def test_images_with_their_rate(videos, tmp_path):
    np.save(tmp_path / "a.npy", numbered_frames(12))
    assert run(tmp_path / "a.npy", videos["good"], "--fps", 25).exit_code == 0
    assert run(tmp_path / "a.npy").exit_code == 1
    assert "expected a frame rate above 0" in run(tmp_path / "a.npy", "--fps", 0).stdout
