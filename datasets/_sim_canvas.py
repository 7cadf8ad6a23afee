"""Drawing shapes with OpenCV, exact to a sixteenth of a pixel.

A canvas is painted at ``scale`` pixels per pixel of the final picture, so that hairs and legs thinner than a
pixel come out faint after shrinking instead of one pixel wide.
"""

from __future__ import annotations

import cv2
import numpy as np

Color = tuple[float, float, float]
_DEGREES = 180 / np.pi
_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel


def shade(color: Color, factor: float, add: float = 0.0) -> Color:
    """Multiply a colour and add to it, kept within 0..255."""
    r, g, b = (min(255.0, max(0.0, c * factor + add)) for c in color)
    return r, g, b


def mix(a: Color, b: Color, amount: float) -> Color:
    """Colour between ``a`` (amount 0) and ``b`` (amount 1)."""
    r, g, bl = (p + (q - p) * amount for p, q in zip(a, b, strict=True))
    return r, g, bl


def to_fixed(points: np.ndarray, scale: int) -> np.ndarray:
    """Points in pixels of the final picture to OpenCV's fixed-point coordinates on the canvas, int32."""
    # The centre of final pixel 0 is the centre of its scale x scale block.
    return np.rint((points * scale + (scale - 1) / 2) * (1 << _SHIFT)).astype(np.int32, order="C")


class Canvas:
    """An RGB picture that shapes are drawn on; points come from :func:`to_fixed`, lengths in final pixels.

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

    def polygon(self, points: np.ndarray, color: Color) -> None:
        """Fill a polygon, points (P, 2)."""
        cv2.fillPoly(self.pixels, [points], color, cv2.LINE_AA, _SHIFT)

    def line(self, points: np.ndarray, color: Color, width: float) -> None:
        """Draw an open polyline, points (P, 2), at least one canvas pixel wide."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.pixels, [points], False, color, thickness, cv2.LINE_AA, _SHIFT)

    def ellipse(self, center: np.ndarray, first: float, second: float, angle: float, color: Color) -> None:
        """Fill an ellipse: its half axes and the direction of the first one [rad]."""
        unit = self.scale * (1 << _SHIFT)
        axes = (max(1, round(first * unit)), max(1, round(second * unit)))
        at = (int(center[0]), int(center[1]))
        cv2.ellipse(self.pixels, at, axes, angle * _DEGREES, 0, 360, color, -1, cv2.LINE_AA, _SHIFT)

    def _window(self, points: np.ndarray, margin: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The part of the picture that a shape touches, and the shape in its coordinates."""
        height, width = self.pixels.shape[:2]
        x, y, wide, high = cv2.boundingRect(points)
        x0, y0 = max(0, (x >> _SHIFT) - margin), max(0, (y >> _SHIFT) - margin)
        x1 = min(width, ((x + wide) >> _SHIFT) + margin + 2)
        y1 = min(height, ((y + high) >> _SHIFT) + margin + 2)
        if x1 <= x0 or y1 <= y0:
            return None
        return self.pixels[y0:y1, x0:x1], points - np.array([x0 << _SHIFT, y0 << _SHIFT], dtype=np.int32)

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
