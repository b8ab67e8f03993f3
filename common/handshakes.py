"""Refusal of WebSocket handshakes by an HTTP response, with a rate limit per client address.

Only refusals are counted (`RATE_HANDSHAKE`), so that clients with a valid token are never locked out by others behind
the same address.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from django.conf import settings

from common import rates
from common.client import address_key, client_address
from common.errors import ApplicationError, Throttled, refusal_answer

_ENTRIES = 10_000
_over: OrderedDict[str, float] = OrderedDict()  # addresses over the limit, with the end of their window


async def count_refused(scope: dict[str, Any]) -> Throttled | None:
    """Count one refused handshake of this address; return Throttled if there were too many."""
    if rates.parse(settings.RATE_LIMITS["handshake"]) is None:
        return None
    said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    key = address_key(client_address((scope.get("client") or [""])[0], said))
    until = _over.get(key, 0.0)
    now = time.monotonic()
    if until > now:  # known to be over the limit: a flood does not reach the shared store
        return Throttled(retry_after=until - now)
    if settings.SHARED_STORE != "memory":
        wait = await asyncio.to_thread(rates.hit, name="handshake", key=key)
    else:
        wait = rates.hit(name="handshake", key=key)
    if wait is None:
        _over.pop(key, None)
        return None
    _over[key] = now + wait
    while len(_over) > _ENTRIES:
        _over.popitem(last=False)
    return Throttled(retry_after=wait)


def forget() -> None:
    """Clear the addresses over the limit (for tests)."""
    _over.clear()


async def refuse(error: ApplicationError, scope: dict[str, Any], send: Callable[[dict[str, Any]], Any]) -> None:
    """Refuse a handshake with an HTTP response; a server without that ASGI extension sends a plain 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    inbound = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), None)
    status, headers, body = refusal_answer(error, inbound)
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
