"""The one-hop bridge: what reaches Django, what is refused before it, and that nothing makes it answer 500."""

import asyncio
import threading

import orjson
import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from common import handshakes
from config import http, urls
from config.http import HTTPBridge, SocketGate, environ_of, hashes_a_password, scheme_of
from config.wsgi import Handler


@csrf_exempt
def echo(request):
    body = request.read()
    return HttpResponse(
        orjson.dumps(
            {
                "method": request.method,
                "path": request.path,
                "query": request.META["QUERY_STRING"],
                "body": len(body),
                "length": request.META["CONTENT_LENGTH"],
                "forwarded": request.META.get("HTTP_X_FORWARDED_FOR"),
                "cookie": request.META.get("HTTP_COOKIE"),
                "thread": threading.current_thread().name,
                "secure": request.is_secure(),
            }
        )
    )


def stream(request):
    return StreamingHttpResponse(iter([b"one", b"two", b"three"]))


closed = threading.Event()


class Endless:
    def __iter__(self):
        return self

    def __next__(self):
        return b"x" * 1000

    def close(self):
        closed.set()


def endless(request):
    return StreamingHttpResponse(Endless())


def file(request):
    return FileResponse(open(__file__, "rb"))


def nothing(request):
    return HttpResponse(status=204)


def two_cookies(request):
    response = HttpResponse(headers={"X-Odd": "one"})
    response.set_cookie("a", "1", httponly=True)
    response.set_cookie("b", "2")
    return response


urlpatterns = [
    *urls.urlpatterns,
    path("echo", echo),
    path("api/users/auth/login/", echo),
    path("stream", stream),
    path("endless", endless),
    path("file", file),
    path("nothing", nothing),
    path("cookies", two_cookies),
]
for name in ("handler400", "handler403", "handler404", "handler500"):
    globals()[name] = getattr(urls, name)


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["testserver"]


class Answer:
    def __init__(self, sent):
        start = sent[0]
        self.status = start["status"]
        self.every_header = start["headers"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.pieces = [message.get("body", b"") for message in sent[1:]]
        self.body = b"".join(self.pieces)

    def json(self):
        return orjson.loads(self.body)


def scope_of(method="GET", path="/echo", query=b"", headers=(), **more):
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"testserver"), *headers],
        "client": ("203.0.113.9", 4000),
        "server": ("127.0.0.1", 8000),
        **more,
    }


async def call(bridge, method="GET", path="/echo", body=(b"",), end="stay", **more):
    """Play one request; `end="gone"` closes the connection after what `body` holds."""
    sent = []
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    if end == "gone":
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False
    waiting = iter(messages)

    async def receive():
        for message in waiting:
            return message
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await asyncio.wait_for(bridge(scope_of(method, path, **more), receive, send), 60)
    return Answer(sent) if sent else None


@pytest.fixture
def bridge():
    return HTTPBridge(Handler())


async def test_a_request_reaches_django_as_it_was_sent(bridge):
    answer = await call(bridge, "POST", query=b"a=1&b=%20", body=(b"he", b"llo"))
    said = answer.json()
    assert (said["method"], said["path"], said["query"], said["body"]) == ("POST", "/echo", "a=1&b=%20", 5)
    assert answer.headers["x-request-id"]


async def test_a_header_with_an_underscore_cannot_forge_the_clients_address(bridge):
    headers = [(b"x_forwarded_for", b"6.6.6.6"), (b"x-forwarded-for", b"198.51.100.1")]
    assert (await call(bridge, headers=headers)).json()["forwarded"] == "198.51.100.1"
    assert (await call(bridge, headers=headers[:1])).json()["forwarded"] is None


async def test_repeated_headers_are_joined_in_order(bridge):
    headers = [
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"x-forwarded-for", b"2.2.2.2"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
    ]
    said = (await call(bridge, headers=headers)).json()
    assert said["forwarded"] == "1.1.1.1,2.2.2.2"
    assert said["cookie"] == "a=1; b=2"


@pytest.mark.parametrize("parts", [(b"x" * 1_048_577,), tuple([b"x" * 65_536] * 17)])
async def test_a_body_above_one_mebibyte_is_413_in_the_envelope(bridge, parts):
    answer = await call(bridge, "POST", path="/api/auth/login/", body=parts)
    assert answer.status == 413
    assert answer.json()["code"] == "too_large"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.headers["connection"] == "close"


