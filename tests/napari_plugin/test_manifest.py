import subprocess
import sys

from npe2 import PluginManifest

from behavior_prism.napari_plugin.sources import VIDEO_ENDINGS


def test_manifest_is_found_through_the_distribution_and_every_command_can_be_imported():
    manifest = PluginManifest.from_distribution("behavior-prism")
    manifest.validate_imports()
    assert manifest.name == "behavior-prism"
    assert [w.display_name for w in manifest.contributions.widgets] == ["Ethogram"]
    assert len(manifest.contributions.sample_data) == 2


def test_manifest_and_reader_agree_about_endings():
    video, predictions = PluginManifest.from_distribution("behavior-prism").contributions.readers
    assert set(video.filename_patterns) == {f"*{ending}" for ending in VIDEO_ENDINGS}
    assert not video.accepts_directories
    assert predictions.accepts_directories


def test_import_loads_neither_qt_nor_napari():
    code = (
        "import sys, behavior_prism.napari_plugin as room; assert 'open_viewer' in dir(room);"
        "import behavior_prism.napari_plugin.reader, behavior_prism.napari_plugin.ethogram_data;"
        "import behavior_prism.napari_plugin.time_axis, behavior_prism.napari_plugin.sample_data;"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'napari', 'qtpy', 'PySide6', 'vispy', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
