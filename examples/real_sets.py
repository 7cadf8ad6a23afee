"""Real video that no encoder of ours was trained on, as tasks: mice and fish larvae by clip, flies by rule.

Every set gives its sources (what features are taken of), how frames become rows, and one task for each way to hold
out. Nothing here looks at features.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import real_clips
import real_flies
import xarray as xr
from real_features import Source, chosen_frames, session_rows
from real_judge import Task

from behavior_prism.datasets import (
    CropSpec,
    Recording,
    fingerprint,
    load_recording,
    load_tracks,
    save_tracks,
    track_by_background,
)
from behavior_prism.schemas import NOT_SCORED, PRESENT

ROWS_PER_CLIP = 24
FRAMES_PER_CLIP = 64  # of longer clips the middle: grooming for a minute is not seen better than for four seconds
MOUSE_CROP = CropSpec(centre="centroid", size=160, unit="pixels", smooth=0.2, gaps="hold", max_gap=1e6)
MOUSE_THRESHOLD = 15.0  # grey levels
FLY_CROP = CropSpec(centre="thorax", size=4.0, body=("head", "abdomen"))
FLY_SECONDS = (0.2, 6.0)  # from one row to the next; of every stretch, so that those beside it see none of its frames
FLY_FOLDS = 6
FLY_PRESENT = (4, 0.01)  # a behaviour of a fly counts from so many stretches and this share of the frames on
FLIES = ("20190128_113421.120s.mp4", "20190128_113421.120s.predictions.analysis.h5")
CENTRED_TOGETHER = (
    " And too bad: training and test clips of one look are centred together, which makes clips of one look unlike one "
    "another; where a class has one look mostly, features that say nothing come out below chance."
)
ONE_FILE = (
    " All clips of a class come out of one file and were coded together: traces of the coding may give the class away, "
    "in every split and to every kind of features."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class RealSet:
    """Video, and what is to be predicted of it.

    Parameters
    ----------
    name : str
        Short; a folder of the cache.
    title : str
        Heading.
    sources : list of Source
        What features are taken of.
    sessions : list of str
        Of each source; sources of one session are centred and scaled together.
    frames : list of numpy.ndarray
        For each source, the frames that become rows, counted from its first one.
    tasks : list of Task
        One for each way to hold out; their rows are those of :meth:`rows`.
    primary : int, optional
        The task that decides, with its measure; none if this set decides nothing.
    measure : str
        Which measure decides.
    """

    name: str
    title: str
    sources: list[Source]
    sessions: list[str]
    frames: list[np.ndarray]
    tasks: list[Task]
    primary: int | None = None
    measure: str = "balanced accuracy"

    def rows(self, features: Sequence[xr.Dataset], over_time: Sequence[str] = ()) -> np.ndarray:
        """Lay out the rows of all sources.

        Parameters
        ----------
        features : sequence of xarray.Dataset
            Of each source, features layout.
        over_time : sequence of str
            As in :func:`real_features.session_rows`.

        Returns
        -------
        numpy.ndarray
            float32, shape (n, numbers): by source, in it by individual, in it by frame.
        """
        out: list[np.ndarray] = [np.empty(0)] * len(features)
        for session in dict.fromkeys(self.sessions):
            members = [i for i, s in enumerate(self.sessions) if s == session]
            made = session_rows([features[i] for i in members], [self.frames[i] for i in members], over_time=over_time)
            for i, rows in zip(members, made, strict=True):
                out[i] = rows.reshape(-1, rows.shape[-1])
        return np.concatenate(out)


# -- clips with one label each


def clip_task(
    clips: real_clips.ClipSet, split: str, frames: Sequence[np.ndarray], title: str, caveat: str = ""
) -> Task:
    """Predict the label of every clip; hold out by one of the set's splits.

    Parameters
    ----------
    clips : ClipSet
        The clips.
    split : str
        A key of their groups.
    frames : sequence of numpy.ndarray
        Rows of each clip.
    title : str
        Of the set.
    caveat : str
        What any split of it leaves.

    Returns
    -------
    Task
    """
    names = tuple(np.unique(clips.labels).tolist())
    unit = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
    return Task(
        title=f"{title}, split by {split}",
        names=names,
        label=(clips.labels[unit, None] == np.array(names)).astype(np.int8),
        unit=unit,
        group=clips.groups(split)[unit],
        one_of=True,
        caveat=clips.caveats[split] + caveat,
    )


def clip_set(
    name: str,
    clips: real_clips.ClipSet,
    sessions: list[str],
    *,
    sources: list[Source] | None = None,
    what: str = "",
    caveat: str = "",
    primary: int | None = None,
) -> RealSet:
    """Make a set of labelled clips.

    Parameters
    ----------
    name : str
        Of the set.
    clips : ClipSet
        The clips.
    sessions : list of str
        Session of each clip.
    sources : list of Source, optional
        What is looked at; the clips' whole pictures by default.
    what : str
        What is looked at, for the heading.
    caveat : str
        What any split of it leaves.
    primary : int, optional
        As in :class:`RealSet`.

    Returns
    -------
    RealSet
    """
    lengths = []
    for clip in clips.clips:
        recording = clip.open()
        lengths.append(recording.num_frames)
        recording.video.close()
    frames = [chosen_frames(n, ROWS_PER_CLIP) for n in lengths]
    title = f"{clips.title}{what}"
    return RealSet(
        name=name,
        title=title,
        sources=sources or [Source(name=clip.name, open=clip.open) for clip in clips.clips],
        sessions=sessions,
        frames=frames,
        tasks=[clip_task(clips, split, frames, title, caveat) for split in clips.caveats],
        primary=primary,
    )


def _mice(data: Path) -> real_clips.ClipSet:
    clips = real_clips.hstacked_clips(data)
    caveats = {**clips.caveats, "panel": clips.caveats["panel"] + CENTRED_TOGETHER}
    return dataclasses.replace(clips, clips=[_middle_of(clip) for clip in clips.clips], caveats=caveats)


def _middle_of(clip: real_clips.Clip) -> real_clips.Clip:
    assert clip.frames is not None
    start, stop = clip.frames
    cut = max(0, stop - start - FRAMES_PER_CLIP) // 2
    return dataclasses.replace(clip, frames=(start + cut, min(stop, start + cut + FRAMES_PER_CLIP)))


def mice_whole(data: Path, cache: Path) -> RealSet:
    """Mice, 11 behaviours, the whole panel."""
    clips = _mice(data)
    looks = clips.groups("recording").tolist()
    return clip_set("mice-view", clips, looks, what=", whole view", caveat=ONE_FILE)


def mice_cropped(data: Path, cache: Path) -> RealSet:
    """Mice, 11 behaviours, a crop that follows the animal; found without labels by what differs from the arena."""
    clips = _mice(data)
    looks = clips.groups("recording").tolist()
    empty = _Backgrounds(clips.clips, looks)
    sources = [
        Source(
            name=clip.name,
            open=functools.partial(_followed, clip, functools.partial(empty.of, look), cache / "tracks"),
            crops=MOUSE_CROP,
        )
        for clip, look in zip(clips.clips, looks, strict=True)
    ]
    return clip_set(
        "mice-crop", clips, looks, sources=sources, what=", crop around the animal", caveat=ONE_FILE, primary=1
    )


class _Backgrounds:
    """The empty arena of every look: the median over frames of all clips that have it. No label is looked at."""

    def __init__(self, clips: list[real_clips.Clip], looks: list[str]) -> None:
        self.clips, self.looks, self.known = clips, looks, dict[str, np.ndarray]()

    def of(self, look: str) -> np.ndarray:
        if look not in self.known:
            greys = []
            for clip, other in zip(self.clips, self.looks, strict=True):
                if other != look:
                    continue
                recording = clip.open()
                with recording.video:
                    spaced = np.linspace(recording.start_frame, recording.stop_frame - 1, 5).round().astype(int)
                    for frame in recording.video.iter_frames(np.unique(spaced).tolist()):
                        panel = np.ascontiguousarray(recording.crop(frame, "view"))
                        greys.append(cv2.cvtColor(panel, cv2.COLOR_RGB2GRAY))
            self.known[look] = np.median(np.stack(greys), axis=0).astype(np.float32)
        return self.known[look]


def _followed(clip: real_clips.Clip, empty: Callable[[], np.ndarray], folder: Path) -> Recording:
    """Open a clip with the place of its animal, moved so that the crop stays inside the clip's own panel."""
    recording = clip.open()
    key = repr((fingerprint(clip.path), clip.region, clip.frames, MOUSE_CROP.size, MOUSE_THRESHOLD, 2))
    path = folder / f"{clip.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.tracks.nc"
    if not path.exists():
        x, y, width, height = recording.regions["view"]
        background = np.zeros(recording.video.shape[1:3], dtype=np.float32)
        background[y : y + height, x : x + width] = empty()
        # low: an agouti mouse is hardly darker than the floor, and must come out as one blob
        tracks = track_by_background(recording, background=background, threshold=MOUSE_THRESHOLD, min_area=200)
        half = MOUSE_CROP.size / 2
        inside = [(x + half, x + width - 1 - half), (y + half, y + height - 1 - half)]
        for axis, (low, high) in zip(("x", "y"), inside, strict=True):
            tracks["position"].loc[{"space": axis}] = tracks["position"].sel(space=axis).clip(low, high)
        folder.mkdir(parents=True, exist_ok=True)
        save_tracks(tracks, path)
    tracks = load_tracks(path, times=recording.times)
    return Recording(
        video=recording.video,
        name=recording.name,
        start_frame=recording.start_frame,
        stop_frame=recording.stop_frame,
        tracks=tracks,
    )


