"""What tests of label formats share: labels from an array, their states again, and files that were damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from behavior_prism.datasets import Annotations, from_dense, load_annotations, to_dense

FPS = 25


def states(*, individuals: int = 1, behaviors: int = 3, frames: int = 24):
    """Arrays (time, individual, behavior) of the three states."""
    shapes = st.tuples(st.integers(1, frames), st.integers(1, individuals), st.integers(1, behaviors))
    return shapes.flatmap(lambda s: arrays(np.int8, s, elements=st.sampled_from([-1, 0, 1])))


def labels_of(values: np.ndarray, individuals=("view",), behaviors=("walk", "rear", "groom"), recording="r.1"):
    """Annotations of such an array at 25 frames per second."""
    label = xr.DataArray(
        values[None],
        dims=("scorer", "time", "individual", "behavior"),
        coords={
            "scorer": [""],
            "time": np.arange(len(values)) / FPS,
            "individual": list(individuals[: values.shape[1]]),
            "behavior": list(behaviors[: values.shape[2]]),
        },
    )
    return from_dense(label, recording=recording, edges=edges_of(values))


def edges_of(values: np.ndarray) -> np.ndarray:
    """Frame edges at 25 frames per second."""
    return np.arange(len(values) + 1) / FPS


def states_of(annotations: Annotations, num_frames: int, individual="view", behaviors=("walk", "rear", "groom")):
    """States (time, behavior) of one individual; behaviours that are not known are not scored."""
    label = to_dense(annotations, np.arange(num_frames) / FPS, individuals=[individual], scorers=[""])
    out = np.full((num_frames, len(behaviors)), -1, dtype=np.int8)
    for k, name in enumerate(behaviors):
        if name in annotations.behaviors:
            out[:, k] = label.sel(behavior=name).values[0, :, 0]
    return out


def damages():
    """A place within a file, from 0 to 1, and what stands there instead."""
    junk = st.sampled_from([b"\xff", b"\0", b"nan", b"NaN", b"-1", b"1e999", b"9" * 30, b'"', b"\n", b"{", b",", b"\t"])
    return st.tuples(st.floats(0, 1), junk | st.binary(max_size=3))


def check_damaged(path: Path, content: bytes, format: str, damage, **options) -> None:
    """Cut off and overwritten files are read, or refused in one line that names them."""
    place, junk = int(damage[0] * len(content)), damage[1]
    whole = content[:place] + junk + content[place + len(junk) :]
    for damaged in (content[:place], content[:place] + junk + content[place:], whole):
        path.write_bytes(damaged)
        try:
            load_annotations(path, format, **options)
        except ValueError as error:
            assert "\n" not in str(error)
            assert str(path) in str(error)


def check_refused(path: Path, content: str | bytes, format: str, match: str, **options) -> None:
    """Such a file is refused with such words."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=match):
        load_annotations(path, format, **options)
