from __future__ import annotations

import contextlib
import os
import sys
import threading

import cv2
import numpy as np
import pytest
from numbered_videos import numbered_frames, read_number, sent_to_a_worker, write_video

from behavior_prism.datasets import Video, fingerprint, load_recording, open_video
from behavior_prism.datasets.sources import ImageFolder, TiffStack

COUNT = 12


def save_image(path, picture):
    # not cv2.imwrite, which cannot write every name on every system
    cv2.imencode(path.suffix, picture[..., ::-1])[1].tofile(path)


def folder_of_images(folder, ending=".png", numbers=range(COUNT)):
    folder.mkdir()
    for number, picture in zip(numbers, numbered_frames(COUNT), strict=True):
        save_image(folder / f"frame{number}{ending}", picture)
    return folder


def tiff_stack(path, pages, compressed=False):
    how = [cv2.IMWRITE_TIFF_COMPRESSION, 5 if compressed else 1]  # LZW, which tifffile alone cannot read
    assert cv2.imwritemulti(str(path), [p[..., ::-1] if p.ndim == 3 else p for p in pages], how)
    return path


def test_video_says_who_opens_what_is_no_video_file(tmp_path):
    np.save(tmp_path / "a.npy", numbered_frames(2))
    for path, what in (
        (tiff_stack(tmp_path / "s.tif", numbered_frames(2)), "a TIFF"),
        (tmp_path / "a.npy", "an array"),
    ):
        with pytest.raises(
            ValueError, match=f"{path.name}: expected a video file, got {what}; open it with open_video"
        ):
            Video(path)
    with pytest.raises(IsADirectoryError, match="got a folder; images in it are opened with open_video"):
        Video(tmp_path)


def make(kind, tmp_path):
    frames = numbered_frames(COUNT)
    if kind == "array":
        return frames
    if kind == "grey array":
        return frames[..., 0]
    if kind == "npy":
        np.save(tmp_path / "a.npy", frames)
        return tmp_path / "a.npy"
    if kind == "stack":
        return tiff_stack(tmp_path / "a.tif", frames)
    if kind == "LZW stack":
        return tiff_stack(tmp_path / "a.tif", frames, compressed=True)
    if kind == "grey stack":
        return tiff_stack(tmp_path / "a.tiff", frames[..., 0])
    return folder_of_images(tmp_path / "Mäuse 1", kind)


KINDS = ("array", "grey array", "npy", "stack", "grey stack", "LZW stack", ".png", ".jpg", ".bmp", ".tif", ".PNG")


@pytest.fixture(params=[True, False], ids=["tifffile", "opencv"])
def reader(request, monkeypatch):
    """Both ways of reading TIFF stacks."""
    if request.param:
        pytest.importorskip("tifffile")
    else:
        monkeypatch.setitem(sys.modules, "tifffile", None)


@pytest.mark.parametrize("kind", KINDS)
def test_same_interface_as_a_video(tmp_path, kind):
    source = open_video(make(kind, tmp_path), fps=5)
    assert source.shape == (COUNT, 64, 96, 3) and len(source) == COUNT
    np.testing.assert_allclose(source.times, np.arange(COUNT) / 5)
    np.testing.assert_allclose(source.edges, np.arange(COUNT + 1) / 5)
    assert source.fps == pytest.approx(5) and source.start_time == 0
    assert [read_number(f) for f in source] == list(range(COUNT))
    assert [read_number(f) for f in source[::-2]] == list(range(COUNT))[::-2]
    assert [read_number(f) for f in source[np.array([7, 7, -1])]] == [7, 7, 11]
    assert [read_number(f) for f in source.iter_frames([9, 2])] == [9, 2]
    assert source[3].dtype == np.uint8 and source[3].shape == (64, 96, 3)
    assert source.time_to_frame(0.5) == 2
    copy = sent_to_a_worker(source)
    source.close()
    assert read_number(copy[4]) == read_number(source[4]) == 4
    with pytest.raises(IndexError, match=f"expected a frame below {COUNT}, got {COUNT}"):
        source[COUNT]
    source[0][:] = 0  # a copy
    assert read_number(source[1]) == 1 and read_number(source[0]) == 0 and source[0].any()


