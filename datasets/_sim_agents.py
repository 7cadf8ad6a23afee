"""One simulated animal: what it is doing, how it holds itself, where others may touch it.

Lengths are fractions of the picture's shorter side, speeds are in body lengths per second, angles in
radians (0 along x, growing towards y, which points down).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ._sim_space import Floor

CHANNELS: tuple[str, ...] = (
    "x",  # middle of the body
    "y",
    "heading",
    "speed",
    "bend",  # how far the spine is curved, positive towards growing heading
    "head_yaw",
    "gait",  # phase of the step
    "phase",  # phase of whatever is rhythmic at present: washing, rubbing, vibrating, sniffing
    "rear",  # 0 on all fours, 1 upright
    "curl",  # 0 stretched, 1 hunched up to groom
    "rub",  # 0 legs on the floor, 1 forelegs rubbing in front of the head
    "reach",  # forelegs stretched towards the other animal
    "wing_left",  # 0 folded, 1 extended
    "wing_right",
)
LABEL_OF_MODE = {"flee": "walk", "approach": "walk", "to_wall": "walk"}
MOVING = ("walk", "flee", "approach", "to_wall", "chase")
FOREVER = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How one kind of animal moves: speeds [body lengths/s], turning [rad/s], rhythms [Hz]."""

    walk: tuple[float, float]
    run: tuple[float, float]
    max_turn: float
    step_length: float  # body lengths covered by one full step
    groom_hz: float
    sniff_hz: float


MANNERS = {
    "mouse": Manner(walk=(1.5, 2.6), run=(3.4, 4.2), max_turn=6.0, step_length=0.7, groom_hz=4.5, sniff_hz=3.5),
    "fly": Manner(walk=(1.6, 3.0), run=(3.6, 4.6), max_turn=8.0, step_length=0.55, groom_hz=5.5, sniff_hz=3.0),
}


@dataclass(kw_only=True)
class Agent:
    """The present condition of one animal."""

    x: float
    y: float
    heading: float
    mode: str
    left: int  # frames until it chooses anew
    goal: str = ""
    age: int = 0
    omega: float = 0.0
    wander: float = 0.0
    pace: float = 2.0
    side: float = 1.0  # which wing, which way to curl, which way round to flee
    delay: int = 0  # frames until it rises
    leads: bool = False  # in a contact: the one that walked up, whose nose touches
    touch: str = "nose"
    pose: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CHANNELS, 0.0))

    @property
    def label(self) -> str:
        """The behaviour that an observer would write down."""
        return LABEL_OF_MODE.get(self.mode, self.mode)


TOUCHES = {  # (along the body, across it to the right) from its middle [body lengths]
    "nose": (0.5, 0.0),
    "left": (0.05, -0.17),
    "right": (0.05, 0.17),
    "tail": (-0.5, 0.0),
}


def touch_point(agent: Agent, touch: str, length: float) -> tuple[float, float]:
    """Where on the floor one of :data:`TOUCHES` lies."""
    along, across = TOUCHES[touch]
    c, s = math.cos(agent.heading), math.sin(agent.heading)
    return agent.x + length * (along * c - across * s), agent.y + length * (along * s + across * c)


def nearest_touch(agent: Agent, other: Agent, length: float) -> str:
    """The part of the other animal that is nearest to this one's nose."""
    x, y = touch_point(agent, "nose", length)
    points = (touch_point(other, touch, length) for touch in TOUCHES)
    return min(zip((math.hypot(px - x, py - y) for px, py in points), TOUCHES, strict=True))[1]


def nose_gap(agent: Agent, other: Agent, length: float) -> tuple[float, float]:
    """Vector from the nose to the nearest place to touch."""
    x, y = touch_point(agent, "nose", length)
    px, py = touch_point(other, nearest_touch(agent, other, length), length)
    return px - x, py - y


def keep_apart(a: Agent, b: Agent, length: float) -> None:
    """Push bodies that overlap apart; each is three discs along its axis."""
    radius = 0.15 * length
    for i in (-0.32, 0.0, 0.32):
        for j in (-0.32, 0.0, 0.32):
            dx = a.x - b.x + length * (i * math.cos(a.heading) - j * math.cos(b.heading))
            dy = a.y - b.y + length * (i * math.sin(a.heading) - j * math.sin(b.heading))
            gap = math.hypot(dx, dy) + 1e-9
            if gap < 2 * radius:
                share = 0.5 * (2 * radius - gap) / gap
                a.x, a.y = a.x + share * dx, a.y + share * dy
                b.x, b.y = b.x - share * dx, b.y - share * dy


def keep_inside(agent: Agent, floor: Floor, length: float) -> None:
    """Keep body and nose off the wall; an upright animal leans on it."""
    agent.x, agent.y = floor.clamp(agent.x, agent.y, 0.24 * length)
    x, y = touch_point(agent, "nose", length)
    cx, cy = floor.clamp(x, y, (-0.12 if agent.mode == "rear" else 0.03) * length)
    agent.x, agent.y = agent.x + cx - x, agent.y + cy - y
