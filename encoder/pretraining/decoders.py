"""The two decoders of stage 2: one gives every token back, one the whole clip.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). For the giant model each has 4 layers of width 512 and an
MLP of 2048, between linear projections from and to the width of the tokens; sizes for the others are not stated, heads
and the kind of position embedding for none. Here: the giant's sizes for all, 8 heads, blocks as the encoder's (its
logit cap too), and positions learned apart for place and frame and added, as the encoder has them, so that clips of
any length and grid can be decoded.

Shapes: B clips, T frames, N places of a frame, S tokens of a clip (``T * N``), V visible ones, D channels of the
student, C of a decoder, E of the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import VideoEncoderConfig
from ..initialise import initialise
from ..model import resize_matrix
from ..pooling import AttentionPooler
from ..transformer import LayerNorm, Transformer
from .visible_tokens import VisibleTokens


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """Sizes of a decoder.

    Parameters
    ----------
    dim : int
        Channels.
    num_layers : int
        Depth.
    num_heads : int
        Attention heads; must divide ``dim``.
    mlp_dim : int
        Hidden channels of the feed-forward layers.

    Raises
    ------
    ValueError
        If a size is not positive or they do not fit together.

    Examples
    --------
    >>> DecoderConfig().dim
    512
    """

    dim: int = 512
    num_layers: int = 4
    num_heads: int = 8
    mlp_dim: int = 2048

    def __post_init__(self) -> None:
        for name in ("dim", "num_layers", "num_heads", "mlp_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")
        if self.dim % self.num_heads:
            raise ValueError(f"dim: expected a multiple of the {self.num_heads} heads, got {self.dim}")


class TokenDecoder(nn.Module):
    """Visible tokens in, a token for every position of the clip out.

    Parameters
    ----------
    student : VideoEncoderConfig
        What makes the visible tokens.
    target_dim : int
        Channels of the tokens wanted, E.
    config : DecoderConfig
        Sizes.
    seed : int
        Of the first parameters.
    """

    def __init__(self, student: VideoEncoderConfig, target_dim: int, config: DecoderConfig, seed: int = 0) -> None:
        super().__init__()
        frames, rows, cols = self.pos_emb_shape = student.pos_emb_shape
        c = config
        self.input_projection = nn.Linear(student.model_dim, c.dim)
        self.mask_emb = nn.Parameter(torch.zeros(1, c.dim))
        self.spatial_pos_emb = nn.Parameter(torch.zeros(rows * cols, c.dim))
        self.temporal_pos_emb = nn.Parameter(torch.zeros(frames, c.dim))
        self.transformer = Transformer(c.num_layers, c.dim, c.num_heads, c.mlp_dim, student.atten_logit_cap)
        self.ln = LayerNorm(c.dim)
        self.output_projection = nn.Linear(c.dim, target_dim)
        if self.mask_emb.device.type != "meta":
            initialise(self, c.num_heads, seed)

    def forward(
        self, visible: VisibleTokens, shape: tuple[int, int, int], permutation_BS: Tensor | None = None
    ) -> Tensor:
        """Decode.

        Parameters
        ----------
        visible : VisibleTokens
            From :func:`.visible_tokens.encode_visible`.
        shape : (int, int, int)
            Frames, rows and columns of the clip.
        permutation_BS : torch.Tensor, optional
            Slot i of the decoder takes the content of this position. Slots keep their own positions, so that what is
            visible has to be put in place too. In order by default.

        Returns
        -------
        torch.Tensor
            Shape (B, S, E): slot i is to be what the teacher has at position i.
        """
        x_BSC = self.arrange(visible, shape, permutation_BS) + self.positions(shape)
        return self.output_projection(self.ln(self.transformer(x_BSC)))

    def arrange(self, visible: VisibleTokens, shape: tuple[int, int, int], permutation_BS: Tensor | None) -> Tensor:
        """Put visible tokens where they come from or are shuffled to, and mask tokens everywhere else.

        Parameters
        ----------
        visible, shape, permutation_BS
            As in :meth:`forward`.

        Returns
        -------
        torch.Tensor
            Shape (B, S, C), without positions.
        """
        x_BVC = self.input_projection(visible.tokens)
        b, _, c = x_BVC.shape
        slots_BV, length = visible.positions, shape[0] * shape[1] * shape[2]
        if permutation_BS is not None:
            slots = torch.arange(length, device=permutation_BS.device).expand(b, -1)
            slot_of_BS = torch.empty_like(permutation_BS).scatter(1, permutation_BS, slots)  # the inverse
            slots_BV = slot_of_BS.gather(1, slots_BV)
        # a scatter: its way back is a gather, the same to the last bit on any device
        blank_BSC = self.mask_emb.to(x_BVC.dtype).expand(b, length, c)
        return blank_BSC.scatter(1, slots_BV[..., None].expand(-1, -1, c), x_BVC)

    def positions(self, shape: tuple[int, int, int]) -> Tensor:
        """Position embeddings of the slots, in order.

        Parameters
        ----------
        shape : (int, int, int)
            Frames, rows and columns of the clip.

        Returns
        -------
        torch.Tensor
            Shape (S, C).
        """
        temporal: Tensor = self.temporal_pos_emb
        spatial: Tensor = self.spatial_pos_emb
        if shape != self.pos_emb_shape:
            by_frame, by_row, by_col = (
                resize_matrix(own, new).to(spatial) for own, new in zip(self.pos_emb_shape, shape, strict=True)
            )
            temporal = by_frame @ temporal
            grid = spatial.view(*self.pos_emb_shape[1:], -1)
            spatial = torch.einsum("rR,cC,RCd->rcd", by_row, by_col, grid).flatten(0, 1)
        return (temporal[:, None] + spatial).flatten(0, 1)


class ClipDecoder(nn.Module):
    """Visible tokens in, one embedding of the clip out: no mask tokens, no shuffle, no positions.

    Parameters
    ----------
    student : VideoEncoderConfig
        What makes the visible tokens.
    target_dim : int
        Channels of the embedding wanted, E.
    config : DecoderConfig
        Sizes.
    seed : int
        Of the first parameters.
    """

    def __init__(self, student: VideoEncoderConfig, target_dim: int, config: DecoderConfig, seed: int = 0) -> None:
        super().__init__()
        c = config
        self.input_projection = nn.Linear(student.model_dim, c.dim)
        self.transformer = Transformer(c.num_layers, c.dim, c.num_heads, c.mlp_dim, student.atten_logit_cap)
        self.pooler = AttentionPooler(c.dim, c.num_heads, c.dim)
        self.output_projection = nn.Linear(c.dim, target_dim)
        if self.output_projection.weight.device.type != "meta":
            initialise(self, c.num_heads, seed)

    def forward(self, visible_BVD: Tensor) -> Tensor:
        """Decode.

        Parameters
        ----------
        visible_BVD : torch.Tensor
            Visible tokens in any order.

        Returns
        -------
        torch.Tensor
            Shape (B, E).
        """
        return self.output_projection(self.pooler(self.transformer(self.input_projection(visible_BVD))))
