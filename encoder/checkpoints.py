"""Reading and writing whole models; nothing in a file is ever run.

Three layouts are read: the official Flax ``.npz``, that of ``transformers`` and our own, the latter two as
``.safetensors``; ours carries its configuration. A file is checked as a whole (names, shapes, types, finite values)
before the model is touched, and read one tensor at a time, so that memory peaks at the model and one tensor.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217); released weights: ``google/videoprism-*`` on the Hub.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from .classifier import VideoClassifier
from .config import PRESETS, VideoClassifierConfig, VideoEncoderConfig, VideoTextConfig
from .layouts import TRANSFORMERS_BUFFERS, Entry, LayoutName, Model, layout, refuse_int8
from .model import VideoEncoder
from .video_text import VideoTextModel
from .weights_file import WeightsFile, open_weights

FORMAT = "behavior_prism weights 2"
_KINDS: dict[str, tuple[type[Model], type[VideoEncoderConfig]]] = {
    "VideoEncoder": (VideoEncoder, VideoEncoderConfig),
    "VideoTextModel": (VideoTextModel, VideoTextConfig),
    "VideoClassifier": (VideoClassifier, VideoClassifierConfig),
}


def build(config: VideoEncoderConfig, *, empty: bool = True) -> Model:
    """Build the model that belongs to a configuration.

    Parameters
    ----------
    config : VideoEncoderConfig, VideoTextConfig or VideoClassifierConfig
        Sizes.
    empty : bool
        Without memory (on the meta device): filling the large ones takes seconds and is a waste before loading.

    Returns
    -------
    VideoEncoder, VideoTextModel or VideoClassifier

    Examples
    --------
    >>> from behavior_prism.encoder import preset
    >>> type(build(preset("lvt-tiny").config)).__name__
    'VideoTextModel'
    """
    kind = next(model for model, sizes in _KINDS.values() if type(config) is sizes)
    with torch.device("meta" if empty else "cpu"):
        return kind(config)  # type: ignore[arg-type]


def load_weights(path: str | Path, model: Model) -> None:
    """Load a weights file of any layout into a model of the same sizes.

    Parameters
    ----------
    path : str or pathlib.Path
        Official Flax ``.npz`` (``params/...`` arrays, layers stacked or numbered), ``.safetensors`` of
        ``transformers``, or one that :func:`save_encoder` wrote.
    model : VideoEncoder, VideoTextModel or VideoClassifier
        Changed only if the whole file fits. One on the meta device gets its memory here, as float32 on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it does not fit: names missing or too many, wrong shapes, values that are not finite.

    Examples
    --------
    >>> load_weights("flax_base_f16r288_repeated.npz", model)  # doctest: +SKIP
    """
    with open_weights(path) as file:
        _load(file, model)


def load_model(path: str | Path) -> Model:
    """Load a weights file whose sizes are known: our own, or an official or ``transformers`` one of a named size.

    Parameters
    ----------
    path : str or pathlib.Path
        ``.npz`` or ``.safetensors``.

    Returns
    -------
    VideoEncoder, VideoTextModel or VideoClassifier
        On the CPU, in evaluation mode.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, of another kind, or does not fit its own configuration.

    Examples
    --------
    >>> model = load_model("mice.safetensors")  # doctest: +SKIP
    """
    return read_model(path)[0]


def read_model(path: str | Path) -> tuple[Model, bool]:
    """Load a model and whether its weights were learned, see :func:`load_model`.

    Parameters
    ----------
    path : str or pathlib.Path
        A weights file.

    Returns
    -------
    (VideoEncoder or VideoTextModel or VideoClassifier, bool)
    """
    with open_weights(path) as file:
        config, trained = _own_config(file) if _layout_of(file) == "ours" else (_find_config(file), True)
        try:
            model = build(config)
        except RuntimeError as error:  # sizes beyond all memory, which a damaged file may name
            raise ValueError(f"{file.path}: expected the sizes of a model in the file's metadata ({error})") from None
        _load(file, model)
    return model.eval(), trained


def find_preset(path: str | Path) -> str:
    """Tell which named size an official or ``transformers`` checkpoint has.

    Parameters
    ----------
    path : str or pathlib.Path
        ``.npz`` or ``.safetensors``.

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
    with open_weights(path) as file:
        return _find_preset(file)


def _find_preset(file: WeightsFile) -> str:
    name = _layout_of(file)
    if name == "ours":
        raise ValueError(f"{file.path}: expected an official or transformers file; this one says its sizes itself")
    for known, size in PRESETS.items():
        expected = {entry.theirs: entry.full_shape for entry in _entries(build(size.config), name, quiet=True)}
        if expected and all(file.shapes.get(theirs) == shape for theirs, shape in expected.items()):
            return known
    marks = {
        n: s for n, s in file.shapes.items() if n.endswith(("patch_projection/linear/kernel", "projection.weight"))
    }
    seen = ", ".join(f"{n} {s}" for n, s in itertools.islice(marks.items(), 2)) or f"{len(file.shapes)} other tensors"
    raise ValueError(
        f"{file.path}: expected the weights of one of the sizes {sorted(PRESETS)}, got {seen}; "
        "for another size use load_weights with a model of that size"
    )


def _find_config(file: WeightsFile) -> VideoEncoderConfig:
    return PRESETS[_find_preset(file)].config


