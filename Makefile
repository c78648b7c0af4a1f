# `make run` and `make test` set everything up on a fresh machine; a second call goes straight to work.
PYTHON ?= python3
VENV := .venv
# Without --no-compile pip byte-compiles all of torch, which takes longer than the rest.
PIP := $(VENV)/bin/python -m pip install -qq --no-compile --constraint constraints.txt

.PHONY: run test bench

run: $(VENV)/.installed
	$(VENV)/bin/python -m hobbit +policy=hobbit device=orin

test: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2

bench: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest benchmarks --benchmark-enable --benchmark-only \
		--benchmark-group-by=func --benchmark-sort=name --benchmark-columns=min,median,mean,rounds

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV): this takes a few minutes once"
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV): this takes a few minutes once"
	$(PIP) --editable ".[dev]"
	@touch $@ $(VENV)/.installed
