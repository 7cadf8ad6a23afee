"""The ethogram: which behaviour when, the human's row above the machine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from behavior_prism.datasets.annotations import frame_edges, runs
from behavior_prism.schemas import NOT_SCORED, PRESENT

# Okabe and Ito's colours, told apart by colour-blind readers too, then matplotlib's own
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B8A800", "#7F7F7F",
    "#8C564B", "#9467BD", "#17BECF", "#BCBD22",
)  # fmt: skip
UNSCORED = "#e9e9e9"


def behavior_colors(behaviors: Sequence[str]) -> dict[str, str]:
    """A colour for every behaviour, the same wherever their order is the same.

    Parameters
    ----------
    behaviors : sequence of str
        Names.

    Returns
    -------
    dict of str to str
        Hexadecimal colours.
    """
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(behaviors)}


def plot_ethogram(
    predicted: xr.DataArray,
    truth: xr.DataArray | None = None,
    *,
    individual: str | None = None,
    title: str = "",
    colors: Mapping[str, str] | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw the ethogram of one individual.

    Parameters
    ----------
    predicted : xarray.DataArray
        ``label(time, individual, behavior)`` in {-1, 0, 1}, time in seconds.
    truth : xarray.DataArray, optional
        Human labels in the same layout; drawn above the predicted ones, frames that nobody scored in grey.
    individual : str, optional
        Which one; the first by default.
    title : str
        Written above.
    colors : mapping of str to str, optional
        Colour of every behaviour.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Draw into this one.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig(path)``.

    Examples
    --------
    >>> plot_ethogram(predictions.label, truth).savefig("ethogram.png")  # doctest: +SKIP
    """
    behaviors = [str(b) for b in predicted["behavior"].values]
    colors = colors or behavior_colors(behaviors)
    figure = figure or Figure(figsize=(10, 0.9 + 0.5 * len(behaviors)), layout="constrained")
    axes = figure.add_subplot()
    lanes = [(predicted, 0.42 if truth is not None else 0.0, "predicted")]
    if truth is not None:
        lanes.insert(0, (truth, 0.0, "true"))
    height = 0.38 if truth is not None else 0.8
    for label, offset, kind in lanes:
        name = individual if individual is not None else str(label["individual"].values[0])
        one = label.sel(individual=name).transpose("time", "behavior")
        edges = frame_edges(one["time"].values)
        for row, behavior in enumerate(behaviors):
            values = one.sel(behavior=behavior).values
            top = row + 0.1 + offset
            axes.broken_barh(_bars(values == NOT_SCORED, edges), (top, height), color=UNSCORED, linewidth=0)
            axes.broken_barh(
                _bars(values == PRESENT, edges),
                (top, height),
                color=colors[behavior],
                alpha=1.0 if kind == "true" else 0.65,
                linewidth=0,
            )
    for row in range(1, len(behaviors)):
        axes.axhline(row, color="#d0d0d0", linewidth=0.5)
    axes.set_ylim(len(behaviors), 0)
    # names are taken as they are: a $ in one is no formula
    axes.set_yticks(np.arange(len(behaviors)) + 0.5, [b.replace("_", " ") for b in behaviors], parse_math=False)
    axes.set_xlim(float(predicted["time"].values[0]), float(frame_edges(predicted["time"].values)[-1]))
    axes.set_xlabel("time [s]")
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    if truth is not None:
        handles = [
            Patch(color="#444444", label="true (upper)"),
            Patch(color="#444444", alpha=0.55, label="predicted (lower)"),
            Patch(color=UNSCORED, label="not scored"),
        ]
        axes.legend(handles=handles, ncols=3, fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def _bars(mask: np.ndarray, edges: np.ndarray) -> list[tuple[float, float]]:
    """(start, width) in seconds of every run."""
    return [(float(edges[a]), float(edges[b] - edges[a])) for a, b in runs(mask)]
