"""Tracks on the frames of a video: which row belongs to which frame, and what does not fit.

Pose files often have a row more or less than the video has frames, begin later, or list only some frames. Nothing of
that is passed over: the answer is a `TrackAlignment`, kept with the tracks, and what goes beyond the tolerance is an
error.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr

from behavior_prism.schemas import validate_tracks

from .annotations import frame_edges


@dataclass(frozen=True, kw_only=True)
class TrackAlignment:
    """How rows of poses lie on the frames of a video.

    Parameters
    ----------
    rows, frames : int
        Rows in the file, frames in the video.
    offset : int
        Frames added to the file's own frame numbers.
    missing_at_start, missing_inside, missing_at_end : int
        Frames without a row before the first row, between rows, after the last.
    surplus_rows : int
        Rows that fall on no frame and were left out.
    largest_residual : float
        Largest distance between a row's own time and that of its frame [s]; 0 if the file counts frames.
    fragments : int
        Tracks in the file, if these are more than animals seen at once; otherwise 0.
    """

    rows: int
    frames: int
    offset: int = 0
    missing_at_start: int = 0
    missing_inside: int = 0
    missing_at_end: int = 0
    surplus_rows: int = 0
    largest_residual: float = 0.0
    fragments: int = 0

    @property
    def exact(self) -> bool:
        """Whether every frame has its row and every row its frame."""
        return not (self.missing_at_start or self.missing_inside or self.missing_at_end or self.surplus_rows)

    def describe(self) -> str:
        """Say it in one line.

        Returns
        -------
        str

        Examples
        --------
        >>> TrackAlignment(rows=1800, frames=1801, missing_at_end=1).describe()
        '1800 rows on 1801 frames: no row for 1 frame at the end'
        """
        gaps = {"at the start": self.missing_at_start, "inside": self.missing_inside, "at the end": self.missing_at_end}
        parts = ["one each"] if self.exact else []
        parts += [f"no row for {_count(n, 'frame')} {where}" for where, n in gaps.items() if n]
        if self.surplus_rows:
            parts.append(f"{_count(self.surplus_rows, 'row')} beyond the video left out")
        if self.offset:
            parts.append(f"moved by {_count(self.offset, 'frame')}")
        if self.largest_residual > 1e-6:  # less is rounding
            parts.append(f"times agree to {self.largest_residual * 1000:.3g} ms")
        if self.fragments:
            parts.append(f"{self.fragments} fragments of tracks")
        return f"{_count(self.rows, 'row')} on {_count(self.frames, 'frame')}: {', '.join(parts)}"


def align_tracks(
    tracks: xr.Dataset, times: np.ndarray, *, tolerance: int = 1, offset: int = 0
) -> tuple[xr.Dataset, TrackAlignment]:
    """Lay poses on the frames of a video, each on the frame nearest to its own time or frame number.

    Parameters
    ----------
    tracks : xarray.Dataset
        Poses; ``time`` counts frames or is in seconds (attribute ``time_unit``).
    times : numpy.ndarray
        Time of every frame of the video [s], shape (frames,).
    tolerance : int
        How many rows may lie beyond the video, and how many frames at its end may lack a row if the file otherwise
        has a row for every frame from the first. A file that says itself that it begins later, or that lists some
        frames only, may be as short as it is.
    offset : int
        Frames to add to the file's own frame numbers: 2 if its first row belongs to frame 2.

    Returns
    -------
    tracks : xarray.Dataset
        One row per frame, NaN where there was none, ``time`` in seconds; the attribute ``alignment`` keeps the report.
    alignment : TrackAlignment
        The report.

    Raises
    ------
    ValueError
        If more rows are missing or too many than tolerated, a row lies between frames, two fall on one frame, or times
        are not finite and increasing.

    Examples
    --------
    >>> from behavior_prism.datasets import simulate_recording
    >>> tracks = simulate_recording("fly", seconds=1, size=(64, 64)).tracks
    >>> aligned, alignment = align_tracks(tracks.isel(time=slice(0, -1)), tracks.time.values)
    >>> alignment.missing_at_end, aligned.sizes["time"] == tracks.sizes["time"]
    (1, True)
    """
    return lay_on_frames(tracks, times, tolerance, offset, name=str(tracks.attrs.get("source_file", "tracks")))


def lay_on_frames(
    tracks: xr.Dataset, times: np.ndarray, tolerance: int, offset: int, *, name: str
) -> tuple[xr.Dataset, TrackAlignment]:
    """Do the work of `align_tracks`.

    Parameters
    ----------
    tracks, times, tolerance, offset
        As there.
    name : str
        What errors call the tracks.

    Returns
    -------
    tuple of xarray.Dataset and TrackAlignment
        As there.
    """
    times = np.asarray(times, dtype=np.float64)
    for what, number in (("tolerance", tolerance), ("offset", offset)):
        if number != int(number):  # half a frame would leave every frame without a row
            raise ValueError(f"{name}: expected a whole number of frames for {what}=, got {number}")
    tolerance, offset = int(tolerance), int(offset)
    if tolerance < 0:
        raise ValueError(f"expected a tolerance of 0 rows or more, got {tolerance}")
    try:
        validate_tracks(tracks)
    except ValueError as error:
        raise ValueError(f"{name}: {str(error).removeprefix('tracks: ')}") from None
    if times.ndim != 1 or not np.isfinite(times).all() or np.any(np.diff(times) <= 0):
        raise ValueError(f"{name}: expected the times of frames to be finite and to increase, they do not")
    if not len(times) or not tracks.sizes["time"]:
        raise ValueError(f"{name}: expected rows and frames, got {tracks.sizes['time']} rows for {len(times)} frames")
    frame, residual = _nearest_frames(tracks, times, name)
    frame = frame + offset
    inside = (frame >= 0) & (frame < len(times))
    if not inside.any():
        raise ValueError(f"{name}: expected rows on frames 0 to {len(times) - 1}, got frames {frame[0]} to {frame[-1]}")
    first, last = int(frame[inside][0]), int(frame[inside][-1])
    alignment = TrackAlignment(
        rows=len(frame),
        frames=len(times),
        offset=offset,
        missing_at_start=first,
        missing_inside=last + 1 - first - int(inside.sum()),
        missing_at_end=len(times) - 1 - last,
        surplus_rows=int((~inside).sum()),
        largest_residual=float(np.abs(residual[inside]).max()),
        fragments=int(tracks.attrs.get("fragments", 0)),
    )
    beyond = max(int(frame[-1]) - len(times) + 1, -int(frame[0]), 0)
    listed = "rows" in tracks.attrs  # the file names the frames that it has
    _refuse_misfit(alignment, int(frame[0]) - offset, beyond, tolerance, listed=listed, name=name)
    laid = tracks.isel(time=inside).assign_coords(time=frame[inside])
    laid = laid.reindex(time=np.arange(len(times))).assign_coords(time=times)
    laid.attrs = {**tracks.attrs, "time_unit": "seconds", "alignment": json.dumps(asdict(alignment))}
    return laid, alignment


def alignment_of(tracks: xr.Dataset) -> TrackAlignment | None:
    """The report that `align_tracks` left with the tracks.

    Parameters
    ----------
    tracks : xarray.Dataset
        Poses.

    Returns
    -------
    TrackAlignment or None
        None if they were never laid on a video.
    """
    kept = tracks.attrs.get("alignment")
    return None if kept is None else TrackAlignment(**json.loads(kept))


def _nearest_frames(tracks: xr.Dataset, times: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Frame of every row, which may be one that the video does not have, and how far off its time is [s]."""
    own = tracks["time"].values.astype(np.float64)
    if tracks.attrs.get("time_unit") == "frames":
        frame = np.rint(own).astype(np.int64)
        if np.any(np.abs(own - frame) > 1e-6):
            raise ValueError(f"{name}: expected whole frame numbers, got {own[np.abs(own - frame) > 1e-6][0]:g}")
        return frame, np.zeros(len(own))
    lasts = np.diff(frame_edges(times))
    if len(own) == len(times) and abs(own[0] - times[0]) <= lasts[0] / 2:
        return np.arange(len(own)), own - times  # a row for every frame, whatever rate they were given
    at = np.searchsorted(times[:-1] + lasts[:-1] / 2, own)
    frame, residual = at.astype(np.int64), own - times[at]
    for beyond, edge in ((own < times[0], 0), (own > times[-1], len(times) - 1)):
        steps = np.rint((own[beyond] - times[edge]) / lasts[edge])  # rows there are counted at the pace of that end
        frame[beyond], residual[beyond] = edge + steps, own[beyond] - times[edge] - steps * lasts[edge]
    wrong = np.flatnonzero(np.abs(residual) > 0.5 * lasts[at] + 1e-9)
    if len(wrong):
        i = wrong[0]
        raise ValueError(
            f"{name}: expected rows at the times of frames ({times[0]:g} s to {times[-1]:g} s), "
            f"got one at {own[i]:g} s, {abs(residual[i]) / lasts[at[i]]:.3g} frames off the nearest"
        )
    twice = np.flatnonzero(np.diff(frame) == 0)
    if len(twice):
        raise ValueError(
            f"{name}: expected one row per frame, those at {own[twice[0]]:g} and {own[twice[0] + 1]:g} s both fall on "
            f"frame {frame[twice[0]]}; is their frame rate that of the video?"
        )
    _refuse_drift(np.diff(own), np.diff(frame), lasts, name)
    return frame, residual


