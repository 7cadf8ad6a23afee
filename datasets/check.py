"""Is this recording all right? What a careful person would look at before trusting it.

Nothing is repaired and nothing is written. Times are those of the frame index; pictures are decoded one after the
other, so memory does not grow with the recording but for a few bytes a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from av.stream import Disposition

from .annotations import runs
from .check_beside import check_labels, check_tracks
from .check_report import CheckReport, Finding, Interval, counted, in_words
from .frame_index import open_container
from .frame_source import FrameSource
from .orientation import Orientation
from .recording import recording_name
from .sources import TIFF_ENDINGS, ImageFolder, open_video
from .video import Video

GAP = 1.5  # times the median interval: a frame was missed
UNEVEN = 0.1  # of the median interval, over the middle 98 %: beyond it, the rate is called variable
MANY_GAPS = 0.05  # of all intervals: from here on the rate varies, rather than frames being dropped
REPEATED = 0.15  # of the change just before and after: encoders touch up a picture that comes twice
MOVING = 0.5  # of the usual change: so much has to change before and after, else the scene was still
FEW_REPEATS = 0.01  # of the frames: up to here, and never twice in a row, it is not worth a warning
_TURNS = {
    Orientation(): "none",
    Orientation(True, True, False): "90 degrees clockwise",
    Orientation(True, False, True): "90 degrees counter-clockwise",
    Orientation(False, True, True): "180 degrees",
}


def check_recording(
    path: str | Path,
    *,
    tracks: str | Path | None = None,
    labels: str | Path | None = None,
    fps: float | None = None,
    decode: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> CheckReport:
    """Verify a video, and the tracks and labels that go with it.

    Parameters
    ----------
    path : str or pathlib.Path
        A video file, a folder of images, a TIFF stack or a ``.npy`` file.
    tracks, labels : str or pathlib.Path, optional
        Poses and bouts of it; by default ``NAME.tracks.nc`` and ``NAME.bouts.csv`` beside it, where they are there.
    fps : float, optional
        Frames per second of what carries no time: needed for all but video files, of no effect on these.
    decode : bool
        Look at every picture, which takes as long as decoding takes. Without it damage and repeated pictures stay
        unseen.
    progress : callable, optional
        Called with (frames done, frames in all).

    Returns
    -------
    CheckReport
        A file that is no video, or lost its end, is a finding, not an exception.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If a file that was named is not there, or tracks or labels are a folder.

    Examples
    --------
    >>> check_recording("mouse.mp4").severity  # doctest: +SKIP
    'warning'
    """
    path = Path(path) if Path(path).name else Path(path).absolute()  # "." has a name by its parent
    beside = [_named_or_beside(path, tracks, ".tracks.nc"), _named_or_beside(path, labels, ".bouts.csv")]
    for file in (path, *beside):
        if file is not None and not file.exists():
            raise FileNotFoundError(f"{file}: no such file")
        if file is not None and file is not path and file.is_dir():
            raise IsADirectoryError(f"{file}: expected a file, got a folder")
    try:
        video = _open(path, fps)
        facts = _facts(path, video) if isinstance(video, Video) else _facts_of_pictures(path, video)
    except ValueError as error:
        text = _without(path, error)
        timed = any(t in text for t in ("share theirs", "time stamps", "one clock", "frame rate"))
        return CheckReport(path, {}, [Finding("error", "times" if timed else "unreadable", (), text)])
    findings = [_summary(facts)]
    if isinstance(video, Video):
        findings += [*_against_header(facts, video), *_times(facts, video)]
    with video:
        if decode:
            findings += _pictures(facts, video, progress)
    if beside[0] is not None:
        findings += check_tracks(beside[0], video)
    if beside[1] is not None:
        findings += check_labels(beside[1], video.edges, recording_name(path))
    return CheckReport(path, facts, findings)


def _open(path: Path, fps: float | None) -> FrameSource:
    if path.is_dir() or path.suffix.lower() in (*TIFF_ENDINGS, ".npy"):
        return open_video(path, fps=fps)
    return Video(path, allow_cut_short=True, grey=True)


def _named_or_beside(video: Path, named: str | Path | None, ending: str) -> Path | None:
    if named is not None:
        return Path(named)
    if not video.name:  # the root folder
        return None
    beside = video.with_name(recording_name(video) + ending)
    return beside if beside.exists() else None


def _without(path: Path, error: Exception) -> str:
    """The error's line; the table names the file already."""
    return " ".join(str(error).split()).removeprefix(f"{path}: ")


