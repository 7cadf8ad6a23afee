from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from behavior_prism.datasets import from_dense, load_annotations, save_annotations, to_dense
from behavior_prism.datasets.formats.hub import recognise_format

FILE = {
    "version": 1,
    "file": "C:\\videos\\m1.avi",
    "num_frames": 60,
    "labels": {
        "0": {
            "walk": [
                {"start": 2, "end": 5, "present": True},
                {"start": 9, "end": 9, "present": True},
                {"start": 20, "end": 29, "present": False},
            ],
            "rear": [],
        }
    },
    "unfragmented_labels": {
        "0": {"walk": [{"start": 0, "end": 9, "present": True}, {"start": 20, "end": 29, "present": False}]}
    },
    "external_identities": {"0": "S2"},
    "labeler": "ann",
    "annotations": [
        {"start": 4, "end": 12, "tag": "odd", "color": "#ff0000", "description": "near the wall", "identity": 0},
        {"start": 50, "end": 51, "tag": "door", "color": "#ff0000"},
    ],
}


def written(folder, content) -> str:
    path = folder / "m1.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_read(tmp_path):
    a = load_annotations(written(tmp_path, FILE))
    assert a.report.format == "jabs"
    assert (a.recordings, a.individuals, a.scorers, a.behaviors) == (("m1",), ("0",), ("ann",), ("walk", "rear"))
    assert a.bouts[["start_frame", "stop_frame"]].values.tolist() == [[2, 6], [9, 10]]
    assert a.bouts["comment"].tolist() == ["odd: near the wall"] * 2
    assert a.bouts["drawn"].tolist() == ["0-10/5"] * 2
    row = to_dense(a, np.arange(60) / 30).sel(behavior="walk").squeeze().values
    assert np.flatnonzero(row == 1).tolist() == [2, 3, 4, 5, 9]
    assert np.flatnonzero(row == 0).tolist() == list(range(20, 30))
    assert any("5 labelled frames" in note for note in a.report.notes)
    assert any("0 = S2" in note for note in a.report.notes)
    assert any("'door', frames 50 to 51" in lost for lost in a.report.lost)


def test_a_block_that_nobody_touched_is_written_as_it_was_drawn(tmp_path):
    a = load_annotations(written(tmp_path, FILE))
    save_annotations(a, tmp_path / "out.jabs.json")
    out = json.loads((tmp_path / "out.jabs.json").read_text())
    assert out["labels"]["0"] == {"walk": FILE["labels"]["0"]["walk"]}
    assert out["unfragmented_labels"] == FILE["unfragmented_labels"]
    assert (out["file"], out["labeler"]) == ("m1.mp4", "ann")
    # one piece taken away: what was drawn no longer holds
    save_annotations(a.with_rows(a.bouts[:1], a.scored.iloc[[0, 2]]), tmp_path / "cut.jabs.json")
    cut = json.loads((tmp_path / "cut.jabs.json").read_text())
    assert cut["unfragmented_labels"] == cut["labels"]


@pytest.mark.parametrize("unscored", [("rear",), ("walk",)])
def test_unscored(tmp_path, unscored):
    a = load_annotations(written(tmp_path, FILE), unscored=unscored)
    assert unscored[0] not in a.behaviors


states = st.tuples(st.integers(1, 40), st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda s: arrays(np.int8, (1, *s), elements=st.sampled_from([-1, 0, 1]))
)


@settings(max_examples=25)
@given(states, st.sampled_from(["ann", ""]))
def test_three_states_there_and_back(tmp_path_factory, values, scorer):
    import xarray as xr

    _, t, i, b = values.shape
    label = xr.DataArray(
        values,
        dims=("scorer", "time", "individual", "behavior"),
        coords={"scorer": [scorer], "time": np.arange(t) / 25, "individual": [str(k) for k in range(i)],
                "behavior": [f"b {k}" for k in range(b)]},
    )  # fmt: skip
    a = from_dense(label, recording="r.1")
    edges = {"r.1": np.arange(t + 1) / 25}
    path = tmp_path_factory.mktemp("jabs") / "r.jabs.json"
    save_annotations(a, path, recording=edges)
    assert recognise_format(path).name == "jabs"
    if not len(a.scored):
        return
    assert json.loads(path.read_text())["num_frames"] == t
    loaded = load_annotations(path, recording=edges)
    seen = [name for k, name in enumerate(label.behavior.values) if (values[..., k] >= 0).any()]
    assert set(loaded.behaviors) == set(seen)
    again = to_dense(
        loaded, np.arange(t) / 25, individuals=list(label.individual.values), scorers=[scorer]
    ).reindex(behavior=label.behavior.values, fill_value=-1)  # fmt: skip
    np.testing.assert_array_equal(again.values, values)


