"""Stage 1: clips and their texts close to each other, all else apart.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). Symmetric cross-entropy over all pairs of the batch;
the encoder's tokens are pooled by attention (MAP); half of the tokens are dropped, the same places in all frames
(tubes); images are clips of one frame, for which the temporal position embedding is cropped.

What the paper does not state, and what is done here: the temperature is that of CLIP (Radford et al., 2021,
arXiv 2103.00020), 0.07 at the start, learned as the logarithm of its inverse, and never below 0.01; where CLIP clips
the parameter after each step, here it gets no gradient that leads further beyond the bound, which needs nothing from
the trainer and works on parameters split over processes. "Cropped" is read as the first position. For clips of other
lengths the encoder interpolates its positions, as it always does.

Two texts of a batch that say the same are both right for either clip; as negatives they would be wrong. Where a batch
says which those are (``text_group``), they are left out of the sums. The paper says nothing about it: in its batches
they are rare, in those of a simulator or of a small corpus they are not.

In the paper's stage 1 the pooler follows the encoder directly; layers in between came with the released video-text
models. Both work here: ``num_auxiliary_layers`` of the model says which, 0 is the paper's.

Over several processes every one compares its own pairs with those of all (see :mod:`.gather`).

Measured with lvt-tiny (32 clips of 8 frames at 96 px, one core): a step that drops half of the tokens takes 10.0 s of
processor time and 1.8 GB instead of 17.6 s and 3.6 GB.

Shapes: B pairs of a process, G pairs of all, T frames, K places of a frame, D channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..video_text import NORM_EPSILON, VideoTextModel
from .gather import bounded, gather_rows, process_index
from .gradient_cache import cached_backward, num_samples
from .images import encode_images, to_floats
from .objective import Batch, Objective
from .visible_tokens import encode_kept_places

_DIMMED = 4  # pictures show dropped places this many times darker


@dataclass(frozen=True, kw_only=True, slots=True)
class ContrastiveConfig:
    """Choices of the contrastive stages; the paper states none of them.

    Parameters
    ----------
    temperature : float
        At the start; what similarities are divided by.
    min_temperature : float
        It never goes below.
    learn_temperature : bool
        Whether it is learned.
    chunk_size : int, optional
        Pairs embedded at once; the gradients are those of the whole batch all the same (see :mod:`.gradient_cache`).
        The whole batch at once by default.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> ContrastiveConfig().temperature
    0.07
    """

    temperature: float = 0.07
    min_temperature: float = 0.01
    learn_temperature: bool = True
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.min_temperature <= self.temperature < math.inf:  # false for NaN too
            raise ValueError(
                "temperature: expected a finite number of at least min_temperature, which is above 0, got "
                f"{self.temperature} and {self.min_temperature}"
            )
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError(f"chunk_size: expected at least 1 sample, got {self.chunk_size}")


class ContrastiveObjective(Objective):
    """Learn a video-text model from clips (or images) with texts.

    A batch holds ``video`` uint8 (B, T, H, W, 3), ``token_ids`` int64 (B, L), ``text_paddings`` (B, L); for token
    dropping, ``kept`` int64 (B, K): the places of a frame that are seen; and, where texts may say the same,
    ``text_group`` int64 (B,): equal for those that do, which are then no negatives of each other's clips.

    Parameters
    ----------
    model : VideoTextModel
        What is learned.
    config : ContrastiveConfig
        Temperature and chunks.

    Examples
    --------
    >>> from behavior_prism.encoder import preset
    >>> objective = ContrastiveObjective(VideoTextModel(preset("lvt-tiny").config))
    >>> video = torch.randint(0, 255, (2, 1, 96, 96, 3), dtype=torch.uint8)
    >>> ids = torch.tensor([[5, 7], [9, 3]])
    >>> metrics = objective.backward({"video": video, "token_ids": ids, "text_paddings": torch.zeros(2, 2)})
    >>> sorted(metrics)
    ['loss', 'temperature', 'text_std', 'text_to_video_accuracy', 'video_std', 'video_to_text_accuracy']
    """

    # what runs parameters outside of `forward`: to be given to register_fsdp_forward_method
    forward_methods: tuple[str, ...] = ("embed", "embed_video", "embed_text", "contrast")

    def __init__(self, model: VideoTextModel, config: ContrastiveConfig | None = None) -> None:
        super().__init__()
        self.model = model
        self.config = config or ContrastiveConfig()
        # one number in one dimension: fully_shard does not take scalars
        log_scale = torch.tensor([-math.log(self.config.temperature)])
        if self.config.learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            Pairs, see the class.

        Returns
        -------
        loss : torch.Tensor
            Of this process's pairs against those of all; its mean over processes is the loss of the whole batch.
        metrics : dict of str to torch.Tensor
            See :meth:`contrast`.

        Raises
        ------
        ValueError
            If the batch is not what it should be.
        """
        pairs = _pairs_of(batch)
        return self._contrast(*self._embed(pairs), pairs.get("text_group"))

    def backward(self, batch: Batch, scale: float = 1.0) -> dict[str, Tensor]:
        """Add the gradients of ``scale * loss`` to the parameters', by chunks if the configuration says so.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            Pairs, see the class.
        scale : float
            Factor.

        Returns
        -------
        dict of str to torch.Tensor
            ``loss`` and the other metrics.

        Raises
        ------
        ValueError
            If the batch is not what it should be.
        """
        pairs = _pairs_of(batch)
        if self.config.chunk_size is None or self.config.chunk_size >= num_samples(pairs):
            return super().backward(pairs, scale)
        groups = pairs.get("text_group")
        loss, metrics = cached_backward(
            self.embed, lambda video, text: self.contrast(video, text, groups), pairs, self.config.chunk_size, scale
        )
        return {"loss": loss, **metrics}

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embed clips and texts.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            Pairs, see the class.

        Returns
        -------
        video_BD, text_BD : torch.Tensor
            Of length one; in float32 at least, whatever the model computes in.

        Raises
        ------
        ValueError
            If a tensor is not what it should be.
        """
        return self._embed(batch)

    def embed_video(self, batch: Batch) -> Tensor:
        """Embed clips.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            ``video`` and perhaps ``kept``.

        Returns
        -------
        torch.Tensor
            Of length one, shape (B, D).

        Raises
        ------
        ValueError
            If a tensor is not what it should be.
        """
        return self._embed_video(batch)

    def embed_text(self, batch: Batch) -> Tensor:
        """Embed texts.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            ``token_ids`` and ``text_paddings``.

        Returns
        -------
        torch.Tensor
            Of length one, shape (B, D).

        Raises
        ------
        ValueError
            If a tensor is not what it should be.
        """
        return self._embed_text(batch)

    def contrast(
        self, video_BD: Tensor, text_BD: Tensor, text_group_B: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare embeddings of pairs, with those of all processes.

        Parameters
        ----------
        video_BD, text_BD : torch.Tensor
            From :meth:`embed`.
        text_group_B : torch.Tensor, optional
            int64, equal for texts that say the same, over all processes.

        Returns
        -------
        loss : torch.Tensor
            A scalar.
        metrics : dict of str to torch.Tensor
            ``video_to_text_accuracy`` and the other way: fractions of pairs found among all; ``temperature``;
            ``video_std`` and ``text_std``: deviation of a channel, 1 if embeddings fill the space evenly, 0 if they
            are all the same.
        """
        return self._contrast(video_BD, text_BD, text_group_B)

    def learned_model(self) -> VideoTextModel:
        """What is kept when training is over.

        Returns
        -------
        VideoTextModel
        """
        return self.model

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave alone, the temperature among them.

        Returns
        -------
        set of str
        """
        names = {f"model.{name}" for name in self.model.no_weight_decay()}
        return names | {"log_scale"} if self.config.learn_temperature else names

    @torch.no_grad()
    def visualise(self, batch: Batch) -> dict[str, Tensor]:
        """Draw the frames of the first clip side by side, dropped places dark.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            As in :meth:`forward`.

        Returns
        -------
        dict of str to torch.Tensor
            ``clip``: uint8, shape (H, T * W, 3).
        """
        frames_THWC = batch["video"][0]
        _, height, width, _ = frames_THWC.shape
        if "kept" in batch:
            patch = self.model.config.patch_size
            rows, cols = self.model.vision_encoder.grid_size(height, width)
            divisor = torch.full((rows * cols,), _DIMMED, dtype=torch.uint8, device=frames_THWC.device)
            divisor[batch["kept"][0]] = 1
            divisor = divisor.view(rows, cols).repeat_interleave(patch, 0).repeat_interleave(patch, 1)
            frames_THWC = frames_THWC // divisor[..., None]
        return {"clip": frames_THWC.transpose(0, 1).reshape(height, -1, 3)}

    # under the public methods lie private ones, since sharded modules must not enter one public one from another
    def _embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._embed_video(batch), self._embed_text(batch)

    def _embed_video(self, batch: Batch) -> Tensor:
        return _unit_length(self.model.embed_tokens(self._tokens(batch), normalize=False))

    def _embed_text(self, batch: Batch) -> Tensor:
        return _unit_length(self.model.text_encoder(batch["token_ids"], batch["text_paddings"]))

    def _tokens(self, batch: Batch) -> Tensor:
        """Of the video encoder: (B, T, K, D)."""
        encoder = self.model.vision_encoder
        video = to_floats(batch["video"], encoder)
        kept = batch.get("kept")
        if video.ndim == 5 and video.shape[1] == 1:
            return encode_images(encoder, video, kept)
        return encoder(video) if kept is None else encode_kept_places(encoder, video, kept)

    def _contrast(
        self, video_BD: Tensor, text_BD: Tensor, text_group_B: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        scale = bounded(self.log_scale, -math.log(self.config.min_temperature)).exp()
        videos_GD, texts_GD = gather_rows(torch.cat([video_BD, text_BD], dim=1)).chunk(2, dim=1)
        b = len(video_BD)
        own_B = torch.arange(b, device=video_BD.device) + b * process_index()
        with torch.autocast(video_BD.device.type, enabled=False):  # in bfloat16 logits of 100 would be half a unit off
            to_text_BG = scale * (video_BD @ texts_GD.T)
            to_video_BG = scale * (text_BD @ videos_GD.T)
        if text_group_B is not None:
            same_BG = text_group_B[:, None] == gather_rows(text_group_B)
            same_BG = same_BG.scatter(1, own_B[:, None], False)
            to_text_BG, to_video_BG = (x.masked_fill(same_BG, -math.inf) for x in (to_text_BG, to_video_BG))
        loss = (F.cross_entropy(to_text_BG, own_B) + F.cross_entropy(to_video_BG, own_B)) / 2
        with torch.no_grad():
            metrics = {
                "video_to_text_accuracy": (to_text_BG.argmax(1) == own_B).float().mean(),
                "text_to_video_accuracy": (to_video_BG.argmax(1) == own_B).float().mean(),
                "temperature": 1 / scale[0].detach(),
                "video_std": _spread(videos_GD),
                "text_std": _spread(texts_GD),
            }
        return loss, metrics


def _unit_length(x_BD: Tensor) -> Tensor:
    """As the model does it, but left in float32: the logits are as good as the embeddings."""
    x = x_BD.to(torch.promote_types(x_BD.dtype, torch.float32))
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) + NORM_EPSILON)


def _spread(x_GD: Tensor) -> Tensor:
    return x_GD.std(dim=0, correction=0).mean() * math.sqrt(x_GD.shape[1])


def _pairs_of(batch: Batch) -> Batch:
    """What this stage looks at, checked; a batch may hold more."""
    wanted = ("video", "token_ids", "text_paddings")
    if missing := [name for name in wanted if name not in batch]:
        raise ValueError(f"batch: expected {', '.join(wanted)}, got {sorted(batch)} (no {missing[0]})")
    pairs = {name: batch[name] for name in (*wanted, "kept", "text_group") if name in batch}
    num_samples(pairs)
    if (group := pairs.get("text_group")) is not None and (group.ndim != 1 or group.dtype != torch.int64):
        raise ValueError(f"text_group: expected int64 of shape (B,), got {group.dtype} of shape {(*group.shape,)}")
    if pairs["video"].ndim != 5:
        raise ValueError(f"video: expected shape (B, T, H, W, 3), got {(*pairs['video'].shape,)}")
    return pairs
