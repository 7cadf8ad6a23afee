"""From what a user names (a study, videos, shards, the simulator) to corpora that encoders are pretrained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .study import SETTINGS, Study
from .study_tables import Table

if TYPE_CHECKING:
    from behavior_prism.datasets import Annotations, FrameSource
    from behavior_prism.datasets.corpora import Corpus, LabelledCorpus
    from behavior_prism.datasets.shard_writing import CaptionedInterval

SIMULATOR = "simulator"
CAPTIONS_ENDING = ".captions.csv"


def is_study(place: str | Path) -> bool:
    """Tell the folder of a study, or its settings file, from others.

    Parameters
    ----------
    place : str or pathlib.Path
        Any path.
    """
    place = Path(place)
    return (place / SETTINGS).is_file() or (place.name == SETTINGS and place.is_file())


def open_recordings(
    places: Sequence[str | Path],
) -> tuple[dict[str, FrameSource], dict[str, Path], list[tuple[str, str]]]:
    """Open the recordings that studies, folders, videos and patterns mean.

    Parameters
    ----------
    places : sequence of str or pathlib.Path
        A study gives all of its recordings.

    Returns
    -------
    recordings : dict of str to FrameSource
        By name.
    files : dict of str to pathlib.Path
        The (first) file of each.
    failed : list of (str, str)
        Those that cannot be opened, and why.

    Raises
    ------
    FileNotFoundError, ValueError
        If a place means nothing, two recordings have one name, or none can be opened.
    """
    from behavior_prism.datasets import open_video, recording_name

    from .study_add import expand_videos

    openers: dict[str, Callable[[], FrameSource]] = {}
    failed: list[tuple[str, str]] = []

    def _note(name: str, opener: Callable[[], FrameSource]) -> None:
        if name in openers:
            raise ValueError(f"{name}: expected every recording once, got two of that name")
        openers[name] = opener

    for place in places:
        if is_study(place):
            study = Study.open(place)
            for name in study.names:
                _note(name, lambda study=study, name=name: _open_of_study(study, name))  # type: ignore[misc]
        else:
            for path in expand_videos([place]):
                _note(recording_name(path), lambda path=path: open_video(path))  # type: ignore[misc]
    recordings: dict[str, FrameSource] = {}
    for name, opener in openers.items():
        try:
            recordings[name] = opener()
        except (ValueError, OSError) as error:
            failed.append((name, " ".join(str(error).split())))
    if not recordings:
        reason = f" ({failed[0][1]})" if failed else ""
        raise ValueError(f"{', '.join(map(str, places))}: expected at least one recording, got none{reason}")
    return recordings, {name: source.path for name, source in recordings.items()}, failed


def _open_of_study(study: Study, name: str) -> FrameSource:
    from behavior_prism.datasets import open_video

    files, timing = study.source_of(name)
    return open_video(files, **timing)


def read_captions(path: str | Path) -> dict[str, list[CaptionedInterval]]:
    """Read a table of captions.

    Parameters
    ----------
    path : str or pathlib.Path
        A csv file with the columns ``recording`` and ``caption`` and, where captions speak of a part only,
        ``start_frame`` and ``stop_frame`` (half-open) or ``start`` and ``stop`` [s]. A file ``NAME.captions.csv``
        without ``recording`` speaks of NAME.

    Returns
    -------
    dict of str to list of CaptionedInterval
        By recording.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is no such table; the line is named.
    """
    from behavior_prism.datasets import recording_name
    from behavior_prism.datasets.shard_writing import CaptionedInterval

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a table of captions")
    own = recording_name(path) if path.name.endswith(CAPTIONS_ENDING) else ""
    table = Table(path, (), ("caption",) if own else ("recording", "caption"))
    in_frames = "start_frame" in table.columns
    columns = ("start_frame", "stop_frame") if in_frames else ("start", "stop")
    found: dict[str, list[CaptionedInterval]] = {}
    for row in table.rows:
        recording = (row["recording"] if "recording" in table.columns else "") or own
        if not recording or not row["caption"].strip():
            raise ValueError(f"{table.where(row.line)}: expected a recording and a caption, got an empty cell")
        cells = [row[c].strip() if c in table.columns else "" for c in columns]
        try:
            start, stop = (float(cell) if cell else None for cell in cells)
            if not all(math.isfinite(edge or 0) for edge in (start, stop)):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"{table.where(row.line)}: expected numbers in {' and '.join(columns)}, got {cells}"
            ) from None
        if (start is None) != (stop is None):
            raise ValueError(f"{table.where(row.line)}: expected both of {' and '.join(columns)}, or none")
        found.setdefault(recording, []).append(
            CaptionedInterval(caption=row["caption"].strip(), start=start, stop=stop, in_seconds=not in_frames)
        )
    return found


def captions_beside(files: Mapping[str, Path]) -> dict[str, list[CaptionedInterval]]:
    """Read the captions that lie beside videos as ``NAME.captions.csv``, as the simulator writes them.

    Parameters
    ----------
    files : mapping of str to pathlib.Path
        Videos by the name of their recording.

    Returns
    -------
    dict of str to list of CaptionedInterval
        Of those that have some.
    """
    found: dict[str, list[CaptionedInterval]] = {}
    for name, path in files.items():
        beside = path.with_name(path.stem + CAPTIONS_ENDING)
        if beside.is_file():
            found[name] = [caption for captions in read_captions(beside).values() for caption in captions]
    return found


@dataclass(frozen=True, kw_only=True)
class CorpusPlace:
    """What a user says where clips are from.

    Parameters
    ----------
    place : str
        A path, or ``simulator`` (``simulator:mouse`` for one arena).
    weight : float
        Share of batches.
    """

    place: str
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> CorpusPlace:
        """Read ``PLACE`` or ``PLACE=WEIGHT``.

        Parameters
        ----------
        text : str
            As given on the command line.

        Returns
        -------
        CorpusPlace

        Examples
        --------
        >>> CorpusPlace.parse("shards/flies=0.5")
        CorpusPlace(place='shards/flies', weight=0.5)
        """
        place, equals, weight = text.rpartition("=")
        if not equals or Path(text).exists():  # a path may hold =
            return cls(place=text)
        try:
            return cls(place=place, weight=float(weight))
        except ValueError:
            return cls(place=text)


def is_recordings(place: str) -> bool:
    """Whether a corpus is recordings as they lie on a lab's disk: no simulator and no shards.

    Parameters
    ----------
    place : str
        As in :class:`CorpusPlace`.

    Returns
    -------
    bool
    """
    return not _is_simulator(place) and not _is_shards(place)


def _is_simulator(place: str) -> bool:
    return place.partition(":")[0] == SIMULATOR and not Path(place).exists()


def _is_shards(place: str) -> bool:
    path = Path(place)
    return path.suffix == ".tar" or (path.is_dir() and not is_study(path) and any(path.glob("*.tar")))


def open_corpus(
    place: str, *, num_frames: int, image_size: tuple[int, int], rate: float, seed: int = 0
) -> tuple[Corpus, list[str]]:
    """Open a corpus.

    Parameters
    ----------
    place : str
        As in :class:`CorpusPlace`: ``simulator``; a folder of shards or a ``.tar`` file; a study, a video, a folder of
        videos or a pattern.
    num_frames : int
        Frames of a clip.
    image_size : (int, int)
        Height and width that the model sees [pixels]; the simulator draws in it.
    rate : float
        About so many frames a second, from recordings and from clips without captions; frames of captioned clips are
        spread over the whole clip, since the caption speaks of all of it.
    seed : int
        Of the simulator.

    Returns
    -------
    corpus : Corpus
    notes : list of str
        What the user should know.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is nothing, or it cannot be used.
    """
    from behavior_prism.datasets.corpora import RecordingCorpus, ShardCorpus, SimulatedCorpus

    notes: list[str] = []
    corpus: Corpus
    arena = place.partition(":")[2]
    if _is_simulator(place):
        if arena not in ("", "mouse", "fly"):
            raise ValueError(f"corpus: expected simulator, simulator:mouse or simulator:fly, got {place!r}")
        return SimulatedCorpus(size=max(image_size), species=arena or None, seed=seed), notes
    path = Path(place)
    if _is_shards(place):
        corpus = ShardCorpus(path, num_frames=num_frames)
        if not corpus.captioned and not corpus.pictures:
            corpus = ShardCorpus(path, num_frames=num_frames, rate=rate)
    else:
        recordings, _, failed = open_recordings([path])
        notes += [f"{name}: left out: {reason}" for name, reason in failed]
        corpus = RecordingCorpus(recordings, num_frames=num_frames, rate=rate, name=place)
    if corpus.left_out:
        what = "clips" if isinstance(corpus, ShardCorpus) else "stretches"
        notes.append(f"{place}: {corpus.left_out} {what} are too short and left out, {len(corpus)} clips are used")
    return corpus, notes


def open_labelled(
    places: Sequence[str | Path],
    labels: Sequence[str | Path],
    *,
    num_frames: int,
    rate: float,
    held_out: Sequence[str] = (),
    seed: int = 0,
) -> tuple[LabelledCorpus, LabelledCorpus | None, list[str]]:
    """Open labelled recordings, split by recording.

    Parameters
    ----------
    places : sequence of str or pathlib.Path
        Recordings, as in :func:`open_recordings`.
    labels : sequence of str or pathlib.Path
        Label files of any tool.
    num_frames, rate
        As in :func:`open_corpus`.
    held_out : sequence of str
        Recordings that are not learned from; by default a quarter of them, at least one where there are two, chosen by
        chance so that no recordings that share an animal (of one study) are parted.
    seed : int
        Of that chance.

    Returns
    -------
    train : LabelledCorpus
    test : LabelledCorpus or None
        None if there is only one recording (or one group of them).
    notes : list of str
        What the user should know.

    Raises
    ------
    FileNotFoundError, ValueError
        If recordings or labels cannot be used, or nothing is left to learn from.
    """
    from behavior_prism.datasets import concat_annotations, load_annotations
    from behavior_prism.datasets.corpora import LabelledCorpus

    recordings, _, failed = open_recordings(places)
    notes = [f"{name}: left out: {reason}" for name, reason in failed]
    # by the recordings' own clocks: those of a study may differ from their files'
    annotations = concat_annotations([load_annotations(file).bind(recordings) for file in labels])
    dense = {name: labels_of(annotations, name, source) for name, source in recordings.items()}
    unscored = [name for name, label in dense.items() if not (label >= 0).any()]
    if len(unscored) == len(dense):
        raise ValueError(
            f"labels: expected some of the recordings {sorted(dense)} to be scored, got labels of "
            f"{list(annotations.recordings)}"
        )
    notes += [f"{name}: nothing of it was scored; left out" for name in unscored]
    names = [name for name in recordings if name not in unscored]
    test = _held_out(names, places, held_out, seed)

    def _corpus(chosen: Sequence[str], name: str, stride: int | None) -> LabelledCorpus:
        kept = {n: recordings[n] for n in chosen}
        return LabelledCorpus(
            kept, dense, annotations.behaviors, num_frames=num_frames, rate=rate, stride=stride, name=name
        )

    train = _corpus([n for n in names if n not in test], "training recordings", 1)
    if not test:
        notes.append("one recording (or one group of them) only: nothing is held out, no score is given")
        return train, None, notes
    return train, _corpus(test, "held-out recordings", None), notes


def labels_of(annotations: Annotations, name: str, source: FrameSource) -> np.ndarray:
    """Three-state labels of the whole view of a recording.

    Parameters
    ----------
    annotations : Annotations
        May speak of several.
    name : str
        Of the recording.
    source : FrameSource
        Its frames.

    Returns
    -------
    numpy.ndarray
        int8, shape (frames, behaviours): 1 where any individual shows it, -1 where scorers disagree or nobody looked.
    """
    from behavior_prism.analysis.design import consensus
    from behavior_prism.datasets import any_individual, to_dense

    own = annotations.select(recording=name)
    if not len(own.bouts) and not len(own.scored):
        return np.full((len(source), len(annotations.behaviors)), -1, np.int8)
    dense = any_individual(consensus(to_dense(own, source.times, what=name)))
    values: np.ndarray = dense.isel(individual=0).transpose("time", "behavior").values
    return values


def _held_out(names: list[str], places: Sequence[str | Path], held_out: Sequence[str], seed: int) -> list[str]:
    if unknown := [name for name in held_out if name not in names]:
        raise ValueError(f"held_out: expected some of the scored recordings {names}, got {unknown[0]!r}")
    if held_out:
        if len(set(held_out)) == len(names):
            raise ValueError("held_out: expected a recording to learn from, got all of them held out")
        return list(dict.fromkeys(held_out))
    group_of = {name: name for name in names}
    for place in places:
        if is_study(place):
            group_of |= {name: group for name, group in Study.open(place).groups().items() if name in group_of}
    groups = sorted(set(group_of.values()))
    if len(groups) < 2:
        return []
    chosen = np.random.default_rng(seed).permutation(groups)[: max(1, round(len(groups) / 4))]
    return [name for name in names if group_of[name] in set(chosen.tolist())]
