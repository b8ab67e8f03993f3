"""No value that a client sends may reach the database as something that it cannot hold: 4xx, never 500.

Every path of the API with every parameter that is read, on the database of this run (SQLite and PostgreSQL refuse
different things: NUL, surrogates, numbers beyond 64 bits, dates beyond the year 9999).
"""

import base64
import re
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

HUGE = str(10**30)
PATH_VALUES = {
    "int": ["0", str(2**31), str(2**63 - 1), str(2**63), HUGE],
    "any_uuid": [str(uuid.UUID(int=0)), str(uuid.uuid4()).upper()],
    "uuid": [str(uuid.UUID(int=0))],
    "str": ["%00", "a%00b", "%ED%A0%80", "%F0%9F%98%80", "%FF", "..", HUGE, "%E2%80%AE", "x" * 3_000],
    "slug": ["a"],
    "path": ["a"],
}


def _cursor(position: str) -> str:
    return base64.b64encode(f"p={quote(position)}".encode()).decode()


QUERY = {
    "cursor": [
        *(_cursor(text) for text in ("\x00", "1\x00", HUGE, "-1", "nan", "9999-99-99", "é", "2026-11-26", "a,b")),
        *(_cursor(text) for text in ("0001-01-01 00:00:00+14:00,1", "9999-12-31 23:59:59-14:00," + HUGE)),
        "cD0A", "cj0xJnA9AA==", "bz05OTk5OTk5OTk5OTk5OTk5OTk5JnA9MQ==", "\x00", "====", "é",
    ],
    "limit": [HUGE, "0", "-1", "\x00", "1.5", "٣", "1e3"],
    "q": ["\x00\x00", "a\x00b", "%_\\", "'" * 50, "\ud7ff\ue000", "x" * 5_000, '"', "-", "a & b | !c :*"],
    "before_seq": [HUGE, "-1", "\x00", str(2**63), "x"],
    "after_seq": [HUGE, "-1", "\x00", str(2**63), "x"],
    "conversation_uuid": ["\x00", "x", str(uuid.UUID(int=0))],
    "sender_id": [HUGE, "\x00", "-1", str(2**63)],
    "before": [HUGE, "\x00", "0000-00-00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"],
    "after": [HUGE, "\x00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"],
    "has": ["\x00", "x"],
    "archived": ["\x00", HUGE],
}  # fmt: skip

BODY_VALUES: list[Any] = [
    "\x00", "a\x00b", 10**30, -(10**30), 2**63, 1e308, [], {}, [[]], [10**30], ["\x00"], [None], True, "", " ",
    "x" * 20_000, "\u202e", "😀" * 3, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", str(uuid.UUID(int=0)),
    {"from": "\x00", "to": 10**30},
]  # fmt: skip
FIELDS = [
    "username", "email", "password", "password_confirm", "new_password", "new_password_confirm", "old_password",
    "token", "refresh", "device_token", "device_name", "device_fingerprint", "remember_me", "language", "timezone",
    "first_name",
    "last_name", "phone_number", "new_email", "keep_current", "kind", "user_id", "user_ids", "title", "description",
    "history_visible", "muted_until", "pinned", "archived", "notify", "content", "client_msg_id", "reply_to",
    "attachments", "role", "up_to_seq", "message_uuid", "reason", "share_receipts", "share_presence", "quiet_hours",
    "code", "mfa_token", "credential", "challenge", "id_token", "nonce", "name", "provider", "subscription", "show",
]  # fmt: skip


def _routes(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and route.startswith("api/"):
            yield route


def _paths(route: str, ours: str) -> Iterator[str]:
    """Return the route with each of its values hostile in turn, the others ours."""
    places = re.findall(r"<(?:(\w+):)?(\w+)>", route)
    if not places:
        yield "/" + route
        return
    for kind, name in places:
        for value in PATH_VALUES.get(kind or "str", ["a"]):
            path = route
            for other_kind, other in places:
                mark = f"<{other_kind}:{other}>" if other_kind else f"<{other}>"
                path = path.replace(mark, value if other == name else (ours if "uuid" in other_kind else "1"))
            yield "/" + path


ROUTES = sorted({route for route in _routes(get_resolver().url_patterns) if not route.startswith("api/users/auth/")})
WITHOUT_VALUES = [route for route in ROUTES if "<" not in route]


@pytest.fixture(autouse=True)
def _unlimited(settings: Any) -> None:
    settings.RATE_LIMITS = dict.fromkeys(settings.RATE_LIMITS, "0")
    settings.LOCKOUT_ATTEMPTS = 0


@pytest.fixture
def caller(alice_api: Any, bob: Any) -> Any:
    """alice with a conversation, as a client that gets 500 instead of the exception."""
    made = alice_api.post("/api/chat/conversations/", {"kind": "direct", "user_id": bob.pk})
    alice_api.conversation = made.json()["uuid"]
    alice_api.raise_request_exception = False
    return alice_api


def _check(answer: Any, said: Any) -> None:
    assert answer.status_code < 500 or answer.status_code == 503, (answer.status_code, said, answer.content[:300])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("route", [route for route in ROUTES if "<" in route])
def test_hostile_values_in_paths(caller: Any, route: str) -> None:
    for path in _paths(route, caller.conversation):
        for method in ("get", "put", "patch", "post", "delete"):
            _check(getattr(caller, method)(path, {} if method != "get" else None), (method, path))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("route", ROUTES)
def test_hostile_values_in_queries(caller: Any, route: str) -> None:
    path = "/" + re.sub(r"<\w*uuid:\w+>", caller.conversation, route)
    path = re.sub(r"<[^>]+>", "1", path)
    for name, values in QUERY.items():
        for value in values:
            _check(caller.get(f"{path}?{urlencode({name: value})}"), (path, name, value))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("route", ROUTES)
def test_hostile_values_in_bodies(caller: Any, route: str) -> None:
    path = "/" + re.sub(r"<\w*uuid:\w+>", caller.conversation, route)
    path = re.sub(r"<[^>]+>", "1", path)
    for value in BODY_VALUES:
        for method in ("post", "patch", "put"):
            _check(getattr(caller, method)(path, dict.fromkeys(FIELDS, value)), (method, path, value))
            _check(getattr(caller, method)(path, value), (method, path, value))
