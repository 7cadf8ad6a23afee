"""Twenty behaviours of mice as movements of one or two bodies.

Speeds are body lengths per second, rhythms cycles per second; the figures are those usual in the literature of rodent
behaviour: strokes of the face at 4-7 Hz, scratching at 10-16 Hz, trotting about two strides a second for each length.
"""

from __future__ import annotations

import math

import numpy as np

from ._sim_acts import Behavior, Pose, bump, moved, path, ramp, rhythm, sign, wander
from ._sim_mouse_body import mouse_pose


def _stance(rng: np.random.Generator, t: np.ndarray, **given: np.ndarray | float) -> Pose:
    """On all fours and breathing, each a little different."""
    return mouse_pose(
        t,
        **{
            "breath": np.sin(rhythm(rng, t, 2.0, 3.5)),
            "curve": rng.uniform(-1.3, 1.3),
            "wave": rng.uniform(-0.8, 0.8),
            "bend": rng.uniform(-0.12, 0.12),
            "stretch": rng.uniform(0.94, 1.02),
            **given,
        },
    )


def _go(
    rng: np.random.Generator, t: np.ndarray, speed: float, turning: np.ndarray | float, **given: np.ndarray | float
) -> Pose:
    """Along a path with a gait that fits the speed."""
    x, y, heading = path(t, speed, turning)
    quick = min(1.0, speed / 5)
    gait = 2 * math.pi * (speed / (0.62 + 0.5 * quick) * t + rng.random())
    bound = quick * np.sin(gait)
    return mouse_pose(
        t,
        **{
            "x": x,
            "y": y,
            "heading": heading,
            "gait": gait,
            "stride": 0.10 + 0.09 * quick,
            "bend": 0.13 * np.asarray(turning) / (0.6 + speed) + 0.04 * np.sin(gait),
            "stretch": 1.0 + 0.10 * quick + 0.06 * bound,
            "trunk": 0.10 * quick * np.sin(gait + 0.6),
            "neck": -0.12 * quick * np.sin(gait),
            "yaw": wander(rng, t, 0.8, 0.15),
            "curve": rng.uniform(-0.6, 0.6) * (1 - 0.6 * quick),
            "wave": 0.5 * np.sin(gait - 1.0),
            "tail_up": 0.3 * quick,
            **given,
        },
    )


