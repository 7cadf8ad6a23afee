from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import xarray as xr
from numbered_videos import write_video

from behavior_prism.analysis import extract_features, open_features
from behavior_prism.analysis import store as store_module
from behavior_prism.datasets import WindowSpec, load_recording
from behavior_prism.encoder import load_encoder, preprocess_frames, save_encoder
from behavior_prism.encoder.loading import LoadedEncoder

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def encoder() -> LoadedEncoder:
    return load_encoder("tiny")


def moving_square(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(60, 90, (1, height, width, 3), dtype=np.uint8), count, axis=0)
    for k in range(count):
        x = int((width - 12) * (0.5 + 0.5 * np.sin(k / 5)))
        frames[k, 10:22, x : x + 12] = 220
    return frames


@pytest.fixture
def movie(tmp_path):
    def make(count: int, name: str = "movie.mkv", **options):
        return write_video(tmp_path / name, moving_square(count), options={"crf": "12", **options})

    return make


@torch.inference_mode()
def naive(recording, encoder, spec: WindowSpec, individual: str = "view") -> np.ndarray:
    """Every window on its own, the frame's tokens from the window in which it is most central."""
    frames = np.arange(recording.start_frame, recording.stop_frame, spec.step)
    pictures = np.stack([recording.crop(f, individual) for f in recording.video[frames]])
    video = preprocess_frames(pictures, encoder.image_size)
    last = len(frames) - spec.length
    starts = sorted({*range(0, last + 1, spec.stride), last})
    out = []
    for k in range(len(frames)):
        start = min(starts, key=lambda s: (abs(k - s - (spec.length - 1) / 2), s))
        tokens = encoder.model(video[None, start : start + spec.length])[0, k - start]
        out.append(tokens.reshape(4, 2, 4, 2, -1).mean(dim=(1, 3)).reshape(16, -1))
    return torch.stack(out).numpy()


@pytest.mark.parametrize("spec", [WindowSpec(length=8), WindowSpec(length=8, step=2, stride=3)])
def test_equals_the_naive_way(movie, encoder, tmp_path, spec):
    recording = load_recording(movie(45))
    features = extract_features(recording, encoder, tmp_path / "f.zarr", window=spec)
    assert features.feature.dims == ("individual", "time", "token", "channel")
    assert features.feature.dtype == np.float16
    np.testing.assert_array_equal(features.frame, np.arange(0, 45, spec.step))
    np.testing.assert_allclose(features.time, recording.times[:: spec.step])
    np.testing.assert_allclose(features.feature[0].values, naive(recording, encoder, spec), atol=4e-3)
    assert features.edge_time.size == 46
    assert features.attrs["encoder_trained"] == 0 and "untrained" in features.attrs["encoder_notice"]


def test_regions_and_part_of_a_recording(movie, encoder, tmp_path):
    boxes = {"left": (0, 0, 32, 48), "right": (32, 0, 32, 48)}
    recording = load_recording(movie(40), regions=boxes, frames=(10, 34))
    features = extract_features(recording, encoder, tmp_path / "f.zarr")
    assert features.individual.values.tolist() == ["left", "right"]
    assert features.frame.values.tolist() == list(range(10, 34))
    for name in boxes:
        expected = naive(recording, encoder, WindowSpec(length=8), name)
        np.testing.assert_allclose(features.feature.sel(individual=name).values, expected, atol=4e-3)


@pytest.mark.parametrize("count", [1, 3, 8, 9])
def test_recordings_shorter_than_a_window(movie, encoder, tmp_path, count):
    recording = load_recording(movie(count))
    features = extract_features(recording, encoder, tmp_path / "f.zarr")
    assert features.sizes["time"] == count
    assert bool(np.isfinite(features.feature.values).all())


def test_opens_in_plain_xarray(movie, encoder, tmp_path):
    extract_features(load_recording(movie(20)), encoder, tmp_path / "f.zarr")
    with xr.open_zarr(tmp_path / "f.zarr", consolidated=False) as plain:
        assert plain.feature.shape == (1, 20, 16, 192)
        assert plain.individual.values.tolist() == ["view"]


