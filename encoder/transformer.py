"""Transformer blocks as in the official code.

LayerNorm multiplies by ``scale + 1`` (the stored scale starts at 0), epsilon 1e-6; the feed-forward layer uses the
exact GELU (ReLU in the text tower) and sets padded tokens to zero after each of its two products. ``norm_policy`` says
where layers are normalised: ``pre``, before each sublayer, or ``primer_hybrid``, before it and again on its output.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217); official code: google-deepmind/videoprism, ``layers.py``.
Different from it: large batches run in parts where no gradient is wanted, so that memory stays bounded and, on a CPU,
what a part makes stays in its cache.

Shapes: B batch, N tokens, D channels.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import Attention
from .linear import Linear

NormPolicy = Literal["pre", "primer_hybrid"]
Activation = Literal["gelu", "relu"]

EPSILON = 1e-6
# Elements of the largest intermediate tensor (logits or hidden layer) of a part without gradients. On a CPU it should
# stay in the last-level cache (4 Mi are 16 MB in float32: 5 frames of Base, measured in benchmarks/encoder.py);
# elsewhere it is a bound on memory only.
MAX_ELEMENTS_CPU = 2**22
MAX_ELEMENTS = 2**28


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


class _Normed(nn.Module):
    """The two LayerNorms around a sublayer, named as the official checkpoints name them."""

    def __init__(self, dim: int, norm_policy: NormPolicy) -> None:
        super().__init__()
        if norm_policy == "pre":
            self.layer_norm = LayerNorm(dim)
        else:
            self.pre_layer_norm = LayerNorm(dim)
            self.post_layer_norm = LayerNorm(dim)
        self.norm_policy = norm_policy

    def norm_before(self, x: Tensor) -> Tensor:
        return self.layer_norm(x) if self.norm_policy == "pre" else self.pre_layer_norm(x)

    def norm_after(self, x: Tensor) -> Tensor:
        return x if self.norm_policy == "pre" else self.post_layer_norm(x)


class FeedForward(_Normed):
    """Normalise, widen, activate, narrow; the caller adds the residual.

    Parameters
    ----------
    dim : int
        Channels.
    hidden : int
        Channels in between.
    activation : {"gelu", "relu"}
        What stands between the two products.
    norm_policy : {"pre", "primer_hybrid"}
        Where to normalise.
    """

    def __init__(self, dim: int, hidden: int, activation: Activation = "gelu", norm_policy: NormPolicy = "pre") -> None:
        super().__init__(dim, norm_policy)
        self.ffn_layer1 = Linear(dim, hidden)
        self.ffn_layer2 = Linear(hidden, dim)
        self.activation = activation

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
        hidden = self.ffn_layer1(self.norm_before(x_BND))
        hidden = F.gelu(hidden) if self.activation == "gelu" else F.relu(hidden)
        if paddings_BN is None:
            return self.norm_after(self.ffn_layer2(hidden))
        keep = (1 - paddings_BN).unsqueeze(-1).to(hidden.dtype)
        return self.norm_after(self.ffn_layer2(hidden * keep) * keep)


class Block(_Normed):
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
    activation, norm_policy
        As in :class:`FeedForward`.
    causal : bool
        Whether a token sees only itself and those before it.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden: int,
        cap: float,
        *,
        activation: Activation = "gelu",
        norm_policy: NormPolicy = "pre",
        causal: bool = False,
    ) -> None:
        super().__init__(dim, norm_policy)
        self.self_attention = Attention(dim, num_heads, cap, causal=causal)
        self.ff_layer = FeedForward(dim, hidden, activation, norm_policy)

    def forward(self, x_BND: Tensor, paddings_BN: Tensor | None = None, keep: slice | None = None) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor or None
            1 where a token is padding.
        keep : slice, optional
            Tokens whose output is wanted.

        Returns
        -------
        torch.Tensor
            Shape (B, N, D), or fewer tokens with ``keep``.
        """
        mixed = self.norm_after(self.self_attention(self.norm_before(x_BND), paddings_BN, keep))
        if keep is not None:
            x_BND = x_BND[:, keep]
            paddings_BN = None if paddings_BN is None else paddings_BN[:, keep]
        x_BND = x_BND + mixed
        return x_BND + self.ff_layer(x_BND, paddings_BN)


class Transformer(nn.Module):
    """A stack of blocks.

    Parameters
    ----------
    num_layers : int
        How many.
    dim, num_heads, hidden, cap, activation, norm_policy, causal
        As in :class:`Block`.

    Examples
    --------
    >>> Transformer(2, 24, 4, 48, 50.0)(torch.zeros(3, 5, 24)).shape
    torch.Size([3, 5, 24])
    """

    def __init__(
        self,
        num_layers: int,
        dim: int,
        num_heads: int,
        hidden: int,
        cap: float,
        *,
        activation: Activation = "gelu",
        norm_policy: NormPolicy = "pre",
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.hidden = hidden
        self.grad_checkpointing = False
        self.layers = nn.ModuleList(
            Block(dim, num_heads, hidden, cap, activation=activation, norm_policy=norm_policy, causal=causal)
            for _ in range(num_layers)
        )

    def forward(self, x_BND: Tensor, paddings_BN: Tensor | None = None, keep: slice | None = None) -> Tensor:
        """Apply all blocks.

        Parameters
        ----------
        x_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor or None
            1 where a token is padding.
        keep : slice, optional
            Tokens whose output is wanted: the last layer computes only these. Same numbers, less work.

        Returns
        -------
        torch.Tensor
            Shape (B, N, D), or fewer tokens with ``keep``.
        """
        n = x_BND.shape[1]
        if torch.compiler.is_compiling() or self._needs_grad(x_BND):
            return self._run(x_BND, paddings_BN, keep)
        budget = MAX_ELEMENTS_CPU if x_BND.device.type == "cpu" else MAX_ELEMENTS
        part = max(1, budget // (n * max(self.num_heads * n, self.hidden)))
        parts = []
        for i in range(0, len(x_BND), part):
            paddings = None if paddings_BN is None else paddings_BN[i : i + part]
            parts.append(self._run(x_BND[i : i + part], paddings, keep))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _needs_grad(self, x: Tensor) -> bool:
        return torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in self.parameters()))

    def _run(self, x: Tensor, paddings: Tensor | None, keep: slice | None) -> Tensor:
        for i, layer in enumerate(self.layers):
            wanted = keep if i == len(self.layers) - 1 else None
            if self.grad_checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, paddings, wanted, use_reentrant=False)
            else:
                x = layer(x, paddings, wanted)
        return x

    def forward_intermediates(self, x_BND: Tensor, paddings_BN: Tensor | None = None) -> list[Tensor]:
        """Apply all blocks and give the output of each.

        Parameters
        ----------
        x_BND : torch.Tensor
            Tokens.
        paddings_BN : torch.Tensor or None
            1 where a token is padding.

        Returns
        -------
        list of torch.Tensor
            One per layer, shape (B, N, D), without the LayerNorm that follows the tower.
        """
        outputs = []
        for layer in self.layers:
            x_BND = layer(x_BND, paddings_BN)
            outputs.append(x_BND)
        return outputs
