"""Capped attention: one formula, three back ends.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Order as in the official code: scale, cap, mask, softmax
in float32. The cap stands before the mask, so that a masked logit is never squashed back into range. We cap in
float32 too; the official code caps in the type of the activations, which differs in half precision only.

The cap is written with a sigmoid: ``cap * tanh(x / cap) == 2 * cap * sigmoid(2 * x / cap) - cap``, and a softmax does
not see the constant. On a CPU torch's sigmoid takes a third of the time of its tanh. It rounds logits near 0 to some
1e-5 instead of 1e-7; against double precision, tokens of Base are as good with either (mean error 5.8e-7).

No fused kernel of torch knows the cap (``scaled_dot_product_attention`` would drop it silently):

========  ==========================================================  ============  ========================
back end  what it does                                                gradients     chosen
========  ==========================================================  ============  ========================
explicit  all logits at once; the yardstick of the other two          everywhere    where the logits are few
chunked   explicit over blocks of queries: memory stays bounded       everywhere    where they are many
flex      torch's FlexAttention, compiled: logits never leave a tile  CUDA only     CUDA, heads of 2**n, no grad
                                                                                    or CUDA gradients
========  ==========================================================  ============  ========================

Shapes: B batch, N queries, M keys, H heads, K channels of a head, D = H * K.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .linear import Linear

Backend = Literal["auto", "explicit", "chunked", "flex"]

# What the official code adds to masked logits: far below any capped logit, yet finite, so that a row that is masked
# everywhere gives an average and not NaN.
# Half of the largest number, not 0.7 of it as there: FlexAttention multiplies by log2(e) inside.
MASKED = -0.5 * torch.finfo(torch.float32).max
# Above this cap the sigmoid would lose more than the logits' own rounding; the released models have 50.
MAX_SIGMOID_CAP = 200.0
# Logits held at once before attention goes by blocks of queries: 64 Mi are 256 MB in float32.
MAX_LOGITS = 2**26
# FlexAttention pays from about this many keys on; below it a tile is mostly empty.
MIN_FLEX_KEYS = 128


def attend(
    q_BHNK: Tensor,
    k_BHMK: Tensor,
    v_BHMK: Tensor,
    *,
    cap: float,
    key_paddings_BM: Tensor | None = None,
    causal: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    """Attend, with capped logits.

    Parameters
    ----------
    q_BHNK, k_BHMK, v_BHMK : torch.Tensor
        Queries (already scaled), keys and values, shapes (B, H, N, K) and (B, H, M, K).
    cap : float
        Logits become ``cap * tanh(logits / cap)``; 0 for no cap.
    key_paddings_BM : torch.Tensor, optional
        1 where a key is padding, shape (B, M).
    causal : bool
        Whether a query sees only keys up to its own place (N must be M).
    backend : {"auto", "explicit", "chunked", "flex"}
        How; see the table above.

    Returns
    -------
    torch.Tensor
        Shape (B, H, N, K), in the dtype of the values.

    Raises
    ------
    ValueError
        If the back end is unknown, or flex is asked for where it does not run.

    Examples
    --------
    >>> x = torch.ones(1, 2, 5, 4)
    >>> attend(x, x, x, cap=50.0).shape
    torch.Size([1, 2, 5, 4])
    """
    if backend == "auto":
        backend = choose_backend(q_BHNK, k_BHMK)
    if backend not in _BACKENDS:
        raise ValueError(f"backend: expected one of {['auto', *_BACKENDS]}, got {backend!r}")
    return _BACKENDS[backend](q_BHNK, k_BHMK, v_BHMK, cap, key_paddings_BM, causal)


def choose_backend(q_BHNK: Tensor, k_BHMK: Tensor) -> Backend:
    """Tell which back end ``"auto"`` stands for.

    Parameters
    ----------
    q_BHNK, k_BHMK : torch.Tensor
        Queries and keys.

    Returns
    -------
    {"explicit", "chunked", "flex"}

    Examples
    --------
    >>> x = torch.ones(1, 1, 1, 16)
    >>> choose_backend(x, x), choose_backend(x.expand(1, 12, 4096, 16), x.expand(1, 12, 8192, 16))
    ('explicit', 'chunked')
    """
    b, h, n, k = q_BHNK.shape
    m = k_BHMK.shape[2]
    if q_BHNK.device.type == "cuda" and n > 1 and m >= MIN_FLEX_KEYS and k >= 16 and k & (k - 1) == 0:
        return "flex"
    return "chunked" if b * h * n * m > MAX_LOGITS and n > 1 else "explicit"


def _explicit(q: Tensor, k: Tensor, v: Tensor, cap: float, paddings: Tensor | None, causal: bool, first: int = 0):
    """All at once; ``first`` is the place of the first query, for blocks of them."""
    if cap == 0 or cap > MAX_SIGMOID_CAP:
        # without a cap (poolers) products overflow in half precision; there is one query, so this costs little
        logits = q.float() @ k.float().transpose(-1, -2)
        logits = cap * torch.tanh(logits / cap) if cap > 0 else logits
    else:
        # in place where no gradient is wanted: the logits are the largest tensor there is
        logits = ((q * (2 / cap)) @ k.transpose(-1, -2)).float()
        logits = logits.sigmoid() if logits.requires_grad else logits.sigmoid_()
        logits = logits * (2 * cap) if logits.requires_grad else logits.mul_(2 * cap)
    mask = None if paddings is None else (paddings > 0)[:, None, None, :]
    if causal:
        queries = torch.arange(first, first + q.shape[2], device=q.device)
        later = torch.arange(k.shape[2], device=q.device) > queries[:, None]
        mask = later if mask is None else mask | later
    if mask is not None:
        logits = logits.masked_fill(mask, MASKED) if logits.requires_grad else logits.masked_fill_(mask, MASKED)
    return logits.softmax(-1).to(v.dtype) @ v


def _chunked(q: Tensor, k: Tensor, v: Tensor, cap: float, paddings: Tensor | None, causal: bool) -> Tensor:
    b, h, n, _ = q.shape
    step = max(1, min(n, MAX_LOGITS // (4 * b * h * k.shape[2])))
    parts = []
    for first in range(0, n, step):
        inputs = q[:, :, first : first + step], k, v, cap, paddings, causal, first
        # with gradients the logits of a block are made again on the way back, or all of them would be kept
        needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v))
        parts.append(checkpoint(_explicit, *inputs, use_reentrant=False) if needs_grad else _explicit(*inputs))
    return torch.cat(parts, dim=2)


@functools.cache
def _compiled_flex() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def _flex(q: Tensor, k: Tensor, v: Tensor, cap: float, paddings: Tensor | None, causal: bool) -> Tensor:
    if q.device.type not in ("cuda", "cpu"):
        raise ValueError(f"backend: 'flex' runs on cuda (and, without gradients, on cpu), not on {q.device.type}")
    if q.device.type == "cpu" and torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v)):
        raise ValueError("backend: 'flex' has no gradients on cpu; use 'explicit' or 'chunked'")
    from torch.nn.attention.flex_attention import flex_attention

    def score_mod(score: Tensor, b: Tensor, h: Tensor, n: Tensor, m: Tensor) -> Tensor:
        score = cap * torch.tanh(score / cap) if cap > 0 else score
        # a large negative number, not a block mask: rows that are masked everywhere must stay an average
        if paddings is not None:
            score = torch.where(paddings[b, m] > 0, MASKED, score)
        return torch.where(m > n, MASKED, score) if causal else score

    # eager on a CPU: there this back end is for tests only; inside a compiled layer it is compiled with it
    alone = q.device.type == "cuda" and not torch.compiler.is_compiling()
    run = cast("Callable[..., Tensor]", _compiled_flex() if alone else flex_attention)
    return run(q, k, v, score_mod=score_mod, scale=1.0)


_BACKENDS: dict[str, Callable[..., Tensor]] = {"explicit": _explicit, "chunked": _chunked, "flex": _flex}


class Attention(nn.Module):
    """Self-attention with bias everywhere; queries, keys and values in one product.

    Parameters
    ----------
    dim : int
        Channels.
    num_heads : int
        Heads.
    cap : float
        Logit cap.
    causal : bool
        Whether a token sees only itself and those before it.
    """

    def __init__(self, dim: int, num_heads: int, cap: float, *, causal: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.cap = cap
        self.causal = causal
        self.backend: Backend = "auto"
        self.qkv = Linear(dim, 3 * dim)  # rows: queries, keys, values; heads within each
        self.post = Linear(dim, dim)

    def forward(self, x_BND: Tensor, paddings_BN: Tensor | None = None, keep: slice | None = None) -> Tensor:
        """Attend over the tokens.

        Parameters
        ----------
        x_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor or None
            1 where a token is padding.
        keep : slice, optional
            Tokens whose output is wanted; all of them still serve as keys.

        Returns
        -------
        torch.Tensor
            Shape (B, N, D), or fewer tokens with ``keep``.

        Raises
        ------
        ValueError
            If ``keep`` meets causal attention.
        """
        b, n, d = x_BND.shape
        head = d // self.num_heads
        if keep is None:
            q, k, v = self.qkv(x_BND).view(b, n, 3, self.num_heads, head).permute(2, 0, 3, 1, 4).unbind(0)
        elif self.causal:
            raise ValueError("keep: expected attention that is not causal")
        else:
            q = self.qkv.rows(x_BND[:, keep], slice(0, d)).view(b, -1, self.num_heads, head).transpose(1, 2)
            kv = self.qkv.rows(x_BND, slice(d, 3 * d))
            k, v = kv.view(b, n, 2, self.num_heads, head).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = attend(
            q * head**-0.5,
            k,
            v,
            cap=self.cap,
            key_paddings_BM=paddings_BN,
            causal=self.causal,
            backend=self.backend,
        )
        return self.post(mixed.transpose(1, 2).reshape(b, -1, d))
