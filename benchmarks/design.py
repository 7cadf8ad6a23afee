"""What each step from tokens to probe rows brings, on the recordings of a demo, held out one by one.

usage: python benchmarks/design.py DEMO_OUTPUT
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from behavior_prism import analysis
from behavior_prism.workflow import load_labels


def main() -> None:
    demo = Path(sys.argv[1])
    stores = [analysis.open_features(p) for p in sorted((demo / "features").glob("*.zarr"))]
    annotations, _ = load_labels(sorted((demo / "recordings").glob("*.bouts.csv")), stores)
    labels = [analysis.labels_for(s, a) for s, a in zip(stores, annotations, strict=True)]
    full = analysis.stack_recordings(stores, labels)
    means = np.concatenate([s["feature"].values[0].astype(np.float32).mean(axis=1) for s in stores])
    centred = np.concatenate([_standardised(s["feature"].values[0].astype(np.float32).mean(axis=1)) for s in stores])
    still = analysis.stack_recordings(stores, labels, context=0)
    third = still.rows.shape[1] // 3
    variants = {
        "mean over places": means,
        "... standardised within the recording": centred,
        "mean, maximum, spread over places, centred by place and slot": still.rows[:, :third],
        "... and movement around the frame (design_matrix)": full.rows,
    }
    table = Table("rows for the probe", "numbers", "mean AP", "mean F1", "seconds")
    for name, rows in variants.items():
        data = analysis.TrainingSet(rows=rows, label=full.label, recording=full.recording, behaviors=full.behaviors)
        begun = time.monotonic()
        score = analysis.cross_validate_by_recording(analysis.LinearProbe(), data, max_folds=len(stores))
        mean = analysis.evaluate_predictions(data.label, score, data.behaviors).loc["mean"]
        numbers = (f"{mean['average_precision']:.3f}", f"{mean['f1']:.3f}", f"{time.monotonic() - begun:.0f}")
        table.add_row(name, str(rows.shape[1]), *numbers)
    table.add_row("chance", "", f"{mean['prevalence']:.3f}", "", "")
    Console().print(table)


def _standardised(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-6)


if __name__ == "__main__":
    main()
