"""Rows placed on frames: which frame a short bout was seen at, and units that contradict each other."""

from __future__ import annotations

import numpy as np
import pytest

from behavior_prism.datasets import Annotations, empty_table
from behavior_prism.datasets.binding import at_rate


def seconds(*rows: tuple[float, float]) -> Annotations:
    start, stop = zip(*rows, strict=True)
    bouts = empty_table(behavior=["walk"] * len(rows), start=start, stop=stop)
    return Annotations(bouts=bouts, scored=empty_table())


def frames_of(annotations: Annotations) -> list[list[int]]:
    return annotations.bouts[["start_frame", "stop_frame"]].to_numpy().tolist()


def test_a_short_bout_is_seen_at_the_frame_that_shows_it() -> None:
    short = seconds((0.6, 0.9), (2.1, 2.4), (4.7, 4.95))
    assert frames_of(short.bind({"m1": np.arange(6.0)})) == [[0, 1], [2, 3], [4, 5]]
    assert frames_of(at_rate(short, fps=1)) == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("fps", [1, 25, 30])
def test_half_way_between_two_edges_is_the_same_with_a_rate_and_with_frames(fps: int) -> None:
    halves = (np.arange(20) + 0.5) / fps
    rows = seconds(*zip(halves[:-1].tolist(), halves[1:].tolist(), strict=True))
    expected = [[k + 1, k + 2] for k in range(19)]  # none is longer than another
    assert frames_of(at_rate(rows, fps=fps)) == expected
    assert frames_of(rows.bind({"m1": np.arange(31) / fps})) == expected


def test_seconds_that_are_not_those_of_the_frames_are_told() -> None:
    rows = empty_table(behavior=["walk"], start_frame=[10], stop_frame=[20], start=[10 / 25], stop=[20 / 25])
    labels = Annotations(bouts=rows, scored=empty_table())
    wrong = labels.bind({"m1": np.arange(61) / 60})
    assert wrong.report is not None and any("not the times of their frames" in n for n in wrong.report.notes)
    right = labels.bind({"m1": np.arange(61) / 25})
    assert right.report is not None and right.report.notes == []
