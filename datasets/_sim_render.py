"""From shapes to frames: a painter that can draw any frame of a recording on its own.

All randomness is drawn when the painter is made, so a frame comes out the same however often and in
whatever order it is asked for.
"""

from __future__ import annotations

import cv2
import numpy as np

from ._sim_canvas import Canvas, to_fixed
from ._sim_fly import draw_fly, fly_geometry, fly_keypoints
from ._sim_mouse import draw_mouse, draw_tail, mouse_geometry, mouse_keypoints
from ._sim_scene import Look, light_map, paint_background
from ._sim_space import Floor

_SMALL = 224  # pictures smaller than this are painted at twice their size and shrunk
_SPARE = 48  # the noise tile is this much larger than the picture, so that it can be cut at many places


class Painter:
    """Draws the frames of one recording.

    Parameters
    ----------
    arena : {"mouse", "fly"}
        Which animals.
    poses_TNC : numpy.ndarray
        Poses of burn-in and recording, shape (burn_in + T, N, C).
    burn_in : int
        Frames to leave out in front.
    length : float
        Body length [fraction of the shorter side].
    floor : Floor
        Shape of the floor.
    look : Look
        Appearance.
    size : tuple of int
        Height and width [pixels].
    rng : numpy.random.Generator
        For floor texture and camera noise.
    """

    def __init__(
        self,
        arena: str,
        poses_TNC: np.ndarray,
        *,
        burn_in: int,
        length: float,
        floor: Floor,
        look: Look,
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> None:
        height, width = size
        side = min(size)
        if arena == "mouse":
            shape = mouse_geometry(poses_TNC, length=length, floor=floor, side=side)
        else:
            shape = fly_geometry(poses_TNC, length=length, side=side)
        self.arena, self.look, self.size = arena, look, (height, width)
        shape = {name: values[burn_in:] for name, values in shape.items()}
        self.keypoints = mouse_keypoints(shape) if arena == "mouse" else fly_keypoints(shape)  # (T, N, K, 2)
        self.num_frames, self.num_animals = self.keypoints.shape[:2]
        self.length = length * side
        self.scale = 2 if side < _SMALL else 1
        high = shape.pop("shadow_height")
        self.softness = 0.25 * high.mean(axis=-1)
        shape["shadow"] = shape["shadow"] + high[..., None] * np.array(look.shadow_direction)
        # All points at once: one by one this would take as long as the drawing.
        self.shape = {
            name: to_fixed(values, self.scale) if values.ndim > 2 else values for name, values in shape.items()
        }
        self.background = paint_background(rng, look, floor, height * self.scale, width * self.scale)
        self.light = light_map(look, height, width)
        tile = rng.standard_normal((height + _SPARE, width + _SPARE), dtype=np.float32) * look.noise
        self.noise = cv2.cvtColor(np.rint(tile).astype(np.float32), cv2.COLOR_GRAY2RGB).astype(np.int16)
        self.offsets = rng.integers(0, _SPARE + 1, (self.num_frames, 2))

    def paint(self, t: int) -> np.ndarray:
        """Frame ``t``: uint8 RGB, shape (height, width, 3)."""
        canvas = Canvas(self.background.copy(), self.scale)
        for n in range(self.num_animals):
            canvas.shadow(self.shape["shadow"][t, n], self.look.shadow, float(self.softness[t, n]))
        coats, shape, length = self.look.coats, self.shape, self.length
        if self.arena == "mouse":
            for n in range(self.num_animals):
                draw_tail(canvas, shape, t, n, coat=coats[n])
        draw = draw_mouse if self.arena == "mouse" else draw_fly
        for n in range(self.num_animals):
            draw(canvas, shape, t, n, coat=coats[n], length=length)
        picture = canvas.pixels
        height, width = self.size
        if self.scale != 1:
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        blur = self.look.blur * min(self.size)
        if blur > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), blur)
        if self.look.is_grey:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        picture = cv2.multiply(picture, self.light, scale=1 / 200)
        down, right = (int(v) for v in self.offsets[t])
        return cv2.add(picture, self.noise[down : down + height, right : right + width], dtype=cv2.CV_8U)
