"""Adapting a pretrained encoder to a lab's own recordings: few steps, gently, from the weights that are there.

Adaptation is stage 2 of Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217; see :mod:`.masked`), with the released
weights as teacher and as the student's start. Two ways to change less: lower layers that learn more slowly (as in Bao
et al., BEiT, ICLR 2022, arXiv 2106.08254), or low-rank adapters (see :mod:`.adapters`). Neither is of the paper's
stage 2.
"""

from __future__ import annotations

import re

from torch import nn

from ..model import VideoEncoder
from ..video_text import VideoTextModel
from .adapters import Target, add_low_rank_adapters
from .masked import MaskedConfig, MaskedObjective


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
        As in :func:`.adapters.add_low_rank_adapters`.
    seed : int
        Of decoders and adapters.

    Returns
    -------
    MaskedObjective
        Its ``learned_model()`` is to be given to :func:`.adapters.merge_adapters` where there are adapters.

    Raises
    ------
    ValueError
        As those do.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoEncoder, preset
    >>> from behavior_prism.encoder.pretraining.adapters import merge_adapters
    >>> config = MaskedConfig(global_branch=False)
    >>> objective = adaptation_objective(VideoEncoder(preset("tiny").config), config, rank=4)
    >>> adapted = merge_adapters(objective.learned_model())
    """
    objective = MaskedObjective(weights, config, seed=seed)
    if rank is not None:
        add_low_rank_adapters(objective.student, rank, alpha, targets=targets, seed=seed)
    return objective
