"""AdamW and Adafactor over parameters that may be split over processes (FSDP2), and their groups.

Adafactor: Shazeer and Stern, ICML 2018 (arXiv 1804.04235). VideoPrism (Zhao et al., ICML 2024, arXiv 2402.13217) says
"Adafactor" and its weight decay, and nothing else. Chosen is the form used for vision transformers since Zhai et al.
(arXiv 2106.04560), with 0.9 and 0.999: mean squares factored into rows and columns, ``beta2`` rising as
``1 - t ** -0.8`` up to a ceiling, updates clipped to a root mean square of 1, momentum of the updates, decoupled weight
decay, and **no** scaling of the step by the size of the parameter, so that a learning rate means what it means in Adam.

What differs: momentum is float32 (theirs bfloat16); every matrix is factored (optax leaves those with a side below 128
whole). ``torch.optim.Adafactor`` was not taken: it has no momentum, scales the step by the size of the parameter, and
stops with an error on parameters that are split (torch 2.13). With ``beta1=0, beta2=1, relative=True`` the class here
gives its numbers, which a test shows.

Shapes: R rows and C columns of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor import zeros as distributed_zeros

from .trainer_config import OptimizerConfig

SMALLEST = torch.finfo(torch.float32).eps ** 2  # below this a mean square counts as this


def parameter_groups(
    module: nn.Module,
    weight_decay: float,
    no_weight_decay: Iterable[str] = (),
    lr_scales: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Sort the parameters that are learned by weight decay and by factor of the learning rate.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters that require gradients are taken.
    weight_decay : float
        Of all but the following.
    no_weight_decay : iterable of str
        Names of parameters without it.
    lr_scales : mapping of str to float, optional
        Factor of the learning rate by name of parameter; 1 for those that are not in it.

    Returns
    -------
    list of dict
        For an optimizer; ``names`` and ``lr_scale`` say what a group holds.

    Raises
    ------
    ValueError
        If a name is of no parameter, or nothing is learned.

    Examples
    --------
    >>> groups = parameter_groups(nn.Linear(2, 2), 0.1, {"bias"}, {"weight": 0.5})
    >>> [(g["names"], g["weight_decay"], g["lr_scale"]) for g in groups]
    [(['weight'], 0.1, 0.5), (['bias'], 0.0, 1.0)]
    """
    scales = dict(lr_scales or {})
    without = set(no_weight_decay)
    known = {name for name, _ in module.named_parameters()}
    for what, names in (("no_weight_decay", without), ("lr_scales", set(scales))):
        if unknown := sorted(names - known):
            raise ValueError(f"{what}: expected names of parameters, got {unknown[0]!r} and {len(unknown) - 1} more")
    if wrong := [f"{name}: {scale}" for name, scale in scales.items() if not 0 <= scale < float("inf")]:
        raise ValueError(f"lr_scales: expected finite factors of at least 0, got {wrong[0]}")
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        key = (0.0 if name in without else weight_decay, float(scales.get(name, 1.0)))
        empty = {"params": [], "names": [], "weight_decay": key[0], "lr_scale": key[1]}
        group = groups.setdefault(key, empty)
        group["params"].append(parameter)
        group["names"].append(name)
    if not groups:
        raise ValueError("objective: expected parameters that require gradients, got none")
    return list(groups.values())


