"""What a worker of a cluster does: look at a recording, compute some of its shards.

Workers must see the same files under the same names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .encoder_source import arrived
from .extraction_run import reason_of, runs

if TYPE_CHECKING:
    from .extraction_jobs import Job

PATIENCE = 60.0  # seconds to wait for somebody who holds a shard: a worker that was given up may still be ending
MOST_SHARDS = 64  # in a task, however few workers there are: what a dead worker costs is what was not yet written
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Look:
    """A recording that a worker has looked at.

    Parameters
    ----------
    recording : str
        Its name.
    store : pathlib.Path
        Where its features go.
    frames : int
        Sampled frames.
    unfinished : bool
        Whether the store has not got its name yet.
    key : str
        Hash of the settings that it must have.
    missing : tuple of int
        Shards to compute.
    shard_frames : int
        Sampled frames in a shard.
    """

    recording: str
    store: Path
    frames: int
    unfinished: bool = False
    key: str = ""
    missing: tuple[int, ...] = ()
    shard_frames: int = 1

    def frames_in(self, shards: Iterable[int]) -> int:
        """Sampled frames in some shards.

        Parameters
        ----------
        shards : iterable of int
            Which.

        Returns
        -------
        int
        """
        return sum(min(self.shard_frames, self.frames - k * self.shard_frames) for k in shards)


def patiently(work: Callable[[], Result], patience: float | None = None) -> Result:
    """Try again for a while where somebody else holds the store or a shard.

    Parameters
    ----------
    work : callable
        Raises ``BlockingIOError`` then.
    patience : float, optional
        Seconds; a minute by default.

    Returns
    -------
    object
        What ``work`` returns.
    """
    until = time.monotonic() + (PATIENCE if patience is None else patience)
    while True:
        try:
            return work()
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def look_at(job: Job, batch: tuple[int, int] | None = None) -> Look:
    """Open a recording and lay out its store; only one that is missing or unfinished is touched.

    Parameters
    ----------
    job : Job
        Which.
    batch : (int, int), optional
        As in ``extract_features``.

    Returns
    -------
    Look
    """
    import zarr

    from behavior_prism.analysis.extraction import begin_store
    from behavior_prism.analysis.store import partial_path, settings_key

    recording = job.load()
    with recording.video:
        plan = job.settings.plan(recording)
        store = Path(job.place(recording.name, plan.settings()))
        missing = patiently(lambda: begin_store(plan, store, batch=batch))
    if store.exists() or not partial_path(store).exists():  # beside a whole one may lie a begun one of other settings
        return Look(recording=recording.name, store=store, frames=len(plan))
    feature: Any = zarr.open_group(partial_path(store), mode="r", use_consolidated=False)["feature"]
    return Look(
        recording=recording.name,
        store=store,
        frames=len(plan),
        unfinished=True,
        key=settings_key(plan.settings()),
        missing=tuple(missing),
        shard_frames=int(feature.shards[1]),
    )


def compute(job: Job, store: Path, shards: range, progress: Callable[[int, int], None] | None = None) -> None:
    """Compute some shards of a store that was laid out.

    Parameters
    ----------
    job : Job
        Of which recording.
    store : pathlib.Path
        Its features.
    shards : range
        Which; those that are done are read and compared with their checksums.
    progress : callable, optional
        Called with (sampled frames done, of how many) of these shards.
    """
    from behavior_prism.analysis.extraction import extract_features

    recording = job.load()
    with recording.video:
        patiently(
            lambda: extract_features(
                recording,
                job.settings.encoder,
                store,
                **job.settings.options(recording),
                **job.settings.run_options(),
                shards=shards,
                progress=progress,
            ).close()
        )


def finish(job: Job, store: Path, key: str) -> list[int]:
    """Give a store its name, if all of it is there.

    Parameters
    ----------
    job : Job
        Whose.
    store : pathlib.Path
        Its final place.
    key : str
        Hash of the settings that it must have.

    Returns
    -------
    list of int
        Shards that are missing, or damaged; empty if it is whole.

    Raises
    ------
    UndecodableFrameError
        If all workers together met too many frames that cannot be decoded.
    FileExistsError
        If there is a store with other settings.
    """
    from behavior_prism.analysis.extraction import finish_if_whole

    most = job.settings.run_options()["max_undecodable"]
    return patiently(lambda: finish_if_whole(store, key=key, max_undecodable=most))


# -- as tasks: what a recording cannot do is told, what a machine cannot do is raised, and tried again elsewhere


@dataclass(frozen=True)
class Failure:
    """Why a recording cannot be used, wherever it is tried.

    Parameters
    ----------
    reason : str
        One line.
    """

    reason: str


def look_task(packed: bytes, folder: str, threads: int | None) -> Look | Failure:
    """:func:`look_at` on a worker.

    Parameters
    ----------
    packed : bytes
        From :func:`pack`.
    folder, threads
        As in :func:`arrived`.

    Returns
    -------
    Look or Failure
    """
    try:
        with arrived(packed, folder, threads) as job:
            return look_at(job, job.settings.batch)
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        return Failure(reason_of(error))


def compute_task(packed: bytes, folder: str, threads: int | None, store: Path, shards: range) -> bool | Failure:
    """:func:`compute` on a worker.

    Parameters
    ----------
    packed, folder, threads
        As in :func:`look_task`.
    store, shards
        As in :func:`compute`.

    Returns
    -------
    True or Failure
    """
    try:
        with arrived(packed, folder, threads) as job:
            compute(job, store, shards)
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        return Failure(reason_of(error))
    return True


def finish_task(packed: bytes, folder: str, threads: int | None, store: Path, key: str) -> bool | Failure:
    """:func:`finish` on a worker, which computes what is found to be missing.

    Parameters
    ----------
    packed, folder, threads
        As in :func:`look_task`.
    store, key
        As in :func:`finish`.

    Returns
    -------
    True or Failure
    """
    try:
        with arrived(packed, folder, threads) as job:
            for shards in runs(finish(job, store, key)):  # written on a disk that lost it
                compute(job, store, shards)
            if missing := finish(job, store, key):
                raise OSError(f"{store}: {len(missing)} shards that were written are not there")
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        return Failure(reason_of(error))
    return True


def split(missing: Sequence[int], most: int) -> list[range]:
    """Cut missing shards into tasks.

    Parameters
    ----------
    missing : sequence of int
        Shards, ascending.
    most : int
        Missing shards in a task.

    Returns
    -------
    list of range
        Without shards in common; what is done already never lies at an end of one.

    Examples
    --------
    >>> split([0, 1, 2, 3, 4], 2), split([1, 7, 8], 2)
    ([range(0, 2), range(2, 4), range(4, 5)], [range(1, 2), range(7, 9)])
    """
    ranges: list[range] = []
    for k in missing:
        if ranges and k == ranges[-1].stop and len(ranges[-1]) < most:
            ranges[-1] = range(ranges[-1].start, k + 1)
        else:
            ranges.append(range(k, k + 1))
    return ranges


def shards_in_a_task(looks: Iterable[Look], workers: int) -> int:
    """How many shards go into a task, so that all workers have something to do until shortly before the end.

    Parameters
    ----------
    looks : iterable of Look
        All recordings.
    workers : int
        Who shares the work.

    Returns
    -------
    int
        Four tasks a worker, if there is so much to do.
    """
    total = sum(len(one.missing) for one in looks)
    return min(MOST_SHARDS, max(1, -(-total // (4 * max(1, workers)))))
