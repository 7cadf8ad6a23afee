from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from small_extraction import SHARD_BYTES, small_encoder, write_movie

from behavior_prism.analysis import extract_features, feature_shards, feature_stream, open_features
from behavior_prism.analysis.extraction import plan_features
from behavior_prism.datasets import Recording, VideoSequence, WindowSpec, central_windows, load_recording
from behavior_prism.encoder import load_encoder, preprocess_frames
from behavior_prism.encoder.loading import LoadedEncoder

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def encoder() -> LoadedEncoder:
    return load_encoder("tiny")


@pytest.fixture
def movie(tmp_path):
    def make(count: int, name: str = "movie.mkv", **options):
        return write_movie(tmp_path / name, count, **options)

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


def test_midway_between_two_windows_the_earlier_one_speaks():
    window, position = central_windows(11, WindowSpec(length=8, stride=3))  # centred on 3.5 and 6.5
    assert window.tolist() == [0] * 6 + [1] * 5
    assert position.tolist() == [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7]


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


def test_other_times_and_other_pieces_are_other_recordings(movie, encoder, tmp_path):
    """The camera's own times and every file of a session enter the settings, not the first file alone."""
    one, two, three = movie(20, "a.mkv"), movie(24, "b.mkv"), movie(24, "c.mkv", crf="30")
    spec = WindowSpec(length=8, stride=4)

    def settings(recording):
        return plan_features(recording, encoder, spec).settings()

    plain = load_recording(one)
    slower = load_recording(one, times=plain.times * 1.001)
    assert settings(plain)["fingerprint"] == settings(slower)["fingerprint"]
    assert settings(plain)["times"] != settings(slower)["times"]
    sessions = [Recording(video=VideoSequence(paths), name="s") for paths in ([one, two], [one, three])]
    assert len({settings(r)["fingerprint"] for r in (*sessions, plain)}) == 3
    store = extract_features(sessions[0], encoder, tmp_path / "s.features.zarr", window=spec)
    assert store.sizes["time"] == 44


def test_something_else_at_that_place_is_kept(movie, encoder, tmp_path):
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter1.txt").write_text("irreplaceable")
    with pytest.raises(FileExistsError, match="is not a feature store"):
        extract_features(load_recording(movie(20)), encoder, target, overwrite=True)
    assert (target / "chapter1.txt").read_text() == "irreplaceable"


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


@pytest.fixture
def begun(movie, tmp_path, monkeypatch):
    """A recording of four shards, its features, and a copy of them that lacks its name."""
    monkeypatch.setattr(feature_shards, "SHARD_BYTES", SHARD_BYTES)
    encoder, recording = load_encoder(small_encoder(tmp_path)), load_recording(movie(200))
    expected = extract_features(recording, encoder, tmp_path / "whole.zarr").feature.values
    partial = tmp_path / "f.zarr.partial"
    shutil.copytree(tmp_path / "whole.zarr", partial)

    def go_on(**options) -> list[int]:
        """Extract again; the numbers are right, and these were the frames reported as done."""
        done: list[int] = []
        extract_features(recording, encoder, tmp_path / "f.zarr", progress=lambda n, of: done.append(n), **options)
        np.testing.assert_array_equal(open_features(tmp_path / "f.zarr").feature.values, expected)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["f.zarr", "movie.mkv", "small.safetensors", "whole.zarr"]
        return done

    return partial, go_on


def test_a_damaged_shard_is_computed_again(begun):
    partial, go_on = begun
    group = zarr.open_group(partial, mode="r+")
    group["feature"][:, 64:128] = 0  # done by its flag, wrong by its checksum
    group["done"][3] = False
    assert go_on()[0] == 128  # the first and the third were kept


@pytest.mark.parametrize("shard", [1, 3])
@pytest.mark.parametrize("damage", [b"", b"junk" * 50, None])
def test_an_unreadable_shard_is_computed_again(begun, shard, damage):
    partial, go_on = begun
    file = partial / "feature" / "c" / "0" / str(shard) / "0" / "0"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] if damage is None else damage)
    assert go_on()[0] == {1: 136, 3: 192}[shard]


