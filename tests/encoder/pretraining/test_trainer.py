"""The loop: learning, exact resuming, stopping, numbers that are not finite, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy_objective
from safetensors.torch import load_file
from toy_objective import ToyObjective, make_trainer, outcome

from behavior_prism.encoder.pretraining.checkpoint import find_checkpoints
from behavior_prism.encoder.pretraining.run_log import read_metrics
from behavior_prism.encoder.pretraining.trainer import TrainingDiverged
from behavior_prism.encoder.pretraining.trainer_config import KeepRule, ScheduleConfig

pytestmark = pytest.mark.torch
TIMES = ("seconds", "seconds_waited")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run_jobs(jobs: list[dict], processes: int = 1, code: int = 0) -> None:
    """Run trainers, one after the other, in new processes."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, "-P", *(torchrun if processes > 1 else []), toy_objective.__file__, json.dumps(jobs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr[-3000:]


def numbers(folder: Path) -> list[dict]:
    return [{k: v for k, v in line.items() if k not in TIMES} for line in read_metrics(folder)]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Six steps without a break, in one process."""
    folder = tmp_path_factory.mktemp("straight")
    torch.set_num_threads(1)
    trainer = make_trainer(folder, checkpoint_every=3, eval_every=2)
    result = trainer.run()
    return folder, outcome(trainer), result


# -- one process -------------------------------------------------------------------------------------------------------


def test_what_a_run_leaves(straight):
    folder, _, result = straight
    assert (result.step, result.interrupted, result.skipped) == (6, False, 0)
    assert [path.name for path in find_checkpoints(folder / "checkpoints")] == ["step_00000003", "step_00000006"]
    assert result.checkpoint.name == "step_00000006"
    lines = numbers(folder)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "seen" in line] == [2, 4, 6]
    assert lines[0]["learning_rate"] == 0 and lines[-2]["loss"] < 0.7 * lines[0]["loss"]
    config = json.loads((folder / "config.json").read_text())
    assert config["trainer"]["schedule"]["peak"] == 1e-2 and config["starts"][0]["torch"] == torch.__version__


def test_the_teacher_is_left_alone_and_left_out(straight):
    folder, tensors, _ = straight
    assert not [name for name in tensors if "teacher" in name]
    files = list((folder / "checkpoints" / "step_00000006").glob("*.safetensors"))
    assert {name for file in files for name in load_file(file)} == set(tensors)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Runs in another process: the first told to stop by a signal, the second killed while it writes step 4."""
    base = tmp_path_factory.mktemp("ended")
    stopped = {"folder": str(base / "stopped"), "stop_at": 2, "checkpoint_every": 3, "eval_every": 2}
    killed = {"folder": str(base / "killed"), "kill_at": 4, "checkpoint_every": 2, "ballast": 2**23}  # 32 MB
    run_jobs([stopped, killed], code=-signal.SIGKILL)
    return base


def test_a_resumed_run_gives_the_same_bits(straight, ended):
    folder = ended / "stopped"
    assert [path.name for path in find_checkpoints(folder / "checkpoints")] == ["step_00000003"]
    assert json.loads((folder / "state.json").read_text())["state"] == "interrupted"
    torch.rand(100)  # what else draws random numbers does not matter
    trainer = make_trainer(folder, checkpoint_every=3, eval_every=2)
    assert trainer.run().step == 6
    assert same(outcome(trainer), straight[1])
    assert numbers(folder) == numbers(straight[0])


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_lines_behind_the_checkpoint_are_dropped(tmp_path, optimizer):
    whole = make_trainer(tmp_path / "a", optimizer=optimizer)
    whole.run()
    part = make_trainer(tmp_path / "b", optimizer=optimizer, checkpoint_every=2)

    def fail_at_4(step, *_):
        if step == 4:
            raise KeyError("as a crash would")

    with pytest.raises(KeyError):
        part.run(fail_at_4)
    part._checkpoints.finish()
    assert read_metrics(tmp_path / "b")[-1]["step"] == 4
    (tmp_path / "b" / "metrics.jsonl").open("a").write('{"step": 5, "lo')  # and a line was cut off
    again = make_trainer(tmp_path / "b", optimizer=optimizer, checkpoint_every=2)
    again.run()
    assert numbers(tmp_path / "b") == numbers(tmp_path / "a")
    assert same(outcome(again), outcome(whole))


def test_a_finished_run_is_not_run_again(straight):
    folder, tensors, _ = straight
    trainer = make_trainer(folder, checkpoint_every=3, eval_every=2)
    result = trainer.run(lambda *_: pytest.fail("no step is left"))
    assert result.step == 6 and same(outcome(trainer), tensors)


