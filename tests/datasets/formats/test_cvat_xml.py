from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import load_annotations
from behavior_prism.datasets.formats.hub import recognise_format


def shape(frame, value="Graze", outside=0, name="Behavior"):
    return (
        f'<box frame="{frame}" outside="{outside}" keyframe="1" occluded="0" xtl="1">'
        f'<attribute name="{name}">{value}</attribute></box>'
    )


def xml(*tracks, values="Walk\nGraze\nOccluded", head=""):
    body = "".join(f'<track id="{k}" label="Zebra">{"".join(shapes)}</track>' for k, shapes in tracks)
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{head}\n<annotations><version>1.1</version><meta><task><name>t|43.mp4'
        "</name><assignee><username>ann</username></assignee><labels><label><name>Zebra</name><attributes><attribute>"
        f"<name>Behavior</name><values>{values}</values></attribute></attributes></label></labels>"
        f"<source>43.mp4</source></task></meta>{body}</annotations>"
    )


def written(folder, text):
    path = folder / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


TEXT = xml((0, [shape(0), shape(1), shape(4, "Walk"), shape(6, outside=1), shape(8), shape(9, "")]), (1, [shape(2)]))


def test_read(tmp_path):
    a = load_annotations(written(tmp_path, TEXT))
    assert (a.report.format, a.recordings, a.scorers) == ("cvat", ("43",), ("ann",))
    assert a.behaviors == ("Walk", "Graze", "Occluded")
    assert a.ethogram.exclusive == (a.behaviors,)
    assert a.bouts[["individual", "behavior", "start_frame", "stop_frame"]].values.tolist() == [
        ["Zebra 0", "Graze", 0, 4], ["Zebra 0", "Walk", 4, 6], ["Zebra 0", "Graze", 8, 9], ["Zebra 1", "Graze", 2, 3],
    ]  # fmt: skip
    assert a.scored[["individual", "start_frame", "stop_frame"]].values.tolist() == [
        ["Zebra 0", 0, 6], ["Zebra 0", 8, 9], ["Zebra 1", 2, 3]]  # fmt: skip
    assert any("the first one holds" in note for note in a.report.notes)


def test_classes_that_mean_not_seen(tmp_path):
    text = xml((0, [shape(0), shape(1, "Occluded"), shape(2)]))
    a = load_annotations(written(tmp_path, text), unscored=["Occluded"])
    assert a.behaviors == ("Walk", "Graze")
    assert a.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 1], [2, 3]]


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (xml((0, [shape(0, "&b;")]), head=LAUGHS), "document type or entities"),
        (xml((0, [shape(0, "&a;")]), head=OUTSIDE), "document type or entities"),
        (xml((0, [shape(0)]), head="<!DOCTYPE annotations>"), "document type or entities"),
        (xml((0, [shape(0), shape(0)])), "every frame once"),
        (xml((0, [shape("-1")])), "number of a frame"),
        (xml((0, [shape("1e3")])), "number of a frame"),
        (xml((0, [shape(9999999999)])), "number of a frame"),
        (xml((0, [shape(0)]), (0, [shape(1)])), "every track once"),
        (xml(), "expected tracks"),
        (xml((0, [shape(0)])).replace("</task>", "</task><task/>"), "2 tasks"),
        ("<annotations>" + "<a>" * 50, "nested too deeply"),
        ("<other/>", "root element"),
    ],
)
def test_bad(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_annotations(written(tmp_path, text), "cvat")
    assert "\n" not in str(caught.value)


@settings(max_examples=100)
@given(st.integers(0, len(TEXT) - 1), st.binary(max_size=4))
def test_damaged_files_are_value_errors(tmp_path_factory, place, junk):
    folder = tmp_path_factory.mktemp("cvat")
    data = TEXT.encode()
    for damaged in (data[:place] or b"<", data[:place] + junk + data[place + len(junk) :]):
        try:
            load_annotations(written(folder, damaged), "cvat")
        except ValueError as error:
            assert "\n" not in str(error)


@pytest.mark.shared
def test_real_file(shared_data):
    path = shared_data / "kabr" / "DJI_0001" / "actions" / "43.xml"
    assert recognise_format(path).name == "cvat"
    a = load_annotations(path)
    assert a.bouts[["behavior", "start_frame", "stop_frame"]].values.tolist() == [["Graze", 0, 91]]
    assert a.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 91]]
    assert (a.recordings, a.individuals, len(a.behaviors)) == (("43",), ("Zebra 0",), 20)
