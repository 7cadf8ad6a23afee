"""Labels on their way into training: what a file does not know is not scored, and point events are learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from behavior_prism.analysis import missed_bouts
from behavior_prism.datasets import to_dense
from behavior_prism.workflow import load_labels


def store_of(recording: str, frames: int = 10) -> xr.Dataset:
    return xr.Dataset(
        {"edge_time": ("edge", np.arange(frames + 1.0)), "frame": ("time", np.arange(0, frames, 2))},
        attrs={"recording": recording},
    )


def test_what_another_file_adds_was_not_looked_for_in_this_one(tmp_path: Path) -> None:
    stores, files = [store_of("m1"), store_of("m2")], []
    for name, behavior in (("m1", "walk"), ("m2", "groom")):
        rows = [f"{k},{int(k < 3)},{int(k >= 3)}" for k in range(10)]
        files.append(tmp_path / f"{name}_labels.csv")
        files[-1].write_text("\n".join([f",background,{behavior}", *rows]) + "\n")
    found, notes = load_labels(files, stores)
    for labels, own in zip(found, ("walk", "groom"), strict=True):
        dense = to_dense(labels, np.arange(10.0)).squeeze()
        assert dense.sel(behavior=own).values.tolist() == [0] * 3 + [1] * 7
        other = {"walk": "groom", "groom": "walk"}[own]
        assert dense.sel(behavior=other).values.tolist() == [-1] * 10
    assert any("background means" in note for note in notes)  # what reading assumed is told
    assert notes[-2:] == ["m1: its labels do not know groom; not scored there",
                          "m2: its labels do not know walk; not scored there"]  # fmt: skip


def test_what_reading_assumed_is_told(tmp_path: Path) -> None:
    (tmp_path / "m3.bouts.csv").write_text("behavior,start,stop\nwalk,1.2,3\n")
    _, notes = load_labels([tmp_path / "m3.bouts.csv"], [store_of("m3")])
    assert f"{tmp_path / 'm3.bouts.csv'}: seconds were moved by at most 200 ms to the nearest frame edge" in notes
    assert not [n for n in notes if "placed on its frames" in n]


def test_point_events_go_into_training(tmp_path: Path) -> None:
    file = tmp_path / "m1.bouts.csv"
    file.write_text("kind,behavior,start_frame,stop_frame\nscored,jump,0,10\nscored,walk,0,10\n"
                    "bout,walk,1,3\npoint,jump,4,4\npoint,jump,7,7\n")  # fmt: skip
    store = store_of("m1")
    (labels,), notes = load_labels([file], [store])
    assert to_dense(labels, np.arange(10.0)).squeeze().sel(behavior="jump").values.tolist() == [
        0, 0, 0, 0, 1, 0, 0, 1, 0, 0,
    ]  # fmt: skip
    # the event of frame 4 is on a sampled frame, that of frame 7 is not
    assert missed_bouts(store, labels) == 1
    assert len(notes) == 1


def test_a_behaviour_is_of_one_kind_in_all_files(tmp_path: Path) -> None:
    head = "kind,behavior,start_frame,stop_frame\n"
    (tmp_path / "m1.bouts.csv").write_text(head + "point,jump,4,4\n")
    (tmp_path / "m2.bouts.csv").write_text(head + "bout,jump,4,6\n")
    with pytest.raises(ValueError, match="'jump': a state in one label file and a point event in another"):
        load_labels([tmp_path / "m1.bouts.csv", tmp_path / "m2.bouts.csv"], [store_of("m1"), store_of("m2")])
