"""The fly in space: head, thorax, abdomen, wings and six legs.

Body coordinates are (ahead, left, up) in body lengths from the thorax; the whole body is rolled, pitched and turned,
feet that stand do not tilt with it. Legend: T moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._sim_acts import channels
from ._sim_canvas import Color, mix, shade
from ._sim_parts import Body

FLY_POINTS = ("head", "thorax", "abdomen", "wing_left", "wing_right", "foreleg_left", "foreleg_right")

_CHANNELS = (
    *("x", "y", "z", "heading", "pitch", "roll", "bend", "curl", "gait", "stride", "wing_left", "wing_right"),
    *("wing_up", "buzz", "rub", "sweep", "wipe", "comb", "stroke", "stroke2", "reach", "yaw", "kick", "breath"),
)
_HEIGHT = 0.17
_SIDE = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
_HIP = np.stack([[0.08, 0.08, 0.0, 0.0, -0.08, -0.08], 0.07 * _SIDE, np.full(6, -0.06)], axis=1)
_FOOT = np.stack(
    [[0.36, 0.36, -0.02, -0.02, -0.42, -0.42], np.array([0.23, 0.23, 0.38, 0.38, 0.30, 0.30]) * _SIDE], axis=1
)
_TRIPOD = np.array([0.0, np.pi, np.pi, 0.0, 0.0, np.pi])  # three legs step while three stand
_turn = np.linspace(0, 2 * np.pi, 18, endpoint=False)
_along = 0.5 - 0.5 * np.cos(_turn)
_BLADE = np.stack([_along, 0.165 * np.sin(_turn) * (0.35 + 0.95 * _along)], axis=1)  # widest at two thirds
_WING_LENGTH, _WING_REST, _WING_OUT = 0.74, 0.10, 1.45
_VEINS = np.array(
    [
        [[0.0, 0.0], [0.45, 0.09], [0.93, 0.05]],
        [[0, 0], [0.5, 0.0], [0.98, -0.02]],
        [[0, 0], [0.4, -0.07], [0.8, -0.11]],
    ]
)
_WING = np.concatenate([_BLADE, _VEINS.reshape(-1, 2), [[1.0, 0.0]]])
_SKULL = np.array([[0.245, 0.03, -0.01], [0.245, -0.03, -0.01], [0.25, 0.075, 0.005], [0.25, -0.075, 0.005]])
_CHEST = np.array([[-0.07, 0.0, 0.01], [0.0, 0.0, 0.02], [0.07, 0.0, 0.01], [0.13, 0.0, 0.0]])
_RIB = np.array([[0, 0.9, 0.16], [0, 0, 0.16], [0, -0.9, 0.16]])  # a band over the back, in radii of the abdomen
_s = np.linspace(0, 1, 8)
_ABDOMEN_RADIUS = np.interp(_s, [0, 0.25, 0.5, 0.8, 1], [0.085, 0.125, 0.132, 0.09, 0.035])


def fly_pose(t: np.ndarray, **given: np.ndarray | float) -> dict[str, np.ndarray]:
    """A fly that stands still at the origin, save for what is ``given``; every channel has shape (T,).

    ``x, y, z`` place of the thorax, ``heading, pitch, roll``; ``bend`` of the abdomen sideways and ``curl`` down;
    ``gait, stride``; ``wing_left, wing_right`` (0 folded, 1 at right angles), ``wing_up`` [rad], ``buzz`` [rad];
    ``rub`` (forelegs in front), ``sweep`` (forelegs over the head), ``wipe`` (hind legs on the abdomen), ``comb``
    (hind legs on a wing: -1 right, 1 left), ``stroke`` (-1 to 1) and ``stroke2`` a quarter later; ``reach`` (forelegs
    out), ``yaw`` of the head, ``kick`` (legs in the air).
    """
    return channels(_CHANNELS, t, given)


@dataclass(frozen=True, kw_only=True)
class FlyTint:
    """Colours of one fly."""

    name: str
    trunk: Color
    band: Color
    eye: Color
    wing: Color


def _rotate(local: np.ndarray, pose: dict[str, np.ndarray]) -> np.ndarray:
    """Body coordinates (T, K, 3) to the floor's, (T, K, 3)."""
    f, side, up = local[..., 0], local[..., 1], local[..., 2]
    c, s = np.cos(pose["roll"])[:, None], np.sin(pose["roll"])[:, None]
    side, up = c * side - s * up, s * side + c * up
    c, s = np.cos(pose["pitch"])[:, None], np.sin(pose["pitch"])[:, None]
    f, up = c * f - s * up, s * f + c * up
    c, s = np.cos(pose["heading"])[:, None], np.sin(pose["heading"])[:, None]
    # The animal's left as seen from above, with y down.
    return np.stack(
        [pose["x"][:, None] + f * c + side * s, pose["y"][:, None] + f * s - side * c, up + _lift(pose)[:, None]],
        axis=-1,
    )


