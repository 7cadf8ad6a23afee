"""Species by behaviours as strips of frames: what the simulator of varied clips draws.

python examples/simulator.py [--out PICTURE.png] [--seed 4]
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from behavior_prism.datasets.simulate import VARIED_BEHAVIORS, VariedClip, simulate_varied_clip

FRAMES, SIZE, COLUMNS = (0, 3, 6), 96, 4  # frames of each clip that are shown; clips side by side


def well_seen(clip: VariedClip) -> bool:
    """Large and bright enough for a printed page; training shows the others too."""
    first, last = clip.points[0, 0, 0], clip.points[0, 0, 5 if clip.species == "mouse" else 2]
    large = np.linalg.norm(first - last) > (14 if clip.species == "mouse" else 12)
    plain = clip.scene.lighting in ("plain", "bright", "infrared") and not clip.scene.thing
    return bool(large and plain and clip.frames.mean() > 60 and clip.frames.std() > 22)


def strip_of(species: str, behavior: str, seed: int) -> np.ndarray:
    """The first clip of a behaviour that is well seen, as frames side by side."""
    first = 1000 * VARIED_BEHAVIORS[species].index(behavior)  # so that the scenes of behaviours differ
    clips = (simulate_varied_clip(species, behavior, seed=seed, index=k, size=SIZE) for k in itertools.count(first))
    return np.concatenate(list(next(clip for clip in clips if well_seen(clip)).frames[list(FRAMES)]), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("simulator.png"))
    parser.add_argument("--seed", type=int, default=4)
    args = parser.parse_args()

    rows = sum(-(-len(behaviors) // COLUMNS) for behaviors in VARIED_BEHAVIORS.values())
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.015)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(12.4, 1.25 * rows), layout=layout)
    shown = [(species, behavior) for species, behaviors in VARIED_BEHAVIORS.items() for behavior in behaviors]
    for axis, (species, behavior) in zip(axes.flat, shown, strict=True):
        axis.imshow(strip_of(species, behavior, args.seed))
        axis.set_title(f"{species}: {behavior.replace('_', ' ')}", fontsize=9, pad=2)
        axis.axis("off")
    figure.savefig(args.out, dpi=80)
    # 256 colours are enough for pictures of this size, and a third of the bytes.
    Image.open(args.out).convert("RGB").quantize(256, kmeans=2).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
