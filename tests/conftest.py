"""The server that most live tests share, and the engines between processes."""

from collections.abc import Iterator

import pytest

from tests import engines, live, servers


@pytest.fixture(scope="session")
def shared() -> Iterator[live.Server]:
    """One server for every test that neither stops it nor needs settings of its own; one worker runs them all."""
    without_limit = ("PASSWORD_RESET", "RESEND_VERIFICATION", "MAIL_ACCOUNT_HOURLY")
    settings = {
        "ALLOWED_ORIGINS": "https://app.example.com",
        "PUSH_PRIVATE_ENDPOINTS": "true",
        "PUSH_COLLECT_MS": "20",
        **{f"RATE_{name}": "0" for name in without_limit},
    }
    with live.server(**settings) as started:
        yield started


NAMES = [pytest.param(name, marks=pytest.mark.xdist_group(f"engine-{name}"), id=name) for name in engines.ENGINES]


@pytest.fixture(scope="session", params=NAMES)
def engine(request: pytest.FixtureRequest) -> Iterator[engines.Engine]:
    """A private engine of several nodes. A test that breaks it heals it."""
    try:
        with engines.started(request.param) as started:
            if isinstance(started, engines.PostgreSQL):
                live.manage({"DATABASE_URL": started.server.url}, "migrate", "common", "-v0")
            yield started
    except servers.NotAvailable as error:
        pytest.skip(f"needs {request.param}: {error}")
