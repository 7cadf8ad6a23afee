"""The simulator: its truth is true, its pictures show it, and a seed decides everything."""

import math
import subprocess
import sys

import av
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from behavior_prism.datasets import load_annotations, to_dense
from behavior_prism.datasets.simulate import (
    FLY_BEHAVIORS,
    MOUSE_BEHAVIORS,
    behaviors_of,
    simulate_clip,
    simulate_recording,
    write_recording,
)

ARENAS = ("mouse", "fly")


@pytest.fixture(scope="module", params=ARENAS)
def recording(request):
    return simulate_recording(request.param, seconds=12, size=(96, 96), seed=5, unscored_fraction=0.2)


@pytest.fixture(scope="module")
def clips():
    return {
        (arena, behavior): [simulate_clip(arena, behavior, seed=seed) for seed in range(6)]
        for arena in ARENAS
        for behavior in behaviors_of(arena)
    }


def points(tracks, keypoint, individual=0):
    return tracks.position.sel(keypoint=keypoint).isel(individual=individual).transpose("time", "space").values


def middle(arena):
    return "body_center" if arena == "mouse" else "thorax"


def speed(clip, arena, individual=0):
    """How far the middle of the body gets [body lengths per second]."""
    path = points(clip.tracks, middle(arena), individual)
    head, tail = ("nose", "tail_base") if arena == "mouse" else ("head", "abdomen")
    length = np.linalg.norm(points(clip.tracks, head, individual) - points(clip.tracks, tail, individual), axis=1)
    seconds = (len(path) - 1) / clip.tracks.attrs["fps"]
    return np.linalg.norm(path[-1] - path[0]) / length.max() / seconds


def body_length(clip):
    return np.linalg.norm(points(clip.tracks, "nose") - points(clip.tracks, "tail_base"), axis=1).mean()


def angle_between(a, b):
    cosine = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


# -- the truth -----------------------------------------------------------------------------------------------


def test_behaviors_are_the_six_of_each_arena():
    assert behaviors_of("mouse") == MOUSE_BEHAVIORS and behaviors_of("fly") == FLY_BEHAVIORS
    assert len(set(MOUSE_BEHAVIORS)) == len(set(FLY_BEHAVIORS)) == 6


def test_tracks_are_laid_out_as_movement_does(recording):
    tracks = recording.tracks
    assert tracks.position.dims == ("time", "space", "keypoint", "individual")
    assert tracks.confidence.dims == ("time", "keypoint", "individual")
    assert tracks.individual.values.tolist() == [f"{recording.arena}1", f"{recording.arena}2"]
    assert tracks.attrs == {
        "fps": 25.0,
        "time_unit": "seconds",
        "source_software": "behavior_prism simulator",
        "ds_type": "poses",
    }
    np.testing.assert_allclose(tracks.time, np.arange(300) / 25)
    assert np.isfinite(tracks.position).all()


def test_bouts_reproduce_the_states_where_scored_and_are_silent_elsewhere(recording):
    times = recording.tracks.time.values
    label = to_dense(recording.annotations, times, directed="actor").isel(scorer=0)
    assert label.behavior.values.tolist() == list(recording.behaviors)
    values = label.transpose("time", "individual", "behavior").values
    truth = np.arange(6) == recording.states[..., None]
    np.testing.assert_array_equal(values[recording.scored], truth[recording.scored].astype(np.int8))
    assert (values[~recording.scored] == -1).all()
    assert (~recording.scored).sum() == round(0.2 * recording.num_frames)
    assert set(recording.annotations.bouts["scorer"]) == {"simulator"}
    np.testing.assert_allclose(recording.annotations.bouts["stop"], recording.annotations.bouts["stop_frame"] / 25)


def test_unscored_frames_are_one_or_two_stretches():
    for seed in range(8):
        scored = simulate_recording("fly", seconds=4, size=(32, 32), seed=seed).scored
        stretches = (np.diff(np.concatenate(([1], scored.astype(int), [1]))) == -1).sum()
        assert 1 <= stretches <= 2
        assert (~scored).sum() == 10
    assert simulate_recording("fly", seconds=2, size=(32, 32), unscored_fraction=0).scored.all()


