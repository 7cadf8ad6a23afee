"""A study as Python sees it: made, filled, checked, moved."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered_videos import numbered_frames, write_video
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

import behavior_prism as bp
from behavior_prism.datasets import Behavior, CropSpec, Ethogram, fingerprint
from behavior_prism.study import Study
from behavior_prism.study_files import found_path, slug_of, slug_problem, stored_path
from behavior_prism.study_groups import connected_groups
from behavior_prism.study_tables import Row


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    for k, name in enumerate(("a", "b", "c")):
        write_video(folder / f"{name}.mp4", numbered_frames(20 + k))
    return folder


@pytest.fixture
def lab(tmp_path, originals):
    """``lab/videos`` and ``lab/study``."""
    shutil.copytree(originals, tmp_path / "lab" / "videos")
    Study.create(tmp_path / "lab" / "study", behaviors=("walk", "rear"))
    return tmp_path / "lab"


def write(study, **tables):
    for name, text in tables.items():
        (study / f"{name}.csv").write_text(text)


# settings


def test_settings_are_read_as_they_were_written(tmp_path):
    ethogram = Ethogram(
        (
            Behavior(name='say "hi"\\', key="h", color="#0072b2", definition="Käfig\nzwei", category="social"),
            Behavior(name="rearing", id="rear", kind="point", code=7),
        ),
        exclusive=[('say "hi"\\', "rearing")],
    )
    crop = CropSpec(centre=("neck", "tail"), up=("tail", "neck"), size=1.5)
    defaults = {"length": 8, "rate": 12.5, "stride": 4, "grid": (2, 3), "individual_source": "crop"}
    made = Study.create(
        tmp_path / "s", name="Mäuse", behaviors=ethogram, encoder={"name": "x"}, defaults=defaults, crop=crop
    )
    found = bp.Study.open(tmp_path / "s" / "study.toml")
    assert found.settings == made.settings
    assert found.ethogram == ethogram and found.settings.crop == crop and found.settings.defaults == defaults
    assert found.name == "Mäuse" and found.settings.encoder["name"] == "x"
    with pytest.raises(FileExistsError, match="a study already"):
        Study.create(tmp_path / "s")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('schema = 9\nname = "a"', r"line 1: expected schema = 1, got 9 \(made by a newer version\)"),
        ('name = "a"', "expected schema = 1, got None"),
        ("schema = 1\nname = a", "line 2"),
        ('schema = 1\nname = "a"\ncolour = "red"', "line 3: expected one of .*'colour'"),
        ('schema = 1\nname = "a"\n[defaults]\nstep = "3"', r"line 4: \[defaults\] step: expected a int, got '3'"),
        ('schema = 1\nname = "a"\n[defaults]\nstride = 0', "line 4: .*positive"),
        ('schema = 1\nname = "a"\n[defaults]\nstep = 1\nrate = 30.0', "line 5: .*not both"),
        ('schema = 1\nname = "a"\n[defaults]\ngrid = "4"', "line 4: .*'4x4', got '4'"),
        ('schema = 1\nname = "a"\n[crop]\nunit = "miles"', "line 3: .*unit"),
        ('schema = 1\nname = "a"\n[[behavior]]\nname = "w"\n[[behavior]]\nname = "w"', "line 5: .*each name once"),
        ('schema = 1\nname = "a"\n[[behavior]]\nname = "w"\n[[behavior]]\nnam = "w"', "line 6: .*'nam'"),
        (
            'schema = 1\nname = "a"\nexclusive = [["w", "x"]]\n[[behavior]]\nname = "w"',
            "line 3: .*unknown behaviour 'x'",
        ),
    ],
)
def test_a_wrong_study_toml_is_told_with_its_line(tmp_path, text, said):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(ValueError, match=rf"study\.toml.*{said}"):
        Study.open(tmp_path)


def test_a_refused_study_is_not_half_there(tmp_path):
    with pytest.raises(ValueError, match="positive"):
        Study.create(tmp_path / "s", defaults={"stride": -1})
    assert not (tmp_path / "s" / "study.toml").exists()
    with pytest.raises(FileNotFoundError, match=r"none with a study\.toml"):
        Study.open(tmp_path / "s")


# tables


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"recordings": "recording,video\na,x.mp4\na,y.mp4\n"}, "recordings.csv, line 3: .*a stands in line 2"),
        ({"recordings": "recording,video\na,x.mp4\nb,x.mp4\n"}, "recordings.csv, line 3: video: .*line 2"),
        ({"recordings": "recording,video\n../a,x.mp4\n"}, "recordings.csv, line 2: recording: .*'../a'"),
        ({"recordings": "recording,video\nnul,x.mp4\n"}, "line 2: recording: .*Windows"),
        ({"recordings": "recording,video\nMouse,x.mp4\n"}, "line 2: recording: .*a-z"),
        ({"recordings": "recording,video\na,x.mp4||y.mp4\n"}, "line 2: video"),
        ({"recordings": "recording,video\na,\n"}, "line 2: video"),
        ({"recordings": "recording,video,fps\na,x.mp4,fast\n"}, "line 2: fps: .*'fast'"),
        ({"recordings": "recording,video,fps,timestamps\na,x.mp4,3,t.csv\n"}, "line 2: .*got both"),
        ({"recordings": "recording,video,fingerprint\na,x.mp4,1.2E+30\n"}, "line 2: fingerprint"),
        ({"animals": "animal,sex\nm1,f\n\nm1,m\n"}, "animals.csv, line 4: .*m1 stands in line 2"),
        ({"animals": "animal\na|b\n"}, r"animals.csv, line 2: animal: .*'a\|b'"),
        (
            {"recordings": "recording,video\na,x.mp4\n", "subjects": "recording,animal\na,m1\n"},
            "subjects.csv, line 2: animal: expected one of animals.csv, got 'm1'",
        ),
        (
            {"animals": "animal\nm1\n", "subjects": "recording,animal\nb,m1\n"},
            "subjects.csv, line 2: recording: .*got 'b'",
        ),
        (
            {
                "recordings": "recording,video\na,x.mp4\n",
                "animals": "animal\nm1\nm2\n",
                "subjects": "recording,individual,animal\na,left,m1\na,left,m2\n",
            },
            "subjects.csv, line 3: .*a, left stands in line 2",
        ),
        (
            {
                "recordings": "recording,video\na,x.mp4\n",
                "animals": "animal\nm1\n",
                "subjects": "recording,individual,animal\na,left,m1\na,right,m1\n",
            },
            "subjects.csv, line 3: .*a, m1 stands in line 2",
        ),
    ],
)
def test_what_does_not_go_together_is_told_with_its_line(lab, tables, said):
    opened = Study.open(lab / "study")
    write(lab / "study", **tables)
    with pytest.raises(ValueError, match=said):
        Study.open(lab / "study")
    with pytest.raises(ValueError, match=said):
        opened.reload()
    assert opened.names == []  # what was read before stays


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "", "con", "A", "ä", "-x", "a.b", "a b", "x" * 81, "a\n"])
def test_no_name_leaves_the_folder(lab, name):
    study = Study.open(lab / "study")
    assert slug_problem(name)
    for place in (study.features_folder, study.predictions_folder, study.probe_folder):
        with pytest.raises(ValueError, match="expected"):
            place(name)
    with pytest.raises(ValueError, match="key"):
        study.feature_path("a", "../../../../x")


@given(st.text(min_size=1))
def test_names_that_are_made_are_names(text):
    try:
        slug = slug_of(text)
    except ValueError:
        return
    assert slug_problem(slug) == ""


def test_where_things_lie(lab):
    study = Study.open(lab / "study")
    key = hashlib.sha256(b"settings").hexdigest()
    assert study.feature_path("a", key) == lab / "study" / "features" / "a" / f"{key[:12]}.zarr"
    assert study.journal_folder == lab / "study" / "labels" / "journal"


# recordings


def test_a_recording_comes_with_what_is_known_of_it(lab):
    study = Study.open(lab / "study")
    table = lab / "times.csv"
    table.write_text("frame,ms\n" + "".join(f"{k},{1000 + 50 * k}\n" for k in range(20)))
    write(
        lab / "study",
        recordings="recording;video;camera;session;timestamps;timestamps_column;timestamps_unit;room\n"
        f"a;..\\videos\\a.mp4;top;s1;../times.csv;ms;ms;12\nbc;../videos/b.mp4|{lab}/videos/c.mp4;;;;;;\n",
        animals="animal,group\nm1,wt\nm2,wt\n",
        subjects="recording,animal,role\na,m1,\na,m2,resident\n",
    )
    study.reload()
    a, both = study.recording("a"), study.recording("bc")
    assert a.info == bp.datasets.RecordingInfo(session="s1", group="wt", camera="top", animals=("m1", "m2"))
    np.testing.assert_allclose(a.times, np.arange(20) / 20)
    assert a.name == "a" and both.num_frames == 21 + 22
    assert study.recordings["room"].tolist() == ["12", ""]
    assert study.individuals("a") == {"m1": "m1", "m2": "m2"}
    with pytest.raises(ValueError, match=r"unknown recording 'z', expected one of \['a', 'bc'\]"):
        study.recording("z")


def test_individuals_must_be_those_of_the_tracks(tmp_path):
    one = bp.simulate_recording("mouse", seconds=1, size=(64, 64), num_animals=2, seed=1)
    video = bp.datasets.write_recording(one, tmp_path)["video"]
    study = Study.create(tmp_path / "study")
    with pytest.raises(ValueError, match=r"expected individuals among \['mouse1', 'mouse2'\], got 'm1'"):
        study.add([video], animals=["m1"])
    study.add([video], animals=["m1", "m2"], individuals=["mouse2", "mouse1"])
    name = study.names[0]
    assert study.recording(name).tracks is not None
    assert study.individuals(name) == {"mouse2": "m1", "mouse1": "m2"}
    text = (tmp_path / "study" / "subjects.csv").read_text()
    write(tmp_path / "study", subjects=text.replace("mouse1", "cat"))
    study.reload()
    with pytest.raises(ValueError, match=r"subjects\.csv, line 3: individual: .*got 'cat'"):
        study.recording(name)


@given(st.lists(st.sets(st.sampled_from("mnopq"), max_size=3), max_size=7))
def test_groups_are_connected_components(animals):
    names = [f"r{k}" for k in range(len(animals))]
    found = connected_groups(
        [Row({"recording": n}, 0) for n in names], {n: frozenset(a) for n, a in zip(names, animals, strict=True)}
    )
    shared = [[bool(a & b) for b in animals] for a in animals]
    _, labels = connected_components(csr_array(np.array(shared, dtype=int).reshape(len(names), len(names))))
    component = dict(zip(names, labels, strict=True))
    for one, other in combinations(names, 2):
        assert (found[one] == found[other]) == (component[one] == component[other])
    assert all(found[group] == group for group in found.values())


def test_cameras_of_one_session_are_not_parted(lab):
    write(
        lab / "study",
        recordings="recording,video,session,camera\na,1,s,top\nb,2,s,side\nc,3,t,top\nd,4,t,side\ne,5,t,top\n",
        animals="animal\nm\nn\n",
        subjects="recording,animal\nc,m\nd,n\n",
    )
    assert Study.open(lab / "study").groups() == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "d"}


# adding


def test_videos_are_added_once(lab):
    study = Study.open(lab / "study")
    first = study.add([lab / "videos" / "*.mp4"], animals=["m1"], group="wt", camera="top")
    assert [r["recording"] for r in first.added] == ["a", "b", "c"] == study.names
    assert study.recordings["video"].tolist() == [f"../videos/{n}.mp4" for n in "abc"]
    assert study.recordings["fingerprint"].tolist() == [fingerprint(lab / "videos" / f"{n}.mp4") for n in "abc"]
    assert study.animals[["animal", "group"]].to_numpy().tolist() == [["m1", "wt"]]
    assert set(study.groups().values()) == {"a"}
    before = {p.name: p.read_bytes() for p in (lab / "study").glob("*.csv")}
    shutil.copy(lab / "videos" / "a.mp4", lab / "copy.mp4")
    again = study.add([lab / "videos", lab / "copy.mp4"])
    assert not again.added and sorted(again.known.values()) == ["a", "a", "b", "c"]
    assert {p.name: p.read_bytes() for p in (lab / "study").glob("*.csv")} == before


def test_a_dry_run_changes_nothing(lab):
    study = Study.open(lab / "study")
    before = sorted((p, p.stat().st_mtime_ns) for p in (lab / "study").rglob("*"))
    result = study.add([lab / "videos"], animals=["m1"], dry_run=True)
    assert [r["recording"] for r in result.added] == ["a", "b", "c"]
    assert sorted((p, p.stat().st_mtime_ns) for p in (lab / "study").rglob("*")) == before
    assert study.names == []


def test_one_bad_video_does_not_keep_the_others_out(lab):
    (lab / "videos" / "b.mp4").write_text("no video")
    study = Study.open(lab / "study")
    result = study.add([lab / "videos"])
    assert study.names == ["a", "c"] and [f for f, _ in result.failed] == [str(lab / "videos" / "b.mp4")]
    with pytest.raises(ValueError, match=r"b\.mp4"):
        study.add([lab / "videos" / "b.mp4"])


def test_files_of_one_name_take_that_of_their_folder(lab):
    for cage, name in (("Cage 1", "a"), ("Cage 2", "b")):
        (lab / cage).mkdir()
        shutil.copy(lab / "videos" / f"{name}.mp4", lab / cage / "Video.mp4")
    study = Study.open(lab / "study")
    study.add([f"{lab}/Cage*/*.mp4"])
    assert study.names == ["video", "cage-2_video"]
    with pytest.raises(ValueError, match="'video' is taken"):
        study.add([lab / "videos" / "c.mp4"], name="video")


def test_files_of_one_session_are_one_recording(lab):
    study = Study.open(lab / "study")
    study.add([lab / "videos" / "b.mp4", lab / "videos" / "a.mp4"], join=True, name="session-1")
    assert study.recordings["video"].tolist() == ["../videos/a.mp4|../videos/b.mp4"]
    assert study.recording("session-1").num_frames == 41
    with pytest.raises(ValueError, match="some of its files belong to session-1"):
        study.add([lab / "videos" / "b.mp4", lab / "videos" / "c.mp4"], join=True)
    assert study.add([lab / "videos" / "a.mp4"]).known == {str(lab / "videos" / "a.mp4"): "session-1"}


def test_animals_can_be_told_later(lab):
    study = Study.open(lab / "study")
    study.add([lab / "videos"])
    assert len(study.subjects) == 0
    study.add([lab / "videos" / "b.mp4"], animals=["m1"])
    assert study.individuals("b") == {"m1": "m1"} and study.individuals("a") == {}


def test_a_replaced_video_is_told(lab):
    study = Study.open(lab / "study")
    study.add([lab / "videos"])
    write_video(lab / "videos" / "b.mp4", numbered_frames(33))
    assert [r.video for r in study.status().recordings] == ["found", "changed", "found"]
    with pytest.raises(ValueError, match="not the file any more that it was as 'b'"):
        study.add([lab / "videos" / "b.mp4"])
    text = (lab / "study" / "recordings.csv").read_text()
    write(lab / "study", recordings=text.replace(fingerprint(lab.parent / "lab" / "videos" / "a.mp4"), ""))
    study.reload()
    study.add([lab / "videos" / "a.mp4"])
    assert study.row("a")["fingerprint"] == fingerprint(lab / "videos" / "a.mp4")  # rows written by hand get theirs


ADD = "import sys; from behavior_prism.study import Study; Study.open(sys.argv[1]).add(sys.argv[2:], animals=['m'])"


def test_processes_that_add_at_once(lab):
    """Real processes; whoever comes later sees what the others wrote."""
    jobs = [
        subprocess.Popen([sys.executable, "-P", "-c", ADD, str(lab / "study"), str(lab / "videos" / f"{n}.mp4")])
        for n in "abcabc"
    ]
    assert [job.wait(timeout=120) for job in jobs] == [0] * 6
    study = Study.open(lab / "study")
    assert sorted(study.names) == ["a", "b", "c"]
    assert len(study.animals) == 1 and len(study.subjects) == 3


# moving


def test_a_study_that_moves_with_its_videos_needs_nothing(lab, tmp_path):
    Study.open(lab / "study").add([lab / "videos"])
    before = (lab / "study" / "recordings.csv").read_bytes()
    lab.rename(tmp_path / "elsewhere")
    study = Study.open(tmp_path / "elsewhere" / "study")
    assert study.status().good
    assert study.recording("a").num_frames == 20 and str(tmp_path / "elsewhere") in str(study.video_files("a")[0])
    assert (tmp_path / "elsewhere" / "study" / "recordings.csv").read_bytes() == before


def test_a_copied_study_finds_videos_where_they_were(lab, tmp_path):
    Study.open(lab / "study").add([lab / "videos"])
    shutil.copytree(lab / "study", tmp_path / "far" / "away" / "study")
    study = Study.open(tmp_path / "far" / "away" / "study")
    assert study.status().good and study.recording("c").num_frames == 22
    write_video(lab / "videos" / "c.mp4", numbered_frames(5))  # not the same any more
    assert [r.video for r in Study.open(study.folder).status().recordings] == ["found", "found", "missing"]


def test_moved_and_renamed_videos_are_found_by_what_is_in_them(lab, tmp_path):
    study = Study.open(lab / "study")
    study.add([lab / "videos"])
    shutil.rmtree(lab / "study" / ".cache")  # it can go at any time
    disk = tmp_path / "new disk"
    (disk / "deep").mkdir(parents=True)
    (lab / "videos" / "a.mp4").rename(disk / "deep" / "renamed.MP4")
    (lab / "videos" / "b.mp4").rename(disk / "c.mp4")
    (lab / "videos" / "c.mp4").rename(disk / "a.mp4")
    assert [r.video for r in study.status().recordings] == ["missing"] * 3
    result = study.relocate([disk])
    assert not result.missing
    assert [study.recording(n).num_frames for n in "abc"] == [20, 21, 22]
    assert [study.row(n)["fingerprint"] for n in "abc"] == [fingerprint(study.video_files(n)[0]) for n in "abc"]
    (disk / "a.mp4").unlink()
    assert [name for name, _ in study.relocate([lab]).missing] == ["c"]
    assert study.row("c")["video"].endswith("a.mp4")  # what was not found stays as it was


def test_mtime_only_decides_whether_to_look_again(lab, monkeypatch):
    study = Study.open(lab / "study")
    study.add([lab / "videos"])
    looked = []
    real = fingerprint
    monkeypatch.setattr("behavior_prism.study_files.fingerprint", lambda path: looked.append(path) or real(path))
    assert study.status().good and looked == []
    os.utime(lab / "videos" / "a.mp4", (1, 1))
    assert study.status().good and [p.name for p in looked] == ["a.mp4"]
    assert study.status().good and len(looked) == 1


def test_paths_are_relative_on_one_disk(tmp_path):
    (tmp_path / "study").mkdir()
    video = tmp_path / "raw" / "ä b.mp4"
    video.parent.mkdir()
    video.touch()
    assert stored_path(tmp_path / "study", video) == "../raw/ä b.mp4"
    assert found_path(tmp_path / "study", "..\\raw\\ä b.mp4").samefile(video)
    assert found_path(tmp_path / "study", str(video)) == video


def test_a_study_that_cannot_be_written_to_can_be_read(lab):
    Study.open(lab / "study").add([lab / "videos"])
    shutil.rmtree(lab / "study" / ".cache")
    (lab / "study" / ".cache").write_text("in the way of the cache")
    assert Study.open(lab / "study").status().good


def test_tracks_move_with_their_video(tmp_path):
    one = bp.simulate_recording("mouse", seconds=1, size=(64, 64), num_animals=1, seed=1)
    video = bp.datasets.write_recording(one, tmp_path / "raw")["video"]
    study = Study.create(tmp_path / "study")
    study.add([video])
    (name,) = study.names
    expected = study.recording(name).tracks["position"].values
    assert np.isfinite(expected).any()
    shutil.copytree(tmp_path / "study", tmp_path / "far" / "away" / "study")
    copy = Study.open(tmp_path / "far" / "away" / "study")
    assert copy.status().good  # seen last in raw/, and the tracks lie beside
    np.testing.assert_array_equal(copy.recording(name).tracks["position"].values, expected)
    (tmp_path / "raw").rename(tmp_path / "moved")
    assert [(r.video, r.tracks) for r in copy.status().recordings] == [("missing", "missing")]
    assert list(copy.relocate([tmp_path / "moved"]).found) == [name]
    np.testing.assert_array_equal(copy.recording(name).tracks["position"].values, expected)
