"""Whose turn it is, and which clips: shares, epochs, and places in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from behavior_prism.datasets.mixing import Alternation, clips_of_batch, shuffled


def test_equal_weights_alternate_and_shares_are_kept_at_all_times():
    assert [Alternation([1, 1])[step][0] for step in range(6)] == [0, 1, 0, 1, 0, 1]
    weights = np.array([5.0, 2.5, 1.3, 0.2])
    turns = Alternation(weights.tolist())
    given_out = np.array([turns[step][0] for step in range(3000)])
    for corpus, share in enumerate(weights / weights.sum()):
        so_far = np.cumsum(given_out == corpus)
        assert np.abs(so_far - share * np.arange(1, 3001)).max() <= 1.5
    assert [turns[s][1] for s in range(3000) if given_out[s] == 1] == list(range(int((given_out == 1).sum())))
    assert Alternation(weights.tolist())[2999] == turns[2999]  # asked at once or one after the other


@given(size=st.integers(1, 3000), key=st.lists(st.integers(0, 2**32), min_size=1, max_size=3))
def test_a_permutation_for_every_size_and_key(size, key):
    assert np.array_equal(np.sort(shuffled(np.arange(size), size, key)), np.arange(size))


def test_permutations_look_drawn_by_chance():
    """First values of many keys, and pairs of neighbours, against even shares: chi-squared within 4 sigma."""
    size, keys = 20, 800
    drawn = np.stack([shuffled(np.arange(size), size, [key]) for key in range(keys)])
    for counts in (np.bincount(drawn[:, 0], minlength=size), np.bincount((drawn[:, 1] - drawn[:, 0]) % size)[1:]):
        expected = keys / len(counts)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        dof = len(counts) - 1
        assert abs(chi2 - dof) < 4 * np.sqrt(2 * dof)


def test_hundreds_of_millions_cost_nothing():
    places = shuffled(np.arange(4096), 618_000_000, [0])
    assert len(set(places.tolist())) == 4096 and places.max() < 618_000_000 and places.max() > 500_000_000


def test_epochs_of_whole_batches():
    batches = [clips_of_batch(k, 4, 11, [3]) for k in range(6)]
    for epoch in range(3):
        seen = np.concatenate(batches[2 * epoch : 2 * epoch + 2])
        assert len(set(seen.tolist())) == 8
    rests = {frozenset(range(11)) - set(np.concatenate(batches[2 * e : 2 * e + 2]).tolist()) for e in range(3)}
    assert len(rests) > 1
    with pytest.raises(ValueError, match="at least one batch of 4 clips, got 3"):
        clips_of_batch(0, 4, 3, [0])


@pytest.mark.parametrize("weights", [[], [1, 0], [1, -1], [1, float("nan")], [float("inf")]])
def test_weights_that_are_refused(weights):
    with pytest.raises(ValueError, match="weights: expected a positive number"):
        Alternation(weights)
