"""`behavior-prism extract` on files, folders and studies: resumed, shared, dry, on bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import numbered_frames, write_video
from small_extraction import SHARD_BYTES, small_encoder, write_movie
from typer.testing import CliRunner

from behavior_prism import Study
from behavior_prism.analysis import damaged_shards, feature_shards, open_features
from behavior_prism.analysis.store import settings_key
from behavior_prism.cli import app
from behavior_prism.extraction_jobs import ExtractionSettings, file_jobs, settings_of_study, study_jobs
from behavior_prism.extraction_run import number_of_shards, parse_part, run_jobs, share_of

pytestmark = pytest.mark.torch


def run(*args: object):
    return CliRunner().invoke(app, [str(a) for a in args])


def fails(result, code: int = 2) -> str:
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    lines = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert lines and "Traceback" not in result.output, result.output
    return lines[0]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder of three movies, and an encoder in a file."""
    monkeypatch.setattr(feature_shards, "SHARD_BYTES", SHARD_BYTES)
    folder = tmp_path / "raw"
    folder.mkdir()
    for name, count in (("a", 100), ("b", 30), ("c", 150)):
        write_movie(folder / f"{name}.mkv", count)
    return folder, small_encoder(tmp_path)


def options(weights: Path, out: Path) -> list[object]:
    return ["--encoder", weights, "--out", out, "--device", "cpu"]


def values(store: Path) -> bytes:
    return open_features(store)["feature"].values.tobytes()


def test_a_folder_is_extracted_and_then_left_alone(lab, tmp_path):
    folder, weights = lab
    first = run("extract", folder, *options(weights, tmp_path / "out"), "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert [r["state"] for r in found["recordings"]] == ["done"] * 3
    assert [r["frames"] for r in found["recordings"]] == [100, 30, 150] and found["frames"] == 280
    assert all(open_features(r["store"]).valid.all() for r in found["recordings"])
    again = json.loads(run("extract", folder / "*.mkv", *options(weights, tmp_path / "out"), "--json").stdout)
    assert [r["state"] for r in again["recordings"]] == ["there"] * 3 and again["frames"] == 0


def test_a_bad_recording_does_not_hold_up_the_others(lab, tmp_path):
    folder, weights = lab
    (folder / "bad.mp4").write_text("no video")
    result = run("extract", folder, *options(weights, tmp_path / "out"))
    assert "bad.mp4" in fails(result, 1) and "1 of 4 failed" in result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"{n}.features.zarr" for n in "abc"]
    found = json.loads(run("extract", folder, *options(weights, tmp_path / "out"), "--json").stdout)
    assert found["failed"] == 1 and found["there"] == 3
    assert [r["reason"] != "" for r in found["recordings"]] == [False, False, True, False]


def test_parts_of_an_array_give_the_bits_of_one_run(lab, tmp_path):
    folder, weights = lab
    assert run("extract", folder, *options(weights, tmp_path / "one")).exit_code == 0
    states = []
    for part in (3, 1, 2):  # in any order
        result = run("extract", folder, *options(weights, tmp_path / "shared"), "--shard", f"{part}/3", "--json")
        assert result.exit_code == 0, result.output
        states += [r["state"] for r in json.loads(result.stdout)["recordings"]]
    assert "part" in states and states.count("done") == 3
    for name in "abc":
        one, shared = (tmp_path / where / f"{name}.features.zarr" for where in ("one", "shared"))
        assert values(one) == values(shared)
    assert [p.name for p in (tmp_path / "shared").iterdir() if p.name.endswith(".partial")] == []


def damage(store: Path, name: str = "feature") -> None:
    """Change a byte of the first file of an array."""
    file = min(p for p in (store / name / "c").rglob("*") if p.is_file())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def test_a_shard_that_was_damaged_meanwhile_is_no_part_of_a_whole_store(lab, tmp_path):
    folder, weights = lab
    command = ["extract", folder / "c.mkv", *options(weights, tmp_path / "out"), "--json", "--shard"]
    for part in (1, 2):
        assert run(*command, f"{part}/3").exit_code == 0
    damage(tmp_path / "out" / "c.features.zarr.partial")
    last = json.loads(run(*command, "3/3").stdout)["recordings"][0]
    assert last["state"] == "part" and not Path(last["store"]).exists()
    assert json.loads(run(*command, "1/3").stdout)["recordings"][0]["state"] == "done"
    assert damaged_shards(last["store"]) == []


