"""How many frames and windows go through the encoder together.

Another batch makes other last bits, so it is chosen once for a store and kept in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from behavior_prism.encoder import LoadedEncoder

MOST_FRAMES = 16  # on a CPU; more gain nothing and make more to wait for
MOST_WINDOWS = 16  # on a GPU


class Batch(NamedTuple):
    """Numbers that go through the encoder together.

    Parameters
    ----------
    frames : int
        Through the spatial tower.
    windows : int
        Through the temporal tower.
    """

    frames: int
    windows: int

    def halved(self) -> Batch | None:
        """A smaller one.

        Returns
        -------
        Batch or None
            None if there is none.
        """
        smaller = Batch(max(1, self.frames // 2), max(1, self.windows // 2))
        return None if smaller == self else smaller


def choose_batch(encoder: LoadedEncoder, length: int) -> Batch:
    """What is quick and fits into the memory that is free.

    Parameters
    ----------
    encoder : LoadedEncoder
        On its device.
    length : int
        Frames of a window.

    Returns
    -------
    Batch
        On a CPU as many frames as stay in the cache and one window at a time, which is quickest there.
    """
    from behavior_prism.encoder.transformer import MAX_ELEMENTS_CPU

    config = encoder.model.config
    rows, cols = encoder.model.grid_size(*encoder.image_size)
    tokens = rows * cols
    if encoder.device.type != "cuda":
        largest = tokens * max(config.num_heads * tokens, config.mlp_dim)
        return Batch(min(MOST_FRAMES, max(1, MAX_ELEMENTS_CPU // largest)), 1)
    free, _ = torch.cuda.mem_get_info(encoder.device)
    # a window's tokens, its queries, keys, values and hidden layer, some of them twice
    window = length * tokens * (10 * config.model_dim + 2 * config.mlp_dim) * encoder.dtype.itemsize
    windows = MOST_WINDOWS
    while windows > 1 and windows * window > free / 4:
        windows //= 2
    return Batch(4 * windows, windows)
