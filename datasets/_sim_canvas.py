"""Drawing in fractions of the picture with OpenCV, a fraction of a pixel exact.

A canvas is painted at ``scale`` pixels per pixel of the final picture, so that hairs and legs thinner than a
pixel come out faint after shrinking instead of one pixel wide.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Color = tuple[float, float, float]
_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel


def shade(color: Color, factor: float, add: float = 0.0) -> Color:
    """Multiply a colour and add to it, kept within 0..255."""
    r, g, b = (min(255.0, max(0.0, c * factor + add)) for c in color)
    return r, g, b


def mix(a: Color, b: Color, amount: float) -> Color:
    """Colour between ``a`` (amount 0) and ``b`` (amount 1)."""
    r, g, bl = (p + (q - p) * amount for p, q in zip(a, b, strict=True))
    return r, g, bl


class Canvas:
    """An RGB picture that shapes are drawn on, in coordinates of the final picture [pixels].

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, shape (scale * height, scale * width, 3); drawn on in place.
    scale : int
        Canvas pixels per final pixel.
    """

    def __init__(self, pixels: np.ndarray, scale: int) -> None:
        self.pixels = pixels
        self.scale = scale

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        # Centre of final pixel 0 is the centre of its scale x scale block.
        return np.rint((points * self.scale + (self.scale - 1) / 2) * (1 << _SHIFT)).astype(np.int32)

    def polygon(self, points: np.ndarray, color: Color) -> None:
        """Fill a polygon, points (P, 2)."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], color, cv2.LINE_AA, _SHIFT)

    def line(self, points: np.ndarray, color: Color, width: float) -> None:
        """Draw an open polyline, points (P, 2); width in final pixels, at least one canvas pixel."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.pixels, [self._fixed(points)], False, color, thickness, cv2.LINE_AA, _SHIFT)

    def ellipse(self, center: np.ndarray, axes: Sequence[float], angle: float, color: Color) -> None:
        """Fill an ellipse: half axes [final pixels] and the direction of the first one [rad]."""
        x, y = self._fixed(center)
        a, b = (max(1, round(axis * self.scale * (1 << _SHIFT))) for axis in axes)
        degrees = float(np.degrees(angle))
        cv2.ellipse(self.pixels, (int(x), int(y)), (a, b), degrees, 0, 360, color, -1, cv2.LINE_AA, _SHIFT)

    def _window(self, points: np.ndarray, margin: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The part of the picture that a shape touches, and the shape in its coordinates."""
        scaled = points * self.scale + (self.scale - 1) / 2
        height, width = self.pixels.shape[:2]
        x0, y0 = np.maximum(np.floor(scaled.min(axis=0)).astype(int) - margin, 0)
        x1, y1 = np.minimum(np.ceil(scaled.max(axis=0)).astype(int) + margin + 1, (width, height))
        if x1 <= x0 or y1 <= y0:
            return None
        local = np.rint((scaled - (x0, y0)) * (1 << _SHIFT)).astype(np.int32)
        return self.pixels[y0:y1, x0:x1], local

    def veil(self, points: np.ndarray, color: Color, alpha: float) -> None:
        """Fill a polygon translucently."""
        window = self._window(points, 2)
        if window is None:
            return
        region, local = window
        painted = region.copy()
        cv2.fillPoly(painted, [local], color, cv2.LINE_AA, _SHIFT)
        cv2.addWeighted(painted, alpha, region, 1.0 - alpha, 0.0, dst=region)

    def shadow(self, points: np.ndarray, strength: float, softness: float) -> None:
        """Darken a polygon with soft edges; softness in final pixels."""
        blur = max(1, round(softness * self.scale))
        window = self._window(points, 3 * blur)
        if window is None:
            return
        region, local = window
        mask = np.zeros(region.shape[:2], dtype=np.uint8)
        cv2.fillPoly(mask, [local], 255.0 * strength, cv2.LINE_AA, _SHIFT)
        mask = cv2.blur(cv2.blur(mask, (2 * blur + 1,) * 2), (2 * blur + 1,) * 2)
        keep = cv2.cvtColor(255 - mask, cv2.COLOR_GRAY2RGB)
        cv2.multiply(region, keep, dst=region, scale=1 / 255)
