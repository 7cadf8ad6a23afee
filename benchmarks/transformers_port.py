"""The port of VideoPrism in ``transformers`` with our weights, as a peer for benchmarks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from behavior_prism.encoder import VideoEncoder
from behavior_prism.encoder.layouts import export


def port_of(model: VideoEncoder, size: int, frames: int) -> Callable[[Tensor], object]:
    """The same weights in ``transformers``."""
    import transformers

    c = model.config
    config = transformers.VideoPrismVisionConfig(
        image_size=size,
        num_frames=frames,
        tubelet_size=[1, c.patch_size, c.patch_size],
        hidden_size=c.model_dim,
        num_spatial_layers=c.num_spatial_layers,
        num_temporal_layers=c.num_temporal_layers,
        num_attention_heads=c.num_heads,
        intermediate_size=c.mlp_dim,
        attn_implementation="eager",
    )
    port = transformers.VideoPrismVisionModel(config).eval()
    port.load_state_dict({name: torch.from_numpy(value) for name, value in export(model, "transformers").items()})
    return lambda video: port(video.permute(0, 1, 4, 2, 3).contiguous()).last_hidden_state
