"""CVAT for video 1.1 (XML): tracks whose shapes carry an attribute ``Behavior``.

Frames are 0-based. Each shape of a track stands at one frame and its attribute holds until the next shape of the track,
as in CVAT itself; the last shape holds for its own frame. A frame is scored from the first to the last shape of its
track, except where the shape is ``outside`` of the picture or the attribute is empty or ``__undefined__``. An
individual is ``<label> <track id>``. Classes that mean "cannot be seen" (KABR: Occluded, Out of Focus, Out of Frame)
are behaviours like others unless ``unscored`` names them. Entities and document types are refused.

After CVAT's description of the format (docs.cvat.ai, "XML annotation format") and a file of KABR.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ..annotations import Annotations
from ..ethogram import Behavior, Ethogram
from ..recording import recording_name
from .frame_rows import LAST_FRAME, frame_table, merged, with_holes
from .guarded import read_bytes
from .label_format import LabelFormat, Reading, Sample

FORMAT = LabelFormat(
    name="cvat",
    title="CVAT for video 1.1 (xml)",
    suffixes=(".xml",),
    base=0,
    end=None,
    unit="frames",
    unlabelled="not scored: outside of a track, or its shape is outside of the picture",
    evidence="real files",
)
MAX_BYTES = 256 << 20
_NAME = re.compile(r"behaviou?rs?", re.IGNORECASE)
_NOT_SAID = ("", "__undefined__")


def recognise(sample: Sample) -> bool:
    """CVAT's root element, and an attribute called Behavior."""
    text = sample.text
    return bool(
        re.search(r"<annotations[\s>]", text)
        and re.search(r"<name>\s*behaviou?rs?\s*</name>|<attribute\s+name=\"behaviou?rs?\"", text, re.IGNORECASE)
    )


def read(reading: Reading) -> Annotations:
    """Runs of one value of the attribute; all classes of a track are scored wherever it has a value."""
    path = reading.path
    tracks: dict[str, list[tuple[int, str]]] = {}
    about: dict[str, Any] = {"classes": [], "tasks": 0}
    for kind, found in _events(reading):
        if kind == "track":
            if found[0] in tracks:
                raise ValueError(f"{path}: expected every track once, got {found[0]!r} twice")
            tracks[found[0]] = found[1]
        elif kind == "classes":
            about["classes"] += [c for c in found if c not in about["classes"] and c not in _NOT_SAID]
        elif kind == "task":
            about["tasks"] += 1
        else:
            about.setdefault(kind, found)
    if about["tasks"] > 1:
        raise ValueError(f"{path}: an export of {about['tasks']} tasks; export every task apart")
    if not tracks:
        raise ValueError(f"{path}: expected tracks with the attribute Behavior, got none")
    video = re.split(r"[|\\/]", about.get("source") or about.get("name") or "")[-1]
    common = {"recording": recording_name(video) if video else "", "scorer": about.get("username", "")}
    bouts: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    for individual, shapes in tracks.items():
        known = _values(shapes)
        row = {**common, "individual": individual}
        bouts += [{**row, "behavior": value, "start_frame": a, "stop_frame": b} for a, b, value in known]
        scored += [{**row, "start_frame": a, "stop_frame": b} for a, b in merged((a, b) for a, b, _ in known)]
    bouts, scored = with_holes(bouts, scored, reading.unscored)
    names = list(dict.fromkeys([*about["classes"], *(row["behavior"] for row in bouts)]))
    names = [n for n in names if n not in reading.unscored]
    try:
        ethogram = Ethogram((Behavior(name=n) for n in names), exclusive=[names] if len(names) > 1 else [])
        return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _values(shapes: list[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """Half-open runs of one value; the last shape holds for its own frame."""
    out: list[tuple[int, int, str]] = []
    stops = [frame for frame, _ in shapes[1:]] + [shapes[-1][0] + 1] if shapes else []
    for (frame, value), stop in zip(shapes, stops, strict=True):
        if out and out[-1][1:] == (frame, value):
            out[-1] = (out[-1][0], stop, value)
        elif value not in _NOT_SAID:
            out.append((frame, stop, value))
    return out


def _events(reading: Reading) -> Iterator[tuple[str, Any]]:
    """Facts of the file in their order; elements are let go as soon as they are read."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, iterparse

    path = reading.path
    data = read_bytes(path, max_bytes=MAX_BYTES)
    above: list[Any] = []
    try:
        for event, element in iterparse(io.BytesIO(data), events=("start", "end"), forbid_dtd=True):
            if event == "start":
                above.append(element)
                if len(above) == 1 and element.tag != "annotations":
                    raise ValueError(f"{path}: expected the root element 'annotations' of CVAT, got {element.tag!r}")
                if len(above) > 32:
                    raise ValueError(f"{path}: XML nested too deeply")
                continue
            above.pop()
            if element.tag == "track":
                yield "track", _track(element, reading)
                element.clear()
            else:
                yield from _fact(element, above[-1].tag if above else "")
    except DefusedXmlException:
        raise ValueError(f"{path}: XML with a document type or entities is not read") from None
    except ParseError as error:
        line, column = error.position
        raise ValueError(f"{path}, line {line}: not XML ({str(error).split(':')[0]}, column {column})") from None
    except LookupError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _fact(element: Any, parent: str) -> Iterator[tuple[str, Any]]:
    """What the head of the file says: tasks, their video, who scored, and the classes of the attribute."""
    place = (parent, element.tag)
    if element.tag == "task":
        yield "task", None
    elif place in (("task", "source"), ("task", "name"), ("assignee", "username")):
        yield element.tag, (element.text or "").strip()
    elif place == ("attributes", "attribute") and _NAME.fullmatch((element.findtext("name") or "").strip()):
        yield "classes", [v.strip() for v in (element.findtext("values") or "").splitlines()]


def _track(track: Any, reading: Reading) -> tuple[str, list[tuple[int, str]]]:
    """Name and, in order of frames, the value that holds from each shape on; outside of the picture it is empty."""
    path, number, label = reading.path, track.get("id"), track.get("label") or "track"
    if number is None:
        raise ValueError(f"{path}: a track lacks its id")
    out: dict[int, str] = {}
    for shape in track:
        frame = shape.get("frame")
        if frame is None:
            continue
        if not re.fullmatch(r"[0-9]{1,10}", frame) or int(frame) > LAST_FRAME:
            raise ValueError(f"{path}, track {number}: expected the number of a frame, got {frame[:40]!r}")
        if int(frame) in out:
            raise ValueError(f"{path}, track {number}: expected every frame once, got {frame} twice")
        said = [a.text or "" for a in shape.iter("attribute") if _NAME.fullmatch(a.get("name", ""))]
        out[int(frame)] = "" if shape.get("outside") == "1" or not said else said[0].strip()
    shapes = sorted(out.items())
    if any(b[0] - a[0] > 1 for a, b in pairwise(shapes)):
        reading.report.note("between two shapes of a track the value of the first one holds, as in CVAT")
    return f"{label} {number}", shapes
