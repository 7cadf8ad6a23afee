"""How an ethogram is laid out and painted: lanes with the true half above the predicted one, times below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import QPointF, QRect, QRectF, Qt
from qtpy.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPen, QPolygonF

from .ethogram_data import KINDS, Lane
from .time_axis import TimeAxis, pixel_runs

TOP, AXIS, RIGHT, GAP = 22, 26, 18, 10  # pixels: legend above, times below, margins
MOST_LANE = 54  # pixels
PREDICTED_OPACITY = 0.68


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


@dataclass(frozen=True, kw_only=True)
class EthogramPage:
    """One state of the widget, ready to be painted.

    Parameters
    ----------
    lanes : sequence of Lane
        From top to bottom.
    axis : TimeAxis
        The stretch of time; it is given its place on the page.
    colors : ViewColors
        All but those of the behaviours.
    width, height : int
        Size of the page [pixels].
    font : QFont
        For names and times.
    """

    lanes: Sequence[Lane]
    axis: TimeAxis
    colors: ViewColors
    width: int
    height: int
    font: QFont

    def __post_init__(self) -> None:
        metrics = QFontMetricsF(self.font)
        widest = max((metrics.horizontalAdvance(readable(lane.behavior)) for lane in self.lanes), default=0.0)
        self.axis.left = GAP + min(widest + 2 * GAP + 8, self.width * 0.35)
        self.axis.width = max(1.0, self.width - RIGHT - self.axis.left)

    # -- where things are

    @property
    def lane_height(self) -> float:
        """Height of a lane with its margin [pixels]."""
        return min(MOST_LANE, (self.height - TOP - AXIS) / max(1, len(self.lanes)))

    @property
    def bottom(self) -> float:
        """Where the lanes end [pixels]."""
        return TOP + self.lane_height * len(self.lanes) if self.lanes else self.height - AXIS

    def strip_rect(self, row: int, kind: str) -> QRectF:
        """Where one half of a lane is painted.

        Parameters
        ----------
        row : int
            Which lane.
        kind : {"true", "predicted"}
            Which half; a lane that has only one gives it all its room.

        Returns
        -------
        QRectF
        """
        kinds = list(self.lanes[row].strips)
        inner = self.lane_height * 0.8
        part = inner / len(kinds)
        top = TOP + row * self.lane_height + (self.lane_height - inner) / 2 + kinds.index(kind) * part
        return QRectF(self.axis.left, round(top), self.axis.width, max(2.0, round(top + part) - round(top) - 1))

    # -- what stays while the playhead moves

    def paint_lanes(self, painter: QPainter) -> None:
        """Paint bouts, what was not scored, times and legend.

        Parameters
        ----------
        painter : QPainter
            Of a picture of the page's size.
        """
        painter.setFont(self.font)
        for row, lane in enumerate(self.lanes):
            for kind in lane.strips:
                painter.fillRect(self.strip_rect(row, kind), QColor(self.colors.lane))
        self._paint_times(painter)
        for row, lane in enumerate(self.lanes):
            for kind, strip in lane.strips.items():
                rect = self.strip_rect(row, kind)
                self._paint_bars(painter, rect, strip.unscored, self._hatching())
                self._paint_bars(painter, rect, strip.bouts, _fill(lane.color, kind))
        self._paint_legend(painter)

    def _paint_bars(self, painter: QPainter, rect: QRectF, intervals: np.ndarray, brush: QBrush) -> None:
        times = self.axis.edges[intervals]
        seen = times[(times[:, 1] > self.axis.start) & (times[:, 0] < self.axis.stop)]
        for first, last in pixel_runs(np.clip(self.axis.x(seen), rect.left(), rect.right())):
            painter.fillRect(QRectF(float(first), rect.top(), float(last - first), rect.height()), brush)

    def _paint_times(self, painter: QPainter) -> None:
        ticks, decimals = self.axis.ticks()
        for k, seconds in enumerate(ticks):
            x = float(self.axis.x(seconds))
            painter.setPen(QColor(self.colors.grid))
            painter.drawLine(QPointF(x, TOP), QPointF(x, self.bottom + 4))
            painter.setPen(QColor(self.colors.faint))
            text = f"{seconds:.{decimals}f}" + (" s" if k == len(ticks) - 1 else "")
            painter.drawText(QRectF(x - 50, self.bottom + 4, 100, AXIS - 6), _centred(), text)

    def _paint_legend(self, painter: QPainter) -> None:
        kinds = [k for k in KINDS if any(k in lane.strips for lane in self.lanes)]
        place = {"true": " (above)", "predicted": " (below)"} if len(kinds) == 2 else {}
        entries = [(kind + place.get(kind, ""), _fill(self.colors.faint, kind)) for kind in kinds]
        if any(len(strip.unscored) for lane in self.lanes for strip in lane.strips.values()):
            entries.append(("not scored", self._hatching()))
        advances = [QFontMetricsF(self.font).horizontalAdvance(text) for text, _ in entries]
        x = self.width - RIGHT - sum(advances) - 32 * len(entries) + 16
        for (text, brush), advance in zip(entries, advances, strict=True):
            swatch = QRectF(x, TOP / 2 - 6, 11, 10)
            painter.fillRect(swatch, QColor(self.colors.lane))
            painter.fillRect(swatch, brush)
            painter.setPen(QColor(self.colors.faint))
            painter.drawText(QRectF(x + 16, 0, advance + 2, TOP - 2), _centred(), text)
            x += advance + 32

    def _hatching(self) -> QBrush:
        color = QColor(self.colors.unscored)
        color.setAlphaF(0.45)
        return QBrush(color, Qt.BrushStyle.BDiagPattern)

    # -- what changes with every frame

    def paint_names(self, painter: QPainter, frame: int) -> None:
        """Paint the behaviours' names, brighter where the behaviour is present.

        Parameters
        ----------
        painter : QPainter
            Of the widget.
        frame : int
            Where the playhead is.
        """
        painter.setFont(self.font)
        room = self.axis.left - GAP - 12
        for row, lane in enumerate(self.lanes):
            top = TOP + row * self.lane_height
            now = any(covering(strip.bouts, frame) is not None for strip in lane.strips.values())
            painter.fillRect(QRectF(GAP, top + self.lane_height / 2 - 6, 5, 12), QColor(lane.color))
            painter.setPen(QColor(self.colors.text if now else self.colors.faint))
            text = QFontMetricsF(self.font).elidedText(readable(lane.behavior), Qt.TextElideMode.ElideRight, room)
            flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
            painter.drawText(QRectF(GAP + 11, top, room, self.lane_height), flags, text)

    def paint_playhead(self, painter: QPainter, frame: int) -> None:
        """Paint the playhead, and the whole frame where it is wide enough to see.

        Parameters
        ----------
        painter : QPainter
            Of the widget.
        frame : int
            Where it is.
        """
        first, stop = (float(x) for x in self.axis.x(self.axis.edges[frame : frame + 2]))
        if stop < self.axis.left or first > self.axis.left + self.axis.width:
            return
        color = QColor(self.colors.playhead)
        if stop - first > 3:
            band = QColor(color)
            band.setAlphaF(0.18)
            painter.fillRect(QRectF(first, TOP, stop - first, self.bottom - TOP), band)
        x = (first + stop) / 2
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(color, 1.5))
        painter.drawLine(QPointF(x, TOP - 4), QPointF(x, self.bottom + 2))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawPolygon(QPolygonF([QPointF(x - 6, TOP - 11), QPointF(x + 6, TOP - 11), QPointF(x, TOP - 2)]))

    def paint_message(self, painter: QPainter, text: str) -> None:
        """Write something in the middle.

        Parameters
        ----------
        painter : QPainter
            Of the widget.
        text : str
            What to write.
        """
        painter.setFont(self.font)
        flags = _centred(wrap=True)
        room = QRect(20, TOP, self.width - 40, self.height - TOP - AXIS)
        painter.fillRect(
            painter.boundingRect(room, flags, text).adjusted(-10, -6, 10, 6), QColor(self.colors.background)
        )
        painter.setPen(QColor(self.colors.faint))
        painter.drawText(room, flags, text)


def covering(intervals: np.ndarray, frame: int) -> tuple[int, int] | None:
    """Find the interval that holds a frame.

    Parameters
    ----------
    intervals : numpy.ndarray
        Half-open, increasing, shape (n, 2).
    frame : int
        Which frame.

    Returns
    -------
    (int, int) or None
    """
    at = int(np.searchsorted(intervals[:, 0], frame, side="right")) - 1
    if at < 0 or frame >= intervals[at, 1]:
        return None
    return int(intervals[at, 0]), int(intervals[at, 1])


def readable(name: str) -> str:
    """Write a behaviour's name for people.

    Parameters
    ----------
    name : str
        As in the data.

    Returns
    -------
    str
    """
    return name.replace("_", " ")


def _fill(color: str, kind: str) -> QBrush:
    filled = QColor(color)
    filled.setAlphaF(1.0 if kind == KINDS[0] else PREDICTED_OPACITY)
    return QBrush(filled)


def _centred(*, wrap: bool = False) -> int:
    flags = Qt.AlignmentFlag.AlignCenter
    return int(flags | Qt.TextFlag.TextWordWrap) if wrap else int(flags)
