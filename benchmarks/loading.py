"""How much memory loading takes, as a multiple of the model: at most the model and one tensor.

    python benchmarks/loading.py [ENCODER]

Writes random weights in each layout to a temporary folder and loads them in a fresh process each, which looks at its
own memory (Linux: ``RssAnon``, what is not backed by the file itself) every two milliseconds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from behavior_prism.encoder import export, preset, save_encoder
from behavior_prism.encoder.checkpoints import build, load_weights


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this needs Linux")


def child(name: str, path: str) -> None:
    """Load once and print the peak above the idle process, and the seconds."""
    torch.zeros(1).add_(1)
    model = build(preset(name).config)
    idle, peak, stop = anonymous_bytes(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.is_set():
            peak = max(peak, anonymous_bytes())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    load_weights(path, model)
    seconds = time.perf_counter() - start
    stop.set()
    watcher.join()
    print(peak - idle, seconds)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return
    name = sys.argv[1] if len(sys.argv) > 1 else "base"
    model = build(preset(name).config, empty=False)
    size = sum(p.numel() * 4 for p in model.parameters())
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / kind for kind in ("flax.npz", "transformers.safetensors", "ours.safetensors")}
        flax = export(model, "flax")
        largest = {"flax.npz": max(a.nbytes for a in flax.values())}
        np.savez(files["flax.npz"], **flax)  # type: ignore[arg-type]
        theirs = {n: torch.from_numpy(a) for n, a in export(model, "transformers").items()}
        largest["transformers.safetensors"] = max(t.nbytes for t in theirs.values())
        save_file(theirs, files["transformers.safetensors"])
        save_encoder(files["ours.safetensors"], model, trained=False)
        largest["ours.safetensors"] = max(p.numel() * 4 for p in model.parameters())
        print(f"{name}: {size / 2**20:.0f} MiB of parameters in float32")
        print(f"{'layout':<26}{'largest tensor':>16}{'peak':>12}{'of the model':>14}{'seconds':>9}")
        for kind, path in files.items():
            command = [sys.executable, __file__, "--child", name, str(path)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            peak, seconds = int(out[0]), float(out[1])
            tensor = f"{largest[kind] / 2**20:.0f} MiB"
            print(f"{kind:<26}{tensor:>16}{peak / 2**20:>8.0f} MiB{peak / size:>14.2f}{seconds:>9.1f}")


if __name__ == "__main__":
    main()
