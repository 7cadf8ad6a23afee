"""SimBA: a csv of pose and features with one 0/1 column per classifier at its end, one row per frame.

``targets_inserted`` holds labels, ``machine_results`` predictions with ``Probability_<classifier>`` before each of
them. The first column is the number of the frame, from 0; where numbers are missing (frames left out while labelling)
nothing was scored. In SimBA's usual labelling a frame that nobody looked at is saved as absent; the file cannot tell.

Which columns are labels is said by ``project_config.ini`` above the file (``no_targets``, ``target_name_1``, ...), or
by ``Probability_`` columns; else they are those of 0 and 1 behind ``Low_prob_detections_...``, the last features of
SimBA; without these, the last columns of 0 and 1 whose names are not those of features. Labels are written onto an
existing features table, whose text stays as it is. After files of DLC2Action and sgoldenlab/simba.
"""

from __future__ import annotations

import configparser
import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from behavior_prism.schemas import ABSENT, NOT_SCORED, PRESENT

from ..annotations import Annotations
from ..ethogram import Behavior, Ethogram
from .frame_matrix import matrix_rows, only_subject, tell_states
from .frame_rows import LAST_FRAME, frame_table
from .guarded import read_text
from .label_format import LabelFormat, Reading, Sample, Writing

FORMAT = LabelFormat(
    name="simba",
    title="SimBA targets_inserted and machine_results (csv)",
    suffixes=(".simba.csv",),
    base=0,
    end=None,
    unit="frames",
    unlabelled="absent: SimBA saves frames that nobody looked at as absent; a missing row is not scored",
    evidence="real files",
    writes=True,
)
CONFIG = "project_config.ini"
PROBABILITY = "Probability_"
_STATES = {"0": ABSENT, "0.0": ABSENT, "1": PRESENT, "1.0": PRESENT, "": NOT_SCORED}
_POSE = re.compile(r".*_(x|y|p)", re.IGNORECASE)
_LAST_FEATURES = "low_prob_detections"
_COMPUTED = re.compile(
    r".*_(x|y|p|movement|shifted|rank|deviation|median|mean|sum|angle|area|to_tail|width|length|distance|centroid)"
    r"(_?\d+(\.\d+)?)?|(sum_prob|total_movement|tail_(base|end)_).*",
    re.IGNORECASE,
)


def recognise(sample: Sample) -> bool:
    """A header with key points as x, y, p beside columns that are none."""
    if len(sample.text) < 2 or "," not in sample.text.partition("\n")[0]:
        return False
    header = [c.strip().strip('"') for c in sample.text.partition("\n")[0].split(",")]
    names = {c.lower() for c in header}
    triples = [c for c in names if c.endswith("_x") and {f"{c[:-1]}y", f"{c[:-1]}p"} <= names]
    return bool(triples) and not _POSE.fullmatch(header[-1])


def read(reading: Reading) -> Annotations:
    """Runs of ones are bouts, every row was scored."""
    path, report = reading.path, reading.report
    header = _header(path)
    targets = _targets(path)
    if targets is not None:
        missing = [t for t in targets if t not in header]
        if missing:
            raise ValueError(f"{path}: {CONFIG} names the classifier {missing[0]!r}, the table has no such column")
        columns = [header.index(t) for t in targets]
        report.note(f"classifiers as named in {CONFIG}")
    else:
        columns = _label_columns(path, header)
        if not columns:
            raise ValueError(f"{path}: expected columns of 0 and 1 behind the features, got none")
        before = header[columns[0] - 1]
        sure = f"{PROBABILITY}{header[columns[0]]}" == before or before.lower().startswith(_LAST_FEATURES)
        found = ", ".join(header[k] for k in columns)
        told = "the columns behind SimBA's features" if sure else "the last columns that hold only 0 and 1"
        report.note(f"taken for behaviours, as {told}: {found}" + ("" if sure else f"; {CONFIG} would tell"))
    names = [header[k] for k in columns]
    numbers, values, chances = _states(path, header, columns)
    whole = np.full((numbers[-1] + 1, len(columns)), NOT_SCORED, dtype=np.int8)
    whole[numbers] = values
    if len(numbers) < len(whole):
        report.note(f"{len(whole) - len(numbers)} frames without a row are not scored")
    report.note("SimBA saves frames that nobody looked at as absent; nothing tells them apart here")
    keep = [k for k, n in enumerate(names) if n not in reading.unscored]
    whole[(whole[:, [k for k in range(len(names)) if k not in keep]] == PRESENT).any(axis=1)] = NOT_SCORED
    bouts, scored = matrix_rows(whole[:, keep], [names[k] for k in keep])
    if chances:
        for row in bouts:
            chance = chances.get(row["behavior"])
            own = (numbers >= row["start_frame"]) & (numbers < row["stop_frame"])
            row["score"] = float(np.mean(chance[own])) if chance is not None else np.nan
        report.lose("probabilities per frame; the column 'score' holds their mean in each bout")
    return Annotations(
        bouts=frame_table(bouts), scored=frame_table(scored),
        ethogram=Ethogram(Behavior(name=names[k]) for k in keep),
    )  # fmt: skip


