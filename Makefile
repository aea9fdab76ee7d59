# Everything a developer and CI do; `make` alone lists it. Needs python3 (3.11 or newer, with
# venv) and make; uv comes into the virtual environment by pip.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
BIN := $(VENV)/bin
UV := $(BIN)/uv pip
LOCKS := requirements
IN_VENV := --python $(BIN)/python --quiet
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(LOCK_FLAGS)

# Bytecode is kept, whatever the environment says: the tests start thousands of processes, and each
# would compile every module anew (half of its time).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test mutants chaos million check cloud render cover format bench dist lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

setup: $(VENV)/.dev ## the virtual environment, with everything that developing needs

demo: $(VENV)/.run ## render some pages, label them with the embedded engine, show what was read
	$(BIN)/ocrlabel demo

test: $(VENV)/.dev ## all tests, on all cores
	$(BIN)/pytest --numprocesses=$(JOBS) --dist=loadgroup $(ARGS)

mutants: $(VENV)/.dev ## break the promise's modules line by line: tests must notice (SEED=7: a tenth)
	rm -rf mutants
	nice $(BIN)/mutmut run --max-children $(JOBS) $(if $(SEED),'*__mutmut_*$(SEED)') >mutants.log || \
		{ tail -n 40 mutants.log; exit 1; }
	$(BIN)/python tests/mutants/judge.py

chaos: $(VENV)/.dev ## the fault campaign: 200 runs with everything going wrong (ARGS="--seeds 5")
	$(BIN)/python -m tests.chaos $(ARGS)

million: $(VENV)/.dev ## a million rows in a bucket of a real S3 server, killed half way
	$(BIN)/python -m benchmarks.scale --paid 0 --rows 1000000 --tasks 64 --seaweed

check: $(VENV)/.dev ## lint, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	git ls-files -z '*.sh' .ci/run | xargs -0 $(BIN)/shellcheck

render: $(VENV)/.dev ## write again the files that follow from one source
	$(BIN)/python scripts/render.py

cover: $(VENV)/.dev ## the tests in one process, and which branches they miss
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

cloud: $(VENV)/.dev ## lint the image and the stack (checkov in a venv of its own)
	$(BIN)/hadolint scripts/cloud/Dockerfile.batch
	# W1030: SubnetIds is empty only together with an own network, where it is not looked at
	$(BIN)/cfn-lint --ignore-checks W1030 -t aws/stack-template.json
	test -x .venv-checkov/bin/checkov || { $(PYTHON) -m venv .venv-checkov && \
		.venv-checkov/bin/pip install --quiet --disable-pip-version-check 'checkov>=3.2,<4'; }
	.venv-checkov/bin/checkov --skip-download --config-file .checkov.yaml -f aws/stack-template.json

format: $(VENV)/.dev ## put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# those that need nothing given; each of the others says what, in its first lines
BENCHMARKS ?= help_time install_size one_image run_speed rate_simulation fleet_simulation fake_upstage_load \
	throughput fleet_throughput push_scale scale evaluate_speed export_speed report_speed

bench: $(VENV)/.dev ## the benchmarks, each with its figures and how to repeat them
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m "benchmarks.$$name"; done

dist: $(VENV)/.boot ## build wheel and source archive (RELEASE_TAG=v1.2.3 must be the version)
	@test -z "$$RELEASE_TAG" || grep -qxF "version = \"$${RELEASE_TAG#v}\"" pyproject.toml || \
		{ echo "the tag is not v and the version in pyproject.toml" >&2; exit 1; }
	$(BIN)/python -m hatchling build -d dist

lock: $(VENV)/.boot ## pin every dependency again (LOCK_FLAGS=--upgrade for newer ones)
	$(COMPILE) pyproject.toml --all-extras --group dev -o $(LOCKS)/dev.lock
	$(COMPILE) -c $(LOCKS)/dev.lock --group build -o $(LOCKS)/build.lock
	$(COMPILE) -c $(LOCKS)/dev.lock pyproject.toml --all-extras -o $(LOCKS)/all.lock
	$(COMPILE) -c $(LOCKS)/dev.lock pyproject.toml -o $(LOCKS)/api.lock
	$(COMPILE) -c $(LOCKS)/dev.lock pyproject.toml --extra aws --extra report \
		-o $(LOCKS)/cloud-api.lock
	$(COMPILE) -c $(LOCKS)/dev.lock pyproject.toml --extra aws --extra report --extra local \
		-o $(LOCKS)/cloud-local.lock

clean: ## remove the virtual environment and all caches
	rm -rf $(VENV) dist build .coverage* .hypothesis .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache mutants mutants.log

# Each stamp says that a stage was done with the files that it depends on, so a second run takes
# no time and a changed lock is installed by the next command.

$(VENV)/.boot: $(LOCKS)/build.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		f"ocrlabel needs Python 3.11 or newer; this one is {sys.version.split()[0]}. \
	Say which to use: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.run: $(VENV)/.boot $(LOCKS)/all.lock pyproject.toml
	$(UV) install $(IN_VENV) --require-hashes -r $(LOCKS)/all.lock
	$(UV) install $(IN_VENV) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run $(LOCKS)/dev.lock
	$(UV) sync $(IN_VENV) --require-hashes $(LOCKS)/build.lock $(LOCKS)/dev.lock
	$(UV) install $(IN_VENV) --no-deps --no-build-isolation --editable .
	@touch $@
