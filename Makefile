# `make demo` and `make test` install what is missing, on a fresh Debian 12 with nothing but git, make and Python.

PYTHON := $(shell tools/find-python)
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: help demo test lint unit conformance fuzz bench clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo          messages through a throw-away Postfix, judged before your eyes (needs root)'
	@echo 'make demo KEEP=1   the same, left running until Ctrl-C'
	@echo 'make test          lint, types and all tests; what needs root skips without it'
	@echo 'make lint          ruff and mypy'
	@echo 'make unit          the tests that need neither root nor Postfix'
	@echo 'make conformance   public test suites through the real milter; SUITES=FOLDER for others'
	@echo 'make fuzz          ten minutes of fuzzing; SECONDS=3600 for an hour'
	@echo 'make bench         what the dearest input costs, and a load on mailassay and on other filters (that needs root)'
	@echo 'make bench QUICK=1 the same, in a few minutes; PNG=FILE for a plot'
	@echo 'make clean         remove the virtual environment and caches'

demo: $(READY)
	@$(RUN) -m tests.demo $(if $(KEEP),--keep)

test: lint
	@$(RUN) -m pytest

lint: $(READY)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

unit: $(READY)
	@$(RUN) -m pytest -m 'not postfix'

# atheris is not part of the tests' own packages: there is no wheel of it for every Python
fuzz: $(READY)
	@$(RUN) -c 'import atheris' 2>/dev/null || $(RUN) -m pip install --quiet --editable '.[test,fuzz]'
	@$(RUN) -m tests.fuzz --seconds $(or $(SECONDS),600)

bench: $(READY)
	@$(RUN) -c 'import pytest_benchmark, matplotlib' 2>/dev/null || $(RUN) -m pip install --quiet --editable '.[test,bench]'
	@$(RUN) -m pytest --benchmark-only --benchmark-sort=name --benchmark-columns=median,max,rounds \
	    --benchmark-time-unit=ms $(if $(QUICK),--benchmark-max-time=0.1 )tests/bench/bench_*.py
	@$(RUN) -m tests.bench --if-possible $(if $(QUICK),--quick )--png $(or $(PNG),build/bench.png)

conformance: $(READY)
	@$(RUN) -m tests.conformance $(if $(SUITES),'$(SUITES)')

# a virtual environment of another Python, or of another state of setup.cfg, is made anew
$(READY): setup.cfg tools/install
	@tools/install "$(PYTHON)" "$(VENV)"
	@touch $@

clean:
	rm -rf $(VENV) build milter/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
