"""Operations on bouts, each of them explicit: nothing is merged, cut or dropped elsewhere."""

from __future__ import annotations

import numpy as np

from .annotations import Annotations
from .bout_rows import WHOLE_VIEW, empty_table


def score_whole(annotations: Annotations, *, recording: str, edges: np.ndarray) -> Annotations:
    """Declare a recording scored from end to end for every behaviour.

    Parameters
    ----------
    annotations : Annotations
        Bouts without scored intervals, as most tools write them.
    recording : str
        Which recording.
    edges : numpy.ndarray
        Times of its frame edges [s], shape (num_frames + 1,).

    Returns
    -------
    Annotations
        With one scored interval per individual, target and scorer.
    """
    triples = sorted(set(annotations.bouts[["individual", "target", "scorer"]].itertuples(index=False, name=None))) or [
        (WHOLE_VIEW, "", "")
    ]
    individuals, targets, scorers = (list(names) for names in zip(*triples, strict=True))
    count = len(triples)
    scored = empty_table(
        recording=[recording] * count,
        individual=individuals,
        target=targets,
        scorer=scorers,
        start_frame=[0] * count,
        stop_frame=[len(edges) - 1] * count,
        start=[float(edges[0])] * count,
        stop=[float(edges[-1])] * count,
    )
    return annotations.with_rows(annotations.bouts, scored)
