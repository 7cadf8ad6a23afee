"""``behavior-prism init``, ``add``, ``status``, ``relocate``: a study from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import list_failures, notice, out_console, say

StudyFolder = Annotated[Path, typer.Argument(help="Folder of a study.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts, on stdout.")]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make a study of.")],
    name: Annotated[str | None, typer.Option(help="Of the study; that of the folder by default.")] = None,
    behaviors: Annotated[str, typer.Option(help="Under study, between commas, such as walk,rear,groom.")] = "",
    encoder: Annotated[str, typer.Option(help="tiny, videoprism-base, ..., or a weights file.")] = "tiny",
    weights: Annotated[str, typer.Option(help="auto, random, or a file.")] = "auto",
) -> None:
    """Make a study: one folder for recordings, animals, labels, features and results.

    Example: `behavior-prism init cages --behaviors walk,rear,groom`
    """
    from .study import SETTINGS, Study

    encoder_cell = {"name": encoder, "weights": weights}
    study = Study.create(folder, name=name, behaviors=_names(behaviors), encoder=encoder_cell)
    say(str(study.folder / SETTINGS))
    say(f"Next: behavior-prism add {folder} VIDEO...")


def add(
    study: StudyFolder,
    videos: Annotated[list[Path], typer.Argument(help="Videos, folders, or patterns such as 'raw/**/*.mp4'.")],
    name: Annotated[str, typer.Option(help="Of the recording, if it is one.")] = "",
    join: Annotated[bool, typer.Option("--join", help="All files are one recording, one after another.")] = False,
    camera: Annotated[str, typer.Option(help="Which camera.")] = "",
    session: Annotated[str, typer.Option(help="Which session; cameras of one session share it.")] = "",
    group: Annotated[str, typer.Option(help="Group of the new animals, or without --animals of the recordings.")] = "",
    animals: Annotated[str, typer.Option(help="Who is in it, between commas.")] = "",
    individuals: Annotated[str, typer.Option(help="What the tracks call them, in the same order.")] = "",
    tracks: Annotated[str, typer.Option(help="Pose file; {stem} stands for the video's name.")] = "",
    timestamps: Annotated[str, typer.Option(help="Table of times [s]; {stem} stands for the video's name.")] = "",
    fps: Annotated[float | None, typer.Option(help="Frames per second of what is no video file.", min=0.001)] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put videos into a study, where they lie; nothing is copied, and what it has already stays as it is.

    Example: `behavior-prism add cages 'raw/*.mp4' --animals m1,m2 --tracks 'poses/{stem}.slp'`
    """
    from dataclasses import asdict

    from .study import Study
    from .study_add import add_videos

    result = add_videos(
        Study.open(study),
        videos,
        name=name,
        join=join,
        camera=camera,
        session=session,
        group=group,
        animals=_names(animals),
        individuals=_names(individuals),
        tracks=tracks,
        timestamps=timestamps,
        fps=fps,
        dry_run=dry_run,
    )
    if as_json:
        typer.echo(json.dumps(asdict(result), indent=1))
    else:
        for row in result.added:
            with_tracks = f", tracks {row['tracks']}" if row["tracks"] else ""
            say(f"{'would add' if dry_run else 'added'} {row['recording']}: {row['video']}{with_tracks}")
        for video, known in result.known.items():
            notice(f"{video}: is in the study already, as {known}")
    list_failures(result.failed, len(result.failed) + len(result.added) + len(result.known))


def relocate(
    study: StudyFolder,
    roots: Annotated[list[Path], typer.Argument(help="Folders to look in, and below them.")],
    dry_run: DryRun = False,
) -> None:
    """Find videos that were moved or renamed by what is in them; features and labels stay.

    Exit code 1 if some are still missing.

    Example: `behavior-prism relocate cages /mnt/new_disk`
    """
    from .study import Study
    from .study_relocate import relocate_videos

    result = relocate_videos(Study.open(study), roots, dry_run=dry_run)
    for name, path in result.found.items():
        say(f"{name}: {path}")
    for note in result.notes:
        notice(note)
    if not (result.found or result.missing):
        say("nothing was missing")
    list_failures(
        [(name, f"{path}: not found") for name, path in result.missing], len(result.found) + len(result.missing)
    )


def status(study: StudyFolder, as_json: AsJson = False) -> None:
    """What of a study is there and what is missing, recording by recording.

    Exit code 1 if a video or its tracks are missing or a video changed.

    Example: `behavior-prism status cages`
    """
    from .study import Study
    from .study_status import study_status

    found = study_status(Study.open(study))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        _print(found)
    if not found.good:
        raise typer.Exit(1)


def _print(found: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    from .datasets.check_report import counted

    overall = found.overall()
    if found.recordings:
        view = Table(title=Text(found.name), title_justify="left", header_style="bold")
        for column in ("recording", "video", "tracks", "bouts", "scored", "features", "predictions", "group"):
            view.add_column(
                column, justify="right" if column in ("bouts", "scored", "features", "predictions") else "left"
            )
        for r in found.recordings:
            more = [f"{n} {what}" for n, what in ((r.unfinished, "unfinished"), (r.stale, "of another video")) if n]
            view.add_row(
                Text(r.recording),
                Text(r.video, "" if r.video == "found" else "bold red"),
                Text(r.tracks or "-", "bold red" if r.tracks == "missing" else ""),
                str(r.bouts or "-"),
                "-" if r.scored is None else f"{r.scored:.0%}",
                ", ".join([str(r.features or "-"), *more]),
                str(r.predictions or "-"),
                Text(r.group),
            )
        out_console.print(view)
    many = {name: counted(overall[f"{name}s"], name) for name in ("recording", "group", "animal")}
    say(
        f"{found.name}: {many['recording']} in {many['group']}, {many['animal']}, "
        f"{counted(overall['behaviors'], 'behaviour')}; labels for {overall['with_labels']}, "
        f"features for {overall['with_features']}, predictions for {overall['with_predictions']}"
    )
    for note in found.notes:
        notice(note)
    if overall["missing"]:
        notice(f"{overall['missing']} missing: behavior-prism relocate STUDY FOLDER finds what was moved")
