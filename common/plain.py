"""Hot endpoints without DRF's request machinery: a seam below the views, which stay what they are.

A `HotView` is a DRF view with its document, its serializers and its errors. A request about which DRF would have
nothing to decide (JSON in, JSON out, a Bearer token where one is needed) is handed to the same method with a light
request; every other one takes DRF's way. `PlainDoor` leads those requests past the middleware of pages with cookies,
and `ShortWay` past what the other middleware has decided before for the same kind of request.
`tests/test_plain.py` sends the same requests both ways and compares every answer, headers included.
"""

from functools import cached_property, lru_cache
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.signals import setting_changed
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, URLPattern, URLResolver, get_resolver, resolve
from django.urls.resolvers import RoutePattern
from django.utils import translation
from rest_framework.views import APIView, set_rollback

from common import json
from common.drf import JSONParser
from common.errors import REFUSAL, envelope, from_exception, headers

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
    _allow: ClassVar[tuple[str, str]]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        view: Any = cls()
        view.setup(None)  # which gives it HEAD
        cls._allow = "Allow", ", ".join(view.allowed_methods)
        return super().as_view(**initkwargs)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "passing" not in request.__dict__ and not is_plain(self, request):
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
            del error  # it holds this frame, and with it the request: only the collector would free them
        response.headers._store["allow"] = self._allow  # type: ignore[attr-defined]
        return response

    def _let_in(self, request: Any) -> None:
        """Authenticate by the view's first class, the Bearer's, and ask its permissions."""
        kinds: Any = self.authentication_classes
        found = _authenticator(kinds[0]).authenticate(request) if kinds else None
        request.user, request.auth = found or (AnonymousUser(), None)
        request._request.user, request._request.auth = request.user, request.auth  # for the log, as DRF does
        self.check_permissions(request)
        self.check_throttles(request)


@lru_cache
def _authenticator(kind: Any) -> Any:
    """Return the one of this class, which knows nothing of a request; DRF makes one for each."""
    return kind()


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


# The keys of `META` by which the middleware between `ShortWay` and `PlainDoor` may decide. A test holds them to it.
_DECIDING = (
    "REQUEST_METHOD",
    "PATH_INFO",
    "wsgi.url_scheme",
    "SERVER_NAME",
    "SERVER_PORT",
    "HTTP_HOST",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_ORIGIN",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
)
# Headers that none of it reads. A request with any other header takes the whole way.
_HARMLESS = """
accept accept-encoding authorization cache-control cdn-loop cf-connecting-ip cf-ipcountry cf-ray cf-visitor connection
device-fingerprint dnt forwarded keep-alive pragma priority referer sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform
sec-fetch-dest sec-fetch-mode sec-fetch-site sec-gpc te traceparent tracestate user-agent via x-amzn-trace-id
x-forwarded-for x-real-ip x-request-id
"""
_KNOWN = frozenset(
    {*_DECIDING, "CONTENT_TYPE", "CONTENT_LENGTH", "QUERY_STRING", "REMOTE_ADDR", "SCRIPT_NAME", "SERVER_PROTOCOL"}
    | {"HTTP_" + name.upper().replace("-", "_") for name in _HARMLESS.split()}
)
_KIND_CHARS, _KINDS, _ENDINGS = 512, 256, 1_024  # what is kept, so that no client can fill the memory

Fields = dict[str, tuple[str, str]]  # as in Django's ResponseHeaders: by the name in lower case


class Passing:
    """What `ShortWay` and `PlainDoor` know of one plain request on its way between them."""

    def __init__(self, match: ResolverMatch) -> None:
        self.match = match
        self.language: str | None = None
        self.brought: Any = None  # the status and headers with which the view's answer came; None: it was not reached
        self.ready: HttpResponseBase | Exception | None = None  # what the view has done already

    def reach(self, request: HttpRequest) -> HttpResponseBase:
        request.resolver_match = self.match
        response: HttpResponseBase = self.match.func(request, *self.match.args, **self.match.kwargs)
        return response


