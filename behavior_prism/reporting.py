"""What goes into the report of a set of predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .files import refuse_existing
from .workflow import encoder_notices, find_labels, time_budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure, SubFigure

    from behavior_prism.analysis import Section
    from behavior_prism.datasets import Annotations


def report_files(
    predictions: Sequence[str | Path],
    out: str | Path,
    *,
    labels: Sequence[str | Path | Annotations] = (),
    features: Sequence[str | Path] = (),
    ignore: Sequence[str] = (),
    title: str = "Behaviour report",
    overwrite: bool = False,
) -> tuple[Path, pd.DataFrame | None, list[str]]:
    """Write the report of predictions, against human labels where there are any.

    Parameters
    ----------
    predictions : sequence of str or pathlib.Path
        Prediction stores made by one probe.
    out : str or pathlib.Path
        The ``.html`` file to make.
    labels : sequence of str, pathlib.Path or Annotations
        Label files to judge the predictions by; recordings that none of them speaks of are shown without scores.
    features : sequence of str or pathlib.Path
        Feature stores to map with PCA and UMAP, of these or further recordings; coloured by label where ``labels``
        speak of them, by prediction elsewhere.
    ignore : sequence of str
        Labelled behaviours to leave out.
    title : str
        Heading.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    path : pathlib.Path
        The report.
    scores : pandas.DataFrame or None
        Metrics over all recordings that have labels.
    notes : list of str
        What had to be assumed.

    Raises
    ------
    ValueError, OSError
        If predictions are of different probes or of one recording twice, or labels speak of none of them.
    """
    from behavior_prism import analysis

    out = Path(out)
    refuse_existing(out, overwrite)
    stores = _open_predictions(predictions)
    behaviors = [str(b) for b in stores[0]["behavior"].values]
    truth, notes = _truth(stores, labels, behaviors, ignore)
    scores, score_section = _scores(stores, truth, behaviors) if labels else (None, [])
    sections = [*score_section, *_ethograms(stores, truth), _budget(stores)]
    if features:
        sections += embedding_sections([analysis.open_features(f) for f in features], labels, behaviors, ignore)
    probe = json.loads(stores[0].attrs["probe"])
    seen = [name for s in stores if (name := analysis.trained_on(s))]
    warnings = (
        [f"The probe was trained on {', '.join(seen)}: scores there say nothing about new recordings."] if seen else []
    )
    summary = (
        f"{_count(len(stores), 'recording')}, {_count(len(behaviors), 'behaviour')}; a {probe['kind']} probe trained "
        f"on {_count(len(probe['recordings']), 'recording')} ({', '.join(probe['recordings'])})"
        + (f", {_count(len(seen), 'of these', '')} among them." if seen else ", none of these among them.")
    )
    notices = [*warnings, *encoder_notices(stores), *notes]
    footer = (
        f"behavior_prism {probe['version']}; features {', '.join(str(s.attrs['features_key'])[:12] for s in stores)}"
    )
    path = analysis.write_report(
        out, title, sections, summary=summary, notices=notices, footer=footer, overwrite=overwrite
    )
    return path, scores, [*warnings, *encoder_notices(stores), *notes]


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else plural}"


def _open_predictions(paths: Sequence[str | Path]) -> list[xr.Dataset]:
    """Predictions that may stand in one report: one probe, every recording once."""
    from behavior_prism import analysis

    stores: list[xr.Dataset] = []
    for path in paths:
        store = analysis.open_predictions(path)
        first = stores[0] if stores else store
        name, behaviors = str(store.attrs["recording"]), [str(b) for b in first["behavior"].values]
        if name in [str(s.attrs["recording"]) for s in stores]:
            raise ValueError(f"{path}: expected every recording once, got {name!r} twice")
        if [str(b) for b in store["behavior"].values] != behaviors:
            raise ValueError(f"{path}: predictions of {name!r} have other behaviours than {behaviors}")
        if json.loads(store.attrs["probe"]) != json.loads(first.attrs["probe"]):
            raise ValueError(
                f"{path}: expected predictions of one probe, but {name!r} and {first.attrs['recording']!r} were "
                "predicted by different ones; report them apart"
            )
        stores.append(store)
    return stores


def _truth(
    stores: Sequence[xr.Dataset],
    labels: Sequence[str | Path | Annotations],
    behaviors: Sequence[str],
    ignore: Sequence[str],
) -> tuple[list[xr.DataArray | None], list[str]]:
    """Dense human labels of every store, None where there are none."""
    from behavior_prism import analysis

    if not labels:
        return [None] * len(stores), []
    annotations, notes = find_labels(labels, stores, behaviors=behaviors, ignore=ignore)
    names = [str(s.attrs["recording"]) for s in stores]
    bare = [name for name, a in zip(names, annotations, strict=True) if a is None]
    if len(bare) == len(stores):
        raise ValueError(f"expected labels of {', '.join(bare)}, the label files speak of none of them")
    truth = [
        None if a is None else analysis.labels_for(s, a, what=f"labels of {name}")
        for s, a, name in zip(stores, annotations, names, strict=True)
    ]
    return truth, [*notes, *([f"no labels of {', '.join(bare)}: not among the scores"] if bare else [])]


def ethogram_figure(predictions: Sequence[str | Path], labels: Sequence[str | Path] = ()) -> Figure:
    """Ethograms of several recordings, below one another.

    Parameters
    ----------
    predictions : sequence of str or pathlib.Path
        Prediction stores.
    labels : sequence of str or pathlib.Path
        Bout tables, drawn above the predictions.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    from behavior_prism import analysis

    stores = _open_predictions(predictions)
    truth, _ = _truth(stores, labels, [str(b) for b in stores[0]["behavior"].values], ())
    rows = len(stores) * stores[0].sizes["behavior"]
    figure = Figure(figsize=(10, 0.9 * len(stores) + 0.5 * rows), layout="constrained")
    notices = encoder_notices(stores)
    if notices:  # a picture travels without the page around it
        figure.suptitle("\n".join(notices), fontsize=8, color="#a04000", parse_math=False)
    parts = figure.subfigures(len(stores), 1, squeeze=False)[:, 0]
    for store, label, part in zip(stores, truth, parts, strict=True):
        analysis.plot_ethogram(store["label"], label, title=str(store.attrs["recording"]), figure=part)
    return figure


