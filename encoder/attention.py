"""Multi-head attention with VideoPrism's logit cap.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Order as in the official code: scale, cap, mask, softmax
in float32. The cap stands before the mask, so that a masked logit is never squashed back into range. We cap in
float32 too; the official code caps in the type of the activations, which differs in half precision only.

No fused kernel of torch knows the cap (``scaled_dot_product_attention`` would drop it silently), hence the explicit
product.

Shapes: B batch, N tokens, H heads, K channels of a head, D = H * K.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# What the official code adds to masked logits: far below any capped logit, yet finite, so that a row that is masked
# everywhere gives an average and not NaN.
MASKED = -0.7 * torch.finfo(torch.float32).max


def capped_attention(
    q_BHNK: Tensor, k_BHNK: Tensor, v_BHNK: Tensor, *, cap: float, key_paddings_BN: Tensor | None
) -> Tensor:
    """Attend, with capped logits.

    Parameters
    ----------
    q_BHNK, k_BHNK, v_BHNK : torch.Tensor
        Queries (already scaled), keys and values, shape (B, H, N, K).
    cap : float
        Logits become ``cap * tanh(logits / cap)``; 0 for no cap.
    key_paddings_BN : torch.Tensor or None
        1 where a key is padding, shape (B, N).

    Returns
    -------
    torch.Tensor
        Shape (B, H, N, K), in the dtype of the values.
    """
    logits_BHNN = (q_BHNK @ k_BHNK.transpose(-1, -2)).float()
    if cap > 0 and logits_BHNN.requires_grad:
        logits_BHNN = cap * torch.tanh(logits_BHNN / cap)
    elif cap > 0:  # in place: the logits are the largest tensor there is
        logits_BHNN = logits_BHNN.div_(cap).tanh_().mul_(cap)
    if key_paddings_BN is not None:
        logits_BHNN = logits_BHNN.masked_fill(key_paddings_BN[:, None, None, :] > 0, MASKED)
    return logits_BHNN.softmax(-1).to(v_BHNK.dtype) @ v_BHNK


class Attention(nn.Module):
    """Self-attention with bias everywhere.

    Parameters
    ----------
    dim : int
        Channels.
    num_heads : int
        Heads.
    cap : float
        Logit cap.
    """

    def __init__(self, dim: int, num_heads: int, cap: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.cap = cap
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.post = nn.Linear(dim, dim)

    def forward(self, x_BND: Tensor, paddings_BN: Tensor | None = None) -> Tensor:
        """Attend over the tokens.

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
        b, n, d = x_BND.shape
        head = d // self.num_heads

        def split(projected: Tensor) -> Tensor:
            return projected.view(b, n, self.num_heads, head).transpose(1, 2)

        q, k, v = split(self.query(x_BND)), split(self.key(x_BND)), split(self.value(x_BND))
        mixed = capped_attention(q * head**-0.5, k, v, cap=self.cap, key_paddings_BN=paddings_BN)
        return self.post(mixed.transpose(1, 2).reshape(b, n, d))
