"""``behavior-prism show``: look at tracks, crops, zones and labels on the frames they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Overwrite, progress_bars, say
from .extract_options import parse_frames, parse_pair


def show(
    video: Annotated[Path, typer.Argument(help="A video file, a folder of images or a TIFF stack.")],
    out: Annotated[Path, typer.Option(help="File to make: .mp4, or .png for a contact sheet.")],
    tracks: Annotated[Path | None, typer.Option(help="A pose file.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A bout table (.csv).")] = None,
    arena: Annotated[Path | None, typer.Option(help="Zones (.json).")] = None,
    frames: Annotated[
        str | None, typer.Option(help="START:STOP, half-open. All for a sheet, the first 20 s for a video by default.")
    ] = None,
    crop: Annotated[
        float | None, typer.Option(help="Show crops of so many body lengths a side around every animal.")
    ] = None,
    crop_pixels: Annotated[float | None, typer.Option(help="Instead of --crop: side in pixels.")] = None,
    body: Annotated[
        str | None,
        typer.Option(help="TAIL,HEAD: key points whose distance is the body length; of all of them by default."),
    ] = None,
    up: Annotated[str | None, typer.Option(help="TAIL,HEAD: key points by which crops are turned head up.")] = None,
    smooth: Annotated[float, typer.Option(help="Smooth the path of crops by so many seconds.")] = 0.0,
    tiles: Annotated[int, typer.Option(help="Frames on a sheet.", min=1)] = 12,
    fps: Annotated[float | None, typer.Option(help="Frames per second of what is no video file.")] = None,
    allow_cut_short: Annotated[bool, typer.Option(help="Use a file that holds fewer frames than it promises.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw tracks, crops, zones and labels on a recording, as a video or a contact sheet.

    Example: `behavior-prism show mouse.mp4 --tracks mouse.tracks.nc --crop 1.5 --out look.png`
    """
    from .datasets import CropSpec
    from .show import show_recording

    if crop is not None and crop_pixels is not None:
        raise ValueError("--crop and --crop-pixels: expected one of them, got both")
    spec = None
    size = crop if crop_pixels is None else crop_pixels
    if size is not None:
        if tracks is None:
            raise ValueError("--crop: expected --tracks to follow, got none")
        if body is not None and crop_pixels is not None:
            raise ValueError("--body: expected --crop, got --crop-pixels, which is the same whatever the body length")
        spec = CropSpec(
            size=size,
            unit="body_lengths" if crop_pixels is None else "pixels",
            body=parse_pair("--body", body),
            up=parse_pair("--up", up),
            smooth=smooth,
        )
    elif body is not None or up is not None or smooth:
        raise ValueError("--body, --up and --smooth: expected --crop or --crop-pixels, got neither")
    with progress_bars() as bar:
        path = show_recording(
            video,
            out,
            tracks=tracks,
            labels=labels,
            arena=arena,
            frames=parse_frames(frames),
            crop=spec,
            tiles=tiles,
            fps=fps,
            allow_cut_short=allow_cut_short,
            overwrite=overwrite,
            progress=bar(video.name),
        )
    say(str(path))
