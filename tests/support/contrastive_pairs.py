"""Pairs of clips and texts, and a very small model to learn them, for the tests of the contrastive stages."""

from __future__ import annotations

import torch

from behavior_prism.encoder import VideoTextConfig, VideoTextModel
from behavior_prism.encoder.pretraining.contrastive import ContrastiveObjective

SIZES = VideoTextConfig(
    patch_size=6,
    pos_emb_shape=(4, 4, 4),
    model_dim=24,
    num_spatial_layers=1,
    num_temporal_layers=1,
    num_heads=4,
    mlp_dim=48,
    num_auxiliary_layers=0,  # the paper's stage 1
    vocabulary_size=50,
    num_unimodal_layers=1,
)


def pairs(n, *, frames=2, side=12, keep=None, groups=None, seed=5):
    """Clips of noise and texts of random tokens, in the format of a batch."""
    generator = torch.Generator().manual_seed(seed)
    places = (side // 6) ** 2
    lengths = torch.randint(2, 7, (n, 1), generator=generator)
    batch = {
        "video": torch.randint(0, 256, (n, frames, side, side, 3), generator=generator, dtype=torch.uint8),
        "token_ids": torch.randint(1, 50, (n, 6), generator=generator),
        "text_paddings": (torch.arange(6) >= lengths).float(),
    }
    if keep is not None:
        batch["kept"] = torch.rand(n, places, generator=generator).argsort(1)[:, :keep].sort(1).values
    if groups is not None:
        batch["text_group"] = torch.tensor(groups)
    return batch


def objective(config=None, sizes=SIZES, kind=ContrastiveObjective):
    """An objective whose every parameter does something."""
    model = VideoTextModel(sizes)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".bias", ".scale")):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return kind(model, config)
