# Every target sets up what it needs. VENV=/some/where puts the environment elsewhere.
VENV ?= .venv
CLIENTS_VENV ?= .venv-clients
PYTHON ?= python3
BIND ?= 127.0.0.1:8000
RUN = $(VENV)/bin/python
STAMP = $(VENV)/.installed
DEV_STAMP = $(VENV)/.installed-dev
MYSQL_STAMP = $(VENV)/.installed-mysql
CLIENTS_STAMP = $(CLIENTS_VENV)/.installed
NODE_CLIENT = tests/clients/node
NODE_STAMP = $(NODE_CLIENT)/node_modules/.installed
UV := $(shell command -v uv 2> /dev/null)
# Extras stay in the lock: without them older pips take `coverage[toml]` for a package that is not pinned.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-strip-extras

.PHONY: setup demo run test test-all test-shared check format lock bench soak idle-streams clients mysql image clean

setup: $(STAMP)  ## environment, secrets, database, admin account
	$(RUN) manage.py setup

demo: $(STAMP)  ## the whole product on a fake upstream
	$(RUN) manage.py demo --bind $(BIND)

run: setup  ## the server
	$(RUN) manage.py serve --bind $(BIND)

test: $(DEV_STAMP)  ## the tests; what needs an absent service is skipped and named
	$(RUN) -m pytest --cov --cov-report=term $(ARGS)

test-all: $(DEV_STAMP)  ## the tests; an absent service is a failure
	$(RUN) -m pytest --cov --cov-report=term --require-services --durations=25 $(ARGS)

# One after the other they are faster than beside the rest: each has its own server of two workers.
SHARED = $(addprefix tests/e2e/test_,dying holder limits rotation shared_limits)
SHARED_DATABASE = $(or $(TEST_POSTGRES_URL),postgres://postgres@127.0.0.1:5432/postgres)
test-shared: $(DEV_STAMP)  ## limits and revocation once more, by two workers on PostgreSQL and Redis
	DATABASE_URL=$(SHARED_DATABASE) TEST_WORKERS=2 $(RUN) -m pytest --require-services $(addsuffix .py,$(SHARED)) $(ARGS)

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

soak: $(DEV_STAMP)  ## many requests of all kinds: memory and open files must not grow
	$(RUN) -m llm_proxy_site.bench.soak $(ARGS)

idle-streams: $(DEV_STAMP)  ## what a stream costs that says little
	$(RUN) -m llm_proxy_site.bench.idle_streams $(ARGS)

clients: $(CLIENTS_STAMP) $(NODE_STAMP)  ## the client programs that are tried against the proxy (needs npm)

mysql: $(MYSQL_STAMP)  ## the driver for MySQL and MariaDB (needs a compiler, pkg-config and libmariadb-dev)

image:  ## the container image
	docker build -t llm-proxy .

lock:  ## compile pyproject.toml into the requirements files (needs uv)
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) --group dev pyproject.toml -c requirements.txt -o requirements-dev.txt
	$(COMPILE) --group mysql -o requirements-mysql.txt
	$(COMPILE) --group clients -o requirements-clients.txt
	cd $(NODE_CLIENT) && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

clean:
	rm -rf $(VENV) $(CLIENTS_VENV) $(NODE_CLIENT)/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

$(VENV)/bin/python $(CLIENTS_VENV)/bin/python:
ifdef UV
	uv venv --quiet --python $(PYTHON) $(@D)/..
else
	$(PYTHON) -m venv $(@D)/..
endif

$(STAMP): requirements.txt | $(VENV)/bin/python
	$(call install,$(VENV),requirements.txt)
	touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	$(call install,$(VENV),requirements-dev.txt)
	touch $@

$(MYSQL_STAMP): requirements-mysql.txt $(STAMP)
	$(call install,$(VENV),requirements-mysql.txt)
	touch $@

$(CLIENTS_STAMP): requirements-clients.txt | $(CLIENTS_VENV)/bin/python
	$(call install,$(CLIENTS_VENV),requirements-clients.txt)
	touch $@

$(NODE_STAMP): $(NODE_CLIENT)/package-lock.json
	cd $(NODE_CLIENT) && npm ci --silent --no-audit --no-fund
	touch $@

ifdef UV
install = uv pip install --quiet --python $(1)/bin/python --require-hashes -r $(2)
else
install = $(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(2)
endif
