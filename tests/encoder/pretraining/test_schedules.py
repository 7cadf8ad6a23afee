"""Learning rates against values worked out by hand and against torch's own schedulers."""

from __future__ import annotations

import pytest
import torch

from behavior_prism.encoder.pretraining.schedules import learning_rate
from behavior_prism.encoder.pretraining.trainer_config import ScheduleConfig

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (1, 2.5e-8), (10_000, 2.5e-4), (20_000, 5e-4), (110_000, 2.5e-4), (199_999, 5e-4 / 180_000)],
)
def test_stage_1_by_hand(step, expected):
    config = ScheduleConfig(shape="linear", peak=5e-4, warmup=20_000)
    assert learning_rate(config, 200_000, step) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),
        (12_500, 2.5e-4),
        (25_000, 5e-4),
        (93_750, 1e-5 + 4.9e-4 * 0.8535533906),  # a quarter: (1 + cos 45 degrees) / 2
        (162_500, 2.55e-4),  # half way: the middle of peak and floor
        (300_000, 1e-5),
        (400_000, 1e-5),
    ],
)
def test_stage_2_by_hand(step, expected):
    config = ScheduleConfig(shape="cosine", peak=5e-4, warmup=25_000, floor=1e-5)
    assert learning_rate(config, 300_000, step) == pytest.approx(expected, rel=1e-9)


def test_constant():
    config = ScheduleConfig(shape="constant", peak=0.1)
    assert [learning_rate(config, 5, s) for s in (0, 4, 1000)] == [0.1] * 3


def test_cosine_is_that_of_torch():
    config = ScheduleConfig(shape="cosine", peak=0.3, floor=0.01)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=17, eta_min=0.01)
    for step in range(17):
        assert learning_rate(config, 17, step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": "step"}, "schedule.shape: expected 'constant' or 'linear' or 'cosine', got 'step'"),
        ({"peak": 0.0}, "schedule.peak: expected a learning rate above 0, got 0.0"),
        ({"peak": float("nan")}, "schedule.peak"),
        ({"warmup": -1}, "schedule.warmup: expected a whole number of at least 0, got -1"),
        ({"peak": 1e-3, "floor": 1e-2}, r"schedule.floor: expected from 0 to the peak \(0.001\), got 0.01"),
    ],
)
def test_bad_schedule(change, message):
    with pytest.raises(ValueError, match=message):
        ScheduleConfig(**change)