def test_directed_behaviours_name_the_other_animal(recording):
    bouts = recording.annotations.bouts
    social = bouts["behavior"].isin(["chase", "contact"])
    assert social.any() and not social.all()
    assert (bouts.loc[~social, "target"] == "").all()
    assert (bouts.loc[social, "target"] != bouts.loc[social, "individual"]).all()
    assert set(bouts.loc[social, "target"]) <= set(recording.tracks.individual.values)


def test_chased_animal_walks_and_contact_is_mutual(recording):
    name = np.array(recording.behaviors)[recording.states]
    for n in (0, 1):
        assert set(name[name[:, n] == "chase", 1 - n]) <= {"walk"}
        assert set(name[name[:, n] == "contact", 1 - n]) <= {"contact"}


@pytest.mark.parametrize("arena", ARENAS)
def test_recordings_together_show_every_behaviour(arena):
    seen = [np.unique(simulate_recording(arena, size=(32, 32), seed=s).states) for s in range(3)]
    assert np.unique(np.concatenate(seen)).tolist() == list(range(6))


def test_one_animal_alone_is_never_social():
    alone = simulate_recording("mouse", num_animals=1, seconds=10, size=(32, 32))
    assert alone.tracks.sizes["individual"] == 1
    assert not set(alone.annotations.bouts["behavior"]) & {"chase", "contact"}
    assert (alone.annotations.bouts["target"] == "").all()


def test_captions_cover_the_recording_and_say_what_happens(recording):
    captions = recording.captions
    assert captions["start_frame"].tolist() == list(range(0, 300, 8))
    assert captions["stop_frame"].iloc[-1] == 300
    assert captions["caption"].str.contains(recording.arena).any()
    name = np.array(recording.behaviors)[recording.states]
    for row in captions.itertuples():
        if (name[row.start_frame : row.stop_frame] == "contact").all():
            assert any(word in row.caption for word in ("touch", "sniff", "tap")), row.caption


# -- seeds ---------------------------------------------------------------------------------------------------


def test_a_seed_decides_everything(recording):
    again = simulate_recording(recording.arena, seconds=12, size=(96, 96), seed=5, unscored_fraction=0.2)
    xr.testing.assert_identical(again.tracks, recording.tracks)
    pd.testing.assert_frame_equal(again.annotations.bouts, recording.annotations.bouts)
    pd.testing.assert_frame_equal(again.annotations.scored, recording.annotations.scored)
    pd.testing.assert_frame_equal(again.captions, recording.captions)
    for index in (0, 123, 299):
        np.testing.assert_array_equal(again.frame(index), recording.frame(index))
    other = simulate_recording(recording.arena, seconds=12, size=(96, 96), seed=6)
    assert not np.array_equal(other.frame(0), recording.frame(0))
    assert not np.array_equal(other.states, recording.states)


def test_frames_come_out_the_same_in_any_order(recording):
    frames = list(recording.frames())
    assert len(frames) == recording.num_frames == 300
    assert all(f.shape == (96, 96, 3) and f.dtype == np.uint8 for f in frames)
    for index in (299, 17, 150):
        np.testing.assert_array_equal(recording.frame(index), frames[index])
    np.testing.assert_array_equal(next(recording.frames()), frames[0])
    with pytest.raises(IndexError, match="expected 0 to 299, got 300"):
        recording.frame(300)


# -- what can be seen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arena", ARENAS)
def test_animals_lie_under_their_key_points(arena):
    recording = simulate_recording(arena, seconds=30, fps=10, size=(120, 160), seed=2)
    frames = np.stack(list(recording.frames())).astype(float)
    empty = np.median(frames, axis=0)  # in half a minute animals leave every place
    hits = []
    for n in (0, 1):
        x, y = np.rint(points(recording.tracks, middle(arena), n)).astype(int).T
        hits.append(np.abs(frames[np.arange(len(frames)), y, x] - empty[y, x]).max(axis=-1) > 25)
    assert np.mean(hits) > 0.95
    assert (recording.tracks.confidence.sel(keypoint=middle(arena)) == 1).all()


