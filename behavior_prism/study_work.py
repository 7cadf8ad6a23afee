"""Training, predicting and reporting with a study: which of its features, labels and places are meant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .study import SETTINGS, Study
from .study_checks import files_in
from .workflow import BatchResult, predict_store, run_batch, train_probe

if TYPE_CHECKING:
    import pandas as pd

    from behavior_prism.datasets import Annotations


def study_among(paths: Sequence[str | Path]) -> Study | None:
    """The study that a command was given.

    Parameters
    ----------
    paths : sequence of str or pathlib.Path
        What the command was given.

    Returns
    -------
    Study or None
        None if none of them is one.

    Raises
    ------
    ValueError
        If there is one, and something else beside it.
    """
    places = [Path(p) for p in paths]
    studies = [p for p in places if p.name == SETTINGS or (p / SETTINGS).is_file()]
    if studies and len(places) > 1:
        raise ValueError(f"{studies[0]}: expected one study and nothing else, got {len(places)} paths")
    return Study.open(studies[0]) if studies else None


def features_of_study(study: Study, *, like: str | Path | None = None) -> dict[str, Path]:
    """Feature stores of a study that one probe can read together.

    Parameters
    ----------
    study : Study
        Which.
    like : str or pathlib.Path, optional
        A store: those made with its settings. By default there must be only one kind.

    Returns
    -------
    dict of str to pathlib.Path
        From recording to store; recordings without features are not in it.

    Raises
    ------
    ValueError
        If there are none, or several kinds.
    """
    from behavior_prism.analysis import read_attrs
    from behavior_prism.analysis.predictions import SPEC_FIELDS

    def _of(store: str | Path) -> str:
        settings = json.loads(read_attrs(store, "features")["settings"])
        return json.dumps({f: settings.get(f) for f in SPEC_FIELDS}, sort_keys=True)

    kinds: dict[str, dict[str, Path]] = {}
    for name in study.names:
        for store in _stores_of(study, name):
            own = kinds.setdefault(_of(store), {})
            if name in own:  # of other times of the camera, other animals: which one is meant cannot be told
                raise ValueError(
                    f"{name}: expected one store of these features, got {own[name]} and {store}; remove the one that "
                    "is not meant (behavior-prism info says what made it)"
                )
            own[name] = store
    if like is not None:
        return kinds.get(_of(like), {})
    if not kinds:
        raise ValueError(f"{study.folder}: expected features, got none: behavior-prism extract {study.folder}")
    if len(kinds) > 1:
        told = "; ".join(f"{_described(spec)} of {len(s)} recordings, as {next(iter(s.values()))}"
                         for spec, s in kinds.items())  # fmt: skip
        raise ValueError(f"{study.folder}: expected one kind of features, got {len(kinds)}: {told}; say which: --like")
    return next(iter(kinds.values()))


def _stores_of(study: Study, name: str) -> Iterator[Path]:
    """Whole feature stores of a recording, but for those made from a video that was replaced."""
    from behavior_prism.analysis import read_attrs

    known = files_in(study.row(name)["fingerprint"])
    for store in sorted(study.features_folder(name).glob("*.zarr")):
        made_from = json.loads(read_attrs(store, "features")["settings"])["fingerprint"]
        if len(known) != 1 or made_from == known[0]:
            yield store


def _described(spec: str) -> str:
    known = json.loads(spec)
    grid = "x".join(map(str, known["grid"]))
    return f"{known['encoder']} {grid}, windows {known['length']}/{known['step']}/{known['stride']}"


def labels_of_study(study: Study) -> Annotations:
    """What is in a study's journal.

    Parameters
    ----------
    study : Study
        Which.

    Returns
    -------
    Annotations

    Raises
    ------
    ValueError
        If nobody has labelled anything.
    """
    from behavior_prism.datasets.journal import Journal

    if study.journal_folder.is_dir():
        with Journal.open(study.folder) as journal:
            found = journal.annotations()
            if len(found.bouts) or len(found.scored):
                return found
    raise ValueError(
        f"{study.folder}: expected labels, got none: behavior-prism labels import FILES --into {study.folder}"
    )


def train_on_study(
    study: Study, probe: str, *, like: str | Path | None = None, labels: Sequence[str | Path] = (), **options: Any
) -> tuple[Path, dict[str, Any], pd.DataFrame | None, list[str]]:
    """Train a probe on all recordings of a study that have features and labels.

    Parameters
    ----------
    study : Study
        Which. Recordings that share an animal or a session are held out together.
    probe : str
        Its name.
    like : str or pathlib.Path, optional
        As in :func:`features_of_study`.
    labels : sequence of str or pathlib.Path
        Label files, in place of the study's journal.
    **options
        As in ``train_probe``.

    Returns
    -------
    path : pathlib.Path
        Folder of the probe.
    card, scores, notes
        As ``train_probe`` gives them.

    Raises
    ------
    ValueError, OSError
        If there are no features or labels, or as ``train_probe``.
    """
    stores = features_of_study(study, like=like)
    given = _bound(labels, stores) if labels else [labels_of_study(study)]
    spoken = {name for one in given for name in one.recordings}
    stores = {name: store for name, store in stores.items() if name in spoken}
    if not stores:
        raise ValueError(f"{study.folder}: expected labels of recordings with features, got those of {sorted(spoken)}")
    out = study.probe_folder(probe)
    behaviors, ignore, unseen = _under_study(study, given, set(stores), options.pop("ignore", ()))
    known = {"behaviors": behaviors or None, "ignore": ignore} | options
    card, scores, notes = train_probe(list(stores.values()), given, out, groups=study.groups(), **known)
    return out, card, scores, [*(f"{b}: nobody looked for it in these recordings; left out" for b in unseen), *notes]


def _bound(labels: Sequence[str | Path], stores: Mapping[str, Path]) -> list[Annotations]:
    from behavior_prism.analysis import open_features
    from behavior_prism.datasets import load_annotations

    edges = {name: open_features(store)["edge_time"].values for name, store in stores.items()}
    return [load_annotations(file, recording=edges) for file in labels]


def _under_study(
    study: Study, labels: Sequence[Annotations], recordings: set[str], ignore: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Behaviours to learn, those of the labels to leave out, and those that nobody looked for."""
    said: set[str] = set()
    for one in labels:
        own = one.select(recording=sorted(recordings))
        said |= set(own.bouts["behavior"]) | set(own.scored["behavior"])
    wanted = [b for b in study.ethogram.names if b not in ignore]
    looked_for = wanted if "" in said else [b for b in wanted if b in said]  # "": all of the ethogram was scored
    unseen = [b for b in wanted if b not in looked_for]
    return looked_for, [b for b in ignore if b in said or b not in study.ethogram], unseen


