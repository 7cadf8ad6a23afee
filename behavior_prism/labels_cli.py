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
Recordings = Annotated[str, typer.Option("--recording", help="Only these recordings, between commas.")]
Individuals = Annotated[str, typer.Option("--individual", help="Only these individuals, between commas.")]
Scorers = Annotated[str, typer.Option("--scorer", help="Only these scorers, between commas.")]
Behaviors = Annotated[str, typer.Option("--behavior", help="Only these behaviours, between commas.")]


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


def read_each(
    files: list[Path], format: str | None, videos: list[Path] | None, fps: float | None, unscored: str, clip: bool
) -> Annotations:
    """Read label files, say what happened, and tell several files without scorers apart by their names."""
    from .datasets import concat_annotations
    from .labels import name_scorers

    parts = []
    for file in files:
        labels, reports = read([file], format, videos, fps, unscored, clip)
        tell(reports, as_json=False)
        parts.append((file, labels))
    return concat_annotations(name_scorers(parts) if len(parts) > 1 else [labels for _, labels in parts])


def chosen(annotations: Annotations, recording: str, individual: str, scorer: str, behavior: str) -> Annotations:
    """Keep the rows of the names that the options of a command give."""
    wanted = {"recording": recording, "individual": individual, "scorer": scorer, "behavior": behavior}
    wanted_names = {what: names for what, text in wanted.items() if (names := names_of(text))}
    for what, names in wanted_names.items():
        known = getattr(annotations, f"{what}s")
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"--{what}: expected some of {list(known)}, got {unknown[0]!r}")
    return annotations.select(**wanted_names)


