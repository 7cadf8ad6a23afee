"""``behavior-prism labels``: from and to the files of every tool, looked at, compared, and kept in a journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Overwrite, notice, out_console, print_table, say

if TYPE_CHECKING:
    from .datasets import Annotations, MatchReport

app = typer.Typer(no_args_is_help=True, help="Labels: from and to the files of every tool, shown, compared, kept.")

Files = Annotated[list[Path], typer.Argument(help="Label files; `labels formats` lists what can be read.")]
Videos = Annotated[list[Path] | None, typer.Option("--video", help="Video that the labels speak of; once for each.")]
Fps = Annotated[float | None, typer.Option(help="Frames per second, where there is no video.", min=0.001)]
Format = Annotated[str | None, typer.Option("--from", help="Format of the files; told from their content by default.")]
Unscored = Annotated[str, typer.Option(help="Behaviours that mean 'not looked at', such as background,base.")]
Clip = Annotated[bool, typer.Option("--clip", help="Cut rows that reach past the ends of their video.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be read, assumed and lost.")]
AsJson = Annotated[bool, typer.Option("--json", help="The report for scripts, on stdout.")]


def names_of(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def tell(reports: list[MatchReport], *, as_json: bool) -> None:
    """Say what happened to labels on their way: a few lines per file, or JSON."""
    if as_json:
        out_console.print_json(json.dumps([r.to_dict() for r in reports]))
        return
    for report in reports:
        for line in report.lines():
            say(line)


def read(
    files: list[Path], format: str | None, videos: list[Path] | None, fps: float | None, unscored: str, clip: bool
) -> tuple[Annotations, list[MatchReport]]:
    """Read label files with the options that all commands share."""
    from .labels import read_label_files

    if videos and fps is not None:
        raise ValueError("--video and --fps: expected one of them, got both; a video knows its own times")
    return read_label_files(files, format, videos=videos or (), fps=fps, unscored=names_of(unscored), clip=clip)


@app.command()
def formats() -> None:
    """List the formats that can be read and written, and how each of them counts.

    Example: `behavior-prism labels formats`
    """
    import pandas as pd

    from .datasets import label_formats

    rows = [
        {
            "name": f.name,
            "what": f.title,
            "endings": " ".join(f.suffixes),
            "write": "yes" if f.writes else "no",
            "counts in": f.unit,
            "first frame": "" if f.base is None else f.base,
            "end": f.end or "",
            "no label means": f.unlabelled,
            "tested on": f.evidence,
        }
        for f in label_formats()
    ]
    print_table(pd.DataFrame(rows).set_index("name"), "Formats of labels")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Label file.")],
    out: Annotated[Path, typer.Argument(help="File to make, or a folder that exists for one file per recording.")],
    to: Annotated[str | None, typer.Option("--to", help="Format to write; by the ending of OUT by default.")] = None,
    format: Format = None,
    video: Videos = None,
    fps: Fps = None,
    unscored: Unscored = "",
    clip: Clip = False,
    onto: Annotated[Path | None, typer.Option(help="Existing file to which the labels are added, in a copy.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn labels of one tool into those of another, and say what the other cannot hold.

    Example: `behavior-prism labels convert obs.boris mouse1.annot --to caltech --video mouse1.mp4`
    """
    from .datasets import save_annotations

    annotations, reports = read([source], format, video, fps, unscored, clip)
    if not dry_run:
        written = save_annotations(
            annotations,
            out,
            to,
            overwrite=overwrite,
            fps=None if video else fps,
            recording=_timelines(video),
            onto=onto,
        )
        reports.append(written)
    tell(reports, as_json=as_json)


def _timelines(videos: list[Path] | None) -> dict[str, Any] | None:
    from .labels import timelines_of

    return timelines_of(videos) if videos else None


@app.command()
def show(
    files: Files,
    out: Annotated[Path | None, typer.Option(help="Picture to make: .png, .svg or .pdf.")] = None,
    format: Format = None,
    video: Videos = None,
    fps: Fps = None,
    unscored: Unscored = "",
    clip: Clip = False,
    overwrite: Overwrite = False,
) -> None:
    """Count and draw what label files say: bouts, frames and seconds of every behaviour, individual and scorer.

    Example: `behavior-prism labels show obs.boris --out obs.png`
    """
    from .analysis import label_summary
    from .labels import save_label_picture

    annotations, reports = read(files, format, video, fps, unscored, clip)
    tell(reports, as_json=False)
    table = label_summary(annotations)
    shown = [c for c in table if c in ("recording", "behavior", "bouts") or (table[c].notna() & (table[c] != "")).any()]
    if len(table):
        print_table(table[shown].set_index("recording"), "Labels")
    if out is not None:
        for path in save_label_picture(annotations, out, overwrite=overwrite):
            say(str(path))
    elif not len(table):
        notice("no bouts in it")