@pytest.mark.parametrize("name", ["zarr.json", "done/c/0", "done/zarr.json", "feature/zarr.json", "time/zarr.json"])
def test_a_store_whose_flags_cannot_be_read_is_begun_anew(begun, name):
    partial, go_on = begun
    (partial / name).write_bytes(b"junk")
    assert go_on()[0] == 0


def test_a_store_begun_with_other_settings_is_kept(begun):
    partial, go_on = begun
    group = zarr.open_group(partial, mode="r+")
    group.attrs["settings"] = group.attrs["settings"].replace('"stride": 2', '"stride": 1')
    group.attrs["key"] = "another"
    before = sorted(p for p in partial.rglob("*"))
    with pytest.raises(FileExistsError, match=r"f\.zarr\.partial: begun with another stride; extract as before"):
        go_on()
    assert sorted(p for p in partial.rglob("*")) == before
    assert go_on(overwrite=True)[0] == 0


def test_something_else_where_a_store_would_grow_is_kept(begun):
    partial, go_on = begun
    shutil.rmtree(partial)
    partial.mkdir()
    (partial / "chapter1.txt").write_text("irreplaceable")
    with pytest.raises(FileExistsError, match="expected an unfinished feature store, got something else"):
        go_on(overwrite=True)
    assert (partial / "chapter1.txt").read_text() == "irreplaceable"


def test_an_error_that_is_not_the_videos_keeps_what_was_done(begun, monkeypatch):
    """Only a frame that will not decode next time either is a reason to throw work away."""
    partial, go_on = begun
    zarr.open_group(partial, mode="r+")["done"][2:] = False

    def fail(*args, **kwargs):
        raise ValueError("the encoder stumbled")

    with monkeypatch.context() as patch:
        patch.setattr(feature_stream, "_temporal_tokens", fail)
        with pytest.raises(ValueError, match="the encoder stumbled"):
            go_on()
    assert go_on()[0] == 128


def test_two_processes_do_not_write_one_store(begun):
    pytest.importorskip("fcntl")
    partial, go_on = begun
    target = partial.with_name("f.zarr")
    script = (
        "import sys; from pathlib import Path; from behavior_prism.analysis.writer_lock import only_writer\n"
        "with only_writer(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "mine\n"
        with pytest.raises(BlockingIOError, match=r"f\.zarr: another process is writing it"):
            go_on()
        os.kill(other.pid, signal.SIGKILL)
    go_on()  # a lock ends with its process


def test_unfinished_and_foreign_stores_are_refused(movie, encoder, tmp_path):
    extract_features(load_recording(movie(20)), encoder, tmp_path / "f.zarr")
    shutil.copytree(tmp_path / "f.zarr", tmp_path / "g.zarr.partial")
    with pytest.raises(FileNotFoundError, match=r"g\.zarr: no such features store \(g\.zarr\.partial is there"):
        open_features(tmp_path / "g.zarr")
    zarr.open_group(tmp_path / "foreign.zarr", mode="w")
    with pytest.raises(ValueError, match="expected a features store, got a foreign zarr group"):
        open_features(tmp_path / "foreign.zarr")
    (tmp_path / "file.zarr").write_text("x")
    with pytest.raises(ValueError, match="expected a features store"):
        open_features(tmp_path / "file.zarr")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process its own peak")
@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(movie, tmp_path):
    """Peak memory over 6,000 frames is that over 1,500, whatever of a frame might be kept.

    4,500 frames more are 18 MB of tokens, 30 MB of resized pictures or 40 MB of pictures; a shard is half a megabyte.
    Not ``ru_maxrss``, which begins with the memory of the process that started this one.
    """
    weights = small_encoder(tmp_path, side=8)
    script = SCRIPT + "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    peaks = []
    for count in (1500, 6000):
        video = movie(count, f"{count}.mkv", preset="ultrafast")
        measured = []
        for k in range(2):  # the lower of two: the allocator's own differs by some megabytes, what is kept does not
            command = [sys.executable, "-c", script, str(video), str(weights), str(tmp_path / f"{count}-{k}.zarr")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            measured.append(int(done.stdout.split()[-1]) / 1024)
        peaks.append(min(measured))
    assert peaks[1] < peaks[0] + 10, peaks
