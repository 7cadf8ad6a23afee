"""The door for labels: ``load_annotations`` and ``save_annotations`` for every format that is known.

The format is told from the content of a file, not from its name alone; where two formats are possible, the error names
both. Frames and seconds are brought together here, so that no format does it in its own way.
"""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pandas as pd

from ..annotations import Annotations, spelled_out
from ..binding import at_rate, bind_annotations, timelines
from ..ethogram import Ethogram
from ..match_report import MatchReport
from ..recording import recording_name
from .guarded import check_file
from .label_format import HEAD_BYTES, LabelFormat, Reading, Sample, Writing

MODULES = (
    "bout_csv",
    "jabs_json",
    "jabs_predictions",
    "jaaba_labels",
    "jaaba_scores",
    "behaviordepot_mat",
    "cvat_xml",
    "calms21_json",
    "mabe22",
    "bout_parquet",
    "sleap_events",
    "nwb_ethogram",
    "boris_project",
    "boris_aggregated",
    "boris_tabular",
    "boris_binary",
    "caltech_annot",
    "bento_annot",
    "onehot",
    "feral_json",
    "simba",
    "seconds_csv",
    "dlcanalyzer_csv",
    "via_csv",
)
LARGEST = 1 << 40  # each reader has its own bound, some read as a stream


@cache
def _modules() -> dict[str, ModuleType]:
    found = (importlib.import_module(f".{name}", __package__) for name in MODULES)
    return {module.FORMAT.name: module for module in found}


def label_formats() -> tuple[LabelFormat, ...]:
    """Every format that is known.

    Returns
    -------
    tuple of LabelFormat

    Examples
    --------
    >>> "bouts" in [f.name for f in label_formats()]
    True
    """
    return tuple(module.FORMAT for module in _modules().values())


def _module_of(name: str) -> ModuleType:
    if name not in _modules():
        raise ValueError(f"unknown label format {name!r}: expected one of {sorted(_modules())}")
    return _modules()[name]


def recognise_format(path: str | Path) -> LabelFormat:
    """Tell the format of a file from its content.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    LabelFormat

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, or no format or more than one fits; the message names them.
    """
    path = Path(path)
    with check_file(path, max_bytes=LARGEST).open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
        except zlib.error as error:
            raise ValueError(f"{path}: damaged gzip file ({error})") from None
    sample = Sample(path, head)
    fitting = [m.FORMAT for m in _modules().values() if m.recognise(sample)]
    if len(fitting) == 1:
        return fitting[0]
    names = [f.name for f in fitting or label_formats()]
    header = sample.lines[0] if sample.lines else ""
    separator = max(",;\t", key=header.count)
    if not fitting and separator in header:
        columns = [cell.strip().strip('"') for cell in header.split(separator)][:12]
        raise ValueError(
            f"{path}: a table of no known format with the columns {columns}; a bout table needs 'behavior' and "
            "start_frame, stop_frame (or start, stop in seconds)"
        )
    if not fitting:
        raise ValueError(f"{path}: not a label file of a known format ({', '.join(names)})")
    raise ValueError(f"{path}: could be {' or '.join(names)}; name the format")


