"""The command line: thin commands over the public functions.

Exit codes: 0 done; 1 some items of a batch failed (listed); 2 bad input, said in one line; 130 interrupted.
Nothing heavy is imported until a command needs it, so that ``--help`` is instant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

if TYPE_CHECKING:
    import pandas as pd

    from behavior_prism.workflow import BatchResult

out_console = Console()
err_console = Console(stderr=True)


class _OneLineErrors(TyperGroup):
    """Turns bad input into one line and exit code 2; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err_console.print("interrupted; the same command goes on where it stopped", style="yellow", markup=False)
            raise typer.Exit(130) from None
        except (ValueError, OSError, _MissingExtra) as error:
            if ctx.params.get("traceback"):
                raise
            _say_error(" ".join(str(error).split()) or type(error).__name__)
            raise typer.Exit(2) from None


class _MissingExtra(Exception):
    """An optional part is not installed."""


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Animal behaviour from lab video: VideoPrism features once, classifiers in seconds.\n\n"
    "Try it: `behavior-prism demo`.",
)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]


def _say_error(text: str) -> None:
    err_console.print(f"error: {text}", style="bold red", markup=False, highlight=False, soft_wrap=True)


def _say(text: str, style: str | None = None) -> None:
    out_console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _notice(text: str) -> None:
    err_console.print(f"note: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)


@app.callback()
def _options(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from behavior_prism import __version__

        _say(__version__)
        raise typer.Exit()


@contextmanager
def _progress() -> Iterator[Any]:
    """Gives a function that makes one bar per item: ``bar(name)(done, of)``."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # names of recordings may hold brackets
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err_console) as bars:

        def bar(name: str) -> Any:
            task = bars.add_task(name, total=None)
            return lambda done, of: bars.update(task, completed=done, total=of)

        yield bar


def _finish(result: BatchResult) -> None:
    for note in result.notes:
        _notice(note)
    for path in result.done:
        _say(str(path))
    _list_failures(result.failed, len(result.failed) + len(result.done))


def _list_failures(failed: list[tuple[str, str]], of: int) -> None:
    if failed:
        err_console.print(f"{len(failed)} of {of} failed:", style="bold red")
        for item, reason in failed:
            _say_error(reason if item in reason else f"{item}: {reason}")
        raise typer.Exit(1)


def print_table(table: pd.DataFrame, title: str = "") -> None:
    """Print a table of numbers.

    Parameters
    ----------
    table : pandas.DataFrame
        Shown with its index.
    title : str
        Written above.
    """
    from rich.table import Table
    from rich.text import Text

    from behavior_prism.analysis.report import format_number

    view = Table(title=Text(title), title_justify="left", header_style="bold")
    view.add_column("")
    for column in table.columns:
        short = str(column).replace("average_precision", "AP").replace("_", " ")
        view.add_column(Text(short), justify="right", no_wrap=True)
    for name, row in zip(table.index, table.to_dict("records"), strict=True):
        view.add_row(Text(str(name)), *(format_number(value) for value in row.values()))
    out_console.print(view)


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

    with _progress() as bar:
        result = run_demo(out, arena=arena, seconds=seconds, seed=seed, overwrite=overwrite, say=_notice, progress=bar)
    print_table(result.scores, f"Two recordings that the probe has not seen ({result.seconds:.0f} s in all)")
    for path in result.outputs:
        _say(str(path))
    _say(f"See it in napari: behavior-prism view {out}")


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

    with _progress() as bar:
        report = bar("recordings")
        report(0, recordings)
        for k in range(recordings):
            one = simulate_recording(arena, seconds=seconds, size=(size, size), num_animals=animals, seed=seed + k)
            paths = write_recording(one, out, overwrite=overwrite)
            report(k + 1, recordings)
            _say(str(paths["video"]))


@app.command()
def extract(
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    out: Annotated[Path, typer.Option(help="Folder for the feature stores.")],
    encoder: Annotated[str, typer.Option(help="tiny, videoprism-base, ..., or a weights file.")] = "tiny",
    weights: Annotated[
        Path | None, typer.Option(help="Weights file (.npz or .safetensors) for a named encoder.")
    ] = None,
    length: Annotated[int | None, typer.Option(help="Frames in a window (the encoder's own by default).")] = None,
    step: Annotated[int | None, typer.Option(help="Every which frame (about 30 a second by default).")] = None,
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
    from behavior_prism.encoder import load_encoder
    from behavior_prism.workflow import extract_files, plan_extraction

    def window(fps: float) -> WindowSpec:
        spec = WindowSpec.for_rate(fps, length=loaded.num_frames if length is None else length)
        return WindowSpec(
            length=spec.length,
            step=spec.step if step is None else step,
            stride=spec.stride if stride is None else stride,
        )

    _check_positive(length=length, step=step, stride=stride)
    rows_cols, boxes, part = _parse_grid(grid), _parse_regions(region or []), _parse_frames(frames)
    loaded = load_encoder(encoder, weights=weights)
    if loaded.notice:
        _notice(loaded.notice)
    if dry_run:
        plan, failed = plan_extraction(
            videos, loaded, window, grid=rows_cols, regions=boxes, frames=part, allow_cut_short=allow_cut_short
        )
        print_table(plan, "Would extract")
        _list_failures(failed, len(videos))
        return
    with _progress() as bar:
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
    _finish(result)


@app.command()
def train(
    features: Annotated[list[Path], typer.Argument(help="Feature stores (.features.zarr).")],
    labels: Annotated[list[Path], typer.Option(help="Bout table (.csv); repeat for several.")],
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
        _notice(note)
    if scores is not None:
        print_table(scores, f"Held out by recording ({len(card['recordings'])} recordings, {card['frames']} frames)")
    _say(str(out))


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

    _finish(predict_files(probe, features, out, overwrite=overwrite))


@app.command()
def report(
    predictions: Annotated[list[Path], typer.Argument(help="Prediction stores (.predictions.zarr).")],
    out: Annotated[Path, typer.Option(help="The .html file to make.")],
    labels: Annotated[list[Path] | None, typer.Option(help="Bout table to judge by; repeat for several.")] = None,
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
        _notice(note)
    if scores is not None:
        print_table(scores)
    _say(str(path))


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
        raise _MissingExtra(f"napari is not installed ({error}): pip install 'behavior-prism[napari]'") from None
    open_viewer(path)


@app.command()
def info() -> None:
    """Print versions for a bug report.

    Example: `behavior-prism info`
    """
    from behavior_prism.info import collect_info

    for name, value in collect_info().items():
        _say(f"{name:<16} {value}")
