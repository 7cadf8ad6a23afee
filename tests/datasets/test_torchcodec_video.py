"""What is particular to torchcodec; the tests of frames are those of ``Video`` (``test_video.py``)."""

from __future__ import annotations

import importlib.abc
import re
import sys

import av
import numpy as np
import pytest
from numbered_videos import numbered_frames, read_number, sent_to_a_worker, write_video

from behavior_prism.datasets import TorchcodecVideo, Video, VideoSequence, open_video

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("torchcodec")]

OPEN_GOP = {"x264-params": "open-gop=1:keyint=12:bframes=3"}
NO_TIMES = "without presentation times"
REFUSED = {
    "mpeg4 with B-frames in avi": ("a.avi", {"codec": "mpeg4", "options": {"bf": "2", "g": "15"}}, NO_TIMES),
    "h264 with B-frames in avi": ("b.avi", {"options": {"bf": "3", "g": "15"}}, NO_TIMES),
    "h264 with an open GOP in avi": ("c.avi", {"options": OPEN_GOP}, NO_TIMES),
    "program stream": ("d.mpg", {"codec": "mpeg2video", "options": {"bf": "2"}}, "a transport or program stream"),
    "transport stream": ("e.ts", {"options": OPEN_GOP}, "a transport or program stream"),
    "mirrored": ("f.mp4", {"rotation": 90, "mirrored": True}, "a mirrored picture"),
    "gradual refresh": ("g.mp4", {"options": {"x264-params": "intra-refresh=1:keyint=30"}}, "refreshed bit by bit"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_torchcodec_gets_wrong_is_refused(video_file, kind):
    name, options, what = REFUSED[kind]
    path = video_file(70, name, **options)
    assert [read_number(f) for f in Video(path)] == list(range(70)) or "rotation" in options
    with pytest.raises(
        ValueError, match=rf"{name}: expected a video that torchcodec reads right, got .*{what}.*; read .* 'pyav'$"
    ):
        TorchcodecVideo(path)


def test_frames_are_those_of_the_default_decoder_to_the_bit(tmp_path):
    rng = np.random.default_rng(0)
    frames = np.clip(numbered_frames(12, 126, 162) + rng.integers(-60, 60, (12, 126, 162, 3)), 0, 255).astype(np.uint8)
    for name, options in {"a.mp4": {}, "b.mkv": {"pix_fmt": "yuv444p"}, "c.mkv": {"codec": "ffv1"}}.items():
        path = write_video(tmp_path / name, frames, **options)
        assert np.array_equal(TorchcodecVideo(path)[:], Video(path)[:])


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation(tmp_path, rotation):
    path = write_video(tmp_path / "a.mp4", numbered_frames(8), rotation=rotation)
    video, truth = TorchcodecVideo(path), Video(path)
    assert video.shape == truth.shape and np.array_equal(video[[5, 2]], truth[[5, 2]])
    assert TorchcodecVideo(path, size=(30, 20), grey=True)[3].shape == (30, 20, 1)


def cut_by_edit_list(source, path, first):
    """Copy a video without encoding; its first frames are stored and not shown."""
    with av.open(str(source)) as given, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as cut:
        stream = given.streams.video[0]
        copy = cut.add_stream_from_template(stream)
        shift = int(first / (25 * stream.time_base))
        for packet in given.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                cut.mux(packet)
    return path


def test_edit_list_gives_right_frames_or_an_error(video_file, tmp_path):
    """Of some such cuts torchcodec shows frames of more than a second later as the first ones."""
    source = video_file(120, options={"bf": "3", "x264-params": "keyint=50:scenecut=0"})
    read, refused = [], []
    for first in (3, 8, 20, 37):
        path = cut_by_edit_list(source, tmp_path / f"{first}.mp4", first)
        assert [read_number(f) for f in Video(path)] == list(range(first, 120))
        try:
            video = TorchcodecVideo(path)
        except ValueError as error:
            refused.append(first)
            assert re.search(r"frame 0 \(at 0\.000 s\) is not what torchcodec gives, which is the", str(error))
        else:
            read.append(first)
            assert [read_number(f) for f in video[::-3]] == list(range(first, 120))[::-3]
    assert 3 in read and 37 in read and refused


def test_late_start(video_file, tmp_path):
    path = cut_by_edit_list(video_file(40), tmp_path / "late.mp4", -30)
    video = TorchcodecVideo(path)
    assert video.start_time == pytest.approx(1.2) and video.times[0] == 0
    assert [read_number(f) for f in video[[39, 0, 7]]] == [39, 0, 7]


def test_a_picture_of_another_time_is_an_error(video_file, monkeypatch):
    """Whatever torchcodec counts: here our index is told of a frame less than it sees."""
    video = TorchcodecVideo(video_file(30))
    object.__setattr__(video.index, "pts", video.index.pts + int(0.04 / video.index.time_base))
    with pytest.raises(ValueError, match=r"clip\.mp4: frame 7 \(at 0\.280 s\) is not what torchcodec gives, which is"):
        video[7]
    with pytest.raises(ValueError, match=r"clip\.mp4: frame 3 "):
        video[[9, 3]]


def test_the_first_of_two_streams(tmp_path):
    """torchcodec by itself takes the larger picture."""
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for height, width in ((64, 96), (128, 192)):
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            streams.append((stream, numbered_frames(20, height, width)))
        for k in range(20):
            for stream, frames in streams:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[19 - k], format="rgb24")))
        for stream, _ in streams:
            container.mux(stream.encode())
    assert np.array_equal(TorchcodecVideo(path)[:], Video(path)[:])


