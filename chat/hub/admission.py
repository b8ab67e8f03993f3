"""Admission of handshakes: a bounded number is authenticated at one time, the others wait in the order of arrival.

Whoever cannot be served in time is refused early: the client would give up meanwhile and come again, and the work would
be wasted. The bound is a time, not a number: a fast process admits any number.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from django.conf import settings

from common.errors import TemporarilyUnavailable
from common.metrics import HANDSHAKE_SECONDS, HANDSHAKES, HANDSHAKES_WAITING

RATE_AFTER_SECONDS = 2.0  # of waiting; before that, the rate is not known
RATE_WINDOW_SECONDS = 4.0
RETRY_AFTER_SECONDS = (1.0, 20.0)
REFUSED_AT_ONCE, REFUSED_EVERY_SECONDS = 100, 0.1  # of those who waited in vain: each takes an accept and two frames
DAPHNE_SECONDS = 1.0  # daphne gives up 5 s after the request

_ADMITTED, _REFUSED, _GONE = (HANDSHAKES.labels(outcome) for outcome in ("admitted", "refused", "gone"))


class ClientGone(ConnectionError):
    """The client disconnected while it waited."""


class Gate:
    """The queue before authentication. Used on the event loop. Nobody waits while a place is free."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, at_once: int, patience_s: float) -> None:
        self.loop, self.at_once, self.patience_s = loop, at_once, patience_s
        self.inside = 0
        self.waiting: deque[_Waiter] = deque()
        self.is_late = False  # somebody waited in vain since the queue was last empty
        self._served, self._since = 0.0, 0.0  # places freed while somebody waited, and since when
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, is_gone: Callable[[], bool]) -> Exception | None:
        """Wait for a place, which `leave` frees. Returns why there is none: TemporarilyUnavailable, ClientGone.

        Returned, not raised: an exception would hold the frames of each that is refused.
        """
        if self.inside < self.at_once:
            self.inside += 1
            _ADMITTED.inc()
            HANDSHAKE_SECONDS.observe(0)
            return None
        if not self.waiting:
            self.is_late = False
            self._served, self._since = 0.0, self.loop.time()
        if self._is_too_long(len(self.waiting) + 1):
            return self._refusal()
        waiter = _Waiter(self.loop, is_gone)
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
        self._served += 1
        while self.waiting and self.inside < self.at_once:
            self._admit(self._next(self.waiting.popleft()))
        # The newest go first, and two for each that is served, so that refusing takes less time than serving.
        for _ in range(2):
            if self.waiting and self._is_too_long(len(self.waiting)):
                self._refuse(self._next(self.waiting.pop()))

    def refuse_all(self) -> None:
        """Refuse all who wait: the process drains."""
        while self.waiting:
            self._refuse(self._next(self.waiting.popleft()))

    def expected_s(self, place: int) -> float:
        """Return how long the one at this place of the queue will wait; 0 while that is not known."""
        now = self.loop.time()
        if now - self._since < RATE_AFTER_SECONDS:
            return 0.0
        if now - self._since > RATE_WINDOW_SECONDS:
            self._served, self._since = self._served / 2, now - (now - self._since) / 2
        # As if those inside were done: too short an estimate is mended by `_expire`.
        return place * (now - self._since) / (self._served + self.at_once)

    def _is_too_long(self, place: int) -> bool:
        """Judge generously by an estimate; once it has failed somebody, strictly, until the queue is empty."""
        return self.expected_s(place) > self.patience_s * (0.5 if self.is_late else 2.0)

    def _expire(self) -> None:
        """Refuse who has waited too long, and wait for the next."""
        self._timer = None
        now = self.loop.time()
        for _ in range(REFUSED_AT_ONCE):
            if not self.waiting or self.waiting[0].since + self.patience_s > now:
                break
            waiter = self._next(self.waiting.popleft())
            self.is_late = self.is_late or not waiter.turn.done()
            self._refuse(waiter)
        if self.waiting:
            due = max(self.waiting[0].since + self.patience_s, now + REFUSED_EVERY_SECONDS)
            self._timer = self.loop.call_at(due, self._expire)

    def _next(self, waiter: "_Waiter") -> "_Waiter":
        """Return one taken from the queue; if its client has gone, it has its answer."""
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
            waiter.turn.set_result(self._refusal())

    def _refusal(self) -> TemporarilyUnavailable:
        _REFUSED.inc()
        low, high = RETRY_AFTER_SECONDS
        return TemporarilyUnavailable(retry_after=min(high, max(low, self.expected_s(len(self.waiting)))))


class _Waiter:
    __slots__ = ("is_admitted", "is_gone", "since", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, is_gone: Callable[[], bool]) -> None:
        self.turn: asyncio.Future[Exception | None] = loop.create_future()
        self.is_gone = is_gone
        self.since = loop.time()
        self.is_admitted = False


def is_gone(send: Any) -> bool:
    """Return whether the client behind this ASGI `send` has disconnected; False where the server does not say."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return transport is not None and hasattr(transport, "is_closing") and transport.is_closing()


def make(loop: asyncio.AbstractEventLoop) -> Gate:
    """Return the gate of this process."""
    patience_s = DAPHNE_SECONDS if "daphne.server" in sys.modules else settings.CHAT_HANDSHAKE_WAIT_SECONDS
    return Gate(loop, at_once=settings.CHAT_HANDSHAKES_AT_ONCE, patience_s=patience_s)
