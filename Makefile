# Everything a person or CI needs. Each target installs what it needs first; a second run installs nothing.
# PYTHON must have GDAL's Python bindings (osgeo): the system's has, once scripts/system-packages ran.
# With conda:  make test PYTHON="$CONDA_PREFIX/bin/python"
PYTHON ?= /usr/bin/python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help setup demo test lint typecheck pytest format bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## install system packages and the virtual environment

$(VENV)/.ready: pyproject.toml scripts/system-packages
	scripts/system-packages $(PYTHON)
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[run,cdk,dev]'
	@touch $@

test: lint typecheck pytest  ## lint, type check and all tests

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.ready
	$(BIN)/mypy

pytest: $(VENV)/.ready
	$(BIN)/python -m pytest

format: $(VENV)/.ready  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove everything that the targets made
	rm -rf $(VENV) .demo .bench cdk.out .mypy_cache .ruff_cache .pytest_cache .hypothesis
