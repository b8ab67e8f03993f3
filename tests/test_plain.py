"""The hot endpoints answer the same with and without DRF's machinery: status, body, every header, figures, log line."""

import json
import random
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import structlog
import time_machine
from django.core.cache import cache
from django.db import transaction
from django.test import Client, RequestFactory
from django.utils.module_loading import import_string
from prometheus_client import REGISTRY

from common import plain
from common.client import Client as Source
from common.errors import REFUSAL, TemporarilyUnavailable
from conftest import PASSWORD
from sessions.services import lifecycle

NOW = datetime(2026, 11, 26, 12, 0, 0, 250_000, tzinfo=UTC)
ME, SESSIONS = "/api/users/me/", "/api/users/sessions/"
VERIFY, REFRESH, LOGIN = "/api/auth/token/verify/", "/api/auth/token/refresh/", "/api/auth/login/"
JSON = {"content_type": "application/json"}
WRONG = [
    "",
    "null",
    "[]",
    "{}",
    "{",
    '"x"',
    "1",
    "\ufeff{}",
    '{"token": 1, "refresh": true}',
    '{"token": "", "refresh": ""}',
    '{"token": null, "refresh": null}',
    '{"token": ["x"], "refresh": {"a": 1}}',
    '{"token": "a.b.c", "refresh": "\\u0000"}',
    '{"username": "alice"}',
    '{"username": "alice", "password": ""}',
    '{"username": {}, "password": []}',
    '{"username": "alice", "password": "wrong one"}',
]


def bearer(token):
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def get(path, token=None, **extra):
    return lambda client, pair: [client.get(path, **bearer(token or pair.access), **extra)]


def post(path, **extra):
    def calls(client, pair):
        kind = "access" if path == VERIFY else "refresh"
        name = "token" if path == VERIFY else "refresh"
        body = {"username": "alice", "password": PASSWORD} if path == LOGIN else {name: getattr(pair, kind)}
        return [client.post(path, json.dumps(body), **{**JSON, **extra})]

    return calls


def raw(path, body, **extra):
    return lambda client, pair: [client.post(path, body.encode(), **{**JSON, **extra})]


def repeated(calls, times):
    return lambda client, pair: [answer for _ in range(times) for answer in calls(client, pair)]


CASES = {
    "me": get(ME),
    "me, French": get(ME, HTTP_ACCEPT_LANGUAGE="fr"),
    "me, from a page": get(ME, HTTP_ORIGIN="https://app.example.com"),
    "me, from a foreign page": get(ME, HTTP_ORIGIN="https://evil.example"),
    "me, lower-case scheme": lambda client, pair: [client.get(ME, HTTP_AUTHORIZATION=f"bearer {pair.access}")],
    "me, two words": get(ME, "a b"),
    "me, no token": lambda client, pair: [client.get(ME)],
    "me, another scheme": lambda client, pair: [client.get(ME, HTTP_AUTHORIZATION="Basic YTpi")],
    "me, nonsense": get(ME, "nonsense"),
    "me, nonsense in Arabic": get(ME, "nonsense", HTTP_ACCEPT_LANGUAGE="ar"),
    "me, a refresh token": lambda client, pair: [client.get(ME, **bearer(pair.refresh))],
    "me, HTML wanted": get(ME, HTTP_ACCEPT="text/html"),
    "me, indented JSON wanted": get(ME, HTTP_ACCEPT="application/json; indent=2"),
    "me, a format wanted": get(f"{ME}?format=xml"),
    "me, an escaped format wanted": get(f"{ME}?f%6frmat=xml"),
    "me, compressed": get(ME, HTTP_CONTENT_ENCODING="gzip"),
    "me, a new fingerprint": get(ME, HTTP_DEVICE_FINGERPRINT="another phone"),
    "me, HEAD": lambda client, pair: [client.head(ME, **bearer(pair.access))],
    "me, OPTIONS": lambda client, pair: [client.options(ME, **bearer(pair.access))],
    "me, preflight": lambda client, pair: [
        client.options(ME, HTTP_ORIGIN="https://app.example.com", HTTP_ACCESS_CONTROL_REQUEST_METHOD="GET")
    ],
    "me, PUT": lambda client, pair: [client.put(ME, "{}", **JSON, **bearer(pair.access))],
    "me, unknown host": get(ME, HTTP_HOST="evil.example"),
    "sessions": get(SESSIONS),
    "sessions, two of three": get(f"{SESSIONS}?limit=2"),
    "sessions, no number": get(f"{SESSIONS}?limit=x"),
    "sessions, forged cursor": get(f"{SESSIONS}?cursor=x"),
    "sessions, none": get(f"{SESSIONS}?limit=0"),
    "sessions, nonsense": get(SESSIONS, "nonsense"),
    "sessions, pages": lambda client, pair: pages(client, pair.access),
    "sessions, POST": lambda client, pair: [client.post(SESSIONS, "{}", **JSON, **bearer(pair.access))],
    **{
        f"{name}{described}": post(path, **extra)
        for name, path in {"verify": VERIFY, "refresh": REFRESH, "login": LOGIN}.items()
        for described, extra in {
            "": {},
            ", charset": {"content_type": "application/json; charset=utf-8"},
            ", French": {"HTTP_ACCEPT_LANGUAGE": "fr"},
            ", from a page": {"HTTP_ORIGIN": "https://app.example.com"},
            ", a form": {"content_type": "application/x-www-form-urlencoded"},
            ", a Bearer too": bearer("nonsense"),
            ", a device": {"HTTP_DEVICE_FINGERPRINT": "phone of alice", "HTTP_USER_AGENT": "Dart/3.2"},
        }.items()
    },
    **{
        f"{name}, wrong {number}": raw(path, body)
        for name, path in {"verify": VERIFY, "refresh": REFRESH, "login": LOGIN}.items()
        for number, body in enumerate(WRONG)
    },
    "refresh, too large": raw(REFRESH, '{"refresh": "' + "x" * 1_100_000 + '"}'),
    "refresh, again": repeated(post(REFRESH), 2),
    "refresh, too often": repeated(post(REFRESH), 4),
    "verify, a refresh token": lambda client, pair: [client.post(VERIFY, json.dumps({"token": pair.refresh}), **JSON)],
    "login, locked": repeated(raw(LOGIN, '{"username": "alice", "password": "wrong one"}'), 6),
    "refresh, GET": lambda client, pair: [client.get(REFRESH)],
}


