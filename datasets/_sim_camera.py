"""A camera anywhere around the arena: from above, oblique, from the side or from below.

Lengths on the floor are body lengths; x to the right and y down as seen from above, z up. Legend: ... any leading
dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera that looks at one point.

    Parameters
    ----------
    target : tuple of float
        The point that lies in the middle of the picture [body lengths].
    turn : float
        Rotation about the optical axis as seen from above [rad].
    tilt : float
        0 straight above, pi/2 from the side [rad].
    below : bool
        Under a transparent floor instead.
    distance : float
        From the target [body lengths]; the nearer, the stronger the perspective.
    scale : float
        Pixels per body length at the target.
    middle : tuple of float
        Where the target lies in the picture [pixels].
    """

    target: tuple[float, float, float]
    turn: float
    tilt: float
    below: bool
    distance: float
    scale: float
    middle: tuple[float, float]

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where points are seen.

        Parameters
        ----------
        points : numpy.ndarray
            Shape (..., 3).

        Returns
        -------
        xy : numpy.ndarray
            Shape (..., 2) [pixels].
        zoom : numpy.ndarray
            Shape (...): pixels per body length there.
        near : numpy.ndarray
            Shape (...): larger for what is nearer to the camera.
        """
        x, y, z = points[..., 0] - self.target[0], points[..., 1] - self.target[1], points[..., 2] - self.target[2]
        c, s = math.cos(self.turn), math.sin(self.turn)
        u, v = c * x - s * y, s * x + c * y
        if self.below:
            u, z = -u, -z
        c, s = math.cos(self.tilt), math.sin(self.tilt)
        down, near = c * v - s * z, s * v + c * z
        zoom = self.scale * self.distance / np.maximum(self.distance - near, 0.2 * self.distance)
        return np.stack([self.middle[0] + zoom * u, self.middle[1] + zoom * down], axis=-1), zoom, near
