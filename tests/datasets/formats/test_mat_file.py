"""Our reader of MATLAB files against scipy's, and against files made to do harm."""

from __future__ import annotations

import struct
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from behavior_prism.datasets.formats.mat_file import Unreadable, read_mat, variable_kinds

CONTENT = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "flags": np.array([[True, False]]),
    "text": "Grüße",
    "one": {"a": np.uint16([[3, 4]]), "b": "x"},
    "cell": np.array([["p", np.arange(3)]], dtype=object),
    "empty": np.zeros((0, 0)),
    "many": np.array([[(1, "u"), (2, "vv")]], dtype=[("n", object), ("s", object)]),
}


def plain(value):
    """scipy's simplified values with arrays as lists."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.ravel().tolist()] if value.dtype.kind == "O" else np.squeeze(value).tolist()
    return value


@pytest.mark.parametrize("packed", [False, True])
def test_as_scipy_reads_it(tmp_path, packed):
    path = tmp_path / "a.mat"
    savemat(path, CONTENT, do_compression=packed, oned_as="row")
    ours = read_mat(path)
    theirs = {k: v for k, v in loadmat(path, simplify_cells=True).items() if not k.startswith("__")}
    assert plain(ours) == plain(theirs)
    assert variable_kinds(path) == dict.fromkeys(CONTENT, "")
    np.testing.assert_array_equal(ours["numbers"], CONTENT["numbers"])


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_files_are_value_errors(tmp_path, packed):
    path, bad = tmp_path / "a.mat", tmp_path / "b.mat"
    savemat(path, CONTENT, do_compression=packed)
    whole = path.read_bytes()

    @settings(max_examples=100)
    @given(st.integers(0, len(whole) - 1), st.binary(min_size=0, max_size=4))
    def check(place, junk):
        for data in (whole[:place] or b"M", whole[:place] + junk + whole[place + len(junk) :]):
            bad.write_bytes(data)
            variable_kinds(bad)
            try:
                read_mat(bad)
            except ValueError as error:
                assert "\n" not in str(error)

    check()


def element(kind: int, body: bytes) -> bytes:
    return struct.pack("<2I", kind, len(body)) + body + b"\0" * (-len(body) % 8)


def matrix(kind: int, dims, *parts: bytes, name: bytes = b"") -> bytes:
    head = element(6, struct.pack("<2I", kind, 0)) + element(5, np.asarray(dims, "<i4").tobytes())
    return element(14, head + element(1, name) + b"".join(parts))


def file_of(path, *elements: bytes):
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"".join(elements))
    return path


def test_harm(tmp_path):
    path = tmp_path / "x.mat"
    bomb = zlib.compress(b"\0" * (400 << 20), 9)
    with pytest.raises(ValueError, match="unpacks to more than"):
        read_mat(file_of(path, struct.pack("<2I", 15, len(bomb)) + bomb))
    nested = matrix(1, (1, 0))
    for _ in range(60):
        nested = matrix(1, (1, 1), nested)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_mat(file_of(path, matrix(1, (1, 1), nested, name=b"c")))
    for kind in (1, 2, 6):
        with pytest.raises(ValueError, match="at most|damaged"):
            read_mat(file_of(path, matrix(kind, (2**31 - 1, 2**31 - 1), element(5, b"\1\0\0\0"), name=b"c")))
    with pytest.raises(ValueError, match="twice"):
        read_mat(file_of(path, *[matrix(6, (1, 1), element(9, bytes(8)), name=b"c")] * 2))
    opaque = element(
        14, element(6, struct.pack("<2I", 17, 0)) + element(1, b"t") + element(1, b"MCOS") + element(1, b"table")
    )
    assert read_mat(file_of(path, opaque)) == {"t": Unreadable("table")}
    assert variable_kinds(path) == {"t": "table"}


def test_links_and_tables_elsewhere_are_not_followed(tmp_path):
    other, path = tmp_path / "secret.h5", tmp_path / "x.mat"
    with h5py.File(other, "w") as file:
        file["s"] = np.arange(3.0)
        file["s"].attrs["MATLAB_class"] = np.bytes_("double")
    (tmp_path / "raw.bin").write_bytes(bytes(24))
    with h5py.File(path, "w", userblock_size=512) as file:
        file["a"] = np.arange(3.0)[:, None]
        file["a"].attrs["MATLAB_class"] = np.bytes_("double")
        file["out"] = h5py.ExternalLink("secret.h5", "/s")
        file["soft"] = h5py.SoftLink("/a")
    assert list(read_mat(path)) == ["a"]
    assert variable_kinds(path) == {"a": ""}
    with h5py.File(path, "a") as file:
        file.create_dataset("raw", (3,), "f8", external=[(str(tmp_path / "raw.bin"), 0, 24)])
    with pytest.raises(ValueError, match="lies in another file"):
        read_mat(path)


def test_structs_of_version_73(tmp_path):
    path = tmp_path / "x.mat"
    with h5py.File(path, "w") as file:
        refs = file.create_group("#refs#")
        refs["t"] = np.array([[ord(c)] for c in "ab"], dtype=np.uint16)
        refs["t"].attrs["MATLAB_class"] = np.bytes_("char")
        refs["t"].attrs["MATLAB_int_decode"] = 2
        refs["n"] = np.array([[5.0]])
        refs["n"].attrs["MATLAB_class"] = np.bytes_("double")
        labels = file.create_group("labels")
        labels.attrs["MATLAB_class"] = np.bytes_("struct")
        for name, targets in {"a": "tt", "b": "nn"}.items():
            labels.create_dataset(name, (2, 1), h5py.ref_dtype)[:, 0] = [refs[t].ref for t in targets]
        cell = file.create_dataset("c", (2, 1), h5py.ref_dtype)
        cell[:, 0] = [refs["t"].ref, refs["n"].ref]
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
        loop = file.create_dataset("loop", (1, 1), h5py.ref_dtype)
        loop.attrs["MATLAB_class"] = np.bytes_("double")
    found = read_mat_without(path, "loop")
    assert plain(found) == {"labels": [{"a": "ab", "b": 5.0}] * 2, "c": ["ab", 5.0]}
    with h5py.File(path, "a") as file:
        loop = file.create_dataset("loop", (1, 1), h5py.ref_dtype)
        loop.attrs["MATLAB_class"] = np.bytes_("cell")
        loop[0, 0] = loop.ref
    with pytest.raises(ValueError, match="nested too deeply"):
        read_mat(path)


def read_mat_without(path, name):
    with h5py.File(path, "a") as file:
        del file[name]
    return read_mat(path)


@pytest.mark.shared
def test_real_files_as_scipy_reads_them(shared_data):
    files = sorted(shared_data.glob("**/*.mat"))
    assert len(files) >= 34
    for path in files:
        if path.read_bytes()[:8] == b"MATLAB 5":
            theirs = loadmat(path, simplify_cells=True)
            assert plain(read_mat(path)) == plain({k: v for k, v in theirs.items() if not k.startswith("__")})
    table = shared_data / "behaviordepot-freezing" / "demo1_manual_annotations.mat"
    assert read_mat(table) == {"demo1_annotations": Unreadable("table")}
