"""Which checkpoints stay, and what is refused; writing and resuming are tested with the trainer."""

from __future__ import annotations

import json
from concurrent.futures import Future

import pytest
import torch
from safetensors.torch import load_file

from behavior_prism.encoder.pretraining.checkpoint import (
    Checkpointer,
    CheckpointRecord,
    find_checkpoints,
    kept,
    random_state,
    read_record,
    set_random_state,
)
from behavior_prism.encoder.pretraining.parallel import Layout
from behavior_prism.encoder.pretraining.trainer_config import KeepRule

pytestmark = pytest.mark.torch
ALONE = Layout(0, 1, torch.device("cpu"))


def record(step: int, **metrics: float) -> CheckpointRecord:
    return CheckpointRecord(step=step, world=1, settings={}, teacher="", metrics=metrics)


def tensors(value: float = 0.0) -> dict[str, torch.Tensor]:
    return {"model.w": torch.full((3, 2), value), "optimizer.w.step": torch.tensor(value), "model.n": torch.tensor([7])}


@pytest.mark.parametrize(
    ("rule", "stay"),
    [
        (KeepRule(last=2), {50, 60}),
        (KeepRule(last=1, every=30), {30, 60}),
        (KeepRule(last=1, best="score"), {20, 60}),
        (KeepRule(last=1, best="score", best_is="lowest"), {40, 60}),
        (KeepRule(last=1, best="other"), {60}),
        (KeepRule(last=9), {10, 20, 30, 40, 50, 60}),
    ],
)
def test_which_stay(rule, stay):
    scores = {10: 0.5, 20: 0.9, 30: 0.7, 40: 0.1, 50: None, 60: 0.3}
    assert kept({step: {"score": score} for step, score in scores.items()}, rule) == stay


def test_of_equals_the_earlier_is_best():
    """Steps 2 and 3 were not judged themselves: they have the number of step 1."""
    assert kept({1: {"s": 1.0}, 2: {"s": 1.0}, 3: {"s": 1.0}, 4: {"s": 0.0}}, KeepRule(last=1, best="s")) == {1, 4}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_writing_and_reading(tmp_path, asynchronous):
    checkpoints = Checkpointer(tmp_path, ALONE, KeepRule(last=2), asynchronous=asynchronous)
    values = tensors()
    for step in range(1, 5):
        for value in values.values():
            value.fill_(step)
        checkpoints.save(record(step, score=step / 4), values, {"source": step})
        for value in values.values():
            value.fill_(-1)  # what comes after must not get into it
    checkpoints.finish()
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step_00000003", "step_00000004"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_00000003", "step_00000004"]
    read = tensors()
    assert checkpoints.load(tmp_path / "step_00000003", read) == {0: {"source": 3}}
    assert {float(value.max()) for value in read.values()} == {3.0} == {float(v.min()) for v in read.values()}
    assert read_record(tmp_path / "step_00000004") == record(4, score=1.0)


def test_one_at_a_time(tmp_path):
    checkpoints = Checkpointer(tmp_path, ALONE, KeepRule(), asynchronous=True)
    checkpoints.save(record(1), tensors(), {})
    assert checkpoints._writing is not None
    waiting: Future = Future()
    path, about, writing = checkpoints._writing
    checkpoints._writing = (path, about, waiting)
    checkpoints.poll()  # not done: no name yet
    assert find_checkpoints(tmp_path) == []
    writing.add_done_callback(lambda done: waiting.set_result(done.result()))
    checkpoints.save(record(2), tensors(), {})
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step_00000001"]
    checkpoints.finish()


def test_nothing_in_it_is_pickled(tmp_path):
    checkpoints = Checkpointer(tmp_path, ALONE, KeepRule())
    checkpoints.save(record(1), tensors(), {})
    names = {path.suffix for path in (tmp_path / "step_00000001").iterdir()}
    assert names == {".json", ".safetensors"}
    for path in (tmp_path / "step_00000001").iterdir():
        load_file(path) if path.suffix == ".safetensors" else json.loads(path.read_text())


def test_what_was_left_behind_is_cleared_away(tmp_path):
    (tmp_path / "step_00000007.partial").mkdir()
    (tmp_path / "step_00000007.partial" / "rank_00000.json").write_text("{")
    (tmp_path / "notes").mkdir()
    checkpoints = Checkpointer(tmp_path, ALONE, KeepRule())
    assert checkpoints.latest() is None and len(list(tmp_path.iterdir())) == 2  # it may still be being written
    checkpoints.clear_left_behind()
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.w": torch.zeros(4, 2)}, "expected this model and optimizer, got another or a damaged file"),
        ({"model.other": torch.zeros(1)}, "expected this model and optimizer"),
    ],
)
def test_another_model(tmp_path, change, message):
    checkpoints = Checkpointer(tmp_path, ALONE, KeepRule())
    checkpoints.save(record(1), tensors(), {})
    with pytest.raises(ValueError, match=message):
        checkpoints.load(tmp_path / "step_00000001", {**tensors(), **change})


def test_damage(tmp_path):
    checkpoints = Checkpointer(tmp_path, ALONE, KeepRule())
    checkpoints.save(record(1), tensors(), {})
    path = tmp_path / "step_00000001"
    with pytest.raises(FileNotFoundError, match="expected a checkpoint of a trainer"):
        read_record(tmp_path / "step_00000002")
    (path / "rank_00000.json").unlink()
    with pytest.raises(
        ValueError, match=r"rank_00000.json: expected 2 bytes, got no file; remove the folder step_00000001"
    ):
        read_record(path)
    (path / "checkpoint.json").write_text('{"step": 1, "files": {}}')
    with pytest.raises(ValueError, match="checkpoint.json: expected what a trainer writes"):
        read_record(path)
    (path / "checkpoint.json").write_text('{"step"')
    with pytest.raises(ValueError, match="checkpoint.json: expected JSON"):
        read_record(path)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_disk_that_takes_nothing(tmp_path, asynchronous, monkeypatch):
    checkpoints = Checkpointer(tmp_path, ALONE, KeepRule(), asynchronous=asynchronous)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.distributed.checkpoint.filesystem.FileSystem.create_stream", full)
    with pytest.raises(OSError, match="step_00000001: cannot be written .*No space left"):
        checkpoints.save(record(1), tensors(), {})
        checkpoints.finish()
    assert find_checkpoints(tmp_path) == []


def test_random_generators():
    state = json.loads(json.dumps(random_state()))
    first = torch.rand(3)
    set_random_state(state)
    assert torch.equal(torch.rand(3), first)
