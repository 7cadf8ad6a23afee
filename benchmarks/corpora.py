"""Clips a second that corpora give, against what a training step of tiny takes.

    python benchmarks/corpora.py [WORKERS] [BATCHES]

Makes four simulated recordings, cuts them into shards, and times batches of stage 2 (8 frames of 96 x 96) from shards,
from the recordings themselves and from the simulator. The last rows are what steps of tiny consume, data at hand.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

from behavior_prism.datasets import open_video, simulate_recording, write_recording
from behavior_prism.datasets.corpora import Corpus, RecordingCorpus, ShardCorpus, SimulatedCorpus
from behavior_prism.datasets.shard_writing import ShardSettings, write_shards
from behavior_prism.encoder import VideoEncoder, VideoTextModel, preset
from behavior_prism.encoder.pretraining.contrastive import ContrastiveObjective
from behavior_prism.encoder.pretraining.masked import MaskedObjective
from behavior_prism.encoder.pretraining.masks import MaskConfig
from behavior_prism.encoder.pretraining.objective import Objective
from behavior_prism.pretrain_batches import BatchMaker, ClipBatches, MaskedTokens

BATCH, FRAMES, SIZE = 8, 8, 96


def rate_of(corpus: Corpus, workers: int, batches: int) -> float:
    finish = MaskedTokens((8, 8), MaskConfig())
    maker = BatchMaker([corpus], batch=BATCH, num_frames=FRAMES, image_size=(SIZE, SIZE), finish=finish)
    stream = iter(ClipBatches(maker, workers=workers))
    for _ in range(max(1, 2 * workers)):  # workers start, and what they had ready is used up
        next(stream)
    start = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return BATCH * batches / (time.perf_counter() - start)


def rate_of_steps(objective: Objective, batch: dict[str, torch.Tensor], steps: int = 3) -> float:
    objective.backward(batch)
    start = time.perf_counter()
    for _ in range(steps):
        objective.zero_grad()
        objective.backward(batch)
    return BATCH * steps / (time.perf_counter() - start)


def main() -> None:
    workers, batches = (int(n) for n in (*sys.argv[1:], *("0", "8")[len(sys.argv) - 1 :]))
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write_recording(simulate_recording("mouse", seconds=30, size=(192, 192), seed=k), folder)["video"]
            for k in range(4)
        ]
        recordings = {path.stem: open_video(path) for path in paths}
        write_shards(recordings, Path(folder) / "shards", ShardSettings(seconds=1, fps=25, size=96))
        shards = ShardCorpus(Path(folder) / "shards", num_frames=FRAMES, rate=25)
        rates["shards, 96 px"] = rate_of(shards, workers, batches)
        windows = RecordingCorpus(recordings, num_frames=FRAMES, rate=25)
        rates["recordings, 192 px"] = rate_of(windows, workers, batches)
    rates["simulator, 96 px"] = rate_of(SimulatedCorpus(size=SIZE), workers, batches)
    finish = MaskedTokens((8, 8), MaskConfig())
    maker = BatchMaker(
        [SimulatedCorpus(size=SIZE)], batch=BATCH, num_frames=FRAMES, image_size=(SIZE, SIZE), finish=finish
    )
    masked = maker(0).batch
    rates["tiny: step of stage 2"] = rate_of_steps(MaskedObjective(VideoEncoder(preset("tiny").config)), masked)
    ids = torch.randint(1, 4000, (BATCH, 16))
    pairs = {"video": masked["video"], "token_ids": ids, "text_paddings": torch.zeros(BATCH, 16)}
    pairs["kept"] = torch.stack([torch.randperm(64)[:32].sort().values for _ in range(BATCH)])
    stage_1 = ContrastiveObjective(VideoTextModel(preset("lvt-tiny").config))
    rates["tiny: step of stage 1"] = rate_of_steps(stage_1, pairs)
    print(f"{workers} workers, {torch.get_num_threads()} threads, batches of {BATCH}")
    for name, rate in rates.items():
        print(f"{name:<24}{rate:>9.1f} clips/s")


if __name__ == "__main__":
    main()
