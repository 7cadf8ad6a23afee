"""MATLAB files of version 5 to 7, after "MAT-File Format" of MathWorks: elements with a kind and a size, some packed.

Every size is checked against what is there before anything is made of it; see :mod:`mat_file`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .mat_values import MAX_DEPTH, MAX_UNPACKED, MAX_VALUES, Unreadable

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {16: "utf-8", 17: "utf-16", 18: "utf-32", 2: "latin-1", 1: "latin-1", 4: "utf-16"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17


def byte_order(data: bytes) -> str | None:
    """``<`` or ``>`` of a version 5 file."""
    if len(data) < 136 or not data.startswith(b"MATLAB 5"):
        return None
    return {b"IM": "<", b"MI": ">"}.get(data[126:128])


def read_v5(path: Path, data: bytes, order: str) -> dict[str, Any]:
    """All variables of a version 5 file."""
    return _V5(order, path).variables(data)


class _V5:
    """Elements of a version 5 file; all that is made is counted against one budget."""

    def __init__(self, order: str, path: Path) -> None:
        self.order, self.path = order, path
        self.room, self.values = MAX_UNPACKED, MAX_VALUES

    def variables(self, data: bytes) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for kind, body in self.elements(data[128:]):
            if kind == _COMPRESSED:
                inner = list(self.elements(self.unpacked(body)))
                if len(inner) != 1:
                    raise ValueError(f"{self.path}: damaged MATLAB file (a packed part holds {len(inner)} elements)")
                kind, body = inner[0]
            if kind != _MATRIX:
                raise ValueError(f"{self.path}: damaged MATLAB file (element of kind {kind} between variables)")
            name, value = self.matrix(body, 0)
            if name in out:
                raise ValueError(f"{self.path}: expected every variable once, got {name!r} twice")
            if name:  # the nameless one holds what objects of classes refer to
                out[name] = value
        return out

    def unpacked(self, body: bytes) -> bytes:
        unpack = zlib.decompressobj()
        out = unpack.decompress(body, self.room + 1)
        if len(out) > self.room:
            raise ValueError(f"{self.path}: unpacks to more than {MAX_UNPACKED >> 20} MiB")
        if not unpack.eof:
            raise ValueError(f"{self.path}: damaged MATLAB file (a packed part ends too early)")
        self.room -= len(out)
        return out

    def elements(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Kind and content of one element after the other; small ones carry both in eight bytes."""
        place = 0
        while place < len(data):
            if len(data) - place < 8:
                raise ValueError(f"{self.path}: damaged MATLAB file (it ends within an element)")
            first, size = struct.unpack_from(f"{self.order}2I", data, place)
            if first >> 16:
                kind, size, start = first & 0xFFFF, first >> 16, place + 4
                place += 8
                if size > 4:
                    raise ValueError(f"{self.path}: damaged MATLAB file (a small element of {size} bytes)")
            else:
                kind, start = first, place + 8
                place = start + size + (0 if kind == _COMPRESSED else -size % 8)
            if start + size > len(data):
                raise ValueError(f"{self.path}: damaged MATLAB file (it ends within an element)")
            yield kind, data[start : start + size]

    def count(self, number: int) -> None:
        self.values -= number
        if self.values < 0:
            raise ValueError(f"{self.path}: expected at most {MAX_VALUES} cells and fields")

    def matrix(self, body: bytes, depth: int) -> tuple[str, Any]:
        """Name and value of one array."""
        self.count(1)
        if depth > MAX_DEPTH:
            raise ValueError(f"{self.path}: MATLAB values nested too deeply")
        if not body:
            return "", np.zeros((0, 0))
        parts = self.elements(body)
        flags = struct.unpack_from(f"{self.order}I", self.part(parts))[0]
        kind = flags & 0xFF
        if kind == _OPAQUE:  # no dimensions: name, type system, class
            words = [self.part(parts).decode("latin-1") for _ in range(3)]
            return words[0], Unreadable(words[2] or "object")
        dims = np.frombuffer(self.part(parts), f"{self.order}i4")
        if not 2 <= len(dims) <= 8 or (dims < 0).any():
            raise ValueError(f"{self.path}: damaged MATLAB file (dimensions {dims[:9].tolist()})")
        shape = tuple(int(d) for d in dims)
        size = int(np.prod(dims, dtype=np.float64))
        name = self.part(parts).decode("latin-1")
        if kind in (_OBJECT, _FUNCTION):
            word = self.part(parts).decode("latin-1", "replace") if kind == _OBJECT else "function handle"
            return name, Unreadable(word)
        if kind == _SPARSE:
            return name, Unreadable("sparse array")
        if kind == _CELL:
            self.count(size)
            return name, [self.child(parts, depth) for _ in range(size)]
        if kind == _STRUCT:
            return name, self.struct(parts, size, depth)
        return name, self.text(parts, size) if kind == _CHAR else self.numbers(parts, shape, size)

    def part(self, parts: Iterator[tuple[int, bytes]]) -> bytes:
        return self.typed(parts)[1]

    def typed(self, parts: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
        found = next(parts, None)
        if found is None:
            raise ValueError(f"{self.path}: damaged MATLAB file (an array lacks a part)")
        return found

    def child(self, parts: Iterator[tuple[int, bytes]], depth: int) -> Any:
        kind, body = self.typed(parts)
        if kind != _MATRIX:
            raise ValueError(f"{self.path}: damaged MATLAB file (element of kind {kind} within a cell or struct)")
        return self.matrix(body, depth + 1)[1]

    def struct(self, parts: Iterator[tuple[int, bytes]], size: int, depth: int) -> Any:
        width = struct.unpack_from(f"{self.order}i", self.part(parts))[0]
        packed = self.part(parts)
        if width < 1 or len(packed) % width:
            raise ValueError(f"{self.path}: damaged MATLAB file (field names of {width} bytes)")
        names = [packed[k : k + width].split(b"\0")[0].decode("latin-1") for k in range(0, len(packed), width)]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.path}: damaged MATLAB file (a struct has a field twice)")
        self.count(size * (1 + len(names)))
        out = [{name: self.child(parts, depth) for name in names} for _ in range(size)]
        return out[0] if size == 1 else out

    def text(self, parts: Iterator[tuple[int, bytes]], size: int) -> str:
        kind, body = self.typed(parts)
        if kind not in _TEXTS:
            raise ValueError(f"{self.path}: damaged MATLAB file (text of kind {kind})")
        wide = {"<": "-le", ">": "-be"}[self.order] if _TEXTS[kind] in ("utf-16", "utf-32") else ""
        return body.decode(_TEXTS[kind] + wide) if size else ""

    def numbers(self, parts: Iterator[tuple[int, bytes]], shape: tuple[int, ...], size: int) -> np.ndarray:
        kind, body = self.typed(parts) if size else (9, b"")
        if kind not in _NUMBERS:
            raise ValueError(f"{self.path}: damaged MATLAB file (numbers of kind {kind})")
        dtype = np.dtype(f"{self.order}{_NUMBERS[kind]}")
        if len(body) != size * dtype.itemsize:
            raise ValueError(f"{self.path}: damaged MATLAB file ({len(body)} bytes for {size} numbers)")
        return np.frombuffer(body, dtype).reshape(shape, order="F")


