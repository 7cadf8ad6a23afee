"""The ethogram of a BORIS project: behaviours with keys, colours, categories, modifiers and what excludes what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..ethogram import Behavior, Ethogram
from ..match_report import MatchReport
from .boris_events import TARGET_SET

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
STATE, POINT = "State event", "Point event"


def table_of(value: Any, where: str) -> dict[str, Any]:
    """An object of JSON; what BORIS leaves empty may be a list or a text.

    Parameters
    ----------
    value : object
        A value of the file.
    where : str
        Its key, for messages.

    Returns
    -------
    dict
    """
    if value in (None, "", [], {}):
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, got {str(value)[:40]!r}")
    return value


def text_of(value: Any, where: str) -> str:
    """A text of JSON, empty if it is missing.

    Parameters
    ----------
    value : object
        A value of the file.
    where : str
        Its key, for messages.

    Returns
    -------
    str
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected a text, got {str(value)[:40]!r}")
    return value


class Conf:
    """``behaviors_conf`` of a project.

    Parameters
    ----------
    conf : object
        As in the file.
    path : str
        The file, for messages.
    report : MatchReport
        Takes what cannot be carried.
    """

    def __init__(self, conf: Any, path: str, report: MatchReport) -> None:
        self.path, self.report = path, report
        self.names: dict[str, str] = {}  # of codes, which may have spaces around them
        self.directed: set[str] = set()
        stops: dict[str, set[str]] = {}
        behaviors: list[Behavior] = []
        keys: set[str] = set()
        for index, entry in table_of(conf, f"{path}, behaviors_conf").items():
            where = f"{path}, behaviors_conf {index}"
            fields = table_of(entry, where)
            behavior = self._behavior(fields, where, keys)
            behaviors.append(behavior)
            excluded = text_of(fields.get("excluded"), f"{where}, excluded").split(",")
            stops[behavior.name] = {name.strip() for name in excluded if name.strip()}
            sets = list(table_of(fields.get("modifiers"), f"{where}, modifiers").values())
            if sets and isinstance(sets[0], dict) and str(sets[0].get("name", "")).strip().lower() == TARGET_SET:
                self.directed.add(behavior.name)
        known = {b.name for b in behaviors}
        stops = {name: (others & known) - {name} for name, others in stops.items()}
        self.stopped_by: dict[str, set[str]] = {name: set() for name in known}
        for name, others in stops.items():
            for other in others:
                self.stopped_by[other].add(name)
        one_way = sum(name not in stops[other] for name, others in stops.items() for other in others)
        if one_way:
            report.lose(f"{one_way} exclusions that hold in one direction only")
        self.ethogram = Ethogram(behaviors, _groups(stops, [b.name for b in behaviors]))

    def _behavior(self, fields: Mapping[str, Any], where: str, keys: set[str]) -> Behavior:
        code = text_of(fields.get("code"), f"{where}, code")
        name = code.strip()
        if not name:
            raise ValueError(f"{where}: expected a code, got {code!r}")
        if name in self.names.values():
            raise ValueError(f"{where}: the code {name!r} stands twice")
        self.names[code] = name
        kind = text_of(fields.get("type"), f"{where}, type")
        if not kind.startswith((STATE, POINT)):
            raise ValueError(f"{where}: expected a {STATE!r} or a {POINT!r}, got {kind[:40]!r}")
        key = text_of(fields.get("key"), f"{where}, key")
        if len(key) > 1 or key in keys:
            self.report.lose(f"the key {key} of {name}, which is longer than one character or another's too")
            key = ""
        keys |= {key} - {""}
        color = text_of(fields.get("color"), f"{where}, color")
        if color and not _HEX.fullmatch(color):
            self.report.lose(f"the colour {color} of {name}, which is not of the form #rrggbb")
            color = ""
        return Behavior(
            name=name,
            kind="point" if kind.startswith(POINT) else "state",
            key=key,
            color=color,
            definition=text_of(fields.get("description"), f"{where}, description"),
            category=text_of(fields.get("category"), f"{where}, category"),
        )


def _groups(stops: Mapping[str, set[str]], order: list[str]) -> list[tuple[str, ...]]:
    """Groups in which each excludes each, so that every pair that excludes each other is in one."""
    pairs = {name: {other for other in others if name in stops[other]} for name, others in stops.items()}
    groups: list[tuple[str, ...]] = []
    covered: set[tuple[str, str]] = set()
    for name in order:
        for other in (o for o in order if o in pairs[name]):
            if (name, other) in covered:
                continue
            group = [name, other]
            for third in order:
                if third not in group and pairs[third].issuperset(group):
                    group.append(third)
            covered |= {(a, b) for a in group for b in group}
            groups.append(tuple(o for o in order if o in group))
    return groups


def behaviors_conf(ethogram: Ethogram, sets: Mapping[str, list[tuple[str, list[str]]]]) -> dict[str, Any]:
    """``behaviors_conf`` of an ethogram.

    Parameters
    ----------
    ethogram : Ethogram
        Behaviours.
    sets : mapping of str to list of (str, list of str)
        Modifier sets of every behaviour: their names and values.

    Returns
    -------
    dict
    """
    excluded: dict[str, list[str]] = {b.name: [] for b in ethogram}
    for group in ethogram.exclusive:
        for name in group:
            excluded[name] += [o for o in group if o != name and o not in excluded[name]]
    return {
        str(k): {
            "type": POINT if b.kind == "point" else STATE,
            "key": b.key,
            "code": b.name,
            "description": b.definition,
            "color": b.color,
            "category": b.category,
            "modifiers": {
                str(j): {"name": name, "description": "", "type": 0, "ask at stop": False, "values": values}
                for j, (name, values) in enumerate(sets.get(b.name, []))
            },
            "excluded": ",".join(excluded[b.name]),
            "coding map": "",
        }
        for k, b in enumerate(ethogram)
    }
