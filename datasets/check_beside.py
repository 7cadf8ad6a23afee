"""Whether the tracks and the labels of a recording fit its video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .annotations import Annotations, frame_edges, runs
from .check_report import Finding, counted, in_words
from .formats.hub import load_annotations
from .frame_source import FrameSource
from .track_alignment import alignment_of
from .tracks import load_tracks

MARGIN = 1.0  # pixels by which a pose may lie outside of the picture: trackers differ in where a pixel's middle is
_ONE_ACTOR = ["individual", "target", "behavior", "scorer"]


def check_tracks(path: Path, video: FrameSource) -> list[Finding]:
    """Compare tracks with the video they go with.

    Parameters
    ----------
    path : pathlib.Path
        What :func:`load_tracks` reads.
    video : FrameSource
        The frames.

    Returns
    -------
    list of Finding
    """
    try:
        tracks = load_tracks(path, video)
    except (OSError, ValueError) as error:
        return [Finding("error", "tracks", (), " ".join(str(error).split()))]
    alignment = alignment_of(tracks)
    assert alignment is not None
    times, (height, width) = video.times, video.shape[1:3]
    rows, findings = alignment.rows, []
    position = tracks["position"].transpose("space", "time", "keypoint", "individual").values
    there = np.isfinite(position).all(axis=0)
    seen = np.asarray(there.reshape(len(times), -1).any(axis=1))
    without = tuple(runs(~seen))
    absent = sum(b - a for a, b in without)
    names = ", ".join(map(str, tracks["individual"].values[:6]))
    text = f"{path.name}: {rows} rows for {len(times)} frames; {names}; {counted(absent, 'frame')} without any pose"
    findings.append(Finding("info" if alignment.exact else "warning", "tracks", without, text))
    off = alignment.largest_residual
    if off > np.median(np.diff(frame_edges(times))) / 2:
        text = f"{path.name}: its times are up to {off:.3f} s off those of the video: written with another frame rate?"
        findings.append(Finding("warning", "track times", (), text))
    if not seen.any():
        return [*findings, Finding("error", "poses", (), f"{path.name}: holds no pose at all")]
    out = _outside(position, height, width)
    if out.any():
        share = out.sum() / there.sum()
        where = tuple(runs(np.asarray(out.reshape(len(times), -1).any(axis=1))))
        hint = "; (y, x) would fit: swapped?" if not _outside(position[::-1], height, width).any() else ""
        text = f"{out.sum()} of {there.sum()} points outside of {width}x{height}: frames {in_words(where)}{hint}"
        findings.append(Finding("error" if share > 0.5 or hint else "warning", "poses", where, text))
    return findings


def _outside(position: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which points lie outside of the picture; what is not there does not."""
    x, y = position
    with np.errstate(invalid="ignore"):
        out = (x < -MARGIN) | (y < -MARGIN) | (x > width - 1 + MARGIN) | (y > height - 1 + MARGIN)
    return np.asarray(out & np.isfinite(x) & np.isfinite(y))


def check_labels(path: Path, edges: np.ndarray, recording: str) -> list[Finding]:
    """Compare labels with the video they go with.

    Parameters
    ----------
    path : pathlib.Path
        A bout table.
    edges : numpy.ndarray
        Times of the frame edges [s], shape (n + 1,).
    recording : str
        Name of the recording.

    Returns
    -------
    list of Finding
    """
    try:
        labels = load_annotations(path, recording=recording)
        if not labels.in_frames:
            labels = labels.bind({recording: edges})
    except (OSError, ValueError) as error:
        return [Finding("error", "labels", (), " ".join(str(error).split()))]
    if recording not in labels.recordings:
        text = f"{path.name}: speaks of {', '.join(labels.recordings[:5])}, not of {recording}"
        return [Finding("error", "labels", (), text)]
    labels = labels.of_recording(recording)
    return [
        _share_scored(labels, len(edges) - 1, path),
        *_past_the_end(labels, len(edges) - 1),
        *_off_in_time(labels, edges),
        *_overlaps(labels),
    ]


def _share_scored(labels: Annotations, num_frames: int, path: Path) -> Finding:
    bouts = f"{path.name}: {counted(len(labels.bouts), 'bout')} of {counted(len(labels.behaviors), 'behaviour')}"
    if not len(labels.scored):
        return Finding("info", "labels", (), f"{bouts}; no scored rows: taken as scored from end to end")
    scored = np.zeros(num_frames, dtype=bool)
    for start, stop in labels.scored[["start_frame", "stop_frame"]].to_numpy():
        scored[start:stop] = True
    return Finding("info", "labels", tuple(runs(~scored)), f"{bouts}; {scored.mean():.1%} of the frames scored")


def _past_the_end(labels: Annotations, num_frames: int) -> list[Finding]:
    rows = pd.concat([labels.bouts, labels.scored])
    past = rows[rows["stop_frame"] > num_frames]
    if not len(past):
        return []
    where = tuple((int(a), int(b)) for a, b in past[["start_frame", "stop_frame"]].to_numpy())
    text = f"{counted(len(past), 'row')} past the end of the recording ({num_frames} frames): {in_words(where)}"
    return [Finding("error", "labels past end", where, text)]


def _off_in_time(labels: Annotations, edges: np.ndarray) -> list[Finding]:
    """Rows that give frames and seconds must mean the same moment by both."""
    rows = pd.concat([labels.bouts, labels.scored])
    frames = rows[["start_frame", "stop_frame"]].to_numpy()
    off = np.abs(rows[["start", "stop"]].to_numpy() - edges[np.minimum(frames, len(edges) - 1)])
    off[(frames >= len(edges)) | ~np.isfinite(off)] = 0
    wrong = (off > np.median(np.diff(edges)) / 2).any(axis=1)
    if not wrong.any():
        return []
    where = tuple((int(a), int(b)) for a, b in frames[wrong])
    text = (
        f"{counted(int(wrong.sum()), 'row')} whose seconds and frames differ, by up to {off.max():.3f} s: "
        f"{in_words(where)}; made with frame / fps, or on another copy of the video?"
    )
    return [Finding("warning", "label times", where, text)]


def _overlaps(labels: Annotations) -> list[Finding]:
    where: list[tuple[int, int]] = []
    for _, rows in labels.bouts.groupby(_ONE_ACTOR, sort=False):
        end = -1
        for start, stop in sorted(rows[["start_frame", "stop_frame"]].to_numpy().tolist()):
            if start < end:
                where.append((start, min(stop, end)))
            end = max(end, stop)
    if not where:
        return []
    text = (
        f"{counted(len(where), 'pair')} of overlapping bouts of one behaviour by one scorer: {in_words(tuple(where))}"
    )
    return [Finding("warning", "overlapping bouts", tuple(where), text)]
