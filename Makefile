# make demo: set everything up and run the main job.   make test: set everything up and pass the tests.
# Each is enough by itself on a machine with make and Python >= 3.11, and quick the second time.

# The first Python that is new enough; choose another with `make demo PYTHON=python3.12`.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# Where torch comes from. On Linux the public registry gives a CUDA build of several GB; for the small CPU build give
# PyTorch's own index:  make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
VENV ?= .venv
DEMO_OUTPUT ?= demo_output
# two processes with one thread each; whole files together, since they share what they prepare
PYTEST_ARGS ?= -n 2 --dist loadfile
# Tests of half a minute and more run in `make test-all`, before a release and in .ci/full.
FAST = -m "not slow"

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check -q
PINS = -c constraints.txt
TORCH_FROM = $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
# modules whose docstrings people read: not the simulator's insides
PUBLIC = $(wildcard behavior_prism/*.py encoder/*.py encoder/pretraining/*.py encoder/pretraining/recipes/*.py \
  datasets/[a-z]*.py analysis/*.py)
# the checkout's own folders must never shadow other packages (`datasets`)
export PYTHONSAFEPATH = 1

.PHONY: demo test test-all lint wheel-check test-py312 docs clean

demo: $(VENV)/.demo
	$(BIN)/behavior-prism demo --out $(DEMO_OUTPUT) --overwrite

test: $(VENV)/.test
	@$(PYTHON) tools/check_system.py test --install || echo "tests that need a screen will be skipped"
	QT_API=pyside6 OMP_NUM_THREADS=1 $(BIN)/pytest $(PYTEST_ARGS) $(FAST)

test-all:
	$(MAKE) test FAST=

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/codespell
	$(BIN)/python -m numpydoc lint $(PUBLIC)
	QT_API=pyside6 $(BIN)/npe2 validate behavior-prism

docs: $(VENV)/.dev
	rm -rf docs/generated  # pages of names that are gone would be warnings
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html

# A wheel from a clean clone, in an empty environment, used from another folder.
wheel-check: $(VENV)/.dev
	sh tools/check_wheel.sh $(BIN)/python "$(TORCH_FROM)"

# What does not need torch, on Python 3.12, where that is installed. ALL=1: every such test, not only those of the commands.
test-py312:
	sh tools/test_py312.sh $(ALL)

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info $(DEMO_OUTPUT) docs/_build docs/generated

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found"; exit 1; }
	@$(PYTHON) tools/check_system.py demo
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -U $(PINS) pip
	touch $@

# torch first, so that nothing that follows can pull another build of it
$(VENV)/.demo: $(VENV)/.python constraints.txt pyproject.toml
	$(PIP) install $(PINS) $(TORCH_FROM) torch
	$(PIP) install $(PINS) -e .
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) install $(PINS) --group test -e .
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) install $(PINS) --group dev -e .
	touch $@
