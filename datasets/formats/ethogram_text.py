"""What an ethogram knows of its behaviours, as short texts: for formats that hold a few words per behaviour."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..ethogram import Behavior, Ethogram

FIELDS = ("kind", "id", "key", "color", "category", "code", "exclusive_groups")
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


def texts_of(ethogram: Ethogram) -> dict[str, dict[str, str]]:
    """Every field of every behaviour as text; empty where nothing is said.

    Parameters
    ----------
    ethogram : Ethogram
        Any.

    Returns
    -------
    dict of str to dict of str to str
        By name and field. ``exclusive_groups`` are the numbers of the groups that a behaviour belongs to.

    Examples
    --------
    >>> texts_of(Ethogram(("walk", "rest"), exclusive=[("walk", "rest")]))["walk"]["exclusive_groups"]
    '1'
    """
    out = {}
    for b in ethogram:
        groups = " ".join(str(n) for n, group in enumerate(ethogram.exclusive, 1) if b.name in group)
        values = (b.kind, b.id, b.key, b.color, b.category, "" if b.code is None else str(b.code), groups)
        out[b.name] = dict(zip(FIELDS, values, strict=True))
    return out


def ethogram_of(
    names: Iterable[str], texts: Mapping[str, Mapping[str, str]], definitions: Mapping[str, str]
) -> Ethogram:
    """An ethogram from texts; what is no such value (a colour by its name, a key of two letters) is left out.

    Parameters
    ----------
    names : iterable of str
        Behaviours in their order.
    texts : mapping of str to mapping of str to str
        As :func:`texts_of` gives them; anything may be missing.
    definitions : mapping of str to str
        By name.

    Returns
    -------
    Ethogram

    Raises
    ------
    ValueError
        If a behaviour is there twice.
    """
    groups: dict[int, list[str]] = {}
    behaviors: list[Behavior] = []
    for name in names:
        about = texts.get(name, {})
        numbers = [w for w in about.get("exclusive_groups", "").split() if w.isascii() and w.isdigit() and len(w) < 6]
        for number in numbers:
            groups.setdefault(int(number), []).append(name)
        key, color, code = (about.get(field, "") for field in ("key", "color", "code"))
        behaviors.append(
            Behavior(
                name=name,
                id=about.get("id", ""),
                kind="point" if about.get("kind") == "point" else "state",
                key=key if len(key) == 1 and key not in {b.key for b in behaviors} else "",
                color=color if _HEX.fullmatch(color) else "",
                definition=definitions.get(name, ""),
                category=about.get("category", ""),
                code=int(code) if re.fullmatch(r"-?[0-9]{1,18}", code, re.ASCII) else None,
            )
        )
    return Ethogram(behaviors, (groups[number] for number in sorted(groups)))
