"""The README's own example runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.torch
def test_the_python_example_runs_and_prints_scores(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "average_precision" in done.stdout and "mean" in done.stdout
    assert sorted(p.name for p in (tmp_path / "features").iterdir() if not p.name.startswith(".")) == [
        "0.features.zarr",
        "1.features.zarr",
        "2.features.zarr",
    ]


def test_every_file_it_points_to_is_there():
    text = README.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links and [link for link in links if not (README.parent / link).exists()] == []
