"""One door to a ready encoder: by name or by file.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Without a weights file the weights are random, of a fixed
seed, and the loaded encoder says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from .checkpoints import find_preset, load_flax_checkpoint, read_safetensors
from .config import PRESETS, preset
from .model import VideoEncoder

SEED = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedEncoder:
    """A frozen encoder and what must be known to use it.

    Parameters
    ----------
    model : VideoEncoder
        In evaluation mode, without gradients.
    name : str
        Name of its size.
    weights_id : str
        SHA-256 (hex) over sizes and all parameters, see :func:`hash_parameters`.
    trained : bool
        Whether the weights were learned.
    num_frames : int
        Frames of a clip.
    image_size : (int, int)
        Height and width of a frame in pixels.
    notice : str
        What a user must know about these weights; empty if nothing.
    """

    model: VideoEncoder
    name: str
    weights_id: str
    trained: bool
    num_frames: int
    image_size: tuple[int, int]
    notice: str = ""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.patch_projection.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of its parameters."""
        return self.model.patch_projection.weight.dtype

    def describe(self) -> str:
        """Say in one line what this encoder is.

        Returns
        -------
        str

        Examples
        --------
        >>> load_encoder("tiny", device="cpu").describe()
        'tiny (random, untrained), 4.1 M parameters, clips of 8 x 96x96, cpu float32, weights 9bd80810c770'
        """
        height, width = self.image_size
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        state = "trained" if self.trained else "random, untrained"
        return (
            f"{self.name} ({state}), {millions:.1f} M parameters, clips of {self.num_frames} x {height}x{width}, "
            f"{self.device.type} {str(self.dtype).removeprefix('torch.')}, weights {self.weights_id[:12]}"
        )


def load_encoder(
    name_or_path: str | Path = "tiny",
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    dtype: torch.dtype | None = None,
) -> LoadedEncoder:
    """Get an encoder, ready to extract features.

    Parameters
    ----------
    name_or_path : str or pathlib.Path
        ``tiny``, ``base``, ``large``, ``giant`` (with or without ``videoprism-``), or a weights file: the official
        ``.npz`` of a named size, or a ``.safetensors`` that :func:`save_encoder` wrote.
    weights : str or pathlib.Path, optional
        Official ``.npz`` or our ``.safetensors`` for a named size. Without it the weights are a fixed-seed random
        initialisation, and :attr:`LoadedEncoder.notice` says so.
    device : str
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    dtype : torch.dtype, optional
        Type of the parameters, float32 by default.

    Returns
    -------
    LoadedEncoder

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such size or file, or the file does not fit.

    Examples
    --------
    >>> load_encoder("tiny").trained
    False
    """
    name = str(name_or_path)
    if name.endswith((".npz", ".safetensors")) and weights is None:
        name, weights = "", name
    elif name.endswith((".npz", ".safetensors")):
        raise ValueError(f"expected one weights file, got {name} and {weights}")
    else:
        preset(name)  # a wrong name is told before any file is read
        name = name.removeprefix("videoprism-")
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"dtype: expected a type of floats, got {dtype}")
    if weights is None:
        model, trained = _random(name), False
    else:
        model, trained, name = _load_weights(Path(weights), name)
    notice = ""
    if not trained:
        of_seed = "" if weights is not None else f" (seed {SEED})"
        notice = (
            f"encoder {name!r} has random, untrained weights{of_seed}: its features were not learned from video; "
            "take scores as a floor, not as what VideoPrism can do"
        )
    frames, image_size = _clip_shape(model, name)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    weights_id = hash_parameters(model)
    model = model.to(device=device, dtype=dtype or torch.float32).eval().requires_grad_(False)
    return LoadedEncoder(
        model=model,
        name=name,
        weights_id=weights_id,
        trained=trained,
        num_frames=frames,
        image_size=image_size,
        notice=notice,
    )


def _empty(name: str) -> VideoEncoder:
    """A model without memory: the large ones would take seconds to fill with numbers that nobody wants."""
    with torch.device("meta"):
        return VideoEncoder(preset(name).config)


def _random(name: str) -> VideoEncoder:
    model = _empty(name).to_empty(device="cpu")
    model.init_weights(SEED)
    return model


def _load_weights(path: Path, name: str) -> tuple[VideoEncoder, bool, str]:
    """Read a file; an empty name stands for the size that the file has."""
    if path.suffix == ".safetensors":
        model, trained = read_safetensors(path)
        if name and model.config != PRESETS[name].config:
            raise ValueError(f"{path}: expected weights of the size {name!r}, got {model.config}")
        # the size's name where it has one, so that renaming a file does not make other features of it
        known = [other for other, size in PRESETS.items() if size.config == model.config]
        return model, trained, known[0] if known else path.stem
    name = name or find_preset(path)
    model = _empty(name)
    load_flax_checkpoint(path, model)
    return model, True, name


def _clip_shape(model: VideoEncoder, name: str) -> tuple[int, tuple[int, int]]:
    if name in PRESETS:
        return PRESETS[name].num_frames, PRESETS[name].image_size
    frames, rows, cols = model.config.pos_emb_shape
    return frames, (rows * model.config.patch_size, cols * model.config.patch_size)


def hash_parameters(model: VideoEncoder) -> str:
    """Tell one encoder from another by what decides its outputs.

    Parameters
    ----------
    model : VideoEncoder
        Its sizes (the logit cap and the heads leave no trace in the parameters), then its parameters as little-endian
        float32 in the order of their names.

    Returns
    -------
    str
        SHA-256, hex.

    Examples
    --------
    >>> hash_parameters(load_encoder("tiny", device="cpu").model)[:12]
    '9bd80810c770'
    """
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(model.config), sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()
