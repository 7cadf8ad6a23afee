"""Arenas: named rectangles and polygons in the picture of one camera, and how many millimetres a pixel is.

A zone is a place to be in; a zone that is a well holds one individual, so that six wells in a picture are six
individuals. Pixel centres are at integers: a rectangle (x, y, width, height) reaches from x - 0.5 to x + width - 0.5.
What lies on a left or upper edge is inside, on a right or lower edge outside: of zones that share an edge exactly one
holds a point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from behavior_prism.schemas import ABSENT, NOT_SCORED, PRESENT, log_operation, validate_tracks

from .recording import Region

if TYPE_CHECKING:
    import xarray as xr

_MOST_CORNERS = 10_000  # every edge is compared with every other
Point = tuple[float, float]  # x, y in pixels


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A named rectangle or polygon.

    Parameters
    ----------
    name : str
        Unique in its arena.
    rectangle : (float, float, float, float), optional
        x, y, width, height [pixels].
    polygon : tuple of (float, float), optional
        Three corners or more (10000 at most), x and y [pixels]; edges must not cross. Exactly one of the two is given.
    well : bool
        Whether it holds an individual of its own.

    Raises
    ------
    ValueError
        If it has no shape or no area.

    Examples
    --------
    >>> Zone(name="left", rectangle=(0, 0, 10, 20)).contains([(9.4, 3), (9.5, 3)])
    array([ True, False])
    """

    name: str
    rectangle: tuple[float, float, float, float] | None = None
    polygon: tuple[Point, ...] | None = None
    well: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"zone: expected a name, got {self.name!r}")
        what = f"zone {self.name!r}"
        if not isinstance(self.well, bool):
            raise ValueError(f"{what}: expected well as true or false, got {self.well!r}")
        if (self.rectangle is None) == (self.polygon is None):
            raise ValueError(f"{what}: expected a rectangle or a polygon, got {'both' if self.polygon else 'neither'}")
        if self.rectangle is not None:
            x, y, width, height = _numbers(self.rectangle, 4, what, "rectangle x, y, width, height")
            if width <= 0 or height <= 0:
                raise ValueError(f"{what}: expected a width and a height above 0, got {width:g} and {height:g}")
            object.__setattr__(self, "rectangle", (x, y, width, height))
        else:
            points = tuple(_numbers(point, 2, what, "corners x, y") for point in _listed(self.polygon, what))
            if not 3 <= len(points) <= _MOST_CORNERS:
                raise ValueError(f"{what}: expected a polygon of 3 to {_MOST_CORNERS} corners, got {len(points)}")
            object.__setattr__(self, "polygon", points)
            if _crosses_itself(self.corners):
                raise ValueError(f"{what}: expected a polygon whose edges do not cross, got one that does")
            if _area(self.corners) < 1e-9:
                raise ValueError(f"{what}: expected a polygon with an area, got corners on one line")

    @property
    def corners(self) -> np.ndarray:
        """Corners in order [pixels], shape (n, 2)."""
        if self.rectangle is None:
            return np.asarray(self.polygon, dtype=np.float64)
        x, y, width, height = self.rectangle
        left, top, right, bottom = x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])

    def contains(self, points: Any) -> np.ndarray:
        """Whether points lie inside.

        Parameters
        ----------
        points : array_like
            x and y [pixels], shape (..., 2).

        Returns
        -------
        numpy.ndarray
            bool, shape (...,); false where a point is NaN.
        """
        points = np.asarray(points, dtype=np.float64)
        x, y = points[..., 0], points[..., 1]
        inside = np.zeros(x.shape, dtype=bool)
        corners = self.corners
        for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if y1 == y2:
                continue  # a level edge is met by its neighbours
            # from low to high, so that an edge shared by two zones gives the same number for both
            (xa, ya), (xb, yb) = ((x1, y1), (x2, y2)) if y1 < y2 else ((x2, y2), (x1, y1))
            inside ^= (ya <= y) & (y < yb) & (x < xa + (y - ya) * ((xb - xa) / (yb - ya)))
        return inside


