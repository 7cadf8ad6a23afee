"""Windows of recordings for PyTorch's ``DataLoader``: map-style and streaming.

Needs torch, unlike the rest of this folder: import it by name when it is wanted. The order of windows is a function of
the recordings, the cut and the seed, never of the number of workers, so that a run can go on exactly where it stopped.
A window that cannot be decoded is handed out as not valid with its reason, never replaced by another.

Shapes: T sampled frames of a window, H and W pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from .annotations import Annotations
from .recording import Recording
from .windows import MAX_GAP, WindowSpec, across_gaps, sample_frames, window_starts

Transform = Callable[[np.ndarray], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class WindowItem:
    """Where one window lies.

    Parameters
    ----------
    recording : int
        Index of the recording.
    individual : str
        Name of its region.
    frames : numpy.ndarray
        Video frames of the window, int64, shape (T,), fewer than the length only if the recording is shorter.
    """

    recording: int
    individual: str
    frames: np.ndarray


def list_windows(
    recordings: Sequence[Recording],
    spec: WindowSpec | Callable[[Recording], WindowSpec],
    *,
    scored: Mapping[str, np.ndarray] | None = None,
    max_gap: float | None = MAX_GAP,
) -> list[WindowItem]:
    """List all windows of some recordings, in order.

    Parameters
    ----------
    recordings : sequence of Recording
        Their interval of frames and their regions are kept to.
    spec : WindowSpec or callable
        How to cut; a function of the recording where cameras differ in rate, see :meth:`WindowSpec.for_rate`.
    scored : mapping of str to numpy.ndarray, optional
        By name of a recording, which frames were scored (bool, one per frame of the whole video): only windows whose
        frames were all scored are listed. Recordings that are not in it have none. See :func:`scored_frames`.
    max_gap : float or None
        Windows within which time jumps by more than so many usual (median) intervals of the sampled frames are not
        listed: what lies before and after a gap between files, or where a camera paused, is no movement. None lists
        them all.

    Returns
    -------
    list of WindowItem
        By recording, region and time.

    Raises
    ------
    ValueError
        If two recordings share a name, ``scored`` does not fit a video or ``max_gap`` is below 1.
    """
    return _cut(recordings, spec, scored, max_gap)[0]


def _cut(
    recordings: Sequence[Recording],
    spec: WindowSpec | Callable[[Recording], WindowSpec],
    scored: Mapping[str, np.ndarray] | None,
    max_gap: float | None,
) -> tuple[list[WindowItem], Counter[str]]:
    """The windows, and how many were left out because of gaps, by recording."""
    names = [recording.name for recording in recordings]
    if len(set(names)) != len(names):
        raise ValueError(f"recordings: expected each name once, got {sorted(names)}")
    items: list[WindowItem] = []
    left_out: Counter[str] = Counter()
    for index, recording in enumerate(recordings):
        cut = spec(recording) if callable(spec) else spec
        sampled = sample_frames(recording.start_frame, recording.stop_frame, cut.step)
        wanted = None if scored is None else scored.get(recording.name, np.zeros(len(recording.times), bool))
        if wanted is not None and (wanted.shape != (len(recording.times),) or wanted.dtype != bool):
            raise ValueError(  # -1, not scored, would count as true
                f"{recording.name}: expected scored frames of shape ({len(recording.times)},) as bool, "
                f"got {wanted.shape} as {wanted.dtype}"
            )
        starts = window_starts(len(sampled), cut)
        torn = np.zeros(len(starts), bool) if max_gap is None else across_gaps(recording.times[sampled], cut, max_gap)
        for individual in recording.individuals:
            for start, across in zip(starts, torn, strict=True):
                frames = sampled[start : start + cut.length]
                if wanted is not None and not wanted[frames].all():
                    continue
                if across:
                    left_out[recording.name] += 1
                else:
                    items.append(WindowItem(recording=index, individual=individual, frames=frames))
    return items, left_out


def scored_frames(annotations: Annotations, recording: Recording) -> np.ndarray:
    """Which frames of a recording anybody scored for any behaviour.

    Parameters
    ----------
    annotations : Annotations
        May speak of several recordings.
    recording : Recording
        Which.

    Returns
    -------
    numpy.ndarray
        bool, one per frame of the whole video.

    Raises
    ------
    ValueError
        If no row says what was scored of this recording, or the rows know no frames. A table without such rows may
        mean that all was scored; that is not guessed here, since every window would turn on it: say so with
        :func:`score_whole`.
    """
    mask = np.zeros(len(recording.times), dtype=bool)
    rows = annotations.scored[annotations.scored["recording"] == recording.name]
    if not len(rows):
        known = ", ".join(map(repr, annotations.recordings)) or "no recording"
        raise ValueError(
            f"{recording.name}: expected rows that say what was scored of it, got none (the labels speak of {known}); "
            "if it was scored from end to end, say so with score_whole(), else leave it out"
        )
    if rows[["start_frame", "stop_frame"]].isna().any(axis=None):
        raise ValueError(f"{recording.name}: expected scored rows in frames, got seconds; see bind_annotations()")
    for start, stop in zip(rows["start_frame"], rows["stop_frame"], strict=True):
        mask[int(start) : int(stop)] = True
    return mask


class WindowDataset(Dataset[dict[str, Any]]):
    """Windows by number, for random order and for looking at single ones.

    Parameters
    ----------
    recordings : sequence of Recording
        Opened again in each worker process.
    spec : WindowSpec or callable
        As in :func:`list_windows`.
    scored, max_gap : optional
        As in :func:`list_windows`.
    transform : callable, optional
        From uint8 frames (t, H, W, 3) to a tensor of t frames, such as ``functools.partial(preprocess_frames,
        image_size=288)``; by default the frames as they are.

    Attributes
    ----------
    windows : list of WindowItem
        Where each item lies.
    across_gaps : dict of str to int
        How many windows of a recording were left out because they reach over a gap, by its name; only those that have
        any.

    Raises
    ------
    ValueError
        As :func:`list_windows`; if the lengths differ, or no window is left.

    Examples
    --------
    >>> data = WindowDataset([recording], WindowSpec(length=16))             # doctest: +SKIP
    >>> loader = DataLoader(data, 8, sampler=ResumableSampler(len(data)))    # doctest: +SKIP
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        spec: WindowSpec | Callable[[Recording], WindowSpec],
        *,
        scored: Mapping[str, np.ndarray] | None = None,
        max_gap: float | None = MAX_GAP,
        transform: Transform | None = None,
    ) -> None:
        self.recordings = list(recordings)
        self.windows, left_out = _cut(self.recordings, spec, scored, max_gap)
        self.across_gaps = dict(left_out)
        if not self.windows:
            raise ValueError(_why_none(self.recordings, scored, left_out.total()))
        self.lengths = [(spec(r) if callable(spec) else spec).length for r in self.recordings]
        if len(set(self.lengths)) > 1:
            raise ValueError(f"spec: expected one length for all recordings, got {sorted(set(self.lengths))}")
        self.transform = transform or torch.from_numpy

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one window.

        Parameters
        ----------
        index : int
            Below ``len(self)``.

        Returns
        -------
        dict
            ``clip`` (T, H, W, 3), ``frame_paddings`` (T,) float32 with 1 where the recording was too short,
            ``frames`` (T,) int64 with -1 there, ``index``, ``recording``, ``individual``, ``valid`` and ``reason``
            (empty if valid; else the clip is all zeros).
        """
        item = self.windows[index]
        recording, length = self.recordings[item.recording], self.lengths[item.recording]
        reason = ""
        try:
            raw = np.stack([recording.crop(frame, item.individual) for frame in recording.video[item.frames]])
        except ValueError as error:  # a frame that cannot be decoded
            _, _, width, height = recording.regions[item.individual]
            raw, reason = np.zeros((len(item.frames), height, width, 3), np.uint8), str(error)
        clip = self.transform(np.ascontiguousarray(raw))
        if reason:
            clip = torch.zeros_like(clip)
        missing = length - len(item.frames)
        if missing:
            clip = torch.cat([clip, clip.new_zeros(missing, *clip.shape[1:])])
        paddings = torch.zeros(length)
        paddings[len(item.frames) :] = 1
        frames = np.full(length, -1, dtype=np.int64)
        frames[: len(item.frames)] = item.frames
        return {
            "clip": clip,
            "frame_paddings": paddings,
            "frames": torch.from_numpy(frames),
            "index": index,
            "recording": recording.name,
            "individual": item.individual,
            "valid": not reason,
            "reason": reason,
        }


def _why_none(recordings: Sequence[Recording], scored: Mapping[str, np.ndarray] | None, across: int) -> str:
    if across:
        return f"no window is left: all {across} reach over gaps; take shorter ones, or max_gap=None for all"
    if recordings and scored is not None:
        return (
            f"no window is left: in none were all frames scored ({len(recordings)} recordings, "
            f"{len({r.name for r in recordings} & set(scored))} of them in `scored`)"
        )
    return "expected at least one recording, got none"


class ResumableSampler(Sampler[int]):
    """Shuffled or plain order that can begin anywhere, the same for any number of workers.

    Parameters
    ----------
    num_windows : int
        Length of the data set.
    seed : int or None
        Of the order; None for the plain one. Each epoch has an order of its own: call :meth:`set_epoch` before each.
    epoch, start : int
        Where to begin: so many epochs and so many windows of the next one are done.

    Examples
    --------
    >>> list(ResumableSampler(5, start=2)) == list(ResumableSampler(5))[2:]
    True
    """

    def __init__(self, num_windows: int, *, seed: int | None = 0, epoch: int = 0, start: int = 0) -> None:
        if not 0 <= start <= num_windows:
            raise ValueError(f"start: expected 0 to {num_windows}, got {start}")
        self.num_windows, self.seed, self.epoch, self.start = num_windows, seed, epoch, start

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch: to its beginning, unless it is the one in which to go on.

        Parameters
        ----------
        epoch : int
            So many are done.
        """
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        return self.num_windows - self.start

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.num_windows)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_windows)
        yield from order[self.start :].tolist()


