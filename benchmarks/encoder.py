"""How fast the encoder is, as a share of what the machine can do and beside the port in ``transformers``.

    python benchmarks/encoder.py               # one 16 x 288 x 288 clip on the CPU, two threads, some minutes
    python benchmarks/encoder.py --compile     # the compiled layers too
    python benchmarks/encoder.py --device cuda # bf16, FlexAttention and compile on a GPU

The floor is the clip's arithmetic (973 GFLOP for Base) divided by the rate of a large matrix product measured in the
same run, between the others, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from transformers_port import port_of

from behavior_prism.datasets import WindowSpec
from behavior_prism.encoder import (
    VideoEncoder,
    VideoEncoderConfig,
    attention,
    compile_layers,
    encode_windows,
    linear,
    preset,
)
from behavior_prism.encoder import transformer as blocks
from behavior_prism.encoder.int8 import quantize_layers


def arithmetic(config: VideoEncoderConfig, frames: int, tokens: int) -> float:
    """Floating-point operations of the products in one clip."""
    d, hidden = config.model_dim, config.mlp_dim

    def layer(n: int) -> int:  # for each of n tokens that see n tokens
        return 2 * n * (4 * d * d + 2 * d * hidden + 2 * n * d)

    spatial = frames * (config.num_spatial_layers * layer(tokens) + 2 * tokens * d * config.patch_size**2 * 3)
    return spatial + tokens * config.num_temporal_layers * layer(frames)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def best(run: Callable[[], object], device: str, repeats: int) -> float:
    """Seconds of the fastest of some runs; the first one, which sets things up, does not count."""
    run()
    times = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def matmul_rate(device: str, dtype: torch.dtype, repeats: int) -> float:
    """Operations a second of a product of two 4096 x 4096 matrices (8192 on a GPU)."""
    n = 8192 if device == "cuda" else 4096
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    return 2 * n**3 / best(lambda: a @ b, device, repeats)


@contextlib.contextmanager
def without_parts() -> Iterator[None]:
    """All frames through a layer at once, as code without a thought for the cache does it."""
    kept, blocks.MAX_ELEMENTS_CPU = blocks.MAX_ELEMENTS_CPU, 2**40
    try:
        yield
    finally:
        blocks.MAX_ELEMENTS_CPU = kept


@contextlib.contextmanager
def with_tanh() -> Iterator[None]:
    """The cap as the paper writes it."""

    def explicit(q: Tensor, k: Tensor, v: Tensor, cap: float, *_: object) -> Tensor:
        logits = q @ k.transpose(-1, -2)
        return logits.div_(cap).tanh_().mul_(cap).softmax(-1) @ v

    kept = attention._BACKENDS["explicit"]
    attention._BACKENDS["explicit"] = explicit
    try:
        yield
    finally:
        attention._BACKENDS["explicit"] = kept


@contextlib.contextmanager
def with_mkl() -> Iterator[None]:
    """Products as torch makes them by itself."""
    kept, linear._ONEDNN = linear._ONEDNN, None
    try:
        yield
    finally:
        linear._ONEDNN = kept


def on_cpu(args: argparse.Namespace) -> None:
    size = preset(args.encoder)
    model = VideoEncoder(size.config).eval().requires_grad_(False)
    side, frames = size.image_size[0], size.num_frames
    video = torch.rand(1, frames, side, side, 3)
    tokens = (side // size.config.patch_size) ** 2
    work = arithmetic(size.config, frames, tokens)
    rates, rows = [], []

    def measure(name: str, run: Callable[[], object]) -> float:
        rates.append(matmul_rate("cpu", torch.float32, 3))
        seconds = best(run, "cpu", args.repeats)
        rows.append((name, seconds))
        print(f"  {name:<58}{seconds:8.2f} s", flush=True)
        return seconds

    print(f"{args.encoder}, one clip of {frames} x {side} x {side}, float32, {torch.get_num_threads()} threads")
    with with_mkl(), without_parts(), with_tanh():
        measure("plain torch: all frames at once, tanh, MKL", lambda: model(video))
    with with_mkl(), with_tanh():
        measure("+ parts that stay in the cache", lambda: model(video))
    with with_mkl():
        measure("+ cap by a sigmoid", lambda: model(video))
    ours = measure("+ products by oneDNN = ours", lambda: model(video))
    if args.compile:
        compiled = VideoEncoder(size.config).eval().requires_grad_(False)
        compile_layers(compiled)
        measure("+ torch.compile of the layers", lambda: compiled(video))
    port = port_of(model, side, frames)
    peer = measure("transformers' port, eager", lambda: port(video))
    quantized = VideoEncoder(size.config).eval().requires_grad_(False)
    quantize_layers(quantized)
    measure("ours, int8 linear layers", lambda: quantized(video))
    half = VideoEncoder(size.config).eval().requires_grad_(False).bfloat16()
    measure("ours, bfloat16", lambda: half(video))
    rate = max(rates)
    floor = work / rate
    print(f"\nmatrix product: {rate / 1e9:.0f} GFLOP/s (of {min(rates) / 1e9:.0f} to {rate / 1e9:.0f} seen)")
    print(f"floor: {work / 1e9:.0f} GFLOP / rate = {floor:.2f} s")
    print(f"\n{'':<58}{'seconds':>9}{'of floor':>10}{'of port':>9}")
    for name, seconds in rows:
        print(f"{name:<58}{seconds:9.2f}{seconds / floor:10.2f}{seconds / peer:9.2f}")
    print(
        f"\nours: {ours / floor:.2f} times the floor (goal 1.2); the port takes {peer / ours:.2f} times ours (goal 1.5)"
    )
    if not args.no_windows:
        windows(model, side, frames, args)


def windows(model: VideoEncoder, side: int, length: int, args: argparse.Namespace) -> None:
    """Reuse of spatial tokens against the naive loop over windows, in the steady state of a long recording."""
    print("\nsliding windows, seconds per window")
    print(f"{'stride':<8}{'naive':>9}{'reuse, whole':>15}{'reuse, kept':>14}{'gain':>8}{'gain, kept':>12}")
    one = torch.rand(1, length, side, side, 3)
    for stride, count in ((4, 6), (1, 12)):
        frames = torch.rand(length + stride * count, side, side, 3)
        spec = WindowSpec(length=length, stride=stride)

        def steady(output: str, frames: Tensor = frames, spec: WindowSpec = spec, count: int = count) -> float:
            stream = encode_windows(model, frames, spec, output=output)  # type: ignore[arg-type]
            next(stream), next(stream)
            start, done = time.perf_counter(), 0
            for _ in stream:
                done += 1
                if done == count - 2:  # the last ones come without new frames
                    break
            return (time.perf_counter() - start) / done

        naive = best(lambda: model(one), "cpu", 1)
        whole, kept = steady("windows"), steady("frames")
        print(f"{stride:<8}{naive:9.2f}{whole:15.2f}{kept:14.2f}{naive / whole:8.2f}{naive / kept:12.2f}", flush=True)


def on_gpu(args: argparse.Namespace) -> None:
    size = preset(args.encoder)
    side, frames = size.image_size[0], size.num_frames
    work = arithmetic(size.config, frames, (side // size.config.patch_size) ** 2)
    rate = matmul_rate("cuda", torch.bfloat16, 20)
    print(f"{torch.cuda.get_device_name()}, {args.encoder}, bfloat16; matrix product {rate / 1e12:.0f} TFLOP/s")
    print(f"{'batch':<7}{'back end':<30}{'clips/s':>9}{'MB/clip':>9}{'share of product':>18}")
    for batch in (1, 4, 16, 64):
        for backend in ("explicit", "flex", "flex + compile"):
            torch.compiler.reset()
            model = VideoEncoder(size.config).eval().requires_grad_(False).to("cuda", torch.bfloat16)
            for module in model.modules():
                if isinstance(module, attention.Attention):
                    module.backend = "explicit" if backend == "explicit" else "auto"
            if backend.endswith("compile"):
                compile_layers(model)
            video = torch.rand(batch, frames, side, side, 3, device="cuda", dtype=torch.bfloat16)
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            seconds = best(lambda: model(video), "cuda", args.repeats)  # noqa: B023
            memory = (torch.cuda.max_memory_allocated() - before) / batch / 2**20
            share = work * batch / seconds / rate
            print(f"{batch:<7}{backend:<30}{batch / seconds:9.1f}{memory:9.0f}{share:18.0%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="base")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="measure the compiled layers too (CPU)")
    parser.add_argument("--no-windows", action="store_true", help="leave the sliding windows out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with torch.inference_mode():
        (on_gpu if args.device == "cuda" else on_cpu)(args)


if __name__ == "__main__":
    main()
