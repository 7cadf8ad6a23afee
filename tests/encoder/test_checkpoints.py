from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from behavior_prism.encoder import (
    VideoEncoder,
    VideoEncoderConfig,
    hash_parameters,
    load_encoder,
    load_flax_checkpoint,
    load_safetensors,
    preprocess_frames,
    save_encoder,
)
from behavior_prism.encoder.flax_names import to_flax

pytestmark = pytest.mark.torch

CONFIG = VideoEncoderConfig(
    patch_size=6,
    pos_emb_shape=(4, 4, 4),
    model_dim=24,
    num_spatial_layers=3,
    num_temporal_layers=2,
    num_heads=4,
    mlp_dim=48,
)


@pytest.fixture
def model() -> VideoEncoder:
    model = VideoEncoder(CONFIG)
    with torch.no_grad():
        for k, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(k)))
    return model


@pytest.fixture
def arrays(model):
    return to_flax({n: v.numpy() for n, v in model.state_dict().items()}, CONFIG, stacked=True)


@pytest.mark.parametrize("stacked", [True, False])
def test_official_layout_both_ways(tmp_path, model, stacked):
    arrays = to_flax({n: v.numpy() for n, v in model.state_dict().items()}, CONFIG, stacked=stacked)
    np.savez(tmp_path / "w.npz", **arrays)
    other = VideoEncoder(CONFIG)
    load_flax_checkpoint(tmp_path / "w.npz", other)
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.shared
@pytest.mark.parametrize(("name", "stacked"), [("encoder_scan", True), ("encoder_unrolled", False)])
def test_official_files_come_back_the_same(shared_data, name, stacked):
    folder = shared_data.parent / "reference" / "videoprism"
    settings = json.loads((folder / f"{name}.json").read_text())["config"]
    settings.pop("scan")
    config = VideoEncoderConfig(**settings)
    model = VideoEncoder(config)
    load_flax_checkpoint(folder / f"{name}_weights.npz", model)
    again = to_flax({n: v.numpy() for n, v in model.state_dict().items()}, config, stacked=stacked)
    with np.load(folder / f"{name}_weights.npz") as official:
        assert set(again) == set(official.files)
        for key in official.files:
            np.testing.assert_array_equal(again[key], official[key])


NAME = "params/spatial_encoder/transformers_stack/x_layers/self_attention/query/w"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda a: a.pop(NAME), f"missing {NAME}"),
        (lambda a: a.update({"params/extra": np.zeros(2)}), "not expected params/extra"),
        (lambda a: a.update({NAME: a[NAME][:2]}), rf"{NAME}: expected shape \(3, 24, 4, 6\), got \(2, 24, 4, 6\)"),
        (lambda a: a.update({NAME: a[NAME] * np.nan}), f"{NAME}: holds values that are not finite"),
        (lambda a: a.update({"params/vision_encoder/spatial_ln/bias": np.zeros(2)}), "looks like a video-text"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, model, arrays, damage, message):
    damage(arrays)
    np.savez(tmp_path / "w.npz", **arrays)
    before = hash_parameters(model)
    with pytest.raises(ValueError, match=message) as caught:
        load_flax_checkpoint(tmp_path / "w.npz", model)
    assert "w.npz" in str(caught.value) and "\n" not in str(caught.value)
    assert hash_parameters(model) == before


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a file ran code')",)


def test_pickled_arrays_are_refused(tmp_path, model, arrays):
    arrays["params/spatial_ln/bias"] = np.array([Bomb()], dtype=object)
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match="expected an .npz file of plain arrays"):
        load_flax_checkpoint(tmp_path / "w.npz", model)


def test_other_files_are_refused(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_flax_checkpoint(tmp_path / "none.npz", model)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="expected an .npz file"):
        load_flax_checkpoint(tmp_path / "text.npz", model)
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(ValueError, match="does not fit|expected an .npz file"):
        load_flax_checkpoint(tmp_path / "zip.npz", model)


def test_own_format_keeps_everything(tmp_path, model):
    save_encoder(tmp_path / "w.safetensors", model)
    again = load_safetensors(tmp_path / "w.safetensors")
    assert again.config == CONFIG
    assert hash_parameters(again) == hash_parameters(model)
    with pytest.raises(FileExistsError, match="exists already"):
        save_encoder(tmp_path / "w.safetensors", model)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_foreign_safetensors_are_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="expected 'behavior_prism video encoder 1', got None"):
        load_safetensors(tmp_path / "w.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"junk" * 10)
    with pytest.raises(ValueError, match=r"expected a \.safetensors file"):
        load_safetensors(tmp_path / "x.safetensors")


def test_random_tiny_says_so_and_is_always_the_same():
    a, b = load_encoder("tiny"), load_encoder("videoprism-tiny")
    assert a.weights_id == b.weights_id
    assert not a.trained and "random, untrained" in a.notice
    assert not any(p.requires_grad for p in a.model.parameters())
    assert (a.num_frames, a.image_size) == (8, (96, 96))


def test_load_encoder_from_files(tmp_path, model):
    save_encoder(tmp_path / "mine.safetensors", model)
    loaded = load_encoder(tmp_path / "mine.safetensors")
    assert loaded.trained and loaded.notice == "" and loaded.name == "mine"
    assert (loaded.num_frames, loaded.image_size) == (4, (24, 24))
    with pytest.raises(ValueError, match="expected weights of the size 'tiny'"):
        load_encoder("tiny", weights=tmp_path / "mine.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_encoder(tmp_path / "mine.npz")
    with pytest.raises(ValueError, match="expected one of"):
        load_encoder("enormous")


def test_preprocessing():
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    out = preprocess_frames(frames, (24, 24))
    assert out.shape == (3, 24, 24, 3) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1
    assert out.mean().item() == pytest.approx(frames.mean() / 255, abs=0.01)
    same = preprocess_frames(frames, (40, 60))
    np.testing.assert_allclose(same.numpy() * 255, frames, atol=1e-4)
    with pytest.raises(ValueError, match="expected uint8 frames"):
        preprocess_frames(frames.astype(np.float32), (24, 24))
