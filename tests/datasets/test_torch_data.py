"""Windows for DataLoaders: the right frames, one order for any number of workers, exact resume."""

from __future__ import annotations

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from numbered_videos import numbered_frames, write_video  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from behavior_prism.datasets import (  # noqa: E402
    Recording,
    WindowSpec,
    annotations_from_intervals,
    load_annotations,
    load_recording,
    open_video,
    score_whole,
    simulate_recording,
    write_recording,
)
from behavior_prism.datasets.torch_data import (  # noqa: E402
    ResumableSampler,
    WindowDataset,
    WindowStream,
    list_windows,
    scored_frames,
    undecodable,
)
from behavior_prism.encoder import preprocess_frames  # noqa: E402

pytestmark = pytest.mark.torch
SPEC = WindowSpec(length=8, step=2, stride=4)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    paths = [
        write_recording(simulate_recording("fly", seconds=s, size=(64, 96), num_animals=1, seed=i), folder)["video"]
        for i, s in enumerate((2, 0.4, 1.5))
    ]
    regions = {"left": (0, 0, 48, 64), "right": (48, 0, 48, 64)}
    return [load_recording(path, regions=regions) for path in paths]


def test_windows_lie_where_the_cut_says(recordings):
    items = list_windows(recordings, SPEC)
    first = [i for i in items if i.recording == 0 and i.individual == "left"]
    assert [i.frames[0] for i in first][:3] == [0, 8, 16]
    assert all(np.array_equal(np.diff(i.frames), np.full(7, 2)) for i in first)
    assert first[-1].frames[-1] == (recordings[0].num_frames - 1) // 2 * 2  # the last window ends with the last frame
    short = [i for i in items if i.recording == 1]
    assert [(i.individual, len(i.frames)) for i in short] == [("left", 5), ("right", 5)]


def test_items_are_the_frames_of_the_video(recordings):
    data = WindowDataset(recordings, SPEC)
    for index in (0, 3, len(data) - 1):
        item, where = data[index], data.windows[index]
        recording = recordings[where.recording]
        expected = np.stack([recording.crop(recording.video[int(f)], where.individual) for f in where.frames])
        assert np.array_equal(item["clip"].numpy(), expected)
        assert item["frames"].tolist() == where.frames.tolist()
        assert (item["recording"], item["individual"]) == (recording.name, where.individual)
        assert item["valid"] and item["reason"] == ""


def test_short_recordings_are_padded_and_say_so(recordings):
    data = WindowDataset(recordings, SPEC, transform=functools.partial(preprocess_frames, image_size=24))
    index = next(i for i, w in enumerate(data.windows) if w.recording == 1)
    item = data[index]
    assert item["clip"].shape == (8, 24, 24, 3) and item["clip"].dtype == torch.float32
    assert item["frame_paddings"].tolist() == [0] * 5 + [1] * 3
    assert item["frames"].tolist()[5:] == [-1] * 3 and not item["clip"][5:].any()


def flat(batches):
    return [(name, frames[0].item()) for b in batches for name, frames in zip(b["recording"], b["frames"], strict=True)]


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_stream_has_one_order_for_any_number_of_workers(recordings, workers):
    data = WindowDataset(recordings, SPEC)
    stream = WindowStream(data, batch_size=3)
    batches = list(DataLoader(stream, batch_size=None, num_workers=workers))
    expected = [(recordings[w.recording].name, w.frames[0]) for w in data.windows]
    assert flat(batches) == expected and len(batches) == len(stream)
    rest = list(DataLoader(WindowStream(data, batch_size=3, start_batch=2), batch_size=None, num_workers=workers))
    assert flat(rest) == expected[6:]
    assert torch.equal(rest[0]["clip"], batches[2]["clip"])


@pytest.mark.parametrize("workers", [0, 2])
def test_shuffled_order_goes_on_where_it_stopped(recordings, workers):
    data = WindowDataset(recordings, SPEC)

    def order(**where):
        sampler = ResumableSampler(len(data), seed=3, **where)
        return flat(DataLoader(data, batch_size=2, sampler=sampler, num_workers=workers))

    whole = order(epoch=1)
    assert order(epoch=1, start=4) == whole[4:]
    assert sorted(whole) == sorted(order()) and whole != order()
    sampler = ResumableSampler(len(data), seed=3, epoch=1, start=4)
    loader, run = DataLoader(data, batch_size=2, sampler=sampler, num_workers=workers), []
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        run.append(flat(loader))
    assert run == [whole[4:], order(epoch=2)] and len(sampler) == len(data)
    plain = list(ResumableSampler(5, seed=None, start=2))
    assert plain == [2, 3, 4] and len(ResumableSampler(5, start=2)) == 3


def test_only_scored_parts(recordings):
    one = recordings[0]
    annotations = annotations_from_intervals(
        [(0, 10, "walk")], behaviors=("walk",), num_frames=one.num_frames, fps=one.video.fps, recording=one.name
    )
    everything = scored_frames(annotations, one)
    assert everything.all() and everything.shape == (one.num_frames,)
    part = np.zeros(one.num_frames, bool)
    part[10:40] = True
    items = list_windows(recordings, SPEC, scored={one.name: part})
    assert items and all(i.recording == 0 and i.frames[0] >= 10 and i.frames[-1] < 40 for i in items)
    with pytest.raises(ValueError, match=r"expected scored frames of shape .*got \(3,\)"):
        list_windows(recordings, SPEC, scored={one.name: part[:3]})
    with pytest.raises(ValueError, match="as bool, got .* as int8"):  # -1, not scored, is true as well
        list_windows(recordings, SPEC, scored={one.name: np.full(one.num_frames, -1, np.int8)})


