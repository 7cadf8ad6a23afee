"""The main job from end to end on simulated recordings: what ``make demo`` runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .extraction_jobs import FEATURES_ENDING
from .files import atomic_write
from .workflow import BOUTS_ENDING, PREDICTIONS_ENDING, extract_files, predict_files, train_probe

if TYPE_CHECKING:
    import pandas as pd

NUM_RECORDINGS, NUM_TRAINING = 6, 4
MARKER = "demo.json"


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo made.

    Parameters
    ----------
    outputs : tuple of pathlib.Path
        The files to look at.
    scores : pandas.DataFrame
        Metrics on the two recordings that the probe has not seen.
    seconds : float
        Wall time.
    """

    outputs: tuple[Path, ...]
    scores: pd.DataFrame
    seconds: float


def run_demo(
    out: str | Path,
    *,
    arena: str = "mouse",
    seconds: float = 20.0,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    progress: Callable[[str], Callable[[int, int], None]] | None = None,
) -> DemoResult:
    """Simulate, extract, train, predict, report.

    Parameters
    ----------
    out : str or pathlib.Path
        Folder to make.
    arena : {"mouse", "fly"}
        What to simulate.
    seconds : float
        Length of each recording.
    seed : int
        Seed of the simulator.
    overwrite : bool
        Replace the folder of an earlier demo (and of nothing else).
    say : callable
        Told what the user must know.
    progress : callable, optional
        Given a name, returns the function to call with (done, of how many).

    Returns
    -------
    DemoResult

    Raises
    ------
    FileExistsError
        If the folder is there and is not an earlier demo, or ``overwrite`` is not set.
    """
    begun = time.monotonic()
    out = Path(out)
    _check_place(out, overwrite)
    # in a folder of its own until it is whole: an earlier demo stays if this one fails
    with atomic_write(out, overwrite=True) as folder:
        names, scores = _fill(folder, arena, seconds, seed, say, progress)
        _tell_final_place(folder, out)
    return DemoResult(outputs=tuple(out / n for n in names), scores=scores, seconds=time.monotonic() - begun)


def _check_place(out: Path, overwrite: bool) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / MARKER).exists():
            raise FileExistsError(f"{out}: exists already and is not an earlier demo; choose another --out")
        if not overwrite:
            raise FileExistsError(f"{out}: exists already; choose another --out or give --overwrite")


def _fill(
    out: Path,
    arena: str,
    seconds: float,
    seed: int,
    say: Callable[[str], None],
    progress: Callable[[str], Callable[[int, int], None]] | None,
) -> tuple[tuple[str, ...], Any]:
    """Everything of the demo in one folder: names of the files to look at, and scores."""
    from behavior_prism.datasets import simulate_recording, write_recording
    from behavior_prism.encoder import load_encoder

    recordings, features, predictions = out / "recordings", out / "features", out / "predictions"
    report = progress or (lambda name: lambda done, of: None)
    videos: list[Path] = []
    bar = report("simulating")
    num_frames = 0
    for k in range(NUM_RECORDINGS):
        one = simulate_recording(arena, seconds=seconds, seed=seed * 1000 + k)
        videos.append(Path(write_recording(one, recordings)["video"]))
        num_frames += one.num_frames
        bar(num_frames, one.num_frames * NUM_RECORDINGS)
    (out / MARKER).write_text(json.dumps({"behavior_prism": __version__}) + "\n", encoding="utf-8")
    names = [v.stem for v in videos]
    labels = [recordings / f"{n}{BOUTS_ENDING}" for n in names]

    encoder = load_encoder("tiny")
    stores = extract_files(videos, features, encoder, progress=progress).done
    _, _, notes = train_probe(stores[:NUM_TRAINING], labels[:NUM_TRAINING], out / "probe")
    for note in [encoder.notice, *(n for n in notes if n != encoder.notice)]:
        if note:
            say(note)
    predicted = predict_files(out / "probe", stores[NUM_TRAINING:], predictions).done
    return _write_results(out, predicted, labels, stores)


def _tell_final_place(folder: Path, out: Path) -> None:
    """Let the stores name the video where it will lie once the folder has its name."""
    import zarr

    for store in [*folder.glob("features/*.zarr"), *folder.glob("predictions/*.zarr")]:
        attrs = zarr.open_group(store, mode="r+").attrs
        attrs["video"] = str(out.resolve() / "recordings" / Path(str(attrs["video"])).name)


def _write_results(
    out: Path, predicted: list[Path], labels: list[Path], stores: list[Path]
) -> tuple[tuple[str, ...], Any]:
    import pandas as pd

    from behavior_prism.reporting import ethogram_figure, report_files

    _, scores, _ = report_files(
        predicted, out / "report.html", labels=labels, features=stores, title="behavior_prism demo"
    )
    tables = [pd.read_csv(p.with_name(p.name.replace(PREDICTIONS_ENDING, BOUTS_ENDING))) for p in predicted]
    pd.concat(tables).to_csv(out / "bouts.csv", index=False)
    ethogram_figure(predicted, labels[NUM_TRAINING:]).savefig(out / "ethogram.png", dpi=150)
    return ("ethogram.png", "bouts.csv", "report.html"), scores


__all__ = ["FEATURES_ENDING", "DemoResult", "run_demo"]
