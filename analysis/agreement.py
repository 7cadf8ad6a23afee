"""Agreement between scorers, or of predictions with labels.

Only frames count that both of a pair scored, and how many these are is told in every row. Kappa is given per frame, per
time unit and per bout (``bout_agreement``), with precision, recall and F1 per frame and per bout (the first of a pair,
or the reference, is taken as the truth), BANOS (``banos``), and what was confused with what.

A time unit is ``time_unit`` seconds from the start of the recording. It counts as present where at least half of its
frames that both scored are ("majority"), where any is ("any", which point events always use), or by the state at its
first frame ("instant": BORIS takes the state at an instant per unit too, but starts at the first event of either scorer
and ends at the last).

Intervals are 95 % bootstrap intervals: over recordings where there are five or more, else over blocks of time of at
least 10 s. Neighbouring frames are copies of one another; an interval over frames would be far too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from behavior_prism.datasets.annotations import Annotations
from behavior_prism.files import atomic_write

from .agreement_labels import ScoredRecording, scored_recordings
from .agreement_rows import Draws, behavior_row, group_row, long_table, scorer_table
from .bout_agreement import EventTable
from .pair_counts import MOST_BEHAVIORS, BehaviorCounts, GroupCounts, Timeline, UnitRule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORTEST_BLOCK = 10.0


@dataclass(kw_only=True)
class AgreementReport:
    """How far scorers agree.

    Parameters
    ----------
    behaviors : pandas.DataFrame
        One row per pair of scorers and behaviour; ``reason`` says why a kappa has no value.
    groups : pandas.DataFrame
        One row per pair of scorers and group of behaviours: kappa over their states, and over their events.
    scorers : pandas.DataFrame
        One row per behaviour or group: Fleiss' kappa over the frames that all scored, and the mean of the pairs.
        Empty for two scorers.
    confusion, events : pandas.DataFrame
        Per pair and group: what the first and the second said, and how many frames or bouts.
    notes : list of str
        What the numbers rest on.
    recordings : list of ScoredRecording
        The labels, for the figure.
    """

    behaviors: pd.DataFrame
    groups: pd.DataFrame
    scorers: pd.DataFrame
    confusion: pd.DataFrame
    events: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    recordings: list[ScoredRecording] = field(default_factory=list, repr=False)

    def confusion_matrix(self, first: str, second: str, group: str | None = None) -> pd.DataFrame:
        """Frames by what the first scorer said (rows) and the second (columns).

        Parameters
        ----------
        first, second : str
            A pair as in ``groups``.
        group : str, optional
            Name of the group; the first by default.

        Returns
        -------
        pandas.DataFrame
        """
        rows = self.confusion
        rows = rows[(rows["first"] == first) & (rows["second"] == second)]
        if not len(rows):
            raise ValueError(f"no confusion of {first!r} and {second!r}: see the columns first and second of groups")
        rows = rows[rows["group"] == (group if group is not None else rows["group"].iloc[0])]
        names = list(dict.fromkeys(rows["first_says"]))
        table = rows.pivot(index="first_says", columns="second_says", values="frames")
        return table.reindex(index=names, columns=names)

    def lines(self) -> list[str]:
        """The report for people, a line per fact."""
        out = []
        for _, row in self.behaviors.iterrows():
            head = f"{row['behavior']}: {row['first']} and {row['second']}, {row['frames']:,} frames scored by both"
            if row["reason"]:
                head += f"; {row['reason']}"
            numbers = [
                f"{name} {_with_interval(row, column)}"
                for name, column in (
                    ("kappa", "kappa"), ("per time unit", "unit_kappa"), ("F1", "f1"), ("bouts: kappa", "event_kappa"),
                    ("F1", "bout_f1"),
                )
                if np.isfinite(row[column])
            ]  # fmt: skip
            out += [head, *([f"  {', '.join(numbers)}"] if numbers else [])]
        for _, row in self.scorers.iterrows():
            if np.isfinite(row["fleiss_kappa"]):
                value = _with_interval(row, "fleiss_kappa")
                out.append(f"{row['behavior']}: Fleiss' kappa of {row['scorers']} scorers {value}")
        return out + [f"note: {note}" for note in self.notes]

    def figure(self, **options: Any) -> Figure:
        """Draw scorers above each other, and their kappas: :func:`plot_agreement`.

        Parameters
        ----------
        **options : object
            As there.
        """
        from .agreement_plot import plot_agreement

        return plot_agreement(self, **options)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the tables as csv and the figure as png.

        Parameters
        ----------
        folder : str or pathlib.Path
            New folder; it is there in full or not at all.
        overwrite : bool
            Replace it if it is there.

        Returns
        -------
        pathlib.Path
            The folder.
        """
        with atomic_write(folder, overwrite=overwrite) as fresh:
            fresh.mkdir()
            for name in ("behaviors", "groups", "scorers", "confusion", "events"):
                table = getattr(self, name)
                if len(table):
                    table.to_csv(fresh / f"{name}.csv", index=False, encoding="utf-8")
            (fresh / "notes.txt").write_text("".join(f"{note}\n" for note in self.notes), encoding="utf-8")
            self.figure().savefig(fresh / "agreement.png", dpi=120)
        return Path(folder)


