"""VideoPrism's video encoder in PyTorch, usable alone: torch, numpy and safetensors are all it needs.

Importing this package does not load torch; names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attention import attend
    from .checkpoints import load_model, load_weights, save_encoder
    from .classifier import VideoClassifier, VideoClassifierOutput
    from .config import PRESETS, EncoderPreset, VideoClassifierConfig, VideoEncoderConfig, VideoTextConfig, preset
    from .hub import RELEASES, fetch_weights, find_release, weights_dir
    from .layouts import export
    from .loading import LoadedEncoder, compile_layers, hash_parameters, load_encoder
    from .model import EncoderFeatures, VideoEncoder
    from .preprocess import preprocess_frames
    from .tokenizer import Tokenizer, canonicalize, fill_templates
    from .video_text import VideoTextModel, VideoTextOutput
    from .windows import EncodedFrames, encode_windows

_HOME_OF = {
    "attend": "attention",
    "load_model": "checkpoints",
    "load_weights": "checkpoints",
    "save_encoder": "checkpoints",
    "VideoClassifier": "classifier",
    "VideoClassifierOutput": "classifier",
    "PRESETS": "config",
    "EncoderPreset": "config",
    "VideoClassifierConfig": "config",
    "VideoEncoderConfig": "config",
    "VideoTextConfig": "config",
    "preset": "config",
    "RELEASES": "hub",
    "fetch_weights": "hub",
    "find_release": "hub",
    "weights_dir": "hub",
    "export": "layouts",
    "LoadedEncoder": "loading",
    "compile_layers": "loading",
    "hash_parameters": "loading",
    "load_encoder": "loading",
    "EncoderFeatures": "model",
    "VideoEncoder": "model",
    "preprocess_frames": "preprocess",
    "Tokenizer": "tokenizer",
    "canonicalize": "tokenizer",
    "fill_templates": "tokenizer",
    "VideoTextModel": "video_text",
    "VideoTextOutput": "video_text",
    "EncodedFrames": "windows",
    "encode_windows": "windows",
}

__all__ = [
    "EncodedFrames",
    "EncoderFeatures",
    "EncoderPreset",
    "LoadedEncoder",
    "PRESETS",
    "RELEASES",
    "Tokenizer",
    "VideoClassifier",
    "VideoClassifierConfig",
    "VideoClassifierOutput",
    "VideoEncoder",
    "VideoEncoderConfig",
    "VideoTextConfig",
    "VideoTextModel",
    "VideoTextOutput",
    "attend",
    "canonicalize",
    "compile_layers",
    "encode_windows",
    "export",
    "fetch_weights",
    "fill_templates",
    "find_release",
    "hash_parameters",
    "load_encoder",
    "load_model",
    "load_weights",
    "preprocess_frames",
    "preset",
    "save_encoder",
    "weights_dir",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
