"""Small files that are there in full or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file through a temporary name beside it.

    Parameters
    ----------
    path : pathlib.Path
        File to write, or to write anew.
    data : bytes
        All of it.
    sync : bool
        Have it on the disk before it gets its name: it outlasts a loss of power.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_whole(path, b"done")
    >>> path.read_bytes()
    b'done'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
