"""Which tokens the student of stage 2 does not see, and how those of its decoder are shuffled.

Papers: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217), which masks as Wang et al., BEVT, CVPR 2022 (arXiv
2112.01529) do: block-wise masks of Bao et al., BEiT, ICLR 2022 (arXiv 2106.08254) laid over one run of frames. What
VideoPrism's ratio of 0.65 counts is not stated; here, as in BEVT, it counts the places of a frame within the run, so
that 33 to 49 % of a clip's tokens are masked. Different from BEVT: the run has the same length in all clips of a
batch and each clip exactly the same number of masked places (BEVT's vary), so that batches stay dense.

It runs where batches are put together, in processes that have no need of torch.

Shapes: B clips, T frames, N places of a frame (rows * columns), M masked ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

MIN_BLOCK = 4  # patches, in BEVT
MIN_ASPECT = 0.3  # of a block, height to width or the other way round
ATTEMPTS = 10  # to place a block, in BEiT; then what is missing is added at the edges


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskConfig:
    """How to mask.

    Parameters
    ----------
    kind : {"block", "tube"}
        Blocks in a run of frames (BEVT), or single places, in all frames (tubes).
    ratio : float
        Share of the places that is masked, in frames that are masked at all.
    run : (float, float)
        Shortest and longest run as shares of the clip; blocks only.

    Raises
    ------
    ValueError
        If a share is not between 0 and 1.

    Examples
    --------
    >>> MaskConfig(kind="tube").ratio
    0.65
    """

    kind: Literal["block", "tube"] = "block"
    ratio: float = 0.65
    run: tuple[float, float] = (0.5, 0.75)

    def __post_init__(self) -> None:
        if self.kind not in ("block", "tube"):
            raise ValueError(f"kind: expected 'block' or 'tube', got {self.kind!r}")
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio: expected a number between 0 and 1, got {self.ratio}")
        if len(self.run) != 2 or not 0 < self.run[0] <= self.run[1] < 1:
            raise ValueError(f"run: expected two shares between 0 and 1, the smaller one first, got {self.run}")

    def num_masked(self, grid: tuple[int, int]) -> int:
        """Masked places of a frame.

        Parameters
        ----------
        grid : (int, int)
            Rows and columns of places.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If none or all would be masked.
        """
        places = grid[0] * grid[1]
        masked = round(self.ratio * places)
        if not 0 < masked < places:
            raise ValueError(
                f"grid: expected one of which {self.ratio:g} is at least one place and not all, got {grid[0]}x{grid[1]}"
            )
        return masked

    def run_lengths(self, frames: int) -> tuple[int, int]:
        """Shortest and longest run.

        Parameters
        ----------
        frames : int
            Of a clip.

        Returns
        -------
        (int, int)

        Raises
        ------
        ValueError
            If the clip is too short for blocks: it must have frames in the run and others.
        """
        if frames < 1 or (frames < 2 and self.kind == "block"):
            raise ValueError(f"frames: expected clips of 2 or more (of 1 or more with kind='tube'), got {frames}")
        if self.kind == "tube":
            return frames, frames
        shortest = min(max(1, math.ceil(self.run[0] * frames)), frames - 1)
        return shortest, max(shortest, math.floor(self.run[1] * frames))


def draw_masks(
    rng: np.random.Generator, batch: int, frames: int, grid: tuple[int, int], config: MaskConfig | None = None
) -> dict[str, np.ndarray]:
    """Draw what is masked and shuffled in a batch.

    Parameters
    ----------
    rng : numpy.random.Generator
        What makes it: the same state, the same masks.
    batch : int
        Clips B.
    frames : int
        Frames T of each.
    grid : (int, int)
        Rows and columns of places of a frame.
    config : MaskConfig, optional
        How; VideoPrism's by default.

    Returns
    -------
    dict of str to numpy.ndarray
        All int64. ``run_length``, a scalar: frames that are masked, following ``run_start``, shape (B,), and going on
        with the first frame after the last. ``masked_places``, shape (B, M), sorted: what is masked in them.
        ``permutation``, shape (B, T * N): the decoder's slot i takes the token of position ``permutation[b, i]``.

    Raises
    ------
    ValueError
        If clips are too short or the grid too small.

    Examples
    --------
    >>> masks = draw_masks(np.random.default_rng(0), 2, 8, (16, 16))
    >>> {name: value.shape for name, value in masks.items()}
    {'run_start': (2,), 'run_length': (), 'masked_places': (2, 166), 'permutation': (2, 2048)}
    """
    config = config or MaskConfig()
    if batch < 1:
        raise ValueError(f"batch: expected at least one clip, got {batch}")
    masked = config.num_masked(grid)
    shortest, longest = config.run_lengths(frames)
    run_length = rng.integers(shortest, longest + 1)
    run_start = rng.integers(0, frames, batch) if run_length < frames else np.zeros(batch, np.int64)
    draw = _draw_blocks if config.kind == "block" else _draw_places
    sequence = np.arange(frames * grid[0] * grid[1])
    return {
        "run_start": run_start,
        "run_length": np.array(run_length),
        "masked_places": np.stack([np.flatnonzero(draw(rng, grid, masked)) for _ in range(batch)]),
        "permutation": np.stack([rng.permutation(sequence) for _ in range(batch)]),
    }


def _draw_places(rng: np.random.Generator, grid: tuple[int, int], count: int) -> np.ndarray:
    mask = np.zeros(grid, bool)
    mask.flat[rng.choice(mask.size, count, replace=False)] = True
    return mask


def _draw_blocks(rng: np.random.Generator, grid: tuple[int, int], count: int) -> np.ndarray:
    """Blocks, overlapping or not, until so many places are masked."""
    mask = np.zeros(grid, bool)
    missing = count
    while missing >= MIN_BLOCK and (block := _find_block(rng, mask, missing)):
        mask[block] = True
        missing = count - int(mask.sum())
    while missing:  # fewer than a block, or the grid has no room for one
        edge = _edge(mask) if mask.any() else ~mask
        places = np.flatnonzero(edge)
        mask.flat[rng.choice(places, min(missing, len(places)) if mask.any() else 1, replace=False)] = True
        missing = count - int(mask.sum())
    return mask


def _find_block(rng: np.random.Generator, mask: np.ndarray, most: int) -> tuple[slice, slice] | None:
    """A block that masks at least one new place and at most so many; None where some attempts find none."""
    rows, cols = mask.shape
    for _ in range(ATTEMPTS):
        area = rng.uniform(MIN_BLOCK, most)
        aspect = math.exp(rng.uniform(math.log(MIN_ASPECT), -math.log(MIN_ASPECT)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height >= rows or width >= cols:  # as in BEiT: a block never spans the frame
            continue
        top, left = rng.integers(0, rows - height + 1), rng.integers(0, cols - width + 1)
        block = slice(top, top + height), slice(left, left + width)
        if 0 < height * width - int(mask[block].sum()) <= most:
            return block
    return None


def _edge(mask: np.ndarray) -> np.ndarray:
    """Places that are not masked and lie beside, above or below one that is."""
    padded = np.pad(mask, 1)
    beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return beside & ~mask
