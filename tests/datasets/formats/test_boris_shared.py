"""BORIS' own test projects against BORIS' own exports of them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from boris_cases import BOUTS, told, told_scored

from behavior_prism.datasets import load_annotations, save_annotations
from behavior_prism.datasets.formats.hub import recognise_format

pytestmark = pytest.mark.shared

# file: format, bouts, point events, scored intervals, behaviours
FILES = {
    "otx_import_test.boris": ("boris", 0, 0, 0, 22),
    "test.boris": ("boris", 38, 45, 17, 5),
    "test2.boris": ("boris", 19, 23, 10, 5),
    "test_without_media_files_paths.boris": ("boris", 19, 23, 10, 5),
    "test_with_leading_trailing_spaces_in_modifiers.boris": ("boris", 0, 4, 1, 2),
    "test_export_aggregated_events_test_full_1.tsv": ("boris-aggregated", 10, 8, 3, 2),
    "test_export_events_tabular.csv": ("boris-tabular", 4, 0, 2, 1),
    "test_export_events_tabular.tsv": ("boris-tabular", 4, 0, 2, 1),
    "test_export_events_tabular.xlsx": ("boris-tabular", 4, 0, 2, 1),
}
ALIKE = ("individual", "behavior", "start", "stop", "modifiers")


@pytest.mark.parametrize("file", FILES)
def test_every_file(shared_data, tmp_path, file):
    path = shared_data / "boris" / file
    a = load_annotations(path)
    assert (a.report.format, a.report.bouts, a.report.points, a.report.scored, len(a.behaviors)) == FILES[file]
    save_annotations(a, tmp_path / "again.boris")
    again = load_annotations(tmp_path / "again.boris")
    assert told(again, *BOUTS, "observation") == told(a, *BOUTS, "observation")
    assert told_scored(again) == told_scored(a)
    assert again.ethogram == a.ethogram


def test_every_other_file_is_refused(shared_data):
    others = [p for p in sorted((shared_data / "boris").iterdir()) if p.name not in FILES]
    assert len(others) == 8
    for path in others:  # lists of observations, time budgets, gaze, and rows of events without any header
        with pytest.raises(ValueError, match="known format"):
            load_annotations(path)


def test_nothing_else_is_taken_for_boris(shared_data):
    for path in sorted(shared_data.rglob("*")):
        if path.is_file() and path.parent.name != "boris":
            try:
                found = recognise_format(path).name
            except ValueError:
                continue
            assert not found.startswith("boris"), path


def test_events_of_the_project(shared_data):
    """Every press is in a bout or a point event, or told to be left out."""
    path = shared_data / "boris" / "test.boris"
    observations = json.loads(path.read_text())["observations"]
    a = load_annotations(path)
    for name, fields in observations.items():
        rows = a.bouts[a.bouts["observation"] == name]
        point = rows["behavior"].isin(a.ethogram.points)
        if name == "live not paired":
            assert len(rows) == 0
            assert any(f"{name!r}: 's' of No focal subject at 26.862 has no stop" in line for line in a.report.lost)
        else:
            assert int(point.sum()) + 2 * int((~point).sum()) == len(fields["events"])


def test_aggregated_export_is_the_project(shared_data):
    project = load_annotations(shared_data / "boris" / "test.boris")
    export = load_annotations(shared_data / "boris" / "test_export_aggregated_events_test_full_1.tsv")
    own = project.with_rows(project.bouts[project.bouts["observation"] == "observation #2"], project.scored)
    assert told(own, *ALIKE) == told(export, *ALIKE)
    scored = {row[1:4] + row[5:] for row in told_scored(project) if row[4] == "observation #2"}
    assert {row[1:4] + row[5:] for row in told_scored(export)} == scored


@pytest.mark.parametrize("part", [2, 3, 4])
def test_exports_of_parts_are_rows_of_the_project(shared_data, part):
    """These have rows and no header; the places of the last columns are known."""
    project = load_annotations(shared_data / "boris" / "test.boris").bouts
    known = {
        (o, i, b, round(s, 3), round(e, 3))
        for o, i, b, s, e in zip(
            *(project[c] for c in ("observation", "individual", "behavior", "start", "stop")), strict=True
        )
    }
    path = shared_data / "boris" / f"test_export_aggregated_events_test_full_{part}.tsv"
    rows = list(csv.reader(path.open(newline=""), delimiter="\t"))
    assert rows
    for row in rows:
        individual = "view" if row[-10] == "No focal subject" else row[-10]
        assert (row[0], individual, row[-9], float(row[-5]), float(row[-4])) in known


@pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx"])
def test_tabular_export_is_the_project(shared_data, ending):
    project = load_annotations(shared_data / "boris" / "test.boris")
    export = load_annotations(shared_data / "boris" / f"test_export_events_tabular.{ending}")
    own = project.with_rows(project.bouts[project.bouts["observation"] == "observation #1"], project.scored)
    assert told(own, *ALIKE, "recording", "observation") == told(export, *ALIKE, "recording", "observation")


def test_modifiers_with_spaces_are_those_of_the_export(shared_data):
    a = load_annotations(shared_data / "boris" / "test_with_leading_trailing_spaces_in_modifiers.boris")
    name = "test_export_aggregated_events_test_full_with_trailing_spaces_in_modifiers.tsv"
    rows = csv.reader((shared_data / "boris" / name).open(newline=""), delimiter="\t")
    wanted = sorted((float(row[-5]), "|".join(m.strip() for m in row[-7].split("|"))) for row in rows)
    assert sorted(told(a, "start", "modifiers")) == wanted


def test_time_budget_of_the_project(shared_data):
    project = load_annotations(shared_data / "boris" / "test.boris").bouts
    rows = json.loads((shared_data / "boris" / "test_time_budget1.json").read_text())
    for row in rows:
        own = project[(project["observation"] == "observation #1") & (project["individual"] == row["subject"])]
        own = own[own["behavior"] == row["behavior"]]
        assert (own["stop"] - own["start"]).sum() == pytest.approx(row["duration"])
        assert len(own) == int(row["number"])


def test_placed_on_frames(shared_data):
    edges = {"video_test_25fps_360s": np.arange(9000) / 25}
    a = load_annotations(shared_data / "boris" / "test_export_events_tabular.tsv", recording=edges)
    assert a.in_frames and a.report.snapped <= 0.02 + 1e-9
    assert a.scored["stop_frame"].tolist() == [8999, 8999]
