"""One row per frame and one column per behaviour: three states to rows of a bout table, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from behavior_prism.schemas import NOT_SCORED, PRESENT

from ..annotations import Annotations
from ..bout_rows import WHOLE_VIEW
from ..dense_labels import DIRECTED, to_dense
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


def tell_states(annotations: Annotations, report: Any) -> None:
    """Report what one row per frame cannot hold of a bout table.

    Parameters
    ----------
    annotations : Annotations
        What is written.
    report : MatchReport
        Where it is told.
    """
    points = annotations.bouts["behavior"].isin(annotations.ethogram.points)
    if points.any():
        report.lose(f"that {int(points.sum())} rows are point events; each is written as one frame")
    for column in ("comment", "modifiers", "score"):
        if column in annotations.bouts and not annotations.bouts[column].isin(["", np.nan]).all():
            report.lose(f"the column {column!r} of the bouts")
    if any(b.color or b.definition or b.category for b in annotations.ethogram):
        report.lose("colours, definitions and categories of the ethogram")
