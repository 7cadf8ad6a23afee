from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from boris_cases import BOUTS, NAMES, annotations_of_a_lab, told, told_scored
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import Annotations, empty_table, load_annotations, save_annotations
from behavior_prism.datasets.formats.hub import recognise_format

AGGREGATED = (
    "Observation id,Observation date,Description,Observation type,Source,Time offset (s),Coding duration,"
    "Media duration (s),FPS (frame/s),observer,Subject,Observation duration by subject by observation,Behavior,"
    "Behavioral category,Modifier #1,Modifier #2,Behavior type,Start (s),Stop (s),Duration (s),Media file name,"
    "Image index start,Image index stop,Image file path start,Image file path stop,Comment start,Comment stop"
)
TABULAR = (
    "Observation id,Observation date,Description,Observation duration,Observation type,Source,Time offset (s),"
    "Media duration (s),FPS,Subject,Behavior,Behavioral category,Modifier #1,Behavior type,Time,Media file name,"
    "Image index,Image file path,Comment"
)


def aggregated(*rows: str) -> str:
    return "\n".join((AGGREGATED, *rows)) + "\n"


def one_row(
    kind="STATE", start="101.000", stop="102.500", coding="30.000", name="walk", subject="No focal subject"
) -> str:
    source = "player #1:C:\\films\\a.mp4;b.mp4|player #2:c.mp4"
    return (
        f"obs,2024-01-01 10:00:00,,Media file,{source},100.0,{coding},10.000;20.000|30.000,25.000;25.000|25.000,Ann,"
        f"{subject},1.5,{name},Not defined,fast,None,{kind},{start},{stop},1.5,a.mp4,25,62,NA,NA,hello,bye"
    )


@pytest.fixture
def read(tmp_path):
    def go(text, name="e.csv", **options):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_annotations(path, **options)

    return go


def test_newer_aggregated(read):
    a = read(aggregated(one_row()))
    assert a.report.format == "boris-aggregated"
    assert told(a, *BOUTS) == [("a", "view", "", "walk", "Ann", 1.0, 2.5, "fast|None", "hello")]
    assert told_scored(a) == [("a", "view", "", "", "Ann", 0.0, 30.0)]
    edges = {"a": np.arange(251) / 25, "b": np.arange(501) / 25}
    both = read(aggregated(one_row(start="109.000", stop="112.000")), recording=edges)
    assert both.bouts[["recording", "start", "stop"]].values.tolist() == [["a", 9.0, 10.0], ["b", 0.0, 2.0]]


def test_a_part_that_was_exported_is_not_taken_for_all(read):
    a = read(aggregated(one_row(coding="12.000")))
    assert len(a.scored) == 0
    assert any("which part of the 30 s was exported is not said" in note for note in a.report.notes)


def test_images_have_numbers(read):
    row = "o,d,,From pictures,pics; ,0.0,NA,NA,NA,,m1,NA,walk,,,,STATE,NA,NA,NA,NA,3,7,a.jpg,b.jpg,,"
    a = read(aggregated(row))
    assert a.bouts[["recording", "start_frame", "stop_frame"]].values.tolist() == [["o", 2, 6]]


def test_stopped_by_another(read):
    rows = one_row(stop="102.999"), one_row(start="103.000", stop="104.000", name="rear")
    assert read(aggregated(*rows)).bouts["stop"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (one_row(start="103"), "line 2: expected the start before the stop, got 103 and 102.5"),
        (one_row(kind="POINT"), "line 2: expected the start = the stop"),
        (one_row(kind="MAYBE"), "line 2: expected the behaviour type STATE or POINT, got 'MAYBE'"),
        (one_row(start="nan"), "line 2: expected a time in seconds, got 'nan'"),
        (one_row(start="NA"), "line 2: expected a start and a stop, got only one"),
        (one_row(stop="1e99"), "line 2: expected a time in seconds"),
        (one_row(name=" "), "line 2: expected the name of a behaviour"),
        (one_row() + ",more", "line 2: expected 27 cells, got 28"),
        (one_row() + "\n" + one_row(kind="POINT", stop="101.000"), "line 3: 'walk' stands as state and as point"),
    ],
)
def test_wrong_rows_are_named(read, row, message):
    with pytest.raises(ValueError, match="e.csv") as caught:
        read(aggregated(row))
    assert message in str(caught.value)


