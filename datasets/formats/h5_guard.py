"""HDF5 files of strangers: nothing outside of the file is opened, no table is read before its size is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .guarded import check_file

MAX_BYTES = 8 << 30
MAX_TABLE = 1 << 30
_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, OverflowError, SystemError, AttributeError, UnicodeDecodeError)


@contextmanager
def open_h5(path: Path) -> Iterator[Any]:
    """An open HDF5 file; what h5py raises on damage becomes one ``ValueError``.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Yields
    ------
    h5py.File
    """
    import h5py

    check_file(path, max_bytes=MAX_BYTES)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except _DAMAGE as error:
        raise ValueError(f"{path}: damaged HDF5 file ({' '.join(str(error).split())})") from None
    except MemoryError:
        raise ValueError(f"{path}: a table claims more than the memory holds") from None


def own_items(group: Any) -> dict[str, Any]:
    """What lies in a group itself, not behind soft or external links.

    Parameters
    ----------
    group : h5py.Group
        Any.

    Returns
    -------
    dict of str to h5py.Group or h5py.Dataset
    """
    import h5py

    return {n: group[n] for n in group if isinstance(group.get(n, getlink=True), h5py.HardLink)}


def read_table(table: Any, what: str) -> np.ndarray:
    """Content of a table.

    Parameters
    ----------
    table : h5py.Dataset
        Any.
    what : str
        Its place, for the message.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If it is no table, lies in another file, or is larger than a GiB.
    """
    import h5py

    if not isinstance(table, h5py.Dataset):
        raise ValueError(f"{what}: expected a table, got a group")
    if table.external or table.is_virtual:
        raise ValueError(f"{what}: lies in another file")
    if int(table.size or 0) * table.dtype.itemsize > MAX_TABLE:
        raise ValueError(f"{what}: expected at most {MAX_TABLE >> 20} MiB, got a table of {table.shape}")
    return np.asarray(table[()])