@dataclass(frozen=True, kw_only=True)
class Arena:
    """The zones in the picture of one camera, and its scale.

    Parameters
    ----------
    frame_size : (int, int)
        Height and width of the picture [pixels].
    zones : tuple of Zone
        Each name once. Wells must lie within the picture.
    mm_per_pixel : float, optional
        Millimetres per pixel, if it was measured.
    camera : str
        Which camera it is, if there are several.

    Raises
    ------
    ValueError
        If a name occurs twice, a well leaves the picture or a number makes no sense.
    """

    frame_size: tuple[int, int]
    zones: tuple[Zone, ...] = ()
    mm_per_pixel: float | None = None
    camera: str = ""

    def __post_init__(self) -> None:
        height, width = _numbers(self.frame_size, 2, "arena", "frame_size height, width")
        if min(height, width) < 1 or height % 1 or width % 1:
            raise ValueError(f"arena: expected frame_size as (height, width) in pixels, got {self.frame_size!r}")
        object.__setattr__(self, "frame_size", (int(height), int(width)))
        object.__setattr__(self, "zones", tuple(self.zones))
        names = [zone.name for zone in self.zones]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"arena: expected every zone once, got {twice[0]!r} twice")
        if self.mm_per_pixel is not None and not (_is_number(self.mm_per_pixel) and self.mm_per_pixel > 0):
            raise ValueError(f"arena: expected mm_per_pixel above 0, got {self.mm_per_pixel!r}")
        if not isinstance(self.camera, str):
            raise ValueError(f"arena: expected the name of a camera, got {self.camera!r}")
        for zone in self.zones:
            low, high = zone.corners.min(axis=0), zone.corners.max(axis=0)
            if zone.well and (low.min() < -0.5 or high[0] > width - 0.5 or high[1] > height - 0.5):
                raise ValueError(f"well {zone.name!r}: expected it within the picture of {width:g}x{height:g}")

    def __getitem__(self, name: str) -> Zone:
        for zone in self.zones:
            if zone.name == name:
                return zone
        raise ValueError(f"arena: expected a zone among {[zone.name for zone in self.zones]}, got {name!r}")

    def regions(self) -> dict[str, Region]:
        """Give the wells as the regions of a recording.

        Returns
        -------
        dict of str to (int, int, int, int)
            The smallest rectangles x, y, width, height [whole pixels] that hold the wells, as
            :class:`.Recording` takes them. Empty without wells: then the whole picture counts.
        """
        found = {}
        for zone in self.zones:
            if zone.well:
                # corners lie on edges of pixels, half a pixel off their centres
                x, y = (math.floor(v + 0.5) for v in zone.corners.min(axis=0))
                right, bottom = (math.ceil(v + 0.5) for v in zone.corners.max(axis=0))
                found[zone.name] = (x, y, right - x, bottom - y)
        return found

    def calibrated(self, a: Point, b: Point, mm: float) -> Arena:
        """Set the scale from two points whose distance is known.

        Parameters
        ----------
        a, b : (float, float)
            x and y [pixels].
        mm : float
            How far they are apart [mm].

        Returns
        -------
        Arena
            The same with ``mm_per_pixel``.

        Raises
        ------
        ValueError
            If the points are one or the distance is not positive.
        """
        pixels = math.dist(_numbers(a, 2, "calibration", "a point x, y"), _numbers(b, 2, "calibration", "a point x, y"))
        if pixels == 0:
            raise ValueError(f"calibration: expected two different points, got {tuple(a)} twice")
        if not _is_number(mm) or mm <= 0:
            raise ValueError(f"calibration: expected a length above 0 mm, got {mm!r}")
        return replace(self, mm_per_pixel=mm / pixels)


