"""Outputs are whole or not there: written under a temporary name beside their place, then renamed.

What is replaced is renamed away first and removed last, so that at every moment either the old or the new one is
there in full.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise if something is at a path and was not asked to be replaced.

    Parameters
    ----------
    path : pathlib.Path
        Where an output shall go.
    overwrite : bool
        Whether it may be replaced.

    Raises
    ------
    FileExistsError
        If it is there and may not.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; choose another name or overwrite it explicitly (--overwrite)")


@contextmanager
def atomic_write(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Make a file or a folder that appears under its name only when it is whole.

    Parameters
    ----------
    path : str or pathlib.Path
        Where it shall be; missing folders above it are made.
    overwrite : bool
        Replace what is there; the caller has made sure that it is something that may go.

    Yields
    ------
    pathlib.Path
        A free path beside it, to write to. It takes the place of ``path`` when the block ends, and is removed if the
        block raises.

    Raises
    ------
    FileExistsError
        If ``path`` is there and ``overwrite`` is not set, or a file would replace a folder or a folder a file.
    ValueError
        If ``path`` has no name of its own.

    Examples
    --------
    >>> with atomic_write("scores.csv") as fresh:  # doctest: +SKIP
    ...     table.to_csv(fresh)
    """
    path = Path(path)
    if path.name in ("", ".."):
        raise ValueError(f"{path}: expected the name of an output, got a folder to work in")
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove(fresh)
    try:
        yield fresh
        refuse_existing(path, overwrite)
        put_in_place(fresh, path)
    finally:
        remove(fresh)


def put_in_place(fresh: Path, path: Path) -> None:
    """Rename what is whole to its name; remove what had that name.

    Parameters
    ----------
    fresh : pathlib.Path
        A file or a folder.
    path : pathlib.Path
        Its name, in the same file system.

    Raises
    ------
    FileExistsError
        If a file would replace a folder or a folder a file.
    """
    if path.exists() and path.is_dir() != fresh.is_dir():
        raise FileExistsError(f"{path}: expected a {_kind(fresh)} to replace, got a {_kind(path)}; choose another name")
    if not fresh.is_dir():
        fresh.replace(path)
        return
    old = path.with_name(f".{path.name}.old")
    if path.exists():
        remove(old)  # left by a process that was killed while it removed it
        path.rename(old)
    try:
        fresh.rename(path)
    except OSError:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    remove(old)


def sync(folder: Path) -> None:
    """Have everything in a folder on the disk, not only on its way there.

    Parameters
    ----------
    folder : pathlib.Path
        With all that is below it.
    """
    for place in [*sorted(folder.rglob("*"), reverse=True), folder]:  # what is in a folder before the folder
        if place.is_dir() and os.name == "nt":  # folders cannot be opened there
            continue
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError:  # a file system that has none, or a file that may only be read
            pass
        finally:
            os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there.

    Parameters
    ----------
    path : pathlib.Path
        A link is removed, not what it leads to.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "file"
