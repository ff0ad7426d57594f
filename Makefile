# Development and the local stack. `make` lists the targets; the first one that needs it installs .venv.

AIRFLOW ?= 3.3
VENV ?= .venv
BIN := $(VENV)/bin
LOCK := requirements/airflow-$(AIRFLOW).txt
INSTALLED := $(VENV)/.installed-airflow-$(AIRFLOW)
# Locks are a function of setup.cfg, requirements/*.in and these days.
DAY_3.3 := 2026-11-23
DAY_2.11 := 2026-04-30

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHONS := python3.13 python3.12 python3.11 python3.10 python3 python
UV := $(shell command -v uv)
ifdef UV
NEEDED := import sys
VENV_COMMAND = $(UV) venv --quiet --seed --python $$(command -v $$python) $(VENV)
INSTALL := $(UV) pip install --compile-bytecode --python $(BIN)/python
else
NEEDED := import sys, ensurepip, venv
VENV_COMMAND = $$python -m venv $(VENV)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help
help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

.PHONY: run
run: $(INSTALLED)  ## start PostgreSQL, Airflow and SVOps, execute a sample task, stay up (data in .svops)
	@$(BIN)/svops up $(ARGS)

.PHONY: demo
demo: $(INSTALLED)  ## the same in a temporary folder, and end; status 0 if the task has completed
	@$(BIN)/svops demo $(ARGS)

.PHONY: test
test: $(INSTALLED)  ## all tests; ARGS goes to pytest
	$(BIN)/python -m pytest $(ARGS)

.PHONY: lint
lint: $(INSTALLED)  ## ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: chaos
chaos: $(INSTALLED)  ## kill every process in every phase of a chain, stop chains, lose callbacks; ARGS goes to pytest
	$(BIN)/python -m pytest tests/chaos --kills 16 --stops 54 --at-most 30 $(ARGS)

.PHONY: load
load: $(INSTALLED)  ## a hundred tasks at once
	$(BIN)/python benchmarks/load.py $(ARGS)

.PHONY: bench
bench: $(INSTALLED)  ## what a chain costs beside other ways to run one
	$(BIN)/python benchmarks/chain_overhead.py $(ARGS)

.PHONY: tick
tick: $(INSTALLED)  ## what a look of the monitor costs with 3,000 runs under way
	$(BIN)/python benchmarks/monitor_tick.py $(ARGS)

.PHONY: fanout
fanout: $(INSTALLED)  ## how many live sockets one API server serves
	$(BIN)/python benchmarks/websocket_fanout.py $(ARGS)

LOCKER := $(or $(UV),$(BIN)/uv)
.PHONY: lock
lock: requirements/airflow-3.3.in requirements/airflow-2.11.in | $(LOCKER)  ## resolve requirements/*.txt anew
	@for lock in 3.3@$(DAY_3.3) 2.11@$(DAY_2.11); do \
		$(LOCKER) pip compile --quiet --universal --python-version 3.10 --upgrade --exclude-newer $${lock#*@} \
			--custom-compile-command "make lock" --extra pipelines --extra local --extra dev \
			--output-file requirements/airflow-$${lock%@*}.txt setup.cfg requirements/airflow-$${lock%@*}.in \
			|| exit 1; \
	done

.PHONY: clean
clean:  ## remove .venv and what builds and checks leave; .svops, which is data, stays
	rm -rf $(VENV) build dist *.egg-info .coverage .*_cache .hypothesis

$(INSTALLED): $(LOCK) setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing $(LOCK) into $(VENV) ..." >&2
	@$(INSTALL) --requirement $(LOCK)
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(BIN)/python:
	@for python in $(PYTHONS); do \
		$$python -c '$(NEEDED); sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null \
			&& exec $(VENV_COMMAND); \
	done; \
	echo "SVOps needs Python 3.10 to 3.13 with its venv module (Debian: apt install python3-venv)." >&2; \
	exit 1

$(BIN)/uv: | $(BIN)/python
	@$(BIN)/python -m pip install --quiet uv
