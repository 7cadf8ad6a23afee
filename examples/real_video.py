"""Does a trained encoder earn its place? Encoders beside random weights and simple features, on real video.

    python examples/real_video.py --data ../shared/data --encoder stage1=A.safetensors --encoder stage2=B.safetensors \
        --cache real_video_cache --out report.md

Reads three sets of recordings that do not come with the package: ``bsoid``, ``larval-fish-strikes`` and
``sleap-flies``. Every kind of features goes through the same classifiers in the same folds; differences come with
intervals of a paired bootstrap. One task of each set decides, with one measure; which one is fixed in
``real_sets.py``, and the others show what hangs on that choice. ``--encoder random`` alone gives the floor.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import real_clips
import real_flies
from real_features import SIMPLE, embeddings_as_features, encoder_features, random_like, simple_features
from real_judge import (
    CLASSIFIERS,
    MEASURES,
    NUM_DRAWS,
    Prediction,
    Verdicts,
    average_precisions,
    difference,
    draw_weights,
    interval,
)
from real_sets import FLY_PRESENT, SETS, RealSet
from rich.console import Console
from rich.progress import track

from behavior_prism import load_encoder
from behavior_prism.encoder import LoadedEncoder
from behavior_prism.files import atomic_write
from behavior_prism.info import collect_info

RANDOM = "random weights"
HAND_MADE = "HOG + optical flow"
EMBEDDING = ", in the space of texts"


@dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """One encoder of the comparison.

    Parameters
    ----------
    name : str
        In the tables.
    kind : str
        Rows of one kind are averaged: the seeds of random weights.
    encoder : LoadedEncoder
        Itself.
    """

    name: str
    kind: str
    encoder: LoadedEncoder


def find_contenders(wanted: list[str], seeds: int, device: str) -> list[Contender]:
    """Load what was asked for, and random weights of the same sizes.

    Parameters
    ----------
    wanted : list of str
        ``random``, a name or a file, or ``label=`` one of these.
    seeds : int
        How many random ones of each size.
    device : str
        Where they run.

    Returns
    -------
    list of Contender

    Raises
    ------
    ValueError, FileNotFoundError
        If one cannot be loaded, has no trained weights, or two have the same label.
    """
    trained = []
    for text in wanted:
        label, _, place = text.rpartition("=")
        if text == "random":
            continue
        encoder = load_encoder(place, device=device)
        if not encoder.trained:
            raise ValueError(f"--encoder {text}: expected trained weights, got random ones; say --encoder random")
        trained.append(Contender(name=label or label_of(place), kind=label or label_of(place), encoder=encoder))
    names = [c.name for c in trained]
    if len(set(names)) < len(names):
        raise ValueError(f"--encoder: expected a label for each, label=FILE, got {', '.join(names)}")
    models = {c.encoder.model.config: c.encoder for c in trained}
    if not models:
        floor = load_encoder("tiny", weights="random", device=device)
        models = {floor.model.config: floor}
    for encoder in models.values():
        kind = RANDOM if len(models) == 1 else f"{RANDOM} ({encoder.name})"
        trained += [
            Contender(name=f"{kind}, seed {seed}", kind=kind, encoder=random_like(encoder, seed))
            for seed in range(seeds)
        ]
    return trained


def label_of(place: str) -> str:
    """Call a weights file by its folder if the file's own name says nothing."""
    path = Path(place)
    return path.parent.name if path.stem in ("weights", "model") and path.parent.name else path.stem


# -- the work


