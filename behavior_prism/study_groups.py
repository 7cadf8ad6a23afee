"""Which recordings go together in cross-validation: those that share an animal, also by way of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .study_tables import Row


def connected_groups(rows: Sequence[Row], animals: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Connected components of the graph of recordings and animals.

    Parameters
    ----------
    rows : sequence of Row
        Of ``recordings.csv``.
    animals : mapping of str to frozenset of str
        Who is in each recording.

    Returns
    -------
    dict of str to str
        From recording to the first recording of its component. Cameras of one session are joined, too, unless the
        animals of both are known.
    """
    names = [row["recording"] for row in rows]
    order = {name: k for k, name in enumerate(names)}
    parent = {name: name for name in names}

    def _root(name: str) -> str:
        """The recording that stands for a group."""
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def _join(a: str, b: str) -> None:
        """Make two groups one."""
        low, high = sorted((_root(a), _root(b)), key=order.__getitem__)
        parent[high] = low

    seen: dict[str, str] = {}
    for name in names:
        for animal in sorted(animals[name]):
            _join(seen.setdefault(animal, name), name)
    sessions: dict[str, list[Row]] = {}
    for row in rows:
        if row["session"] and row["camera"]:
            sessions.setdefault(row["session"], []).append(row)
    for views in sessions.values():
        for k, a in enumerate(views):
            for b in views[:k]:
                known = animals[a["recording"]] and animals[b["recording"]]
                if a["camera"] != b["camera"] and not known:
                    _join(a["recording"], b["recording"])
    return {name: _root(name) for name in names}
