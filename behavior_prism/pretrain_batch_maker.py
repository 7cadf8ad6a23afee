"""Clips of corpora put together into the batches of a stage of pretraining; all chance is drawn here.

Batch ``step`` is a function of (seed, step) and of where in the global batch a clip stands: nothing depends on how many
processes or workers share the work, so that going on after a stop, also with another number of processes, sees what
would have been seen. Every batch comes from one corpus (:mod:`behavior_prism.datasets.mixing`). A clip that cannot be
read is replaced by another one of its corpus and told.

Shapes: T frames.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from behavior_prism.datasets.corpora import Corpus
from behavior_prism.datasets.mixing import Alternation, clips_of_batch
from behavior_prism.encoder.preprocess import resize_frames

from .pretrain_collate import Finish, PairTexts, Sample

ATTEMPTS = 16  # clips tried in the place of an unreadable one
_SIDES = re.compile(r"\b(left|right|clockwise|counterclockwise|anticlockwise)\b", re.I)
_CLIP, _SHARED = 1, 2  # streams of random numbers


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Chance in what is seen of a clip; none by default.

    Parameters
    ----------
    flip : bool
        Mirror half of the clips, but none whose caption speaks of left or right.
    crop : float
        Smallest share of the picture's area that is shown; 1 for all of it.

    Raises
    ------
    ValueError
        If the share is not in (0, 1].
    """

    flip: bool = False
    crop: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop: expected a share of the picture above 0 and up to 1, got {self.crop}")

    def __call__(self, frames: np.ndarray, caption: str, rng: np.random.Generator) -> np.ndarray:
        """Change frames, all of a clip in the same way.

        Parameters
        ----------
        frames : numpy.ndarray
            uint8, shape (T, H, W, 3).
        caption : str
            Of the clip.
        rng : numpy.random.Generator
            Chance.

        Returns
        -------
        numpy.ndarray
            A view.
        """
        if self.crop < 1:
            height, width = frames.shape[1:3]
            side = rng.uniform(self.crop, 1) ** 0.5
            h, w = max(1, round(height * side)), max(1, round(width * side))
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            frames = frames[:, top : top + h, left : left + w]
        if self.flip and rng.random() < 0.5 and not _SIDES.search(caption):
            frames = frames[:, :, ::-1]
        return frames


class Failure(NamedTuple):
    """A clip that could not be read.

    Parameters
    ----------
    step : int
        In which batch.
    corpus, clip, reason : str
        Names for people, and why.
    """

    step: int
    corpus: str
    clip: str
    reason: str


class MadeBatch(NamedTuple):
    """A batch and what went wrong in making it.

    Parameters
    ----------
    batch : dict of str to torch.Tensor
        Empty if it could not be made.
    failed : list of Failure
        Clips that others stand in for.
    error : str
        Why it could not be made.
    """

    batch: dict[str, Tensor]
    failed: list[Failure]
    error: str = ""


class BatchMaker:
    """Batches by step.

    Parameters
    ----------
    corpora : sequence of Corpus
        Where clips are from.
    weights : sequence of float, optional
        Share of batches of each; the same by default.
    batch : int
        Clips of a process.
    num_frames : int
        T; pictures have 1.
    image_size : (int, int)
        Height and width [pixels].
    finish : Finish
        What the stage adds.
    augmentation : Augmentation, optional
        None by default.
    seed : int
        Everything follows from it.
    rank, world : int
        Which process, of how many.

    Raises
    ------
    ValueError
        If a corpus is smaller than a global batch, or captions are missing that the stage needs.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        weights: Sequence[float] | None = None,
        *,
        batch: int,
        num_frames: int,
        image_size: tuple[int, int],
        finish: Finish,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not corpora:
            raise ValueError("corpora: expected at least one, got none")
        if batch < 1:
            raise ValueError(f"batch: expected at least one clip, got {batch}")
        if weights is not None and len(weights) != len(corpora):
            raise ValueError(f"weights: expected one for each of {len(corpora)} corpora, got {len(weights)}")
        self.corpora, self.weights = list(corpora), [1.0] * len(corpora) if weights is None else list(weights)
        self.batch, self.num_frames, self.image_size = batch, num_frames, image_size
        self.finish, self.augmentation = finish, augmentation or Augmentation()
        self.seed, self.rank, self.world = seed, rank, world
        self.turns = Alternation(self.weights)
        for corpus in self.corpora:
            if len(corpus) < batch * world:
                raise ValueError(
                    f"{corpus.name}: expected at least as many clips as a global batch has ({batch * world}), got "
                    f"{len(corpus)}; take a smaller batch"
                )
            if isinstance(finish, PairTexts) and not corpus.captioned:
                raise ValueError(f"{corpus.name}: expected a caption for every clip, got clips without one")

    def order(self) -> dict[str, Any]:
        """What the order of clips follows from; JSON-compatible."""
        sizes = [[len(corpus), weight] for corpus, weight in zip(self.corpora, self.weights, strict=True)]
        return {"seed": self.seed, "batch": self.batch * self.world, "corpora": sizes}

    def __call__(self, step: int) -> MadeBatch:
        """Make a batch.

        Parameters
        ----------
        step : int
            Which.

        Returns
        -------
        MadeBatch
        """
        number, ordinal = self.turns[step]
        corpus = self.corpora[number]
        clips = clips_of_batch(ordinal, self.batch * self.world, len(corpus), [self.seed, number])
        failed: list[Failure] = []
        samples: list[Sample] = []
        for slot in range(self.rank * self.batch, (self.rank + 1) * self.batch):
            rng = np.random.default_rng([self.seed, _CLIP, step, slot])
            sample = self._sample(corpus, int(clips[slot]), rng, step, failed)
            if sample is None:
                return MadeBatch({}, failed, f"{failed[-1].reason}; so were {ATTEMPTS} clips in its place")
            samples.append(sample)
        video = torch.stack([sample.video for sample in samples])
        try:
            rest = self.finish(samples, np.random.default_rng([self.seed, _SHARED, step]))
        except ValueError as error:  # a caption that the tokenizer does not take
            return MadeBatch({}, failed, f"{corpus.name}: {error}")
        return MadeBatch({"video": video, **rest}, failed)

    def _sample(
        self, corpus: Corpus, index: int, rng: np.random.Generator, step: int, failed: list[Failure]
    ) -> Sample | None:
        for _ in range(ATTEMPTS + 1):
            try:
                clip = corpus.read(index, self.num_frames, rng)
            except (ValueError, OSError) as error:
                reason = " ".join(str(error).split())
                failed.append(Failure(step, corpus.name, corpus.describe(index), reason))
                index = int(rng.integers(len(corpus)))
                continue
            which = int(rng.integers(len(clip.captions))) if clip.captions else 0
            caption = clip.captions[which] if clip.captions else ""
            meaning = clip.meanings[which] if clip.meanings else ""
            frames = self.augmentation(clip.frames, caption, rng)
            return Sample(resize_frames(frames, self.image_size), caption, meaning, clip.label, rng)
        return None
