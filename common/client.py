"""The client of a request: IP address behind our own proxies, user agent, device fingerprint, language."""

import contextlib
import ipaddress
import time
from dataclasses import dataclass
from functools import lru_cache

import structlog
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_supported_language_variant
from django.utils.translation.trans_real import parse_accept_lang_header

log = structlog.get_logger(__name__)

WARN_SECONDS = 60.0
FINGERPRINT_CHARS = 255
USER_AGENT_CHARS = 512


@dataclass(frozen=True, kw_only=True)
class Client:
    """What services know about a request: plain values, no request object."""

    ip_address: str | None = None
    user_agent: str = ""
    device_fingerprint: str = ""
    language: str = "en"
    preferred_language: str = ""  # like `language`, but '' if Accept-Language has no supported one


def client_address(remote_addr: str | None, forwarded_for: str) -> str | None:
    """Return the client's address, None if it is unknown.

    With `TRUSTED_PROXY_COUNT` = n the n-th entry of X-Forwarded-For from the right is the address that our outermost
    proxy saw; everything left of it may be forged by the client and is ignored. With 0 the whole header is ignored.

    A header with fewer entries means that n is larger than the real number of proxies, or that they were bypassed. Its
    entries may be forged, so the address is unknown, and a warning is logged.
    """
    chain = [*(part.strip() for part in forwarded_for.split(",") if part.strip()), remote_addr or ""]
    trusted = settings.TRUSTED_PROXY_COUNT
    if trusted >= len(chain):
        _warn_of_missing_proxies(len(chain) - 1)
        return None
    return plain_address(chain[-1 - trusted])


_warned_at = -float("inf")


def _warn_of_missing_proxies(found: int) -> None:
    """Log a warning, at most once a minute, since it may apply to every request."""
    global _warned_at
    now = time.monotonic()
    if now - _warned_at >= WARN_SECONDS:
        _warned_at = now
        log.warning("client.address_unknown", trusted_proxy_count=settings.TRUSTED_PROXY_COUNT, forwarded_for=found)


@lru_cache(maxsize=1024)
def plain_address(text: str) -> str | None:
    """Return the address without port, brackets, zone or IPv4-in-IPv6 form; None if it is invalid."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def address_key(address: str | None) -> str:
    """Return the key for rate limits: an IPv4 address, or the /64 of an IPv6 address (one household's network)."""
    if address and ":" in address:
        return str(ipaddress.ip_network(f"{address}/64", strict=False).network_address)
    return address or "-"


def client_of(request: HttpRequest) -> Client:
    """Return the client of a Django or DRF request."""
    return Client(
        ip_address=client_address(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR", "")),
        user_agent=clean(request.META.get("HTTP_USER_AGENT", ""))[:USER_AGENT_CHARS],
        device_fingerprint=clean(request.META.get("HTTP_DEVICE_FINGERPRINT", ""))[:FINGERPRINT_CHARS],
        language=getattr(request, "LANGUAGE_CODE", "en"),
        preferred_language=preferred_language(request.META.get("HTTP_ACCEPT_LANGUAGE", "")),
    )


def preferred_language(accept_language: str) -> str:
    """Return the first supported language in the header, '' if there is none."""
    for wish, _quality in parse_accept_lang_header(accept_language):
        with contextlib.suppress(LookupError):
            return get_supported_language_variant(wish)
    return ""


def clean(text: str) -> str:
    """Return `text` without control characters (PostgreSQL refuses NUL, logs and mails the others)."""
    return (text if text.isprintable() else "".join(char for char in text if char.isprintable())).strip()