def predict_study(study: Study, probe: str | Path, *, overwrite: bool = False) -> BatchResult:
    """Predict all recordings of a study whose features a probe can read and that it has not predicted yet.

    Parameters
    ----------
    study : Study
        Which.
    probe : str or pathlib.Path
        Name of one of its probes, or the folder of another one.
    overwrite : bool
        Predict those again that are there.

    Returns
    -------
    BatchResult
        All predictions of the probe, old and new.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such probe, or no features for it.
    """
    from behavior_prism import analysis
    from behavior_prism.analysis.predictions import SPEC_FIELDS

    folder = Path(probe) if len(Path(probe).parts) > 1 else study.probe_folder(str(probe))
    if not folder.is_dir():
        there = sorted(p.name for p in (study.folder / "probes").glob("*") if p.is_dir())
        raise FileNotFoundError(f"{folder}: no such probe, expected one of {there}")
    model, card = analysis.load_probe(folder)
    stores: dict[str, Path] = {}
    for name in study.names:
        for store in _stores_of(study, name):
            settings = json.loads(analysis.read_attrs(store, "features")["settings"])
            if all(settings.get(f) == card["features"].get(f) for f in SPEC_FIELDS):
                if name in stores:
                    raise ValueError(f"{name}: expected one store for this probe, got {stores[name]} and {store}")
                stores[name] = store
    if not stores:
        raise ValueError(f"{study.folder}: expected features made as those of the probe {folder.name!r}, got none")
    out = study.predictions_folder(folder.name)
    notes: list[str] = []

    def work(name: str) -> Path:
        target, bouts = out / f"{name}.zarr", out / f"{name}.bouts.csv"
        if overwrite or not bouts.exists() or not _is_of(target, card, stores[name]):
            notes.extend(predict_store(model, card, stores[name], target, bouts, overwrite=True))
        return target

    result = run_batch(list(stores), work)
    result.notes = list(dict.fromkeys(notes))
    return result


