from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from behavior_prism.analysis import cohen_kappa, fleiss_kappa
from behavior_prism.analysis.bout_agreement import match_starts
from behavior_prism.analysis.kappa import cohen_kappa_without

# Fleiss' worked example as it is often printed: 10 subjects, 14 raters, 5 categories, kappa 0.210
WORKED = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
          [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip


def test_fleiss_worked_example():
    assert fleiss_kappa(WORKED) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_has_no_value_without_two_categories_or_scorers():
    assert np.isnan(fleiss_kappa([[3, 0], [3, 0]])) and np.isnan(fleiss_kappa([[1, 0], [0, 1]]))
    assert np.isnan(fleiss_kappa(np.zeros((0, 2))))
    with pytest.raises(ValueError, match="as many scorers"):
        fleiss_kappa([[3, 0], [1, 1]])


@given(st.integers(0, 10**6), st.integers(2, 6))
def test_cohen_agrees_with_scikit_learn(seed, categories):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, categories, (2, 100))
    table = np.zeros((categories, categories))
    np.add.at(table, (x, y), 1)
    assert float(cohen_kappa(table)) == pytest.approx(cohen_kappa_score(x, y))


def test_cohen_of_one_category_is_undefined():
    assert np.isnan(cohen_kappa([[7, 0], [0, 0]])) and np.isnan(cohen_kappa(np.zeros((2, 2))))


def test_structural_zero_leaves_chance_alone_at_zero():
    """A table whose counted cells are a product of rows and columns holds no more agreement than chance."""
    table = np.outer([4.0, 6.0, 3.0], [5.0, 2.0, 8.0])
    table[-1, -1] = 0
    assert float(cohen_kappa_without(table)) == pytest.approx(0.0, abs=1e-6)
    assert float(cohen_kappa_without(np.diag([5, 7, 0]))) == pytest.approx(1.0)
    assert np.isnan(cohen_kappa_without([[5, 2], [1, 0]]))


@given(
    st.lists(st.integers(0, 60), max_size=9, unique=True),
    st.lists(st.integers(0, 60), max_size=9, unique=True),
    st.integers(0, 8),
)
def test_as_many_starts_are_matched_as_can_be(first, second, tolerance):
    from scipy.optimize import linear_sum_assignment

    a, b = np.sort(np.array(first, float)), np.sort(np.array(second, float))
    i, j = match_starts(a, b, tolerance)
    assert len(set(i)) == len(i) and len(set(j)) == len(j)
    assert (np.abs(a[i] - b[j]) <= tolerance).all()
    fits = np.abs(a[:, None] - b[None, :]) <= tolerance
    rows, columns = linear_sum_assignment(~fits)
    assert len(i) == fits[rows, columns].sum()
