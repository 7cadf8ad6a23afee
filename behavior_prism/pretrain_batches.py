"""Clips of corpora put together into the batches of a stage of pretraining; all chance is drawn here.

Batch ``step`` is a function of (seed, step) and of where in the global batch a clip stands: nothing depends on how many
processes or workers share the work, so that going on after a stop, also with another number of processes, sees what
would have been seen. Every batch comes from one corpus (:mod:`behavior_prism.datasets.mixing`). A clip that cannot be
read is replaced by another one of its corpus, counted, and listed with its reason; more than a small share stops the
run.

Shapes: B clips of a process, G of all, T frames, L text tokens, N places of a frame, K kept, M masked ones, C
behaviours.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from behavior_prism.datasets.corpora import Corpus
from behavior_prism.datasets.mixing import Alternation, clips_of_batch
from behavior_prism.encoder.preprocess import resize_frames
from behavior_prism.encoder.pretraining.masks import MaskConfig, draw_masks
from behavior_prism.encoder.tokenizer import Tokenizer, canonicalize

MAX_FAILED = 0.01  # share of clips that may be unreadable
ATTEMPTS = 16  # clips tried in the place of an unreadable one
_ALWAYS_ALLOWED = 8  # failures before the share counts
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


class Sample(NamedTuple):
    """A clip as it goes into a batch.

    Parameters
    ----------
    video : torch.Tensor
        uint8, shape (T, height, width, 3).
    caption : str
        The one that was chosen; empty if there is none.
    meaning : str
        What it says, where that is known apart from its words.
    label : numpy.ndarray or None
        int8, shape (C,).
    rng : numpy.random.Generator
        For what else is chance about it.
    """

    video: Tensor
    caption: str
    meaning: str
    label: np.ndarray | None
    rng: np.random.Generator


class Finish(Protocol):
    """What a stage adds to the video of a batch."""

    def __call__(self, samples: list[Sample], shared: np.random.Generator) -> dict[str, Tensor]:
        """Make the other tensors of a batch.

        Parameters
        ----------
        samples : list of Sample
            Of this process.
        shared : numpy.random.Generator
            The same in all processes.
        """
        ...


@dataclass(frozen=True)
class PairTexts:
    """Texts of a contrastive batch, which of them say the same, and which places of its frames are kept.

    Parameters
    ----------
    tokenizer : Tokenizer
        Of the model.
    places : int
        N, of a frame.
    keep : int
        K that are kept, the same in all frames of a clip; N for all.
    """

    tokenizer: Tokenizer
    places: int
    keep: int

    def __call__(self, samples: list[Sample], shared: np.random.Generator) -> dict[str, Tensor]:
        """As :class:`Finish`."""
        token_ids, paddings = self.tokenizer([sample.caption for sample in samples])
        longest = int((paddings == 0).sum(1).max())
        length = -(-longest // 16) * 16  # few lengths, so that few are compiled
        said = [sample.meaning or canonicalize(sample.caption) for sample in samples]
        batch = {
            "token_ids": token_ids[:, :length].contiguous(),
            "text_paddings": paddings[:, :length].contiguous(),
            "text_group": torch.tensor([_number_of(text) for text in said], dtype=torch.int64),
        }
        if self.keep < self.places:
            kept = [np.sort(s.rng.choice(self.places, self.keep, replace=False)) for s in samples]
            batch["kept"] = torch.from_numpy(np.stack(kept).astype(np.int64))
        return batch


def _number_of(text: str) -> int:
    """The same in every process, for texts that differ in practice never."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


@dataclass(frozen=True)
class MaskedTokens:
    """What the student of stage 2 does not see.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns of places.
    config : MaskConfig
        How to mask.
    """

    grid: tuple[int, int]
    config: MaskConfig

    def __call__(self, samples: list[Sample], shared: np.random.Generator) -> dict[str, Tensor]:
        """As :class:`Finish`."""
        frames = len(samples[0].video)
        config = self.config
        if config.kind == "block":
            # one length of run for all processes, or the fast ones would wait; its middle rounds to nothing else
            shortest, longest = config.run_lengths(frames)
            share = (int(shared.integers(shortest, longest + 1)) - 0.5) / frames
            config = replace(config, run=(share, share))
        drawn = [draw_masks(sample.rng, 1, frames, self.grid, config) for sample in samples]
        batch = {
            name: torch.from_numpy(np.concatenate([masks[name] for masks in drawn]).astype(np.int64))
            for name in ("run_start", "masked_places", "permutation")
        }
        return {**batch, "run_length": torch.tensor(int(drawn[0]["run_length"]), dtype=torch.int64)}


