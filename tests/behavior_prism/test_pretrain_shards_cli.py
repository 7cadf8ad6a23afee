"""`behavior-prism pretrain shards` and `status` as a user calls them; captions and places that are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numbered_videos import numbered_frames, write_video
from typer.testing import CliRunner

from behavior_prism.cli import app
from behavior_prism.datasets.corpora import RecordingCorpus, ShardCorpus, SimulatedCorpus
from behavior_prism.pretrain_sources import (
    CorpusPlace,
    captions_beside,
    open_corpus,
    open_labelled,
    open_recordings,
    read_captions,
)
from behavior_prism.pretrain_status import run_status
from behavior_prism.study import Study

pytestmark = pytest.mark.torch


def run(*args):
    return CliRunner().invoke(app, ["pretrain", *(str(a) for a in args)])


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for k, name in enumerate("abcd"):
        write_video(folder / f"{name}.mp4", numbered_frames(64)[k : k + 60])
    return folder


def test_from_a_folder_to_a_corpus(videos, tmp_path):
    (tmp_path / "captions.csv").write_text(
        "\ufeffrecording;start;stop;caption\r\na;0,0;1;walks\r\na;1;2.4;runs\r\nb;;;a mouse\r\n".replace("0,0", "0.0"),
        encoding="utf-8",
    )
    options = (videos, "--out", tmp_path / "out", "--captions", tmp_path / "captions.csv", "--seconds", 1, "--size", 32)
    dry = run("shards", *options, "--dry-run")
    assert dry.exit_code == 0 and not (tmp_path / "out").exists() and "Would cut" in dry.stdout
    done = run("shards", *options)
    assert done.exit_code == 0, done.output
    corpus = ShardCorpus(tmp_path / "out", num_frames=8)
    texts = [corpus.read(k, 8, np.random.default_rng(0)).captions for k in range(len(corpus))]
    assert texts.count(("walks",)) == 1 and texts.count(("runs",)) == 2 and texts.count(("a mouse",)) == 2
    assert [w for w in texts if not w] and f" {len(texts)} " in done.stdout
    again = run("shards", *options)
    assert again.exit_code == 2 and "is complete" in again.stderr and "Traceback" not in again.output


def test_some_videos_cannot_be_opened(videos, tmp_path):
    (videos / "e.mp4").write_text("no video")
    done = run("shards", videos, "--out", tmp_path / "out")
    assert done.exit_code == 1 and "1 of 5 failed" in done.stderr and "e.mp4" in done.stderr
    assert len(ShardCorpus(tmp_path / "out", num_frames=8)) == 4
    for wrong, reason in (
        ((tmp_path / "none", "--out", tmp_path / "x"), "no such video"),
        ((videos / "e.mp4", "--out", tmp_path / "x"), "at least one recording, got none"),
        ((videos, "--out", tmp_path / "x", "--size", 2), "size: expected at least 16"),
        ((videos, "--out", tmp_path / "x", "--captions", tmp_path / "no.csv"), "no such file; expected a table"),
    ):
        bad = run("shards", *wrong)
        assert bad.exit_code == 2 and reason in " ".join(bad.stderr.split()), bad.output
        assert bad.stderr.strip().count("\n") <= 2 and not (tmp_path / "x").exists()


def test_the_simulators_captions_are_found(tmp_path):
    from behavior_prism.datasets import simulate_recording, write_recording

    write_recording(simulate_recording("fly", seconds=1, size=(32, 32)), tmp_path)
    recordings, files, failed = open_recordings([tmp_path])
    assert failed == [] and list(recordings) == ["sim-fly-0000"]
    told = captions_beside(files)["sim-fly-0000"]
    assert [c.start for c in told] == [0, 8, 16, 24] and not told[0].in_seconds and all(c.caption for c in told)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("recording,caption\na,\n", "line 2: expected a recording and a caption"),
        ("recording,caption,start_frame,stop_frame\na,x,1,b\n", "line 2: expected numbers in start_frame"),
        ("recording,caption,start_frame,stop_frame\na,x,0,inf\n", "line 2: expected numbers in start_frame"),
        ("recording,caption,start,stop\na,x,nan,2\n", "line 2: expected numbers in start and stop"),
        ("recording,caption,start,stop\na,x,1,\n", "line 2: expected both of start and stop"),
        ("name,caption\na,x\n", "recording"),
    ],
)
def test_captions_that_are_refused(tmp_path, text, reason):
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_captions(path)


def test_places_of_corpora(videos, tmp_path):
    options = {"num_frames": 8, "image_size": (48, 48), "rate": 25.0}
    study = Study.create(tmp_path / "study")
    study.add([videos / "a.mp4", videos / "b.mp4"])
    corpus, notes = open_corpus(str(tmp_path / "study"), **options)
    assert isinstance(corpus, RecordingCorpus) and list(corpus.recordings) == ["a", "b"] and notes == []
    assert isinstance(open_corpus(str(videos / "a.mp4"), **options)[0], RecordingCorpus)
    one, _ = open_corpus("simulator:fly", **options)
    assert isinstance(one, SimulatedCorpus) and one.species == "fly" and one.size == 48
    with pytest.raises(ValueError, match="simulator:mouse or simulator:fly"):
        open_corpus("simulator:cat", **options)
    assert run("shards", videos / "a.mp4", "--out", tmp_path / "s", "--seconds", 1).exit_code == 0
    shards, notes = open_corpus(str(tmp_path / "s"), **options)
    assert isinstance(shards, ShardCorpus) and shards.rate == 25.0  # no captions: consecutive frames
    with pytest.raises(ValueError, match="expected clips of at least 61 frames"):
        open_corpus(str(tmp_path / "s"), **{**options, "num_frames": 61})
    assert CorpusPlace.parse("a=b/c") == CorpusPlace(place="a=b/c")
    assert CorpusPlace.parse("c=2") == CorpusPlace(place="c", weight=2.0)
    there = tmp_path / "mice=2"
    there.mkdir()
    assert CorpusPlace.parse(str(there)) == CorpusPlace(place=str(there))
    assert CorpusPlace.parse(f"{there}=3") == CorpusPlace(place=str(there), weight=3.0)


def test_labelled_recordings_are_split_by_recording(videos, tmp_path):
    from behavior_prism.datasets import annotations_from_intervals, save_annotations

    files = []
    for name in "abc":
        labels = annotations_from_intervals(
            [(10, 20, "walk")], behaviors=["walk", "rear"], num_frames=60, fps=25, recording=name
        )
        files.append(tmp_path / f"{name}.bouts.csv")
        save_annotations(labels, files[-1])
    train, test, notes = open_labelled([videos], files, num_frames=4, rate=25, seed=0)
    assert test is not None and any("d: nothing of it was scored" in note for note in notes)
    train_names, test_names = ({c.describe(k).split(":")[0] for k in range(len(c))} for c in (train, test))
    assert len(train_names) == 2 and len(test_names) == 1 and not train_names & test_names
    column = train.behaviors.index("walk")
    assert train.labels[:, column].sum() == 20 and (train.labels >= 0).all()
    _, test, _ = open_labelled([videos], files, num_frames=4, rate=25, held_out=["b"])
    assert test is not None and test.describe(0).startswith("b:")
    train, test, notes = open_labelled([videos / "a.mp4"], files[:1], num_frames=4, rate=25)
    assert test is None and any("nothing is held out" in note for note in notes)
    with pytest.raises(ValueError, match="held_out: expected some of the scored recordings"):
        open_labelled([videos], files, num_frames=4, rate=25, held_out=["d"])
    with pytest.raises(ValueError, match="labels: expected some of the recordings"):
        open_labelled([videos / "d.mp4"], files[:1], num_frames=4, rate=25)


def write_run(folder, state="running", age=0.0, rows=()):
    folder.mkdir()
    when = (datetime.now(UTC) - timedelta(seconds=age)).isoformat(timespec="seconds")
    (folder / "state.json").write_text(json.dumps({"state": state, "step": 20, "steps": 100, "when": when}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_status_of_a_run(tmp_path):
    rows = [
        {"step": 10, "loss": 2.0, "seconds": 2.0, "seconds_waited": 1.0, "skipped": 0},
        {"step": 20, "loss": 1.5, "seconds": 2.0, "seconds_waited": 0.0, "skipped": 0},
        {"step": 20, "retrieval/r1": 0.25},
    ]
    folder = write_run(tmp_path / "run", rows=rows)
    (folder / "failures.jsonl").write_text('{"clip": "x"}\n')
    shown = run("status", folder)
    assert shown.exit_code == 0 and "running, step 20 of 100, about 0:02:40 left, 25% of it" in shown.stdout
    assert (
        "0.25" in shown.stdout and "Judged at step 20" in shown.stdout and "1 clips could not be read" in shown.stderr
    )
    found = json.loads(run("status", folder, "--json", "--last", 1).stdout)
    assert found["rows"] == [{**rows[1], **rows[2]}] and found["columns"] == [
        "step",
        "loss",
        "seconds",
        "seconds_waited",
        "skipped",
    ]
    assert found["scores"] == {"retrieval/r1": 0.25} and found["scored_at"] == 20
    assert run_status(write_run(tmp_path / "old", age=5000)).notes[0].startswith("no sign of life")
    assert run_status(write_run(tmp_path / "done", "finished", age=5000)).notes == []


def test_what_is_no_run(tmp_path):
    assert run("status", tmp_path).exit_code == 2
    (tmp_path / "state.json").write_text("{}")
    bad = run("status", tmp_path)
    assert bad.exit_code == 2 and "expected the state of a run" in " ".join(bad.stderr.split())
