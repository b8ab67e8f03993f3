"""Per-socket send buffer: writes through while the client keeps up, a bounded queue when it does not.

The hub writes the same bytes to hundreds of sockets in one plain loop, so `write` never awaits. ASGI's `send` completes
without suspending unless the client is slow; it is driven by hand up to that point, and what remains waits in a queue
of at most 256 events or 1 MiB, in a task of its own. On uvicorn's sansio protocol the frame goes to the transport with
its header already on (a server's frames are unmasked, hence the same for everybody): that saves a fifth.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

import structlog
from django.conf import settings

from common.metrics import SOCKETS_STUCK

log = structlog.get_logger(__name__)

MAX_EVENTS = 256
MAX_BYTES = 1024 * 1024

_NOTHING: deque[Any] = deque(maxlen=0)
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Frame:
    """One frame, shared by all sockets that get it; each representation is built once, when first needed."""

    __slots__ = ("_message", "_wire", "events", "payload")

    def __init__(self, payload: bytes, *, events: int = 1) -> None:
        self.payload, self.events = payload, events
        self._message: dict[str, Any] | None = None
        self._wire: bytes | None = None

    @property
    def message(self) -> dict[str, Any]:
        if self._message is None:
            self._message = {"type": "websocket.send", "text": self.payload.decode()}
        return self._message

    @property
    def wire(self) -> bytes:
        """Return the frame with its WebSocket header: FIN, text, no mask (RFC 6455 §5.2)."""
        if self._wire is None:
            size = len(self.payload)
            if size < 126:
                header = struct.pack("!BB", 0x81, size)
            elif size < 65_536:
                header = struct.pack("!BBH", 0x81, 126, size)
            else:
                header = struct.pack("!BBQ", 0x81, 127, size)
            self._wire = header + self.payload
        return self._wire


class _Close(Frame):
    __slots__ = ()

    def __init__(self, code: int) -> None:
        super().__init__(b"", events=0)
        self._message = {"type": "websocket.close", "code": code}


class Window:
    """The send buffer of one socket."""

    __slots__ = ("_bytes", "_events", "_protocol", "_queue", "_send", "_stuck", "_task", "closed", "closing")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queue: deque[Frame] = _NOTHING  # one of its own from the first time that something waits
        self._events = self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._protocol = _sansio_protocol(send)
        self.closing = False  # a close was sent: nothing may follow
        self.closed = False  # the client is disconnected

    def write(self, frame: Frame, *, droppable: bool = False) -> bool:
        """Send or queue a frame; return False if the window is full and the client must be closed.

        `droppable` frames (typing, presence) are dropped when the window is half full.
        """
        if self.closing or self.closed:
            return True
        if self._task is not None:
            if droppable and (self._events * 2 >= MAX_EVENTS or self._bytes * 2 >= MAX_BYTES):
                return True
            self._enqueue(frame)
            return self._events <= MAX_EVENTS and self._bytes <= MAX_BYTES
        protocol = self._protocol
        if protocol is not None and protocol.writable.is_set():
            self._write_wire(protocol, frame.wire)
        else:
            self._start(frame)
        return True

    async def write_all(self, frames: Sequence[Frame]) -> None:
        """Send frames of a catch-up: together, or each when the one before has left the queue."""
        await self.drained()
        protocol = self._protocol
        if (
            len(frames) > 1
            and protocol is not None
            and protocol.writable.is_set()
            and not (self.closing or self.closed)
        ):
            self._write_wire(protocol, b"".join([frame.wire for frame in frames]))
            return
        for frame in frames:
            await self.drained()
            self.write(frame)

    def on_control(self, count: Callable[[], Any]) -> None:
        """Register `count`, which the server calls for each control frame and fragment (config/protocols.py)."""
        protocol: Any = getattr(self._send, "__self__", None)
        if hasattr(protocol, "on_control"):
            protocol.on_control = count

    async def drained(self) -> None:
        """Wait until the queue is empty, so that a long catch-up fits into the window."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def close(self, code: int, bye: Frame | None, *, discard: bool = False) -> None:
        """Send `bye` and close. The connection is aborted if the client reads nothing for 5 s.

        `discard`: drop the queue (the client will `resume`).
        """
        if self.closing or self.closed:
            return
        self.closing = True
        if discard:
            self._queue = _NOTHING
            self._events = self._bytes = 0
        for frame in (bye, _Close(code)):
            if frame is None:
                continue
            if self._task is not None:
                self._enqueue(frame)
            elif not self.closed:
                self._start(frame)
        self._watch_for_stuck(-1)

    def lost(self) -> None:
        """Drop the queue: the client is gone."""
        self.closed = True
        self._queue = _NOTHING
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._stuck is not None:  # the timer would keep this socket in memory
            self._stuck.cancel()
            self._stuck = None

    @property
    def is_idle(self) -> bool:
        return self._task is None

    def abort(self) -> None:
        """Abort the connection without a close frame, if the server supports it."""
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if self._task is not None:
            self._task.cancel()
        if transport is not None and hasattr(transport, "abort"):
            transport.abort()
        self.closed = True

    def _watch_for_stuck(self, unsent_before: int) -> None:
        """Abort if nothing was sent for 5 s; a slow client that still reads gets more time, up to a limit."""
        unsent = self._unsent()
        if self.closed or (unsent_before >= 0 and self._task is None and not unsent):
            return
        if unsent == unsent_before:
            SOCKETS_STUCK.inc()
            log.info("socket.aborted", unsent_bytes=unsent)
            self.abort()
            return
        later = asyncio.get_running_loop().call_later
        self._stuck = later(settings.CHAT_STUCK_SECONDS, self._watch_for_stuck, unsent)

    def _unsent(self) -> int:
        transport: Any = getattr(getattr(self._send, "__self__", None), "transport", None)
        return transport.get_write_buffer_size() if hasattr(transport, "get_write_buffer_size") else 0

    def _enqueue(self, frame: Frame) -> None:
        if self._queue is _NOTHING:
            self._queue = deque()
        self._queue.append(frame)
        self._events += frame.events
        self._bytes += len(frame.payload)

    def _write_wire(self, protocol: Any, wire: bytes) -> None:
        if protocol.close_sent or protocol.disconnected or protocol.transport.is_closing():
            self.closed = True
            return
        try:
            protocol.transport.write(wire)
        except Exception:
            self.closed = True

    def _start(self, frame: Frame) -> None:
        """Run `send` until it is done or has to wait for the client."""
        sending = self._send(frame.message)
        try:
            waited_for = sending.send(None)  # type: ignore[attr-defined]
        except StopIteration:
            return
        except Exception:  # the client is gone; each server raises its own exception
            self.closed = True
            return
        self._task = asyncio.get_running_loop().create_task(self._drain(_Rest(sending, waited_for)))

    async def _drain(self, rest: Awaitable[None]) -> None:
        try:
            await rest
            while self._queue:
                frame = self._queue.popleft()
                self._events -= frame.events
                self._bytes -= len(frame.payload)
                await self._send(frame.message)
        except asyncio.CancelledError:
            raise
        except Exception:
            self.closed = True
            self._queue = _NOTHING
        finally:
            self._task = None


class _Rest:
    """Awaitable that continues a coroutine which was stepped manually up to its first suspension."""

    __slots__ = ("coroutine", "waited_for")

    def __init__(self, coroutine: Any, waited_for: Any) -> None:
        self.coroutine, self.waited_for = coroutine, waited_for

    def __await__(self) -> Generator[Any, Any, None]:
        waited_for = self.waited_for
        while True:
            try:
                value = yield waited_for
            except BaseException as error:
                try:
                    waited_for = self.coroutine.throw(error)
                except StopIteration:
                    return
                continue
            try:
                waited_for = self.coroutine.send(value)
            except StopIteration:
                return


def _sansio_protocol(send: Send) -> Any:
    """Return uvicorn's protocol if frames can be written to its transport: sansio, without compression."""
    if not settings.CHAT_PREFRAMED:
        return None
    protocol: Any = getattr(send, "__self__", None)
    bases = {base.__name__ for base in type(protocol).__mro__}
    return protocol if "WebSocketsSansIOProtocol" in bases and not protocol.conn.extensions else None