def _scores(
    stores: Sequence[xr.Dataset], truth: Sequence[xr.DataArray | None], behaviors: Sequence[str]
) -> tuple[pd.DataFrame, list[Section]]:
    from behavior_prism import analysis

    dims = ("individual", "time", "behavior")
    y, p, names, per_recording = [], [], [], {}
    for store, label in zip(stores, truth, strict=True):
        if label is None:
            continue
        y.append(label.transpose(*dims).values.reshape(-1, len(behaviors)))
        p.append(store["score"].transpose(*dims).values.reshape(-1, len(behaviors)))
        name = str(store.attrs["recording"])
        names.append(np.full(len(y[-1]), name, dtype=object))
        per_recording[name] = analysis.evaluate_predictions(y[-1], p[-1], behaviors).loc["mean"].to_dict()
    scores = analysis.evaluate_predictions(
        np.concatenate(y), np.concatenate(p), behaviors, recording=np.concatenate(names)
    )
    text = (
        "Frame by frame, on frames that were scored. Guessing reaches an average precision equal to the prevalence. "
        "The mean leaves out background behaviours and those that never occur."
    )
    if "f1_low" not in scores:
        text += f" With {_count(len(per_recording), 'recording')} no interval is given: it takes at least five."
    return scores, [
        analysis.Section(title="How good are the predictions?", text=text, table=scores, mean_last=True),
        analysis.Section(title="Recording by recording", table=pd.DataFrame.from_dict(per_recording, orient="index")),
    ]


def _ethograms(stores: Sequence[xr.Dataset], truth: Sequence[xr.DataArray | None]) -> list[Section]:
    from behavior_prism import analysis

    figures: list[Figure | SubFigure] = []
    for store, label in zip(stores, truth, strict=True):
        for individual in store["individual"].values:
            name = str(store.attrs["recording"])
            title = name if store.sizes["individual"] == 1 else f"{name}, {individual}"
            figures.append(analysis.plot_ethogram(store["label"], label, individual=str(individual), title=title))
    return [analysis.Section(title="Ethogram", figures=figures)]


def _budget(stores: Sequence[xr.Dataset]) -> Section:
    from behavior_prism import analysis

    tables = [time_budget(analysis.predictions_to_annotations(s)) for s in stores]
    return analysis.Section(title="Time budget (predicted)", table=pd.concat(tables))


def _joint_names(present: np.ndarray, behaviors: Sequence[str]) -> np.ndarray:
    """Name of what is present in every row, ``"chase + walk"`` where it is several things; ``""`` for none."""
    patterns, which = np.unique(present, axis=0, return_inverse=True)
    names = [" + ".join(sorted(b for b, p in zip(behaviors, row, strict=True) if p)) for row in patterns]
    return np.asarray(names, dtype=object)[which.reshape(-1)]


def embedding_sections(
    features: Sequence[xr.Dataset],
    labels: Sequence[str | Path | Annotations],
    behaviors: Sequence[str],
    ignore: Sequence[str] = (),
) -> list[Section]:
    """PCA and UMAP of features, coloured by label and by recording.

    Parameters
    ----------
    features : sequence of xarray.Dataset
        Feature stores.
    labels : sequence of str or pathlib.Path
        Bout tables; recordings that none of them speaks of are drawn grey.
    behaviors : sequence of str
        For the colours.
    ignore : sequence of str
        Labelled behaviours to leave out.

    Returns
    -------
    list of Section
    """
    from behavior_prism import analysis

    rows, names, recordings = [], [], []
    annotations = find_labels(labels, features, behaviors=behaviors, ignore=ignore)[0]
    for store, one in zip(features, annotations, strict=True):
        matrix, valid = analysis.design_matrix(store)
        name = np.full(len(matrix), "", dtype=object)
        if one is not None:
            dense = analysis.labels_for(store, one).transpose("individual", "time", "behavior").values
            name = _joint_names(dense.reshape(len(matrix), -1) == 1, behaviors)
        rows.append(matrix[valid])
        names.append(name[valid])
        recordings.append(np.full(int(valid.sum()), str(store.attrs["recording"]), dtype=object))
    matrix, name, recording = np.concatenate(rows), np.concatenate(names), np.concatenate(recordings)
    kinds = pd.Series(name[name != ""]).value_counts().index[:11]
    name[~np.isin(name, ["", *kinds])] = "other"
    colors = {**analysis.behavior_colors(sorted(kinds)), "other": "#bbbbbb"}
    figures: list[Figure] = []
    for method in ("pca", "umap"):
        points, index = analysis.compute_embedding(matrix, method=method)
        colorings: list[tuple[str, np.ndarray, dict[str, str] | None]] = [("by recording", recording[index], None)]
        if labels:
            colorings.insert(0, ("by label", name[index], colors))
        figures.append(analysis.plot_embedding(points, colorings, axis_name=method.upper()))
    text = (
        "Every dot is one sampled frame. Colours that part by label mean that the features tell behaviours apart; "
        "colours that part by recording mean that they tell the recordings apart, which a classifier must not learn."
    )
    return [analysis.Section(title="Maps of the features", text=text, figures=figures)]
