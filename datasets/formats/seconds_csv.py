"""V-TRACE annotations: a csv of bouts in seconds, ``labelId, timestamp, endTimestamp``.

Only bouts are told, so that nothing counts as scored. The stop is where the bout ends. A first line
``# trace-meta: behaviors=groom:g,rear:r`` lists behaviours and keys, predictions have a column ``score``, and a file
``classmap.txt`` beside the table lists the classes in their order; it makes behaviours known that do not occur. After
files of the package vtrace-behavior, made from CalMS21, and its documentation.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import Annotations
from ..bout_rows import empty_table
from ..ethogram import Behavior, Ethogram
from .frame_rows import frame_table
from .guarded import formula_plain, formula_safe, read_text
from .label_format import LabelFormat, Reading, Sample, Writing
from .seconds_rows import named_rows, seconds, span, tell_bouts_alone, without

FORMAT = LabelFormat(
    name="trace",
    title="V-TRACE annotations (csv)",
    suffixes=(".trace.csv",),
    base=None,
    end="exclusive",
    unit="seconds",
    unlabelled="not scored: the file holds bouts alone",
    evidence="real files",
    writes=True,
)
COLUMNS = ("labelId", "timestamp", "endTimestamp")
CLASSES = "classmap.txt"
_META = re.compile(r"#\s*trace-meta:\s*behaviors=(.*)")


def recognise(sample: Sample) -> bool:
    """The header of V-TRACE, behind comments."""
    header = next((line for line in sample.lines if not line.startswith("#")), "")
    return {c.lower() for c in COLUMNS} <= {c.strip().strip('"').lower() for c in re.split(r"[,;\t]", header)}


def read(reading: Reading) -> Annotations:
    """Rows as they are; behaviours in the order of the meta line, then of the class map, then of appearance."""
    path = reading.path
    lines = read_text(path).splitlines(keepends=True)
    comments = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    text = "".join(lines[comments:])
    bouts: list[dict[str, Any]] = []
    for where, row in named_rows(text, path, COLUMNS, first=comments + 1):
        name = formula_plain([row["labelid"]])[0].strip()
        if not name:
            raise ValueError(f"{where}: expected the name of a behaviour")
        start, stop = span(row["timestamp"], row["endtimestamp"], where)
        bouts.append({"behavior": name, "start": start, "stop": stop})
        if "score" in row:
            bouts[-1]["score"] = seconds(row["score"], where) if row["score"] else np.nan
    keys = _meta("".join(lines[:comments]), path)
    listed = _classes(path)
    known = list(dict.fromkeys([*keys, *listed, *(str(row["behavior"]) for row in bouts)]))
    if more := [n for n in known if n not in {row["behavior"] for row in bouts}]:
        reading.report.note(f"known from the meta line or {CLASSES}, without bouts: {', '.join(more[:8])}")
    bouts, _ = without(bouts, [], reading.unscored, reading.report)
    try:
        ethogram = Ethogram(Behavior(name=n, key=keys.get(n, "")) for n in known if n not in reading.unscored)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Annotations(bouts=frame_table(bouts), scored=empty_table(), ethogram=ethogram)


def _meta(comments: str, path: Path) -> dict[str, str]:
    keys: dict[str, str] = {}
    for found in _META.finditer(comments):
        for part in found[1].split(","):
            name, _, key = (p.strip() for p in part.partition(":"))
            if not name or name in keys or len(key) > 1:
                raise ValueError(f"{path}, line 1: expected behaviours as name:key, each once, got {part[:40]!r}")
            keys[name] = key if key not in keys.values() else ""
    return keys


def _classes(path: Path) -> list[str]:
    """Names in the class map beside the file, if there is one."""
    beside = path.parent / CLASSES
    for place in (beside, path.parent.parent / CLASSES):  # V-TRACE keeps it beside the folders of its splits
        if place.is_file() and place.stat().st_size:
            names = [line.strip() for line in read_text(place, max_bytes=1 << 20).splitlines() if line.strip()]
            if len(set(names)) < len(names):
                raise ValueError(f"{place}: expected each class once")
            return names
    return []


def write(annotations: Annotations, writing: Writing) -> None:
    """A row per bout; a meta line where the rows do not tell behaviours, their order and keys."""
    report = writing.report
    tell_bouts_alone(annotations, report)
    bouts = annotations.bouts.sort_values(["start", "stop"], kind="stable")
    point = bouts["behavior"].isin(annotations.ethogram.points)
    if point.any():
        report.lose(f"that {int(point.sum())} rows are point events; each is written as one frame")
        bouts = bouts.assign(stop=bouts["stop"].where(~point, bouts["start"] + 1 / writing.rate(annotations)))
    seen = list(dict.fromkeys(bouts["behavior"]))
    with writing.path.open("w", encoding="utf-8", newline="") as file:
        if seen != list(annotations.behaviors) or any(b.key for b in annotations.ethogram):
            if any(re.search(r"[,:\r\n]", b.name + b.key) for b in annotations.ethogram):
                report.lose("keys, order and behaviours without a bout: some names hold ':' or ','")
            else:
                listed = ",".join(f"{b.name}:{b.key}" if b.key else b.name for b in annotations.ethogram)
                file.write(f"# trace-meta: behaviors={listed}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        names = formula_safe(bouts["behavior"].tolist())
        for name, start, stop in zip(names, bouts["start"].tolist(), bouts["stop"].tolist(), strict=True):
            table.writerow([name, _text(start), _text(stop)])


def _text(time: float) -> str:
    """Milliseconds as V-TRACE writes them, or as many digits as the time has, to a microsecond."""
    return f"{time:.3f}" if round(time, 3) == time else f"{time:.6f}"
