"""Stages put together and run, from files to files; what goes on after a stop; what is refused, in one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import typer
from image_weights import vit  # tests/support/
from numbered_videos import numbered_frames, write_video
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from behavior_prism.cli import app
from behavior_prism.datasets import Video, annotations_from_intervals, save_annotations
from behavior_prism.datasets.shard_writing import CaptionedInterval, ShardSettings, write_shards
from behavior_prism.datasets.simulate import simulate_captions
from behavior_prism.encoder import VideoClassifier, VideoEncoder, load_encoder, save_encoder
from behavior_prism.encoder.checkpoints import build, load_model
from behavior_prism.encoder.pretraining.image_tower import load_image_tower
from behavior_prism.encoder.pretraining.parallel import find_layout
from behavior_prism.encoder.pretraining.recipes import RECIPES, find_recipe
from behavior_prism.encoder.tokenizer import canonicalize
from behavior_prism.pretrain import PretrainOptions, prepare, resolve_recipe
from behavior_prism.pretrain import _workers as default_workers
from behavior_prism.pretrain_cli import app as pretrain_app
from behavior_prism.pretrain_sources import CorpusPlace

pytestmark = pytest.mark.torch


def run(*args):
    return CliRunner().invoke(app, ["pretrain", *(str(a) for a in args)])


def refused(done, reason):
    text = " ".join(done.stderr.split())
    assert done.exit_code == 2 and reason in text and text.count("error:") == 1, done.output
    assert "Traceback" not in done.output


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A tokenizer, four videos, shards with captions and without, weights of stage 1."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("lab")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([canonicalize(text) for text in simulate_captions(150)]),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=300,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    (folder / "videos").mkdir()
    for k, name in enumerate("abcd"):
        write_video(folder / "videos" / f"{name}.mp4", numbered_frames(64)[k : k + 60])
        labels = annotations_from_intervals(
            [(10 + k, 30, "walk")], behaviors=["walk"], num_frames=60, fps=25, recording=name
        )
        save_annotations(labels, folder / f"{name}.bouts.csv")
    videos = {name: Video(folder / "videos" / f"{name}.mp4") for name in "abcd"}
    captions = {name: [CaptionedInterval(caption="a mouse walks")] for name in "abcd"}
    settings = ShardSettings(seconds=0.4, fps=25, size=48)
    write_shards(videos, folder / "shards", settings, captions=captions)
    write_shards(videos, folder / "silent", settings)
    done = run(*stage_1(folder, folder / "stage1"), "--steps", 4)
    assert done.exit_code == 0, done.output
    return folder


def stage_1(lab, out, corpus="shards"):
    return ("contrastive", "--recipe", "smoke", "--corpus", lab / corpus, "--out", out, "--workers", 0,
            "--device", "cpu", "--tokenizer", lab / "tokenizer.model")  # fmt: skip


def stage_2(lab, out):
    return ("masked", "--recipe", "smoke", "--corpus", lab / "videos", "--out", out, "--workers", 0,
            "--device", "cpu", "--teacher", lab / "stage1" / "weights.safetensors")  # fmt: skip


def test_from_shards_to_weights_that_read_texts(lab):
    out = lab / "stage1"
    loaded = load_encoder(out / "weights.safetensors", device="cpu")
    assert loaded.trained and loaded.encode_text(["a mouse walks"]).shape == (1, 24)
    card = json.loads((out / "weights.json").read_text())
    assert (card["stage"], card["steps"], card["clips"], card["seed"]) == ("contrastive", 4, 32, 0)
    assert card["recipe"]["name"] == "smoke" and card["corpora"] == [["shards", 1.0]] and "commit" in card["code"]
    fresh = build(loaded.video_text.config, empty=False)
    fresh.init_weights(0)
    learned = load_file(out / "weights.safetensors")
    assert any(not torch.equal(value, learned[name]) for name, value in fresh.state_dict().items())


def test_stage_2_and_text_tuning_on_what_stage_1_made(lab, tmp_path):
    silent = run(*stage_2(lab, tmp_path / "two"), "--steps", 3, "--evaluate", lab / "silent")
    assert silent.exit_code == 0 and "held_out/loss" in silent.stdout, silent.output
    assert "held_out/collapse/tokens_std" in silent.stdout
    student = load_model(tmp_path / "two" / "weights.safetensors")
    assert isinstance(student, VideoEncoder)
    tuned = run("text", "--recipe", "smoke", "--corpus", lab / "shards", "--out", tmp_path / "three", "--workers", 0,
                "--device", "cpu", "--stage-1", lab / "stage1" / "weights.safetensors",
                "--encoder", tmp_path / "two" / "weights.safetensors", "--steps", 3)  # fmt: skip
    assert tuned.exit_code == 0, tuned.output
    model = load_encoder(tmp_path / "three" / "weights.safetensors", device="cpu")
    assert model.tokenizer is not None
    for name, value in student.state_dict().items():  # frozen, bit by bit
        assert torch.equal(model.model.state_dict()[name], value), name


def test_labels_judge_the_features_of_any_stage(lab, tmp_path):
    labels = [part for name in "abcd" for part in ("--labels", lab / f"{name}.bouts.csv")]
    done = run(*stage_2(lab, tmp_path / "two"), "--steps", 4, "--eval-every", 2, *labels, "--held-out", "b, c")
    assert done.exit_code == 0 and "held_out/loss" not in done.stdout, done.output
    rows = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    judged = {row["step"]: row for row in rows if "labels/mean_average_precision" in row}
    assert list(judged) == [2, 4] and all(0 < row["labels/average_precision/walk"] <= 1 for row in judged.values())
    # of a recording of two captions and labels: recordings without captions are there for their labels alone
    texts = run(*stage_1(lab, tmp_path / "one"), "--steps", 1, "--batch", 2, "--evaluate", lab / "videos", *labels)
    assert texts.exit_code == 0 and "labels/chance" in texts.stdout and "retrieval" not in texts.stdout, texts.output
    refused(run(*stage_1(lab, tmp_path / "x"), *labels), "labels: expected recordings that they are of (--evaluate)")
    one = [*stage_2(lab, tmp_path / "x"), "--labels", lab / "a.bouts.csv"]
    refused(run(*one), "expected recordings of two groups or more, so that some can be held out")


def test_the_simulator_is_judged_by_its_own_splits(lab, tmp_path):
    out = tmp_path / "simulated"
    done = run(*stage_1(lab, out)[:4], "simulator:fly", *stage_1(lab, out)[5:], "--steps", 1, "--batch", 2)
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    (scores,) = [row for row in rows if any("/" in name for name in row)]
    for split in ("test", "unseen_sentences", "unseen_combinations", "unseen_synonyms"):
        assert 0 <= scores[f"retrieval/{split}/text_to_video_r1"] <= scores[f"retrieval/{split}/text_to_video_r10"]
    assert 0 <= scores["zero_shot/fly/accuracy"] < 0.5 and "zero_shot/mouse/accuracy" not in scores
    assert 0 <= scores["probe/linear_accuracy"] <= 1 and scores["collapse/embeddings_std"] > 0


def test_stage_1_starts_from_an_image_model(lab, tmp_path):
    path = tmp_path / "vit.safetensors"
    save_file({name: value.contiguous() for name, value in vit(depth=1, patch=12).items()}, path)
    given = {"corpora": (CorpusPlace(place=str(lab / "shards")),), "tokenizer": lab / "tokenizer.model", "init": path}
    options = PretrainOptions(**given, image_mean=(0.5, 0.4, 0.3), image_std=(0.5, 0.5, 0.5))
    objective = prepare("contrastive", "smoke", tmp_path / "run", options, find_layout("cpu")).objective
    encoder = objective.learned_model().vision_encoder
    expected = VideoEncoder(encoder.config)
    loaded = load_image_tower(expected, path, mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.5)).loaded
    for name in loaded:
        assert torch.equal(encoder.state_dict()[name], expected.state_dict()[name]), name

    command = (*stage_1(lab, tmp_path / "x"), "--init", path)
    refused(run(*command), "an image model needs --image-mean and --image-std")
    refused(run(*command, "--image-mean", "0.5,0.5,0.5"), "expected both of image_mean and image_std")
    normalised = ("--image-mean", "0.5,0.5,0.5", "--image-std")
    refused(run(*command, *normalised, "half"), "image_std: expected three numbers as 0.5,0.5,0.5, got 'half'")
    refused(run(*command, *normalised, "1,0,1"), "std: expected three finite numbers, those of std above 0")
    refused(run(*stage_1(lab, tmp_path / "x"), *normalised, "1,1,1"), "expected an image model to start from")
    other = (*command[:-1], lab / "stage1" / "weights.safetensors", *normalised, "1,1,1")
    refused(run(*other), "expected an image model in timm's or transformers' layout")
    save_file({name: value.contiguous() for name, value in vit(depth=2, patch=12).items()}, path)
    refused(run(*command, *normalised, "1,1,1"), "expected 1 layers, got 2")


@pytest.mark.slow
def test_adapting_and_finetuning(lab, tmp_path):
    common = ("--corpus", lab / "videos", "--weights", lab / "stage1" / "weights.safetensors", "--workers", 0,
              "--device", "cpu", "--batch", 2, "--chunk", 1, "--steps", 1)  # fmt: skip
    adapted = run("adapt", *common, "--out", tmp_path / "adapted")
    assert adapted.exit_code == 0 and "no held-out clips" in adapted.stderr, adapted.output
    model = load_model(tmp_path / "adapted" / "weights.safetensors")
    assert isinstance(model, VideoEncoder) and model.config.pos_emb_shape == (2, 4, 4)
    labels = [part for name in "abcd" for part in ("--labels", lab / f"{name}.bouts.csv")]
    tuned = run("finetune", *common, *labels, "--held-out", "b", "--out", tmp_path / "tuned")
    assert tuned.exit_code == 0 and "held_out/mean_average_precision" in tuned.stdout, tuned.output
    assert isinstance(load_model(tmp_path / "tuned" / "weights.safetensors"), VideoClassifier)
    refused(run("finetune", *common, "--out", tmp_path / "x"), "labels: expected label files")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_was_stopped_ends_with_the_same_bits(lab, tmp_path, workers):
    """SIGTERM to all processes of a run in the middle, the same command again, against one run from end to end."""
    command = [sys.executable, "-P", "-m", "behavior_prism", "pretrain"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = run(*stage_2(lab, tmp_path / "whole"), "--steps", 24)
    assert whole.exit_code == 0, whole.output
    args = [*command, *(str(a) for a in stage_2(lab, tmp_path / "stopped")), "--steps", "24", "--workers", str(workers)]
    process = subprocess.Popen(
        args, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    metrics, deadline = tmp_path / "stopped" / "metrics.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.is_file() and metrics.read_text().count("\n") >= 3):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and b"the same command goes on" in err, err
    assert not (tmp_path / "stopped" / "weights.safetensors").exists()
    again = run(*stage_2(lab, tmp_path / "stopped"), "--steps", 24)
    assert again.exit_code == 0, again.output
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_worker_that_was_killed_is_told_in_one_line(lab, tmp_path):
    """As the kernel does where memory runs out."""
    args = [*stage_2(lab, tmp_path / "run"), "--steps", 100_000, "--workers", 1]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "behavior_prism", "pretrain", *(str(a) for a in args)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 120
    try:
        while time.monotonic() < deadline and not (metrics.is_file() and metrics.read_text()):
            time.sleep(0.02)
        for worker in subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split():
            os.kill(int(worker), signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 2 and "Traceback" not in err, err
    assert err.count("error:") == 1 and "a process that makes batches was ended from outside" in err, err


def test_a_folder_in_which_another_process_trains_is_refused(lab, tmp_path):
    out = tmp_path / "taken"
    out.mkdir()
    holder = "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, out / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        refused(run(*stage_2(lab, out)), "another process is training in it; wait for that one or stop it")
        other.communicate(b"\n")
    assert not (out / "weights.safetensors").exists()
    (tmp_path / "file").write_text("no folder")
    refused(run(*stage_2(lab, tmp_path / "file")), str(tmp_path / "file"))


def test_dry_run_writes_nothing(lab, tmp_path):
    done = run(*stage_2(lab, tmp_path / "dry"), "--dry-run")
    assert done.exit_code == 0 and "12 x 8 = 96 clips" in done.stdout and not (tmp_path / "dry").exists()


def test_overrides():
    options = PretrainOptions(corpora=(), steps=60, batch=32, seed=5)
    recipe = resolve_recipe("contrastive", "tiny", options)
    assert (recipe.trainer.steps, recipe.trainer.schedule.warmup) == (60, 4)
    assert (recipe.data.batch, recipe.trainer.seed) == (32, 5)
    with pytest.raises(ValueError, match="recipe: expected one of the stage masked, got 'smoke'"):
        resolve_recipe("masked", find_recipe("smoke"), options)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not say which cores a process has")
def test_workers_are_no_more_than_the_cores_of_the_job():
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert default_workers(None, 1) == 0 and default_workers(3, 1) == 3
    finally:
        os.sched_setaffinity(0, cores)


def command_of(name):
    """Stage and options of the one command in a recipe's docstring."""
    (command,) = re.findall(r"``((?:behavior-prism|torchrun) .*?)``", RECIPES[name].__doc__, re.DOTALL)
    words = command.split()
    assert words[0] == "behavior-prism" or "-m behavior_prism pretrain" in " ".join(words)
    return words[words.index("pretrain") + 1], words[words.index("pretrain") + 2 :]


