"""Simulated recordings of mice and flies with exact truth: video, tracks, ethogram and captions.

Recordings and plain clips are for demonstrations and tests: one or two animals with articulated bodies move in an
arena seen from above; every frame of every animal is in exactly one behaviour, and everything about a recording follows
from its seed. :func:`simulate_varied_clip` is for the pretraining of small encoders: more behaviours, and scenes as
different from each other as those of different laboratories.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ._sim_motion import World, move
from ._sim_render import Painter
from ._sim_scene import draw_floor, draw_look
from ._sim_states import ARENAS, FLY_BEHAVIORS, MOUSE_BEHAVIORS, behaviors_of
from ._sim_truth import caption_table, scored_truth, tracks_dataset
from ._sim_varied import ACTS, VariedClip, render, tell
from ._sim_write import write_recording
from .annotations import Annotations
from .captions import SPLITS

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "MOUSE_BEHAVIORS",
    "FLY_BEHAVIORS",
    "SimulatedClip",
    "SimulatedRecording",
    "behaviors_of",
    "VARIED_BEHAVIORS",
    "VariedClip",
    "simulate_clip",
    "simulate_recording",
    "simulate_captions",
    "simulate_varied_clip",
    "write_recording",
]

VARIED_BEHAVIORS: dict[str, tuple[str, ...]] = {species: tuple(acts) for species, acts in ACTS.items()}

_BURN_IN_S = 0.5  # postures and tails settle before the first frame that is shown
_LENGTH = {"mouse": (0.22, 0.28), "fly": (0.19, 0.25)}  # body length [fraction of the shorter side]
_MIN_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class SimulatedRecording:
    """A simulated recording and the truth about it.

    Parameters
    ----------
    name : str
        Unique among arenas and seeds, in ``[a-z0-9_-]``.
    arena : {"mouse", "fly"}
        Which animals.
    seed : int
        What it was made from.
    fps : float
        Frames per second.
    size : tuple of int
        Height and width [pixels].
    num_frames : int
        T.
    behaviors : tuple of str
        What the numbers in ``states`` mean.
    states : numpy.ndarray
        int64, shape (T, num_animals): the true behaviour of every animal at every frame, scored or not.
    scored : numpy.ndarray
        bool, shape (T,): the frames that the annotations cover.
    tracks : xarray.Dataset
        ``position(time, space, keypoint, individual)`` [pixels, integers at pixel centres] and
        ``confidence(time, keypoint, individual)``: 1 in the picture, 0 outside it.
    annotations : Annotations
        Bouts and scored intervals, scorer ``"simulator"``.
    captions : pandas.DataFrame
        ``start_frame, stop_frame, caption``, one row per clip.

    Examples
    --------
    >>> recording = simulate_recording("fly", seconds=1, size=(64, 64), seed=3)
    >>> recording.num_frames, recording.frame(0).shape, recording.tracks.sizes["individual"]
    (25, (64, 64, 3), 2)
    """

    name: str
    arena: str
    seed: int
    fps: float
    size: tuple[int, int]
    num_frames: int
    behaviors: tuple[str, ...]
    states: np.ndarray
    scored: np.ndarray
    tracks: xr.Dataset
    annotations: Annotations
    captions: pd.DataFrame
    _painter: Painter = field(repr=False)

    def frame(self, index: int) -> np.ndarray:
        """Render one frame.

        Parameters
        ----------
        index : int
            0 to ``num_frames - 1``.

        Returns
        -------
        numpy.ndarray
            uint8 RGB, shape (height, width, 3).

        Raises
        ------
        IndexError
            If there is no such frame.
        """
        if not 0 <= index < self.num_frames:
            raise IndexError(f"frame: expected 0 to {self.num_frames - 1}, got {index}")
        return self._painter.paint(index)

    def frames(self) -> Iterator[np.ndarray]:
        """Render all frames, one after the other.

        Yields
        ------
        numpy.ndarray
            uint8 RGB, shape (height, width, 3).
        """
        return (self._painter.paint(t) for t in range(self.num_frames))


@dataclass(frozen=True, kw_only=True)
class SimulatedClip:
    """A few frames that show one behaviour from beginning to end.

    Parameters
    ----------
    frames : numpy.ndarray
        uint8 RGB, shape (T, H, W, 3).
    behavior : str
        What is shown (by the first animal, if the second does something else).
    caption : str
        The same in a sentence.
    tracks : xarray.Dataset
        As in :class:`SimulatedRecording`.
    """

    frames: np.ndarray
    behavior: str
    caption: str
    tracks: xr.Dataset


def _check_number(what: str, value: float, low: float, expected: str) -> None:
    if not (isinstance(value, int | float | np.number) and math.isfinite(value) and value > low):
        raise ValueError(f"{what}: expected {expected}, got {value!r}")


def _check_count(what: str, value: int, low: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low:
        raise ValueError(f"{what}: expected an integer from {low} on, got {value!r}")


def _check_seed(seed: int) -> None:
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed: expected an integer from 0 on, got {seed!r}")


def _generators(arena: str, seed: int) -> list[np.random.Generator]:
    """Independent generators for motion, look, painting and words."""
    sequence = np.random.SeedSequence([ARENAS.index(arena), int(seed)])
    return [np.random.Generator(np.random.PCG64(child)) for child in sequence.spawn(4)]


def simulate_recording(
    arena: str = "mouse",
    *,
    seconds: float = 20.0,
    fps: float = 25.0,
    size: tuple[int, int] = (192, 192),
    num_animals: int = 2,
    unscored_fraction: float = 0.1,
    caption_frames: int = 8,
    seed: int = 0,
) -> SimulatedRecording:
    """Simulate a recording in which animals change from behaviour to behaviour.

    Parameters
    ----------
    arena : {"mouse", "fly"}
        Which animals.
    seconds : float
        Duration [s].
    fps : float
        Frames per second.
    size : tuple of int
        Height and width [pixels], at least 32.
    num_animals : {1, 2}
        A single animal neither chases nor touches another.
    unscored_fraction : float
        Part of the frames that is marked as not scored, in one or two stretches; 0 to below 1.
    caption_frames : int
        Frames per caption; a shorter rest at the end has one of its own.
    seed : int
        Everything follows from it.

    Returns
    -------
    SimulatedRecording
        Frames are rendered when they are asked for.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> recording = simulate_recording("mouse", seconds=2, size=(96, 96), seed=1)
    >>> sorted(set(recording.annotations.bouts["individual"]))
    ['mouse1', 'mouse2']
    """
    behaviors = behaviors_of(arena)
    _check_number("seconds", seconds, 0, "a positive number")
    _check_number("fps", fps, 0, "a positive number")
    if len(size) != 2 or any(not isinstance(n, int | np.integer) or n < _MIN_SIZE for n in size):
        raise ValueError(f"size: expected (height, width), integers from {_MIN_SIZE} on, got {size!r}")
    if num_animals not in (1, 2):
        raise ValueError(f"num_animals: expected 1 or 2, got {num_animals!r}")
    _check_number("unscored_fraction", unscored_fraction, -1e-12, "0 to below 1")
    if unscored_fraction >= 1:
        raise ValueError(f"unscored_fraction: expected 0 to below 1, got {unscored_fraction!r}")
    if caption_frames < 1:
        raise ValueError(f"caption_frames: expected at least 1, got {caption_frames!r}")
    _check_seed(seed)
    num_frames = round(seconds * fps)
    if num_frames < 1:
        raise ValueError(f"seconds: expected at least one frame at {fps} fps, got {seconds!r} s")

    motion, looks, paint, words = _generators(arena, seed)
    height, width = int(size[0]), int(size[1])
    floor = draw_floor(looks, height, width)
    length = looks.uniform(*_LENGTH[arena])
    look = draw_look(looks, arena, num_animals)
    world = World(arena, behaviors, floor, length=length, fps=fps, num_animals=num_animals, rng=motion)
    burn_in = math.ceil(_BURN_IN_S * fps)
    poses, states = move(world, num_frames, burn_in=burn_in)
    painter = Painter(
        arena, poses, burn_in=burn_in, length=length, floor=floor, look=look, size=(height, width), rng=paint
    )
    name = f"sim-{arena}-{int(seed):04d}"
    individuals = tuple(f"{arena}{n + 1}" for n in range(num_animals))
    scored, annotations = scored_truth(
        words,
        states,
        recording=name,
        individuals=individuals,
        behaviors=behaviors,
        fps=fps,
        unscored_fraction=unscored_fraction,
    )
    return SimulatedRecording(
        name=name,
        arena=arena,
        seed=int(seed),
        fps=float(fps),
        size=(height, width),
        num_frames=num_frames,
        behaviors=behaviors,
        states=states,
        scored=scored,
        tracks=tracks_dataset(arena, painter.keypoints, individuals, fps=fps, size=(height, width)),
        annotations=annotations,
        captions=caption_table(
            words, arena, states, poses[burn_in:], floor, look, length=length, clip_frames=caption_frames
        ),
        _painter=painter,
    )


def simulate_clip(
    arena: str, behavior: str, *, num_frames: int = 8, size: int = 96, fps: float = 25.0, seed: int = 0
) -> SimulatedClip:
    """Simulate a clip that shows one behaviour throughout.

    Parameters
    ----------
    arena : {"mouse", "fly"}
        Which animals.
    behavior : str
        One of :func:`behaviors_of`.
    num_frames : int
        T.
    size : int
        Height and width [pixels], at least 32.
    fps : float
        Frames per second.
    seed : int
        Everything follows from it.

    Returns
    -------
    SimulatedClip
        With two animals in a chase or a contact, otherwise with one or two; two animals do the same, save
        that a second fly only watches a wing extension.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> clip = simulate_clip("mouse", "rear", seed=2)
    >>> clip.frames.shape, clip.behavior
    ((8, 96, 96, 3), 'rear')
    """
    behaviors = behaviors_of(arena)
    if behavior not in behaviors:
        raise ValueError(f"behavior: expected one of {list(behaviors)}, got {behavior!r}")
    _check_count("num_frames", num_frames, 1)
    _check_count("size", size, _MIN_SIZE)
    _check_number("fps", fps, 0, "a positive number")
    _check_seed(seed)

    motion, looks, paint, words = _generators(arena, seed)
    two = behavior in ("chase", "contact") or looks.random() < (0.6 if behavior == "wing_extension" else 0.3)
    floor = draw_floor(looks, int(size), int(size))
    length = looks.uniform(*_LENGTH[arena])
    look = draw_look(looks, arena, 1 + two)
    world = World(arena, behaviors, floor, length=length, fps=fps, num_animals=1 + two, rng=motion, only=behavior)
    burn_in = math.ceil(_BURN_IN_S * fps)
    poses, states = move(world, int(num_frames), burn_in=burn_in)
    painter = Painter(
        arena, poses, burn_in=burn_in, length=length, floor=floor, look=look, size=(int(size), int(size)), rng=paint
    )
    individuals = tuple(f"{arena}{n + 1}" for n in range(1 + two))
    captions = caption_table(
        words, arena, states, poses[burn_in:], floor, look, length=length, clip_frames=int(num_frames)
    )
    return SimulatedClip(
        frames=np.stack([painter.paint(t) for t in range(int(num_frames))]),
        behavior=behavior,
        caption=str(captions["caption"].iloc[0]),
        tracks=tracks_dataset(arena, painter.keypoints, individuals, fps=fps, size=(int(size), int(size))),
    )


def simulate_varied_clip(
    species: str | None = None,
    behavior: str | None = None,
    *,
    seed: int = 0,
    index: int = 0,
    num_frames: int = 8,
    size: int = 96,
    split: str = "train",
) -> VariedClip:
    """Simulate a captioned clip for pretraining: one of about twenty behaviours in one of very many scenes.

    Arenas, floors, coats, light, cameras (from above, oblique, from the side, from below, following the animal),
    objects, blur, noise and compression are all drawn. What :func:`simulate_clip` and :func:`simulate_recording` show
    is plainer, and exact to the frame.

    Parameters
    ----------
    species : {"mouse", "fly"}, optional
        Which animals; drawn when left out.
    behavior : str, optional
        One of ``VARIED_BEHAVIORS[species]``; drawn when left out.
    seed, index : int
        Everything follows from them and the other arguments; clips of one seed are numbered by ``index``.
    num_frames : int
        T; 1 is a picture.
    size : int
        Height and width [pixels], at least 32.
    split : {"train", "test", "unseen_sentences", "unseen_synonyms", "unseen_combinations"}
        Splits never share a clip. ``"test"`` is like training; ``"unseen_sentences"`` has sentences that training does
        not have, of words that it has; ``"unseen_synonyms"`` has words that training does not have;
        ``"unseen_combinations"`` shows a behaviour with a coat or in an arena in which training never shows it.

    Returns
    -------
    VariedClip
        Frames, captions and truth.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> clip = simulate_varied_clip("mouse", "digging", seed=1, index=5)
    >>> clip.frames.shape, clip.behavior, len(clip.captions)
    ((8, 96, 96, 3), 'digging', 2)
    """
    if species is not None and species not in ACTS:
        raise ValueError(f"species: expected one of {list(ACTS)}, got {species!r}")
    known = [b for name, acts in ACTS.items() if species in (None, name) for b in acts]
    if behavior is not None and behavior not in known:
        raise ValueError(f"behavior: expected one of {list(dict.fromkeys(known))}, got {behavior!r}")
    _check_seed(seed)
    _check_count("index", index, 0)
    _check_count("num_frames", num_frames, 1)
    _check_count("size", size, _MIN_SIZE)
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {list(SPLITS)}, got {split!r}")
    return render(
        species, behavior, seed=int(seed), index=int(index), num_frames=int(num_frames), size=int(size), split=split
    )


def simulate_captions(count: int, *, seed: int = 0, split: str = "train") -> Iterator[str]:
    """Captions as :func:`simulate_varied_clip` gives them, without the clips: for training a tokenizer.

    Parameters
    ----------
    count : int
        How many clips; each has two captions.
    seed : int
        As of the clips.
    split : str
        As of the clips.

    Yields
    ------
    str
        A sentence.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> len(list(simulate_captions(3)))
    6
    """
    _check_count("count", count, 0)
    _check_seed(seed)
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {list(SPLITS)}, got {split!r}")
    return (text for index in range(count) for text in tell(None, None, seed=int(seed), index=index, split=split))
