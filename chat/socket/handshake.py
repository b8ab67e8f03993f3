"""WebSocket handshake: the checks before accept, and extraction of the token.

Browsers see a refusal before accept only as 1006, so every error that a client can act on is sent after accept.
"""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.translation import get_supported_language_variant
from django.utils.translation.trans_real import parse_accept_lang_header

SUBPROTOCOL = "access_token"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TOKEN_NAMES = ("token", "access", "jwt", "auth", "bearer")


def is_refused(scope: dict[str, Any]) -> bool:
    """Return whether the handshake gets HTTP 403: no token subprotocol, a token in the URL, a foreign host or page."""
    return (
        SUBPROTOCOL not in scope.get("subprotocols", ())
        or _token_in(scope.get("query_string", b""))
        or not _is_allowed_host(scope)
        or not _is_allowed_origin(scope)
    )


def token_of(scope: dict[str, Any]) -> str:
    """Return the token from the subprotocols, "" if there is none. It is never selected, so never in a response.

    It follows `access_token`; other subprotocols before, between or behind are ignored.
    """
    offered = list(scope["subprotocols"])
    place = offered.index(SUBPROTOCOL)
    others = [name for name in offered[place + 1 :] + offered[:place] if name != SUBPROTOCOL]
    return next((name for name in others if name.count(".") == 2), others[0] if others else "")


def language_of(scope: dict[str, Any]) -> str:
    """Return the language of `Accept-Language`, else English."""
    said = b",".join(value for name, value in scope["headers"] if name == b"accept-language").decode("latin-1")
    for code, _quality in parse_accept_lang_header(said[:500]):
        try:
            return get_supported_language_variant(code)
        except LookupError:
            continue
    return "en"


def _token_in(query: bytes) -> bool:
    """Return whether the URL contains a token: it would leak to logs and histories, so it is refused."""
    text = query.decode("latin-1").lower()
    return "eyj" in text or any(
        part.partition("=")[0].replace("-", "_").strip("_").split("_")[-1] in _TOKEN_NAMES for part in text.split("&")
    )


def _is_allowed_host(scope: dict[str, Any]) -> bool:
    """Return whether the `Host` is in ALLOWED_HOSTS, as for HTTP. Without a Host, the client is no browser."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1:
        return False
    allowed = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    return all(validate_host(split_domain_port(host)[0], allowed) for host in hosts)


def _is_allowed_origin(scope: dict[str, Any]) -> bool:
    """Return whether the Origin is in ALLOWED_ORIGINS or our own. Native apps send no Origin."""
    origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
    if not origins:
        return True
    if len(origins) > 1:
        return False
    origin = origins[0].lower().rstrip("/")
    own = _origin_of(settings.PUBLIC_URL)  # a proxy may forward another Host than the browser's
    if origin in {own, *(allowed.lower().rstrip("/") for allowed in settings.ALLOWED_ORIGINS)}:
        return True
    hosts = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
    scheme, _separator, place = origin.partition("://")  # anything may stand there: `urlsplit` would raise
    port = _DEFAULT_PORTS.get(scheme)  # never in an Origin, but some proxies add it to the Host
    return port is not None and len(hosts) == 1 and hosts[0] in {place, f"{place}:{port}"}


def _origin_of(url: str) -> str:
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc}"
