"""Fixtures for all rooms, and the rule that on the build server a skip is a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from numbered_videos import numbered_frames, write_video

# timings say nothing on a busy machine
settings.register_profile("here", deadline=None, max_examples=60)
settings.load_profile("here")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Nothing that tests read goes into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEHAVIOR_PRISM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def shared_folder() -> Path:
    return Path(os.environ.get("BEHAVIOR_PRISM_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings, where it is there."""
    folder = shared_folder() / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}")
    return folder


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("BEHAVIOR_PRISM_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.longrepr = f"skipped where nothing may be skipped: {reason}"


@pytest.fixture
def video_file(tmp_path):
    """A factory: ``video_file(count=60, name="a.mp4", **options of write_video)``."""

    def make(count: int = 60, name: str = "clip.mp4", **options) -> Path:
        return write_video(tmp_path / name, numbered_frames(count), **options)

    return make
