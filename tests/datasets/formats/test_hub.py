"""The door for labels, over all formats at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from behavior_prism.datasets import (
    Annotations,
    empty_table,
    label_formats,
    load_annotations,
    recognise_format,
    save_annotations,
    score_whole,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"
FRAMES, FPS = 300, 25.0
EDGES = np.arange(FRAMES + 1) / FPS
WRITTEN = [f for f in label_formats() if f.writes]


def some_labels() -> Annotations:
    """One animal, two behaviours that exclude each other, scored from end to end: every format can hold it."""
    table = empty_table(
        recording=["m1"] * 3,
        behavior=["groom", "rear", "groom"],
        scorer=["ann"] * 3,
        start_frame=[10, 100, 200],
        stop_frame=[60, 150, 300],
        start=EDGES[[10, 100, 200]],
        stop=EDGES[[60, 150, 300]],
    )
    rows = Annotations(bouts=table, scored=empty_table(), behaviors=("groom", "rear"))
    return score_whole(rows, recording="m1", edges=EDGES)


@pytest.mark.parametrize("stated", WRITTEN, ids=lambda f: f.name)
def test_what_is_written_is_recognised_and_says_the_same(stated, tmp_path):
    path, labels = tmp_path / f"m1{stated.suffixes[0]}", some_labels()
    if stated.name == "jaaba-scores":
        labels = labels.select(behavior="groom")  # a file holds one behaviour
    onto = None
    if stated.name.startswith("simba"):
        onto = tmp_path / "features.csv"
        rng = np.random.default_rng(0)
        pd.DataFrame(rng.random((FRAMES, 4)), columns=["nose_x", "nose_y", "nose_p", "speed"]).to_csv(onto)
    report = save_annotations(labels, path, stated.name, recording={"m1": EDGES}, onto=onto)
    assert report.bouts == len(labels.bouts) and report.format == stated.name
    assert [p.name for p in tmp_path.iterdir() if p != onto] == [path.name]  # nothing temporary is left
    assert recognise_format(path).name == stated.name
    again = load_annotations(path, recording={"m1": EDGES}).select(behavior=labels.behaviors)
    columns = ["recording", "behavior", "start_frame", "stop_frame"]
    assert again.bouts.sort_values("start_frame")[columns].values.tolist() == labels.bouts[columns].values.tolist()
    np.testing.assert_allclose(again.bouts.sort_values("start")["stop"], labels.bouts["stop"])


@pytest.mark.parametrize("stated", WRITTEN, ids=lambda f: f.name)
def test_an_existing_file_and_a_half_written_one_are_safe(stated, tmp_path):
    path = tmp_path / f"m1{stated.suffixes[0]}"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        save_annotations(some_labels(), path, stated.name, recording={"m1": EDGES})
    assert path.read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_every_name_is_there_once_and_says_all():
    names = [f.name for f in label_formats()]
    assert len(set(names)) == len(names) >= 20
    assert all(f.suffixes and f.unlabelled and f.title for f in label_formats())


def test_no_real_file_is_claimed_twice():
    if not SHARED.exists():
        pytest.skip(f"{SHARED.name} is not here")
    endings = {".csv", ".tsv", ".json", ".annot", ".txt", ".mat", ".xml", ".boris", ".xlsx", ".slp", ".h5", ".npy"}
    files = [p for p in SHARED.rglob("*") if p.suffix.lower() in endings and p.is_file()]
    claimed: dict[str, int] = {}
    for path in files:
        try:
            name = recognise_format(path).name
        except ValueError as error:
            assert "could be" not in str(error), error
            continue
        claimed[name] = claimed.get(name, 0) + 1
    assert claimed["jabs"] == 95 and claimed["caltech"] == 43 and claimed["behaviordepot"] == 6, claimed


def test_the_format_can_be_named_against_the_ending(tmp_path):
    with pytest.raises(ValueError, match=r"name the format, one of \["):
        save_annotations(some_labels(), tmp_path / "labels.xyz")
    with pytest.raises(ValueError, match="unknown label format 'word'"):
        save_annotations(some_labels(), tmp_path / "a.csv", "word")
    with pytest.raises(ValueError, match="can be read, not written"):
        save_annotations(some_labels(), tmp_path / "a.csv", "cvat")


def test_the_ending_names_the_format(tmp_path):
    def by(name):
        return save_annotations(some_labels(), tmp_path / name, recording={"m1": EDGES}).format

    assert by("m1.csv") == by("m1.bouts.csv") == by("x_m1.bouts.tsv") == "bouts"
    assert by("m1_labels.csv") == "onehot"
    assert by("m1.boris") == "boris" and by("m1_annot.txt") == "caltech"


def test_a_folder_takes_one_file_per_recording(tmp_path):
    a = some_labels()
    b = a.with_rows(*(t.assign(recording="../up") for t in (a.bouts, a.scored)))
    both = a.with_rows(pd.concat([a.bouts, b.bouts]), pd.concat([a.scored, b.scored]))
    folder = tmp_path / "out"
    folder.mkdir()
    save_annotations(both, folder, "caltech", recording={"m1": EDGES, "../up": EDGES})
    assert sorted(p.name for p in folder.iterdir()) == ["_up_annot.txt", "m1_annot.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]  # no name leads out of it
    with pytest.raises(ValueError, match="a folder that exists"):
        save_annotations(both, tmp_path / "one.annot", "caltech", recording={"m1": EDGES, "../up": EDGES})
