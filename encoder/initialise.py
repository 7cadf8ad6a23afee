"""Random initialisation as in the official code: LeCun normal, biases and LayerNorm scales 0.

Fan-in is counted as jax counts it on the official arrays: the length for position embeddings and queries, and
channels times heads for the projections of the attention, whose arrays are (channels, heads, channels of a head).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def initialise(model: nn.Module, num_heads: int, seed: int) -> None:
    """Fill all parameters of a model with fresh numbers.

    Parameters
    ----------
    model : torch.nn.Module
        One of this package's models.
    num_heads : int
        Heads of its attention.
    seed : int
        Seed of the one random generator, on the CPU: the same numbers with any number of threads.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith((".bias", ".scale", "per_dim_scale")):
            parameter.zero_()
        elif name.endswith(("token_emb", "cls_emb")):
            # the official text tower multiplies both by sqrt(D) afterwards
            _fill_normal(parameter, parameter.shape[-1] ** -0.5, generator)
        elif name.endswith("pos_emb") or name.endswith("attention_query"):
            _fill_lecun_normal(parameter, parameter.shape[0], generator)
        elif "attention." in name:
            # queries, keys and values have channels in second place, `post` in first
            channels = parameter.shape[0 if ".post." in name else 1]
            _fill_lecun_normal(parameter, channels * num_heads, generator)
        else:
            _fill_lecun_normal(parameter, parameter.shape[1], generator)


def names_without_decay(model: nn.Module) -> set[str]:
    """Names of parameters that weight decay should leave alone: all but the matrices of products and token tables.

    Parameters
    ----------
    model : torch.nn.Module
        One of this package's models.

    Returns
    -------
    set of str
        Biases, scales, position and class embeddings, queries of poolers.
    """
    endings = (".bias", "scale", "pos_emb", "cls_emb", "attention_query")
    return {name for name, _ in model.named_parameters() if name.endswith(endings)}


def _fill_lecun_normal(parameter: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """Normal numbers of variance ``1 / fan_in``, truncated at two deviations as jax does."""
    # By the inverse of the distribution function: no rejection loop, so the count of random numbers is fixed.
    edge = math.erf(math.sqrt(2.0))
    parameter.copy_(_normal(parameter.shape, edge, generator) * (fan_in**-0.5 / 0.87962566103423978))  # deviation left


def _fill_normal(parameter: Tensor, deviation: float, generator: torch.Generator) -> None:
    parameter.copy_(_normal(parameter.shape, 1 - 2**-30, generator) * deviation)


def _normal(shape: torch.Size, edge: float, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64) * (2 * edge) - edge
    # erfinv differs in its last bits between processors; whole multiples of 2**-20 do not, and are exact in float32
    return ((torch.erfinv(uniform) * (math.sqrt(2.0) * 2**20)).round() / 2**20).float()
