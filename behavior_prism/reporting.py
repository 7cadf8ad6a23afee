"""What goes into the report of a set of predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .workflow import load_labels, time_budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure, SubFigure

    from behavior_prism.analysis import Section


def report_files(
    predictions: Sequence[str | Path],
    out: str | Path,
    *,
    labels: Sequence[str | Path] = (),
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
    labels : sequence of str or pathlib.Path
        Bout tables to judge the predictions by.
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
    """
    from behavior_prism import analysis

    out = Path(out)
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out}: exists already; choose another name or overwrite it explicitly")
    stores = [analysis.open_predictions(p) for p in predictions]
    behaviors = [str(b) for b in stores[0]["behavior"].values]
    for store in stores:
        if [str(b) for b in store["behavior"].values] != behaviors:
            raise ValueError(f"predictions of {store.attrs['recording']!r} have other behaviours than {behaviors}")
    notes: list[str] = []
    truth: list[xr.DataArray | None] = [None] * len(stores)
    if labels:
        annotations, notes = load_labels(labels, stores, behaviors=behaviors, ignore=ignore)
        truth = [
            analysis.labels_for(s, a, what=f"labels of {s.attrs['recording']}")
            for s, a in zip(stores, annotations, strict=True)
        ]
    scores, score_section = _scores(stores, truth, behaviors) if labels else (None, [])
    sections = [*score_section, *_ethograms(stores, truth), _budget(stores)]
    if features:
        sections += embedding_sections([analysis.open_features(f) for f in features], labels, behaviors, ignore)
    probe = json.loads(stores[0].attrs["probe"])
    summary = (
        f"{len(stores)} recordings, {len(behaviors)} behaviours; a {probe['kind']} probe trained on "
        f"{len(probe['recordings'])} other recordings ({', '.join(probe['recordings'])})."
    )
    seen = sorted({str(s.attrs["recording"]) for s in stores} & set(probe["recordings"]))
    warnings = (
        [f"The probe was trained on {', '.join(seen)}: scores there say nothing about new recordings."] if seen else []
    )
    notices = [*warnings, *(str(s.attrs["encoder_notice"]) for s in stores if s.attrs["encoder_notice"]), *notes]
    footer = (
        f"behavior_prism {probe['version']}; features {', '.join(str(s.attrs['features_key'])[:12] for s in stores)}"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    path = analysis.write_report(
        out, title, sections, summary=summary, notices=notices, footer=footer, overwrite=overwrite
    )
    return path, scores, notes


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

    stores = [analysis.open_predictions(p) for p in predictions]
    rows = len(stores) * stores[0].sizes["behavior"]
    figure = Figure(figsize=(10, 0.9 * len(stores) + 0.5 * rows), layout="constrained")
    parts = figure.subfigures(len(stores), 1, squeeze=False)[:, 0]
    for store, part in zip(stores, parts, strict=True):
        truth = None
        if labels:
            annotations, _ = load_labels(labels, [store], behaviors=[str(b) for b in store["behavior"].values])
            truth = analysis.labels_for(store, annotations[0])
        analysis.plot_ethogram(store["label"], truth, title=str(store.attrs["recording"]), figure=part)
    return figure


def _scores(
    stores: Sequence[xr.Dataset], truth: Sequence[xr.DataArray | None], behaviors: Sequence[str]
) -> tuple[pd.DataFrame, list[Section]]:
    from behavior_prism import analysis

    dims = ("individual", "time", "behavior")
    y, p, names, per_recording = [], [], [], {}
    for store, label in zip(stores, truth, strict=True):
        assert label is not None
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
        text += f" With {len(stores)} recordings no interval is given: it takes at least five."
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
    features: Sequence[xr.Dataset], labels: Sequence[str | Path], behaviors: Sequence[str], ignore: Sequence[str] = ()
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
    for store in features:
        matrix, valid = analysis.design_matrix(store)
        name = np.full(len(matrix), "", dtype=object)
        if labels:
            annotations, _ = load_labels(labels, [store], behaviors=behaviors, ignore=ignore)
            dense = analysis.labels_for(store, annotations[0]).transpose("individual", "time", "behavior").values
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
