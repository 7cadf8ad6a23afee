"""The comparison on real video: rules of behaviours, folds, paired differences, and all of it from video to report."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from numbered_videos import write_video
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from behavior_prism import load_encoder
from behavior_prism.datasets import iter_crops, plan_crops
from behavior_prism.encoder import save_encoder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MODULES = ("real_clips", "real_flies", "real_features", "real_judge", "real_sets", "real_video")


@pytest.fixture(scope="module")
def real():
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield SimpleNamespace(**{name.removeprefix("real_"): importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(EXAMPLES))
        for name in MODULES:
            sys.modules.pop(name, None)


# -- flies: behaviours by rule


def two_flies(thorax: np.ndarray, heading: np.ndarray, *, wing: float = 0.0, fps: float = 25.0) -> xr.Dataset:
    """Tracks of flies one body length (40 px) long; thorax (2, frames, 2) in body lengths, heading (2,) in degrees."""
    radians = np.radians(heading)[:, None]
    ahead = np.stack([np.cos(radians), np.sin(radians)], axis=-1)  # (2, 1, 2)
    spread = np.radians(heading + 180 + wing)[:, None]
    wings = np.stack([np.cos(spread), np.sin(spread)], axis=-1)
    parts = {
        "head": thorax + 0.4 * ahead,
        "thorax": thorax,
        "abdomen": thorax - 0.6 * ahead,
        "wingL": thorax + 0.7 * wings,
        "wingR": thorax - 0.7 * ahead,
    }
    position = 40 * np.stack([np.broadcast_to(p, thorax.shape) for p in parts.values()])
    return xr.Dataset(
        {"position": (("keypoint", "individual", "time", "space"), position)},
        coords={
            "keypoint": list(parts),
            "individual": ["a", "b"],
            "time": np.arange(thorax.shape[1]) / fps,
            "space": ["x", "y"],
        },
    )


def test_rules_say_what_flies_do(real):
    """Fly a follows fly b at two body lengths a second, 1.2 behind it; b walks away and looks away."""
    along = np.arange(50) / 25 * 2.0
    thorax = np.stack([np.stack([along, 0 * along], -1), np.stack([along + 1.2, 0 * along], -1)])
    label = real.flies.behaviors_by_rule(two_flies(thorax, np.array([0.0, 0.0]), wing=60.0))
    said = dict(zip(real.flies.RULES, np.moveaxis(label[:, 10:-10], 2, 0), strict=True))
    assert (said["walking"] == 1).all()
    assert (said["turning"] == 0).all()
    assert (said["close"] == 1).all()
    assert (said["facing"][0] == 1).all()
    assert (said["facing"][1] == 0).all()
    assert (said["chasing"][0] == 1).all()
    assert (said["chasing"][1] == 0).all()
    assert (said["wing extension"] == 1).all()
    # the change needs frames to both sides
    assert (label[:, 0, list(real.flies.RULES).index("walking")] == -1).all()


def test_between_the_bounds_and_without_tracks_nothing_is_scored(real):
    along = np.arange(50) / 25 * 0.7  # between 0.5 and 1 body lengths a second
    thorax = np.stack([np.stack([along, 0 * along], -1), np.stack([along + 9, 0 * along], -1)])
    tracks = two_flies(thorax, np.array([0.0, 90.0]))
    tracks["position"].loc[{"keypoint": "thorax", "individual": "b", "time": tracks.time[25:]}] = np.nan
    said = dict(zip(real.flies.RULES, np.moveaxis(real.flies.behaviors_by_rule(tracks), 2, 0), strict=True))
    assert (said["walking"] == -1).all()
    assert (said["close"][:, 5:20] == 0).all()
    assert (said["close"][:, 28:] == -1).all()
    assert (said["wing extension"][0] == 0).all()


def test_turning_is_told_across_the_half_turn(real):
    turn = np.radians(170 + np.arange(50) / 25 * 120)  # 120 degrees a second, through 180
    ahead = np.stack([np.cos(turn), np.sin(turn)], -1)
    tracks = two_flies(np.zeros((2, 50, 2)), np.array([0.0, 0.0]))
    tracks["position"].loc[{"keypoint": "abdomen", "individual": "a"}] = -24 * ahead
    measured = real.flies.quantities(tracks)["turn"][0, 5:-5]
    np.testing.assert_allclose(measured, 120, atol=1)


def test_stretches_are_ten_seconds_or_more(real):
    block = real.flies.block_of(np.arange(860) / 25)  # 34.4 s
    assert np.bincount(block).tolist() == [250, 250, 360]
    assert real.flies.block_of(np.arange(20) / 25).max() == 0


def test_what_a_fly_hardly_does_is_left_out(real):
    block = np.repeat(np.arange(8), 50)
    label = np.zeros((2, 400, 1), np.int8)
    label[0, ::10] = 1  # in all stretches
    label[1, :60] = 1  # in two
    kept = real.sets.often_enough(label, block)
    assert (kept[0] == label[0]).all()
    assert (kept[1] == -1).all()


# -- folds and scores


def task_of(real, label, unit, group, **more):
    names = tuple(str(k) for k in range(label.shape[1]))
    return real.judge.Task(title="t", names=names, label=label, unit=unit, group=group, **more)


@pytest.fixture
def prediction(real):
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 2, (90, 3)).astype(np.int8)
    score = np.clip(0.3 * truth + rng.uniform(0, 0.8, truth.shape), 0, 1).round(1)  # ties
    return real.judge.Prediction(truth=truth, score=score, unit=np.arange(90) // 10, one_of=False)


def repeated(prediction, weight):
    """The sample in which every unit occurs as often as it was drawn."""
    index = np.repeat(np.arange(len(prediction.unit)), weight[prediction.unit].astype(int))
    return prediction.truth[index], prediction.score[index]


def test_measures_of_behaviours_are_those_of_scikit_learn_on_every_draw(real, prediction):
    weights = real.judge.draw_weights(9, num_draws=5)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 9).all()
    measured = {name: measure(prediction, weights) for name, measure in real.judge.MEASURES.items()}
    for b, weight in enumerate(weights):
        truth, score = repeated(prediction, weight)
        columns = [(t[t >= 0], s[t >= 0]) for t, s in zip(truth.T, score.T, strict=True)]
        expected = {
            "balanced accuracy": np.mean([balanced_accuracy_score(t, s >= 0.5) for t, s in columns]),
            "AUROC": np.mean([roc_auc_score(t, s) for t, s in columns]),
            "average precision": np.mean([average_precision_score(t, s) for t, s in columns]),
        }
        assert {name: values[b] for name, values in measured.items()} == pytest.approx(expected)


def test_measures_of_classes_are_those_of_scikit_learn(real):
    rng = np.random.default_rng(1)
    classes = np.append(rng.integers(0, 4, 30), np.arange(4))
    score = rng.dirichlet(np.ones(4), 34)
    one = real.judge.Prediction(truth=np.eye(4, dtype=np.int8)[classes], score=score, unit=np.arange(34), one_of=True)
    measured = real.judge.all_measures(one)
    assert measured["balanced accuracy"][0] == pytest.approx(balanced_accuracy_score(classes, score.argmax(1)))
    assert measured["AUROC"][0] == pytest.approx(roc_auc_score(classes, score, multi_class="ovr"))
    assert np.isfinite(measured["balanced accuracy"]).all()


def test_differences_are_paired(real):
    rng = np.random.default_rng(2)
    draws = rng.normal(0.6, 0.1, 2001)
    same = real.judge.difference([draws], [draws])
    assert (same.value, same.low, same.high, same.verdict) == (0, 0, 0, "not told apart")
    better = real.judge.difference([draws + 0.05], [draws])  # less than the spread of either
    assert better.verdict == "better"
    assert better.low == pytest.approx(0.05)
    assert real.judge.difference([draws], [draws + 0.05]).verdict == "worse"


def test_one_lucky_seed_does_not_decide(real):
    """Three seeds that differ by much: the difference is to their mean, and its interval knows of them."""
    flat = np.full(2001, 0.5)
    apart = real.judge.difference([flat + 0.1], [flat - 0.2, flat, flat + 0.2])
    assert apart.value == pytest.approx(0.1)
    assert apart.low < 0 < apart.high
    alike = real.judge.difference([flat + 0.1], [flat - 0.01, flat, flat + 0.01])
    assert alike.verdict == "better"


def test_turning_rows_onto_their_axes_changes_no_prediction(real, monkeypatch):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(60, 200)) * rng.uniform(0.1, 5, 200)
    classes = np.arange(60) % 3
    monkeypatch.setattr(real.judge, "STRENGTHS", (1e-2,))
    tuned = real.judge.TunedLogistic().fit(rows[:45], np.eye(3)[classes[:45]], np.arange(45) // 15)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, class_weight="balanced", max_iter=1000))
    expected = plain.fit(rows[:45], classes[:45]).predict_proba(rows[45:])
    np.testing.assert_allclose(tuned.predict_proba(rows[45:], 3), expected, atol=1e-3)


def test_signal_beats_noise_and_noise_does_not_beat_noise(real):
    rng = np.random.default_rng(4)
    unit = np.repeat(np.arange(32), 5)
    classes = (np.arange(32) % 2)[unit]
    task = task_of(real, np.eye(2, dtype=np.int8)[classes], unit, unit // 8, one_of=True)
    looks = rng.normal(scale=3, size=(32, 60))[unit]  # rows of a clip resemble one another
    found = real.judge.Verdicts(task=task)
    found.add("noise", looks + rng.normal(size=(160, 60)))
    found.add("other noise", rng.normal(scale=3, size=(32, 60))[unit])
    found.add("signal", looks + 8 * classes[:, None])
    for classifier in real.judge.CLASSIFIERS:
        draws = {n: found.members(classifier, [n], "balanced accuracy") for n in ("noise", "other noise", "signal")}
        assert draws["signal"][0][0] > 0.9
        assert real.judge.difference(draws["signal"], draws["noise"]).verdict == "better"
        assert real.judge.difference(draws["other noise"], draws["noise"]).verdict == "not told apart"


# -- rows


def test_rows_do_not_reach_into_another_clip(real):
    """In which order the clips of a session stand makes no difference."""
    rng = np.random.default_rng(5)
    clips = [
        real.features.as_features(rng.normal(size=(1, n, 6)) + m, np.ones((1, n), bool))
        for n, m in ((30, -3), (25, 3), (40, 0))
    ]
    frames = [real.features.chosen_frames(c.sizes["time"], 10) for c in clips]
    rows = real.features.session_rows(clips, frames)
    assert [r.shape for r in rows] == [(1, 10, 54)] * 3
    turned = real.features.session_rows(clips[::-1], frames[::-1])[::-1]
    for a, b in zip(rows, turned, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
    everything = [np.arange(c.sizes["time"]) for c in clips]
    border = real.features.session_rows(clips, everything)[1]
    turned = real.features.session_rows(clips[::-1], everything[::-1])[::-1][1]
    assert np.abs(border - turned).max() > 0.5  # where rows do reach over


def test_the_look_of_a_session_is_taken_out(real):
    rng = np.random.default_rng(6)
    values = [rng.normal(size=(1, 30, 6)) for _ in range(3)]
    frames = [real.features.chosen_frames(30, 10)] * 3

    def rows(offset):
        clips = [real.features.as_features(v + offset, np.ones((1, 30), bool)) for v in values]
        return np.concatenate(real.features.session_rows(clips, frames, over_time=("mean", "spread")))

    assert rows(0).shape == (3, 10, 12)
    np.testing.assert_allclose(rows(0), rows(rng.normal(scale=3, size=6)), atol=1e-3)


# -- from video to report


def moving_squares(folder: Path, real, data: Path, cache: Path):
    """Eight short clips in two sessions of different light: a square that goes about, or one that stays."""
    clips, rng = [], np.random.default_rng(0)
    for i in range(8):
        path = folder / f"c{i}.mp4"
        if not path.exists():
            frames = np.full((16, 64, 64, 3), 60 if i < 4 else 120, np.uint8)
            x, y = rng.integers(2, 8), 20
            for t, frame in enumerate(frames):
                at = x + (2 * t if i % 2 else 0)
                frame[y : y + 12, at : at + 12] = 230
            write_video(path, frames)
        groups = {"half": "first" if i < 4 else "second"}
        clips.append(real.clips.Clip(name=f"c{i}", path=path, label="walk" if i % 2 else "stay", groups=groups))
    made = real.clips.ClipSet(title="Squares", clips=clips, caveats={"half": "Held out: a half."})
    return real.sets.clip_set("squares", made, made.groups("half").tolist(), primary=0)


def test_from_video_to_report(real, tmp_path, monkeypatch, capsys):
    for name in real.clips.FOLDERS:
        (tmp_path / name).mkdir()
    monkeypatch.setitem(real.sets.SETS, "fish", functools.partial(moving_squares, tmp_path, real))
    monkeypatch.setattr(real.judge, "NUM_DRAWS", 200)
    weights = save_encoder(tmp_path / "first.safetensors", load_encoder("tiny", device="cpu").model, trained=True)
    out, cache = tmp_path / "report.md", tmp_path / "cache"
    options = ["--data", str(tmp_path), "--only", "fish", "--seeds", "2", "--cache", str(cache), "--out", str(out)]
    assert real.video.main([*options, "--encoder", f"ours={weights}", "--encoder", "random", "--device", "cpu"]) == 0
    text = out.read_text()
    assert "python examples/real_video.py" in text
    assert str(tmp_path) not in text
    assert "| ours | tiny, " not in text  # it says that it is trained
    assert "| ours − random weights | " in text
    assert "| ours − HOG + optical flow | " in text
    assert "mean of 2 seeds" in text
    told = json.loads(out.with_suffix(".json").read_text())
    values = {
        s["features"]: s["value"]
        for s in told["scores"]
        if s["classifier"] == "probe" and s["measure"] == "balanced accuracy"
    }
    assert values["frame-difference energy"] == 1.0  # it moves or it does not
    # the "trained" encoder has the random weights of seed 0
    assert values["ours"] == values["random weights, seed 0"]
    assert len({d["one"] for d in told["differences"]}) == 2
    # a second run reads what the first one computed
    before = {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()}
    assert real.video.main([*options, "--encoder", f"ours={weights}", "--device", "cpu"]) == 0
    assert {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()} == before
    capsys.readouterr()


def test_random_weights_do_not_pass_for_trained_ones(real, tmp_path, capsys):
    for name in real.clips.FOLDERS:
        (tmp_path / name).mkdir()
    weights = save_encoder(tmp_path / "w.safetensors", load_encoder("tiny", device="cpu").model, trained=False)
    options = ["--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out.md")]
    assert real.video.main([*options, "--encoder", str(weights)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "expected trained weights" in said
    assert not (tmp_path / "out.md").exists()


def test_without_the_recordings_it_says_so_in_one_line(real, tmp_path, capsys):
    options = ["--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out.md")]
    assert real.video.main([*options, "--encoder", "random"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "bsoid" in said


# -- the recordings themselves


def source_plan(source, recording):
    return plan_crops(recording.tracks, source.crops, frame_size=recording.video.shape[1:3])


@pytest.mark.shared
def test_mice_are_found_without_labels_and_crops_stay_in_their_panel(real, shared_data, tmp_path, monkeypatch):
    clips = real.clips.hstacked_clips(shared_data)
    few = [i for i, clip in enumerate(clips.clips) if clip.name in ("locomote_hstacked_1", "rear_plus_hstacked_0")]
    few += [i for i, clip in enumerate(clips.clips) if clip.groups["recording"] == "dark floor" and i not in few]
    cut = dataclasses.replace(clips, clips=[clips.clips[i] for i in few])
    monkeypatch.setattr(real.clips, "hstacked_clips", lambda data: cut)
    monkeypatch.setattr(real.sets, "FRAMES_PER_CLIP", 12)
    made = real.sets.mice_cropped(shared_data, tmp_path)
    assert set(made.sessions) == {"dark floor"}
    for source, clip in zip(made.sources, cut.clips, strict=True):
        recording = source.open()
        with recording.video:
            assert recording.num_frames <= 12
            part = slice(recording.start_frame, recording.stop_frame)
            plan = source_plan(source, recording).isel(time=part)
            assert bool(plan["valid"].all())
            x, _, width, _ = clip.region
            across = plan["centre"].sel(space="x").values.ravel()
            half = real.sets.MOUSE_CROP.size / 2
            assert x - 0.5 <= (across - half).min()
            assert (across + half).max() <= x + width + 0.5
            # the mouse is black and 100 pixels long, and nothing else in the crop is as dark
            _, crops = next(iter_crops(recording, source_plan(source, recording), [part.stop - 1], out_size=160))
            dark = (crops["animal"].mean(axis=2) < 60).sum()
            assert 500 < dark < 6000
    assert len(list((tmp_path / "tracks").glob("*.tracks.nc"))) == len(few)


@pytest.mark.shared
def test_flies_have_enough_of_what_is_judged(real, shared_data, tmp_path):
    made = real.sets.flies(shared_data, tmp_path)
    (task,) = made.tasks
    assert task.names == tuple(real.flies.RULES)
    assert np.unique(task.unit).size == 12
    assert len(task.label) == 2 * sum(len(f) for f in made.frames)
    for k in range(len(task.names)):
        present = task.label[:, k] == 1
        assert len(np.unique(task.unit[present])) >= 4
        assert len(np.unique(task.unit[task.label[:, k] == 0])) >= 8
    tested = []
    for train, test in task.folds():
        assert not set(task.unit[train]) & set(task.unit[test])
        assert (task.label[train] == 1).any(axis=0).all()
        tested += test.tolist()
    assert sorted(tested) == list(range(len(task.label)))
    # what one stretch looks at lies seconds apart from what the next one does, and is labelled frame by frame
    parts = []
    for source in made.sources:
        recording = source.open()
        recording.video.close()
        parts.append((recording.start_frame, recording.stop_frame))
    assert min(after[0] - before[1] for before, after in itertools.pairwise(parts)) >= 3.9 * 25
    every = real.sets.often_enough(real.flies.behaviors_by_rule(recording.tracks), real.flies.block_of(recording.times))
    rows = task.label[task.unit == 11].reshape(2, -1, len(task.names))
    np.testing.assert_array_equal(rows, every[:, parts[11][0] + made.frames[11]])
