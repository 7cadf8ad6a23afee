"""What a probe loses when fewer tokens of a frame are kept: all, 4x4, 2x2, their mean.

    python benchmarks/grid.py --data ../shared/data --demo demo_output [--encoder tiny]

On real labelled clips (as in examples/real_clips.py, held out by group) and, where the folder of a demo is given, on
its recordings, held out one by one. Features are extracted once with all tokens and averaged to the other grids.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import track
from rich.table import Table

from behavior_prism import LinearProbe, analysis, extract_features, load_encoder
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import LoadedEncoder
from behavior_prism.workflow import load_labels

HOUR = 30 * 3600  # sampled frames


def real_clips() -> ModuleType:
    path = Path(__file__).parents[1] / "examples" / "real_clips.py"
    spec = importlib.util.spec_from_file_location("real_clips", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_clips"] = module
    spec.loader.exec_module(module)
    return module


def grids_of(encoder: LoadedEncoder) -> list[tuple[int, int]]:
    own = encoder.model.grid_size(*encoder.image_size)
    return list(dict.fromkeys([own, *((n, n) for n in (4, 2, 1) if own[0] % n == own[1] % n == 0)]))


def pooled(features: xr.Dataset, own: tuple[int, int], grid: tuple[int, int]) -> xr.Dataset:
    """The store that would have been made with a smaller grid."""
    tokens = features["feature"].values.astype(np.float32)
    i, t, _, d = tokens.shape
    blocks = tokens.reshape(i, t, grid[0], own[0] // grid[0], grid[1], own[1] // grid[1], d).mean(axis=(3, 5))
    small = features.drop_dims("token")
    small["feature"] = (("individual", "time", "token", "channel"), blocks.reshape(i, t, -1, d).astype(np.float16))
    return small


def of_clips(encoder: LoadedEncoder, data: Path, folder: Path) -> Iterator[tuple[str, tuple[int, int], str]]:
    """Balanced accuracy with its interval, for each set, split and grid."""
    clips_of = real_clips()
    own = encoder.model.grid_size(*encoder.image_size)
    for make in (clips_of.fish_clips, clips_of.hstacked_clips, clips_of.example_clips):
        clip_set = make(data)
        rows: dict[tuple[int, int], list[np.ndarray]] = {grid: [] for grid in grids_of(encoder)}
        for clip in track(clip_set.clips, description=clip_set.title, console=Console(stderr=True), transient=True):
            recording = clip.open()
            with recording.video:
                store = extract_features(recording, encoder, folder / f"{clip.name}.zarr", grid=own)
            for grid in rows:
                rows[grid].append(clips_of.clip_embedding(pooled(store, own, grid)))
        labels = np.array([clip.label for clip in clip_set.clips])
        for split in clip_set.clips[0].groups:
            groups = np.array([clip.groups[split] for clip in clip_set.clips])
            for grid, values in rows.items():
                told = clips_of.held_out_predictions(LinearProbe(), np.stack(values), labels, groups)
                mean, (low, high) = clips_of.scores(labels, told), clips_of.bootstrap_interval(labels, told, groups)
                yield f"{clip_set.title}, by {split}", grid, f"{mean[0]:.2f} ({low[0]:.2f} to {high[0]:.2f})"


def of_demo(encoder: LoadedEncoder, demo: Path, folder: Path) -> Iterator[tuple[str, tuple[int, int], str]]:
    """Mean average precision over behaviours."""
    own = encoder.model.grid_size(*encoder.image_size)
    videos = sorted((demo / "recordings").glob("*.mp4"))
    stores = [extract_features(load_recording(v), encoder, folder / f"{v.stem}.zarr", grid=own) for v in videos]
    annotations, _ = load_labels(sorted((demo / "recordings").glob("*.bouts.csv")), stores)
    labels = [analysis.labels_for(s, a) for s, a in zip(stores, annotations, strict=True)]
    for grid in grids_of(encoder):
        small = [pooled(store, own, grid) for store in stores]
        data = analysis.stack_recordings(small, labels)
        told = analysis.cross_validate_by_recording(LinearProbe(), data, max_folds=len(stores))
        mean = analysis.evaluate_predictions(data.label, told, data.behaviors).loc["mean"]
        chance = f"chance {mean['prevalence']:.2f}"
        yield f"simulated recordings, mean AP, {chance}", grid, f"{mean['average_precision']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--demo", type=Path)
    parser.add_argument("--encoder", default="tiny")
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)
    print(encoder.describe())
    table = Table("judged on", *(f"{r}x{c}" for r, c in grids_of(encoder)))
    sizes = [2e-9 * HOUR * r * c * encoder.model.config.model_dim for r, c in grids_of(encoder)]
    table.add_row("GB an hour at 30 Hz", *(f"{size:.2f}" for size in sizes))
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if args.data is not None:
            for name, _, score in of_clips(encoder, args.data, Path(folder)):
                found.setdefault(name, []).append(score)
        if args.demo is not None:
            for name, _, score in of_demo(encoder, args.demo, Path(folder)):
                found.setdefault(name, []).append(score)
    for name, scores in found.items():
        table.add_row(name, *scores)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
