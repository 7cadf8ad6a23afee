"""How animals stand when a recording or a clip begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._sim_agents import FOREVER, Agent, touch_point
from ._sim_space import wrap

if TYPE_CHECKING:
    from ._sim_motion import World


def spread(world: World) -> None:
    """Put two animals on opposite sides."""
    if len(world.agents) == 2:
        a, b = world.agents
        apart = max(0.8 * world.length, math.hypot(a.x - world.floor.cx, a.y - world.floor.cy))
        towards = math.atan2(a.y - world.floor.cy, a.x - world.floor.cx)
        for agent, sign in ((a, 1.0), (b, -1.0)):
            agent.x = world.floor.cx + sign * apart * math.cos(towards)
            agent.y = world.floor.cy + sign * apart * math.sin(towards)


def stage(world: World, only: str) -> None:
    """Begin in the middle of one behaviour, with the animals where it happens."""
    for agent in world.agents:
        world.enter(agent, only, FOREVER)
    a = world.agents[0]
    if only == "rear":
        for agent in world.agents:
            _rear(world, agent)
            agent.delay = int(world.rng.integers(0, 1 + round(0.48 * world.fps)))
    if len(world.agents) == 1:
        return
    b = world.agents[1]
    if only == "chase":
        world.enter(b, "flee", FOREVER)
        radius, turn = 0.62, 1.55 * world.length / (0.62 * world.floor.half)
        start = world.rng.uniform(-math.pi, math.pi)
        for agent, angle in ((a, start), (b, start + b.side * turn)):
            agent.x = world.floor.cx + radius * world.floor.half_w * math.cos(angle)
            agent.y = world.floor.cy + radius * world.floor.half_h * math.sin(angle)
            agent.heading = angle + b.side * math.pi / 2
            agent.pose["speed"] = agent.pace
    elif only == "contact":
        _contact(world, a, b)
    elif only == "wing_extension":
        world.enter(b, "still" if world.rng.random() < 0.5 else "walk", FOREVER)
        b.pace *= 0.4
        a.heading = math.atan2(b.y - a.y, b.x - a.x)


def _rear(world: World, agent: Agent) -> None:
    if world.rng.random() < 0.3:
        return
    towards = 0.0
    for _ in range(60):
        distance, towards = world.floor.nearest(agent.x, agent.y)
        if distance < 0.4 * world.length:
            break
        agent.x += 0.1 * world.length * math.cos(towards)
        agent.y += 0.1 * world.length * math.sin(towards)
    agent.heading = towards + world.rng.uniform(-0.4, 0.4)


def _contact(world: World, a: Agent, b: Agent) -> None:
    b.x = world.floor.cx + 0.35 * (b.x - world.floor.cx)
    b.y = world.floor.cy + 0.35 * (b.y - world.floor.cy)
    a.leads = True
    a.touch = ("nose", "left", "right", "tail")[int(world.rng.integers(4))]
    outward = {"nose": 0.0, "left": -1.57, "right": 1.57, "tail": math.pi}[a.touch]
    away = b.heading + outward + world.rng.uniform(-0.3, 0.3)
    tx, ty = touch_point(b, a.touch, world.length)
    a.heading = wrap(away + math.pi)
    a.x = tx + 0.55 * world.length * math.cos(away)
    a.y = ty + 0.55 * world.length * math.sin(away)