def kinds_v5(file: Any, order: str, size: int) -> dict[str, str]:
    """Names of variables and the class of those that only MATLAB can read, from the beginning of each."""
    out: dict[str, str] = {}
    place = 128
    while place + 8 <= size and len(out) < 1000:
        file.seek(place)
        kind, length = struct.unpack(f"{order}2I", file.read(8))
        if kind not in (_MATRIX, _COMPRESSED) or place + 8 + length > size:
            return {}
        body = file.read(min(length, 4096))
        if kind == _COMPRESSED:
            body = zlib.decompressobj().decompress(body, 1024)[8:]
        # flags (16 bytes), then dimensions and name, or three words of an opaque object
        opaque = struct.unpack_from(f"{order}I", body, 8)[0] & 0xFF == _OPAQUE
        function = struct.unpack_from(f"{order}I", body, 8)[0] & 0xFF in (_OBJECT, _FUNCTION)
        words, at = [], 16
        for _ in range(3 if opaque else 2):
            first, long = struct.unpack_from(f"{order}2I", body, at)
            if first >> 16:
                words.append(body[at + 4 : at + 4 + (first >> 16)])
                at += 8
            else:
                words.append(body[at + 8 : at + 8 + long])
                at += 8 + long + -long % 8
        name = words[0 if opaque else 1].decode("latin-1")
        if name:
            out[name] = words[2].decode("latin-1") if opaque else ("object" if function else "")
        place += 8 + length
    return out
