"""Move the clock: `with later(days=8): …`. Nobody sleeps."""

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine


def later(**shift: float) -> Any:
    return time_machine.travel(datetime.now(UTC) + timedelta(**shift), tick=True)


def envelope(response: Any, status: int, code: str, reason: str | None = None, action: str | None = None) -> Any:
    """Assert that `response` is this refusal, in the one envelope; return its body."""
    body = response.json()
    assert response.status_code == status, body
    assert body["code"] == code, body
    assert body.get("reason") == reason or reason is None, body
    assert body["action"] == action or action is None, body
    assert body["detail"]
    assert body["request_id"]
    if status == 401:
        assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    return body


REFRESH = "/api/auth/token/refresh/"
VERIFY = "/api/auth/token/verify/"
LOGOUT = "/api/auth/logout/"
LOGOUT_ALL = "/api/auth/logout-all/"
SESSIONS = "/api/users/sessions/"