def agreement_report(
    annotations: Annotations | Sequence[Annotations] | Mapping[str, Annotations],
    recording: Any = None,
    *,
    fps: float | None = None,
    reference: str | None = None,
    tolerance: float = 1.0,
    time_unit: float = 1.0,
    unit_rule: UnitRule = "majority",
    block: float | None = None,
    num_bootstrap: int = 1000,
    seed: int = 0,
) -> AgreementReport:
    """Compare scorers frame by frame, time unit by time unit and bout by bout.

    Parameters
    ----------
    annotations : Annotations, or sequence or mapping of these
        Rows of two scorers or more. The keys of a mapping are who scored, whatever the rows say.
    recording : Recording, frame edges [s], or mapping of str to these, optional
        Whose frames the rows lie on.
    fps : float, optional
        Frame rate in place of ``recording``; each recording is then as long as its rows.
    reference : str, optional
        Compare each other scorer with this one, which is taken as the truth; by default every pair is compared.
    tolerance : float
        How far apart the starts of two bouts may lie that match [s].
    time_unit : float
        Length of a time unit [s].
    unit_rule : {"majority", "any", "instant"}
        When a time unit counts as present.
    block : float, optional
        Length of the blocks of the bootstrap [s], 10 s or more; by default the longest bout, at least 10 s and at most
        a twentieth of the time.
    num_bootstrap, seed : int
        Draws and their seed.

    Returns
    -------
    AgreementReport

    Raises
    ------
    ValueError
        If there are fewer than two scorers, the reference is none of them, or frames are not known.

    Examples
    --------
    >>> from behavior_prism.datasets import annotations_from_intervals
    >>> known = {"behaviors": ["walk"], "num_frames": 100, "fps": 10}
    >>> ann = annotations_from_intervals([(20, 40, "walk")], **known)
    >>> bob = annotations_from_intervals([(25, 40, "walk")], **known)
    >>> report = agreement_report({"ann": ann, "bob": bob}, fps=10)
    >>> report.behaviors[["frames", "bouts_matched"]].values.tolist(), round(report.behaviors["kappa"].item(), 3)
    ([[100, 1]], 0.828)
    """
    _check_lengths(tolerance=tolerance, time_unit=time_unit, block=block)
    notes: list[str] = []
    scored = scored_recordings(annotations, recording, fps=fps, notes=notes)
    scorers, ethogram = scored[0].scorers, scored[0].ethogram
    if reference is not None and reference not in scorers:
        raise ValueError(f"reference: expected one of the scorers {list(scorers)}, got {reference!r}")
    pairs = (
        [(reference, s) for s in scorers if s != reference] if reference is not None else list(combinations(scorers, 2))
    )
    length = block if block is not None else _block_length(scored)
    timelines = [Timeline.of(r.edges, time_unit=time_unit, block=length) for r in scored]
    draws = Draws(len(scored), length, num_bootstrap, seed)
    frame = max(float(np.median(t.duration)) for t in timelines)
    groups = _groups(ethogram.names, ethogram.exclusive, notes)
    behaviors, by_group, confusion, events = [], [], [], []
    for first, second in pairs:
        names = {"first": first, "second": second}
        counts = {b: BehaviorCounts() for b in ethogram.names}
        states = {g: GroupCounts(members) for g, members in groups.items()}
        for one, timeline in zip(scored, timelines, strict=True):
            _count_pair(one, (first, second), timeline, counts, states, tolerance, unit_rule)
        for name, of in counts.items():
            row = behavior_row(of, draws, width=2 * tolerance + frame, point=name in ethogram.points)
            behaviors.append({**names, "behavior": name, **row})
        for name, of_group in states.items():
            row, said, seen = group_row(of_group, draws, notes)
            by_group.append({**names, "group": name, **row})
            confusion.append(said.assign(**names, group=name))
            events.append(seen.assign(**names, group=name))
    notes += [
        f"bouts match if their starts are at most {tolerance:g} s apart; time units are {time_unit:g} s ({unit_rule})",
        draws.words(),
        f"BANOS: tp counts frames, here of {1000 * frame:.4g} ms; a behaviour that is not in the truth has no value",
    ]
    if reference is None:
        notes.append("precision and recall take the first of a pair as the truth")
    table = pd.DataFrame(behaviors)
    return AgreementReport(
        behaviors=table,
        groups=pd.DataFrame(by_group),
        scorers=scorer_table(scored, timelines, table, draws),
        confusion=long_table(confusion, "frames"),
        events=long_table(events, "bouts"),
        notes=notes,
        recordings=scored,
    )


