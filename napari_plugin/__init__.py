"""The window: videos and predictions in napari, with an ethogram whose playhead follows the frame slider.

Importing this package loads neither Qt nor napari; names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dock import EthogramDock
    from .launch import build_viewer, open_viewer
    from .lazy_frames import LazyFrames
    from .reader import read_predictions, read_video

_HOME_OF = {
    "EthogramDock": "dock",
    "LazyFrames": "lazy_frames",
    "build_viewer": "launch",
    "open_viewer": "launch",
    "read_predictions": "reader",
    "read_video": "reader",
}

__all__ = ["EthogramDock", "LazyFrames", "build_viewer", "open_viewer", "read_predictions", "read_video"]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
