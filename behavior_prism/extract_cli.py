"""``behavior-prism extract``: recordings, folders or a study to feature stores, here or on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Overwrite, notice, say
from .extract_options import (
    named_option,
    parse_batch,
    parse_crops,
    parse_frames,
    parse_grid,
    parse_regions,
    refuse_together,
    with_option_names,
)
from .extract_report import dry_run as tell_plan
from .extract_report import report

if TYPE_CHECKING:
    from behavior_prism.encoder import LoadedEncoder

    from .encoder_source import EncoderSource
    from .extraction_jobs import ExtractionSettings, Job
    from .extraction_run import ExtractionResult, Part
    from .slurm_script import SlurmOptions
    from .study import Study

_WHAT, _CUT, _WHO, _WHERE, _SLURM = "What is read", "How it is cut", "Whose features", "Where it runs", "SLURM"


def extract(
    videos: Annotated[
        list[Path],
        typer.Argument(help="Videos, folders, patterns such as 'raw/**/*.mp4', or one study."),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for NAME.features.zarr; a study has its own place.")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="tiny, videoprism-base, ..., a weights file, or OWNER/REPO of the Hub. [tiny]")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="auto, random, or a file. [auto]")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    int8: Annotated[bool, typer.Option("--int8", help="Linear layers in int8: two to three times as fast.")] = False,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the layers (a minute at the start).")] = False,
    length: Annotated[
        int | None, typer.Option(help="Sampled frames in a window. [the encoder's]", rich_help_panel=_CUT)
    ] = None,
    step: Annotated[int | None, typer.Option(help="Every which frame.", rich_help_panel=_CUT)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Instead of --step: about so many frames a second. [30]", rich_help_panel=_CUT)
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Sampled frames between windows. [half a window]", rich_help_panel=_CUT)
    ] = None,
    grid: Annotated[
        str | None, typer.Option(help="Rows x columns of tokens to keep. [4x4]", rich_help_panel=_CUT)
    ] = None,
    clip_stride: Annotated[
        int | None, typer.Option(help="Sampled frames between clips. [a window]", rich_help_panel=_CUT)
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="view: the whole picture, or its regions. crop: each animal's own crop. roi: what each animal "
            "covers of the whole picture's tokens. [view]",
            rich_help_panel=_WHO,
        ),
    ] = None,
    tracks: Annotated[
        str, typer.Option(help="Pose file; {stem} stands for the video's name.", rich_help_panel=_WHO)
    ] = "",
    individual: Annotated[
        list[str] | None, typer.Option(help="An animal of the tracks, or a pair 'a|b'; repeat.", rich_help_panel=_WHO)
    ] = None,
    crop: Annotated[float | None, typer.Option(help="Side of a crop in body lengths.", rich_help_panel=_WHO)] = None,
    crop_pixels: Annotated[float | None, typer.Option(help="Instead: in pixels.", rich_help_panel=_WHO)] = None,
    body: Annotated[
        str | None, typer.Option(help="TAIL,HEAD: whose distance is the body length.", rich_help_panel=_WHO)
    ] = None,
    up: Annotated[str | None, typer.Option(help="TAIL,HEAD: crops are turned head up.", rich_help_panel=_WHO)] = None,
    smooth: Annotated[float, typer.Option(help="Smooth the path by so many seconds.", rich_help_panel=_WHO)] = 0.0,
    region: Annotated[
        list[str] | None, typer.Option(help="NAME=X,Y,WIDTH,HEIGHT; repeat for several.", rich_help_panel=_WHO)
    ] = None,
    arena: Annotated[
        Path | None, typer.Option(help="Instead: a file of zones (.json), as regions.", rich_help_panel=_WHO)
    ] = None,
    frames: Annotated[str | None, typer.Option(help="START:STOP, half-open.", rich_help_panel=_WHAT)] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second of what is no video file.", rich_help_panel=_WHAT)
    ] = None,
    allow_cut_short: Annotated[
        bool, typer.Option(help="Use files that hold fewer frames than they promise.", rich_help_panel=_WHAT)
    ] = False,
    max_undecodable: Annotated[
        float | None, typer.Option(help="Share of frames that may be damaged. [0.01]", rich_help_panel=_WHAT)
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A recording of the study; repeat.", rich_help_panel=_WHAT)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.", rich_help_panel=_WHERE)] = "auto",
    batch: Annotated[
        str | None, typer.Option(help="FRAMES,WINDOWS at once. [what memory takes]", rich_help_panel=_WHERE)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Cores for the encoder.", rich_help_panel=_WHERE)] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="local, local:N workers, slurm, or a dask scheduler's address.", rich_help_panel=_WHERE),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="I/N: only this part of the work, for array jobs.", rich_help_panel=_WHERE)
    ] = None,
    slurm_script: Annotated[
        Path | None, typer.Option(help="Write an array job for sbatch and stop.", rich_help_panel=_SLURM)
    ] = None,
    slurm_parts: Annotated[
        int, typer.Option(help="Into how many parts the array cuts the work.", rich_help_panel=_SLURM)
    ] = 16,
    slurm_jobs: Annotated[int, typer.Option(help="Jobs at the same time.", rich_help_panel=_SLURM)] = 4,
    slurm_gpus: Annotated[int, typer.Option(help="GPUs of a job.", rich_help_panel=_SLURM)] = 1,
    slurm_cpus: Annotated[int, typer.Option(help="Cores of a job.", rich_help_panel=_SLURM)] = 8,
    slurm_memory: Annotated[str, typer.Option(help="Of a job.", rich_help_panel=_SLURM)] = "32G",
    slurm_time: Annotated[str, typer.Option(help="Longest time of a job.", rich_help_panel=_SLURM)] = "12:00:00",
    slurm_partition: Annotated[str, typer.Option(help="Where to.", rich_help_panel=_SLURM)] = "",
    slurm_account: Annotated[str, typer.Option(help="Whose.", rich_help_panel=_SLURM)] = "",
    slurm_gpu_type: Annotated[str, typer.Option(help="As --gres names it.", rich_help_panel=_SLURM)] = "",
    slurm_setup: Annotated[
        list[str] | None, typer.Option(help="Line of shell before the work; repeat.", rich_help_panel=_SLURM)
    ] = None,
    slurm_extra: Annotated[
        list[str] | None, typer.Option(help="Another option of sbatch, such as --qos=long.", rich_help_panel=_SLURM)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, how long it takes and how large it gets.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: what became of it, on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn videos into frozen features, once. Run it again and it goes on where it stopped; what is there stays.

    Exit code 1 if some recordings failed; they are listed, the others are done.

    Example: `behavior-prism extract 'raw/*.mp4' --out features`, or `behavior-prism extract my_study --dry-run`
    """
    from .extraction_jobs import check_settings
    from .extraction_run import parse_part
    from .slurm_script import SlurmOptions
    from .study_add import expand_videos
    from .study_work import study_among

    options = with_option_names(
        SlurmOptions,
        jobs=slurm_jobs,
        gpus=slurm_gpus,
        cpus=slurm_cpus,
        memory=slurm_memory,
        time=slurm_time,
        partition=slurm_partition,
        account=slurm_account,
        gpu_type=slurm_gpu_type,
        setup=slurm_setup or (),
        extra=slurm_extra or (),
    )
    part = named_option("--shard", parse_part, shard) if shard is not None else None
    refuse_together(
        {"--cluster": cluster, "--shard": shard, "--slurm-script": slurm_script},
        {"--shard": shard, "--overwrite": overwrite or None},
        {"--cluster": cluster, "--overwrite": overwrite or None},
        {"--region": region, "--arena": arena},
        {"--crop": crop, "--crop-pixels": crop_pixels},
    )
    study = study_among(videos)
    cells = _encoder_cells(study, encoder, weights, int8)
    encoder_source = _source(cells, dtype, compile_, device)
    given = {
        "length": length,
        "step": step,
        "rate": rate,
        "stride": stride,
        "grid": None if grid is None else parse_grid(grid),
        "individual_source": source,
        "clip_stride": clip_stride,
        "individuals": tuple(individual) if individual else None,
        "crops": parse_crops(crop, crop_pixels, body, up, smooth),
        "batch": None if batch is None else parse_batch(batch),
        "max_undecodable": max_undecodable,
    }
    regions = parse_regions(region or [], arena)
    of_files = {"regions": regions, "frames": parse_frames(frames), "fps": fps, "allow_cut_short": allow_cut_short}
    _check_places(study, out, tracks, of_files, only)
    with_option_names(check_settings, given)
    if study is None and not tracks:
        if source == "roi" and not regions:
            raise ValueError("--source roi: expected --tracks, --region or --arena to say who is where, got none")
        if source == "crop" or (source is None and (given["individuals"] or given["crops"])):
            what = "--source crop" if source else "--individual" if given["individuals"] else "--crop"
            raise ValueError(f"{what}: expected --tracks to say who is where, got none")
    if slurm_script is not None:
        with_option_names(_write_script, slurm_script, slurm_parts, options, overwrite, dry_run)
        return
    paths = [] if study is not None else expand_videos(videos)  # before the encoder is loaded, which takes a while
    if threads is not None:
        _set_threads(threads)
    # a plan needs the sizes only: no weights are fetched for it
    known = not (dry_run and cells["weights"] == "auto" and _must_be_fetched(cells["name"]))
    here = encoder_source if known else replace(encoder_source, weights="random")
    if cluster is not None and not dry_run:
        here = replace(here, device="cpu")  # the GPUs are the workers'
    loaded = with_option_names(here.load)
    if loaded.notice and known:
        notice(loaded.notice)
    settings = _settings(loaded, study, given)
    jobs = _jobs(paths, out, settings, study, tracks, of_files, only)
    if dry_run:
        with_option_names(tell_plan, jobs, known, cluster, options, as_json)
        return
    result = with_option_names(_run, jobs, encoder_source, cluster, options, part, overwrite, quiet or as_json, threads)
    report(result, as_json, quiet)


