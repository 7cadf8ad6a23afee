"""Tables of NWB files (hdmf's ``DynamicTable``), read with h5py from within the file alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .h5_guard import own_items, read_table
from .sleap_file import texts_in

PLACES = ("processing", "intervals", "events", "analysis", "scratch")


def tables_of_type(file: Any, *types: str) -> list[Any]:
    """Tables of these types, wherever behaviour may be kept.

    Parameters
    ----------
    file : h5py.File
        An open NWB file.
    *types : str
        Values of ``neurodata_type``.

    Returns
    -------
    list of h5py.Group
        In the order of their paths.
    """
    top = own_items(file)
    return [one for place in PLACES if place in top for one in _within(top[place], 3) if kind_of(one) in types]


def kind_of(node: Any) -> str:
    """The ``neurodata_type`` of a group.

    Parameters
    ----------
    node : h5py.Group or h5py.Dataset
        Any.

    Returns
    -------
    str
    """
    return attribute(node, "neurodata_type")


def attribute(node: Any, name: str) -> str:
    """An attribute of text, empty where it is not there.

    Parameters
    ----------
    node : h5py.Group or h5py.Dataset
        Any.
    name : str
        Name of the attribute.

    Returns
    -------
    str
    """
    value = node.attrs.get(name, "")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def linked(file: Any, group: Any, name: str) -> Any | None:
    """What a link of a group leads to, if it lies in the same file.

    Parameters
    ----------
    file : h5py.File
        The open file.
    group : h5py.Group
        Which has the link.
    name : str
        Name of the link.

    Returns
    -------
    h5py.Group or h5py.Dataset or None
    """
    import h5py

    link = group.get(name, getlink=True)
    if isinstance(link, h5py.HardLink):
        return group[name]
    if not isinstance(link, h5py.SoftLink):
        return None
    node: Any = file if link.path.startswith("/") else group
    for part in (p for p in link.path.split("/") if p):
        node = own_items(node).get(part) if hasattr(node, "keys") else None
    return node


def _within(group: Any, depth: int) -> Iterator[Any]:
    if not hasattr(group, "keys"):
        return
    for one in own_items(group).values():
        if hasattr(one, "keys"):
            yield one
            if depth > 1:
                yield from _within(one, depth - 1)


class NwbTable:
    """One table: its columns as text or numbers.

    Parameters
    ----------
    group : h5py.Group
        The table.
    what : str
        File and place, for messages.
    """

    def __init__(self, group: Any, what: str) -> None:
        self.group, self.what, self.items = group, f"{what}, {group.name}", own_items(group)
        columns = np.ravel(group.attrs.get("colnames", []))
        names = [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in columns]
        self.columns = [n for n in names if n in self.items]

    def __contains__(self, name: str) -> bool:
        return name in self.items

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers."""
        if name not in self.items:
            raise ValueError(f"{self.what}: expected the column {name!r}, got {self.columns}")
        values = read_table(self.items[name], f"{self.what}/{name}")
        if values.ndim != 1 or values.dtype.kind not in "fiub":
            raise ValueError(f"{self.what}/{name}: expected a column of numbers")
        return values

    def times(self, name: str) -> np.ndarray:
        """A column of times [s], all of them known."""
        values = self.numbers(name).astype(np.float64)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ValueError(f"{self.what}/{name}, row {row}: expected a time, got {values[row]}")
        return values

    def lists(self, name: str) -> list[list[str]]:
        """A column of text whose cells hold several words each."""
        values = texts_in(self.items[name], f"{self.what}/{name}")
        ends = self.numbers(f"{name}_index").astype(np.int64)
        if len(ends) and ((np.diff(ends) < 0).any() or ends[0] < 0 or ends[-1] > len(values)):
            raise ValueError(f"{self.what}/{name}_index: expected places within {name!r} in order")
        return [values[a:b] for a, b in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]

    def texts(self, name: str, count: int | None = None) -> list[str]:
        """A column of text; where a cell holds several words, they are joined by ``|``."""
        if name not in self.items:
            if count is None:
                raise ValueError(f"{self.what}: expected the column {name!r}, got {self.columns}")
            return [""] * count
        if f"{name}_index" in self.items:
            values = ["|".join(words) for words in self.lists(name)]
        else:
            values = texts_in(self.items[name], f"{self.what}/{name}")
        if count is not None and len(values) != count:
            raise ValueError(f"{self.what}/{name}: expected {count} rows, got {len(values)}")
        return values

    def anything(self, name: str, count: int) -> np.ndarray | list[str] | None:
        """A column of text or numbers; None if it is neither, or has another length."""
        try:
            if self.items[name].dtype.kind in "OSU":
                return self.texts(name, count)
            values = self.numbers(name)
        except (ValueError, AttributeError):
            return None
        return values if len(values) == count else None
