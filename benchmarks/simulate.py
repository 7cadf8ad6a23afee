"""How fast clips are simulated on one core: 8 frames at 96 px, every behaviour of both arenas.

Run it with ``python benchmarks/simulate.py``; ``--clips`` sets how many clips are made of each behaviour.
"""

from __future__ import annotations

import argparse
import time

import cv2

from behavior_prism.datasets.simulate import behaviors_of, simulate_clip

NUM_FRAMES, SIZE = 8, 96


def clips_per_second(arena: str, behavior: str, clips: int) -> float:
    """Processor time is counted, so that other programs on the machine do not."""
    start = time.process_time()
    for seed in range(clips):
        simulate_clip(arena, behavior, num_frames=NUM_FRAMES, size=SIZE, seed=seed)
    return clips / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20, help="clips of each behaviour (default: 20)")
    clips = parser.parse_args().clips
    cv2.setNumThreads(1)
    print(f"{'arena':8}{'behaviour':18}{'clips/s':>9}{'frames/s':>10}")
    for arena in ("mouse", "fly"):
        simulate_clip(arena, "walk", num_frames=NUM_FRAMES, size=SIZE)
        rates = []
        for behavior in behaviors_of(arena):
            rates.append(clips_per_second(arena, behavior, clips))
            print(f"{arena:8}{behavior:18}{rates[-1]:9.1f}{NUM_FRAMES * rates[-1]:10.0f}")
        mean = len(rates) / sum(1 / rate for rate in rates)
        print(f"{arena:8}{'all':18}{mean:9.1f}{NUM_FRAMES * mean:10.0f}")


if __name__ == "__main__":
    main()
