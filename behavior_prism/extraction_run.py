"""Doing the jobs of an extraction one after another, or a share of them beside other processes.

A batch goes on after a bad recording and tells of it at the end. ``part`` cuts the work for array jobs that know
nothing of each other: shards of all recordings lie in one row, and each part takes its stretch of it, so that one long
recording is shared and a thousand short ones are too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .extraction_jobs import Job

if TYPE_CHECKING:
    from behavior_prism.analysis.extraction_plan import ExtractionPlan

Part = tuple[int, int]  # (which, of how many), the first is 1


@dataclass(kw_only=True)
class Outcome:
    """What became of a recording.

    Parameters
    ----------
    name : str
        As the user called it.
    state : {"done", "there", "part", "failed"}
        Made now; made before; some of it made, others have not finished; not to be used.
    store : pathlib.Path, optional
        Its features.
    reason : str
        Why it failed.
    frames : int
        Sampled frames that it has, of all individuals alike.
    computed : int
        Those computed now.
    seconds : float
        What that took.
    """

    name: str
    state: str = "failed"
    store: Path | None = None
    reason: str = ""
    frames: int = 0
    computed: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON.

        Returns
        -------
        dict
        """
        return asdict(self) | {"store": None if self.store is None else str(self.store)}


@dataclass(kw_only=True)
class ExtractionResult:
    """What became of all recordings.

    Parameters
    ----------
    outcomes : list of Outcome
        In the order of the jobs.
    seconds : float
        From the begin to the end.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def done(self) -> list[Path]:
        """Stores that are whole."""
        return [o.store for o in self.outcomes if o.state in ("done", "there") and o.store is not None]

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Recordings that failed, and why."""
        return [(o.name, o.reason) for o in self.outcomes if o.state == "failed"]

    def to_dict(self) -> dict[str, Any]:
        """For JSON.

        Returns
        -------
        dict
        """
        states = [o.state for o in self.outcomes]
        return {
            "recordings": [o.to_dict() for o in self.outcomes],
            **{state: states.count(state) for state in ("done", "there", "part", "failed")},
            "frames": sum(o.computed for o in self.outcomes),
            "seconds": round(self.seconds, 3),
        }


class Watcher(Protocol):
    """Who is told how far the work is."""

    def plan(self, shares: Mapping[str, float]) -> None:
        """Only a part of the work is to be done; told once, before the first recording.

        Parameters
        ----------
        shares : mapping of str to float
            Name of a job: which share of it, from 0 to 1. The others are not to be done.
        """

    def begin(self, job: Job) -> None:
        """A recording's turn has come.

        Parameters
        ----------
        job : Job
            Which.
        """

    def frames(self, job: Job, done: int, total: int) -> None:
        """Sampled frames of a recording that are done.

        Parameters
        ----------
        job : Job
            Which.
        done, total : int
            How many, of how many.
        """

    def end(self, job: Job, outcome: Outcome) -> None:
        """A recording is through.

        Parameters
        ----------
        job : Job
            Which.
        outcome : Outcome
            What became of it.
        """


