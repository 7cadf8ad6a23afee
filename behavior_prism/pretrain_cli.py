"""``behavior-prism pretrain``: VideoPrism's stages, shards to feed them, and how a run stands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import err_console, list_failures, notice, out_console, progress_bars, say

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


Corpora = Annotated[
    list[str],
    typer.Option("--corpus", help="PLACE or PLACE=WEIGHT; repeat. A study, videos, shards, or simulator."),
]
Out = Annotated[Path, typer.Option(help="Folder of the run; a run that is there goes on.")]
Steps = Annotated[int | None, typer.Option(help="In place of the recipe's.", min=1)]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Clips of a step, over all processes.", min=1)]
Chunk = Annotated[int | None, typer.Option(help="Clips computed at once, where memory is short.", min=1)]
Seed = Annotated[int | None, typer.Option(help="Everything drawn follows from it.", min=0)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda ...; a GPU by default where there is one.")]
Workers = Annotated[int | None, typer.Option(help="Processes that make batches.", min=0)]
Evaluate = Annotated[str | None, typer.Option(help="A corpus to judge by.")]
EvalEvery = Annotated[int | None, typer.Option(help="Judge every so many steps; 0 for at the end only.", min=0)]
JudgeLabels = Annotated[
    list[Path] | None,
    typer.Option("--labels", help="Label file to judge features by, of --evaluate or else of the corpus; repeat."),
]
HeldOut = Annotated[str, typer.Option(help="Labelled recordings to judge by, between commas; a quarter by default.")]
TokenizerFile = Annotated[
    Path | None, typer.Option(help="A SentencePiece model; by default the one beside the weights.")
]


@app.command()
def contrastive(
    corpus: Corpora,
    out: Out,
    recipe: Annotated[str, typer.Option(help="tiny, base, giant, smoke, or a recipe's full name.")] = "tiny",
    init: Annotated[Path | None, typer.Option(help="Weights to start from; or an image model's.")] = None,
    image_mean: Annotated[str, typer.Option(help="How its pixels were normalised, as 0.5,0.5,0.5.")] = "",
    image_std: Annotated[str, typer.Option(help="The same.")] = "",
    tokenizer: TokenizerFile = None,
    steps: Steps = None,
    batch: BatchSize = None,
    chunk: Chunk = None,
    seed: Seed = None,
    evaluate: Evaluate = None,
    eval_every: EvalEvery = None,
    labels: JudgeLabels = None,
    held_out: HeldOut = "",
    workers: Workers = None,
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Stage 1: clips and their captions close to each other, all else apart.

    Example: `behavior-prism pretrain contrastive --recipe smoke --corpus simulator --out run`
    """
    given = _given(locals())
    _run("contrastive", recipe, out, dry_run, **{**given, **{n: _colors(n, given[n]) for n in _IMAGE}})


