"""One process or many: who computes what, and how gradients and numbers come together.

Under ``torchrun`` parameters, gradients and optimizer state are split over the processes (FSDP2, Zhao et al., arXiv
2304.11277; ``torch.distributed.fsdp.fully_shard``), every transformer layer by itself and all else together, or kept
whole in each of them. Gradients are averaged over processes in either case. Without ``torchrun`` nothing here does
anything.

What lies outside of the layers (projections, positions, poolers) is gathered for the whole of a step. Objectives may
therefore use it as they like, not only through ``forward``: gradient caching does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from ..transformer import Block, Transformer
from .objective import Objective
from .trainer_config import TrainerConfig

_ENTER = "_enter"  # what is called on a split objective to gather it
BUCKET = 2**23  # elements of gradients averaged in one message (32 MiB)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which of the processes this is, and where it computes.

    Parameters
    ----------
    rank, world : int
        Number of this process, and of all.
    device : torch.device
        Where it computes.
    """

    rank: int
    world: int
    device: torch.device

    def barrier(self) -> None:
        """Wait for all."""
        if self.world > 1:
            dist.barrier()

    def sum(self, values: Tensor) -> Tensor:
        """Add up over processes.

        Parameters
        ----------
        values : torch.Tensor
            Changed in place.

        Returns
        -------
        torch.Tensor
            The same.
        """
        if self.world > 1:
            dist.all_reduce(values)
        return values


def find_layout(device: str | None = None) -> Layout:
    """Find out what ``torchrun`` wants of this process, and join the others.

    Parameters
    ----------
    device : str, optional
        Where to compute; by default the GPU of this process's local rank where there is one, else the CPU.

    Returns
    -------
    Layout
        One process where ``torchrun`` was not used.

    Examples
    --------
    >>> find_layout("cpu")
    Layout(rank=0, world=1, device=device(type='cpu'))
    """
    started_by_torchrun = "RANK" in os.environ and "WORLD_SIZE" in os.environ
    local_rank = int(os.environ.get("LOCAL_RANK", "0")) if started_by_torchrun else 0
    if device is None:
        device = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    where = torch.device(device)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if started_by_torchrun and not dist.is_initialized():
        # gloo beside nccl: checkpoints are written from the CPU while the GPUs go on
        dist.init_process_group("gloo" if where.type == "cpu" else "cpu:gloo,cuda:nccl")
    if not dist.is_initialized():
        return Layout(0, 1, where)
    return Layout(dist.get_rank(), dist.get_world_size(), where)


def parallelize(objective: Objective, config: TrainerConfig, layout: Layout) -> None:
    """Activation checkpointing, then compiling, then splitting: the one order in which they work together.

    Parameters
    ----------
    objective : Objective
        Changed in place. All processes get the parameters of the first.
    config : TrainerConfig
        ``activation_checkpointing``, ``compile``, ``sharding`` and ``precision``.
    layout : Layout
        From :func:`find_layout`.
    """
    objective.to(layout.device)
    blocks = [module for module in objective.modules() if isinstance(module, Block)]
    if config.activation_checkpointing:
        for module in objective.modules():
            if isinstance(module, Transformer):  # decoders too, which no model's set_grad_checkpointing knows
                module.grad_checkpointing = True
    if config.compile:
        for block in blocks:
            block.compile()
    if layout.world == 1:
        return
    with torch.no_grad():
        for value in (*objective.parameters(), *objective.buffers()):
            dist.broadcast(value, src=0)
    if config.sharding == "shard":
        _shard(objective, blocks, config, layout)


