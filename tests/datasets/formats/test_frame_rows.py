from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from behavior_prism.datasets import annotations_from_intervals
from behavior_prism.datasets.formats.frame_rows import merged, minus, numbered, with_holes

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)).map(lambda s: (s[0], s[0] + s[1])), max_size=8)


def mask_of(some) -> np.ndarray:
    mask = np.zeros(50, dtype=bool)
    for a, b in some:
        mask[a:b] = True
    return mask


@given(spans, spans)
def test_spans_are_what_masks_are(some, cuts):
    np.testing.assert_array_equal(mask_of(merged(some)), mask_of(some))
    left = minus(some, cuts)
    np.testing.assert_array_equal(mask_of(left), mask_of(some) & ~mask_of(cuts))
    assert left == sorted(left)
    assert all(a < b for a, b in left)


def test_a_behaviour_that_means_not_looked_at_is_a_hole():
    bouts = [{"individual": "a", "behavior": "gone", "start_frame": 2, "stop_frame": 4},
             {"individual": "a", "behavior": "walk", "start_frame": 5, "stop_frame": 6}]  # fmt: skip
    scored = [{"individual": who, "start_frame": 0, "stop_frame": 9} for who in "ab"]
    left, looked = with_holes(bouts, scored, ("gone",))
    assert [row["behavior"] for row in left] == ["walk"]
    assert [(r["individual"], r["start_frame"], r["stop_frame"]) for r in looked] == [
        ("a", 0, 2), ("a", 4, 9), ("b", 0, 9)]  # fmt: skip


def test_numbers_stay_and_names_get_free_ones():
    parts = annotations_from_intervals([(0, 1, "w")], behaviors=["w"], num_frames=3, fps=1, individual="1")
    bouts = parts.bouts.assign(individual="view")
    assert numbered(parts.with_rows(bouts, parts.scored), 1) == {"1": 1, "view": 2}
