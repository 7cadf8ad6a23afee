"""Scores of JAABA: ``scores_<behaviour>.mat``, one behaviour and one experiment per file.

``allScores`` holds, per fly, ``scores`` (one value per frame of the movie), ``tStart``, ``tEnd`` (first and last frame
with a trajectory, inclusive), ``postprocessed`` (0 or 1 per frame) and bouts ``t0s``, ``t1s``. Frames count from 1 and
``t1s`` is the frame *after* the last one. Flies count from 1 and are named so. Every frame between ``tStart`` and
``tEnd`` was classified; where the score is NaN, none was. ``postprocessed`` is taken before ``t0s`` and ``t1s``, which
some versions of JAABA fill from the raw scores. The column ``score`` is the mean score of a bout.

After the source of kristinbranson/JAABA (``ScoreFile.m``, ``get_interval_ends.m``, ``LoadScoresFromFile.m``).
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from ..annotations import Annotations, spelled_out
from ..ethogram import Behavior, Ethogram
from .frame_rows import Span, frame_number, frame_table, mask_rows, merged, minus, numbered, spans_of
from .label_format import LabelFormat, Reading, Sample, Writing
from .mat_cells import cell_row, cells, numbers
from .mat_file import Unreadable, read_mat, variable_kinds

FORMAT = LabelFormat(
    name="jaaba-scores",
    title="JAABA scores (mat)",
    suffixes=(".scores.mat",),
    base=1,
    end="exclusive",
    unit="frames",
    unlabelled="absent between tStart and tEnd, else not scored",
    evidence="documentation only",
    writes=True,
)
_SOFTWARE = "JAABA"
_DATENUM_2000 = 730486.0  # a time stamp must be there; JAABA compares it with that of a classifier


def recognise(sample: Sample) -> bool:
    """A MATLAB file with ``allScores``."""
    return b"MATLAB" in sample.head[:8] and "allScores" in variable_kinds(sample.path)


def read(reading: Reading) -> Annotations:
    """Bouts after postprocessing, and as scored what has a trajectory."""
    path = reading.path
    content = read_mat(path)
    every = content.get("allScores")
    if isinstance(every, Unreadable) or not isinstance(every, dict):
        raise ValueError(f"{path}: expected the struct 'allScores' of JAABA, got {sorted(content)}")
    behavior = _behavior(content.get("behaviorName"), reading)
    first, last = (numbers(every.get(c), f"{path}, allScores.{c}") for c in ("tStart", "tEnd"))
    columns = {c: cells(every.get(c), f"{path}, allScores.{c}") for c in ("scores", "postprocessed", "t0s", "t1s")}
    flies = len(first)
    if len(last) != flies or any(len(c) not in (0, flies) for c in columns.values()):
        raise ValueError(f"{path}: expected tStart, tEnd, scores, t0s and t1s of {flies} flies, got other numbers")
    bouts: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    differ = 0
    for fly in range(flies):
        where = f"{path}, fly {fly + 1}"
        names = {"individual": str(fly + 1), "behavior": behavior, "scorer": _SOFTWARE}
        start, stop = (frame_number(t[fly], f"{where}, {c}") for t, c in ((first, "tStart"), (last, "tEnd")))
        if not 1 <= start <= stop:
            raise ValueError(f"{where}: expected 1 <= tStart <= tEnd, got {start} and {stop}")
        mine = {c: numbers(v[fly], f"{where}, {c}") if v else np.zeros(0) for c, v in columns.items()}
        score = _window(mine["scores"], start - 1, stop, f"{where}, scores")
        processed = _window(mine["postprocessed"], start - 1, stop, f"{where}, postprocessed")
        spans = _spans(mine["t0s"], mine["t1s"], where)
        if processed is not None:
            found = [(r["start_frame"] + start - 1, r["stop_frame"] + start - 1) for r in mask_rows(processed > 0)]
            differ += spans != found
            spans = found
        scored += [{**names, "start_frame": a, "stop_frame": b} for a, b in _classified(score, start - 1, stop)]
        for a, b in spans:
            row = {**names, "start_frame": a, "stop_frame": b, "score": np.nan}
            if score is not None:
                own = score[max(0, a - start + 1) : max(0, b - start + 1)]
                row["score"] = float(np.nanmean(own)) if np.isfinite(own).any() else np.nan
            bouts.append(row)
    if differ and columns["t0s"]:
        reading.report.note(f"t0s and t1s of {differ} flies differ from 'postprocessed', which was taken")
    if behavior in reading.unscored:
        bouts, scored = [], []
    ethogram = Ethogram([Behavior(name=behavior)])
    try:
        return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _behavior(name: Any, reading: Reading) -> str:
    """What the file says, else what its name says."""
    if isinstance(name, list) and len(name) == 1:
        name = name[0]
    if isinstance(name, str) and name.strip():
        return name.strip()
    found = re.sub(r"(?i)^scores[_-]?|([._-]scores)?\.mat$", "", reading.path.name).strip() or "behavior"
    reading.report.note(f"the file does not name its behaviour, after its name it is {found!r}")
    return found


def _window(values: np.ndarray, start: int, stop: int, where: str) -> np.ndarray | None:
    """Values of the frames with a trajectory; None if there are none at all."""
    if not len(values):
        return None
    if len(values) < stop:
        raise ValueError(f"{where}: expected values up to frame {stop} (tEnd), got {len(values)}")
    return values[start:stop]


def _spans(t0s: np.ndarray, t1s: np.ndarray, where: str) -> list[Span]:
    if len(t0s) != len(t1s):
        raise ValueError(f"{where}: expected as many t0s as t1s, got {len(t0s)} and {len(t1s)}")
    out = []
    for k, (t0, t1) in enumerate(zip(t0s, t1s, strict=True)):
        start, stop = frame_number(t0, f"{where}, t0s({k + 1})"), frame_number(t1, f"{where}, t1s({k + 1})")
        if not 1 <= start < stop:
            raise ValueError(f"{where}, bout {k + 1}: expected 1 <= t0 < t1, got {start} and {stop}")
        out.append((start - 1, stop - 1))
    return out


def _classified(score: np.ndarray | None, start: int, stop: int) -> list[Span]:
    if score is None:
        return [(start, stop)]
    return [(r["start_frame"] + start, r["stop_frame"] + start) for r in mask_rows(~np.isnan(score))]


def write(annotations: Annotations, writing: Writing) -> None:
    """One behaviour; frames that were not scored get NaN within the first and the last that was."""
    from scipy.io import savemat

    if len(annotations.behaviors) != 1:
        raise ValueError(
            f"{writing.name}: a JAABA scores file holds one behaviour, got {list(annotations.behaviors)}; select one"
        )
    full = spelled_out(annotations)
    _tell_lost(full, writing)
    number = numbered(annotations, 1)
    if any(str(k) != name for name, k in number.items()):
        named = ", ".join(f"{name} = {k}" for name, k in number.items())
        writing.report.lose(f"names of individuals, JAABA counts them: {named}")
    by_number = {k: name for name, k in number.items()}
    count = max(by_number, default=0)
    columns: dict[str, list[np.ndarray]] = {c: [] for c in ("scores", "postprocessed", "t0s", "t1s")}
    first, last = np.ones(count), np.ones(count)
    for fly in range(1, count + 1):
        own = [t[t["individual"] == by_number.get(fly)] for t in (full.bouts, full.scored)]
        bouts, looked = merged(spans_of(own[0])), merged([s for t in own for s in spans_of(t)])
        if len(bouts) < len(own[0]):
            writing.report.lose("borders of bouts of one behaviour that touch or overlap")
        start, stop = (looked[0][0], looked[-1][1]) if looked else (0, 1)
        first[fly - 1], last[fly - 1] = start + 1, stop
        score, present = np.full(stop, np.nan), np.full(stop, np.nan)
        for a, b in looked:
            score[a:b], present[a:b] = -1, 0
        for a, b in bouts:
            score[a:b], present[a:b] = 1, 1
        for row in own[0].to_dict("records") if "score" in own[0] else ():
            if np.isfinite(row["score"]):
                score[row["start_frame"] : row["stop_frame"]] = row["score"]
        columns["scores"].append(score)
        columns["postprocessed"].append(present)
        columns["t0s"].append(np.asarray([a + 1.0 for a, _ in bouts]))
        columns["t1s"].append(np.asarray([b + 1.0 for _, b in bouts]))
        if minus([(start, stop)], looked):
            writing.report.note("frames that were not scored have the score NaN, which JAABA itself does not write")
    content: dict[str, Any] = {c: cell_row([v.reshape(1, -1) for v in values]) for c, values in columns.items()}
    content |= {"tStart": first.reshape(1, -1), "tEnd": last.reshape(1, -1), "postprocessparams": np.zeros((0, 0))}
    content["scoreNorm"] = 1.0
    whole = {
        "allScores": content, "behaviorName": annotations.behaviors[0], "timestamp": _DATENUM_2000, "version": "",
        "jabFileNameAbs": "",
    }  # fmt: skip
    savemat(writing.path, whole, appendmat=False, do_compression=True)


def _tell_lost(full: Annotations, writing: Writing) -> None:
    lose = writing.report.lose
    lose("the score of every frame (written: the mean of its bout where known, else 1 and -1)")
    if set(full.scorers) - {_SOFTWARE}:
        lose("scorers")
    if len(full.scorers) > 1:
        raise ValueError(f"{writing.name}: JAABA scores have one scorer, got {list(full.scorers)}; select one")
    if (full.bouts["target"] != "").any() or (full.scored["target"] != "").any():
        lose("targets of directed behaviours")
    if points := int(full.bouts["behavior"].isin(full.ethogram.points).sum()):
        lose(f"{points} point events became bouts of one frame")
    if any(b != Behavior(name=b.name) for b in full.ethogram):
        lose("keys, colours, definitions and categories of the ethogram")
    notes = [c for c in ("comment", "modifiers", "source") if c in full.bouts and (full.bouts[c] != "").any()]
    if notes:
        lose(" and ".join(notes))
    if pd.Series(full.recordings).ne("").any():
        lose("the name of the recording (JAABA knows it by the folder that the file is in)")
