"""The mouse in space: from a posture to spine, head, ears, limbs and tail.

The spine is a chain of discs from the base of the tail to the nose, bent sideways and up and down; feet stand on the
floor, stroke the face, scratch the flank or hang in the air. Legend: T moments, S points along the spine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._sim_acts import channels
from ._sim_canvas import Color, mix, shade
from ._sim_parts import Body

MOUSE_POINTS = ("nose", "left_ear", "right_ear", "neck", "body_center", "tail_base", "tail_tip")

_CHANNELS = (
    *("x", "y", "z", "heading", "bend", "trunk", "neck", "head", "yaw", "low", "gait", "stride", "paws", "stretch"),
    *("stroke", "reach", "dig", "scoop", "kick", "beat", "curve", "wave", "tail_up", "rock", "breath"),
)
_S = np.array(
    [0.0, 0.05, 0.11, 0.18, 0.26, 0.34, 0.42, 0.50, 0.57, 0.64, 0.70, 0.76, 0.82, 0.87, 0.915, 0.95, 0.98, 1.0]
)
_RADIUS = 0.88 * np.interp(
    _S,
    [0.0, 0.05, 0.12, 0.22, 0.35, 0.50, 0.62, 0.70, 0.78, 0.86, 0.94, 1.0],
    [0.06, 0.115, 0.165, 0.188, 0.182, 0.160, 0.136, 0.118, 0.112, 0.090, 0.052, 0.024],
)
_PELVIS, _MIDDLE, _SHOULDER, _NECK, _EARS, _EYES = 3, 7, 9, 10, 12, 14
_TRUNK = slice(0, 11)
_HEAD = slice(10, 18)
_REST_PITCH = np.interp(_S, [0.0, 0.25, 0.45, 0.75, 1.0], [0.45, 0.16, -0.14, -0.30, -0.38])
_TAIL_POINTS = 11
_PINK: Color = (206, 152, 142)


def _rise(low: float, high: float) -> np.ndarray:
    x = np.clip((_S - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


_TRUNK_RISE, _NECK_RISE, _HEAD_RISE, _YAW_RISE = (
    _rise(0.02, 0.32),
    _rise(0.54, 0.74),
    _rise(0.74, 0.88),
    _rise(0.6, 0.8),
)


def mouse_pose(t: np.ndarray, **given: np.ndarray | float) -> dict[str, np.ndarray]:
    """A mouse that stands still at the origin, save for what is ``given``; every channel has shape (T,).

    ``x, y, z`` place of the pelvis, ``heading``; ``bend`` sideways; ``trunk, neck, head`` pitch [rad, up]; ``yaw`` of
    the head; ``stretch`` (1 at rest); ``low`` (flattened); ``gait, stride`` phase and length of steps; ``paws`` (0 on
    the floor, 1 at the face) and ``stroke`` (-1 to 1); ``reach`` (forepaws ahead); ``dig`` phase and ``scoop`` (how
    far); ``kick`` (-1 right, 1 left hind foot at the neck) and ``beat`` (-1 to 1); ``curve`` and ``wave`` of the tail,
    ``tail_up``; ``rock`` sideways.
    """
    return channels(_CHANNELS, t, {"stretch": 1.0, **given})


@dataclass(frozen=True, kw_only=True)
class MouseCoat:
    """Colours of one mouse: back, head (another for hooded ones), stripe along the back, belly, skin."""

    name: str
    trunk: Color
    head: Color
    ridge: Color
    belly: Color

    @property
    def skin(self) -> Color:
        """Feet, ears and tail: pinker in light animals."""
        return mix(shade(self.head, 0.8), _PINK, 0.78 if sum(self.head) > 420 else 0.30)


def _spine(pose: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points (T, S, 3), radii (T, S) and the directions ahead, to the left and up (T, S, 3)."""
    c = {name: value[:, None] for name, value in pose.items()}
    yaw = c["heading"] + 1.7 * c["bend"] * (_S - 0.4) + c["yaw"] * _YAW_RISE
    # A steep trunk loses the arch that it has on all fours.
    rest = _REST_PITCH * (1 - 0.5 * np.clip(np.abs(c["trunk"]), 0, 1))
    pitch = rest + c["trunk"] * _TRUNK_RISE + c["neck"] * _NECK_RISE + c["head"] * _HEAD_RISE
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    ahead = np.stack([cp * cy, cp * sy, sp], axis=-1)
    left = np.stack([sy, -cy, np.zeros_like(cy)], axis=-1)
    up = np.stack([-sp * cy, -sp * sy, cp], axis=-1)
    step = 0.5 * (ahead[:, 1:] + ahead[:, :-1]) * (np.diff(_S) * c["stretch"])[..., None]
    points = np.concatenate([np.zeros((len(yaw), 1, 3)), np.cumsum(step, axis=1)], axis=1)
    sit = np.clip(c["trunk"], 0, 1)
    pelvis_z = 0.185 - 0.04 * sit - 0.05 * c["low"]
    points -= points[:, _PELVIS : _PELVIS + 1]
    points += np.stack([c["x"], c["y"], pelvis_z + c["z"]], axis=-1)
    points += c["rock"][..., None] * left * 0.05
    radii = _RADIUS * (1 + 0.025 * c["breath"]) * (1 + 0.16 * np.clip(sit - 0.3, 0, 0.5)) * (1 - 0.1 * c["low"])
    radii = radii / np.sqrt(c["stretch"])
    points[..., 2] = np.maximum(points[..., 2], 0.75 * radii + c["z"])
    return points, radii, ahead, left, up


