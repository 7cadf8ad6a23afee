"""`behavior-prism labels` as a user calls it."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from numbered_videos import numbered_frames, write_video
from typer.testing import CliRunner

from behavior_prism.cli import app
from behavior_prism.datasets import Journal, label_formats, load_annotations
from behavior_prism.labels import timelines_of


def run(*args):
    return CliRunner().invoke(app, ["labels", *map(str, args)])


@pytest.fixture
def lab(tmp_path):
    """A video of 60 frames at 25 Hz, labels of two scorers in seconds, and a folder for a study."""
    write_video(tmp_path / "m1.mkv", numbered_frames(60))
    (tmp_path / "ann.csv").write_text(
        "kind,recording,behavior,start,stop\n"
        "scored,m1,groom,0,2.4\nscored,m1,rear,0,2.4\nbout,m1,groom,0.2,0.8\nbout,m1,rear,1.001,1.4\n"
    )
    (tmp_path / "bob.csv").write_text(
        "kind,recording,behavior,start,stop\n"
        "scored,m1,groom,0,2.4\nscored,m1,rear,0,2.4\nbout,m1,groom,0.2,1.0\nbout,m1,rear,1.0,1.4\n"
    )
    (tmp_path / "study").mkdir()
    return tmp_path


def test_every_format_is_listed():
    done = run("formats")
    assert done.exit_code == 0
    for stated in label_formats():
        assert stated.name in done.stdout and stated.title in done.stdout


def test_convert_there_and_back(lab):
    done = run("convert", lab / "ann.csv", lab / "out.bouts.csv", "--video", lab / "m1.mkv")
    assert done.exit_code == 0, done.output
    assert "m1: 4 rows placed on its frames" in done.stdout
    assert "moved by at most 1 ms" in done.stdout
    bouts = load_annotations(lab / "out.bouts.csv").bouts
    assert bouts[["behavior", "start_frame", "stop_frame"]].values.tolist() == [["groom", 5, 20], ["rear", 25, 35]]


def test_dry_run_writes_nothing(lab):
    before = sorted(os.listdir(lab))
    assert run("convert", lab / "ann.csv", lab / "out.csv", "--dry-run").exit_code == 0
    assert run("import", lab / "ann.csv", "--into", lab / "study", "--dry-run").exit_code == 0
    assert sorted(os.listdir(lab)) == before and not os.listdir(lab / "study")


def test_dry_run_says_what_is_lost(lab):
    args = ("convert", lab / "ann.csv", lab / "out_annot.txt", "--to", "caltech", "--video", lab / "m1.mkv")
    done = run(*args, "--dry-run")
    assert done.exit_code == 0, done.output
    said = run(*args).stdout.splitlines()
    assert done.stdout.splitlines() == [*said, "  note: nothing was written (dry run)"]
    assert run(*args, "--dry-run").exit_code == 2  # there by now
    wrong = run("convert", lab / "ann.csv", lab / "o.csv", "--to", "word", "--dry-run")
    assert wrong.exit_code == 2 and "unknown label format 'word'" in wrong.stderr
    folder = run("convert", lab / "ann.csv", lab / "study", "--to", "caltech", "--video", lab / "m1.mkv", "--dry-run")
    assert folder.exit_code == 0 and not os.listdir(lab / "study")
    run("import", lab / "ann.csv", "--into", lab / "study", "--video", lab / "m1.mkv")
    told = run("export", lab / "study", lab / "o.csv", "--dry-run", "--json")
    assert json.loads(told.stdout)[0]["bouts"] == 2 and not (lab / "o.csv").exists()


def test_some_names_alone(lab):
    done = run("convert", lab / "ann.csv", lab / "o.csv", "--behavior", "groom")
    assert done.exit_code == 0, done.output
    assert load_annotations(lab / "o.csv").behaviors == ("groom",)
    for option, known in (("--behavior", "groom"), ("--individual", "view"), ("--recording", "m1"), ("--scorer", "")):
        wrong = run("convert", lab / "ann.csv", lab / "p.csv", option, "nobody")
        assert wrong.exit_code == 2 and f"{option}: expected some of" in wrong.stderr and known in wrong.stderr


def test_unscored_name_that_is_not_there(lab):
    assert "nothing in the file is named 'rearr'" in run("show", lab / "ann.csv", "--unscored", "rearr").stdout
    assert "nothing in the file" not in run("show", lab / "ann.csv", "--unscored", "rear").stdout


def test_formats_fit_a_narrow_terminal(monkeypatch):
    from rich.console import Console

    monkeypatch.setattr("behavior_prism.labels_cli.out_console", Console(width=80))
    lines = run("formats").stdout.splitlines()
    for stated in label_formats():
        row = next(line for line in lines if line.startswith(f"│ {stated.name} "))
        assert row.split("│")[2].strip() == ("yes" if stated.writes else "no")


def test_report_for_scripts(lab):
    done = run("convert", lab / "ann.csv", lab / "out.csv", "--fps", 25, "--json")
    read, written = json.loads(done.stdout)
    assert read["bouts"] == written["bouts"] == 2
    assert read["behaviors"] == ["groom", "rear"]


def test_bad_input_is_one_line_and_code_2(lab):
    (lab / "bad.csv").write_text("behavior,start,stop\ngroom,3,x\n")
    (lab / "late.csv").write_text("behavior,start,stop\ngroom,1,9\n")
    for args, said in (
        (("convert", lab / "none.csv", lab / "o.csv"), "no such file"),
        (("convert", lab / "bad.csv", lab / "o.csv"), "line 2: expected stop as seconds, got 'x'"),
        (("convert", lab / "ann.csv", lab / "o.csv", "--to", "word"), "unknown label format 'word'"),
        (("convert", lab / "ann.csv", lab / "bob.csv"), "exists already"),
        (("convert", lab / "late.csv", lab / "o.csv", "--video", lab / "m1.mkv"), "--clip cuts them off"),
        (("show", lab / "ann.csv", "--fps", 25, "--video", lab / "m1.mkv"), "expected one of them, got both"),
        (("show", lab / "ann.csv", "--out", lab / "a.txt"), "expected a picture"),
        (("journal", lab / "study", "--undo"), "expected whose steps"),
        (("journal", lab / "nowhere"), "expected the folder of a study"),
        (("journal", lab / "study", "--undo", "--writer", "ann"), "--writer: expected one of"),
        (("convert", lab / "ann.csv", lab / "no" / "o.csv"), "there is no folder"),
        (("export", lab / "study", lab / "o.csv"), "no labels to write"),
        (("agree", lab / "ann.csv", "--fps", 25), "scorer"),
    ):
        done = run(*args)
        assert done.exit_code == 2, (args, done.output)
        assert said in done.stderr and "Traceback" not in done.output
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (lab / "o.csv").exists()
    clipped = run("convert", lab / "late.csv", lab / "o.csv", "--video", lab / "m1.mkv", "--clip")
    assert clipped.exit_code == 0 and "165 frames outside of the recording cut off" in clipped.stdout
    assert "labels of 'late' taken as those of the one video 'm1'" in clipped.stdout


def test_show_counts_and_draws(lab):
    done = run("show", lab / "ann.csv", lab / "bob.csv", "--video", lab / "m1.mkv", "--out", lab / "a.png")
    assert done.exit_code == 0, done.output
    assert (lab / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "groom" in done.stdout and "0.600" in done.stdout, done.stdout
    assert run("show", lab / "ann.csv", "--out", lab / "a.png").exit_code == 2


def test_into_the_journal_and_out(lab):
    first = run("import", lab / "ann.csv", "--into", lab / "study", "--writer", "ann", "--video", lab / "m1.mkv")
    assert first.exit_code == 0, first.output
    assert "2 bouts taken in, 0 were there already" in first.stdout
    assert "new behaviours: groom, rear" in first.stdout
    again = run("import", lab / "ann.csv", "--into", lab / "study", "--writer", "ann", "--video", lab / "m1.mkv")
    assert "0 bouts taken in, 2 were there already" in again.stdout
    with Journal.open(lab / "study") as journal:
        assert len(journal.annotations().bouts) == 2
    out = run("export", lab / "study", lab / "again.bouts.csv")
    assert out.exit_code == 0, out.output
    there, back = (
        load_annotations(lab / "again.bouts.csv"),
        load_annotations(lab / "ann.csv").bind(timelines_of([lab / "m1.mkv"])),
    )
    columns = ["recording", "behavior", "start_frame", "stop_frame"]
    assert there.bouts[columns].values.tolist() == back.bouts[columns].values.tolist()
    assert run("export", lab / "study", lab / "x.csv", "--scorer", "nobody").exit_code == 2
    undone = run("journal", lab / "study", "--undo", "--writer", "ann")
    assert undone.exit_code == 0 and " 0 bouts" in undone.stdout
    assert " 2 bouts" in run("journal", lab / "study", "--redo", "--writer", "ann").stdout


def test_agreement_by_file(lab):
    done = run("agree", lab / "ann.csv", lab / "bob.csv", "--video", lab / "m1.mkv", "--out", lab / "agreement")
    assert done.exit_code == 0, done.output
    assert "groom: ann and bob, 60 frames scored by both" in done.stdout
    # 15 frames of ann, 20 of bob, 15 in common, 60 in all
    expected = (55 / 60 - (15 * 20 + 45 * 40) / 3600) / (1 - (15 * 20 + 45 * 40) / 3600)
    assert f"kappa {np.round(expected, 3):.3f}" in done.stdout
    assert (lab / "agreement" / "agreement.png").exists() and (lab / "agreement" / "behaviors.csv").exists()
