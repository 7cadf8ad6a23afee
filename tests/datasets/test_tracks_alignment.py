"""Rows on frames: what is accepted, what is reported, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from behavior_prism.datasets import TrackAlignment, align_tracks, alignment_of


def rows(own, *, unit="frames", **attrs) -> xr.Dataset:
    """Row k has all its points at x = k."""
    own = np.asarray(own, dtype=float)
    position = np.broadcast_to(np.arange(len(own), dtype=float)[:, None, None, None], (len(own), 2, 1, 1)).copy()
    return xr.Dataset(
        {
            "position": (("time", "space", "keypoint", "individual"), position),
            "confidence": (("time", "keypoint", "individual"), np.ones((len(own), 1, 1))),
        },
        coords={"time": own, "space": ["x", "y"], "keypoint": ["nose"], "individual": ["a"]},
        attrs={"time_unit": unit, "source_file": "poses.h5", **attrs},
    )


def who(tracks: xr.Dataset) -> list:
    """Row that lies on every frame, None where there is none."""
    return [None if np.isnan(x) else int(x) for x in tracks.position[:, 0, 0, 0].values]


TIMES = np.arange(6) / 25


@pytest.mark.parametrize("unit", ["frames", "seconds"])
@pytest.mark.parametrize(
    ("own", "laid", "says"),
    [
        (range(6), [0, 1, 2, 3, 4, 5], "6 rows on 6 frames: one each"),
        (range(5), [0, 1, 2, 3, 4, None], "5 rows on 6 frames: no row for 1 frame at the end"),
        (range(7), [0, 1, 2, 3, 4, 5], "7 rows on 6 frames: 1 row beyond the video left out"),
        (range(2, 6), [None, None, 0, 1, 2, 3], "4 rows on 6 frames: no row for 2 frames at the start"),
        (range(-1, 5), [1, 2, 3, 4, 5, None], "no row for 1 frame at the end, 1 row beyond the video left out"),
        ((0, 1, 4, 5), [0, 1, None, None, 2, 3], "4 rows on 6 frames: no row for 2 frames inside"),
        ((2, 3), [None, None, 0, 1, None, None], "no row for 2 frames at the start, no row for 2 frames at the end"),
    ],
)
def test_accepted_and_said(unit, own, laid, says):
    own = np.asarray(list(own)) / (1 if unit == "frames" else 25)
    aligned, alignment = align_tracks(rows(own, unit=unit), TIMES)
    assert who(aligned) == laid and alignment.describe().endswith(says)
    np.testing.assert_array_equal(aligned.time, TIMES)
    assert aligned.attrs["time_unit"] == "seconds" and alignment_of(aligned) == alignment
    assert alignment.exact == (says == "6 rows on 6 frames: one each")


@pytest.mark.parametrize("unit", ["frames", "seconds"])
@pytest.mark.parametrize(
    ("count", "message", "pass_"),
    [
        (4, "poses.h5: expected a row for each of 6 frames, got 4, 2 too few at the end; .*pass tolerance=2", 2),
        (9, "poses.h5: expected rows for 6 frames, got 9 that reach 3 beyond them; .*pass tolerance=3", 3),
    ],
)
def test_refused_with_what_to_pass(unit, count, message, pass_):
    tracks = rows(np.arange(count) / (1 if unit == "frames" else 25), unit=unit)
    with pytest.raises(ValueError, match=message) as refused:
        align_tracks(tracks, TIMES)
    assert "\n" not in str(refused.value)
    aligned, alignment = align_tracks(tracks, TIMES, tolerance=pass_)
    assert who(aligned)[:4] == [0, 1, 2, 3] and alignment.missing_at_end + alignment.surplus_rows == pass_
    one = rows(np.arange(5 if count < 6 else 7) / (1 if unit == "frames" else 25), unit=unit)
    with pytest.raises(ValueError, match="pass tolerance=1"):
        align_tracks(one, TIMES, tolerance=0)


def test_moved_by_an_offset():
    aligned, alignment = align_tracks(rows(range(4)), TIMES, offset=2)
    assert who(aligned) == [None, None, 0, 1, 2, 3]
    assert alignment.describe() == "4 rows on 6 frames: no row for 2 frames at the start, moved by 2 frames"
    with pytest.raises(ValueError, match="4 too few at the end"):
        align_tracks(rows(range(1)), TIMES, offset=1)
    aligned, alignment = align_tracks(rows(range(8)), TIMES, offset=-2, tolerance=2)
    assert who(aligned) == [2, 3, 4, 5, 6, 7] and alignment.surplus_rows == 2


def test_rows_that_name_their_frames_may_be_few():
    aligned, alignment = align_tracks(rows(range(2), rows="image names"), TIMES)
    assert who(aligned) == [0, 1, None, None, None, None] and alignment.missing_at_end == 4


def test_fragments_are_told():
    _, alignment = align_tracks(rows(range(6), fragments=27), TIMES)
    assert alignment.describe() == "6 rows on 6 frames: one each, 27 fragments of tracks"


def test_other_rate_is_not_a_lost_row():
    times = np.arange(2000) / 30
    with pytest.raises(ValueError, match=r"at the rate of the video \(30 per second\), got 29\.97 per second"):
        align_tracks(rows(np.arange(1990) / 29.97, unit="seconds"), times)
    with pytest.raises(ValueError, match="both fall on frame"):
        align_tracks(rows(np.arange(1999) / 30.03, unit="seconds"), times)
    # as many rows as frames: one each, and how far the two clocks part is told
    _, alignment = align_tracks(rows(np.arange(2000) / 29.97, unit="seconds"), times)
    assert alignment.exact and alignment.largest_residual == pytest.approx(1999 / 29.97 - 1999 / 30)
    assert "times agree to 66.7 ms" in alignment.describe()
    # every second frame is every second frame
    _, alignment = align_tracks(rows(np.arange(1000) / 15, unit="seconds"), times)
    assert alignment.missing_inside == 999
    # a row that was lost is one
    own = np.delete(times, 700)
    aligned, alignment = align_tracks(rows(own, unit="seconds"), times)
    assert alignment.missing_inside == 1 and who(aligned)[699:702] == [699, None, 700]


def test_a_clock_far_away_is_an_error_not_a_large_array():
    with pytest.raises(ValueError, match="expected rows on frames 0 to 5"):
        align_tracks(rows(1.7e9 + TIMES, unit="seconds"), TIMES)
    with pytest.raises(ValueError, match="expected rows and frames, got 0 rows for 6 frames"):
        align_tracks(rows([]), TIMES)
    with pytest.raises(ValueError, match="whole frame numbers, got 0.5"):
        align_tracks(rows([0, 0.5]), TIMES)
    with pytest.raises(ValueError, match="tolerance of 0 rows or more, got -1"):
        align_tracks(rows([0]), TIMES, tolerance=-1)


@given(
    own=st.lists(st.integers(-5, 30), min_size=1, unique=True).map(sorted),
    frames=st.integers(1, 25),
    offset=st.integers(-3, 3),
    uneven=st.booleans(),
)
def test_no_row_and_no_frame_goes_missing_unsaid(own, frames, offset, uneven):
    times = np.cumsum(np.random.default_rng(frames).uniform(0.5, 1.5, frames)) if uneven else np.arange(frames) / 25
    try:
        aligned, alignment = align_tracks(rows(own), times, tolerance=50, offset=offset)
    except ValueError:
        assert not any(0 <= k + offset < frames for k in own)
        return
    laid = {f: k for k, f in enumerate(np.add(own, offset).tolist()) if 0 <= f < frames}
    assert who(aligned) == [laid.get(f) for f in range(frames)]
    a = alignment
    assert a.rows == len(own) == len(laid) + a.surplus_rows
    assert a.frames == frames == len(laid) + a.missing_at_start + a.missing_inside + a.missing_at_end
    assert isinstance(a, TrackAlignment) and "\n" not in a.describe()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([0, 2, 1, 3], "expected strictly increasing times, got 1 at position 2"),
        ([0, 1, np.nan, 3], "expected finite times, got 1 that are not"),
    ],
)
@pytest.mark.parametrize("unit", ["frames", "seconds"])
def test_rows_out_of_order_or_without_a_time(unit, own, message):
    tracks = rows([0, 1, 2, 3], unit=unit).assign_coords(time=np.asarray(own, dtype=float))
    with pytest.raises(ValueError, match=message):
        align_tracks(tracks, np.arange(4.0))


def test_whole_frames_only():
    with pytest.raises(ValueError, match=r"expected a whole number of frames for offset=, got 0\.5"):
        align_tracks(rows([0, 1, 2]), np.arange(5.0), offset=0.5)
    _, alignment = align_tracks(rows([0, 1, 2]), np.arange(5.0), offset=np.int64(2))
    assert alignment.offset == 2 and alignment.missing_at_start == 2
    with pytest.raises(ValueError, match="expected the times of frames to be finite and to increase"):
        align_tracks(rows([0, 1, 2]), np.array([0.0, np.nan, 2.0]))
