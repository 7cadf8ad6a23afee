"""Classify real clips of mice and fish larvae: frozen features beside simple ones, with a grouped cross-validation.

    python examples/real_clips.py --data ../shared/data --out examples/real_clips.md

Reads three sets of recordings from the folder ``--data``. They are not part of the package, and nothing of the package
needs them:

- ``bsoid``: mice from below, one behaviour per clip. 33 clips of 11 classes and 48 short clips of 16 classes.
- ``larval-fish-strikes``: heads of fish larvae, 28 clips, a strike at food or not.
- ``sleap-flies``: pairs of flies with pose tracks. Only read, for there are no labels.

The unit is the clip: each has one label and gets one prediction, from a classifier that saw no clip of its group.
Every set of features goes through the same classifier with the same settings; nothing is tuned on any clip.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import scipy.io
import xarray as xr
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.base import ClassifierMixin, clone
from sklearn.dummy import DummyClassifier

from behavior_prism import LinearProbe, Video, extract_features, load_encoder
from behavior_prism.datasets import Recording, load_recording
from behavior_prism.encoder import LoadedEncoder
from behavior_prism.info import collect_info

FOLDERS = ("bsoid", "larval-fish-strikes", "sleap-flies")
PICTURE = 96  # the simple features look at 96x96 grey pictures: what the tiny encoder sees, less the colour
NUM_DRAWS, NUM_GUESSES = 2000, 20000  # bootstrap, chance
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A stretch of video with one label.

    Parameters
    ----------
    name : str
        Unique in its data set.
    path : pathlib.Path
        The video file.
    label : str
        What the animal does.
    groups : dict of str to str
        For each way to split the data, the group of this clip. Clips of one group are held out together.
    region : (int, int, int, int), optional
        x, y, width and height of the part of the picture that is meant [px]; all of it by default.
    frames : (int, int), optional
        Half-open interval of the frames meant; all of them by default.
    """

    name: str
    path: Path
    label: str
    groups: dict[str, str] = field(default_factory=dict)
    region: tuple[int, int, int, int] | None = None
    frames: tuple[int, int] | None = None

    def open(self) -> Recording:
        """Open it as a recording."""
        regions = {"view": self.region} if self.region else None
        return load_recording(self.path, name=self.name, regions=regions, frames=self.frames)


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """Labelled clips, and what must be known to read their scores.

    Parameters
    ----------
    title : str
        Heading.
    clips : list of Clip
        The clips.
    caveats : dict of str to str
        For each way to split the data, what it does not rule out.
    """

    title: str
    clips: list[Clip]
    caveats: dict[str, str]

    @property
    def labels(self) -> np.ndarray:
        """Label of every clip, shape (n,)."""
        return np.array([clip.label for clip in self.clips])

    def groups(self, split: str) -> np.ndarray:
        """Group of every clip, shape (n,)."""
        return np.array([clip.groups[split] for clip in self.clips])


# -- the clips


def hstacked_clips(data: Path) -> ClipSet:
    """Three mice side by side in each file: cut the panels apart and leave out the frames where a clip is held."""
    folder = data / "bsoid" / "hstacked"
    table = pd.read_csv(folder / "labels_derived.csv")
    clips = []
    for file, panels in table.groupby("file", sort=True):
        with Video(folder / str(file)) as video:
            first = video[0]
        for row in panels.itertuples():
            panel = first[row.y : row.y + row.height, row.x : row.x + row.width]
            clips.append(
                Clip(
                    name=f"{Path(str(file)).stem}_{row.panel}",
                    path=folder / str(file),
                    label=str(row.behaviour),
                    groups={"panel": f"panel {row.panel}", "recording": recording_by_floor(panel)},
                    region=(row.x, row.y, row.width, row.height),
                    # The last moving frame is one of the clip's own; every later one is a copy of it.
                    frames=(row.first_frame, row.last_moving_frame + 1),
                )
            )
    return ClipSet(
        title="Mice, 11 behaviours (bsoid/hstacked)",
        clips=clips,
        caveats={
            "panel": "Held out: all left, all middle or all right panels. All clips of a class lie in one file, so "
            "that files cannot be held out. The same mice in the same arenas turn up in all three panels, often of "
            "one class: these scores may be too good.",
            "recording": "Held out: all clips with the same look of the arena floor, told by its colour (4 looks; all "
            "agouti mice are in one). The stricter split: no training clip has this look. The looks were found here "
            "from the pictures, the origin does not say which clips are of one recording or one mouse.",
        },
    )


