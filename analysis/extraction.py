"""Frozen features of every sampled frame, streamed from video to store.

Each frame passes the spatial tower once; its tokens are reused by every window that holds the frame. A sampled
frame keeps its tokens from the window in which it is most central. Batches of frames and of windows are anchored
at the first frame and padded to full size, so that a resumed run computes the same batches, hence the same bits,
as an uninterrupted one. Memory: two batches of frames, the tokens of about one batch of windows, one shard.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import xarray as xr

from behavior_prism.datasets import Recording, WindowSpec, central_windows, fingerprint, sample_frames, window_starts
from behavior_prism.schemas import log_operation

from .store import FeatureWriter, only_writer, open_features, partial_path, read_attrs, settings_key

if TYPE_CHECKING:
    from behavior_prism.encoder import LoadedEncoder

FRAME_BATCH = 16
WINDOW_BATCH = 4
Progress = Callable[[int, int], None]
T = TypeVar("T")


class UndecodableFrameError(ValueError):
    """A frame that cannot be decoded, and will not next time either."""


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
        Replace a store that was made, or begun, with other settings.
    progress : callable, optional
        Called with (sampled frames done, of how many).

    Returns
    -------
    xarray.Dataset
        The opened store: ``feature(individual, time, token, channel)``.

    Raises
    ------
    FileExistsError
        If the store is there, or was begun, with other settings and ``overwrite`` is not set.
    BlockingIOError
        If another process is writing the same store.
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
    sampling = _Sampling.of(recording, encoder, window, grid)
    with only_writer(path):
        writer = FeatureWriter(
            path,
            settings,
            _template(recording, sampling),
            num_tokens=grid[0] * grid[1],
            num_channels=encoder.model.config.model_dim,
            attrs=_provenance(recording, encoder),
            overwrite=overwrite,
        )
        try:
            _fill(writer, recording, sampling, progress)
        except UndecodableFrameError:
            writer.discard()
            raise
        writer.finish()
    return open_features(path)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sampling:
    """Which frames are encoded, in which windows, by what: all that is fixed before the first frame is read."""

    encoder: LoadedEncoder
    spec: WindowSpec
    grid: tuple[int, int]
    frames: np.ndarray  # video frame of every sampled one
    starts: np.ndarray  # first sampled frame of every window
    window_of: np.ndarray  # the window that speaks for a sampled frame
    position_of: np.ndarray  # its slot there

    @classmethod
    def of(cls, recording: Recording, encoder: LoadedEncoder, spec: WindowSpec, grid: tuple[int, int]) -> _Sampling:
        frames = sample_frames(recording.start_frame, recording.stop_frame, spec.step)
        window_of, position_of = central_windows(len(frames), spec)
        return cls(
            encoder=encoder,
            spec=spec,
            grid=grid,
            frames=frames,
            starts=window_starts(len(frames), spec),
            window_of=window_of,
            position_of=position_of,
        )

    def __len__(self) -> int:
        return len(self.frames)


def _settings(
    recording: Recording, encoder: LoadedEncoder, window: WindowSpec, grid: tuple[int, int]
) -> dict[str, Any]:
    check_grid(encoder, grid)
    return {
        "layout": 1,
        "fingerprint": _fingerprint(recording),
        "times": hashlib.sha256(recording.times.round(6).tobytes()).hexdigest()[:16],  # the camera's own may be given
        "frames": [recording.start_frame, recording.stop_frame],
        "regions": {name: list(box) for name, box in recording.regions.items()},
        **feature_spec(encoder, window, grid),
    }


def _fingerprint(recording: Recording) -> str:
    """Of the video file; of all files of a session in pieces."""
    pieces = [fingerprint(path) for path in getattr(recording.video, "paths", [recording.video.path])]
    return pieces[0] if len(pieces) == 1 else hashlib.sha256(" ".join(pieces).encode()).hexdigest()


def check_grid(encoder: LoadedEncoder, grid: tuple[int, int]) -> None:
    """Raise if an encoder's tokens cannot be averaged to a grid.

    Parameters
    ----------
    encoder : LoadedEncoder
        From :func:`behavior_prism.encoder.load_encoder`.
    grid : (int, int)
        Rows and columns to keep.

    Raises
    ------
    ValueError
        If they do not divide the encoder's own.
    """
    own = encoder.model.grid_size(*encoder.image_size)
    if any(g < 1 or o % g for g, o in zip(grid, own, strict=True)):
        raise ValueError(f"grid: expected numbers that divide the encoder's {own[0]}x{own[1]}, got {grid[0]}x{grid[1]}")


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
            "choose another name or overwrite it explicitly (--overwrite)"
        )
    return True


def _template(recording: Recording, sampling: _Sampling) -> xr.Dataset:
    rows, cols = sampling.grid
    individuals = recording.individuals
    return xr.Dataset(
        {
            "valid": (("individual", "time"), np.ones((len(individuals), len(sampling)), dtype=bool)),
            "window_position": ("time", sampling.position_of.astype(np.int16)),
            "edge_time": ("edge", recording.video.edges),
        },
        coords={
            "individual": np.asarray(individuals, dtype=object),
            "kind": (
                "individual",
                np.asarray(["view" if i == "view" else "region" for i in individuals], dtype=object),
            ),
            "time": recording.times[sampling.frames],
            "frame": ("time", sampling.frames),
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


def _fill(writer: FeatureWriter, recording: Recording, sampling: _Sampling, progress: Progress | None) -> None:
    """Compute and write every shard that is not done yet, run by run of missing shards."""
    report = progress or (lambda done, of: None)
    for k in range(writer.num_shards):
        if writer.done[k] or (k and not writer.done[k - 1]):
            continue
        last = k
        while last + 1 < writer.num_shards and not writer.done[last + 1]:
            last += 1
        a, b = writer.shard_frames(k)[0], writer.shard_frames(last)[1]
        report(a, len(sampling))
        buffer: list[np.ndarray] = []
        held, shard = 0, k
        for block in _encode(recording, sampling, first=a, stop=b):
            buffer.append(block)
            held += block.shape[1]
            size = np.diff(writer.shard_frames(shard))[0]
            if held >= size:
                joined = np.concatenate(buffer, axis=1)
                while shard <= last and held >= (size := int(np.diff(writer.shard_frames(shard))[0])):
                    writer.write(shard, joined[:, :size])
                    joined, held, shard = joined[:, size:], held - size, shard + 1
                buffer = [joined]
            report(min(b, writer.shard_frames(shard)[0] + held if shard <= last else b), len(sampling))
    report(len(sampling), len(sampling))


@torch.inference_mode()
def _encode(recording: Recording, sampling: _Sampling, *, first: int, stop: int) -> Iterator[np.ndarray]:
    """Yield float16 features (individual, frames, token, channel) of the sampled frames [first, stop), in order."""
    starts, window_of = sampling.starts, sampling.window_of
    first_batch = int(window_of[first]) // WINDOW_BATCH
    last_batch = int(window_of[stop - 1]) // WINDOW_BATCH
    first_frame_batch = int(starts[first_batch * WINDOW_BATCH]) // FRAME_BATCH
    batches = prefetch(_frame_batches(recording, sampling, first_frame_batch))
    tokens: dict[int, torch.Tensor] = {}  # sampled frame -> (individual, N, D)
    try:
        for j in range(first_batch, last_batch + 1):
            windows = np.arange(j * WINDOW_BATCH, min((j + 1) * WINDOW_BATCH, len(starts)))
            end = min(int(starts[windows[-1]]) + sampling.spec.length, len(sampling))
            while end - 1 not in tokens:
                begin, pictures = next(batches)  # (individual, FRAME_BATCH, H, W, 3)
                spatial = torch.stack([sampling.encoder.model.forward_spatial(p[None])[0] for p in pictures])
                for i in range(min(FRAME_BATCH, len(sampling) - begin)):
                    tokens[begin + i] = spatial[:, i]
            owned = np.flatnonzero((window_of >= windows[0]) & (window_of <= windows[-1]))
            owned = owned[(owned >= first) & (owned < stop)]
            if len(owned):
                yield _windows_to_frames(sampling, tokens, windows, owned)
            keep_from = int(starts[min(windows[-1] + 1, len(starts) - 1)])
            for f in [f for f in tokens if f < keep_from]:
                del tokens[f]
    finally:
        batches.close()


def _windows_to_frames(
    sampling: _Sampling, tokens: dict[int, torch.Tensor], windows: np.ndarray, owned: np.ndarray
) -> np.ndarray:
    """Features of the sampled frames ``owned`` by a batch of windows."""
    padded = np.append(windows, np.repeat(windows[-1:], WINDOW_BATCH - len(windows)))  # always a full batch
    frames = sampling.starts[padded][:, None] + np.arange(sampling.spec.length)  # (WINDOW_BATCH, T)
    paddings = torch.from_numpy((frames >= len(sampling)).astype(np.float32))
    frames = np.minimum(frames, len(sampling) - 1)
    window = torch.from_numpy(sampling.window_of[owned] - windows[0])
    position = torch.from_numpy(sampling.position_of[owned])
    out = []
    for individual in range(len(next(iter(tokens.values())))):
        clip = torch.stack([torch.stack([tokens[int(f)][individual] for f in row]) for row in frames])
        frame_paddings = paddings.to(clip.device) if bool(paddings.any()) else None
        encoded = sampling.encoder.model.forward_temporal(clip, frame_paddings)  # (B, T, N, D)
        pooled = _pool_grid(encoded[window, position], sampling.encoder, sampling.grid)
        out.append(pooled.to(torch.float16).cpu().numpy())
    return np.stack(out)


def _pool_grid(tokens: torch.Tensor, encoder: LoadedEncoder, grid: tuple[int, int]) -> torch.Tensor:
    """Average (frames, N, D) tokens over blocks of the encoder's grid: (frames, rows * cols, D)."""
    own_rows, own_cols = encoder.model.grid_size(*encoder.image_size)
    rows, cols = grid
    n, _, d = tokens.shape
    blocks = tokens.float().view(n, rows, own_rows // rows, cols, own_cols // cols, d)
    return blocks.mean(dim=(2, 4)).reshape(n, rows * cols, d)


def _frame_batches(recording: Recording, sampling: _Sampling, first_batch: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first sampled frame, pictures (individual, FRAME_BATCH, H, W, 3) in [0, 1]), anchored at frame 0."""
    from behavior_prism.encoder import preprocess_frames

    encoder = sampling.encoder
    begin = first_batch * FRAME_BATCH
    frames = _decoded(recording, sampling.frames[begin:])
    while begin < len(sampling):
        raw = [next(frames) for _ in range(min(FRAME_BATCH, len(sampling) - begin))]
        raw += raw[-1:] * (FRAME_BATCH - len(raw))
        pictures = [
            preprocess_frames(np.stack([recording.crop(frame, name) for frame in raw]), encoder.image_size)
            for name in recording.individuals
        ]
        yield begin, torch.stack(pictures).to(encoder.device, encoder.dtype)
        begin += FRAME_BATCH


def _decoded(recording: Recording, frames: np.ndarray) -> Iterator[np.ndarray]:
    """Frames of the video; what the decoder says of a bad one is told from every other error."""
    try:
        yield from recording.video.iter_frames(frames)
    except ValueError as error:
        raise UndecodableFrameError(str(error)) from error


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


__all__ = ["UndecodableFrameError", "check_grid", "extract_features", "feature_spec", "partial_path", "prefetch"]
