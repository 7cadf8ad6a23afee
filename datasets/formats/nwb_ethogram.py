"""Bouts in NWB files: ``EthogramBouts`` and ``Ethogram`` of ndx-ethogram 0.1, point events in ``EventsTable``.

Times are seconds of the session's clock; a stop is where the bout ends. There is one table of bouts per scorer
(``annotator``) and way of labelling (``manual``, ``automated``, ``curated``); ``observation_intervals`` are what was
looked at. Columns beyond the schema say the rest, by the names that neuroconv uses where it has one: ``subject``,
``target``, ``modifiers``, ``comment``, ``start_frame``, ``stop_frame``; in the ethogram ``behavior_id``, ``key``,
``color``, ``exclusive_groups``. An observation interval lists what it is true of, entry by entry: ``subject``,
``target``, ``behavior`` (empty: every one) and ``interval`` (the scored interval of which this is a piece). A file
without these columns (of neuroconv, VAME) is read as well. By the schema a table without observation intervals was
assessed throughout; since a file does not say how long that is, nothing counts as scored then.

After the schemas in ndx-ethogram 0.1.0 and pynwb 4.2, and the BORIS interface of neuroconv. Reading needs h5py alone;
writing needs pynwb.
"""

from __future__ import annotations

import json
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from ..annotations import Annotations
from ..bout_operations import as_unscored
from ..bout_rows import BOUT_COLUMNS, empty_table
from ..ethogram import Ethogram
from ..recording import recording_name
from .ethogram_text import ethogram_of
from .h5_guard import open_h5, own_items, read_table
from .label_format import LabelFormat, Reading, Sample, Writing
from .nwb_observed import LISTS, SUBJECTS, check_order, everyone, frames_of, observed, whose
from .nwb_tables import NwbTable, attribute, kind_of, linked, tables_of_type
from .nwb_write import OPTIONS, PROGRAM, write_nwb
from .sleap_file import texts_in

FORMAT = LabelFormat(
    name="nwb-ethogram",
    title="NWB ethogram",
    suffixes=(".nwb",),
    base=0,
    end="exclusive",
    unit="seconds",
    unlabelled="not scored outside of the observation intervals",
    evidence="documentation only",
    writes=True,
    options=OPTIONS,
)
_KNOWN = {*SUBJECTS, "start_time", "stop_time", "label", "target", "start_frame", "stop_frame", "timestamp", "duration",
          "event_type", "annotator", "frame", "row"}  # fmt: skip


def recognise(sample: Sample) -> bool:
    """HDF5 that is an NWB file and holds bouts or a catalogue of ndx-ethogram."""
    if not sample.head.startswith(b"\x89HDF"):
        return False
    try:
        with open_h5(sample.path) as file:
            return kind_of(file) == "NWBFile" and bool(tables_of_type(file, "EthogramBouts", "Ethogram"))
    except ValueError:
        return False


def write(annotations: Annotations, writing: Writing) -> None:
    """A new NWB file, or a copy of ``onto`` with the labels in it."""
    write_nwb(annotations, writing)