def test_same_settings_do_nothing_and_others_are_refused(movie, encoder, tmp_path):
    recording = load_recording(movie(20))
    path = tmp_path / "f.zarr"
    extract_features(recording, encoder, path)
    stamp = (path / "zarr.json").stat().st_mtime_ns
    calls = []
    extract_features(recording, encoder, path, progress=lambda done, of: calls.append(done))
    assert (path / "zarr.json").stat().st_mtime_ns == stamp and calls == []
    with pytest.raises(FileExistsError, match=r"exists already, made with another stride"):
        extract_features(recording, encoder, path, window=WindowSpec(length=8, stride=2))
    with pytest.raises(ValueError, match="grid: expected numbers that divide the encoder's 8x8, got 3x4"):
        extract_features(recording, encoder, path, grid=(3, 4))
    again = extract_features(recording, encoder, path, window=WindowSpec(length=8, stride=2), overwrite=True)
    assert '"stride": 2' in again.attrs["settings"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.zarr", "movie.mkv"]


def test_something_else_at_that_place_is_kept(movie, encoder, tmp_path):
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter1.txt").write_text("irreplaceable")
    with pytest.raises(FileExistsError, match="is not a feature store"):
        extract_features(load_recording(movie(20)), encoder, target, overwrite=True)
    assert (target / "chapter1.txt").read_text() == "irreplaceable"


def test_an_undecodable_frame_leaves_nothing(movie, encoder, tmp_path):
    path = movie(60, "damaged.mp4", g="10", bf="0")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged\.mp4: frame \d+ \(at .* s\) cannot be decoded"):
        extract_features(load_recording(path), encoder, tmp_path / "out" / "f.zarr")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def small_encoder(tmp_path):
    """An encoder of a few thousand parameters, so that thousands of frames take a second."""
    from behavior_prism.encoder import VideoEncoder, VideoEncoderConfig

    config = VideoEncoderConfig(
        patch_size=6,
        pos_emb_shape=(4, 4, 4),
        model_dim=16,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_heads=2,
        mlp_dim=16,
    )
    path = tmp_path / "small.safetensors"
    save_encoder(path, VideoEncoder(config))
    return path


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from behavior_prism.analysis import extract_features
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import load_encoder
print("ready", flush=True)
extract_features(load_recording(sys.argv[1]), load_encoder(sys.argv[2]), sys.argv[3])
print("done", flush=True)
"""


@pytest.mark.slow
def test_kill_and_resume_gives_the_same_bits(movie, tmp_path):
    video, weights = movie(store_module.SHARD_FRAMES * 3 + 200, preset="ultrafast"), small_encoder(tmp_path)

    def run(target, kill_after: float | None) -> bool:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(video), str(weights), str(target)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(process.pid, signal.SIGKILL)
        return "done" in process.communicate()[0]

    whole, broken = tmp_path / "whole.zarr", tmp_path / "broken.zarr"
    begun = time.monotonic()
    assert run(whole, None)
    duration = time.monotonic() - begun
    killed = 0
    for share in (0.35, 0.5, 0.65, 0.5):
        if run(broken, share * duration):
            break
        killed += 1
        assert not broken.exists()  # its name only when whole
    assert killed >= 1
    assert run(broken, None)
    a, b = open_features(whole), open_features(broken)
    np.testing.assert_array_equal(a.feature.values.view(np.uint16), b.feature.values.view(np.uint16))
    assert not store_module.partial_path(broken).exists()


def test_a_damaged_shard_is_computed_again(movie, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SHARD_FRAMES", 64)
    encoder, recording = load_encoder(small_encoder(tmp_path)), load_recording(movie(200))
    extract_features(recording, encoder, tmp_path / "whole.zarr")
    expected = open_features(tmp_path / "whole.zarr").feature.values
    partial = tmp_path / "f.zarr.partial"
    shutil.copytree(tmp_path / "whole.zarr", partial)
    import zarr

    group = zarr.open_group(partial, mode="r+")
    group["feature"][:, 64:128] = 0  # done by its flag, wrong by its checksum
    group["done"][3] = False
    done = []
    extract_features(recording, encoder, tmp_path / "f.zarr", progress=lambda n, of: done.append(n))
    np.testing.assert_array_equal(open_features(tmp_path / "f.zarr").feature.values, expected)
    assert done[0] == 64  # the first shard was kept


def test_unfinished_and_foreign_stores_are_refused(movie, encoder, tmp_path):
    extract_features(load_recording(movie(20)), encoder, tmp_path / "f.zarr")
    shutil.copytree(tmp_path / "f.zarr", tmp_path / "g.zarr.partial")
    with pytest.raises(FileNotFoundError, match=r"g\.zarr: no such features store \(g\.zarr\.partial is there"):
        open_features(tmp_path / "g.zarr")
    import zarr

    zarr.open_group(tmp_path / "foreign.zarr", mode="w")
    with pytest.raises(ValueError, match="expected a features store, got a foreign zarr group"):
        open_features(tmp_path / "foreign.zarr")
    (tmp_path / "file.zarr").write_text("x")
    with pytest.raises(ValueError, match="expected a features store"):
        open_features(tmp_path / "file.zarr")


def test_memory_does_not_grow_with_the_recording(movie, tmp_path):
    """Peak memory over 6,000 frames is that over 1,500, give or take a shard."""
    weights = small_encoder(tmp_path)
    script = SCRIPT + "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    peaks = []
    for count in (1500, 6000):
        video = movie(count, f"{count}.mkv", preset="ultrafast")
        command = [sys.executable, "-c", script, str(video), str(weights), str(tmp_path / f"{count}.zarr")]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]) / 1024)
    assert peaks[1] < peaks[0] + 60, peaks
