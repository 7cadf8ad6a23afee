"""Where the files of a recording are now, and how they are opened."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .study_checks import files_in
from .study_files import Fingerprints, found_path
from .study_tables import Row, Table

if TYPE_CHECKING:
    from behavior_prism.datasets import Recording, RecordingInfo


class Place(NamedTuple):
    """One file of a recording: as written, where it is (perhaps), and its known fingerprint or ``""``."""

    stored: str
    path: Path
    fingerprint: str


def located(folder: Path, row: Row, prints: Fingerprints) -> list[Place]:
    """Where the video files of a recording are.

    Parameters
    ----------
    folder : pathlib.Path
        The study.
    row : Row
        Of ``recordings.csv``.
    prints : Fingerprints
        Of the study.

    Returns
    -------
    list of Place
        Where the study says; a file that is not there but was seen elsewhere, and is still the same one, there: the
        study was copied, its videos were not.
    """
    stored = files_in(row["video"])
    out = []
    for text, known in zip(stored, files_in(row["fingerprint"]) or [""] * len(stored), strict=True):
        path = found_path(folder, text)
        seen = prints.last_seen(text)
        if known and not path.exists() and seen and seen.exists() and prints.of(text, seen) == known:
            path = seen
        out.append(Place(text, path, known))
    return out


def beside(folder: Path, row: Row, column: str, prints: Fingerprints) -> Path | None:
    """Where the tracks or the times of a recording are; they need not be there.

    Parameters
    ----------
    folder, row
        As in :func:`located`.
    column : str
        ``tracks`` or ``timestamps``.
    prints : Fingerprints
        As in :func:`located`.

    Returns
    -------
    pathlib.Path or None
        Where the study says, or where they lay in respect to the video, if that was found elsewhere; None if none are
        named.
    """
    if not row[column]:
        return None
    path = found_path(folder, row[column])
    if not path.exists():
        video = located(folder, row, prints)[0]
        with suppress(ValueError):  # on two drives
            moved = video.path.parent / os.path.relpath(path, found_path(folder, video.stored).parent)
            if moved.exists():
                return Path(os.path.normpath(moved))
    return path


def source_of(folder: Path, table: Table, row: Row) -> tuple[Path | list[Path], dict[str, Any]]:
    """What ``open_video`` needs for a recording.

    Parameters
    ----------
    folder : pathlib.Path
        Of the study.
    table : Table
        ``recordings.csv``, to be named in errors.
    row : Row
        As in :func:`located`.

    Returns
    -------
    files : pathlib.Path or list of pathlib.Path
        One or several.
    timing : dict
        ``fps`` or ``times``, where the row says so.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is not there, or the table of times is none.
    """
    from behavior_prism.datasets import read_timestamps

    prints = Fingerprints(folder)
    files = [place.path for place in located(folder, row, prints)]
    for path in (p for p in files if not p.exists()):
        at = table.where(row.line)
        raise FileNotFoundError(f"{at}: {path}: no such video; behavior-prism relocate finds it elsewhere")
    stamps = _expected(folder, table, row, "timestamps", prints)
    timing: dict[str, Any] = {}
    if stamps is not None:
        column = row["timestamps_column"]
        which = int(column) if column.isdecimal() else column or None
        timing["times"] = read_timestamps(stamps, column=which, unit=row["timestamps_unit"] or "s")
    elif row["fps"]:
        timing["fps"] = float(row["fps"])
    return files[0] if len(files) == 1 else files, timing


def open_recording(folder: Path, table: Table, row: Row, info: RecordingInfo) -> Recording:
    """Open a recording of a study.

    Parameters
    ----------
    folder, table, row
        As in :func:`source_of`.
    info : RecordingInfo
        What is known about it.

    Returns
    -------
    Recording
    """
    from behavior_prism.datasets import load_recording

    files, timing = source_of(folder, table, row)
    tracks = _expected(folder, table, row, "tracks", Fingerprints(folder))
    return load_recording(files, name=row["recording"], tracks=tracks, info=info, **timing)


def _expected(folder: Path, table: Table, row: Row, column: str, prints: Fingerprints) -> Path | None:
    path = beside(folder, row, column, prints)
    if path is not None and not path.exists():
        raise FileNotFoundError(f"{table.where(row.line)}: {column}: {path}: no such file")
    return path
