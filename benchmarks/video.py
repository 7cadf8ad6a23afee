"""How fast frames come, beside bare PyAV and the readers that are installed; one run, one table.

    python benchmarks/video.py [VIDEO ...]

Without a video one is written: 900 frames of 640x480, h264, a key frame every 250. Goals: reading through with a resize
to 288x288 at 0.8 of the rate at which bare PyAV only decodes; a clip of 16 frames at a random place in 1.3 of
the time in which bare PyAV seeks, decodes and converts it. Every number is the best of four rounds in which all readers
take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from behavior_prism.datasets import TorchcodecVideo, Video
from behavior_prism.datasets.frame_index import build_frame_index

ROUNDS, SIDE, CLIP, CLIPS, MOST = 4, 288, 16, 8, 3000
Reader = Callable[[Path, list[int]], Any]


def peers() -> dict[str, Any]:
    """Optional readers that can be imported here."""
    found: dict[str, Any] = {}
    try:
        from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]

        found["torchcodec"] = lambda p: VideoDecoder(str(p), seek_mode="exact")
    except (ImportError, OSError, RuntimeError) as error:
        print(f"torchcodec: not here ({(str(error).splitlines() or ['?'])[0]})")
    try:
        import decord  # type: ignore[import-not-found]

        found["decord2"] = lambda p: decord.VideoReader(str(p))
    except (ImportError, OSError, RuntimeError) as error:
        print(f"decord2: not here ({(str(error).splitlines() or ['?'])[0]})")
    return found


def write_example(path: Path, count: int = 900) -> Path:
    """A picture that moves and rustles a little, as a camera's does."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": "250", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for k in range(count):
            picture = np.roll(ground, (k, 2 * k), (0, 1)) // 2 + rng.integers(0, 9, (480, 640, 1), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_long(path: Path, hours: float = 1.0) -> Path:
    """One encoded second again and again, so that an hour is written in seconds."""
    source = write_example(path.with_name("second.mp4"), 30)
    with av.open(str(source)) as given:
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in given.demux(video=0) if p.size]
        with av.open(str(path), "w") as out:
            stream = out.add_stream_from_template(given.streams.video[0])
            base, span = given.streams.video[0].time_base, given.streams.video[0].duration
            for k in range(int(3600 * hours)):
                for data, pts, dts, key in packets:
                    packet = av.Packet(data)
                    packet.pts, packet.dts = (pts or 0) + k * span, (dts or 0) + k * span
                    packet.time_base, packet.stream, packet.is_keyframe = base, stream, key
                    out.mux(packet)
    return path


def bare_frames(path: Path, count: int) -> Iterator[Any]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for k, frame in enumerate(container.decode(stream)):
            if k == count:
                return
            yield frame


def sequential(path: Path, others: dict[str, Any]) -> dict[str, Callable[[int], None]]:
    """Who reads through; all but the first two give RGB resized to 288x288."""

    def through(frames: Iterator[Any]) -> None:
        for _ in frames:
            pass

    def resized(frames: Iterator[Any]) -> None:
        for frame in frames:
            cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    def by_opencv(count: int) -> Iterator[np.ndarray]:
        capture = cv2.VideoCapture(str(path))
        for _ in range(count):
            good, frame = capture.read()
            if not good:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def plain(open_it: Any, count: int) -> Iterator[np.ndarray]:
        reader = open_it(path)
        for k in range(count):
            frame = reader[k]
            yield frame.permute(1, 2, 0).numpy() if hasattr(frame, "permute") else frame.asnumpy()

    runs: dict[str, Callable[[int], None]] = {
        "bare PyAV, decode only": lambda n: through(bare_frames(path, n)),
        "bare PyAV, decode + RGB": lambda n: through(f.to_ndarray(format="rgb24") for f in bare_frames(path, n)),
        "bare PyAV + reformat": lambda n: through(
            f.reformat(SIDE, SIDE, "rgb24").to_ndarray() for f in bare_frames(path, n)
        ),
        "ours, size=(288, 288)": lambda n: through(Video(path, size=(SIDE, SIDE)).iter_frames(range(n))),
        "ours, the same in grey": lambda n: through(Video(path, size=(SIDE, SIDE), grey=True).iter_frames(range(n))),
        "ours, no ring": lambda n: through(Video(path, size=(SIDE, SIDE), cache_mb=0).iter_frames(range(n))),
        "ours + cv2.resize": lambda n: resized(Video(path).iter_frames(range(n))),
        "OpenCV + cv2.resize": lambda n: resized(by_opencv(n)),
    }
    if "torchcodec" in others:
        runs["ours by torchcodec, 288x288"] = lambda n: through(
            TorchcodecVideo(path, size=(SIDE, SIDE)).iter_frames(range(n))
        )
    for name, open_it in others.items():
        runs[f"{name} + cv2.resize"] = lambda n, o=open_it: resized(plain(o, n))  # type: ignore[misc]
    return runs


