"""Reading and writing weights; nothing in a file is ever run.

Two formats: the official Flax ``.npz`` and our own ``.safetensors``, which carries its configuration. A file is
checked as a whole (names, shapes, finite values) before the model is touched.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .config import VideoEncoderConfig
from .flax_names import flax_name, flax_shape, from_flax
from .model import VideoEncoder

FORMAT = "behavior_prism video encoder 1"


def load_flax_checkpoint(path: str | Path, model: VideoEncoder) -> None:
    """Load an official Flax checkpoint into a model of the same sizes.

    Parameters
    ----------
    path : str or pathlib.Path
        ``.npz`` with ``params/...`` arrays, layers stacked or numbered.
    model : VideoEncoder
        Changed only if the whole file fits.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such checkpoint: names missing or too many, wrong shapes, values that are not finite.

    Examples
    --------
    >>> load_flax_checkpoint("flax_base_f16r288_repeated.npz", model)  # doctest: +SKIP
    """
    path = Path(path)
    arrays = _read_npz(path)
    stacked = not any("/x_layers_0/" in name for name in arrays)
    own = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    problems = _compare(path, arrays, own, model.config, stacked)
    if problems:
        hint = ""
        if any(name.startswith("params/vision_encoder/") for name in arrays):
            hint = "; this looks like a video-text (LvT) checkpoint, not a video encoder"
        raise ValueError(f"{path}: does not fit the model: {'; '.join(problems)}{hint}")
    state = {}
    for ours in own:
        name, place = flax_name(ours, stacked=stacked)
        array = arrays[name] if place is None else arrays[name][place]
        state[ours] = torch.from_numpy(np.ascontiguousarray(from_flax(ours, array), dtype=np.float32))
    model.load_state_dict(state)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected an .npz file of plain arrays ({error})") from None


def _compare(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    own: Mapping[str, tuple[int, ...]],
    config: VideoEncoderConfig,
    stacked: bool,
) -> list[str]:
    expected: dict[str, tuple[int, ...]] = {}
    for ours, shape in own.items():
        name, place = flax_name(ours, stacked=stacked)
        one = flax_shape(ours, shape, config)
        depth = config.num_spatial_layers if ours.startswith("spatial") else config.num_temporal_layers
        expected[name] = one if place is None else (depth, *one)
    problems = []
    if missing := sorted(set(expected) - set(arrays)):
        problems.append(f"missing {_some(missing)}")
    if surplus := sorted(set(arrays) - set(expected)):
        problems.append(f"not expected {_some(surplus)}")
    for name, shape in expected.items():
        if name in arrays and arrays[name].shape != shape:
            problems.append(f"{name}: expected shape {shape}, got {arrays[name].shape}")
        elif name in arrays and not np.isfinite(arrays[name]).all():
            problems.append(f"{name}: holds values that are not finite")
    return problems


def _some(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def save_encoder(path: str | Path, model: VideoEncoder, *, overwrite: bool = False) -> Path:
    """Write a model to ``.safetensors`` with its configuration.

    Parameters
    ----------
    path : str or pathlib.Path
        File to make, through a temporary name.
    model : VideoEncoder
        What to write.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is not set.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; choose another name or overwrite it explicitly")
    metadata = {"format": FORMAT, "config": json.dumps(dataclasses.asdict(model.config))}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        save_file(state, temporary, metadata=metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_safetensors(path: str | Path) -> VideoEncoder:
    """Load a model that :func:`save_encoder` wrote.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.safetensors`` file.

    Returns
    -------
    VideoEncoder

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, of another kind, or does not fit its own configuration.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a .safetensors file ({error})") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path}: expected {FORMAT!r}, got {metadata.get('format')!r}")
    with torch.device("meta"):
        model = VideoEncoder(VideoEncoderConfig(**json.loads(metadata["config"])))
    own = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    problems = []
    if missing := sorted(set(own) - set(state)):
        problems.append(f"missing {_some(missing)}")
    if surplus := sorted(set(state) - set(own)):
        problems.append(f"not expected {_some(surplus)}")
    for name, shape in own.items():
        if name in state and tuple(state[name].shape) != shape:
            problems.append(f"{name}: expected shape {shape}, got {tuple(state[name].shape)}")
        elif name in state and not bool(state[name].isfinite().all()):
            problems.append(f"{name}: holds values that are not finite")
    if problems:
        raise ValueError(f"{path}: does not fit its configuration: {'; '.join(problems)}")
    model.load_state_dict(state, assign=True)
    return model
