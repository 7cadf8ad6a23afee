"""What is in the files of a journal, read once and then only where they grow."""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .journal_entry import Entry
from .journal_file import Problem, parse_lines, read_whole
from .journal_replay import State, in_order, replay
from .journal_snapshot import Snapshot, Source, fits, load_snapshot, save_snapshot


class JournalFiles:
    """Entries of all files of a journal, and the state they give.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the journal; need not be there.

    Attributes
    ----------
    state : State
        What stands.
    numbers : dict of str to int
        Largest number of each writer's entries.
    clock : int
        Largest clock that was seen.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State()
        self.numbers: dict[str, int] = {}
        self.clock = 0
        self.archive_problems: list[Problem] = []
        self._problems: list[Problem] = []
        self._fragments: dict[str, Problem] = {}  # last lines that may still be growing
        self._sources: dict[str, Source] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        self._entries: list[Entry] | None = None  # None: a snapshot stands for most of them
        self._ahead: set[str] = set()  # entries in the state that lie behind the sources
        self._kept = True  # whether the snapshot on the disk is of this state

    @property
    def problems(self) -> list[Problem]:
        """What could not be used."""
        return [*self._problems, *self._fragments.values(), *self.archive_problems]

    def open(self) -> None:
        """Read everything, with the help of a snapshot where one fits."""
        kept = load_snapshot(self.folder)
        contents = self._contents()
        if kept is not None:
            self.numbers = dict(kept.numbers)  # a file that was put back from a backup shows by them
            if fits(kept, contents):
                self.state, self._sources = kept.state, kept.sources
                self._problems = [Problem(*fields) for fields in kept.problems]
                self.clock = kept.clock
                if self._follow(self._grown(contents)):
                    return
        self._read_all(contents)

    def refresh(self) -> bool:
        """Read what came since.

        Returns
        -------
        bool
            Whether anything did.
        """
        if all(self._stamp(path) == self._stamps.get(path.name) for path in self._paths()) and set(self._stamps) == {
            path.name for path in self._paths()
        }:
            return False
        contents = self._contents()
        if not all(n in contents and s.begins(contents[n]) for n, s in self._sources.items()):
            self._read_all(contents)
            return True
        new = [entry for entry in self._grown(contents) if entry.id not in self._ahead]
        if not self._follow(new):
            self._read_all(contents)
        return bool(new)

    def wrote(self, entries: list[Entry]) -> None:
        """Follow entries that this process has just written.

        Parameters
        ----------
        entries : list of Entry
            They are on the disk.
        """
        self._ahead.update(entry.id for entry in entries)
        if not self._follow(entries):
            self._replay([*self.entries(), *entries])

    def entries(self) -> list[Entry]:
        """Every entry in the merged order.

        Returns
        -------
        list of Entry
        """
        if self._entries is None:
            self._read_all(self._contents())
        return in_order(self._entries or [])

    def keep_snapshot(self) -> None:
        """Write the snapshot, unless the one that is there is as good."""
        self.refresh()
        if not self._kept:
            told = [(p.file, p.line, p.what) for p in self._problems]
            save_snapshot(self.folder, Snapshot(self.state, self._sources, self.numbers, self.clock, told))
            self._kept = True

    def _paths(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return sorted(p for p in self.folder.glob("*.jsonl") if not p.name.startswith("."))
        return []

    def _stamp(self, path: Path) -> tuple[int, int]:
        with contextlib.suppress(OSError):
            found = path.stat()
            return found.st_size, found.st_mtime_ns
        return 0, 0

    def _contents(self) -> dict[str, bytes]:
        contents: dict[str, bytes] = {}
        self._stamps, self._fragments = {}, {}
        for path in self._paths():
            self._stamps[path.name] = self._stamp(path)  # before reading: what comes meanwhile is read again
            try:
                contents[path.name] = read_whole(path)
            except (OSError, ValueError) as error:
                what = error.strerror if isinstance(error, OSError) else error
                self._fragments[path.name] = Problem(path.name, 0, f"not read: {what}")
        return contents

    def _grown(self, contents: dict[str, bytes]) -> list[Entry]:
        """Entries behind the sources, which are moved on to the last whole line."""
        entries: list[Entry] = []
        for name, data in contents.items():
            source = self._sources.setdefault(name, Source())
            end = data.rfind(b"\n", source.size) + 1 or source.size
            whole, rest = data[source.size : end], data[end:]
            new, problems = parse_lines(whole, name, source.lines + 1)
            source.size, source.crc = end, zlib.crc32(whole, source.crc)
            source.lines += whole.count(b"\n")
            loose, fragment = parse_lines(rest, name, source.lines + 1)
            self._problems += problems
            if fragment:
                self._fragments[name] = fragment[0]
            entries += new
            entries += [entry for entry in loose if entry.id not in self._ahead]
            self._ahead.update(entry.id for entry in loose)
            self._kept = self._kept and not whole
        return entries

    def _follow(self, entries: Iterable[Entry]) -> bool:
        """Apply new entries to the state; False if it must be replayed instead."""
        new = in_order(entries := list(entries))
        parts = Counter(e.tx for e in new if e.tx and e.op != "commit")
        simple = len(new) == len(entries) and all(
            e.op not in ("undo", "redo") and (e.op != "commit" or parts[e.tx] == e.data["parts"]) for e in new
        )
        if not simple or (new and self.state.last is not None and new[0].key <= self.state.last):
            return False
        for entry in new:
            self.state.apply(entry)
        if self._entries is not None:
            self._entries += new
        self._count(new)
        return True

    def _read_all(self, contents: dict[str, bytes]) -> None:
        self._problems, self._sources, self._ahead = [], {}, set()
        entries = self._grown(contents)
        self._problems += _unfinished(entries)
        self._problems += _missing(entries, self.numbers, self._problems)
        self._replay(entries)

    def _replay(self, entries: list[Entry]) -> None:
        self._entries, self._kept = entries, False
        self._count(entries)
        self.state = replay(entries)

    def _count(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.clock = max(self.clock, entry.clock)
            self.numbers[entry.writer] = max(self.numbers.get(entry.writer, 0), entry.seq)


def _unfinished(entries: list[Entry]) -> list[Problem]:
    """Transactions without their end: a process that was stopped, or one that is still writing."""
    finished = {e.tx for e in entries if e.op == "commit"}
    open_parts = Counter((e.writer, e.tx) for e in entries if e.tx and e.tx not in finished)
    return [
        Problem(f"{writer}.jsonl", 0, f"a transaction was not finished; its {count} entries do not count")
        for (writer, _), count in open_parts.items()
    ]


def _missing(entries: list[Entry], numbers: dict[str, int], known: list[Problem]) -> list[Problem]:
    """Entries that must have been there: numbers leave gaps, or a snapshot knew more of them."""
    seen: dict[str, set[int]] = {writer: set() for writer in numbers}
    through: Counter[str] = Counter()
    for entry in entries:
        seen.setdefault(entry.writer, set()).add(entry.seq)
        if entry.op == "compacted":
            through[entry.writer] = max(through[entry.writer], entry.data["through"])
    out = []
    for writer, found in sorted(seen.items()):
        largest = max(numbers.get(writer, 0), max(found, default=0))
        count = sum(n not in found for n in range(through[writer] + 1, largest + 1)) if largest < 1 << 24 else 0
        explained = sum(p.line > 0 and p.file == f"{writer}.jsonl" for p in known)
        if count > explained:
            what = f"{count} entries that were there before are missing; was the file put back from a backup?"
            out.append(Problem(f"{writer}.jsonl", 0, what))
    return out
