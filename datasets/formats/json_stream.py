"""Large JSON files from beginning to end, in little memory: what is not wanted is passed over without being kept."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from .guarded import check_file

MAX_BYTES = 16 << 30
MAX_VALUE = 64 << 20
MAX_DEPTH = 200
_CHUNK = 1 << 20
_SPACE = re.compile(rb"[ \t\r\n]*")
_MARK = re.compile(rb'["\[\]{}]')
_STRING_END = re.compile(rb'["\\]')
_SCALAR_END = re.compile(rb"[,\]}\s]")


class JsonStream:
    """A JSON file that is read once, forwards.

    Parameters
    ----------
    path : pathlib.Path
        The file, plain or gzip.

    Raises
    ------
    ValueError
        If it is not JSON, damaged, or a value that is wanted is larger than 64 MiB.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_file(path, max_bytes=MAX_BYTES)
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        self._file: Any = gzip.open(path) if packed else path.open("rb")  # noqa: SIM115  (closed by the with block)
        self._data, self._place, self._taken, self._total = b"", 0, False, 0

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def entries(self) -> Iterator[str]:
        """Keys of the object that comes next; the value of each must be taken before the next key is asked for."""
        self._expect(b"{")
        if self._peek() == b"}":
            self._place += 1
            return
        seen: set[str] = set()
        while True:
            if self._peek() != b'"':
                raise self._damage("expected a key")
            key = self.value()
            if key in seen:
                raise self._damage(f"the key {key[:60]!r} stands twice in one object")
            seen.add(key)
            self._expect(b":")
            self._taken = False
            yield key
            if not self._taken:
                raise RuntimeError("the value of a key was not taken")
            mark = self._peek()
            self._place += 1
            if mark == b"}":
                self._taken = True
                return
            if mark != b",":
                raise self._damage("expected ',' or '}'")

    def value(self) -> Any:
        """The value that comes next."""
        kept = bytearray()
        self._pass(kept)

        def refuse(word: str) -> Any:
            raise self._damage(f"expected numbers, got {word}")

        try:
            return json.loads(bytes(kept).decode("utf-8"), parse_constant=refuse)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._damage(f"{type(error).__name__} in a value") from None

    def skip(self) -> None:
        """Pass over the value that comes next; it is not looked at beyond its brackets."""
        self._pass(None)

    def end(self) -> None:
        """Nothing may follow."""
        if self._peek():
            raise self._damage("something follows the end")

    def _damage(self, what: str) -> ValueError:
        return ValueError(f"{self.path}: not JSON near byte {self._total - len(self._data) + self._place} ({what})")

    def _more(self) -> bool:
        """Another chunk; what is behind is let go."""
        try:
            chunk = self._file.read(_CHUNK)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{self.path}: damaged gzip file ({error})") from None
        self._total += len(chunk)
        if self._total > MAX_BYTES:
            raise ValueError(f"{self.path}: unpacks to more than {MAX_BYTES >> 30} GiB")
        self._data, self._place = self._data[self._place :] + chunk, 0
        return bool(chunk)

    def _peek(self) -> bytes:
        """The next byte that is no space; empty at the end."""
        while True:
            self._place = _SPACE.match(self._data, self._place).end()  # type: ignore[union-attr]
            if self._place < len(self._data):
                return self._data[self._place : self._place + 1]
            if not self._more():
                return b""

    def _expect(self, mark: bytes) -> None:
        if self._peek() != mark:
            raise self._damage(f"expected {mark.decode()!r}")
        self._place += 1

    def _take(self, end: int, kept: bytearray | None) -> None:
        """Move on to ``end``."""
        if kept is not None:
            kept.extend(self._data[self._place : end])
            if len(kept) > MAX_VALUE:
                raise ValueError(f"{self.path}: expected values of at most {MAX_VALUE >> 20} MiB")
        self._place = end

    def _pass(self, kept: bytearray | None) -> None:
        first = self._peek()
        if not first:
            raise self._damage("it ends too early")
        if first == b'"':
            self._string(kept)
        elif first in b"[{":
            self._nested(kept)
        else:
            self._scalar(kept)
        self._taken = True

    def _find(self, pattern: re.Pattern[bytes], kept: bytearray | None) -> re.Match[bytes] | None:
        """The next match; everything before it is taken. None at the end of the file."""
        while True:
            found = pattern.search(self._data, self._place)
            if found:
                self._take(found.start(), kept)
                return found
            self._take(len(self._data), kept)
            if not self._more():
                return None

    def _scalar(self, kept: bytearray | None) -> None:
        self._find(_SCALAR_END, kept)

    def _string(self, kept: bytearray | None) -> None:
        self._take(self._place + 1, kept)
        while True:
            found = self._find(_STRING_END, kept)
            if found is None:
                raise self._damage("it ends within a text")
            if found[0] == b'"':
                self._take(self._place + 1, kept)
                return
            if self._place + 2 > len(self._data):
                self._more()
            self._take(min(self._place + 2, len(self._data)), kept)

    def _nested(self, kept: bytearray | None) -> None:
        """Brackets and texts alone tell where a value ends."""
        open_marks = bytearray()
        while True:
            for found in _MARK.finditer(self._data, self._place):
                mark = found[0]
                if mark == b'"':
                    self._take(found.start(), kept)
                    self._string(kept)
                    break
                if mark in b"[{":
                    open_marks += mark
                    if len(open_marks) > MAX_DEPTH:
                        raise self._damage("nested too deeply")
                elif open_marks[-1] != (0x5B if mark == b"]" else 0x7B):
                    raise self._damage("brackets do not match")
                else:
                    del open_marks[-1]
                    if not open_marks:
                        self._take(found.end(), kept)
                        return
            else:
                self._take(len(self._data), kept)
                if not self._more():
                    raise self._damage("it ends within brackets")
