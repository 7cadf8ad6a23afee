"""Labels of JABS: ``jabs/annotations/<video>.json``, one file per video.

``labels[identity][behaviour]`` is a list of ``{start, end, present}``. Frames are 0-based, the end is inclusive.
``present: false`` says that the behaviour was looked for and not there; a frame in no block is unlabelled. Identities
are those of the pose file, counted from 0, as :func:`~behavior_prism.datasets.load_tracks` names them.

``unfragmented_labels`` holds the blocks as a person drew them, ``labels`` the same blocks without the frames in which
the identity is lost. ``labels`` is what is read: it is what JABS trains on and counts, and where the animal is not
found there is no crop and no pose that a label could speak of. The extent that was drawn is kept in the column
``drawn`` of both tables, and blocks that nobody touched are written as they were drawn, because JABS itself opens
``unfragmented_labels``. ``annotations`` (tags on the timeline) go into the ``comment`` of the bouts that they overlap.

After the files of JABS 0.38 and the source of KumarLabJax/JABS-behavior-classifier (``video_labels.py``,
``track_labels.py``, ``timeline_annotations.py``).
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pandas as pd

from ..annotations import Annotations, spelled_out
from ..ethogram import Behavior, Ethogram
from ..recording import recording_name
from .frame_matrix import tell_columns
from .frame_rows import Span, frame_number, frame_table, merged, minus, numbered, spans_of, with_holes
from .guarded import read_json
from .label_format import LabelFormat, Reading, Sample, Writing
from .video_names import tell_name

FORMAT = LabelFormat(
    name="jabs",
    title="JABS labels (json)",
    suffixes=(".jabs.json",),
    base=0,
    end="inclusive",
    unit="frames",
    unlabelled="not scored; absent only where a block says so",
    evidence="real files",
    writes=True,
)
_TAG = re.compile(r"[\w-]{1,32}")
_DRAWN = "drawn"


def recognise(sample: Sample) -> bool:
    """An object with ``num_frames`` and ``labels`` by identity."""
    return bool(
        re.match(r"\s*\{", sample.text)
        and re.search(r'"num_frames"\s*:', sample.text)
        and re.search(r'"(unfragmented_)?labels"\s*:\s*\{', sample.text)
    )


def read(reading: Reading) -> Annotations:
    """Blocks of ``labels``; present ones are bouts, all of them were scored."""
    path, report = reading.path, reading.report
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise ValueError(f"{path}: expected JABS labels with the key 'labels', got another JSON file")
    num_frames = frame_number(content.get("num_frames"), f"{path}, num_frames")
    name = content.get("file", "")
    scorer = content.get("labeler") or ""
    if not isinstance(name, str) or not isinstance(scorer, str):
        raise ValueError(f"{path}: expected text under 'file' and 'labeler'")
    blocks = _blocks(content["labels"], num_frames, f"{path}, labels")
    drawn = _blocks(content.get("unfragmented_labels") or {}, num_frames, f"{path}, unfragmented_labels")
    common = {"recording": recording_name(name.replace("\\", "/")) if name else "", "scorer": scorer}
    bouts, scored = [], []
    for key, own in blocks.items():
        extents = _extents(own, drawn.get(key, []))
        for (start, stop, present), extent in zip(own, extents, strict=True):
            row = {
                **common, "individual": key[0], "behavior": key[1],
                "start_frame": start, "stop_frame": stop, _DRAWN: extent,
            }  # fmt: skip
            scored.append(row)
            if present:
                bouts.append({**row, "comment": ""})
    _tell(content, blocks, drawn, reading)
    _comment(content.get("annotations"), bouts, num_frames, reading)
    if not any(row["comment"] for row in bouts):
        bouts = [{k: v for k, v in row.items() if k != "comment"} for row in bouts]
    bouts, scored = with_holes(bouts, scored, reading.unscored)
    known = dict.fromkeys(b for _, b in (*blocks, *drawn) if b not in reading.unscored)
    if not known:
        report.note("the file holds no labels")
    try:
        ethogram = Ethogram(Behavior(name=b) for b in known)
        return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _blocks(labels: Any, num_frames: int, where: str) -> dict[tuple[str, str], list[tuple[int, int, bool]]]:
    """Half-open blocks in order, by identity and behaviour; they must not contradict each other."""
    out: dict[tuple[str, str], list[tuple[int, int, bool]]] = {}
    if not isinstance(labels, dict) or not all(isinstance(v, dict) for v in labels.values()):
        raise ValueError(f"{where}: expected behaviours by identity")
    for identity, behaviors in labels.items():
        for behavior, blocks in behaviors.items():
            here = f"{where}[{identity!r}][{behavior!r}]"
            if not isinstance(blocks, list):
                raise ValueError(f"{here}: expected a list of blocks, got {type(blocks).__name__}")
            own = []
            for k, block in enumerate(blocks):
                if not isinstance(block, dict) or not isinstance(block.get("present"), bool):
                    raise ValueError(f"{here}[{k}]: expected start, end and present (true or false)")
                start, end = (frame_number(block.get(c), f"{here}[{k}], {c}") for c in ("start", "end"))
                if not start <= end < num_frames:
                    raise ValueError(
                        f"{here}[{k}]: expected start <= end < {num_frames} (num_frames), got {start} and {end}"
                    )
                own.append((start, end + 1, block["present"]))
            own.sort()
            for before, after in pairwise(own):
                if after[0] < before[1]:
                    raise ValueError(f"{here}: expected every frame once, got {after[0]} in two blocks")
            out[identity, behavior] = own
    return out


def _extents(own: list[tuple[int, int, bool]], drawn: list[tuple[int, int, bool]]) -> list[str]:
    """For each block ``start-stop/frames`` of the block it was cut from: half-open, and the frames left of it."""
    parents, k = [], 0
    for start, stop, present in own:
        while k < len(drawn) and drawn[k][1] <= start:
            k += 1
        inside = k < len(drawn) and drawn[k][0] <= start and stop <= drawn[k][1] and drawn[k][2] == present
        parents.append(k if inside else -1)
    left: dict[int, int] = {}
    for (start, stop, _), parent in zip(own, parents, strict=True):
        left[parent] = left.get(parent, 0) + stop - start
    return ["" if p < 0 else f"{drawn[p][0]}-{drawn[p][1]}/{left[p]}" for p in parents]


def _tell(content: dict[str, Any], blocks: dict[Any, Any], drawn: dict[Any, Any], reading: Reading) -> None:
    frames = {"labels": 0, "drawn": 0}
    for key in {*blocks, *drawn}:
        frames["labels"] += sum(b - a for a, b, _ in blocks.get(key, []))
        frames["drawn"] += sum(b - a for a, b, _ in drawn.get(key, []))
    if frames["drawn"] > frames["labels"]:
        reading.report.note(
            f"{frames['drawn'] - frames['labels']} labelled frames in which the animal is not tracked are left out, "
            "as JABS does; the column 'drawn' keeps the extents that were drawn"
        )
    names = content.get("external_identities")
    if isinstance(names, dict) and names:
        reading.report.note("identities in the lab's names: " + ", ".join(f"{k} = {v}" for k, v in names.items()))


def _comment(annotations: Any, bouts: list[dict[str, Any]], num_frames: int, reading: Reading) -> None:
    """Timeline annotations, to the bouts that they overlap."""
    if annotations is None:
        return
    if not isinstance(annotations, list):
        raise ValueError(f"{reading.path}, annotations: expected a list")
    for k, tag in enumerate(annotations):
        where = f"{reading.path}, annotations[{k}]"
        if not isinstance(tag, dict) or not isinstance(tag.get("tag"), str):
            raise ValueError(f"{where}: expected start, end and tag")
        start, end = (frame_number(tag.get(c), f"{where}, {c}") for c in ("start", "end"))
        if not start <= end < num_frames:
            raise ValueError(f"{where}: expected start <= end < {num_frames} (num_frames), got {start} and {end}")
        said = str(tag.get("description") or "")
        text = said if said and tag["tag"] == "comment" else ": ".join(t for t in (tag["tag"], said) if t)
        whose, behavior = tag.get("identity"), tag.get("behavior")
        met = [
            row for row in bouts
            if row["start_frame"] <= end and start < row["stop_frame"]
            and (whose is None or row["individual"] == str(whose)) and behavior in (None, row["behavior"])
        ]  # fmt: skip
        for row in met:
            row["comment"] = f"{row['comment']}; {text}" if row["comment"] else text
        if not met:
            reading.report.lose(f"timeline annotation {text!r}, frames {start} to {end}, where there is no bout")


def write(annotations: Annotations, writing: Writing) -> None:
    """Bouts as present blocks, what else was scored as absent ones."""
    if len(annotations.scorers) > 1:
        raise ValueError(
            f"{writing.name}: JABS labels are those of one scorer, got {list(annotations.scorers)}; select one"
        )
    full = spelled_out(annotations)
    number = numbered(annotations, 0)
    renamed = {str(k): name for name, k in number.items() if str(k) != name}
    labels: dict[str, dict[str, list[dict[str, Any]]]] = {}
    drawn: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for individual, k in sorted(number.items(), key=lambda item: item[1]):
        labels[str(k)], drawn[str(k)] = {}, {}
        for behavior in full.behaviors:
            bouts, scored = (
                t[(t["individual"] == individual) & (t["behavior"] == behavior)] for t in (full.bouts, full.scored)
            )
            scored = scored[scored["target"] == ""]
            present = merged(spans_of(bouts))
            absent = minus(spans_of(scored), present)
            if len(present) < len(bouts):
                writing.report.lose("borders of bouts of one behaviour that touch or overlap")
            if present or absent:
                labels[str(k)][behavior] = _written(present, absent)
                extents = (_as_drawn(present, bouts, absent), _as_drawn(absent, scored, present))
                drawn[str(k)][behavior] = _written(*extents)
    _tell_lost(full, [b for b in full.behaviors if not any(b in own for own in labels.values())], renamed, writing)
    recording = "".join(annotations.recordings) or recording_name(writing.name)
    tell_name(recording, writing)
    writing.report.note(f"the video is taken to be called {recording}.mp4")
    content: dict[str, Any] = {
        "version": 1, "file": f"{recording}.mp4", "num_frames": writing.num_frames(annotations),
        "labels": labels, "unfragmented_labels": drawn, "metadata": {"project": {}, "video": {}},
    }  # fmt: skip
    if annotations.scorers and annotations.scorers[0]:
        content["labeler"] = annotations.scorers[0]
    if renamed:
        content["external_identities"] = renamed
    if "comment" in full.bouts and (tags := _tags(full.bouts, number)):
        content["annotations"] = tags
    writing.path.write_text(json.dumps(content), encoding="utf-8")


def _tell_lost(full: Annotations, silent: list[str], renamed: dict[str, str], writing: Writing) -> None:
    lose = writing.report.lose
    if (full.bouts["target"] != "").any() or (full.scored["target"] != "").any():
        lose("targets of directed behaviours, and where these were absent")
    if points := int(full.bouts["behavior"].isin(full.ethogram.points).sum()):
        lose(f"{points} point events became bouts of one frame")
    if renamed:
        lose("names of individuals, JABS counts them: " + ", ".join(f"{n} = {k}" for k, n in renamed.items()))
    if silent:
        lose(f"behaviours without a label: {', '.join(silent)}")
    if any(b != Behavior(name=b.name) for b in full.ethogram):
        lose("keys, colours, definitions and categories of the ethogram")
    if "modifiers" in full.bouts and (full.bouts["modifiers"] != "").any():
        lose("modifiers")
    if full.ethogram.exclusive:
        lose("which behaviours exclude each other")
    tell_columns(full, writing.report, ("comment", "modifiers", _DRAWN))


def _written(present: list[Span], absent: list[Span]) -> list[dict[str, Any]]:
    both = sorted([(*s, True) for s in present] + [(*s, False) for s in absent])
    return [{"start": a, "end": b - 1, "present": p} for a, b, p in both]


def _as_drawn(spans: list[Span], table: pd.DataFrame, others: list[Span]) -> list[Span]:
    """The spans; in place of those cut from one drawn block that block, if nothing was taken from it or put into it."""
    if _DRAWN not in table:
        return spans
    inside: dict[str, list[Span]] = {}
    extent_of = dict(zip(spans_of(table), table[_DRAWN].tolist(), strict=True))
    for span in spans:
        extent = extent_of.get(span, "")
        if isinstance(extent, str) and re.fullmatch(r"[0-9]{1,9}-[0-9]{1,9}/[0-9]{1,9}", extent):
            inside.setdefault(extent, []).append(span)
    out = set(spans)
    for extent, parts in inside.items():
        start, stop, frames = (int(n) for n in re.split("[-/]", extent))
        whole = sum(b - a for a, b in parts) == frames and start <= parts[0][0] and parts[-1][1] <= stop
        foreign = [s for s in (*spans, *others) if s not in parts]
        if whole and minus([(start, stop)], foreign) == [(start, stop)]:
            out = out.difference(parts) | {(start, stop)}
    return sorted(out)


def _tags(bouts: pd.DataFrame, number: dict[str, int]) -> list[dict[str, Any]]:
    """Comments as timeline annotations; JABS does not mind the key ``behavior``, by which they are found again."""
    out = []
    said = bouts[bouts["comment"] != ""]
    for (start, stop), row in zip(spans_of(said), said.to_dict("records"), strict=True):
        tag = {"start": start, "end": stop - 1, "tag": "comment", "color": "#888888"}
        if _TAG.fullmatch(row["comment"]):
            tag["tag"] = row["comment"]
        else:
            tag["description"] = row["comment"]
        out.append({**tag, "identity": number[row["individual"]], "behavior": row["behavior"]})
    return out
