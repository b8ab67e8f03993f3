"""The limits of a public port, on a real uvicorn in this process: header, time, control frames, unread answers."""

import asyncio
import base64
import gc
import json
import os
import socket
import struct
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from chat.hub import tell
from config import protocols
from config.protocols import HTTPProtocol, SocketProtocol

WAIT_SECONDS = 60
UPGRADE = {
    "Host": "testserver",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
}


class Application:
    """Answers any request with the length of what it got; as a socket it accepts and takes what comes."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.body = b"x"
        self.send: Any = None
        self.on_control: Any = None
        self.gone = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            while (await receive()).get("more_body"):
                pass
            length = str(len(self.body)).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            await send({"type": "http.response.body", "body": self.body})
            return
        await receive()
        send.__self__.on_control = self.on_control
        await send({"type": "websocket.accept"})
        self.send = send
        while (message := await receive())["type"] != "websocket.disconnect":
            self.received.append(message)
        self.gone.set()


@asynccontextmanager
async def serving(application: Any, **config: Any) -> AsyncIterator[int]:
    """Yield the port of a uvicorn with our protocols."""
    options: dict[str, Any] = {"lifespan": "off", "log_config": None, "access_log": False, "ws_max_size": 65_536}
    options |= {"http": HTTPProtocol, "ws": SocketProtocol}
    server = uvicorn.Server(uvicorn.Config(application, **(options | config)))
    listener = socket.create_server(("127.0.0.1", 0))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    try:
        yield listener.getsockname()[1]
    finally:
        server.force_exit = True
        await server.shutdown(sockets=[listener])


def head(method: str = "GET", path: str = "/", version: str = "1.1", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int, **options: Any) -> "Peer":
        where = {} if "sock" in options else {"host": "127.0.0.1", "port": port}
        return cls(*await asyncio.open_connection(**where, **options))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(WAIT_SECONDS):
            raw = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = raw.decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split()[1]), headers, body

    async def closed(self) -> bool:
        """Return once the server has closed."""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
        self.writer.close()
        return True


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame with an all-zero mask."""
    return bytes([(0x80 if fin else 0) | opcode, 0x80 | len(payload)]) + bytes(4) + payload


async def open_socket(port: int, **options: Any) -> Peer:
    peer = await Peer.to(port, **options)
    await peer.say(head(path="/ws/", **UPGRADE))
    assert (await peer.answer())[0] == 101
    return peer


@pytest.fixture(autouse=True)
def _quick(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for watcher in (protocols._watcher, protocols._socket_watcher):
        monkeypatch.setattr(watcher, "_seconds", 0.05)
    monkeypatch.setattr(protocols, "LINGER_SECONDS", 0.05)
    settings.CHAT_STUCK_SECONDS = 0.2


# --- The header ---


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "c" * 8_300},
        {"Cookie": "c" * 60_000},
        {"Sec-WebSocket-Protocol": "access_token, " + "t" * 9_000},
        {f"X-{number}": "1" for number in range(300)},
    ],
    ids=["cookie-8k", "cookie-60k", "token-9k", "300-headers"],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_headers_up_to_64_kib_are_read(kind: str, headers: dict[str, str]) -> None:
    application = Application()
    async with serving(application) as port:
        peer = await Peer.to(port)
        await peer.say(head(**(UPGRADE if kind == "websocket" else {"Host": "testserver"}), **headers))
        status, _, _ = await peer.answer()
        assert status == (101 if kind == "websocket" else 200)
        assert len(application.scopes[0]["headers"]) >= len(headers)
        peer.writer.close()


@pytest.mark.parametrize(
    "request_head",
    [
        head(Host="testserver", Cookie="c" * 70_000),
        head(**UPGRADE, Cookie="c" * 70_000),
        head(**UPGRADE, **{f"X-{number}": "y" * 200 for number in range(400)}),
        head(path="/" + "p" * 70_000, Host="testserver"),
        b"GET / HTTP/1.1\r\nCookie: " + b"c" * 400_000,  # and no end
    ],
    ids=["http", "websocket", "many", "path", "endless"],
)
async def test_headers_beyond_64_kib_are_431_and_closed(request_head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "LINGER_SECONDS", 0.5)  # until all of it is sent
    application = Application()
    async with serving(application) as port:
        peer = await Peer.to(port)
        await peer.say(request_head)
        status, headers, body = await peer.answer()
        assert (status, headers["connection"]) == (431, "close")
        assert json.loads(body)["code"] == "headers_too_large"
        assert headers["x-request-id"] == json.loads(body)["request_id"]
        assert await peer.closed()
    assert not application.scopes


