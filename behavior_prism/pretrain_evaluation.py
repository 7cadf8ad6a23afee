"""What a run of pretraining is judged by while it goes on: fixed clips that are not learned from.

The simulator has splits for it. Behaviours are asked for by all their phrases (zero-shot), clips by their captions
(retrieval: known words, unseen sentences, unseen combinations, unseen synonyms), and a small head on frozen features
tells them apart (probe). A lab's labels are judged by a head too, on recordings held out. All clips are few: a model of
the size of ``tiny`` is judged in less than half a minute on two cores.

Shapes: B clips, C behaviours.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .datasets.captions import prompts_of
from .datasets.corpora import Clip, Corpus, LabelledCorpus, SimulatedCorpus
from .datasets.simulate import VARIED_BEHAVIORS, simulate_varied_clip
from .encoder.preprocess import resize_frames
from .encoder.pretraining.evaluation import CollapseEvaluator, ProbeEvaluator, RetrievalEvaluator, ZeroShotEvaluator
from .encoder.pretraining.objective import Evaluator
from .pretrain_batches import BatchMaker, Finish, PairTexts, Sample
from .pretrain_judges import HeldOutLoss, PrecisionEvaluator, PrecisionProbe
from .pretrain_options import RATE, PretrainOptions
from .pretrain_sources import is_recordings, open_corpus, open_labelled

if TYPE_CHECKING:
    from .encoder.pretraining.recipes import DataNeeds, Recipe

__all__ = [
    "FixedBatches",
    "HeldOutLoss",
    "PrecisionEvaluator",
    "PrecisionProbe",
    "corpus_evaluators",
    "evaluators_of",
    "label_probe",
    "labelled_batches",
    "labelled_of",
    "simulator_evaluators",
]

BATCHES, BATCH = 4, 16  # at most so many, of so many clips
LABELLED = 512  # windows that fine-tuning is judged by, at most
PROBED = 128  # windows that a probe on labels learns from, and as many that it is judged by, at most
RETRIEVAL_SPLITS = ("test", "unseen_sentences", "unseen_combinations", "unseen_synonyms")
SIMULATED = 32  # clips of each
TAUGHT, ASKED = 3, 2  # simulated clips of a behaviour that the probe learns from, and that it is asked about


class FixedBatches:
    """Batches that are made when they are first wanted, and kept.

    Parameters
    ----------
    make : callable
        Makes them; the same ones in every process.
    """

    def __init__(self, make: Callable[[], list[dict[str, Any]]]) -> None:
        self._make = make
        self._made: list[dict[str, Any]] | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._made is None:
            self._made = self._make()
        return iter(self._made)


def evaluators_of(
    recipe: Recipe,
    options: PretrainOptions,
    corpora: Sequence[Corpus],
    held_out: LabelledCorpus | None,
    finish: Finish,
) -> tuple[list[Evaluator], list[str]]:
    """Say what judges a run.

    Parameters
    ----------
    recipe : Recipe
        Its stage, frames, picture and seed.
    options : PretrainOptions
        What to judge by.
    corpora : sequence of Corpus
        What is learned from; the simulator has splits to judge by.
    held_out : LabelledCorpus or None
        Of fine-tuning.
    finish : Finish
        Of the stage.

    Returns
    -------
    evaluators : list of callable
    notes : list of str
        What the user should know.

    Raises
    ------
    FileNotFoundError, ValueError
        If what is to judge by cannot be used.
    """
    data, seed = recipe.data, recipe.trainer.seed
    if recipe.stage == "finetune":
        if held_out is None:
            return [], []
        return [PrecisionEvaluator(labelled_batches(held_out, data), held_out.behaviors)], []
    evaluators: list[Evaluator] = []
    notes: list[str] = []
    judged = list(corpora)
    if options.evaluate is not None:
        other, notes = open_corpus(
            options.evaluate, num_frames=data.frames, image_size=data.image_size, rate=RATE, seed=seed
        )
        judged.append(other)
        # recordings that are there for their labels need no captions
        if not isinstance(other, SimulatedCorpus) and not (
            options.labels and isinstance(finish, PairTexts) and not other.captioned
        ):
            evaluators += corpus_evaluators(other, data, finish, seed)
    if simulated := next((c for c in judged if isinstance(c, SimulatedCorpus)), None):
        evaluators += simulator_evaluators(simulated, data, finish, seed)
    if options.labels:
        train, test, told = labelled_of(options, data, seed)
        evaluators.append(label_probe(train, test, data))
        notes += told
    if not evaluators:
        notes.append("no held-out clips to judge by: give some with --evaluate")
    return evaluators, notes


def labelled_of(
    options: PretrainOptions, data: DataNeeds, seed: int
) -> tuple[LabelledCorpus, LabelledCorpus | None, list[str]]:
    """Open labelled recordings, of what is judged by or else of the corpora.

    Parameters
    ----------
    options : PretrainOptions
        Labels, and which recordings are held out.
    data : DataNeeds
        Frames of a window.
    seed : int
        Of the choice of what is held out.

    Returns
    -------
    As :func:`~behavior_prism.pretrain_sources.open_labelled`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there are no recordings, or labels are not of them.
    """
    wanted = [options.evaluate] if options.evaluate is not None else [c.place for c in options.corpora]
    places = [place for place in wanted if is_recordings(place)]
    if not places:
        raise ValueError(f"labels: expected recordings that they are of (--evaluate), got only {', '.join(wanted)}")
    return open_labelled(
        places, options.labels, num_frames=data.frames, rate=RATE, held_out=options.held_out, seed=seed
    )


def simulator_evaluators(corpus: SimulatedCorpus, data: DataNeeds, finish: Finish, seed: int) -> list[Evaluator]:
    """What judges by the simulator's splits; nothing is drawn before it is wanted.

    Parameters
    ----------
    corpus : SimulatedCorpus
        Whose size, species and seed.
    data : DataNeeds
        Frames and picture.
    finish : Finish
        Of the stage.
    seed : int
        Of masks.

    Returns
    -------
    list of callable
        With texts: retrieval by split, and zero-shot classification by species. In stage 2: its loss. In any stage: a
        probe, and signs of collapse.
    """
    kinds = {s: b for s, b in VARIED_BEHAVIORS.items() if corpus.species in (None, s)}
    test = corpus.of_split("test")
    evaluators: list[Evaluator] = []
    if isinstance(finish, PairTexts):
        everything = dataclasses.replace(finish, keep=finish.places)  # all tokens are seen
        for split in RETRIEVAL_SPLITS:
            pairs = FixedBatches(partial(_distinct_pairs, corpus.of_split(split), data, everything))
            evaluators.append(RetrievalEvaluator(pairs, pairs, name=f"retrieval/{split}"))
        for species, behaviors in kinds.items():
            clips = FixedBatches(partial(_shown, test, {species: behaviors}, 0, ASKED, data))
            prompts = [prompts_of(species, behavior) for behavior in behaviors]
            evaluators.append(ZeroShotEvaluator(clips, finish.tokenizer, prompts, name=f"zero_shot/{species}"))
    else:
        evaluators.append(HeldOutLoss(FixedBatches(partial(_fixed, test, data, finish, seed)), name="simulator"))
    taught = FixedBatches(partial(_shown, test, kinds, ASKED, TAUGHT, data))
    asked = FixedBatches(partial(_shown, test, kinds, 0, ASKED, data))
    evaluators.append(ProbeEvaluator(taught, asked))
    return [*evaluators, CollapseEvaluator(FixedBatches(partial(_any, test, data)))]


def corpus_evaluators(corpus: Corpus, data: DataNeeds, finish: Finish, seed: int) -> list[Evaluator]:
    """What judges by a corpus that is not learned from.

    Parameters
    ----------
    corpus : Corpus
        With captions, retrieval is judged in stages that have texts.
    data : DataNeeds
        Frames and picture.
    finish : Finish
        Of the stage.
    seed : int
        Which clips.

    Returns
    -------
    list of callable
        Retrieval or the stage's loss, and signs of collapse.

    Raises
    ------
    ValueError
        If clips cannot be read, or captions are missing.
    """
    if isinstance(finish, PairTexts):
        finish = dataclasses.replace(finish, keep=finish.places)
    batches = _fixed(corpus, data, finish, seed)
    collapse: list[Evaluator] = []
    if sum(len(batch["video"]) for batch in batches) > 1:
        collapse = [CollapseEvaluator(batches, name="held_out/collapse")]
    if isinstance(finish, PairTexts):
        return [RetrievalEvaluator(batches, batches, name="held_out/retrieval"), *collapse]
    return [HeldOutLoss(batches), *collapse]


def label_probe(train: LabelledCorpus, test: LabelledCorpus | None, data: DataNeeds) -> PrecisionProbe:
    """What judges frozen features by somebody's labels.

    Parameters
    ----------
    train, test : LabelledCorpus
        From :func:`~behavior_prism.pretrain_sources.open_labelled`.
    data : DataNeeds
        Frames and picture.

    Returns
    -------
    PrecisionProbe

    Raises
    ------
    ValueError
        If nothing is held out, or labels show nothing to tell apart.
    """
    if test is None:
        raise ValueError("labels: expected recordings of two groups or more, so that some can be held out, got one")
    known, asked = (labelled_batches(c, data, PROBED) for c in (train, test))
    return PrecisionProbe(known, asked, train.behaviors)


def labelled_batches(corpus: LabelledCorpus, data: DataNeeds, most: int = LABELLED) -> list[dict[str, Any]]:
    """Labelled windows in order, evenly chosen where there are many.

    Parameters
    ----------
    corpus : LabelledCorpus
        Of recordings.
    data : DataNeeds
        Frames and picture.
    most : int
        Windows.

    Returns
    -------
    list of batch
        With ``video`` and three-state ``label`` (B, C).
    """
    chosen = np.unique(np.linspace(0, len(corpus) - 1, min(len(corpus), most)).astype(np.int64))
    clips = [_read(corpus, int(index), data) for index in chosen]
    batches = _of_clips(clips, data)
    for k, batch in enumerate(batches):
        own = [clip.label for clip in clips[k * BATCH : (k + 1) * BATCH] if clip.label is not None]
        batch["label"] = torch.from_numpy(np.stack(own))
    return batches


def _read(corpus: Corpus, index: int, data: DataNeeds) -> Clip:
    return corpus.read(index, data.frames, np.random.default_rng(index))


def _videos(clips: Sequence[Clip], data: DataNeeds) -> torch.Tensor:
    return torch.stack([resize_frames(clip.frames, data.image_size) for clip in clips])


def _of_clips(clips: Sequence[Clip], data: DataNeeds) -> list[dict[str, Any]]:
    return [{"video": _videos(clips[k : k + BATCH], data)} for k in range(0, len(clips), BATCH)]


def _shown(
    corpus: SimulatedCorpus, kinds: dict[str, tuple[str, ...]], first: int, count: int, data: DataNeeds
) -> list[dict[str, Any]]:
    """So many clips of every behaviour, from the so-manieth on, in the order of behaviours."""
    clips, labels = [], []
    names = [(species, behavior) for species, behaviors in kinds.items() for behavior in behaviors]
    for (label, (species, behavior)), index in itertools.product(enumerate(names), range(first, first + count)):
        made = simulate_varied_clip(
            species,
            behavior,
            seed=corpus.seed,
            index=index,
            num_frames=data.frames,
            size=corpus.size,
            split=corpus.split,
        )
        clips.append(Clip(made.frames))
        labels.append(label)
    batches = _of_clips(clips, data)
    for batch, own in zip(batches, torch.tensor(labels).split(BATCH), strict=True):
        batch["label"] = own
    return batches


def _any(corpus: SimulatedCorpus, data: DataNeeds) -> list[dict[str, Any]]:
    return _of_clips([_read(corpus, index, data) for index in range(SIMULATED)], data)


def _distinct_pairs(corpus: Corpus, data: DataNeeds, texts: PairTexts) -> list[dict[str, Any]]:
    """Clips with a caption each, no two of which say the same."""
    samples: dict[str, Sample] = {}
    for index in itertools.count():
        clip = _read(corpus, index, data)
        meaning, rng = clip.meanings[0], np.random.default_rng(index)
        video = resize_frames(clip.frames, data.image_size)
        samples.setdefault(meaning, Sample(video, clip.captions[0], meaning, None, rng))
        if len(samples) == SIMULATED:
            break
    chosen = list(samples.values())
    batch = {"video": torch.stack([s.video for s in chosen]), **texts(chosen, np.random.default_rng(0))}
    pieces = {name: value.split(BATCH) for name, value in batch.items()}
    return [dict(zip(pieces, values, strict=True)) for values in zip(*pieces.values(), strict=True)]


def _fixed(corpus: Corpus, data: DataNeeds, finish: Finish, seed: int) -> list[dict[str, Any]]:
    """Batches as in training, but without augmentation."""
    batch = max(1, min(BATCH, len(corpus) // BATCHES))
    maker = BatchMaker(
        [corpus], batch=batch, num_frames=data.frames, image_size=data.image_size, finish=finish, seed=seed
    )
    made = [maker(step) for step in range(min(BATCHES, len(corpus) // batch))]
    if errors := [each.error or each.failed[0].reason for each in made if each.error or each.failed]:
        raise ValueError(f"evaluate: expected clips that can be read, got {errors[0]}")
    return [each.batch for each in made]
