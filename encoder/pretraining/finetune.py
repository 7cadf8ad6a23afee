"""Supervised fine-tuning: encoder and attention pooler learned from labelled clips.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217), which reports end-to-end fine-tuning beside frozen
encoders without its settings. The model is the official classifier (one pooler as wide as a token, one linear layer).
Labels are classes, one per clip, or three-state, one per clip and behaviour: present, absent, or not scored, which
counts for nothing. A loss is the mean over what is scored of a process's batch; over batches that are accumulated, and
over processes, the mean of these means is taken, so that a label among few counts more than one among many.

Shapes: B clips, C classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..classifier import VideoClassifier
from ..config import VideoClassifierConfig
from ..initialise import names_without_decay
from ..model import VideoEncoder
from ..video_text import VideoTextModel
from .adapt import height_of
from .images import to_floats
from .objective import Batch, Objective

NOT_SCORED = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig:
    """Choices of fine-tuning.

    Parameters
    ----------
    frozen_layers : int or "spatial"
        How many of the encoder's first layers stay as they are, counted through both towers, with all that comes
        before them; ``"spatial"`` for the whole spatial tower.
    class_weights : sequence of float, optional
        One per class. Classes: what a clip of it counts. Three-state labels: what presence counts against absence.

    Raises
    ------
    ValueError
        If a number is negative or not finite.

    Examples
    --------
    >>> FinetuneConfig(frozen_layers="spatial").class_weights is None
    True
    """

    frozen_layers: int | Literal["spatial"] = 0
    class_weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        n = self.frozen_layers
        if n != "spatial" and (not isinstance(n, int) or n < 0):
            raise ValueError(f"frozen_layers: expected a number of layers or 'spatial', got {n!r}")
        if self.class_weights is not None:
            if not all(0 <= w < float("inf") for w in self.class_weights):  # false for NaN too
                raise ValueError(f"class_weights: expected finite numbers of at least 0, got {self.class_weights}")
            object.__setattr__(self, "class_weights", tuple(self.class_weights))


def classifier_from(model: VideoEncoder | VideoTextModel, num_classes: int, *, seed: int = 0) -> VideoClassifier:
    """Put a fresh pooler and linear layer on an encoder.

    Parameters
    ----------
    model : VideoEncoder or VideoTextModel
        Whose encoder it is; copied. A video-text model's own pooler has another shape and is not taken.
    num_classes : int
        Outputs.
    seed : int
        Of what is fresh.

    Returns
    -------
    VideoClassifier

    Raises
    ------
    ValueError
        If the model is of another kind, has int8 layers or adapters, or the number is not positive.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoEncoder, preset
    >>> classifier_from(VideoEncoder(preset("tiny").config), 5).projection.out_features
    5
    """
    encoder = model.vision_encoder if isinstance(model, VideoTextModel) else model
    if not isinstance(encoder, VideoEncoder):
        raise ValueError(f"model: expected a VideoEncoder or a VideoTextModel, got {type(model).__name__}")
    config = VideoClassifierConfig(**dataclasses.asdict(encoder.config), num_classes=num_classes)
    classifier = VideoClassifier(config)
    classifier.init_weights(seed)
    weights = encoder.state_dict()
    if weights.keys() != classifier.encoder.state_dict().keys():
        raise ValueError("model: expected an encoder with its own weights, got int8 layers or adapters (to be merged)")
    classifier.encoder.load_state_dict(weights)
    return classifier


class FinetuneObjective(Objective):
    """Learn a classifier from labelled clips.

    A batch holds ``video`` uint8 (B, T, H, W, 3) and ``label``, integers: (B,) classes, softmax; or (B, C) with 1 for
    present and 0 for absent, each by itself. -1 stands for not scored in both and counts for nothing.

    Parameters
    ----------
    model : VideoClassifier
        What is learned, as far as its parameters require gradients; :func:`classifier_from` makes one of an encoder.
    config : FinetuneConfig, optional
        Choices.

    Raises
    ------
    ValueError
        If there are not as many layers to freeze, not as many class weights as classes, or nothing is to be learned.

    Examples
    --------
    >>> from behavior_prism.encoder import VideoEncoder, preset
    >>> model = classifier_from(VideoEncoder(preset("tiny").config), 3)
    >>> objective = FinetuneObjective(model, FinetuneConfig(frozen_layers="spatial"))
    >>> video = torch.randint(0, 255, (2, 1, 96, 96, 3), dtype=torch.uint8)
    >>> sorted(objective.backward({"video": video, "label": torch.tensor([[0, 1, -1], [-1, -1, 0]])}))
    ['accuracy', 'loss', 'scored']
    """

    class_weights: Tensor | None

    def __init__(self, model: VideoClassifier, config: FinetuneConfig | None = None) -> None:
        super().__init__()
        if not isinstance(model, VideoClassifier):
            raise ValueError(f"model: expected a VideoClassifier, got {type(model).__name__}")
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError("model: expected parameters that require gradients, got none")
        self.model = model
        self.config = config or FinetuneConfig()
        weights, classes = self.config.class_weights, model.config.num_classes
        if weights is not None and len(weights) != classes:
            raise ValueError(f"class_weights: expected one for each of {classes} classes, got {len(weights)}")
        self.register_buffer("class_weights", None if weights is None else torch.tensor(weights, dtype=torch.float32))
        self._freeze()

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            See the class.

        Returns
        -------
        loss : torch.Tensor
            Mean over what is scored; 0 where nothing is.
        metrics : dict of str to torch.Tensor
            ``accuracy`` of what is scored, 0 where nothing is, and ``scored``, its share.

        Raises
        ------
        ValueError
            If the video is not uint8, or labels and classes do not fit together.
        """
        label = batch["label"]
        self._check_label(label, len(batch["video"]))
        logits_BC = self.model(to_floats(batch["video"], self.model.encoder)).logits.float()
        scored = label != NOT_SCORED
        if label.ndim == 1:
            loss = class_loss(logits_BC, label, self.class_weights)
            right = logits_BC.detach().argmax(-1) == label
        else:
            loss = three_state_loss(logits_BC, label, self.class_weights)
            right = (logits_BC.detach() > 0) == (label == 1)
        accuracy = (right & scored).sum() / scored.sum().clamp(min=1)
        return loss, {"accuracy": accuracy, "scored": scored.float().mean()}

    def learned_model(self) -> VideoClassifier:
        """Give the classifier.

        Returns
        -------
        VideoClassifier
        """
        return self.model

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave alone.

        Returns
        -------
        set of str
        """
        return names_without_decay(self)

    def _freeze(self) -> None:
        c = self.model.config
        depth = c.num_spatial_layers + c.num_temporal_layers
        n = c.num_spatial_layers if self.config.frozen_layers == "spatial" else self.config.frozen_layers
        if n > depth:
            raise ValueError(f"frozen_layers: expected at most the {depth} layers of the encoder, got {n}")
        for name, parameter in self.model.encoder.named_parameters():
            # positions of the second tower belong to it, not to the first
            height = height_of(name, c.num_spatial_layers, depth) + (name == "temporal_pos_emb")
            if n and height <= n:
                parameter.requires_grad_(False)

    def _check_label(self, label: Tensor, b: int) -> None:
        classes = self.model.config.num_classes
        if label.dtype.is_floating_point or tuple(label.shape) not in ((b,), (b, classes)):
            raise ValueError(
                f"label: expected integers of shape ({b},) or ({b}, {classes}), got {label.dtype} of shape "
                f"{tuple(label.shape)}"
            )
        if label.device.type != "cpu":  # looking at values would wait for the device
            return
        highest = classes - 1 if label.ndim == 1 else 1
        low, high = (int(v) for v in label.aminmax())
        if low < NOT_SCORED or high > highest:
            raise ValueError(f"label: expected -1 (not scored) to {highest}, got {low} to {high}")


def class_loss(logits_BC: Tensor, label_B: Tensor, weights_C: Tensor | None = None) -> Tensor:
    """Cross-entropy of classes.

    Parameters
    ----------
    logits_BC : torch.Tensor
        Scores.
    label_B : torch.Tensor
        Integers, -1 for not scored.
    weights_C : torch.Tensor, optional
        What a clip of each class counts.

    Returns
    -------
    torch.Tensor
        Weighted mean over scored clips; 0 if there are none, and then with gradients of 0.
    """
    total = F.cross_entropy(logits_BC, label_B.long(), weight=weights_C, ignore_index=NOT_SCORED, reduction="sum")
    known = label_B.clamp(min=0).long()
    weight_B = torch.ones_like(logits_BC[:, 0]) if weights_C is None else weights_C[known]
    counted = (weight_B * (label_B != NOT_SCORED)).sum()
    return total / torch.where(counted > 0, counted, 1)


def three_state_loss(logits_BC: Tensor, label_BC: Tensor, weights_C: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of behaviours that may occur together.

    Parameters
    ----------
    logits_BC : torch.Tensor
        Scores.
    label_BC : torch.Tensor
        Integers: 1 present, 0 absent, -1 not scored.
    weights_C : torch.Tensor, optional
        What presence counts against absence.

    Returns
    -------
    torch.Tensor
        Mean over what is scored; 0 if nothing is, and then with gradients of 0.
    """
    scored_BC = label_BC != NOT_SCORED
    target_BC = (label_BC == 1).to(logits_BC.dtype)
    each_BC = F.binary_cross_entropy_with_logits(logits_BC, target_BC, pos_weight=weights_C, reduction="none")
    return (each_BC * scored_BC).sum() / scored_BC.sum().clamp(min=1)
