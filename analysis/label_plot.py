"""What a label file says, as a picture: a row per behaviour, a block per individual and scorer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from behavior_prism.datasets import Annotations
from behavior_prism.datasets.dense_labels import row_names

from .ethogram import UNSCORED, behavior_colors

MOST_ROWS = 200  # taller pictures cannot be looked at


def plot_labels(annotations: Annotations, recording: str | None = None) -> Figure:
    """Draw every bout and point event of one recording, with what was scored.

    Parameters
    ----------
    annotations : Annotations
        Bouts in seconds, or else in frames.
    recording : str, optional
        Which one; by default the first.

    Returns
    -------
    matplotlib.figure.Figure
        White is scored, grey is not; a bar is a bout and a tick a point event.

    Raises
    ------
    ValueError
        If there is no such recording, or there are more than 200 rows to draw.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 30, "walk")], behaviors=["walk"], num_frames=90, fps=30)
    >>> plot_labels(a).axes[0].get_xlabel()
    'time [s]'
    """
    name = recording if recording is not None else next(iter(annotations.recordings), "")
    part = annotations.of_recording(name)
    unit, ends = ("time [s]", ["start", "stop"]) if part.in_seconds else ("frame", ["start_frame", "stop_frame"])
    if unit == "frame" and not part.in_frames:
        raise ValueError(f"{name}: some rows know only frames and some only seconds; give the recording or fps")
    tables = [t.assign(row=row_names(t)) for t in (part.bouts, part.scored)]
    blocks = sorted({key for t in tables for key in zip(t["scorer"], t["row"], strict=True)})
    behaviors = [b for b in part.behaviors if b in set(part.bouts["behavior"])] or list(part.behaviors)
    count = len(blocks) * len(behaviors)
    if count > MOST_ROWS:
        raise ValueError(
            f"{name}: {len(blocks)} individuals and scorers with {len(behaviors)} behaviours are {count} rows, "
            f"more than the {MOST_ROWS} that can be looked at; choose some"
        )
    colors = behavior_colors(part.behaviors) | {b.name: b.color for b in part.ethogram if b.color}
    figure = Figure(figsize=(11, 1.4 + 0.24 * count), layout="constrained")
    axes = figure.subplots(len(blocks), 1, sharex=True, squeeze=False)[:, 0]
    spans = [t[ends].to_numpy(np.float64) for t in tables if len(t)]
    last = max((span.max() for span in spans), default=1.0)
    for ax, (scorer, row) in zip(axes, blocks, strict=True):
        bouts, scored = (t[(t["scorer"] == scorer) & (t["row"] == row)] for t in tables)
        ax.set_facecolor(UNSCORED)
        for k, behavior in enumerate(behaviors):
            _draw(ax, scored[scored["behavior"].isin(["", behavior])], ends, k, 1.0, "white")
            own = bouts[bouts["behavior"] == behavior]
            if behavior in part.ethogram.points:
                ax.plot(own[ends[0]].to_numpy(np.float64), np.full(len(own), k), "|", ms=9, mew=2, c=colors[behavior])
            else:
                _draw(ax, own, ends, k, 0.8, colors[behavior])
        ax.set_yticks(range(len(behaviors)), behaviors, fontsize=8)
        ax.set_ylim(len(behaviors) - 0.5, -0.5)
        ax.set_xlim(0, last)
        ax.set_title(" · ".join(t for t in (row, f"scored by {scorer}" if scorer else "") if t), loc="left", fontsize=9)
    axes[-1].set_xlabel(unit)
    axes[0].set_title("white: scored, grey: not scored", loc="right", fontsize=8, color="0.35")
    figure.suptitle(name, fontsize=11)
    return figure


def _draw(ax: object, rows: pd.DataFrame, ends: list[str], k: int, height: float, color: str) -> None:
    start, stop = (rows[c].to_numpy(np.float64) for c in ends)
    bars = np.stack([start, stop - start], axis=1)
    ax.broken_barh(bars, (k - height / 2, height), facecolors=color, linewidth=0)  # type: ignore[attr-defined]


def label_summary(annotations: Annotations) -> pd.DataFrame:
    """Counts and durations of every behaviour, individual and scorer.

    Parameters
    ----------
    annotations : Annotations
        Any.

    Returns
    -------
    pandas.DataFrame
        Columns ``recording, scorer, individual, target, behavior, bouts, frames, seconds``; frames and seconds are NA
        where the rows do not know them.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> a = annotations_from_intervals([(0, 30, "walk"), (60, 75, "walk")], behaviors=["walk"], num_frames=90, fps=30)
    >>> label_summary(a)[["behavior", "bouts", "frames", "seconds"]].values.tolist()
    [['walk', 2, 45, 1.5]]
    """
    bouts = annotations.bouts
    rows = bouts.assign(
        frames=(bouts["stop_frame"] - bouts["start_frame"]).astype("Int64"), seconds=bouts["stop"] - bouts["start"]
    )
    keys = ["recording", "scorer", "individual", "target", "behavior"]
    grouped = rows.groupby(keys, sort=True)
    table = pd.DataFrame(
        {
            "bouts": grouped.size(),
            "frames": grouped["frames"].sum(min_count=1),
            "seconds": grouped["seconds"].sum(min_count=1),
        }
    )
    return table.reset_index()
