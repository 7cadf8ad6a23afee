"""Extraction that is killed, that runs out of memory or disk, or meets others: in real processes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from small_extraction import SHARD_BYTES, small_encoder, write_movie

from behavior_prism.analysis import (
    begin_store,
    damaged_shards,
    extract_features,
    feature_shards,
    finish_store,
    open_features,
    plan_features,
)
from behavior_prism.analysis.extraction_plan import ExtractionPlan
from behavior_prism.analysis.store import partial_path
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import load_encoder

pytestmark = [pytest.mark.torch, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")]

# Imports once; for every line "seconds target [first stop]" it reads, a child extracts and is killed after so long.
NURSERY = """
import os, signal, sys, time
import torch
torch.set_num_threads(1)
from behavior_prism.analysis import extract_features, feature_shards
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import load_encoder
feature_shards.SHARD_BYTES = int(sys.argv[3])
encoder = load_encoder(sys.argv[2], device="cpu")
for line in sys.stdin:
    seconds, target, *shards = line.split()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            extract_features(load_recording(sys.argv[1]), encoder, target, batch=(8, 1),
                             shards=range(*map(int, shards)) if shards else None)
            os._exit(0)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            print("ended", os.waitstatus_to_exitcode(status), time.monotonic() - begun, flush=True)
            break
        if time.monotonic() - begun > float(seconds):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            print("killed", flush=True)
            break
        time.sleep(0.001)
"""


class Nursery:
    def __init__(self, video: Path, weights: Path, shard_bytes: int = SHARD_BYTES) -> None:
        command = [sys.executable, "-c", NURSERY, str(video), str(weights), str(shard_bytes)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def extract(self, target: Path, seconds: float = 600.0, *shards: int) -> list[str]:
        self.begin(target, seconds, *shards)
        return self.end()

    def begin(self, target: Path, seconds: float = 600.0, *shards: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, (seconds, target, *shards))) + "\n")
        self.process.stdin.flush()

    def end(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def assert_same_store(a: Path, b: Path) -> None:
    """Bit by bit, whatever is in it."""
    first, second = open_features(a), open_features(b)
    assert set(first.variables) == set(second.variables) >= {"feature", "clip_embedding", "valid"}
    for name in first.variables:
        one, two = first[name].values, second[name].values
        assert one.dtype == two.dtype and one.shape == two.shape
        assert one.tobytes() == two.tobytes() if one.dtype != object else list(one) == list(two), name
    assert damaged_shards(a) == damaged_shards(b) == []


def kill_often(tmp_path: Path, frames: int, kills: int) -> None:
    """Killed at random moments, then left to finish: what comes out are the bits of a run that was left alone."""
    video, weights = write_movie(tmp_path / "movie.mkv", frames, preset="ultrafast"), small_encoder(tmp_path)
    whole = tmp_path / "whole.zarr"
    chance = random.Random(0)
    with Nursery(video, weights) as nursery:
        ended, code, seconds = nursery.extract(whole)
        assert (ended, code) == ("ended", "0")
        killed = in_the_middle = 0
        while killed < kills:
            broken = tmp_path / f"broken{killed}.zarr"
            for _ in range(5):
                answer = nursery.extract(broken, chance.uniform(0.2, 1.0) * float(seconds))
                assert answer == ["killed"] or answer[:2] == ["ended", "0"], answer
                killed += answer == ["killed"]
                in_the_middle += partial_path(broken).exists()
            assert nursery.extract(broken)[:2] == ["ended", "0"]
            assert_same_store(whole, broken)
            assert not partial_path(broken).exists()
        assert in_the_middle >= kills / 3  # these left something to go on with


def test_killed_at_random_moments_it_gives_the_same_bits(tmp_path):
    kill_often(tmp_path, frames=300, kills=6)


@pytest.mark.slow
def test_killed_very_often_it_gives_the_same_bits(tmp_path):
    kill_often(tmp_path, frames=1000, kills=40)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A recording of four shards of 64 frames, but for the last."""
    monkeypatch.setattr(feature_shards, "SHARD_BYTES", SHARD_BYTES)
    video, weights = write_movie(tmp_path / "movie.mkv", 200), small_encoder(tmp_path)
    return load_recording(video), load_encoder(weights, device="cpu"), video, weights


