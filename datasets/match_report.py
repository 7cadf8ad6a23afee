"""What happened to labels on their way in or out: what matched, what was moved, what could not be carried."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class MatchReport:
    r"""Told by every reader and writer of labels; nothing is bent in silence.

    Parameters
    ----------
    path : str
        The file.
    format : str
        Its format, as in the table of formats.
    bouts, points, scored : int
        Rows read or written: bouts, point events, scored intervals.
    matched : dict of str to int
        Recordings whose rows were placed on frames, and how many rows each.
    unmatched : tuple of str
        Recordings that the file speaks of and that were not given.
    behaviors : tuple of str
        Behaviours of the file.
    new_behaviors : tuple of str
        Those that were not known before, where an ethogram was given.
    snapped : float
        The farthest that seconds were moved to the nearest frame edge [s].
    clipped : int
        Frames cut off because they lie outside of their recording.
    overlaps : int
        Bouts that overlap one of the same individual, target, behaviour and scorer.
    lost : list of str
        What the other side cannot hold, one sentence each.
    notes : list of str
        What had to be assumed.

    Examples
    --------
    >>> report = MatchReport(path="a.csv", format="bouts", bouts=2, behaviors=("walk",))
    >>> report.lose("colours of 1 behaviour")
    >>> print("\n".join(report.lines()))
    a.csv: bouts, 2 bouts of 1 behaviour (walk)
      not carried: colours of 1 behaviour
    """

    path: str = ""
    format: str = ""
    bouts: int = 0
    points: int = 0
    scored: int = 0
    matched: dict[str, int] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    behaviors: tuple[str, ...] = ()
    new_behaviors: tuple[str, ...] = ()
    snapped: float = 0.0
    clipped: int = 0
    overlaps: int = 0
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lose(self, what: str) -> None:
        """Add something that could not be carried, once.

        Parameters
        ----------
        what : str
            One phrase.
        """
        if what not in self.lost:
            self.lost.append(what)

    def note(self, what: str) -> None:
        """Add something that had to be assumed, once.

        Parameters
        ----------
        what : str
            One phrase.
        """
        if what not in self.notes:
            self.notes.append(what)

    def lines(self) -> list[str]:
        """The report for people, a line per fact; the first says what was found."""
        counts = [_counted(self.bouts, "bout")]
        if self.points:
            counts.append(_counted(self.points, "point event"))
        names = _named(self.behaviors)
        head = f"{self.path}: {self.format}, {' and '.join(counts)} of {_counted(len(self.behaviors), 'behaviour')}"
        out = [f"{head} ({names})" if names else head]
        out += [f"  {name}: {_counted(rows, 'row')} placed on its frames" for name, rows in self.matched.items()]
        if self.unmatched:
            out.append(f"  no recording at hand for {_named(self.unmatched)}")
        if self.new_behaviors:
            out.append(f"  new behaviours: {_named(self.new_behaviors)}")
        if self.snapped > 1e-6:  # less is how numbers are stored
            out.append(f"  seconds were moved by at most {1000 * self.snapped:.3g} ms to the nearest frame edge")
        if self.clipped:
            out.append(f"  {_counted(self.clipped, 'frame')} outside of the recording cut off")
        if self.overlaps:
            out.append(f"  {_counted(self.overlaps, 'bout')} overlap one of the same kind")
        out += [f"  not carried: {what}" for what in self.lost]
        return out + [f"  note: {what}" for what in self.notes]

    def to_dict(self) -> dict[str, Any]:
        """The same for scripts."""
        return asdict(self)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _named(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