def _lift(pose: dict[str, np.ndarray]) -> np.ndarray:
    return pose["z"] + _HEIGHT


def _feet(pose: dict[str, np.ndarray]) -> np.ndarray:
    """Six feet in body coordinates, shape (T, 6, 3)."""
    feet = np.empty((len(pose["x"]), 6, 3))
    beat = pose["gait"][:, None] + _TRIPOD
    feet[..., :2] = _FOOT
    feet[..., 0] += pose["stride"][:, None] * np.sin(beat)
    feet[..., 2] = -_HEIGHT + 0.35 * pose["stride"][:, None] * np.maximum(0, np.cos(beat))
    one, two = np.stack([pose["stroke"], -pose["stroke"]], axis=-1), pose["stroke2"][:, None]
    side = _SIDE[:2]

    def toward(legs: slice, amount: np.ndarray, f: np.ndarray, left: np.ndarray, up: np.ndarray) -> None:
        goal = np.stack(np.broadcast_arrays(f, left, up), axis=-1)
        feet[:, legs] += amount[..., None] * (goal - feet[:, legs])

    fore, hind = slice(0, 2), slice(4, 6)
    wide = np.ones((1, 2))
    toward(
        fore, pose["rub"][:, None] * wide, 0.40 + 0.10 * one, (0.035 + 0.015 * two) * side, -0.10 + 0.02 * two * wide
    )
    both = pose["stroke"][:, None] * wide
    toward(fore, pose["sweep"][:, None] * wide, 0.27 + 0.11 * both, (0.09 - 0.02 * both) * side, 0.04 + 0.07 * both)
    toward(fore, pose["reach"][:, None] * wide, 0.44 + 0.07 * one, 0.12 * side * wide, -0.04 + 0.03 * one)
    toward(hind, pose["wipe"][:, None] * wide, -0.38 + 0.12 * one, 0.10 * side * wide, -0.02 + 0.05 * two * wide)
    comb = np.clip(pose["comb"][:, None] * side, 0, 1)
    toward(hind, comb, -0.34 + 0.17 * both, (0.24 + 0.03 * two) * side, 0.09 + 0.02 * two * wide)
    flail = pose["gait"][:, None] + _TRIPOD * 0.8 + np.arange(6)
    goal = np.stack(
        [
            0.7 * _FOOT[:, 0] + 0.12 * np.sin(flail),
            0.5 * _FOOT[:, 1] + 0.08 * np.cos(1.3 * flail),
            np.full(flail.shape, -0.3),
        ],
        axis=-1,
    )
    return feet + pose["kick"][:, None, None] * (goal - feet)


def _wing(pose: dict[str, np.ndarray], side: float) -> np.ndarray:
    """One wing in body coordinates, (T, 28, 3): 18 points of its outline, 3 veins of 3 points, its tip."""
    out = pose["wing_left" if side > 0 else "wing_right"]
    swing = _WING_REST + (_WING_OUT - _WING_REST) * out + pose["buzz"] * np.clip(3 * out, 0.15, 1)
    up = 0.10 + pose["wing_up"] * np.clip(2 * out, 0, 1)
    flat = _WING * _WING_LENGTH
    # In the wing's own plane: away from the hinge and across; the leading edge lies outward.
    c, s = np.cos(swing)[:, None], np.sin(swing)[:, None]
    back, out_ = -flat[:, 0] * c - flat[:, 1] * -s, flat[:, 0] * s + flat[:, 1] * c
    rise = flat[:, 0] * np.sin(up)[:, None]
    shrink = np.cos(up)[:, None]
    points = np.stack([0.06 + back * shrink, side * (0.075 + out_ * shrink), 0.09 + rise + 0 * back], axis=-1)
    points[..., 2] += 0.012 if side > 0 else 0.0  # one wing lies over the other
    return points


