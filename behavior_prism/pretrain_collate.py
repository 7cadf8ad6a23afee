"""What a stage of pretraining adds to the video of a batch: texts, masks or labels.

Shapes: B clips of a process, T frames, N places of a frame, K kept, C behaviours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from behavior_prism.encoder.pretraining.masks import MaskConfig, draw_masks
from behavior_prism.encoder.tokenizer import Tokenizer, canonicalize


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
