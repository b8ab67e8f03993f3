"""Middleware that forbids caching of API responses (personal data, tokens or refusals) and of permanent redirects."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

NO_STORE = "no-store"
# The same for everybody and large: browsers may cache it.
_DOCUMENTATION = ("/api/docs/", "/api/redoc/", "/api/schema/", "/api/asyncapi")


class NoStoreMiddleware:
    """Set `Cache-Control: no-store` on responses under `/api/` and permanent redirects without a Cache-Control.

    A browser keeps a 301 for ever: the redirect to HTTPS could not be turned off again.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        documentation = request.path.startswith(_DOCUMENTATION) and response.status_code < 400
        if response.status_code == 301 or (request.path.startswith("/api/") and not documentation):
            response.headers.setdefault("Cache-Control", NO_STORE)
        return response
