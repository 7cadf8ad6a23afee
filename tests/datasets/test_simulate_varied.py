"""Varied clips: every behaviour moves in its own way, splits are kept apart, arguments decide every bit."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from behavior_prism.datasets._sim_varied import POINTS, draw_scene, held_out, tell
from behavior_prism.datasets.captions import SPLITS, _words_of, vocabulary
from behavior_prism.datasets.simulate import VARIED_BEHAVIORS, simulate_captions, simulate_varied_clip

ALL = [(species, behavior) for species, behaviors in VARIED_BEHAVIORS.items() for behavior in behaviors]
PAIRS = {
    "mouse": ("approach", "chase", "nose_to_nose", "anogenital_sniffing", "allogrooming", "mount", "attack"),
    "fly": (
        "approach",
        "chase",
        "tapping",
        "wing_extension",
        "wing_threat",
        "circling",
        "lunge",
        "tussle",
        "copulation",
    ),
}
CLIPS = 6


@pytest.fixture(scope="module")
def clips():
    """Several clips of each behaviour, small, since their truth is looked at."""
    return {
        (species, behavior): [simulate_varied_clip(species, behavior, seed=5, index=k, size=48) for k in range(CLIPS)]
        for species, behavior in ALL
    }


def at(clip, name, animal=0):
    """Where a key point is in space, (T, 3)."""
    return clip.places[:, animal, POINTS[clip.species].index(name)].astype(float)


def centre(clip, animal=0):
    return at(clip, "body_center" if clip.species == "mouse" else "thorax", animal)


def speed(clip):
    """Body lengths per second over the floor, start to end."""
    path = centre(clip)[:, :2]
    return np.linalg.norm(np.diff(path, axis=0), axis=1).sum() * clip.fps / (len(path) - 1)


def heading(clip, animal=0):
    """Direction of the trunk [rad], unwrapped."""
    front, back = ("neck", "tail_base") if clip.species == "mouse" else ("head", "abdomen")
    d = at(clip, front, animal) - at(clip, back, animal)
    return np.unwrap(np.arctan2(d[:, 1], d[:, 0]))


def wag(clip, name):
    """How much a key point moves against the middle of the body [body lengths per frame]."""
    return np.linalg.norm(np.diff(at(clip, name) - centre(clip), axis=0), axis=1).mean()


def apart(clip, one="", two=""):
    """Distance of the first animal (or a point of it) from the second, (T,)."""
    a = at(clip, one, 0) if one else centre(clip, 0)
    b = at(clip, two, 1) if two else centre(clip, 1)
    return np.linalg.norm((a - b)[:, :2], axis=1)


def test_there_are_twenty_behaviours_of_each_species():
    assert [len(set(b)) for b in VARIED_BEHAVIORS.values()] == [20, 20]


@pytest.mark.parametrize(("species", "behavior"), ALL)
def test_every_behaviour_is_drawn(clips, species, behavior):
    for clip in clips[species, behavior]:
        assert (clip.species, clip.behavior, clip.scene.behavior) == (species, behavior, behavior)
        assert clip.frames.shape == (8, 48, 48, 3) and clip.frames.dtype == np.uint8
        assert clip.frames.std() > 4, "something is to be seen"
        assert len(clip.captions) == 2 and len(set(clip.captions)) == 2
        assert all(
            species in caption or {"mouse": "mice", "fly": "flies"}[species] in caption for caption in clip.captions
        )
        animals = 2 if behavior in PAIRS[species] or clip.scene.bystander else 1
        assert clip.places.shape == (8, animals, 7, 3) and clip.points.shape == (8, animals, 7, 2)
        assert np.isfinite(clip.points).all() and (clip.places[..., 2] > -0.05).all()
        middle = clip.points[:, 0].mean(axis=1)
        assert ((middle > 0) & (middle < 48)).mean() > 0.9, "the actor is in the picture"


@pytest.mark.parametrize("species", VARIED_BEHAVIORS)
def test_running_is_faster_than_walking_than_standing(clips, species):
    run, walk, still = ([speed(c) for c in clips[species, b]] for b in ("run", "walk", "still"))
    assert min(run) > 1.3 * max(walk)
    assert min(walk) > 0.8 and max(still) < 0.2


@pytest.mark.parametrize("species", VARIED_BEHAVIORS)
def test_turning_turns_in_place(clips, species):
    for clip in clips[species, "turn"]:
        assert abs(heading(clip)[-1] - heading(clip)[0]) > 1.0
        assert np.ptp(centre(clip)[:, :2], axis=0).max() < 0.8
    for clip in clips[species, "still"]:
        assert abs(heading(clip)[-1] - heading(clip)[0]) < 0.2


def test_mice_rear_jump_stretch_and_crouch(clips):
    for behavior in ("rear_supported", "rear_unsupported"):
        assert all(
            np.ptp(at(c, "nose")[:, 2]) > 0.2 or at(c, "nose")[:, 2].min() > 0.5 for c in clips["mouse", behavior]
        )
        assert all(at(c, "tail_base")[:, 2].max() < 0.4 for c in clips["mouse", behavior])
    assert all(centre(c)[:, 2].max() > 0.6 for c in clips["mouse", "jump"])
    for behavior in ("walk", "still", "digging", "sniffing"):
        assert all(at(c, "nose")[:, 2].max() < 0.4 for c in clips["mouse", behavior])

    def longest(c):
        return np.linalg.norm(at(c, "nose") - at(c, "tail_base"), axis=1).max()

    stretched, still = ([longest(c) for c in clips["mouse", b]] for b in ("stretch_attend", "still"))
    assert np.median(stretched) > 1.2 * np.median(still)
    groomed = [longest(c) for b in ("face_grooming", "body_grooming") for c in clips["mouse", b]]
    assert max(groomed) < np.median(still)


def test_heads_move_when_mice_groom_and_sniff(clips):
    still = max(wag(c, "nose") for c in clips["mouse", "still"])
    for behavior in ("face_grooming", "body_grooming", "scratching", "sniffing"):
        assert min(wag(c, "nose") for c in clips["mouse", behavior]) > 1.5 * still
        assert max(speed(c) for c in clips["mouse", behavior]) < min(speed(c) for c in clips["mouse", "walk"])
    for clip in clips["mouse", "body_grooming"]:  # the nose is at the flank
        assert np.linalg.norm(at(clip, "nose") - centre(clip), axis=1).mean() < 0.45


def test_flies_move_legs_and_wings(clips):
    still = max(wag(c, "foreleg_left") for c in clips["fly", "still"])
    for behavior in ("front_leg_grooming", "head_grooming"):
        assert min(wag(c, "foreleg_left") for c in clips["fly", behavior]) > 2 * still + 0.01
    for clip in clips["fly", "front_leg_grooming"]:
        assert np.linalg.norm(at(clip, "foreleg_left") - at(clip, "foreleg_right"), axis=1).mean() < 0.3

    def opened(c):
        """Angle of each wing from the abdomen, left and right (T, 2)."""
        back = at(c, "abdomen") - at(c, "thorax")
        angles = []
        for side in ("left", "right"):
            wing = at(c, f"wing_{side}") - at(c, "thorax")
            cosine = (wing * back).sum(1) / np.linalg.norm(wing, axis=1) / np.linalg.norm(back, axis=1)
            angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        return np.sort(np.stack(angles, axis=1), axis=1)

    for clip in clips["fly", "wing_extension"]:
        assert (opened(clip)[:, 1] > 55).all() and (opened(clip)[:, 0] < 35).all()
    for clip in clips["fly", "wing_threat"]:
        assert opened(clip)[-1].min() > 40
    for clip in clips["fly", "wing_flick"]:
        assert np.ptp(opened(clip)[:, 1]) > 12 and np.ptp(centre(clip), axis=0).max() < 0.1
    for behavior in ("walk", "run", "still", "turn", "chase"):
        assert max(opened(c).max() for c in clips["fly", behavior]) < 35
    assert all(at(c, "thorax")[:, 2].max() > 0.5 for c in clips["fly", "jump"])
    for clip in clips["fly", "righting"]:
        assert (at(clip, "wing_left")[:, 2] < at(clip, "thorax")[:, 2]).mean() > 0.5


@pytest.mark.parametrize("species", VARIED_BEHAVIORS)
def test_two_animals_stand_to_each_other_as_the_behaviour_says(clips, species):
    for clip in clips[species, "chase"]:
        assert speed(clip) > 2.5 and np.ptp(apart(clip)) < 0.6 and 0.7 < apart(clip).mean() < 2.0
        to_other = centre(clip, 1) - centre(clip, 0)
        ahead = np.stack([np.cos(heading(clip)), np.sin(heading(clip))], axis=1)
        assert ((to_other[:, :2] * ahead).sum(1) > 0).all(), "the other runs ahead"
    for clip in clips[species, "approach"]:
        assert apart(clip)[0] - apart(clip)[-1] > 0.5 and speed(clip) > 1
    on_top = "mount" if species == "mouse" else "copulation"
    for clip in clips[species, on_top]:
        assert apart(clip).max() < 0.6 and (centre(clip, 0)[:, 2] > centre(clip, 1)[:, 2]).all()
    for clip in clips[species, "attack" if species == "mouse" else "tussle"]:
        assert apart(clip).max() < 1.2
        turned = np.abs(heading(clip)[-1] - heading(clip)[0]) / ((len(clip.frames) - 1) / clip.fps)
        assert turned > 1.5, "they spin about each other"


def test_noses_and_feet_touch(clips):
    assert all(apart(c, "nose", "nose").mean() < 0.25 for c in clips["mouse", "nose_to_nose"])
    assert all(apart(c, "nose", "tail_base").mean() < 0.3 for c in clips["mouse", "anogenital_sniffing"])
    assert all(apart(c, "nose", "neck").mean() < 0.45 for c in clips["mouse", "allogrooming"])
    assert all(apart(c, "foreleg_left", "abdomen").mean() < 0.35 for c in clips["fly", "tapping"])
    for clip in clips["fly", "circling"]:
        d = (centre(clip, 0) - centre(clip, 1))[:, :2]
        assert np.ptp(np.unwrap(np.arctan2(d[:, 1], d[:, 0]))) > 0.7 and np.ptp(apart(clip)) < 0.3
    for clip in clips["fly", "lunge"]:
        assert np.ptp(apart(clip)) > 0.2 and np.ptp(at(clip, "head")[:, 2]) > 0.1


def test_motion_is_seen_in_the_pixels():
    def change(species, behavior):
        """Median over clips of the part of the picture, noise and flicker apart, that changes from frame to frame."""
        values = []
        for k in range(12):
            frames = simulate_varied_clip(species, behavior, seed=8, index=k, size=48).frames.astype(float).mean(-1)
            coarse = np.diff(frames.reshape(8, 16, 3, 16, 3).mean(axis=(2, 4)), axis=0)
            coarse -= np.median(coarse, axis=(1, 2), keepdims=True)
            values.append((np.abs(coarse) > 12).mean())
        return np.median(values)

    for species in VARIED_BEHAVIORS:
        still, walk, run = (change(species, b) for b in ("still", "walk", "run"))
        assert run > walk > 2 * still + 0.01


# -- seeds and splits ----------------------------------------------------------------------------------------


def digest(clip):
    return hashlib.sha256(clip.frames.tobytes() + "|".join(clip.captions).encode() + clip.points.tobytes()).hexdigest()


def test_arguments_decide_every_bit_whatever_came_before():
    wanted = {"seed": 3, "index": 11, "size": 64}
    first = simulate_varied_clip("fly", "lunge", **wanted)
    np.random.seed(0)  # noqa: NPY002 - the global state is nobody's business
    for k in range(3):
        simulate_varied_clip(seed=4, index=k, size=32)
    assert digest(simulate_varied_clip("fly", "lunge", **wanted)) == digest(first)
    others = [{**wanted, "index": 12}, {**wanted, "seed": 4}, {**wanted, "split": "test"}]
    assert digest(first) not in {digest(simulate_varied_clip("fly", "lunge", **other)) for other in others}


def test_every_process_draws_the_same():
    code = (
        "import sys, hashlib\n"
        "from behavior_prism.datasets.simulate import simulate_varied_clip as clip\n"
        "for k in (2, 0, 1)[int(sys.argv[1]):]:\n"
        "    one = clip(seed=9, index=k, size=48)\n"
        "    if k == 1: print(hashlib.sha256(one.frames.tobytes() + one.captions[0].encode()).hexdigest())\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, str(k)], capture_output=True, text=True, check=True) for k in (0, 2)
    ]
    here = simulate_varied_clip(seed=9, index=1, size=48)
    wanted = hashlib.sha256(here.frames.tobytes() + here.captions[0].encode()).hexdigest()
    assert {run.stdout.strip() for run in runs} == {wanted}


def test_sizes_and_frames_are_honoured_and_one_frame_is_a_picture():
    for num_frames, size in ((1, 32), (5, 65), (16, 40), (2, 200)):
        clip = simulate_varied_clip("mouse", seed=1, index=2, num_frames=num_frames, size=size)
        assert clip.frames.shape == (num_frames, size, size, 3) and len(clip.points) == num_frames


def test_what_is_left_out_is_drawn():
    drawn = {
        (c.species, c.behavior)
        for c in (simulate_varied_clip(seed=2, index=k, num_frames=1, size=32) for k in range(80))
    }
    assert {species for species, _ in drawn} == {"mouse", "fly"} and len(drawn) > 25
    assert simulate_varied_clip(None, "copulation", num_frames=1, size=32).species == "fly"


def test_held_out_combinations_are_only_in_their_split():
    for species, behavior in ALL:
        coat, place = held_out(species, behavior)
        for split in SPLITS:
            rng = np.random.default_rng(1)
            for scene in (draw_scene(rng, species, behavior, split) for _ in range(30)):
                odd = scene.coats[0] == coat or scene.place == place
                assert odd == (split == "unseen_combinations")
                assert odd or coat not in scene.coats
    clip = simulate_varied_clip("fly", "walk", num_frames=1, size=32, split="unseen_combinations")
    assert clip.scene.coats[0] == held_out("fly", "walk")[0] or clip.scene.place == held_out("fly", "walk")[1]
    # Each held-out coat and arena is shown with other behaviours.
    for species, behaviors in VARIED_BEHAVIORS.items():
        for which in (0, 1):
            kept_back = [held_out(species, behavior)[which] for behavior in behaviors]
            assert max(kept_back.count(name) for name in set(kept_back)) < len(behaviors) / 2


def test_captions_come_without_clips():
    texts = list(simulate_captions(200, seed=3))
    assert len(texts) == 400 and texts == list(simulate_captions(200, seed=3)) != list(simulate_captions(200, seed=4))
    assert {w for text in texts for w in _words_of(text)} <= vocabulary("train")
    still = [
        simulate_varied_clip("mouse", "digging", seed=3, index=k, num_frames=1, size=32).captions for k in range(3)
    ]
    assert [c for pair in still for c in pair] == [
        c for k in range(3) for c in tell("mouse", "digging", seed=3, index=k, split="train")
    ]
    with pytest.raises(ValueError, match="count: expected an integer from 0 on, got -1"):
        simulate_captions(-1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"species": "rat"}, "species: expected one of .*, got 'rat'"),
        ({"behavior": "yawn"}, "behavior: expected one of .*, got 'yawn'"),
        ({"species": "fly", "behavior": "digging"}, "behavior: expected one of .*, got 'digging'"),
        ({"seed": -1}, "seed: expected an integer from 0 on, got -1"),
        ({"index": 1.5}, "index: expected an integer from 0 on, got 1.5"),
        ({"num_frames": 0}, "num_frames: expected an integer from 1 on, got 0"),
        ({"size": 16}, "size: expected an integer from 32 on, got 16"),
        ({"split": "validation"}, "split: expected one of .*, got 'validation'"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        simulate_varied_clip(**arguments)
    assert "\n" not in str(error.value)