def _mix(a: np.ndarray, b: np.ndarray, amount: np.ndarray) -> np.ndarray:
    return a + (b - a) * amount[:, None]


def _feet(pose: dict[str, np.ndarray], points: np.ndarray, frame: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Hips and feet: left and right hind, left and right fore; each (T, 2, 3)."""
    ahead, left, up = frame
    c, s = np.cos(pose["heading"]), np.sin(pose["heading"])
    flat = np.stack([c, s, np.zeros_like(c)], axis=-1)
    legs = []
    for k, side in enumerate((1.0, -1.0, 1.0, -1.0)):
        hind = k < 2
        node = _PELVIS if hind else _SHOULDER
        hip = points[:, node] + side * (0.10 if hind else 0.075) * left[:, node] - (0.04 * up[:, node])
        beat = pose["gait"] + (0.0 if k in (0, 3) else np.pi)
        along = (0.05 if hind else 0.06) + pose["stride"] * np.sin(beat)
        across = side * (0.165 if hind else 0.105)
        foot = points[:, node] + along[:, None] * flat + across * left[:, node]
        foot[:, 2] = pose["z"] + 0.015 + 0.35 * pose["stride"] * np.maximum(0, np.cos(beat))
        if hind:
            target = points[:, 11] + 0.13 * side * left[:, 11] - 0.03 * up[:, 11]
            target = (
                target + (0.075 * pose["beat"])[:, None] * ahead[:, 11] - (0.05 * pose["beat"])[:, None] * up[:, 11]
            )
            foot = _mix(foot, target, np.clip(side * pose["kick"], 0, 1))
        else:
            scoop = pose["scoop"] * (np.sin(pose["dig"] + (0 if side > 0 else 0.6 * np.pi)))
            foot = foot + (0.11 * pose["scoop"] + 0.15 * scoop)[:, None] * flat
            foot[:, 2] += np.maximum(0, 0.08 * np.cos(pose["dig"] + (0 if side > 0 else 0.6 * np.pi))) * pose["scoop"]
            hang = points[:, node] + 0.13 * ahead[:, node] - 0.13 * up[:, node] + 0.07 * side * left[:, node]
            far = points[:, node] + 0.26 * ahead[:, node] + 0.02 * up[:, node] + 0.11 * side * left[:, node]
            foot = _mix(foot, hang, np.clip(2.5 * pose["trunk"] - 0.6, 0, 1))
            foot = _mix(foot, far, np.clip(pose["reach"], 0, 1))
            head = 13
            face = points[:, head] - 0.07 * up[:, head] + (0.04 + 0.09 * pose["stroke"])[:, None] * ahead[:, head]
            face = face + side * (0.085 - 0.03 * pose["stroke"])[:, None] * left[:, head]
            foot = _mix(foot, face, pose["paws"])
        legs.append(np.stack([hip, foot], axis=1))
    return legs


def _tail(pose: dict[str, np.ndarray], points: np.ndarray) -> np.ndarray:
    s = np.linspace(0, 1, _TAIL_POINTS)
    back = pose["heading"] + np.pi + 1.7 * pose["bend"] * -0.4
    turn = back[:, None] + pose["curve"][:, None] * s + 0.5 * pose["wave"][:, None] * np.sin(4.5 * s) * s
    step = np.stack([np.cos(turn), np.sin(turn)], axis=-1) * (0.9 / (_TAIL_POINTS - 1))
    xy = points[:, :1, :2] + np.cumsum(step, axis=1) - step[:, :1]
    z = (
        (points[:, :1, 2] - pose["z"][:, None]) * (1 - s) ** 2
        + 0.02
        + pose["z"][:, None] * (1 - 0.5 * s)
        + pose["tail_up"][:, None] * s * 0.3
    )
    return np.concatenate([xy, z[..., None]], axis=-1)


def add_mouse(body: Body, pose: dict[str, np.ndarray], coat: MouseCoat, size: float = 1.0) -> np.ndarray:
    """Put one mouse among the things to be drawn.

    Parameters
    ----------
    body : Body
        What is drawn.
    pose : dict of numpy.ndarray
        From :func:`mouse_pose`.
    coat : MouseCoat
        Its colours.
    size : float
        Length relative to the unit.

    Returns
    -------
    numpy.ndarray
        :data:`MOUSE_POINTS` in space, shape (T, 7, 3).
    """
    points, radii, ahead, left, up = _spine(pose)
    legs, tail = _feet(pose, points, (ahead, left, up)), _tail(pose, points)
    origin = np.stack([pose["x"], pose["y"], np.zeros_like(pose["x"])], axis=-1)[:, None]

    def sized(values: np.ndarray) -> np.ndarray:
        return origin + size * (values - origin)

    points, tail, legs, radii = sized(points), sized(tail), [sized(leg) for leg in legs], size * radii
    skin = coat.skin
    body.taper(tail, (0.048 * size, 0.014 * size), skin)
    for k, leg in enumerate(legs):
        hind = k < 2
        body.strokes(leg[:, None], (0.085 if hind else 0.06) * size, shade(coat.trunk if hind else coat.head, 0.68))
        side = ahead[:, _PELVIS if hind else _NECK] * (0.075 if hind else 0.035) * size
        sole = np.stack([leg[:, 1] - 0.4 * side, leg[:, 1] + side], axis=1)
        body.strokes(sole[:, None], (0.042 if hind else 0.036) * size, skin, raise_by=-0.02)
    body.tube(points[:, _TRUNK], radii[:, _TRUNK], [coat.trunk] * 9 + [coat.head] * 2, ridge=coat.ridge)
    chin = points[:, 4:9] - 0.45 * radii[:, 4:9, None] * up[:, 4:9]
    body.tube(chin, 0.72 * radii[:, 4:9], [coat.belly] * 5, flat=True)
    body.tube(points[:, _HEAD], radii[:, _HEAD], [coat.head] * 8, raise_by=0.02)

    sides = np.array([1.0, -1.0])[:, None]
    ear_at = points[:, _EARS][:, None] + size * (
        0.092 * sides * left[:, _EARS][:, None] + 0.055 * up[:, _EARS][:, None] - 0.03 * ahead[:, _EARS][:, None]
    )
    body.spots(ear_at, 0.064 * size, shade(skin, 0.92), raise_by=0.05)
    inner = ear_at + 0.012 * size * ahead[:, _EARS][:, None]
    body.spots(inner, 0.040 * size, shade(skin, 0.76), raise_by=0.055)
    eye_at = points[:, _EYES][:, None] + size * (
        0.052 * sides * left[:, _EYES][:, None] + 0.035 * up[:, _EYES][:, None]
    )
    dark = (14.0, 11.0, 11.0) if sum(coat.head) > 130 else (4.0, 4.0, 5.0)
    eye: Color = (150.0, 50.0, 55.0) if coat.name == "white" else dark
    body.spots(eye_at, 0.018 * size, eye, raise_by=0.04)
    body.spots(points[:, -1:], 0.022 * size, mix(skin, _PINK, 0.6), raise_by=0.05)
    return np.stack(
        [points[:, -1], ear_at[:, 0], ear_at[:, 1], points[:, _NECK], points[:, _MIDDLE], points[:, 0], tail[:, -1]],
        axis=1,
    )
