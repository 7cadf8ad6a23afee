"""Projects of BORIS (``.boris``, ``.boris.gz``): JSON with an ethogram, subjects and any number of observations.

Format 7.0, and older ones as far as they are alike. ``observations[id]["events"]`` holds ``[time, subject, code,
modifiers, comment, frame index]`` (old ones without the frame index; images have an index and a path), in seconds
with three digits. Starts and stops are told by their order alone, see :mod:`boris_events`; the stop is exclusive.
Frame indices of media are what the player estimated and are not used. Images count from 1. The length of the media,
or the observation time interval, is what was looked at; a live observation was looked at up to its last event.
Several media files of the first player follow each other in time; further players show the same time. An observation
in which a state has no stop (nobody can tell which press is missing) is left out and told, as in BORIS' own analyses,
and refused if it is the one that is asked for. There is no field for who observed: an independent variable named
scorer, observer, coder, rater or annotator is taken for it. A modifier set named ``target`` holds the other animal.
The description is that of BORIS' source (``config.py``, ``project_functions.py``, ``event_operations.py``) and of its
test projects.
"""

from __future__ import annotations

import re
from typing import Any

from ..annotations import Annotations
from .boris_ethogram import Conf, table_of, text_of
from .boris_events import SCORER_VARIABLES, Press, rows_of, seconds_of, subject_of, tidy_modifiers
from .boris_observations import Observation, annotations_of, media_name
from .boris_project_write import OWN_KEY, write_project
from .frame_rows import frame_number
from .guarded import read_json
from .label_format import LabelFormat, Reading, Sample, Writing

FORMAT = LabelFormat(
    name="boris",
    title="BORIS project",
    suffixes=(".boris", ".boris.gz"),
    base=None,
    end="exclusive",
    unit="seconds",
    unlabelled="absent within the observed interval, not scored elsewhere",
    evidence="real files",
    several=True,
    writes=True,
)
_MARKS = ("time_format", "project_date", "project_name", "project_format_version", "behaviors_conf", "subjects_conf")
_FIRST_PLAYER = "1"


def recognise(sample: Sample) -> bool:
    """JSON with keys that only BORIS has."""
    text = sample.text.lstrip()
    if not text.startswith("{"):
        return False
    found = [mark for mark in _MARKS if re.search(rf'"{mark}"\s*:', text)]
    return len(found) > 2 or (sample.suffix in FORMAT.suffixes and bool(found))


def write(annotations: Annotations, writing: Writing) -> None:
    """A project that BORIS opens; into the one that is given, if one is."""
    write_project(annotations, writing)


def read(reading: Reading) -> Annotations:
    """Every observation whose states are paired."""
    path = str(reading.path)
    project = read_json(reading.path, nan=True)
    if not isinstance(project, dict) or not {"behaviors_conf", "observations"} <= set(project):
        raise ValueError(f"{path}: not a BORIS project (it lacks 'behaviors_conf' or 'observations')")
    conf = Conf(project["behaviors_conf"], path, reading.report)
    own = table_of(project.get(OWN_KEY), f"{path}, {OWN_KEY}")
    _lost(project, reading)
    observations, unpaired = [], []
    for name, fields in table_of(project["observations"], f"{path}, observations").items():
        observation, starts = _observation(name, table_of(fields, f"{path}, observation {name!r}"), conf, own, reading)
        if not starts:
            observations.append(observation)
            continue
        first = starts[0]
        what = (
            f"observation {name!r}: {first.code!r} of {first.subject or 'No focal subject'} at {first.time:g} has no "
            f"stop{f' (and {len(starts) - 1} more)' if len(starts) > 1 else ''}"
        )
        unpaired.append(what)
        names = {name, *(media_name(m) for m, _ in observation.media)}
        if names & set(reading.recordings):
            raise ValueError(f"{path}, {what}; mend it in BORIS")
        reading.report.lose(f"{what}: the observation is left out, mend it in BORIS")
    if unpaired and not observations:
        raise ValueError(f"{path}, {unpaired[0]}; mend it in BORIS")
    if not any(o.rows for o in observations):
        reading.report.note("no observation holds events: the ethogram alone was read")
    return annotations_of(observations, conf.ethogram, reading)


