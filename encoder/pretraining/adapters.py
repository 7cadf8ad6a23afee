"""Low-rank adapters: small matrices that are learned beside large ones that stay.

Paper: Hu et al., LoRA, ICLR 2022 (arXiv 2106.09685); the VideoPrism paper (Zhao et al., ICML 2024, arXiv 2402.13217)
adapts with low-rank adapters too. Different from LoRA's code: queries, keys and values, one matrix here, get an
adapter each; there is no dropout.

Shapes: D channels in, E channels out, R rank, P parts of a matrix that have adapters of their own.
"""

from __future__ import annotations

import copy
import math
from typing import Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import Attention
from ..linear import Linear
from ..transformer import FeedForward

Target = Literal["attention", "feed-forward"]
AnyModule = TypeVar("AnyModule", bound=nn.Module)


class LowRankLinear(Linear):
    """A linear layer that stays, and beside it a product of two thin matrices that is learned.

    Parameters
    ----------
    base : Linear
        The layer; its parameters are taken over, under their names, and frozen.
    rank : int
        Channels between the two thin matrices.
    alpha : float
        The product counts ``alpha / rank``.
    parts : int
        Parts of the outputs with matrices of their own: 3 for queries, keys and values in one layer.
    generator : torch.Generator, optional
        For the first matrix; the second starts at 0, so that nothing changes at first.
    """

    adapter_scale: Tensor

    def __init__(
        self, base: Linear, rank: int, alpha: float, parts: int = 1, generator: torch.Generator | None = None
    ) -> None:
        nn.Module.__init__(self)  # no weights of its own: those of the other layer
        self.in_features, self.out_features, self.parts = base.in_features, base.out_features, parts
        base.requires_grad_(False)
        self.weight, self.bias = base.weight, base.bias
        down = torch.randn(parts * rank, base.in_features, generator=generator) / math.sqrt(base.in_features)
        self.adapter_down = nn.Parameter(down.to(base.weight))
        self.adapter_up = nn.Parameter(torch.zeros(base.out_features, rank).to(base.weight))
        self.register_buffer("adapter_scale", torch.tensor([alpha / rank], device=base.weight.device))

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        input : torch.Tensor
            Shape (..., D).

        Returns
        -------
        torch.Tensor
            Shape (..., E).
        """
        return super().forward(input) + self._beside(input)

    def rows(self, x: Tensor, rows: slice) -> Tensor:
        """Apply the part of the layer that makes these outputs.

        Parameters
        ----------
        x : torch.Tensor
            Shape (..., D).
        rows : slice
            Of the outputs.

        Returns
        -------
        torch.Tensor
            Shape (..., outputs of the slice).
        """
        return super().rows(x, rows) + self._beside(x)[..., rows]

    def _beside(self, x: Tensor) -> Tensor:
        down = F.linear(x, self.adapter_down).unflatten(-1, (self.parts, -1))  # (..., P, R)
        up_PER = self.adapter_up.unflatten(0, (self.parts, -1))
        return torch.einsum("...pr,per->...pe", down, up_PER).flatten(-2) * self.adapter_scale.to(x.dtype)


def add_low_rank_adapters(
    model: nn.Module,
    rank: int = 8,
    alpha: float = 16.0,
    *,
    targets: tuple[Target, ...] = ("attention",),
    seed: int = 0,
) -> list[str]:
    """Freeze a model and put adapters, which are learned, beside the matrices of its layers, in place.

    Parameters
    ----------
    model : torch.nn.Module
        A ``VideoEncoder``, or the encoder inside of another model.
    rank : int
        Of the adapters.
    alpha : float
        An adapter counts ``alpha / rank``.
    targets : tuple of {"attention", "feed-forward"}
        Which matrices: queries, keys, values and outputs of attention; both of feed-forward layers.
    seed : int
        Of the adapters.

    Returns
    -------
    list of str
        Names of the layers that have one.

    Raises
    ------
    ValueError
        If a number is not positive, a target unknown, or the model has adapters already or no layers for them.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoEncoder, preset
    >>> model = VideoEncoder(preset("tiny").config)
    >>> len(add_low_rank_adapters(model, rank=4))  # two matrices in each of nine layers
    18
    >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
    55296
    """
    if rank < 1 or alpha <= 0:
        raise ValueError(f"rank, alpha: expected numbers above 0, got {rank} and {alpha}")
    if unknown := set(targets) - {"attention", "feed-forward"} or not targets:
        raise ValueError(f"targets: expected 'attention', 'feed-forward' or both, got {unknown or targets}")
    if any(isinstance(module, LowRankLinear) for module in model.modules()):
        raise ValueError("model: expected one without adapters, got one that has them: merge_adapters(model) first")
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    added = []
    for name, module in list(model.named_modules()):
        wanted: dict[str, int] = {}
        if isinstance(module, Attention) and "attention" in targets:
            wanted = {"qkv": 3, "post": 1}
        elif isinstance(module, FeedForward) and "feed-forward" in targets:
            wanted = {"ffn_layer1": 1, "ffn_layer2": 1}
        for part, parts in wanted.items():
            base = getattr(module, part)
            if not isinstance(base, Linear):
                raise ValueError(f"model: expected layers with their own weights, got {type(base).__name__} at {name}")
            setattr(module, part, LowRankLinear(base, rank, alpha, parts, generator))
            added.append(f"{name}.{part}")
    if not added:
        raise ValueError(f"model: expected transformer layers, got a {type(model).__name__} without any")
    return added


def merge_adapters(model: AnyModule) -> AnyModule:
    """Make a plain model whose matrices have the adapters in them: the same outputs, saved in the usual layout.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters or without; it stays as it is.

    Returns
    -------
    torch.nn.Module
        A copy of the same kind, everything learnable.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoEncoder, preset
    >>> model = VideoEncoder(preset("tiny").config)
    >>> _ = add_low_rank_adapters(model)
    >>> len(merge_adapters(model).state_dict()) == len(VideoEncoder(model.config).state_dict())
    True
    """
    merged = copy.deepcopy(model)
    for name, module in list(merged.named_modules()):
        if isinstance(module, LowRankLinear):
            with torch.device("meta"):  # its parameters are there already
                plain = Linear(module.in_features, module.out_features)
            weight = _merged(module.weight, module.adapter_down, module.adapter_up, module.adapter_scale)
            plain.weight, plain.bias = nn.Parameter(weight), nn.Parameter(module.bias.detach())
            parent, _, attribute = name.rpartition(".")
            setattr(merged.get_submodule(parent), attribute, plain)
    return merged.requires_grad_(True)


def merge_adapter_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Merge adapters as :func:`merge_adapters` does, given a model's state only (of a run split over processes).

    Parameters
    ----------
    state : dict of str to torch.Tensor
        Of a model with adapters or without.

    Returns
    -------
    dict of str to torch.Tensor
        That of the plain model.
    """
    plain = {name: value for name, value in state.items() if ".adapter_" not in name}
    for name in state:
        if name.endswith(".adapter_down"):
            layer = name.removesuffix(".adapter_down")
            parts = (state[f"{layer}.{part}"] for part in ("weight", "adapter_down", "adapter_up", "adapter_scale"))
            plain[f"{layer}.weight"] = _merged(*parts)
    return plain


def _merged(weight: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
    """A matrix (E, D) with its adapters in it; summed in double precision, rounded once."""
    parts = len(down) // up.shape[1]
    up_PER, down_PRD = (x.detach().double().unflatten(0, (parts, -1)) for x in (up, down))
    product = (up_PER @ down_PRD).flatten(0, 1) * scale.double()
    return cast("Tensor", (weight.detach().double() + product).to(weight.dtype))
