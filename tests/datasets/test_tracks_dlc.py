"""DeepLabCut tables that the tests write: csv with 3 and 4 headers, both HDF5 layouts, and what must be refused."""

from __future__ import annotations

import pickle  # noqa: TID251 - to write what must not be read
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import sleap_io
from pytables_layout import pickled, write_fixed, write_table

from behavior_prism.datasets import load_tracks
from behavior_prism.datasets.track_pytables import plain_list

KEYPOINTS = ("snout", "left ear", "tailbase")
ANIMALS = ("mouse1", "mouse2")


def columns_of(animals=(), coords=("x", "y", "likelihood")) -> list[tuple[str, ...]]:
    single = [("net", k, c) for k in KEYPOINTS for c in coords]
    return [(s, a, k, c) for a in animals for s, k, c in single] if animals else single


def values_of(columns, rows: int = 5) -> np.ndarray:
    values = np.random.default_rng(0).uniform(10, 90, (rows, len(columns)))
    for i, column in enumerate(columns):
        if column[-1] == "likelihood":
            values[:, i] /= 100
    values[2, :2] = np.nan
    return values


def write_csv(path: Path, columns, rows, values, *, index_columns: int = 1) -> Path:
    words = ("scorer", "individuals", "bodyparts", "coords")
    words = words if len(columns[0]) == 4 else (words[0], *words[2:])
    lines = [",".join([w, *[""] * (index_columns - 1), *[c[k] for c in columns]]) for k, w in enumerate(words)]
    lines += [
        ",".join([str(name), *["" if np.isnan(v) else repr(float(v)) for v in row]])
        for name, row in zip(rows, values, strict=True)
    ]
    path.write_text("\n".join(lines))
    return path


def expected(columns, values, animal, keypoint, coordinate) -> np.ndarray:
    scorer = ("net",) if animal is None else ("net", animal)
    return values[:, columns.index((*scorer, keypoint, coordinate))]


def check(tracks, columns, values, animals) -> None:
    assert tracks.keypoint.values.tolist() == list(KEYPOINTS)
    assert tracks.individual.values.tolist() == list(animals or ("id_0",))
    for animal in animals or (None,):
        for keypoint in KEYPOINTS:
            one = tracks.sel(keypoint=keypoint, individual=animal or "id_0")
            for space in ("x", "y"):
                np.testing.assert_array_equal(
                    one.position.sel(space=space), expected(columns, values, animal, keypoint, space)
                )
            if columns[2][-1] == "likelihood":
                np.testing.assert_array_equal(one.confidence, expected(columns, values, animal, keypoint, "likelihood"))
            else:
                assert bool(one.confidence.isnull().all())


@pytest.mark.parametrize("animals", [(), ANIMALS])
@pytest.mark.parametrize("coords", [("x", "y", "likelihood"), ("x", "y"), ("y", "x")])
@pytest.mark.parametrize("form", ["csv", "fixed", "blocks", "table"])
def test_every_form_says_the_same(tmp_path, animals, coords, form):
    columns = columns_of(animals, coords)
    values, rows = values_of(columns), np.arange(5)
    if form == "csv":
        path = write_csv(tmp_path / "poses.csv", columns, rows, values)
    elif form == "table":
        path = write_table(tmp_path / "poses.h5", columns, rows, values)
    else:
        blocks = None if form == "fixed" else [list(range(1, len(columns), 2)), list(range(0, len(columns), 2))]
        path = write_fixed(tmp_path / "poses.h5", columns, rows, values, blocks=blocks)
    tracks = load_tracks(path)
    check(tracks, columns, values, animals)
    assert tracks.time.values.tolist() == [0, 1, 2, 3, 4] and tracks.attrs["time_unit"] == "frames"


def test_rows_that_start_later_keep_their_frames(tmp_path):
    columns = columns_of()
    path = write_csv(tmp_path / "late.csv", columns, range(2, 7), values_of(columns))
    assert load_tracks(path).time.values.tolist() == [2, 3, 4, 5, 6]
    aligned = load_tracks(path, times=np.arange(7) / 25)
    assert bool(aligned.position[:2].isnull().all()) and not bool(aligned.position[2].isnull().any())


