"""Two scorers of one simulated recording: what they saw, and how far they agree.

python examples/labels.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from behavior_prism.analysis import agreement_report, plot_labels
from behavior_prism.datasets import Annotations, concat_annotations, drop_short, simulate_recording


def second_scorer(first: Annotations, *, fps: float, seed: int = 0) -> Annotations:
    """Starts and stops off by some frames, short bouts not seen: as people differ."""
    rng = np.random.default_rng(seed)
    seen = drop_short(first, min_duration=0.4)
    bouts = seen.bouts.copy()
    for column, other in (("start_frame", "start"), ("stop_frame", "stop")):
        moved = bouts[column] + rng.integers(-4, 5, len(bouts))
        bouts[column] = moved.clip(0, int(seen.scored["stop_frame"].max()))
        bouts[other] = bouts[column] / fps
    bouts = bouts[bouts["stop_frame"] > bouts["start_frame"]]
    return seen.with_rows(bouts.assign(scorer="bob"), seen.scored.assign(scorer="bob"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    folder = parser.parse_args().out
    simulated = simulate_recording("mouse", seconds=60, num_animals=1, seed=5)
    edges = np.append(simulated.tracks.time.values, 60.0)
    truth = simulated.annotations
    first = truth.with_rows(*(t.assign(scorer="ann", recording="m1") for t in (truth.bouts, truth.scored)))
    both = concat_annotations([first, second_scorer(first, fps=simulated.fps)])
    plot_labels(both, "m1").savefig(folder / "labels_show.png", dpi=110)
    report = agreement_report(both, {"m1": edges}, tolerance=0.5)
    report.figure().savefig(folder / "labels_agreement.png", dpi=110)
    print("\n".join(report.lines()))


if __name__ == "__main__":
    main()