@dataclass(frozen=True)
class Labels:
    """Labels of a batch for fine-tuning."""

    def __call__(self, samples: list[Sample], shared: np.random.Generator) -> dict[str, Tensor]:
        """As :class:`Finish`."""
        return {"label": torch.from_numpy(np.stack([sample.label for sample in samples if sample.label is not None]))}


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


class _Batches(Dataset[MadeBatch]):
    def __init__(self, maker: BatchMaker) -> None:
        self.maker = maker

    def __getitem__(self, step: int) -> MadeBatch:
        return self.maker(step)


class _From:
    def __init__(self, step: int) -> None:
        self.step = step

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.step)


def _leave_interrupts_to_parent(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # else Ctrl-C ends the workers before the step in progress is done


class ClipBatches:
    """An endless source of batches that goes on exactly where it was.

    Parameters
    ----------
    maker : BatchMaker
        What makes them.
    workers : int
        Processes that do; 0 for this one.
    prefetch : int
        Batches that each has ready.
    failures : pathlib.Path, optional
        A ``.jsonl`` file to which clips that could not be read are added.
    max_failed : float
        Share of them above which it stops.

    Attributes
    ----------
    seen, failed : int
        Clips given and clips that could not be read, of this process.
    last_failure : str
        The one that came last.

    Raises
    ------
    ValueError
        While going through it: if too many clips cannot be read.
    """

    def __init__(
        self,
        maker: BatchMaker,
        *,
        workers: int = 0,
        prefetch: int = 2,
        failures: Path | None = None,
        max_failed: float = MAX_FAILED,
    ) -> None:
        if workers < 0:
            raise ValueError(f"workers: expected a number of processes from 0 on, got {workers}")
        self.maker, self.workers, self.prefetch = maker, workers, prefetch
        self.failures, self.max_failed = failures, max_failed
        self.step = self.seen = self.failed = 0
        self.last_failure = ""

    def state_dict(self) -> dict[str, Any]:
        """Where it is: behind the batch that was given last.

        Returns
        -------
        dict
            JSON-compatible.
        """
        return {"step": self.step, "seen": self.seen, "failed": self.failed, "order": self.maker.order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there.

        Parameters
        ----------
        state : dict
            From :meth:`state_dict`, of any number of processes.

        Raises
        ------
        ValueError
            If it was another order of clips.
        """
        mine = self.maker.order()
        for name, value in mine.items():
            if state["order"][name] != value:
                raise ValueError(
                    f"corpora: expected the same {'global ' * (name == 'batch')}{name} as when the run was begun "
                    f"({state['order'][name]}), got {value}"
                )
        self.step, self.seen, self.failed = int(state["step"]), int(state["seen"]), int(state["failed"])

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        loader = DataLoader(
            _Batches(self.maker),
            batch_size=None,
            sampler=_From(self.step),
            num_workers=self.workers,
            prefetch_factor=self.prefetch if self.workers else None,
            generator=torch.Generator(),  # else it draws from the one that training uses
            worker_init_fn=_leave_interrupts_to_parent,
        )
        for made in loader:
            self.seen += self.maker.batch
            self._account(made)
            self.step += 1  # before it is given: a state that is taken now is behind it
            yield made.batch

    def _account(self, made: MadeBatch) -> None:
        if made.failed:
            self.failed += len(made.failed)
            self.last_failure = f"{made.failed[-1].clip}: {made.failed[-1].reason}"
            if self.failures is not None:
                self.failures.parent.mkdir(parents=True, exist_ok=True)
                with self.failures.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(failure._asdict()) + "\n" for failure in made.failed)
        listed = f" (all in {self.failures})" if self.failures and self.failed else ""
        if made.error:
            raise ValueError(f"{made.error}{listed}")
        if self.failed > max(_ALWAYS_ALLOWED, self.max_failed * self.seen):
            raise ValueError(
                f"{self.maker.corpora[0].name if len(self.maker.corpora) == 1 else 'corpora'}: expected at most "
                f"{self.max_failed:.2g} of the clips to be unreadable, got {self.failed} of {self.seen}; the last: "
                f"{self.last_failure}{listed}"
            )
