"""Two-dimensional maps of features: PCA, and UMAP on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from .ethogram import PALETTE


def compute_embedding(
    rows: np.ndarray, *, method: str = "umap", max_rows: int = 3000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Map feature rows to two dimensions.

    Parameters
    ----------
    rows : numpy.ndarray
        Shape (n, d).
    method : {"umap", "pca"}
        ``"umap"`` runs on the first 50 principal components.
    max_rows : int
        More rows than this are thinned evenly. (Above 4096 UMAP turns to approximate neighbours, whose compilation
        alone takes half a minute.)
    seed : int
        Seed of UMAP and of the randomised PCA.

    Returns
    -------
    points : numpy.ndarray
        Shape (m, 2).
    index : numpy.ndarray
        Which rows they are, shape (m,).

    Raises
    ------
    ValueError
        If the method is unknown or there are fewer than 4 rows.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(100, 8))
    >>> compute_embedding(rows, method="pca")[0].shape
    (100, 2)
    """
    if method not in ("pca", "umap"):
        raise ValueError(f"method: expected 'pca' or 'umap', got {method!r}")
    if len(rows) < 4:
        raise ValueError(f"expected at least 4 rows to embed, got {len(rows)}")
    index = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), max_rows)).astype(np.int64))
    standard = StandardScaler().fit_transform(rows[index])
    components = min(50, *standard.shape)
    reduced = PCA(n_components=2 if method == "pca" else components, random_state=seed).fit_transform(standard)
    if method == "pca":
        return reduced, index
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns that a seed makes it single-threaded: that is what we ask for
        import umap

        mapper = umap.UMAP(n_neighbors=min(15, len(index) - 1), random_state=seed)
        return np.asarray(mapper.fit_transform(reduced)), index


def plot_embedding(
    points: np.ndarray, colorings: Sequence[tuple[str, np.ndarray, Any]], *, title: str = "", axis_name: str = "UMAP"
) -> Figure:
    """Draw the same map once per colouring.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (n, 2).
    colorings : sequence of (str, numpy.ndarray, mapping or None)
        Heading, name of every point's class (``""`` for none, drawn grey and first), and colours by name.
    title : str
        Written above all.
    axis_name : str
        For the axes' labels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(5.2 * len(colorings), 4.2), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    for k, (heading, names, colors) in enumerate(colorings):
        axes = figure.add_subplot(1, len(colorings), k + 1)
        names = np.asarray(names).astype(str)
        classes = [c for c in dict.fromkeys(names) if c]
        palette = colors or {c: PALETTE[i % len(PALETTE)] for i, c in enumerate(sorted(classes))}
        none = names == ""
        axes.scatter(points[none, 0], points[none, 1], s=3, color="#dddddd", linewidths=0)
        for name in sorted(classes, key=list(palette).index):
            chosen = names == name
            axes.scatter(
                points[chosen, 0],
                points[chosen, 1],
                s=4,
                color=palette[name],
                linewidths=0,
                alpha=0.7,
                label=name.replace("_", " "),
            )
        axes.set_title(heading, loc="left", fontsize=10, parse_math=False)
        axes.set_xlabel(f"{axis_name} 1")
        axes.set_ylabel(f"{axis_name} 2")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[["top", "right"]].set_visible(False)
        if 0 < len(classes) <= 12:
            legend = axes.legend(fontsize=8, frameon=False, markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5))
            for text in legend.get_texts():  # names are taken as they are: a $ in one is no formula
                text.set_parse_math(False)
    return figure