def _shard(objective: Objective, blocks: list[Block], config: TrainerConfig, layout: Layout) -> None:
    mesh: DeviceMesh = init_device_mesh(layout.device.type, (layout.world,))
    # layers travel and compute in bfloat16, what they sum up is float32; all else is autocast as in one process
    half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.float32)
    policy = half if config.precision == "bfloat16" else MixedPrecisionPolicy()
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(objective, mesh=mesh)
    assert isinstance(objective, FSDPModule)
    # the outermost group stays gathered through all the passes of a step, see `gathered`
    objective.set_reshard_after_backward(False, recurse=False)
    for name in getattr(objective, "forward_methods", ()):
        register_fsdp_forward_method(objective, name)
    setattr(objective, _ENTER, lambda: None)
    register_fsdp_forward_method(objective, _ENTER)


@contextmanager
def gathered(objective: nn.Module) -> Iterator[None]:
    """Have what lies outside of transformer layers whole on every process; layers gather themselves when they run.

    Parameters
    ----------
    objective : torch.nn.Module
        Split by :func:`parallelize` or not.

    Yields
    ------
    None
        While it holds, all processes must run the same layers in the same order.
    """
    if not isinstance(objective, FSDPModule):
        yield
        return
    getattr(objective, _ENTER)()  # as a forward pass would: gathers, and waits for the optimizer
    try:
        yield
    finally:
        objective.reshard()


def precision_of(config: TrainerConfig, layout: Layout) -> AbstractContextManager[Any]:
    """Make the context in which a step computes.

    Parameters
    ----------
    config : TrainerConfig
        ``precision``.
    layout : Layout
        Where.

    Returns
    -------
    context manager
    """
    if config.precision == "float32":
        return nullcontext()
    return torch.autocast(layout.device.type, torch.bfloat16)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor], layout: Layout) -> None:
    """Average the gradients that no one has averaged yet: those of parameters that are whole on every process.

    Parameters
    ----------
    parameters : iterable of torch.Tensor
        Those that are learned, in the same order on every process.
    layout : Layout
        Who is there.
    """
    if layout.world == 1:
        return
    whole = [p for p in parameters if not isinstance(p, DTensor)]
    for p in whole:  # a process whose batch did not touch a parameter still takes part
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    bucket: list[Tensor] = []
    for i, p in enumerate(whole):
        assert p.grad is not None
        bucket.append(p.grad)
        if sum(g.numel() for g in bucket) >= BUCKET or i == len(whole) - 1:
            message = layout.sum(torch.cat([g.flatten() for g in bucket])).div_(layout.world)
            for g, part in zip(bucket, message.split([g.numel() for g in bucket]), strict=True):
                g.copy_(part.view_as(g))
            bucket = []


@torch.no_grad()
def square_of_norm(parameters: Iterable[Tensor], layout: Layout) -> Tensor:
    """Compute a part of the squared length of all gradients: the sum of the parts over processes is the whole.

    Parameters
    ----------
    parameters : iterable of torch.Tensor
        Those that are learned.
    layout : Layout
        Who is there.

    Returns
    -------
    torch.Tensor
        float64, a scalar.
    """
    parts = [torch.zeros((), dtype=torch.float64, device=layout.device)]
    split: list[Tensor] = []
    whole: list[Tensor] = []
    for p in parameters:
        if isinstance(p.grad, DTensor):
            split.append(p.grad.to_local())
        elif p.grad is not None:
            whole.append(p.grad)
    for gradients, share in ((split, 1), (whole, layout.world)):
        if gradients:
            norms = torch.stack([torch.linalg.vector_norm(g) for g in gradients])
            parts.append(norms.double().square().sum() / share)
    return torch.stack(parts).sum()


def whole_state(module: nn.Module, layout: Layout) -> dict[str, Tensor]:
    """Bring parameters and buffers together on the CPU of the first process.

    Parameters
    ----------
    module : torch.nn.Module
        Split or not.
    layout : Layout
        Who is there; all must call.

    Returns
    -------
    dict of str to torch.Tensor
        Empty on all processes but the first.
    """
    state = {}
    for name, value in module.state_dict().items():
        full = value.full_tensor() if isinstance(value, DTensor) else value
        if layout.rank == 0:
            state[name] = full.detach().cpu().clone()
    return state
