"""Writing a simulated recording: h264 video, bouts, tracks and captions.

Each file is written under a temporary name beside its place and renamed when it is whole.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .formats.hub import save_annotations

if TYPE_CHECKING:
    from .simulate import SimulatedRecording


def _encode(frames: Iterable[np.ndarray], path: Path, *, fps: float, crf: int) -> None:
    """Encode RGB frames at a constant rate; the container is MP4 whatever the path ends in."""
    import av

    rate = Fraction(fps).limit_denominator(10_000)
    # No B-frames: with them x264's AVX-512 code gave another file now and then from the same frames (6 different ones
    # in 8 processes; with AVX2 code, or without B-frames, one).
    options = {"crf": str(crf), "preset": "veryfast", "threads": "1", "bf": "0"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.pix_fmt = "yuv420p"
        for index, pixels in enumerate(frames):
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index
            frame.time_base = 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _count_frames(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def write_recording(
    recording: SimulatedRecording, folder: str | Path, *, crf: int = 18, overwrite: bool = False
) -> dict[str, Path]:
    """Write a simulated recording and its truth.

    Parameters
    ----------
    recording : SimulatedRecording
        What to write; height and width must be even, as yuv420p asks for.
    folder : str or pathlib.Path
        Where; made if it is not there.
    crf : int
        Quality of the h264 video, 0 (lossless) to 51.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    dict of str to pathlib.Path
        ``video`` (``<name>.mp4``), ``bouts`` (``<name>.bouts.csv``), ``tracks`` (``<name>.tracks.nc``) and
        ``captions`` (``<name>.captions.csv``).

    Raises
    ------
    FileExistsError
        If a file exists and ``overwrite`` is false; nothing is written then.
    ValueError
        If ``crf`` or the size cannot be encoded.
    RuntimeError
        If the video does not read back with every frame.

    Examples
    --------
    >>> import tempfile
    >>> from behavior_prism.datasets.simulate import simulate_recording
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_recording(simulate_recording("fly", seconds=1, size=(64, 64)), folder)
    ...     print(paths["video"].name)
    sim-fly-0000.mp4
    """
    if not 0 <= crf <= 51:
        raise ValueError(f"crf: expected 0 to 51, got {crf!r}")
    if any(n % 2 for n in recording.size):
        raise ValueError(f"size: expected even height and width for yuv420p video, got {recording.size}")
    folder = Path(folder)
    paths = {
        kind: folder / f"{recording.name}.{ending}"
        for kind, ending in (
            ("video", "mp4"),
            ("bouts", "bouts.csv"),
            ("tracks", "tracks.nc"),
            ("captions", "captions.csv"),
        )
    }
    for path in paths.values():
        if path.exists() and not overwrite:
            raise FileExistsError(
                f"{path}: exists already; choose another name or overwrite it explicitly (--overwrite)"
            )
    folder.mkdir(parents=True, exist_ok=True)

    def video(path: Path) -> None:
        _encode(recording.frames(), path, fps=recording.fps, crf=crf)
        written = _count_frames(path)
        if written != recording.num_frames:
            raise RuntimeError(f"{paths['video']}: expected {recording.num_frames} frames, read back {written}")

    writers: dict[str, Callable[[Path], object]] = {
        "video": video,
        "bouts": lambda path: save_annotations(recording.annotations, path),
        "tracks": lambda path: recording.tracks.to_netcdf(path, engine="h5netcdf"),
        "captions": lambda path: recording.captions.to_csv(path, index=False, lineterminator="\n"),
    }
    # All four are made before any is put in place, so a failure leaves the folder as it was.
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{recording.name}-") as scratch:
        made = {kind: Path(scratch) / path.name for kind, path in paths.items()}
        for kind, write in writers.items():
            write(made[kind])
        for kind, path in paths.items():
            os.replace(made[kind], path)
    return paths
