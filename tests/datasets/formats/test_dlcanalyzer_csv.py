from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from label_files import check_damaged, check_refused, damages

from behavior_prism.datasets import load_annotations
from behavior_prism.datasets.formats.hub import recognise_format

TEXT = """file;Experimenter;from;to;type;ID;DLCFile
a.json;Ann;0;1;Start_End;E1;vid 1DeepCut_resnet50_x.csv
a.json;Ann;2.5;3;Dip;E1;vid 1DeepCut_resnet50_x.csv
a.json;Ann;3;4.5;Groom;E1;vid 1DeepCut_resnet50_x.csv
a.json;Ann;9;10;Start/End;E1;vid 1DeepCut_resnet50_x.csv
b.json;Bob;2;3;Dip;E1;vid 1DeepCut_resnet50_x.csv
b.json;Bob;0;1;StartEnd;E1;vid 1DeepCut_resnet50_x.csv
b.json;Bob;8;9;StartEnd;E1;vid 1DeepCut_resnet50_x.csv
b.json;Bob;7;8;_DEFAULT;E1;vid 1DeepCut_resnet50_x.csv
b.json;Bob;2;3;Dip;E2;
b.json;Bob;0;1;StartEnd;E2;
"""

OFT = "dlc2action/oft_sample/8_01_A_190507134142.csv"


def test_read(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text(TEXT)
    assert recognise_format(path).name == "dlcanalyzer"
    a = load_annotations(path)
    assert (a.recordings, a.scorers, a.behaviors) == (("E2", "vid 1"), ("Ann", "Bob"), ("Dip", "Groom"))
    assert len(a.bouts) == 4
    # Bob never marked grooming, so that nothing says that he looked for it; in E2 there is one mark alone
    assert a.scored[["recording", "scorer", "behavior", "start", "stop"]].values.tolist() == [
        ["vid 1", "Ann", "", 0, 10], ["vid 1", "Bob", "Dip", 0, 9],
    ]  # fmt: skip
    notes = " ".join(a.report.notes)
    assert "(2 of 3 raters' videos)" in notes
    assert "1 raters' videos have not two marks" in notes
    assert "1 rows of _DEFAULT" in notes
    by_id = load_annotations(path, recording={"E1": np.arange(101) / 10, "E2": np.arange(101) / 10})
    assert by_id.recordings == ("E1", "E2")
    assert by_id.report.unmatched == ()


def test_holes(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text(TEXT)
    a = load_annotations(path, unscored=["Groom"])
    ann = a.scored[a.scored["scorer"] == "Ann"]
    assert ann[["start", "stop"]].values.tolist() == [[0, 3], [4.5, 10]]
    assert a.behaviors == ("Dip",)


@pytest.mark.parametrize(
    "old, new, match",
    [
        (";3;4.5;", ";5;4.5;", "line 4: expected start < stop, got 5 and 4.5"),
        (";3;4.5;", ";nan;4.5;", "line 4: expected seconds from 0 on, got 'nan'"),
        (";Groom;", ";;", "line 4: expected the type of a behaviour"),
        (";from;", ";vom;", r"line 1: expected the columns .*, missing \['from'\]"),
        (";ID;", ";file;", "line 1: expected every column once, got 'file' again"),
        ("E2;\nb", "E2;;;\nb", "line 10: expected 7 cells, got 9"),
    ],
)
def test_refused(tmp_path, old, new, match):
    check_refused(tmp_path / "m.csv", TEXT.replace(old, new), "dlcanalyzer", match)


@given(damages())
def test_damaged_files(tmp_path_factory, damage):
    check_damaged(tmp_path_factory.mktemp("dlca") / "m.csv", TEXT.encode(), "dlcanalyzer", damage)


@pytest.mark.shared
@pytest.mark.parametrize(
    "file, recordings, scorers, bouts, scored",
    [
        (
            "dlcanalyzer/AllEPMLables.csv", 5, 3,
            {"Head Dip": 573, "Grooming": 376, "Protected Stretch": 183, "Rearing": 160, "Unprotected Stretch": 71}, 11,
        ),
        ("dlcanalyzer/AllFSTLables.csv", 10, 4, {"Floating": 804}, 36),
        (OFT, 1, 3, {"Supported": 193, "Unsupported": 195, "Grooming": 14}, 3),
    ],
)  # fmt: skip
def test_real_files(shared_data, file, recordings, scorers, bouts, scored):
    path = shared_data / file
    assert recognise_format(path).name == "dlcanalyzer"
    a = load_annotations(path)
    assert (len(a.recordings), len(a.scorers)) == (recordings, scorers)
    assert a.bouts["behavior"].value_counts().to_dict() == bouts
    assert len(a.scored) == scored


@pytest.mark.shared
def test_three_raters_of_one_video(shared_data):
    a = load_annotations(shared_data / OFT)
    assert a.recordings == ("8_01_A_190507134142",)
    rows = a.bouts.assign(seconds=a.bouts["stop"] - a.bouts["start"]).groupby(["behavior", "scorer"])["seconds"]
    counted = {key: (len(own), round(own.sum())) for key, own in rows}
    assert counted == {
        ("Supported", "Furkan"): (65, 105), ("Supported", "Jin"): (63, 113), ("Supported", "Oliver"): (65, 119),
        ("Unsupported", "Furkan"): (63, 95), ("Unsupported", "Jin"): (62, 107), ("Unsupported", "Oliver"): (70, 107),
        ("Grooming", "Furkan"): (3, 12), ("Grooming", "Jin"): (4, 20), ("Grooming", "Oliver"): (7, 18),
    }  # fmt: skip
    assert a.scored.set_index("scorer")["start"].to_dict() == {"Jin": 2.461, "Furkan": 1.856, "Oliver": 2.231}
