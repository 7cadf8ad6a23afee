"""Words for what animals do: many ways to say each behaviour, composed with who, where and how it is filmed.

Three things are kept apart so that search by text can be judged later: sentences whose words are all known but which
never occur in training, words that never occur in training, and combinations of behaviour with a coat or an arena that
never occur together (a matter of the clips: see ``simulate_varied_clip``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ._sim_phrases import HELD_TEMPLATES, OBJECTS, PHRASES, PLACE_WORDS, TEMPLATES, Said

__all__ = ["SPLITS", "Scene", "captions_of", "prompts_of", "vocabulary"]

SPLITS = ("train", "test", "unseen_sentences", "unseen_synonyms", "unseen_combinations")

_PLURAL = {"mouse": "mice", "fly": "flies"}
_VIEWS = {
    "top": ("seen from above", "top view", "filmed from above"),
    "oblique": ("seen at an angle", "oblique view"),
    "side": ("seen from the side", "side view"),
    "below": ("seen from below", "view from below"),
}
_LIGHTS = {
    "dim": ("in dim light",),
    "bright": ("in bright light",),
    "infrared": ("under infrared light",),
    "red": ("under red light",),
}
_FLOORS = {
    "paper": "on white paper",
    "dark": "on a dark floor",
    "tiles": "on tiles",
    "mesh": "on a grid",
    "sand": "on sand",
    "bedding": "on bedding",
    "agar": "on agar",
    "steel": "on a metal floor",
    "glass": "on glass",
    "food": "on food",
}
# Of the verbs that occur, those whose last letter is doubled.
_DOUBLED = frozenset(
    ("dig", "drum", "hit", "hop", "prop", "put", "rub", "run", "scan", "scrub", "sit", "slam", "spin", "step", "tap")
)
_IRREGULAR = {"be": "is", "woo": "woos"}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What can be said about one simulated clip.

    Parameters
    ----------
    species : {"mouse", "fly"}
        Which animals.
    behavior : str
        What the first animal does.
    coats : tuple of str
        Colour of every animal.
    place, floor : str
        Kinds of arena and floor.
    view : {"top", "oblique", "side", "below"}
        Where the camera is.
    lighting : {"plain", "dim", "bright", "infrared", "red"}
        Light.
    is_grey : bool
        Whether colours cannot be seen.
    thing : str
        An object in view, or "".
    bystander : bool
        A second animal takes no part.
    direction : {"", "left", "right"}
        Where the first animal goes in the picture.
    must_say : {"", "coat", "place"}
        What a caption may not leave out.
    """

    species: str
    behavior: str
    coats: tuple[str, ...]
    place: str
    floor: str
    view: str
    lighting: str
    is_grey: bool
    thing: str = ""
    bystander: bool = False
    direction: str = ""
    must_say: str = ""


def _gerund(verb: str) -> str:
    if verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    if verb in ("be", "lie"):
        return {"be": "being", "lie": "lying"}[verb]
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + "ing"