def test_processes_fill_shards_of_one_store(small, tmp_path):
    recording, encoder, video, weights = small
    extract_features(recording, encoder, tmp_path / "alone.zarr", batch=(8, 1))
    target = tmp_path / "f.zarr"
    assert begin_store(plan_features(recording, encoder), target, batch=(8, 1)) == [0, 1, 2, 3]
    with Nursery(video, weights) as one, Nursery(video, weights) as two:
        one.begin(target, 600, 2, 4)
        two.begin(target, 600, 0, 1)
        assert one.end()[:2] == ["ended", "0"] and two.end()[:2] == ["ended", "0"]
        with pytest.raises(ValueError, match=r"f\.zarr\.partial: 1 of 4 shards are missing"):
            finish_store(target)
        assert begin_store(plan_features(recording, encoder), target) == [1]
        assert one.extract(target, 600, 1, 2)[:2] == ["ended", "0"]
    finish_store(target)
    assert_same_store(target, tmp_path / "alone.zarr")
    assert finish_store(target).sizes["time"] == 200 and begin_store(plan_features(recording, encoder), target) == []
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith((".", "f."))) == ["f.zarr"]


def test_a_shard_has_one_writer(small, tmp_path):
    pytest.importorskip("fcntl")
    recording, encoder, *_ = small
    target = tmp_path / "f.zarr"
    begin_store(plan_features(recording, encoder), target)
    script = (
        "import sys; from pathlib import Path; from behavior_prism.analysis.writer_lock import *\n"
        "p = Path(sys.argv[1])\n"
        "with one_of_the_writers(p), claim_shards(p.with_name(p.name + '.partial'), [1, 2]):\n"
        "    print('mine', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "mine\n"
        extract_features(recording, encoder, target, shards=range(3, 4))
        with pytest.raises(BlockingIOError, match="another process is writing shard 1; give each process its own"):
            extract_features(recording, encoder, target, shards=range(0, 2))
        with pytest.raises(BlockingIOError, match="another process is writing it"):
            extract_features(recording, encoder, target)
        with pytest.raises(BlockingIOError, match="another process is writing it"):
            finish_store(target)
        other.kill()
    assert begin_store(plan_features(recording, encoder), target) == [0, 1, 2]
    extract_features(recording, encoder, target)  # a claim ends with its process, and one alone may go on
    assert damaged_shards(target) == []


def test_out_of_memory_halves_the_batch_and_goes_on(small, tmp_path, monkeypatch):
    recording, encoder, *_ = small
    whole = extract_features(recording, encoder, tmp_path / "whole.zarr", batch=(16, 4))
    forward = type(encoder.model).forward_spatial
    calls = []

    def sometimes(self, frames):
        calls.append(len(frames))
        if len(frames) > 4 and sum(calls) > 100:  # in the second shard
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return forward(self, frames)

    monkeypatch.setattr(type(encoder.model), "forward_spatial", sometimes)
    features = extract_features(recording, encoder, tmp_path / "f.zarr", batch=(16, 4))
    made_by = zarr.open_group(tmp_path / "f.zarr", mode="r")["shard_batch"][:].tolist()
    assert made_by == [[16, 4], [4, 1], [4, 1], [4, 1]] and features.attrs["batch"] == [16, 4]
    a, b = whole.feature.values, features.feature.values
    ulps = np.abs(_ordered(a) - _ordered(b))
    assert (ulps <= 2).mean() >= 0.999
    x, y = (v.astype(np.float64).reshape(200, -1) for v in (a, b))
    cosine = (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
    assert cosine.min() >= 0.99999

    def never(self, frames):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(type(encoder.model), "forward_spatial", never)
    with pytest.raises(ValueError, match="movie: one window at a time is too much for the device"):
        extract_features(recording, encoder, tmp_path / "g.zarr")


def _ordered(half: np.ndarray) -> np.ndarray:
    """Half floats as whole numbers in their order."""
    bits = half.view(np.int16).astype(np.int32)
    return np.where(bits < 0, -(bits & 0x7FFF), bits)


def test_the_batch_of_a_store_is_the_one_it_was_begun_with(small, tmp_path):
    recording, encoder, *_ = small
    extract_features(recording, encoder, tmp_path / "f.zarr", batch=(5, 3), shards=range(0, 2))
    extract_features(recording, encoder, tmp_path / "f.zarr", batch=(7, 2))
    group = zarr.open_group(tmp_path / "f.zarr", mode="r")
    assert group.attrs["batch"] == [5, 3] and group["shard_batch"][:].tolist() == [[5, 3]] * 4


def damage(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = b"\xff" * 200
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("batch", [(16, 1), (3, 2)])
def test_frames_that_cannot_be_decoded_are_left_out_and_counted(small, tmp_path, batch):
    _, encoder, *_ = small
    path = damage(write_movie(tmp_path / "damaged.mp4", 300, g="10", bf="0"))
    recording = load_recording(path)
    bad = [i for i in range(300) if _is_bad(recording, i)]
    assert 1 <= len(bad) <= 10
    said = rf"damaged\.mp4: frame {bad[0]} \(at .* s\) cannot be decoded; with it 1 of 300 sampled frames"
    with pytest.raises(ValueError, match=said):
        extract_features(recording, encoder, tmp_path / "f.zarr", max_undecodable=0.5 / 300)
    partial = zarr.open_group(partial_path(tmp_path / "f.zarr"), mode="r")
    assert partial["done"][:].tolist() == [True, True, False, False, False]  # what was done is not lost
    features = extract_features(recording, encoder, tmp_path / "f.zarr", max_undecodable=0.05, batch=batch)
    assert features.attrs["undecodable_frames"] == bad
    assert np.flatnonzero(~features.valid[0]).tolist() == bad
    assert not features.feature[0, bad].values.any() and features.feature[0, bad[-1] + 1].values.any()
    # frames whose window holds none of them are those of the video as it was
    sound = load_recording(write_movie(tmp_path / "sound.mp4", 300, g="10", bf="0"))
    expected = extract_features(sound, encoder, tmp_path / "sound.zarr")
    far = [*range(bad[0] - 8), *range(bad[-1] + 9, 300)]
    np.testing.assert_allclose(features.feature.values[:, far], expected.feature.values[:, far], atol=2e-3)


def _is_bad(recording, i: int) -> bool:
    try:
        recording.video[i]
    except ValueError:
        return True
    return False


LIMITED = """
import os, resource, sys, torch
torch.set_num_threads(1)
from behavior_prism.analysis import extract_features, feature_shards
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import load_encoder
video, weights, target, size = sys.argv[1:5]
feature_shards.SHARD_BYTES = 1 << 20
recording, encoder = load_recording(video), load_encoder(weights, device="cpu")
if size != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
if os.geteuid() == 0 and len(sys.argv) > 5:
    os.setgid(65534); os.setuid(65534)
try:
    extract_features(recording, encoder, target)
except Exception as error:
    print(type(error).__name__ + ": " + str(error))
"""


def run_limited(*args: object) -> str:
    command = [sys.executable, "-c", LIMITED, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_full_disk_is_told_in_one_line_and_costs_nothing(small, tmp_path, monkeypatch):
    """A file may grow to 200 kB only: a shard of 2048 frames may not be written."""
    weights = small[3]
    video = write_movie(tmp_path / "long.mkv", 300, preset="ultrafast")
    target = tmp_path / "f.zarr"
    said = run_limited(video, weights, target, 60_000)
    assert said == (
        f"OSError: {target}: cannot be written (File too large); what is done stays, extract again to go on"
    )
    assert partial_path(target).exists() and not target.exists()
    assert run_limited(video, weights, target, 0) == ""
    assert damaged_shards(target) == []
    said = run_limited(video, weights, tmp_path / "g.zarr", 50)  # not even what describes it
    assert said.startswith("OSError: ") and said.endswith("g.zarr: cannot be written (File too large)")
    assert [p.name for p in tmp_path.iterdir() if "g.zarr" in p.name] == []


def test_a_folder_that_may_only_be_read(small):
    *_, video, weights = small
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, which nobody but its owner may enter
        folder = Path(name)
        movie = Path(shutil.copy(video, folder / "movie.mkv"))
        folder.chmod(0o555)
        said = run_limited(movie, weights, folder / "f.zarr", 0, "as nobody")
        folder.chmod(0o755)
    assert said == f"OSError: {folder / 'f.zarr'}: cannot be written (Permission denied)"


def test_a_store_begun_by_an_older_version(small, tmp_path, monkeypatch):
    recording, encoder, *_ = small
    target = tmp_path / "f.zarr"
    settings = ExtractionPlan.settings
    with monkeypatch.context() as patch:
        patch.setattr(ExtractionPlan, "settings", lambda self: {**settings(self), "layout": 1})
        extract_features(recording, encoder, target, shards=range(0, 1))
    with pytest.raises(FileExistsError, match=r"begun by another version \(layout 1, expected 2\)"):
        extract_features(recording, encoder, target)
    extract_features(recording, encoder, target, overwrite=True)
    assert json.loads(open_features(target).attrs["settings"])["layout"] == 2


def test_a_video_that_changes_while_it_is_read(small, tmp_path, monkeypatch):
    _, encoder, video, _ = small
    copy = tmp_path / "copy.mkv"
    shutil.copy(video, copy)
    changing = load_recording(copy)

    def change(done: int, of: int) -> None:
        if done == of:
            with copy.open("ab") as file:
                file.write(b"more")

    with pytest.raises(ValueError, match=r"copy\.mkv: has changed while it was read"):
        extract_features(changing, encoder, tmp_path / "f.zarr", progress=change)
    assert not partial_path(tmp_path / "f.zarr").exists()
