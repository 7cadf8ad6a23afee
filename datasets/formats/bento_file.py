"""Bento ``.annot`` as text: its head, channels, behaviours and rows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from .frame_rows import LAST_FRAME
from .guarded import read_text

HEADER = "Bento annotation file"
CHANNEL = re.compile(r"(.+?)-{3,}")


@dataclass
class Row:
    """A bout, as the numbers of the file have it."""

    line: int
    channel: str
    behavior: str
    start: float
    stop: float
    duration: float | None


@dataclass
class File:
    """What a file says, before its numbers are understood."""

    movies: str = ""
    rate: float | None = None
    first: tuple[str, float] | None = None
    last: tuple[str, float] | None = None
    listed: list[str] = field(default_factory=list)
    behaviors: list[str] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def parse(path: Path) -> File:
    """Head and rows of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    File

    Raises
    ------
    ValueError
        If it is no such file; the message names the line.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    if not lines or not lines[0].lower().startswith(HEADER.lower()):
        raise ValueError(f"{path}, line 1: expected {HEADER!r}")
    first = next((k for k, line in enumerate(lines) if CHANNEL.fullmatch(line)), len(lines))
    file = File()
    _parse_head(lines[1:first], file, path)
    behavior = ""
    for number, text in enumerate(lines[first:], first + 1):
        where = f"{path}, line {number}"
        if head := CHANNEL.fullmatch(text):
            if head[1] in file.blocks:
                raise ValueError(f"{where}: channel {head[1]!r} stands twice")
            file.blocks.append(head[1])
            behavior = ""
        elif text.startswith(">"):
            behavior = text[1:].strip()
            if not behavior:
                raise ValueError(f"{where}: expected the name of a behaviour")
            file.behaviors += [behavior] if behavior not in file.behaviors else []
        elif text and not behavior:
            raise ValueError(f"{where}: expected a behaviour ('>name') before it, got {text[:40]!r}")
        elif text and not text.lower().startswith("start"):
            file.rows.append(_row(text, where, file.blocks[-1], behavior))
    return file


def _parse_head(lines: list[str], file: File, path: Path) -> None:
    part = ""
    for number, text in enumerate(lines, 2):
        low, where = text.lower(), f"{path}, line {number}"
        if not text:
            part = ""
        elif low.startswith("movie file"):
            file.movies = text.partition(":")[2].strip()
            part = "" if file.movies else "movies"
        elif low.startswith("annotation ") and ":" in text:
            _stated(file, low, where)
        elif low.startswith("list of "):
            part = "channels" if "channel" in low else "behaviors"
        elif part == "movies":
            file.movies = f"{file.movies} {text}".strip()
        elif part:
            names = file.listed if part == "channels" else file.behaviors
            names += [text] if text not in names else []
        elif not low.startswith(("stimulus name", "start date time")):
            raise ValueError(f"{where}: expected the head of a Bento file, got {text[:40]!r}")


def _stated(file: File, low: str, where: str) -> None:
    key, _, value = low.partition(":")
    if found := re.fullmatch(r"annotation (start|stop) (frame|time)", key.strip()):
        number = _number(value, where)
        setattr(file, "first" if found[1] == "start" else "last", (found[2], number))
    elif key.strip() == "annotation framerate":
        file.rate = _number(value, where)
        if not 0 < file.rate <= 1e6:
            raise ValueError(f"{where}: expected a frame rate, got {value.strip()[:40]!r}")


def _row(text: str, where: str, channel: str, behavior: str) -> Row:
    cells = text.split()
    if len(cells) not in (2, 3):
        raise ValueError(f"{where}: expected start, stop and duration, got {text[:40]!r}")
    start, stop, *duration = (_number(c, where) for c in cells)
    if stop < start:
        raise ValueError(f"{where}: expected start <= stop, got {start:g} and {stop:g}")
    line = int(where.rsplit(" ", 1)[1])
    return Row(line, channel, behavior, start, stop, duration[0] if duration else None)


def _number(text: str, where: str) -> float:
    try:
        number = float(text) if re.fullmatch(r"\s*[0-9.]+(e[+-]?\d+)?\s*", text, re.IGNORECASE) else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number <= LAST_FRAME:
        raise ValueError(f"{where}: expected a number from 0 on, got {text.strip()[:40]!r}")
    return number
