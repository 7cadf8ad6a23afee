"""Sizes of the VideoPrism models: video encoder, video-text model, classifier.

Field names are the argument names of the official code, so that its configurations carry over unchanged.
Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). ``tiny`` and ``lvt-tiny`` are ours, for laptops and tests.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar


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

    _counts: ClassVar[tuple[str, ...]] = (
        "patch_size",
        "model_dim",
        "num_spatial_layers",
        "num_temporal_layers",
        "num_heads",
        "mlp_dim",
    )
    _norm_policies: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        if isinstance(self.pos_emb_shape, list):  # as JSON gives it
            object.__setattr__(self, "pos_emb_shape", tuple(self.pos_emb_shape))
        shape = self.pos_emb_shape
        if not isinstance(shape, tuple) or len(shape) != 3 or not all(_is_whole(n) and n > 0 for n in shape):
            raise ValueError(f"pos_emb_shape: expected three positive numbers, got {shape!r}")
        for name in self._counts:
            value = getattr(self, name)
            if not _is_whole(value):
                raise ValueError(f"{name}: expected a whole number, got {value!r}")
            if value < 1:
                raise ValueError(f"{name}: expected a positive number, got {value}")
        if self.model_dim % self.num_heads:
            raise ValueError(f"model_dim ({self.model_dim}) must be divisible by num_heads ({self.num_heads})")
        if not 0 <= self.atten_logit_cap < math.inf:  # false for NaN too
            raise ValueError(f"atten_logit_cap: expected a finite number of at least 0, got {self.atten_logit_cap}")
        if self.norm_policy not in self._norm_policies:
            expected = " or ".join(repr(p) for p in self._norm_policies)
            raise ValueError(f"norm_policy: expected {expected}, got {self.norm_policy!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoTextConfig(VideoEncoderConfig):
    """Sizes of a video-text model (LvT): those of its video encoder and of its text tower.

    The text tower shares ``model_dim``, ``num_heads`` and ``atten_logit_cap``; its feed-forward layers are
    ``4 * model_dim`` wide whatever ``mlp_dim`` says, as in the official code.

    Parameters
    ----------
    patch_size, pos_emb_shape, model_dim, num_spatial_layers, num_temporal_layers, num_heads, mlp_dim, atten_logit_cap
        As in :class:`VideoEncoderConfig`.
    num_auxiliary_layers : int
        Layers over all tokens of a clip, between the encoder and the pooler; may be 0.
    vocabulary_size : int
        Kinds of text tokens.
    num_unimodal_layers : int
        Depth of the text tower.
    enable_causal_atten : bool
        Always True: a text token sees only those before it. Kept as a field because official configurations have it.
    norm_policy : {"pre", "primer_hybrid"}
        Of the **text tower** (``primer_hybrid`` in the giant model); the video side is always ``pre``.

    Raises
    ------
    ValueError
        If a size is not positive or sizes do not fit together.

    Examples
    --------
    >>> preset("lvt-base").config.vocabulary_size
    32000
    """

    num_auxiliary_layers: int
    vocabulary_size: int
    num_unimodal_layers: int
    enable_causal_atten: bool = True

    _norm_policies: ClassVar[tuple[str, ...]] = ("pre", "primer_hybrid")

    def __post_init__(self) -> None:
        VideoEncoderConfig.__post_init__(self)  # super() does not work in a dataclass with slots
        for name, least in (("num_auxiliary_layers", 0), ("vocabulary_size", 1), ("num_unimodal_layers", 1)):
            value = getattr(self, name)
            if not _is_whole(value) or value < least:
                raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
        if self.enable_causal_atten is not True:
            raise ValueError(f"enable_causal_atten: expected True, got {self.enable_causal_atten!r}")

    @property
    def video(self) -> VideoEncoderConfig:
        """Sizes of the video encoder inside."""
        return _encoder_part(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoClassifierConfig(VideoEncoderConfig):
    """Sizes of a video classifier: those of its encoder and the number of classes.

    Parameters
    ----------
    patch_size, pos_emb_shape, model_dim, num_spatial_layers, num_temporal_layers, num_heads, mlp_dim, atten_logit_cap
        As in :class:`VideoEncoderConfig`.
    norm_policy : {"pre"}
        As in :class:`VideoEncoderConfig`.
    num_classes : int
        Outputs.

    Raises
    ------
    ValueError
        If a size is not positive or sizes do not fit together.
    """

    num_classes: int

    def __post_init__(self) -> None:
        VideoEncoderConfig.__post_init__(self)
        if not _is_whole(self.num_classes) or self.num_classes < 1:
            raise ValueError(f"num_classes: expected a whole number of at least 1, got {self.num_classes!r}")

    @property
    def video(self) -> VideoEncoderConfig:
        """Sizes of the video encoder inside."""
        return _encoder_part(self)


def _encoder_part(config: VideoEncoderConfig) -> VideoEncoderConfig:
    names = [field.name for field in dataclasses.fields(VideoEncoderConfig)]
    values = {name: getattr(config, name) for name in names if name != "norm_policy"}
    return VideoEncoderConfig(**values)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderPreset:
    """A named size and what its released weights were made for.

    Parameters
    ----------
    config : VideoEncoderConfig or VideoTextConfig
        The sizes; a :class:`VideoTextConfig` for the ``lvt-`` models.
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


def _with_text(
    video: EncoderPreset, vocabulary: int, text_layers: int, norm_policy: str = "pre", auxiliary_layers: int = 2
) -> EncoderPreset:
    values = {field.name: getattr(video.config, field.name) for field in dataclasses.fields(VideoEncoderConfig)}
    config = VideoTextConfig(
        **{**values, "norm_policy": norm_policy},
        num_auxiliary_layers=auxiliary_layers,
        vocabulary_size=vocabulary,
        num_unimodal_layers=text_layers,
    )
    return EncoderPreset(config=config, num_frames=video.num_frames, image_size=video.image_size)


_TINY = EncoderPreset(
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
)
_BASE = _official(768, 12, 12, 3072, 16)
_LARGE = _official(1024, 24, 16, 4096, 8)
_GIANT = _official(1408, 40, 16, 6144, 8)
PRESETS: dict[str, EncoderPreset] = {
    "tiny": _TINY,
    "base": _BASE,
    "large": _LARGE,
    "giant": _GIANT,
    # a shallow text tower of few pieces, and nothing between encoder and pooler: in float16 it stays below 12 MB
    "lvt-tiny": _with_text(_TINY, 1000, 2, auxiliary_layers=0),
    "lvt-base": _with_text(_BASE, 32_000, 12),
    "lvt-large": _with_text(_LARGE, 32_000, 12),
    "lvt-giant": _with_text(_GIANT, 32_000, 16, "primer_hybrid"),
}


def preset(name: str) -> EncoderPreset:
    """Look up a named size.

    Parameters
    ----------
    name : str
        ``tiny``, ``base``, ``large``, ``giant``, or one of these behind ``lvt-`` for the video-text model, with or
        without ``videoprism-`` in front.

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
