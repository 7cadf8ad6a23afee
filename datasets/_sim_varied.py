"""Clips of every kind of scene: who, what, where, how it is filmed; all of it drawn from a seed and an index.

Legend: T frames, S moments within the exposure of a frame, N animals, K key points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ._sim_acts import Behavior, Pose, moved
from ._sim_canvas import shade
from ._sim_filming import aim, draw_bystander, locate, settle, times
from ._sim_fly_acts import FLY_ACTS
from ._sim_fly_body import FLY_POINTS, add_fly
from ._sim_mouse_acts import MOUSE_ACTS
from ._sim_mouse_body import MOUSE_POINTS, add_mouse
from ._sim_optics import draw_optics
from ._sim_parts import Body
from ._sim_places import FLY_TINTS, MOUSE_COATS, PLACES, draw_ground
from ._sim_shoot import add_bedding, add_things, draw_bars, shoot
from .captions import SPLITS, Scene, captions_of, told_of

POINTS = {"mouse": MOUSE_POINTS, "fly": FLY_POINTS}
_HEAD = {"mouse": MOUSE_POINTS.index("neck"), "fly": FLY_POINTS.index("head")}
ACTS: dict[str, dict[str, Behavior]] = {"mouse": MOUSE_ACTS, "fly": FLY_ACTS}
_COATS: dict[str, tuple[str, ...]] = {"mouse": tuple(MOUSE_COATS), "fly": tuple(FLY_TINTS)}
_MOVING = ("walk", "run", "approach", "chase")
_SMALL = 160  # pictures smaller than this are painted at twice their size and shrunk


@dataclass(frozen=True, kw_only=True)
class VariedClip:
    """A few frames of one behaviour in one of many scenes, and what can be said about them.

    Parameters
    ----------
    frames : numpy.ndarray
        uint8 RGB, shape (T, size, size, 3).
    species : {"mouse", "fly"}
        Which animals.
    behavior : str
        What the first animal does.
    captions : list of str
        Two sentences with words of the clip's split.
    meanings : list of str
        What each of them says, in words that are always the same.
    scene : Scene
        What the sentences are made from.
    fps : float
        Frames per second.
    points : numpy.ndarray
        Key points in the picture, shape (T, N, K, 2) [pixels], x and y.
    places : numpy.ndarray
        The same in space, shape (T, N, K, 3) [body lengths]; z is up from the floor.
    """

    frames: np.ndarray
    species: str
    behavior: str
    captions: list[str]
    meanings: list[str]
    scene: Scene
    fps: float
    points: np.ndarray
    places: np.ndarray


def held_out(species: str, behavior: str) -> tuple[str, str]:
    """The coat and the arena in which a behaviour is never shown outside the split of unseen combinations."""
    coats, places = _COATS[species], [p for p in PLACES[species] if not _unfit(p, behavior)]
    k = list(ACTS[species]).index(behavior)
    return coats[(2 * k + k // len(coats)) % len(coats)], places[(k + k // len(places)) % len(places)]


def _unfit(place: str, behavior: str) -> bool:
    """A wall to lean on, loose ground to dig in, room to circle: not every arena has them."""
    if behavior == "rear_supported":
        return place in ("platform", "round_arena")
    return behavior == "circling" and place == "tube"


def draw_scene(rng: np.random.Generator, species: str, behavior: str, split: str) -> Scene:
    """Draw what can be said about a clip."""
    how = ACTS[species][behavior]
    coats, places = list(_COATS[species]), [p for p in PLACES[species] if not _unfit(p, behavior)]
    odd_coat, odd_place = held_out(species, behavior)
    must_say = ""
    coats.remove(odd_coat)
    places.remove(odd_place)
    first, place = coats[int(rng.integers(len(coats)))], places[int(rng.integers(len(places)))]
    if split == "unseen_combinations":
        must_say = "coat" if rng.random() < 0.5 else "place"
        first, place = (odd_coat, place) if must_say == "coat" else (first, odd_place)
    bystander = how.animals == 1 and not how.at_wall and rng.random() < 0.2
    two = how.animals == 2 or bystander
    second = first if rng.random() < 0.6 else coats[int(rng.integers(len(coats)))]
    floors = PLACES[species][place].floors
    if how.digs and rng.random() < 0.6:
        floors = ("bedding", "sand")
    view = ("top", "oblique", "side", "below")[int(rng.choice(4, p=(0.60, 0.20, 0.10, 0.10)))]
    lighting = ("plain", "dim", "bright", "infrared", "red")[int(rng.choice(5, p=(0.5, 0.1, 0.1, 0.25, 0.05)))]
    seen = must_say == "coat" and first not in ("black", "white", "hooded")
    is_grey = not seen and (lighting == "infrared" or rng.random() < 0.25)
    if lighting == "infrared" and seen:
        lighting = "plain"
    things = ("", "nest", "cable", "shelter", "bars") if species == "mouse" else ("", "food")
    chances = (0.72, 0.08, 0.08, 0.06, 0.06) if species == "mouse" else (0.9, 0.1)
    thing = things[int(rng.choice(len(things), p=chances))]
    floor = floors[int(rng.integers(len(floors)))]
    if lighting == "dim" and floor == "dark":  # nothing would be seen
        lighting = "plain"
    return Scene(
        species=species,
        behavior=behavior,
        coats=(first, second) if two else (first,),
        place=place,
        floor=floor,
        view=view,
        lighting=lighting,
        is_grey=is_grey,
        thing="" if thing == "nest" and view == "below" else thing,
        bystander=bystander,
        must_say=must_say,
    )


def _generators(seed: int, index: int, split: str) -> list[np.random.Generator]:
    """Independent generators for what is shown, motion, look and words."""
    root = np.random.SeedSequence([seed, index, SPLITS.index(split), 7])
    return [np.random.Generator(np.random.PCG64(child)) for child in root.spawn(4)]


def draw_subject(rng: np.random.Generator, species: str | None, behavior: str | None) -> tuple[str, str]:
    """Draw what was left open; the number of draws does not depend on it."""
    one, two = rng.random(2)
    if species is None:
        fitting = [s for s in ACTS if behavior is None or behavior in ACTS[s]]
        species = fitting[int(one * len(fitting))]
    if behavior is None:
        behavior = list(ACTS[species])[int(two * len(ACTS[species]))]
    return species, behavior


def render(
    species: str | None, behavior: str | None, *, seed: int, index: int, num_frames: int, size: int, split: str
) -> VariedClip:
    """Make one clip; arguments have been checked."""
    choices, motion, looks, words = _generators(seed, index, split)
    scene = draw_scene(choices, *draw_subject(choices, species, behavior), split)
    species, behavior = scene.species, scene.behavior
    how = ACTS[species][behavior]

    t, fps, exposures = times(motion, how, num_frames)
    poses, spread, theta = settle(motion, how, scene, how.act(motion, t))
    if scene.bystander:
        poses = [*poses, draw_bystander(motion, scene, t, spread)]
    colors = [MOUSE_COATS[c].trunk if species == "mouse" else FLY_TINTS[c].trunk for c in scene.coats]
    margin = 0.75 + (1.6 if scene.bystander else 0.0)
    ground = draw_ground(looks, species, scene.place, scene.floor, colors, (spread[0] + margin, spread[1] + margin))
    middle = locate(looks, how, ground, spread, theta)
    poses = [moved(p, middle[0], middle[1], 0.0) for p in poses]

    scale = 2 if size < _SMALL else 1
    xy = np.stack([np.stack([p["x"], p["y"]], axis=-1) for p in poses[: how.animals]], axis=1)  # (T * S, N, 2)
    camera, shift = aim(looks, scene, ground, xy, spread, scale * size)
    shift = np.repeat(shift[::exposures], exposures, axis=0)  # a crop stands still while the shutter is open
    angle = looks.uniform(-math.pi, math.pi)
    seen = angle + camera.turn
    body = Body((math.cos(seen), math.sin(seen)))
    places = [_add_animal(looks, body, species, pose, coat) for pose, coat in zip(poses, scene.coats, strict=True)]
    if how.digs and scene.floor in ("bedding", "sand"):
        add_bedding(looks, body, poses[0], t, ground.color)
    add_things(looks, body, scene, ground, places[0][:, _HEAD[species]], middle)
    frames = shoot(
        looks,
        body,
        ground,
        camera,
        shift,
        draw_optics(looks, size, num_frames, scene.lighting, scene.is_grey),
        sun=(math.cos(angle), math.sin(angle)),
        canvas=scale * size,
        bars=draw_bars(looks, scale * size) if scene.thing == "bars" else [],
    )

    space = np.stack(places, axis=1)[::exposures]  # (T, N, K, 3)
    absolute = (camera.project(space)[0] + 0.5) / scale - 0.5
    scene = replace(scene, direction=_direction(behavior, absolute[:, 0].mean(axis=1), size))
    told = told_of(scene, split, words)
    return VariedClip(
        frames=frames,
        species=species,
        behavior=behavior,
        captions=[caption for caption, _ in told],
        meanings=[meaning for _, meaning in told],
        scene=scene,
        fps=fps,
        points=(absolute - shift[::exposures, None, None] / scale).astype(np.float32),
        places=space.astype(np.float32),
    )


def tell(species: str | None, behavior: str | None, *, seed: int, index: int, split: str) -> list[str]:
    """Captions without drawing anything: of the scene that :func:`render` draws, in a direction that is made up."""
    choices, _, _, words = _generators(seed, index, split)
    scene = draw_scene(choices, *draw_subject(choices, species, behavior), split)
    if scene.behavior in _MOVING:
        scene = replace(scene, direction=("", "left", "right")[int(words.integers(3))])
    return captions_of(scene, split, words)


def _add_animal(rng: np.random.Generator, body: Body, species: str, pose: Pose, coat: str) -> np.ndarray:
    """Put an animal of its own size and shade among what is drawn; its key points in space, (T * S, K, 3)."""
    grown, f = rng.uniform(0.9, 1.1), rng.uniform(0.88, 1.12)
    if species == "mouse":
        fur = MOUSE_COATS[coat]
        fur = replace(
            fur,
            trunk=shade(fur.trunk, f),
            head=shade(fur.head, f),
            ridge=shade(fur.ridge, f),
            belly=shade(fur.belly, f),
        )
        return add_mouse(body, pose, fur, grown)
    tint = FLY_TINTS[coat]
    return add_fly(body, pose, replace(tint, trunk=shade(tint.trunk, f), band=shade(tint.band, f)), grown)


def _direction(behavior: str, path: np.ndarray, size: int) -> str:
    """Left or right, if the animal clearly goes there; path (T, 2) [pixels] before any cropping."""
    dx, dy = path[-1] - path[0]
    if behavior not in _MOVING or abs(dx) < 0.12 * size or abs(dx) < abs(dy):
        return ""
    return "right" if dx > 0 else "left"
