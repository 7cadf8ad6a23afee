"""What can be done in a journal of labels, and what each kind of entry must hold.

Rows of bouts and of scored intervals stand as a small table, ``{"common": {...}, "columns": [...], "rows": [[...]]}``:
what is the same in every row is written once. A behaviour is told by its id, so that no renaming touches a row. Ends
are ``start_frame, stop_frame`` (half-open, from 0) and ``start, stop`` [s]; null where the unit is not known.

==================  ================================================================================
add                 bouts; the id of the only row is that of the entry, else ``<entry>.<row>``, or ``ids``
remove              ``bout``
change              ``bout``, ``set``; the four ends are set together or not at all
score, unscore      intervals; ``every``: the behaviours that an empty behaviour stands for
add_behavior        ``behavior``
change_behavior     ``behavior`` (id), ``set``; renaming is a change of the name
merge_behavior      ``behavior``, ``into`` (ids), ``scored`` ("both" or "either")
exclusive           ``groups`` of ids
undo, redo          ``entry``: id of the entry or transaction
commit              ``parts``: how many lines the transaction has before this one
compacted           ``through``: up to which number the writer's older lines are in the archive
==================  ================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .bout_rows import WHOLE_VIEW

Row = dict[str, Any]
OPERATIONS = (
    *("add", "remove", "change", "score", "unscore", "add_behavior", "change_behavior", "merge_behavior", "exclusive"),
    *("undo", "redo", "commit", "compacted"),
)
ENDS = ("start_frame", "stop_frame", "start", "stop")
NAMES = ("recording", "individual", "target", "behavior", "scorer")
BEHAVIOR_FIELDS = ("id", "name", "kind", "key", "color", "definition", "category", "code")
ROWS_PER_LINE = 500
_DEFAULT = {"recording": "", "individual": WHOLE_VIEW, "target": "", "behavior": "", "scorer": ""}


def table_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows as the table that an entry holds.

    Parameters
    ----------
    rows : iterable of mapping
        At least one.

    Returns
    -------
    dict
    """
    rows = [{**_DEFAULT, **dict.fromkeys(ENDS), **row} for row in rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    common = {name: rows[0].get(name) for name in columns if all(_same(r.get(name), rows[0].get(name)) for r in rows)}
    varying = [name for name in columns if name not in common]
    common = {name: value for name, value in common.items() if value is not None}
    return {"common": common, "columns": varying, "rows": [[row.get(name) for name in varying] for row in rows]}


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b  # 1 is not True


def rows_of(data: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of such a table, each of them complete.

    Parameters
    ----------
    data : mapping
        Of an entry that was checked.

    Yields
    ------
    dict
    """
    common = {**_DEFAULT, **dict.fromkeys(ENDS), **data["common"]}
    columns = data["columns"]
    for row in data["rows"]:
        yield {**common, **dict(zip(columns, row, strict=True))}


def bout_ids(entry_id: str, data: Mapping[str, Any]) -> list[str]:
    """Ids of the bouts that an entry ``add`` brings.

    Parameters
    ----------
    entry_id : str
        Id of the entry.
    data : mapping
        Its particulars.

    Returns
    -------
    list of str
    """
    if "ids" in data:
        return list(data["ids"])
    count = len(data["rows"])
    return [entry_id] if count == 1 else [f"{entry_id}.{k}" for k in range(count)]


def check_operation(op: str, data: Mapping[str, Any]) -> None:
    """Refuse an entry that cannot be replayed, on its way in as on its way out.

    Parameters
    ----------
    op : str
        One of :data:`OPERATIONS`.
    data : mapping
        Its particulars.

    Raises
    ------
    ValueError
        If the operation is unknown or particulars are missing or wrong.
    """
    if op not in OPERATIONS:
        raise ValueError(f"unknown operation {op!r:.40}; it was written by a newer version")
    if op in ("add", "score", "unscore"):
        _check_table(op, data)
    elif op == "add_behavior":
        _check_behavior(_of(data, "behavior", dict), whole=True)
    elif op == "exclusive":
        groups = _of(data, "groups", list)
        if not all(isinstance(g, list) and all(isinstance(n, str) for n in g) for g in groups):
            raise ValueError("expected groups of behaviour ids")
    elif op in ("commit", "compacted"):
        _of(data, "parts" if op == "commit" else "through", int)
    elif op in ("undo", "redo"):
        _of(data, "entry", str)
    else:
        _of(data, "bout" if op in ("remove", "change") else "behavior", str)
        if op == "change":
            _check_change(_of(data, "set", dict))
        elif op == "change_behavior":
            _check_behavior(_of(data, "set", dict), whole=False)
        elif op == "merge_behavior":
            _of(data, "into", str)
            if data.get("scored") not in ("both", "either"):
                raise ValueError(f"scored: expected 'both' or 'either', got {data.get('scored')!r:.40}")


def _of(data: Mapping[str, Any], name: str, kind: type) -> Any:
    value = data.get(name)
    if type(value) is not kind:
        raise ValueError(f"{name}: expected {kind.__name__}, got {value!r:.40}")
    return value


def _check_table(op: str, data: Mapping[str, Any]) -> None:
    common, columns, rows = _of(data, "common", dict), _of(data, "columns", list), _of(data, "rows", list)
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) != len(columns):
        raise ValueError("columns: expected names, each once")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise ValueError(f"rows: expected {len(columns)} values in each")
    ids = data.get("ids", [""] * len(rows))
    if not isinstance(ids, list) or len(ids) != len(rows) or not all(isinstance(i, str) for i in ids):
        raise ValueError("ids: expected one for each row")
    every = data.get("every", [])
    if not isinstance(every, list) or not all(isinstance(name, str) for name in every):
        raise ValueError("every: expected behaviour ids")
    # names that do not vary are looked at once: most of the time of opening a journal goes here
    check_names({**_DEFAULT, **common})
    varying = [name for name in columns if name not in ENDS]
    for row in rows_of(data):
        check_names({name: row[name] for name in varying})
        check_ends(row)
        if op == "add" and not row["behavior"]:
            raise ValueError("behavior: expected the id of a behaviour, got none")
        if op != "add" and is_point(row):
            raise ValueError("expected an interval that was scored, got one moment")


def check_names(row: Mapping[str, Any]) -> None:
    """Refuse names that are no text and notes that are no plain values.

    Parameters
    ----------
    row : mapping
        Columns of a bout apart from its ends; further ones are notes.

    Raises
    ------
    ValueError
        If a value is neither.
    """
    for name, value in row.items():
        if name in NAMES:
            if type(value) is not str:
                raise ValueError(f"{name}: expected text, got {value!r:.40}")
        elif name not in ENDS and not (
            value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
        ):
            raise ValueError(f"{name}: expected text, a number, true, false or nothing, got {value!r:.40}")


def check_ends(row: Mapping[str, Any]) -> None:
    """Refuse ends that are neither an interval nor one moment.

    Parameters
    ----------
    row : mapping
        With the four ends.

    Raises
    ------
    ValueError
        If they are reversed, negative frames, not finite, or known in no unit.
    """
    first, last, start, stop = (row[name] for name in ENDS)
    in_frames = first is not None
    if in_frames != (last is not None) or (start is None) != (stop is None):
        raise ValueError("expected both ends of an interval, got one")
    if in_frames:
        if type(first) is not int or type(last) is not int or not 0 <= first <= last < 1 << 53:
            raise ValueError(f"expected frames 0 <= start_frame <= stop_frame, got {first!r:.40} and {last!r:.40}")
    elif start is None:
        raise ValueError("expected frames or seconds, got neither")
    if start is not None:
        if type(start) is not float or type(stop) is not float:
            raise ValueError(f"expected seconds, got {start!r:.40} and {stop!r:.40}")
        if not (math.isfinite(start) and math.isfinite(stop) and start <= stop):
            raise ValueError(f"expected seconds start <= stop, got {start!r:.40} and {stop!r:.40}")
        if in_frames and first == last and start != stop:
            raise ValueError(f"expected one moment at frame {first}, got {start:g} s to {stop:g} s")


def is_point(row: Mapping[str, Any]) -> bool:
    """Whether a row is of one moment.

    Parameters
    ----------
    row : mapping
        With ends that were checked.

    Returns
    -------
    bool
    """
    if row["start_frame"] is not None:
        return row["start_frame"] == row["stop_frame"]
    return row["start"] == row["stop"]


def _check_change(fields: Mapping[str, Any]) -> None:
    check_names(fields)
    if not fields or fields.get("behavior") == "":
        raise ValueError("set: expected what changes")
    given = [name for name in ENDS if name in fields]
    if given and len(given) < len(ENDS):
        raise ValueError(f"set: expected the four ends together, got {given}")
    if given:
        check_ends(fields)


def _check_behavior(fields: Mapping[str, Any], *, whole: bool) -> None:
    for name, value in fields.items():
        if name not in BEHAVIOR_FIELDS or (name == "id" and not whole):
            raise ValueError(f"behaviour: unknown field {name!r:.40}")
        if name == "code" and value is None:
            continue
        if type(value) is not (int if name == "code" else str):
            raise ValueError(f"behaviour: {name}: got {value!r:.40}")
    if whole and not (fields.get("id") and fields.get("name")):
        raise ValueError("behaviour: expected an id and a name")