def run_jobs(
    jobs: Sequence[Job],
    *,
    part: Part | None = None,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> ExtractionResult:
    """Extract the features of recordings.

    Parameters
    ----------
    jobs : sequence of Job
        From :func:`~behavior_prism.extraction_jobs.file_jobs` or ``study_jobs``.
    part : (int, int), optional
        Do only this part of so many, beside other processes that do the others.
    overwrite : bool
        Replace stores that were made with other settings; not with ``part``.
    watcher : Watcher, optional
        Told how far it is.

    Returns
    -------
    ExtractionResult
        One outcome per recording; with ``part`` only of those that this part has something of.

    Raises
    ------
    ValueError, OSError
        If the only recording is bad, or ``part`` goes with ``overwrite``.
    """
    if part is not None and overwrite:
        raise ValueError("overwrite and part: expected one of them: of several processes none may remove a store")
    begun = time.monotonic()
    result = ExtractionResult()
    work: list[tuple[Job, range | None, str]] = [(job, None, "") for job in jobs]
    if part is not None:
        mine = share_of(jobs, part)
        work = [(one.job, one.shards, one.problem) for one in mine]
        if watcher is not None:
            watcher.plan({one.job.name: len(one.shards) / one.of for one in mine})
    for job, shards, problem in work:
        if watcher is not None:
            watcher.begin(job)
        if problem:
            outcome = Outcome(name=job.name, reason=problem)
        else:
            outcome = _run(job, shards, overwrite, watcher, alone=len(jobs) == 1)
        result.outcomes.append(outcome)
        if watcher is not None:
            watcher.end(job, outcome)
    result.seconds = time.monotonic() - begun
    return result


def _run(job: Job, shards: range | None, overwrite: bool, watcher: Watcher | None, alone: bool) -> Outcome:
    outcome, begun = Outcome(name=job.name), time.monotonic()
    try:
        _extract(job, outcome, shards, overwrite, watcher)
    except Exception as error:  # of any kind, a driver's too: the others can be done all the same
        if alone:
            raise
        outcome.state, outcome.reason = "failed", reason_of(error)
    outcome.seconds = time.monotonic() - begun
    return outcome


def _extract(job: Job, outcome: Outcome, shards: range | None, overwrite: bool, watcher: Watcher | None) -> None:
    from behavior_prism.analysis import extract_features
    from behavior_prism.analysis.extraction import begin_store
    from behavior_prism.analysis.store import settings_key

    from .cluster_tasks import finish, patiently

    def counting() -> Callable[[int, int], None]:
        seen: list[int] = []  # what was done before, then what is done now
        before = outcome.computed

        def progress(done: int, total: int) -> None:
            seen.append(done)
            outcome.computed = before + done - seen[0]
            if watcher is not None:
                watcher.frames(job, done, total)

        return progress

    recording = job.load()
    with recording.video:
        plan = job.settings.plan(recording)
        outcome.frames = len(plan)
        outcome.store = store = Path(job.place(recording.name, plan.settings()))
        there = store.exists()
        options: dict[str, Any] = {**job.settings.options(recording), **job.settings.run_options()}

        def extract(run: range | None) -> None:
            extract_features(
                recording, job.settings.encoder, store, shards=run, overwrite=overwrite, progress=counting(), **options
            ).close()

        if shards is None:
            extract(None)
            outcome.state = "done" if outcome.computed or not there else "there"
            return
        missing = patiently(lambda: begin_store(plan, store, batch=job.settings.batch))
        for run in runs(k for k in shards if k in missing):
            patiently(partial(extract, run))
        outcome.state = "there" if there else "part"
    if not there and not finish(job, store, settings_key(plan.settings())):
        outcome.state = "done"


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line.

    Parameters
    ----------
    error : BaseException
        Whatever.

    Returns
    -------
    str
    """
    if type(error).__name__ == "KilledWorker":
        return "the workers that computed it died, one after another (too little memory, or time, for them?)"
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | OSError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def runs(numbers: Iterable[int]) -> list[range]:
    """Join numbers that follow one another.

    Parameters
    ----------
    numbers : iterable of int
        Ascending.

    Returns
    -------
    list of range

    Examples
    --------
    >>> runs([1, 2, 3, 7])
    [range(1, 4), range(7, 8)]
    """
    out: list[range] = []
    for k in numbers:
        if out and k == out[-1].stop:
            out[-1] = range(out[-1].start, k + 1)
        else:
            out.append(range(k, k + 1))
    return out


def parse_part(text: str) -> Part:
    """Read ``3/16``.

    Parameters
    ----------
    text : str
        Which part, of how many.

    Returns
    -------
    (int, int)

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> parse_part("3/16")
    (3, 16)
    """
    try:
        which, many = (int(n) for n in text.split("/"))
    except ValueError:
        raise ValueError(f"expected I/N such as 3/16, got {text!r}") from None
    if not 1 <= which <= many:
        raise ValueError(f"expected I/N with 1 <= I <= N, got {text!r}")
    return which, many


class Share(NamedTuple):
    """What one of several processes has to do of a recording."""

    job: Job
    shards: range
    of: int  # shards of the whole recording
    problem: str  # why it cannot be used, if it cannot


def share_of(jobs: Sequence[Job], part: Part) -> list[Share]:
    """What one of several processes has to do, whatever the others have done by then.

    Every process opens every recording for that, to count its shards; a recording that cannot be opened counts as one
    and is told of by the process that has it.

    Parameters
    ----------
    jobs : sequence of Job
        The same for all processes.
    part : (int, int)
        Which, of how many.

    Returns
    -------
    list of Share
        Recordings that it has something of.
    """
    which, many = part
    counts: list[tuple[int, str]] = []
    for job in jobs:
        try:
            recording = job.load()
            with recording.video:
                counts.append((number_of_shards(job.settings.plan(recording)), ""))
        except Exception as error:  # as in `_run`
            counts.append((1, reason_of(error)))
    total = sum(count for count, _ in counts)
    low, high = (which - 1) * total // many, which * total // many
    mine, at = [], 0
    for job, (count, problem) in zip(jobs, counts, strict=True):
        shards = range(max(0, low - at), min(count, high - at))
        if shards:
            mine.append(Share(job, shards, count, problem))
        at += count
    return mine


def number_of_shards(plan: ExtractionPlan) -> int:
    """Into how many shards a store is cut.

    Parameters
    ----------
    plan : ExtractionPlan
        What it holds.

    Returns
    -------
    int
    """
    from behavior_prism.analysis.feature_shards import shard_frames

    frame_bytes = plan.grid[0] * plan.grid[1] * plan.encoder.model.config.model_dim * 2
    _, size = shard_frames(len(plan.individuals), frame_bytes, plan.clip_stride)
    return -(-len(plan) // size)