def test_a_begun_store_of_other_settings_never_replaces_a_whole_one(lab, tmp_path):
    from behavior_prism.analysis import begin_store
    from behavior_prism.cluster_tasks import finish, look_at
    from behavior_prism.encoder import load_encoder

    folder, weights = lab
    loaded = load_encoder(weights, device="cpu")
    assert run("extract", folder / "b.mkv", *options(weights, tmp_path / "out")).exit_code == 0
    store = tmp_path / "out" / "b.features.zarr"
    before = values(store)
    (other,) = file_jobs([folder / "b.mkv"], tmp_path / "other", ExtractionSettings(encoder=loaded, grid=(1, 1)))
    begun = tmp_path / "other" / "b.features.zarr"
    begin_store(other.settings.plan(other.load()), begun)
    begun.with_name(begun.name + ".partial").rename(store.with_name(store.name + ".partial"))
    (job,) = file_jobs([folder / "b.mkv"], tmp_path / "out", ExtractionSettings(encoder=loaded))
    assert not look_at(job).unfinished
    with pytest.raises(FileExistsError, match="made with other settings"):
        finish(job, store, open_features(store).attrs["key"])
    assert values(store) == before


def test_processes_that_finish_at_once_agree(lab, tmp_path):
    """Whoever is later finds it whole; nobody sees it half renamed."""
    from concurrent.futures import ThreadPoolExecutor

    from behavior_prism.analysis import extract_features
    from behavior_prism.analysis.extraction import begin_store
    from behavior_prism.cluster_tasks import finish
    from behavior_prism.encoder import load_encoder

    folder, weights = lab
    loaded = load_encoder(weights, device="cpu")
    (job,) = file_jobs([folder / "b.mkv"], tmp_path / "out", ExtractionSettings(encoder=loaded))
    for k in range(5):
        store = tmp_path / f"{k}.zarr"
        recording = job.load()
        begin_store(job.settings.plan(recording), store)
        kept = job.settings.options(recording)
        extract_features(recording, loaded, store, shards=range(0, 1), **kept).close()
        key = settings_key(job.settings.plan(recording).settings())
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _, s=store, i=key: finish(job, s, i), range(4))) == [[]] * 4


def test_a_driver_that_fails_does_not_hold_up_the_others(lab, tmp_path, monkeypatch):
    from behavior_prism import analysis
    from behavior_prism.encoder import load_encoder

    folder, weights = lab
    original = analysis.extract_features

    def fails_once(recording, *arguments, **named):
        if recording.name == "a":
            raise RuntimeError("CUDA error: an illegal memory access")
        return original(recording, *arguments, **named)

    monkeypatch.setattr(analysis, "extract_features", fails_once)
    settings = ExtractionSettings(encoder=load_encoder(weights, device="cpu"))
    result = run_jobs(file_jobs(sorted(folder.iterdir()), tmp_path / "out", settings))
    assert [o.state for o in result.outcomes] == ["failed", "done", "done"]
    assert result.outcomes[0].reason.startswith("RuntimeError: CUDA error")


def test_every_shard_is_in_one_part(lab, tmp_path):
    from behavior_prism.encoder import load_encoder

    folder, weights = lab
    (folder / "bad.mp4").write_text("no video")
    jobs = file_jobs(
        sorted(folder.iterdir()), tmp_path, ExtractionSettings(encoder=load_encoder(weights, device="cpu"))
    )
    for many in (1, 2, 5, 40):
        shares = [share_of(jobs, (k + 1, many)) for k in range(many)]
        seen = [(job.name, s) for share in shares for job, shards, _, _ in share for s in shards]
        assert (
            len(seen) == len(set(seen)) == sum(problem == "" for sh in shares for _, r, _, problem in sh for _ in r) + 1
        )
        sizes = [sum(len(r) for _, r, _, _ in share) for share in shares]
        assert max(sizes) - min(sizes) <= 1
        assert sum(problem != "" for share in shares for *_, problem in share) == 1
    recording = jobs[0].load()
    plan = jobs[0].settings.plan(recording)
    store = tmp_path / "whole.zarr"
    from behavior_prism.analysis import begin_store

    assert number_of_shards(plan) == len(begin_store(plan, store))


@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "1", "1/2/3"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="expected I/N"):
        parse_part(text)


