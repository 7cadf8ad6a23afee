"""How a stored picture has to be turned to be what a viewer shows.

Phones and some cameras store the picture as the sensor gave it and a display matrix beside it. Viewers and OpenCV
obey it, so tracks and labels made with them are in the turned picture, and ours must be too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Orientation(NamedTuple):
    """A turn by quarters, or a mirror image, of a picture.

    Parameters
    ----------
    transposed : bool
        Rows become columns; done first.
    left_right, up_down : bool
        Then mirrored so.

    Examples
    --------
    >>> Orientation(transposed=True).apply(np.array([[1, 2, 3], [4, 5, 6]])).tolist()
    [[1, 4], [2, 5], [3, 6]]
    """

    transposed: bool = False
    left_right: bool = False
    up_down: bool = False

    def size(self, first: int, second: int) -> tuple[int, int]:
        """Height and width after the turn, given those before it; as well the other way round.

        Parameters
        ----------
        first, second : int
            Height and width.

        Returns
        -------
        (int, int)
        """
        return (second, first) if self.transposed else (first, second)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Turn a picture.

        Parameters
        ----------
        picture : numpy.ndarray
            Shape (height, width, ...).

        Returns
        -------
        numpy.ndarray
            The same array if nothing is to be done, else a contiguous copy.
        """
        if not any(self):
            return picture
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return np.ascontiguousarray(turned[:: -1 if self.up_down else 1, :: -1 if self.left_right else 1])


def orientation_of(frame: Any) -> Orientation:
    """Read a decoded frame's display matrix.

    Parameters
    ----------
    frame : av.VideoFrame
        Any frame of the video.

    Returns
    -------
    Orientation
        The upright one if the file carries no matrix.

    Raises
    ------
    ValueError
        If the picture is turned by anything but quarters.
    """
    for k in range(len(frame.side_data)):
        side = frame.side_data[k]
        if side.type.name == "DISPLAYMATRIX":
            return from_display_matrix(np.frombuffer(bytes(side), dtype=np.int32, count=9).reshape(3, 3))
    return Orientation()


def from_display_matrix(matrix: np.ndarray) -> Orientation:
    """Turn that a display matrix stands for.

    Parameters
    ----------
    matrix : numpy.ndarray
        FFmpeg's: ``(x, y, 1) @ matrix`` is where a point is shown, shape (3, 3).

    Returns
    -------
    Orientation

    Raises
    ------
    ValueError
        If the picture is turned by anything but quarters.
    """
    (a, b), (c, d) = matrix[:2, :2].astype(np.float64)
    tolerance = 0.01 * max(abs(a), abs(b), abs(c), abs(d))
    if tolerance == 0:  # writers that leave the field empty mean no turn
        return Orientation()
    if max(abs(b), abs(c)) <= tolerance:
        return Orientation(False, bool(a < 0), bool(d < 0))
    if max(abs(a), abs(d)) <= tolerance:
        return Orientation(True, bool(c < 0), bool(b < 0))
    degrees = float(np.degrees(np.arctan2(-b, a)))
    raise ValueError(f"expected a picture turned by quarters, got one turned by {degrees:.0f} degrees")
