"""Two writers at once: whatever was read in whatever order, the same files give the same labels."""

from __future__ import annotations

import random
import shutil
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import Journal
from behavior_prism.datasets.journal_file import parse_lines
from behavior_prism.datasets.journal_labels import annotations_of
from behavior_prism.datasets.journal_replay import State, in_order, plain, replay, undone_units


def as_text(journal: Journal) -> str:
    return "\n".join([text_of(journal._files.state), *journal.conflicts])


def text_of(state: State) -> str:
    annotations = annotations_of(state, ids=True)
    parts = [t[sorted(t.columns)].to_json(orient="split") for t in (annotations.bouts, annotations.scored)]
    return "\n".join([*parts, repr(annotations.ethogram)])


ACTS = (
    *("add", "add", "change", "change", "remove", "undo", "undo", "redo", "score", "unscore"),
    *("behavior", "rename", "merge", "together", "refresh", "refresh"),
)


def act(journal: Journal, step: int, rng: random.Random) -> None:  # noqa: C901
    """Do something that makes sense for what this writer sees."""
    seen = journal.annotations(ids=True)
    bouts, names = seen.bouts["bout"].tolist(), [b.name for b in seen.ethogram if b.kind == "state"]
    first = rng.randrange(90)
    ends = {"start_frame": first, "stop_frame": first + rng.randrange(1, 9)}
    what = rng.choice(ACTS)
    if not names or what == "behavior":
        free = sorted({"walk", "rear", "groom", "rest"} - set(names))
        if free:
            journal.add_behavior(rng.choice(free))
    elif what == "add":
        journal.add_bout(rng.choice(names), note=step, **ends)
    elif what == "change" and bouts:
        fields = rng.choice([ends, {"behavior": rng.choice(names)}, {"note": -step}])
        try:
            journal.change_bout(rng.choice(bouts), **fields)
        except ValueError as error:  # of a behaviour whose kind was never known here
            assert "event" in str(error)
    elif what == "remove" and bouts:
        journal.remove_bout(rng.choice(bouts))
    elif what in ("undo", "redo"):
        getattr(journal, what)()
    elif what in ("score", "unscore"):
        mark = journal.mark_scored if what == "score" else journal.mark_unscored
        mark(scorer="", behaviors=rng.choice([None, names[:1]]), **ends)
    elif what == "rename" and (new := rng.choice("xyz")) not in seen.behaviors:
        journal.rename_behavior(rng.choice(names), new)
    elif what == "merge" and len(names) > 1:
        journal.merge_behavior(*rng.sample(names, 2), scored=rng.choice(["both", "either"]))
    elif what == "together" and bouts:
        journal.append_together(
            [("remove", {"bout": bouts[0]}), ("change", {"bout": bouts[-1], "set": {"note": step}})]
        )
    elif what == "refresh":
        journal.refresh()


@given(st.integers(0, 1 << 32), st.integers(10, 50))
@settings(max_examples=40)
def test_any_interleaving_gives_one_state(tmp_path_factory, seed, steps):
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("j")
    with Journal.open(folder, writer="ann") as ann, Journal.open(folder, writer="bob") as bob:
        for step in range(steps):
            act(rng.choice([ann, bob]), step, rng)
        ann.refresh()
        bob.refresh()
        expected = as_text(ann)
        # what was followed entry by entry is what a replay gives
        assert as_text(bob) == expected
        assert plain(replay(ann._files.entries())) == plain(ann._files.state)
        undo = {one.writer: (one.can_undo, one.can_redo) for one in (ann, bob)}

        entries = [e for path in ann.folder.glob("*.jsonl") for e in parse_lines(path.read_bytes(), "")[0]]
        for _ in range(4):
            rng.shuffle(entries)
            assert text_of(replay(entries)) == text_of(ann._files.state)
        assert text_of(replay(entries + entries)) == text_of(ann._files.state)  # a copy of a file changes nothing

    # from the snapshot, from zero, and from a snapshot of any earlier moment
    fresh = Journal.open(folder)
    assert fresh._files._entries is None and as_text(fresh) == expected
    snapshot = fresh.folder / "snapshot.json"
    snapshot.unlink()
    assert as_text(Journal.open(folder)) == expected
    lines = {path: path.read_bytes().splitlines(keepends=True) for path in fresh.folder.glob("*.jsonl")}
    early = folder / "early"
    early.mkdir()
    for path, all_lines in lines.items():
        place = early / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"".join(all_lines[: rng.randrange(len(all_lines) + 1)]))
    Journal.open(early, writer="eve").close()
    shutil.copy(early / "labels/journal/snapshot.json", snapshot)
    (fresh.folder / "eve.jsonl").touch()
    assert as_text(Journal.open(folder)) == expected
    for writer, both in undo.items():
        with Journal.open(folder, writer=writer) as again:
            assert (again.can_undo, again.can_redo) == both

    # made small, by both or by one
    with Journal.open(folder, writer="ann") as ann, Journal.open(folder, writer="bob") as bob:
        history = [e.id for e in ann.history()]
        tables = as_text(ann).split("\n")[:3]
        ann.compact(undo_steps=rng.choice([0, 2, 5]))
        if rng.random() < 0.5:
            bob.compact(undo_steps=rng.choice([0, 2, 5]))
        ann.refresh()
        assert as_text(ann).split("\n")[:3] == tables
        assert [e.id for e in ann.history(archive=True)] == history
        assert ann.problems == []


@given(st.integers(0, 1 << 32))
@settings(max_examples=30)
def test_undo_of_everything_leaves_nothing(tmp_path_factory, seed):
    rng = random.Random(seed)
    with Journal.open(tmp_path_factory.mktemp("j"), writer="ann") as journal:
        states = [as_text(journal)]
        for step in range(15):
            before = len(journal.history())
            act(journal, step, rng)
            if len(journal.history()) > before:
                states.append(as_text(journal))
        while journal.undo():
            pass
        assert as_text(journal) == states[0]
        while journal.redo():
            pass
        while journal.undo():
            pass
        assert as_text(journal) == states[0]


def test_order_is_by_clock_then_writer(tmp_path):
    with Journal.open(tmp_path, writer="bob") as bob, Journal.open(tmp_path, writer="ann") as ann:
        bob.add_behavior("b")
        ann.add_behavior("a")  # neither has seen the other
        ann.refresh()
        ann.add_behavior("c")
        entries = ann.history()
        assert [(e.clock, e.writer, e.seq) for e in entries] == [(1, "ann", 1), (1, "bob", 1), (2, "ann", 2)]
        assert all(a.key < b.key for a, b in pairwise(entries))
        assert in_order(reversed(entries)) == entries and undone_units(entries) == set()
