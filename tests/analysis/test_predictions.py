from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from behavior_prism.analysis import (
    LinearProbe,
    on_all_frames,
    open_predictions,
    plot_ethogram,
    predict,
    predictions_to_annotations,
    save_predictions,
)
from behavior_prism.analysis.embedding import compute_embedding, plot_embedding
from behavior_prism.analysis.ethogram import behavior_colors
from behavior_prism.analysis.report import Section, write_report
from behavior_prism.datasets import to_dense

SPEC = {
    "encoder": "tiny",
    "weights": "w",
    "image_size": [96, 96],
    "resize": "squash",
    "length": 8,
    "step": 3,
    "stride": 4,
    "grid": [2, 2],
}


def features(step: int = 3, num_frames: int = 100, stop_frame: int | None = None) -> xr.Dataset:
    frames = np.arange(0, stop_frame or num_frames, step)
    rng = np.random.default_rng(0)
    valid = np.ones((1, len(frames)), bool)
    valid[0, 10:12] = False
    return xr.Dataset(
        {
            "feature": (
                ("individual", "time", "token", "channel"),
                rng.normal(size=(1, len(frames), 4, 3)).astype("f2"),
            ),
            "valid": (("individual", "time"), valid),
            "window_position": ("time", np.zeros(len(frames), np.int16)),
            "edge_time": ("edge", np.arange(num_frames + 1) / 90),
        },
        coords={"individual": np.asarray(["view"], object), "time": frames / 90, "frame": ("time", frames)},
        attrs={
            "recording": "r",
            "video": "r.mp4",
            "fps": 90.0,
            "encoder_notice": "",
            "encoder_trained": 0,
            "key": "k",
            "settings": json.dumps({**SPEC, "step": step, "frames": [0, stop_frame or num_frames]}),
        },
    )


@pytest.fixture
def probe():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, 27))
    y = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)
    card = {
        "kind": "linear",
        "behaviors": ["walk", "rear"],
        "features": SPEC,
        "context": 0,
        "recordings": ["x"],
        "version": "0",
    }
    return LinearProbe(C=1.0).fit(X, y), card


def test_scores_where_features_are_valid(probe):
    out = predict(*probe, features())
    assert out["score"].dims == ("time", "individual", "behavior")
    assert np.isnan(out["score"].values[10:12]).all() and (out["label"].values[10:12] == -1).all()
    rest = np.delete(np.arange(34), [10, 11])
    assert ((out["score"].values[rest] >= 0.5) == out["label"].values[rest]).all()


def test_other_features_are_refused(probe):
    with pytest.raises(ValueError, match="do not fit the probe: step 2 instead of 3"):
        predict(*probe, features(step=2))


def test_sampled_frames_speak_for_their_neighbours(probe):
    out = predict(*probe, features())
    edges = out["edge_time"].values
    dense = on_all_frames(out["label"], edges)
    assert dense.sizes["time"] == 100
    for frame in range(100):
        nearest = int(np.argmin(np.abs(out["frame"].values - frame)))
        assert (dense.values[frame] == out["label"].values[nearest]).all()


def test_outside_the_sampled_part_nothing_is_said(probe):
    part = predict(*probe, features()).isel(time=slice(5, 8))  # frames 15, 18, 21
    dense = on_all_frames(part["label"], part["edge_time"].values).values
    assert (dense[:15] == -1).all() and (dense[24:] == -1).all() and (dense[15:24] != -1).all()


@pytest.mark.parametrize("stop_frame", [10, 2, 1])
def test_nothing_is_said_past_the_part_that_was_asked_for(probe, stop_frame):
    """Sampled are 0, 3, 6 and 9, or only 0: whatever the step, the part ends where it was told to."""
    out = predict(*probe, features(stop_frame=stop_frame))
    assert out.sizes["time"] == (4 if stop_frame == 10 else 1)
    scored = predictions_to_annotations(out).scored
    assert scored["start_frame"].tolist() == [0] and scored["stop_frame"].tolist() == [stop_frame]


