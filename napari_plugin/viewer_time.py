"""The frame slider of the viewer, as the frames of one layer; and a clock that moves it."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QElapsedTimer, QObject, QTimer, Signal  # pyright: ignore[reportPrivateImportUsage]


def frame_of_viewer(viewer: Any, layer: Any, num_frames: int) -> int:
    """Which frame of a layer the viewer shows.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    layer : napari.layers.Image
        Its first axis is time.
    num_frames : int
        How many frames it has.

    Returns
    -------
    int
        The nearest frame, where the slider is outside the layer.
    """
    world = viewer.dims.point[viewer.dims.ndim - layer.ndim]
    frame = round((world - layer.translate[0]) / layer.scale[0])
    return min(max(int(frame), 0), num_frames - 1)


def show_frame(viewer: Any, layer: Any, frame: int) -> None:
    """Move the slider to a frame of a layer.

    Parameters
    ----------
    viewer, layer
        As in :func:`frame_of_viewer`.
    frame : int
        Which one.
    """
    viewer.dims.set_point(viewer.dims.ndim - layer.ndim, frame * layer.scale[0] + layer.translate[0])


class Playback(QObject):
    """Counts frames at the recording's own speed; frames that come too late are left out.

    Attributes
    ----------
    frame_due : Signal(int)
        The frame to show now.
    running_changed : Signal(bool)
        When it starts or stops, also at the end of the recording.
    """

    frame_due = Signal(int)
    running_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._clock = QElapsedTimer()
        self._edges = np.array([0.0, 1.0])
        self._from = 0.0
        self._frame = 0

    @property
    def is_running(self) -> bool:
        """Whether it counts."""
        return self._timer.isActive()

    def start(self, edges: np.ndarray, frame: int) -> None:
        """Play from a frame; from the beginning if it is the last one.

        Parameters
        ----------
        edges : numpy.ndarray
            Times of the frame edges [s], shape (frames + 1,).
        frame : int
            Where to begin.
        """
        self._edges = edges
        self.move_to(0 if frame >= len(edges) - 2 else frame)
        interval = float(np.median(np.diff(edges))) * 1000
        self._timer.start(max(15, round(interval / 2)))  # twice a frame, so that none comes a whole frame late
        self.running_changed.emit(True)

    def stop(self) -> None:
        """Stop."""
        if self.is_running:
            self._timer.stop()
            self.running_changed.emit(False)

    def move_to(self, frame: int) -> None:
        """Go on from another frame, where the user moved the slider meanwhile.

        Parameters
        ----------
        frame : int
            Where the slider is.
        """
        if frame != self._frame or not self.is_running:
            self._frame = frame
            self._from = float(self._edges[frame])
            self._clock.start()

    def _tick(self) -> None:
        now = self._from + self._clock.elapsed() / 1000
        last = len(self._edges) - 2
        frame = min(int(np.searchsorted(self._edges, now, side="right")) - 1, last)
        if frame != self._frame:
            self._frame = frame
            self.frame_due.emit(frame)
        if frame == last:
            self.stop()