def _own_config(file: WeightsFile) -> tuple[VideoEncoderConfig, bool]:
    try:
        sizes = _KINDS[file.metadata["model"]][1]
        return sizes(**json.loads(file.metadata["config"])), {"true": True, "false": False}[file.metadata["trained"]]
    except (KeyError, TypeError, ValueError) as error:  # a broken JSON text is a ValueError
        raise ValueError(f"{file.path}: expected the sizes of a model in the file's metadata ({error})") from None


def _layout_of(file: WeightsFile) -> str:
    if file.path.suffix != ".safetensors":
        return "flax unrolled" if any("/x_layers_0/" in name for name in file.shapes) else "flax"
    if any("patch_embeddings.projection" in name for name in file.shapes):
        return "transformers"
    if file.metadata.get("format") != FORMAT:
        raise ValueError(f"{file.path}: expected {FORMAT!r}, got {file.metadata.get('format')!r}")
    return "ours"


def _entries(model: Model, name: str, *, quiet: bool = False) -> list[Entry]:
    if name == "ours":
        return [Entry(n, slice(None), n, None, 1, tuple(p.shape), "as it is") for n, p in model.named_parameters()]
    names: dict[str, LayoutName] = {"flax": "flax", "flax unrolled": "flax unrolled", "transformers": "transformers"}
    try:
        return layout(model, names[name])
    except ValueError:
        if quiet:
            return []
        raise


def _load(file: WeightsFile, model: Model) -> None:
    entries = _entries(model, _layout_of(file))
    dtype = next(model.parameters()).dtype
    problems = _problems(file, entries) or _values_that_are_not_finite(file, entries, dtype)
    if problems:
        raise ValueError(f"{file.path}: does not fit the model: {'; '.join(problems)}{_hint(file, model)}")
    if next(model.parameters()).is_meta:
        model.to_empty(device="cpu")
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for theirs, group in _by_tensor(entries):
            value = file.read(theirs)
            for entry in group:
                rows = parameters[entry.ours][entry.rows]
                rows.copy_(entry.to_ours(value if entry.layer is None else value[entry.layer], rows))


def _by_tensor(entries: list[Entry]) -> list[tuple[str, list[Entry]]]:
    """Entries that share a tensor (layers of a stack) together, so that it is read once."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.theirs, []).append(entry)
    return list(groups.items())


def _problems(file: WeightsFile, entries: list[Entry]) -> list[str]:
    """What can be told without reading a tensor."""
    expected = {entry.theirs: entry.full_shape for entry in entries}
    problems = []
    if missing := sorted(set(expected) - set(file.shapes)):
        problems.append(f"missing {_some(missing)}")
    if surplus := sorted(set(file.shapes) - set(expected) - set(TRANSFORMERS_BUFFERS)):
        problems.append(f"not expected {_some(surplus)}")
    for name, shape in expected.items():
        if name not in file.shapes:
            continue
        if file.shapes[name] != shape:
            problems.append(f"{name}: expected shape {shape}, got {file.shapes[name]}")
        elif not file.is_float(name):
            problems.append(f"{name}: expected floats, got {file.dtypes[name]}")
    if len(problems) > 5:
        problems = [*problems[:5], f"and {len(problems) - 5} more problems"]
    return problems


def _values_that_are_not_finite(file: WeightsFile, entries: list[Entry], dtype: torch.dtype) -> list[str]:
    """Such tensors, in the type that they will have: what is finite in float64 may not be in float32."""
    found = []
    for name in dict.fromkeys(entry.theirs for entry in entries):
        if not bool(file.read(name).to(dtype).isfinite().all()):
            found.append(f"{name}: holds values that are not finite as {str(dtype).removeprefix('torch.')}")
    return found


def _hint(file: WeightsFile, model: Model) -> str:
    marks = {
        "VideoTextModel": ("text_encoder", "text_model."),
        "VideoClassifier": ("atten_pooler", "classifier."),
    }
    kinds = {"VideoTextModel": "a video-text (LvT) checkpoint", "VideoClassifier": "a classifier's checkpoint"}
    for kind, names in marks.items():
        if type(model).__name__ != kind and any(mark in name for name in file.shapes for mark in names):
            return f"; this looks like {kinds[kind]}, not a {type(model).__name__}'s"
    return ""


def _some(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def save_encoder(path: str | Path, model: Model, *, trained: bool, overwrite: bool = False) -> Path:
    """Write a model to ``.safetensors`` with its configuration.

    Parameters
    ----------
    path : str or pathlib.Path
        File to make, through a temporary name.
    model : VideoEncoder, VideoTextModel or VideoClassifier
        What to write.
    trained : bool
        Whether its weights were learned (:attr:`LoadedEncoder.trained` says so). The file keeps this; there is no
        default, or random weights would pass for learned ones.
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
    >>> save_encoder("mice.safetensors", model, trained=True)  # doctest: +SKIP
    """
    path = Path(path)
    if not isinstance(model, Model):
        raise ValueError(
            f"model: expected a model such as encoder.model or encoder.video_text, got {type(model).__name__}"
        )
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected a name ending in .safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; choose another name or overwrite it explicitly (--overwrite)")
    refuse_int8(model)
    metadata = {
        "format": FORMAT,
        "model": type(model).__name__,
        "config": json.dumps(dataclasses.asdict(model.config)),
        "trained": "true" if trained else "false",
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        save_file(state, temporary, metadata=metadata)
        temporary.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path
