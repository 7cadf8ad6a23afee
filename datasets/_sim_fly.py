"""The fly: from a pose to head, thorax, abdomen, wings and legs, and how these are painted.

Legend: T frames, N animals, C channels of a pose (:data:`_sim_agents.CHANNELS`). Body coordinates are
(forward, left) in body lengths from the middle of the body; the head ends at +0.5, the abdomen at -0.5.
"""

from __future__ import annotations

import numpy as np

from ._sim_agents import CHANNELS
from ._sim_canvas import Canvas, Color, mix, shade

_LEGS = ("foreleg_left", "foreleg_right", "midleg_left", "midleg_right", "hindleg_left", "hindleg_right")
KEYPOINTS = ("head", "thorax", "abdomen", "wing_left", "wing_right", *_LEGS)

_SIDE = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
_HIP = np.stack([[0.22, 0.22, 0.15, 0.15, 0.07, 0.07], 0.09 * _SIDE], axis=1)
_FOOT = np.stack(
    [[0.52, 0.52, 0.12, 0.12, -0.34, -0.34], np.array([0.27, 0.27, 0.46, 0.46, 0.36, 0.36]) * _SIDE], axis=1
)
_TRIPOD = np.array([0.0, np.pi, np.pi, 0.0, 0.0, np.pi])  # three legs step while three stand
_HINGE = np.array([[0.18, 0.085], [0.18, -0.085]])
_WING_LENGTH, _WING_REST, _WING_OUT = 0.78, 0.10, 1.40  # body lengths, radians from straight back
_turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_along = 0.5 - 0.5 * np.cos(_turn)
# A teardrop: narrow at the hinge, widest at two thirds.
_WING = np.stack([_along, 0.155 * np.sin(_turn) * (0.35 + 0.95 * _along)], axis=1)
_s = np.linspace(0, 1, 9)
_ABDOMEN_WIDTH = 0.145 * np.sqrt(np.clip(1 - (2 * (0.06 + 0.94 * _s) - 0.9) ** 2 / 1.22, 0, 1))


def _place(body: np.ndarray, pose: dict[str, np.ndarray], length: float) -> np.ndarray:
    """Body coordinates (T, N, P, 2) or (P, 2) to the floor (T, N, P, 2)."""
    c, s = np.cos(pose["heading"])[..., None], np.sin(pose["heading"])[..., None]
    ahead, left = body[..., 0], body[..., 1]
    x = pose["x"][..., None] + length * (ahead * c + left * s)
    y = pose["y"][..., None] + length * (ahead * s - left * c)
    return np.stack([x, y], axis=-1)


def _feet(pose: dict[str, np.ndarray]) -> np.ndarray:
    """Where the six feet are, in body coordinates, shape (T, N, 6, 2)."""
    gait, phase = pose["gait"][..., None], pose["phase"][..., None]
    feet = np.broadcast_to(_FOOT, (*pose["gait"].shape, 6, 2)).copy()
    feet[..., 0] += 0.13 * np.clip(pose["speed"] / 1.2, 0, 1)[..., None] * np.sin(gait + _TRIPOD)
    stroke = np.sin(phase + np.array([0.0, np.pi]))  # one leg forward while the other goes back
    rubbing = np.stack([0.66 + 0.13 * stroke, np.array([0.035, -0.035]) + 0.03 * np.cos(phase)], axis=-1)
    reaching = np.stack([0.64 + 0.05 * stroke, np.broadcast_to([0.10, -0.10], stroke.shape)], axis=-1)
    for goal, amount in ((rubbing, pose["rub"]), (reaching, pose["reach"])):
        feet[..., :2, :] += amount[..., None, None] * (goal - feet[..., :2, :])
    return feet


