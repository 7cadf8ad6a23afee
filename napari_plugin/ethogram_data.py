"""The true and predicted ethogram of one recording, on the frames of its video, ready to be drawn.

All conversions are those of ``datasets`` and ``analysis``; here they are only put side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from behavior_prism.analysis import (
    behavior_colors,
    labels_for,
    on_all_frames,
    open_predictions,
    sampled_part,
    trained_on,
)
from behavior_prism.datasets import Annotations
from behavior_prism.datasets.annotations import runs
from behavior_prism.datasets.bout_rows import WHOLE_VIEW
from behavior_prism.schemas import NOT_SCORED, PRESENT
from behavior_prism.workflow import load_labels

KINDS = ("true", "predicted")
PROBE_SCORER = "probe"  # bouts written by predict; beside a video they must not pass for a human's


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One half of a lane: a behaviour as seen by a human or by a probe.

    Parameters
    ----------
    bouts, unscored : numpy.ndarray
        Half-open frame intervals, int64, shape (n, 2).
    """

    bouts: np.ndarray
    unscored: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One behaviour of one individual.

    Parameters
    ----------
    behavior, color : str
        Its name and colour (hexadecimal).
    strips : mapping of str to Strip
        ``"true"`` and ``"predicted"``, as far as there are any.
    """

    behavior: str
    color: str
    strips: Mapping[str, Strip]


@dataclass(frozen=True, kw_only=True, eq=False)
class EthogramData:
    """What the dock shows of one recording.

    Parameters
    ----------
    recording : str
        Its name.
    edges : numpy.ndarray
        Times of the frame edges [s], shape (frames + 1,).
    behaviors, individuals : tuple of str
        Names, in order.
    states : mapping of str to numpy.ndarray
        ``"true"`` and ``"predicted"``, as far as there are any: int8 in {-1, 0, 1}, shape
        (individuals, behaviors, frames).
    notes : tuple of str
        What the user must know.
    """

    recording: str
    edges: np.ndarray
    behaviors: tuple[str, ...] = ()
    individuals: tuple[str, ...] = ()
    states: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_frames(self) -> int:
        """Frames of the video."""
        return len(self.edges) - 1

    def lanes(self, individual: str) -> list[Lane]:
        """Bouts of one individual, a lane for every behaviour.

        Parameters
        ----------
        individual : str
            Which one.

        Returns
        -------
        list of Lane
        """
        row = self.individuals.index(individual)
        colors = behavior_colors(self.behaviors)
        return [
            Lane(
                behavior=behavior,
                color=colors[behavior],
                strips={
                    kind: Strip(
                        bouts=_intervals(states[row, column] == PRESENT),
                        unscored=_intervals(states[row, column] == NOT_SCORED),
                    )
                    for kind, states in self.states.items()
                },
            )
            for column, behavior in enumerate(self.behaviors)
        ]

    def present(self, kind: str, individual: str, frame: int) -> tuple[str, ...] | None:
        """Behaviours at a frame.

        Parameters
        ----------
        kind : {"true", "predicted"}
            Who says so.
        individual : str
            Which one.
        frame : int
            0 to frames - 1.

        Returns
        -------
        tuple of str or None
            None if nothing was scored there, or there is nothing of that kind.
        """
        if kind not in self.states:
            return None
        now = self.states[kind][self.individuals.index(individual), :, frame]
        if (now == NOT_SCORED).all():
            return None
        return tuple(b for b, state in zip(self.behaviors, now, strict=True) if state == PRESENT)

    def bout_starts(self, individual: str) -> np.ndarray:
        """Frames at which a bout begins, true or predicted.

        Parameters
        ----------
        individual : str
            Which one.

        Returns
        -------
        numpy.ndarray
            Increasing, int64.
        """
        row = self.individuals.index(individual)
        starts = [a for states in self.states.values() for lane in states[row] for a, _ in runs(lane == PRESENT)]
        return np.unique(np.asarray(starts, dtype=np.int64))

    def differences(self, individual: str) -> np.ndarray:
        """Stretches in which true and predicted labels of any behaviour differ and both are scored.

        Parameters
        ----------
        individual : str
            Which one.

        Returns
        -------
        numpy.ndarray
            Half-open frame intervals, int64, shape (n, 2); none if one of the two is missing.
        """
        if set(self.states) != set(KINDS):
            return _intervals(np.zeros(0, dtype=bool))
        row = self.individuals.index(individual)
        true, predicted = (self.states[kind][row] for kind in KINDS)
        differ = (true != predicted) & (true != NOT_SCORED) & (predicted != NOT_SCORED)
        return _intervals(differ.any(axis=0))


def load_ethogram(metadata: Mapping[str, Any]) -> EthogramData:
    """Read the predictions and human labels that belong to a layer.

    Parameters
    ----------
    metadata : mapping
        From :func:`behavior_prism.napari_plugin.reader.image_layer`.

    Returns
    -------
    EthogramData
        Whatever cannot be read is left out and said in ``notes``.
    """
    edges = np.asarray(metadata["edges"], dtype=np.float64)
    recording = str(metadata["recording"])
    notes: list[str] = []
    found: dict[str, xr.DataArray] = {}
    frames = _frames_dataset(recording, edges, (WHOLE_VIEW,))
    if metadata.get("predictions"):
        try:
            predictions = open_predictions(metadata["predictions"])
            found["predicted"] = _predicted_on_frames(predictions, edges)
            notes += _provenance(predictions)
            individuals = tuple(str(i) for i in predictions["individual"].values)
            frames = _frames_dataset(recording, edges, individuals)
        except (ValueError, OSError) as error:
            notes.append(f"Predictions cannot be shown: {_one_line(error)}")
    if metadata.get("labels") is not None:
        try:
            annotations, more = _human_labels(metadata["labels"], frames)
            notes += more
            if annotations is not None:
                if "predicted" not in found:
                    frames = _frames_dataset(recording, edges, _individuals_of(annotations))
                found["true"] = labels_for(frames, annotations, what=f"labels of {recording}")
        except (ValueError, OSError) as error:
            notes.append(f"Labels cannot be shown: {_one_line(error)}")
    behaviors = tuple(dict.fromkeys(str(b) for k in reversed(KINDS) if k in found for b in found[k]["behavior"].values))
    individuals = tuple(str(i) for i in frames["individual"].values) if found else ()
    return EthogramData(
        recording=recording,
        edges=edges,
        behaviors=behaviors,
        individuals=individuals,
        states={kind: _states(found[kind], individuals, behaviors) for kind in KINDS if kind in found},
        notes=tuple(notes),
    )


def _frames_dataset(recording: str, edges: np.ndarray, individuals: tuple[str, ...]) -> xr.Dataset:
    """Every frame of a video, in the form that ``labels_for`` takes."""
    return xr.Dataset(
        {"edge_time": ("edge", edges)},
        coords={
            "time": edges[:-1],
            "frame": ("time", np.arange(len(edges) - 1)),
            "individual": np.asarray(individuals, dtype=object),
        },
        attrs={"recording": recording},
    )


def _predicted_on_frames(predictions: xr.Dataset, edges: np.ndarray) -> xr.DataArray:
    told = predictions["edge_time"].values
    if len(told) != len(edges):
        raise ValueError(f"expected predictions for {len(edges) - 1} frames, got them for {len(told) - 1}")
    return on_all_frames(predictions["label"], edges, **sampled_part(predictions))


def _provenance(predictions: xr.Dataset) -> list[str]:
    notes = []
    seen = trained_on(predictions)
    if seen:
        notes.append(f"The probe was trained on this recording, {seen}: agreement here says nothing about new ones.")
    if predictions.attrs.get("encoder_notice"):
        notes.append(str(predictions.attrs["encoder_notice"]))
    return notes


def _human_labels(labels: Any, frames: xr.Dataset) -> tuple[Annotations | None, list[str]]:
    if isinstance(labels, Annotations):
        return labels, []
    (annotations,), notes = load_labels([labels], [frames])
    human = Annotations(
        bouts=annotations.bouts[annotations.bouts["scorer"] != PROBE_SCORER],
        scored=annotations.scored[annotations.scored["scorer"] != PROBE_SCORER],
        behaviors=annotations.behaviors,
    )
    if not len(human.bouts) and not len(human.scored):
        return None, ["The bouts beside the video were written by a probe; they are not shown as true."]
    return human, notes


def _individuals_of(annotations: Annotations) -> tuple[str, ...]:
    return tuple(sorted(set(annotations.bouts["individual"]) | set(annotations.scored["individual"])))


def _states(label: xr.DataArray, individuals: tuple[str, ...], behaviors: tuple[str, ...]) -> np.ndarray:
    names: dict[str, Any] = {
        "individual": np.asarray(individuals, dtype=object),
        "behavior": np.asarray(behaviors, dtype=object),
    }
    unscored: Any = NOT_SCORED  # xarray's annotation knows only its own default
    return label.reindex(names, fill_value=unscored).transpose("individual", "behavior", "time").values


def _intervals(mask: np.ndarray) -> np.ndarray:
    return np.asarray(runs(mask), dtype=np.int64).reshape(-1, 2)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
