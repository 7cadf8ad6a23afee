"""From a painted canvas to a camera's picture: light, flicker, monochrome sensor, blur, noise, compression."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ._sim_places import noise_bank

_NEUTRAL = 160  # the light map's value that leaves a pixel as it is


@dataclass(frozen=True, kw_only=True)
class Optics:
    """A camera, its light and its recorder as they were drawn for one clip.

    Parameters
    ----------
    light : numpy.ndarray
        uint8, shape (size, size, 3): gain of every pixel and channel, 160 for one.
    flicker : numpy.ndarray
        Gain of each frame, shape (T,).
    is_grey : bool
        Monochrome sensor.
    blur : float
        Standard deviation [pixels].
    noise : numpy.ndarray
        int16, larger than the picture.
    offsets : numpy.ndarray
        Where the noise is cut, shape (T, 2).
    quality : int
        Of JPEG; 0 without.
    """

    light: np.ndarray
    flicker: np.ndarray
    is_grey: bool
    blur: float
    noise: np.ndarray
    offsets: np.ndarray
    quality: int

    def develop(self, canvas: np.ndarray, t: int) -> np.ndarray:
        """Turn a canvas (RGB of the picture's size or twice it) into frame ``t``."""
        size = len(self.light)
        picture = canvas if len(canvas) == size else cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
        if self.is_grey:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        picture = cv2.multiply(picture, self.light, scale=float(self.flicker[t]) / _NEUTRAL)
        if self.blur > 0.25:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur)
        down, right = self.offsets[t]
        picture = cv2.add(picture, self.noise[down : down + size, right : right + size], dtype=cv2.CV_8U)
        if self.quality:
            _, code = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, self.quality))
            decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
            picture = picture if decoded is None else decoded
        return picture


def draw_optics(rng: np.random.Generator, size: int, frames: int, lighting: str, is_grey: bool) -> Optics:
    """Draw what camera, light and recorder do to a clip of ``frames`` pictures of ``size`` pixels."""
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(-math.pi, math.pi)
    along = ramp * np.float32(math.cos(angle)) + (ramp * np.float32(math.sin(angle)))[:, None]
    radius = ramp**2 + (ramp**2)[:, None]
    gain = {"dim": rng.uniform(0.5, 0.7), "bright": rng.uniform(1.12, 1.35)}.get(lighting, rng.uniform(0.8, 1.08))
    vignette = rng.uniform(0.0, 0.35) if rng.random() < 0.6 else 0.0
    light = gain * (1 - 0.5 * vignette * radius) * (1 - rng.uniform(0, 0.22) * along)
    if rng.random() < 0.2:  # a lamp
        x, y = rng.uniform(-1, 1, 2).astype(np.float32)
        light = light * (0.75 + 0.6 * np.exp(-1.5 * ((ramp - x) ** 2 + ((ramp - y) ** 2)[:, None])))
    cast = np.ones(3) if is_grey else 1 + rng.uniform(-0.10, 0.10, 3)
    if lighting == "red" and not is_grey:
        cast = np.array([1.1, rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.5)])
    planes = [cv2.convertScaleAbs(light, alpha=_NEUTRAL * float(c)) for c in cast]
    t = np.arange(frames)
    flicker = np.ones(frames)
    if rng.random() < 0.2:
        flicker += rng.uniform(0.02, 0.10) * np.sin(rng.uniform(0.5, 3.0) * t + rng.uniform(0, 6))
    spare = 32
    cut = rng.integers(0, len(noise_bank()) - size - spare, 2) if size + spare < len(noise_bank()) else (0, 0)
    tile = noise_bank()[cut[0] : cut[0] + size + spare, cut[1] : cut[1] + size + spare]
    if len(tile) < size + spare or tile.shape[1] < size + spare:
        tile = np.tile(noise_bank(), (2 + size // 512,) * 2)[: size + spare, : size + spare]
    strength = rng.uniform(1.0, 4.0) * (1.8 if lighting == "dim" else 1.0)
    grey = np.rint(tile * np.float32(strength)).astype(np.int16)
    return Optics(
        light=cv2.merge(planes),
        flicker=flicker,
        is_grey=is_grey,
        blur=rng.uniform(0.003, 0.009) * size if rng.random() < 0.3 else 0.0,
        noise=cv2.merge([grey, grey, grey]),
        offsets=rng.integers(0, spare, (frames, 2)),
        quality=int(rng.integers(18, 70)) if rng.random() < 0.35 else 0,
    )