def test_a_single_sample_speaks_for_its_step(probe):
    scored = predictions_to_annotations(predict(*probe, features(stop_frame=3))).scored
    assert scored["stop_frame"].tolist() == [3]


def test_bouts_say_what_the_labels_say(probe):
    out = predict(*probe, features())
    annotations = predictions_to_annotations(out)
    again = to_dense(annotations, out["edge_time"].values[:-1], individuals=["view"], scorers=["probe"])
    np.testing.assert_array_equal(again.values[0], on_all_frames(out["label"], out["edge_time"].values).values)
    assert annotations.bouts["score"].between(0.5, 1).all()
    np.testing.assert_allclose(annotations.bouts["start"], annotations.bouts["start_frame"] / 90)


def test_saved_and_opened(probe, tmp_path):
    out = predict(*probe, features())
    save_predictions(out, tmp_path / "r.predictions.zarr")
    again = open_predictions(tmp_path / "r.predictions.zarr")
    xr.testing.assert_equal(again.drop_vars("individual"), out.drop_vars("individual"))
    with pytest.raises(FileExistsError, match="exists already"):
        save_predictions(out, tmp_path / "r.predictions.zarr")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ValueError, match="expected a predictions store"):
        save_predictions(out, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


# -- pictures ----------------------------------------------------------------------------------------------------------


def pixels(figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def count_color(picture: np.ndarray, color: str) -> int:
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(picture.astype(int) - wanted).max(axis=2) < 3).sum())


def test_ethogram_draws_bouts_as_long_as_they_are(probe):
    out = predict(*probe, features())
    label = xr.zeros_like(out["label"])
    label[:17, 0, 0] = 1  # half of the time
    label[:, 0, 1] = 1
    colors = behavior_colors(["walk", "rear"])
    picture = pixels(plot_ethogram(label))
    half, whole = (
        count_color(picture, "#{:02x}{:02x}{:02x}".format(*mixed(colors[b], 0.65))) for b in ("walk", "rear")
    )
    assert whole > 5000 and half / whole == pytest.approx(0.5, abs=0.02)
    both = pixels(plot_ethogram(label, label))
    assert count_color(both, colors["rear"]) > 2000


def mixed(color: str, alpha: float) -> list[int]:
    return [round(255 - alpha * (255 - int(color[i : i + 2], 16))) for i in (1, 3, 5)]


def test_pca_finds_the_axis_of_spread_and_umap_keeps_neighbours():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 0.1, (60, 10)), rng.normal(3, 0.1, (60, 10))])
    for method in ("pca", "umap"):
        points, index = compute_embedding(rows, method=method)
        assert points.shape == (120, 2) and index.tolist() == list(range(120))
        gap = np.linalg.norm(points[:60].mean(0) - points[60:].mean(0))
        assert gap > 3 * max(points[:60].std(0).max(), points[60:].std(0).max())
    assert len(compute_embedding(rows, method="pca", max_rows=50)[0]) == 50
    with pytest.raises(ValueError, match="expected 'pca' or 'umap', got 'tsne'"):
        compute_embedding(rows, method="tsne")
    figure = plot_embedding(points, [("by label", np.repeat(["a", ""], 60), {"a": "#0072B2"})])
    assert count_color(pixels(figure), "#dddddd") > 20


def test_report_is_one_file_and_escapes_what_it_is_given(tmp_path):
    import pandas as pd

    table = pd.DataFrame({"f1": [0.5, np.nan]}, index=["<script>alert(1)</script>", "mean"])
    path = write_report(
        tmp_path / "r.html", "A & B", [Section(title="Scores", table=table)], notices=["<b>careful</b>"]
    )
    text = path.read_text(encoding="utf-8")
    assert "<script>" not in text and "A &amp; B" in text and "&lt;b&gt;careful" in text and "–" in text
    with pytest.raises(FileExistsError, match="exists already"):
        write_report(path, "again", [])
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