def mice_examples(data: Path, cache: Path) -> RealSet:
    """Mice, 16 behaviours, very short clips of the whole arena."""
    clips = real_clips.example_clips(data)
    return clip_set("mice-examples", clips, ["all"] * len(clips.clips))


def fish(data: Path, cache: Path) -> RealSet:
    """Fish larvae, strike or not."""
    clips = real_clips.fish_clips(data)
    return clip_set("fish", clips, clips.groups("source video").tolist(), primary=0)


# -- flies: behaviours by rule


def flies(data: Path, cache: Path) -> RealSet:
    """Two flies, each by a crop of its own; what they do is told from their tracks."""
    video, poses = (data / "sleap-flies" / name for name in FLIES)
    whole = load_recording(video, tracks=poses)
    whole.video.close()
    assert whole.tracks is not None
    label, block = real_flies.behaviors_by_rule(whole.tracks), real_flies.block_of(whole.times)
    label = often_enough(label, block)
    counted = np.flatnonzero((label == PRESENT).any(axis=(0, 1)))
    step, looked_at = round(FLY_SECONDS[0] * whole.video.fps), round(FLY_SECONDS[1] * whole.video.fps)
    sources, frames, labels, units = [], [], [], []
    for number in np.unique(block):
        inside = np.flatnonzero(block == number)
        start = int(inside[0]) + (len(inside) - looked_at) // 2
        part = functools.partial(
            load_recording, video, name="flies", tracks=whole.tracks, frames=(start, start + looked_at)
        )
        sources.append(Source(name=f"flies-{number:02d}", open=part, crops=FLY_CROP))
        frames.append(chosen_frames(looked_at)[::step])
        labels.append(label[:, start + frames[-1]][:, :, counted].reshape(-1, len(counted)))
        units.append(np.full(len(labels[-1]), number))
    unit = np.concatenate(units)
    task = Task(
        title="Flies, behaviours by rule, crop around each fly, split by stretches of 10 s",
        names=tuple(np.array(list(real_flies.RULES))[counted].tolist()),
        label=np.concatenate(labels),
        unit=unit,
        group=unit % FLY_FOLDS,
        one_of=False,
        caveat=f"One recording of two flies for two minutes. Its {len(sources)} stretches of 10 s are what is held out "
        f"and drawn, both flies together; every {FLY_FOLDS}th stretch is held out at a time. Of each the middle "
        f"{FLY_SECONDS[1]:g} s are looked at, a row every {FLY_SECONDS[0]:g} s: no picture is seen by two stretches. "
        "The same two flies are trained on and tested: this says nothing of other flies.",
    )
    return RealSet(
        name="flies",
        title="Flies, behaviours by rule",
        sources=sources,
        sessions=["flies"] * len(sources),
        frames=frames,
        tasks=[task],
        primary=0,
        measure="average precision",
    )


def often_enough(label: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Leave out what a fly hardly does, so that no classifier scores by telling the flies apart.

    Parameters
    ----------
    label : numpy.ndarray
        -1, 0 or 1, shape (flies, frames, behaviours).
    block : numpy.ndarray
        Stretch of every frame, shape (frames,).

    Returns
    -------
    numpy.ndarray
        The same, not scored where a fly shows a behaviour in fewer than four stretches or in less than 1 % of frames.
    """
    label = label.copy()
    for fly, k in np.ndindex(label.shape[0], label.shape[2]):
        shown = label[fly, :, k] == PRESENT
        if len(np.unique(block[shown])) < FLY_PRESENT[0] or shown.mean() < FLY_PRESENT[1]:
            label[fly, :, k] = NOT_SCORED
    return label


SETS: dict[str, Callable[[Path, Path], RealSet]] = {
    "mice-crop": mice_cropped,
    "mice-view": mice_whole,
    "mice-examples": mice_examples,
    "fish": fish,
    "flies": flies,
}
