"""Who is at the other end: the client's address behind our own proxies, its user agent, its fingerprint."""

import contextlib
import ipaddress
import time
from dataclasses import dataclass

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
    """What a service may know of a request: plain values, no request object."""

    ip_address: str | None = None
    user_agent: str = ""
    device_fingerprint: str = ""
    language: str = "en"
    preferred_language: str = ""  # as `language`, and '' where Accept-Language names none of ours


def client_address(remote_addr: str | None, forwarded_for: str) -> str | None:
    """Return the client's address, or None where it is unknown.

    With `TRUSTED_PROXY_COUNT` = n the n-th entry of X-Forwarded-For from the right is the one that our outermost proxy
    saw; everything left of it was written by the client and is never read. With 0 the header is ignored.

    A header with fewer entries means that n is above the true number of proxies, or that somebody came past them: what
    stands there may be the client's own word, so that the address is unknown, and the log says so.
    """
    chain = [*(part.strip() for part in forwarded_for.split(",") if part.strip()), remote_addr or ""]
    trusted = settings.TRUSTED_PROXY_COUNT
    if trusted >= len(chain):
        _warn_of_missing_proxies(len(chain) - 1)
        return None
    return plain_address(chain[-1 - trusted])


_warned_at = -float("inf")


def _warn_of_missing_proxies(found: int) -> None:
    """Say it once a minute: it may be true of every request."""
    global _warned_at
    now = time.monotonic()
    if now - _warned_at >= WARN_SECONDS:
        _warned_at = now
        log.warning("client.address_unknown", trusted_proxy_count=settings.TRUSTED_PROXY_COUNT, forwarded_for=found)


def plain_address(text: str) -> str | None:
    """Return the address without port, brackets, zone or IPv4-in-IPv6, or None where it is none."""
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
    """Return what rates count by: an IPv4 address, or the /64 of an IPv6 address (one household has that many)."""
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
    """Return the first language of ours that the header names, '' for none."""
    for wish, _quality in parse_accept_lang_header(accept_language):
        with contextlib.suppress(LookupError):
            return get_supported_language_variant(wish)
    return ""


def clean(text: str) -> str:
    """Return `text` without control characters (PostgreSQL refuses NUL, logs and mails the others)."""
    return "".join(char for char in text if char.isprintable()).strip()