class ShortWay:
    """Middleware: remember what the middleware down to `PlainDoor` makes of plain requests, and do the same.

    It decides by few things: method, path, host, scheme, language, origin. So what it does before the view (let it
    pass, choose a language) is kept for each such request, and the headers that it adds for each such answer. It stays
    the one place of its rules: what is not known yet goes through it. A refusal is never kept.
    """

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        self._languages: dict[Any, str] = {}  # of requests that were let pass
        self._endings: dict[Any, Fields] = {}
        setting_changed.connect(self._forget)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        passing = passing_of(request)
        if passing is None or (kind := _kind(request)) is None:
            response: HttpResponseBase = self.get_response(request)
            return response
        language = self._languages.get(kind)
        if language is None:
            response = self.get_response(request)
            if passing.brought is not None and passing.language is not None:
                _keep(self._languages, kind, passing.language, _KINDS)
                self._keep_ending(kind, passing, response)
            return response
        translation.activate(language)
        request.LANGUAGE_CODE = language  # type: ignore[attr-defined]
        try:
            response = passing.reach(request)
        except Exception as error:
            passing.ready = error  # an unforeseen one is answered further down, and gets the same headers
            return self.get_response(request)  # type: ignore[no-any-return]
        ending = self._endings.get((kind, brought := _brought(response)))
        if ending is None:
            passing.ready, passing.brought = response, brought
            response = self.get_response(request)
            self._keep_ending(kind, passing, response)
            return response
        fields: Fields = ending.copy()
        fields["content-length"] = ("Content-Length", str(len(response.content)))  # type: ignore[attr-defined]
        response.headers._store = fields  # type: ignore[attr-defined]
        return response

    def _keep_ending(self, kind: Any, passing: Passing, response: HttpResponseBase) -> None:
        if type(response) is Answer and not response.cookies:
            _keep(self._endings, (kind, passing.brought), response.headers._store.copy(), _ENDINGS)  # type: ignore[attr-defined]

    def _forget(self, **kwargs: Any) -> None:
        self._languages.clear()
        self._endings.clear()


def passing_of(request: HttpRequest) -> Passing | None:
    """Return the passing of a plain request of a hot view, None for any other."""
    match = doors(settings.ROOT_URLCONF).get(request.path_info)
    if match is None or not is_plain(match.func.cls, request) or _is_atomic():  # type: ignore[attr-defined]
        return None
    passing = request.__dict__["passing"] = Passing(match)
    return passing


def _kind(request: HttpRequest) -> Any:
    """Return all that the middleware may decide by, None if there is more than that."""
    meta = request.META
    for name in meta.keys() - _KNOWN:
        if (name.startswith("HTTP_") and meta[name]) or name == REFUSAL:
            return None
    kind = tuple(map(meta.get, _DECIDING))
    return kind if len("".join(filter(None, kind))) <= _KIND_CHARS else None


def _brought(response: HttpResponseBase) -> Any:
    return response.status_code, tuple(response.headers._store.values())  # type: ignore[attr-defined]


def _keep(where: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    if len(where) >= most:
        where.clear()
    where[key] = value


class PlainDoor:
    """Middleware: lead a plain request of a hot view to it, past what only pages with cookies need."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        passing: Passing | None = request.__dict__.get("passing")
        if passing is None:
            response: HttpResponseBase = self.get_response(request)
            return response
        if isinstance(passing.ready, Exception):
            raise passing.ready
        if passing.ready is not None:
            return passing.ready
        passing.language = getattr(request, "LANGUAGE_CODE", None)
        response = passing.reach(request)
        passing.brought = _brought(response)
        return response


def _is_atomic() -> bool:
    """Django's handler, which is passed by, is what opens the transaction of ATOMIC_REQUESTS."""
    return any(one["ATOMIC_REQUESTS"] for one in connections.settings.values())
