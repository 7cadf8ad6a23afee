"""Weights of a plain ViT as timm names them, for the tests of starting from an image model."""

from __future__ import annotations

import torch


def vit(width=24, depth=2, hidden=48, patch=6, grid=4, *, class_token=False, layer_scale=False):
    """A plain ViT's weights in timm's layout."""
    generator = torch.Generator().manual_seed(2)

    def rand(*shape, scale=0.3):
        return torch.randn(shape, generator=generator) * scale

    weights = {
        "patch_embed.proj.weight": rand(width, 3, patch, patch, scale=0.1),
        "patch_embed.proj.bias": rand(width),
        "pos_embed": rand(1, grid * grid + class_token, width),
        "norm.weight": 1 + rand(width),
        "norm.bias": rand(width),
        "head.weight": rand(7, width),
    }
    if class_token:
        weights["cls_token"] = rand(1, 1, width)
    for i in range(depth):
        for name, (out, into) in {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.fc1": (hidden, width),
            "mlp.fc2": (width, hidden),
        }.items():
            weights[f"blocks.{i}.{name}.weight"], weights[f"blocks.{i}.{name}.bias"] = rand(out, into), rand(out)
        for name in ("norm1", "norm2"):
            weights[f"blocks.{i}.{name}.weight"], weights[f"blocks.{i}.{name}.bias"] = 1 + rand(width), rand(width)
        if layer_scale:
            weights[f"blocks.{i}.ls1.gamma"], weights[f"blocks.{i}.ls2.gamma"] = rand(width), rand(width)
    return weights
