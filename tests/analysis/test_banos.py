from __future__ import annotations

import banos
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from behavior_prism.analysis import banos_scores
from behavior_prism.analysis.banos import banos_of_sums, banos_sums

NAMES = {"precision": "precision", "recall": "recall", "f1_score": "f1", "so": "so", "tp": "tp", "ic": "ic"}


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60), st.integers(1, 6))
def test_numbers_are_those_of_the_package(pairs, repeat):
    truth, predicted = np.repeat(np.array(pairs), repeat, axis=0).T
    ours = banos_scores(truth, predicted)
    for matching in ("greedy", "optimal"):
        theirs = banos.score(pd.DataFrame({"b": predicted}), pd.DataFrame({"b": truth}), matching=matching)["b"]
        for name, own in NAMES.items():
            assert ours[own] == pytest.approx(theirs[name], nan_ok=True), (name, matching)


def test_rows_are_apart_and_sums_add_up():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 2, (2, 3, 50))
    alone = sum(banos_sums(t, p) for t, p in zip(truth, predicted, strict=True))
    np.testing.assert_allclose(banos_sums(truth, predicted), alone)


def test_what_was_never_there_has_no_value_where_asked_for():
    nothing, something = np.zeros(5, int), np.array([0, 1, 1, 0, 0])
    assert set(banos_scores(nothing, nothing).values()) == {1.0}
    assert set(banos_scores(nothing, something).values()) == {0.0}
    assert np.isnan(list(banos_scores(nothing, nothing, absent="nan").values())).all()
    ours = banos_scores(nothing, something, absent="nan")
    assert ours["precision"] == 0.0 and np.isnan(ours["recall"]) and np.isnan(ours["f1"])


def test_unscored_frames_are_no_part_of_a_bout():
    truth = np.array([0, 1, 1, 1, 1, 0])
    predicted = np.array([0, 1, 1, -1, -1, -1])
    assert banos_scores(truth, predicted)["so"] == 1.0
    assert banos_of_sums(banos_sums(truth, predicted))["recall"] == 1.0


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="one shape"):
        banos_scores([0, 1], [0, 1, 1])
