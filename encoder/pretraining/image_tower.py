"""Start the spatial tower from an image model: a plain ViT in timm's or in transformers' layout.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217): the spatial tower starts from CoCa's image encoder, whose
weights are not public; one of its ablations starts from CLIP instead and loses little.

Names that are understood (``i`` counts layers):

=========================  ==========================================  =================================
here (``vision_encoder``)  timm                                        transformers (CLIP, SigLIP vision)
=========================  ==========================================  =================================
``patch_projection``       ``patch_embed.proj``                        ``embeddings.patch_embedding``
``spatial_pos_emb``        ``pos_embed``                               ``embeddings.position_embedding``
``layer_norm``             ``blocks.i.norm1``                          ``encoder.layers.i.layer_norm1``
``self_attention.qkv``     ``blocks.i.attn.qkv``                       ``...self_attn.{q,k,v}_proj``
``self_attention.post``    ``blocks.i.attn.proj``                      ``...self_attn.out_proj``
``ff_layer.layer_norm``    ``blocks.i.norm2``                          ``...layer_norm2``
``ff_layer.ffn_layer1``    ``blocks.i.mlp.fc1``                        ``...mlp.fc1``
``ff_layer.ffn_layer2``    ``blocks.i.mlp.fc2``                        ``...mlp.fc2``
``spatial_ln``             ``norm``                                    ``post_layernorm``
=========================  ==========================================  =================================

Names of transformers may stand behind ``vision_model.``. timm's layer scales (``blocks.i.ls1.gamma``) go into the
weights before them, exactly. Class tokens, heads and text towers are left out.

What differs by design, so that tokens are not those of the image model: our tower has a logit cap of 50 and no class
token, uses the exact GELU (CLIP of OpenAI uses an approximation) and LayerNorm's epsilon 1e-6 (CLIP 1e-5), and nothing
normalises what enters the first layer (CLIP's ``pre_layrnorm``). Without these differences tokens are equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..model import VideoEncoder, resize_matrix
from ..weights_file import WeightsFile, open_weights

# of transformers, as timm would say it; queries, keys and values are put together
_TO_TIMM = (
    (r"^vision_model\.", ""),
    (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
    (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
    (r"^embeddings\.class_embedding$", "cls_token"),
    (r"^encoder\.layers\.(\d+)\.layer_norm([12])\.", r"blocks.\1.norm\2."),
    (r"^encoder\.layers\.(\d+)\.self_attn\.out_proj\.", r"blocks.\1.attn.proj."),
    (r"^encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.", r"blocks.\1.attn.\2."),
    (r"^encoder\.layers\.(\d+)\.mlp\.", r"blocks.\1.mlp."),
    (r"^post_layernorm\.", "norm."),
)
_LAYER = {
    "norm1": "layer_norm",
    "attn.qkv": "self_attention.qkv",
    "attn.proj": "self_attention.post",
    "norm2": "ff_layer.layer_norm",
    "mlp.fc1": "ff_layer.ffn_layer1",
    "mlp.fc2": "ff_layer.ffn_layer2",
}
_SCALED_BY = {"attn.proj": "ls1.gamma", "mlp.fc2": "ls2.gamma"}


@dataclass(frozen=True, slots=True)
class ImageTowerReport:
    """What came from the image model.

    Parameters
    ----------
    loaded : tuple of str
        Parameters of the encoder that were set.
    untouched : tuple of str
        Those that are what they were.
    unused : tuple of str
        What the file holds besides, by the first two parts of its names.
    """

    loaded: tuple[str, ...]
    untouched: tuple[str, ...]
    unused: tuple[str, ...]


def load_image_tower(
    encoder: VideoEncoder, path: str | Path, *, mean: Sequence[float], std: Sequence[float]
) -> ImageTowerReport:
    """Set the spatial tower to the weights of an image model; the temporal tower stays as it is.

    Position embeddings are resized as the encoder resizes its own. Either all of the tower is set, or nothing.

    Parameters
    ----------
    encoder : VideoEncoder
        Changed in place. Its number of heads must be that of the image model, which no file tells.
    path : str or pathlib.Path
        A ``.safetensors`` file, see the table above.
    mean, std : sequence of float
        How the image model's pixels, from 0 to 1, were normalised, by colour; goes into the patch projection, since
        this encoder takes pixels as they are. ``(0.5,) * 3`` twice for SigLIP and most ViTs of timm.

    Returns
    -------
    ImageTowerReport

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another layout, or its patch, width, depth or hidden width is not the encoder's.

    Examples
    --------
    >>> report = load_image_tower(encoder, "vit.safetensors", mean=(0.5,) * 3, std=(0.5,) * 3)  # doctest: +SKIP
    >>> report.untouched[0]  # doctest: +SKIP
    'temporal_pos_emb'
    """
    for name, numbers in (("mean", mean), ("std", std)):
        if len(numbers) != 3 or not all(math.isfinite(v) for v in numbers) or (name == "std" and min(numbers) <= 0):
            raise ValueError(f"{name}: expected three finite numbers, those of std above 0, got {list(numbers)}")
    with open_weights(path) as file:
        names = _timm_names(file)
        _check_sizes(encoder, file, names)
        tower = _read_tower(encoder, file, names, mean, std)
    own = dict(encoder.named_parameters())
    for name, value in tower.items():
        if value.shape != own[name].shape:
            raise ValueError(f"{path}: {name}: expected shape {(*own[name].shape,)}, got {(*value.shape,)}")
        if not bool(value.isfinite().all()):
            raise ValueError(f"{path}: {name}: expected finite numbers, got others")
    with torch.no_grad():
        for name, value in tower.items():
            own[name].copy_(value)
    used = set(names.values()) - {names.get("cls_token")}
    left = (name.removeprefix("vision_model.") for name in file.shapes if name not in used)
    unused = {".".join(name.split(".")[:2]) for name in left}
    return ImageTowerReport(tuple(tower), tuple(name for name in own if name not in tower), tuple(sorted(unused)))


def _timm_names(file: WeightsFile) -> dict[str, str]:
    """Name in timm's layout to name in the file, of what belongs to the tower."""
    names = {}
    for original in file.shapes:
        name = original
        for pattern, replacement in _TO_TIMM:
            name = re.sub(pattern, replacement, name)
        if name.startswith(("patch_embed.", "blocks.", "norm.")) or name in ("pos_embed", "cls_token"):
            names[name] = original
    if missing := [name for name in ("patch_embed.proj.weight", "pos_embed", "norm.weight") if name not in names]:
        raise ValueError(
            f"{file.path}: expected an image model in timm's or transformers' layout, got a file without "
            f"{missing[0]} (embeddings.patch_embedding, embeddings.position_embedding, post_layernorm)"
        )
    return names


