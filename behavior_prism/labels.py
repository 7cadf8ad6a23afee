"""Work behind ``behavior-prism labels``: many files in, one set of annotations out, and what was assumed on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from .datasets import Annotations, MatchReport

PICTURES = (".png", ".svg", ".pdf")


def timelines_of(videos: Iterable[str | Path]) -> dict[str, Any]:
    """Open the videos whose frames the labels speak of; only their index is read.

    Parameters
    ----------
    videos : iterable of str or pathlib.Path
        Video files.

    Returns
    -------
    dict of str to FrameSource
        By the name of the recording.

    Raises
    ------
    ValueError
        If two videos have one name.
    """
    from .datasets import open_video, recording_name

    found: dict[str, Any] = {}
    for path in videos:
        name = recording_name(path)
        if name in found:
            raise ValueError(f"{path}: two videos are named {name!r}; labels could belong to either")
        found[name] = open_video(path)
    return found


def read_label_files(
    files: Sequence[str | Path],
    format: str | None = None,
    *,
    videos: Sequence[str | Path] = (),
    fps: float | None = None,
    unscored: Sequence[str] = (),
    clip: bool = False,
) -> tuple[Annotations, list[MatchReport]]:
    """Read one or several label files of any known format as one set of annotations.

    Parameters
    ----------
    files : sequence of str or pathlib.Path
        Label files; of one scorer or recording each, or of many.
    format : str, optional
        Their format; by default told from the content of each.
    videos : sequence of str or pathlib.Path
        Videos that they speak of. A single video takes labels that name another recording or none, if all files speak
        of one recording only, and the report says so.
    fps : float, optional
        Frames per second, where there is no video.
    unscored : sequence of str
        Behaviours that mean "not looked at".
    clip : bool
        Cut rows that reach past the ends of their recording, in place of refusing them.

    Returns
    -------
    annotations : Annotations
    reports : list of MatchReport
        One per file.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or wrong.
    """
    from .datasets import concat_annotations, load_annotations

    timelines = timelines_of(videos)
    only = next(iter(timelines)) if len(timelines) == 1 else None
    parts = []
    for file in files:
        labels = load_annotations(file, format, unscored=unscored, fps=None if timelines else fps)
        report = labels.report
        assert report is not None
        for name in _without_effect(file, format, unscored):
            report.note(f"unscored: nothing in the file is named {name!r}")
        if only and len(labels.recordings) == 1 and labels.recordings[0] not in timelines:
            report.note(f"labels of {labels.recordings[0]!r} taken as those of the one video {only!r}")
            tables = {t: getattr(labels, t).assign(recording=only) for t in ("bouts", "scored")}
            labels = replace(labels, **tables)
        if timelines:
            try:
                labels = labels.bind(timelines, outside="clip" if clip else "error")
            except ValueError as error:
                raise ValueError(f"{file}: {error}; --clip cuts them off") from None
            report = labels.report
            assert report is not None
        parts.append((labels, report))
    return concat_annotations([labels for labels, _ in parts]), [report for _, report in parts]


def _without_effect(file: str | Path, format: str | None, unscored: Sequence[str]) -> list[str]:
    """Names given as "not looked at" that change nothing: misspelt, or not in this file."""
    from .datasets import load_annotations

    if not unscored:
        return []
    plain = load_annotations(file, format)
    read = {name: load_annotations(file, format, unscored=[name]) for name in unscored}
    return [n for n, r in read.items() if r.bouts.equals(plain.bouts) and r.scored.equals(plain.scored)
            and r.behaviors == plain.behaviors]  # fmt: skip


def write_label_file(
    annotations: Annotations,
    out: str | Path,
    format: str | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    **given: Any,
) -> MatchReport:
    """Write labels, or only say what would be written and lost.

    Parameters
    ----------
    annotations : Annotations
        What to write.
    out : str or pathlib.Path
        File to make, or a folder that exists.
    format : str, optional
        By default the one whose endings ``out`` has.
    overwrite : bool
        Replace an existing file.
    dry_run : bool
        Write to a temporary folder that is thrown away, so that what is said is what would happen.
    **given
        Further arguments of :func:`behavior_prism.datasets.save_annotations`.

    Returns
    -------
    MatchReport

    Raises
    ------
    FileExistsError, FileNotFoundError
        If a file is there already, or the folder it should go to is not.
    ValueError
        If the format cannot be written.
    """
    from tempfile import TemporaryDirectory

    from .datasets import save_annotations

    out = Path(out)
    if not out.is_dir() and not out.parent.is_dir():
        raise FileNotFoundError(f"{out}: there is no folder {out.parent}; make it first")
    if not dry_run:
        return save_annotations(annotations, out, format, overwrite=overwrite, **given)
    with TemporaryDirectory() as folder:
        target = Path(folder) if out.is_dir() else Path(folder, out.name)
        try:
            report = save_annotations(annotations, target, format, **given)
        except ValueError as error:
            raise ValueError(str(error).replace(str(target), str(out))) from None
        made = [out / path.name for path in Path(folder).iterdir()] if out.is_dir() else [out]
    for path in made:
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path}: exists already; choose another name or overwrite it explicitly")
    report.path = str(out)
    report.note("nothing was written (dry run)")
    return report


def save_label_picture(annotations: Annotations, path: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Draw the labels of every recording.

    Parameters
    ----------
    annotations : Annotations
        What to draw.
    path : str or pathlib.Path
        Picture to make (.png, .svg, .pdf); of several recordings one each, with ``-NAME`` before the ending.
    overwrite : bool
        Replace existing pictures.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    ValueError
        If the ending is no picture's or there is nothing to draw.
    """
    from .analysis import plot_labels

    path = Path(path)
    if path.suffix.lower() not in PICTURES:
        raise ValueError(f"{path}: expected a picture ending in {', '.join(PICTURES)}")
    names = annotations.recordings
    if not names:
        raise ValueError(f"{path}: no bouts to draw")
    made = []
    for name in names:
        target = path if len(names) == 1 else path.with_name(f"{path.stem}-{_plain(name)}{path.suffix}")
        made.append(_save_figure(plot_labels(annotations, name), target, overwrite=overwrite))
    return made