def _lost(project: dict[str, Any], reading: Reading) -> None:
    subjects = table_of(project.get("subjects_conf"), f"{reading.path}, subjects_conf")
    if any(isinstance(s, dict) and (s.get("description") or s.get("key")) for s in subjects.values()):
        reading.report.lose("keys and descriptions of subjects")
    variables = project.get("independent_variables")
    if isinstance(variables, dict):
        labels = [str(v.get("label", "")) for v in variables.values() if isinstance(v, dict)]
        rest = [name for name in labels if name.strip().lower() not in SCORER_VARIABLES]
        if rest:
            reading.report.lose(f"independent variables: {', '.join(rest[:8])}")


def _observation(
    name: str, fields: dict[str, Any], conf: Conf, own: dict[str, Any], reading: Reading
) -> tuple[Observation, list[Press]]:
    where = f"{reading.path}, observation {name!r}"
    kind = text_of(fields.get("type"), f"{where}, type")
    images = kind.endswith("IMAGES")
    media = [] if images or kind.endswith("LIVE") else _media(fields, name, where, reading)
    observation = Observation(name, media, scorer=_scorer(fields, where), in_frames=images)
    offset = _offset(fields, media, where) if not images else 0.0
    presses = _presses(fields, images, conf, where)
    starts: list[Press] = []
    observation.rows = rows_of(presses, conf.ethogram.points, starts, conf.stopped_by)
    for row in observation.rows:
        row["start"], row["stop"] = row["start"] - offset, row["stop"] - offset
        if row["behavior"] in conf.directed:
            target, _, row["modifiers"] = row["modifiers"].partition("|")
            row["target"] = "" if target == "None" else target
    if images:
        reading.report.note("images are counted from 1")
    else:
        observation.looked_at = _looked_at(fields, observation, presses, offset, where, reading)
    _own(observation, name, own, conf, where)
    return observation, starts


def _media(fields: dict[str, Any], name: str, where: str, reading: Reading) -> list[tuple[str, float | None]]:
    files = fields.get("file")
    players = {_FIRST_PLAYER: files} if isinstance(files, list) else table_of(files, f"{where}, file")
    used = {}
    for player in sorted(players):
        paths = players[player] or []
        if not isinstance(paths, list):
            raise ValueError(f"{where}, file {player}: expected a list of paths, got {str(paths)[:40]!r}")
        paths = [text_of(p, f"{where}, file {player}") for p in paths]
        if any(paths):
            used[player] = [p for p in paths if p]
    if not used:
        return []
    first, *others = used
    if others:
        views = ", ".join(media_name(p) for player in others for p in used[player])
        reading.report.note(f"observation {name!r}: further players show {views} at the same time")
    info = table_of(fields.get("media_info"), f"{where}, media_info")
    lengths = table_of(info.get("length"), f"{where}, media_info length")
    offsets = table_of(info.get("offset"), f"{where}, media_info offset")
    if offsets.get(first):
        reading.report.note(f"observation {name!r}: the offset of player {first} is not applied")
    out = []
    for path in used[first]:
        length = lengths.get(path)
        known = 0.0 if length is None else seconds_of(length, f"{where}, length of {path}")
        out.append((path, known if known > 0 else None))
    return out


def _offset(fields: dict[str, Any], media: list[tuple[str, float | None]], where: str) -> float:
    """What was added to the time of the media; with dates as offset, the date at which the file was made."""
    offset = seconds_of(fields.get("time offset") or 0.0, f"{where}, time offset")
    if fields.get("media_creation_date_as_offset"):
        info = table_of(fields.get("media_info"), f"{where}, media_info")
        made = table_of(info.get("media_creation_time"), f"{where}, media_creation_time")
        if len(media) != 1 or media[0][0] not in made:
            raise ValueError(f"{where}: its times are dates; when its one media file was made is not known")
        offset += seconds_of(made[media[0][0]], f"{where}, media_creation_time")
    return offset