# -- what was asked for


def _encoder_cells(study: Study | None, encoder: str | None, weights: str | None, int8: bool) -> dict[str, Any]:
    cells: dict[str, Any] = {"name": "tiny", "weights": "auto", "int8": False}
    if study is not None and encoder is None:
        cells |= study.settings.encoder
    given = {"name": encoder, "weights": weights, "int8": int8 or None}
    return cells | {k: v for k, v in given.items() if v is not None}


def _source(cells: Mapping[str, Any], dtype: str, compiled: bool, device: str) -> EncoderSource:
    from .encoder_source import EncoderSource

    if dtype not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"--dtype: expected float32, bfloat16 or float16, got {dtype!r}")
    return EncoderSource(
        name=cells["name"],
        weights=cells["weights"],
        int8=cells["int8"],
        dtype=dtype,
        compile=compiled,
        device=device,
    )


def _must_be_fetched(name: str) -> bool:
    from .encoder import find_release
    from .encoder.hub import find_weights

    release = None if "/" in name or Path(name).exists() else find_release(name)
    return release is not None and find_weights(release) is None


def _check_places(
    study: Study | None, out: Path | None, tracks: str, of_files: Mapping[str, Any], only: Sequence[str] | None
) -> None:
    if study is None:
        if out is None:
            raise ValueError("--out: expected a folder for the features, got none (only a study has its own place)")
        if only:
            raise ValueError("--only: expected a study, got files")
        return
    given = {"--out": out, "--tracks": tracks, "--region or --arena": of_files["regions"]}
    given |= {"--frames": of_files["frames"], "--fps": of_files["fps"]}
    given |= {"--allow-cut-short": of_files["allow_cut_short"]}
    for option, value in given.items():
        if value:
            raise ValueError(f"{option}: expected none for a study, which says that itself, got {value}")


