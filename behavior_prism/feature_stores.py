"""Feature stores on a disk: which there are, whether they are whole and undamaged, and what can go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .study import SETTINGS

PARTIAL = ".partial"


@dataclass(frozen=True, kw_only=True)
class StoreEntry:
    """A feature store, whole or begun.

    Parameters
    ----------
    path : pathlib.Path
        Where it is.
    recording, video : str
        Of what.
    state : {"whole", "unfinished", "unreadable"}
        Unreadable: an older version made it, or it is broken.
    encoder, weights : str
        What made it; the first twelve digits of the weights' hash.
    source, grid, window : str
        Whose features; rows x columns; length, step and stride of the windows.
    individuals, frames : int
        How many, and sampled frames.
    megabytes : float
        On the disk.
    key : str
        Hash of its settings.
    fingerprint : str
        Of the video it was made from.
    """

    path: Path
    recording: str
    video: str
    state: str
    encoder: str = ""
    weights: str = ""
    source: str = ""
    grid: str = ""
    window: str = ""
    individuals: int = 0
    frames: int = 0
    megabytes: float = 0.0
    key: str = ""
    fingerprint: str = ""


def list_stores(paths: Iterable[str | Path]) -> list[StoreEntry]:
    """Look at feature stores without opening their arrays' data.

    Parameters
    ----------
    paths : iterable of str or pathlib.Path
        Stores, folders of stores, and studies.

    Returns
    -------
    list of StoreEntry

    Raises
    ------
    FileNotFoundError
        If a path is not there.
    ValueError
        If it is neither.
    """
    return [_entry(path) for path in find_stores(paths)]


def find_stores(paths: Iterable[str | Path]) -> list[Path]:
    """Feature stores, whole and begun, that paths stand for.

    Parameters
    ----------
    paths : iterable of str or pathlib.Path
        As in :func:`list_stores`.

    Returns
    -------
    list of pathlib.Path
        Each once, in order.

    Raises
    ------
    FileNotFoundError, ValueError
        As in :func:`list_stores`.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such feature store, folder or study")
        if path.name == SETTINGS:
            path = path.parent
        if (path / SETTINGS).is_file():
            found += _below(path / "features")
        elif (path / "zarr.json").is_file():
            found.append(path)
        elif path.is_dir():
            found += _below(path)
        else:
            raise ValueError(f"{path}: expected a feature store, a folder of them or a study, got a file")
    return list(dict.fromkeys(found))


def _below(folder: Path) -> Iterator[Path]:
    """Stores in a folder and in its folders; of a prediction store, say, there is nothing to tell."""
    if not folder.is_dir():
        return
    for place in sorted(folder.iterdir()):
        if place.name.startswith(".") or not place.is_dir():
            continue
        if place.name.endswith((".zarr", f".zarr{PARTIAL}")):
            if _attributes(place).get("behavior_prism", "features") == "features":
                yield place
        else:
            yield from _below(place)


def _attributes(store: Path) -> dict[str, Any]:
    try:
        found = json.loads((store / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _entry(path: Path) -> StoreEntry:
    attrs = _attributes(path)
    try:
        settings = json.loads(attrs["settings"])
        shape = json.loads((path / "feature" / "zarr.json").read_text(encoding="utf-8"))["shape"]
        return StoreEntry(
            path=path,
            recording=str(attrs["recording"]),
            video=str(attrs["video"]),
            state="unfinished" if path.name.endswith(PARTIAL) else "whole",
            encoder=str(settings["encoder"]),
            weights=str(settings["weights"])[:12],
            source=str(settings["source"]),
            grid="x".join(map(str, settings["grid"])),
            window=f"{settings['length']}/{settings['step']}/{settings['stride']}",
            individuals=int(shape[0]),
            frames=int(shape[1]),
            megabytes=_size(path) / 1e6,
            key=str(attrs["key"]),
            fingerprint=str(settings["fingerprint"]),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return StoreEntry(
            path=path, recording="", video="", state="unreadable", megabytes=_size(path) / 1e6 if path.is_dir() else 0.0
        )


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


# -- what can go


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something that nobody needs any more.

    Parameters
    ----------
    path : pathlib.Path
        What.
    reason : str
        Why.
    megabytes : float
        What is gained.
    """

    path: Path
    reason: str
    megabytes: float


def find_leftovers(paths: Sequence[str | Path], *, keep_keys: Iterable[str] | None = None) -> list[Leftover]:
    """What extraction has left behind and nothing refers to.

    Parameters
    ----------
    paths : sequence of str or pathlib.Path
        Folders of stores, and studies.
    keep_keys : iterable of str, optional
        Keys of settings in use: whole stores with other ones can go too. By default no whole store can, unless it was
        made from another video than the study's.

    Returns
    -------
    list of Leftover
        Begun stores; what a process that was killed left; in a study, stores of recordings that it does not have, and
        those made from a video that was replaced.
    """
    keys = None if keep_keys is None else set(keep_keys)
    out = []
    for path in map(Path, paths):
        own = _of_study(path)
        for store in find_stores([path]):
            entry = _entry(store)
            reason = _why(entry, own, keys)
            if reason:
                out.append(Leftover(path=store, reason=reason, megabytes=entry.megabytes))
        folder = path.parent if path.name == SETTINGS else path
        for place in sorted((folder / "features" if own is not None else folder).rglob(".*.zarr.*")):
            # what is being laid out, removed or replaced; claims go with their store
            store = place.with_name(place.name[1:].removesuffix(".claims"))
            if place.is_dir() and not (place.name.endswith(".claims") and store.exists()):
                size = _size(place) / 1e6
                out.append(Leftover(path=place, reason="left by a process that was killed", megabytes=size))
    return out


def _of_study(path: Path) -> dict[str, set[str]] | None:
    """Fingerprints of each recording of a study; None if it is no study."""
    folder = path.parent if path.name == SETTINGS else path
    if not (folder / SETTINGS).is_file():
        return None
    from .study import Study
    from .study_checks import files_in

    study = Study.open(folder)
    return {name: set(files_in(study.row(name)["fingerprint"])) for name in study.names}


def _why(entry: StoreEntry, study: dict[str, set[str]] | None, keys: set[str] | None) -> str:
    if entry.state == "unfinished":
        return "unfinished"
    if entry.state == "unreadable":
        return ""  # never ours to remove
    if study is not None:
        if entry.path.parent.name not in study:
            return "of no recording of this study"
        known = study[entry.path.parent.name]
        if len(known) == 1 and entry.fingerprint not in known:
            return "of another video than the study's"
    return "made with other settings" if keys is not None and entry.key not in keys else ""


def remove_leftovers(leftovers: Iterable[Leftover]) -> list[tuple[str, str]]:
    """Remove what can go, unless somebody is writing it.

    Parameters
    ----------
    leftovers : iterable of Leftover
        From :func:`find_leftovers`.

    Returns
    -------
    list of (str, str)
        What could not be removed, and why.
    """
    from behavior_prism.analysis.writer_lock import only_writer

    failed = []
    for one in leftovers:
        final = one.path.with_name(one.path.name.lstrip(".").split(".zarr")[0] + ".zarr")
        try:
            with only_writer(final):
                if not one.path.exists():
                    continue
                aside = one.path.with_name(f".{one.path.name.lstrip('.')}.removed")
                one.path.rename(aside)  # in one step: what is half removed must not be taken for a store
                shutil.rmtree(aside)
                shutil.rmtree(one.path.with_name(f".{one.path.name}.claims"), ignore_errors=True)
        except OSError as error:
            failed.append((str(one.path), " ".join(str(error).split())))
    return failed
