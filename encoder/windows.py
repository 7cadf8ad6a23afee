"""Overlapping windows of a long recording without doing the same work twice.

VideoPrism's spatial tower sees one frame at a time, so its tokens are the same in every window that holds the frame:
it runs once per frame here, and only the temporal tower runs once per window. Where one result per frame is wanted,
each frame takes it from the window in which it is most central, and the last temporal layer computes only those.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217), section on the factorised encoder.

Shapes: T frames of a window, H and W pixels, N tokens of a frame, D channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from .model import VideoEncoder


class Windows(Protocol):
    """What says how to cut: a :class:`behavior_prism.datasets.WindowSpec`, or anything with these three."""

    @property
    def length(self) -> int:
        """Sampled frames in a window."""
        ...

    @property
    def step(self) -> int:
        """Video frames from one sampled frame to the next."""
        ...

    @property
    def stride(self) -> int:
        """Sampled frames from one window to the next."""
        ...


class EncodedFrames(NamedTuple):
    """Tokens of consecutive sampled frames.

    Parameters
    ----------
    start : int
        Index of the first among the sampled frames (every ``step``-th of the video).
    tokens : torch.Tensor
        Shape (frames, N, D): a whole window, or the frames for which a window speaks.
    position : int
        Slot of the first frame in its window.
    """

    start: int
    tokens: Tensor
    position: int


@torch.no_grad()
def encode_windows(
    model: VideoEncoder,
    frames: Iterable[Tensor],
    spec: Windows,
    *,
    output: Literal["frames", "windows"] = "frames",
    batch_size: int | None = None,
) -> Iterator[EncodedFrames]:
    """Encode a stream of frames in overlapping windows.

    Memory is bounded by some ``length * (batch_size + 2)`` frames of tokens, however long the recording.

    Parameters
    ----------
    model : VideoEncoder
        Frozen, in evaluation mode.
    frames : iterable of torch.Tensor
        The video from its first frame on: single frames (H, W, 3) or runs of them (k, H, W, 3), floats in [0, 1].
    spec : WindowSpec
        Length, step and stride. The last window is moved back to end with the last frame; a recording shorter than
        one window is padded and the padding masked.
    output : {"frames", "windows"}
        Every frame once, from its most central window, or all windows whole.
    batch_size : int, optional
        Windows (and four times as many frames) that go through the encoder together; 1 on a CPU, 8 elsewhere.

    Yields
    ------
    EncodedFrames
        In order, on the model's device.

    Raises
    ------
    ValueError
        If there is no frame, or sizes do not fit.

    Examples
    --------
    >>> from behavior_prism.datasets import WindowSpec
    >>> from behavior_prism.encoder import load_encoder
    >>> model = load_encoder("tiny", weights=None, device="cpu").model
    >>> parts = list(encode_windows(model, torch.rand(20, 96, 96, 3), WindowSpec(length=8, stride=4)))
    >>> [(part.start, len(part.tokens)) for part in parts]
    [(0, 6), (6, 4), (10, 4), (14, 6)]
    """
    _check_arguments(model, spec, output, batch_size)
    length, stride = spec.length, spec.stride
    batch = batch_size or (1 if model.patch_projection.weight.device.type == "cpu" else 8)
    held: list[Tensor] = []  # spatial tokens of frames from `first` on
    first = seen = start = kept_until = 0
    waiting: list[tuple[int, Tensor, slice]] = []

    def plan(next_start: int | None) -> tuple[int, Tensor, slice]:
        """The window at ``start`` and the part of it that is wanted, which the next window's place decides."""
        nonlocal kept_until
        clip = torch.stack(held[start - first : start - first + length])
        stop = start + len(clip)
        if output == "windows":
            return start, clip, slice(0, len(clip))
        if next_start is not None:
            # half way between the two centres; a tie goes to the earlier window
            stop = (start + next_start + length - 1) // 2 + 1
        wanted = slice(kept_until - start, stop - start)
        kept_until = stop
        return start, clip, wanted

    for tokens in _spatial_tokens(model, frames, spec.step, 4 * batch):
        held.append(tokens)
        seen += 1
        # a window can be cut once it is known that the next one is whole: until then it may be the last
        if seen >= start + length + stride:
            waiting.append(plan(start + stride))
            start += stride
            del held[: start - first]
            first = start
            if len(waiting) == batch or _differs(waiting):
                yield from _drain(model, waiting, batch, length)
    if seen == 0:
        raise ValueError("frames: expected at least one frame, got none")
    last = max(0, seen - length)
    while start < last:
        following = min(start + stride, last)
        waiting.append(plan(following))
        start = following
    waiting.append(plan(None))
    while waiting:
        yield from _drain(model, waiting, batch, length)


def _check_arguments(model: object, spec: Windows, output: str, batch_size: int | None) -> None:
    if not isinstance(model, VideoEncoder):
        raise ValueError(f"model: expected a VideoEncoder such as encoder.model, got {type(model).__name__}")
    if output not in ("frames", "windows"):
        raise ValueError(f"output: expected 'frames' or 'windows', got {output!r}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: expected a whole number from 1 on, got {batch_size}")
    if not 1 <= spec.stride <= spec.length:
        raise ValueError(f"stride: expected 1 to the length ({spec.length}), got {spec.stride}")


def _spatial_tokens(model: VideoEncoder, frames: Iterable[Tensor], step: int, batch: int) -> Iterator[Tensor]:
    """Tokens (N, D) of every ``step``-th frame."""
    pending: list[Tensor] = []
    index = 0
    for item in frames:
        if item.ndim not in (3, 4):
            raise ValueError(f"frames: expected (H, W, 3) or runs (k, H, W, 3) of one video, got {tuple(item.shape)}")
        for frame in item if item.ndim == 4 else item[None]:
            if index % step == 0:
                pending.append(frame)
            index += 1
            if len(pending) == batch:
                yield from model.forward_spatial(torch.stack(pending))
                pending = []
    if pending:
        yield from model.forward_spatial(torch.stack(pending))


def _differs(waiting: list[tuple[int, Tensor, slice]]) -> bool:
    return len(waiting) > 1 and waiting[-1][2] != waiting[0][2]


def _drain(
    model: VideoEncoder, waiting: list[tuple[int, Tensor, slice]], batch: int, length: int
) -> Iterator[EncodedFrames]:
    """Encode the first windows that can go together; leave the others waiting."""
    wanted = waiting[0][2]
    count = 1
    while count < min(batch, len(waiting)) and waiting[count][2] == wanted:
        count += 1
    clips = torch.stack([clip for _, clip, _ in waiting[:count]])
    starts = [start for start, _, _ in waiting[:count]]
    del waiting[:count]
    for start, tokens in zip(starts, _temporal_tokens(model, clips, wanted, length), strict=True):
        yield EncodedFrames(start + wanted.start, tokens, wanted.start)


def _temporal_tokens(model: VideoEncoder, clips: Tensor, wanted: slice, length: int) -> Tensor:
    missing = length - clips.shape[1]
    if missing == 0:
        return model.forward_temporal(clips, keep=None if wanted == slice(0, length) else wanted)
    # a recording shorter than one window: positions stay those of a whole one
    paddings = torch.zeros(len(clips), length, device=clips.device)
    paddings[:, clips.shape[1] :] = 1
    padded = torch.nn.functional.pad(clips, (0, 0, 0, 0, 0, missing))
    return model.forward_temporal(padded, paddings, keep=wanted)
