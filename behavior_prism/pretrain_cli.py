"""``behavior-prism pretrain``: VideoPrism's stages, shards to feed them, and how a run stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import list_failures, notice, out_console, progress_bars, say

app = typer.Typer(no_args_is_help=True, help="Pretraining: VideoPrism's stages, adaptation, and shards of clips.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts, on stdout.")]


@app.command()
def shards(
    recordings: Annotated[list[str], typer.Argument(help="A study, videos, folders of videos, or patterns.")],
    out: Annotated[Path, typer.Option(help="Folder for the shards.")],
    captions: Annotated[
        Path | None,
        typer.Option(help="Table with recording, caption and start_frame, stop_frame (or start, stop in seconds)."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Longest clip.")] = 10.0,
    fps: Annotated[float, typer.Option(help="About so many frames a second.")] = 30.0,
    size: Annotated[int, typer.Option(help="Shorter side of the picture in pixels; nothing is enlarged.")] = 288,
    crf: Annotated[int, typer.Option(help="Quality of H.264: 0 is lossless, 51 the worst.")] = 23,
    shard_mb: Annotated[float, typer.Option(help="Size at which a shard is closed.")] = 256.0,
    dry_run: DryRun = False,
) -> None:
    """Cut recordings into short clips and pack them into tar files that webdataset reads too.

    Captions: those of the table, else of NAME.captions.csv beside each video. An interrupted run goes on where it
    stopped; what is complete is never replaced. Exit code 1 if clips could not be made (listed).

    Example: `behavior-prism pretrain shards cages --out shards --seconds 5`
    """
    from .datasets.shard_writing import ShardSettings, plan_clips, write_shards
    from .pretrain_sources import captions_beside, open_recordings, read_captions

    settings = ShardSettings(seconds=seconds, fps=fps, size=size, crf=crf, shard_mb=shard_mb)
    sources, files, failed = open_recordings(recordings)
    told = captions_beside(files) if captions is None else read_captions(captions)
    if dry_run:
        plan = plan_clips(sources, settings, told)
        _print_rows(
            "Would cut",
            ("recording", "clips", "captioned", "seconds"),
            [
                (
                    name,
                    len(own),
                    sum(bool(c.captions) for c in own),
                    f"{sum(_length(sources[name], c) for c in own):.1f}",
                )
                for name in sources
                for own in [[clip for clip in plan if clip.recording == name]]
            ],
        )
        list_failures(failed, len(failed) + len(sources))
        return
    with progress_bars("clips") as bar:
        report = write_shards(sources, out, settings, captions=told, progress=bar(str(out)))
    facts = (report.shards, report.clips, report.captioned, f"{report.seconds / 60:.1f}", f"{report.size / 1e6:.1f}")
    _print_rows(str(out), ("shards", "clips", "captioned", "minutes", "MB"), [facts])
    list_failures(failed + report.failed, len(failed) + report.clips + len(report.failed))


def _length(source: Any, clip: Any) -> float:
    return float((clip.stop - clip.start) / source.fps)


def _print_rows(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    view = Table(title=Text(title), title_justify="left", header_style="bold")
    for column in columns:
        view.add_column(column, justify="left" if column in ("recording", "what", "corpus") else "right")
    for row in rows:
        view.add_row(*(Text(str(cell)) for cell in row))
    out_console.print(view)


@app.command()
def status(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    last: Annotated[int, typer.Option(help="Rows of the table.", min=1)] = 8,
    as_json: AsJson = False,
) -> None:
    """How a run stands: its state and its last numbers, also while it goes on.

    Example: `behavior-prism pretrain status run`
    """
    from .pretrain_status import run_status

    found = run_status(run, last)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
        return
    say(f"{run}: {found.summary}")
    if found.rows:
        _print_rows("", tuple(found.columns), [tuple(row) for row in found.table()])
    for note in found.notes:
        notice(note)
