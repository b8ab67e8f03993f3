"""uvicorn's two protocols with the limits that a public port needs: header size, time, unread answers.

`HTTPProtocol` and `SocketProtocol` are handed to uvicorn by `config/server.py`. What each adds could be offered to
uvicorn itself (https://github.com/Kludex/uvicorn): a limit of the header, a time limit for an incomplete request, an
abort of a transport that never finishes closing, and pongs that respect the write buffer.

`_Watcher` looks at the HTTP connections once a second and at the sockets, of which there may be many, every few,
because uvicorn calls `transport.close()` in many places and that waits until everything is flushed: for a client that
reads nothing, for ever. `_Keepalive` pings the sockets by one timer for all.
"""

import asyncio
import re
import secrets
import traceback
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
import structlog
import websockets.http11
from django.conf import settings
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets import websockets_sansio_impl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from chat.hub import tell
from common.errors import (
    ApplicationError,
    BadRequest,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    UpgradeRequired,
    refusal_answer,
)
from common.metrics import CONNECTIONS_CUT

log = structlog.get_logger(__name__)

WATCH_SECONDS, WATCH_SOCKETS_SECONDS = 1.0, 5.0
# A dead connection is found within 60 s, like one that stops to send `ping` frames.
PING_SECONDS, PONG_SECONDS = 40, 20
LINGER_SECONDS = 2.0  # how long a refused client may go on sending, so that it sees the answer and not a reset
CLOSING_SECONDS = 60.0  # the longest close of a client that does read, but slowly
SLICE_BYTES = 16 * 1024  # what is parsed at once: 2,700 of the smallest frames
UNREAD_ANSWERS = 16  # pongs that may wait behind a full write buffer before reading stops
EARLY_FRAMES = 64  # control frames before the application counts them
LATE_FRAMES = 10_000  # and after it has closed: what was under way, so that the client still sees the close
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64 (RFC 6455 §4.1)

# Header lines reach websockets only after `HTTPProtocol` has counted them; its own limits (8 KiB, 128 lines) would
# leave the client without an answer. Documented as WEBSOCKETS_MAX_LINE_LENGTH and WEBSOCKETS_MAX_NUM_HEADERS.
websockets.http11.MAX_LINE_LENGTH = settings.HEADER_BYTES + 1024
websockets.http11.MAX_NUM_HEADERS = settings.HEADER_BYTES // 4


