"""The training loop: one class for all stages, on one process or under ``torchrun``.

Form after torchtitan and DINOv3: the stage is an object with a loss (:class:`.objective.Objective`), how it is spread
over processes is one function (:func:`.parallel.parallelize`), learning rates are functions of the step, all numbers
of a step travel in one message. A step is a function of parameters and batch, so a run that was stopped and resumed on
as many processes gives the same bits as one that was not.

Stopping: SIGTERM or SIGINT end the run after the step in progress, with a checkpoint (see :mod:`.process`).
Under a cluster's scheduler, a command should then exit with :data:`EXIT_INTERRUPTED` and be queued again: the same
call goes on from the latest checkpoint. ``torchrun`` turns every code but 0 into 1; ``state.json`` in the run's folder
says ``interrupted`` or ``finished`` in any case.
"""

from __future__ import annotations

import dataclasses
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint import Checkpointer, CheckpointRecord, random_state, read_record, set_random_state
from .objective import Batch, BatchSource, Evaluator, Objective, to_device
from .optim import make_optimizer, parameter_groups
from .parallel import (
    Layout,
    average_gradients,
    find_layout,
    gathered,
    parallelize,
    precision_of,
    square_of_norm,
    whole_state,
)
from .process import collecting_together, only_trainer, stop_signals
from .run_log import RunLog, finite_or_none
from .same_run import hash_of_frozen, refuse_another_run, settings_of
from .schedules import learning_rate
from .trainer_config import TrainerConfig

EXIT_INTERRUPTED = 130  # what a command should exit with when a result says interrupted: queue it again
MAX_SKIPPED_IN_A_ROW = 3

Progress = Callable[[int, int, dict[str, float]], None]  # (steps done, steps in all, numbers of the latest)


class TrainingDiverged(RuntimeError):
    """Losses or gradients were not finite several steps in a row."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended.

    Parameters
    ----------
    step : int
        Steps that are done.
    interrupted : bool
        A signal ended it: the same call goes on from the checkpoint.
    skipped : int
        Steps without update, for gradients that were not finite.
    metrics : dict of str to float or None
        The numbers of the last step that was done now, and of the last evaluation; None for what is not finite.
    checkpoint : pathlib.Path
        The latest.
    """

    step: int
    interrupted: bool
    skipped: int
    metrics: dict[str, float | None]
    checkpoint: Path


