"""A short video or a contact sheet of a recording with its tracks, crops, zones and labels drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import atomic_write, refuse_existing

if TYPE_CHECKING:
    import xarray as xr

    from .datasets import Arena, CropSpec, Recording

SECONDS = 20.0  # of a video, if no frames are named
_SMALLEST, _LARGEST = 480, 1280  # longer side of the frames drawn [pixels]
_TILE = 360  # the same in a contact sheet
_LINE = 20  # height of a line of text [pixels]
_DARK = 24
_CLOCK = 90_000  # ticks a second, as usual in mp4


def show_recording(
    video: str | Path,
    out: str | Path,
    *,
    tracks: str | Path | None = None,
    labels: str | Path | None = None,
    arena: str | Path | None = None,
    frames: tuple[int, int] | None = None,
    crop: CropSpec | None = None,
    tiles: int = 12,
    fps: float | None = None,
    allow_cut_short: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Draw what is known about a recording on its frames.

    Parameters
    ----------
    video : str or pathlib.Path
        A video file, a folder of images or a TIFF stack.
    out : str or pathlib.Path
        ``.mp4`` for a video (h264, each frame at its own time), ``.png`` for a contact sheet of evenly spaced frames.
    tracks : str or pathlib.Path, optional
        A pose file for :func:`.load_tracks`.
    labels : str or pathlib.Path, optional
        A bout table.
    arena : str or pathlib.Path, optional
        A file of :func:`.save_arena`.
    frames : (int, int), optional
        Half-open interval of the frames shown. By default all for a sheet, and the first 20 s for a video.
    crop : CropSpec, optional
        Crops to outline, and to show beside the frame; needs tracks.
    tiles : int
        Most frames on a sheet.
    fps : float, optional
        Frames per second of what is no video file.
    allow_cut_short : bool
        Take a video that holds fewer frames than its header promises.
    overwrite : bool
        Replace a file that exists.
    progress : callable, optional
        Called with (frames done, of how many).

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError
        If something cannot be read, is there already, or does not fit the video; nothing is written then.
    """
    import cv2

    from .datasets import load_recording

    out = Path(out)
    kind = out.suffix.lower()
    if kind not in (".mp4", ".png"):
        raise ValueError(f"{out}: expected a name that ends in .mp4 or .png")
    if tiles < 1:
        raise ValueError(f"tiles: expected at least 1, got {tiles}")
    refuse_existing(out, overwrite)
    recording = load_recording(video, frames=frames, tracks=tracks, fps=fps, allow_cut_short=allow_cut_short)
    start, stop = recording.start_frame, recording.stop_frame
    if kind == ".png":
        shown = np.unique(np.linspace(start, stop - 1, min(tiles, stop - start)).round().astype(int))
    else:
        if frames is None:
            stop = max(1, int(np.searchsorted(recording.times, SECONDS - 1e-6)))
        shown = np.arange(start, stop)
    scene = _load_scene(recording, shown, labels=labels, arena=arena, crop=crop, small=kind == ".png")

    def _pictures() -> Iterator[np.ndarray]:
        for k, (i, frame) in enumerate(zip(shown, recording.video.iter_frames(shown.tolist()), strict=True)):
            yield scene.draw(int(i), frame)
            if progress is not None:
                progress(k + 1, len(shown))

    with atomic_write(out, overwrite=overwrite) as fresh:
        if kind == ".mp4":
            _encode(_pictures(), recording.times[shown], fresh)
        else:
            sheet = cv2.cvtColor(_tile(list(_pictures())), cv2.COLOR_RGB2BGR)
            fresh.write_bytes(cv2.imencode(".png", sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())
    return out


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What there is to draw on the frames of a recording."""

    recording: Recording
    scale: float
    arena: Arena | None
    label: xr.DataArray | None  # (time, individual, behavior)
    plan: xr.Dataset | None
    followed: list[int]  # individuals of the plan who have a crop in any frame shown: trackers leave many fragments

    def draw(self, i: int, frame: np.ndarray) -> np.ndarray:
        """The picture of frame i: uint8, the same size for all."""
        from .datasets.draw import describe_labels, draw_crops, draw_text, draw_tracks, draw_zones, enlarge

        picture = enlarge(frame, self.scale)
        lines = [f"frame {i}   {self.recording.times[i]:.3f} s"]
        if self.arena is not None:
            draw_zones(picture, self.arena, scale=self.scale)
        if self.plan is not None:
            draw_crops(picture, self.plan.isel(time=i), scale=self.scale)
        if self.recording.tracks is not None:
            draw_tracks(picture, self.recording.tracks.isel(time=i), scale=self.scale)
        if self.label is not None:
            lines += describe_labels(self.label.isel(time=i))
        if self.plan is not None:
            picture = np.concatenate([picture, self._crops(frame, self.plan.isel(time=i), len(picture))], axis=1)
        strip = np.full((_LINE * len(lines) + 4, picture.shape[1], 3), _DARK, dtype=np.uint8)
        for k, line in enumerate(lines):
            draw_text(strip, line, (6, _LINE * k + 2))
        return np.concatenate([picture, strip])

    def _crops(self, frame: np.ndarray, geometry: xr.Dataset, height: int) -> np.ndarray:
        """The crops themselves, one below the other, in as many columns as it takes."""
        from .datasets import crop_frame
        from .datasets.draw import color_of, draw_text

        names = [str(name) for name in geometry["individual"].values]
        side = min(height, max(96, min(256, height // max(1, len(self.followed)))))
        rows = height // side
        panel = np.full((height, side * math.ceil(len(self.followed) / rows), 3), _DARK, dtype=np.uint8)
        crops = crop_frame(frame, geometry, out_size=side)
        for k, n in enumerate(self.followed):
            name, (col, row) = names[n], divmod(k, rows)
            place = panel[row * side : (row + 1) * side, col * side : (col + 1) * side]
            if name in crops:
                place[:] = crops[name]
            place[:, :1] = place[:1] = _DARK
            draw_text(place, name if name in crops else f"{name}: no crop", (5, 2), color_of(n))
        return panel


def _load_scene(
    recording: Recording,
    shown: np.ndarray,
    *,
    labels: str | Path | None,
    arena: str | Path | None,
    crop: CropSpec | None,
    small: bool,
) -> _Scene:
    from .datasets import load_annotations, load_arena, plan_crops, score_whole, to_dense

    video = recording.video
    _, height, width, _ = video.shape
    longer = max(height, width)
    zones = None if arena is None else load_arena(arena)
    if zones is not None and zones.frame_size != (height, width):
        raise ValueError(
            f"{arena}: expected zones for frames of {width}x{height} ({video.path}), "
            f"got {zones.frame_size[1]}x{zones.frame_size[0]}"
        )
    plan = None
    if crop is not None:
        if recording.tracks is None:
            raise ValueError("crops: expected tracks to follow, got none")
        plan = plan_crops(recording.tracks, crop, frame_size=(height, width))
    label = None
    if labels is not None:
        name = recording.name
        found = load_annotations(labels, recording=name).bind({name: video.edges}).of_recording(name)
        if not len(found.scored):  # as train takes it
            found = score_whole(found, recording=name, edges=video.edges)
        # of several scorers: what any of them saw
        label = to_dense(found, recording.times, directed="actor", what=str(labels)).max("scorer")
    return _Scene(
        recording=recording,
        scale=_TILE / longer if small else min(max(1.0, _SMALLEST / longer), _LARGEST / longer),
        arena=zones,
        label=label,
        plan=plan,
        followed=[] if plan is None else np.flatnonzero(plan["valid"].values[shown].any(axis=0)).tolist(),
    )


def _tile(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one size in rows, about as wide as high."""
    height, width = pictures[0].shape[:2]
    cols = min(len(pictures), max(1, round(math.sqrt(len(pictures) * 1.4 * height / width))))
    rows = math.ceil(len(pictures) / cols)
    gap = 6
    sheet = np.full((rows * (height + gap) - gap, cols * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for k, picture in enumerate(pictures):
        row, col = divmod(k, cols)
        sheet[row * (height + gap) :, col * (width + gap) :][:height, :width] = picture
    return sheet


def _encode(pictures: Iterator[np.ndarray], times: np.ndarray, path: Path) -> None:
    """Encode as h264 with the time of every frame kept, from 0 on."""
    import av

    lasts = float(np.median(np.diff(times))) if len(times) > 1 else 1 / 25
    with av.open(str(path), "w", format="mp4") as container:
        rate = Fraction(1 / lasts).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        for k, picture in enumerate(pictures):
            odd = picture.shape[0] % 2, picture.shape[1] % 2  # yuv420p halves both sides
            picture = np.pad(picture, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
            if k == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(float(times[k] - times[0]) * _CLOCK), Fraction(1, _CLOCK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
