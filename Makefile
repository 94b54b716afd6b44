# Two commands: `make demo` (the main job on the bundled sample) and `make test`.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test-fast test test-all lint docs install clean

demo: $(BIN)/tutelage
	$(BIN)/tutelage run sample --recipe demo --out runs/demo --resume

# Three tiers of tests, set by tests/support/tiers.py: while working, before a merge, in CI.
test-fast: $(BIN)/tutelage
	$(PYTEST) -m fast --hypothesis-profile=fast

test: $(BIN)/tutelage
	$(PYTEST) -m "not full" --hypothesis-profile=fast

test-all: $(BIN)/tutelage
	$(PYTEST) --hypothesis-profile=full

lint: $(BIN)/tutelage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(BIN)/tutelage
	$(BIN)/zensical build --clean --strict

install: $(BIN)/tutelage

$(BIN)/tutelage: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tutelage needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

clean:
	rm -rf .venv runs
