"""From the encoder's grid of tokens to the few that are kept.

Shapes: K frames, N = R * C tokens of the encoder, r * c tokens kept, D channels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def pool_grid(tokens_KND: Tensor, own: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Average blocks of the grid.

    Parameters
    ----------
    tokens_KND : torch.Tensor
        Tokens.
    own, grid : (int, int)
        Rows and columns before and after.

    Returns
    -------
    torch.Tensor
        float32, shape (K, r * c, D).
    """
    k, _, d = tokens_KND.shape
    blocks = tokens_KND.float().view(k, grid[0], own[0] // grid[0], grid[1], own[1] // grid[1], d)
    return blocks.mean(dim=(2, 4)).reshape(k, grid[0] * grid[1], d)


def pool_boxes(tokens_KND: Tensor, own: tuple[int, int], grid: tuple[int, int], boxes_K4: np.ndarray) -> Tensor:
    """Average what the parts of a box cover, by the area covered.

    Parameters
    ----------
    tokens_KND : torch.Tensor
        Tokens.
    own, grid : (int, int)
        Rows and columns of the tokens and of the parts.
    boxes_K4 : numpy.ndarray
        Top, bottom, left and right from 0 to 1.

    Returns
    -------
    torch.Tensor
        float32, shape (K, r * c, D).
    """
    tokens = tokens_KND.float().view(len(tokens_KND), *own, -1)
    rows, cols = (
        torch.from_numpy(_covered(boxes_K4[:, 2 * a : 2 * a + 2] * own[a], grid[a], own[a])).to(tokens) for a in (0, 1)
    )
    return torch.einsum("krR,kcC,kRCd->krcd", rows, cols, tokens).flatten(1, 2)


def _covered(ends_K2: np.ndarray, parts: int, cells: int) -> np.ndarray:
    """Share of each part of a line that each of the cells [c, c + 1) covers, (K, parts, cells); rows sum to one."""
    low, high = ends_K2[:, :1], ends_K2[:, 1:]
    low = np.minimum(low, cells - 1e-6)  # what is thinner than that counts as that thin
    edges = low + np.maximum(high - low, 1e-6) * np.arange(parts + 1) / parts
    cell = np.arange(cells)
    overlap = np.minimum(edges[:, 1:, None], cell + 1) - np.maximum(edges[:, :-1, None], cell)
    overlap = np.clip(overlap, 0, None)
    return overlap / overlap.sum(axis=-1, keepdims=True)
