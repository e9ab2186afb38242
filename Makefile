# make demo: install, ingest corpus/, search it under two instructions.   make test: install, run the tests.
# make test-lowest: quick tests of the library on the lowest versions that pyproject.toml permits, without torch.
# make axe: install axe-core from npm, with which a test looks for what keeps people out of the page.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-trust test-slow test-lowest check axe clean

demo: $(VENV)/.installed-all
	$(BIN)/python -m ingest corpus/ --instruction
	@echo
	$(BIN)/python -m instructor_search search mercury --collection corpus --top-k 2 \
		--instruction "Represent the astronomy question for retrieving supporting documents: "
	@echo
	$(BIN)/python -m instructor_search search mercury --collection corpus --top-k 2 \
		--instruction "Represent the Roman mythology question for retrieving supporting documents: "

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow"

test-trust: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m trust -n 2 --dist loadfile

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-lowest: .venv-lowest/.installed
	.venv-lowest/bin/python -m tests.without_torch

.venv-lowest/.installed: pyproject.toml tests/lowest.py | $(BIN)/python
	rm -rf .venv-lowest
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/python tests/lowest.py ingest > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-lowest/constraints.txt -e '.[ingest]' \
		'pytest>=8.3' 'pytest-timeout>=2.4' 'hypothesis>=6.100'
	@touch $@

axe:
	npm ci --ignore-scripts --no-audit --no-fund

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-all: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[all]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed-all

clean:
	rm -rf $(VENV) .venv-lowest node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache
