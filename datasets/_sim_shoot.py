"""Putting what happens into pictures: things that stand about, flying bedding, shadows, exposures.

Legend: T frames, S moments within the exposure of a frame.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from ._sim_acts import Pose
from ._sim_camera import Camera
from ._sim_canvas import Color, shade
from ._sim_optics import Optics
from ._sim_parts import Body
from ._sim_places import Ground, add_nest, luma, paint_ground
from .captions import Scene


def add_things(
    rng: np.random.Generator, body: Body, scene: Scene, ground: Ground, heads: np.ndarray, middle: np.ndarray
) -> None:
    """Objects that stand in the arena or hang into it; heads (moments, 3)."""
    moments = len(heads)
    side = rng.uniform(-math.pi, math.pi)
    if scene.thing == "nest":
        add_nest(rng, ground, middle[0] + 0.9 * math.cos(side), middle[1] + 0.9 * math.sin(side))
    beside = middle + rng.uniform(0.8, 1.1) * np.array([math.cos(side), math.sin(side)])
    if scene.thing == "cable":
        top = np.array([*(middle + rng.normal(0, 1.0, 2)), 4.0])
        s = np.linspace(0, 1, 9)[None, :, None]
        line = heads[:, None] + s * (top - heads[:, None]) + np.sin(math.pi * s) * np.array([0.25, 0.15, -0.3])
        tone = (30.0, 30.0, 32.0) if luma(ground.color) > 90 else (190.0, 190.0, 190.0)
        body.strokes(line[:, None, :-3], 0.05, tone, shadow=False, raise_by=3.0)
    elif scene.thing in ("shelter", "food"):
        size = 0.36 if scene.thing == "shelter" else 0.22
        tone = ((150.0, 40.0, 36.0), (96.0, 96.0, 100.0), (206.0, 204.0, 198.0))[int(rng.integers(3))]
        if scene.thing == "food":
            tone = (190.0, 130.0, 60.0)
        s = np.linspace(-1, 1, 5)
        across = np.stack([s * math.sin(side), -s * math.cos(side)], axis=-1) * size
        points = np.concatenate([beside + across, np.full((5, 1), 0.6 * size)], axis=1)
        body.tube(np.broadcast_to(points, (moments, 5, 3)), np.full((moments, 5), size), [tone] * 5)


def add_bedding(rng: np.random.Generator, body: Body, pose: Pose, t: np.ndarray, color: Color) -> None:
    """Grains that a digging animal throws behind it; each flies again and again."""
    grains = 14
    period, start, aside = rng.uniform(0.25, 0.45, grains), rng.random(grains), rng.normal(0, 0.35, grains)
    far = rng.uniform(0.3, 1.1, grains)
    u = (t[:, None] / period + start) % 1.0
    c, s = np.cos(pose["heading"])[:, None], np.sin(pose["heading"])[:, None]
    along, across = 0.45 - far * u - 0.2, aside * (0.3 + u)
    xyz = np.stack(
        [pose["x"][:, None] + along * c + across * s, pose["y"][:, None] + along * s - across * c, 0.9 * u * (1 - u)],
        axis=-1,
    )
    body.spots(xyz, 0.028, shade(color, 0.75 if luma(color) > 100 else 1.8))


def _cast(pixels: np.ndarray, discs: np.ndarray, strength: float, soft: int) -> None:
    """Darken a canvas where shadows fall (discs at a quarter of its size), within the rectangle that they touch."""
    x0, y0 = np.maximum((discs[:, :2] - discs[:, 2:]).min(axis=0) - soft, 0).tolist()
    x1, y1 = ((discs[:, :2] + discs[:, 2:]).max(axis=0) + soft + 1).tolist()
    region = pixels[4 * y0 : 4 * max(y1, 0), 4 * x0 : 4 * max(x1, 0)]
    if 0 in region.shape:
        return
    mask = np.zeros((-(-region.shape[0] // 4), -(-region.shape[1] // 4)), np.uint8)
    for x, y, radius in (discs - [x0, y0, 0]).tolist():
        cv2.circle(mask, (x, y), radius, 255, -1)
    mask = cv2.convertScaleAbs(cv2.blur(mask, (2 * soft + 1, 2 * soft + 1)), alpha=strength)
    keep = cv2.cvtColor(cv2.bitwise_not(mask), cv2.COLOR_GRAY2RGB)
    keep = cv2.resize(keep, (4 * mask.shape[1], 4 * mask.shape[0]), interpolation=cv2.INTER_LINEAR)
    cv2.multiply(region, keep[: region.shape[0], : region.shape[1]], dst=region, scale=1 / 255)


def draw_bars(rng: np.random.Generator, pixels_side: int) -> list[tuple[int, int]]:
    step = int(pixels_side * rng.uniform(0.16, 0.3))
    first = int(rng.integers(0, step))
    return [(p, max(1, pixels_side // 70)) for p in range(first, pixels_side, step)]


def shoot(
    rng: np.random.Generator,
    body: Body,
    ground: Ground,
    camera: Camera,
    shift: np.ndarray,
    optics: Optics,
    *,
    sun: tuple[float, float],
    canvas: int,
    bars: list[tuple[int, int]],
) -> np.ndarray:
    """Take all frames.

    Parameters
    ----------
    rng : numpy.random.Generator
        For shadows and what lies outside the arena.
    body : Body
        What moves and stands about.
    ground : Ground
        The arena.
    camera : Camera
        In canvas pixels.
    shift : numpy.ndarray
        Where the crop begins at each moment, int, shape (T * S, 2).
    optics : Optics
        What happens to the canvas afterwards.
    sun : tuple of float
        Where on the floor light comes from; unit length.
    canvas : int
        Height and width of the canvas.
    bars : list of tuple of int
        Place and thickness of bars in front of everything.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (T, size, size, 3).
    """
    num_frames, size = len(optics.flicker), len(optics.light)
    exposures = len(shift) // num_frames
    slant = rng.uniform(0.2, 1.0)
    discs = body.shadows(camera, shift, (-slant * sun[0], -slant * sun[1]), 0.25)
    strength = 0.0 if camera.below else rng.uniform(0.15, 0.55)
    soft = max(1, round(camera.scale * 0.25 * rng.uniform(0.02, 0.12)))
    low, high = shift.min(axis=0), shift.max(axis=0) + canvas
    painted = replace(camera, middle=(camera.middle[0] - low[0], camera.middle[1] - low[1]))
    background = paint_ground(ground, painted, high[1] - low[1], high[0] - low[0], int(rng.integers(1 << 31)))
    painters = body.painters(camera, shift)
    frames = np.empty((num_frames, size, size, 3), np.uint8)
    for k in range(num_frames):
        x, y = shift[k * exposures] - low
        shots = []
        for m in range(k * exposures, (k + 1) * exposures):
            pixels = background[y : y + canvas, x : x + canvas].copy()
            if strength:
                _cast(pixels, discs[m], strength, soft)
            for draw in painters[m]:
                draw(pixels, m)
            shots.append(pixels)
        pixels = shots[0] if exposures == 1 else np.mean(shots, axis=0).astype(np.uint8)
        for at, thick in bars:
            cv2.line(pixels, (at, 0), (at, canvas), (70, 70, 72), thick)
        frames[k] = optics.develop(pixels, k)
    return frames
