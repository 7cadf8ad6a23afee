"""Parts of bodies as OpenCV draws them: rows of discs, strokes, blades; sorted by depth, so any camera will do.

Points are collected and projected all at once, which is faster than part by part. Legend: T moments, K discs or points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ._sim_camera import Camera
from ._sim_canvas import Color, shade

_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel
_UNIT = 1 << _SHIFT
Draw = Callable[[np.ndarray, int], None]
Maker = Callable[[np.ndarray, np.ndarray, np.ndarray], Draw]  # xy and zoom, and xy as OpenCV takes it


def _fixed(xy: np.ndarray) -> np.ndarray:
    return np.rint(xy * _UNIT).astype(np.int32, order="C")


class Body:
    """What is drawn of the animals of one clip, and what throws shadows.

    Parameters
    ----------
    light : tuple of float
        Direction on the picture from which the light comes; unit length.
    """

    def __init__(self, light: tuple[float, float]) -> None:
        self.light = np.array(light)
        self._points: list[np.ndarray] = []
        self._makers: list[tuple[Maker, float]] = []
        self._solids: list[tuple[np.ndarray, np.ndarray]] = []  # what throws shadows: (T, K, 3), (T, K)

    def _add(self, points: np.ndarray, maker: Maker, raise_by: float) -> None:
        self._points.append(points)
        self._makers.append((maker, raise_by))

    def tube(
        self,
        points: np.ndarray,
        radii: np.ndarray,
        colors: Sequence[Color],
        *,
        ridge: Color | None = None,
        flat: bool = False,
        raise_by: float = 0.0,
    ) -> None:
        """A rounded body along ``points`` (T, K, 3) with ``radii`` (T, K) and one colour for each of the K discs.

        Lit from one side: a darker rim, its colour, a lighter back; ``ridge`` colours the back; ``flat`` has one tone.
        """
        self._solids.append((points[:, ::2], radii[:, ::2]))
        rims = list(colors) if flat else [shade(c, 0.70 if sum(c) < 300 else 0.80) for c in colors]
        tops = [shade(c if ridge is None else ridge, 1.12, 7) for c in colors]

        def make(xy: np.ndarray, zoom: np.ndarray, fixed: np.ndarray) -> Draw:
            r = radii * zoom
            at, axes = fixed.tolist(), np.maximum(r * _UNIT, 6).astype(int).tolist()
            inner = []
            if not flat:  # whole canvas pixels are fine enough for shading, and much faster
                toward = r[..., None] * self.light
                for offset, part, tones, step in ((0.10, 0.84, colors, 1), (0.22, 0.48, tops, 2)):
                    centers = np.rint((xy + offset * toward)[:, ::step]).astype(int).tolist()
                    inner.append((centers, np.rint(part * r[:, ::step]).astype(int).tolist(), tones[::step]))

            def draw(pixels: np.ndarray, t: int) -> None:
                for center, axis, color in zip(at[t], axes[t], rims, strict=True):
                    cv2.circle(pixels, center, axis, color, -1, cv2.LINE_AA, _SHIFT)
                for centers, sizes, tones in inner:
                    for center, axis, color in zip(centers[t], sizes[t], tones, strict=True):
                        cv2.circle(pixels, center, axis, color, -1)

            return draw

        self._add(points, make, raise_by)

    def strokes(
        self, points: np.ndarray, width: float, color: Color, *, shadow: bool = False, raise_by: float = 0.0
    ) -> None:
        """Lines of one width [body lengths] through ``points`` (T, lines, K, 3), sorted as one thing."""
        moments, lines, corners, _ = points.shape
        if shadow:
            self._solids.append((points[:, :, -1], np.full((moments, lines), 0.5 * width)))

        def make(xy: np.ndarray, zoom: np.ndarray, fixed: np.ndarray) -> Draw:
            paths = fixed.reshape(moments, lines, corners, 2)
            thick = np.maximum(1, np.rint(width * zoom[:, 0])).astype(int).tolist()

            def draw(pixels: np.ndarray, t: int) -> None:
                cv2.polylines(pixels, list(paths[t]), False, color, thick[t], cv2.LINE_AA, _SHIFT)

            return draw

        self._add(points.reshape(moments, -1, 3), make, raise_by)

    def taper(self, points: np.ndarray, width: tuple[float, float], color: Color) -> None:
        """A line that narrows from the first to the last of ``points`` (T, K, 3): a tail."""
        self._solids.append((points[:, ::2], np.full(points[:, ::2].shape[:2], 0.4 * width[0])))

        def make(xy: np.ndarray, zoom: np.ndarray, fixed: np.ndarray) -> Draw:
            along = np.gradient(xy, axis=1)
            along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-6
            across = np.stack([along[..., 1], -along[..., 0]], axis=-1)
            half = np.maximum(0.5 * np.linspace(*width, points.shape[1]) * zoom, 0.5)[..., None]
            ribbon = _fixed(np.concatenate([xy + half * across, (xy - half * across)[:, ::-1]], axis=1))

            def draw(pixels: np.ndarray, t: int) -> None:
                cv2.fillPoly(pixels, [ribbon[t]], color, cv2.LINE_AA, _SHIFT)

            return draw

        self._add(points, make, -0.05)

    def blade(self, outline: np.ndarray, color: Color, edge: Color, alpha: float, *, veins: np.ndarray) -> None:
        """A translucent wing with an ``outline`` (T, K, 3) and ``veins`` (T, lines, P, 3)."""
        corners, lines = outline.shape[1], veins.shape[1:3]
        self._solids.append((outline[:, ::4], np.full(outline[:, ::4].shape[:2], 0.04)))

        def make(xy: np.ndarray, zoom: np.ndarray, fixed: np.ndarray) -> Draw:
            low, high = (fixed.min(axis=1) >> _SHIFT) - 2, (fixed.max(axis=1) >> _SHIFT) + 3
            veined = zoom.mean() > 55  # canvas pixels per body length: below, veins would only grey the wing

            def draw(pixels: np.ndarray, t: int) -> None:
                height, width = pixels.shape[:2]
                x0, y0 = (max(0, int(v)) for v in low[t])
                x1, y1 = min(width, int(high[t, 0])), min(height, int(high[t, 1]))
                if x1 <= x0 or y1 <= y0:
                    return
                region = pixels[y0:y1, x0:x1]
                painted = region.copy()
                local = fixed[t] - np.array([x0 << _SHIFT, y0 << _SHIFT], dtype=np.int32)
                cv2.fillPoly(painted, [local[:corners]], color, cv2.LINE_AA, _SHIFT)
                cv2.polylines(painted, [local[:corners]], True, edge, 1, cv2.LINE_AA, _SHIFT)
                if veined:
                    cv2.polylines(
                        painted, list(local[corners:].reshape(*lines, 2)), False, edge, 1, cv2.LINE_AA, _SHIFT
                    )
                cv2.addWeighted(painted, alpha, region, 1.0 - alpha, 0.0, dst=region)

            return draw

        self._add(np.concatenate([outline, veins.reshape(len(veins), -1, 3)], axis=1), make, 0.0)

    def spots(self, points: np.ndarray, radius: float, color: Color, *, raise_by: float = 0.0) -> None:
        """Single discs at ``points`` (T, K, 3), each sorted by its own depth."""

        def make(xy: np.ndarray, zoom: np.ndarray, fixed: np.ndarray) -> Draw:
            centers = fixed[:, 0].tolist()
            axes = np.maximum(np.rint(radius * zoom[:, 0] * _UNIT), 6).astype(int).tolist()

            def draw(pixels: np.ndarray, t: int) -> None:
                cv2.circle(pixels, centers[t], axes[t], color, -1, cv2.LINE_AA, _SHIFT)

            return draw

        for k in range(points.shape[1]):
            self._add(points[:, k : k + 1], make, raise_by)

    def shadows(self, camera: Camera, shift: np.ndarray, slant: tuple[float, float], scale: float) -> list[np.ndarray]:
        """Discs that all that is solid throws on the floor: centres and radii [pixels] at each moment, int (K, 3).

        ``slant`` is how far the shadow of a thing goes for each unit of its height; ``scale`` multiplies pixels.
        """
        points = np.concatenate([p for p, _ in self._solids], axis=1)
        radii = np.concatenate([r for _, r in self._solids], axis=1)
        flat = np.stack(
            [points[..., 0] + slant[0] * points[..., 2], points[..., 1] + slant[1] * points[..., 2]], axis=-1
        )
        xy, zoom, _ = camera.project(np.concatenate([flat, np.zeros((*radii.shape, 1))], axis=-1))
        xy -= shift[:, None]
        return list(np.rint(np.concatenate([xy, (radii * zoom)[..., None]], axis=-1) * scale).astype(int))

    def painters(self, camera: Camera, shift: np.ndarray) -> list[list[Draw]]:
        """For every moment what to draw, farthest first; ``shift`` (T, 2) is where the crop begins [pixels]."""
        xy, zoom, near = camera.project(np.concatenate(self._points, axis=1))
        xy = np.clip(xy - shift[:, None], -3000, 6000)
        fixed = _fixed(xy)
        counts = np.array([points.shape[1] for points in self._points])
        starts = np.cumsum(counts) - counts
        raised = np.array([raise_by for _, raise_by in self._makers])
        depths = np.add.reduceat(near, starts, axis=1) / counts + raised
        draws = []
        for (maker, _), start, count in zip(self._makers, starts.tolist(), counts.tolist(), strict=True):
            part = slice(start, start + count)
            draws.append(maker(xy[:, part], zoom[:, part], fixed[:, part]))
        return [[draws[k] for k in row] for row in np.argsort(depths, axis=1, kind="stable").tolist()]
