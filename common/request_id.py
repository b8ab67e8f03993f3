"""Request ids: a valid inbound `X-Request-ID` is kept, otherwise a new one is generated."""

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from django.http import HttpRequest, HttpResponse

_current: ContextVar[str] = ContextVar("request_id", default="")
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def current_request_id() -> str:
    """Return the id of the current request, or a new one outside of a request."""
    return _current.get() or new_request_id()


def new_request_id() -> str:
    """Return 32 hexadecimal digits. It is no secret: the system's generator would cost a switch of threads."""
    return f"{random.getrandbits(128):032x}"


def sane_request_id(inbound: str | None) -> str:
    """Return `inbound` if it is 1 to 128 plain characters, else a new id: the header is logged, so no injection."""
    return inbound if inbound and _SANE.fullmatch(inbound) else new_request_id()


@contextmanager
def request_id_set(request_id: str) -> Iterator[None]:
    """Make `request_id` the current one, for envelopes and log lines."""
    token = _current.set(request_id)
    try:
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            yield
    finally:
        _current.reset(token)


class RequestIdMiddleware:
    """The first middleware, so that errors of all others are also returned with the id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = sane_request_id(request.META.get("HTTP_X_REQUEST_ID"))
        token, tokens = _current.set(request_id), structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)
            _current.reset(token)
        response.headers._store["x-request-id"] = ("X-Request-ID", request_id)  # type: ignore[attr-defined]
        return response
