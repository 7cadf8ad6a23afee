"""Files of one session as one video: every frame and its time, as if it had never been cut."""

from __future__ import annotations

import multiprocessing
import operator
import shutil
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from numbered_videos import numbered_frames, read_number, write_video

from behavior_prism.datasets import Recording, Video, VideoSequence, load_recording, open_video

SIZES = [7, 12, 5, 9]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    frames, begin = numbered_frames(sum(SIZES)), np.cumsum([0, *SIZES])
    return [
        write_video(folder / f"cage_{k}.mkv", frames[begin[i] : begin[i + 1]], options={"bf": "2", "g": "6"})
        for i, k in enumerate((1, 2, 10, 11))
    ]


def numbers(frames):
    return [read_number(f) for f in frames]


def test_frames_run_on_across_files_in_natural_order(pieces):
    session = VideoSequence([pieces[2], pieces[0], pieces[3], pieces[1]])
    total = sum(SIZES)
    assert len(session) == total and session.shape == (total, 64, 96, 3)
    assert [p.name for p in session.paths] == ["cage_1.mkv", "cage_2.mkv", "cage_10.mkv", "cage_11.mkv"]
    assert numbers(session) == list(range(total))
    assert numbers(session[5:30:4]) == list(range(5, 30, 4))
    wanted = np.random.default_rng(0).permutation(total)
    assert numbers(session[wanted]) == wanted.tolist()
    assert read_number(session[-1]) == total - 1 and session.where(19) == (pieces[2], 0)
    assert session[[[0, 8], [20, 30]]].shape == (2, 2, 64, 96, 3)
    with pytest.raises(IndexError, match=f"expected a frame below {total}"):
        session[total]


def test_pieces_follow_one_another_by_default(pieces):
    session = VideoSequence(pieces)
    np.testing.assert_allclose(session.times, np.arange(sum(SIZES)) / 25, atol=1e-9)
    assert session.fps == pytest.approx(25) and session.gaps == []
    assert len(session.edges) == len(session) + 1 and np.all(np.diff(session.edges) > 0)
    assert [session.time_to_frame(t) for t in session.times] == list(range(len(session)))


@pytest.mark.parametrize("how", [{"gaps": [0.5, 0, 60]}, {"start_times": [1000, 1000.78, 1001.26, 1061.46]}])
def test_gaps_are_kept_and_listed(pieces, how):
    session = VideoSequence(pieces, **how)
    assert [(first, pytest.approx(s)) for first, s in session.gaps] == [(7, 0.5), (24, 60.0)]
    expected = np.arange(sum(SIZES)) / 25
    expected[7:] += 0.5
    expected[24:] += 60
    np.testing.assert_allclose(session.times, expected, atol=1e-9)
    assert session.start_time == how.get("start_times", [0])[0]
    with pytest.raises(ValueError, match="in the gap from 0.28 to 0.78 s"):
        session.time_to_frame(0.5)
    assert session.time_to_frame(0.27) == 6 and session.time_to_frame(0.78) == 7


def test_few_files_are_open_at_a_time(pieces):
    session = VideoSequence(pieces)
    for i in (0, 8, 20, 30, 1, 31):
        session[i]
        assert sum(v._container is not None for v in session._videos) <= 2
    session.close()
    assert all(v._container is None for v in session._videos)
    assert read_number(session[3]) == 3


def test_a_copy_for_a_worker_reads_the_same(pieces):
    session = VideoSequence(pieces, gaps=[1, 2, 3], grey=True)
    session[20]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(operator.getitem, session, slice(15, 25)).result()
        copy = pool.submit(operator.itemgetter(0), [session]).result()
    np.testing.assert_array_equal(there, session[15:25])
    assert copy.gaps == session.gaps and copy.shape[-1] == 1
    np.testing.assert_array_equal(copy.times, session.times)
    np.testing.assert_array_equal(copy[20], session[20])


def test_a_sequence_is_the_video_of_a_recording(pieces):
    recording = Recording(video=VideoSequence(pieces, gaps=[1, 0, 0]), name="day", start_frame=5, stop_frame=20)
    assert recording.num_frames == 15 and recording.edges[7] == pytest.approx(1.28)


def test_one_file_is_a_video(pieces):
    session = VideoSequence(pieces[:1])
    np.testing.assert_array_equal(session[:], Video(pieces[0])[:])
    np.testing.assert_array_equal(session.times, Video(pieces[0]).times)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gaps": [1, 2]}, "expected 3 gaps for 4 files, got 2"),
        ({"start_times": [0, 1]}, "expected 4 start times for 4 files, got 2"),
        ({"gaps": [1, -1, 0]}, r"cage_10.mkv: expected it to begin after cage_2.mkv has ended, got 1 s before"),
        ({"start_times": [0, 5, 5.2, 9]}, r"cage_10.mkv: expected it to begin after cage_2.mkv has ended"),
        ({"gaps": [1, float("nan"), 0]}, "expected gaps in seconds"),
        ({"gaps": [0, 0, 0], "start_times": [0, 1, 2, 3]}, "expected gaps or start times, got both"),
    ],
)
def test_times_that_do_not_fit(pieces, options, message):
    with pytest.raises(ValueError, match=message):
        VideoSequence(pieces, **options)


