# make demo   installs into .venv, runs the quickstart experiment and writes a page of it (again: only the page)
# make test   installs with the test extras, then lint, types and the default tests
# make docs   installs with the docs extras, then builds the site in docs/_build
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-all lint docs
demo: $(VENV)/demo.done
	$(BIN)/hybridopt run experiments/quickstart.yaml --out results/demo --resume
	$(BIN)/hybridopt report results/demo

test: lint
	$(PYTEST)

test-all: lint $(VENV)/docs.done
	$(PYTEST) -m "slow or not slow"

docs: $(VENV)/docs.done
	rm -rf docs/generated
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build
	@echo "The site is docs/_build/index.html"

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[data,report]"
	touch $@

$(VENV)/test.done: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[test]"
	touch $@ $(VENV)/demo.done

$(VENV)/docs.done: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[docs,data]"
	touch $@
