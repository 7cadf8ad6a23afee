"""How long labels take: opening a project, converting a million bouts; beside plain pandas doing the least possible.

    python benchmarks/labels.py [BOUTS]

Goals: an hour of 20 behaviours and 3 scorers opens in under a second; a million bouts convert in seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from behavior_prism.datasets import (
    Annotations,
    concat_annotations,
    empty_table,
    from_dense,
    load_annotations,
    save_annotations,
    score_whole,
    to_dense,
)

FPS = 30.0


def make(bouts: int, *, frames: int, behaviors: int = 20, scorer: str = "ann", seed: int = 0) -> Annotations:
    """Bouts that lie one after the other, each of another behaviour, with gaps."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.choice(frames, 2 * bouts, replace=False))
    names = np.asarray([f"behaviour {k:02d}" for k in range(behaviors)], dtype=object)
    table = empty_table(
        recording=["hour"] * bouts,
        behavior=names[rng.integers(0, behaviors, bouts)],
        scorer=[scorer] * bouts,
        start_frame=cuts[::2],
        stop_frame=cuts[1::2],
        start=cuts[::2] / FPS,
        stop=cuts[1::2] / FPS,
    )
    rows = Annotations(bouts=table, scored=empty_table(), behaviors=tuple(names))
    return score_whole(rows, recording="hour", edges=np.arange(frames + 1) / FPS)


def timed(what: str, run: Callable[[], object], least: float | None = None) -> float:
    """Best of three, printed."""
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    ratio = "" if least is None else f"{best / least:>8.1f} x plain pandas"
    print(f"  {what:<52}{best:>8.2f} s{ratio}")
    return best


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    frames = int(3600 * FPS)
    edges = np.arange(frames + 1) / FPS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hour.bouts.csv"
        hour = concat_annotations(make(10_000, frames=frames, scorer=s, seed=k) for k, s in enumerate("abc"))
        save_annotations(hour, path)
        print(f"an hour at 30 Hz, 20 behaviours, 3 scorers, {len(hour.bouts):,} bouts")
        least = timed("pandas.read_csv of the same file", lambda: pd.read_csv(path))
        timed("load_annotations (csv)", lambda: load_annotations(path), least)
        timed("load_annotations + placed on frames", lambda: load_annotations(path, recording={"hour": edges}), least)
        timed("to_dense", lambda: to_dense(hour, edges[:-1]))
        dense = to_dense(hour, edges[:-1])
        timed("from_dense", lambda: from_dense(dense, recording="hour"))

        many = make(count, frames=4 * count)
        path = Path(folder) / "many.bouts.csv"
        print(f"{count:,} bouts")
        least = timed("DataFrame.to_csv", lambda: many.bouts.to_csv(path, index=False, float_format="%.9g"))
        timed("save_annotations (csv)", lambda: save_annotations(many, path, overwrite=True), least)
        least = timed("pandas.read_csv", lambda: pd.read_csv(path))
        timed("load_annotations (csv)", lambda: load_annotations(path), least)
        for ending, name in ((".parquet", "bouts-parquet"), ("_annot.txt", "caltech"), (".jabs.json", "jabs")):
            other = Path(folder) / f"many{ending}"
            timed(f"save_annotations ({name})", lambda o=other, n=name: save_annotations(many, o, n, overwrite=True))  # type: ignore[misc]
            timed(f"load_annotations ({name})", lambda o=other, n=name: load_annotations(o, n))  # type: ignore[misc]


if __name__ == "__main__":
    main()