def _header(path: Path) -> list[str]:
    header = next(_rows(path), (1, []))[1]
    if len(header) < 2 or len(set(header)) < len(header):
        raise ValueError(f"{path}, line 1: expected a name for every column, each once")
    return header


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines that hold anything, with their numbers."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    width = 0
    try:
        for cells in reader:
            width = width or len(cells)
            if cells and len(cells) != width:
                raise ValueError(f"{path}, line {reader.line_num}: expected {width} cells, got {len(cells)}")
            if cells:
                yield reader.line_num, [c.strip() for c in cells] if reader.line_num == 1 else cells
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a csv table ({error})") from None


def _targets(path: Path) -> list[str] | None:
    """Classifiers of the project that the file lies in (``project_folder/csv/targets_inserted``), if it is one."""
    for folder in list(path.resolve().parents)[:3]:
        config = folder / CONFIG
        if not config.is_file():
            continue
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(read_text(config, max_bytes=1 << 20))
            section = parser["SML settings"]
            count = int(section.get("no_targets", "0"))
            names = [section.get(f"target_name_{k + 1}", "").strip() for k in range(min(count, 1000))]
        except (configparser.Error, KeyError, ValueError) as error:
            raise ValueError(f"{config}: expected SimBA's settings ({str(error).splitlines()[0]})") from None
        names = [n for n in names if n and n.lower() != "none"]
        if len(set(names)) < len(names):
            raise ValueError(f"{config}: expected each classifier once, got {names[:20]}")
        return names or None
    return None


def _label_columns(path: Path, header: list[str]) -> list[int]:
    """The last columns that hold only 0 and 1; those of probabilities stand between them."""
    ends = [k for k, name in enumerate(header) if name.lower().startswith(_LAST_FEATURES)]
    first = ends[-1] + 1 if ends else len(header)
    while not ends and first > 1 and not _COMPUTED.fullmatch(header[first - 1]):
        first -= 1
    for _, cells in islice(_rows(path), 1, None):
        for k in range(len(cells) - 1, first - 1, -1):
            if cells[k].strip() not in _STATES and not header[k].startswith(PROBABILITY):
                first = k + 1
                break
    chances = {k for k in range(first, len(header)) if header[k].startswith(PROBABILITY)}
    columns = [k for k in range(first, len(header)) if k not in chances]
    if chances:  # what was predicted has a probability; other columns of 0 and 1 are features
        predicted = [k for k in columns if f"{PROBABILITY}{header[k]}" in header]
        return predicted or columns
    return columns