@pytest.mark.parametrize("arena", ARENAS)
def test_walking_moves_the_body_and_resting_does_not(clips, arena):
    def of(behavior):
        return [speed(clip, arena) for clip in clips[arena, behavior]]

    assert min(of("walk")) > 0.6
    assert max(of("still")) < 0.1
    assert max(of("groom")) < 0.2
    assert np.median(of("chase")) > 1.3 * np.median(of("walk"))


@pytest.mark.parametrize("arena", ARENAS)
def test_motion_is_visible_in_the_pixels(clips, arena):
    def change(behavior):
        return np.median([_changed(clip.frames) for clip in clips[arena, behavior]])

    still, groom, walk, chase = (change(b) for b in ("still", "groom", "walk", "chase"))
    assert groom > 1.5 * still + 1e-4
    assert walk > 1.5 * groom
    assert chase > walk


def _changed(frames):
    """Fraction of pixels that change by far more than the camera's noise."""
    steps = np.abs(np.diff(frames.astype(float).mean(-1), axis=0))
    return (steps > 30).mean()


def test_rearing_and_grooming_mice_are_short(clips):
    def length(behavior):
        return np.array([body_length(clip) for clip in clips["mouse", behavior]])

    # The same seed draws a mouse of the same size, so clips can be compared one by one.
    assert (length("rear") < 0.8 * length("still")).all()
    assert (length("groom") < 0.85 * length("still")).all()


def test_grooming_moves_the_head_and_some_rears_are_at_the_wall(clips):
    for clip in clips["mouse", "groom"]:
        nose = points(clip.tracks, "nose") - points(clip.tracks, "body_center")
        assert np.ptp(nose, axis=0).max() > 2  # pixels, within a third of a second
    said = [clip.caption for clip in clips["mouse", "rear"]]
    assert any("at the wall" in caption for caption in said)


def test_wing_extension_shows_in_the_tracks(clips):
    def widest(clip):
        axis = points(clip.tracks, "abdomen") - points(clip.tracks, "thorax")
        return max(
            angle_between(points(clip.tracks, f"wing_{side}") - points(clip.tracks, "thorax"), axis).min()
            for side in ("left", "right")
        )

    assert all(widest(clip) > 55 for clip in clips["fly", "wing_extension"])
    for behavior in ("walk", "still", "groom", "chase"):
        assert all(widest(clip) < 30 for clip in clips["fly", behavior])


def test_grooming_flies_hold_their_forelegs_together(clips):
    def apart(clip):
        gap = points(clip.tracks, "foreleg_left") - points(clip.tracks, "foreleg_right")
        scale = np.linalg.norm(points(clip.tracks, "head") - points(clip.tracks, "abdomen"), axis=1)
        return (np.linalg.norm(gap, axis=1) / scale).mean()

    assert max(apart(c) for c in clips["fly", "groom"]) < 0.5 * min(apart(c) for c in clips["fly", "still"])


@pytest.mark.parametrize("arena", ARENAS)
def test_contact_touches_and_a_chase_follows(clips, arena):
    front = "nose" if arena == "mouse" else "head"
    for clip in clips[arena, "contact"]:
        nose = points(clip.tracks, front)[:, None]
        body = clip.tracks.position.isel(individual=1).transpose("time", "keypoint", "space").values
        nearest = np.linalg.norm(body - nose, axis=-1).min(axis=1)
        assert (nearest < 0.12 * 96).all()
    for clip in clips[arena, "chase"]:
        ahead = points(clip.tracks, front) - points(clip.tracks, middle(arena))
        towards = points(clip.tracks, middle(arena), 1) - points(clip.tracks, middle(arena))
        assert np.median(angle_between(ahead, towards)) < 60
        assert (np.linalg.norm(towards, axis=1) < 0.6 * 96).all()


@pytest.mark.parametrize("arena", ARENAS)
def test_clips_have_the_asked_shape(arena):
    clip = simulate_clip(arena, "walk", num_frames=5, size=64, fps=50, seed=3)
    assert clip.frames.shape == (5, 64, 64, 3) and clip.frames.dtype == np.uint8
    assert clip.tracks.sizes["time"] == 5 and math.isclose(float(clip.tracks.time[1]), 0.02)
    assert clip.caption.endswith("top view")
    again = simulate_clip(arena, "walk", num_frames=5, size=64, fps=50, seed=3)
    np.testing.assert_array_equal(again.frames, clip.frames)


