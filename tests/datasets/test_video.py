from __future__ import annotations

import multiprocessing
import operator
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered_videos import numbered_frames, read_number, sent_to_a_worker, write_video

from behavior_prism.datasets import Video, index_cache

KINDS = {
    "h264 with B-frames and a long GOP": ("a.mp4", {"options": {"bf": "3", "g": "250", "refs": "4"}}),
    "h264 with an open GOP": ("b.mp4", {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3"}}),
    "h264 in mkv": ("c.mkv", {"options": {"g": "10"}}),
    "h265": ("d.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=20"}}),
    "mjpeg": ("e.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "mpeg4 with B-frames in avi": ("f.avi", {"codec": "mpeg4", "options": {"bf": "2", "g": "15"}}),
    "h264 with B-frames in avi": ("j.avi", {"options": {"bf": "3", "g": "15"}}),
    "h264 with an open GOP in avi": ("k.avi", {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3"}}),
    "h264 without B-frames in avi": ("l.avi", {"options": {"bf": "0", "g": "15"}}),
    "mpeg2 with B-frames": ("m.mpg", {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}}),
    "rawvideo": ("g.avi", {"codec": "rawvideo", "pix_fmt": "bgr24"}),
    "yuv444p": ("h.mp4", {"pix_fmt": "yuv444p"}),
    "10 bit": ("i.mp4", {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": {"x265-params": "log-level=none"}}),
}


NOT_BY_TORCHCODEC = {  # refused: tests of test_torchcodec_video.py
    "mpeg4 with B-frames in avi",
    "h264 with B-frames in avi",
    "h264 with an open GOP in avi",
    "mpeg2 with B-frames",
}


def with_decoders(kinds):
    """Pairs of a kind of file and a decoder that reads it."""
    by_torchcodec = [
        pytest.param(k, "torchcodec", marks=pytest.mark.torch) for k in kinds if k not in NOT_BY_TORCHCODEC
    ]
    return pytest.mark.parametrize(
        ("kind", "open_file"), [*((k, "pyav") for k in kinds), *by_torchcodec], indirect=["open_file"]
    )


@with_decoders(KINDS)
def test_every_frame_is_the_one_asked_for(video_file, kind, open_file):
    name, options = KINDS[kind]
    video = open_file(video_file(70, name, **options))
    assert len(video) == 70
    assert [read_number(f) for f in video] == list(range(70))
    order = np.random.default_rng(0).permutation(70)[:25]
    assert [read_number(video[int(i)]) for i in order] == order.tolist()
    assert [read_number(f) for f in video[order]] == order.tolist()
    assert [read_number(f) for f in video[60:2:-7]] == list(range(60, 2, -7))


def test_variable_rate_goes_by_time(tmp_path, open_file):
    gaps = np.random.default_rng(1).integers(10, 90, 80)
    times = np.cumsum(gaps) - gaps[0]
    path = write_video(tmp_path / "vfr.mkv", numbered_frames(80), times=times, options={"bf": "2", "g": "30"})
    video = open_file(path)
    assert len(video) == 80
    np.testing.assert_allclose(video.times, times / 1000, atol=1e-3)
    order = np.random.default_rng(2).permutation(80)[:30]
    assert [read_number(video[int(i)]) for i in order] == order.tolist()


def test_times_and_edges(video_file):
    video = Video(video_file(10, fps=20))
    assert video.times[0] == 0
    np.testing.assert_allclose(video.edges, np.arange(11) / 20)
    assert video.fps == pytest.approx(20)
    assert video.shape == (10, 64, 96, 3)


def test_index_out_of_range(video_file):
    video = Video(video_file(5))
    assert read_number(video[-1]) == 4
    with pytest.raises(IndexError, match="below 5, got 5"):
        video[5]


def test_travels_to_another_process(video_file, open_file):
    video = open_file(video_file(30))
    assert read_number(video[7]) == 7
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert read_number(pool.submit(operator.getitem, video, 3).result()) == 3


def test_two_videos_in_two_threads(video_file):
    path = video_file(60)
    wrong: list[int] = []

    def read(seed: int) -> None:
        video = Video(path)
        for i in np.random.default_rng(seed).integers(60, size=40):
            if read_number(video[int(i)]) != i:
                wrong.append(int(i))

    threads = [threading.Thread(target=read, args=(s,)) for s in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_one_video_in_three_threads(video_file, open_file):
    video = open_file(video_file(60, options={"g": "20"}))
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for i in rng.integers(60, size=25):
            if read_number(video[int(i)]) != i:
                wrong.append(int(i))
        begin = int(rng.integers(30))
        for i, frame in zip(range(begin, 60), video.iter_frames(range(begin, 60)), strict=True):
            if read_number(frame) != i:
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(s,)) for s in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- any way of reading gives the same frames --------------------------------------------------------------------------

DRAWN = ("h264 with B-frames and a long GOP", "h264 with an open GOP in avi", "mpeg4 with B-frames in avi", "rawvideo")
SHOWN = st.integers(0, 69)
STEP = st.one_of(
    st.tuples(st.just("one"), st.integers(-70, 69)),
    st.tuples(st.just("slice"), st.slices(70)),
    st.tuples(st.just("array"), st.lists(st.integers(-70, 69), max_size=12)),
    st.tuples(st.just("iterate"), st.lists(SHOWN, max_size=12)),
    st.tuples(st.just("send"), SHOWN),
    st.tuples(st.just("close"), SHOWN),
    st.tuples(st.just("two threads"), st.lists(SHOWN, min_size=2, max_size=6)),
)


@pytest.fixture(scope="module")
def drawn_files(tmp_path_factory):
    folder, frames = tmp_path_factory.mktemp("drawn"), numbered_frames(70)
    return {kind: write_video(folder / KINDS[kind][0], frames, **KINDS[kind][1]) for kind in DRAWN}


@with_decoders(DRAWN)
@given(steps=st.lists(STEP, min_size=1, max_size=8), cache_mb=st.sampled_from([0.0, 0.03, 32.0]))
@settings(max_examples=25)
def test_any_way_of_reading(drawn_files, kind, steps, cache_mb, open_file):
    video = open_file(drawn_files[kind], cache_mb=cache_mb)
    truth = np.arange(70)
    for how, what in steps:
        if how in ("slice", "array"):
            assert [read_number(f) for f in video[what]] == truth[what].tolist()
        elif how == "iterate":
            assert [read_number(f) for f in video.iter_frames(what)] == what
        elif how == "two threads":
            with ThreadPoolExecutor(2) as pool:
                assert [read_number(f) for f in pool.map(video.__getitem__, what)] == what
        else:
            if how == "send":
                video = sent_to_a_worker(video)
            if how == "close":
                video.close()
            assert read_number(video[what]) == truth[what]


def test_index_arrays_as_in_numpy(video_file, open_file):
    video = open_file(video_file(20))
    windows = np.arange(6).reshape(2, 3) * 3
    assert video[windows].shape == (2, 3, 64, 96, 3)
    assert [read_number(f) for f in video[windows].reshape(6, 64, 96, 3)] == windows.ravel().tolist()
    mask = np.zeros(20, bool)
    mask[[3, 17]] = True
    assert [read_number(f) for f in video[mask]] == [3, 17]
    assert video[[]].shape == (0, 64, 96, 3)
    with pytest.raises(IndexError, match=r"a mask over 20 frames, got shape \(2,\)"):
        video[np.array([True, False])]
    with pytest.raises(TypeError, match="expected frame numbers, got float64"):
        video[np.array([1.5])]
    with pytest.raises(TypeError):
        video[1.5]


def test_cache_keeps_to_its_bound(video_file):
    video = Video(video_file(70, options={"g": "70"}), cache_mb=0.1)
    _ = video[60], video[:20]
    kept = sum(plane.buffer_size for frame in video._kept.values() for plane in frame.planes)
    assert 0 < kept <= 100_000
    none = Video(video.path, cache_mb=0)
    assert read_number(none[9]) == 9 and not none._kept
    with pytest.raises(ValueError, match="a cache of at least 0 MB, got -1"):
        Video(video.path, cache_mb=-1)


def test_stepping_backward_decodes_once(video_file, monkeypatch):
    video = Video(video_file(60, options={"g": "60"}))
    _ = video[50]
    monkeypatch.setattr(video, "_frame", None)
    assert [read_number(video[i]) for i in range(49, 20, -1)] == list(range(49, 20, -1))


def test_size_and_grey(video_file, open_file):
    path = video_file(20)
    plain = open_file(path)
    small = open_file(path, size=(32, 40))
    assert small.shape == (20, 32, 40, 3) and small[3].shape == (32, 40, 3)
    assert [read_number(f) for f in small[::-3]] == list(range(20))[::-3]
    by_opencv = cv2.resize(plain[7], (40, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(small[7].astype(float) - by_opencv).mean() < 2
    grey = open_file(path, grey=True)
    assert grey.shape == (20, 64, 96, 1) and grey[2:5].shape == (3, 64, 96, 1)
    assert np.abs(grey[7][..., 0].astype(float) - cv2.cvtColor(plain[7], cv2.COLOR_RGB2GRAY)).mean() < 2
    assert grey[0].min() < 25 and grey[1].max() > 230
    assert sent_to_a_worker(open_file(path, size=(32, 40), grey=True))[1].shape == (32, 40, 1)
    with pytest.raises(ValueError, match=r"expected a size of \(height, width\) of at least one pixel, got \(0, 40\)"):
        open_file(path, size=(0, 40))


def test_time_to_frame(tmp_path):
    gaps = np.random.default_rng(1).integers(10, 90, 80)
    times = np.cumsum(gaps) - gaps[0]
    video = Video(write_video(tmp_path / "vfr.mkv", numbered_frames(80), times=times))
    assert [video.time_to_frame(t) for t in video.times] == list(range(80))
    assert [video.time_to_frame(t) for t in video.edges[1:] - 1e-4] == list(range(80))
    assert video.time_to_frame(video.times[5] - 1e-9) == 5  # rounding
    for wrong in (-0.1, float(video.edges[-1]), 1e9, float("nan")):
        with pytest.raises(
            ValueError, match=r"vfr\.mkv: expected a time within \[0, .* s\), got|expected a time within"
        ):
            video.time_to_frame(wrong)


# -- rotation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_rotation_is_obeyed(tmp_path, ending, rotation, mirrored):
    frames = numbered_frames(8)
    path = write_video(tmp_path / f"a.{ending}", frames, rotation=rotation, mirrored=mirrored)
    video = Video(path)
    turned = rotation in (90, -90)
    assert video.shape == (8, *((96, 64) if turned else (64, 96)), 3)
    upright = Video(write_video(tmp_path / f"b.{ending}", frames))[3]
    expected = np.rot90(upright, rotation // 90 % 4)  # counterclockwise, and then mirrored
    assert np.array_equal(video[3], expected[:, ::-1] if mirrored else expected)
    assert Video(path, size=(30, 20))[3].shape == (30, 20, 3)
    if not mirrored:  # OpenCV turns, but does not mirror
        assert np.abs(cv2.VideoCapture(str(path)).read()[1][..., ::-1].astype(float) - video[0]).mean() < 5
    assert sent_to_a_worker(video)[7].shape == video.shape[1:]


def test_rotation_by_other_angles_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(5), rotation=30)
    with pytest.raises(
        ValueError, match=r"a\.mp4: expected a picture turned by quarters, got one turned by 30 degrees"
    ):
        Video(path)


# -- the index on disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Folder of kept indices; every video is worth one."""
    monkeypatch.setenv("BEHAVIOR_PRISM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "WORTH_KEEPING", 0)
    return tmp_path / "cache" / "index"


@pytest.fixture
def built(monkeypatch):
    """Videos whose index was made anew."""
    paths, build = [], index_cache.build_frame_index
    monkeypatch.setattr(index_cache, "build_frame_index", lambda path: paths.append(path) or build(path))
    return paths


def same_index(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)


@pytest.mark.parametrize("kind", ["h264 with an open GOP in avi", "mpeg2 with B-frames", "h265"])
def test_index_is_kept(video_file, kept, built, kind):
    name, options = KINDS[kind]
    path = video_file(70, name, **options)
    first = Video(path)
    moved = path.rename(path.with_name(f"moved-{name}"))
    second = Video(moved)
    assert built == [path] and len(list(kept.iterdir())) == 1
    assert same_index(first.index, second.index)
    assert [read_number(f) for f in second[::-3]] == list(range(70))[::-3]


def test_kept_index_of_another_version_or_video_is_not_used(video_file, kept, built, monkeypatch):
    path = video_file(20)
    Video(path)
    monkeypatch.setattr(index_cache, "LAYOUT", 99)
    Video(path)
    assert built == [path, path]
    write_video(path, numbered_frames(30))
    assert len(Video(path)) == 30 and len(built) == 3


def test_damaged_index_is_made_anew(video_file, kept):
    path = video_file(20, options={"g": "5"})
    truth = Video(path).index
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, len(whole), 11), len(whole) - 1]:
        data = bytearray(whole)
        data[place] ^= int(rng.integers(1, 256))
        file.write_bytes(data)
        assert same_index(Video(path).index, truth)
    for size in range(0, len(whole), 37):
        file.write_bytes(whole[:size])
        assert same_index(Video(path).index, truth)
    assert len(list(kept.iterdir())) == 1  # nothing half-written stays


def test_no_place_for_the_index_is_no_error(video_file, kept, built, monkeypatch, tmp_path):
    path = video_file(10)
    (tmp_path / "cache").write_text("a file where a folder is wanted")
    assert len(Video(path)) == len(Video(path)) == 10
    assert built == [path, path]
    monkeypatch.delenv("BEHAVIOR_PRISM_CACHE")
    monkeypatch.setattr(index_cache.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert len(Video(path)) == 10


def test_small_files_are_not_kept(video_file, tmp_path, monkeypatch):
    monkeypatch.setenv("BEHAVIOR_PRISM_CACHE", str(tmp_path / "cache"))
    Video(video_file(10))
    assert not (tmp_path / "cache").exists()
    Video(video_file(70, "big.avi", codec="rawvideo", pix_fmt="bgr24"))
    assert len(list((tmp_path / "cache" / "index").iterdir())) == 1


@pytest.mark.shared
def test_old_444_file_reads_the_same_from_any_key_frame(shared_data, open_file):
    # its encoder's version stands in the first packet only; a decoder that never saw it gets everything wrong
    video = open_file(shared_data / "deeplabcut-openfield" / "m3v1mp4.mp4")
    wanted = [190, 370, 560]
    by_reading_through = {}
    for i, frame in enumerate(video.iter_frames(range(561))):
        if i in wanted:
            by_reading_through[i] = frame
    video.close()
    for i in reversed(wanted):
        fresh = open_file(video.path)
        assert np.array_equal(fresh[i], by_reading_through[i])


def test_picking_what_lies_before_a_key_frame_of_an_open_group(video_file):
    for name in ("a.mp4", "a.avi"):
        path = video_file(70, name, options={"x264-params": "open-gop=1:keyint=12:bframes=3"})
        assert [read_number(Video(path)[i]) for i in range(70)] == list(range(70)), name


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.mp4: no such file"):
        Video(tmp_path / "nowhere.mp4")


def test_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match="expected a video file, got a folder"):
        Video(tmp_path)


def test_not_a_video(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("this is no video\n" * 100)
    with pytest.raises(ValueError, match="notes.mp4: not a video"):
        Video(path)


def test_empty_file(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(ValueError, match="got an empty file"):
        Video(path)


def test_header_without_frames(tmp_path):
    path = tmp_path / "none.mp4"
    with av.open(str(path), "w", options={"movflags": "empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        container.start_encoding()
    with pytest.raises(ValueError, match=r"none\.mp4: expected a video, got zero frames"):
        Video(path)


def test_no_time_stamps_at_all(video_file):
    path = video_file(10, "raw.h264")
    with pytest.raises(ValueError, match=r"raw\.h264: expected time stamps, the file carries none; re-wrap"):
        Video(path)


def test_cut_short_is_noticed(video_file, tmp_path, open_file):
    whole = video_file(200, container_options={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match=r"cut\.mp4: cut short: its header promises 200 frames, the file holds \d+"):
        open_file(path)
    video = open_file(path, allow_cut_short=True)
    assert 0 < len(video) < 200
    assert read_number(video[len(video) // 2]) == len(video) // 2


def middle_of(path, packet):
    """Where in the file the middle of a packet lies."""
    with av.open(str(path)) as container:
        return [p.pos + p.size // 2 for p in container.demux(video=0) if p.size][packet]


CUT = {
    "a.mkv": (r"its header promises 8\.000 s, the file ends at \d\.\d+ s", {"options": {"bf": "3", "g": "12"}}),
    "b.webm": (r"its header promises 8\.000 s, the file ends at", {"codec": "libvpx-vp9", "options": {"g": "12"}}),
    "c.flv": (r"its header promises 8\.\d+ s, the file ends at", {"options": {"bf": "0", "g": "12"}}),
    "d.gif": (r"it lacks the byte that ends a gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    "e.mp4": (
        r"its last frame is incomplete",
        {"options": {"g": "12"}, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    ),
}


@pytest.mark.parametrize("name", CUT)
def test_cut_short_without_a_frame_count_in_the_header(video_file, tmp_path, name):
    message, options = CUT[name]
    path = video_file(200, name, **options)
    assert len(Video(path)) == 200
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(path.read_bytes()[: middle_of(path, 130)])
    with pytest.raises(
        ValueError, match=rf"{cut.name}: cut short: {message}.*; allow_cut_short=True takes the part that is there"
    ):
        Video(cut)
    assert read_number(Video(cut, allow_cut_short=True)[20]) == 20


@pytest.mark.parametrize("seconds", [0.5, 9.0])
def test_sound_of_another_length_is_no_cut(tmp_path, seconds):
    path = write_video(tmp_path / "sound.mkv", numbered_frames(50), sound_seconds=seconds)
    assert len(Video(path)) == 50


def test_late_start_and_long_last_frame_are_no_cut(tmp_path):
    times = np.r_[np.arange(40) * 40, 5000] + 3000
    path = write_video(tmp_path / "late.mkv", numbered_frames(41), times=times)
    assert len(Video(path)) == 41


def damaged(path, packet, count=300):
    """A copy of a video with some bytes of one packet overwritten."""
    start = middle_of(path, packet)
    data = bytearray(path.read_bytes())
    data[start : start + count] = b"\xff" * count
    copy = path.with_name(f"damaged-{path.name}")
    copy.write_bytes(data)
    return copy


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}, {"x264-params": "open-gop=1"}])
def test_what_follows_damage_is_an_error_too(video_file, options):
    path = video_file(120, options={"g": "20", **options})
    truth = Video(path)[:]
    path = damaged(path, 50)
    through, bad = Video(path), set()
    for i in range(120):
        try:
            assert np.array_equal(through[i], truth[i])
        except ValueError as error:
            assert f"frame {i} (at" in str(error)
            bad.add(i)
    assert {52, 55, 59} <= bad  # up to the end of the group
    assert not bad & {*range(40), *range(100, 120)}
    for step in (3, 7):  # a decoder that passes over the damage must not forget it
        video = Video(path)
        for i in range(0, 120, step):
            for reader in (video, Video(path)):
                try:
                    assert np.array_equal(reader[i], truth[i])
                    assert i not in bad
                except ValueError:
                    assert i in bad
    with pytest.raises(ValueError, match=f"frame {min(bad)} .* cannot be decoded"):
        list(Video(path))


def test_damage_in_a_file_of_key_frames_costs_one_frame(video_file, open_file):
    path = damaged(video_file(40, "a.avi", codec="mjpeg", pix_fmt="yuvj420p"), 20)
    video, bad = open_file(path), []
    for i in range(40):
        try:
            assert read_number(video[i]) == i
        except ValueError:
            bad.append(i)
    assert bad == [20]


def test_no_seek_needed(video_file):
    # seeking in a transport stream goes by position and often lands behind the frame
    video = Video(video_file(70, "a.ts", options={"x264-params": "open-gop=1:keyint=12:bframes=3"}))
    assert [read_number(f) for f in video[::-9]] == list(range(0, 70))[::-9]
    assert [read_number(Video(video.path)[i]) for i in (0, 1, 11, 12, 69)] == [0, 1, 11, 12, 69]


class Broken:
    """A container in which reading or seeking fails."""

    def __init__(self, container, what):
        self.container, self.what = container, what

    def __getattr__(self, name):
        if name == self.what:
            raise av.error.InvalidDataError(1094995529, "Invalid data found when processing input")
        return getattr(self.container, name)


def test_errors_of_ffmpeg_name_the_file(video_file, monkeypatch):
    from behavior_prism.datasets import video as module

    video, opened = Video(video_file(30)), module.open_container
    monkeypatch.setattr(module, "open_container", lambda *a, **k: Broken(opened(*a, **k), "demux"))
    with pytest.raises(ValueError, match=r"clip\.mp4: frame 7 \(at 0\.280 s\) cannot be decoded \(Invalid data"):
        video[7]
    video = Video(video.path)
    monkeypatch.setattr(module, "open_container", lambda *a, **k: Broken(opened(*a, **k), "seek"))
    assert read_number(video[7]) == 7  # read from the start


def test_messages_asked_for_while_a_file_is_open(video_file):
    video = Video(video_file(30))
    assert read_number(video[3]) == 3
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        assert read_number(video[4]) == 4
        assert video._threads == "NONE"
    finally:
        av.logging.set_level(before)


def test_a_file_that_changes_is_refused_when_it_is_opened_again(video_file, open_file):
    path = video_file(30)
    video = open_file(path)
    other = sent_to_a_worker(video)
    assert read_number(video[3]) == 3
    write_video(path, numbered_frames(60))
    for reader in (video, other):
        reader.close()
        with pytest.raises(ValueError, match=r"clip\.mp4: has changed since it was opened"):
            reader[3]
    path.unlink()
    with pytest.raises((FileNotFoundError, ValueError), match=r"clip\.mp4: (no such file|has changed)"):
        other[3]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ValueError, match=r"pipe\.mp4: expected a video file, got a pipe or a device"):
        Video(tmp_path / "pipe.mp4")


def test_unicode_and_spaces_in_the_path(tmp_path, open_file):
    folder = tmp_path / "Mäuse & Fliegen 小鼠 %d"
    folder.mkdir()
    path = write_video(folder / "Video №1 (größer).mp4", numbered_frames(20))
    assert [read_number(f) for f in open_file(path)[::-4]] == list(range(20))[::-4]


FUZZED = {
    "a.mp4": {"options": {"bf": "2", "g": "8"}},
    "front.mp4": {"options": {"bf": "2", "g": "8"}, "container_options": {"movflags": "faststart"}},
    "pieces.mp4": {"options": {"g": "8"}, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "b.avi": {"codec": "mpeg4", "options": {"bf": "2", "g": "8"}},
    "c.avi": {"options": {"bf": "2", "g": "8"}},
    "d.mkv": {"options": {"bf": "2", "g": "8"}},
    "e.webm": {"codec": "libvpx-vp9", "options": {"g": "8", "deadline": "realtime", "cpu-used": "8"}},
    "f.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}


@pytest.mark.parametrize("name", FUZZED)
def test_cut_anywhere(video_file, tmp_path, name):
    """A clear error or right frames, whatever byte the file ends at."""
    whole = video_file(24, name, **FUZZED[name]).read_bytes()
    whole_video = Video(tmp_path / name)
    truth = whole_video[:]
    places = np.unique(np.r_[np.linspace(0, len(whole) - 1, 60).astype(int), np.arange(len(whole) - 12, len(whole))])
    cut = tmp_path / f"cut-{name}"
    for size in places:
        cut.write_bytes(whole[:size])
        try:
            video = Video(cut, allow_cut_short=True)
        except ValueError as error:
            assert cut.name in str(error) and "\n" not in str(error)
            continue
        assert len(video) <= 24
        for i in [*range(len(video)), *range(len(video) - 1, -1, -5)]:
            try:
                frame = video[i]
            except ValueError as error:
                assert f"{cut.name}: frame {i} (at" in str(error) and "\n" not in str(error)
            else:
                # by time: at the cut, a frame between two that are there can be lost
                shown = whole_video.time_to_frame(video.times[i])
                assert np.array_equal(frame, truth[shown]), (size, i, shown)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_reads_what_its_parent_has_open(video_file, open_file):
    """Threads of a decoder do not come along into a child: without care it would wait for ever."""
    video = open_file(video_file(70), cache_mb=0)
    assert read_number(video[3]) == 3
    child = os.fork()
    if child == 0:
        numbers = [read_number(video[i]) for i in (4, 0, 69)]
        os._exit(0 if numbers == [4, 0, 69] else 1)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("the child waits")
    assert os.waitstatus_to_exitcode(status) == 0
    assert read_number(video[4]) == 4  # and the parent's own goes on
