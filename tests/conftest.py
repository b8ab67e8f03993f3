"""The server that most live tests share."""

from collections.abc import Iterator

import pytest

from tests import live


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
