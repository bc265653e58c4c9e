# `make lab` is for learners, `make test` proves everything; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
# What a failing step leaves half made is made again.
.DELETE_ON_ERROR:

.PHONY: help
help: ## List these verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1#\2/p' $(MAKEFILE_LIST) | awk -F'#' '{ printf "%-18s %s\n", $$1, $$2 }'

# ---- The environment: made once, mended when what it is made of changes ----

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "The course needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(BIN)/uv: | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.txt uv

$(READY): requirements.txt pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --requirements requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# ---- For learners ----

.PHONY: lab grade
lab: $(READY) ## Open JupyterLab on your copy of the lessons, work/
	$(BIN)/course lab

grade: $(READY) ## Mark your notebooks, hidden tests included
	$(BIN)/course grade

# ---- For contributors ----

.PHONY: build check prove lint format test bench bench-grade pin clean
build: $(READY) ## Write solutions/ and notebooks/ from lessons/
	$(BIN)/course build

check: $(READY) ## Prove the lessons that changed, and that solutions/ and notebooks/ are current
	$(BIN)/course check

prove: $(READY) ## Prove every lesson from nothing
	$(BIN)/course prove

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy autograder tests

format: $(READY) ## Mend what can be mended of the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What fails cheaply comes first. The last line proves the lessons as `check` does, with a test for each point.
test: lint ## Run everything that proves the project
	$(BIN)/pytest -p nbval.plugin --nbval-lax -n logical --dist loadscope solutions
	$(BIN)/pytest -n logical --dist loadgroup

bench: $(READY) ## Measure how long checking, grading and building take
	$(BIN)/course bench

bench-grade: $(READY) ## Measure grading a class against stock nbgrader
	$(BIN)/course bench-grade

pin: | $(BIN)/uv ## Pin in requirements.txt what pyproject.toml asks for
	$(BIN)/uv pip compile --quiet --universal --all-extras --python-version 3.11 \
		--custom-compile-command "make pin" --output-file requirements.txt pyproject.toml

clean: ## Remove caches and the built book; never your work
	rm -rf book/_build book/_pages .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# ---- The book ----

.PHONY: book serve-book
book: $(READY) ## Build the book
	$(BIN)/course book

serve-book: $(READY) ## Show the built book in a browser
	$(BIN)/course serve-book
