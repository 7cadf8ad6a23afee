"""Features of clips for the comparison of encoders on real video: kept on disk, and laid out as ``train`` does.

Frozen features go through ``extract_features`` and simple ones through the same windows of time: both become a features
dataset, and ``design_matrix`` makes rows of it, as ``behavior-prism train`` does. Clips of one session (one arena, one
light) stand behind one another as one recording, so that they are centred and scaled together: a session's look is
taken out without a label. Rows whose context would reach into another clip are left out.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import real_clips
import xarray as xr

from behavior_prism import extract_features
from behavior_prism.analysis import design_matrix
from behavior_prism.analysis.design import DEFAULT_CONTEXT
from behavior_prism.datasets import CropSpec, Recording, fingerprint, iter_crops, plan_crops, plan_key
from behavior_prism.encoder import LoadedEncoder, VideoEncoder, hash_parameters
from behavior_prism.files import atomic_write

PICTURE = real_clips.PICTURE
SIMPLE_VERSION = 1  # raise it when a simple feature changes, so that no old number is read from the cache


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something to take features of.

    Parameters
    ----------
    name : str
        Unique in its set; names files in the cache.
    open : callable
        Gives the recording, with tracks if there are crops.
    crops : CropSpec, optional
        To look at crops that follow the animals, in place of the region.
    individuals : tuple of str, optional
        Whose crops.
    """

    name: str
    open: Callable[[], Recording]
    crops: CropSpec | None = None
    individuals: tuple[str, ...] | None = None


# -- one encoder, and random ones of its size


def random_like(encoder: LoadedEncoder, seed: int) -> LoadedEncoder:
    """Make an untrained encoder of the same size.

    Parameters
    ----------
    encoder : LoadedEncoder
        The one to compare with.
    seed : int
        Of the weights.

    Returns
    -------
    LoadedEncoder
    """
    model = VideoEncoder(encoder.model.config)
    model.init_weights(seed)
    model = model.to(encoder.device).eval().requires_grad_(False)
    return dataclasses.replace(
        encoder,
        model=model,
        weights_id=hash_parameters(model),
        trained=False,
        notice="random weights",
        video_text=None,
        tokenizer=None,
    )


def encoder_features(source: Source, encoder: LoadedEncoder, folder: Path) -> xr.Dataset:
    """Frozen features of a source, extracted unless the cache has them.

    Parameters
    ----------
    source : Source
        What to encode.
    encoder : LoadedEncoder
        With what.
    folder : pathlib.Path
        The cache of the source's set.

    Returns
    -------
    xarray.Dataset
        The features layout.
    """
    # of a video-text model the pooler's embeddings are kept too, which the video encoder's hash does not cover
    of = encoder.weights_id if encoder.video_text is None else hash_parameters(encoder.video_text)
    folder = folder / of[:16]
    folder.mkdir(parents=True, exist_ok=True)
    recording = source.open()
    with recording.video:
        return extract_features(
            recording,
            encoder,
            folder / f"{source.name}.features.zarr",
            individual_source="view" if source.crops is None else "crop",
            crops=source.crops,
            individuals=source.individuals,
            overwrite=True,
        ).load()


def embeddings_as_features(store: xr.Dataset) -> xr.Dataset | None:
    """Clips in the space of texts as features with one token: every frame takes that of the clip around it.

    Parameters
    ----------
    store : xarray.Dataset
        From :func:`encoder_features`.

    Returns
    -------
    xarray.Dataset or None
        None if the encoder knows no texts.
    """
    if "text_aligned" not in store:
        return None
    nearest = np.abs(store["time"].values[:, None] - store["clip_time"].values).argmin(axis=1)
    values = store["text_aligned"].transpose("individual", "clip", "channel").values[:, nearest]
    return as_features(values, store["valid"].transpose("individual", "time").values)


# -- simple features of every frame


