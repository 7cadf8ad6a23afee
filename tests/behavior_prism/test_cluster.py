"""Extraction on dask workers, some of which are killed; and what SLURM would be handed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from small_extraction import SHARD_BYTES, small_encoder, write_movie

from behavior_prism.analysis import damaged_shards, open_features
from behavior_prism.cluster_tasks import Look, shards_in_a_task, split
from behavior_prism.encoder_source import EncoderSource, encoder_here, pack
from behavior_prism.extraction_jobs import ExtractionSettings, file_jobs
from behavior_prism.extraction_run import run_jobs
from behavior_prism.slurm_script import SlurmOptions, slurm_script

pytest.importorskip("distributed")
pytestmark = pytest.mark.torch


@pytest.fixture
def small_shards(monkeypatch):
    """For this process and for the workers, which it starts."""
    from behavior_prism.analysis import feature_shards

    monkeypatch.setattr(feature_shards, "SHARD_BYTES", SHARD_BYTES)
    import dask

    support = Path(__file__).parents[1] / "support"
    monkeypatch.setenv("PYTHONPATH", str(support))
    with dask.config.set({"distributed.worker.preload": [str(support / "small_shards_preload.py")]}):
        yield


def jobs_of(folder: Path, weights: Path, out: Path):
    source = EncoderSource(name=str(weights), device="cpu")
    settings = ExtractionSettings(encoder=source.load(), batch=(8, 1))
    return file_jobs(sorted(folder.iterdir()), out, settings), source


@pytest.fixture
def raw(tmp_path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


class Seen:
    """A watcher that remembers, and may do something when frames come in."""

    def __init__(self, on_frames=lambda: None) -> None:
        self.ends: list[tuple[str, str]] = []
        self.done: dict[str, int] = {}
        self.on_frames = on_frames

    def plan(self, shares) -> None:
        pass

    def begin(self, job) -> None:
        pass

    def frames(self, job, done, total) -> None:
        assert done <= total
        self.done[Path(job.name).stem] = done
        self.on_frames()

    def end(self, job, outcome) -> None:
        self.ends.append((Path(job.name).stem, outcome.state))


@pytest.mark.slow
def test_workers_that_are_killed_cost_nothing(raw, tmp_path, small_shards, monkeypatch):
    """Two workers, one killed twice; a bad recording; the bits are those of one process."""
    import torch

    from behavior_prism import cluster

    for name, count in (("a", 1500), ("b", 400)):
        write_movie(raw / f"{name}.mkv", count, preset="ultrafast")
    (raw / "bad.mp4").write_text("no video")
    weights = small_encoder(tmp_path)
    jobs, source = jobs_of(raw, weights, tmp_path / "cluster")
    made, kills = [], []
    original = cluster.local_cluster
    monkeypatch.setattr(cluster, "local_cluster", lambda *a: made.append(original(*a)) or made[-1])

    def kill() -> None:
        if len(kills) < 2 and made:
            worker = next(iter(made[0].workers.values()))
            pid = worker.process.process.pid if worker.process and worker.process.process else None
            if pid and pid not in kills:
                os.kill(pid, signal.SIGKILL)
                kills.append(pid)

    watcher = Seen(kill)
    result = cluster.run_on_cluster(jobs, source, "local:2", watcher=watcher, threads=1)
    states = {Path(o.name).stem: o.state for o in result.outcomes}
    assert states == {"a": "done", "b": "done", "bad": "failed"} and len(kills) == 2
    assert sorted(watcher.ends) == sorted(states.items())
    assert watcher.done == {"a": 1500, "b": 400}
    assert [o.computed for o in result.outcomes] == [1500, 400, 0]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone, _ = jobs_of(raw, weights, tmp_path / "alone")
        run_jobs(alone)
    finally:
        torch.set_num_threads(threads)
    for name in "ab":
        here, there = (tmp_path / where / f"{name}.features.zarr" for where in ("alone", "cluster"))
        assert open_features(here)["feature"].values.tobytes() == open_features(there)["feature"].values.tobytes()
        assert damaged_shards(there) == []
    assert not list((tmp_path / "cluster").glob("*.partial"))

    again = cluster.run_on_cluster(jobs[:1], source, "local:1", threads=1)
    assert [o.state for o in again.outcomes] == ["there"]


@pytest.mark.slow
def test_a_scheduler_that_runs_already(raw, tmp_path):
    """Given by its address; workers may come later than the work."""
    from distributed import LocalCluster

    from behavior_prism.cluster import run_on_cluster

    write_movie(raw / "a.mkv", 60)
    jobs, source = jobs_of(raw, small_encoder(tmp_path), tmp_path / "out")
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:
        threading.Timer(1.0, cluster.scale, [1]).start()  # workers may come late
        result = run_on_cluster(jobs, source, cluster.scheduler_address)
    assert [o.state for o in result.outcomes] == ["done"]


def test_no_scheduler_answers():
    from behavior_prism.cluster import run_on_cluster

    begun = time.monotonic()
    with pytest.raises(ValueError, match="no scheduler answers at tcp://127.0.0.1:9 .*expected local, local:N"):
        run_on_cluster([], EncoderSource(), "tcp://127.0.0.1:9")
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("where", ["moon", "local:0", "local:x", ""])
def test_a_cluster_that_is_none(where):
    from behavior_prism.cluster import run_on_cluster

    with pytest.raises(ValueError, match="cluster: expected"):
        run_on_cluster([], EncoderSource(), where)


def test_one_worker_for_each_gpu(monkeypatch):
    from behavior_prism.cluster import worker_specs

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus = [w["options"]["env"].get("CUDA_VISIBLE_DEVICES") for w in worker_specs(4, 2, 4).values()]
    assert gpus == ["0", "1", "2", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    gpus = [w["options"]["env"].get("CUDA_VISIBLE_DEVICES") for w in worker_specs(2, 2, 2).values()]
    assert gpus == ["GPU-aa", "GPU-bb"]
    assert "CUDA_VISIBLE_DEVICES" not in worker_specs(1, 2, 0)[0]["options"]["env"]
    assert all(w["options"]["nthreads"] == 1 for w in worker_specs(3, 2, 0).values())


def test_a_job_travels_without_its_encoder(raw, tmp_path):
    import cloudpickle

    write_movie(raw / "a.mkv", 10)
    jobs, source = jobs_of(raw, small_encoder(tmp_path), tmp_path / "out")
    packed = pack(jobs[0], source)
    assert len(packed) < 20_000
    arrived = cloudpickle.loads(packed)
    assert arrived.settings.encoder.weights_id == jobs[0].settings.encoder.weights_id
    assert arrived.load().num_frames == 10
    with pytest.raises(ValueError, match="expected the weights 0000, got"):
        encoder_here(source, "0000")


def test_how_shards_are_shared():
    assert split([0, 1, 2, 3, 4], 2) == [range(0, 2), range(2, 4), range(4, 5)]
    assert split([], 3) == []
    looks = [Look(recording="a", store=Path("a"), frames=100, unfinished=True, missing=tuple(range(50)))]
    assert shards_in_a_task(looks, 4) == 4  # 13 tasks for four workers
    assert shards_in_a_task([], 4) == 1
    look = Look(recording="a", store=Path("a"), frames=25, unfinished=True, missing=(0, 2), shard_frames=10)
    assert look.frames_in(look.missing) == 15


# -- SLURM


def test_what_dask_would_submit(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    from behavior_prism.cluster import slurm_cluster

    monkeypatch.chdir(tmp_path)
    options = SlurmOptions(
        jobs=3, gpus=1, gpu_type="a100", cpus=6, memory="48G", time="02:00:00", partition="gpu", account="lab",
        setup=["module load cuda"], extra=["--qos=long"], python="/opt/env/bin/python",
    )  # fmt: skip
    with slurm_cluster(options) as cluster:
        script = cluster.job_script()
    for line in (
        "#SBATCH --gres=gpu:a100:1", "#SBATCH --qos=long", "#SBATCH -p gpu", "#SBATCH -A lab", "#SBATCH --mem=48G",
        "#SBATCH --cpus-per-task=6", "#SBATCH -t 02:00:00", "module load cuda", "export OMP_NUM_THREADS=6",
    ):  # fmt: skip
        assert line in script, (line, script)
    assert "/opt/env/bin/python -m distributed.cli.dask_worker" in script and "--nthreads 1" in script


def test_a_script_without_dask():
    text = slurm_script(["extract", "a b"], 8, SlurmOptions(jobs=2, gpus=0, cpus=4, python="python"))
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash" and "#SBATCH --array=1-8%2" in lines and "#SBATCH --cpus-per-task=4" in lines
    assert not any("gres" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"jobs": 0}, "jobs: expected"),
        ({"gpus": -1}, "gpus: expected"),
        ({"memory": ""}, "memory: expected"),
        ({"partition": "a b"}, "partition: expected"),
        ({"extra": ["qos=long"]}, "extra: expected an option"),
    ],
)
def test_bad_options_of_slurm(options, expected):
    with pytest.raises(ValueError, match=expected):
        SlurmOptions(**options)
