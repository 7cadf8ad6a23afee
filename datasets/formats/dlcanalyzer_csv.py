"""Bouts of DLCAnalyzer and DLC2Action: a table with ``from``, ``to``, ``type`` of several recordings and raters.

Times are seconds, the separator is ``;`` or ``,``. ``Experimenter`` is the scorer, ``ID`` the recording; ``DLCFile`` is
a table of poses whose name begins with that of the video, which names the recording where it is there. Rows
``Start/End``, ``StartEnd``, ``Start_End`` and ``_DEFAULT`` are marks of the tool, no behaviours. Where a rater marked a
recording exactly twice, what lies between the start of the first mark and the stop of the last counts as scored, for
the behaviours that this rater used anywhere; other numbers of marks say nothing clear. After files of
ETHZ-INS/DLCAnalyzer and amathislab/DLC2action.
"""

from __future__ import annotations

import re
from typing import Any

from ..annotations import Annotations
from ..ethogram import Behavior, Ethogram
from .frame_rows import frame_table
from .guarded import read_text
from .label_format import LabelFormat, Reading, Sample
from .seconds_rows import named_rows, span, without

FORMAT = LabelFormat(
    name="dlcanalyzer",
    title="DLCAnalyzer and DLC2Action bouts (csv)",
    suffixes=(".csv",),
    base=None,
    end="exclusive",
    unit="seconds",
    unlabelled="absent between the two marks of a rater, else not scored",
    evidence="real files",
    several=True,
)
_NEEDED = ("from", "to", "type")
_MARK, _DEFAULT = "startend", "_default"


def recognise(sample: Sample) -> bool:
    """A header with from, to, type and who scored or what."""
    header = sample.lines[0] if sample.lines else ""
    names = {c.strip().strip('"').lower() for c in re.split(r"[;,\t]", header)}
    return names >= set(_NEEDED) and bool(names & {"experimenter", "id", "dlcfile"})


def read(reading: Reading) -> Annotations:
    """Bouts by recording and rater, and what lies between the marks."""
    path, report = reading.path, reading.report
    bouts: list[dict[str, Any]] = []
    marks: dict[tuple[str, str], list[tuple[float, float]]] = {}
    defaults = 0
    for where, row in named_rows(read_text(path), path, _NEEDED):
        start, stop = span(row["from"], row["to"], where)
        who = {"recording": _recording(row, reading), "scorer": row.get("experimenter", "")}
        name = row["type"]
        if not name:
            raise ValueError(f"{where}: expected the type of a behaviour")
        if re.sub(r"[\W_]", "", name).lower() == _MARK:
            marks.setdefault((who["recording"], who["scorer"]), []).append((start, stop))
        elif name.lower() == _DEFAULT:
            defaults += 1
        else:
            bouts.append({**who, "behavior": name, "start": start, "stop": stop})
    if defaults:
        report.note(f"{defaults} rows of _DEFAULT are bouts that nobody named; they were left out")
    known = list(dict.fromkeys(row["behavior"] for row in bouts))
    scored = _scored(bouts, marks, known, reading)
    bouts, scored = without(bouts, scored, reading.unscored, report)
    scored = [row for row in scored if row["behavior"] not in reading.unscored]
    try:
        ethogram = Ethogram(Behavior(name=n) for n in known if n not in reading.unscored)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)


def _recording(row: dict[str, str], reading: Reading) -> str:
    """The video that the table of poses is of, or the ID, whichever is at hand."""
    pose = re.split(r"DeepCut_|DLC_", re.split(r"[\\/]", row.get("dlcfile", ""))[-1])[0]
    names = [n for n in (pose.removesuffix(".csv"), row.get("id", "")) if n]
    return next((n for n in names if n in reading.recordings), names[0] if names else "")


def _scored(
    bouts: list[dict[str, Any]], marks: dict[tuple[str, str], list[tuple[float, float]]], known: list[str],
    reading: Reading,
) -> list[dict[str, Any]]:  # fmt: skip
    report, out = reading.report, []
    looked_for: dict[str, list[str]] = {}
    for row in bouts:
        names = looked_for.setdefault(row["scorer"], [])
        names += [row["behavior"]] if row["behavior"] not in names else []
    outside = 0
    for (recording, scorer), spans in marks.items():
        if len(spans) != 2:
            continue
        who = {"recording": recording, "scorer": scorer}
        start, stop = min(a for a, _ in spans), max(b for _, b in spans)
        names = looked_for.get(scorer, [])
        named = [""] if set(names) == set(known) else names
        out += [{**who, "behavior": n, "start": start, "stop": stop} for n in named]
        own = [b for b in bouts if (b["recording"], b["scorer"]) == (recording, scorer)]
        outside += sum(b["start"] < start or b["stop"] > stop for b in own)
    pairs = {(row["recording"], row["scorer"]) for row in bouts} | set(marks)
    clear = sum(len(spans) == 2 for spans in marks.values())
    if marks:
        report.note(
            f"marks at start and end: what lies between counts as scored ({clear} of {len(pairs)} raters' videos)"
        )
    if clear < len(pairs):
        report.note(f"{len(pairs) - clear} raters' videos have not two marks, nothing counts as scored there")
    if outside:
        report.note(f"{outside} bouts reach outside of the marks")
    return out
