"""What two flies do, from their pose tracks by plain rules; stretches of ten seconds to hold out and to draw.

Nobody labelled ``sleap-flies``. Its tracks say for every frame how fast each fly walks and turns, how far the other one
is, in which direction, and how far the wings are spread. A rule makes a behaviour of each number: present beyond one
bound, absent beyond another one, and not scored in between. The bounds are round numbers, chosen before anything was
trained, and are tuned on nothing. Units are body lengths (median distance of head and abdomen), degrees and seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.ndimage import median_filter

from behavior_prism.schemas import ABSENT, NOT_SCORED, PRESENT

BLOCK_SECONDS = 10.0
HALF = 0.1  # speeds are taken over twice as long [s]
KEYPOINTS = ("head", "thorax", "abdomen", "wingL", "wingR")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a behaviour is present, and when it is not.

    Parameters
    ----------
    present, absent : dict of str to float
        Bounds for quantities of :func:`quantities`. Above 0 the quantity must exceed the bound, below 0 it must stay
        under its size. Present where all bounds hold; absent where any holds.
    """

    present: dict[str, float]
    absent: dict[str, float]


RULES = {
    "walking": Rule(present={"speed": 1.0}, absent={"speed": -0.5}),
    "turning": Rule(present={"turn": 90.0}, absent={"turn": -45.0}),
    "close": Rule(present={"distance": -1.5}, absent={"distance": 2.0}),
    "facing": Rule(present={"distance": -2.0, "bearing": -30.0}, absent={"distance": 2.5, "bearing": 60.0}),
    "chasing": Rule(
        present={"distance": -2.5, "bearing": -45.0, "speed": 0.5},
        absent={"distance": 3.0, "bearing": 90.0, "speed": -0.25},
    ),
    "wing extension": Rule(present={"wing": 45.0}, absent={"wing": -30.0}),
}


def quantities(tracks: xr.Dataset) -> dict[str, np.ndarray]:
    """Measure what the rules are about.

    Parameters
    ----------
    tracks : xarray.Dataset
        Of two flies, movement's layout, time in seconds.

    Returns
    -------
    dict of str to numpy.ndarray
        Each of shape (2, frames), NaN where the tracks do not say: ``speed`` of the thorax [body lengths / s], ``turn``
        [degrees / s, without sign], ``distance`` of the thoraxes [body lengths], ``bearing`` [degrees between the
        direction in which the fly looks and the one in which the other is], ``wing`` [degrees by which the wing that
        is spread farther stands off the body].
    """
    if tracks.sizes["individual"] != 2:
        raise ValueError(f"tracks: expected two flies, got {tracks.sizes['individual']}")
    position = tracks["position"].sel(keypoint=list(KEYPOINTS)).transpose("keypoint", "individual", "time", "space")
    head, thorax, abdomen, *wings = (_steady(part) for part in position.values)
    body = np.nanmedian(np.linalg.norm(head - abdomen, axis=-1), axis=1)[:, None]
    times = tracks["time"].values
    ahead = thorax - abdomen  # the head may turn by itself
    to_other = thorax[::-1] - thorax
    heading = np.arctan2(ahead[..., 1], ahead[..., 0])
    return {
        "speed": np.linalg.norm(_change(thorax, times), axis=-1) / body,
        "turn": np.abs(np.degrees(_change(np.exp(1j * heading)[..., None], times, angle=True)[..., 0])),
        "distance": np.linalg.norm(to_other, axis=-1) / body,
        "bearing": _angle(ahead, to_other),
        "wing": np.fmax(*(_angle(-ahead, wing - thorax) for wing in wings)),
    }


def _steady(path: np.ndarray) -> np.ndarray:
    """Take single frames that jump out of a path; NaN spreads to the neighbours, shape (2, frames, 2)."""
    spoiled = median_filter(np.isnan(path).astype(np.uint8), (1, 3, 1)) > 0
    return np.where(spoiled | np.isnan(path), np.nan, median_filter(np.nan_to_num(path), (1, 3, 1)))


def _change(values: np.ndarray, times: np.ndarray, *, angle: bool = False) -> np.ndarray:
    """Change per second over ``HALF`` to each side; NaN at the ends. Shape (2, frames, n)."""
    reach = max(1, round(HALF / float(np.median(np.diff(times)))))
    out = np.full(values.shape, np.nan)
    late, early = values[:, 2 * reach :], values[:, : -2 * reach]
    difference = np.angle(late * np.conj(early)) if angle else late - early
    out[:, reach:-reach] = difference / (times[2 * reach :] - times[: -2 * reach])[:, None]
    return out


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between arrows, 0 to 180."""
    cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return np.degrees(np.abs(np.arctan2(cross, (a * b).sum(axis=-1))))


def behaviors_by_rule(tracks: xr.Dataset) -> np.ndarray:
    """Label every frame of both flies by the rules.

    Parameters
    ----------
    tracks : xarray.Dataset
        As in :func:`quantities`.

    Returns
    -------
    numpy.ndarray
        -1 (not scored), 0 (absent) or 1 (present), int8, shape (2, frames, rules).
    """
    measured = quantities(tracks)
    out = np.full((*measured["speed"].shape, len(RULES)), NOT_SCORED, dtype=np.int8)
    for k, rule in enumerate(RULES.values()):
        known = np.all([np.isfinite(measured[name]) for name in rule.present], axis=0)
        out[known & np.any([_beyond(measured[n], bound) for n, bound in rule.absent.items()], axis=0), k] = ABSENT
        out[known & np.all([_beyond(measured[n], bound) for n, bound in rule.present.items()], axis=0), k] = PRESENT
    return out


def _beyond(values: np.ndarray, bound: float) -> np.ndarray:
    return values > bound if bound > 0 else values < -bound


def rules_in_words() -> list[str]:
    """Say the rules, a line for each behaviour."""
    units = {"speed": "BL/s", "turn": "degrees/s", "distance": "BL", "bearing": "degrees", "wing": "degrees"}

    def said(bounds: dict[str, float], join: str) -> str:
        return join.join(f"{n} {'>' if b > 0 else '<'} {abs(b):g} {units[n]}" for n, b in bounds.items())

    return [f"{name}: {said(r.present, ' and ')}; absent: {said(r.absent, ' or ')}" for name, r in RULES.items()]


def block_of(times: np.ndarray) -> np.ndarray:
    """Number the stretch of ``BLOCK_SECONDS`` that every frame lies in; what is left at the end joins the last one.

    Parameters
    ----------
    times : numpy.ndarray
        Of the frames [s], shape (frames,).

    Returns
    -------
    numpy.ndarray
        Whole numbers from 0, shape (frames,).
    """
    since = times - times[0]
    duration = float(since[-1] + np.median(np.diff(times)))
    whole = max(1, int(duration / BLOCK_SECONDS + 1e-6))
    return np.minimum((since / BLOCK_SECONDS + 1e-9).astype(int), whole - 1)
