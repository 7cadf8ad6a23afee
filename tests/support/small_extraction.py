"""Small videos and an encoder of a few thousand parameters, so that thousands of frames take a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numbered_videos import write_video

SHARD_BYTES = 64 * 16 * 16 * 2  # 64 frames of the small encoder


def moving_square(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(60, 90, (1, height, width, 3), dtype=np.uint8), count, axis=0)
    for k in range(count):
        x = int((width - 12) * (0.5 + 0.5 * np.sin(k / 5)))
        frames[k, 10:22, x : x + 12] = 220
    return frames


def write_movie(path: Path, count: int, **options: str) -> Path:
    return write_video(path, moving_square(count), options={"crf": "12", **options})


def small_encoder(folder: Path, side: int = 4) -> Path:
    from behavior_prism.encoder import VideoEncoder, VideoEncoderConfig, save_encoder

    config = VideoEncoderConfig(
        patch_size=24 // side,
        pos_emb_shape=(4, side, side),
        model_dim=16,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_heads=2,
        mlp_dim=16,
    )
    path = folder / "small.safetensors"
    save_encoder(path, VideoEncoder(config), trained=True)
    return path
