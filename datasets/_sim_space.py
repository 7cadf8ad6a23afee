"""The ground simulated animals move on: a round or rectangular floor with a wall around it.

Lengths are fractions of the shorter side of the picture, x to the right and y down, (0, 0) in the upper
left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def wrap(angle: float) -> float:
    """Bring an angle [rad] into [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


@dataclass(frozen=True, kw_only=True)
class Floor:
    """A floor and the wall around it.

    Parameters
    ----------
    is_round : bool
        An ellipse if true, otherwise a rectangle.
    cx, cy : float
        Its centre.
    half_w, half_h : float
        Half its width and height.
    """

    is_round: bool
    cx: float
    cy: float
    half_w: float
    half_h: float

    @property
    def half(self) -> float:
        """The shorter half axis."""
        return min(self.half_w, self.half_h)

    def walls(self, x: float, y: float) -> list[tuple[float, float, float]]:
        """Distance to each wall (negative outside) and its inward normal: (distance, nx, ny)."""
        dx, dy = x - self.cx, y - self.cy
        if self.is_round:
            # Distance along the ray from the centre: exact for a circle, near enough for an ellipse.
            r = math.hypot(dx, dy) + 1e-9
            ux, uy = dx / r, dy / r
            edge = 1.0 / math.hypot(ux / self.half_w, uy / self.half_h)
            return [(edge - r, -ux, -uy)]
        return [
            (dx + self.half_w, 1.0, 0.0),
            (self.half_w - dx, -1.0, 0.0),
            (dy + self.half_h, 0.0, 1.0),
            (self.half_h - dy, 0.0, -1.0),
        ]

    def clamp(self, x: float, y: float, margin: float) -> tuple[float, float]:
        """Move a point so that it keeps ``margin`` from every wall."""
        for distance, nx, ny in self.walls(x, y):
            if distance < margin:
                x += (margin - distance) * nx
                y += (margin - distance) * ny
        return x, y

    def push(self, x: float, y: float, reach: float) -> tuple[float, float]:
        """Vector pointing away from walls nearer than ``reach``, longer the nearer they are."""
        px = py = 0.0
        for distance, nx, ny in self.walls(x, y):
            strength = max(0.0, 1.0 - distance / reach)
            px += strength * nx
            py += strength * ny
        return px, py

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Distance to the nearest wall and the direction [rad] in which it lies."""
        distance, nx, ny = min(self.walls(x, y))
        return distance, math.atan2(-ny, -nx)
