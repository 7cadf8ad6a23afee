from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets.formats import xlsx_cells
from behavior_prism.datasets.formats.xlsx_cells import write_xlsx, xlsx_rows


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("x") / "a.xlsx"
    write_xlsx(path, [["time", "ü"], [], ["=1", 2.5, 3, None, ""]], title="a/b")
    return path.read_bytes()


def repacked(content: bytes, part: str, old: bytes, new: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as a, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as b:
        for name in a.namelist():
            data = a.read(name)
            b.writestr(name, data.replace(old, new) if name == part else data)
    return out.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def test_cells(tmp_path, good):
    path = tmp_path / "a.xlsx"
    path.write_bytes(good)
    assert xlsx_rows(path) == {1: ["time", "ü"], 3: ["'=1", "2.5", "3"]}
    assert xlsx_rows(path, most=2) == {1: ["time", "ü"]}


def test_bombs_are_refused(tmp_path, good, monkeypatch):
    path = tmp_path / "a.xlsx"
    path.write_bytes(repacked(good, SHEET, b"<sheetData>", b" " * (300 << 20) + b"<sheetData>"))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match="a.xlsx: damaged xlsx file .it unpacks to 300 MiB"):
        xlsx_rows(path)
    path.write_bytes(repacked(good, SHEET, b"<worksheet", b'<!DOCTYPE x [<!ENTITY a "b">]><worksheet'))
    with pytest.raises(ValueError, match="holds a document type"):
        xlsx_rows(path)
    path.write_bytes(repacked(good, SHEET, b'<row r="3">', b'<row r="999999999999">'))
    assert len(xlsx_rows(path)) < 3
    monkeypatch.setattr(xlsx_cells, "MAX_CELLS", 3)
    path.write_bytes(good)
    with pytest.raises(ValueError, match="more than 3 cells"):
        xlsx_rows(path)


def test_control_characters(tmp_path):
    with pytest.raises(ValueError, match="xlsx cannot hold the control characters"):
        write_xlsx(tmp_path / "a.xlsx", [["a\x01"]])


@given(st.data())
@settings(max_examples=80)
def test_any_damage_is_one_clear_line(tmp_path_factory, good, data):
    parts = zipfile.ZipFile(io.BytesIO(good)).namelist()
    content = good
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(good) - 1))
        content = good[:at] + data.draw(st.binary(max_size=2)) + good[at + 1 :]
    else:
        part = data.draw(st.sampled_from(parts))
        inner = zipfile.ZipFile(io.BytesIO(good)).read(part)
        at = data.draw(st.integers(0, len(inner)))
        length = data.draw(st.integers(1, 30))
        content = repacked(good, part, inner, inner[:at] + data.draw(st.binary(max_size=8)) + inner[at + length :])
    path = tmp_path_factory.mktemp("x") / "a.xlsx"
    path.write_bytes(content)
    try:
        xlsx_rows(path)
    except ValueError as error:
        assert "a.xlsx" in str(error) and "\n" not in str(error)
