"""Names of the official Flax checkpoints and ours, one map used both ways.

Official arrays: attention projections are (D, heads, head_dim), ``post`` too (its rows are the output), other kernels
are (in, out). Layers are stacked on a leading axis (``x_layers``), or numbered (``x_layers_3``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .config import VideoEncoderConfig

PREFIX = "params/"
_BLOCK = {
    "layer_norm.scale": "layer_norm/scale",
    "layer_norm.bias": "layer_norm/bias",
    **{
        f"self_attention.{name}.{ours}": f"self_attention/{name}/{theirs}"
        for name in ("query", "key", "value", "post")
        for ours, theirs in (("weight", "w"), ("bias", "b"))
    },
    "ff_layer.layer_norm.scale": "ff_layer/layer_norm/scale",
    "ff_layer.layer_norm.bias": "ff_layer/layer_norm/bias",
    **{
        f"ff_layer.{name}.{ours}": f"ff_layer/{name}/linear/{theirs}"
        for name in ("ffn_layer1", "ffn_layer2")
        for ours, theirs in (("weight", "kernel"), ("bias", "bias"))
    },
}
_TOP = {
    "patch_projection.weight": "patch_projection/linear/kernel",
    "patch_projection.bias": "patch_projection/linear/bias",
    "spatial_pos_emb": "spatial_pos_emb/emb_var",
    "temporal_pos_emb": "temporal_pos_emb/emb_var",
    "spatial_ln.scale": "spatial_ln/scale",
    "spatial_ln.bias": "spatial_ln/bias",
    "temporal_ln.scale": "temporal_ln/scale",
    "temporal_ln.bias": "temporal_ln/bias",
}


def flax_name(ours: str, *, stacked: bool) -> tuple[str, int | None]:
    """Official name of one of our parameters, and its place on the leading axis if layers are stacked.

    Parameters
    ----------
    ours : str
        A key of ``VideoEncoder.state_dict()``.
    stacked : bool
        Whether layers are stacked.

    Returns
    -------
    (str, int or None)

    Examples
    --------
    >>> flax_name("spatial_encoder.layers.2.layer_norm.bias", stacked=True)
    ('params/spatial_encoder/transformers_stack/x_layers/layer_norm/bias', 2)
    """
    if ours in _TOP:
        return PREFIX + _TOP[ours], None
    tower, _, index, rest = ours.split(".", 3)
    stack = f"{PREFIX}{tower}/transformers_stack/x_layers"
    return (f"{stack}/{_BLOCK[rest]}", int(index)) if stacked else (f"{stack}_{index}/{_BLOCK[rest]}", None)


def flax_shape(ours: str, shape: tuple[int, ...], config: VideoEncoderConfig) -> tuple[int, ...]:
    """Shape of the official array (of one layer) for one of our parameters.

    Parameters
    ----------
    ours : str
        Our name.
    shape : tuple of int
        Our shape.
    config : VideoEncoderConfig
        For the number of heads.

    Returns
    -------
    tuple of int
    """
    heads = config.num_heads
    if ".self_attention." in ours:
        if ours.endswith("weight"):
            return config.model_dim, heads, config.model_dim // heads
        return shape if ".post." in ours else (heads, config.model_dim // heads)
    return shape[::-1] if ours.endswith("weight") else shape


def from_flax(ours: str, array: np.ndarray) -> np.ndarray:
    """Turn an official array (of one layer) into ours.

    Parameters
    ----------
    ours : str
        Our name.
    array : numpy.ndarray
        Of the shape that :func:`flax_shape` tells.

    Returns
    -------
    numpy.ndarray
    """
    if ".self_attention." in ours:
        if not ours.endswith("weight"):
            return array.reshape(-1)
        flat = array.reshape(array.shape[0], -1)
        return flat if ".post." in ours else flat.T
    return array.T if ours.endswith("weight") else array


def to_flax(state: Mapping[str, np.ndarray], config: VideoEncoderConfig, *, stacked: bool) -> dict[str, np.ndarray]:
    """Lay out our parameters as an official checkpoint does.

    Parameters
    ----------
    state : mapping of str to numpy.ndarray
        All parameters of a video encoder.
    config : VideoEncoderConfig
        Its sizes.
    stacked : bool
        Whether to stack layers on a leading axis.

    Returns
    -------
    dict of str to numpy.ndarray
        What ``numpy.savez`` takes.
    """
    out: dict[str, np.ndarray] = {}
    layers: dict[str, dict[int, np.ndarray]] = {}
    for ours, value in state.items():
        name, place = flax_name(ours, stacked=stacked)
        shape = flax_shape(ours, value.shape, config)
        is_in_out = ours.endswith("weight") and ".post." not in ours
        array = (value.T if is_in_out else value).reshape(shape)
        if place is None:
            out[name] = array
        else:
            layers.setdefault(name, {})[place] = array
    out.update({name: np.stack([parts[i] for i in range(len(parts))]) for name, parts in layers.items()})
    return out