def test_labels_that_do_not_say_what_was_scored_are_no_empty_data_set(recordings, tmp_path):
    one = recordings[0]
    table = tmp_path / "a.bouts.csv"
    table.write_text("start_frame,stop_frame,behavior\n0,10,walk\n")
    labels = load_annotations(table, recording=one.name)
    with pytest.raises(ValueError, match=rf"{one.name}: expected rows .* scored .*speak of '{one.name}'.*score_whole"):
        scored_frames(labels, one)
    whole = score_whole(labels, recording=one.name, edges=one.edges)
    assert scored_frames(whole, one).all()
    with pytest.raises(ValueError, match=rf"{recordings[1].name}: .*the labels speak of '{one.name}'"):
        scored_frames(whole, recordings[1])
    nothing = {one.name: np.zeros(one.num_frames, bool)}
    with pytest.raises(ValueError, match=r"no window is left: in none were all frames scored \(3 rec.*, 1 of them"):
        WindowDataset(recordings, SPEC, scored=nothing)
    with pytest.raises(ValueError, match="at least one recording, got none"):
        WindowDataset([], SPEC)


def session(**how):
    """40 frames at 25 fps with a number each."""
    return Recording(video=open_video(np.zeros((40, 8, 8, 3), np.uint8), **how), name="session")


def starts_of(items):
    return [int(i.frames[0]) for i in items]


def test_windows_stay_on_one_side_of_a_gap(tmp_path):
    pieces = [write_video(tmp_path / f"{k}.mkv", numbered_frames(20)) for k in (1, 2)]
    gap = load_recording(pieces, gaps=[0.5], name="gap")
    none = load_recording(pieces, name="none")
    spec = WindowSpec(length=4, step=2, stride=2)
    assert starts_of(list_windows([none], spec)) == [0, 4, 8, 12, 16, 20, 24, 28, 32]
    assert starts_of(list_windows([gap], spec)) == [0, 4, 8, 12, 20, 24, 28, 32]  # not frames 16 to 22
    assert starts_of(list_windows([gap], spec, max_gap=None)) == starts_of(list_windows([none], spec))
    data = WindowDataset([gap, none], spec)
    assert data.across_gaps == {"gap": 1} and len(data) == 17
    assert flat(DataLoader(WindowStream(data, batch_size=3), batch_size=None)) == [
        (("gap", "none")[w.recording], w.frames[0]) for w in data.windows
    ]
    with pytest.raises(ValueError, match="no window is left: all 1 reach over gaps"):
        WindowDataset([gap], WindowSpec(length=40))
    with pytest.raises(ValueError, match="max_gap: expected a number of usual intervals from 1 on, got 0"):
        list_windows([gap], spec, max_gap=0)


def test_a_missed_frame_and_a_varying_rate_are_no_gaps():
    phone = np.cumsum(np.random.default_rng(1).integers(15, 60, size=40)) / 1000
    missed = np.r_[np.arange(20), np.arange(21, 41)] / 25
    paused = np.r_[np.arange(20), np.arange(23, 43)] / 25
    spec = WindowSpec(length=4, stride=1)
    assert len(list_windows([session(times=phone)], spec)) == len(list_windows([session(times=missed)], spec)) == 37
    assert set(range(37)) - set(starts_of(list_windows([session(times=paused)], spec))) == {17, 18, 19}
    assert len(list_windows([session(times=missed)], spec, max_gap=1.5)) == 34
    one = Recording(video=session(fps=25).video, name="one", start_frame=3, stop_frame=4)
    assert starts_of(list_windows([one], spec)) == [3]


def test_windows_that_cannot_be_read_are_listed_and_never_replaced(recordings, monkeypatch):
    data = WindowDataset(recordings, SPEC)
    bad = 8
    read = type(recordings[0].video).__getitem__

    def broken(self, key):
        if self is recordings[0].video and bad in np.atleast_1d(key):
            raise ValueError(f"{self.path}: frame {bad} cannot be decoded")
        return read(self, key)

    monkeypatch.setattr(type(recordings[0].video), "__getitem__", broken)
    batches = list(DataLoader(WindowStream(data, batch_size=3), batch_size=None))
    assert flat(batches) == [(recordings[w.recording].name, w.frames[0]) for w in data.windows]
    hit = [i for i, w in enumerate(data.windows) if w.recording == 0 and bad in w.frames]
    found = undecodable(batches)
    assert len(found) == len(hit) == 4 and all(f"frame {bad} cannot be decoded" in reason for _, reason in found)
    assert undecodable([data[hit[0]]]) == found[:1]
    valid = torch.cat([b["valid"] for b in batches])
    assert (~valid).nonzero().flatten().tolist() == hit and not data[hit[0]]["clip"].any()
    normal = WindowDataset(recordings, SPEC, transform=lambda frames: torch.from_numpy(frames) / 127.5 - 1)
    assert normal[hit[0]]["reason"] and not normal[hit[0]]["clip"].any()


def test_bad_input(recordings):
    with pytest.raises(ValueError, match="each name once"):
        WindowDataset([recordings[0], recordings[0]], SPEC)
    with pytest.raises(ValueError, match="batch_size: expected a whole number from 1 on, got 0"):
        WindowStream(WindowDataset(recordings, SPEC), batch_size=0)
    with pytest.raises(ValueError, match="start_batch: expected 0 to"):
        WindowStream(WindowDataset(recordings, SPEC), start_batch=10**6)
    with pytest.raises(ValueError, match="start: expected 0 to 5, got 6"):
        ResumableSampler(5, start=6)
    with pytest.raises(ValueError, match="one length for all recordings"):
        WindowDataset(recordings, lambda r: WindowSpec(length=4 if r is recordings[0] else 8))
