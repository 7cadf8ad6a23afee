"""The command line: thin commands over the public functions.

Exit codes: 0 done; 1 some items of a batch failed (listed); 2 bad input, said in one line; 130 interrupted.
Nothing heavy is imported until a command needs it, so that ``--help`` is instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .check_cli import check
from .console import (
    MissingExtra,
    OneLineErrors,
    Overwrite,
    finish,
    list_failures,
    named_as_options,
    notice,
    print_table,
    progress_bars,
    say,
)
from .labels_cli import app as labels_app
from .show_cli import show
from .study_cli import add, init, relocate, status
from .weights_cli import app as weights_app

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Animal behaviour from lab video: VideoPrism features once, classifiers in seconds.\n\n"
    "Try it: `behavior-prism demo`.",
)
app.add_typer(weights_app, name="weights")
app.add_typer(labels_app, name="labels")
app.command()(check)
app.command()(show)
for _command in (init, add, status, relocate):
    app.command()(_command)


@app.callback()
def _options(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from behavior_prism import __version__

        say(__version__)
        raise typer.Exit()


def _parse_grid(text: str) -> tuple[int, int]:
    try:
        rows, cols = (int(n) for n in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--grid: expected ROWSxCOLS such as 4x4, got {text!r}") from None
    return rows, cols


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


def _check_positive(**options: int | None) -> None:
    for name, value in options.items():
        if value is not None and value < 1:
            raise ValueError(f"--{name}: expected a whole number from 1 on, got {value}")


def _parse_regions(texts: list[str]) -> dict[str, tuple[int, int, int, int]]:
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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("demo_output"),
    arena: Annotated[str, typer.Option(help="mouse or fly.")] = "mouse",
    seconds: Annotated[float, typer.Option(help="Length of each of the six recordings.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulator.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Simulate six recordings, learn from four of them, predict the other two, and report.

    Example: `behavior-prism demo --arena fly --out fly_demo`
    """
    from behavior_prism.demo import run_demo

    with progress_bars() as bar:
        result = run_demo(out, arena=arena, seconds=seconds, seed=seed, overwrite=overwrite, say=notice, progress=bar)
    print_table(result.scores, f"Two recordings that the probe has not seen ({result.seconds:.0f} s for everything)")
    for path in result.outputs:
        say(str(path))
    say(f"See it in napari: behavior-prism view {out}")


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder for the recordings.")],
    arena: Annotated[str, typer.Option(help="mouse or fly.")] = "mouse",
    recordings: Annotated[int, typer.Option(help="How many.", min=1)] = 6,
    seconds: Annotated[float, typer.Option(help="Length of each.")] = 20.0,
    animals: Annotated[int, typer.Option(help="1 or 2 per recording.")] = 2,
    size: Annotated[int, typer.Option(help="Side of the picture in pixels.")] = 192,
    seed: Annotated[int, typer.Option(help="Seed of the first; the others follow.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make recordings with exact truth: video, tracks, labels and captions.

    Example: `behavior-prism simulate recordings --arena fly --recordings 4`
    """
    from behavior_prism.datasets import simulate_recording, write_recording

    with progress_bars() as bar:
        report = bar("recordings")
        report(0, recordings)
        for k in range(recordings):
            one = simulate_recording(arena, seconds=seconds, size=(size, size), num_animals=animals, seed=seed + k)
            paths = write_recording(one, out, overwrite=overwrite)
            report(k + 1, recordings)
            say(str(paths["video"]))


@app.command()
def extract(
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    out: Annotated[Path, typer.Option(help="Folder for the feature stores.")],
    encoder: Annotated[str, typer.Option(help="tiny, videoprism-base, ..., or a weights file.")] = "tiny",
    weights: Annotated[
        str, typer.Option(help="auto: the released ones, where there are any; random; or a file for a named encoder.")
    ] = "auto",
    int8: Annotated[bool, typer.Option("--int8", help="Faster on a CPU, less exact: see weights verify.")] = False,
    length: Annotated[int | None, typer.Option(help="Frames in a window (the encoder's own by default).")] = None,
    step: Annotated[int | None, typer.Option(help="Every which frame (about 30 a second by default).")] = None,
    rate: Annotated[float | None, typer.Option(help="Instead of --step: about so many frames a second.")] = None,
    stride: Annotated[
        int | None, typer.Option(help="Sampled frames between windows (half a window by default).")
    ] = None,
    grid: Annotated[str, typer.Option(help="Rows x columns of tokens to keep.")] = "4x4",
    region: Annotated[list[str] | None, typer.Option(help="NAME=X,Y,WIDTH,HEIGHT; repeat for several.")] = None,
    frames: Annotated[str | None, typer.Option(help="START:STOP, half-open.")] = None,
    allow_cut_short: Annotated[bool, typer.Option(help="Use files that hold fewer frames than they promise.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn videos into frozen features, once. An interrupted run goes on where it stopped.

    Example: `behavior-prism extract *.mp4 --out features`
    """
    from behavior_prism.datasets import WindowSpec
    from behavior_prism.encoder import PRESETS, load_encoder
    from behavior_prism.workflow import extract_files, plan_extraction

    def window(fps: float) -> WindowSpec:
        frames_a_window = loaded.num_frames if length is None else length
        spec = WindowSpec.for_rate(fps, length=frames_a_window, rate=30.0 if rate is None else rate)
        return WindowSpec(
            length=spec.length,
            step=spec.step if step is None else step,
            stride=spec.stride if stride is None else stride,
        )

    _check_positive(length=length, step=step, stride=stride)
    if rate is not None and step is not None:
        raise ValueError("--rate and --step: expected one of them, got both")
    if rate is not None and not 0 < rate < float("inf"):
        raise ValueError(f"--rate: expected a positive number of frames a second, got {rate}")
    rows_cols, boxes, part = _parse_grid(grid), _parse_regions(region or []), _parse_frames(frames)
    # a plan needs the sizes only: no weights are fetched for it
    plan_only = dry_run and weights == "auto" and encoder.removeprefix("videoprism-") in PRESETS
    loaded = load_encoder(encoder, weights="random" if plan_only else weights, int8=int8)
    if loaded.notice and not plan_only:
        notice(loaded.notice)
    if dry_run:
        plan, failed = plan_extraction(
            videos, loaded, window, grid=rows_cols, regions=boxes, frames=part, allow_cut_short=allow_cut_short
        )
        print_table(plan, "Would extract")
        list_failures([(item, named_as_options(reason)) for item, reason in failed], len(videos))
        return
    with progress_bars() as bar:
        result = extract_files(
            videos,
            out,
            loaded,
            window=window,
            grid=rows_cols,
            regions=boxes,
            frames=part,
            allow_cut_short=allow_cut_short,
            overwrite=overwrite,
            progress=bar,
        )
    result.failed[:] = [(item, named_as_options(reason)) for item, reason in result.failed]
    finish(result)


@app.command()
def train(
    features: Annotated[list[Path], typer.Argument(help="Feature stores (.features.zarr).")],
    labels: Annotated[list[Path], typer.Option(help="Label file of any tool (`labels formats`); repeat.")],
    out: Annotated[Path, typer.Option(help="Folder of the probe.")],
    behavior: Annotated[list[str] | None, typer.Option(help="A behaviour under study; repeat. All by default.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A labelled behaviour to leave out; repeat.")] = None,
    context: Annotated[int, typer.Option(help="Sampled frames to each side that count.", min=0)] = 4,
    overwrite: Overwrite = False,
) -> None:
    """Fit a linear probe and score it on recordings held out of the fit.

    Example: `behavior-prism train features/*.zarr --labels a.bouts.csv --labels b.bouts.csv --out probe`
    """
    from behavior_prism.workflow import train_probe

    card, scores, notes = train_probe(
        features, labels, out, behaviors=behavior, ignore=ignore or (), context=context, overwrite=overwrite
    )
    for note in notes:
        notice(note)
    if scores is not None:
        print_table(scores, f"Held out by recording ({len(card['recordings'])} recordings, {card['frames']} frames)")
    say(str(out))


@app.command()
def predict(
    probe: Annotated[Path, typer.Argument(help="Folder of a probe.")],
    features: Annotated[list[Path], typer.Argument(help="Feature stores (.features.zarr).")],
    out: Annotated[Path, typer.Option(help="Folder for predictions and bouts.")],
    overwrite: Overwrite = False,
) -> None:
    """Score every frame of recordings and write their bouts.

    Example: `behavior-prism predict probe features/new.features.zarr --out predictions`
    """
    from behavior_prism.workflow import predict_files

    finish(predict_files(probe, features, out, overwrite=overwrite))


@app.command()
def report(
    predictions: Annotated[list[Path], typer.Argument(help="Prediction stores (.predictions.zarr).")],
    out: Annotated[Path, typer.Option(help="The .html file to make.")],
    labels: Annotated[list[Path] | None, typer.Option(help="Label file to judge by; repeat.")] = None,
    features: Annotated[list[Path] | None, typer.Option(help="Feature store to map; repeat for several.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A labelled behaviour to leave out; repeat.")] = None,
    title: Annotated[str, typer.Option(help="Heading.")] = "Behaviour report",
    overwrite: Overwrite = False,
) -> None:
    """Write one HTML page: scores against human labels, ethograms, time budget, maps.

    Example: `behavior-prism report predictions/*.zarr --labels truth.bouts.csv --out report.html`
    """
    from behavior_prism.reporting import report_files

    path, scores, notes = report_files(
        predictions,
        out,
        labels=labels or (),
        features=features or (),
        ignore=ignore or (),
        title=title,
        overwrite=overwrite,
    )
    for note in notes:
        notice(note)
    if scores is not None:
        print_table(scores)
    say(str(path))


@app.command()
def view(
    path: Annotated[Path, typer.Argument(help="A demo or prediction folder, a .predictions.zarr, or a video.")],
) -> None:
    """Open video and ethogram side by side in napari.

    Example: `behavior-prism view demo_output`
    """
    try:
        import napari  # noqa: F401

        from behavior_prism.napari_plugin import open_viewer
    except ImportError as error:
        raise MissingExtra(f"napari is not installed ({error}): pip install 'behavior-prism[napari]'") from None
    open_viewer(path)


@app.command()
def info() -> None:
    """Print versions for a bug report.

    Example: `behavior-prism info`
    """
    from behavior_prism.info import collect_info

    for name, value in collect_info().items():
        say(f"{name:<16} {value}")
