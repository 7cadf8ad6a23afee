"""The state of a journal, kept beside it so that it opens quickly.

``snapshot.json`` is made from the journal and can be deleted at any time. It says how many bytes of which file it was
made from and their CRC-32; if one of these files has not grown by whole lines from just these bytes, it is not used.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .journal_file import read_whole, write_whole
from .journal_replay import State, from_plain, plain

NAME = "snapshot.json"
LAYOUT = 1  # counts up when the meaning of an entry or of the snapshot changes


@dataclass
class Source:
    """How much of a file was read.

    Parameters
    ----------
    size : int
        Bytes, up to the end of a line.
    crc : int
        Their CRC-32.
    lines : int
        Lines in them.
    """

    size: int = 0
    crc: int = 0
    lines: int = 0

    def begins(self, data: bytes) -> bool:
        """Whether a file still begins with what was read.

        Parameters
        ----------
        data : bytes
            Its content now.

        Returns
        -------
        bool
        """
        return len(data) >= self.size and zlib.crc32(memoryview(data)[: self.size]) == self.crc


@dataclass
class Snapshot:
    """A state and what it was made from.

    Parameters
    ----------
    state : State
        Of all entries of the sources.
    sources : dict of str to Source
        By file name.
    numbers : dict of str to int
        Largest number that each writer's entries had.
    clock : int
        Largest clock.
    problems : list of (str, int, str)
        What was wrong with the sources.
    """

    state: State
    sources: dict[str, Source] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    clock: int = 0
    problems: list[tuple[str, int, str]] = field(default_factory=list)


def save_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Keep a snapshot.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the journal.
    snapshot : Snapshot
        What is kept.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    values = {
        "layout": LAYOUT,
        "sources": {name: [s.size, s.crc, s.lines] for name, s in snapshot.sources.items()},
        "numbers": snapshot.numbers,
        "clock": snapshot.clock,
        "problems": snapshot.problems,
        "state": plain(snapshot.state),
    }
    body = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
    write_whole(folder / NAME, b"%08x\n" % zlib.crc32(body) + body)


def load_snapshot(folder: Path) -> Snapshot | None:
    """The snapshot that was kept.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the journal.

    Returns
    -------
    Snapshot or None
        None if there is none, or it is damaged or another version's.
    """
    try:
        data = read_whole(folder / NAME)
        head, _, body = data.partition(b"\n")
        if head != b"%08x" % zlib.crc32(body):
            return None
        values = json.loads(body)
        if values["layout"] != LAYOUT:
            return None
        sources = {name: Source(*map(int, numbers)) for name, numbers in values["sources"].items()}
        numbers = {str(writer): int(number) for writer, number in values["numbers"].items()}
        problems = [(str(file), int(line), str(what)) for file, line, what in values["problems"]]
        return Snapshot(from_plain(values["state"]), sources, numbers, int(values["clock"]), problems)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def fits(snapshot: Snapshot, contents: Mapping[str, bytes]) -> bool:
    """Whether the files still begin with what a snapshot was made from.

    Parameters
    ----------
    snapshot : Snapshot
        Any.
    contents : mapping of str to bytes
        Of every file there is now.

    Returns
    -------
    bool
    """
    return all(name in contents and source.begins(contents[name]) for name, source in snapshot.sources.items())
