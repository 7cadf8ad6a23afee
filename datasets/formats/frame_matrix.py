"""One row per frame and one column per behaviour: three states to rows of a bout table, and back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from behavior_prism.schemas import NOT_SCORED, PRESENT

from ..annotations import Annotations
from ..bout_rows import BOUT_COLUMNS, TEXT_COLUMNS, WHOLE_VIEW
from ..dense_labels import DIRECTED, to_dense
from ..interval_sets import ends_of, keys_of, reach_before
from .frame_rows import mask_rows
from .label_format import Writing

Rows = list[dict[str, Any]]


def matrix_rows(values: np.ndarray, names: list[str], **who: str) -> tuple[Rows, Rows]:
    """Bouts and scored intervals of one individual.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (frames, behaviours): 1 present, 0 absent, -1 not scored.
    names : list of str
        Behaviours of the columns.
    **who : str
        Further columns, the same in every row.

    Returns
    -------
    (list of dict, list of dict)

    Examples
    --------
    >>> matrix_rows(np.array([[0, 1], [-1, -1]]), ["walk", "rear"])
    ([{'behavior': 'rear', 'start_frame': 0, 'stop_frame': 1}], [{'behavior': '', 'start_frame': 0, 'stop_frame': 1}])
    """
    known = values != NOT_SCORED
    bouts, scored = [], []
    for k, name in enumerate(names):
        bouts += mask_rows(values[:, k] == PRESENT, **who, behavior=name)
    if names and (known == known[:, :1]).all():
        return bouts, mask_rows(known[:, 0], **who, behavior="")
    for k, name in enumerate(names):
        scored += mask_rows(known[:, k], **who, behavior=name)
    return bouts, scored


def subjects(annotations: Annotations, num_frames: int) -> dict[tuple[str, str], np.ndarray]:
    """Three states of every individual (``"a>b"`` of a pair) and scorer, in the order of the ethogram.

    Parameters
    ----------
    annotations : Annotations
        Rows of one recording, with frames.
    num_frames : int
        Frames of the recording.

    Returns
    -------
    dict of (str, str) to numpy.ndarray
        By individual and scorer, those that have rows: shape (frames, behaviours).
    """
    label = to_dense(annotations, np.arange(num_frames))
    out = {}
    for i, individual in enumerate(label["individual"].values):
        for s, scorer in enumerate(label["scorer"].values):
            values = label.values[s, :, i, :]
            if (values != NOT_SCORED).any():
                out[str(individual), str(scorer)] = values
    return out


def only_subject(annotations: Annotations, num_frames: int, title: str, writing: Writing) -> np.ndarray:
    """Three states of the one individual that a file of this format can hold.

    Parameters
    ----------
    annotations : Annotations
        Rows of one recording, with frames.
    num_frames : int
        Frames of the recording.
    title : str
        The format, for messages.
    writing : Writing
        Whose report is told what is left out.

    Returns
    -------
    numpy.ndarray
        Shape (frames, behaviours).

    Raises
    ------
    ValueError
        If there are several individuals, pairs or scorers.
    """
    found = subjects(annotations, num_frames)
    tell_borders(annotations, writing.report)
    if len(found) > 1:
        named = [f"{i} (scorer {s!r})" if s else i for i, s in found]
        raise ValueError(f"{writing.name}: a {title} file holds one individual and scorer, got {named}; select one")
    for individual, scorer in found:
        if individual != WHOLE_VIEW or scorer:
            what = "pair" if DIRECTED in individual else "individual"
            by = f" and the scorer {scorer!r}" if scorer else ""
            writing.report.lose(f"the name of the {what} {individual!r}{by}")
        return found[individual, scorer]
    return np.full((num_frames, len(annotations.behaviors)), NOT_SCORED, dtype=np.int8)


def tell_states(annotations: Annotations, report: Any, kept: Collection[str] = ()) -> None:
    """Report what one row per frame cannot hold of a bout table.

    Parameters
    ----------
    annotations : Annotations
        What is written.
    report : MatchReport
        Where it is told.
    kept : collection of str
        As in :func:`tell_columns`.
    """
    points = annotations.bouts["behavior"].isin(annotations.ethogram.points)
    if points.any():
        report.lose(f"that {int(points.sum())} rows are point events; each is written as one frame")
    tell_columns(annotations, report, kept)
    if any(b.color or b.definition or b.category for b in annotations.ethogram):
        report.lose("colours, definitions and categories of the ethogram")
    if annotations.ethogram.exclusive:
        report.lose("which behaviours exclude each other")


def tell_columns(annotations: Annotations, report: Any, kept: Collection[str] = ()) -> None:
    """Report further columns of the bouts that are not written.

    Parameters
    ----------
    annotations : Annotations
        What is written.
    report : MatchReport
        Where it is told.
    kept : collection of str
        Columns that the format has a place for, or that are told otherwise.
    """
    for column in (c for c in annotations.bouts if c not in BOUT_COLUMNS and c not in kept):
        if not annotations.bouts[column].isin(["", None, np.nan]).all():
            report.lose(f"the column {str(column)!r} of the bouts")


def kept_source(annotations: Annotations, written: Collection[str]) -> tuple[str, ...]:
    """The column ``source``, if it only names streams or channels that the file has anyway.

    Parameters
    ----------
    annotations : Annotations
        What is written.
    written : collection of str
        Names of the streams or channels.

    Returns
    -------
    tuple of str
    """
    own = "source" in annotations.bouts and annotations.bouts["source"].isin(["", *written]).all()
    return ("source",) if own else ()


def tell_borders(annotations: Annotations, report: Any) -> None:
    """Report bouts that become one where a row per frame is written: those that touch or overlap.

    Parameters
    ----------
    annotations : Annotations
        Rows in frames.
    report : MatchReport
        Where it is told.
    """
    (key,), _ = keys_of([annotations.bouts], TEXT_COLUMNS)
    start, stop = ends_of(annotations.bouts, annotations.ethogram.points, "frames")
    order, farthest, reach = reach_before(key, start, stop)
    if ((farthest >= 0) & (reach >= start[order])).any():
        report.lose("borders of bouts of one behaviour that touch or overlap")
