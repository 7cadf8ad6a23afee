import shutil

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer
from numbered_videos import numbered_frames, read_number, write_video
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QLabel, QToolButton, QWidget

from behavior_prism.napari_plugin import EthogramDock, LazyFrames, read_predictions, read_video
from behavior_prism.napari_plugin.reader import image_layer
from behavior_prism.napari_plugin.sample_data import simulate_mice


@pytest.fixture
def model():
    """The viewer without its window: enough for everything but drawing the video."""
    return ViewerModel()


@pytest.fixture
def dock(screen, qtbot, model):
    dock = EthogramDock(model)
    qtbot.addWidget(dock)
    dock.resize(1000, 260)
    dock.show()
    return dock


def add(model, layers):
    (layer,) = layers
    return model.add_layer(Layer.create(*layer))


@pytest.fixture
def layer(dock, model, demo_folder):
    return add(model, read_predictions(demo_folder / "predictions" / "a.predictions.zarr"))


def find(dock, kind, name):
    found = dock.findChild(kind, name)
    assert found is not None, name
    return found


def click_frame(qtbot, view, frame, row=0):
    place = QPoint(round(view.x_of_frame(frame)), round(view.page().strip_rect(row, "true").center().y()))
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place)


def text_of(dock, name):
    return find(dock, QLabel, name).text()


def test_the_playhead_follows_the_slider(dock, model, layer):
    model.dims.set_point(0, 33)
    assert dock.view.frame == 33
    assert "1.32 s · frame 33 / 59" in text_of(dock, "time_label")
    model.dims.set_point(0, 7)
    assert dock.view.frame == 7


def test_a_click_moves_the_slider_and_the_picture(qtbot, dock, model, layer):
    click_frame(qtbot, dock.view, 41)
    qtbot.waitUntil(lambda: model.dims.point[0] == 41)
    assert dock.view.frame == 41
    assert read_number(layer.data[int(model.dims.current_step[0])]) == 41


def test_a_drag_ends_where_the_hand_ends(qtbot, dock, model, layer):
    y = 60
    qtbot.mousePress(dock.view, Qt.MouseButton.LeftButton, pos=QPoint(round(dock.view.x_of_frame(5)), y))
    for frame in (12, 30, 52):
        qtbot.mouseMove(dock.view, QPoint(round(dock.view.x_of_frame(frame)), y))
        dock.view._point_at(QPointF(dock.view.x_of_frame(frame), y))
    qtbot.mouseRelease(dock.view, Qt.MouseButton.LeftButton, pos=QPoint(round(dock.view.x_of_frame(52)), y))
    qtbot.waitUntil(lambda: model.dims.point[0] == 52)
    assert dock.view.frame == 52


def test_a_layer_that_is_moved_and_stretched_in_time_is_still_met(qtbot, dock, model, layer):
    layer.scale, layer.translate = (0.04, 1, 1), (10, 0, 0)
    click_frame(qtbot, dock.view, 25)
    qtbot.waitUntil(lambda: model.dims.point[0] == pytest.approx(11.0))
    model.dims.set_point(0, 10.4)
    assert dock.view.frame == 10


def test_what_is_seen_now_is_said_in_colour(dock, model, layer):
    model.dims.set_point(0, 22)
    now = text_of(dock, "now_label")
    assert now.index("true") < now.index("groom") < now.index("predicted") < now.index("walk")
    assert dock.view.lanes[0].color in now
    model.dims.set_point(0, 55)
    assert "not scored" in text_of(dock, "now_label")


def test_buttons_jump_to_bouts_and_differences(qtbot, dock, model, layer):
    def press(name):
        qtbot.mouseClick(find(dock, QToolButton, name), Qt.MouseButton.LeftButton)
        return model.dims.point[0]

    model.dims.set_point(0, 0)
    assert [press("next_bout_button") for _ in range(4)] == [5, 20, 25, 25]
    assert [press("previous_bout_button") for _ in range(3)] == [20, 5, 5]
    assert press("next_difference_button") == 20
    assert find(dock, QToolButton, "next_difference_button").isEnabled()


