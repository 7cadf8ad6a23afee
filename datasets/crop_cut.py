"""Cutting planned crops out of frames: one decode serves all individuals. :mod:`.crops` says where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .crops import check_out_size

if TYPE_CHECKING:
    import xarray as xr

    from .recording import Recording

_GREY = 128
_LARGEST = 16_384  # side of the finest picture a crop is sampled to; OpenCV ends at twice that


def crop_frame(
    frame: np.ndarray,
    geometry: xr.Dataset,
    individuals: str | Sequence[str] | None = None,
    *,
    out_size: int | None = None,
) -> dict[str, np.ndarray]:
    """Cut the crops of one frame.

    Parameters
    ----------
    frame : numpy.ndarray
        uint8, shape (height, width, channels).
    geometry : xarray.Dataset
        One frame of a plan: ``plan.isel(time=i)``.
    individuals : str or sequence of str, optional
        Which ones; all by default.
    out_size : int, optional
        Side of the crops [pixels]; by default as planned.

    Returns
    -------
    dict of str to numpy.ndarray
        uint8, shape (out_size, out_size, channels), of those that are valid in this frame.

    Raises
    ------
    ValueError
        If the frame has not the planned size, or an individual was not planned.
    """
    if "time" in geometry.dims:
        raise ValueError("crops: expected the geometry of one frame, plan.isel(time=i), got a whole plan")
    names = [str(name) for name in geometry["individual"].values]
    chosen = names if individuals is None else [individuals] if isinstance(individuals, str) else list(individuals)
    for name in chosen:
        if name not in names:
            raise ValueError(f"crops: expected individuals among {names}, got {name!r}")
    _check_size((frame.shape[0], frame.shape[1]), geometry, "crops")
    cut = _Cutter(geometry, out_size)
    return {name: crop for name in names if name in chosen and (crop := cut(frame, (names.index(name),))) is not None}


def iter_crops(
    recording: Recording, plan: xr.Dataset, indices: Iterable[int] | None = None, *, out_size: int | None = None
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Read frames and cut everyone's crops; each frame is decoded once.

    Parameters
    ----------
    recording : Recording
        What to read.
    plan : xarray.Dataset
        From :func:`.plan_crops`, for all frames of the video.
    indices : iterable of int, optional
        Frames of the video; by default those that the recording means. Quick when they increase, right in any order.
    out_size : int, optional
        Side of the crops [pixels]; by default as planned.

    Yields
    ------
    index : int
        Frame of the video.
    crops : dict of str to numpy.ndarray
        uint8, shape (out_size, out_size, channels), of those that are valid in this frame.

    Raises
    ------
    ValueError
        If the plan is not one for this video.
    """
    video = recording.video
    if plan.sizes["time"] != len(video):
        raise ValueError(
            f"{video.path}: expected crops planned for {len(video)} frames, got {plan.sizes['time']}; "
            "load the tracks with times=video.times"
        )
    _check_size(video.shape[1:3], plan, str(video.path))
    frames = [int(i) for i in (range(recording.start_frame, recording.stop_frame) if indices is None else indices)]
    names, cut = [str(name) for name in plan["individual"].values], _Cutter(plan, out_size)

    def _all() -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        for i, frame in zip(frames, video.iter_frames(frames), strict=True):
            found = {name: cut(frame, (i, n)) for n, name in enumerate(names)}
            yield i % len(video), {name: crop for name, crop in found.items() if crop is not None}

    return _all()  # what does not fit is said above, at once


def cut_square(
    frame: np.ndarray, centre: tuple[float, float], side: float, angle: float, *, out_size: int, border: str = "black"
) -> np.ndarray:
    """Sample a square of a picture.

    Parameters
    ----------
    frame : numpy.ndarray
        uint8, shape (height, width, channels).
    centre : (float, float)
        x and y [pixels].
    side : float
        Of the square [pixels].
    angle : float
        By how much the square is turned, clockwise [rad].
    out_size : int
        Side of what comes out [pixels].
    border : {"black", "grey", "edge"}
        As in :class:`.CropSpec`.

    Returns
    -------
    numpy.ndarray
        uint8, shape (out_size, out_size, channels). A square that is made smaller is sampled at least as finely as the
        picture and then averaged by areas, so that nothing flickers.
    """
    import cv2

    finer = max(1, min(math.ceil(side / out_size - 1e-9), _LARGEST // out_size))
    n = out_size * finer
    across, down = math.cos(angle) * side / n, math.sin(angle) * side / n
    middle = (n - 1) / 2
    to_frame = np.array(
        [
            [across, -down, centre[0] - (across - down) * middle],
            [down, across, centre[1] - (down + across) * middle],
        ]
    )
    value = _GREY if border == "grey" else 0
    crop = cv2.warpAffine(
        frame,
        to_frame,
        (n, n),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE if border == "edge" else cv2.BORDER_CONSTANT,
        borderValue=(value, value, value),
    )
    if finer > 1:
        crop = cv2.resize(crop, (out_size, out_size), interpolation=cv2.INTER_AREA)
    return crop.reshape(out_size, out_size, *frame.shape[2:])  # OpenCV drops the channel of grey frames


class _Cutter:
    """The numbers of a plan, or of one frame of it, out of xarray, which would take longer than the cut."""

    def __init__(self, plan: xr.Dataset, out_size: int | None) -> None:
        dims = ("time", "individual") if "time" in plan.dims else ("individual",)
        self.centre = plan["centre"].transpose(*dims, "space").values
        self.side, self.angle, self.valid = (plan[name].transpose(*dims).values for name in ("side", "angle", "valid"))
        self.out_size = int(plan.attrs["out_size"]) if out_size is None else check_out_size(out_size)
        self.border = str(plan.attrs["border"])

    def __call__(self, frame: np.ndarray, place: tuple[int, ...]) -> np.ndarray | None:
        if not self.valid[place]:
            return None
        x, y = self.centre[place]
        side, angle = float(self.side[place]), float(self.angle[place])
        return cut_square(frame, (float(x), float(y)), side, angle, out_size=self.out_size, border=self.border)


def _check_size(size: tuple[int, int], plan: xr.Dataset, what: str) -> None:
    height, width = (int(n) for n in plan.attrs["frame_size"])
    if size != (height, width):
        raise ValueError(
            f"{what}: expected the frames of {width}x{height} that the crops were planned for, got {size[1]}x{size[0]}"
        )
