"""What ``extract`` tells: what would be done, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from .console import list_failures, named_as_options, notice, print_table, say

if TYPE_CHECKING:
    from .extraction_estimate import Estimate
    from .extraction_jobs import Job
    from .extraction_run import ExtractionResult
    from .slurm_script import SlurmOptions


def report(result: ExtractionResult, as_json: bool, quiet: bool) -> None:
    """Tell what became of every recording; exit code 1 if some failed.

    Parameters
    ----------
    result : ExtractionResult
        All of it.
    as_json : bool
        For a script.
    quiet : bool
        Without the table.
    """
    failed = [(name, named_as_options(reason)) for name, reason in result.failed]
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=1))
    else:
        for outcome in result.outcomes:
            if outcome.state in ("done", "there"):
                say(str(outcome.store))
        if len(result.outcomes) > 1 and not quiet:
            _print_summary(result)
    list_failures(failed, len(result.outcomes))


def _print_summary(result: ExtractionResult) -> None:
    import pandas as pd

    from .extraction_progress import duration

    rows = {}
    for o in result.outcomes:
        speed = f"{o.computed / o.seconds:.0f}" if o.computed and o.seconds else "-"
        spent = duration(o.seconds) if o.computed else "-"
        rows[o.name] = {"state": o.state, "sampled frames": o.frames, "time": spent, "frames/s": speed}
    print_table(pd.DataFrame.from_dict(rows, orient="index"))
    states = [o.state for o in result.outcomes]
    computed = sum(o.computed for o in result.outcomes)
    what = {"done": "done", "there": "there before", "part": "not finished by others yet", "failed": "failed"}
    counts = ", ".join(f"{states.count(s)} {text}" for s, text in what.items() if s in states)
    say(f"{counts}; {computed} frames in {duration(result.seconds)}")


def dry_run(
    jobs: Sequence[Job], weights_known: bool, cluster: str | None, options: SlurmOptions, as_json: bool
) -> None:
    """Tell what would be done, how long it takes and how large it gets.

    Parameters
    ----------
    jobs : sequence of Job
        All recordings.
    weights_known : bool
        Whether the encoder's weights are at hand; without them nobody can say what is done already.
    cluster : str or None
        Where it would run; for SLURM the job's text is shown too.
    options : SlurmOptions
        Of a job.
    as_json : bool
        For a script.
    """
    from .extraction_estimate import estimate

    found = estimate(jobs, weights_known=weights_known)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        _print_estimate(found)
        if cluster == "slurm":
            from .cluster import slurm_cluster

            with slurm_cluster(options) as workers:
                say(workers.job_script())
    list_failures([(name, named_as_options(reason)) for name, reason in found.failed], len(jobs))


def _print_estimate(found: Estimate) -> None:
    import pandas as pd

    from .extraction_progress import duration

    columns = ("individuals", "frames", "hours", "step", "sampled", "windows", "state", "megabytes")
    rows = {r.name: {c: getattr(r, c) for c in columns} for r in found.recordings}
    if rows:
        table = pd.DataFrame.from_dict(rows, orient="index")
        if len(table) > 1:
            table.loc["total"] = table.drop(columns=["step", "state"]).sum()
            table.loc["total", "state"] = ""
        print_table(table, "Would extract")
    sizes = pd.DataFrame(
        {
            grid: {"GB in all": found.gigabytes[grid], "GB an hour": found.gigabytes_per_hour.get(grid, float("nan"))}
            for grid in found.gigabytes
        }
    )
    if len(sizes.columns):
        print_table(sizes, "Features by --grid, before compression")
    for r in found.recordings:
        if r.rare:
            notice(
                f"{r.name}: {len(r.rare)} of {r.individuals} individuals are there in less than 5 % of the frames, and "
                f"cost as much as the others ({', '.join(r.rare[:3])}{', ...' * (len(r.rare) > 3)}): join fragments of "
                "tracks, or name those wanted with --individual"
            )
    if found.free_gigabytes is not None:
        say(f"{found.free_gigabytes:.1f} GB are free there")
    if found.seconds is not None and found.frames_per_second is not None:
        say(
            f"about {duration(found.seconds)} on this machine: {found.frames_per_second:.0f} sampled frames a second, "
            "measured just now on a few windows"
        )
    elif found.seconds == 0:
        say("nothing is left to compute")