def _walk(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    return [_go(rng, t, rng.uniform(1.0, 2.2), rng.uniform(-0.9, 0.9))]


def _run(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    return [_go(rng, t, rng.uniform(4.0, 7.0), rng.uniform(-0.6, 0.6))]


def _still(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    crouched = rng.random() < 0.4
    return [
        _stance(
            rng, t, stretch=0.88 if crouched else 0.98, neck=-0.15 if crouched else 0.0, yaw=rng.uniform(-0.25, 0.25)
        )
    ]


def _turn(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    side, rate = sign(rng), rng.uniform(3.2, 6.0)
    gait = rhythm(rng, t, 3, 5)
    angle = side * rate * t
    # The pelvis swings round a point near the forelegs.
    return [
        _stance(
            rng,
            t,
            x=-0.15 * np.cos(angle),
            y=-0.15 * np.sin(angle),
            heading=angle,
            bend=0.55 * side,
            yaw=0.35 * side,
            gait=gait,
            stride=0.05,
            stretch=0.92,
            curve=-0.5 * side,
            wave=0.5 * side,
        )
    ]


def _sit(rng: np.random.Generator, t: np.ndarray, **given: np.ndarray | float) -> Pose:
    return _stance(rng, t, **{"trunk": rng.uniform(0.62, 0.85), "neck": -0.75, "head": -0.55, "stretch": 0.86, **given})


def _face_grooming(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    beat = np.sin(rhythm(rng, t, 4.0, 6.5))
    return [
        _sit(
            rng,
            t,
            paws=1.0,
            stroke=beat,
            head=-0.65 + 0.28 * beat,
            neck=-0.7 + 0.10 * beat,
            yaw=wander(rng, t, 1.0, 0.30),
        )
    ]


def _body_grooming(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    side = sign(rng)
    beat = np.sin(rhythm(rng, t, 3.5, 5.5))
    return [
        _sit(
            rng,
            t,
            trunk=0.30 + 0.04 * beat,
            neck=-0.55 + 0.10 * beat,
            head=-0.3,
            bend=side * (0.80 + 0.06 * beat),
            yaw=side * (1.15 + 0.22 * beat + wander(rng, t, 0.5, 0.15)),
            paws=0.55,
            stroke=0.5 * beat,
            stretch=0.9,
        )
    ]


def _scratching(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    side = sign(rng)
    beat = np.sin(rhythm(rng, t, 8.0, 12.0))
    return [
        _stance(
            rng,
            t,
            trunk=0.22,
            neck=-0.2,
            head=-0.15,
            bend=0.50 * side,
            yaw=0.55 * side + 0.10 * beat,
            kick=side,
            beat=beat,
            rock=-0.9 * side + 0.35 * beat,
            stretch=0.88,
        )
    ]


def _rear_supported(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    up = ramp(t, -0.75, -0.15) if rng.random() < 0.5 else np.ones_like(t)
    gait = rhythm(rng, t, 1.5, 3)
    return [
        _stance(
            rng,
            t,
            trunk=(0.35 + 0.95 * up),
            neck=-0.15,
            head=-0.1 + wander(rng, t, 1.5, 0.15),
            reach=up,
            yaw=wander(rng, t, 0.8, 0.35),
            stretch=1.0 + 0.12 * up,
            x=-0.06 * (1 - up),
            gait=gait,
            wave=0.6 * np.sin(0.5 * gait),
        )
    ]


def _rear_unsupported(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    rises, half = rng.random() < 0.55, rng.uniform(0.5, 0.9)
    up = bump(t, rng.uniform(-0.1, 0.1), half) if rises else np.ones_like(t)
    return [
        _stance(
            rng,
            t,
            trunk=1.15 * up + wander(rng, t, 1.2, 0.08),
            neck=-0.20 * up,
            head=-0.2 + wander(rng, t, 2.0, 0.18),
            yaw=wander(rng, t, 0.9, 0.65),
            stretch=0.97 + 0.08 * up,
            bend=wander(rng, t, 0.6, 0.10),
        )
    ]


def _sniffing(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    nod = np.sin(rhythm(rng, t, 5, 8))
    gait = rhythm(rng, t, 0.8, 1.5)
    return [
        _stance(
            rng,
            t,
            yaw=0.75 * np.sin(rhythm(rng, t, 0.8, 1.6)),
            neck=-0.10 + 0.06 * nod + wander(rng, t, 0.7, 0.15),
            head=0.10 * nod,
            bend=wander(rng, t, 0.5, 0.22),
            x=wander(rng, t, 0.5, 0.05),
            gait=gait,
            stride=0.03,
        )
    ]


def _digging(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    phase = rhythm(rng, t, 4.5, 7.0)
    return [
        _stance(
            rng,
            t,
            trunk=-0.16,
            neck=-0.42,
            head=-0.25 + 0.06 * np.sin(phase),
            dig=phase,
            scoop=1.0,
            x=0.03 * np.sin(phase),
            yaw=wander(rng, t, 0.8, 0.2),
            rock=0.3 * np.sin(0.5 * phase),
            stretch=0.92,
        )
    ]


def _stretch_attend(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    far = rng.uniform(0.40, 0.58)
    out = bump(t, rng.uniform(-0.15, 0.15), rng.uniform(0.7, 1.0))
    return [
        _stance(
            rng,
            t,
            stretch=0.92 + far * out,
            low=0.4 + 0.6 * out,
            neck=0.12 * out,
            head=0.1 + wander(rng, t, 2.5, 0.08),
            trunk=-0.10 * out,
            yaw=wander(rng, t, 1.0, 0.18),
            curve=rng.uniform(-0.3, 0.3),
            wave=0.0,
        )
    ]


def _jump(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    half, high = rng.uniform(0.16, 0.24), rng.uniform(0.8, 1.6)
    air = np.clip(1 - (t / half) ** 2, 0, None)
    forward = rng.uniform(0.4, 1.3) * (ramp(t, -half, half) - 0.5)
    crouch = bump(t, -1.5 * half, 0.6 * half)
    return [
        _stance(
            rng,
            t,
            x=forward,
            z=high * air,
            trunk=0.75 * np.clip(-t / half, -0.35, 1) * np.sqrt(air) - 0.1 * crouch,
            stretch=1.0 + 0.22 * np.sqrt(air) - 0.15 * crouch,
            reach=0.7 * np.sqrt(air),
            tail_up=0.8 * air,
            wave=np.sin(9 * t),
            neck=-0.15 * crouch,
        )
    ]


def _approach(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    speed = rng.uniform(1.6, 2.8)
    first = _go(rng, t, speed, rng.uniform(-0.3, 0.3))
    # It arrives at the end of the clip, or a little later.
    reach = float(first["x"][-1]) + rng.uniform(0.85, 1.2)
    second = moved(
        _stance(rng, t, yaw=wander(rng, t, 0.8, 0.3)), reach, rng.uniform(-0.15, 0.15), rng.uniform(-2.6, 2.6)
    )
    return [first, second]


def _chase(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    speed, turning, gap = rng.uniform(3.2, 6.0), rng.uniform(-0.9, 0.9), rng.uniform(1.25, 1.7)
    lead = gap / speed
    second = _go(rng, t + lead, speed, turning)
    return [_go(rng, t, speed, turning), second]


def _nose_to_nose(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    def half() -> Pose:
        nod = np.sin(rhythm(rng, t, 5, 8))
        return _stance(
            rng,
            t,
            x=-0.82 + wander(rng, t, 0.9, 0.03),
            yaw=wander(rng, t, 0.9, 0.25),
            neck=0.05 * nod,
            head=0.10 * nod,
            bend=rng.uniform(-0.2, 0.2),
        )

    return [half(), moved(half(), 0.0, rng.uniform(-0.05, 0.05), math.pi + rng.uniform(-0.5, 0.5))]


def _anogenital_sniffing(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    speed = rng.choice([0.0, 0.7, 1.1])
    nod = np.sin(rhythm(rng, t, 5, 8))
    aside = rng.uniform(-0.6, 0.6)
    other = _go(rng, t, speed, 0.0, curve=0.9 * sign(rng), tail_up=0.3) if speed else _stance(rng, t, tail_up=0.3)
    x, y, _ = path(t, speed, 0.0)
    actor = _stance(
        rng,
        t,
        x=-0.80 * np.ones_like(t),
        neck=-0.05 + 0.06 * nod,
        head=0.12 * nod,
        yaw=wander(rng, t, 1.2, 0.16),
        gait=2 * math.pi * speed / 0.65 * t,
        stride=0.09 * min(speed, 1.0),
    )
    actor = moved(actor, -0.20, 0.0, aside)
    return [{**actor, "x": actor["x"] + x, "y": actor["y"] + y}, other]


def _allogrooming(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    beat = np.sin(rhythm(rng, t, 3.0, 5.0))
    side = sign(rng)
    actor = _stance(
        rng,
        t,
        x=-0.74 + 0.03 * beat,
        trunk=0.22,
        neck=-0.30 + 0.16 * beat,
        head=-0.30 + 0.22 * beat,
        yaw=0.2 * wander(rng, t, 0.8, 1.0),
        paws=0.5,
        stroke=beat,
        stretch=0.94,
    )
    other = _stance(rng, t, low=0.7, stretch=0.92, neck=-0.2, x=-0.48)
    return [moved(actor, 0.0, 0.0, side * rng.uniform(0.9, 1.7)), other]


def _mount(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    thrust = np.sin(rhythm(rng, t, 5.0, 9.0))
    other = _stance(rng, t, low=0.5, stretch=0.98, neck=0.1, x=0.02 * thrust, curve=rng.uniform(-0.4, 0.4))
    actor = _stance(
        rng,
        t,
        x=-0.30 + 0.075 * thrust,
        z=0.05,
        trunk=0.55 + 0.07 * thrust,
        neck=-0.35,
        head=-0.25,
        reach=0.8,
        stretch=0.94,
        yaw=wander(rng, t, 0.5, 0.1),
        bend=0.0,
    )
    return [moved(actor, 0.0, 0.0, rng.uniform(-0.15, 0.15)), other]


def _attack(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    spin = sign(rng) * rng.uniform(7.0, 12.0) * t + rng.uniform(-math.pi, math.pi) + wander(rng, t, 2.5, 0.5)
    poses = []
    for k in range(2):
        around = spin + k * math.pi
        radius = 0.30 + wander(rng, t, 3.0, 0.08)
        jerk = np.sin(rhythm(rng, t, 5, 9))
        poses.append(
            _stance(
                rng,
                t,
                x=radius * np.cos(around) + wander(rng, t, 1.5, 0.15),
                y=radius * np.sin(around) + wander(rng, t, 1.5, 0.15),
                heading=around + (2.1 if k == 0 else 2.4) + wander(rng, t, 3.0, 0.5),
                bend=0.6 + 0.35 * jerk,
                yaw=0.5 + wander(rng, t, 4.0, 0.4),
                trunk=0.35 + 0.40 * jerk,
                neck=-0.3,
                z=0.10 * np.maximum(0, jerk) + 0.10 * k,
                rock=jerk,
                reach=0.6,
                curve=wander(rng, t, 2.0, 1.5),
                wave=wander(rng, t, 3.0, 1.5),
                stretch=0.95,
            )
        )
    return poses


MOUSE_ACTS: dict[str, Behavior] = {
    "still": Behavior(act=_still),
    "walk": Behavior(act=_walk),
    "run": Behavior(act=_run, fps=(10.0, 25.0)),
    "turn": Behavior(act=_turn, fps=(9.0, 20.0)),
    "sniffing": Behavior(act=_sniffing),
    "face_grooming": Behavior(act=_face_grooming, fps=(9.0, 25.0)),
    "body_grooming": Behavior(act=_body_grooming, fps=(9.0, 25.0)),
    "scratching": Behavior(act=_scratching, fps=(13.0, 28.0)),
    "rear_supported": Behavior(act=_rear_supported, at_wall=True, fps=(6.0, 15.0)),
    "rear_unsupported": Behavior(act=_rear_unsupported, fps=(6.0, 15.0)),
    "digging": Behavior(act=_digging, digs=True, fps=(9.0, 25.0)),
    "stretch_attend": Behavior(act=_stretch_attend, fps=(6.0, 11.0)),
    "jump": Behavior(act=_jump, fps=(12.0, 22.0)),
    "approach": Behavior(act=_approach, animals=2, fps=(7.0, 15.0)),
    "chase": Behavior(act=_chase, animals=2, fps=(10.0, 25.0)),
    "nose_to_nose": Behavior(act=_nose_to_nose, animals=2),
    "anogenital_sniffing": Behavior(act=_anogenital_sniffing, animals=2),
    "allogrooming": Behavior(act=_allogrooming, animals=2, fps=(9.0, 25.0)),
    "mount": Behavior(act=_mount, animals=2, fps=(10.0, 25.0)),
    "attack": Behavior(act=_attack, animals=2, fps=(10.0, 25.0)),
}