def judge_set(real: RealSet, contenders: list[Contender], cache: Path, console: Console) -> list[Verdicts]:
    """Take all features of a set and score them on each of its tasks.

    Parameters
    ----------
    real : RealSet
        The set.
    contenders : list of Contender
        The encoders.
    cache : pathlib.Path
        Folder of the features.
    console : rich.console.Console
        Where to say how far it is.

    Returns
    -------
    list of Verdicts
        One for each task.
    """
    folder = cache / real.name
    verdicts = [Verdicts(task=task) for task in real.tasks]

    def score(name: str, rows: np.ndarray) -> None:
        for verdict in verdicts:
            verdict.add(name, rows)
            said = [f"{verdict.scores[c, name][real.measure][0]:.2f} ({c})" for c in CLASSIFIERS]
            console.print(f"{verdict.task.title}: {name}: {real.measure} {', '.join(said)}", highlight=False)

    begun = time.process_time()
    simple = [simple_features(s, folder) for s in track(real.sources, f"{real.name}: simple", console=console)]
    for name, (_, over_time) in SIMPLE.items():
        score(name, real.rows([features[name] for features in simple], over_time))
    del simple
    console.print(f"{real.name}: simple features: {time.process_time() - begun:.0f} s", highlight=False)
    for c in contenders:
        begun = time.process_time()
        stores = [encoder_features(s, c.encoder, folder) for s in track(real.sources, c.name, console=console)]
        extracted = time.process_time() - begun
        score(c.name, real.rows(stores))
        embeddings = [e for e in map(embeddings_as_features, stores) if e is not None]
        if embeddings:
            score(c.name + EMBEDDING, real.rows(embeddings, ("mean", "spread", "change")))
        seconds = time.process_time() - begun
        console.print(f"{real.name}: {c.name}: {seconds:.0f} s, {extracted:.0f} of them features", highlight=False)
    return verdicts


# -- the report


def kinds_of(verdicts: Verdicts, contenders: list[Contender]) -> dict[str, list[str]]:
    """Names of the rows that make up each kind of features, in the order of the tables."""
    names = list(dict.fromkeys(name for _, name in verdicts.scores))
    kind = {c.name: c.kind for c in contenders}
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(kind.get(name, name), []).append(name)
    return kinds


