"""What evaluators share: going through fixed batches without leaving a trace.

Plain ``no_grad`` and not ``inference_mode``: parameters of sharded modules that were gathered in there would meet
autograd later, which tensors of inference mode must not.

Shapes: B samples of a batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ..classifier import VideoClassifier
from ..model import VideoEncoder
from ..video_text import VideoTextModel
from .objective import Batch, Objective, to_device


@contextmanager
def judging(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards modes and random generators are what they were.

    Parameters
    ----------
    module : torch.nn.Module
        Whose modes.

    Yields
    ------
    None

    Examples
    --------
    >>> layer = torch.nn.Dropout()
    >>> with judging(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modes = [(part, part.training) for part in module.modules()]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (kept, not used)
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    module.eval()
    try:
        with torch.random.fork_rng(sorted(d.index for d in devices)), torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.clear_autocast_cache()  # copies of weights made without a graph, should the caller be under autocast


def over_batches(
    objective: Objective, batches: Iterable[Batch], names: tuple[str, ...], work: Callable[[Batch], Tensor]
) -> Tensor:
    """Go through batches.

    Parameters
    ----------
    objective : Objective
        Where its parameters are, batches are brought.
    batches : iterable of batch
        All of them.
    names : tuple of str
        What is needed of a batch; the rest is left out.
    work : callable
        Batch to numbers, shape (B, ...).

    Returns
    -------
    torch.Tensor
        Of all batches together, float32 on the CPU.

    Raises
    ------
    ValueError
        If something needed is not there, or there is no batch.
    """
    device = next(objective.parameters()).device
    parts = []
    for batch in batches:
        if missing := [name for name in names if name not in batch]:
            raise ValueError(f"batch: expected {', '.join(names)}, got {sorted(batch)} (no {missing[0]})")
        parts.append(work(to_device({name: batch[name] for name in names}, device)).float().cpu())
    if not parts:
        raise ValueError("batches: expected at least one, got none")
    return torch.cat(parts)


def over_labelled(
    objective: Objective, batches: Iterable[Batch], work: Callable[[Batch], Tensor]
) -> tuple[Tensor, Tensor]:
    """Go through batches of labelled clips, once: whatever order they come in, labels stay with their clips.

    Parameters
    ----------
    objective : Objective
        Where its parameters are, batches are brought.
    batches : iterable of batch
        With ``video`` and ``label``, int (B,).
    work : callable
        Batch to numbers, shape (B, ...).

    Returns
    -------
    numbers : torch.Tensor
        Of all batches together, float32 on the CPU.
    labels : torch.Tensor
        int64, one per clip.

    Raises
    ------
    ValueError
        If something needed is not there, or there is not one label per clip.
    """
    labels = []

    def _with_labels(batch: Batch) -> Tensor:
        if batch["label"].ndim != 1:
            raise ValueError(f"label: expected one class per clip, shape (B,), got {(*batch['label'].shape,)}")
        labels.append(batch["label"].cpu().long())
        return work(batch)

    return over_batches(objective, batches, ("video", "label"), _with_labels), torch.cat(labels)


def video_encoder_of(objective: Objective) -> VideoEncoder:
    """Find the video encoder in what an objective learns.

    Parameters
    ----------
    objective : Objective
        Any.

    Returns
    -------
    VideoEncoder

    Raises
    ------
    ValueError
        If it learns something else.
    """
    model = objective.learned_model()
    if isinstance(model, VideoTextModel):
        return model.vision_encoder
    if isinstance(model, VideoClassifier):
        return model.encoder
    if not isinstance(model, VideoEncoder):
        raise ValueError(f"objective: expected one that learns a video encoder, got {type(model).__name__}")
    return model


def check_repeatable(name: str, batches: Iterable[Batch]) -> Iterable[Batch]:
    """Refuse batches that would be gone at the second evaluation.

    Parameters
    ----------
    name : str
        What to call them.
    batches : iterable of batch
        A collection.

    Returns
    -------
    iterable of batch
        The same.

    Raises
    ------
    ValueError
        If it is an iterator.
    """
    if isinstance(batches, Iterator):  # `iter` would start a loader's workers
        raise ValueError(f"{name}: expected batches that can be gone through again (a list), got an iterator")
    return batches


def named(prefix: str, scores: dict[str, float]) -> dict[str, float]:
    """Put a name in front of the names of numbers.

    Parameters
    ----------
    prefix : str
        What they belong to.
    scores : dict of str to float
        Numbers.

    Returns
    -------
    dict of str to float
    """
    return {f"{prefix}/{name}": value for name, value in scores.items()}
