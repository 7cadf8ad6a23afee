"""The row above the ethogram: which recording, which individual, when, what, and where to go next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from qtpy.QtCore import Qt, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import QColor, QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QComboBox, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

Names = tuple[str, ...] | None
ONE_ROW = 900  # pixels: in a narrower dock the controls take two rows


class DockHeader(QWidget):
    """Controls of the dock. Holds no state but what it shows.

    Attributes
    ----------
    recording_chosen : Signal(int)
        Position in the list of recordings.
    individual_chosen : Signal(str)
        Name.
    play_toggled : Signal(bool)
        Play or pause.
    jump : Signal(str, int)
        ``"bout"`` or ``"difference"``, and -1 (previous) or 1 (next).
    """

    recording_chosen = Signal(int)
    individual_chosen = Signal(str)
    play_toggled = Signal(bool)
    jump = Signal(str, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.recording = _combo("recording_choice", "Recording", 16)
        self.recording.activated.connect(self.recording_chosen)
        self.individual = _combo("individual_choice", "Individual", 6)
        self.individual.activated.connect(lambda: self.individual_chosen.emit(self.individual.currentText()))
        self.play = _button("play_button", "▶", "Play at the recording's own speed")
        self.play.setCheckable(True)
        self.play.toggled.connect(self.play_toggled)
        self.time = _label("time_label")
        self.time.setToolTip("Time of the frame that is shown, and its number (the first is 0)")
        self.now = _label("now_label")
        self.now.setTextFormat(Qt.TextFormat.RichText)
        self.now.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # gives way to the others

        self._rows = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._rows.setContentsMargins(10, 4, 10, 0)
        self._rows.setSpacing(8)
        where, what_now = QHBoxLayout(), QHBoxLayout()
        for row, stretch in ((where, 0), (what_now, 1)):
            row.setSpacing(8)
            self._rows.addLayout(row, stretch)
        for widget in (self.recording, self.individual, self.play, self.time):
            where.addWidget(widget)
        where.addStretch()
        what_now.addWidget(self.now, stretch=1)
        self.jumps = {
            what: _jump_buttons(what, tip, self.jump.emit)
            for what, tip in (
                ("bout", "bout (true or predicted) of this individual"),
                ("difference", "stretch where true and predicted differ"),
            )
        }
        for what, (back, on) in self.jumps.items():
            what_now.addSpacing(6)
            what_now.addWidget(back)
            name = _label(f"{what}_label")
            name.setText(what)
            what_now.addWidget(name)
            what_now.addWidget(on)
        self.setMinimumWidth(420)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take one row or two."""
        direction = QBoxLayout.Direction
        self._rows.setDirection(direction.LeftToRight if self.width() >= ONE_ROW else direction.TopToBottom)

    def set_recordings(self, names: Sequence[str], current: int) -> None:
        """Fill the list of recordings.

        Parameters
        ----------
        names : sequence of str
            In order.
        current : int
            Which one is shown; -1 for none.
        """
        _fill(self.recording, names, current)
        self.recording.setEnabled(bool(names))

    def set_individuals(self, names: Sequence[str], current: int) -> None:
        """Fill the list of individuals; it hides if there is no choice.

        Parameters
        ----------
        names : sequence of str
            In order.
        current : int
            Which one is shown; -1 for none.
        """
        _fill(self.individual, names, current)
        self.individual.setVisible(len(names) > 1)

    def set_playing(self, playing: bool) -> None:
        """Show whether it plays.

        Parameters
        ----------
        playing : bool
            Whether it does.
        """
        self.play.blockSignals(True)
        self.play.setChecked(playing)
        self.play.setText("❚❚" if playing else "▶")
        self.play.blockSignals(False)

    def reserve_time(self, longest: str) -> None:
        """Keep room, so that nothing moves while it plays.

        Parameters
        ----------
        longest : str
            The longest text that :meth:`set_time` will be given.
        """
        self.time.setMinimumWidth(self.time.fontMetrics().horizontalAdvance(longest) + 8)

    def set_time(self, text: str) -> None:
        """Say when it is.

        Parameters
        ----------
        text : str
            Time and frame.
        """
        self.time.setText(text)

    def set_now(self, present: Mapping[str, Names], colors: Mapping[str, str]) -> None:
        """Say which behaviours are seen at this frame.

        Parameters
        ----------
        present : mapping of str to (tuple of str or None)
            For ``"true"`` and ``"predicted"``: behaviours, None where nothing was scored.
        colors : mapping of str to str
            Colour of every behaviour.
        """
        parts = [f"{kind}&nbsp; {_chips(names, colors)}" for kind, names in present.items()]
        self.now.setText("&nbsp;&nbsp;&nbsp;&nbsp; ".join(parts))

    def enable_jumps(self, what: str, count: int) -> None:
        """Allow jumping if there is anywhere to go.

        Parameters
        ----------
        what : {"bout", "difference"}
            Which pair of buttons.
        count : int
            How many places there are.
        """
        for button in self.jumps[what]:
            button.setEnabled(count > 0)


def _chips(names: Names, colors: Mapping[str, str]) -> str:
    if names is None:
        return "<i>not scored</i>"
    return " ".join(_chip(name, colors[name]) for name in names) or "<i>none</i>"


def _chip(name: str, color: str) -> str:
    ink = "#111111" if QColor(color).lightnessF() > 0.42 else "#ffffff"
    text = escape(name.replace("_", " "))
    return f'<span style="background-color:{color}; color:{ink};">&nbsp;{text}&nbsp;</span>'


def _label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    return label


def _combo(name: str, tip: str, letters: int) -> QComboBox:
    combo = QComboBox()
    combo.setObjectName(name)
    combo.setToolTip(tip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    combo.setMinimumContentsLength(letters)
    combo.setMaximumWidth(280)
    return combo


def _fill(combo: QComboBox, names: Sequence[str], current: int) -> None:
    combo.blockSignals(True)
    combo.clear()
    combo.addItems(list(names))
    combo.setCurrentIndex(current)
    combo.blockSignals(False)


def _button(name: str, text: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setObjectName(name)
    button.setText(text)
    button.setToolTip(tip)
    return button


def _jump_buttons(what: str, tip: str, jump: Callable[[str, int], None]) -> tuple[QToolButton, QToolButton]:
    back = _button(f"previous_{what}_button", "‹", f"Previous {tip}")
    on = _button(f"next_{what}_button", "›", f"Next {tip}")
    for button in (back, on):
        font = button.font()
        font.setPointSizeF(font.pointSizeF() * 1.5)
        button.setFont(font)
    back.clicked.connect(lambda: jump(what, -1))
    on.clicked.connect(lambda: jump(what, 1))
    return back, on