def _check_sizes(encoder: VideoEncoder, file: WeightsFile, names: dict[str, str]) -> None:
    c = encoder.config
    shape = file.shapes[names["patch_embed.proj.weight"]]
    if len(shape) != 4 or shape[1:] != (3, c.patch_size, c.patch_size) or shape[0] != c.model_dim:
        raise ValueError(
            f"{file.path}: expected patches of {c.patch_size} pixels, three colours and {c.model_dim} channels, "
            f"(channels, colours, height, width) = {(c.model_dim, 3, c.patch_size, c.patch_size)}, got {shape}"
        )
    layers = {int(name.split(".")[1]) for name in names if name.startswith("blocks.")}
    if layers != set(range(c.num_spatial_layers)):
        raise ValueError(f"{file.path}: expected {c.num_spatial_layers} layers, got {len(layers)}")
    known = {f"{part}.{kind}" for part in (*_LAYER, "attn.q", "attn.k", "attn.v") for kind in ("weight", "bias")}
    known |= set(_SCALED_BY.values())
    for name in names:
        part = name.split(".", 2)[-1]
        if name.startswith("blocks.") and part not in known:
            raise ValueError(f"{file.path}: expected layers of a plain ViT, got {names[name]}, which has no place here")


def _read_tower(
    encoder: VideoEncoder, file: WeightsFile, names: dict[str, str], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """The tower's parameters by their names here, in double precision where something is computed."""

    def read(name: str) -> Tensor:
        if name not in names:
            raise ValueError(f"{file.path}: expected {name} (or what transformers calls it), got none")
        if not file.is_float(names[name]):
            raise ValueError(f"{file.path}: {names[name]}: expected floats, got {file.dtypes[names[name]]}")
        return file.read(names[name]).float()

    def read_part(layer: str, part: str, kind: str) -> Tensor:
        if part == "attn.qkv" and f"{layer}.attn.q.{kind}" in names:
            return torch.cat([read(f"{layer}.attn.{which}.{kind}") for which in "qkv"])
        value = read(f"{layer}.{part}.{kind}")
        if part in _SCALED_BY and f"{layer}.{_SCALED_BY[part]}" in names:
            gamma = read(f"{layer}.{_SCALED_BY[part]}")
            value = value * (gamma[:, None] if kind == "weight" else gamma)
        return value

    tower = _patch_projection(
        read("patch_embed.proj.weight"),
        read("patch_embed.proj.bias") if "patch_embed.proj.bias" in names else None,
        torch.tensor(mean, dtype=torch.float64),
        torch.tensor(std, dtype=torch.float64),
    )
    tower["spatial_pos_emb"] = _positions(encoder, file, read("pos_embed"), "cls_token" in names)
    for i in range(encoder.config.num_spatial_layers):
        for part, ours in _LAYER.items():
            for kind in ("weight", "bias"):
                value = read_part(f"blocks.{i}", part, kind)
                _set(tower, f"spatial_encoder.layers.{i}.{ours}", kind, value, part.startswith("norm"))
    for kind in ("weight", "bias"):
        _set(tower, "spatial_ln", kind, read(f"norm.{kind}"), True)
    return tower


def _set(tower: dict[str, Tensor], name: str, kind: str, value: Tensor, is_norm: bool) -> None:
    if is_norm and kind == "weight":  # kept as its difference from one here
        tower[f"{name}.scale"] = value - 1
    else:
        tower[f"{name}.{kind}"] = value


def _patch_projection(weight: Tensor, bias: Tensor | None, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """A convolution as a product over (row, column, colour), for pixels that are not normalised."""
    weight_DPQC = weight.double().permute(0, 2, 3, 1) / std
    offset_D = (weight_DPQC * mean).sum(dim=(1, 2, 3))
    bias_D = (0 if bias is None else bias.double()) - offset_D
    return {"patch_projection.weight": weight_DPQC.flatten(1).float(), "patch_projection.bias": bias_D.float()}


def _positions(encoder: VideoEncoder, file: WeightsFile, positions: Tensor, has_class_token: bool) -> Tensor:
    positions = positions.flatten(0, -2)
    count = len(positions)
    side, extra = math.isqrt(count), 0
    if has_class_token and side * side != count:
        side, extra = math.isqrt(count - 1), 1
    if side * side + extra != count or count == extra:
        raise ValueError(
            f"{file.path}: expected positions of a square grid and at most one for a class token, got {count}"
        )
    grid_RCD = positions[extra:].view(side, side, -1)
    rows, cols = encoder.config.pos_emb_shape[1:]
    by_row, by_col = resize_matrix(side, rows), resize_matrix(side, cols)
    return torch.einsum("rR,cC,RCd->rcd", by_row, by_col, grid_RCD).flatten(0, 1)
