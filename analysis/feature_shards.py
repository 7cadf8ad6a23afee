"""What belongs to a shard of a feature store, and its checksum.

A shard is a run of sampled frames of all individuals, with the clips that begin there. The checksum begins with the
store's key, so that a shard of another store never fits.
"""

from __future__ import annotations

import json
import math
import warnings
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from .store import read_attrs

CHUNK_BYTES = 3 << 19  # 1.5 MiB
SHARD_BYTES = 64 << 20
MAX_SHARD_FRAMES = 8192  # however small they are: what a crash may cost
OF_FRAMES = ("feature", "valid", "decodable")
OF_CLIPS = ("clip_embedding", "clip_valid", "text_aligned")
OF_SHARDS = ("done", "checksum", "shard_batch")  # variables with one entry a shard


def shard_frames(num_individuals: int, frame_bytes: int, multiple_of: int = 1) -> tuple[int, int]:
    """How many sampled frames go into a chunk and into a shard.

    Parameters
    ----------
    num_individuals : int
        A shard holds all of them.
    frame_bytes : int
        Features of one individual in one frame.
    multiple_of : int
        What the shard must be a multiple of: frames from one clip to the next.

    Returns
    -------
    (int, int)
        About 1.5 MiB and 64 MiB; a shard is a whole number of chunks.

    Examples
    --------
    >>> shard_frames(1, 16 * 768 * 2, 16), shard_frames(1, 256 * 768 * 2, 16), shard_frames(1, 768 * 2, 16)
    ((64, 2688), (4, 160), (1024, 8192))
    """
    shard = max(1, min(MAX_SHARD_FRAMES, SHARD_BYTES // (num_individuals * frame_bytes)))
    chunk = min(1 << max(0, (CHUNK_BYTES // frame_bytes).bit_length() - 1), 1 << (shard.bit_length() - 1))
    unit = math.lcm(chunk, multiple_of)
    return chunk, max(1, shard // unit) * unit


@dataclass(frozen=True)
class Shards:
    """The shards of an open store.

    Parameters
    ----------
    arrays : mapping of str to zarr.Array
        Its variables.
    key : str
        Its key.
    """

    arrays: Mapping[str, Any]
    key: str

    @property
    def variables(self) -> list[str]:
        """What is written shard by shard."""
        return [name for name in (*OF_FRAMES, *OF_CLIPS) if name in self.arrays]

    @property
    def size(self) -> int:
        """Sampled frames in a shard."""
        return int(self.arrays["feature"].shards[1])

    @property
    def clips_per_shard(self) -> int:
        """Clips in a shard; 0 if there are none."""
        return int(self.arrays["clip_embedding"].chunks[1]) if "clip_embedding" in self.arrays else 0

    @property
    def num_frames(self) -> int:
        """Sampled frames in all of them."""
        return int(self.arrays["feature"].shape[1])

    def __len__(self) -> int:
        return -(-self.num_frames // self.size)

    def frames(self, k: int) -> tuple[int, int]:
        """Half-open interval of sampled frames in a shard.

        Parameters
        ----------
        k : int
            Which shard.

        Returns
        -------
        (int, int)
        """
        return k * self.size, min((k + 1) * self.size, self.num_frames)

    def clips(self, k: int) -> tuple[int, int]:
        """Half-open interval of clips in a shard.

        Parameters
        ----------
        k : int
            Which shard.

        Returns
        -------
        (int, int)
        """
        of_shard = self.clips_per_shard
        if not of_shard:
            return 0, 0
        of_all = int(self.arrays["clip_embedding"].shape[1])
        return min(k * of_shard, of_all), min((k + 1) * of_shard, of_all)

    def part(self, name: str, k: int) -> tuple[slice, ...]:
        """Where a shard lies in a variable.

        Parameters
        ----------
        name : str
            The variable.
        k : int
            Which shard.

        Returns
        -------
        tuple of slice
        """
        a, b = self.clips(k) if name in OF_CLIPS else self.frames(k)
        return (slice(a, b),) if name == "decodable" else (slice(None), slice(a, b))

    def file(self, name: str, k: int) -> str:
        """Name of the one file of a variable's shard, within the variable's folder.

        Parameters
        ----------
        name : str
            The variable.
        k : int
            Which shard.

        Returns
        -------
        str
        """
        array = self.arrays[name]
        place = (k,) if array.ndim == 1 else (0, k, *(0 for _ in array.shape[2:]))
        return str(array.metadata.encode_chunk_key(place))

    def checksum(self, k: int, known: Mapping[str, np.ndarray]) -> int:
        """CRC-32 over the key and all that belongs to a shard.

        Parameters
        ----------
        k : int
            Which shard.
        known : mapping of str to numpy.ndarray
            What is at hand; the rest is read.

        Returns
        -------
        int
        """
        checksum = zlib.crc32(self.key.encode())
        for name in self.variables:
            array = self.arrays[name]
            values = known[name] if name in known else array[self.part(name, k)]
            values = np.ascontiguousarray(values, dtype=array.dtype)
            if values.size:
                checksum = zlib.crc32(values.view(np.uint8).data, checksum)
        return checksum

    def verified(self, shards: Iterable[int]) -> np.ndarray:
        """Which shards have their flag and, of ``shards``, hold what their checksum says.

        Parameters
        ----------
        shards : iterable of int
            Which ones to read.

        Returns
        -------
        numpy.ndarray
            bool, shape (shards of the store,).
        """
        done = self.arrays["done"][:].astype(bool)
        checksums = self.arrays["checksum"][:]
        for k in shards:
            try:
                done[k] = done[k] and self.checksum(k, {}) == checksums[k]
            except Exception:  # a damaged shard fails in zarr's codecs, each with errors of its own
                done[k] = False
        return done


def coordinate_checksums(dataset: xr.Dataset) -> dict[str, int]:
    """CRC-32 of what is known before the first frame is decoded, and does not change.

    Parameters
    ----------
    dataset : xarray.Dataset
        A store, or the template that it is made from.

    Returns
    -------
    dict of str to int
        By variable.
    """
    out = {}
    for name in sorted({*map(str, dataset.coords), "window_position", "edge_time"} & set(map(str, dataset.variables))):
        values = dataset[name].values
        plain = values.dtype.kind in "biuf"
        data = np.ascontiguousarray(values).tobytes() if plain else "\0".join(map(str, values.tolist())).encode()
        out[name] = zlib.crc32(data)
    return out


def damaged_coordinates(path: str | Path) -> list[str]:
    """Compare a feature store's coordinates with their checksums.

    Parameters
    ----------
    path : str or pathlib.Path
        A feature store.

    Returns
    -------
    list of str
        Variables that are not what was written; of a store of an older version nothing is known.
    """
    attrs = read_attrs(path, "features")
    known = json.loads(attrs.get("coordinates_crc32", "{}"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with xr.open_zarr(path, chunks=None, consolidated=False) as dataset:
            found = coordinate_checksums(dataset) if known else {}
    return [name for name, value in known.items() if found.get(name) != value]


def damaged_shards(path: str | Path) -> list[tuple[int, int]]:
    """Read a whole feature store and compare it with its checksums.

    Parameters
    ----------
    path : str or pathlib.Path
        A feature store.

    Returns
    -------
    list of (int, int)
        Half-open intervals of sampled frames that are not what was written; empty if all is well.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no feature store, or an older version made it, with other checksums.
    """
    attrs = read_attrs(path, "features")
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    shards = Shards(dict(group.arrays()), str(attrs["key"]))
    if missing := [name for name in (*OF_SHARDS, "decodable") if name not in shards.arrays]:
        raise ValueError(f"{path}: expected a store with {missing[0]!r}, got one of an older version; extract again")
    return [shards.frames(int(k)) for k in np.flatnonzero(~shards.verified(range(len(shards))))]
