"""The VideoPrism video encoder (Zhao et al., ICML 2024, arXiv 2402.13217), inference and training.

Follows the official Flax code (google-deepmind/videoprism, ``FactorizedEncoder``). A spatial tower sees one frame at
a time, a temporal tower then sees the frames of a window at one place; nothing is pooled in between, so that every
frame keeps its grid of tokens. Different from the official code in form only: tokens come out as (B, T, N, D)
instead of (B, T * N, D), frames may be rectangles, and the two towers can be called apart, so that overlapping
windows share the spatial one.

Shapes: B clips, T frames, H and W pixels, C colours, N tokens of a frame (rows * columns), D channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import VideoEncoderConfig
from .transformer import LayerNorm, Transformer


class EncoderFeatures(NamedTuple):
    """Outputs of both towers.

    Parameters
    ----------
    tokens : torch.Tensor
        Of the temporal tower, shape (B, T, N, D).
    spatial : torch.Tensor
        Of the spatial tower, shape (B, T, N, D): each frame by itself.
    """

    tokens: Tensor
    spatial: Tensor


class VideoEncoder(nn.Module):
    """Video in, one token per frame and patch out.

    Parameters
    ----------
    config : VideoEncoderConfig
        Sizes.

    Examples
    --------
    >>> import torch
    >>> from behavior_prism.encoder import preset
    >>> model = VideoEncoder(preset("tiny").config)
    >>> model(torch.rand(1, 8, 96, 96, 3)).shape
    torch.Size([1, 8, 64, 192])
    """

    def __init__(self, config: VideoEncoderConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        frames, rows, cols = c.pos_emb_shape
        self.patch_projection = nn.Linear(c.patch_size * c.patch_size * 3, c.model_dim)
        self.spatial_pos_emb = nn.Parameter(torch.zeros(rows * cols, c.model_dim))
        self.spatial_encoder = Transformer(c.num_spatial_layers, c.model_dim, c.num_heads, c.mlp_dim, c.atten_logit_cap)
        self.spatial_ln = LayerNorm(c.model_dim)
        self.temporal_pos_emb = nn.Parameter(torch.zeros(frames, c.model_dim))
        self.temporal_encoder = Transformer(
            c.num_temporal_layers, c.model_dim, c.num_heads, c.mlp_dim, c.atten_logit_cap
        )
        self.temporal_ln = LayerNorm(c.model_dim)
        if self.spatial_pos_emb.device.type != "meta":
            self.init_weights()

    @torch.no_grad()
    def init_weights(self, seed: int = 0) -> None:
        """Initialise as the official code does: LeCun normal, biases and LayerNorm scales 0.

        Fan-in is counted as jax counts it on the official arrays: the length for position embeddings, and channels
        times heads for the projections of the attention, whose arrays are (channels, heads, channels of a head).

        Parameters
        ----------
        seed : int
            Seed of the one random generator, on the CPU: the same numbers with any number of threads.

        Examples
        --------
        >>> model = VideoEncoder(preset("tiny").config)  # doctest: +SKIP
        >>> model.init_weights(seed=1)  # doctest: +SKIP
        """
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith((".bias", ".scale")):
                parameter.zero_()
            elif name.endswith("pos_emb"):
                _fill_lecun_normal(parameter, parameter.shape[0], generator)
            elif ".self_attention." in name:
                _fill_lecun_normal(parameter, self.config.model_dim * self.config.num_heads, generator)
            else:
                _fill_lecun_normal(parameter, parameter.shape[1], generator)

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens of a frame.

        Parameters
        ----------
        height, width : int
            Size of the frame in pixels.

        Returns
        -------
        (int, int)

        Raises
        ------
        ValueError
            If a side is not a multiple of the patch.
        """
        p = self.config.patch_size
        if height < p or width < p or height % p or width % p:
            raise ValueError(f"expected height and width as multiples of the patch ({p}), got {height}x{width}")
        return height // p, width // p

    def forward(self, video_BTHWC: Tensor, frame_paddings_BT: Tensor | None = None) -> Tensor:
        """Encode clips.

        Parameters
        ----------
        video_BTHWC : torch.Tensor
            Floats in [0, 1], shape (B, T, H, W, 3), any T and any H and W that are multiples of the patch.
        frame_paddings_BT : torch.Tensor or None
            1 where a frame is padding, shape (B, T).

        Returns
        -------
        torch.Tensor
            Tokens, shape (B, T, N, D).

        Raises
        ------
        ValueError
            If the shape or the range of values is wrong.
        """
        return self.forward_features(video_BTHWC, frame_paddings_BT).tokens

    def forward_features(self, video_BTHWC: Tensor, frame_paddings_BT: Tensor | None = None) -> EncoderFeatures:
        """Encode clips and give the spatial tower's tokens too.

        Parameters
        ----------
        video_BTHWC, frame_paddings_BT
            As in :meth:`forward`.

        Returns
        -------
        EncoderFeatures
        """
        if video_BTHWC.ndim != 5:  # the spatial tower alone would take single frames too
            raise ValueError(f"expected video of shape (B, T, H, W, 3), got {tuple(video_BTHWC.shape)}")
        spatial_BTND = self.forward_spatial(video_BTHWC, frame_paddings_BT)
        return EncoderFeatures(self.forward_temporal(spatial_BTND, frame_paddings_BT), spatial_BTND)

    def forward_spatial(self, frames: Tensor, frame_paddings: Tensor | None = None) -> Tensor:
        """The first tower: every frame by itself.

        Parameters
        ----------
        frames : torch.Tensor
            Floats in [0, 1]: clips (B, T, H, W, 3) or single frames (B, H, W, 3).
        frame_paddings : torch.Tensor or None
            1 where a frame is padding, shape (B, T) or (B,).

        Returns
        -------
        torch.Tensor
            Shape (B, T, N, D) or (B, N, D).

        Raises
        ------
        ValueError
            If the shape, the type or the range of values is wrong.
        """
        rows, cols = self._check_video(frames)
        lead = tuple(frames.shape[:-3])
        n, p = rows * cols, self.config.patch_size
        patches = frames.reshape(-1, rows, p, cols, p, 3).transpose(2, 3).reshape(-1, n, p * p * 3)
        x = self.patch_projection(patches.to(self.patch_projection.weight.dtype)) + self._spatial_positions(rows, cols)
        paddings = self._check_paddings(frame_paddings, lead, x)
        x = self.spatial_encoder(x, None if paddings is None else paddings.reshape(-1, 1).expand(-1, n))
        return self.spatial_ln(x).view(*lead, n, -1)

    def forward_temporal(self, spatial_BTND: Tensor, frame_paddings_BT: Tensor | None = None) -> Tensor:
        """The second tower: every place across the frames.

        Parameters
        ----------
        spatial_BTND : torch.Tensor
            From :meth:`forward_spatial`, shape (B, T, N, D).
        frame_paddings_BT : torch.Tensor or None
            1 where a frame is padding, shape (B, T).

        Returns
        -------
        torch.Tensor
            Shape (B, T, N, D).

        Raises
        ------
        ValueError
            If the shape is wrong.
        """
        if spatial_BTND.ndim != 4 or spatial_BTND.shape[-1] != self.config.model_dim or 0 in spatial_BTND.shape:
            raise ValueError(
                f"expected spatial tokens of shape (B, T, N, {self.config.model_dim}), got {tuple(spatial_BTND.shape)}"
            )
        if not spatial_BTND.is_floating_point():
            raise ValueError(f"expected spatial tokens as floats, got {spatial_BTND.dtype}")
        b, t, n, d = spatial_BTND.shape
        x = spatial_BTND.to(self.temporal_pos_emb.dtype).transpose(1, 2).reshape(b * n, t, d)
        x = x + self._temporal_positions(t)
        paddings = self._check_paddings(frame_paddings_BT, (b, t), x)
        x = self.temporal_encoder(x, None if paddings is None else paddings.repeat_interleave(n, dim=0))
        return self.temporal_ln(x).view(b, n, t, d).transpose(1, 2)

    @staticmethod
    def pool(tokens_BTND: Tensor) -> Tensor:
        """Mean over frames and places.

        Parameters
        ----------
        tokens_BTND : torch.Tensor
            Tokens.

        Returns
        -------
        torch.Tensor
            Shape (B, D).
        """
        return tokens_BTND.mean(dim=(1, 2))

    def _check_video(self, video: Tensor) -> tuple[int, int]:
        if video.ndim not in (4, 5) or video.shape[-1] != 3:
            raise ValueError(f"expected video of shape (B, T, H, W, 3) or (B, H, W, 3), got {tuple(video.shape)}")
        if 0 in video.shape[:-3]:
            raise ValueError(f"expected at least one clip of one frame, got shape {tuple(video.shape)}")
        if not video.is_floating_point():
            raise ValueError(f"expected video as floats in [0, 1], got {video.dtype}: divide by 255 first")
        grid = self.grid_size(video.shape[-3], video.shape[-2])
        low, high = (float(v) for v in video.aminmax())
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # false for NaN too; resizing may overshoot by rounding
            raise ValueError(f"expected values in [0, 1], got {low:g} to {high:g}")
        return grid

    @staticmethod
    def _check_paddings(paddings: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor | None:
        if paddings is None:
            return None
        if tuple(paddings.shape) != shape:
            raise ValueError(f"expected frame_paddings of shape {shape}, got {tuple(paddings.shape)}")
        if not bool(((paddings == 0) | (paddings == 1)).all()):
            raise ValueError("expected frame_paddings of 0 (frame) and 1 (padding) only, got other values")
        return paddings.to(like)

    def _spatial_positions(self, rows: int, cols: int) -> Tensor:
        own_rows, own_cols = self.config.pos_emb_shape[1:]
        if (rows, cols) == (own_rows, own_cols):
            return self.spatial_pos_emb
        grid = self.spatial_pos_emb.view(own_rows, own_cols, -1)
        by_row = resize_matrix(own_rows, rows).to(grid)
        by_col = resize_matrix(own_cols, cols).to(grid)
        return torch.einsum("rR,cC,RCd->rcd", by_row, by_col, grid).reshape(rows * cols, -1)

    def _temporal_positions(self, frames: int) -> Tensor:
        own_frames = self.config.pos_emb_shape[0]
        if frames == own_frames:
            return self.temporal_pos_emb
        return resize_matrix(own_frames, frames).to(self.temporal_pos_emb) @ self.temporal_pos_emb


def _fill_lecun_normal(parameter: Tensor, fan_in: int, generator: torch.Generator) -> None:
    """Normal numbers of variance ``1 / fan_in``, truncated at two deviations as jax does."""
    # By the inverse of the distribution function: no rejection loop, so the count of random numbers is fixed.
    edge = math.erf(math.sqrt(2.0))
    uniform = torch.rand(parameter.shape, generator=generator, dtype=torch.float64) * (2 * edge) - edge
    # erfinv differs in its last bits between processors; whole multiples of 2**-20 do not, and are exact in float32
    unit = (torch.erfinv(uniform) * (math.sqrt(2.0) * 2**20)).round() / 2**20
    parameter.copy_(unit.float() * (fan_in**-0.5 / 0.87962566103423978))  # 0.8796: deviation left after truncation


def resize_matrix(size: int, new_size: int) -> Tensor:
    """Weights that resize a line of values as ``jax.image.resize(..., "linear")`` does, smoothed when shrinking.

    Written out because ``torch.nn.functional.interpolate(antialias=True)`` gives wrong values for pictures one pixel
    wide (torch 2.13) and does not exist on every device.

    Parameters
    ----------
    size, new_size : int
        Number of values before and after.

    Returns
    -------
    torch.Tensor
        float32, shape (new_size, size); rows sum to one.

    Examples
    --------
    >>> resize_matrix(2, 4)[1].tolist()
    [0.75, 0.25]
    """
    ratio = size / new_size
    centres = (torch.arange(new_size, dtype=torch.float64) + 0.5) * ratio - 0.5
    distance = (centres[:, None] - torch.arange(size, dtype=torch.float64)).abs() / max(ratio, 1.0)
    weights = (1 - distance).clamp(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).float()
