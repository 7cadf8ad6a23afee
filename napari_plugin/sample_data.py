"""Sample data: simulated recordings with their true ethogram, rendered while they are watched."""

from __future__ import annotations

import numpy as np

from behavior_prism.datasets import simulate_recording

from .lazy_frames import LazyFrames
from .reader import LayerData, image_layer

SECONDS = 30.0


def simulate_mice() -> list[LayerData]:
    """Two mice in an open field.

    Returns
    -------
    list of (LazyFrames, dict, "image")
        One layer; its true labels are in the metadata.
    """
    return _simulate("mouse", seed=7)


def simulate_flies() -> list[LayerData]:
    """Two flies in a dish.

    Returns
    -------
    list of (LazyFrames, dict, "image")
        One layer; its true labels are in the metadata.
    """
    return _simulate("fly", seed=7)


def _simulate(arena: str, *, seed: int) -> list[LayerData]:
    recording = simulate_recording(arena, seconds=SECONDS, size=(256, 256), seed=seed)
    edges = np.arange(recording.num_frames + 1) / recording.fps
    frames = LazyFrames((recording.num_frames, *recording.size, 3), lambda wanted: (recording.frame(i) for i in wanted))
    metadata = {
        "recording": recording.name,
        "source": f"simulated:{recording.name}",
        "video": None,
        "predictions": None,
        "labels": recording.annotations,
        "times": edges[:-1],
        "edges": edges,
        "fps": recording.fps,
    }
    return [image_layer(frames, metadata)]
