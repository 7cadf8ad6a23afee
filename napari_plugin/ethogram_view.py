"""The ethogram as a widget: a lane per behaviour, true above predicted, and a playhead to drag.

Lanes are painted once into a picture that is kept; a move of the playhead paints only that picture and a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import (
    QBrush,
    QColor,
    QFontMetricsF,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from .ethogram_data import KINDS, Lane, Strip
from .time_axis import TimeAxis, pixel_runs

TOP, AXIS, RIGHT, GAP = 22, 26, 18, 10  # pixels: legend above, times below, margins
LEAST_LANE, GOOD_LANE, MOST_LANE = 17, 30, 54
ZOOM_PER_NOTCH = 1.25


@dataclass(frozen=True, kw_only=True)
class ViewColors:
    """Colours that follow the viewer's theme.

    Parameters
    ----------
    background, lane, unscored, grid, text, faint, playhead : str
        Hexadecimal.
    """

    background: str = "#23242b"
    lane: str = "#2e333e"
    unscored: str = "#d1d2d4"
    grid: str = "#3a404b"
    text: str = "#f0f1f2"
    faint: str = "#a9adb5"
    playhead: str = "#ffffff"


class EthogramView(QWidget):
    """Bouts of one individual along time.

    Click or drag to choose a frame, turn the wheel to zoom, with Shift to move, double-click to see everything.

    Attributes
    ----------
    frame_chosen : Signal(int)
        Emitted when the user points at a frame.
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

    def _repaint(self) -> None:
        self._picture = None
        self.update()

    # -- where things are

    def sizeHint(self) -> QSize:
        """Room for lanes of a good height."""
        return QSize(700, TOP + AXIS + GOOD_LANE * max(3, len(self.lanes)))

    def minimumSizeHint(self) -> QSize:
        """Room for lanes that can still be read."""
        return QSize(260, TOP + AXIS + LEAST_LANE * max(3, len(self.lanes)))

    def _lane_height(self) -> float:
        return min(MOST_LANE, (self.height() - TOP - AXIS) / max(1, len(self.lanes)))

    def _place_axis(self) -> None:
        widths = [QFontMetricsF(self.font()).horizontalAdvance(_readable(lane.behavior)) for lane in self.lanes]
        self.axis.left = GAP + min(max(widths, default=0.0) + 2 * GAP + 8, self.width() * 0.35)
        self.axis.width = max(1.0, self.width() - RIGHT - self.axis.left)

    def strip_rect(self, row: int, kind: str) -> QRectF:
        """Where one half of a lane is painted.

        Parameters
        ----------
        row : int
            Which lane.
        kind : {"true", "predicted"}
            Which half.

        Returns
        -------
        QRectF
        """
        self._place_axis()
        height = self._lane_height()
        inner = height * 0.8
        strips = self.lanes[row].strips
        part = inner / len(strips) if strips else inner
        place = list(strips).index(kind) if kind in strips else 0
        top = TOP + row * height + (height - inner) / 2 + place * part
        return QRectF(self.axis.left, round(top), self.axis.width, max(2.0, round(top + part) - round(top) - 1))

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
        self._place_axis()
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
        if self._empty or x < self.axis.left:
            return ""
        frame = self.axis.frame(x)
        for row, lane in enumerate(self.lanes):
            for kind, strip in lane.strips.items():
                rect = self.strip_rect(row, kind)
                if rect.top() <= y <= rect.bottom() + 1:
                    return self._describe(lane.behavior, kind, strip, frame)
        return ""

    def _describe(self, behavior: str, kind: str, strip: Strip, frame: int) -> str:
        name = f"{_readable(behavior)} ({kind})"
        for what, intervals in (("", strip.bouts), ("not scored: ", strip.unscored)):
            at = int(np.searchsorted(intervals[:, 0], frame, side="right")) - 1
            if at >= 0 and frame < intervals[at, 1]:
                first, stop = (int(f) for f in intervals[at])
                start_s, stop_s = self.axis.edges[first], self.axis.edges[stop]
                return (
                    f"{name}\n{what}{start_s:.2f} – {stop_s:.2f} s, {stop_s - start_s:.2f} s long\n"
                    f"frames {first} to {stop - 1}"
                )
        return f"{name}\nabsent at {self.axis.edges[frame]:.2f} s"

    # -- painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the lanes from the kept picture, then names and playhead."""
        self._place_axis()
        if self._picture is None or self._picture.size() != self.size() * self.devicePixelRatioF():
            self._picture = self._paint_picture()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        self._paint_names(painter)
        if not self._empty:
            self._paint_playhead(painter)
        if self._message:
            room = self.rect().adjusted(20, TOP, -20, -AXIS)
            text = painter.boundingRect(room, _centred(wrap=True), self._message)
            painter.fillRect(text.adjusted(-10, -6, 10, 6), QColor(self._colors.background))
            painter.setPen(QColor(self._colors.faint))
            painter.drawText(room, _centred(wrap=True), self._message)
        painter.end()

    def _paint_picture(self) -> QPixmap:
        """Everything but names and playhead."""
        picture = QPixmap(self.size() * self.devicePixelRatioF())
        picture.setDevicePixelRatio(self.devicePixelRatioF())
        picture.fill(QColor(self._colors.background))
        painter = QPainter(picture)
        painter.setFont(self.font())
        self._paint_lanes(painter)
        painter.end()
        return picture

    def _paint_lanes(self, painter: QPainter) -> None:
        for row, lane in enumerate(self.lanes):
            for kind in lane.strips:
                painter.fillRect(self.strip_rect(row, kind), QColor(self._colors.lane))
        if not self._empty:
            self._paint_times(painter)
        unscored = self._hatching()
        for row, lane in enumerate(self.lanes):
            for kind, strip in lane.strips.items():
                rect = self.strip_rect(row, kind)
                self._paint_bars(painter, rect, strip.unscored, unscored)
                color = QColor(lane.color)
                color.setAlphaF(1.0 if kind == KINDS[0] else 0.68)
                self._paint_bars(painter, rect, strip.bouts, QBrush(color))
        self._paint_legend(painter)

    def _paint_bars(self, painter: QPainter, rect: QRectF, intervals: np.ndarray, brush: QBrush) -> None:
        times = self.axis.edges[intervals]
        seen = times[(times[:, 1] > self.axis.start) & (times[:, 0] < self.axis.stop)]
        for first, last in pixel_runs(np.clip(self.axis.x(seen), rect.left(), rect.right())):
            painter.fillRect(QRectF(float(first), rect.top(), float(last - first), rect.height()), brush)

    def _hatching(self) -> QBrush:
        color = QColor(self._colors.unscored)
        color.setAlphaF(0.45)
        return QBrush(color, Qt.BrushStyle.BDiagPattern)

    def _paint_legend(self, painter: QPainter) -> None:
        kinds = [k for k in KINDS if any(k in lane.strips for lane in self.lanes)]
        if not kinds:
            return
        words = {"true": "true (above)", "predicted": "predicted (below)"} if len(kinds) == 2 else {k: k for k in kinds}
        entries: list[tuple[str, QBrush]] = []
        for kind in kinds:
            swatch = QColor(self._colors.faint)
            swatch.setAlphaF(1.0 if kind == KINDS[0] else 0.5)
            entries.append((words[kind], QBrush(swatch)))
        if any(len(strip.unscored) for lane in self.lanes for strip in lane.strips.values()):
            entries.append(("not scored", self._hatching()))
        metrics = QFontMetricsF(painter.font())
        x = self.width() - RIGHT - sum(metrics.horizontalAdvance(text) + 16 + 16 for text, _ in entries) + 16
        for text, brush in entries:
            swatch_rect = QRectF(x, TOP / 2 - 6, 11, 10)
            painter.fillRect(swatch_rect, QColor(self._colors.lane))
            painter.fillRect(swatch_rect, brush)
            painter.setPen(QColor(self._colors.faint))
            advance = metrics.horizontalAdvance(text)
            painter.drawText(QRectF(x + 16, 0, advance + 2, TOP - 2), _centred(), text)
            x += advance + 32

    def _paint_times(self, painter: QPainter) -> None:
        bottom = round(TOP + self._lane_height() * len(self.lanes)) if self.lanes else self.height() - AXIS
        ticks, decimals = self.axis.ticks()
        for k, seconds in enumerate(ticks):
            x = float(self.axis.x(seconds))
            painter.setPen(QColor(self._colors.grid))
            painter.drawLine(QPointF(x, TOP), QPointF(x, bottom + 4))
            painter.setPen(QColor(self._colors.faint))
            text = f"{seconds:.{decimals}f}" + (" s" if k == len(ticks) - 1 else "")
            painter.drawText(QRectF(x - 50, bottom + 4, 100, AXIS - 6), _centred(), text)

    def _paint_names(self, painter: QPainter) -> None:
        metrics = QFontMetricsF(self.font())
        for row, lane in enumerate(self.lanes):
            height = self._lane_height()
            middle = TOP + (row + 0.5) * height
            now = any(_covers(strip.bouts, self.frame) for strip in lane.strips.values())
            painter.fillRect(QRectF(GAP, middle - 6, 5, 12), QColor(lane.color))
            painter.setPen(QColor(self._colors.text if now else self._colors.faint))
            room = self.axis.left - GAP - 12
            text = metrics.elidedText(_readable(lane.behavior), Qt.TextElideMode.ElideRight, room)
            flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
            painter.drawText(QRectF(GAP + 11, middle - height / 2, room, height), flags, text)

    def _paint_playhead(self, painter: QPainter) -> None:
        first, stop = (float(v) for v in self.axis.x(self.axis.edges[self.frame : self.frame + 2]))
        if stop < self.axis.left or first > self.axis.left + self.axis.width:
            return
        bottom = TOP + self._lane_height() * len(self.lanes) if self.lanes else self.height() - AXIS
        color = QColor(self._colors.playhead)
        if stop - first > 3:  # zoomed in: the whole frame
            band = QColor(color)
            band.setAlphaF(0.18)
            painter.fillRect(QRectF(first, TOP, stop - first, bottom - TOP), band)
        x = (first + stop) / 2
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(color, 1.5))
        painter.drawLine(QPointF(x, TOP - 4), QPointF(x, bottom + 2))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawPolygon(QPolygonF([QPointF(x - 6, TOP - 11), QPointF(x + 6, TOP - 11), QPointF(x, TOP - 2)]))

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
            self.axis.pan(-sideways / 120 * 0.1 * (self.axis.stop - self.axis.start))
        else:
            self.axis.zoom(ZOOM_PER_NOTCH ** (turned.y() / 120), event.position().x())
        self._repaint()
        event.accept()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Paint anew at another size."""
        self._repaint()

    def _point_at(self, position: QPointF) -> None:
        if self._empty:
            return
        self._place_axis()
        self.frame = self.axis.frame(position.x())
        self.update()  # at once, even while the frame is still being decoded
        self.frame_chosen.emit(self.frame)


def _covers(intervals: np.ndarray, frame: int) -> bool:
    at = int(np.searchsorted(intervals[:, 0], frame, side="right")) - 1
    return at >= 0 and frame < int(intervals[at, 1])


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _centred(*, wrap: bool = False) -> int:
    flags = Qt.AlignmentFlag.AlignCenter
    return int(flags | Qt.TextFlag.TextWordWrap) if wrap else int(flags)
