"""In what order clips of several corpora are seen: which corpus makes a batch, and which of its clips are in it.

Every batch comes from one corpus and the corpora take turns (VideoPrism's alternating gradient descent; Zhao et al.,
ICML 2024, do not state in which proportions or order). Here each turn goes to the corpus that lags most behind its
share, so that equal weights alternate strictly and every share is kept within one batch at all times. Within a corpus
an epoch is a permutation that is computed place by place and never stored: hundreds of millions of clips cost nothing,
and going on at any step is no different from beginning there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_ROUNDS = 8


class Alternation:
    """Whose turn it is.

    Parameters
    ----------
    weights : sequence of float
        Share of batches of each corpus; they need not add up to one.

    Raises
    ------
    ValueError
        If there is none, or one is not a positive number.

    Examples
    --------
    >>> turns = Alternation([2, 1])
    >>> [turns[step] for step in range(6)]
    [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (0, 3)]
    """

    def __init__(self, weights: Sequence[float]) -> None:
        shares = np.asarray(weights, dtype=np.float64)
        if shares.ndim != 1 or not len(shares) or not (np.isfinite(shares).all() and (shares > 0).all()):
            raise ValueError(f"weights: expected a positive number for every corpus, got {list(weights)}")
        self._shares: list[float] = (shares / shares.sum()).tolist()
        self._given = [0] * len(shares)
        self._turns: list[tuple[int, int]] = []

    def __getitem__(self, step: int) -> tuple[int, int]:
        """Look up a step.

        Parameters
        ----------
        step : int
            From 0 on.

        Returns
        -------
        corpus : int
            Which corpus makes the batch.
        ordinal : int
            How many batches it has made before.
        """
        while len(self._turns) <= step:
            done = len(self._turns) + 1
            lags = [share * done - given for share, given in zip(self._shares, self._given, strict=True)]
            # rounding must not decide between equals: the first of them, on every machine
            corpus = next(i for i, lag in enumerate(lags) if lag >= max(lags) - 1e-6)
            self._turns.append((corpus, self._given[corpus]))
            self._given[corpus] += 1
        return self._turns[step]


def clips_of_batch(ordinal: int, batch: int, size: int, key: Sequence[int]) -> np.ndarray:
    """Which clips of a corpus are in its so-manieth batch.

    Parameters
    ----------
    ordinal : int
        Batches of this corpus before this one.
    batch : int
        Clips of a batch, over all ranks.
    size : int
        Clips of the corpus.
    key : sequence of int
        Seed and number of the corpus.

    Returns
    -------
    numpy.ndarray
        int64, shape (batch,). Every epoch has an order of its own and gives whole batches only: a clip is never twice
        in a batch, and the rest that does not fill one is another in every epoch.

    Raises
    ------
    ValueError
        If the corpus has fewer clips than a batch.

    Examples
    --------
    >>> sorted([*clips_of_batch(0, 3, 6, [7]), *clips_of_batch(1, 3, 6, [7])]) == list(range(6))
    True
    """
    whole = size // batch
    if not whole:
        raise ValueError(f"expected at least one batch of {batch} clips, got {size}; take a smaller batch")
    epoch, place = divmod(ordinal, whole)
    return shuffled(np.arange(place * batch, (place + 1) * batch), size, [*key, epoch])


def shuffled(places: np.ndarray, size: int, key: Sequence[int]) -> np.ndarray:
    """Look places up in a permutation that is not stored.

    A Feistel network permutes the next power of four above ``size``; a value that falls outside is sent through again
    (cycle walking), which leaves a permutation of ``0 .. size - 1``.

    Parameters
    ----------
    places : numpy.ndarray
        Whole numbers below ``size``, any shape.
    size : int
        Length of the permutation.
    key : sequence of int
        Which permutation.

    Returns
    -------
    numpy.ndarray
        int64, as ``places``.

    Examples
    --------
    >>> sorted(shuffled(np.arange(5), 5, [0]).tolist())
    [0, 1, 2, 3, 4]
    """
    half = np.uint64(max(3, -(-(size - 1).bit_length() // 2)))
    keys = np.random.SeedSequence(list(key)).generate_state(_ROUNDS, np.uint64)
    values = np.asarray(places).astype(np.uint64)
    outside = np.ones(values.shape, dtype=bool)
    while outside.any():
        values[outside] = _feistel(values[outside], half, keys)
        outside = values >= np.uint64(size)
    return values.astype(np.int64)


def _feistel(values: np.ndarray, half: np.uint64, keys: np.ndarray) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << half) | right


def _mix(values: np.ndarray) -> np.ndarray:
    """Spread every bit over all (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