def test_a_table_that_went_through_pandas_once_more(tmp_path):
    columns = columns_of()
    values = values_of(columns)
    plain = write_csv(tmp_path / "plain.csv", columns, range(5), values).read_text().splitlines()
    again = [f",{plain[0]}", *[f"{i},{line}" for i, line in enumerate(plain[1:])]]
    (tmp_path / "again.csv").write_text("\n".join(again))
    tracks = load_tracks(tmp_path / "again.csv")
    check(tracks, columns, values, ())
    assert tracks.time.values.tolist() == [0, 1, 2, 3, 4]  # the inner column, not the one pandas added


def test_labelled_images_are_frames_by_their_number(tmp_path):
    columns = columns_of(coords=("x", "y"))
    values = values_of(columns, 3)
    names = [f"labeled-data/m1/img{i:04d}.png" for i in (7, 3, 12)]
    one = load_tracks(write_csv(tmp_path / "one.csv", columns, names, values))
    assert one.time.values.tolist() == [3, 7, 12]
    np.testing.assert_array_equal(one.position[0, :, 0, 0], values[1, :2])
    split = [",".join(name.split("/")) for name in names]  # newer DeepLabCut: three columns
    three = load_tracks(write_csv(tmp_path / "three.csv", columns, split, values, index_columns=3))
    np.testing.assert_array_equal(three.position, one.position)
    fixed = write_fixed(tmp_path / "fixed.h5", columns, [tuple(name.split("/")) for name in names], values)
    np.testing.assert_array_equal(load_tracks(fixed).position, one.position)
    table = write_table(tmp_path / "table.h5", columns, np.array(names, dtype="S"), values)
    np.testing.assert_array_equal(load_tracks(table).position, one.position)
    # a few labelled frames may lie anywhere in the video
    assert load_tracks(table, times=np.arange(100) / 25).sizes["time"] == 100
    two = write_csv(tmp_path / "two.csv", columns, [*names[:2], "labeled-data/m2/img0001.png"], values)
    with pytest.raises(ValueError, match="two.csv: expected labels of one video, got those of 2"):
        load_tracks(two)


