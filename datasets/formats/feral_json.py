"""Labels of FERAL: one JSON file with a class per frame of several videos.

``class_names`` holds names by number, ``labels`` a list per video: the number of a class per frame, or, where
``is_multilabel`` is true, 0 or 1 for every class. Frame 0 is the first. Class 0 is ``other``, no behaviour, and every
frame counts as scored; where ``frame_mask`` of a video is false it was not looked at. What was not scored is written as
a class ``not_scored``, which is read as that again. After Skovorp/feral and files that other projects write for it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from behavior_prism.schemas import NOT_SCORED, PRESENT

from ..annotations import Annotations
from ..ethogram import Behavior, Ethogram
from ..recording import recording_name
from .frame_matrix import matrix_rows, only_subject, tell_states
from .frame_rows import frame_table
from .guarded import read_json
from .label_format import LabelFormat, Reading, Sample, Writing
from .video_names import tell_name, video_recording

FORMAT = LabelFormat(
    name="feral",
    title="FERAL labels (json)",
    suffixes=(".feral.json",),
    base=0,
    end=None,
    unit="frames",
    unlabelled="class 0 (other) is scored and absent",
    evidence="documentation only",
    several=True,
    writes=True,
)
NOTHING, HOLE = "other", "not_scored"
_NOTHING = (NOTHING, "none", "nothing", "background", "no_behavior", "no behavior", "no_behaviour", "null")
_MAX_CLASSES = 1000


def recognise(sample: Sample) -> bool:
    """``is_multilabel`` beside names of classes or splits."""
    return bool(
        re.match(r"\s*\{", sample.text)
        and re.search(r'"is_multilabel"\s*:\s*(true|false)', sample.text)
        and re.search(r'"(class_names|splits)"\s*:', sample.text)
    )


def read(reading: Reading) -> Annotations:
    """One recording per video."""
    path, report = reading.path, reading.report
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise ValueError(f"{path}: expected labels of FERAL with the key 'labels', got another JSON file")
    several = content.get("is_multilabel")
    if not isinstance(several, bool):
        raise ValueError(f"{path}, is_multilabel: expected true or false, got {several!r}"[:300])
    names = _class_names(content, reading)
    nothing = {k for k, n in names.items() if (k == 0 and n.lower() in _NOTHING) or n == NOTHING}
    if 0 in names and 0 not in nothing:
        report.note(f"class 0, {names[0]!r}, is taken for a behaviour; FERAL itself takes class 0 for none")
    ignored = {k for k, n in names.items() if n == HOLE or n in reading.unscored}
    known = [k for k in names if k not in nothing | ignored]
    masks, splits = (content.get(key) or {} for key in ("frame_mask", "splits"))
    if not isinstance(masks, dict) or not isinstance(splits, dict):
        raise ValueError(f"{path}: expected 'frame_mask' by video and 'splits' by name")
    if any(splits.values()):
        report.lose("which videos are for training, validation and test")
    bouts, scored, seen = [], [], set()
    for video, labels in content["labels"].items():
        where = f"{path}, labels[{video[:60]!r}]"
        recording = video_recording(video, reading.recordings)
        if recording in seen:
            raise ValueError(f"{where}: a second video of the name {recording!r}")
        seen.add(recording)
        present = _matrix(labels, names, several, where)
        columns = list(names)
        values = present[:, [columns.index(k) for k in known]].astype(np.int8)
        holes = present[:, [columns.index(k) for k in ignored]].any(axis=1)
        holes |= ~_mask(masks.get(video), len(present), f"{path}, frame_mask[{video[:60]!r}]")
        values[holes] = NOT_SCORED
        own = matrix_rows(values, [names[k] for k in known], recording=recording)
        bouts += own[0]
        scored += own[1]
    try:
        ethogram = Ethogram(Behavior(name=names[k], code=k) for k in known)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)


def _class_names(content: dict[str, Any], reading: Reading) -> dict[int, str]:
    names, where = content.get("class_names"), f"{reading.path}, class_names"
    if isinstance(names, list):
        names = {str(k): n for k, n in enumerate(names)}
    if not isinstance(names, dict) or not names or len(names) > _MAX_CLASSES:
        raise ValueError(f"{where}: expected names by number")
    out: dict[int, str] = {}
    for key, name in names.items():
        if not (key.isascii() and key.isdigit() and len(key) < 5):
            raise ValueError(f"{where}: expected the number of a class, got {key[:40]!r}")
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where}[{key!r}]: expected a name, got {str(name)[:40]!r}")
        if int(key) in out or name.strip() in out.values():
            raise ValueError(f"{where}: expected each class once, got {name[:40]!r} again")
        out[int(key)] = name.strip()
    return dict(sorted(out.items()))


def _matrix(labels: Any, names: dict[int, str], several: bool, where: str) -> np.ndarray:
    """Which class is present at which frame."""
    if not isinstance(labels, list) or not labels:
        raise ValueError(f"{where}: expected a list with a class per frame")
    if several:
        for k, row in enumerate(labels):
            if not isinstance(row, list) or len(row) != len(names) or not all(_is(v, (0, 1)) for v in row):
                raise ValueError(f"{where}[{k}]: expected 0 or 1 for each of {len(names)} classes")
        return np.asarray(labels, dtype=np.float64) == 1
    for k, label in enumerate(labels):
        if not _is(label, names):
            raise ValueError(f"{where}[{k}]: expected one of the classes {list(names)[:20]}, got {str(label)[:40]!r}")
    return np.asarray(labels)[:, None] == np.asarray(list(names))[None]


def _is(value: Any, among: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value in among


def _mask(mask: Any, count: int, where: str) -> np.ndarray:
    if mask is None:
        return np.ones(count, dtype=bool)
    if not isinstance(mask, list) or len(mask) != count or any(v not in (0, 1) for v in mask):
        raise ValueError(f"{where}: expected true or false for each of {count} frames")
    return np.asarray([v == 1 for v in mask])


def write(annotations: Annotations, writing: Writing) -> None:
    """Every recording as a video; several behaviours at one frame make the file one of many labels."""
    report, behaviors = writing.report, annotations.behaviors
    tell_states(annotations, report)
    if any(b.key for b in annotations.ethogram):
        report.lose("keys of the ethogram")
    for name in behaviors:
        if name.lower() in _NOTHING or name == HOLE:
            raise ValueError(f"{writing.name}: FERAL takes the name {name!r} for no behaviour; rename it")
    states = {}
    for recording in annotations.recordings:
        part = annotations.select(recording=recording)
        states[recording] = only_subject(part, writing.num_frames(part), FORMAT.title, writing)
    several = any(((v == PRESENT).sum(axis=1) > 1).any() for v in states.values())
    unscored = any((v == NOT_SCORED).all(axis=1).any() for v in states.values())
    classes = [NOTHING, *behaviors, *([HOLE] if unscored else [])]
    labels = {}
    for recording, values in states.items():
        known = values != NOT_SCORED
        partly = known.any(axis=1) & ~known.all(axis=1)
        if partly.any():
            report.lose(f"{recording}: {int(partly.sum())} frames in which only some behaviours were scored")
        present = np.zeros((len(values), len(classes)), dtype=np.int64)
        present[:, 1 : 1 + len(behaviors)] = values == PRESENT
        present[:, 0] = known.any(axis=1) & ~present.any(axis=1)
        if unscored:
            present[:, -1] = ~known.any(axis=1)
        tell_name(recording, writing)
        name = recording or recording_name(writing.name.removesuffix(".feral.json"))
        labels[f"{name}.mp4"] = present.tolist() if several else present.argmax(axis=1).tolist()
    if unscored:
        report.note(f"what was not scored is written as the class {HOLE!r}")
    if labels:
        report.note("videos are named .mp4, as FERAL re-encodes them; all of them stand under no split yet")
    content = {
        "is_multilabel": several, "class_names": {str(k): n for k, n in enumerate(classes)},
        "splits": {"train": [], "val": [], "test": [], "inference": []}, "labels": labels,
    }  # fmt: skip
    writing.path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
