"""Who saw which behaviour when, and what was scored at all.

A behaviour at a frame has three states: present (1), absent (0) and not scored (-1). Bouts alone cannot
tell absent from not scored, so :class:`Annotations` carries the scored intervals beside the bouts. Frame
intervals are half-open ``[start_frame, stop_frame)``; ``start`` and ``stop`` are the times of those frame
edges in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from behavior_prism.schemas import ABSENT, NOT_SCORED, PRESENT, validate_labels

if TYPE_CHECKING:
    import xarray as xr

BOUT_COLUMNS = (
    "recording",
    "individual",
    "target",
    "behavior",
    "scorer",
    "start_frame",
    "stop_frame",
    "start",
    "stop",
)
SCORED_COLUMNS = tuple(c for c in BOUT_COLUMNS if c != "target")
_TEXT_COLUMNS = ("recording", "individual", "target", "behavior", "scorer")
WHOLE_VIEW = "view"


def _tidy(table: pd.DataFrame, columns: tuple[str, ...], what: str) -> pd.DataFrame:
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise ValueError(f"{what}: expected the columns {list(columns)}, missing {missing}")
    extra = [c for c in table.columns if c not in columns]
    table = table[[*columns, *extra]].reset_index(drop=True)
    for column in (c for c in columns if c in _TEXT_COLUMNS):
        table[column] = table[column].fillna("").astype(str)
    for column in ("start_frame", "stop_frame"):
        table[column] = table[column].astype("int64")
    for column in ("start", "stop"):
        table[column] = table[column].astype("float64")
    bad = table.index[table["stop_frame"] <= table["start_frame"]]
    if len(bad):
        row = table.loc[bad[0]]
        raise ValueError(
            f"{what}: expected start_frame < stop_frame, got {row['start_frame']} and {row['stop_frame']} "
            f"({row['behavior'] or 'scored interval'}, row {bad[0]})"
        )
    if len(table) and int(table["start_frame"].min()) < 0:
        raise ValueError(f"{what}: expected frames from 0 on, got {int(table['start_frame'].min())}")
    return table


@dataclass(frozen=True)
class Annotations:
    """Bouts and scored intervals of one or several recordings.

    Parameters
    ----------
    bouts : pandas.DataFrame
        One row per bout, columns :data:`BOUT_COLUMNS` (further columns are kept). ``target`` names the other
        animal of a directed behaviour and is empty otherwise.
    scored : pandas.DataFrame
        One row per scored interval, columns :data:`SCORED_COLUMNS`. An empty ``behavior`` means that every
        behaviour was scored there.
    behaviors : tuple of str
        The behaviours under study, in a fixed order; may hold behaviours that never occur.

    Raises
    ------
    ValueError
        If columns are missing, an interval is empty or negative, or a bout names an unknown behaviour.

    Examples
    --------
    >>> a = annotations_from_intervals([(0, 10, "walk")], behaviors=("walk", "groom"), num_frames=30, fps=30)
    >>> len(a.bouts), a.behaviors
    (1, ('walk', 'groom'))
    """

    bouts: pd.DataFrame
    scored: pd.DataFrame
    behaviors: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        bouts = _tidy(self.bouts, BOUT_COLUMNS, "bouts")
        scored = _tidy(self.scored, SCORED_COLUMNS, "scored intervals")
        behaviors = tuple(self.behaviors) or tuple(sorted(set(bouts["behavior"])))
        if len(set(behaviors)) != len(behaviors):
            raise ValueError(f"behaviors: expected each name once, got {list(behaviors)}")
        unknown = sorted((set(bouts["behavior"]) | set(scored["behavior"]) - {""}) - set(behaviors))
        if unknown:
            raise ValueError(f"unknown behaviour {unknown[0]!r}: expected one of {list(behaviors)}")
        object.__setattr__(self, "bouts", bouts)
        object.__setattr__(self, "scored", scored)
        object.__setattr__(self, "behaviors", behaviors)

    @property
    def recordings(self) -> tuple[str, ...]:
        """Names of the recordings that occur, sorted."""
        return tuple(sorted(set(self.bouts["recording"]) | set(self.scored["recording"])))

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
        return Annotations(
            bouts=self.bouts[self.bouts["recording"] == recording],
            scored=self.scored[self.scored["recording"] == recording],
            behaviors=self.behaviors,
        )


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
            "behavior": "",
            "start_frame": 0,
            "stop_frame": num_frames,
            "start": 0.0,
            "stop": num_frames / fps,
        }
    ]
    return Annotations(
        bouts=pd.DataFrame(bouts, columns=list(BOUT_COLUMNS)),
        scored=pd.DataFrame(scored, columns=list(SCORED_COLUMNS)),
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


def to_dense(
    annotations: Annotations,
    times: np.ndarray,
    *,
    individuals: Sequence[str] | None = None,
    scorers: Sequence[str] | None = None,
    what: str = "labels",
) -> xr.DataArray:
    """Turn bouts into dense three-state labels, one row per frame.

    Parameters
    ----------
    annotations : Annotations
        Rows of a single recording.
    times : numpy.ndarray
        Time of every frame [s], shape (num_frames,).
    individuals, scorers : sequence of str, optional
        Coordinates of the result; by default those that occur. A directed behaviour stands under the
        actor's name.
    what : str
        Where the labels come from, for error messages.

    Returns
    -------
    xarray.DataArray
        ``label(scorer, time, individual, behavior)`` int8: -1 not scored, 0 absent, 1 present, with the
        coordinate ``frame(time)``.

    Raises
    ------
    ValueError
        If the rows are of several recordings or an interval ends after the last frame.

    Notes
    -----
    A bout makes its frames present even where no scored interval covers them: somebody saw it.

    Examples
    --------
    >>> a = annotations_from_intervals([(1, 3, "walk")], behaviors=["walk"], num_frames=4, fps=2)
    >>> to_dense(a, np.arange(4) / 2).squeeze().values.tolist()
    [0, 1, 1, 0]
    """
    import xarray as xr

    if len(annotations.recordings) > 1:
        raise ValueError(f"{what}: expected one recording, got {list(annotations.recordings)}")
    times = np.asarray(times, dtype=np.float64)
    num_frames = len(times)
    bouts, scored = annotations.bouts, annotations.scored
    for table in (bouts, scored):
        past = table[table["stop_frame"] > num_frames]
        if len(past):
            row = past.iloc[0]
            raise ValueError(
                f"{what}: {row['behavior'] or 'a scored interval'} of {row['individual'] or 'the view'} ends at frame "
                f"{row['stop_frame']}, past the end of the recording {row['recording']!r} ({num_frames} frames)"
            )
    if individuals is None:
        individuals = sorted(set(bouts["individual"]) | set(scored["individual"]))
    if scorers is None:
        scorers = sorted(set(bouts["scorer"]) | set(scored["scorer"]))
    column_of = {name: i for i, name in enumerate(annotations.behaviors)}
    row_of = {name: i for i, name in enumerate(individuals)}
    slab_of = {name: i for i, name in enumerate(scorers)}
    label = np.full((len(scorers), num_frames, len(individuals), len(column_of)), NOT_SCORED, dtype=np.int8)
    for table, value in ((scored, ABSENT), (bouts, PRESENT)):
        names = zip(table["scorer"], table["individual"], table["behavior"], strict=True)
        intervals = table[["start_frame", "stop_frame"]].to_numpy()
        for (scorer, individual, behavior), (start, stop) in zip(names, intervals, strict=True):
            slab, column = slab_of.get(scorer), row_of.get(individual)
            if slab is None or column is None:
                continue
            chosen = slice(None) if behavior == "" else column_of[behavior]
            label[slab, start:stop, column, chosen] = value
    return xr.DataArray(
        label,
        dims=("scorer", "time", "individual", "behavior"),
        coords={
            "scorer": np.asarray(list(scorers), dtype=object),
            "time": times,
            "frame": ("time", np.arange(num_frames)),
            "individual": np.asarray(list(individuals), dtype=object),
            "behavior": np.asarray(list(annotations.behaviors), dtype=object),
        },
        name="label",
    )


def from_dense(label: xr.DataArray, *, recording: str = "", edges: np.ndarray | None = None) -> Annotations:
    """Turn dense three-state labels into bouts and scored intervals.

    Parameters
    ----------
    label : xarray.DataArray
        ``label([scorer,] time, individual, behavior)`` in {-1, 0, 1}, one row per frame.
    recording : str
        Name for the recording column.
    edges : numpy.ndarray, optional
        Times of the frame edges [s], shape (num_frames + 1,). By default frame times, and for the last edge
        the last time plus the median frame interval.

    Returns
    -------
    Annotations
        ``to_dense`` gives the same labels back.

    Examples
    --------
    >>> a = annotations_from_intervals([(1, 3, "walk")], behaviors=["walk"], num_frames=4, fps=2)
    >>> from_dense(to_dense(a, np.arange(4) / 2)).bouts[["start_frame", "stop_frame"]].values.tolist()
    [[1, 3]]
    """
    validate_labels(label)
    if "scorer" not in label.dims:
        label = label.expand_dims(scorer=np.asarray([""], dtype=object))
    label = label.transpose("scorer", "time", "individual", "behavior")
    if edges is None:
        edges = frame_edges(label["time"].values)
    if len(edges) != label.sizes["time"] + 1:
        raise ValueError(f"edges: expected {label.sizes['time'] + 1} values, got {len(edges)}")
    behaviors = tuple(str(b) for b in label["behavior"].values)
    bouts: list[dict[str, object]] = []
    scored: list[dict[str, object]] = []

    def rows(mask: np.ndarray, common: dict[str, object]) -> list[dict[str, object]]:
        return [
            {**common, "start_frame": a, "stop_frame": b, "start": float(edges[a]), "stop": float(edges[b])}
            for a, b in runs(mask)
        ]

    values = label.values
    for s, scorer in enumerate(label["scorer"].values):
        for i, individual in enumerate(label["individual"].values):
            common = {"recording": recording, "individual": str(individual), "scorer": str(scorer)}
            block = values[s, :, i, :]  # (time, behavior)
            known = block != NOT_SCORED
            if known.shape[1] and (known == known[:, :1]).all():
                scored += rows(known[:, 0], {**common, "behavior": ""})
            else:
                for b, behavior in enumerate(behaviors):
                    scored += rows(known[:, b], {**common, "behavior": behavior})
            for b, behavior in enumerate(behaviors):
                bouts += rows(block[:, b] == PRESENT, {**common, "target": "", "behavior": behavior})
    return Annotations(
        bouts=pd.DataFrame(bouts, columns=list(BOUT_COLUMNS)),
        scored=pd.DataFrame(scored, columns=list(SCORED_COLUMNS)),
        behaviors=behaviors,
    )


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


def any_individual(label: xr.DataArray, *, name: str = WHOLE_VIEW) -> xr.DataArray:
    """Labels of the whole view: a behaviour is present if any individual shows it.

    Parameters
    ----------
    label : xarray.DataArray
        ``label([scorer,] time, individual, behavior)``.
    name : str
        Name of the one individual of the result.

    Returns
    -------
    xarray.DataArray
        Same layout, one individual. Present if present in one; absent only if absent in all; else not scored.

    Examples
    --------
    >>> a = annotations_from_intervals([(0, 1, "walk")], behaviors=["walk"], num_frames=2, fps=1, individual="a")
    >>> any_individual(to_dense(a, np.arange(2))).squeeze().values.tolist()
    [1, 0]
    """
    validate_labels(label)
    present = (label == PRESENT).any("individual")
    absent = (label == ABSENT).all("individual")
    pooled = present.astype(np.int8) * PRESENT + (~present & ~absent).astype(np.int8) * NOT_SCORED
    pooled = pooled.expand_dims(individual=np.asarray([name], dtype=object))
    return pooled.transpose(*label.dims).astype(np.int8).rename("label")