class _Watcher:
    """Close what is past its deadline, and abort what has been closing without any progress."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._connections: set[Any] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Any) -> None:
        self._connections.add(connection)
        if self._timer is None:
            self._timer = connection.loop.call_later(self._seconds, self._look, connection.loop)

    def discard(self, connection: Any) -> None:
        self._connections.discard(connection)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in [one for one in self._connections if one.transport.is_closing() or one.deadline <= now]:
            if not connection.transport.is_closing():
                connection.overdue(now)
            elif self._is_stuck(connection, now):
                CONNECTIONS_CUT.labels("stuck").inc()
                log.info("connection.aborted", unsent_bytes=connection.transport.get_write_buffer_size())
                connection.transport.abort()
        self._timer = loop.call_later(self._seconds, self._look, loop) if self._connections else None

    def _is_stuck(self, connection: Any, now: float) -> bool:
        unsent = connection.transport.get_write_buffer_size()
        if connection.closing is None:
            connection.closing = (now, now, unsent)
            return False
        began, _moved, before = connection.closing
        if unsent != before:
            connection.closing = (began, now, unsent)
        return now - connection.closing[1] >= settings.CHAT_STUCK_SECONDS or now - began >= CLOSING_SECONDS


_watcher = _Watcher(WATCH_SECONDS)
_socket_watcher = _Watcher(WATCH_SOCKETS_SECONDS)


class _Keepalive:
    """Protocol pings by one timer for all sockets; uvicorn's own has two for each, and makes each frame anew.

    A socket belongs to the second in which it opened, and has its turn once every `PING_SECONDS`. Who has not answered
    `PONG_SECONDS` later is gone.
    """

    def __init__(self) -> None:
        self.second = 0
        self._turns: list[set[SocketProtocol]] = [set() for _ in range(PING_SECONDS)]
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, socket: "SocketProtocol") -> None:
        socket.turn = self.second % PING_SECONDS
        self._turns[socket.turn].add(socket)
        self._count += 1
        if self._timer is None or self._loop is not socket.loop:
            self._loop = socket.loop
            self._timer = socket.loop.call_later(1.0, self._tick, socket.loop)

    def discard(self, socket: "SocketProtocol") -> None:
        if socket.turn >= 0:
            self._turns[socket.turn].discard(socket)
            self._count -= 1
            socket.turn = -1

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.second += 1
        for socket in [*self._turns[(self.second - PONG_SECONDS) % PING_SECONDS]]:
            if socket.pending_ping_payload is not None:
                socket.keepalive_timeout()
        payload = secrets.token_bytes(4)
        frame = b"\x89\x04" + payload
        for socket in self._turns[self.second % PING_SECONDS]:
            if not socket.close_sent and not socket.transport.is_closing():
                socket.pending_ping_payload = payload
                socket.transport.write(frame)
        self._timer = loop.call_later(1.0, self._tick, loop) if self._count else None


def _refusal(error: ApplicationError, headers: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    status, fields, body = refusal_answer(error, None)
    lines = [b"%b: %b\r\n" % field for field in (*fields, *headers, (b"connection", b"close"))]
    return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])


class HTTPProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a limit of the header in bytes and in time, and an answer for whatever is refused."""

    deadline = float("inf")  # of the event loop's clock; inf: nothing to wait for
    closing: tuple[float, float, int] | None = None
    _in_head = False
    _head_bytes = 0
    _refused = False
    is_held = False  # by the gate of handshakes
    _early = b""  # what the client sent meanwhile

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        _watcher.add(self)
        self.deadline = self.loop.time() + (settings.SILENT_SECONDS or float("inf"))

    def connection_lost(self, exc: Exception | None) -> None:
        _watcher.discard(self)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # after a reset, uvicorn's timer would hold the connection in memory
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self.is_held:
            self._early += data
            if len(self._early) > SLICE_BYTES:  # a client may send nothing before it is answered
                self.transport.close()
            return
        self._unset_keepalive_if_required()
        in_head = self._in_head
        if not in_head and self._is_idle():
            self._head_bytes = 0
            self.deadline = min(self.deadline, self._request_deadline())  # empty lines before a request renew nothing
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            elif self.cycle is not None:
                self.cycle.keep_alive = False  # llhttp reads nothing more on this connection
            return
        except httptools.HttpParserError:
            self._refuse(HeadersTooLarge() if self._head_bytes > settings.HEADER_BYTES else BadRequest())
            return
        if in_head and self._in_head:  # one endless line: llhttp hands over whole lines alone
            self._head_bytes += len(data)
            if self._head_bytes > settings.HEADER_BYTES:
                self._refuse(HeadersTooLarge())

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self.deadline = self._request_deadline()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        if self._in_head:  # trailers of a chunked body come here too
            self._head_bytes += size
            if self._head_bytes > settings.HEADER_BYTES:
                raise ValueError("header too large")  # llhttp stops; answered above

    def on_headers_complete(self) -> None:
        self._in_head = False
        if not self.flow.write_paused:
            self.deadline = float("inf")  # the body's time is `HTTPBridge`'s: it knows whose upload may take long
        super().on_headers_complete()

    def _is_idle(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _request_deadline(self) -> float:
        return self.loop.time() + (settings.REQUEST_SECONDS or float("inf"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.deadline = self._request_deadline()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.deadline = self._request_deadline() if self._in_head else float("inf")

    def overdue(self, now: float) -> None:
        """Close: nothing was said, the request did not end, or the answer is not being read."""
        if self.flow.write_paused:
            CONNECTIONS_CUT.labels("unread").inc()
            self.transport.abort()
        elif self._in_head and not self._is_idle():  # the answer before is under way
            self.deadline = self._request_deadline()
        else:
            CONNECTIONS_CUT.labels("silent" if self.scope is None else "unfinished").inc()
            self.transport.close()

    def _should_upgrade(self) -> bool:
        """RFC 9110 §7.8: an Upgrade in an HTTP/1.0 request is ignored."""
        return self.parser.get_http_version() == "1.1" and super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        if self.scope["method"] != "GET":
            self._refuse(MethodNotAllowed(), ((b"allow", b"GET"),))
            return
        if self._sent(b"sec-websocket-version") != [b"13"]:
            # RFC 6455 §4.2.2: say which version would do.
            self._refuse(UpgradeRequired(), ((b"sec-websocket-version", b"13"), (b"upgrade", b"websocket")))
            return
        keys = self._sent(b"sec-websocket-key")
        if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
            self._refuse(BadRequest())
            return
        process = tell.running()
        self.is_held = process is not None and process.gate.hold(self)
        if not self.is_held:
            self.go_on()

    def go_on(self, since: float | None = None) -> None:
        """Start the handshake, now or when the gate says so (`chat/hub/admission.py`); it has waited since then."""
        self.is_held = False
        _watcher.discard(self)
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # the parser and its callbacks hold each other
        socket: Any = self.transport.get_protocol()
        socket.held_since = since
        if self._early:
            socket.data_received(self._early)

    def is_gone(self) -> bool:
        return self.transport.is_closing()

    def _sent(self, name: bytes) -> list[bytes]:
        return [value.strip() for sent, value in self.headers if sent == name]

    def _refuse(self, error: ApplicationError, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer, close our side, and read on for a moment: a close with unread bytes would be a reset."""
        self._refused = True
        CONNECTIONS_CUT.labels(error.code).inc()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False  # an answer is under way: nothing may be written into it
            return
        self.transport.write(_refusal(error, headers))
        self.transport.write_eof()
        self.deadline = float("inf")
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


class _Handshake(ServerProtocol):
    """websockets' own part of the handshake, whose refusals come in our envelope and not as a plain text."""

    def reject(self, status: Any, text: str) -> Response:
        error = {400: BadRequest, 426: UpgradeRequired}.get(int(status), InternalError)()
        code, fields, body = refusal_answer(error, None)
        headers = Headers([(name.decode(), value.decode()) for name, value in fields])
        headers["connection"] = "close"
        return Response(code, HTTPStatus(code).phrase, headers, body)


websockets_sansio_impl.ServerProtocol = _Handshake  # type: ignore[misc]


class _Inbox:
    """What came for the application, its one reader. An `asyncio.Queue` holds three empty deques of 600 bytes each."""

    __slots__ = ("_messages", "_reader")

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, message: Any) -> None:
        self._messages.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def empty(self) -> bool:
        return not self._messages

    async def get(self) -> Any:
        while not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._messages.pop(0)


class _Writable:
    """Whether the transport takes more: an `asyncio.Event` that makes its list of waiters when somebody waits."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = True
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def clear(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        waiters, self._waiters = self._waiters or (), None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        if not self._is_set:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters = [*(self._waiters or ()), waiter]
            await waiter


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose control frames count and whose answers do not pile up for a client that reads none."""

    deadline = float("inf")
    closing: tuple[float, float, int] | None = None
    turn = -1  # of `_Keepalive`; -1: none
    held_since: float | None = None  # the loop's time, where its handshake had to wait

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue, self.writable = _Inbox(), _Writable()  # type: ignore[assignment]
        # Called for each ping, unsolicited pong and piece of a message; set by the application.
        self.on_control: Callable[[], None] | None = None
        self._unread_answers = self._uncounted = 0
        self._paused_by_answers = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        _socket_watcher.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        _socket_watcher.discard(self)
        super().connection_lost(exc)
        self.on_control = None
        self._cut_cycles()

    def _cut_cycles(self) -> None:
        """Free all at once: the parser and the errors hold frames that hold the connection."""
        self.conn.parser.close()
        for error in (self.conn.handshake_exc, self.conn.parser_exc):
            if error is not None:
                traceback.clear_frames(error.__traceback__)
                error.with_traceback(None)

    def overdue(self, now: float) -> None:
        self.transport.close()

    # --- In: in slices, control frames counted ---

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), SLICE_BYTES):
            super().data_received(data[start : start + SLICE_BYTES] if len(data) > SLICE_BYTES else data)
            if self.transport.is_closing():
                return
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            CONNECTIONS_CUT.labels("bad_request").inc()
            self.handshake_complete = self.close_sent = True
            self.transport.write(_refusal(BadRequest()))
            self.transport.close()

    def handle_ping(self) -> None:
        super().handle_ping()
        if not self.writable.is_set():
            self._unread_answers += 1
            if self._unread_answers == UNREAD_ANSWERS and not self.transport.is_closing():
                self._paused_by_answers = True
                self.transport.pause_reading()
        self._count_control()

    def handle_pong(self, event: Frame) -> None:
        if self.pending_ping_payload is None or bytes(event.data) != self.pending_ping_payload:
            self._count_control()
        else:
            self.pending_ping_payload = None

    def handle_text(self, event: Frame) -> None:
        if not event.fin:
            self._count_control()
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        if not event.fin:
            self._count_control()
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        if event.fin:
            super().handle_cont(event)
            return
        self._count_control()
        if event.data:  # empty pieces would only make the list longer
            super().handle_cont(event)

    def _count_control(self) -> None:
        if self.on_control is not None and not self.close_sent:
            self.on_control()
            return
        self._uncounted += 1
        if self._uncounted >= (LATE_FRAMES if self.close_sent else EARLY_FRAMES):
            CONNECTIONS_CUT.labels("flood").inc()
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:  # what a client did is no traceback of ours
                self.frames = []
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    # --- Out ---

    def start_keepalive(self) -> None:
        _keepalive.add(self)

    def stop_keepalive(self) -> None:
        _keepalive.discard(self)
        self.pending_ping_payload = None

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":  # a socket lives for hours; the headers of its handshake need not
            self.request = self.response = None  # type: ignore[assignment]
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # else uvicorn logs an error for each refused handshake

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_answers = 0
        if self._paused_by_answers:
            self._paused_by_answers = False
            if not self.read_paused and not self.transport.is_closing():
                self.transport.resume_reading()

    async def receive(self) -> Any:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            if not self._paused_by_answers:
                self.transport.resume_reading()
        return message


_keepalive = _Keepalive()
