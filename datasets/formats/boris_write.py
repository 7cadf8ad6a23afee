"""What is written to files of BORIS: annotations as observations, each of one recording and one scorer."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..annotations import Annotations
from ..bout_rows import WHOLE_VIEW
from ..recording import recording_name
from .boris_events import NO_SUBJECT, tidy_modifiers
from .frame_matrix import tell_columns
from .label_format import Writing

DIGITS = 6  # BORIS itself keeps three when it opens a file
Scored = tuple[str, str, str, float, float]


@dataclass
class Written:
    """One observation to write.

    Parameters
    ----------
    id, recording, scorer, media, date : str
        Names; ``media`` is a file that the recording may be.
    length, fps : float
        Of the media; ``fps`` is 0 if it is not known.
    rows : list of dict
        By start, with ``subject`` as BORIS has it and the target as first modifier.
    scored : set of tuple
        ``(individual, target, behavior, start, stop)``.
    native : set of tuple
        What BORIS' own fields say was scored.
    interval : (float, float)
        What was looked at.
    directed : bool
        Whether some row has a target.
    """

    id: str
    recording: str
    scorer: str
    media: str
    date: str
    length: float
    fps: float
    rows: list[dict[str, Any]]
    scored: set[Scored] = field(default_factory=set)
    native: set[Scored] = field(default_factory=set)
    interval: tuple[float, float] = (0.0, 0.0)
    directed: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of the media was looked at."""
        return self.interval == (0.0, self.length)


def observations_to_write(annotations: Annotations, writing: Writing) -> list[Written]:
    """Rows grouped to observations.

    Parameters
    ----------
    annotations : Annotations
        With seconds.
    writing : Writing
        Frame edges at hand, and the report.

    Returns
    -------
    list of Written
    """
    tell_columns(annotations, writing.report, ("comment", "comment_stop", "modifiers", "observation"))
    tables = [_with_observation(t) for t in (annotations.bouts, annotations.scored)]
    groups = dict.fromkeys(
        key for t in tables for key in zip(t["recording"], t["scorer"], t["observation"], strict=True)
    )
    named = {(r, s): o for r, s, o in groups if o}
    # scored rows that another file brought know no observation: theirs is that of the recording and scorer
    groups = dict.fromkeys((r, s, o or named.get((r, s), "")) for r, s, o in groups)
    ids: dict[str, int] = {}
    out = []
    for recording, scorer, observation in groups:
        bouts, scored = (
            t[
                (t["recording"] == recording)
                & (t["scorer"] == scorer)
                & t["observation"].isin([observation, *([""] if named.get((recording, scorer)) == observation else [])])
            ]
            for t in tables
        )
        out.append(_observation(annotations, bouts, scored, (recording, scorer, observation), writing, ids))
    return out


def _with_observation(table: pd.DataFrame) -> pd.DataFrame:
    text = {c: table[c].fillna("").astype(str) if c in table else "" for c in ("observation", "comment_stop")}
    blank = {c: "" for c in ("modifiers", "comment") if c not in table}
    return table.assign(**text, **blank)


def _observation(
    annotations: Annotations,
    bouts: pd.DataFrame,
    scored: pd.DataFrame,
    key: tuple[str, str, str],
    writing: Writing,
    ids: dict[str, int],
) -> Written:
    recording, scorer, observation = key
    recording = recording or recording_name(writing.name)
    wanted = observation.strip() or " ".join(part for part in (recording, scorer) if part).strip() or "observation"
    ids[wanted] = ids.get(wanted, 0) + 1
    while ids[wanted] > 1 and f"{wanted} ({ids[wanted]})" in ids:
        ids[wanted] += 1
    name = wanted if ids[wanted] == 1 else f"{wanted} ({ids[wanted]})"
    ids.setdefault(name, 1)
    rows, directed = _rows(annotations, bouts, writing)
    looked = _scored(annotations, scored)
    if recording in writing.edges:
        length = round(float(writing.edges[recording][-1]), DIGITS)
    else:
        length = round(max([0.0, *(r["stop"] for r in rows), *(stop for *_, stop in looked)]), DIGITS)
        writing.report.note(f"{recording}: the length of the video is not known, it is taken to end with the last row")
    try:
        fps = writing.rate(annotations.with_rows(bouts, scored))
    except ValueError:
        fps = 0.0
    interval = (0.0, length)
    intervals = {(start, stop) for *_, start, stop in looked}
    if len(intervals) == 1:
        interval = next(iter(intervals))
    written = Written(
        id=name, recording=recording, scorer=scorer, media=f"{recording}.mp4",
        date=datetime.datetime.now().isoformat(timespec="seconds"), length=length, fps=round(fps, DIGITS), rows=rows,
        scored=looked, interval=interval, directed=directed,
    )  # fmt: skip
    if interval[1] > interval[0]:
        written.native = {(r["individual"], r["target"], "", *interval) for r in rows}
    writing.report.note(f"the video of {recording} is named {written.media}; BORIS asks where it is")
    return written


