import threading

import numpy as np
import pytest
from numbered_videos import read_number

from behavior_prism.datasets import Video
from behavior_prism.napari_plugin import LazyFrames
from behavior_prism.napari_plugin.lazy_frames import BACKWARD_RUN


@pytest.fixture
def frames(video_file):
    return LazyFrames.from_video(Video(video_file(count=60)))


def counted(count=100, size=(2, 2), **options):
    """Frames full of their own number, and the list of those that were decoded."""
    decoded = []

    def read(wanted):
        for i in wanted:
            decoded.append(i)
            yield np.full((*size, 3), i, dtype=np.uint8)

    return LazyFrames((count, *size, 3), read, **options), decoded


def test_it_looks_like_an_array(frames):
    assert frames.shape == (60, 64, 96, 3)
    assert (frames.ndim, frames.dtype, len(frames)) == (4, np.uint8, 60)
    assert frames.size == 60 * 64 * 96 * 3


KEYS = [
    *(0, 59, -1, np.int64(31), (7, slice(None), slice(None), slice(None)), (Ellipsis,), (slice(4, 9), Ellipsis, 0)),
    *(slice(10, 20, 3), slice(20, 10, -2), slice(50, 99), slice(5, 5), (slice(2, 4), 3, slice(0, 5)), [5, 1, -2]),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_gives_what_numpy_gives(frames, key):
    everything = frames[:]
    frames.release()
    np.testing.assert_array_equal(frames[key], everything[key])


def test_frames_are_exact_in_any_order(frames):
    order = [*range(0, 60, 7), *range(59, 0, -1), 3, 58, 4]
    assert [read_number(frames[i]) for i in order] == order


def test_a_frame_outside_is_an_error(frames):
    with pytest.raises(IndexError, match="expected a frame below 60, got 60"):
        frames[60]


def test_the_cache_stays_within_its_bound():
    frames, decoded = counted(size=(100, 100), cache_mb=0.3)
    assert frames.capacity == 10
    for i in range(40):
        frames[i]
    assert frames.cached_bytes == 10 * 30_000
    frames[39], frames[30]
    assert len(decoded) == 40
    frames[29]
    assert len(decoded) > 40


def test_going_backward_decodes_a_run_once():
    frames, decoded = counted()
    frames[60]
    decoded.clear()
    for i in range(59, 59 - BACKWARD_RUN, -1):
        assert frames[i][0, 0, 0] == i
    assert decoded == list(range(60 - BACKWARD_RUN, 60))


def test_a_jump_back_decodes_one_frame():
    frames, decoded = counted()
    frames[90]
    frames[10]
    assert decoded == [90, 10]


def test_a_damaged_frame_before_it_does_not_hide_a_good_one():
    def read(wanted):
        for i in wanted:
            if i == 50:
                raise ValueError("frame 50 cannot be decoded")
            yield np.full((2, 2, 3), i, dtype=np.uint8)

    frames = LazyFrames((100, 2, 2, 3), read)
    frames[60]
    assert frames[55][0, 0, 0] == 55
    with pytest.raises(ValueError, match="frame 50"):
        frames[50]


def test_frames_of_the_cache_cannot_be_changed():
    frames, _ = counted()
    with pytest.raises(ValueError, match="read-only"):
        frames[3][0, 0] = 7


def test_asking_for_everything_at_once_is_refused():
    frames, decoded = counted(count=100_000, size=(100, 100))
    with pytest.raises(ValueError, match="frame by frame, got a request for 100000 frames"):
        frames[:, 50]
    assert not decoded


def test_threads_get_their_own_frames(frames):
    wrong = []

    def look(first):
        wrong.extend(i for i in range(first, 60, 4) if read_number(frames[i]) != i)

    threads = [threading.Thread(target=look, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_release_lets_go_and_can_be_read_again(frames):
    frames[5]
    frames.release()
    assert frames.cached_bytes == 0
    assert read_number(frames[6]) == 6