@pytest.mark.parametrize("key", ["x", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ=", None])
async def test_a_handshake_without_a_proper_key_is_400_in_the_envelope(key: str | None) -> None:
    application = Application()
    headers = {name: value for name, value in UPGRADE.items() if name != "Sec-WebSocket-Key"}
    async with serving(application) as port:
        peer = await Peer.to(port)
        await peer.say(head(**headers, **({"Sec-WebSocket-Key": key} if key else {})))
        status, answered, body = await peer.answer()
        assert (status, json.loads(body)["code"]) == (400, "bad_request")
        assert json.loads(body)["request_id"] == answered["x-request-id"]
        assert await peer.closed()
    assert not application.scopes


async def test_a_handshake_by_post_is_405_in_the_envelope() -> None:
    async with serving(Application()) as port:
        peer = await Peer.to(port)
        await peer.say(head("POST", **UPGRADE))
        status, answered, body = await peer.answer()
        assert (status, answered["allow"]) == (405, "GET")
        assert (json.loads(body)["code"], json.loads(body)["request_id"]) == (
            "method_not_allowed",
            answered["x-request-id"],
        )
        assert await peer.closed()


async def test_a_long_body_before_a_pipelined_request_is_no_header() -> None:
    application = Application()
    async with serving(application) as port:
        peer = await Peer.to(port)
        body = b"b" * 200_000
        await peer.say(head("POST", Host="testserver", **{"Content-Length": str(len(body))}) + body)
        assert (await peer.answer())[0] == 200
        await peer.say(head("POST", Host="testserver", **{"Content-Length": "3"}) + b"abc" + head(Host="testserver"))
        assert (await peer.answer())[0] == 200
        assert (await peer.answer())[0] == 200
        peer.writer.close()


@pytest.mark.parametrize(
    "raw",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"nonsense\r\n\r\n"],
)
async def test_what_is_no_http_is_400_in_the_envelope(raw: bytes) -> None:
    async with serving(Application()) as port:
        peer = await Peer.to(port)
        await peer.say(raw)
        status, _, body = await peer.answer()
        assert (status, json.loads(body)["code"]) == (400, "bad_request")
        assert await peer.closed()


# --- The handshake ---


@pytest.mark.parametrize("version", ["8", "14", "thirteen", "13, 8", None])
async def test_another_websocket_version_is_426_and_told_which(version: str | None) -> None:
    application = Application()
    headers = {name: value for name, value in UPGRADE.items() if name != "Sec-WebSocket-Version"}
    async with serving(application) as port:
        peer = await Peer.to(port)
        await peer.say(head(**headers, **({"Sec-WebSocket-Version": version} if version else {})))
        status, answered, body = await peer.answer()
        assert (status, answered["sec-websocket-version"]) == (426, "13")
        assert json.loads(body)["code"] == "upgrade_required"
        assert await peer.closed()
    assert not application.scopes


async def test_an_upgrade_in_http_1_0_is_ignored() -> None:
    application = Application()
    async with serving(application) as port:
        peer = await Peer.to(port)
        await peer.say(head(path="/ws/chat/", version="1.0", **UPGRADE))
        assert (await peer.answer())[0] == 200
        assert await peer.closed()
    assert [scope["type"] for scope in application.scopes] == ["http"]


async def test_a_handshake_that_is_no_handshake_is_400_and_closed() -> None:
    async with serving(Application()) as port:
        for broken in ({"Sec-WebSocket-Key": "short"}, {"X-Odd": "\x80\x81"}):
            peer = await Peer.to(port)
            await peer.say(head(**(UPGRADE | broken)))
            status = (await peer.answer())[0]
            assert status == 400 or (status == 101 and "X-Odd" in broken)
            peer.writer.close()


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        (b"Sec-WebSocket-Protocol: ,,\r\n", 400, "bad_request"),
        (b"Sec-WebSocket-Protocol: access_token, x=\r\n", 400, "bad_request"),
        (b"Upgrade: websocket\r\n", 426, "upgrade_required"),
    ],
    ids=["no-name", "no-token", "upgrade-twice"],
)
async def test_what_the_library_refuses_is_refused_in_the_envelope(lines: bytes, status: int, code: str) -> None:
    application = Application()
    async with serving(application) as port:
        peer = await Peer.to(port)
        await peer.say(head(**UPGRADE)[:-2] + lines + b"\r\n")
        answered, headers, body = await peer.answer()
        assert (answered, json.loads(body)["code"]) == (status, code)
        assert json.loads(body)["request_id"] == headers["x-request-id"]
        assert await peer.closed()
    assert not application.scopes