def _refuse_drift(steps: np.ndarray, frames: np.ndarray, lasts: np.ndarray, name: str) -> None:
    """Rows at an even pace that skip a frame now and then were made at another rate: no row was lost there."""

    def even(values: np.ndarray) -> bool:
        return bool(np.ptp(values) < 0.1 * np.median(values))

    if len(frames) and np.median(frames) == 1 and frames.max() > 1 and even(steps) and even(lasts):
        raise ValueError(
            f"{name}: expected rows at the rate of the video ({1 / np.median(lasts):g} per second), got "
            f"{1 / np.median(steps):g} per second; if there is one per frame give frame numbers as their time"
        )


def _refuse_misfit(
    alignment: TrackAlignment, own_first: int, beyond: int, tolerance: int, *, listed: bool, name: str
) -> None:
    rows, frames, missing = alignment.rows, alignment.frames, alignment.missing_at_end
    if beyond > tolerance:
        raise ValueError(
            f"{name}: expected rows for {_count(frames, 'frame')}, got {rows} that reach {beyond} beyond them; "
            f"if the video is the right one pass tolerance={beyond} to leave those out, or offset="
        )
    whole = own_first == 0 and not alignment.missing_inside and not listed
    if whole and missing > tolerance:
        raise ValueError(
            f"{name}: expected a row for each of {_count(frames, 'frame')}, got {rows}, {missing} too few at the end; "
            f"if the video is the right one pass tolerance={missing}, or offset="
        )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if abs(n) == 1 else "s")
