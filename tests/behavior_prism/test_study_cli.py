"""`behavior-prism init`, `add`, `status` and `relocate` as a user calls them, and what status counts."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import xarray as xr
from numbered_videos import numbered_frames, write_video
from typer.testing import CliRunner

from behavior_prism.cli import app
from behavior_prism.datasets.journal import Journal
from behavior_prism.study import Study


def run(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", numbered_frames(40 if name == "a" else 30))
    return tmp_path


def test_from_nothing_to_a_status(lab):
    made = run("init", lab / "study", "--name", "My [cages]", "--behaviors", "walk, rear")
    assert made.exit_code == 0 and "behavior-prism add" in made.stdout
    pattern = lab / "videos" / "*.mp4"  # as PowerShell leaves it
    dry = run("add", lab / "study", pattern, "--animals", "m1,m2", "--dry-run")
    assert dry.exit_code == 0 and "would add a: ../videos/a.mp4" in dry.stdout
    assert Study.open(lab / "study").names == []
    assert run("add", lab / "study", pattern, "--animals", "m1,m2", "--group", "wt").exit_code == 0
    again = run("add", lab / "study", pattern)
    assert again.exit_code == 0 and "in the study already, as a" in again.stderr
    shown = run("status", lab / "study")
    assert shown.exit_code == 0
    assert "My [cages]: 2 recordings in 1 group, 2 animals, 2 behaviours" in shown.stdout


def test_exit_codes(lab):
    assert run("status", lab).exit_code == 2
    assert run("init", lab / "study").exit_code == 0
    assert run("init", lab / "study").exit_code == 2
    assert run("add", lab / "study", lab / "none.mp4").exit_code == 2
    (lab / "videos" / "c.mp4").write_text("no video")
    some = run("add", lab / "study", lab / "videos")
    assert some.exit_code == 1 and "1 of 3 failed" in some.stderr and "c.mp4" in some.stderr
    two = run("add", lab / "study", lab / "videos", "--tracks", "one.slp")
    assert two.exit_code == 2 and "{stem}" in two.stderr and "Traceback" not in two.output
    (lab / "study" / "animals.csv").write_text("animal\nm\nm\n")
    wrong = run("status", lab / "study")
    assert wrong.exit_code == 2 and "animals.csv, line 3" in wrong.stderr.replace("\n", "")


def test_moved_videos_are_found_again(lab):
    run("init", lab / "study")
    run("add", lab / "study", lab / "videos")
    (lab / "videos").rename(lab / "moved")
    gone = run("status", lab / "study")
    assert gone.exit_code == 1 and "2 missing" in gone.stderr
    (lab / "empty").mkdir()
    assert run("relocate", lab / "study", lab / "empty").exit_code == 1
    dry = run("relocate", lab / "study", lab / "moved", "--dry-run")
    assert dry.exit_code == 0 and "../moved/a.mp4" in dry.stdout and run("status", lab / "study").exit_code == 1
    assert run("relocate", lab / "study", lab / "moved").exit_code == 0
    assert run("status", lab / "study").exit_code == 0


def test_status_counts_what_is_there(lab):
    run("init", lab / "study", "--behaviors", "walk")
    run("add", lab / "study", lab / "videos")
    study = Study.open(lab / "study")
    with Journal.open(lab / "study", writer="ann") as journal:
        journal.add_behavior("walk")
        journal.mark_scored(recording="a", start_frame=0, stop_frame=8, behaviors=["walk"])
        journal.mark_scored(recording="a", start_frame=4, stop_frame=10, behaviors=["walk"])
        journal.add_bout("walk", recording="a", start_frame=2, stop_frame=5)
        journal.add_bout("walk", recording="other", start_frame=2, stop_frame=5)
    own, foreign = study.row("a")["fingerprint"], "0" * 64
    for key, fingerprint in (("1" * 64, own), ("2" * 64, own), ("3" * 64, foreign)):
        attrs = {"behavior_prism": "features", "settings": json.dumps({"fingerprint": fingerprint})}
        store = xr.Dataset({"feature": ("time", np.zeros(3, np.float16))}, attrs=attrs)
        store.to_zarr(study.feature_path("a", key), zarr_format=3, consolidated=False)
    shutil.copytree(study.feature_path("a", "1" * 64), study.features_folder("a") / "444444444444.zarr.partial")
    (study.features_folder("a") / "notes.zarr").mkdir()
    (study.predictions_folder("probe") / "a.zarr").mkdir(parents=True)
    shown = run("status", lab / "study", "--json")
    assert shown.exit_code == 0
    found = json.loads(shown.stdout)
    a, b = found["recordings"]
    assert (a["bouts"], a["features"], a["stale"], a["unfinished"], a["predictions"]) == (1, 2, 1, 1, 1)
    assert a["scored"] == pytest.approx(10 / 40)  # two intervals that overlap count once
    assert (b["bouts"], b["scored"], b["features"], b["predictions"]) == (0, None, 0, 0)
    assert found["overall"]["with_labels"] == found["overall"]["with_features"] == 1
    assert any("labels of other" in note for note in found["notes"])
    assert "25%" in run("status", lab / "study").stdout
