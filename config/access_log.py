"""Access log: one log line and one metric for each request."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils.functional import LazyObject, empty

from common.client import client_address
from config import metrics
from config.http import RECEIVED_AT

log = structlog.get_logger("access")


class AccessLogMiddleware:
    """Write one line for each request: method, path without the query, status, time, user."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = request.META.get(RECEIVED_AT) or time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        metrics.count(request, response.status_code, seconds)
        write = log.debug if request.path in {"/healthz", "/readyz", "/metrics"} else log.info
        write(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
            user_id=_user_id(request),
            ip_address=client_address(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR", "")),
        )
        return response


def _user_id(request: HttpRequest) -> Any:
    """Return the id of the user that the view has loaded, without a query of its own."""
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:  # type: ignore[attr-defined]
        return None
    return getattr(user, "pk", None)
