"""Admission of handshakes: a bounded number is authenticated at one time, the others wait in the order of arrival.

Whoever cannot be served before the client gives up is refused: the work would be for nobody. The bound is a time, not a
number: a fast process admits any number.
"""

import asyncio
import sys
from collections import deque
from typing import Any, Protocol

from django.conf import settings

from common.errors import TemporarilyUnavailable
from common.metrics import HANDSHAKE_SECONDS, HANDSHAKES, HANDSHAKES_WAITING

RETRY_AFTER_SECONDS = 5
PUMP_SECONDS = 0.01
REFUSED_AT_ONCE = 16  # of those outside who waited in vain, at each pump: each takes an accept and two frames
DAPHNE_SECONDS = 1.0  # daphne gives up 5 s after the request

_ADMITTED, _REFUSED, _GONE = (HANDSHAKES.labels(outcome) for outcome in ("admitted", "refused", "gone"))


class ClientGone(ConnectionError):
    """The client disconnected while it waited."""


class Held(Protocol):
    """A connection whose request for a socket has been read, and not been answered yet."""

    def is_gone(self) -> bool: ...
    def go_on(self, since: float) -> None: ...


class Gate:
    """The queues before authentication. Used on the event loop.

    `waiting` are handshakes for which the application runs already, about as many as there are places. All others are
    `outside`, where one costs its connection alone (uvicorn; `config/protocols.py`). Nobody waits while a place is
    free.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, at_once: int, patience_s: float) -> None:
        self.loop, self.at_once, self.patience_s = loop, at_once, patience_s
        self.inside = 0
        self.waiting: deque[_Waiter] = deque()
        self.outside: deque[tuple[float, Held]] = deque()  # with the time of arrival
        self.is_closed = False  # the process drains: whoever comes is answered at once
        self._timer: asyncio.TimerHandle | None = None
        self._pump_timer: asyncio.TimerHandle | None = None

    # --- Outside ---

    def hold(self, connection: Held) -> bool:
        """Keep a connection outside, and return whether it is; `go_on` is called when its turn comes."""
        if self.is_closed or (len(self.waiting) < self.at_once and not self.outside):
            return False
        now = self.loop.time()
        self.outside.append((now, connection))
        HANDSHAKES_WAITING.inc()
        if self._pump_timer is None:
            self._pump_timer = self.loop.call_at(now + PUMP_SECONDS, self._pump)
        return True

    def _pump(self) -> None:
        """Let in as many as may wait inside, and who has waited too long, to be refused."""
        self._pump_timer = None
        room = self.at_once if self.is_closed else self.at_once - len(self.waiting)
        late = REFUSED_AT_ONCE
        now = self.loop.time()
        while self.outside:
            since, connection = self.outside[0]
            if connection.is_gone():
                _GONE.inc()
            elif now - since >= self.patience_s and late > 0:
                late -= 1
                connection.go_on(since)
            elif now - since < self.patience_s and room > 0:
                room -= 1
                connection.go_on(since)
            else:
                break
            self.outside.popleft()
            HANDSHAKES_WAITING.dec()
        if self.outside:
            self._pump_timer = self.loop.call_at(now + PUMP_SECONDS, self._pump)

    # --- Inside ---

    async def enter(self, send: Any) -> Exception | None:
        """Wait for a place, which `leave` frees. Returns why there is none: TemporarilyUnavailable, ClientGone.

        Returned, not raised: an exception would hold the frames of each that is refused.
        """
        waiter = _Waiter(self.loop, getattr(send, "__self__", None))
        if self._is_late(waiter):
            return _refusal()
        if self.inside < self.at_once:
            self._admit(waiter)
            return None
        self.waiting.append(waiter)
        HANDSHAKES_WAITING.inc()
        if self._timer is None:
            self._timer = self.loop.call_at(waiter.since + self.patience_s, self._expire)
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter.is_admitted:
                self.leave()
            raise

    def leave(self) -> None:
        """Free a place for the one that has waited longest."""
        self.inside -= 1
        while self.waiting and self.inside < self.at_once:
            waiter = self._next()
            if self._is_late(waiter):
                self._refuse(waiter)
            else:
                self._admit(waiter)

    def close(self) -> None:
        """Refuse all who wait: the process drains."""
        self.is_closed = True
        while self.waiting:
            self._refuse(self._next())

    def _is_late(self, waiter: "_Waiter") -> bool:
        return self.loop.time() - waiter.since >= self.patience_s

    def _expire(self) -> None:
        """Refuse who has waited too long, and wait for the next."""
        self._timer = None
        while self.waiting and self._is_late(self.waiting[0]):
            self._refuse(self._next())
        if self.waiting:
            self._timer = self.loop.call_at(self.waiting[0].since + self.patience_s, self._expire)

    def _next(self) -> "_Waiter":
        """Take the first from the queue; if its client has gone, it has its answer."""
        waiter = self.waiting.popleft()
        HANDSHAKES_WAITING.dec()
        if not waiter.turn.done() and waiter.is_gone():
            _GONE.inc()
            waiter.turn.set_result(ClientGone())
        return waiter

    def _admit(self, waiter: "_Waiter") -> None:
        if not waiter.turn.done():
            self.inside += 1
            waiter.is_admitted = True
            waiter.turn.set_result(None)
            _ADMITTED.inc()
            HANDSHAKE_SECONDS.observe(self.loop.time() - waiter.since)

    def _refuse(self, waiter: "_Waiter") -> None:
        if not waiter.turn.done():
            waiter.turn.set_result(_refusal())


def _refusal() -> TemporarilyUnavailable:
    _REFUSED.inc()
    return TemporarilyUnavailable(retry_after=RETRY_AFTER_SECONDS)


class _Waiter:
    __slots__ = ("is_admitted", "server", "since", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Any) -> None:
        """`server`: the protocol behind the ASGI `send`; uvicorn's says more than nothing."""
        self.turn: asyncio.Future[Exception | None] = loop.create_future()
        self.server = server
        self.since: float = getattr(server, "held_since", None) or loop.time()
        self.is_admitted = False

    def is_gone(self) -> bool:
        transport = getattr(self.server, "transport", None)
        return transport is not None and hasattr(transport, "is_closing") and transport.is_closing()


def make(loop: asyncio.AbstractEventLoop) -> Gate:
    """Return the gate of this process."""
    patience_s = DAPHNE_SECONDS if "daphne.server" in sys.modules else settings.CHAT_HANDSHAKE_WAIT_SECONDS
    return Gate(loop, at_once=settings.CHAT_HANDSHAKES_AT_ONCE, patience_s=patience_s)
