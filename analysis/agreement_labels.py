"""Rows of several scorers as dense labels of the same frames, individuals and behaviours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from behavior_prism.datasets.annotations import Annotations, concat_annotations
from behavior_prism.datasets.binding import at_rate, edges_of, timelines
from behavior_prism.datasets.dense_labels import row_names, to_dense
from behavior_prism.datasets.ethogram import Ethogram
from behavior_prism.schemas import PRESENT

from .bout_agreement import bout_runs

UNNAMED = "(unnamed)"


@dataclass(frozen=True, kw_only=True)
class ScoredRecording:
    """Labels of one recording by every scorer.

    Parameters
    ----------
    name : str
        Of the recording.
    edges : numpy.ndarray
        Frame edges [s].
    label : numpy.ndarray
        -1, 0 or 1, shape (scorers, individuals, behaviors, frames).
    scorers, individuals : tuple of str
        Names.
    ethogram : Ethogram
        The behaviours.
    """

    name: str
    edges: np.ndarray
    label: np.ndarray
    scorers: tuple[str, ...]
    individuals: tuple[str, ...]
    ethogram: Ethogram

    def longest_bout(self) -> float:
        """Length of the longest bout [s]."""
        _, start, stop = bout_runs((self.label == PRESENT).reshape(-1, self.label.shape[-1]))
        return float((self.edges[stop] - self.edges[start]).max(initial=0.0))


def scored_recordings(
    annotations: Annotations | Sequence[Annotations] | Mapping[str, Annotations],
    recording: Any,
    *,
    fps: float | None,
    notes: list[str],
) -> list[ScoredRecording]:
    """Place rows on frames and make them dense, recording by recording.

    Parameters
    ----------
    annotations, recording, fps
        As in :func:`agreement_report`.
    notes : list of str
        Takes what has to be told.

    Returns
    -------
    list of ScoredRecording
        In the order of their names; the same scorers and behaviours in each.

    Raises
    ------
    ValueError
        If there are fewer than two scorers, or frames are not known.
    """
    rows = _one_table(annotations)
    scorers = rows.scorers
    if len(scorers) < 2:
        who = f"only {scorers[0]!r}" if scorers else "no rows at all"
        raise ValueError(
            f"agreement: expected rows of two scorers or more, got {who}; name who scored in the column scorer, or "
            "give a mapping of scorers to their annotations"
        )
    for scorer in scorers:
        if not (rows.scored["scorer"] == scorer).any():
            notes.append(
                f"{scorer} has no scored intervals: only the frames of its bouts count, so that absence cannot be "
                "compared; declare what was looked at (score_whole)"
            )
    edges, rows = _on_frames(rows, recording, fps, notes)
    out = []
    for name in rows.recordings:
        if name not in edges:
            notes.append(f"no frames at hand of the recording {name!r}: left out")
            continue
        own = rows.select(recording=name)
        individuals = sorted(set(row_names(own.bouts)) | set(row_names(own.scored)))
        dense = to_dense(own, edges[name][:-1], individuals=individuals, scorers=scorers)
        dense = dense.transpose("scorer", "individual", "behavior", "time")
        out.append(
            ScoredRecording(
                name=name,
                edges=edges[name],
                label=dense.values,
                scorers=scorers,
                individuals=tuple(individuals),
                ethogram=rows.ethogram,
            )
        )
    if not out:
        raise ValueError(f"agreement: no frames of any of the recordings {list(rows.recordings)}")
    return out


def _one_table(annotations: Annotations | Sequence[Annotations] | Mapping[str, Annotations]) -> Annotations:
    if isinstance(annotations, Annotations):
        parts = [annotations]
    elif isinstance(annotations, Mapping):
        parts = [_with_names(a, scorer=str(who)) for who, a in annotations.items()]
    else:
        parts = list(annotations)
    rows = concat_annotations(parts)
    if "" not in rows.scorers:
        return rows
    return rows.with_rows(*(t.assign(scorer=t["scorer"].replace("", UNNAMED)) for t in (rows.bouts, rows.scored)))


def _with_names(annotations: Annotations, **names: str) -> Annotations:
    return annotations.with_rows(annotations.bouts.assign(**names), annotations.scored.assign(**names))


def _on_frames(
    rows: Annotations, recording: Any, fps: float | None, notes: list[str]
) -> tuple[dict[str, np.ndarray], Annotations]:
    if recording is None:
        if fps is None:
            raise ValueError("agreement: expected a recording, frame edges or fps, to know the time of frames")
        rows = at_rate(rows, fps)
        notes.append(f"frames at {fps:g} per second, each recording as long as its rows")
        lengths: dict[str, int] = {}
        for table in (rows.bouts, rows.scored):
            reach = np.maximum(table["stop_frame"].to_numpy(np.int64), table["start_frame"].to_numpy(np.int64) + 1)
            for name, last in zip(table["recording"], reach.tolist(), strict=True):
                lengths[name] = max(lengths.get(name, 0), last)
        return {name: np.arange(last + 1) / fps for name, last in lengths.items()}, rows
    if isinstance(recording, Mapping) or isinstance(getattr(recording, "name", None), str):
        edges = timelines(recording)
    else:
        named = [name for name in rows.recordings if name]
        if len(named) > 1:
            raise ValueError(f"agreement: one recording was given, and the rows speak of {named}")
        edges = {named[0] if named else "": edges_of(recording)}
    rows = rows.bind(edges)
    if rows.report is not None and rows.report.snapped:
        notes.append(f"seconds were moved by at most {1000 * rows.report.snapped:.3g} ms to the nearest frame edge")
    return edges, rows
