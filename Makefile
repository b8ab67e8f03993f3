# Every target sets up what it needs: a clean clone needs only make and Python 3.11 or newer.
PYTHON ?= python3
PY := .venv/bin/python
MAKEFLAGS += --no-print-directory
# Compiled once: every start of a server, and every test module, would else be compiled anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help docs run serve reload stack lock sbom release newcomer image-test test coverage check chaos chaos-short cluster cluster-long abuse benchmarks screenshots screenshots-short client-test bruno-test

help:
	@echo "make run     a server with demo people on http://127.0.0.1:8000 (SQLite, one process)"
	@echo "make docs    the documentation site, shown by the server at /docs/"
	@echo "make serve   production: DATABASE_URL, REDIS_URL, SECRET_KEY, ALLOWED_HOSTS, WORKERS"
	@echo "make reload  new code and settings for a running make serve, without an outage"
	@echo "make stack   the same behind nginx with TLS, with a PostgreSQL and a Valkey of its own, to look at"
	@echo "make test    the tests, on SQLite and on a private PostgreSQL and Valkey"
	@echo "make client-test  the npm package and the page, in Node and in Chromium"
	@echo "make bruno-test   api.http from top to bottom by Bruno, against a fresh server"
	@echo "make test-production  the same tests once more, all on PostgreSQL and Valkey"
	@echo "make release  check that this commit is a release; make lock writes requirements.lock, make sbom the SBOM"
	@echo "make newcomer  from a clone to a restored backup, with reloads and an upgrade under load; make image-test: the image"
	@echo "make coverage  test-production and live servers, measured: one figure (then: coverage report -m)"
	@echo "make check   formatting, types, layers, migrations, deployment checks, OpenAPI"
	@echo "make abuse   what strangers and bad networks do, with its cost (ONLY=handshakes,pings)"
	@echo "make screenshots  pictures of the admin, the mails and their pages, checked by axe-core"
	@echo "make chaos   a hundred clients while servers, stores and networks fail (chaos-short: a minute)"
	@echo "make cluster  two hosts, a balancer, PostgreSQL with a standby: each killed, hung, cut off in turn (root; cluster-long)"
	@echo "make benchmarks   side by side with the peers; see benchmarks/README.md"

.venv/.installed: requirements.txt requirements-media.txt requirements-s3.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt requirements-telemetry.txt requirements-nats.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# The documentation site, which the server shows at /docs/.
.venv/.installed-docs: .venv/.installed requirements-docs.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

docs: .venv/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet

# exec: the signals that make passes on reach the server itself.
run: .venv/.installed
	@exec $(PY) -m config.server run

serve: .venv/.installed
	@exec $(PY) -m config.server serve

# New code and settings without an outage: the processes of make serve are replaced one by one.
reload: .venv/.installed
	@exec $(PY) -m config.server reload

# The topology of production on this machine: nginx with TLS, two servers, a task worker, PostgreSQL, Valkey.
stack: .venv/.installed-dev
	@exec $(PY) -m tests.stack

# What is installed by the image and by upgrades, with hashes; run it after any change to requirements*.txt.
lock: .venv/.installed-dev
	$(PY) -m uv pip compile requirements.txt requirements-telemetry.txt requirements-nats.txt --generate-hashes --python-platform linux --python-version 3.11 --no-header \
		--no-emit-index-url --quiet --upgrade --output-file requirements.lock
	$(PY) -m uv pip compile requirements-docs.txt --generate-hashes --python-platform linux --python-version 3.11 --no-header \
		--no-emit-index-url --quiet --upgrade --output-file requirements-docs.lock

sbom: .venv/.installed-dev
	$(PY) -m tools.sbom dist/sbom.cdx.json

# A newcomer's way: clone, configure, start, sign in through nginx with TLS, reload and upgrade under load, back up,
# restore. WORDS="--reloads 5 --pairs 20 --within-ms 1000" for more of it.
newcomer: .venv/.installed-dev
	$(PY) -m tests.newcomer $(WORDS)

# Builds the image, starts it and signs in; as root, with buildah and debootstrap (apt-get install buildah debootstrap).
image-test:
	deploy/build-image.sh

# Checks that version, changelog, upgrade notes, lock and tag fit together, and writes dist/.
release: .venv/.installed-dev
	$(PY) -m tools.release

