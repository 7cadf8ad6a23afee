"""Where an animal is without any tracker: what differs from the empty arena, its largest blob, the middle of that.

Deliberately simple. It is right for one animal per region (the whole picture, or one in each well) before a still
camera, a floor that does not change and an even light. It knows no head from a tail, and what moves with the animal (a
shadow, bedding, a hand) it takes for it. An animal that rests in one place for half of the frames becomes part of the
background there: it is not seen while it rests, and when it goes the hole that it leaves is taken for it. Then give a
background of its own (:func:`background_of` of another stretch or recording) or ``"darker"``/``"lighter"``, and look at
the result with ``behavior-prism show``. For everything else use a pose tracker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from behavior_prism.schemas import log_operation, validate_tracks

from .bout_rows import WHOLE_VIEW

if TYPE_CHECKING:
    import xarray as xr

    from .frame_source import FrameSource
    from .recording import Recording

_BLUR = 1.5  # standard deviation [pixels] that takes the camera's noise out
_KINDS = ("any", "darker", "lighter")


def background_of(video: FrameSource, *, num_frames: int = 30, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Take the median over evenly spaced frames: the arena without the animal, if it moves about.

    Parameters
    ----------
    video : Video
        From a still camera; image folders and stacks do as well.
    num_frames : int
        How many frames; all are held in memory, in grey.
    start, stop : int
        Half-open interval of the frames they are taken from; all by default.

    Returns
    -------
    numpy.ndarray
        float32 grey levels, shape (height, width).

    Raises
    ------
    ValueError
        If there would be no frames.
    """
    stop = len(video) if stop is None else stop
    if num_frames < 1 or stop <= start:
        raise ValueError(f"background: expected one frame or more, got {min(num_frames, stop - start)}")
    chosen = video.iter_frames(_spaced(start, stop, num_frames))
    greys = np.stack([_grey(frame) for frame in chosen])
    middle = np.empty(greys.shape[1:], dtype=np.float32)
    for row in range(len(middle)):  # row by row: the median would hold all in float64
        middle[row] = np.median(greys[:, row], axis=0)
    return middle


def track_by_background(
    recording: Recording,
    *,
    background: np.ndarray | None = None,
    animal: str = "any",
    threshold: float | None = None,
    min_area: float | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> xr.Dataset:
    """Follow one animal in each region of a recording by what differs from the background.

    Parameters
    ----------
    recording : Recording
        Its regions are the individuals; in the whole picture the individual is called ``"animal"``.
    background : numpy.ndarray, optional
        Grey levels, shape (height, width); by default :func:`background_of` the frames that are meant.
    animal : {"any", "darker", "lighter"}
        Which differences count. ``"darker"`` and ``"lighter"`` keep glints and shadows out.
    threshold : float, optional
        Grey levels by which a pixel must differ. By default half of what the animal usually does: half the median,
        over thirty frames, of the largest difference, but not less than 8.
    min_area : float, optional
        Least area of a blob [pixels]; a ten-thousandth of the region by default.
    progress : callable, optional
        Called with (frames done, of how many).

    Returns
    -------
    xarray.Dataset
        Movement's layout with the key point ``"centroid"``, one entry per frame of the video. NaN where no blob is
        large enough and in frames that are not meant. ``confidence`` is the share of the largest blob in all that
        differs: 1 if there is nothing else, 0 where there is none.

    Raises
    ------
    ValueError
        If an argument does not fit.
    """
    import cv2
    import xarray as xr

    video = recording.video
    num_frames, height, width, _ = video.shape
    start, stop = recording.start_frame, recording.stop_frame
    if animal not in _KINDS:
        raise ValueError(f"animal: expected one of {list(_KINDS)}, got {animal!r}")
    _check_positive(threshold=threshold, min_area=min_area)
    if background is None:
        background = background_of(video, start=start, stop=stop)
    if background.shape != (height, width):
        raise ValueError(
            f"{video.path}: expected a background of {width}x{height} in grey, got the shape {background.shape}"
        )
    empty = cv2.GaussianBlur(np.asarray(background, dtype=np.float32), (0, 0), _BLUR)

    def _difference(frame: np.ndarray) -> np.ndarray:
        grey = cv2.GaussianBlur(_grey(frame), (0, 0), _BLUR).astype(np.float32)
        if animal == "any":
            return np.abs(grey - empty)
        return empty - grey if animal == "darker" else grey - empty

    names = ["animal" if name == WHOLE_VIEW else name for name in recording.individuals]
    boxes = [_slices(region) for region in recording.regions.values()]
    if threshold is not None:
        thresholds = [float(threshold)] * len(boxes)
    else:
        chosen = video.iter_frames(_spaced(start, stop, 30))
        peaks = [[difference[box].max() for box in boxes] for difference in map(_difference, chosen)]
        thresholds = [max(8.0, float(peak) / 2) for peak in np.median(peaks, axis=0)]

    position = np.full((num_frames, 2, 1, len(boxes)), np.nan)
    confidence = np.zeros((num_frames, 1, len(boxes)))
    for i, frame in zip(range(start, stop), video.iter_frames(range(start, stop)), strict=True):
        difference = _difference(frame)
        for n, (box, level) in enumerate(zip(boxes, thresholds, strict=True)):
            part = difference[box]
            found = _largest_blob(part > level, part.size / 10_000 if min_area is None else min_area)
            if found is not None:
                (x, y), confidence[i, 0, n] = found
                position[i, :, 0, n] = x + box[1].start, y + box[0].start
        if progress is not None:
            progress(i - start + 1, stop - start)
    tracks = xr.Dataset(
        {
            "position": (("time", "space", "keypoint", "individual"), position),
            "confidence": (("time", "keypoint", "individual"), confidence),
        },
        coords={
            "time": recording.times,
            "space": np.asarray(["x", "y"], dtype=object),
            "keypoint": np.asarray(["centroid"], dtype=object),
            "individual": np.asarray(names, dtype=object),
        },
        attrs={
            "source_software": "behavior_prism background subtraction",
            "source_file": video.path.name,
            "ds_type": "poses",
            "time_unit": "seconds",
            "fps": float(video.fps),
        },
    )
    tracks.attrs = log_operation(
        tracks.attrs, "track_by_background", animal=animal, threshold=thresholds, min_area=min_area
    )
    return validate_tracks(tracks)


def _grey(frame: np.ndarray) -> np.ndarray:
    import cv2

    return frame[..., 0] if frame.shape[2] == 1 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _check_positive(**numbers: float | None) -> None:
    for name, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name}: expected a number above 0, got {value!r}")


def _spaced(start: int, stop: int, count: int) -> list[int]:
    """At most so many frames, evenly spaced."""
    return np.unique(np.linspace(start, stop - 1, min(count, stop - start)).round().astype(int)).tolist()


def _slices(region: tuple[int, int, int, int]) -> tuple[slice, slice]:
    x, y, width, height = region
    return slice(y, y + height), slice(x, x + width)


def _largest_blob(mask: np.ndarray, min_area: float) -> tuple[np.ndarray, float] | None:
    """Centroid (x, y) of the largest connected area and its share in all of them; None if it is too small."""
    import cv2

    count, _, stats, centroids = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]  # the first is what is not in any
    largest = int(areas.argmax())
    if areas[largest] < min_area:
        return None
    return centroids[1 + largest], float(areas[largest] / areas.sum())
