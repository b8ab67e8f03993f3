"""Middleware that forbids caching of API responses: they contain personal data, tokens or refusals."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

NO_STORE = "no-store"
# The same for everybody and large: browsers may cache it.
_DOCUMENTATION = ("/api/docs/", "/api/redoc/", "/api/schema/", "/api/asyncapi")


class NoStoreMiddleware:
    """Set `Cache-Control: no-store` on every response under `/api/` without a Cache-Control of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        documentation = request.path.startswith(_DOCUMENTATION) and response.status_code < 400
        if request.path.startswith("/api/") and not documentation:
            response.headers.setdefault("Cache-Control", NO_STORE)
        return response
