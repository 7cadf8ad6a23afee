"""Who saw which behaviour when, and what was scored at all.

A behaviour at a frame has three states: present (1), absent (0) and not scored (-1). Bouts alone cannot
tell absent from not scored, so :class:`Annotations` carries the scored intervals beside the bouts. Frame
intervals are half-open ``[start_frame, stop_frame)``; ``start`` and ``stop`` are the times of those frame
edges in seconds. A file of another tool often knows only one of the two: the other is NA then, until
:meth:`Annotations.bind` places the rows on the frames of a recording. A point event has its start as its stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .bout_rows import BOUT_COLUMNS, WHOLE_VIEW, tidy_table
from .ethogram import Ethogram

if TYPE_CHECKING:
    from .match_report import MatchReport


@dataclass(frozen=True)
class Annotations:
    """Bouts and scored intervals of one or several recordings.

    Parameters
    ----------
    bouts : pandas.DataFrame
        One row per bout, columns :data:`BOUT_COLUMNS` (further columns are kept; ``source``, ``comment`` and
        ``modifiers`` are text). ``target`` names the other animal of a directed behaviour and is empty otherwise.
        Frames or seconds of a row may be NA, not both.
    scored : pandas.DataFrame
        One row per scored interval, the same columns. An empty ``behavior`` means that every behaviour was
        scored there. An interval with a ``target`` speaks of that pair, one without of the individual alone.
    behaviors : tuple of str
        The behaviours under study, in a fixed order; may hold behaviours that never occur. By default those of
        ``ethogram``, or those of the rows, sorted.
    ethogram : Ethogram, optional
        What is known about them; by default states without further notes.
    report : MatchReport, optional
        What happened when they were read from a file; operations do not carry it on.

    Raises
    ------
    ValueError
        If columns are missing, an interval is empty or negative, or a row names an unknown behaviour.

    Examples
    --------
    >>> a = annotations_from_intervals([(0, 10, "walk")], behaviors=("walk", "groom"), num_frames=30, fps=30)
    >>> len(a.bouts), a.behaviors
    (1, ('walk', 'groom'))
    """

    bouts: pd.DataFrame
    scored: pd.DataFrame
    behaviors: tuple[str, ...] = field(default=())
    ethogram: Ethogram = None  # type: ignore[assignment]  # filled in below
    report: MatchReport | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        names = tuple(self.behaviors)
        if self.ethogram is None:
            if len(set(names)) != len(names):
                raise ValueError(f"behaviors: expected each name once, got {list(names)}")
            rows = set(self.bouts["behavior"].unique()) if "behavior" in self.bouts else set()
            ethogram = Ethogram(names or sorted({str(b) for b in rows}))
        else:
            ethogram = self.ethogram.only(names) if names else self.ethogram
        bouts = tidy_table(self.bouts, ethogram.points, "bouts")
        scored = tidy_table(self.scored, frozenset(), "scored intervals")
        unknown = sorted(({*bouts["behavior"].unique(), *scored["behavior"].unique()} - {""}) - set(ethogram.names))
        if unknown:
            raise ValueError(f"unknown behaviour {unknown[0]!r}: expected one of {list(ethogram.names)}")
        object.__setattr__(self, "bouts", bouts)
        object.__setattr__(self, "scored", scored)
        object.__setattr__(self, "behaviors", ethogram.names)
        object.__setattr__(self, "ethogram", ethogram)

    @property
    def recordings(self) -> tuple[str, ...]:
        """Names of the recordings that occur, sorted."""
        return self._names("recording")

    @property
    def individuals(self) -> tuple[str, ...]:
        """Names of the individuals that occur, sorted."""
        return self._names("individual")

    @property
    def scorers(self) -> tuple[str, ...]:
        """Names of the scorers that occur, sorted."""
        return self._names("scorer")

    def _names(self, column: str) -> tuple[str, ...]:
        return tuple(sorted({*self.bouts[column].unique(), *self.scored[column].unique()}))

    @property
    def in_frames(self) -> bool:
        """Whether every row knows its frames."""
        return not (self.bouts["start_frame"].isna().any() or self.scored["start_frame"].isna().any())

    @property
    def in_seconds(self) -> bool:
        """Whether every row knows its seconds."""
        return not (self.bouts["start"].isna().any() or self.scored["start"].isna().any())

    def with_rows(self, bouts: pd.DataFrame, scored: pd.DataFrame, *, ethogram: Ethogram | None = None) -> Annotations:
        """Other rows under the same ethogram, or under another.

        Parameters
        ----------
        bouts, scored : pandas.DataFrame
            As in :class:`Annotations`.
        ethogram : Ethogram, optional
            Another one.

        Returns
        -------
        Annotations
        """
        return Annotations(bouts=bouts, scored=scored, ethogram=ethogram or self.ethogram)

    def select(
        self,
        *,
        recording: str | Sequence[str] | None = None,
        individual: str | Sequence[str] | None = None,
        scorer: str | Sequence[str] | None = None,
        behavior: str | Sequence[str] | None = None,
    ) -> Annotations:
        """Keep the rows of these names.

        Parameters
        ----------
        recording, individual, scorer, behavior : str or sequence of str, optional
            Names; by default all. The ethogram is cut down to the behaviours that are chosen.

        Returns
        -------
        Annotations

        Raises
        ------
        ValueError
            If a behaviour is unknown.
        """
        bouts, scored = self.bouts, self.scored
        chosen = {"recording": recording, "individual": individual, "scorer": scorer}
        for column, names in chosen.items():
            if names is not None:
                wanted = [names] if isinstance(names, str) else list(names)
                bouts, scored = bouts[bouts[column].isin(wanted)], scored[scored[column].isin(wanted)]
        if behavior is None:
            return self.with_rows(bouts, scored)
        wanted = [behavior] if isinstance(behavior, str) else list(behavior)
        if unknown := [b for b in wanted if b not in self.ethogram]:
            raise ValueError(f"unknown behaviour {unknown[0]!r}: expected one of {list(self.behaviors)}")
        scored = scored[scored["behavior"].isin(["", *wanted])]
        return self.with_rows(bouts[bouts["behavior"].isin(wanted)], scored, ethogram=self.ethogram.only(wanted))

    def of_recording(self, recording: str) -> Annotations:
        """Keep one recording.

        Parameters
        ----------
        recording : str
            Its name.

        Returns
        -------
        Annotations
            Rows of that recording; the behaviours stay as they are.

        Raises
        ------
        ValueError
            If no row speaks of that recording.
        """
        if recording not in self.recordings:
            raise ValueError(f"no labels for the recording {recording!r}: got {list(self.recordings)}")
        return self.select(recording=recording)

    def bind(self, recording: Any, *, outside: Literal["error", "clip"] = "error") -> Annotations:
        """Place the rows on the frames of a recording: :func:`~behavior_prism.datasets.bind_annotations`.

        Parameters
        ----------
        recording : Recording, FrameSource, or mapping of str to any of these or to frame edges
            Whose frames. One recording takes the rows that name it and those that name none.
        outside : {"error", "clip"}
            What to do with rows that reach past the ends of their recording.

        Returns
        -------
        Annotations
            Frames and seconds both known for the rows of that recording; ``report`` says how far seconds were moved.
        """
        from .binding import bind_annotations

        return bind_annotations(self, recording, outside=outside)


def concat_annotations(parts: Iterable[Annotations]) -> Annotations:
    """Rows of several annotations, one after the other; the ethograms are merged by name.

    Parameters
    ----------
    parts : iterable of Annotations
        At least one.

    Returns
    -------
    Annotations

    Examples
    --------
    >>> a = annotations_from_intervals([(0, 2, "walk")], behaviors=["walk"], num_frames=9, fps=3, scorer="ann")
    >>> b = annotations_from_intervals([(4, 6, "rear")], behaviors=["rear"], num_frames=9, fps=3, scorer="bob")
    >>> concat_annotations([a, b]).scorers
    ('ann', 'bob')
    """
    parts = list(parts)
    if not parts:
        raise ValueError("expected at least one Annotations, got none")
    ethogram = parts[0].ethogram
    for part in parts[1:]:
        ethogram = ethogram.merged_with(part.ethogram)
    return Annotations(
        bouts=_joined([spelled_out(p).bouts for p in parts]),
        scored=_joined([spelled_out(p).scored if p.behaviors != ethogram.names else p.scored for p in parts]),
        ethogram=ethogram,
    )


def spelled_out(annotations: Annotations) -> Annotations:
    """Scored intervals that name every behaviour they speak of, in place of an empty name.

    Parameters
    ----------
    annotations : Annotations
        Any.

    Returns
    -------
    Annotations
        "Everything was scored" means the behaviours known then; it must not grow when others join.
    """
    every = annotations.scored["behavior"] == ""
    if not every.any():
        return annotations
    parts = [annotations.scored[every].assign(behavior=name) for name in annotations.behaviors]
    return annotations.with_rows(annotations.bouts, _joined([*parts, annotations.scored[~every]]))


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    # pandas warns where it must guess the type of an empty table's columns
    filled = [t for t in tables if len(t)]
    if not filled:
        return tables[0]
    joined = pd.concat(filled, ignore_index=True)
    for column in joined.columns.difference(list(BOUT_COLUMNS)):
        texts = [t[column] for t in filled if column in t]
        if all(pd.api.types.is_string_dtype(text) for text in texts):
            joined[column] = joined[column].fillna("")  # a note that only some of the tables have
    return joined


def annotations_from_intervals(
    intervals: Iterable[tuple[int, int, str]],
    *,
    behaviors: Sequence[str],
    num_frames: int,
    fps: float,
    recording: str = "",
    individual: str = WHOLE_VIEW,
    scorer: str = "",
) -> Annotations:
    """Build annotations of one individual in a constant-rate recording that was scored from end to end.

    Parameters
    ----------
    intervals : iterable of (int, int, str)
        ``(start_frame, stop_frame, behavior)``, half-open.
    behaviors : sequence of str
        The behaviours under study.
    num_frames : int
        Frames of the recording.
    fps : float
        Frames per second, for the seconds columns.
    recording, individual, scorer : str
        Names for those columns.

    Returns
    -------
    Annotations

    Examples
    --------
    >>> annotations_from_intervals([(3, 6, "walk")], behaviors=["walk"], num_frames=9, fps=3).bouts["stop"].item()
    2.0
    """
    common = {"recording": recording, "individual": individual, "scorer": scorer}
    bouts = [
        {
            **common,
            "target": "",
            "behavior": b,
            "start_frame": i,
            "stop_frame": j,
            "start": i / fps,
            "stop": j / fps,
        }
        for i, j, b in intervals
    ]
    scored = [
        {
            **common,
            "target": "",
            "behavior": "",
            "start_frame": 0,
            "stop_frame": num_frames,
            "start": 0.0,
            "stop": num_frames / fps,
        }
    ]
    return Annotations(
        bouts=pd.DataFrame(bouts, columns=list(BOUT_COLUMNS)),
        scored=pd.DataFrame(scored, columns=list(BOUT_COLUMNS)),
        behaviors=tuple(behaviors),
    )


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Half-open intervals in which a boolean vector is true.

    Parameters
    ----------
    mask : numpy.ndarray
        Boolean, shape (n,).

    Returns
    -------
    list of (int, int)

    Examples
    --------
    >>> runs(np.array([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(mask, dtype=np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def frame_edges(times: np.ndarray) -> np.ndarray:
    """Times of the n + 1 frame edges, given the times at which n frames are shown.

    Parameters
    ----------
    times : numpy.ndarray
        Presentation times [s], shape (n,).

    Returns
    -------
    numpy.ndarray
        Shape (n + 1,). The last frame is given the median frame duration (1 s if it is the only one).

    Examples
    --------
    >>> frame_edges(np.array([0.0, 0.5, 1.0])).tolist()
    [0.0, 0.5, 1.0, 1.5]
    """
    times = np.asarray(times, dtype=np.float64)
    if len(times) == 0:
        return np.zeros(1)
    last = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    return np.append(times, times[-1] + last)
