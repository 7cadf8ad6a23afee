"""Files that are odd, as cameras and old programs leave them: read right, or refused in one line."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_videos import numbered_frames, read_number, write_video

from behavior_prism.datasets import Video, index_cache


def numbers(video):
    return [read_number(frame) for frame in video]


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "libx264", "rawvideo"])
def test_dropped_frames_in_avi_are_gaps_and_no_cut(tmp_path, codec, open_file):
    """The header of an AVI counts empty chunks, which stand for dropped frames and hold no picture."""
    path, frames = tmp_path / "dropped.avi", numbered_frames(30)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": "0"} if codec == "libx264" else {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = {"mjpeg": "yuvj420p", "rawvideo": "bgr24"}.get(codec, "yuv420p")
        for k, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k if k < 12 else k + 5, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 35
    video = open_file(path)
    assert numbers(video) == list(range(30))
    np.testing.assert_allclose(video.times[[11, 12]], [0.44, 17 / 25], atol=1e-9)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(ValueError, match="cut short: its header promises 35 frames"):
        open_file(path)


def test_recordings_joined_byte_by_byte_are_refused(tmp_path):
    """Sorted by time, their pictures would lie between one another."""
    first = write_video(tmp_path / "a.ts", numbered_frames(40), options={"g": "10"})
    with av.open(str(first)) as source, av.open(str(tmp_path / "b.ts"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts + 1234, packet.dts + 1234, stream
                target.mux(packet)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + (tmp_path / "b.ts").read_bytes())
    with pytest.raises(ValueError, match=r"joined\.ts: .* one clock, it jumps back by 1\.5\d\d s after 40 fr"):
        Video(joined)


def test_packed_b_frames_are_named(tmp_path):
    """One packet holds two pictures, and the next none, as old DivX and XviD wrote them."""
    with av.open(str(tmp_path / "plain.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"bf": "1", "g": "12"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        packets = [
            bytes(p)
            for picture in [*numbered_frames(20), None]
            for p in stream.encode(picture if picture is None else av.VideoFrame.from_ndarray(picture, format="rgb24"))
        ]
    with av.open(str(tmp_path / "packed.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.codec_context.open()
        stored = [packets[0], packets[1] + packets[2], bytes([0, 0, 1, 0xB6, 0x4B, 0x7F]), *packets[3:]]
        for k, data in enumerate(stored):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, k, k, Fraction(1, 25)
            container.mux(packet)
    with pytest.raises(ValueError, match=r"packed\.avi: .* packed B-frames .* mpeg4_unpack_bframes"):
        Video(tmp_path / "packed.avi")


@pytest.mark.skipif(os.name == "nt", reason="no colons in names there")
def test_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch, open_file):
    write_video(tmp_path / "a.mp4", numbered_frames(5)).rename(tmp_path / "2024-05-01T12:30:00.mp4")
    monkeypatch.chdir(tmp_path)
    assert numbers(open_file("2024-05-01T12:30:00.mp4")) == list(range(5))


def test_index_of_a_file_that_changed_meanwhile_is_not_kept(tmp_path, monkeypatch):
    """Else the index of the second file would wait for the first one to come back."""
    monkeypatch.setenv("BEHAVIOR_PRISM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "WORTH_KEEPING", 0)
    path = write_video(tmp_path / "a.mp4", numbered_frames(20))
    before, build = path.read_bytes(), index_cache.build_frame_index

    def replaced_before_it_is_demuxed(path: Path):
        write_video(path, numbered_frames(30))
        return build(path)

    monkeypatch.setattr(index_cache, "build_frame_index", replaced_before_it_is_demuxed)
    with pytest.raises(ValueError, match="has changed since"):
        Video(path)
    monkeypatch.setattr(index_cache, "build_frame_index", build)
    path.write_bytes(before)
    assert numbers(Video(path)) == list(range(20))
