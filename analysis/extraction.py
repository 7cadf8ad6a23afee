"""Frozen features of every sampled frame, streamed from video to store.

Each frame passes the spatial tower once; its tokens are reused by every window that holds the frame. A sampled
frame keeps its tokens from the window in which it is most central. Batches of frames and of windows are anchored
at the first frame and padded to full size, so that a resumed run computes the same batches, hence the same bits,
as an uninterrupted one. Memory: two batches of frames, the tokens of about one batch of windows, one shard.
"""

from __future__ import annotations

import json
import queue
import shutil
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import xarray as xr

from behavior_prism.datasets import Recording, WindowSpec, central_windows, fingerprint, sample_frames, window_starts
from behavior_prism.schemas import log_operation

from .store import FeatureWriter, open_features, partial_path, read_attrs, settings_key

if TYPE_CHECKING:
    from behavior_prism.encoder import LoadedEncoder

FRAME_BATCH = 16
WINDOW_BATCH = 4
Progress = Callable[[int, int], None]
T = TypeVar("T")


def extract_features(
    recording: Recording,
    encoder: LoadedEncoder,
    path: str | Path,
    *,
    window: WindowSpec | None = None,
    grid: tuple[int, int] = (4, 4),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Extract the frozen features of a recording into a zarr store.

    Parameters
    ----------
    recording : Recording
        What to encode; each of its regions counts as an individual.
    encoder : LoadedEncoder
        From :func:`behavior_prism.encoder.load_encoder`.
    path : str or pathlib.Path
        The store to make, ``<name>.features.zarr``. If it is there with the same settings nothing is done; if a run
        was interrupted it goes on where that stopped.
    window : WindowSpec, optional
        How to cut; by default the encoder's length, about 30 sampled frames a second, half-overlapping.
    grid : (int, int)
        Rows and columns to which a frame's tokens are averaged; both must divide the encoder's own grid.
    overwrite : bool
        Replace a store that was made with other settings.
    progress : callable, optional
        Called with (sampled frames done, of how many).

    Returns
    -------
    xarray.Dataset
        The opened store: ``feature(individual, time, token, channel)``.

    Raises
    ------
    FileExistsError
        If the store is there with other settings and ``overwrite`` is not set.
    ValueError
        If a frame cannot be decoded or the settings do not fit the encoder; nothing is left behind then.

    Examples
    --------
    >>> from behavior_prism import load_encoder                                                # doctest: +SKIP
    >>> features = extract_features(load_recording("a.mp4"), load_encoder("tiny"), "a.features.zarr")  # doctest: +SKIP
    """
    path = Path(path)
    window = window or WindowSpec.for_rate(recording.video.fps, length=encoder.num_frames)
    settings = _settings(recording, encoder, window, grid)
    if path.exists() and not _is_replaceable(path, settings, overwrite):
        return open_features(path)
    sampled = sample_frames(recording.start_frame, recording.stop_frame, window.step)
    rows, cols = grid
    writer = FeatureWriter(
        path,
        settings,
        _template(recording, sampled, window, grid),
        num_tokens=rows * cols,
        num_channels=encoder.model.config.model_dim,
        attrs=_provenance(recording, encoder),
    )
    try:
        _fill(writer, recording, encoder, sampled, window, grid, progress)
    except ValueError:
        writer.discard()  # a frame that cannot be decoded will not decode next time either
        raise
    if path.exists():  # overwrite: only now, when the new one is whole
        _remove_store(path)
    writer.finish()
    return open_features(path)


def _settings(
    recording: Recording, encoder: LoadedEncoder, window: WindowSpec, grid: tuple[int, int]
) -> dict[str, Any]:
    own = encoder.model.grid_size(*encoder.image_size)
    if any(g < 1 or o % g for g, o in zip(grid, own, strict=True)):
        raise ValueError(f"grid: expected numbers that divide the encoder's {own[0]}x{own[1]}, got {grid[0]}x{grid[1]}")
    return {
        "layout": 1,
        "fingerprint": fingerprint(recording.video.path),
        "frames": [recording.start_frame, recording.stop_frame],
        "regions": {name: list(box) for name, box in recording.regions.items()},
        **feature_spec(encoder, window, grid),
    }


def feature_spec(encoder: LoadedEncoder, window: WindowSpec, grid: tuple[int, int]) -> dict[str, Any]:
    """What two stores must share for one probe to read both.

    Parameters
    ----------
    encoder : LoadedEncoder
        Its weights enter by their hash.
    window : WindowSpec
        Length, step and stride.
    grid : (int, int)
        Token rows and columns kept.

    Returns
    -------
    dict
        JSON-compatible.
    """
    return {
        "encoder": encoder.name,
        "weights": encoder.weights_id,
        "image_size": list(encoder.image_size),
        "resize": "squash",
        "length": window.length,
        "step": window.step,
        "stride": window.stride,
        "grid": list(grid),
        "dtype": "float16",
    }


def _is_replaceable(path: Path, settings: dict[str, Any], overwrite: bool) -> bool:
    """Whether an existing store must be made anew; raises where that was not asked for."""
    try:
        attrs = read_attrs(path, "features")
    except ValueError:
        raise FileExistsError(f"{path}: exists already and is not a feature store; choose another name") from None
    if attrs.get("key") == settings_key(settings):
        return False
    if not overwrite:
        before = json.loads(attrs.get("settings", "{}"))
        changed = sorted(k for k in settings if before.get(k) != settings[k])
        raise FileExistsError(
            f"{path}: exists already, made with another {', '.join(changed)}; "
            "choose another name or overwrite it explicitly"
        )
    return True


def _remove_store(path: Path) -> None:
    gone = path.with_name(path.name + ".old")
    path.replace(gone)
    shutil.rmtree(gone)


def _template(recording: Recording, sampled: np.ndarray, window: WindowSpec, grid: tuple[int, int]) -> xr.Dataset:
    rows, cols = grid
    individuals = recording.individuals
    _, position = central_windows(len(sampled), window)
    return xr.Dataset(
        {
            "valid": (("individual", "time"), np.ones((len(individuals), len(sampled)), dtype=bool)),
            "window_position": ("time", position.astype(np.int16)),
            "edge_time": ("edge", recording.video.edges),
        },
        coords={
            "individual": np.asarray(individuals, dtype=object),
            "kind": (
                "individual",
                np.asarray(["view" if i == "view" else "region" for i in individuals], dtype=object),
            ),
            "time": recording.times[sampled],
            "frame": ("time", sampled),
            "row": ("token", np.repeat(np.arange(rows), cols)),
            "col": ("token", np.tile(np.arange(cols), rows)),
        },
    )


def _provenance(recording: Recording, encoder: LoadedEncoder) -> dict[str, Any]:
    import behavior_prism

    attrs = {
        "recording": recording.name,
        "video": str(recording.video.path.resolve()),
        "fps": recording.video.fps,
        "encoder_trained": int(encoder.trained),
        "encoder_notice": encoder.notice,
        "behavior_prism_version": behavior_prism.__version__,
        "torch_version": str(torch.__version__),
        "batch": [FRAME_BATCH, WINDOW_BATCH],
    }
    return log_operation(attrs, "extract_features", encoder=encoder.name, weights=encoder.weights_id[:12])


def _fill(
    writer: FeatureWriter,
    recording: Recording,
    encoder: LoadedEncoder,
    sampled: np.ndarray,
    spec: WindowSpec,
    grid: tuple[int, int],
    progress: Progress | None,
) -> None:
    """Compute and write every shard that is not done yet, run by run of missing shards."""
    report = progress or (lambda done, of: None)
    for k in range(writer.num_shards):
        if writer.done[k] or (k and not writer.done[k - 1]):
            continue
        last = k
        while last + 1 < writer.num_shards and not writer.done[last + 1]:
            last += 1
        a, b = writer.shard_frames(k)[0], writer.shard_frames(last)[1]
        report(a, len(sampled))
        buffer: list[np.ndarray] = []
        held, shard = 0, k
        for block in _encode(recording, encoder, sampled, spec, grid, first=a, stop=b):
            buffer.append(block)
            held += block.shape[1]
            size = np.diff(writer.shard_frames(shard))[0]
            if held >= size:
                joined = np.concatenate(buffer, axis=1)
                while shard <= last and held >= (size := int(np.diff(writer.shard_frames(shard))[0])):
                    writer.write(shard, joined[:, :size])
                    joined, held, shard = joined[:, size:], held - size, shard + 1
                buffer = [joined]
            report(min(b, writer.shard_frames(shard)[0] + held if shard <= last else b), len(sampled))
    report(len(sampled), len(sampled))


@torch.inference_mode()
def _encode(
    recording: Recording,
    encoder: LoadedEncoder,
    sampled: np.ndarray,
    spec: WindowSpec,
    grid: tuple[int, int],
    *,
    first: int,
    stop: int,
) -> Iterator[np.ndarray]:
    """Yield float16 features (individual, frames, token, channel) of the sampled frames [first, stop), in order."""
    individuals = recording.individuals
    starts = window_starts(len(sampled), spec)
    window_of, position_of = central_windows(len(sampled), spec)
    first_batch = int(window_of[first]) // WINDOW_BATCH
    last_batch = int(window_of[stop - 1]) // WINDOW_BATCH
    first_frame_batch = int(starts[first_batch * WINDOW_BATCH]) // FRAME_BATCH
    batches = prefetch(_frame_batches(recording, encoder, sampled, first_frame_batch))
    tokens: dict[int, torch.Tensor] = {}  # sampled frame -> (individual, N, D)
    try:
        for j in range(first_batch, last_batch + 1):
            windows = np.arange(j * WINDOW_BATCH, min((j + 1) * WINDOW_BATCH, len(starts)))
            end = min(int(starts[windows[-1]]) + spec.length, len(sampled))
            while end - 1 not in tokens:
                begin, pictures = next(batches)  # (individual, FRAME_BATCH, H, W, 3)
                spatial = torch.stack([encoder.model.forward_spatial(p[None])[0] for p in pictures])
                for i in range(min(FRAME_BATCH, len(sampled) - begin)):
                    tokens[begin + i] = spatial[:, i]
            owned = np.flatnonzero((window_of >= windows[0]) & (window_of <= windows[-1]))
            owned = owned[(owned >= first) & (owned < stop)]
            if len(owned):
                yield _windows_to_frames(
                    encoder,
                    tokens,
                    starts,
                    windows,
                    owned,
                    window_of,
                    position_of,
                    len(sampled),
                    spec,
                    grid,
                    len(individuals),
                )
            keep_from = int(starts[min(windows[-1] + 1, len(starts) - 1)])
            for f in [f for f in tokens if f < keep_from]:
                del tokens[f]
    finally:
        batches.close()


def _windows_to_frames(
    encoder: LoadedEncoder,
    tokens: dict[int, torch.Tensor],
    starts: np.ndarray,
    windows: np.ndarray,
    owned: np.ndarray,
    window_of: np.ndarray,
    position_of: np.ndarray,
    num_sampled: int,
    spec: WindowSpec,
    grid: tuple[int, int],
    num_individuals: int,
) -> np.ndarray:
    padded = np.append(windows, np.repeat(windows[-1:], WINDOW_BATCH - len(windows)))  # always a full batch
    frames = starts[padded][:, None] + np.arange(spec.length)  # (WINDOW_BATCH, T)
    paddings = torch.from_numpy((frames >= num_sampled).astype(np.float32))
    frames = np.minimum(frames, num_sampled - 1)
    out = []
    for individual in range(num_individuals):
        clip = torch.stack([torch.stack([tokens[int(f)][individual] for f in row]) for row in frames])
        any_padded = bool(paddings.any())
        encoded = encoder.model.forward_temporal(clip, paddings.to(clip.device) if any_padded else None)  # (B, T, N, D)
        kept = encoded[torch.from_numpy(window_of[owned] - windows[0]), torch.from_numpy(position_of[owned])]
        out.append(_pool_grid(kept, encoder, grid).to(torch.float16).cpu().numpy())
    return np.stack(out)


def _pool_grid(tokens: torch.Tensor, encoder: LoadedEncoder, grid: tuple[int, int]) -> torch.Tensor:
    """Average (frames, N, D) tokens over blocks of the encoder's grid: (frames, rows * cols, D)."""
    own_rows, own_cols = encoder.model.grid_size(*encoder.image_size)
    rows, cols = grid
    n, _, d = tokens.shape
    blocks = tokens.float().view(n, rows, own_rows // rows, cols, own_cols // cols, d)
    return blocks.mean(dim=(2, 4)).reshape(n, rows * cols, d)


def _frame_batches(
    recording: Recording, encoder: LoadedEncoder, sampled: np.ndarray, first_batch: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first sampled frame, pictures (individual, FRAME_BATCH, H, W, 3) in [0, 1]), anchored at frame 0."""
    from behavior_prism.encoder import preprocess_frames

    frames = recording.video.iter_frames(sampled[first_batch * FRAME_BATCH :])
    begin = first_batch * FRAME_BATCH
    while begin < len(sampled):
        raw = [next(frames) for _ in range(min(FRAME_BATCH, len(sampled) - begin))]
        raw += raw[-1:] * (FRAME_BATCH - len(raw))
        pictures = [
            preprocess_frames(np.stack([recording.crop(frame, name) for frame in raw]), encoder.image_size)
            for name in recording.individuals
        ]
        yield begin, torch.stack(pictures).to(encoder.device, encoder.dtype)
        begin += FRAME_BATCH


def prefetch(items: Iterator[T], depth: int = 2) -> Generator[T]:
    """Compute the next items in a thread while the present one is used.

    Parameters
    ----------
    items : iterator
        Consumed in a background thread; an exception in it is raised here.
    depth : int
        How many items may wait.

    Yields
    ------
    object
        The items, in order.
    """
    waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: tuple[bool, Any]) -> None:
        while not stopped.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                if stopped.is_set():
                    return
                put((True, item))
            put((False, None))
        except BaseException as error:  # handed over and raised by the reader
            put((False, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            is_item, value = waiting.get()
            if is_item:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:
        stopped.set()
        thread.join()


__all__ = ["extract_features", "feature_spec", "partial_path", "prefetch"]
