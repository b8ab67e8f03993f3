"""What a browser may run on our own pages: files of ours, nothing inline, nothing from outside."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase

STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
Response = TypeVar("Response", bound=HttpResponseBase)


def strict(response: Response, **directives: str) -> Response:
    """Set the policy; `directives` replace single ones (`form_action="'none'"`)."""
    response.headers["Content-Security-Policy"] = _policy(**directives)
    return response


@lru_cache
def _policy(**directives: str) -> str:
    policy = {**STRICT, **{name.replace("_", "-"): value for name, value in directives.items()}}
    return "; ".join(f"{name} {value}" for name, value in policy.items())


class ContentSecurityPolicyMiddleware:
    """Set the strict policy on every answer that brings none of its own: the admin, the pages, the API."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        return response if response.has_header("Content-Security-Policy") else strict(response)
