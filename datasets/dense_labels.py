"""Labels as arrays: bouts to one row per frame, and back.

A directed behaviour ("a chases b") stands in a row of its own, ``"a>b"``; what an individual does alone stands
under its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from behavior_prism.schemas import ABSENT, NOT_SCORED, PRESENT, validate_labels

from .annotations import Annotations, frame_edges, runs
from .bout_rows import BOUT_COLUMNS, WHOLE_VIEW
from .ethogram import Ethogram

if TYPE_CHECKING:
    import xarray as xr

DIRECTED = ">"


def to_dense(
    annotations: Annotations,
    times: np.ndarray,
    *,
    individuals: Sequence[str] | None = None,
    scorers: Sequence[str] | None = None,
    directed: Literal["pair", "actor"] = "pair",
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
        Coordinates of the result; by default those that occur.
    directed : {"pair", "actor"}
        Where a directed behaviour stands: in the row ``"a>b"`` of the pair, or in that of the actor ``a``.
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
        If the rows are of several recordings, an interval ends after the last frame, or rows know only seconds.

    Notes
    -----
    A bout makes its frames present even where no scored interval covers them: somebody saw it. A point event is
    present at the one frame at which it happens.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(1, 3, "walk")], behaviors=["walk"], num_frames=4, fps=2)
    >>> to_dense(a, np.arange(4) / 2).squeeze().values.tolist()
    [0, 1, 1, 0]
    """
    import xarray as xr

    if len(annotations.recordings) > 1:
        raise ValueError(f"{what}: expected one recording, got {list(annotations.recordings)}")
    if not annotations.in_frames:
        raise ValueError(f"{what}: some rows know only seconds; place them with annotations.bind(recording) first")
    times = np.asarray(times, dtype=np.float64)
    num_frames = len(times)
    tables = [(annotations.scored, ABSENT), (annotations.bouts, PRESENT)]
    for table, _ in reversed(tables):  # a bout is the better thing to name
        last = table["stop_frame"] + (table["start_frame"] == table["stop_frame"])  # a point event takes its frame
        if (last > num_frames).any():
            row = table[last > num_frames].iloc[0]
            raise ValueError(
                f"{what}: {row['behavior'] or 'a scored interval'} of {row['individual'] or 'the view'} ends at frame "
                f"{row['stop_frame']}, past the end of the recording {row['recording']!r} ({num_frames} frames)"
            )
    rows = [row_names(table, directed) for table, _ in tables]
    if directed == "pair":
        _check_pairs(tables[0][0], tables[1][0], what)
    if individuals is None:
        individuals = sorted({name for names in rows for name in names})
    if scorers is None:
        scorers = annotations.scorers
    column_of = {name: i for i, name in enumerate(annotations.behaviors)}
    row_of = {name: i for i, name in enumerate(individuals)}
    slab_of = {name: i for i, name in enumerate(scorers)}
    # behaviour before time, so that an interval is one run of memory
    label = np.full((len(scorers), len(individuals), len(column_of), num_frames), NOT_SCORED, dtype=np.int8)
    for (table, value), names in zip(tables, rows, strict=True):
        behaviors = table["behavior"].tolist()
        starts, stops = table["start_frame"].tolist(), table["stop_frame"].tolist()
        each = zip(table["scorer"].tolist(), names, behaviors, starts, stops, strict=True)
        for scorer, individual, behavior, start, stop in each:
            slab, line = slab_of.get(scorer), row_of.get(individual)
            if slab is None or line is None:
                continue
            if behavior == "":
                label[slab, line, :, start:stop] = value
            else:
                label[slab, line, column_of[behavior], start : max(stop, start + 1)] = value
    label = label.transpose(0, 3, 1, 2)
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


def _check_pairs(scored: pd.DataFrame, bouts: pd.DataFrame, what: str) -> None:
    who = pd.concat([t[["individual", "target"]].drop_duplicates() for t in (scored, bouts)]).drop_duplicates()
    names = pd.Series(row_names(who))
    if len(twice := names[names.duplicated()]):
        raise ValueError(f"{what}: {twice.iloc[0]!r} is the name of an individual and of a pair; rename the individual")


