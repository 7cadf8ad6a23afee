"""Work behind ``behavior-prism labels``: many files in, one set of annotations out, and what was assumed on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
