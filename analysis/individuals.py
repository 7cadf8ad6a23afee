"""Whose features are extracted, and where each one is: regions of the view, crops that follow, or parts of the tokens.

``view``: the recording's regions, by default the whole picture. ``crop``: each animal's own crop goes through the
encoder. ``roi``: the whole view goes through once and each animal takes what its box covers of the tokens.

Legend: I individuals, n sampled frames, S streams (pictures of a frame that go through the encoder by themselves).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from behavior_prism.datasets import CropSpec, Recording, plan_crops, plan_key
from behavior_prism.datasets.bout_rows import WHOLE_VIEW
from behavior_prism.datasets.crop_cut import cut_square

if TYPE_CHECKING:
    import xarray as xr

SOURCES = ("view", "crop", "roi")


@dataclass(frozen=True, kw_only=True, eq=False)
class Individuals:
    """Who is looked at, and how.

    Parameters
    ----------
    source : {"view", "crop", "roi"}
        How.
    names : tuple of str
        Who.
    kinds : tuple of str
        ``"view"``, ``"region"``, ``"individual"`` or ``"pair"``.
    recording : Recording
        Where.
    crops : xarray.Dataset, optional
        From ``plan_crops``; where there is none the recording's regions count.
    """

    source: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    recording: Recording
    crops: xr.Dataset | None = None

    def __post_init__(self) -> None:
        numbers = {}
        if self.crops is not None:  # out of xarray, which would take longer than the cut
            for name in ("side", "angle", "valid"):
                numbers[name] = self.crops[name].transpose("individual", "time").values
            numbers["centre"] = self.crops["centre"].transpose("individual", "time", "space").values
        object.__setattr__(self, "_numbers", numbers)
        self._numbers: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def streams(self) -> list[list[int]]:
        """Individuals that each stream serves."""
        everyone = list(range(len(self)))
        return [everyone] if self.source == "roi" else [[i] for i in everyone]

    def present(self, frames: np.ndarray) -> np.ndarray:
        """Who is there.

        Parameters
        ----------
        frames : numpy.ndarray
            Frames of the video, shape (n,).

        Returns
        -------
        numpy.ndarray
            bool, shape (I, n).
        """
        if self.crops is None:
            return np.ones((len(self), len(frames)), dtype=bool)
        return self._numbers["valid"][:, frames]

    def picture(self, frame: np.ndarray, index: int, stream: int, size: tuple[int, int]) -> np.ndarray:
        """What a stream shows of a frame.

        Parameters
        ----------
        frame : numpy.ndarray
            uint8, shape (height, width, 3).
        index : int
            Its number in the video.
        stream : int
            Which one; somebody it serves is there.
        size : (int, int)
            What the encoder takes.

        Returns
        -------
        numpy.ndarray
            uint8, shape (h, w, 3); not always of that size yet.
        """
        if self.source == "roi":
            return frame
        if self.crops is None:
            return self.recording.crop(frame, self.names[stream])
        x, y = self._numbers["centre"][stream, index]
        side, angle = float(self._numbers["side"][stream, index]), float(self._numbers["angle"][stream, index])
        # sampled once, straight to what the encoder takes
        border = str(self.crops.attrs["border"])
        return cut_square(frame, (float(x), float(y)), side, angle, out_size=max(size), border=border)

    def boxes(self, frames: np.ndarray) -> np.ndarray:
        """Each one's box as a share of the picture.

        Parameters
        ----------
        frames : numpy.ndarray
            Frames of the video, shape (n,).

        Returns
        -------
        numpy.ndarray
            Top, bottom, left and right from 0 to 1, shape (I, n, 4); of no meaning where somebody is absent.
        """
        height, width = self.recording.video.shape[1:3]
        if self.crops is None:
            boxes = [(y, y + h, x, x + w) for x, y, w, h in self.recording.regions.values()]
            corners = np.repeat(np.asarray(boxes, dtype=np.float64)[:, None], len(frames), axis=1)
        else:
            x, y = np.moveaxis(self._numbers["centre"][:, frames], -1, 0) + 0.5  # pixel centres are at integers
            half = self._numbers["side"][:, frames] / 2
            corners = np.stack([y - half, y + half, x - half, x + half], axis=-1)
        return np.clip(corners / [height, height, width, width], 0, 1)

    def settings(self) -> dict[str, Any]:
        """What of this changes the numbers.

        Returns
        -------
        dict
            JSON-compatible.
        """
        if self.crops is None:
            return {"source": self.source, "regions": {k: list(box) for k, box in self.recording.regions.items()}}
        return {"source": self.source, "crops": plan_key(self.crops)}

    def preprocessing(self) -> str | dict[str, Any]:
        """How a picture comes about: what two stores must share for one probe to read both.

        Returns
        -------
        str or dict
            ``"squash"`` for regions of the view.
        """
        if self.source == "view":
            return "squash"
        if self.crops is None:
            return {"source": self.source}
        spec = json.loads(self.crops.attrs["spec"])
        spec.pop("out_size")  # the encoder's counts
        return {"source": self.source, **spec}


def find_individuals(
    recording: Recording, source: str, crops: CropSpec | None = None, names: Sequence[str] | None = None
) -> Individuals:
    """Say whose features are wanted.

    Parameters
    ----------
    recording : Recording
        With tracks, unless its regions are meant.
    source : {"view", "crop", "roi"}
        See the module.
    crops : CropSpec, optional
        What a crop shows, or how large a region of the tokens is.
    names : sequence of str, optional
        Individuals of the tracks, and pairs of them as ``"a|b"``; all individuals by default.

    Returns
    -------
    Individuals

    Raises
    ------
    ValueError
        If the recording has not what is asked for.
    """
    what = f"recording {recording.name!r}"
    if source not in SOURCES:
        raise ValueError(f"individual_source: expected one of {list(SOURCES)}, got {source!r}")
    if source == "view" and not (crops is None and names is None):
        raise ValueError("individual_source: expected 'crop' or 'roi' where crops or individuals are given, got 'view'")
    if source == "view" or (source == "roi" and recording.tracks is None and crops is None and names is None):
        regions = tuple(recording.regions)
        kinds = tuple("view" if name == WHOLE_VIEW else "region" for name in regions)
        return Individuals(source=source, names=regions, kinds=kinds, recording=recording)
    if recording.tracks is None:
        raise ValueError(f"{what}: expected tracks for individual_source={source!r}, got none")
    if source == "roi" and crops is not None and crops.up is not None:
        raise ValueError("crops: up: expected none for regions of tokens, which cannot be turned")
    _, height, width, _ = recording.video.shape
    plan = plan_crops(recording.tracks, crops or CropSpec(), frame_size=(height, width), individuals=names)
    if plan.sizes["time"] != len(recording.video):
        raise ValueError(
            f"{what}: expected tracks of {len(recording.video)} frames, got {plan.sizes['time']}; "
            "load them with times=video.times"
        )
    return Individuals(
        source=source,
        names=tuple(str(name) for name in plan["individual"].values),
        kinds=tuple(str(kind) for kind in plan["kind"].values),
        recording=recording,
        crops=plan,
    )