def read(reading: Reading) -> Annotations:
    """Every table of bouts, the point events, and what was looked at."""
    path = reading.path
    with open_h5(path) as file:
        tables = [NwbTable(g, str(path)) for g in tables_of_type(file, "EthogramBouts")]
        catalogues = [NwbTable(g, str(path)) for g in tables_of_type(file, "Ethogram")]
        if not tables and not catalogues:
            raise ValueError(f"{path}: expected EthogramBouts or an Ethogram of ndx-ethogram, got none")
        recordings = {name for t in tables if (name := _recording(file, t.group))}
        if len(recordings) > 1:
            raise ValueError(f"{path}: expected bouts of one recording, got {sorted(recordings)}")
        recording = recordings.pop() if recordings else _session(file)
        ethogram = _ethogram(catalogues)
        scorers = _scorers(tables, reading)
        bouts = [_bouts(t, scorer, reading) for t, scorer in zip(tables, scorers, strict=True)]
        labels = list(dict.fromkeys(name for rows in bouts for name in rows["behavior"] if name not in ethogram))
        ethogram = ethogram.merged_with(Ethogram(labels))
        events = [NwbTable(g, str(path)) for g in tables_of_type(file, "EventsTable")] if catalogues else []
        bouts += [_events(t, ethogram, reading) for t in events]
        scored = _scored(file, tables, bouts, scorers, reading)
    found = [rows for rows in bouts if len(rows)]
    rows = _in_order(pd.concat(found, ignore_index=True)) if found else empty_table()
    for column in rows.columns.difference(list(BOUT_COLUMNS)):
        if any(pd.api.types.is_string_dtype(t[column]) for t in found if column in t):
            rows[column] = rows[column].fillna("").astype(str)
    if unknown := sorted(set(scored["behavior"]) - {"", *ethogram.names}):
        raise ValueError(f"{path}: observation intervals speak of {unknown[0]!r}, which is no behaviour of the file")
    if "labeling_method" in rows and set(rows["labeling_method"]) <= {"manual", ""}:
        del rows["labeling_method"]
    rows, scored = rows.assign(recording=recording), scored.assign(recording=recording)
    try:
        annotations = Annotations(bouts=rows, scored=scored, ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return as_unscored(annotations, reading.unscored)


def _method(table: NwbTable) -> str:
    return attribute(table.group, "labeling_method") or "manual"


def _scorers(tables: list[NwbTable], reading: Reading) -> list[str]:
    """Who scored each table; where nobody is named, the program, or the table's own name if there are several."""
    out = [attribute(t.group, "annotator") for t in tables]
    unnamed = [k for k, t in enumerate(tables) if not out[k] and '"recording"' not in attribute(t.group, "parameters")]
    programs = [attribute(tables[k].group, "source_software") for k in unnamed]
    for k, program in zip(unnamed, programs, strict=True):
        out[k] = program if programs.count(program) == 1 else tables[k].group.name.rpartition("/")[2]
    if len(set(programs)) < len(programs):
        reading.report.note("several tables that name no annotator: the name of the table stands for the scorer")
    return out


def _recording(file: Any, group: Any) -> str:
    """As we wrote it, or the name of the video that the bouts are linked to."""
    if name := _recording_in(attribute(group, "parameters")):
        return name
    video = linked(file, group, "source_video")
    files = own_items(video).get("external_file") if hasattr(video, "keys") else None
    names = texts_in(files, str(group.name)) if files is not None else []
    return recording_name(PureWindowsPath(names[0]).name) if names else ""


def _session(file: Any) -> str:
    """Of a file that we wrote without bouts."""
    script = own_items(own_items(file).get("general", {})).get("source_script")
    if script is None or attribute(script, "file_name") != PROGRAM:
        return ""
    return _recording_in(texts_in(script, "source_script")[0])


def _recording_in(text: str) -> str:
    try:
        about = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return ""
    return str(about["recording"]) if isinstance(about, dict) and isinstance(about.get("recording"), str) else ""


def _ethogram(catalogues: list[NwbTable]) -> Ethogram:
    out = Ethogram()
    for table in catalogues:
        names = [name.strip() for name in table.texts("behavior")]
        count = len(names)
        columns = {
            "kind": table.texts("behavior_type", count), "id": table.texts("behavior_id", count),
            "category": table.texts("category", count), "key": table.texts("key", count),
            "color": table.texts("color", count), "exclusive_groups": table.texts("exclusive_groups", count),
            "code": table.texts("code", count),
        }  # fmt: skip
        if "native_code" in table:
            columns["code"] = [str(int(n)) for n in table.numbers("native_code")]
        texts = {n: {c: v[k] for c, v in columns.items()} for k, n in enumerate(names)}
        one = ethogram_of(names, texts, dict(zip(names, table.texts("definition", count), strict=True)))
        if not one.exclusive and bool(table.group.attrs.get("exclusive", False)) and count > 1:
            one = Ethogram(one.behaviors, [one.names])
        elif not one.exclusive and "excludes" in table:
            others = [text.split("|") for text in table.texts("excludes", count)]
            pairs = {
                frozenset((n, o)) for n, words in zip(names, others, strict=True) for o in words if o in one and o != n
            }
            one = Ethogram(one.behaviors, [tuple(sorted(pair, key=names.index)) for pair in sorted(pairs, key=sorted)])
        out = out.merged_with(one)
    return out


def _bouts(table: NwbTable, scorer: str, reading: Reading) -> pd.DataFrame:
    start, stop = table.times("start_time"), table.times("stop_time")
    count = len(start)
    label = [text.strip() for text in table.texts("label", count)]
    if len(stop) != count:
        raise ValueError(f"{table.what}: expected columns of one length")
    if "" in label:
        raise ValueError(f"{table.what}, row {label.index('')}: expected a label, got nothing")
    if (stop <= start).any():
        row = int(np.flatnonzero(stop <= start)[0])
        raise ValueError(
            f"{table.what}, row {row}: expected start_time < stop_time, got {start[row]:g} and {stop[row]:g}"
        )
    frames = frames_of(table, count, "start_frame", "stop_frame")
    check_order(table, start, stop, frames)
    rows = empty_table(behavior=label, start=start, stop=stop, scorer=[scorer] * count, **whose(table, count), **frames)
    return _further(table, rows.assign(labeling_method=_method(table)), reading)


def _events(table: NwbTable, ethogram: Ethogram, reading: Reading) -> pd.DataFrame:
    """Rows of point behaviours; those of states are bouts already, unless nobody said when they end."""
    time = table.times("timestamp")
    count, own = len(time), table.group.name.rpartition("/")[2]
    kind = [k.strip() for k in table.texts("event_type", count)] if "event_type" in table else [own] * count
    point = np.isin(kind, list(ethogram.points)) if count else np.zeros(0, dtype=bool)
    if "duration" in table:
        open_ended = np.isnan(table.numbers("duration").astype(float)) & np.isin(kind, list(ethogram.names)) & ~point
        if open_ended.any():
            reading.report.lose(f"{int(open_ended.sum())} bouts whose stop was never scored")
    rows = empty_table(
        behavior=kind, start=time, stop=time, scorer=table.texts("annotator", count), **whose(table, count),
        **frames_of(table, count, "frame", "frame"),
    )  # fmt: skip
    if not point.any():
        return empty_table()
    return _further(table, rows, reading)[point]


def _scored(
    file: Any, tables: list[NwbTable], bouts: list[pd.DataFrame], scorers: list[str], reading: Reading
) -> pd.DataFrame:
    parts, seen = [empty_table()], set()
    for table, rows, scorer in zip(tables, bouts, scorers, strict=False):
        group = linked(file, table.group, "observation_intervals")
        if group is None and (whole := _of_video(linked(file, table.group, "source_video"))):
            reading.report.note(f"{table.group.name} was assessed throughout: from begin to end of its video")
            parts.append(everyone(rows, scorer, *(np.array([end]) for end in whole)))
            continue
        if group is None:
            reading.report.note(
                f"{table.group.name} was assessed throughout, the file does not say how long: nothing counts as scored"
            )
            continue
        if group.name not in seen:
            parts.append(observed(NwbTable(group, str(reading.path)), rows, scorer))
        seen.add(group.name)
    for group in tables_of_type(file, "TimeIntervals"):  # of a scorer who saw nothing at all
        table = NwbTable(group, str(reading.path))
        if group.name not in seen and {*LISTS, "annotator"} <= set(table.items):
            parts.append(observed(table, empty_table(), ""))
    return _in_order(pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True))