def recording_by_floor(picture: np.ndarray) -> str:
    """Tell the recordings of ``bsoid/hstacked`` apart by the colour of the arena floor.

    The median colours form four tight clusters, a few grey levels apart, because camera and light were set up anew.
    """
    inner = picture[picture.shape[0] // 6 : -picture.shape[0] // 6, picture.shape[1] // 8 : -picture.shape[1] // 8]
    red, green, blue = np.median(inner.reshape(-1, 3), axis=0)
    if green < 126:
        return "dark floor"
    if green > 132:
        return "bright floor"
    return "greenish floor" if green - (red + blue) / 2 > 2 else "purplish floor"


def example_clips(data: Path) -> ClipSet:
    """Short clips of the same arena, slowed and thinned out by their authors: one file each."""
    folder = data / "bsoid" / "examples"
    table = pd.read_csv(folder / "labels_derived.csv").sort_values("file")
    # Examples are numbered 1, 2, 3 in each class, but 1, 2, 4 in one: count them instead.
    table["place"] = table.groupby("group").cumcount() + 1
    clips = [
        Clip(
            name=Path(row.file).stem,
            path=folder / row.file,
            label=str(row.behaviour),
            groups={"example": f"example {row.place}"},
        )
        for row in table.itertuples()
    ]
    return ClipSet(
        title="Mice, 16 behaviours (bsoid/examples)",
        clips=clips,
        caveats={
            "example": "Held out: all first, all second or all third examples. The same mice in the same arenas turn "
            "up in all three: these scores may be too good. Clips are very short (4 to 26 frames at 5 frames a second)."
        },
    )


def fish_clips(data: Path) -> ClipSet:
    """Heads of fish larvae; each clip's label and source video lie in a MATLAB file beside it."""
    folder = data / "larval-fish-strikes"
    clips = []
    for path in sorted(folder.glob("*.avi")):
        about = scipy.io.loadmat(path.with_suffix(".mat"), variable_names=["isEating", "input_filename"])
        clips.append(
            Clip(
                name=path.stem,
                path=path,
                label="strike" if about["isEating"].item() else "no strike",
                groups={"source video": str(about["input_filename"].item())},
            )
        )
    return ClipSet(
        title="Fish larvae, strike or not (larval-fish-strikes)",
        clips=clips,
        caveats={"source video": "Held out: all clips of one source video. Labels by human experts."},
    )


# -- features: one row of numbers per clip


def grey_pictures(recording: Recording) -> np.ndarray:
    """Read a clip as small grey pictures, uint8, shape (frames, 96, 96)."""
    indices = range(recording.start_frame, recording.stop_frame)
    pictures = []
    for frame in recording.video.iter_frames(indices):
        crop = np.ascontiguousarray(recording.crop(frame, "view"))
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
        pictures.append(cv2.resize(grey, (PICTURE, PICTURE), interpolation=cv2.INTER_AREA))
    return np.stack(pictures)


def mean_image(pictures: np.ndarray) -> np.ndarray:
    """Mean over frames, 32x32 pixels: knows where the animal was and what the arena looks like, no movement."""
    return cv2.resize(pictures.mean(axis=0), (32, 32), interpolation=cv2.INTER_AREA).ravel()


def frame_difference_energy(pictures: np.ndarray) -> np.ndarray:
    """Mean absolute difference of neighbouring frames, on an 8x8 grid and overall, and the overall's spread."""
    difference = np.abs(np.diff(pictures.astype(np.float32), axis=0))
    cell = PICTURE // 8
    grid = difference.mean(axis=0).reshape(8, cell, 8, cell).mean(axis=(1, 3))
    overall = difference.mean(axis=(1, 2))
    return np.concatenate([grid.ravel(), [overall.mean(), overall.std()]])


def by_direction(dx: np.ndarray, dy: np.ndarray, *, cells: int, bins: int, turn: float) -> np.ndarray:
    """How much of a field of arrows points where: sums of lengths, shape (cells, cells, bins)."""
    length, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % turn
    direction = np.minimum((angle / turn * bins).astype(int), bins - 1)
    row, col = np.indices(length.shape) * cells // PICTURE
    place = (row * cells + col) * bins + direction
    return np.bincount(place.ravel(), length.ravel(), minlength=cells * cells * bins).reshape(cells, cells, bins)


def hog(picture: np.ndarray) -> np.ndarray:
    """Histogram of oriented gradients (Dalal and Triggs 2005); written out, for OpenCV 5 has it no more.

    Cells of 24 pixels, 9 directions without sign, overlapping blocks of 2x2 cells, cut off at 0.2.
    """
    dy, dx = np.gradient(picture.astype(np.float32))
    cells = by_direction(dx, dy, cells=4, bins=9, turn=np.pi)
    blocks = np.stack([cells[i : i + 2, j : j + 2].ravel() for i in range(3) for j in range(3)])
    for ceiling in (0.2, np.inf):
        blocks = np.minimum(blocks / (np.linalg.norm(blocks, axis=1, keepdims=True) + 1e-5), ceiling)
    return blocks.ravel()


def hog_and_flow(pictures: np.ndarray) -> np.ndarray:
    """Shape and movement by hand.

    HOG, mean over frames; and Farneback's optical flow: on a 4x4 grid the flow in 8 directions, and how many pixels
    move how fast, mean and spread over pairs of frames.
    """
    movement = []
    for before, after in itertools.pairwise(pictures):
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 9, 3, 5, 1.1, 0)
        directions = by_direction(flow[..., 0], flow[..., 1], cells=4, bins=8, turn=2 * np.pi)
        speeds = np.histogram(np.hypot(flow[..., 0], flow[..., 1]), bins=[0, 0.1, 0.25, 0.5, 1, 2, 4, np.inf])[0]
        movement.append(np.concatenate([directions.ravel(), speeds]) / PICTURE**2)
    shape = np.mean([hog(picture) for picture in pictures], axis=0)
    return np.concatenate([shape, np.mean(movement, axis=0), np.std(movement, axis=0)])


