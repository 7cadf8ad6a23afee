"""Adapting a pretrained encoder to a lab's own recordings: few steps, gently, from the weights that are there.

Adaptation is stage 2 (see :mod:`.masked`) with the released weights as teacher and as the student's start. Two ways to
change less: lower layers that learn more slowly (layer-wise decay, as in Bao et al., BEiT, ICLR 2022,
arXiv 2106.08254), or small matrices beside large ones that stay (Hu et al., LoRA, ICLR 2022, arXiv 2106.09685; the
VideoPrism paper, arXiv 2402.13217, adapts with low-rank adapters too). Different from LoRA's code: queries, keys and
values, one matrix here, get an adapter each; none has dropout.

Shapes: D channels in, E channels out, R rank, P parts of a matrix that have adapters of their own.
"""

from __future__ import annotations

import copy
import math
import re
from typing import Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import Attention
from ..linear import Linear
from ..model import VideoEncoder
from ..transformer import FeedForward
from ..video_text import VideoTextModel
from .masked import MaskedConfig, MaskedObjective

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


def layerwise_scales(module: nn.Module, decay: float) -> dict[str, float]:
    """Factors of the learning rate that fall from layer to layer, from the encoder's top down to the pixels.

    Parameters
    ----------
    module : torch.nn.Module
        An encoder, or what holds one: an objective. Only what is learned counts.
    decay : float
        From one layer to the next; 1 for none, 0.75 is usual for short training.

    Returns
    -------
    dict of str to float
        By name of parameter as ``module.named_parameters()`` names it, of encoders only: whatever stands above
        (decoders, heads) has the full rate. The last layer has ``decay``, the projection of patches and the spatial
        positions ``decay ** (layers + 1)``, layers counted through both towers.

    Raises
    ------
    ValueError
        If the decay is not above 0 and up to 1, or no encoder is learned.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoEncoder, preset
    >>> scales = layerwise_scales(VideoEncoder(preset("tiny").config), 0.5)
    >>> scales["temporal_encoder.layers.3.self_attention.post.weight"], scales["patch_projection.weight"] * 2**10
    (0.5, 1.0)
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay: expected a number above 0 and up to 1, got {decay}")
    scales = {}
    for prefix, encoder in module.named_modules():
        if isinstance(encoder, VideoEncoder):
            depth = encoder.config.num_spatial_layers + encoder.config.num_temporal_layers
            for name, parameter in encoder.named_parameters():
                if parameter.requires_grad:
                    height = height_of(name, encoder.config.num_spatial_layers, depth)
                    scales[f"{prefix}.{name}" if prefix else name] = decay ** (depth + 1 - height)
    if not scales:
        raise ValueError(f"module: expected a VideoEncoder that is learned, got a {type(module).__name__} without one")
    return scales


def height_of(name: str, num_spatial_layers: int, depth: int) -> int:
    """How many layers a parameter of a video encoder stands above the pixels.

    Parameters
    ----------
    name : str
        Of the parameter.
    num_spatial_layers, depth : int
        Layers of the first tower and of both.

    Returns
    -------
    int
        0 for what comes before the first layer, i + 1 for layer i counted through both towers; what stands between
        layers counts as the one below it.
    """
    if found := re.match(r"(spatial|temporal)_encoder\.layers\.(\d+)\.", name):
        return int(found[2]) + 1 + (num_spatial_layers if found[1] == "temporal" else 0)
    if name.startswith(("spatial_ln", "temporal_pos_emb")):
        return num_spatial_layers
    return depth if name.startswith("temporal_ln") else 0


def adaptation_objective(
    weights: VideoEncoder | VideoTextModel,
    config: MaskedConfig | None = None,
    *,
    rank: int | None = None,
    alpha: float = 16.0,
    targets: tuple[Target, ...] = ("attention",),
    seed: int = 0,
) -> MaskedObjective:
    """Make the objective that adapts an encoder: stage 2 with its weights as teacher and as the student's start.

    Parameters
    ----------
    weights : VideoEncoder or VideoTextModel
        What is adapted; it becomes the teacher and is frozen. Of a video encoder alone, which has no pooler, the mean
        of its tokens stands for the clip (see :class:`.masked.Teacher`).
    config : MaskedConfig, optional
        Choices of stage 2.
    rank : int, optional
        Learn adapters of this rank and leave the encoder's own matrices; the whole encoder by default.
    alpha, targets
        As in :func:`add_low_rank_adapters`.
    seed : int
        Of decoders and adapters.

    Returns
    -------
    MaskedObjective
        Its ``learned_model()`` is to be given to :func:`merge_adapters` where there are adapters.

    Raises
    ------
    ValueError
        As those do.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoEncoder, preset
    >>> objective = adaptation_objective(VideoEncoder(preset("tiny").config), rank=4)
    >>> adapted = merge_adapters(objective.learned_model())
    """
    objective = MaskedObjective(weights, config, seed=seed)
    if rank is not None:
        add_low_rank_adapters(objective.student, rank, alpha, targets=targets, seed=seed)
    return objective


def _merged(weight: Tensor, down: Tensor, up: Tensor, scale: Tensor) -> Tensor:
    """A matrix (E, D) with its adapters in it; summed in double precision, rounded once."""
    parts = len(down) // up.shape[1]
    up_PER, down_PRD = (x.detach().double().unflatten(0, (parts, -1)) for x in (up, down))
    product = (up_PER @ down_PRD).flatten(0, 1) * scale.double()
    return cast("Tensor", (weight.detach().double() + product).to(weight.dtype))
