"""The video-text model (LvT): clips and sentences in one space.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Follows the official Flax code
(google-deepmind/videoprism, ``FactorizedVideoCLIP``): behind the video encoder stand layers over all tokens of a clip
(joint attention) and an attention pooler; a text tower stands beside it. Either side runs alone.

Shapes: B clips, T frames, N tokens of a frame, S texts, L tokens of a text, D channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import VideoTextConfig
from .initialise import initialise, names_without_decay
from .model import VideoEncoder
from .pooling import AttentionPooler
from .text import TextEncoder
from .transformer import Transformer

NORM_EPSILON = 1e-12  # inside the root, as in the official code


class VideoTextOutput(NamedTuple):
    """What the video-text model makes; None for a side that was not given.

    Parameters
    ----------
    video_embeddings : torch.Tensor or None
        One per clip, shape (B, D).
    text_embeddings : torch.Tensor or None
        One per text, shape (S, D).
    frame_embeddings : torch.Tensor or None
        One per frame, shape (B, T, D); only if asked for.
    tokens : torch.Tensor or None
        Of the video encoder, shape (B, T, N, D): the features that probes use.
    spatial : torch.Tensor or None
        Of its spatial tower, shape (B, T, N, D).
    """

    video_embeddings: Tensor | None
    text_embeddings: Tensor | None
    frame_embeddings: Tensor | None
    tokens: Tensor | None
    spatial: Tensor | None


class VideoTextModel(nn.Module):
    """Clips and texts to embeddings that can be compared by their dot product.

    Parameters
    ----------
    config : VideoTextConfig
        Sizes.

    Examples
    --------
    >>> import torch
    >>> from behavior_prism.encoder import preset
    >>> model = VideoTextModel(preset("lvt-tiny").config).eval()
    >>> ids = torch.tensor([[5, 7, 0, 0]])
    >>> out = model(torch.rand(1, 8, 96, 96, 3), ids, (ids == 0).float())
    >>> out.video_embeddings.shape, out.text_embeddings.shape
    (torch.Size([1, 192]), torch.Size([1, 192]))
    """

    def __init__(self, config: VideoTextConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.vision_encoder = VideoEncoder(c.video, init=False)
        self.auxiliary_encoder = (
            Transformer(c.num_auxiliary_layers, c.model_dim, c.num_heads, c.mlp_dim, c.atten_logit_cap)
            if c.num_auxiliary_layers
            else None
        )
        self.contrastive_vision_pooler = AttentionPooler(c.model_dim, c.num_heads, 4 * c.model_dim)
        self.text_encoder = TextEncoder(c)
        if self.text_encoder.token_emb.device.type != "meta":
            self.init_weights()

    def init_weights(self, seed: int = 0) -> None:
        """Initialise as the official code does, see :mod:`behavior_prism.encoder.initialise`.

        Parameters
        ----------
        seed : int
            The same numbers for the same seed.
        """
        initialise(self, self.config.num_heads, seed)

    def forward(
        self,
        video: Tensor | None = None,
        text_token_ids: Tensor | None = None,
        text_paddings: Tensor | None = None,
        *,
        frame_paddings: Tensor | None = None,
        normalize: bool = True,
        frame_embeddings: bool = False,
    ) -> VideoTextOutput:
        """Embed clips, texts, or both; their numbers need not agree.

        Parameters
        ----------
        video : torch.Tensor, optional
            Floats in [0, 1], shape (B, T, H, W, 3).
        text_token_ids, text_paddings : torch.Tensor, optional
            From :class:`behavior_prism.encoder.Tokenizer`, shape (S, L); paddings are 1 where a token is padding.
        frame_paddings : torch.Tensor, optional
            1 where a frame is padding, shape (B, T). As in the official code only the encoder sees them.
        normalize : bool
            Bring embeddings to length one.
        frame_embeddings : bool
            Also pool the tokens of every frame by themselves (they have seen the whole clip).

        Returns
        -------
        VideoTextOutput

        Raises
        ------
        ValueError
            If neither side is given, or one of them is wrong.
        """
        if video is None and text_token_ids is None:
            raise ValueError("expected a video, a text or both, got neither")
        if (text_token_ids is None) != (text_paddings is None):
            raise ValueError("expected text_token_ids and text_paddings together, got one of them")
        clips = texts = frames = tokens = spatial = None
        if video is not None:
            tokens, spatial = self.vision_encoder.forward_features(video, frame_paddings)
            clips, frames = self._embed(tokens, normalize, frame_embeddings)
        if text_token_ids is not None and text_paddings is not None:
            texts = _normalized(self.text_encoder(text_token_ids, text_paddings), normalize)
        return VideoTextOutput(clips, texts, frames, tokens, spatial)

    def embed_tokens(self, tokens_BTND: Tensor, *, normalize: bool = True) -> Tensor:
        """Embed clips whose tokens are there already.

        Parameters
        ----------
        tokens_BTND : torch.Tensor
            From the video encoder.
        normalize : bool
            Bring embeddings to length one.

        Returns
        -------
        torch.Tensor
            Shape (B, D).
        """
        return self._embed(tokens_BTND, normalize, False)[0]

    def _embed(self, tokens_BTND: Tensor, normalize: bool, frame_embeddings: bool) -> tuple[Tensor, Tensor | None]:
        b, t, n, _ = tokens_BTND.shape
        x_BND = tokens_BTND.flatten(1, 2)
        if self.auxiliary_encoder is not None:
            x_BND = self.auxiliary_encoder(x_BND)
        video_BD = _normalized(self.contrastive_vision_pooler(x_BND), normalize)
        if not frame_embeddings:
            return video_BD, None
        # the pooler on the tokens of one frame, which have seen the whole clip by now
        frames = self.contrastive_vision_pooler(x_BND.reshape(b * t, n, -1))
        return video_BD, _normalized(frames, normalize).view(b, t, -1)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of layers for the way back and compute the rest again.

        Parameters
        ----------
        enable : bool
            On or off.
        """
        self.vision_encoder.set_grad_checkpointing(enable)
        self.text_encoder.unimodal_transformer.grad_checkpointing = enable
        if self.auxiliary_encoder is not None:
            self.auxiliary_encoder.grad_checkpointing = enable

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave alone.

        Returns
        -------
        set of str
        """
        return names_without_decay(self)


def _normalized(x_BD: Tensor, normalize: bool) -> Tensor:
    if not normalize:
        return x_BD
    x = x_BD.float()  # in half precision squares overflow and the epsilon is lost
    return (x / torch.sqrt((x * x).sum(-1, keepdim=True) + NORM_EPSILON)).to(x_BD.dtype)
