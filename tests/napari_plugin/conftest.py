"""A small folder laid out like the demo's, and a viewer where there is a screen for it."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numbered_videos import numbered_frames, write_video

from behavior_prism.analysis import save_predictions
from behavior_prism.datasets import Video, annotations_from_intervals, save_annotations

FRAMES, FPS = 60, 25
BEHAVIORS = ("walk", "groom")
TRUE = [(5, 20, "walk"), (20, 40, "groom")]
PREDICTED = [(5, 25, "walk"), (25, 40, "groom")]


@pytest.fixture(scope="session", autouse=True)
def own_napari_settings(tmp_path_factory):
    """Nothing of the developer's napari settings is read or written."""
    patch = pytest.MonkeyPatch()
    patch.setenv("NAPARI_CONFIG", str(tmp_path_factory.mktemp("napari") / "settings.yaml"))
    patch.setenv("NAPARI_ASYNC", "0")
    yield
    patch.undo()


@pytest.fixture
def screen():
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")) and sys.platform == "linux":
        pytest.skip("no screen: neither a display nor Xvfb (with pytest-xvfb) is there")


@pytest.fixture
def viewer(screen, request):
    return request.getfixturevalue("make_napari_viewer")()


@pytest.fixture(scope="session")
def make_predictions():
    """A factory of predictions for a video, as ``analysis.predict`` makes them."""

    def make(video, *, recording, intervals=PREDICTED, individuals=("view",), step=1, **attrs):
        frames = np.arange(0, len(video), step)
        label = np.zeros((len(video), len(individuals), len(BEHAVIORS)), dtype=np.int8)
        for start, stop, behavior in intervals:
            label[start:stop, 0, BEHAVIORS.index(behavior)] = 1
        label = label[frames]
        dims = ("time", "individual", "behavior")
        return xr.Dataset(
            {
                "score": (dims, np.where(label == 1, 0.9, 0.1).astype(np.float32)),
                "label": (dims, label),
                "edge_time": ("edge", video.edges),
            },
            coords={
                "time": video.times[frames],
                "frame": ("time", frames),
                "individual": np.asarray(individuals, dtype=object),
                "behavior": np.asarray(BEHAVIORS, dtype=object),
            },
            attrs={
                "behavior_prism": "predictions",
                "recording": recording,
                "video": str(video.path.resolve()),
                "fps": video.fps,
                "encoder_notice": "",
                "probe": json.dumps({"kind": "linear", "recordings": ["another"]}),
                **attrs,
            },
        )

    return make


@pytest.fixture(scope="session")
def demo_template(tmp_path_factory, make_predictions):
    folder = tmp_path_factory.mktemp("made") / "here"
    recordings, predictions = folder / "recordings", folder / "predictions"
    recordings.mkdir(parents=True)
    predictions.mkdir()
    for name in ("a", "b"):
        path = write_video(recordings / f"{name}.mp4", numbered_frames(FRAMES), fps=FPS)
        truth = annotations_from_intervals(
            TRUE, behaviors=BEHAVIORS, num_frames=50, fps=FPS, recording=name, scorer="anna"
        )
        save_annotations(truth, recordings / f"{name}.bouts.csv")
        with Video(path) as video:
            save_predictions(make_predictions(video, recording=name), predictions / f"{name}.predictions.zarr")
    return folder.rename(folder.with_name("moved"))  # no test finds a video of the template's by its old path


@pytest.fixture
def demo_folder(demo_template, tmp_path):
    """Recordings ``a`` and ``b`` with true labels, and predictions for both; moved since they were made."""
    return Path(shutil.copytree(demo_template, tmp_path / "demo"))
