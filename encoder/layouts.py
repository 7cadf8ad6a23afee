"""How others name and lay out the parameters: one table per layout, used both ways.

Each entry says where in one of our parameters (which rows) a tensor of the other layout goes, and how it is turned.
Ours keeps queries, keys and values in one matrix; both others keep them apart.

Official Flax: attention projections are (D, heads, channels of a head), ``post`` too (its rows are the output), other
kernels (in, out). Layers are stacked on a leading axis (``x_layers``), or numbered (``x_layers_3``).
``transformers``: matrices as ours; the patch projection is a 3D convolution, position embeddings have an axis in front.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor, nn

from .classifier import VideoClassifier
from .int8 import Int8Linear
from .model import VideoEncoder
from .video_text import VideoTextModel

Model = VideoEncoder | VideoTextModel | VideoClassifier
Turn = Literal["as it is", "transposed", "convolution"]
LayoutName = Literal["flax", "flax unrolled", "transformers"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of another layout and its place among our parameters.

    Parameters
    ----------
    ours : str
        Name of our parameter.
    rows : slice
        Rows of it that the tensor fills.
    theirs : str
        Name in the other layout.
    layer : int or None
        Place on the leading axis of the other tensor, where layers are stacked.
    num_layers : int
        Length of that axis.
    shape : tuple of int
        Shape in the other layout (of one layer).
    turn : {"as it is", "transposed", "convolution"}
        How the values are laid out there, apart from reshaping.
    """

    ours: str
    rows: slice
    theirs: str
    layer: int | None
    num_layers: int
    shape: tuple[int, ...]
    turn: Turn

    @property
    def full_shape(self) -> tuple[int, ...]:
        """Shape in the other layout, all layers together."""
        return self.shape if self.layer is None else (self.num_layers, *self.shape)

    def to_ours(self, value: Tensor, like: Tensor) -> Tensor:
        """Turn a tensor of the other layout (of one layer) into rows of ours.

        Parameters
        ----------
        value : torch.Tensor
            Of ``shape``.
        like : torch.Tensor
            The rows to fill.

        Returns
        -------
        torch.Tensor
            A view where possible.
        """
        if self.turn == "transposed":
            return value.reshape(like.shape[1], like.shape[0]).T
        if self.turn == "convolution":
            return value.squeeze(2).permute(0, 2, 3, 1).reshape(like.shape)
        return value.reshape(like.shape)

    def to_theirs(self, rows: Tensor) -> Tensor:
        """Turn rows of ours into a tensor of the other layout (of one layer).

        Parameters
        ----------
        rows : torch.Tensor
            Of our parameter.

        Returns
        -------
        torch.Tensor
            Of ``shape``.
        """
        if self.turn == "transposed":
            return rows.T.reshape(self.shape)
        if self.turn == "convolution":
            out, _, _, patch, _ = self.shape
            return rows.view(out, patch, patch, 3).permute(0, 3, 1, 2).unsqueeze(2)
        return rows.reshape(self.shape)


def refuse_int8(model: Model) -> None:
    """Refuse a model whose layers were rounded: it cannot be written, its own weights are gone.

    Parameters
    ----------
    model : VideoEncoder, VideoTextModel or VideoClassifier
        To be written or filled.

    Raises
    ------
    ValueError
        If there is an int8 layer in it.
    """
    if any(isinstance(module, Int8Linear) for module in model.modules()):
        raise ValueError("expected a model with its own weights, got one in int8; load it without int8")


def layout(model: Model, name: LayoutName) -> list[Entry]:
    """List all tensors of another layout for a model.

    Parameters
    ----------
    model : VideoEncoder, VideoTextModel or VideoClassifier
        May be on the meta device; only names and shapes matter.
    name : {"flax", "flax unrolled", "transformers"}
        The layout: official with stacked or numbered layers, or that of ``transformers``.

    Returns
    -------
    list of Entry
        Every parameter of the model is filled once.

    Raises
    ------
    ValueError
        If the layout does not have such a model.
    """
    refuse_int8(model)
    table = _transformers if name == "transformers" else _flax
    entries: list[Entry] = []
    for ours, parameter in model.named_parameters():
        entries.extend(table(model, ours, parameter, name))
    return entries