def test_damage_is_an_error_up_to_the_next_key_frame(video_file):
    path = video_file(120, options={"g": "20", "bf": "3"})
    truth = Video(path)[:]
    with av.open(str(path)) as container:
        place = [p.pos + p.size // 2 for p in container.demux(video=0) if p.size][50]
    data = bytearray(path.read_bytes())
    data[place : place + 300] = b"\xff" * 300
    path.write_bytes(data)
    for order in (range(120), range(119, -1, -7), [55, 10, 57, 81]):
        video, bad = TorchcodecVideo(path), set()
        for i in order:
            try:
                assert np.array_equal(video[i], truth[i]), i
            except ValueError as error:
                assert f"frame {i} (at" in str(error) and "\n" not in str(error) and ".cpp" not in str(error)
                bad.add(i)
        assert bad and not bad & {*range(40), *range(80, 120)}
        with pytest.raises(ValueError, match=r"frame 5\d \(at"):
            video[[3, 100, 55, 57]]


def test_reads_are_batched(video_file, monkeypatch):
    video = TorchcodecVideo(video_file(70, options={"g": "10"}))
    calls, decode = [], video._decode_at
    monkeypatch.setattr(video, "_decode_at", lambda frames: calls.append(list(frames)) or decode(frames))
    assert [read_number(f) for f in video[[60, 3, 60, 31]]] == [60, 3, 60, 31]
    assert calls == [[3, 31, 60]]
    calls.clear()
    assert [read_number(f) for f in video.iter_frames()] == list(range(70))
    assert len(calls) == 6  # the first frame alone, the rest in runs
    calls.clear()
    assert [read_number(video[i]) for i in range(68, 40, -1)] == list(range(68, 40, -1))
    assert len(calls) == 2  # what the last run holds, and two runs backward
    monkeypatch.setattr("behavior_prism.datasets.torchcodec_video.BATCH_BYTES", 10 * 64 * 96 * 3)
    calls.clear()
    assert [read_number(f) for f in video[:25]] == list(range(25))
    assert [len(c) for c in calls] == [10, 10, 5]


def test_pictures_do_not_change_with_what_a_reader_writes_into_them(video_file):
    video = TorchcodecVideo(video_file(10))
    for _ in range(2):
        frame = video[4]
        assert read_number(frame) == 4
        frame[:] = 0


def test_open_video_takes_it_for_files_and_sessions(video_file):
    paths = [video_file(20, "a1.mp4"), video_file(20, "a2.mp4")]
    one = open_video(paths[0], decoder="torchcodec", times=np.arange(20) / 4)
    assert isinstance(one, TorchcodecVideo) and one.times[3] == 0.75 and read_number(one[3]) == 3
    session = open_video(paths, decoder="torchcodec")
    assert isinstance(session, VideoSequence) and "torchcodec" not in repr(session)
    assert [read_number(f) for f in sent_to_a_worker(session)[[21, 5, 39]]] == [1, 5, 19]
    assert all(isinstance(v, TorchcodecVideo) for v in session._videos)
    with pytest.raises(ValueError, match=r"array: expected a video file for the decoder 'torchcodec', got pictures"):
        open_video(np.zeros((4, 8, 6), np.uint8), fps=2, decoder="torchcodec")


def test_decoders_and_devices_that_are_not_there(video_file):
    path = video_file(5)
    with pytest.raises(ValueError, match="decoder: expected 'pyav' or 'torchcodec', got 'decord'"):
        open_video(path, decoder="decord")
    with pytest.raises(ValueError, match="device: expected 'cpu' with the decoder 'pyav', got 'cuda'"):
        open_video(path, device="cuda")
    for wrong in ("mps", "gpu"):
        with pytest.raises(ValueError, match=f"device: expected 'cpu' or 'cuda', got '{wrong}'"):
            open_video(path, decoder="torchcodec", device=wrong)


def test_on_a_gpu_frames_are_nearly_those_of_the_processor(video_file):
    import torch

    path = video_file(40)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device: expected an NVIDIA GPU for 'cuda', torch finds none here"):
            open_video(path, decoder="torchcodec", device="cuda")
        return
    video = open_video(path, decoder="torchcodec", device="cuda")
    assert [read_number(f) for f in video[[39, 0, 7]]] == [39, 0, 7]


class Refuse(importlib.abc.MetaPathFinder):
    """An import of torchcodec that fails as a build for CUDA, or one without FFmpeg, does."""

    def __init__(self, error):
        self.error = error

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] == "torchcodec":
            raise self.error
        return None


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'torchcodec'"),
        OSError("libnvrtc.so.13: cannot open shared object file"),
        RuntimeError("Could not load libtorchcodec. Likely causes:\n 1. FFmpeg is not installed"),
    ],
)
def test_what_to_install_is_said_in_one_line(video_file, monkeypatch, error):
    for name in [n for n in sys.modules if n.split(".")[0] == "torchcodec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Refuse(error), *sys.meta_path])
    path, begin = video_file(5), re.escape(str(error).splitlines()[0])
    with pytest.raises(
        ImportError, match=rf"^torchcodec cannot be loaded \({begin}\): pip install --no-deps torchcodec==.*ffmpeg\)$"
    ):
        open_video(path, decoder="torchcodec")
    assert read_number(open_video(path)[3]) == 3
