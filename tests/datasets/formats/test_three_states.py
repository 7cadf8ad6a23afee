"""What was not looked at stays so on its way in, and what is not carried on its way out is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from behavior_prism.datasets import (
    Annotations,
    Behavior,
    Ethogram,
    empty_table,
    load_annotations,
    save_annotations,
    to_dense,
)

EDGES = {"m1": np.arange(21) / 25}


def test_behaviours_that_the_file_does_not_know_are_not_scored(tmp_path: Path) -> None:
    file = tmp_path / "m1_labels.csv"
    file.write_text(",background,walk\n0,1,0\n1,0,1\n2,1,0\n")
    labels = load_annotations(file, behaviors=["walk", "groom"])
    assert to_dense(labels, np.arange(3.0)).squeeze().values.tolist() == [[0, -1], [1, -1], [0, -1]]
    same = load_annotations(file, behaviors=["walk"])
    assert to_dense(same, np.arange(3.0)).squeeze().values.tolist() == [0, 1, 0]


def test_unscored_behaviours_of_a_bout_table_cut_what_was_scored(tmp_path: Path) -> None:
    file = tmp_path / "m1.bouts.csv"
    file.write_text("kind,behavior,start_frame,stop_frame\nscored,walk,0,10\nscored,background,0,10\n"
                    "bout,background,2,5\nbout,walk,7,8\n")  # fmt: skip
    labels = load_annotations(file, unscored=["background"])
    assert labels.behaviors == ("walk",)
    assert to_dense(labels, np.arange(10.0)).squeeze().values.tolist() == [0, 0, -1, -1, -1, 0, 0, 1, 0, 0]


def test_seconds_of_long_recordings_keep_their_digits(tmp_path: Path) -> None:
    start, stop = [1700000000.033, 1000000.033], [1700000000.066, 1000000.066]
    rows = empty_table(recording=["m1"] * 2, behavior=["walk"] * 2, start=start, stop=stop)
    save_annotations(Annotations(bouts=rows, scored=empty_table()), tmp_path / "a.csv")
    back = load_annotations(tmp_path / "a.csv").bouts
    assert back["start"].tolist() == pytest.approx(start, abs=1e-6, rel=0)
    assert back["stop"].tolist() == pytest.approx(stop, abs=1e-6, rel=0)


def test_columns_of_a_bout_table_are_neither_overwritten_nor_formulas(tmp_path: Path) -> None:
    rows = empty_table(recording=["m1"], behavior=["walk"], start_frame=[0], stop_frame=[2])
    with pytest.raises(ValueError, match="'kind'"):
        save_annotations(Annotations(bouts=rows.assign(kind="slow"), scored=empty_table()), tmp_path / "a.csv")
    save_annotations(Annotations(bouts=rows.assign(**{"=1+1": "x"}), scored=empty_table()), tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text().splitlines()[0].endswith(",'=1+1")
    assert load_annotations(tmp_path / "b.csv").bouts["=1+1"].tolist() == ["x"]


@pytest.mark.parametrize("format", ["jabs", "jaaba-labels", "boris", "boris-aggregated", "boris-tabular", "caltech",
                                    "bento", "onehot", "feral"])  # fmt: skip
def test_what_is_not_carried_is_told(tmp_path: Path, format: str) -> None:
    bouts = empty_table(recording=["m1"] * 2, behavior=["walk"] * 2, start_frame=[2, 5], stop_frame=[5, 7],
                        mood=["calm", ""], conf=[0.5, np.nan])  # fmt: skip
    scored = empty_table(recording=["m1"], start_frame=[0], stop_frame=[20])
    ethogram = Ethogram([Behavior(name="walk"), Behavior(name="rest")], exclusive=[("walk", "rest")])
    labels = Annotations(bouts=bouts, scored=scored, ethogram=ethogram)
    report = save_annotations(labels, tmp_path / "m1.labels", format, recording=EDGES)
    for column in ("mood", "conf"):
        assert f"the column {column!r} of the bouts" in report.lost
    carried = load_annotations(tmp_path / "m1.labels", format, recording=EDGES)
    assert carried.ethogram.exclusive or "which behaviours exclude each other" in report.lost
    assert len(carried.bouts) == 2 or any("borders of bouts" in what for what in report.lost)


def test_an_individual_that_is_called_like_a_pair_is_not_taken_for_it() -> None:
    rows = empty_table(individual=["a>b", "a"], target=["", "b"], behavior=["walk"] * 2, start_frame=[0, 3],
                       stop_frame=[2, 4])  # fmt: skip
    labels = Annotations(bouts=rows, scored=empty_table())
    with pytest.raises(ValueError, match="'a>b' is the name of an individual and of a pair"):
        to_dense(labels, np.arange(5.0))
    assert to_dense(labels, np.arange(5.0), directed="actor").sizes["individual"] == 2


@pytest.mark.parametrize("format", ["jabs", "feral", "bento", "bouts", "boris"])
@pytest.mark.parametrize("name", ["day 1/m1", "m.1", "", "'=m", "=m"])
def test_the_name_of_a_recording_comes_back_or_is_told(tmp_path: Path, format: str, name: str) -> None:
    bouts = empty_table(recording=[name], behavior=["walk"], start_frame=[1], stop_frame=[3])
    scored = empty_table(recording=[name], start_frame=[0], stop_frame=[5])
    file = tmp_path / ("m7.feral.json" if format == "feral" else "m7.json")
    report = save_annotations(Annotations(bouts=bouts, scored=scored), file, format, fps=10)
    (back,) = load_annotations(file, format).recordings
    assert back == (name or "m7") or any("the name of the recording" in what for what in report.lost)


def test_predictions_stay_predictions_on_their_way_through_a_bout_table(tmp_path: Path) -> None:
    bouts = empty_table(recording=["m1"] * 2, behavior=["walk"] * 2, start_frame=[1, 5], stop_frame=[3, 6],
                        predicted=[True, False], score=[0.25, np.nan])  # fmt: skip
    scored = empty_table(recording=["m1"], start_frame=[0], stop_frame=[9])
    save_annotations(Annotations(bouts=bouts, scored=scored), tmp_path / "a.csv")
    save_annotations(load_annotations(tmp_path / "a.csv"), tmp_path / "a.slp")
    back = load_annotations(tmp_path / "a.slp").bouts
    assert back["predicted"].tolist() == [True, False]
    assert back["score"].tolist()[0] == 0.25
