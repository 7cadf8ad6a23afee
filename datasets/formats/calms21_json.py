"""CalMS21 (Caltech mouse social interactions), the official JSON: sequences by annotator, one class per frame.

``{group: {sequence: {keypoints, scores, annotations, metadata}}}``: ``annotations`` has one code per frame, and
``metadata.vocab`` says what codes mean. Frames are 0-based. The class ``other`` is the absence of the others, so every
frame is scored for each class of its sequence's vocabulary; a negative code is not scored. The labels speak of the
resident mouse towards the intruder: a directed behaviour. The group is the annotator (``annotator-id_0``); in task 3
groups are behaviours, and the annotator stands in ``metadata``. The recording is the last part of the sequence's name.

The files have up to several GiB, nearly all of it key points. They are read as a stream: ``keypoints`` and ``scores``
are passed over, and no more than one sequence's labels are held as text.

After the description of the data set (Sun et al. 2021, data.caltech.edu/records/s0vdx-0k302) and its converter.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..annotations import Annotations
from ..ethogram import Behavior, Ethogram
from .frame_rows import frame_table, mask_rows, with_holes
from .json_stream import JsonStream
from .label_format import LabelFormat, Reading, Sample

FORMAT = LabelFormat(
    name="calms21",
    title="CalMS21 (json)",
    suffixes=(".json",),
    base=0,
    end=None,
    unit="frames",
    unlabelled="absent: every frame is scored (class 'other')",
    evidence="documentation only",
    several=True,
)
_ACTOR, _TARGET, _NOTHING = "resident", "intruder", "other"


def recognise(sample: Sample) -> bool:
    """Groups of sequences that are called ``task1/...``."""
    return bool(re.match(r'\s*\{\s*"[^"]+"\s*:\s*\{\s*"task[1-3]/', sample.text))


def read(reading: Reading) -> Annotations:
    """Runs of each class; all classes but 'other'."""
    path = reading.path
    bouts: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    known: dict[str, None] = {}
    with JsonStream(path) as stream:
        for group in stream.entries():
            for sequence in stream.entries():
                where = f"{path}, {group[:60]!r}, {sequence[:120]!r}"
                parts: dict[str, Any] = {}
                for key in stream.entries():
                    if key in ("keypoints", "scores"):
                        stream.skip()
                    else:
                        parts[key] = stream.value()
                row, codes, names = _sequence(group, sequence, parts, where)
                for code, name in names.items():
                    if name != _NOTHING:
                        known[name] = None
                        bouts += mask_rows(codes == code, **row, behavior=name)
                        scored += mask_rows(codes >= 0, **row, behavior=name)
        stream.end()
    if not known:
        raise ValueError(f"{path}: expected sequences with annotations, got none")
    reading.report.note(f"behaviours are those of the {_ACTOR} towards the {_TARGET}; 'other' is the absence of all")
    bouts, scored = with_holes(bouts, scored, reading.unscored)
    try:
        ethogram = Ethogram(Behavior(name=n) for n in known if n not in reading.unscored)
        return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _sequence(
    group: str, sequence: str, parts: dict[str, Any], where: str
) -> tuple[dict[str, Any], np.ndarray, dict[int, str]]:
    """Columns of its rows, codes per frame, and names of the codes."""
    about, codes = parts.get("metadata"), parts.get("annotations")
    vocabulary = about.get("vocab") if isinstance(about, dict) else None
    if not isinstance(vocabulary, dict) or not all(type(code) is int for code in vocabulary.values()):
        raise ValueError(f"{where}: expected metadata.vocab, names of behaviours with their codes")
    names = {code: name for name, code in vocabulary.items()}
    if len(names) < len(vocabulary) or min(names, default=0) < 0:
        raise ValueError(f"{where}: expected every code once and none below 0, got {list(vocabulary.values())[:12]}")
    if not isinstance(codes, list) or not codes or not all(type(code) is int and abs(code) < 2**31 for code in codes):
        raise ValueError(f"{where}: expected annotations, a whole number per frame")
    unknown = set(codes) - set(names) - {c for c in codes if c < 0}
    if unknown:
        raise ValueError(f"{where}: code {min(unknown)} is not in metadata.vocab")
    annotator = about.get("annotator-id") if isinstance(about, dict) else None
    scorer = group if group.startswith("annotator-id") or annotator is None else f"annotator-id_{annotator}"
    row = {"recording": sequence.rsplit("/", 1)[-1], "individual": _ACTOR, "target": _TARGET, "scorer": scorer}
    return row, np.asarray(codes, dtype=np.int32), names
