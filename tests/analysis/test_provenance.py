from __future__ import annotations

import getpass
import json
import platform

import numpy as np
import pytest
import torch
import xarray as xr
from small_extraction import SHARD_BYTES, small_encoder, write_movie

from behavior_prism.analysis import (
    damaged_shards,
    export_netcdf,
    extract_features,
    feature_shards,
    plan_features,
    settings_key,
    store_path,
)
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import load_encoder

pytestmark = pytest.mark.torch


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_shards, "SHARD_BYTES", SHARD_BYTES)
    recording = load_recording(write_movie(tmp_path / "movie.mkv", 150))
    encoder = load_encoder(small_encoder(tmp_path), device="cpu")
    plan = plan_features(recording, encoder)
    path = store_path(tmp_path / "study", "movie", plan.settings())
    return extract_features(recording, encoder, path), path, plan, encoder


def test_a_store_says_what_made_it_and_names_nobody(made):
    features, path, plan, encoder = made
    attrs = features.attrs
    assert attrs["key"] == settings_key(plan.settings()) and path.name == f"{attrs['key'][:12]}.zarr"
    assert path.parent.name == "movie" and path.parent.parent.name == "features"
    settings = json.loads(attrs["settings"])
    assert settings["weights"] == encoder.weights_id and settings["length"] == 4
    (machine,) = json.loads(attrs["machines"])
    assert machine["threads"] == torch.get_num_threads() and machine["torch"] == str(torch.__version__)
    assert attrs["started"] <= attrs["finished"] and attrs["undecodable_frames"] == []
    said = json.dumps(machine)
    assert platform.node() not in said and getpass.getuser() not in said


def test_netcdf_holds_the_same_numbers(made, tmp_path):
    features, path, *_ = made
    export_netcdf(path, tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as copy:
        assert set(copy.variables) == set(features.variables)
        np.testing.assert_array_equal(copy.feature.values, features.feature.values.astype(np.float32))
        np.testing.assert_array_equal(copy.valid.values.astype(bool), features.valid.values)
        assert copy.attrs["key"] == features.attrs["key"]
    with pytest.raises(FileExistsError, match=r"f\.nc: exists already"):
        export_netcdf(path, tmp_path / "f.nc")


def test_a_damaged_shard_of_a_finished_store_is_found(made):
    _, path, *_ = made
    assert damaged_shards(path) == []
    (path / "feature" / "c" / "0" / "1" / "0" / "0").write_bytes(b"junk" * 50)
    (path / "clip_embedding" / "c" / "0" / "2" / "0").unlink()
    assert damaged_shards(path) == [(64, 128), (128, 150)]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b"])
def test_a_store_stays_in_its_study(tmp_path, name):
    with pytest.raises(ValueError, match="recording: expected a name that a folder can have"):
        store_path(tmp_path, name, {})
