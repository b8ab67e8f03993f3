"""The OpenAPI document and its two viewers, without external resources or inline scripts."""

import secrets
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import override
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from common import csp
from common.errors import MethodNotAllowed, from_exception, respond


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document, made once: it is the same for everybody and takes a fifth of a second."""
    with override("en"):
        return SchemaGenerator().get_schema(request=None, public=True)


class SchemaView(SpectacularAPIView):
    """YAML by default, JSON by `Accept` or `?format=json`."""

    def _get_schema_response(self, request: Request) -> Response:
        return Response(document())

    def handle_exception(self, exc: Exception) -> Any:
        """Return errors as JSON, since this view's renderers are only for the document."""
        error = from_exception(exc)
        return respond(error) if error else super().handle_exception(exc)


def read_only(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Refuse methods other than GET and HEAD with the error envelope (`require_safe` returns an empty body)."""

    @csrf_exempt
    @wraps(view)
    def wrapped(request: HttpRequest, **kwargs: str) -> HttpResponseBase:
        if request.method in {"GET", "HEAD"}:
            return view(request, **kwargs)
        response = respond(MethodNotAllowed())
        response["Allow"] = "GET, HEAD"
        return response

    return wrapped


@read_only
def swagger(request: HttpRequest) -> HttpResponse:
    response = render(request, "config/swagger.html")
    # Swagger UI sets `style` attributes and uses data: URLs for images.
    return csp.strict(response, style_src_attr="'unsafe-inline'", style_src_elem="'self'")


@read_only
def redoc(request: HttpRequest) -> HttpResponse:
    nonce = secrets.token_urlsafe(16)
    response = render(request, "config/redoc.html", {"nonce": nonce})
    return csp.strict(response, style_src_attr="'unsafe-inline'", style_src_elem=f"'self' 'nonce-{nonce}'")