def fly_geometry(poses_TNC: np.ndarray, *, length: float, side: float) -> dict[str, np.ndarray]:
    """Work out the shape of every fly at every frame.

    Parameters
    ----------
    poses_TNC : numpy.ndarray
        Poses, shape (T, N, C).
    length : float
        Body length, head to tip of the abdomen [fraction of the shorter side].
    side : float
        Shorter side of the picture [pixels].

    Returns
    -------
    dict of numpy.ndarray
        Arrays that begin with (T, N); points in pixels.
    """
    pose = dict(zip(CHANNELS, np.moveaxis(poses_TNC, -1, 0), strict=True))
    pose["heading"] = pose["heading"] + 0.06 * pose["rub"] * np.sin(pose["phase"])  # rubbing rocks the body
    shape_TN = pose["x"].shape

    bend = 0.25 * pose["bend"][..., None]
    back = 0.09 - 0.60 * _s
    sideways = bend * _s**2
    breath = 1 + 0.03 * np.sin(0.35 * pose["phase"])[..., None]
    edge = _ABDOMEN_WIDTH * breath
    back_TNS = np.broadcast_to(back, edge.shape)
    left, right = (np.stack([back_TNS, sideways + sign * edge], axis=-1) for sign in (1, -1))
    abdomen = np.concatenate([left, right[:, :, ::-1]], axis=2)
    bands = [3, 5, 7]
    stripes = np.stack([left[:, :, bands], right[:, :, bands]], axis=3)

    out = np.stack([pose["wing_left"], pose["wing_right"]], axis=-1)
    buzz = 0.16 * out * np.sin(pose["phase"])[..., None]
    swing = _WING_REST + (_WING_OUT - _WING_REST) * out + buzz
    angle = np.pi - swing * np.array([1.0, -1.0])  # from straight ahead towards the left
    c, s = np.cos(angle)[..., None], np.sin(angle)[..., None]
    blade = _WING * _WING_LENGTH
    wings = np.stack([blade[:, 0] * c - blade[:, 1] * s, blade[:, 0] * s + blade[:, 1] * c], axis=-1) + _HINGE[:, None]
    tips = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * _WING_LENGTH + _HINGE

    feet = _feet(pose)
    knee = 0.45 * _HIP + 0.55 * feet
    knee[..., 1] += 0.05 * _SIDE
    knee[..., 0] += 0.07 * np.array([1, 1, 0, 0, -1, -1])
    legs = np.stack([np.broadcast_to(_HIP, feet.shape), knee, feet], axis=3)

    nod = 0.02 * pose["rub"] * np.sin(2 * pose["phase"])
    head = np.stack([0.41 + nod, 0.03 * pose["head_yaw"]], axis=-1)[:, :, None]
    eyes = head + np.array([[0.015, 0.095], [0.015, -0.095]])
    thorax = np.broadcast_to(np.array([[0.19, 0.0]]), (*shape_TN, 1, 2))

    def pixels(body: np.ndarray) -> np.ndarray:
        flat = body.reshape(*shape_TN, -1, 2)
        return (_place(flat, pose, length) * side - 0.5).reshape(body.shape)

    shape = {
        "abdomen": pixels(abdomen),
        "stripes": pixels(stripes),
        "wings": pixels(wings),
        "tips": pixels(tips),
        "legs": pixels(legs),
        "head": pixels(head)[:, :, 0],
        "eyes": pixels(eyes),
        "thorax": pixels(thorax)[:, :, 0],
    }
    shape["abdomen_center"] = 0.5 * (shape["abdomen"][:, :, 4] + shape["abdomen"][:, :, -5])
    blade = shape["wings"]
    shape["veins"] = 0.5 * (blade[:, :, :, [0, 3, 6, 8]] + blade[:, :, :, [0, 13, 10, 8]])
    shape["heading"] = pose["heading"]
    shape["shadow"] = shape["abdomen"]
    shape["shadow_height"] = np.full(shape["shadow"].shape[:3], 0.10 * length * side)
    return shape


def fly_keypoints(shape: dict[str, np.ndarray]) -> np.ndarray:
    """Key points in the order of :data:`KEYPOINTS`, shape (T, N, 11, 2) [pixels]."""
    body = np.stack([shape["head"], shape["thorax"], shape["abdomen_center"]], axis=2)
    return np.concatenate([body, shape["tips"], shape["legs"][..., 2, :]], axis=2)


def draw_fly(canvas: Canvas, shape: dict[str, np.ndarray], t: int, n: int, *, coat: Color, length: float) -> None:
    """Paint one fly; ``length`` is its body length [pixels]."""
    angle = float(shape["heading"][t, n])
    bright = sum(coat) > 360  # seen against a dark ground
    leg = shade(coat, 0.8) if bright else shade(coat, 0.85)
    band = shade(coat, 0.62 if bright else 0.5)
    wing = mix(coat, (235, 238, 240), 0.25 if bright else 0.35)
    for points in shape["legs"][t, n]:
        canvas.line(points[:2], leg, 0.034 * length)
        canvas.line(points[1:], leg, 0.022 * length)
    canvas.polygon(shape["abdomen"][t, n], coat)
    for stripe in shape["stripes"][t, n]:
        canvas.line(stripe, band, 0.045 * length)
    thorax = shape["thorax"][t, n]
    canvas.ellipse(thorax, 0.16 * length, 0.125 * length, angle, shade(coat, 0.82))
    canvas.ellipse(thorax, 0.10 * length, 0.07 * length, angle, shade(coat, 0.95, 8))
    canvas.ellipse(shape["head"][t, n], 0.085 * length, 0.115 * length, angle, shade(coat, 0.9))
    eye: Color = (150, 45, 35) if not bright else shade(coat, 0.6)
    for point in shape["eyes"][t, n]:
        canvas.ellipse(point, 0.055 * length, 0.045 * length, angle, eye)
    for w in range(2):
        canvas.veil(shape["wings"][t, n, w], wing, 0.42)
        canvas.line(shape["wings"][t, n, w, :9], shade(wing, 0.62), 0.012 * length)
        canvas.line(shape["veins"][t, n, w], shade(wing, 0.75), 0.010 * length)