def _save_figure(figure: Figure, path: Path, *, overwrite: bool) -> Path:
    from .files import atomic_write

    with atomic_write(path, overwrite=overwrite) as fresh:
        figure.savefig(fresh, dpi=140, format=path.suffix[1:].lower())
    return path


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def import_labels(
    annotations: Annotations, folder: str | Path, writer: str, *, dry_run: bool = False
) -> tuple[int, int, list[str]]:
    """Take labels into the journal of a study; rows that are there already are not taken twice.

    Parameters
    ----------
    annotations : Annotations
        What to take in.
    folder : str or pathlib.Path
        Folder of the study.
    writer : str
        Under whose name; one undo of this writer takes it all out again.
    dry_run : bool
        Only count.

    Returns
    -------
    taken, known : int
        Bouts that are new, and those that were there.
    new_behaviors : list of str
        Behaviours that the journal did not know.
    """
    from .datasets import Journal

    with Journal.open(folder, writer=None if dry_run else writer) as journal:
        before = journal.annotations()
        renamed = journal.names_here(annotations.ethogram)
        rows = annotations.bouts.assign(behavior=annotations.bouts["behavior"].replace(renamed))
        fresh = _unknown_rows(rows, before.bouts)
        new = [b for b in annotations.behaviors if b not in before.ethogram and b not in renamed]
        taken = replace(annotations, bouts=annotations.bouts[fresh])
        if not dry_run and (fresh.any() or new or _scores_more(annotations, before, renamed)):
            journal.import_annotations(taken)
    return int(fresh.sum()), int((~fresh).sum()), new


def named_as_in_study(annotations: Annotations, folder: str | Path) -> tuple[Annotations, list[str]]:
    """Give recordings the names that a study has for them: its own are in lower case and without blanks.

    Parameters
    ----------
    annotations : Annotations
        As read.
    folder : str or pathlib.Path
        Of the study; where there is none, nothing is changed.

    Returns
    -------
    annotations : Annotations
        With the study's names, where it is clear which is meant.
    notes : list of str
        What belongs to no recording of the study.
    """
    from .study import SETTINGS, Study
    from .study_files import slug_of

    if not (Path(folder) / SETTINGS).is_file():
        return annotations, []
    study = Study.open(folder)
    names: dict[str, str] = {}
    notes: list[str] = []
    for name in annotations.recordings:
        try:
            slug = name if name in study.names else slug_of(name)
        except ValueError:
            slug = ""
        if slug in study.names and slug not in names.values():
            names[name] = slug
        elif study.names:
            some = ", ".join(study.names[:8]) + ", ..." * (len(study.names) > 8)
            notes.append(
                f"{name!r} is no recording of this study ({some}); its labels are kept under that name and count for "
                "none of them"
            )
    if all(old == new for old, new in names.items()):
        return annotations, notes
    bouts, scored = (t.assign(recording=t["recording"].replace(names)) for t in (annotations.bouts, annotations.scored))
    return replace(annotations, bouts=bouts, scored=scored), notes


def _scores_more(annotations: Annotations, known: Annotations, renamed: dict[str, str]) -> bool:
    """Whether something is scored in the one that is not scored in the other."""
    from .datasets.annotations import spelled_out
    from .datasets.bout_rows import TEXT_COLUMNS
    from .datasets.interval_sets import covered, ends_of, keys_of, shared_unit

    tables = [spelled_out(one).scored for one in (annotations, known)]
    tables[0] = tables[0].assign(behavior=tables[0]["behavior"].replace(renamed))
    try:
        unit = shared_unit(*tables)
    except ValueError:  # of different units: the journal tells them apart
        return True
    keys, _ = keys_of(tables, TEXT_COLUMNS)
    layers = [(key, *ends_of(table, frozenset(), unit)) for key, table in zip(keys, tables, strict=True)]
    _, (here, there) = covered(layers)
    return bool((here & ~there).any())


def _unknown_rows(rows: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
    """Which rows are not among those that are known, by who did what when."""
    import numpy as np

    from .datasets.bout_rows import BOUT_COLUMNS

    def keys(table: pd.DataFrame) -> list[tuple[object, ...]]:
        plain = table[list(BOUT_COLUMNS)].astype(object)
        return list(plain.where(plain.notna(), None).itertuples(index=False, name=None))

    there = set(keys(known))
    return np.asarray([key not in there for key in keys(rows)], dtype=bool)


def name_scorers(parts: Sequence[tuple[str | Path, Annotations]]) -> list[Annotations]:
    """Scorers by the names of their files, where the rows do not name them.

    Parameters
    ----------
    parts : sequence of (path, Annotations)
        What was read from which file.

    Returns
    -------
    list of Annotations
        Rows without a scorer get the file's name without its endings. The recordings stay.
    """
    from .datasets import recording_name

    out = []
    for path, labels in parts:
        name = recording_name(path)
        tables = {
            t: (table := getattr(labels, t)).assign(scorer=table["scorer"].where(table["scorer"] != "", name))
            for t in ("bouts", "scored")
        }
        out.append(replace(labels, **tables))
    return out
