"""Annotations as a project of BORIS, format 7.0, with every key that BORIS looks for.

BORIS has one observed interval per observation. What was scored beyond that goes to a key of our own at the top of the
project, which BORIS carries along and does not read.
"""

from __future__ import annotations

import datetime
import gzip
import json
from typing import Any

import pandas as pd

from ..annotations import Annotations
from ..ethogram import behavior_id
from .boris_ethogram import behaviors_conf, table_of
from .boris_events import NO_SUBJECT, TARGET_SET
from .boris_observations import media_name
from .boris_write import Written, observations_to_write
from .guarded import read_json
from .label_format import Writing

OWN_KEY = "behavior_prism"
_FORBIDDEN = set("(|),`~")  # in modifiers, as BORIS edits them


def write_project(annotations: Annotations, writing: Writing) -> None:
    """Write a project, or the one given as ``onto`` with more observations in it.

    Parameters
    ----------
    annotations : Annotations
        With seconds.
    writing : Writing
        Where to, and the report.
    """
    project = _base(writing)
    written = observations_to_write(annotations, writing)
    _ethogram(project, annotations, written, writing)
    subjects = {str(s.get("name")) for s in project["subjects_conf"].values() if isinstance(s, dict)}
    wanted = [r["subject"] for o in written for r in o.rows]
    for name in dict.fromkeys(wanted):
        if name not in (*subjects, NO_SUBJECT):
            project["subjects_conf"][_free(project["subjects_conf"])] = {"key": "", "name": name, "description": ""}
    if any(o.scorer for o in written):
        labels = {str(v.get("label")) for v in project["independent_variables"].values() if isinstance(v, dict)}
        if "scorer" not in labels:
            project["independent_variables"][_free(project["independent_variables"])] = {
                "label": "scorer", "description": "who observed", "type": "text", "default value": "",
                "possible values": "",
            }  # fmt: skip
    known = _media_of(project)
    own: dict[str, Any] = dict(project.get(OWN_KEY, {}))
    for o in written:
        name, number = o.id, 2
        while name in project["observations"]:
            name, number = f"{o.id} ({number})", number + 1
        project["observations"][name] = _observation(o, known.get(o.recording))
        fields: dict[str, Any] = {}
        if media_name(o.media) != o.recording and o.recording not in known:
            fields["recording"] = o.recording
        if o.scored != o.native:
            fields["scored"] = sorted(o.scored)
            writing.report.note(
                "scored intervals that BORIS has no field for are kept in the project under a key that it does not read"
            )
        if fields:
            own[name] = fields
    if own:
        project[OWN_KEY] = own
    writing.report.note("times are kept to a microsecond; BORIS itself rounds them to a millisecond")
    text = json.dumps(project).encode("ascii")
    writing.path.write_bytes(gzip.compress(text, mtime=0) if writing.name.lower().endswith(".gz") else text)


