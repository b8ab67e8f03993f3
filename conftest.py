"""The cast and the servers that every test may use.

alice owns, bob shares, charlie must see nothing. The suite runs on the database and cache of the environment: SQLite
and memory by default, `python -m tests.servers python -m pytest …` for PostgreSQL and Valkey (`make test` runs both).

- `@pytest.mark.postgres`, `@pytest.mark.valkey`: the test needs them in this very process; skipped loudly elsewhere.
- `postgres_url`, `valkey_url`: a private server for processes that a test starts itself, whatever this one runs on.

With `CI=true` nothing is skipped: what cannot run is a failure.
"""

import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from unittest import mock

import pytest
import time_machine
from django.conf import settings
from django.test import TransactionTestCase
from whitenoise.middleware import WhiteNoiseMiddleware

from common import shared_clock
from tests import flush

pytest_plugins = ["tests.reruns"]

PASSWORD = "alviar-demo"
CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def pytest_configure(config: pytest.Config) -> None:
    # Argon2 is slow on purpose; what tests of hashing need they set themselves.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]
    if settings.REDIS_URLS and hasattr(config, "workerinput"):
        _use_a_valkey_of_its_own(config)


def _use_a_valkey_of_its_own(config: pytest.Config) -> None:
    """Part the workers of xdist: a message to everybody reaches all databases of a Valkey."""
    from tests import servers

    server = servers.Valkey()
    server.start()
    config.add_cleanup(server.stop)
    settings.REDIS_URLS = [server.url]
    settings.CACHES["default"]["LOCATION"] = settings.REDIS_URLS
    settings.WAKES_URLS = settings.REDIS_URLS


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"CI skips nothing. {reason}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the live tests, which are long; the others fill what time is left."""
    items.sort(key=lambda item: item.get_closest_marker("live") is None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("postgres") and settings.EMBEDDED_DATABASE:
        pytest.skip("needs PostgreSQL in this process: python -m tests.servers python -m pytest …")
    if item.get_closest_marker("valkey") and not settings.REDIS_URLS:
        pytest.skip("needs Valkey in this process: python -m tests.servers python -m pytest …")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "needs " in str(report.longrepr)]
    if skipped:
        terminalreporter.section("NOT RUN: a server is missing", yellow=True, bold=True)
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}: {report.longrepr[2]}")


@pytest.fixture(scope="session", autouse=True)
def _template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spare the servers that tests start their migrations: give them a copy of this process's own empty tables."""
    from tests import live

    if settings.EMBEDDED_DATABASE and any(item.get_closest_marker("live") for item in request.session.items):
        request.getfixturevalue("django_db_setup")
        live.template = tmp_path_factory.mktemp("template") / "db.sqlite3"
        name = settings.DATABASES["default"]["NAME"]
        with closing(sqlite3.connect(name)) as source, closing(sqlite3.connect(live.template)) as copy:
            source.backup(copy)
    yield
    live.template = None


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    """After a test with `transaction=True`, empty the tables that have rows, and only these."""
    with mock.patch.object(TransactionTestCase, "_fixture_teardown", flush.flush):
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_found_once() -> Iterator[None]:
    """Each test client has middleware of its own, for which WhiteNoise looks at every static file there is."""
    look, found = WhiteNoiseMiddleware.add_files_from_finders, {}

    def once(self: WhiteNoiseMiddleware) -> None:
        if not found:
            look(self)
            found.update(self.files)
        self.files.update(found)

    with mock.patch.object(WhiteNoiseMiddleware, "add_files_from_finders", once):
        yield


