"""The journal of labels: everything that was ever done to them, by whom and when, in files that only grow.

``labels/journal/<writer>.jsonl`` in the folder of a study; a file per writer, so that two people on one network drive
never write to the same file. An entry is on the disk before the method that made it returns. What stands is what all
entries together give (:mod:`~.journal_replay` has the rules), the same for everybody who has the same files.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from .annotations import Annotations
from .ethogram import Ethogram
from .journal_archive import compacted, read_archive, write_archive
from .journal_edits import JournalEdits
from .journal_entry import Entry, encode, new_id, now, writer_slug
from .journal_file import OtherHand, OwnFile, Problem, write_whole
from .journal_labels import annotations_of, ethogram_of
from .journal_operations import check_operation
from .journal_reading import JournalFiles
from .journal_replay import UndoStack

FOLDER = ("labels", "journal")


class Journal(JournalEdits):
    """Labels of a study, and how they came to be.

    Open one with :meth:`Journal.open` and close it, or use it in a ``with`` block.

    Examples
    --------
    >>> with Journal.open(folder, writer="ann") as journal:  # doctest: +SKIP
    ...     journal.add_behavior("rear")
    ...     bout = journal.add_bout("rear", recording="r1", start_frame=10, stop_frame=25)
    ...     journal.rename_behavior("rear", "rearing")
    ...     journal.undo()
    ...     labels = journal.annotations()

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the journal.
    writer : str or None
        Who writes; None only reads.
    """

    def __init__(self, folder: Path, writer: str | None) -> None:
        self.folder = folder
        self._own = None
        if writer is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._own = OwnFile(folder, writer_slug(writer))
        self._files = JournalFiles(folder)
        self._moved: list[Problem] = []
        self._lock = threading.RLock()
        try:
            self._files.open()
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, folder: str | Path, *, writer: str | None = None) -> Self:
        """Open the journal of a study.

        Parameters
        ----------
        folder : str or pathlib.Path
            Folder of the study.
        writer : str, optional
            Who writes. If another process writes under that name, ``<writer>-2`` and so on is taken, see
            :attr:`writer`. By default the journal can only be read, and nothing is made on the disk.

        Returns
        -------
        Journal

        Raises
        ------
        OSError
            If ``writer`` is given and the folder cannot be written to.
        ValueError
            If the folder is not there, or the name of the writer has no letter or digit.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ValueError(f"{folder}: expected the folder of a study, there is none")
        return cls(folder.joinpath(*FOLDER), writer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Keep a snapshot and let the file go; safe to call again."""
        if self._own is not None:
            with contextlib.suppress(OSError):  # a full disk costs time at the next opening
                self.refresh()
                self._files.keep_snapshot()
            self._own.close()
            self._own = None

    @property
    def writer(self) -> str | None:
        """Under which name this journal writes; None if it only reads."""
        return None if self._own is None else self._own.writer

    @property
    def problems(self) -> list[Problem]:
        """What in the files could not be used: file, line, what."""
        return [*self._files.problems, *self._moved]

    @property
    def conflicts(self) -> list[str]:
        """Where entries of two writers did not go together, and what was decided."""
        with self._lock:
            of_names: list[str] = []
            ethogram_of(self._files.state, of_names)
            return [*self._files.state.conflicts, *of_names]

    @property
    def ethogram(self) -> Ethogram:
        """Behaviours as they are now."""
        return self.annotations().ethogram

    def annotations(self, *, ids: bool = False) -> Annotations:
        """Labels as they are now, as far as this journal has read; see :meth:`refresh`.

        Parameters
        ----------
        ids : bool
            Whether the bouts have a column ``bout`` with the id that :meth:`change_bout` and :meth:`remove_bout` want.

        Returns
        -------
        Annotations
        """
        with self._lock:
            return annotations_of(self._files.state, ids=ids)

    def refresh(self) -> bool:
        """Read what others have written since.

        Returns
        -------
        bool
            Whether there was anything.
        """
        with self._lock:
            if self._own is not None:
                try:
                    self._own.check()
                except OtherHand as error:
                    self._move(str(error), [])
            return self._files.refresh()

    def history(self, *, archive: bool = False) -> list[Entry]:
        """Every entry in the merged order, also those that were undone.

        Parameters
        ----------
        archive : bool
            Also those that :meth:`compact` moved to the archive, in place of what it wrote instead of them.

        Returns
        -------
        list of Entry
        """
        with self._lock:
            entries = self._files.entries()
            if not archive:
                return entries
            old, problems = read_archive(self.folder)
            self._files.archive_problems = problems
            found = {e.id: e for e in [*entries, *old] if not e.base and e.op != "compacted"}
            return sorted(found.values(), key=lambda e: e.key)

    # writing

    def append(self, op: str, data: Mapping[str, Any]) -> Entry:
        """Write one entry; the named methods do this with what they are given.

        Parameters
        ----------
        op : str
            What is done, one of :data:`~.journal_operations.OPERATIONS`.
        data : mapping
            Its particulars.

        Returns
        -------
        Entry
            It is on the disk.

        Raises
        ------
        ValueError
            If it could not be replayed. Nothing was written.
        OSError
            If it could not be written. Nothing has changed.
        """
        return self._write([(op, dict(data))])[0]

    def append_together(self, operations: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
        """Write several entries that count all or not at all, and are undone in one step.

        Parameters
        ----------
        operations : iterable of (str, mapping)
            As in :meth:`append`.

        Returns
        -------
        str
            Id of the transaction, which an undo names.

        Raises
        ------
        ValueError, OSError
            As :meth:`append`.
        """
        return self._write([(op, dict(data)) for op, data in operations], tx=new_id())[-1].tx

    def _write(self, operations: Sequence[tuple[str, dict[str, Any]]], tx: str = "") -> list[Entry]:
        with self._lock:
            if self._own is None:
                raise ValueError("the journal was opened to be read; name a writer to change it")
            for op, data in operations:
                check_operation(op, data)
                if op in ("commit", "compacted") or (tx and op in ("undo", "redo")):
                    raise ValueError(f"{op!r} is written by the journal alone")
            if tx:
                operations = [*operations, ("commit", {"parts": len(operations)})]
            writer, number, clock = (
                self._own.writer,
                self._files.numbers.get(self._own.writer, 0),
                self._files.clock + 1,
            )
            entries = [
                Entry(new_id(), writer, number + k, clock, now(), op, data, tx)
                for k, (op, data) in enumerate(operations, 1)
            ]
            lines = [encode(entry) for entry in entries]
            # the commit only once all the rest is on the disk
            blocks = [b"".join(lines[:-1]), lines[-1]] if tx and len(lines) > 1 else [b"".join(lines)]
            try:
                self._own.append(*blocks)
            except OtherHand as error:
                self._move(str(error), blocks)
            self._files.wrote(entries)
            return entries

    def _move(self, why: str, blocks: Sequence[bytes]) -> None:
        assert self._own is not None
        old, lines = self._own, [*self._own.lines, *blocks]
        new = old.moved()
        missing = b"".join(b for b in lines if b not in new.lines)
        if missing:
            new.append(missing)
        self._own = new
        self._moved.append(
            Problem(
                f"{old.writer}.jsonl",
                0,
                f"changed by another process ({why}); this session goes on in {new.writer}.jsonl",
            )
        )

    # undo

    @property
    def can_undo(self) -> bool:
        """Whether this writer has done something that can be undone."""
        return bool(self._stack().undo)

    @property
    def can_redo(self) -> bool:
        """Whether this writer has undone something and done nothing else since."""
        return bool(self._stack().redo)

    def undo(self) -> Entry | None:
        """Undo what this writer did last, also in an earlier session; the last thousand steps can be undone.

        Returns
        -------
        Entry or None
            The entry of the undo; None if there is nothing left. What others changed meanwhile stays:
            see :attr:`conflicts`.
        """
        return self._step("undo")

    def redo(self) -> Entry | None:
        """Do again what this writer undid last.

        Returns
        -------
        Entry or None
            The entry of the redo; None if there is nothing, or something else was done since.
        """
        return self._step("redo")

    def _step(self, op: Literal["undo", "redo"]) -> Entry | None:
        with self._lock:
            steps = getattr(self._stack(), op)
            return self.append(op, {"entry": steps[-1]}) if steps else None

    def _stack(self) -> UndoStack:
        return self._files.state.stacks.get(self.writer or "", UndoStack())

    # upkeep

    def compact(self, *, undo_steps: int = 100) -> int:
        """Make this writer's file small: lines that say nothing any more move to the archive.

        Parameters
        ----------
        undo_steps : int
            Steps that can still be undone afterwards.

        Returns
        -------
        int
            Lines that were moved; ``history(archive=True)`` still has them.

        Raises
        ------
        OSError
            If something could not be written. Nothing is lost: lines may be in both places then, and count once.
        """
        with self._lock:
            if self._own is None:
                raise ValueError("the journal was opened to be read; name a writer to compact it")
            self._files.refresh()
            work = compacted(self._own.path, self._files, self._own.writer, undo_steps)
            if work is None:
                return 0
            moved, content = work
            write_archive(self.folder, self._own.writer, moved)
            write_whole(self._own.path, content)
            self._own.replaced(content)
            self._files.refresh()
            return len(moved)
