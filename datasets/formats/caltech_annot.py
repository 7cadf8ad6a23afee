"""Caltech Behavior Annotator: text with one or several streams that tile the video.

Frames are 1-based, the end is inclusive. ``other`` is no behaviour: its frames were scored and nothing was there. Each
stream shows one behaviour at a time. The file does not say what its streams stand for (two animals, two raters, two
levels of detail): the first is taken for the whole view, as in files that have no second, and ``S2`` and so on stand
under ``individual`` by that name; the column ``source`` names the stream of every bout. A behaviour that only another
stream uses was not scored in this one. ``unscored=["base"]`` speaks of every stream, ``unscored=["S1:base"]`` of one.

What was not scored is written as the behaviour ``not_scored``, because a file that tiles its video has no gaps;
behaviours that overlap are written to a further stream. Layout after files of the annotator and its readers in
annkennedy/bento.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from behavior_prism.schemas import NOT_SCORED, PRESENT

from ..annotations import Annotations, runs
from ..bout_rows import WHOLE_VIEW
from ..ethogram import Behavior, Ethogram
from ..match_report import MatchReport
from .frame_matrix import kept_source, subjects, tell_borders, tell_states
from .frame_rows import LAST_FRAME, frame_table, merged, minus
from .guarded import read_text
from .label_format import LabelFormat, Reading, Sample, Writing

FORMAT = LabelFormat(
    name="caltech",
    title="Caltech Behavior Annotator (txt)",
    suffixes=("_annot.txt", ".annot.txt"),
    base=1,
    end="inclusive",
    unit="frames",
    unlabelled="`other` is scored and absent; a frame in no row is not scored",
    evidence="real files",
    writes=True,
)
HEADER = "Caltech Behavior Annotator - Annotation File"
NOTHING, HOLE = "other", "not_scored"
_STREAM = re.compile(r"(S[1-9]\d?):\s*start\s+end\s+type\s*", re.IGNORECASE)
_RULE = re.compile(r"-{3,}\s*")
_KEYS = "abcdefghijklmnpqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ123456789"  # `o` is that of `other`
Row = tuple[int, int, str]


def recognise(sample: Sample) -> bool:
    """The first line says it."""
    return bool(sample.lines) and sample.lines[0].strip().lower() == HEADER.lower()


def read(reading: Reading) -> Annotations:
    """Every stream as an individual; rows of ``other`` and of behaviours that mean "not looked at" give no bouts."""
    path, report = reading.path, reading.report
    keys, streams = _parse(path)
    used = {stream: {name for _, _, name in rows} for stream, rows in streams.items()}
    ignored = {stream: _ignored(stream, reading.unscored) for stream in streams}
    listed = dict.fromkeys([*keys, *(name for rows in streams.values() for _, _, name in rows)])
    known = [n for n in listed if n != NOTHING and not all(n in names for names in ignored.values())]
    if extra := [n for n in known if n not in keys]:
        report.note(f"behaviours that the configuration does not list: {', '.join(extra)}")
    if not streams:
        report.note("the file holds no streams")
    bouts, scored = [], []
    for stream, rows in streams.items():
        who = {"individual": WHOLE_VIEW if stream == "S1" else stream}
        spans = [(start, stop) for start, stop, name in rows if name not in ignored[stream]]
        holes = [(start, stop) for start, stop, name in rows if name in ignored[stream]]
        bouts += [
            {**who, "behavior": name, "start_frame": start, "stop_frame": stop, "source": stream}
            for start, stop, name in rows
            if name != NOTHING and name not in ignored[stream]
        ]
        elsewhere = {n for other, names in used.items() if other != stream for n in names} - used[stream]
        own = [n for n in known if n not in elsewhere and n not in ignored[stream]]
        named = [""] if own == known else own
        for start, stop in minus(spans, holes):
            scored += [{**who, "behavior": n, "start_frame": start, "stop_frame": stop} for n in named]
        _tell_tiling(stream, rows, reading)
    ends = {stream: max(stop for _, stop, _ in rows) for stream, rows in streams.items() if rows}
    if len(set(ends.values())) > 1:
        report.note(f"the streams end at different frames: {ends}")
    if len(streams) > 1:
        report.note(f"streams {', '.join(streams)}: S1 stands for the whole view, the others are individuals")
    return Annotations(
        bouts=frame_table(bouts), scored=frame_table(scored),
        ethogram=Ethogram(Behavior(name=n, key=keys.get(n, "")) for n in known),
    )  # fmt: skip


def _ignored(stream: str, unscored: Iterable[str]) -> set[str]:
    """Names that mean "not looked at" in this stream."""
    return {HOLE, *unscored, *(n.removeprefix(f"{stream}:") for n in unscored)}


def _tell_tiling(stream: str, rows: list[Row], reading: Reading) -> None:
    ordered = sorted(rows)
    overlapping = sum(b[0] < a[1] for a, b in pairwise(ordered))
    if overlapping:
        reading.report.note(f"stream {stream}: {overlapping} rows overlap the one before")
    covered = merged((a, b) for a, b, _ in rows)
    gaps = sum(b[0] - a[1] for a, b in pairwise(covered)) + (covered[0][0] if covered else 0)
    if gaps:
        reading.report.note(f"stream {stream}: {gaps} frames stand in no row and are not scored")


def _parse(path: Path) -> tuple[dict[str, str], dict[str, list[Row]]]:
    """Keys by behaviour, and half-open 0-based rows by stream."""
    lines = read_text(path).splitlines()
    if not lines or lines[0].strip().lower() != HEADER.lower():
        raise ValueError(f"{path}, line 1: expected {HEADER!r}")
    keys: dict[str, str] = {}
    streams: dict[str, list[Row]] = {}
    part: list[Row] | str | None = None
    for number, line in enumerate(lines[1:], 2):
        where, text = f"{path}, line {number}", line.strip()
        if head := _STREAM.fullmatch(text):
            name = head[1].upper()
            if name in streams:
                raise ValueError(f"{where}: stream {name} stands twice")
            part = streams[name] = []
        elif text.lower().startswith("configuration file:"):
            part = "keys"
        elif not text:
            part = None if part == "keys" and keys else part
        elif part == "keys":
            name, key = _configured(text)
            if name in keys:
                raise ValueError(f"{where}: expected each behaviour once, got {name!r} again")
            keys[name] = key if key not in keys.values() else ""
        elif isinstance(part, list):
            if not _RULE.fullmatch(text):
                part.append(_row(text, where))
        else:
            raise ValueError(f"{where}: expected a stream ('S1: start end type'), got {text[:40]!r}")
    return keys, streams


def _configured(text: str) -> tuple[str, str]:
    cells = [c.strip() for c in text.split("\t") if c.strip()] if "\t" in text else text.rsplit(None, 1)
    return (cells[0], cells[1]) if len(cells) > 1 and len(cells[1]) == 1 else (" ".join(cells), "")


def _row(text: str, where: str) -> Row:
    cells = text.split(None, 2)
    if len(cells) != 3 or not all(c.isascii() and c.isdigit() and len(c) < 11 for c in cells[:2]):
        raise ValueError(f"{where}: expected 'start end type' with whole frames, got {text[:40]!r}")
    start, end = int(cells[0]), int(cells[1])
    if not 1 <= start <= end <= LAST_FRAME:
        raise ValueError(f"{where}: expected 1 <= start <= end, got {start} and {end}")
    return start - 1, end, cells[2]


def write(annotations: Annotations, writing: Writing) -> None:
    """One stream per individual and scorer, tiled; behaviours that overlap go to further streams."""
    report, num_frames = writing.report, writing.num_frames(annotations)
    names = _file_names(annotations.behaviors, writing)
    taken: dict[str, list[Row]] = {}
    states: dict[str, np.ndarray] = {}
    for (individual, scorer), values in sorted(subjects(annotations, num_frames).items(), key=lambda i: _order(*i[0])):
        for k, tiles in enumerate(_layers(values, names)):
            wish = "S1" if individual == WHOLE_VIEW else individual
            own = wish not in taken and re.fullmatch(r"S[1-9]", wish) and not k
            stream = wish if own else _free(taken)
            taken[stream], states[stream] = tiles, values
            if k:
                report.lose(f"that behaviours of {individual!r} overlap: some stand in stream {stream}")
            elif not own:
                report.lose(f"the name of {individual!r}, written as stream {stream}")
        if scorer:
            report.lose(f"the name of the scorer {scorer!r}")
    last = max((int(s[1:]) for s in taken), default=1)
    if last > 9:
        raise ValueError(f"{writing.name}: a Caltech file has at most 9 streams, these labels need {last}")
    _tell_states(taken, states, names, report)
    for k in range(1, last + 1):  # readers expect S1, S2, ... without a gap
        taken.setdefault(f"S{k}", [(0, num_frames, HOLE)] if num_frames else [])
    tell_states(annotations, report, kept_source(annotations, taken))
    tell_borders(annotations, report)
    if any(name == HOLE for rows in taken.values() for *_, name in rows):
        report.note(f"what was not scored is written as {HOLE!r}")
    taken = dict(sorted(taken.items()))
    writing.path.write_text("\n".join(_lines(annotations, names, taken)) + "\n", encoding="utf-8", newline="\n")


def _order(individual: str, scorer: str) -> tuple[bool, bool, str, str]:
    """Those that have a stream of their own come first."""
    return individual != WHOLE_VIEW, not re.fullmatch(r"S[1-9]", individual), individual, scorer


def _tell_states(
    streams: dict[str, list[Row]], states: dict[str, np.ndarray], names: list[str], report: MatchReport
) -> None:
    used = {stream: {name for *_, name in rows} for stream, rows in streams.items()}
    for stream, rows in streams.items():
        known = states[stream] != NOT_SCORED
        foreign = {n for other, own in used.items() if other != stream for n in own} - used[stream]
        lost = [n for k, n in enumerate(names) if n in foreign and known[:, k].any()]
        if lost:
            report.lose(f"that {', '.join(lost)} was looked for in {stream} too: only another stream shows it")
        own = known[:, [k for k, n in enumerate(names) if n not in foreign]]
        partly = sum(int((~own[a:b]).any(axis=1).sum()) for a, b, name in rows if name != HOLE)
        if partly:
            report.lose(f"stream {stream}: {partly} frames in which only some behaviours were scored")


def _free(taken: dict[str, list[Row]]) -> str:
    return next(f"S{k}" for k in range(1, len(taken) + 2) if f"S{k}" not in taken)


def _file_names(behaviors: tuple[str, ...], writing: Writing) -> list[str]:
    """Names without spaces, since the annotator's own reader splits its lines at them."""
    names = ["_".join(b.split()) for b in behaviors]
    for old, new in zip(behaviors, names, strict=True):
        if old != new:
            writing.report.lose(f"spaces in the name {old!r}, written as {new!r}")
        if new in (NOTHING, HOLE):
            raise ValueError(f"{writing.name}: a Caltech file keeps the name {new!r} for itself; rename {old!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"{writing.name}: two behaviours would be written under one name, got {list(behaviors)}")
    return names


def _layers(values: np.ndarray, names: list[str]) -> list[list[Row]]:
    """Tiles of one stream, and of further ones where behaviours overlap."""
    present, known = values == PRESENT, (values != NOT_SCORED).any(axis=1)
    bouts = sorted((a, b, k) for k in range(len(names)) for a, b in runs(present[:, k]))
    layers: list[list[tuple[int, int, int]]] = [[]]
    for bout in bouts:
        fitting = next((layer for layer in layers if not layer or layer[-1][1] <= bout[0]), None)
        if fitting is None:
            layers.append([bout])
        else:
            fitting.append(bout)
    tiles = [*names, NOTHING, HOLE]
    out = []
    for layer in layers:
        code = np.where(known, len(names), len(names) + 1)
        for a, b, k in layer:
            code[a:b] = k
        cuts = [0, *(np.flatnonzero(np.diff(code)) + 1).tolist(), len(code)] if len(code) else [0]
        out.append([(a, b, tiles[code[a]]) for a, b in pairwise(cuts)])
    return out


def _lines(annotations: Annotations, names: list[str], streams: dict[str, list[Row]]) -> list[str]:
    keys = {n: b.key for n, b in zip(names, annotations.ethogram, strict=True) if b.key and not b.key.isspace()}
    free = (k for k in _KEYS if k not in keys.values())
    hole = [HOLE] if any(name == HOLE for rows in streams.values() for *_, name in rows) else []
    nothing = "o" if "o" not in keys.values() else next(free)
    config = [f"{NOTHING}\t{nothing}", *(f"{n}\t{keys.get(n) or next(free, '-')}" for n in [*names, *hole])]
    out = [HEADER, "", "Configuration file:", *config]
    for stream, rows in streams.items():
        out += ["", f"{stream}:\tstart\tend\ttype", "-" * 29, *(f"   \t{a + 1}\t{b}\t{name}" for a, b, name in rows)]
    return [*out, "  "]
