"""The truth of a simulated recording as tables: tracks, bouts, scored intervals, captions.

Legend: T frames, N animals, K key points, C channels of a pose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from behavior_prism.schemas import validate_tracks

from ._sim_fly import KEYPOINTS as FLY_KEYPOINTS
from ._sim_mouse import KEYPOINTS as MOUSE_KEYPOINTS
from ._sim_scene import Look
from ._sim_space import Floor
from ._sim_states import SOCIAL, behaviors_of, describe, draw_scored
from .annotations import Annotations
from .bout_rows import BOUT_COLUMNS

SCORER = "simulator"


def tracks_dataset(
    arena: str, points_TNK2: np.ndarray, individuals: Sequence[str], *, fps: float, size: tuple[int, int]
) -> xr.Dataset:
    """Lay key points out as movement does; confidence is 1 in the picture and 0 outside it."""
    height, width = size
    x, y = points_TNK2[..., 0], points_TNK2[..., 1]
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return validate_tracks(
        xr.Dataset(
            {
                "position": (("time", "space", "keypoint", "individual"), points_TNK2.transpose(0, 3, 2, 1).copy()),
                "confidence": (("time", "keypoint", "individual"), inside.transpose(0, 2, 1).astype(np.float64)),
            },
            coords={
                "time": np.arange(len(points_TNK2)) / fps,
                "space": ["x", "y"],
                "keypoint": list(MOUSE_KEYPOINTS if arena == "mouse" else FLY_KEYPOINTS),
                "individual": list(individuals),
            },
            attrs={
                "fps": float(fps),
                "time_unit": "seconds",
                "source_software": "behavior_prism simulator",
                "ds_type": "poses",
            },
        )
    )


def _spans(values_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and stops of the stretches of equal values."""
    edges = np.flatnonzero(np.diff(values_T)) + 1
    return np.concatenate(([0], edges)), np.concatenate((edges, [len(values_T)]))


def scored_truth(
    rng: np.random.Generator,
    states_TN: np.ndarray,
    *,
    recording: str,
    individuals: Sequence[str],
    behaviors: Sequence[str],
    fps: float,
    unscored_fraction: float,
) -> tuple[np.ndarray, Annotations]:
    """Choose what was scored and list the bouts there.

    Returns
    -------
    scored_T : numpy.ndarray
        Boolean, shape (T,).
    annotations : Annotations
        Bouts clipped to the scored stretches; a directed behaviour names the other animal as its target.
    """
    scored_T = draw_scored(rng, len(states_TN), unscored_fraction)
    bout_tables, scored_tables = [], []
    for n, individual in enumerate(individuals):
        seen = np.where(scored_T, states_TN[:, n], -1)
        start, stop = _spans(seen)
        start, stop = start[seen[start] >= 0], stop[seen[start] >= 0]
        names = np.asarray(behaviors, dtype=object)[seen[start]]
        target = individuals[1 - n] if len(individuals) == 2 else ""
        bout_tables.append(
            pd.DataFrame(
                {
                    "recording": recording,
                    "individual": individual,
                    "target": np.where(np.isin(names, SOCIAL), target, "").astype(object),
                    "behavior": names,
                    "scorer": SCORER,
                    "start_frame": start,
                    "stop_frame": stop,
                    "start": start / fps,
                    "stop": stop / fps,
                },
                columns=list(BOUT_COLUMNS),
            )
        )
        start, stop = _spans(scored_T.astype(np.int8))
        start, stop = start[scored_T[start]], stop[scored_T[start]]
        spans = {"start_frame": start, "stop_frame": stop, "start": start / fps, "stop": stop / fps}
        social = [b for b in behaviors if b in SOCIAL and target]
        for other, behavior in (("", ""), *((target, b) for b in social)):
            whose = {"recording": recording, "individual": individual, "target": other, "scorer": SCORER}
            scored_tables.append(pd.DataFrame({**whose, "behavior": behavior, **spans}, columns=list(BOUT_COLUMNS)))
    annotations = Annotations(
        bouts=pd.concat(bout_tables, ignore_index=True),
        scored=pd.concat(scored_tables, ignore_index=True),
        behaviors=tuple(behaviors),
    )
    return scored_T, annotations


def caption_table(
    rng: np.random.Generator,
    arena: str,
    states_TN: np.ndarray,
    poses_TNC: np.ndarray,
    floor: Floor,
    look: Look,
    *,
    length: float,
    clip_frames: int,
) -> pd.DataFrame:
    """Describe every clip: columns ``start_frame, stop_frame, caption``."""
    behaviors = behaviors_of(arena)
    starts = np.arange(0, len(states_TN), clip_frames)
    stops = np.minimum(starts + clip_frames, len(states_TN))
    captions = []
    for start, stop in zip(starts, stops, strict=True):
        shown = [behaviors[np.bincount(column).argmax()] for column in states_TN[start:stop].T]
        middle = poses_TNC[(start + stop) // 2, :, :2]
        at_wall = [floor.nearest(float(x), float(y))[0] < 0.7 * length for x, y in middle]
        captions.append(describe(rng, arena, shown, colors=look.color_names, at_wall=at_wall))
    return pd.DataFrame({"start_frame": starts, "stop_frame": stops, "caption": captions})
