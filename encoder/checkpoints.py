"""Reading and writing weights; nothing in a file is ever run.

Two formats: the official Flax ``.npz`` and our own ``.safetensors``, which carries its configuration. A file is
checked as a whole (names, shapes, finite values) before the model is touched.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217); released weights: ``google/videoprism-*`` on the Hub.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .config import PRESETS, VideoEncoderConfig
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
        Changed only if the whole file fits. One on the meta device gets its memory here, as float32 on the CPU.

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
    found = _read_npz(path)
    stacked = not any("/x_layers_0/" in name for name in found)
    places = {ours: flax_name(ours, stacked=stacked) for ours in model.state_dict()}
    problems = _problems(_flax_shapes(model, stacked), found)
    if problems:
        hint = ""
        if any(name.startswith(("params/vision_encoder/", "params/text_encoder/")) for name in found):
            hint = "; this looks like a video-text (LvT) checkpoint, not a video encoder"
        raise ValueError(f"{path}: does not fit the model: {'; '.join(problems)}{hint}")
    state = {}
    for ours, (name, place) in places.items():
        array = np.asarray(found[name] if place is None else found[name][place])
        state[ours] = torch.from_numpy(np.array(from_flax(ours, array), order="C"))  # no views of the whole stack
    _fill(model, state)


def find_preset(path: str | Path) -> str:
    """Tell which named size an official Flax checkpoint has.

    Parameters
    ----------
    path : str or pathlib.Path
        ``.npz`` file.

    Returns
    -------
    str
        A key of ``PRESETS``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such checkpoint, or of a size without a name.

    Examples
    --------
    >>> find_preset("flax_base_f16r288_repeated.npz")  # doctest: +SKIP
    'base'
    """
    shapes = {name: tuple(array.shape) for name, array in _read_npz(Path(path)).items()}
    kernel = shapes.get("params/patch_projection/linear/kernel")
    frames = shapes.get("params/temporal_pos_emb/emb_var")
    for name, size in PRESETS.items():
        c = size.config
        own = (c.patch_size * c.patch_size * 3, c.model_dim), (c.pos_emb_shape[0], c.model_dim)
        if (kernel, frames) == own:
            return name
    raise ValueError(
        f"{path}: expected a video encoder of one of the sizes {sorted(PRESETS)}, got patch projection {kernel} and "
        f"temporal positions {frames}; for another size use load_flax_checkpoint with a model of that size"
    )


def _read_npz(path: Path) -> dict[str, np.ndarray | Tensor]:
    """Read all arrays; floats come as float32 tensors, whatever else is there as it is."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):  # numpy's own messages speak of pickles and context managers here
        raise ValueError(f"{path}: expected an .npz file, got something else or part of one")
    found: dict[str, np.ndarray | Tensor] = {}
    try:
        with np.load(path, allow_pickle=False) as file, np.errstate(over="ignore"):
            for name in file.files:
                array = np.asarray(file[name])
                is_float = array.dtype.kind == "f"
                found[name] = torch.from_numpy(np.asarray(array, dtype=np.float32)) if is_float else array
    except (ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: expected an .npz file of plain arrays ({error})") from None
    return found


def _flax_shapes(model: VideoEncoder, stacked: bool) -> dict[str, tuple[int, ...]]:
    config = model.config
    expected: dict[str, tuple[int, ...]] = {}
    for ours, value in model.state_dict().items():
        name, place = flax_name(ours, stacked=stacked)
        one = flax_shape(ours, tuple(value.shape), config)
        depth = config.num_spatial_layers if ours.startswith("spatial") else config.num_temporal_layers
        expected[name] = one if place is None else (depth, *one)
    return expected


def _problems(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, np.ndarray | Tensor]) -> list[str]:
    """List all that keeps the found tensors from being the expected ones."""
    problems = []
    if missing := sorted(set(expected) - set(found)):
        problems.append(f"missing {_some(missing)}")
    if surplus := sorted(set(found) - set(expected)):
        problems.append(f"not expected {_some(surplus)}")
    for name, shape in expected.items():
        value = found.get(name)
        if value is None:
            continue
        if tuple(value.shape) != shape:
            problems.append(f"{name}: expected shape {shape}, got {tuple(value.shape)}")
        elif not isinstance(value, Tensor) or not value.is_floating_point():
            problems.append(f"{name}: expected floats, got {value.dtype}")
        elif not bool(value.isfinite().all()):
            problems.append(f"{name}: holds values that are not finite")
    return problems


def _some(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _fill(model: VideoEncoder, state: Mapping[str, Tensor]) -> None:
    # copying into a model without memory would do nothing, silently
    model.load_state_dict(state, assign=model.spatial_pos_emb.is_meta)


def save_encoder(path: str | Path, model: VideoEncoder, *, trained: bool = True, overwrite: bool = False) -> Path:
    """Write a model to ``.safetensors`` with its configuration.

    Parameters
    ----------
    path : str or pathlib.Path
        File to make, through a temporary name.
    model : VideoEncoder
        What to write.
    trained : bool
        Whether its weights were learned. The file keeps this: say False for a model that was only initialised, or its
        random weights pass for learned ones.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If the name does not end in ``.safetensors``.
    FileExistsError
        If the file is there and ``overwrite`` is not set.

    Examples
    --------
    >>> save_encoder("mice.safetensors", model)  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected a name ending in .safetensors")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; choose another name or overwrite it explicitly")
    metadata = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(model.config)),
        "trained": "true" if trained else "false",
    }
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
        On the CPU, in the type it was saved in.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, of another kind, or does not fit its own configuration.

    Examples
    --------
    >>> model = load_safetensors("mice.safetensors")  # doctest: +SKIP
    """
    return read_safetensors(path)[0]


def read_safetensors(path: str | Path) -> tuple[VideoEncoder, bool]:
    """Load a model and whether its weights were learned, see :func:`load_safetensors`.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.safetensors`` file.

    Returns
    -------
    (VideoEncoder, bool)
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
    try:
        config = VideoEncoderConfig(**json.loads(metadata["config"]))
        trained = {"true": True, "false": False}[metadata["trained"]]
    except (KeyError, TypeError, ValueError) as error:  # a broken JSON text is a ValueError
        raise ValueError(f"{path}: expected the sizes of an encoder in the file's metadata ({error})") from None
    with torch.device("meta"):
        model = VideoEncoder(config)
    expected = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    if problems := _problems(expected, state):
        raise ValueError(f"{path}: does not fit its configuration: {'; '.join(problems)}")
    _fill(model, state)
    return model, trained
