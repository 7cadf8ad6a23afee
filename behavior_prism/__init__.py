"""Animal behaviour from lab video: VideoPrism features once, then classifiers, embeddings and napari.

The front door. Names are loaded on first use, so that ``import behavior_prism`` costs milliseconds and
needs neither torch nor Qt.

Examples
--------
>>> import behavior_prism as bp
>>> bp.WindowSpec(length=8, step=1, stride=4).length
8
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from behavior_prism.analysis import (
        LinearProbe,
        compute_embedding,
        design_matrix,
        evaluate_predictions,
        extract_features,
        load_probe,
        open_features,
        plot_ethogram,
        save_probe,
        write_report,
    )
    from behavior_prism.datasets import (
        Annotations,
        Recording,
        Video,
        WindowSpec,
        load_annotations,
        load_tracks,
        save_annotations,
        simulate_recording,
    )
    from behavior_prism.encoder import VideoEncoder, VideoEncoderConfig, load_encoder
    from behavior_prism.study import Study

_HOMES = {
    "analysis": (
        "LinearProbe",
        "compute_embedding",
        "design_matrix",
        "evaluate_predictions",
        "extract_features",
        "load_probe",
        "open_features",
        "plot_ethogram",
        "save_probe",
        "write_report",
    ),
    "datasets": (
        "Annotations",
        "Recording",
        "Video",
        "WindowSpec",
        "load_annotations",
        "load_tracks",
        "save_annotations",
        "simulate_recording",
    ),
    "encoder": ("VideoEncoder", "VideoEncoderConfig", "load_encoder"),
    "study": ("Study",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Annotations",
    "LinearProbe",
    "Recording",
    "Study",
    "Video",
    "VideoEncoder",
    "VideoEncoderConfig",
    "WindowSpec",
    "__version__",
    "compute_embedding",
    "design_matrix",
    "evaluate_predictions",
    "extract_features",
    "load_annotations",
    "load_encoder",
    "load_probe",
    "load_tracks",
    "open_features",
    "plot_ethogram",
    "save_annotations",
    "save_probe",
    "simulate_recording",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES or name == "napari_plugin":
        return importlib.import_module(f"behavior_prism.{name}")
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"behavior_prism.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'behavior_prism' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_HOMES, "napari_plugin"})
