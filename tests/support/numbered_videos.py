"""Videos whose frames carry their own number."""

from __future__ import annotations

from fractions import Fraction
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    frames: np.ndarray,
    *,
    fps: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: np.ndarray | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    sound_seconds: float = 0.0,
    rotation: float | None = None,
    mirrored: bool = False,
) -> Path:
    """Encode uint8 frames (T, H, W, 3); ``times`` in ticks of 1/1000 s makes a variable rate."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirrored)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("libopus", rate=48_000, layout="mono") if sound_seconds else None
        for k, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = int(times[k]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            for k in range(int(sound_seconds * 50)):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
                silence.sample_rate, silence.pts, silence.time_base = 48_000, 960 * k, Fraction(1, 48_000)
                container.mux(sound.encode(silence))
            container.mux(sound.encode())
    return path


def numbered_frames(count: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Pictures that carry their own number as 16 black or white squares (bit 0 top left)."""
    frames = np.full((count, height, width, 3), 90, dtype=np.uint8)
    h, w = height // 2, width // 8
    for k in range(count):
        for bit in range(16):
            row, col = divmod(bit, 8)
            frames[k, row * h : (row + 1) * h, col * w : (col + 1) * w] = 235 if k >> bit & 1 else 16
    return frames


def read_number(frame: np.ndarray) -> int:
    """The number in a picture of :func:`numbered_frames`."""
    h, w = frame.shape[0] // 2, frame.shape[1] // 8
    number = 0
    for bit in range(16):
        row, col = divmod(bit, 8)
        number |= int(frame[row * h : (row + 1) * h, col * w : (col + 1) * w].mean() > 125) << bit
    return number


def sent_to_a_worker(thing):
    """What arrives when something is sent to another process."""
    return ForkingPickler.loads(ForkingPickler.dumps(thing))
