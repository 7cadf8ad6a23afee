"""From entries to labels: the same whatever order the files were read in.

Entries are taken in the order of (clock, writer, seq). What was undone is left out, and the rest is replayed; so an
undo gives back what was before without saying what that was, and what others did in between stays:

- the later of two changes of one field stands, whoever made it;
- a bout that one person adds, another changes, and the first then undoes, stays: its change is somebody's work;
- a bout that was removed stays removed, though another changed it meanwhile;
- a behaviour that was undone stays as long as bouts speak of it.

Whatever was decided in this way is told in ``conflicts``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .journal_entry import Entry, Key
from .journal_operations import ENDS, NAMES, Row, bout_ids, rows_of
from .journal_scored import Interval, common, with_interval, without_interval

UNDO_STEPS = 1000
# recording, individual, target, scorer, behaviour id, whether in frames
ScoredKey = tuple[str, str, str, str, str, bool]


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Entries that count, in the merged order, each id once.

    Parameters
    ----------
    entries : iterable of Entry
        Of all files, in any order.

    Returns
    -------
    list of Entry
        Parts of a transaction that was never finished are left out.
    """
    entries = list(entries)
    finished = {e.tx for e in entries if e.op == "commit"}
    out: dict[str, Entry] = {}
    for entry in sorted((e for e in entries if not e.tx or e.tx in finished), key=lambda e: e.key):
        out.setdefault(entry.id, entry)
    return list(out.values())


class UndoStack:
    """What one writer can undo and redo, the latest last.

    Parameters
    ----------
    undo, redo : iterable of str
        Ids of entries or transactions, the latest last.
    """

    def __init__(self, undo: Iterable[str] = (), redo: Iterable[str] = ()) -> None:
        self.undo = deque(undo, maxlen=UNDO_STEPS)
        self.redo = deque(redo, maxlen=UNDO_STEPS)

    def take(self, entry: Entry) -> None:
        """Follow an entry of this writer.

        Parameters
        ----------
        entry : Entry
            The next one.
        """
        if entry.op in ("undo", "redo"):
            source, sink = (self.undo, self.redo) if entry.op == "undo" else (self.redo, self.undo)
            if entry.data["entry"] in source:
                source.remove(entry.data["entry"])
                sink.append(entry.data["entry"])
        elif entry.op != "compacted" and not entry.base and (not self.undo or self.undo[-1] != entry.unit):
            self.undo.append(entry.unit)
            self.redo.clear()


def undone_units(entries: Iterable[Entry]) -> set[str]:
    """Units that their own writer undid and did not redo.

    Parameters
    ----------
    entries : iterable of Entry
        In order.

    Returns
    -------
    set of str
    """
    entries = list(entries)
    owner = {e.unit: e.writer for e in entries if e.op not in ("undo", "redo")}
    undone: set[str] = set()
    for entry in entries:
        if entry.op in ("undo", "redo") and owner.get(entry.data["entry"]) == entry.writer:
            (undone.add if entry.op == "undo" else undone.discard)(entry.data["entry"])
    return undone


