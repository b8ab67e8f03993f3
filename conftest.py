"""The cast and the servers that every test may use.

alice owns, bob shares, charlie must see nothing. The suite runs on the database and cache of the environment: SQLite
and memory by default, `python -m tests.servers python -m pytest …` for PostgreSQL and Valkey (`make test` runs both).

- `@pytest.mark.postgres`, `@pytest.mark.valkey`: the test needs them in this very process; skipped loudly elsewhere.
- `postgres_url`, `valkey_url`: a private server for processes that a test starts itself, whatever this one runs on.

With `CI=true` nothing of this is skipped: what cannot start is a failure.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

PASSWORD = "alviar-demo"
CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def pytest_configure(config: pytest.Config) -> None:
    # Argon2 is slow on purpose; what tests of hashing need they set themselves.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


def _unavailable(reason: str) -> None:
    if CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("postgres") and settings.EMBEDDED_DATABASE:
        _unavailable("needs PostgreSQL in this process: python -m tests.servers python -m pytest …")
    if item.get_closest_marker("valkey") and not settings.REDIS_URLS:
        _unavailable("needs Valkey in this process: python -m tests.servers python -m pytest …")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "needs " in str(report.longrepr)]
    if skipped:
        terminalreporter.section("NOT RUN: a server is missing", yellow=True, bold=True)
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}: {report.longrepr[2]}")


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    from tests import servers

    if not settings.EMBEDDED_DATABASE:
        yield settings.DATABASE_URL
        return
    try:
        with servers.postgresql() as url:
            yield url
    except servers.NotAvailable as error:
        _unavailable(f"needs PostgreSQL: {error}")


@pytest.fixture
def postgres_url(_postgres_server: str) -> str:
    """The URL of a fresh, empty PostgreSQL database for the processes that a test starts."""
    from tests import servers

    return servers.create_database(_postgres_server, f"live_{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The URL of a Valkey that belongs to this test run alone."""
    from tests import servers

    try:
        with servers.valkey() as url:
            yield url
    except servers.NotAvailable as error:
        _unavailable(f"needs Valkey: {error}")


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
