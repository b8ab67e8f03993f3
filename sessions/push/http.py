"""HTTP client for push services: bounded in time and size, no redirects, with a check just before the first byte."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from threading import local
from typing import Any

import httpcore
import httpx
from django.conf import settings

from sessions.push import endpoints
from sessions.push.provider import GONE, SENT, TOO_LARGE, Kind, Outcome

BODY_BYTES = 64 * 1024
KEEP_SECONDS = 60.0
RETRY_AFTER_MAX = 6 * 3_600.0
# httpcore's trace events around writing the request: the gate is entered at the first and left at the second.
BEFORE = ("http11.send_request_headers.started", "http2.send_request_headers.started")
AFTER = ("http11.send_request_body.complete", "http2.send_request_body.complete")

_this = local()


class Unreachable(Exception):
    """No answer: connection refused, cut or timed out. Contains no address."""


class BoundedStream(httpcore.NetworkStream):
    """Network stream that stops at the request's deadline, also for a service that sends byte by byte."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self.stream = stream

    def _left(self, timeout: float | None, late: type[Exception]) -> float:
        left = getattr(_this, "deadline", float("inf")) - time.monotonic()
        if left <= 0:
            raise late("deadline")
        return min(left, settings.PUSH_TIMEOUT if timeout is None else timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self._left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        return BoundedStream(
            self.stream.start_tls(ssl_context, server_hostname, self._left(timeout, httpcore.ConnectTimeout))
        )

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


class BoundedBackend(httpcore.SyncBackend):
    """Network backend for services that the settings name."""

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return BoundedStream(super().connect_tcp(*args, **kwargs))


class GuardedBackend(endpoints.GuardedBackend):
    """Network backend for endpoints that users register: connects to public addresses only."""

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return BoundedStream(super().connect_tcp(*args, **kwargs))


@cache
def pool(*, guarded: bool) -> httpcore.ConnectionPool:
    return httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(),
        max_connections=settings.PUSH_CONCURRENCY * 2,
        max_keepalive_connections=settings.PUSH_CONCURRENCY,
        keepalive_expiry=KEEP_SECONDS,
        http2=not guarded,  # APNs requires it; the push services of browsers also speak HTTP/1.1
        network_backend=GuardedBackend() if guarded else BoundedBackend(),
    )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        return retry_after_s(self.headers.get("retry-after", ""))

    def outcome(self) -> Outcome:
        """Return the outcome for the HTTP status; providers look at their own error codes first."""
        match self.status:
            case 404 | 410:
                return GONE
            case 413:
                return TOO_LARGE
            case status if 200 <= status < 300:
                return SENT
            case status if status == 408 or status == 429 or status >= 500:
                return Outcome(Kind.LATER, str(status), self.retry_after)
            case status:
                return Outcome(Kind.FAILED, str(status))


def retry_after_s(text: str) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110 §10.2.3), at most six hours; None if it is invalid."""
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text), RETRY_AFTER_MAX)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), RETRY_AFTER_MAX)


def post(
    url: str,
    *,
    headers: dict[str, str],
    body: bytes,
    guarded: bool = False,
    gate: AbstractContextManager[Any] | None = None,
) -> Answer:
    """Send one request and return its answer.

    `gate` is entered once the connection is open, just before the first byte, and left after the last one. If it
    raises, nothing was sent.

    Raises: Unreachable, EndpointRefused, and what the gate raises.
    """
    with ExitStack() as open_gate, _deadline(settings.PUSH_TIMEOUT):

        def trace(name: str, _info: Any) -> None:
            if gate is not None and name in BEFORE:
                open_gate.enter_context(gate)
            elif name in AFTER:
                open_gate.close()

        timeout = dict.fromkeys(("connect", "read", "write", "pool"), float(settings.PUSH_TIMEOUT))
        options: dict[str, Any] = {"headers": list(headers.items()), "content": body}
        extensions = {"timeout": timeout, "trace": trace}
        try:
            with pool(guarded=guarded).stream("POST", url, **options, extensions=extensions) as response:
                taken = b""
                for chunk in response.iter_stream():
                    taken += chunk
                    if len(taken) >= BODY_BYTES:
                        break
                names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                return Answer(response.status, names, taken[:BODY_BYTES])
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise Unreachable(type(error).__name__) from None
        except (httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable, OSError) as error:
            raise Unreachable(type(error).__name__) from None


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    _this.deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        _this.deadline = float("inf")
