"""A pandas table inside an HDF5 file, read with h5py alone.

PyTables keeps part of a table's description as pickles and unpickles them on reading, so that opening a file with it
runs whatever the file says. Nothing here does. Two layouts are read:

- *fixed* (``pandas_type = frame``): values in ``block0_values``, the columns' names as levels and codes in
  ``block0_items_level<k>`` and ``block0_items_label<k>``, in the order of ``axis0``; rows in ``axis1``.
- *table* (``pandas_type = frame_table``): values in the fields ``values_block_<i>`` of ``table``; the columns' names
  exist only as a pickled list of tuples of strings. That list is taken apart opcode by opcode with `pickletools`, which
  names opcodes and executes none; anything but lists, tuples, strings and numbers is refused.
"""

from __future__ import annotations

import pickletools
from typing import Any

import h5py
import numpy as np

from .track_layout import read_whole

Columns = list[tuple[str, ...]]

_TEXT = {
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1"),
}
_SHORT_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STORE = {"PUT", "BINPUT", "LONG_BINPUT"}
_FETCH = {"GET", "BINGET", "LONG_BINGET"}
_MARK = object()
_DEEPEST = 4  # lists and tuples within each other; pandas has [(1, [(name, name)])]


def plain_list(data: bytes) -> list[Any]:
    r"""Read a pickled list of plain values without unpickling.

    Parameters
    ----------
    data : bytes
        A pickle.

    Returns
    -------
    list
        Lists, tuples, strings and integers.

    Raises
    ------
    ValueError
        If the pickle holds anything else, such as a class or a call.

    Examples
    --------
    >>> plain_list(b"(lp0\n(Vnose\np1\nVx\np2\ntp3\na.")
    [('nose', 'x')]
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, arg, _ in pickletools.genops(data):
            name = opcode.name
            if name in _TEXT:
                stack.append(arg)
            elif name in _STORE or name == "MEMOIZE":
                memo[len(memo) if name == "MEMOIZE" else int(arg)] = stack[-1]  # type: ignore[arg-type]
            elif name in _FETCH:
                stack.append(memo[int(arg)])  # type: ignore[arg-type]
            elif name not in ("PROTO", "FRAME", "STOP"):
                _build(name, stack)
        (result,) = stack
    except (IndexError, KeyError, StopIteration, TypeError, AttributeError) as error:
        raise ValueError(f"not a list of names ({type(error).__name__})") from None
    if not isinstance(result, list):
        raise ValueError(f"expected a list of names, got {type(result).__name__}")
    _refuse_depth(result)
    return result


def _refuse_depth(result: list[Any]) -> None:
    """Tuples of the same tuple twice, many deep, take a few bytes and, to compare, for ever."""
    level: list[Any] = [result]
    for _ in range(_DEEPEST):
        inner = {id(item): item for node in level for item in node if isinstance(item, list | tuple)}
        level = list(inner.values())
    if level:
        raise ValueError(f"expected names in at most {_DEEPEST} lists within each other, got more")


def _build(name: str, stack: list[Any]) -> None:
    """Make lists and tuples of what lies on the stack."""
    if name == "MARK":
        stack.append(_MARK)
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name in _SHORT_TUPLES:
        at = len(stack) - _SHORT_TUPLES[name]
        stack[at:] = [tuple(stack[at:])]
    elif name in ("LIST", "TUPLE", "APPENDS"):
        at = len(stack) - 1 - next(i for i, item in enumerate(reversed(stack)) if item is _MARK)
        items = stack[at + 1 :]
        del stack[at:]
        if name == "APPENDS":
            stack[-1].extend(items)
        else:
            stack.append(items if name == "LIST" else tuple(items))
    else:
        raise ValueError(f"the opcode {name} is more than plain data")


def is_pandas_table(group: Any) -> bool:
    """Whether pandas wrote this group.

    Parameters
    ----------
    group : h5py.Group
        Any object of the file.

    Returns
    -------
    bool
    """
    return isinstance(group, h5py.Group) and "pandas_type" in group.attrs


def read_pandas_table(group: Any) -> tuple[Columns, list[str], np.ndarray]:
    """Read a data frame with a column index of several levels.

    Parameters
    ----------
    group : h5py.Group
        What pandas wrote.

    Returns
    -------
    columns : list of tuple of str
        One tuple per column.
    rows : list of str
        Names of the rows; integers as text, the parts of an index of several levels joined by ``/``.
    values : numpy.ndarray
        float64, shape (rows, columns).

    Raises
    ------
    ValueError
        If the layout is another one.
    """
    kind = _text(group.attrs["pandas_type"])
    try:
        if kind == "frame":
            return _fixed(group)
        if kind == "frame_table":
            return _table(group)
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the table {group.name} lacks {error}") from None
    raise ValueError(f"expected a data frame in {group.name}, got {kind!r}")


def _fixed(group: Any) -> tuple[Columns, list[str], np.ndarray]:
    columns, blocks = [], []
    for i in range(int(group.attrs["nblocks"])):
        stored = group[f"block{i}_values"]
        values = read_whole(stored) if stored.attrs.get("transposed", 0) else read_whole(stored).T
        columns += _index(group, f"block{i}_items")
        blocks.append(values.astype(np.float64))
    return _ordered(columns, _index(group, "axis0"), _index(group, "axis1"), blocks)


def _table(group: Any) -> tuple[Columns, list[str], np.ndarray]:
    kinds = group["table"].attrs
    table: Any = read_whole(group["table"])
    names = sorted(n for n in table.dtype.names if n != "index")  # values_block_0, values_block_1, ...
    columns, blocks = [], []
    for name in names:
        columns += plain_list(bytes(kinds[f"{name}_kind"]))
        blocks.append(table[name].astype(np.float64).reshape(len(table), -1))
    order = dict(plain_list(bytes(group.attrs["non_index_axes"]))).get(1, columns)
    return _ordered(columns, list(order), [(_text(v),) for v in table["index"]], blocks)


def _ordered(
    columns: list[Any], order: list[Any], rows: list[Any], blocks: list[np.ndarray]
) -> tuple[Columns, list[str], np.ndarray]:
    """Pandas keeps columns of one type together; put them back into the order that people saw."""
    values = np.concatenate(blocks, axis=1)
    if values.shape != (len(rows), len(columns)) or sorted(columns) != sorted(order):
        raise ValueError(f"expected {len(rows)} rows of {len(order)} columns, got values of shape {values.shape}")
    place = {column: i for i, column in enumerate(columns)}
    return order, ["/".join(row) for row in rows], values[:, [place[column] for column in order]]


def _index(group: Any, name: str) -> Columns:
    if _text(group.attrs.get(f"{name}_variety", b"regular")) == "regular":
        if group[name].dtype.kind not in "iuS":
            raise ValueError(f"expected numbers or strings in {group.name}/{name}, got {group[name].dtype}")
        return [(_text(value),) for value in read_whole(group[name])]
    parts = []
    for k in range(int(group.attrs[f"{name}_nlevels"])):
        level = group[f"{name}_level{k}"]
        if level.dtype.kind not in "iuS":
            raise ValueError(f"expected numbers or strings in {level.name}, got {level.dtype}")
        words, codes = [_text(value) for value in read_whole(level)], read_whole(group[f"{name}_label{k}"])
        if codes.min(initial=0) < 0:  # pandas' own mark for a name that is missing
            raise ValueError(f"expected a name for every place of {group.name}/{name}, got some without")
        parts.append([words[code] for code in codes])
    return list(zip(*parts, strict=True))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