def test_zoom_and_double_click(dock, qtbot, layer):
    view, place = dock.view, QPointF(dock.view.x_of_frame(30), 60)
    frame = view.axis.frame(place.x())
    notches = QPoint(0, 5 * 120)
    wheel = QWheelEvent(
        place,
        QPointF(view.mapToGlobal(place.toPoint())),
        QPoint(),
        notches,
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(view, wheel)
    assert view.axis.is_zoomed
    assert view.axis.frame(place.x()) == frame
    qtbot.mouseDClick(view, Qt.MouseButton.LeftButton, pos=place.toPoint())
    assert not view.axis.is_zoomed


def test_the_tooltip_tells_bout_times_and_duration(dock, layer):
    view = dock.view

    def at(frame, kind, row=0):
        return view.describe(view.x_of_frame(frame), view.page().strip_rect(row, kind).center().y())

    assert at(10, "true") == "walk (true)\n0.20 – 0.80 s, 0.60 s long\nframes 5 to 19"
    assert "walk (predicted)" in at(22, "predicted")
    assert "absent at 0.88 s" in at(22, "true")
    assert "not scored: 2.00 – 2.40 s" in at(55, "true", row=1)
    assert view.describe(2, 50) == ""


def test_playing_goes_on_at_the_recordings_speed_and_stops_at_the_end(qtbot, dock, model, layer):
    model.dims.set_point(0, 48)
    play = find(dock, QToolButton, "play_button")
    qtbot.mouseClick(play, Qt.MouseButton.LeftButton)
    assert play.isChecked()
    qtbot.waitUntil(lambda: not play.isChecked(), timeout=5000)
    assert model.dims.point[0] == 59
    assert dock.view.frame == 59


def test_a_damaged_frame_stops_playing_and_is_named(qtbot, dock, model, monkeypatch):
    def read(wanted):
        for i in wanted:
            if i == 5:
                raise ValueError("frame 5 cannot be decoded")
            yield np.zeros((8, 8, 3), np.uint8)

    about = {"recording": "bad", "source": "bad", "labels": None, "predictions": None, "edges": np.arange(21) / 50}
    add(model, [image_layer(LazyFrames((20, 8, 8, 3), read), about)])
    said = []
    monkeypatch.setattr("behavior_prism.napari_plugin.dock.show_error", said.append)
    model.dims.set_point(0, 3)
    qtbot.mouseClick(find(dock, QToolButton, "play_button"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(said) or model.dims.point[0] == 19)
    assert said in ([], ["frame 5 cannot be decoded"])  # a slow machine may leave that frame out
    dock._go(5)
    assert said[-1] == "frame 5 cannot be decoded"
    assert not find(dock, QToolButton, "play_button").isChecked()
    model.dims.set_point(0, 6)
    assert dock.view.frame == 6


def test_individuals_can_be_chosen(dock, model, qtbot):
    add(model, simulate_mice())
    combo = dock.header.individual
    assert combo.isVisible() and [combo.itemText(i) for i in range(combo.count())] == ["mouse1", "mouse2"]
    first = [lane.strips["true"].bouts.tolist() for lane in dock.view.lanes]
    qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert combo.currentText() == "mouse2"
    second = [lane.strips["true"].bouts.tolist() for lane in dock.view.lanes]
    assert first != second
    assert not find(dock, QToolButton, "next_difference_button").isEnabled()


def test_a_removed_layer_leaves_an_empty_dock(dock, model, layer, qtbot):
    model.layers.remove(layer)
    assert dock.data is None and dock.view.lanes == []
    assert text_of(dock, "time_label") == ""
    click = QPoint(300, 60)
    qtbot.mouseClick(dock.view, Qt.MouseButton.LeftButton, pos=click)
    model.add_image(np.zeros((9, 4, 4)))
    model.dims.set_point(0, 3)
    assert dock.data is None
    dock.grab()


def test_the_active_recording_is_shown(dock, model, layer, tmp_path):
    other = add(model, read_video(write_video(tmp_path / "long.mp4", numbered_frames(90))))
    assert dock.data.recording == "long" and dock.data.num_frames == 90
    model.dims.set_point(0, 80)
    model.layers.selection.active = layer
    assert dock.data.recording == "a"
    assert dock.view.frame == 59  # the slider is past its end
    model.add_points(np.zeros((1, 3)))
    assert dock.data.recording == "a"  # a layer of another kind changes nothing
    model.layers.remove(layer)
    assert dock.data.recording == "long"
    model.layers.remove(other)
    assert dock.data is None


def test_a_video_without_labels_still_has_its_time_axis(qtbot, dock, model, video_file):
    add(model, read_video(video_file(count=30)))
    assert dock.view.lanes == [] and dock.data.num_frames == 30
    qtbot.mouseClick(
        dock.view, Qt.MouseButton.LeftButton, pos=QPoint(round(dock.view.x_of_frame(12)), dock.view.height() // 2)
    )
    qtbot.waitUntil(lambda: model.dims.point[0] == 12)
    dock.grab()


def test_notes_are_shown_and_go_away(dock, model, demo_folder):
    labels = demo_folder / "recordings" / "a.bouts.csv"
    labels.write_text("nonsense\n")
    add(model, read_predictions(demo_folder / "predictions" / "a.predictions.zarr"))
    assert "Labels cannot be shown" in text_of(dock, "notes_label")
    add(model, read_predictions(demo_folder / "predictions" / "b.predictions.zarr"))
    assert text_of(dock, "notes_label") == ""


def test_offered_recordings_open_when_they_are_chosen(dock, model, layer, demo_folder, qtbot):
    stores = sorted((demo_folder / "predictions").iterdir())
    dock.offer(stores)
    combo = dock.header.recording
    assert [combo.itemText(i) for i in range(combo.count())] == ["a", "b"]
    assert combo.currentText() == "a"
    model.dims.set_point(0, 40)
    qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert [one.name for one in model.layers] == ["b"]
    assert dock.data.recording == "b" and combo.currentText() == "b"
    assert model.dims.point[0] == 0


def test_an_offered_recording_that_cannot_be_opened_changes_nothing(
    dock, model, layer, demo_folder, qtbot, monkeypatch
):
    dock.offer(sorted((demo_folder / "predictions").iterdir()))
    shutil.rmtree(demo_folder / "recordings")
    said = []
    monkeypatch.setattr("behavior_prism.napari_plugin.dock.show_error", said.append)
    qtbot.keyClick(dock.header.recording, Qt.Key.Key_Down)
    assert "its video is gone" in said[0]
    assert dock.header.recording.currentText() == "a"
    assert [one.name for one in model.layers] == ["a"]


def test_a_deleted_dock_lets_the_viewer_go_on(screen, qtbot, model, demo_folder):
    dock = EthogramDock(model)
    layer = add(model, read_video(demo_folder / "recordings" / "a.mp4"))
    dock.deleteLater()
    QApplication.sendPostedEvents(None, 52)  # DeferredDelete
    qtbot.wait(1)
    model.dims.set_point(0, 9)
    model.theme = "light"
    model.layers.remove(layer)


def test_every_control_has_a_name(dock):
    controls = [w for w in dock.findChildren(QWidget) if type(w) in (QToolButton, QLabel)]
    assert len(controls) >= 9
    assert all(w.objectName() for w in controls)


def test_the_theme_is_followed(dock, model, layer):
    dark = dock.grab().toImage().pixelColor(3, dock.height() - 40).lightness()
    model.theme = "light"
    light = dock.grab().toImage().pixelColor(3, dock.height() - 40).lightness()
    assert dark < 100 < light


def test_an_image_of_someone_else_is_not_ours(dock, model):
    model.add_layer(Image(np.zeros((5, 8, 8, 3), np.uint8), rgb=True, metadata={"behavior": 1}))
    assert dock.data is None
