"""What two scorers said of the same frames, counted per block of time so that blocks and recordings add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from behavior_prism.schemas import NOT_SCORED, PRESENT

from .banos import banos_sums
from .bout_agreement import EventTable, bout_runs, match_starts

UnitRule = Literal["majority", "any", "instant"]
CELLS = 4  # both, first only, second only, neither
MOST_STATES, MOST_CELLS, MOST_BEHAVIORS = 200, 20_000_000, 62


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The frames of a recording, in time units and blocks.

    Parameters
    ----------
    start : numpy.ndarray
        Start of every frame [s], shape (frames,).
    duration : numpy.ndarray
        How long every frame is shown [s].
    unit, block : numpy.ndarray
        Number of the time unit and of the block of every frame, counted on without holes.
    """

    start: np.ndarray
    duration: np.ndarray
    unit: np.ndarray
    block: np.ndarray

    @classmethod
    def of(cls, edges: np.ndarray, *, time_unit: float, block: float) -> Timeline:
        """Cut the frames between these edges into units and blocks of these lengths [s].

        Parameters
        ----------
        edges : numpy.ndarray
            Frame edges [s].
        time_unit, block : float
            Lengths [s].
        """
        since = edges[:-1] - edges[0] + 1e-9  # a frame that starts with its unit belongs to it
        numbers = (np.unique(since // length, return_inverse=True)[1] for length in (time_unit, block))
        unit, blocks = numbers
        return cls(start=edges[:-1], duration=np.diff(edges), unit=unit, block=blocks)

    @property
    def num_blocks(self) -> int:
        """Blocks that hold a frame."""
        return int(self.block[-1]) + 1


@dataclass
class BehaviorCounts:
    """Counts of one behaviour and two scorers, every list one entry per recording.

    Parameters
    ----------
    frames, units : list of numpy.ndarray
        Present for both, for the first only, the second only, neither; shape (blocks, 4).
    bouts : list of numpy.ndarray
        Matched, of the first only, of the second only, seconds that both scored; shape (blocks, 4).
    banos : numpy.ndarray
        Sums over all recordings, shape (8,).
    """

    frames: list[np.ndarray] = field(default_factory=list)
    units: list[np.ndarray] = field(default_factory=list)
    bouts: list[np.ndarray] = field(default_factory=list)
    banos: np.ndarray = field(default_factory=lambda: np.zeros(8))

    def add(
        self,
        first: np.ndarray,
        second: np.ndarray,
        timeline: Timeline,
        *,
        tolerance: float,
        rule: UnitRule,
        point: bool,
    ) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Count one recording.

        Parameters
        ----------
        first, second : numpy.ndarray
            -1, 0 or 1, shape (individuals, frames).
        timeline : Timeline
            Of these frames.
        tolerance : float
            How far apart the starts of matched bouts may lie [s].
        rule : {"majority", "any", "instant"}
            When a time unit counts as present.
        point : bool
            Whether every present frame is an event of its own.

        Returns
        -------
        bouts_first, bouts_second : tuple of numpy.ndarray
            Individual, start frame and whether it was matched, of every bout.
        """
        common = (first != NOT_SCORED) & (second != NOT_SCORED)
        one, two = common & (first == PRESENT), common & (second == PRESENT)
        block = np.broadcast_to(timeline.block, common.shape)
        blocks = timeline.num_blocks
        self.frames.append(_cells(one[common], two[common], block[common], blocks))
        self.units.append(_unit_cells(common, one, two, timeline, "any" if point else rule))
        self.banos += banos_sums(np.where(common, first, NOT_SCORED), np.where(common, second, NOT_SCORED))
        a, b = _events(one, point), _events(two, point)
        same_a, same_b = np.zeros(len(a[0]), dtype=bool), np.zeros(len(b[0]), dtype=bool)
        for row in range(len(common)):
            of_a, of_b = np.flatnonzero(a[0] == row), np.flatnonzero(b[0] == row)
            i, j = match_starts(timeline.start[a[1][of_a]], timeline.start[b[1][of_b]], tolerance)
            same_a[of_a[i]], same_b[of_b[j]] = True, True
        starts = (a[1][same_a], a[1][~same_a], b[1][~same_b])
        counts = [np.bincount(timeline.block[s], minlength=blocks).astype(np.float64) for s in starts]
        seconds = np.bincount(timeline.block, weights=common.sum(0) * timeline.duration, minlength=blocks)
        self.bouts.append(np.stack([*counts, seconds], axis=1))
        return (*a, same_a), (*b, same_b)


def _events(present: np.ndarray, point: bool) -> tuple[np.ndarray, np.ndarray]:
    """Individual and start frame of every bout."""
    if point:
        row, frame = np.nonzero(present)
        return row, frame
    return bout_runs(present)[:2]


def _cells(one: np.ndarray, two: np.ndarray, block: np.ndarray, blocks: int) -> np.ndarray:
    cell = np.where(one, np.where(two, 0, 1), np.where(two, 2, 3))
    return np.bincount(block * CELLS + cell, minlength=blocks * CELLS).reshape(blocks, CELLS)


def _unit_cells(common: np.ndarray, one: np.ndarray, two: np.ndarray, timeline: Timeline, rule: UnitRule) -> np.ndarray:
    """The same of time units; only frames that both scored speak for a unit, and one without any does not count."""
    first_frame = np.flatnonzero(np.diff(timeline.unit, prepend=-1))
    block = np.broadcast_to(timeline.block[first_frame], (len(common), len(first_frame)))
    if rule == "instant":
        used, a, b = (mask[:, first_frame] for mask in (common, one, two))
    else:
        of, in_a, in_b = (np.add.reduceat(mask.astype(np.int64), first_frame, axis=1) for mask in (common, one, two))
        needed = np.maximum(of / 2, 1) if rule == "majority" else 1
        used, a, b = of > 0, in_a >= needed, in_b >= needed
    return _cells(a[used], b[used], block[used], timeline.num_blocks)


class GroupCounts:
    """Which state two scorers saw at each frame, over all behaviours of a group together.

    Parameters
    ----------
    behaviors : sequence of str
        The group. A state is what is present of it: nothing, one behaviour, or several at once.
    """

    def __init__(self, behaviors: Sequence[str]) -> None:
        self.behaviors = tuple(behaviors)
        self.states: list[np.ndarray] = []  # (4, n): state of the first, of the second, block, frames
        self.events: list[np.ndarray] = []
        self.blocks: list[int] = []

    def add(self, first: np.ndarray, second: np.ndarray, timeline: Timeline) -> None:
        """Count the frames of one recording.

        Parameters
        ----------
        first, second : numpy.ndarray
            -1, 0 or 1, shape (individuals, behaviors, frames). Frames count where both scored every behaviour.
        timeline : Timeline
            Of these frames.
        """
        used = ((first != NOT_SCORED) & (second != NOT_SCORED)).all(1)
        bits = np.int64(1) << np.arange(len(self.behaviors), dtype=np.int64)
        state_a, state_b = (np.tensordot(bits, (x == PRESENT).astype(np.int64), (0, 1))[used] for x in (first, second))
        block = np.broadcast_to(timeline.block, used.shape)[used]
        kinds, inverse = np.unique(np.concatenate([state_a, state_b]), return_inverse=True)
        a, b = inverse[: len(state_a)], inverse[len(state_a) :]
        flat, count = np.unique((block * len(kinds) + a) * len(kinds) + b, return_counts=True)
        size = max(len(kinds), 1)
        which, where = flat % size**2, flat // size**2
        self.states.append(np.stack([kinds[which // size], kinds[which % size], where, count]))
        self.blocks.append(timeline.num_blocks)

    def add_events(self, table: EventTable) -> None:
        """Add the bouts of the same recording.

        Parameters
        ----------
        table : EventTable
            Its bouts, matched.
        """
        self.events.append(table.per_block(self.blocks[-1]))

    def confusion(self) -> tuple[list[str], list[np.ndarray]]:
        """Names of the states that occur, and the counts of every recording, (blocks, states, states).

        A large table is not kept block by block, and beyond :data:`MOST_STATES` states there is none.
        """
        kinds = np.unique(np.concatenate([s[:2].ravel() for s in self.states]))
        if len(kinds) > MOST_STATES:
            return [], []
        order = sorted(range(len(kinds)), key=lambda k: (kinds[k] == 0, int(kinds[k]).bit_count(), int(kinds[k])))
        place = np.argsort(np.asarray(order, dtype=np.int64))
        coarse = sum(self.blocks) * len(kinds) ** 2 > MOST_CELLS
        out = []
        for (a, b, block, count), blocks in zip(self.states, self.blocks, strict=True):
            table = np.zeros((1 if coarse else blocks, len(kinds), len(kinds)))
            cell = (0 * block if coarse else block, *(place[np.searchsorted(kinds, x)] for x in (a, b)))
            np.add.at(table, cell, count)
            out.append(table)
        return [self._name(int(kinds[k])) for k in order], out

    def _name(self, state: int) -> str:
        return "+".join(b for k, b in enumerate(self.behaviors) if state >> k & 1) or "(none)"
