"""The bout table as a csv file: one row per bout or scored interval. The toolkit's own format.

Columns are those of ``Annotations.bouts`` and a column ``kind``: ``bout``, ``scored`` for an interval in which a
behaviour was looked for, or ``point`` for a point event. A behaviour that was looked for and never seen thus has its
row too. A file needs only ``behavior, start_frame, stop_frame`` (or ``start, stop`` in seconds); ``;`` or tabs as
separators and a byte-order mark are read as well, since people edit such files in spreadsheets. Frames are 0-based and
half-open. Cells are text: the recording ``001`` stays ``001`` and an animal may be called ``NA``; spaces around a cell
do not count and an empty cell is a missing value. Text that a spreadsheet would take for a formula is written with a
``'`` in front.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..annotations import Annotations, spelled_out
from ..bout_operations import as_unscored
from ..bout_rows import BOUT_COLUMNS, FRAME_COLUMNS, SECOND_COLUMNS, TEXT_COLUMNS, WHOLE_VIEW
from ..ethogram import Behavior, Ethogram
from .guarded import csv_cells, formula_plain, formula_safe
from .label_format import LabelFormat, Reading, Sample, Writing

FORMAT = LabelFormat(
    name="bouts",
    title="bout table (csv)",
    suffixes=(".bouts.csv", ".csv", ".bouts.tsv", ".bouts.txt"),
    base=0,
    end="exclusive",
    unit="both",
    unlabelled="not scored, unless a row of kind 'scored' says so",
    evidence="real files",
    several=True,
    writes=True,
)
KIND = "kind"
_TRUTH = {"True": True, "False": False, "TRUE": True, "FALSE": False, "": False}  # spreadsheets write it large


def recognise(sample: Sample) -> bool:
    """A header with ``behavior`` and both ends in frames or in seconds."""
    if not sample.lines:
        return False
    separator = max(",;\t", key=sample.lines[0].count)
    header = {cell.strip().strip('"') for cell in sample.lines[0].split(separator)}
    named = bool({"behavior", "behaviour"} & header)
    return named and bool(set(FRAME_COLUMNS) <= header or set(SECOND_COLUMNS) <= header)


def write(annotations: Annotations, writing: Writing) -> None:
    """One table of both; what was scored for everything becomes one row per behaviour, so that the file names them."""
    if KIND in {*annotations.bouts.columns, *annotations.scored.columns}:
        raise ValueError(f"{writing.name}: a column of the bouts is called {KIND!r}; rename it")
    full = spelled_out(annotations)
    point = full.bouts["behavior"].isin(full.ethogram.points)
    bouts = full.bouts.assign(**{KIND: np.where(point, "point", "bout")})
    parts = [part for part in (full.scored.assign(**{KIND: "scored"}), bouts) if len(part)]
    table = pd.concat(parts, ignore_index=True) if parts else bouts
    table = table[[KIND, *BOUT_COLUMNS, *(c for c in table.columns if c not in (KIND, *BOUT_COLUMNS))]]
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            # cells repeat: the few different ones are looked at
            codes, cells = pd.factorize(table[column].to_numpy(dtype=object))
            if (safe := formula_safe(cells)) != list(cells):
                table[column] = np.asarray([*safe, ""], dtype=object)[codes]
    seen = set(table["behavior"].unique())
    if unseen := [b for b in annotations.behaviors if b not in seen]:
        writing.report.lose(f"behaviours without a row: {', '.join(unseen)}")
    if any(b != Behavior(name=b.name) for b in annotations.ethogram):
        writing.report.lose("keys, colours, definitions and categories of the ethogram")
    if annotations.ethogram.exclusive:
        writing.report.lose("which behaviours exclude each other")
    table.columns = formula_safe(table.columns)
    separator = "\t" if writing.name.lower().endswith((".tsv", ".txt")) else ","
    table.to_csv(writing.path, index=False, sep=separator, float_format="%.15g")


def read(reading: Reading) -> Annotations:
    """Rows as they are; line numbers in every error."""
    path = reading.path
    table = _table(path)
    if "behavior" not in table and "behaviour" in table:
        table = table.rename(columns={"behaviour": "behavior"})
    if "behavior" not in table:
        raise ValueError(f"{path}: expected a column 'behavior', got {list(table.columns)}")
    for column in TEXT_COLUMNS:
        value = WHOLE_VIEW if column == "individual" else ""
        if column not in table:
            table[column] = value
        table[column] = table[column].where(table[column] != "", value)
    if KIND not in table:
        table[KIND] = "bout"
    wrong = ~table[KIND].isin(["bout", "point", "scored"])
    if wrong.any():
        raise ValueError(
            f"{path}, line {_line(wrong)}: expected kind 'bout', 'point' or 'scored', "
            f"got {table[KIND][wrong].iloc[0]!r}"
        )
    nameless = (table["behavior"] == "") & (table[KIND] != "scored")
    if nameless.any():
        raise ValueError(f"{path}, line {_line(nameless)}: expected the name of a behaviour, got an empty cell")
    known = [b for b in table["behavior"].unique() if b]
    points = set(table["behavior"][table[KIND] == "point"])
    if mixed := points & set(table["behavior"][table[KIND] == "bout"]):
        raise ValueError(f"{path}: {sorted(mixed)[0]!r} stands as bout and as point event, expected one of the two")
    if not known:
        raise ValueError(f"{path}: expected bouts or scored intervals of some behaviour, got none")
    table = _with_numbers(table, path)
    ignored = table["behavior"].isin(reading.unscored)
    if ignored.any():
        reading.report.note(f"{int(ignored.sum())} rows of {', '.join(reading.unscored)} left out, as not scored")
    _type_predictions(table)
    kind = table.pop(KIND)
    ethogram = Ethogram(Behavior(name=b, kind="point" if b in points else "state") for b in known)
    try:
        found = Annotations(
            bouts=table[kind != "scored"], scored=table[kind == "scored"][list(BOUT_COLUMNS)], ethogram=ethogram
        )
        return as_unscored(found, reading.unscored)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _type_predictions(table: pd.DataFrame) -> None:
    """The columns of predictions as truth and numbers; as text, a prediction would pass for what a person saw."""
    if "predicted" in table and set(table["predicted"]) <= set(_TRUTH):
        table["predicted"] = table["predicted"].map(_TRUTH).astype(bool)
    if "score" in table:
        scores = pd.to_numeric(table["score"], errors="coerce")
        if (scores.notna() == (table["score"] != "")).all():
            table["score"] = scores.astype("float64")


def _table(path: Path) -> pd.DataFrame:
    cells = csv_cells(path)
    if not len(cells):
        raise ValueError(f"{path}: not a csv table (it is empty)")
    header = formula_plain(cells.iloc[0])
    while header and not header[-1]:  # a trailing comma
        header.pop()
    columns = [c for c in header if c]  # a column without a name is a spreadsheet's row number
    twice = [c for c in columns if columns.count(c) > 1]
    if twice:
        raise ValueError(f"{path}: expected every column once, got {twice[0]!r} {columns.count(twice[0])} times")
    body = cells.iloc[1:]
    over = (body.iloc[:, len(header) :] != "").any(axis=1)
    if over.any():
        count = int(np.flatnonzero((body[over].iloc[0] != "").to_numpy())[-1]) + 1
        raise ValueError(f"{path}, line {_line(over)}: expected {len(header)} cells, got {count}")
    table = pd.DataFrame({name: body.iloc[:, k] for k, name in enumerate(header) if name}, index=body.index)
    for column in columns:
        if column not in (*FRAME_COLUMNS, *SECOND_COLUMNS):
            # cells repeat: the few different ones are looked at
            codes, texts = pd.factorize(table[column].to_numpy(dtype=object))
            table[column] = np.asarray(formula_plain(texts), dtype=object)[codes]
    return table


def _with_numbers(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Frames and seconds as numbers; a row needs one pair, and its ends in order."""
    known = {}
    for pair in (FRAME_COLUMNS, SECOND_COLUMNS):
        for column in pair:
            table[column] = _numbers(table, column, path) if column in table else np.nan
        start, stop = (table[column] for column in pair)
        half = start.isna() != stop.isna()
        if half.any():
            raise ValueError(f"{path}, line {_line(half)}: expected {pair[0]} and {pair[1]}, got only one of them")
        known[pair] = start.notna()
    bare = ~(known[FRAME_COLUMNS] | known[SECOND_COLUMNS])
    if bare.any():
        raise ValueError(
            f"{path}, line {_line(bare)}: expected numbers in the columns start_frame and stop_frame "
            "(or start and stop)"
        )
    point = table[KIND] == "point"
    for pair in (FRAME_COLUMNS, SECOND_COLUMNS):
        start, stop = (table[column] for column in pair)
        strict = pair is FRAME_COLUMNS or ~known[FRAME_COLUMNS]
        wrong = known[pair] & (~point & ((stop < start) | (strict & (stop == start))) | point & (stop != start))
        if wrong.any():
            relation = "=" if point[wrong].iloc[0] else "<"
            raise ValueError(
                f"{path}, line {_line(wrong)}: expected {pair[0]} {relation} {pair[1]}, "
                f"got {start[wrong].iloc[0]:g} and {stop[wrong].iloc[0]:g}"
            )
    for column in FRAME_COLUMNS:
        table[column] = table[column].astype("Int64")
    return table


def _numbers(table: pd.DataFrame, name: str, path: Path) -> pd.Series:
    cells = table[name]
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    wrong = ~(numbers.abs() < np.inf) & (cells != "")
    kind = "seconds"
    if name in FRAME_COLUMNS:
        kind = "a whole number from 0 on"
        wrong |= (numbers % 1 != 0) & (cells != "") | (numbers < 0) | (numbers > 1e15)
    if wrong.any():
        raise ValueError(f"{path}, line {_line(wrong)}: expected {name} as {kind}, got {cells[wrong].iloc[0]!r}")
    return numbers


def _line(wrong: pd.Series) -> int:
    """Line of the file of the first wrong row."""
    return int(wrong.index[wrong][0])
