"""What is to be extracted: one job a recording, from files, folders and studies, all with the same settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .study_settings import INDIVIDUAL_SOURCES

if TYPE_CHECKING:
    from behavior_prism.analysis.extraction_plan import ExtractionPlan
    from behavior_prism.datasets import CropSpec, Recording, WindowSpec
    from behavior_prism.encoder import LoadedEncoder

    from .study import Study

FEATURES_ENDING = ".features.zarr"
USUAL_RATE = 30.0  # sampled frames a second where nothing else is said


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtractionSettings:
    """How features are made, whatever the recording.

    Parameters
    ----------
    encoder : LoadedEncoder
        From ``load_encoder``.
    length, stride : int, optional
        Sampled frames of a window and from one window to the next; the encoder's own and half of it by default.
    step : int, optional
        Every which frame is sampled.
    rate : float, optional
        In place of ``step``: about so many frames a second; 30 by default. Video of a variable rate is sampled by time.
    grid, individual_source, crops, individuals, clip_stride, batch, max_undecodable
        As in ``extract_features``.

    Raises
    ------
    ValueError
        As :func:`check_settings`.
    """

    encoder: LoadedEncoder
    length: int | None = None
    step: int | None = None
    rate: float | None = None
    stride: int | None = None
    grid: tuple[int, int] = (4, 4)
    individual_source: str = "view"
    crops: CropSpec | None = None
    individuals: tuple[str, ...] | None = None
    clip_stride: int | None = None
    batch: tuple[int, int] | None = None
    max_undecodable: float | None = None

    def __post_init__(self) -> None:
        check_settings({f.name: getattr(self, f.name) for f in fields(self)})

    def window(self, fps: float) -> WindowSpec:
        """How a recording is cut.

        Parameters
        ----------
        fps : float
            Its frames per second.

        Returns
        -------
        WindowSpec
        """
        from behavior_prism.datasets import WindowSpec

        length = self.encoder.num_frames if self.length is None else self.length
        if self.step is not None:
            return WindowSpec(length=length, step=self.step, stride=self.stride or 0)
        return WindowSpec.for_rate(fps, length=length, stride=self.stride or 0, rate=self.rate or USUAL_RATE)

    def options(self, recording: Recording) -> dict[str, Any]:
        """What ``plan_features`` and ``extract_features`` need for a recording.

        Parameters
        ----------
        recording : Recording
            Which one.

        Returns
        -------
        dict
        """
        return {
            "window": self.window(recording.video.fps),
            "rate": None if self.step is not None else self.rate or USUAL_RATE,
            "grid": self.grid,
            "individual_source": self.individual_source,
            "crops": self.crops,
            "individuals": self.individuals,
            "clip_stride": self.clip_stride,
        }

    def plan(self, recording: Recording) -> ExtractionPlan:
        """What would be computed of a recording.

        Parameters
        ----------
        recording : Recording
            Which one.

        Returns
        -------
        ExtractionPlan
        """
        from behavior_prism.analysis import plan_features

        return plan_features(recording, self.encoder, **self.options(recording))

    def run_options(self) -> dict[str, Any]:
        """What ``extract_features`` takes besides, which names no store.

        Returns
        -------
        dict
        """
        from behavior_prism.analysis.frame_pictures import MAX_UNDECODABLE

        most = MAX_UNDECODABLE if self.max_undecodable is None else self.max_undecodable
        return {"batch": self.batch, "max_undecodable": most}


def check_settings(given: Mapping[str, Any]) -> None:
    """Raise if settings are wrong whatever the encoder, so that nobody waits for one to be told.

    Parameters
    ----------
    given : mapping of str to object
        As :class:`ExtractionSettings` takes them; None and what is missing are as usual.

    Raises
    ------
    ValueError
        If a number is out of range, a word is unknown, or step and rate are both given.
    """
    for name in ("length", "step", "stride", "clip_stride"):
        value = given.get(name)
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected a whole number from 1 on, got {value}")
    batch, share, rate = given.get("batch"), given.get("max_undecodable"), given.get("rate")
    if batch is not None and min(batch) < 1:
        raise ValueError(f"batch: expected two whole numbers from 1 on, got {batch}")
    if share is not None and not 0 <= share <= 1:  # false for NaN too
        raise ValueError(f"max_undecodable: expected a share from 0 to 1, got {share}")
    if rate is not None and given.get("step") is not None:
        raise ValueError("rate and step: expected one of them, got both")
    if rate is not None and not 0 < rate < float("inf"):
        raise ValueError(f"rate: expected a positive number of frames a second, got {rate}")
    source = given.get("individual_source")
    if source is not None and source not in INDIVIDUAL_SOURCES:
        raise ValueError(f"individual_source: expected one of {list(INDIVIDUAL_SOURCES)}, got {source!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A recording to extract.

    Parameters
    ----------
    name : str
        What the user called it: a file, or a name of the study.
    load : callable
        Opens it.
    place : callable
        Says where its features go, given its name and the settings that name the store.
    settings : ExtractionSettings
        How.
    files : tuple of pathlib.Path
        What is read, to weigh one job against another before any is opened.
    """

    name: str
    load: Callable[[], Recording]
    place: Callable[[str, Mapping[str, Any]], Path]
    settings: ExtractionSettings
    files: tuple[Path, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of what is read; 1 where that cannot be told."""
        try:
            return max(1, sum(_size(path) for path in self.files))
        except OSError:
            return 1


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.iterdir() if p.is_file()) if path.is_dir() else path.stat().st_size


def file_jobs(
    videos: Sequence[str | Path],
    out: str | Path,
    settings: ExtractionSettings,
    *,
    tracks: str = "",
    **options: Any,
) -> list[Job]:
    """Jobs of video files, folders of images, stacks and arrays.

    Parameters
    ----------
    videos : sequence of str or pathlib.Path
        What ``load_recording`` takes.
    out : str or pathlib.Path
        Folder for ``<recording>.features.zarr``.
    settings : ExtractionSettings
        How.
    tracks : str
        Pose file of each; ``{stem}`` stands for the video's name without its ending, ``{folder}`` for its folder.
    **options
        For ``load_recording``: ``regions``, ``frames``, ``fps``, ``allow_cut_short``.

    Returns
    -------
    list of Job

    Raises
    ------
    ValueError
        If two of them would write the same store.
    """
    from behavior_prism.datasets import recording_name

    paths = [Path(v) for v in videos]
    names = [recording_name(p) for p in paths]
    unique_names(zip(paths, names, strict=True))
    place = partial(_beside, Path(out))
    return [
        Job(
            name=str(path),
            load=partial(_load_file, path, _tracks_of(path, tracks), options),
            place=place,
            settings=settings,
            files=(path,),
        )
        for path in paths
    ]


def _tracks_of(path: Path, pattern: str) -> Path | None:
    if not pattern:
        return None
    return Path(pattern.replace("{stem}", path.stem).replace("{folder}", str(path.parent)))


def _beside(out: Path, recording: str, settings: Mapping[str, Any]) -> Path:
    return out / f"{recording}{FEATURES_ENDING}"


def _load_file(path: Path, tracks: Path | None, options: Mapping[str, Any]) -> Recording:
    from behavior_prism.datasets import load_recording

    if tracks is not None and not tracks.exists():
        raise FileNotFoundError(f"{path}: tracks: {tracks}: no such file")
    return load_recording(path, tracks=tracks, **options)


def settings_of_study(study: Study, encoder: LoadedEncoder, **given: Any) -> ExtractionSettings:
    """How a study wants its features made.

    Parameters
    ----------
    study : Study
        Its ``study.toml`` counts where nothing is given.
    encoder : LoadedEncoder
        What its ``[encoder]`` names, as a rule.
    **given
        What shall be otherwise, as :class:`ExtractionSettings` takes it.

    Returns
    -------
    ExtractionSettings
    """
    said: dict[str, Any] = dict(study.settings.defaults)
    if "step" in given or "rate" in given:
        said = {k: v for k, v in said.items() if k not in ("step", "rate")}
    if study.settings.crop is not None:
        said.setdefault("individual_source", "crop")
        if given.get("individual_source", said["individual_source"]) != "view":
            said["crops"] = study.settings.crop
    return ExtractionSettings(encoder=encoder, **(said | given))


def study_jobs(study: Study, settings: ExtractionSettings, *, only: Iterable[str] = ()) -> list[Job]:
    """Jobs of the recordings of a study.

    Parameters
    ----------
    study : Study
        Where its features go, too.
    settings : ExtractionSettings
        How; see :func:`settings_of_study`.
    only : iterable of str
        Recordings; all by default.

    Returns
    -------
    list of Job

    Raises
    ------
    ValueError
        If it has no such recording, or none at all.
    """
    names = list(dict.fromkeys(only)) or study.names
    if not names:
        raise ValueError(f"{study.folder}: expected recordings, got none: behavior-prism add {study.folder} VIDEO...")
    for name in names:
        study.row(name)
    folder = study.folder.resolve()
    stamp = tuple((folder / table).stat().st_mtime_ns for table in _TABLES)
    place = partial(_in_study, folder)
    return [
        Job(
            name=name,
            load=partial(_load_of_study, folder, stamp, name),
            place=place,
            settings=settings,
            files=tuple(study.video_files(name)),
        )
        for name in names
    ]


_TABLES = ("study.toml", "recordings.csv", "animals.csv", "subjects.csv")


@lru_cache(maxsize=1)
def _study(folder: Path, stamp: tuple[int, ...]) -> Study:
    """Read once for all its recordings; ``stamp`` makes it another one when its tables change."""
    from .study import Study

    return Study.open(folder)


def _load_of_study(folder: Path, stamp: tuple[int, ...], name: str) -> Recording:
    return _study(folder, stamp).recording(name)


def _in_study(folder: Path, recording: str, settings: Mapping[str, Any]) -> Path:
    from behavior_prism.analysis import store_path

    return store_path(folder, recording, settings)


def unique_names(named: Iterable[tuple[str | Path, str]]) -> None:
    """Raise if two inputs would write the same output.

    Parameters
    ----------
    named : iterable of (path, str)
        Inputs and the names of their outputs.

    Raises
    ------
    ValueError
        If a name stands twice.
    """
    seen: dict[str, str | Path] = {}
    for path, name in named:
        if name in seen:
            raise ValueError(
                f"{seen[name]} and {path} would both be called {name!r}: give them different output folders"
            )
        seen[name] = path
