#!/bin/sh
# Build a wheel from a clean clone, install it in an empty environment, use it from another folder.
# usage: check_wheel.sh PYTHON_WITH_BUILD ["--index-url URL" for torch]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
case "$1" in /*) python=$1 ;; *) python=$root/$1 ;; esac
torch_from=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

git clone -q "$root" "$work/clone"
"$python" -m build -q --wheel --outdir "$work/dist" "$work/clone"
"$python" - "$work"/dist/*.whl <<'PY'
import sys, zipfile
names = zipfile.ZipFile(sys.argv[1]).namelist()
tops = {n.split("/")[0] for n in names}
assert not tops & {"encoder", "datasets", "analysis", "napari_plugin", "tests"}, tops
for needed in ("behavior_prism/py.typed", "behavior_prism/napari_plugin/napari.yaml", "behavior_prism/encoder/__init__.py"):
    assert needed in names, needed
print("wheel holds", len(names), "files")
PY
"$python" -m venv "$work/env"
pip="$work/env/bin/python -m pip --disable-pip-version-check -q"
$pip install -U -c "$root/constraints.txt" pip
# shellcheck disable=SC2086
$pip install -c "$root/constraints.txt" $torch_from torch
$pip install -c "$root/constraints.txt" "$work"/dist/*.whl
cd "$work"
unset PYTHONPATH
"$work/env/bin/behavior-prism" info
"$work/env/bin/python" -c "import behavior_prism, sys; assert 'site-packages' in behavior_prism.__file__; behavior_prism.Video; behavior_prism.LinearProbe; behavior_prism.load_encoder('tiny')"
"$work/env/bin/behavior-prism" demo --seconds 4 --out "$work/demo"
