"""One door to a ready encoder: by name, by file, or from the Hub.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Where no weights were released, or none are wanted, they
are random, of a fixed seed, and the loaded encoder says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .checkpoints import build, load_weights, read_model
from .classifier import VideoClassifier
from .config import PRESETS, preset
from .hub import fetch_weights, find_release
from .int8 import Int8Linear, quantize_layers
from .layouts import Model
from .model import VideoEncoder
from .preprocess import preprocess_frames
from .tokenizer import FILE_NAMES, Tokenizer, find_tokenizer
from .transformer import Block
from .video_text import VideoTextModel

SEED = 0
# Names that mean a file, there or not, and never a repository of the Hub.
_ENDINGS = (".npz", ".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".h5", ".onnx", ".msgpack")


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
        SHA-256 (hex) over sizes and all parameters of ``model``, see :func:`hash_parameters`; with another type than
        float32, or int8, over that too.
    trained : bool
        Whether the weights were learned.
    num_frames : int
        Frames of a clip.
    image_size : (int, int)
        Height and width of a frame in pixels.
    notice : str
        What a user must know about these weights; empty if nothing.
    video_text : VideoTextModel, optional
        The whole model, if ``model`` is the video encoder of an LvT one.
    tokenizer : Tokenizer, optional
        Of its texts, if one was found or given.
    """

    model: VideoEncoder
    name: str
    weights_id: str
    trained: bool
    num_frames: int
    image_size: tuple[int, int]
    notice: str = ""
    video_text: VideoTextModel | None = None
    tokenizer: Tokenizer | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.patch_projection.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of its parameters."""
        return self.model.temporal_pos_emb.dtype

    def preprocess(self, frames: Tensor) -> Tensor:
        """Bring frames of a camera to what this encoder takes, see :func:`preprocess_frames`.

        Parameters
        ----------
        frames : torch.Tensor or numpy.ndarray
            uint8 RGB, shape (T, H, W, 3).

        Returns
        -------
        torch.Tensor
            float32 in [0, 1], shape (T, height, width, 3), on the model's device.
        """
        return preprocess_frames(frames, self.image_size).to(self.device)

    @torch.no_grad()
    def encode_video(self, video_BTHWC: Tensor, *, normalize: bool = True) -> Tensor:
        """Embed clips in the space of texts.

        Parameters
        ----------
        video_BTHWC : torch.Tensor
            Floats in [0, 1], shape (B, T, H, W, 3).
        normalize : bool
            Bring embeddings to length one.

        Returns
        -------
        torch.Tensor
            Shape (B, D).

        Raises
        ------
        ValueError
            If this is no video-text model, or the video is wrong.
        """
        model = self._video_text()
        if not isinstance(video_BTHWC, Tensor):
            raise ValueError(f"expected video as a torch.Tensor, got {type(video_BTHWC).__name__}")
        out = model(video_BTHWC.to(self.device), normalize=normalize)
        assert out.video_embeddings is not None
        return out.video_embeddings

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], *, normalize: bool = True) -> Tensor:
        """Embed sentences in the space of clips.

        Parameters
        ----------
        texts : sequence of str
            At most 64 tokens each; see :func:`fill_templates` for names of behaviours.
        normalize : bool
            Bring embeddings to length one.

        Returns
        -------
        torch.Tensor
            Shape (S, D).

        Raises
        ------
        ValueError
            If this is no video-text model, it has no tokenizer, or a text is empty or too long.
        """
        model = self._video_text()
        if self.tokenizer is None:
            raise ValueError(
                f"no tokenizer was found beside the weights ({', '.join(FILE_NAMES)}); give its file as "
                "load_encoder(..., tokenizer=...), or get it with `behavior-prism weights fetch lvt-base`"
            )
        token_ids, paddings = self.tokenizer(texts)
        token_ids, paddings = token_ids.to(self.device), paddings.to(self.device)
        out = model(text_token_ids=token_ids, text_paddings=paddings, normalize=normalize)
        assert out.text_embeddings is not None
        return out.text_embeddings

    def _video_text(self) -> VideoTextModel:
        if self.video_text is None:
            raise ValueError(f"encoder {self.name!r} knows no texts; load a video-text one such as 'lvt-base'")
        return self.video_text

    def describe(self) -> str:
        """Say in one line what this encoder is.

        Returns
        -------
        str

        Examples
        --------
        >>> load_encoder("tiny", device="cpu").describe()
        'tiny (random, untrained), 4.1 M parameters, clips of 8 x 96x96, cpu float32, weights fc639f6f1a96'
        """
        height, width = self.image_size
        model = self.model if self.video_text is None else self.video_text
        int8 = [m for m in model.modules() if isinstance(m, Int8Linear)]
        millions = (sum(p.numel() for p in model.parameters()) + sum(m.weight_int8.numel() for m in int8)) / 1e6
        kind = "int8" if int8 else str(self.dtype).removeprefix("torch.")
        state = "trained" if self.trained else "random, untrained"
        return (
            f"{self.name} ({state}), {millions:.1f} M parameters, clips of {self.num_frames} x {height}x{width}, "
            f"{self.device.type} {kind}, weights {self.weights_id[:12]}"
        )


def load_encoder(
    name_or_path: str | Path = "tiny",
    *,
    weights: str | Path | None = "auto",
    tokenizer: str | Path | None = None,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    compile: bool = False,
    int8: bool = False,
) -> LoadedEncoder:
    """Get an encoder, ready to extract features.

    Parameters
    ----------
    name_or_path : str or pathlib.Path
        ``tiny``, ``base``, ``large``, ``giant`` or one of these behind ``lvt-`` (with or without ``videoprism-``); a
        weights file (official ``.npz``, ``.safetensors`` of ``transformers`` or of :func:`save_encoder`); or a
        repository of the Hub, ``owner/name[@revision][:file]``.
    weights : str, pathlib.Path or None
        ``"auto"``: the released weights of that name, fetched at first use; where none were released (``tiny``,
        ``giant``), random ones. A file for a named size. None or ``"random"``: random, of a fixed seed. Random
        weights are said aloud by :attr:`LoadedEncoder.notice`.
    tokenizer : str or pathlib.Path, optional
        SentencePiece file of a video-text model; looked for beside the weights by default.
    device : str
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    dtype : torch.dtype, optional
        Type of the parameters, float32 by default.
    compile : bool
        Compile the layers with ``torch.compile`` (needs a C++ compiler; the first call takes up to a minute).
    int8 : bool
        Compute the linear layers in int8, on a CPU two to three times as fast; look at
        ``behavior-prism weights verify`` first. Gets a ``weights_id`` of its own.

    Returns
    -------
    LoadedEncoder

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such size or file, the file does not fit, or weights cannot be fetched.

    Examples
    --------
    >>> load_encoder("tiny").trained
    False
    """
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype: expected a type of floats such as torch.bfloat16, got {dtype!r}")
    if device != "auto":
        _check_device(device)
    if weights == "random":  # as the command line says it
        weights = None
    name, file = _find(str(name_or_path), weights)
    if file is None:
        model, trained = _random(name), False
    else:
        model, trained, name = _load_file(file, name)
    notice = ""
    if not trained:
        of_seed = "" if file is not None else f" (seed {SEED})"
        notice = (
            f"encoder {name!r} has random, untrained weights{of_seed}: its features were not learned from video; "
            "take scores as a floor, not as what VideoPrism can do"
        )
    video_text = model if isinstance(model, VideoTextModel) else None
    video = model if isinstance(model, VideoEncoder) else _encoder_of(model)
    frames, image_size = _clip_shape(video, name)
    weights_id = hash_parameters(video)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    model_dtype = dtype or torch.float32
    model = model.to(device=device, dtype=model_dtype).eval().requires_grad_(False)
    if not all(bool(p.isfinite().all()) for p in model.parameters()):
        raise ValueError(f"{name}: holds weights that are not finite as {model_dtype}; load it in float32")
    if int8:
        quantize_layers(model)
    if int8 or model_dtype != torch.float32:  # other numbers come out, so features must not pass for each other
        weights_id = hashlib.sha256(f"{weights_id} {model_dtype} {int8}".encode()).hexdigest()
    if compile:
        compile_layers(model)
    return LoadedEncoder(
        model=video,
        name=name,
        weights_id=weights_id,
        trained=trained,
        num_frames=frames,
        image_size=image_size,
        notice=notice,
        video_text=video_text,
        tokenizer=_find_tokenizer(video_text, tokenizer, file),
    )


def compile_layers(model: Model) -> None:
    """Compile every transformer layer by itself: all of a tower share what is compiled, so that it takes seconds.

    Parameters
    ----------
    model : VideoEncoder, VideoTextModel or VideoClassifier
        Changed in place; its parameters stay what they are.
    """
    for module in model.modules():
        if isinstance(module, Block):
            module.compile()


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"device: expected one that is here, or 'auto', got {device!r} ({reason})") from None


def _encoder_of(model: VideoTextModel | VideoClassifier) -> VideoEncoder:
    return model.vision_encoder if isinstance(model, VideoTextModel) else model.encoder


def _find(name: str, weights: str | Path | None) -> tuple[str, Path | None]:
    """Name of the size (empty if the file decides it) and the file (None for random weights)."""
    if Path(name).exists() or (name.endswith(_ENDINGS) and ":" not in name):
        if weights not in ("auto", None):
            raise ValueError(f"expected one weights file, got {name} and {weights}")
        return "", Path(name)
    release = find_release(name)
    size = release.size or "" if release is not None and "/" in name else name.removeprefix("videoprism-")
    if "/" not in name:
        preset(name)  # a wrong name is told before any file is read
    if weights is None:
        if not size:
            raise ValueError(f"{name}: expected the name of a size for random weights, one of {sorted(PRESETS)}")
        return size, None
    if weights != "auto":
        return size, Path(weights)
    return size, None if release is None else fetch_weights(release)


def _random(name: str) -> Model:
    model = build(preset(name).config).to_empty(device="cpu")
    model.init_weights(SEED)
    return model


def _load_file(path: Path, name: str) -> tuple[Model, bool, str]:
    """Read a file; an empty name stands for the size that the file has."""
    if name and path.suffix == ".npz":
        model = build(preset(name).config)
        load_weights(path, model)
        return model, True, name
    model, trained = read_model(path)
    if name and model.config != PRESETS[name].config:
        raise ValueError(f"{path}: expected weights of the size {name!r}, got {model.config}")
    # the size's name where it has one, so that renaming a file does not make other features of it
    known = [other for other, size in PRESETS.items() if size.config == model.config]
    return model, trained, known[0] if known else path.stem


def _find_tokenizer(model: VideoTextModel | None, given: str | Path | None, weights: Path | None) -> Tokenizer | None:
    if model is None:
        if given is not None:
            raise ValueError(f"tokenizer: expected a video-text model for {given}, got a video encoder alone")
        return None
    if given is None and importlib.util.find_spec("sentencepiece") is None:
        return None  # the video side works without
    found = Path(given) if given is not None else find_tokenizer(weights) if weights is not None else None
    return None if found is None else Tokenizer(found, model.config.vocabulary_size)


def _clip_shape(model: VideoEncoder, name: str) -> tuple[int, tuple[int, int]]:
    if name in PRESETS:
        return PRESETS[name].num_frames, PRESETS[name].image_size
    frames, rows, cols = model.config.pos_emb_shape
    return frames, (rows * model.config.patch_size, cols * model.config.patch_size)


def hash_parameters(model: Model) -> str:
    """Tell one encoder from another by what decides its outputs.

    Parameters
    ----------
    model : VideoEncoder, VideoTextModel or VideoClassifier
        Its sizes (the logit cap and the heads leave no trace in the parameters), then its parameters as little-endian
        float32 in the order of their names.

    Returns
    -------
    str
        SHA-256, hex.

    Examples
    --------
    >>> hash_parameters(load_encoder("tiny", device="cpu").model)[:12]
    'fc639f6f1a96'
    """
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(model.config), sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().contiguous().numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()
