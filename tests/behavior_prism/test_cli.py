"""The command line as a user types it: whole runs, and one clear line for everything that can be wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numbered_videos import numbered_frames, write_video
from typer.testing import CliRunner

from behavior_prism.analysis import read_attrs
from behavior_prism.cli import app

pytestmark = pytest.mark.torch


def run(*args: object):
    return CliRunner().invoke(app, [str(a) for a in args])


def fails(result, code: int = 2) -> str:
    """The one line that was said."""
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    lines = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert lines, result.output
    assert "Traceback" not in result.output
    return lines[0]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """Four short simulated recordings, extracted, a probe on three of them, predictions on the fourth."""
    folder = tmp_path_factory.mktemp("lab")
    made = run("simulate", folder / "videos", "--recordings", 4, "--seconds", 6, "--size", 96, "--seed", 40)
    assert made.exit_code == 0, made.output
    videos = sorted((folder / "videos").glob("*.mp4"))
    assert len(videos) == 4
    result = run("extract", *videos, "--out", folder / "features")
    assert result.exit_code == 0, result.output
    assert "untrained weights" in result.output
    stores = sorted((folder / "features").iterdir())
    labels = [a for v in videos for a in ("--labels", v.with_suffix(".bouts.csv"))]
    result = run("train", *stores[:3], *labels, "--out", folder / "probe")
    assert result.exit_code == 0, result.output
    assert "Held out by recording" in result.output and "untrained weights" in result.output
    result = run("predict", folder / "probe", stores[3], "--out", folder / "predictions")
    assert result.exit_code == 0, result.output
    assert "untrained weights" in result.output
    return folder


def test_the_whole_way(lab, tmp_path):
    predictions = next((lab / "predictions").glob("*.predictions.zarr"))
    labels = next(
        p
        for p in sorted((lab / "videos").glob("*.bouts.csv"))
        if p.name.split(".")[0] == predictions.name.split(".")[0]
    )
    features = lab / "features" / f"{predictions.name.split('.')[0]}.features.zarr"
    page = tmp_path / "report.html"
    result = run("report", predictions, "--labels", labels, "--features", features, "--out", page)
    assert result.exit_code == 0, result.output
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64") == 3  # ethogram, PCA, UMAP
    assert "http" not in html.replace("https://www.w3.org", "")
    assert "random, untrained weights" in html
    card = json.loads((lab / "probe" / "card.json").read_text())
    assert len(card["recordings"]) == 3 and card["encoder_trained"] is False
    bouts = pd.read_csv(next((lab / "predictions").glob("*.bouts.csv")))
    assert (bouts["start_frame"] < bouts["stop_frame"]).all() and bouts["stop_frame"].max() <= 150
    assert set(bouts["kind"]) == {"bout", "scored"}


def test_a_second_extraction_is_a_no_op(lab):
    videos = sorted((lab / "videos").glob("*.mp4"))
    before = {p: p.stat().st_mtime_ns for p in (lab / "features").rglob("zarr.json")}
    assert run("extract", *videos, "--out", lab / "features").exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in (lab / "features").rglob("zarr.json")} == before


def test_dry_run_writes_nothing(lab, tmp_path):
    result = run("extract", *sorted((lab / "videos").glob("*.mp4")), "--out", tmp_path / "features", "--dry-run")
    assert result.exit_code == 0 and "megabytes" in result.output and "600" in result.output
    assert not (tmp_path / "features").exists()


@pytest.mark.slow
def test_demo(tmp_path):
    out = tmp_path / "demo"
    result = run("demo", "--out", out, "--seconds", 5, "--arena", "fly")
    assert result.exit_code == 0, result.output
    for name in ("ethogram.png", "bouts.csv", "report.html"):
        assert (out / name).stat().st_size > 0
        assert str(out / name) in result.output.replace("\n", "")
    assert "untrained weights" in result.output
    assert set(pd.read_csv(out / "bouts.csv")["encoder"]) == {"random, untrained weights"}
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]
    for kind, folder in (("features", out / "features"), ("predictions", out / "predictions")):
        assert all(Path(read_attrs(store, kind)["video"]).is_file() for store in folder.glob("*.zarr"))
    assert fails(run("demo", "--out", out)).endswith("or give --overwrite")


def test_demo_never_replaces_something_else(tmp_path):
    (tmp_path / "precious.txt").write_text("data")
    assert "is not an earlier demo" in fails(run("demo", "--out", tmp_path, "--overwrite"))
    assert (tmp_path / "precious.txt").read_text() == "data"


@pytest.mark.parametrize("options", [["--arena", "whale"], ["--seconds", "0"]])
def test_a_demo_that_fails_keeps_the_earlier_one(tmp_path, options):
    out = tmp_path / "demo"
    out.mkdir()
    (out / "demo.json").write_text("{}")
    (out / "report.html").write_text("the earlier one")
    assert "expected" in fails(run("demo", "--out", out, "--overwrite", *options))
    assert (out / "report.html").read_text() == "the earlier one"
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_help_shows_an_example_for_every_command():
    for command in ("demo", "simulate", "extract", "train", "predict", "report", "view", "info"):
        result = run(command, "--help")
        assert result.exit_code == 0 and "Example: behavior-prism" in " ".join(result.output.split())


def test_info_from_another_folder(tmp_path):
    script = Path(sys.executable).parent / "behavior-prism"
    done = subprocess.run([script, "info"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "behavior-prism" in done.stdout and "torch" in done.stdout


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bad(tmp_path) -> Path:
    """A folder of things that are not good videos, and one that is."""
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "empty.mp4").touch()
    good = write_video(
        tmp_path / "good.mp4", numbered_frames(120), options={"g": "10", "bf": "0", "movflags": "faststart"}
    )
    whole = write_video(
        tmp_path / "w.mp4", numbered_frames(120), container_options={"movflags": "faststart"}
    ).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    data = bytearray(good.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 250] = b"\xff" * 250
    (tmp_path / "damaged.mp4").write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "none.mp4: no such video"),
        ("text.mp4", "text.mp4: not a video"),
        ("empty.mp4", "empty.mp4: expected a video file, got an empty file"),
        ("cut.mp4", "cut.mp4: cut short: its header promises 120 frames"),
        ("cut.mp4", "; --allow-cut-short takes the part that is there"),
        ("damaged.mp4", "cannot be decoded"),
    ],
)
def test_bad_video(bad, name, message):
    line = fails(run("extract", bad / name, "--out", bad / "features"))
    assert message in line and name in line
    left = [p.name for p in (bad / "features").iterdir()] if (bad / "features").exists() else []
    assert left in ([], ["damaged.features.zarr.partial"])  # what was done before the damage is kept for another try


def test_a_batch_names_the_option_that_takes_what_was_cut_short(bad):
    result = run("extract", bad / "cut.mp4", bad / "text.mp4", "--out", bad / "dry", "--dry-run")
    assert result.exit_code == 1 and "--allow-cut-short takes" in result.output
    result = run("extract", bad / "cut.mp4", bad / "text.mp4", "--out", bad / "dry")
    assert result.exit_code == 1 and "--allow-cut-short takes" in result.output


@pytest.mark.slow
def test_a_batch_goes_on_and_lists_what_failed(bad):
    result = run("extract", bad / "text.mp4", bad / "good.mp4", bad / "damaged.mp4", "--out", bad / "features")
    assert result.exit_code == 1
    assert [p.name for p in (bad / "features").iterdir() if p.suffix != ".partial"] == ["good.features.zarr"]
    text = " ".join(result.output.split())
    assert "2 of 3 failed:" in text and "text.mp4: not a video" in text and "damaged.mp4: frame" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--region", "well=0,0,97,64"], "leaves the picture of 96x64"),
        (["--region", "well=0,0,97"], "expected NAME=X,Y,WIDTH,HEIGHT"),
        (["--frames", "0:121"], "expected frames within [0, 120), got [0, 121)"),
        (["--frames", "5"], "expected START:STOP"),
        (["--grid", "3x3"], "expected numbers that divide the encoder's 8x8, got 3x3"),
        (["--grid", "four"], "expected ROWSxCOLS"),
        (["--encoder", "huge"], "expected one of"),
        (["--encoder", "base", "--weights", "none.npz"], "none.npz: no such file"),
        (["--stride", "9"], "stride: expected at most the length (8), got 9"),
        (["--stride", "0"], "--stride: expected a whole number from 1 on, got 0"),
        (["--step", "0"], "--step: expected a whole number from 1 on, got 0"),
        (["--step", "2", "--rate", "10"], "--rate and --step: expected one of them, got both"),
        (["--rate", "-1"], "--rate: expected a positive number of frames a second, got -1"),
        (["--length", "0"], "--length: expected a whole number from 1 on, got 0"),
        (["--frames", "0:-1"], "expected START:STOP with 0 <= START < STOP, got '0:-1'"),
        (["--frames", "-5:10"], "expected START:STOP with 0 <= START < STOP, got '-5:10'"),
        (["--region", "a=0,0,9,9", "--region", "a=9,9,9,9"], "expected every name once, got 'a' twice"),
        (["--region", "region2=0,0,9,9", "--region", "9,9,9,9"], "expected every name once, got 'region2' twice"),
        (["--grid", "3x3", "--dry-run"], "expected numbers that divide the encoder's 8x8, got 3x3"),
    ],
)
def test_bad_options(bad, options, message):
    assert message in fails(run("extract", bad / "good.mp4", "--out", bad / "features", *options))
    assert not (bad / "features").exists()


def test_two_videos_of_one_name(bad):
    (bad / "b").mkdir()
    shutil.copy(bad / "good.mp4", bad / "b" / "good.mp4")
    line = fails(run("extract", bad / "good.mp4", bad / "b" / "good.mp4", "--out", bad / "features"))
    assert "would both be called 'good'" in line


def test_existing_output_with_other_settings(lab, tmp_path):
    video = next((lab / "videos").glob("*.mp4"))
    line = fails(run("extract", video, "--out", lab / "features", "--stride", 2))
    assert "exists already, made with another stride" in line


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("walk,100,151", "frame 100 to 151, reaches outside of the recording"),
        ("walk,-3,5", "expected start_frame as a whole number from 0 on, got '-3'"),
        ("walk,9,9", "expected start_frame < stop_frame"),
    ],
)
def test_bad_labels(lab, tmp_path, rows, message):
    store = sorted((lab / "features").iterdir())[0]
    labels = tmp_path / f"{store.name.split('.')[0]}.bouts.csv"
    labels.write_text(f"behavior,start_frame,stop_frame\n{rows}\n")
    assert message in fails(run("train", store, "--labels", labels, "--out", tmp_path / "probe"))
    assert not (tmp_path / "probe").exists()


def test_unknown_behaviour(lab, tmp_path):
    store = sorted((lab / "features").iterdir())[0]
    labels = lab / "videos" / f"{store.name.split('.')[0]}.bouts.csv"
    line = fails(run("train", store, "--labels", labels, "--out", tmp_path / "probe", "--behavior", "walk"))
    assert "unknown behaviour 'still'" in line or "unknown behaviour" in line
    others = [a for b in ("still", "groom", "rear", "chase", "contact") for a in ("--ignore", b)]
    result = run("train", store, "--labels", labels, "--out", tmp_path / "probe", "--behavior", "walk", *others)
    assert result.exit_code == 0, result.output
    assert "nothing could be held out" in " ".join(result.output.split())


def test_labels_of_another_recording(lab, tmp_path):
    stores = sorted((lab / "features").iterdir())
    other = lab / "videos" / f"{stores[1].name.split('.')[0]}.bouts.csv"
    line = fails(run("train", stores[0], "--labels", other, "--out", tmp_path / "probe"))
    assert f"no labels for the recording '{stores[0].name.split('.')[0]}'" in line


@pytest.mark.slow
def test_probe_and_features_must_fit(lab, tmp_path):
    video = next((lab / "videos").glob("*.mp4"))
    assert run("extract", video, "--out", tmp_path / "other", "--stride", 2).exit_code == 0
    line = fails(run("predict", lab / "probe", next((tmp_path / "other").iterdir()), "--out", tmp_path / "p"))
    assert "do not fit the probe: stride 2 instead of 4" in line
    assert not (tmp_path / "p").exists()


def test_existing_predictions_are_kept(lab):
    store = sorted((lab / "features").iterdir())[3]
    before = {p: p.stat().st_mtime_ns for p in (lab / "predictions").rglob("*") if p.is_file()}
    assert "exists already" in fails(run("predict", lab / "probe", store, "--out", lab / "predictions"))
    assert {p: p.stat().st_mtime_ns for p in (lab / "predictions").rglob("*") if p.is_file()} == before


def test_not_a_store(lab, tmp_path):
    assert "no such features store" in fails(run("train", tmp_path / "x", "--labels", "y.csv", "--out", tmp_path / "p"))
    assert "no such predictions store" in fails(run("report", tmp_path / "x", "--out", tmp_path / "r.html"))
    assert "no such probe" in fails(run("predict", tmp_path / "x", "y", "--out", tmp_path / "p"))


def test_bad_simulation(tmp_path):
    assert "expected" in fails(run("simulate", tmp_path / "s", "--arena", "whale"))
    assert run("simulate", tmp_path / "s", "--recordings", 1, "--seconds", 1, "--size", 64).exit_code == 0
    assert "exists already" in fails(run("simulate", tmp_path / "s", "--recordings", 1, "--seconds", 1, "--size", 64))


def test_a_bug_keeps_its_traceback(monkeypatch):
    import behavior_prism.info

    monkeypatch.setattr(behavior_prism.info, "collect_info", lambda: {}["nothing"])
    result = run("info")
    assert isinstance(result.exception, KeyError)


def test_interrupted(monkeypatch):
    import behavior_prism.info

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(behavior_prism.info, "collect_info", interrupt)
    assert run("info").exit_code == 130


def test_seconds_only_labels_with_spreadsheet_habits(lab, tmp_path):
    stores = sorted((lab / "features").iterdir())[:2]
    labels = []
    for store in stores:
        name = store.name.split(".")[0]
        table = pd.read_csv(lab / "videos" / f"{name}.bouts.csv")
        table = table[table["kind"] == "bout"][["individual", "behavior", "start", "stop"]]
        table.to_csv(tmp_path / f"{name}.csv", sep=";", index=False, encoding="utf-8-sig")
        labels += ["--labels", tmp_path / f"{name}.csv"]
    result = run("train", *stores, *labels, "--out", tmp_path / "probe")
    assert result.exit_code == 0, result.output
    assert "taken as scored from end to end" in " ".join(result.output.split())
    card = json.loads((tmp_path / "probe" / "card.json").read_text())
    assert np.isfinite(card["held_out"]["mean"]["f1"])
