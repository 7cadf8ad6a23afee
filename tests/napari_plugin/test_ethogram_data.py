import numpy as np
import pandas as pd
import pytest

from behavior_prism.analysis import behavior_colors, open_predictions, predictions_to_annotations, save_predictions
from behavior_prism.datasets import Annotations, Video, annotations_from_intervals, save_annotations
from behavior_prism.napari_plugin.ethogram_data import load_ethogram
from behavior_prism.napari_plugin.reader import read_predictions, read_video


def about(layers):
    ((_, kwargs, _),) = layers
    return kwargs["metadata"]["behavior_prism"]


@pytest.fixture
def store(demo_folder):
    return demo_folder / "predictions" / "a.predictions.zarr"


@pytest.fixture
def data(store):
    return load_ethogram(about(read_predictions(store)))


def test_true_and_predicted_lie_on_the_frames_of_the_video(data):
    assert (data.behaviors, data.individuals, data.num_frames) == (("walk", "groom"), ("view",), 60)
    walk, groom = data.lanes("view")
    assert walk.strips["true"].bouts.tolist() == [[5, 20]]
    assert walk.strips["true"].unscored.tolist() == [[50, 60]]
    assert walk.strips["predicted"].bouts.tolist() == [[5, 25]]
    assert walk.strips["predicted"].unscored.tolist() == []
    assert groom.strips["predicted"].bouts.tolist() == [[25, 40]]
    assert [lane.color for lane in data.lanes("view")] == list(behavior_colors(data.behaviors).values())
    assert not data.notes


def test_present_behaviours(data):
    assert data.present("true", "view", 20) == ("groom",)
    assert data.present("predicted", "view", 20) == ("walk",)
    assert data.present("true", "view", 4) == ()
    assert data.present("true", "view", 55) is None


def test_where_to_jump(data):
    assert data.bout_starts("view").tolist() == [5, 20, 25]
    assert data.differences("view").tolist() == [[20, 25]]


def test_predictions_on_every_third_frame_fill_the_frames_between(demo_folder, make_predictions, store):
    with Video(demo_folder / "recordings" / "a.mp4") as video:
        save_predictions(make_predictions(video, recording="a", step=3), store, overwrite=True)
    walk, _ = load_ethogram(about(read_predictions(store))).lanes("view")
    ((start, stop),) = walk.strips["predicted"].bouts.tolist()
    assert abs(start - 5) <= 1 and abs(stop - 25) <= 1


def test_a_video_alone_has_its_true_labels(demo_folder):
    data = load_ethogram(about(read_video(demo_folder / "recordings" / "a.mp4")))
    assert set(data.states) == {"true"}
    assert data.differences("view").tolist() == []


def test_a_video_without_labels_has_nothing(demo_folder):
    (demo_folder / "recordings" / "a.bouts.csv").unlink()
    data = load_ethogram(about(read_video(demo_folder / "recordings" / "a.mp4")))
    assert (data.behaviors, data.individuals, dict(data.states), data.notes) == ((), (), {}, ())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "a bout table needs 'behavior'"),
        ("\x00\x01", "Labels cannot be shown"),
        ("", "the file is empty"),
    ],
)
def test_labels_that_cannot_be_read_are_a_note(demo_folder, store, content, said):
    (demo_folder / "recordings" / "a.bouts.csv").write_text(content)
    data = load_ethogram(about(read_predictions(store)))
    assert set(data.states) == {"predicted"}
    assert said in data.notes[0]


def test_bouts_of_a_probe_are_not_taken_for_a_humans(demo_folder, store):
    path = demo_folder / "recordings" / "a.bouts.csv"
    save_annotations(predictions_to_annotations(open_predictions(store)), path, overwrite=True)
    data = load_ethogram(about(read_predictions(store)))
    assert set(data.states) == {"predicted"}
    assert "written by a probe" in data.notes[0]


def test_predictions_of_another_cut_are_a_note(demo_folder, store, make_predictions):
    with Video(demo_folder / "recordings" / "a.mp4") as video:
        predictions = make_predictions(video, recording="a").isel(edge=slice(0, 41), time=slice(0, 40))
        save_predictions(predictions, store, overwrite=True)
    data = load_ethogram(about(read_predictions(store)))
    assert set(data.states) == {"true"}
    assert "expected predictions for 60 frames, got them for 40" in data.notes[0]


def test_what_the_user_must_know_about_the_probe(demo_folder, store, make_predictions):
    with Video(demo_folder / "recordings" / "a.mp4") as video:
        predictions = make_predictions(
            video, recording="a", probe='{"recordings": ["a"]}', encoder_notice="a toy encoder"
        )
        save_predictions(predictions, store, overwrite=True)
    trained, toy = load_ethogram(about(read_predictions(store))).notes
    assert "trained on this recording" in trained
    assert toy == "a toy encoder"


def test_a_copy_of_a_video_is_known_by_its_fingerprint(demo_folder, store, make_predictions):
    with Video(demo_folder / "recordings" / "a.mp4") as video:
        probe = '{"recordings": ["z"], "fingerprints": {"z": "same"}}'
        save_predictions(make_predictions(video, recording="a", probe=probe, fingerprint="same"), store, overwrite=True)
    (note,) = load_ethogram(about(read_predictions(store))).notes
    assert "trained on this recording, a (the same video as z)" in note


def test_behaviours_that_only_the_human_knows_get_a_lane_too(demo_folder, store):
    more = annotations_from_intervals(
        [(0, 9, "rear")], behaviors=("rear", "walk"), num_frames=60, fps=25, recording="a"
    )
    save_annotations(more, demo_folder / "recordings" / "a.bouts.csv", overwrite=True)
    data = load_ethogram(about(read_predictions(store)))
    assert data.behaviors == ("walk", "groom", "rear")
    assert data.lanes("view")[2].strips["predicted"].bouts.tolist() == []


def test_individuals_of_the_labels_are_kept_apart():
    parts = [
        annotations_from_intervals(
            [(start, start + 5, "walk")], behaviors=["walk"], num_frames=30, fps=10, individual=name, recording="r"
        )
        for name, start in (("one", 0), ("two", 20))
    ]
    both = Annotations(
        bouts=pd.concat([p.bouts for p in parts]),
        scored=pd.concat([p.scored for p in parts]),
        behaviors=("walk",),
    )
    data = load_ethogram({"recording": "r", "edges": np.arange(31) / 10, "labels": both, "predictions": None})
    assert data.individuals == ("one", "two")
    assert [data.bout_starts(name).tolist() for name in data.individuals] == [[0], [20]]
