"""Encoding only the tokens that are to be seen: dropped and masked ones cost nothing.

Paper: Zhao et al., VideoPrism, ICML 2024 (arXiv 2402.13217): half of the tokens are dropped in stage 1 (tubes, as in
FLIP), and the student of stage 2 encodes visible tokens only. How irregular sets of tokens pass through two towers is
not documented there. Here: masks have the same number of places in all frames of a run, and runs the same length in
all clips of a batch (see :mod:`.masks`), so that either tower sees two dense batches and nothing is padding:

========  ============================  ===========================
tower     first batch                   second batch
========  ============================  ===========================
spatial   R frames of N - M places      T - R frames of N places
temporal  N - M places in T frames      M places in T - R frames
========  ============================  ===========================

Shapes: B clips, T frames, R frames of the run, N places of a frame, M masked and K kept ones, V visible tokens
(``T * N - R * M``), P values of a patch, D channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..model import VideoEncoder


class VisibleTokens(NamedTuple):
    """Tokens of what is visible and where they belong.

    Parameters
    ----------
    tokens : torch.Tensor
        Of the temporal tower, shape (B, V, D), in no order to rely on.
    positions : torch.Tensor
        Place of each in the whole sequence, ``frame * N + place``; int64, shape (B, V).
    """

    tokens: Tensor
    positions: Tensor


def encode_kept_places(encoder: VideoEncoder, video_BTHWC: Tensor, kept_BK: Tensor) -> Tensor:
    """Encode clips of which only some places are seen, the same in all frames (tubes).

    Equals the whole encoder with the other places left out of both attentions.

    Parameters
    ----------
    encoder : VideoEncoder
        The model.
    video_BTHWC : torch.Tensor
        Floats in [0, 1], shape (B, T, H, W, 3).
    kept_BK : torch.Tensor
        Places that are seen, int64, shape (B, K).

    Returns
    -------
    torch.Tensor
        Shape (B, T, K, D), places in the order of ``kept_BK``.

    Raises
    ------
    ValueError
        If the video or the places are wrong.

    Examples
    --------
    >>> from behavior_prism.encoder import preset
    >>> model = VideoEncoder(preset("tiny").config)
    >>> encode_kept_places(model, torch.rand(1, 2, 24, 24, 3), torch.tensor([[0, 3]])).shape
    torch.Size([1, 2, 2, 192])
    """
    patches_BTNP, positions_ND = _patches(encoder, video_BTHWC)
    b, t, n, _ = patches_BTNP.shape
    _check_places("kept", kept_BK, b, n)
    patches_BTKP = _take(patches_BTNP, kept_BK[:, None].expand(-1, t, -1))
    spatial_BTKD = _spatial(encoder, patches_BTKP, positions_ND[kept_BK][:, None])
    return encoder.forward_temporal(spatial_BTKD)


def encode_visible(
    encoder: VideoEncoder, video_BTHWC: Tensor, run_start_B: Tensor, run_length: int, masked_BM: Tensor
) -> VisibleTokens:
    """Encode clips of which some places are masked in a run of frames.

    Equals the whole encoder with the masked tokens left out of both attentions.

    Parameters
    ----------
    encoder : VideoEncoder
        The model.
    video_BTHWC : torch.Tensor
        Floats in [0, 1], shape (B, T, H, W, 3).
    run_start_B : torch.Tensor
        First frame of the run, int64, shape (B,); a run that reaches the end goes on with the first frame.
    run_length : int
        Its frames R, from 1 to T.
    masked_BM : torch.Tensor
        Places masked in it, int64, each once, shape (B, M).

    Returns
    -------
    VisibleTokens

    Raises
    ------
    ValueError
        If the video or the mask is wrong.

    Examples
    --------
    >>> from behavior_prism.encoder import preset
    >>> model = VideoEncoder(preset("tiny").config)
    >>> visible = encode_visible(model, torch.rand(1, 3, 24, 24, 3), torch.tensor([2]), 2, torch.tensor([[0, 3]]))
    >>> visible.tokens.shape, sorted(visible.positions[0].tolist())
    (torch.Size([1, 8, 192]), [1, 2, 4, 5, 6, 7, 9, 10])
    """
    patches_BTNP, positions_ND = _patches(encoder, video_BTHWC)
    b, t, n, _ = patches_BTNP.shape
    _check_places("masked_places", masked_BM, b, n)
    _check_run(run_start_B, run_length, b, t)
    seen_BK = _complement(masked_BM, n)
    # frames in the order of the run: those of the run first, whatever clip it is
    frames_BT = (run_start_B[:, None] + torch.arange(t, device=run_start_B.device)) % t
    run, others = frames_BT[:, :run_length], frames_BT[:, run_length:]

    in_run = _spatial(encoder, _at(patches_BTNP, run, seen_BK), positions_ND[seen_BK][:, None])
    temporal_BTD = encoder._temporal_positions(t)[frames_BT]
    positions = [_sequence_positions(frames_BT, seen_BK, n)]
    if run_length == t:
        return VisibleTokens(_temporal(encoder, in_run, temporal_BTD), positions[0])
    every = torch.arange(n, device=masked_BM.device).expand(b, n)
    outside = _spatial(encoder, _at(patches_BTNP, others, every), positions_ND)
    seen = torch.cat([in_run, _take(outside, seen_BK[:, None].expand(-1, t - run_length, -1))], dim=1)
    masked = _take(outside, masked_BM[:, None].expand(-1, t - run_length, -1))
    tokens = [_temporal(encoder, seen, temporal_BTD), _temporal(encoder, masked, temporal_BTD[:, run_length:])]
    positions.append(_sequence_positions(others, masked_BM, n))
    return VisibleTokens(torch.cat(tokens, dim=1), torch.cat(positions, dim=1))


def _patches(encoder: VideoEncoder, video_BTHWC: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels by patch, (B, T, N, P), and positions of the places; taken apart before they are projected."""
    if video_BTHWC.ndim != 5 or video_BTHWC.shape[-1] != 3 or 0 in video_BTHWC.shape:
        raise ValueError(f"video: expected shape (B, T, H, W, 3), got {tuple(video_BTHWC.shape)}")
    if not video_BTHWC.is_floating_point():
        raise ValueError(f"video: expected floats in [0, 1], got {video_BTHWC.dtype}")
    b, t, height, width, _ = video_BTHWC.shape
    rows, cols = encoder.grid_size(height, width)
    p = encoder.config.patch_size
    patches = video_BTHWC.reshape(b, t, rows, p, cols, p, 3).transpose(3, 4).reshape(b, t, rows * cols, p * p * 3)
    return patches, encoder._spatial_positions(rows, cols)


