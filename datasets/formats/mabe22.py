"""MABe22 (multi-agent behaviour challenge 2022), ``.npy`` with a pickled dictionary, read without unpickling.

``{vocabulary: names, sequences: {id: {keypoints, annotations}}}``: ``annotations`` has a row per name and a column per
frame, 0 or 1, NaN where a task was not scored. Frames are 0-based. They speak of the whole clip, not of one animal.
Rows that are no 0 and 1 (days, strains as numbers) are no behaviours and are left out. Files without ``vocabulary`` or
annotations (the test set) hold no labels. See :mod:`pickled_arrays` for how the file is opened.

After the challenge's description (aicrowd.com, "MABe 2022") and public code that loads it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..annotations import Annotations
from ..ethogram import Behavior, Ethogram
from .frame_rows import frame_table, mask_rows, with_holes
from .label_format import LabelFormat, Reading, Sample
from .pickled_arrays import plain, read_pickled

FORMAT = LabelFormat(
    name="mabe22",
    title="MABe22 (npy)",
    suffixes=(".npy",),
    base=0,
    end=None,
    unit="frames",
    unlabelled="absent; not scored where it is NaN",
    evidence="documentation only",
    several=True,
)


def recognise(sample: Sample) -> bool:
    """An array of one object with ``sequences`` in it."""
    return sample.head.startswith(b"\x93NUMPY") and b"'|O'" in sample.head[:256] and b"sequences" in sample.head


def read(reading: Reading) -> Annotations:
    """Runs of 1 in every row of the annotations."""
    path = reading.path
    content = read_pickled(path)
    if not isinstance(content, dict) or not isinstance(content.get("sequences"), dict):
        raise ValueError(f"{path}: expected MABe22's dictionary with 'sequences'")
    names = plain(content.get("vocabulary"))
    names = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(n, str) and n for n in names):
        raise ValueError(f"{path}: expected 'vocabulary', the names of what was annotated; a test set has no labels")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: expected every name of 'vocabulary' once")
    bouts: list[dict[str, Any]] = []
    scored: list[dict[str, Any]] = []
    dropped: dict[str, None] = {}
    tables = {key: _table(key, one, len(names), f"{path}") for key, one in content["sequences"].items()}
    for row, name in enumerate(names):
        if any(not np.isin(t[row][~np.isnan(t[row])], (0, 1)).all() for t in tables.values()):
            dropped[name] = None
            continue
        for key, table in tables.items():
            bouts += mask_rows(table[row] == 1, recording=str(key), behavior=name)
            scored += mask_rows(~np.isnan(table[row]), recording=str(key), behavior=name)
    if dropped:
        reading.report.lose(f"what is no 0 and 1: {', '.join(dropped)}")
    bouts, scored = with_holes(bouts, scored, reading.unscored)
    try:
        ethogram = Ethogram(Behavior(name=n) for n in names if n not in dropped and n not in reading.unscored)
        return Annotations(bouts=frame_table(bouts), scored=frame_table(scored), ethogram=ethogram)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _table(key: Any, one: Any, count: int, path: str) -> np.ndarray:
    where = f"{path}, sequence {str(key)[:60]!r}"
    table = plain(one.get("annotations")) if isinstance(one, dict) else None
    if not isinstance(table, np.ndarray) or table.dtype.kind not in "fiub":
        raise ValueError(f"{where}: expected annotations, numbers per name and frame")
    if table.ndim != 2 or table.shape[0] != count:
        raise ValueError(f"{where}: expected annotations of {count} rows, got the shape {table.shape}")
    return table.astype(np.float64)
