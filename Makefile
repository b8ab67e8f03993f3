# Every target sets up what it needs: a clean clone needs only make and Python 3.11 or newer.
PYTHON ?= python3
PY := .venv/bin/python
MAKEFLAGS += --no-print-directory

.PHONY: help run serve test check chaos chaos-short benchmarks client-test

help:
	@echo "make run     a server with demo people on http://127.0.0.1:8000 (SQLite, one process)"
	@echo "make serve   production: DATABASE_URL, REDIS_URL, SECRET_KEY, ALLOWED_HOSTS, WORKERS"
	@echo "make test    the tests, on SQLite and on a private PostgreSQL and Valkey"
	@echo "make client-test  the npm package and the page, in Node and in Chromium"
	@echo "make check   formatting, types, layers, migrations, deployment checks, OpenAPI"
	@echo "make chaos   a hundred clients while servers, stores and networks fail (chaos-short: a minute)"
	@echo "make benchmarks   side by side with the peers; see benchmarks/README.md"

.venv/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# exec: the signals that make passes on reach the server itself.
run: .venv/.installed
	@exec $(PY) -m config.server run

serve: .venv/.installed
	@exec $(PY) -m config.server serve

test: .venv/.installed-dev
	$(PY) -m pytest -m "not postgres and not valkey"
	$(PY) -m tests.servers $(PY) -m pytest -m "postgres or valkey"

check: .venv/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run

# Node 20 or newer, and a Chromium for the page (Debian's, or CHROMIUM=…). Screenshots: test-artefacts/.
client/node_modules/.package-lock.json: client/package.json client/package-lock.json
	cd client && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

client-test: .venv/.installed client/node_modules/.package-lock.json
	cd client && npm run -s typecheck && npm run -s test
	cd client && npm run -s build && npm run -s check:package && npm run -s check:page
	cd client && npm run -s test:live && npm run -s test:browser

chaos: .venv/.installed-dev
	$(PY) -m tests.chaos.run

chaos-short: .venv/.installed-dev
	$(PY) -m tests.chaos.run --short

benchmarks: .venv/.installed-dev
	$(PY) -m benchmarks.fanout
	$(PY) -m benchmarks.idle_sockets
	$(PY) -m benchmarks.http_calls
