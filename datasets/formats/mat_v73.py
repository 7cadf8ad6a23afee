"""MATLAB files of version 7.3: HDF5 with the MATLAB class of every value in ``MATLAB_class``.

Tables are checked before they are read, and nothing is followed out of the file; see :mod:`mat_file`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .mat_values import MAX_DEPTH, MAX_UNPACKED, MAX_VALUES, Unreadable

# what h5py raises on a damaged file
_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, ValueError, OverflowError, SystemError, AttributeError)


def is_v73(data: bytes) -> bool:
    """HDF5, at once or after MATLAB's block of 512 bytes."""
    return any(data[k : k + 8] == b"\x89HDF\r\n\x1a\n" for k in (0, 512))


def kinds_v73(path: Path) -> dict[str, str]:
    """Names of variables and the class of those that only MATLAB can read."""
    import h5py

    out = {}
    with h5py.File(path, "r") as file:
        for name in map(str, file):
            if not name.startswith("#") and isinstance(file.get(name, getlink=True), h5py.HardLink):
                out[name] = _object_kind(file[name]) or ""
    return out


def _object_kind(item: Any) -> str | None:
    """Class of what only MATLAB can read."""
    kind = item.attrs.get("MATLAB_class", b"")
    word = kind.decode("latin-1") if isinstance(kind, bytes) else str(kind)
    return (word or "object") if "MATLAB_object_decode" in item.attrs else None


def read_v73(path: Path) -> dict[str, Any]:
    """All variables of a version 7.3 file."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if not any("MATLAB_class" in file[name].attrs for name in _own(file)):
                raise ValueError("no variables of MATLAB in it")
            reader = _V73(file)
            return {name: reader.value(file[name], 0) for name in _own(file) if not name.startswith("#")}
    except _DAMAGE as error:
        raise ValueError(f"{path}: damaged MATLAB file ({' '.join(str(error).split())})") from None
    except MemoryError:
        raise ValueError(f"{path}: a part of it claims more than the memory holds") from None


def _own(group: Any) -> list[str]:
    """Names of what lies in the file itself, not behind links."""
    import h5py

    return [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]


class _V73:
    """Values of a version 7.3 file, counted against one budget."""

    def __init__(self, file: Any) -> None:
        self.file, self.room, self.values = file, MAX_UNPACKED, MAX_VALUES

    def value(self, item: Any, depth: int) -> Any:
        import h5py

        self.values -= 1
        if self.values < 0 or depth > MAX_DEPTH:
            raise ValueError("too many values, or nested too deeply")
        if kind := _object_kind(item):
            return Unreadable(kind)
        if isinstance(item, h5py.Group):
            if "MATLAB_sparse" in item.attrs:
                return Unreadable("sparse array")
            return self.struct(item, depth)
        if not isinstance(item, h5py.Dataset):
            raise ValueError(f"{item.name}: neither a table nor a group")
        content = self.table(item)
        if content.dtype == h5py.ref_dtype:
            return [self.value(self.target(ref), depth + 1) for ref in content.ravel()]
        if item.attrs.get("MATLAB_class") == b"char":
            codes = content.astype(np.uint16).T.ravel(order="F") if content.size else content
            return codes.tobytes().decode("utf-16-le" if codes.dtype == np.dtype("<u2") else "utf-16-be", "replace")
        return content.T

    def struct(self, group: Any, depth: int) -> Any:
        import h5py

        names = _own(group)
        self.values -= len(names)
        fields = {name: group[name] for name in names}
        # of an array of structs, every field is a table of references that has no class of its own
        spread = [
            isinstance(f, h5py.Dataset) and f.dtype == h5py.ref_dtype and "MATLAB_class" not in f.attrs
            for f in fields.values()
        ]
        if not names or not all(spread):
            return {name: self.value(field, depth + 1) for name, field in fields.items()}
        columns = {name: self.table(field).ravel() for name, field in fields.items()}
        count = {len(c) for c in columns.values()}
        if len(count) != 1:
            raise ValueError(f"{group.name}: fields of an array of structs differ in length")
        return [
            {name: self.value(self.target(column[k]), depth + 1) for name, column in columns.items()}
            for k in range(count.pop())
        ]

    def target(self, reference: Any) -> Any:
        if not reference:
            raise ValueError("a reference to nothing")
        return self.file[reference]

    def table(self, item: Any) -> np.ndarray:
        """Content of a table, unless it lies elsewhere or claims too much; an empty one holds only its shape."""
        if item.external or item.is_virtual:
            raise ValueError(f"{item.name} lies in another file")
        size = int(item.size or 0) * item.dtype.itemsize
        self.room -= size
        if self.room < 0:
            raise ValueError(f"unpacks to more than {MAX_UNPACKED >> 20} MiB")
        content = np.asarray(item[()])
        if item.attrs.get("MATLAB_empty", 0):
            shape = tuple(int(n) for n in content.ravel()[::-1][:8])
            return np.zeros(shape if shape and 0 in shape else (0, 0))
        return content
