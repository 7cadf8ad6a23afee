"""What each stage of pretraining shows the encoder: dropped tubes, masks in blocks, the shuffle.

python examples/pretraining.py [--out PICTURE.png] [--seed 3]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from behavior_prism.datasets.simulate import simulate_varied_clip
from behavior_prism.encoder import preset
from behavior_prism.encoder.pretraining.masks import draw_masks

FRAMES = 8
DIMMED = 0.18


def places(seen: np.ndarray, patch: int) -> np.ndarray:
    """Which pixels are seen, from which places are: (T, rows, cols) to (T, H, W, 1)."""
    return seen.repeat(patch, axis=1).repeat(patch, axis=2)[..., None]


def show(axis: Axes, frames: np.ndarray, seen: np.ndarray, title: str) -> None:
    dimmed = frames * np.where(seen, 1.0, DIMMED)
    axis.imshow(np.concatenate(list(dimmed.astype(np.uint8)), axis=1))
    axis.set_title(title, fontsize=9, loc="left", pad=3)
    axis.axis("off")


def shuffled(frames: np.ndarray, seen: np.ndarray, permutation: np.ndarray, patch: int) -> np.ndarray:
    """Every place with the patch that the shuffle puts there; mask tokens are grey."""
    t, height, width, _ = frames.shape
    rows, cols = height // patch, width // patch
    patches = frames.reshape(t, rows, patch, cols, patch, 3).swapaxes(2, 3).reshape(-1, patch, patch, 3).copy()
    patches[~seen.reshape(-1)] = 128
    moved = patches[permutation].reshape(t, rows, cols, patch, patch, 3)
    return moved.swapaxes(2, 3).reshape(t, height, width, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("stages.png"))
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()

    config = preset("tiny").config
    patch, (_, rows, cols) = config.patch_size, config.pos_emb_shape
    clip = simulate_varied_clip("mouse", "walk", seed=args.seed, num_frames=FRAMES, size=rows * patch)
    rng = np.random.default_rng(args.seed)
    frames = clip.frames

    everything = np.ones((FRAMES, rows, cols), dtype=bool)
    kept = np.zeros(rows * cols, dtype=bool)
    kept[rng.permutation(rows * cols)[: rows * cols // 2]] = True
    tubes = np.broadcast_to(kept.reshape(1, rows, cols), everything.shape)
    masks = draw_masks(rng, 1, FRAMES, (rows, cols))
    visible = everything.reshape(FRAMES, -1).copy()
    run = (int(masks["run_start"][0]) + np.arange(int(masks["run_length"]))) % FRAMES
    visible[np.ix_(run, masks["masked_places"][0])] = False
    visible = visible.reshape(everything.shape)

    figure, axes = plt.subplots(4, 1, figsize=(FRAMES * 1.1, 5.2), layout="constrained")
    show(axes[0], frames, places(everything, patch), f"the clip: {clip.captions[0]}")
    show(axes[1], frames, places(tubes, patch), "stage 1: half of the places are dropped, the same in all frames")
    share = 1 - visible.mean()
    title = f"stage 2, student: a block is masked in a run of {len(run)} frames, {share:.0%} of all tokens"
    show(axes[2], frames, places(visible, patch), title)
    moved = shuffled(frames, visible, masks["permutation"][0], patch)
    show(
        axes[3],
        moved,
        places(everything, patch),
        "stage 2, decoder: visible and mask tokens, shuffled; it puts them in order",
    )
    figure.savefig(args.out, dpi=90)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