@app.command()
def masked(
    corpus: Corpora,
    out: Out,
    teacher: Annotated[Path | None, typer.Option(help="Weights of stage 1.")] = None,
    recipe: Annotated[str, typer.Option(help="tiny, base, giant, smoke, or a recipe's full name.")] = "tiny",
    steps: Steps = None,
    batch: BatchSize = None,
    chunk: Chunk = None,
    seed: Seed = None,
    evaluate: Evaluate = None,
    eval_every: EvalEvery = None,
    labels: JudgeLabels = None,
    held_out: HeldOut = "",
    workers: Workers = None,
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Stage 2: masked video modelling with a frozen teacher of stage 1.

    Example: `behavior-prism pretrain masked --corpus simulator --teacher run1/weights.safetensors --out run2`
    """
    _run("masked", recipe, out, dry_run, **_given(locals()))


@app.command()
def text(
    corpus: Corpora,
    out: Out,
    stage_1: Annotated[Path | None, typer.Option("--stage-1", help="Weights of stage 1.")] = None,
    encoder: Annotated[Path | None, typer.Option(help="Weights of stage 2; stage 1's encoder by default.")] = None,
    recipe: Annotated[str, typer.Option(help="tiny, base, giant, smoke, or a recipe's full name.")] = "tiny",
    tokenizer: TokenizerFile = None,
    steps: Steps = None,
    batch: BatchSize = None,
    chunk: Chunk = None,
    seed: Seed = None,
    evaluate: Evaluate = None,
    eval_every: EvalEvery = None,
    labels: JudgeLabels = None,
    held_out: HeldOut = "",
    workers: Workers = None,
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Text tuning: texts brought to the encoder of stage 2, which stays as it is.

    Example: `behavior-prism pretrain text --corpus simulator --stage-1 a.safetensors --encoder b.safetensors --out c`
    """
    _run("text", recipe, out, dry_run, **_given(locals()))


@app.command()
def adapt(
    corpus: Corpora,
    out: Out,
    weights: Annotated[Path | None, typer.Option(help="Weights to adapt.")] = None,
    recipe: Annotated[str, typer.Option(help="lab_adapt.")] = "lab_adapt",
    steps: Steps = None,
    batch: BatchSize = None,
    chunk: Chunk = None,
    seed: Seed = None,
    evaluate: Evaluate = None,
    eval_every: EvalEvery = None,
    labels: JudgeLabels = None,
    held_out: HeldOut = "",
    workers: Workers = None,
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Adapt an encoder to your own recordings, without labels.

    Example: `behavior-prism pretrain adapt --corpus cages --weights base.safetensors --out adapted`
    """
    _run("adapt", recipe, out, dry_run, **_given(locals()))


@app.command()
def finetune(
    corpus: Corpora,
    out: Out,
    labels: Annotated[list[Path] | None, typer.Option(help="Label file of any tool; repeat.")] = None,
    held_out: HeldOut = "",
    eval_every: EvalEvery = None,
    weights: Annotated[Path | None, typer.Option(help="Weights to fine-tune.")] = None,
    recipe: Annotated[str, typer.Option(help="lab_finetune.")] = "lab_finetune",
    steps: Steps = None,
    batch: BatchSize = None,
    chunk: Chunk = None,
    seed: Seed = None,
    workers: Workers = None,
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Fine-tune an encoder and a head on labelled recordings; the score is of recordings that it has not seen.

    Example: `behavior-prism pretrain finetune --corpus cages --labels a.csv --weights base.safetensors --out tuned`
    """
    _run("finetune", recipe, out, dry_run, **_given(locals()))


_IMAGE = ("image_mean", "image_std")


def _colors(name: str, text: str) -> tuple[float, ...] | None:
    """Three numbers between commas; none if nothing is given."""
    try:
        return tuple(float(part) for part in text.split(",")) if text else None
    except ValueError:
        raise ValueError(f"{name}: expected three numbers as 0.5,0.5,0.5, got {text!r}") from None


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Options of a command, as a run takes them."""
    given = {name: value for name, value in values.items() if name not in ("recipe", "out", "dry_run")}
    names = (name.strip() for name in given["held_out"].split(","))
    return {**given, "labels": tuple(given["labels"] or ()), "held_out": tuple(filter(None, names))}


def _run(stage: Any, recipe: str, out: Path, dry_run: bool, corpus: list[str], **given: Any) -> None:
    from .encoder.pretraining.trainer import EXIT_INTERRUPTED, TrainingDiverged
    from .pretrain import WEIGHTS, PretrainOptions, plan_rows, pretrain
    from .pretrain_sources import CorpusPlace

    options = PretrainOptions(corpora=tuple(CorpusPlace.parse(text) for text in corpus), **given)
    if dry_run:
        rows, notes = plan_rows(stage, recipe, out, options)
        _print_rows("Would train", ("what", "value"), rows)
        for note in notes:
            notice(note)
        return
    first = os.environ.get("RANK", "0") == "0"  # under torchrun the first process speaks for all
    with _live_numbers(shown=first) as progress:
        try:
            result = pretrain(stage, recipe, out, options, progress=progress, tell=notice)
        except TrainingDiverged as error:
            raise ValueError(str(error)) from None
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ValueError(
                f"{out}: a process that makes batches was ended from outside, perhaps because memory ran out "
                f"({' '.join(str(error).split())}); the same command goes on, with fewer --workers if it comes again"
            ) from None
    if result.interrupted:
        if first:
            notice(f"interrupted at step {result.step}; the same command goes on")
        raise typer.Exit(EXIT_INTERRUPTED)
    if not first:
        return
    scores = [(name, f"{value:.4g}") for name, value in result.metrics.items() if "/" in name and value is not None]
    if scores:
        _print_rows(f"Step {result.step}", ("what", "value"), scores)
    say(str(out / WEIGHTS))


@contextmanager
def _live_numbers(shown: bool) -> Iterator[Any]:
    """A bar with the numbers of the latest step beside it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=err_console, disable=not shown) as bars:
        task = bars.add_task("", total=None)

        def _show(step: int, steps: int, numbers: dict[str, float]) -> None:
            parts = [f"{name} {value:.4g}" for name, value in numbers.items() if name in ("loss", "learning_rate")]
            seconds = numbers.get("seconds") or 0
            if seconds:
                parts.append(f"waiting {numbers.get('seconds_waited', 0) / seconds:.0%}")
            bars.update(task, completed=step, total=steps, description=", ".join(parts))

        yield _show


@app.command()
def status(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    last: Annotated[int, typer.Option(help="Rows of the table.", min=1)] = 8,
    as_json: AsJson = False,
) -> None:
    """How a run stands: its state and its last numbers, also while it goes on.

    Example: `behavior-prism pretrain status run`
    """
    from .pretrain_status import cell_text, run_status

    found = run_status(run, last)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
        return
    say(f"{run}: {found.summary}")
    if found.rows:
        _print_rows("", tuple(found.columns), [tuple(row) for row in found.table()])
    if found.scores:
        rows = [(name, cell_text(value)) for name, value in found.scores.items()]
        _print_rows(f"Judged at step {found.scored_at}", ("what", "value"), rows)
    for note in found.notes:
        notice(note)