# -- what the file says of itself


def _facts(path: Path, video: Video) -> dict[str, Any]:
    index = video.index
    with open_container(path) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        else:  # with sound it would be the end of either
            seconds = (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0
        rate, frames, pixel_format = stream.average_rate, stream.frames, stream.codec_context.pix_fmt
        container_format = container.format.name
        pictures = [bool(s.disposition & Disposition.attached_pic) for s in container.streams.video]
    return {
        "frames": len(video),
        "header_frames": frames or None,
        "decoded_frames": None,
        "seconds": round(float(video.edges[-1]), 6),
        "header_seconds": round(seconds, 6) or None,
        "fps": round(video.fps, 6),
        "header_fps": round(float(rate), 6) if rate else None,
        "start_time": round(video.start_time, 6),
        "width": video.shape[2],
        "height": video.shape[1],
        "rotation": _TURNS.get(index.orientation, "mirrored"),
        "container": container_format,
        "codec": index.codec,
        "pixel_format": pixel_format,
        "bytes": path.stat().st_size,
        "video_streams": pictures.count(False),
        "gaps": [],
    }


def _facts_of_pictures(path: Path, frames: FrameSource) -> dict[str, Any]:
    """The same of a folder of images, a TIFF stack or an array, which say nothing of time and have no header."""
    names = frames.names if isinstance(frames, ImageFolder) else ()
    told = {
        "frames": len(frames),
        "seconds": round(float(frames.edges[-1]), 6),
        "fps": round(frames.fps, 6),
        "start_time": 0.0,
        "width": frames.shape[2],
        "height": frames.shape[1],
        "rotation": "none",
        "container": "images" if names else path.suffix.lower().removeprefix("."),
        "codec": Path(names[0]).suffix.lower().removeprefix(".") if names else None,
        "bytes": sum((path / name).stat().st_size for name in names) if names else path.stat().st_size,
        "gaps": [],
    }
    unknown = ("header_frames", "decoded_frames", "header_seconds", "header_fps", "pixel_format", "video_streams")
    return told | dict.fromkeys(unknown)


def _summary(facts: dict[str, Any]) -> Finding:
    stored = [facts[k] for k in ("codec", "pixel_format") if facts[k]] or [facts["container"]]
    size = f"{facts['width']}x{facts['height']}, {', '.join(stored)}"
    turned = "" if facts["rotation"] == "none" else f", turned for viewing: {facts['rotation']}"
    length = f"{counted(facts['frames'], 'frame')} in {facts['seconds']:.3f} s at {facts['fps']:.6g} fps"
    return Finding("info", "video", (), f"{length}, {size}{turned}")


def _against_header(facts: dict[str, Any], video: Video) -> list[Finding]:
    findings = []
    if facts["video_streams"] > 1:
        text = (
            f"the file holds {facts['video_streams']} video streams; the first is looked at, here and everywhere else"
        )
        findings.append(Finding("warning", "streams", (), text))
    if video.index.cut_short:
        return [*findings, Finding("error", "cut short", (), video.index.cut_short)]
    promised = facts["header_frames"]
    if promised and promised != len(video):
        text = f"the header counts {promised} frames, {len(video)} are shown; tools that trust it are off"
        findings.append(Finding("warning", "header", (), text))
    promised, frame = facts["header_seconds"], 1 / facts["fps"]
    ends = facts["seconds"], facts["seconds"] + facts["start_time"]  # containers differ in where they count from
    if promised and min(abs(promised - end) for end in ends) > 2 * frame + 1e-3 * facts["seconds"]:
        text = f"the header says {promised:.3f} s, the frames last {facts['seconds']:.3f} s"
        findings.append(Finding("warning", "header", (), text))
    return findings


# -- time


def _times(facts: dict[str, Any], video: Video) -> list[Finding]:
    findings = []
    if abs(video.start_time) > 1e-6:
        text = f"the first frame is shown at {video.start_time:.6g} s of the container's time; here it is 0"
        findings.append(Finding("info", "start time", (), text))
    intervals = np.diff(video.times)
    if len(intervals) < 2:
        return findings
    usual = float(np.median(intervals))
    gap = intervals > GAP * usual
    findings += _gaps(facts, video.times, intervals, usual, gap)
    tick = float(video.index.time_base)
    low, high = np.percentile(intervals[~gap], (1, 99))
    if high - low > UNEVEN * usual + 2 * tick or gap.mean() > MANY_GAPS:
        low, high = _middle(intervals)
        text = (
            f"variable: 98 % of the intervals from {1e3 * low:.4g} to {1e3 * high:.4g} ms; frame / fps is not its time"
        )
        findings.append(Finding("warning", "rate", (), text))
    elif facts["header_fps"] and abs(facts["header_fps"] * usual - 1) > 0.01 + tick / usual and not gap.any():
        text = f"the header says {facts['header_fps']:.6g} fps, the frames come at {facts['fps']:.6g}"
        findings.append(Finding("warning", "rate", (), text))
    return findings


def _middle(intervals: np.ndarray) -> tuple[float, float]:
    """Intervals that occur, between which at least 98 % lie."""
    return (
        float(np.percentile(intervals, 1, method="lower")),
        float(np.percentile(intervals, 99, method="higher")),
    )


def _gaps(
    facts: dict[str, Any], times: np.ndarray, intervals: np.ndarray, usual: float, gap: np.ndarray
) -> list[Finding]:
    places = np.flatnonzero(gap)
    if not len(places):
        return []
    facts["gaps"] = [
        {"frame": int(i), "time": round(float(times[i]), 6), "seconds": round(float(intervals[i]), 6)} for i in places
    ]
    longest = int(places[np.argmax(intervals[places])])
    where = tuple((int(i), int(i) + 1) for i in places)
    text = (
        f"{counted(len(places), 'interval')} over {GAP} x the usual {1e3 * usual:.4g} ms; "
        f"the longest {intervals[longest]:.3f} s after frame {longest} (at {times[longest]:.3f} s)"
    )
    findings = [Finding("warning", "gaps", where, text)]
    if len(places) <= MANY_GAPS * len(intervals) or len(places) <= 3:
        missed = int(np.sum(np.rint(intervals[places] / usual) - 1))
        share = missed / (missed + len(times))
        text = f"about {counted(missed, 'frame')} ({share:.1%}) by the length of the gaps"
        findings.append(Finding("warning", "dropped", where, text))
    return findings


# -- pictures


def _pictures(
    facts: dict[str, Any], video: FrameSource, progress: Callable[[int, int], object] | None
) -> list[Finding]:
    before = video.path.stat()
    bad = np.zeros(len(video), dtype=bool)
    change = np.full(len(video), np.nan, dtype=np.float32)  # mean absolute difference from the picture before
    reason, last = "", None
    for i in range(len(video)):
        try:
            picture = video[i]
        except ValueError as error:
            after = video.path.stat()
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                return [Finding("error", "changing", (), f"the file changed while frame {i} was read; check it again")]
            bad[i], last = True, None
            reason = reason or _without(video.path, error).replace(" cannot be decoded", "")
            continue
        finally:
            if progress is not None:
                progress(i + 1, len(video))
        if last is not None:
            change[i] = (np.maximum(picture, last) - np.minimum(picture, last)).mean()
        last = picture
    facts["decoded_frames"] = int((~bad).sum())
    findings = []
    if bad.any():
        where = tuple(runs(bad))
        text = f"{bad.sum()} of {counted(len(bad), 'frame')} cannot be decoded: {in_words(where)}; first {reason}"
        findings.append(Finding("error", "undecodable", where, text))
    return findings + _repeats(change)


def _repeats(change: np.ndarray) -> list[Finding]:
    """Pictures that come again: exactly the same, or as near to it as an encoder makes them.

    A still scene changes little as well, but it comes to rest; a repeated picture stands amidst pictures that move.
    """
    moved = change[change > 0]
    usual = float(np.median(moved)) if len(moved) else 0.0
    same = change == 0
    for start, stop in runs(np.nan_to_num(change, nan=np.inf) <= REPEATED * usual):
        beside = np.array([change[start - 1], change[stop] if stop < len(change) else np.nan])
        around = float(np.min(beside[np.isfinite(beside)], initial=np.inf))
        if np.isfinite(around) and around >= MOVING * usual and change[start:stop].max() <= REPEATED * around:
            same[start:stop] = True
    where: tuple[Interval, ...] = tuple(runs(same))
    if not where:
        return []
    longest = max(where, key=lambda interval: interval[1] - interval[0])
    grave = same.mean() > FEW_REPEATS or longest[1] - longest[0] > 1
    text = (
        f"{counted(int(same.sum()), 'frame')} ({same.mean():.1%}) like the one before, "
        f"{int((change == 0).sum())} of them exactly; "
        f"longest run [{longest[0]}, {longest[1]}): the camera stutters, or a still scene was compressed strongly"
    )
    return [Finding("warning" if grave else "info", "repeated", where, text)]