def test_colours_and_order_of_channels(tmp_path, reader):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 250, 20
    (tmp_path / "a").mkdir()
    save_image(tmp_path / "a" / "1.png", picture)
    for source in (picture[None], tmp_path / "a", tiff_stack(tmp_path / "a.tif", [picture, picture])):
        assert np.array_equal(open_video(source, fps=1)[0], picture)


@pytest.mark.parametrize("kind", ["stack", "grey stack", "LZW stack"])
def test_stacks_by_both_readers(tmp_path, reader, kind, monkeypatch):
    monkeypatch.setattr("behavior_prism.datasets.sources.STACK_CHUNK_BYTES", 60_000)  # three pages
    source = open_video(make(kind, tmp_path), fps=5)
    order = np.random.default_rng(0).permutation(COUNT)
    assert [read_number(source[int(i)]) for i in order] == order.tolist()
    assert [read_number(f) for f in source] == list(range(COUNT))


def test_names_are_in_natural_order(tmp_path):
    folder = folder_of_images(tmp_path / "a")  # frame10 comes before frame2 for a computer
    (folder / "._frame0.png").write_bytes(b"what macOS leaves")
    (folder / "notes.txt").write_text("x")
    assert [read_number(f) for f in open_video(folder, fps=5)] == list(range(COUNT))
    stamps = folder_of_images(tmp_path / "b", numbers=[10**12 + 7 * k for k in range(COUNT)])
    assert [read_number(f) for f in open_video(stamps, fps=5)] == list(range(COUNT))


def test_missing_numbers_and_a_frame_rate_do_not_go_together(tmp_path):
    numbers = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    folder = folder_of_images(tmp_path / "a", numbers=numbers)
    with pytest.raises(ValueError, match=r"evenly numbered .*, got frame3\.png then frame5\.png; give the times"):
        open_video(folder, fps=5)
    assert open_video(folder, times=np.array(numbers) / 5).times[4] == 1


def test_times_of_the_camera(tmp_path, video_file):
    times = 100 + np.cumsum(np.random.default_rng(0).random(COUNT))
    for source in (make("array", tmp_path), video_file(COUNT)):
        video = open_video(source, times=times)
        np.testing.assert_allclose(video.times, times - times[0])
        assert video.start_time == times[0]
        assert video.time_to_frame(float(video.times[7])) == 7
        assert read_number(video[7]) == 7
    slow = open_video(video_file(COUNT, "slow.mp4", fps=25), fps=250)
    assert slow.fps == pytest.approx(250) and isinstance(slow, Video)
    assert open_video(video_file(COUNT, "b.mp4", fps=25)).fps == pytest.approx(25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"array: expected the frame rate \(fps\) or the times of its 4 frames, got neither"),
        ({"fps": 5, "times": [0, 1, 2, 3]}, "got both"),
        ({"fps": 0}, "expected a frame rate above 0, got 0"),
        ({"fps": float("nan")}, "expected a frame rate above 0, got nan"),
        ({"times": [0, 1, 2]}, r"expected 4 times, one per frame, got shape \(3,\)"),
        ({"times": [0, 1, 1, 2]}, "expected increasing times, got 1 s then 1 s at frame 2"),
        ({"times": [0, 1, np.nan, 2]}, "expected times in seconds, got nan for frame 2"),
    ],
)
def test_times_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        open_video(np.zeros((4, 8, 8), np.uint8), **options)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 8, 8), np.uint16), "expected uint8, got uint16; scale it to 8 bits"),
        (np.zeros((4, 8, 8, 2), np.uint8), r"expected shape \(frames, height, width\)"),
        (np.zeros((0, 8, 8), np.uint8), "expected shape"),
        (np.zeros((8, 8), np.uint8), "expected shape"),
    ],
)
def test_arrays_that_are_no_videos(array, message):
    with pytest.raises(ValueError, match=message):
        open_video(array, fps=5)


def test_16_bits_are_refused(tmp_path, reader):
    deep = [np.full((8, 8), 900, np.uint16)] * 3
    path = tiff_stack(tmp_path / "deep.tif", deep)
    with pytest.raises(ValueError, match=r"deep\.tif: page 0: expected 8 bits per channel, got uint16; scale it"):
        open_video(path, fps=5)
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "1.png"), deep[0])
    with pytest.raises(ValueError, match=r"1\.png: expected 8 bits per channel, got uint16"):
        open_video(tmp_path / "a", fps=5)


