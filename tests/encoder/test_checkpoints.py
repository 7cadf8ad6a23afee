"""Weights files: what is read, what is refused, and that nothing is ever half-loaded."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from behavior_prism.encoder import (
    PRESETS,
    VideoEncoder,
    hash_parameters,
    load_encoder,
    load_model,
    load_weights,
    save_encoder,
)
from behavior_prism.encoder.checkpoints import FORMAT, find_preset, read_model
from behavior_prism.encoder.layouts import export

pytestmark = pytest.mark.torch

BIAS = "params/patch_projection/linear/bias"


def as_flax(model, *, stacked=True):
    return export(model, "flax" if stacked else "flax unrolled")


@pytest.fixture
def other(small):
    """A model of the same sizes with other weights, to be loaded into."""
    model = VideoEncoder(small.config).eval().requires_grad_(False)
    model.init_weights(7)
    return model


@pytest.fixture
def refused(other, tmp_path):
    """Write arrays, see that they are refused with this message, and that the model was left alone."""

    def check(arrays, message):
        path = tmp_path / "bad.npz"
        if arrays is not None:
            np.savez(path, **arrays)
        before = hash_parameters(other)
        with pytest.raises(ValueError, match=message) as error:
            load_weights(path, other)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        assert hash_parameters(other) == before

    return check


# official files


@pytest.mark.parametrize("stacked", [True, False])
def test_flax_layouts_give_back_the_same_model(small, other, tmp_path, stacked):
    arrays = as_flax(small, stacked=stacked)
    np.savez(tmp_path / "a.npz", **arrays)
    load_weights(tmp_path / "a.npz", other)
    assert hash_parameters(other) == hash_parameters(small)
    assert any("x_layers_1/" in name for name in arrays) is not stacked
    # and the map is one to one: every number is there exactly once
    assert sum(a.size for a in arrays.values()) == sum(p.numel() for p in small.parameters())


@pytest.mark.shared
@pytest.mark.parametrize("name", ["encoder_scan", "encoder_unrolled"])
def test_map_is_both_ways_on_official_names(reference_dir, name):
    official = dict(np.load(reference_dir / f"{name}_weights.npz", allow_pickle=False))
    config = json.loads((reference_dir / f"{name}.json").read_text())["config"]
    stacked = config.pop("scan")
    with torch.device("meta"):
        model = VideoEncoder(type(PRESETS["tiny"].config)(**config))
    load_weights(reference_dir / f"{name}_weights.npz", model)
    back = as_flax(model.requires_grad_(False), stacked=stacked)
    assert set(back) == set(official)
    assert all(np.array_equal(back[key], official[key]) for key in official)


def test_loads_into_a_model_without_memory(small, tmp_path, rand):
    np.savez(tmp_path / "a.npz", **as_flax(small))
    with torch.device("meta"):
        empty = VideoEncoder(small.config)
    load_weights(tmp_path / "a.npz", empty)
    video = rand(1, 2, 24, 24, 3)
    assert torch.equal(empty.eval()(video), small(video))


def test_missing_names_are_told(small, refused):
    arrays = as_flax(small)
    del arrays[BIAS], arrays["params/spatial_ln/scale"]
    refused(arrays, f"missing {BIAS}, params/spatial_ln/scale")


def test_surplus_names_are_told(small, refused):
    refused(as_flax(small) | {"params/extra/w": np.zeros(3, np.float32)}, "not expected params/extra/w")


def test_wrong_shapes_are_told(small, refused):
    refused(as_flax(small) | {BIAS: np.zeros((1, 24), np.float32)}, rf"{BIAS}: expected shape \(24,\), got \(1, 24\)")


def test_wrong_depth_is_told(small, refused):
    arrays = as_flax(small)
    name = next(n for n in arrays if n.startswith("params/spatial_encoder"))
    refused(arrays | {name: arrays[name][:1]}, rf"{name}: expected shape \(2, .*got \(1, ")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])  # the last is finite, but not as float32
def test_values_that_are_not_finite_are_told(small, refused, value):
    bias = np.zeros(24)
    bias[5] = value
    refused(as_flax(small) | {BIAS: bias}, f"{BIAS}: holds values that are not finite")


@pytest.mark.parametrize("dtype", [np.int32, np.complex64, "U1"])
def test_numbers_of_another_kind_are_told(small, refused, dtype):
    refused(as_flax(small) | {BIAS: np.zeros(24, dtype)}, f"{BIAS}: expected floats, got")


def test_all_problems_are_told_at_once(small, refused):
    arrays = as_flax(small) | {BIAS: np.full(24, np.nan, np.float32), "params/x": np.zeros(1)}
    del arrays["params/temporal_ln/bias"]
    arrays["params/spatial_ln/bias"] = np.zeros(3, np.float32)
    refused(arrays, "missing params/temporal_ln/bias; not expected params/x; params/spatial_ln/bias: expected shape")


def test_pickled_objects_are_refused_and_never_run(small, refused, tmp_path):
    class Boom:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    arrays = as_flax(small) | {BIAS: np.array([Boom()] * 24, dtype=object)}
    refused(arrays, f"{BIAS}: expected floats, got .O")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip at all", b"PK\x03\x04 cut short"])
def test_other_files_are_refused(refused, tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    refused(None, "expected an .npz")


def test_a_file_cut_short_is_refused(small, refused, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **as_flax(small))
    path.write_bytes(path.read_bytes()[:-100])
    refused(None, "expected an .npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_refused(small, refused, tmp_path, save):
    path = tmp_path / "bad.npz"
    save(path, **as_flax(small))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 50] = bytes(50)
    path.write_bytes(raw)
    refused(None, "expected an .npz file of plain arrays|cannot be read|not finite")


def test_a_bare_array_named_npz_is_refused(refused, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(tmp_path / "bad.npz")
    refused(None, "expected an .npz")


def test_a_zip_of_other_things_is_refused(refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as file:
        file.writestr("readme.txt", "hello")
    refused(None, "expected an .npz file of plain arrays")


def test_missing_file(other, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz: no such file"):
        load_weights(tmp_path / "none.npz", other)


def test_a_folder_is_refused(other, tmp_path):
    with pytest.raises(ValueError, match="expected an .npz or .safetensors file"):
        load_weights(tmp_path, other)


def test_size_without_a_name_is_told(small, tmp_path):
    np.savez(tmp_path / "a.npz", **as_flax(small))
    with pytest.raises(ValueError, match=r"one of the sizes .*'tiny'.*got params/.*kernel \(108, 24\)"):
        find_preset(tmp_path / "a.npz")


# our own files


@pytest.mark.parametrize("trained", [True, False])
def test_safetensors_round_trip(small, tmp_path, rand, trained):
    path = save_encoder(tmp_path / "a.safetensors", small, trained=trained)
    model, was_trained = read_model(path)
    assert (model.config, was_trained) == (small.config, trained)
    assert hash_parameters(model) == hash_parameters(small)
    video = rand(1, 3, 24, 24, 3)
    assert torch.equal(model.eval()(video), small(video))
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]  # no temporary file left


def test_saving_never_overwrites_unasked(small, other, tmp_path):
    path = save_encoder(tmp_path / "a.safetensors", small, trained=True)
    with pytest.raises(FileExistsError, match=r"a\.safetensors: exists already"):
        save_encoder(path, other, trained=True)
    assert hash_parameters(load_model(path)) == hash_parameters(small)
    save_encoder(path, other, trained=True, overwrite=True)
    assert hash_parameters(load_model(path)) == hash_parameters(other)


def test_failed_save_leaves_the_old_file_and_nothing_else(small, other, tmp_path, monkeypatch):
    path = save_encoder(tmp_path / "a.safetensors", small, trained=True)

    def half_written(state, file, metadata):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("behavior_prism.encoder.checkpoints.save_file", half_written)
    with pytest.raises(OSError, match="disk full"):
        save_encoder(path, other, trained=True, overwrite=True)
    assert hash_parameters(load_model(path)) == hash_parameters(small)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_saving_asks_for_its_ending(small, tmp_path):
    with pytest.raises(ValueError, match=r"a\.pt: expected a name ending in \.safetensors"):
        save_encoder(tmp_path / "a.pt", small, trained=True)


def write(path, encoder, *, state=None, **metadata):
    config = json.dumps(dataclasses.asdict(encoder.config))
    given = {"format": FORMAT, "model": "VideoEncoder", "config": config, "trained": "true"} | metadata
    save_file(state or encoder.state_dict(), path, metadata={k: v for k, v in given.items() if v is not None})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": None}, "expected 'behavior_prism weights 2', got None"),
        ({"format": "another 2"}, "got 'another 2'"),
        ({"config": None}, "expected the sizes of a model"),
        ({"config": "{"}, "expected the sizes of a model"),
        ({"config": '{"depth": 3}'}, "expected the sizes of a model.*depth"),
        ({"model": "Perceiver"}, "expected the sizes of a model.*Perceiver"),
        ({"trained": None}, "expected the sizes of a model.*trained"),
        ({"trained": "maybe"}, "expected the sizes of a model.*maybe"),
    ],
)
def test_wrong_metadata_is_refused(small, tmp_path, metadata, message):
    write(tmp_path / "a.safetensors", small, **metadata)
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("spatial_ln.scale"), r"missing spatial_ln\.scale"),
        (lambda s: s.update(extra=torch.zeros(2)), "not expected extra"),
        (lambda s: s.update({"spatial_ln.scale": torch.zeros(3)}), r"expected shape \(24,\), got \(3,\)"),
        (lambda s: s["spatial_ln.scale"].fill_(float("nan")), "not finite"),
        (
            lambda s: s.update({"spatial_ln.scale": torch.zeros(24, dtype=torch.int32)}),
            "expected floats, got I32",
        ),
    ],
)
def test_safetensors_that_do_not_fit_are_refused(small, tmp_path, change, message):
    state = {name: value.clone() for name, value in small.state_dict().items()}
    change(state)
    write(tmp_path / "a.safetensors", small, state=state)
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / "a.safetensors")


def test_safetensors_missing_or_damaged(small, tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.safetensors")
    path = save_encoder(tmp_path / "a.safetensors", small, trained=True)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="expected a .safetensors file"):
        load_model(path)


# from one format to the other, through the door


def test_official_file_of_a_named_size_becomes_ours(tmp_path):
    source = VideoEncoder(PRESETS["tiny"].config).requires_grad_(False)
    source.init_weights(3)
    np.savez(tmp_path / "official.npz", **as_flax(source))
    loaded = load_encoder(tmp_path / "official.npz", device="cpu")
    assert (loaded.name, loaded.trained, loaded.notice) == ("tiny", True, "")
    assert loaded.weights_id == hash_parameters(source)
    assert load_encoder("videoprism-tiny", weights=tmp_path / "official.npz", device="cpu").name == "tiny"
    save_encoder(tmp_path / "ours.safetensors", loaded.model, trained=True)
    again = load_encoder(tmp_path / "ours.safetensors", device="cpu")
    assert (again.name, again.trained, again.weights_id) == ("tiny", True, loaded.weights_id)
