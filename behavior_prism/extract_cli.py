"""``behavior-prism extract``: recordings, folders or a study to feature stores, here or on a cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Overwrite, list_failures, named_as_options, notice, print_table, say

if TYPE_CHECKING:
    from behavior_prism.datasets import CropSpec
    from behavior_prism.encoder import LoadedEncoder

    from .cluster_tasks import EncoderSource
    from .extraction_estimate import Estimate
    from .extraction_jobs import ExtractionSettings, Job
    from .extraction_run import ExtractionResult, Part
    from .slurm_script import SlurmOptions
    from .study import Study

_WHAT, _CUT, _WHO, _WHERE, _SLURM = "What is read", "How it is cut", "Whose features", "Where it runs", "SLURM"
# what options are called in Python, where errors about them come from
_OPTION_OF = {
    "rate and step": "--rate and --step",
    "individual_source": "--source",
    "clip_stride": "--clip-stride",
    "max_undecodable": "--max-undecodable",
    "crops: size": "--crop",
    "crops: smooth": "--smooth",
    "overwrite and part": "--overwrite and --shard",
    "parts": "--slurm-parts",
    **{name: f"--{name}" for name in ("length", "step", "stride", "rate", "grid", "batch", "device", "cluster", "fps")},
    **{
        name: f"--slurm-{name.replace('_', '-')}"
        for name in ("jobs", "gpus", "cpus", "memory", "time", "partition", "account", "gpu_type", "extra")
    },
}


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
    from .extraction_run import parse_part
    from .slurm_script import SlurmOptions
    from .study_work import study_among

    options = _named_as_options(
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
    part = _named("--shard", parse_part, shard) if shard is not None else None
    _refuse_together(
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
        "crops": _crop_spec(crop, crop_pixels, body, up, smooth),
        "batch": None if batch is None else _parse_batch(batch),
        "max_undecodable": max_undecodable,
    }
    regions = _regions(region or [], arena)
    of_files = {"regions": regions, "frames": _parse_frames(frames), "fps": fps, "allow_cut_short": allow_cut_short}
    _check_places(study, out, tracks, of_files, only)
    if source == "roi" and study is None and not tracks and not regions:
        raise ValueError("--source roi: expected --tracks, --region or --arena to say who is where, got none")
    if slurm_script is not None:
        _named_as_options(_write_script, slurm_script, slurm_parts, options, overwrite, dry_run)
        return
    if threads is not None:
        _set_threads(threads)
    # a plan needs the sizes only: no weights are fetched for it
    known = not (dry_run and cells["weights"] == "auto" and _must_be_fetched(cells["name"]))
    here = encoder_source if known else replace(encoder_source, weights="random")
    if cluster is not None and not dry_run:
        here = replace(here, device="cpu")  # the GPUs are the workers'
    loaded = _named_as_options(here.load)
    if loaded.notice and known:
        notice(loaded.notice)
    settings = _settings(loaded, study, given)
    jobs = _jobs(videos, out, settings, study, tracks, of_files, only)
    if dry_run:
        _named_as_options(_dry_run, jobs, known, cluster, options, as_json)
        return
    result = _named_as_options(_run, jobs, encoder_source, cluster, options, part, overwrite, quiet or as_json, threads)
    _report(result, as_json, quiet)


# -- what was asked for


def _named_as_options(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call something whose errors shall name options, not arguments."""
    try:
        return call(*arguments, **named)
    except ValueError as error:
        raise ValueError(_with_options(str(error))) from None


def _with_options(text: str) -> str:
    for name, option in _OPTION_OF.items():
        if text.startswith(f"{name}:"):
            return option + text.removeprefix(name)
    return text


