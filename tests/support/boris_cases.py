"""Annotations as files of BORIS can hold them, for its tests."""

from __future__ import annotations

from hypothesis import strategies as st

from behavior_prism.datasets import Annotations, empty_table
from behavior_prism.datasets.ethogram import Behavior, Ethogram

# no control characters, separators of modifiers, or spaces around
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="|,'"), min_size=1, max_size=5
)
NAMES = WORDS.filter(lambda t: t not in ("None", "NA", "view", "LIVE") and t[0] not in "=+-@" and t.strip() == t)
STATES, POINTS = ("walk", "毛づくろい", "rear (+)"), ("jump",)


@st.composite
def annotations_of_a_lab(draw, *, directed: bool = True, targets: bool = True) -> Annotations:
    """One to two recordings at 25 frames per second, a few animals, comments and modifiers."""
    rows: list[dict] = []
    scored: list[dict] = []
    animals = [*draw(st.lists(NAMES, min_size=1, max_size=2, unique=True)), "view"]
    length = 60
    for recording in draw(
        st.lists(NAMES.filter(lambda t: not set(t) & set('./\\:*?"<>;#')), min_size=1, max_size=2, unique=True)
    ):
        for animal in animals:
            for behavior in STATES:
                edges = sorted(draw(st.lists(st.integers(0, length), max_size=6, unique=True)))
                for a, b in zip(edges[::2], edges[1::2], strict=False):
                    rows.append(_row(draw, recording, animal, behavior, a, b, animals if targets else []))
            for frame in draw(st.lists(st.integers(0, length - 1), max_size=2, unique=True)):
                rows.append(_row(draw, recording, animal, "jump", frame, frame, []))
        scored.append({"recording": recording, "individual": animals[0], "start_frame": 0, "stop_frame": length})
        if draw(st.booleans()):
            scored.append({"recording": recording, "individual": animals[-1], "start_frame": 10, "stop_frame": 20})
            scored.append({"recording": recording, "individual": animals[-1], "start_frame": 30, "stop_frame": length})
    for row in (*rows, *scored):
        row["start"], row["stop"] = row["start_frame"] / 25, row["stop_frame"] / 25
    behaviors = [Behavior(name=n, color="#0072b2", category="motion", definition="as usual") for n in STATES]
    ethogram = Ethogram((*behaviors, Behavior(name="jump", kind="point", key="j")), exclusive=[STATES[:2]])
    return Annotations(bouts=_table(rows), scored=_table(scored), ethogram=ethogram)


def _row(draw, recording: str, animal: str, behavior: str, a: int, b: int, others: list[str]) -> dict:
    return {
        "recording": recording,
        "individual": animal,
        "target": draw(st.sampled_from(["", *others])) if behavior == "walk" else "",
        "behavior": behavior,
        "start_frame": a,
        "stop_frame": b,
        "modifiers": draw(st.sampled_from(["", "fast", "fast|left", "ü|None"])),
        "comment": draw(st.just("") | NAMES),
    }


def _table(rows: list[dict]):
    columns = dict.fromkeys(name for row in rows for name in row)
    return empty_table(**{c: [row.get(c, "") for row in rows] for c in columns})


def told(annotations: Annotations, *columns: str) -> list[tuple]:
    """Rows as a sorted list, times to a microsecond."""
    table = annotations.bouts
    table = table.assign(start=table["start"].round(6), stop=table["stop"].round(6))
    for name in ("modifiers", "comment"):
        if name not in table:
            table[name] = ""
    return sorted(zip(*(table[c].tolist() for c in columns), strict=True), key=repr)


def told_scored(annotations: Annotations) -> list[tuple]:
    """Scored intervals as a sorted list."""
    table = annotations.scored.assign(
        start=annotations.scored["start"].round(6), stop=annotations.scored["stop"].round(6)
    )
    names = ("recording", "individual", "target", "behavior", "scorer", "start", "stop")
    return sorted(zip(*(table[c].tolist() for c in names), strict=True), key=repr)


BOUTS = ("recording", "individual", "target", "behavior", "scorer", "start", "stop", "modifiers", "comment")
