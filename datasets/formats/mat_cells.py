"""Cells of MATLAB to and from lists, for the formats that keep one entry per animal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def numbers(value: Any, where: str) -> np.ndarray:
    """A numeric array as one row of floats.

    Parameters
    ----------
    value : object
        What a MATLAB file holds.
    where : str
        Its place, for the message.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If it is no array of numbers.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        raise ValueError(f"{where}: expected numbers, got {'nothing' if value is None else type(value).__name__}")
    return value.ravel(order="F").astype(np.float64)


def cells(value: Any, where: str) -> list[Any]:
    """A cell as a list; what MATLAB writes in place of an empty one is an empty list, one plain value a list of it.

    Parameters
    ----------
    value : object
        What a MATLAB file holds.
    where : str
        Its place, for the message.

    Returns
    -------
    list

    Raises
    ------
    ValueError
        If it is a struct or a value that only MATLAB can read.
    """
    if value is None or (isinstance(value, np.ndarray) and not value.size):
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, (str, np.ndarray)):
        return [value]
    raise ValueError(f"{where}: expected a cell, got {type(value).__name__}")


def cell_row(values: Sequence[Any]) -> np.ndarray:
    """Values as a cell of one row, for ``scipy.io.savemat``.

    Parameters
    ----------
    values : sequence of object
        Arrays, texts or cells.

    Returns
    -------
    numpy.ndarray
        Object array, shape (1, n).
    """
    out = np.empty((1, len(values)), dtype=object)
    for k, value in enumerate(values):
        out[0, k] = value
    return out
