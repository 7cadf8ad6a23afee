"""Sizes of the VideoPrism video encoder.

Field names are the argument names of the official code, so that its configurations carry over unchanged.
Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). ``tiny`` is ours, for laptops and tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoEncoderConfig:
    """Sizes of a video encoder.

    Parameters
    ----------
    patch_size : int
        Side of a square patch in pixels.
    pos_emb_shape : (int, int, int)
        Frames, rows and columns of the learned position embeddings; other sizes are interpolated.
    model_dim : int
        Channels of a token.
    num_spatial_layers, num_temporal_layers : int
        Depth of the two towers.
    num_heads : int
        Attention heads; must divide ``model_dim``.
    mlp_dim : int
        Hidden channels of the feed-forward layers.
    atten_logit_cap : float
        Attention logits are squashed to within this by ``cap * tanh(logits / cap)``; 0 for no cap.
    norm_policy : {"pre"}
        Where layers are normalised: before each sublayer. The official ``primer_hybrid`` (before it and again on its
        output) occurs only in the giant model's text tower, never in a video encoder, and is refused here.

    Raises
    ------
    ValueError
        If a size is not positive or sizes do not fit together.

    Examples
    --------
    >>> preset("tiny").config.model_dim
    192
    """

    patch_size: int
    pos_emb_shape: tuple[int, int, int]
    model_dim: int
    num_spatial_layers: int
    num_temporal_layers: int
    num_heads: int
    mlp_dim: int
    atten_logit_cap: float = 50.0
    norm_policy: str = "pre"

    def __post_init__(self) -> None:
        if isinstance(self.pos_emb_shape, list):  # as JSON gives it
            object.__setattr__(self, "pos_emb_shape", tuple(self.pos_emb_shape))
        shape = self.pos_emb_shape
        if not isinstance(shape, tuple) or len(shape) != 3 or not all(_is_whole(n) and n > 0 for n in shape):
            raise ValueError(f"pos_emb_shape: expected three positive numbers, got {shape!r}")
        for name in ("patch_size", "model_dim", "num_spatial_layers", "num_temporal_layers", "num_heads", "mlp_dim"):
            value = getattr(self, name)
            if not _is_whole(value):
                raise ValueError(f"{name}: expected a whole number, got {value!r}")
            if value < 1:
                raise ValueError(f"{name}: expected a positive number, got {value}")
        if self.model_dim % self.num_heads:
            raise ValueError(f"model_dim ({self.model_dim}) must be divisible by num_heads ({self.num_heads})")
        if not 0 <= self.atten_logit_cap < math.inf:  # false for NaN too
            raise ValueError(f"atten_logit_cap: expected a finite number of at least 0, got {self.atten_logit_cap}")
        if self.norm_policy != "pre":
            raise ValueError(f"norm_policy: expected 'pre' for a video encoder, got {self.norm_policy!r}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderPreset:
    """A named size and what its released weights were made for.

    Parameters
    ----------
    config : VideoEncoderConfig
        The sizes.
    num_frames : int
        Frames of a clip.
    image_size : (int, int)
        Height and width of a frame in pixels.
    """

    config: VideoEncoderConfig
    num_frames: int
    image_size: tuple[int, int]


def _official(dim: int, layers: int, heads: int, mlp: int, frames: int) -> EncoderPreset:
    config = VideoEncoderConfig(
        patch_size=18,
        pos_emb_shape=(frames, 16, 16),
        model_dim=dim,
        num_spatial_layers=layers,
        num_temporal_layers=4,
        num_heads=heads,
        mlp_dim=mlp,
    )
    return EncoderPreset(config=config, num_frames=frames, image_size=(288, 288))


PRESETS: dict[str, EncoderPreset] = {
    "tiny": EncoderPreset(
        config=VideoEncoderConfig(
            patch_size=12,
            pos_emb_shape=(8, 8, 8),
            model_dim=192,
            num_spatial_layers=5,
            num_temporal_layers=4,
            num_heads=3,
            mlp_dim=768,
        ),
        num_frames=8,
        image_size=(96, 96),
    ),
    "base": _official(768, 12, 12, 3072, 16),
    "large": _official(1024, 24, 16, 4096, 8),
    "giant": _official(1408, 40, 16, 6144, 8),
}


def preset(name: str) -> EncoderPreset:
    """Look up a named size.

    Parameters
    ----------
    name : str
        ``tiny``, ``base``, ``large`` or ``giant``, with or without ``videoprism-`` in front.

    Returns
    -------
    EncoderPreset

    Raises
    ------
    ValueError
        If there is no such size.

    Examples
    --------
    >>> preset("videoprism-base").image_size
    (288, 288)
    """
    found = PRESETS.get(name.removeprefix("videoprism-"))
    if found is None:
        raise ValueError(f"encoder: expected one of {sorted(PRESETS)} or a weights file, got {name!r}")
    return found