def add_fly(body: Body, pose: dict[str, np.ndarray], tint: FlyTint, size: float = 1.0) -> np.ndarray:
    """Put one fly among the things to be drawn.

    Parameters
    ----------
    body : Body
        What is drawn.
    pose : dict of numpy.ndarray
        From :func:`fly_pose`.
    tint : FlyTint
        Its colours.
    size : float
        Length relative to the unit.

    Returns
    -------
    numpy.ndarray
        :data:`FLY_POINTS` in space, shape (T, 7, 3).
    """
    moments = len(pose["x"])
    back = np.empty((moments, 8, 3))
    back[..., 0] = -0.10 - 0.47 * _s * (1 - 0.25 * np.clip(pose["curl"], 0, 1.5)[:, None] * _s)
    back[..., 1] = -0.35 * pose["bend"][:, None] * _s**2
    back[..., 2] = -0.01 - 0.05 * _s - 0.26 * pose["curl"][:, None] * _s**2
    ribs = back[:, 2:6, None] + _RIB * _ABDOMEN_RADIUS[2:6, None, None]  # (T, 4, 3, 3)
    head = np.zeros((moments, 4, 3))
    head += _SKULL
    head[..., 0] += (0.03 * pose["sweep"] * pose["stroke"])[:, None]
    head[..., 1] -= 0.05 * pose["yaw"][:, None]
    feet = _feet(pose)
    knees = (0.5 * _HIP + [0, 0, 0.07]) + feet * np.array([0.5, 0.525, 0])
    wings = [_wing(pose, side) for side in (1.0, -1.0)]
    # Everything is turned at once, which is faster than part by part.
    local = [back, ribs.reshape(moments, 12, 3), head, np.broadcast_to(_CHEST, (moments, 4, 3)), feet, knees]
    local += [np.broadcast_to(_HIP, (moments, 6, 3)), *wings]
    cuts = np.cumsum([part.shape[1] for part in local])[:-1]
    whole = _rotate(size * np.concatenate(local, axis=1), pose)
    whole[..., 2] = np.maximum(whole[..., 2], 0.01)  # nothing sinks into the floor
    abdomen, ribs, head, chest, tilted, knees, hips, *wings = np.split(whole, cuts, axis=1)

    # Feet on the floor stay flat when the body tilts; those that are held up tilt with it.
    level = _rotate(size * feet, {**pose, "pitch": 0 * pose["pitch"], "roll": 0 * pose["roll"]})
    held = np.zeros((moments, 6))
    held[:, :2] = np.clip(pose["rub"] + pose["sweep"] + pose["reach"], 0, 1)[:, None]
    held = np.maximum(held, np.clip(np.abs(pose["kick"]) + np.abs(pose["roll"]) - 0.5, 0, 1)[:, None])
    held = np.maximum(held, np.clip(pose["pitch"] / 0.5, 0, 1)[:, None] * np.array([1, 1, 0, 0, 0, 0]))
    feet = level + held[..., None] * (tilted - level)
    leg = shade(tint.trunk, 0.8)
    upper, lower = np.stack([hips, knees], axis=2), np.stack([knees, feet], axis=2)  # (T, 6, 2, 3)
    for k in (0, 2, 4):
        body.strokes(upper[:, k : k + 2], 0.040 * size, leg, raise_by=-0.03)
        body.strokes(lower[:, k : k + 2], 0.026 * size, leg, shadow=True, raise_by=-0.03)

    fat = size * _ABDOMEN_RADIUS * (1 + 0.05 * pose["breath"][:, None])
    body.tube(abdomen, fat, [tint.trunk] * 5 + [tint.band] * 3)
    body.strokes(ribs.reshape(moments, 4, 3, 3), 0.034 * size, tint.band, raise_by=0.05)
    radii = size * np.broadcast_to([0.11, 0.128, 0.115, 0.075], (moments, 4))
    body.tube(chest, radii, [shade(tint.trunk, 0.85)] * 4, raise_by=0.01)
    skull, eyes = head[:, :2], head[:, 2:]
    body.tube(skull, np.full((moments, 2), 0.075 * size), [shade(tint.trunk, 0.95)] * 2, raise_by=0.01)
    body.spots(eyes, 0.058 * size, tint.eye, raise_by=0.04)
    blade, edge = mix(tint.trunk, tint.wing, 0.7), shade(mix(tint.trunk, tint.wing, 0.5), 0.7)
    for wing in wings:
        body.blade(wing[:, :18], blade, edge, 0.45, veins=wing[:, 18:27].reshape(moments, 3, 3, 3))
    tips = [wing[:, 27] for wing in wings]
    return np.stack([skull.mean(axis=1), chest[:, 1], abdomen[:, 4], *tips, feet[:, 0], feet[:, 1]], axis=1)
