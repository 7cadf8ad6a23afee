"""Optimizers against torch's, groups, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from behavior_prism.encoder.pretraining.optim import Adafactor, make_optimizer, parameter_groups
from behavior_prism.encoder.pretraining.trainer_config import OptimizerConfig

pytestmark = pytest.mark.torch


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 20, lr: float = 1e-2) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        x = torch.randn(8, 7, generator=generator)
        loss = (model(x) - x[:, :3]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_adafactor_gives_the_numbers_of_torch_where_it_does_the_same():
    ours, theirs = _network(), _network()
    mine = Adafactor([{"params": list(ours.parameters())}], beta1=0.0, beta2=1.0, weight_decay=0.1, relative=True)
    _train(ours, mine, steps=60)  # few enough for torch's limit of 1 / sqrt(step) to stay above the rate
    _train(theirs, torch.optim.Adafactor(theirs.parameters(), lr=1e-2, weight_decay=0.1), steps=60)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_adafactor_first_step_by_hand():
    p = nn.Parameter(torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
    optimizer = Adafactor([{"params": [p]}], lr=0.1, beta1=0.9, weight_decay=0.5)
    p.grad = torch.tensor([[3.0, 3.0], [-1.0, -1.0]])
    optimizer.step()
    # squares 9 9 / 1 1: rows 9, 1; columns 5, 5; their product over the mean 5 is exact, so the update is the sign;
    # its root mean square is 1, a tenth of it enters the momentum; decay takes 0.1 * 0.5 away
    torch.testing.assert_close(p.data, torch.tensor([[0.94, 0.94], [0.96, 0.96]]))


def test_adafactor_needs_less_memory_and_learns():
    model = _network()
    optimizer = make_optimizer(OptimizerConfig(name="adafactor"), parameter_groups(model, 0.0))
    weight = next(model.parameters())
    assert {k: tuple(v.shape) for k, v in optimizer.state[weight].items()} == {
        "step": (),
        "row_var": (5, 1),
        "col_var": (7,),
        "momentum": (5, 7),
    }
    losses = _train(model, optimizer, steps=150)
    assert sum(losses[-10:]) < 0.1 * sum(losses[:10])


def test_adamw_is_that_of_torch_with_its_state_made_early():
    ours, theirs = _network(), _network()
    optimizer = make_optimizer(OptimizerConfig(weight_decay=0.1), parameter_groups(ours, 0.1))
    _train(ours, optimizer)
    _train(theirs, torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_groups():
    model = _network()
    model[2].weight.requires_grad_(False)
    groups = parameter_groups(model, 0.3, {"0.bias", "2.bias"}, {"0.weight": 0.5, "0.bias": 0.5})
    assert [(g["names"], g["weight_decay"], g["lr_scale"]) for g in groups] == [
        (["0.weight"], 0.3, 0.5),
        (["0.bias"], 0.0, 0.5),
        (["2.bias"], 0.0, 1.0),
    ]


def test_factors_of_the_learning_rate_are_felt():
    model = _network()
    before = [p.clone() for p in model.parameters()]
    groups = parameter_groups(model, 0.0, (), {"0.weight": 0.0})
    _train(model, make_optimizer(OptimizerConfig(), groups), steps=3)
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert moved == [False, True, True, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"no_weight_decay": {"0.bios"}}, "no_weight_decay: expected names of parameters, got '0.bios'"),
        ({"lr_scales": {"head": 1.0}}, "lr_scales: expected names of parameters, got 'head'"),
        ({"lr_scales": {"0.bias": -1.0}}, "lr_scales: expected finite factors of at least 0, got 0.bias: -1.0"),
    ],
)
def test_bad_groups(arguments, message):
    with pytest.raises(ValueError, match=message):
        parameter_groups(_network(), 0.0, **arguments)


def test_nothing_to_learn():
    with pytest.raises(ValueError, match="expected parameters that require gradients, got none"):
        parameter_groups(_network().requires_grad_(False), 0.0)


def test_adafactor_refuses_more_dimensions():
    with pytest.raises(ValueError, match=r"expected one or two dimensions, got the shape \(2, 2, 2\)"):
        Adafactor([{"params": [nn.Parameter(torch.zeros(2, 2, 2))]}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "sgd"}, "optimizer.name: expected 'adamw' or 'adafactor', got 'sgd'"),
        ({"beta1": 1.0}, "optimizer.beta1: expected a number from 0 to below 1, got 1.0"),
        ({"weight_decay": -0.1}, "optimizer.weight_decay: expected a finite number of at least 0, got -0.1"),
        ({"eps": 0.0}, "optimizer.eps"),
    ],
)
def test_bad_optimizer(change, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**change)
