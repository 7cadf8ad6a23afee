"""Pictures as PNG files (ISO/IEC 15948), without a library: 8 bits a channel, no filters."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from .whole_files import write_whole


def write_png(path: str | Path, pixels_HWC: Tensor) -> None:
    """Write a picture.

    Parameters
    ----------
    path : str or pathlib.Path
        File to write, through a temporary name.
    pixels_HWC : torch.Tensor
        uint8, shape (height, width, 3).

    Raises
    ------
    ValueError
        If it is not a picture.
    """
    shape = tuple(pixels_HWC.shape)
    if pixels_HWC.dtype != torch.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ValueError(f"picture: expected uint8 of shape (height, width, 3), got {pixels_HWC.dtype} of {shape}")
    height, width, _ = shape
    rows = pixels_HWC.detach().cpu().reshape(height, width * 3)
    rows = torch.cat([rows.new_zeros(height, 1), rows], dim=1)  # every row begins with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(rows.contiguous().numpy().tobytes(), 6)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b"")]
    write_whole(Path(path), b"".join([b"\x89PNG\r\n\x1a\n", *chunks]))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
