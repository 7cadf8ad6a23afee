"""The main job on plain files: videos to features, features and labels to a probe, a probe to bouts and a report.

Each function is one command of the command line and can be called from a notebook just as well. A batch goes on
after a bad item and tells of it at the end; a single bad item raises.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import xarray as xr

    from behavior_prism.datasets import Annotations, WindowSpec
    from behavior_prism.encoder import LoadedEncoder

FEATURES_ENDING = ".features.zarr"
PREDICTIONS_ENDING = ".predictions.zarr"
BOUTS_ENDING = ".bouts.csv"
Progress = Callable[[int, int], None]
Item = TypeVar("Item")


@dataclass(kw_only=True)
class BatchResult:
    """What became of a batch.

    Parameters
    ----------
    done : list of pathlib.Path
        Outputs, in order.
    failed : list of (str, str)
        Items that failed and why, one line each.
    """

    done: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def run_batch(items: Sequence[Item], work: Callable[[Item], Path]) -> BatchResult:
    """Do the same to every item; go on after a bad one if there are others.

    Parameters
    ----------
    items : sequence
        What to work on.
    work : callable
        Takes an item, returns the output's path; raises ``ValueError`` or ``OSError`` for a bad item.

    Returns
    -------
    BatchResult

    Raises
    ------
    ValueError, OSError
        If the only item is bad.
    """
    result = BatchResult()
    for item in items:
        try:
            result.done.append(work(item))
        except (ValueError, OSError) as error:
            if len(items) == 1:
                raise
            result.failed.append((str(item), " ".join(str(error).split())))
    return result


def _unique_names(paths: Iterable[Path], name: Callable[[Path], str]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(name(path), path)
        if other is not path:
            raise ValueError(
                f"{other} and {path} would both be called {name(path)!r}: extract them to different folders"
            )


def extract_files(
    videos: Sequence[str | Path],
    out: str | Path,
    encoder: LoadedEncoder,
    *,
    window: Callable[[float], WindowSpec] | None = None,
    grid: tuple[int, int] = (4, 4),
    regions: Mapping[str, tuple[int, int, int, int]] | None = None,
    frames: tuple[int, int] | None = None,
    allow_cut_short: bool = False,
    overwrite: bool = False,
    progress: Callable[[str], Progress] | None = None,
) -> BatchResult:
    """Extract the features of video files.

    Parameters
    ----------
    videos : sequence of str or pathlib.Path
        Video files.
    out : str or pathlib.Path
        Folder for ``<video name>.features.zarr``.
    encoder : LoadedEncoder
        From ``load_encoder``.
    window : callable, optional
        Gives the ``WindowSpec`` for a recording's frames per second.
    grid
        As in ``extract_features``.
    regions, frames, allow_cut_short
        As in ``load_recording``.
    overwrite
        As in ``extract_features``.
    progress : callable, optional
        Given a recording's name, returns the function to call with (done, of how many).

    Returns
    -------
    BatchResult
    """
    from behavior_prism.analysis import extract_features
    from behavior_prism.datasets import load_recording

    out = Path(out)
    paths = [Path(v) for v in videos]
    _unique_names(paths, lambda p: p.stem)

    def work(path: Path) -> Path:
        recording = load_recording(path, regions=regions, frames=frames, allow_cut_short=allow_cut_short)
        target = out / f"{recording.name}{FEATURES_ENDING}"
        with recording.video:
            extract_features(
                recording,
                encoder,
                target,
                window=window(recording.video.fps) if window else None,
                grid=grid,
                overwrite=overwrite,
                progress=progress(recording.name) if progress else None,
            )
        return target

    return run_batch(paths, work)


def plan_extraction(
    videos: Sequence[str | Path],
    encoder: LoadedEncoder,
    window: Callable[[float], WindowSpec],
    *,
    grid: tuple[int, int],
    regions: Mapping[str, tuple[int, int, int, int]] | None = None,
    frames: tuple[int, int] | None = None,
    allow_cut_short: bool = False,
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """What an extraction would read and write, without doing it.

    Parameters
    ----------
    videos, encoder, window, grid, regions, frames, allow_cut_short
        As in :func:`extract_files`.

    Returns
    -------
    plan : pandas.DataFrame
        One row per recording that can be read, and their sum.
    failed : list of (str, str)
        Files that cannot, and why.
    """
    from behavior_prism.datasets import load_recording, sample_frames, window_starts

    rows: dict[str, dict[str, float]] = {}
    failed: list[tuple[str, str]] = []
    for path in map(Path, videos):
        try:
            recording = load_recording(path, regions=regions, frames=frames, allow_cut_short=allow_cut_short)
        except (ValueError, OSError) as error:
            if len(videos) == 1:
                raise
            failed.append((str(path), " ".join(str(error).split())))
            continue
        spec = window(recording.video.fps)
        sampled = len(sample_frames(recording.start_frame, recording.stop_frame, spec.step))
        individuals = len(recording.individuals)
        size = sampled * individuals * grid[0] * grid[1] * encoder.model.config.model_dim * 2
        rows[path.name] = {
            "individuals": individuals,
            "frames": recording.num_frames,
            "hours": float(recording.video.edges[recording.stop_frame] - recording.times[recording.start_frame]) / 3600,
            "step": spec.step,
            "sampled": sampled,
            "windows": len(window_starts(sampled, spec)) * individuals,
            "megabytes": size / 1e6,
        }
    plan = pd.DataFrame.from_dict(rows, orient="index")
    if len(plan) > 1:
        plan.loc["total"] = plan.sum()
        plan.loc["total", "step"] = np.nan
    return plan, failed


def load_labels(
    files: Sequence[str | Path],
    stores: Sequence[xr.Dataset],
    *,
    behaviors: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
) -> tuple[list[Annotations], list[str]]:
    """Find the labels of every feature or prediction store among label files.

    Parameters
    ----------
    files : sequence of str or pathlib.Path
        Bout tables; one may hold several recordings.
    stores : sequence of xarray.Dataset
        With ``attrs["recording"]`` and ``edge_time``.
    behaviors : sequence of str, optional
        The behaviours under study; any other (that is not ignored) is an error. By default all that occur.
    ignore : sequence of str
        Behaviours to leave out.

    Returns
    -------
    annotations : list of Annotations
        One per store, all with the same behaviours.
    notes : list of str
        What had to be assumed.

    Raises
    ------
    ValueError
        If a store has no labels or a behaviour is unknown.
    """
    from behavior_prism.datasets import Annotations, load_annotations, score_whole

    edges_of = {str(s.attrs["recording"]): s["edge_time"].values for s in stores}
    tables: list[Annotations] = []
    for file in map(Path, files):
        name = file.name.split(".bouts")[0] if ".bouts" in file.name else file.stem
        tables.append(load_annotations(file, edges=edges_of.get(name)))
    found = tuple(dict.fromkeys(b for t in tables for b in t.behaviors if b not in ignore))
    known = tuple(behaviors) if behaviors else found
    unknown = [b for b in found if b not in known]
    if unknown:
        raise ValueError(
            f"unknown behaviour {unknown[0]!r} in the labels: expected one of {list(known)}; "
            "name it or ignore it explicitly"
        )
    annotations, notes = [], []
    for store in stores:
        recording = str(store.attrs["recording"])
        parts = [t.of_recording(recording) for t in tables if recording in t.recordings]
        if not parts:
            have = sorted({r for t in tables for r in t.recordings})
            raise ValueError(f"no labels for the recording {recording!r}: the label files speak of {have}")
        bouts = pd.concat([p.bouts for p in parts], ignore_index=True)
        scored = pd.concat([p.scored for p in parts], ignore_index=True)
        merged = Annotations(
            bouts=bouts[bouts["behavior"].isin(known)],
            scored=scored[scored["behavior"].isin(("", *known))],
            behaviors=known,
        )
        if not len(scored):
            merged = score_whole(merged, recording=recording, edges=edges_of[recording])
            notes.append(f"{recording}: the labels do not say what was scored; taken as scored from end to end")
        annotations.append(merged)
    return annotations, notes


def train_probe(
    features: Sequence[str | Path],
    labels: Sequence[str | Path],
    out: str | Path,
    *,
    behaviors: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    context: int = 4,
    overwrite: bool = False,
) -> tuple[dict[str, Any], pd.DataFrame | None, list[str]]:
    """Train a linear probe on feature stores and their labels.

    Parameters
    ----------
    features : sequence of str or pathlib.Path
        Feature stores of several recordings, made with the same settings.
    labels : sequence of str or pathlib.Path
        Bout tables.
    out : str or pathlib.Path
        Folder of the probe to make.
    behaviors, ignore
        As in :func:`load_labels`.
    context : int
        As in ``design_matrix``.
    overwrite : bool
        Replace an existing probe.

    Returns
    -------
    card : dict
        The probe's card.
    scores : pandas.DataFrame or None
        Metrics on held-out recordings; None for a single recording.
    notes : list of str
        What the user must know.

    Raises
    ------
    ValueError, OSError
        If inputs do not fit together.
    """
    import json

    import behavior_prism
    from behavior_prism import analysis

    out = Path(out)
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out}: exists already; choose another name or overwrite it explicitly")
    stores = [analysis.open_features(f) for f in features]
    spec = _common_spec(stores)
    annotations, notes = load_labels(labels, stores, behaviors=behaviors, ignore=ignore)
    truth = [
        analysis.labels_for(s, a, what=f"labels of {s.attrs['recording']}")
        for s, a in zip(stores, annotations, strict=True)
    ]
    data = analysis.stack_recordings(stores, truth, context=context)
    probe = analysis.LinearProbe()
    scores = None
    recordings = sorted(set(data.recording))
    if len(recordings) > 1:
        held_out = analysis.cross_validate_by_recording(probe, data)
        scores = analysis.evaluate_predictions(data.label, held_out, data.behaviors, recording=data.recording)
    else:
        notes.append("a single recording: nothing could be held out, so there is no score of this probe")
    probe.fit(data.rows, data.label)
    for column in probe.constant_:
        notes.append(
            f"{data.behaviors[column]}: always or never present in the training labels; the probe knows no other answer"
        )
    card = {
        "kind": "linear",
        "behaviors": list(data.behaviors),
        "features": spec,
        "encoder_trained": bool(stores[0].attrs["encoder_trained"]),
        "context": context,
        "recordings": recordings,
        "frames": len(data.rows),
        "held_out": None if scores is None else json.loads(scores.to_json(orient="index")),
        "version": behavior_prism.__version__,
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    analysis.save_probe(probe, card, out, overwrite=overwrite)
    return card, scores, notes


def _common_spec(stores: Sequence[xr.Dataset]) -> dict[str, Any]:
    import json

    from behavior_prism.analysis.predictions import SPEC_FIELDS

    names = [str(s.attrs["recording"]) for s in stores]
    if len(set(names)) != len(names):
        raise ValueError(f"expected every recording once, got {names}")
    specs = [{f: json.loads(s.attrs["settings"])[f] for f in SPEC_FIELDS} for s in stores]
    for name, spec in zip(names, specs, strict=True):
        changed = [f for f in SPEC_FIELDS if spec[f] != specs[0][f]]
        if changed:
            raise ValueError(
                f"features of {name!r} and {names[0]!r} were made with different settings: "
                + ", ".join(f"{f} {spec[f]} and {specs[0][f]}" for f in changed)
            )
    return specs[0]


def predict_files(
    probe: str | Path, features: Sequence[str | Path], out: str | Path, *, overwrite: bool = False
) -> BatchResult:
    """Predict the behaviour in recordings.

    Parameters
    ----------
    probe : str or pathlib.Path
        A probe folder.
    features : sequence of str or pathlib.Path
        Feature stores.
    out : str or pathlib.Path
        Folder for ``<recording>.predictions.zarr`` and ``<recording>.bouts.csv``.
    overwrite : bool
        Replace existing predictions.

    Returns
    -------
    BatchResult
        Its paths are the prediction stores.
    """
    from behavior_prism import analysis
    from behavior_prism.datasets import save_annotations

    model, card = analysis.load_probe(probe)
    out = Path(out)

    def work(path: str | Path) -> Path:
        store = analysis.open_features(path)
        target = out / f"{store.attrs['recording']}{PREDICTIONS_ENDING}"
        bouts = out / f"{store.attrs['recording']}{BOUTS_ENDING}"
        for existing in (target, bouts):
            if existing.exists() and not overwrite:
                raise FileExistsError(f"{existing}: exists already; choose another name or overwrite it explicitly")
        predictions = analysis.predict(model, card, store)
        out.mkdir(parents=True, exist_ok=True)
        save_annotations(analysis.predictions_to_annotations(predictions), bouts, overwrite=overwrite)
        return analysis.save_predictions(predictions, target, overwrite=overwrite)

    return run_batch(list(features), work)


def time_budget(annotations: Annotations) -> pd.DataFrame:
    """Number, total and mean duration of bouts.

    Parameters
    ----------
    annotations : Annotations
        Of one or several recordings.

    Returns
    -------
    pandas.DataFrame
        One row per recording and behaviour: ``bouts``, ``seconds``, ``mean_bout_s``, ``share`` of the scored time.
    """
    rows = {}
    for recording in annotations.recordings:
        one = annotations.of_recording(recording)
        for behavior in one.behaviors:
            bouts = one.bouts[one.bouts["behavior"] == behavior]
            scored = one.scored[one.scored["behavior"].isin(("", behavior))]
            seconds = float((bouts["stop"] - bouts["start"]).sum())
            total = float((scored["stop"] - scored["start"]).sum())
            rows[f"{recording}: {behavior}"] = {
                "bouts": len(bouts),
                "seconds": round(seconds, 2),
                "mean_bout_s": round(seconds / len(bouts), 2) if len(bouts) else np.nan,
                "share": seconds / total if total else np.nan,
            }
    return pd.DataFrame.from_dict(rows, orient="index")
