"""Presses of BORIS made bouts.

BORIS knows time in seconds, rounded to a millisecond; of a state it keeps two presses, of which the first of a subject,
a behaviour and its modifiers is the start and the next the stop. A behaviour that another one excludes is stopped 1 ms
before the start of that one: here the stop is moved to the start, since bouts are half-open. "No focal subject" is the
whole view.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bout_rows import WHOLE_VIEW

NO_SUBJECT = "No focal subject"
SCORER_VARIABLES = ("scorer", "observer", "coder", "rater", "annotator")
TARGET_SET = "target"  # name of the modifier set that holds the other animal
LAST_SECOND = 2**31 - 1  # BORIS refuses later times
STEP = 0.001


@dataclass
class Press:
    """One event of an observation: a point event, or the start or the stop of a state.

    Parameters
    ----------
    time : float
        In seconds of the observation, or the number of an image from 0 on.
    subject, code, modifiers, comment : str
        As in the file.
    where : str
        Place in the file, for messages.
    status : {"", "START", "STOP", "POINT"}
        Where the file says it.
    """

    time: float
    subject: str
    code: str
    modifiers: str
    comment: str
    where: str
    status: str = ""


def seconds_of(value: Any, where: str) -> float:
    """A time of a file as a number.

    Parameters
    ----------
    value : object
        Text or a number.
    where : str
        Place in the file, for the message.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is none, or beyond what BORIS can count.
    """
    try:
        plain = isinstance(value, (int, float, str)) and not isinstance(value, bool) and "_" not in str(value)
        number = float(value) if plain else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= LAST_SECOND:
        raise ValueError(f"{where}: expected a time in seconds, got {str(value)[:40]!r}")
    return number


def subject_of(name: str) -> str:
    """The individual that a subject is.

    Parameters
    ----------
    name : str
        As in the file; empty if nobody is in focus.

    Returns
    -------
    str
    """
    return WHOLE_VIEW if name in ("", NO_SUBJECT) else name


def tidy_modifiers(modifiers: Iterable[str]) -> str:
    """Modifiers joined as BORIS does it, without the spaces that people leave around them.

    Parameters
    ----------
    modifiers : iterable of str
        One per set.

    Returns
    -------
    str

    Examples
    --------
    >>> tidy_modifiers(["a   ", "None"]), tidy_modifiers(["", ""])
    ('a|None', '')
    """
    parts = [m.strip() for m in modifiers]
    while parts and not parts[-1]:
        parts.pop()
    return "|".join(parts)


def rows_of(
    presses: Sequence[Press],
    points: frozenset[str],
    open_bouts: list[Press] | None = None,
    stopped_by: Mapping[str, Collection[str]] | None = None,
) -> list[dict[str, Any]]:
    """Bouts and point events of one observation.

    Parameters
    ----------
    presses : sequence of Press
        In the order of the file.
    points : frozenset of str
        Behaviours that are point events.
    open_bouts : list of Press, optional
        Takes the starts without a stop; without it they are an error.
    stopped_by : mapping of str to collection of str, optional
        Behaviours whose start stops a behaviour, where that is known.

    Returns
    -------
    list of dict
        Times as they are in the file, stops of excluded behaviours moved to the start that stopped them.

    Raises
    ------
    ValueError
        If a state has two starts in a row, a stop without a start, a stop before its start, or no stop.
    """
    open_now: dict[tuple[str, str, str], Press] = {}
    rows = []
    for press in presses:
        key = (press.subject, press.code, press.modifiers)
        if press.code in points:
            rows.append(_row(press, press.time, ""))
            continue
        begun = open_now.pop(key, None)
        if begun is None:
            if press.status == "STOP":
                raise ValueError(f"{press.where}: {_named(press)} stops without a start before it")
            open_now[key] = press
            continue
        if press.status == "START":
            raise ValueError(f"{press.where}: {_named(press)} starts again before its stop (start at {begun.where})")
        if press.time < begun.time:
            raise ValueError(
                f"{press.where}: expected the stop of {_named(press)} after its start, got {begun.time:g} and "
                f"{press.time:g}"
            )
        rows.append(_row(begun, press.time, press.comment))
    if open_bouts is not None:
        open_bouts.extend(open_now.values())
    elif open_now:
        press = next(iter(open_now.values()))
        raise ValueError(f"{press.where}: {_named(press)} has no stop")
    touching(rows, stopped_by)
    return rows


def touching(rows: list[dict[str, Any]], stopped_by: Mapping[str, Collection[str]] | None = None) -> None:
    """Move the stop of a bout that another one stopped, 1 ms before its own start, to that start.

    Parameters
    ----------
    rows : list of dict
        Of one observation; changed in place.
    stopped_by : mapping of str to collection of str, optional
        Behaviours whose start stops a behaviour; a behaviour with other modifiers always does. By default any may.
    """
    starts: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        starts.setdefault(row["subject"], []).append((row["start"], row["behavior"]))
    for begun in starts.values():
        begun.sort()
    for row in rows:
        stop, begun = row["stop"], starts[row["subject"]]
        if stop <= row["start"]:
            continue
        for time, other in begun[bisect_right(begun, (stop, chr(0x10FFFF))) :]:
            if time - stop > 1.01 * STEP:
                break
            if stopped_by is None or other == row["behavior"] or other in stopped_by.get(row["behavior"], ()):
                row["stop"] = time
                break


def _row(press: Press, stop: float, comment_stop: str) -> dict[str, Any]:
    return {
        "subject": press.subject,
        "individual": subject_of(press.subject),
        "target": "",
        "behavior": press.code,
        "start": press.time,
        "stop": stop,
        "modifiers": press.modifiers,
        "comment": press.comment,
        "comment_stop": comment_stop,
        "where": press.where,
    }


def _named(press: Press) -> str:
    modifiers = f" ({press.modifiers})" if press.modifiers else ""
    return f"{press.code!r}{modifiers} of {press.subject or NO_SUBJECT}"
