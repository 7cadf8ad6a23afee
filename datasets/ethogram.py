"""The ethogram: which behaviours are under study, and what is agreed about each of them.

A behaviour has an ``id`` that never changes and a ``name`` that may: a lab renames "rear" to "rearing" and every bout
ever drawn still means the same behaviour. Colours and keys are for people at the screen; the definition is what two
scorers must agree on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

Kind = Literal["state", "point"]
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """One behaviour of an ethogram.

    Parameters
    ----------
    name : str
        What people call it; unique within an ethogram, without spaces around it.
    id : str
        What it is told by over renamings; by default made from the name.
    kind : {"state", "point"}
        A state lasts (bouts with a start and a stop); a point event only happens.
    key : str
        Key that scores it, one character, or empty.
    color : str
        ``#rrggbb``, or empty.
    definition : str
        When exactly it begins and ends.
    category : str
        Group for tables and figures, as BORIS has it.
    code : int or None
        Number that another tool gives it.

    Raises
    ------
    ValueError
        If the name is empty or spaced, or the kind, key or colour is none.

    Examples
    --------
    >>> Behavior(name="Wall rear", key="w").id
    'wall-rear'
    """

    name: str
    id: str = ""
    kind: Kind = "state"
    key: str = ""
    color: str = ""
    definition: str = ""
    category: str = ""
    code: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or self.name != self.name.strip():
            raise ValueError(f"behaviour: expected a name without spaces around it, got {self.name!r}")
        if self.kind not in get_args(Kind):
            raise ValueError(f"behaviour {self.name!r}: expected the kind 'state' or 'point', got {self.kind!r}")
        if len(self.key) > 1:
            raise ValueError(f"behaviour {self.name!r}: expected a key of one character, got {self.key!r}")
        if self.color and not _HEX.fullmatch(self.color):
            raise ValueError(f"behaviour {self.name!r}: expected a colour like #0072b2, got {self.color!r}")
        if not self.id:
            object.__setattr__(self, "id", behavior_id(self.name))


def behavior_id(name: str) -> str:
    """The id that a name gives: lower case, words joined by ``-``.

    Parameters
    ----------
    name : str
        Name of a behaviour.

    Returns
    -------
    str
        The same wherever it is made, so that two people who add a behaviour of one name mean one behaviour.

    Examples
    --------
    >>> behavior_id("Rear (+)"), behavior_id("毛づくろい")
    ('rear-(+)', '毛づくろい')
    """
    return re.sub(r"[\s_]+", "-", unicodedata.normalize("NFC", name).strip().casefold())


@dataclass(frozen=True)
class Ethogram:
    """Behaviours in a fixed order, and which of them exclude each other.

    Parameters
    ----------
    behaviors : sequence of Behavior or str
        Names stand for states without further notes.
    exclusive : sequence of sequences of str
        Groups of names; at any moment an individual shows at most one behaviour of a group.

    Raises
    ------
    ValueError
        If a name, an id or a key stands twice, or a group names an unknown behaviour.

    Examples
    --------
    >>> ethogram = Ethogram(("walk", Behavior(name="jump", kind="point")), exclusive=[("walk", "jump")])
    >>> ethogram.names, ethogram["jump"].kind, "fly" in ethogram
    (('walk', 'jump'), 'point', False)
    """

    behaviors: tuple[Behavior, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()

    def __init__(self, behaviors: Iterable[Behavior | str] = (), exclusive: Iterable[Sequence[str]] = ()) -> None:
        known = tuple(b if isinstance(b, Behavior) else Behavior(name=b) for b in behaviors)
        for what in ("name", "key"):
            values = [getattr(b, what) for b in known if getattr(b, what)]
            if twice := sorted({v for v in values if values.count(v) > 1}):
                raise ValueError(
                    f"ethogram: expected each {what} once, got {twice[0]!r} {values.count(twice[0])} times"
                )
        object.__setattr__(self, "behaviors", _with_own_ids(known))
        groups = tuple(tuple(g) for g in exclusive)
        for name in (n for g in groups for n in g):
            if name not in self.names:
                raise ValueError(f"ethogram: unknown behaviour {name!r} in a group, expected one of {list(self.names)}")
        object.__setattr__(self, "exclusive", groups)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in their order."""
        return tuple(b.name for b in self.behaviors)

    @property
    def points(self) -> frozenset[str]:
        """Names of the point events."""
        return frozenset(b.name for b in self.behaviors if b.kind == "point")

    def __len__(self) -> int:
        return len(self.behaviors)

    def __iter__(self) -> Iterator[Behavior]:
        return iter(self.behaviors)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Behavior:
        for behavior in self.behaviors:
            if behavior.name == name:
                return behavior
        raise KeyError(f"unknown behaviour {name!r}, expected one of {list(self.names)}")

    def only(self, names: Iterable[str]) -> Ethogram:
        """The behaviours of these names, in the order of ``names``; groups keep what is left of them.

        Parameters
        ----------
        names : iterable of str
            Names that are known here.

        Returns
        -------
        Ethogram
        """
        names = tuple(names)
        groups = (tuple(n for n in g if n in names) for g in self.exclusive)
        return Ethogram((self[n] for n in names), (g for g in groups if len(g) > 1))

    def renamed(self, old: str, new: str) -> Ethogram:
        """The same behaviours, one of them by another name; its id stays.

        Parameters
        ----------
        old, new : str
            Names; ``new`` must be free.

        Returns
        -------
        Ethogram

        Examples
        --------
        >>> Ethogram(("rear",)).renamed("rear", "rearing")["rearing"].id
        'rear'
        """
        behavior = self[old]
        return Ethogram(
            (replace(b, name=new) if b is behavior else b for b in self.behaviors),
            (tuple(new if n == old else n for n in g) for g in self.exclusive),
        )

    def merged_with(self, other: Ethogram) -> Ethogram:
        """These behaviours, then those of ``other`` that are new here; what is said of a known one stays.

        Parameters
        ----------
        other : Ethogram
            Told apart by name.

        Returns
        -------
        Ethogram
        """
        keys = {b.key for b in self.behaviors}
        new = (b if b.key not in keys else replace(b, key="") for b in other.behaviors if b.name not in self)
        groups = (*self.exclusive, *(g for g in other.exclusive if set(g) not in map(set, self.exclusive)))
        return Ethogram((*self.behaviors, *new), groups)

    def filled_from(self, other: Ethogram) -> Ethogram:
        """These behaviours; those of which only the name is known take what ``other`` says of them.

        Parameters
        ----------
        other : Ethogram
            Told apart by name.

        Returns
        -------
        Ethogram
        """
        bare = {b.name for b in self.behaviors if b == Behavior(name=b.name, id=b.id)}
        return Ethogram((other[b.name] if b.name in bare and b.name in other else b for b in self), self.exclusive)


def _with_own_ids(behaviors: tuple[Behavior, ...]) -> tuple[Behavior, ...]:
    """Names that differ in case or spacing alone give one id; the later ones get a number behind it."""
    seen: set[str] = set()
    out = []
    for behavior in behaviors:
        made, number = behavior.id, 2
        while made in seen:
            made, number = f"{behavior.id}-{number}", number + 1
        seen.add(made)
        out.append(behavior if made == behavior.id else replace(behavior, id=made))
    return tuple(out)
