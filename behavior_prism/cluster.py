"""The jobs of an extraction on dask.distributed: on this machine, on SLURM, or on a scheduler that runs already.

Recordings are looked at first, each in a task; then every task computes a run of shards of one recording, and the last
one of a recording is followed by a task that gives its store its name. A worker that dies costs what it had not written
yet: its tasks go to others, which find the shards that are done. A recording that cannot be used does not hold up the
others.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cluster_tasks import Failure, Look, compute_task, finish_task, look_task, shards_in_a_task, split
from .encoder_source import EncoderSource, pack
from .extraction_jobs import Job
from .extraction_run import ExtractionResult, Outcome, Watcher, reason_of
from .slurm_script import SlurmOptions

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2  # of a task that raised: a disk of the network may answer the next time
WAIT_FOR_WORKERS = 3600.0  # seconds; jobs may stand in a queue


class MissingCluster(ValueError):
    """What a cluster needs is not installed."""


def run_on_cluster(
    jobs: Sequence[Job],
    source: EncoderSource,
    where: str,
    *,
    slurm: SlurmOptions | None = None,
    watcher: Watcher | None = None,
    threads: int | None = None,
) -> ExtractionResult:
    """Extract the features of recordings on several workers.

    Parameters
    ----------
    jobs : sequence of Job
        From :func:`~behavior_prism.extraction_jobs.file_jobs` or ``study_jobs``.
    source : EncoderSource
        How a worker gets the encoder of the jobs.
    where : str
        ``local`` or ``local:N`` (so many workers, by default one for each GPU, or else one), ``slurm``, or the address
        of a scheduler such as ``tcp://10.0.0.1:8786``.
    slurm : SlurmOptions, optional
        What each SLURM job gets.
    watcher : Watcher, optional
        Told how far it is.
    threads : int, optional
        Cores that a worker's torch may use; by default those of this machine are shared.

    Returns
    -------
    ExtractionResult

    Raises
    ------
    ValueError
        If ``where`` is none of these, or the cluster cannot be had.
    """
    begun = time.monotonic()
    result = ExtractionResult(outcomes=[Outcome(name=job.name) for job in jobs])
    with client_of(where, slurm=slurm, threads=threads) as (client, per_worker):
        _Run(client, jobs, source, result.outcomes, watcher, per_worker).go()
    result.seconds = time.monotonic() - begun
    return result


class _Run:
    """State of one run: which future is what of which recording."""

    def __init__(
        self,
        client: Client,
        jobs: Sequence[Job],
        source: EncoderSource,
        outcomes: list[Outcome],
        watcher: Watcher | None,
        threads: int | None,
    ) -> None:
        self.client, self.jobs, self.outcomes, self.watcher = client, jobs, outcomes, watcher
        self.packed = [pack(job, source) for job in jobs]  # small; what is scattered dies with its worker
        self.threads = threads
        self.looks: dict[int, Look] = {}
        self.begun: dict[int, float] = {}

    def submit(self, task: Any, k: int, *arguments: Any) -> Future:
        return self.client.submit(
            task, self.packed[k], os.getcwd(), self.threads, *arguments, pure=False, retries=RETRIES
        )

    def go(self) -> None:
        for k, future in self._finished({self.submit(look_task, k): k for k in range(len(self.jobs))}):
            look = self._value(k, future)
            if look is not None:
                self.looks[k] = look
                self.outcomes[k].store, self.outcomes[k].frames = look.store, look.frames
                if not look.unfinished:
                    self._end(k, "there")
        unfinished = {k: look for k, look in self.looks.items() if look.unfinished}
        workers = max(1, len(self.client.scheduler_info()["workers"]))
        at_once = shards_in_a_task(unfinished.values(), workers)
        self._compute({k: split(look.missing, at_once) for k, look in unfinished.items()})

    def _compute(self, ranges: dict[int, list[range]]) -> None:
        from distributed import as_completed

        computing: dict[Future, tuple[int, range | None]] = {}
        for k, parts in ranges.items():
            look, self.begun[k] = self.looks[k], time.monotonic()
            if self.watcher is not None:
                self.watcher.begin(self.jobs[k])
                self.watcher.frames(self.jobs[k], look.frames - look.frames_in(look.missing), look.frames)
            for one in parts:
                computing[self.submit(compute_task, k, look.store, one)] = (k, one)
            if not parts:  # all of it was there but for the name
                computing[self.submit(finish_task, k, look.store, look.key)] = (k, None)
        left = {k: len(parts) for k, parts in ranges.items()}
        waiting = as_completed(list(computing))
        for future in waiting:
            k, shards = computing.pop(future)
            if self._value(k, future) is None:
                continue
            if shards is None:
                self._end(k, "done")
                continue
            self._count(k, shards)
            left[k] -= 1
            if not left[k]:
                last = self.submit(finish_task, k, self.looks[k].store, self.looks[k].key)
                computing[last] = (k, None)
                waiting.add(last)

    def _finished(self, futures: dict[Future, int]) -> Iterator[tuple[int, Future]]:
        from distributed import as_completed

        for future in as_completed(list(futures)):
            yield futures[future], future

    def _value(self, k: int, future: Future) -> Any:
        """What a task gave; None if it failed, which is written down for the recording, once."""
        try:
            value = future.result()
        except Exception as error:  # of any kind: it comes from another machine
            value = Failure(reason_of(error))
        future.release()
        if not isinstance(value, Failure):
            return value
        if self.outcomes[k].reason == "":
            self.outcomes[k].reason = value.reason
            self._end(k, "failed")
        return None

    def _count(self, k: int, shards: range) -> None:
        look, outcome = self.looks[k], self.outcomes[k]
        outcome.computed += look.frames_in(s for s in shards if s in look.missing)
        if self.watcher is not None and outcome.reason == "":
            there = look.frames - look.frames_in(look.missing)
            self.watcher.frames(self.jobs[k], there + outcome.computed, look.frames)

    def _end(self, k: int, state: str) -> None:
        outcome = self.outcomes[k]
        outcome.state = state
        outcome.seconds = time.monotonic() - self.begun.get(k, time.monotonic())
        if self.watcher is not None:
            self.watcher.end(self.jobs[k], outcome)


@contextmanager
def client_of(
    where: str, *, slurm: SlurmOptions | None = None, threads: int | None = None
) -> Iterator[tuple[Client, int | None]]:
    """Connect to a cluster, or make one for as long as it is needed.

    Parameters
    ----------
    where, slurm, threads
        As in :func:`run_on_cluster`.

    Yields
    ------
    client : distributed.Client
        Connected, with at least one worker.
    threads : int or None
        Cores that torch may use in each worker; None leaves it to the worker.
    """
    try:
        import distributed
        from dask import config
    except ImportError as error:
        raise MissingCluster(f"--cluster needs dask ({error}): pip install 'behavior-prism[cluster]'") from None
    # a worker that is killed takes its task with it, which is not the task's fault so soon
    with config.set({"distributed.scheduler.allowed-failures": 5}):
        if where == "local" or where.startswith("local:"):
            workers = _workers(where)
            share = threads or max(1, (os.cpu_count() or 1) // workers)
            with local_cluster(workers, share) as cluster, distributed.Client(cluster) as client:
                client.wait_for_workers(1, timeout=60)
                yield client, share
        elif where == "slurm":
            options = slurm or SlurmOptions()
            with slurm_cluster(options) as cluster, distributed.Client(cluster) as client:
                Path(options.logs).mkdir(parents=True, exist_ok=True)  # without it SLURM starts nothing
                cluster.scale(jobs=options.jobs)
                client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
                yield client, threads or options.cpus
        elif "://" in where or where.rpartition(":")[2].isdigit():
            try:
                client = distributed.Client(where, timeout=20)
            except OSError as error:
                raise ValueError(
                    f"cluster: no scheduler answers at {where} ({error}); expected local, local:N, slurm or "
                    "the address of one that runs"
                ) from None
            with client:
                client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS)
                yield client, threads
        else:
            raise ValueError(f"cluster: expected local, local:N, slurm or the address of a scheduler, got {where!r}")


def _workers(where: str) -> int:
    number = where.partition(":")[2]
    if not number:
        return max(1, gpus())
    if not number.isdigit() or int(number) < 1:
        raise ValueError(f"cluster: expected local:N with a whole number from 1 on, got {where!r}")
    return int(number)


def gpus() -> int:
    """GPUs of this machine.

    Returns
    -------
    int
    """
    import torch

    return torch.cuda.device_count()


def worker_specs(workers: int, threads: int, num_gpus: int) -> dict[int, dict[str, Any]]:
    """Local workers: a process each, with one task at a time, and one GPU each as far as there are any.

    Parameters
    ----------
    workers, threads : int
        How many, and how many cores each may use.
    num_gpus : int
        GPUs of the machine.

    Returns
    -------
    dict of int to dict
        As ``distributed.SpecCluster`` takes them.

    Examples
    --------
    >>> [w["options"]["env"] for w in worker_specs(2, 4, 2).values()]  # doctest: +ELLIPSIS
    [{'OMP_NUM_THREADS': '4', 'CUDA_VISIBLE_DEVICES': '0'}, {'OMP_NUM_THREADS': '4', 'CUDA_VISIBLE_DEVICES': '1'}]
    """
    from distributed import Nanny

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if num_gpus else []
    names = visible if len(visible) == num_gpus and all(visible) else [str(k) for k in range(num_gpus)]

    def _environment(k: int) -> dict[str, str]:
        of_gpu = {"CUDA_VISIBLE_DEVICES": names[k % num_gpus]} if num_gpus else {}
        return {"OMP_NUM_THREADS": str(threads), **of_gpu}

    # memory is bounded by the extraction itself: a nanny that judges by a share of the machine would kill good workers
    return {
        k: {
            "cls": Nanny,
            "options": {
                "nthreads": 1,
                "memory_limit": 0,
                "env": _environment(k),
                "dashboard": False,
                "silence_logs": logging.ERROR,
            },
        }
        for k in range(workers)
    }


def local_cluster(workers: int, threads: int) -> Any:
    """Workers on this machine.

    Parameters
    ----------
    workers, threads : int
        As in :func:`worker_specs`.

    Returns
    -------
    distributed.SpecCluster
    """
    from distributed import Scheduler, SpecCluster

    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "host": "127.0.0.1", "port": 0}}
    level: Any = logging.ERROR  # what a killed worker makes others say is told once, by us
    return SpecCluster(scheduler=scheduler, workers=worker_specs(workers, threads, gpus()), silence_logs=level)


def slurm_cluster(options: SlurmOptions) -> Any:
    """Workers that are SLURM jobs; none is submitted before it is scaled.

    Parameters
    ----------
    options : SlurmOptions
        What each job gets.

    Returns
    -------
    dask_jobqueue.SLURMCluster
        Its ``job_script()`` is what would be submitted.
    """
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise MissingCluster(f"--cluster slurm needs dask-jobqueue ({error})") from None
    return SLURMCluster(
        cores=1,  # tasks at a time: one recording has all cores of its job
        processes=1,
        job_cpu=options.cpus,
        memory=options.memory.replace("G", "GB") if options.memory.endswith("G") else options.memory,
        job_mem=options.memory,
        walltime=options.time,
        queue=options.partition or None,
        account=options.account or None,
        job_name=options.name,
        log_directory=None,  # it would make the folder, also to show the script
        python=options.python,
        job_extra_directives=[*options.directives(), f"--output={options.logs}/%j.log"],
        scheduler_options={"dashboard": False},
        job_script_prologue=[*options.setup, f"export OMP_NUM_THREADS={options.cpus}"],
    )
