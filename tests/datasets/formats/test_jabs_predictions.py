from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import load_annotations, to_dense
from behavior_prism.datasets.formats.hub import recognise_format

CODES = np.int8([[-1, 0, 1, 1, 0, -1], [0, 0, 0, -1, -1, 1]])


def written(path, **tables):
    with h5py.File(path, "w") as file:
        file.attrs["pose_file"] = "m1_pose_est_v5.h5"
        group = file.create_group("predictions/walk")
        group["predicted_class"] = CODES
        group["probabilities"] = np.float32(CODES) / 2
        for name, content in tables.items():
            group.pop(name, None)
            group[name] = content
    return path


def test_read(tmp_path):
    path = written(tmp_path / "m1_behavior.h5")
    a = load_annotations(path)
    assert (a.report.format, a.recordings, a.individuals, a.scorers) == (
        "jabs-predictions", ("m1",), ("0", "1"), ("JABS",))  # fmt: skip
    np.testing.assert_array_equal(to_dense(a, np.arange(6.0)).squeeze().values.T, CODES)
    assert a.bouts["score"].tolist() == [0.5, 0.5]


def test_after_postprocessing(tmp_path):
    a = load_annotations(written(tmp_path / "a.h5", predicted_class_postprocessed=np.abs(CODES)))
    np.testing.assert_array_equal(to_dense(a, np.arange(6.0)).squeeze().values.T, np.abs(CODES))
    assert any("postprocessing" in note for note in a.report.notes)


def test_several_classes(tmp_path):
    names = np.array(["None", "walk", "rear"], dtype=object)
    codes = np.int8([[0, 1, 2, 2, -1, 1]])
    chances = np.full((1, 6, 3), 0.25, dtype=np.float32)
    path = written(tmp_path / "a.h5", predicted_class=codes, probabilities=chances)
    with h5py.File(path, "a") as file:
        file["predictions/walk"].create_dataset("class_names", data=names, dtype=h5py.string_dtype())
    a = load_annotations(path)
    assert a.behaviors == ("walk", "rear")
    dense = to_dense(a, np.arange(6.0)).squeeze()
    assert dense.sel(behavior="walk").values.tolist() == [0, 1, 0, 0, -1, 1]
    assert dense.sel(behavior="rear").values.tolist() == [0, 0, 1, 1, -1, 0]
    assert set(a.bouts["score"]) == {0.25}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"predicted_class": CODES + 3}, "expected -1 to 1"),
        ({"predicted_class": CODES[0]}, "identities x frames"),
        ({"predicted_class": CODES / 2}, "whole numbers"),
        ({"probabilities": np.zeros((3, 3))}, "like the classes"),
    ],
)
def test_bad(tmp_path, tables, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_annotations(written(tmp_path / "a.h5", **tables))
    assert "\n" not in str(caught.value)


def test_nothing_outside_of_the_file_is_read(tmp_path):
    written(tmp_path / "other.h5")
    path = written(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["predictions/rear"] = h5py.ExternalLink("other.h5", "/predictions/walk")
    assert load_annotations(path).behaviors == ("walk",)
    with h5py.File(path, "a") as file:
        del file["predictions/walk/predicted_class"]
        (tmp_path / "raw").write_bytes(bytes(12))
        group = file["predictions/walk"]
        group.create_dataset("predicted_class", (2, 6), "i1", external=[(str(tmp_path / "raw"), 0, 12)])
    with pytest.raises(ValueError, match="lies in another file"):
        load_annotations(path, "jabs-predictions")


def test_a_table_that_claims_too_much(tmp_path):
    path = written(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["predictions/walk/predicted_class"]
        file["predictions/walk"].create_dataset("predicted_class", (10**6, 10**6), "i1", chunks=(1000, 1000))
    with pytest.raises(ValueError, match="at most 1024 MiB"):
        load_annotations(path)


def test_damaged_files_are_value_errors(tmp_path):
    whole = written(tmp_path / "a.h5").read_bytes()
    bad = tmp_path / "b.h5"

    @settings(max_examples=80)
    @given(st.integers(0, len(whole) - 1), st.binary(max_size=4))
    def check(place, junk):
        for data in (whole[:place] or b"H", whole[:place] + junk + whole[place + len(junk) :]):
            bad.write_bytes(data)
            try:
                load_annotations(bad, "jabs-predictions")
            except ValueError as error:
                assert "\n" not in str(error)

    check()


@pytest.mark.shared
def test_pose_files_are_not_claimed(shared_data):
    for path in shared_data.glob("**/*.h5"):
        with pytest.raises(ValueError, match="not a label file"):
            recognise_format(path)
