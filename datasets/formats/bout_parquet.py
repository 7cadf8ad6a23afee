"""The bout table as a parquet file, with which nothing is lost: the toolkit's own format for large tables.

One row per bout, point event or scored interval (column ``kind``, as in the csv form), frames 0-based and half-open,
with seconds where they are known. The file's key-value metadata holds, under ``behavior_prism.bouts``, JSON with the
version of this layout, the whole ethogram (ids, kinds, keys, colours, definitions, categories, codes, groups that
exclude each other) and which columns belong to bouts and which to scored intervals. A parquet table of other tools is
read too if it has ``behavior`` and both ends in frames or in seconds.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..annotations import Annotations
from ..bout_operations import as_unscored
from ..bout_rows import (
    BOUT_COLUMNS,
    FRAME_COLUMNS,
    SECOND_COLUMNS,
    TEXT_COLUMNS,
    WHOLE_VIEW,
    empty_table,
)
from ..ethogram import Behavior, Ethogram
from .guarded import MAX_BYTES, check_file
from .label_format import LabelFormat, Reading, Sample, Writing

FORMAT = LabelFormat(
    name="bouts-parquet",
    title="bout table (parquet)",
    suffixes=(".bouts.parquet", ".parquet"),
    base=0,
    end="exclusive",
    unit="both",
    unlabelled="not scored, unless a row of kind 'scored' says so",
    evidence="real files",
    several=True,
    writes=True,
)
KEY, VERSION, KIND = b"behavior_prism.bouts", 1, "kind"
MAX_ROWS = 50_000_000


def recognise(sample: Sample) -> bool:
    """A parquet file with our metadata, or with ``behavior`` and both ends in frames or in seconds."""
    if not sample.head.startswith(b"PAR1"):
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(sample.path)
    except (pa.ArrowException, OSError, ValueError):
        return False
    names = set(schema.names)
    pair = set(FRAME_COLUMNS) <= names or set(SECOND_COLUMNS) <= names
    return KEY in (schema.metadata or {}) or ("behavior" in names and pair)


def write(annotations: Annotations, writing: Writing) -> None:
    """Bouts and scored intervals as one table; columns of either keep their types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    point = annotations.bouts["behavior"].isin(annotations.ethogram.points)
    tables = {
        "bouts": annotations.bouts.assign(**{KIND: np.where(point, "point", "bout")}),
        "scored": annotations.scored.assign(**{KIND: "scored"}),
    }
    if KIND in {*annotations.bouts.columns, *annotations.scored.columns}:
        raise ValueError(f"{writing.name}: a column of the bouts is called {KIND!r}; rename it")
    try:
        parts = {name: pa.Table.from_pandas(table, preserve_index=False) for name, table in tables.items()}
        whole = pa.concat_tables(parts.values(), promote_options="default")
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{writing.name}: a column holds values that parquet cannot ({reason})") from None
    about = {
        "version": VERSION,
        "behaviors": [asdict(b) for b in annotations.ethogram],
        "exclusive": annotations.ethogram.exclusive,
        "columns": {name: [c for c in part.column_names if c != KIND] for name, part in parts.items()},
        "pandas": {name: json.loads(part.schema.metadata[b"pandas"]) for name, part in parts.items()},
    }
    text = json.dumps(about, ensure_ascii=False, allow_nan=False).encode()
    pq.write_table(whole.replace_schema_metadata({KEY: text}), writing.path, compression="zstd")


def read(reading: Reading) -> Annotations:
    """Rows as they are, with all that was known of them."""
    path = reading.path
    table, metadata = _table(path)
    try:
        found = _ours(table, metadata[KEY]) if KEY in metadata else _anyone(table.to_pandas(), reading)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: {reason}") from None
    ignored = [b for b in reading.unscored if b in found.ethogram]
    if ignored:
        reading.report.note(f"{', '.join(ignored)} taken to mean that nobody looked")
    return as_unscored(found, ignored)


