"""What an extraction would read, write and take, without doing it: the dry run.

The time is measured, not looked up: a few windows of up to three of the recordings go through the encoder.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .extraction_jobs import Job

if TYPE_CHECKING:
    from behavior_prism.analysis.extraction_plan import ExtractionPlan

SAMPLES = 3  # recordings to measure on, the first that have something left
SAMPLE_SECONDS = 3.0  # on each, after the first windows
SAMPLE_BATCHES = 32  # at most
BYTES = 2  # of a number in a store
RARE = 0.05  # of the sampled frames: who is there less is worth a word, as all frames are computed for each


@dataclass(frozen=True, kw_only=True)
class RecordingEstimate:
    """What one recording means.

    Parameters
    ----------
    name : str
        As the user called it.
    individuals : int
        Whose features are kept.
    hours : float
        Of video.
    frames, sampled, windows : int
        Of the video; those sampled; windows, of all pictures that go through the encoder.
    step : int
        Every which frame.
    state : {"new", "there", "begun", "other settings", ""}
        Of its store; empty if that cannot be told because the weights are not here.
    left : int
        Sampled frames to compute.
    megabytes : float
        Of features, before compression.
    store : pathlib.Path
        Where they go.
    rare : list of str
        Individuals that are there in less than 5 % of the sampled frames.
    """

    name: str
    individuals: int
    hours: float
    frames: int
    step: int
    sampled: int
    windows: int
    state: str
    left: int
    megabytes: float
    store: Path
    rare: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Estimate:
    """What a batch means.

    Parameters
    ----------
    recordings : list of RecordingEstimate
        Those that can be read.
    failed : list of (str, str)
        Those that cannot, and why.
    frames_per_second : float or None
        Sampled frames a second, measured; None if it was not.
    seconds : float or None
        For all that is left, on one worker.
    gigabytes : dict of str to float
        Size by grid, before compression, of all recordings.
    gigabytes_per_hour : dict of str to float
        The same for one hour of video.
    free_gigabytes : float or None
        On the disk of the first store.
    """

    recordings: list[RecordingEstimate] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    frames_per_second: float | None = None
    seconds: float | None = None
    gigabytes: dict[str, float] = field(default_factory=dict)
    gigabytes_per_hour: dict[str, float] = field(default_factory=dict)
    free_gigabytes: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON.

        Returns
        -------
        dict
        """
        return asdict(self) | {
            "recordings": [asdict(r) | {"store": str(r.store)} for r in self.recordings],
            "failed": [{"name": name, "reason": reason} for name, reason in self.failed],
        }


def estimate(jobs: Sequence[Job], *, measure: bool = True, weights_known: bool = True) -> Estimate:
    """Look at every recording and, if wished, measure how long a few windows take.

    Parameters
    ----------
    jobs : sequence of Job
        What would be extracted.
    measure : bool
        Run the encoder on a few windows.
    weights_known : bool
        Whether the encoder of the jobs has the weights that will be used: only then can stores be found by their key.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError, OSError
        If the only recording cannot be read, or the settings fit no recording.
    """
    out = Estimate()
    speeds: list[float] = []
    grids: dict[str, float] = {}
    for job in jobs:
        try:
            recording = job.load()
            with recording.video:
                plan = job.settings.plan(recording)
                out.recordings.append(_of_recording(job, plan, weights_known))
                if measure and out.recordings[-1].left and len(speeds) < SAMPLES:
                    speeds.append(_speed(plan, job))
        except (ValueError, OSError) as error:
            if len(jobs) == 1:
                raise
            out.failed.append((job.name, " ".join(str(error).split())))
            continue
        for name, size in _sizes(plan).items():
            grids[name] = grids.get(name, 0.0) + size
    _sum_up(out, speeds, grids)
    return out


