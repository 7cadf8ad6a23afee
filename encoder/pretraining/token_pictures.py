"""Pictures of masks and tokens for the log: what the student sees, and whether it sees what the teacher does.

Tokens are shown as colours: their first three principal components. Nothing is drawn at random, so that looking does
not change a run.

Shapes: T frames, H and W pixels, S tokens of a clip, V visible ones, E channels.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 96  # pixels of the longer side of a tile, about
MAX_FRAMES = 8
GREY = 128


def picture_of_tokens(
    video_THWC: Tensor, patch_size: int, teacher: Tensor, made: Tensor, student: Tensor, positions: Tensor
) -> Tensor:
    """Draw a clip, one column per frame.

    Parameters
    ----------
    video_THWC : torch.Tensor
        uint8.
    patch_size : int
        Side of a patch in pixels.
    teacher, made : torch.Tensor
        Tokens of the teacher and what the student makes of its own, shape (S, E).
    student : torch.Tensor
        Its visible tokens, shape (V, channels).
    positions : torch.Tensor
        Where these belong, shape (V,).

    Returns
    -------
    torch.Tensor
        uint8, shape (height, width, 3): rows as :meth:`.masked.MaskedObjective.visualise` says.
    """
    t, height, width, _ = video_THWC.shape
    rows, cols = height // patch_size, width // patch_size
    cell = max(1, SIDE // max(rows, cols))
    frames = torch.linspace(0, t - 1, min(t, MAX_FRAMES)).round().long()  # spread over long clips
    tiles = functools.partial(_tiles, shape=(t, rows, cols), frames=frames, cell=cell)
    video = video_THWC[frames.to(video_THWC.device)].cpu().permute(0, 3, 1, 2).float()
    video = F.interpolate(video, size=(rows * cell, cols * cell), mode="area").permute(2, 0, 3, 1).flatten(1, 2)
    visible = torch.zeros(t * rows * cols, 1, dtype=torch.bool)
    visible[positions.cpu()] = True
    seen = torch.where(tiles(visible.expand(-1, 3)), video, GREY)

    of_teacher, of_made = _colours(teacher, made)
    of_student = torch.full((t * rows * cols, 3), float(GREY))
    of_student[positions.cpu()] = _colours(student)[0]
    picture = torch.cat([video, seen, tiles(of_teacher), tiles(of_made), tiles(of_student)])
    return picture.round().clamp(0, 255).to(torch.uint8)


def _tiles(x_SC: Tensor, shape: tuple[int, int, int], frames: Tensor, cell: int) -> Tensor:
    """Colours of tokens to squares of pixels, frames side by side."""
    grid = x_SC.view(*shape, 3)[frames]
    return grid.repeat_interleave(cell, 1).repeat_interleave(cell, 2).transpose(0, 1).flatten(1, 2)


def _colours(tokens_SE: Tensor, *others: Tensor) -> list[Tensor]:
    """Colours (0 to 255) from the first tokens' principal components, of these and of others by the same rule."""
    directions = [F.normalize(x.detach().cpu().double(), dim=-1) for x in (tokens_SE, *others)]
    centre = directions[0].mean(0)
    spread = directions[0] - centre
    axes = torch.linalg.eigh(spread.T @ spread).eigenvectors[:, -3:].flip(1)
    # the sign of an axis is arbitrary: its largest entry is made positive
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    scores = [(x - centre) @ axes for x in directions]
    low, high = scores[0].quantile(0.02, dim=0), scores[0].quantile(0.98, dim=0)
    scale = 255 / (high - low).clamp(min=1e-9)
    return [((x - low) * scale).clamp(0, 255).float() for x in scores]