def clip_embedding(features: xr.Dataset) -> np.ndarray:
    """Frozen features of a clip as one row: how they are on average, how they spread, how they change.

    Of every frame the mean and the maximum over places; of these over the clip's frames the mean, the standard
    deviation and the mean absolute difference of neighbouring frames: 6 numbers per channel. ``design_matrix`` would
    not do: it describes frames against their own recording, so that what is the same all through a clip vanishes.
    """
    tokens = features["feature"].isel(individual=0).transpose("time", "token", "channel").values.astype(np.float32)
    frames = np.concatenate([tokens.mean(axis=1), tokens.max(axis=1)], axis=1)
    change = np.abs(np.diff(frames, axis=0)).mean(axis=0)
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0), change])


SIMPLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean image": mean_image,
    "frame-difference energy": frame_difference_energy,
    "HOG + optical flow": hog_and_flow,
}


def feature_rows(clips: list[Clip], encoder: LoadedEncoder, folder: Path) -> dict[str, np.ndarray]:
    """All features of all clips.

    Parameters
    ----------
    clips : list of Clip
        The clips.
    encoder : LoadedEncoder
        From ``load_encoder``.
    folder : pathlib.Path
        Where the feature stores go.

    Returns
    -------
    dict of str to numpy.ndarray
        For each kind of features, shape (clips, numbers).
    """
    rows: dict[str, list[np.ndarray]] = {name: [] for name in [*SIMPLE, encoder_name(encoder)]}
    for clip in track(clips, description="reading clips", console=Console(stderr=True), transient=True):
        recording = clip.open()
        with recording.video:
            pictures = grey_pictures(recording)
            store = extract_features(recording, encoder, folder / f"{clip.name}.features.zarr")
        for name, describe in SIMPLE.items():
            rows[name].append(describe(pictures))
        rows[encoder_name(encoder)].append(clip_embedding(store))
    return {name: np.stack(values) for name, values in rows.items()}


