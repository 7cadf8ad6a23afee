"""MATLAB files without MATLAB: version 5 (also compressed) and version 7.3 (HDF5), as plain Python values.

A struct becomes a dictionary, an array of structs a list of dictionaries, a cell a list, text a string, everything else
a numeric array in MATLAB's shape. Sizes are checked before anything is made: the packed parts of a version 5 file can
claim any size, and so can a table of HDF5. Links out of a file are not followed. Objects of MATLAB classes (tables,
categoricals, projects of a tool) are known to MATLAB alone: they become an :class:`Unreadable`.

Version 5 after "MAT-File Format" of MathWorks; version 7.3 after what MATLAB writes into ``MATLAB_class``.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from .guarded import check_file
from .mat_v5 import byte_order, kinds_v5, read_v5
from .mat_v73 import is_v73, kinds_v73, read_v73
from .mat_values import MAX_UNPACKED, Unreadable

__all__ = ["Unreadable", "read_mat", "variable_kinds"]


def read_mat(path: Path) -> dict[str, Any]:
    """All variables of a MATLAB file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    dict of str to object
        Plain values, see above.

    Raises
    ------
    ValueError
        If it is no MATLAB file, damaged, or would unpack to too much.
    """
    data = check_file(path, max_bytes=MAX_UNPACKED).read_bytes()
    if is_v73(data):
        return read_v73(path)
    order = byte_order(data)
    if order is None:
        raise ValueError(f"{path}: not a MATLAB file of version 5 or 7.3")
    try:
        return read_v5(path, data, order)
    except (struct.error, IndexError, UnicodeDecodeError, zlib.error) as error:
        raise ValueError(f"{path}: damaged MATLAB file ({error})") from None


def variable_kinds(path: Path) -> dict[str, str]:
    """Names of the variables and a word for what they are, without reading them.

    Parameters
    ----------
    path : pathlib.Path
        Any file.

    Returns
    -------
    dict of str to str
        ``"table"`` or another class for what only MATLAB can read, else ``""``. Empty if it is no MATLAB file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
            if is_v73(head):
                return kinds_v73(path)
            order = byte_order(head)
            return {} if order is None else kinds_v5(file, order, path.stat().st_size)
    except (OSError, ValueError, RuntimeError, KeyError, struct.error, zlib.error, IndexError):
        return {}
