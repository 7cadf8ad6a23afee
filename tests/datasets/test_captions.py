"""Captions: enough ways to say each behaviour, splits whose words and sentences are kept apart."""

import itertools

import numpy as np
import pytest

from behavior_prism.datasets._sim_phrases import PHRASES
from behavior_prism.datasets.captions import SPLITS, Scene, _words_of, captions_of, prompts_of, told_of, vocabulary
from behavior_prism.datasets.simulate import VARIED_BEHAVIORS

ALL = [(species, behavior) for species, behaviors in VARIED_BEHAVIORS.items() for behavior in behaviors]


def scene_of(species, behavior, **given):
    where = {"mouse": ("black", "home_cage", "bedding"), "fly": ("brown", "petri_dish", "agar")}[species]
    fixed = {"coats": (where[0],) * 2, "place": where[1], "floor": where[2], "view": "top", "lighting": "dim"}
    return Scene(species=species, behavior=behavior, **{**fixed, "is_grey": False, **given})


def many(species, behavior, split, count=60, **given):
    rng = np.random.default_rng(0)
    scene = scene_of(species, behavior, **given)
    return [c for _ in range(count // 2) for c in captions_of(scene, split, rng)]


def test_each_behaviour_of_the_simulator_has_words():
    assert {species: tuple(said) for species, said in PHRASES.items()} == VARIED_BEHAVIORS


@pytest.mark.parametrize(("species", "behavior"), ALL)
def test_ten_ways_and_more_to_say_it(species, behavior):
    said = PHRASES[species][behavior]
    everything = [*said.said, *said.kept, *said.synonyms]
    assert len(everything) == len(set(everything)) >= 12
    assert len(said.said) >= 8 and len(said.kept) >= 2 and len(said.synonyms) >= 2 and said.nouns
    assert all("|" in phrase for phrase in everything)
    assert len(set(many(species, behavior, "train", 100))) > 40


@pytest.mark.parametrize(("species", "behavior"), ALL)
def test_splits_keep_words_apart(species, behavior):
    known = vocabulary("train")
    said = PHRASES[species][behavior]
    for sentence in prompts_of(species, behavior, "unseen_sentences"):
        assert set(_words_of(sentence)) <= known, sentence
    for sentence in prompts_of(species, behavior, "unseen_synonyms"):
        assert set(_words_of(sentence)) - known, f"{sentence}: no word is unknown"
    trained = set(many(species, behavior, "train", 200))
    assert {w for s in trained for w in _words_of(s)} <= known
    assert not trained & set(many(species, behavior, "unseen_sentences"))
    for split in ("train", "test", "unseen_combinations"):
        assert not [
            p
            for p in said.kept
            if any(p.split("|")[0] in s and p.replace("|", "") in s for s in many(species, behavior, split))
        ]


def test_meanings_are_what_captions_tell():
    """One meaning has many wordings, one wording one meaning; a meaning names the coat if the caption does."""
    rng = np.random.default_rng(0)
    meaning_of, wordings = {}, {}
    for species, behavior in ALL:
        for coats, view in itertools.product((("white",) * 2, ("black", "white"), ("brown",)), ("top", "side")):
            scene = scene_of(species, behavior, coats=coats, view=view)
            for caption, meaning in told_of(scene, "train", rng, 30):
                assert meaning_of.setdefault(caption, meaning) == meaning, caption
                wordings.setdefault(meaning, set()).add(caption)
                assert (coats[0] in caption.split()) == (coats[0] in meaning.split("; ")), (caption, meaning)
                assert ("dim light" in caption) == ("dim light" in meaning)
                assert (", " in caption and caption.endswith("view")) <= meaning.endswith(view), (caption, meaning)
    plain = wordings["fly; walk; ; "]
    assert len(plain) > 10 and any("walk" in caption for caption in plain)
    scene = scene_of("mouse", "digging")
    told = told_of(scene, "train", np.random.default_rng(3))
    assert captions_of(scene, "train", np.random.default_rng(3)) == [caption for caption, _ in told]


def test_vocabulary_holds_every_word_of_every_split():
    for split in SPLITS:
        known = vocabulary(split)
        spoken = {w for species, behavior in ALL for c in many(species, behavior, split, 40) for w in _words_of(c)}
        assert spoken <= known
    assert vocabulary("unseen_sentences") <= vocabulary("train") == vocabulary("test")
    assert 300 < len(vocabulary("train")) < 1000


def test_what_must_be_said_is_said():
    for caption in many("mouse", "digging", "unseen_combinations", must_say="place"):
        assert "home cage" in caption
    for caption in many("fly", "walk", "unseen_combinations", must_say="coat", coats=("yellow",)):
        assert "yellow" in caption


def test_colours_are_not_told_from_grey_pictures():
    assert not any("brown" in c for c in many("fly", "walk", "train", is_grey=True))
    assert any("brown" in c for c in many("fly", "walk", "train"))


def test_directions_bystanders_and_the_other_animal_are_named():
    said = " ".join(many("mouse", "run", "train", direction="left", bystander=True))
    assert "to the left" in said and "with another mouse nearby" in said and "right" not in said
    assert any("a white mouse" in c for c in many("mouse", "chase", "train", coats=("black", "white")))


def test_grammar():
    assert prompts_of("mouse", "digging")[0] == "a mouse digs in the floor"
    said = {c for species, behavior in ALL for split in SPLITS for c in many(species, behavior, split, 40)}
    for caption in said:
        assert "|" not in caption and "{" not in caption and "  " not in caption
        words = _words_of(caption)
        for one, two in itertools.pairwise(words):
            assert not (one == "a" and two[0] in "aeiou"), caption
            assert one != two, caption
    text = " ".join(said)
    for right in ("digging", "running", "lying", "sitting", "putting", "stepping", "washes", "touches", "lies", "woos"):
        assert right in text
    for wrong in ("digi", "runi", "liei", "siti", "puti", "stepi", "washs", "touchs", "scani", "tapi", "doing not"):
        assert wrong not in text


def test_unknown_splits_and_behaviours_are_refused():
    with pytest.raises(ValueError, match="split: expected one of .*, got 'dev'"):
        captions_of(scene_of("fly", "walk"), "dev", np.random.default_rng(0))
    with pytest.raises(ValueError, match="behavior: expected one of .*, got 'yawn'"):
        prompts_of("fly", "yawn")
    with pytest.raises(ValueError, match="species: expected one of .*, got 'rat'"):
        prompts_of("rat", "walk")
