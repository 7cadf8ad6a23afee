"""Writing one feature store, shard by shard.

While it grows the store is called ``<name>.partial``; it gets its name when the last shard is in, so that a store
under its own name is always whole. A shard is the unit of commit: its data are written first, then its checksum (begun
with the store's key, so that a shard of another store never fits) and last its ``done`` flag; whatever has no flag is
computed again. Every shard has files of its own for all of that: several processes may write different ones.
"""

from __future__ import annotations

import json
import shutil
import uuid
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from behavior_prism.files import put_in_place, remove, sync

from .feature_shards import OF_SHARDS, Shards, coordinate_checksums, shard_frames
from .store import LAYOUT, MARKER, attrs_of, partial_path, settings_key
from .writer_lock import claims_path


class FeatureWriter:
    """Writes one feature store, from the start or from where an earlier run stopped.

    Parameters
    ----------
    path : pathlib.Path
        Final place of the store.
    settings : mapping
        What the key is made of.
    template : xarray.Dataset
        Coordinates, ``valid`` and ``window_position``, all known before the first frame is decoded; with a dimension
        ``clip`` where clips are to be embedded too.
    num_tokens, num_channels : int
        Size of the features of one frame.
    attrs : mapping
        Attributes that do not enter the key. What an earlier run has set is kept.
    clip_stride : int
        Sampled frames from one clip to the next.
    text_aligned : bool
        Whether clips are embedded in the space of texts too.
    overwrite : bool
        Begin anew where a store was begun with other settings.
    shards : iterable of int, optional
        The only ones that will be written here, beside other processes: nothing that others may have done is removed.

    Attributes
    ----------
    done : numpy.ndarray
        Which shards are in, bool, shape (shards,).
    shards : Shards
        Which frames and clips belong to which.
    attrs : dict
        Attributes of the unfinished store.

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
        clip_stride: int = 1,
        text_aligned: bool = False,
        overwrite: bool = False,
        shards: Iterable[int] | None = None,
    ) -> None:
        self.path = path
        self.partial = partial_path(path)
        self.key = settings_key(settings)
        self._alone = shards is None
        try:
            if not self._resumes(settings, overwrite):
                self._create(settings, template, num_tokens, num_channels, attrs, clip_stride, text_aligned)
            self._open()
            self.done = self.shards.verified(range(len(self.shards)) if shards is None else shards)
        except OSError as error:
            raise self._cannot_write(error) from error

    @classmethod
    def reopen(cls, path: Path) -> FeatureWriter:
        """Go on with a store as it was begun.

        Parameters
        ----------
        path : pathlib.Path
            Its final place.

        Returns
        -------
        FeatureWriter
        """
        writer = cls.__new__(cls)
        writer.path, writer.partial, writer._alone = path, partial_path(path), True
        writer.key = str(attrs_of(writer.partial)["key"])
        writer._open()
        writer.refresh()
        return writer

    # -- the group

    def _resumes(self, settings: Mapping[str, Any], overwrite: bool) -> bool:
        """Whether an earlier run has left something to go on with; if not, nothing is in the way."""
        if not self.partial.exists():
            return False
        begun = attrs_of(self.partial)
        if begun.get("key") == self.key:
            try:
                self._open()
            except Exception:  # whatever zarr says of broken metadata: without flags nothing of it can be trusted
                if not self._alone:
                    raise FileExistsError(
                        f"{self.partial}: damaged, and others may be writing it; extract alone, without shards, to mend"
                    ) from None
            else:
                return True
        elif begun.get(MARKER) != "features" and not (self.partial / "zarr.json").exists():
            raise FileExistsError(f"{self.partial}: expected an unfinished feature store, got something else")
        elif begun and not (overwrite and self._alone):
            raise FileExistsError(f"{self.partial}: {_difference(begun, settings)}")
        self.discard()
        return False

    def _create(
        self,
        settings: Mapping[str, Any],
        template: xr.Dataset,
        num_tokens: int,
        num_channels: int,
        attrs: Mapping[str, Any],
        clip_stride: int,
        text_aligned: bool,
    ) -> None:
        fresh = self.partial.with_name(f".{self.partial.name}.{uuid.uuid4().hex[:8]}")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        individuals, frames, clips = (template.sizes.get(dim, 0) for dim in ("individual", "time", "clip"))
        chunk, shard = shard_frames(individuals, num_tokens * num_channels * 2, clip_stride)
        number = -(-frames // shard)
        of_clips = shard // clip_stride
        template = template.assign(
            decodable=("time", np.ones(frames, dtype=bool)),
            done=("shard", np.zeros(number, dtype=bool)),
            checksum=("shard", np.zeros(number, dtype=np.uint32)),
            shard_batch=(("shard", "stage"), np.zeros((number, 2), dtype=np.int32)),
        )
        template.attrs = {
            MARKER: "features",
            "key": self.key,
            "settings": json.dumps(dict(settings), sort_keys=True),
            "coordinates_crc32": json.dumps(coordinate_checksums(template)),
            **attrs,
        }
        encoding: dict[str, Any] = {name: {"chunks": (1, *template[name].shape[1:])} for name in OF_SHARDS}
        encoding |= {"valid": {"chunks": (individuals, shard)}, "decodable": {"chunks": (shard,)}}
        if clips:
            encoding["clip_valid"] = {"chunks": (individuals, of_clips)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # zarr: text arrays have no frozen v3 specification yet
                template.to_zarr(fresh, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
                group = zarr.open_group(fresh, mode="r+", use_consolidated=False)
                group.create_array(
                    "feature",
                    shape=(individuals, frames, num_tokens, num_channels),
                    dtype=np.float16,
                    chunks=(1, chunk, num_tokens, num_channels),
                    shards=(individuals, shard, num_tokens, num_channels),
                    compressors=ZstdCodec(level=1),
                    dimension_names=("individual", "time", "token", "channel"),
                    fill_value=0,
                )
                wanted: list[tuple[str, Any]] = [("clip_embedding", np.float16)] if clips else []
                wanted += [("text_aligned", np.float32)] if text_aligned else []
                for name, dtype in wanted:
                    group.create_array(
                        name,
                        shape=(individuals, clips, num_channels),
                        dtype=dtype,
                        chunks=(individuals, of_clips, num_channels),
                        compressors=ZstdCodec(level=1),
                        dimension_names=("individual", "clip", "channel"),
                        fill_value=0,
                    )
            try:
                fresh.rename(self.partial)
            except OSError:
                if attrs_of(self.partial).get("key") != self.key:  # else another process was quicker
                    raise
        finally:
            remove(fresh)

    def _open(self) -> None:
        self._group: Any = zarr.open_group(self.partial, mode="r+", use_consolidated=False)
        self.attrs = dict(self._group.attrs)
        arrays: dict[str, Any] = dict(self._group.arrays())
        self.shards = Shards(arrays, self.key)
        for name in OF_SHARDS:
            _ = arrays[name][:]  # what cannot be read is found now
        _ = len(self.shards), self.shards.clips(0)

    def set_attrs(self, **attrs: Any) -> None:
        """Change attributes of the unfinished store; for who writes alone.

        Parameters
        ----------
        **attrs
            JSON-compatible.
        """
        self._group.attrs.update(attrs)
        self.attrs |= attrs

    # -- shards

    def write(self, k: int, feature: np.ndarray, *, batch: tuple[int, int] = (0, 0), **others: np.ndarray) -> None:
        """Write one shard and commit it.

        Parameters
        ----------
        k : int
            Which shard.
        feature : numpy.ndarray
            float16, shape (individuals, frames of the shard, tokens, channels).
        batch : (int, int)
            Frames and windows that went through the encoder together.
        **others : numpy.ndarray
            ``valid`` and ``decodable`` if they have come out other than foreseen, and what there is of clips.

        Raises
        ------
        ValueError
            If the array does not cover exactly the shard.
        OSError
            If it cannot be written: disk full, say. What was done before stays.
        """
        a, b = self.shards.frames(k)
        if feature.shape[1] != b - a:
            raise ValueError(f"shard {k}: expected {b - a} frames, got {feature.shape[1]}")
        arrays, values = self.shards.arrays, {"feature": feature, **others}
        try:
            arrays["done"][k] = False
            for name, part in values.items():
                if part.size:
                    # zarr reads what is there before it writes, and a damaged shard cannot be read
                    remove(self.partial / name / self.shards.file(name, k))
                    arrays[name][self.shards.part(name, k)] = part
            arrays["shard_batch"][k] = np.asarray(batch)
            arrays["checksum"][k] = self.shards.checksum(k, values)
            arrays["done"][k] = True
        except OSError as error:
            raise self._cannot_write(error) from error
        self.done[k] = True

    def check(self) -> list[int]:
        """Read all shards and compare them with their checksums; those that are damaged are missing from now on.

        Returns
        -------
        list of int
            Shards that are missing.
        """
        self.refresh()
        good = self.shards.verified(range(len(self.shards)))
        for k in np.flatnonzero(self.done & ~good).tolist():
            self.shards.arrays["done"][k] = False
        self.done = good
        return [int(k) for k in np.flatnonzero(~good)]

    def refresh(self) -> None:
        """See what other processes have done meanwhile."""
        self.done = self.shards.arrays["done"][:].astype(bool)

    def undecodable(self) -> np.ndarray:
        """Sampled frames in the shards that are done whose picture could not be decoded.

        Returns
        -------
        numpy.ndarray
            Numbers among the sampled frames.
        """
        there = np.repeat(self.done, self.shards.size)[: self.shards.num_frames]
        return np.flatnonzero(~self.shards.arrays["decodable"][:] & there)

    # -- the end

    def finish(self, **attrs: Any) -> None:
        """Give the whole store its name; only now a store that it replaces goes.

        Parameters
        ----------
        **attrs
            Attributes that are known only now.
        """
        self.refresh()
        if not self.done.all():
            raise ValueError(f"{self.partial}: {int((~self.done).sum())} of {len(self.done)} shards are missing")
        try:
            remove(claims_path(self.partial))
            for left in self.partial.rglob("*.partial"):  # of a write that was killed
                remove(left)
            sync(self.partial)  # a name that is there after a power cut stands for what is in it
            self.set_attrs(**attrs)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # zarr: consolidated metadata are an extension of v3
                zarr.consolidate_metadata(str(self.partial))
            put_in_place(self.partial, self.path)
        except OSError as error:
            raise self._cannot_write(error) from error

    def discard(self) -> None:
        """Remove what was begun."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def _cannot_write(self, error: OSError) -> OSError:
        if isinstance(error, FileExistsError) or error.errno is None:
            return error
        hint = "; what is done stays, extract again to go on" if self.partial.exists() else ""
        return OSError(f"{self.path}: cannot be written ({error.strerror}){hint}")


def _difference(begun: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    before = json.loads(begun.get("settings", "{}"))
    if before.get("layout") != settings.get("layout") and "layout" in before:
        return (
            f"begun by another version (layout {before['layout']}, expected {LAYOUT}), which this one cannot finish; "
            "remove it, choose another name or overwrite it explicitly (--overwrite)"
        )
    changed = ", ".join(sorted(k for k in settings if before.get(k) != settings[k]))
    return (
        f"begun with another {changed}; extract as before to finish it, choose another name or overwrite it explicitly "
        "(--overwrite)"
    )
