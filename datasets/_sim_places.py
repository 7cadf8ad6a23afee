"""Where simulated clips are filmed: arenas, floors, coats, and painting the empty scene for any camera.

Lengths are body lengths of the animals. Floors are painted as textures seen from above and projected; walls stand on
the edge of the floor.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from ._sim_camera import Camera
from ._sim_canvas import Color, shade
from ._sim_fly_body import FlyTint
from ._sim_mouse_body import MouseCoat

_TEXELS = 192  # sides of a floor's texture
_BANK = 512


@dataclass(frozen=True, kw_only=True)
class Place:
    """A kind of arena: half its length and width, height of its walls, floors that occur in it."""

    round: bool
    half: tuple[float, float]
    aspect: tuple[float, float]
    wall: tuple[float, float]
    floors: tuple[str, ...]


PLACES: dict[str, dict[str, Place]] = {
    "mouse": {
        "open_field": Place(
            round=False,
            half=(2.2, 4.0),
            aspect=(0.9, 1.0),
            wall=(0.8, 2.0),
            floors=("plain", "tiles", "paper", "dark", "steel"),
        ),
        "round_arena": Place(
            round=True,
            half=(1.8, 3.6),
            aspect=(1.0, 1.0),
            wall=(0.6, 1.8),
            floors=("plain", "paper", "dark", "sand", "bedding"),
        ),
        "home_cage": Place(
            round=False, half=(1.7, 2.4), aspect=(0.6, 0.75), wall=(0.8, 1.4), floors=("bedding", "sand")
        ),
        "glass_box": Place(
            round=False, half=(1.3, 2.2), aspect=(0.7, 1.0), wall=(0.8, 1.6), floors=("plain", "steel", "mesh", "paper")
        ),
        "corridor": Place(
            round=False,
            half=(3.0, 4.5),
            aspect=(0.25, 0.35),
            wall=(0.5, 1.0),
            floors=("plain", "dark", "mesh", "steel"),
        ),
        "platform": Place(
            round=True, half=(1.6, 3.0), aspect=(1.0, 1.0), wall=(0.0, 0.0), floors=("plain", "paper", "tiles")
        ),
    },
    "fly": {
        "well": Place(
            round=True, half=(1.6, 3.0), aspect=(1.0, 1.0), wall=(0.3, 0.8), floors=("plain", "agar", "paper", "glass")
        ),
        "petri_dish": Place(
            round=True, half=(2.2, 4.5), aspect=(1.0, 1.0), wall=(0.3, 0.7), floors=("agar", "glass", "paper", "food")
        ),
        "chamber": Place(
            round=False,
            half=(2.0, 4.0),
            aspect=(0.8, 1.0),
            wall=(0.3, 0.8),
            floors=("plain", "paper", "glass", "mesh", "dark"),
        ),
        "bowl": Place(
            round=True, half=(2.6, 4.5), aspect=(1.0, 1.0), wall=(0.1, 0.3), floors=("glass", "dark", "plain")
        ),
        "tube": Place(
            round=False, half=(2.8, 4.5), aspect=(0.22, 0.32), wall=(0.4, 0.7), floors=("glass", "plain", "dark")
        ),
    },
}

_FLOOR_COLORS: dict[str, tuple[Color, ...]] = {
    "plain": ((205, 205, 203), (150, 152, 150), (180, 188, 196), (110, 114, 120), (196, 190, 176)),
    "paper": ((238, 236, 230), (226, 222, 210)),
    "dark": ((26, 26, 28), (44, 46, 52), (60, 54, 50)),
    "steel": ((138, 142, 146), (166, 168, 170), (98, 102, 106)),
    "tiles": ((206, 204, 198), (142, 146, 150), (70, 74, 80)),
    "mesh": ((176, 176, 172), (92, 94, 98), (28, 28, 30)),
    "sand": ((196, 178, 146), (150, 150, 148)),
    "bedding": ((202, 176, 132), (214, 200, 170), (168, 146, 112), (228, 222, 208)),
    "agar": ((214, 196, 150), (226, 214, 184), (188, 160, 110)),
    "glass": ((236, 238, 238), (206, 210, 214), (18, 18, 19)),
    "food": ((200, 160, 96), (176, 140, 96)),
}

MOUSE_COATS: dict[str, MouseCoat] = {
    "black": MouseCoat(name="black", trunk=(34, 31, 31), head=(34, 31, 31), ridge=(40, 37, 37), belly=(36, 33, 33)),
    "white": MouseCoat(
        name="white", trunk=(224, 218, 210), head=(224, 218, 210), ridge=(232, 228, 222), belly=(226, 220, 214)
    ),
    "brown": MouseCoat(name="brown", trunk=(112, 78, 50), head=(112, 78, 50), ridge=(96, 66, 44), belly=(140, 108, 80)),
    "agouti": MouseCoat(
        name="agouti", trunk=(134, 112, 82), head=(128, 106, 78), ridge=(92, 76, 56), belly=(196, 182, 156)
    ),
    "grey": MouseCoat(
        name="grey", trunk=(118, 116, 118), head=(112, 110, 112), ridge=(106, 104, 108), belly=(138, 136, 136)
    ),
    "hooded": MouseCoat(
        name="hooded", trunk=(216, 210, 200), head=(44, 40, 40), ridge=(72, 66, 64), belly=(222, 216, 208)
    ),
}
_RED: Color = (156, 42, 34)
FLY_TINTS: dict[str, FlyTint] = {
    "brown": FlyTint(name="brown", trunk=(146, 98, 56), band=(62, 42, 30), eye=_RED, wing=(214, 214, 208)),
    "yellow": FlyTint(name="yellow", trunk=(196, 152, 82), band=(98, 70, 42), eye=_RED, wing=(226, 222, 206)),
    "black": FlyTint(name="black", trunk=(56, 46, 42), band=(24, 20, 20), eye=(110, 32, 28), wing=(168, 168, 164)),
    "pale": FlyTint(
        name="pale", trunk=(222, 212, 196), band=(150, 138, 122), eye=(150, 110, 104), wing=(236, 234, 230)
    ),
}


def luma(color: Color) -> float:
    """How bright a colour looks, 0 to 255."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


