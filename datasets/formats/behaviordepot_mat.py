"""BehaviorDEPOT's ``hBehavior`` (human scoring, MATLAB version 5 or 7.3): one struct per behaviour.

``Vector`` holds 0 or 1 for every frame of the video, so all frames were scored; ``Bouts`` the first and last frame of
every bout, **1-based and inclusive** (``Length`` is one less than the number of frames). ``Vector`` is what is read.
``VideoName`` and ``FrameRate`` may be missing. The scorer is what follows ``hB_`` in the file's name.

The table that a rater fills in before BehaviorDEPOT converts it is a MATLAB ``table``, which only MATLAB reads; it is
refused with the line that saves it as text. After files of DeNardoLab/BehaviorDEPOT.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..annotations import Annotations, runs
from ..ethogram import Behavior, Ethogram
from ..recording import recording_name
from .frame_rows import Span, frame_number, frame_table, with_holes
from .label_format import LabelFormat, Reading, Sample
from .mat_cells import cells, numbers
from .mat_file import read_mat, variable_kinds

FORMAT = LabelFormat(
    name="behaviordepot",
    title="BehaviorDEPOT hBehavior (mat)",
    suffixes=(".mat",),
    base=1,
    end="inclusive",
    unit="frames",
    unlabelled="absent: every frame is scored",
    evidence="real files",
)
_ABOUT = ("VideoName", "FrameRate", "TotalFrames")


def recognise(sample: Sample) -> bool:
    """A MATLAB file with ``hBehavior``, or with nothing but tables of a rater."""
    if b"MATLAB" not in sample.head[:8] or sample.suffix == ".jab":
        return False
    kinds = variable_kinds(sample.path)
    return "hBehavior" in kinds or (bool(kinds) and set(kinds.values()) == {"table"})


def read(reading: Reading) -> Annotations:
    """Runs of each ``Vector``; every frame of it was scored."""
    path = reading.path
    kinds = variable_kinds(path)
    tables = [name for name, kind in kinds.items() if kind == "table"]
    if "hBehavior" not in kinds and tables:
        name = tables[0]
        raise ValueError(
            f"{path}: {name!r} is a MATLAB table, which only MATLAB reads; convert it with BehaviorDEPOT to hBehavior, "
            "or save it as text (if its columns are first frame, last frame and behaviour, counted from 1) in MATLAB "
            f"with writetable(table({name}{{:,3}}, {name}{{:,1}} - 1, {name}{{:,2}}, 'VariableNames', "
            "{'behavior', 'start_frame', 'stop_frame'}), 'labels.bouts.csv')"
        )
    content = read_mat(path).get("hBehavior")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected the struct 'hBehavior' of BehaviorDEPOT")
    video = cells(content.get("VideoName"), f"{path}, VideoName")
    name = recording_name(str(video[0]).replace("\\", "/")) if video and isinstance(video[0], str) else ""
    scorer = re.fullmatch(r"(?i)hB_(.+?)(\.mat)+", path.name)
    if scorer is None:
        reading.report.note("the scorer is not known, the file is not called hB_<scorer>.mat")
    common = {"recording": name, "scorer": scorer[1] if scorer else ""}
    if "FrameRate" in content:
        rate = numbers(content["FrameRate"], f"{path}, FrameRate")
        if len(rate) == 1 and rate[0] > 0:
            reading.report.note(f"the file gives {rate[0]:g} frames per second")
    total = None
    if "TotalFrames" in content:
        stated = numbers(content["TotalFrames"], f"{path}, TotalFrames")
        total = frame_number(stated[0], f"{path}, TotalFrames") if len(stated) == 1 else None
    bouts: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    behaviors = [key for key in content if key not in _ABOUT]
    for behavior in behaviors:
        spans, length = _spans(content[behavior], total, f"{path}, {behavior}", reading)
        row = {**common, "behavior": behavior}
        bouts += [{**row, "start_frame": a, "stop_frame": b} for a, b in spans]
        scored.append({**row, "start_frame": 0, "stop_frame": length})
    if not behaviors:
        raise ValueError(f"{path}: expected behaviours in hBehavior, got {sorted(content)}")
    bouts, scored = with_holes(bouts, scored, reading.unscored)
    try:
        ethogram = Ethogram(Behavior(name=b) for b in behaviors if b not in reading.unscored)
        return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _spans(one: Any, total: int | None, where: str, reading: Reading) -> tuple[list[Span], int]:
    """Half-open bouts and the number of frames that were scored."""
    if not isinstance(one, dict) or not {"Vector", "Bouts"} & set(one):
        raise ValueError(f"{where}: expected a struct with Vector and Bouts")
    listed = None
    if "Bouts" in one:
        pairs = one["Bouts"]
        if not isinstance(pairs, np.ndarray) or (pairs.size and (pairs.ndim != 2 or pairs.shape[1] != 2)):
            raise ValueError(f"{where}.Bouts: expected a first and a last frame per row")
        listed = []
        for k, (first, last) in enumerate(pairs.reshape(-1, 2)):
            start, end = (frame_number(v, f"{where}.Bouts, row {k + 1}") for v in (first, last))
            if not 1 <= start <= end:
                raise ValueError(f"{where}.Bouts, row {k + 1}: expected 1 <= first <= last, got {start} and {end}")
            listed.append((start - 1, end))
    if "Vector" not in one:
        if total is None:
            raise ValueError(f"{where}: expected Vector or TotalFrames, without them nobody knows what was scored")
        spans, length = sorted(listed or []), total
    else:
        vector = numbers(one["Vector"], f"{where}.Vector")
        if not np.isin(vector, (0, 1)).all():
            raise ValueError(f"{where}.Vector: expected 0 and 1, got {vector[~np.isin(vector, (0, 1))][0]:g}")
        spans, length = runs(vector > 0), len(vector)
        if listed is not None and sorted(listed) != spans:
            reading.report.note(f"{where}: Bouts and Vector differ, Vector was taken")
    if not length or (spans and spans[-1][1] > length):
        raise ValueError(f"{where}: expected bouts within {length} frames, got {spans[-1][1] if spans else 'none'}")
    if total is not None and total != length:
        reading.report.note(f"{where}: {length} frames, TotalFrames says {total}")
    return spans, length