async def test_an_application_that_fails_in_the_handshake_is_500_in_the_envelope() -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async with serving(failing) as port:
        peer = await Peer.to(port)
        await peer.say(head(**UPGRADE))
        status, _headers, body = await peer.answer()
        assert (status, json.loads(body)["code"]) == (500, "internal")


# --- Time ---


async def test_who_says_nothing_is_closed(settings: Any) -> None:
    settings.SILENT_SECONDS = 0.1
    async with serving(Application()) as port:
        assert await (await Peer.to(port)).closed()


@pytest.mark.parametrize("start", [b"G", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_header_that_does_not_end_is_closed(settings: Any, start: bytes) -> None:
    settings.REQUEST_SECONDS = 0.2
    async with serving(Application()) as port:
        peer = await Peer.to(port)
        await peer.say(start)
        assert await peer.closed()


async def closed_though_it_says(peer: Peer, piece: bytes) -> bool:
    """Say the piece again and again; return whether the server closes all the same."""

    async def say_it() -> None:
        while True:
            await peer.say(piece)
            await asyncio.sleep(0.02)

    saying = asyncio.create_task(say_it())
    closed = await peer.closed()
    saying.cancel()
    await asyncio.gather(saying, return_exceptions=True)
    return closed


async def test_a_header_that_trickles_is_closed_all_the_same(settings: Any) -> None:
    settings.REQUEST_SECONDS = 0.3

    async with serving(Application()) as port:
        peer = await Peer.to(port)

        await peer.say(b"GET / HTTP/1.1\r\nX: ")
        assert await closed_though_it_says(peer, b"x")


async def test_a_kept_connection_that_begins_a_second_request_must_end_it(settings: Any) -> None:
    settings.REQUEST_SECONDS = 0.2
    async with serving(Application(), timeout_keep_alive=60) as port:
        peer = await Peer.to(port)
        await peer.say(head(Host="testserver"))
        assert (await peer.answer())[0] == 200
        await peer.say(b"GET /second")
        assert await peer.closed()


async def test_empty_lines_do_not_keep_a_connection(settings: Any) -> None:
    settings.REQUEST_SECONDS = 0.3
    async with serving(Application(), timeout_keep_alive=60) as port:
        peer = await Peer.to(port)
        await peer.say(head(Host="testserver"))
        assert (await peer.answer())[0] == 200

        assert await closed_though_it_says(peer, b"\r\n")


async def test_a_second_request_that_begins_beside_the_first_must_end_too(settings: Any) -> None:
    settings.REQUEST_SECONDS = 0.2
    application = Application()
    async with serving(application, timeout_keep_alive=60) as port:
        peer = await Peer.to(port)
        await peer.say(head(Host="testserver") + b"GET /sec")
        assert (await peer.answer())[0] == 200
        await peer.say(b"o")
        assert await peer.closed()
    assert len(application.scopes) == 1


async def test_a_half_request_does_not_cut_the_answer_before_it(settings: Any) -> None:
    settings.REQUEST_SECONDS = 0.1
    answer, overdue = asyncio.Event(), asyncio.Event()
    application = Application()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await answer.wait()
        await application(scope, receive, send)

    class Watched(HTTPProtocol):
        def overdue(self, now: float) -> None:
            super().overdue(now)
            overdue.set()

    async with serving(slow, http=Watched) as port:
        peer = await Peer.to(port)
        await peer.say(head(Host="testserver") + b"GET /sec")
        async with asyncio.timeout(WAIT_SECONDS):
            await overdue.wait()
        answer.set()
        assert (await peer.answer())[0] == 200
        assert await peer.closed()


@pytest.mark.parametrize("more", [b"", head(path="/second", Host="testserver")], ids=["one", "a-second-behind-it"])
async def test_an_answer_that_nobody_reads_is_given_up(settings: Any, more: bytes) -> None:
    settings.REQUEST_SECONDS = 0.3
    application = Application()
    application.body = b"x" * 30_000_000
    async with serving(application) as port:
        peer = await Peer.to(port, limit=1_000)
        await peer.say(head(Host="testserver"))
        open_ones = protocols._watcher._connections
        while more and (open_ones or not application.scopes) and not any(one.flow.write_paused for one in open_ones):
            await asyncio.sleep(0.001)
        with suppress(ConnectionError):
            await peer.say(more)
        while protocols._watcher._connections or not application.scopes:
            await asyncio.sleep(0.02)
        peer.writer.close()


# --- The gate of handshakes ---


class Full:
    """A gate that keeps everybody outside until the test says so."""

    def __init__(self) -> None:
        self.held: list[HTTPProtocol] = []

    def hold(self, connection: HTTPProtocol) -> bool:
        self.held.append(connection)
        return True

    async def first(self) -> HTTPProtocol:
        async with asyncio.timeout(WAIT_SECONDS):
            while not self.held:
                await asyncio.sleep(0.01)
        return self.held[0]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Full:
    gate = Full()
    monkeypatch.setattr(tell, "_current", SimpleNamespace(gate=gate))
    return gate


async def test_a_handshake_that_is_held_starts_nothing_and_loses_nothing(gate: Full) -> None:
    application = Application()
    async with serving(application) as port:
        peer = await Peer.to(port)
        await peer.say(head(path="/ws/", **UPGRADE))
        connection = await gate.first()
        await peer.say(frame(1, b"too early"))
        async with asyncio.timeout(WAIT_SECONDS):
            while not connection._early:
                await asyncio.sleep(0.01)
        assert application.scopes == []
        connection.go_on(12.5)
        assert (await peer.answer())[0] == 101
        async with asyncio.timeout(WAIT_SECONDS):
            while not application.received:
                await asyncio.sleep(0.01)
        assert application.received[0]["text"] == "too early"
        assert application.send.__self__.held_since == 12.5
        peer.writer.close()


async def test_a_held_client_that_leaves_is_known_to_have_gone(gate: Full) -> None:
    application = Application()
    async with serving(application) as port:
        peer = await Peer.to(port)
        await peer.say(head(path="/ws/", **UPGRADE))
        connection = await gate.first()
        assert not connection.is_gone()
        peer.writer.close()
        async with asyncio.timeout(WAIT_SECONDS):
            while not connection.is_gone():
                await asyncio.sleep(0.01)
        assert application.scopes == []


async def test_a_held_client_that_floods_is_closed(gate: Full) -> None:
    async with serving(Application()) as port:
        peer = await Peer.to(port)
        await peer.say(head(path="/ws/", **UPGRADE))
        await gate.first()
        await peer.say(bytes(2 * protocols.SLICE_BYTES))
        assert await peer.closed()


# --- Frames ---


async def test_pings_pongs_and_pieces_are_counted() -> None:
    application = Application()
    counted = []
    application.on_control = lambda: counted.append(1)
    async with serving(application) as port:
        peer = await open_socket(port)
        await peer.say(frame(9, b"1") + frame(10, b"never asked") + frame(1, b"ab", fin=False))
        await peer.say(frame(0, b"", fin=False) * 5 + frame(0, b"cd") + frame(1, b"whole"))
        while len(application.received) < 2:
            await asyncio.sleep(0.01)
        assert [message["text"] for message in application.received] == ["abcd", "whole"]
        assert len(counted) == 8
        peer.writer.close()


async def test_a_flood_before_anybody_counts_is_cut() -> None:
    application = Application()
    async with serving(application) as port:
        peer = await open_socket(port)
        await peer.say(frame(9) * 1_000)
        assert await peer.closed()
        await application.gone.wait()


async def test_unread_pongs_stop_the_reading_and_reading_them_goes_on(settings: Any) -> None:
    settings.REQUEST_SECONDS = 0  # however long a busy machine takes to read them, the connection is not given up
    application = Application()
    counted = []
    application.on_control = lambda: counted.append(1)
    pings = 40_000
    async with serving(application) as port:
        small = socket.create_connection(("127.0.0.1", port))
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)  # so that few pongs fill what lies between
        peer = await open_socket(port, sock=small, limit=1_000)
        connection: Any = application.send.__self__
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        sending = asyncio.create_task(peer.say(frame(9, b"p" * 100) * pings + frame(1, b"last")))
        while not connection._paused_by_answers:
            await asyncio.sleep(0.01)
        assert connection.transport.get_write_buffer_size() < 1024 * 1024
        assert len(counted) < pings
        peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
        reading = asyncio.create_task(peer.closed())
        await sending
        while not application.received:
            await asyncio.sleep(0.01)
        assert len(counted) == pings
        peer.writer.close()
        await reading


async def test_a_close_that_is_never_read_is_aborted() -> None:
    application = Application()
    application.on_control = lambda: None
    async with serving(application) as port:
        peer = await open_socket(port, limit=1_000)
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        connection: Any = application.send.__self__
        connection.transport.write(frame(1, b"x" * 100) * 100_000)
        connection.transport.close()  # as uvicorn's keepalive does
        await application.gone.wait()
        assert connection not in protocols._socket_watcher._connections
        peer.writer.close()


async def test_broken_utf8_closes_with_1007_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    application = Application()
    async with serving(application) as port:
        peer = await open_socket(port)
        await peer.say(frame(1, b"\xff\xfe"))
        async with asyncio.timeout(WAIT_SECONDS):
            assert (await peer.reader.readexactly(4))[2:] == (1007).to_bytes(2, "big")
        await application.gone.wait()
        peer.writer.close()
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_ping_that_is_answered_keeps_a_socket_and_one_that_is_not_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocols, "PING_SECONDS", 4)
    monkeypatch.setattr(protocols, "PONG_SECONDS", 2)
    keepalive = protocols._Keepalive()
    monkeypatch.setattr(protocols, "_keepalive", keepalive)
    application = Application()
    application.on_control = lambda: None
    async with serving(application) as port:
        peer = await open_socket(port)
        connection: Any = application.send.__self__
        for _ in range(2):
            await _turn(keepalive, 4)
            ping = await peer.reader.readexactly(6)
            assert (ping[:2], len(ping[2:])) == (b"\x89\x04", 4)
            await peer.say(frame(10, ping[2:]))
            while connection.pending_ping_payload is not None:
                await asyncio.sleep(0.01)
        await _turn(keepalive, 4)  # its ping is not answered
        await _turn(keepalive, 2)
        async with asyncio.timeout(WAIT_SECONDS):
            read = await peer.reader.readexactly(10)
        assert read[6:10] == b"\x88\x18" + (1011).to_bytes(2, "big")
        await application.gone.wait()
        assert not any(keepalive._turns)
        peer.writer.close()


