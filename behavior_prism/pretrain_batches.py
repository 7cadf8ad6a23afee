"""Batches of pretraining from worker processes, in an order that can be gone on with.

Clips that could not be read (others stand in for them) are counted and listed with their reasons; more than a small
share stops the run. :mod:`.pretrain_batch_maker` makes the batches, :mod:`.pretrain_collate` what stages add.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .pretrain_batch_maker import Augmentation, BatchMaker, Failure, MadeBatch
from .pretrain_collate import Finish, Labels, MaskedTokens, PairTexts, Sample

__all__ = [
    "Augmentation",
    "BatchMaker",
    "ClipBatches",
    "Failure",
    "Finish",
    "Labels",
    "MadeBatch",
    "MaskedTokens",
    "PairTexts",
    "Sample",
]

MAX_FAILED = 0.01  # share of clips that may be unreadable
_ALWAYS_ALLOWED = 8  # failures before the share counts
_GRACE_S = 30  # for the step in progress


class _Batches(Dataset[MadeBatch]):
    def __init__(self, maker: BatchMaker) -> None:
        self.maker = maker

    def __getitem__(self, step: int) -> MadeBatch:
        return self.maker(step)


class _From:
    def __init__(self, step: int) -> None:
        self.step = step

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.step)


def _end_only_with_parent(worker: int) -> None:
    """Outlive a signal to all processes of a job: the step in progress, and its checkpoint, need the workers.

    What the parent itself sends still ends one, and so does the parent's own end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):  # macOS does not tell who sent a signal; Windows has none
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_S))
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # threads that are started later inherit it
    threading.Thread(target=_wait_for_parents_word, daemon=True).start()


def _wait_for_parents_word() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


class ClipBatches:
    """An endless source of batches that goes on exactly where it was.

    Parameters
    ----------
    maker : BatchMaker
        What makes them.
    workers : int
        Processes that do; 0 for this one.
    prefetch : int
        Batches that each has ready.
    failures : pathlib.Path, optional
        A ``.jsonl`` file to which clips that could not be read are added.
    max_failed : float
        Share of them above which it stops.

    Attributes
    ----------
    seen, failed : int
        Clips given and clips that could not be read, of this process.
    last_failure : str
        The one that came last.

    Raises
    ------
    ValueError
        While going through it: if too many clips cannot be read.
    """

    def __init__(
        self,
        maker: BatchMaker,
        *,
        workers: int = 0,
        prefetch: int = 2,
        failures: Path | None = None,
        max_failed: float = MAX_FAILED,
    ) -> None:
        if workers < 0:
            raise ValueError(f"workers: expected a number of processes from 0 on, got {workers}")
        self.maker, self.workers, self.prefetch = maker, workers, prefetch
        self.failures, self.max_failed = failures, max_failed
        self.step = self.seen = self.failed = 0
        self.last_failure = ""

    def state_dict(self) -> dict[str, Any]:
        """Where it is: behind the batch that was given last.

        Returns
        -------
        dict
            JSON-compatible.
        """
        return {"step": self.step, "seen": self.seen, "failed": self.failed, "order": self.maker.order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there.

        Parameters
        ----------
        state : dict
            From :meth:`state_dict`, of any number of processes.

        Raises
        ------
        ValueError
            If it was another order of clips.
        """
        mine = self.maker.order()
        for name, value in mine.items():
            if state["order"][name] != value:
                raise ValueError(
                    f"corpora: expected the same {'global ' * (name == 'batch')}{name} as when the run was begun "
                    f"({state['order'][name]}), got {value}"
                )
        self.step, self.seen, self.failed = int(state["step"]), int(state["seen"]), int(state["failed"])

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        loader = DataLoader(
            _Batches(self.maker),
            batch_size=None,
            sampler=_From(self.step),
            num_workers=self.workers,
            prefetch_factor=self.prefetch if self.workers else None,
            generator=torch.Generator(),  # else it draws from the one that training uses
            worker_init_fn=_end_only_with_parent,
        )
        for made in loader:
            self.seen += self.maker.batch
            self._account(made)
            self.step += 1  # before it is given: a state that is taken now is behind it
            yield made.batch

    def _account(self, made: MadeBatch) -> None:
        if made.failed:
            self.failed += len(made.failed)
            self.last_failure = f"{made.failed[-1].clip}: {made.failed[-1].reason}"
            if self.failures is not None:
                self.failures.parent.mkdir(parents=True, exist_ok=True)
                with self.failures.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(failure._asdict()) + "\n" for failure in made.failed)
        listed = f" (all in {self.failures})" if self.failures and self.failed else ""
        if made.error:
            raise ValueError(f"{made.error}{listed}")
        if self.failed > max(_ALWAYS_ALLOWED, self.max_failed * self.seen):
            raise ValueError(
                f"{self.maker.corpora[0].name if len(self.maker.corpora) == 1 else 'corpora'}: expected at most "
                f"{self.max_failed:.2g} of the clips to be unreadable, got {self.failed} of {self.seen}; the last: "
                f"{self.last_failure}{listed}"
            )
