"""Pre-norm transformer blocks as in the official code.

LayerNorm multiplies by ``scale + 1`` (the stored scale starts at 0), epsilon 1e-6; the feed-forward layer uses the
exact GELU and sets padded tokens to zero after each of its two products.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217); official code: google-deepmind/videoprism, ``layers.py``.
Different from it: large batches run in parts where no gradient is wanted, so that memory stays bounded.

Shapes: B batch, N tokens, D channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Attention

EPSILON = 1e-6
# Elements of the largest intermediate tensor (logits or hidden layer) without gradients: 256 MB in float32. A bound on
# memory only, far above what a CPU's cache holds.
MAX_ELEMENTS = 2**26


class LayerNorm(nn.Module):
    """LayerNorm whose weight is stored as its difference from one.

    Parameters
    ----------
    dim : int
        Channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension.

        Parameters
        ----------
        x : torch.Tensor
            Shape (..., D).

        Returns
        -------
        torch.Tensor
            Same shape.
        """
        return F.layer_norm(x, self.scale.shape, self.scale + 1, self.bias, EPSILON)


class FeedForward(nn.Module):
    """Normalise, widen, GELU, narrow; the caller adds the residual.

    Parameters
    ----------
    dim : int
        Channels.
    hidden : int
        Channels in between.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.layer_norm = LayerNorm(dim)
        self.ffn_layer1 = nn.Linear(dim, hidden)
        self.ffn_layer2 = nn.Linear(hidden, dim)

    def forward(self, x_BND: Tensor, paddings_BN: Tensor | None = None) -> Tensor:
        """Transform every token by itself.

        Parameters
        ----------
        x_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor or None
            1 where a token is padding.

        Returns
        -------
        torch.Tensor
            Shape (B, N, D), without the residual.
        """
        hidden = F.gelu(self.ffn_layer1(self.layer_norm(x_BND)))
        if paddings_BN is None:
            return self.ffn_layer2(hidden)
        keep = (1 - paddings_BN).unsqueeze(-1).to(hidden.dtype)
        return self.ffn_layer2(hidden * keep) * keep


class Block(nn.Module):
    """One transformer layer.

    Parameters
    ----------
    dim : int
        Channels.
    num_heads : int
        Attention heads.
    hidden : int
        Channels of the feed-forward layer.
    cap : float
        Attention logit cap.
    """

    def __init__(self, dim: int, num_heads: int, hidden: int, cap: float) -> None:
        super().__init__()
        self.layer_norm = LayerNorm(dim)
        self.self_attention = Attention(dim, num_heads, cap)
        self.ff_layer = FeedForward(dim, hidden)

    def forward(self, x_BND: Tensor, paddings_BN: Tensor | None = None) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor or None
            1 where a token is padding.

        Returns
        -------
        torch.Tensor
            Shape (B, N, D).
        """
        x_BND = x_BND + self.self_attention(self.layer_norm(x_BND), paddings_BN)
        return x_BND + self.ff_layer(x_BND, paddings_BN)


class Transformer(nn.Module):
    """A stack of blocks.

    Parameters
    ----------
    num_layers : int
        How many.
    dim, num_heads, hidden, cap
        As in :class:`Block`.

    Examples
    --------
    >>> Transformer(2, 24, 4, 48, 50.0)(torch.zeros(3, 5, 24)).shape
    torch.Size([3, 5, 24])
    """

    def __init__(self, num_layers: int, dim: int, num_heads: int, hidden: int, cap: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.hidden = hidden
        self.layers = nn.ModuleList(Block(dim, num_heads, hidden, cap) for _ in range(num_layers))

    def forward(self, x_BND: Tensor, paddings_BN: Tensor | None = None) -> Tensor:
        """Apply all blocks.

        Parameters
        ----------
        x_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor or None
            1 where a token is padding.

        Returns
        -------
        torch.Tensor
            Shape (B, N, D).
        """
        n = x_BND.shape[1]
        part = max(1, MAX_ELEMENTS // (n * max(self.num_heads * n, self.hidden)))
        if torch.is_grad_enabled() or len(x_BND) <= part:
            return self._all_layers(x_BND, paddings_BN)
        starts = range(0, len(x_BND), part)
        paddings = [None if paddings_BN is None else paddings_BN[i : i + part] for i in starts]
        return torch.cat([self._all_layers(x_BND[i : i + part], p) for i, p in zip(starts, paddings, strict=True)])

    def _all_layers(self, x_BND: Tensor, paddings_BN: Tensor | None) -> Tensor:
        for layer in self.layers:
            x_BND = layer(x_BND, paddings_BN)
        return x_BND