def agreement_table(
    annotations: Annotations | Sequence[Annotations] | Mapping[str, Annotations], recording: Any = None, **options: Any
) -> pd.DataFrame:
    """Agreement per pair of scorers and behaviour: the table ``behaviors`` of :func:`agreement_report`.

    Parameters
    ----------
    annotations, recording
        As there.
    **options
        As there.

    Returns
    -------
    pandas.DataFrame
    """
    return agreement_report(annotations, recording, **options).behaviors


def _count_pair(
    one: ScoredRecording,
    pair: tuple[str, str],
    timeline: Timeline,
    counts: dict[str, BehaviorCounts],
    states: dict[str, GroupCounts],
    tolerance: float,
    rule: UnitRule,
) -> None:
    first, second = (one.label[one.scorers.index(s)] for s in pair)  # (individual, behavior, time)
    points, names = one.ethogram.points, one.ethogram.names
    bouts = {}
    for k, name in enumerate(names):
        bouts[name] = counts[name].add(
            first[:, k], second[:, k], timeline, tolerance=tolerance, rule=rule, point=name in points
        )
    for group in states.values():
        chosen = [names.index(b) for b in group.behaviors]
        group.add(first[:, chosen], second[:, chosen], timeline)
        table = EventTable(len(chosen))
        for row in range(len(first)):
            sides = [_events_of(row, [bouts[b][side] for b in group.behaviors]) for side in (0, 1)]
            table.add(sides[0], sides[1], tolerance, timeline.block, timeline.start)
        group.add_events(table)


def _events_of(row: int, bouts: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start frames, numbers of the behaviours, and whether matched, of one individual."""
    own = [tuple(part[who == row] for part in (start, same)) for who, start, same in bouts]
    code = [np.full(len(start), k) for k, (start, _) in enumerate(own)]
    return np.concatenate([o[0] for o in own]), np.concatenate(code), np.concatenate([o[1] for o in own])


def _with_interval(row: pd.Series, column: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"{row[column]:.3f}" + (f" ({low:.3f} to {high:.3f})" if np.isfinite(low) else "")


def _groups(names: tuple[str, ...], exclusive: Sequence[Sequence[str]], notes: list[str]) -> dict[str, tuple[str, ...]]:
    if exclusive:
        return {", ".join(g): tuple(g) for g in exclusive}
    if len(names) > MOST_BEHAVIORS:
        notes.append(f"more than {MOST_BEHAVIORS} behaviours and no group that excludes each other: only the first "
                     f"{MOST_BEHAVIORS} are in the confusion matrix")  # fmt: skip
    return {"all": names[:MOST_BEHAVIORS]}


def _block_length(scored: list[ScoredRecording]) -> float:
    seconds = sum(float(r.edges[-1] - r.edges[0]) for r in scored)
    return max(SHORTEST_BLOCK, min(max(r.longest_bout() for r in scored), seconds / 20))


def _check_lengths(*, tolerance: float, time_unit: float, block: float | None) -> None:
    if not np.isfinite(tolerance) or tolerance < 0:
        raise ValueError(f"tolerance: expected 0 s or more, got {tolerance:g}")
    if not np.isfinite(time_unit) or time_unit <= 0:
        raise ValueError(f"time unit: expected more than 0 s, got {time_unit:g}")
    if block is not None and not SHORTEST_BLOCK <= block < np.inf:
        raise ValueError(f"block: expected {SHORTEST_BLOCK:g} s or more, got {block:g}")
