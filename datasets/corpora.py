"""What encoders are pretrained on: shards of clips, recordings as they lie on a lab's disk, and the simulator.

A corpus is a numbered set of clips. Which of them is wanted, and the generator from which all chance in reading it is
drawn (where in a recording it begins, which words a caption has), come from outside, so that a clip depends on nothing
but these two. What cannot be read raises; who asks decides what then, and counts it.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .clip_shards import (
    PICTURE_ENDINGS,
    ClipTable,
    ShardFiles,
    decode_frames,
    find_shards,
    list_clips,
    read_text,
    split_name,
)
from .frame_source import FrameSource
from .shard_writing import stretches

RATE = 30.0  # frames a second that an encoder sees, as for windows
_OPEN_VIDEOS = 8


@dataclass(frozen=True, eq=False)
class Clip:
    """A few frames and what is known about them.

    Parameters
    ----------
    frames : numpy.ndarray
        uint8 RGB, shape (T, H, W, 3), of any height and width.
    captions : tuple of str
        What is seen, in other words each; none if there is none.
    label : numpy.ndarray, optional
        Three-state labels (-1 not scored, 0, 1), int8, shape (behaviours,).
    meanings : tuple of str
        What each caption says, in words that are always the same, where that is known: captions of one meaning do not
        tell their clips apart.
    """

    frames: np.ndarray
    captions: tuple[str, ...] = ()
    label: np.ndarray | None = None
    meanings: tuple[str, ...] = ()


class Corpus(ABC):
    """A numbered set of clips; its length is that of an epoch.

    Attributes
    ----------
    name : str
        Where it is from.
    captioned : bool
        Whether every clip has a caption.
    pictures : bool
        Whether its clips have one frame, whatever is asked for.
    left_out : int
        Clips that are too short to be in it.
    """

    name: str
    captioned: bool = False
    pictures: bool = False
    left_out: int = 0

    @abstractmethod
    def __len__(self) -> int: ...

    def read(self, index: int, num_frames: int, rng: np.random.Generator) -> Clip:
        """Read a clip.

        Parameters
        ----------
        index : int
            Which, below the length.
        num_frames : int
            How many frames.
        rng : numpy.random.Generator
            All chance in it.

        Returns
        -------
        Clip

        Raises
        ------
        ValueError, OSError
            If it cannot be read.
        """
        return self._read(index, 1 if self.pictures else num_frames, rng)

    def describe(self, index: int) -> str:
        """Name a clip for people.

        Parameters
        ----------
        index : int
            Which.

        Returns
        -------
        str
        """
        return self._describe(index)

    @abstractmethod
    def _read(self, index: int, num_frames: int, rng: np.random.Generator) -> Clip: ...

    @abstractmethod
    def _describe(self, index: int) -> str: ...


class ShardCorpus(Corpus):
    """Clips from shards in webdataset's layout.

    Parameters
    ----------
    place : str or pathlib.Path
        A folder of ``.tar`` files, or one of them.
    num_frames : int
        Frames of a clip; clips that are known to have fewer are left out.
    rate : float, optional
        About so many frames a second, from a random place in the clip; by default frames are spread over the whole
        clip, which is what a caption speaks of.

    Attributes
    ----------
    left_out : int
        Clips that are too short.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no shard, one is damaged, or all clips are too short.

    Examples
    --------
    >>> corpus = ShardCorpus("shards", num_frames=8)                          # doctest: +SKIP
    >>> corpus.read(0, 8, np.random.default_rng(0)).captions                  # doctest: +SKIP
    ('a mouse grooms itself',)
    """

    def __init__(self, place: str | Path, *, num_frames: int, rate: float | None = None) -> None:
        self.name, self.rate = str(place), rate
        paths = find_shards(place)
        clips = list_clips(paths)
        pictures = clips.frames == 1
        if pictures.any() and not pictures.all():
            self._refuse_pictures(clips.take(pictures), ShardFiles(paths))
            pictures[:] = False  # clips that are too short
        self.pictures = bool(pictures.all())
        steps = np.array([_step(fps, rate) for fps in clips.fps.tolist()])
        needed = np.where(pictures, 1, (num_frames - 1) * steps + 1)
        long_enough = (clips.frames >= needed) | (clips.frames == 0)  # those that say nothing show when they are read
        if not long_enough.any():
            longest = int(clips.frames.argmax())
            raise ValueError(
                f"{place}: expected clips of at least {needed[longest]} frames, got {len(clips)} clips of at most "
                f"{clips.frames[longest]}"
            )
        self.left_out = int((~long_enough).sum())
        self._clips = clips.take(long_enough)
        self._files = ShardFiles(paths)
        self.captioned = bool(self._clips.captioned.all())

    def __len__(self) -> int:
        return len(self._clips)

    def _read(self, index: int, num_frames: int, rng: np.random.Generator) -> Clip:
        clips = self._clips
        shard = int(clips.shard[index])
        what = self._describe(index)
        captions: tuple[str, ...] = ()
        frames, fps = int(clips.frames[index]), float(clips.fps[index])
        if clips.text_size[index]:
            text = self._files.read(shard, int(clips.text_offset[index]), int(clips.text_size[index]))
            captions = read_text(text, what)[0]
        content = self._files.read(shard, int(clips.offset[index]), int(clips.size[index]))
        if not frames:
            raise ValueError(f"{what}: expected a number of frames in its json, got none")
        wanted = choose_frames(frames, num_frames, self._step_of(fps), rng)
        return Clip(decode_frames(content, wanted, what), captions)

    def _refuse_pictures(self, clips: ClipTable, files: ShardFiles) -> None:
        for shard, offset in zip(clips.shard.tolist(), clips.offset.tolist(), strict=True):
            if split_name(files.member_name(shard, offset))[1] in PICTURE_ENDINGS:
                raise ValueError(f"{self.name}: expected clips or pictures, got both; put them into two folders")

    def _step_of(self, fps: float) -> int | None:
        return None if self.rate is None else _step(fps, self.rate)

    def _describe(self, index: int) -> str:
        shard = int(self._clips.shard[index])
        try:
            member = self._files.member_name(shard, int(self._clips.offset[index]))
        except (OSError, ValueError):
            member = f"clip {index}"
        return f"{self._files.paths[shard]}: {member}"


def _step(fps: float, rate: float | None) -> int:
    return 1 if rate is None or not fps else max(1, round(fps / rate))


def choose_frames(frames: int, num_frames: int, step: int | None, rng: np.random.Generator) -> np.ndarray:
    """Choose the frames of a clip that are read.

    Parameters
    ----------
    frames : int
        Of the clip.
    num_frames : int
        Wanted.
    step : int or None
        Every which; None for evenly spread ones, each from a random place in its part.
    rng : numpy.random.Generator
        Chance.

    Returns
    -------
    numpy.ndarray
        int64, not decreasing, shape (num_frames,).

    Raises
    ------
    ValueError
        If the clip is too short.

    Examples
    --------
    >>> choose_frames(9, 3, 4, np.random.default_rng(0)).tolist()
    [0, 4, 8]
    """
    span = (num_frames - 1) * (step or 1) + 1
    if frames < span:
        raise ValueError(f"expected at least {span} frames, got {frames}")
    if step is None:
        edges = np.arange(num_frames + 1) * frames // num_frames
        return rng.integers(edges[:-1], edges[1:])
    return int(rng.integers(frames - span + 1)) + step * np.arange(num_frames)


class RecordingCorpus(Corpus):
    """Windows of recordings, without shards: what a lab has is enough.

    An epoch has one window of every stretch of a window's length; where in it the window begins is chance.

    Parameters
    ----------
    recordings : mapping of str to FrameSource
        By name; each is opened anew in worker processes, and few at a time.
    num_frames : int
        Frames of a window; stretches (between gaps in time) that are shorter are left out.
    rate : float
        About so many frames a second.
    name : str
        Of the corpus.

    Attributes
    ----------
    left_out : int
        Stretches that are too short.

    Raises
    ------
    ValueError
        If there is no recording, or all are too short.
    """

    def __init__(
        self, recordings: Mapping[str, FrameSource], *, num_frames: int, rate: float = RATE, name: str = "recordings"
    ) -> None:
        if not recordings:
            raise ValueError(f"{name}: expected at least one recording, got none")
        self.name, self.recordings = name, dict(recordings)
        self.left_out = 0
        rows: list[tuple[int, int, int, int, int]] = []
        longest = 0
        for number, source in enumerate(self.recordings.values()):
            step = max(1, round(source.fps / rate))
            span = (num_frames - 1) * step + 1
            for start, stop in stretches(source.times):
                longest = max(longest, (stop - start - 1) // step + 1)
                windows = (stop - start) // span
                self.left_out += not windows
                edges = start + (stop - start) * np.arange(windows + 1) // max(1, windows)
                # the last one may begin as long as it ends with the stretch
                rows += [
                    (number, a, min(b, stop - span + 1), step, span) for a, b in itertools.pairwise(edges.tolist())
                ]
        if not rows:
            raise ValueError(f"{name}: expected a stretch of at least {num_frames} frames, got at most {longest}")
        self._windows = np.array(rows, np.int64)
        self._open: OrderedDict[int, FrameSource] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def _read(self, index: int, num_frames: int, rng: np.random.Generator) -> Clip:
        number, first, stop, step, _ = self._windows[index].tolist()
        start = int(rng.integers(first, stop))
        return Clip(self.source(number)[start + step * np.arange(num_frames)])

    def source(self, number: int) -> FrameSource:
        """A recording; the ones used least lately are closed.

        Parameters
        ----------
        number : int
            In their order.

        Returns
        -------
        FrameSource
        """
        source = self._open.pop(number, None) or list(self.recordings.values())[number]
        self._open[number] = source
        if len(self._open) > _OPEN_VIDEOS:
            self._open.popitem(last=False)[1].close()
        return source

    def _describe(self, index: int) -> str:
        number, first, *_ = self._windows[index].tolist()
        return f"{list(self.recordings)[number]}: window from frame {first} on"


class LabelledCorpus(Corpus):
    """Windows of recordings whose middle frame somebody scored, with what is seen at it.

    Parameters
    ----------
    recordings : mapping of str to FrameSource
        By name.
    labels : mapping of str to numpy.ndarray
        By the same names: int8 three-state labels, shape (frames, behaviours).
    behaviors : sequence of str
        What the columns mean.
    num_frames, rate
        As in :class:`RecordingCorpus`.
    stride : int, optional
        Sampled frames from one window to the next; half a window by default.
    name : str
        Of the corpus.

    Raises
    ------
    ValueError
        If labels do not fit, or no window is left.
    """

    def __init__(
        self,
        recordings: Mapping[str, FrameSource],
        labels: Mapping[str, np.ndarray],
        behaviors: Sequence[str],
        *,
        num_frames: int,
        rate: float = RATE,
        stride: int | None = None,
        name: str = "labelled recordings",
    ) -> None:
        self.name, self.behaviors = name, tuple(behaviors)
        windows = RecordingCorpus(recordings, num_frames=num_frames, rate=rate, name=name)
        self._source = windows.source
        self._names = list(recordings)
        rows: list[tuple[int, int, int]] = []
        values: list[np.ndarray] = []
        for number, (recording, source) in enumerate(recordings.items()):
            label = labels[recording]
            if label.shape != (len(source), len(self.behaviors)):
                raise ValueError(
                    f"{recording}: expected labels of shape {(len(source), len(self.behaviors))}, got {label.shape}"
                )
            step = max(1, round(source.fps / rate))
            span = (num_frames - 1) * step + 1
            every = max(1, num_frames // 2 if stride is None else stride) * step
            for start, stop in stretches(source.times):
                for first in range(start, stop - span + 1, every):
                    middle = label[first + step * (num_frames // 2)]
                    if (middle >= 0).any():
                        rows.append((number, first, step))
                        values.append(middle)
        if not rows:
            raise ValueError(f"{name}: expected windows of {num_frames} frames with a scored middle, got none")
        self._windows = np.array(rows, np.int64)
        self.labels = np.stack(values).astype(np.int8)

    def __len__(self) -> int:
        return len(self._windows)

    def _read(self, index: int, num_frames: int, rng: np.random.Generator) -> Clip:
        number, first, step = self._windows[index].tolist()
        return Clip(self._source(number)[first + step * np.arange(num_frames)], label=self.labels[index])

    def _describe(self, index: int) -> str:
        number, first, _ = self._windows[index].tolist()
        return f"{self._names[number]}: window from frame {first} on"


class SimulatedCorpus(Corpus):
    """Captioned clips that are drawn when they are wanted: no disk, and none is seen twice.

    Parameters
    ----------
    size : int
        Height and width [pixels].
    species : str, optional
        ``mouse`` or ``fly``; both by default.
    clips : int
        Of an epoch.
    seed : int
        Everything follows from it and the number of a clip.
    split : str
        As in :func:`~behavior_prism.datasets.simulate_varied_clip`; splits never share a clip.
    """

    captioned = True

    def __init__(
        self,
        *,
        size: int = 96,
        species: str | None = None,
        clips: int = 10_000_000,
        seed: int = 0,
        split: str = "train",
    ) -> None:
        if clips < 1:
            raise ValueError(f"simulator: expected at least one clip, got {clips}")
        self.name = "simulator"
        self.size, self.species, self.clips, self.seed, self.split = size, species, clips, seed, split

    def of_split(self, split: str) -> SimulatedCorpus:
        """The same of another split, to judge by.

        Parameters
        ----------
        split : str
            Which.

        Returns
        -------
        SimulatedCorpus
        """
        return SimulatedCorpus(size=self.size, species=self.species, clips=self.clips, seed=self.seed, split=split)

    def __len__(self) -> int:
        return self.clips

    def _read(self, index: int, num_frames: int, rng: np.random.Generator) -> Clip:
        """What is drawn follows from the index alone."""
        from .simulate import simulate_varied_clip

        clip = simulate_varied_clip(
            self.species, seed=self.seed, index=index, num_frames=num_frames, size=self.size, split=self.split
        )
        return Clip(clip.frames, tuple(clip.captions), meanings=tuple(clip.meanings))

    def _describe(self, index: int) -> str:
        return f"simulator: seed {self.seed}, clip {index} of {self.split}"
