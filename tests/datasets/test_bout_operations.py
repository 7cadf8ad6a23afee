"""Operations on bouts against the same thing done on arrays of frames."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from behavior_prism.datasets import (
    Annotations,
    Behavior,
    Ethogram,
    annotations_from_intervals,
    as_unscored,
    clip_to,
    difference,
    drop_short,
    empty_table,
    enforce_exclusive,
    find_exclusive_conflicts,
    find_gaps,
    find_overlaps,
    find_unscored,
    from_dense,
    intersection,
    merge_bouts,
    resolve_overlaps,
    to_dense,
    union,
)

FRAMES, FPS = 24, 10
EDGES = np.arange(FRAMES + 1) / FPS
ETHOGRAM = Ethogram(
    ("walk", "groom", Behavior(name="jump", kind="point"), "chase"), exclusive=[("walk", "groom"), ("walk", "jump")]
)
WHO = [("a", ""), ("b", ""), ("a", "b"), ("b", "a")]
SCORERS = ["ann", "bob"]
KEYS = ["recording", "individual", "target", "behavior", "scorer"]


@st.composite
def tables(draw, behaviors=ETHOGRAM.names, most=10, *, scored=False):
    rows = []
    for _ in range(draw(st.integers(0, most))):
        name = draw(st.sampled_from([*behaviors, ""] if scored else list(behaviors)))
        start = draw(st.integers(0, FRAMES - 1))
        stop = start if name in ETHOGRAM.points and not scored else draw(st.integers(start + 1, FRAMES))
        rows.append((*draw(st.sampled_from(WHO)), draw(st.sampled_from(SCORERS)), name, start, stop))
    individual, target, scorer, behavior, start, stop = zip(*rows, strict=True) if rows else ((),) * 6
    return empty_table(
        recording=["r"] * len(rows), individual=individual, target=target, scorer=scorer, behavior=behavior,
        start_frame=start, stop_frame=stop, start=EDGES[list(start)], stop=EDGES[list(stop)],
    )  # fmt: skip


labels = st.builds(lambda b, s: Annotations(bouts=b, scored=s, ethogram=ETHOGRAM), tables(), tables(scored=True))
few = settings(max_examples=60, deadline=None)


def dense(annotations: Annotations) -> np.ndarray:
    names = [f"{a}>{b}" if b else a for a, b in WHO]
    label = to_dense(annotations, EDGES[:-1], individuals=names, scorers=SCORERS)
    return label.sel(behavior=list(ETHOGRAM.names)).values


def seconds_agree(annotations: Annotations) -> None:
    """Wherever seconds are known, they are those of the frames."""
    for table in (annotations.bouts, annotations.scored):
        for frame, second in (("start_frame", "start"), ("stop_frame", "stop")):
            known = table[second].notna()
            np.testing.assert_array_equal(table[second][known], EDGES[table[frame][known].astype(int)])


def states(annotations: Annotations) -> pd.DataFrame:
    return annotations.bouts[annotations.bouts["behavior"] != "jump"]


# -- bouts and arrays --------------------------------------------------------------------------------------------------


@few
@given(labels)
def test_bouts_to_arrays_to_bouts_to_arrays(a):
    """With pairs, two scorers and point events: once as an array, nothing changes any more."""
    again = from_dense(to_dense(a, EDGES[:-1]), recording="r", ethogram=ETHOGRAM)
    np.testing.assert_array_equal(dense(again), dense(a))
    # what bouts become: runs of frames, each its own scored interval
    once = from_dense(to_dense(again, EDGES[:-1]), recording="r", ethogram=ETHOGRAM)
    pd.testing.assert_frame_equal(once.bouts, again.bouts)
    pd.testing.assert_frame_equal(once.scored, again.scored)


# -- merging, dropping, clipping ---------------------------------------------------------------------------------------


def closed(present: np.ndarray, gap: int) -> np.ndarray:
    """Fill runs of absence of at most this length between two presences, frame by frame."""
    out = present.copy()
    seen = np.flatnonzero(present)
    for left, right in itertools.pairwise(seen):
        if right - left - 1 <= gap:
            out[left:right] = True
    return out


@few
@given(labels, st.integers(0, 4))
def test_merge_closes_gaps(a, gap):
    merged = merge_bouts(a, gap)
    seconds_agree(merged)
    before, after = dense(a), dense(merged)
    state = [b != "jump" for b in ETHOGRAM.names]
    wanted = np.apply_along_axis(closed, 1, before == 1, gap)
    np.testing.assert_array_equal((after == 1)[..., state], wanted[..., state])
    np.testing.assert_array_equal(after[..., ~np.array(state)], before[..., ~np.array(state)])
    np.testing.assert_array_equal(after[after != 1], before[after != 1])
    gaps = find_gaps(merged)
    assert (gaps["stop_frame"] - gaps["start_frame"] > gap).all()
    assert not len(find_overlaps(merged).query("behavior != 'jump'"))
    same = merge_bouts(a, gap / FPS, unit="seconds")
    pd.testing.assert_frame_equal(same.bouts, merged.bouts)


def test_merge_keeps_what_was_noted():
    rows = empty_table(
        behavior=["walk", "walk", "jump", "walk"], start_frame=[5, 0, 1, 9], stop_frame=[7, 4, 1, 10],
        comment=["slow", "", "", "slow"], modifiers=["x", "y", "", ""], certainty=[1, 2, 3, 4],
    )  # fmt: skip
    a = Annotations(bouts=rows, scored=empty_table(), ethogram=ETHOGRAM)
    out = merge_bouts(a, max_gap=1).bouts
    assert out[["start_frame", "stop_frame"]].values.tolist() == [[0, 7], [1, 1], [9, 10]]
    assert out["comment"].tolist() == ["slow", "", "slow"]
    assert out["modifiers"].tolist() == ["y; x", "", ""]
    assert out["certainty"].tolist() == [2, 3, 4]


@few
@given(labels, st.integers(0, 6))
def test_drop_short(a, frames):
    out = drop_short(a, frames)
    kept = (a.bouts["stop_frame"] - a.bouts["start_frame"] >= frames) | (a.bouts["behavior"] == "jump")
    pd.testing.assert_frame_equal(out.bouts, a.bouts[kept].reset_index(drop=True))
    pd.testing.assert_frame_equal(drop_short(a, frames / FPS, unit="seconds").bouts, out.bouts)


@few
@given(labels, st.tuples(st.integers(0, FRAMES), st.integers(0, FRAMES)).filter(lambda e: e[0] < e[1]))
def test_clip_makes_the_rest_unscored(a, ends):
    out = clip_to(a, *ends)
    seconds_agree(out)
    wanted = dense(a)
    wanted[:, : ends[0]] = wanted[:, ends[1] :] = -1
    np.testing.assert_array_equal(dense(out), wanted)
    in_seconds = clip_to(a, EDGES[ends[0]], EDGES[ends[1]], unit="seconds").bind({"r": EDGES})
    np.testing.assert_array_equal(dense(in_seconds), wanted)


@few
@given(labels)
def test_a_behaviour_that_means_not_looked_at(a):
    out = as_unscored(a, ["groom", "no such"])
    seconds_agree(out)
    assert out.behaviors == ("walk", "jump", "chase")
    before, hidden = dense(a), dense(a)[..., [1]] == 1
    names = [f"{x}>{y}" if y else x for x, y in WHO]
    after = to_dense(out, EDGES[:-1], individuals=names, scorers=SCORERS).values
    np.testing.assert_array_equal(after, np.where(hidden & (before != 1), -1, before)[..., [0, 2, 3]])


# -- overlaps ----------------------------------------------------------------------------------------------------------


def depth(table: pd.DataFrame, columns: list[str]) -> dict[tuple, np.ndarray]:
    """How many rows hold every frame, by key."""
    out: dict[tuple, np.ndarray] = {}
    for row in table.to_dict("records"):
        counts = out.setdefault(tuple(row[c] for c in columns), np.zeros(FRAMES + 1, int))
        counts[row["start_frame"] : max(row["stop_frame"], row["start_frame"] + 1)] += 1
    return out


@few
@given(labels)
def test_overlaps_are_found(a):
    found = find_overlaps(a)
    assert bool(len(found)) == any((counts > 1).any() for counts in depth(a.bouts, KEYS).values())
    for row, about in found.iterrows():
        one, other = a.bouts.loc[row], a.bouts.loc[about["overlaps"]]
        assert (one[KEYS] == other[KEYS]).all()
        length = max(one["stop_frame"], one["start_frame"] + 1), max(other["stop_frame"], other["start_frame"] + 1)
        assert about["start_frame"] == max(one["start_frame"], other["start_frame"])
        assert about["stop_frame"] == min(length) > about["start_frame"]


@few
@given(labels, st.sampled_from(["union", "first", "last"]))
def test_overlaps_are_resolved(a, policy):
    out = resolve_overlaps(a, policy)
    seconds_agree(out)
    np.testing.assert_array_equal(dense(out), dense(a))
    assert not len(find_overlaps(out))
    if len(find_overlaps(a)):
        with pytest.raises(ValueError, match="overlaps itself"):
            resolve_overlaps(a, "error")
    else:
        assert resolve_overlaps(a, "error") is a


@few
@given(labels)
def test_who_was_first_keeps_the_frames(a):
    """Frame by frame: the row that holds it is the first by its start (or the last by its end)."""
    for policy in ("first", "last"):
        out = resolve_overlaps(a.with_rows(a.bouts.assign(row=np.arange(len(a.bouts))), a.scored), policy).bouts
        for row in out[out["behavior"] != "jump"].to_dict("records"):
            same = a.bouts[(a.bouts[KEYS] == [row[k] for k in KEYS]).all(axis=1)]
            for frame in range(row["start_frame"], row["stop_frame"]):
                here = same[(same["start_frame"] <= frame) & (same["stop_frame"] > frame)]
                ends = here["start_frame"] if policy == "first" else -here["stop_frame"]
                assert ends[row["row"]] == ends.min()


def test_touching_bouts_stay_two():
    rows = empty_table(behavior=["walk"] * 4, start_frame=[0, 3, 5, 9], stop_frame=[3, 6, 9, 12])
    a = Annotations(bouts=rows, scored=empty_table())
    ends = {p: resolve_overlaps(a, p).bouts[["start_frame", "stop_frame"]].values.tolist() for p in ("union", "first")}
    assert ends["union"] == [[0, 3], [3, 9], [9, 12]]
    assert ends["first"] == [[0, 3], [3, 6], [6, 9], [9, 12]]


@few
@given(labels, st.sampled_from(["first", "last"]))
def test_exclusive(a, policy):
    def conflicts(bouts: pd.DataFrame) -> set[tuple]:
        found = set()
        for group in ETHOGRAM.exclusive:
            by_behavior = [depth(bouts[bouts["behavior"] == n], ["individual", "scorer"]) for n in group]
            for who in set(by_behavior[0]) & set(by_behavior[1]):
                frames = np.flatnonzero((by_behavior[0][who] > 0) & (by_behavior[1][who] > 0))
                found |= {(*who, group, int(f)) for f in frames}
        return found

    told = {
        (row["individual"], row["scorer"], row["behaviors"], frame)
        for row in find_exclusive_conflicts(a).to_dict("records")
        for frame in range(row["start_frame"], row["stop_frame"])
    }
    assert told == conflicts(a.bouts)
    out = enforce_exclusive(a, policy)
    seconds_agree(out)
    assert not conflicts(out.bouts)
    if told:
        with pytest.raises(ValueError, match="at once"):
            enforce_exclusive(a, "error")
        before, after = dense(a), dense(out)
        assert ((after == 1) <= (before == 1)).all()  # nothing appears
    else:
        assert enforce_exclusive(a, "error") is a


# -- two sets ----------------------------------------------------------------------------------------------------------

LOGIC = {  # -1 not known, 0 absent, 1 present
    union: lambda a, b: np.where((a == 1) | (b == 1), 1, np.where((a == 0) & (b == 0), 0, -1)),
    intersection: lambda a, b: np.where((a == 1) & (b == 1), 1, np.where((a == 0) | (b == 0), 0, -1)),
    difference: lambda a, b: np.where((a == 1) & (b == 0), 1, np.where((a == 0) | (b == 1), 0, -1)),
}


@pytest.mark.parametrize("operation", LOGIC, ids=lambda f: f.__name__)
@few
@given(one=labels, other=labels)
def test_sets_follow_three_valued_logic(operation, one, other):
    out = operation(one, other)
    seconds_agree(out)
    np.testing.assert_array_equal(dense(out), LOGIC[operation](dense(one), dense(other)))
    assert not len(find_overlaps(out))


@few
@given(labels, labels)
@pytest.mark.slow
def test_sets_of_rows_that_know_only_seconds(one, other):
    def timed(a: Annotations) -> Annotations:
        return a.with_rows(
            states(a).assign(start_frame=pd.NA, stop_frame=pd.NA), a.scored.assign(start_frame=pd.NA, stop_frame=pd.NA)
        )

    framed = [a.with_rows(states(a), a.scored) for a in (one, other)]
    for operation in LOGIC:
        by_time = operation(timed(one), timed(other)).bind({"r": EDGES})
        np.testing.assert_array_equal(dense(by_time), dense(operation(*framed)))


def test_sets_of_two_scorers():
    a = annotations_from_intervals([(0, 3, "walk")], behaviors=["walk", "rest"], num_frames=9, fps=1, scorer="ann")
    b = annotations_from_intervals([(2, 5, "walk")], behaviors=["walk"], num_frames=6, fps=1, scorer="bob")
    assert intersection(a, b).bouts.empty  # of different scorers
    both = intersection(a, b, scorer="both")
    assert both.scorers == ("both",)
    assert both.bouts[["start_frame", "stop_frame", "start", "stop"]].values.tolist() == [[2, 3, 2.0, 3.0]]
    # bob never looked for rest: it is absent where ann saw none of it
    assert both.scored[["behavior", "start_frame", "stop_frame"]].values.tolist() == [["", 0, 9]]
    either = union(a, b, scorer="either")
    assert either.scored[["behavior", "start_frame", "stop_frame"]].values.tolist() == [["walk", 0, 6]]


@few
@given(labels)
def test_unscored_is_the_rest(a):
    rest = find_unscored(a, {"r": EDGES})
    pairs = {(x, y, z) for t in (a.bouts, a.scored) for x, y, z in t[["individual", "target", "scorer"]].to_numpy()}
    seen = dense(a)
    for actor, target, scorer in pairs:
        for k, behavior in enumerate(ETHOGRAM.names):
            whose = rest[
                (rest[["individual", "target", "scorer", "behavior"]] == [actor, target, scorer, behavior]).all(axis=1)
            ]
            mask = np.zeros(FRAMES, bool)
            for start, stop in whose[["start_frame", "stop_frame"]].to_numpy(int):
                mask[start:stop] = True
            np.testing.assert_array_equal(mask, seen[SCORERS.index(scorer), :, WHO.index((actor, target)), k] == -1)
    np.testing.assert_array_equal(rest["start"], EDGES[rest["start_frame"].astype(int)])


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_wrong_arguments_are_named():
    a = annotations_from_intervals([(0, 3, "walk")], behaviors=["walk"], num_frames=9, fps=1)
    with pytest.raises(ValueError, match="max_gap: expected 0 or more frames, got -1"):
        merge_bouts(a, -1)
    with pytest.raises(ValueError, match="max_gap: expected 0 or more"):
        merge_bouts(a, float("nan"))
    with pytest.raises(ValueError, match="unit: expected 'frames' or 'seconds', got 'minutes'"):
        drop_short(a, 1, unit="minutes")
    with pytest.raises(ValueError, match="expected start < stop in frames, got 3 and 3"):
        clip_to(a, 3, 3)
    with pytest.raises(ValueError, match="policy: expected 'union', 'first', 'last' or 'error', got 'any'"):
        resolve_overlaps(a, "any")
    with pytest.raises(ValueError, match="policy: expected 'first', 'last' or 'error', got 'union'"):
        enforce_exclusive(a, "union")
    timed = a.with_rows(a.bouts.assign(start_frame=pd.NA, stop_frame=pd.NA), a.scored)
    with pytest.raises(ValueError, match="do not know their frames; place them with"):
        merge_bouts(timed, 1)
    assert len(merge_bouts(timed, 1, unit="seconds").bouts) == 1
    frames = a.with_rows(a.bouts.assign(start=np.nan, stop=np.nan), a.scored)
    with pytest.raises(ValueError, match="some rows know only frames and some only seconds"):
        union(timed, frames)


def test_many_bouts_take_seconds():
    rng, count = np.random.default_rng(0), 200_000
    start = rng.integers(0, 10**8, count)
    rows = empty_table(
        recording=np.array(["r1", "r2"], object)[rng.integers(0, 2, count)], start_frame=start, start=start / 30.0,
        behavior=np.array(["walk", "groom", "chase"], object)[rng.integers(0, 3, count)],
        stop_frame=(stop := start + rng.integers(1, 400, count)), stop=stop / 30.0,
    )  # fmt: skip
    a = Annotations(
        bouts=rows, scored=empty_table(), ethogram=Ethogram(("walk", "groom", "chase"), [("walk", "groom")])
    )
    began = time.perf_counter()
    merged = resolve_overlaps(a, "first")
    assert len(merge_bouts(a, 5).bouts) < count and len(find_overlaps(merged)) == 0
    assert len(enforce_exclusive(a, "first").bouts) > 0
    assert len(union(a, merged).bouts) > 0
    assert time.perf_counter() - began < 60  # 4 s on one core, a million 19 s; a loop in Python takes many minutes
