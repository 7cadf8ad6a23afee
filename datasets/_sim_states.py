"""What simulated animals do next, for how long, and in which words a person would say it.

Behaviours are the states of a semi-Markov chain: the next state depends on the present one only, and every
state has its own distribution of durations. A chase needs two animals, and so does contact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOUSE_BEHAVIORS = ("walk", "still", "groom", "rear", "chase", "contact")
FLY_BEHAVIORS = ("walk", "still", "groom", "wing_extension", "chase", "contact")
SOCIAL = ("chase", "contact")
ARENAS = ("mouse", "fly")

MIN_BOUT_S = 0.4  # an animal is not drawn into a chase or a contact before its own bout lasted this long
_DURATION_S = {
    "walk": (0.7, 2.2),
    "still": (0.7, 2.2),
    "groom": (1.0, 3.0),
    "rear": (0.8, 2.0),
    "wing_extension": (0.9, 2.6),
    "chase": (1.0, 2.4),
    "contact": (0.9, 2.4),
}
# Walking also joins the other states (to a wall, to another animal), so it is drawn less often than it is seen.
_WEIGHT = {
    "walk": 0.8,
    "still": 1.0,
    "groom": 1.1,
    "rear": 1.3,
    "wing_extension": 1.3,
    "chase": 1.6,
    "contact": 1.4,
}

_PLURAL = {"mouse": "mice", "fly": "flies"}
_PHRASES = {  # (said of one, said of two)
    ("mouse", "walk"): (("walks", "two {s} walk"), ("runs about", "two {s} run about")),
    ("mouse", "still"): (("sits still", "two {s} sit still"), ("does not move", "two {s} do not move")),
    ("mouse", "groom"): (("grooms", "two {s} groom"), ("washes its face", "two {s} wash their faces")),
    ("mouse", "rear"): (("rears", "two {s} rear"), ("stands up on its hind legs", "two {s} stand up")),
    ("fly", "walk"): (("walks", "two {s} walk"), ("walks about", "two {s} walk about")),
    ("fly", "still"): (("stands still", "two {s} stand still"), ("does not move", "two {s} do not move")),
    ("fly", "groom"): (
        ("grooms", "two {s} groom"),
        ("cleans itself with its legs", "two {s} clean themselves"),
    ),
    ("fly", "wing_extension"): (
        ("extends one wing", "two {s} extend a wing each"),
        ("sings with one wing out", "two {s} sing with one wing out"),
    ),
}
_CHASE = ("{a} chases {b}", "{a} runs after {b}")
_CONTACT = {
    "mouse": ("{a} and {b} touch each other", "{a} and {b} sniff each other"),
    "fly": ("{a} and {b} touch each other", "{a} and {b} tap each other with their forelegs"),
}


def behaviors_of(arena: str) -> tuple[str, ...]:
    """Behaviours that an arena can show.

    Parameters
    ----------
    arena : {"mouse", "fly"}
        Which arena.

    Returns
    -------
    tuple of str
        Six names; their positions are the numbers in ``SimulatedRecording.states``.

    Raises
    ------
    ValueError
        If there is no such arena.

    Examples
    --------
    >>> behaviors_of("fly")[3]
    'wing_extension'
    """
    if arena not in ARENAS:
        raise ValueError(f"arena: expected one of {list(ARENAS)}, got {arena!r}")
    return MOUSE_BEHAVIORS if arena == "mouse" else FLY_BEHAVIORS


def draw_behavior(rng: np.random.Generator, behaviors: Sequence[str], current: str, *, social: bool) -> str:
    """Draw the state that follows ``current``; never the same one again."""
    names = [b for b in behaviors if b != current and (social or b not in SOCIAL)]
    weights = np.array([_WEIGHT[b] for b in names])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def draw_duration(rng: np.random.Generator, behavior: str, fps: float) -> int:
    """Draw how long a state lasts [frames]; uniform in the logarithm, so short bouts are the more common."""
    low, high = _DURATION_S[behavior]
    return max(2, round(fps * float(np.exp(rng.uniform(np.log(low), np.log(high))))))


def draw_scored(rng: np.random.Generator, num_frames: int, unscored_fraction: float) -> np.ndarray:
    """Draw which frames were scored: all but one or two contiguous stretches.

    Returns
    -------
    numpy.ndarray
        Boolean, shape (num_frames,), with ``round(unscored_fraction * num_frames)`` frames false.
    """
    scored = np.ones(num_frames, dtype=bool)
    missing = round(unscored_fraction * num_frames)
    pieces = [missing] if missing < 8 or rng.random() < 0.5 else [missing // 2, missing - missing // 2]
    # The stretches are laid into the scored frames, which are cut at sorted random places.
    cuts = np.sort(rng.integers(0, num_frames - missing + 1, len(pieces)))
    shift = 0
    for cut, piece in zip(cuts, pieces, strict=True):
        scored[cut + shift : cut + shift + piece] = False
        shift += piece
    return scored


def describe(
    rng: np.random.Generator,
    arena: str,
    shown: Sequence[str],
    *,
    colors: Sequence[str],
    at_wall: Sequence[bool],
) -> str:
    """Say in one line what the animals of one clip do.

    Parameters
    ----------
    rng : numpy.random.Generator
        Chooses among words that mean the same.
    arena : {"mouse", "fly"}
        Which animals.
    shown : sequence of str
        Behaviour of each animal.
    colors : sequence of str
        Colour of each animal in words.
    at_wall : sequence of bool
        Whether each animal is at the wall.

    Returns
    -------
    str
    """
    use_color = rng.random() < 0.5
    phrase = int(rng.integers(2))
    names = [f"a {color} {arena}" if use_color else f"a {arena}" for color in colors]
    if len(shown) == 2:
        alike = not use_color or colors[0] == colors[1]
        others = [f"another {arena}"] * 2 if alike else names
        if "chase" in shown:
            first = list(shown).index("chase")
            return _CHASE[phrase].format(a=names[first], b=others[1 - first]) + ", top view"
        if "contact" in shown:
            return _CONTACT[arena][phrase].format(a=names[0], b=others[1]) + ", top view"
        walls = [" at the wall" if at and b == "rear" else "" for at, b in zip(at_wall, shown, strict=True)]
        if shown[0] == shown[1]:
            both = _PHRASES[arena, shown[0]][phrase][1].format(s=_PLURAL[arena])
            return both + (walls[0] if walls[0] == walls[1] else "") + ", top view"
        said = [_PHRASES[arena, b][phrase][0] + wall for b, wall in zip(shown, walls, strict=True)]
        return f"{names[0]} {said[0]} while {others[1]} {said[1]}, top view"
    wall = " at the wall" if at_wall[0] and shown[0] == "rear" else ""
    return f"{names[0]} {_PHRASES[arena, shown[0]][phrase][0]}{wall}, top view"
