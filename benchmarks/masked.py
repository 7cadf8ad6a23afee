"""What it saves that the student of stage 2 encodes visible tokens only, beside what could be saved at most.

    python benchmarks/masked.py                      # tiny at its own size, base with four layers: about a minute
    python benchmarks/masked.py --encoder base       # one encoder, whole
    python benchmarks/masked.py --device cuda        # bf16

Forward and backward of the student alone, on all tokens and on visible ones. ``possible`` is the ratio of the products'
arithmetic, attention with its squares included; ``tokens`` is the ratio of tokens alone. Runs with and without masks
take turns, so that a busy machine slows both alike; the median of the ratios is printed.

On one core of a busy machine: tiny, 4 clips, blocks 0.60 of the time (0.585 possible), tubes 0.37 (0.337); base with a
quarter of its layers, 1 clip of 8 frames, blocks 0.55 (0.589; what is smaller stays in the cache), tubes 0.37 (0.343).
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from behavior_prism.encoder import VideoEncoder, VideoEncoderConfig, preset
from behavior_prism.encoder.pretraining.masks import MaskConfig, draw_masks
from behavior_prism.encoder.pretraining.visible_tokens import encode_visible


def arithmetic(config: VideoEncoderConfig, t: int, n: int, run: int, masked: int) -> float:
    """Floating-point operations of the products in one clip's forward pass; ``run`` 0 for no mask."""
    d = config.model_dim

    def tower(layers: int, batches: list[tuple[int, int]]) -> float:  # (sequences, tokens of each)
        each = (2 * s * k * (4 * d * d + 2 * d * config.mlp_dim + 2 * k * d) for s, k in batches)
        return layers * sum(each)

    visible = t * n - run * masked
    projection = 2 * visible * d * config.patch_size**2 * 3
    spatial = tower(config.num_spatial_layers, [(run, n - masked), (t - run, n)])
    temporal = tower(config.num_temporal_layers, [(n - masked, t), (masked, t - run)])
    return projection + spatial + temporal


def seconds(run: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(name: str, config: VideoEncoderConfig, shape: tuple[int, int, int], kind: str, args) -> None:
    """Print a row of the table."""
    t, n = shape[0], (shape[1] // config.patch_size) * (shape[2] // config.patch_size)
    grid = shape[1] // config.patch_size, shape[2] // config.patch_size
    # for blocks the middle of the range of runs
    span = 0.625 if kind == "block" else 0.5
    masks = draw_masks(np.random.default_rng(0), args.batch, t, grid, MaskConfig(kind=kind, run=(span, span)))  # type: ignore[arg-type]
    batch = {key: torch.from_numpy(value).to(args.device) for key, value in masks.items()}
    run, masked = int(batch["run_length"]), batch["masked_places"].shape[1]
    model = VideoEncoder(config).to(args.device)
    if args.device == "cuda":
        model = model.to(torch.bfloat16)
    video = torch.rand(args.batch, t, shape[1], shape[2], 3, device=args.device)

    def whole() -> None:
        model(video).float().square().mean().backward()

    def visible() -> None:
        tokens = encode_visible(model, video, batch["run_start"], run, batch["masked_places"]).tokens
        tokens.float().square().mean().backward()

    for first in (whole, visible):  # what is set up at the first run does not count
        first()
    pairs = [(seconds(whole, args.device), seconds(visible, args.device)) for _ in range(args.repeats)]
    ratio = statistics.median(b / a for a, b in pairs)
    possible = arithmetic(config, t, n, run, masked) / arithmetic(config, t, n, 0, 0)
    tokens = 1 - run * masked / (t * n)
    reached = (1 - ratio) / (1 - possible)
    columns = (
        f"{name:<14} {kind:<6} {1 - tokens:>6.1%} {min(a for a, _ in pairs):>8.3f} {min(b for _, b in pairs):>8.3f}"
    )
    print(f"{columns} {ratio:>8.3f} {possible:>9.3f} {tokens:>7.3f} {reached:>8.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="one encoder at its own size")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cases = {}
    if args.encoder:
        chosen = preset(args.encoder)
        cases[args.encoder] = chosen.config, (chosen.num_frames, *chosen.image_size)
    else:
        tiny, base = preset("tiny"), preset("base")
        cases["tiny"] = tiny.config, (tiny.num_frames, *tiny.image_size)
        shallow = dataclasses.replace(base.config, num_spatial_layers=3, num_temporal_layers=1)
        cases["base/4 8x288"] = shallow, (8, *base.image_size)
    print(
        f"{'student':<14} {'mask':<6} {'masked':>6} {'all s':>8} {'seen s':>8} {'measured':>8} {'possible':>9} ", end=""
    )
    print(f"{'tokens':>7} {'reached':>8}")
    for name, (config, shape) in cases.items():
        for kind in ("block", "tube"):
            measure(name, config, shape, kind, args)


if __name__ == "__main__":
    main()