def clips(path: Path, others: dict[str, Any]) -> dict[str, Callable[[list[int]], None]]:
    """Who gives clips of 16 frames, from a file that is open already."""
    index, ours = build_frame_index(path), Video(path)
    container = av.open(str(path))
    container.streams.video[0].thread_type = "AUTO"
    capture = cv2.VideoCapture(str(path))

    def bare(starts: list[int]) -> None:
        for start in starts:
            stream, got = container.streams.video[0], []
            container.seek(int(index.pts[start]), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.pts is not None and frame.pts >= index.pts[start]:
                    got.append(frame.to_ndarray(format="rgb24"))
                if len(got) == CLIP:
                    break
            np.stack(got)

    def opencv(starts: list[int]) -> None:
        for start in starts:
            capture.set(cv2.CAP_PROP_POS_FRAMES, start)
            np.stack([cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB) for _ in range(CLIP)])

    runs: dict[str, Callable[[list[int]], None]] = {
        "bare PyAV": bare,
        "ours": lambda starts: [ours[s : s + CLIP] for s in starts] and None,
        "OpenCV (can be the wrong frames)": opencv,
    }
    if "torchcodec" in others:
        by_torchcodec = TorchcodecVideo(path)
        runs["ours by torchcodec"] = lambda starts: [by_torchcodec[s : s + CLIP] for s in starts] and None
    for name, open_it in others.items():
        reader = open_it(path)
        if hasattr(reader, "get_batch"):
            runs[name] = lambda starts, r=reader: [  # type: ignore[misc]
                r.get_batch(list(range(s, s + CLIP))).asnumpy() for s in starts
            ]
        else:
            runs[name] = lambda starts, r=reader: [r[s : s + CLIP] for s in starts]  # type: ignore[misc]
    return runs


def best_of(runs: dict[str, Callable[[Any], Any]], what: Any) -> dict[str, float]:
    """Seconds of each; ``inf`` for one that fails."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            try:
                run(what)
            except Exception as error:
                print(f"  {name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
                continue
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def rows_of(path: Path, others: dict[str, Any]) -> None:
    video = Video(path)
    count = min(len(video), MOST)
    print(f"\n{video}")
    for name, seconds in (times := best_of(sequential(path, others), count)).items():
        ratio = times["bare PyAV, decode only"] / seconds
        print(f"  read through   {name:<34}{count / seconds:>9.0f} frames/s{ratio:>8.2f} of bare decode")
    if len(video) > 2 * CLIP:
        starts = np.random.default_rng(0).integers(0, len(video) - CLIP, CLIPS).tolist()
        for name, seconds in (times := best_of(clips(path, others), starts)).items():
            ratio = seconds / times["bare PyAV"]
            print(f"  16-frame clip  {name:<34}{1e3 * seconds / CLIPS:>9.1f} ms      {ratio:>8.2f} x bare PyAV")


def memory(path: Path) -> None:
    """Growth of this process after every quarter of a video (Linux)."""
    video = Video(path)

    def now() -> float:
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) / 1024

    marks: list[float] = []
    for k, _ in enumerate(video):
        if k % max(1, len(video) // 4) == min(100, len(video) // 8):
            marks.append(now())
    print(f"  memory         {len(video)} frames: " + ", ".join(f"{m:.0f}" for m in [*marks, now()]) + " MiB")


def main() -> None:
    if sys.argv[1:2] == ["--memory"]:
        memory(Path(sys.argv[2]))
        return
    others = peers()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BEHAVIOR_PRISM_CACHE"] = folder
        paths = [Path(p) for p in sys.argv[1:]] or [write_example(Path(folder) / "example.mp4")]
        for path in paths:
            rows_of(path, others)
            subprocess.run([sys.executable, __file__, "--memory", str(path)], check=True)
        long = write_long(Path(folder) / "hour.mp4")
        for state in ("first time", "from the cache"):
            start = time.perf_counter()
            video = Video(long)
            seconds = time.perf_counter() - start
            print(f"index of {video}, {state}: {seconds:.3f} s")


if __name__ == "__main__":
    main()