def simple_features(source: Source, folder: Path) -> dict[str, xr.Dataset]:
    """Simple features of every frame of a source, computed unless the cache has them.

    Parameters
    ----------
    source : Source
        What to look at.
    folder : pathlib.Path
        The cache of the source's set.

    Returns
    -------
    dict of str to xarray.Dataset
        For each kind of features the features layout, with one token.
    """
    recording = source.open()
    with recording.video:
        key = hashlib.sha256(repr(_identity(source, recording)).encode()).hexdigest()[:16]
        path = folder / "simple" / f"{source.name}-{key}.npz"
        if not path.exists():
            pictures, valid = _pictures(source, recording)
            values = {name: np.stack([describe(p) for p in pictures]) for name, (describe, _) in SIMPLE.items()}
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as fresh, fresh.open("wb") as file:
                np.savez(file, valid=valid, **{name: v.astype(np.float32) for name, v in values.items()})
    with np.load(path, allow_pickle=False) as stored:
        return {name: as_features(stored[name], stored["valid"]) for name in SIMPLE}


def _identity(source: Source, recording: Recording) -> list[object]:
    """What decides the pictures."""
    crops = None if source.crops is None else plan_key(_plan(source, recording))
    frames = (recording.start_frame, recording.stop_frame)
    return [SIMPLE_VERSION, fingerprint(recording.video.path), dict(recording.regions), frames, crops]


def _plan(source: Source, recording: Recording) -> xr.Dataset:
    assert recording.tracks is not None
    assert source.crops is not None
    _, height, width, _ = recording.video.shape
    return plan_crops(recording.tracks, source.crops, frame_size=(height, width), individuals=source.individuals)


def _pictures(source: Source, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Grey pictures of 96x96, (individuals, frames, 96, 96), and which of them there are."""
    if source.crops is None:
        pictures = real_clips.grey_pictures(recording)[None]
        return pictures, np.ones(pictures.shape[:2], dtype=bool)
    plan = _plan(source, recording)
    names = [str(name) for name in plan["individual"].values]
    pictures = np.zeros((len(names), recording.num_frames, PICTURE, PICTURE), dtype=np.uint8)
    valid = np.zeros(pictures.shape[:2], dtype=bool)
    for index, crops in iter_crops(recording, plan, out_size=PICTURE):
        for name, crop in crops.items():
            place = names.index(name), index - recording.start_frame
            pictures[place], valid[place] = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), True
    return pictures, valid


def small_pictures(pictures: np.ndarray) -> np.ndarray:
    """Every frame at 32x32 pixels, shape (frames, 1024)."""
    return np.stack([cv2.resize(p, (32, 32), interpolation=cv2.INTER_AREA).ravel() for p in pictures])


def difference_energy(pictures: np.ndarray) -> np.ndarray:
    """Mean absolute difference from the frame before, on an 8x8 grid and overall, shape (frames, 65)."""
    values = pictures.astype(np.float32)
    cell = PICTURE // 8
    grid = np.abs(np.diff(values, axis=0, prepend=values[:1])).reshape(-1, 8, cell, 8, cell).mean(axis=(2, 4))
    if len(grid) > 1:
        grid[0] = grid[1]  # there is no frame before the first one
    return np.concatenate([grid.reshape(-1, 64), grid.mean(axis=(1, 2))[:, None]], axis=1)


def hog_and_flow(pictures: np.ndarray) -> np.ndarray:
    """HOG of every frame and Farneback's optical flow from the frame before, shape (frames, 459)."""
    before = np.concatenate([pictures[:1], pictures[:-1]])
    shape = np.stack([real_clips.hog(p) for p in pictures])
    movement = np.stack([_flow(a, b) for a, b in zip(before, pictures, strict=True)])
    if len(movement) > 1:
        movement[0] = movement[1]
    return np.concatenate([shape, movement], axis=1)


def _flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 9, 3, 5, 1.1, 0)  # pyright: ignore
    directions = real_clips.by_direction(flow[..., 0], flow[..., 1], cells=4, bins=8, turn=2 * np.pi)
    speeds = np.histogram(np.hypot(flow[..., 0], flow[..., 1]), bins=[0, 0.1, 0.25, 0.5, 1, 2, 4, np.inf])[0]
    return np.concatenate([directions.ravel(), speeds]) / PICTURE**2