@app.command()
def formats() -> None:
    """List the formats that can be read and written, and how each of them counts.

    Example: `behavior-prism labels formats`
    """
    from rich.table import Table
    from rich.text import Text

    from .datasets import label_formats

    table = Table(title="Formats of labels", title_justify="left", header_style="bold", show_lines=True)
    table.add_column("name", no_wrap=True)
    table.add_column("written", no_wrap=True)
    table.add_column("what; endings")
    table.add_column("how it counts; a frame without a label")
    for f in label_formats():
        unit = "frames and seconds" if f.unit == "both" else f.unit
        counts = [unit, "" if f.base is None else f"the first is {f.base}", f"end {f.end}" if f.end else ""]
        what = f"{f.title}\n{' '.join(f.suffixes)}\ntested on {f.evidence}"
        means = f"{', '.join(c for c in counts if c)}\n{f.unlabelled}"
        table.add_row(Text(f.name), "yes" if f.writes else "no", Text(what), Text(means))
    out_console.print(table)


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
    recording: Recordings = "",
    individual: Individuals = "",
    scorer: Scorers = "",
    behavior: Behaviors = "",
    onto: Annotated[Path | None, typer.Option(help="Existing file to which the labels are added, in a copy.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn labels of one tool into those of another, and say what the other cannot hold.

    Example: `behavior-prism labels convert obs.boris mouse1.annot --to caltech --video mouse1.mp4`
    """
    from .labels import write_label_file

    annotations, reports = read([source], format, video, fps, unscored, clip)
    annotations = chosen(annotations, recording, individual, scorer, behavior)
    rate, edges = None if video else fps, _timelines(video)
    reports.append(
        write_label_file(
            annotations, out, to, overwrite=overwrite, fps=rate, recording=edges, onto=onto, dry_run=dry_run
        )
    )
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

    annotations = read_each(files, format, video, fps, unscored, clip)
    table = label_summary(annotations)
    shown = [c for c in table if c in ("recording", "behavior", "bouts") or (table[c].notna() & (table[c] != "")).any()]
    if len(table):
        print_table(table[shown].set_index("recording"), "Labels")
    if out is not None:
        for path in save_label_picture(annotations, out, overwrite=overwrite):
            say(str(path))
    elif not len(table):
        notice("no bouts in it")


Study = Annotated[Path, typer.Argument(help="Folder of a study; its journal lies in labels/journal.")]


@app.command("import")
def import_(
    files: Files,
    into: Annotated[Path, typer.Option(help="Folder of a study; its journal lies in labels/journal.")],
    writer: Annotated[str, typer.Option(help="Under whose name they are taken in.")] = "import",
    format: Format = None,
    video: Videos = None,
    fps: Fps = None,
    unscored: Unscored = "",
    clip: Clip = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take labels of other tools into the journal of a study; what is there already is not taken twice.

    Example: `behavior-prism labels import obs.boris --into study --video mouse1.mp4`
    """
    from .labels import import_labels, named_as_in_study

    annotations, reports = read(files, format, video, fps, unscored, clip)
    annotations, notes = named_as_in_study(annotations, into)
    taken, known, new = import_labels(annotations, into, writer, dry_run=dry_run)
    for report in reports:
        report.new_behaviors = tuple(b for b in report.behaviors if b in new)
    tell(reports, as_json=as_json)
    if not as_json:
        verb = "would be taken in" if dry_run else "taken in"
        say(f"{taken:,} bouts {verb}, {known:,} were there already")
    for note in notes:
        notice(note)


@app.command()
def export(
    study: Study,
    out: Annotated[Path, typer.Argument(help="File to make, or a folder that exists for one file per recording.")],
    to: Annotated[str | None, typer.Option("--to", help="Format to write; by the ending of OUT by default.")] = None,
    recording: Recordings = "",
    individual: Individuals = "",
    scorer: Scorers = "",
    behavior: Behaviors = "",
    video: Videos = None,
    fps: Fps = None,
    onto: Annotated[Path | None, typer.Option(help="Existing file to which the labels are added, in a copy.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the labels of a study for another tool, and say what it cannot hold.

    Example: `behavior-prism labels export study labels.boris`
    """
    from .datasets import Journal
    from .labels import write_label_file

    with Journal.open(study) as journal:
        annotations = journal.annotations()
        for problem in journal.problems:
            notice(str(problem))
    annotations = chosen(annotations, recording, individual, scorer, behavior)
    if not len(annotations.bouts) and not len(annotations.scored):
        raise ValueError(f"{study}: no labels to write")
    edges, rate = _timelines(video), None if video else fps
    report = write_label_file(
        annotations, out, to, overwrite=overwrite, fps=rate, recording=edges, onto=onto, dry_run=dry_run
    )
    tell([report], as_json=as_json)


@app.command()
def agree(
    files: Files,
    out: Annotated[Path | None, typer.Option(help="New folder for the tables and the figure.")] = None,
    reference: Annotated[str | None, typer.Option(help="Scorer taken as the truth; else every pair.")] = None,
    tolerance: Annotated[float, typer.Option(help="Seconds between the starts of bouts that match.", min=0)] = 1.0,
    time_unit: Annotated[float, typer.Option(help="Seconds of a time unit.", min=0.001)] = 1.0,
    format: Format = None,
    video: Videos = None,
    fps: Fps = None,
    unscored: Unscored = "",
    clip: Clip = False,
    overwrite: Overwrite = False,
) -> None:
    """Say how far scorers agree: frames, time units, bouts, with intervals of confidence.

    Files of scorers who are not named in them are told apart by the names of the files.

    Example: `behavior-prism labels agree ann.csv bob.csv --fps 25 --out agreement`
    """
    from .analysis import agreement_report

    annotations = read_each(files, format, video, fps, unscored, clip)
    report = agreement_report(
        annotations, _timelines(video), fps=fps, reference=reference, tolerance=tolerance, time_unit=time_unit
    )
    for line in report.lines():
        say(line)
    if out is not None:
        say(str(report.save(out, overwrite=overwrite)))


@app.command()
def journal(
    study: Study,
    last: Annotated[int, typer.Option(help="Show so many of the latest entries.", min=0)] = 10,
    writer: Annotated[str | None, typer.Option(help="Whose entries; needed to undo, redo or compact.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back the writer's last step.")] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Do again what was taken back.")] = False,
    compact: Annotated[bool, typer.Option("--compact", help="Move what says nothing any more to the archive.")] = False,
    archive: Annotated[bool, typer.Option("--archive", help="Show entries in the archive too.")] = False,
) -> None:
    """Look at the journal of a study: who did what when, and what of it is damaged.

    Example: `behavior-prism labels journal study --last 20`
    """
    import pandas as pd

    from .datasets import Journal

    if undo + redo + compact > 1:
        raise ValueError("--undo, --redo, --compact: expected one of them")
    if (undo or redo or compact) and writer is None:
        raise ValueError("--writer: expected whose steps are meant, got none")
    if writer is not None:  # a name that is misspelt must not become a writer
        with Journal.open(study) as opened:
            writers = sorted({e.writer for e in opened.history(archive=True)})
        if writer not in writers:
            raise ValueError(f"--writer: expected one of {writers}, got {writer!r}")
    with Journal.open(study, writer=writer if undo or redo or compact else None) as opened:
        if undo or redo:
            entry, verb = (opened.undo(), "undo") if undo else (opened.redo(), "redo")
            say(f"nothing to {verb} by {writer}" if entry is None else f"last step of {writer}: {verb} done")
        if compact:
            say(f"{opened.compact():,} lines moved to the archive")
        entries = [e for e in opened.history(archive=archive) if writer in (None, e.writer)]
        annotations = opened.annotations()
        problems = opened.problems
        conflicts = opened.conflicts
    say(
        f"{study}: {len(entries):,} entries{f' by {writer}' if writer else ''}; all writers together: "
        f"{len(annotations.bouts):,} bouts of {len(annotations.behaviors)} behaviours in "
        f"{len(annotations.recordings)} recording{'' if len(annotations.recordings) == 1 else 's'}"
    )
    if last and entries:
        rows = [{"time": e.time, "writer": e.writer, "what": e.op, "clock": e.clock} for e in entries[-last:]]
        print_table(pd.DataFrame(rows).set_index("time"), "Latest entries")
    for problem in (*problems, *conflicts):
        notice(str(problem))
