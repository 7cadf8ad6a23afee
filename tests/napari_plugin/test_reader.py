import shutil

import pytest
import zarr
from numbered_videos import read_number

from behavior_prism.analysis import save_predictions
from behavior_prism.datasets import Video
from behavior_prism.napari_plugin.reader import (
    get_predictions_reader,
    get_video_reader,
    read_predictions,
    read_video,
)
from behavior_prism.napari_plugin.sources import find_recordings


def test_a_video_becomes_one_image_layer(demo_folder):
    path = str(demo_folder / "recordings" / "a.mp4")
    reader = get_video_reader(path)
    ((data, kwargs, kind),) = reader(path)
    assert kind == "image"
    assert kwargs["rgb"] and kwargs["name"] == "a"
    assert read_number(data[33]) == 33
    about = kwargs["metadata"]["behavior_prism"]
    assert about["video"] == path and about["predictions"] is None
    assert about["fps"] == pytest.approx(25)
    assert about["labels"] == str(demo_folder / "recordings" / "a.bouts.csv")
    assert len(about["edges"]) == 61


def test_several_videos_become_several_layers(demo_folder):
    paths = [str(demo_folder / "recordings" / f"{name}.mp4") for name in "ab"]
    assert [kwargs["name"] for _, kwargs, _ in get_video_reader(paths)(paths)] == ["a", "b"]


@pytest.mark.parametrize("name", ["notes.txt", "nowhere.mp4"])
def test_what_is_no_video_is_left_to_others(tmp_path, name):
    (tmp_path / "notes.txt").write_text("x")
    assert get_video_reader(str(tmp_path / name)) is None


def test_a_broken_video_says_so(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"not a video")
    with pytest.raises(ValueError, match=r"broken\.mp4"):
        read_video(path)


def test_predictions_bring_their_video(demo_folder):
    path = str(demo_folder / "predictions" / "b.predictions.zarr")
    ((data, kwargs, _),) = get_predictions_reader(path)(path)
    assert read_number(data[12]) == 12
    about = kwargs["metadata"]["behavior_prism"]
    assert about["predictions"] == path
    assert about["video"] == str(demo_folder / "recordings" / "b.mp4")


def test_a_foreign_zarr_is_not_claimed(tmp_path):
    for name, mark in (("foreign", None), ("features", "features")):
        group = zarr.open_group(tmp_path / f"{name}.predictions.zarr", mode="w")
        group.attrs.update({} if mark is None else {"behavior_prism": mark})
    (tmp_path / "empty.predictions.zarr").mkdir()
    for path in tmp_path.iterdir():
        assert get_predictions_reader(str(path)) is None
    assert get_predictions_reader(str(tmp_path / "missing.predictions.zarr")) is None


def test_a_mixed_list_is_not_claimed(demo_folder):
    paths = [str(demo_folder / "predictions" / "a.predictions.zarr"), str(demo_folder)]
    assert get_predictions_reader(paths) is None


def test_a_folder_can_be_moved_as_a_whole(demo_folder, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(demo_folder, moved)
    ((_, kwargs, _),) = read_predictions(moved / "predictions" / "a.predictions.zarr")
    assert kwargs["metadata"]["behavior_prism"]["video"] == str(moved / "recordings" / "a.mp4")


def test_the_path_in_the_predictions_comes_first(demo_folder, tmp_path, make_predictions):
    (tmp_path / "real").mkdir()
    real = shutil.copy(demo_folder / "recordings" / "a.mp4", tmp_path / "real" / "a.mp4")
    with Video(real) as video:
        store = demo_folder / "predictions" / "a.predictions.zarr"
        save_predictions(make_predictions(video, recording="a"), store, overwrite=True)
    ((_, kwargs, _),) = read_predictions(store)
    assert kwargs["metadata"]["behavior_prism"]["video"] == str(real)


def test_a_video_beside_its_predictions_is_found(demo_folder, tmp_path):
    for part in ("recordings/a.mp4", "predictions/a.predictions.zarr"):
        shutil.move(demo_folder / part, tmp_path)
    ((_, kwargs, _),) = read_predictions(tmp_path / "a.predictions.zarr")
    assert kwargs["metadata"]["behavior_prism"]["video"] == str(tmp_path / "a.mp4")


def test_a_lost_video_says_where_it_was_looked_for(demo_folder):
    (demo_folder / "recordings" / "a.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"its video is gone: expected .*a\.mp4"):
        read_predictions(demo_folder / "predictions" / "a.predictions.zarr")


def test_labels_are_found_for_a_linked_video(demo_folder, tmp_path, make_predictions):
    away = tmp_path / "big-disk"
    away.mkdir()
    shutil.move(demo_folder / "recordings" / "a.mp4", away / "a.mp4")
    with Video(away / "a.mp4") as video:
        store = save_predictions(
            make_predictions(video, recording="a"), demo_folder / "predictions" / "a.predictions.zarr", overwrite=True
        )
    ((_, kwargs, _),) = read_predictions(store)
    assert kwargs["metadata"]["behavior_prism"]["labels"] == str(demo_folder / "recordings" / "a.bouts.csv")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (".", ["a.predictions.zarr", "b.predictions.zarr"]),
        ("predictions", ["a.predictions.zarr", "b.predictions.zarr"]),
        ("predictions/b.predictions.zarr", ["b.predictions.zarr"]),
        ("recordings", ["a.mp4", "b.mp4"]),
        ("recordings/a.mp4", ["a.mp4"]),
    ],
)
def test_recordings_are_found(demo_folder, place, expected):
    assert [p.name for p in find_recordings(demo_folder / place)] == expected


def test_a_demo_without_predictions_offers_its_videos(demo_folder):
    shutil.rmtree(demo_folder / "predictions")
    assert [p.name for p in find_recordings(demo_folder)] == ["a.mp4", "b.mp4"]


def test_paths_that_cannot_be_viewed_say_what_was_expected(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    zarr.open_group(tmp_path / "z.predictions.zarr", mode="w")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        find_recordings(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"expected a video .*, got a file ending in '\.csv'"):
        find_recordings(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="expected a predictions store, got a foreign zarr group"):
        find_recordings(tmp_path / "z.predictions.zarr")
    with pytest.raises(ValueError, match="got neither"):
        find_recordings(tmp_path)