def encoder_name(encoder: LoadedEncoder) -> str:
    """How the table calls the encoder."""
    return f"{encoder.name} encoder" if encoder.trained else f"{encoder.name} encoder (untrained)"


# -- evaluation


def held_out_folds(groups: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hold one group out at a time: yield the indices of the training clips and of the test clips."""
    for group in np.unique(groups):
        yield np.flatnonzero(groups != group), np.flatnonzero(groups == group)


def held_out_predictions(
    classifier: ClassifierMixin, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Predict every clip once, by a classifier that was trained without the clip's group.

    Parameters
    ----------
    classifier : scikit-learn classifier
        Cloned for every fold. It standardises, if at all, by the training clips alone.
    rows : numpy.ndarray
        Features, shape (n, d).
    labels, groups : numpy.ndarray
        Of every clip, shape (n,).

    Returns
    -------
    numpy.ndarray
        Predicted labels, shape (n,).
    """
    predicted = np.empty_like(labels)
    for train, test in held_out_folds(groups):
        predicted[test] = clone(classifier).fit(rows[train], labels[train]).predict(rows[test])
    return predicted


def scores(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Balanced accuracy (mean recall) and macro F1, over the classes that occur in the truth."""
    classes = np.unique(truth)[:, None]
    hits = ((truth == classes) & (predicted == classes)).sum(axis=1)
    true, said = (truth == classes).sum(axis=1), (predicted == classes).sum(axis=1)
    return np.array([(hits / true).mean(), (2 * hits / (true + said)).mean()])


def bootstrap_unit(groups: np.ndarray) -> str:
    """What the bootstrap draws: groups where there are five or more of them, else clips."""
    return "groups" if len(np.unique(groups)) >= 5 else "clips"


def bootstrap_interval(truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """95 % interval of :func:`scores`, shape (2, 2): low and high, for each of the two measures."""
    units = groups if bootstrap_unit(groups) == "groups" else np.arange(len(truth))
    members = [np.flatnonzero(units == unit) for unit in np.unique(units)]
    rng = np.random.default_rng(SEED)
    draws = []
    for _ in range(NUM_DRAWS):
        drawn = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        draws.append(scores(truth[drawn], predicted[drawn]))
    return np.percentile(draws, [2.5, 97.5], axis=0)


def guess_scores(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Guess all classes equally often: mean of :func:`scores` and the range of 95 % of the guesses."""
    rng = np.random.default_rng(SEED)
    classes = np.unique(truth)
    draws = [scores(truth, rng.choice(classes, size=len(truth))) for _ in range(NUM_GUESSES)]
    return np.mean(draws, axis=0), np.percentile(draws, [2.5, 97.5], axis=0)


def score_table(rows: dict[str, np.ndarray], labels: np.ndarray, groups: np.ndarray) -> pd.DataFrame:
    """Score every set of features beside chance.

    Parameters
    ----------
    rows : dict of str to numpy.ndarray
        From :func:`feature_rows`.
    labels, groups : numpy.ndarray
        Of every clip, shape (n,).

    Returns
    -------
    pandas.DataFrame
        One row for each kind of features, as text.
    """

    def line(mean: np.ndarray, low_high: np.ndarray) -> list[str]:
        return [f"{m:.2f} ({low:.2f} to {high:.2f})" for m, low, high in zip(mean, *low_high, strict=True)]

    table = {"chance: guess": ["-", *line(*guess_scores(labels))]}
    nothing = np.zeros((len(labels), 1))
    tried = {"chance: most frequent class": (DummyClassifier(strategy="most_frequent"), nothing)}
    tried |= {name: (LinearProbe(), values) for name, values in rows.items()}
    for name, (classifier, values) in tried.items():
        predicted = held_out_predictions(classifier, values, labels, groups)
        size = str(values.shape[1]) if values is not nothing else "-"
        table[name] = [size, *line(scores(labels, predicted), bootstrap_interval(labels, predicted, groups))]
    columns = ["numbers", "balanced accuracy", "macro F1"]
    return pd.DataFrame.from_dict(table, orient="index", columns=columns).rename_axis("features").reset_index()


# -- flies: no labels, but video and tracks


def fly_facts(data: Path, encoder: LoadedEncoder, folder: Path) -> list[str]:
    """Read flies with their tracks and extract the features of a part; say what was found, a line for each."""
    lines = []
    for video, tracks in (
        ("20190128_113421.120s.mp4", "20190128_113421.120s.predictions.analysis.h5"),
        ("centered_pair_low_quality.mp4", "centered_pair_predictions.slp"),
    ):
        flies = data / "sleap-flies"
        recording = load_recording(flies / video, tracks=flies / tracks, frames=(0, 256))
        with recording.video:
            store = extract_features(recording, encoder, folder / f"{recording.name}.features.zarr")
        sizes = ", ".join(f"{store.sizes[d]} {d}" for d in ("individual", "time", "token", "channel"))
        lines.append(f"{video}: {describe_tracks(recording)}. Features of frames 0 to 255: {sizes}.")
    return lines


def describe_tracks(recording: Recording) -> str:
    """Frames, animals, how often both are seen, how far apart they are and how fast they walk."""
    tracks = recording.tracks
    assert tracks is not None
    thorax = tracks["position"].sel(keypoint="thorax").transpose("time", "individual", "space").values
    seen = np.isfinite(thorax).all(axis=2)
    apart = [np.linalg.norm(np.diff(thorax[t, seen[t]], axis=0)) for t in np.flatnonzero(seen.sum(axis=1) == 2)]
    steps = np.linalg.norm(np.diff(thorax, axis=0), axis=2)
    speed = steps / np.diff(tracks["time"].values)[:, None]
    middle, fast = np.nanpercentile(speed, [50, 90])
    return (
        f"{tracks.sizes['time']} frames, {tracks.sizes['individual']} tracks of {tracks.sizes['keypoint']} keypoints; "
        f"two or more thoraxes in {(seen.sum(axis=1) >= 2).mean():.1%} of frames, median distance of two "
        f"{np.median(apart):.0f} px, speed {middle:.0f} px/s (median), {fast:.0f} px/s (90th percentile)"
    )


# -- the report


def markdown_table(table: pd.DataFrame) -> list[str]:
    """A table in Markdown, as lines."""
    rule = ["---"] + ["---:"] * (len(table.columns) - 1)
    return [f"| {' | '.join(cells)} |" for cells in [list(table.columns), rule, *table.to_numpy().tolist()]]


def rich_table(table: pd.DataFrame, title: str) -> Table:
    """A table for the terminal."""
    shown = Table(title=title, title_justify="left")
    for column in table.columns:
        shown.add_column(column, justify="left" if column == "features" else "right")
    for row in table.to_numpy().tolist():
        shown.add_row(*row)
    return shown


def preamble(encoder: LoadedEncoder, command: str) -> list[str]:
    """What was run, with what, when."""
    info = collect_info()
    names = ("behavior-prism", "python", "torch", "numpy", "opencv-python", "scikit-learn", "av")
    return [
        "# Real clips: frozen features beside simple ones",
        "",
        f"Made on {dt.date.today().isoformat()} by `{command}` with "
        + ", ".join(f"{name} {info[name]}" for name in names if name in info)
        + ".",
        "",
        *([f"**{encoder.notice[0].upper()}{encoder.notice[1:]}.**", ""] if encoder.notice else []),
        "The unit is the clip. Every clip is predicted once, by a classifier that was trained without the clip's "
        "group; scores are over these predictions of all folds together. The classifier is the same for all features, "
        f"`LinearProbe` as the library sets it (C = {LinearProbe().C}, classes balanced, features standardised by the "
        "training clips); nothing was tuned. In brackets: 95 % intervals by a bootstrap over clips, because no split "
        "has the five groups that a bootstrap over groups takes; clips of one recording resemble one another, so "
        "that the intervals are too narrow. For guesses: where 95 % of guesses fall. The most frequent class is that "
        "of the training clips, and where classes are even it is the one least frequent among the test clips.",
        "",
        "Simple features look at 96x96 grey pictures. The encoder's features are, per channel, the mean and the "
        "maximum over places of every frame; of these over the clip the mean, the standard deviation and the mean "
        "absolute change from frame to frame.",
        "",
        "Labels of the mice are clusters of poses found by a program (B-SOiD) and named by people, not human labels of "
        "frames; the last moving frame of a clip is right to a few frames only.",
        "",
    ]


def shown_command(args: argparse.Namespace) -> str:
    """The command line, without places on this machine."""
    out = ["python examples/real_clips.py", f"--data {args.data if not args.data.is_absolute() else 'DATA'}"]
    out.append(f"--encoder {Path(args.encoder).name}")
    if args.weights:
        out.append(f"--weights {args.weights.name}")
    if args.out:
        out.append(f"--out {args.out if not args.out.is_absolute() else args.out.name}")
    return " ".join(out)


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description="Classify real clips with frozen and with simple features.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds " + ", ".join(FOLDERS))
    parser.add_argument("--encoder", default="tiny", help="size of the encoder, or a .safetensors file")
    parser.add_argument("--weights", type=Path, help="weights for the named size; random ones without")
    parser.add_argument("--out", type=Path, help="Markdown file to write (an older one is replaced)")
    args = parser.parse_args()
    missing = [name for name in FOLDERS if not (args.data / name).is_dir()]
    if missing:
        print(
            f"{args.data}: no {', '.join(missing)} here; these recordings do not come with the package, which never "
            "needs them: this example is for those who have them",
            file=sys.stderr,
        )
        return 2

    begun = time.monotonic()
    console = Console()
    encoder = load_encoder(args.encoder, weights=args.weights)
    if encoder.notice:
        console.print(encoder.notice, style="yellow")
    lines = preamble(encoder, shown_command(args))
    with tempfile.TemporaryDirectory() as scratch:
        for number, make in enumerate((hstacked_clips, example_clips, fish_clips)):
            clip_set = make(args.data)
            rows = feature_rows(clip_set.clips, encoder, Path(scratch) / str(number))
            for split, caveat in clip_set.caveats.items():
                groups = clip_set.groups(split)
                counts = (
                    f"{len(groups)} clips, {len(np.unique(clip_set.labels))} classes, {len(np.unique(groups))} groups"
                )
                title = f"{clip_set.title}: split by {split}"
                table = score_table(rows, clip_set.labels, groups)
                console.print(rich_table(table, title), f"{counts}. {caveat}\n", sep="\n")
                lines += [f"## {title}", "", f"{counts}. {caveat}", "", *markdown_table(table), ""]
        facts = fly_facts(args.data, encoder, Path(scratch) / "flies")
    console.print(*facts, sep="\n", highlight=False)
    lines += ["## Flies with tracks (sleap-flies): read, no labels to score", "", *(f"- {fact}" for fact in facts), ""]
    if args.out:
        args.out.write_text("\n".join(lines), encoding="utf-8")
    console.print(f"{time.monotonic() - begun:.0f} s", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