def _rows(annotations: Annotations, bouts: pd.DataFrame, writing: Writing) -> tuple[list[dict[str, Any]], bool]:
    points = annotations.ethogram.points
    directed = set(annotations.bouts["behavior"][annotations.bouts["target"] != ""])
    rows = []
    for bout in bouts.sort_values(["start", "stop"], kind="stable").to_dict("records"):
        modifiers = tidy_modifiers(bout["modifiers"].split("|"))
        if bout["behavior"] in directed:
            target = bout["target"].replace("|", "/") or "None"
            modifiers = f"{target}|{modifiers}" if modifiers else target
        individual = bout["individual"]
        rows.append(
            {
                "subject": NO_SUBJECT if individual in (WHOLE_VIEW, "") else individual,
                "individual": individual,
                "target": bout["target"],
                "behavior": bout["behavior"],
                "point": bout["behavior"] in points,
                "start": round(bout["start"], DIGITS),
                "stop": round(bout["stop"], DIGITS),
                "frames": (bout["start_frame"], bout["stop_frame"]),
                "modifiers": modifiers,
                "comment": bout["comment"],
                "comment_stop": bout["comment_stop"],
            }
        )
    return _joined(rows, writing), any(r["target"] for r in rows)


def _joined(rows: list[dict[str, Any]], writing: Writing) -> list[dict[str, Any]]:
    """Bouts of one kind that overlap made one: BORIS would take the second start for a stop."""
    out: list[dict[str, Any]] = []
    last: dict[tuple[str, str, str], dict[str, Any]] = {}
    count = 0
    for row in rows:
        key = (row["subject"], row["behavior"], row["modifiers"])
        before = last.get(key)
        if not row["point"] and before is not None and row["start"] < before["stop"]:
            count += 1
            if row["stop"] > before["stop"]:
                before.update(stop=row["stop"], frames=(before["frames"][0], row["frames"][1]))
            continue
        out.append(row)
        last[key] = row
    if count:
        writing.report.lose(f"{count} bouts that overlap one of the same kind, joined with it")
    return out


def _scored(annotations: Annotations, scored: pd.DataFrame) -> set[Scored]:
    """Scored intervals; where every behaviour is named, none is."""
    spans: dict[tuple[str, str, float, float], set[str]] = {}
    for row in scored.to_dict("records"):
        span = (row["individual"], row["target"], round(row["start"], DIGITS), round(row["stop"], DIGITS))
        spans.setdefault(span, set()).add(row["behavior"])
    out: set[Scored] = set()
    for (individual, target, start, stop), names in spans.items():
        every = "" in names or names >= set(annotations.behaviors)
        out |= {(individual, target, name, start, stop) for name in ([""] if every else names)}
    return out


def told_lost(annotations: Annotations, observations: list[Written], writing: Writing) -> None:
    """Tell what a table of exported events cannot hold.

    Parameters
    ----------
    annotations : Annotations
        What was written.
    observations : list of Written
        The same, as observations.
    writing : Writing
        Whose report takes it.
    """
    if any(o.scored and not (o.native == o.scored and o.whole) for o in observations):
        writing.report.lose("scored intervals other than the whole length for the subjects that occur")
    if any(not o.rows for o in observations):
        writing.report.lose("observations without an event")
    if any(o.directed for o in observations):
        writing.report.lose("targets: the other animal stands as the first modifier")
    unseen = set(annotations.behaviors) - {r["behavior"] for o in observations for r in o.rows}
    if unseen:
        writing.report.lose(f"behaviours without an event: {', '.join(sorted(unseen))}")
    if any(b.key or b.color or b.definition or b.code is not None for b in annotations.ethogram):
        writing.report.lose("keys, colours, definitions and codes of the ethogram")
    if annotations.ethogram.exclusive:
        writing.report.lose("which behaviours exclude each other")