def press(status: str, time: str, behavior: str = "walk", subject: str = "") -> str:
    return (
        f"obs,2024-01-01,,60.000,Media file(s),player #1:m.mp4,0.0,60.000,25.000,{subject},{behavior},,fast,"
        f"{status},{time},m.mp4,NA,NA,"
    )


def test_newer_tabular(read):
    rows = press("START", "1.0"), press("POINT", "1.5", "jump", "m1"), press("STOP", "3.0")
    a = read("\n".join((TABULAR, *rows)))
    assert a.report.format == "boris-tabular"
    assert told(a, "recording", "individual", "behavior", "start", "stop", "modifiers") == [
        ("m", "m1", "jump", 1.5, 1.5, "fast"), ("m", "view", "walk", 1.0, 3.0, "fast")
    ]  # fmt: skip
    assert a.ethogram.points == {"jump"}
    assert [row[-2:] for row in told_scored(a)] == [(0.0, 60.0)] * 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((press("START", "1"), press("START", "2")), "line 3: 'walk' (fast) of No focal subject starts again"),
        ((press("STOP", "1"),), "line 2: 'walk' (fast) of No focal subject stops without a start"),
        ((press("START", "1"),), "line 2: 'walk' (fast) of No focal subject has no stop"),
        ((press("BEGIN", "1"),), "line 2: expected START, STOP or POINT, got 'BEGIN'"),
        ((press("START", "x"),), "line 2: expected a time in seconds, got 'x'"),
        ((), "expected at least one event below the header"),
    ],
)
def test_wrong_presses_are_named(read, rows, message):
    with pytest.raises(ValueError, match="e.csv") as caught:
        read("\n".join((TABULAR, *rows)) + "\n", format="boris-tabular")
    assert message in str(caught.value)


def test_binary_table(read):
    text = "time\twalk\twalk\tjump\n0.0\t1\t0\t0\n0.5\t0\t1\t2\n1.0\t0\t0\t0\n1.5\t1\t0\t0\n2.0\t1\t0\t1\n"
    a = read(text, "m1_No focal subject.tsv")
    assert a.report.format == "boris-binary"
    assert told(a, "recording", "individual", "behavior", "start", "stop") == [
        ("m1", "view", "jump", 0.5, 0.5), ("m1", "view", "jump", 0.5, 0.5), ("m1", "view", "jump", 2.0, 2.0),
        ("m1", "view", "walk", 0.0, 1.0), ("m1", "view", "walk", 1.5, 2.0),
    ]  # fmt: skip
    assert told_scored(a) == [("m1", "view", "", "", "", 0.0, 2.0)]
    b = read("time,walk\n0,0\n1,1\n2,0\n", "m1_rat.csv", recording={"m1": np.arange(51) / 25})
    assert b.bouts[["recording", "individual", "start_frame"]].values.tolist() == [["m1", "rat", 25]]
    c = read("time,walk,out\n0,0,0\n1,1,1\n2,0,0\n3,0,0\n", unscored=["out"])
    assert [row[-2:] for row in told_scored(c)] == [(0.0, 1.0), (2.0, 3.0)]


@pytest.mark.parametrize("text", ["time,a\n0,0\n1,2.5\n2,0\n", "time,a\n0,0\n1,0\n9,0\n", "time,a\n0,x\n1,0\n2,0\n"])
def test_other_tables_are_no_binary_table(read, text):
    with pytest.raises(ValueError, match="known format"):
        read(text)
    with pytest.raises(ValueError, match=r"expected 0, 1 or a count|expected times at a fixed step"):
        read(text, format="boris-binary")