def _of_video(video: Any) -> tuple[float, float] | None:
    """Begin and end of a video that says how many frames it has, and how fast they come."""
    items = own_items(video) if hasattr(video, "keys") else {}
    if not {"num_samples", "starting_time"} <= set(items):
        return None
    start, count = (float(read_table(items[name], name).ravel()[0]) for name in ("starting_time", "num_samples"))
    rate = float(np.ravel(items["starting_time"].attrs.get("rate", 0))[0])
    span = count / rate if rate > 0 else 0.0
    return (start, start + span) if 0 < span < 1e9 and np.isfinite(start) else None


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """As they were before they were told apart by scorer, where the file says how that was."""
    if "row" not in rows:
        return rows
    if rows["row"].notna().all() and not rows["row"].duplicated().any():
        rows = rows.sort_values("row", ignore_index=True)
    return rows.drop(columns="row")


def _further(table: NwbTable, rows: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    ids = table.anything("id", len(rows))
    if ids is not None:
        rows["row"] = ids
    for name in (c for c in table.columns if c not in _KNOWN and not c.endswith("_index")):
        values = table.anything(name, len(rows))
        if values is None or name in BOUT_COLUMNS:
            reading.report.lose(f"column {name!r} of {Path(table.group.name).name}")
        else:
            rows[name] = values
    return rows
