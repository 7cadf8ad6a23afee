"""From feature stores to probe, predictions and report, on made-up features: what counts, is said and is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from rich.console import Console

from behavior_prism.analysis import open_features, open_predictions, read_attrs
from behavior_prism.analysis.feature_writer import FeatureWriter
from behavior_prism.datasets import Annotations, annotations_from_intervals, save_annotations
from behavior_prism.reporting import ethogram_figure, report_files
from behavior_prism.workflow import (
    find_labels,
    load_labels,
    predict_files,
    time_budget,
    train_probe,
)

NOTICE = "encoder 'tiny' has random, untrained weights"
FRAMES = 120


def make_store(path: Path, *, name: str = "", fingerprint: str = "", fps: float = 25.0, step: int = 1) -> Path:
    """A feature store of made-up numbers, large where ``frame % 40 < 20``: what the labels below call walking."""
    name = name or path.name.split(".")[0]
    frames = np.arange(0, FRAMES, step)
    rng = np.random.default_rng(list(path.name.encode()))
    values = rng.normal(size=(1, len(frames), 4, 3)) + 3 * (frames % 40 < 20)[None, :, None, None]
    settings = {
        **{"encoder": "tiny", "weights": "w", "image_size": [96, 96], "resize": "squash", "length": 8, "stride": 4},
        **{"step": step, "grid": [2, 2], "frames": [0, FRAMES], "fingerprint": fingerprint or f"video of {path.name}"},
    }
    template = xr.Dataset(
        {
            "valid": (("individual", "time"), np.ones((1, len(frames)), bool)),
            "window_position": ("time", np.zeros(len(frames), np.int16)),
            "edge_time": ("edge", np.arange(FRAMES + 1) / fps),
        },
        coords={
            "individual": np.asarray(["view"], object),
            "time": frames / fps,
            "frame": ("time", frames),
        },
    )
    about = {"recording": name, "video": f"{name}.mp4", "fps": fps, "encoder_trained": 0, "encoder_notice": NOTICE}
    writer = FeatureWriter(path, settings, template, num_tokens=4, num_channels=3, attrs=about)
    writer.write(0, values)
    writer.finish()
    return path


def write_labels(path: Path, rows: str, columns: str = "behavior,start_frame,stop_frame") -> Path:
    path.write_text(f"{columns}\n{rows}\n")
    return path


WALKS = "\n".join(f"walk,{k},{k + 20}" for k in range(0, FRAMES, 40))


@pytest.fixture
def lab(tmp_path):
    """Stores and labels of the recordings a, b and c."""
    stores = [make_store(tmp_path / f"{n}.features.zarr") for n in "abc"]
    labels = [write_labels(tmp_path / f"{n}.bouts.csv", WALKS) for n in "abc"]
    return stores, labels


def states(store, annotations) -> np.ndarray:
    from behavior_prism.analysis import labels_for

    return labels_for(store, annotations).values.ravel()


# -- labels ------------------------------------------------------------------------------------------------------------


def test_seconds_are_placed_by_each_recordings_own_frames(tmp_path):
    stores = [open_features(make_store(tmp_path / f"r{fps}.features.zarr", fps=fps)) for fps in (10, 25)]
    table = write_labels(
        tmp_path / "all.csv", "r10,walk,1,2\nr25,walk,1,2\nr10,walk,10,11.5", "recording,behavior,start,stop"
    )
    (slow, fast), _ = load_labels([table], stores)
    assert slow.bouts[["start_frame", "stop_frame"]].values.tolist() == [[10, 20], [100, 115]]
    assert fast.bouts[["start_frame", "stop_frame"]].values.tolist() == [[25, 50]]


def test_what_was_scored_is_kept(tmp_path):
    store = open_features(make_store(tmp_path / "a.features.zarr"))
    rows = "bout,walk,10,20\nscored,walk,0,50"
    table = write_labels(tmp_path / "a.bouts.csv", rows, "kind,behavior,start_frame,stop_frame")
    (annotations,), notes = load_labels([table], [store])
    assert notes == []
    assert states(store, annotations).tolist() == [0] * 10 + [1] * 10 + [0] * 30 + [-1] * 70
    (annotations,), notes = load_labels([write_labels(tmp_path / "a.csv", "walk,10,20")], [store])
    assert "taken as scored from end to end" in notes[0]
    assert states(store, annotations).tolist() == [0] * 10 + [1] * 10 + [0] * 100


def test_labels_of_other_recordings_bring_no_behaviour(lab, tmp_path):
    stores, labels = lab
    other = write_labels(tmp_path / "elsewhere.csv", "swim,0,10")
    card, *_ = train_probe(stores, [*labels, other], tmp_path / "probe")
    assert card["behaviors"] == ["walk"]
    found, _ = load_labels([*labels, other], [open_features(s) for s in stores], behaviors=["walk"])
    assert [a.behaviors for a in found] == [("walk",)] * 3


def test_a_behaviour_scored_nowhere_is_named(lab, tmp_path):
    stores, _ = lab
    rows = "bout,walk,0,20\nscored,walk,0,100"
    labels = [write_labels(tmp_path / f"{n}.bouts.csv", rows, "kind,behavior,start_frame,stop_frame") for n in "abc"]
    with pytest.raises(ValueError, match="behaviour 'rear': expected frames that were scored for it, got none"):
        train_probe(stores, labels, tmp_path / "probe", behaviors=["walk", "rear"])
    assert not (tmp_path / "probe").exists()


def test_nothing_but_ignored_behaviours(lab, tmp_path):
    stores, labels = lab
    with pytest.raises(ValueError, match="the labels name no behaviour that is not ignored"):
        train_probe(stores, labels, tmp_path / "probe", ignore=["walk"])


def test_bouts_between_sampled_frames_are_counted(tmp_path):
    """Sampled are 0, 8, 16 ... 112."""
    store = make_store(tmp_path / "a.features.zarr", step=8)
    rows = "walk,0,1\nwalk,1,8\nwalk,3,5\nwalk,5,9\nwalk,8,9\nwalk,113,120\nwalk,7,17"
    labels = write_labels(tmp_path / "a.bouts.csv", rows)
    said = "a: 3 of 7 labelled bouts lie between two sampled frames"
    _, notes = load_labels([labels], [open_features(store)])
    assert [n for n in notes if n.startswith(said)]
    _, _, notes = train_probe([store], [labels], tmp_path / "probe")
    assert [n for n in notes if n.startswith(said)]
    every = make_store(tmp_path / "b.features.zarr", name="a")
    assert not [n for n in load_labels([labels], [open_features(every)])[1] if "between" in n]


# -- leakage -----------------------------------------------------------------------------------------------------------


def test_a_copy_of_a_recording_cannot_be_held_out(lab, tmp_path):
    stores, labels = lab
    copy = make_store(tmp_path / "copy.features.zarr", fingerprint="video of b.features.zarr")
    also = write_labels(tmp_path / "copy.bouts.csv", WALKS)
    with pytest.raises(ValueError, match="expected every video once, got the same one as 'b' and 'copy'"):
        train_probe([*stores, copy], [*labels, also], tmp_path / "probe")
    assert not (tmp_path / "probe").exists()


@pytest.mark.parametrize(
    ("name", "fingerprint", "warning"),
    [
        ("a", "", "The probe was trained on a:"),
        ("a", "video of a.features.zarr", "The probe was trained on a:"),
        ("renamed", "video of b.features.zarr", "The probe was trained on renamed (the same video as b):"),
        ("new", "", None),
    ],
)
def test_the_report_knows_what_the_probe_was_trained_on(lab, tmp_path, name, fingerprint, warning):
    stores, labels = lab
    card, *_ = train_probe(stores[:2], labels[:2], tmp_path / "probe")
    assert card["fingerprints"] == {n: f"video of {n}.features.zarr" for n in "ab"}
    judged = make_store(tmp_path / "judged.zarr", name=name, fingerprint=fingerprint)
    predicted = predict_files(tmp_path / "probe", [judged], tmp_path / "predictions").done
    path, _, notes = report_files(predicted, tmp_path / "report.html")
    page = path.read_text(encoding="utf-8")
    assert "trained on 2 recordings (a, b)" in page and "other recordings" not in page
    if warning is None:
        assert "scores there say nothing" not in page and "none of these among them" in page
    else:
        assert warning in page and any(n.startswith(warning) for n in notes) and "1 of these among them" in page


# -- predictions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def probe(lab, tmp_path) -> Path:
    train_probe(*lab, tmp_path / "probe")
    return tmp_path / "probe"


def test_two_stores_of_one_recording_do_not_replace_each_other(probe, tmp_path):
    stores = [make_store(tmp_path / "x.features.zarr", name="r"), make_store(tmp_path / "y.features.zarr", name="r")]
    with pytest.raises(ValueError, match=r"x\.features\.zarr and .*y\.features\.zarr would both be called 'r'"):
        predict_files(probe, stores, tmp_path / "p", overwrite=True)
    assert not (tmp_path / "p").exists()


def test_replaced_together_or_not_at_all(probe, lab, tmp_path, monkeypatch):
    out = tmp_path / "p"
    predict_files(probe, lab[0][:1], out)
    table = out / "a.bouts.csv"
    table.write_text("mine")
    store = out / "a.predictions.zarr"
    store.rename(tmp_path / "kept")
    store.mkdir()  # not predictions: not to be replaced, and the table neither
    with pytest.raises(ValueError, match="expected a predictions store"):
        predict_files(probe, lab[0][:1], out, overwrite=True)
    assert table.read_text() == "mine"
    store.rmdir()
    (tmp_path / "kept").rename(store)

    def fail(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("behavior_prism.analysis.predictions.atomic_write", fail)
        with pytest.raises(OSError, match="disk full"):
            predict_files(probe, lab[0][:1], out, overwrite=True)
    assert table.read_text() == "mine"
    predict_files(probe, lab[0][:1], out, overwrite=True)
    assert table.read_text() != "mine"
    assert sorted(p.name for p in out.iterdir()) == ["a.bouts.csv", "a.predictions.zarr"]


def test_untrained_weights_are_told_with_every_output(lab, tmp_path):
    _, _, notes = train_probe(*lab, tmp_path / "probe")
    assert notes[0] == NOTICE
    result = predict_files(tmp_path / "probe", lab[0], tmp_path / "p")
    assert result.notes == [NOTICE]
    for path in sorted((tmp_path / "p").glob("*.csv")):
        assert set(pd.read_csv(path)["encoder"]) == {"random, untrained weights"}
    figure = ethogram_figure(result.done, lab[1])
    assert figure.get_suptitle() == NOTICE
    assert NOTICE in report_files(result.done, tmp_path / "r.html")[0].read_text().replace("&#x27;", "'")
    store = open_predictions(result.done[0])
    from behavior_prism.analysis import predictions_to_annotations

    store.attrs["encoder_trained"] = 1
    assert "encoder" not in predictions_to_annotations(store).bouts


# -- report ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_recordings_without_labels_are_shown_without_scores(probe, lab, tmp_path):
    stores, labels = lab
    predicted = predict_files(probe, stores, tmp_path / "p").done
    path, scores, notes = report_files(predicted, tmp_path / "r.html", labels=labels[:2], features=stores)
    assert scores is not None and scores.loc["walk", "frames"] == 2 * FRAMES
    assert "no labels of c: not among the scores" in notes
    page = path.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64") == 5  # three ethograms, PCA, UMAP
    assert "With 2 recordings no interval is given" in page
    ethogram_figure(predicted, labels[:2])
    with pytest.raises(ValueError, match="expected labels of c, the label files speak of none of them"):
        report_files(predicted[2:], tmp_path / "none.html", labels=labels[:2])
    found, _ = find_labels(labels[:2], [open_features(s) for s in stores])
    assert [a is None for a in found] == [False, False, True]


def test_predictions_of_different_probes_are_not_mixed(lab, tmp_path):
    stores, labels = lab
    predicted = []
    for k, context in enumerate((4, 2)):  # the same recordings, another probe
        train_probe(stores, labels, tmp_path / f"probe{k}", context=context)
        predicted += predict_files(tmp_path / f"probe{k}", [stores[k]], tmp_path / f"p{k}").done
    for make in (lambda: report_files(predicted, tmp_path / "r.html"), lambda: ethogram_figure(predicted)):
        with pytest.raises(ValueError, match="expected predictions of one probe, but 'b' and 'a' were predicted by"):
            make()
    with pytest.raises(ValueError, match="expected every recording once, got 'a' twice"):
        report_files([predicted[0], predicted[0]], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_names_are_taken_as_they_are(tmp_path, monkeypatch):
    """Neither formulas for matplotlib nor styles for the terminal."""
    from behavior_prism import console

    name = "cam[left] $1 and x_$"
    stores = [make_store(tmp_path / f"{k}.features.zarr", name=f"{name}{k}") for k in range(2)]
    rows = "\n".join(f"{name}{k},rear[/wall] $^$,{a},{a + 20}" for k in range(2) for a in range(0, FRAMES, 40))
    labels = write_labels(tmp_path / "all.csv", rows, "recording,behavior,start_frame,stop_frame")
    _, scores, _ = train_probe(stores, [labels], tmp_path / "probe")
    predicted = predict_files(tmp_path / "probe", stores, tmp_path / "p").done
    report_files(predicted, tmp_path / "r.html", labels=[labels], features=stores)
    ethogram_figure(predicted, [labels]).savefig(tmp_path / "e.png")
    assert scores is not None
    monkeypatch.setattr(console, "out_console", Console(width=200))
    with console.out_console.capture() as captured:
        console.print_table(scores, "cam[left]")
    assert "rear[/wall] $^$" in captured.get() and "cam[left]" in captured.get()
    with console.progress_bars() as bar:
        bar("rear[/wall]")(1, 2)


def test_time_budget_counts_what_was_scored():
    parts = [
        annotations_from_intervals([(0, 10, "walk"), (20, 30, "walk")], behaviors=behaviors, num_frames=100, fps=10)
        for behaviors in [("walk", "rear")]
    ]
    scored = parts[0].scored.assign(behavior="walk", stop_frame=50, stop=5.0)
    narrow = Annotations(bouts=parts[0].bouts, scored=scored, behaviors=("walk", "rear"))
    whole, part = time_budget(parts[0]), time_budget(narrow)
    assert whole.loc[": walk"].tolist() == [2, 2.0, 1.0, 0.2]
    assert whole.loc[": rear", "share"] == 0.0
    assert part.loc[": walk", "share"] == 0.4
    assert np.isnan(part.loc[": rear", "share"]) and np.isnan(part.loc[": rear", "mean_bout_s"])


def test_saved_bouts_of_a_probe_can_be_read_again(probe, lab, tmp_path):
    from behavior_prism.datasets import load_annotations

    predict_files(probe, lab[0][:1], tmp_path / "p")
    bouts = load_annotations(tmp_path / "p" / "a.bouts.csv")
    assert bouts.behaviors == ("walk",) and len(bouts.bouts) >= 1
    save_annotations(bouts, tmp_path / "again.csv")
    told = json.loads(read_attrs(tmp_path / "p" / "a.predictions.zarr", "predictions")["probe"])
    assert told["recordings"] == ["a", "b", "c"] and len(told["id"]) == 12
