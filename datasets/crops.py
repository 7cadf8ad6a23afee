"""Crops that follow an animal, or a pair: where each one lies in every frame. :mod:`.crop_cut` cuts them out.

The geometry of a crop is a function of the frame alone: it is planned once over the whole recording, from the tracks,
and read in any order. Pixel centres are at integers, x to the right, y down.

Legend: T frames, I individuals of the tracks, K key points.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from behavior_prism.schemas import log_operation, validate_tracks

from .crop_paths import fill_gaps, smooth_path

if TYPE_CHECKING:
    import xarray as xr

PAIR = "|"  # between the names of a pair
_LARGEST = 4096  # side of a crop [pixels]
_CHOICES = {
    "unit": ("body_lengths", "pixels"),
    "smoothing": ("gaussian", "savgol"),
    "gaps": ("hold", "interpolate", "invalid"),
    "border": ("black", "grey", "edge"),
}


@dataclass(frozen=True, kw_only=True)
class CropSpec:
    """What a crop shows.

    Parameters
    ----------
    centre : str or tuple of str
        ``"centroid"`` (mean of all known key points), ``"box"`` (middle of the box around them), or the names of key
        points, whose known ones are averaged.
    size : float
        Side of the square, in ``unit``.
    unit : {"body_lengths", "pixels"}
        A body length is one number per individual, the median over the recording: with it, animals come out equally
        large whatever the zoom.
    body : (str, str), optional
        Key points whose distance is the body length; by default it is the diagonal of the box around all.
    up : (str, str), optional
        Turn the crop so that the direction from the first key point (tail) to the second (head) points up. Off by
        default. Pairs are not turned.
    smooth : float
        How much centre and direction are smoothed [s]: standard deviation of the Gaussian or window of
        Savitzky-Golay; 0 is not at all.
    smoothing : {"gaussian", "savgol"}
        How.
    gaps : {"hold", "interpolate", "invalid"}
        What happens where the tracks know nothing: keep the last place, go straight to the next one, or leave the
        frames invalid.
    max_gap : float
        Longest gap that is bridged [s]; the frames of a longer one are all invalid.
    min_confidence : float
        Key points below it count as not known; those without a confidence are taken.
    border : {"black", "grey", "edge"}
        What lies beyond the picture: 0, 128, or its outermost pixels repeated.
    out_size : int
        Side of the crop that comes out [pixels].

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> CropSpec(centre=("neck", "tail_base"), size=1.5, up=("tail_base", "neck"), out_size=96).up
    ('tail_base', 'neck')
    """

    centre: str | tuple[str, ...] = "centroid"
    size: float = 2.0
    unit: str = "body_lengths"
    body: tuple[str, str] | None = None
    up: tuple[str, str] | None = None
    smooth: float = 0.0
    smoothing: str = "gaussian"
    gaps: str = "interpolate"
    max_gap: float = 0.5
    min_confidence: float = 0.0
    border: str = "black"
    out_size: int = 288

    def __post_init__(self) -> None:
        if self.centre not in ("centroid", "box"):
            names = (self.centre,) if isinstance(self.centre, str) else tuple(self.centre)
            object.__setattr__(self, "centre", names)
        if not self.centre:
            raise ValueError("crops: centre: expected 'centroid', 'box' or names of key points, got none")
        for name in ("body", "up"):
            pair = getattr(self, name)
            if pair is None:
                continue
            if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
                raise ValueError(f"crops: {name}: expected the names of two key points, got {pair!r}")
            object.__setattr__(self, name, (str(pair[0]), str(pair[1])))
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"crops: {name}: expected one of {list(allowed)}, got {getattr(self, name)!r}")
        for name in ("size", "smooth", "max_gap", "min_confidence"):
            value = getattr(self, name)
            if not (isinstance(value, int | float | np.number) and math.isfinite(value) and value >= 0):
                raise ValueError(f"crops: {name}: expected a number from 0 on, got {value!r}")
            object.__setattr__(self, name, float(value))
        if self.size == 0:
            raise ValueError("crops: size: expected more than 0, got 0")
        object.__setattr__(self, "out_size", check_out_size(self.out_size))

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names of the key points that it needs, each once."""
        centre = () if isinstance(self.centre, str) else self.centre
        return tuple(dict.fromkeys((*centre, *(self.body or ()), *(self.up or ()))))


def check_out_size(out_size: int) -> int:
    """Refuse a side that no crop has.

    Parameters
    ----------
    out_size : int
        Side of the crops [pixels].

    Returns
    -------
    int
        The same.

    Raises
    ------
    ValueError
        If it is not a whole number from 1 to 4096.
    """
    if not isinstance(out_size, int | np.integer) or not 1 <= out_size <= _LARGEST:
        raise ValueError(f"crops: out_size: expected a whole number from 1 to {_LARGEST}, got {out_size!r}")
    return int(out_size)