@functools.lru_cache(maxsize=1)
def noise_bank() -> np.ndarray:
    """White noise of unit variance that clips cut pieces from, float32; the same in every process."""
    return np.random.Generator(np.random.PCG64(20)).standard_normal((_BANK, _BANK), dtype=np.float32)


def _piece(rng: np.random.Generator, cells: int, size: int = _TEXELS) -> np.ndarray:
    """Smooth noise with ``cells`` blobs along each side."""
    x, y = rng.integers(0, _BANK - cells, 2)
    interpolation = cv2.INTER_LINEAR if cells > 40 else cv2.INTER_CUBIC
    return cv2.resize(noise_bank()[y : y + cells, x : x + cells], (size, size), interpolation=interpolation)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """One arena as it was drawn: shape, heights, colours and the texture of its floor."""

    kind: str
    round: bool
    half: tuple[float, float]
    wall: float
    wall_color: Color
    outside: Color
    reach: float  # the texture covers -reach to reach
    texture: np.ndarray  # uint8 RGB, square
    color: Color
    glassy: bool


def pick_color(rng: np.random.Generator, floor: str, coats: list[Color]) -> Color:
    """A colour of that floor on which the animals can be seen."""
    colors = [shade(c, rng.uniform(0.92, 1.06)) for c in _FLOOR_COLORS[floor]]
    gaps = [min(abs(luma(c) - luma(coat)) for coat in coats) for c in colors]
    clear = [c for c, gap in zip(colors, gaps, strict=True) if gap > 52]
    return clear[int(rng.integers(len(clear)))] if clear else colors[int(np.argmax(gaps))]


def _lines(added: np.ndarray, rng: np.random.Generator, step: int, thick: int, depth: float) -> None:
    first_x, first_y = rng.integers(0, step, 2)
    for k in range(thick):
        added[(first_y + k) % step :: step] += depth
        added[:, (first_x + k) % step :: step] += depth