def _sum_up(out: Estimate, speeds: list[float], grids: dict[str, float]) -> None:
    hours = sum(r.hours for r in out.recordings)
    out.gigabytes = {name: size / 1e9 for name, size in grids.items()}
    if hours:
        out.gigabytes_per_hour = {name: size / hours for name, size in out.gigabytes.items()}
    if speeds:
        out.frames_per_second = len(speeds) / sum(1 / s for s in speeds)
        out.seconds = sum(r.left for r in out.recordings) / out.frames_per_second
    elif not any(r.left for r in out.recordings):
        out.seconds = 0.0
    for r in out.recordings[:1]:
        there = next((p for p in r.store.absolute().parents if p.exists()), None)
        out.free_gigabytes = None if there is None else shutil.disk_usage(there).free / 1e9


def _of_recording(job: Job, plan: ExtractionPlan, weights_known: bool) -> RecordingEstimate:
    recording = plan.recording
    store = Path(job.place(recording.name, plan.settings()))
    state, left = _state(store, plan) if weights_known else ("", len(plan))
    return RecordingEstimate(
        name=job.name,
        individuals=len(plan.individuals),
        hours=float(recording.video.edges[recording.stop_frame] - recording.times[recording.start_frame]) / 3600,
        frames=recording.num_frames,
        step=plan.spec.step,
        sampled=len(plan),
        windows=len(plan.starts) * len(plan.individuals.streams),
        state=state,
        left=left,
        megabytes=_bytes(plan, plan.grid[0] * plan.grid[1]) / 1e6,
        store=store,
        rare=_rare(plan),
    )


def _rare(plan: ExtractionPlan) -> list[str]:
    there = plan.individuals.present(plan.frames).mean(axis=1)
    return [name for name, share in zip(plan.individuals.names, there, strict=True) if share < RARE]


def _bytes(plan: ExtractionPlan, tokens: int) -> float:
    channels = plan.encoder.model.config.model_dim
    clips = len(plan.clips) * channels * (BYTES + (4 if plan.has_text else 0))
    return float(len(plan.individuals) * (len(plan) * tokens * channels * BYTES + clips))


def _sizes(plan: ExtractionPlan) -> dict[str, float]:
    """Bytes by grid: the one wanted, and others that the encoder allows."""
    own = plan.encoder.model.grid_size(*plan.encoder.image_size)
    grids = {own, plan.grid, *((n, n) for n in (4, 2, 1) if own[0] % n == own[1] % n == 0)}
    return {f"{r}x{c}": _bytes(plan, r * c) for r, c in sorted(grids, reverse=True)}


def _state(store: Path, plan: ExtractionPlan) -> tuple[str, int]:
    """What there is of a store, and how many sampled frames are missing."""
    from behavior_prism.analysis.store import attrs_of, open_unfinished, partial_path, settings_key

    key = settings_key(plan.settings())
    if store.exists():
        return ("there", 0) if attrs_of(store).get("key") == key else ("other settings", len(plan))
    partial = partial_path(store)
    if not partial.exists() or attrs_of(partial).get("key") != key:
        return ("begun, other settings" if partial.exists() else "new"), len(plan)
    with open_unfinished(store) as begun:
        missing = (~begun["done"].values).mean()
    return "begun", round(float(missing) * len(plan))


def _speed(plan: ExtractionPlan, job: Job) -> float:
    """Sampled frames a second of a recording's first windows; the very first are left out, as they warm up."""
    from behavior_prism.analysis.feature_stream import encode_stream
    from behavior_prism.analysis.frame_pictures import Undecodable
    from behavior_prism.analysis.micro_batch import Batch, choose_batch

    chosen = choose_batch(plan.encoder, plan.spec.length) if job.settings.batch is None else Batch(*job.settings.batch)
    stream = encode_stream(plan, 0, len(plan.starts) - 1, chosen, Undecodable(plan, 1.0))
    began = begun = time.perf_counter()
    frames = first = 0
    for number, done in enumerate(_closing(stream)):
        frames += len(done.frames["decodable"])
        if number == 0:
            begun, first = time.perf_counter(), frames
        elif time.perf_counter() - begun > SAMPLE_SECONDS or number >= SAMPLE_BATCHES:
            break
    if frames > first:
        return (frames - first) / (time.perf_counter() - begun)
    return frames / (time.perf_counter() - began)  # a single batch, warm or not


def _closing(stream: Any) -> Iterator[Any]:
    try:
        yield from stream
    finally:
        stream.close()