def _table(path: Path) -> tuple[Any, dict[bytes, bytes]]:
    """The arrow table, of flat columns and bounded size."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    check_file(path)
    try:
        file = pq.ParquetFile(path)
        schema, rows = file.schema_arrow, file.metadata.num_rows
        if len(set(schema.names)) < len(schema.names):
            raise ValueError("expected every column once")
        if nested := [f.name for f in schema if pa.types.is_nested(f.type)]:
            raise ValueError(f"expected one value in a cell, the column {nested[0]!r} holds several")
        if rows > MAX_ROWS or rows * len(schema) * 8 > 8 * MAX_BYTES:
            raise ValueError(f"expected at most {MAX_ROWS:,} rows, the file claims {rows:,} of {len(schema)} columns")
        text = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
                or pa.types.is_binary(f.type) or pa.types.is_large_binary(f.type)]  # fmt: skip
        # few values told many times are short in the file: their lengths are added up before they are spelled out
        table = pq.read_table(path, read_dictionary=text)
        length = 0
        for column in (c for c in table.columns if pa.types.is_dictionary(c.type)):
            for chunk in column.chunks:
                lengths = pc.binary_length(chunk.dictionary)  # pyright: ignore[reportAttributeAccessIssue]
                total = pc.sum(lengths.take(chunk.indices))  # pyright: ignore[reportAttributeAccessIssue]
                length += total.as_py() or 0
        if length > MAX_BYTES:
            raise ValueError(f"its text unpacks to {length >> 20} MiB, expected at most {MAX_BYTES >> 20} MiB")
        table = table.cast(pa.schema([f.with_type(pa.large_string()) if f.name in text else f for f in table.schema]))
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: not a readable parquet table ({reason})") from None
    return table, dict(schema.metadata or {})


def _ours(table: Any, metadata: bytes) -> Annotations:
    about = json.loads(metadata)
    if about["version"] != VERSION:
        raise ValueError(
            f"expected version {VERSION} of the layout, got {about['version']!r}; a newer program wrote it"
        )
    ethogram = Ethogram((Behavior(**b) for b in about["behaviors"]), about["exclusive"])
    kinds = table[KIND].to_numpy(zero_copy_only=False)
    if wrong := set(kinds) - {"bout", "point", "scored"}:
        raise ValueError(f"expected kind 'bout', 'point' or 'scored', got {sorted(map(str, wrong))[0]!r}")
    parts = []
    for name, rows in (("bouts", kinds != "scored"), ("scored", kinds == "scored")):
        part = table.filter(rows).select(about["columns"][name])
        part = part.replace_schema_metadata({b"pandas": json.dumps(about["pandas"][name]).encode()})
        parts.append(_checked(part.to_pandas()))
    points = parts[0]["behavior"].isin(ethogram.points).to_numpy()
    if (points != (kinds[kinds != "scored"] == "point")).any():
        raise ValueError("a row is a point event where its behaviour is a state, or the other way round")
    return Annotations(bouts=parts[0], scored=parts[1], ethogram=ethogram)


def _anyone(table: pd.DataFrame, reading: Reading) -> Annotations:
    """A table without our metadata: what csv has, typed."""
    if KIND not in table:
        table[KIND] = "bout"
    if wrong := set(table[KIND].dropna()) - {"bout", "point", "scored"}:
        raise ValueError(f"expected kind 'bout', 'point' or 'scored', got {sorted(map(str, wrong))[0]!r}")
    for column in TEXT_COLUMNS:
        value = WHOLE_VIEW if column == "individual" else ""
        cells = table[column].astype("str") if column in table else pd.Series(value, index=table.index, dtype="str")
        table[column] = cells.where(cells.notna() & (cells != ""), value)
    nothing = empty_table()
    table = table.assign(**{c: nothing[c].reindex(table.index) for c in BOUT_COLUMNS if c not in table})
    kind = table.pop(KIND)
    if (nameless := (table["behavior"] == "") & (kind != "scored")).any():
        raise ValueError(f"row {int(np.flatnonzero(nameless)[0])}: expected the name of a behaviour, got nothing")
    known = [b for b in table["behavior"].unique() if b]
    points = set(table["behavior"][kind == "point"])
    if mixed := points & set(table["behavior"][kind == "bout"]):
        raise ValueError(f"{sorted(mixed)[0]!r} stands as bout and as point event, expected one of the two")
    reading.report.note("no ethogram in the file: behaviours in order of appearance")
    ethogram = Ethogram(Behavior(name=b, kind="point" if b in points else "state") for b in known)
    table = _checked(table)
    return Annotations(
        bouts=table[kind != "scored"], scored=table[kind == "scored"][list(BOUT_COLUMNS)], ethogram=ethogram
    )


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    for column in FRAME_COLUMNS:
        frames = pd.to_numeric(table[column]).astype("float64")
        if (frames % 1 > 0).any() or (frames.abs() > 1e15).any():
            raise ValueError(f"expected {column} as whole numbers from 0 on, got {frames[frames % 1 != 0].max():g}")
    return table
