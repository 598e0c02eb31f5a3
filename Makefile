# The two commands: `make demo` and `make test`.  Needed beforehand: Python 3.11 and make.
# Everything is installed into .venv, at the versions in constraints.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PEER := .venv-peer/made
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-full lint peer format bench bench-full clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 18

demo: $(STAMP) ## resolve, attach, tag and score on the starter adapters, on a copy of the home
	@$(BIN)/python demo/demo.py
	@echo "next: source $(BIN)/activate    # puts ahl on your PATH; then: ahl resolve en gv --task pos"

test: lint peer ## lint, then all tests with coverage
	@echo "pytest"
	@$(BIN)/python -m pytest --numprocesses auto --dist loadscope --cov --cov-report=term

test-full: export AHL_EVERY_FAMILY = 1
test-full: test ## the same, with the conformance kit on every model type, not one for each anatomy

INPUTS ?= 100000

fuzz: $(STAMP) ## throw 100,000 broken files at every reader of foreign data (about ten minutes)
	@$(BIN)/python -m tests.foreign.fuzz --inputs $(INPUTS) --seed $$(date +%s)

lint: $(STAMP) ## ruff (rules and format) and mypy (strict)
	@echo "ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || (echo "run: make format" && false)
	@echo "mypy"
	@$(BIN)/mypy --no-error-summary

peer: $(PEER) ## the real `adapters` library, in its own environment, for the tests that ask it

format: $(STAMP) ## write the format that lint asks for
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP) $(PEER) ## time everything at a small size, beside the peers (minutes)
	@$(BIN)/python -m benchmarks.run

bench-full: $(STAMP) $(PEER) ## the same at the size of docs/benchmarks.md
	@$(BIN)/python -m benchmarks.run --full

clean: ## remove what the commands above made
	rm -rf $(VENV) .venv-peer .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PEER): $(STAMP) tests/exchange/peer_environment.py
	@echo "installing adapters into .venv-peer (a minute, once)"
	@$(BIN)/python tests/exchange/peer_environment.py
	@test -e .venv-peer/unavailable.txt || touch $@

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || (echo "Python 3.11 or newer is needed: make PYTHON=path/to/python3.11" && false)
	@echo "installing into $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "  1/2 torch"
	@$(PIP) torch
	@echo "  2/2 transformers, SQLAlchemy and the test tools"
	@$(PIP) --editable '.[test]'
	@touch $@
