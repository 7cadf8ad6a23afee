"""``behavior-prism check``: whether recordings are all right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import out_console, progress_bars, say, say_error

if TYPE_CHECKING:
    from .datasets import CheckReport

_STYLES = {"info": "dim", "warning": "yellow", "error": "bold red"}


def check(
    files: Annotated[list[Path], typer.Argument(help="Video files, folders of images, TIFF stacks.")],
    tracks: Annotated[Path | None, typer.Option(help="Its poses; NAME.tracks.nc beside it by default.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Its bout table; NAME.bouts.csv beside it by default.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second of what is no video file.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not decode: headers and times only.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For scripts: a JSON list on stdout, one entry a file.")
    ] = False,
) -> None:
    """Verify recordings: header, time stamps, gaps, damage, repeated pictures, tracks, labels.

    Exit code 0: nothing to worry about; 1: warnings or errors in some file; 2: a file is not there.

    Example: `behavior-prism check *.mp4`
    """
    from .datasets import CheckReport, Finding, check_recording

    if len(files) > 1 and (tracks or labels):
        raise ValueError(f"--tracks and --labels: expected one video to go with them, got {len(files)}")
    reports, shown, missing = [], [], []
    with progress_bars() as bar:
        for path in files:
            progress = None if quick else bar(path.name)
            try:
                report = check_recording(
                    path, tracks=tracks, labels=labels, fps=fps, decode=not quick, progress=progress
                )
                shown.append(report)
            except OSError as error:  # the others can be checked all the same
                missing.append(" ".join(str(error).split()))
                report = CheckReport(path, {}, [Finding("error", "missing", (), missing[-1])])
            reports.append(report)
    if as_json:
        typer.echo(json.dumps([report.to_dict() for report in reports], indent=1))
    else:
        for report in shown:
            _print(report)
        good = sum(report.severity == "info" for report in reports)
        say(f"{good} of {len(files)} without warnings")
    for text in missing:
        say_error(text)
    if missing:
        raise typer.Exit(2)
    if any(report.severity != "info" for report in reports):
        raise typer.Exit(1)


def _print(report: CheckReport) -> None:
    from rich.table import Table
    from rich.text import Text

    view: Any = Table(title=Text(str(report.path)), title_justify="left", show_header=False)
    view.add_column(no_wrap=True)
    view.add_column(no_wrap=True)
    view.add_column(overflow="fold")
    for finding in report.findings:
        style = _STYLES[finding.severity]
        view.add_row(Text(finding.severity, style), Text(finding.what), Text(finding.text))
    out_console.print(view)