async def _turn(keepalive: Any, seconds: int) -> None:
    for _ in range(seconds):
        keepalive._timer.cancel()
        keepalive._tick(asyncio.get_running_loop())
    await asyncio.sleep(0)


# --- Memory ---


class Ends(Application):
    """Answers as `Application` does, or refuses a handshake before or after accept."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] not in {"/reject", "/close"}:
            await super().__call__(scope, receive, send)
            self.send = None
            return
        await receive()
        if scope["path"] == "/close":
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4401})
        while scope["path"] == "/close" and (await receive())["type"] != "websocket.disconnect":
            pass


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (head(Host="testserver") * 3, b""),
        (head(**UPGRADE)[:-2] + b"Sec-WebSocket-Protocol: ,,\r\n\r\n", b""),
        (head(path="/reject", **UPGRADE), b""),
        (head(path="/close", **UPGRADE), b""),
        (head(path="/ws/", **UPGRADE), frame(8, b"\x03\xe8")),
        (head(path="/ws/", **UPGRADE), frame(1, b"\xff")),
        (head(path="/ws/", **UPGRADE), b"\xff\xff\xff"),
        (head(path="/ws/", **UPGRADE), b"\x81\xff" + (70_000).to_bytes(8, "big") + bytes(4)),
    ],
    ids=["pipelined", "no-handshake", "rejected", "closed", "left", "no-text", "no-frame", "too-long"],
)
async def test_a_connection_that_ended_is_freed_without_the_collector(first: bytes, then: bytes) -> None:
    made: list[str] = []
    alive: set[int] = set()

    def watched(protocol: type) -> Any:
        class Watched(protocol):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                for one in (self, getattr(self, "conn", None)):
                    if one is not None:
                        made.append(type(one).__name__)
                        alive.add(id(one))
                        weakref.finalize(one, alive.discard, id(one))

        return Watched

    async with serving(Ends(), http=watched(HTTPProtocol), ws=watched(SocketProtocol)) as port:
        gc.collect()
        gc.disable()
        try:
            peer = await Peer.to(port)
            await peer.say(first)
            await peer.answer()
            assert made
            with suppress(ConnectionError):
                await peer.say(then)
            wire = peer.writer.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # by a reset
            peer.writer.transport.abort()
            async with asyncio.timeout(WAIT_SECONDS):
                while alive:
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()
