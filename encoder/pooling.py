"""Attention pooling: one learned query looks at all tokens of a clip.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217), its MAP layer; official code: google-deepmind/videoprism,
``AttenTokenPoolingLayer``. Unlike the towers it has no logit cap, no residual and no feed-forward layer, and every
channel of a head has its own learned scale.

Shapes: B batch, N tokens, D channels, H heads, K channels of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend
from .transformer import LayerNorm

SOFTPLUS_AT_0 = 1.442695041  # 1 / softplus(0): a per-dim scale of 0 leaves the usual 1 / sqrt(K)


class PoolingAttention(nn.Module):
    """Attention of given queries over tokens, with a learned scale for each channel of a head.

    Parameters
    ----------
    dim : int
        Channels of queries and tokens.
    inner : int
        Channels of all heads together.
    num_heads : int
        Heads.
    """

    def __init__(self, dim: int, inner: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, inner)
        self.key = nn.Linear(dim, inner)
        self.value = nn.Linear(dim, inner)
        self.post = nn.Linear(inner, dim)
        self.per_dim_scale = nn.Parameter(torch.zeros(inner // num_heads))

    def forward(self, query_BQD: Tensor, tokens_BND: Tensor, paddings_BN: Tensor | None = None) -> Tensor:
        """Attend.

        Parameters
        ----------
        query_BQD : torch.Tensor
            Queries.
        tokens_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor, optional
            1 where a token is padding.

        Returns
        -------
        torch.Tensor
            Shape (B, Q, D).
        """

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

        head = self.per_dim_scale.shape[0]
        scale = F.softplus(self.per_dim_scale.float()) * (SOFTPLUS_AT_0 * head**-0.5)
        q, k, v = split(self.query(query_BQD)), split(self.key(tokens_BND)), split(self.value(tokens_BND))
        mixed = attend(q * scale.to(q.dtype), k, v, cap=0.0, key_paddings_BM=paddings_BN)
        return self.post(mixed.transpose(1, 2).flatten(2))


class AttentionPooler(nn.Module):
    """All tokens of a clip to one embedding.

    Parameters
    ----------
    dim : int
        Channels.
    num_heads : int
        Heads.
    inner : int
        Channels of all heads together: ``4 * dim`` in the video-text model, ``dim`` in the official classifier.

    Examples
    --------
    >>> AttentionPooler(24, 4, 96)(torch.zeros(2, 10, 24)).shape
    torch.Size([2, 24])
    """

    def __init__(self, dim: int, num_heads: int, inner: int) -> None:
        super().__init__()
        self.pooling_attention_query = nn.Parameter(torch.zeros(1, dim))
        self.pooling_attention = PoolingAttention(dim, inner, num_heads)
        self.pooling_attention_layer_norm = LayerNorm(dim)

    def forward(self, tokens_BND: Tensor, paddings_BN: Tensor | None = None) -> Tensor:
        """Pool.

        Parameters
        ----------
        tokens_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor, optional
            1 where a token is padding.

        Returns
        -------
        torch.Tensor
            Shape (B, D).
        """
        query_BQD = self.pooling_attention_query.expand(len(tokens_BND), -1, -1)
        pooled_BQD = self.pooling_attention(query_BQD, tokens_BND, paddings_BN)
        return self.pooling_attention_layer_norm(pooled_BQD)[:, 0]
