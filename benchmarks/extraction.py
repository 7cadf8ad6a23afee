"""Where the time of an extraction goes, and how it compares with other ways to the same features.

    python benchmarks/extraction.py                          # tiny and Base on two threads, some minutes
    python benchmarks/extraction.py --encoder tiny           # tiny alone
    python benchmarks/extraction.py --base-frames 128        # more frames of Base: the ends of the video weigh less
    python benchmarks/extraction.py --memory 20000           # peak memory over a long file, beside a tenth of it

Decode (with resizing), model and write are measured alone, with nothing beside them, then the whole; the best of three
rounds is told. The naive loop sends every window through the whole encoder; the script a user would write today does so
with ``transformers``' port, decoding with PyAV. Both are timed on a few windows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from transformers_port import port_of

from behavior_prism.analysis import extract_features, open_features, plan_features
from behavior_prism.analysis.extraction_plan import ExtractionPlan
from behavior_prism.analysis.feature_stream import encode_stream
from behavior_prism.analysis.feature_writer import FeatureWriter
from behavior_prism.analysis.frame_pictures import Undecodable, frame_blocks
from behavior_prism.analysis.micro_batch import choose_batch
from behavior_prism.datasets import WindowSpec, load_recording
from behavior_prism.encoder import LoadedEncoder, load_encoder, preprocess_frames


def write_video(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """A textured picture that moves, with noise: as dear to decode as a camera's."""
    height, width = size
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(40, 200, (height // 16 + 8, width // 16 + 8, 3)), np.ones((16, 16, 1)))
    noise = rng.normal(0, 4, (16, height, width, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "fast", "crf": "23"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for k in range(frames):
            shift = k % 100
            picture = texture[shift : shift + height, shift // 2 : shift // 2 + width] + noise[k % 16]
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(encoder: LoadedEncoder, video: Path, stride: int, folder: Path) -> tuple[dict[str, float], ExtractionPlan]:
    """Seconds of the stages alone and of the whole."""
    recording = load_recording(video)
    plan = plan_features(recording, encoder, WindowSpec(length=encoder.num_frames, stride=stride))
    batch = choose_batch(encoder, plan.spec.length)
    blocks: list = []
    nothing = Undecodable(plan, 0)
    decode = seconds(lambda: blocks.extend(frame_blocks(plan, batch.frames, 0, nothing)))

    from behavior_prism.analysis import feature_stream

    kept, feature_stream.frame_blocks = feature_stream.frame_blocks, lambda *_: iter(blocks)
    try:
        model = seconds(lambda: list(encode_stream(plan, 0, len(plan.starts) - 1, batch, nothing)))
    finally:
        feature_stream.frame_blocks = kept
    target = folder / f"{video.stem}.zarr"
    total = seconds(lambda: extract_features(recording, encoder, target, window=plan.spec))
    features = open_features(target).load()

    def write() -> None:
        writer = FeatureWriter(
            folder / "written.zarr",
            plan.settings(),
            plan.template(),
            num_tokens=16,
            num_channels=features.sizes["channel"],
            attrs={},
            clip_stride=plan.clip_stride,
            overwrite=True,
        )
        for k in range(len(writer.done)):
            a, b = writer.shards.frames(k)
            c, d = writer.shards.clips(k)
            clips = {name: features[name].values[:, c:d] for name in ("clip_embedding", "clip_valid")}
            writer.write(k, features.feature.values[:, a:b], **clips)
        writer.finish()

    return {"decode": decode, "model": model, "write": seconds(write), "total": total}, plan


@torch.inference_mode()
def naive(plan: ExtractionPlan, windows: int) -> float:
    """Seconds a window: every window decoded and sent through the whole encoder."""
    video, encoder, length = plan.recording.video, plan.encoder, plan.spec.length
    starts = plan.starts[:windows]

    def run() -> None:
        for start in starts:
            frames = video[start : start + length]
            encoder.model(preprocess_frames(frames, encoder.image_size)[None])

    run()
    return seconds(run) / len(starts)


@torch.inference_mode()
def with_port(plan: ExtractionPlan, windows: int) -> float:
    """Seconds a window of the usual script: all frames into memory by PyAV, then window by window through the port."""
    encoder, length = plan.encoder, plan.spec.length
    port = port_of(encoder.model, encoder.image_size[0], length)
    stop = int(plan.starts[:windows][-1]) + length

    def run() -> None:
        with av.open(str(plan.recording.video.path)) as container:
            frames = []
            for frame in container.decode(video=0):
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == stop:
                    break
        for start in plan.starts[:windows]:
            clip = preprocess_frames(np.stack(frames[start : start + length]), encoder.image_size)
            port(clip[None])

    return seconds(run) / windows


def report(name: str, size: tuple[int, int], frames: int, stride: int, windows: int, folder: Path, repeat: int) -> None:
    encoder = load_encoder(name, weights=None, device="cpu")
    video = write_video(folder / f"{name}-{size[1]}-{stride}.mp4", frames, size)
    runs = []
    for k in range(repeat):  # in turn, and the best of each: another guest of the machine only ever makes things slower
        place = folder / f"{video.stem}-{k}"
        place.mkdir()
        run, plan = measure(encoder, video, stride, place)
        runs.append(run)
    stages = {stage: min(run[stage] for run in runs) for stage in runs[0]}
    per_frame = " ".join(f"{stage} {1e3 * s / frames:7.1f}" for stage, s in stages.items())
    print(f"\n{name}, {size[1]}x{size[0]}, stride {stride}, {frames} frames: ms a frame: {per_frame}")
    print(f"  {frames / stages['total']:.1f} frames/s")
    print(f"  total / model                {stages['total'] / stages['model']:6.2f}")
    print(f"  total / (decode + model)     {stages['total'] / (stages['decode'] + stages['model']):6.2f}")
    if not windows:
        return
    # in the steady state each window brings `stride` new frames
    ours = stages["total"] / len(plan.starts)
    loop, port = naive(plan, windows), with_port(plan, windows)
    print(f"  naive window loop / total    {loop / ours:6.2f}   ({loop:.2f} s and {ours:.2f} s a window)")
    print(f"  transformers script / total  {port / ours:6.2f}   ({port:.2f} s a window)", flush=True)


PEAK = """
import resource, sys
import torch
torch.set_num_threads(int(sys.argv[3]))
from behavior_prism.analysis import extract_features
from behavior_prism.datasets import load_recording
from behavior_prism.encoder import load_encoder
encoder = load_encoder("tiny", weights=None, device="cpu")
extract_features(load_recording(sys.argv[1]), encoder, sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def memory(frames: int, threads: int, folder: Path) -> None:
    """Peak of a process of its own, for a short file and one ten times as long."""
    for count in (frames // 10, frames):
        video = write_video(folder / f"long-{count}.mp4", count, (240, 320))
        command = [sys.executable, "-c", PEAK, str(video), str(folder / f"{count}.zarr"), str(threads)]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(f"tiny, {count} frames of 320x240: peak {int(peak) / 1024:.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=("all", "tiny", "base"), default="all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny-frames", type=int, default=1200)
    parser.add_argument("--base-frames", type=int, default=80)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many is told")
    parser.add_argument("--memory", type=int, metavar="FRAMES", help="measure memory over so many frames, nothing else")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.memory:
            memory(args.memory, args.threads, folder)
            return
        if args.encoder in ("all", "tiny"):
            report("tiny", (480, 640), args.tiny_frames, 4, 8, folder, args.repeat)
            report("tiny", (1024, 1024), args.tiny_frames // 3, 4, 0, folder, args.repeat)
        if args.encoder in ("all", "base"):
            report("base", (480, 640), args.base_frames, 4, 2, folder, args.repeat)


if __name__ == "__main__":
    main()
