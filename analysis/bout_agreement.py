"""Did two scorers see the same bouts? Bouts are matched one to one by their starts.

A bout here is a run of frames in which a scorer says present, within the frames that both scored: what touches is one
bout, what an unscored gap divides is two. Two bouts of one behaviour and individual match if their starts lie at most
``tolerance`` seconds apart; as many are matched as can be, in the order of time.

Two event-based kappas are made of these matches. Both are in the manner of those that Bakeman, Quera and Gnisci compare
("Observer agreement for timed-event sequential data", Behavior Research Methods 41:137, 2009; among them that of The
Observer, with a tolerance), and neither claims to repeat a program to the last digit:

- *of a group of behaviours* (``EventTable``, ``cohen_kappa_without``): bouts that match by behaviour agree. Of the
  others, those of different behaviours that start within the tolerance are confusions; what is left was seen by one
  scorer only and stands against "no event". That neither saw anything cannot be counted: a structural zero.
- *of one behaviour* (``event_kappa``): the time that both scored holds ``seconds / (2 * tolerance + one frame)``
  windows in which a bout could have started. Matched bouts fill a window for both, others for one, and the rest are
  windows in which neither saw a start; of this 2 x 2 table it is Cohen's kappa. It tends to the F1 of the matches as
  the windows get many (Hripcsak and Rothschild, JAMIA 12:296, 2005).

BORIS has no event-based kappa; its kappa is that of time units.
"""

from __future__ import annotations

import numpy as np

from .kappa import cohen_kappa

SLACK = 1e-9  # seconds of frame edges are sums of binary fractions


def bout_runs(present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs in every row of a mask.

    Parameters
    ----------
    present : numpy.ndarray
        Boolean, shape (rows, frames).

    Returns
    -------
    row, start, stop : numpy.ndarray
        Half-open frames of every run, in the order of rows and frames.

    Examples
    --------
    >>> [part.tolist() for part in bout_runs(np.array([[1, 1, 0, 1]], dtype=bool))]
    [[0, 0], [0, 3], [2, 4]]
    """
    wide = np.zeros((present.shape[0], present.shape[1] + 2), dtype=np.int8)
    wide[:, 1:-1] = present
    change = np.diff(wide, axis=1)
    row, start = np.nonzero(change == 1)
    return row, start, np.nonzero(change == -1)[1]


def match_starts(first: np.ndarray, second: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Match as many starts as possible, one to one.

    Parameters
    ----------
    first, second : array_like
        Starts in order [s].
    tolerance : float
        How far apart two that match may lie [s].

    Returns
    -------
    i, j : numpy.ndarray
        Positions of those that match in ``first`` and in ``second``.

    Examples
    --------
    >>> [part.tolist() for part in match_starts([0.0, 5.0, 9.0], [0.4, 7.0, 9.5], 0.5)]
    [[0, 2], [0, 2]]
    """
    a, b = np.asarray(first, dtype=np.float64).tolist(), np.asarray(second, dtype=np.float64).tolist()
    i = j = 0
    pairs: list[tuple[int, int]] = []
    # both in order and one tolerance for all: the earliest that fits never costs a later match
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= tolerance + SLACK:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    both = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def event_kappa(counts: np.ndarray, *, width: float) -> np.ndarray:
    """Kappa of the bouts of one behaviour, given how many would start together by chance.

    Parameters
    ----------
    counts : array_like
        Matched bouts, those of the first alone, those of the second alone, and the seconds that both scored,
        shape (..., 4).
    width : float
        Length of a window in which two starts match [s]: twice the tolerance and a frame.

    Returns
    -------
    numpy.ndarray
        Shape (...). NaN where nobody saw a bout, or there are as many bouts as windows: choose a smaller tolerance.

    Examples
    --------
    >>> round(float(event_kappa([8, 2, 2, 600.0], width=1.0)), 3)
    0.797
    """
    counts = np.asarray(counts, dtype=np.float64)
    matched, one, two, seconds = (counts[..., k] for k in range(4))
    seen = matched + one + two
    neither = np.floor(seconds / width) - seen
    table = np.stack([np.stack([matched, one], -1), np.stack([two, neither], -1)], -2)
    with np.errstate(invalid="ignore"):
        return np.where((neither > 0) & (seen > 0), cohen_kappa(np.maximum(table, 0)), np.nan)


class EventTable:
    """Which behaviour the second scorer saw where the first saw one, bout by bout.

    Parameters
    ----------
    num_behaviors : int
        Behaviours; "no event" stands after them.
    """

    def __init__(self, num_behaviors: int) -> None:
        self.nobody = num_behaviors
        self.cells: list[np.ndarray] = []  # (3, n): block, first, second

    def add(
        self,
        first: tuple[np.ndarray, np.ndarray, np.ndarray],
        second: tuple[np.ndarray, np.ndarray, np.ndarray],
        tolerance: float,
        block_of: np.ndarray,
        start_time: np.ndarray,
    ) -> None:
        """Add the bouts of one individual.

        Parameters
        ----------
        first, second : tuple of numpy.ndarray
            Of every scorer: start frames, numbers of the behaviours, and whether the same behaviour was matched.
        tolerance : float
            As in :func:`match_starts` [s].
        block_of, start_time : numpy.ndarray
            Block and time of every frame.
        """
        (start_a, code_a, same_a), (start_b, code_b, same_b) = first, second
        self._put(block_of[start_a[same_a]], code_a[same_a], code_a[same_a])
        left_a, left_b = (np.flatnonzero(~same)[np.argsort(s[~same], kind="stable")]
                          for s, same in ((start_a, same_a), (start_b, same_b)))  # fmt: skip
        i, j = match_starts(start_time[start_a[left_a]], start_time[start_b[left_b]], tolerance)
        self._put(block_of[start_a[left_a[i]]], code_a[left_a[i]], code_b[left_b[j]])
        alone_a, alone_b = np.delete(left_a, i), np.delete(left_b, j)
        self._put(block_of[start_a[alone_a]], code_a[alone_a], np.full(len(alone_a), self.nobody))
        self._put(block_of[start_b[alone_b]], np.full(len(alone_b), self.nobody), code_b[alone_b])

    def _put(self, block: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
        self.cells.append(np.stack([block, first, second]).astype(np.int64))

    def per_block(self, num_blocks: int) -> np.ndarray:
        """Counts of every block, shape (blocks, behaviours + 1, behaviours + 1).

        Parameters
        ----------
        num_blocks : int
            Blocks of the recording.
        """
        size = self.nobody + 1
        block, first, second = np.concatenate([np.zeros((3, 0), dtype=np.int64), *self.cells], axis=1)
        flat = (block * size + first) * size + second
        return np.bincount(flat, minlength=num_blocks * size * size).reshape(num_blocks, size, size)
