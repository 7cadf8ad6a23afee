"""Bento ``.annot``: bouts in one block per channel, under a head that states the annotated frames and their rate.

Frames are 1-based and the stop is inclusive. Bento for MATLAB divides both by the rate when it saves, so that a value
of 1/30 is the first frame at 30 frames per second; other writers leave frames as they are, and Bento for Python writes
times that end where the next frame begins. Which of the three a file holds is decided by its fractions, by ``Duration``
(stop - start + 1 frame, or stop - start) and by its last frame; whole numbers that fit frames and seconds are refused
until ``fps`` says that they are frames. Channels are animals or annotators, the file does not say which: the first is
taken for the whole view, further ones are individuals by their names, and ``source`` names the channel of every bout.
``Annotation start/stop frame`` states what was annotated, in every channel that has a block. Layout after a file of
SimBA's tests and after annkennedy/bento (``saveAnnot.m``, ``annot.py``).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..annotations import Annotations
from ..bout_rows import WHOLE_VIEW
from ..ethogram import Behavior, Ethogram
from ..match_report import MatchReport
from .bento_file import CHANNEL, HEADER, File, Row, parse
from .frame_matrix import kept_source, tell_states
from .frame_rows import LAST_FRAME, frame_table, merged, spans_of, with_holes
from .label_format import LabelFormat, Reading, Sample, Writing
from .video_names import tell_name, video_recording

FORMAT = LabelFormat(
    name="bento",
    title="Bento (.annot)",
    suffixes=(".annot",),
    base=1,
    end="inclusive",
    unit="frames",
    unlabelled="absent between the first and last annotated frame that the head states",
    evidence="real files",
    writes=True,
)
FIRST_CHANNEL = "Ch1"
_CLOSE = 0.3  # of a frame; some writers round to two digits
Unit = Literal["frames", "inclusive seconds", "exclusive seconds"]


def recognise(sample: Sample) -> bool:
    """The first line says it."""
    return bool(sample.lines) and sample.lines[0].strip().lower().startswith(HEADER.lower())


def read(reading: Reading) -> Annotations:
    """Every channel as an individual, in frames."""
    path, report = reading.path, reading.report
    file = parse(path)
    if file.rate and reading.fps and not math.isclose(file.rate, reading.fps, rel_tol=1e-3):
        report.note(f"the file says {file.rate:g} frames per second, not {reading.fps:g}; its own rate was used")
    rate = file.rate or reading.fps
    unit = _unit(file, rate, reading)
    if file.rows:
        report.note(f"start and stop taken for {unit}")
    bouts: list[dict[str, Any]] = []
    for row in file.rows:
        start, stop = _frames(row, unit, rate, path)
        who = {"individual": _individual(row.channel, file), "behavior": row.behavior, "source": row.channel}
        bouts.append({**who, "start_frame": start, "stop_frame": stop})
    scored = []
    if span := _annotated(file, unit, rate, max((r["stop_frame"] for r in bouts), default=0), reading):
        scored = [{"individual": _individual(c, file), "behavior": "", "start_frame": span[0], "stop_frame": span[1]}
                  for c in file.blocks]  # fmt: skip
    if silent := [c for c in file.listed if c not in file.blocks]:
        report.note(f"channels without a block were not scored: {', '.join(silent)}")
    if len(file.blocks) > 1:
        report.note(f"channels {', '.join(file.blocks)}: {file.blocks[0]} stands for the whole view")
    bouts, scored = with_holes(bouts, scored, reading.unscored)
    known = [b for b in file.behaviors if b not in reading.unscored]
    common = {"recording": _recording(file.movies, reading)}
    return Annotations(
        bouts=frame_table(bouts).assign(**common), scored=frame_table(scored).assign(**common),
        ethogram=Ethogram(Behavior(name=b) for b in known),
    )  # fmt: skip


def _individual(channel: str, file: File) -> str:
    return WHOLE_VIEW if channel == file.blocks[0] else channel


def _unit(file: File, rate: float | None, reading: Reading) -> Unit:
    """What the numbers are, told by all rows together."""
    numbers = [v for r in file.rows for v in (r.start, r.stop)]
    extra = {round(r.duration - (r.stop - r.start), 6) for r in file.rows if r.duration is not None}
    fractions = any(v != int(v) for v in numbers)
    if fractions and rate is None:
        raise ValueError(f"{reading.path}: times in seconds without 'Annotation framerate'; give fps")
    more = [e * rate for e in extra] if rate else []  # in frames, if the numbers are seconds
    if more and all(abs(m - 1) < _CLOSE for m in more) and (fractions or rate != 1):
        return "inclusive seconds"
    if fractions:
        if more and all(abs(m) < _CLOSE for m in more):
            return "exclusive seconds"
        if not extra:
            reading.report.note("no durations, so that the stop is taken for the last frame of its bout")
            return "inclusive seconds"
        raise ValueError(f"{reading.path}: expected durations of stop - start or one frame more, got others")
    beyond = bool(numbers and rate and file.last and max(numbers) * rate > file.last[1] * 1.001 + rate)
    if extra == {1.0} or beyond or not numbers:
        return "frames"
    if reading.fps:
        reading.report.note("whole numbers that could be frames or seconds were taken for frames, as fps was given")
        return "frames"
    raise ValueError(f"{reading.path}: whole numbers that could be frames or seconds; if they are frames, give fps")


def _frames(row: Row, unit: Unit, rate: float | None, path: Path) -> tuple[int, int]:
    """Half-open 0-based frames of a row."""
    start, stop = row.start, row.stop
    if unit != "frames":
        start, stop = start * (rate or 1), stop * (rate or 1)
    if unit == "inclusive seconds" and max(abs(v - round(v)) for v in (start, stop)) > _CLOSE:
        raise ValueError(
            f"{path}, line {row.line}: expected multiples of 1/{rate:g} s, got {row.start:g} and {row.stop:g}"
        )
    first, last = round(start), round(stop)
    if unit == "exclusive seconds":
        return first, max(last, first + 1)
    if first < 1:
        raise ValueError(f"{path}, line {row.line}: expected frames from 1 on, got {first}")
    return first - 1, last


def _annotated(file: File, unit: Unit, rate: float | None, last_bout: int, reading: Reading) -> tuple[int, int] | None:
    """Half-open frames that the head states as annotated."""
    if file.first is None or file.last is None:
        reading.report.note("the head does not state what was annotated, so that nothing counts as scored")
        return None
    (word, first), (_, last) = file.first, file.last
    in_seconds = word == "time" and (first != int(first) or last != int(last) or first == 0)
    if word == "time" and not in_seconds and unit != "frames" and last < last_bout:
        in_seconds = True
    if in_seconds and rate is None:
        raise ValueError(f"{reading.path}: 'Annotation stop time' in seconds without a frame rate; give fps")
    if in_seconds and rate:
        first, last = first * rate, last * rate
    start = max(round(first) - (1 if round(first) else 0), 0)
    stop = round(last)
    if not start < stop <= LAST_FRAME:
        raise ValueError(f"{reading.path}: expected an annotation that starts before it stops, got {first:g}, {last:g}")
    if last_bout > stop:
        reading.report.note(f"bouts reach past the last annotated frame ({stop})")
    return start, stop


def _recording(movies: str, reading: Reading) -> str:
    """Several movies show one recording from several sides; their names may hold spaces."""
    names = [video_recording(m, reading.recordings) for m in re.split(r"(?<=\.[A-Za-z0-9]{3})\s+", movies) if m.strip()]
    at_hand = [n for n in (movies, *names) if n in reading.recordings]
    if at_hand or not names:
        return at_hand[0] if at_hand else ""
    own = video_recording(reading.path.stem)
    if own in reading.recordings:
        reading.report.note(f"the file is of the movie {names[0]!r}; it was taken for {own!r} by its own name")
        return own
    if len(names) > 1:
        reading.report.note(f"the file is of the movies {', '.join(names)}; the first one names the recording")
    return names[0]


def write(annotations: Annotations, writing: Writing) -> None:
    """One channel per individual and scorer, in seconds of the kind that Bento for MATLAB writes."""
    report, rate = writing.report, writing.rate(annotations)
    num_frames = writing.num_frames(annotations)
    columns = ["individual", "target", "scorer"]
    rows = pd.concat([annotations.bouts[columns], annotations.scored[columns]]).drop_duplicates()
    groups = sorted(rows.itertuples(index=False, name=None), key=lambda g: (g[0] != WHOLE_VIEW, *g))
    channels: dict[str, tuple[str, ...]] = {}
    if wrong := [b for b in annotations.behaviors if CHANNEL.fullmatch(b) or b.startswith(">")]:
        raise ValueError(f"{writing.name}: a Bento file cannot hold the name {wrong[0]!r}; rename the behaviour")
    if groups and groups[0][0] != WHOLE_VIEW:
        report.lose(f"that no row is of the whole view: the first channel is read as that, it is of {groups[0][0]!r}")
    for group in groups:
        channel = _channel(group, channels, report)
        channels[channel] = group
    tell_states(annotations, report, kept_source(annotations, channels))
    span = _whole_span(annotations, groups, num_frames, report)
    recording = "".join(annotations.recordings)
    tell_name(recording, writing, ending="")
    out = [HEADER, f"Movie file(s):  {recording}", "", "Stimulus name: ", f"Annotation start frame: {span[0] + 1}",
           f"Annotation stop frame: {span[1]}", f"Annotation framerate: {rate:.9g}", "", "List of channels:",
           *channels, "", "List of annotations:", *annotations.behaviors, ""]  # fmt: skip
    for channel, group in channels.items():
        out.append(f"{channel}----------")
        own = annotations.bouts[(annotations.bouts[columns] == list(group)).all(axis=1)]
        for behavior in annotations.behaviors:
            spans = spans_of(own[own["behavior"] == behavior])
            if spans:
                out += [f">{behavior}", "Start\t Stop\t Duration "]
                out += [f"{(a + 1) / rate:.12g}\t{b / rate:.12g}\t{(b - a) / rate:.12g}" for a, b in sorted(spans)] + [
                    ""
                ]
        out.append("")
    writing.path.write_text("\n".join(out) + "\n", encoding="utf-8", newline="\n")


def _channel(group: tuple[str, ...], taken: dict[str, tuple[str, ...]], report: MatchReport) -> str:
    individual, target, scorer = group
    name = FIRST_CHANNEL if individual == WHOLE_VIEW else individual
    if target or scorer or name in taken:
        name = "_".join(part for part in (name, target, scorer) if part)
        report.lose(f"individual, target and scorer of {group}, written as channel {name!r}")
    plain = re.sub(r"\W", "_", name)  # MATLAB makes a field of it
    while plain in taken:
        plain += "_"
    if plain != name:
        report.lose(f"the name of {name!r}, written as channel {plain!r}")
    return plain


def _whole_span(
    annotations: Annotations, groups: list[tuple[str, ...]], num_frames: int, report: MatchReport
) -> tuple[int, int]:
    """The frames that the head calls annotated: those that were scored, if they are one span for every behaviour."""
    scored = annotations.scored
    spans = set()
    for group in groups:
        own = scored[(scored[["individual", "target", "scorer"]] == list(group)).all(axis=1)]
        for behavior in annotations.behaviors:
            spans.add(tuple(merged(spans_of(own[own["behavior"].isin(["", behavior])]))))
    if len(spans) == 1 and len(only := next(iter(spans))) == 1:
        return only[0]
    ends = [f for some in spans for span in some for f in span]
    span = (min(ends), max(ends)) if ends else (0, max(num_frames, 1))
    report.lose("which frames and behaviours were scored: the file states one span of frames for everything")
    return span
