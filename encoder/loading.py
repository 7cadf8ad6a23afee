"""One door to a ready encoder: by name or by file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from .checkpoints import load_flax_checkpoint, load_safetensors
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
        SHA-256 (hex) over all parameters: tells one set of weights from another.
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


def load_encoder(
    name_or_path: str | Path = "tiny",
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    dtype: torch.dtype = torch.float32,
) -> LoadedEncoder:
    """Get an encoder, ready to extract features.

    Parameters
    ----------
    name_or_path : str or pathlib.Path
        ``tiny``, ``base``, ``large``, ``giant`` (with or without ``videoprism-``), or a ``.safetensors`` file that
        :func:`save_encoder` wrote.
    weights : str or pathlib.Path, optional
        Official ``.npz`` or our ``.safetensors`` for a named size. Without it the weights are a fixed-seed random
        initialisation, and :attr:`LoadedEncoder.notice` says so.
    device : str
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    dtype : torch.dtype
        Type of the parameters.

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
    text = str(name_or_path)
    path = Path(text)
    if text.endswith(".safetensors") and weights is None:
        weights, name = path, path.stem
    elif text.endswith(".npz") or path.is_file():
        raise ValueError(f"{text}: a weights file needs its size too: load_encoder('base', weights={text!r})")
    else:
        name = text.removeprefix("videoprism-")
        preset(name)
    if weights is None:
        size = preset(name)
        model = VideoEncoder(size.config)
        model.init_weights(SEED)
        notice = (
            f"encoder {name!r} has random, untrained weights (seed {SEED}): its features were not learned from video; "
            "take scores as a floor, not as what VideoPrism can do"
        )
    else:
        model = _load_weights(Path(weights), name)
        notice = ""
    frames, image_size = _clip_shape(model, name)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    weights_id = hash_parameters(model)
    model = model.to(device=device, dtype=dtype).eval().requires_grad_(False)
    return LoadedEncoder(
        model=model,
        name=name,
        weights_id=weights_id,
        trained=weights is not None,
        num_frames=frames,
        image_size=image_size,
        notice=notice,
    )


def _load_weights(path: Path, name: str) -> VideoEncoder:
    if path.suffix == ".safetensors":
        model = load_safetensors(path)
        if name in PRESETS and model.config != PRESETS[name].config:
            raise ValueError(f"{path}: expected weights of the size {name!r}, got {model.config}")
        return model
    model = VideoEncoder(preset(name).config)
    load_flax_checkpoint(path, model)
    return model


def _clip_shape(model: VideoEncoder, name: str) -> tuple[int, tuple[int, int]]:
    if name in PRESETS:
        return PRESETS[name].num_frames, PRESETS[name].image_size
    frames, rows, cols = model.config.pos_emb_shape
    return frames, (rows * model.config.patch_size, cols * model.config.patch_size)


def hash_parameters(model: VideoEncoder) -> str:
    """Tell one set of weights from another.

    Parameters
    ----------
    model : VideoEncoder
        Its parameters as float32, in order of their names.

    Returns
    -------
    str
        SHA-256, hex.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()
