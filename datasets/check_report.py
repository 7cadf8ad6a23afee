"""What a check of a recording found, for people and for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Severity = Literal["info", "warning", "error"]
Interval = tuple[int, int]  # half-open, in frames


@dataclass(frozen=True)
class Finding:
    """One thing that a careful person would tell about a recording.

    Parameters
    ----------
    severity : {"info", "warning", "error"}
        ``info``: good to know; ``warning``: some tools or some numbers will be wrong; ``error``: something is missing
        or contradicts itself.
    what : str
        What was looked at, in one or two words.
    where : tuple of (int, int)
        Half-open intervals of frames; empty where it concerns the whole file.
    text : str
        One line for people.
    """

    severity: Severity
    what: str
    where: tuple[Interval, ...]
    text: str


@dataclass(frozen=True)
class CheckReport:
    """All findings on one recording.

    Parameters
    ----------
    path : pathlib.Path
        The video.
    facts : mapping of str to object
        What the file is: frames, seconds, codec, ...; empty if it could not be opened.
    findings : list of Finding
        In the order in which things were looked at.

    Examples
    --------
    >>> report = CheckReport(Path("a.mp4"), {}, [Finding("warning", "gaps", ((3, 4),), "one gap")])
    >>> report.severity, report.to_dict()["findings"][0]["where"]
    ('warning', [[3, 4]])
    """

    path: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def severity(self) -> Severity:
        """The gravest finding's; ``"info"`` if there is none."""
        found = {f.severity for f in self.findings}
        return "error" if "error" in found else "warning" if "warning" in found else "info"

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and text, as JSON takes them.

        Returns
        -------
        dict
            ``path``, ``severity``, ``facts``, ``findings``.
        """
        findings = [asdict(f) | {"where": [list(interval) for interval in f.where]} for f in self.findings]
        return {
            "path": str(self.path),
            "severity": self.severity,
            "facts": dict(self.facts),
            "findings": findings,
        }


def in_words(intervals: tuple[Interval, ...], most: int = 5) -> str:
    """Name the first few of many intervals.

    Parameters
    ----------
    intervals : tuple of (int, int)
        Half-open.
    most : int
        How many to name.

    Returns
    -------
    str

    Examples
    --------
    >>> in_words(((3, 9), (12, 13)))
    '[3, 9), [12, 13)'
    """
    named = ", ".join(f"[{a}, {b})" for a, b in intervals[:most])
    return named + (f" and {len(intervals) - most} more" if len(intervals) > most else "")


def counted(number: int, noun: str) -> str:
    """A number and a noun.

    Parameters
    ----------
    number : int
        How many.
    noun : str
        In the singular.

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "frame"), counted(2, "frame")
    ('1 frame', '2 frames')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")