def _finite(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith(("s", "x", "ch", "sh", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def _conjugated(phrase: str, form: str) -> str:
    """``groom|its face`` to ``grooms its face`` or ``grooming its face``; every word before a bar is a verb."""
    return re.sub(r"(\w+)\|", lambda m: (_finite if form == "finite" else _gerund)(m[1]), phrase)


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _visible_coat(scene: Scene, which: int) -> str:
    coat = scene.coats[which]
    return coat if not scene.is_grey or coat in ("black", "white", "hooded") else ""


def _phrases(said: Said, split: str) -> tuple[str, ...]:
    return {"unseen_sentences": said.kept, "unseen_synonyms": said.synonyms}.get(split, said.said)


def _extras(rng: np.random.Generator, scene: Scene) -> list[str]:
    """What else is said, each with its chance, so that most captions name one or two things."""
    extras = []
    if scene.direction and rng.random() < 0.5:
        extras.append(f"to the {scene.direction}")
    if scene.bystander and rng.random() < 0.7:
        extras.append(f"with another {scene.species} nearby")
    if scene.must_say == "place" or rng.random() < 0.4:
        words = PLACE_WORDS[scene.species][scene.place]
        extras.append(f"in {_article(words)}" if scene.place not in ("platform",) else f"on {_article(words)}")
    if scene.floor in _FLOORS and rng.random() < 0.2:
        extras.append(_FLOORS[scene.floor])
    if scene.thing and rng.random() < 0.4:
        extras.append(OBJECTS[scene.thing])
    if scene.lighting in _LIGHTS and rng.random() < 0.35:
        extras.append(_LIGHTS[scene.lighting][0])
    return extras


def captions_of(scene: Scene, split: str, rng: np.random.Generator, count: int = 2) -> list[str]:
    """Say in several ways what a clip shows.

    Parameters
    ----------
    scene : Scene
        What it shows.
    split : str
        One of :data:`SPLITS`: whose sentences and words to use.
    rng : numpy.random.Generator
        Chooses among them.
    count : int
        How many captions; they differ in how they call the behaviour as long as there are that many ways.

    Returns
    -------
    list of str
        Lower case, without a full stop.

    Raises
    ------
    ValueError
        If ``split`` is unknown.

    Examples
    --------
    >>> scene = Scene(species="mouse", behavior="digging", coats=("black",), place="home_cage", floor="bedding",
    ...               view="top", lighting="plain", is_grey=False)
    >>> captions = captions_of(scene, "train", np.random.default_rng(3))
    >>> len(captions), all("mouse" in caption for caption in captions)
    (2, True)
    """
    return [caption for caption, _ in told_of(scene, split, rng, count)]


def told_of(scene: Scene, split: str, rng: np.random.Generator, count: int = 2) -> list[tuple[str, str]]:
    """Captions as of :func:`captions_of`, each with its meaning.

    Parameters
    ----------
    scene, split, rng, count
        As there.

    Returns
    -------
    list of (str, str)
        A caption, and what it says in words that are always the same: captions of one meaning tell no two clips apart
        (``a mouse sits still`` and ``resting, a mouse``).

    Raises
    ------
    ValueError
        If ``split`` is unknown.
    """
    _check_split(split)
    said = PHRASES[scene.species][scene.behavior]
    phrases = _phrases(said, split)
    order = rng.permutation(len(phrases))
    return [_caption(rng, scene, split, said, phrases[int(order[k % len(phrases)])]) for k in range(count)]


def _caption(rng: np.random.Generator, scene: Scene, split: str, said: Said, phrase: str) -> tuple[str, str]:
    name = scene.species
    tell_coat = scene.must_say == "coat" or rng.random() < 0.5
    coats = [_visible_coat(scene, k) if tell_coat else "" for k in range(len(scene.coats))]
    subject = " ".join(filter(None, (coats[0], name)))
    both = len(coats) == 2 and "{o}" in phrase
    other, other_coat = f"another {name}", ""
    if both and coats[0] != coats[1] and coats[1]:
        other_coat = coats[1]
        other = _article(f"{other_coat} {name}")
    phrase = phrase.replace("{o}", other)
    nouns = said.nouns if split not in ("unseen_synonyms",) else ()
    templates = HELD_TEMPLATES if split == "unseen_sentences" else TEMPLATES
    if split == "unseen_synonyms" or not nouns:
        templates = tuple(t for t in templates if "{noun}" not in t)
    if scene.must_say == "coat":
        templates = tuple(t for t in templates if "{several}" not in t)
    template = templates[int(rng.integers(len(templates)))]
    noun = nouns[int(rng.integers(len(nouns)))] if nouns else ""
    caption = template.format(
        subject=_article(subject),
        bare=subject,
        finite=_conjugated(phrase, "finite"),
        gerund=_conjugated(phrase, "gerund"),
        noun=noun,
        several=f"two {_PLURAL[name]}" if len(coats) == 2 and not scene.bystander else f"one {name}",
    )
    extras = _extras(rng, scene)
    caption = " ".join([caption, *extras])
    meaning = [name, scene.behavior, coats[0] if "{several}" not in template else ""]
    meaning += [other_coat if "{finite}" in template or "{gerund}" in template else "", *extras]
    if rng.random() < (0.2 if scene.view == "top" else 0.5):
        views = _VIEWS[scene.view]
        caption += f", {views[int(rng.integers(len(views)))]}"
        meaning.append(scene.view)
    return caption, "; ".join(meaning)


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {list(SPLITS)}, got {split!r}")


def _check_behavior(species: str, behavior: str) -> None:
    if species not in PHRASES:
        raise ValueError(f"species: expected one of {list(PHRASES)}, got {species!r}")
    if behavior not in PHRASES[species]:
        raise ValueError(f"behavior: expected one of {list(PHRASES[species])}, got {behavior!r}")


def prompts_of(species: str, behavior: str, split: str = "train") -> list[str]:
    """Every plain way to say a behaviour, for zero-shot classification by an ensemble of prompts.

    Parameters
    ----------
    species : {"mouse", "fly"}
        Which animals.
    behavior : str
        What they do.
    split : str
        One of :data:`SPLITS`.

    Returns
    -------
    list of str
        One sentence a phrase, without colours and places.

    Raises
    ------
    ValueError
        If an argument is unknown.

    Examples
    --------
    >>> prompts_of("fly", "wing_extension")[0]
    'a fly extends one wing'
    """
    _check_split(split)
    _check_behavior(species, behavior)
    phrases = _phrases(PHRASES[species][behavior], split)
    return [f"a {species} {_conjugated(p.replace('{o}', f'another {species}'), 'finite')}" for p in phrases]


def _words_of(text: str) -> list[str]:
    """The words of a caption."""
    return re.findall(r"[a-z']+", text.lower())


def _spoken(phrases: Sequence[str]) -> Iterator[str]:
    for phrase in phrases:
        for form in ("finite", "gerund"):
            yield _conjugated(phrase.replace("{o}", ""), form)


def vocabulary(split: str = "train") -> set[str]:
    """Every word that captions of a split can hold.

    Parameters
    ----------
    split : str
        One of :data:`SPLITS`.

    Returns
    -------
    set of str
        Lower case.

    Raises
    ------
    ValueError
        If ``split`` is unknown.

    Examples
    --------
    >>> sorted(vocabulary("unseen_sentences") - vocabulary("train"))
    []
    """
    from ._sim_places import FLY_TINTS, MOUSE_COATS

    _check_split(split)
    texts = [*OBJECTS.values(), *_FLOORS.values(), *(w for v in (*_VIEWS.values(), *_LIGHTS.values()) for w in v)]
    texts += [
        "two one a an another with nearby in on to the left right",
        *_PLURAL,
        *_PLURAL.values(),
        *MOUSE_COATS,
        *FLY_TINTS,
    ]
    texts += [words for places in PLACE_WORDS.values() for words in places.values()]
    texts += [re.sub(r"{\w+}", " ", t) for t in (HELD_TEMPLATES if split == "unseen_sentences" else TEMPLATES)]
    for behaviors in PHRASES.values():
        for said in behaviors.values():
            texts += _spoken(_phrases(said, split))
            texts += said.nouns if split != "unseen_synonyms" else ()
    return {word for text in texts for word in _words_of(text)}
