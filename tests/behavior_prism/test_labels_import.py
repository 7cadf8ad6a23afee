"""Labels that are taken in twice, after their behaviour got another name in the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from behavior_prism.datasets import Annotations, Journal, empty_table
from behavior_prism.labels import import_labels


@pytest.mark.parametrize("merged", [False, True])
def test_what_was_renamed_in_the_journal_is_not_taken_in_twice(tmp_path: Path, merged: bool) -> None:
    bouts = empty_table(recording=["m1"], behavior=["rear"], start_frame=[1], stop_frame=[3])
    scored = empty_table(recording=["m1"], behavior=["rear"], start_frame=[0], stop_frame=[9])
    labels = Annotations(bouts=bouts, scored=scored, behaviors=("rear", "walk"))
    assert import_labels(labels, tmp_path, "ann") == (1, 0, ["rear", "walk"])
    with Journal.open(tmp_path, writer="ann") as journal:
        if merged:
            journal.add_behavior("stand")
            journal.merge_behavior("rear", "stand", scored="either")
        else:
            journal.rename_behavior("rear", "rearing")
        entries = len(journal.history())
    assert import_labels(labels, tmp_path, "ann") == (0, 1, [])
    with Journal.open(tmp_path) as journal:
        assert len(journal.annotations().bouts) == 1
        assert len(journal.history()) == entries