def _spatial(encoder: VideoEncoder, patches_BFKP: Tensor, positions: Tensor) -> Tensor:
    """The first tower over some frames and some of their places: (B, F, K, D)."""
    x = encoder.patch_projection(patches_BFKP.to(encoder.patch_projection.weight.dtype)) + positions
    return encoder.spatial_ln(encoder.spatial_encoder(x.flatten(0, 1))).view(x.shape)


def _temporal(encoder: VideoEncoder, spatial_BFKD: Tensor, positions_BFD: Tensor) -> Tensor:
    """The second tower over some places and some of their frames: (B, K * F, D), place by place."""
    b, f, k, d = spatial_BFKD.shape
    x = (spatial_BFKD + positions_BFD[:, :, None]).transpose(1, 2).reshape(b * k, f, d)
    return encoder.temporal_ln(encoder.temporal_encoder(x)).view(b, k * f, d)


def _sequence_positions(frames_BF: Tensor, places_BK: Tensor, n: int) -> Tensor:
    """Positions in the whole sequence of these places in these frames, in the order of :func:`_temporal`."""
    return (places_BK[:, :, None] + frames_BF[:, None] * n).flatten(1)


def _take(x_BFND: Tensor, places_BFK: Tensor) -> Tensor:
    return x_BFND.gather(2, places_BFK[..., None].expand(-1, -1, -1, x_BFND.shape[-1]))


def _at(x_BTND: Tensor, frames_BF: Tensor, places_BK: Tensor) -> Tensor:
    """What stands at these places of these frames: (B, F, K, D)."""
    b, t, n, d = x_BTND.shape
    index = (frames_BF[:, :, None] * n + places_BK[:, None]).flatten(1)
    return x_BTND.view(b, t * n, d).gather(1, index[..., None].expand(-1, -1, d)).view(b, -1, places_BK.shape[1], d)


def _complement(places_BM: Tensor, n: int) -> Tensor:
    """The other places of a frame, sorted: (B, N - M)."""
    b, m = places_BM.shape
    taken = torch.zeros(b, n, dtype=torch.uint8, device=places_BM.device).scatter(1, places_BM, 1)
    return taken.argsort(dim=1, stable=True)[:, : n - m]


def _check_places(name: str, places: Tensor, b: int, n: int) -> None:
    if places.ndim != 2 or places.shape[0] != b or not 0 < places.shape[1] < n + (name == "kept"):
        at_most = "N" if name == "kept" else "N - 1"
        raise ValueError(
            f"{name}: expected shape ({b}, 1 to {at_most} of N = {n} places), got {tuple(places.shape)}: "
            "the grid of tokens is not the one for which it was drawn"
        )
    if places.dtype != torch.int64:
        raise ValueError(f"{name}: expected int64, got {places.dtype}")
    if places.device.type != "cpu":  # looking at values would wait for the device
        return
    if int(places.min()) < 0 or int(places.max()) >= n:
        raise ValueError(f"{name}: expected places from 0 to {n - 1}, got {int(places.min())} to {int(places.max())}")
    ordered = places.sort(dim=1).values
    if bool((ordered[:, 1:] == ordered[:, :-1]).any()):
        raise ValueError(f"{name}: expected each place once, got one twice")


def _check_run(run_start: Tensor, run_length: int, b: int, t: int) -> None:
    if tuple(run_start.shape) != (b,) or run_start.dtype != torch.int64:
        raise ValueError(f"run_start: expected int64 of shape ({b},), got {run_start.dtype} {tuple(run_start.shape)}")
    if not 1 <= run_length <= t:
        raise ValueError(f"run_length: expected 1 to {t} frames, got {run_length}: the clip is not as long as its mask")
    if run_start.device.type == "cpu" and not 0 <= int(run_start.min()) <= int(run_start.max()) < t:
        raise ValueError(f"run_start: expected frames from 0 to {t - 1}, got {run_start.tolist()}")
