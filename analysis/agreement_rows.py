"""The rows of an agreement report, from counts per block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .agreement_labels import ScoredRecording
from .banos import BANOS, banos_of_sums
from .bout_agreement import event_kappa
from .kappa import bootstrap_weights, cohen_kappa, cohen_kappa_without, fleiss_of_sums, interval
from .pair_counts import BehaviorCounts, GroupCounts, Timeline

FEWEST_UNITS = 5
NO_EVENT = "(no event)"


class Draws:
    """Bootstrap over recordings where there are enough, else over blocks that hold anything.

    Parameters
    ----------
    recordings : int
        How many there are.
    block : float
        Length of a block [s].
    num_draws, seed : int
        Draws and their seed.
    """

    def __init__(self, recordings: int, block: float, num_draws: int, seed: int) -> None:
        self.over_recordings = recordings >= FEWEST_UNITS
        self.recordings, self.block, self.num_draws, self.seed = recordings, block, num_draws, seed
        self._weights: dict[int, np.ndarray] = {}

    def interval(self, measure: Any, counts: list[np.ndarray]) -> tuple[float, float]:
        """95 % interval of a measure of counts; of every recording, one row per block.

        Parameters
        ----------
        measure : callable
            From summed counts to a number.
        counts : list of numpy.ndarray
            Of every recording.
        """
        units = np.stack([c.sum(0) for c in counts]) if self.over_recordings else np.concatenate(counts)
        units = units[units.reshape(len(units), -1).any(1)]
        if len(units) < FEWEST_UNITS:
            return float("nan"), float("nan")
        if len(units) not in self._weights:
            self._weights[len(units)] = bootstrap_weights(len(units), self.num_draws, self.seed)
        return interval(measure, units, self._weights[len(units)])

    def words(self) -> str:
        """What was drawn."""
        if self.over_recordings:
            return f"95 % intervals: bootstrap over {self.recordings} recordings"
        return f"95 % intervals: bootstrap over blocks of {self.block:g} s (recordings: {self.recordings})"


def behavior_row(of: BehaviorCounts, draws: Draws, *, width: float, point: bool) -> dict[str, Any]:
    """One behaviour and pair of scorers.

    Parameters
    ----------
    of : BehaviorCounts
        Counts of all recordings.
    draws : Draws
        For intervals.
    width : float
        As in :func:`event_kappa` [s].
    point : bool
        Whether it is a point event.

    Returns
    -------
    dict
        Columns and values.
    """
    frames, units, bouts = (np.concatenate(part).sum(0) for part in (of.frames, of.units, of.bouts))
    both, one, two, neither = (int(n) for n in frames)
    total, matched = both + one + two + neither, bouts[0]
    banos = dict.fromkeys(BANOS, np.nan) if point else banos_of_sums(of.banos, absent="nan")
    row: dict[str, Any] = {
        "kind": "point" if point else "state",
        "frames": total, "both": both, "first_only": one, "second_only": two, "neither": neither,
        "agreement": _ratio(both + neither, total),
        **_measured("kappa", _kappa, of.frames, draws),
        "precision": _ratio(both, both + two), "recall": _ratio(both, both + one),
        **_measured("f1", _f1, of.frames, draws),
        "units": int(units.sum()),
        **_measured("unit_kappa", _kappa, of.units, draws),
        "seconds": float(bouts[3]),
        "bouts_first": int(matched + bouts[1]), "bouts_second": int(matched + bouts[2]), "bouts_matched": int(matched),
        "bout_precision": _ratio(matched, matched + bouts[2]), "bout_recall": _ratio(matched, matched + bouts[1]),
        **_measured("bout_f1", _f1, of.bouts, draws),
        **_measured("event_kappa", lambda c: event_kappa(c, width=width), of.bouts, draws),
        **{f"banos_{name}": value for name, value in banos.items()},
    }  # fmt: skip
    if not total:
        row["reason"] = "no frame of it was scored by both"
    elif neither == total:
        row["reason"] = "neither saw it, kappa is undefined"
    elif both == total:
        row["reason"] = "present in every frame that both scored, kappa is undefined"
    elif np.isnan(row["event_kappa"]):
        row["reason"] = f"as many bouts as windows of {width:.3g} s, kappa of bouts needs a smaller tolerance"
    else:
        row["reason"] = ""
    return row


def group_row(of: GroupCounts, draws: Draws, notes: list[str]) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """One group of behaviours and pair of scorers.

    Parameters
    ----------
    of : GroupCounts
        Counts of all recordings.
    draws : Draws
        For intervals.
    notes : list of str
        Takes what has to be told.

    Returns
    -------
    row : dict
        Columns and values.
    confusion, events : pandas.DataFrame
        What both said, and how many frames or bouts.
    """
    names, said = of.confusion()
    if not names:
        said = [np.zeros((1, 1, 1))]
        if any(s.shape[1] for s in of.states):
            notes.append(f"{', '.join(of.behaviors[:4])}...: too many combinations of behaviours for one table")
    table, seen = np.concatenate(said).sum(0), np.concatenate(of.events).sum(0)
    row = {
        "behaviors": len(of.behaviors),
        "states": len(names),
        "frames": int(table.sum()),
        "agreement": _ratio(float(np.trace(table)), float(table.sum())),
        **_measured("kappa", cohen_kappa, said, draws),
        "bouts": int(seen.sum()),
        **_measured("event_kappa", cohen_kappa_without, of.events, draws),
    }
    reasons = []
    if not row["frames"]:
        reasons.append("no frame was scored by both for all of these")
    elif np.isnan(row["kappa"]):
        reasons.append("one and the same state throughout, kappa is undefined")
    if np.isnan(row["event_kappa"]):
        reasons.append("kappa over events needs bouts of two behaviours")
    return {**row, "reason": "; ".join(reasons)}, _cells(table, names), _cells(seen, [*of.behaviors, NO_EVENT])


def _cells(table: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """A square table as rows; none where there are no names."""
    count = len(names)
    table = table[:count, :count].astype(np.int64)
    return pd.DataFrame({"first_says": np.repeat(names, count), "second_says": np.tile(names, count),
                         "count": table.ravel()})  # fmt: skip


def long_table(parts: list[pd.DataFrame], counted: str) -> pd.DataFrame:
    """Tables of all pairs one after the other.

    Parameters
    ----------
    parts : list of pandas.DataFrame
        From :func:`group_row`, with ``first, second, group``.
    counted : str
        Name of the last column.

    Returns
    -------
    pandas.DataFrame
    """
    table = pd.concat(parts, ignore_index=True).rename(columns={"count": counted})
    return table[["first", "second", "group", "first_says", "second_says", counted]]


def scorer_table(
    scored: list[ScoredRecording], timelines: list[Timeline], pairs: pd.DataFrame, draws: Draws
) -> pd.DataFrame:
    """Fleiss' kappa over the frames that all scorers scored, beside the mean of the pairs.

    Parameters
    ----------
    scored : list of ScoredRecording
        Labels.
    timelines : list of Timeline
        Of these.
    pairs : pandas.DataFrame
        The table of behaviours, for their kappas.
    draws : Draws
        For intervals.

    Returns
    -------
    pandas.DataFrame
        Empty for two scorers.
    """
    columns = ["behavior", "scorers", "frames", "fleiss_kappa", "fleiss_kappa_low", "fleiss_kappa_high",
               "mean_pairwise_kappa", "lowest_pairwise_kappa"]  # fmt: skip
    count = len(scored[0].scorers)
    rows: list[dict[str, Any]] = []
    for k, name in enumerate(scored[0].ethogram.names if count > 2 else ()):
        sums = []
        for one, timeline in zip(scored, timelines, strict=True):
            label = one.label[:, :, k]
            all_scored = (label >= 0).all(0)
            block = np.broadcast_to(timeline.block, all_scored.shape)[all_scored]
            yes = (label == 1).sum(0)[all_scored].astype(np.float64)
            no = count - yes
            parts = (yes * (yes - 1) + no * (no - 1), yes, no)
            sums.append(np.stack([np.bincount(block, w, timeline.num_blocks) for w in parts], axis=1))
        of_pairs = pairs.loc[pairs["behavior"] == name, "kappa"]
        rows.append(
            {
                "behavior": name,
                "scorers": count,
                "frames": int(np.concatenate(sums)[:, 1:].sum()) // count,
                **_measured("fleiss_kappa", lambda s: fleiss_of_sums(s, count), sums, draws),
                "mean_pairwise_kappa": float(of_pairs.mean()),
                "lowest_pairwise_kappa": float(of_pairs.min()),
            }
        )
    return pd.DataFrame(rows, columns=columns)


def _measured(name: str, measure: Any, counts: list[np.ndarray], draws: Draws) -> dict[str, float]:
    low, high = draws.interval(measure, counts)
    return {name: float(measure(np.concatenate(counts).sum(0))), f"{name}_low": low, f"{name}_high": high}


def _kappa(cells: np.ndarray) -> np.ndarray:
    return cohen_kappa(np.asarray(cells).reshape(*np.shape(cells)[:-1], 2, 2))


def _f1(cells: np.ndarray) -> np.ndarray:
    both, one, two = (np.asarray(cells, dtype=np.float64)[..., k] for k in range(3))
    with np.errstate(invalid="ignore"):
        return 2 * both / (2 * both + one + two)


def _ratio(value: float, of: float) -> float:
    return float(value / of) if of else float("nan")
