"""`behavior-prism features ls | verify | prune | export` and `info STORE`."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small_extraction import SHARD_BYTES, small_encoder, write_movie
from typer.testing import CliRunner

from behavior_prism import Study
from behavior_prism.analysis import begin_store, feature_shards, open_features, plan_features
from behavior_prism.cli import app
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import load_encoder

pytestmark = pytest.mark.torch


def run(*args: object):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.setattr(feature_shards, "SHARD_BYTES", SHARD_BYTES)
    made = Study.create(tmp_path / "study", encoder={"name": str(small_encoder(tmp_path))})
    made.add([write_movie(tmp_path / f"{name}.mkv", 100) for name in "ab"])
    assert run("extract", made.folder, "--device", "cpu", "--quiet").exit_code == 0
    made.reload()
    return made


def store_of(study: Study, name: str) -> Path:
    return next(study.features_folder(name).glob("*.zarr"))


def test_whole_stores_are_listed_and_verified(study):
    listed = run("features", "ls", study.folder)
    assert listed.exit_code == 0 and "2 stores" in listed.output
    (a, b) = json.loads(run("features", "ls", study.folder, "--json").stdout)
    assert (a["recording"], a["frames"], a["individuals"], a["state"]) == ("a", 100, 1, "whole")
    assert b["megabytes"] > 0
    result = run("features", "verify", study.folder)
    assert result.exit_code == 0 and "2 of 2 stores" in result.output


def test_damage_is_found_and_named(study):
    store = store_of(study, "a")
    largest = max((p for p in (store / "feature").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 3] ^= 255
    largest.write_bytes(content)
    result = run("features", "verify", study.folder, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert len(found["good"]) == 1 and "damaged: sampled frames" in found["failed"][0]["reason"]


def test_prune_lists_first_and_removes_only_what_nobody_needs(study, tmp_path):
    encoder = load_encoder(tmp_path / "small.safetensors", device="cpu")
    plan = plan_features(load_recording(tmp_path / "a.mkv"), encoder, grid=(2, 2))
    begun = study.features_folder("a") / "0123456789ab.zarr"
    begin_store(plan, begun)
    partial = begun.with_name(begun.name + ".partial")
    killed = study.features_folder("b") / ".0123456789ab.zarr.partial.1234abcd"
    killed.mkdir()
    listed = run("features", "prune", study.folder)
    assert listed.exit_code == 0 and "would remove" in listed.output and partial.exists() and killed.exists()
    result = run("features", "prune", study.folder, "--yes")
    assert result.exit_code == 0, result.output
    assert not partial.exists() and not killed.exists()
    assert [p for p in study.features_folder("a").iterdir() if p.suffix != ".lock"] == [store_of(study, "a")]
    assert "nothing to remove" in run("features", "prune", study.folder).output


def test_what_is_being_written_is_not_pruned(study, tmp_path):
    encoder = load_encoder(tmp_path / "small.safetensors", device="cpu")
    begun = study.features_folder("a") / "0123456789ab.zarr"
    begin_store(plan_features(load_recording(tmp_path / "a.mkv"), encoder, grid=(2, 2)), begun)
    with begun.with_name(f".{begun.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # a process that fills some of its shards
        result = run("features", "prune", study.folder, "--yes")
        assert result.exit_code == 1 and "another process" in result.output
        assert begun.with_name(begun.name + ".partial").exists()


def test_a_killed_part_goes_with_its_claims(study, tmp_path):
    encoder = load_encoder(tmp_path / "small.safetensors", device="cpu")
    begun = study.features_folder("a") / "0123456789ab.zarr"
    begin_store(plan_features(load_recording(tmp_path / "a.mkv"), encoder, grid=(2, 2)), begun)
    claims = begun.with_name(f".{begun.name}.partial.claims")
    claims.mkdir()
    (claims / "0").touch()
    result = run("features", "prune", study.folder, "--yes")
    assert result.exit_code == 0 and not claims.exists(), result.output
    assert not begun.with_name(begun.name + ".partial").exists()


def test_coordinates_that_are_gone_are_no_whole_store(study):
    import shutil

    shutil.rmtree(store_of(study, "a") / "edge_time" / "c")
    result = run("features", "verify", study.folder)
    assert result.exit_code == 1 and "damaged: edge_time" in result.output, result.output


def test_stores_of_a_replaced_video_and_other_settings_can_go(study, tmp_path):
    (tmp_path / "a.mkv").unlink()
    write_movie(tmp_path / "a.mkv", 90)
    table = study.folder / "recordings.csv"
    fingerprint = study.row("a")["fingerprint"]
    from behavior_prism.datasets import fingerprint as fingerprint_of

    table.write_text(table.read_text().replace(fingerprint, fingerprint_of(tmp_path / "a.mkv")))
    found = json.loads(run("features", "prune", study.folder, "--json").stdout)
    assert [Path(f["path"]) for f in found] == [store_of(study, "a")] and "another video" in found[0]["reason"]
    key = open_features(store_of(study, "b")).attrs["key"]
    kept = json.loads(run("features", "prune", study.features_folder("b"), "--keep-key", key, "--json").stdout)
    assert kept == []
    gone = json.loads(run("features", "prune", study.features_folder("b"), "--keep-key", "f" * 64, "--json").stdout)
    assert [g["reason"] for g in gone] == ["made with other settings"]


def test_export_is_read_by_xarray(study, tmp_path):
    store = store_of(study, "a")
    assert run("features", "export", store, tmp_path / "a.nc").exit_code == 0
    with xr.open_dataset(tmp_path / "a.nc") as out:
        np.testing.assert_array_equal(out["feature"].values, open_features(store)["feature"].values)
    assert run("features", "export", store, tmp_path / "a.nc").exit_code == 2


def test_info_shows_where_a_store_is_from(study):
    found = json.loads(run("info", store_of(study, "a"), "--json").stdout)
    assert found["recording"] == "a" and found["settings"]["grid"] == [4, 4]
    assert found["machines"][0]["device"] == "cpu" and {"started", "finished", "behavior_prism_version"} <= set(found)
    assert "fingerprint" in found["settings"]
    text = run("info", store_of(study, "a")).output
    assert "settings" in text and "encoder_notice" in text


@pytest.mark.parametrize("command", [["features", "ls"], ["features", "verify"], ["features", "prune"], ["info"]])
def test_a_path_that_is_not_there(command, tmp_path):
    result = run(*command, tmp_path / "nothing")
    assert result.exit_code == 2 and "no such" in result.output


def test_what_is_no_store_is_never_removed(tmp_path):
    (tmp_path / "precious.zarr").mkdir()
    (tmp_path / "precious.zarr" / "data").write_text("x")
    listed = json.loads(run("features", "ls", tmp_path, "--json").stdout)
    assert [e["state"] for e in listed] == ["unreadable"]
    assert "nothing to remove" in run("features", "prune", tmp_path, "--yes", "--keep-key", "f").output
    assert run("features", "verify", tmp_path).exit_code == 1
    assert (tmp_path / "precious.zarr" / "data").read_text() == "x"
