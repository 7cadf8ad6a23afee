"""From frames as cameras give them to what the encoder takes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def preprocess_frames(frames: np.ndarray | Tensor, image_size: tuple[int, int]) -> Tensor:
    """Resize frames and bring them to [0, 1].

    The whole picture is squashed to the encoder's size without keeping the aspect ratio, bilinear and smoothed when
    shrinking: nothing of the arena is cut off, and geometry depends on the frame alone, so that windows can share it.

    Parameters
    ----------
    frames : numpy.ndarray or torch.Tensor
        uint8 RGB, shape (T, H, W, 3).
    image_size : (int, int)
        Height and width wanted.

    Returns
    -------
    torch.Tensor
        float32 in [0, 1], shape (T, *image_size, 3).

    Raises
    ------
    ValueError
        If the frames are not uint8 of that shape.

    Examples
    --------
    >>> preprocess_frames(np.zeros((2, 48, 64, 3), np.uint8), (96, 96)).shape
    torch.Size([2, 96, 96, 3])
    """
    tensor = torch.as_tensor(frames)
    if tensor.ndim != 4 or tensor.shape[-1] != 3 or tensor.dtype != torch.uint8:
        raise ValueError(
            f"expected uint8 frames of shape (T, H, W, 3), got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    if tuple(tensor.shape[1:3]) != tuple(image_size):
        channels_first = tensor.permute(0, 3, 1, 2)
        resized = F.interpolate(channels_first, size=image_size, mode="bilinear", align_corners=False, antialias=True)
        tensor = resized.permute(0, 2, 3, 1)
    return tensor.float() / 255
