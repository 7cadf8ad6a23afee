"""Frozen features of every sampled frame, from video to store.

Decoding, cutting and resizing run in a thread of their own (:mod:`.frame_pictures`), the encoder in the caller's
(:mod:`.feature_stream`), writing in a third (:mod:`.feature_writer`); each waits for the next one, so that memory stays
what the encoder takes and some 300 MB, however long the recording.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from behavior_prism.datasets import CropSpec, Recording, WindowSpec

from .extraction_plan import ExtractionPlan, check_grid, feature_spec, video_fingerprint_of
from .feature_shards import Shards
from .feature_stream import encode_stream
from .feature_writer import FeatureWriter
from .frame_pictures import MAX_UNDECODABLE, Undecodable, UndecodableFrameError
from .individuals import find_individuals
from .micro_batch import Batch, choose_batch
from .provenance import describe_extraction, describe_machine, now
from .store import open_features, open_unfinished, partial_path, read_attrs, settings_key
from .writer_lock import claim_shards, one_of_the_writers, only_writer

if TYPE_CHECKING:
    from behavior_prism.encoder import LoadedEncoder

Progress = Callable[[int, int], None]


def extract_features(
    recording: Recording,
    encoder: LoadedEncoder,
    path: str | Path,
    *,
    window: WindowSpec | None = None,
    rate: float | None = None,
    grid: tuple[int, int] = (4, 4),
    individual_source: str = "view",
    crops: CropSpec | None = None,
    individuals: Sequence[str] | None = None,
    clip_stride: int | None = None,
    batch: tuple[int, int] | None = None,
    max_undecodable: float = MAX_UNDECODABLE,
    shards: range | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Extract the frozen features of a recording into a zarr store.

    Parameters
    ----------
    recording : Recording
        What to encode.
    encoder : LoadedEncoder
        From :func:`behavior_prism.encoder.load_encoder`.
    path : str or pathlib.Path
        The store to make, ``<name>.features.zarr``, or :func:`store_path` in a study. If it is there with the same
        settings nothing is done; if a run was interrupted it goes on where that stopped.
    window : WindowSpec, optional
        How to cut; by default the encoder's length, about 30 sampled frames a second, half-overlapping. No window
        reaches over a gap in time.
    rate : float, optional
        Frames a second. Where the camera's rate is variable, frames are sampled by time, so many a second, and the
        step of ``window`` says but how many that are on average. By default 30 if there is no ``window``.
    grid : (int, int)
        Rows and columns to which a frame's tokens are averaged; unless ``individual_source`` is ``"roi"`` both must
        divide the encoder's own grid.
    individual_source : {"view", "crop", "roi"}
        Who counts as an individual: each region of the recording (by default the whole view); each animal of its
        tracks, by a crop of its own; or each animal by the tokens of the whole view that its box covers, which costs
        one pass for all (without tracks the regions stand for boxes).
    crops : CropSpec, optional
        What a crop shows, or how large the box is.
    individuals : sequence of str, optional
        Animals of the tracks, and pairs of them as ``"a|b"``; all animals by default.
    clip_stride : int, optional
        Sampled frames from one clip to the next, a multiple of the windows' stride; by default clips hardly overlap.
    batch : (int, int), optional
        Frames and windows that go through the encoder together, for a store that is begun now; by default what the
        device's free memory takes.
    max_undecodable : float
        Largest share of the sampled frames that may be undecodable. They are listed in the attribute
        ``undecodable_frames`` and are not ``valid``.
    shards : range, optional
        Compute only these shards, beside other processes that compute others; :func:`finish_store` gives the store its
        name. See :func:`begin_store`.
    overwrite : bool
        Replace a store that was made, or begun, with other settings.
    progress : callable, optional
        Called with (sampled frames done, of how many).

    Returns
    -------
    xarray.Dataset
        The opened store: ``feature(individual, time, token, channel)``, 0 where not ``valid(individual, time)``; with
        ``shards`` the unfinished one.

    Raises
    ------
    FileExistsError
        If the store is there, or was begun, with other settings and ``overwrite`` is not set.
    BlockingIOError
        If another process is writing the same store, or one of these shards.
    OSError
        If it cannot be written; what is done stays.
    UndecodableFrameError
        If more frames cannot be decoded than ``max_undecodable``; what is done stays.
    ValueError
        If the settings do not fit the encoder or the recording.

    Examples
    --------
    >>> from behavior_prism import load_encoder                                                # doctest: +SKIP
    >>> features = extract_features(load_recording("a.mp4"), load_encoder("tiny"), "a.features.zarr")  # doctest: +SKIP
    """
    path = Path(path)
    plan = plan_features(
        recording,
        encoder,
        window,
        grid,
        individual_source=individual_source,
        crops=crops,
        individuals=individuals,
        clip_stride=clip_stride,
        rate=rate,
    )
    settings = plan.settings()
    if path.exists() and not _is_replaceable(path, settings, overwrite and shards is None):
        return open_features(path)
    with ExitStack() as stack:
        _enter(stack, one_of_the_writers if shards is not None else only_writer, path)
        if path.exists() and not _is_replaceable(path, settings, overwrite and shards is None):
            return open_features(path)  # somebody was quicker
        writer = _writer(path, plan, settings, batch, overwrite, shards)
        wanted = range(len(writer.done)) if shards is None else shards
        if not set(wanted) <= set(range(len(writer.done))):
            raise ValueError(f"shards: expected numbers below {len(writer.done)}, got {wanted}")
        if shards is not None:
            stack.enter_context(claim_shards(writer.partial, wanted))
        undecodable = Undecodable(plan, max_undecodable, writer.undecodable())
        _fill(writer, plan, wanted, undecodable, progress)
        if video_fingerprint_of(recording) != settings["fingerprint"]:
            if shards is None:
                writer.discard()
            raise ValueError(
                f"{recording.video.path}: has changed while it was read; extract again when it is complete"
            )
        if shards is not None:
            return open_unfinished(path)
        _finish(writer)
    return open_features(path)


