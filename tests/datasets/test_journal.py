"""What a journal of labels does, one writer or several, over sessions."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from behavior_prism.datasets import Annotations, Behavior, Ethogram, Journal, annotations_from_intervals, empty_table
from behavior_prism.datasets.journal_entry import writer_slug

FRAMES = ["start_frame", "stop_frame"]


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path, writer="Ann") as journal:
        journal.add_behavior(Behavior(name="rear", key="r"))
        yield journal


def frames(journal: Journal) -> list[list[int]]:
    return journal.annotations().bouts[FRAMES].values.tolist()


def scored(journal: Journal) -> list[list]:
    return journal.annotations().scored[["behavior", *FRAMES]].values.tolist()


def as_text(annotations: Annotations) -> str:
    parts = [t[sorted(t.columns)].to_json(orient="split") for t in (annotations.bouts, annotations.scored)]
    return "\n".join([*parts, repr(annotations.ethogram)])


def test_a_bout_is_added_changed_removed(journal):
    bout = journal.add_bout("rear", recording="r", individual="m1", start_frame=3, stop_frame=9, comment="at the wall")
    row = journal.annotations(ids=True).bouts.iloc[0]
    assert row["bout"] == bout
    assert (row["recording"], row["individual"], row["scorer"], row["comment"]) == ("r", "m1", "ann", "at the wall")
    journal.change_bout(bout, stop_frame=12, comment="")
    assert frames(journal) == [[3, 12]]
    journal.remove_bout(bout)
    assert frames(journal) == []
    with pytest.raises(ValueError, match="there is none, or it was removed"):
        journal.change_bout(bout, stop_frame=4)


def test_seconds_that_frames_no_longer_fit_are_not_kept(journal):
    bout = journal.add_bout("rear", start_frame=3, stop_frame=9, start=0.3, stop=0.9)
    journal.change_bout(bout, stop_frame=12)
    assert journal.annotations().bouts[["start", "stop"]].isna().all(axis=None)
    journal.change_bout(bout, start=0.5, stop=0.7)
    assert journal.annotations().bouts["start_frame"].isna().all()


def test_undo_and_redo_over_sessions(tmp_path):
    with Journal.open(tmp_path, writer="ann") as journal:
        journal.add_behavior("rear")
        bout = journal.add_bout("rear", start_frame=3, stop_frame=9)
        journal.change_bout(bout, stop_frame=12)
        journal.remove_bout(bout)
    seen = []
    for _ in range(4):
        with Journal.open(tmp_path, writer="ann") as journal:
            assert journal.undo()
            seen.append(frames(journal))
    assert seen == [[[3, 12]], [[3, 9]], [], []]
    with Journal.open(tmp_path, writer="ann") as journal:
        assert journal.undo() is None and not journal.can_undo
        assert journal.annotations().behaviors == ()
        for _ in range(3):
            journal.redo()
        assert frames(journal) == [[3, 12]]
        journal.add_bout("rear", start_frame=20, stop_frame=21)
        assert journal.redo() is None  # something else was done since
        assert len(journal.history()) == 4 + 4 + 3 + 1


def test_undo_is_of_the_own_entries_alone(tmp_path):
    with Journal.open(tmp_path, writer="ann") as ann, Journal.open(tmp_path, writer="bob") as bob:
        ann.add_behavior("rear")
        ann.add_bout("rear", start_frame=3, stop_frame=9)
        bob.refresh()
        bob.add_bout("rear", start_frame=30, stop_frame=90)
        ann.refresh()
        ann.undo()
        assert frames(ann) == [[30, 90]]
        bob.refresh()
        assert frames(bob) == [[30, 90]]


@pytest.mark.parametrize(
    ("steps", "expected", "conflict"),
    [
        # bob changed what ann had changed: his change stays, hers is gone
        ([("ann", "start_frame"), ("bob", "stop_frame"), ("ann", "undo")], [[3, 50]], None),
        # bob changed what ann then undid adding: it stays
        ([("bob", "stop_frame"), ("ann", "undo")], [[3, 50]], "ann undid adding the bout"),
        # and goes when bob takes his change back
        ([("bob", "stop_frame"), ("ann", "undo"), ("bob", "undo")], [], None),
        ([("bob", "stop_frame"), ("ann", "undo"), ("ann", "redo")], [[3, 50]], None),
        # removed by ann while bob, who had not seen it, changed it: it stays removed; undone, his change holds
        ([("ann", "remove"), ("blind bob", "stop_frame")], [], "it stays removed"),
        ([("ann", "remove"), ("blind bob", "stop_frame"), ("ann", "undo")], [[3, 50]], None),
        # removed by both
        ([("ann", "remove"), ("blind bob", "remove")], [], None),
        ([("ann", "remove"), ("blind bob", "remove"), ("ann", "undo")], [], None),
        # removed by bob: ann's undo of adding it, and its redo, change nothing
        ([("bob", "remove"), ("ann", "undo")], [], None),
        ([("bob", "remove"), ("ann", "undo"), ("ann", "redo")], [], None),
    ],
)
def test_undo_of_what_another_changed(tmp_path, steps, expected, conflict):
    with Journal.open(tmp_path, writer="ann") as ann, Journal.open(tmp_path, writer="bob") as bob:
        ann.add_behavior("rear")
        bout = ann.add_bout("rear", start_frame=3, stop_frame=9)
        bob.refresh()
        for who, what in steps:
            own = ann if who == "ann" else bob
            if "blind" not in who:
                own.refresh()
            if what == "remove":
                own.remove_bout(bout)
            elif what in ("undo", "redo"):
                assert getattr(own, what)()
            elif what == "start_frame":  # two fields are two ends of one interval: set together
                own.change_bout(bout, comment="ann's")
            else:
                own.change_bout(bout, stop_frame=50)
        ann.refresh()
        bob.refresh()
        assert frames(ann) == frames(bob) == expected
        assert as_text(ann.annotations()) == as_text(bob.annotations())
        assert ann.conflicts == bob.conflicts
        assert bool(conflict) == bool(ann.conflicts)
        assert conflict is None or conflict in ann.conflicts[0]


def test_renaming_touches_no_bout(journal):
    journal.add_bout("rear", start_frame=3, stop_frame=9)
    before = journal.annotations(ids=True).bouts["bout"].tolist()
    lines = len(journal.history())
    journal.rename_behavior("rear", "rearing")
    assert len(journal.history()) == lines + 1
    after = journal.annotations(ids=True)
    assert after.bouts["behavior"].tolist() == ["rearing"] and after.bouts["bout"].tolist() == before
    assert after.ethogram["rearing"].id == "rear" and after.ethogram["rearing"].key == "r"
    assert journal.add_behavior("rear") == "rear-2"  # the id is taken for good
    assert journal.annotations().bouts["behavior"].tolist() == ["rearing"]


def test_merging_keeps_the_bouts_and_only_what_was_scored_for_both(journal):
    journal.mark_scored(start_frame=0, stop_frame=100)
    journal.add_behavior("wall rear")
    journal.mark_scored(behaviors=["wall rear"], start_frame=50, stop_frame=200)
    journal.add_bout("rear", start_frame=3, stop_frame=9)
    journal.add_bout("wall rear", start_frame=60, stop_frame=70)
    before = as_text(journal.annotations())
    journal.merge_behavior("wall rear", "rear")
    assert journal.annotations().behaviors == ("rear",)
    assert frames(journal) == [[3, 9], [60, 70]] and scored(journal) == [["", 50, 100]]
    journal.undo()
    assert as_text(journal.annotations()) == before
    journal.merge_behavior("wall rear", "rear", scored="either")
    assert scored(journal) == [["", 0, 200]]
    journal.mark_unscored(start_frame=10, stop_frame=20)
    assert scored(journal) == [["", 0, 10], ["", 20, 200]]


def test_a_behaviour_added_later_was_not_looked_for(journal):
    journal.mark_scored(recording="r", start_frame=0, stop_frame=100)
    assert scored(journal) == [["", 0, 100]]
    journal.add_behavior("groom")
    assert scored(journal) == [["rear", 0, 100]]
    journal.mark_scored(recording="r", behaviors=["groom"], start_frame=0, stop_frame=100)
    assert scored(journal) == [["", 0, 100]]
    journal.mark_unscored(recording="r", behaviors=["groom"], start_frame=40, stop_frame=60)
    assert scored(journal) == [["groom", 0, 40], ["groom", 60, 100], ["rear", 0, 100]]


def test_unscored_in_another_unit_asks_for_both(journal):
    journal.mark_scored(start=0, stop=10)
    with pytest.raises(ValueError, match="known in seconds; give both units"):
        journal.mark_unscored(start_frame=10, stop_frame=20)
    journal.mark_unscored(start_frame=30, stop_frame=60, start=1, stop=2)
    assert journal.annotations().scored[["start", "stop"]].values.tolist() == [[0, 1], [2, 10]]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=30))
def test_marks_are_sets_of_frames(tmp_path_factory, marks):
    truth = np.zeros(50, dtype=bool)
    with Journal.open(tmp_path_factory.mktemp("j"), writer="ann") as journal:
        journal.add_behavior("rear")
        for on, start, length in marks:
            mark = journal.mark_scored if on else journal.mark_unscored
            mark(start_frame=start, stop_frame=start + length, start=start / 10, stop=(start + length) / 10)
            truth[start : start + length] = on
        rows = journal.annotations().scored
    found = np.zeros(50, dtype=bool)
    for first, last in rows[FRAMES].values:
        assert not found[first:last].any()
        found[first:last] = True
    np.testing.assert_array_equal(found, truth)
    np.testing.assert_allclose(rows[["start", "stop"]], rows[FRAMES] / 10)


def test_wrong_input_is_refused_and_nothing_written(journal):
    before = len(journal.history())
    for wrong, call in {
        "unknown behaviour 'fly'": lambda: journal.add_bout("fly", start_frame=0, stop_frame=1),
        "got neither": lambda: journal.add_bout("rear"),
        "expected both ends": lambda: journal.add_bout("rear", start_frame=0),
        "expected frames 0 <= start_frame": lambda: journal.add_bout("rear", start_frame=9, stop_frame=3),
        "expected seconds start <= stop": lambda: journal.add_bout("rear", start=float("nan"), stop=1.0),
        "which is a state event": lambda: journal.add_bout("rear", start_frame=3, stop_frame=3),
        "expected text": lambda: journal.add_bout("rear", recording=3, start_frame=3, stop_frame=4),
        "text that is Unicode": lambda: journal.add_bout("rear", recording="\ud800", start_frame=3, stop_frame=4),
        "there already": lambda: journal.add_behavior("rear"),
        "with the key 'r'": lambda: journal.add_behavior(Behavior(name="run", key="r")),
        "unknown operation": lambda: journal.append("explode", {}),
        "written by the journal alone": lambda: journal.append("commit", {"parts": 1}),
        "one moment": lambda: journal.mark_scored(start_frame=3, stop_frame=3),
        "expected a colour": lambda: journal.change_behavior("rear", color="red"),
        "its id never changes": lambda: journal.change_behavior("rear", id="x"),
    }.items():
        with pytest.raises(ValueError, match=wrong):
            call()
    assert len(journal.history()) == before


def test_the_kind_of_a_behaviour_with_bouts_stays(journal):
    journal.change_behavior("rear", kind="point")
    journal.add_bout("rear", start_frame=3, stop_frame=3)
    with pytest.raises(ValueError, match="its 1 bouts are point events"):
        journal.change_behavior("rear", kind="state")


def test_bouts_that_no_longer_fit_their_behaviour_are_still_there(tmp_path):
    with Journal.open(tmp_path, writer="ann") as ann, Journal.open(tmp_path, writer="bob") as bob:
        ann.add_behavior("rear")
        bob.refresh()
        ann.change_behavior("rear", kind="point")
        bob.add_bout("rear", start_frame=3, stop_frame=9)  # has not seen that
        ann.refresh()
        assert ann.annotations().bouts["behavior"].tolist() == ["rear (state)"]


def test_two_people_give_two_behaviours_one_name(tmp_path):
    with Journal.open(tmp_path, writer="ann") as ann, Journal.open(tmp_path, writer="bob") as bob:
        ann.add_behavior("a")
        ann.add_behavior("b")
        bob.refresh()
        ann.rename_behavior("a", "c")
        bob.rename_behavior("b", "c")
        ann.add_behavior("d")
        bob.add_behavior("d")  # the same one
        ann.refresh()
        bob.refresh()
        assert ann.annotations().behaviors == bob.annotations().behaviors == ("c", "c (2)", "d")
        assert ann.conflicts == ["two behaviours are called 'c'; the later one is 'c (2)'"]


def test_an_import_is_one_step(journal):
    intervals = [(10 * k, 10 * k + 5, "walk") for k in range(1700)]
    annotations = annotations_from_intervals(intervals, behaviors=["walk", "rear"], num_frames=17000, fps=25)
    journal.import_annotations(annotations)
    found = journal.annotations()
    assert found.behaviors == ("rear", "walk") and len(found.bouts) == 1700
    pd.testing.assert_frame_equal(found.bouts, annotations.bouts)
    pd.testing.assert_frame_equal(found.scored, annotations.scored)
    longest = max(map(len, (journal.folder / "ann.jsonl").read_bytes().splitlines()))
    assert longest < 40_000
    journal.undo()
    assert journal.annotations().behaviors == ("rear",) and len(journal.annotations().bouts) == 0
    journal.redo()
    pd.testing.assert_frame_equal(journal.annotations().bouts, annotations.bouts)


def test_undoing_an_import_leaves_what_another_changed(tmp_path):
    intervals = [(10 * k, 10 * k + 5, "walk") for k in range(1000)]
    with Journal.open(tmp_path, writer="ann") as ann, Journal.open(tmp_path, writer="bob") as bob:
        ann.import_annotations(annotations_from_intervals(intervals, behaviors=["walk"], num_frames=17000, fps=25))
        bob.refresh()
        bout = bob.annotations(ids=True).bouts["bout"].iloc[700]
        bob.change_bout(bout, comment="really")
        ann.refresh()
        ann.undo()
        left = ann.annotations(ids=True)
        assert left.bouts["bout"].tolist() == [bout] and left.bouts["behavior"].tolist() == ["walk"]


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=5)


@st.composite
def some_annotations(draw):
    behaviors = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    kinds = {name: draw(st.sampled_from(["state", "point"])) for name in behaviors}
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        row = {c: draw(names | st.just("")) for c in ("recording", "individual", "target", "scorer")}
        row["behavior"] = draw(st.sampled_from(behaviors))
        first = draw(st.integers(0, 50))
        last = first if kinds[row["behavior"]] == "point" else first + draw(st.integers(1, 9))
        units = draw(st.sampled_from(["frames", "seconds", "both"]))
        row |= {"start_frame": first, "stop_frame": last} if units != "seconds" else {}
        row |= {"start": first / 7, "stop": last / 7} if units != "frames" else {}
        rows.append({**row, "comment": draw(names | st.just("")), "weight": draw(st.floats(0, 1) | st.none())})
    columns = {c: [r.get(c) for r in rows] for c in ("recording", "individual", "target", "scorer", "behavior")}
    columns |= {c: pd.array([r.get(c) for r in rows], dtype="Int64") for c in FRAMES}
    columns |= {c: np.array([r.get(c) for r in rows], dtype=float) for c in ("start", "stop")}
    if rows:
        columns |= {c: [r.get(c) for r in rows] for c in ("comment", "weight")}
    scored = empty_table(recording=["r1", "r1"], behavior=["", behaviors[0]], start_frame=[0, 90], stop_frame=[50, 99])
    exclusive = [behaviors[:2]] if len(behaviors) > 1 else []
    ethogram = Ethogram([Behavior(name=n, kind=k, code=3) for n, k in kinds.items()], exclusive)  # type: ignore[arg-type]
    return Annotations(bouts=empty_table(**columns), scored=scored, ethogram=ethogram)


@given(some_annotations())
def test_an_import_loses_nothing(tmp_path_factory, annotations):
    folder = tmp_path_factory.mktemp("j")
    with Journal.open(folder, writer="ann") as journal:
        journal.import_annotations(annotations)
        now = journal.annotations()
    (folder / "labels/journal/snapshot.json").unlink()
    for again in (now, Journal.open(folder).annotations()):
        assert again.ethogram == annotations.ethogram

        def rows(table):
            table = table.astype(object).where(table.notna(), None)
            table = table.drop(columns=[c for c in {"weight", "comment"} & set(table) if table[c].isna().all()])
            return sorted(map(repr, table[sorted(table.columns)].to_dict("records")))

        assert rows(again.bouts) == rows(annotations.bouts)
        assert len(again.scored) == len(annotations.scored) + (len(annotations.behaviors) - 1)


def test_an_import_of_another_kind_is_refused(journal):
    rows = empty_table(behavior=["rear"], start_frame=[3], stop_frame=[3])
    point = Annotations(bouts=rows, scored=empty_table(), ethogram=Ethogram([Behavior(name="rear", kind="point")]))
    with pytest.raises(ValueError, match="expected the kind 'state' of the journal"):
        journal.import_annotations(point)


def test_snapshot_is_the_same_as_replay_and_can_go(tmp_path):
    with Journal.open(tmp_path, writer="ann") as journal:
        journal.add_behavior("rear")
        bouts = [journal.add_bout("rear", start_frame=3 * k, stop_frame=3 * k + 2, note=k) for k in range(20)]
        journal.mark_scored(start_frame=0, stop_frame=99)
        journal.remove_bout(bouts[4])
        journal.undo()
        expected = as_text(journal.annotations(ids=True))
    kept = tmp_path / "labels/journal/snapshot.json"
    data = kept.read_bytes()
    with Journal.open(tmp_path, writer="ann") as journal:
        assert journal._files._entries is None  # the snapshot was taken
        assert as_text(journal.annotations(ids=True)) == expected
        assert journal.can_redo and journal.can_undo
        assert len(journal.history()) == 24
    for damage in (b"", data[:-1], data[:40] + b"?" + data[41:], b"null", data.replace(b"rear", b"roar"), None):
        if damage is None:
            kept.unlink()
        else:
            kept.write_bytes(damage)
        again = Journal.open(tmp_path)
        assert as_text(again.annotations(ids=True)) == expected and again.problems == []
        assert again._files._entries is not None


def test_stale_snapshot_is_followed_or_left(tmp_path):
    with Journal.open(tmp_path, writer="ann") as ann:
        ann.add_behavior("rear")
        ann.add_bout("rear", start_frame=1, stop_frame=2)
    kept = tmp_path / "labels/journal/snapshot.json"
    data = kept.read_bytes()
    with Journal.open(tmp_path, writer="bob") as bob:
        bob.add_bout("rear", start_frame=3, stop_frame=4)
    kept.write_bytes(data)
    follow = Journal.open(tmp_path)
    assert follow._files._entries is None and frames(follow) == [[1, 2], [3, 4]]
    with Journal.open(tmp_path, writer="bob") as bob:
        bob.undo()
    kept.write_bytes(data)
    left = Journal.open(tmp_path)
    assert left._files._entries is not None and frames(left) == [[1, 2]]


def test_compaction_keeps_labels_and_history(tmp_path):
    with Journal.open(tmp_path, writer="ann") as ann, Journal.open(tmp_path, writer="bob") as bob:
        ann.add_behavior("rear")
        bouts = [ann.add_bout("rear", start_frame=3 * k, stop_frame=3 * k + 2) for k in range(40)]
        bob.refresh()
        bob.change_bout(bouts[3], comment="mine")
        bob.remove_bout(bouts[9])
        ann.refresh()
        for bout in bouts[5:9]:
            ann.remove_bout(bout)
        for _ in range(2):
            ann.undo()
        ann.mark_scored(start_frame=0, stop_frame=99)
        everything = [e.id for e in ann.history()]
        before, size = as_text(ann.annotations(ids=True)), (ann.folder / "ann.jsonl").stat().st_size
        assert ann.compact(undo_steps=2) > 40
        assert (ann.folder / "ann.jsonl").stat().st_size < size / 3
        bob.refresh()
        for one in (ann, bob):
            assert as_text(one.annotations(ids=True)) == before and one.problems == []
            assert [e.id for e in one.history(archive=True)] == everything
            assert len(one.history()) < len(everything)
        bob.undo()  # bouts[9] is back: ann's line of it was kept
        ann.refresh()
        assert len(ann.annotations().bouts) == 38
        steps = 0
        while ann.undo():
            steps += 1
        assert steps == 2
        ann.rename_behavior("rear", "rearing")
        assert ann.compact(undo_steps=0) > 0
        assert [e.id for e in ann.history(archive=True) if e.op not in ("undo", "redo")][:10] == everything[:10]
        assert ann.compact(undo_steps=0) == 0
        ann.add_bout("rearing", start_frame=500, stop_frame=502)
        last = as_text(ann.annotations(ids=True))
    (tmp_path / "labels/journal/snapshot.json").unlink()
    assert as_text(Journal.open(tmp_path).annotations(ids=True)) == last


def test_compaction_stopped_half_way_loses_nothing(tmp_path, monkeypatch):
    import behavior_prism.datasets.journal as module

    with Journal.open(tmp_path, writer="ann") as journal:
        journal.add_behavior("rear")
        journal.remove_bout(journal.add_bout("rear", start_frame=1, stop_frame=2))
        journal.add_bout("rear", start_frame=3, stop_frame=4)
        before, history = as_text(journal.annotations(ids=True)), journal.history()

        def full(path, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(module, "write_whole", full)
        with pytest.raises(OSError, match="No space left"):
            journal.compact(undo_steps=0)
        monkeypatch.undo()
        assert as_text(journal.annotations(ids=True)) == before
        assert journal.history(archive=True) == history
        journal.add_bout("rear", start_frame=5, stop_frame=6)
        assert frames(journal) == [[3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Ann", "ann"),
        ("../../etc/passwd", "etc-passwd"),
        ("..\\..\\x", "x"),
        ("/abs", "abs"),
        ("C:\\Users\\Ann", "c-users-ann"),
        ("a\0b\nc", "a-b-c"),
        ("nul", "writer-nul"),
        ("COM1", "writer-com1"),
        ("ネズミ", "ネズミ"),
        ("x" * 500, "x" * 40),
        (".hidden", "hidden"),
        ("snapshot.json", "snapshot-json"),
    ],
)
def test_writer_names_stay_in_the_folder(tmp_path, name, slug):
    assert writer_slug(name) == slug
    with Journal.open(tmp_path, writer=name) as journal:
        assert journal.writer == slug
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} <= {f"{slug}.jsonl", f"{slug}.lock", "snapshot.json"}


@pytest.mark.parametrize("name", ["", "..", "///", " . ", "\0"])
def test_writers_without_a_name_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="expected a name with letters or digits"):
        Journal.open(tmp_path, writer=name)


def test_reading_makes_nothing_on_the_disk(tmp_path):
    journal = Journal.open(tmp_path)
    assert len(journal.annotations().bouts) == 0 and journal.history() == [] and not journal.can_undo
    with pytest.raises(ValueError, match="opened to be read"):
        journal.add_behavior("rear")
    journal.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="expected the folder of a study"):
        Journal.open(tmp_path / "none", writer="ann")


def test_wall_time_backwards_changes_no_order(tmp_path, monkeypatch):
    import behavior_prism.datasets.journal as module

    times = iter(["2030-01-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00", "2020-01-01T00:00:00+00:00"])
    monkeypatch.setattr(module, "now", lambda: next(times))
    with Journal.open(tmp_path, writer="ann") as journal:
        journal.add_behavior("rear")
        bout = journal.add_bout("rear", start_frame=1, stop_frame=2)
        journal.change_bout(bout, stop_frame=5)
    again = Journal.open(tmp_path)
    assert [e.op for e in again.history()] == ["add_behavior", "add", "change"] and frames(again) == [[1, 5]]


def test_lines_are_plain_json(journal):
    journal.add_bout("rear", recording="毛づくろい\u2028", start_frame=1, stop_frame=2)
    for line in (journal.folder / "ann.jsonl").read_bytes().splitlines():
        entry = json.loads(line)
        assert {"crc", "id", "writer", "seq", "clock", "time", "op", "data"} <= set(entry)
