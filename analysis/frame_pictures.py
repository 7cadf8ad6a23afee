"""From the video to pictures as the encoder takes them: one decode for all individuals, in blocks from frame 0 on.

A frame that cannot be decoded gets no picture and is counted; nobody who is absent gets one either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .extraction_plan import ExtractionPlan

MAX_UNDECODABLE = 0.01


class UndecodableFrameError(ValueError):
    """Too many frames that cannot be decoded, and will not next time either."""


class Undecodable:
    """Counts sampled frames without a picture, up to what is still a recording.

    Parameters
    ----------
    plan : ExtractionPlan
        Of the recording.
    most : float
        Largest share of the sampled frames.
    known : iterable of int
        Those found by earlier runs.
    """

    def __init__(self, plan: ExtractionPlan, most: float, known: Iterable[int] = ()) -> None:
        self.plan, self.most, self.found = plan, most, {int(f) for f in known}

    def add(self, f: int, reason: str) -> None:
        """Count a sampled frame, once.

        Parameters
        ----------
        f : int
            Its number among the sampled ones.
        reason : str
            What the decoder said.

        Raises
        ------
        UndecodableFrameError
            If these are too many now.
        """
        self.found.add(f)
        if len(self.found) > self.most * len(self.plan):
            first = self.plan.frames[min(self.found)]
            raise UndecodableFrameError(
                f"{reason}; with it {len(self.found)} of {len(self.plan)} sampled frames (the first is {first}), more "
                f"than {self.most:.3g} of them (max_undecodable)"
            )


@dataclass(frozen=True, eq=False)
class FrameBlock:
    """Pictures of some consecutive sampled frames.

    Parameters
    ----------
    begin : int
        The first of them.
    decodable : numpy.ndarray
        bool, shape (frames of the block,).
    places : list of (int, int)
        Stream and sampled frame of each picture.
    pictures : torch.Tensor
        uint8, shape (pictures, H, W, 3); behind the places it is filled up to whole batches.
    """

    begin: int
    decodable: np.ndarray
    places: list[tuple[int, int]]
    pictures: Tensor


def frame_blocks(plan: ExtractionPlan, size: int, first_block: int, undecodable: Undecodable) -> Iterator[FrameBlock]:
    """Decode, cut and resize.

    Parameters
    ----------
    plan : ExtractionPlan
        Which frames.
    size : int
        Frames of a block.
    first_block : int
        Where to begin.
    undecodable : Undecodable
        Counts frames without a picture.

    Yields
    ------
    FrameBlock
        To the end of the recording.
    """
    from behavior_prism.encoder.preprocess import resize_frames

    individuals, image_size = plan.individuals, plan.encoder.image_size
    streams = individuals.streams
    for begin in range(first_block * size, len(plan), size):
        sampled = np.arange(begin, min(begin + size, len(plan)))
        present = individuals.present(plan.frames[sampled])
        decodable = np.ones(len(sampled), dtype=bool)
        cut: list[list[np.ndarray]] = [[] for _ in streams]
        places: list[list[tuple[int, int]]] = [[] for _ in streams]
        for k, f in enumerate(sampled.tolist()):
            here = [s for s, served in enumerate(streams) if present[served, k].any()]
            if not here:
                continue  # what nobody is in need not be decoded
            index = int(plan.frames[f])
            frame = _decode(plan, index, f, undecodable)
            decodable[k] = frame is not None
            if frame is None:
                continue
            for s in here:
                cut[s].append(individuals.picture(frame, index, s, image_size))
                places[s].append((s, f))
        resized = [resize_frames(np.stack(pictures), image_size) for pictures in cut if pictures]
        if resized:
            missing = -sum(map(len, resized)) % size
            resized.append(resized[-1][-1:].expand(missing, -1, -1, -1))
        pictures = torch.cat(resized) if resized else torch.empty(0, *image_size, 3, dtype=torch.uint8)
        yield FrameBlock(begin, decodable, [place for part in places for place in part], pictures)


def _decode(plan: ExtractionPlan, index: int, f: int, undecodable: Undecodable) -> np.ndarray | None:
    try:
        return next(plan.recording.video.iter_frames([index]))
    except ValueError as error:
        # a disk that does not answer may do so the next time; a file that has changed is another recording
        if "Input/output error" in str(error) or "has changed" in str(error):
            raise
        undecodable.add(f, str(error))
        return None
