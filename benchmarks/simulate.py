"""How fast clips are simulated on one core: 8 frames at 96 px, every behaviour, plain clips and varied ones.

Run it with ``python benchmarks/simulate.py``; ``--clips`` sets how many clips are made of each behaviour. Processor
time is counted (``time.process_time``), so that other programs on the machine hardly do; the time on the wall is given
too. The aim for varied clips is at least 40 a second.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2

from behavior_prism.datasets.simulate import VARIED_BEHAVIORS, behaviors_of, simulate_clip, simulate_varied_clip

NUM_FRAMES, SIZE = 8, 96


def rates_of(make: Callable[[int], object], clips: int) -> tuple[float, float]:
    """Clips per second of processor time and of time on the wall."""
    make(0)
    processor, wall = time.process_time(), time.perf_counter()
    for k in range(clips):
        make(k)
    return clips / (time.process_time() - processor), clips / (time.perf_counter() - wall)


def plain(arena: str, behavior: str) -> Callable[[int], object]:
    return lambda k: simulate_clip(arena, behavior, num_frames=NUM_FRAMES, size=SIZE, seed=k)


def varied(species: str, behavior: str) -> Callable[[int], object]:
    return lambda k: simulate_varied_clip(species, behavior, num_frames=NUM_FRAMES, size=SIZE, seed=1, index=k)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20, help="clips of each behaviour (default: 20)")
    clips = parser.parse_args().clips
    cv2.setNumThreads(1)
    print(f"{'kind':8}{'species':8}{'behaviour':22}{'clips/s of processor':>22}{'clips/s on the wall':>21}")
    for kind, make, species_behaviors in (
        ("plain", plain, {arena: behaviors_of(arena) for arena in ("mouse", "fly")}),
        ("varied", varied, VARIED_BEHAVIORS),
    ):
        for species, behaviors in species_behaviors.items():
            rates = []
            for behavior in behaviors:
                rates.append(rates_of(make(species, behavior), clips))
                print(f"{kind:8}{species:8}{behavior:22}{rates[-1][0]:22.1f}{rates[-1][1]:21.1f}")
            processor, wall = (len(rates) / sum(1 / rate[k] for rate in rates) for k in (0, 1))
            print(f"{kind:8}{species:8}{'all':22}{processor:22.1f}{wall:21.1f}")


if __name__ == "__main__":
    main()
