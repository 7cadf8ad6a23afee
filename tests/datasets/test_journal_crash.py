"""What was reported as done is there: after kill -9, a full disk, damage, a backup, and a second process."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import select
import signal
import time
import zlib
from pathlib import Path

import pytest

from behavior_prism.datasets import Journal, annotations_from_intervals
from behavior_prism.datasets.journal_entry import Entry, decode, encode, new_id

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def folder_of(study: Path) -> Path:
    return study / "labels" / "journal"


def started(study: Path, count: int = 3) -> list[str]:
    with Journal.open(study, writer="ann") as journal:
        journal.add_behavior("rear")
        return [journal.add_bout("rear", start_frame=k, stop_frame=k + 1) for k in range(count)]


def bouts_of(journal: Journal) -> list[str]:
    return journal.annotations(ids=True).bouts["bout"].tolist()


def in_child(work) -> tuple[int, int]:
    """Run something in a forked process; the pipe brings what it writes to its handle."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        try:
            work(theirs)
        except BaseException as error:  # nothing of pytest may run here
            os.write(2, repr(error).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    return pid, ours


def everything_from(handle: int) -> bytes:
    out = b""
    while part := os.read(handle, 1 << 16):
        out += part
    os.close(handle)
    return out


def keep_writing(study: Path, seed: int):
    def work(pipe: int) -> None:
        rng = random.Random(seed)
        with Journal.open(study, writer="ann") as journal:
            if not journal.annotations().behaviors:
                journal.add_behavior("rear")
            while True:
                kind = rng.randrange(12)
                if kind == 0:
                    intervals = [(9 * k, 9 * k + 5, "rear") for k in range(rng.randrange(1, 1200))]
                    annotations = annotations_from_intervals(intervals, behaviors=["rear"], num_frames=99999, fps=25)
                    tx = journal.import_annotations(annotations)
                    os.write(pipe, f"{tx} {len(intervals)}\n".encode())
                elif kind == 1:
                    journal.compact(undo_steps=5)
                elif kind == 2:
                    journal._files.keep_snapshot()
                else:
                    bout = journal.add_bout("rear", start_frame=3, stop_frame=9, comment="x" * rng.randrange(2000))
                    os.write(pipe, f"{bout} 1\n".encode())

    return work


@pytest.mark.slow
def test_killed_hundreds_of_times_nothing_reported_is_lost(tmp_path):
    rng = random.Random(0)
    kills = acknowledged = 0
    known: dict[str, int] = {}
    deadline = time.monotonic() + 60
    while kills < 300 and time.monotonic() < deadline:
        study = tmp_path / str(kills // 10)  # each file lives through ten kills
        study.mkdir(exist_ok=True)
        known = known if kills % 10 else {}
        pid, pipe = in_child(keep_writing(study, kills))
        select.select([pipe], [], [], 5)  # it is at work
        time.sleep(rng.random() * 0.03)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        said = everything_from(pipe).split(b"\n")[:-1]
        known |= {line.split()[0].decode(): int(line.split()[1]) for line in said}
        kills, acknowledged = kills + 1, acknowledged + len(said)

        journal = Journal.open(study)
        entries = {e.unit for e in journal.history(archive=True)}
        assert set(known) <= entries
        assert len(journal.annotations().bouts) >= sum(known.values())
        for problem in journal.problems:
            assert "cut short" in problem.what or "damaged" in problem.what or "not finished" in problem.what
        assert not list(study.glob("**/ann-*.jsonl"))  # a lock goes with its process
    assert kills >= 100 and acknowledged > kills
    print(f"{kills} kills, {acknowledged} acknowledged")


def test_file_cut_at_every_byte(tmp_path):
    started(tmp_path)
    path = folder_of(tmp_path) / "ann.jsonl"
    (folder_of(tmp_path) / "snapshot.json").unlink()
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    start = len(lines[0])
    for cut in range(start, len(data) + 1):
        path.write_bytes(data[:cut])
        whole = data[:cut].count(b"\n")
        complete = whole + (data[cut : cut + 1] == b"\n")  # only its line feed is missing
        journal = Journal.open(tmp_path)
        assert len(journal.history()) == complete
        torn = cut - data[:cut].rfind(b"\n") - 1 > 0 and complete == whole
        assert [(p.file, p.line) for p in journal.problems] == ([("ann.jsonl", whole + 1)] if torn else [])
        if cut % 7 and cut < len(data) - 2:
            continue
        with Journal.open(tmp_path, writer="ann") as journal:  # the next entry starts on a line of its own
            bout = journal.add_bout("rear", start_frame=50, stop_frame=60)
            assert bout in bouts_of(journal)
        (folder_of(tmp_path) / "snapshot.json").unlink()
        journal = Journal.open(tmp_path)
        assert len(journal.history()) == complete + 1 and bout in bouts_of(journal)
        assert len(journal.problems) == torn


def test_a_transaction_cut_at_every_line_counts_all_or_not(tmp_path):
    with Journal.open(tmp_path, writer="ann") as journal:
        intervals = [(2 * k, 2 * k + 1, "rear") for k in range(1200)]
        journal.import_annotations(annotations_from_intervals(intervals, behaviors=["rear"], num_frames=9999, fps=25))
    path = folder_of(tmp_path) / "ann.jsonl"
    (folder_of(tmp_path) / "snapshot.json").unlink()
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    for count in range(len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        journal = Journal.open(tmp_path)
        assert len(journal.annotations().bouts) == 0 and journal.annotations().behaviors == ()
        assert len(journal.problems) == (count > 0) and all("not finished" in p.what for p in journal.problems)
    with Journal.open(tmp_path, writer="ann") as journal:
        journal.add_behavior("walk")
        assert journal.undo() and not journal.can_undo
    (folder_of(tmp_path) / "snapshot.json").unlink()
    # a damaged part of a finished one: what is readable counts, the rest is told
    path.write_bytes(b"".join([*lines[:2], lines[2][:50] + b"#" + lines[2][51:], *lines[3:]]))
    journal = Journal.open(tmp_path)
    assert len(journal.annotations().bouts) == 700
    assert [str(p) for p in journal.problems] == ["ann.jsonl, line 3: damaged: the checksum does not fit"]


def test_every_flipped_bit_is_found(tmp_path):
    bouts = started(tmp_path)
    path = folder_of(tmp_path) / "ann.jsonl"
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    begin = len(lines[0]) + len(lines[1])
    rng = random.Random(1)
    for position in range(begin, begin + len(lines[2])):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        journal = Journal.open(tmp_path)
        assert journal.problems and journal.problems[0].line == 3
        left = bouts_of(journal)
        assert bouts[0] in left and bouts[1] not in left
        if position < begin + len(lines[2]) - 1:  # else the line feed: two lines became one
            assert bouts[2] in left
    path.write_bytes(data.replace(b"\n", b"\r\n"))  # an editor that changes line ends damages nothing
    journal = Journal.open(tmp_path)
    assert bouts_of(journal) == bouts and journal.problems == []


def test_full_disk_by_the_system(tmp_path):
    """RLIMIT_FSIZE: the kernel itself cuts a write short and refuses the next."""
    started(tmp_path)

    def work(pipe: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in range(1200, 3000, 37):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            journal = Journal.open(tmp_path, writer="ann")
            failed = 0
            while failed < 2:
                before = bouts_of(journal)
                try:
                    bout = journal.add_bout("rear", start_frame=5, stop_frame=9, comment="x" * (limit % 90))
                    os.write(pipe, f"{bout}\n".encode())
                except OSError as error:
                    failed += 1
                    assert error.errno == errno.EFBIG and "ann.jsonl" in str(error)
                    assert bouts_of(journal) == before
                if failed == 1:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit + 400, resource.RLIM_INFINITY))
            journal.close()
        os.write(pipe, b"through\n")

    pid, pipe = in_child(work)
    *said, last = everything_from(pipe).decode().split()
    os.waitpid(pid, 0)
    assert last == "through" and len(said) > 5
    journal = Journal.open(tmp_path)
    assert bouts_of(journal)[3:] and set(said) == set(bouts_of(journal)) - set(bouts_of(journal)[:3])
    assert journal.problems == []


@pytest.mark.parametrize("truncation_works", [True, False])
@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_full_disk_after_k_bytes(tmp_path, monkeypatch, truncation_works, fails):
    import behavior_prism.datasets.journal_file as module

    bouts = started(tmp_path)
    write, size = os.write, len((folder_of(tmp_path) / "ann.jsonl").read_bytes().splitlines()[-1])
    for k in range(0, size, 11):
        journal = Journal.open(tmp_path, writer="ann")
        left = [k]

        def small(handle, data, left=left):
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            done = write(handle, data[: left[0]])
            left[0] -= done
            return done

        def refuse(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            if fails == "write":
                patch.setattr(module.os, "write", small)
            else:
                patch.setattr(module, "_sync", refuse)
            if not truncation_works:
                patch.setattr(module.os, "ftruncate", refuse)
            with pytest.raises(OSError, match=r"nothing was written, No space left on device: '.*ann\.jsonl'"):
                journal.add_bout("rear", start_frame=5, stop_frame=9)
        assert bouts_of(journal) == bouts
        bouts.append(journal.add_bout("rear", start_frame=10 + k, stop_frame=99999))
        assert bouts_of(journal) == bouts
        journal.close()
        again = Journal.open(tmp_path)
        if fails == "write" or truncation_works:
            assert bouts_of(again) == bouts
        else:  # the entry is whole on the disk, though nobody was told so
            assert set(bouts) <= set(bouts_of(again))
            bouts = bouts_of(again)
        assert bool(again.problems) == (k > 0 and not truncation_works and fails == "write") or again.problems


def test_a_file_put_back_from_a_backup(tmp_path):
    bouts = started(tmp_path, 10)
    path = folder_of(tmp_path) / "ann.jsonl"
    old = b"".join(path.read_bytes().splitlines(keepends=True)[:5])
    path.write_bytes(old)
    for _ in range(2):  # and it is told every time
        with Journal.open(tmp_path, writer="ann") as journal:
            assert [str(p) for p in journal.problems] == [
                "ann.jsonl: 6 entries that were there before are missing; was the file put back from a backup?"
            ]
            assert bouts_of(journal)[:4] == bouts[:4]
            new = journal.add_bout("rear", start_frame=90, stop_frame=91)
    (folder_of(tmp_path) / "snapshot.json").unlink()
    journal = Journal.open(tmp_path)
    assert len(journal.problems) == 1 and new in bouts_of(journal)
    # what was lost comes back, under another name as sync tools do it: all of it counts, once
    lines = old + b"".join(encode(e) for e in journal.history()[4:6])
    (folder_of(tmp_path) / "ann (conflicted copy).jsonl").write_bytes(lines)
    assert Journal.open(tmp_path).history() == journal.history()


def test_put_back_while_the_journal_is_open(tmp_path):
    started(tmp_path)
    path = folder_of(tmp_path) / "ann.jsonl"
    with Journal.open(tmp_path, writer="ann") as journal:
        old = path.read_bytes()
        kept = [journal.add_bout("rear", start_frame=k, stop_frame=k + 1) for k in range(5)]
        path.write_bytes(old)
        kept.append(journal.add_bout("rear", start_frame=90, stop_frame=91))
        assert journal.writer == "ann-2" and "this session goes on in ann-2.jsonl" in str(journal.problems[0])
        journal.refresh()
        assert set(kept) <= set(bouts_of(journal))
    assert set(kept) <= set(bouts_of(Journal.open(tmp_path)))
    with Journal.open(tmp_path, writer="ann") as journal:
        old = path.read_bytes()
        kept.append(journal.add_bout("rear", start_frame=95, stop_frame=96))
        path.write_bytes(old)  # and nothing is written afterwards
    assert set(kept) <= set(bouts_of(Journal.open(tmp_path)))


def test_two_processes_of_one_name(tmp_path):
    started(tmp_path)

    def work(pipe: int) -> None:
        with Journal.open(tmp_path, writer="ann") as journal:
            os.write(pipe, f"{journal.writer}\n".encode())
            for k in range(50):
                os.write(pipe, f"{journal.add_bout('rear', start_frame=k, stop_frame=k + 1)}\n".encode())

    children = [in_child(work) for _ in range(4)]
    said = [everything_from(pipe).decode().split() for _, pipe in children]
    for pid, _ in children:
        os.waitpid(pid, 0)
    journal = Journal.open(tmp_path)
    assert {bout for one in said for bout in one[1:]} <= set(bouts_of(journal)) and journal.problems == []
    for path in folder_of(tmp_path).glob("*.jsonl"):
        assert {decode(line).writer for line in path.read_bytes().splitlines()} <= {path.stem}


@pytest.mark.parametrize("lying", ["granted to all", "not supported"])
def test_two_processes_where_locks_lie(tmp_path, monkeypatch, lying):
    import fcntl

    def lock(*_):
        if lying == "not supported":
            raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", lock)
    started(tmp_path)

    def work(pipe: int) -> None:
        journal = Journal.open(tmp_path, writer="ann")
        for k in range(100):
            os.write(pipe, f"{journal.add_bout('rear', start_frame=k, stop_frame=k + 1)}\n".encode())
        os._exit(0)

    children = [in_child(work) for _ in range(3)]
    said = [everything_from(pipe).decode().split() for _, pipe in children]
    for pid, _ in children:
        os.waitpid(pid, 0)
    assert [len(one) for one in said] == [100, 100, 100]
    assert {bout for one in said for bout in one} <= set(bouts_of(Journal.open(tmp_path)))


def test_a_forked_process_writes_to_a_file_of_its_own(tmp_path):
    with Journal.open(tmp_path, writer="ann") as journal:
        journal.add_behavior("rear")

        def work(pipe: int) -> None:
            os.write(pipe, f"{journal.add_bout('rear', start_frame=1, stop_frame=2)}".encode())

        pid, pipe = in_child(work)
        theirs = everything_from(pipe).decode()
        os.waitpid(pid, 0)
        mine = journal.add_bout("rear", start_frame=3, stop_frame=4)
        assert journal.writer == "ann" and journal.problems == []
        journal.refresh()
        assert {mine, theirs} <= set(bouts_of(journal))
        assert (folder_of(tmp_path) / "ann-2.jsonl").exists()


def line_of(body: bytes) -> bytes:
    return b'{"crc":"%08x",%b\n' % (zlib.crc32(body), body[1:])


def test_lines_that_are_wrong_though_their_checksum_is_right(tmp_path):
    started(tmp_path)
    good = {"id": "0" * 16, "writer": "eve", "seq": 1, "clock": 1, "time": "", "op": "remove", "data": {"bout": "x"}}
    table = {"common": {}, "columns": [], "rows": [[]]}
    wrong = [
        b"{}",
        b"[1]",
        b"{" + b"[" * 100_000,
        b'{"a":' + b"9" * 10_000 + b"}",
        *(
            json.dumps({**good, **changes}, separators=(",", ":")).encode()
            for changes in [
                {"op": "eval"},
                {"seq": 0},
                {"clock": 1 << 60},
                {"clock": 1.5},
                {"seq": True},
                {"id": "../x"},
                {"tx": 3},
                {"data": []},
                {"new": 1},
                {"op": "add", "data": table},
                {"op": "add", "data": {**table, "common": {"behavior": "rear", "start_frame": 3, "stop_frame": 2}}},
                {"op": "add", "data": {**table, "common": {"behavior": "rear", "start": float("nan"), "stop": 2.0}}},
                {"op": "add", "data": {**table, "common": {"behavior": "rear", "start": 10**400, "stop": 2.0}}},
                {"op": "add", "data": {**table, "common": {"behavior": ["rear"], "start": 1.0, "stop": 2.0}}},
                {"op": "add", "data": {**table, "rows": [[1]]}},
                {"op": "add", "data": {**table, "rows": [3]}},
                {"op": "change", "data": {"bout": "x", "set": {"start": 1.0}}},
                {"op": "change", "data": {"bout": "x", "set": {"note": {"a": 1}}}},
                {"op": "add_behavior", "data": {"behavior": {"id": "", "name": "x"}}},
                {"op": "change_behavior", "data": {"behavior": "rear", "set": {"id": "x"}}},
                {"op": "merge_behavior", "data": {"behavior": "rear", "into": "x", "scored": "all"}},
                {"op": "exclusive", "data": {"groups": [["a", 3]]}},
                {"op": "undo", "data": {}},
            ]
        ),
    ]
    (folder_of(tmp_path) / "eve.jsonl").write_bytes(b"".join(map(line_of, wrong)) + b"\xff\xfe\n\0\0\0\n")
    journal = Journal.open(tmp_path)
    assert [p.line for p in journal.problems] == list(range(1, len(wrong) + 3))
    assert len(journal.annotations().bouts) == 3
    assert all("\n" not in str(p) and len(str(p)) < 200 for p in journal.problems)


def test_entries_that_speak_of_nothing_are_told_and_change_nothing(tmp_path):
    started(tmp_path)
    strange = [
        ("remove", {"bout": "nobody"}),
        ("change", {"bout": "nobody", "set": {"note": 1}}),
        ("undo", {"entry": "nothing"}),
        ("redo", {"entry": "nothing"}),
        ("change_behavior", {"behavior": "nothing", "set": {"name": "x"}}),
        ("change_behavior", {"behavior": "rear", "set": {"color": "no colour", "name": " "}}),
        ("merge_behavior", {"behavior": "a", "into": "b", "scored": "both"}),
        ("merge_behavior", {"behavior": "b", "into": "a", "scored": "both"}),
        ("exclusive", {"groups": [["a", "b", "nothing", "rear"], []]}),
        ("add", {"common": {"behavior": "none", "start": 1.0, "stop": 2.0}, "columns": [], "rows": [[]]}),
    ]
    entries = [Entry(new_id(), "eve", k, 100 + k, "", op, data) for k, (op, data) in enumerate(strange, 1)]
    (folder_of(tmp_path) / "eve.jsonl").write_bytes(b"".join(map(encode, entries)))
    journal = Journal.open(tmp_path)
    assert journal.problems == [] and len(journal.conflicts) == 4
    assert journal.annotations().bouts["behavior"].value_counts().to_dict() == {"rear": 3, "none": 1}


def test_what_is_no_file_is_told(tmp_path):
    started(tmp_path)
    (folder_of(tmp_path) / "dir.jsonl").mkdir()
    os.mkfifo(folder_of(tmp_path) / "pipe.jsonl")
    journal = Journal.open(tmp_path)
    assert [str(p) for p in journal.problems] == [
        "dir.jsonl: not read: not a plain file",
        "pipe.jsonl: not read: not a plain file",
    ]
    assert len(bouts_of(journal)) == 3


def test_damaged_archive_is_told(tmp_path):
    with Journal.open(tmp_path, writer="ann") as journal:
        journal.add_behavior("rear")
        journal.remove_bout(journal.add_bout("rear", start_frame=1, stop_frame=2))
        journal.compact(undo_steps=0)
        path = next(folder_of(tmp_path).glob("archive/ann/*.gz"))
        path.write_bytes(path.read_bytes()[:-9])
        journal.history(archive=True)
        assert [p.file for p in journal.problems] == ["archive/ann/0001.jsonl.gz"]


def test_an_hour_opens_in_under_a_second(tmp_path):
    """One hour, 20 behaviours, 3 scorers, 10,000 bouts each, every one an entry of its own."""
    names = [f"behaviour {k}" for k in range(20)]
    with Journal.open(tmp_path, writer="first") as journal:
        for name in names:
            journal.add_behavior(name)
    for scorer in ("ann", "bob", "eve"):
        lines = []
        for k in range(10_000):
            common = {"recording": "hour", "individual": f"m{k % 2}", "target": "", "scorer": scorer}
            common |= {"behavior": f"behaviour-{k % 20}", "start_frame": 9 * k, "stop_frame": 9 * k + 7}
            common |= {"start": 9 * k / 25, "stop": (9 * k + 7) / 25}
            data = {"common": common, "columns": [], "rows": [[]]}
            lines.append(encode(Entry(new_id(), scorer, k + 1, 21 + k, "2026-01-01T00:00:00+00:00", "add", data)))
        (folder_of(tmp_path) / f"{scorer}.jsonl").write_bytes(b"".join(lines))
    (folder_of(tmp_path) / "snapshot.json").unlink()

    def seconds(work) -> float:
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            work()
            best = min(best, time.process_time() - start)
        return best

    def labels() -> None:
        assert len(Journal.open(tmp_path).annotations().bouts) == 30_000

    from_zero = seconds(labels)
    with Journal.open(tmp_path, writer="ann") as journal:
        journal.add_bout("behaviour 1", start_frame=1, stop_frame=2)
        journal.undo()
    from_snapshot = seconds(labels)
    with Journal.open(tmp_path, writer="ann") as journal:
        add = seconds(lambda: journal.add_bout("behaviour 1", start_frame=1, stop_frame=2))
        undo = seconds(journal.undo)
    numbers = (
        f"from zero {from_zero:.2f} s, from the snapshot {from_snapshot:.2f} s, add {add:.3f} s, undo {undo:.2f} s"
    )
    print(numbers)
    assert from_snapshot < 1, numbers
    assert from_zero < 5, numbers