def pairs_of(contenders: list[Contender], kinds: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Which kinds are compared: trained with random and with hand-made features, later stages with earlier ones."""
    random = {c.encoder.model.config: c.kind for c in contenders if not c.encoder.trained}
    trained = [c for c in contenders if c.encoder.trained]
    pairs = [(c.kind, random[c.encoder.model.config]) for c in trained if c.encoder.model.config in random]
    pairs += [(later.kind, earlier.kind) for i, later in enumerate(trained) for earlier in trained[:i]]
    pairs += [(c.kind, HAND_MADE) for c in trained]
    pairs += [(c.kind + EMBEDDING, c.kind) for c in trained if c.kind + EMBEDDING in kinds]
    return pairs + [(kind, HAND_MADE) for kind in dict.fromkeys(random.values())]


def chance(verdicts: Verdicts) -> dict[str, float]:
    """What guessing scores."""
    prediction = next(iter(verdicts.predictions.values()))
    k = prediction.truth.shape[1]
    scored = prediction.truth >= 0
    share = (prediction.truth == 1).sum(axis=0) / scored.sum(axis=0)
    accuracy = 1 / k if prediction.one_of else 0.5
    return {"balanced accuracy": accuracy, "AUROC": 0.5, "average precision": float(share.mean())}


def score_lines(verdicts: Verdicts, kinds: dict[str, list[str]], measures: list[str]) -> list[str]:
    """The table of scores, in Markdown."""
    columns = [(c, m) for c in CLASSIFIERS for m in measures]
    lines = [
        "| features | " + " | ".join(f"{m}, {c}" for c, m in columns) + " |",
        "| --- |" + " ---: |" * len(columns),
        "| chance | " + " | ".join(f"{chance(verdicts)[m]:.2f}" for _, m in columns) + " |",
    ]
    for kind, names in kinds.items():
        cells = []
        for classifier, measure in columns:
            value, low, high = interval(verdicts.members(classifier, names, measure))
            cells.append(f"{value:.2f} ({low:.2f} to {high:.2f})")
        mean_of = "" if len(names) == 1 else f" (mean of {len(names)} seeds)"
        lines.append(f"| {kind}{mean_of} | " + " | ".join(cells) + " |")
        if len(names) > 1:
            single = [", ".join(f"{d[0]:.2f}" for d in verdicts.members(c, names, m)) for c, m in columns]
            lines.append("| &nbsp; its seeds | " + " | ".join(single) + " |")
    return lines


def difference_lines(
    verdicts: Verdicts, kinds: dict[str, list[str]], pairs: list[tuple[str, str]], measure: str
) -> tuple[list[str], list[dict[str, object]]]:
    """The table of differences, in Markdown and as records."""
    lines = [
        f"| difference in {measure} | " + " | ".join(f"{c} | verdict" for c in CLASSIFIERS) + " |",
        "| --- |" + " ---: | --- |" * len(CLASSIFIERS),
    ]
    records: list[dict[str, object]] = []
    for one, other in pairs:
        cells = []
        for classifier in CLASSIFIERS:
            members = [verdicts.members(classifier, kinds[k], measure) for k in (one, other)]
            apart = difference(*members)
            cells += [str(apart), apart.verdict]
            records.append(
                {
                    "task": verdicts.task.title,
                    "classifier": classifier,
                    "measure": measure,
                    "one": one,
                    "other": other,
                    "difference": apart.value,
                    "low": apart.low,
                    "high": apart.high,
                    "verdict": apart.verdict,
                }
            )
        lines.append(f"| {one} − {other} | " + " | ".join(cells) + " |")
    return lines, records


def behaviour_lines(verdicts: Verdicts, kinds: dict[str, list[str]]) -> list[str]:
    """Average precision of every behaviour with the library's probe, in Markdown; of several seeds the mean."""
    names = verdicts.task.names

    def single(prediction: Prediction) -> np.ndarray:
        return average_precisions(prediction, draw_weights(int(prediction.unit.max()) + 1, num_draws=0))[0]

    lines = ["| average precision, probe | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    truth = next(iter(verdicts.predictions.values())).truth
    share = (truth == 1).sum(axis=0) / (truth >= 0).sum(axis=0)
    lines.append("| chance | " + " | ".join(f"{s:.2f}" for s in share) + " |")
    for kind, members in kinds.items():
        mean = np.mean([single(verdicts.predictions["probe", m]) for m in members], axis=0)
        lines.append(f"| {kind} | " + " | ".join(f"{v:.2f}" for v in mean) + " |")
    return lines


def in_one_line(real: RealSet, records: list[dict[str, object]]) -> str:
    """What the deciding task of a set says, with the library's probe."""
    assert real.primary is not None
    title = real.tasks[real.primary].title
    said = [
        f"{r['one']} − {r['other']}: {r['difference']:+.2f} ({r['low']:+.2f} to {r['high']:+.2f}), **{r['verdict']}**"
        for r in records
        if r["classifier"] == "probe" and r["task"] == title
    ]
    return f"- {title} ({real.measure}). " + "; ".join(said) + "."


def preamble(command: str, contenders: list[Contender]) -> list[str]:
    """What was run, with what, and how to read it."""
    info = collect_info()
    packages = ("behavior-prism", "python", "torch", "numpy", "opencv-python", "scikit-learn", "av")
    return [
        "# Real video: encoders beside random weights and simple features",
        "",
        f"Made on {dt.date.today().isoformat()} by `{command}` with "
        + ", ".join(f"{name} {info[name]}" for name in packages if name in info)
        + ".",
        "",
        "| name | encoder |",
        "| --- | --- |",
        *(f"| {c.name} | {c.encoder.describe()} |" for c in contenders),
        "",
        "How to read it:",
        "",
        "- **Rows** are those of `behavior-prism train`: `design_matrix` of the features of frames, centred place by "
        "place, with mean, spread and change over the frames around, scaled over the recording. Clips of one session "
        "(one look of the arena, one source video) count as one recording. That uses the test clips' pictures, as "
        "`train` uses those of a recording that it predicts, and no label of theirs. Simple features go the same way.",
        "- **probe**: `LinearProbe` as shipped, on up to 24 frames of a clip; the clip's prediction is the mean "
        "probability. It decides. **tuned**: the same regression, its strength chosen by inner folds over groups of "
        "the training part.",
        f"- **Brackets**: 95 % intervals, {NUM_DRAWS} draws of units (clips, or stretches of 10 s), the same for all "
        "features. Of random weights the seeds are drawn as well. Intervals take the predictions as they are: other "
        "training clips would have changed them too, so that the intervals are rather too narrow. Many differences "
        "are listed: one in twenty of them leaves zero out by chance. The deciding ones were fixed beforehand.",
        "- Nothing here was chosen by a trained encoder's score.",
        "",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison.

    Parameters
    ----------
    arguments : list of str, optional
        In place of the command line's.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(description="Compare encoders, random weights and simple features on real video.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds " + ", ".join(real_clips.FOLDERS))
    parser.add_argument(
        "--encoder",
        action="append",
        required=True,
        metavar="[LABEL=]NAME",
        help="weights file, name, or 'random'; several, an earlier stage before a later one",
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many random weights of each size (default 3)")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps features for the next run")
    parser.add_argument("--out", type=Path, required=True, help="Markdown to write; a .json with the numbers beside it")
    parser.add_argument("--only", action="append", choices=list(SETS), help="some of the sets; all by default")
    parser.add_argument("--device", default="auto", help="of the encoders")
    args = parser.parse_args(arguments)
    missing = [name for name in real_clips.FOLDERS if not (args.data / name).is_dir()]
    if missing:
        print(
            f"{args.data}: no {', '.join(missing)} here; these recordings do not come with the package, which never "
            "needs them: this example is for those who have them",
            file=sys.stderr,
        )
        return 2
    try:
        if args.seeds < 1:
            raise ValueError(f"--seeds: expected 1 or more, got {args.seeds}")
        contenders = find_contenders(args.encoder, args.seeds, args.device)
    except (ValueError, OSError) as error:
        print(str(error), file=sys.stderr)
        return 2

    console = Console(stderr=True)
    body: list[str] = []
    told: list[str] = []
    records: list[dict[str, object]] = []
    numbers: list[dict[str, object]] = []
    for name in args.only or SETS:
        real = SETS[name](args.data, args.cache)
        for verdicts in judge_set(real, contenders, args.cache, console):
            kinds = kinds_of(verdicts, contenders)
            pairs = pairs_of(contenders, kinds)
            by_rule = not verdicts.task.one_of
            measures = ["average precision", "AUROC"] if by_rule else ["balanced accuracy", "AUROC"]
            decides = real.primary is not None and verdicts.task is real.tasks[real.primary]
            body += [f"## {verdicts.task.title}", "", *(["**This task decides for its set.**", ""] if decides else [])]
            counts = np.unique(verdicts.task.unit).size, np.unique(verdicts.task.group).size, len(verdicts.task.names)
            body += [
                f"{counts[0]} units, {counts[1]} groups, {counts[2]} {'behaviours' if by_rule else 'classes'}, "
                f"{len(verdicts.task.unit)} rows. {verdicts.task.caveat}",
                "",
            ]
            if by_rule:
                body += [f"- {line}" for line in real_flies.rules_in_words()] + [
                    f"- left out where a fly shows it in fewer than {FLY_PRESENT[0]} stretches or "
                    f"{FLY_PRESENT[1]:.0%} of the frames; BL: body lengths",
                    "",
                ]
            body += [*score_lines(verdicts, kinds, measures), ""]
            for measure in dict.fromkeys((real.measure, "AUROC")):
                lines, found = difference_lines(verdicts, kinds, pairs, measure)
                body += [*lines, ""]
                records += found
            if decides:
                told.append(in_one_line(real, [r for r in records if r["measure"] == real.measure]))
            if by_rule:
                body += [*behaviour_lines(verdicts, kinds), ""]
            numbers += [
                {"task": verdicts.task.title, "classifier": c, "features": f, "measure": m, "value": float(v[0])}
                for (c, f), scores in verdicts.scores.items()
                for m, v in scores.items()
                if m in MEASURES
            ]
    lines = [*preamble(shown_command(args), contenders), "## What decides", "", *told, "", *body]
    text = "\n".join(lines)
    with atomic_write(args.out, overwrite=True) as fresh:
        fresh.write_text(text, encoding="utf-8")
    with atomic_write(args.out.with_suffix(".json"), overwrite=True) as fresh:
        fresh.write_text(json.dumps({"scores": numbers, "differences": records}, indent=1) + "\n", encoding="utf-8")
    console.print(*told, sep="\n", markup=False, highlight=False)
    return 0


def shown_command(args: argparse.Namespace) -> str:
    """The command line, without places on this machine."""

    def short(path: Path) -> str:
        return path.name if path.is_absolute() else str(path)

    out = [f"python examples/real_video.py --data {short(args.data)}"]
    for text in args.encoder:
        label, equals, place = text.rpartition("=")
        out.append(f"--encoder {label}{equals}{short(Path(place))}")
    out += [f"--only {name}" for name in args.only or ()]
    return " ".join([*out, f"--seeds {args.seeds} --cache {short(args.cache)} --out {short(args.out)}"])


if __name__ == "__main__":
    sys.exit(main())
