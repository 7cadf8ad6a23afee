"""A study from videos to a report with nothing but its own name on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_extraction import small_encoder
from typer.testing import CliRunner

from behavior_prism import Study, simulate_recording
from behavior_prism.cli import app
from behavior_prism.datasets import write_recording
from behavior_prism.study_work import features_of_study, predictions_of_study

pytestmark = pytest.mark.torch


def run(*args: object):
    return CliRunner().invoke(app, [str(a) for a in args])


def done(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def fails(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 2 and "Traceback" not in result.output, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Four recordings of three mice, the first two of one mouse; labels of the first three in the journal."""
    folder = tmp_path_factory.mktemp("lab")
    study = Study.create(folder / "study", encoder={"name": str(small_encoder(folder))})
    for k, mouse in enumerate(("m1", "m1", "m2", "m3")):
        files = write_recording(
            simulate_recording("mouse", seconds=8, num_animals=1, size=(64, 64), seed=20 + k),
            folder / "raw",
            overwrite=True,
        )
        study.add([files["video"]], name=f"r{k}", animals=[mouse], individuals=["mouse1"])
        study.reload()
        if k < 3:
            labels = files["bouts"].with_name(f"r{k}.bouts.csv")
            files["bouts"].rename(labels)
            text = labels.read_text().replace(files["video"].stem, f"r{k}")
            labels.write_text(text)
            done("labels", "import", labels, "--into", study.folder)
    done("extract", study.folder, "--device", "cpu", "--quiet")
    return study.folder


def test_train_predict_report(made):
    text = done("train", made, "--out", "walk")
    assert "Held out by group of recordings (3 recordings" in text and str(made / "probes" / "walk") in text
    card = json.loads((made / "probes/walk/card.json").read_text())
    assert card["recordings"] == ["r0", "r1", "r2"] and card["groups"] == 2  # the mouse of r0 and r1 is never parted
    done("predict", "walk", made)
    stores = predictions_of_study(Study.open(made), "walk")
    assert [s.name for s in stores] == [f"r{k}.zarr" for k in range(4)]
    assert (made / "predictions/walk/r3.bouts.csv").exists()
    before = {s: (s / "zarr.json").stat().st_mtime_ns for s in stores}
    done("predict", "walk", made)  # nothing is missing
    assert {s: (s / "zarr.json").stat().st_mtime_ns for s in stores} == before
    done("report", made)
    page = (made / "reports/walk.html").read_text()
    assert "r0, r1, r2" in page and page.count("data:image/png;base64") >= 3
    assert json.loads(run("status", made, "--json").stdout)["overall"]["with_predictions"] == 4


def test_another_probe_of_the_same_name_predicts_again(made):
    done("train", made, "--out", "twice")
    done("predict", "twice", made)
    store = predictions_of_study(Study.open(made), "twice")[0]

    def made_by() -> str:
        return json.loads(json.loads((store / "zarr.json").read_text())["attributes"]["probe"])["id"]

    before = made_by()
    done("train", made, "--out", "twice", "--context", 1, "--overwrite")
    done("predict", "twice", made)
    assert made_by() != before
    done("train", made, "--out", "third")
    done("predict", "third", made)
    assert "expected the name of a probe" in fails("report", made)
    done("predict", made / "probes" / "third", made)  # by its folder
    (made / "predictions/third/r0.bouts.csv").unlink()
    done("predict", "third", made)
    assert (made / "predictions/third/r0.bouts.csv").exists()


def test_what_is_ignored_is_not_learned(made):
    names = (
        json.loads((made / "probes/walk/card.json").read_text())["behaviors"] if (made / "probes/walk").exists() else []
    )
    done("train", made, "--out", "few", "--ignore", "walk")
    card = json.loads((made / "probes/few/card.json").read_text())
    assert "walk" not in card["behaviors"] and (not names or set(card["behaviors"]) == set(names) - {"walk"})
    done("predict", "few", made)  # and not asked for again when it is reported
    told = done("report", made, "--probe", "few")
    assert "walk: not among what few predicts; left out" in told
    told = done("report", made, "--probe", "few", "--ignore", "walk")
    assert "left out" not in told


def test_two_stores_of_one_kind_are_not_guessed_between(made):
    import shutil

    first = next((made / "features/r0").glob("*.zarr"))
    twin = first.with_name("0123456789ab.zarr")
    shutil.copytree(first, twin)
    try:
        assert "expected one store of these features" in fails("train", made, "--out", "x")
        assert "expected one store for this probe" in fails("predict", "walk", made)
    finally:
        shutil.rmtree(twin)


def test_one_kind_of_features_at_a_time(made):
    assert set(features_of_study(Study.open(made))) == {"r0", "r1", "r2", "r3"}
    done("extract", made, "--grid", "1x1", "--only", "r0", "--only", "r2", "--device", "cpu", "--quiet")
    try:
        text = fails("train", made, "--out", "other")
        assert "expected one kind of features, got 2" in text and "1x1" in text and "--like" in text
        (store,) = [p for p in (made / "features/r0").glob("*.zarr") if "1x1" in run("features", "ls", p).output]
        done("train", made, "--out", "other", "--like", store)
        assert json.loads((made / "probes/other/card.json").read_text())["recordings"] == ["r0", "r2"]
    finally:
        import shutil

        for name in ("r0", "r2"):
            for p in (made / "features" / name).glob("*.zarr"):
                if json.loads(json.loads((p / "zarr.json").read_text())["attributes"]["settings"])["grid"] == [1, 1]:
                    shutil.rmtree(p)


def test_what_a_study_lacks_is_said(tmp_path, made):
    study = Study.create(tmp_path / "empty")
    assert "expected features, got none" in fails("train", study.folder)
    assert "no such probe" in fails("predict", "nobody", made)
    assert "expected predictions, got none" in fails("report", study.folder)
    assert "--out: expected the folder of the probe" in fails("train", made / "features/r0/x.zarr", "--labels", "a.csv")
    assert "one study and nothing else" in fails("train", made, made)
    assert "probes: expected 1 to 80" in fails("train", made, "--out", "../elsewhere")