def test_killed_while_a_checkpoint_is_written(straight, ended):
    checkpoints = ended / "killed" / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step_00000002", "step_00000004.partial"]
    assert json.loads((ended / "killed" / "state.json").read_text())["state"] == "running"
    trainer = make_trainer(ended / "killed", checkpoint_every=2, ballast=2**23)
    assert trainer._latest == checkpoints / "step_00000002"
    trainer.run()
    tensors = outcome(trainer)
    del tensors["model.ballast"]
    assert same(tensors, straight[1])
    assert not list(checkpoints.glob("*.partial"))


def test_a_source_that_ends_is_begun_again_also_after_a_checkpoint_at_its_end(tmp_path):
    class Ends(toy_objective.ToySource):
        def __iter__(self):
            endless = super().__iter__()
            while self.given < 3:
                yield next(endless)
            self.given = 0

    def run(folder, progress=None):
        trainer = make_trainer(folder)
        trainer.source = Ends()
        result = trainer.run(progress)
        return result, outcome(trainer)

    def stop(step, *_):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    _, whole = run(tmp_path / "a")
    assert run(tmp_path / "b", stop)[0].step == 3
    assert same(run(tmp_path / "b")[1], whole)


def test_a_signal_ends_the_run_after_the_step_in_progress(tmp_path):
    """Also where it comes twice: from a scheduler to every process of a job, and from torchrun, which passes it on."""
    trainer = make_trainer(tmp_path)
    forward = trainer.objective.forward

    def _told_to_stop(batch):
        if trainer.source.given == 2:
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)
        return forward(batch)

    trainer.objective.forward = _told_to_stop
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: pytest.fail("nobody listened"))
    try:
        result = trainer.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (result.interrupted, result.step, result.checkpoint.name) == (True, 2, "step_00000002")


def test_ctrl_c_after_a_signal_ends_the_run_at_once(tmp_path):
    trainer = make_trainer(tmp_path)

    def twice(step, *_):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer.run(twice)
    assert json.loads((tmp_path / "state.json").read_text())["state"] == "failed"
    assert find_checkpoints(tmp_path / "checkpoints") == []


def test_the_source_is_let_go_when_the_run_ends(tmp_path):
    class Closed(toy_objective.ToySource):
        closed = 0

        def __iter__(self):
            try:
                yield from super().__iter__()
            finally:
                self.closed += 1

    trainer = make_trainer(tmp_path)
    trainer.source = source = Closed()
    trainer.run()
    assert source.closed == 1


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    trainer = make_trainer(tmp_path)
    left = tmp_path / "checkpoints" / "step_00000003.partial"  # what the other one is writing
    left.mkdir(parents=True)
    hold = (
        "import sys; from pathlib import Path; from behavior_prism.encoder.pretraining.process import only_trainer\n"
        "with only_trainer(Path(sys.argv[1])): print(1, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-P", "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"1\n"
        with pytest.raises(BlockingIOError, match="another process is training in it; wait for that one or stop it"):
            trainer.run()
        assert left.is_dir() and not (tmp_path / "metrics.jsonl").exists()
        other.communicate()
    assert trainer.run().step == 6 and not left.exists()


def test_accumulated_batches_are_one_large_batch(tmp_path):
    class Halves(toy_objective.ToySource):
        def __iter__(self):
            for batch in super().__iter__():
                yield {name: value[:2] for name, value in batch.items()}
                yield {name: value[2:] for name, value in batch.items()}

    whole, halves = make_trainer(tmp_path / "a"), make_trainer(tmp_path / "b", accumulate=2)
    halves.source = Halves(4)
    whole.run()
    halves.run()
    assert difference(outcome(whole), outcome(halves)) < 1e-5


def test_long_gradients_are_shortened(tmp_path):
    trainer = make_trainer(tmp_path, steps=1, clip_norm=0.5, schedule=ScheduleConfig(shape="constant", peak=1e-9))
    assert trainer.run().metrics["gradient_norm"] > 0.5
    squares = sum(float(p.grad.square().sum()) for p in trainer.objective.parameters() if p.grad is not None)
    assert squares**0.5 == pytest.approx(0.5, rel=1e-5)


def test_bfloat16_learns_and_keeps_float32_parameters(tmp_path):
    trainer = make_trainer(tmp_path, precision="bfloat16", activation_checkpointing=True)
    result = trainer.run()
    assert result.metrics["loss"] < 1.2
    assert {p.dtype for p in trainer.objective.parameters()} == {torch.float32}


def test_activation_checkpointing_changes_no_number(straight, tmp_path):
    trainer = make_trainer(tmp_path, activation_checkpointing=True)
    trainer.run()
    assert same(outcome(trainer), straight[1])


def test_evaluators_disturb_nothing(straight, tmp_path):
    def evaluator(objective, step):
        assert not objective.training
        return {"drawn": float(torch.rand(1)), "odd": float("nan")}

    trainer = make_trainer(tmp_path, eval_every=1, evaluators=[evaluator])
    state = torch.get_rng_state()
    result = trainer.run()
    assert same(outcome(trainer), straight[1]) and trainer.objective.training
    assert result.metrics["odd"] is None and 0 <= result.metrics["drawn"] < 1
    torch.set_rng_state(state)


def test_evaluators_judge_at_the_end_also_where_they_never_do_before(tmp_path):
    result = make_trainer(tmp_path, steps=4, eval_every=0).run()
    assert [line["step"] for line in read_metrics(tmp_path) if "seen" in line] == [4]
    assert result.metrics["seen"] == 4


def test_pictures(tmp_path):
    make_trainer(tmp_path, steps=3, picture_every=2).run()
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "step_00000002_frame.png",
        "step_00000003_frame.png",
    ]


