"""The parquet form of the bout table: what goes in comes out, all of it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import (
    Annotations,
    Behavior,
    Ethogram,
    empty_table,
    load_annotations,
    recognise_format,
    save_annotations,
)
from behavior_prism.datasets.formats import bout_parquet

few = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
plain = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=6)
names = plain.map(str.strip).filter(bool)
ethograms = st.lists(
    st.builds(
        Behavior, name=names, kind=st.sampled_from(["state", "point"]), color=st.sampled_from(["", "#0072b2"]),
        definition=plain, category=plain, code=st.none() | st.integers(-9, 2**40),
    ),
    min_size=1, max_size=5, unique_by=lambda b: b.name,
).flatmap(
    lambda bs: st.builds(
        Ethogram, st.just(bs),
        st.lists(st.lists(st.sampled_from([b.name for b in bs]), min_size=1, unique=True).map(tuple), max_size=2),
    )
)  # fmt: skip


@st.composite
def annotations(draw):
    ethogram = draw(ethograms)
    tables = []
    for scored in (False, True):
        rows = {c: [] for c in ("recording", "individual", "target", "behavior", "scorer", "start_frame", "stop_frame",
                                "start", "stop", "comment")}  # fmt: skip
        for _ in range(draw(st.integers(0, 4))):
            behavior = draw(st.sampled_from([*ethogram.names, *([""] if scored else [])]))
            point = behavior in ethogram.points and not scored
            first, second = draw(st.integers(0, 10**12)), draw(st.floats(-1e6, 1e6))
            frames = (first, first if point else first + draw(st.integers(1, 99)))
            seconds = (second, second if point else second + draw(st.floats(1e-3, 99)))
            unit = draw(st.integers(0, 2))
            ends = (*(frames if unit else (pd.NA, pd.NA)), *(seconds if unit < 2 else (np.nan, np.nan)))
            values = [*(draw(plain) for _ in range(3)), behavior, draw(plain), *ends, draw(plain)]
            for column, value in zip(rows, values, strict=True):
                rows[column].append(value)
        tables.append(empty_table(**rows))
    return Annotations(bouts=tables[0], scored=tables[1], ethogram=ethogram)


def same(a: Annotations, b: Annotations) -> None:
    pd.testing.assert_frame_equal(a.bouts, b.bouts)
    pd.testing.assert_frame_equal(a.scored, b.scored)
    assert a.ethogram == b.ethogram


@few
@given(annotations())
def test_nothing_is_lost(tmp_path, a):
    path = tmp_path / "r.bouts.parquet"
    a = Annotations(  # an empty recording is named by the file
        bouts=a.bouts.assign(recording=a.bouts["recording"] + "r"),
        scored=a.scored.assign(recording=a.scored["recording"] + "r"),
        ethogram=a.ethogram,
    )
    report = save_annotations(a, path, overwrite=True)
    assert not report.lost
    again = load_annotations(path)
    assert again.report.format == "bouts-parquet"
    same(a, again)


def test_further_columns_keep_their_types(tmp_path):
    bouts = empty_table(behavior=["walk", "walk"], start_frame=[0, 5], stop_frame=[3, 9], recording=["r", "r"]).assign(
        certainty=np.array([1, 2], dtype=np.int8), near=pd.array([True, None], dtype="boolean"),
        when=pd.to_datetime(["2020-01-01", None]), sort=pd.Categorical(["x", "y"]), score=np.float32([0.5, np.nan]),
    )  # fmt: skip
    scored = empty_table(start_frame=[0], stop_frame=[12], recording=["r"]).assign(by=["eye"])
    a = Annotations(bouts=bouts, scored=scored, ethogram=Ethogram(("walk", "rest")))
    save_annotations(a, tmp_path / "r.parquet")
    again = load_annotations(tmp_path / "r.parquet")
    same(a, again)
    assert again.bouts.dtypes.astype(str)[["certainty", "near", "sort", "score"]].tolist() == [
        "int8", "boolean", "category", "float32"
    ]  # fmt: skip
    assert "by" in again.scored and "by" not in again.bouts
    with pytest.raises(ValueError, match="a column holds values that parquet cannot"):
        save_annotations(a.with_rows(bouts.assign(odd=[{1}, object()]), scored), tmp_path / "odd.parquet")


def test_a_table_of_other_tools(tmp_path):
    path = tmp_path / "mouse1.parquet"
    pd.DataFrame({"behavior": ["walk", "rest"], "start": [0.5, 2], "stop": [1.0, 3]}).to_parquet(path)
    a = load_annotations(path)
    assert a.recordings == ("mouse1",) and a.behaviors == ("walk", "rest") and not a.in_frames
    assert a.bouts[["individual", "start", "stop"]].values.tolist() == [["view", 0.5, 1.0], ["view", 2.0, 3.0]]
    pd.DataFrame(
        {"kind": ["scored", "point"], "behavior": [None, "jump"], "start_frame": [0, 5], "stop_frame": [9, 5]}
    ).to_parquet(path)
    a = load_annotations(path)
    assert a.ethogram.points == {"jump"} and a.scored["behavior"].tolist() == [""]


def test_behaviours_that_mean_unscored(tmp_path):
    bouts = empty_table(behavior=["walk", "dark"], start_frame=[0, 5], stop_frame=[3, 9])
    a = Annotations(bouts=bouts, scored=empty_table(start_frame=[0], stop_frame=[12]))
    save_annotations(a, tmp_path / "r.parquet")
    again = load_annotations(tmp_path / "r.parquet", unscored=["dark"])
    assert again.behaviors == ("walk",)
    assert again.scored[["start_frame", "stop_frame"]].values.tolist() == [[0, 5], [9, 12]]


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    bouts = empty_table(
        behavior=["walk", "rest"], start_frame=[0, 5], stop_frame=[3, 9], start=[0, 0.5], stop=[0.3, 0.9]
    )
    path = tmp_path_factory.mktemp("parquet") / "r.parquet"
    save_annotations(Annotations(bouts=bouts, scored=empty_table(start_frame=[0], stop_frame=[12])), path)
    return path.read_bytes()


@few
@given(data=st.data())
def test_damaged_files_are_one_clear_line(tmp_path, written, data):
    path = tmp_path / "bad.parquet"
    damaged = bytearray(written)
    if data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(1, len(written) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(4, len(written) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(damaged))
    try:
        load_annotations(path, "bouts-parquet")
    except ValueError as error:
        assert "bad.parquet" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"start_frame": [5], "stop_frame": [5]}, "expected start_frame < stop_frame, got 5 and 5"),
        ({"start_frame": [1.5], "stop_frame": [5.0]}, "expected start_frame as whole numbers from 0 on, got 1.5"),
        ({"start_frame": [-1], "stop_frame": [5]}, "expected frames from 0 on, got -1"),
        ({"start_frame": [0], "stop_frame": [2**60]}, "expected stop_frame as whole numbers"),
        ({"start": [0.0], "stop": [np.inf]}, "expected start < stop, got 0 and inf"),
        ({"start": [0.0], "stop": [np.nan]}, "expected start < stop"),
        ({"start": ["x"], "stop": ["y"]}, "could not convert string to float"),
        ({"start": [0.0], "stop": [1.0], "kind": ["maybe"]}, "expected kind 'bout', 'point' or 'scored', got 'maybe'"),
        ({"start": [0.0], "stop": [1.0], "behavior": [""]}, "row 0: expected the name of a behaviour"),
        ({"start": [0.0], "stop": [1.0], "extra": [[1, 2]]}, "the column 'extra' holds several"),
    ],
)
def test_wrong_tables_are_named(tmp_path, columns, message):
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"behavior": ["walk"], **columns}), path)
    with pytest.raises(ValueError, match="bad.parquet") as caught:
        load_annotations(path)
    assert message in str(caught.value)


def test_metadata_is_not_trusted(tmp_path, written):
    path = tmp_path / "bad.parquet"
    path.write_bytes(written)
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[bout_parquet.KEY])
    wrong = [
        (b"{", "Expecting property name"),
        (b"[" * 100_000, "recursion"),
        ({**about, "version": 2}, "expected version 1 of the layout, got 2"),
        ({**about, "behaviors": [{"name": "walk"}]}, "unknown behaviour 'rest'"),
        ({**about, "behaviors": [{"name": "walk", "color": "red"}]}, "expected a colour like #0072b2"),
        ({**about, "behaviors": [{"title": "walk"}]}, "unexpected keyword argument 'title'"),
        ({**about, "behaviors": [{"name": n, "kind": "point"} for n in ("walk", "rest")]}, "a row is a point event"),
        ({**about, "columns": {"bouts": ["no such"], "scored": []}}, "no such"),
    ]
    for metadata, message in wrong:
        text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
        pq.write_table(table.replace_schema_metadata({bout_parquet.KEY: text}), path)
        with pytest.raises(ValueError, match=r"bad\.parquet") as caught:
            load_annotations(path)
        assert message in str(caught.value)


def test_a_small_file_that_grows_is_refused(tmp_path):
    path = tmp_path / "bomb.parquet"
    count = 200_000
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["x" * 10_000]))
    table = pa.table({"behavior": long, "start_frame": np.arange(count), "stop_frame": np.arange(count) + 1})
    pq.write_table(table, path, compression="zstd")
    with pytest.raises(ValueError, match="its text unpacks to 1907 MiB, expected at most 512 MiB"):
        load_annotations(path)


def test_other_parquet_files_are_not_claimed(tmp_path):
    path = tmp_path / "tracks.parquet"
    pq.write_table(pa.table({"x": [1.0], "y": [2.0]}), path)
    with pytest.raises(ValueError, match="not a label file of a known format"):
        recognise_format(path)
