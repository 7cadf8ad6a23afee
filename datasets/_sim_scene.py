"""How a recording looks whatever the animals do: floor, wall, light, colours, camera.

Everything is drawn from one generator when a recording begins; the background is painted once.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ._sim_canvas import Color, shade
from ._sim_space import Floor

_MOUSE_COATS: dict[str, Color] = {
    "black": (30, 28, 28),
    "brown": (96, 74, 54),
    "grey": (112, 108, 106),
    "white": (226, 220, 212),
}
_FLY_COATS: dict[str, Color] = {"brown": (120, 82, 48), "dark": (62, 48, 40), "pale": (205, 190, 165)}
_MOUSE_FLOORS: tuple[Color, ...] = (
    (205, 205, 205),
    (150, 150, 148),
    (196, 172, 132),
    (222, 214, 196),
    (52, 52, 56),
    (88, 92, 100),
)
_FLY_FLOORS: tuple[Color, ...] = ((225, 225, 222), (198, 190, 168), (216, 200, 164), (30, 30, 32), (44, 44, 48))
_MOUSE_TEXTURES = ("plain", "bedding", "gradient", "tiles")
_FLY_TEXTURES = ("plain", "gradient", "tiles", "agar")


def _luma(color: Color) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


@dataclass(frozen=True, kw_only=True)
class Look:
    """The appearance of one recording.

    Parameters
    ----------
    texture : str
        What covers the floor.
    floor_color, wall_color, outside_color : tuple of float
        RGB.
    coats : tuple of tuple of float
        RGB of each animal.
    color_names : tuple of str
        The same in words.
    is_grey : bool
        A monochrome camera, as under infrared light.
    shadow : float
        How dark shadows are, 0 to 1.
    shadow_direction : tuple of float
        Unit vector in which they fall.
    vignette, slope : float
        How much darker the corners and the far side are, 0 to 1.
    gain : float
        Brightness of the whole picture.
    noise : float
        Standard deviation of the camera's noise [grey levels].
    blur : float
        Standard deviation of the camera's blur [fraction of the shorter side].
    """

    texture: str
    floor_color: Color
    wall_color: Color
    outside_color: Color
    coats: tuple[Color, ...]
    color_names: tuple[str, ...]
    is_grey: bool
    shadow: float
    shadow_direction: tuple[float, float]
    vignette: float
    slope: float
    gain: float
    noise: float
    blur: float


def draw_floor(rng: np.random.Generator, height: int, width: int) -> Floor:
    """Draw the shape and size of the floor for a picture of height x width pixels."""
    side = min(height, width)
    is_round = bool(rng.random() < 0.4)
    zoom = rng.uniform(0.43, 0.475)
    across, down = width / side, height / side
    half_w, half_h = (0.5 - (0.5 - zoom) / extent for extent in (across, down))
    # A round floor stays round in a wide picture, a rectangular one fills it.
    half_w, half_h = (zoom, zoom) if is_round else (half_w * across, half_h * down)
    return Floor(
        is_round=is_round,
        cx=across / 2 + rng.uniform(-0.015, 0.015),
        cy=down / 2 + rng.uniform(-0.015, 0.015),
        half_w=half_w,
        half_h=half_h,
    )


def draw_look(rng: np.random.Generator, arena: str, num_animals: int) -> Look:
    """Draw the appearance of a recording; animals always stand out from the floor."""
    coats = _MOUSE_COATS if arena == "mouse" else _FLY_COATS
    floors = _MOUSE_FLOORS if arena == "mouse" else _FLY_FLOORS
    textures = _MOUSE_TEXTURES if arena == "mouse" else _FLY_TEXTURES
    floor_color = shade(floors[int(rng.integers(len(floors)))], rng.uniform(0.92, 1.06))
    visible = [name for name, coat in coats.items() if abs(_luma(coat) - _luma(floor_color)) > 62]
    names = [visible[int(rng.integers(len(visible)))]] * num_animals
    if num_animals == 2 and rng.random() < 0.3:
        names[1] = visible[int(rng.integers(len(visible)))]
    angle = rng.uniform(-np.pi, np.pi)
    dark = _luma(floor_color) < 70
    wall = shade(floor_color, rng.uniform(1.3, 1.8) if dark else rng.uniform(0.55, 0.85), 12 if dark else 0)
    return Look(
        texture=textures[int(rng.integers(len(textures)))],
        floor_color=floor_color,
        wall_color=wall,
        outside_color=shade(wall, rng.uniform(0.45, 0.8)),
        coats=tuple(shade(coats[name], rng.uniform(0.88, 1.12)) for name in names),
        color_names=tuple(names),
        is_grey=bool(rng.random() < 0.5),
        shadow=rng.uniform(0.2, 0.5),
        shadow_direction=(float(np.cos(angle)), float(np.sin(angle))),
        vignette=rng.uniform(0.0, 0.3),
        slope=rng.uniform(0.0, 0.2),
        gain=rng.uniform(0.88, 1.1),
        noise=rng.uniform(1.0, 5.0),
        blur=rng.uniform(0.0, 0.0045),
    )


def _clouds(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth noise of unit variance with about ``cells`` blobs along each side, float32."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _texture(rng: np.random.Generator, texture: str, height: int, width: int) -> np.ndarray:
    """What the floor adds to its colour [grey levels], float32."""
    added = 2.5 * _clouds(rng, height, width, 6)
    if texture == "bedding":
        added += 9 * _clouds(rng, height, width, 34) + 11 * _clouds(rng, height, width, 72)
        added += 5 * rng.standard_normal((height, width), dtype=np.float32)
    elif texture == "agar":
        added += 5 * _clouds(rng, height, width, 12)
    elif texture == "gradient":
        angle = rng.uniform(0, 2 * np.pi)
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        added += (18 * (x * np.cos(angle) + y * np.sin(angle))).astype(np.float32)
    elif texture == "tiles":
        step = round(min(height, width) * rng.uniform(0.11, 0.2))
        depth = rng.uniform(10, 24) * (1 if rng.random() < 0.5 else -1)
        thick = max(1, min(height, width) // 110)
        first_x, first_y = rng.integers(0, step, 2)
        for k in range(thick):
            added[(first_y + k) % step :: step] -= depth
            added[:, (first_x + k) % step :: step] -= depth
    return added


def paint_background(rng: np.random.Generator, look: Look, floor: Floor, height: int, width: int) -> np.ndarray:
    """Paint the empty arena.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, 3).
    """
    side = min(height, width)
    center = (round(floor.cx * side), round(floor.cy * side))

    def region(grow: float) -> np.ndarray:
        mask = np.zeros((height, width), dtype=np.uint8)
        axes = (round((floor.half_w + grow) * side), round((floor.half_h + grow) * side))
        if floor.is_round:
            cv2.ellipse(mask, center, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        else:
            corner = (center[0] - axes[0], center[1] - axes[1])
            cv2.rectangle(mask, corner, (center[0] + axes[0], center[1] + axes[1]), 255, -1)
        return mask.astype(np.float32) * np.float32(1 / 255)

    on_wall, on_floor = region(rng.uniform(0.02, 0.04)), region(0.0)
    added = _texture(rng, look.texture, height, width)
    # The floor is darker along the wall, where less light comes in.
    light = 0.72 + 0.28 * cv2.blur(on_floor, (2 * (side // 24) + 1,) * 2)
    planes = []
    for ground, wall, outside in zip(look.floor_color, look.wall_color, look.outside_color, strict=True):
        plane = np.float32(outside) + on_wall * np.float32(wall - outside)
        plane += on_floor * ((np.float32(ground) + added) * light - plane)
        planes.append(cv2.convertScaleAbs(np.maximum(plane, 0)))
    painted = np.ascontiguousarray(cv2.merge(planes))
    for _ in range(int(rng.integers(0, 9))):  # droppings, crumbs, scratches
        x, y = rng.uniform(-0.85, 0.85, 2) * (floor.half_w, floor.half_h) * side * 0.8
        color = shade(look.floor_color, rng.uniform(0.55, 0.8))
        spot = (round(center[0] + x), round(center[1] + y))
        axes = (max(1, round(0.008 * side)), max(1, round(0.004 * side)))
        cv2.ellipse(painted, spot, axes, rng.uniform(0, 180), 0, 360, color, -1, cv2.LINE_AA)
    return painted


def light_map(look: Look, height: int, width: int) -> np.ndarray:
    """How much light reaches each pixel; 200 leaves it as it is.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, 3).
    """
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    along = x * look.shadow_direction[0] + y * look.shadow_direction[1]
    light = look.gain * (1 - 0.5 * look.vignette * (x * x + y * y)) * (1 - 0.5 * look.slope * along)
    return cv2.cvtColor(np.clip(200 * light, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
