"""Twenty behaviours of flies as movements of one or two bodies.

Speeds are body lengths per second, rhythms cycles per second, slowed where a camera could not follow (a singing wing
beats at 150 Hz; a video shows its blur).
"""

from __future__ import annotations

import math

import numpy as np

from ._sim_acts import Behavior, Pose, bump, moved, path, ramp, rhythm, sign, wander
from ._sim_fly_body import fly_pose


def _stance(rng: np.random.Generator, t: np.ndarray, **given: np.ndarray | float) -> Pose:
    """On six legs, each a little different."""
    return fly_pose(
        t,
        **{
            "breath": np.sin(rhythm(rng, t, 1.5, 3.0)),
            "bend": rng.uniform(-0.15, 0.15),
            "gait": rng.uniform(0, 6.3),
            "stride": 0.03,
            **given,
        },
    )


def _go(
    rng: np.random.Generator, t: np.ndarray, speed: float, turning: np.ndarray | float, **given: np.ndarray | float
) -> Pose:
    """Along a path with steps that fit the speed."""
    x, y, heading = path(t, speed, turning)
    gait = 2 * math.pi * (speed / (0.45 + 0.06 * speed) * t + rng.random())
    return fly_pose(
        t,
        **{
            "x": x,
            "y": y + 0.01 * np.sin(gait),
            "heading": heading + 0.04 * np.sin(gait),
            "gait": gait,
            "stride": 0.11 + 0.01 * min(speed, 6.0),
            "bend": -0.04 * np.asarray(turning),
            **given,
        },
    )