# -- numbers that are not finite ---------------------------------------------------------------------------------------


def test_a_step_that_is_not_finite_is_skipped_and_counted(tmp_path):
    before = ToyObjective()
    trainer = make_trainer(tmp_path, steps=3, poison=(0, 2))
    result = trainer.run()
    assert result.skipped == 2 and result.metrics["skipped"] == 1
    assert result.metrics["loss"] is None and result.metrics["gradient_norm"] is None
    assert read_metrics(tmp_path)[0]["loss"] is None
    assert all(bool(p.isfinite().all()) for p in trainer.objective.parameters())
    moved = trainer.objective.student.patch_projection.weight - before.student.patch_projection.weight
    assert 0 < moved.abs().max() < 0.02  # the one good step only


def test_no_picture_is_made_of_what_is_not_finite(tmp_path):
    make_trainer(tmp_path, steps=3, poison=(1,), picture_every=1).run()
    assert [path.name for path in sorted((tmp_path / "pictures").iterdir())] == [
        "step_00000001_frame.png",
        "step_00000003_frame.png",
    ]


def test_three_in_a_row_end_the_run(tmp_path):
    trainer = make_trainer(tmp_path, steps=9, checkpoint_every=2, poison=(3, 4, 5))
    with pytest.raises(TrainingDiverged, match=r"step 6: .* 3 steps in a row; go back to .*step_00000004"):
        trainer.run()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 7}, r"steps: 6 there, 7 now\): choose another folder"),
        ({"schedule": ScheduleConfig(peak=2e-2, warmup=2)}, "schedule.peak: 0.01 there, 0.02 now"),
        ({"optimizer": "adafactor"}, "optimizer.name: adamw there, adafactor now"),
        ({"accumulate": 2}, "accumulate: 1 there, 2 now"),
        ({"description": {"recipe": "other"}}, "description.recipe: None there, other now"),
        ({"lr_scales": {"offset": 0.5}}, "lr_scales.offset: None there, 0.5 now"),
        ({"teacher_seed": 8}, r"expected the teacher of the run that is there \(\w{12}\), got another \(\w{12}\)"),
    ],
)
def test_another_run_is_not_resumed(straight, options, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(straight[0], **options)


def test_how_a_run_is_watched_may_change(straight):
    make_trainer(straight[0], eval_every=5, log_every=3, activation_checkpointing=True, sharding="replicate")


def test_what_is_best_must_be_measured(tmp_path):
    with pytest.raises(ValueError, match="keep.best: expected eval_every above 0, to know 'seen', got 0"):
        make_trainer(tmp_path, keep=KeepRule(best="seen"))
    trainer = make_trainer(tmp_path, keep=KeepRule(best="scene"), eval_every=2)
    with pytest.raises(ValueError, match=r"keep.best: expected a number of the evaluators \(seen\), got 'scene'"):
        trainer.run()
    assert read_metrics(tmp_path)[-1]["step"] == 2


def test_a_damaged_checkpoint_is_named(tmp_path):
    make_trainer(tmp_path, steps=3, schedule=ScheduleConfig(peak=1e-2)).run()
    file = next((tmp_path / "checkpoints" / "step_00000003").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"safetensors: expected \d+ bytes, got \d+"):
        make_trainer(tmp_path, steps=3, schedule=ScheduleConfig(peak=1e-2))


def test_an_empty_source(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.source = toy_objective.ToySource()
    trainer.source.__class__ = type("Empty", (toy_objective.ToySource,), {"__iter__": lambda self: iter(())})
    with pytest.raises(ValueError, match="source: expected at least one batch, got none"):
        trainer.run()


# -- two processes -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory, straight):
    """Runs of two processes, all in one launch; what resumes in new processes is tested with one."""
    base = tmp_path_factory.mktemp("two")
    torch.set_num_threads(1)
    for_two = make_trainer(base / "one")  # stopped after 3 steps
    for_two.run(lambda step, *_: os.kill(os.getpid(), signal.SIGTERM) if step == 2 else None)

    def job(name, **options):
        return {"folder": str(base / name), "out": str(base / f"{name}.safetensors"), **options}

    every = {"checkpoint_every": 3, "eval_every": 2}
    jobs = [
        job("sharded", **every),
        job("whole", sharding="replicate", asynchronous=False),
        job("factored", optimizer="adafactor"),
        job("half", precision="bfloat16", activation_checkpointing=True, picture_every=2),
        job("poisoned", poison=[1, 3]),
        job("broken", stop_at=2, **every),
        job("broken", **every),
        job("one"),
    ]
    run_jobs(jobs, processes=2)
    return base


@pytest.mark.slow
def test_two_processes_resume_to_the_same_bits(two):
    whole, broken = (load_file(two / f"{name}.safetensors") for name in ("sharded", "broken"))
    assert same(whole, broken)
    assert numbers(two / "broken") == numbers(two / "sharded")
    assert json.loads((two / "broken" / "state.json").read_text())["state"] == "finished"
    starts = json.loads((two / "broken" / "config.json").read_text())["starts"]
    assert [(start["step"], start["processes"]) for start in starts] == [(0, 2), (3, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sharded", "whole"])
def test_two_processes_learn_what_one_does(two, straight, name):
    assert difference(load_file(two / f"{name}.safetensors"), straight[1]) < 1e-5
    for ours, theirs in zip(numbers(straight[0]), numbers(two / "sharded"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)


@pytest.mark.slow
def test_split_adafactor_is_adafactor(two, tmp_path):
    trainer = make_trainer(tmp_path, optimizer="adafactor")
    trainer.run()
    ours, theirs = load_file(two / "factored.safetensors"), outcome(trainer)
    # keys' biases have no gradient but rounding errors, and Adafactor has no epsilon that would hush them
    named = [name for name in ours if "qkv.bias" not in name]
    assert len(named) > 80
    assert difference({name: ours[name] for name in named}, {name: theirs[name] for name in named}) < 1e-5


@pytest.mark.slow
def test_two_processes_in_half_precision(two, tmp_path):
    result = make_trainer(tmp_path, precision="bfloat16").run()
    lines = [line for line in numbers(two / "half") if "loss" in line]  # not what evaluators say at the end
    assert lines[-1]["loss"] == pytest.approx(result.metrics["loss"], rel=0.05)
    assert (two / "half" / "pictures" / "step_00000006_frame.png").is_file()


@pytest.mark.slow
def test_a_number_that_is_not_finite_on_one_process_is_skipped_on_all(two, tmp_path):
    lines = [line for line in numbers(two / "poisoned") if "loss" in line]
    assert [line["skipped"] for line in lines] == [0, 1, 0, 1, 0, 0]
    trainer = make_trainer(tmp_path, poison=(1, 3))
    trainer.run()
    assert difference(load_file(two / "poisoned.safetensors"), outcome(trainer)) < 1e-5


@pytest.mark.slow
def test_one_process_goes_on_for_two_and_two_for_one(two, straight, tmp_path):
    assert difference(load_file(two / "one.safetensors"), straight[1]) < 1e-5
    shutil.copytree(two / "sharded", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step_00000006")
    trainer = make_trainer(tmp_path / "run", checkpoint_every=3, eval_every=2)
    assert trainer._latest is not None and trainer._latest.name == "step_00000003"
    trainer.run()
    assert difference(outcome(trainer), straight[1]) < 1e-5


@pytest.mark.slow
def test_parameters_lie_split(two):
    one, other = sorted((two / "sharded" / "checkpoints" / "step_00000006").glob("*.safetensors"))
    name = "model.student.spatial_encoder.layers.0.ff_layer.ffn_layer1.weight"
    assert [load_file(file)[name].shape for file in (one, other)] == [(25, 24), (24, 24)]
