"""Released and own weights: what there is, what is here, into one format, and what a lower precision costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import torch

    from .encoder import LoadedEncoder

Progress = Callable[[int, int], None]
PRECISIONS = ("bf16", "fp16", "int8")


def list_weights(folder: Path | None = None) -> pd.DataFrame:
    """List the named encoders: which weights were released, and which are on this machine.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Folder of all weights, see :func:`behavior_prism.encoder.weights_dir`.

    Returns
    -------
    pandas.DataFrame
        One row per name: ``name``, ``parameters``, ``clip``, ``released`` (repository, or why not), ``here`` (yes or
        no).

    Examples
    --------
    >>> list_weights().query("name == 'base'").released.item()
    'google/videoprism-base-f16r288'
    """
    from .encoder import PRESETS, RELEASES, weights_dir
    from .encoder.checkpoints import build

    folder = folder or weights_dir()
    rows = []
    for name, size in PRESETS.items():
        release = RELEASES.get(name)
        path = folder / release.key if release else None
        millions = sum(p.numel() for p in build(size.config).parameters()) / 1e6
        height, width = size.image_size
        rows.append(
            {
                "name": name,
                "parameters": f"{millions:.1f} M",
                "clip": f"{size.num_frames} x {height}x{width}",
                "released": release.repo if release else "no: random weights only",
                "here": "yes" if path is not None and path.is_file() else "no",
            }
        )
    return pd.DataFrame(rows)


def convert_weights(
    source: str | Path, out: str | Path, *, trained: bool | None = None, overwrite: bool = False
) -> Path:
    """Turn a weights file of any layout into our ``.safetensors``, which says its own sizes and opens at once.

    Parameters
    ----------
    source : str or pathlib.Path
        Official Flax ``.npz``, or ``.safetensors`` of ``transformers``, of a named size.
    out : str or pathlib.Path
        File to make; its tokenizer, if there is one, is copied beside it.
    trained : bool, optional
        Whether the weights were learned; by default what the source says, and yes if it cannot say.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError
        If the source is missing or does not fit, or the target is there already.
    """
    from .encoder import save_encoder
    from .encoder.checkpoints import read_model
    from .encoder.tokenizer import FILE_NAMES, find_tokenizer
    from .files import atomic_write

    out = Path(out)
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out}: exists already; choose another name or overwrite it explicitly (--overwrite)")
    model, learned = read_model(source)
    tokenizer, beside = find_tokenizer(Path(source)), out.with_name(FILE_NAMES[0])
    pieces = None if tokenizer is None else tokenizer.read_bytes()
    if pieces is not None and not overwrite and beside.exists() and beside.read_bytes() != pieces:
        raise FileExistsError(f"{beside}: the tokenizer of other weights lies there; choose another folder")
    path = save_encoder(out, model, trained=learned if trained is None else trained, overwrite=overwrite)
    if pieces is not None:
        with atomic_write(beside, overwrite=True) as part:
            part.write_bytes(pieces)
    return path


def read_clips(video: str | Path, encoder: LoadedEncoder, num_clips: int = 4) -> torch.Tensor:
    """Read clips spread over a video, as the encoder takes them.

    Parameters
    ----------
    video : str or pathlib.Path
        A video file.
    encoder : LoadedEncoder
        For the length and size of a clip.
    num_clips : int
        How many, at most.

    Returns
    -------
    torch.Tensor
        Floats in [0, 1], shape (clips, T, H, W, 3).

    Raises
    ------
    FileNotFoundError, ValueError
        If the video is missing, cannot be read, or is shorter than one clip.
    """
    import numpy as np
    import torch

    from .datasets import load_recording

    recording = load_recording(video)
    length = encoder.num_frames
    if len(recording.video) < length:
        raise ValueError(f"{video}: expected at least {length} frames, got {len(recording.video)}")
    starts = np.unique(np.linspace(0, len(recording.video) - length, num_clips).astype(int))
    clips = [np.stack([recording.video[int(i)] for i in range(s, s + length)]) for s in starts]
    return torch.stack([encoder.preprocess(torch.from_numpy(clip)) for clip in clips])


def compare_precisions(
    weights: str | Path,
    video: str | Path,
    precisions: Sequence[str] = PRECISIONS,
    *,
    num_clips: int = 4,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure how far tokens of lower precisions are from float32, on one's own weights and frames.

    Parameters
    ----------
    weights : str or pathlib.Path
        Name of an encoder or weights file, as :func:`behavior_prism.encoder.load_encoder` takes it.
    video : str or pathlib.Path
        A recording.
    precisions : sequence of {"bf16", "fp16", "int8"}
        What to compare.
    num_clips : int
        Clips, spread over the recording.
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    pandas.DataFrame
        One row per precision: ``precision``, ``cosine_mean``, ``cosine_1_percent`` (one token in a hundred is worse),
        ``cosine_min``, ``relative_error`` (root mean square, of that of the tokens), ``seconds_per_clip``.

    Raises
    ------
    FileNotFoundError, ValueError
        If weights or video cannot be read, or a precision is unknown.
    """
    import time

    import torch

    from .encoder import load_encoder

    if wrong := [p for p in precisions if p not in PRECISIONS]:
        raise ValueError(f"precision: expected some of {', '.join(PRECISIONS)}, got {wrong[0]!r}")
    device = "cpu" if "int8" in precisions else "auto"  # one device, or the seconds would not compare
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.float32}

    def tokens_of(kind: str) -> tuple[torch.Tensor, float]:
        loaded = load_encoder(weights, dtype=dtypes[kind], int8=kind == "int8", device=device)

        clips = read_clips(video, loaded, num_clips)
        parts = []
        with torch.inference_mode():
            loaded.model(clips[:1])  # the first call sets things up
            start = time.perf_counter()
            for i in range(len(clips)):
                parts.append(loaded.model(clips[i : i + 1]).float().cpu())
            seconds = (time.perf_counter() - start) / len(clips)
        return torch.cat(parts).flatten(0, 2), seconds

    rows = []
    kinds = ["fp32", *dict.fromkeys(precisions)]
    exact = torch.empty(0)
    for done, kind in enumerate(_told(kinds, progress)):
        tokens, seconds = tokens_of(kind)
        if done == 0:
            exact = tokens
        cosine = torch.cosine_similarity(tokens.double(), exact.double(), dim=-1)
        rows.append(
            {
                "precision": kind,
                "cosine_mean": float(cosine.mean()),
                "cosine_1_percent": float(cosine.quantile(0.01)) if len(cosine) < 2**24 else float(cosine.min()),
                "cosine_min": float(cosine.min()),
                "relative_error": float((tokens - exact).norm() / exact.norm()),
                "seconds_per_clip": seconds,
            }
        )
    return pd.DataFrame(rows)


def _told(kinds: list[str], progress: Progress | None) -> Iterable[str]:
    for done, kind in enumerate(kinds):
        if progress is not None:
            progress(done, len(kinds))
        yield kind
    if progress is not None:
        progress(len(kinds), len(kinds))
