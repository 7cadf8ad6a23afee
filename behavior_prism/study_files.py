"""Names, paths and fingerprints of the files that a study speaks of."""

from __future__ import annotations

import json
import os
import re
import time
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from typing import Any

from behavior_prism.datasets import fingerprint

from .files import atomic_write

SEPARATOR = "|"  # between the files of one recording
VIDEO_ENDINGS = (
    *(".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm", ".mts", ".ts", ".h264", ".flv"),
    *(".tif", ".tiff", ".npy"),
)
LONGEST_SLUG = 80
_SLUG = re.compile(rf"[a-z0-9_][a-z0-9_-]{{0,{LONGEST_SLUG - 1}}}")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(1, 10))}


def slug_problem(name: str) -> str:
    """Why a recording cannot have a name; empty if it can.

    Parameters
    ----------
    name : str
        It becomes the name of a folder, on any system.

    Returns
    -------
    str

    Examples
    --------
    >>> slug_problem("mouse-1_a"), slug_problem("nul")
    ('', "expected a name that Windows can have, got 'nul'")
    """
    if not _SLUG.fullmatch(name):
        return f"expected 1 to {LONGEST_SLUG} of a-z, 0-9, _ and - (not first), got {name!r}"
    return f"expected a name that Windows can have, got {name!r}" if name in _RESERVED else ""


def slug_of(text: str) -> str:
    """A name that a recording can have, made from that of a file.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If no letter or digit of a-z and 0-9 is in it.

    Examples
    --------
    >>> slug_of("Mäuse 12 (Käfig).v2"), slug_of("../../CON")
    ('mause-12-kafig-v2', 'con_')
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-")
    if not slug:
        raise ValueError(f"{text!r}: expected a letter or a digit to make a name from, got none; give a name")
    return f"{slug}_" if slug in _RESERVED else slug


def stored_path(folder: Path, path: Path) -> str:
    """How a study writes a path down: relative to itself on its own disk, else absolute.

    Parameters
    ----------
    folder : pathlib.Path
        The study.
    path : pathlib.Path
        A file that is there.

    Returns
    -------
    str
        With ``/``, on any system.
    """
    folder, path = folder.resolve(), path.resolve()
    with suppress(ValueError):  # two drives have nothing in common
        common = Path(os.path.commonpath([folder, path]))
        at_root = common == Path(common.anchor) and not isinstance(common, PureWindowsPath)
        if not at_root and folder.stat().st_dev == path.stat().st_dev:
            return Path(os.path.relpath(path, folder)).as_posix()
    return path.as_posix()


def found_path(folder: Path, stored: str) -> Path:
    """The path that a study wrote down; it need not be there.

    Parameters
    ----------
    folder : pathlib.Path
        The study.
    stored : str
        As in a csv file; backslashes of Windows are understood.

    Returns
    -------
    pathlib.Path
    """
    plain = folder / stored
    if "\\" in stored and not plain.exists():
        plain = folder / stored.replace("\\", "/")
    return Path(os.path.normpath(plain)) if not plain.exists() else plain


@contextmanager
def only_editor(folder: Path, patience: float = 10.0) -> Iterator[None]:
    """Wait until no other process changes the tables of a study, and keep others from it.

    Parameters
    ----------
    folder : pathlib.Path
        The study.
    patience : float
        How long to wait [s].

    Raises
    ------
    BlockingIOError
        If another process is still at it.

    Yields
    ------
    None
    """
    try:
        import fcntl
    except ImportError:  # Windows: a table that changed meanwhile is refused when it is saved
        yield
        return
    cache_folder(folder).mkdir(exist_ok=True)
    with (cache_folder(folder) / "lock").open("a") as file:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BlockingIOError(f"{folder}: another process is changing this study; wait for it") from None
                time.sleep(0.05)
            except OSError:  # a file system without locks
                break
        yield


def cache_folder(folder: Path) -> Path:
    """Folder of what can be made again at any time.

    Parameters
    ----------
    folder : pathlib.Path
        The study.

    Returns
    -------
    pathlib.Path
    """
    return folder / ".cache"


class Fingerprints:
    """Fingerprints of files, looked at again only where size or mtime changed.

    Parameters
    ----------
    folder : pathlib.Path
        The study; they are kept in its cache, by the path as it stands in its tables.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = cache_folder(folder) / "fingerprints.json"
        self._kept: dict[str, dict[str, Any]] = {}
        self._changed = False
        with suppress(OSError, ValueError):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(kept, dict):
                self._kept = {k: v for k, v in kept.items() if isinstance(v, dict)}

    def of(self, stored: str, path: Path) -> str:
        """Fingerprint of a file that is there.

        Parameters
        ----------
        stored : str
            Its path as the study has it.
        path : pathlib.Path
            Where it is.

        Returns
        -------
        str
        """
        facts = _facts(path)
        known = self._kept.get(stored, {})
        if [known.get("size"), known.get("mtime_ns")] != facts or not isinstance(known.get("fingerprint"), str):
            known = {"size": facts[0], "mtime_ns": facts[1], "fingerprint": fingerprint(path)}
        now = known | {"seen": str(path.resolve())}
        if now != self._kept.get(stored):
            self._kept[stored], self._changed = now, True
        return str(known["fingerprint"])

    def last_seen(self, stored: str) -> Path | None:
        """Where a file was when it was last looked at.

        Parameters
        ----------
        stored : str
            Its path as the study holds it.
        """
        seen = self._kept.get(stored, {}).get("seen")
        return Path(seen) if isinstance(seen, str) else None

    def save(self) -> None:
        """Keep them; a study that cannot be written to is looked at again next time."""
        if self._changed:
            with suppress(OSError), atomic_write(self._path, overwrite=True) as fresh:
                fresh.write_text(json.dumps(self._kept, indent=1), encoding="utf-8")
            self._changed = False


def _facts(path: Path) -> list[int]:
    """Size and time of change; of a folder, those of everything in it."""
    if not path.is_dir():
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns]
    stats = [entry.stat() for entry in os.scandir(path) if entry.is_file()]
    return [sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0) + len(stats)]


def videos_below(roots: Iterable[Path]) -> Iterator[Path]:
    """Every file or folder that can be a recording, at and below some folders.

    Parameters
    ----------
    roots : iterable of pathlib.Path
        Folders; a file stands for itself.

    Yields
    ------
    pathlib.Path
    """
    for root in roots:
        if not root.exists():
            raise FileNotFoundError(f"{root}: no such folder")
        if root.is_file():
            yield root
        for at, folders, names in os.walk(root):
            folders[:] = sorted(n for n in folders if not n.startswith(".") and not n.endswith((".zarr", ".partial")))
            yield from (Path(at, name) for name in [*sorted(names), *folders])
