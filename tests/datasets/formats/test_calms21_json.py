from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import load_annotations
from behavior_prism.datasets.formats.hub import recognise_format
from behavior_prism.datasets.formats.json_stream import JsonStream

VOCAB = {"attack": 0, "investigation": 1, "mount": 2, "other": 3}


def sequence(codes, **what):
    points = [[[[1.5, 2], [3, 4]], [[5, 6], [7, 8]]]] * len(codes)
    return {"keypoints": points, "scores": [[[0.5]]] * len(codes), "annotations": codes,
            "metadata": {"annotator-id": 0, "vocab": VOCAB}, **what}  # fmt: skip


def content(codes=(3, 0, 0, 3, -1, 1), **what):
    return {
        "annotator-id_0": {
            "task1/train/mouse001_task1_annotator1": sequence(list(codes), **what),
            'task1/train/"odd"': sequence([3, 3]),
        }
    }


def written(folder, text, name="c.json"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())
    return path


def check(a):
    one = a.select(recording="mouse001_task1_annotator1")
    assert a.behaviors == ("attack", "investigation", "mount")
    assert one.bouts[["individual", "target", "behavior", "scorer", "start_frame", "stop_frame"]].values.tolist() == [
        ["resident", "intruder", "attack", "annotator-id_0", 1, 3],
        ["resident", "intruder", "investigation", "annotator-id_0", 5, 6],
    ]
    mount = one.scored[one.scored["behavior"] == "mount"]
    assert mount[["start_frame", "stop_frame"]].values.tolist() == [[0, 4], [5, 6]]


def test_read(tmp_path):
    path = written(tmp_path, content())
    assert recognise_format(path).name == "calms21"
    check(load_annotations(path))
    check(load_annotations(written(tmp_path, gzip.compress(json.dumps(content()).encode()), "c.json.gz")))
    check(load_annotations(written(tmp_path, json.dumps(content(), indent=3).encode())))


def test_groups_that_are_behaviours(tmp_path):
    vocab = {"annotator-id": 2, "vocab": {"approach": 0, "other": 1}}
    a = load_annotations(written(tmp_path, {"approach": {"task3/train/m1": sequence([0, 1], metadata=vocab)}}))
    assert (a.behaviors, a.scorers) == (("approach",), ("annotator-id_2",))


def test_key_points_are_not_kept(tmp_path):
    points = "[" + ",".join(["[[[1.25,2.5],[3.75,4.25]],[[1,2],[3,4]]]"] * 200_000) + "]"
    text = json.dumps(content()).replace('"keypoints": [', '"keypoints": ' + points + ', "scores2": [', 1)
    path = written(tmp_path, text.encode())
    tracemalloc.start()
    check(load_annotations(path, "calms21"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 8_000_000
    assert peak < 6_000_000


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100)
@given(st.dictionaries(st.text(), values, max_size=4), st.booleans(), st.integers(1, 5))
def test_the_stream_reads_what_json_reads(tmp_path_factory, some, plain, chunk):
    from behavior_prism.datasets.formats import json_stream

    path = written(tmp_path_factory.mktemp("s"), json.dumps(some, ensure_ascii=plain).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        with JsonStream(path) as stream:
            assert {key: stream.value() for key in stream.entries()} == some
            stream.end()
        with JsonStream(path) as stream:
            assert [stream.skip() or key for key in stream.entries()] == list(some)
            stream.end()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (content(codes=(1, 4)), "code 4 is not in"),
        (content(codes=(1, 0.5)), "whole number per frame"),
        (content(codes=()), "whole number per frame"),
        (content(metadata={}), "metadata.vocab"),
        (content(metadata={"vocab": {"a": 0, "b": 0}}), "every code once"),
        (content(metadata={"vocab": {"a": "0"}}), "metadata.vocab"),
        (json.dumps(content()).replace("-1", "NaN").encode(), "NaN"),
        (b'{"a": {"task1/x": {}, "task1/x": {}}}', "metadata.vocab"),
        (b'{"a": {"task1/x": ' + b"[" * 500, "expected '{'"),
        (b'{"a": {"task1/x": {"annotations": ' + b"[" * 500, "nested too deeply"),
        (b"{}", "expected sequences"),
        (json.dumps(content()).encode() + b" {}", "something follows"),
    ],
)
def test_bad(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_annotations(written(tmp_path, text), "calms21")
    assert "\n" not in str(caught.value)


TEXT = json.dumps(content()).encode()


@settings(max_examples=100)
@given(st.integers(1, len(TEXT) - 1), st.binary(max_size=4))
def test_damaged_files_are_value_errors(tmp_path_factory, place, junk):
    folder = tmp_path_factory.mktemp("calms")
    for damaged in (
        TEXT[:place],
        TEXT[:place] + junk + TEXT[place + len(junk) :],
        gzip.compress(TEXT)[: place // 2 + 2],
    ):
        try:
            load_annotations(written(folder, damaged), "calms21")
        except ValueError as error:
            assert "\n" not in str(error)
