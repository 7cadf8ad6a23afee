"""What the tokens of an encoder see: their three main directions as colours, over a simulated recording.

    python examples/what_tokens_see.py [ENCODER] [--video FILE] [--out PICTURE.png]

Places that the encoder holds to be alike get like colours. Without ENCODER it is the tiny one with random weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.decomposition import PCA

from behavior_prism import load_encoder, simulate_recording
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import preprocess_frames

COLUMNS = 4  # frames shown
GRID = 24  # tokens a side: more than the tiny encoder's own 8, positions are interpolated


def read_frames(video: Path | None, num_frames: int) -> np.ndarray:
    if video is None:
        return np.stack(list(simulate_recording("mouse", seconds=4, num_animals=2, seed=3).frames()))[::6][:num_frames]
    recording = load_recording(video)
    return np.stack([recording.video[i] for i in range(num_frames)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", nargs="?", default="tiny")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--out", type=Path, default=Path("what_tokens_see.png"))
    args = parser.parse_args()

    encoder = load_encoder(args.encoder)
    frames = read_frames(args.video, encoder.num_frames)
    side = GRID * encoder.model.config.patch_size
    clip = preprocess_frames(frames, side)[None].to(encoder.device, encoder.dtype)
    with torch.inference_mode():
        features = encoder.model.forward_features(clip)  # (1, T, N, D), both towers

    shown = np.linspace(0, len(frames) - 1, COLUMNS).astype(int)
    figure, axes = plt.subplots(3, COLUMNS, figsize=(2.6 * COLUMNS, 7.6), layout="constrained")
    for row, (name, tokens) in enumerate({"spatial tower": features.spatial, "whole encoder": features.tokens}.items()):
        values = tokens[0].float().cpu().numpy()  # (T, N, D)
        values = values - values.mean(axis=(0, 1))
        colours = PCA(3).fit_transform(values.reshape(-1, values.shape[-1])).reshape(*values.shape[:2], 3)
        low, high = np.quantile(colours, [0.02, 0.98], axis=(0, 1))
        colours = np.clip((colours - low) / (high - low), 0, 1).reshape(len(values), GRID, GRID, 3)
        for column, frame in enumerate(shown):
            axes[row + 1, column].imshow(colours[frame], interpolation="nearest")
        axes[row + 1, 0].set_ylabel(name)
    for column, frame in enumerate(shown):
        axes[0, column].imshow(frames[frame])
        axes[0, column].set_title(f"frame {frame} of the clip")
    axes[0, 0].set_ylabel("video")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    weights = "learned weights" if encoder.trained else "random, untrained weights"
    figure.suptitle(f"Three main directions of the tokens, {encoder.name} encoder, {weights}")
    figure.savefig(args.out, dpi=110)
    print(args.out)


if __name__ == "__main__":
    main()