def pages(client, access):
    answers = [client.get(f"{SESSIONS}?limit=1", **bearer(access))]
    while following := answers[-1].json()["next"]:
        answers.append(client.get(following, **bearer(access)))
    answers.append(client.get(answers[-1].json()["previous"], **bearer(access)))
    return answers


@contextmanager
def _undone():
    """Run on the same rows, clock, counters and chance as the other shape, and leave none of it behind."""
    chance = random.Random(7)
    patch = pytest.MonkeyPatch()
    patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4))
    cache.clear()
    try:
        with time_machine.travel(NOW, tick=False), transaction.atomic():
            yield
            transaction.set_rollback(True)
    finally:
        patch.undo()
        cache.clear()


def _figures():
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for metric in REGISTRY.collect()
        if metric.name.startswith("alviar_http_requests")
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


def _seen(calls, pair, client):
    before = _figures()
    with structlog.testing.capture_logs() as lines, _undone():
        answers = [(one.status_code, dict(sorted(one.items())), one.content.decode()) for one in calls(client, pair)]
    counted = {name: value - before.get(name, 0) for name, value in _figures().items()}
    logged = [{k: v for k, v in line.items() if k != "ms"} for line in lines]
    return answers, {name: value for name, value in counted.items() if value}, logged


def _client():
    return Client(HTTP_X_REQUEST_ID="the-same", raise_request_exception=False)


@pytest.fixture
def pair(alice, settings):
    settings.ALLOWED_ORIGINS = settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "refresh_session": "3/min"}
    with time_machine.travel(NOW, tick=False):
        for number in range(3):
            started = lifecycle.start(user=alice, client=Source(user_agent="test"), device_fingerprint=f"d{number}")
    return started.tokens


@pytest.mark.parametrize("name", CASES)
def test_both_shapes_give_the_same_answer(name, pair, monkeypatch):
    client = _client()
    first = _seen(CASES[name], pair, client)
    again = _seen(CASES[name], pair, client)  # what the middleware decides is known by now
    monkeypatch.setattr(plain, "is_plain", lambda view, request: False)
    slow = _seen(CASES[name], pair, _client())
    assert first == slow
    assert again == slow


def test_the_ordinary_request_of_every_hot_view_is_plain(pair, monkeypatch):
    """Else the test above would compare DRF's way with itself."""
    from rest_framework.views import APIView

    def refuse(*args, **kwargs):
        raise AssertionError("DRF was asked")

    monkeypatch.setattr(APIView, "dispatch", refuse)
    client = Client()
    with time_machine.travel(NOW, tick=False):
        for name in ("me", "sessions", "sessions, pages", "verify", "refresh", "login"):
            assert {one.status_code for one in CASES[name](client, pair)} == {200}, name
    assert set(plain.doors("config.urls")) == {
        ME, SESSIONS, VERIFY, REFRESH, LOGIN,
        *(path.replace("/api/", "/api/users/") for path in (VERIFY, REFRESH, LOGIN)),
    }  # fmt: skip


@pytest.mark.parametrize("path", [ME, SESSIONS])
def test_a_hot_view_without_a_bearer_still_knows_the_cookie_of_the_admin(alice, path):
    client = Client()
    client.force_login(alice)
    assert client.get(path).status_code == 200


