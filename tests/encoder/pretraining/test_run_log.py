"""A run's folder: lines, pictures (read back by a library that is not ours), TensorBoard, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from behavior_prism.encoder.pretraining.png import write_png
from behavior_prism.encoder.pretraining.run_log import RunLog, code_version, read_metrics

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 130)])
def test_pictures_are_png(tmp_path, size):
    from PIL import Image

    pixels = torch.randint(0, 256, (*size, 3), dtype=torch.uint8)
    write_png(tmp_path / "a.png", pixels.transpose(0, 1).contiguous().transpose(0, 1))  # in any memory layout
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), pixels.numpy())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("pixels", [torch.zeros(4, 4, 3), torch.zeros(4, 4, dtype=torch.uint8)])
def test_what_is_no_picture(tmp_path, pixels):
    with pytest.raises(ValueError, match=r"picture: expected uint8 of shape \(height, width, 3\), got torch"):
        write_png(tmp_path / "a.png", pixels)


def test_lines(tmp_path):
    with RunLog(tmp_path) as log:
        log.start({"trainer": {"steps": 9}}, step=0, world=2)
        log.write(1, {"loss": 0.5})
        log.write(2, {"loss": float("inf")})
        assert read_metrics(tmp_path)[1] == {"step": 2, "loss": None}  # while it is being written
        log.write(3, {"loss": 0.25})
    with RunLog(tmp_path) as log:
        log.start({"trainer": {"steps": 9}}, step=2, world=1)
        log.write(3, {"loss": 0.125})
    assert [line["loss"] for line in read_metrics(tmp_path)] == [0.5, None, 0.125]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["trainer"] == {"steps": 9}
    assert [(start["step"], start["processes"]) for start in config["starts"]] == [(0, 2), (2, 1)]


def test_a_new_start_drops_all_lines(tmp_path):
    for _ in range(2):
        with RunLog(tmp_path) as log:
            log.start({}, step=0, world=1)
            log.write(5, {"loss": 1.0})
    assert len(read_metrics(tmp_path)) == 1


def test_other_processes_write_nothing(tmp_path):
    with RunLog(tmp_path / "run", active=False) as log:
        log.start({}, step=0, world=2)
        log.write(1, {"loss": 0.5})
        log.state("running", 1, 2)
        log.picture(1, "a", torch.zeros(2, 2, 3, dtype=torch.uint8))
    assert not (tmp_path / "run").exists()


def test_damaged_lines(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: expected a JSON object with a step"):
        read_metrics(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected the folder of a run"):
        read_metrics(tmp_path / "none")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config.json: expected what a trainer writes"):
        RunLog(tmp_path).start({}, step=0, world=1)


def test_code_version():
    version = code_version()
    assert version["torch"] == torch.__version__
    assert version["commit"] is None or len(version["commit"]) == 40


def test_tensorboard(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with RunLog(tmp_path, tensorboard=True) as log:
        log.start({}, step=0, world=1)
        log.write(3, {"loss": 0.5, "note": "no number"})
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 0.5)]


def test_tensorboard_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="tensorboard: expected the package to be installed"):
        RunLog(tmp_path, tensorboard=True)
