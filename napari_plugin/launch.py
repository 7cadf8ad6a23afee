"""A viewer with a recording and its ethogram: what ``behavior-prism view`` opens."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import napari
from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from .dock import PLUGIN, WIDGET, EthogramDock
from .reader import read_predictions, read_video
from .sources import find_recordings, is_video

WINDOW = (1280, 860)  # pixels


def build_viewer(path: str | Path, *, show: bool = True) -> napari.Viewer:
    """Make a viewer of what is at a path.

    Parameters
    ----------
    path : str or pathlib.Path
        A folder made by ``behavior-prism demo``, a folder of predictions or of videos, one ``.predictions.zarr`` or
        one video. Of several recordings the first is opened, the others are offered in the dock.
    show : bool
        Show the window.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    FileNotFoundError, ValueError
        If there is nothing at that path that can be viewed.
    """
    recordings = find_recordings(path)
    first = recordings[0]
    layers = read_video(first) if is_video(first) else read_predictions(first)  # before a window opens
    viewer = napari.Viewer(title=f"behavior_prism: {Path(path).resolve().name}", show=show)
    for layer_data in layers:
        viewer.add_layer(Layer.create(*layer_data))
    viewer.dims.set_point(0, 0)
    _make_room(viewer)
    dock = dock_of(viewer)
    dock.offer(recordings)
    dock.ask_for_room()
    QTimer.singleShot(0, viewer.reset_view)  # once the new sizes hold
    return viewer


def _make_room(viewer: napari.Viewer) -> None:
    """Give a window that opens small enough width for the ethogram, within the screen."""
    _, _, width, height = viewer.window.geometry()
    screen = QApplication.primaryScreen().availableGeometry()
    wanted = min(WINDOW[0], int(screen.width() * 0.95)), min(WINDOW[1], int(screen.height() * 0.92))
    if width < wanted[0] or height < wanted[1]:
        viewer.window.resize(max(width, wanted[0]), max(height, wanted[1]))


def dock_of(viewer: napari.Viewer) -> EthogramDock:
    """Get the ethogram of a viewer; it is opened if it is not open yet.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Returns
    -------
    EthogramDock
    """
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    return dock


def open_viewer(path: str | Path) -> None:
    """Open a viewer and wait until it is closed.

    Parameters
    ----------
    path : str or pathlib.Path
        As in :func:`build_viewer`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is nothing at that path that can be viewed.
    OSError
        If there is no screen.

    Examples
    --------
    >>> open_viewer("demo_output")  # doctest: +SKIP
    """
    find_recordings(path)
    on_a_screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if sys.platform.startswith("linux") and not on_a_screen:
        raise OSError("no screen: expected DISPLAY or WAYLAND_DISPLAY to be set; on a server, use xvfb-run")
    build_viewer(path)
    napari.run()
