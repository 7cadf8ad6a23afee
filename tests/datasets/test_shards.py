"""Shards: what is in them, that webdataset could read them, going on after a stop, and what is refused."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from numbered_videos import numbered_frames, read_number, write_video
from PIL import Image

from behavior_prism.datasets import Video, open_video
from behavior_prism.datasets.clip_shards import (
    ShardFiles,
    decode_frames,
    find_shards,
    list_clips,
    read_text,
    scan_shard,
    split_name,
)
from behavior_prism.datasets.shard_writing import (
    CaptionedInterval,
    ShardSettings,
    plan_clips,
    stretches,
    write_shards,
)

SECOND = ShardSettings(seconds=1, fps=25, shard_mb=0.007)  # a few clips each


def samples_of(path):
    """A tar as webdataset groups it: neighbours with one name up to the first dot (webdataset.tariterators)."""
    samples: list[dict] = []
    with tarfile.open(path) as tar:
        for member in tar:
            folder, name = os.path.split(member.name)
            key, ending = name.split(".", 1)
            key = os.path.join(folder, key)
            if not samples or samples[-1]["__key__"] != key:
                samples.append({"__key__": key})
            assert ending not in samples[-1]
            samples[-1][ending] = tar.extractfile(member).read()
    assert len({s["__key__"] for s in samples}) == len(samples)  # no clip is split in two
    return samples


@pytest.fixture
def two(video_file):
    return {"cage.1": Video(video_file(110, "cage.1.mp4")), "b": Video(video_file(60, "b.mp4"))}


def numbers(shards, clips, row, wanted):
    content = ShardFiles(shards).read(int(clips.shard[row]), int(clips.offset[row]), int(clips.size[row]))
    return [read_number(frame) for frame in decode_frames(content, np.array(wanted), "clip")]


def test_every_clip_holds_the_frames_that_it_says(two, tmp_path):
    report = write_shards(two, tmp_path / "out", SECOND)
    shards = find_shards(tmp_path / "out")
    assert report.shards == len(shards) > 1 and report.clips == 6 and report.failed == []
    assert report.seconds == pytest.approx(6) and report.size == sum(p.stat().st_size for p in shards)
    samples = [s for path in shards for s in samples_of(path)]
    assert [s["__key__"] for s in samples][:2] == ["cage_1-00000000-00000025", "cage_1-00000025-00000050"]
    clips = list_clips(shards)
    for row, sample in enumerate(samples):
        facts = json.loads(sample["json"])
        assert (facts["frames"], facts["fps"]) == (25, pytest.approx(25)) == (clips.frames[row], clips.fps[row])
        found = [read_number(f) for f in decode_frames(sample["mp4"], np.arange(25), "clip")]
        assert found == list(range(facts["start_frame"], facts["stop_frame"]))
        assert numbers(shards, clips, row, [0, 7, 7, 24]) == [found[k] for k in (0, 7, 7, 24)]
    # without their lists the places are found in the headers
    for path in shards:
        known = json.loads(path.with_suffix(".index.json").read_text())["clips"]
        assert scan_shard(path) == known
    # a rest of half a clip or more is kept, a shorter one is not
    assert {s["__key__"].split("-")[0] for s in samples} == {"cage_1", "b"}


def test_size_rate_and_captions(tmp_path, video_file):
    fast = Video(video_file(100, "fast.mp4", fps=100))
    told = {
        "fast": [
            CaptionedInterval(caption="walks", start=10, stop=50),
            CaptionedInterval(caption="runs", start=10, stop=50),
            CaptionedInterval(caption="a fly", start=None),
            CaptionedInterval(caption="rests", start=0.5, stop=1.0, in_seconds=True),
        ]
    }
    settings = ShardSettings(seconds=0.3, fps=25, size=32)
    plan = plan_clips({"fast": fast}, settings, told)
    assert [(c.start, c.stop, c.step, c.captions) for c in plan] == [
        (10, 30, 4, ("walks", "runs", "a fly")),
        (30, 50, 4, ("walks", "runs", "a fly")),
        (50, 75, 4, ("rests", "a fly")),
        (75, 100, 4, ("rests", "a fly")),
    ]
    report = write_shards({"fast": fast}, tmp_path / "out", settings, captions=told)
    assert report.captioned == report.clips == 4
    sample = samples_of(tmp_path / "out" / "clips-000000.tar")[1]
    assert json.loads(sample["json"])["captions"] == ["walks", "runs", "a fly"]
    frames = decode_frames(sample["mp4"], np.arange(5), "clip")
    assert frames.shape == (5, 32, 48, 3) and [read_number(f) for f in frames] == [30, 34, 38, 42, 46]


def test_clips_stay_on_one_side_of_a_gap():
    times = np.concatenate([np.arange(40) / 25, 10 + np.arange(30) / 25])
    assert stretches(times) == [(0, 40), (40, 70)]
    source = open_video(np.zeros((70, 16, 16, 3), np.uint8), times=times)
    plan = plan_clips({"a": source}, ShardSettings(seconds=1, fps=25))
    assert [(c.start, c.stop) for c in plan] == [(0, 25), (25, 40), (40, 65)]


def test_a_killed_run_goes_on_and_ends_the_same(two, tmp_path):
    whole = tmp_path / "whole"
    write_shards(two, whole, SECOND)
    script = (
        "import os, signal, sys\n"
        "from behavior_prism.datasets import Video\n"
        "from behavior_prism.datasets.shard_writing import ShardSettings, write_shards\n"
        "stop = int(sys.argv[3])\n"
        "def tell(done, of):\n"
        "    if done == stop: os.kill(os.getpid(), signal.SIGKILL)\n"
        "videos = {'cage.1': Video(sys.argv[1]), 'b': Video(sys.argv[2])}\n"
        "write_shards(videos, sys.argv[4], ShardSettings(seconds=1, fps=25, shard_mb=0.007), progress=tell)\n"
    )
    for stop in (3, 6):
        out = tmp_path / f"stopped{stop}"
        videos = [str(source.path) for source in two.values()]
        done = subprocess.run([sys.executable, "-P", "-c", script, *videos, str(stop), str(out)], capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        with pytest.raises(ValueError, match="not complete"):
            find_shards(out)
        before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.index.json")}
        assert len(before) == (1 if stop == 3 else 2)
        with pytest.raises(ValueError, match="begun with"):
            write_shards(two, out, ShardSettings(seconds=2, fps=25, shard_mb=0.007))
        write_shards(two, out, SECOND)
        assert {n: (out / n).stat().st_mtime_ns for n in before} == before  # what was done is left alone
        names = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
        assert names == sorted(p.name for p in whole.iterdir())
        for path in find_shards(whole):
            assert samples_of(path) == samples_of(out / path.name)


def test_what_is_there_is_never_replaced(two, tmp_path):
    write_shards(two, tmp_path / "out", SECOND)
    with pytest.raises(FileExistsError, match="exists already and is complete"):
        write_shards(two, tmp_path / "out", SECOND)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="no folder of shards"):
        write_shards(two, tmp_path / "other", SECOND)
    assert os.listdir(tmp_path / "other") == ["thesis.tex"]


def test_frames_that_cannot_be_decoded_are_listed(tmp_path, video_file):
    path = video_file(100, options={"g": "10", "bf": "0"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    report = write_shards({"a": Video(path)}, tmp_path / "out", SECOND)
    assert 1 <= len(report.failed) <= 2 and report.clips == 4 - len(report.failed)
    assert "cannot be decoded" in report.failed[0][1]
    assert json.loads((tmp_path / "out" / "shards.json").read_text())["failed"] == [list(f) for f in report.failed]


@pytest.mark.parametrize(
    ("interval", "reason"),
    [
        (CaptionedInterval(caption="x", start=50, stop=200), "within its 110 frames"),
        (CaptionedInterval(caption="x", start=5, stop=5), "within its 110 frames"),
        (CaptionedInterval(caption="x", start=1, stop=9, in_seconds=True), r"4.40 s\), got 1 to 9 s"),
    ],
)
def test_captions_that_do_not_fit(two, interval, reason):
    with pytest.raises(ValueError, match=reason):
        plan_clips(two, SECOND, {"cage.1": [interval]})
    with pytest.raises(ValueError, match="captions: expected some of the recordings"):
        plan_clips(two, SECOND, {"cage": [interval]})


def test_settings_and_names_that_are_refused(two):
    for wrong in ({"seconds": 0}, {"fps": float("inf")}, {"size": 3}, {"crf": 60}, {"shard_mb": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
            ShardSettings(**wrong)
    with pytest.raises(ValueError, match="names that stay apart"):
        plan_clips({"a.b": two["b"], "a_b": two["b"]}, SECOND)
    with pytest.raises(ValueError, match="at least one recording"):
        plan_clips({}, SECOND)


def tar_of(path, files):
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


def test_shards_of_others(tmp_path):
    """As img2dataset writes them: key.jpg, key.txt and key.json."""
    picture = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(picture, "PNG")
    files = {}
    for k in range(3):
        files |= {f"00000{k}.png": picture.getvalue(), f"00000{k}.txt": b"a white wall\n"}
        files |= {f"00000{k}.json": json.dumps({"caption": "a white wall", "width": 30}).encode()}
    shard = tar_of(tmp_path / "00000.tar", files)
    clips = list_clips(find_shards(tmp_path))
    assert clips.frames.tolist() == [1, 1, 1] and clips.captioned.all()
    content = ShardFiles([shard]).read(0, int(clips.offset[2]), int(clips.size[2]))
    assert decode_frames(content, np.array([0]), "x").shape == (1, 20, 30, 3)
    assert ShardFiles([shard]).member_name(0, int(clips.offset[2])) == "000002.png"
    assert read_text(b" a text \n", "x") == (("a text",), {}) and split_name("d.x/a.b.mp4") == ("d.x/a", "b.mp4")


def test_damaged_shards_are_refused(two, tmp_path):
    write_shards(two, tmp_path / "out", SECOND)
    shards = find_shards(tmp_path / "out")
    with shards[0].open("r+b") as file:
        file.truncate(shards[0].stat().st_size // 2)
    with pytest.raises(ValueError, match=r"clips-000000.tar: corrupt: expected \d+ bytes"):
        list_clips(shards)
    shards[0].with_suffix(".index.json").unlink()
    with pytest.raises(ValueError, match=r"clips-000000.tar: corrupt"):
        list_clips(shards)
    shards[1].with_suffix(".index.json").write_text('{"clips": {"offset": [1]}}')
    with pytest.raises(ValueError, match=r"index.json: expected the places of clips"):
        list_clips(shards[1:])
    (tmp_path / "noise.tar").write_bytes(os.urandom(4000))
    with pytest.raises(ValueError, match=r"noise.tar: corrupt"):
        list_clips([tmp_path / "noise.tar"])
    tar_of(tmp_path / "bad.tar", {"a.mp4": b"x", "a.json": b'{"captions": [3]}'})
    with pytest.raises(ValueError, match=r"bad.tar: a.json: corrupt: expected captions"):
        list_clips([tmp_path / "bad.tar"])
    for facts, reason in (
        ('{"frames": "many"}', "frames to be a number from 0 on, got 'many'"),
        ('{"frames": -1}', "frames to be a number from 0 on, got -1"),
        ('{"frames": 9, "fps": Infinity}', "fps to be a number from 0 on, got inf"),
        ('{"frames": 9, "fps": [25]}', "fps to be a number from 0 on, got .25."),
    ):
        tar_of(tmp_path / "bad.tar", {"a.mp4": b"x", "a.json": facts.encode()})
        with pytest.raises(ValueError, match=rf"bad.tar: a.json: corrupt: expected {reason}"):
            list_clips([tmp_path / "bad.tar"])
    tar_of(tmp_path / "none.tar", {"a.npy": b"x"})
    with pytest.raises(ValueError, match="none.tar: expected clips"):
        list_clips([tmp_path / "none.tar"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected shards"):
        find_shards(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no such thing"):
        find_shards(tmp_path / "nowhere")


def test_blank_captions_are_none(tmp_path):
    assert read_text(b'{"captions": ["", "a fly sits ", " "], "fps": 25}', "x")[0] == ("a fly sits",)
    for text in ('{"captions": ["", " "]}', '{"caption": " "}', '{"captions": []}'):
        tar_of(tmp_path / "0.tar", {"a.mp4": b"x", "a.json": text.encode()})
        assert not list_clips([tmp_path / "0.tar"]).captioned.any()


def test_a_list_of_clips_that_is_none_is_named(two, tmp_path):
    write_shards(two, tmp_path / "out", SECOND)
    manifest = tmp_path / "out" / "shards.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    (tmp_path / "out" / "clips-000001.index.json").write_text('{"clips": {}}')
    with pytest.raises(ValueError, match=r"clips-000001.index.json: expected the list of a shard's clips"):
        write_shards(two, tmp_path / "out", SECOND)


def test_a_tar_cut_between_two_clips_is_no_whole_one(two, tmp_path):
    """Python's tarfile reads such a file without complaint, with fewer clips."""
    write_shards(two, tmp_path / "out", SECOND)
    shard = find_shards(tmp_path / "out")[0]
    first_of_second_clip = scan_shard(shard)["offset"][1] - tarfile.BLOCKSIZE
    shard.with_suffix(".index.json").unlink()
    with shard.open("r+b") as file:
        file.truncate(first_of_second_clip)
    with tarfile.open(shard) as tar:
        assert len(tar.getnames()) == 2
    with pytest.raises(ValueError, match="clips-000000.tar: corrupt: expected the end of a tar file"):
        list_clips([shard])


def test_clips_in_memory_that_cannot_be_decoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(10))
    content = path.read_bytes()
    with pytest.raises(ValueError, match="clip: expected at least 13 frames, got 10"):
        decode_frames(content, np.array([0, 12]), "clip")
    with pytest.raises(ValueError, match="clip: cannot be decoded"):
        decode_frames(content[: len(content) // 2], np.array([0]), "clip")
    with pytest.raises(ValueError, match="clip: cannot be decoded"):
        decode_frames(os.urandom(500), np.array([0]), "clip")
