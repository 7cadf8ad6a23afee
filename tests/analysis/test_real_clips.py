"""The example on real clips: what is cut out, who is held out, and what the scores say about noise."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score, f1_score

from behavior_prism import LinearProbe, load_encoder

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "real_clips.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("real_clips_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.shared
def test_panels_are_cut_apart_and_held_frames_left_out(script, shared_data):
    clip_set = script.hstacked_clips(shared_data)
    assert len(clip_set.clips) == 33
    assert len({clip.name for clip in clip_set.clips}) == 33
    assert pd.Series(clip_set.labels).value_counts().tolist() == [3] * 11
    # a clip that ends early: the picture stands still behind its last frame, and not before
    clip = next(c for c in clip_set.clips if c.name == "face_groom_hstacked_1")
    recording = clip.open()
    assert (recording.start_frame, recording.stop_frame, len(recording.video)) == (0, 36, 73)
    assert recording.regions == {"view": (450, 0, 450, 360)}
    frames = recording.video[:].astype(np.int16)
    panel = np.stack([recording.crop(frame, "view") for frame in frames])
    np.testing.assert_array_equal(panel, frames[:, :, 450:900])
    moves = np.abs(np.diff(panel, axis=0)).mean(axis=(1, 2, 3))
    # difference k lies between frames k and k + 1; the cut is right to a few frames only
    assert moves[: recording.stop_frame - 1].mean() > 5 * moves[recording.stop_frame + 3 :].mean()
    assert script.grey_pictures(recording).shape == (36, 96, 96)


@pytest.mark.shared
def test_every_class_is_trained_on_in_every_split(script, shared_data):
    sets = [make(shared_data) for make in (script.hstacked_clips, script.example_clips, script.fish_clips)]
    assert [len(s.clips) for s in sets] == [33, 48, 28]
    assert [len(np.unique(s.labels)) for s in sets] == [11, 16, 2]
    sizes = {}
    for clip_set in sets:
        for split in clip_set.caveats:
            groups = clip_set.groups(split)
            sizes[split] = np.unique(groups, return_counts=True)[1].tolist()
            tested = []
            for train, test in script.held_out_folds(groups):
                assert not set(groups[train]) & set(groups[test])
                assert set(clip_set.labels[train]) == set(clip_set.labels)
                tested += test.tolist()
            assert sorted(tested) == list(range(len(groups)))
    assert sizes == {
        "panel": [11, 11, 11],
        "recording": [7, 4, 6, 16],
        "example": [16, 16, 16],
        "source video": [8, 8, 6, 6],
    }


@pytest.mark.shared
def test_labels_in_the_matlab_files_are_those_of_the_table(script, shared_data):
    clip_set = script.fish_clips(shared_data)
    table = pd.read_csv(shared_data / "larval-fish-strikes" / "labels_derived.csv").sort_values("file")
    assert [clip.path.name for clip in clip_set.clips] == table["file"].tolist()
    assert ((clip_set.labels == "strike") == table["isEating"].to_numpy().astype(bool)).all()
    assert clip_set.groups("source video").tolist() == table["source_video"].tolist()


@pytest.mark.shared
@pytest.mark.slow
def test_fish_from_video_to_scores(script, shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "NUM_GUESSES", 200)
    monkeypatch.setattr(script, "NUM_DRAWS", 200)
    clip_set = script.fish_clips(shared_data)
    labels, groups = clip_set.labels, clip_set.groups("source video")
    # one strike and one other clip of two source videos, to be quick
    one_each = pd.DataFrame({"group": groups, "label": labels}).drop_duplicates().query("group < '3'").index
    clips, labels, groups = [clip_set.clips[i] for i in one_each], labels[one_each], groups[one_each]
    assert len(clips) == 4
    encoder = load_encoder("tiny", device="cpu")
    rows = script.feature_rows(clips, encoder, tmp_path)
    assert {name: values.shape for name, values in rows.items()} == {
        "mean image": (4, 1024),
        "frame-difference energy": (4, 66),
        "HOG + optical flow": (4, 594),
        "tiny encoder (untrained)": (4, 1152),
    }
    for values in rows.values():
        assert np.isfinite(values).all()
        assert len(np.unique(values, axis=0)) == 4
        predicted = script.held_out_predictions(LinearProbe(), values, labels, groups)
        assert set(predicted) <= set(labels)
    table = script.score_table(rows, labels, groups)
    assert table["features"].tolist() == ["chance: guess", "chance: most frequent class", *rows]
    lines = script.markdown_table(table)
    assert len(lines) == 2 + len(table)
    assert {line.count("|") for line in lines} == {5}


def test_every_clip_is_predicted_once_without_its_group(script):
    """A classifier that names a group it was trained on can never name the clip's own."""
    groups = np.repeat(["a", "b", "c", "d"], [3, 1, 5, 2])
    predicted = script.held_out_predictions(
        DummyClassifier(strategy="uniform", random_state=0), np.zeros((11, 1)), groups, groups
    )
    assert set(predicted) <= set(groups)
    assert not (predicted == groups).any()


def test_scores_are_those_of_scikit_learn(script):
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = np.append(rng.integers(0, 4, 30), np.arange(4))
        predicted = rng.integers(0, 4, 34)
        expected = [balanced_accuracy_score(truth, predicted), f1_score(truth, predicted, average="macro")]
        np.testing.assert_allclose(script.scores(truth, predicted), expected)


def test_noise_scores_like_chance_and_signal_does_not(script):
    """Clips of a group resemble one another; that alone must not predict labels of another group."""
    rng = np.random.default_rng(0)
    groups = np.repeat(["a", "b", "c", "d"], 8)
    labels = np.tile(["rest", "strike"], 16)
    looks = np.repeat(rng.normal(scale=5, size=(4, 200)), 8, axis=0)
    noise = looks + rng.normal(size=(32, 200))
    permuted = []
    for _ in range(20):
        shuffled = rng.permutation(labels)
        predicted = script.held_out_predictions(LinearProbe(), noise, shuffled, groups)
        permuted.append(script.scores(shuffled, predicted)[0])
    assert abs(np.mean(permuted) - 0.5) < 0.08
    signal = noise + 3 * (labels == "strike")[:, None]
    predicted = script.held_out_predictions(LinearProbe(), signal, labels, groups)
    assert script.scores(labels, predicted)[0] > 0.9


def test_intervals_draw_groups_where_there_are_five(script):
    truth = np.tile(["a", "b"], 20)
    right = np.repeat([True, False, True, True, True], 8)
    predicted = np.where(right, truth, truth[::-1])
    five = np.repeat(list("vwxyz"), 8)
    assert script.bootstrap_unit(five) == "groups"
    assert script.bootstrap_unit(five[:32]) == "clips"
    wide = script.bootstrap_interval(truth, predicted, five)
    narrow = script.bootstrap_interval(truth, predicted, np.repeat("v", 40))
    assert wide[0, 0] < narrow[0, 0] < 0.8 < narrow[1, 0] < wide[1, 0] + 1e-9


def test_without_the_recordings_it_says_so_in_one_line(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["real_clips.py", "--data", str(tmp_path)])
    assert script.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "bsoid" in said.err