async def test_a_body_that_does_not_end_is_408_and_closed(bridge, settings):
    settings.REQUEST_SECONDS = 0.05
    sent = []
    waiting = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive():
        for message in waiting:
            return message
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await asyncio.wait_for(bridge(scope_of("POST", "/api/auth/login/"), receive, send), 60)
    answer = Answer(sent)
    assert (answer.status, answer.json()["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"


UPLOAD = "/api/chat/attachments/"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("length", [[(b"content-length", b"2000000")], []], ids=["declared", "chunked"])
@pytest.mark.parametrize(
    ("authorization", "code"),
    [([], "not_authenticated"), ([(b"authorization", b"Bearer forged.token.x")], "token_not_valid")],
)
async def test_a_large_upload_of_a_stranger_is_refused_before_it_is_kept(bridge, length, authorization, code):
    parts = tuple([b"x" * 100_000] * 20)
    answer = await call(bridge, "POST", path=UPLOAD, body=parts, headers=[*length, *authorization])
    assert (answer.status, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"]
    assert answer.headers["connection"] == "close"


@pytest.mark.django_db(transaction=True)
async def test_a_large_upload_of_somebody_signed_in_is_read(bridge, alice_api, monkeypatch):
    monkeypatch.setattr("config.tests.test_http.urlpatterns", [path(UPLOAD[1:], echo)])
    headers = [(b"authorization", f"Bearer {alice_api.started.tokens.access}".encode())]
    answer = await call(bridge, "POST", path=UPLOAD, body=tuple([b"x" * 100_000] * 20), headers=headers)
    assert (answer.status, answer.json()["body"]) == (200, 2_000_000)


@pytest.mark.django_db(transaction=True)
async def test_who_leaves_many_uploads_unfinished_has_to_wait_for_them(bridge, alice_api, settings, monkeypatch):
    settings.UPLOADS_AT_ONCE = 2
    monkeypatch.setattr("config.tests.test_http.urlpatterns", [path(UPLOAD[1:], echo)])
    headers = [(b"authorization", f"Bearer {alice_api.started.tokens.access}".encode())]
    never, sent = asyncio.Event(), []

    async def send(message):
        sent.append(message)

    begun = [asyncio.create_task(bridge(scope_of("POST", UPLOAD, headers=headers), never.wait, send)) for _ in "12"]
    async with asyncio.timeout(60):
        while sum(bridge.uploading.values()) < 2:
            await asyncio.sleep(0.01)
    parts = tuple([b"x" * 100_000] * 20)
    answer = await call(bridge, "POST", path=UPLOAD, body=parts, headers=headers)
    assert (answer.status, answer.json()["code"]) == (429, "throttled")
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
    assert not bridge.uploading
    assert (await call(bridge, "POST", path=UPLOAD, body=parts, headers=headers)).status == 200


async def test_a_large_body_for_any_other_path_is_413_for_everybody(bridge):
    for where in ("/api/chat/attachments/x", "/nowhere/", "/api/chat/conversations/"):
        answer = await call(bridge, "POST", path=where, body=tuple([b"x" * 100_000] * 20))
        assert answer.status == 413


async def test_a_body_of_exactly_one_mebibyte_passes(bridge):
    assert (await call(bridge, "POST", body=(b"x" * 1_048_576,))).json()["body"] == 1_048_576


async def test_a_declared_length_above_the_limit_is_refused_unread_where_the_client_asks_first(bridge):
    headers = [(b"content-length", b"99999999"), (b"expect", b"100-continue")]
    answer = await call(bridge, "POST", body=(b"",), end="gone", headers=headers)
    assert answer.status == 413


async def test_a_declared_length_above_the_limit_is_answered_where_nothing_comes(bridge, settings, monkeypatch):
    settings.REQUEST_SECONDS = 3_600
    monkeypatch.setattr("config.http.DISCARD_SECONDS", 0.05)
    sent, never = [], asyncio.Event()

    async def send(message):
        sent.append(message)

    headers = [(b"content-length", b"999999999999")]
    await bridge(scope_of("POST", "/echo", headers=headers), never.wait, send)
    assert (Answer(sent).status, Answer(sent).headers["connection"]) == (413, "close")


async def test_a_lying_content_length_decides_nothing(bridge):
    for lie in (b"3", b"3000", b"0", b"-1", b"abc", b"99999999999999999999999"):
        answer = await call(bridge, "POST", body=(b"hello",), headers=[(b"content-length", lie)])
        assert answer.status in (200, 413)
        if answer.status == 200:
            assert (answer.json()["body"], answer.json()["length"]) == (5, "5")


async def test_a_refusal_speaks_the_clients_language_and_keeps_its_request_id(bridge):
    headers = [(b"accept-language", b"fr"), (b"x-request-id", b"abcdefgh-1")]
    answer = await call(bridge, "POST", path="/api/auth/login/", body=(b"x" * 1_048_577,), headers=headers)
    assert answer.headers["x-request-id"] == "abcdefgh-1"
    assert answer.headers["content-language"] == "fr"


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_served(bridge):
    assert await call(bridge, "POST", body=(b"half",), end="gone") is None


async def test_an_empty_body_and_head(bridge):
    assert (await call(bridge, "POST")).json()["body"] == 0
    head = await call(bridge, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0


async def test_no_content_has_no_length(bridge):
    answer = await call(bridge, path="/nothing")
    assert answer.status == 204
    assert "content-length" not in answer.headers


async def test_a_stream_is_sent_piece_by_piece(bridge):
    answer = await call(bridge, path="/stream")
    assert [piece for piece in answer.pieces if piece] == [b"one", b"two", b"three"]


async def test_a_stream_that_is_wrapped_is_sent_piece_by_piece_too():
    class Wrapped:  # as by sentry_sdk.integrations.wsgi
        def __init__(self, response):
            self._response = response

        def __iter__(self):
            yield from self._response

        def close(self):
            self._response.close()

    django = Handler()
    answer = await call(HTTPBridge(lambda *request: Wrapped(django(*request))), path="/stream")
    assert [piece for piece in answer.pieces if piece] == [b"one", b"two", b"three"]


async def test_a_file_is_sent_whole(bridge):
    with open(__file__, "rb") as here:
        assert (await call(bridge, path="/file")).body == here.read()


async def test_an_endless_stream_ends_with_its_client(bridge):
    closed.clear()
    gone = asyncio.Event()
    received = 0

    async def receive():
        if not received:
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        nonlocal received
        received += 1
        if received > 5:
            gone.set()
        await asyncio.sleep(0)

    await asyncio.wait_for(bridge(scope_of(path="/endless"), receive, send), 60)
    assert await asyncio.to_thread(closed.wait, 5)


@pytest.mark.parametrize(
    "path",
    [
        "/%ff%fe",
        "/api/%ff/",
        "/api/auth/login/%00",
        "/%",
        "/%zz",
        "/..%2f..%2fetc",
        "//",
        "/\u00e9".encode().decode("latin-1"),
    ],
)
async def test_odd_paths_are_not_found_and_never_500(bridge, path):
    answer = await call(bridge, path=path)
    assert answer.status == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("host", [b"evil.example", b"a b", b"", b"[::1", b"testserver:abc", b"\xff"])
async def test_a_bad_host_is_a_400_in_the_envelope(bridge, host):
    scope = scope_of(path="/api/auth/login/")
    scope["headers"] = [(b"host", host)]
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await bridge(scope, receive, send)
    answer = Answer(sent)
    assert answer.status in (400, 405), host
    assert answer.status == 400 or host == b""
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_what_django_cannot_answer_is_the_envelope_too():
    def broken(environ, start_response):
        raise RuntimeError("secret inside")

    answer = await call(HTTPBridge(broken))
    assert answer.status == 500
    assert answer.json()["code"] == "internal"
    assert b"secret" not in answer.body


async def test_a_thread_that_is_ended_leaves_nobody_waiting(bridge, monkeypatch):
    def end(environ):
        raise SystemExit

    monkeypatch.setattr(bridge, "_call", end)
    answer = await call(bridge)
    assert (answer.status, answer.json()["code"]) == (500, "internal")


@pytest.mark.parametrize(
    ("method", "path", "hashes"),
    [
        ("POST", "/api/auth/login/", True),
        ("POST", "/api/users/auth/login/", True),
        ("POST", "/api/auth/register/", True),
        ("POST", "/api/auth/password-reset/confirm/", True),
        ("POST", "/api/auth/password-change/", True),
        ("POST", "/api/auth/email-change/", True),
        ("DELETE", "/api/users/me/", True),
        ("POST", "/admin/login/", True),
        ("GET", "/api/users/me/", False),
        ("POST", "/api/auth/token/refresh/", False),
        ("POST", "/api/auth/password-reset/", False),
        ("GET", "/api/auth/login/", False),
    ],
)
def test_which_requests_hash_a_password(method, path, hashes):
    assert hashes_a_password(method, path) is hashes


async def test_logins_have_threads_of_their_own(bridge):
    assert (await call(bridge)).json()["thread"].startswith("http")


async def test_a_full_hashing_queue_is_503_at_once_and_holds_up_nothing_else(settings):
    settings.HASH_THREADS, settings.HASH_QUEUE = 1, 2
    release, names = threading.Event(), []
    real = Handler()

    def slow_logins(environ, start_response):
        if environ["PATH_INFO"] == "/api/auth/login/" and "alviar.refusal" not in environ:
            names.append(threading.current_thread().name)
            release.wait(60)
        return real({**environ, "PATH_INFO": environ["PATH_INFO"].replace("auth/login", "nix")}, start_response)

    bridge = HTTPBridge(slow_logins)
    logins = [asyncio.ensure_future(call(bridge, "POST", path="/api/auth/login/")) for _ in range(3)]
    while bridge.hashing < 3:
        await asyncio.sleep(0.01)
    refused = await call(bridge, "POST", path="/api/auth/login/")
    assert refused.status == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.json()["code"] == "temporarily_unavailable"
    assert refused.json()["action"] == "retry"
    assert (await call(bridge, path="/healthz")).status == 200
    release.set()
    assert [answer.status for answer in await asyncio.gather(*logins)] == [404] * 3
    assert all(name.startswith("hash") for name in names)
    assert bridge.hashing == 0


async def test_a_client_that_leaves_the_hashing_queue_costs_no_hash(settings):
    settings.HASH_THREADS, settings.HASH_QUEUE = 1, 5
    release, calls = threading.Event(), []

    def slow(environ, start_response):
        calls.append(1)
        release.wait(60)
        start_response("200 OK", [])
        return [b""]

    bridge = HTTPBridge(slow)
    first = asyncio.ensure_future(call(bridge, "POST", path="/api/auth/login/"))
    while not calls:
        await asyncio.sleep(0.01)
    steps = iter([{"type": "http.request", "body": b""}, {"type": "http.disconnect"}])

    async def receive():
        return next(steps)

    async def send(message):
        raise AssertionError("nobody listens")

    await bridge(scope_of("POST", "/api/auth/login/"), receive, send)
    release.set()
    await first
    assert len(calls) == 1


def test_the_scheme_comes_from_the_trusted_proxy_only(settings):
    forged = scope_of(headers=[(b"x-forwarded-proto", b"https")])
    assert scheme_of(forged) == "http"
    settings.TRUSTED_PROXY_COUNT = 1
    assert scheme_of(forged) == "https"
    assert scheme_of(scope_of(headers=[(b"x-forwarded-proto", b"https, http")])) == "http"
    assert scheme_of(scope_of(scheme="wss", headers=[])) == "https"


@pytest.mark.parametrize(
    ("method", "named", "path", "taken"),
    [
        ("POST", b"PATCH", "/api/chat/uploads/x/", "PATCH"),
        ("POST", b" delete ", "/api/chat/uploads/x/", "DELETE"),
        ("POST", b"PUT", "/api/chat/uploads/x/", "POST"),
        ("GET", b"DELETE", "/api/chat/uploads/x/", "GET"),
        ("POST", b"PATCH", "/api/chat/uploads/", "POST"),
        ("POST", b"DELETE", "/api/users/me/", "POST"),
    ],
    ids=["patch", "delete", "put", "by GET", "another path", "an account"],
)
def test_a_method_in_a_header_counts_for_an_upload_alone(method, named, path, taken):
    scope = scope_of(method, path, headers=[(b"x-http-method-override", named)])
    assert environ_of(scope)["REQUEST_METHOD"] == taken


def test_a_unix_socket_has_no_address():
    assert environ_of(scope_of(client=None, server=None))["REMOTE_ADDR"] == ""


# --- the socket's front door ------------------------------------------------------------------------------------------


async def knock(gate, path="/ws/chat/", extensions=None, **more):
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = scope_of(path=path, **{"scheme": "ws", **more}) | {"type": "websocket", "extensions": extensions or {}}
    await gate(scope, receive, send)
    return sent


@pytest.fixture
def gate():
    async def inner(scope, receive, send):
        await send({"type": "websocket.accept"})

    return SocketGate(inner, [path("ws/chat/", inner)])


async def test_a_known_path_passes(gate):
    assert (await knock(gate))[0]["type"] == "websocket.accept"


@pytest.mark.parametrize("unknown", ["/ws/", "/ws/nix/", "/ws/chat", "/", "/ws/chat/../"])
async def test_an_unknown_path_is_refused_before_the_handshake(gate, unknown):
    assert await knock(gate, unknown) == [{"type": "websocket.close"}]
    start, body = await knock(gate, unknown, extensions={"websocket.http.response": {}})
    assert start["status"] == 404
    assert orjson.loads(body["body"])["code"] == "not_found"


async def test_what_the_sockets_door_refuses_is_answered_like_any_refusal():
    async def inner(scope, receive, send):
        await send({"type": "websocket.accept"})

    gate = SocketGate(inner, [path("ws/chat/", inner)], lambda scope: b"origin" in dict(scope["headers"]))
    asked = [(b"origin", b"https://evil.example"), (b"x-request-id", b"abc-1")]
    start, body = await knock(gate, headers=asked, extensions={"websocket.http.response": {}})
    assert start["status"] == 403
    assert dict(start["headers"])[b"x-request-id"] == b"abc-1"
    assert orjson.loads(body["body"])["code"] == "permission_denied"
    assert (await knock(gate))[0]["type"] == "websocket.accept"


async def test_plain_ws_is_403_where_https_is_a_must(gate, settings):
    settings.HTTPS_ONLY = True
    start, _ = await knock(gate, extensions={"websocket.http.response": {}})
    assert start["status"] == 403
    assert (await knock(gate, scheme="wss"))[0]["type"] == "websocket.accept"
    settings.TRUSTED_PROXY_COUNT = 1
    behind_proxy = [(b"x-forwarded-proto", b"https")]
    assert (await knock(gate, headers=behind_proxy))[0]["type"] == "websocket.accept"


async def test_refused_handshakes_are_counted_for_each_address_and_good_ones_are_not(gate, settings):
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"handshake": "3/min"}
    answers = {"extensions": {"websocket.http.response": {}}}

    async def status(where, client):
        return (await knock(gate, where, client=(client, 1), **answers))[0].get("status", 101)

    try:
        for _ in range(5):
            assert await status("/ws/chat/", "203.0.113.9") == 101
        assert [await status("/ws/nix/", "203.0.113.9") for _ in range(5)] == [404, 404, 404, 429, 429]
        assert await status("/ws/nix/", "203.0.113.10") == 404
        assert await status("/ws/chat/", "203.0.113.9") == 101
        start, body = await knock(gate, "/ws/nix/", client=("203.0.113.9", 1), **answers)
        assert orjson.loads(body["body"])["code"] == "throttled"
        assert 0 < int(dict(start["headers"])[b"retry-after"]) <= 60
    finally:
        handshakes.forget()


def test_a_request_that_ends_without_a_response_returns_its_connections_too(monkeypatch):
    returned = []
    monkeypatch.setattr(http, "_return_connections", lambda: returned.append(True))

    def broken(environ, start_response):
        raise RuntimeError

    answer = HTTPBridge(broken)._call(environ_of(scope_of()))
    assert (answer.status, returned) == (500, [True])


async def test_every_cookie_and_header_of_a_response_arrives(bridge):
    headers = (await call(bridge, path="/cookies")).every_header
    cookies = [value.strip() for name, value in headers if name == b"set-cookie"]
    assert cookies == [b"a=1; HttpOnly; Path=/", b"b=2; Path=/"]
    assert (b"x-odd", b"one") in headers
