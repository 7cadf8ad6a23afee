"""What a module of this folder states about its format, and what its functions are given.

A module holds ``FORMAT`` and the functions ``recognise(sample) -> bool``, ``read(reading) -> Annotations`` and, where
the format can be written, ``write(annotations, writing) -> None``. Readers keep the unit of their file (frames or
seconds, the other NA) and make intervals half-open and 0-based; the hub places them on the frames of a recording. What
a reader had to assume or leave out goes to ``reading.report``; what a format cannot hold goes to ``writing.report``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..annotations import Annotations
from ..match_report import MatchReport

HEAD_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class LabelFormat:
    """One format, as the table of formats shows it.

    Parameters
    ----------
    name : str
        The word for ``format=`` and ``--format``.
    title : str
        What people call it.
    suffixes : tuple of str
        File endings, lower case; the first is given to files that are written.
    base : {0, 1} or None
        Number of the first frame in the file; None if it counts in seconds.
    end : {"inclusive", "exclusive"} or None
        Whether the last frame of a bout belongs to it; None if the file has one row per frame.
    unit : {"frames", "seconds", "both"}
        What the file counts in.
    unlabelled : str
        What a frame without a label means, in a few words.
    evidence : {"real files", "documentation only"}
        What the module was tested against.
    several : bool
        Whether a file can speak of several recordings.
    writes : bool
        Whether it can be written.
    options : tuple of str
        Facts that only this format asks for when it is written (the session of an NWB file).
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    base: Literal[0, 1] | None
    end: Literal["inclusive", "exclusive"] | None
    unit: Literal["frames", "seconds", "both"]
    unlabelled: str
    evidence: Literal["real files", "documentation only"]
    several: bool = False
    writes: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """The beginning of a file, for telling its format.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    head : bytes
        Its first 64 KiB; of a gzip file the first 64 KiB within.
    """

    path: Path
    head: bytes

    @property
    def suffix(self) -> str:
        """Last ending of the name, lower case; two endings if the last one is ``.gz``."""
        endings = [s.lower() for s in self.path.suffixes]
        return "".join(endings[-2:]) if endings[-1:] == [".gz"] else "".join(endings[-1:])

    @cached_property
    def text(self) -> str:
        """The head as text without a byte-order mark, empty if it is binary."""
        if b"\0" in self.head:
            return ""
        try:
            return self.head.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            # the head may end within a letter; anything earlier is another encoding, and the first lines still tell
            cut = error.start if error.start > len(self.head) - 4 else None
            return self.head[:cut].decode("utf-8-sig" if cut else "latin-1", errors="replace")

    @cached_property
    def lines(self) -> list[str]:
        """Lines of the head that are complete, without those that are empty."""
        lines = self.text.splitlines()
        if len(self.head) == HEAD_BYTES:
            lines = lines[:-1]
        return [line for line in lines if line.strip()]


@dataclass(kw_only=True)
class Reading:
    """What a reader is given.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    recordings : tuple of str
        Names of the recordings at hand, to choose by what the file says; may be empty.
    unscored : tuple of str
        Behaviours of the file that mean "not looked at", not "nothing happened".
    fps : float or None
        Frames per second, where the user said it. Readers need it only to tell units apart; the hub converts.
    report : MatchReport
        To be filled in by ``lose`` and ``note``.
    """

    path: Path
    recordings: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()
    fps: float | None = None
    report: MatchReport = field(default_factory=MatchReport)


@dataclass(kw_only=True)
class Writing:
    """What a writer is given.

    Parameters
    ----------
    path : pathlib.Path
        A temporary name with the right ending; the hub renames it when the writer is through.
    name : str
        The name that the file will have.
    edges : mapping of str to numpy.ndarray
        Frame edges [s] of recordings at hand, by name.
    fps : float or None
        Frames per second, where the user said it.
    onto : pathlib.Path or None
        An existing file to which labels are added (a SimBA features table, a ``.slp``).
    options : mapping of str to object
        Values for some of the format's ``options``.
    report : MatchReport
        To be filled in by ``lose`` and ``note``.
    """

    path: Path
    name: str
    edges: Mapping[str, np.ndarray] = field(default_factory=dict)
    fps: float | None = None
    onto: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    report: MatchReport = field(default_factory=MatchReport)

    def num_frames(self, annotations: Annotations) -> int:
        """Frames of the one recording that is written: of its video, or up to the last row.

        Parameters
        ----------
        annotations : Annotations
            Rows of one recording, with frames.

        Returns
        -------
        int
        """
        for name in annotations.recordings:
            if name in self.edges:
                return len(self.edges[name]) - 1
        ends = [int(t["stop_frame"].max()) for t in (annotations.bouts, annotations.scored) if len(t)]
        self.report.note("the length of the video is not known, the table ends with the last row")
        return max(ends, default=0)

    def rate(self, annotations: Annotations) -> float:
        """Frames per second: as the user said, or of the video, or of rows that know both units.

        Parameters
        ----------
        annotations : Annotations
            Rows of one recording.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If nothing tells it.
        """
        if self.fps:
            return self.fps
        for name in annotations.recordings:
            if name in self.edges and (span := self.edges[name][-1] - self.edges[name][0]) > 0:
                return (len(self.edges[name]) - 1) / span
        for table in (annotations.scored, annotations.bouts):
            known = table[table["start"].notna() & table["start_frame"].notna() & (table["stop"] > table["start"])]
            if len(known):
                spans = (known["stop"] - known["start"]).to_numpy(np.float64)
                frames = (known["stop_frame"] - known["start_frame"]).to_numpy(np.float64)
                return float(frames[spans.argmax()] / spans.max())
        raise ValueError(f"{self.name}: this format needs the frame rate; give fps or the recording")
