"""Hot endpoints without DRF's request machinery: a seam below the views, which stay what they are.

A `HotView` is a DRF view with its document, its serializers and its errors. A request about which DRF would have
nothing to decide (JSON in, JSON out, a Bearer token where one is needed) is handed to the same method with a light
request; every other one takes DRF's way. `PlainDoor` leads those requests past the middleware of pages with cookies.
`tests/test_plain.py` sends the same requests both ways and compares every answer, headers included.
"""

from functools import cached_property, lru_cache
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, URLPattern, URLResolver, get_resolver, resolve
from django.urls.resolvers import RoutePattern
from rest_framework.views import APIView, set_rollback

from common import json
from common.drf import JSONParser
from common.errors import envelope, from_exception, headers

# What clients send where they mean JSON. Anything else is for DRF to judge.
_ACCEPTED = frozenset({"", "*/*", "application/json", "application/json, text/plain, */*"})
_JSON_TYPES = frozenset(
    f"application/json{charset}" for charset in ("", "; charset=utf-8", ";charset=utf-8", ";charset=UTF-8")
)


class Answer(HttpResponse):
    """A JSON body; `data` is what it was made of, as on DRF's responses."""

    def __init__(self, data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(json.dumps(data), status=status, headers=headers, content_type="application/json")
        self.data = data


class PlainRequest:
    """What our views read of a DRF request."""

    def __init__(self, request: HttpRequest, view: APIView) -> None:
        self._request = request
        self.parser_context = {"view": view}
        self.user: Any = None
        self.auth: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    @property
    def query_params(self) -> Any:
        return self._request.GET

    @cached_property
    def data(self) -> Any:
        """The body; an empty one counts as `{}`. Raises: what the parser raises."""
        length = self._request.META.get("CONTENT_LENGTH") or "0"
        stream: Any = self._request
        return JSONParser().parse(stream) if length.isdigit() and int(length) else {}


class HotView(APIView):
    """A view whose methods in `plain` return an `Answer` and may be called without DRF."""

    plain: ClassVar[frozenset[str]] = frozenset()
    _allow: ClassVar[str]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        view: Any = cls()
        view.setup(None)  # which gives it HEAD
        cls._allow = ", ".join(view.allowed_methods)
        return super().as_view(**initkwargs)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not is_plain(self, request):
            return super().dispatch(request, *args, **kwargs)
        light: Any = PlainRequest(request, self)
        self.request, self.args, self.kwargs, self.format_kwarg = light, args, kwargs, None
        try:
            self._let_in(light)
            response: HttpResponseBase = getattr(self, request.method.lower())(light, *args, **kwargs)
        except Exception as raised:
            error = from_exception(raised)
            if error is None:
                raise
            set_rollback()
            response = Answer(envelope(error), status=error.status, headers=headers(error))
        response.headers["Allow"] = self._allow
        return response

    def _let_in(self, request: Any) -> None:
        """Authenticate by the view's first class, the Bearer's, and ask its permissions."""
        found = self.authentication_classes[0]().authenticate(request) if self.authentication_classes else None
        request.user, request.auth = found or (AnonymousUser(), None)
        request._request.user, request._request.auth = request.user, request.auth  # for the log, as DRF does
        self.check_permissions(request)
        self.check_throttles(request)


def is_plain(view: APIView | type[APIView], request: HttpRequest) -> bool:
    """Return whether DRF would have nothing to decide about the request."""
    meta = request.META
    return (
        request.method in view.plain  # type: ignore[union-attr]
        and meta.get("HTTP_ACCEPT", "") in _ACCEPTED
        and "format" not in meta.get("QUERY_STRING", "")  # DRF's `?format=`, which may be written with escapes
        and "%" not in meta.get("QUERY_STRING", "")
        and (request.method == "GET" or meta.get("CONTENT_TYPE") in _JSON_TYPES)
        and (not view.authentication_classes or meta.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer ")
        and "_force_auth_user" not in request.__dict__  # of DRF's test client
    )


@lru_cache
def doors(urlconf: str) -> dict[str, ResolverMatch]:
    """Return the hot views by path: those whose path has no variable part."""
    return {path: resolve(path, urlconf) for path in _hot_paths(get_resolver(urlconf), "/")}


def _hot_paths(resolver: URLResolver, prefix: str) -> list[str]:
    found: list[str] = []
    for one in resolver.url_patterns:
        if not isinstance(one.pattern, RoutePattern) or one.pattern.converters:
            continue
        path = f"{prefix}{one.pattern}"
        if isinstance(one, URLPattern):
            view = getattr(one.callback, "cls", None)
            found += [path] if isinstance(view, type) and issubclass(view, HotView) else []
        else:
            found += _hot_paths(one, path)
    return found


class PlainDoor:
    """Middleware: lead a plain request of a hot view to it, past what only pages with cookies need."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match = doors(settings.ROOT_URLCONF).get(request.path_info)
        if match is None or not is_plain(match.func.cls, request) or _is_atomic():  # type: ignore[attr-defined]
            response: HttpResponseBase = self.get_response(request)
            return response
        request.resolver_match = match
        return match.func(request, *match.args, **match.kwargs)


def _is_atomic() -> bool:
    """Django's handler, which is passed by, is what opens the transaction of ATOMIC_REQUESTS."""
    return any(one["ATOMIC_REQUESTS"] for one in connections.settings.values())
