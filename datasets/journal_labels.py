"""The state of a journal as :class:`Annotations`, and annotations as operations of a journal.

Nothing that people drew is left out because two of them disagreed about its behaviour: rows that no longer fit (a
state event of what is a point event now) stand under a behaviour of their own, named so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from .annotations import Annotations
from .bout_rows import empty_table
from .ethogram import Behavior, Ethogram, Kind, behavior_id
from .journal_operations import ENDS, NAMES, ROWS_PER_LINE, Row, is_point, table_of
from .journal_replay import State
from .journal_scored import Interval

_SECONDS = ("start", "stop")


def ethogram_of(state: State, conflicts: list[str] | None = None) -> dict[str, Behavior]:
    """Behaviours by their id, in their order, with names and keys that no other has.

    Parameters
    ----------
    state : State
        Of a journal.
    conflicts : list of str, optional
        What had to be decided is added to it.

    Returns
    -------
    dict of str to Behavior
    """
    conflicts = [] if conflicts is None else conflicts
    fields = {i: f for i, f in state.behaviors.items() if i not in state.alias}
    for used in sorted({state.root(i) for i in {row["behavior"] for row in state.bouts.values()}}):
        if used not in fields:
            fields[used] = state.undone_behaviors.get(used, {"name": used})
            if used not in state.undone_behaviors:
                conflicts.append(f"bouts speak of the behaviour {used!r}, which is not there")
    out: dict[str, Behavior] = {}
    names: set[str] = set()
    keys: set[str] = set()
    for i, known in fields.items():
        try:
            behavior = Behavior(**{**known, "id": i})
        except (TypeError, ValueError):  # two changes that do not go together
            behavior = Behavior(name=str(known.get("name", "")).strip() or i.strip() or "unnamed", id=i)
        name, number = behavior.name, 2
        while name in names:
            name, number = f"{behavior.name} ({number})", number + 1
        if name != behavior.name:
            conflicts.append(f"two behaviours are called {behavior.name!r}; the later one is {name!r}")
        key = "" if behavior.key in keys else behavior.key
        out[i] = behavior if (name, key) == (behavior.name, behavior.key) else replace(behavior, name=name, key=key)
        names.add(name)
        keys.add(key)
    return out


def annotations_of(state: State, *, ids: bool = False) -> Annotations:
    """Labels of a state.

    Parameters
    ----------
    state : State
        Of a journal.
    ids : bool
        Whether a column ``bout`` tells the id of every bout.

    Returns
    -------
    Annotations
        Bouts by recording and start.
    """
    known = ethogram_of(state)
    rows = list(state.bouts.values())
    extra = dict.fromkeys(name for row in rows if len(row) > 9 for name in row if name not in (*NAMES, *ENDS))
    roots = [state.root(row["behavior"]) for row in rows]
    names = {i: behavior.name for i, behavior in known.items()}
    points = {i for i, behavior in known.items() if behavior.kind == "point"}
    behaviors = [names[root] for root in roots]
    odd: dict[str, Behavior] = {}
    for k, (row, root) in enumerate(zip(rows, roots, strict=True)):
        if is_point(row) != (root in points):
            behaviors[k] = _variant(known, odd, root).name
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in NAMES if name != "behavior"}
    columns |= {name: [row[name] for row in rows] for name in ("start_frame", "stop_frame")}
    columns |= {name: np.array([row[name] for row in rows], dtype=np.float64) for name in _SECONDS}
    table = empty_table(**columns, behavior=behaviors, **{name: [row.get(name) for row in rows] for name in extra})
    if ids:
        table["bout"] = pd.Series(list(state.bouts), dtype=str)
    # by id at last: which file was read first must not show
    order = pd.DataFrame({"r": table["recording"], "f": table["start_frame"].astype("Float64"), "s": table["start"]})
    order["i"] = list(state.bouts)
    table = table.iloc[order.sort_values(["r", "f", "s", "i"]).index]
    every = [*known.values(), *odd.values()]
    groups = ([names[i] for i in map(state.root, group) if i in names] for group in state.exclusive)
    ethogram = Ethogram(every, [tuple(dict.fromkeys(g)) for g in groups if len(set(g)) > 1])
    return Annotations(bouts=table, scored=_scored(state, names), ethogram=ethogram)


def _variant(known: dict[str, Behavior], odd: dict[str, Behavior], root: str) -> Behavior:
    if root not in odd:
        kind: Kind = "state" if known[root].kind == "point" else "point"
        names = {b.name for b in (*known.values(), *odd.values())}
        name = f"{known[root].name} ({kind})"
        while name in names:
            name += "'"
        odd[root] = replace(known[root], name=name, id=f"{root}-{kind}", kind=kind, key="")
    return odd[root]


def _scored(state: State, names: Mapping[str, str]) -> pd.DataFrame:
    groups: dict[tuple[str, str, str, str, bool], dict[str, list[Interval]]] = {}
    for (*who, behavior, in_frames), intervals in state.scored.items():
        if intervals and behavior in names:
            groups.setdefault((*who, in_frames), {})[behavior] = intervals  # type: ignore[arg-type]
    rows: list[Row] = []
    for key in sorted(groups):
        *who, in_frames = key
        sets = list(groups[key].items())
        if len(sets) == len(names) and all(intervals == sets[0][1] for _, intervals in sets):
            sets = [("", sets[0][1])]
        for behavior, intervals in sorted(sets):
            for low, high, low_seconds, high_seconds in intervals:
                row: Row = dict(zip(("recording", "individual", "target", "scorer"), who, strict=True))
                row["behavior"] = names.get(behavior, "")
                row |= dict(zip(ENDS, (low, high, low_seconds, high_seconds), strict=True))
                if not in_frames:
                    row |= dict(zip(ENDS, (None, None, low, high), strict=True))
                elif low_seconds is None or high_seconds is None or low_seconds > high_seconds:
                    row |= {"start": None, "stop": None}
                rows.append(row)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in (*NAMES, *ENDS)}
    columns |= {name: np.array(columns[name], dtype=np.float64) for name in _SECONDS}
    return empty_table(**columns)


def free_id(state: State, behavior: Behavior) -> str:
    """An id for a behaviour that is new, as close to its own as can be.

    Parameters
    ----------
    state : State
        Of a journal.
    behavior : Behavior
        The new one.

    Returns
    -------
    str
    """
    base = behavior.id or behavior_id(behavior.name)
    taken = state.behaviors.keys() | state.undone_behaviors.keys() | state.alias.keys()
    made, number = base, 2
    while made in taken:
        made, number = f"{base}-{number}", number + 1
    return made


def import_operations(annotations: Annotations, state: State) -> list[tuple[str, dict[str, Any]]]:
    """Operations that bring annotations into a journal.

    Parameters
    ----------
    annotations : Annotations
        Behaviours are told by name, then by id; new ones are added.
    state : State
        What the journal knows.

    Returns
    -------
    list of (str, dict)
    """
    known = ethogram_of(state)
    by_name = {behavior.name: i for i, behavior in known.items()}
    out: list[tuple[str, dict[str, Any]]] = []
    id_of: dict[str, str] = {}
    fresh = State()
    fresh.behaviors = dict(state.behaviors)
    fresh.undone_behaviors, fresh.alias = state.undone_behaviors, state.alias
    for behavior in annotations.ethogram:
        found = by_name.get(behavior.name)
        if found is None and (same := known.get(state.root(behavior.id))) and same.name not in annotations.ethogram:
            found = state.root(behavior.id)
        if found is not None and known[found].kind != behavior.kind:
            raise ValueError(
                f"behaviour {behavior.name!r}: expected the kind {known[found].kind!r} of the journal, "
                f"got {behavior.kind!r}"
            )
        if found is None:
            found = free_id(fresh, behavior)
            fields = behavior_fields(replace(behavior, id=found))
            fresh.behaviors[found] = fields
            out.append(("add_behavior", {"behavior": fields}))
        id_of[behavior.name] = found
    groups = [[id_of[name] for name in group] for group in annotations.ethogram.exclusive]
    if new := [g for g in groups if set(g) not in map(set, state.exclusive)]:
        out.append(("exclusive", {"groups": [*state.exclusive, *new]}))
    for op, table in (("add", annotations.bouts), ("score", annotations.scored)):
        rows = list(_plain_rows(table, id_of, notes=op == "add"))
        for k in range(0, len(rows), ROWS_PER_LINE):
            data = table_of(rows[k : k + ROWS_PER_LINE])
            out.append((op, data if op == "add" else {**data, "every": list(id_of.values())}))
    return out


def behavior_fields(behavior: Behavior) -> dict[str, Any]:
    """What is said of a behaviour, without what is empty.

    Parameters
    ----------
    behavior : Behavior
        Any.

    Returns
    -------
    dict
    """
    return {name: value for name, value in asdict(behavior).items() if value not in ("", None)}


def _plain_rows(table: pd.DataFrame, id_of: Mapping[str, str], *, notes: bool) -> Iterator[Row]:
    columns = [c for c in table.columns if c in NAMES or c in ENDS or (notes and c != "bout")]
    values = [table[c].astype(object).where(table[c].notna(), None).tolist() for c in columns]
    for row in zip(*values, strict=True):
        out = {str(name): plain_value(value) for name, value in zip(columns, row, strict=True)}
        out["behavior"] = id_of[out["behavior"]] if out["behavior"] else ""
        yield {k: v for k, v in out.items() if v is not None or k in ENDS}


def plain_value(value: Any) -> Any:
    """A value as JSON holds it; what is neither text nor number becomes text.

    Parameters
    ----------
    value : object
        Of a table.

    Returns
    -------
    str, int, float, bool or None
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, np.generic):
        return plain_value(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None if np.isnan(value) else str(value)
    return None if value is pd.NA or value is pd.NaT else str(value)