# What is made of every frame, and which of design_matrix's mean, spread and change over time is taken of it.
SIMPLE: dict[str, tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]] = {
    "mean image": (small_pictures, ("mean",)),
    "frame-difference energy": (difference_energy, ("mean", "spread")),
    "HOG + optical flow": (hog_and_flow, ("mean", "spread", "change")),
}


def as_features(values: np.ndarray, valid: np.ndarray) -> xr.Dataset:
    """Numbers of every frame in the features layout, with one token.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (individuals, frames, numbers).
    valid : numpy.ndarray
        bool, shape (individuals, frames).

    Returns
    -------
    xarray.Dataset
    """
    return _layout(values[:, :, None].astype(np.float32), valid, np.zeros(values.shape[1], dtype=np.int16))


def _layout(tokens: np.ndarray, valid: np.ndarray, slot: np.ndarray) -> xr.Dataset:
    count = len(slot)
    return xr.Dataset(
        {
            "feature": (("individual", "time", "token", "channel"), tokens),
            "valid": (("individual", "time"), valid),
            "window_position": ("time", slot),
            "edge_time": ("edge", np.arange(count + 1.0)),
        },
        coords={
            "individual": np.arange(len(tokens)).astype(str).astype(object),
            "time": np.arange(count) + 0.5,
            "frame": ("time", np.arange(count)),
        },
    )


# -- rows


def session_rows(
    clips: Sequence[xr.Dataset], frames: Sequence[np.ndarray], *, over_time: Sequence[str] = ()
) -> list[np.ndarray]:
    """Rows of chosen frames of the clips of one session, as ``train`` would make them of one recording.

    Parameters
    ----------
    clips : sequence of xarray.Dataset
        Features layout, with the same individuals.
    frames : sequence of numpy.ndarray
        For each clip, the positions wanted; see :func:`chosen_frames`.
    over_time : sequence of str
        For features with one token, of which the mean, maximum and spread over places say nothing new: what to take
        of ``"mean"``, ``"spread"`` and ``"change"`` over time. By default all that ``design_matrix`` gives.

    Returns
    -------
    list of numpy.ndarray
        For each clip, float32, shape (individuals, chosen frames, numbers).
    """
    joined = _layout(
        np.concatenate(
            [c["feature"].transpose("individual", "time", "token", "channel").values for c in clips], axis=1
        ),
        np.concatenate([c["valid"].transpose("individual", "time").values for c in clips], axis=1),
        np.concatenate([c["window_position"].values for c in clips]),
    )
    rows, _ = design_matrix(joined)
    rows = rows.reshape(joined.sizes["individual"], joined.sizes["time"], 3, 3, joined.sizes["channel"])
    if over_time:
        rows = rows[:, :, [("mean", "spread", "change").index(name) for name in over_time]][:, :, :, :1]
    rows = rows.reshape(*rows.shape[:2], -1)
    begins = np.cumsum([0, *(c.sizes["time"] for c in clips)])[:-1]
    # scaled once more, by what lies inside of clips: where one clip follows another one all changes, and by much
    inside = [begin + chosen_frames(c.sizes["time"]) for begin, c in zip(begins, clips, strict=True)]
    own = rows[:, np.concatenate(inside)]
    rows = (rows - own.mean(axis=1, keepdims=True)) / (own.std(axis=1, keepdims=True) + 1e-6)
    return [rows[:, begin + chosen] for begin, chosen in zip(begins, frames, strict=True)]


def chosen_frames(num_frames: int, most: int | None = None) -> np.ndarray:
    """Evenly spaced frames of a clip whose context lies in the clip; the middle one where there is none.

    Parameters
    ----------
    num_frames : int
        Of the clip.
    most : int, optional
        How many at most.

    Returns
    -------
    numpy.ndarray
        Increasing positions.

    Examples
    --------
    >>> chosen_frames(21, 24).tolist(), chosen_frames(4, 24).tolist()
    ([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], [2])
    """
    # one more at the beginning: the change at a frame looks at the frame before it
    inside = np.arange(DEFAULT_CONTEXT + 1, num_frames - DEFAULT_CONTEXT)
    if len(inside) == 0:
        return np.array([num_frames // 2])
    if most is None or most >= len(inside):
        return inside
    return inside[np.linspace(0, len(inside) - 1, most).round().astype(int)]