class State:
    """What stands after some entries.

    Attributes
    ----------
    bouts : dict of str to dict
        Rows by bout id; ``behavior`` is an id.
    ghosts : dict of str to (str, dict)
        Bouts whose ``add`` was undone, with who added them.
    removed : set of str
        Bouts that were removed.
    scored : dict of tuple to list
        Scored intervals of each recording, individual, target, scorer, behaviour and unit.
    behaviors, undone_behaviors : dict of str to dict
        Fields of each behaviour by its id.
    alias : dict of str to str
        Behaviours that were merged, and into which.
    exclusive : list of list of str
        Groups of behaviour ids.
    stacks : dict of str to UndoStack
        By writer.
    conflicts : dict of str to None
        What was decided between two writers, one sentence each.
    last : tuple or None
        Key of the last entry.
    """

    def __init__(self) -> None:
        self.bouts: dict[str, Row] = {}
        self.ghosts: dict[str, tuple[str, Row]] = {}
        self.removed: set[str] = set()
        self.scored: dict[ScoredKey, list[Interval]] = {}
        self.behaviors: dict[str, dict[str, Any]] = {}
        self.undone_behaviors: dict[str, dict[str, Any]] = {}
        self.alias: dict[str, str] = {}
        self.exclusive: list[list[str]] = []
        self.stacks: dict[str, UndoStack] = {}
        self.conflicts: dict[str, None] = {}  # in their order
        self.last: Key | None = None
        self._do: dict[str, Callable[[Entry], None]] = {
            "add": self._add,
            "remove": self._remove,
            "change": self._change,
            "score": self._score,
            "unscore": self._unscore,
            "add_behavior": self._add_behavior,
            "change_behavior": self._change_behavior,
            "merge_behavior": self._merge_behavior,
            "exclusive": self._exclusive,
        }

    def apply(self, entry: Entry, *, undone: bool = False) -> None:
        """Follow an entry.

        Parameters
        ----------
        entry : Entry
            The next one in the order.
        undone : bool
            Whether it was undone.
        """
        self.stacks.setdefault(entry.writer, UndoStack()).take(entry)
        self.last = entry.key
        if not undone and entry.op in self._do:
            self._do[entry.op](entry)
        elif entry.op == "add":
            for bout, row in zip(bout_ids(entry.id, entry.data), rows_of(entry.data), strict=True):
                if bout not in self.bouts:
                    self.ghosts[bout] = (entry.writer, row)
        elif entry.op == "add_behavior":
            fields = entry.data["behavior"]
            self.undone_behaviors.setdefault(fields["id"], dict(fields))

    def root(self, behavior: str) -> str:
        """The behaviour that stands for one that may have been merged.

        Parameters
        ----------
        behavior : str
            An id.

        Returns
        -------
        str
        """
        while behavior in self.alias:
            behavior = self.alias[behavior]
        return behavior

    def tell(self, what: str) -> None:
        """Add a conflict, once.

        Parameters
        ----------
        what : str
            One sentence.
        """
        self.conflicts[what] = None

    def _add(self, entry: Entry) -> None:
        for bout, row in zip(bout_ids(entry.id, entry.data), rows_of(entry.data), strict=True):
            if bout not in self.bouts and bout not in self.removed:
                self.bouts[bout] = row

    def _remove(self, entry: Entry) -> None:
        bout = entry.data["bout"]
        if not (self.ghosts.pop(bout, None) or self.bouts.pop(bout, None) or bout in self.removed):
            self.tell(f"{entry.writer} removed the bout {bout}, which is not there")
        self.removed.add(bout)

    def _change(self, entry: Entry) -> None:
        bout, fields = entry.data["bout"], entry.data["set"]
        if bout in self.ghosts:
            adder, row = self.ghosts[bout]
            row.update(fields)
            if adder != entry.writer:
                del self.ghosts[bout]
                self.bouts[bout] = row
                self.tell(f"{adder} undid adding the bout {bout}; it stays, {entry.writer} changed it")
        elif bout in self.bouts:
            self.bouts[bout].update(fields)
        else:
            was = "was removed; it stays removed" if bout in self.removed else "is not there"
            self.tell(f"{entry.writer} changed the bout {bout}, which {was}")

    def _marks(self, entry: Entry) -> Iterator[tuple[ScoredKey, Interval]]:
        every = entry.data.get("every", [])
        for row in rows_of(entry.data):
            start, stop = row["start"], row["stop"]
            first, last = row["start_frame"], row["stop_frame"]
            interval = (start, stop, None, None) if first is None else (first, last, start, stop)
            for behavior in [row["behavior"]] if row["behavior"] else every:
                who = (row["recording"], row["individual"], row["target"], row["scorer"])
                yield (*who, self.root(behavior), first is not None), interval

    def _score(self, entry: Entry) -> None:
        for key, interval in self._marks(entry):
            self.scored[key] = with_interval(self.scored.get(key, []), interval)

    def _unscore(self, entry: Entry) -> None:
        for key, interval in self._marks(entry):
            twin = (*key[:5], not key[5])
            if key in self.scored:
                self.scored[key] = without_interval(self.scored[key], interval)
            if self.scored.get(twin):
                if interval[2] is not None and interval[3] is not None:  # frames whose seconds are known too
                    self.scored[twin] = without_interval(self.scored[twin], (interval[2], interval[3], None, None))
                else:
                    unit = "frames" if key[5] else "seconds"
                    self.tell(
                        f"{entry.writer} took back scored {unit} of {key[0] or 'a recording'} that are known in "
                        "another unit; they stay scored"
                    )

    def _add_behavior(self, entry: Entry) -> None:
        fields = entry.data["behavior"]
        self.behaviors.setdefault(fields["id"], dict(fields))

    def _change_behavior(self, entry: Entry) -> None:
        behavior = entry.data["behavior"]
        known = self.behaviors.get(behavior) or self.undone_behaviors.get(behavior)
        if known is None or behavior in self.alias:
            was = "had been merged into another" if behavior in self.alias else "is not there"
            self.tell(f"{entry.writer} changed the behaviour {behavior!r}, which {was}")
        else:
            known.update(entry.data["set"])

    def _merge_behavior(self, entry: Entry) -> None:
        old, new = self.root(entry.data["behavior"]), self.root(entry.data["into"])
        if old == new:
            return
        mine = {k: v for k, v in self.scored.items() if k[4] in (old, new)}
        for key in {(*k[:4], new, k[5]) for k in mine}:
            first, second = mine.get((*key[:4], old, key[5]), []), mine.get(key, [])
            if entry.data["scored"] == "both":
                self.scored[key] = common(first, second)
            else:
                for interval in first:
                    second = with_interval(second, interval)
                self.scored[key] = second
            self.scored.pop((*key[:4], old, key[5]), None)
        self.alias[old] = new

    def _exclusive(self, entry: Entry) -> None:
        self.exclusive = [list(group) for group in entry.data["groups"]]


