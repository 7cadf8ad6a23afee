"""Text tuning (LvT): after stage 2, clips and texts are brought together again while the video tower stays as it is.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). The video encoder is that of stage 2, frozen; text tower
and pooler start from stage 1 and learn by stage 1's loss.

Different or not stated: no tokens are dropped here, since the frozen tower needs no gradients and what is learned
should fit whole clips. In chunks the frozen tower runs twice too, since its tokens are too many to keep. The released
models have two layers between encoder and pooler of which the paper does not speak; where stage 1 had none, they start
as the identity, so that tuning starts from exactly what stage 1 knows.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..model import VideoEncoder
from ..transformer import Block, Transformer
from ..video_text import VideoTextModel
from .contrastive import ContrastiveConfig, ContrastiveObjective
from .objective import Batch


class TextTuningObjective(ContrastiveObjective):
    """Learn text tower, pooler and the layers between encoder and pooler; the video encoder is frozen.

    A batch holds ``video``, ``token_ids`` and ``text_paddings`` as in :class:`.contrastive.ContrastiveObjective`, and
    no ``kept``.

    Parameters
    ----------
    model : VideoTextModel
        From :func:`assemble_text_tuning`, or any other. Its video encoder stops asking for gradients.
    config : ContrastiveConfig
        Temperature and chunks.

    Examples
    --------
    >>> from behavior_prism.encoder import preset
    >>> objective = TextTuningObjective(VideoTextModel(preset("lvt-tiny").config))
    >>> any(p.requires_grad for p in objective.model.vision_encoder.parameters())
    False
    """

    frozen: tuple[str, ...] = ("model.vision_encoder.",)

    def __init__(self, model: VideoTextModel, config: ContrastiveConfig | None = None) -> None:
        super().__init__(model, config)
        model.vision_encoder.requires_grad_(False)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave alone.

        Returns
        -------
        set of str
            Of those that are learned.
        """
        return {name for name in super().no_weight_decay() if not name.startswith(self.frozen)}

    def _tokens(self, batch: Batch) -> Tensor:
        if "kept" in batch:
            raise ValueError("kept: expected no token dropping in text tuning, got places to keep")
        with torch.no_grad():
            return super()._tokens(batch)


def assemble_text_tuning(
    stage_1: VideoTextModel,
    encoder: VideoEncoder | None = None,
    num_auxiliary_layers: int | None = None,
    seed: int = 0,
) -> VideoTextModel:
    """Put together what text tuning starts from.

    Parameters
    ----------
    stage_1 : VideoTextModel
        Gives text tower and pooler, and the layers in between if it has as many as asked for.
    encoder : VideoEncoder, optional
        Of stage 2; stage 1's own by default.
    num_auxiliary_layers : int, optional
        Layers between encoder and pooler; as many as stage 1 has by default.
    seed : int
        Of layers that are new.

    Returns
    -------
    VideoTextModel
        Apart from the models it was made from. New layers do nothing yet: its embeddings are what stage 1's pooler
        makes of the encoder's tokens.

    Raises
    ------
    ValueError
        If the encoder has other sizes, or stage 1 has layers, but another number of them.

    Examples
    --------
    >>> import dataclasses
    >>> from behavior_prism.encoder import preset
    >>> config = dataclasses.replace(preset("lvt-tiny").config, num_auxiliary_layers=0)
    >>> len(assemble_text_tuning(VideoTextModel(config), num_auxiliary_layers=2).auxiliary_encoder.layers)
    2
    """
    encoder = stage_1.vision_encoder if encoder is None else encoder
    if encoder.config != stage_1.config.video:
        raise ValueError(f"encoder: expected the sizes of stage 1 ({stage_1.config.video}), got {encoder.config}")
    own = stage_1.config.num_auxiliary_layers
    wanted = own if num_auxiliary_layers is None else num_auxiliary_layers
    if own not in (0, wanted):
        raise ValueError(f"num_auxiliary_layers: expected {own} as stage 1 has, got {wanted}")
    model = VideoTextModel(dataclasses.replace(stage_1.config, num_auxiliary_layers=wanted))
    model.to(stage_1.text_encoder.token_emb)
    model.init_weights(seed)
    model.vision_encoder.load_state_dict(encoder.state_dict())
    model.text_encoder.load_state_dict(stage_1.text_encoder.state_dict())
    model.contrastive_vision_pooler.load_state_dict(stage_1.contrastive_vision_pooler.state_dict())
    if model.auxiliary_encoder is not None:
        if stage_1.auxiliary_encoder is not None:
            model.auxiliary_encoder.load_state_dict(stage_1.auxiliary_encoder.state_dict())
        else:
            _start_as_identity(model.auxiliary_encoder)
    return model


@torch.no_grad()
def _start_as_identity(layers: Transformer) -> None:
    """Zero what each sublayer adds to the residual."""
    for layer in layers.layers:
        assert isinstance(layer, Block)
        layer.self_attention.post.weight.zero_()
        layer.ff_layer.ffn_layer2.weight.zero_()