def test_a_folder_of_stacks_is_not_read_as_their_first_pages(tmp_path):
    tiff_stack(tmp_path / "0.tif", numbered_frames(3))
    tiff_stack(tmp_path / "1.tif", numbered_frames(3))
    with pytest.raises(ValueError, match=r"one picture in each file, got 3 in 0\.tif; open the stack itself"):
        open_video(tmp_path, fps=5)


def test_folders_that_are_no_videos(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected a video file or a folder of images, got a folder without images"):
        open_video(tmp_path / "empty", fps=5)
    folder = folder_of_images(tmp_path / "a")
    save_image(folder / "thumbnail.jpg", numbered_frames(1)[0])
    with pytest.raises(ValueError, match=r"expected images of one kind, got 12 \.png, 1 \.jpg"):
        open_video(folder, fps=5)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ImageFolder(tmp_path / "nowhere", fps=5)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tif: no such file"):
        TiffStack(tmp_path / "nowhere.tif", fps=5)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npy: no such file"):
        open_video(tmp_path / "nowhere.npy", fps=5)


def test_pictures_of_two_sizes(tmp_path, reader):
    frames = list(numbered_frames(4))
    frames[2] = frames[2][:32]
    (tmp_path / "a").mkdir()
    for k, picture in enumerate(frames):
        save_image(tmp_path / "a" / f"{k}.png", picture)
    for path in (tmp_path / "a", tiff_stack(tmp_path / "a.tif", frames)):
        source = open_video(path, fps=5)
        assert read_number(source[3]) == 3
        with pytest.raises(ValueError, match="expected frames of 96x64, got frame 2 of 96x32"):
            source[2]


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tif"])
def test_truncated_images(tmp_path, ending):
    folder = folder_of_images(tmp_path / "a", ending)
    whole = (folder / f"frame5{ending}").read_bytes()
    source, truth = open_video(folder, fps=5), open_video(folder, fps=5)[5]
    for size in np.linspace(0, len(whole) - 1, 40).astype(int):
        (folder / f"frame5{ending}").write_bytes(whole[:size])
        try:
            assert np.array_equal(source[5], truth)
        except ValueError as error:
            assert f"frame5{ending}" in str(error) and "\n" not in str(error)
    assert read_number(source[6]) == 6
    (folder / f"frame5{ending}").unlink()
    with pytest.raises(FileNotFoundError, match="no such file"):
        source[5]


def test_truncated_stacks_and_arrays(tmp_path, reader):
    for path in (make("stack", tmp_path), make("npy", tmp_path)):
        whole = path.read_bytes()
        for size in np.linspace(0, len(whole) - 1, 30).astype(int):
            cut = path.with_name(f"cut{path.suffix}")
            cut.write_bytes(whole[:size])
            try:
                source = open_video(cut, fps=5)
            except ValueError as error:
                assert "cut" in str(error) and "\n" not in str(error)
                continue
            for i in range(len(source)):
                try:
                    assert read_number(source[i]) == i
                except ValueError as error:
                    assert "cut" in str(error) and "\n" not in str(error)


def test_a_text_file_is_no_stack(tmp_path, reader):
    path = tmp_path / "notes.tif"
    path.write_text("no tiff\n" * 20)
    with pytest.raises(ValueError, match=r"notes\.tif: not a TIFF file, or damaged"):
        open_video(path, fps=5)


def test_one_page_that_is_a_whole_stack(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    # ImageJ writes stacks over 4 GB with a single page; a reader of pages sees one frame
    tifffile.imwrite(tmp_path / "a.tif", numbered_frames(COUNT)[..., 0], imagej=True, contiguous=True)
    assert len(open_video(tmp_path / "a.tif", fps=5)) == COUNT
    with pytest.raises(ValueError, match=r"a\.tif: expected one page per frame, got one page for a stack of shape"):
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
            second = tiff.pages[0].offset + 2 + 12 * len(tiff.pages[0].tags)
        data = bytearray((tmp_path / "a.tif").read_bytes())
        data[second : second + 4] = bytes(4)  # no page behind the first
        (tmp_path / "a.tif").write_bytes(data)
        open_video(tmp_path / "a.tif", fps=5)


def test_recording_and_fingerprint_of_a_folder(tmp_path):
    folder = folder_of_images(tmp_path / "session 3")
    recording = load_recording(folder, fps=5, frames=(2, 9))
    assert recording.name == "session 3" and recording.num_frames == 7
    assert recording.crop(recording.video[2], "view").shape == (64, 96, 3)
    before = fingerprint(folder)
    assert before == fingerprint(folder.rename(tmp_path / "elsewhere"))
    save_image(tmp_path / "elsewhere" / "frame3.png", numbered_frames(1)[0])
    assert fingerprint(tmp_path / "elsewhere") != before


@pytest.mark.torch
def test_features_of_a_folder_are_those_of_the_array(tmp_path):
    import behavior_prism as bp

    folder, frames = folder_of_images(tmp_path / "a"), numbered_frames(COUNT)
    np.save(tmp_path / "b.npy", frames)
    encoder = bp.load_encoder("tiny")
    a, b = (
        bp.extract_features(load_recording(path, fps=5), encoder, tmp_path / f"{path.stem}.features.zarr")
        for path in (folder, tmp_path / "b.npy")
    )
    np.testing.assert_array_equal(a.feature.values, b.feature.values)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_stack_is_read_by_forked_children_and_parent_at_once(tmp_path):
    """They inherit one place in the file: without care each moves it under the others, and pages are mixed up."""
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame in numbered_frames(300):
            file.write(frame, photometric="rgb", contiguous=False)
    stack = open_video(tmp_path / "a.tif", fps=10)
    assert read_number(stack[5]) == 5
    children = []
    for seed in range(3):
        child = os.fork()
        if child == 0:
            order, code = np.random.default_rng(seed).integers(300, size=600), 1
            with contextlib.suppress(Exception):
                code = int(any(read_number(stack[int(i)]) != i for i in order))
            os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert read_number(stack[299]) == 299


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_another_thread_reads_does_not_wait_for_it():
    frames = open_video(numbered_frames(3), fps=1)
    held, go_on = threading.Event(), threading.Event()

    def read() -> None:
        with frames._lock:
            held.set()
            go_on.wait()

    thread = threading.Thread(target=read)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        reader = threading.Thread(target=lambda: os._exit(0 if read_number(frames[1]) == 1 else 1), daemon=True)
        reader.start()
        reader.join(10)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go_on.set()
    thread.join()


def test_damaged_stacks_are_one_line(tmp_path, reader):
    path = tmp_path / "a.tif"
    tiff_stack(path, numbered_frames(4, 16, 16))
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for k in range(150):
        spoilt = bytearray(data)
        for _ in range(3):
            spoilt[int(rng.integers(len(data)))] = int(rng.integers(256))
        path.write_bytes(spoilt)
        try:
            frames = open_video(path, fps=1)
            for i in range(len(frames)):
                frames[i]
        except ValueError as error:
            assert "\n" not in str(error) and "a.tif" in str(error), k


def test_pages_of_two_channels_are_not_frames(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 2, 16, 16), np.uint8), imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(ValueError, match=r"a\.tif: expected one page per frame, got pages of 5 T x 2 C"):
        open_video(tmp_path / "a.tif", fps=1)
    for axes in ("TYX", "ZYX"):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 16, 16), np.uint8), imagej=True, metadata={"axes": axes})
        assert len(open_video(tmp_path / "a.tif", fps=1)) == 5


def test_frames_that_are_decoded_ahead_are_the_same(tmp_path):
    """In order, also when the reader stops early, and an error comes at its turn."""
    path = write_video(tmp_path / "a.mkv", numbered_frames(60))
    with open_video(path) as video:
        wanted = [3, 4, 5, 40, 2, 59, 0]
        assert [read_number(f) for f in video.iter_frames(wanted, ahead=4)] == wanted
        some = video.iter_frames(ahead=3)
        assert [read_number(next(some)) for _ in range(5)] == list(range(5))
        before = threading.active_count()
        some.close()
        assert threading.active_count() == before - 1  # nothing goes on behind the reader's back
        failing = video.iter_frames([1, 60], ahead=2)
        assert read_number(next(failing)) == 1
        with pytest.raises(IndexError, match="below 60, got 60"):
            next(failing)
        with pytest.raises(ValueError, match="ahead: expected"):
            video.iter_frames(ahead=-1)
