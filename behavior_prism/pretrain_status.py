"""How a run of pretraining stands, from what it has written."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SILENT_S = 900.0  # without a sign for so long a run that says "running" has probably been killed
_FIRST = ("step", "loss")
_LAST = ("learning_rate", "gradient_norm", "seconds", "seconds_waited", "skipped")


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How a run stands.

    Parameters
    ----------
    state : str
        ``running``, ``finished``, ``interrupted`` or ``failed``.
    step, steps : int
        Steps that are done, and of the whole run.
    seconds_left : float or None
        By the pace of the last numbers [s]; None if nothing is left or known.
    waited : float or None
        Share of the time of steps that was spent on waiting for batches.
    rows : list of dict
        The last numbers.
    columns : list of str
        Names in them, in the order of a table; without what evaluators give.
    scores : dict of str to float
        What evaluators gave last.
    scored_at : int or None
        At which step.
    notes : list of str
        What the user should know.
    """

    state: str
    step: int
    steps: int
    seconds_left: float | None
    waited: float | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    scores: dict[str, Any] = field(default_factory=dict)
    scored_at: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """In one line."""
        left = "" if self.seconds_left is None else f", about {timedelta(seconds=round(self.seconds_left))} left"
        waited = "" if self.waited is None else f", {self.waited:.0%} of it waiting for batches"
        return f"{self.state}, step {self.step} of {self.steps}{left}{waited}"

    def table(self) -> list[list[str]]:
        """Cells of a table, as text.

        Returns
        -------
        list of list of str
            One row for each of ``rows``.
        """
        return [[cell_text(row.get(column)) for column in self.columns] for row in self.rows]

    def to_dict(self) -> dict[str, Any]:
        """For JSON.

        Returns
        -------
        dict
        """
        return asdict(self)


def run_status(folder: str | Path, last: int = 8) -> RunStatus:
    """Look at the folder of a run.

    Parameters
    ----------
    folder : str or pathlib.Path
        The folder.
    last : int
        Steps to show.

    Returns
    -------
    RunStatus

    Raises
    ------
    FileNotFoundError, ValueError
        If it is no folder of a run.
    """
    from .encoder.pretraining.run_log import read_metrics

    folder = Path(folder)
    path = folder / "state.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: expected the folder of a run, got none with a state.json")
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        state, step, steps = str(known["state"]), int(known["step"]), int(known["steps"])
        age = (datetime.now(UTC) - datetime.fromisoformat(known["when"])).total_seconds()
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the state of a run ({error})") from None
    merged: dict[int, dict[str, Any]] = {}
    for row in read_metrics(folder) if (folder / "metrics.jsonl").is_file() else []:
        merged.setdefault(row["step"], {}).update(row)  # losses and evaluations of a step are lines of their own
    rows = [merged[step] for step in sorted(merged)][-last:]
    names = dict.fromkeys(name for row in rows for name in row)
    middle = [name for name in names if name not in _FIRST + _LAST and "/" not in name]
    judged = [row for row in merged.values() if any("/" in name for name in row)]
    latest = max(judged, key=lambda row: row["step"]) if judged else {}
    paces = [row["seconds"] for row in rows if row.get("seconds")]
    waits = [row["seconds_waited"] for row in rows if row.get("seconds") and "seconds_waited" in row]
    pace = sorted(paces)[len(paces) // 2] if paces else None
    notes = []
    failures = [p for p in folder.glob("failures*.jsonl") if p.stat().st_size]
    if failures:
        count = sum(p.read_bytes().count(b"\n") for p in failures)
        notes.append(f"{count} clips could not be read; they are listed in {', '.join(p.name for p in failures)}")
    if state == "running" and age > max(SILENT_S, 20 * (pace or 0)):
        notes.append(
            f"no sign of life for {timedelta(seconds=round(age))}: it was probably killed; the same command goes on"
        )
    return RunStatus(
        state=state,
        step=step,
        steps=steps,
        seconds_left=None if pace is None or state == "finished" else pace * (steps - step),
        waited=sum(waits) / sum(paces) if waits and sum(paces) else None,
        rows=rows,
        columns=[name for name in (*_FIRST, *middle, *_LAST) if name in names],
        scores={name: value for name, value in latest.items() if "/" in name},
        scored_at=latest.get("step"),
        notes=notes,
    )


def cell_text(value: Any) -> str:
    """Write a number short.

    Parameters
    ----------
    value : object
        Of a run's numbers; None for one that was not finite.

    Returns
    -------
    str
    """
    if value is None:
        return "-"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return str(value)