def _settings(loaded: LoadedEncoder, study: Study | None, given: Mapping[str, Any]) -> ExtractionSettings:
    from .extraction_jobs import ExtractionSettings, settings_of_study

    said = {k: v for k, v in given.items() if v is not None}
    if study is not None:
        return with_option_names(settings_of_study, study, loaded, **said)
    if "individual_source" not in said and ("crops" in said or "individuals" in said):
        said["individual_source"] = "crop"
    return with_option_names(ExtractionSettings, encoder=loaded, **said)


def _jobs(
    paths: Sequence[Path],
    out: Path | None,
    settings: ExtractionSettings,
    study: Study | None,
    tracks: str,
    of_files: dict[str, Any],
    only: Sequence[str] | None,
) -> list[Job]:
    from .extraction_jobs import file_jobs, study_jobs

    if study is not None:
        return study_jobs(study, settings, only=only or ())
    assert out is not None
    return file_jobs(paths, out, settings, tracks=tracks, **of_files)


def _set_threads(threads: int) -> None:
    import torch

    if threads < 1:
        raise ValueError(f"--threads: expected a whole number from 1 on, got {threads}")
    torch.set_num_threads(threads)


def _write_script(path: Path, parts: int, options: SlurmOptions, overwrite: bool, dry_run: bool) -> None:
    from .slurm_script import slurm_script, write_slurm_script

    words = [w for k, w in enumerate(sys.argv[1:]) if not _of_script(sys.argv[1:], k)]
    if dry_run:
        say(slurm_script(words, parts, options))
        return
    say(str(write_slurm_script(path, words, parts, options, overwrite=overwrite)))
    say(f"Submit it with: sbatch {path}")


def _of_script(words: Sequence[str], k: int) -> bool:
    """Whether a word of the command line is about the script itself and has no place in it."""

    def is_one(word: str) -> bool:
        return word.startswith("--slurm-") or word in ("--overwrite", "--dry-run")

    takes_value = k > 0 and words[k - 1].startswith("--slurm-") and "=" not in words[k - 1]
    return is_one(words[k]) or takes_value


# -- what comes of it


def _run(
    jobs: Sequence[Job],
    source: EncoderSource,
    cluster: str | None,
    options: SlurmOptions,
    part: Part | None,
    overwrite: bool,
    quiet: bool,
    threads: int | None,
) -> ExtractionResult:
    from .extraction_progress import watching
    from .extraction_run import run_jobs

    with watching(jobs, quiet=quiet) as watcher:
        if cluster is None:
            return run_jobs(jobs, part=part, overwrite=overwrite, watcher=watcher)
        from .cluster import run_on_cluster

        return run_on_cluster(jobs, source, cluster, slurm=options, watcher=watcher, threads=threads)
