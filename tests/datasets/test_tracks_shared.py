"""Every pose file among the real recordings: its size, its place on its video, and other readers' values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sleap_io

from behavior_prism.datasets import Video, alignment_of, load_tracks

pytestmark = pytest.mark.shared

RAT = "DLC_dlcrnetms5_DLC_ratJan24shuffle1_5000_el_filtered.csv"
OFT = "8_01_A_190507134142DeepCut_resnet50_Blockcourse1May9shuffle1_1030000.csv"
OPENFIELD = "m3v1mp4DeepCut_resnet50_openfieldOct30shuffle1_15001.h5"
LABELLED = "deeplabcut-openfield/labeled-data_m4s1/CollectedData_Pranav"

# file: frames, individuals, keypoints
FILES = {
    "sleap-flies/20190128_113421.120s.predictions.slp": (3000, 2, 13),
    "sleap-flies/20190128_113421.120s.predictions.analysis.h5": (3000, 2, 13),
    "sleap-flies/centered_pair_predictions.slp": (1100, 27, 24),
    "sleap-flies/centered_pair_predictions.h5": (1100, 27, 24),
    f"deeplabcut-openfield/{OPENFIELD}": (2330, 1, 4),
    f"{LABELLED}.csv": (116, 1, 4),
    f"{LABELLED}.h5": (116, 1, 4),
    "amadeusgpt-mabe22/EGS8X2MN4SSUGFWAV976.h5": (1800, 3, 12),
    "deepof-topview/test2DLC_h5_table.h5": (100, 1, 14),
    "deepof-topview/test2DLC_h5_table_madlc.h5": (100, 2, 14),
    "deepof-topview/test2DLC_csv_table.csv": (97, 1, 14),
    "deepof-topview/test2DLC_csv_table_madlc.csv": (97, 2, 14),
    "deepof-topview/test2DLC_sleap.slp": (101, 1, 14),
    "deepof-topview/test2DLC_sleap.analysis.h5": (101, 1, 14),
    "lightning-pose-mirror-mouse/CollectedData.csv": (90, 1, 17),
    f"rat-social/dlc_csv/5{RAT}": (13500, 2, 5),
    f"rat-social/dlc_csv/24{RAT}": (13384, 2, 5),
    f"rat-social/dlc_csv/54{RAT}": (13535, 2, 5),
    "behaviordepot-freezing/demo1_tracking.csv": (6000, 1, 8),
    f"dlc2action/oft_sample/{OFT}": (1998, 1, 18),
}
REFUSED = {
    "deepof-topview/test2DLC_sleap_table.npy": "bare numbers without names",
    "dlc2action/crim_sample/Tvideo_8_trim.csv": "expected DeepLabCut's header",
    "dlc2action/crim_sample/Tvideo_25_trim.csv": "expected DeepLabCut's header",
}
TOPVIEW = "deepof-topview/test2DLC_video_circular_arena.mp4"


@pytest.mark.parametrize("file", FILES)
def test_sizes(shared_data, file):
    tracks = load_tracks(shared_data / file)
    assert (tracks.sizes["time"], tracks.sizes["individual"], tracks.sizes["keypoint"]) == FILES[file]
    assert bool(tracks.position.notnull().any())


@pytest.mark.parametrize("file", REFUSED)
def test_refused(shared_data, file):
    with pytest.raises(ValueError, match=REFUSED[file]):
        load_tracks(shared_data / file)


def test_every_pose_file_is_in_the_table(shared_data):
    found = {
        str(p.relative_to(shared_data))
        for end in ("slp", "h5", "npy", "nc", "nwb")
        for p in shared_data.rglob(f"*.{end}")
    }
    assert found <= {*FILES, *REFUSED}


@pytest.mark.parametrize(
    ("file", "video", "says"),
    [
        (
            "sleap-flies/20190128_113421.120s.predictions.slp",
            "sleap-flies/20190128_113421.120s.mp4",
            "3000 rows on 3000 frames: one each",
        ),
        (
            "sleap-flies/centered_pair_predictions.slp",
            "sleap-flies/centered_pair_small.mp4",
            "1100 rows on 1100 frames: one each, 27 fragments of tracks",
        ),
        (
            f"deeplabcut-openfield/{OPENFIELD}",
            "deeplabcut-openfield/m3v1mp4.mp4",
            "2330 rows on 2330 frames: one each",
        ),
        (
            "amadeusgpt-mabe22/EGS8X2MN4SSUGFWAV976.h5",
            "amadeusgpt-mabe22/EGS8X2MN4SSUGFWAV976.mp4",
            "1800 rows on 1801 frames: no row for 1 frame at the end",
        ),
    ],
)
def test_on_their_videos(shared_data, file, video, says):
    tracks = load_tracks(shared_data / file, shared_data / video)
    assert alignment_of(tracks).describe() == says


@pytest.mark.parametrize("name", ["sleap.analysis.h5", "h5_table.h5", "sleap.slp"])
def test_a_part_of_the_video_has_to_be_allowed(shared_data, name):
    path, video = shared_data / f"deepof-topview/test2DLC_{name}", Video(shared_data / TOPVIEW)
    short = 251 - FILES[f"deepof-topview/test2DLC_{name}"][0]
    with pytest.raises(ValueError, match=f"a row for each of 251 frames, .* pass tolerance={short}"):
        load_tracks(path, video)
    assert alignment_of(load_tracks(path, video, tolerance=short)).missing_at_end == short


def test_points_lie_on_the_animals(shared_data):
    """Mice darker or brighter than the floor around them, at x and y and not at y and x."""
    for file, video, part in (
        (f"deeplabcut-openfield/{OPENFIELD}", "deeplabcut-openfield/m3v1mp4.mp4", "tailbase"),
        ("amadeusgpt-mabe22/EGS8X2MN4SSUGFWAV976.h5", "amadeusgpt-mabe22/EGS8X2MN4SSUGFWAV976.mp4", "center back"),
    ):
        shown = Video(shared_data / video)
        tracks = load_tracks(shared_data / file, shown)
        right, swapped = [], []
        for k in range(0, 1500, 100):
            frame = shown[k].mean(axis=2)
            for x, y in tracks.position.sel(keypoint=part)[k].transpose("individual", "space").values:
                if np.isfinite(x) and max(x, y) + 4 < min(frame.shape):
                    x, y = int(x), int(y)
                    right.append(abs(frame[y - 3 : y + 4, x - 3 : x + 4].mean() - np.median(frame)))
                    swapped.append(abs(frame[x - 3 : x + 4, y - 3 : y + 4].mean() - np.median(frame)))
        assert len(right) > 5 and np.mean(right) > 2 * np.mean(swapped), (file, np.mean(right), np.mean(swapped))


def test_forms_of_one_table_agree(shared_data):
    for name in ("h5_table", "h5_table_madlc"):
        h5 = load_tracks(shared_data / f"deepof-topview/test2DLC_{name}.h5")
        csv = load_tracks(shared_data / f"deepof-topview/test2DLC_{name.replace('h5', 'csv')}.csv")
        assert h5.keypoint.values.tolist() == csv.keypoint.values.tolist()
        assert h5.individual.values.tolist() == csv.individual.values.tolist()
    h5, csv = (load_tracks(shared_data / f"{LABELLED}.{end}") for end in ("h5", "csv"))
    np.testing.assert_allclose(h5.position, csv.position)
    assert bool(csv.confidence.isnull().all())


def test_csv_as_pandas_reads_it(shared_data):
    for file in FILES:
        if file.endswith(".csv") and "dlc2action" not in file:
            headers = 4 if "rat-social" in file or "madlc" in file else 3
            table = pd.read_csv(shared_data / file, header=list(range(headers)), index_col=0)
            tracks = load_tracks(shared_data / file)
            for column in table.columns:
                one = tracks.sel(keypoint=column[-2], individual=column[1] if headers == 4 else "id_0")
                ours = one.confidence if column[-1] == "likelihood" else one.position.sel(space=column[-1])
                seen = ours.notnull().values
                np.testing.assert_allclose(ours.values[seen], table[column].values[seen], err_msg=f"{file} {column}")
                lost = table[column].values[~seen]
                assert np.all(np.isnan(lost) | (lost == 0))


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".slp")])
def test_slp_as_sleap_io_reads_it(shared_data, file):
    labels = sleap_io.load_slp(str(shared_data / file), open_videos=False)
    theirs = labels.numpy(return_confidence=True)
    tracks = load_tracks(shared_data / file)
    np.testing.assert_array_equal(tracks.position.transpose("time", "individual", "keypoint", "space"), theirs[..., :2])
    np.testing.assert_array_equal(tracks.confidence.transpose("time", "individual", "keypoint"), theirs[..., 2])


def test_analysis_as_sleap_io_reads_it(shared_data):
    path = shared_data / "deepof-topview/test2DLC_sleap.analysis.h5"
    theirs = sleap_io.load_analysis_h5(str(path)).numpy()
    ours = load_tracks(path).position.transpose("time", "individual", "keypoint", "space")
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_missing_likelihood_and_animals_that_are_away(shared_data):
    tracks = load_tracks(shared_data / "amadeusgpt-mabe22/EGS8X2MN4SSUGFWAV976.h5")
    assert bool(tracks.confidence.isnull().all())
    away = tracks.position.isnull().all(("space", "keypoint")).sum("time")
    assert away.values.tolist() == [358, 42, 162]
    assert float(tracks.position.min()) > 0


def test_first_rows_of_a_table_that_pandas_wrote_again(shared_data):
    """Its outer index runs from 2 to 1999, because it counts the header; the frames run from 0 to 1997."""
    tracks = load_tracks(shared_data / f"dlc2action/oft_sample/{OFT}")
    assert tracks.time.values[[0, -1]].tolist() == [0, 1997]
    assert float(tracks.position[0, 0, 0, 0]) == pytest.approx(445.6327736)


def test_old_and_new_slp_of_one_recording(shared_data):
    old, new = (load_tracks(shared_data / f"sleap-flies/centered_pair_predictions.{end}") for end in ("h5", "slp"))
    new = new.sel(keypoint=old.keypoint)
    np.testing.assert_allclose(old.position, new.position - 0.5)  # the older format counts from the corner of a pixel
    assert old.attrs["fragments"] == new.attrs["fragments"] == 27
    seen = new.position.notnull().all("space").any("keypoint").sum("individual")
    assert int(seen.max()) == new.attrs["most_at_once"] == 5 and int((seen == 3).sum()) > 0
