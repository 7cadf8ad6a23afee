"""Checkpoints of a run: written aside and renamed, as many processes at once, while training goes on if wished.

::

    checkpoints/
        step_00001000/                       whole: it has this name only when everything is in it
            checkpoint.json                  step, settings, teacher, metrics, every file with its size
            rank_00000.json                  where the source of process 0 is, and its random generators
            shard-00001-model-....safetensors    what process 0 holds of the model and of the optimizer's state
            ...
        step_00002000.partial/               being written, or left behind by a run that was killed

Tensors go through ``torch.distributed.checkpoint``, so that another number of processes can read them. Its own format
keeps an index in pickle, which could run code when read; the safetensors format of the same library has none.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save, save

from .parallel import Layout
from .trainer_config import KeepRule
from .whole_files import write_whole

_NAME = re.compile(r"step_(\d{8,})")
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """What a checkpoint says about itself.

    Parameters
    ----------
    step : int
        Steps that are done.
    world : int
        Processes that wrote it.
    settings : dict
        What decides the numbers of the run, JSON.
    teacher : str
        Hash of the parameters that are not learned and were left out; empty if there are none.
    metrics : dict of str to float or None
        Of the evaluators, the latest; None for what was not finite.
    skipped, skipped_in_a_row : int
        Steps without update, for gradients that were not finite.
    """

    step: int
    world: int
    settings: dict[str, Any]
    teacher: str
    metrics: dict[str, float | None]
    skipped: int = 0
    skipped_in_a_row: int = 0


def find_checkpoints(folder: str | Path) -> list[Path]:
    """List the whole checkpoints of a run.

    Parameters
    ----------
    folder : str or pathlib.Path
        That holds ``step_...`` folders.

    Returns
    -------
    list of pathlib.Path
        Earliest first; empty if there is no such folder.

    Examples
    --------
    >>> find_checkpoints("nowhere")
    []
    """
    folder = Path(folder)
    found = [path for path in folder.glob("step_*") if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.removeprefix("step_")))


def read_record(path: str | Path) -> CheckpointRecord:
    """Read what a checkpoint says about itself, and see that its files are there in full.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``step_...`` folder.

    Returns
    -------
    CheckpointRecord

    Raises
    ------
    FileNotFoundError
        If there is no such checkpoint.
    ValueError
        If it is damaged.
    """
    path = Path(path)
    raw = _read_json(path / "checkpoint.json")
    try:
        files = dict(raw.pop("files"))
        record = CheckpointRecord(**raw)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path / 'checkpoint.json'}: expected what a trainer writes ({error})") from None
    for name, size in files.items():
        found = (path / name).stat().st_size if (path / name).is_file() else None
        if found != size:
            raise ValueError(
                f"{path / name}: expected {size} bytes, got {'no file' if found is None else found}; remove the folder "
                f"{path.name} to go on from the checkpoint before it"
            )
    return record


class Checkpointer:
    """Writes, reads and clears away the checkpoints of one run; at most one is being written at a time.

    Parameters
    ----------
    folder : str or pathlib.Path
        For the ``step_...`` folders, on a disk that all processes see.
    layout : Layout
        Who is there.
    keep : KeepRule
        Which stay.
    asynchronous : bool
        Write while training goes on.
    """

    def __init__(self, folder: str | Path, layout: Layout, keep: KeepRule, *, asynchronous: bool = False) -> None:
        self.folder = Path(folder)
        self.layout = layout
        self.keep = keep
        self.asynchronous = asynchronous
        # said once per checkpoint otherwise; from a thread, so that it cannot be silenced around the call
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        self._writing: tuple[Path, CheckpointRecord, Future[Any]] | None = None
        # own channel: messages of the writing thread must not mix with those of training
        self._group: Any = dist.new_group(backend="gloo") if layout.world > 1 else None

    def clear_left_behind(self) -> None:
        """Make the folder, and remove what a run that was killed had not finished; nobody else may be writing."""
        if self.layout.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(f"step_*{_PARTIAL}"):
                shutil.rmtree(left)
        self.layout.barrier()

    def latest(self) -> Path | None:
        """Find the checkpoint to go on from.

        Returns
        -------
        pathlib.Path or None
        """
        found = find_checkpoints(self.folder)
        return found[-1] if found else None

    def save(self, record: CheckpointRecord, tensors: dict[str, Tensor], of_rank: dict[str, Any]) -> None:
        """Write a checkpoint, or begin to.

        Parameters
        ----------
        record : CheckpointRecord
            What it says about itself.
        tensors : dict of str to torch.Tensor
            Split over processes or whole; copied before this returns.
        of_rank : dict
            What only this process knows, JSON.
        """
        self.finish()
        path = self.folder / f"step_{record.step:08d}"
        if path.exists():
            return
        partial = path.with_name(path.name + _PARTIAL)
        if self.layout.rank == 0:
            partial.mkdir()
        self.layout.barrier()
        _write_json(partial / f"rank_{self.layout.rank:05d}.json", of_rank)
        writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
        alone = self.layout.world == 1
        entries = {name: _entry(value) for name, value in tensors.items()}
        if self.asynchronous:
            future = async_save(entries, storage_writer=writer, process_group=self._group, no_dist=alone)
            assert isinstance(future, Future)
        else:
            future = Future()
            try:
                future.set_result(save(entries, storage_writer=writer, process_group=self._group, no_dist=alone))
            except CheckpointException as error:
                future.set_exception(error)
        self._writing = (path, record, future)
        if not self.asynchronous:
            self.finish()

    def poll(self) -> None:
        """Name the checkpoint that is being written, if it is whole by now. Costs nothing."""
        if self._writing is not None and self.layout.rank == 0 and self._writing[2].done():
            self._name()

    def finish(self) -> None:
        """Wait until nothing is being written."""
        if self._writing is not None:
            _await(self._writing[2], self._writing[0])
            if self.layout.rank == 0:
                self._name()
            self._writing = None
        self.layout.barrier()

    def _name(self) -> None:
        """Give a whole checkpoint its name (first process only: its part is done when all are)."""
        assert self._writing is not None
        path, record, future = self._writing
        _await(future, path)
        partial = path.with_name(path.name + _PARTIAL)
        files = {file.name: file.stat().st_size for file in sorted(partial.iterdir())}
        values = {name: getattr(record, name) for name in CheckpointRecord.__dataclass_fields__}
        _write_json(partial / "checkpoint.json", {**values, "files": files})
        partial.rename(path)
        self._writing = None
        self._clear()

    def _clear(self) -> None:
        records = {path: _read_json(path / "checkpoint.json") for path in find_checkpoints(self.folder)}
        stay = kept({r["step"]: r["metrics"] for r in records.values()}, self.keep)
        for path, record in records.items():
            if record["step"] not in stay:
                gone = path.with_name(path.name + _PARTIAL)  # first no longer a checkpoint, then no longer there
                path.rename(gone)
                shutil.rmtree(gone)

    def load(self, path: Path, tensors: dict[str, Tensor]) -> dict[int, dict[str, Any]]:
        """Read a checkpoint, from any number of processes.

        Parameters
        ----------
        path : pathlib.Path
            From :meth:`latest`.
        tensors : dict of str to torch.Tensor
            Filled in place.

        Returns
        -------
        dict of int to dict
            What the processes that wrote it knew, by rank.

        Raises
        ------
        ValueError
            If it is damaged, or of another model or optimizer.
        """
        record = read_record(path)
        reader = HuggingFaceStorageReader(str(path))
        try:
            load(
                {name: _entry(value) for name, value in tensors.items()},
                storage_reader=reader,
                process_group=self._group,
                no_dist=self.layout.world == 1,
            )
        except CheckpointException as error:
            raise ValueError(
                f"{path}: expected this model and optimizer, got another or a damaged file ({_reason(error)})"
            ) from None
        return {rank: _read_json(path / f"rank_{rank:05d}.json") for rank in range(record.world)}


def kept(metrics_of: Mapping[int, Mapping[str, float | None]], rule: KeepRule) -> set[int]:
    """Tell which steps' checkpoints stay.

    Parameters
    ----------
    metrics_of : mapping of int to mapping
        Metrics by step.
    rule : KeepRule
        Which stay.

    Returns
    -------
    set of int

    Examples
    --------
    >>> sorted(kept({step: {} for step in range(10, 60, 10)}, KeepRule(last=1, every=20)))
    [20, 40, 50]
    """
    steps = sorted(metrics_of)
    stay = set(steps[-rule.last :])
    if rule.every:
        stay |= {step for step in steps if step % rule.every == 0}
    scores = {step: score for step in steps if (score := metrics_of[step].get(rule.best)) is not None}
    if rule.best and scores:
        sign = 1 if rule.best_is == "highest" else -1
        stay.add(max(scores, key=lambda step: (sign * scores[step], -step)))
    return stay


def _await(writing: Future[Any], path: Path) -> None:
    try:
        writing.result()
    except CheckpointException as error:
        raise OSError(f"{path}: cannot be written ({_reason(error)})") from None


def _reason(error: CheckpointException) -> str:
    """Last line of what the library wraps, traces of all processes and all."""
    return str(error).strip().splitlines()[-1]


def _entry(value: Tensor) -> Tensor:
    """Numbers as rows of one: the format has no slices of scalars. Shares memory."""
    return value.detach().view(1) if value.ndim == 0 else value.detach()


def random_state() -> dict[str, str]:
    """Take down torch's random generators.

    Returns
    -------
    dict of str to str
        Hexadecimal, by device.
    """
    state = {"cpu": bytes(torch.get_rng_state().numpy()).hex()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = bytes(torch.cuda.get_rng_state().numpy()).hex()
    return state


def set_random_state(state: dict[str, str]) -> None:
    """Set torch's random generators to what they were.

    Parameters
    ----------
    state : dict of str to str
        From :func:`random_state`.
    """
    torch.set_rng_state(torch.frombuffer(bytearray.fromhex(state["cpu"]), dtype=torch.uint8))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.frombuffer(bytearray.fromhex(state["cuda"]), dtype=torch.uint8))


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_whole(path, json.dumps(values, indent=1, allow_nan=False).encode(), sync=True)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: expected a checkpoint of a trainer")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values
