"""From the pixels of a batch to tokens, where training does it its own way: images as clips of one frame.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217): images are clips of one frame, and the temporal position
embedding is cropped for them. That is read as its first position. The encoder by itself interpolates to any length,
one frame too, as the official code does at inference; that stays as it is.

Shapes: B images, K places of a frame, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import VideoEncoder
from .visible_tokens import _check_places, _patches, _spatial, _take


def to_floats(video: Tensor, encoder: VideoEncoder) -> Tensor:
    """Pixels of a batch as the encoder takes them.

    Parameters
    ----------
    video : torch.Tensor
        uint8, shape (B, T, H, W, 3).
    encoder : VideoEncoder
        Whose type of floats.

    Returns
    -------
    torch.Tensor
        From 0 to 1, same shape.

    Raises
    ------
    ValueError
        If pixels are of another type.
    """
    if video.dtype != torch.uint8:
        raise ValueError(f"video: expected uint8 from 0 to 255, got {video.dtype}")
    return video.to(encoder.patch_projection.weight.dtype) / 255


def encode_images(encoder: VideoEncoder, images_B1HWC: Tensor, kept_BK: Tensor | None = None) -> Tensor:
    """Encode images as clips of one frame, with the first temporal position (the encoder itself interpolates).

    Parameters
    ----------
    encoder : VideoEncoder
        The model.
    images_B1HWC : torch.Tensor
        Floats in [0, 1], shape (B, 1, H, W, 3).
    kept_BK : torch.Tensor, optional
        Places that are seen, int64, shape (B, K); all by default.

    Returns
    -------
    torch.Tensor
        Shape (B, 1, K, D).

    Raises
    ------
    ValueError
        If the images or the places are wrong.

    Examples
    --------
    >>> from behavior_prism.encoder import preset
    >>> encode_images(VideoEncoder(preset("tiny").config), torch.rand(2, 1, 96, 96, 3)).shape
    torch.Size([2, 1, 64, 192])
    """
    if images_B1HWC.ndim != 5 or images_B1HWC.shape[1] != 1:
        raise ValueError(f"images: expected shape (B, 1, H, W, 3), got {tuple(images_B1HWC.shape)}")
    if kept_BK is None:
        spatial_B1KD = encoder.forward_spatial(images_B1HWC)
    else:
        patches_B1NP, positions_ND = _patches(encoder, images_B1HWC)
        _check_places("kept", kept_BK, len(patches_B1NP), len(positions_ND))
        spatial_B1KD = _spatial(encoder, _take(patches_B1NP, kept_BK[:, None]), positions_ND[kept_BK][:, None])
    b, _, k, d = spatial_B1KD.shape
    x = spatial_B1KD.reshape(b * k, 1, d) + encoder.temporal_pos_emb[:1]
    return encoder.temporal_ln(encoder.temporal_encoder(x)).view(b, 1, k, d)
