"""The files of a journal: lines that are on the disk before anyone is told so, and lines read back with care.

A file belongs to one process at a time. A lock (``<writer>.lock``) keeps a second process of the same name away; it
takes the next free name, ``<writer>-2``. Waiting would stop a person at work, and sharing a file is only safe where
locks tell the truth. On network drives they may lie, so nothing rests on them alone: before and after every write the
end of the file is compared with what this process left there. Where another hand shows, everything this session wrote
goes into a new file as well. An entry that is there twice counts once, so that costs nothing and loses nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .journal_entry import Entry, decode

MAX_BYTES = 1 << 30
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True)
class Problem:
    """Something in the files of a journal that could not be used.

    Parameters
    ----------
    file : str
        Name of the file.
    line : int
        Number of the line from 1; 0 where it is about the file.
    what : str
        What is wrong.
    """

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


class OtherHand(Exception):
    """A file does not end as this process left it."""


def parse_lines(data: bytes, file: str, first_line: int = 1) -> tuple[list[Entry], list[Problem]]:
    """Entries of some lines, and what is wrong with the others.

    Parameters
    ----------
    data : bytes
        Part of a file from the beginning of a line on.
    file : str
        Its name.
    first_line : int
        Number of its first line.

    Returns
    -------
    entries : list of Entry
    problems : list of Problem
    """
    entries, problems = [], []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, first_line):
        if not line.strip():
            continue
        try:
            entries.append(decode(line))
        except ValueError as error:
            cut = number == first_line + len(lines) - 1
            what = f"cut short after {len(line)} bytes; the entry was never reported as done" if cut else str(error)
            problems.append(Problem(file, number, what))
    return entries, problems


def read_whole(path: Path) -> bytes:
    """Content of a journal's file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If it is no plain file or larger than any journal.
    """
    if not path.is_file():
        raise ValueError("not a plain file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    return path.read_bytes()


class OwnFile:
    """The file of one writer, held by this process.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the journal; it must be there.
    writer : str
        A name as :func:`~.journal_entry.writer_slug` makes it. If another process holds its file, ``<writer>-2`` and
        so on is taken.
    after : int
        Number of the file of this name that must not be taken again; 0 for none.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path, writer: str, *, after: int = 0) -> None:
        self.folder, self.asked = folder, writer
        for self.number in range(after + 1, after + 1000):
            self.writer = writer if self.number == 1 else f"{writer}-{self.number}"
            self._lock = _locked(folder / f"{self.writer}.lock")
            if self._lock is not None:
                break
        else:
            raise OSError(errno.EBUSY, f"{folder}: a thousand processes write as {writer!r}")
        self.path = folder / f"{self.writer}.jsonl"
        self._pid = os.getpid()
        self._end: int | None = None  # size of the file as we left it
        self._tail = b""  # what we wrote last
        self.lines: list[bytes] = []  # everything this session wrote
        with _opened(self.path):  # says at once if nothing can be written here
            pass
        sync_folder(folder)

    def append(self, *blocks: bytes) -> None:
        """Write lines, and come back when they are on the disk.

        Parameters
        ----------
        *blocks : bytes
            Whole lines. A block is on the disk before the next is begun.

        Raises
        ------
        OSError
            If they could not be written, or not in full; they count as not written then.
        OtherHand
            If another process writes to the file.
        """
        for block in blocks:
            self._append(block)
        self.lines += blocks

    def _append(self, block: bytes) -> None:
        if self._pid != os.getpid():
            raise OtherHand("the process was forked, and its parent holds the file")
        with _opened(self.path) as handle:
            size = self._checked_size(handle)
            fresh_line = size == 0 or _read_at(handle, size - 1, 1) == b"\n"
            data = block if fresh_line else b"\n" + block
            try:
                _write_all(handle, data)
                _sync(handle)
            except OSError as error:
                self._take_back(handle, size, data)
                raise _named(error, self.path) from None
            if os.fstat(handle).st_size != size + len(data) or _read_at(handle, size, len(data)) != data:
                raise OtherHand("other bytes came between")
            self._end, self._tail = size + len(data), data[-4096:]

    def check(self) -> None:
        """See whether what this session wrote is still there.

        Raises
        ------
        OtherHand
            If the file was changed by another process, or put back from a backup.
        """
        if self._end is not None and self._pid == os.getpid():
            with _opened(self.path) as handle:
                self._checked_size(handle)

    def _checked_size(self, handle: int) -> int:
        size = os.fstat(handle).st_size
        if self._end is not None:
            kept = _read_at(handle, self._end - len(self._tail), len(self._tail))
            if size != self._end or kept != self._tail:
                raise OtherHand(f"it has {size} bytes, this session left {self._end}")
        return size

    def _take_back(self, handle: int, size: int, data: bytes) -> None:
        """Cut off what was written in part, unless somebody wrote behind it."""
        with contextlib.suppress(OSError):
            now = os.fstat(handle).st_size
            if size < now <= size + len(data) and _read_at(handle, size, now - size) == data[: now - size]:
                os.ftruncate(handle, size)
        self._end, self._tail = None, b""

    def moved(self) -> OwnFile:
        """The next free file, with everything that this session wrote in it; this one is let go.

        Returns
        -------
        OwnFile
        """
        other = OwnFile(self.folder, self.asked, after=self.number)
        if self.lines:
            other.append(b"".join(self.lines))
        other.lines = list(self.lines)
        self.close()
        return other

    def replaced(self, data: bytes) -> None:
        """Tell that the file was written anew by this process.

        Parameters
        ----------
        data : bytes
            Its whole content.
        """
        self._end, self._tail, self.lines = len(data), data[-4096:], []

    def close(self) -> None:
        """Let the file go; safe to call again."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    # opened for every write: network drives look at the server's file only then
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.write(handle, view)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]


def _read_at(handle: int, offset: int, count: int) -> bytes:
    os.lseek(handle, offset, os.SEEK_SET)
    out = b""
    while len(out) < count and (part := os.read(handle, count - len(out))):
        out += part
    return out


def _sync(handle: int) -> None:
    try:  # on a Mac, fsync leaves the bytes in the drive's own memory
        import fcntl

        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined,unused-ignore]
    except (ImportError, AttributeError, OSError):
        os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder last; where folders cannot be synced, do nothing.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    """
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in place that is on the disk in full before it has its name.

    Parameters
    ----------
    path : pathlib.Path
        Its name; what has it is replaced.
    data : bytes
        Its content.

    Raises
    ------
    OSError
        If it could not be written; what was there stays.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o666)
        try:
            _write_all(handle, data)
            _sync(handle)
        finally:
            os.close(handle)
        os.replace(fresh, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def _named(error: OSError, path: Path) -> OSError:
    return OSError(error.errno, f"nothing was written, {error.strerror or error}", str(path))


def _locked(path: Path) -> int | None:
    """A handle that holds the lock while it is open; None if another one does."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            os.close(handle)
            return None
        # a drive without locks: another hand is found when its bytes are
    return handle
