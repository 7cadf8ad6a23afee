"""What processes that share a batch need of each other: all rows, with gradients that find their way back.

The convention behind it: every process computes a loss of its own, and gradients of parameters are averaged over
processes, as ``DistributedDataParallel`` and ``fully_shard`` do. If the losses' average is the loss of the whole
batch, the averaged gradients are its gradients exactly: on the way back a gathered row collects what every process's
loss says about it.

Shapes: B rows of a process, G rows of all, D channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def num_processes() -> int:
    """Count the processes that train together.

    Returns
    -------
    int
        1 where nothing is distributed.
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_index() -> int:
    """Tell which of them this is.

    Returns
    -------
    int
        From 0.
    """
    return dist.get_rank() if num_processes() > 1 else 0


def gather_rows(x_BD: Tensor) -> Tensor:
    """Put the rows of all processes together.

    Parameters
    ----------
    x_BD : torch.Tensor
        Rows of this process, shape (B, ...), the same in every process.

    Returns
    -------
    torch.Tensor
        Shape (G, ...): those of process 0, then of process 1, and so on.

    Raises
    ------
    ValueError
        If another process has another number of rows.

    Examples
    --------
    >>> gather_rows(torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """
    if num_processes() == 1:
        return x_BD
    _check_same_number(x_BD)
    return _Gather.apply(x_BD)  # pyright: ignore[reportReturnType]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BD: Tensor) -> Tensor:
        parts = [torch.empty_like(x_BD, memory_format=torch.contiguous_format) for _ in range(num_processes())]
        dist.all_gather(parts, x_BD.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        # a sum over processes of which each needs its own rows: a reduce-scatter, which not every back end has
        grad_GD = grad_outputs[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad_GD)
        return grad_GD.chunk(num_processes())[process_index()]


def bounded(x: Tensor, most: float) -> Tensor:
    """Hold a learned number below a bound: beyond it no gradient leads further up, but one may lead back.

    ``clamp`` alone would leave a number beyond the bound without gradient, for ever.

    Parameters
    ----------
    x : torch.Tensor
        The same in every process.
    most : float
        The bound.

    Returns
    -------
    torch.Tensor
        At most ``most``. Which way the gradient leads is decided by the average over processes, for all alike.

    Examples
    --------
    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> (-2 * bounded(x, 1.0)).backward()
    >>> x.grad
    tensor([0.])
    """
    return _Bounded.apply(x, most)  # pyright: ignore[reportReturnType]


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, most: float) -> Tensor:
        ctx.save_for_backward(x >= most)
        return x.clamp(max=most)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (beyond,) = ctx.saved_tensors
        total = grad_outputs[0].clone()
        if num_processes() > 1:
            dist.all_reduce(total)
        return grad_outputs[0].masked_fill(beyond & (total < 0), 0.0), None


def _check_same_number(x: Tensor) -> None:
    # unequal sizes would hang, or mix up rows in silence
    own = torch.tensor([len(x)], device=x.device)
    counts = [torch.empty_like(own) for _ in range(num_processes())]
    dist.all_gather(counts, own)
    numbers = [int(count) for count in counts]
    if len(set(numbers)) > 1:
        raise ValueError(f"batch: expected the same number of samples in every process, got {numbers}")