def row_names(table: pd.DataFrame, directed: Literal["pair", "actor"] = "pair") -> list[str]:
    """The dense row of every bout: ``"a"``, or ``"a>b"`` for what ``a`` does to ``b``.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``individual`` and ``target``.
    directed : {"pair", "actor"}
        As in :func:`to_dense`.

    Returns
    -------
    list of str
    """
    if directed == "actor":
        return table["individual"].tolist()
    pairs = zip(table["individual"].tolist(), table["target"].tolist(), strict=True)
    return [f"{actor}{DIRECTED}{target}" if target else actor for actor, target in pairs]


def from_dense(
    label: xr.DataArray,
    *,
    recording: str = "",
    edges: np.ndarray | None = None,
    ethogram: Ethogram | None = None,
) -> Annotations:
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
    ethogram : Ethogram, optional
        What is known about the behaviours. Of a point event every present frame is one event.

    Returns
    -------
    Annotations
        ``to_dense`` gives the same labels back.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
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
    ethogram = Ethogram(behaviors) if ethogram is None else ethogram.only(behaviors)
    bouts, scored = _Rows(recording, edges), _Rows(recording, edges)
    values = label.values
    for s, scorer in enumerate(label["scorer"].values):
        for i, individual in enumerate(label["individual"].values):
            block = values[s, :, i, :]  # (time, behavior)
            who = (str(individual), str(scorer))
            known = block != NOT_SCORED
            if known.shape[1] and (known == known[:, :1]).all():
                scored.add(who, "", known[:, 0])
            else:
                for b, behavior in enumerate(behaviors):
                    scored.add(who, behavior, known[:, b])
            for b, behavior in enumerate(behaviors):
                bouts.add(who, behavior, block[:, b] == PRESENT, point=behavior in ethogram.points)
    return Annotations(bouts=bouts.table(), scored=scored.table(), ethogram=ethogram)


class _Rows:
    """Columns of a bout table that grow by the runs of one mask after the other."""

    def __init__(self, recording: str, edges: np.ndarray) -> None:
        self.recording, self.edges = recording, np.asarray(edges, dtype=np.float64)
        self.names: list[tuple[str, str, str, str]] = []
        self.starts: list[np.ndarray] = []
        self.stops: list[np.ndarray] = []

    def add(self, who: tuple[str, str], behavior: str, mask: np.ndarray, *, point: bool = False) -> None:
        if point:
            first = last = np.flatnonzero(mask)
        else:
            first, last = np.asarray(runs(mask), dtype=np.int64).reshape(-1, 2).T
        individual, _, target = who[0].partition(DIRECTED)
        self.names += [(individual, target, behavior, who[1])] * len(first)
        self.starts.append(first)
        self.stops.append(last)

    def table(self) -> pd.DataFrame:
        start, stop = (np.concatenate([*part, np.zeros(0, np.int64)]).astype(np.int64) for part in self._ends())
        table = pd.DataFrame(self.names, columns=["individual", "target", "behavior", "scorer"], dtype=object)
        table = table.assign(
            recording=self.recording,
            start_frame=start,
            stop_frame=stop,
            start=self.edges[start],
            stop=self.edges[stop],
        )
        return table[list(BOUT_COLUMNS)]

    def _ends(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return self.starts, self.stops


def _by_actor(label: xr.DataArray) -> xr.DataArray:
    """Rows of pairs laid into those of their actors: of -1, 0 and 1 the larger one is what is known."""
    import xarray as xr

    rows: dict[str, list[int]] = {}
    for k, name in enumerate(label["individual"].values):
        rows.setdefault(str(name).partition(DIRECTED)[0], []).append(k)
    if len(rows) == label.sizes["individual"]:
        return label
    parts = [label.isel(individual=k).max("individual") for k in rows.values()]
    actors = xr.DataArray(np.asarray(list(rows), dtype=object), dims="individual", name="individual")
    return xr.concat(parts, dim=actors).transpose(*label.dims)


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
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 1, "walk")], behaviors=["walk"], num_frames=2, fps=1, individual="a")
    >>> any_individual(to_dense(a, np.arange(2))).squeeze().values.tolist()
    [1, 0]
    """
    validate_labels(label)
    label = _by_actor(label)
    present = (label == PRESENT).any("individual")
    absent = (label == ABSENT).all("individual")
    pooled = present.astype(np.int8) * PRESENT + (~present & ~absent).astype(np.int8) * NOT_SCORED
    pooled = pooled.expand_dims(individual=np.asarray([name], dtype=object))
    return pooled.transpose(*label.dims).astype(np.int8).rename("label")