def _is_of(target: Path, card: Mapping[str, Any], features: Path) -> bool:
    """Whether predictions are there, and this probe made them of these features."""
    from behavior_prism.analysis import read_attrs
    from behavior_prism.analysis.predictions import probe_id

    if not target.exists():
        return False
    attrs = read_attrs(target, "predictions")
    own = attrs["features_key"] == read_attrs(features, "features")["key"]
    return own and json.loads(attrs["probe"]).get("id") == probe_id(card)


def predictions_of_study(study: Study, probe: str) -> list[Path]:
    """Predictions of a probe.

    Parameters
    ----------
    study : Study
        Which.
    probe : str
        Name of the probe; if empty, the only one that predicted anything.

    Returns
    -------
    list of pathlib.Path
        In the order of the recordings.

    Raises
    ------
    ValueError
        If there are none, or the name is wanting.
    """
    there = sorted(p.name for p in (study.folder / "predictions").glob("*") if any(p.glob("*.zarr")))
    if not probe and len(there) > 1:
        raise ValueError(f"{study.folder}: expected the name of a probe (--probe), one of {there}, got none")
    if not there or (probe and probe not in there):
        raise ValueError(
            f"{study.folder}: expected predictions{f' of {probe!r}' if probe else ''}, got "
            f"{f'those of {there}' if there else 'none'}: behavior-prism predict PROBE {study.folder}"
        )
    folder = study.predictions_folder(probe or there[0])
    return [folder / f"{name}.zarr" for name in study.names if (folder / f"{name}.zarr").exists()]


def report_of_study(
    study: Study, probe: str = "", out: str | Path | None = None, *, overwrite: bool = False, **options: Any
) -> tuple[Path, pd.DataFrame | None, list[str]]:
    """Report what a probe predicted in a study, against its labels where there are any.

    Parameters
    ----------
    study : Study
        Which.
    probe : str
        As in :func:`predictions_of_study`.
    out : str or pathlib.Path, optional
        The file to make; by default ``reports/<probe>.html`` of the study, which is replaced.
    overwrite : bool
        Replace ``out``.
    **options
        As in ``report_files``; labels are those of the journal by default, features those that were predicted from.

    Returns
    -------
    path, scores, notes
        As ``report_files`` gives them.
    """
    from behavior_prism.analysis import open_predictions

    from .reporting import report_files

    predictions = predictions_of_study(study, probe)
    named = predictions[0].parent.name
    left_out: list[str] = []
    if not options.get("labels"):
        try:
            found = labels_of_study(study)
            spoken = {p.stem for p in predictions} & set(found.recordings)
            options["labels"] = [found] if spoken else ()
            left_out = _not_predicted(found, spoken, predictions[0])
        except ValueError:  # a report without scores
            options["labels"] = ()
    said = list(options.pop("ignore", ()))
    left_out = [b for b in left_out if b not in said]
    options["ignore"] = [*said, *left_out]
    if not options.get("features"):
        keys = [str(open_predictions(p).attrs["features_key"]) for p in predictions]
        stores = [study.feature_path(p.stem, key) for p, key in zip(predictions, keys, strict=True)]
        options["features"] = [store for store in stores if store.exists()]
    options.setdefault("title", study.name)
    place = study.reports_folder / f"{named}.html" if out is None else Path(out)
    path, scores, notes = report_files(predictions, place, overwrite=overwrite or out is None, **options)
    return path, scores, [*(f"{b}: not among what {named} predicts; left out" for b in left_out), *notes]


def _not_predicted(labels: Annotations, recordings: set[str], predictions: Path) -> list[str]:
    """Behaviours of the journal that the probe was not taught: it chose what to learn when it was trained."""
    from behavior_prism.analysis import open_predictions

    known = {str(b) for b in open_predictions(predictions)["behavior"].values}
    own = labels.select(recording=sorted(recordings))
    return sorted((set(own.bouts["behavior"]) | set(own.scored["behavior"])) - known - {""})
