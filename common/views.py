"""Base view and helpers for the views of all apps."""

from typing import Any, TypeVar

from django.db import transaction
from rest_framework.request import Request
from rest_framework.views import APIView

from common.errors import WWW_AUTHENTICATE

V = TypeVar("V", bound=type[APIView])


def survives_errors(view: V) -> V:
    """Exempt a view from ATOMIC_REQUESTS: what it has counted or revoked stays committed although it answers an error.

    Django's `method_decorator` does the same, but decorates the method anew at each request.
    """
    inherited = view.dispatch

    def dispatch(self: APIView, request: Any, *args: Any, **kwargs: Any) -> Any:
        return inherited(self, request, *args, **kwargs)

    view.dispatch = transaction.non_atomic_requests(dispatch)  # type: ignore[method-assign]
    return view


class OpenAPIView(APIView):
    """An endpoint that needs no authentication and reads no cookie (so that none turns a login into a CSRF error)."""

    authentication_classes: Any = []
    permission_classes: Any = []

    def get_authenticate_header(self, request: Request) -> str:
        # Without authenticators DRF would turn a 401 into a 403.
        return WWW_AUTHENTICATE


def no_store(response: Any) -> Any:
    """Forbid caching of a response with a token (RFC 6749 §5.1)."""
    response["Cache-Control"] = "no-store"
    response["Pragma"] = "no-cache"
    return response
