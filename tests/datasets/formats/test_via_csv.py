from __future__ import annotations

import pytest
from hypothesis import given
from label_files import check_damaged, check_refused, damages

from behavior_prism.datasets import load_annotations
from behavior_prism.datasets.formats.hub import recognise_format

SEGMENTS = """# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# CSV_HEADER = metadata_id,file_list,temporal_segment_start,temporal_segment_end,metadata
"1_a","[""C:\\\\data\\\\m 1.mp4""]",1.124,5.25,"{""TEMPORAL-SEGMENTS"":""walk""}"
"1_b","[""C:\\\\data\\\\m 1.mp4""]",6,7,"{""TEMPORAL-SEGMENTS"":""default""}"
"2_c","[""m2.mp4"",""m2_side.mp4""]",0,2,"{""TEMPORAL-SEGMENTS"":""rear"",""WALL"":""north""}"
"""
COORDINATES = """# SHAPE_ID = {"RECTANGLE":2}
# ATTRIBUTE = {"1":{"aname":"Behaviour","options":{"0":"walk","1":"rear"}},"2":{"aname":"Note","options":{}}}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_a","[""m1.mp4""]",0,"[1.124,5.25]","[]","{""1"":""0"",""2"":""near""}"
"1_b","[""m1.mp4""]",0,"[4.633]","[]","{""1"":""1""}"
"1_c","[""m1.mp4""]",0,"[2.41]","[2,162,176,639,192]","{""1"":""1""}"
"""


def written(folder, text):
    path = folder / "export.csv"
    path.write_text(text)
    assert recognise_format(path).name == "via"
    return path


def test_segments(tmp_path):
    a = load_annotations(written(tmp_path, SEGMENTS))
    assert a.bouts[["recording", "behavior", "start", "stop", "modifiers"]].values.tolist() == [
        ["m 1", "walk", 1.124, 5.25, ""], ["m2", "rear", 0, 2, "WALL=north"],
    ]  # fmt: skip
    assert a.report.lost == ["1 segments without a behaviour"]
    assert len(a.scored) == 0
    assert load_annotations(tmp_path / "export.csv", recording="m2_side").recordings == ("m 1", "m2_side")


def test_coordinates(tmp_path):
    a = load_annotations(written(tmp_path, COORDINATES))
    assert a.bouts[["behavior", "start", "stop", "modifiers"]].values.tolist() == [
        ["walk", 1.124, 5.25, "Note=near"], ["rear", 4.633, 4.633, ""],
    ]  # fmt: skip
    assert a.ethogram.points == {"rear"}
    assert a.report.lost == ["1 regions in the picture"]


@pytest.mark.parametrize(
    "text, old, new, match",
    [
        (SEGMENTS, ",6,7,", ",7,6,", "expected start < stop"),
        (SEGMENTS, ",1.124,", ",nan,", "line 3: expected seconds from 0 on, got 'nan'"),
        (SEGMENTS, '"{""TEMPORAL-SEGMENTS"":""walk""}"', "walk", "line 3, metadata: expected JSON, got 'walk'"),
        (SEGMENTS, '"{""TEMPORAL-SEGMENTS"":""walk""}"', "[1]", "line 3, metadata: expected values by attribute"),
        (SEGMENTS, "metadata\n", "data\n", "expected VIA's columns of times and metadata"),
        (COORDINATES, "[4.633]", "[1,2,3]", "line 5: expected one or two times"),
        (COORDINATES, "[4.633]", "[NaN]", "line 5, temporal_coordinates: expected numbers, got NaN"),
        (COORDINATES, '""1"":""1""', '""1"":""0""', "'walk' stands as segment and as single time"),
        (COORDINATES, '{"1":{', '{"1":', "line 2: expected JSON"),
    ],
)
def test_refused(tmp_path, text, old, new, match):
    if "7,6" in new:
        text = text.replace("default", "dig")
    check_refused(tmp_path / "m.csv", text.replace(old, new, 1), "via", match)


@given(damages())
def test_damaged_files(tmp_path_factory, damage):
    for text in (SEGMENTS, COORDINATES):
        check_damaged(tmp_path_factory.mktemp("via") / "m.csv", text.encode(), "via", damage)