def test_what_jabs_cannot_hold_is_told(tmp_path):
    a = load_annotations(written(tmp_path, FILE))
    bouts = a.bouts.assign(individual="mouse", target="other", modifiers="fast")
    report = save_annotations(a.with_rows(bouts, a.scored), tmp_path / "x.jabs.json")
    assert any("targets" in x for x in report.lost)
    assert any("mouse = 1" in x for x in report.lost)
    assert any("modifiers" in x for x in report.lost)
    again = load_annotations(tmp_path / "x.jabs.json")
    assert again.bouts["comment"].tolist() == ["odd: near the wall"] * 2
    with pytest.raises(ValueError, match="one scorer"):
        save_annotations(
            a.with_rows(a.bouts.assign(scorer=["x", "y"]), a.scored), tmp_path / "y.jabs.json"
        )  # fmt: skip


def changed(**what):
    return {**FILE, **what}


def block(**what):
    return changed(labels={"0": {"walk": [{"start": 1, "end": 2, "present": True, **what}]}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (block(start=3), "start <= end < 60"),
        (block(end=60), "start <= end < 60"),
        (block(start=-1), "number of a frame"),
        (block(start=0.5), "number of a frame"),
        (block(start=10**30), "number of a frame"),
        (block(start=True), "number of a frame"),
        (block(present=1), "present"),
        (changed(labels={"0": {"walk": [{"start": 1, "end": 3, "present": True},
                                        {"start": 3, "end": 4, "present": False}]}}), "3 in two blocks"),
        (changed(labels={"0": []}), "behaviours by identity"),
        (changed(labels={"0": {"": []}}), "name"),
        (changed(labels={"0": {"walk": 3}}), "list of blocks"),
        (changed(num_frames=None), "num_frames"),
        (changed(annotations=3), "annotations"),
        (json.dumps(FILE).replace("60", "NaN"), "NaN"),
    ],
)  # fmt: skip
def test_bad_content_is_one_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_annotations(written(tmp_path, content), "jabs")
    assert "\n" not in str(caught.value)
    assert "m1.json" in str(caught.value)


TEXT = json.dumps(FILE)


@settings(max_examples=100)
@given(st.integers(0, len(TEXT) - 1), st.binary(max_size=3))
def test_damaged_files_are_value_errors(tmp_path_factory, place, junk):
    path = tmp_path_factory.mktemp("jabs") / "m.json"
    for damaged in (TEXT[:place].encode() + junk, TEXT[:place].encode() + junk + TEXT[place + 1 :].encode()):
        path.write_bytes(damaged)
        try:
            load_annotations(path, "jabs")
        except ValueError as error:
            assert "\n" not in str(error)


@pytest.mark.shared
def test_real_files(shared_data, tmp_path):
    """Frames and bouts as counted beside the data; written and read again they stay."""
    files = sorted((shared_data / "jabs-turn-left" / "annotations").glob("*.json"))
    assert len(files) == 95
    frames, bouts = Counter(), Counter()
    for path in files:
        assert recognise_format(path).name == "jabs"
        a = load_annotations(path)
        for name in a.behaviors:
            own = a.bouts[a.bouts["behavior"] == name]
            scored = a.scored[a.scored["behavior"] == name]
            present = int((own["stop_frame"] - own["start_frame"]).sum())
            frames[name, True] += present
            frames[name, False] += int((scored["stop_frame"] - scored["start_frame"]).sum()) - present
            bouts[name] += len(own)
        save_annotations(a, tmp_path / "again.jabs.json", overwrite=True)
        first, again = (json.loads(p.read_text()) for p in (path, tmp_path / "again.jabs.json"))
        kept = {k: v for k, v in first["labels"].items() if any(v.values())}
        assert {k: v for k, v in again["labels"].items() if v} == kept
        lost_whole = {(i, b) for i, own in first["unfragmented_labels"].items() for b in own
                      if b not in first["labels"].get(i, {})}  # fmt: skip
        for i, own in first["unfragmented_labels"].items():
            for b, blocks in own.items():
                if (i, b) in lost_whole:
                    continue
                # a drawn block of which no frame is left cannot be known from 'labels'
                left = [x for x in blocks if any(
                    y["start"] <= x["end"] and x["start"] <= y["end"] for y in first["labels"][i][b])]  # fmt: skip
                assert again["unfragmented_labels"][i][b] == left
    assert frames == {
        ("turn_left", True): 2792, ("turn_left", False): 11836, ("jumping", True): 275, ("jumping", False): 6536,
        ("corner_jumping", True): 70, ("corner_jumping", False): 344, ("Grooming", True): 66, ("Grooming", False): 0,
    }  # fmt: skip
    assert bouts["turn_left"] == 322
