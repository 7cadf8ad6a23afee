"""Weights files as tables of tensors, read one at a time; nothing in a file is ever run.

``.npz`` goes through numpy without pickle, ``.safetensors`` is memory-mapped. Names, shapes and types are known
before any tensor is read.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

_NPZ_ERRORS = (ValueError, EOFError, NotImplementedError, RuntimeError, OSError, zipfile.BadZipFile, zlib.error)


@dataclass
class WeightsFile:
    """An open weights file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    shapes : dict of str to tuple of int
        Shape of every tensor.
    dtypes : dict of str to str
        Type of every tensor, as the file names it.
    metadata : dict of str to str
        What a ``.safetensors`` says about itself.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)
    _handle: Any = None

    def is_float(self, name: str) -> bool:
        """Tell whether a tensor holds floats.

        Parameters
        ----------
        name : str
            Of the tensor.

        Returns
        -------
        bool
        """
        return self.dtypes[name].lstrip("<>=") in ("F64", "F32", "F16", "BF16", "f8", "f4", "f2")

    def read(self, name: str) -> Tensor:
        """Read one tensor of floats.

        Parameters
        ----------
        name : str
            Of the tensor.

        Returns
        -------
        torch.Tensor
            From ``.npz`` as float32.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        try:
            if isinstance(self._handle, np.lib.npyio.NpzFile):
                with np.errstate(over="ignore"):
                    return torch.from_numpy(np.asarray(self._handle[name], dtype=np.float32))
            return self._handle.get_tensor(name)
        except (SafetensorError, *_NPZ_ERRORS) as error:
            raise ValueError(f"{self.path}: {name}: cannot be read ({error})") from None


@contextmanager
def open_weights(path: str | Path) -> Iterator[WeightsFile]:
    """Open a ``.npz`` or ``.safetensors`` file.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Yields
    ------
    WeightsFile

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of another kind, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        with _open_safetensors(path) as file:
            yield file
    elif path.is_file() and zipfile.is_zipfile(path):  # numpy's own messages speak of pickles and context managers here
        with _open_npz(path) as file:
            yield file
    else:
        raise ValueError(f"{path}: expected an .npz or .safetensors file, got something else or part of one")


@contextmanager
def _open_safetensors(path: Path) -> Iterator[WeightsFile]:
    try:
        handle = safe_open(path, "pt")
        slices = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        dtypes = {name: str(part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a .safetensors file ({error})") from None
    with handle:
        yield WeightsFile(path, shapes, dtypes, dict(handle.metadata() or {}), handle)


@contextmanager
def _open_npz(path: Path) -> Iterator[WeightsFile]:
    shapes, dtypes = {}, {}
    try:
        handle = np.load(path, allow_pickle=False)
        for member in handle.zip.namelist():
            name = member.removesuffix(".npy")
            with handle.zip.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shapes[name], _, dtype = read(stream)
            dtypes[name] = dtype.str
    except _NPZ_ERRORS as error:
        raise ValueError(f"{path}: expected an .npz file of plain arrays ({error})") from None
    with handle:
        yield WeightsFile(path, shapes, dtypes, {}, handle)
