"""Labels of JAABA as MATLAB structs: ``t0s, t1s, names, flies`` of one experiment, or an array ``labels(e)`` of them.

Per fly there are bouts from ``t0s`` up to, not with, ``t1s``, in frames of the movie counted from 1. ``names`` gives
each a behaviour, or says that it is absent: ``None`` where the classifier has one behaviour, ``No_<behaviour>`` where
it has several. Frames outside of all bouts are unlabelled. ``off`` (1 - first frame of the trajectory) only
serves JAABA's own arrays. ``imp_t0s`` and ``imp_t1s`` mark labels as important: the column ``important``.
Flies count from 1. ``expDirNames`` beside ``labels`` names the folders of the experiments, which become the recordings.

A ``.jab`` project holds these structs within an object that only MATLAB reads; it is refused with the lines that
save them. After the source of kristinbranson/JAABA (``Labels.m``, ``JLabelData.m``).
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from ..annotations import Annotations, spelled_out
from ..ethogram import Behavior, Ethogram
from .frame_matrix import tell_columns
from .frame_rows import Span, frame_number, frame_table, merged, minus, numbered, spans_of, with_holes
from .label_format import LabelFormat, Reading, Sample, Writing
from .mat_cells import cell_row, cells, numbers
from .mat_file import Unreadable, read_mat, variable_kinds

FORMAT = LabelFormat(
    name="jaaba-labels",
    title="JAABA labels (mat)",
    suffixes=(".labels.mat",),
    base=1,
    end="exclusive",
    unit="frames",
    unlabelled="not scored; absent only where None or No_<behaviour> says so",
    evidence="documentation only",
    several=True,
    writes=True,
)
_FIELDS = ("t0s", "t1s", "names", "flies")
_ABSENT, _ABSENT_OF = "None", "No_"
_DATENUM_2000 = 730486.0  # labels without a time stamp are refused by JAABA


def recognise(sample: Sample) -> bool:
    """A MATLAB file with ``labels`` or its fields, or a JAABA project."""
    if b"MATLAB" not in sample.head[:8]:
        return False
    kinds = variable_kinds(sample.path)
    return sample.suffix == ".jab" or set(_FIELDS) <= set(kinds) or ("labels" in kinds and not kinds["labels"])


def read(reading: Reading) -> Annotations:
    """Bouts of a behaviour, and all labelled frames as scored for their behaviour."""
    path = reading.path
    experiments, folders = _experiments(read_mat(path), reading)
    recordings = _recordings(folders, len(experiments), reading)
    found = [
        dict(label, recording=name)
        for k, (one, name) in enumerate(zip(experiments, recordings, strict=True))
        for label in _labels(one, f"{path}, labels({k + 1})" if len(experiments) > 1 else str(path), reading)
    ]
    behaviors = list(dict.fromkeys(label["behavior"] for label in found if label["behavior"] != _ABSENT))
    several = any(b.startswith(_ABSENT_OF) for b in behaviors)
    known = list(dict.fromkeys(b.removeprefix(_ABSENT_OF) if several else b for b in behaviors))
    if not known and found:
        guess = re.sub(r"(?i)^labels?[_-]?|([._-]labels)?\.mat$", "", path.name).strip() or "behavior"
        reading.report.note(f"no frame is labelled with a behaviour, after the file's name it is {guess!r}")
        known = [guess]
    bouts: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    for row in found:
        name = row["behavior"]
        absent = name == _ABSENT or (several and name.startswith(_ABSENT_OF))
        whose = known if name == _ABSENT else [name.removeprefix(_ABSENT_OF) if absent else name]
        scored += [{**row, "behavior": b} for b in whose]
        if not absent:
            bouts.append(row)
    _check_states(bouts, scored, path)
    bouts, scored = with_holes(bouts, scored, reading.unscored)
    try:
        ethogram = Ethogram(Behavior(name=b) for b in known if b not in reading.unscored)
        return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _experiments(content: dict[str, Any], reading: Reading) -> tuple[list[dict[str, Any]], list[Any]]:
    path = reading.path
    if set(_FIELDS) <= set(content):
        return [content], []
    project = content.get("x")
    if isinstance(project, dict):
        content = project
    labels = content.get("labels")
    if isinstance(labels, dict):
        labels = [labels]
    if isinstance(labels, np.ndarray) and not labels.size:
        labels = []
    if not isinstance(labels, list) or not all(isinstance(one, dict) for one in labels):
        if path.suffix.lower() == ".jab" or isinstance(project, Unreadable):
            raise ValueError(
                f"{path}: a JAABA project is an object that only MATLAB reads; in MATLAB, with JAABA on the path: "
                "J = load('project.jab', '-mat'); labels = J.x.labels; expDirNames = J.x.expDirNames; "
                "save('project.labels.mat', 'labels', 'expDirNames'), then read that file"
            )
        raise ValueError(f"{path}: expected JAABA's labels (t0s, t1s, names, flies), got {sorted(content)[:12]}")
    return labels, cells(content.get("expDirNames"), f"{path}, expDirNames")


def _recordings(folders: list[Any], count: int, reading: Reading) -> list[str]:
    if folders and len(folders) != count:
        raise ValueError(f"{reading.path}: expected {count} expDirNames, one for each of labels, got {len(folders)}")
    if folders:
        names = [PureWindowsPath(str(folder)).name for folder in folders]
        if len(set(names)) < len(names):
            raise ValueError(f"{reading.path}: two experiments lie in folders of one name, rename one of them")
        return names
    if count == 1:
        return [""]
    reading.report.note("the experiments are not named (expDirNames is missing), they are counted")
    return [f"experiment {k + 1}" for k in range(count)]


def _labels(one: dict[str, Any], where: str, reading: Reading) -> list[dict[str, Any]]:
    """Half-open, 0-based rows of one experiment with the names as they stand."""
    columns = {c: cells(one.get(c), f"{where}, {c}") for c in ("t0s", "t1s", "names", "imp_t0s", "imp_t1s")}
    flies = one.get("flies", np.zeros(0))
    if isinstance(flies, np.ndarray) and flies.ndim == 2 and min(flies.shape) > 1:
        raise ValueError(f"{where}, flies: expected one fly per entry, got an array of {flies.shape}")
    who = [frame_number(f, f"{where}, flies") for f in numbers(flies, f"{where}, flies")]
    if len(set(who)) < len(who):
        raise ValueError(f"{where}, flies: expected every fly once, got {who}")
    if any(len(columns[c]) != len(who) for c in ("t0s", "t1s", "names")):
        raise ValueError(f"{where}: expected t0s, t1s and names of {len(who)} flies, got other numbers")
    out = []
    for k, fly in enumerate(who):
        here = f"{where}, fly {fly}"
        names = cells(columns["names"][k], f"{here}, names")
        spans = _spans(columns["t0s"][k], columns["t1s"][k], here, "")
        if len(names) != len(spans) or not all(isinstance(n, str) and n for n in names):
            raise ValueError(f"{here}: expected a name for each of {len(spans)} labels, got {len(names)}")
        first, last = (columns[c][k] if k < len(columns[c]) else np.zeros(0) for c in ("imp_t0s", "imp_t1s"))
        marked = merged(_spans(first, last, here, "imp_"))
        for (start, stop), name in zip(spans, names, strict=True):
            row: dict[str, Any] = {"individual": str(fly), "behavior": name, "start_frame": start, "stop_frame": stop}
            if columns["imp_t0s"]:
                row["important"] = not minus([(start, stop)], marked)
                if not row["important"] and minus([(start, stop)], marked) != [(start, stop)]:
                    reading.report.lose("that a label is important in a part of its frames")
            out.append(row)
    return out


def _spans(first: Any, last: Any, where: str, prefix: str) -> list[Span]:
    t0s, t1s = numbers(first, f"{where}, {prefix}t0s"), numbers(last, f"{where}, {prefix}t1s")
    if len(t0s) != len(t1s):
        raise ValueError(f"{where}: expected as many {prefix}t0s as {prefix}t1s, got {len(t0s)} and {len(t1s)}")
    out = []
    for k, pair in enumerate(zip(t0s, t1s, strict=True)):
        start, stop = (
            frame_number(t, f"{where}, {prefix}{c}({k + 1})") for t, c in zip(pair, ("t0s", "t1s"), strict=True)
        )
        if not 1 <= start < stop:
            raise ValueError(f"{where}, label {k + 1}: expected 1 <= {prefix}t0 < {prefix}t1, got {start} and {stop}")
        out.append((start - 1, stop - 1))
    return out


def _check_states(bouts: list[dict[str, Any]], scored: list[dict[str, Any]], path: Any) -> None:
    """A frame that is both labelled with a behaviour and with its absence says nothing."""
    both: dict[tuple[str, str, str], list[int]] = {}
    for rows in (bouts, scored):
        spans: dict[tuple[str, str, str], list[Span]] = {}
        for row in rows:
            key = (row["recording"], row["individual"], row["behavior"])
            spans.setdefault(key, []).append((row["start_frame"], row["stop_frame"]))
        for key, own in spans.items():
            whole = sum(b - a for a, b in merged(own))
            both.setdefault(key, []).append(sum(b - a for a, b in own) - whole)
    for (_, fly, behavior), doubled in both.items():
        if len(doubled) == 2 and doubled[1] > doubled[0]:
            raise ValueError(f"{path}, fly {fly}: frames labelled both as {behavior!r} and as its absence")


def write(annotations: Annotations, writing: Writing) -> None:
    """The array ``labels`` with ``expDirNames``; what else was scored is ``None`` or ``No_<behaviour>``."""
    from scipy.io import savemat

    full = spelled_out(annotations)
    taken = [b for b in full.behaviors if b.startswith(_ABSENT_OF) or b == _ABSENT]
    if taken:
        raise ValueError(f"{writing.name}: {taken[0]!r} means the absence of a behaviour in JAABA, rename it")
    if len(full.scorers) > 1:
        raise ValueError(f"{writing.name}: JAABA labels have one scorer, got {list(full.scorers)}; select one")
    number = numbered(annotations, 1)
    _tell_lost(full, number, writing)
    fields = ("t0s", "t1s", "names", "flies", "off", "timestamp", "timelinetimestamp", "imp_t0s", "imp_t1s")
    labels = np.empty((1, len(full.recordings)), dtype=[(f, object) for f in fields])
    for e, recording in enumerate(full.recordings):
        bouts, scored = (t[t["recording"] == recording] for t in (full.bouts, full.scored))
        flies = sorted({number[i] for t in (bouts, scored) for i in t["individual"]})
        by_number = {k: name for name, k in number.items()}
        each = []
        for fly in flies:
            own, looked = (t[t["individual"] == by_number[fly]] for t in (bouts, scored))
            each.append(_fly(own, looked, full.behaviors, writing))
        one = {
            c: cell_row([fly[c] for fly in each]) for c in ("t0s", "t1s", "names", "imp_t0s", "imp_t1s", "timestamp")
        }
        one["flies"] = np.asarray(flies, dtype=np.float64).reshape(-1, 1)
        one["off"] = np.zeros((1, len(flies)))
        stamps = {b: _DATENUM_2000 for b in full.behaviors if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", b)}
        one["timelinetimestamp"] = cell_row([stamps or np.zeros((0, 0)) for _ in flies])
        for field in fields:
            labels[0, e][field] = one[field]
    savemat(
        writing.path, {"labels": labels, "expDirNames": cell_row(list(full.recordings))}, appendmat=False,
        do_compression=True, long_field_names=True,
    )  # fmt: skip


def _fly(bouts: pd.DataFrame, scored: pd.DataFrame, behaviors: tuple[str, ...], writing: Writing) -> dict[str, Any]:
    """Labels of one fly, in order of time."""
    rows: list[tuple[int, int, str, bool]] = []
    for behavior in behaviors:
        own, looked = (t[t["behavior"] == behavior] for t in (bouts, scored))
        looked = looked[looked["target"] == ""]
        present = merged(spans_of(own))
        if len(present) < len(own):
            writing.report.lose("borders of bouts of one behaviour that touch or overlap")
        absent = _ABSENT if len(behaviors) == 1 else f"{_ABSENT_OF}{behavior}"
        dull = _unimportant(own) + _unimportant(looked)
        for spans, name in ((present, behavior), (minus(spans_of(looked), present), absent)):
            rows += [(a, b, name, not any(s <= a and b <= e for s, e in dull)) for a, b in spans]
    rows.sort()
    marked = merged((a, b) for a, b, _, important in rows if important)

    def row_of(values: list[float]) -> np.ndarray:
        return np.asarray(values, dtype=np.float64).reshape(1, -1)

    return {
        "t0s": row_of([a + 1.0 for a, *_ in rows]), "t1s": row_of([b + 1.0 for _, b, *_ in rows]),
        "names": cell_row([name for *_, name, _ in rows]), "timestamp": row_of([_DATENUM_2000] * len(rows)),
        "imp_t0s": row_of([a + 1.0 for a, _ in marked]), "imp_t1s": row_of([b + 1.0 for _, b in marked]),
    }  # fmt: skip


def _unimportant(table: pd.DataFrame) -> list[Span]:
    if "important" not in table:
        return []
    return spans_of(table[[flag is False or flag == 0 for flag in table["important"].tolist()]])


def _tell_lost(full: Annotations, number: dict[str, int], writing: Writing) -> None:
    lose = writing.report.lose
    if any(full.scorers):
        lose("scorers")
    if any(str(k) != name for name, k in number.items()):
        lose("names of individuals, JAABA counts them: " + ", ".join(f"{name} = {k}" for name, k in number.items()))
    if (full.bouts["target"] != "").any() or (full.scored["target"] != "").any():
        lose("targets of directed behaviours, and where these were absent")
    if points := int(full.bouts["behavior"].isin(full.ethogram.points).sum()):
        lose(f"{points} point events became bouts of one frame")
    silent = set(full.behaviors) - set(full.bouts["behavior"]) - set(full.scored["behavior"])
    if silent:
        lose(f"behaviours without a label: {', '.join(sorted(silent))}")
    if any(b != Behavior(name=b.name) for b in full.ethogram):
        lose("keys, colours, definitions and categories of the ethogram")
    notes = [c for c in ("comment", "modifiers", "source") if c in full.bouts and (full.bouts[c] != "").any()]
    if notes:
        lose(" and ".join(notes))
    if full.ethogram.exclusive:
        lose("which behaviours exclude each other")
    tell_columns(full, writing.report, ("comment", "modifiers", "source", "important"))
