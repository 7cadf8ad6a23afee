"""Data frames in HDF5 as pandas writes them through PyTables, written with h5py; see ``track_pytables``."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np


def _multi_index(group: h5py.Group, name: str, tuples: list[tuple[str, ...]], level_names: tuple[str, ...]) -> None:
    group.attrs[f"{name}_variety"] = np.bytes_("multi")
    group.attrs[f"{name}_nlevels"] = len(level_names)
    for k, level_name in enumerate(level_names):
        words = sorted({t[k] for t in tuples})
        level = group.create_dataset(f"{name}_level{k}", data=np.array(words, dtype="S"))
        level.attrs["kind"], level.attrs["name"] = np.bytes_("string"), np.bytes_(level_name)
        codes = np.array([words.index(t[k]) for t in tuples], dtype=np.int8)
        group.create_dataset(f"{name}_label{k}", data=codes)


def write_fixed(
    path: Path,
    columns: list[tuple[str, ...]],
    rows: np.ndarray | list[tuple[str, ...]],
    values: np.ndarray,
    *,
    blocks: list[list[int]] | None = None,
    key: str = "df_with_missing",
) -> Path:
    """The layout ``fixed``; ``blocks`` tells which columns lie together, as pandas groups them by type."""
    names = ("scorer", "individuals", "bodyparts", "coords")
    levels = names if len(columns[0]) == 4 else (names[0], *names[2:])
    with h5py.File(path, "w") as file:
        group = file.create_group(key)
        group.attrs["pandas_type"], group.attrs["encoding"] = np.bytes_("frame"), np.bytes_("UTF-8")
        _multi_index(group, "axis0", columns, levels)
        if isinstance(rows, list):
            _multi_index(group, "axis1", rows, ("", "", ""))
        else:
            group.attrs["axis1_variety"] = np.bytes_("regular")
            group.create_dataset("axis1", data=rows).attrs["name"] = np.bytes_("N.")  # a pickled None
        blocks = [list(range(len(columns)))] if blocks is None else blocks
        group.attrs["nblocks"] = len(blocks)
        for i, block in enumerate(blocks):
            _multi_index(group, f"block{i}_items", [columns[c] for c in block], levels)
            stored = group.create_dataset(f"block{i}_values", data=values[:, block])
            stored.attrs["transposed"] = np.uint8(1)
    return path


def pickled(columns: list[tuple[str, ...]]) -> bytes:
    """A list of tuples of strings in the oldest protocol, without memo."""
    tuples = b"".join(b"(" + b"".join(b"V%s\n" % w.encode() for w in t) + b"ta" for t in columns)
    return b"(l" + tuples + b"."


def write_table(
    path: Path,
    columns: list[tuple[str, ...]],
    rows: np.ndarray,
    values: np.ndarray,
    *,
    kind: bytes | None = None,
) -> Path:
    """The layout ``table``, whose column names are a pickle: ``kind`` puts another one in its place."""
    names = pickled(columns)
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_("frame_table")
        group.attrs["info"] = np.bytes_("cos\nsystem\n(S'exit 1'\ntR.")  # never looked at
        group.attrs["non_index_axes"] = np.bytes_(b"(l(L1L\n" + names[:-1] + b"ta.")
        dtype = [("index", rows.dtype), ("values_block_0", "<f8", (len(columns),))]
        table = np.empty(len(rows), dtype=dtype)
        table["index"], table["values_block_0"] = rows, values
        stored = group.create_dataset("table", data=table)
        stored.attrs["values_block_0_kind"] = np.bytes_(names if kind is None else kind)
    return path
