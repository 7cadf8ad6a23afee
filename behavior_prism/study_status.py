"""What of a study is there, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .study import Study
from .study_checks import files_in
from .study_files import Fingerprints
from .study_opening import beside, located

if TYPE_CHECKING:
    from behavior_prism.datasets import Annotations


@dataclass(frozen=True, kw_only=True)
class RecordingStatus:
    """One recording of a study.

    Parameters
    ----------
    recording : str
        Its name.
    group : str
        Recordings of one group must not be parted between training and test.
    video : {"found", "missing", "changed"}
        Changed: there is a file, and it is another one.
    tracks : {"", "found", "missing"}
        Empty if none are named.
    bouts : int
        In the journal.
    scored : float or None
        Share of its time in which somebody looked for something; None if nobody has, or the video is not there.
    features, unfinished, stale : int
        Feature stores; those that extraction has begun; those made from another video.
    predictions : int
        Probes that predicted it.
    """

    recording: str
    group: str
    video: str
    tracks: str
    bouts: int
    scored: float | None
    features: int
    unfinished: int
    stale: int
    predictions: int


@dataclass(kw_only=True)
class StudyStatus:
    """State of a study.

    Parameters
    ----------
    name : str
        Of the study.
    recordings : list of RecordingStatus
        In their order.
    animals : int
        Number of them.
    behaviors : int
        Number of them.
    notes : list of str
        What a person should look at.
    """

    name: str
    recordings: list[RecordingStatus] = field(default_factory=list)
    animals: int = 0
    behaviors: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every file that is named is there and the same."""
        return all(r.video == "found" and r.tracks != "missing" for r in self.recordings)

    def overall(self) -> dict[str, int]:
        """Counts over all recordings."""
        rows = self.recordings
        return {
            "recordings": len(rows),
            "groups": len({r.group for r in rows}),
            "animals": self.animals,
            "behaviors": self.behaviors,
            "missing": sum(r.video == "missing" for r in rows),
            "changed": sum(r.video == "changed" for r in rows),
            "with_tracks": sum(r.tracks == "found" for r in rows),
            "with_labels": sum(bool(r.bouts or r.scored) for r in rows),
            "with_features": sum(r.features > 0 for r in rows),
            "with_predictions": sum(r.predictions > 0 for r in rows),
        }

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "overall": self.overall(),
            "recordings": [asdict(r) for r in self.recordings],
            "notes": self.notes,
        }


def study_status(study: Study) -> StudyStatus:
    """Look at everything that a study speaks of; nothing but its cache is written.

    Parameters
    ----------
    study : Study
        Which one.

    Returns
    -------
    StudyStatus
    """
    prints = Fingerprints(study.folder)
    out = StudyStatus(name=study.name, animals=len(study.animals), behaviors=len(study.ethogram))
    labels = _labels(study, out.notes)
    groups = study.groups()
    for name in study.names:
        row = study.row(name)
        video = _video(study, name, prints)
        tracks = beside(study.folder, row, "tracks", prints)
        parts = None if labels is None or name not in labels.recordings else labels.of_recording(name)
        done, unfinished, stale = _features(study.features_folder(name), files_in(row["fingerprint"]))
        out.recordings.append(
            RecordingStatus(
                recording=name,
                group=groups[name],
                video=video,
                tracks="" if tracks is None else "found" if tracks.exists() else "missing",
                bouts=0 if parts is None else len(parts.bouts),
                scored=None if parts is None or video != "found" else _scored_share(study, name, parts, out.notes),
                features=done,
                unfinished=unfinished,
                stale=stale,
                predictions=len(list((study.folder / "predictions").glob(f"*/{name}.zarr"))),
            )
        )
    if labels is not None and (other := [r for r in labels.recordings if r not in groups]):
        out.notes.append(f"labels of {', '.join(other)}: not among the recordings of this study")
    prints.save()
    return out


def _video(study: Study, name: str, prints: Fingerprints) -> str:
    for text, path, known in located(study.folder, study.row(name), prints):
        if not path.exists():
            return "missing"
        try:
            if known and prints.of(text, path) != known:
                return "changed"
        except (OSError, ValueError):  # may not be read, or a folder that has lost its images
            return "missing"
    return "found"


def _labels(study: Study, notes: list[str]) -> Annotations | None:
    if not study.journal_folder.is_dir():
        return None
    from behavior_prism.datasets.journal import Journal

    with Journal.open(study.folder) as journal:
        notes += [f"journal: {problem}" for problem in journal.problems]
        return journal.annotations()


def _scored_share(study: Study, name: str, labels: Annotations, notes: list[str]) -> float | None:
    """Share of the recording in which anybody looked for anything."""
    from behavior_prism.datasets import open_video

    if not len(labels.scored):
        return 0.0
    try:
        files, timing = study.source_of(name)
        with open_video(files, **timing) as video:
            edges = video.edges
    except (ValueError, OSError) as error:
        notes.append(f"{name}: {' '.join(str(error).split())}")
        return None
    looked = np.zeros(len(edges) - 1, dtype=bool)
    for start, stop in _frames(labels, edges):
        looked[max(0, start) : max(0, stop)] = True
    return float(looked @ np.diff(edges) / (edges[-1] - edges[0]))


def _frames(labels: Annotations, edges: np.ndarray) -> Iterable[tuple[int, int]]:
    import pandas as pd

    columns = ["start_frame", "stop_frame", "start", "stop"]
    for first, last, start, stop in labels.scored[columns].astype(object).itertuples(index=False, name=None):
        if pd.notna(first) and pd.notna(last):
            yield int(first), int(last)
        elif pd.notna(start) and pd.notna(stop):
            yield int(np.abs(edges - start).argmin()), int(np.abs(edges - stop).argmin())


def _features(folder: Path, fingerprints: list[str]) -> tuple[int, int, int]:
    """Whole stores, begun ones, and whole ones of another video."""
    done = unfinished = stale = 0
    for place in sorted(folder.glob("*.zarr*")) if folder.is_dir() else ():
        if place.name.startswith("."):
            continue
        if place.name.endswith(".partial"):
            unfinished += 1
        elif place.suffix == ".zarr" and (attrs := _attributes(place)).get("behavior_prism") == "features":
            made_from = attrs.get("fingerprint") or _settings(attrs).get("fingerprint")
            other = len(fingerprints) == 1 and made_from not in (None, fingerprints[0])
            done, stale = done + (not other), stale + other
    return done, unfinished, stale


def _attributes(place: Path) -> dict[str, Any]:
    """Of a zarr v3 group; read as what it is, JSON, because a study may have thousands."""
    try:
        found = json.loads((place / "zarr.json").read_text(encoding="utf-8")).get("attributes", {})
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _settings(attrs: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(attrs.get("settings", "{}"))
        return found if isinstance(found, dict) else {}
    except (ValueError, TypeError):
        return {}
