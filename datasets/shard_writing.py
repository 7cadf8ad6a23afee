"""Recordings cut into short clips and packed into shards (:mod:`.clip_shards` says what a shard is).

A clip takes every ``step``-th frame of a stretch without gaps, scaled down, as H.264. Where captions with intervals are
given, clips are those intervals; else recordings are cut from end to end. Each shard appears under its name only when
it is whole, with the list of its clips after it: a run that was interrupted goes on behind the last one that has its
list. A clip that cannot be decoded is listed and left out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np

from behavior_prism.files import atomic_write

from .clip_shards import COLUMNS, FORMAT, INDEX_ENDING, MANIFEST, read_json
from .frame_source import FrameSource

MAX_GAP = 2.5  # usual intervals, as for windows
_KEY_FRAMES = 32


@dataclass(frozen=True, kw_only=True)
class ShardSettings:
    """How clips are cut and packed.

    Parameters
    ----------
    seconds : float
        Longest clip [s].
    fps : float
        About so many frames a second: every ``round(rate / fps)``-th frame is taken, at least every one.
    size : int
        Shorter side [pixels]; smaller pictures stay as they are.
    crf : int
        Quality of H.264, 0 (lossless) to 51.
    shard_mb : float
        A shard is closed when it has reached this [MB].

    Raises
    ------
    ValueError
        If one makes no sense.
    """

    seconds: float = 10.0
    fps: float = 30.0
    size: int = 288
    crf: int = 23
    shard_mb: float = 256.0

    def __post_init__(self) -> None:
        for name in ("seconds", "fps", "shard_mb"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")
        if self.size < 16:
            raise ValueError(f"size: expected at least 16 pixels, got {self.size}")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf: expected 0 to 51, got {self.crf}")


@dataclass(frozen=True, kw_only=True)
class CaptionedInterval:
    """A sentence about a part of a recording.

    Parameters
    ----------
    caption : str
        The sentence.
    start, stop : float, optional
        Frames, half-open, or seconds; the whole recording by default.
    in_seconds : bool
        Which of the two.
    """

    caption: str
    start: float | None = None
    stop: float | None = None
    in_seconds: bool = False


@dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """A clip that is to be made.

    Parameters
    ----------
    key : str
        Its name in the shard.
    recording : str
        Where it is from.
    start, stop, step : int
        Frames ``start, start + step, ...`` before ``stop``.
    captions : tuple of str
        What is seen.
    """

    key: str
    recording: str
    start: int
    stop: int
    step: int
    captions: tuple[str, ...] = ()


@dataclass(kw_only=True)
class ShardReport:
    """What was made.

    Parameters
    ----------
    shards, clips, captioned : int
        How many; clips that have captions.
    seconds : float
        Of video in them [s].
    size : int
        Of the shards [bytes].
    failed : list of (str, str)
        Clips that could not be made, and why.
    """

    shards: int = 0
    clips: int = 0
    captioned: int = 0
    seconds: float = 0.0
    size: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def stretches(times: np.ndarray) -> list[tuple[int, int]]:
    """Cut a recording where time jumps: what lies before and after a gap is no movement.

    Parameters
    ----------
    times : numpy.ndarray
        Of its frames [s].

    Returns
    -------
    list of (int, int)
        Half-open intervals of frames.

    Examples
    --------
    >>> stretches(np.array([0, 1, 2, 9, 10.0]))
    [(0, 3), (3, 5)]
    """
    intervals = np.diff(times)
    if not len(intervals):
        return [(0, len(times))]
    cuts = np.flatnonzero(intervals > MAX_GAP * np.median(intervals)) + 1
    edges = [0, *cuts.tolist(), len(times)]
    return list(itertools.pairwise(edges))


def plan_clips(
    recordings: Mapping[str, FrameSource],
    settings: ShardSettings,
    captions: Mapping[str, Sequence[CaptionedInterval]] | None = None,
) -> list[PlannedClip]:
    """Say which clips would be made.

    Parameters
    ----------
    recordings : mapping of str to FrameSource
        By name.
    settings : ShardSettings
        How to cut.
    captions : mapping of str to sequence of CaptionedInterval, optional
        By recording. Its intervals become clips, those that are longer than a clip several with the same captions;
        captions without an interval go to all clips.

    Returns
    -------
    list of PlannedClip
        In order.

    Raises
    ------
    ValueError
        If there is no recording, names are too alike, captions speak of others, or an interval leaves its recording.
    """
    if not recordings:
        raise ValueError("expected at least one recording, got none")
    captions = captions or {}
    if unknown := sorted(set(captions) - set(recordings)):
        raise ValueError(f"captions: expected some of the recordings {sorted(recordings)}, got {unknown[0]!r}")
    slugs: dict[str, str] = {}
    clips: list[PlannedClip] = []
    for name, source in recordings.items():
        slug = re.sub(r"[^A-Za-z0-9_-]+", "_", name)  # a dot would end the key
        if slug in slugs:
            raise ValueError(f"recordings: expected names that stay apart as file names, got {slugs[slug]!r}, {name!r}")
        slugs[slug] = name
        step = max(1, round(source.fps / settings.fps))
        span = max(1, round(settings.seconds * source.fps / step)) * step
        general = tuple(dict.fromkeys(c.caption for c in captions.get(name, ()) if c.start is None))
        for (start, stop), texts in _intervals(name, source, captions.get(name, ()), span).items():
            clips.append(
                PlannedClip(
                    key=f"{slug}-{start:08d}-{stop:08d}",
                    recording=name,
                    start=start,
                    stop=stop,
                    step=step,
                    captions=tuple(dict.fromkeys((*texts, *general))),
                )
            )
    return clips


def _intervals(
    name: str, source: FrameSource, captions: Sequence[CaptionedInterval], span: int
) -> dict[tuple[int, int], list[str]]:
    """Frames of every clip of a recording, with the captions that speak of them."""
    found: dict[tuple[int, int], list[str]] = {}
    told = [c for c in captions if c.start is not None]
    for caption in told:
        start, stop = _in_frames(name, source, caption)
        pieces = math.ceil((stop - start) / span)
        edges = [start + (stop - start) * k // pieces for k in range(pieces + 1)]
        for piece in itertools.pairwise(edges):
            found.setdefault(piece, []).append(caption.caption)
    if not told:
        for start, stop in stretches(source.times):
            for first in range(start, stop, span):
                last = min(first + span, stop)
                if last - first >= span / 2 or last - first == stop - start:  # a short rest is left out
                    found[first, last] = []
    return found


def _in_frames(name: str, source: FrameSource, caption: CaptionedInterval) -> tuple[int, int]:
    edges = source.edges
    first = float(caption.start or 0)
    last = float(edges[-1] if caption.in_seconds else len(source)) if caption.stop is None else float(caption.stop)
    if caption.in_seconds:
        beyond = last > edges[-1] + 1 / source.fps  # times that were rounded may end a little late
        start, stop = (int(np.abs(edges - seconds).argmin()) for seconds in (first, last))
    else:
        beyond, start, stop = False, int(first), int(last)
    if beyond or first < 0 or not start < stop <= len(source):
        unit = "s" if caption.in_seconds else "frames"
        raise ValueError(
            f"captions: {name}: expected an interval within its {len(source)} frames ({edges[-1]:.2f} s), "
            f"got {first:g} to {last:g} {unit}"
        )
    return start, stop


def write_shards(
    recordings: Mapping[str, FrameSource],
    folder: str | Path,
    settings: ShardSettings | None = None,
    *,
    captions: Mapping[str, Sequence[CaptionedInterval]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ShardReport:
    """Cut recordings into clips and pack them into shards; an interrupted run goes on where it stopped.

    Parameters
    ----------
    recordings : mapping of str to FrameSource
        By name.
    folder : str or pathlib.Path
        Where ``clips-000000.tar`` and so on shall be, with ``shards.json`` that says how they were made.
    settings : ShardSettings, optional
        How.
    captions : mapping of str to sequence of CaptionedInterval, optional
        As in :func:`plan_clips`.
    progress : callable, optional
        Takes clips done and in all.

    Returns
    -------
    ShardReport

    Raises
    ------
    FileExistsError
        If the folder holds shards that are complete, or other things.
    ValueError
        If it holds others that are not complete, or no clip could be made; as :func:`plan_clips`.

    Examples
    --------
    >>> write_shards({"cage1": Video("cage1.mp4")}, "shards").clips  # doctest: +SKIP
    360
    """
    folder, settings = Path(folder), settings or ShardSettings()
    plan = plan_clips(recordings, settings, captions)
    digest = hashlib.sha256(json.dumps([asdict(clip) for clip in plan]).encode()).hexdigest()
    manifest = {"format": FORMAT, "settings": asdict(settings), "plan": digest, "clips_planned": len(plan)}
    _begin(folder, manifest)
    report, done = _what_is_there(folder)
    tell = progress or (lambda done, of: None)
    tell(done, len(plan))
    while done < len(plan):
        done = _write_shard(recordings, plan, done, folder, settings, report, tell)
    facts = {name: value for name, value in asdict(report).items() if name != "failed"}
    if not report.clips:
        reason = f"; the first: {report.failed[0][1]}" if report.failed else ""
        raise ValueError(f"{folder}: expected at least one clip, got none of {len(plan)}{reason}")
    _save_json(folder / MANIFEST, {**manifest, **facts, "failed": report.failed, "complete": True})
    return report


def _begin(folder: Path, manifest: dict[str, Any]) -> None:
    there = folder / MANIFEST
    if there.is_file():
        known = read_json(there)
        if known.get("complete"):
            raise FileExistsError(f"{folder}: exists already and is complete; choose another name")
        if any(known.get(name) != value for name, value in manifest.items()):
            raise ValueError(
                f"{folder}: expected the recordings, captions and settings that these shards were begun with, got "
                "others; choose another name, or remove it"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: exists already and is no folder of shards; choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    _save_json(there, {**manifest, "complete": False})


def _what_is_there(folder: Path) -> tuple[ShardReport, int]:
    """What an earlier run made, and how far in the plan it got."""
    report, done = ShardReport(), 0
    while (index := _place(folder, report.shards).with_suffix(INDEX_ENDING)).is_file():
        known = read_json(index)
        try:
            done = int(known["next"])
            _count(report, known)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{index}: expected the list of a shard's clips, got something else ({error}); remove it, and the "
                "same command makes the shard again"
            ) from None
    return report, done


def _place(folder: Path, number: int) -> Path:
    return folder / f"clips-{number:06d}.tar"


def _count(report: ShardReport, index: dict[str, Any]) -> None:
    clips = index["clips"]
    report.shards += 1
    report.clips += len(clips["size"])
    report.captioned += sum(clips["captioned"])
    report.seconds += sum(n / fps for n, fps in zip(clips["frames"], clips["fps"], strict=True))
    report.size += int(index["bytes"])
    report.failed += [(str(key), str(reason)) for key, reason in index["failed"]]


def _write_shard(
    recordings: Mapping[str, FrameSource],
    plan: list[PlannedClip],
    done: int,
    folder: Path,
    settings: ShardSettings,
    report: ShardReport,
    tell: Callable[[int, int], None],
) -> int:
    path = _place(folder, report.shards)
    columns: dict[str, list[Any]] = {column: [] for column in COLUMNS if column != "shard"}
    failed: list[tuple[str, str]] = []
    with atomic_write(path, overwrite=True) as fresh, tarfile.open(fresh, "w") as tar:
        # a tar without its list was left by a run that was killed in between
        while done < len(plan) and tar.offset < settings.shard_mb * 1e6:
            clip = plan[done]
            source = recordings[clip.recording]
            try:
                content, frames = encode_clip(source, range(clip.start, clip.stop, clip.step), settings)
            except (ValueError, OSError) as error:
                failed.append((clip.key, " ".join(str(error).split())))
            else:
                facts = {
                    "captions": list(clip.captions),
                    "source": clip.recording,
                    "start_frame": clip.start,
                    "stop_frame": clip.stop,
                    "fps": source.fps / clip.step,
                    "frames": frames,
                }
                offset, size = _add(tar, f"{clip.key}.mp4", content)
                text_offset, text_size = _add(tar, f"{clip.key}.json", json.dumps(facts).encode())
                row = (offset, size, text_offset, text_size, frames, facts["fps"], bool(clip.captions))
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
            done += 1
            tell(done, len(plan))
    if not columns["size"]:  # nothing but failures up to the end of the plan: no shard, but they are told
        path.unlink()
        report.failed += failed
        return done
    index = {"clips": columns, "bytes": path.stat().st_size, "failed": failed, "next": done}
    _save_json(path.with_suffix(INDEX_ENDING), index)
    _count(report, index)
    return done


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> tuple[int, int]:
    """Append a file; where its content begins and how long it is."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, BytesIO(content))
    blocks = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return tar.offset - blocks, len(content)


def encode_clip(source: FrameSource, frames: range, settings: ShardSettings) -> tuple[bytes, int]:
    """Encode some frames of a recording as H.264 in mp4.

    Parameters
    ----------
    source : FrameSource
        The recording.
    frames : range
        Which.
    settings : ShardSettings
        ``size`` and ``crf``.

    Returns
    -------
    content : bytes
        A whole file.
    count : int
        Its frames.

    Raises
    ------
    ValueError
        If a frame cannot be decoded.
    """
    height, width = source.shape[1:3]
    scale = min(1.0, settings.size / min(height, width))
    height, width = (max(2, 2 * round(side * scale / 2)) for side in (height, width))  # 4:2:0 wants even sides
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(source.fps / frames.step).limit_denominator(60_000))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.options = {"crf": str(settings.crf), "preset": "veryfast", "g": str(_KEY_FRAMES)}
        for picture in source.iter_frames(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame.reformat(width, height, "yuv420p", interpolation="AREA")))
        container.mux(stream.encode())
    return buffer.getvalue(), len(frames)


def _save_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path, overwrite=True) as fresh:
        fresh.write_text(json.dumps(content), encoding="utf-8")