def plan_crops(
    tracks: xr.Dataset,
    spec: CropSpec,
    *,
    frame_size: tuple[int, int],
    individuals: Sequence[str] | None = None,
) -> xr.Dataset:
    """Say where every crop lies in every frame.

    Parameters
    ----------
    tracks : xarray.Dataset
        Movement's layout, one entry per frame of the video, time in seconds.
    spec : CropSpec
        What the crops show.
    frame_size : (int, int)
        Height and width of the video [pixels].
    individuals : sequence of str, optional
        Individuals of the tracks, and pairs of them as ``"a|b"``; all individuals by default.

    Returns
    -------
    xarray.Dataset
        ``centre(time, individual, space)`` [pixels], ``side(time, individual)`` [pixels], ``angle(time, individual)``
        [rad] (the direction in the picture that is up in the crop, clockwise from the picture's own), and
        ``valid(time, individual)``: false where the tracks do not say enough, or where the crop would lie outside the
        picture altogether. Coordinates ``time``, ``frame``, ``individual``, ``kind(individual)`` (``"individual"`` or
        ``"pair"``), ``space``. The square of a pair is centred between both and as large as to hold both of theirs
        (as they are without turning).

    Raises
    ------
    ValueError
        If the tracks lack what ``spec`` asks for.

    Examples
    --------
    >>> from behavior_prism.datasets import simulate_recording
    >>> simulated = simulate_recording("mouse", seconds=1, size=(96, 96))
    >>> plan = plan_crops(simulated.tracks, CropSpec(out_size=64), frame_size=simulated.size)
    >>> plan["centre"].shape, bool(plan["valid"].all())
    ((25, 2, 2), True)
    """
    import xarray as xr

    validate_tracks(tracks)
    if tracks.attrs.get("time_unit") == "frames":
        raise ValueError("crops: expected tracks in seconds, got frame numbers; load them with times=video.times")
    if tracks.attrs.get("space_unit", "pixels") != "pixels":
        raise ValueError(f"crops: expected tracks in pixels, got {tracks.attrs['space_unit']}")
    if len(frame_size) != 2 or min(frame_size) < 1:
        raise ValueError(f"crops: frame_size: expected (height, width) in pixels, got {frame_size!r}")
    there = [str(name) for name in tracks["individual"].values]
    wanted = there if individuals is None else list(individuals)
    members = [_members(name, there) for name in wanted]
    times = tracks["time"].values.astype(np.float64)
    centre_TI2, turn_TI, body_I = _measure(tracks, spec)
    own_I = body_I * spec.size if spec.unit == "body_lengths" else np.full(len(there), float(spec.size))

    def _path(values_TC: np.ndarray) -> np.ndarray:
        filled = fill_gaps(values_TC, times, policy=spec.gaps, max_gap=spec.max_gap)
        return smooth_path(filled, times, seconds=spec.smooth, method=spec.smoothing)

    for i in {i for pair in members for i in pair}:
        centre_TI2[:, i] = _path(centre_TI2[:, i])
        if spec.up:  # as a vector, since angles jump at half a turn
            direction = _path(np.stack([np.cos(turn_TI[:, i]), np.sin(turn_TI[:, i])], axis=1))
            turn_TI[:, i] = np.arctan2(direction[:, 1], direction[:, 0])

    shape = (len(times), len(wanted))
    centre, side, angle = np.empty((*shape, 2)), np.empty(shape), np.zeros(shape)
    for n, (a, *other) in enumerate(members):
        if other:
            b = other[0]
            apart = np.abs(centre_TI2[:, a] - centre_TI2[:, b]).max(axis=1)
            centre[:, n] = (centre_TI2[:, a] + centre_TI2[:, b]) / 2
            side[:, n] = apart + max(own_I[a], own_I[b])
        else:
            centre[:, n], side[:, n] = centre_TI2[:, a], own_I[a]
            angle[:, n] = turn_TI[:, a] if spec.up else 0.0
    valid = np.isfinite(centre).all(axis=-1) & np.isfinite(side) & np.isfinite(angle)
    valid &= _touches(centre, side, frame_size)
    attrs = {
        "spec": json.dumps(asdict(spec)),
        "out_size": int(spec.out_size),
        "border": spec.border,
        "frame_size": [int(n) for n in frame_size],
    }
    return xr.Dataset(
        {
            "centre": (("time", "individual", "space"), centre),
            "side": (("time", "individual"), side),
            "angle": (("time", "individual"), angle),
            "valid": (("time", "individual"), valid),
        },
        coords={
            "time": times,
            "frame": ("time", np.arange(len(times))),
            "individual": np.asarray(wanted, dtype=object),
            "kind": ("individual", np.asarray(["pair" if len(m) > 1 else "individual" for m in members], dtype=object)),
            "space": np.asarray(["x", "y"], dtype=object),
        },
        attrs=log_operation({**tracks.attrs, **attrs}, "plan_crops", **asdict(spec)),
    )


