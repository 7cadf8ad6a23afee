"""Video files opened with every decoder that there is."""

from __future__ import annotations

from functools import partial

import pytest

from behavior_prism.datasets.torchcodec_video import open_video_file


def _skip_without_torchcodec() -> None:
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:  # a build for CUDA, or no FFmpeg
        pytest.skip(f"torchcodec is not here: {(str(error).splitlines() or ['?'])[0]}")


@pytest.fixture(scope="module")
def torchcodec():
    """Nothing but that it is there."""
    _skip_without_torchcodec()


@pytest.fixture(scope="module", params=["pyav", pytest.param("torchcodec", marks=pytest.mark.torch)])
def open_file(request):
    """``Video``, and the same with the optional decoder."""
    if request.param == "torchcodec":
        _skip_without_torchcodec()
    return partial(open_video_file, decoder=request.param)
