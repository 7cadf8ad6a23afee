"""A study: the folder on a lab's disk that ties recordings, animals, labels, features and results together.

``study.toml`` and three csv files are for people; everything else in it is made by commands and can be made again, but
for ``labels``. Nothing here opens a video before it must.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .files import atomic_write
from .study_checks import check_tables, individual_of
from .study_files import Fingerprints, slug_problem
from .study_groups import connected_groups
from .study_opening import located, open_recording, source_of
from .study_tables import ANIMAL_COLUMNS, RECORDING_COLUMNS, SUBJECT_COLUMNS, Row, Table

if TYPE_CHECKING:
    import pandas as pd

    from behavior_prism.datasets import CropSpec, Ethogram, Recording, RecordingInfo

    from .study_settings import StudySettings

SETTINGS = "study.toml"


class Study:
    """Recordings, animals, behaviours and settings of one study, and where its files lie.

    Make one with :meth:`create`, open it with :meth:`open`.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the study.

    Examples
    --------
    >>> study = Study.create("cages", behaviors=("walk", "rear"))  # doctest: +SKIP
    >>> study.add(["videos/cage1.mp4", "videos/cage2.mp4"], animals=["m1"])  # doctest: +SKIP
    >>> study.recording("cage1").num_frames  # doctest: +SKIP
    9000
    """

    def __init__(self, folder: Path) -> None:
        from .study_settings import read_settings

        self.folder = folder
        self.settings: StudySettings = read_settings(folder / SETTINGS)
        self.reload()

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a study.

        Parameters
        ----------
        folder : str or pathlib.Path
            Its folder, or its ``study.toml``.

        Returns
        -------
        Study

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If one of its files is wrong; the line is named.
        """
        folder = Path(folder)
        folder = folder.parent if folder.name == SETTINGS and folder.is_file() else folder
        if not (folder / SETTINGS).is_file():
            raise FileNotFoundError(f"{folder}: expected the folder of a study, got none with a {SETTINGS}")
        return cls(folder)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        name: str | None = None,
        behaviors: Ethogram | Iterable[str] = (),
        encoder: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        crop: CropSpec | None = None,
    ) -> Self:
        """Make a study in a new folder, or in one that holds none yet.

        Parameters
        ----------
        folder : str or pathlib.Path
            Where; what lies there already stays.
        name : str, optional
            By default that of the folder.
        behaviors : Ethogram or iterable of str
            What is under study.
        encoder, defaults, crop
            As in ``study.toml``; see :class:`~behavior_prism.study_settings.StudySettings`.

        Returns
        -------
        Study

        Raises
        ------
        FileExistsError
            If there is a study already.
        ValueError
            If an argument is wrong.
        """
        from behavior_prism.datasets import Ethogram

        from .study_settings import StudySettings, read_settings, settings_text

        folder = Path(folder)
        if (folder / SETTINGS).exists():
            raise FileExistsError(
                f"{folder / SETTINGS}: there is a study already; edit that file, or take another folder"
            )
        settings = StudySettings(
            name=name or folder.resolve().name,
            ethogram=behaviors if isinstance(behaviors, Ethogram) else Ethogram(behaviors),
            encoder={"name": "tiny", "weights": "auto", **(encoder or {})},
            defaults=dict(defaults or {}),
            crop=crop,
        )
        folder.mkdir(parents=True, exist_ok=True)
        tables = _tables(folder)
        check_tables(*tables)  # tables that somebody wrote before there was a study
        for table in tables:
            table.save()
        with atomic_write(folder / SETTINGS) as fresh:  # the last of all: it is what makes a folder a study
            fresh.write_text(settings_text(settings), encoding="utf-8")
            try:
                read_settings(fresh)
            except ValueError as error:
                raise ValueError(str(error).replace(str(fresh), str(folder / SETTINGS))) from None
        return cls(folder)

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {len(self.names)} recordings, folder={str(self.folder)!r})"

    def reload(self) -> None:
        """Read the tables again, after somebody edited them.

        Raises
        ------
        ValueError
            If they are wrong; then what was read before stays.
        """
        tables = _tables(self.folder)
        check_tables(*tables)
        self._recordings, self._animals, self._subjects = tables
        self._rows = {row["recording"]: row for row in self._recordings.rows}
        self._individuals: dict[str, dict[str, str]] = {name: {} for name in self._rows}
        for row in self._subjects.rows:
            self._individuals[row["recording"]][individual_of(row)] = row["animal"]

    # what it says

    @property
    def name(self) -> str:
        """Of the study."""
        return self.settings.name

    @property
    def ethogram(self) -> Ethogram:
        """Behaviours under study."""
        return self.settings.ethogram

    @property
    def names(self) -> list[str]:
        """Names of the recordings, in their order."""
        return list(self._rows)

    @property
    def recordings(self) -> pd.DataFrame:
        """``recordings.csv`` as it stands there, text in every cell, with the columns that people added."""
        return _frame(self._recordings)

    @property
    def animals(self) -> pd.DataFrame:
        """``animals.csv`` as it stands there."""
        return _frame(self._animals)

    @property
    def subjects(self) -> pd.DataFrame:
        """``subjects.csv``: which animal is which individual of a recording."""
        return _frame(self._subjects)

    def row(self, name: str) -> Row:
        """The row of a recording.

        Parameters
        ----------
        name : str
            Of the recording.

        Returns
        -------
        Row

        Raises
        ------
        ValueError
            If the study has no such recording.
        """
        if name in self._rows:
            return self._rows[name]
        raise ValueError(f"{self._recordings.path}: unknown recording {name!r}, expected one of {self.names}")

    def individuals(self, name: str) -> dict[str, str]:
        """Animals of a recording by what they are called in it.

        Parameters
        ----------
        name : str
            Of the recording.

        Returns
        -------
        dict of str to str
            From individual to animal.
        """
        self.row(name)
        return dict(self._individuals[name])

    def groups(self) -> dict[str, str]:
        """Which recordings must not be parted between training and test.

        Returns
        -------
        dict of str to str
            From recording to the name of its group, which is that of its first recording. Recordings that share an
            animal are in one group, also by way of others. Cameras of one session are, too, unless the animals of
            both are known to be others.
        """
        animals = {name: frozenset(known.values()) for name, known in self._individuals.items()}
        return connected_groups(list(self._rows.values()), animals)

    # where its files are

    def video_files(self, name: str) -> list[Path]:
        """Files of a recording; they need not be there.

        Parameters
        ----------
        name : str
            Of the recording.

        Returns
        -------
        list of pathlib.Path
            Where the study says that they are, or where the same file was seen last.
        """
        return [place.path for place in located(self.folder, self.row(name), Fingerprints(self.folder))]

    def recording(self, name: str) -> Recording:
        """Open a recording, with its tracks, its times and what is known about it.

        Parameters
        ----------
        name : str
            Of the recording.

        Returns
        -------
        Recording

        Raises
        ------
        FileNotFoundError
            If a file is not there.
        ValueError
            If a file cannot be used, or the individuals of ``subjects.csv`` are not those of the tracks.
        """
        found = open_recording(self.folder, self._recordings, self.row(name), self._info(name))
        if found.tracks is not None:
            known = [str(i) for i in found.tracks["individual"].values]
            for row in self._subjects.rows:
                if row["recording"] == name and individual_of(row) not in known:
                    raise ValueError(
                        f"{self._subjects.where(row.line)}: individual: expected one of the tracks' {known}, "
                        f"got {individual_of(row)!r}"
                    )
        return found

    def _info(self, name: str) -> RecordingInfo:
        from behavior_prism.datasets import RecordingInfo

        row, animals = self.row(name), tuple(self.individuals(name).values())
        groups = {a["group"] for a in self._animals.rows if a["animal"] in animals}
        return RecordingInfo(
            session=row["session"],
            group=row["group"] or (groups.pop() if len(groups) == 1 else ""),
            camera=row["camera"],
            animals=animals,
            notes=row["notes"],
        )

    def source_of(self, name: str) -> tuple[Path | list[Path], dict[str, Any]]:
        """What ``open_video`` needs to open a recording's frames, without its tracks.

        Parameters
        ----------
        name : str
            Of the recording.

        Returns
        -------
        files : pathlib.Path or list of pathlib.Path
            One or several.
        timing : dict
            ``fps`` or ``times``, where ``recordings.csv`` says so.
        """
        return source_of(self.folder, self._recordings, self.row(name))

    @property
    def journal_folder(self) -> Path:
        """Where the journal of labels lies; ``Journal.open`` wants the study's own folder."""
        return self.folder / "labels" / "journal"

    def features_folder(self, recording: str) -> Path:
        """Folder of the feature stores of a recording.

        Parameters
        ----------
        recording : str
            Its name.
        """
        return self._inside("features", recording)

    def feature_path(self, recording: str, key: str) -> Path:
        """Feature store of a recording and a key of settings.

        Parameters
        ----------
        recording : str
            Its name.
        key : str
            Hash of the settings; the first twelve letters name the store.
        """
        if len(key) < 12 or not key.isalnum():
            raise ValueError(f"key: expected the hash of settings, got {key!r}")
        return self.features_folder(recording) / f"{key[:12]}.zarr"

    def predictions_folder(self, probe: str) -> Path:
        """Folder of what a probe predicted: ``<recording>.zarr`` and ``bouts.csv``.

        Parameters
        ----------
        probe : str
            Its name.
        """
        return self._inside("predictions", probe)

    def probe_folder(self, probe: str) -> Path:
        """Folder of a probe.

        Parameters
        ----------
        probe : str
            Its name.
        """
        return self._inside("probes", probe)

    @property
    def reports_folder(self) -> Path:
        """Folder of reports."""
        return self.folder / "reports"

    @property
    def exports_folder(self) -> Path:
        """Folder of files for other tools."""
        return self.folder / "exports"

    def _inside(self, what: str, name: str) -> Path:
        if problem := slug_problem(name):  # no name leaves the folder
            raise ValueError(f"{what}: {problem}")
        return self.folder / what / name

    # what changes it

    def add(self, videos: Sequence[str | Path], **options: Any) -> Any:
        """Add recordings; see :func:`behavior_prism.study_add.add_videos`, which takes the same.

        Parameters
        ----------
        videos : sequence of str or pathlib.Path
            Video files.
        **options : object
            As there.
        """
        from .study_add import add_videos

        return add_videos(self, videos, **options)

    def relocate(self, roots: Sequence[str | Path]) -> Any:
        """Find moved videos again; see :func:`behavior_prism.study_relocate.relocate_videos`, which takes the same.

        Parameters
        ----------
        roots : sequence of str or pathlib.Path
            Folders to look in.
        """
        from .study_relocate import relocate_videos

        return relocate_videos(self, roots)

    def status(self) -> Any:
        """What is there and what is missing; see :func:`behavior_prism.study_status.study_status`."""
        from .study_status import study_status

        return study_status(self)


def _tables(folder: Path) -> tuple[Table, Table, Table]:
    return (
        Table(folder / "recordings.csv", RECORDING_COLUMNS, ("recording", "video")),
        Table(folder / "animals.csv", ANIMAL_COLUMNS, ("animal",)),
        Table(folder / "subjects.csv", SUBJECT_COLUMNS, ("recording", "animal")),
    )


def _frame(table: Table) -> pd.DataFrame:
    import pandas as pd

    columns = [c for c in table.columns if not c.startswith("\0")]
    return pd.DataFrame([{c: row[c] for c in columns} for row in table.rows], columns=columns, dtype=object)
