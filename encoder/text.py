"""The text tower of the video-text model, CoCa's unimodal one.

Papers: Yu et al., CoCa (arXiv 2205.01917); Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Follows the official
Flax code (google-deepmind/videoprism, ``TextEncoder``): causal attention, ReLU, token embeddings times sqrt(D),
sinusoids of which the first half are sines, and a learned class token at the end, whose output is the embedding.

Shapes: B texts, L tokens of a text, D channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .config import VideoTextConfig
from .transformer import LayerNorm, Transformer

LONGEST_PERIOD = 10_000.0


class TextEncoder(nn.Module):
    """Token ids in, one embedding per text out.

    Parameters
    ----------
    config : VideoTextConfig
        Sizes.
    """

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        c = config
        self.vocabulary_size = c.vocabulary_size
        self.token_emb = nn.Parameter(torch.zeros(c.vocabulary_size, c.model_dim))
        self.cls_emb = nn.Parameter(torch.zeros(1, c.model_dim))
        self.unimodal_transformer = Transformer(
            c.num_unimodal_layers,
            c.model_dim,
            c.num_heads,
            4 * c.model_dim,  # the official text tower does not take mlp_dim
            c.atten_logit_cap,
            activation="relu",
            norm_policy="pre" if c.norm_policy == "pre" else "primer_hybrid",
            causal=True,
        )
        self.unimodal_ln = LayerNorm(c.model_dim)

    def forward(self, token_ids_BL: Tensor, paddings_BL: Tensor) -> Tensor:
        """Embed texts.

        Parameters
        ----------
        token_ids_BL : torch.Tensor
            Whole numbers below ``vocabulary_size``, shape (B, L).
        paddings_BL : torch.Tensor
            1 where a token is padding, shape (B, L).

        Returns
        -------
        torch.Tensor
            Not normalised, shape (B, D).

        Raises
        ------
        ValueError
            If shapes, types or values are wrong.
        """
        self._check(token_ids_BL, paddings_BL)
        d = self.token_emb.shape[1]
        x = self.token_emb[token_ids_BL.long()] * math.sqrt(d)
        x = x + sinusoids(token_ids_BL.shape[1], d).to(x)
        cls = (self.cls_emb * math.sqrt(d)).expand(len(x), 1, -1)
        x = torch.cat([x, cls], dim=1)
        paddings = torch.cat([paddings_BL.to(x), x.new_zeros(len(x), 1)], dim=1)
        return self.unimodal_ln(self.unimodal_transformer(x, paddings))[:, -1]

    def _check(self, token_ids: Tensor, paddings: Tensor) -> None:
        if token_ids.ndim != 2 or 0 in token_ids.shape:
            raise ValueError(f"expected text_token_ids of shape (B, L), got {tuple(token_ids.shape)}")
        if token_ids.is_floating_point() or token_ids.dtype == torch.bool:
            raise ValueError(f"expected text_token_ids as whole numbers, got {token_ids.dtype}")
        if paddings.shape != token_ids.shape:
            raise ValueError(
                f"expected text_paddings of the token ids' shape {tuple(token_ids.shape)}, got {tuple(paddings.shape)}"
            )
        for name, value in (("text_token_ids", token_ids), ("text_paddings", paddings)):
            if value.device != self.token_emb.device:
                raise ValueError(f"expected {name} on {self.token_emb.device} as the model, got {value.device}")
        if torch.compiler.is_compiling():  # looking at values would break the graph
            return
        low, high = (int(v) for v in token_ids.aminmax())
        if low < 0 or high >= self.vocabulary_size:
            raise ValueError(
                f"expected text_token_ids from 0 to {self.vocabulary_size - 1}, got {low} to {high}: is the tokenizer "
                "the one that belongs to these weights?"
            )
        if not bool(((paddings == 0) | (paddings == 1)).all()):
            raise ValueError("expected text_paddings of 0 (token) and 1 (padding) only, got other values")


def sinusoids(length: int, dim: int) -> Tensor:
    """Position embeddings of the text tower, as the official code makes them.

    Periods rise geometrically from ``2 pi`` to ``2 pi * 10000``, both reached: the exponents are ``i / (D / 2 - 1)``.
    ``transformers`` divides by ``D / 2`` here, which moves text embeddings by some 1e-4.

    Parameters
    ----------
    length : int
        Number of tokens.
    dim : int
        Channels.

    Returns
    -------
    torch.Tensor
        float32, shape (length, dim): sines, then cosines; a last channel of zeros if ``dim`` is odd.

    Examples
    --------
    >>> sinusoids(2, 4)[0].tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    half = dim // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(LONGEST_PERIOD) / max(half - 1, 1)))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    table = torch.cat([angles.sin(), angles.cos(), angles.new_zeros(length, dim % 2)], dim=1)
    return table.float()