def test_seeds_vary_the_look(clips):
    means = [clip.frames.mean() for clip in clips["mouse", "still"]]
    assert np.ptp(means) > 30


# -- files ---------------------------------------------------------------------------------------------------


def test_written_files_read_back(tmp_path, recording):
    paths = write_recording(recording, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in paths.values())
    with av.open(str(paths["video"])) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.pix_fmt == "yuv420p"
        assert stream.average_rate == 25
        decoded = list(container.decode(stream))
    assert [round(f.time * 25) for f in decoded] == list(range(recording.num_frames))
    error = np.abs(decoded[40].to_ndarray(format="rgb24").astype(float) - recording.frame(40))
    assert error.mean() < 6

    with xr.open_dataset(paths["tracks"], engine="h5netcdf") as tracks:
        xr.testing.assert_allclose(tracks.load(), recording.tracks)
        assert tracks.attrs["ds_type"] == "poses"
    loaded = load_annotations(paths["bouts"])
    times = recording.tracks.time.values
    order = {"behavior": list(recording.behaviors)}
    xr.testing.assert_equal(to_dense(loaded, times).sel(order), to_dense(recording.annotations, times).sel(order))
    pd.testing.assert_frame_equal(pd.read_csv(paths["captions"]), recording.captions)


def test_existing_files_are_kept(tmp_path):
    short = simulate_recording("mouse", seconds=0.4, size=(64, 64))
    write_recording(short, tmp_path)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match=r"sim-mouse-0000\.mp4"):
        write_recording(short, tmp_path)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
    write_recording(short, tmp_path, overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == set(before)


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    from behavior_prism.datasets import _sim_write

    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(_sim_write, "save_annotations", fail)
    with pytest.raises(OSError, match="disk full"):
        write_recording(simulate_recording("fly", seconds=0.4, size=(64, 64)), tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arena": "rat"}, "arena: expected one of"),
        ({"seconds": 0}, "seconds: expected a positive number, got 0"),
        ({"seconds": float("nan")}, "seconds: expected a positive number, got nan"),
        ({"seconds": 0.01}, "seconds: expected at least one frame"),
        ({"fps": -1}, "fps: expected a positive number, got -1"),
        ({"size": (16, 96)}, "size: expected"),
        ({"size": (96.0, 96)}, "size: expected"),
        ({"num_animals": 3}, "num_animals: expected 1 or 2, got 3"),
        ({"unscored_fraction": 1.0}, "unscored_fraction: expected 0 to below 1, got 1.0"),
        ({"unscored_fraction": -0.1}, "unscored_fraction: expected 0 to below 1, got -0.1"),
        ({"caption_frames": 0}, "caption_frames: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected an integer from 0 on, got -1"),
    ],
)
def test_bad_recordings_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        simulate_recording(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rat", "walk"), "arena: expected one of"),
        (("mouse", "wing_extension"), "behavior: expected one of .*, got 'wing_extension'"),
        (("fly", "rear"), "behavior: expected one of .*, got 'rear'"),
    ],
)
def test_bad_clips_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate_clip(*arguments)
    for name, value in (("size", 8), ("num_frames", 0), ("fps", 0), ("seed", "a")):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            simulate_clip("mouse", "walk", **{name: value})


def test_odd_sizes_cannot_be_written(tmp_path):
    odd = simulate_recording("fly", seconds=0.2, size=(65, 64))
    with pytest.raises(ValueError, match="expected even height and width"):
        write_recording(odd, tmp_path)
    assert odd.frame(0).shape == (65, 64, 3)


@pytest.mark.slow
def test_files_are_the_same_in_every_process(tmp_path):
    """Three recordings, since it was the third whose encoder found the memory of those before it."""
    code = (
        "import hashlib, sys\n"
        "from behavior_prism.datasets import simulate_recording, write_recording\n"
        "for seed in range(3):\n"
        "    path = write_recording(simulate_recording('fly', seconds=6, seed=seed), sys.argv[1])['video']\n"
        "    print(hashlib.sha256(path.read_bytes()).hexdigest())\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, str(tmp_path / str(i))], capture_output=True, text=True, check=True)
        for i in range(3)
    ]
    assert len({run.stdout for run in runs}) == 1
