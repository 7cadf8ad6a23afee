"""The dock: the ethogram of the recording that is shown, tied to the frame slider both ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from napari.settings import get_settings
from napari.utils.notifications import show_error
from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QVBoxLayout, QWidget

from behavior_prism.analysis import behavior_colors
from behavior_prism.workflow import PREDICTIONS_ENDING

from .dock_header import DockHeader
from .ethogram_data import KINDS, EthogramData, load_ethogram
from .ethogram_page import ViewColors
from .ethogram_view import EthogramView
from .reader import METADATA_KEY, read_predictions, read_video
from .sources import is_video
from .viewer_time import Playback, frame_of_viewer, show_frame

if TYPE_CHECKING:
    import napari

PLUGIN, WIDGET = "behavior-prism", "Ethogram"
WELCOME = "Open a video or a .predictions.zarr folder: its ethogram appears here."
NOTHING = "No human labels beside this video and no predictions. Drag along the time axis to look around."


class EthogramDock(QWidget):
    """Ethogram of the active recording.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer; layers made by our readers are found by their metadata.

    Attributes
    ----------
    data : EthogramData or None
        What is shown.
    view : EthogramView
        Where it is drawn.
    header : DockHeader
        The controls above it.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        # An ethogram is wide: below the picture, unless the user has put it elsewhere before.
        get_settings().application.plugin_widget_positions.setdefault(f"{WIDGET} ({PLUGIN})", "bottom")
        super().__init__()
        self.setObjectName("ethogram_dock")
        self.data: EthogramData | None = None
        self._viewer = napari_viewer
        self._layer: Any = None
        self._offered: list[Path] = []
        self._individual = ""
        self._bouts = self._differences = np.zeros(0, dtype=np.int64)

        self.header = DockHeader()
        self.view = EthogramView()
        self.notes = QLabel()
        self.notes.setObjectName("notes_label")
        self.notes.setWordWrap(True)
        self.notes.setContentsMargins(10, 0, 10, 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(4)
        column.addWidget(self.header)
        column.addWidget(self.notes)
        column.addWidget(self.view, stretch=1)

        # While the user drags, frames are asked for faster than they are decoded: only the last one counts.
        self._wanted = QTimer(self)
        self._wanted.setSingleShot(True)
        self._wanted.timeout.connect(self._show_wanted)
        self._playback = Playback(self)
        self._playback.frame_due.connect(self._go)
        self._playback.running_changed.connect(self.header.set_playing)
        self.view.frame_chosen.connect(self._point_at)
        self.header.recording_chosen.connect(self._choose_recording)
        self.header.individual_chosen.connect(self._choose_individual)
        self.header.play_toggled.connect(self._play)
        self.header.jump.connect(self._jump)
        self._follow_viewer()
        self._follow_theme()
        self._follow_layers()

    # -- the viewer

    def _follow_viewer(self) -> None:
        viewer = self._viewer
        self._connections = [
            (viewer.dims.events.current_step, self._follow_slider),
            (viewer.layers.events.inserted, self._follow_layers),
            (viewer.layers.events.removed, self._follow_layers),
            (viewer.layers.events.renamed, self._follow_layers),
            (viewer.layers.selection.events.active, self._follow_layers),
            (viewer.events.theme, self._follow_theme),
        ]
        for event, callback in self._connections:
            event.connect(callback)

    def _gone(self) -> bool:
        """Whether Qt has deleted this widget while the viewer still calls it."""
        if isalive(self):
            return False
        for event, callback in self._connections:
            event.disconnect(callback)
        self._connections = []
        return True

    def _follow_theme(self, event: Any = None) -> None:
        if self._gone():
            return
        theme = get_theme(self._viewer.theme)
        colors = ViewColors(
            background=theme.background.as_hex(),
            lane=theme.foreground.as_hex(),
            unscored=theme.icon.as_hex(),
            grid=theme.primary.as_hex(),
            text=theme.text.as_hex(),
            faint=theme.icon.as_hex(),
            playhead=theme.text.as_hex(),
        )
        self.view.set_colors(colors)
        warning = QColor(theme.warning.as_hex())
        if QColor(colors.background).lightnessF() > 0.5:
            warning = warning.darker(190)  # amber cannot be read on a light ground
        self.notes.setStyleSheet(f"color: {warning.name()};")

    def _our_layers(self) -> list[Any]:
        return [layer for layer in self._viewer.layers if layer.ndim == 3 and METADATA_KEY in layer.metadata]

    def _follow_layers(self, event: Any = None) -> None:
        if self._gone():
            return
        ours = self._our_layers()
        active = self._viewer.layers.selection.active
        if active in ours:
            chosen = active
        elif self._layer in ours:
            chosen = self._layer
        else:
            chosen = next((layer for layer in ours if layer.visible), ours[0] if ours else None)
        if chosen != self._layer:  # by value: napari may hand out a layer behind a proxy
            self._show_layer(chosen)
        self._list_recordings()

    def _follow_slider(self, event: Any = None) -> None:
        if self._gone() or self.data is None or self._layer not in self._viewer.layers:
            return
        frame = frame_of_viewer(self._viewer, self._layer, self.data.num_frames)
        if self._playback.is_running:
            self._playback.move_to(frame)
        if not self._wanted.isActive():  # else the playhead is already where the slider will go
            self.view.set_frame(frame)
        self._say_now(frame)

    # -- what is shown

    def _show_layer(self, layer: Any) -> None:
        self._playback.stop()
        self._wanted.stop()
        if self._layer is not None and hasattr(self._layer.data, "release"):
            self._layer.data.release()
        self._layer = layer
        self.data = None if layer is None else load_ethogram(layer.metadata[METADATA_KEY])
        names = self.data.individuals if self.data else ()
        if self._individual not in names:
            self._individual = names[0] if names else ""
        self.header.set_individuals(names, names.index(self._individual) if names else -1)
        self.notes.setText("\n".join(self.data.notes) if self.data else "")
        self.notes.setVisible(bool(self.notes.text()))
        self._show_individual()

    def _show_individual(self) -> None:
        lanes = self.data.lanes(self._individual) if self.data and self._individual else []
        first = bool(lanes) and not self.view.lanes
        self._bouts = self.data.bout_starts(self._individual) if self.data and lanes else np.zeros(0, dtype=np.int64)
        self._differences = self.data.differences(self._individual)[:, 0] if self.data and lanes else self._bouts[:0]
        self.header.enable_jumps("bout", len(self._bouts))
        self.header.enable_jumps("difference", len(self._differences))
        self.header.play.setEnabled(self.data is not None)
        if self.data is None:
            self.view.show_lanes([], None, WELCOME)
            self.header.set_time("")
            self.header.set_now({}, {})
        else:
            self.header.reserve_time(_when(self.data, self.data.num_frames - 1))
            self.view.show_lanes(lanes, self.data.edges, "" if lanes else NOTHING)
            self._follow_slider()
        if first:
            self.ask_for_room()

    def _say_now(self, frame: int) -> None:
        data = self.data
        if data is None:
            return
        self.header.set_time(_when(data, frame))
        present = {k: data.present(k, self._individual, frame) for k in KINDS if k in data.states}
        self.header.set_now(present, behavior_colors(data.behaviors))

    # -- the controls

    def _point_at(self, frame: int) -> None:
        self._wanted_frame = frame
        self._wanted.start(0)

    def _show_wanted(self) -> None:
        self._go(self._wanted_frame)

    def _go(self, frame: int) -> None:
        if self.data is not None and self._layer in self._viewer.layers:
            try:
                show_frame(self._viewer, self._layer, frame)
            except ValueError as error:  # a damaged frame
                self._playback.stop()
                show_error(_one_line(error))

    def _play(self, wanted: bool) -> None:
        if wanted and self.data is not None:
            self._playback.start(self.data.edges, self.view.frame)
        else:
            self._playback.stop()

    def _jump(self, what: str, direction: int) -> None:
        places = self._bouts if what == "bout" else self._differences
        here = self.view.frame
        beyond = places[places > here] if direction > 0 else places[places < here][::-1]
        if len(beyond):
            self._go(int(beyond[0]))

    def _choose_individual(self, name: str) -> None:
        self._individual = name
        self._show_individual()

    def ask_for_room(self) -> None:
        """Take the height at which all lanes can be read well, where the window has it."""
        dock = self.parent()
        window = self.window()
        if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow):
            window.resizeDocks([dock], [min(self.sizeHint().height(), window.height() // 2)], Qt.Orientation.Vertical)

    # -- several recordings

    def offer(self, paths: Sequence[Path]) -> None:
        """Put recordings that are not open yet on the list.

        Parameters
        ----------
        paths : sequence of pathlib.Path
            Videos and prediction stores; opened when the user chooses them.
        """
        self._offered = [Path(p).resolve() for p in paths]
        self._list_recordings()

    def _entries(self) -> list[tuple[str, Path | None, Any]]:
        """(name, path, layer) of every recording on the list."""
        open_layers = {layer.metadata[METADATA_KEY]["source"]: layer for layer in self._our_layers()}
        entries: list[tuple[str, Path | None, Any]] = []
        for path in self._offered:
            name = path.stem if is_video(path) else path.name.removesuffix(PREDICTIONS_ENDING)
            entries.append((name, path, open_layers.pop(str(path), None)))
        entries.extend((layer.name, None, layer) for layer in open_layers.values())
        return entries

    def _list_recordings(self) -> None:
        entries = self._entries()
        current = next((i for i, e in enumerate(entries) if e[2] is not None and e[2] == self._layer), -1)
        self.header.set_recordings([name for name, _, _ in entries], current)

    def _choose_recording(self, position: int) -> None:
        _, path, layer = self._entries()[position]
        if layer is not None and layer == self._layer:
            return
        if layer is None and path is not None:
            layer = self._open(path)
        if layer is None:
            self._list_recordings()  # back to the one that is shown
            return
        for other in self._our_layers():
            other.visible = other == layer
        self._viewer.layers.selection.active = layer

    def _open(self, path: Path) -> Any:
        """Open an offered recording in the place of the one before: the slider fits only one of them."""
        try:
            (layer_data,) = read_video(path) if is_video(path) else read_predictions(path)
        except (ValueError, OSError) as error:
            show_error(_one_line(error))
            return None
        before = self._layer
        layer = self._viewer.add_layer(Layer.create(*layer_data))
        if before is not None and before in self._viewer.layers:
            sources = {str(p) for p in self._offered}
            if before.metadata[METADATA_KEY]["source"] in sources:
                self._viewer.layers.remove(before)
        self._viewer.dims.set_point(self._viewer.dims.ndim - layer.ndim, 0)
        self._viewer.reset_view()
        return layer


def _when(data: EthogramData, frame: int) -> str:
    return f"{data.edges[frame]:.2f} s · frame {frame} / {data.num_frames - 1}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