@pytest.mark.parametrize("name", RECIPES)
def test_commands_of_recipes_are_understood(name):
    stage, words = command_of(name)
    given = typer.main.get_command(pretrain_app).commands[stage].make_context(stage, list(words)).params
    assert find_recipe(given["recipe"], stage).name == name and given["corpus"]
    needed = {"masked": ["teacher"], "text": ["stage_1"], "adapt": ["weights"], "finetune": ["weights", "labels"]}
    assert all(given[role] for role in needed.get(stage, []))
    if stage == "contrastive" and given["corpus"] != ["simulator"]:
        assert given["tokenizer"]  # of no other corpus one is trained


@pytest.mark.parametrize("name", ["smoke", "smoke_masked", "smoke_text", "tiny_images", "lab_adapt", "lab_finetune"])
def test_commands_of_recipes_would_run(name, lab):
    stage, words = command_of(name)
    here = {"WEIGHTS": "stage1/weights.safetensors", "STUDY": "videos", "LABELS": "a.bouts.csv", "run": "nothing"}
    args = [lab / here[word] if word in here else word for word in words]
    tokenizer = ("--tokenizer", lab / "tokenizer.model") if stage == "contrastive" else ()
    done = run(stage, *args, *tokenizer, "--device", "cpu", "--dry-run")
    assert done.exit_code == 0 and name in done.stdout, done.output
    assert not (lab / "nothing").exists()


