"""How far an extraction is: bars for a terminal, a line now and then for a log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .console import err_console
from .extraction_jobs import Job
from .extraction_run import Outcome, Watcher

LINE_SECONDS = 30.0  # between two lines of a log


class _Pace:
    """Frames a second and time left, over all recordings, which are weighed by the size of their files."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.bytes: dict[str, float] = {job.name: job.bytes for job in jobs}
        self.total = sum(self.bytes.values())
        self.share: dict[str, float] = {}  # of each recording that is through
        self.first: dict[str, float] = {}  # what was there before
        self.began = time.monotonic()

    def plan(self, shares: Mapping[str, float]) -> None:
        self.bytes = {name: self.bytes[name] * share for name, share in shares.items()}
        self.total = sum(self.bytes.values())

    def at(self, job: Job, share: float) -> None:
        self.first.setdefault(job.name, share)
        self.share[job.name] = share

    def end(self, job: Job, outcome: Outcome) -> None:
        if outcome.state in ("there", "failed") or not outcome.computed:
            self.first[job.name] = 1.0
        self.share[job.name] = 1.0

    @property
    def through(self) -> float:
        return sum(self.bytes.get(name, 1) * share for name, share in self.share.items()) / max(1e-9, self.total)

    @property
    def left(self) -> float | None:
        """Seconds, judged by what was computed since the begin."""
        spent = time.monotonic() - self.began
        before = sum(self.bytes.get(name, 1) * share for name, share in self.first.items()) / max(1e-9, self.total)
        done = self.through - before
        return None if done <= 0 or spent < 1 else spent * (1 - self.through) / done


class LineWatcher:
    """Tells of every recording that is through and, in between, how far the present one is.

    Parameters
    ----------
    jobs : sequence of Job
        All of them.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._pace, self._number, self._of = _Pace(jobs), 0, len(jobs)
        self._last = time.monotonic()
        self._since: dict[str, tuple[float, int]] = {}  # when a recording began, and what was there then

    def plan(self, shares: Mapping[str, float]) -> None:
        """Only a part of the work is to be done.

        Parameters
        ----------
        shares : mapping of str to float
            Name of a job: which share of it.
        """
        self._pace.plan(shares)
        self._of = len(shares)

    def begin(self, job: Job) -> None:
        """A recording's turn has come.

        Parameters
        ----------
        job : Job
            Which.
        """
        self._since[job.name] = (time.monotonic(), -1)

    def frames(self, job: Job, done: int, total: int) -> None:
        """Sampled frames of a recording that are done.

        Parameters
        ----------
        job : Job
            Which.
        done, total : int
            How many, of how many.
        """
        self._pace.at(job, done / max(1, total))
        since, first = self._since.get(job.name, (time.monotonic(), -1))
        if first < 0:
            self._since[job.name] = (time.monotonic(), done)
        elif time.monotonic() - self._last > LINE_SECONDS:
            self._last = time.monotonic()
            speed = (done - first) / max(1e-9, self._last - since)
            self._say(f"{job.name}: {done} of {total} frames, {speed:.0f} frames/s{_left(self._pace.left)}")

    def end(self, job: Job, outcome: Outcome) -> None:
        """A recording is through.

        Parameters
        ----------
        job : Job
            Which.
        outcome : Outcome
            What became of it.
        """
        self._pace.end(job, outcome)
        self._number, self._last = self._number + 1, time.monotonic()
        what = {"there": "was there", "part": "this part done"}.get(outcome.state, outcome.state)
        self._say(f"[{self._number}/{self._of}] {job.name}: {what}{_left(self._pace.left)}")

    @staticmethod
    def _say(text: str) -> None:
        err_console.print(text, markup=False, highlight=False, soft_wrap=True)


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"; {duration(seconds)} left"


class _BarWatcher:
    """A bar for all and one for each recording that is worked on."""

    def __init__(self, jobs: Sequence[Job], bars: Any) -> None:
        self._pace, self._bars, self._of, self._number = _Pace(jobs), bars, len(jobs), 0
        self._overall = bars.add_task("all", total=1.0, note="")
        self._tasks: dict[str, Any] = {}
        self._since: dict[str, tuple[float, int]] = {}

    def plan(self, shares: Mapping[str, float]) -> None:
        self._pace.plan(shares)
        self._of = len(shares)

    def begin(self, job: Job) -> None:
        self._tasks[job.name] = self._bars.add_task(job.name, total=None, note="")

    def frames(self, job: Job, done: int, total: int) -> None:
        self._pace.at(job, done / max(1, total))
        now = time.monotonic()
        since, first = self._since.setdefault(job.name, (now, done))
        speed = f"{(done - first) / (now - since):.0f} frames/s" if now - since > 1 and done > first else ""
        self._bars.update(self._tasks[job.name], completed=done, total=total, note=f"{done}/{total} frames {speed}")
        self._show()

    def end(self, job: Job, outcome: Outcome) -> None:
        self._pace.end(job, outcome)
        self._number += 1
        if job.name in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.name))  # the table at the end has it
        self._show()

    def _show(self) -> None:
        note = f"{self._number}/{self._of} recordings{_left(self._pace.left)}"
        self._bars.update(self._overall, completed=self._pace.through, note=note)


@contextmanager
def watching(jobs: Sequence[Job], *, quiet: bool = False) -> Iterator[Watcher | None]:
    """Show how far an extraction is, as suits where stderr goes.

    Parameters
    ----------
    jobs : sequence of Job
        All of them.
    quiet : bool
        Show nothing.

    Yields
    ------
    Watcher or None
    """
    if quiet:
        yield None
    elif not err_console.is_terminal:
        yield LineWatcher(jobs)
    else:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=err_console) as bars:
            yield _BarWatcher(jobs, bars)


def duration(seconds: float) -> str:
    """A time that people can read.

    Parameters
    ----------
    seconds : float
        How long.

    Returns
    -------
    str

    Examples
    --------
    >>> duration(3.2), duration(250), duration(9000), duration(400000)
    ('3 s', '4 min', '2.5 h', '4.6 days')
    """
    for unit, size in (("s", 1.0), ("min", 60.0), ("h", 3600.0)):
        if seconds < {"s": 120.0, "min": 5400.0, "h": 2 * 86400.0}[unit]:
            return f"{seconds / size:.1f} {unit}" if unit == "h" else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"