def load_annotations(
    path: str | Path,
    format: str | None = None,
    *,
    recording: Any = None,
    fps: float | None = None,
    unscored: Sequence[str] = (),
    behaviors: Ethogram | Sequence[str] | None = None,
    outside: Literal["error", "clip"] = "error",
) -> Annotations:
    r"""Read labels of any known format.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    format : str, optional
        Name of the format, as :func:`label_formats` lists them; by default it is told from the content.
    recording : Recording, str, or mapping of str to Recording, video or frame edges [s], optional
        Whose labels they are. With frame times, rows in seconds are placed on frames (each end goes to the nearest
        edge) and rows in frames get their seconds; rows of other recordings keep the unit of their file. Rows that
        name none are those of the one recording, or of the name, that is given; else of that the file is named for.
    fps : float, optional
        Frames per second, to convert without a recording.
    unscored : sequence of str, optional
        Behaviours of the file that mean "not looked at" (``background`` in some one-hot tables, ``base`` in some
        Caltech files): their frames become not scored.
    behaviors : Ethogram or sequence of str, optional
        The behaviours under study; a row of any other is an error. By default those of the file, in order of
        appearance.
    outside : {"error", "clip"}
        What to do with rows that reach past the ends of their recording.

    Returns
    -------
    Annotations
        Its ``report`` says what was matched, assumed, moved and left out.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or its content is wrong; the message names the line or key.

    Examples
    --------
    >>> labels = load_annotations("obs1.boris", recording={"mouse1": edges})  # doctest: +SKIP
    >>> print("\n".join(labels.report.lines()))  # doctest: +SKIP
    """
    path = Path(path)
    check_file(path, max_bytes=LARGEST)
    module = _module_of(format) if format else _module_of(recognise_format(path).name)
    name = recording if isinstance(recording, str) else None
    edges = {} if recording is None or name is not None else timelines(recording)
    report = MatchReport(path=str(path), format=module.FORMAT.name)
    names = (name,) if name else tuple(edges)
    reading = Reading(path=path, recordings=names, unscored=tuple(unscored), fps=fps, report=report)
    try:
        read = module.read(reading)
    except ValueError as error:  # of an ethogram or a table, which know of no file
        raise (error if str(path) in str(error) else ValueError(f"{path}: {error}")) from None
    one = name or ("" if edges and isinstance(recording, Mapping) else "".join(edges))
    only = one or _recording_of(path, module.FORMAT)
    bouts, scored = (_named(t, only) for t in (read.bouts, read.scored))
    ethogram = read.ethogram
    if behaviors is not None:
        wanted = behaviors if isinstance(behaviors, Ethogram) else Ethogram(behaviors)
        report.new_behaviors = tuple(b for b in read.behaviors if b not in wanted)
        if report.new_behaviors:
            raise ValueError(
                f"{path}: unknown behaviour {report.new_behaviors[0]!r}, expected one of {list(wanted.names)}"
            )
        ethogram = wanted.filled_from(read.ethogram)
        if set(wanted.names) != set(read.behaviors):  # "everything was scored" means what the file knows
            scored = _named(spelled_out(read).scored, only)
    report.behaviors = ethogram.names
    points = bouts["behavior"].isin(ethogram.points)
    report.bouts, report.points, report.scored = int((~points).sum()), int(points.sum()), len(scored)
    annotations = Annotations(bouts=bouts, scored=scored, ethogram=ethogram, report=report)
    try:
        if edges:
            annotations = bind_annotations(annotations, edges, outside=outside)
        if fps is not None:
            annotations = at_rate(annotations, fps)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return annotations


def _recording_of(path: Path, stated: LabelFormat) -> str:
    """The file's name without the ending of its format."""
    for suffix in sorted(stated.suffixes, key=len, reverse=True):
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    return recording_name(path)


