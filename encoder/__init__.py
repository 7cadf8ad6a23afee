"""VideoPrism's video encoder in PyTorch, usable alone: torch, numpy and safetensors are all it needs.

Importing this package does not load torch; names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoints import load_flax_checkpoint, load_safetensors, save_encoder
    from .config import PRESETS, EncoderPreset, VideoEncoderConfig, preset
    from .loading import LoadedEncoder, hash_parameters, load_encoder
    from .model import EncoderFeatures, VideoEncoder
    from .preprocess import preprocess_frames

_HOME_OF = {
    "load_flax_checkpoint": "checkpoints",
    "load_safetensors": "checkpoints",
    "save_encoder": "checkpoints",
    "PRESETS": "config",
    "EncoderPreset": "config",
    "VideoEncoderConfig": "config",
    "preset": "config",
    "LoadedEncoder": "loading",
    "hash_parameters": "loading",
    "load_encoder": "loading",
    "EncoderFeatures": "model",
    "VideoEncoder": "model",
    "preprocess_frames": "preprocess",
}

__all__ = [
    "EncoderFeatures",
    "EncoderPreset",
    "LoadedEncoder",
    "PRESETS",
    "VideoEncoder",
    "VideoEncoderConfig",
    "hash_parameters",
    "load_encoder",
    "load_flax_checkpoint",
    "load_safetensors",
    "preprocess_frames",
    "preset",
    "save_encoder",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