def test_files_that_do_not_fit(pieces, tmp_path):
    small = write_video(tmp_path / "small.mkv", numbered_frames(3, 32, 48))
    with pytest.raises(ValueError, match=r"small.mkv: expected frames of 96x64 as in .*, got 48x32"):
        VideoSequence([pieces[0], small])
    with pytest.raises(ValueError, match="expected every file of a session once"):
        VideoSequence([pieces[0], pieces[0]])
    with pytest.raises(ValueError, match="expected the files of one session"):
        VideoSequence(str(pieces[0]))
    with pytest.raises(ValueError, match="at least one"):
        VideoSequence([])
    with pytest.raises(FileNotFoundError):
        VideoSequence([pieces[0], tmp_path / "none.mkv"])
    gone = shutil.copy(pieces[1], tmp_path / "z.mkv")
    session = VideoSequence([pieces[0], gone])
    gone.unlink()
    assert read_number(session[2]) == 2
    with pytest.raises((ValueError, FileNotFoundError), match="z.mkv"):
        session[8]


def test_a_list_of_files_is_one_recording(pieces, tmp_path):
    recording = load_recording([pieces[2], pieces[0], pieces[3], pieces[1]], frames=(5, 20))
    assert recording.name == "cage_1" and recording.video.paths == tuple(pieces)
    assert numbers(recording.video[5:20]) == list(range(5, 20))
    assert load_recording(pieces[:1]).video.paths == (pieces[0],)
    stamps = 100 + np.r_[np.arange(7), 1000 + np.arange(26)] / 25
    np.savetxt(tmp_path / "t.csv", stamps)
    recording = load_recording(pieces, timestamps=tmp_path / "t.csv")
    np.testing.assert_allclose(recording.times, stamps - 100)
    assert recording.start_time == 100 and recording.video.gaps == []
    assert recording.video.time_to_frame(30) == 6  # by the camera's times, which know of no files
    with pytest.raises(ValueError, match="expected 33 time stamps, one per frame, got 32"):
        np.savetxt(tmp_path / "short.csv", stamps[:-1])
        load_recording(pieces, timestamps=tmp_path / "short.csv")
    with pytest.raises(ValueError, match="expected the files of one session, at least one"):
        load_recording([])


@pytest.mark.parametrize("how", [{"gaps": [0.5, 0, 60]}, {"start_times": [1000, 1000.78, 1001.26, 1061.46]}])
def test_a_recording_of_files_with_gaps(pieces, how):
    recording, session = load_recording(pieces, **how), VideoSequence(pieces, **how)
    np.testing.assert_array_equal(recording.times, session.times)
    assert recording.video.gaps == session.gaps != [] and recording.start_time == session.start_time
    swapped = load_recording([pieces[1], pieces[0]], gaps=[1])
    assert swapped.video.paths == (pieces[1], pieces[0]) and swapped.name == "cage_2"  # they go with the order given
    with pytest.raises(ValueError, match="gaps or start times of files, or times or fps of all frames, got both"):
        load_recording(pieces, **how, fps=25)
    with pytest.raises(ValueError, match="expected a list of files of one session to go with, got .*cage_1"):
        load_recording(pieces[0], **how)
    with pytest.raises(ValueError, match="got an array"):
        open_video(numbered_frames(2), **how)
    with pytest.raises(ValueError, match=r"expected \d (gaps|start times) for 2 files"):
        load_recording(pieces[:2], **how)


def test_a_piece_that_lost_its_end_leaves_a_gap_of_unknown_length(pieces, tmp_path):
    """What follows it must not move up into the time that was lost."""
    cut = write_video(tmp_path / "a.mkv", numbered_frames(60), options={"g": "5"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    after = shutil.copy(pieces[0], tmp_path / "b.mkv")
    with pytest.raises(ValueError, match=r"a\.mkv: cut short: .*; when the next file begins is not known, give gaps"):
        VideoSequence([cut, after], allow_cut_short=True)
    session = VideoSequence([cut, after], allow_cut_short=True, start_times=[0, 2.4])
    assert session.times[session.starts[1]] == pytest.approx(2.4) and len(session.gaps) == 1
    last = cut.rename(tmp_path / "c.mkv")
    assert VideoSequence([last, after], allow_cut_short=True).paths == (after, last)  # nothing follows it
    last.rename(cut)
    times = np.arange(len(session)) / 10
    assert load_recording([cut, after], times=times, allow_cut_short=True).times[-1] == pytest.approx(times[-1])


def test_digits_of_other_kinds_in_names(pieces, tmp_path):
    files = [shutil.copy(pieces[0], tmp_path / f"a1²{k}.mkv") for k in (10, 9)]
    assert VideoSequence(files).paths == (files[1], files[0])
