"""Times of frames by the word of the camera."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from behavior_prism.datasets import RecordingInfo, load_recording, read_timestamps

TIMES = np.array([5.0, 5.04, 5.08, 5.5, 5.54])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("5\n5.04\n5.08\n5.5\n5.54\n", {}),
        ("\ufefftime\r\n5\r\n5.04\r\n5.08\r\n5.5\r\n5.54\r\n\r\n", {}),
        ("# camera 3\n5000\n5040\n5080\n5500\n5540", {"unit": "ms"}),
        (
            "frame,exposure [us]\n0,5000000\n1,5040000\n2,5080000\n3,5500000\n4,5540000\n",
            {"column": "exposure [us]", "unit": "us"},
        ),
        ("frame;t\n0;5,0\n1;5,04\n2;5,08\n3;5,5\n4;5,54\n", {"column": "t"}),
        ("0 5\n1 5.04\n2 5.08\n3 5.5\n4 5.54\n", {"column": 1}),
        ("0\t5\n1\t5.04\n2\t5.08\n3\t5.5\n4\t5.54\n", {"column": 1}),
        ("time stamp\n5\n5.04\n5.08\n5.5\n5.54\n", {}),
    ],
)
def test_text_tables(tmp_path, text, options):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    table = read_timestamps(tmp_path / "t.csv", num_frames=5, **options)
    np.testing.assert_allclose(table.times, TIMES - 5, atol=1e-12)
    assert table.start_time == 5 and table.rows == 5 and table.note == ""


def test_npy_tables(tmp_path):
    fields = np.zeros(5, dtype=[("frame", "i4"), ("t", "f8")])
    fields["t"] = TIMES
    for array, column in ((TIMES, None), (TIMES[:, None], None), (np.c_[np.arange(5), TIMES], 1), (fields, "t")):
        np.save(tmp_path / "t.npy", array)
        np.testing.assert_allclose(read_timestamps(tmp_path / "t.npy", column=column).times, TIMES - 5, atol=1e-12)
    np.save(tmp_path / "t.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a npy table"):
        read_timestamps(tmp_path / "t.npy")


def test_nanoseconds_since_1970_keep_their_digits(tmp_path):
    first = 1_714_550_400_123_456_789
    for name in ("t.txt", "t.npy"):
        stamps = first + np.array([0, 1, 33_333_333], dtype=np.int64)
        np.save(tmp_path / name, stamps) if name.endswith("npy") else np.savetxt(tmp_path / name, stamps, fmt="%d")
        table = read_timestamps(tmp_path / name, unit="ns")
        np.testing.assert_allclose(table.times, [0, 1e-9, 0.033333333], rtol=1e-12)
        assert table.start_time == pytest.approx(1714550400.123456789)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("1\n2\n1.5\n", {}, r"line 3: expected times that do not go back, got 2.0 then 1.5"),
        ("1\nx\n", {}, "line 2: expected a time as a number, got 'x'"),
        ("1\nnan\n", {}, "line 2: expected a time, got nan"),
        ("a,b\n1,2\n", {}, r"expected the name or the number of a column, got the columns \['a', 'b'\]"),
        ("a,b\n1,2\n", {"column": "c"}, r"expected a column 'c' once"),
        ("a,b\n1,2\n3\n", {"column": "b"}, r"line 3: expected a time as a number, got no such column"),
        ("1,2\n", {"column": 2}, "expected a column from 0 to 1, got 2"),
        ("", {}, "expected time stamps, got none"),
        ("1\n2\n", {"unit": "min"}, "expected a unit among s, ms, us, ns, got 'min'"),
        ("1\n2\n", {"num_frames": 3}, "expected 3 time stamps, one per frame, got 2"),
        ("1\n2\n", {"num_frames": 5, "tolerance": 2}, "state a tolerance of 3"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, options, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_timestamps(tmp_path / "t.csv", **options)
    assert "t.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_tolerance_is_reported(tmp_path):
    np.savetxt(tmp_path / "t.csv", TIMES)
    fewer = read_timestamps(tmp_path / "t.csv", num_frames=4, tolerance=1)
    np.testing.assert_allclose(fewer.times, TIMES[:4] - 5)
    assert "5 time stamps for 4 frames: the last 1 left out" in fewer.note and fewer.rows == 5
    more = read_timestamps(tmp_path / "t.csv", num_frames=7, tolerance=2)
    np.testing.assert_allclose(more.times[4:], [0.54, 0.58, 0.62])
    assert "2 added at the end, 0.04 s apart" in more.note


def test_a_recording_keeps_the_cameras_time(video_file, tmp_path):
    np.savetxt(tmp_path / "t.csv", TIMES)
    recording = load_recording(video_file(5), timestamps=tmp_path / "t.csv")
    np.testing.assert_allclose(recording.times, TIMES - 5)
    np.testing.assert_allclose(recording.edges, [*(TIMES - 5), 0.58])
    assert recording.times[0] == 0 and recording.start_time == 5
    assert recording.video.time_to_frame(0.3) == 2  # shown until the next one came
    assert recording.video[4].shape == (64, 96, 3)
    with pytest.raises(ValueError, match="expected 6 time stamps, one per frame, got 5"):
        load_recording(video_file(6), timestamps=tmp_path / "t.csv")
    loose = read_timestamps(tmp_path / "t.csv", tolerance=1)
    with pytest.warns(UserWarning, match="1 added at the end"):
        assert len(load_recording(video_file(6), timestamps=loose).times) == 6
    with pytest.raises(ValueError, match="expected timestamps, times or fps"):
        load_recording(video_file(5), timestamps=tmp_path / "t.csv", fps=20)
    np.savetxt(tmp_path / "twice.csv", [0, 1, 1, 2, 3])
    with pytest.raises(ValueError, match=r"twice.csv: does not fit: .*increasing"):
        load_recording(video_file(5), timestamps=tmp_path / "twice.csv")


def test_further_clocks_and_what_the_lab_knows(video_file):
    info = RecordingInfo(session="day 1", animals=("m1", "m2"))
    ttl = np.array([100, 100.04, np.nan, 100.2, 100.3])
    recording = load_recording(video_file(5), clocks={"ttl": ttl}, info=info)
    np.testing.assert_array_equal(recording.clocks["ttl"], ttl)
    assert recording.info.animals == ("m1", "m2") and recording.info.notes == ""
    assert load_recording(video_file(5)).info == RecordingInfo() and load_recording(video_file(5)).clocks == {}
    with pytest.raises(ValueError, match="clock 'ttl': expected one time for each of 5 frames"):
        load_recording(video_file(5), clocks={"ttl": ttl[:3]})
    with pytest.raises(ValueError, match="clock 'ttl': expected finite times that do not go back"):
        load_recording(video_file(5), clocks={"ttl": ttl[::-1]})


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ('"frame,t\n0,1.5\n1,2.5\n', None, "line 2: expected 1 columns, got 2"),  # else frames would be times
        ("frame,t\n0,0,04\n1,0,08\n", "t", "line 2: expected 2 columns, got 3"),  # else all would be 0
        ("1\n" + "9" * 400, None, "line 2: expected a time, got inf"),
        ('a,"' + "x" * 200_000 + '"\n1,2\n', 0, "not a table of time stamps"),
    ],
)
def test_broken_tables_are_one_line(tmp_path, text, column, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_timestamps(tmp_path / "t.csv", column=column)
    assert "t.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["t;\n5,0;\n5,5;\n", "t,\n5.0,\n5.5,\n"])
def test_a_separator_at_the_end_of_lines_is_no_column(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    np.testing.assert_allclose(read_timestamps(tmp_path / "t.csv", column="t").times, [0, 0.5])


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"t\.csv: expected a table of time stamps, got a pipe"):
        read_timestamps(tmp_path / "t.csv")


def test_the_cameras_times_of_a_folder_in_which_numbers_are_missing(tmp_path):
    """A dropped frame is just what the table is for."""
    (tmp_path / "frames").mkdir()
    for k in (0, 1, 3):
        cv2.imwrite(str(tmp_path / "frames" / f"{k}.png"), np.full((8, 8, 3), k, np.uint8))
    np.savetxt(tmp_path / "t.csv", [5, 5.1, 5.3])
    recording = load_recording(tmp_path / "frames", timestamps=tmp_path / "t.csv")
    np.testing.assert_allclose(recording.times, [0, 0.1, 0.3])
    assert recording.start_time == 5 and recording.video[2].max() == 3