def occupancy(tracks: xr.Dataset, zone: Zone, *, keypoint: str | None = None) -> xr.DataArray:
    """Say who is in a zone when.

    Parameters
    ----------
    tracks : xarray.Dataset
        Movement's layout, pixels.
    zone : Zone
        Where.
    keypoint : str, optional
        The key point that counts; by default the mean of those that are known.

    Returns
    -------
    xarray.DataArray
        int8 ``(time, individual)``: 1 inside, 0 outside, -1 not known, as labels have it.

    Raises
    ------
    ValueError
        If there is no such key point, or the tracks are not in pixels.
    """
    import xarray as xr

    position = validate_tracks(tracks)["position"]
    if tracks.attrs.get("space_unit", "pixels") != "pixels":
        raise ValueError(f"occupancy: expected tracks in pixels, got {tracks.attrs['space_unit']}")
    if keypoint is not None:
        names = [str(name) for name in position["keypoint"].values]
        if keypoint not in names:
            raise ValueError(f"occupancy: expected a key point among {names}, got {keypoint!r}")
        points = position.sel(keypoint=keypoint, drop=True)
    else:
        points = position.where((abs(position) < np.inf).all("space")).mean("keypoint")
    values = points.transpose("time", "individual", "space").values
    known = np.all(np.isfinite(values), axis=-1)
    state = np.where(known, np.where(zone.contains(values), PRESENT, ABSENT), NOT_SCORED).astype(np.int8)
    return xr.DataArray(
        state,
        dims=("time", "individual"),
        coords={"time": tracks["time"].values, "individual": tracks["individual"].values},
        name=zone.name,
        attrs={"zone": zone.name, "keypoint": keypoint or "mean of the known ones"},
    )


def to_millimetres(tracks: xr.Dataset, arena: Arena) -> xr.Dataset:
    """Give tracks in millimetres.

    Parameters
    ----------
    tracks : xarray.Dataset
        Movement's layout, pixels.
    arena : Arena
        With a scale.

    Returns
    -------
    xarray.Dataset
        A copy with ``position`` [mm]; the origin stays the middle of the upper left pixel.

    Raises
    ------
    ValueError
        If the arena has no scale or the tracks are not in pixels.
    """
    validate_tracks(tracks)
    if arena.mm_per_pixel is None:
        raise ValueError("arena: expected a scale, got none; set it with calibrated(a, b, mm)")
    if tracks.attrs.get("space_unit", "pixels") != "pixels":
        raise ValueError(f"to_millimetres: expected tracks in pixels, got {tracks.attrs['space_unit']}")
    scaled = tracks.assign(position=tracks["position"] * arena.mm_per_pixel)
    scaled.attrs = log_operation(tracks.attrs, "to_millimetres", mm_per_pixel=arena.mm_per_pixel)
    scaled.attrs["space_unit"] = "mm"
    return scaled


def _is_number(value: Any) -> bool:
    # no integer of more digits than a float holds, which JSON may have
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(-1e12 < value < 1e12)


def _numbers(values: Any, count: int, what: str, meaning: str) -> tuple[float, ...]:
    listed = _listed(values, what)
    if len(listed) != count or not all(_is_number(v) for v in listed):
        raise ValueError(f"{what}: expected {meaning} as {count} finite numbers, got {str(values)[:80]}")
    return tuple(float(v) if v % 1 else int(v) for v in listed)


def _listed(values: Any, what: str) -> Sequence[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise ValueError(f"{what}: expected a list, got {values!r}")
    return list(values)


def _area(corners: np.ndarray) -> float:
    x, y = (corners - corners[0]).T
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


def _crosses_itself(corners: np.ndarray) -> bool:
    """Whether two edges that are not neighbours cross."""
    n, ends = len(corners), np.roll(corners, -1, axis=0)

    def _side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
        along, to = b - a, p - a
        return along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]

    for i in range(n - 2):
        a, b, others = corners[i], ends[i], slice(i + 2, n if i else n - 1)
        c, d = corners[others], ends[others]
        if np.any((_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)):
            return True
    return False
