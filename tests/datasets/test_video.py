from __future__ import annotations

import multiprocessing
import operator
import threading
from concurrent.futures import ProcessPoolExecutor

import av
import numpy as np
import pytest
from numbered_videos import numbered_frames, read_number, write_video

from behavior_prism.datasets import Video

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


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_the_one_asked_for(video_file, kind):
    name, options = KINDS[kind]
    video = Video(video_file(70, name, **options))
    assert len(video) == 70
    assert [read_number(f) for f in video] == list(range(70))
    order = np.random.default_rng(0).permutation(70)[:25]
    assert [read_number(video[int(i)]) for i in order] == order.tolist()
    assert [read_number(f) for f in video[order]] == order.tolist()
    assert [read_number(f) for f in video[60:2:-7]] == list(range(60, 2, -7))


def test_variable_rate_goes_by_time(tmp_path):
    gaps = np.random.default_rng(1).integers(10, 90, 80)
    times = np.cumsum(gaps) - gaps[0]
    path = write_video(tmp_path / "vfr.mkv", numbered_frames(80), times=times, options={"bf": "2", "g": "30"})
    video = Video(path)
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


def test_travels_to_another_process(video_file):
    video = Video(video_file(30))
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


@pytest.mark.shared
def test_old_444_file_reads_the_same_from_any_key_frame(shared_data):
    # its encoder's version stands in the first packet only; a decoder that never saw it gets everything wrong
    video = Video(shared_data / "deeplabcut-openfield" / "m3v1mp4.mp4")
    wanted = [190, 370, 560]
    by_reading_through = {}
    for i, frame in enumerate(video.iter_frames(range(561))):
        if i in wanted:
            by_reading_through[i] = frame
    video.close()
    for i in reversed(wanted):
        fresh = Video(video.path)
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


def test_cut_short_is_noticed(video_file, tmp_path):
    whole = video_file(200, container_options={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match=r"cut\.mp4: cut short: its header promises 200 frames, the file holds \d+"):
        Video(path)
    video = Video(path, allow_cut_short=True)
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
    with pytest.raises(ValueError, match=rf"{cut.name}: cut short: {message}.*; allow it explicitly"):
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


def test_damage_in_a_file_of_key_frames_costs_one_frame(video_file):
    path = damaged(video_file(40, "a.avi", codec="mjpeg", pix_fmt="yuvj420p"), 20)
    video, bad = Video(path), []
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
