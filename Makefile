# Every target sets up what it needs. VENV=/some/where puts the environment elsewhere.
VENV ?= .venv
PYTHON ?= python3
BIND ?= 127.0.0.1:8000
RUN = $(VENV)/bin/python
STAMP = $(VENV)/.installed
DEV_STAMP = $(VENV)/.installed-dev
UV := $(shell command -v uv 2> /dev/null)
# Extras stay in the lock: without them older pips take `coverage[toml]` for a package that is not pinned.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-strip-extras

.PHONY: setup demo run test test-all check format lock bench image clean

setup: $(STAMP)  ## environment, secrets, database, admin account
	$(RUN) manage.py setup

demo: $(STAMP)  ## the whole product on a fake upstream
	$(RUN) manage.py demo --bind $(BIND)

run: setup  ## the server
	$(RUN) manage.py serve --bind $(BIND)

test: $(DEV_STAMP)  ## the tests; what needs an absent service is skipped and named
	$(RUN) -m pytest --cov --cov-report=term $(ARGS)

test-all: $(DEV_STAMP)  ## the tests; an absent service is a failure
	$(RUN) -m pytest --cov --cov-report=term --require-services $(ARGS)

check: $(DEV_STAMP)  ## format, lint, types, migrations
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy .
	$(RUN) -m tests.check_migrations

format: $(DEV_STAMP)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(DEV_STAMP)  ## the proxy against a bare pass-through and upstream itself
	$(RUN) manage.py bench $(ARGS)

image:  ## the container image
	docker build -t llm-proxy .

lock:  ## compile pyproject.toml into the requirements files (needs uv)
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) --group dev pyproject.toml -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

$(VENV)/bin/python:
ifdef UV
	uv venv --quiet --python $(PYTHON) $(VENV)
else
	$(PYTHON) -m venv $(VENV)
endif

$(STAMP): requirements.txt | $(VENV)/bin/python
	$(call install,requirements.txt)
	touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	$(call install,requirements-dev.txt)
	touch $@

ifdef UV
install = uv pip install --quiet --python $(VENV)/bin/python --require-hashes -r $(1)
else
install = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
endif