def test_a_dry_run_measures_and_writes_nothing(lab, tmp_path):
    folder, weights = lab
    result = run("extract", folder, *options(weights, tmp_path / "out"), "--dry-run")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "sampled frames a second, measured" in text and "GB are free" in text and "4x4" in text and "1x1" in text
    assert not (tmp_path / "out").exists()
    run("extract", folder / "a.mkv", *options(weights, tmp_path / "out"))
    found = json.loads(run("extract", folder, *options(weights, tmp_path / "out"), "--dry-run", "--json").stdout)
    assert [r["state"] for r in found["recordings"]] == ["there", "new", "new"]
    assert [r["left"] for r in found["recordings"]] == [0, 30, 150]
    assert found["seconds"] == pytest.approx(180 / found["frames_per_second"])
    a = found["recordings"][0]
    store = open_features(a["store"])
    expected = store["feature"].nbytes + store["clip_embedding"].nbytes
    assert a["megabytes"] == pytest.approx(expected / 1e6)
    other = json.loads(
        run("extract", folder, *options(weights, tmp_path / "out"), "--dry-run", "--json", "--grid", "2x2").stdout
    )
    assert [r["state"] for r in other["recordings"]] == ["other settings", "new", "new"]


def test_a_study_says_how_its_features_are_made(lab, tmp_path):
    folder, weights = lab
    study = Study.create(
        tmp_path / "study", encoder={"name": str(weights), "weights": "auto"}, defaults={"grid": (2, 2), "stride": 1}
    )
    study.add(sorted(folder.glob("*.mkv")))
    assert run("extract", tmp_path / "study", "--device", "cpu").exit_code == 0
    entries = json.loads(run("features", "ls", tmp_path / "study", "--json").stdout)
    assert [(e["recording"], e["grid"], e["window"], e["state"]) for e in entries] == [
        (name, "2x2", "4/1/1", "whole") for name in "abc"
    ]
    # another setting is another store, only one recording, and the study's own stay
    result = run(
        "extract", tmp_path / "study" / "study.toml", "--only", "b", "--grid", "1x1", "--device", "cpu", "--json"
    )
    (made,) = json.loads(result.stdout)["recordings"]
    assert made["state"] == "done" and Path(made["store"]).parent == (tmp_path / "study/features/b").resolve()
    assert len(list((tmp_path / "study/features/b").glob("*.zarr"))) == 2
    status = json.loads(run("status", tmp_path / "study", "--json").stdout)
    assert status["overall"]["with_features"] == 3


def test_a_study_that_was_moved_computes_nothing_again(lab, tmp_path):
    folder, weights = lab
    study = Study.create(tmp_path / "lab/study", encoder={"name": str(weights)})
    (tmp_path / "lab/raw").mkdir()
    for video in folder.iterdir():
        video.rename(tmp_path / "lab/raw" / video.name)
    study.add(sorted((tmp_path / "lab/raw").iterdir()))
    assert run("extract", study.folder, "--device", "cpu").exit_code == 0
    (tmp_path / "lab").rename(tmp_path / "elsewhere")
    again = json.loads(run("extract", tmp_path / "elsewhere/study", "--device", "cpu", "--json").stdout)
    assert [r["state"] for r in again["recordings"]] == ["there"] * 3


def test_options_go_before_what_a_study_says(lab, tmp_path):
    from behavior_prism.datasets import CropSpec
    from behavior_prism.encoder import load_encoder

    _, weights = lab
    study = Study.create(tmp_path / "study", defaults={"rate": 10.0, "grid": (2, 2)}, crop=CropSpec(size=3.0))
    loaded = load_encoder(weights, device="cpu")
    own = settings_of_study(study, loaded)
    assert (own.rate, own.grid, own.individual_source) == (10.0, (2, 2), "crop")
    assert own.crops is not None and own.crops.size == 3.0
    other = settings_of_study(study, loaded, step=2, individual_source="view")
    assert (other.rate, other.step, other.crops) == (None, 2, None)
    with pytest.raises(ValueError, match="expected recordings, got none"):
        study_jobs(study, own)


