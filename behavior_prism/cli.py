"""The command line: thin commands over the public functions.

Exit codes: 0 done; 1 some items of a batch failed (listed); 2 bad input, said in one line; 130 interrupted.
Nothing heavy is imported until a command needs it, so that ``--help`` is instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .check_cli import check
from .console import (
    MissingExtra,
    OneLineErrors,
    Overwrite,
    finish,
    notice,
    print_table,
    progress_bars,
    say,
)
from .extract_cli import extract
from .features_cli import app as features_app
from .labels_cli import app as labels_app
from .pretrain_cli import app as pretrain_app
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
app.add_typer(pretrain_app, name="pretrain")
app.add_typer(features_app, name="features")
app.command()(check)
app.command()(extract)
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


Like = Annotated[Path | None, typer.Option(help="Of a study with several kinds of features: those made as this one.")]


@app.command()
def train(
    features: Annotated[list[Path], typer.Argument(help="Feature stores (.features.zarr), or a study.")],
    labels: Annotated[
        list[Path] | None, typer.Option(help="Label file of any tool (`labels formats`); repeat. A study has its own.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the probe; in a study, its name.")] = None,
    behavior: Annotated[list[str] | None, typer.Option(help="A behaviour under study; repeat. All by default.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A labelled behaviour to leave out; repeat.")] = None,
    context: Annotated[int, typer.Option(help="Sampled frames to each side that count.", min=0)] = 4,
    like: Like = None,
    overwrite: Overwrite = False,
) -> None:
    """Fit a linear probe and score it on recordings held out of the fit; in a study, on animals held out.

    Example: `behavior-prism train features/*.zarr --labels a.bouts.csv --labels b.bouts.csv --out probe`
    """
    from behavior_prism.study_work import study_among, train_on_study
    from behavior_prism.workflow import train_probe

    study = study_among(features)
    given: dict[str, Any] = {"ignore": ignore or (), "context": context, "overwrite": overwrite}
    if behavior:
        given["behaviors"] = behavior
    if study is not None:
        place, card, scores, notes = train_on_study(
            study, "probe" if out is None else str(out), like=like, labels=labels or (), **given
        )
    else:
        place = _needed("--out", out, "the folder of the probe")
        card, scores, notes = train_probe(features, _needed("--labels", labels, "label files"), place, **given)
    for note in notes:
        notice(note)
    if scores is not None:
        held = "recording" if study is None else "group of recordings"
        print_table(scores, f"Held out by {held} ({len(card['recordings'])} recordings, {card['frames']} frames)")
    say(str(place))


def _needed(option: str, value: Any, what: str) -> Any:
    if not value:
        raise ValueError(f"{option}: expected {what}, got none (only a study has its own)")
    return value


@app.command()
def predict(
    probe: Annotated[Path, typer.Argument(help="Folder of a probe, or the name of one of the study.")],
    features: Annotated[list[Path], typer.Argument(help="Feature stores (.features.zarr), or a study.")],
    out: Annotated[Path | None, typer.Option(help="Folder for predictions and bouts; a study has its own.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Score every frame of recordings and write their bouts; in a study, of those that are missing.

    Example: `behavior-prism predict probe features/new.features.zarr --out predictions`
    """
    from behavior_prism.study_work import predict_study, study_among
    from behavior_prism.workflow import predict_files

    study = study_among(features)
    if study is not None:
        finish(predict_study(study, probe, overwrite=overwrite))
    else:
        place = _needed("--out", out, "a folder for predictions")
        finish(predict_files(probe, features, place, overwrite=overwrite))


@app.command()
def report(
    predictions: Annotated[list[Path], typer.Argument(help="Prediction stores (.predictions.zarr), or a study.")],
    out: Annotated[Path | None, typer.Option(help="The .html file to make; a study has its own place.")] = None,
    labels: Annotated[list[Path] | None, typer.Option(help="Label file to judge by; repeat.")] = None,
    features: Annotated[list[Path] | None, typer.Option(help="Feature store to map; repeat for several.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A labelled behaviour to leave out; repeat.")] = None,
    probe: Annotated[str, typer.Option(help="Of a study: whose predictions.")] = "",
    title: Annotated[str | None, typer.Option(help="Heading.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one HTML page: scores against human labels, ethograms, time budget, maps.

    Example: `behavior-prism report predictions/*.zarr --labels truth.bouts.csv --out report.html`
    """
    from behavior_prism.reporting import report_files
    from behavior_prism.study_work import report_of_study, study_among

    study = study_among(predictions)
    given: dict[str, Any] = {"labels": labels or (), "features": features or (), "ignore": ignore or ()}
    if title is not None:
        given["title"] = title
    if study is not None:
        path, scores, notes = report_of_study(study, probe, out, overwrite=overwrite, **given)
    else:
        path, scores, notes = report_files(
            predictions, _needed("--out", out, "an .html file"), overwrite=overwrite, **given
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
def info(
    store: Annotated[Path | None, typer.Argument(help="Features or predictions, to show where they are from.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts, on stdout.")] = False,
) -> None:
    """Print versions for a bug report, or what made a store.

    Example: `behavior-prism info`, or `behavior-prism info mouse.features.zarr`
    """
    import json

    from behavior_prism.info import collect_info, describe_store

    found = collect_info() if store is None else describe_store(store)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    width = max(16, *map(len, found))
    for name, value in found.items():
        say(f"{name:<{width}} {value if isinstance(value, str) else json.dumps(value)}")