class _Read(dict):
    """A dict that knows which of its names were asked for."""

    def __init__(self, *args, read):
        super().__init__(*args)
        self.read = read

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)

    def __contains__(self, name):
        self.read.add(name)
        return super().__contains__(name)


class _Headers(_Read):
    """Django's `request.headers`, by the names in `META`."""

    def __init__(self, meta, read):
        super().__init__(meta, read=read)

    def get(self, name, default=None):
        return super().get(f"HTTP_{name.upper().replace('-', '_')}", default)

    def __contains__(self, name):
        return super().__contains__(f"HTTP_{name.upper().replace('-', '_')}")

    __getitem__ = get


@pytest.fixture
def between(settings):
    """Return what runs a request through the middleware between the short way and the door, up to a view."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    names = settings.MIDDLEWARE
    names = names[names.index("common.plain.ShortWay") + 1 : names.index("common.plain.PlainDoor")]
    assert names

    def run(request, answer):
        chain = lambda request: answer  # noqa: E731
        for name in reversed(names):
            chain = import_string(name)(chain)
        return chain(request)

    return run


@pytest.mark.parametrize("origin", ["", "https://app.example.com", "https://evil.example"], ids=["no", "ours", "other"])
@pytest.mark.parametrize("status", [200, 401, 404])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_middleware_on_the_short_way_decides_by_nothing_that_is_not_known(
    pair, between, settings, method, status, origin
):
    request = RequestFactory(HTTP_ORIGIN=origin, HTTP_ACCEPT_LANGUAGE="fr", HTTP_X_FORWARDED_PROTO="https").generic(
        method, ME, "{}", content_type="application/json", **bearer(pair.access)
    )
    read = set()
    headers = _Headers(request.META, read)
    request.META = request.environ = _Read(request.META, read=read)
    request.__dict__["headers"] = headers
    answer = between(request, plain.Answer({}, status=status))
    assert answer.status_code == status
    assert {"HTTP_ACCEPT_LANGUAGE", "HTTP_ORIGIN"} <= read, "nothing was watched"
    assert settings.DISALLOWED_USER_AGENTS == []  # what Django compares the user agent with
    for name in read - {*plain._DECIDING, "HTTP_USER_AGENT"}:
        unlike = RequestFactory().get(ME)
        unlike.META[name] = "x"
        assert plain._kind(unlike) is None, f"{name} is read, and requests that differ by it are taken for the same"


def test_a_refusal_of_the_bridge_is_answered_on_every_way(pair):
    client = _client()
    with time_machine.travel(NOW, tick=False):
        for _ in range(2):
            assert client.get(ME, **bearer(pair.access)).status_code == 200
        refused = client.get(ME, **bearer(pair.access), **{REFUSAL: TemporarilyUnavailable(retry_after=2)})
    assert (refused.status_code, refused["Retry-After"]) == (503, "2")


def test_a_changed_setting_is_felt_by_a_known_request(pair, settings):
    client, page = _client(), {"HTTP_ORIGIN": "https://app.example.com"}
    with time_machine.travel(NOW, tick=False):
        for _ in range(2):
            assert "Access-Control-Allow-Origin" in client.get(ME, **bearer(pair.access), **page)
        settings.CORS_ALLOWED_ORIGINS = []
        assert "Access-Control-Allow-Origin" not in client.get(ME, **bearer(pair.access), **page)


def test_an_unforeseen_error_of_a_known_request_has_the_headers_of_all_answers(pair, monkeypatch):
    from users.http import views

    client = _client()
    with time_machine.travel(NOW, tick=False):
        good = [client.get(ME, **bearer(pair.access), HTTP_ACCEPT_LANGUAGE="fr") for _ in range(2)][-1]
        monkeypatch.setattr(views.MeView, "get", lambda *args, **kwargs: 1 / 0)
        bad = client.get(ME, **bearer(pair.access), HTTP_ACCEPT_LANGUAGE="fr")
    assert bad.status_code == 500
    names = {
        "Content-Security-Policy",
        "X-Content-Type-Options",
        "Content-Language",
        "X-Frame-Options",
        "Cache-Control",
    }
    assert {name: bad[name] for name in names} == {name: good[name] for name in names}


def test_no_client_fills_the_memory_of_the_short_way(pair, monkeypatch):
    monkeypatch.setattr(plain, "_KINDS", 3)
    monkeypatch.setattr(plain, "_ENDINGS", 3)
    way = plain.ShortWay(plain.PlainDoor(lambda request: None))
    with time_machine.travel(NOW, tick=False):
        for number in range(8):
            request = RequestFactory(HTTP_HOST=f"host{number}").get(ME, **bearer(pair.access))
            request.LANGUAGE_CODE = "en"
            assert way(request).status_code == 200
            assert 1 <= len(way._languages) <= 3
            assert 1 <= len(way._endings) <= 3
    long = RequestFactory(HTTP_ACCEPT_LANGUAGE="x" * 600).get(ME)
    assert plain._kind(long) is None
