"""Two processes that share a batch give the numbers of one that has it all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from contrastive_pairs import objective, pairs  # tests/support/
from gather_worker import CASES, GROUPS, NUM_PAIRS, evaluate
from safetensors.torch import load_file

from behavior_prism.encoder.pretraining.gather import bounded, gather_rows, num_processes, process_index

pytestmark = pytest.mark.torch

SUPPORT = Path(__file__).parents[2] / "support"


def test_alone_it_does_nothing():
    x = torch.rand(3, 2, requires_grad=True)
    assert gather_rows(x) is x
    assert num_processes() == 1 and process_index() == 0


@pytest.mark.parametrize(
    ("x", "slope", "gradient"), [(0.9, -2, -2), (0.9, 2, 2), (1.5, -2, 0), (1.0, -2, 0), (1.5, 2, 2)]
)
def test_a_bound_lets_gradients_lead_back_only(x, slope, gradient):
    number = torch.tensor([x], requires_grad=True)
    value = bounded(number, 1.0)
    (slope * value).backward()
    assert float(value) == pytest.approx(min(x, 1.0)) and float(number.grad) == gradient


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gather")
    path = os.pathsep.join([str(SUPPORT), *(p for p in sys.path if p)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, str(SUPPORT / "gather_worker.py"), str(rank), "2", str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(outputs)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(two_processes, case):
    stage = objective()
    metrics = stage.backward(pairs(NUM_PAIRS, keep=3, groups=GROUPS))
    got = load_file(two_processes / f"{case}.safetensors")
    for name, value in metrics.items():
        assert float(got[f"metrics.{name}"]) == pytest.approx(float(value), abs=1e-6), name
    for name, p in stage.named_parameters():
        assert (got[name] - p.grad).abs().max() < 1e-6 * max(1, float(p.grad.abs().max())), name
    assert float(got["log_scale"].abs()) > 1e-3


@pytest.mark.slow
def test_unequal_numbers_of_samples_are_refused_everywhere(two_processes):
    for rank in range(2):
        message = (two_processes / f"refused_{rank}.txt").read_text()
        assert message == "batch: expected the same number of samples in every process, got [2, 3]"


@pytest.mark.slow
def test_processes_agree_on_which_way_a_gradient_leads(two_processes):
    """Slopes -3 and 1 lead up together, so beyond the bound both are dropped; -1 and 3 lead back, so both count."""
    got = {name: [float((two_processes / f"{name}_{r}.txt").read_text()) for r in range(2)] for name in ("up", "down")}
    assert got == {"up": [0.0, 0.0], "down": [-1.0, 3.0]}


@pytest.mark.slow
def test_evaluators_see_a_model_that_is_split(two_processes):
    expected = evaluate(objective())
    for rank in range(2):
        assert json.loads((two_processes / f"scores_{rank}.json").read_text()) == pytest.approx(expected, abs=1e-6)
