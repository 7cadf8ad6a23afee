"""One row per frame, one column of 0 and 1 per behaviour: the labels of DeepEthogram, and such csv tables in general.

Frame 0 is the first row; a first column without a name (or ``frame``, ``index``) numbers the rows from 0, or from 1. A
cell of -1, or an empty one, is unlabelled, so not scored. ``background`` means "none of the others": it is no
behaviour, and on writing it is 1 where every other class is 0, as DeepEthogram recomputes it. Some tables use it for
frames that nobody looked at; only ``unscored=["background"]`` says so. Layout after jbohnslav/deepethogram
(``<video>_labels.csv``, ``<video>_predictions.csv``) and a table of lightning-action.
"""

from __future__ import annotations

import csv
import io
import re

import numpy as np

from behavior_prism.schemas import ABSENT, NOT_SCORED, PRESENT

from ..annotations import Annotations
from ..ethogram import Behavior, Ethogram
from .frame_matrix import matrix_rows, only_subject, tell_states
from .frame_rows import frame_table
from .guarded import formula_plain, formula_safe, read_text
from .label_format import LabelFormat, Reading, Sample, Writing

FORMAT = LabelFormat(
    name="onehot",
    title="DeepEthogram or one-hot table (csv)",
    suffixes=("_labels.csv", ".onehot.csv"),
    base=0,
    end=None,
    unit="frames",
    unlabelled="-1 is not scored; background is scored unless named in unscored",
    evidence="real files",
    writes=True,
)
BACKGROUND = "background"
_INDEX = ("", "frame", "frames", "index", "frame_index", "unnamed: 0")
_CELLS = {"0": ABSENT, "1": PRESENT, "-1": NOT_SCORED, "": NOT_SCORED} | {
    "0.0": ABSENT, "1.0": PRESENT, "-1.0": NOT_SCORED, "False": ABSENT, "True": PRESENT,
}  # fmt: skip


def recognise(sample: Sample) -> bool:
    """Every cell but those of a first column that numbers the rows is 0, 1 or -1."""
    if len(sample.lines) < 2:
        return False
    try:
        header, *rows = csv.reader(sample.lines, delimiter=_separator(sample.lines[0]), skipinitialspace=True)
    except (csv.Error, ValueError):
        return False
    first = int(header[0].strip().lower() in _INDEX)
    names = [name.strip() for name in header[first:]]
    if not names or not all(names) or header[0].strip().lower() == "time" or any(_is_number(name) for name in names):
        return False
    return all(
        len(row) == len(header)
        and all(c.strip() in _CELLS and c.strip() for c in row[first:])
        and (not first or row[0].strip().isdigit())
        for row in rows
    )


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", text, re.IGNORECASE))


def read(reading: Reading) -> Annotations:
    """Runs of ones are bouts, everything but -1 was scored."""
    path, report = reading.path, reading.report
    names, values = _table(reading)
    ignored = [k for k, n in enumerate(names) if n in reading.unscored]
    if ignored:
        holes = (values[:, ignored] == PRESENT).any(axis=1)
        values[holes] = NOT_SCORED
        report.note(f"{int(holes.sum())} frames of {', '.join(names[k] for k in ignored)} count as not scored")
    if BACKGROUND in names and BACKGROUND not in reading.unscored:
        background = values[:, names.index(BACKGROUND)] == PRESENT
        others = (values[:, [k for k, n in enumerate(names) if n != BACKGROUND]] == PRESENT).any(axis=1)
        if (background & others).any():
            report.note(f"{int((background & others).sum())} frames are background and another class; the class counts")
        report.note(
            f"background means that no class was seen; if its {int((background & ~others).sum())} frames were not "
            "looked at, say unscored=['background']"
        )
    keep = [k for k, n in enumerate(names) if n not in (*reading.unscored, BACKGROUND)]
    known = [names[k] for k in keep]
    bouts, scored = matrix_rows(values[:, keep], known)
    if not known and len(values):
        report.note("the table holds no behaviour")
    stem = re.sub(r"_(labels|predictions)$|\.onehot$", "", path.stem)
    # the endings are those of DeepEthogram, but a recording of that very name comes first
    recording = "" if stem == path.stem or path.stem in reading.recordings else stem
    try:
        ethogram = Ethogram(Behavior(name=n) for n in known)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Annotations(
        bouts=frame_table(bouts).assign(recording=recording), scored=frame_table(scored).assign(recording=recording),
        ethogram=ethogram,
    )  # fmt: skip


