"""Corpora: which frames are read, what is left out, what is refused."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from numbered_videos import numbered_frames, read_number, sent_to_a_worker

from behavior_prism.datasets import Video, open_video
from behavior_prism.datasets.corpora import (
    Corpus,
    LabelledCorpus,
    RecordingCorpus,
    ShardCorpus,
    SimulatedCorpus,
    choose_frames,
)
from behavior_prism.datasets.shard_writing import CaptionedInterval, ShardSettings, write_shards


def rng(seed=0):
    return np.random.default_rng(seed)


def numbers(clip):
    return [read_number(frame) for frame in clip.frames]


@pytest.fixture
def shards(video_file, tmp_path):
    videos = {"a": Video(video_file(100, "a.mp4")), "b": Video(video_file(20, "b.mp4"))}
    captions = {"a": [CaptionedInterval(caption="walks"), CaptionedInterval(caption="runs")]}
    write_shards(videos, tmp_path / "shards", ShardSettings(seconds=1, fps=25, shard_mb=0.005), captions=captions)
    return tmp_path / "shards"


def test_frames_of_shards(shards):
    corpus = ShardCorpus(shards, num_frames=5)
    assert len(corpus) == 5 and corpus.left_out == 0 and not corpus.captioned and isinstance(corpus, Corpus)
    for seed in range(10):
        read = corpus.read(2, 5, rng(seed))
        assert read.captions == ("walks", "runs")
        assert [n // 5 for n in numbers(read)] == list(range(10, 15))  # one of each fifth of the clip
    assert len({tuple(numbers(corpus.read(2, 5, rng(seed)))) for seed in range(10)}) > 5
    assert numbers(sent_to_a_worker(corpus).read(2, 5, rng())) == numbers(corpus.read(2, 5, rng()))
    assert corpus.describe(2).endswith("a-00000050-00000075.mp4")
    slow = ShardCorpus(shards, num_frames=5, rate=5)
    assert slow.left_out == 1 and len(slow) == 4  # b is 20 frames long, 5 frames at 5 Hz are 21
    for seed in range(5):
        assert np.diff(numbers(slow.read(1, 5, rng(seed)))).tolist() == [5] * 4
    with pytest.raises(ValueError, match=r"expected clips of at least 30 frames, got 5 clips of at most 25"):
        ShardCorpus(shards, num_frames=30)


def test_pictures_are_clips_of_one_frame(tmp_path):
    from PIL import Image

    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for k in range(2):
            picture = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), 90 * k, np.uint8)).save(picture, "PNG")
            for name, content in ((f"{k}.png", picture.getvalue()), (f"{k}.txt", b"grey")):
                header = tarfile.TarInfo(name)
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
    corpus = ShardCorpus(tmp_path, num_frames=8)
    assert corpus.captioned and corpus.pictures
    read = corpus.read(1, 8, rng())
    assert read.frames.shape == (1, 8, 8, 3) and (read.frames == 90).all() and read.captions == ("grey",)


def test_clips_of_one_frame_are_too_short_and_no_pictures(video_file, tmp_path):
    intervals = [CaptionedInterval(caption="jumps", start=a, stop=b) for a, b in ((0, 20), (30, 31), (40, 60))]
    write_shards({"a": Video(video_file(60, "a.mp4"))}, tmp_path / "shards", captions={"a": intervals})
    corpus = ShardCorpus(tmp_path / "shards", num_frames=5)
    assert len(corpus) == 2 and corpus.left_out == 1 and not corpus.pictures and corpus.captioned
    with tarfile.open(tmp_path / "shards" / "more.tar", "w") as tar:
        header = tarfile.TarInfo("0.png")
        header.size = 1
        tar.addfile(header, io.BytesIO(b"x"))
    with pytest.raises(ValueError, match="expected clips or pictures, got both; put them into two folders"):
        ShardCorpus(tmp_path / "shards", num_frames=5)


def test_windows_of_recordings(video_file):
    videos = {"a": Video(video_file(103, "a.mp4")), "b": Video(video_file(40, "b.mp4", fps=50))}
    corpus = RecordingCorpus(videos, num_frames=8, rate=25)
    assert len(corpus) == 103 // 8 + 40 // 15
    starts: dict[int, set[int]] = {}
    for index in range(len(corpus)):
        for seed in range(12):
            found = numbers(corpus.read(index, 8, rng(seed)))
            assert np.diff(found).tolist() == [1 if index < 12 else 2] * 7
            starts.setdefault(index < 12, set()).add(found[0])
    assert len(starts[True]) > 55 and min(starts[True]) < 8 and max(starts[True]) <= 95  # all of it is seen
    assert max(starts[False]) <= 25
    again = sent_to_a_worker(corpus)
    assert numbers(again.read(3, 8, rng(5))) == numbers(corpus.read(3, 8, rng(5)))
    with pytest.raises(ValueError, match="a stretch of at least 60 frames, got at most 52"):
        RecordingCorpus({"a": videos["a"]}, num_frames=60, rate=12.5)
    with pytest.raises(ValueError, match="at least one recording"):
        RecordingCorpus({}, num_frames=8)


def test_windows_do_not_cross_gaps():
    times = np.concatenate([np.arange(20) / 25, 5 + np.arange(10) / 25, 9 + np.arange(3) / 25])
    source = open_video(numbered_frames(33), times=times)
    corpus = RecordingCorpus({"a": source}, num_frames=4, rate=25)
    assert corpus.left_out == 1
    for index in range(len(corpus)):
        for seed in range(10):
            found = numbers(corpus.read(index, 4, rng(seed)))
            assert found[-1] < 20 or 20 <= found[0] <= 26


def test_few_videos_are_open_at_once(video_file):
    videos = {f"v{k}": Video(video_file(10, f"v{k}.mp4")) for k in range(12)}
    corpus = RecordingCorpus(videos, num_frames=8, rate=25)
    for index in range(12):
        corpus.read(index, 8, rng())
    assert sum(video._container is not None for video in videos.values()) == 8


def test_labels_are_those_of_the_middle_frame(video_file):
    video = Video(video_file(60))
    label = np.full((60, 2), -1, np.int8)
    label[20:50, 0] = 0
    label[30:40, 0] = 1
    corpus = LabelledCorpus({"a": video}, {"a": label}, ["walk", "rear"], num_frames=4, rate=25, stride=1)
    assert len(corpus) == 30
    for index in range(len(corpus)):
        read = corpus.read(index, 4, rng())
        assert read.label is not None and read.label.tolist() == label[numbers(read)[2]].tolist()
    assert corpus.labels[:, 0].sum() == 10
    with pytest.raises(ValueError, match=r"a: expected labels of shape \(60, 2\), got \(59, 2\)"):
        LabelledCorpus({"a": video}, {"a": label[1:]}, ["walk", "rear"], num_frames=4)
    with pytest.raises(ValueError, match="with a scored middle, got none"):
        LabelledCorpus({"a": video}, {"a": np.full((60, 2), -1, np.int8)}, ["walk", "rear"], num_frames=4)


def test_the_simulator_is_a_corpus():
    corpus = SimulatedCorpus(size=32, clips=100, seed=3)
    one, again, other = corpus.read(7, 3, rng()), corpus.read(7, 3, rng(1)), corpus.read(8, 3, rng())
    assert one.frames.shape == (3, 32, 32, 3) and one.captions and all(one.captions)
    assert np.array_equal(one.frames, again.frames) and one.captions == again.captions
    assert not np.array_equal(one.frames, other.frames)
    assert not np.array_equal(one.frames, SimulatedCorpus(size=32, clips=100, seed=4).read(7, 3, rng()).frames)
    with pytest.raises(ValueError, match="at least one clip"):
        SimulatedCorpus(clips=0)


def test_what_a_damaged_clip_says(shards):
    index = shards / "clips-000000.index.json"
    known = json.loads(index.read_text())
    known["clips"]["size"][0] //= 2
    index.write_text(json.dumps(known))
    with pytest.raises(ValueError, match=r"clips-000000.tar: .* cannot be decoded"):
        ShardCorpus(shards, num_frames=5).read(0, 5, rng())


def test_chosen_frames():
    assert choose_frames(5, 5, None, rng()).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="at least 9 frames, got 8"):
        choose_frames(8, 3, 4, rng())