@pytest.fixture(scope="session", autouse=True)
def _every_refusal_is_documented() -> Iterator[None]:
    """Hold what Django's test clients are refused against the OpenAPI document."""
    from django.test import Client

    from tests import documented

    ask = Client.request

    def asked(self: Client, **request: Any) -> Any:
        response = ask(self, **request)
        if response.status_code >= 400 and not response.streaming:
            documented.check(
                response.request["REQUEST_METHOD"],
                response.request["PATH_INFO"],
                response.status_code,
                response.get("Content-Type", ""),
                response.content,
                query=response.request.get("QUERY_STRING", ""),
            )
        return response

    with mock.patch.object(Client, "request", asked):
        yield


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    """The URL of a migrated database, whose server has room for more."""
    from tests import live, servers

    url = "" if settings.EMBEDDED_DATABASE else settings.DATABASE_URL
    with ExitStack() as stack:
        try:
            url = url or stack.enter_context(servers.postgresql())
        except servers.NotAvailable as error:
            pytest.skip(f"needs PostgreSQL: {error}")
        made = servers.create_database(url, f"template_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
        live.manage({"DATABASE_URL": made}, "migrate", "-v0")
        yield made


@pytest.fixture(scope="session")
def new_database(_postgres_server: str) -> Callable[[], str]:
    """Return the URL of one more PostgreSQL database each time it is called, with all tables and no rows."""
    from tests import servers

    template = _postgres_server.rpartition("/")[2]
    return lambda: servers.create_database(_postgres_server, f"live_{uuid.uuid4().hex[:12]}", template=template)


@pytest.fixture
def postgres_url(new_database: Callable[[], str]) -> str:
    """The URL of a PostgreSQL database for the processes that a test starts."""
    return new_database()


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The URL of a Valkey that belongs to this test run alone."""
    from tests import servers

    try:
        with servers.valkey() as url:
            yield url
    except servers.NotAvailable as error:
        pytest.skip(f"needs Valkey: {error}")


@pytest.fixture(autouse=True)
def _clean_slate() -> Iterator[None]:
    """No count, lockout or presence of one test reaches the next."""
    from django.core.cache import cache

    yield
    cache.clear()


def _person(username: str, **fields: Any) -> Any:
    from django.contrib.auth import get_user_model

    fields = {
        "email": f"{username}@example.com",
        "password": PASSWORD,
        "email_verified": True,
        "language": "en",
    } | fields
    return get_user_model().objects.create_user(username=username, **fields)


@pytest.fixture
def person(db: None) -> Callable[..., Any]:
    """Create one more person: `person("dora", is_active=False)`."""
    return _person


@pytest.fixture
def alice(db: None) -> Any:
    return _person("alice")


@pytest.fixture
def bob(db: None) -> Any:
    return _person("bob")


@pytest.fixture
def charlie(db: None) -> Any:
    return _person("charlie")


@pytest.fixture
def admin_person(db: None) -> Any:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.create_superuser(username="admin", email="admin@example.com", password=PASSWORD)


@pytest.fixture
def api() -> Any:
    """A client that nobody is signed in with."""
    from rest_framework.test import APIClient

    return APIClient()


@pytest.fixture
def sign_in(db: None) -> Callable[..., Any]:
    """Start a real session: `client = sign_in(alice)`; `client.started` holds its row and tokens."""
    from rest_framework.test import APIClient

    def sign_in(user: Any, **details: Any) -> Any:
        from common.client import Client
        from sessions.services import lifecycle

        source = Client(ip_address="203.0.113.7", user_agent="tests")
        client: Any = APIClient()
        client.started = lifecycle.start(user=user, client=source, **details)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {client.started.tokens.access}")
        return client

    return sign_in


@pytest.fixture
def alice_api(sign_in: Callable[..., Any], alice: Any) -> Any:
    return sign_in(alice)


@pytest.fixture
def bob_api(sign_in: Callable[..., Any], bob: Any) -> Any:
    return sign_in(bob)


@pytest.fixture
def charlie_api(sign_in: Callable[..., Any], charlie: Any) -> Any:
    return sign_in(charlie)


@pytest.fixture
def run_tasks(db: None) -> Callable[[], int]:
    """Run every task that is due, and those that they enqueue; return how many ran. What a task raises is raised."""
    from django_tasks_db.models import DBTaskResult

    def run_tasks() -> int:
        count = 0
        while row := DBTaskResult.objects.ready().first():
            row.claim("tests")
            row.task.call(*row.args_kwargs["args"], **row.args_kwargs["kwargs"])
            row.set_successful(None)
            count += 1
        return count

    return run_tasks


@pytest.fixture
def host_ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`with host_ahead(seconds=90): …` happens on a host whose clock is wrong, and which has asked the database."""

    @contextmanager
    def there(*, seconds: float) -> Iterator[None]:
        with time_machine.travel(time.time() + seconds, tick=True), monkeypatch.context() as patched:
            patched.setattr(shared_clock, "_offset", -seconds)
            yield

    return there
