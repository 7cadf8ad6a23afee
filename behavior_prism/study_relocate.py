"""Videos that were moved are found again by what is in them, so that nothing made from them is made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from behavior_prism.datasets import fingerprint

from .study import Study, _tables
from .study_checks import check_tables, files_in
from .study_files import SEPARATOR, Fingerprints, found_path, only_editor, stored_path, videos_below


@dataclass
class RelocateResult:
    """What was found.

    Parameters
    ----------
    found : dict of str to str
        Recordings with a new path, or whose fingerprint was not known yet.
    missing : list of (str, str)
        Recordings with a file that was not found, and which.
    notes : list of str
        What needs a person.
    """

    found: dict[str, str] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def relocate_videos(study: Study, roots: Sequence[str | Path], *, dry_run: bool = False) -> RelocateResult:
    """Find videos, tracks and times that are not where the study has them.

    Parameters
    ----------
    study : Study
        Its ``recordings.csv`` gets the new paths.
    roots : sequence of str or pathlib.Path
        Folders to look in, and below them.
    dry_run : bool
        Change nothing.

    Returns
    -------
    RelocateResult

    Notes
    -----
    A video is known by its fingerprint, whatever it is called now; files of the same name are looked at first. Tracks
    and times are known by their name, if only one file has it.
    """
    search = _Search([Path(r) for r in roots])
    if dry_run:
        return _relocate(study, search, dry_run=True)
    with only_editor(study.folder):
        return _relocate(study, search, dry_run=False)


def _relocate(study: Study, search: _Search, *, dry_run: bool) -> RelocateResult:
    recordings, animals, subjects = _tables(study.folder)
    check_tables(recordings, animals, subjects)
    prints, result = Fingerprints(study.folder), RelocateResult()
    for row in recordings.rows:
        stored = files_in(row["video"])
        known = files_in(row["fingerprint"]) or [""] * len(stored)
        places: list[Path | None] = []
        for text, wanted in zip(stored, known, strict=True):
            path = found_path(study.folder, text)
            here = path.exists() and (not wanted or prints.of(text, path) == wanted)
            places.append(path if here else search.video(path.name, wanted))
        cells: dict[str, str] = {}
        if lost := [text for text, place in zip(stored, places, strict=True) if place is None]:
            result.missing.append((row["recording"], lost[0]))
        # what is found of it is written down also where the rest is missing
        new = [_kept(study, text, place) for text, place in zip(stored, places, strict=True)]
        cells["video"] = SEPARATOR.join(new)
        if not lost:
            there = [(text, place) for text, place in zip(new, places, strict=True) if place is not None]
            cells["fingerprint"] = SEPARATOR.join(prints.of(text, place) for text, place in there)
        for what in ("tracks", "timestamps"):
            if row[what] and not found_path(study.folder, row[what]).exists():
                place, note = search.beside(found_path(study.folder, row[what]).name)
                if place is None:
                    result.notes.append(f"{row['recording']}: {what}: {row[what]}: {note}")
                else:
                    cells[what] = stored_path(study.folder, place)
        if any(row[column] != value for column, value in cells.items()):
            recordings.change(row.line, cells)
            result.found[row["recording"]] = cells["video"]
    if not dry_run:
        check_tables(recordings, animals, subjects)
        recordings.save()
        prints.save()
        study.reload()
    return result


def _kept(study: Study, text: str, place: Path | None) -> str:
    return text if place is None or place == found_path(study.folder, text) else stored_path(study.folder, place)


class _Search:
    """Files below some folders; each is looked at once at most."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._files = list(videos_below(roots))
        self._prints: dict[Path, str] = {}

    def video(self, name: str, wanted: str) -> Path | None:
        """The file with a fingerprint; without one, the only file of that name."""
        same = [p for p in self._files if p.name.casefold() == name.casefold()]
        if not wanted:
            return same[0] if len(same) == 1 else None
        suffix = Path(name).suffix.casefold()
        others = (p for p in self._files if p.suffix.casefold() == suffix and p not in same)
        return next((p for p in (*same, *others) if self._print(p) == wanted), None)

    def beside(self, name: str) -> tuple[Path | None, str]:
        """The only file of a name, or why there is none."""
        same = [p for p in self._files if p.name.casefold() == name.casefold()]
        return (same[0], "") if len(same) == 1 else (None, f"expected one file of that name, found {len(same)}")

    def _print(self, path: Path) -> str:
        if path not in self._prints:
            try:
                self._prints[path] = fingerprint(path)
            except (OSError, ValueError):  # a folder without images, a file that may not be read
                self._prints[path] = ""
        return self._prints[path]
