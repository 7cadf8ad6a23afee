"""Who may write a store: one process alone, or several that have taken different shards.

Locks are those of the operating system: they end with the process, however that ends. A file system without locks,
and Windows, tell nobody from anybody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def claims_path(partial: Path) -> Path:
    """Folder of one empty file for each shard of an unfinished store that somebody took.

    Parameters
    ----------
    partial : pathlib.Path
        The unfinished store.

    Returns
    -------
    pathlib.Path
    """
    return partial.with_name(f".{partial.name}.claims")


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep every other process from writing the same store.

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
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock_of(path)
    with _locked(lock, shared=False) as mine:
        if not mine:
            raise BlockingIOError(f"{path}: another process is writing it; wait for that one or stop it")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def one_of_the_writers(path: Path) -> Iterator[None]:
    """Write along with other processes that have said so too; nobody may write alone meanwhile.

    Parameters
    ----------
    path : pathlib.Path
        Final place of the store.

    Raises
    ------
    BlockingIOError
        If another process is writing it alone.

    Yields
    ------
    None
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(_lock_of(path), shared=True) as mine:
        if not mine:
            raise BlockingIOError(f"{path}: another process is writing all of it; wait for that one or stop it")
        yield  # the file stays: others may hold it


@contextmanager
def claim_shards(partial: Path, shards: Iterable[int]) -> Iterator[None]:
    """Take some shards of an unfinished store for this process.

    Parameters
    ----------
    partial : pathlib.Path
        The unfinished store.
    shards : iterable of int
        Which ones.

    Raises
    ------
    BlockingIOError
        If another process has one of them; then none is taken.

    Yields
    ------
    None
    """
    folder = claims_path(partial)
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        for k in shards:
            if not stack.enter_context(_locked(folder / str(k), shared=False)):
                raise BlockingIOError(f"{partial}: another process is writing shard {k}; give each process its own")
        yield


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


@contextmanager
def _locked(lock: Path, *, shared: bool) -> Iterator[bool]:
    """Hold a lock; whether it could be had."""
    if fcntl is None:
        yield True
        return
    with lock.open("a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            # else its owner, who was just done, has removed the file that we hold
            mine = os.path.samestat(os.fstat(file.fileno()), lock.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False
        except OSError:  # a file system without locks
            mine = True
        yield mine