def _table(reading: Reading) -> tuple[list[str], np.ndarray]:
    """Names of the columns, and their states (frames, columns)."""
    path = reading.path
    text = read_text(path)
    lines = text.splitlines()
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(lines[0] if lines else ""), strict=True)
    names: list[str] | None = None
    index = 0
    numbers: list[int] = []
    states: list[bytes] = []
    code = {cell: (value + 1).to_bytes() for cell, value in _CELLS.items()}
    try:
        for cells in rows:
            cells = [c.strip() for c in cells]
            where = f"{path}, line {rows.line_num}"
            if names is None:
                index = int(cells[0].lower() in _INDEX) if cells else 0
                names = formula_plain(cells[index:])
                if not names or not all(names) or len(set(names)) < len(names):
                    raise ValueError(f"{where}: expected a name for every column, each once, got {cells[:8]}")
                continue
            if not any(cells):
                continue
            if len(cells) != len(names) + index:
                raise ValueError(f"{where}: expected {len(names) + index} cells, got {len(cells)}")
            if index:
                numbers.append(_frame(cells[0], where))
            wrong = next((c for c in cells[index:] if c not in code), None)
            if wrong is not None:
                raise ValueError(f"{where}: expected 0, 1 or -1, got {wrong[:40]!r}")
            states.append(b"".join(code[c] for c in cells[index:]))
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: not a csv table ({error})") from None
    if names is None or not states:
        raise ValueError(f"{path}: expected a row per frame, got none")
    _check_numbers(numbers, reading)
    values = np.frombuffer(b"".join(states), dtype=np.uint8).reshape(len(states), len(names)).astype(np.int8) - 1
    return names, values.astype(np.int8)


def _frame(cell: str, where: str) -> int:
    if not (cell.isascii() and cell.isdigit() and len(cell) < 11):
        raise ValueError(f"{where}: expected the number of a frame, got {cell[:40]!r}")
    return int(cell)


def _check_numbers(numbers: list[int], reading: Reading) -> None:
    if not numbers:
        return
    wrong = np.flatnonzero(np.diff(np.asarray(numbers)) != 1)
    if len(wrong) or numbers[0] not in (0, 1):
        row = int(wrong[0]) + 1 if len(wrong) else 0
        raise ValueError(
            f"{reading.path}, row {row + 1} of the table: expected frames 0, 1, 2, ... without gaps, got {numbers[row]}"
        )
    if numbers[0] == 1:
        reading.report.note("the rows are numbered from 1, which was taken for the first frame")


def write(annotations: Annotations, writing: Writing) -> None:
    """As DeepEthogram has it: ``background`` first, -1 in every cell that was not scored."""
    num_frames = writing.num_frames(annotations)
    values = only_subject(annotations, num_frames, FORMAT.title, writing)
    tell_states(annotations, writing.report)
    if BACKGROUND in annotations.behaviors:
        raise ValueError(f"{writing.name}: a behaviour called 'background' would mean none at all; rename it")
    if any(b.key for b in annotations.ethogram):
        writing.report.lose("keys of the ethogram")
    # none of the others is known only where each of them is known
    background = np.where((values == PRESENT).any(axis=1), ABSENT, PRESENT)
    background = np.where(((values == NOT_SCORED).any(axis=1)) & (background == PRESENT), NOT_SCORED, background)
    with writing.path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["", BACKGROUND, *formula_safe(annotations.behaviors)])
        for number, (none, row) in enumerate(zip(background.tolist(), values.tolist(), strict=True)):
            table.writerow([number, none, *row])
