"""The main job on plain files: videos to features, features and labels to a probe, a probe to bouts and a report.

Each function is one command of the command line and can be called from a notebook just as well. A batch goes on
after a bad item and tells of it at the end; a single bad item raises.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from .extraction_jobs import unique_names
from .files import atomic_write, refuse_existing
from .schemas import NOT_SCORED

if TYPE_CHECKING:
    import xarray as xr

    from behavior_prism.datasets import Annotations, Behavior, Ethogram
    from behavior_prism.encoder import LoadedEncoder

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
    notes : list of str
        What the user must know.
    """

    done: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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


def extract_files(
    videos: Sequence[str | Path],
    out: str | Path,
    encoder: LoadedEncoder,
    *,
    grid: tuple[int, int] = (4, 4),
    overwrite: bool = False,
    progress: Callable[[str], Progress] | None = None,
    **options: Any,
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
    grid, overwrite
        As in ``extract_features``.
    progress : callable, optional
        Given a recording's name, returns the function to call with (done, of how many).
    **options
        As in ``load_recording``: ``regions``, ``frames``, ``fps``, ``allow_cut_short``.

    Returns
    -------
    BatchResult

    See Also
    --------
    behavior_prism.extraction_run.run_jobs : The same with all settings, and for studies.
    """
    from .extraction_jobs import ExtractionSettings, file_jobs

    settings = ExtractionSettings(encoder=encoder, grid=grid)
    jobs = {job.name: job for job in file_jobs(videos, out, settings, **options)}

    def work(name: str) -> Path:
        from behavior_prism.analysis import extract_features

        job = jobs[name]
        recording = job.load()
        with recording.video:
            target = Path(job.place(recording.name, {}))
            extract_features(
                recording,
                encoder,
                target,
                **settings.options(recording),
                overwrite=overwrite,
                progress=progress(recording.name) if progress else None,
            )
        return target

    return run_batch(list(jobs), work)


def load_labels(
    files: Sequence[str | Path | Annotations],
    stores: Sequence[xr.Dataset],
    *,
    behaviors: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
) -> tuple[list[Annotations], list[str]]:
    """Find the labels of every feature or prediction store among label files.

    Parameters
    ----------
    files : sequence of str, pathlib.Path or Annotations
        Label files of any tool, or what was read from one; each may hold several recordings.
    stores : sequence of xarray.Dataset
        With ``attrs["recording"]`` and ``edge_time``.
    behaviors : sequence of str, optional
        The behaviours under study; any other (that is not ignored) is an error. By default all that occur in the
        labels of these recordings.
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
    tables = _read_labels(files, stores)
    for store in stores:
        if not _parts_of(tables, store):
            have = sorted({r for t in tables for r in t.recordings})
            raise ValueError(
                f"no labels for the recording {store.attrs['recording']!r}: the label files speak of {have}; name the "
                f"file {store.attrs['recording']}.bouts.csv or add a column 'recording'"
            )
    found, notes = _merge_labels(tables, stores, behaviors, ignore)
    return [one for one in found if one is not None], [*_told_on_reading(tables), *notes]


def find_labels(
    files: Sequence[str | Path | Annotations],
    stores: Sequence[xr.Dataset],
    *,
    behaviors: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
) -> tuple[list[Annotations | None], list[str]]:
    """Find the labels of those stores that have any.

    Parameters
    ----------
    files, stores, behaviors, ignore
        As in :func:`load_labels`.

    Returns
    -------
    annotations : list of Annotations or None
        One per store; None where the files do not speak of its recording.
    notes : list of str
        What had to be assumed.
    """
    return _merge_labels(_read_labels(files, stores), stores, behaviors, ignore)


def _read_labels(files: Sequence[str | Path | Annotations], stores: Sequence[xr.Dataset]) -> list[Annotations]:
    from behavior_prism.datasets import Annotations, load_annotations

    edges = {str(s.attrs["recording"]): s["edge_time"].values for s in stores}
    return [
        one.bind(edges) if isinstance(one, Annotations) else load_annotations(one, recording=edges) for one in files
    ]


def _told_on_reading(tables: Sequence[Annotations]) -> list[str]:
    """What was moved, lost and assumed in files of other tools, each once."""
    of: dict[str, list[str]] = {}
    for report in (t.report for t in tables if t.report is not None):
        for line in report.lines()[1:]:
            text = line.strip().removeprefix("note: ")
            if not text.endswith("placed on its frames"):
                of.setdefault(text, []).append(report.path)
    return [f"{paths[0] if len(paths) == 1 else f'{len(paths)} label files'}: {text}" for text, paths in of.items()]


def _parts_of(tables: Sequence[Annotations], store: xr.Dataset) -> list[Annotations]:
    recording = str(store.attrs["recording"])
    return [t.of_recording(recording) for t in tables if recording in t.recordings]


def _merge_labels(
    tables: Sequence[Annotations],
    stores: Sequence[xr.Dataset],
    behaviors: Sequence[str] | None,
    ignore: Sequence[str],
) -> tuple[list[Annotations | None], list[str]]:
    from behavior_prism.datasets import Annotations, score_whole
    from behavior_prism.datasets.annotations import spelled_out

    parts_of = {str(s.attrs["recording"]): _parts_of(tables, s) for s in stores}
    where = {b: name for name, parts in parts_of.items() for p in parts for b in _occurring(p) if b not in ignore}
    everything = {b for parts in parts_of.values() for p in parts for b in _occurring(p)}
    if any(parts_of.values()) and (wrong := [b for b in ignore if b not in everything]):
        raise ValueError(f"ignore: expected behaviours of the labels {sorted(everything)}, got {wrong[0]!r}")
    known = tuple(behaviors) if behaviors else tuple(where)
    unknown = [b for b in where if b not in known]
    if unknown:
        raise ValueError(
            f"unknown behaviour{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))} in the labels "
            f"(such as {where[unknown[0]]!r}): expected one of {list(known)}; name or ignore (--ignore) what is more"
        )
    if not known and any(parts_of.values()):
        raise ValueError("the labels name no behaviour that is not ignored")
    ethogram = _one_ethogram([p for parts in parts_of.values() for p in parts], known)
    annotations: list[Annotations | None] = []
    notes = []
    for store in stores:
        recording = str(store.attrs["recording"])
        parts = parts_of[recording]
        if not parts:
            annotations.append(None)
            continue
        if any((p.scored["behavior"] == "").any() for p in parts):
            foreign = [b for b in known if not any(b in p.behaviors for p in parts)]
            if foreign:
                notes.append(f"{recording}: its labels do not know {', '.join(foreign)}; not scored there")
            # "everything was scored" means what that file knows, not what another one adds
            parts = [p if set(known) <= set(p.behaviors) else spelled_out(p) for p in parts]
        bouts = pd.concat([p.bouts for p in parts], ignore_index=True)
        scored = pd.concat([p.scored for p in parts], ignore_index=True)
        merged = Annotations(
            bouts=bouts[bouts["behavior"].isin(known)],
            scored=scored[scored["behavior"].isin(("", *known))],
            ethogram=ethogram,
        )
        if not len(scored):
            merged = score_whole(merged, recording=recording, edges=store["edge_time"].values)
            notes.append(f"{recording}: the labels do not say what was scored; taken as scored from end to end")
        notes += _note_on_missed(store, merged)
        annotations.append(merged)
    return annotations, notes


def _one_ethogram(parts: Sequence[Annotations], known: Sequence[str]) -> Ethogram:
    """The behaviours under study, with what the label files say of them: which of them are point events."""
    from behavior_prism.datasets import Ethogram

    said: dict[str, Behavior] = {}
    for part in parts:
        own = set(_occurring(part))
        for behavior in part.ethogram:
            if behavior.name not in known or behavior.name not in own:
                continue
            if said.setdefault(behavior.name, behavior).kind != behavior.kind:
                raise ValueError(f"behaviour {behavior.name!r}: a state in one label file and a point event in another")
    return Ethogram(replace(said[b], key="", id="") if b in said else b for b in known)


def _occurring(part: Annotations) -> list[str]:
    """Behaviours of the rows, in the order of their table, which may speak of other recordings too."""
    own = set(part.bouts["behavior"]) | set(part.scored["behavior"])
    return [b for b in part.behaviors if b in own]


def _note_on_missed(store: xr.Dataset, annotations: Annotations) -> list[str]:
    from behavior_prism.analysis import missed_bouts

    missed = missed_bouts(store, annotations)
    if not missed:
        return []
    return [
        f"{store.attrs['recording']}: {missed} of {len(annotations.bouts)} labelled bouts lie between two sampled "
        "frames and count nowhere; features of a smaller --step would see them"
    ]


def train_probe(
    features: Sequence[str | Path],
    labels: Sequence[str | Path | Annotations],
    out: str | Path,
    *,
    behaviors: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    context: int = 4,
    groups: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> tuple[dict[str, Any], pd.DataFrame | None, list[str]]:
    """Train a linear probe on feature stores and their labels.

    Parameters
    ----------
    features : sequence of str or pathlib.Path
        Feature stores of several recordings, made with the same settings.
    labels : sequence of str, pathlib.Path or Annotations
        As in :func:`load_labels`.
    out : str or pathlib.Path
        Folder of the probe to make.
    behaviors, ignore
        As in :func:`load_labels`.
    context : int
        As in ``design_matrix``.
    groups : mapping of str to str, optional
        From recording to the group with which it is held out: recordings of one animal, say. By default each by itself.
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

    Notes
    -----
    Labels count on sampled frames only; how many bouts fall between them is among the notes.
    """
    import json

    import behavior_prism
    from behavior_prism import analysis

    analysis.check_probe_place(out, overwrite=overwrite)
    stores = [analysis.open_features(f) for f in features]
    spec = _common_spec(stores)
    annotations, notes = load_labels(labels, stores, behaviors=behaviors, ignore=ignore)
    notes = [*encoder_notices(stores), *notes]
    truth = [
        analysis.labels_for(s, a, what=f"labels of {s.attrs['recording']}")
        for s, a in zip(stores, annotations, strict=True)
    ]
    data = analysis.stack_recordings(stores, truth, context=context)
    for behavior, column in zip(data.behaviors, data.label.T, strict=True):
        if (column == NOT_SCORED).all():
            raise ValueError(f"behaviour {behavior!r}: expected frames that were scored for it, got none; ignore it")
    probe = analysis.LinearProbe()
    scores = None
    recordings = sorted(set(data.recording))
    grouped = replace(data, recording=np.array([(groups or {}).get(r, r) for r in data.recording.tolist()]))
    held_together = sorted(set(grouped.recording))
    if len(held_together) > 1:
        held_out = analysis.cross_validate_by_recording(probe, grouped)
        scores = analysis.evaluate_predictions(data.label, held_out, data.behaviors, recording=grouped.recording)
    elif len(recordings) > 1:
        notes.append("all recordings share animals or a session: nothing could be held out, so there is no score")
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
        "groups": len(held_together),
        "fingerprints": {str(s.attrs["recording"]): analysis.video_fingerprint(s) for s in stores},
        "frames": len(data.rows),
        "held_out": None if scores is None else json.loads(scores.to_json(orient="index")),
        "version": behavior_prism.__version__,
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    analysis.save_probe(probe, card, out, overwrite=overwrite)
    return card, scores, notes


def encoder_notices(stores: Iterable[xr.Dataset]) -> list[str]:
    """What the user must know about the encoders that features or predictions come from.

    Parameters
    ----------
    stores : iterable of xarray.Dataset
        Features or predictions.

    Returns
    -------
    list of str
        Each once; empty if there is nothing to say.
    """
    return list(dict.fromkeys(str(s.attrs["encoder_notice"]) for s in stores if s.attrs.get("encoder_notice")))


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

    model, card = analysis.load_probe(probe)
    out = Path(out)
    unique_names(_names_of_stores(features))
    notes: list[str] = []

    def work(path: str | Path) -> Path:
        name = str(analysis.read_attrs(path, "features")["recording"])
        target = out / f"{name}{PREDICTIONS_ENDING}"
        notes.extend(predict_store(model, card, path, target, out / f"{name}{BOUTS_ENDING}", overwrite=overwrite))
        return target

    result = run_batch(list(features), work)
    result.notes = list(dict.fromkeys(notes))
    return result


def predict_store(
    model: Any, card: dict[str, Any], features: str | Path, target: Path, bouts: Path, *, overwrite: bool = False
) -> list[str]:
    """Predict one recording and write its predictions and their bouts.

    Parameters
    ----------
    model, card
        From ``load_probe``.
    features : str or pathlib.Path
        A feature store.
    target, bouts : pathlib.Path
        The prediction store and the bout table to make.
    overwrite : bool
        Replace them.

    Returns
    -------
    list of str
        What the user must know about the features.
    """
    from behavior_prism import analysis
    from behavior_prism.datasets import save_annotations

    store = analysis.open_features(features)
    analysis.check_predictions_place(target, overwrite=overwrite)
    refuse_existing(bouts, overwrite)
    predictions = analysis.predict(model, card, store)
    with atomic_write(bouts, overwrite=overwrite) as fresh:  # its old one goes only when the store is in place
        save_annotations(analysis.predictions_to_annotations(predictions), fresh, "bouts")
        analysis.save_predictions(predictions, target, overwrite=overwrite)
    return encoder_notices([store])


def _names_of_stores(paths: Iterable[str | Path]) -> Iterator[tuple[str | Path, str]]:
    """Recordings of the stores that can be read; what is wrong with the others is told when their turn comes."""
    from behavior_prism.analysis import read_attrs

    for path in paths:
        try:
            yield path, str(read_attrs(path, "features")["recording"])
        except (ValueError, OSError):
            continue


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