def replay(entries: Iterable[Entry]) -> State:
    """The state after entries.

    Parameters
    ----------
    entries : iterable of Entry
        Of all files, in any order.

    Returns
    -------
    State
    """
    entries = in_order(entries)
    undone = undone_units(entries)
    state = State()
    for entry in entries:
        state.apply(entry, undone=entry.unit in undone)
    return state


def plain(state: State) -> dict[str, Any]:
    """A state as plain values, for a snapshot.

    Parameters
    ----------
    state : State
        Any.

    Returns
    -------
    dict
    """

    def _table(rows: Iterable[Row]) -> list[list[Any]]:
        """Values in the order of the columns, and notes."""
        out = []
        for row in rows:
            notes = {k: v for k, v in row.items() if k not in _COLUMNS} if len(row) > len(_COLUMNS) else None
            out.append([*(row[name] for name in _COLUMNS), notes])
        return out

    return {
        "bouts": [list(state.bouts), _table(state.bouts.values())],
        "ghosts": [[k, who, row] for k, (who, row) in state.ghosts.items()],
        "removed": sorted(state.removed),
        "scored": [[*key, intervals] for key, intervals in state.scored.items()],
        "behaviors": list(state.behaviors.items()),
        "undone_behaviors": list(state.undone_behaviors.items()),
        "alias": state.alias,
        "exclusive": state.exclusive,
        "stacks": {writer: [list(stack.undo), list(stack.redo)] for writer, stack in state.stacks.items()},
        "conflicts": list(state.conflicts),
        "last": state.last,
    }


_COLUMNS = (*NAMES, *ENDS)


def from_plain(values: dict[str, Any]) -> State:
    """The state that :func:`plain` took apart.

    Parameters
    ----------
    values : dict
        Of a snapshot whose checksum was right.

    Returns
    -------
    State
    """
    state = State()
    for bout, row in zip(*values["bouts"], strict=True):
        state.bouts[bout] = dict(zip(_COLUMNS, row, strict=False))
        if row[-1]:
            state.bouts[bout].update(row[-1])
    state.ghosts = {k: (who, row) for k, who, row in values["ghosts"]}
    state.removed = set(values["removed"])
    for *key, intervals in values["scored"]:
        state.scored[tuple(key)] = [tuple(i) for i in intervals]
    state.behaviors, state.undone_behaviors = dict(values["behaviors"]), dict(values["undone_behaviors"])
    state.alias, state.exclusive = dict(values["alias"]), values["exclusive"]
    state.stacks = {writer: UndoStack(*both) for writer, both in values["stacks"].items()}
    state.conflicts = dict.fromkeys(values["conflicts"])
    state.last = None if values["last"] is None else tuple(values["last"])
    return state
