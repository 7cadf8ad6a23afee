"""Videos into a study."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .study import Study, _tables
from .study_checks import check_tables, files_in
from .study_files import (
    SEPARATOR,
    VIDEO_ENDINGS,
    Fingerprints,
    found_path,
    only_editor,
    slug_of,
    slug_problem,
    stored_path,
)

if TYPE_CHECKING:
    from .study_tables import Table


@dataclass(frozen=True)
class _Who:
    """Animals of the recordings, and what they are called there."""

    animals: Sequence[str]
    individuals: Sequence[str]
    group: str

    def write(self, recordings: Sequence[str], animals: Table, subjects: Table) -> None:
        """Into the tables; also for recordings whose animals were not told when they were added."""
        told = {row["recording"] for row in subjects.rows}
        there = {row["animal"] for row in animals.rows}
        new = [r for r in recordings if r not in told]
        for animal in self.animals if new else ():
            if animal not in there:
                animals.append({"animal": animal, "group": self.group})
        for recording in new:
            for animal, individual in zip(self.animals, self.individuals or self.animals, strict=True):
                subjects.append({"recording": recording, "individual": individual, "animal": animal})


@dataclass
class AddResult:
    """What became of videos that were added to a study.

    Parameters
    ----------
    added : list of dict
        Rows of ``recordings.csv`` that were made, or would be.
    known : dict of str to str
        Videos that the study had already, and as which recording.
    failed : list of (str, str)
        Videos that cannot be used, and why.
    notes : list of str
        What was assumed.
    """

    added: list[dict[str, str]] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def expand_videos(given: Sequence[str | Path]) -> list[Path]:
    """Videos that are meant by files, folders and patterns.

    Parameters
    ----------
    given : sequence of str or pathlib.Path
        A file, a folder of images, a folder of videos, or a pattern such as ``videos/**/*.mp4``.

    Returns
    -------
    list of pathlib.Path
        Each once, in natural order within a folder or pattern.

    Raises
    ------
    FileNotFoundError
        If one of them means nothing.
    """
    from behavior_prism.datasets.sources import image_names
    from behavior_prism.datasets.video_sequence import in_natural_order

    found: list[Path] = []
    for one in map(Path, given):
        if one.is_dir():
            inside = [p for p in in_natural_order(list(one.iterdir())) if p.suffix.lower() in VIDEO_ENDINGS]
            if inside and any(p.suffix.lower() not in (".tif", ".tiff") for p in inside):
                found += [p for p in inside if not p.name.startswith(".")]
            else:
                image_names(one)  # says what is wrong with it if it is no folder of images either
                found.append(one)
        elif one.exists():
            found.append(one)
        else:
            matches = in_natural_order(glob.glob(str(one), recursive=True)) if glob.has_magic(str(one)) else []
            if not matches:
                raise FileNotFoundError(f"{one}: no such video")
            found += matches
    return list(dict.fromkeys(found))


def add_videos(
    study: Study,
    videos: Sequence[str | Path],
    *,
    name: str = "",
    join: bool = False,
    camera: str = "",
    session: str = "",
    group: str = "",
    animals: Sequence[str] = (),
    individuals: Sequence[str] = (),
    tracks: str = "",
    timestamps: str = "",
    fps: float | None = None,
    dry_run: bool = False,
) -> AddResult:
    """Add videos to a study; those that it has already are left as they are.

    Parameters
    ----------
    study : Study
        To which; its tables are read again.
    videos : sequence of str or pathlib.Path
        As in :func:`expand_videos`.
    name : str
        Of the recording, if it is one; by default made from the file's name, with the folder's before it if that is
        taken.
    join : bool
        All files are one recording, one after another.
    camera, session : str
        As in ``recordings.csv``.
    group : str
        Of the animals, if they are named and new, else of the recordings.
    animals : sequence of str
        Who is in every one of these recordings; new ones come into ``animals.csv``.
    individuals : sequence of str
        What they are called in the tracks, in the same order; by default as they are.
    tracks, timestamps : str
        Files that go with the videos, with ``{stem}`` in the place of the video's name without its ending; tracks are
        by default ``{stem}.tracks.nc`` beside the video if that is there.
    fps : float, optional
        Frames per second of what is no video file.
    dry_run : bool
        Change nothing.

    Returns
    -------
    AddResult

    Raises
    ------
    ValueError, OSError
        If the arguments do not go together or the only recording cannot be used. One bad video does not keep the
        others out.
    """
    files = expand_videos(videos)
    batches = [files] if join else [[f] for f in files]
    _check_arguments(len(batches), name, animals, individuals, (tracks, timestamps))
    prints, result, who = Fingerprints(study.folder), AddResult(), _Who(animals, individuals, group)
    common = {"camera": camera, "session": session, "fps": "" if fps is None else f"{fps:g}"}
    common["group"] = "" if animals else group
    prepared: list[tuple[str, dict[str, str]]] = []
    for batch in batches:
        said = str(batch[0]) if len(batch) == 1 else f"{batch[0]} and {len(batch) - 1} more"
        try:
            cells = _looked_at(study, batch, prints, who, {"tracks": tracks, "timestamps": timestamps}, fps)
        except (ValueError, OSError) as error:
            if len(batches) == 1:
                raise
            result.failed.append((said, " ".join(str(error).split())))
        else:
            prepared.append((said, common | cells))
    if dry_run:
        _edit(study, prepared, name, who, prints, result)
        return result
    with only_editor(study.folder):
        for table in _edit(study, prepared, name, who, prints, result):
            table.save()
        prints.save()
        study.reload()
    return result


def _check_arguments(
    count: int, name: str, animals: Sequence[str], individuals: Sequence[str], patterns: Sequence[str]
) -> None:
    if name and count > 1:
        raise ValueError(f"name: expected one recording to be called {name!r}, got {count}; or join them to one")
    if name and (problem := slug_problem(name)):
        raise ValueError(f"name: {problem}")
    if individuals and len(individuals) != len(animals):
        raise ValueError(f"individuals: expected one for each of {len(animals)} animals, got {len(individuals)}")
    for names in (animals, individuals):
        for one in names:
            if not one.strip() or names.count(one) > 1 or any(c in "|>" or ord(c) < 32 for c in one):
                raise ValueError(f"animals: expected different names without | and >, got {list(names)}")
    for pattern in patterns:
        if count > 1 and pattern and "{stem}" not in pattern:
            raise ValueError(f"{pattern}: expected {{stem}} in it, as there are {count} recordings")


def _looked_at(
    study: Study, batch: Sequence[Path], prints: Fingerprints, who: _Who, patterns: dict[str, str], fps: float | None
) -> dict[str, str]:
    """The cells that files give; raises if they are no recording."""
    from behavior_prism.datasets import load_recording, recording_name
    from behavior_prism.datasets.video_sequence import in_natural_order

    batch = in_natural_order(batch)
    stem = recording_name(batch[0])
    paths = {what: pattern.replace("{stem}", stem) for what, pattern in patterns.items()}
    beside = batch[0].with_name(f"{stem}.tracks.nc")
    if not paths["tracks"] and len(batch) == 1 and beside.exists():
        paths["tracks"] = str(beside)
    for what, path in paths.items():
        if path and not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such {what}")
    found = load_recording(
        batch[0] if len(batch) == 1 else batch,
        tracks=paths["tracks"] or None,
        timestamps=paths["timestamps"] or None,
        fps=fps,
    )
    found.video.close()
    if found.tracks is not None:
        known = [str(i) for i in found.tracks["individual"].values]
        if wrong := [i for i in who.individuals or who.animals if i not in known]:
            raise ValueError(
                f"{paths['tracks']}: expected individuals among {known}, got {wrong[0]!r}; name --individuals"
            )
    stored = [stored_path(study.folder, p) for p in batch]
    if odd := [s for s in stored if SEPARATOR in s]:
        raise ValueError(
            f"{odd[0]}: expected a path without {SEPARATOR}, which parts files in recordings.csv; rename it"
        )
    return {
        "video": SEPARATOR.join(stored),
        "fingerprint": SEPARATOR.join(prints.of(s, p) for s, p in zip(stored, batch, strict=True)),
        **{what: stored_path(study.folder, Path(path)) if path else "" for what, path in paths.items()},
    }


def _edit(
    study: Study,
    prepared: Sequence[tuple[str, dict[str, str]]],
    name: str,
    who: _Who,
    prints: Fingerprints,
    result: AddResult,
) -> list[Table]:
    """Tables as they shall be, in an order in which they are right after each one is written."""
    recordings, animals, subjects = _tables(study.folder)
    check_tables(recordings, animals, subjects)
    owner = _owners(study, recordings, prints)
    at = {file: row["recording"] for row in recordings.rows for file in files_in(row["video"])}
    taken = {row["recording"] for row in recordings.rows}
    members: list[str] = []
    for said, cells in prepared:
        known = {owner.get(p, "") for p in files_in(cells["fingerprint"])}
        try:
            slug = _name_for(cells, known, at, name, taken)
        except ValueError as error:
            if len(prepared) == 1 and not result.failed:
                raise ValueError(f"{said}: {error}") from None
            result.failed.append((said, str(error)))
            continue
        members.append(slug)
        if known == {""}:
            taken.add(slug)
            owner |= dict.fromkeys(files_in(cells["fingerprint"]), slug)
            row = {"recording": slug, **cells}
            recordings.append(row)
            result.added.append(row)
        else:
            result.known[said] = slug
    who.write(list(dict.fromkeys(members)), animals, subjects)  # a video and its copy are one
    return [animals, recordings, subjects]


def _name_for(cells: dict[str, str], known: set[str], at: dict[str, str], name: str, taken: set[str]) -> str:
    """Name of the recording that files are, or shall be."""
    if len(known) > 1:
        raise ValueError(f"some of its files belong to {', '.join(sorted(known - {''}))} already")
    if known != {""}:
        return next(iter(known))
    if replaced := [at[f] for f in files_in(cells["video"]) if f in at]:
        raise ValueError(
            f"is not the file any more that it was as {replaced[0]!r}; if that is meant, empty the cell "
            "'fingerprint' of recordings.csv"
        )
    slug = name or _free_name(cells["video"], taken)
    if slug in taken:
        raise ValueError(f"the name {slug!r} is taken; give another one")
    return slug


def _owners(study: Study, recordings: Table, prints: Fingerprints) -> dict[str, str]:
    """Recording by fingerprint of its files; rows that people wrote get theirs."""
    owner: dict[str, Any] = {}
    for row in recordings.rows:
        known = files_in(row["fingerprint"])
        if not known:
            stored = files_in(row["video"])
            paths = [found_path(study.folder, s) for s in stored]
            if not all(p.exists() for p in paths):
                continue
            known = [prints.of(s, p) for s, p in zip(stored, paths, strict=True)]
            recordings.change(row.line, {"fingerprint": SEPARATOR.join(known)})
        owner |= dict.fromkeys(known, row["recording"])
    return owner


def _free_name(video: str, taken: set[str]) -> str:
    from behavior_prism.datasets import recording_name

    first = Path(files_in(video)[0])
    short = slug_of(recording_name(first))
    return short if short not in taken or not first.parent.name.strip(".") else slug_of(f"{first.parent.name}_{short}")
