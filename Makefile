# Everything a new user runs: `make demo`, `make test`. Each target can be run again and again.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TESTS := OMP_NUM_THREADS=1 MPLCONFIGDIR=$(VENV)/matplotlib $(BIN)/python -m pytest

.PHONY: help demo install test check format slow bench clean

help:
	@echo "make demo    install, train dcgan on handwritten digits, write a report (about 3 minutes after installation)"
	@echo "make test    install the test extra, run the fast tests"
	@echo "make check   format, lint, types, fast tests, README and docs examples: what CI runs"
	@echo "make slow    the must-learn and fault suites (needs the data of GANVAS_DATA; about an hour)"
	@echo "make bench   speed side by side with a plain loop"

$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

install: $(VENV)/.core

demo: $(VENV)/.core
	$(BIN)/ganvas demo

test: $(VENV)/.test
	$(TESTS) -n 2 -m "not slow"

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TESTS) -n 2 -m "not slow"

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

slow: $(VENV)/.test
	$(TESTS:OMP_NUM_THREADS=1=) -m slow -v

bench: $(VENV)/.core
	$(BIN)/python benchmarks/speed.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
