"""`behavior-prism weights`: list, fetch, convert, verify, as a user calls them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from behavior_prism import simulate_recording  # noqa: E402
from behavior_prism.cli import app  # noqa: E402
from behavior_prism.datasets import write_recording  # noqa: E402
from behavior_prism.encoder import RELEASES, VideoEncoder, export, load_encoder, preset  # noqa: E402
from behavior_prism.weights import compare_precisions, list_weights  # noqa: E402

pytestmark = pytest.mark.torch


def run(*args):
    return CliRunner().invoke(app, ["weights", *map(str, args)])


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    model = VideoEncoder(preset("tiny").config)
    model.init_weights(5)
    path = tmp_path_factory.mktemp("weights") / "flax_tiny.npz"
    np.savez(path, **export(model, "flax"))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    recording = simulate_recording("mouse", seconds=1, size=(96, 96), num_animals=1)
    return write_recording(recording, tmp_path_factory.mktemp("video"))["video"]


def test_list_says_what_was_released_and_what_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("BEHAVIOR_PRISM_WEIGHTS", str(tmp_path))
    assert set(list_weights().here) == {"no"}
    here = tmp_path / RELEASES["base"].key
    here.parent.mkdir(parents=True)
    here.touch()
    table = list_weights().set_index("name")
    assert table.here.to_dict().pop("base") == "yes" and (table.here == "yes").sum() == 1
    done = run("list")
    assert done.exit_code == 0
    assert "google/videoprism-lvt-large-f8r288" in done.output and "114.4 M" in done.output


def test_convert_keeps_the_weights_and_brings_the_tokenizer(npz, tmp_path):
    (npz.parent / "sentencepiece.model").write_bytes(b"pieces")
    out = tmp_path / "mice.safetensors"
    assert run("convert", npz, out).exit_code == 0
    assert load_encoder(out, device="cpu").weights_id == load_encoder(npz, device="cpu").weights_id
    assert (tmp_path / "tokenizer.model").read_bytes() == b"pieces"
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    (elsewhere / "tokenizer.model").write_bytes(b"of other weights")
    refused = run("convert", npz, elsewhere / "mice.safetensors")
    assert refused.exit_code == 2 and "tokenizer of other weights" in refused.output
    assert [p.name for p in elsewhere.iterdir()] == ["tokenizer.model"]
    assert run("convert", npz, tmp_path / "random.safetensors", "--untrained").exit_code == 0
    assert not load_encoder(tmp_path / "random.safetensors", device="cpu").trained
    again = run("convert", npz, out)
    assert again.exit_code == 2 and "exists already" in again.output
    assert run("convert", npz, out, "--overwrite").exit_code == 0
    missing = run("convert", tmp_path / "none.npz", tmp_path / "x.safetensors")
    assert missing.exit_code == 2 and "no such file" in missing.output and not (tmp_path / "x.safetensors").exists()


def test_verify_tells_a_good_file_from_a_bad_one(npz, tmp_path):
    good = run("verify", npz)
    assert good.exit_code == 0 and "tiny (trained)" in good.output
    with np.load(npz) as file:
        arrays = dict(file)
    arrays["params/spatial_ln/bias"][3] = np.nan
    np.savez(tmp_path / "bad.npz", **arrays)
    bad = run("verify", tmp_path / "bad.npz")
    assert bad.exit_code == 2 and "params/spatial_ln/bias: holds values that are not finite" in bad.output


def test_precisions_are_measured_on_own_frames(npz, video):
    table = compare_precisions(npz, video, ["bf16", "int8"], num_clips=2).set_index("precision")
    assert list(table.index) == ["fp32", "bf16", "int8"]
    assert table.cosine_min["fp32"] == pytest.approx(1) and table.relative_error["fp32"] == 0
    for kind in ("bf16", "int8"):
        assert 0.9 < table.cosine_min[kind] <= table.cosine_1_percent[kind] <= table.cosine_mean[kind] < 1
        assert 0 < table.relative_error[kind] < 0.1
    done = run("verify", npz, "--video", video, "--precision", "bf16", "--clips", 1)
    assert done.exit_code == 0 and "bf16" in done.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fetch", "giant"], "giant: expected one of base, large, lvt-base, lvt-large, or OWNER/REPO|no weights were"),
        (["verify", "NPZ", "--precision", "bf16"], "expected both or neither"),
        (["verify", "NPZ", "--precision", "fp4", "--video", "VIDEO"], "expected some of bf16, fp16, int8, got 'fp4'"),
        (["verify", "NPZ", "--precision", "bf16", "--video", "none.mp4"], "none.mp4"),
        (["verify", "huge"], "expected one of"),
    ],
)
def test_bad_input_is_one_line(npz, video, args, message):
    import re

    done = run(*[{"NPZ": npz, "VIDEO": video}.get(a, a) for a in args])
    assert done.exit_code == 2
    assert re.search(message, " ".join(done.output.split())) and "Traceback" not in done.output


def test_random_weights_can_be_asked_for(video, tmp_path, monkeypatch):
    monkeypatch.setenv("BEHAVIOR_PRISM_WEIGHTS", str(tmp_path))
    done = CliRunner().invoke(
        app, ["extract", str(video), "--out", str(tmp_path), "--encoder", "tiny", "--weights", "random", "--dry-run"]
    )
    assert done.exit_code == 0, done.output


def test_clips_are_spread_over_the_recording(npz, video):
    from behavior_prism.weights import read_clips

    loaded = load_encoder(npz, device="cpu")
    clips = read_clips(video, loaded, 3)
    assert clips.shape == (3, 8, 96, 96, 3) and clips.min() >= 0 and clips.max() <= 1
    assert not torch.equal(clips[0], clips[1])


@pytest.mark.slow
def test_a_dry_run_fetches_nothing(video, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("BEHAVIOR_PRISM_WEIGHTS", str(tmp_path))
    args = ["extract", str(video), "--out", str(tmp_path / "x"), "--encoder", "videoprism-base", "--dry-run"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert "untrained" not in done.output and not list(tmp_path.iterdir())