def _walk(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    return [_go(rng, t, rng.uniform(1.0, 2.3), rng.uniform(-1.2, 1.2))]


def _run(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    return [_go(rng, t, rng.uniform(4.5, 8.0), rng.uniform(-1.0, 1.0))]


def _still(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    return [_stance(rng, t)]


def _turn(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    side = sign(rng)
    return [
        _stance(
            rng, t, heading=side * rng.uniform(3.5, 7.0) * t, gait=rhythm(rng, t, 4, 7), stride=0.10, bend=-0.3 * side
        )
    ]


def _strokes(rng: np.random.Generator, t: np.ndarray, low: float = 4.5, high: float = 8.0) -> dict[str, np.ndarray]:
    phase = rhythm(rng, t, low, high)
    return {"stroke": np.sin(phase), "stroke2": np.cos(phase)}


def _front_leg_grooming(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    strokes = _strokes(rng, t)
    return [_stance(rng, t, rub=1.0, pitch=-0.05, x=0.01 * strokes["stroke"], **strokes)]


def _head_grooming(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    strokes = _strokes(rng, t, 3.5, 6.0)
    turn = wander(rng, t, 0.7, 0.8)
    return [_stance(rng, t, sweep=1.0, pitch=-0.16 + 0.06 * strokes["stroke"], yaw=turn, **strokes)]


def _abdomen_grooming(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    strokes = _strokes(rng, t)
    return [_stance(rng, t, wipe=1.0, pitch=0.12, curl=0.25 + 0.1 * strokes["stroke2"], **strokes)]


def _wing_grooming(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    side, strokes = sign(rng), _strokes(rng, t)
    wing = 0.20 + 0.09 * strokes["stroke"]
    wings = {"wing_left" if side > 0 else "wing_right": wing}
    return [_stance(rng, t, comb=side, roll=0.16 * side, bend=0.35 * side, **wings, **strokes)]


def _wing_flick(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    beat = 0.5 - 0.5 * np.cos(rhythm(rng, t, 1.6, 3.0))
    out = 0.08 + rng.uniform(0.4, 0.6) * beat**2
    return [_stance(rng, t, wing_left=out, wing_right=out, wing_up=0.15)]


def _jump(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    rise = ramp(t, -0.12, 0.30)
    far = rng.uniform(1.6, 3.2)
    beat = np.sin(rhythm(rng, t, 17, 23))
    on = ramp(t, -0.12, -0.02)
    return [
        _stance(
            rng,
            t,
            x=far * (rise - 0.3),
            z=rng.uniform(0.9, 2.0) * rise,
            pitch=0.35 * on,
            wing_left=0.95 * on,
            wing_right=0.95 * on,
            wing_up=(0.2 + 0.5 * beat) * on,
            kick=0.6 * on,
            heading=wander(rng, t, 0.5, 0.4),
        )
    ]


def _righting(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    gait = rhythm(rng, t, 3, 5)
    return [
        _stance(
            rng,
            t,
            roll=math.pi + wander(rng, t, 1.2, 0.35),
            kick=0.9,
            gait=gait,
            z=-0.01,
            heading=wander(rng, t, 0.6, 0.5),
            wing_left=0.35 + 0.10 * np.sin(gait),
            wing_right=0.35 - 0.10 * np.sin(gait),
            bend=wander(rng, t, 1.5, 0.4),
        )
    ]


def _approach(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    first = _go(rng, t, rng.uniform(1.6, 3.0), rng.uniform(-0.2, 0.2))
    reach = float(first["x"][-1]) + rng.uniform(0.85, 1.15)
    return [first, moved(_stance(rng, t), reach, rng.uniform(-0.15, 0.15), rng.uniform(-2.6, 2.6))]


def _chase(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    speed, turning, gap = rng.uniform(3.2, 6.0), rng.uniform(-1.2, 1.2), rng.uniform(1.15, 1.5)
    return [_go(rng, t, speed, turning), _go(rng, t + gap / speed, speed, turning)]


def _tapping(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    actor = _stance(rng, t, x=-0.62 + wander(rng, t, 0.8, 0.02), reach=1.0, **_strokes(rng, t, 2.5, 5.0))
    other = _stance(rng, t, x=0.42 + wander(rng, t, 0.5, 0.02))
    return [moved(actor, 0.0, 0.0, rng.uniform(-0.8, 0.8)), other]


def _singing(rng: np.random.Generator, t: np.ndarray, side: float) -> dict[str, np.ndarray | float]:
    buzz = 0.13 * np.sin(rhythm(rng, t, 17, 23))
    return {("wing_left" if side > 0 else "wing_right"): rng.uniform(0.75, 1.0), "buzz": buzz, "wing_up": 0.12}


def _wing_extension(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    side, speed = sign(rng), rng.choice([0.0, 0.6, 1.2])
    actor = _go(rng, t, speed, 0.0, **_singing(rng, t, side)) if speed else _stance(rng, t, **_singing(rng, t, side))
    other = _go(rng, t, speed, 0.0) if speed else _stance(rng, t)
    return [actor, moved(other, rng.uniform(1.2, 1.5), rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3))]


def _wing_threat(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    up = ramp(t, -0.8, -0.3) if rng.random() < 0.4 else np.ones_like(t)
    beat = np.sin(rhythm(rng, t, 3, 5))
    out = up * (0.62 + 0.08 * beat)
    actor = _stance(
        rng,
        t,
        wing_left=out,
        wing_right=out,
        wing_up=0.9 * up,
        pitch=0.12 * up,
        x=-0.75 + 0.35 * t,
        gait=rhythm(rng, t, 2, 4),
        stride=0.06,
    )
    return [
        actor,
        moved(_stance(rng, t), rng.uniform(0.55, 0.9), rng.uniform(-0.1, 0.1), math.pi + rng.uniform(-0.6, 0.6)),
    ]


def _circling(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    radius = rng.uniform(1.0, 1.25)
    angle = sign(rng) * rng.uniform(1.8, 3.2) * t
    # It walks sideways and keeps facing the other.
    actor = _stance(
        rng,
        t,
        x=-radius * np.cos(angle),
        y=-radius * np.sin(angle),
        heading=angle,
        gait=rhythm(rng, t, 4, 7),
        stride=0.12,
        **(_singing(rng, t, sign(rng)) if rng.random() < 0.4 else {}),
    )
    return [actor, moved(_stance(rng, t), 0.0, 0.0, rng.uniform(-math.pi, math.pi))]


def _lunge(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    at = rng.uniform(-0.05, 0.05)
    raised = bump(t, at - 0.13, 0.16)
    strike = ramp(t, at - 0.06, at + 0.03)
    back = ramp(t, at + 0.15, at + 0.6)
    actor = _stance(
        rng,
        t,
        x=-1.05 + 0.50 * strike - 0.25 * back,
        pitch=0.75 * raised - 0.12 * strike * (1 - back),
        z=0.10 * raised,
        reach=np.maximum(raised, strike * (1 - back)),
        wing_left=0.25 * raised,
        wing_right=0.25 * raised,
    )
    pushed = 0.25 * ramp(t, at, at + 0.12)
    return [actor, moved(_stance(rng, t, x=-pushed), 0.22, rng.uniform(-0.1, 0.1), math.pi + rng.uniform(-0.4, 0.4))]


def _tussle(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    spin = sign(rng) * rng.uniform(5.0, 9.0) * t + rng.uniform(-math.pi, math.pi) + wander(rng, t, 2.5, 0.5)
    poses = []
    for k in range(2):
        around = spin + k * math.pi
        jerk = np.sin(rhythm(rng, t, 5, 9))
        radius = 0.36 + 0.05 * jerk
        flap = 0.35 + 0.30 * np.sin(rhythm(rng, t, 6, 10))
        poses.append(
            _stance(
                rng,
                t,
                x=-radius * np.cos(around) + wander(rng, t, 1.5, 0.12),
                y=-radius * np.sin(around),
                heading=around + wander(rng, t, 3.0, 0.35),
                pitch=0.5 + 0.3 * jerk,
                roll=wander(rng, t, 3.0, 0.4),
                z=0.10,
                reach=1.0,
                stroke=jerk,
                wing_left=flap,
                wing_right=np.maximum(0, 0.5 - flap),
                wing_up=0.5,
                gait=rhythm(rng, t, 6, 9),
                stride=0.12,
            )
        )
    return poses


def _copulation(rng: np.random.Generator, t: np.ndarray) -> list[Pose]:
    sway = wander(rng, t, 1.0, 0.05)
    speed = rng.choice([0.0, 0.0, 0.5])
    x, _, _ = path(t, speed, 0.0)
    other = _stance(
        rng, t, wing_left=0.22, wing_right=0.22, x=x, gait=2 * math.pi * speed / 0.5 * t, stride=0.10 * bool(speed)
    )
    actor = _stance(
        rng,
        t,
        x=x - 0.38,
        z=0.17,
        pitch=0.38 + sway,
        curl=1.5,
        heading=sway,
        reach=0.7,
        wing_left=0.12,
        wing_right=0.12,
        stroke=0.4 * np.sin(rhythm(rng, t, 1, 2)),
    )
    return [actor, other]


FLY_ACTS: dict[str, Behavior] = {
    "still": Behavior(act=_still),
    "walk": Behavior(act=_walk),
    "run": Behavior(act=_run, fps=(10.0, 25.0)),
    "turn": Behavior(act=_turn, fps=(9.0, 20.0)),
    "front_leg_grooming": Behavior(act=_front_leg_grooming, fps=(10.0, 28.0)),
    "head_grooming": Behavior(act=_head_grooming, fps=(9.0, 25.0)),
    "abdomen_grooming": Behavior(act=_abdomen_grooming, fps=(10.0, 28.0)),
    "wing_grooming": Behavior(act=_wing_grooming, fps=(10.0, 28.0)),
    "wing_flick": Behavior(act=_wing_flick, fps=(8.0, 18.0)),
    "jump": Behavior(act=_jump, fps=(12.0, 25.0)),
    "righting": Behavior(act=_righting, fps=(9.0, 20.0)),
    "approach": Behavior(act=_approach, animals=2, fps=(7.0, 15.0)),
    "chase": Behavior(act=_chase, animals=2, fps=(10.0, 25.0)),
    "tapping": Behavior(act=_tapping, animals=2, fps=(9.0, 22.0)),
    "wing_extension": Behavior(act=_wing_extension, animals=2, fps=(9.0, 25.0)),
    "wing_threat": Behavior(act=_wing_threat, animals=2, fps=(7.0, 15.0)),
    "circling": Behavior(act=_circling, animals=2, fps=(6.0, 14.0)),
    "lunge": Behavior(act=_lunge, animals=2, fps=(12.0, 22.0)),
    "tussle": Behavior(act=_tussle, animals=2, fps=(10.0, 25.0)),
    "copulation": Behavior(act=_copulation, animals=2, fps=(7.0, 20.0)),
}
