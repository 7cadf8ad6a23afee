import numpy as np
import pytest
from numbered_videos import read_number

from behavior_prism.analysis import behavior_colors
from behavior_prism.napari_plugin import open_viewer
from behavior_prism.napari_plugin.ethogram_page import ViewColors
from behavior_prism.napari_plugin.launch import build_viewer, dock_of

pytestmark = pytest.mark.gui


@pytest.fixture
def build(screen, make_napari_viewer, monkeypatch):
    """``build_viewer``, whose viewers are closed after the test."""
    monkeypatch.setattr("napari.Viewer", lambda **options: make_napari_viewer(**options))
    return build_viewer


def rgb(color):
    return [int(color[k : k + 2], 16) for k in (1, 3, 5)]


def count(picture, color, tolerance=3):
    return int((np.abs(picture[..., :3].astype(int) - rgb(color)).max(axis=-1) <= tolerance).sum())


def test_a_demo_folder_opens_its_first_recording_and_offers_the_others(build, demo_folder):
    viewer = build(demo_folder, show=False)
    assert [layer.name for layer in viewer.layers] == ["a"]
    assert viewer.dims.current_step[0] == 0
    combo = dock_of(viewer).header.recording
    assert [combo.itemText(i) for i in range(combo.count())] == ["a", "b"]
    assert combo.currentText() == "a"
    assert set(dock_of(viewer).data.states) == {"true", "predicted"}


def test_the_dock_lies_below_the_picture(build, demo_folder):
    viewer = build(demo_folder / "predictions" / "a.predictions.zarr", show=False)
    dock = dock_of(viewer)
    assert dock.window().dockWidgetArea(dock.parent()).name == "BottomDockWidgetArea"


def test_the_layer_shows_the_frame_of_the_slider(build, demo_folder):
    viewer = build(demo_folder / "recordings" / "a.mp4", show=False)
    for frame in (17, 3, 58):
        viewer.dims.set_point(0, frame)
        assert read_number(np.asarray(viewer.layers[0]._slice.image.raw)) == frame


def test_napari_opens_videos_and_predictions_by_itself(viewer, demo_folder):
    viewer.open(str(demo_folder / "recordings" / "a.mp4"), plugin="behavior-prism")
    viewer.open(str(demo_folder / "predictions" / "b.predictions.zarr"), plugin="behavior-prism")
    assert [layer.name for layer in viewer.layers] == ["a", "b"]
    assert dock_of(viewer).data.recording == "b"


@pytest.mark.parametrize(("key", "name"), [("simulated-mice", "sim-mouse-0007"), ("simulated-flies", "sim-fly-0007")])
def test_sample_data(viewer, key, name):
    viewer.open_sample("behavior-prism", key)
    dock = dock_of(viewer)
    assert [layer.name for layer in viewer.layers] == [name]
    assert set(dock.data.states) == {"true"} and len(dock.data.individuals) == 2
    assert any(len(lane.strips["true"].bouts) for lane in dock.view.lanes)


def test_a_screenshot_shows_the_video_and_both_ethograms(build, demo_folder, tmp_path, qtbot):
    viewer = build(demo_folder, show=True)
    viewer.window.resize(1300, 850)
    viewer.dims.set_point(0, 22)
    dock = dock_of(viewer)
    qtbot.waitUntil(lambda: dock.isVisible() and dock.view.width() > 700)
    qtbot.wait(200)
    path = tmp_path / "window.png"
    picture = viewer.screenshot(str(path), canvas_only=False, flash=False)
    assert path.stat().st_size > 10_000
    walk, groom = (rgb_of for rgb_of in behavior_colors(("walk", "groom")).values())
    assert count(picture, walk) > 500 and count(picture, groom) > 500
    canvas = viewer.screenshot(canvas_only=True, flash=False)
    assert canvas[..., :3].max() > 200  # white squares of the numbered frames

    # the predicted half: the same colour, let through by the lane behind it
    page = dock.view.page()
    shot = dock.view.grab().toImage()
    for kind, frame, present in (("true", 10, True), ("predicted", 23, True), ("true", 23, False)):
        center = page.strip_rect(0, kind).center()
        seen = shot.pixelColor(round(dock.view.x_of_frame(frame)), round(center.y()))
        lane = np.array(rgb(dock.view._colors.lane))
        far = np.abs(np.array([seen.red(), seen.green(), seen.blue()]) - lane).max()
        assert (far > 30) == present, (kind, frame)


def test_colours_of_the_theme_differ_from_those_of_behaviours():
    assert not {*behavior_colors([str(k) for k in range(12)]).values()} & {*vars(ViewColors()).values()}


def test_closing_the_dock_and_opening_it_again(build, demo_folder, qtbot):
    viewer = build(demo_folder, show=True)
    dock = dock_of(viewer)
    viewer.window.remove_dock_widget(dock.parent())
    viewer.dims.set_point(0, 30)
    again = dock_of(viewer)
    assert again is not dock
    assert again.view.frame == 30


def test_errors_come_before_any_window(monkeypatch, tmp_path):
    monkeypatch.setattr("napari.Viewer", lambda **options: pytest.fail("a window was opened"))
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        build_viewer(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="got neither"):
        build_viewer(tmp_path)


def test_without_a_screen_it_says_so(monkeypatch, demo_folder):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(OSError, match="no screen: expected DISPLAY"):
        open_viewer(demo_folder)


def test_open_viewer_runs_the_event_loop(build, monkeypatch, demo_folder):
    ran = []
    monkeypatch.setattr("napari.run", lambda: ran.append(True))
    monkeypatch.setattr("behavior_prism.napari_plugin.launch.build_viewer", lambda path: ran.append(path))
    open_viewer(demo_folder)
    assert ran == [demo_folder, True]
