"""What an extraction will compute: all that is fixed before the first frame is decoded, and the key made of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from behavior_prism.datasets import Recording, WindowSpec, central_windows, fingerprint, sample_frames, window_starts
from behavior_prism.datasets.windows import MAX_GAP, after_gaps, is_variable, sample_by_time

from .individuals import Individuals
from .store import LAYOUT

if TYPE_CHECKING:
    from behavior_prism.encoder import LoadedEncoder


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtractionPlan:
    """Which frames are encoded, in which windows, by what.

    Parameters
    ----------
    recording : Recording
        What is read.
    individuals : Individuals
        Whose pictures.
    encoder : LoadedEncoder
        What encodes them.
    spec : WindowSpec
        How windows are cut.
    grid : (int, int)
        Rows and columns of tokens kept.
    clip_stride : int
        Sampled frames from one clip to the next.
    frames : numpy.ndarray
        Video frame of every sampled one.
    starts, stops : numpy.ndarray
        First sampled frame of every window, and the one after its last. No window reaches over a gap in time; one in a
        piece that is shorter than a window is filled up.
    window_of, position_of : numpy.ndarray
        The window that speaks for a sampled frame, and its slot there.
    clips : numpy.ndarray
        Windows that are embedded as a whole: one for every ``clip_stride`` sampled frames, so that a shard's clips lie
        in its frames wherever there are gaps. A window that would stand twice in a row counts once, see ``is_clip``.
    is_clip : numpy.ndarray
        Whether it counts, bool, shape (clips,).
    gaps : numpy.ndarray
        Sampled frames before which time is missing.
    rate : float, optional
        Sampled frames a second, if they were chosen by time because the camera's rate is variable.
    """

    recording: Recording
    individuals: Individuals
    encoder: LoadedEncoder
    spec: WindowSpec
    grid: tuple[int, int]
    clip_stride: int
    frames: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    window_of: np.ndarray
    position_of: np.ndarray
    clips: np.ndarray
    is_clip: np.ndarray
    gaps: np.ndarray
    rate: float | None = None

    @classmethod
    def of(
        cls,
        individuals: Individuals,
        encoder: LoadedEncoder,
        spec: WindowSpec,
        grid: tuple[int, int],
        clip_stride: int | None = None,
        rate: float | None = None,
    ) -> ExtractionPlan:
        """Make the plan of a recording.

        Parameters
        ----------
        individuals : Individuals
            Of the recording.
        encoder, spec, grid
            As in the class.
        clip_stride : int, optional
            A multiple of the windows' stride; by default the largest up to their length.
        rate : float, optional
            Frames a second to sample by time where the camera's rate is variable.

        Returns
        -------
        ExtractionPlan

        Raises
        ------
        ValueError
            If the grid or the stride does not fit.
        """
        check_grid(encoder, grid, any_grid=individuals.source == "roi")
        stride = spec.length // spec.stride * spec.stride if clip_stride is None else clip_stride
        if stride < 1 or stride % spec.stride or stride > spec.length:
            raise ValueError(
                f"clip_stride: expected a multiple of the windows' stride ({spec.stride}) up to their length "
                f"({spec.length}), got {stride}"
            )
        recording = individuals.recording
        times = recording.times
        by_time = rate is not None and is_variable(times[recording.start_frame : recording.stop_frame])
        frames = (
            sample_by_time(times, recording.start_frame, recording.stop_frame, rate)
            if rate is not None and by_time
            else sample_frames(recording.start_frame, recording.stop_frame, spec.step)
        )
        gaps = after_gaps(times[frames])
        starts, stops, window_of, position_of = [], [], [], []
        num_windows = 0
        for begin, end in pairwise([0, *gaps.tolist(), len(frames)]):
            own = window_starts(end - begin, spec)
            window, position = central_windows(end - begin, spec)
            starts += [begin + own]
            stops += [np.minimum(begin + own + spec.length, end)]
            window_of += [num_windows + window]
            position_of += [position]
            num_windows += len(own)
        first = np.concatenate(starts)
        slots = np.arange(min(-(-int(first[-1]) // stride) + 1, -(-len(frames) // stride))) * stride
        clips = np.searchsorted(first, slots, side="right") - 1
        return cls(
            recording=recording,
            individuals=individuals,
            encoder=encoder,
            spec=spec,
            grid=grid,
            clip_stride=stride,
            frames=frames,
            starts=first,
            stops=np.concatenate(stops),
            window_of=np.concatenate(window_of),
            position_of=np.concatenate(position_of),
            clips=clips,
            is_clip=np.diff(clips, prepend=-1) > 0,
            gaps=gaps,
            rate=rate if by_time else None,
        )

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def has_text(self) -> bool:
        """Whether clips are embedded in the space of texts: not of parts of the tokens, which the head never saw."""
        return self.encoder.video_text is not None and self.individuals.source != "roi"

    def settings(self) -> dict[str, Any]:
        """Every setting that changes the numbers.

        Returns
        -------
        dict
            JSON-compatible; its hash is the key.
        """
        recording = self.recording
        times = recording.times.round(6).tobytes()  # the camera's own may be given
        # only where there are any: the key of other recordings stays what it was
        of_time = {"gaps": self.gaps.tolist()} if len(self.gaps) else {}
        of_time |= {} if self.rate is None else {"rate": self.rate}
        return {
            "layout": LAYOUT,
            "fingerprint": video_fingerprint_of(recording),
            "times": hashlib.sha256(times).hexdigest()[:16],
            "frames": [recording.start_frame, recording.stop_frame],
            **self.individuals.settings(),
            **feature_spec(self.encoder, self.spec, self.grid, self.individuals.preprocessing()),
            "clip_stride": self.clip_stride,
            "text": None if not self.has_text else text_head_id(self.encoder),
            **of_time,
        }

    def template(self) -> xr.Dataset:
        """Coordinates, and what is known of the variables.

        Returns
        -------
        xarray.Dataset
        """
        rows, cols = self.grid
        recording, individuals = self.recording, self.individuals
        begin = self.starts[self.clips]
        stop = np.where(self.is_clip, self._clip_stops(), self.frames[begin])
        edges = recording.video.edges
        return xr.Dataset(
            {
                "valid": (("individual", "time"), individuals.present(self.frames)),
                "window_position": ("time", self.position_of.astype(np.int16)),
                "edge_time": ("edge", edges),
                "clip_valid": (("individual", "clip"), np.zeros((len(individuals), len(self.clips)), dtype=bool)),
            },
            coords={
                "individual": np.asarray(individuals.names, dtype=object),
                "kind": ("individual", np.asarray(individuals.kinds, dtype=object)),
                "source": ("individual", np.asarray([individuals.source] * len(individuals), dtype=object)),
                "time": recording.times[self.frames],
                "frame": ("time", self.frames),
                "row": ("token", np.repeat(np.arange(rows), cols)),
                "col": ("token", np.tile(np.arange(cols), rows)),
                "clip_start_frame": ("clip", self.frames[begin]),
                "clip_stop_frame": ("clip", stop),
                "clip_time": ("clip", (edges[self.frames[begin]] + self._ends(stop)) / 2),
            },
        )

    def _clip_stops(self) -> np.ndarray:
        """Frame of the video behind the last one of each clip: at a gap the first that comes after it."""
        last = self.stops[self.clips] - 1
        stop = np.minimum(self.frames[last] + self.spec.step, self.recording.stop_frame)
        times = self.recording.times
        for k in np.flatnonzero(np.isin(last + 1, self.gaps)).tolist():
            a, b = int(self.frames[last[k]]), int(self.frames[last[k] + 1])
            stop[k] = min(int(stop[k]), a + 1 + int(np.argmax(np.diff(times[a : b + 1]))))
        return stop

    def _ends(self, stop: np.ndarray) -> np.ndarray:
        """When the frames before these end [s]; the last one before a gap does not last through it."""
        times, edges = self.recording.times, self.recording.video.edges
        usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        return np.minimum(edges[stop], times[np.maximum(stop - 1, 0)] + MAX_GAP * usual)


def video_fingerprint_of(recording: Recording) -> str:
    """Fingerprint of the video file; of all files of a session in pieces.

    Parameters
    ----------
    recording : Recording
        Whose video.

    Returns
    -------
    str
    """
    pieces = [fingerprint(path) for path in getattr(recording.video, "paths", [recording.video.path])]
    return pieces[0] if len(pieces) == 1 else hashlib.sha256(" ".join(pieces).encode()).hexdigest()


def text_head_id(encoder: LoadedEncoder) -> str:
    """Tell heads of video-text models apart: the encoder's own hash does not cover them.

    Parameters
    ----------
    encoder : LoadedEncoder
        With ``video_text``.

    Returns
    -------
    str
        SHA-256, hex.
    """
    digest = hashlib.sha256()
    assert encoder.video_text is not None
    for name, value in sorted(encoder.video_text.state_dict().items()):
        if not name.startswith(("vision_encoder.", "text_encoder.")):
            digest.update(name.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def check_grid(encoder: LoadedEncoder, grid: tuple[int, int], *, any_grid: bool = False) -> None:
    """Raise if an encoder's tokens cannot be averaged to a grid.

    Parameters
    ----------
    encoder : LoadedEncoder
        From :func:`behavior_prism.encoder.load_encoder`.
    grid : (int, int)
        Rows and columns to keep.
    any_grid : bool
        Take those too that do not divide the encoder's own.

    Raises
    ------
    ValueError
        If they do not divide the encoder's own.
    """
    own = encoder.model.grid_size(*encoder.image_size)
    if any(g < 1 or (o % g and not any_grid) for g, o in zip(grid, own, strict=True)):
        raise ValueError(f"grid: expected numbers that divide the encoder's {own[0]}x{own[1]}, got {grid[0]}x{grid[1]}")


def feature_spec(
    encoder: LoadedEncoder, window: WindowSpec, grid: tuple[int, int], resize: str | dict[str, Any] = "squash"
) -> dict[str, Any]:
    """What two stores must share for one probe to read both.

    Parameters
    ----------
    encoder : LoadedEncoder
        Its weights enter by their hash.
    window : WindowSpec
        Length, step and stride.
    grid : (int, int)
        Token rows and columns kept.
    resize : str or dict
        How the pictures come about.

    Returns
    -------
    dict
        JSON-compatible.
    """
    return {
        "encoder": encoder.name,
        "weights": encoder.weights_id,
        "image_size": list(encoder.image_size),
        "resize": resize,
        "length": window.length,
        "step": window.step,
        "stride": window.stride,
        "grid": list(grid),
        "dtype": "float16",
    }