def plan_features(
    recording: Recording,
    encoder: LoadedEncoder,
    window: WindowSpec | None = None,
    grid: tuple[int, int] = (4, 4),
    individual_source: str = "view",
    crops: CropSpec | None = None,
    individuals: Sequence[str] | None = None,
    clip_stride: int | None = None,
    rate: float | None = None,
) -> ExtractionPlan:
    """Say what an extraction would compute; ``settings()`` of the plan are what names its store.

    Parameters
    ----------
    recording, encoder, window, grid, individual_source, crops, individuals, clip_stride, rate
        As in :func:`extract_features`.

    Returns
    -------
    ExtractionPlan
    """
    if window is None:
        rate = 30.0 if rate is None else rate
        window = WindowSpec.for_rate(recording.video.fps, length=encoder.num_frames, rate=rate)
    who = find_individuals(recording, individual_source, crops, individuals)
    return ExtractionPlan.of(who, encoder, window, grid, clip_stride, rate)


def begin_store(plan: ExtractionPlan, path: str | Path, *, batch: tuple[int, int] | None = None) -> list[int]:
    """Lay out a store for several processes to fill, or find the one that was begun.

    Parameters
    ----------
    plan : ExtractionPlan
        From :func:`plan_features`.
    path : str or pathlib.Path
        The store's final place.
    batch : (int, int), optional
        As in :func:`extract_features`.

    Returns
    -------
    list of int
        Shards that are missing; empty if the store is whole and has its name.

    Raises
    ------
    FileExistsError, BlockingIOError, OSError
        As :func:`extract_features`.
    """
    path, settings = Path(path), plan.settings()
    if path.exists() and not _is_replaceable(path, settings, overwrite=False):
        return []
    with ExitStack() as stack:
        _enter(stack, one_of_the_writers, path)
        if path.exists() and not _is_replaceable(path, settings, overwrite=False):
            return []  # somebody was quicker
        writer = _writer(path, plan, settings, batch, False, range(0))
        return np.flatnonzero(~writer.done).tolist()


def finish_store(path: str | Path) -> xr.Dataset:
    """Give a store that several processes have filled its name.

    Parameters
    ----------
    path : str or pathlib.Path
        Its final place.

    Returns
    -------
    xarray.Dataset
        As from :func:`open_features`.

    Raises
    ------
    FileNotFoundError
        If nothing was begun.
    ValueError
        If shards are missing or damaged.
    BlockingIOError
        If somebody is writing it.
    """
    path = Path(path)
    if missing := finish_if_whole(path):
        with open_unfinished(path) as begun:
            of = begun.sizes["shard"]
        raise ValueError(f"{partial_path(path)}: {len(missing)} of {of} shards are missing")
    return open_features(path)


