"""Tracks in, crops out: one frame of a simulated recording and what four kinds of crops make of it.

python examples/crops.py [--out PICTURE.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from behavior_prism.datasets import Arena, CropSpec, Zone, crop_frame, plan_crops, simulate_recording
from behavior_prism.datasets.draw import draw_crops, draw_tracks, draw_zones, enlarge

FRAME, SCALE = 30, 2.0
BODY = ("tail_base", "nose")
KINDS = {
    "1.6 body lengths": CropSpec(size=1.6, body=BODY, out_size=160),
    "the same, head up": CropSpec(size=1.6, body=BODY, up=BODY, centre=BODY, out_size=160),
    "60 pixels at the nose": CropSpec(centre="nose", size=60, unit="pixels", border="grey", out_size=160),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("crops.png"))
    args = parser.parse_args()

    simulated = simulate_recording("mouse", seconds=6, size=(240, 240), seed=3)
    frame, pose = simulated.frame(FRAME), simulated.tracks.isel(time=FRAME)
    whole = enlarge(frame, SCALE)
    arena = Arena(
        frame_size=simulated.size, zones=(Zone(name="corner", polygon=((140, 150), (230, 150), (230, 230), (90, 230))),)
    )
    draw_zones(whole, arena, scale=SCALE)

    individuals = pose["individual"].values.tolist()
    figure = plt.figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(4, 7.4))
    axes = right.subplots(2, len(KINDS) + 1)
    for column, (title, spec) in enumerate(KINDS.items()):
        geometry = plan_crops(simulated.tracks, spec, frame_size=simulated.size).isel(time=FRAME)
        crops = crop_frame(frame, geometry)
        if column == 1:
            draw_crops(whole, geometry, scale=SCALE)
        for row, name in enumerate(individuals):
            axes[row, column].imshow(crops[name])
            axes[row, 0].set_ylabel(name)
        axes[0, column].set_title(title, fontsize=9)
    both = plan_crops(
        simulated.tracks, KINDS["1.6 body lengths"], frame_size=simulated.size, individuals=["|".join(individuals)]
    )
    axes[0, -1].imshow(next(iter(crop_frame(frame, both.isel(time=FRAME)).values())))
    axes[0, -1].set_title("both", fontsize=9)
    axes[1, -1].axis("off")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])

    draw_tracks(whole, pose, scale=SCALE)
    view = left.subplots()
    view.imshow(whole)
    view.set(xticks=[], yticks=[])
    view.set_title(f"frame {FRAME}: tracks, a zone, head-up crops", fontsize=9)
    figure.savefig(args.out, dpi=100)
    print(f"{args.out}: {np.round(args.out.stat().st_size / 1000)} kB")


if __name__ == "__main__":
    main()
