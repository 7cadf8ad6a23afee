"""What people do to labels, each a method that writes one entry (or one transaction) of the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from .annotations import Annotations
from .bout_rows import WHOLE_VIEW
from .ethogram import Behavior, Ethogram
from .journal_entry import Entry
from .journal_labels import behavior_fields, ethogram_of, free_id, import_operations, plain_value
from .journal_operations import ENDS, NAMES, Row, check_ends, is_point, table_of
from .journal_reading import JournalFiles


class JournalEdits:
    """The named operations of :class:`~.journal.Journal`, on top of its ``append``."""

    _files: JournalFiles
    _lock: Any

    @property
    def writer(self) -> str | None:
        """Under which name this journal writes; None if it only reads."""
        raise NotImplementedError

    def append(self, op: str, data: Mapping[str, Any]) -> Entry:
        """Write one entry; see :meth:`Journal.append`.

        Parameters
        ----------
        op : str
            What is done.
        data : mapping
            Its particulars.
        """
        raise NotImplementedError

    def append_together(self, operations: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
        """Write several entries in one step; see :meth:`Journal.append_together`.

        Parameters
        ----------
        operations : iterable of (str, mapping)
            What is done, in this order.
        """
        raise NotImplementedError

    def add_bout(
        self,
        behavior: str,
        *,
        recording: str = "",
        individual: str = WHOLE_VIEW,
        target: str = "",
        scorer: str | None = None,
        start_frame: int | None = None,
        stop_frame: int | None = None,
        start: float | None = None,
        stop: float | None = None,
        **notes: Any,
    ) -> str:
        """Add a bout, or a point event (its start is its stop).

        Parameters
        ----------
        behavior : str
            Name of a behaviour that is known.
        recording, individual, target : str
            Where, who, and to whom.
        scorer : str, optional
            Who saw it; by default the writer.
        start_frame, stop_frame : int, optional
            Half-open, from 0.
        start, stop : float, optional
            Seconds. Frames or seconds must be given.
        **notes : str, int, float or bool
            Further columns, such as ``comment``.

        Returns
        -------
        str
            Id of the bout.
        """
        row = {"recording": recording, "individual": individual, "target": target}
        row |= {"scorer": self.writer or "" if scorer is None else scorer, **notes}
        row |= _ends(start_frame, stop_frame, start, stop)
        with self._lock:
            row["behavior"] = self._id(behavior)
            self._check_kind(row["behavior"], row)
            return self.append("add", table_of([_plain(row)])).id

    def remove_bout(self, bout: str) -> None:
        """Remove a bout.

        Parameters
        ----------
        bout : str
            Its id.
        """
        with self._lock:
            self._row(bout)
            self.append("remove", {"bout": bout})

    def change_bout(self, bout: str, **fields: Any) -> None:
        """Change what is said of a bout.

        Parameters
        ----------
        bout : str
            Its id.
        **fields
            Columns; ``behavior`` is a name. If frames are changed and seconds are not, the seconds are no longer
            known, and the other way round.
        """
        with self._lock:
            row = self._row(bout)
            if "behavior" in fields:
                fields["behavior"] = self._id(fields["behavior"])
            if given := [name for name in ENDS if name in fields]:
                for pair in (ENDS[:2], ENDS[2:]):
                    for name in pair:  # the unit that is not mentioned would say something else than the new one
                        fields.setdefault(name, row[name] if set(given) & set(pair) else None)
                fields |= _ends(*(fields[name] for name in ENDS))
            changed = {**row, **fields}
            self._check_kind(changed["behavior"], changed)
            self.append("change", {"bout": bout, "set": _plain(fields)})

    # what was scored

    def mark_scored(
        self,
        *,
        recording: str = "",
        individual: str = WHOLE_VIEW,
        target: str = "",
        scorer: str | None = None,
        behaviors: Iterable[str] | None = None,
        start_frame: int | None = None,
        stop_frame: int | None = None,
        start: float | None = None,
        stop: float | None = None,
    ) -> None:
        """Say that an interval was looked at.

        Parameters
        ----------
        recording, individual, target : str
            Where, who, and to whom.
        scorer : str, optional
            Who looked; by default the writer.
        behaviors : iterable of str, optional
            For which behaviours; by default for all that are known now. One that is added later was not looked for.
        start_frame, stop_frame : int, optional
            Half-open, from 0.
        start, stop : float, optional
            Seconds. Frames or seconds must be given.
        """
        ends = _ends(start_frame, stop_frame, start, stop)
        self._mark("score", (recording, individual, target, scorer), behaviors, ends)

    def mark_unscored(
        self,
        *,
        recording: str = "",
        individual: str = WHOLE_VIEW,
        target: str = "",
        scorer: str | None = None,
        behaviors: Iterable[str] | None = None,
        start_frame: int | None = None,
        stop_frame: int | None = None,
        start: float | None = None,
        stop: float | None = None,
    ) -> None:
        """Say that an interval was not looked at.

        Parameters
        ----------
        recording, individual, target, scorer, behaviors, start_frame, stop_frame, start, stop
            As in :meth:`mark_scored`.

        Raises
        ------
        ValueError
            If what was scored there is known in the other unit only; give both units then.
        """
        ends = _ends(start_frame, stop_frame, start, stop)
        self._mark("unscore", (recording, individual, target, scorer), behaviors, ends)

    def _mark(self, op: str, who: tuple[str, str, str, str | None], behaviors: Iterable[str] | None, ends: Row) -> None:
        with self._lock:
            state = self._files.state
            every = list(ethogram_of(state)) if behaviors is None else [self._id(name) for name in behaviors]
            if not every:
                raise ValueError("expected behaviours that were looked for, the ethogram is empty")
            recording, individual, target, scorer = who
            scorer = (self.writer or "") if scorer is None else scorer
            in_frames = ends["start_frame"] is not None
            if op == "unscore" and (not in_frames or ends["start"] is None):
                for behavior in every:
                    if state.scored.get((recording, individual, target, scorer, behavior, not in_frames)):
                        raise ValueError(
                            f"what was scored of {recording or 'the recording'} is known in "
                            f"{'seconds' if in_frames else 'frames'}; give both units"
                        )
            row = {"recording": recording, "individual": individual, "target": target, "scorer": scorer, **ends}
            self.append(op, {**table_of([row]), "every": every})

    # the ethogram

    def add_behavior(self, behavior: Behavior | str) -> str:
        """Add a behaviour to the ethogram.

        Parameters
        ----------
        behavior : Behavior or str
            Its name must be free.

        Returns
        -------
        str
            Its id: its own where that is free.
        """
        behavior = behavior if isinstance(behavior, Behavior) else Behavior(name=behavior)
        with self._lock:
            self._check_free(name=behavior.name, key=behavior.key)
            behavior = replace(behavior, id=free_id(self._files.state, behavior))
            self.append("add_behavior", {"behavior": behavior_fields(behavior)})
            return behavior.id

    def rename_behavior(self, old: str, new: str) -> None:
        """Call a behaviour by another name; no bout is touched.

        Parameters
        ----------
        old, new : str
            Names; ``new`` must be free. To make one of two, see :meth:`merge_behavior`.
        """
        self.change_behavior(old, name=new)

    def change_behavior(self, behavior: str, **fields: Any) -> None:
        """Change what is said of a behaviour.

        Parameters
        ----------
        behavior : str
            Its name.
        **fields
            Of :class:`Behavior`, except ``id``. The kind can change only while no bout speaks of it.
        """
        with self._lock:
            found = self._id(behavior)
            now_known = ethogram_of(self._files.state)[found]
            changed = replace(now_known, **fields)
            if "id" in fields:
                raise ValueError(f"behaviour {behavior!r}: its id never changes")
            new = {name: fields[name] for name in ("name", "key") if name in fields}
            self._check_free(**{name: value for name, value in new.items() if value != getattr(now_known, name)})
            if changed.kind != now_known.kind:
                count = sum(self._files.state.root(r["behavior"]) == found for r in self._files.state.bouts.values())
                if count:
                    raise ValueError(f"behaviour {behavior!r}: its {count} bouts are {now_known.kind} events")
            self.append("change_behavior", {"behavior": found, "set": dict(fields)})

    def merge_behavior(self, behavior: str, into: str, *, scored: Literal["both", "either"] = "both") -> None:
        """Make one of two behaviours; the bouts of both stay as they are and bear one name.

        Parameters
        ----------
        behavior, into : str
            Names, of one kind; the second stays.
        scored : {"both", "either"}
            Where the one counts as scored: where both were looked for (two behaviours that become one: elsewhere half
            of it may have been missed), or where either was (two names of the same behaviour).
        """
        with self._lock:
            known = ethogram_of(self._files.state)
            old, new = self._id(behavior), self._id(into)
            if old == new:
                raise ValueError(f"behaviour {behavior!r}: expected another one to merge it into")
            if known[old].kind != known[new].kind:
                raise ValueError(f"{behavior!r} is a {known[old].kind} event and {into!r} a {known[new].kind} event")
            self.append("merge_behavior", {"behavior": old, "into": new, "scored": scored})

    def set_exclusive(self, groups: Iterable[Sequence[str]]) -> None:
        """Say which behaviours exclude each other.

        Parameters
        ----------
        groups : iterable of sequence of str
            Names, as in :class:`Ethogram`; takes the place of the groups before.
        """
        with self._lock:
            self.append("exclusive", {"groups": [[self._id(name) for name in group] for group in groups]})

    def import_annotations(self, annotations: Annotations) -> str:
        """Take in labels, all or none of them; one undo takes them out.

        Parameters
        ----------
        annotations : Annotations
            Behaviours that are not known are added, known ones stay as they are. Scored intervals become sets: those
            that overlap or touch become one, and columns beyond those of a bout are not kept for them.

        Returns
        -------
        str
            Id of the transaction.
        """
        with self._lock:
            return self.append_together(import_operations(annotations, self._files.state))

    # what names mean

    def names_here(self, ethogram: Ethogram) -> dict[str, str]:
        """What the journal calls behaviours that were renamed here, or merged into another, since they were taken in.

        Parameters
        ----------
        ethogram : Ethogram
            Behaviours of labels that come from elsewhere.

        Returns
        -------
        dict of str to str
            Only those that have another name here.
        """
        with self._lock:
            state = self._files.state
            known = ethogram_of(state)
        names = {behavior.name for behavior in known.values()}
        same = {b.name: known.get(state.root(b.id)) for b in ethogram if b.name not in names}
        return {name: own.name for name, own in same.items() if own is not None and own.name not in ethogram}

    def _id(self, name: str) -> str:
        known = ethogram_of(self._files.state)
        for i, behavior in known.items():
            if behavior.name == name:
                return i
        raise ValueError(f"unknown behaviour {name!r}: expected one of {[b.name for b in known.values()]}")

    def _row(self, bout: str) -> Row:
        if bout not in self._files.state.bouts:
            raise ValueError(f"bout {bout!r}: there is none, or it was removed")
        return self._files.state.bouts[bout]

    def _check_free(self, **values: str) -> None:
        for behavior in ethogram_of(self._files.state).values():
            for what, value in values.items():
                if value and getattr(behavior, what) == value:
                    raise ValueError(f"behaviour {behavior.name!r}: there already, with the {what} {value!r}")

    def _check_kind(self, behavior: str, row: Row) -> None:
        check_ends(row)
        known = ethogram_of(self._files.state)[self._files.state.root(behavior)]
        if is_point(row) != (known.kind == "point"):
            wanted = "start = stop" if known.kind == "point" else "start < stop"
            raise ValueError(f"expected {wanted} of {known.name!r}, which is a {known.kind} event")


def _ends(first: Any, last: Any, start: Any, stop: Any) -> Row:
    seconds = (None if value is None else float(value) for value in (start, stop))
    return dict(zip(ENDS, (plain_value(first), plain_value(last), *seconds), strict=True))


def _plain(row: Mapping[str, Any]) -> Row:
    return {k: v if k in (*NAMES, *ENDS) else plain_value(v) for k, v in row.items()}