def _texture(rng: np.random.Generator, floor: str, color: Color, reach: float) -> np.ndarray:
    """A floor seen from above, uint8 RGB, square."""
    per_length = _TEXELS / (2 * reach)
    added = rng.uniform(2, 6) * _piece(rng, 6)
    strength = 0.5 + 0.5 * min(1.0, luma(color) / 120)
    if floor in ("bedding", "sand"):
        grain = int(np.clip(2 * reach / (0.13 if floor == "bedding" else 0.06), 24, 250))
        added += strength * (rng.uniform(9, 20) * _piece(rng, grain) + 8 * _piece(rng, max(12, grain // 3)))
    elif floor == "tiles":
        _lines(
            added,
            rng,
            max(6, round(per_length * rng.uniform(0.5, 1.2))),
            max(1, round(0.04 * per_length)),
            rng.choice([-1, 1]) * rng.uniform(14, 34),
        )
    elif floor == "mesh":
        _lines(
            added,
            rng,
            max(3, round(per_length * rng.uniform(0.14, 0.30))),
            max(1, round(0.03 * per_length)),
            rng.choice([-1, 1]) * rng.uniform(14, 40),
        )
    elif floor == "steel":
        streaks = cv2.resize(noise_bank()[: int(rng.integers(40, 120)), :4], (_TEXELS, _TEXELS))
        added += 5 * (streaks if rng.random() < 0.5 else streaks.T)
    elif floor in ("agar", "food"):
        added += rng.uniform(3, 8) * _piece(rng, 14)
    if rng.random() < 0.35:  # light falls from one side
        slope = np.linspace(-1, 1, _TEXELS, dtype=np.float32) * rng.uniform(8, 24)
        added += slope if rng.random() < 0.5 else slope[:, None]
    planes = [cv2.convertScaleAbs(np.maximum(added + np.float32(c), 0)) for c in color]
    texture = cv2.merge(planes)
    for _ in range(int(rng.integers(0, 14))):  # droppings, crumbs, scratches
        at = tuple(int(v) for v in rng.integers(16, _TEXELS - 16, 2))
        axes = (max(1, round(per_length * rng.uniform(0.02, 0.05))), max(1, round(per_length * 0.018)))
        cv2.ellipse(texture, at, axes, rng.uniform(0, 180), 0, 360, shade(color, rng.choice([0.6, 0.8, 1.25])), -1)
    return texture


def draw_ground(
    rng: np.random.Generator, species: str, kind: str, floor: str, coats: list[Color], at_least: tuple[float, float]
) -> Ground:
    """Draw the size, colours and floor of an arena that has room for ``at_least`` half its length and width."""
    place = PLACES[species][kind]
    half = rng.uniform(*place.half)
    long, short = max(half, at_least[0]), max(half * rng.uniform(*place.aspect), at_least[1])
    if place.round:
        long = short = max(half, *at_least)
    color = pick_color(rng, floor, coats)
    dark = luma(color) < 80
    wall = shade(color, rng.uniform(1.3, 2.2) if dark else rng.uniform(0.5, 0.92), 10 if dark else 0)
    outside = (
        shade(wall, rng.uniform(0.3, 0.9)) if rng.random() < 0.7 else shade((200, 200, 196), rng.uniform(0.15, 1.1))
    )
    if kind == "platform":
        outside = (24.0, 24.0, 26.0) if not dark else (150.0, 150.0, 150.0)
    reach = 1.05 * max(long, short)
    return Ground(
        kind=kind,
        round=place.round,
        half=(long, short),
        wall=rng.uniform(*place.wall),
        wall_color=wall,
        outside=outside,
        reach=reach,
        texture=_texture(rng, floor, color, reach),
        color=color,
        glassy=kind in ("glass_box", "petri_dish", "tube"),
    )


def add_nest(rng: np.random.Generator, ground: Ground, x: float, y: float) -> None:
    """Shred a nest onto the floor about a point."""
    per_length = _TEXELS / (2 * ground.reach)
    center = (np.array([x, y]) + ground.reach) * per_length
    color = (236.0, 232.0, 222.0) if luma(ground.color) < 190 else (120.0, 96.0, 66.0)
    for _ in range(46):
        at = center + rng.normal(0, 0.30 * per_length, 2)
        angle = rng.uniform(0, math.pi)
        step = per_length * rng.uniform(0.1, 0.28) * np.array([math.cos(angle), math.sin(angle)])
        ends = [tuple(int(v) for v in np.rint(at + sign * step)) for sign in (-1, 1)]
        cv2.line(
            ground.texture,
            ends[0],
            ends[1],
            shade(color, rng.uniform(0.65, 1.05)),
            max(1, round(0.05 * per_length)),
            cv2.LINE_AA,
        )


def _outline(ground: Ground, grow: float = 0.0, z: float = 0.0) -> np.ndarray:
    long, short = ground.half[0] + grow, ground.half[1] + grow
    if ground.round:
        turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        return np.stack([long * np.cos(turn), short * np.sin(turn), np.full(48, z)], axis=-1)
    corners = np.array([[-long, -short], [long, -short], [long, short], [-long, short]])
    return np.concatenate([corners, np.full((4, 1), z)], axis=1)


def _seen(camera: Camera, points: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(camera.project(points)[0], -4000, 8000) * 16).astype(np.int32)


def _fill(pixels: np.ndarray, points: np.ndarray, color: Color) -> None:
    cv2.fillPoly(pixels, [points], color, cv2.LINE_AA, 4)


def paint_ground(ground: Ground, camera: Camera, height: int, width: int, clutter: int) -> np.ndarray:
    """Paint the empty scene.

    Parameters
    ----------
    ground : Ground
        What is there.
    camera : Camera
        In canvas pixels.
    height, width : int
        Of the canvas [pixels].
    clutter : int
        Seed of what lies outside the arena.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (height, width, 3).
    """
    pixels = np.empty((height, width, 3), np.uint8)
    cv2.rectangle(pixels, (0, 0), (width, height), ground.outside, -1)
    rng = np.random.Generator(np.random.PCG64(clutter))
    if ground.kind == "well":  # its neighbours on the plate
        pitch = 2.35 * ground.half[0]
        for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)):
            _fill(
                pixels, _seen(camera, _outline(ground) + np.array([i * pitch, j * pitch, 0])), shade(ground.color, 0.85)
            )
    elif ground.kind != "platform":
        for _ in range(int(rng.integers(0, 5))):
            a, b = (tuple(int(v) for v in rng.integers(0, (width, height))) for _ in range(2))
            cv2.line(pixels, a, b, shade(ground.outside, rng.choice([0.5, 1.5])), int(rng.integers(1, 7)), cv2.LINE_AA)
    if ground.wall > 0.02 and not camera.below:
        low, high = _outline(ground), _outline(ground, 0.03, ground.wall)
        if ground.round:
            both = np.concatenate([_seen(camera, low), _seen(camera, high)])
            _fill(pixels, cv2.convexHull(both)[:, 0], ground.wall_color)
            cv2.polylines(pixels, [_seen(camera, high)], True, shade(ground.wall_color, 1.2, 10), 1, cv2.LINE_AA, 4)
        else:
            for k in range(4):
                quad = np.stack([low[k], low[(k + 1) % 4], high[(k + 1) % 4], high[k]])
                _fill(pixels, _seen(camera, quad), shade(ground.wall_color, (0.85, 1.0, 1.1, 0.95)[k]))
                cv2.polylines(pixels, [_seen(camera, quad)], True, shade(ground.wall_color, 0.7), 1, cv2.LINE_AA, 4)
    r = ground.reach
    corners = camera.project(np.array([[-r, -r, 0], [r, -r, 0], [r, r, 0], [-r, r, 0]], float))[0].astype(np.float32)
    texels = np.array([[0, 0], [_TEXELS, 0], [_TEXELS, _TEXELS], [0, _TEXELS]], np.float32)
    warp = cv2.getPerspectiveTransform(texels, corners)
    floor = cv2.warpPerspective(
        ground.texture, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    mask = np.zeros((height, width), np.uint8)
    edge = _seen(camera, _outline(ground))
    cv2.fillPoly(mask, [edge], 255, cv2.LINE_8, 4)
    cv2.copyTo(floor, mask, pixels)
    cv2.polylines(
        pixels,
        [edge],
        True,
        shade(ground.color, 1.25 if ground.glassy else 0.7),
        2 if ground.glassy else 1,
        cv2.LINE_AA,
        4,
    )
    if ground.glassy and not camera.below:
        cv2.polylines(
            pixels,
            [_seen(camera, _outline(ground, 0.12, ground.wall))],
            True,
            shade(ground.color, 1.4, 20),
            1,
            cv2.LINE_AA,
            4,
        )
    return pixels
