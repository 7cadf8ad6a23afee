"""The ethogram as a widget, with a playhead to drag.

Lanes are painted once into a picture that is kept; a move of the playhead paints only that picture, names and a line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QPoint, QPointF, QRect, QSize, Qt, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPixmap, QResizeEvent, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from .ethogram_data import Lane, Strip
from .ethogram_page import AXIS, TOP, EthogramPage, ViewColors, covering, readable
from .time_axis import TimeAxis

LEAST_LANE, GOOD_LANE = 19, 30  # pixels
ZOOM_PER_NOTCH = 1.25
PAN_PER_NOTCH = 0.1


class EthogramView(QWidget):
    """Bouts of one individual along time.

    Click or drag to choose a frame, turn the wheel to zoom, with Shift to move, double-click to see everything.

    Attributes
    ----------
    frame_chosen : Signal(int)
        Emitted when the user points at a frame.
    lanes : list of Lane
        What is drawn.
    axis : TimeAxis
        Which stretch of time is in view.
    frame : int
        Where the playhead is.
    """

    frame_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("ethogram_view")
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.axis = TimeAxis(edges=np.array([0.0, 1.0]))
        self.lanes: list[Lane] = []
        self.frame = 0
        self._message = ""
        self._empty = True
        self._colors = ViewColors()
        self._picture: QPixmap | None = None

    # -- what is shown

    def show_lanes(self, lanes: Sequence[Lane], edges: np.ndarray | None, message: str = "") -> None:
        """Show another ethogram.

        Parameters
        ----------
        lanes : sequence of Lane
            From top to bottom.
        edges : numpy.ndarray or None
            Times of the frame edges [s]; None for no recording at all. The stretch in view stays if they stay.
        message : str
            Written in the middle.
        """
        self.lanes, self._message, self._empty = list(lanes), message, edges is None
        if edges is not None and not np.array_equal(edges, self.axis.edges):
            self.axis = TimeAxis(edges=edges)
            self.frame = 0
        self._repaint()
        self.updateGeometry()

    def set_frame(self, frame: int) -> None:
        """Move the playhead.

        Parameters
        ----------
        frame : int
            0 to frames - 1; others are taken as the nearest one.
        """
        self.frame = min(max(int(frame), 0), self.axis.num_frames - 1)
        if self.axis.keep_in_view(self.frame):
            self._picture = None
        self.update()

    def set_colors(self, colors: ViewColors) -> None:
        """Follow a theme.

        Parameters
        ----------
        colors : ViewColors
            All but those of the behaviours.
        """
        self._colors = colors
        self._repaint()

    def page(self) -> EthogramPage:
        """Lay everything out at the present size.

        Returns
        -------
        EthogramPage
        """
        return EthogramPage(
            lanes=self.lanes,
            axis=self.axis,
            colors=self._colors,
            width=self.width(),
            height=self.height(),
            font=self.font(),
        )

    def sizeHint(self) -> QSize:
        """Room for lanes of a good height."""
        return QSize(700, TOP + AXIS + GOOD_LANE * max(3, len(self.lanes)))

    def minimumSizeHint(self) -> QSize:
        """Room for lanes that can still be read."""
        return QSize(260, TOP + AXIS + LEAST_LANE * max(3, len(self.lanes)))

    # -- what is where

    def x_of_frame(self, frame: int) -> float:
        """Where the middle of a frame is.

        Parameters
        ----------
        frame : int
            0 to frames - 1.

        Returns
        -------
        float
            Pixels.
        """
        self.page()
        return float(self.axis.x((self.axis.edges[frame] + self.axis.edges[frame + 1]) / 2))

    def describe(self, x: float, y: float) -> str:
        """What is at a place, for the tooltip.

        Parameters
        ----------
        x, y : float
            Pixels.

        Returns
        -------
        str
            Empty where there is nothing to say.
        """
        page = self.page()
        if self._empty or x < self.axis.left:
            return ""
        for row, lane in enumerate(self.lanes):
            for kind, strip in lane.strips.items():
                rect = page.strip_rect(row, kind)
                if rect.top() <= y <= rect.bottom() + 1:
                    return self._describe(f"{readable(lane.behavior)} ({kind})", strip, self.axis.frame(x))
        return ""

    def _describe(self, name: str, strip: Strip, frame: int) -> str:
        edges = self.axis.edges
        for what, intervals in (("", strip.bouts), ("not scored: ", strip.unscored)):
            found = covering(intervals, frame)
            if found is not None:
                first, stop = found
                seconds = f"{edges[first]:.2f} – {edges[stop]:.2f} s, {edges[stop] - edges[first]:.2f} s long"
                return f"{name}\n{what}{seconds}\nframes {first} to {stop - 1}"
        return f"{name}\nabsent at {edges[frame]:.2f} s"

    # -- painting

    def _repaint(self) -> None:
        self._picture = None
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the lanes from the kept picture, then names and playhead."""
        page = self.page()
        if self._picture is None or self._picture.devicePixelRatio() != self.devicePixelRatioF():
            self._picture = self._paint_picture(page)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        page.paint_names(painter, self.frame)
        if not self._empty:
            page.paint_playhead(painter, self.frame)
        if self._message:
            page.paint_message(painter, self._message)
        painter.end()

    def _paint_picture(self, page: EthogramPage) -> QPixmap:
        picture = QPixmap(self.size() * self.devicePixelRatioF())
        picture.setDevicePixelRatio(self.devicePixelRatioF())
        picture.fill(QColor(self._colors.background))
        if not self._empty:
            painter = QPainter(picture)
            page.paint_lanes(painter)
            painter.end()
        return picture

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Paint anew at another size."""
        self._repaint()

    # -- hands

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Put the playhead where the user points."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._point_at(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the playhead, or say what is here."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._point_at(event.position())
            return
        text = self.describe(event.position().x(), event.position().y())
        if text:
            here = event.position().toPoint()
            around = QRect(here - QPoint(3, 3), QSize(7, 7))
            QToolTip.showText(self.mapToGlobal(here), text, self, around)
        else:
            QToolTip.hideText()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show the whole recording."""
        self.axis.reset()
        self._repaint()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom around the cursor; sideways or with Shift, move along."""
        if self._empty:
            return
        turned = event.angleDelta()
        sideways = turned.x() or (turned.y() if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 0)
        if sideways:
            self.axis.pan(-sideways / 120 * PAN_PER_NOTCH * (self.axis.stop - self.axis.start))
        else:
            self.axis.zoom(ZOOM_PER_NOTCH ** (turned.y() / 120), event.position().x())
        self._repaint()
        event.accept()

    def _point_at(self, position: QPointF) -> None:
        if self._empty:
            return
        self.page()
        self.frame = self.axis.frame(position.x())
        self.update()  # at once, even while the frame is still being decoded
        self.frame_chosen.emit(self.frame)
