"""Where simulated animals go and how they hold themselves, frame by frame.

Each animal is in a mode. Most modes are behaviours; ``flee``, ``approach`` and ``to_wall`` are kinds of
walking that lead into a chase, a contact or a rear, and are labelled ``walk``. The path and the posture
follow the mode through first-order lags, so nothing jumps when the mode changes.

Legend: T frames, N animals, C channels of a pose. Lengths are fractions of the picture's shorter side,
speeds are in body lengths per second, angles in radians (0 along x, growing towards y, which points down).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ._sim_agents import (
    CHANNELS,
    LABEL_OF_MODE,
    MANNERS,
    MOVING,
    Agent,
    keep_apart,
    keep_inside,
    nearest_touch,
    nose_gap,
    touch_point,
)
from ._sim_space import Floor, wrap
from ._sim_staging import spread, stage
from ._sim_states import MIN_BOUT_S, draw_behavior, draw_duration


class World:
    """Animals on a floor, advanced one frame at a time.

    Parameters
    ----------
    arena : {"mouse", "fly"}
        Which animals.
    behaviors : sequence of str
        What they may do.
    floor : Floor
        Where.
    length : float
        Body length [fraction of the shorter side].
    fps : float
        Frames per second.
    num_animals : int
        1 or 2.
    rng : numpy.random.Generator
        Every choice comes from here.
    only : str, optional
        Show this behaviour from beginning to end.
    """

    def __init__(
        self,
        arena: str,
        behaviors: Sequence[str],
        floor: Floor,
        *,
        length: float,
        fps: float,
        num_animals: int,
        rng: np.random.Generator,
        only: str | None = None,
    ) -> None:
        self.arena, self.behaviors, self.floor = arena, tuple(behaviors), floor
        self.length, self.fps, self.dt, self.rng = length, fps, 1.0 / fps, rng
        self.manner = MANNERS[arena]
        self.only = only
        self.agents = [self._new_agent() for _ in range(num_animals)]
        spread(self)
        if only is not None:
            stage(self, only)
        for agent in self.agents:
            agent.pose.update(gait=rng.uniform(0, 2 * math.pi), phase=rng.uniform(0, 2 * math.pi))

    # -- beginnings ---------------------------------------------------------------------------------------

    def _new_agent(self) -> Agent:
        rng, floor = self.rng, self.floor
        angle, far = rng.uniform(-math.pi, math.pi), math.sqrt(rng.uniform(0.02, 0.4))
        return Agent(
            x=floor.cx + far * floor.half_w * math.cos(angle),
            y=floor.cy + far * floor.half_h * math.sin(angle),
            heading=rng.uniform(-math.pi, math.pi),
            mode="walk",
            left=draw_duration(rng, "walk", self.fps),
            pace=rng.uniform(*self.manner.walk),
            side=1.0 if rng.random() < 0.5 else -1.0,
        )

    # -- choices ------------------------------------------------------------------------------------------

    def other(self, agent: Agent) -> Agent | None:
        """The second animal, if there is one."""
        if len(self.agents) == 1:
            return None
        return self.agents[1] if agent is self.agents[0] else self.agents[0]

    def enter(self, agent: Agent, mode: str, frames: int) -> None:
        """Begin a mode that lasts so many frames."""
        agent.age = agent.age if LABEL_OF_MODE.get(mode, mode) == agent.label else 0
        agent.mode, agent.left, agent.goal = mode, frames, ""
        agent.pace = self.rng.uniform(*(self.manner.run if mode in ("chase", "flee") else self.manner.walk))
        agent.side = 1.0 if self.rng.random() < 0.5 else -1.0

    def _choose(self, agent: Agent) -> None:
        if agent.mode == "contact" and agent.leads:
            # Whoever came walks off, or the two would stay nose to nose under another name.
            self.enter(agent, "walk", draw_duration(self.rng, "walk", self.fps))
            return
        other = self.other(agent)
        social = other is not None and other.mode not in ("chase", "flee", "contact", "approach")
        chosen = draw_behavior(self.rng, self.behaviors, agent.label, social=social)
        frames = draw_duration(self.rng, chosen, self.fps)
        if chosen in ("chase", "contact"):
            self.enter(agent, "approach", round(3.0 * self.fps))
            agent.goal = chosen
        elif chosen == "rear" and self.rng.random() < 0.75:
            self.enter(agent, "to_wall", round(2.5 * self.fps))
        else:
            self.enter(agent, chosen, frames)

    def _begin_together(self, agent: Agent, other: Agent) -> None:
        """Start the chase or the contact that an approach has led to."""
        goal = agent.goal
        frames = draw_duration(self.rng, goal, self.fps)
        agent.leads, other.leads = True, False
        agent.touch = nearest_touch(agent, other, self.length)
        self.enter(agent, goal, frames)
        self.enter(other, "flee" if goal == "chase" else "contact", frames)
        # A fleeing animal turns the way it already faces about the middle of the floor.
        x, y = other.x - self.floor.cx, other.y - self.floor.cy
        other.side = 1.0 if x * math.sin(other.heading) - y * math.cos(other.heading) > 0 else -1.0

    def _decide(self, agent: Agent) -> None:
        settled = agent.age >= MIN_BOUT_S * self.fps
        other = self.other(agent)
        if agent.mode == "approach" and other is not None:
            ready = settled and other.age >= MIN_BOUT_S * self.fps
            if agent.goal == "chase":
                near, gap = 2.4, (other.x - agent.x, other.y - agent.y)
            else:
                near, gap = 0.3, nose_gap(agent, other, self.length)
            if ready and math.hypot(*gap) < near * self.length:
                self._begin_together(agent, other)
        if agent.mode == "to_wall" and settled:
            distance, towards = self.floor.nearest(agent.x, agent.y)
            if distance < 0.62 * self.length and abs(wrap(towards - agent.heading)) < 0.6:
                agent.left = 0
        if agent.left <= 0:
            if agent.mode == "to_wall":
                self.enter(agent, "rear", draw_duration(self.rng, "rear", self.fps))
            else:
                self._choose(agent)

    # -- one frame ----------------------------------------------------------------------------------------

    def step(self) -> None:
        """Advance by one frame."""
        if self.only is None:
            for agent in self.agents:
                self._decide(agent)
        for agent in self.agents:
            agent.age += 1
            agent.left -= 1
            self._locomote(agent)
            self._hold(agent)
        if len(self.agents) == 2:
            keep_apart(self.agents[0], self.agents[1], self.length)
        for agent in self.agents:
            keep_inside(agent, self.floor, self.length)

    def _desired(self, agent: Agent, other: Agent | None) -> tuple[float, float]:
        """Direction in which a moving animal wants to go, and its speed."""
        floor, length = self.floor, self.length
        speed, ahead = agent.pace, agent.heading
        if agent.mode == "to_wall":
            return floor.nearest(agent.x, agent.y)[1], speed
        if other is not None and agent.mode == "approach":
            gx, gy = nose_gap(agent, other, self.length)
            slow = min(1.0, 0.25 + math.hypot(gx, gy) / length) if agent.goal == "contact" else 1.0
            nx, ny = touch_point(agent, "nose", self.length)
            return math.atan2(ny + gy - agent.y, nx + gx - agent.x), speed * slow
        if other is not None and agent.mode == "chase":
            tx, ty = touch_point(other, "tail", self.length)
            gap = math.hypot(tx - agent.x, ty - agent.y) / length - 0.75
            return math.atan2(ty - agent.y, tx - agent.x), speed * min(1.3, max(0.3, 0.9 + 0.8 * gap))
        if agent.mode == "flee":
            x, y = (agent.x - floor.cx) / floor.half_w, (agent.y - floor.cy) / floor.half_h
            angle, far = math.atan2(y, x), math.hypot(x, y)
            inward = min(1.2, max(-1.2, 2.5 * (far - 0.62)))
            return angle + agent.side * (math.pi / 2 + inward), speed
        px, py = floor.push(agent.x + length * math.cos(ahead), agent.y + length * math.sin(ahead), 1.1 * length)
        if other is not None:
            dx, dy = agent.x - other.x, agent.y - other.y
            near = max(0.0, 1.6 - math.hypot(dx, dy) / length)
            px, py = px + near * dx / length, py + near * dy / length
        return math.atan2(math.sin(ahead) + 1.6 * py, math.cos(ahead) + 1.6 * px), speed

    def _locomote(self, agent: Agent) -> None:
        dt, manner, pose = self.dt, self.manner, agent.pose
        other = self.other(agent)
        agent.wander += -agent.wander * dt / 0.5 + 2.0 * math.sqrt(dt / 0.5) * float(self.rng.normal())
        target_speed = target_turn = 0.0
        if agent.mode in MOVING:
            direction, target_speed = self._desired(agent, other)
            error = wrap(direction - agent.heading)
            wander = agent.wander if agent.mode == "walk" else 0.2 * agent.wander
            target_turn = 7.0 * error + wander
            target_speed *= max(0.35, math.cos(0.6 * error))
        elif agent.mode == "rear":
            distance, towards = self.floor.nearest(agent.x, agent.y)
            if distance < 0.7 * self.length:
                target_turn = 4.0 * wrap(towards - agent.heading)
                target_speed = 0.6 if distance > 0.3 * self.length else 0.0
        elif agent.mode == "wing_extension" and other is not None:
            target_turn = 2.0 * wrap(math.atan2(other.y - agent.y, other.x - agent.x) - agent.heading)
            far = math.hypot(other.x - agent.x, other.y - agent.y) / self.length
            target_speed = 0.5 if far > 1.3 else 0.0
        elif agent.mode == "contact" and other is not None:
            self._nuzzle(agent, other)
        target_turn = min(manner.max_turn, max(-manner.max_turn, target_turn))
        agent.omega += (target_turn - agent.omega) * (1 - math.exp(-dt / 0.07))
        pose["speed"] += (target_speed - pose["speed"]) * (1 - math.exp(-dt / 0.07))
        if agent.mode in ("still", "groom"):
            # Braking ends in a full stop; a lag alone would leave the animal creeping.
            agent.omega *= math.exp(-dt / 0.08)
            pose["speed"] = pose["speed"] if pose["speed"] > 0.15 else 0.0
        agent.heading = wrap(agent.heading + agent.omega * dt)
        agent.x += pose["speed"] * self.length * math.cos(agent.heading) * dt
        agent.y += pose["speed"] * self.length * math.sin(agent.heading) * dt
        # Turning on the spot takes steps as well.
        pose["gait"] += 2 * math.pi * dt * (pose["speed"] + 0.15 * abs(agent.omega)) / manner.step_length

    def _nuzzle(self, agent: Agent, other: Agent) -> None:
        """Keep the nose of the animal that came on the place it sniffs; the other one waits."""
        if not agent.leads:
            agent.heading = wrap(agent.heading + 0.25 * math.sin(0.35 * agent.pose["phase"]) * self.dt)
            return
        tx, ty = touch_point(other, agent.touch, self.length)
        keep = 1 - math.exp(-self.dt / 0.1)
        agent.heading = wrap(agent.heading + keep * wrap(math.atan2(ty - agent.y, tx - agent.x) - agent.heading))
        back = (0.54 + 0.07 * math.sin(agent.pose["phase"])) * self.length
        agent.x += keep * (tx - back * math.cos(agent.heading) - agent.x)
        agent.y += keep * (ty - back * math.sin(agent.heading) - agent.y)

    def _hold(self, agent: Agent) -> None:
        """Move the posture towards that of the mode."""
        pose, manner, mode = agent.pose, self.manner, agent.mode
        hz = {"groom": manner.groom_hz, "wing_extension": 9.0, "rear": 1.6}.get(mode, manner.sniff_hz)
        pose["phase"] += 2 * math.pi * hz * self.dt
        sway = math.sin(pose["phase"])
        target = dict.fromkeys(CHANNELS[4:6] + CHANNELS[8:], 0.0)
        target["bend"] = min(0.8, max(-0.8, 0.22 * agent.omega))
        if mode in MOVING:
            target["bend"] += 0.10 * math.sin(pose["gait"])
        elif mode == "groom" and self.arena == "mouse":
            target.update(curl=1.0, bend=0.95 * agent.side)
        elif mode == "groom":
            target["rub"] = 1.0
        elif mode == "rear" and agent.delay > 0:
            agent.delay -= 1
        elif mode == "rear":
            target.update(rear=0.86 + 0.14 * sway, head_yaw=0.6 * math.sin(0.7 * pose["phase"]))
        elif mode == "wing_extension":
            target["wing_right" if agent.side > 0 else "wing_left"] = 1.0
        elif mode == "contact":
            target.update(head_yaw=0.35 * sway, reach=1.0)
        fast = 1 - math.exp(-self.dt / 0.09)
        for name, value in target.items():
            pose[name] += fast * (value - pose[name])
        pose.update(x=agent.x, y=agent.y, heading=agent.heading)


def move(world: World, num_frames: int, *, burn_in: int) -> tuple[np.ndarray, np.ndarray]:
    """Run a world.

    Parameters
    ----------
    world : World
        Advanced in place.
    num_frames : int
        Frames wanted, T.
    burn_in : int
        Frames before them, in which postures and tails settle; they are returned too.

    Returns
    -------
    poses_TNC : numpy.ndarray
        float64, shape (burn_in + num_frames, N, C), channels as in :data:`_sim_agents.CHANNELS`; heading unwrapped.
    states_TN : numpy.ndarray
        int64, shape (num_frames, N): position of the label among ``world.behaviors``.
    """
    if world.only is None:
        for agent in world.agents:
            agent.left += burn_in
    number = {name: i for i, name in enumerate(world.behaviors)}
    poses = np.empty((burn_in + num_frames, len(world.agents), len(CHANNELS)))
    states = np.empty((burn_in + num_frames, len(world.agents)), dtype=np.int64)
    for t in range(len(poses)):
        world.step()
        for n, agent in enumerate(world.agents):
            poses[t, n] = [agent.pose[name] for name in CHANNELS]
            states[t, n] = number[agent.label]
        # The positions after animals were kept apart and inside count, not those before.
        poses[t, :, 0] = [agent.x for agent in world.agents]
        poses[t, :, 1] = [agent.y for agent in world.agents]
    heading = CHANNELS.index("heading")
    poses[:, :, heading] = np.unwrap(poses[:, :, heading], axis=0)
    return poses, states[burn_in:]