def test_sleap_io_reads_the_same_numbers(tmp_path):
    columns = columns_of(coords=("x", "y"))
    values = values_of(columns, 3)
    folder = tmp_path / "labeled-data" / "m1"
    folder.mkdir(parents=True)
    for i in range(3):
        (folder / f"img{i}.png").touch()
    path = write_csv(folder / "CollectedData.csv", columns, [f"labeled-data/m1/img{i}.png" for i in range(3)], values)
    labels = sleap_io.load_dlc(str(path))
    theirs = labels.numpy()  # (frame, animal, keypoint, xy), float32
    ours = load_tracks(path).sel(keypoint=labels.skeleton.node_names).position.values.transpose(0, 3, 2, 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_what_was_not_seen_is_missing(tmp_path):
    columns = columns_of(ANIMALS)
    values = values_of(columns)
    values[1, :3] = 0  # not seen: at the origin with likelihood 0
    values[3, 3:5], values[3, 5] = 0, 0.5  # at the origin, and said to be so
    tracks = load_tracks(write_csv(tmp_path / "zeros.csv", columns, range(5), values))
    first = tracks.position.sel(individual="mouse1")
    assert bool(first[1, :, 0].isnull().all()) and first[3, :, 1].values.tolist() == [0, 0]
    assert tracks.attrs["points_at_origin"] == 1
    bare = columns_of(ANIMALS, ("x", "y"))
    values = values_of(bare)
    values[1, :6] = 0  # the whole animal at the origin, and no likelihood to tell
    values[3, :2] = 0  # one keypoint only: it may be there
    tracks = load_tracks(write_fixed(tmp_path / "bare.h5", bare, np.arange(5), values))
    first = tracks.position.sel(individual="mouse1")
    assert bool(first[1].isnull().all()) and first[3, :, 0].values.tolist() == [0, 0]
    assert tracks.attrs["points_at_origin"] == 3


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_in_the_file_is_never_run(tmp_path, protocol):
    columns = columns_of()
    evil = pickle.dumps([Touch(tmp_path / "ran"), *columns], protocol=protocol)
    path = write_table(tmp_path / "evil.h5", columns, np.arange(5), values_of(columns), kind=evil)
    with pytest.raises(ValueError, match=r"evil\.h5: .*"):
        load_tracks(path)
    assert not (tmp_path / "ran").exists()
    pickle.loads(evil)  # noqa: S301 - our own: it would have run
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_lists_of_names_are_read_without_unpickling(protocol):
    columns = columns_of(ANIMALS)
    assert plain_list(pickle.dumps(columns, protocol=protocol)) == columns == plain_list(pickled(columns))
    assert plain_list(pickle.dumps([], protocol=protocol)) == []
    for other in ({"a": 1}, [object()], "text", [1.5, print]):
        with pytest.raises(ValueError, match="plain data|expected a list|not a list"):
            plain_list(pickle.dumps(other, protocol=protocol))


@pytest.mark.parametrize("data", [b"", b"(", b"a.", b"t.", b"(l", b"g5\n.", b"\xff\x00", b"(lp0\n(Vnose"])
def test_broken_pickles(data):
    with pytest.raises(ValueError):
        plain_list(data)


def test_a_small_pickle_that_takes_for_ever_to_compare():
    twice_over: tuple = ("nose", "x")
    for _ in range(60):
        twice_over = (twice_over, twice_over)
    with pytest.raises(ValueError, match="names in at most 4 lists within each other"):
        plain_list(pickle.dumps([twice_over]))


def test_a_name_that_is_missing_is_not_the_last_one(tmp_path):
    columns = columns_of()
    path = write_fixed(tmp_path / "a.h5", columns, np.arange(5), values_of(columns))
    with h5py.File(path, "r+") as file:
        (table,) = file.values()
        table["axis0_label1"][0] = table["block0_items_label1"][0] = -1
    with pytest.raises(ValueError, match=r"a\.h5: expected a name for every place"):
        load_tracks(path)


def test_a_long_table_takes_little_more_than_its_numbers(tmp_path):
    columns = columns_of(ANIMALS)
    row = "," + ",".join(["123.4567891"] * len(columns))
    path = write_csv(tmp_path / "long.csv", columns, range(1), np.ones((1, len(columns))))
    with path.open("a") as file:
        file.writelines(f"\n{i}{row}" for i in range(1, 20_000))
    tracemalloc.start()
    tracks = load_tracks(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * (tracks.position.nbytes + tracks.confidence.nbytes)


def test_tables_that_are_refused(tmp_path):
    columns = columns_of()
    good = write_csv(tmp_path / "good.csv", columns, range(5), values_of(columns)).read_text()
    cases = {
        "simba.csv": (",nose_x,nose_y,nose_p\n0,1,2,1", "DeepLabCut's header .*got ',nose_x"),
        "empty.csv": ("", "got 'an empty file'"),
        "cut.csv": (good[:-30], "expected 10 cells in every row|expected numbers"),
        "words.csv": (good.replace("\n4,", "\n4,a"), "expected numbers below the header"),
        "z.csv": (good.replace("likelihood", "z"), r"x, y and likelihood, got also \['z'\]"),
        "twice.csv": (good.replace("\n4,", "\n3,"), "one row per frame, got two for 3"),
        "same.csv": (good.replace("left ear", "snout"), "the same column twice"),
        "half.csv": (
            "scorer,s,s\nbodyparts,nose,tail\ncoords,x,y\n0,1,2",
            "x and y of every keypoint, got one of them",
        ),
        "far.csv": (good.replace("\n4,", f"\n{10**30},"), "expected numbers of frames, got 1000000"),
        "unnumbered.csv": (good.replace("\n4,", "\nlast,"), "got the row 'last'"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=rf"{name}: .*(?:{message})"):
            load_tracks(tmp_path / name)


def test_a_cut_h5_is_refused_at_any_length(tmp_path):
    columns = columns_of(ANIMALS)
    whole = write_fixed(tmp_path / "whole.h5", columns, np.arange(5), values_of(columns)).read_bytes()
    for length in np.linspace(0, len(whole) - 1, 25).astype(int):
        (tmp_path / "cut.h5").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.h5: "):
            load_tracks(tmp_path / "cut.h5")


@pytest.mark.parametrize("form", [write_fixed, write_table])
def test_spoilt_bytes_are_one_kind_of_error(tmp_path, form):
    columns = columns_of()
    whole = form(tmp_path / "whole.h5", columns, np.arange(5), values_of(columns)).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        spoilt = bytearray(whole)
        for at in rng.integers(0, len(whole), 4):
            spoilt[at] = rng.integers(256)
        (tmp_path / "spoilt.h5").write_bytes(spoilt)
        try:
            load_tracks(tmp_path / "spoilt.h5")
        except ValueError as error:
            assert "spoilt.h5: " in str(error)