def test_every_animal_of_its_tracks(lab, tmp_path):
    """Crops from the command line are those of the library."""
    from behavior_prism import simulate_recording
    from behavior_prism.datasets import write_recording

    _, weights = lab
    files = write_recording(simulate_recording("mouse", seconds=1, size=(96, 96), seed=3), tmp_path / "sim")
    pattern = tmp_path / "sim" / "{stem}.tracks.nc"
    result = run(
        "extract", files["video"], *options(weights, tmp_path / "out"), "--tracks", pattern, "--source", "crop",
        "--crop", 1.5, "--step", 1, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    features = open_features(json.loads(result.stdout)["recordings"][0]["store"])
    assert features.attrs["individual_source"] == "crop" and features.sizes["individual"] == 2
    assert json.loads(features.attrs["settings"])["resize"]["size"] == 1.5


def test_a_dry_run_tells_of_animals_that_are_hardly_there(lab, tmp_path):
    """All frames are computed for each of them; a tracker's fragments may be many."""
    from behavior_prism import simulate_recording
    from behavior_prism.datasets import load_tracks, write_recording

    _, weights = lab
    files = write_recording(simulate_recording("mouse", seconds=1, size=(96, 96), seed=3), tmp_path / "sim")
    tracks = load_tracks(files["tracks"]).load()
    first = str(tracks["individual"].values[0])
    tracks["position"].loc[{"individual": first, "time": tracks["time"][1:]}] = float("nan")
    tracks.to_netcdf(tmp_path / "fragments.nc")
    args = (*options(weights, tmp_path / "out"), "--source", "crop", "--crop-pixels", 40, "--step", 1, "--dry-run")
    told = run("extract", files["video"], "--tracks", tmp_path / "fragments.nc", *args)
    assert told.exit_code == 0, told.output
    assert f"1 of 2 individuals are there in less than 5 % of the frames, and cost as much as the others ({first})" in (
        " ".join(told.output.split())
    )
    found = json.loads(run("extract", files["video"], "--tracks", tmp_path / "fragments.nc", *args, "--json").stdout)
    assert found["recordings"][0]["rare"] == [first]
    assert "5 %" not in run("extract", files["video"], "--tracks", files["tracks"], *args).output


BAD = {
    "no place": ([], "--out: expected a folder"),
    "both": (["--step", "2", "--rate", "10"], "--rate and --step: expected one of them"),
    "grid": (["--grid", "3"], "--grid: expected ROWSxCOLS"),
    "grid of another": (["--grid", "3x3"], "--grid: expected numbers that divide"),
    "shard": (["--shard", "5/4"], "--shard: expected I/N"),
    "dtype": (["--dtype", "float8"], "--dtype: expected"),
    "batch": (["--batch", "3"], "--batch: expected FRAMES,WINDOWS"),
    "length": (["--length", "0"], "--length: expected a whole number from 1 on"),
    "crop": (["--crop", "1", "--crop-pixels", "3"], "expected one of them"),
    "up": (["--up", "a,b"], "expected --crop"),
    "only": (["--only", "a"], "--only: expected a study"),
    "tracks": (["--tracks", "{stem}.h5", "--source", "crop"], "no such file"),
    "no tracks": (["--source", "crop"], "--source crop: expected --tracks"),
    "animal of nowhere": (["--individual", "m1"], "--individual: expected --tracks"),
    "crop of nobody": (["--crop", "2"], "--crop: expected --tracks"),
    "source": (["--source", "nose"], "--source: expected one of"),
    "both ways": (["--shard", "1/2", "--cluster", "local"], "--cluster and --shard: expected one of them"),
    "cluster": (["--cluster", "moon"], "--cluster: expected local"),
    "roi of nobody": (["--source", "roi"], "--source roi: expected --tracks"),
    "damage": (["--max-undecodable", "nan"], "--max-undecodable: expected a share"),
    "no batch": (["--batch", "0,1"], "--batch: expected two whole numbers"),
    "jobs": (["--slurm-jobs", "0"], "--slurm-jobs: expected"),
    "clips": (["--clip-stride", "3"], "--clip-stride: expected a multiple"),
    "crop size": (["--crop", "-1"], "--crop: "),
    "braces": (["--tracks", "{stem.tracks.nc}", "--source", "crop"], "no such file"),
    "slurm": (["--slurm-time", "two hours"], "--slurm-time: expected a word without spaces"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_line_for_what_is_wrong(lab, tmp_path, case):
    folder, weights = lab
    given, expected = BAD[case]
    place = [] if case == "no place" else ["--out", tmp_path / "out"]
    result = run("extract", folder / "b.mkv", "--encoder", weights, "--device", "cpu", *place, *given)
    assert expected in fails(result)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.zarr"))


@pytest.mark.parametrize("case", ["both", "length", "source", "damage", "no batch", "no tracks"])
def test_nobody_waits_for_an_encoder_to_be_told_of_a_typo(lab, tmp_path, case):
    folder, _ = lab
    given, expected = BAD[case]  # an encoder that is not there would be said otherwise
    result = run("extract", folder / "b.mkv", "--encoder", tmp_path / "none.safetensors", "--out", tmp_path, *given)
    assert expected in fails(result)


def test_two_recordings_of_one_name_are_refused(lab, tmp_path):
    folder, weights = lab
    (tmp_path / "other").mkdir()
    write_movie(tmp_path / "other" / "a.mkv", 10)
    result = run("extract", folder / "a.mkv", tmp_path / "other" / "a.mkv", *options(weights, tmp_path / "out"))
    assert "would both be called 'a'" in fails(result)


def test_a_study_has_its_own_places(lab, tmp_path):
    folder, weights = lab
    study = Study.create(tmp_path / "study", encoder={"name": str(weights)})
    study.add([folder / "b.mkv"])
    assert "--allow-cut-short: expected none" in fails(run("extract", study.folder, "--allow-cut-short"))
    assert "--out: expected none for a study" in fails(run("extract", study.folder, "--out", tmp_path / "x"))
    assert "unknown recording" in fails(run("extract", study.folder, "--only", "nobody"))
    assert "one study and nothing else" in fails(run("extract", study.folder, folder))


def test_an_image_folder_needs_its_rate(lab, tmp_path):
    import cv2

    _, weights = lab
    images = tmp_path / "images"
    images.mkdir()
    for k, frame in enumerate(numbered_frames(12)):
        cv2.imwrite(str(images / f"{k:03d}.png"), frame)
    assert "fps" in fails(run("extract", images, *options(weights, tmp_path / "out")))
    assert run("extract", images, *options(weights, tmp_path / "out"), "--fps", 10).exit_code == 0
    assert np.allclose(np.diff(open_features(tmp_path / "out" / "images.features.zarr").time), 0.1)


def test_a_script_for_slurm_says_the_command_again(tmp_path):
    script = Path(sys.executable).parent / "behavior-prism"
    command = [script, "extract", "my study", "--grid", "2x2", "--slurm-script", "jobs/go.sh", "--slurm-parts=32",
               "--slurm-gpus", "0", "--slurm-setup", "module load ffmpeg"]  # fmt: skip
    (tmp_path / "my study").mkdir()
    from behavior_prism.study import Study as OfThis

    OfThis.create(tmp_path / "my study")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "jobs/go.sh").read_text()
    assert text.splitlines()[-1].endswith("extract 'my study' --grid 2x2 --shard \"$SLURM_ARRAY_TASK_ID/32\"")
    assert f"#SBATCH --chdir={tmp_path}" in text
    assert "#SBATCH --array=1-32%4" in text and "module load ffmpeg" in text and "gres" not in text
    assert subprocess.run(["bash", "-n", tmp_path / "jobs/go.sh"]).returncode == 0
    assert (tmp_path / "slurm_logs").is_dir()


@pytest.mark.slow
def test_a_script_for_slurm_runs_under_an_array(lab, tmp_path):
    """As SLURM would: once for every part, with its number in the environment."""
    folder, weights = lab
    script = Path(sys.executable).parent / "behavior-prism"
    write_video(folder / "d.mkv", numbered_frames(20))
    command = [script, "extract", folder, "--encoder", weights, "--out", tmp_path / "out", "--device", "cpu", "--quiet",
               "--slurm-script", "go.sh", "--slurm-parts", "2"]  # fmt: skip
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
    for part in ("1", "2"):
        done = subprocess.run(
            ["bash", "go.sh"], cwd=tmp_path, env={"SLURM_ARRAY_TASK_ID": part, "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").glob("*.zarr")) == [f"{n}.features.zarr" for n in "abcd"]


def test_run_jobs_tells_a_watcher(lab, tmp_path):
    from behavior_prism.encoder import load_encoder

    folder, weights = lab
    told: list[tuple] = []

    class Watcher:
        def plan(self, shares):
            told.append(("plan", {Path(name).stem: share for name, share in shares.items()}))

        def begin(self, job):
            told.append(("begin", Path(job.name).stem))

        def frames(self, job, done, total):
            told.append(("frames", done, total))

        def end(self, job, outcome):
            told.append(("end", outcome.state))

    settings = ExtractionSettings(encoder=load_encoder(weights, device="cpu"))
    result = run_jobs(file_jobs(sorted(folder.iterdir())[:2], tmp_path / "out", settings), watcher=Watcher())
    assert [t for t in told if t[0] != "frames"] == [("begin", "a"), ("end", "done"), ("begin", "b"), ("end", "done")]
    assert ("frames", 100, 100) in told and [o.computed for o in result.outcomes] == [100, 30]
    told.clear()  # three shards, of which the second process has the last two; its time left counts no other
    run_jobs(file_jobs(sorted(folder.iterdir())[:2], tmp_path / "2", settings), part=(2, 2), watcher=Watcher())
    assert told[:2] == [("plan", {"a": 0.5, "b": 1.0}), ("begin", "a")]