def _base(writing: Writing) -> dict[str, Any]:
    project: dict[str, Any] = {
        "time_format": "hh:mm:ss",
        "project_date": datetime.datetime.now().isoformat(timespec="seconds"),
        "project_name": writing.name.removesuffix(".gz").removesuffix(".boris"),
        "project_description": "",
        "project_format_version": "7.0",
        "subjects_conf": {},
        "behaviors_conf": {},
        "observations": {},
        "behavioral_categories": [],
        "behavioral_categories_config": {},
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    if writing.onto is not None:
        given = read_json(writing.onto, nan=True)
        if not isinstance(given, dict) or not {"behaviors_conf", "observations"} <= set(given):
            raise ValueError(f"{writing.onto}: not a BORIS project (it lacks 'behaviors_conf' or 'observations')")
        project.update(given)
        tables = ("subjects_conf", "behaviors_conf", "observations", "independent_variables", OWN_KEY)
        for key in tables:
            if key in project:
                project[key] = table_of(project[key], f"{writing.onto}, {key}")
    return project


def _free(table: dict[str, Any]) -> str:
    return str(max((int(k) for k in table if k.isdecimal()), default=-1) + 1)


def _ethogram(project: dict[str, Any], annotations: Annotations, written: list[Written], writing: Writing) -> None:
    values: dict[str, list[dict[str, None]]] = {}
    directed = set()
    for row in (r for o in written for r in o.rows):
        parts = row["modifiers"].split("|") if row["modifiers"] else []
        sets = values.setdefault(row["behavior"], [])
        sets += [{} for _ in range(len(parts) - len(sets))]
        for k, part in enumerate(parts):
            if part not in ("", "None"):
                sets[k][part] = None
        if row["target"]:
            directed.add(row["behavior"])
    if any(_FORBIDDEN & set(v) for sets in values.values() for one in sets for v in one):
        writing.report.note(f"modifiers hold characters that BORIS forbids: {''.join(sorted(_FORBIDDEN))}")
    named = {
        b: [(TARGET_SET if k == 0 and b in directed else "", list(v)) for k, v in enumerate(sets)]
        for b, sets in values.items()
    }
    there = {str(b.get("code")).strip() for b in project["behaviors_conf"].values() if isinstance(b, dict)}
    keys = {str(b.get("key")) for b in project["behaviors_conf"].values() if isinstance(b, dict)}
    for fields in behaviors_conf(annotations.ethogram, named).values():
        if fields["code"] not in there:
            fields["key"] = "" if fields["key"] in keys else fields["key"]
            project["behaviors_conf"][_free(project["behaviors_conf"])] = fields
    categories = list(project["behavioral_categories"] or [])
    categories += [c for c in dict.fromkeys(b.category for b in annotations.ethogram) if c and c not in categories]
    project["behavioral_categories"] = categories
    config = table_of(project["behavioral_categories_config"], f"{writing.name}, behavioral_categories_config")
    shown = {str(c.get("name")) for c in config.values() if isinstance(c, dict)}
    for category in categories:
        if category not in shown:
            config[_free(config)] = {"name": category, "color": ""}
    project["behavioral_categories_config"] = config
    if any("," in name for group in annotations.ethogram.exclusive for name in group):
        writing.report.lose("which behaviours exclude each other, where a name has a comma")
    if any(b.code is not None or b.id != behavior_id(b.name) for b in annotations.ethogram):
        writing.report.lose("ids and codes of behaviours")


def _media_of(project: dict[str, Any]) -> dict[str, tuple[str, float, float]]:
    """Path, length and rate of the videos that a given project has already, by recording."""
    out = {}
    for fields in project["observations"].values():
        files = fields.get("file") if isinstance(fields, dict) else None
        info = fields.get("media_info") if isinstance(fields, dict) else None
        paths = files.get("1") if isinstance(files, dict) else None
        if isinstance(paths, list) and len(paths) == 1 and isinstance(info, dict):
            length, fps = (info.get(k, {}).get(paths[0]) for k in ("length", "fps"))
            if isinstance(length, (int, float)) and isinstance(fps, (int, float)):
                out[media_name(str(paths[0]))] = (str(paths[0]), float(length), float(fps))
    return out


def _observation(o: Written, known: tuple[str, float, float] | None) -> dict[str, Any]:
    media, length, fps = known or (o.media, o.length, o.fps)
    events = []
    # all or none: BORIS sorts events, and cannot sort a number and a text
    known_frames = not any(pd.isna(f) for row in o.rows for f in row["frames"])
    for row in o.rows:
        subject = "" if row["subject"] == NO_SUBJECT else row["subject"]
        frames = [int(f) if known_frames else "NA" for f in row["frames"]]
        ends = [(row["start"], row["comment"], frames[0]), (row["stop"], row["comment_stop"], frames[1])]
        for time, comment, frame in ends[: 1 if row["point"] else 2]:
            events.append([time, subject, row["behavior"], row["modifiers"], comment, frame])
    order = {id(event): k for k, event in enumerate(events)}
    events.sort(key=lambda event: (event[0], order[id(event)]))
    whole = o.whole and known is None
    return {
        "file": {"1": [media], **{str(player): [] for player in range(2, 9)}},
        "type": "MEDIA",
        "date": o.date,
        "description": "",
        "time offset": 0.0,
        "events": events,
        "observation time interval": [0, 0] if whole else list(o.interval),
        "independent_variables": {"scorer": o.scorer} if o.scorer else {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {media: length},
            "fps": {media: fps},
            "hasVideo": {media: True},
            "hasAudio": {media: False},
            "offset": {"1": 0.0},
            "display": {media: "Nothing"},
        },
    }
