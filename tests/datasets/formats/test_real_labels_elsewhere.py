"""Real labels of other tools, written into parquet, NWB and SLEAP's files, and read again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from behavior_prism.datasets import at_rate, load_annotations, save_annotations

SHARED = Path(__file__).parents[4] / "shared/data"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="no recordings beside the checkout"),
]
FILES = {  # what the README of the recordings says of frames
    "rat-social/annotations/5_annot.txt": {"social": 6612, "nonsocial": 2934, "aggression": 2454, "chase": 27},
    "simba-bento/Together_1.annot": {"Attack": 4518, "Sniffing": 1062},
    "behaviordepot-freezing/demo7/hB_expert2.mat": {"Freezing": 4862},
    "jabs-turn-left/annotations": {},
}


@pytest.mark.parametrize("name", FILES)
def test_real_labels_come_back(tmp_path, name):
    path = SHARED / name
    path = sorted(path.glob("*.json"))[0] if path.is_dir() else path
    a = load_annotations(path)
    a = a if a.in_frames and a.in_seconds else at_rate(a, 30)
    a = a.select(recording=a.recordings[0])
    frames = (a.bouts["stop_frame"] - a.bouts["start_frame"]).groupby(a.bouts["behavior"]).sum()
    for ending in ("bouts.parquet", "nwb", "slp"):
        there = tmp_path / f"{a.recordings[0]}.{ending}"
        report = save_annotations(a, there)
        b = load_annotations(there)
        again = (b.bouts["stop_frame"] - b.bouts["start_frame"]).groupby(b.bouts["behavior"]).sum()
        assert {n: again[n] for n in FILES[name]} == FILES[name]
        pd.testing.assert_series_equal(frames, again)
        assert b.behaviors == a.behaviors
        if ending == "slp":
            names = ["recording", "individual", "target", "behavior", "scorer", "start_frame", "stop_frame"]
            pd.testing.assert_frame_equal(b.bouts[names], a.bouts[names])
            assert b.scored.empty
            continue
        pd.testing.assert_frame_equal(b.scored, a.scored[list(b.scored)])
        assert list(b.scored) == list(a.scored) or "further columns of scored intervals" in report.lost[0]
        kept = [c for c in a.bouts if c in b.bouts]
        pd.testing.assert_frame_equal(b.bouts[kept], a.bouts[kept])
        if ending == "bouts.parquet":
            assert b.ethogram == a.ethogram and kept == list(a.bouts)
