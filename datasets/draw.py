"""Drawing on pictures: key points, crops, zones and text, in colours that tell individuals apart.

All functions draw on the picture they are given. Places are those of the video's own pixels (centres at integers);
``scale`` says how many pixels of the picture one of those is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from .arenas import Arena

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
_GREY: Color = (170, 170, 170)
_YELLOW: Color = (255, 214, 64)
_COLORS: tuple[Color, ...] = (  # far from each other for most eyes (Okabe and Ito, 2008), on light and on dark
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
    (240, 228, 66),
)
_FINER = 4  # bits behind the point in OpenCV's coordinates


def color_of(place: int) -> Color:
    """Colour of an individual.

    Parameters
    ----------
    place : int
        Which one; colours come again after seven.

    Returns
    -------
    (int, int, int)
        Red, green, blue.
    """
    return _COLORS[place % len(_COLORS)]


def enlarge(frame: np.ndarray, scale: float) -> np.ndarray:
    """Change the size of a frame to draw on it.

    Parameters
    ----------
    frame : numpy.ndarray
        uint8, shape (height, width, 3).
    scale : float
        By how much.

    Returns
    -------
    numpy.ndarray
        uint8, a picture of its own.
    """
    import cv2

    if scale == 1:
        return frame.copy()
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def draw_zones(picture: np.ndarray, arena: Arena, *, scale: float = 1.0) -> None:
    """Outline zones, wells thicker, with their names.

    Parameters
    ----------
    picture : numpy.ndarray
        uint8, shape (height, width, 3).
    arena : Arena
        Its zones.
    scale : float
        Pixels of the picture per pixel of the video.
    """
    for zone in arena.zones:
        _outline(picture, zone.corners, _YELLOW, scale, 2 if zone.well else 1)
        x, y = _on_picture(zone.corners.min(axis=0), scale)
        draw_text(picture, zone.name, (x + 3, y + 2), _YELLOW)


def draw_tracks(picture: np.ndarray, pose: xr.Dataset, *, scale: float = 1.0, names: bool = True) -> None:
    """Mark the key points of every individual, and name it.

    Parameters
    ----------
    picture : numpy.ndarray
        uint8, shape (height, width, 3).
    pose : xarray.Dataset
        One frame of tracks: ``tracks.isel(time=i)``. Points that are not known are left out.
    scale : float
        Pixels of the picture per pixel of the video.
    names : bool
        Whether to write the names of the individuals.

    Raises
    ------
    ValueError
        If the tracks are not in pixels.
    """
    import cv2

    if pose.attrs.get("space_unit", "pixels") != "pixels":
        raise ValueError(f"draw: expected tracks in pixels, got {pose.attrs['space_unit']}")
    points_IKS = pose["position"].transpose("individual", "keypoint", "space").values
    for n, (name, points) in enumerate(zip(pose["individual"].values, points_IKS, strict=True)):
        there = points[np.isfinite(points).all(axis=-1)]
        for point in there:
            place = _fixed(_on_picture(point, scale))
            if place is not None:
                cv2.circle(picture, place, 3 << _FINER, (0, 0, 0), -1, cv2.LINE_AA, _FINER)
                cv2.circle(picture, place, 2 << _FINER, color_of(n), -1, cv2.LINE_AA, _FINER)
        if names and len(there):
            x, y = _on_picture(there.mean(axis=0), scale)
            draw_text(picture, str(name), (x + 8, y - 20), color_of(n))


def draw_crops(picture: np.ndarray, geometry: xr.Dataset, *, scale: float = 1.0) -> None:
    """Outline crops, with a tick at the side that is up in the crop.

    Parameters
    ----------
    picture : numpy.ndarray
        uint8, shape (height, width, 3).
    geometry : xarray.Dataset
        One frame of a plan: ``plan.isel(time=i)``. Crops that are not valid are left out.
    scale : float
        Pixels of the picture per pixel of the video.
    """
    for n in np.flatnonzero(geometry["valid"].values).tolist():
        centre = geometry["centre"].transpose("individual", "space").values[n]
        side, angle = float(geometry["side"].values[n]), float(geometry["angle"].values[n])
        right = np.array([math.cos(angle), math.sin(angle)]) * side / 2
        up = np.array([math.sin(angle), -math.cos(angle)]) * side / 2
        _outline(picture, np.stack([centre + a * right + b * up for a, b in _CORNERS]), color_of(n), scale, 1)
        _outline(picture, np.stack([centre + up, centre + 1.12 * up]), color_of(n), scale, 2)


_CORNERS = ((-1, 1), (1, 1), (1, -1), (-1, -1))


def draw_text(
    picture: np.ndarray, text: str, place: tuple[float, float], color: Color = WHITE, *, size: int = 14
) -> None:
    """Write a line with a dark edge, so that it can be read on anything.

    Parameters
    ----------
    picture : numpy.ndarray
        uint8, shape (height, width, 3).
    text : str
        One line.
    place : (float, float)
        x and y of its upper left corner in the picture; moved in where it would leave the picture.
    color : (int, int, int)
        Red, green, blue.
    size : int
        Height of the letters [pixels of the picture].
    """
    from PIL import Image, ImageDraw

    font = _font(size)
    left, top, right, bottom = font.getbbox(text, stroke_width=1)
    width, height = math.ceil(right - min(left, 0)) + 1, math.ceil(bottom - min(top, 0)) + 1
    x = int(np.clip(place[0], 0, max(0, picture.shape[1] - width)))
    y = int(np.clip(place[1], 0, max(0, picture.shape[0] - height)))
    part = picture[y : y + height, x : x + width]
    if part.size:
        image = Image.fromarray(np.ascontiguousarray(part))
        ImageDraw.Draw(image).text((0, 0), text, fill=color, font=font, stroke_width=1, stroke_fill=(0, 0, 0))
        part[:] = np.asarray(image)


def describe_labels(label: xr.DataArray) -> list[str]:
    """Say in one line per individual what was seen in a frame.

    Parameters
    ----------
    label : xarray.DataArray
        One frame of dense labels, ``(individual, behavior)``: -1 not scored, 0 absent, 1 present.

    Returns
    -------
    list of str
        Such as ``"mouse1: groom"``, ``"mouse1: -"`` (none of them), ``"mouse1: not scored"``.
    """
    behaviors = [str(b) for b in label["behavior"].values]
    lines = []
    for name, row in zip(label["individual"].values, label.transpose("individual", "behavior").values, strict=True):
        seen = ", ".join(b for b, state in zip(behaviors, row, strict=True) if state == 1)
        lines.append(f"{name}: {seen or ('-' if (row == 0).any() else 'not scored')}")
    return lines


def _on_picture(point: np.ndarray, scale: float) -> tuple[float, float]:
    """Pixel centres of the video to those of the picture."""
    return float((point[0] + 0.5) * scale - 0.5), float((point[1] + 0.5) * scale - 0.5)


def _fixed(point: tuple[float, float]) -> tuple[int, int] | None:
    """As OpenCV takes places between pixels; None where they are too far away for it."""
    if max(abs(point[0]), abs(point[1])) > 30_000:
        return None
    return round(point[0] * (1 << _FINER)), round(point[1] * (1 << _FINER))


def _outline(picture: np.ndarray, corners: np.ndarray, color: Color, scale: float, thickness: int) -> None:
    import cv2

    places = [_fixed(_on_picture(corner, scale)) for corner in corners]
    if None not in places:
        line = np.asarray(places, dtype=np.int32)
        for colour, wide in (((0, 0, 0), thickness + 2), (color, thickness)):
            cv2.polylines(picture, [line], True, colour, wide, cv2.LINE_AA, _FINER)


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    """Matplotlib's own, which is always there and has the letters of most names."""
    from matplotlib import font_manager
    from PIL import ImageFont

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
