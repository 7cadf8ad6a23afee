#!/bin/sh
# Import and the fast tests that need no torch, on Python 3.12 where it is installed. With an argument all of those,
# else those of the commands, which go through most of the rest.
set -eu
cd "$(dirname "$0")/.."
python=$(for p in python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python; do
  "$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null && { echo "$p"; break; }
done)
if [ -z "$python" ]; then
  echo "Python 3.12 is not installed: its tests are left out"
  exit 0
fi
[ -x .venv-py312/bin/python ] || "$python" -m venv .venv-py312
pip=".venv-py312/bin/python -m pip --disable-pip-version-check -q"
$pip install -U -c constraints.txt pip
"$python" - >.venv-py312/needs.txt <<'PY'
import re, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
peers = ["banos", "nwbinspector", "pytest", "pytest-xdist", "hypothesis"]
for line in [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["nwb"], *peers]:
    if re.match(r"[\w-]+", line)[0] != "torch":  # its builds for 3.12 are several GB
        print(line)
PY
$pip install -c constraints.txt -r .venv-py312/needs.txt
$pip install --no-deps -e .
PYTHONSAFEPATH=1 .venv-py312/bin/python -c "import behavior_prism; print('imports on 3.12')"
PYTHONSAFEPATH=1 .venv-py312/bin/behavior-prism --help >/dev/null
# a file that is marked as a whole imports torch on top, which no marker can leave out
whole=$(grep -lrE '^pytestmark.*mark\.torch' tests | sed 's/^/--ignore=/')
# shellcheck disable=SC2086 # one option a word
PYTHONSAFEPATH=1 .venv-py312/bin/pytest -q -n 2 --dist loadfile -c tools/pytest_py312.ini --rootdir . \
  ${1:+tests/datasets tests/analysis} tests/behavior_prism -m "not slow and not gui and not torch" \
  $whole --ignore=tests/analysis/test_real_clips.py