def finish_if_whole(path: Path, *, key: str | None = None, max_undecodable: float = MAX_UNDECODABLE) -> list[int]:
    """Give a store its name if all shards are there and hold what was written.

    Parameters
    ----------
    path : pathlib.Path
        Its final place.
    key : str, optional
        That of the settings it must have.
    max_undecodable : float
        As in :func:`extract_features`; each of several processes knew but its own part.

    Returns
    -------
    list of int
        Shards that are missing; those that turned out damaged are among them from now on. Empty if the store has its
        name, now or before.

    Raises
    ------
    FileNotFoundError
        If nothing was begun.
    FileExistsError
        If there is a store with other settings.
    UndecodableFrameError
        If too many frames cannot be decoded.
    BlockingIOError
        If somebody is writing it.
    """
    if not path.exists() and not partial_path(path).exists():
        open_unfinished(path)  # raises
    with only_writer(path):  # nobody renames it while it is looked at
        for place in (path, partial_path(path)):
            if key is not None and place.exists() and read_attrs(place, "features").get("key") != key:
                raise FileExistsError(f"{place}: was made with other settings; choose another name or remove it")
        if path.exists():
            return []
        writer = FeatureWriter.reopen(path)
        missing = writer.check()
        if missing:
            return missing
        bad, of = len(writer.undecodable()), writer.shards.num_frames
        if bad > max_undecodable * of:
            raise UndecodableFrameError(
                f"{writer.attrs['video']}: {bad} of {of} sampled frames cannot be decoded, more than "
                f"{max_undecodable:.3g} of them (max_undecodable)"
            )
        _finish(writer)
    return []


def _enter(stack: ExitStack, lock: Callable[[Path], Any], path: Path) -> None:
    try:
        stack.enter_context(lock(path))
    except BlockingIOError:
        raise
    except OSError as error:  # a folder that is read-only, say
        raise OSError(f"{path}: cannot be written ({error.strerror})") from error


def _writer(
    path: Path,
    plan: ExtractionPlan,
    settings: dict[str, Any],
    batch: tuple[int, int] | None,
    overwrite: bool,
    shards: range | None,
) -> FeatureWriter:
    chosen = choose_batch(plan.encoder, plan.spec.length) if batch is None else Batch(*batch)
    if min(chosen) < 1:
        raise ValueError(f"batch: expected two whole numbers from 1 on, got {tuple(chosen)}")
    writer = FeatureWriter(
        path,
        settings,
        plan.template(),
        num_tokens=plan.grid[0] * plan.grid[1],
        num_channels=plan.encoder.model.config.model_dim,
        attrs={**describe_extraction(plan), "batch": list(chosen)},
        clip_stride=plan.clip_stride,
        text_aligned=plan.has_text,
        overwrite=overwrite,
        shards=shards,
    )
    if shards is None:
        machines, machine = json.loads(writer.attrs["machines"]), describe_machine(plan.encoder.device)
        if machine not in machines:  # resumed elsewhere: the same numbers but for the last bits
            writer.set_attrs(machines=json.dumps([*machines, machine]))
    return writer


def _finish(writer: FeatureWriter) -> None:
    writer.refresh()
    frames = writer.shards.arrays["frame"][:][writer.undecodable()]
    writer.finish(undecodable_frames=[int(f) for f in frames], finished=now())


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


