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
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from behavior_prism.datasets.captions import prompts_of
from behavior_prism.datasets.corpora import Clip, Corpus, LabelledCorpus, SimulatedCorpus
from behavior_prism.datasets.simulate import VARIED_BEHAVIORS, simulate_varied_clip

from .encoder import VideoClassifier
from .encoder.preprocess import resize_frames
from .encoder.pretraining.evaluation import CollapseEvaluator, ProbeEvaluator, RetrievalEvaluator, ZeroShotEvaluator
from .encoder.pretraining.frozen_evaluation import mean_and_change
from .encoder.pretraining.images import to_floats
from .encoder.pretraining.judging import judging, over_batches, video_encoder_of
from .encoder.pretraining.objective import Batch, Evaluator, Objective, to_device
from .encoder.pretraining.scores import linear_probe
from .pretrain_batches import BatchMaker, Finish, PairTexts, Sample

if TYPE_CHECKING:
    from .encoder.pretraining.recipes import DataNeeds

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


class HeldOutLoss:
    """Loss and other numbers of an objective on clips that are not learned from.

    Parameters
    ----------
    batches : iterable of batch
        To be gone through again and again; as the stage's collator makes them.
    name : str
        In front of the numbers' names.
    """

    def __init__(self, batches: Iterable[Batch], name: str = "held_out") -> None:
        self.batches, self.name = batches, name

    def __call__(self, objective: Objective, step: int) -> dict[str, float]:
        """Judge.

        Parameters
        ----------
        objective : Objective
            Any.
        step : int
            Not looked at.

        Returns
        -------
        dict of str to float
            Means over batches.
        """
        device = next(objective.parameters()).device
        numbers: list[dict[str, float]] = []
        with judging(objective):
            for batch in self.batches:
                loss, metrics = objective(to_device(batch, device))
                numbers.append({key: float(value) for key, value in {"loss": loss, **metrics}.items()})
        return {f"{self.name}/{key}": float(np.mean([each[key] for each in numbers])) for key in numbers[0]}


class PrecisionEvaluator:
    """Average precision of a classifier on recordings that are not learned from.

    Parameters
    ----------
    batches : sequence of batch
        With ``video`` and three-state ``label`` (B, C).
    behaviors : sequence of str
        What the columns mean.
    """

    def __init__(self, batches: Sequence[Batch], behaviors: Sequence[str]) -> None:
        self.batches, self.behaviors = list(batches), tuple(behaviors)
        self.labels = _labels(self.batches)

    def __call__(self, objective: Objective, step: int) -> dict[str, float]:
        """Judge.

        Parameters
        ----------
        objective : FinetuneObjective
            Of fine-tuning.
        step : int
            Not looked at.

        Returns
        -------
        dict of str to float
            By behaviour, of those that are both present and absent somewhere, and their mean.
        """
        model = objective.learned_model()
        assert isinstance(model, VideoClassifier)
        with judging(objective):
            logits = over_batches(
                objective, self.batches, ("video",), lambda batch: model(batch["video"].float() / 255).logits
            ).numpy()
        found = {}
        for column, behavior in enumerate(self.behaviors):
            scored = self.labels[:, column] >= 0
            if _both(self.labels[scored, column]):
                found[behavior] = _average_precision(self.labels[scored, column], logits[scored, column])
        return _by_behavior("held_out", found)


class PrecisionProbe:
    """Frozen features of labelled recordings: a logistic regression per behaviour, judged on recordings held out.

    Works on every objective. A window may show several behaviours, and what nobody scored counts neither way.

    Parameters
    ----------
    train, test : sequence of batch
        With ``video`` and three-state ``label`` (B, C); they share no recording.
    behaviors : sequence of str
        What the columns mean.
    name : str
        In front of the numbers' names.

    Raises
    ------
    ValueError
        If no behaviour is both present and absent on either side.
    """

    def __init__(
        self, train: Sequence[Batch], test: Sequence[Batch], behaviors: Sequence[str], name: str = "labels"
    ) -> None:
        self.train, self.test, self.name = list(train), list(test), name
        known, asked = _labels(self.train), _labels(self.test)
        self.columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # where a side is scored it has both
        for column, behavior in enumerate(behaviors):
            one, other = known[:, column], asked[:, column]
            if _both(one[one >= 0]) and _both(other[other >= 0]):
                self.columns[behavior] = one, other
        if not self.columns:
            raise ValueError(
                f"labels: expected one of {', '.join(behaviors)} to be both present and absent in recordings to learn "
                "from and in recordings held out, got none"
            )

    def __call__(self, objective: Objective, step: int) -> dict[str, float]:
        """Judge.

        Parameters
        ----------
        objective : Objective
            Any.
        step : int
            Not looked at.

        Returns
        -------
        dict of str to float
            ``average_precision/BEHAVIOUR``, ``mean_average_precision``, and ``chance``: what the latter is where
            features say nothing.
        """
        encoder = video_encoder_of(objective)
        with judging(objective):
            known, asked = (
                over_batches(
                    objective, b, ("video",), lambda c: mean_and_change(encoder(to_floats(c["video"], encoder)))
                )
                for b in (self.train, self.test)
            )
        found, chance = {}, []
        for behavior, (one, other) in self.columns.items():
            taught, judged = torch.from_numpy(one >= 0), torch.from_numpy(other >= 0)
            logits = linear_probe(known[taught], torch.from_numpy(one[one >= 0]).long(), asked[judged])
            found[behavior] = _average_precision(other[other >= 0], (logits[:, 1] - logits[:, 0]).numpy())
            chance.append(float((other[other >= 0] == 1).mean()))
        return {**_by_behavior(self.name, found), f"{self.name}/chance": float(np.mean(chance))}


def _labels(batches: Sequence[Batch]) -> np.ndarray:
    values: np.ndarray = torch.cat([batch["label"] for batch in batches]).numpy()
    return values


def _both(scored: np.ndarray) -> bool:
    return bool(0 < (scored == 1).sum() < len(scored))


def _average_precision(present: np.ndarray, scores: np.ndarray) -> float:
    """NaN for scores that are not finite, as in :mod:`.encoder.pretraining.scores`: no reason to end a run."""
    from sklearn.metrics import average_precision_score

    if not np.isfinite(scores).all():
        return math.nan
    return float(average_precision_score(present, scores))


def _by_behavior(name: str, found: dict[str, float]) -> dict[str, float]:
    mean = {f"{name}/mean_average_precision": float(np.mean(list(found.values())))} if found else {}
    return {**mean, **{f"{name}/average_precision/{behavior}": value for behavior, value in found.items()}}
