"""Scorers above each other, where they disagree, and the kappa of every pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from behavior_prism.datasets.annotations import runs
from behavior_prism.schemas import NOT_SCORED, PRESENT

from .ethogram import UNSCORED, behavior_colors

if TYPE_CHECKING:
    from .agreement import AgreementReport
    from .agreement_labels import ScoredRecording

DISAGREE = "#c00000"
FILLED = 0.92  # of a row; the rest is white between behaviours


def plot_agreement(
    report: AgreementReport, *, recording: str | None = None, individual: str | None = None, measure: str = "kappa"
) -> Figure:
    """Draw what every scorer saw of one individual, and the agreement of every pair.

    Parameters
    ----------
    report : AgreementReport
        From :func:`agreement_report`.
    recording, individual : str, optional
        Which; the first by default.
    measure : str
        Column of ``report.behaviors`` for the matrix on the right, averaged over behaviours that have a value.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig(path)``.

    Raises
    ------
    ValueError
        If a name is unknown.
    """
    one = _chosen(report.recordings, recording)
    who = individual if individual is not None else one.individuals[0]
    if who not in one.individuals:
        raise ValueError(f"individual: expected one of {list(one.individuals)}, got {who!r}")
    if measure not in report.behaviors:
        raise ValueError(f"measure: expected a column of the table, got {measure!r}")
    lanes = len(one.scorers) + 1
    height = min(1.2 + 0.16 * lanes * len(one.ethogram), 40.0)
    figure = Figure(figsize=(12, max(height, 3.0)), layout="constrained")
    raster, matrix = figure.subplots(1, 2, width_ratios=(3.4, 1))
    _draw_raster(raster, one, one.individuals.index(who))
    title = " ".join(part for part in (one.name, who) if part)
    raster.set_title(title, loc="left", fontsize=10, parse_math=False)
    _draw_matrix(matrix, report, one.scorers, measure)
    return figure


def _chosen(recordings: list[ScoredRecording], name: str | None) -> ScoredRecording:
    for one in recordings:
        if name is None or one.name == name:
            return one
    raise ValueError(f"recording: expected one of {[r.name for r in recordings]}, got {name!r}")


def _draw_raster(axes: Axes, one: ScoredRecording, individual: int) -> None:
    label, edges = one.label[:, individual], one.edges  # (scorer, behavior, time)
    lanes = len(one.scorers) + 1
    step = FILLED / lanes
    colors = behavior_colors(one.ethogram.names)
    for row, name in enumerate(one.ethogram.names):
        for lane in range(lanes - 1):
            top = row + lane * step
            for value, color in ((NOT_SCORED, UNSCORED), (PRESENT, colors[name])):
                bars = _bars(label[lane, row] == value, edges)
                axes.broken_barh(bars, (top, 0.9 * step), color=color, linewidth=0)
        scored = label[:, row] != NOT_SCORED
        differ = (scored & (label[:, row] == PRESENT)).any(0) & (scored & (label[:, row] != PRESENT)).any(0)
        axes.broken_barh(_bars(differ, edges), (row + (lanes - 1) * step, 0.6 * step), color=DISAGREE, linewidth=0)
        if row:
            axes.axhline(row - (1 - FILLED) / 2, color="#d0d0d0", linewidth=0.5)
    count = len(one.ethogram)
    axes.set_ylim(count, -0.04)
    axes.set_yticks([row + FILLED / 2 for row in range(count)], list(one.ethogram.names), parse_math=False)
    minor = [row + (lane + 0.45) * step for row in range(count) for lane in range(lanes - 1)]
    if count * lanes <= 60:  # beyond that the names would lie on one another
        axes.set_yticks(minor, list(one.scorers) * count, minor=True, fontsize=6, parse_math=False)
        axes.tick_params(axis="y", which="major", length=0, pad=8 + 4 * max(len(s) for s in one.scorers))
    axes.tick_params(axis="y", which="minor", length=0)
    axes.set_xlim(float(edges[0]), float(edges[-1]))
    axes.set_xlabel("time [s]")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [Patch(color=DISAGREE, label="they disagree"), Patch(color=UNSCORED, label="not scored")]
    axes.legend(handles=handles, ncols=2, fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))


def _draw_matrix(axes: Axes, report: AgreementReport, scorers: tuple[str, ...], measure: str) -> None:
    size = len(scorers)
    values = np.full((size, size), np.nan)
    for (first, second), rows in report.behaviors.groupby(["first", "second"]):
        i, j = scorers.index(str(first)), scorers.index(str(second))
        values[i, j] = values[j, i] = rows[measure].mean()
    axes.imshow(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap="viridis")
    for i in range(size):
        for j in range(size):
            if i != j:
                text = f"{values[i, j]:.2f}" if np.isfinite(values[i, j]) else "-"
                dark = np.isfinite(values[i, j]) and values[i, j] < 0.6
                axes.text(j, i, text, ha="center", va="center", fontsize=9, color="white" if dark else "black")
    axes.set_xticks(range(size), list(scorers), rotation=45, ha="right", fontsize=8, parse_math=False)
    axes.set_yticks(range(size), list(scorers), fontsize=8, parse_math=False)
    axes.set_title(f"{measure.replace('_', ' ')}, mean of behaviours", loc="left", fontsize=9, parse_math=False)
    axes.spines[:].set_visible(False)


def _bars(mask: np.ndarray, edges: np.ndarray) -> list[tuple[float, float]]:
    """(start, width) in seconds of every run."""
    return [(float(edges[a]), float(edges[b] - edges[a])) for a, b in runs(mask)]