def _members(name: str, there: list[str]) -> list[int]:
    """Which individuals of the tracks a crop is about."""
    if name in there:
        return [there.index(name)]
    parts = name.split(PAIR)
    if len(parts) == 2 and parts[0] != parts[1] and set(parts) <= set(there):
        return [there.index(part) for part in parts]
    raise ValueError(f"crops: expected individuals among {there}, or two of them as 'a{PAIR}b', got {name!r}")


def _measure(tracks: xr.Dataset, spec: CropSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (T, I, 2), turns (T, I) and body lengths (I,) as the tracks have them, NaN where they do not."""
    names = [str(name) for name in tracks["keypoint"].values]
    for name in spec.keypoints:
        if name not in names:
            raise ValueError(f"crops: expected key points among {names}, got {name!r}")
    points = tracks["position"].transpose("time", "individual", "keypoint", "space").values.astype(np.float64)
    confidence = tracks["confidence"].transpose("time", "individual", "keypoint").values
    known = np.isfinite(points).all(axis=-1) & ~(confidence < spec.min_confidence)
    points = np.where(known[..., None], points, np.nan)

    if spec.centre == "box":
        low, high = _extremes(points)
        centre = (low + high) / 2
    else:
        chosen = slice(None) if isinstance(spec.centre, str) else [names.index(name) for name in spec.centre]
        count = known[:, :, chosen].sum(axis=2)[..., None]
        centre = np.nansum(points[:, :, chosen], axis=2) / np.where(count, count, np.nan)

    turn = np.full(known.shape[:2], np.nan)
    if spec.up:
        tail, head = (points[:, :, names.index(name)] for name in spec.up)
        along = head - tail
        turn = np.where((along != 0).any(axis=-1), np.arctan2(along[..., 0], -along[..., 1]), np.nan)

    body = np.full(known.shape[1], np.nan)
    if spec.unit == "body_lengths":
        if spec.body is None and len(names) < 2:
            raise ValueError(f"crops: expected two key points for a body length, got {names}; give the size in pixels")
        for i in range(len(body)):
            body[i] = _body_length(points[:, i], spec.body and [names.index(name) for name in spec.body])
    return centre, turn, body


def _extremes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box around the known points of the last axis but one; NaN if there are none."""
    missing = np.isnan(points)
    low = np.where(missing, np.inf, points).min(axis=-2)
    high = np.where(missing, -np.inf, points).max(axis=-2)
    none = missing.all(axis=-2)
    return np.where(none, np.nan, low), np.where(none, np.nan, high)


def _body_length(points_TK2: np.ndarray, between: list[int] | None) -> float:
    """Median length [pixels] over the frames that show it; NaN if none does."""
    known = np.all(np.isfinite(points_TK2), axis=-1)
    if between is not None:
        length = np.linalg.norm(points_TK2[:, between[1]] - points_TK2[:, between[0]], axis=-1)
    else:
        seen = known.any(axis=1)
        # without points that hide now and then a box would be too small; with those always hidden, never whole
        usual = known[seen].mean(axis=0) >= 0.5 if seen.any() else np.ones(points_TK2.shape[1], dtype=bool)
        low, high = _extremes(points_TK2[:, usual])
        length = np.where(known[:, usual].all(axis=1), np.linalg.norm(high - low, axis=-1), np.nan)
    length = length[np.isfinite(length) & (length > 0)]
    return float(np.median(length)) if len(length) else math.nan


def _touches(centre: np.ndarray, side: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    """Whether the circle within a crop meets the picture."""
    last = np.asarray([frame_size[1], frame_size[0]]) - 0.5
    nearest = np.clip(centre, -0.5, last)
    return np.linalg.norm(centre - nearest, axis=-1) < side / 2


def plan_key(plan: xr.Dataset) -> dict[str, Any]:
    """Everything that makes the crops of a plan what they are, for the key of a store of features.

    Parameters
    ----------
    plan : xarray.Dataset
        From :func:`plan_crops`.

    Returns
    -------
    dict
        JSON-compatible: ``spec``, ``individuals`` and ``geometry``, a SHA-256 over the numbers.
    """
    digest = hashlib.sha256()
    for name in ("centre", "side", "angle", "valid"):
        digest.update(np.ascontiguousarray(plan[name].values).tobytes())
    return {
        "spec": json.loads(plan.attrs["spec"]),
        "individuals": [str(name) for name in plan["individual"].values],
        "geometry": digest.hexdigest(),
    }
