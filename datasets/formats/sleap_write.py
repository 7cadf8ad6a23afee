"""Labels as events of SLEAP's files: see `sleap_events` for what they hold."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from ..annotations import Annotations
from ..bout_rows import BOUT_COLUMNS, WHOLE_VIEW
from ..recording import recording_name
from .ethogram_text import texts_of
from .h5_guard import open_h5, own_items
from .label_format import Writing
from .sleap_file import json_lines, recording_of

OWN = ("predicted", "score", "name")  # further columns that have a place of their own in an event


def write_sleap_events(annotations: Annotations, writing: Writing) -> None:
    """Events into a new file, or into a copy of ``onto`` in which nothing else changes.

    Parameters
    ----------
    annotations : Annotations
        Rows in frames.
    writing : Writing
        Where to.

    Raises
    ------
    ValueError
        If ``onto`` is no such file or has no video of a recording.
    """
    sio: Any = importlib.import_module("sleap_io")
    report = writing.report
    if writing.onto is not None:
        with open_h5(writing.onto) as file:  # one clear line where it is no such file
            if not {"metadata", "videos_json", "tracks_json"} <= set(file):
                raise ValueError(f"{writing.onto}: expected a .slp file to add events to")
        shutil.copyfile(writing.onto, writing.path)
        try:
            labels = sio.load_slp(str(writing.path), open_videos=False, lazy=True)
        except Exception as error:  # sleap-io raises whatever it meets
            raise ValueError(f"{writing.onto}: sleap-io cannot read it ({' '.join(str(error).split())})") from None
        report.note(f"added to what {writing.onto.name} holds already; the rest of that file is as it was")
    else:
        labels = sio.Labels()
    videos = _videos(sio, labels, annotations, writing)
    types = {one.name: one for one in labels.event_types}
    texts = texts_of(annotations.ethogram)
    for b in annotations.ethogram:
        if b.name not in types:
            about = {field: text for field, text in texts[b.name].items() if text}
            types[b.name] = sio.EventType(name=b.name, description=b.definition, metadata=about)
            labels.event_types.append(types[b.name])
        elif types[b.name].metadata.get("kind", "state") != b.kind:
            raise ValueError(f"{writing.onto}: has {b.name!r}, which is no {b.kind} there")
    people = {one.name: one for one in (*reversed(labels.tracks), *reversed(labels.identities))}
    bouts = annotations.bouts
    for name in dict.fromkeys([*bouts["individual"], *bouts["target"]]):
        if name not in ("", WHOLE_VIEW) and name not in people:
            people[name] = sio.Identity(name=name)
            labels.identities.append(people[name])
    _say_lost(annotations, writing)
    labels.events.extend(_events(sio, annotations, videos, types, people))
    if writing.onto is None:
        labels.save(str(writing.path), embed=False, verbose=False)
    else:
        _store(writing.path, labels)


def _videos(sio: Any, labels: Any, annotations: Annotations, writing: Writing) -> dict[str, Any]:
    if writing.onto is None:
        names = annotations.recordings or ("",)
        stem = recording_name(writing.name)
        labels.videos.extend(sio.Video(filename=f"{name or stem}.mp4", open_backend=False) for name in names)
        writing.report.note(
            "videos are named <recording>.mp4, which is a guess; load the poses' .slp with onto= instead"
        )
        return dict(zip(names, labels.videos, strict=True))
    known: dict[str, Any] = {}
    with open_h5(writing.onto) as file:
        for k, one in enumerate(json_lines(own_items(file), "videos_json", writing.onto)):
            known.setdefault(recording_of(file, k, one), labels.videos[k])
    if len(labels.videos) == 1:
        known.setdefault("", labels.videos[0])
    if unknown := [name for name in annotations.recordings if name not in known]:
        raise ValueError(f"{writing.onto}: expected a video of {unknown[0]!r}, got {sorted(known)}")
    return known


def _events(sio: Any, annotations: Annotations, videos: Any, types: Any, people: Any) -> list[Any]:
    bouts = annotations.bouts
    notes = [c for c in bouts if c not in (*BOUT_COLUMNS, *OWN) and pd.api.types.is_string_dtype(bouts[c])]
    events = []
    for row in bouts.to_dict("records"):
        about = {key: row[key] for key in notes if isinstance(row[key], str) and row[key]}
        common = {
            "type": types[row["behavior"]], "video": videos[row["recording"]], "start_frame": row["start_frame"],
            "end_frame": max(row["stop_frame"] - 1, row["start_frame"]), "subject": people.get(row["individual"]),
            "target": people.get(row["target"]), "source": row["scorer"], "metadata": about,
        }  # fmt: skip
        if isinstance(row.get("name"), str):
            common["name"] = row["name"]
        if row.get("predicted") is True:
            score = row.get("score")
            events.append(sio.PredictedEvent(**common, score=None if score is None or pd.isna(score) else float(score)))
        else:
            events.append(sio.UserEvent(**common))
    return events


def _say_lost(annotations: Annotations, writing: Writing) -> None:
    bouts, report = annotations.bouts, writing.report
    if len(annotations.scored):
        report.lose(f"{len(annotations.scored)} scored intervals: a .slp cannot tell absent from not scored")
    if bouts["start"].notna().any():
        report.lose("times in seconds; they come back with the recording")
    if (bouts["individual"] == "").any():
        report.lose("individuals without a name become the whole view")
    further = [c for c in bouts if c not in (*BOUT_COLUMNS, *OWN)]
    if dull := [c for c in further if not pd.api.types.is_string_dtype(bouts[c])]:
        report.lose(f"columns that are no text: {', '.join(map(str, dull))}")
    if "score" in bouts and (bouts["score"].notna() & (bouts.get("predicted", False) != True)).any():  # noqa: E712
        report.lose("scores of rows that are not marked as predicted")


def _store(path: Path, labels: Any) -> None:
    """Write the catalogues and events anew; poses, pictures and whatever else the file holds stay untouched."""
    import h5py

    slp: Any = importlib.import_module("sleap_io.io.slp")
    with h5py.File(path, "r+") as file:
        for name in ("events", "event_types"):
            if name in file:
                del file[name]
        for name in ("name", "meta_owner", "meta_key", "meta_val"):
            if f"identity/{name}" in file:
                del file[f"identity/{name}"]
    slp.write_identities(str(path), labels.identities)
    slp.write_event_types(str(path), labels.event_types)
    slp.write_events(str(path), labels.events, labels.videos, labels.event_types, labels.tracks, labels.identities)
