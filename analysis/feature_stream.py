"""Features of a recording's frames and clips, streamed.

Each picture passes the spatial tower once, each window the temporal tower once, and of a window only the frames for
which it speaks pass that tower's last layer; of those that are clips, all do.

Batches of frames and of windows begin at frame 0, whatever part is asked for, so that a resumed run computes the same
batches, hence the same bits. Who is absent, what cannot be decoded and what lies behind the end is masked, so that
nothing of it reaches the others. Memory: three blocks of pictures and the tokens of about a batch of windows.

Legend: I individuals, T frames of a window, K of them kept, N tokens of a frame, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from behavior_prism.datasets.prefetch import prefetch

from .extraction_plan import ExtractionPlan
from .frame_pictures import FrameBlock, Undecodable, frame_blocks
from .micro_batch import Batch
from .token_regions import pool_boxes, pool_grid


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """What a batch of windows has given.

    Parameters
    ----------
    first_frame, first_clip : int
        The first of the sampled frames that it speaks for, and of its clips.
    frames : dict of str to numpy.ndarray
        ``feature(I, frames, tokens, D)``, ``valid(I, frames)``, ``decodable(frames)``.
    clips : dict of str to numpy.ndarray
        ``clip_embedding(I, clips, D)``, ``clip_valid(I, clips)`` and maybe ``text_aligned(I, clips, D)``.
    """

    first_frame: int
    first_clip: int
    frames: dict[str, np.ndarray]
    clips: dict[str, np.ndarray]


@torch.inference_mode()
def encode_stream(
    plan: ExtractionPlan, first_window: int, last_window: int, batch: Batch, undecodable: Undecodable
) -> Iterator[Encoded]:
    """Encode windows, and those that share a batch with them.

    Parameters
    ----------
    plan : ExtractionPlan
        What to encode.
    first_window, last_window : int
        Both are encoded.
    batch : Batch
        How many at once.
    undecodable : Undecodable
        Counts frames without a picture.

    Yields
    ------
    Encoded
        One per batch of windows, in order.
    """
    starts = plan.starts
    first_batch, last_batch = first_window // batch.windows, last_window // batch.windows
    held = _Held(plan, batch)
    blocks = prefetch(
        frame_blocks(plan, batch.frames, int(starts[first_batch * batch.windows]) // batch.frames, undecodable)
    )
    try:
        for j in range(first_batch, last_batch + 1):
            windows = np.arange(j * batch.windows, min((j + 1) * batch.windows, len(starts)))
            end = int(plan.stops[windows[-1]])
            while held.end < end:
                held.take(next(blocks))
            yield _encode_windows(plan, held, windows, batch)
            held.forget(int(starts[min(windows[-1] + 1, len(starts) - 1)]))
    finally:
        blocks.close()


@dataclass
class _Held:
    """Spatial tokens of the frames that windows to come will need."""

    plan: ExtractionPlan
    batch: Batch
    end: int = 0  # frames before it have been taken
    tokens: dict[tuple[int, int], Tensor] = field(default_factory=dict)  # of a stream in a sampled frame, (N, D)
    decodable: dict[int, bool] = field(default_factory=dict)

    def take(self, block: FrameBlock) -> None:
        encoder = self.plan.encoder
        for k, good in enumerate(block.decodable.tolist()):
            self.decodable[block.begin + k] = good
        for i in range(0, len(block.pictures), self.batch.frames):
            pictures = block.pictures[i : i + self.batch.frames].to(encoder.device)
            tokens = encoder.model.forward_spatial((pictures.float() / 255).to(encoder.dtype))
            self.tokens.update(zip(block.places[i : i + self.batch.frames], tokens, strict=False))
        self.end = block.begin + len(block.decodable)

    def forget(self, before: int) -> None:
        for f in [f for f in self.decodable if f < before]:
            del self.decodable[f]
        for place in [place for place in self.tokens if place[1] < before]:
            del self.tokens[place]


def _encode_windows(plan: ExtractionPlan, held: _Held, windows: np.ndarray, batch: Batch) -> Encoded:
    """Features of the frames that these windows speak for, and of the clips among them."""
    individuals = plan.individuals
    begin, stop = np.searchsorted(plan.window_of, [windows[0], windows[-1] + 1]).tolist()
    first_clip, stop_clip = np.searchsorted(plan.clips, [windows[0], windows[-1] + 1]).tolist()
    decodable = np.array([held.decodable[f] for f in range(begin, stop)], dtype=bool)
    valid = individuals.present(plan.frames[begin:stop]) & decodable
    num_tokens, channels = plan.grid[0] * plan.grid[1], plan.encoder.model.config.model_dim
    feature = np.zeros((len(individuals), stop - begin, num_tokens, channels), dtype=np.float16)
    clips = {
        "clip_embedding": np.zeros((len(individuals), stop_clip - first_clip, channels), dtype=np.float16),
        "clip_valid": np.zeros((len(individuals), stop_clip - first_clip), dtype=bool),
    }
    if plan.has_text:
        clips["text_aligned"] = np.zeros((len(individuals), stop_clip - first_clip, channels), dtype=np.float32)
    for keep, masked, pairs in _groups(plan, held, windows):
        for i in range(0, len(pairs), batch.windows):
            part = pairs[i : i + batch.windows]
            tokens = _temporal_tokens(plan, held, part, keep, masked)  # (pairs, K, N, D)
            for (stream, w), tokens_KND in zip(part, tokens, strict=True):
                first = int(plan.starts[w]) + keep.start
                kept = np.arange(first, min(first + len(tokens_KND), int(plan.stops[w])))
                own = (plan.window_of[kept] == w).nonzero()[0]
                pooled = _pool(plan, tokens_KND[: len(kept)], stream, kept)  # (served, K, tokens, D)
                there = individuals.present(plan.frames[kept]) & [held.decodable[int(f)] for f in kept]
                clip = int(np.searchsorted(plan.clips, w))
                is_clip = clip < len(plan.clips) and plan.clips[clip] == w
                half = pooled.to(torch.float16).cpu().numpy()
                for served, who in enumerate(individuals.streams[stream]):
                    good = own[there[who, own]]
                    feature[who, kept[good] - begin] = half[served, good]
                    if is_clip and there[who].any():
                        mean = pooled[served, torch.from_numpy(there[who]).to(pooled.device)].mean(dim=(0, 1))
                        clips["clip_embedding"][who, clip - first_clip] = mean.to(torch.float16).cpu().numpy()
                        clips["clip_valid"][who, clip - first_clip] = True
                        if plan.encoder.video_text is not None and plan.has_text:
                            # the head takes any number of tokens; those of nobody would count as any other
                            seen = tokens_KND[: len(kept)][torch.from_numpy(there[who]).to(tokens_KND.device)]
                            text = plan.encoder.video_text.embed_tokens(seen[None])[0]
                            clips["text_aligned"][who, clip - first_clip] = text.float().cpu().numpy()
    frames = {"feature": feature, "valid": valid, "decodable": decodable}
    return Encoded(first_frame=begin, first_clip=first_clip, frames=frames, clips=clips)


def _groups(
    plan: ExtractionPlan, held: _Held, windows: np.ndarray
) -> Iterator[tuple[slice, bool, list[tuple[int, int]]]]:
    """Streams and windows that can go through the temporal tower together: same slots wanted, all masked or none."""
    groups: dict[tuple[int, int, bool], list[tuple[int, int]]] = {}
    first, stop = np.searchsorted(plan.clips, [windows[0], windows[-1] + 1])
    clips = set(plan.clips[first:stop].tolist())
    for w in windows.tolist():
        start = int(plan.starts[w])
        stop = int(plan.stops[w])
        own = np.searchsorted(plan.window_of, [w, w + 1]) - start
        low, high = (0, plan.spec.length) if w in clips else (int(own[0]), int(own[1]))
        for stream in range(len(plan.individuals.streams)):
            known = [f < stop and (stream, f) in held.tokens for f in range(start, start + plan.spec.length)]
            if any(known[low:high]):
                groups.setdefault((low, high, not all(known)), []).append((stream, w))
    for (low, high, masked), pairs in groups.items():
        yield slice(low, high), masked, pairs


def _temporal_tokens(
    plan: ExtractionPlan, held: _Held, pairs: list[tuple[int, int]], keep: slice, masked: bool
) -> Tensor:
    length = plan.spec.length
    rows: list[list[Tensor | None]] = []
    for stream, w in pairs:
        there = [held.tokens.get((stream, f)) for f in range(int(plan.starts[w]), int(plan.stops[w]))]
        rows.append(there + [None] * (length - len(there)))  # what lies behind the end, or a gap, is masked
    nothing = torch.zeros_like(next(t for t in rows[0] if t is not None))
    clips = torch.stack([torch.stack([nothing if t is None else t for t in row]) for row in rows])
    paddings = torch.tensor([[float(t is None) for t in row] for row in rows], device=clips.device)
    whole = keep == slice(0, length)
    return plan.encoder.model.forward_temporal(clips, paddings if masked else None, keep=None if whole else keep)


def _pool(plan: ExtractionPlan, tokens_KND: Tensor, stream: int, frames: np.ndarray) -> Tensor:
    """Tokens kept, for each whom the stream serves: (served, K, tokens, D)."""
    own = plan.encoder.model.grid_size(*plan.encoder.image_size)
    if plan.individuals.source != "roi":
        return pool_grid(tokens_KND, own, plan.grid)[None]
    boxes = np.nan_to_num(plan.individuals.boxes(plan.frames[frames]))
    return torch.stack([pool_boxes(tokens_KND, own, plan.grid, boxes[i]) for i in plan.individuals.streams[stream]])
