"""Predictions of JABS (HDF5): ``predictions/<behaviour>/predicted_class``, identities x frames.

0 is "not behaviour", 1 "behaviour", -1 no prediction (the identity is not in the frame): not scored. Rows are
identities of JABS, from 0. ``predicted_class_postprocessed`` is taken where it is there. A classifier of several
classes has ``class_names``, and codes are their places; a class ``None`` is the absence of all. The column ``score`` is
the mean probability over a bout. The recording is that of the attribute ``pose_file``.

After the user guide of JABS ("File Formats") and KumarLabJax/JABS-behavior-classifier (``prediction/hdf5.py``).
"""

from __future__ import annotations

import re
from pathlib import PureWindowsPath
from typing import Any

import numpy as np

from ..annotations import Annotations
from ..ethogram import Behavior, Ethogram
from .frame_rows import LAST_FRAME, frame_table, mask_rows, with_holes
from .h5_guard import open_h5, own_items, read_table
from .label_format import LabelFormat, Reading, Sample

FORMAT = LabelFormat(
    name="jabs-predictions",
    title="JABS predictions (h5)",
    suffixes=(".h5",),
    base=0,
    end=None,
    unit="frames",
    unlabelled="not scored: -1, no prediction",
    evidence="documentation only",
)
_SOFTWARE = "JABS"


def recognise(sample: Sample) -> bool:
    """HDF5 with a group ``predictions`` of groups with ``predicted_class``."""
    if not sample.head.startswith(b"\x89HDF"):
        return False
    try:
        with open_h5(sample.path) as file:
            group = own_items(file).get("predictions")
            return hasattr(group, "keys") and any("predicted_class" in one for one in _groups(group).values())
    except ValueError:
        return False


def _groups(predictions: Any) -> dict[str, Any]:
    return {name: one for name, one in own_items(predictions).items() if hasattr(one, "keys")}


def read(reading: Reading) -> Annotations:
    """Runs of a class; scored is every frame with a prediction."""
    path = reading.path
    bouts: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    known: list[str] = []
    with open_h5(path) as file:
        items = own_items(file)
        if "predictions" not in items or not hasattr(items["predictions"], "keys"):
            raise ValueError(f"{path}: expected the group 'predictions' of JABS, got {sorted(items)[:12]}")
        pose = PureWindowsPath(_text(file.attrs.get("pose_file", ""))).name
        common = {"recording": re.sub(r"_pose_est_v\d+\.h5$|\.h5$", "", pose), "scorer": _SOFTWARE}
        mapping = own_items(items["predictions"]).get("external_identity_mapping")
        if mapping is not None:
            names = [_text(n) for n in np.ravel(read_table(mapping, f"{path}, external_identity_mapping"))[:100]]
            reading.report.note(
                "identities in the lab's names: " + ", ".join(f"{k} = {n}" for k, n in enumerate(names))
            )
        groups = _groups(items["predictions"])
        if not groups:
            raise ValueError(f"{path}: expected predictions of some behaviour, got none")
        for behavior, group in groups.items():
            names, found, looked = _one(group, behavior, f"{path}, predictions/{behavior}", reading)
            known += [n for n in names if n not in known]
            bouts += [{**common, **row} for row in found]
            scored += [{**common, **row} for row in looked]
    bouts, scored = with_holes(bouts, scored, reading.unscored)
    try:
        ethogram = Ethogram(Behavior(name=n) for n in known if n not in reading.unscored)
        return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _one(group: Any, behavior: str, where: str, reading: Reading) -> tuple[list[str], list[Any], list[Any]]:
    """Names of the classes, bouts and scored rows of one classifier."""
    tables = own_items(group)
    if "predicted_class" not in tables:
        raise ValueError(f"{where}: expected predicted_class, got {sorted(tables)[:12]}")
    chosen = "predicted_class_postprocessed" if "predicted_class_postprocessed" in tables else "predicted_class"
    if chosen != "predicted_class":
        reading.report.note(f"{behavior}: predictions after postprocessing")
    codes = read_table(tables[chosen], f"{where}/{chosen}")
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or codes.shape[1] > LAST_FRAME:
        raise ValueError(f"{where}/{chosen}: expected whole numbers, identities x frames, got {codes.shape}")
    classes = [f"\0{behavior}", behavior]
    if "class_names" in tables:
        classes = [_text(n).strip() for n in np.ravel(read_table(tables["class_names"], f"{where}/class_names"))]
        classes = [f"\0{n}" if n.casefold() == "none" else n for n in classes]  # absence is no behaviour
        if len(set(classes)) < len(classes):
            raise ValueError(f"{where}/class_names: expected every class once, got {classes}")
    if codes.size and not -1 <= int(codes.min()) <= int(codes.max()) < len(classes):
        raise ValueError(f"{where}/{chosen}: expected -1 to {len(classes) - 1}, got {codes.min()} to {codes.max()}")
    score = _probabilities(tables.get("probabilities"), codes, where)
    names = [n for n in classes if not n.startswith("\0")]
    bouts: list[Any] = []
    scored: list[Any] = []
    for identity, row in enumerate(codes):
        for name in names:
            scored += mask_rows(row >= 0, individual=str(identity), behavior=name)
            for bout in mask_rows(row == classes.index(name), individual=str(identity), behavior=name):
                own = score[identity, bout["start_frame"] : bout["stop_frame"]]
                bouts.append({**bout, "score": float(own.mean()) if np.isfinite(own).all() else np.nan})
    return names, bouts, scored


def _probabilities(table: Any, codes: np.ndarray, where: str) -> np.ndarray:
    """Probability of what was predicted, per identity and frame; NaN where the file does not say."""
    if table is None:
        return np.full(codes.shape, np.nan, dtype=np.float32)
    values = read_table(table, f"{where}/probabilities")
    if values.shape[:2] != codes.shape or values.ndim not in (2, 3) or values.dtype.kind not in "fiu":
        raise ValueError(f"{where}/probabilities: expected {codes.shape}, like the classes, got {values.shape}")
    if values.ndim == 3:
        if codes.size and values.shape[2] <= codes.max():
            raise ValueError(f"{where}/probabilities: expected one value per class, got {values.shape}")
        places = np.maximum(codes, 0).astype(np.int64)[:, :, None]
        values = (
            np.take_along_axis(values, places, axis=2)[:, :, 0] if values.shape[2] else np.full(codes.shape, np.nan)
        )
    return values
