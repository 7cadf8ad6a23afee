"""What movements are made of: rhythms, ramps, wandering, paths; and where two animals stand to each other.

Times are seconds from the middle of the clip, so that what happens once (a leap, a lunge) happens in view.
Legend: T moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Pose = dict[str, np.ndarray]
Act = Callable[[np.random.Generator, np.ndarray], list[Pose]]


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """How a behaviour is moved and filmed.

    Parameters
    ----------
    act : callable
        From a generator and times (T,) to the poses of one or two animals, the first of which is the actor.
    animals : int
        How many it needs; a solitary behaviour may have a bystander.
    fps : tuple of float
        Between which rates a clip of 8 frames shows it well.
    at_wall : bool
        The actor faces a wall that it touches.
    digs : bool
        Bedding flies.
    """

    act: Act
    animals: int = 1
    fps: tuple[float, float] = (8.0, 25.0)
    at_wall: bool = False
    digs: bool = False


def rhythm(rng: np.random.Generator, t: np.ndarray, low: float, high: float) -> np.ndarray:
    """Phase of something that repeats at a rate between ``low`` and ``high`` [Hz]."""
    return 2 * math.pi * (rng.uniform(low, high) * t + rng.random())


def wander(rng: np.random.Generator, t: np.ndarray, hz: float, amount: float) -> np.ndarray:
    """Something that drifts about zero without repeating itself."""
    a, b = rng.random(2)
    return amount * (0.7 * np.sin(2 * math.pi * (hz * t + a)) + 0.3 * np.sin(2 * math.pi * (2.3 * hz * t + b)))


def ramp(t: np.ndarray, start: float, stop: float) -> np.ndarray:
    """0 before ``start``, 1 after ``stop``, smooth between."""
    x = np.clip((t - start) / (stop - start), 0, 1)
    return x * x * (3 - 2 * x)


def bump(t: np.ndarray, middle: float, half: float) -> np.ndarray:
    """1 at ``middle`` and 0 farther from it than ``half``."""
    x = np.clip((t - middle) / half, -1, 1)
    return np.cos(0.5 * math.pi * x) ** 2


def sign(rng: np.random.Generator) -> float:
    """Left or right."""
    return 1.0 if rng.random() < 0.5 else -1.0


def path(
    t: np.ndarray, speed: np.ndarray | float, turning: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place and heading of something that is at the origin, heading along x, in the middle of the clip.

    ``speed`` [body lengths/s] and ``turning`` [rad/s] are numbers or have shape (T,).
    """
    fine = np.linspace(min(t[0], 0) - 1e-6, max(t[-1], 0) + 1e-6, 8 + 2 * len(t))
    step = np.gradient(fine)

    def grown(rate: np.ndarray | float) -> np.ndarray:
        values = np.broadcast_to(np.interp(fine, t, rate) if np.ndim(rate) else np.asarray(float(rate)), fine.shape)
        total = np.cumsum(values * step)
        return total - np.interp(0.0, fine, total)

    heading = grown(turning)
    speeds = np.interp(fine, t, speed) if np.ndim(speed) else np.full(fine.shape, float(speed))

    def place(direction: np.ndarray) -> np.ndarray:
        total = np.cumsum(speeds * direction * step)
        return np.interp(t, fine, total - np.interp(0.0, fine, total))

    return place(np.cos(heading)), place(np.sin(heading)), np.interp(t, fine, heading)


def moved(pose: Pose, x: float, y: float, angle: float) -> Pose:
    """A pose turned about the origin by ``angle`` and then shifted."""
    c, s = math.cos(angle), math.sin(angle)
    return {
        **pose,
        "x": c * pose["x"] - s * pose["y"] + x,
        "y": s * pose["x"] + c * pose["y"] + y,
        "heading": pose["heading"] + angle,
    }


def channels(names: tuple[str, ...], t: np.ndarray, given: dict[str, np.ndarray | float]) -> Pose:
    """A pose with every channel of shape (T,): those given, the others 0."""
    zero = np.zeros(t.shape)
    pose = dict.fromkeys(names, zero)
    for name, value in given.items():
        if name not in pose:
            raise KeyError(name)
        pose[name] = value if isinstance(value, np.ndarray) and value.shape == t.shape else zero + value
    return pose