class Trainer:
    """Minimise an objective over batches from a source.

    Parameters
    ----------
    config : TrainerConfig
        How.
    objective : Objective
        What; on the CPU, with its starting weights. It is moved, and under ``torchrun`` split, here.
    source : BatchSource
        Batches of this process. One that ends is begun again.
    evaluators : sequence of callable
        ``evaluator(objective, step)`` gives numbers by name. All processes call them; those of the first are written.
    folder : str or pathlib.Path
        For everything that the run leaves. If it holds a checkpoint, the run goes on from the latest.
    lr_scales : mapping of str to float, optional
        Factor of the learning rate by name of parameter (layer-wise decay).
    description : mapping, optional
        What else decides the numbers (recipe, sizes, corpora), JSON: written down, and compared when resumed.
    device : str, optional
        The GPU of this process where there is one, by default, else the CPU.

    Raises
    ------
    ValueError
        If the folder belongs to a run with other settings or another teacher.

    Examples
    --------
    >>> trainer = Trainer(config, objective, source, folder="run")  # doctest: +SKIP
    >>> result = trainer.run(lambda step, steps, numbers: print(step, numbers["loss"]))  # doctest: +SKIP
    """

    def __init__(
        self,
        config: TrainerConfig,
        objective: Objective,
        source: BatchSource,
        evaluators: Sequence[Evaluator] = (),
        folder: str | Path = "run",
        *,
        lr_scales: Mapping[str, float] | None = None,
        description: Mapping[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        self.config = config
        self.objective = objective
        self.source = source
        self.evaluators = tuple(evaluators)
        self.folder = Path(folder)
        self.layout: Layout = find_layout(device)
        self.settings = settings_of(config, objective, lr_scales, description)
        self.teacher = hash_of_frozen(objective)
        self._log = RunLog(self.folder, active=self.layout.rank == 0, tensorboard=config.tensorboard)
        self._checkpoints = Checkpointer(
            self.folder / "checkpoints", self.layout, config.keep, asynchronous=config.asynchronous
        )
        self._latest = self._checkpoints.latest()
        self._record = None if self._latest is None else read_record(self._latest)
        if self._record is not None:
            refuse_another_run(self.folder, self._record, self.settings, self.teacher, self.layout.world)
        parallelize(objective, config, self.layout)
        groups = parameter_groups(objective, config.optimizer.weight_decay, objective.no_weight_decay(), lr_scales)
        self.optimizer = make_optimizer(config.optimizer, groups)
        self._learned = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._batches: Iterator[Batch] = iter(())
        self._skipped = self._skipped_in_a_row = 0
        self._scores: dict[str, float | None] = {}  # of the latest evaluation

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self, progress: Progress | None = None) -> TrainResult:
        """Train until the last step, or until a signal.

        Parameters
        ----------
        progress : callable, optional
            ``progress(step, steps, numbers)`` after every step, on the first process.

        Returns
        -------
        TrainResult

        Raises
        ------
        TrainingDiverged
            If losses or gradients were not finite three times in a row.
        ValueError
            If the source gives nothing, or the checkpoint does not fit.
        BlockingIOError
            If another process trains in the folder.
        """
        c = self.config
        with (
            only_trainer(self.folder, active=self.layout.rank == 0),
            self._log as log,
            stop_signals() as signalled,
            collecting_together(self.layout.world) as collect,
        ):
            self._checkpoints.clear_left_behind()
            step = self._resume()
            numbers: dict[str, float] = {}
            interrupted = False
            log.start(self._whole_settings(), step=step, world=self.layout.world)
            log.state("running", step, c.steps)
            self.objective.train()
            try:
                while step < c.steps and not interrupted:
                    numbers, batch, stop = self._step(step, signalled)
                    step += 1
                    interrupted = stop and step < c.steps
                    self._look(step, numbers, batch, progress)
                    if _due(step, c.checkpoint_every, step == c.steps) or step == c.steps or interrupted:
                        self._save(step)
                    self._checkpoints.poll()
                    collect(step)
                self._checkpoints.finish()
            except BaseException:
                log.state("failed", step, c.steps)
                raise
            finally:
                self._batches = iter(())  # a loader's workers are not waited for at the exit
            log.state("interrupted" if interrupted else "finished", step, c.steps)
        latest = self._checkpoints.latest()
        assert latest is not None
        metrics = {name: finite_or_none(value) for name, value in {**numbers, **self._scores}.items()}
        return TrainResult(step, interrupted, self._skipped, metrics, latest)

    def _step(self, step: int, signalled: Sequence[int]) -> tuple[dict[str, float], Batch, bool]:
        """One update: gradients of all batches, one message, and the optimizer unless something is not finite."""
        c = self.config
        started = time.perf_counter()
        waited = 0.0
        rate = learning_rate(c.schedule, c.steps, step)
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        batch: Batch = {}
        with gathered(self.objective):
            for _ in range(c.accumulate):
                before = time.perf_counter()
                batch = to_device(self._next_batch(), self.layout.device)
                waited += time.perf_counter() - before
                with precision_of(c, self.layout):
                    metrics = self.objective.backward(batch, 1 / c.accumulate)
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0) + value.detach().double() / c.accumulate
        average_gradients(self._learned, self.layout)
        averages, norm, anyone_stops = self._together(sums, bool(signalled))
        skip = not (math.isfinite(averages["loss"]) and math.isfinite(norm))
        if not skip:
            if c.clip_norm and norm > c.clip_norm:
                for p in self._learned:
                    if p.grad is not None:
                        p.grad.mul_(c.clip_norm / norm)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["lr_scale"]
            self.optimizer.step()
        self._skipped += skip
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if skip else 0
        numbers = {
            **averages,
            "learning_rate": rate,
            "gradient_norm": norm,
            "skipped": int(skip),
            "seconds": round(time.perf_counter() - started, 4),
            "seconds_waited": round(waited, 4),  # for the source
        }
        return numbers, batch, anyone_stops

    def _together(self, sums: dict[str, Tensor], stop: bool) -> tuple[dict[str, float], float, bool]:
        """Average the metrics over processes, length of the gradient, and whether a process was told to stop."""
        names = sorted(sums)
        if "loss" not in sums:
            raise ValueError(f"objective: expected metrics with a loss, got {names}")
        world = self.layout.world
        checksum = zlib.crc32(" ".join(names).encode())  # numbers of different names must not be added up
        values = [sums[name].reshape(()) for name in names] + [
            square_of_norm(self._learned, self.layout) * world,
            torch.tensor(float(stop), dtype=torch.float64, device=self.layout.device),
            torch.tensor(float(checksum), dtype=torch.float64, device=self.layout.device),
        ]
        *averages, square, stops, check = (self.layout.sum(torch.stack(values)) / world).tolist()
        if check != checksum:
            raise ValueError(f"objective: expected metrics of the same names on all processes, got {names} on this one")
        return dict(zip(names, averages, strict=True)), math.sqrt(square) if square >= 0 else math.nan, stops > 0

    def _next_batch(self) -> Batch:
        # not begun; begun where it ends, by a checkpoint taken just there; from its beginning
        for _ in range(3):
            batch = next(self._batches, None)
            if batch is not None:
                return batch
            self._batches = iter(self.source)
        raise ValueError("source: expected at least one batch, got none")

    def _look(self, step: int, numbers: dict[str, float], batch: Batch, progress: Progress | None) -> None:
        """All that is watched, after a step."""
        c, last = self.config, step == self.config.steps
        if _due(step, c.log_every, last) or numbers["skipped"]:
            self._log.write(step, numbers)
            self._log.state("running", step, c.steps)
        if progress is not None and self.layout.rank == 0:
            progress(step, c.steps, numbers)
        self._abort_if_diverged(step)
        if self.evaluators and (last or _due(step, c.eval_every, last)):
            self._scores = self._evaluate(step)
            self._log.write(step, self._scores)
        if _due(step, c.picture_every, last) and not numbers["skipped"]:  # nothing to be seen in what is not finite
            self._draw(step, batch)

    def _abort_if_diverged(self, step: int) -> None:
        if self._skipped_in_a_row < MAX_SKIPPED_IN_A_ROW:
            return
        self._checkpoints.finish()
        latest = self._checkpoints.latest()
        back = f"go back to {latest}" if latest else "start again (no checkpoint was written)"
        raise TrainingDiverged(
            f"step {step}: loss or gradients were not finite {MAX_SKIPPED_IN_A_ROW} steps in a row; {back} with a "
            "lower learning rate, or look at the data"
        )

    # -- watching ------------------------------------------------------------------------------------------------------

    def _evaluate(self, step: int) -> dict[str, float | None]:
        scores: dict[str, float | None] = {}
        with _undisturbed(self.objective):
            for evaluator in self.evaluators:
                with gathered(self.objective):
                    found = evaluator(self.objective, step)
                scores.update({name: finite_or_none(float(value)) for name, value in found.items()})
        if (best := self.config.keep.best) and best not in scores:
            raise ValueError(
                f"keep.best: expected a number of the evaluators ({', '.join(sorted(scores))}), got {best!r}"
            )
        return scores

    def _draw(self, step: int, batch: Batch) -> None:
        with _undisturbed(self.objective), gathered(self.objective), precision_of(self.config, self.layout):
            for name, pixels in self.objective.visualise(batch).items():
                self._log.picture(step, name, pixels)

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def _save(self, step: int) -> None:
        record = CheckpointRecord(
            step=step,
            world=self.layout.world,
            settings=self.settings,
            teacher=self.teacher,
            metrics=self._scores,
            skipped=self._skipped,
            skipped_in_a_row=self._skipped_in_a_row,
        )
        of_rank = {"source": self.source.state_dict(), "random": random_state()}
        self._checkpoints.save(record, self._tensors(), of_rank)

    def _tensors(self) -> dict[str, Tensor]:
        """All that is learned: parameters and buffers but those of the teacher, and the optimizer's state."""
        tensors = {
            f"model.{name}": value
            for name, value in self.objective.state_dict().items()
            if not name.startswith(self.objective.frozen or "\0")
        }
        for group in self.optimizer.param_groups:
            for name, parameter in zip(group["names"], group["params"], strict=True):
                for key, value in self.optimizer.state[parameter].items():
                    tensors[f"optimizer.{name}.{key}"] = value
        return tensors

    def _resume(self) -> int:
        """Go where the latest checkpoint is, and give its step."""
        torch.manual_seed(self.config.seed + self.layout.rank)
        if self._latest is None or self._record is None:
            return 0
        of_ranks = self._checkpoints.load(self._latest, self._tensors())
        record = self._record
        self._skipped, self._skipped_in_a_row = record.skipped, record.skipped_in_a_row
        self._scores = record.metrics
        if record.world == self.layout.world:
            mine = of_ranks[self.layout.rank]
            self.source.load_state_dict(mine["source"])
            set_random_state(mine["random"])
        else:
            # every process of the new layout goes on from where one of the old ones was
            self.source.load_state_dict(of_ranks[self.layout.rank % record.world]["source"])
        self._batches = iter(())
        return record.step

    def _whole_settings(self) -> dict[str, Any]:
        return {
            "trainer": dataclasses.asdict(self.config),
            "objective": type(self.objective).__name__,
            "description": self.settings["description"],
            "lr_scales": self.settings["lr_scales"],
            "teacher": self.teacher,
            "device": str(self.layout.device),
        }

    def learned_state(self) -> dict[str, Tensor]:
        """Bring what was learned together, to be saved as weights.

        Returns
        -------
        dict of str to torch.Tensor
            The state of ``objective.learned_model()`` on the CPU of the first process, empty on the others; all must
            call.
        """
        return whole_state(self.objective.learned_model(), self.layout)


def _due(step: int, every: int, last: bool) -> bool:
    return every > 0 and (step % every == 0 or last)


@contextmanager
def _undisturbed(objective: Objective) -> Iterator[None]:
    """Evaluating changes nothing: not the mode of the model, not what random generators give next."""
    state = random_state()
    objective.eval()
    try:
        yield
    finally:
        objective.train()
        set_random_state(state)
