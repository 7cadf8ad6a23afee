"""Tracks on a frame: keypoints of every animal, and the way it came.

    python examples/draw_tracks.py [POSES VIDEO [--frame N]] [--out PICTURE.png]

Without POSES and VIDEO two simulated recordings are written, read back as any other, and drawn.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from behavior_prism import simulate_recording
from behavior_prism.datasets import Video, alignment_of, load_tracks, write_recording

COLORS = ("#ff9d00", "#3fd0ff", "#ff5ea8", "#9be564")
SECONDS = 1.5  # of the way it came


def draw(axes: plt.Axes, video: Video, tracks: xr.Dataset, frame: int) -> None:
    axes.imshow(video[frame], interpolation="nearest")
    start = int(np.searchsorted(video.times, video.times[frame] - SECONDS))
    for name, color in zip(tracks.individual.values, np.resize(COLORS, tracks.sizes["individual"]), strict=True):
        animal = tracks.position.sel(individual=name)
        centre = animal.mean("keypoint").isel(time=slice(start, frame + 1))
        axes.plot(*centre.transpose("space", "time").values, color=color, lw=1.5, alpha=0.8)
        points = animal.isel(time=frame).transpose("space", "keypoint").values
        axes.scatter(*points, s=22, color=color, edgecolors="black", linewidths=0.6, label=str(name), zorder=3)
    alignment = alignment_of(tracks)
    axes.set_title("" if alignment is None else alignment.describe(), fontsize=9)
    axes.legend(loc="upper right", fontsize=8, framealpha=0.8)
    axes.set(xlim=(-0.5, video.shape[2] - 0.5), ylim=(video.shape[1] - 0.5, -0.5), xticks=[], yticks=[])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, nargs="?")
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--frame", type=int, default=75)
    parser.add_argument("--out", type=Path, default=Path("tracks.png"))
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        if args.poses is not None and args.video is not None:
            pairs = [(args.poses, args.video)]
        else:
            files = [
                write_recording(simulate_recording(arena, seconds=4, num_animals=2, size=(320, 320), seed=3), folder)
                for arena in ("mouse", "fly")
            ]
            pairs = [(written["tracks"], written["video"]) for written in files]
        figure, panels = plt.subplots(1, len(pairs), figsize=(4.2 * len(pairs), 4.4), squeeze=False, layout="tight")
        for axes, (poses, path) in zip(panels[0], pairs, strict=True):
            video = Video(path)
            draw(axes, video, load_tracks(poses, video), min(args.frame, len(video) - 1))
        figure.savefig(args.out, dpi=100)
    print(f"{args.out}")


if __name__ == "__main__":
    main()