def test_resuming_with_another_recipe_is_refused(lab):
    out = lab / "stage1"
    before = (out / "weights.safetensors").read_bytes()
    refused(run(*stage_1(lab, out), "--steps", 5), "expected the settings of the run that is there")
    refused(run(*stage_2(lab, out)), "expected the settings of the run that is there")
    refused(run(*stage_1(lab, out, "videos"), "--steps", 4), "expected a caption for every clip")
    other = shutil.copyfile(lab / "tokenizer.model", lab / "other.model")
    with other.open("ab") as file:
        file.write(b"\x2a\x00")  # an empty field: still a model, of the same size
    refused(run(*stage_1(lab, out)[:-1], other, "--steps", 4), "expected the tokenizer that the run was begun with")
    assert (out / "weights.safetensors").read_bytes() == before
    shutil.copyfile(lab / "tokenizer.model", other)
    assert run(*stage_1(lab, out)[:-1], other, "--steps", 4).exit_code == 0  # another name for the same one


def test_corpora_that_are_refused(lab, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(run(*stage_1(lab, tmp_path / "x", tmp_path / "empty")), "empty")
    refused(run(*stage_1(lab, tmp_path / "x", tmp_path / "nowhere")), "nowhere")
    refused(run(*stage_1(lab, tmp_path / "x", "silent")), "expected a caption for every clip")
    (tmp_path / "cut").mkdir()
    shard = next((lab / "shards").glob("*.tar"))
    (tmp_path / "cut" / "0.tar").write_bytes(shard.read_bytes()[:3000])
    refused(run(*stage_1(lab, tmp_path / "x", tmp_path / "cut")), "0.tar: corrupt")
    write_video(tmp_path / "one.mp4", numbered_frames(1))
    refused(run(*stage_2(lab, tmp_path / "x")[:4], tmp_path / "one.mp4", *stage_2(lab, tmp_path / "x")[5:]),
            "expected a stretch of at least 2 frames")  # fmt: skip
    refused(run(*stage_1(lab, tmp_path / "x"), "--batch", 500), "take a smaller batch")
    assert not (tmp_path / "x" / "weights.safetensors").exists()


def test_teachers_that_are_refused(lab, tmp_path):
    def with_teacher(path):
        return run(*stage_2(lab, tmp_path / "x")[:-1], path)

    refused(run(*stage_2(lab, tmp_path / "x")[:-2]), "teacher: expected a weights file")
    refused(with_teacher(tmp_path / "none.safetensors"), "no such file")
    (tmp_path / "noise.safetensors").write_bytes(np.random.default_rng(0).bytes(300))
    refused(with_teacher(tmp_path / "noise.safetensors"), "expected a .safetensors file")
    stage_1_model = load_model(lab / "stage1" / "weights.safetensors")
    save_encoder(tmp_path / "random.safetensors", stage_1_model, trained=False)
    refused(with_teacher(tmp_path / "random.safetensors"), "expected weights that were learned, got random ones")
    sizes = stage_1_model.config.video
    other = VideoEncoder(type(sizes)(**{**{f: getattr(sizes, f) for f in sizes.__slots__}, "patch_size": 6}))
    save_encoder(tmp_path / "other.safetensors", other, trained=True)
    refused(with_teacher(tmp_path / "other.safetensors"), "teacher: expected patches of 12 pixels")


def test_a_tokenizer_is_needed(lab, tmp_path):
    refused(run(*stage_1(lab, tmp_path / "x")[:-2]), "tokenizer: expected a SentencePiece model")
