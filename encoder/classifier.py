"""A video classifier: encoder, attention pooler, linear layer.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Follows the official Flax code
(google-deepmind/videoprism, ``FactorizedVideoClassifier``), whose pooler is as wide as a token; ``transformers`` makes
it four times as wide, so that heads trained there do not fit here.

Shapes: B clips, T frames, N tokens of a frame, D channels.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .config import VideoClassifierConfig
from .initialise import initialise, names_without_decay
from .model import VideoEncoder
from .pooling import AttentionPooler


class VideoClassifierOutput(NamedTuple):
    """What the classifier makes.

    Parameters
    ----------
    logits : torch.Tensor
        Shape (B, classes).
    embeddings : torch.Tensor
        Of the pooler, shape (B, D).
    tokens : torch.Tensor
        Of the video encoder, shape (B, T, N, D).
    spatial : torch.Tensor
        Of its spatial tower, shape (B, T, N, D).
    """

    logits: Tensor
    embeddings: Tensor
    tokens: Tensor
    spatial: Tensor


class VideoClassifier(nn.Module):
    """One score per class for a clip.

    Parameters
    ----------
    config : VideoClassifierConfig
        Sizes.

    Examples
    --------
    >>> import dataclasses, torch
    >>> from behavior_prism.encoder import VideoClassifierConfig, preset
    >>> config = VideoClassifierConfig(**dataclasses.asdict(preset("tiny").config), num_classes=5)
    >>> VideoClassifier(config).eval()(torch.rand(1, 8, 96, 96, 3)).logits.shape
    torch.Size([1, 5])
    """

    def __init__(self, config: VideoClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VideoEncoder(config.video, init=False)
        self.atten_pooler = AttentionPooler(config.model_dim, config.num_heads, config.model_dim)
        self.projection = nn.Linear(config.model_dim, config.num_classes)
        if self.projection.weight.device.type != "meta":
            self.init_weights()

    def init_weights(self, seed: int = 0) -> None:
        """Initialise as the official code does, see :mod:`behavior_prism.encoder.initialise`.

        Parameters
        ----------
        seed : int
            The same numbers for the same seed.
        """
        initialise(self, self.config.num_heads, seed)

    def forward(self, video_BTHWC: Tensor, frame_paddings_BT: Tensor | None = None) -> VideoClassifierOutput:
        """Classify clips.

        Parameters
        ----------
        video_BTHWC : torch.Tensor
            Floats in [0, 1], shape (B, T, H, W, 3).
        frame_paddings_BT : torch.Tensor, optional
            1 where a frame is padding, shape (B, T); only the encoder sees them.

        Returns
        -------
        VideoClassifierOutput

        Raises
        ------
        ValueError
            If the shape or the range of values is wrong.
        """
        tokens, spatial = self.encoder.forward_features(video_BTHWC, frame_paddings_BT)
        embeddings = self.atten_pooler(tokens.flatten(1, 2))
        return VideoClassifierOutput(self.projection(embeddings), embeddings, tokens, spatial)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of layers for the way back and compute the rest again.

        Parameters
        ----------
        enable : bool
            On or off.
        """
        self.encoder.set_grad_checkpointing(enable)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave alone.

        Returns
        -------
        set of str
        """
        return names_without_decay(self)