# -- writing and reading again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx"])
@pytest.mark.parametrize("format", ["boris-aggregated", "boris-tabular"])
@given(annotations_of_a_lab(targets=False))
@settings(max_examples=15)
def test_written_and_read_again(tmp_path_factory, format, ending, annotations):
    path = tmp_path_factory.mktemp("b") / f"e.{ending}"
    save_annotations(annotations, path, format)
    if not len(annotations.bouts):
        return
    assert recognise_format(path).name == format
    again = load_annotations(path)
    assert told(again, *BOUTS) == told(annotations, *BOUTS)
    # what is scored is told, or not there: never more than what was
    kept = set(told_scored(again))
    assert kept <= set(told_scored(annotations))


@given(st.lists(NAMES, min_size=1, max_size=3, unique=True), st.data())
@settings(max_examples=30)
def test_binary_and_back(tmp_path_factory, names, data):
    names = [n for n in names if n != "time"] or ["walk"]
    rows = []
    for name in names:
        edges = sorted(data.draw(st.lists(st.integers(0, 50), max_size=8, unique=True)))
        rows += [(name, a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    table = empty_table(
        recording=["m"] * len(rows), behavior=[r[0] for r in rows],
        start=[r[1] / 30 for r in rows], stop=[r[2] / 30 for r in rows],
    )  # fmt: skip
    scored = empty_table(recording=["m"], start=[0.0], stop=[50 / 30])
    path = tmp_path_factory.mktemp("b") / "m_No focal subject.csv"
    save_annotations(Annotations(bouts=table, scored=scored, behaviors=tuple(names)), path, "boris-binary", fps=30)
    again = load_annotations(path, "boris-binary", recording={"m": np.arange(51) / 30})
    found = again.bouts[["behavior", "start_frame", "stop_frame"]].to_numpy().tolist()
    assert sorted(map(tuple, found)) == sorted(rows)
    assert again.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 50]]
    assert again.behaviors == tuple(names)


def test_binary_is_of_one_subject(tmp_path):
    rows = empty_table(recording=["m", "m"], individual=["a", "b"], behavior=["w", "w"], start=[0.0, 1], stop=[1.0, 2])
    with pytest.raises(ValueError, match="of one subject and one scorer"):
        save_annotations(Annotations(bouts=rows, scored=empty_table()), tmp_path / "m.csv", "boris-binary", fps=10)


def test_formulas_stay_text(tmp_path):
    rows = empty_table(recording=["m"], individual=["=1+1"], behavior=["@w"], start=[0.0], stop=[1.0], comment=["-x"])
    for ending in ("csv", "tsv", "xlsx"):
        path = tmp_path / f"e.{ending}"
        save_annotations(Annotations(bouts=rows, scored=empty_table()), path, "boris-aggregated")
        again = load_annotations(path).bouts
        assert again[["individual", "behavior", "comment"]].values.tolist() == [["=1+1", "@w", "-x"]]
    cells = next(r for r in csv.reader(io.StringIO((tmp_path / "e.csv").read_text())) if "'=1+1" in r)
    assert "'@w" in cells


# -- damage ------------------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=100)
def test_any_damage_is_one_clear_line(tmp_path_factory, data):
    texts = {
        "boris-aggregated": aggregated(one_row(), one_row(kind="POINT", stop="101.000", name="jump")),
        "boris-tabular": "\n".join((TABULAR, press("START", "1.0"), press("STOP", "3.0"))),
        "boris-binary": "time,walk\n0,1\n1,0\n2,0\n",
    }
    format, text = data.draw(st.sampled_from(sorted(texts.items())))
    content = text.encode()
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content = content[:at] + data.draw(st.binary(min_size=1, max_size=3)) + content[at + 1 :]
    path = tmp_path_factory.mktemp("b") / "e.csv"
    path.write_bytes(content)
    for name in (format, None):
        try:
            load_annotations(path, name)
        except ValueError as error:
            assert "e.csv" in str(error) and "\n" not in str(error)
