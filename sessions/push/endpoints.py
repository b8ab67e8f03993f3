"""Web Push endpoints are named by strangers: nothing of ours is ever reached through one.

A name is resolved once and the connection goes to the address that was checked, so that a second DNS answer
(rebinding) changes nothing. Redirects are not followed. `PUSH_PRIVATE_ENDPOINTS=true` lets an endpoint lie
in a private network, with plain http too.

Source: OWASP Server-Side Request Forgery Prevention Cheat Sheet.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore
from django.conf import settings

ENDPOINT_CHARS = 2_048
# Names that are reserved for private networks (RFC 6761, RFC 6762, RFC 8375, RFC 9476).
PRIVATE_NAMES = (".localhost", ".local", ".internal", ".home.arpa", ".intranet", ".lan", ".private", ".corp", ".home")
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address stands in the last 32 bits
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class EndpointRefused(Exception):
    """The endpoint is not on the public internet. `code`: `invalid` or `private_endpoint`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def is_public(address: Address) -> bool:
    """Return whether the address is public, also if it is an IPv4 address embedded in an IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner: Any = address.ipv4_mapped or address.sixtofour
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def literal(host: str) -> Address | None:
    """Return the address if the host is an IP literal, in any spelling a resolver accepts (`127.1`, `0x7f000001`)."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, UnicodeError):
        return None


def check(endpoint: str) -> SplitResult:
    """Return the endpoint's parts. Raises EndpointRefused for what can be refused without resolving it."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise EndpointRefused("invalid") from None
    host = (parts.hostname or "").rstrip(".")
    printable = len(endpoint) <= ENDPOINT_CHARS and re.fullmatch(r"[!-~]+", endpoint)
    if not printable or not host or port == 0 or parts.username is not None or parts.password is not None:
        raise EndpointRefused("invalid")
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.PUSH_PRIVATE_ENDPOINTS):
        raise EndpointRefused("invalid")
    address = literal(host)
    if address is None:
        private = "." not in host or f".{host.lower()}".endswith(PRIVATE_NAMES)
    else:
        private = not is_public(address)
    if private and not settings.PUSH_PRIVATE_ENDPOINTS:
        raise EndpointRefused("private_endpoint")
    return parts


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name in the resolver's order. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def allowed(host: str, port: int) -> list[str]:
    """Resolve a name once. Raises EndpointRefused if *any* of its addresses is private, OSError without an answer."""
    addresses = resolve(host, port)
    if not settings.PUSH_PRIVATE_ENDPOINTS and not all(
        is_public(ipaddress.ip_address(address.partition("%")[0])) for address in addresses
    ):
        raise EndpointRefused("private_endpoint")
    return addresses


class GuardedBackend(httpcore.SyncBackend):
    """Network backend that connects to the checked address, never to a name."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = allowed(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        tries = addresses[:2]
        for last, address in enumerate(tries, start=1):
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last == len(tries):
                    raise
        raise httpcore.ConnectError("no address")