# On SQLite, then what needs PostgreSQL and Valkey on private ones; two processes each time.
test: .venv/.installed-dev
	$(PY) -m pytest -n 2 --dist loadgroup -m "not postgres and not valkey"
	$(PY) -m tests.servers $(PY) -m pytest -n 2 --dist loadgroup -m "postgres or valkey"

# Everything but the live servers once more, on PostgreSQL and Valkey.
test-production: .venv/.installed-dev
	$(PY) -m tests.servers $(PY) -m pytest -n 2 --dist loadgroup -m "not live"

# The same under measure, with the live tests that reach most of the servers' own code; prints one line and fails far
# below it. A run of its own: measuring makes the tests half as slow again.
LIVE_FOR_COVERAGE := tests/contract tests/test_scenarios.py tests/test_processes.py tests/test_socket.py config/tests \
	tests/test_wakes.py tests/test_shared_stores.py
MEASURED := $(PY) -m coverage run -m pytest -n 2 --dist loadgroup
coverage: .venv/.installed-dev
	@rm -rf var/coverage
	$(PY) -m tests.servers $(MEASURED) -m "not live"
	-$(MEASURED) -m live $(LIVE_FOR_COVERAGE) # judged by make test; here, where all is slower, only measured
	@$(PY) -m coverage combine --quiet
	@echo "coverage: $$($(PY) -m coverage report --format total --fail-under 0) % of all statements, live servers included"
	@$(PY) -m coverage report --format total >/dev/null

# What the deployment checks are held against; the database and Redis are not contacted.
check: export PRODUCTION_SETTINGS = ALVIAR_MODE=production ALLOWED_HOSTS=chat.example.com \
	PUBLIC_URL=https://chat.example.com DATABASE_URL=postgresql://alviar@127.0.0.1/alviar \
	REDIS_URL=redis://127.0.0.1/0 EMAIL_URL=smtp+tls://mail.example.com JWT_SIGNING_KEYS=check:$(shell od -An -N32 -tx1 /dev/urandom | tr -d ' \n') \
	SECRET_KEY=$(shell od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
check: .venv/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	$(PY) manage.py makemigrations --check --dry-run
	env $$PRODUCTION_SETTINGS $(PY) manage.py check --deploy --fail-level WARNING
	$(PY) manage.py spectacular --validate --fail-on-warn --file /dev/null

# Node 20 or newer, and a Chromium for the page (Debian's, or CHROMIUM=…). Screenshots: test-artefacts/.
client/node_modules/.package-lock.json: client/package.json client/package-lock.json
	cd client && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

client-install: client/node_modules/.package-lock.json

client-test: .venv/.installed client-install
	cd client && npm run -s typecheck && npm run -s test
	cd client && npm run -s build && npm run -s check:package && npm run -s check:page
	cd client && npm run -s test:live && npm run -s test:browser

# The walk through the API (api.http) as a Bruno collection, sent by Bruno's own command line to a fresh server.
bruno/node_modules/.package-lock.json: bruno/package.json bruno/package-lock.json
	cd bruno && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

bruno-test: .venv/.installed-dev bruno/node_modules/.package-lock.json
	$(PY) -m tests.bruno

# Every admin page, mail and page of a mailed link, in three languages, light and dark, phone and desktop, checked by
# axe-core; the screens of the page are client-test's. Pictures: test-artefacts/, or CI_ARTEFACTS.
screenshots: .venv/.installed-dev client-install
	$(PY) -m tests.screenshots

screenshots-short: .venv/.installed-dev client-install
	$(PY) -m tests.screenshots --short

chaos: .venv/.installed-dev
	$(PY) -m tests.chaos.run

chaos-short: .venv/.installed-dev
	$(PY) -m tests.chaos.run --short

# In network namespaces of its own, as root; exits with 75 where there are none (Debian: iproute2 nftables haproxy).
cluster: .venv/.installed-dev
	@exec $(PY) -m tests.cluster.run

cluster-long: .venv/.installed-dev
	@exec $(PY) -m tests.cluster.page

abuse: .venv/.installed-dev
	$(PY) -m tests.abuse.run --only "$(ONLY)"

benchmarks: .venv/.installed-dev
	$(PY) -m benchmarks.run