class WindowStream(IterableDataset[dict[str, Any]]):
    """Batches of windows in the order of time, for going through whole recordings.

    Batch ``k`` is made by worker ``k % workers``, which is how a ``DataLoader`` collects them: the order is that of
    :func:`list_windows` whatever the number of workers.

    Parameters
    ----------
    windows : WindowDataset
        What to go through.
    batch_size : int
        Windows in a batch; the last one may hold fewer.
    start_batch : int
        Where to begin: so many batches are done. Every pass over this stream begins there.

    Examples
    --------
    >>> stream = WindowStream(data, batch_size=4)                       # doctest: +SKIP
    >>> for batch in DataLoader(stream, batch_size=None, num_workers=2):  # doctest: +SKIP
    ...     batch["clip"].shape
    """

    def __init__(self, windows: WindowDataset, *, batch_size: int = 1, start_batch: int = 0) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected a whole number from 1 on, got {batch_size}")
        self.windows, self.batch_size, self.start_batch = windows, batch_size, start_batch
        if not 0 <= start_batch <= len(self):
            raise ValueError(f"start_batch: expected 0 to {len(self)}, got {start_batch}")

    def __len__(self) -> int:
        """Batches of the whole pass, those that are done included."""
        return -(-len(self.windows) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        this, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for batch in range(self.start_batch + this, len(self), workers):
            first = batch * self.batch_size
            numbers = range(first, min(first + self.batch_size, len(self.windows)))
            yield torch.utils.data.default_collate([self.windows[i] for i in numbers])


def undecodable(batches: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """List the windows that could not be read.

    Parameters
    ----------
    batches : sequence of mapping
        Items of a :class:`WindowDataset`, or collated batches of them.

    Returns
    -------
    list of (str, str)
        Recording and reason, in order.
    """
    found: list[tuple[str, str]] = []
    for batch in batches:
        one = isinstance(batch["recording"], str)
        names, reasons = ([batch["recording"]], [batch["reason"]]) if one else (batch["recording"], batch["reason"])
        found.extend((name, reason) for name, reason in zip(names, reasons, strict=True) if reason)
    return found
