"""The mouse: from a pose to its outline, head, feet and tail, and how these are painted.

Legend: T frames, N animals, S points along the spine from tail base to nose, K points of the tail,
C channels of a pose (:data:`_sim_agents.CHANNELS`).
"""

from __future__ import annotations

import math

import numpy as np

from ._sim_agents import CHANNELS
from ._sim_canvas import Canvas, Color, mix, shade
from ._sim_space import Floor, wrap

KEYPOINTS = ("nose", "left_ear", "right_ear", "neck", "body_center", "tail_base", "tail_mid", "tail_tip")

_S = np.linspace(0.0, 1.0, 13)
_HALF_WIDTH = np.interp(
    _S,
    [0.0, 0.06, 0.15, 0.28, 0.42, 0.55, 0.66, 0.75, 0.84, 0.93, 1.0],
    [0.05, 0.12, 0.17, 0.19, 0.18, 0.16, 0.13, 0.115, 0.10, 0.06, 0.018],
)
_CENTER, _NECK = 6, 9
_TAIL_POINTS = 9
_TAIL_LENGTH = 0.95
_PINK: Color = (205, 150, 140)


def _rise(low: float, high: float) -> np.ndarray:
    """Smooth step along the spine, 0 before ``low`` and 1 after ``high``."""
    x = np.clip((_S - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


def _drag_tails(base_TN2: np.ndarray, direction_TN: np.ndarray, length: float, floor: Floor) -> np.ndarray:
    """Tails as ropes drawn along the floor: each joint keeps its distance from the one before it.

    Returns
    -------
    numpy.ndarray
        Shape (T, N, K, 2).
    """
    num_frames, num_animals = direction_TN.shape
    link = length / (_TAIL_POINTS - 1)
    safe_w, safe_h = 0.7 * floor.half_w, 0.7 * floor.half_h  # far from any wall, round or not
    tails = np.empty((num_frames, num_animals, _TAIL_POINTS, 2))
    for n in range(num_animals):
        start = [(base_TN2[0, n, 0], base_TN2[0, n, 1])]
        angle = direction_TN[0, n]
        for _ in range(1, _TAIL_POINTS):
            angle += 0.12 * math.sin(5.0 * angle)  # a resting tail is never quite straight
            start.append((start[-1][0] + link * math.cos(angle), start[-1][1] + link * math.sin(angle)))
        rope = [(float(x), float(y)) for x, y in start]
        for t in range(num_frames):
            x, y = float(base_TN2[t, n, 0]), float(base_TN2[t, n, 1])
            before = float(direction_TN[t, n])
            tails[t, n, 0] = rope[0] = (x, y)
            for k in range(1, _TAIL_POINTS):
                px, py = rope[k]
                # Stiff near the body, limp at the tip; never folded back on itself.
                limit = 0.25 + 0.08 * k
                turn = min(limit, max(-limit, wrap(math.atan2(py - y, px - x) - before)))
                before += turn
                x, y = x + link * math.cos(before), y + link * math.sin(before)
                if abs(x - floor.cx) > safe_w or abs(y - floor.cy) > safe_h:
                    x, y = floor.clamp(x, y, 0.0)
                tails[t, n, k] = rope[k] = (x, y)
    return tails


def mouse_geometry(poses_TNC: np.ndarray, *, length: float, floor: Floor, side: float) -> dict[str, np.ndarray]:
    """Work out the shape of every mouse at every frame.

    Parameters
    ----------
    poses_TNC : numpy.ndarray
        Poses, shape (T, N, C).
    length : float
        Body length, nose to tail base [fraction of the shorter side].
    floor : Floor
        Keeps tails on the floor.
    side : float
        Shorter side of the picture [pixels].

    Returns
    -------
    dict of numpy.ndarray
        Arrays that begin with (T, N); points in pixels.
    """
    pose = dict(zip(CHANNELS, np.moveaxis(poses_TNC, -1, 0), strict=True))
    rear, curl, heading = pose["rear"][..., None], pose["curl"][..., None], pose["heading"][..., None]
    wash = np.sin(pose["phase"])[..., None]
    yaw = pose["head_yaw"][..., None] + 0.42 * curl * wash
    bend = pose["bend"][..., None] + 0.09 * curl * wash
    yaw = yaw + 0.5 * curl * np.sign(bend)  # the head is turned towards the flank
    angle_TNS = heading + 1.7 * bend * (_S - 0.5) + yaw * _rise(0.6, 0.85)
    # Seen from above an upright mouse is short, and one that washes its face tucks its head in.
    seen_TNS = 1 - rear * 0.66 * _rise(0.1, 0.35) - curl * (0.18 + (0.30 + 0.12 * wash) * _rise(0.55, 0.8))
    step_TNS2 = np.stack([np.cos(angle_TNS), np.sin(angle_TNS)], axis=-1) * (seen_TNS * length / 12)[..., None]
    spine = np.cumsum(step_TNS2, axis=2)
    spine += np.stack([pose["x"], pose["y"]], axis=-1)[:, :, None] - spine[:, :, _CENTER : _CENTER + 1]
    tail = _drag_tails(spine[:, :, 0], angle_TNS[:, :, 0] + np.pi, _TAIL_LENGTH * length, floor)

    # What is nearer to the camera is larger and further from the middle of the picture.
    high_TNS = rear * 0.9 * length * _rise(0.1, 1.0)
    middle = np.array([floor.cx, floor.cy])
    spine = spine + (spine - middle) * (high_TNS / 2.2)[..., None]
    normal = np.stack([np.sin(angle_TNS), -np.cos(angle_TNS)], axis=-1)  # to the animal's left
    forward = np.stack([np.cos(angle_TNS), np.sin(angle_TNS)], axis=-1)
    breath = 1 + 0.02 * np.sin(0.35 * pose["phase"])[..., None]
    half = _HALF_WIDTH * length * breath * (1 + 0.22 * curl * (1 - _rise(0.5, 0.7)) + 0.2 * rear * _rise(0.2, 0.9))

    def ribbon(offset: np.ndarray, start: int, stop: int) -> np.ndarray:
        part, across = spine[:, :, start:stop], normal[:, :, start:stop] * offset[:, :, start:stop, None]
        return np.concatenate([part + across, (part - across)[:, :, ::-1]], axis=2)

    beat = np.clip(pose["speed"], 0, 1)[..., None] * np.sin(pose["gait"][..., None] + np.array([0, np.pi, np.pi, 0]))
    along = 0.10 * beat
    across = np.broadcast_to(np.array([0.19, -0.19, 0.15, -0.15]), along.shape)
    at = np.array([3, 3, 8, 8])
    feet = spine[:, :, at] + length * (along[..., None] * forward[:, :, at] + across[..., None] * normal[:, :, at])
    head_forward, head_normal = forward[:, :, 11], normal[:, :, 11]
    left_right = np.array([1.0, -1.0])[:, None]
    rub = np.stack([wash[..., 0], -wash[..., 0]], axis=-1)[..., None]
    wide = (0.065 + 0.06 * rear)[..., None] * left_right
    lift = 0.01 + 0.075 * curl[..., None] * rub + 0.06 * rear[..., None]
    paws = spine[:, :, 12:13] + length * (lift * head_forward[:, :, None] + wide * head_normal[:, :, None])
    ear_at = spine[:, :, 9:10] + 0.25 * (spine[:, :, 10:11] - spine[:, :, 9:10])
    ears = ear_at + length * 0.095 * (1 + 0.45 * rear)[..., None] * left_right * normal[:, :, 9:10]
    eyes = (
        spine[:, :, 11:12]
        - 0.02 * length * forward[:, :, 11:12]
        + length * 0.062 * left_right * head_normal[:, :, None]
    )

    s_K = np.linspace(0, 1, _TAIL_POINTS)
    tangent = np.gradient(tail, axis=2)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-9
    tail_normal = np.stack([tangent[..., 1], -tangent[..., 0]], axis=-1)
    swing = np.sin(pose["gait"][..., None] - 5.0 * s_K) * s_K * (0.09 * np.clip(pose["speed"] / 2, 0, 1))[..., None]
    tail = tail + length * swing[..., None] * tail_normal
    thick = length * (0.030 * (1 - s_K) + 0.008)
    tail_ribbon = np.concatenate(
        [tail + tail_normal * thick[:, None], (tail - tail_normal * thick[:, None])[:, :, ::-1]], axis=2
    )
    points = {
        "outline": ribbon(half, 0, 13),
        "back": ribbon(0.62 * half, 1, 9),
        "ridge": ribbon(0.30 * half, 2, 8),
        "head": ribbon(half * (1.0 + 0.4 * rear), 8, 13),
        "chin": ribbon(half * (1.0 + 0.4 * rear), 8, 13) - 0.03 * length * forward[:, :, 8:9],
        "face": ribbon(0.55 * half, 9, 12),
        "spine": spine,
        "tail": tail,
        "tail_ribbon": tail_ribbon,
        "feet": feet,
        "paws": paws,
        "nose": spine[:, :, -1],
        "ears": ears,
        "eyes": eyes,
    }
    # World to pixels: the left edge of the picture lies half a pixel left of the centre of pixel 0.
    shape = {name: value * side - 0.5 for name, value in points.items()}
    shape["shadow"] = shape["outline"]
    shape["head_angle"] = angle_TNS[:, :, 11]
    shape["foot_angle"] = angle_TNS[:, :, 6]
    shape["rear"], shape["curl"] = pose["rear"], pose["curl"]
    height_TNS = 0.07 + 0.42 * rear * _rise(0.0, 1.0)
    shape["shadow_height"] = np.concatenate([height_TNS, height_TNS[..., ::-1]], axis=2) * (length * side)
    return shape


def mouse_keypoints(shape: dict[str, np.ndarray]) -> np.ndarray:
    """Key points in the order of :data:`KEYPOINTS`, shape (T, N, 8, 2) [pixels]."""
    spine, ears, tail = shape["spine"], shape["ears"], shape["tail"]
    return np.stack(
        [
            spine[:, :, -1],
            ears[:, :, 0],
            ears[:, :, 1],
            spine[:, :, _NECK],
            spine[:, :, _CENTER],
            tail[:, :, 0],
            tail[:, :, _TAIL_POINTS // 2],
            tail[:, :, -1],
        ],
        axis=2,
    )


def _skin(coat: Color) -> Color:
    return mix(shade(coat, 0.75), _PINK, 0.55)


def draw_tail(canvas: Canvas, shape: dict[str, np.ndarray], t: int, n: int, *, coat: Color) -> None:
    """Paint the tail alone: all tails lie beneath all bodies."""
    canvas.polygon(shape["tail_ribbon"][t, n], _skin(coat))


def draw_mouse(canvas: Canvas, shape: dict[str, np.ndarray], t: int, n: int, *, coat: Color, length: float) -> None:
    """Paint one mouse without its tail; ``length`` is its body length [pixels]."""
    rear, curl = float(shape["rear"][t, n]), float(shape["curl"][t, n])
    head_angle, foot_angle = float(shape["head_angle"][t, n]), float(shape["foot_angle"][t, n])
    skin = _skin(coat)
    upper = shade(coat, 1.0 + 0.12 * rear, 30 * rear)
    for k, foot in enumerate(shape["feet"][t, n]):
        if k < 2 or max(rear, curl) < 0.5:
            canvas.ellipse(foot, 0.065 * length, 0.03 * length, foot_angle, skin)
    canvas.polygon(shape["outline"][t, n], shade(coat, 0.88))
    canvas.polygon(shape["back"][t, n], shade(coat, 1.04, 5))
    canvas.polygon(shape["ridge"][t, n], shade(coat, 1.12, 12))
    if rear > 0.3:
        # The paws lean on the wall, and the raised head darkens the back beneath it.
        for paw in shape["paws"][t, n]:
            canvas.ellipse(paw, 0.05 * length, 0.035 * length, head_angle, mix(skin, _PINK, 0.4))
    size = 1 + 0.4 * rear
    ear = mix(skin, _PINK, 0.25)
    if rear > 0.3:
        canvas.polygon(shape["chin"][t, n], shade(coat, 0.62))
    canvas.polygon(shape["head"][t, n], shade(upper, 0.97, 3))
    canvas.polygon(shape["face"][t, n], shade(upper, 1.1, 10))
    for point in shape["ears"][t, n]:
        canvas.ellipse(point, 0.052 * length * size, 0.062 * length * size, head_angle, ear)
        canvas.ellipse(point, 0.030 * length * size, 0.038 * length * size, head_angle, shade(ear, 0.86))
    eye = (15.0, 12.0, 12.0) if sum(coat) > 120 else (95.0, 90.0, 90.0)
    for point in shape["eyes"][t, n]:
        canvas.ellipse(point, 0.017 * length, 0.017 * length, 0.0, eye)
    canvas.ellipse(shape["nose"][t, n], 0.028 * length, 0.024 * length, head_angle, _PINK)
    if curl > 0.3:
        for paw in shape["paws"][t, n]:
            canvas.ellipse(paw, 0.05 * length, 0.036 * length, head_angle, mix(skin, _PINK, 0.6))