def _fill(
    writer: FeatureWriter, plan: ExtractionPlan, wanted: range, undecodable: Undecodable, progress: Progress | None
) -> None:
    """Compute and write every wanted shard that is not done yet, run by run of missing shards."""
    batch = Batch(*(int(n) for n in writer.attrs["batch"]))
    sizes = {k: int(np.diff(writer.shards.frames(k))[0]) for k in wanted}
    total = sum(sizes.values())

    def report(of_next: int = 0) -> None:
        if progress is not None:
            finished = sum(size for k, size in sizes.items() if k in computed or writer.done[k])
            progress(min(finished + of_next, total), total)

    computed: set[int] = set()
    while missing := [k for k in wanted if not writer.done[k]]:
        computed.clear()
        run = range(missing[0], next((k for k in missing if k + 1 not in missing), missing[-1]) + 1)
        report()
        failure = None
        with ThreadPoolExecutor(1, thread_name_prefix="write") as executor:
            pending: Future[None] | None = None
            try:
                for k, values in encode_shards(plan, writer.shards, run, batch, undecodable, report):
                    if pending is not None:
                        pending.result()  # one shard is written while the next is computed, no more
                    pending = executor.submit(writer.write, k, batch=batch, **values)
                    computed.add(k)
            except torch.OutOfMemoryError as error:
                failure = str(error).split(". ")[0]
            if pending is not None:
                pending.result()
        if failure is not None:  # outside of the handler, which holds on to what was on the device
            smaller = batch.halved()
            if smaller is None:
                raise ValueError(f"{plan.recording.name}: one window at a time is too much for the device ({failure})")
            batch = smaller
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    report()


def encode_shards(
    plan: ExtractionPlan,
    shards: Shards,
    run: range,
    batch: Batch,
    undecodable: Undecodable,
    report: Callable[[int], None] = lambda frames: None,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Encode some shards that follow one another.

    Parameters
    ----------
    plan : ExtractionPlan
        What to encode.
    shards : Shards
        How it is cut.
    run : range
        Which ones.
    batch : Batch
        How much goes through the encoder at once.
    undecodable : Undecodable
        Counts frames without a picture.
    report : callable
        Called with the number of frames of the next shard that are there.

    Yields
    ------
    int
        Number of the shard.
    dict of str to numpy.ndarray
        What :meth:`FeatureWriter.write` takes.
    """
    (a, _), (_, b) = shards.frames(run[0]), shards.frames(run[-1])
    (first_clip, _), (_, stop_clip) = shards.clips(run[0]), shards.clips(run[-1])
    windows = [*plan.window_of[[a, b - 1]], *plan.clips[first_clip:stop_clip][[0, -1][: stop_clip - first_clip]]]
    filling: dict[int, dict[str, np.ndarray]] = {}
    next_shard = run[0]
    for encoded in encode_stream(plan, int(min(windows)), int(max(windows)), batch, undecodable):
        _place(filling, shards, run, encoded.frames, encoded.first_frame, of_clips=False)
        _place(filling, shards, run, encoded.clips, encoded.first_clip, of_clips=True)
        stop_frame = encoded.first_frame + len(encoded.frames["decodable"])
        stop = encoded.first_clip + encoded.clips["clip_valid"].shape[1]
        while (
            next_shard < run.stop and shards.frames(next_shard)[1] <= stop_frame and shards.clips(next_shard)[1] <= stop
        ):
            yield next_shard, filling.pop(next_shard)
            next_shard += 1
        if next_shard < run.stop:
            report(max(0, min(stop_frame, b) - shards.frames(next_shard)[0]))


def _place(
    filling: dict[int, dict[str, np.ndarray]],
    shards: Shards,
    run: range,
    values: dict[str, np.ndarray],
    first: int,
    *,
    of_clips: bool,
) -> None:
    """Put what was computed, from ``first`` on, into the shards that it belongs to."""
    for name, array in values.items():
        axis = array.ndim > 1
        stop = first + array.shape[axis]
        size = shards.clips_per_shard if of_clips else shards.size
        for k in range(max(run[0], first // size), min(run.stop, -(-stop // size))):
            a, b = shards.clips(k) if of_clips else shards.frames(k)
            low, high = max(a, first), min(b, stop)
            shard = filling.setdefault(k, {})
            if name not in shard:
                shape = (b - a,) if not axis else (array.shape[0], b - a, *array.shape[2:])
                shard[name] = np.zeros(shape, dtype=array.dtype)
            if axis:
                shard[name][:, low - a : high - a] = array[:, low - first : high - first]
            else:
                shard[name][low - a : high - a] = array[low - first : high - first]


__all__ = [
    "UndecodableFrameError",
    "begin_store",
    "check_grid",
    "extract_features",
    "feature_spec",
    "finish_if_whole",
    "finish_store",
    "partial_path",
    "plan_features",
]
