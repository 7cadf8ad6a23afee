"""A journal made small: what says nothing any more moves to the archive, the rest says the same in fewer lines.

Each writer makes only the own file small, so nobody has to close anything. Entries of others, also those that have not
arrived yet, keep their meaning: what is written anew stands at an old place in the order, and bouts keep their ids.
Lines that move are in ``archive/<writer>/<number>.jsonl.gz`` before the new file takes the old one's name.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from behavior_prism.datasets.formats.guarded import read_bytes

from .journal_entry import Entry, decode, encode, new_id, now
from .journal_file import Problem, parse_lines, read_whole, write_whole
from .journal_labels import annotations_of
from .journal_operations import ROWS_PER_LINE, Row, bout_ids, rows_of, table_of
from .journal_reading import JournalFiles
from .journal_replay import State, UndoStack, in_order, replay, undone_units

_PLACE = "archive"


def write_archive(folder: Path, writer: str, lines: list[bytes]) -> None:
    """Put lines into a new file of the archive.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the journal.
    writer : str
        Whose lines.
    lines : list of bytes
        As they were, damaged ones too.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    place = folder / _PLACE / writer
    place.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(p.name.split(".")[0]) for p in place.glob("[0-9]*.jsonl.gz")), default=0)
    write_whole(place / f"{number:04d}.jsonl.gz", gzip.compress(b"\n".join(lines) + b"\n", mtime=0))


def read_archive(folder: Path) -> tuple[list[Entry], list[Problem]]:
    """Entries of the archive.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the journal.

    Returns
    -------
    entries : list of Entry
    problems : list of Problem
    """
    entries, problems = [], []
    for path in sorted((folder / _PLACE).glob("*/*.jsonl.gz")):
        name = path.relative_to(folder).as_posix()
        try:
            found, told = parse_lines(read_bytes(path), name)
        except (OSError, ValueError) as error:
            problems.append(Problem(name, 0, f"not read: {error}"))
            continue
        entries += found
        problems += told
    return entries, problems


def compacted(path: Path, files: JournalFiles, writer: str, undo_steps: int) -> tuple[list[bytes], bytes] | None:
    """What moves to the archive, and what the file holds then.

    Parameters
    ----------
    path : pathlib.Path
        File of the writer.
    files : JournalFiles
        All that is known.
    writer : str
        Whose entries are looked at; others in the same file stay.
    undo_steps : int
        Steps of the writer that stay as they are.

    Returns
    -------
    (list of bytes, bytes) or None
        None if there is nothing to move.

    Raises
    ------
    RuntimeError
        If the labels would change.
    """
    entries = files.entries()
    state, undone = files.state, undone_units(entries)
    stack = state.stacks.get(writer, UndoStack())
    untouched = set(stack.redo) | set(list(stack.undo)[max(0, len(stack.undo) - undo_steps) :])
    # what was undone and yet stays, because others changed it or speak of it, or may do so unseen
    untouched |= {
        e.unit
        for e in entries
        if e.unit in undone
        and (e.op == "add_behavior" or (e.op == "add" and any(b in state.bouts for b in bout_ids(e.id, e.data))))
    }
    lines: list[tuple[bytes, Entry | None]] = []
    for line in filter(bytes.strip, read_whole(path).split(b"\n")):
        try:
            lines.append((line, decode(line)))
        except ValueError:
            lines.append((line, None))
    finished = {e.id for e in entries}
    stay, moved, old = [], [], []
    for line, entry in lines:
        named = entry.data["entry"] if entry and entry.op in ("undo", "redo") else entry.unit if entry else ""
        if entry and (entry.writer != writer or named in untouched):
            stay.append(line)
            continue
        moved.append(line)
        if entry and entry.id in finished and entry.unit not in undone:
            old.append(entry)
    if not moved or (all(entry.base or entry.op == "compacted" for entry in old) and len(old) == len(moved)):
        return None
    numbers = [e for _, e in lines if e is not None and e.writer == writer]
    through, clock = max((e.seq for e in numbers), default=1), max((e.clock for e in numbers), default=1)
    mark = Entry(new_id(), writer, through, clock, now(), "compacted", {"through": through})
    fresh = [mark, *_anew(old, state)]
    content = b"".join([*(encode(entry) for entry in fresh), *(line + b"\n" for line in stay)])
    gone = {decode(line).id for line in moved if _is_entry(line)}
    _check_same([*(e for e in entries if e.id not in gone), *fresh], state)
    return moved, content


def _is_entry(line: bytes) -> bool:
    try:
        decode(line)
    except ValueError:
        return False
    return True


def _anew(old: Iterable[Entry], state: State) -> list[Entry]:
    """The same in fewer lines: bouts as tables, and without those that were added and removed."""
    old = in_order(replace(entry, tx="") for entry in old if entry.op != "commit")
    removed = {e.data["bout"] for e in old if e.op == "remove"}
    rows: dict[str, Row] = {}
    dead: set[str] = set()
    first: Entry | None = None
    out = []
    for entry in old:
        if entry.op == "add":
            first = first or entry
            for bout, row in zip(bout_ids(entry.id, entry.data), rows_of(entry.data), strict=True):
                if bout in removed and bout not in state.bouts:
                    dead.add(bout)
                else:
                    rows.setdefault(bout, row)
        elif entry.op in ("undo", "redo", "compacted") or entry.data.get("bout") in dead:
            continue
        else:
            out.append(replace(entry, id=new_id(), base=True))
    bouts = list(rows)
    for k in range(0, len(bouts), ROWS_PER_LINE):
        part = bouts[k : k + ROWS_PER_LINE]
        data = {**table_of(rows[bout] for bout in part), "ids": part}
        assert first is not None
        out.append(replace(first, id=new_id(), data=data, base=True))
    return out


def _check_same(entries: list[Entry], state: State) -> None:
    before, after = annotations_of(state, ids=True), annotations_of(replay(entries), ids=True)
    same = before.ethogram == after.ethogram
    for table in ("bouts", "scored"):
        one, other = getattr(before, table), getattr(after, table)
        same = same and sorted(one.columns) == sorted(other.columns) and one.equals(other[list(one.columns)])
    if not same:
        raise RuntimeError("compacting the journal would have changed the labels; nothing was done")