def _named(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table.assign(recording=table["recording"].where(table["recording"] != "", name))


def save_annotations(
    annotations: Annotations,
    path: str | Path,
    format: str | None = None,
    *,
    overwrite: bool = False,
    recording: Any = None,
    fps: float | None = None,
    onto: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> MatchReport:
    """Write labels in any format that can be written.

    Parameters
    ----------
    annotations : Annotations
        What to write.
    path : str or pathlib.Path
        File to make, through a temporary name; or a folder that exists, for one file per recording.
    format : str, optional
        Name of the format; by default the one whose endings ``path`` has, or the bout table.
    overwrite : bool
        Replace an existing file.
    recording : Recording or mapping of str to Recording, video or frame edges [s], optional
        Gives formats with a row per frame their length, and formats in the other unit their times.
    fps : float, optional
        Frames per second, where no recording is given.
    onto : str or pathlib.Path, optional
        An existing file to whose content the labels are added, for the formats that are additions.
    options : mapping of str to object, optional
        Facts that only this format asks for (``session_start_time`` and more of an NWB file); the format's ``options``
        are their names.

    Returns
    -------
    MatchReport
        What was written and what the format cannot hold.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is not set.
    ValueError
        If the format cannot be written or needs frames, seconds or a rate that are not known.
    """
    path = Path(path)
    module = _module_of(format) if format else _module_by_ending(path)
    stated: LabelFormat = module.FORMAT
    if not stated.writes:
        raise ValueError(f"{path}: {stated.title} can be read, not written")
    options = _known_options(options or {}, stated, path)
    edges = {} if recording is None else timelines(recording)
    if edges:
        annotations = bind_annotations(
            annotations, {n: e for n, e in edges.items() if {n, ""} & {*annotations.recordings}}
        )
    if fps is not None:
        annotations = at_rate(annotations, fps)
    if path.is_dir():
        parts = {path / f"{_file_name(r)}{stated.suffixes[0]}": annotations.select(recording=r)
                 for r in annotations.recordings}  # fmt: skip
        if len(parts) < len(annotations.recordings):
            raise ValueError(f"{path}: two recordings would be written to one file; rename one of them")
    else:
        parts = {path: annotations}
    if not stated.several and any(len(part.recordings) > 1 for part in parts.values()):
        raise ValueError(
            f"{path}: a {stated.title} file holds one recording, got {list(annotations.recordings)}; "
            "name a folder that exists, for one file each"
        )
    if stated.unit == "frames" and not annotations.in_frames:
        raise ValueError(
            f"{path}: {stated.title} counts frames, some rows know only seconds; give the recording or fps"
        )
    if stated.unit == "seconds" and not annotations.in_seconds:
        raise ValueError(
            f"{path}: {stated.title} counts seconds, some rows know only frames; give the recording or fps"
        )
    for target in parts:
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target}: exists already; choose another name or overwrite it explicitly")
    points = annotations.bouts["behavior"].isin(annotations.ethogram.points)
    report = MatchReport(
        path=str(path), format=stated.name, bouts=int((~points).sum()), points=int(points.sum()),
        scored=len(annotations.scored), behaviors=annotations.behaviors,
    )  # fmt: skip
    for target, part in parts.items():
        temporary = target.with_name(f".{os.getpid()}.tmp.{target.name}")
        given = Path(onto) if onto is not None else None
        try:
            module.write(
                part,
                Writing(
                    path=temporary, name=target.name, edges=edges, fps=fps, onto=given, options=options, report=report
                ),
            )
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return report


def _known_options(options: Mapping[str, Any], stated: LabelFormat, path: Path) -> dict[str, Any]:
    if unknown := sorted(set(options) - set(stated.options)):
        raise ValueError(f"{path}: unknown option {unknown[0]!r}, {stated.title} takes {list(stated.options)}")
    return dict(options)


def _module_by_ending(path: Path) -> ModuleType:
    """The format with the longest ending that fits; of a plain csv the bout table, a folder is for bout tables too."""
    name = path.name.lower()
    writing = [m for m in _modules().values() if m.FORMAT.writes]
    lengths = {m.FORMAT.name: max((len(s) for s in m.FORMAT.suffixes if name.endswith(s)), default=0) for m in writing}
    longest = max(lengths.values())
    fitting = [m for m in writing if longest and lengths[m.FORMAT.name] == longest]
    if path.is_dir() or name[-longest:] == ".csv":
        return _module_of("bouts")
    if len(fitting) == 1:
        return fitting[0]
    raise ValueError(f"{path}: name the format, one of {[m.FORMAT.name for m in fitting or writing]}")


def _file_name(recording: str) -> str:
    """A name that stays within its folder."""
    name = "".join("_" if c in '/\\:*?"<>|' or ord(c) < 32 else c for c in recording).strip(". ")
    return name or "recording"
