"""The feature store: one zarr v3 group per recording and setting, written shard by shard.

Readable with plain ``xarray.open_zarr``. While it grows the store is called ``<name>.partial``; it gets its name
when the last shard is in, so that a store under its own name is always whole. A shard is the unit of commit: its
data are written first, its checksum and ``done`` flag after that, and whatever has no flag is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from behavior_prism.files import put_in_place, remove
from behavior_prism.schemas import validate_features

CHUNK_BYTES = 3 << 19  # 1.5 MiB
SHARD_FRAMES = 1024
MARKER = "behavior_prism"


def settings_key(settings: Mapping[str, Any]) -> str:
    """Hash of every setting that changes the numbers.

    Parameters
    ----------
    settings : mapping
        JSON-compatible.

    Returns
    -------
    str
        SHA-256, hex.

    Examples
    --------
    >>> settings_key({"a": 1, "b": 2}) == settings_key({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def partial_path(path: Path) -> Path:
    """Where a store lies until it is whole.

    Parameters
    ----------
    path : pathlib.Path
        Its final place.

    Returns
    -------
    pathlib.Path
    """
    return path.with_name(path.name + ".partial")


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep every other process from writing the same store; ends with the process, however that ends.

    Parameters
    ----------
    path : pathlib.Path
        Final place of the store.

    Raises
    ------
    BlockingIOError
        If another process is writing it.

    Yields
    ------
    None
    """
    try:
        import fcntl
    except ImportError:  # Windows: two processes on one output are not told apart there
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(file.fileno()), lock.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False
        except OSError:  # a file system without locks
            mine = True
        if not mine:  # or its owner, who was just done, removed the file that we hold
            raise BlockingIOError(f"{path}: another process is writing it; wait for that one or stop it")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


class FeatureWriter:
    """Writes one feature store, from the start or from where an earlier run stopped.

    Parameters
    ----------
    path : pathlib.Path
        Final place of the store.
    settings : mapping
        What the key is made of.
    template : xarray.Dataset
        Coordinates, ``valid`` and ``window_position``, all known before the first frame is decoded.
    num_tokens, num_channels : int
        Size of the features of one frame.
    attrs : mapping
        Attributes that do not enter the key.
    overwrite : bool
        Begin anew where a store was begun with other settings.

    Attributes
    ----------
    done : numpy.ndarray
        Which shards are in, bool, shape (shards,).

    Raises
    ------
    FileExistsError
        If a store was begun with other settings and ``overwrite`` is not set, or something else is there.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        template: xr.Dataset,
        *,
        num_tokens: int,
        num_channels: int,
        attrs: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self.partial = partial_path(path)
        self.key = settings_key(settings)
        self.num_frames = template.sizes["time"]
        self.num_shards = -(-self.num_frames // SHARD_FRAMES)
        done = self._resume(settings, attrs, overwrite)
        if done is None:
            self._create(settings, template, num_tokens, num_channels, attrs)
            done = np.zeros(self.num_shards, dtype=bool)
        self._group: Any = zarr.open_group(self.partial, mode="r+", use_consolidated=False)
        self.done = done

    def _resume(self, settings: Mapping[str, Any], attrs: Mapping[str, Any], overwrite: bool) -> np.ndarray | None:
        """Which shards an earlier run has left; None (and nothing in the way) if there was none to go on with."""
        if not self.partial.exists():
            return None
        begun = _attrs_of(self.partial)
        if begun.get("key") == self.key and begun.get("batch") == attrs.get("batch"):
            try:
                return self._verify()
            except Exception:  # whatever zarr says of broken metadata: without flags nothing of it can be trusted
                self.discard()
                return None
        if begun.get(MARKER) != "features" and not (self.partial / "zarr.json").exists():
            raise FileExistsError(f"{self.partial}: expected an unfinished feature store, got something else")
        if begun and not overwrite:
            before = {**json.loads(begun.get("settings", "{}")), "batch": begun.get("batch")}
            now = {**settings, "batch": attrs.get("batch")}
            raise FileExistsError(
                f"{self.partial}: begun with another {', '.join(sorted(k for k in now if before.get(k) != now[k]))}; "
                "extract as before to finish it, choose another name or overwrite it explicitly (--overwrite)"
            )
        self.discard()
        return None

    def _create(
        self,
        settings: Mapping[str, Any],
        template: xr.Dataset,
        num_tokens: int,
        num_channels: int,
        attrs: Mapping[str, Any],
    ) -> None:
        fresh = self.partial.with_name(self.partial.name + ".new")
        remove(fresh)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        template = template.assign(
            done=("shard", np.zeros(self.num_shards, dtype=bool)),
            checksum=("shard", np.zeros(self.num_shards, dtype=np.uint32)),
        )
        template.attrs = {
            MARKER: "features",
            "key": self.key,
            "settings": json.dumps(dict(settings), sort_keys=True),
            **attrs,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # zarr: text arrays have no frozen v3 specification yet
            template.to_zarr(fresh, mode="w", zarr_format=3, consolidated=False)
            individuals = template.sizes["individual"]
            frame_bytes = num_tokens * num_channels * 2
            chunk = min(SHARD_FRAMES, 1 << max(0, int(np.log2(max(1, CHUNK_BYTES // frame_bytes)))))
            zarr.open_group(fresh, mode="r+").create_array(
                "feature",
                shape=(individuals, self.num_frames, num_tokens, num_channels),
                dtype=np.float16,
                chunks=(1, chunk, num_tokens, num_channels),
                shards=(individuals, SHARD_FRAMES, num_tokens, num_channels),
                dimension_names=("individual", "time", "token", "channel"),
                fill_value=np.nan,
            )
        fresh.replace(self.partial)

    def _verify(self) -> np.ndarray:
        """Which shards have their flag and hold what their checksum says."""
        arrays: dict[str, Any] = dict(zarr.open_group(self.partial, mode="r", use_consolidated=False).arrays())
        done = arrays["done"][:].astype(bool)
        checksums = arrays["checksum"][:]
        feature = arrays["feature"]
        for k in np.flatnonzero(done):
            a, b = self.shard_frames(int(k))
            try:
                done[k] = _checksum(feature[:, a:b]) == checksums[k]
            except Exception:  # a damaged shard fails in zarr's codecs, each with errors of its own
                done[k] = False
        return done

    def shard_frames(self, k: int) -> tuple[int, int]:
        """Half-open interval of sampled frames in shard ``k``.

        Parameters
        ----------
        k : int
            Which shard.

        Returns
        -------
        (int, int)
        """
        return k * SHARD_FRAMES, min((k + 1) * SHARD_FRAMES, self.num_frames)

    def write(self, k: int, feature: np.ndarray) -> None:
        """Write one shard and commit it.

        Parameters
        ----------
        k : int
            Which shard.
        feature : numpy.ndarray
            float16, shape (individuals, frames of the shard, tokens, channels).

        Raises
        ------
        ValueError
            If the array does not cover exactly the shard.
        """
        a, b = self.shard_frames(k)
        if feature.shape[1] != b - a:
            raise ValueError(f"shard {k}: expected {b - a} frames, got {feature.shape[1]}")
        feature = np.ascontiguousarray(feature, dtype=np.float16)
        array = self._group["feature"]
        # zarr reads what is there before it writes, and a damaged shard cannot be read
        remove(self.partial / "feature" / array.metadata.encode_chunk_key((0, k, 0, 0)))
        array[:, a:b] = feature
        self._group["checksum"][k] = _checksum(feature)
        self._group["done"][k] = True
        self.done[k] = True

    def finish(self) -> None:
        """Give the whole store its name; only now a store that it replaces goes."""
        if not self.done.all():
            raise ValueError(f"{self.partial}: {int((~self.done).sum())} of {self.num_shards} shards are missing")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # zarr: consolidated metadata are an extension of v3
            zarr.consolidate_metadata(str(self.partial))
        put_in_place(self.partial, self.path)

    def discard(self) -> None:
        """Remove what was begun."""
        shutil.rmtree(self.partial, ignore_errors=True)


def _checksum(feature: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(feature).tobytes())


def _attrs_of(path: Path) -> dict[str, Any]:
    try:
        return dict(zarr.open_group(path, mode="r").attrs)
    except (FileNotFoundError, ValueError, KeyError, NotADirectoryError):
        return {}


def read_attrs(path: str | Path, kind: str) -> dict[str, Any]:
    """Attributes of one of our zarr groups.

    Parameters
    ----------
    path : str or pathlib.Path
        A zarr group.
    kind : str
        ``"features"`` or ``"predictions"``.

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no group, or it is something else.
    """
    path = Path(path)
    if not path.exists():
        hint = (
            f" ({partial_path(path).name} is there: extract again to finish it)" if partial_path(path).exists() else ""
        )
        raise FileNotFoundError(f"{path}: no such {kind} store{hint}")
    try:
        attrs = dict(zarr.open_group(path, mode="r").attrs)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        raise ValueError(f"{path}: expected a {kind} store (a zarr folder), got something else") from None
    if attrs.get(MARKER) != kind:
        raise ValueError(f"{path}: expected a {kind} store, got {attrs.get(MARKER) or 'a foreign zarr group'}")
    return attrs


def open_features(path: str | Path) -> xr.Dataset:
    """Open a feature store, lazily.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.features.zarr`` folder.

    Returns
    -------
    xarray.Dataset
        ``feature(individual, time, token, channel)`` float16, ``valid``, ``window_position``; the settings lie in
        ``attrs``.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no store, it is not one of ours, or it is unfinished.

    Examples
    --------
    >>> features = open_features("out/arena.features.zarr")  # doctest: +SKIP
    >>> features.feature.sizes                               # doctest: +SKIP
    """
    path = Path(path)
    read_attrs(path, "features")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset = xr.open_zarr(path, chunks=None)
    if not bool(dataset["done"].all()):
        missing = int((~dataset["done"]).sum())
        raise ValueError(f"{path}: unfinished: {missing} of {dataset.sizes['shard']} shards are missing; extract again")
    return validate_features(dataset.drop_vars(["done", "checksum"]))