def _states(path: Path, header: list[str], columns: list[int]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Numbers of the frames, their states, and probabilities by behaviour."""
    chance_of = {header[k]: header.index(f"{PROBABILITY}{header[k]}") for k in columns
                 if f"{PROBABILITY}{header[k]}" in header}  # fmt: skip
    numbers: list[int] = []
    states: list[list[int]] = []
    chances: dict[str, list[float]] = {name: [] for name in chance_of}
    for line, cells in islice(_rows(path), 1, None):
        where = f"{path}, line {line}"
        number = cells[0].strip()
        if not re.fullmatch(r"\d{1,10}(\.0)?", number) or (numbers and int(float(number)) <= numbers[-1]):
            raise ValueError(f"{where}: expected the number of a frame behind the last one, got {number[:40]!r}")
        numbers.append(int(float(number)))
        row = [_STATES.get(cells[k].strip()) for k in columns]
        if None in row:
            wrong = columns[row.index(None)]
            raise ValueError(f"{where}: expected {header[wrong]} as 0 or 1, got {cells[wrong].strip()[:40]!r}")
        states.append([s for s in row if s is not None])
        for name, k in chance_of.items():
            chances[name].append(_chance(cells[k], where))
    if not numbers:
        raise ValueError(f"{path}: expected a row per frame, got none")
    if numbers[-1] > min(LAST_FRAME, 1000 * len(numbers) + 10**6):
        raise ValueError(f"{path}: expected the number of a frame, got {numbers[-1]} in {len(numbers)} rows")
    values = np.asarray(states, dtype=np.int8).reshape(len(numbers), len(columns))
    return np.asarray(numbers), values, {n: np.asarray(v) for n, v in chances.items()}


def _chance(cell: str, where: str) -> float:
    try:
        value = float(cell) if cell.strip() else np.nan
    except ValueError:
        value = 2.0
    if not (0 <= value <= 1) and cell.strip():
        raise ValueError(f"{where}: expected a probability from 0 to 1, got {cell.strip()[:40]!r}")
    return value


def write(annotations: Annotations, writing: Writing) -> None:
    """The features table that is given, with a column per behaviour behind it."""
    onto, report = writing.onto, writing.report
    if onto is None:
        raise ValueError(f"{writing.name}: SimBA needs pose and features beside the labels; give its table as onto")
    header = _header(onto)
    columns = list(annotations.behaviors)
    if targets := _targets(onto):
        report.note(f"columns in the order of {CONFIG}")
        if extra := [b for b in columns if b not in targets]:
            report.note(f"SimBA does not know {', '.join(extra)} until {CONFIG} names them")
        columns = [*(t for t in targets if t in columns), *(b for b in columns if b not in targets)]
    for name in columns:
        if name in header:
            raise ValueError(f"{onto}: has a column {name!r} already, expected a table without labels")
        if re.search(r'[,"\r\n]', name) or _POSE.fullmatch(name) or name.startswith(PROBABILITY):
            raise ValueError(f"{writing.name}: SimBA would not take {name!r} for a classifier; rename it")
    numbers, _, _ = _states(onto, header, [])
    lines = [line for line in read_text(onto).splitlines() if line.strip()]
    if len(lines) != len(numbers) + 1:
        raise ValueError(f"{onto}: expected a row per line, some cells go over several lines")
    num_frames = len(writing.edges[r]) - 1 if (r := next(iter(annotations.recordings), "")) in writing.edges else None
    if num_frames is not None and num_frames != numbers[-1] + 1:
        raise ValueError(f"{onto}: expected a row for each of the {num_frames} frames of {r!r}, got {numbers[-1] + 1}")
    values = only_subject(annotations, int(numbers[-1]) + 1, FORMAT.title, writing)[numbers]
    tell_states(annotations, report)
    if any(b.key for b in annotations.ethogram):
        report.lose("keys of the ethogram")
    holes = int((values == NOT_SCORED).any(axis=1).sum())
    if holes:
        report.lose(f"that {holes} frames were not scored: SimBA knows present and absent, they are written as absent")
    order = [annotations.behaviors.index(name) for name in columns]
    cells = [columns, *(values[:, order] == PRESENT).astype(int).tolist()]
    out = [",".join([line, *map(str, more)]) for line, more in zip(lines, cells, strict=True)]
    writing.path.write_text("\n".join(out) + "\n", encoding="utf-8", newline="\n")
