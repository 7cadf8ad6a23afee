"""Temporal segments of the VGG Image Annotator (VIA 3): the csv that it exports.

Times are seconds, in ``temporal_segment_start`` and ``temporal_segment_end`` or, as a pair, in
``temporal_coordinates``. ``metadata`` holds the value of an attribute by its name or number; lines behind ``#`` say
what the numbers mean. One attribute is the behaviour (``TEMPORAL-SEGMENTS``, or the first), further ones go into
``modifiers``. A single time is a point event. Regions in the picture are left out. Only bouts are told, so that nothing
counts as scored. After the export code of VIA and files that it wrote; no real file was at hand.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from ..annotations import Annotations
from ..bout_rows import empty_table
from ..ethogram import Behavior, Ethogram
from .frame_rows import frame_table
from .guarded import read_text
from .label_format import LabelFormat, Reading, Sample
from .seconds_rows import seconds, span, without
from .video_names import video_recording

FORMAT = LabelFormat(
    name="via",
    title="VGG Image Annotator temporal segments (csv)",
    suffixes=(".csv",),
    base=None,
    end="exclusive",
    unit="seconds",
    unlabelled="not scored: the file holds bouts alone",
    evidence="documentation only",
    several=True,
)
BEHAVIOR = "TEMPORAL-SEGMENTS"
_UNNAMED = ("", "default", "_default")
_HEADER = re.compile(r"#\s*CSV_HEADER\s*=\s*(.*)")
_ATTRIBUTES = re.compile(r"#\s*ATTRIBUTES?\s*=\s*(.*)")


def recognise(sample: Sample) -> bool:
    """VIA's comments, or its columns of times."""
    text = "\n".join(line for line in sample.lines[:30])
    return "metadata" in text and bool(re.search(r"temporal_(segment_start|coordinates)", text))


def read(reading: Reading) -> Annotations:
    """Segments as bouts, single times as point events."""
    path, report = reading.path, reading.report
    attributes, header, rows = _table(path)
    bouts: list[dict[str, Any]] = []
    points: set[str] = set()
    regions = unnamed = 0
    for where, cells in rows:
        row = dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=False))
        if row.get("spatial_coordinates", "") not in ("", "[]"):
            regions += 1
            continue
        name, others = _values(row.get("metadata", ""), attributes, where)
        if name.lower() in _UNNAMED:
            unnamed += 1
            continue
        start, stop = _times(row, where)
        if start == stop:
            points.add(name)
        bouts.append({
            "recording": _recording(row.get("file_list", ""), reading, where), "behavior": name,
            "start": start, "stop": stop, "modifiers": others,
        })  # fmt: skip
    if any(row["modifiers"] for row in bouts):
        report.note(f"the attribute {BEHAVIOR}, or the first of a row, is the behaviour; others went into modifiers")
    if regions:
        report.lose(f"{regions} regions in the picture")
    if unnamed:
        report.lose(f"{unnamed} segments without a behaviour")
    if mixed := points & {row["behavior"] for row in bouts if row["start"] < row["stop"]}:
        raise ValueError(f"{path}: {sorted(mixed)[0]!r} stands as segment and as single time, expected one of the two")
    bouts, _ = without(bouts, [], reading.unscored, report)
    known = dict.fromkeys(row["behavior"] for row in bouts)
    try:
        ethogram = Ethogram(Behavior(name=n, kind="point" if n in points else "state") for n in known)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Annotations(bouts=frame_table(bouts), scored=empty_table(), ethogram=ethogram)


def _table(path: Path) -> tuple[dict[str, Any], list[str], list[tuple[str, list[str]]]]:
    """What the comments say of the attributes, the columns, and the rows with where they stand."""
    text = read_text(path)
    attributes: dict[str, Any] = {}
    header: list[str] = []
    lines = text.splitlines(keepends=True)
    body = next(
        (k for k, line in enumerate(lines) if line.strip() and not line.lstrip('"').startswith("#")), len(lines)
    )
    for number, line in enumerate(lines[:body], 1):
        line = line.strip().strip('"').rstrip(",;\t")
        if found := _HEADER.match(line):
            header = [c.strip().lower() for c in found[1].split(",") if c.strip()]
        elif found := _ATTRIBUTES.match(line):
            parsed = _json(found[1].replace('""', '"'), f"{path}, line {number}")
            attributes = parsed if isinstance(parsed, dict) else {}
    rest = "".join(lines[body:])
    reader = csv.reader(io.StringIO(rest, newline=""), delimiter=max(",;\t", key=rest.partition("\n")[0].count))
    rows = []
    try:
        for cells in reader:
            cells = [c.strip() for c in cells]
            if any(cells) and not header:
                header = [c.lower() for c in cells]
            elif any(cells) and [c.lower() for c in cells][: len(header)] != header:
                rows.append((f"{path}, line {body + reader.line_num}", cells))
    except csv.Error as error:
        raise ValueError(f"{path}, line {body + reader.line_num}: not a csv table ({error})") from None
    if "metadata" not in header or not {"temporal_coordinates", "temporal_segment_start"} & set(header):
        raise ValueError(f"{path}: expected VIA's columns of times and metadata, got {header[:12]}")
    return attributes, header, rows


def _json(text: str, where: str) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(f"{where}: expected numbers, got {word}")

    try:
        return json.loads(text, parse_constant=refuse)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"{where}: expected JSON, got {text[:60]!r}") from None


def _values(text: str, attributes: dict[str, Any], where: str) -> tuple[str, str]:
    """The behaviour, and the other attributes as ``name=value``."""
    metadata = _json(text or "{}", f"{where}, metadata")
    if not isinstance(metadata, dict):
        raise ValueError(f"{where}, metadata: expected values by attribute, got {text[:60]!r}")
    named = {}
    for key, value in metadata.items():
        known = attributes.get(key)
        name = known.get("aname", key) if isinstance(known, dict) else known if isinstance(known, str) else key
        options = known.get("options") if isinstance(known, dict) else None
        if isinstance(options, dict) and isinstance(value, str):
            # several boxes may be ticked: "1,3"
            value = ",".join(str(options.get(v, v)) for v in value.split(","))
        named[str(name)] = " ".join(str(value).split())[:200]
    if not named:
        return "", ""
    first = BEHAVIOR if BEHAVIOR in named else next(iter(named))
    return named[first], "|".join(f"{n}={v}" for n, v in named.items() if n != first)


def _times(row: dict[str, str], where: str) -> tuple[float, float]:
    if "temporal_segment_start" in row:
        return span(row["temporal_segment_start"], row.get("temporal_segment_end", ""), where)
    pair = _json(row["temporal_coordinates"] or "[]", f"{where}, temporal_coordinates")
    if not isinstance(pair, list) or len(pair) not in (1, 2) or any(isinstance(v, (list, dict)) for v in pair):
        raise ValueError(f"{where}: expected one or two times, got {row['temporal_coordinates'][:40]!r}")
    if len(pair) == 1:
        time = seconds(str(pair[0]), where)
        return time, time
    return span(str(pair[0]), str(pair[1]), where)


def _recording(text: str, reading: Reading, where: str) -> str:
    """The first file of a view; several show the same from several sides."""
    files = _json(text, f"{where}, file_list") if text.startswith("[") else [text]
    if any(not isinstance(f, str) for f in files):
        raise ValueError(f"{where}, file_list: expected names of files, got {text[:60]!r}")
    names = [video_recording(f, reading.recordings) for f in files if f]
    return next((n for n in names if n in reading.recordings), names[0] if names else "")
