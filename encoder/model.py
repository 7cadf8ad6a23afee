"""The VideoPrism video encoder (Zhao et al., ICML 2024, arXiv 2402.13217), inference and training.

Follows the official Flax code (google-deepmind/videoprism, ``FactorizedEncoder``). A spatial tower sees one frame at
a time, a temporal tower then sees the frames of a window at one place; nothing is pooled in between, so that every
frame keeps its grid of tokens. Different from the official code in form only: tokens come out as (B, T, N, D)
instead of (B, T * N, D), frames may be rectangles, and the two towers can be called apart, so that overlapping
windows share the spatial one.

Shapes: B clips, T frames, H and W pixels, C colours, N tokens of a frame (rows * columns), D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import VideoEncoderConfig
from .initialise import initialise, names_without_decay
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
    init : bool
        Fill the parameters with random numbers; False for a part of a larger model, which does that itself.

    Examples
    --------
    >>> import torch
    >>> from behavior_prism.encoder import preset
    >>> model = VideoEncoder(preset("tiny").config)
    >>> model(torch.rand(1, 8, 96, 96, 3)).shape
    torch.Size([1, 8, 64, 192])
    """

    def __init__(self, config: VideoEncoderConfig, *, init: bool = True) -> None:
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
        if init and self.spatial_pos_emb.device.type != "meta":
            self.init_weights()

    def init_weights(self, seed: int = 0) -> None:
        """Initialise as the official code does, see :mod:`behavior_prism.encoder.initialise`.

        Parameters
        ----------
        seed : int
            The same numbers for the same seed, with any number of threads.

        Examples
        --------
        >>> model = VideoEncoder(preset("tiny").config)  # doctest: +SKIP
        >>> model.init_weights(seed=1)  # doctest: +SKIP
        """
        initialise(self, self.config.num_heads, seed)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of layers for the way back and compute the rest again: less memory, a third more time.

        Parameters
        ----------
        enable : bool
            On or off.
        """
        self.spatial_encoder.grad_checkpointing = self.temporal_encoder.grad_checkpointing = enable

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave alone: biases, LayerNorm scales, position embeddings.

        Returns
        -------
        set of str

        Examples
        --------
        >>> from behavior_prism.encoder import preset
        >>> "spatial_pos_emb" in VideoEncoder(preset("tiny").config).no_weight_decay()
        True
        """
        return names_without_decay(self)

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
            raise ValueError(
                f"expected height and width as multiples of the patch ({p}), got {height}x{width}: "
                "encoder.preprocess(frames) brings frames to the encoder's size"
            )
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
        _check_tensor(video_BTHWC)
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
        x = self._spatial_input(frames)
        lead, n = tuple(frames.shape[:-3]), x.shape[1]
        paddings = self._check_paddings(frame_paddings, lead, x)
        x = self.spatial_encoder(x, None if paddings is None else paddings.reshape(-1, 1).expand(-1, n))
        return self.spatial_ln(x).view(*lead, n, -1)

    def forward_temporal(
        self, spatial_BTND: Tensor, frame_paddings_BT: Tensor | None = None, keep: slice | None = None
    ) -> Tensor:
        """The second tower: every place across the frames.

        Parameters
        ----------
        spatial_BTND : torch.Tensor
            From :meth:`forward_spatial`, shape (B, T, N, D).
        frame_paddings_BT : torch.Tensor or None
            1 where a frame is padding, shape (B, T).
        keep : slice, optional
            Frames whose tokens are wanted. The last layer computes only these: same numbers, less work.

        Returns
        -------
        torch.Tensor
            Shape (B, T, N, D), or fewer frames with ``keep``.

        Raises
        ------
        ValueError
            If the shape is wrong, or ``keep`` leaves no frame.
        """
        x, paddings = self._temporal_input(spatial_BTND, frame_paddings_BT)
        b, t, n, d = spatial_BTND.shape
        if keep is not None and not range(t)[keep]:
            raise ValueError(f"keep: expected a slice that leaves some of the {t} frames, got {keep}")
        return self.temporal_ln(self.temporal_encoder(x, paddings, keep)).view(b, n, -1, d).transpose(1, 2)

    def forward_intermediates(
        self, video_BTHWC: Tensor, indices: Sequence[int] | None = None, *, norm: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Encode clips and give what layers inside make.

        Parameters
        ----------
        video_BTHWC : torch.Tensor
            As in :meth:`forward`.
        indices : sequence of int, optional
            Layers wanted, counted through both towers, the spatial one first; negative ones from the end. All by
            default.
        norm : bool
            Apply the tower's last LayerNorm to each.

        Returns
        -------
        tokens : torch.Tensor
            As from :meth:`forward`, shape (B, T, N, D).
        intermediates : list of torch.Tensor
            One per index, shape (B, T, N, D).

        Raises
        ------
        ValueError
            If there is no such layer, or the video is wrong.

        Examples
        --------
        >>> from behavior_prism.encoder import preset
        >>> model = VideoEncoder(preset("tiny").config)
        >>> tokens, (first, last) = model.forward_intermediates(torch.rand(1, 2, 24, 24, 3), [0, -1])
        >>> first.shape
        torch.Size([1, 2, 4, 192])
        """
        depth = self.config.num_spatial_layers + self.config.num_temporal_layers
        wanted = range(depth) if indices is None else list(indices)
        if wrong := [i for i in wanted if not -depth <= i < depth]:
            raise ValueError(f"indices: expected layers from {-depth} to {depth - 1}, got {wrong[0]}")
        if video_BTHWC.ndim != 5:
            raise ValueError(f"expected video of shape (B, T, H, W, 3), got {tuple(video_BTHWC.shape)}")
        x = self._spatial_input(video_BTHWC)
        b, t = video_BTHWC.shape[:2]
        n, d = x.shape[1:]
        spatial = self.spatial_encoder.forward_intermediates(x)
        x, _ = self._temporal_input(self.spatial_ln(spatial[-1]).view(b, t, n, d), None)
        temporal = self.temporal_encoder.forward_intermediates(x)
        tokens = self.temporal_ln(temporal[-1]).view(b, n, t, d).transpose(1, 2)
        outputs = [(self.spatial_ln(y) if norm else y).view(b, t, n, d) for y in spatial]
        outputs += [(self.temporal_ln(y) if norm else y).view(b, n, t, d).transpose(1, 2) for y in temporal]
        return tokens, [outputs[i] for i in wanted]

    def _spatial_input(self, frames: Tensor) -> Tensor:
        """Patches, projected and with positions: (frames, N, D)."""
        rows, cols = self._check_video(frames)
        n, p = rows * cols, self.config.patch_size
        patches = frames.reshape(-1, rows, p, cols, p, 3).transpose(2, 3).reshape(-1, n, p * p * 3)
        return self.patch_projection(patches.to(self.patch_projection.weight.dtype)) + self._spatial_positions(
            rows, cols
        )

    def _temporal_input(self, spatial_BTND: Tensor, frame_paddings_BT: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Tokens by place with positions, (B * N, T, D), and their paddings."""
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
        return x, None if paddings is None else paddings.repeat_interleave(n, dim=0)

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
        _check_tensor(video)
        if video.ndim not in (4, 5) or video.shape[-1] != 3:
            raise ValueError(f"expected video of shape (B, T, H, W, 3) or (B, H, W, 3), got {tuple(video.shape)}")
        if 0 in video.shape[:-3]:
            raise ValueError(f"expected at least one clip of one frame, got shape {tuple(video.shape)}")
        if not video.is_floating_point():
            raise ValueError(f"expected video as floats in [0, 1], got {video.dtype}: use encoder.preprocess(frames)")
        if video.device != self.patch_projection.weight.device:
            raise ValueError(
                f"expected video on {self.patch_projection.weight.device} as the model, got {video.device}"
            )
        grid = self.grid_size(video.shape[-3], video.shape[-2])
        if torch.compiler.is_compiling():  # looking at values would break the graph
            return grid
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
        if not torch.compiler.is_compiling() and not bool(((paddings == 0) | (paddings == 1)).all()):
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


def _check_tensor(video: object) -> None:
    if not isinstance(video, Tensor):
        raise ValueError(f"expected video as a torch.Tensor, got {type(video).__name__}")


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