def _pieces(ours: str, parameter: nn.Parameter) -> Iterator[tuple[str, slice]]:
    """Names of what others keep apart, with our rows."""
    if ".qkv." not in ours:
        yield ours, slice(0, parameter.shape[0])
        return
    d = parameter.shape[0] // 3
    for i, part in enumerate(("query", "key", "value")):
        yield ours.replace(".qkv.", f".{part}."), slice(i * d, (i + 1) * d)


# --- official Flax ---------------------------------------------------------------------------------------------------

_TOWERS = {  # the stack of layers of each tower
    "spatial_encoder": "spatial_encoder/transformers_stack/",
    "temporal_encoder": "temporal_encoder/transformers_stack/",
    "auxiliary_encoder": "auxiliary_encoder/transformers_stack/",
    "unimodal_transformer": "unimodal_transformer/",
}
_LINEAR = ("patch_projection", "projection", "ffn_layer1", "ffn_layer2")
_EMBEDDINGS = ("spatial_pos_emb", "temporal_pos_emb", "token_emb")  # these lie one level deeper there


def _flax(model: Model, ours: str, parameter: nn.Parameter, name: LayoutName) -> Iterator[Entry]:
    stacked = name == "flax"
    for piece, rows in _pieces(ours, parameter):
        shape = (rows.stop - rows.start, *parameter.shape[1:])
        *path, kind = piece.split(".")
        layer, num_layers, where = None, 1, "params/"
        if "layers" in path:
            at = path.index("layers")
            index, tower = int(path[at + 1]), path[at - 1]
            stack = model.get_submodule(".".join(path[: at + 1]))
            assert isinstance(stack, nn.ModuleList)
            where += "".join(f"{p}/" for p in path[: at - 1]) + _TOWERS[tower]
            where += "x_layers/" if stacked else f"x_layers_{index}/"
            layer, num_layers = (index, len(stack)) if stacked else (None, 1)
            path = path[at + 2 :]
        turn: Turn = "as it is"
        if "attention" in (path[-2] if len(path) > 1 else "") and path[-1] in ("query", "key", "value", "post"):
            heads = model.config.num_heads
            if kind == "weight":
                turn = "as it is" if path[-1] == "post" else "transposed"
                out = shape[0] if path[-1] == "post" else shape[1]
                inner = shape[1] if path[-1] == "post" else shape[0]
                shape = (out, heads, inner // heads)
            elif path[-1] != "post":
                shape = (heads, shape[0] // heads)
            kind = {"weight": "w", "bias": "b"}[kind]
        elif path and path[-1] in _LINEAR:
            turn = "transposed" if kind == "weight" else "as it is"
            shape = shape[::-1]
            kind = "linear/kernel" if kind == "weight" else "linear/bias"
        elif kind in _EMBEDDINGS:
            kind = f"{kind}/emb_var"
        elif kind == "cls_emb":
            shape = (1, *shape)
        elif kind == "per_dim_scale":
            kind = "per_dim_scale/per_dim_scale"
        theirs = where + "".join(f"{p}/" for p in path) + kind
        yield Entry(ours, rows, theirs, layer, num_layers, shape, turn)


# --- transformers ----------------------------------------------------------------------------------------------------

_IN_LAYER = {
    "layer_norm": "layernorm_before",
    "ff_layer.layer_norm": "layernorm_after",
    "self_attention.query": "attention.q_proj",
    "self_attention.key": "attention.k_proj",
    "self_attention.value": "attention.v_proj",
    "self_attention.post": "attention.o_proj",
    "ff_layer.ffn_layer1": "mlp.fc1",
    "ff_layer.ffn_layer2": "mlp.fc2",
}
_VIDEO = {
    "patch_projection.weight": "spatial_embeddings.patch_embeddings.projection.weight",
    "patch_projection.bias": "spatial_embeddings.patch_embeddings.projection.bias",
    "spatial_pos_emb": "spatial_embeddings.position_embeddings",
    "temporal_pos_emb": "temporal_embeddings.position_embeddings",
    "spatial_ln.scale": "layernorm1.weight",
    "spatial_ln.bias": "layernorm1.bias",
    "temporal_ln.scale": "layernorm2.weight",
    "temporal_ln.bias": "layernorm2.bias",
}
_VIDEO_TEXT = {
    **{f"vision_encoder.{ours}": f"video_model.vision_model.{theirs}" for ours, theirs in _VIDEO.items()},
    "contrastive_vision_pooler.pooling_attention_query": "video_model.head.pooling_attention_query",
    "contrastive_vision_pooler.pooling_attention.per_dim_scale": "video_model.head.per_dim_scale",
    **{
        f"contrastive_vision_pooler.pooling_attention.{ours}.{kind}": f"video_model.head.{theirs}.{kind}"
        for ours, theirs in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("post", "o_proj"))
        for kind in ("weight", "bias")
    },
    "contrastive_vision_pooler.pooling_attention_layer_norm.scale": "video_model.head_layernorm.weight",
    "contrastive_vision_pooler.pooling_attention_layer_norm.bias": "video_model.head_layernorm.bias",
    "text_encoder.token_emb": "text_model.embeddings.token_embedding.weight",
    "text_encoder.cls_emb": "text_model.embeddings.cls_emb",
    "text_encoder.unimodal_ln.scale": "text_model.layernorm.weight",
    "text_encoder.unimodal_ln.bias": "text_model.layernorm.bias",
}
_STACKS = {
    "spatial_encoder": "spatial_layers",
    "temporal_encoder": "temporal_layers",
    "vision_encoder.spatial_encoder": "video_model.vision_model.spatial_layers",
    "vision_encoder.temporal_encoder": "video_model.vision_model.temporal_layers",
    "auxiliary_encoder": "video_model.auxiliary_layers",
    "text_encoder.unimodal_transformer": "text_model.layers",
}
# Made anew by `transformers` from the sizes; of no use to us, and its sinusoids are not those of the official code.
TRANSFORMERS_BUFFERS = ("text_model.embeddings.position_embedding", "text_model.embeddings.position_ids")


def _transformers(model: Model, ours: str, parameter: nn.Parameter, _: LayoutName) -> Iterator[Entry]:
    if isinstance(model, VideoClassifier):
        raise ValueError("a classifier of transformers has a pooler four times as wide; its weights do not fit here")
    names = _VIDEO_TEXT if isinstance(model, VideoTextModel) else _VIDEO
    for piece, rows in _pieces(ours, parameter):
        shape = (rows.stop - rows.start, *parameter.shape[1:])
        turn: Turn = "as it is"
        if ".layers." in piece:
            tower, rest = piece.split(".layers.", 1)
            index, rest = rest.split(".", 1)
            place, kind = rest.rsplit(".", 1)
            if place not in _IN_LAYER:
                raise ValueError("transformers has no text tower with primer_hybrid normalisation")
            theirs = f"{_STACKS[tower]}.{index}.{_IN_LAYER[place]}.{'weight' if kind == 'scale' else kind}"
        else:
            theirs = names[piece]
            if piece.endswith("patch_projection.weight"):
                patch = model.config.patch_size
                shape, turn = (shape[0], 3, 1, patch, patch), "convolution"
            elif piece.endswith(("pos_emb", "cls_emb", "attention_query")):
                shape = (1, *shape)
        yield Entry(ours, rows, theirs, None, 1, shape, turn)


def export(model: Model, name: LayoutName) -> dict[str, np.ndarray]:
    """Lay out a model's parameters as others do.

    Parameters
    ----------
    model : VideoEncoder, VideoTextModel or VideoClassifier
        Whose parameters.
    name : {"flax", "flax unrolled", "transformers"}
        The layout.

    Returns
    -------
    dict of str to numpy.ndarray
        What ``numpy.savez`` takes for Flax, or (as tensors) ``load_state_dict`` of ``transformers``.

    Raises
    ------
    ValueError
        If the layout does not have such a model.
    """
    state: Mapping[str, Tensor] = model.state_dict()
    out: dict[str, np.ndarray] = {}
    for entry in layout(model, name):
        rows = state[entry.ours].detach().cpu().float()[entry.rows]
        value = entry.to_theirs(rows).numpy()
        if entry.layer is None:
            out[entry.theirs] = np.ascontiguousarray(value)
        else:
            stack = out.setdefault(entry.theirs, np.empty(entry.full_shape, np.float32))
            stack[entry.layer] = value
    return out
