from __future__ import annotations

import builtins
import io
import os
import pickle  # noqa: TID251  (to write what must not be run)
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import load_annotations
from behavior_prism.datasets.formats.hub import recognise_format
from behavior_prism.datasets.formats.pickled_arrays import _NAMES, read_pickled

nan = np.nan


def content(kind=np.float32):
    table = np.array([[0, 1, 1, 0], [0, 0, nan, 1], [3, 3, 3, 3]])
    return {
        "vocabulary": ["chases", "lights", "day"],
        "sequences": {
            key: {"keypoints": np.zeros((4, 3, 12, 2), np.int32), "annotations": np.nan_to_num(table).astype(kind)
                  if np.dtype(kind).kind != "f" else table.astype(kind)} for key in ("A1", "B2")},
    }  # fmt: skip


def saved(folder, what, protocol=4):
    """As numpy.save writes it, in any protocol."""
    path = folder / "m.npy"
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(what if isinstance(what, bytes) else pickle.dumps(np.array(what, dtype=object), protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("kind", [np.float32, np.float64, ">f4"])
def test_read(tmp_path, protocol, kind):
    path = saved(tmp_path, content(kind), protocol)
    assert recognise_format(path).name == "mabe22"
    a = load_annotations(path)
    assert (a.recordings, a.behaviors) == (("A1", "B2"), ("chases", "lights"))
    one = a.select(recording="A1")
    assert one.bouts[["behavior", "start_frame", "stop_frame"]].values.tolist() == [["chases", 1, 3], ["lights", 3, 4]]
    assert one.scored[["behavior", "start_frame", "stop_frame"]].values.tolist() == [
        ["chases", 0, 4], ["lights", 0, 2], ["lights", 3, 4]]  # fmt: skip
    assert any("day" in lost for lost in a.report.lost)


def test_as_numpy_saves_it(tmp_path):
    np.save(tmp_path / "m.npy", content(), allow_pickle=True)
    assert len(load_annotations(tmp_path / "m.npy").bouts) == 4


class Calls:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


HARM = {
    "system": Calls(os.system, "touch {flag}"),
    "eval": Calls(builtins.eval, "open('{flag}', 'w')"),
    "popen": Calls(subprocess.Popen, ["touch", "{flag}"]),
    "getattr": Calls(getattr, "a", "join"),
    "import": Calls(__import__, "this"),
    "load": Calls(np.load, "{flag}"),
    "codecs": Calls(__import__("_codecs").encode, "a", "rot13"),
    "type": Calls(np.dtype, [("a", "O")]),
    "memmap": np.memmap,
    "io": io.BytesIO,
    "complex": 1j,
    "set": {1},
}


@pytest.mark.parametrize("name", HARM)
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_nothing_else_is_made_and_nothing_runs(tmp_path, name, protocol, monkeypatch):
    harm, flag = HARM[name], tmp_path / "flag"
    if isinstance(harm, Calls):
        harm = Calls(harm.function, *(a.replace("{flag}", str(flag)) if isinstance(a, str) else a for a in harm.args))
    for what in (pickle.dumps(harm, protocol), pickle.dumps(np.array({"sequences": harm}, dtype=object), protocol)):
        path = saved(tmp_path, what)
        # no machine for pickles is started at all
        for module in (pickle, __import__("_pickle")):
            for word in ("load", "loads", "Unpickler"):
                monkeypatch.setattr(module, word, None)
        with pytest.raises(ValueError, match=r"m\.npy: ") as caught:
            read_pickled(path)
        assert "\n" not in str(caught.value)
        assert not flag.exists()
        monkeypatch.undo()


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'true'\ntR.", b"\x80\x04(X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.",
        b"(S'true'\nios\nsystem\n.", b"\x82\x01.", b"Pid\n.", b"\x80\x02cnumpy\nndarray\n)\x81.",
        b"cnumpy\ndtype\n}b.", b"cnumpy.core.multiarray\n_reconstruct\ncos\nsystem\n\x85R.",
        b"\x80\x04B\xff\xff\xff\xffa.", b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00a.", b"0.", b".", b"", b"a.", b"R.", b"\x85.", b"h\x05.",
    ],
)  # fmt: skip
def test_hostile_opcodes(tmp_path, code):
    with pytest.raises(ValueError, match=r"m\.npy: "):
        read_pickled(saved(tmp_path, code))


def test_the_names_that_are_known():
    assert {name for _, name in _NAMES} == {"_reconstruct", "scalar", "ndarray", "dtype"}


def test_damaged_files_are_value_errors(tmp_path):
    small = {"vocabulary": ["a"], "sequences": {"x": {"annotations": np.zeros((1, 3))}}}
    whole = saved(tmp_path, small).read_bytes()

    @settings(max_examples=100)
    @given(st.integers(1, len(whole) - 1), st.binary(max_size=4))
    def check(place, junk):
        path = tmp_path / "d.npy"
        for data in (whole[:place], whole[:place] + junk + whole[place + len(junk) :]):
            path.write_bytes(data)
            try:
                load_annotations(path, "mabe22")
            except ValueError as error:
                assert "\n" not in str(error)

    check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary": None}, "test set"),
        ({"vocabulary": ["a", "a", "b"]}, "once"),
        ({"sequences": {"A": {"annotations": np.zeros((2, 4))}}}, "of 3 rows"),
        ({"sequences": {"A": {}}}, "expected annotations"),
    ],
)
def test_bad(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_annotations(saved(tmp_path, {**content(), **change}), "mabe22")