def make_optimizer(config: OptimizerConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Make the optimizer that a configuration names, with its whole state in place.

    Parameters
    ----------
    config : OptimizerConfig
        Which, and its numbers.
    groups : list of dict
        From :func:`parameter_groups`.

    Returns
    -------
    torch.optim.Optimizer
        Learning rate 0 until it is set. Its state exists from the start (torch makes AdamW's at the first step), so
        that a checkpoint always has the same entries.
    """
    betas = (config.beta1, config.beta2)
    if config.name == "adafactor":
        return Adafactor(groups, beta1=config.beta1, beta2=config.beta2)
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=config.eps)
    for group in optimizer.param_groups:
        for p in group["params"]:
            optimizer.state[p] = {
                "step": torch.zeros((), dtype=torch.float32),
                "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format),
            }
    return optimizer


class Adafactor(torch.optim.Optimizer):
    """Adafactor as vision transformers use it, also over parameters that are split by rows.

    Parameters
    ----------
    params : list of dict
        Groups of parameters of one or two dimensions, float32.
    lr : float
        Learning rate.
    beta1 : float
        Memory of the momentum; 0 for none, which saves its memory.
    beta2 : float
        Ceiling of the memory of mean squares.
    weight_decay : float
        Decoupled, times the learning rate.
    relative : bool
        Scale the step by the root mean square of the parameter (at least 1e-3), as the paper of 2018 does.

    Raises
    ------
    ValueError
        If a parameter has more than two dimensions, or is split otherwise than by rows.

    Examples
    --------
    >>> layer = nn.Linear(3, 2)
    >>> optimizer = Adafactor([{"params": list(layer.parameters())}], lr=0.1)
    >>> layer(torch.ones(1, 3)).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        lr: float = 0.0,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        weight_decay: float = 0.0,
        relative: bool = False,
    ) -> None:
        defaults = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay, "relative": relative}
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                _check(p)
                self.state[p] = _fresh_state(p, group["beta1"] > 0)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient.

        Parameters
        ----------
        closure : None
            Not taken; here because torch's optimizers have it.

        Raises
        ------
        ValueError
            If a closure is given.
        """
        if closure is not None:
            raise ValueError("closure: expected None, got one; compute gradients before the step")
        # Two sums over processes for all parameters together: what columns need, then the sizes of the updates.
        todo = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        steps = [self._mean_squares(group, p) for group, p in todo]
        columns = [sums for sums in steps if sums is not None]
        _sum_over_processes([p for _, p in todo if p.ndim == 2], columns)
        updates, sizes = [], []
        for (group, p), sums in zip(todo, steps, strict=True):
            update = self._direction(group, p, sums)
            updates.append(update)
            sizes.append(torch.stack([update.square().sum(), _local(p).square().sum()]))
        _sum_over_processes([p for _, p in todo], sizes)
        for (group, p), update, size in zip(todo, updates, sizes, strict=True):
            self._apply(group, p, update, (size / max(1, p.numel())).sqrt())

    def _mean_squares(self, group: dict[str, Any], p: Tensor) -> Tensor | None:
        """Take the gradient into rows' mean squares; give sums over rows: of squares (C,), and of the rows' state."""
        state, grad = self.state[p], _local(p.grad)
        state["step"] += 1
        memory = self._memory(group, state)
        squares = grad.square()
        if p.ndim < 2:
            _local(state["variance"]).lerp_(squares, 1 - memory)
            return None
        rows = _local(state["row_var"])
        rows.lerp_(squares.mean(1, keepdim=True), 1 - memory)
        return torch.cat([squares.sum(0), rows.sum().view(1)])

    def _direction(self, group: dict[str, Any], p: Tensor, sums: Tensor | None) -> Tensor:
        """Gradient over the root of the mean squares."""
        state = self.state[p]
        if sums is None:
            variance = _local(state["variance"])
        else:
            state["col_var"].lerp_(sums[:-1] / p.shape[0], 1 - self._memory(group, state))
            mean_of_rows = (sums[-1] / p.shape[0]).clamp(min=SMALLEST**0.5)
            variance = _local(state["row_var"]) * (state["col_var"] / mean_of_rows)
        return variance.clamp(min=SMALLEST).rsqrt().mul_(_local(p.grad))

    def _apply(self, group: dict[str, Any], p: Tensor, update: Tensor, rms: Tensor) -> None:
        """Clip the update, carry it into the momentum, and take the step; ``rms`` of update and parameter."""
        state, values = self.state[p], _local(p)
        update.div_(rms[0].clamp(min=1.0))
        if "momentum" in state:
            update = _local(state["momentum"]).lerp_(update, 1 - group["beta1"])
        if group["weight_decay"]:
            values.mul_(1 - group["lr"] * group["weight_decay"])
        if group["relative"]:
            update = update * rms[1].clamp(min=1e-3)
        values.add_(update, alpha=-group["lr"])

    @staticmethod
    def _memory(group: dict[str, Any], state: dict[str, Any]) -> float:
        return min(group["beta2"], 1 - float(state["step"]) ** -0.8)


def _check(p: Tensor) -> None:
    if p.ndim > 2 or p.numel() == 0:
        raise ValueError(f"parameters: expected one or two dimensions, got the shape {tuple(p.shape)}")
    if isinstance(p, DTensor) and [type(q).__name__ for q in p.placements] != ["Shard"]:
        raise ValueError(f"parameters: expected a split over one group of processes, got {p.placements}")
    if isinstance(p, DTensor) and p.placements[0].dim != 0:  # type: ignore[attr-defined]
        raise ValueError(f"parameters: expected a split by rows, got {p.placements}")


def _fresh_state(p: Tensor, momentum: bool) -> dict[str, Tensor]:
    state = {"step": torch.zeros((), dtype=torch.float32)}
    if p.ndim < 2:
        state["variance"] = torch.zeros_like(p)
    else:
        shape = (p.shape[0], 1)
        if isinstance(p, DTensor):
            state["row_var"] = distributed_zeros(*shape, device_mesh=p.device_mesh, placements=p.placements)
        else:
            state["row_var"] = p.new_zeros(shape)
        state["col_var"] = torch.zeros(p.shape[1], device=p.device)  # whole on every process
    if momentum:
        state["momentum"] = torch.zeros_like(p)
    return state


def _local(x: Tensor | None) -> Tensor:
    """Give the rows of this process, sharing memory."""
    assert x is not None
    return x.to_local() if isinstance(x, DTensor) else x


def _sum_over_processes(parameters: list[Tensor], values: list[Tensor]) -> None:
    """Sum values in place over the processes that hold the rows of split parameters, all in one message."""
    split = [(p, v) for p, v in zip(parameters, values, strict=True) if isinstance(p, DTensor)]
    if not split:
        return
    message = torch.cat([v.flatten() for _, v in split])
    dist.all_reduce(message, group=split[0][0].device_mesh.get_group())
    for (_, value), part in zip(split, message.split([v.numel() for _, v in split]), strict=True):
        value.copy_(part.view_as(value))
