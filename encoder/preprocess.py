"""From frames as cameras give them to what the encoder takes.

The encoder's paper (Zhao et al., VideoPrism, ICML 2024, arXiv 2402.13217) does not say how training frames were
resized, and the official examples differ (Lanczos, bilinear with a crop). We squash, bilinear, without a crop.

Shapes: T frames, H and W pixels, C colours.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def preprocess_frames(frames: np.ndarray | Tensor, image_size: int | tuple[int, int]) -> Tensor:
    """Resize frames and bring them to [0, 1].

    The whole picture is squashed to the encoder's size **without keeping the aspect ratio**, bilinear and smoothed
    when shrinking: nothing of the arena is cut off, and geometry depends on the frame alone, so that windows can share
    it. Resized values are whole grey levels, within one level of resizing in floating point and many times faster.

    Parameters
    ----------
    frames : numpy.ndarray or torch.Tensor
        uint8 RGB, shape (T, H, W, 3); views with negative strides (``bgr[..., ::-1]``) too.
    image_size : int or (int, int)
        Height and width wanted; one number for a square.

    Returns
    -------
    torch.Tensor
        float32 in [0, 1], shape (T, height, width, 3), contiguous.

    Raises
    ------
    ValueError
        If the frames are not uint8 of that shape, or a size is not positive.

    Examples
    --------
    >>> preprocess_frames(np.zeros((2, 48, 64, 3), np.uint8), 96).shape
    torch.Size([2, 96, 96, 3])
    """
    return resize_frames(frames, image_size).float() / 255


def resize_frames(frames: np.ndarray | Tensor, image_size: int | tuple[int, int]) -> Tensor:
    """Resize frames as :func:`preprocess_frames` does and leave them bytes, a quarter of the size.

    Parameters
    ----------
    frames, image_size
        As there.

    Returns
    -------
    torch.Tensor
        uint8, shape (T, height, width, 3), contiguous; divided by 255 they are what the encoder takes.

    Raises
    ------
    ValueError
        As there.
    """
    height, width = (image_size, image_size) if isinstance(image_size, (int, np.integer)) else image_size
    if height < 1 or width < 1:
        raise ValueError(f"image_size: expected positive numbers, got {image_size}")
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape or frames.dtype not in (np.uint8, torch.uint8):
        raise ValueError(
            f"expected uint8 frames of shape (T, H, W, 3), got {frames.dtype} of shape {tuple(frames.shape)}"
        )
    if isinstance(frames, np.ndarray):
        # torch takes neither negative strides nor, without a warning, arrays that are read-only
        frames = torch.from_numpy(np.require(frames, requirements=["C", "W"]))
    if tuple(frames.shape[1:3]) != (height, width):
        channels_first = frames.permute(0, 3, 1, 2)
        resized = F.interpolate(
            channels_first, size=(height, width), mode="bilinear", align_corners=False, antialias=True
        )
        frames = resized.permute(0, 2, 3, 1)
    return frames.contiguous()
