"""The csv files of a study survive spreadsheets, people, and other processes."""

from __future__ import annotations

import csv
import io

import pytest

from behavior_prism.study_tables import ANIMAL_COLUMNS, RECORDING_COLUMNS, Table

HEADER = "recording,video\n"


def table_of(tmp_path, text, *, encoding="utf-8", name="recordings.csv", required=("recording", "video")):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return Table(path, RECORDING_COLUMNS, required)


@pytest.mark.parametrize(
    "text",
    [
        "recording,video,cage\na,x.mp4,7\nb,y z.mp4,\n",
        "recording;video;cage\r\na;x.mp4;7\r\nb;y z.mp4;\r\n",
        "recording\tvideo\tcage\na\tx.mp4\t7\nb\ty z.mp4\t\n",
        "\ufeffRecording,VIDEO,cage\na,x.mp4,7\nb,y z.mp4\n",
        'sep=;\nrecording;video;cage\na;"x.mp4";7\nb;"""y z.mp4""";\n',
        "# ours, mine; yours\n\nrecording;video;cage;;\n;;;;\na;x.mp4;7;;\n#off;y.mp4;;;\nb; y z.mp4 ;;;",
    ],
)
def test_what_spreadsheets_make_of_a_table(tmp_path, text):
    table = table_of(tmp_path, text)
    assert [(r["recording"], r["video"], r["cage"]) for r in table.rows] == [("a", "x.mp4", "7"), ("b", "y z.mp4", "")]
    table.save()
    assert table.path.read_bytes() == text.encode()  # nothing changed, so not a byte does


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("recording,video\na,x.mp4\nb,y,z.mp4\n", 3, "must stand in quotes"),
        ('recording,video\na,"x.mp4\n', 2, "broken"),
        ("recording,video,video\n", 1, "every column once"),
        ("# note\nrecording,path\n", 2, "expected a column 'video'"),
        ("recording,video\na,x\0y\n", 2, "zero byte"),
    ],
)
def test_errors_name_the_line(tmp_path, text, line, said):
    with pytest.raises(ValueError, match=rf"recordings\.csv, line {line}: .*{said}"):
        table_of(tmp_path, text)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_other_encodings_are_refused_with_what_to_do(tmp_path, encoding):
    with pytest.raises(ValueError, match="line 1|line 2") as error:
        table_of(tmp_path, HEADER + "a,Käfig.mp4\n", encoding=encoding)
    assert "CSV UTF-8" in str(error.value)


def test_rows_over_several_lines_keep_the_count(tmp_path):
    table = table_of(tmp_path, 'recording,video,notes\na,x.mp4,"one\ntwo"\nb,y.mp4,\n')
    assert [(r.line, r["notes"]) for r in table.rows] == [(2, "one\ntwo"), (4, "")]


def test_lines_that_did_not_change_stay_byte_by_byte(tmp_path):
    text = '\ufeff# by hand\r\nrecording;video;Cage No\r\n a ;"x.mp4";7\r\n\r\n"b";y.mp4;8'
    table = table_of(tmp_path, text)
    table.append({"recording": "c", "video": "z;1.mp4"})
    table.change(5, {"video": "new.mp4"})
    table.save()
    expected = '\ufeff# by hand\r\nrecording;video;Cage No\r\n a ;"x.mp4";7\r\n\r\nb;new.mp4;8\r\nc;"z;1.mp4";\r\n'
    assert table.path.read_bytes().decode() == expected


def test_a_new_column_goes_to_the_end_of_every_row(tmp_path):
    table = table_of(tmp_path, "# note\nrecording,video,\na,x.mp4,odd\n")
    table.append({"recording": "b", "video": "y.mp4", "camera": "", "fingerprint": "ff"})
    table.save()
    rows = list(csv.reader(io.StringIO(table.path.read_text().split("\n", 1)[1])))
    assert table.path.read_text().startswith("# note\n")
    assert [row[:2] for row in rows] == [["recording", "video"], ["a", "x.mp4"], ["b", "y.mp4"]]
    again = Table(table.path, RECORDING_COLUMNS, ("recording", "video"))
    assert [r["fingerprint"] for r in again.rows] == ["", "ff"]
    assert "odd" in rows[1]


def test_a_new_table_has_its_columns(tmp_path):
    table = Table(tmp_path / "animals.csv", ANIMAL_COLUMNS)
    assert table.rows == []
    table.save()
    assert table.path.read_text() == ",".join(ANIMAL_COLUMNS) + "\n"


def test_what_somebody_changed_meanwhile_is_not_replaced(tmp_path):
    table = table_of(tmp_path, HEADER)
    table.append({"recording": "a", "video": "x.mp4"})
    table.path.write_text(HEADER + "b,y.mp4\n")
    with pytest.raises(BlockingIOError, match=r"recordings\.csv: somebody else changed it"):
        table.save()
    assert table.path.read_text() == HEADER + "b,y.mp4\n"
    assert [p.name for p in tmp_path.iterdir()] == ["recordings.csv"]


def test_a_link_stays_one(tmp_path):
    real = tmp_path / "real.csv"
    real.write_text(HEADER)
    (tmp_path / "recordings.csv").symlink_to(real)
    table = Table(tmp_path / "recordings.csv", RECORDING_COLUMNS)
    table.append({"recording": "a", "video": "x.mp4"})
    table.save()
    assert (tmp_path / "recordings.csv").is_symlink() and real.read_text() == HEADER + "a,x.mp4\n"