def _named(option: str, parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def _refuse_together(*groups: Mapping[str, Any]) -> None:
    for group in groups:
        given = [name for name, value in group.items() if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: expected one of them, got {len(given)}")


def parse_grid(text: str) -> tuple[int, int]:
    """Read ``4x4``.

    Parameters
    ----------
    text : str
        Rows and columns.

    Returns
    -------
    (int, int)

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        rows, cols = (int(n) for n in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--grid: expected ROWSxCOLS such as 4x4, got {text!r}") from None
    return rows, cols


def _parse_batch(text: str) -> tuple[int, int]:
    try:
        frames, windows = (int(n) for n in text.split(","))
    except ValueError:
        raise ValueError(f"--batch: expected FRAMES,WINDOWS such as 16,4, got {text!r}") from None
    return frames, windows


def _parse_frames(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        start, stop = (int(n) for n in text.split(":"))
    except ValueError:
        raise ValueError(f"--frames: expected START:STOP such as 0:300, got {text!r}") from None
    if start < 0 or stop <= start:
        raise ValueError(f"--frames: expected START:STOP with 0 <= START < STOP, got {text!r}")
    return start, stop


def _regions(texts: Sequence[str], arena: Path | None) -> dict[str, tuple[int, int, int, int]]:
    if arena is not None:
        from .datasets import load_arena

        return load_arena(arena).regions()
    regions: dict[str, tuple[int, int, int, int]] = {}
    for text in texts:
        name, _, numbers = text.rpartition("=")
        try:
            x, y, w, h = (int(n) for n in numbers.split(","))
        except ValueError:
            raise ValueError(
                f"--region: expected NAME=X,Y,WIDTH,HEIGHT such as well1=0,0,200,200, got {text!r}"
            ) from None
        name = name or f"region{len(regions) + 1}"
        if name in regions:
            raise ValueError(f"--region: expected every name once, got {name!r} twice")
        regions[name] = (x, y, w, h)
    return regions


def _crop_spec(
    crop: float | None, pixels: float | None, body: str | None, up: str | None, smooth: float
) -> CropSpec | None:
    from .datasets import CropSpec

    size = crop if pixels is None else pixels
    if size is None:
        if body is not None or up is not None or smooth:
            raise ValueError("--body, --up and --smooth: expected --crop or --crop-pixels, got neither")
        return None
    unit = "body_lengths" if pixels is None else "pixels"
    return _named_as_options(
        CropSpec, size=size, unit=unit, body=_pair("--body", body), up=_pair("--up", up), smooth=smooth
    )


def _pair(option: str, text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    names = [n.strip() for n in text.split(",")]
    if len(names) != 2 or not all(names):
        raise ValueError(f"{option}: expected two key points such as tail_base,nose, got {text!r}")
    return names[0], names[1]


def _encoder_cells(study: Study | None, encoder: str | None, weights: str | None, int8: bool) -> dict[str, Any]:
    cells: dict[str, Any] = {"name": "tiny", "weights": "auto", "int8": False}
    if study is not None and encoder is None:
        cells |= study.settings.encoder
    given = {"name": encoder, "weights": weights, "int8": int8 or None}
    return cells | {k: v for k, v in given.items() if v is not None}


def _source(cells: Mapping[str, Any], dtype: str, compiled: bool, device: str) -> EncoderSource:
    from .cluster_tasks import EncoderSource

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
        return _named_as_options(settings_of_study, study, loaded, **said)
    if "individual_source" not in said and ("crops" in said or "individuals" in said):
        said["individual_source"] = "crop"
    return _named_as_options(ExtractionSettings, encoder=loaded, **said)


def _jobs(
    videos: Sequence[Path],
    out: Path | None,
    settings: ExtractionSettings,
    study: Study | None,
    tracks: str,
    of_files: dict[str, Any],
    only: Sequence[str] | None,
) -> list[Job]:
    from .extraction_jobs import file_jobs, study_jobs
    from .study_add import expand_videos

    if study is not None:
        return study_jobs(study, settings, only=only or ())
    assert out is not None
    return file_jobs(expand_videos(videos), out, settings, tracks=tracks, **of_files)


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


def _report(result: ExtractionResult, as_json: bool, quiet: bool) -> None:
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


def _dry_run(
    jobs: Sequence[Job],
    weights_known: bool,
    cluster: str | None,
    options: SlurmOptions,
    as_json: bool,
) -> None:
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
    if found.free_gigabytes is not None:
        say(f"{found.free_gigabytes:.1f} GB are free there")
    if found.seconds is not None and found.frames_per_second is not None:
        say(
            f"about {duration(found.seconds)} on this machine: {found.frames_per_second:.0f} sampled frames a second, "
            "measured just now on a few windows"
        )
    elif found.seconds == 0:
        say("nothing is left to compute")
