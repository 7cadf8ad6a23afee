"""Stage 2: what a frozen teacher sees in the whole clip, learned from a part of it.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217). The teacher, the encoder of stage 1, sees the intact clip.
The student starts as a copy of it and encodes visible tokens only. From them one decoder gives every token of the
teacher back, masked or not, another one the teacher's embedding of the clip; both are compared by cosine distance and
count the same. Before the first decoder adds its positions the whole sequence, mask tokens too, is shuffled: else the
student, which starts as the teacher, need only hand visible tokens through.

Read into the paper, which does not say: every clip has a shuffle of its own; targets stay in order, slot i being
compared with the teacher's token i whatever the shuffle put there; the cosine is taken of the tokens as they are,
without further normalisation. The teacher is never updated.

Shapes: B clips, T frames, N places of a frame, S tokens of a clip (``T * N``), M masked places, E channels of the
teacher.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..initialise import names_without_decay
from ..int8 import Int8Linear
from ..model import VideoEncoder
from ..pooling import AttentionPooler
from ..transformer import Transformer
from ..video_text import VideoTextModel
from .decoders import ClipDecoder, DecoderConfig, TokenDecoder
from .images import to_floats
from .objective import Batch, Objective
from .token_pictures import picture_of_tokens
from .visible_tokens import VisibleTokens, encode_visible


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedConfig:
    """Choices of stage 2; the switches are the paper's ablations.

    Parameters
    ----------
    decoder : DecoderConfig
        Sizes of both decoders.
    shuffle : bool
        Whether the token decoder's sequence is shuffled.
    global_branch : bool
        Whether the embedding of the clip is learned too.
    masked_only : bool
        Whether only masked tokens are compared, and not all.

    Examples
    --------
    >>> MaskedConfig(shuffle=False).global_branch
    True
    """

    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    shuffle: bool = True
    global_branch: bool = True
    masked_only: bool = False


class Teacher(nn.Module):
    """What the student is to see: tokens and an embedding of intact clips; never learned.

    Parameters
    ----------
    model : VideoEncoder or VideoTextModel
        Of stage 1. A video-text model embeds the clip by its own pooler (and the layers in between, where it has
        some). A video encoder alone, as the released base and large ones are, has no pooler: the embedding is then the
        mean of its tokens, each brought to length one first, so that no token outweighs the others. The model is
        taken over, not copied, and frozen.
    """

    def __init__(self, model: VideoEncoder | VideoTextModel) -> None:
        super().__init__()
        self.auxiliary_encoder: Transformer | None = None
        self.pooler: AttentionPooler | None = None
        if isinstance(model, VideoTextModel):
            self.encoder = model.vision_encoder
            self.auxiliary_encoder, self.pooler = model.auxiliary_encoder, model.contrastive_vision_pooler
        elif isinstance(model, VideoEncoder):
            self.encoder = model
        else:
            raise ValueError(f"teacher: expected a VideoEncoder or a VideoTextModel, got {type(model).__name__}")
        if any(isinstance(module, Int8Linear) for module in self.modules()):
            raise ValueError("teacher: expected its own weights, got layers rounded to int8")
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, video_BTHWC: Tensor) -> tuple[Tensor, Tensor]:
        """Look at intact clips.

        Parameters
        ----------
        video_BTHWC : torch.Tensor
            Floats in [0, 1], shape (B, T, H, W, 3).

        Returns
        -------
        tokens : torch.Tensor
            Shape (B, S, E).
        embeddings : torch.Tensor
            Shape (B, E).
        """
        tokens_BSE = self.encoder(video_BTHWC).flatten(1, 2)
        if self.pooler is None:
            return tokens_BSE, F.normalize(tokens_BSE.float(), dim=-1).mean(1)
        mixed = tokens_BSE if self.auxiliary_encoder is None else self.auxiliary_encoder(tokens_BSE)
        return tokens_BSE, self.pooler(mixed)

    def train(self, mode: bool = True) -> Teacher:
        """Stay as it is.

        Parameters
        ----------
        mode : bool
            Not heeded: a teacher is never in training.

        Returns
        -------
        Teacher
            Itself.
        """
        return super().train(False)


class MaskedObjective(Objective):
    """Learn a student from a frozen teacher.

    A batch holds ``video`` uint8 (B, T, H, W, 3) and the masks of :func:`.masks.draw_masks`.

    Parameters
    ----------
    teacher : VideoEncoder or VideoTextModel
        See :class:`Teacher`. For adaptation to a lab's own recordings: the released weights.
    config : MaskedConfig, optional
        Choices.
    student : VideoEncoder, optional
        Where the student starts; it may be wider or deeper than the teacher. Of its parameters those are learned that
        require gradients. A copy of the teacher's encoder by default, all learned.
    seed : int
        Of the decoders' first parameters.

    Raises
    ------
    ValueError
        If the teacher is no encoder, the student cuts frames into other patches than it, or nothing is to be learned.

    Examples
    --------
    >>> import numpy as np
    >>> from behavior_prism.encoder import VideoEncoder, preset
    >>> from behavior_prism.encoder.pretraining.masks import draw_masks
    >>> masks = draw_masks(np.random.default_rng(0), 1, 2, (8, 8))
    >>> batch = {name: torch.from_numpy(value) for name, value in masks.items()}
    >>> batch["video"] = torch.randint(0, 255, (1, 2, 96, 96, 3), dtype=torch.uint8)
    >>> config = MaskedConfig(decoder=DecoderConfig(dim=96, num_layers=1, num_heads=3, mlp_dim=192))
    >>> objective = MaskedObjective(VideoEncoder(preset("tiny").config), config)
    >>> sorted(objective.backward(batch))
    ['global', 'local', 'loss', 'masked', 'student_std']
    """

    frozen = ("teacher.",)

    def __init__(
        self,
        teacher: VideoEncoder | VideoTextModel,
        config: MaskedConfig | None = None,
        *,
        student: VideoEncoder | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = config or MaskedConfig()
        self.teacher = Teacher(teacher)
        self.student = copy.deepcopy(self.teacher.encoder).requires_grad_(True) if student is None else student
        self.student.train()
        ours, theirs = self.student.config, self.teacher.encoder.config
        if ours.patch_size != theirs.patch_size:
            raise ValueError(
                f"teacher: expected patches of {ours.patch_size} pixels as the student's, got {theirs.patch_size}"
            )
        if not any(p.requires_grad for p in self.student.parameters()):
            raise ValueError("student: expected parameters that require gradients, got none")
        self.token_decoder = TokenDecoder(ours, theirs.model_dim, self.config.decoder, seed)
        self.clip_decoder = (
            ClipDecoder(ours, theirs.model_dim, self.config.decoder, seed + 1) if self.config.global_branch else None
        )
        self._seen: dict[str, Tensor] | None = None  # what a picture is made of, where one is wanted

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            See the class.

        Returns
        -------
        loss : torch.Tensor
            Sum of both distances.
        metrics : dict of str to torch.Tensor
            ``local`` and ``global`` (cosine distances), ``masked`` (share of the clip's tokens), ``student_std``
            (deviation of the student's channels over clips and tokens, mean over channels; near 0 it has collapsed).

        Raises
        ------
        ValueError
            If the video is not uint8, or it and the masks do not fit together.
        """
        video_BTHWC = to_floats(batch["video"], self.student)
        t, height, width = video_BTHWC.shape[1:4]
        shape = (t, *self.student.grid_size(height, width))
        permutation_BS = self._check_permutation(batch, shape)
        run_length = int(batch["run_length"])
        student = encode_visible(self.student, video_BTHWC, batch["run_start"], run_length, batch["masked_places"])
        target_BSE, target_BE = self.teacher(video_BTHWC)
        made_BSE = self.token_decoder(student, shape, permutation_BS)
        distance_BS = cosine_distance(made_BSE, target_BSE)
        local = distance_BS.mean()
        if self.config.masked_only:
            masked_BS = _masked(student, distance_BS)
            local = (distance_BS * masked_BS).sum() / masked_BS.sum()
        loss, metrics = local, {"local": local.detach()}
        if self.clip_decoder is not None:
            globally = cosine_distance(self.clip_decoder(student.tokens), target_BE).mean()
            loss, metrics["global"] = local + globally, globally.detach()
        tokens = student.tokens.detach().float().flatten(0, 1)
        metrics["masked"] = tokens.new_tensor(1 - tokens.shape[0] / distance_BS.numel())
        metrics["student_std"] = tokens.std(0, correction=0).mean()
        if self._seen is not None:
            self._seen |= {"teacher": target_BSE, "made": made_BSE, "student": student.tokens}
            self._seen |= {"positions": student.positions}
        return loss, metrics

    def learned_model(self) -> VideoEncoder:
        """Give the student.

        Returns
        -------
        VideoEncoder
        """
        return self.student

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave alone.

        Returns
        -------
        set of str
            Biases, scales, position and mask embeddings, queries of poolers; of what is learned.
        """
        names = names_without_decay(self) | {"token_decoder.mask_emb"}
        return {name for name in names if not name.startswith(self.frozen)}

    @torch.no_grad()
    def visualise(self, batch: Batch) -> dict[str, Tensor]:
        """Draw the first clip of a batch.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            See the class.

        Returns
        -------
        dict of str to torch.Tensor
            ``tokens``: uint8, shape (height, width, 3). Rows from above: frames; frames as the student sees them; the
            teacher's tokens, what the decoder makes of the visible ones (both in the colours of the teacher's first
            three principal components), and the student's visible tokens in colours of their own.
        """
        first = {name: value[:1] if value.ndim else value for name, value in batch.items()}
        self._seen = {}
        try:
            self(first)  # a whole forward: what wraps it (sharded parameters) is at work then
            seen = {name: value[0] for name, value in self._seen.items()}
        finally:
            self._seen = None
        return {"tokens": picture_of_tokens(first["video"][0], self.student.config.patch_size, **seen)}

    def _check_permutation(self, batch: Batch, shape: tuple[int, int, int]) -> Tensor | None:
        if not self.config.shuffle:
            return None
        permutation_BS = batch["permutation"]
        expected = (len(batch["video"]), shape[0] * shape[1] * shape[2])
        if tuple(permutation_BS.shape) != expected:
            raise ValueError(
                f"permutation: expected shape {expected} for clips of {shape[0]} frames of {shape[1]}x{shape[2]} "
                f"tokens, got {tuple(permutation_BS.shape)}"
            )
        return permutation_BS


def cosine_distance(made: Tensor, target: Tensor) -> Tensor:
    """One minus the cosine, in float32.

    Parameters
    ----------
    made, target : torch.Tensor
        Shape (..., E).

    Returns
    -------
    torch.Tensor
        Shape (...): 0 for the same direction, 2 for the opposite one.

    Examples
    --------
    >>> cosine_distance(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0])).item()
    0.29289...
    """
    return 1 - F.cosine_similarity(made.float(), target.float(), dim=-1)


def _masked(visible: VisibleTokens, like_BS: Tensor) -> Tensor:
    """1 where a token is masked: shape (B, S)."""
    return torch.ones_like(like_BS).scatter(1, visible.positions, 0)