def _scorer(fields: dict[str, Any], where: str) -> str:
    variables = table_of(fields.get("independent_variables"), f"{where}, independent_variables")
    for label, value in variables.items():
        if label.strip().lower() in SCORER_VARIABLES and isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def _presses(fields: dict[str, Any], images: bool, conf: Conf, where: str) -> list[Press]:
    events = fields.get("events") or []
    if not isinstance(events, list):
        raise ValueError(f"{where}, events: expected a list, got {str(events)[:40]!r}")
    presses = []
    for number, event in enumerate(events, start=1):
        here = f"{where}, event {number}"
        if not isinstance(event, list) or not (7 if images else 4) <= len(event) <= 8:
            raise ValueError(
                f"{here}: expected [time, subject, code, modifiers, comment, ...], got {str(event)[:60]!r}"
            )
        subject, code, modifiers = (text_of(cell, here) for cell in event[1:4])
        comment = text_of(event[4], here) if len(event) > 4 else ""
        if images:
            time: float = frame_number(event[5], f"{here}, image index") - 1
            if time < 0:
                raise ValueError(f"{here}: expected the number of an image from 1 on, got 0")
        else:
            time = seconds_of(event[0], here)
        if code not in conf.names:
            raise ValueError(f"{here} ({time:g}): {code!r} is not in the ethogram of the project")
        parts = tidy_modifiers(modifiers.split("|"))
        presses.append(Press(time, subject, conf.names[code], parts, comment, here))
    return sorted(presses, key=lambda press: press.time)


def _looked_at(
    fields: dict[str, Any],
    observation: Observation,
    presses: list[Press],
    offset: float,
    where: str,
    reading: Reading,
) -> tuple[float, float] | None:
    interval = fields.get("observation time interval") or [0, 0]
    if not isinstance(interval, list) or len(interval) != 2:
        raise ValueError(f"{where}, observation time interval: expected two numbers, got {str(interval)[:40]!r}")
    start, stop = (seconds_of(x or 0.0, f"{where}, observation time interval") for x in interval)
    if stop and stop <= start:
        raise ValueError(f"{where}, observation time interval: expected a start before its stop, got {interval}")
    if stop:
        return start, stop
    if observation.media:
        lengths = [length for _, length in observation.media]
        if any(length is None for length in lengths):
            reading.report.note(f"observation {observation.id!r}: without a media length nothing counts as scored")
            return None
        return start, sum(length or 0.0 for length in lengths)
    if presses and presses[-1].time - offset > start:
        reading.report.note("a live observation counts as scored up to its last event")
        return start, presses[-1].time - offset
    return None


def _own(observation: Observation, name: str, own: dict[str, Any], conf: Conf, where: str) -> None:
    """What this toolkit wrote beside BORIS' own fields."""
    fields = table_of(own.get(name), f"{where}, {OWN_KEY}")
    if recording := text_of(fields.get("recording"), f"{where}, {OWN_KEY}"):
        observation.recording = recording
    rows = fields.get("scored")
    if rows is None:
        return
    observation.scored = []
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, list) or len(row) != 5:
            raise ValueError(f"{where}, {OWN_KEY}: expected [individual, target, behavior, start, stop]")
        individual, target, behavior = (text_of(cell, f"{where}, {OWN_KEY}") for cell in row[:3])
        start, stop = (seconds_of(cell, f"{where}, {OWN_KEY}") for cell in row[3:])
        if stop <= start:
            raise ValueError(f"{where}, {OWN_KEY}: expected a start before its stop, got {start:g} and {stop:g}")
        if behavior == "" or behavior in conf.ethogram:  # it may have been renamed in BORIS since
            whose = {"individual": subject_of(individual), "target": target, "behavior": behavior}
            observation.scored.append({**whose, "start": start, "stop": stop})
