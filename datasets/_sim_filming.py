"""How a movement is filmed: when frames are taken, where in the arena it happens, from where the camera looks.

Lengths are body lengths. Legend: T frames, S moments within the exposure of a frame.
"""

from __future__ import annotations

import math

import numpy as np

from ._sim_acts import Behavior, Pose, moved
from ._sim_camera import Camera
from ._sim_fly_body import fly_pose
from ._sim_mouse_body import mouse_pose
from ._sim_places import PLACES, Ground
from .captions import Scene

_BLUR_MOMENTS = 5


def times(rng: np.random.Generator, how: Behavior, num_frames: int) -> tuple[np.ndarray, float, int]:
    """Moments of all exposures (T * S,) [s], frames per second, S."""
    fps = math.exp(rng.uniform(*np.log(how.fps)))
    blurred = rng.random() < 0.08
    within = rng.uniform(0.4, 0.9) * (np.arange(_BLUR_MOMENTS) / _BLUR_MOMENTS) / fps if blurred else np.zeros(1)
    t = (np.arange(num_frames) - 0.5 * (num_frames - 1)) / fps
    return (t[:, None] + within).reshape(-1), fps, len(within)


def settle(
    rng: np.random.Generator, how: Behavior, scene: Scene, poses: list[Pose]
) -> tuple[list[Pose], tuple[float, float], float]:
    """Put a movement into the arena: turned anywhere, room to all sides; half the arena must measure so much."""
    theta = rng.uniform(-math.pi, math.pi)
    lane = PLACES[scene.species][scene.place].aspect[0] < 0.4
    if lane and not how.at_wall and rng.random() < 0.8:
        theta = (0.0 if rng.random() < 0.5 else math.pi) + rng.uniform(-0.15, 0.15)
    if how.at_wall:
        theta = rng.integers(4) * math.pi / 2 + rng.uniform(-0.3, 0.3)
    poses = [moved(p, 0.0, 0.0, theta) for p in poses]
    xy = np.stack([np.stack([p["x"], p["y"]], axis=-1) for p in poses], axis=1)  # (T, N, 2)
    low, high = xy.min(axis=(0, 1)), xy.max(axis=(0, 1))
    middle, spread = 0.5 * (low + high), 0.5 * (high - low)
    return [moved(p, -middle[0], -middle[1], 0.0) for p in poses], (float(spread[0]), float(spread[1])), theta


def locate(
    rng: np.random.Generator, how: Behavior, ground: Ground, spread: tuple[float, float], theta: float
) -> np.ndarray:
    """Where in the arena the middle of the movement lies."""
    half = np.array(ground.half)
    if how.at_wall:
        toward = np.rint([math.cos(theta), math.sin(theta)])
        free = np.maximum(half - 0.7, 0)
        gap = 0.36  # from pelvis to wall when the forepaws lean on it
        return np.where(toward != 0, toward * (half - gap), rng.uniform(-1, 1, 2) * free)
    room = np.maximum(half - np.array(spread) - 0.5, 0)
    if ground.round:
        reach = max(0.0, float(half[0]) - math.hypot(*spread) - 0.5)
        angle = rng.uniform(-math.pi, math.pi)
        return reach * math.sqrt(rng.random()) * np.array([math.cos(angle), math.sin(angle)])
    return rng.uniform(-1, 1, 2) * room


def aim(
    rng: np.random.Generator,
    scene: Scene,
    ground: Ground,
    xy: np.ndarray,
    spread: tuple[float, float],
    canvas: int,
) -> tuple[Camera, np.ndarray]:
    """The camera, and where in its picture the crop begins at each moment (moments, 2): at 0, or with the animals.

    ``xy`` (moments, N, 2) is where the animals are that take part.
    """
    tilt = {
        "top": rng.uniform(0, 0.12),
        "oblique": rng.uniform(0.45, 0.95),
        "side": rng.uniform(1.1, 1.4),
        "below": rng.uniform(0, 0.1),
    }[scene.view]
    aligned = rng.random() < 0.6
    turn = rng.integers(4) * math.pi / 2 + rng.normal(0, 0.03) if aligned else rng.uniform(-math.pi, math.pi)
    middles = xy.mean(axis=1)
    reach, apart = max(spread) + 0.75, float(np.abs(xy - middles[:, None]).max())
    framing = rng.choice(3, p=(0.35, 0.40, 0.25) if scene.view in ("top", "below") else (0.15, 0.65, 0.20))
    follows = framing == 2
    # A crop that goes with the animals may be as close as it likes, within what is worth painting.
    nearest = min(0.45 / (apart + 0.6), 1.5 / max(max(spread), 0.1)) if follows else 0.48 / reach
    close = canvas * min(math.exp(rng.uniform(math.log(0.24), math.log(0.60))), nearest)
    middle = middles.mean(axis=0)
    target, scale = middle + rng.uniform(-1, 1, 2) * max(0.0, 0.40 * canvas / close - reach) * 0.8, close
    if framing == 0:
        whole = 0.5 * canvas * rng.uniform(0.82, 1.02) / max(ground.half)
        if whole >= 0.15 * canvas:
            scale, target = whole, np.zeros(2)
    camera = Camera(
        target=(float(target[0]), float(target[1]), 0.15),
        turn=float(turn),
        tilt=tilt,
        below=scene.view == "below",
        distance=rng.uniform(7, 22) * max(1.0, 0.2 * canvas / scale),
        scale=float(scale),
        middle=(0.5 * canvas, 0.5 * canvas),
    )
    on_floor = np.concatenate([xy, np.full((*xy.shape[:2], 1), 0.15)], axis=-1)
    seen = camera.project(on_floor)[0]  # (moments, N, 2)
    if follows:
        start = seen.mean(axis=1) - 0.5 * canvas
        return camera, np.rint(start).astype(int)
    # Perspective must not push the animals out of the picture.
    keep = 0.15 * canvas
    low, high = seen.min(axis=(0, 1)), seen.max(axis=(0, 1))
    shift = np.where(high - low > canvas - 2 * keep, 0.5 * (low + high - canvas), np.minimum(low - keep, 0))
    shift = np.where((low >= keep) & (high - low <= canvas - 2 * keep), np.maximum(high - (canvas - keep), 0), shift)
    return camera, np.broadcast_to(np.rint(shift).astype(int), (len(xy), 2))


def draw_bystander(rng: np.random.Generator, scene: Scene, t: np.ndarray, spread: tuple[float, float]) -> Pose:
    far = max(spread) + rng.uniform(1.3, 1.8)
    angle = rng.uniform(-math.pi, math.pi)
    pose = (
        mouse_pose(t, yaw=rng.uniform(-0.3, 0.3), curve=rng.uniform(-1, 1)) if scene.species == "mouse" else fly_pose(t)
    )
    return moved(pose, far * math.cos(angle), far * math.sin(angle), rng.uniform(-math.pi, math.pi))
